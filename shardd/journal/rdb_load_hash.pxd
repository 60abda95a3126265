from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Thresholds, Value

# Begin a hash: of fields one by one; of those in u.block, `width` elements each.
cdef int hash_stream(RdbSource s, Value* u, Thresholds t, int type, bint valkey) except -1
cdef int hash_packed(RdbSource s, Value* u, Thresholds t, int kind, int width) except -1
