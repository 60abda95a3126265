from libc.stdint cimport uint8_t

cdef bint glob_match(const uint8_t* pattern, Py_ssize_t pn, const uint8_t* text, Py_ssize_t n, bint fold) noexcept nogil
