"""The engines' files made anew: every key is in the file of its slot's owner, whatever happens on the way."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(os.path.dirname(__file__))

import relayout_run  # noqa: E402

from harness import build  # noqa: E402
from shardd.cluster.store import FileStore  # noqa: E402
from shardd.cluster.topology import SLOTS, EngineInfo, SlotRange, Topology  # noqa: E402
from shardd.supervisor import relayout  # noqa: E402
from shardd.supervisor.layout import Layout  # noqa: E402
from shardd.supervisor.relayout import RelayoutError, flags_of, ranges_text, sources_of  # noqa: E402

KEYS = {f"key:{slot}": slot for slot in range(0, SLOTS, 100)}
HERE = os.path.dirname(__file__)


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, str(build.tree())]))


def put(directory: Path, generation: int, topology: Topology, keys: dict[str, int]) -> None:
    """The data of a tree that stopped cleanly."""
    home = Layout(directory, print).home(generation)
    home.make(len(topology.engines))
    for engine in topology.engines:
        flags = flags_of(topology, engine.id)
        (home.engine(engine.index) / "data.json").write_text(
            json.dumps({key: slot for key, slot in keys.items() if flags[slot]}))


@pytest.fixture
def two(tmp_path) -> Path:
    """A tree of two engines."""
    topology = Topology.even([EngineInfo(f"{index + 1:040x}", f"{index + 1:040x}", index) for index in range(2)])
    put(tmp_path, 1, topology, KEYS)
    with FileStore(tmp_path) as store:
        assert store.compare_and_set(0, topology)
    return tmp_path


def keys_in(directory: Path) -> dict[str, int]:
    """All keys that count, each of which is where its slot's owner looks."""
    topology = FileStore(directory).read()
    home = Layout(directory, print).home(topology.generation)
    assert sorted(name for name in os.listdir(directory) if name.startswith("data-")) == [home.path.name]
    assert home.engines() == [engine.index for engine in topology.engines]
    found: dict[str, int] = {}
    for engine in topology.engines:
        assert os.listdir(home.engine(engine.index)) == ["data.json"]
        mine = json.loads((home.engine(engine.index) / "data.json").read_text())
        assert all(topology.owner_of(slot).id == engine.id for slot in mine.values())
        found |= mine
    assert sorted(os.listdir(home.path)) == [f"engine-{index}" for index in home.engines()]
    return found


def start(directory: Path, engines: int, **options: object) -> list[str]:
    lines: list[bytes] = []
    tools = relayout.Tools(str, 2, lines.append, options)
    said = asyncio.run(relayout_run.start(directory, engines, tools))
    assert set(lines) <= {b"a line of its log"}
    return said


def test_other_numbers_of_engines_and_back(two):
    for engines in (3, 1, 2):
        said = start(two, engines)
        assert f"{len(KEYS)} keys are in the files of {engines} engines, without 2 streams" in said
        assert keys_in(two) == KEYS
    assert FileStore(two).read().generation == 4


@pytest.mark.parametrize("step", relayout.STEPS)
def test_killed_at_any_step_it_has_the_old_data_or_the_new(two, step):
    done = subprocess.run([sys.executable, os.path.join(HERE, "relayout_run.py"), str(two), "3", step], timeout=60)
    assert done.returncode == -signal.SIGKILL
    committed = relayout.STEPS.index(step) >= relayout.STEPS.index("committed")
    assert FileStore(two).read().generation == (2 if committed else 1)
    start(two, 3 if committed else 2)       # what the number is now: nothing is made anew
    assert keys_in(two) == KEYS
    start(two, 3)
    assert keys_in(two) == KEYS


@pytest.mark.parametrize("what", ["fold", "fill"])
def test_where_a_process_fails_all_is_as_it_was(two, what):
    before = (two / "topology.json").read_bytes()
    with pytest.raises(RelayoutError, match="engine-. is broken"):
        start(two, 3, fail=what)
    assert (two / "topology.json").read_bytes() == before and keys_in(two) == KEYS


def test_keys_that_do_not_arrive_are_noticed(two):
    with pytest.raises(RelayoutError, match="164 keys|keys were read, and .* arrived"):
        start(two, 3, lose=True)
    assert keys_in(two) == KEYS


def test_what_an_engine_has_of_others_slots_does_not_count(two):
    stale = two / "data-1" / "engine-1" / "data.json"
    stale.write_text(json.dumps(json.loads(stale.read_text()) | {"stale": 0, "key:100": 100}))
    start(two, 3)
    assert keys_in(two) == KEYS


def test_without_a_topology_the_keys_tell_where_they_belong(two):
    (two / "topology.json").unlink()
    start(two, 2)
    assert keys_in(two) == KEYS and FileStore(two).read().generation == 2


def test_slots_of_nobody_stay_with_who_has_them(tmp_path):
    engines = [EngineInfo(f"{index + 1:040x}", f"{index + 1:040x}", index) for index in range(2)]
    topology = Topology(1, "c" * 40, tuple(engines), (SlotRange(0, 99, engines[0].id),
                                                      SlotRange(200, SLOTS - 1, engines[1].id)))
    put(tmp_path, 1, topology, KEYS)
    first, second = sources_of(Layout(tmp_path, print).home(1), topology)
    assert ranges_text(first.slots) == "0-199" and ranges_text(second.slots) == "100-16383"
    assert all(source.slots is None for source in sources_of(Layout(tmp_path, print).home(1), None))


def test_ranges_as_text():
    flags = bytearray(SLOTS)
    assert ranges_text(None) is None and ranges_text(bytes(flags)) == ""
    flags[0] = flags[5] = flags[6] = flags[SLOTS - 1] = 1
    assert ranges_text(bytes(flags)) == "0,5-6,16383"
