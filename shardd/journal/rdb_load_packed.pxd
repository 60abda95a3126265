from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_in cimport RdbSource
from shardd.keyspace.entry cimport View

cdef enum PackedKind:
    ITEMS_LISTPACK = 0
    ITEMS_ZIPLIST = 1
    ITEMS_ZIPMAP = 2

# The elements of a packed collection, of which all is checked: items_open, then items_next.
ctypedef struct Items:
    int kind
    int64_t count               # of them
    const uint8_t* p            # the next one
    const uint8_t* end          # behind the last one
    bint value                  # of a zipmap: the next one is a value

cdef int items_open(RdbSource s, int kind, const uint8_t* p, Py_ssize_t n, Items* items) except -1
cdef bint items_next(Items* items, View* v) noexcept nogil      # False: that was the last one
