from libc.stdint cimport uint64_t, int64_t
from shardd.keyspace.database cimport Keyspace

cdef enum:
    KINDS = 8               # types, by their number
    BINS = 64               # powers of two

# How many keys of each type have a size of so many bits.
ctypedef struct Spread:
    uint64_t[64] bins[8]

cdef class Keysizes:
    cdef Keyspace keyspace
    cdef Spread now                     # of the database that is walked
    cdef list walked                    # (database, type name, [count by bin]) of this walk so far
    cdef list found                     # of the last whole walk
    cdef int64_t found_at_us            # when it ended, monotonic; 0: there was none
    cdef int db, slot                   # where the walk stands; db -1: none is under way
    cdef uint64_t cursor, exchanges
    cdef int note(self) except -1
