from libc.stdint cimport uint8_t, int64_t

# The reply writer: appends RESP2 or RESP3 to one growing buffer. Every method may raise MemoryError.
cdef class Reply:
    cdef uint8_t* buf
    cdef Py_ssize_t len, cap
    cdef public int resp                                                # 2 or 3
    cdef int room(self, Py_ssize_t n) except -1                         # make sure that n more bytes fit
    cdef int raw(self, const void* p, Py_ssize_t n) except -1           # bytes that are RESP already
    cdef int bulk(self, const void* p, Py_ssize_t n) except -1
    cdef int bulk_int(self, int64_t value) except -1                    # $<len>\r\n<decimal>\r\n
    cdef int integer(self, int64_t value) except -1
    cdef int ok(self) except -1
    cdef int null(self) except -1                                       # $-1 or _
    cdef int null_array(self) except -1                                 # *-1 or _
    cdef int array(self, int64_t n) except -1
    cdef int map(self, int64_t pairs) except -1                         # *2n or %n
    cdef int set(self, int64_t n) except -1
    cdef int push(self, int64_t n) except -1
    cdef int double(self, double value) except -1
    cdef int boolean(self, bint value) except -1
    cdef int verbatim(self, const void* p, Py_ssize_t n) except -1      # a bulk, or =<n> with the format txt
    cdef int error(self, bytes text) except -1                          # no dash; CR and LF become spaces
    cdef int simple(self, bytes text) except -1
    cdef int value(self, object value) except -1                        # any plain handler's return value
    cdef int insert(self, Py_ssize_t at, bytes data) except -1          # bytes that are RESP, in front of what is there
    cdef int truncate(self, Py_ssize_t n) except -1                     # forget what came after the first n bytes
    cdef int clear(self) except -1                                      # forget all, and give back a giant buffer
    cdef int grow(self, Py_ssize_t n) except -1
    cdef int head(self, uint8_t mark, int64_t n) except -1
    cdef int line(self, uint8_t mark, bytes text) except -1
    cdef int nested(self, object value, int depth) except -1
    cdef int items(self, object values, int depth) except -1
    cdef int pairs(self, dict values, int depth) except -1
