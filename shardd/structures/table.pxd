from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep, load16, load32, load64

# One cache line. Bits 0..6 of meta: slot in use; bit 7: entry[6] is the next bucket of the chain.
ctypedef struct Bucket:
    uint8_t meta
    uint8_t tag[7]
    bytep entry[7]

ctypedef struct Table:
    Bucket* b               # the buckets, a power of two of them; NULL while empty
    Bucket* old             # while rehashing: the array that is being emptied into b
    uint32_t mask           # buckets in b, less one
    uint32_t old_mask
    uint32_t moved          # buckets of old before this one are empty
    uint32_t children       # overflow buckets, over both arrays
    uint32_t used           # entries
    uint32_t skip           # where in an entry its pair header starts
    uint32_t shape          # changes with every resize: numbers of chains mean nothing from one shape to the next
    uint32_t marked         # the owner's: the keyspace counts a slot's hashes with fields that expire

# A pair header: flags, key length, value length; see the essay in table.py.
cdef enum PairFlag:
    PAIR_EXPIRES = 1
    PAIR_WIDE = 2

cdef inline uint32_t pair_key_len(const uint8_t* h) noexcept nogil:
    return load32(h + 4) if h[0] & PAIR_WIDE else h[1]

cdef inline uint32_t pair_value_len(const uint8_t* h) noexcept nogil:
    return load32(h + 8) if h[0] & PAIR_WIDE else load16(h + 2)

cdef inline uint32_t pair_head(const uint8_t* h) noexcept nogil:
    return 4 + ((h[0] & 2) << 2) + ((h[0] & 1) << 3)

cdef inline int64_t pair_expiry(const uint8_t* h) noexcept nogil:
    # unix time in ms; -1 where there is none
    return <int64_t> load64(h + 4 + ((h[0] & 2) << 2)) if h[0] & PAIR_EXPIRES else -1

cdef inline bint pair_due(const uint8_t* h, int64_t now_ms) noexcept nogil:
    return h[0] & PAIR_EXPIRES and <int64_t> load64(h + 4 + ((h[0] & 2) << 2)) < now_ms

ctypedef int (*EntryVisitor)(void* context, bytep entry) noexcept

cdef bytep* table_find(Table* t, const uint8_t* key, Py_ssize_t n, uint64_t hash) noexcept nogil
cdef bint table_reserve(Table* t, uint64_t entries) noexcept nogil
cdef bint table_insert(Table* t, bytep entry, uint64_t hash) noexcept nogil
cdef void table_remove(Table* t, bytep* place, uint64_t hash) noexcept nogil
cdef void table_fit(Table* t) noexcept nogil
cdef bint table_step(Table* t, int buckets) noexcept nogil
cdef uint64_t table_scan(Table* t, uint64_t cursor, EntryVisitor visit, void* context) noexcept
cdef void table_walk(Table* t, EntryVisitor visit, void* context) noexcept
cdef uint64_t table_sweep(Table* t, uint64_t start, uint64_t chains, EntryVisitor condemn, void* context) noexcept
cdef bytep table_random(Table* t, uint64_t random) noexcept nogil
cdef void table_clear(Table* t) noexcept nogil
cdef size_t table_bytes(Table* t) noexcept nogil
cdef int table_check(Table* t) except -1

# Two hints of a pipelined batch: first every bucket, then, when those have arrived, every entry.
cdef void table_prefetch_bucket(Table* t, uint64_t hash) noexcept nogil
cdef void table_prefetch_entry(Table* t, uint64_t hash) noexcept nogil
