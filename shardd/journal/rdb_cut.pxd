from libc.stdint cimport int64_t, uint64_t
from shardd.journal.rdb_load cimport RdbLoader

# Cuts an RDB file into its values; see rdb_cut.py.
cdef class RdbCutter(RdbLoader):
    cdef int fd
    cdef bint deep                  # every value is looked through, and none is given
    cdef readonly int64_t longest   # bytes of the longest payload
    cdef readonly set empty_at      # where collections without elements begin
    cdef readonly int64_t database_last     # the highest number of a database that has a key
    cdef int64_t number             # of the database
    cdef list found                 # of the piece under way
    cdef int64_t found_bytes
    cdef int type                   # of the value under way,
    cdef int64_t start              # where it begins,
    cdef bint holds                 # and whether engines can hold it
    cdef int choose(self, uint64_t number) except -1
    cdef int key(self, int type) except -1
    cdef int whole(self) except -1
    cdef int flush(self) except -1
    cdef bytes payload(self, int type, int64_t start, int64_t n)
