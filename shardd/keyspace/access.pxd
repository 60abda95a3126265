from libc.stdint cimport uint32_t

cdef uint32_t lfu_decayed(uint32_t access, uint32_t minutes, int decay_minutes) noexcept nogil
cdef uint32_t lfu_used(uint32_t access, uint32_t minutes, int decay_minutes, int log_factor) noexcept nogil
