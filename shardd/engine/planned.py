"""A request of a batch, looked up and hashed before the first one runs, and the memory that it will touch.

Owns: the struct, and the last two of the three prefetches. Does not own how a request becomes one: clients' requests do
in engine.dispatch, the append-only file's in engine.replay; they ask for the slot's table when they hash the key.

    key -> slot table    -> bucket      -> entry
           the planner's    for all of     for all of
           prefetch         the batch      the batch
"""
import cython
from cython.cimports.shardd.engine.planned import Planned
from cython.cimports.shardd.keyspace.database import Database
from cython.cimports.shardd.structures.table import table_prefetch_bucket, table_prefetch_entry

planned_p = cython.typedef(cython.pointer(Planned))


@cython.cfunc
@cython.exceptval(check=False)
def ask_for_entries(db: Database, planned: planned_p, count: cython.int) -> cython.void:
    """Prefetch the buckets, then the entries, of all keys of a batch."""
    i: cython.int
    p: planned_p
    if db.slots == cython.NULL:
        return
    for i in range(count):
        p = cython.address(planned[i])
        if p.keyed:
            table_prefetch_bucket(cython.address(db.slots[p.key.slot].t), p.key.hash)
    for i in range(count):
        p = cython.address(planned[i])
        if p.keyed:
            table_prefetch_entry(cython.address(db.slots[p.key.slot].t), p.key.hash)
