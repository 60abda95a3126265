"""Looking into the keyspace: sizes, slots, times to live, digests."""
import hashlib

import pytest

from shardd.base.digest import mix, number, xor
from shardd.keyspace import inspection
from shardd.structures.slots import slot_of
from unit.inproc import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine("--databases", "4")


def db(engine: Engine, number: int = 0):
    return engine.server.keyspace.databases[number]


def test_a_key_takes_its_entry_and_its_share_of_the_buckets(engine):
    engine("SET", "k" * 16, "v" * 32)
    # a block of 56 bytes, and a bucket of 64 for itself
    assert inspection.memory_usage(db(engine), b"k" * 16) == 56 + 64
    for n in range(6):
        engine("SET", f"{{{'k' * 16}}}{n}", "v")
    assert inspection.memory_usage(db(engine), b"k" * 16) == 56 + 10
    assert inspection.memory_usage(db(engine), b"nosuch") is None
    assert inspection.memory_usage(db(engine, 1), b"k") is None


def test_what_a_string_owns_counts(engine):
    engine("SET", "k", "v" * 100)
    before = inspection.memory_usage(db(engine), b"k")
    engine("APPEND", "k", "v" * 1000)
    assert inspection.memory_usage(db(engine), b"k") >= before + 1000


@pytest.mark.parametrize("value, encoding, serialized", [
    ("0", "int", 2), ("127", "int", 2), ("-128", "int", 2), ("128", "int", 3), ("32767", "int", 3), ("32768", "int", 5),
    ("2147483647", "int", 5), ("2147483648", "int", 11), ("-2147483649", "int", 12), ("9223372036854775807", "int", 20),
    ("007", "embstr", 4), ("", "embstr", 1), ("x" * 44, "embstr", 45), ("x" * 63, "raw", 64), ("x" * 64, "raw", 66),
    ("x" * 16383, "raw", 16385), ("x" * 16384, "raw", 16389)])
def test_how_a_string_is_stored(engine, value, encoding, serialized):
    engine("SET", "k", value)
    seen = inspection.describe(db(engine), b"k")
    assert (seen["encoding"], seen["serialized"]) == (encoding, serialized)
    assert seen["refcount"] == (2**31 - 1 if value.isdigit() and encoding == "int" and int(value) < 10_000 else 1)
    assert seen["address"] % 8 == 0 and seen["idle"] == 0
    assert seen["access"] == engine.server.keyspace.access_clock


def test_describing_is_no_access(engine):
    engine("SET k v")
    engine.server.keyspace.set_time(engine.server.keyspace.now_ms + 50_000)
    assert inspection.describe(db(engine), b"k")["idle"] == 50
    assert inspection.describe(db(engine), b"k")["idle"] == 50
    assert inspection.describe(db(engine), b"nosuch") is None


def test_keys_past_their_time_are_absent(engine):
    engine("SET k v PX 100")
    engine.server.keyspace.set_time(engine.server.keyspace.now_ms + 1000)
    assert inspection.memory_usage(db(engine), b"k") is None
    assert inspection.describe(db(engine), b"k") is None
    assert engine.server.keyspace.expired == 1


def test_keys_of_a_slot(engine):
    names = {f"{{t}}{n}".encode() for n in range(300)}
    for name in names:
        engine("SET", name, "v")
    engine("SET other v")
    slot = slot_of(b"t")
    assert set(inspection.slot_keys(db(engine), slot, 1000)) == names
    assert set(inspection.slot_keys(db(engine), slot, 300)) == names
    for count in (0, 1, 7, 299):
        found = inspection.slot_keys(db(engine), slot, count)
        assert len(found) == len(set(found)) == count and set(found) <= names
    assert inspection.slot_keys(db(engine), slot + 1, 10) == []
    assert inspection.slot_keys(db(engine, 1), slot, 10) == []


def test_mean_time_to_live(engine):
    assert inspection.average_ttl_ms(db(engine)) == 0
    engine("SET a v")
    assert inspection.average_ttl_ms(db(engine)) == 0
    now = engine.server.keyspace.now_ms
    engine("SET", "b", "v", "PXAT", now + 1_000_000)
    engine("SET", "c", "v", "PXAT", now + 3_000_000)
    engine.server.keyspace.set_time(now)
    for start in (0, 5000, 16383):
        assert inspection.average_ttl_ms(db(engine), start) == 2_000_000
    engine.server.keyspace.set_time(now + 2_000_000)
    assert inspection.average_ttl_ms(db(engine)) == 1_000_000, "b is due already"


def test_mean_time_to_live_of_a_large_slot_is_sampled(engine):
    now = engine.server.keyspace.now_ms
    for n in range(2000):
        engine("SET", f"{{t}}{n}", "v", "PXAT", now + 500_000)
    engine.server.keyspace.set_time(now)
    assert inspection.average_ttl_ms(db(engine)) == 500_000


def test_digest_of_a_value(engine):
    engine("SET k hello")
    plain = mix(mix(bytes(20), number(0)), b"hello")
    assert inspection.value_digest(db(engine), b"k") == plain
    engine("EXPIRE k 100")
    assert inspection.value_digest(db(engine), b"k") == xor(plain, b"!!expire!!")
    assert inspection.value_digest(db(engine), b"nosuch") == bytes(20)
    engine("SET", "n", 12)
    engine("SET", "s", "1")
    engine("APPEND", "s", "2")
    assert inspection.value_digest(db(engine), b"n") == inspection.value_digest(db(engine), b"s")


def test_digests_of_all_keys(engine):
    def key(name: bytes) -> int:
        value = mix(mix(mix(bytes(20), name), number(0)), b"v")
        return int(hashlib.sha1(value).hexdigest(), 16)

    databases = engine.server.keyspace.databases
    assert inspection.key_digests(databases) == {}
    engine("MSET a v b v c v")
    assert inspection.key_digests(databases) == {0: key(b"a") ^ key(b"b") ^ key(b"c")}
    engine("MOVE b 2")
    assert inspection.key_digests(databases) == {0: key(b"a") ^ key(b"c"), 2: key(b"b")}
