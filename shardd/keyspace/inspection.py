"""Looking into the keyspace for people and tools: one key's memory and entry, a slot's keys, the digest of a database.

Owns: what MEMORY USAGE, DEBUG OBJECT, DEBUG DIGEST, CLUSTER GETKEYSINSLOT and the averages of INFO read.
Changes nothing, but that a key past its expiry which is asked for by name is deleted, as everywhere. Does not own the
data (database.py, entry.py).
"""
import hashlib

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Key, SlotTable, key_init
from cython.cimports.shardd.keyspace.entry import (
    ENC_LISTPACK, ENC_QUICKLIST, ENC_TABLE, STR_EMBSTR, STR_INT, TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING,
    TYPE_ZSET, View, entry_access, entry_body, entry_bytes, entry_encoding,
    entry_expires, entry_expiry, entry_key, entry_key_len, entry_refcount, entry_size, entry_type,
    entry_view)
from cython.cimports.shardd.keyspace.values import value_ops
from cython.cimports.shardd.structures.alloc import block_bytes, real_size
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.structures.pairs import Pairs
from cython.cimports.shardd.structures.quicklist import ql_figures
from cython.cimports.shardd.structures.random import random_bits
from cython.cimports.shardd.structures.table import (
    pair_head, pair_key_len, pair_value_len, table_bytes, table_scan, table_walk)

from shardd.base.digest import mix, number, xor

SAMPLED_KEYS = cython.declare(cython.int, 200)      # keys with an expiry that make an average
SAMPLED_SLOT_KEYS = cython.declare(uint32_t, 64)    # a slot with more keys is sampled, not walked
SAMPLED_CHAINS = cython.declare(cython.int, 8)

slot_p = cython.typedef(cython.pointer(SlotTable))
key_p = cython.typedef(cython.pointer(Key))


@cython.cfunc
def entry_of(db: Database, k: key_p, key: bytes) -> bytep:
    """The live entry of a key, or NULL; no access is noted. `k` is room, and good as long as `key`."""
    key_init(k, cython.cast(cython.pointer(cython.const[uint8_t]), cython.cast(cython.p_char, key)), len(key))
    return db.find(k)


# ---- one key

@cython.final
@cython.cclass
class _Weight:
    """The bytes of the pairs that were looked at."""
    bytes: uint64_t
    seen: int64_t
    wanted: int64_t

    def __cinit__(self, wanted: int64_t):
        self.wanted = wanted


