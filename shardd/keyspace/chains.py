"""How full the hash tables are: DEBUG HTSTATS and HTSTATS-KEY.

A table is an array of buckets of up to seven entries, each with a chain of overflow buckets (structures/table.py). What
Redis calls a chain is a bucket with its overflow here, and a chain of up to seven costs one line of memory.
"""
import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.chains import Chains
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Key, key_init
from cython.cimports.shardd.keyspace.entry import (
    ENC_ORDERED, ENC_TABLE, TYPE_HASH, TYPE_SET, TYPE_ZSET, entry_body, entry_encoding, entry_type)
from cython.cimports.shardd.structures.table import Bucket, Table

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
table_p = cython.typedef(cython.pointer(Table))
chains_p = cython.typedef(cython.pointer(Chains))
bucket_p = cython.typedef(cython.pointer(Bucket))

SHOWN_MAX = cython.declare(cython.int, 63)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count_array(b: bucket_p, first: uint64_t, count: uint64_t, found: chains_p) -> cython.void:
    """Count the chains of an array's buckets from `first` on."""
    i: uint64_t
    at: bucket_p
    meta: cython.int
    length: cython.int
    for i in range(first, count):
        at = b + i
        length = 0
        while True:
            meta = at.meta & 127
            while meta:
                meta &= meta - 1
                length += 1
            if not at.meta & 128:
                break
            at = cython.cast(bucket_p, at.entry[6])
            found.overflow += 1
        found.slots += 1
        found.entries += length
        found.of_length[length if length < SHOWN_MAX else SHOWN_MAX] += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def count_chains(t: table_p, found: chains_p) -> cython.void:
    """Add a table's chains."""
    if t.b == cython.NULL:
        return
    found.tables += 1
    _count_array(t.b, 0, cython.cast(uint64_t, t.mask) + 1, found)
    if t.old != cython.NULL:
        _count_array(t.old, t.moved, cython.cast(uint64_t, t.old_mask) + 1, found)


@cython.cfunc
def _text(found: chains_p) -> str:
    """The chains as Redis shows those of a dict."""
    i: cython.int
    lines: list
    share: cython.double
    used: uint64_t = found.slots - found.of_length[0]
    longest: cython.int = 0
    if found.entries == 0:
        return "No stats available for empty dictionaries\n"
    lines = []
    for i in range(SHOWN_MAX + 1):
        if found.of_length[i]:
            longest = i
            share = cython.cast(cython.double, found.of_length[i]) / found.slots
            lines.append(f"   {i}: {found.of_length[i]} ({100 * share:.2f}%)\n")
    return (f" table size: {found.slots}\n number of elements: {found.entries}\n different slots: {used}\n"
            f" max chain length: {longest}\n"
            f" avg chain length (counted): {found.entries / cython.cast(cython.double, used):.2f}\n"
            f" overflow buckets: {found.overflow}\n Chain length distribution:\n" + "".join(lines))


def database_chains(db: Database) -> str:
    """The text of DEBUG HTSTATS about a database's tables, all slots together. Walks all buckets at once."""
    found: Chains
    slot: cython.int
    memset(cython.address(found), 0, cython.sizeof(Chains))
    if db.slots != cython.NULL:
        for slot in range(SLOT_COUNT):
            count_chains(cython.address(db.slots[slot].t), cython.address(found))
    return (f"[Dictionary HT]\nHash table 0 stats (main hash table), {found.tables} slots with keys:\n"
            + _text(cython.address(found)) + f"[Expires HT]\nKept with the keys: {db.volatile_keys} expire\n")


def value_chains(db: Database, key: bytes) -> str | None:
    """The text of DEBUG HTSTATS-KEY, "" where the value is no hash table, None where the key is absent."""
    k: Key
    found: Chains
    key_init(cython.address(k), cython.cast(const_bytes, cython.cast(cython.p_char, key)), len(key))
    e: bytep = db.find(cython.address(k))
    if e == cython.NULL:
        return None
    if entry_type(e) not in (TYPE_HASH, TYPE_SET, TYPE_ZSET):
        return ""
    if entry_encoding(e) != ENC_TABLE and entry_encoding(e) != ENC_ORDERED:
        return ""
    memset(cython.address(found), 0, cython.sizeof(Chains))
    # the body of each of them begins with its table
    count_chains(cython.cast(table_p, entry_body(e)), cython.address(found))
    return "Hash table 0 stats (main hash table):\n" + _text(cython.address(found))
