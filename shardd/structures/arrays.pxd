cdef size_t ARRAY_MIN, ARRAY_MAX                    # bytes; outside of them array_take must not be called
cdef void* array_take(size_t n) noexcept nogil      # zeroed, n a power of two; NULL where there is no memory
cdef void array_give(void* p, size_t n) noexcept nogil
