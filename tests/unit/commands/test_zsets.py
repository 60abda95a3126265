"""Sorted sets below their commands: what the journal is told, what they take, what is left where there is no memory."""
import gc

import pytest

from harness import NULL_ARRAY
from shardd.structures import alloc
from unit.inproc import Engine

FORMS = {b"listpack": 40, b"skiplist": 400}


@pytest.fixture
def engine():
    gc.collect()        # what other engines of this process have left is freed first: the list is the process's
    engine = Engine("--enable-debug-command", "yes")
    drain(engine)
    engine.base = alloc.used_memory()
    yield engine
    alloc.set_limit(0)


@pytest.fixture(params=FORMS)
def size(request, engine):
    """How many members are in z, m0 and so on with scores of 0 and so on; it has that form."""
    engine("ZADD", "z", *pairs(FORMS[request.param]))
    assert engine("OBJECT", "ENCODING", "z") == request.param
    return FORMS[request.param]


def pairs(count):
    return [word for n in range(count) for word in (n, f"m{n}")]


def drain(engine):
    while engine.server.keyspace.free_step(1000):
        pass


def told(engine, *command):
    engine.effects()
    reply = engine(*command)
    return reply, engine.effects()


def test_zmpop_is_told_as_what_it_was(engine, size):
    engine.follow()
    reply, effects = told(engine, "ZMPOP", 2, "none", "z", "MAX", "COUNT", 3)
    assert reply[0] == b"z" and len(reply[1]) == 3 and effects == [[b"ZPOPMAX", b"z", b"3"]]
    reply, effects = told(engine, "ZMPOP", 1, "z", "MIN", "COUNT", 1000)
    assert len(reply[1]) == size - 3 and effects == [[b"ZPOPMIN", b"z", b"%d" % (size - 3)]]
    assert told(engine, "ZMPOP", 1, "z", "MIN") == (NULL_ARRAY, [])


@pytest.mark.parametrize("command, changes", [
    ("ZADD z 1 new", True), ("ZADD z 0 m0", False), ("ZADD z NX 5 m0", False), ("ZADD z XX 5 new", False),
    ("ZADD z GT -1 m0", False), ("ZADD z INCR 1 m0", True), ("ZINCRBY z 0 m0", False),
    ("ZINCRBY z 0.1 m1", True), ("ZREM z m0 none", True), ("ZREM z none", False),
    ("ZPOPMIN z", True), ("ZPOPMIN z 2", True), ("ZPOPMAX none", False), ("ZPOPMIN z 0", False),
    ("ZADD none XX 1 m", False)])
def test_the_rest_is_told_as_it_came(engine, size, command, changes):
    engine.follow()
    words = command.encode().split()
    assert told(engine, *words)[1] == ([words] if changes else [])


@pytest.mark.parametrize("command", ["ZADD z 7.25 {new}", "ZADD z 1.5 m30", "ZINCRBY z -100 m20", "ZREM z m10",
                                     "ZPOPMAX z 9", "ZADD new 1 {new}"])
def test_without_memory_nothing_changes(engine, size, command):
    engine("ZADD", "z", 1.0, "filler" * 9)
    words = command.replace("{new}", "n" * 60).split()
    before = engine("DEBUG", "DIGEST")
    for room in range(0, 9000, 8):
        alloc.set_limit(alloc.used_memory() + room)
        reply = engine(*words)
        alloc.set_limit(0)
        engine.check()
        if not str(reply).startswith("OOM"):
            break
        assert engine("DEBUG", "DIGEST") == before
    assert engine("DEBUG", "DIGEST") != before


def test_memory_is_given_back(engine, size):
    engine("ZADD", "z", *pairs(5000))
    engine("COPY", "z", "y")
    assert engine.check() == alloc.used_memory() - engine.base
    engine("DEL", "z", "y")
    drain(engine)
    assert engine.check() == alloc.used_memory() - engine.base
