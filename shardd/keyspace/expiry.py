"""Active expiry: deletes keys that are past their time and that nobody asks for.

Each slot knows a time before which none of its keys falls due (`SlotTable.next_expiry`), so a cycle reads 16,384
numbers and sweeps only slots that have something to give. Unlike Redis's random sampling this finds every due key, and
costs nothing while none is due. A sweep works chain by chain and stops when its time is used up; the next cycle goes on
there, so a million keys that fall due at once are many short cycles, never one long pause.

Hashes with fields that expire are found the same way, since next_expiry covers those too: a small one loses what is due
as the sweep comes by, a large one is left to field_expiry.py.

Lazy expiry (a due key that somebody does ask for) is database.py's.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Key, Keyspace, SlotTable, key_init
from cython.cimports.shardd.keyspace.entry import (
    ENC_TABLE, TYPE_HASH, entry_body, entry_encoding, entry_expires, entry_expiry, entry_free, entry_key, entry_key_len)
from cython.cimports.shardd.keyspace.events import NOTIFY_EXPIRED, NOTIFY_GENERIC
from cython.cimports.shardd.keyspace.field_expiry import FieldSweeps, fields_gone
from cython.cimports.shardd.keyspace.fields import fields_due, fields_expire, fields_listed
from cython.cimports.shardd.keyspace.values import value_ops
from cython.cimports.shardd.structures.pairs import Pairs
from cython.cimports.shardd.structures.table import table_fit, table_step, table_sweep

from shardd.base import limits

CHAINS_PER_LOOK = cython.declare(uint64_t, 64)      # chains swept between two looks at the clock: some 10 us
FIELDS_AT_ONCE = cython.declare(uint64_t, limits.FIELDS_SETTLED_AT_ONCE)
NEVER = cython.declare(int64_t, 9223372036854775807)

pairs_p = cython.typedef(cython.pointer(Pairs))
slot_p = cython.typedef(cython.pointer(SlotTable))


@cython.cfunc
@cython.exceptval(check=False)
def _condemn(context: cython.p_void, e: bytep) -> cython.int:
    """Take out what is due: counters, effect, memory. 1 where the entry goes."""
    expirer: Expirer = cython.cast(Expirer, context)
    k: Key
    db: Database = expirer.sweeping
    when: int64_t
    if not entry_expires(e) or entry_expiry(e) >= db.keyspace.now_ms:
        if entry_expires(e) and entry_expiry(e) < expirer.earliest:
            expirer.earliest = entry_expiry(e)
        return _look_at_fields(expirer, e) if fields_expire(e) else 0
    when = entry_expiry(e)
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
    if fields_expire(e):
        db.note_fields(cython.address(k), True, False, NEVER)
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


@cython.cfunc
@cython.exceptval(check=False)
def _look_at_fields(expirer: Expirer, e: bytep) -> cython.int:
    """A hash of which fields may expire. 1 where its last field, and so the entry, goes."""
    try:
        return expirer.look_at_hash(e)
    except MemoryError:
        # they stay until the journal can hear of it
        expirer.earliest = min(expirer.earliest, fields_due(e))
        return 0


@cython.final
@cython.cclass
class Expirer:
    """Where active expiry stands, over all databases."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.earliest = NEVER
        self.fields = FieldSweeps(keyspace)

    def cycle(self, budget_us: int64_t) -> bool:
        """Sweep what is due, for at most about `budget_us`; whether there was more than that."""
        deadline_us: int64_t = monotonic_us() + budget_us
        visits: cython.Py_ssize_t = 0
        databases: list = self.keyspace.databases
        db: Database
        # half of the time for large hashes, or neither could keep the other from its turn
        large: cython.bint = self.fields.step(monotonic_us() + budget_us // 2)
        while visits <= len(databases):
            visits += 1
            if self.db >= len(databases):
                self.db = 0
                self.slot = 0
            db = databases[self.db]
            if db.slots != cython.NULL and (db.volatile_keys or db.volatile_hashes):
                while self.slot < SLOT_COUNT:
                    if db.slots[self.slot].next_expiry < self.keyspace.now_ms or db.slots[self.slot].sweeping:
                        if not self.sweep_slot(db, deadline_us):
                            return True
                    self.slot += 1
            self.slot = 0
            self.chain = 0
            self.db += 1
        return large or bool(self.fields.waiting)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def look_at_hash(self, e: bytep) -> cython.int:
        """A hash of which fields may expire, in the slot that is being swept: take out what is due, or have a large one
        swept by itself. 1 where its last field, and so the entry, goes. MemoryError.
        """
        db: Database = self.sweeping
        earliest: int64_t = NEVER
        due: list
        k: Key
        if fields_due(e) >= db.keyspace.now_ms:
            self.earliest = min(self.earliest, fields_due(e))
            return 0
        if entry_encoding(e) == ENC_TABLE and cython.cast(pairs_p, entry_body(e)).t.used > FIELDS_AT_ONCE:
            self.earliest = min(self.earliest, self.fields.add(db, e))
            return 0
        due = []
        fields_listed(e, db.keyspace.now_ms, due, cython.address(earliest))
        key_init(cython.address(k), entry_key(e), entry_key_len(e))
        if due:
            fields_gone(db, cython.address(k), e, due)
            if db.keyspace.sink is not None:
                db.keyspace.sink.unit_over()
        if value_ops(TYPE_HASH, entry_encoding(e)).length(entry_body(e)) > 0:
            if entry_encoding(e) == ENC_TABLE:
                cython.cast(pairs_p, entry_body(e)).next_expiry = earliest
            self.earliest = min(self.earliest, earliest)
            return 0
        db.count_less(self.slot, 1, 0)
        if entry_expires(e):
            db.note_expiry(cython.address(k), entry_expiry(e), -1)
        if fields_expire(e):
            db.note_fields(cython.address(k), True, False, NEVER)
        db.notify(NOTIFY_GENERIC, b"del", cython.address(k))
        entry_free(e)
        return 1

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
        if (s.volatile_keys or s.t.marked) and self.earliest < s.next_expiry:
            s.next_expiry = self.earliest
        table_fit(cython.address(s.t))
        # nobody may come by soon, and until then a table keeps the room of all that went
        while table_step(cython.address(s.t), CHAINS_PER_LOOK):
            if monotonic_us() >= deadline_us:
                break
        return monotonic_us() < deadline_us
