"""RESTORE and RESTORE-ASKING: what DUMP gave is there again; what is no payload, or a damaged one, is refused."""
import struct

import pytest

from harness import OK, Error, rdb
from harness.texts import INT64_MAX, NOT_INT, SYNTAX, arity

BUSY = Error("BUSYKEY Target key name already exists.")
TTL = Error("ERR Invalid TTL value, must be >= 0")
IDLE = Error("ERR Invalid IDLETIME value, must be >= 0")
FREQ = Error("ERR Invalid FREQ value, must be >= 0 and <= 255")
PAYLOAD = Error("ERR DUMP payload version or checksum are wrong")
FORMAT = Error("ERR Bad data format")

# name -> commands that make the key "k"
VALUES = {
    "number": ["SET k 12345"],
    "negative": ["SET k -100"],
    "large number": ["SET k 12345678901234"],
    "empty": [["SET", "k", ""]],
    "text": ["SET k value"],
    "compressed": [["SET", "k", "again and again " * 50]],
    "binary": [["SET", "k", bytes(range(256)) * 300]],
    "small list": ["RPUSH k a 1 -5000 b"],
    "long list": [["RPUSH", "k", *(f"element {i}" for i in range(3000))]],
    "large element": [["RPUSH", "k", "first", "again and again " * 1000, "last"]],
    "intset": ["SADD k 1 -2 3"],
    "wide intset": ["SADD k 1 70000 99999999999"],
    "small set": ["SADD k a b 17"],
    "large set": [["SADD", "k", *(f"member:{i}" for i in range(1000))]],
    "many integers": [["SADD", "k", *range(1000)]],
    "small zset": ["ZADD k 1 a 2.5 b -inf c inf d -7 e"],
    "large zset": [["ZADD", "k", *(word for i in range(500) for word in (i / 7, f"member:{i}"))]],
    "small hash": ["HSET k f v n 5"],
    "large hash": [["HSET", "k", *(word for i in range(1000) for word in (f"field:{i}", i))]],
    "long value": [["HSET", "k", "f", "again and again " * 50]],
}


def payload(body: bytes, version: int = 9) -> bytes:
    """A value's type and bytes, as DUMP gives it."""
    return rdb.payload(body[0], body[1:], version)


TEXT = payload(b"\x00\x05value")


def make(target, commands) -> None:
    for command in commands:
        target.must(*([command] if isinstance(command, str) else command))


@pytest.mark.parametrize("name", VALUES)
def test_what_dump_gave(r, oracle, name):
    make(r, VALUES[name])
    kind, digest = r("TYPE k"), r("DEBUG DIGEST-VALUE k")
    dumped = r("DUMP k")
    r("DEL k")
    assert r("RESTORE", "k", 0, dumped) == OK
    assert (r("TYPE k"), r("DEBUG DIGEST-VALUE k")) == (kind, digest)
    assert r("TTL k") == -1
    # and what the real one dumps
    oracle("FLUSHALL")
    make(oracle, VALUES[name])
    assert r("RESTORE", "k", 0, oracle("DUMP k"), "REPLACE") == OK
    assert (r("TYPE k"), r("DEBUG DIGEST-VALUE k")) == (kind, digest)


@pytest.mark.parametrize("name, encoding", [
    ("number", "int"), ("text", "embstr"), ("compressed", "raw"), ("intset", "intset"), ("large set", "hashtable"),
    ("many integers", "hashtable"), ("small zset", "listpack"), ("large zset", "skiplist"), ("small hash", "listpack"),
    ("large hash", "hashtable"), ("long value", "hashtable"), ("long list", "quicklist")])
def test_encodings(r, name, encoding):
    make(r, VALUES[name])
    dumped = r("DUMP k")
    assert r("RESTORE", "k", 0, dumped, "REPLACE") == OK
    assert r("OBJECT ENCODING k") == encoding.encode()


