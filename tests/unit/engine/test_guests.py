"""SHARDD READ, LEND, COMPUTE, STORE, KEEP, DROP: values on their way between engines."""
import gc
import time

import pytest

from harness.resp import OK, Error, SetReply, encode
from shardd.base import errors, limits
from shardd.net.client import ClientFlag
from shardd.structures import alloc
from shardd.wire.plain import Decoder
from unit.inproc import Caller, Engine

WRONGTYPE = Error("WRONGTYPE Operation against a key holding the wrong kind of value")


@pytest.fixture
def engine():
    return Engine("--enable-debug-command", "yes")


@pytest.fixture
def other():
    """The engine from which values come."""
    return proxy_of(Engine("--enable-debug-command", "yes"))


@pytest.fixture
def proxy(engine):
    caller = proxy_of(engine)
    assert caller("SHARDD", "HOLD", "5000") == OK
    return caller


def proxy_of(engine):
    caller = Caller(engine)
    caller.session.flags |= ClientFlag.INTERNAL
    return caller


def drain(engine):
    while engine.server.keyspace.free_step(10_000):
        pass


def first_piece(caller, key):
    """[kind, length, next cursor, expiry, piece]"""
    reply = caller("SHARDD", "READ", key)
    return reply and reply[:3] + reply[4:]


def carry(source, target, key):
    """Lend a key of one engine to another; how many pieces that took."""
    kind, _, at, count, expiry, piece = source("SHARDD", "READ", key)
    assert target("SHARDD", "LEND", key, kind, piece) == OK
    pieces = 1
    while at:
        _, _, at, count, _, piece = source("SHARDD", "READ", key, at, count)
        assert target("SHARDD", "LEND", key, kind, piece) == OK
        pieces += 1
    return pieces


def guest(source, key):
    """What COMPUTE and STORE are told of a key that fits a piece."""
    reply = source("SHARDD", "READ", key)
    return [key, "none", ""] if reply is None else [key, reply[0], reply[5]]


SCORES = ("inf", "-inf", "-0", "0.1", "3", "-2.5", "5e-324", "1.7976931348623157e308", "9007199254740993", "1e21",
          "123456789.123456789", "-1e-7", "4611686018427387904", "9223372036854775807")

VALUES = {
    "string": [("SET", "k", "v")], "bytes": [("SET", "k", bytes(range(256)))], "empty": [("SET", "k", "")],
    "int": [("SET", "k", "12")], "raw": [("SET", "k", "1"), ("APPEND", "k", "2")],
    "float": [("SET", "k", "12"), ("INCRBYFLOAT", "k", "1")], "long": [("SET", "k", "x" * 1_000_000)],
    "hash": [("HSET", "k", "f", "v", "", "", b"\r\n", b"\0")],
    "hash with times": [("HSETEX", "k", "PXAT", 4_000_000_000_000, "FIELDS", 2, "f", "v", b"\0", ""),
                        ("HSET", "k", "g", "w")],
    "hash of fields that expire": [
        ("HSET", "k", "a", "1", "b", "2", "c", "3"), ("HPEXPIREAT", "k", "1900000000000", "FIELDS", "2", "a", "c")],
    "large hash": [("HSET", "k", *[word for n in range(6000) for word in (f"field:{n}", f"value:{n}")])],
    "intset": [("SADD", "k", *range(100))], "set": [("SADD", "k", "a", "", b"\r\n$1\r\n", *range(20))],
    "large set": [("SADD", "k", *[f"member:{n}" for n in range(20_000)])],
    "list": [("RPUSH", "k", "b", "a", "", "12", b"\r\n")],
    "large list": [("RPUSH", "k", *[f"element:{n}" for n in range(20_000)])],
    "sorted set": [("ZADD", "k", "1.5", "b", "-inf", "a", "0.1", "", "inf", "c", "1e-300", "d")],
    "large sorted set": [("ZADD", "k", *[word for n in range(10_000) for word in (n / 7, f"member:{n}")])],
    "scores": [("ZADD", "k", *[word for n, score in enumerate(SCORES) for word in (score, f"m{n}")])],
    "scores of a large one": [("ZADD", "k", *[word for n in range(3000) for word in (
        SCORES[n % len(SCORES)] if n % 2 else repr((n * 7919 % 3000) / 7), f"m{n}")])],
    "large hash of which some fields expire": [
        ("HSET", "k", *[word for n in range(5000) for word in (f"f{n}", n)]),
        ("HPEXPIREAT", "k", 1_900_000_000_000, "FIELDS", 2, "f7", "f4000")],
    "long members": [("SADD", "k", *[f"{n}" * 10_000 for n in range(100)])],
}
IN_PIECES = {"long": 8, "large hash": 3, "large list": 3, "large sorted set": 4, "large set": 9, "long members": 10}


