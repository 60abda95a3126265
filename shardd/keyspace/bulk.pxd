from libc.stdint cimport uint32_t, uint64_t
from shardd.base.native cimport bytep
from shardd.keyspace.database cimport Database

# An entry on its way into a database: with its slot and its key's hash.
ctypedef struct Loaded:
    bytep e
    uint64_t hash
    uint32_t slot

cdef int bulk_add(Database db, Loaded* all, int n, bint replace, uint64_t in_slot) except -2
