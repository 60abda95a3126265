from libc.stdint cimport uint8_t, int64_t

cdef bint parse_int64(const uint8_t* p, Py_ssize_t n, int64_t* value) noexcept nogil
cdef bint parse_long_double(const uint8_t* p, Py_ssize_t n, long double* value) noexcept nogil
cdef int format_long_double(char* out, int room, long double value) noexcept nogil
