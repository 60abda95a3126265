from shardd.commands.context cimport Context
from shardd.commands.registry cimport Registry
from shardd.keyspace.database cimport Key
from shardd.keyspace.entry cimport View

cdef class Pattern:
    cdef bint itself            # "#"
    cdef bytes before, after
    cdef bytes field
    cdef bint text(self, Context ctx, Key* k, View* v) except -1
    cdef object at(self, Context ctx, bytes key)

cdef int register_sort(Registry registry) except -1