@cython.cfunc
@cython.exceptval(check=False)
def _weigh(context: cython.p_void, pair: bytep) -> cython.int:
    weight: _Weight = cython.cast(_Weight, context)
    if weight.seen < weight.wanted:
        weight.seen += 1
        weight.bytes += real_size(pair_head(pair) + pair_key_len(pair) + pair_value_len(pair))
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _sampled_bytes(e: bytep, samples: int64_t) -> cython.size_t:
    """What a hash or set in a table takes: its buckets exactly, its pairs by the mean of so many of them."""
    pairs: cython.pointer(Pairs) = cython.cast(cython.pointer(Pairs), entry_body(e))
    weight: _Weight = _Weight(samples)
    cursor: uint64_t = random_bits()
    turns: cython.int = 0
    while weight.seen < samples and turns < 2 * samples + 64:
        cursor = table_scan(cython.address(pairs.t), cursor, _weigh, cython.cast(cython.p_void, weight))
        turns += 1
    return (block_bytes(e, entry_size(e)) + real_size(cython.sizeof(Pairs)) + table_bytes(cython.address(pairs.t))
            + weight.bytes * pairs.t.used // max(1, cython.cast(uint64_t, weight.seen)))


def memory_usage(db: Database, key: bytes, samples: int = 0) -> int | None:
    """Bytes that a key takes: its entry, all that this owns, and its share of its slot's buckets. None where absent.

    samples: how many elements of a hash or set with more of them are looked at; 0 for all.
    """
    k: Key
    e: bytep = entry_of(db, cython.address(k), key)
    s: slot_p
    if e == cython.NULL:
        return None
    s = cython.address(db.slots[k.slot])
    size: cython.size_t
    if (samples > 0 and entry_encoding(e) == ENC_TABLE and entry_type(e) in (TYPE_HASH, TYPE_SET)
            and value_ops(entry_type(e), ENC_TABLE).length(entry_body(e)) > samples):
        size = _sampled_bytes(e, samples)
    else:
        size = entry_bytes(e)
    return size + (table_bytes(cython.address(s.t)) + s.t.used - 1) // s.t.used


def describe(db: Database, key: bytes) -> dict | None:
    """What DEBUG OBJECT shows of a key, None where it is absent.

    address, refcount, encoding (OBJECT's names), serialized (bytes of the value in an RDB file without compression),
    access (the 24 bits of the access clock or the LFU counter), idle (seconds by that clock), more (what Redis adds for
    a list of several nodes, with a space in front; else empty).
    """
    k: Key
    e: bytep = entry_of(db, cython.address(k), key)
    if e == cython.NULL:
        return None
    encoding: str = "raw"
    if entry_type(e) != TYPE_STRING:
        encoding = value_ops(entry_type(e), entry_encoding(e)).name.decode("ascii")
    elif entry_encoding(e) == STR_INT:
        encoding = "int"
    elif entry_encoding(e) == STR_EMBSTR:
        encoding = "embstr"
    return {"address": cython.cast(uintptr_t, e), "refcount": entry_refcount(e), "encoding": encoding,
            "serialized": _serialized(e), "access": entry_access(e),
            "idle": (db.keyspace.access_clock - entry_access(e)) & 0xFFFFFF, "more": _nodes_of(e)}


@cython.cfunc
def _nodes_of(e: bytep) -> str:
    """The figures of a quicklist, as DEBUG OBJECT shows them; empty for anything else."""
    if entry_type(e) != TYPE_LIST or entry_encoding(e) != ENC_QUICKLIST:
        return ""
    nodes, elements, fill, depth, size = ql_figures(entry_body(e))
    return (f" ql_nodes:{nodes} ql_avg_node:{elements / nodes:.2f} ql_listpack_max:{fill} "
            f"ql_compressed:{int(depth > 0)} ql_uncompressed_size:{size}")


def packed_items(db: Database, key: bytes) -> object:
    """The elements (bytes) of a value that is one listpack, None where the key is absent, False where it is another."""
    k: Key
    e: bytep = entry_of(db, cython.address(k), key)
    if e == cython.NULL:
        return None
    if entry_type(e) == TYPE_STRING or entry_encoding(e) != ENC_LISTPACK:
        return False
    items: list = []
    for item in content_of(e):
        if isinstance(item, tuple):
            items.append(item[0])
            items.append(item[1] if isinstance(item[1], bytes) else repr(item[1]).encode())
        else:
            items.append(item)
    return items


@cython.cfunc
def content_of(e: bytep) -> object:
    """A string value as bytes, a collection as the list that keyspace.values describes."""
    view: View
    if entry_type(e) != TYPE_STRING:
        return value_ops(entry_type(e), entry_encoding(e)).items(entry_body(e))
    entry_view(e, cython.address(view))
    return cython.cast(cython.p_char, view.p)[:view.n]


@cython.cfunc
def _serialized(e: bytep) -> object:
    """Bytes of a value in an RDB file, without compression and, for a collection, element by element."""
    if entry_type(e) == TYPE_STRING:
        return serialized_length(content_of(e))
    items: list = content_of(e)
    total: object = 1 if len(items) < 64 else 2 if len(items) < 16384 else 5
    for item in items:
        if not isinstance(item, tuple):
            total += serialized_length(item)
        elif entry_type(e) == TYPE_ZSET:
            total += serialized_length(item[0]) + 8
        else:
            total += serialized_length(item[0]) + serialized_length(item[1])
    return total


def serialized_length(value: bytes) -> int:
    """Bytes of a string in an RDB file, without compression: an integer of up to 32 bits, or a length and the bytes."""
    integer: int64_t
    n: cython.Py_ssize_t = len(value)
    text: cython.p_char = value
    if n <= 11 and parse_int64(cython.cast(bytep, text), n, cython.address(integer)):
        if -128 <= integer < 128:
            return 2
        if -32768 <= integer < 32768:
            return 3
        if -2147483648 <= integer < 2147483648:
            return 5
    return n + (1 if n < 64 else 2 if n < 16384 else 5)


# ---- many keys

@cython.final
@cython.cclass
class _Listing:
    """Keys on their way into a list: all of a chain, and no chain once there are enough."""
    keys: list
    wanted: int64_t

    def __cinit__(self, wanted: int64_t):
        self.keys = []
        self.wanted = wanted


@cython.cfunc
@cython.exceptval(check=False)
def _list_key(context: cython.p_void, e: bytep) -> cython.int:
    listing: _Listing = cython.cast(_Listing, context)
    if len(listing.keys) < listing.wanted:
        listing.keys.append(cython.cast(cython.p_char, entry_key(e))[:entry_key_len(e)])
    return 0


def slot_keys(db: Database, slot: cython.int, count: int64_t) -> list:
    """Up to `count` keys of a slot (0..16383), those past their expiry included."""
    listing: _Listing = _Listing(count)
    cursor: uint64_t = 0
    assert 0 <= slot < SLOT_COUNT
    if db.slots == cython.NULL:
        return []
    while len(listing.keys) < count:
        cursor = table_scan(cython.address(db.slots[slot].t), cursor, _list_key, cython.cast(cython.p_void, listing))
        if cursor == 0:
            break
    return listing.keys


@cython.final
@cython.cclass
class _Lifetimes:
    """The times to live of the keys that were sampled."""
    now_ms: int64_t
    total_ms: cython.double
    seen: cython.int

    def __cinit__(self, now_ms: int64_t):
        self.now_ms = now_ms


@cython.cfunc
@cython.exceptval(check=False)
def _add_lifetime(context: cython.p_void, e: bytep) -> cython.int:
    lifetimes: _Lifetimes = cython.cast(_Lifetimes, context)
    if entry_expires(e) and entry_expiry(e) >= lifetimes.now_ms:
        lifetimes.total_ms += entry_expiry(e) - lifetimes.now_ms
        lifetimes.seen += 1
    return 0


def average_ttl_ms(db: Database, start: cython.int = 0) -> int:
    """The mean time to live of keys that expire: of all where they are few, of some 200 otherwise; 0 where none does.

    start: the slot to begin with, random for samples that differ.
    """
    lifetimes: _Lifetimes = _Lifetimes(db.keyspace.now_ms)
    i: cython.int
    chain: cython.int
    cursor: uint64_t
    s: slot_p
    if db.slots == cython.NULL or not db.volatile_keys:
        return 0
    for i in range(SLOT_COUNT):
        s = cython.address(db.slots[(start + i) & (SLOT_COUNT - 1)])
        if not s.volatile_keys:
            continue
        if s.t.used <= SAMPLED_SLOT_KEYS:
            table_walk(cython.address(s.t), _add_lifetime, cython.cast(cython.p_void, lifetimes))
        else:
            cursor = 0
            for chain in range(SAMPLED_CHAINS):
                cursor = table_scan(cython.address(s.t), cursor, _add_lifetime, cython.cast(cython.p_void, lifetimes))
                if cursor == 0:
                    break
        if lifetimes.seen >= SAMPLED_KEYS:
            break
    return round(lifetimes.total_ms / lifetimes.seen) if lifetimes.seen else 0


# ---- digests

@cython.cfunc
def _value_digest(digest: bytes, e: bytep, now_ms: int64_t) -> bytes:
    """Add an entry's type, value and expiry to a digest; fields past their time are none of the value."""
    type: cython.int = entry_type(e)
    digest = mix(digest, number(type))
    content: object = content_of(e)
    if type == TYPE_STRING:
        digest = mix(digest, content)
    elif type == TYPE_LIST:
        for item in content:
            digest = mix(digest, item)
    elif type == TYPE_SET:
        for item in content:
            digest = xor(digest, item)
    elif type == TYPE_ZSET:
        for item in content:
            digest = xor(digest, mix(mix(bytes(20), item[0]), b"%.17g" % item[1]))
    else:
        for field, value, expiry in content:
            pair: bytes = mix(mix(bytes(20), field), value)
            if not 0 <= expiry < now_ms:
                digest = xor(digest, pair if expiry < 0 else xor(pair, b"!!hexpire!!"))
    return xor(digest, b"!!expire!!") if entry_expires(e) else digest


def value_digest(db: Database, key: bytes) -> bytes:
    """The digest of a key's value (DEBUG DIGEST-VALUE), 20 bytes; zeros where the key is absent."""
    k: Key
    e: bytep = entry_of(db, cython.address(k), key)
    return bytes(20) if e == cython.NULL else _value_digest(bytes(20), e, db.keyspace.now_ms)


@cython.final
@cython.cclass
class _Digest:
    """The xor of the digests of the keys seen so far."""
    value: object
    broken: object
    now_ms: int64_t

    def __cinit__(self, now_ms: int64_t):
        self.value = 0
        self.now_ms = now_ms


@cython.cfunc
@cython.exceptval(check=False)
def _add_digest(context: cython.p_void, e: bytep) -> cython.int:
    digest: _Digest = cython.cast(_Digest, context)
    try:
        one: bytes = mix(bytes(20), cython.cast(cython.p_char, entry_key(e))[:entry_key_len(e)])
        one = hashlib.sha1(_value_digest(one, e, digest.now_ms)).digest()
        digest.value ^= int.from_bytes(one, "big")
    except Exception as error:      # a visitor cannot raise
        digest.broken = error
    return 0


def key_digests(databases: list) -> dict:
    """Database number -> the exclusive or of SHA1(key's digest) over its keys, as base.digest.dataset wants it.

    Databases without keys are left out. Walks everything at once.
    """
    found: dict = {}
    db: Database
    digest: _Digest
    slot: cython.int
    for db in databases:
        if not db.used:
            continue
        digest = _Digest(db.keyspace.now_ms)
        for slot in range(SLOT_COUNT):
            if db.slots[slot].t.used:
                table_walk(cython.address(db.slots[slot].t), _add_digest, cython.cast(cython.p_void, digest))
        if digest.broken is not None:
            raise digest.broken
        found[db.id] = digest.value
    return found
