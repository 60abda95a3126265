from libc.stdint cimport int64_t, uint32_t, uint64_t
from shardd.base.native cimport bytep

# What can be done with the body of a collection, whatever it is made of. One per type and encoding.
ctypedef struct ValueOps:
    const char* name                                            # what OBJECT ENCODING says
    bint packed                                                 # one block, however many elements it has
    uint64_t (*length)(void* body) noexcept nogil               # elements: a hash's fields, a sorted set's members
    size_t (*bytes)(void* body) noexcept                  # all memory it holds, as used_memory counts it
    void* (*copy)(void* body) noexcept                    # another one of the same content; NULL without memory
    bint (*free)(void* body, int64_t elements) noexcept   # up to about so many elements; True: all, and itself
    object (*items)(void* body)                                 # the whole content: see values.py
    int (*check)(void* body) except -1                          # AssertionError where an invariant does not hold

cdef int value_register(uint32_t type, uint32_t encoding, ValueOps* ops) except -1
cdef ValueOps* value_ops(uint32_t type, uint32_t encoding) noexcept nogil
cdef void value_dispose(uint32_t type, uint32_t encoding, void* body) noexcept    # at once, or in steps
cdef uint64_t value_pending() noexcept nogil                    # values whose memory is still to be given back
cdef bint value_free_step(int64_t deadline_us) noexcept         # whether there are more
