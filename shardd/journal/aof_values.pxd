from libc.stdint cimport int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_out cimport RdbOut

cdef void aof_select(RdbOut* o, int db) noexcept nogil
cdef bint aof_key(RdbOut* o, bytep e, int64_t now_ms) noexcept nogil       # False: nothing of it is left
