from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep

# Whoever changes an intset gets its new address, and the old one is gone; NULL: no memory, unchanged.
cdef bytep intset_new() noexcept nogil
cdef void intset_free(bytep s) noexcept nogil
cdef bytep intset_copy(bytep s) noexcept nogil
cdef uint32_t intset_length(const uint8_t* s) noexcept nogil
cdef size_t intset_bytes(const uint8_t* s) noexcept nogil               # of the intset itself
cdef size_t intset_memory(bytep s) noexcept nogil                       # as used_memory counts it
cdef int64_t intset_get(const uint8_t* s, uint32_t index) noexcept nogil        # index below the length
cdef bint intset_find(const uint8_t* s, int64_t value, uint32_t* index) noexcept nogil  # where it is, or belongs
cdef bytep intset_insert(bytep s, uint32_t index, int64_t value) noexcept nogil # absent; index: as intset_find says
cdef bytep intset_delete(bytep s, uint32_t index) noexcept nogil
cdef bint intset_valid(const uint8_t* s, size_t size) noexcept nogil    # whether these bytes are an intset

# The same as the keyspace wants it of a body (ValueOps).
cdef size_t intset_body_bytes(void* body) noexcept
cdef void* intset_body_copy(void* body) noexcept
cdef bint intset_body_free(void* body, int64_t elements) noexcept
