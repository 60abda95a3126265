"""What each slot has cost: time, bytes of requests and bytes of replies, as CLUSTER SLOT-STATS shows them.

Owns: the counters. Does not own which command counts for which slot (dispatch), how many keys a slot has (the
keyspace), or the reply (commands.cluster).

Counted while cluster-slot-stats-enabled is on, and kept when it is turned off, as in Valkey 8 (cluster_slot_stats.c).
The 384 KiB of counters come with the first time that it is turned on.
"""
import cython
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import ticks_per_us
from cython.cimports.shardd.engine.slot_stats import SlotUse

from shardd.base import limits

_SLOTS = cython.declare(cython.int, limits.SLOTS)


@cython.final
@cython.no_gc
@cython.cclass
class SlotStats:
    """The counters of one engine. `add` may be called only while `enabled`."""

    def __dealloc__(self):
        free(self.use)

    def enable(self, on: bool) -> None:
        """cluster-slot-stats-enabled. Raises MemoryError."""
        if on and self.use == cython.NULL:
            self.use = cython.cast(cython.pointer(SlotUse), calloc(_SLOTS, cython.sizeof(SlotUse)))
            if self.use == cython.NULL:
                raise MemoryError
        self.enabled = on

    def of(self, slot: cython.int) -> tuple:
        """(microseconds, bytes of requests, bytes of replies) of a slot."""
        assert 0 <= slot < _SLOTS
        if self.use == cython.NULL:
            return 0, 0, 0
        one: SlotUse = self.use[slot]
        return int(one.ticks / ticks_per_us()), one.bytes_in, one.bytes_out

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        if self.use != cython.NULL:
            memset(self.use, 0, _SLOTS * cython.sizeof(SlotUse))
