"""Sets below their commands: what the journal is told, what they take, what is left where there is no memory."""
import gc

import pytest

from shardd.structures import alloc
from unit.inproc import Engine

FORMS = {b"intset": range(40), b"listpack": [f"m{n}" for n in range(40)], b"hashtable": [f"m{n}" for n in range(400)]}
MEMBERS = 20_000


@pytest.fixture
def engine():
    gc.collect()        # what other engines of this process have left is freed first: the list is the process's
    engine = Engine()
    drain(engine)
    engine.base = alloc.used_memory()
    yield engine
    alloc.set_limit(0)


@pytest.fixture(params=FORMS)
def content(request, engine):
    """What is in s, which has that form."""
    engine("SADD", "s", *FORMS[request.param])
    assert engine("OBJECT", "ENCODING", "s") == request.param
    return {str(one).encode() for one in FORMS[request.param]}


def drain(engine):
    while engine.server.keyspace.free_step(1000):
        pass


def told(engine, *command):
    engine.effects()
    reply = engine(*command)
    return reply, engine.effects()


def test_what_was_popped_is_removed(engine, content):
    engine.follow()
    member, effects = told(engine, "SPOP", "s")
    assert effects == [[b"SREM", b"s", member]]
    members, effects = told(engine, "SPOP", "s", 10)
    assert effects == [[b"SREM", b"s", *members]]
    members, effects = told(engine, "SPOP", "s", 1000)
    assert len(members) == len(content) - 11 and effects == [[b"DEL", b"s"]]
    engine("SADD", "s", "last")
    assert told(engine, "SPOP", "s") == (b"last", [[b"DEL", b"s"]])
    assert told(engine, "SPOP", "s") == (None, []) and told(engine, "SPOP", "s", 3) == ([], [])


def test_many_are_told_in_pieces(engine):
    engine.follow()
    engine("SADD", "s", *range(5000))
    members, effects = told(engine, "SPOP", "s", 3000)
    assert [len(words) - 2 for words in effects] == [1024, 1024, 952]
    assert [word for words in effects for word in words[2:]] == members


@pytest.mark.parametrize("command, changes", [
    ("SADD s a", True), ("SADD s 1", False), ("SREM s 1", True), ("SREM s x", False), ("SMOVE s t 1", True),
    ("SMOVE s t x", False), ("SINTERSTORE d s s", True), ("SINTERSTORE d s none", False), ("SUNIONSTORE d s", True),
    ("SDIFFSTORE s s s", True), ("SDIFFSTORE d s s", False), ("SMEMBERS s", False), ("SPOP s 0", False)])
def test_the_rest_is_told_as_it_came(engine, command, changes):
    engine.follow()
    engine("SADD", "s", 1, 2)
    words = command.encode().split()
    assert told(engine, *words)[1] == ([words] if changes else [])


def test_used_memory_is_what_a_walk_finds(engine, content):
    for number, member in enumerate(sorted(content)):
        engine("SADD" if number % 3 else "SMOVE", *(("t",) if number % 3 else ("s", "t")), member)
    engine("COPY", "s", "copy")
    engine("SUNIONSTORE", "u", "s", "t")
    engine("SINTERSTORE", "s", "s", "t")
    engine("SDIFFSTORE", "copy", "copy", "s")
    engine("SPOP", "u", len(content) // 2)
    engine("SPOP", "u")
    drain(engine)
    assert engine.check() == alloc.used_memory() - engine.base
    engine("FLUSHALL")
    drain(engine)
    assert engine.check() == alloc.used_memory() - engine.base


def test_what_is_computed_only_to_reply_is_freed(engine, content):
    engine("SADD", "t", 1, 2, "m1")
    before = alloc.used_memory()
    for line in ("SUNION s t", "SDIFF s t", "SDIFF t s s s", "SINTER s t", "SINTERCARD 2 s t"):
        engine(*line.split())
    drain(engine)
    assert alloc.used_memory() == before


def test_a_large_set_is_freed_in_steps(engine):
    for start in range(0, MEMBERS, 500):
        engine("SADD", "large", *(f"member:{n}" for n in range(start, start + 500)))
    before = alloc.used_memory()
    engine("SPOP", "large", MEMBERS)
    assert engine.server.keyspace.pending_free() == 1 and alloc.used_memory() > before - 100_000
    drain(engine)
    assert alloc.used_memory() < before - MEMBERS * 16


@pytest.mark.parametrize("line", [
    "SADD s {new}", "SADD t {new}", "SMOVE s t {member}", "SUNIONSTORE d s", "SINTERSTORE d s s", "SDIFFSTORE d s t",
    "SUNION s t", "SDIFF s none", "SADD s 99999999999999 {new}"])
def test_without_memory_nothing_is_lost(engine, content, line):
    """With ever less memory, down to none: an error, and what was there is there."""
    before = alloc.used_memory()
    words = line.format(new="x" * 3000, member=sorted(content)[0].decode()).split()
    for spare in (4000, 2000, 500, 200, 100, 50, 0):
        alloc.set_limit(before + spare)
        try:
            engine(*words)
        finally:
            alloc.set_limit(0)
        there = set(engine("SMEMBERS", "s")) | set(engine("SMEMBERS", "t"))
        assert content <= there
        drain(engine)
        assert engine.check() == alloc.used_memory() - engine.base
        for key in ("t", "d"):
            engine("DEL", key)
        engine("SADD", "s", *content)
        engine("SREM", "s", "x" * 3000, "99999999999999")
