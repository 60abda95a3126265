from libc.stdint cimport int64_t
from shardd.base.native cimport bytep
from shardd.wire.request cimport Arg

# A command that is put together here. What it points to must outlive it; `kept` is for what nobody else holds.
cdef class Words:
    cdef Arg* argv
    cdef int argc, cap
    cdef list kept
    cdef int add(self, const void* p, Py_ssize_t n) except -1
    cdef int add_bytes(self, bytes word) except -1
    cdef int add_piece(self, const Arg* piece, bint swapped) except -1

cdef int64_t bulk_line(bytep* at, bytep end, int mark) noexcept     # the number behind a mark, -1: there is none
