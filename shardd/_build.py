"""The build: which modules are compiled, and with which flags. Nothing else decides.

A compiled module is a `.py` file in Cython's pure Python mode with a `.pxd` header beside it; it has no
uncompiled twin. `COMPILED` is their one list. Three variants exist:

    release   what users run; in place in the source tree, or in the wheel
    debug     every check that Cython can compile in; written to build/debug
    asan      debug plus AddressSanitizer and UBSan; written to build/asan

`pip install .` goes through `BuildExt` (named in pyproject.toml). By hand, and from the Makefile:

    python shardd/_build.py [--variant release|debug|asan] [module ...]

A variant other than release is a whole copy of the packages: run it with PYTHONPATH=build/<variant>.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("shardd", "proxy", "bench")

COMPILED = [
    "shardd.base.clock",
    "shardd.structures.chunks",
    "shardd.structures.arrays",
    "shardd.structures.alloc",
    "shardd.structures.listpack",
    "shardd.structures.packed",
    "shardd.structures.lzf",
    "shardd.structures.list_nodes",
    "shardd.structures.quicklist",
    "shardd.structures.list_edit",
    "shardd.structures.keyhash",
    "shardd.structures.slots",
    "shardd.structures.crc64",
    "shardd.structures.glob",
    "shardd.structures.number",
    "shardd.structures.sorting",
    "shardd.structures.names",
    "shardd.structures.histogram",
    "shardd.structures.random",
    "shardd.structures.table",
    "shardd.structures.drain",
    "shardd.structures.walk",
    "shardd.structures.pairs",
    "shardd.structures.intset",
    "shardd.structures.ranked",
    "shardd.structures.ranked_whole",
    "shardd.structures.ordered",
    "shardd.structures.probe",
    "shardd.wire.request",
    "shardd.wire.reply",
    "shardd.wire.scan",
    "shardd.net.sockets",
    "shardd.net.transport",
    "shardd.net.reactor",
    "shardd.net.client",
    "shardd.net.channels",
    "shardd.journal.stream",
    "shardd.journal.syncer",
    "shardd.journal.aof",
    "shardd.journal.aof_reader",
    "shardd.keyspace.values",
    "shardd.keyspace.events",
    "shardd.keyspace.entry",
    "shardd.keyspace.fields",
    "shardd.keyspace.access",
    "shardd.keyspace.database",
    "shardd.keyspace.field_expiry",
    "shardd.keyspace.audit",
    "shardd.keyspace.expiry",
    "shardd.keyspace.eviction",
    "shardd.keyspace.rehash",
    "shardd.keyspace.keysizes",
    "shardd.keyspace.inspection",
    "shardd.keyspace.chains",
    "shardd.journal.rdb_out",
    "shardd.journal.rdb_values",
    "shardd.journal.aof_values",
    "shardd.journal.rdb_save",
    "shardd.keyspace.bulk",
    "shardd.journal.rdb_in",
    "shardd.journal.rdb_load_packed",
    "shardd.journal.rdb_load_build",
    "shardd.journal.rdb_load_hash",
    "shardd.journal.rdb_load_set",
    "shardd.journal.rdb_load_zset",
    "shardd.journal.rdb_load_value",
    "shardd.journal.rdb_load_skip",
    "shardd.journal.rdb_load",
    "shardd.journal.rdb_cut",
    "shardd.commands.context",
    "shardd.commands.registry",
    "shardd.commands.pubsub",
    "shardd.commands.args",
    "shardd.commands.gather",
    "shardd.commands.outcome",
    "shardd.commands.hash_forms",
    "shardd.commands.hashes",
    "shardd.commands.hash_times",
    "shardd.commands.set_forms",
    "shardd.commands.sets",
    "shardd.commands.set_algebra",
    "shardd.commands.list_forms",
    "shardd.commands.lists",
    "shardd.commands.zset_forms",
    "shardd.commands.zsets",
    "shardd.commands.zset_ranges",
    "shardd.commands.zset_algebra",
    "shardd.commands.strings",
    "shardd.commands.strings_if",
    "shardd.commands.lcs",
    "shardd.commands.keys",
    "shardd.commands.expire",
    "shardd.commands.dump",
    "shardd.commands.sort",
    "shardd.commands.blocking",
    "shardd.engine.stats",
    "shardd.engine.slot_stats",
    "shardd.engine.kept",
    "shardd.engine.watches",
    "shardd.engine.multi",
    "shardd.engine.blocking",
    "shardd.engine.delivery",
    "shardd.engine.gates",
    "shardd.engine.planned",
    "shardd.engine.dispatch",
    "shardd.engine.words",
    "shardd.engine.pieces",
    "shardd.engine.guests",
    "shardd.engine.patterns",
    "shardd.engine.transactions",
    "shardd.engine.session",
    "shardd.engine.replay",
    "shardd.engine.waitaof",
    "shardd.engine.build",
    "proxy.replies",
    "proxy.latency",
    "proxy.session",
    "proxy.router",
    "proxy.link",
    "proxy.backend",
    "proxy.chain",
    "proxy.merge",
    "proxy.transactions",
    "bench.load.keys",
    "bench.load.script",
    "bench.load.intake",
    "bench.load.driver",
]

RELEASE = dict(language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, nonecheck=False,
               cdivision=True, overflowcheck=False, embedsignature=False)
CHECKED = RELEASE | dict(boundscheck=True, nonecheck=True, overflowcheck=True, cdivision=False, initializedcheck=True)

# Entries are packed bytes that are read through casts: strict aliasing would be undefined behaviour.
COMMON_C = ["-fno-strict-aliasing", "-Wno-unused-function", "-Wno-unreachable-code", "-Wno-sign-compare", "-g1"]
VARIANTS = {
    "release": (RELEASE, COMMON_C + ["-O3", "-fno-semantic-interposition"], []),
    "debug": (CHECKED, COMMON_C + ["-O1", "-g", "-DSHARDD_DEBUG"], []),
    "asan": (CHECKED, COMMON_C + ["-O1", "-g", "-DSHARDD_DEBUG", "-DSHARDD_ASAN", "-fno-omit-frame-pointer",
                                  "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
             ["-fsanitize=address,undefined"]),
}


def extensions(variant: str, only: list[str] | None = None) -> list[Extension]:
    """The extensions of `variant`; `only` narrows them to the named modules.

    Raises SystemExit where a listed module has no source, since a silent gap would surface as an ImportError later.
    """
    _, cflags, ldflags = VARIANTS[variant]
    chosen = []
    for name in only or COMPILED:
        if name not in COMPILED:
            sys.exit(f"_build: {name} is not in COMPILED")
        source = name.replace(".", "/") + ".py"
        if not (ROOT / source).exists():
            sys.exit(f"_build: {name} is in COMPILED but {source} does not exist")
        chosen.append(Extension(name, [source], extra_compile_args=cflags, extra_link_args=ldflags))
    return chosen


class BuildExt(build_ext):
    """build_ext over COMPILED. The variant comes from $SHARDD_VARIANT (release where unset)."""

    only: list[str] | None = None

    def finalize_options(self) -> None:
        from Cython.Build import cythonize

        variant = os.environ.get("SHARDD_VARIANT", "release")
        self.distribution.ext_modules = cythonize(
            extensions(variant, self.only), compiler_directives=VARIANTS[variant][0],
            build_dir=f"build/cython-{variant}", include_path=[str(ROOT)], quiet=True)
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()


def main() -> None:
    parser = argparse.ArgumentParser(description="compile the modules of COMPILED")
    parser.add_argument("--variant", choices=VARIANTS, default="release")
    parser.add_argument("modules", nargs="*", help="only these, by dotted name")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ["SHARDD_VARIANT"] = options.variant
    command = BuildExt(Distribution({"name": "shardd", "ext_modules": [Extension("shardd._compiled", [])]}))
    command.only = options.modules or None
    command.build_temp = f"build/temp-{options.variant}"
    if options.variant == "release":
        command.build_lib = str(ROOT)
    else:
        target = ROOT / "build" / options.variant
        command.build_lib = str(target)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, target / package, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    # run as a script, so that the half-built package is never imported
    sys.path[0] = str(ROOT)
    main()
