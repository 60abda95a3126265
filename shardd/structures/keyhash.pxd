from libc.stdint cimport uint8_t, uint64_t

cdef uint64_t hash_key(const uint8_t* p, Py_ssize_t n) noexcept nogil
