from libc.stdint cimport int64_t, uint64_t

cdef int64_t unix_us() noexcept nogil
cdef int64_t unix_ms() noexcept nogil
cdef int64_t monotonic_us() noexcept nogil
cdef int64_t monotonic_ns() noexcept nogil
cdef int64_t monotonic_ms() noexcept nogil
cdef double ticks_per_us() noexcept nogil
