from libc.stdint cimport uint8_t, uint64_t

cdef uint64_t crc64(uint64_t crc, const uint8_t* p, size_t n) noexcept nogil    # crc: of what came before; 0 at first
