from libc.stdint cimport uint8_t, int64_t
from shardd.structures.list_nodes cimport Quicklist
from shardd.structures.quicklist cimport QlIter

# False without memory, and nothing is changed then. The iterators are those that ql_iter has made to write.
cdef bint ql_insert(QlIter* it, bint after, const uint8_t* text, Py_ssize_t n) noexcept nogil       # ends it
cdef bint ql_replace(QlIter* it, const uint8_t* text, Py_ssize_t n) noexcept nogil                  # ends it
cdef bint ql_remove(QlIter* it) noexcept nogil                                  # and go on: as ql_next
cdef bint ql_delete(Quicklist* q, int64_t start, int64_t count, Quicklist** gone) noexcept nogil
