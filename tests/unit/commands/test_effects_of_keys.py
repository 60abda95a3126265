"""What the key and expiry commands tell the journal: what happened, not what was meant; nothing where nothing did."""
import random
import time

import pytest

from unit.inproc import Engine

FAR_MS = 4_000_000_000_000


@pytest.fixture
def engine() -> Engine:
    engine = Engine("--databases", "4")
    engine.follow()
    return engine


def told(engine: Engine, *command: object) -> list[list[bytes]]:
    engine.effects()
    engine(*command)
    return engine.effects()


@pytest.mark.parametrize("command, ttl, unit", [("EXPIRE", 100, 1000), ("PEXPIRE", 100_000, 1)])
def test_relative_times_become_absolute(engine, command, ttl, unit):
    engine("SET k v")
    before = int(time.time() * 1000)
    [[name, key, when]] = told(engine, command, "k", ttl)
    assert (name, key) == (b"PEXPIREAT", b"k")
    assert before - 1000 <= int(when) - ttl * unit <= int(time.time() * 1000) + 1000
    assert engine("PEXPIRETIME k") == int(when)


@pytest.mark.parametrize("command", [
    "EXPIREAT k 4000000000", "PEXPIREAT k 4000000000000", "PEXPIREAT k 4000000000000 NX", "EXPIREAT k 4000000000 LT"])
def test_absolute_times_without_conditions(engine, command):
    engine("SET k v")
    assert told(engine, command) == [[b"PEXPIREAT", b"k", b"%d" % FAR_MS]]


@pytest.mark.parametrize("command", [
    "EXPIRE k 0", "PEXPIRE k -5", "EXPIREAT k 1", "PEXPIREAT k 1", "PEXPIREAT k -1 LT"])
def test_past_times_are_deletions(engine, command):
    engine("SET k v")
    assert told(engine, command) == [[b"DEL", b"k"]]


@pytest.mark.parametrize("command", [
    "EXPIRE k 10 XX", "EXPIRE none 10", "EXPIRE k 10 GT", "EXPIRE k abc", "PERSIST k", "PERSIST none", "TTL k",
    "DEL none", "UNLINK none none", "TOUCH k", "EXISTS k", "RENAME none k", "RENAME k k", "RENAMENX k other",
    "COPY k other", "COPY none k", "COPY k other DB 9", "MOVE k 0", "MOVE k 1", "MOVE none 1", "SWAPDB 0 9", "SCAN 0",
    "KEYS *", "RANDOMKEY", "FLUSHALL BOGUS"])
def test_nothing_happened(engine, command):
    engine("SET k v")
    engine("SET other v")
    engine("COPY k k DB 1")
    dirty = engine.server.keyspace.dirty
    assert told(engine, command) == []
    assert engine.server.keyspace.dirty == dirty


@pytest.mark.parametrize("command", [
    "DEL k none", "UNLINK k", "RENAME k fresh", "RENAME k other", "RENAMENX k fresh", "COPY k fresh",
    "COPY k other REPLACE", "COPY k k DB 2", "MOVE k 2", "SWAPDB 0 1", "SWAPDB 3 3", "FLUSHDB", "FLUSHALL ASYNC",
    "PERSIST due"])
def test_as_it_came(engine, command):
    engine("SET k v")
    engine("SET other v")
    engine("SET due v EX 1000")
    assert told(engine, command) == [[word.encode() for word in command.split()]]


def test_flushing_nothing_is_told(engine):
    assert told(engine, "FLUSHALL") == [[b"FLUSHALL"]]


@pytest.mark.parametrize("command", [
    "GET k", "SCAN 0", "SCAN 0 TYPE list", "RANDOMKEY", "TTL k", "EXISTS k", "TYPE k", "TOUCH k", "OBJECT ENCODING k"])
def test_who_meets_a_due_key_deletes_it(engine, command):
    engine("SET k v PXAT 1")
    assert told(engine, command) == [[b"DEL", b"k"]]
    assert engine("DBSIZE") == 0


def test_keys_leaves_due_keys_alone(engine):
    engine("SET k v PXAT 1")
    assert told(engine, "KEYS *") == []
    assert engine("DBSIZE") == 1


def test_a_due_key_in_another_database(engine):
    engine("SET k v")
    engine("SELECT 1")
    engine("SET k w PXAT 1")
    engine("SELECT 0")
    assert told(engine, "MOVE k 1") == [[b"DEL", b"k"], [b"MOVE", b"k", b"1"]]


@pytest.mark.parametrize("seed", range(4))
def test_the_journal_gives_the_same_keyspace(engine, seed):
    """A copy that runs the effects holds the same keys, values and times as the engine itself."""
    rng = random.Random(seed)
    copy = Engine("--databases", "4")
    names = [f"{tag}{n}" for n in range(6) for tag in ("", "{t}")]
    for _ in range(3000):
        a, b = rng.choice(names), rng.choice(names)
        db = rng.randrange(4)
        ttl = rng.choice([-5, 500, 1000, 2000])     # none falls due while a slow build runs this
        engine(*rng.choice([
            ("SET", a, rng.choice(["v", "5", "x" * 100])), ("SET", a, "v", "PXAT", rng.choice([1, FAR_MS])),
            ("APPEND", a, "y"), ("DEL", a, b), ("RENAME", a, b), ("RENAMENX", a, b), ("COPY", a, b),
            ("COPY", a, b, "REPLACE"),
            ("COPY", a, b, "DB", db, "REPLACE"), ("MOVE", a, db), ("SELECT", db), ("SELECT", 0), ("EXPIRE", a, ttl),
            ("PEXPIRE", a, ttl * 1000, rng.choice(["NX", "XX", "GT", "LT"])), ("PEXPIREAT", a, FAR_MS + ttl),
            ("PERSIST", a), ("SWAPDB", db, rng.randrange(4)) if rng.random() < 0.1 else ("SCAN", 0), ("RANDOMKEY",),
            ("FLUSHDB",) if rng.random() < 0.1 else ("EXISTS", a)]))
    expected = engine.content()
    copy.replay(engine.journal())
    assert copy.content() == expected
    engine.check()
    copy.check()
