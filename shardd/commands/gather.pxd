from libc.stdint cimport uint8_t, uint32_t, int64_t, uint64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.structures.table cimport Table
from shardd.wire.request cimport Arg

# Pairs that a scan came upon.
ctypedef struct Gathered:
    bytep* pairs
    int64_t n, cap
    bint out_of_memory

ctypedef struct ScanOptions:
    uint64_t cursor
    int64_t count
    const uint8_t* pattern      # NULL: all
    Py_ssize_t pattern_n

cdef bint arg_cursor(const Arg* arg, uint64_t* cursor) noexcept nogil   # as C's strtoul reads it
# HSCAN and its like: what to scan, or NULL where the reply is made. Then scan_table for a table.
cdef bytep scan_begin(Context ctx, Arg* argv, int argc, uint32_t type, ScanOptions* o)
cdef int scan_table(Context ctx, Table* t, ScanOptions* o, bint values) except -1
cdef int gather_wanted(Context ctx, Table* t, ScanOptions* o, Gathered* found, int each) except -1
cdef bint scan_wants(ScanOptions* o, const uint8_t* text, Py_ssize_t n) noexcept nogil
cdef int gather_scan(Table* t, ScanOptions* o, Gathered* found) except -1   # moves o.cursor on; free found.pairs
