"""Collections in the keyspace: what they take, and that large ones give it back in steps."""
import gc

import pytest

from shardd.structures import alloc
from unit.inproc import Engine

FIELDS = 20_000


@pytest.fixture
def engine():
    gc.collect()        # what other engines of this process have left is freed first: the list is the process's
    engine = Engine()
    drain(engine)
    engine.server.keyspace.lazy_freed = 0
    engine.base = alloc.used_memory()
    for start in range(0, FIELDS, 500):
        engine("HSET", "large", *(word for n in range(start, start + 500) for word in (f"field:{n}", n)))
    engine("HSET", "small", "a", 1)
    return engine


def drain(engine):
    """Free what there is to free."""
    while engine.server.keyspace.free_step(1000):
        pass


def test_used_memory_is_what_a_walk_finds(engine):
    assert engine.check() == alloc.used_memory() - engine.base
    assert engine("COPY", "large", "copy") == 1
    assert engine("HDEL", "copy", "field:1") == 1 and engine("HLEN", "large") == FIELDS
    assert engine.check() == alloc.used_memory() - engine.base


@pytest.mark.parametrize("command", [("DEL", "large"), ("SET", "large", "x"), ("RENAME", "small", "large"),
                                     ("PEXPIRE", "large", "-1"), ("FLUSHALL",)])
def test_a_large_value_is_freed_in_steps(engine, command):
    before = alloc.used_memory()
    engine(*command)
    assert engine.server.keyspace.pending_free() == 1
    assert alloc.used_memory() > before - 100_000, "its memory is still in use"
    drain(engine)
    assert engine.server.keyspace.pending_free() == 0 and engine.server.keyspace.lazy_freed == 1
    assert alloc.used_memory() < before - FIELDS * 20
    assert engine.check() == alloc.used_memory() - engine.base


def test_a_small_one_goes_at_once(engine):
    before = alloc.used_memory()
    assert engine("DEL", "small") == 1
    assert engine.server.keyspace.pending_free() == 0 and alloc.used_memory() < before


def test_without_memory_a_hash_stays_as_it_is(engine):
    content = sorted(engine("HGETALL", "small"))
    alloc.set_limit(alloc.used_memory() + 64)
    try:
        for command in (("HSET", "small", "b", "x" * 5000), ("HSET", "new", "f", "x" * 5000),
                        ("HSETNX", "new", "f", "x" * 5000), ("HINCRBY", "new", "f" * 5000, 1),
                        ("COPY", "large", "copy")):
            assert engine(*command).startswith("OOM"), command
    finally:
        alloc.set_limit(0)
    assert sorted(engine("HGETALL", "small")) == content
    assert engine("EXISTS", "new") == 0 and engine("EXISTS", "copy") == 0
    assert engine.check() > 0


@pytest.mark.parametrize("count", ["-9223372036854775807", "-4294967296"])
def test_a_giant_number_of_random_fields_is_refused(engine, count):
    assert str(engine("HRANDFIELD", "small", count)) == "ERR value is out of range"
    assert len(engine("HRANDFIELD", "small", "-1000")) == 1000
