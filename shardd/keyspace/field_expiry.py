"""Fields past their time go: when their hash is asked for, or in the course of active expiry.

    asked for   a hash of up to AT_ONCE fields is rid of them before the command sees it (fields_settle). In a larger
                one they stay, and who looks at a pair passes over one that is due (structures/table, pair_due)
    active      expiry.py sweeps a slot whose next_expiry has come, and finds the hash: a small one is settled there and
                then, a large one handed to FieldSweeps, which goes through its table in steps

Either way the journal hears HDEL before they are taken out, and the key goes with its last field. There is no index of
fields by their expiry: a hash knows a time before which none falls due, and is swept as a whole when it has come. So a
field with a time to live costs 8 bytes, and after a sweep a large hash has rest for as long as FIELDS_PER_MS says,
however many fields fall due one after the other: what is due is not seen in any case, it only keeps its memory until
then.

Invariant: the slot's next_expiry is not later than a field's, but for a hash that is being swept, or has rest, which is
noted with the time when it is to be looked at again.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t, uint64_t
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.database import Database, Key, Keyspace, key_init
from cython.cimports.shardd.keyspace.entry import (
    ENC_TABLE, TYPE_HASH, entry_body, entry_encoding, entry_key, entry_key_len, entry_type)
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_HASH
from cython.cimports.shardd.keyspace.fields import (
    fields_chains, fields_drop, fields_due, fields_expire, fields_listed, fields_steady)
from cython.cimports.shardd.keyspace.values import value_ops
from cython.cimports.shardd.structures.pairs import Pairs

from shardd.base import limits

key_p = cython.typedef(cython.pointer(Key))
pairs_p = cython.typedef(cython.pointer(Pairs))

AT_ONCE = cython.declare(uint64_t, limits.FIELDS_SETTLED_AT_ONCE)
CHAINS_PER_LOOK = cython.declare(uint64_t, 32)      # of a large hash, between two looks at the clock: some 100 us
EFFECT_FIELDS = cython.declare(cython.Py_ssize_t, limits.EFFECT_ELEMENTS)
LOOK_AGAIN_MS = cython.declare(int64_t, 1000)       # at a hash that waits for its sweep, should that be forgotten
FIELDS_PER_MS = cython.declare(int64_t, 2000)       # a large hash is swept again after so long
RESTING_MAX = cython.declare(cython.Py_ssize_t, 1000)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _length(e: bytep) -> uint64_t:
    return value_ops(TYPE_HASH, entry_encoding(e)).length(entry_body(e))


@cython.cfunc
@cython.exceptval(-1, check=False)
def fields_gone(db: Database, k: key_p, e: bytep, due: list) -> cython.int:
    """Take out fields that are due, and tell who wants to know. The hash may be empty then. MemoryError."""
    start: cython.Py_ssize_t
    if db.keyspace.sink is not None:
        # first, since it alone can fail as a rule: a deletion that the journal missed could not be made good
        key: bytes = cython.cast(cython.p_char, k.p)[:k.n]
        for start in range(0, len(due), EFFECT_FIELDS):
            db.keyspace.sink.fields_deleted(db.id, key, due[start:start + EFFECT_FIELDS])
    fields_drop(e, due)
    db.note_fields(k, True, fields_expire(e), INT64_MAX)
    db.keyspace.expired_fields += cython.cast(uint64_t, len(due))
    db.notify(NOTIFY_HASH, b"hexpired", k)
    db.touched(k)
    db.keyspace.dirty -= 1          # no doing of the command that came upon it
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _remove(db: Database, k: key_p) -> cython.int:
    """The last field went."""
    db.remove(k)
    db.keyspace.dirty -= 1
    db.notify(NOTIFY_GENERIC, b"del", k)
    return 0


@cython.cfunc
def fields_settle(db: Database, k: cython.pointer(Key), e: bytep) -> bytep:
    """The hash `e` of this key, rid of what is due unless it is too large for that; NULL where nothing is left, and
    the key is gone. MemoryError.
    """
    now_ms: int64_t = db.keyspace.now_ms
    earliest: int64_t = INT64_MAX
    due: list
    if fields_steady(e, now_ms):
        return e
    if entry_encoding(e) == ENC_TABLE and _length(e) > AT_ONCE:
        return e
    due = []
    fields_listed(e, now_ms, due, cython.address(earliest))
    if due:
        fields_gone(db, k, e, due)
        if _length(e) == 0:
            _remove(db, k)
            return cython.NULL
    if entry_encoding(e) == ENC_TABLE:
        cython.cast(pairs_p, entry_body(e)).next_expiry = earliest
    return e


@cython.final
@cython.cclass
class FieldSweeps:
    """The large hashes that wait for a sweep, over all databases, and where the sweep of the first one stands."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.waiting = {}           # (number of the database, key) -> True
        self.resting = {}           # the same -> not to be swept before, Unix ms

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, db: Database, e: bytep) -> int64_t:
        """A large hash has fields that are due. When its slot should look at it again, Unix ms. MemoryError."""
        name: tuple = (db.id, cython.cast(cython.p_char, entry_key(e))[:entry_key_len(e)])
        again: object = self.resting.get(name)
        if again is not None:
            if again > self.keyspace.now_ms:
                return again
            del self.resting[name]
        self.waiting[name] = True
        return self.keyspace.now_ms + LOOK_AGAIN_MS

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def step(self, deadline_us: int64_t) -> cython.bint:
        """Sweep until the monotonic clock says deadline_us; whether there is more. MemoryError."""
        k: Key
        e: bytep
        db: Database
        while self.waiting:
            if self.current is None:
                self.current = next(iter(self.waiting))
                self.chain = 0
            number, key = self.current
            db = self.keyspace.databases[number]
            key_init(cython.address(k), cython.cast(cython.pointer(cython.const[uint8_t]),
                                                    cython.cast(cython.p_char, key)), len(key))
            e = db.find(cython.address(k))
            if e != cython.NULL and entry_type(e) == TYPE_HASH and entry_encoding(e) == ENC_TABLE and fields_expire(e):
                if not self.sweep(db, cython.address(k), e, deadline_us):
                    return True
            del self.waiting[self.current]
            self.current = None
            if monotonic_us() >= deadline_us:
                return bool(self.waiting)
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sweep(self, db: Database, k: key_p, e: bytep, deadline_us: int64_t) -> cython.bint:
        """Sweep the current hash on; False where time ran out before its end. The key may be gone then."""
        m: pairs_p = cython.cast(pairs_p, entry_body(e))
        due: list
        while True:
            if self.chain == 0 or m.t.shape != self.shape:
                self.chain = 0
                self.earliest = INT64_MAX
                m.since = INT64_MAX
            due = []
            self.chain = fields_chains(e, self.keyspace.now_ms, self.chain, CHAINS_PER_LOOK, due,
                                       cython.address(self.earliest))
            self.shape = m.t.shape
            if due:
                fields_gone(db, k, e, due)
                if self.keyspace.sink is not None:
                    self.keyspace.sink.unit_over()
                if m.t.used == 0:
                    _remove(db, k)
                    return True
            if self.chain == 0 and self.shape == m.t.shape:
                self.finish(db, k, e)
                return True
            if monotonic_us() >= deadline_us:
                return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish(self, db: Database, k: key_p, e: bytep) -> cython.int:
        """A hash was looked through."""
        m: pairs_p = cython.cast(pairs_p, entry_body(e))
        again: int64_t = self.keyspace.now_ms + cython.cast(int64_t, m.t.used) // FIELDS_PER_MS
        if m.expiring:
            m.next_expiry = min(self.earliest, m.since)
        db.note_fields(k, fields_expire(e), fields_expire(e), max(fields_due(e), again))
        if len(self.resting) >= RESTING_MAX:
            self.resting.clear()
        self.resting[self.current] = again
        return 0
