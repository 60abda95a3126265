from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep

# A block of a listpack's elements with room at both ends; the elements lie at `start` bytes from the block's address.
ctypedef struct Packed:
    uint16_t room           # of the whole block, in units of 8 bytes
    uint16_t start
    uint16_t size           # bytes of the elements
    uint16_t count          # elements

cdef enum:
    PK_HEAD = 8             # sizeof(Packed)
    PK_FRAME = 7            # what a listpack has beside the elements
    PK_ELEMENTS_MAX = 65512     # bytes of elements in one block

cdef inline bytep pk_begin(Packed* b) noexcept nogil:
    return <bytep> b + b.start

cdef inline bytep pk_end(Packed* b) noexcept nogil:
    return <bytep> b + b.start + b.size

cdef inline bint pk_fits(Packed* b, size_t n) noexcept nogil:
    # whether a block can hold n bytes more
    return b.size + n <= PK_ELEMENTS_MAX

# Whoever adds to a block gets its new address, and the old one is gone; NULL: no memory (or too large), unchanged.
# Taking something out never fails. `at` is an element's distance from pk_begin, good until the next change before it.
# `roomy`: more is going to come, so that the block doubles; else it is as large as its elements, and an eighth.
cdef Packed* pk_new(size_t n, bint front) noexcept nogil        # empty, with room for n bytes, at that end
cdef void pk_free(Packed* b) noexcept nogil
cdef Packed* pk_copy(Packed* b) noexcept nogil
cdef size_t pk_memory(Packed* b) noexcept nogil                 # as used_memory counts it
cdef Packed* pk_push(Packed* b, bint front, const uint8_t* text, Py_ssize_t n, bint roomy) noexcept nogil
cdef Packed* pk_drop(Packed* b, bint front, bint roomy) noexcept nogil          # take out the first or the last one
cdef Packed* pk_insert(Packed* b, size_t at, const uint8_t* text, Py_ssize_t n, bint roomy) noexcept nogil
cdef Packed* pk_replace(Packed* b, size_t at, const uint8_t* text, Py_ssize_t n, bint roomy) noexcept nogil
cdef Packed* pk_delete(Packed* b, size_t at, uint32_t count, bint roomy) noexcept nogil
cdef Packed* pk_split(Packed* b, size_t at, uint32_t count) noexcept nogil      # a block of the `count` from there on
cdef Packed* pk_join(Packed* b, Packed* other) noexcept nogil                   # with other's behind its own
cdef Packed* pk_trim(Packed* b) noexcept nogil                                  # without room to spare
cdef bytep pk_seek(Packed* b, uint32_t index) noexcept nogil                    # index < count
cdef void pk_listpack(Packed* b, bytep out) noexcept nogil      # a whole listpack, of b.size + PK_FRAME bytes
cdef bint pk_valid(Packed* b) noexcept nogil

# The same as the keyspace wants it of a body (ValueOps).
cdef uint64_t pk_body_length(void* body) noexcept nogil
cdef size_t pk_body_bytes(void* body) noexcept
cdef void* pk_body_copy(void* body) noexcept
cdef bint pk_body_free(void* body, int64_t elements) noexcept
cdef object pk_body_items(void* body)
cdef int pk_body_check(void* body) except -1
