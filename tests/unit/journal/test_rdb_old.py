"""RDB files of every age, made by hand: each type and form has in it what was put in; what is damaged is refused."""
import math
import struct

import pytest

from harness import OK, rdb
from shardd.journal.rdb_in import RdbError
from shardd.structures.slots import slot_of
from unit.inproc import Engine
from unit.journal.test_rdb_load import FAR, load

WORDS = [b"a", 1, b"", -70000, b"x" * 63, b"y" * 64, 127, 128, -1, 12, 13, -4097, 2**31, -2**40, b"z" * 300, 2**63 - 1]
TEXTS = [b"%d" % word if isinstance(word, int) else word for word in WORDS]
HASH = dict(zip(TEXTS[::2], TEXTS[1::2]))
SCORES = {b"one": 1.0, b"half": .5, b"7": -2.0, b"far": 1e300, b"top": math.inf, b"low": -math.inf, b"a": 1.0}
IN_ORDER = [b"low", -math.inf, b"7", -2.0, b"half", .5, b"a", 1.0, b"one", 1.0, b"far", 1e300, b"top", math.inf]
PACKED = [word if isinstance(word, bytes) else int(word) if word in (-2.0, 1.0) else repr(word).encode()
          for word in IN_ORDER]
PACKED[2] = 7
TIMED = {b"f": (b"v", FAR), b"g": (b"w", 0), b"h": (b"5", FAR + 1)}
TIMED_LP = [b"f", b"v", FAR, b"g", b"w", 0, b"h", 5, FAR + 1]


@pytest.fixture
def engine():
    return Engine("--databases", "4")


def loaded(engine, kind, value, version=9, magic="REDIS", **options):
    return load(engine, rdb.file(rdb.key(kind, "k", value), version, magic), **options)


STRINGS = {
    "as it is": (rdb.string("value"), b"value"),
    "empty": (rdb.string(""), b""),
    "14 bits of length": (rdb.length(5, 14) + b"value", b"value"),
    "32 bits of length": (rdb.length(5, 32) + b"value", b"value"),
    "64 bits of length": (rdb.length(5, 64) + b"value", b"value"),
    "8 bits": (rdb.number(-128), b"-128"),
    "16 bits": (rdb.number(-32768), b"-32768"),
    "32 bits": (rdb.number(-2**31), b"-2147483648"),
    "digits": (rdb.string("12345678901"), b"12345678901"),
    "compressed": (rdb.lzf(b"abc", 1000), b"abc" * 1000),
}


@pytest.mark.parametrize("name", STRINGS)
def test_strings(engine, name):
    value, text = STRINGS[name]
    loaded(engine, rdb.STRING, value)
    assert engine("GET", "k") == text
    assert engine("OBJECT", "ENCODING", "k") == (b"int" if text.lstrip(b"-").isdigit() else
                                                 b"embstr" if len(text) <= 44 else b"raw")


