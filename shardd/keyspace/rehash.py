"""Tables that are growing or shrinking are finished between commands (activerehashing).

A table moves a few buckets with each key that comes or goes (structures/table.py). Where no more come, both its arrays
would stay; the rounds made here finish them. A round looks at every slot's table once, a line of memory each, and works
on those with two arrays. It stops when its time is used up, and the next one goes on there.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Keyspace
from cython.cimports.shardd.structures.table import Table, table_step

BUCKETS_PER_LOOK = cython.declare(cython.int, 64)       # buckets moved between two looks at the clock: some 20 us
SLOTS_PER_LOOK = cython.declare(cython.int, 1024)       # tables seen between two looks: some 10 us

table_p = cython.typedef(cython.pointer(Table))


@cython.final
@cython.cclass
class Rehasher:
    """Where the rounds stand, over all databases."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace

    def step(self, budget_us: int64_t) -> bool:
        """Move buckets for about `budget_us`, at most one round; whether there is more to move."""
        deadline_us: int64_t = monotonic_us() + budget_us
        databases: list = self.keyspace.databases
        found: cython.bint = False
        visits: cython.Py_ssize_t = 0
        db: Database
        # the database that the last round ended in is visited at the start and at the end
        while visits <= len(databases):
            visits += 1
            db = databases[self.db]
            if db.slots != cython.NULL:
                while self.slot < SLOT_COUNT:
                    if db.slots[self.slot].t.old != cython.NULL:
                        found = True
                        if not _finish(cython.address(db.slots[self.slot].t), deadline_us):
                            return True
                        if monotonic_us() >= deadline_us:
                            self.slot += 1
                            return True
                    self.slot += 1
                    if self.slot % SLOTS_PER_LOOK == 0 and monotonic_us() >= deadline_us:
                        return found
            self.slot = 0
            self.db = (self.db + 1) % len(databases)
        return False


@cython.cfunc
@cython.exceptval(check=False)
def _finish(t: table_p, deadline_us: int64_t) -> cython.bint:
    """Move what is left of the old array; False where the time ran out before. Without memory it stays as it is."""
    moved: uint32_t
    while True:
        moved = t.moved
        if not table_step(t, BUCKETS_PER_LOOK) or t.moved == moved:
            return True
        if monotonic_us() >= deadline_us:
            return False
