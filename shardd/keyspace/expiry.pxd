from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.keyspace.database cimport Database, Keyspace
from shardd.keyspace.field_expiry cimport FieldSweeps

cdef class Expirer:
    cdef Keyspace keyspace
    cdef int db, slot               # where the last cycle stopped
    cdef uint64_t chain             # and how far it got in that slot
    cdef uint32_t shape             # that slot's table then: a resize starts the slot anew,
    cdef uint64_t exchanges         # and so does a swap or a clearing of databases
    cdef int64_t earliest           # smallest expiry seen in the slot so far that is not due
    cdef Database sweeping
    cdef object broken              # what a visitor could not raise
    cdef FieldSweeps fields         # large hashes, which are swept by themselves
    cdef readonly uint64_t removed  # by this object so far
    cdef int look_at_hash(self, bytep e) except -1
    cdef bint sweep_slot(self, Database db, int64_t deadline_us) except -1