LISTS = {
    "LIST": (rdb.LIST, rdb.strings(TEXTS)),
    "LIST_ZIPLIST": (rdb.LIST_ZIPLIST, rdb.string(rdb.ziplist(WORDS))),
    "LIST_QUICKLIST": (rdb.LIST_QUICKLIST, rdb.strings([rdb.ziplist(WORDS[:5]), rdb.ziplist(WORDS[5:])])),
    "LIST_QUICKLIST_2": (rdb.LIST_QUICKLIST_2, rdb.length(3) + b"\2" + rdb.string(rdb.listpack(WORDS[:5])) + b"\1"
                         + rdb.string(TEXTS[5]) + b"\2" + rdb.string(rdb.listpack(WORDS[6:]))),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists(engine, name):
    loaded(engine, *LISTS[name])
    assert engine("LRANGE", "k", 0, -1) == TEXTS
    # its nodes stay what they are
    assert engine("OBJECT", "ENCODING", "k") == (b"quicklist" if name == "LIST_QUICKLIST_2" else b"listpack")


def test_a_long_list_is_a_quicklist(engine):
    words = [b"%04d" % n * 5 for n in range(3000)]
    loaded(engine, rdb.LIST_QUICKLIST, rdb.strings([rdb.ziplist(words[at:at + 300]) for at in range(0, 3000, 300)]))
    assert engine("LRANGE", "k", 0, -1) == words
    assert engine("OBJECT", "ENCODING", "k") == b"quicklist"


NUMBERS = [-70000, -1, 0, 5, 2**40]
SETS = {
    "SET": (rdb.SET, rdb.strings(TEXTS), TEXTS, b"listpack"),
    "SET of integers": (rdb.SET, rdb.strings([b"%d" % n for n in NUMBERS]), [b"%d" % n for n in NUMBERS], b"intset"),
    "SET_INTSET": (rdb.SET_INTSET, rdb.string(rdb.intset(NUMBERS)), [b"%d" % n for n in NUMBERS], b"intset"),
    "SET_INTSET of 2": (rdb.SET_INTSET, rdb.string(rdb.intset([1, 2])), [b"1", b"2"], b"intset"),
    "SET_INTSET, wide": (rdb.SET_INTSET, rdb.string(rdb.intset([1, 2], 8)), [b"1", b"2"], b"intset"),
    "SET_INTSET, large": (rdb.SET_INTSET, rdb.string(rdb.intset(range(600))), [b"%d" % n for n in range(600)],
                          b"hashtable"),
    "SET_LISTPACK": (rdb.SET_LISTPACK, rdb.string(rdb.listpack(WORDS)), TEXTS, b"listpack"),
    "SET_LISTPACK, long": (rdb.SET_LISTPACK, rdb.string(rdb.listpack([b"l" * 65, b"b"])), [b"l" * 65, b"b"],
                           b"hashtable"),
    "SET_LISTPACK, large": (rdb.SET_LISTPACK, rdb.string(rdb.listpack(range(129))), [b"%d" % n for n in range(129)],
                            b"hashtable"),
    "SET, large": (rdb.SET, rdb.strings([b"m%d" % n for n in range(513)]), [b"m%d" % n for n in range(513)],
                   b"hashtable"),
}
SETS["SET"] = (*SETS["SET"][:3], b"hashtable")          # one of the words has 300 bytes
SETS["SET_LISTPACK"] = (*SETS["SET_LISTPACK"][:3], b"hashtable")


@pytest.mark.parametrize("name", SETS)
def test_sets(engine, name):
    kind, value, members, encoding = SETS[name]
    loaded(engine, kind, value)
    assert sorted(engine("SMEMBERS", "k")) == sorted(members)
    assert engine("OBJECT", "ENCODING", "k") == encoding


def decimal(score):
    if math.isinf(score):
        return b"\xfe" if score > 0 else b"\xff"
    return rdb.string(repr(score))


BACKWARDS = dict(reversed(SCORES.items()))
ZSETS = {
    "ZSET": (rdb.ZSET, rdb.length(7) + b"".join(rdb.string(m) + decimal(s) for m, s in SCORES.items())),
    "ZSET_2": (rdb.ZSET_2, rdb.length(7) + b"".join(rdb.string(m) + struct.pack("<d", s) for m, s in SCORES.items())),
    "ZSET_2 backwards": (rdb.ZSET_2, rdb.length(7) + b"".join(rdb.string(m) + struct.pack("<d", s)
                                                              for m, s in BACKWARDS.items())),
    "ZSET_ZIPLIST": (rdb.ZSET_ZIPLIST, rdb.string(rdb.ziplist(PACKED))),
    "ZSET_LISTPACK": (rdb.ZSET_LISTPACK, rdb.string(rdb.listpack(PACKED))),
    "ZSET_LISTPACK out of order": (rdb.ZSET_LISTPACK, rdb.string(rdb.listpack(PACKED[4:] + PACKED[:4]))),
}


@pytest.mark.parametrize("name", ZSETS)
def test_sorted_sets(engine, name):
    loaded(engine, *ZSETS[name])
    found = engine("ZRANGE", "k", 0, -1, "WITHSCORES")
    assert found[::2] == [b"low", b"7", b"half", b"a", b"one", b"far", b"top"]
    assert [float(score) for score in found[1::2]] == IN_ORDER[1::2]
    assert engine("OBJECT", "ENCODING", "k") == b"listpack"


@pytest.mark.parametrize("count, width", [(129, 5), (3, 65)])
def test_large_sorted_sets(engine, count, width):
    members = [b"%03d" % n + b"x" * width for n in range(count)]
    loaded(engine, rdb.ZSET_2, rdb.length(count) + b"".join(rdb.string(m) + struct.pack("<d", -n)
                                                            for n, m in enumerate(members)))
    assert engine("ZRANGE", "k", 0, -1) == members[::-1]
    assert engine("OBJECT", "ENCODING", "k") == b"skiplist"
    assert engine("ZSCORE", "k", members[2]) == b"-2"


HASHES = {
    "HASH": (rdb.HASH, rdb.pairs(HASH)),
    "HASH_ZIPMAP": (rdb.HASH_ZIPMAP, rdb.string(rdb.zipmap(HASH))),
    "HASH_ZIPMAP with holes": (rdb.HASH_ZIPMAP, rdb.string(rdb.zipmap(HASH, 3))),
    "HASH_ZIPLIST": (rdb.HASH_ZIPLIST, rdb.string(rdb.ziplist(WORDS))),
    "HASH_LISTPACK": (rdb.HASH_LISTPACK, rdb.string(rdb.listpack(WORDS))),
}


@pytest.mark.parametrize("name", HASHES)
def test_hashes(engine, name):
    loaded(engine, *HASHES[name])
    found = engine("HGETALL", "k")
    assert dict(zip(found[::2], found[1::2])) == HASH
    assert engine("OBJECT", "ENCODING", "k") == b"hashtable"    # a field has 300 bytes
    assert engine("HGET", "k", b"a") == b"1"


@pytest.mark.parametrize("kind", [rdb.HASH_ZIPLIST, rdb.HASH_LISTPACK, rdb.HASH])
@pytest.mark.parametrize("count", [1, 512, 513])
def test_the_form_of_a_hash(engine, kind, count):
    fields = {b"f%d" % n: b"%d" % n for n in range(count)}
    flat = [word for n in range(count) for word in (b"f%d" % n, n)]
    value = (rdb.pairs(fields) if kind == rdb.HASH else
             rdb.string(rdb.ziplist(flat) if kind == rdb.HASH_ZIPLIST else rdb.listpack(flat)))
    loaded(engine, kind, value)
    found = engine("HGETALL", "k")
    assert dict(zip(found[::2], found[1::2])) == fields
    assert engine("OBJECT", "ENCODING", "k") == (b"listpack" if count <= 512 else b"hashtable")


TIMED_HASHES = {
    "HASH_METADATA_PRE_GA": (rdb.HASH_METADATA_PRE_GA, rdb.length(3) + b"".join(
        rdb.length(when) + rdb.string(f) + rdb.string(v) for f, (v, when) in TIMED.items()), 12, "REDIS"),
    "HASH_METADATA": (rdb.HASH_METADATA, struct.pack("<Q", FAR) + rdb.length(3) + b"".join(
        rdb.length(when - FAR + 1 if when else 0) + rdb.string(f) + rdb.string(v) for f, (v, when) in TIMED.items()),
        12, "REDIS"),
    "HASH_LISTPACK_EX_PRE_GA": (rdb.HASH_LISTPACK_EX_PRE_GA, rdb.string(rdb.listpack(TIMED_LP)), 12, "REDIS"),
    "HASH_LISTPACK_EX": (rdb.HASH_LISTPACK_EX, struct.pack("<Q", FAR) + rdb.string(rdb.listpack(TIMED_LP)), 12,
                         "REDIS"),
    "HASH_2": (rdb.HASH_2, rdb.length(3) + b"".join(
        rdb.string(f) + rdb.string(v) + struct.pack("<q", when or -1) for f, (v, when) in TIMED.items()), 80, "VALKEY"),
}


@pytest.mark.parametrize("limit, encoding", [(128, b"listpackex"), (2, b"hashtable")])
@pytest.mark.parametrize("name", TIMED_HASHES)
def test_hashes_with_fields_that_expire(engine, name, limit, encoding):
    engine("CONFIG", "SET", "hash-max-listpack-entries", limit)
    loaded(engine, *TIMED_HASHES[name])
    found = engine("HGETALL", "k")
    assert dict(zip(found[::2], found[1::2])) == {field: value for field, (value, _) in TIMED.items()}
    assert engine("HPEXPIRETIME", "k", "FIELDS", 3, "f", "g", "h") == [FAR, -1, FAR + 1]
    assert engine("OBJECT", "ENCODING", "k") == encoding
    engine("HPEXPIREAT", "k", 1, "FIELDS", 1, "h")
    engine.check()


@pytest.mark.parametrize("when, kept", [(-1, -1), (2**48 - 1, 2**48 - 1), (2**48, 2**48 - 1), (2**63 - 1, 2**48 - 1)])
def test_the_last_expiry_of_a_field(engine, when, kept):
    loaded(engine, rdb.HASH_2, b"\1" + rdb.string("f") + rdb.string("v") + struct.pack("<q", when), 80, "VALKEY")
    assert engine("HPEXPIRETIME", "k", "FIELDS", 1, "f") == [kept]
    payload = engine("DUMP", "k")
    assert engine("RESTORE", "copy", 0, payload) == OK
    assert engine("HPEXPIRETIME", "copy", "FIELDS", 1, "f") == [kept]
    engine.check()


@pytest.mark.parametrize("when", [-2, -2**63])
def test_no_expiry_of_a_field(engine, when):
    with pytest.raises(RdbError, match="impossible expiry"):
        loaded(engine, rdb.HASH_2, b"\1" + rdb.string("f") + rdb.string("v") + struct.pack("<q", when), 80, "VALKEY")


# --- what stands between keys -----------------------------------------------------------------------------------------

def test_opcodes(engine):
    body = (b"\xfa" + rdb.string("redis-ver") + rdb.string("7.2.4") + b"\xfa" + rdb.string("what") + rdb.number(7)
            + b"\xfe\x00" + b"\xfb\x05\x02" + b"\xf4" + rdb.length(5) + rdb.length(1) + rdb.length(0)
            + b"\xf8" + rdb.length(1000) + rdb.key(rdb.STRING, "idle", rdb.string("1"))
            + b"\xf9\x07" + rdb.key(rdb.STRING, "freq", rdb.string("2"))
            + rdb.key(rdb.STRING, "ms", rdb.string("3"), FAR)
            + b"\xfd" + struct.pack("<i", 2**31 - 1) + rdb.key(rdb.STRING, "s", rdb.string("4"))
            + b"\xfe\x03" + rdb.key(rdb.STRING, "ms", rdb.string("5")))
    loader = load(engine, rdb.file(body, 11))
    assert (loader.keys, loader.aux) == (5, {b"redis-ver": b"7.2.4", b"what": b"7"})
    assert 1000 <= engine("OBJECT", "IDLETIME", "idle") < 1100 and engine("OBJECT", "IDLETIME", "s") < 100
    assert (engine("PEXPIRETIME", "ms"), engine("EXPIRETIME", "s"), engine("TTL", "idle")) == (FAR, 2**31 - 1, -1)
    engine("SELECT", 3)
    assert (engine("GET", "ms"), engine("TTL", "ms")) == (b"5", -1)


def test_keys_that_are_due(engine):
    body = rdb.key(rdb.STRING, "old", rdb.string("1"), 1000) + rdb.key(rdb.STRING, "new", rdb.string("1"))
    loader = load(engine, rdb.file(body))
    assert (loader.keys, loader.expired, engine("DBSIZE")) == (1, 1, 1)
    engine("FLUSHALL")
    loader = load(engine, rdb.file(body), keep_expired=True)
    assert (loader.keys, loader.expired, engine("DBSIZE")) == (2, 0, 2)
    assert engine("EXISTS", "old") == 0


def test_some_slots(engine):
    values = [*LISTS.values(), *(pair[:2] for pair in SETS.values()), *ZSETS.values(), *HASHES.values(),
              (rdb.STRING, rdb.lzf(b"abc", 9)), *(entry[:2] for entry in TIMED_HASHES.values() if entry[2] == 12)]
    body = b"".join(rdb.key(kind, "{%d}%d" % (n % 4, n), value) for n, (kind, value) in enumerate(values))
    ours = slot_of(b"{2}")
    loader = load(engine, rdb.file(body, 12), slots=bytes(slot == ours for slot in range(16384)))
    assert (loader.keys, loader.keys + loader.foreign) == (len(range(2, len(values), 4)), len(values))
    assert sorted(engine("KEYS", "*")) == sorted(b"{2}%d" % n for n in range(2, len(values), 4))


def test_twice(engine):
    body = rdb.key(rdb.STRING, "k", rdb.string("1")) + rdb.key(rdb.SET, "k", rdb.strings(["a"]))
    with pytest.raises(RdbError, match=r"there is the key b'k' twice in database 0"):
        load(engine, rdb.file(body))
    loader = load(engine, rdb.file(body), replace=True)
    assert engine("SMEMBERS", "k") == [b"a"]
    body = rdb.key(rdb.STRING, "k", rdb.string("1")) + b"\xfe\x01" + rdb.key(rdb.STRING, "k", rdb.string("1"))
    engine("FLUSHALL")
    loader = load(engine, rdb.file(body))
    assert loader.keys == 2


def test_empty_collections_are_left_out(engine):
    body = (rdb.key(rdb.HASH, "h", b"\0") + rdb.key(rdb.SET, "s", b"\0") + rdb.key(rdb.ZSET_2, "z", b"\0")
            + rdb.key(rdb.LIST_ZIPLIST, "l", rdb.string(rdb.ziplist([]))) + rdb.key(rdb.SET_INTSET, "i", rdb.string(
                rdb.intset([]))) + rdb.key(rdb.HASH_ZIPMAP, "m", rdb.string(rdb.zipmap({})))
            + rdb.key(rdb.STRING, "k", rdb.string("")))
    loader = load(engine, rdb.file(body))
    assert (loader.keys, loader.empty, engine("KEYS", "*")) == (1, 6, [b"k"])


NODES = (rdb.length(1) + rdb.string(bytes(16)) + rdb.string(rdb.listpack([1, 0, 0])) + b"".join(
    rdb.length(n) for n in range(8)))
GROUP = (rdb.string("g") + rdb.length(1) * 3 + rdb.length(1) + bytes(24)
         + rdb.length(1) + rdb.length(1) + rdb.string("c") + bytes(16) + rdb.length(1) + bytes(16))
STREAM = NODES + rdb.length(1) + GROUP
PRODUCERS = (rdb.length(100) + rdb.length(1000) + rdb.length(2) + rdb.string("p") + rdb.length(2)
             + (rdb.string("added") + rdb.length(2**40) + rdb.length(7)) * 2 + rdb.string("q") + b"\0"
             + rdb.length(2) + rdb.length(5))
NACKED = rdb.length(3) + bytes(48)
ARRAY = (rdb.length(4) + b"\1\x0a" + b"\0\1" + bytes(8) + b"\1\2" + bytes(8) + b"\5\3" + rdb.string("small")
         + rdb.length(2**40) + b"\0" + rdb.string("large"))
MODULE = (rdb.length(2**60) + b"\x01\x05\x02\x07\x03" + bytes(4) + b"\x04" + bytes(8) + b"\x05" + rdb.string("text")
          + b"\0")
UNSUPPORTED = {
    "stream": rdb.key(rdb.STREAM_3, "u", STREAM),
    "module value": rdb.key(rdb.MODULE_2, "u", MODULE),
    "module data": b"\xf7" + MODULE,
    "function library": b"\xf5" + rdb.string("#!lua name=lib"),
}


@pytest.mark.parametrize("version, data, kind", [
    *((version, data, kind) for version in (11, 13) for kind, data in UNSUPPORTED.items()),
    (13, rdb.key(rdb.STREAM_4, "u", NODES + b"\0" + b"\0" * 5), "stream"),
    (13, rdb.key(rdb.STREAM_4, "u", STREAM + PRODUCERS), "stream"),
    (14, rdb.key(rdb.STREAM_5, "u", NODES + b"\2" + (GROUP + NACKED) * 2 + PRODUCERS), "stream"),
    (14, rdb.key(rdb.ARRAY, "u", b"\0\0"), "array"), (14, rdb.key(rdb.ARRAY, "u", ARRAY), "array"),
    (13, b"\xf3" + rdb.length(2) + (b"abcd" + MODULE[9:]) * 2, "module's note of a key"),
])
def test_what_we_cannot_hold(engine, version, data, kind):
    body = rdb.key(rdb.STRING, "a", rdb.string("1")) + data + rdb.key(rdb.STRING, "b", rdb.string("2"))
    with pytest.raises(RdbError, match=f"there is a {kind}"):
        load(engine, rdb.file(body, version))
    engine("FLUSHALL")
    loader = load(engine, rdb.file(body, version), skip_unsupported=True)
    assert (loader.skipped, sorted(engine("KEYS", "*"))) == ({kind: 1}, [b"a", b"b"])


def test_it_stops_behind_the_checksum(engine):
    data = rdb.file(rdb.key(rdb.STRING, "k", rdb.string("v")))
    loader = load(engine, data + b"*1\r\n$4\r\nPING\r\n")
    assert (loader.position, loader.total) == (len(data), len(data) + 14)


# --- damage -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("data, text", [
    (b"", "too short"), (b"REDIS", "too short"), (b"PEDIS0009\xff" + bytes(8), "wrong signature"),
    (b"REDIS00x9\xff" + bytes(8), "wrong signature"), (b"REDIS0099\xff" + bytes(8), "version 99 of REDIS"),
    (b"REDIS0000\xff" + bytes(8), "version 0 of REDIS"), (b"REDIS0080\xff" + bytes(8), "version 80 of REDIS"),
    (b"VALKEY011\xff" + bytes(8), "version 11 of VALKEY"), (b"VALKEY082\xff" + bytes(8), "version 82 of VALKEY"),
    (b"REDIS0009", "end too early"), (b"REDIS0009\xff" + bytes(7), "end too early"),
    (rdb.file(b"", checksum=1), "wrong checksum"), (rdb.file(b"\xf2"), "unknown type 242"),
    (rdb.file(b"\xfe\x04"), "database 4"), (rdb.file(b"\x08\x01k\x01v"), "unknown type 8"),
    (rdb.file(b"\x16\x01k\x01\x00", 11), "."), (rdb.file(b"\x17\x01k\x01\x00", 80, "VALKEY"), "unknown type 23"),
    (rdb.file(b"\x1d\x01k\x00", 14), "unknown type 29"), (rdb.file(b"\x1a\x01k", 80, "VALKEY"), "unknown type 26"),
    (rdb.file(b"\x0f\x01k\0\0\0\0\xe4", 14), "a stream, which"), (rdb.file(b"\xf3\x01", 12), "unknown opcode 243"),
    (rdb.file(b"\xf3\x01", 11), "unknown opcode 243"), (rdb.file(b"\xc0"), "unknown type 192"),
])
def test_damaged_files(engine, data, text):
    with pytest.raises(RdbError, match=text) as caught:
        load(engine, data)
    assert 0 <= caught.value.offset <= len(data)


