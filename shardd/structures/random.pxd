from libc.stdint cimport uint64_t

cdef uint64_t random_bits() noexcept nogil
