from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.structures.table cimport Table, pair_head, pair_key_len, pair_value_len

# The body of a large hash or set: a table of pairs.
ctypedef struct Pairs:
    Table t
    uint64_t swept          # chains that pairs_free has emptied
    uint64_t expiring       # pairs with an expiry
    int64_t next_expiry     # no pair falls due before this, Unix ms; INT64_MAX where none expires
    int64_t since           # the earliest expiry that was set since somebody put INT64_MAX here

cdef enum PairExpiry:
    PAIR_NO_EXPIRY = -1         # a pair without expiry
    PAIR_KEEP_EXPIRY = -2   # as the pair has it that is there

cdef enum PutPair:
    PAIR_NO_MEMORY = -1
    PAIR_REPLACED = 0
    PAIR_ADDED = 1

cdef inline const uint8_t* pair_key(const uint8_t* pair) noexcept nogil:
    return pair + pair_head(pair)

cdef inline const uint8_t* pair_value(const uint8_t* pair) noexcept nogil:
    return pair + pair_head(pair) + pair_key_len(pair)

# For other structures made of such blocks; pair_new: NULL without memory.
cdef bytep pair_new(const uint8_t* key, Py_ssize_t n, const uint8_t* value, Py_ssize_t value_n) noexcept nogil
cdef size_t pair_size(const uint8_t* pair) noexcept nogil       # bytes of the block
cdef bint pairs_drain(Table* t, uint64_t* swept, int64_t elements) noexcept     # whether all are freed; swept: 0 at first
cdef size_t pairs_held(Table* t) noexcept                       # bytes of the table and of all pairs

cdef Pairs* pairs_new() noexcept nogil                                          # NULL without memory
cdef bint pairs_free(void* body, int64_t elements) noexcept               # a ValueOps.free
cdef void* pairs_copy(void* body) noexcept
cdef size_t pairs_bytes(void* body) noexcept
cdef uint64_t pairs_length(void* body) noexcept nogil
cdef int pairs_check(void* body) except -1
cdef bytep pairs_find(Pairs* m, const uint8_t* key, Py_ssize_t n) noexcept nogil        # the pair, or NULL
cdef int pairs_put(Pairs* m, const uint8_t* key, Py_ssize_t n, const uint8_t* value, Py_ssize_t value_n,
                   int64_t expiry) noexcept nogil
cdef int pairs_expire(Pairs* m, const uint8_t* key, Py_ssize_t n, int64_t expiry) noexcept nogil    # the key is there
cdef bint pairs_remove(Pairs* m, const uint8_t* key, Py_ssize_t n) noexcept nogil       # whether it was there
