from libc.stdint cimport uint8_t, int64_t, uint64_t
from shardd.base.native cimport bytep
from shardd.commands.registry cimport Registry

cdef int register_keys(Registry registry) except -1
cdef int pattern_slot(const uint8_t* p, Py_ssize_t n) noexcept nogil     # the only slot that can match, or -1

# Entries on their way from the tables into a reply. A visitor fills it in, and may neither raise nor change a table.
ctypedef struct Found:
    bytep* entries
    Py_ssize_t count, cap
    int64_t visited             # entries seen, those filtered out included
    const uint8_t* pattern      # NULL: every key matches
    Py_ssize_t pattern_len
    int64_t alive_at            # entries that expire before this are filtered out
    bint out_of_memory          # some entry did not fit: the collection is useless

# The entry that a walk over a table comes to after `left` others.
ctypedef struct Pick:
    uint64_t left
    bytep entry
