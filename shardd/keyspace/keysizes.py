"""How large keys are: the spread of INFO keysizes (Redis 8), by database, type and power of two.

    db0_distrib_strings_sizes:1=2,16=40,4K=1        lengths of strings, bytes: 2 of 1, 40 of 16..31, 1 of 4096..8191
    db0_distrib_lists_items:8=3                     elements of lists, sets, sorted sets, hashes

Redis adds and takes away with every change of a key. Here nothing is kept: who asks gets a walk over all keys. Where
there are few, it is made at once. Where there are more, it goes on in steps from cron, and the answer is that of the
last walk that came to its end: some seconds old at most while somebody keeps asking, and none at all before the first
has ended.

Owns: the walk and its last result. Invariant: a walk sees every key that was there all the time, as SCAN does.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Keyspace
from cython.cimports.shardd.keyspace.entry import (
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING, TYPE_ZSET, View, entry_body, entry_encoding, entry_type, entry_view)
from cython.cimports.shardd.keyspace.keysizes import BINS, KINDS, Spread
from cython.cimports.shardd.keyspace.values import value_ops
from cython.cimports.shardd.structures.table import Table, table_scan

from shardd.base import limits

AT_ONCE = cython.declare(uint64_t, limits.KEYSIZES_AT_ONCE_KEYS)
FRESH_US = cython.declare(int64_t, limits.KEYSIZES_FRESH_US)
CHAINS_PER_LOOK = cython.declare(cython.int, 16)        # between two looks at the clock: some 10 us
SLOTS_PER_LOOK = cython.declare(cython.int, 256)
NEVER = cython.declare(int64_t, 9223372036854775807)

_FIELDS: list = [(TYPE_STRING, "strings_sizes"), (TYPE_LIST, "lists_items"), (TYPE_SET, "sets_items"),
                 (TYPE_ZSET, "zsets_items"), (TYPE_HASH, "hashes_items")]

spread_p = cython.typedef(cython.pointer(Spread))
table_p = cython.typedef(cython.pointer(Table))


def bin_name(bits: int) -> str:
    """The smallest size of a bin as INFO names it: 1, 2 ... 512, 1K, ... 1M, ..."""
    for unit in ("", "K", "M", "G", "T"):
        if bits < 10:
            return f"{1 << bits}{unit}"
        bits -= 10
    return f"{1 << bits}P"


@cython.cfunc
@cython.exceptval(check=False)
def _count(context: cython.p_void, e: bytep) -> cython.int:
    """Visitor: one key more of its size. An empty string has none, as in Redis."""
    spread: spread_p = cython.cast(spread_p, context)
    view: View
    size: uint64_t
    bits: cython.int = -1
    type: uint32_t = entry_type(e)
    if type == TYPE_STRING:
        entry_view(e, cython.address(view))
        size = view.n
    else:
        size = value_ops(type, entry_encoding(e)).length(entry_body(e))
    while size:
        size >>= 1
        bits += 1
    if bits >= 0 and type < KINDS:
        spread.bins[type][bits] += 1
    return 0


@cython.final
@cython.cclass
class Keysizes:
    """The walks over the keys of one engine."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.walked = []
        self.found = []
        self.db = -1

    def fields(self) -> dict:
        """The lines of INFO keysizes: field -> {bin: count}. See the head of the module for how old they are."""
        if self.db < 0 and (self.found_at_us == 0 or monotonic_us() - self.found_at_us > FRESH_US
                            or self.keyspace.total_keys() <= AT_ONCE):
            self.begin()
        if self.db >= 0 and self.keyspace.total_keys() <= AT_ONCE:
            self.begin()
            self.step(NEVER)
        return {f"db{db}_distrib_{name}": {bin_name(bits): count for bits, count in enumerate(counts) if count}
                for db, name, counts in self.found}

    def begin(self) -> None:
        """Start a walk; `step` goes on with it."""
        self.db = self.slot = 0
        self.cursor = 0
        self.walked = []
        self.exchanges = self.keyspace.exchanges
        memset(cython.address(self.now), 0, cython.sizeof(Spread))

    def step(self, budget_us: int64_t) -> bool:
        """Walk for about `budget_us`; whether there is more to do."""
        start_us: int64_t = monotonic_us()
        databases: list = self.keyspace.databases
        looks: cython.int = 0
        db: Database
        t: table_p
        if self.db < 0:
            return False
        if self.exchanges != self.keyspace.exchanges:
            self.begin()
        while self.db < len(databases):
            db = databases[self.db]
            while db.slots != cython.NULL and self.slot < SLOT_COUNT:
                t = cython.address(db.slots[self.slot].t)
                if t.used:
                    self.cursor = table_scan(t, self.cursor, _count, cython.address(self.now))
                    looks += SLOTS_PER_LOOK // CHAINS_PER_LOOK
                    if self.cursor:
                        self.slot -= 1
                self.slot += 1
                looks += 1
                if looks >= SLOTS_PER_LOOK:
                    looks = 0
                    if monotonic_us() - start_us >= budget_us:
                        return True
            self.note()
            self.db += 1
            self.slot = 0
        self.found = self.walked
        self.walked = []
        self.found_at_us = monotonic_us()
        self.db = -1
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note(self) -> cython.int:
        """A database is done: keep what was counted, and count from zero."""
        type: cython.int
        bits: cython.int
        counts: list
        for type, name in _FIELDS:
            counts = [self.now.bins[type][bits] for bits in range(BINS)]
            if any(counts):
                self.walked.append((self.db, name, counts))
        memset(cython.address(self.now), 0, cython.sizeof(Spread))
        return 0