def test_arguments(r):
    for line in ("RESTORE", "RESTORE k", "RESTORE k 0"):
        assert r(line) == arity("restore")
    assert r("RESTORE", "k", 0, TEXT, "NOSUCH") == SYNTAX
    assert r("RESTORE", "k", 0, TEXT, "IDLETIME") == SYNTAX
    assert r("RESTORE", "k", 0, TEXT, "FREQ") == SYNTAX
    assert r("RESTORE", "k", 0, TEXT, "FREQ", 1, "IDLETIME", 1) == SYNTAX
    assert r("RESTORE", "k", 0, TEXT, "IDLETIME", 1, "FREQ", 1) == SYNTAX
    assert r("RESTORE", "k", 0, TEXT, "IDLETIME", "x") == NOT_INT
    assert r("RESTORE", "k", 0, TEXT, "IDLETIME", -1) == IDLE
    assert r("RESTORE", "k", 0, TEXT, "FREQ", "x") == NOT_INT
    assert r("RESTORE", "k", 0, TEXT, "FREQ", -1) == FREQ
    assert r("RESTORE", "k", 0, TEXT, "FREQ", 256) == FREQ
    assert r("RESTORE", "k", "x", TEXT) == NOT_INT
    assert r("RESTORE", "k", -1, TEXT) == TTL
    assert r("RESTORE", "k", "-1", "nonsense", "ABSTTL") == TTL
    assert r("EXISTS k") == 0
    assert r("RESTORE", "k", 0, TEXT, "replace", "absTTL", "Freq", 7, "FREQ", 9) == OK
    assert r("GET k") == b"value"


def test_busy(r):
    r("SADD k member")
    assert r("RESTORE", "k", -1, "nonsense") == BUSY
    assert r("RESTORE", "k", 0, TEXT) == BUSY
    assert r("SMEMBERS k") == [b"member"]
    assert r("RESTORE", "k", 0, "nonsense", "REPLACE") == PAYLOAD
    assert r("SMEMBERS k") == [b"member"]
    r("EXPIRE k 1000")
    assert r("RESTORE", "k", 0, TEXT, "REPLACE") == OK
    assert (r("GET k"), r("TTL k")) == (b"value", -1)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"123456789", TEXT[:-1], TEXT + b"x", b"\x01" + TEXT[1:],
                                  TEXT[:-1] + bytes([TEXT[-1] ^ 1]), payload(b"\x00\x05value", 79)])
def test_what_is_no_payload(r, data):
    assert r("RESTORE", "k", 0, data) == PAYLOAD
    assert r("EXISTS k") == 0


@pytest.mark.parametrize("body", [
    b"\x00\xc4", b"\x00\xc3\x01\x05\x00", b"\x63\x05value", b"\x08\x05value",
    b"\x04\x00", b"\x02\x00", b"\x05\x00", b"\x12\x00", b"\x02\x02\x01a\x01a",
    b"\x0b\x05value", b"\x10\x05value", b"\x11\x05value", b"\x12\x01\x02\x05value", b"\x12\x01\x03\x05value",
    b"\x05\x01\x01a" + struct.pack("<d", float("nan")), b"\x03\x01\x01a\xfd"])
def test_damaged(r, body):
    assert r("RESTORE", "k", 0, payload(body)) == FORMAT
    assert r("EXISTS k") == 0


@pytest.mark.not_on("oracle", reason="believes what its default does not check")
@pytest.mark.parametrize("body", [
    b"\x00\x05value!", b"\x00\x06value", b"\x00\x05valu",                    # too short, too long
    b"\x04\x02\x01a\x011\x01a\x012",                                           # a field twice
    b"\x03\x01\x01a\x03nan", b"\x03\x01\x01a\x02xy",                            # scores that are none
    b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x02\x00\x01\x00\x03\x00",        # an intset out of order
    b"\x10\x0f\x0f\x00\x00\x00\x04\x00\x81a\x02\x01\x01\x81a\x02\x02\x01\xff"[:-1] + b"\xff",   # a field twice
    b"\x10\x0a\x0a\x00\x00\x00\x01\x00\x81a\x02\xff",                           # a field without value
    b"\x11\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x81b\x02\xff",                  # a score that is none
])
def test_damage_deep_inside(r, body):
    assert r("RESTORE", "k", 0, payload(body)) == FORMAT
    assert r("EXISTS k") == 0


