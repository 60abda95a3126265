"""Eviction: what goes when more memory is in use than maxmemory.

Before each command, dispatch asks `perform`. Where more is held than allowed, it evicts keys until that is no longer
so, for as long as maxmemory-eviction-tenacity allows; what is left is done by the clock (`step`), between commands.

    held by clients, and data  >  maxmemory ?
        memory is still coming back (a large value or a cleared database is freed in steps)?   free on, evict nothing
        noeviction, or no key that may go?                                                     FAIL: commands get -OOM
        else sample, pool, evict the best of the pool, and look again

Sampling. Each key is as likely as any other: a number below the count of keys is drawn, the counts per group of 64
slots say in which slot it lies (Database.slot_at), and in that slot's table places are drawn until one is in use
(table_random). A policy for keys with an expiry draws by the counts of these; within a slot where few keys have one it
looks through the table from a random chain on instead.

Pool. As in Redis (evict.c), the best candidates of the last samplings are kept, 16 over all databases, so that a few
samples approach what looking at every key would choose:

    pool    [ score 3 | score 9 | ... | score 70 ]    a better one than the lowest pushes that out; the highest goes
            of equal scores the one that was pooled first is the higher;
            the keys are copies: who has gone, or was used since, is passed over

Scores: seconds without access (lru), 255 less the decayed counter (lfu), the earlier the expiry the higher (ttl).

Unlike Redis's, an eviction never frees a large value in one go: values.py and database.py do it in steps. Until their
memory is back nothing else is evicted, or everything would go while it is under way. And in one turn of the reactor all
evictions together take no longer than limits.EVICTION_TURN_US, however many commands it runs: what is written meanwhile
is made good by the clock.

Owns: the policy, the pool, the decision. Does not own the access clocks (database.py, Keyspace.touch_entry) or what the
refused command is told (engine/dispatch.py).
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.access import lfu_decayed
from cython.cimports.shardd.keyspace.database import Database, Key, Keyspace, SlotTable, key_init
from cython.cimports.shardd.keyspace.entry import (
    entry_access, entry_expires, entry_expiry, entry_key, entry_key_len)
from cython.cimports.shardd.keyspace.events import NOTIFY_EVICTED
from cython.cimports.shardd.keyspace.eviction import (
    BY_CHANCE, BY_EXPIRY, BY_IDLE, BY_NOTHING, BY_USE, EVICT_FAIL, EVICT_OK, EVICT_RUNNING, Candidate)
from cython.cimports.shardd.structures.random import random_bits
from cython.cimports.shardd.structures.table import Table, table_random, table_scan

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
key_p = cython.typedef(cython.pointer(Key))
slot_p = cython.typedef(cython.pointer(SlotTable))
candidate_p = cython.typedef(cython.pointer(Candidate))
place_p = cython.typedef(cython.pointer(bytep))

POOL = cython.declare(cython.int, limits.EVICTION_POOL_KEYS)
POOLED_KEY_ROOM = cython.declare(uint32_t, 256)         # bytes for a pooled key that are kept; most keys are shorter
TURN_US = cython.declare(int64_t, limits.EVICTION_TURN_US)
FREE_KEYS = cython.declare(int64_t, 1 << 30)            # of cleared databases, in one step: its time bounds it
ROUNDS_MAX = cython.declare(cython.int, 16)             # samplings without a candidate before the clock goes on
DRAWS_MAX = cython.declare(cython.int, 16)              # entries drawn for one with an expiry before a walk,
CHAINS_MAX = cython.declare(cython.int, 256)            # and chains looked through then, some 20 us
EXPIRY_SCORE = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)
NO_LIMIT = cython.declare(int64_t, -1)
NEVER = cython.declare(int64_t, 9223372036854775807)

_BY: dict = {"noeviction": BY_NOTHING, "lru": BY_IDLE, "lfu": BY_USE, "random": BY_CHANCE, "ttl": BY_EXPIRY}


def limit_us(tenacity: int) -> int:
    """How long one call may evict, microseconds, by maxmemory-eviction-tenacity (0..100); -1: as long as it takes.

    Redis's rule: linear up to 500 us at 10, then 15 % more for each further one, some two minutes at 99.
    """
    if tenacity <= 10:
        return 50 * tenacity
    return int(500.0 * 1.15 ** (tenacity - 10)) if tenacity < 100 else -1


@cython.final
@cython.cclass
class _Pick:
    """The entries with an expiry of the chains looked at: one of them, each as likely."""
    entry: bytep
    seen: uint64_t

    def __cinit__(self):
        self.entry = cython.NULL


@cython.cfunc
@cython.exceptval(check=False)
def _pick_volatile(context: cython.p_void, e: bytep) -> cython.int:
    pick: _Pick = cython.cast(_Pick, context)
    if entry_expires(e):
        pick.seen += 1
        if pick.entry == cython.NULL or random_bits() % pick.seen == 0:
            pick.entry = e
    return 0


@cython.final
@cython.cclass
class Evictor:
    """The eviction of one engine."""

    def __cinit__(self):
        memset(self.pool, 0, cython.sizeof(self.pool))

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.samples = 5
        self.set_policy("noeviction")
        self.set_tenacity(10)

    def __dealloc__(self):
        i: cython.int
        for i in range(POOL + 1):
            free(self.pool[i].key)

    def set_policy(self, policy: str) -> None:
        """maxmemory-policy. Candidates of another policy are forgotten."""
        self.by = _BY[policy.partition("-")[2] or policy]
        self.volatile_only = policy.startswith("volatile")
        self.pooled = 0

    def set_tenacity(self, tenacity: int) -> None:
        """maxmemory-eviction-tenacity"""
        self.limit_us = limit_us(tenacity)

    @property
    def held_bytes(self) -> int:
        """What counts towards maxmemory."""
        return self.held()

    @property
    def over(self) -> bool:
        """Whether that is more than maxmemory."""
        return self.is_over()

    # ---- until there is room

    def step(self) -> bool:
        """Go on, by the clock; whether there is more to do."""
        self.running = False
        self.turn_us = 0
        return self.perform() == EVICT_RUNNING

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def perform(self) -> cython.int:
        """Evict until less than maxmemory is held, or the time is up: an EVICT_ value."""
        start_us: int64_t
        left_us: int64_t
        deadline_us: int64_t = NEVER
        result: cython.int = EVICT_RUNNING
        if not self.is_over():
            return EVICT_OK
        start_us = monotonic_us()
        if self.limit_us != NO_LIMIT:
            if self.reactor is not None and self.reactor.now_ms != self.turn_ms:
                self.turn_ms = self.reactor.now_ms
                self.turn_us = 0
            left_us = max(TURN_US, self.limit_us) - self.turn_us    # a tenacity above the usual is somebody's wish
            deadline_us = start_us + min(left_us, self.limit_us)
        if deadline_us > start_us or self.turn_us == 0 or self.by == BY_NOTHING:
            result = self.work(deadline_us)
        start_us = monotonic_us() - start_us
        self.turn_us += start_us + 1
        if start_us >= 1000 and self.latency is not None:
            self.latency.note("eviction-cycle", start_us)
        if result == EVICT_RUNNING and not self.running:
            self.running = True
            if self.on_running is not None:
                self.on_running()
        return result

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def work(self, deadline_us: int64_t) -> cython.int:
        """`perform` until the monotonic clock says deadline_us; a little is done in any case."""
        found: cython.int
        while True:
            if self.keyspace.is_freeing():
                self.keyspace.free_until(deadline_us, FREE_KEYS)
                if not self.is_over():
                    return EVICT_OK
                if self.keyspace.is_freeing():
                    # without a policy nothing promises that it will be enough
                    return EVICT_FAIL if self.by == BY_NOTHING else EVICT_RUNNING
            if self.by == BY_NOTHING:
                return EVICT_FAIL
            found = self.evict_random() if self.by == BY_CHANCE else self.evict_one()
            if found != EVICT_OK:
                return found
            if not self.is_over():
                return EVICT_OK
            if monotonic_us() >= deadline_us:
                return EVICT_RUNNING

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def evict_one(self) -> cython.int:
        """Evict the best candidate. FAIL: no key may go; RUNNING: none was found in a number of tries."""
        k: Key
        db: Database
        best: candidate_p
        place: place_p
        rounds: cython.int
        i: cython.Py_ssize_t
        keys: uint64_t
        databases: list = self.keyspace.databases
        for rounds in range(ROUNDS_MAX):
            keys = 0
            self.next_db += 1           # of keys with equal scores those of one database must not always be the first
            for i in range(len(databases)):
                db = databases[(self.next_db + i) % len(databases)]
                if self.volatile_only:
                    keys += db.volatile_keys
                else:
                    keys += db.used
                self.populate(db)
            if keys == 0:
                return EVICT_FAIL
            while self.pooled > 0:
                self.pooled -= 1
                best = cython.address(self.pool[self.pooled])
                db = databases[best.db]
                key_init(cython.address(k), best.key, best.n)
                place = db.place_of(cython.address(k))
                if place == cython.NULL or (self.volatile_only and not entry_expires(place[0])):
                    continue
                if self.score(place[0]) < best.score:
                    continue        # somebody has used it since
                self.evict(db, cython.address(k), place[0])
                return EVICT_OK
        return EVICT_RUNNING

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def evict_random(self) -> cython.int:
        """Evict any key, of one database after the other as in Redis. As evict_one."""
        k: Key
        db: Database
        e: bytep
        i: cython.Py_ssize_t
        keys: uint64_t
        found: cython.bint = False
        databases: list = self.keyspace.databases
        for i in range(len(databases)):
            self.next_db += 1
            db = databases[self.next_db % len(databases)]
            keys = db.volatile_keys if self.volatile_only else db.used
            if keys == 0:
                continue
            found = True
            e = self.draw(db)
            if e != cython.NULL:
                key_init(cython.address(k), entry_key(e), entry_key_len(e))
                self.evict(db, cython.address(k), e)
                return EVICT_OK
        return EVICT_RUNNING if found else EVICT_FAIL

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def evict(self, db: Database, k: key_p, e: bytep) -> cython.int:
        """The key goes. Raises MemoryError where the journal cannot hear of it, and changes nothing then."""
        db.lose(k, e, NOTIFY_EVICTED, b"evicted", self.lazy)
        if self.keyspace.sink is not None:
            self.keyspace.sink.unit_over()
        self.keyspace.evicted += 1
        return 0

    # ---- who is worth it

    @cython.cfunc
    @cython.exceptval(check=False)
    def score(self, e: const_bytes) -> uint64_t:
        """How much an entry is worth evicting, by the policy in force."""
        keyspace: Keyspace = self.keyspace
        if self.by == BY_IDLE:
            return (keyspace.access_clock - entry_access(e)) & 0xFFFFFF     # both are seconds modulo 2^24
        if self.by == BY_USE:
            return 255 - lfu_decayed(entry_access(e), keyspace.access_clock >> 8, keyspace.lfu_decay_minutes)
        return EXPIRY_SCORE - cython.cast(uint64_t, entry_expiry(e))

    @cython.cfunc
    @cython.exceptval(check=False)
    def draw(self, db: Database) -> bytep:
        """A random entry of a database that has some that may go; NULL where none was found in time."""
        number: uint64_t
        s: slot_p
        if self.volatile_only:
            number = random_bits() % db.volatile_keys
            s = db.slot_at(cython.address(number), True)
            return self.draw_volatile(s)
        number = random_bits() % db.used
        s = db.slot_at(cython.address(number), False)
        return table_random(cython.address(s.t), random_bits())

    @cython.cfunc
    @cython.exceptval(check=False)
    def draw_volatile(self, s: slot_p) -> bytep:
        """An entry with an expiry of a slot that has some; NULL where none was found in CHAINS_MAX chains.

        The next call for the same slot goes on there, so that a single one among millions is found in the end.
        """
        t: cython.pointer(Table) = cython.address(s.t)
        e: bytep
        i: cython.int
        cursor: uint64_t
        pick: _Pick
        for i in range(DRAWS_MAX):
            e = table_random(t, random_bits())
            if entry_expires(e):
                return e
        pick = _Pick()
        cursor = self.hand_cursor if s == self.hand else random_bits()
        for i in range(CHAINS_MAX):
            cursor = table_scan(t, cursor, _pick_volatile, cython.cast(cython.p_void, pick))
            if pick.entry != cython.NULL:
                self.hand = cython.NULL
                return pick.entry
        self.hand = s
        self.hand_cursor = cursor
        return cython.NULL

    @cython.cfunc
    @cython.exceptval(check=False)
    def populate(self, db: Database) -> cython.void:
        """Sample maxmemory-samples keys of a database into the pool."""
        i: cython.int
        e: bytep
        keys: uint64_t = db.volatile_keys if self.volatile_only else db.used
        if keys == 0:
            return
        for i in range(self.samples):
            e = self.draw(db)
            if e != cython.NULL:
                self.pool_key(db.id, e)

    @cython.cfunc
    @cython.exceptval(check=False)
    def pool_key(self, db: cython.int, e: bytep) -> cython.void:
        """Put an entry's key into the pool, where it is better than the worst there."""
        score: uint64_t = self.score(e)
        n: uint32_t = entry_key_len(e)
        i: cython.int = self.pooled
        spare: Candidate = self.pool[self.pooled]
        if self.pooled == POOL:
            if score <= self.pool[0].score:
                return
            spare = self.pool[0]
        if n > spare.cap or spare.cap > POOLED_KEY_ROOM >= n:
            free(spare.key)
            spare.cap = max(n, POOLED_KEY_ROOM)
            spare.key = cython.cast(bytep, malloc(spare.cap))
            if spare.key == cython.NULL:
                spare.cap = 0
        if self.pooled == POOL:
            for i in range(POOL - 1):
                self.pool[i] = self.pool[i + 1]
            self.pooled -= 1
            self.pool[self.pooled] = spare
        i = self.pooled
        if spare.cap == 0:
            self.pool[i] = spare        # no memory: the pool is one shorter
            return
        # below those of the same score, so that of these the first one goes first
        while i > 0 and self.pool[i - 1].score >= score:
            self.pool[i] = self.pool[i - 1]
            i -= 1
        memcpy(spare.key, entry_key(e), n)
        spare.score = score
        spare.n = n
        spare.db = db
        self.pool[i] = spare
        self.pooled += 1
