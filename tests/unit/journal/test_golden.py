"""RDB files that Redis 7.0.15 and 8.0.6 and Valkey 9.1.2 have written: what was put in there is here.

Each was made by the commands that CONTENT stands for, with low limits for packed forms (4 elements; 3 in a list's
node), so that a few keys have all the forms. A "-more" file has a stream with a group and a library of functions, too.
"""
from pathlib import Path

import pytest

from harness import Status
from shardd.journal.rdb_in import RdbError
from unit.inproc import Engine
from unit.journal.test_rdb_load import load

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FILES = {"redis-7.0": (10, b"7.0.15"), "redis-8.0": (12, b"8.0.6"), "valkey-9.1": (80, b"9.1.2")}
DIGITS = [b"%d" % n for n in range(10)]
WHEN = 4_000_000_000_123

CONTENT = {
    b"text": b"value", b"number": b"-12345", b"long": b"again and again " * 20, b"binary": bytes(range(256)),
    b"key that expires": b"v", b"small list": [b"a", b"1", b"b"], b"large list": [*DIGITS, b"x" * 100],
    b"integers": {b"1", b"-2", b"70000"}, b"many integers": set(DIGITS[:9]), b"small set": {b"a", b"b", b"3"},
    b"large set": {b"member:" + n for n in DIGITS[:9]},
    b"small zset": [(b"c", b"-inf"), (b"a", b"1"), (b"b", b"2.5")],
    b"large zset": [(b"member:%d" % n, f"{n / 4:g}".encode()) for n in range(9)],
    b"small hash": {b"f": b"v", b"n": b"5"}, b"large hash": {b"field:" + n: n for n in DIGITS[:9]},
}
TIMED = {b"small timed hash": {b"a": b"1", b"b": b"2"}, b"large timed hash": {b"field:" + n: n for n in DIGITS[:9]}}


def value(engine, key):
    """What a key holds, in the form that CONTENT has it."""
    kind = engine("TYPE", key)
    if kind == Status("string"):
        return engine("GET", key)
    if kind == Status("list"):
        return engine("LRANGE", key, 0, -1)
    if kind == Status("set"):
        return set(engine("SMEMBERS", key))
    flat = engine("HGETALL", key) if kind == Status("hash") else engine("ZRANGE", key, 0, -1, "WITHSCORES")
    pairs = list(zip(flat[::2], flat[1::2]))
    return dict(pairs) if kind == Status("hash") else pairs


@pytest.fixture
def engine():
    return Engine()


@pytest.mark.parametrize("name", FILES)
def test_all_of_it(engine, name):
    version, maker = FILES[name]
    loader = load(engine, (GOLDEN / f"{name}.rdb").read_bytes())
    assert loader.version == version and maker in loader.aux.values()
    content = CONTENT if name == "redis-7.0" else CONTENT | TIMED
    assert {key: value(engine, key) for key in engine("KEYS", "*")} == content
    assert [key for key in content if engine("TTL", key) != -1] == [b"key that expires"]
    assert engine("PEXPIRETIME", "key that expires") == WHEN
    if name != "redis-7.0":
        assert engine("HPEXPIRETIME", "small timed hash", "FIELDS", 2, "a", "b") == [WHEN, -1]
        assert engine("HPEXPIRETIME", "large timed hash", "FIELDS", 4, *(f"field:{n}" for n in (2, 3, 4, 5))) == [
            -1, WHEN + 333, WHEN + 333, -1]
    engine("SELECT", 9)
    assert engine("KEYS", "*") == [b"text"] and engine("GET", "text") == b"of another database"


@pytest.mark.parametrize("name", FILES)
def test_what_we_cannot_hold(engine, name):
    data = (GOLDEN / f"{name}-more.rdb").read_bytes()
    with pytest.raises(RdbError, match="there is a (stream|function library), which this server cannot hold yet"):
        load(engine, data)
    engine("FLUSHALL")
    loader = load(engine, data, skip_unsupported=True)
    assert loader.skipped == {"stream": 1, "function library": 1}
    content = CONTENT if name == "redis-7.0" else CONTENT | TIMED
    assert sorted(engine("KEYS", "*")) == sorted(content)


@pytest.mark.parametrize("at", range(10, 1300, 61))
def test_cut_short(engine, at):
    """The end of a file is missing: at every sixty-first byte, for all of them take long."""
    data = (GOLDEN / "redis-8.0.rdb").read_bytes()
    with pytest.raises(RdbError):
        load(engine, data[:at])
