"""Databases that are cleared: at once for clients, in steps for the memory."""
import pytest

from harness.resp import OK
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
    engine.settle()
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


def test_a_giant_slot_is_freed_in_pieces():
    """Many keys of one slot go in small steps too, each about as large as was asked for; what is left is whole."""
    engine = Engine("--databases", "2")
    keyspace = engine.server.keyspace
    for at in range(0, 30_000, 1000):
        engine("MSET", *[word for n in range(at, at + 1000) for word in (f"{{t}}{n}", "v" * 40)])
    engine("APPEND", "{t}5", "x" * 5000)
    full = alloc.used_memory()
    engine("FLUSHALL")
    assert keyspace.pending_free() == 30_000 and engine("DBSIZE") == 0
    before = alloc.used_memory()
    for _ in range(10):
        assert keyspace.free_step(100)
        assert before - alloc.used_memory() < full // 20
        before = alloc.used_memory()
    assert engine("SET {t}1 new") == OK and engine("DBSIZE") == 1
    while keyspace.free_step(100):
        assert keyspace.pending_free() + keyspace.lazy_freed == 30_000
    assert keyspace.pending_free() == 0 and keyspace.lazy_freed == 30_000
    assert engine("GET {t}1") == b"new"
    engine.check()
    assert full - alloc.used_memory() > 30_000 * 40
