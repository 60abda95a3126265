from libc.stdint cimport uint8_t, uint16_t

cdef uint16_t crc16(const uint8_t* p, Py_ssize_t n) noexcept nogil
cdef uint16_t key_slot(const uint8_t* key, Py_ssize_t n) noexcept nogil
