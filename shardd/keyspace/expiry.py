"""Active expiry: deletes keys that are past their time and that nobody asks for.

Each slot knows a time before which none of its keys falls due (`SlotTable.next_expiry`), so a cycle reads 16,384
numbers and sweeps only slots that have something to give. Unlike Redis's random sampling this finds every due key, and
costs nothing while none is due. A sweep works chain by chain and stops when its time is used up; the next cycle goes on
there, so a million keys that fall due at once are many short cycles, never one long pause.

Lazy expiry (a due key that somebody does ask for) is database.py's.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Key, Keyspace, SlotTable, key_init
from cython.cimports.shardd.keyspace.entry import (
    entry_expires, entry_expiry, entry_free, entry_key, entry_key_len)
from cython.cimports.shardd.keyspace.events import NOTIFY_EXPIRED
from cython.cimports.shardd.structures.table import table_fit, table_step, table_sweep

CHAINS_PER_LOOK = cython.declare(uint64_t, 64)      # chains swept between two looks at the clock: some 10 us
NEVER = cython.declare(int64_t, 9223372036854775807)

slot_p = cython.typedef(cython.pointer(SlotTable))


@cython.cfunc
@cython.exceptval(check=False)
def _condemn(context: cython.p_void, e: bytep) -> cython.int:
    """Take out what is due: counters, effect, memory. 1 where the entry goes."""
    expirer: Expirer = cython.cast(Expirer, context)
    k: Key
    db: Database = expirer.sweeping
    when: int64_t
    if not entry_expires(e):
        return 0
    when = entry_expiry(e)
    if when >= db.keyspace.now_ms:
        if when < expirer.earliest:
            expirer.earliest = when
        return 0
    if db.keyspace.sink is not None:
        try:
            db.keyspace.sink.key_deleted(db.id, entry_key(e), entry_key_len(e), db.keyspace.lazy_expire)
            db.keyspace.sink.unit_over()
        except MemoryError:
            # it stays until the journal can hear of it
            expirer.earliest = min(expirer.earliest, when)
            return 0
    key_init(cython.address(k), entry_key(e), entry_key_len(e))
    db.count_less(expirer.slot, 1, 1)
    db.keyspace.expired += 1
    try:
        db.notify(NOTIFY_EXPIRED, b"expired", cython.address(k))
        db.touched(cython.address(k))
        db.keyspace.dirty -= 1          # no command's doing
    except BaseException as error:      # a visitor cannot raise, and the key is as good as gone
        expirer.broken = error
    expirer.removed += 1
    entry_free(e)
    return 1


@cython.final
@cython.cclass
class Expirer:
    """Where active expiry stands, over all databases."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.earliest = NEVER

    def cycle(self, budget_us: int64_t) -> bool:
        """Sweep what is due, for at most about `budget_us`; whether there was more than that."""
        deadline_us: int64_t = monotonic_us() + budget_us
        visits: cython.Py_ssize_t = 0
        databases: list = self.keyspace.databases
        db: Database
        while visits <= len(databases):
            visits += 1
            if self.db >= len(databases):
                self.db = 0
                self.slot = 0
            db = databases[self.db]
            if db.slots != cython.NULL and db.volatile_keys:
                while self.slot < SLOT_COUNT:
                    if db.slots[self.slot].next_expiry < self.keyspace.now_ms or db.slots[self.slot].sweeping:
                        if not self.sweep_slot(db, deadline_us):
                            return True
                    self.slot += 1
            self.slot = 0
            self.chain = 0
            self.db += 1
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sweep_slot(self, db: Database, deadline_us: int64_t) -> cython.bint:
        """Sweep the current slot on; False where time ran out before its end."""
        s: slot_p = cython.address(db.slots[self.slot])
        if self.chain == 0 or s.t.shape != self.shape or self.exchanges != db.keyspace.exchanges:
            self.exchanges = db.keyspace.exchanges
            self.chain = 0
            self.earliest = NEVER
        if not s.sweeping:
            # from here on it notes the keys that come while the sweep is under way
            s.sweeping = 1
            s.next_expiry = NEVER
        self.shape = s.t.shape
        self.sweeping = db
        while True:
            self.chain = table_sweep(cython.address(s.t), self.chain, CHAINS_PER_LOOK, _condemn,
                                     cython.cast(cython.p_void, self))
            if self.broken is not None:
                error: object = self.broken
                self.broken = None
                raise error
            if self.chain == 0:
                break
            if monotonic_us() >= deadline_us:
                return False
        self.sweeping = None
        s.sweeping = 0
        if s.volatile_keys and self.earliest < s.next_expiry:
            s.next_expiry = self.earliest
        table_fit(cython.address(s.t))
        # nobody may come by soon, and until then a table keeps the room of all that went
        while table_step(cython.address(s.t), CHAINS_PER_LOOK):
            if monotonic_us() >= deadline_us:
                break
        return monotonic_us() < deadline_us
