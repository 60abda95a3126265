"""Every layout of an entry: keys and values short and long, with and without an expiry, through all that rewrites."""
import gc

import pytest

from harness.resp import OK
from shardd.structures import alloc
from unit.inproc import Engine

FAR = 4_000_000_000_000
KEYS = [b"", b"k", b"k" * 255, b"k" * 256, b"k" * 70_000]
VALUES = [b"", b"1", b"-9223372036854775808", b"x" * 44, b"x" * 45, b"x" * 2100, b"x" * 65_535, b"x" * 65_536,
          b"x" * 80_000]


def shown(value: bytes) -> bytes:
    return b"int" if value in (b"1", b"-9223372036854775808") else b"embstr" if len(value) <= 44 else b"raw"


@pytest.fixture
def engine():
    gc.collect()        # engines of other tests are in cycles
    gc.disable()
    before = alloc.used_memory()
    engine = Engine("--databases", "2")
    yield engine
    gc.enable()
    assert engine.check() == alloc.used_memory() - before, "used_memory is the sum of what is there"
    engine("FLUSHALL")
    assert engine.check() == alloc.used_memory() - before


@pytest.mark.parametrize("expiry", [None, FAR])
@pytest.mark.parametrize("value", VALUES, ids=len)
@pytest.mark.parametrize("key", KEYS, ids=len)
def test_a_layout(engine, key, value, expiry):
    def holds(name: bytes, content: bytes, when: int | None) -> None:
        engine.check()
        assert engine("GET", name) == content
        assert engine("STRLEN", name) == len(content)
        assert engine("PEXPIRETIME", name) == (when or -1)

    assert engine("SET", key, value, *(["PXAT", expiry] if expiry else [])) == OK
    holds(key, value, expiry)
    assert engine("OBJECT", "ENCODING", key) == shown(value)
    assert engine("RENAME", key, b"other") == OK
    holds(b"other", value, expiry)
    assert engine("COPY", b"other", key) == 1
    holds(key, value, expiry)
    assert engine("PEXPIREAT", key, FAR + 5) == 1
    holds(key, value, FAR + 5)
    assert engine("PERSIST", key) == 1
    holds(key, value, None)
    assert engine("MOVE", key, 1) == 1
    assert engine("COPY", b"other", key) == 1
    assert engine("APPEND", key, b"tail") == len(value) + 4
    holds(key, value + b"tail", expiry)
    assert engine("OBJECT", "ENCODING", key) == b"raw"
    assert engine("SETRANGE", key, len(value), b"TAIL!") == len(value) + 5
    holds(key, value + b"TAIL!", expiry)
    assert engine("COPY", key, b"heap") == 1
    holds(b"heap", value + b"TAIL!", expiry)
    assert engine("RENAME", key, b"heap") == OK
    holds(b"heap", value + b"TAIL!", expiry)
    for content in VALUES:
        assert engine("SET", b"heap", content, "KEEPTTL") == OK
        holds(b"heap", content, expiry)
    assert engine("SET", b"heap", value) == OK
    holds(b"heap", value, None)
    assert engine("GETDEL", b"heap") == value
    assert engine("DEL", b"other", key) == 1


def test_memory_of_a_typical_key(engine):
    """A key of 16 and a value of 32 bytes: 56 bytes, 64 with an expiry, and the buckets."""
    engine("SET", "{t}0123456789012", "v" * 32)
    before = alloc.used_memory()
    engine("SET", "{t}0123456789013", "v" * 32)
    if not alloc.plain():
        assert alloc.used_memory() - before == 56
    before = alloc.used_memory()
    engine("PEXPIREAT", "{t}0123456789013", FAR)
    if not alloc.plain():
        assert alloc.used_memory() - before == 8


def test_a_value_of_the_same_class_is_written_in_place(engine):
    def address() -> str:
        return str(engine("DEBUG", "OBJECT", "k")).split()[1]

    engine("SET", "k", "v" * 32)
    first = address()
    for value in ("w" * 32, "x" * 32):
        engine("SET", "k", value)
        assert address() == first and engine("GET k") == value.encode()
    engine("SET", "k", "12345678901234567")
    engine("SET", "k", "5")
    second = address()
    engine("INCR k")
    engine("SET", "k", "abcdefgh")
    assert address() == second and engine("GET k") == b"abcdefgh" and engine("OBJECT ENCODING k") == b"embstr"
    engine("SET", "k", "7")
    assert address() == second and engine("OBJECT ENCODING k") == b"int"
    engine("PEXPIREAT", "k", FAR)
    third = address()
    engine("PEXPIREAT", "k", FAR + 1)
    engine("SET", "k", "8", "KEEPTTL")
    engine("SET", "k", "9", "PXAT", FAR + 2)
    assert address() == third and engine("PEXPIRETIME k") == FAR + 2


def test_a_string_that_grows_is_rarely_copied(engine):
    """Room is doubled: the number of blocks that APPEND takes is the logarithm of the length."""
    engine("SET", "k", "")
    taken = set()
    for n in range(3000):
        engine("APPEND", "k", "0123456789")
        taken.add(alloc.used_memory())
    assert engine("STRLEN k") == 30_000
    assert len(taken) < 15


def test_what_no_entry_can_hold(engine):
    """proto-max-bulk-len may be set beyond the length that an entry can say; strings still end there."""
    engine.server._set_bulk_max(1 << 40)
    too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    assert str(engine("SETRANGE", "k", (1 << 31) - 1024, "x")) == too_long
    assert str(engine("SETRANGE", "k", (1 << 32) + 5, "x")) == too_long
    assert str(engine("SETRANGE", "k", (1 << 63) - 1, "x")) == too_long
    assert engine("EXISTS k") == 0
