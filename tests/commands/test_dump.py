"""DUMP: what the real Redis restores to the same value, and, where nothing is compressed, the same bytes as its own."""
import random
import struct

import pytest

from harness import OK
from shardd.structures.crc64 import crc64_of

LONG = "a text that says the same again and again " * 5

# name -> commands that make the key "k"
VALUES = {
    "number": ["SET k 12345"],
    "byte": ["SET k -100"],
    "large number": ["SET k 12345678901234"],
    "almost a number": ["SET k 007"],
    "empty": [["SET", "k", ""]],
    "short": ["SET k value"],
    "compressed": [["SET", "k", LONG]],
    "appended": ["SET k a", ["APPEND", "k", "b" * 15]],
    "binary": [["SET", "k", bytes(range(256)) * 300]],
    "small list": ["RPUSH k a 1 -5000 b", ["RPUSH", "k", LONG]],
    "long list": [["RPUSH", "k", *(f"element {i}" for i in range(3000))]],
    "large element": [["RPUSH", "k", "first", LONG * 100, "last"]],
    "intset": ["SADD k 1 -2 3"],
    "wide intset": ["SADD k 1 70000 99999999999"],
    "small set": ["SADD k a b 17"],
    "large set": [["SADD", "k", *(f"member:{i}" for i in range(1000))]],
    "small zset": ["ZADD k 1 a 2.5 b -inf c inf d"],
    "large zset": [["ZADD", "k", *(word for i in range(500) for word in (i / 7, f"member:{i}"))]],
    "small hash": ["HSET k f v n 5"],
    "large hash": [["HSET", "k", *(word for i in range(1000) for word in (f"field:{i}", i))]],
    "long value": [["HSET", "k", "f", LONG]],
}
# the same bytes as Redis 7.0's: no element order of a table, no LZF
SAME = ["number", "byte", "large number", "almost a number", "empty", "short", "appended", "intset", "small zset",
        "small hash"]


@pytest.fixture(autouse=True)
def empty(r, oracle):
    r("FLUSHALL")
    oracle("FLUSHALL")


def make(target, commands) -> None:
    for command in commands:
        target.must(*([command] if isinstance(command, str) else command))


@pytest.mark.parametrize("name", VALUES)
def test_the_real_one_restores_it(r, oracle, name):
    make(r, VALUES[name])
    digest = r("DEBUG DIGEST-VALUE k")
    payload = r("DUMP k")
    assert struct.unpack("<HQ", payload[-10:]) == (10, crc64_of(payload[:-8]))
    assert oracle("RESTORE", "k", 0, payload, "REPLACE") == OK
    assert oracle("DEBUG DIGEST-VALUE k") == digest
    oracle("DEL k")
    make(oracle, VALUES[name])
    if name in SAME:
        assert payload == oracle("DUMP k")
    assert len(payload) <= 1.1 * len(oracle("DUMP k")) + 10


@pytest.mark.only_on("oracle", "engine", reason="one program of ours is enough for each of many values")
def test_random_values(r, oracle):
    rng = random.Random(9)
    for _ in range(40):
        elements = [rng.randbytes(rng.choice([0, 1, 11, 20, 21, 63, 64, 127, 200, 5000])) for _ in range(rng.choice(
            [1, 2, 30, 150]))] + [rng.randrange(-2**b, 2**b) for b in (3, 7, 8, 13, 16, 24, 31, 32, 40, 63)]
        r("DEL", "k")
        kind = rng.choice(["SADD", "RPUSH", "HSET", "ZADD", "SET"])
        if kind == "SET":
            r("SET", "k", elements[0])
        elif kind in ("SADD", "RPUSH"):
            r(kind, "k", *elements)
        else:
            for element in elements:
                r(kind, "k", *((element, elements[0]) if kind == "HSET" else (rng.uniform(-9, 9), element)))
        assert oracle("RESTORE", "other", 0, r("DUMP k"), "REPLACE") == OK
        assert oracle("DEBUG DIGEST-VALUE other") == r("DEBUG DIGEST-VALUE k"), kind


def test_no_key(r):
    assert r("DUMP k") is None
    r("SET k v PX 1")
    while r("EXISTS k"):
        pass
    assert r("DUMP k") is None


def test_the_expiry_stays(r):
    """It is no part of the value."""
    r("SET k v")
    payload = r("DUMP k")
    r("EXPIRE k 100")
    assert r("DUMP k") == payload and r("TTL k") > 90


@pytest.mark.only_on("engine", "cluster", "proxy", reason="7.0 has no fields that expire")
def test_fields_that_expire(r, oracle):
    """Version 12, unless no field expires any more; a field that is due is no part of the value."""
    for width in (1, 200):
        r("DEL", "k")
        r("HSET", "k", *(word for i in range(width) for word in (f"f{i}", "v" * 80)), "stays", 1)
        plain = r("DEBUG DIGEST-VALUE k")
        r("HPEXPIREAT k 4000000000005 FIELDS 1 f0")
        payload = r("DUMP k")
        assert payload[0] == 24 and struct.unpack("<Q", payload[1:9])[0] == 4_000_000_000_005
        assert struct.unpack("<HQ", payload[-10:]) == (12, crc64_of(payload[:-8]))
        r("HPERSIST k FIELDS 1 f0")
        assert oracle("RESTORE", "k", 0, r("DUMP k"), "REPLACE") == OK
        assert oracle("DEBUG DIGEST-VALUE k") == plain
        r("HPEXPIRE", "k", 1, "FIELDS", width, *(f"f{i}" for i in range(width)))
        while r("HEXISTS", "k", f"f{width - 1}"):
            pass
        assert oracle("RESTORE", "k", 0, r("DUMP k"), "REPLACE") == OK
        assert oracle("HGETALL k") == [b"stays", b"1"]
        r("HPEXPIRE k 1 FIELDS 1 stays")
        while r("HEXISTS k stays"):
            pass
        assert r("DUMP k") is None


@pytest.mark.only_on("engine", "proxy", reason="an option of a server of ours")
def test_without_compression(r, oracle):
    r("CONFIG SET rdbcompression no")
    try:
        r("SET", "k", LONG)
        payload = r("DUMP k")
        assert payload[1:-10].endswith(LONG.encode())
        assert oracle("RESTORE", "k", 0, payload) == OK and oracle("GET k") == LONG.encode()
    finally:
        r("CONFIG SET rdbcompression yes")
