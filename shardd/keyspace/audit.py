"""The walker over a database: every invariant of the keyspace, looked at in every slot and every entry.

For DEBUG CHECK and for tests. It changes nothing, and takes as long as there are keys.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.database import GROUP_BITS, SLOT_COUNT, Database, Groups, SlotTable
from cython.cimports.shardd.keyspace.entry import (
    TYPE_STRING, entry_body, entry_bytes, entry_encoding, entry_expires, entry_expiry, entry_key, entry_key_len,
    entry_type)
from cython.cimports.shardd.keyspace.fields import fields_expire
from cython.cimports.shardd.keyspace.values import value_ops
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.structures.table import table_bytes, table_check, table_walk

NEVER = cython.declare(int64_t, 9223372036854775807)


@cython.final
@cython.cclass
class _Tally:
    """What check_slot counts."""
    slot: uint32_t
    wrong: uint32_t
    volatile_keys: uint32_t
    marked: uint32_t
    bytes: int64_t
    earliest: int64_t
    broken: object

    def __cinit__(self, slot: uint32_t):
        self.slot = slot
        self.earliest = NEVER


@cython.cfunc
@cython.exceptval(check=False)
def _tally_visitor(context: cython.p_void, e: bytep) -> cython.int:
    tally: _Tally = cython.cast(_Tally, context)
    tally.bytes += entry_bytes(e)
    if entry_type(e) != TYPE_STRING:
        try:
            value_ops(entry_type(e), entry_encoding(e)).check(entry_body(e))
        except Exception as error:      # a visitor cannot raise
            tally.broken = error
        tally.marked += fields_expire(e)
    if key_slot(entry_key(e), entry_key_len(e)) != tally.slot:
        tally.wrong += 1
    if entry_expires(e):
        tally.volatile_keys += 1
        if entry_expiry(e) < tally.earliest:
            tally.earliest = entry_expiry(e)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_slot(db: Database, slot: uint32_t) -> int64_t:
    """Walk one slot; the bytes of its table and its entries."""
    s: cython.pointer(SlotTable) = cython.address(db.slots[slot])
    tally: _Tally = _Tally(slot)
    table_check(cython.address(s.t))
    table_walk(cython.address(s.t), _tally_visitor, cython.cast(cython.p_void, tally))
    if tally.broken is not None:
        raise tally.broken
    assert tally.wrong == 0, "a key lies in another slot's table"
    assert tally.volatile_keys == s.volatile_keys, "the count of keys that expire is wrong"
    assert tally.marked == s.t.marked, "the count of hashes with fields that expire is wrong"
    assert s.sweeping or s.next_expiry <= tally.earliest, "a key falls due before its slot's next_expiry"
    return table_bytes(cython.address(s.t)) + tally.bytes


def check_database(db: Database) -> int:
    """Walk everything; raises AssertionError where an invariant does not hold.

    Returns the bytes of memory that the database takes. Over all databases, and without those that are still being
    freed, that is used_memory."""
    slot: cython.int
    held: int64_t = 0
    used: uint64_t = 0
    volatile_keys: uint64_t = 0
    marked: uint64_t = 0
    groups: Groups
    memset(cython.address(groups), 0, cython.sizeof(Groups))
    if db.slots != cython.NULL:
        held += SLOT_COUNT * cython.sizeof(SlotTable)
        for slot in range(SLOT_COUNT):
            if db.slots[slot].t.b != cython.NULL:
                held += _check_slot(db, slot)
            used += db.slots[slot].t.used
            volatile_keys += db.slots[slot].volatile_keys
            groups.keys[slot >> GROUP_BITS] += db.slots[slot].t.used
            groups.volatile_keys[slot >> GROUP_BITS] += db.slots[slot].volatile_keys
            marked += db.slots[slot].t.marked
    assert memcmp(cython.address(groups), cython.address(db.groups), cython.sizeof(Groups)) == 0, \
        "the count of keys of a group of slots is wrong"
    assert used == db.used, "the database's count of keys is wrong"
    assert volatile_keys == db.volatile_keys, "the database's count of keys that expire is wrong"
    assert marked == db.volatile_hashes, "the database's count of hashes with fields that expire is wrong"
    return held
