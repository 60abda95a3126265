from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Thresholds, Value

# Begin a set: of members one by one; of those in u.block.
cdef int set_stream(RdbSource s, Value* u, Thresholds t) except -1
cdef int set_packed(RdbSource s, Value* u, Thresholds t) except -1
cdef int set_intset(RdbSource s, Value* u, Thresholds t) except -1
