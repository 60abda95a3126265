from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.structures.list_nodes cimport QlSegment, Quicklist
from shardd.structures.listpack cimport LpValue
from shardd.structures.packed cimport Packed

# A place in a list. Good until the list is changed by other means than this iterator.
ctypedef struct QlIter:
    Quicklist* q
    QlSegment* seg
    int i                   # the node's place in it
    Packed* b               # its elements; NULL: the one element is plain
    bytep p                 # the element in b
    int64_t index           # the element's, from 0
    bint back, write
    bint failed             # it ended for want of memory
    void* temp              # what a compressed node was unpacked to, for reading
    size_t temp_n

# What returns a bint is False without memory, and nothing is changed then, unless said otherwise.
cdef Quicklist* ql_new(int fill, uint32_t depth) noexcept nogil
cdef bint ql_adopt(Quicklist* q, Packed* b) noexcept nogil                      # as its last node
cdef Packed* ql_single(Quicklist* q) noexcept nogil                             # its only node's elements, or NULL
cdef void ql_free_shell(Quicklist* q) noexcept nogil                            # without that node's elements
cdef bint ql_push(Quicklist* q, bint front, const uint8_t* text, Py_ssize_t n) noexcept nogil
cdef bint ql_peek(Quicklist* q, bint front, LpValue* v) noexcept nogil          # of a list that is not empty
cdef void ql_drop(Quicklist* q, bint front) noexcept nogil                      # what ql_peek has shown just now
cdef bint ql_iter(Quicklist* q, int64_t index, bint back, bint write, QlIter* it) noexcept nogil  # whether it is there
cdef bint ql_iter_packed(Packed* b, int64_t index, bint back, QlIter* it) noexcept nogil
cdef bint ql_next(QlIter* it) noexcept nogil                                    # whether there is another one
cdef void ql_end(QlIter* it) noexcept nogil                                     # after either, or instead of ql_next
cdef void ql_value(QlIter* it, LpValue* v) noexcept nogil

# For list_edit.
cdef bint ql_insert_single(Quicklist* q, QlSegment* seg, int i, const uint8_t* text, size_t n) noexcept nogil
cdef bint ql_enter(QlIter* it, int64_t index) noexcept nogil
cdef void ql_leave(QlIter* it) noexcept nogil

# The same as the keyspace wants it of a body (ValueOps).
cdef uint64_t ql_length(void* body) noexcept nogil
cdef size_t ql_bytes(void* body) noexcept
cdef void* ql_copy(void* body) noexcept
cdef bint ql_free(void* body, int64_t elements) noexcept
cdef object ql_items(void* body)
cdef int ql_check(void* body) except -1
cdef object ql_figures(void* body)      # nodes, elements, list-max-listpack-size, list-compress-depth, bytes of nodes
