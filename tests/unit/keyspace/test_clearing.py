"""Databases that are cleared: at once for clients, in steps for the memory."""
import pytest

from shardd.structures import alloc
from unit.inproc import Engine


def fill(engine: Engine, count: int) -> None:
    for at in range(0, count, 1000):
        engine("MSET", *[word for n in range(at, at + 1000) for word in (f"key:{n}", "v")])
        engine("EXPIRE", f"key:{at}", 1000)


@pytest.mark.parametrize("count", [1000, 50_000])
def test_memory_comes_back(count):
    engine = Engine("--databases", "2")
    keyspace = engine.server.keyspace
    fill(engine, 1000)
    engine("FLUSHALL")
    empty = alloc.used_memory()
    fill(engine, count)
    engine("FLUSHALL")
    assert engine("DBSIZE") == 0
    assert engine("GET key:1") is None
    fill(engine, 1000)
    steps = 0
    while keyspace.free_step(8000):
        steps += 1
    assert (steps > 3) == (count > 20_000), "much is freed in steps, little at once"
    assert keyspace.pending_free() == 0
    assert engine("DBSIZE") == 1000
    engine.check()
    engine("FLUSHALL")
    assert alloc.used_memory() == empty
