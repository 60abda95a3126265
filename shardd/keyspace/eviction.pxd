from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.keyspace.database cimport Database, Key, Keyspace, SlotTable
from shardd.net.transport cimport Hub
from shardd.structures.alloc cimport used_bytes

cdef enum:
    EVICT_OK = 0            # less than maxmemory is in use
    EVICT_RUNNING = 1       # not yet, but there is more to evict or to free: it goes on by the clock
    EVICT_FAIL = 2          # and nothing can be done about it

cdef enum EvictBy:
    BY_NOTHING = 0          # noeviction
    BY_IDLE = 1             # lru
    BY_USE = 2              # lfu
    BY_CHANCE = 3           # random
    BY_EXPIRY = 4           # ttl

# A key that is worth evicting: the higher the score, the more. Its bytes are a copy.
ctypedef struct Candidate:
    uint64_t score
    bytep key
    uint32_t n, cap         # bytes of the key, and of the room for it
    int db

cdef class Evictor:
    cdef Keyspace keyspace
    cdef public Hub reactor         # whose buffers count as well; None: nobody's
    cdef public object latency      # engine.latency.LatencyMonitor or None
    cdef public object on_running   # called without arguments when eviction has to go on by the clock
    cdef public uint64_t maxmemory  # bytes, 0: none
    cdef public uint64_t aside_bytes        # what else counts, beside native memory and buffers
    cdef public int samples
    cdef public bint lazy           # lazyfree-lazy-eviction: evicted keys are told as UNLINK
    cdef readonly bint running      # the clock is to go on
    cdef int by                     # EvictBy
    cdef bint volatile_only
    cdef int64_t limit_us           # of one call, by maxmemory-eviction-tenacity; -1: none
    cdef int64_t turn_ms, turn_us   # which turn of the reactor it is, and the time that was spent in it
    cdef uint32_t next_db           # counts on: whose turn it is
    cdef Candidate pool[17]         # by score, the best last; behind `pooled` nothing but room for keys
    cdef int pooled
    cdef uint64_t hand_cursor       # where the search for a key with an expiry in `hand` stopped
    cdef SlotTable* hand
    cdef inline uint64_t held(self) noexcept:
        # what counts towards maxmemory, bytes
        cdef uint64_t buffers = <uint64_t> self.reactor.buffer_bytes if self.reactor is not None else 0
        return used_bytes() + self.aside_bytes + buffers
    cdef inline bint is_over(self) noexcept:
        return self.maxmemory != 0 and self.held() > self.maxmemory
    cdef int perform(self) except -1
    cdef int work(self, int64_t deadline_us) except -1
    cdef int evict_one(self) except -1
    cdef int evict_random(self) except -1
    cdef int evict(self, Database db, Key* k, bytep e) except -1
    cdef uint64_t score(self, const uint8_t* e) noexcept
    cdef bytep draw(self, Database db) noexcept
    cdef bytep draw_volatile(self, SlotTable* s) noexcept
    cdef void populate(self, Database db) noexcept
    cdef void pool_key(self, int db, bytep e) noexcept
