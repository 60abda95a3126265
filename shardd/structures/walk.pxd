from shardd.base.native cimport bytep
from shardd.structures.table cimport Bucket, Table

# A place in a table, between two of its buckets. Good until the table changes.
ctypedef struct TableWalk:
    Table* t
    Bucket* array           # which of its arrays; NULL: it is over
    Bucket* b               # the next bucket of a chain; NULL: that of the next home
    size_t i, end           # homes in the array

cdef void walk_begin(TableWalk* w, Table* t) noexcept nogil
cdef int walk_next(TableWalk* w, bytep* out, int room) noexcept nogil      # room: 7 or more; 0: the end