def test_a_checksum_of_none(engine):
    data = rdb.file(rdb.key(rdb.STRING, "k", rdb.string("v")), checksum=0)
    assert load(engine, data).keys == 1
    engine("FLUSHALL")
    assert load(engine, rdb.file(rdb.key(rdb.STRING, "k", rdb.string("v")), 4)).keys == 1


ODD = [b"a", 1, b"b"]
TWICE = [b"a", 1, b"b", 2, b"a", 3]
TWO = rdb.ziplist([1, 2])
DAMAGED = {
    "a hash of an odd number": (rdb.HASH_LISTPACK, rdb.string(rdb.listpack(ODD)), "without its value"),
    "a field twice in a listpack": (rdb.HASH_LISTPACK, rdb.string(rdb.listpack(TWICE)), "field twice"),
    "a field twice in a ziplist": (rdb.HASH_ZIPLIST, rdb.string(rdb.ziplist(TWICE)), "field twice"),
    "a field twice": (rdb.HASH, rdb.length(2) + b"\1a\1b\1a\1c", "field twice"),
    "a field twice among many": (rdb.HASH_LISTPACK, rdb.string(rdb.listpack(
        [word for n in range(100) for word in (n % 99, n)])), "field twice"),
    "a field twice in a table": (rdb.HASH, rdb.length(200) + b"".join(rdb.string(b"%d" % (n % 199)) + rdb.string("v")
                                                                      for n in range(200)), "field twice"),
    "a number and its digits": (rdb.HASH_LISTPACK, rdb.string(rdb.listpack([b"x", 1, 12, 2])[:-1].replace(
        b"\x0c\x01", b"\x82\x31\x32\x03") + b"\xff"), "listpack is damaged"),
    "a member twice": (rdb.SET, rdb.strings([b"a", b"b", b"a"]), "member twice"),
    "an integer twice": (rdb.SET, rdb.strings([b"1", b"2", b"1"]), "member twice"),
    "a member twice in a listpack": (rdb.SET_LISTPACK, rdb.string(rdb.listpack([b"a", b"a"])), "member twice"),
    "a member twice in a table": (rdb.SET, rdb.strings([b"%d" % (n % 599) for n in range(600)]), "member twice"),
    "a member twice in a zset": (rdb.ZSET_LISTPACK, rdb.string(rdb.listpack(TWICE)), "member twice"),
    "a member twice in a large zset": (rdb.ZSET_2, rdb.length(200) + b"".join(
        rdb.string(b"%d" % (n % 199)) + struct.pack("<d", n) for n in range(200)), "member twice"),
    "a score that is none": (rdb.ZSET_LISTPACK, rdb.string(rdb.listpack([b"a", b"x"])), "not a number"),
    "a score of nan": (rdb.ZSET_2, b"\1\1a" + struct.pack("<d", math.nan), "not a number"),
    "a score of nan in decimal": (rdb.ZSET, b"\1\1a\xfd", "not a number"),
    "a score of nan in digits": (rdb.ZSET, b"\1\1a\3nan", "not a number"),
    "an intset out of order": (rdb.SET_INTSET, rdb.string(struct.pack("<IIhh", 2, 2, 5, 4)), "intset is damaged"),
    "an intset of no width": (rdb.SET_INTSET, rdb.string(struct.pack("<IIhh", 3, 2, 4, 5)), "intset is damaged"),
    "an intset of another length": (rdb.SET_INTSET, rdb.string(struct.pack("<IIhh", 2, 3, 4, 5)), "intset is damaged"),
    "a ziplist of another size": (rdb.LIST_ZIPLIST, rdb.string(rdb.ziplist(WORDS) + b"x"), "ziplist is damaged"),
    "a ziplist of another count": (rdb.LIST_ZIPLIST, rdb.string(TWO[:8] + b"\3" + TWO[9:]), "ziplist is damaged"),
    "a ziplist of another tail": (rdb.LIST_ZIPLIST, rdb.string(TWO[:4] + b"\x0b" + TWO[5:]), "ziplist is damaged"),
    "a zipmap of another count": (rdb.HASH_ZIPMAP, rdb.string(b"\2" + rdb.zipmap({b"a": b"b"})[1:]),
                                  "zipmap is damaged"),
    "a zipmap without end": (rdb.HASH_ZIPMAP, rdb.string(rdb.zipmap({b"a": b"b"})[:-1]), "zipmap is damaged"),
    "a node of no kind": (rdb.LIST_QUICKLIST_2, b"\1\3" + rdb.string("x"), "unknown kind"),
    "more elements than bytes": (rdb.LIST, rdb.length(2**40), "elements are said"),
    "more bytes than there are": (rdb.STRING, rdb.length(2**62), "is said to have"),
    "more of LZF than there is": (rdb.STRING, b"\xc3" + rdb.length(2**40) + rdb.length(3), "of LZF"),
    "LZF of too much": (rdb.STRING, b"\xc3\x03" + rdb.length(2**30) + b"\0a\0", "of LZF"),
    "LZF that is none": (rdb.STRING, b"\xc3\x03\x05\0a\x20", "compressed string is damaged"),
    "a string of no kind": (rdb.STRING, b"\xc4", "unknown encoding"),
    "a length of no kind": (rdb.STRING, b"\x83", "no length begins"),
    "a field's expiry beyond all": (rdb.HASH_METADATA, struct.pack("<Q", FAR) + b"\1" + rdb.length(2**62) + b"\1a\1b",
                                    "impossible expiry"),
    "an expiry that is none": (rdb.HASH_LISTPACK_EX, struct.pack("<Q", FAR) + rdb.string(
        rdb.listpack([b"f", b"v", b"x"])), "impossible expiry"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_values(engine, name):
    kind, value, text = DAMAGED[name]
    with pytest.raises(RdbError, match=text):
        loaded(engine, kind, value, 12)
    engine.settle()
    assert engine("DBSIZE") == 0
    engine.check()
