# shardd: set up, build, run, test. Everything is made under .venv and build; nothing is done twice.
#
#   make            the compiled package in .venv
#   make run        starts the server with conf/shardd.conf (ARGS="--port 7000" adds options)
#   make test       every test (ARGS="-k topology" narrows, VARIANT=debug runs on the debug build)
#   make debug      build/debug: every check that Cython can compile in
#   make asan       build/asan: the same with AddressSanitizer
#   make soak       a tree under load whose processes are killed at random, for ten minutes (SECONDS=600)
#   make kill9      an engine under load is killed 200 times, and its append-only file brings back all (CYCLES=200)
#   make kill9-tree the same of a tree, which then has another number of engines
#   make fuzz       the long run of the fuzzers, on the ASan build (INPUTS=10000000 RDB_INPUTS=100000)
#   make nightly    random commands beside the real Redis, an engine's and a proxy's (COMMANDS=1000000, SEED=the day),
#                   and across restarts (SECONDS=600)
#   make bench      the benchmark (ARGS go to it)
#   make clean      removes what make made, but for .venv; make distclean removes that too

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
VARIANT ?= release
INPUTS ?= 10000000
RDB_INPUTS ?= 100000
SECONDS ?= 600
CYCLES ?= 200
COMMANDS ?= 1000000
SEED ?= $(shell date +%Y%m%d)
JOBS ?= $(shell nproc)

SOURCES := $(shell find shardd proxy bench -name '*.py' -o -name '*.pxd' -o -name '*.tsv')
VARIANT_STAMP := $(if $(filter release,$(VARIANT)),build/.release,build/.$(VARIANT))
VARIANT_PATH := $(if $(filter release,$(VARIANT)),$(CURDIR),$(CURDIR)/build/$(VARIANT))

.PHONY: all build venv run test debug asan soak kill9 kill9-tree fuzz nightly bench clean distclean
.DELETE_ON_ERROR:

all: build

# --- the environment: only where pyproject.toml has changed, so that nothing else needs the network ------------------

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: Python 3.11 or newer is needed; say which with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "make: Python has no venv module; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
		|| { echo "make: Python.h is missing; on Debian: apt install python3-dev" >&2; exit 1; }
	@command -v "$${CC:-cc}" >/dev/null || { echo "make: there is no C compiler; on Debian: apt install gcc" >&2; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -c 'import pip' 2>/dev/null || $(PY) -m ensurepip
	$(PY) -m pip install --quiet --disable-pip-version-check 'setuptools>=77' 'cython>=3.1'
	$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[dev,test,bench]'
	@touch $@

# --- the compiled package --------------------------------------------------------------------------------------------

build: build/.release

build/.%: $(SOURCES) $(VENV)/.installed
	$(PY) shardd/_build.py --variant $*
	@mkdir -p build && touch $@

debug: build/.debug

asan: build/.asan

# --- using it --------------------------------------------------------------------------------------------------------

run: build
	@exec $(VENV)/bin/shardd conf/shardd.conf $(ARGS)

test: $(VARIANT_STAMP)
	PYTHONPATH=$(VARIANT_PATH) SHARDD_TEST_VARIANT=$(VARIANT) $(PY) -m pytest -n $(JOBS) $(ARGS)

soak: $(VARIANT_STAMP)
	PYTHONPATH=$(VARIANT_PATH) SHARDD_TEST_VARIANT=$(VARIANT) $(PY) -m tests.soak.run --seconds $(SECONDS) $(ARGS)

kill9: $(VARIANT_STAMP)
	PYTHONPATH=$(VARIANT_PATH) SHARDD_TEST_VARIANT=$(VARIANT) $(PY) -m tests.soak.kill9 --cycles $(CYCLES) $(ARGS)
	PYTHONPATH=$(VARIANT_PATH) SHARDD_TEST_VARIANT=$(VARIANT) $(PY) -m tests.soak.kill9 --cycles $(CYCLES) --hostile $(ARGS)

kill9-tree: $(VARIANT_STAMP)
	PYTHONPATH=$(VARIANT_PATH) SHARDD_TEST_VARIANT=$(VARIANT) $(PY) -m tests.soak.kill9_tree --cycles $(CYCLES) $(ARGS)

fuzz: asan
	$(PY) tests/fuzz/run.py --inputs $(INPUTS) --variant asan $(ARGS)
	$(PY) tests/fuzz/run.py --kind rdb --inputs $(RDB_INPUTS) --variant asan $(ARGS)
	$(PY) tests/fuzz/run.py --kind aof --inputs $(RDB_INPUTS) --variant asan $(ARGS)

nightly: $(VARIANT_STAMP)
	PYTHONPATH=$(VARIANT_PATH) SHARDD_TEST_VARIANT=$(VARIANT) $(PY) -m tests.differential.run \
		--target nightly --commands $(COMMANDS) --seed $(SEED) $(ARGS)
	PYTHONPATH=$(VARIANT_PATH) SHARDD_TEST_VARIANT=$(VARIANT) $(PY) -m tests.differential.restarts \
		--seconds $(SECONDS) --seed $(SEED)

bench: build
	$(PY) -m bench $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .hypothesis
	find shardd proxy bench tests -name '*.so' -delete
	find shardd proxy bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
