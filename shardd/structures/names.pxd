from libc.stdint cimport uint8_t, uint64_t

ctypedef struct Name:
    uint64_t head           # first eight bytes, lower case, zero-padded
    uint8_t text[40]        # lower case
    int n

cdef class NameTable:
    cdef Name* names
    cdef int* buckets       # open addressing: number + 1, 0 is free
    cdef readonly int count
    cdef int add(self, bytes name) except -1                                    # its number; names come numbered from 0
    cdef int find(self, const uint8_t* name, Py_ssize_t n) noexcept             # in either case; -1: not there
    cdef int find_pair(self, int first, const uint8_t* second, Py_ssize_t n) noexcept   # "<name number first>|<second>"
