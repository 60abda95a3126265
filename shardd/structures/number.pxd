from libc.stdint cimport uint8_t, int64_t

cdef int format_int(uint8_t* out, int64_t value) noexcept nogil         # returns the length; out holds 20 bytes
cdef int format_double(uint8_t* out, double value) except -1            # as Redis 7.2 prints it; out holds 32 bytes
cdef bint parse_int64(const uint8_t* p, Py_ssize_t n, int64_t* value) noexcept nogil
cdef bint parse_long_double(const uint8_t* p, Py_ssize_t n, long double* value) noexcept nogil
cdef int format_long_double(char* out, int room, long double value) noexcept nogil
cdef int format_double_17(uint8_t* out, double value) except -1         # as C's %.17g
cdef bint parse_double(const uint8_t* p, Py_ssize_t n, double* value) except -1     # a score; MemoryError
cdef bint parse_bound(const uint8_t* p, Py_ssize_t n, double* value) except -1      # the end of a range of scores
