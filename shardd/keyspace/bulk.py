"""Many entries put into a database at once, as loading a file does.

What a single key waits for - the line of its slot, the line of its bucket - is asked for of all of them before it is
needed. Nobody hears of these keys: no event, no observer, no effect; they have been there before anybody asked.
"""
import cython
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.shardd.base.native import bytep, prefetch
from cython.cimports.shardd.keyspace.bulk import Loaded
from cython.cimports.shardd.keyspace.database import Database, Key, SlotTable
from cython.cimports.shardd.keyspace.entry import entry_expires, entry_expiry, entry_key, entry_key_len
from cython.cimports.shardd.keyspace.fields import fields_due, fields_expire
from cython.cimports.shardd.structures.table import (
    table_find, table_insert, table_prefetch_bucket, table_prefetch_entry, table_reserve)

loaded_p = cython.typedef(cython.pointer(Loaded))
place_p = cython.typedef(cython.pointer(bytep))
slot_p = cython.typedef(cython.pointer(SlotTable))


@cython.cfunc
@cython.exceptval(-2, check=False)
def bulk_add(db: Database, all: loaded_p, n: cython.int, replace: cython.bint, in_slot: uint64_t) -> cython.int:
    """Put entries under their keys. -1 where all are in; else the place of the first one whose key is there already.

    all: what is in has a NULL entry then, the others stay the caller's; also where MemoryError is raised.
    replace: a key that is there gets the new entry.
    in_slot: how many keys a slot is going to have, for those that have none yet; 0: unknown.
    """
    i: cython.int
    s: slot_p
    e: bytep
    k: Key
    place: place_p
    if n > 0:
        db.open_slots()
    for i in range(n):
        prefetch(cython.address(db.slots[all[i].slot]))
    for i in range(n):
        table_prefetch_bucket(cython.address(db.slots[all[i].slot].t), all[i].hash)
    for i in range(n):
        table_prefetch_entry(cython.address(db.slots[all[i].slot].t), all[i].hash)
    for i in range(n):
        s = cython.address(db.slots[all[i].slot])
        e = all[i].e
        k.p = entry_key(e)
        k.n = entry_key_len(e)
        k.slot = all[i].slot
        k.hash = all[i].hash
        if s.t.b == cython.NULL:
            if in_slot > 0 and not table_reserve(cython.address(s.t), in_slot):
                raise MemoryError
        else:
            place = table_find(cython.address(s.t), k.p, k.n, k.hash)
            if place != cython.NULL:
                if not replace:
                    return i
                all[i].e = cython.NULL
                db.replace(cython.address(k), e)
                continue
        if not table_insert(cython.address(s.t), e, k.hash):
            raise MemoryError
        all[i].e = cython.NULL
        db.count_more(k.slot, 1, 0)
        if entry_expires(e):
            db.note_expiry(cython.address(k), -1, entry_expiry(e))
        if fields_expire(e):
            db.note_fields(cython.address(k), False, True, fields_due(e))
    return -1
