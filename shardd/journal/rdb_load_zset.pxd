from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Build, Thresholds, Value

# Begin a sorted set: of members one by one; of those in u.block; and what is done when all are there.
cdef int zset_stream(RdbSource s, Value* u, Thresholds t, bint binary) except -1
cdef int zset_packed(RdbSource s, Value* u, Thresholds t, int kind) except -1
cdef int zset_close(Build* b) except -1