def test_time_to_live(r):
    assert r("RESTORE", "k", 100_000, TEXT) == OK
    assert 99_000 < r("PTTL k") <= 100_000
    assert r("RESTORE", "k", 4_000_000_000_123, TEXT, "ABSTTL", "REPLACE") == OK
    assert r("PEXPIRETIME k") == 4_000_000_000_123
    assert r("RESTORE", "k", 0, TEXT, "ABSTTL", "REPLACE") == OK
    assert r("PTTL k") == -1
    # over already: it came and went
    assert r("RESTORE", "k", 1, TEXT, "ABSTTL", "REPLACE") == OK
    assert r("EXISTS k") == 0
    assert r("RESTORE", "k", 1, TEXT, "ABSTTL") == OK
    assert r("EXISTS k") == 0


@pytest.mark.not_on("oracle", reason="its sum overflows")
def test_time_to_live_beyond_all_time(r):
    assert r("RESTORE", "k", INT64_MAX, TEXT) == TTL


def test_idle_time_and_frequency(r):
    assert r("RESTORE", "k", 0, TEXT, "IDLETIME", 1000) == OK
    assert 1000 <= r("OBJECT IDLETIME k") < 1100
    assert r("RESTORE", "k", 0, TEXT, "FREQ", 100, "REPLACE") == OK
    assert r("OBJECT IDLETIME k") < 100


@pytest.mark.not_on("cluster", reason="an option of one server")
def test_frequency_where_it_counts(r):
    r("CONFIG SET maxmemory-policy allkeys-lfu")
    try:
        assert r("RESTORE", "k", 0, TEXT, "FREQ", 100) == OK
        assert 99 <= r("OBJECT FREQ k") <= 100
        assert r("RESTORE", "k", 0, TEXT, "IDLETIME", 100, "REPLACE") == OK
        assert r("OBJECT FREQ k") <= 6
    finally:
        r("CONFIG SET maxmemory-policy noeviction")


def test_in_a_transaction(r):
    assert r("MULTI") == OK
    r("RESTORE", "k", 0, TEXT)
    r("GET k")
    assert r("EXEC") == [OK, b"value"]


def test_asking(r):
    assert r("RESTORE-ASKING", "k", 0, TEXT) == OK
    assert r("GET k") == b"value"
    assert r("RESTORE-ASKING", "k", 0, TEXT) == BUSY


FAR = 4_000_000_000_123
TIMED = {
    "Redis 8.0, small": rdb.payload(rdb.HASH_LISTPACK_EX, struct.pack("<Q", FAR) + rdb.string(
        rdb.listpack([b"a", 1, FAR, b"b", 2, 0])), 12),
    "Redis 8.0, large": rdb.payload(rdb.HASH_METADATA, struct.pack("<Q", FAR) + b"\2\1" + rdb.string("a")
                                    + rdb.string("1") + b"\0" + rdb.string("b") + rdb.string("2"), 12),
    "Valkey 9": rdb.payload(rdb.HASH_2, b"\2" + rdb.string("a") + rdb.string("1") + struct.pack("<q", FAR)
                            + rdb.string("b") + rdb.string("2") + struct.pack("<q", -1), 80),
}


@pytest.mark.not_on("oracle", reason="7.0 has no fields that expire")
@pytest.mark.parametrize("name", TIMED)
def test_fields_that_expire(r, name):
    assert r("RESTORE", "k", 0, TIMED[name]) == OK
    assert r("HMGET k a b") == [b"1", b"2"]
    assert r("HPEXPIRETIME k FIELDS 2 a b") == [FAR, -1]
    assert r("RESTORE", "copy", 0, r("DUMP k")) == OK
    assert r("HPEXPIRETIME copy FIELDS 2 a b") == [FAR, -1]


@pytest.mark.not_on("oracle", reason="7.0 refuses what later ones dump")
@pytest.mark.parametrize("version, reply", [(11, OK), (12, OK), (13, OK), (14, OK), (15, PAYLOAD), (79, PAYLOAD),
                                            (80, OK), (81, OK), (82, PAYLOAD), (65535, PAYLOAD)])
def test_versions(r, version, reply):
    assert r("RESTORE", "k", 0, payload(b"\x00\x05value", version)) == reply


@pytest.mark.parametrize("body", [b"\x0f", b"\x13", b"\x15", b"\x07", b"\x06"], ids=["stream", "stream 2", "stream 3",
                                                                                     "module", "old module"])
def test_what_we_cannot_hold(r, body):
    """Or is damaged: the oracle has streams."""
    assert r("RESTORE", "k", 0, payload(body + b"\xff" * 20)) == FORMAT
