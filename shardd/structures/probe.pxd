from shardd.base.native cimport bytep
from shardd.structures.table cimport Table

cdef class TableProbe:
    cdef Table t
    cdef list seen              # what a visitor collected
    cdef object condemned       # the keys that a sweep takes out
    cdef bytep* place(self, bytes key) noexcept