@pytest.fixture(params=VALUES)
def value(request, other):
    """The key k of the other engine."""
    for command in VALUES[request.param]:
        assert not isinstance(other(*command), Error)
    return request.param


def test_a_value_stays_what_it_is(engine, proxy, other, value):
    assert carry(other, proxy, "k") >= IN_PIECES.get(value, 1)
    assert engine.server.keyspace.total_keys() == 0, "it is in no database yet"
    assert proxy("SHARDD", "KEEP", "k", "new", -1, "gcopy_to") == OK
    for question in (("TYPE",), ("OBJECT", "ENCODING"), ("DEBUG", "DIGEST-VALUE")):
        assert proxy(*question, "new") == other(*question, "k"), question
    if value == "hash of fields that expire":
        assert proxy("HPEXPIRETIME", "new", "FIELDS", 3, "a", "b", "c") == [1_900_000_000_000, -1, 1_900_000_000_000]
    assert proxy("PTTL", "new") == -1 and proxy("EXISTS", "k") == 0
    engine.check()


def test_read(other):
    other("SET", "k", "12", "PXAT", "1900000000000")
    assert first_piece(other, "k") == [b"string", 2, 0, 1_900_000_000_000, b"12"]
    other("APPEND", "k", "3")
    assert first_piece(other, "k") == [b"raw", 3, 0, 1_900_000_000_000, b"123"]
    other("INCRBYFLOAT", "k", "1")
    assert first_piece(other, "k") == [b"embstr", 3, 0, 1_900_000_000_000, b"124"]
    other("SELECT", "3")
    assert first_piece(other, "k") is None
    other("SADD", "k", "a", "b")
    kind, length, at, expiry, piece = first_piece(other, "k")
    assert (kind, length, at, expiry) == (b"set", 2, 0, -1)
    assert sorted(piece.split(b"\r\n")) == sorted(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n".split(b"\r\n"))
    other("SADD", "k", *range(50_000))
    assert len(first_piece(other, "k")[4]) < 2 * limits.PIECE_BYTES


def test_a_key_that_is_due_is_none(other):
    other("SET", "k", "v", "PX", "1")
    time.sleep(0.01)
    assert other("SHARDD", "READ", "k") is None


def test_clients_do_not_have_them(engine):
    client = Caller(engine)
    for line in ("READ k", "LEND k set x", "COMPUTE 0 GET k", "STORE 0 SINTERSTORE a b", "KEEP a b -1 gx", "DROP k gx"):
        words = line.split()
        assert client("SHARDD", *words) == Error(errors.unknown_command(
            b"SHARDD", [word.encode() for word in words]).decode()), line


def test_compute(engine, proxy, other):
    other("SADD", "s", "a", "b", "c")
    proxy("SADD", "t", "b", "c", "d")
    assert sorted(proxy("SHARDD", "COMPUTE", 1, *guest(other, "s"), "SINTER", "s", "t")) == [b"b", b"c"]
    assert proxy("SHARDD", "COMPUTE", 2, *guest(other, "s"), *guest(other, "x"), "SINTER", "s", "t", "x") == []
    assert proxy("SHARDD", "COMPUTE", 1, *guest(other, "s"), "SINTERCARD", 2, "t", "s", "LIMIT", 1) == 1
    assert sorted(proxy("SHARDD", "COMPUTE", 0, "SMEMBERS", "t")) == [b"b", b"c", b"d"]
    assert proxy("SHARDD", "COMPUTE", 0, "SINTER", "s", "t") == [], "each is gone with its command"
    assert proxy("HELLO", 3) is not None
    assert isinstance(proxy("SHARDD", "COMPUTE", 1, *guest(other, "s"), "SUNION", "s", "t"), SetReply)
    other("SET", "string", "x")
    assert proxy("SHARDD", "COMPUTE", 1, *guest(other, "string"), "SUNION", "t", "string") == WRONGTYPE
    assert proxy("SHARDD", "COMPUTE", 1, *guest(other, "s"), "SINTERCARD", 2, "t", "s", "LIMIT") == Error(
        "ERR syntax error")
    assert proxy("KEYS", "*") == [b"t"]
    engine.check()


def test_store_leaves_its_guests_behind(engine, proxy, other):
    engine.follow()
    other("SADD", "s", *range(3), "x")
    proxy("SADD", "t", "y")
    proxy("SET", "d", "old")
    engine.effects()
    assert proxy("SHARDD", "STORE", 1, *guest(other, "s"), "SUNIONSTORE", "d", "s", "t") == 5
    assert sorted(proxy("SMEMBERS", "d")) == [b"0", b"1", b"2", b"x", b"y"]
    words = list(Decoder().feed(engine.journal()))
    assert [words[0], words[-1]] == [[b"MULTI"], [b"EXEC"]], "one step for who reads it"
    effects = [effect for effect in words[1:-1] if effect[0] != b"SELECT"]
    assert effects[0] == [b"DEL", b"d"] and len(effects) == 2
    assert effects[1][:2] == [b"SADD", b"d"] and sorted(effects[1][2:]) == [b"0", b"1", b"2", b"x", b"y"]
    assert proxy("SHARDD", "STORE", 1, *guest(other, "s"), "SINTERSTORE", "d", "s", "t") == 0
    assert engine.effects() == [[b"DEL", b"d"]]
    assert proxy("SHARDD", "STORE", 1, *guest(other, "s"), "SINTERSTORE", "d", "s", "t") == 0
    assert engine.effects() == [], "nothing was there, nothing changed"
    other("SET", "string", "x")
    assert proxy("SHARDD", "STORE", 1, *guest(other, "string"), "SUNIONSTORE", "d", "string", "t") == WRONGTYPE
    assert engine.effects() == [] and sorted(proxy("KEYS", "*")) == [b"t"]
    engine.check()


def test_what_was_kept_is_told_as_one(engine, proxy, other, value):
    """Another engine that is told the same has the same."""
    engine.follow()
    proxy("SET", "new", "old", "EX", "100")
    engine.effects()
    carry(other, proxy, "k")
    assert engine.effects() == []
    assert proxy("SHARDD", "KEEP", "k", "new", 1_900_000_000_000, "gcopy_to") == OK
    journal = engine.journal()
    assert proxy("PEXPIRETIME", "new") == 1_900_000_000_000
    replica = Engine("--enable-debug-command", "yes")
    for words in without_frame(journal):
        assert not isinstance(replica(*words), Error)
    assert replica("DEBUG", "DIGEST-VALUE", "new") == proxy("DEBUG", "DIGEST-VALUE", "new")
    assert replica("PEXPIRETIME", "new") == 1_900_000_000_000
    assert proxy("SHARDD", "DROP", "new", "grename_from") == 1
    assert engine.effects() == [[b"DEL", b"new"]]
    assert proxy("SHARDD", "DROP", "new", "grename_from") == 0 and engine.effects() == []


def without_frame(journal):
    """The effects of a journal, without what makes them one."""
    return [words for words in Decoder().feed(journal) if words[0] not in (b"MULTI", b"EXEC")]


def test_guests_go_with_the_hold(engine, proxy, other):
    other("SADD", "s", *range(1000), "x")
    carry(other, proxy, "s")        # the slot tables are made with the first key
    assert proxy("SHARDD", "RELEASE") == OK and proxy("SHARDD", "HOLD", 1000) == OK
    gc.collect()
    drain(engine)
    before = alloc.used_memory()
    carry(other, proxy, "s")
    assert alloc.used_memory() > before
    assert proxy("SHARDD", "COMPUTE", 0, "SINTERCARD", 1, "s") == 1001
    assert proxy("SHARDD", "RELEASE") == OK
    drain(engine)
    assert alloc.used_memory() == before
    assert proxy("SHARDD", "COMPUTE", 0, "SINTERCARD", 1, "s") == 0
    assert proxy("SHARDD", "LEND", "s", "set", "*1\r\n$1\r\na\r\n") == Error(errors.HOLD_OVER.decode())
    assert proxy("SHARDD", "KEEP", "s", "s", -1, "gx") == Error(errors.HOLD_OVER.decode())
    assert proxy("SHARDD", "HOLD", 1000) == OK
    assert proxy("SHARDD", "KEEP", "s", "s", -1, "gx") == Error("ERR no such key")
    carry(other, proxy, "s")
    proxy.sock.close()
    assert engine("PING") is not None
    drain(engine)
    assert alloc.used_memory() == before


def test_a_guest_hides_no_key_of_ours(engine, proxy, other):
    other("SADD", "s", "x")
    proxy("SADD", "s", "ours")
    error = Error(errors.GUEST_AT_HOME.decode())
    assert proxy("SHARDD", "COMPUTE", 1, *guest(other, "s"), "SINTER", "s", "t") == error
    assert proxy("SHARDD", "LEND", *guest(other, "s")) == error
    assert proxy("SMEMBERS", "s") == [b"ours"]


def test_guests_make_no_noise(engine, proxy, other):
    """Neither statistics of changes nor events; what the command itself does is told."""
    other("SADD", "s", *range(1000))
    dirty = engine.server.keyspace.dirty
    proxy("SHARDD", "COMPUTE", 1, *guest(other, "s"), "SINTER", "s", "t")
    carry(other, proxy, "s")
    assert engine.server.keyspace.dirty == dirty and engine.server.keyspace.total_keys() == 0


@pytest.mark.parametrize("words", [
    ("COMPUTE", "x", "GET", "k"), ("COMPUTE", -1, "GET", "k"), ("COMPUTE", 1, "GET", "k"),
    ("COMPUTE", 2**63, "GET", "k"), ("COMPUTE", 1, "s", "set", "x", "SMEMBERS", "s"),
    ("COMPUTE", 1, "s", "set", "*1\r\n$5\r\na\r\n", "SMEMBERS", "s"),
    ("COMPUTE", 1, "s", "set", "*2\r\n$1\r\na\r\n", "SMEMBERS", "s"),
    ("COMPUTE", 1, "s", "set", "*-1\r\n", "SMEMBERS", "s"), ("READ", "k", "1"), ("READ", "k", "-1", "1"),
    ("READ", "k", "1", "x"), ("LEND", "k", "set", "$1\r\na\r\n")])
def test_nonsense(engine, proxy, words):
    assert proxy("SHARDD", *words) == Error("ERR syntax error")
    assert proxy("DBSIZE") == 0


def test_nothing_is_lost_without_memory(engine, proxy, other):
    """Whatever allocation fails, the keyspace is sound and has what it had."""
    other("SADD", "s", *range(700), "x")
    proxy("SADD", "t", *range(500), "y")
    words = encode(*[str(w).encode() if not isinstance(w, bytes) else w for w in (
        "SHARDD", "STORE", 1, *guest(other, "s"), "SUNIONSTORE", "d", "s", "t")])
    failures = 0
    for room in range(0, 200_000, 2_500):
        alloc.set_limit(alloc.used_memory() + room)
        try:
            proxy.send(words)
            reply = proxy.read()
        finally:
            alloc.set_limit(0)
        failures += isinstance(reply, Error)
        assert reply == 702 or isinstance(reply, Error) and reply.startswith("OOM"), reply
        assert sorted(proxy("KEYS", "*")) == ([b"t"] if reply != 702 else [b"d", b"t"])
        proxy("DEL", "d")
        engine.check()
    assert failures > 3
