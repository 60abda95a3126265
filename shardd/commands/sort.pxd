from shardd.commands.context cimport Context
from shardd.commands.registry cimport Registry

cdef class Pattern:
    cdef bint itself            # "#"
    cdef tuple around
    cdef bytes field
    cdef object of(self, Context ctx, bytes element)
    cdef object at(self, Context ctx, bytes key)

cdef int register_sort(Registry registry) except -1
