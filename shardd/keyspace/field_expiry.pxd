from libc.stdint cimport int64_t, uint32_t, uint64_t
from shardd.base.native cimport bytep
from shardd.keyspace.database cimport Database, Key, Keyspace

cdef bytep fields_settle(Database db, Key* k, bytep e)          # the hash without what is due, or NULL: it is gone
cdef int fields_gone(Database db, Key* k, bytep e, list due) except -1

# Large hashes with fields that are due, on their way through a sweep.
cdef class FieldSweeps:
    cdef Keyspace keyspace
    cdef dict waiting, resting
    cdef object current             # (number of the database, key)
    cdef uint64_t chain
    cdef uint32_t shape
    cdef int64_t earliest
    cdef int64_t add(self, Database db, bytep e) except -1
    cdef bint step(self, int64_t deadline_us) except -1
    cdef bint sweep(self, Database db, Key* k, bytep e, int64_t deadline_us) except -1
    cdef int finish(self, Database db, Key* k, bytep e) except -1
