from libc.stdint cimport uint8_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.structures.ranked cimport Ranked
from shardd.structures.table cimport Table

# The body of a large sorted set.
ctypedef struct Ordered:
    Table t                 # member -> pair, whose value is the score
    Ranked r                # the same pairs in the order of their scores
    uint64_t swept          # chains that ordered_free has emptied

cdef Ordered* ordered_new() noexcept nogil                          # NULL without memory
cdef bytep ordered_find(Ordered* o, const uint8_t* text, Py_ssize_t n, uint64_t hash) noexcept nogil    # pair or NULL
cdef bint ordered_add(Ordered* o, const uint8_t* text, Py_ssize_t n, uint64_t hash, double score) noexcept nogil
# Many at once: ordered_note for each, ordered_find between, pair_set_score before ordered_index, which makes the order.
cdef bint ordered_note(Ordered* o, const uint8_t* text, Py_ssize_t n, uint64_t hash, double score) noexcept nogil
cdef void pair_set_score(bytep pair, double score) noexcept nogil
cdef bint ordered_index(Ordered* o) noexcept            # False: no memory; it can only be freed then
cdef bint ordered_rescore(Ordered* o, bytep pair, double score) noexcept nogil              # False: no memory
cdef bint ordered_remove(Ordered* o, const uint8_t* text, Py_ssize_t n) noexcept nogil      # whether it was there
cdef void ordered_remove_range(Ordered* o, int64_t rank, int64_t count) noexcept nogil

# What the keyspace wants of a body (ValueOps).
cdef bint ordered_free(void* body, int64_t elements) noexcept
cdef void* ordered_copy(void* body) noexcept
cdef size_t ordered_bytes(void* body) noexcept
cdef uint64_t ordered_length(void* body) noexcept nogil
cdef int ordered_check(void* body) except -1
