from libc.stdint cimport uint8_t, int64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.keyspace.database cimport Key
from shardd.keyspace.entry cimport View
from shardd.structures.listpack cimport LpNeedle
from shardd.structures.quicklist cimport QlIter

# What all commands need of a list, whatever its form. `e` is an entry of a list, in a database or in none; what adds or
# looks into a compressed node may raise MemoryError, and has changed nothing then.
cdef int64_t list_length(bytep e) noexcept                                      # NULL: 0
cdef bytep list_open(Context ctx, Key* k, size_t n, bint front)             # a new key; n: bytes that it begins with
cdef bytep list_entry_new(Context ctx, const uint8_t* key, Py_ssize_t n)        # an empty list in no database
cdef int list_append(Context ctx, bytep e, const uint8_t* p, Py_ssize_t n) except -1    # at its tail, grown if need be
cdef int list_grow(Context ctx, bytep e, size_t n, int64_t count) except -1     # before so much is added to it
cdef void list_shrink(Context ctx, bytep e) noexcept                            # after something was taken out
cdef void list_close(Context ctx, bytep e) noexcept                             # the form of a list that has been made
cdef int list_push(bytep e, bint front, const uint8_t* p, Py_ssize_t n) except -1       # after list_grow
cdef int list_peek(bytep e, bint front, View* v) except -1                      # of a list that is not empty
cdef void list_drop(bytep e, bint front) noexcept                               # what list_peek has shown just now
cdef bint list_iter(bytep e, int64_t index, bint back, bint write, QlIter* it) except -1        # whether it is there
cdef bint list_next(QlIter* it) except -1
cdef void list_text(QlIter* it, View* v) noexcept
cdef bint list_matches(QlIter* it, LpNeedle* needle) noexcept
cdef int list_insert(bytep e, QlIter* it, bint after, const uint8_t* p, Py_ssize_t n) except -1     # ends it; list_grow
cdef int list_replace(bytep e, QlIter* it, const uint8_t* p, Py_ssize_t n) except -1                # ends it; list_grow
cdef bint list_remove(bytep e, QlIter* it) except -1                            # and go on: as list_next
cdef int list_delete(bytep e, int64_t start, int64_t count) except -1           # which must be there
cdef list list_range(bytep e, int64_t start, int64_t count)                     # those of them that are there, as bytes
cdef int list_reply(Context ctx, bytep e, int64_t start, int64_t count, bint back) except -1    # without a head
cdef int register_list_forms() except -1
