from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Build, Thresholds
from shardd.keyspace.entry cimport View

cdef int zset_stream(RdbSource s, Build* b, Thresholds t, bint binary) except -1
cdef int zset_packed(RdbSource s, Build* b, Thresholds t, int kind, View* block) except -1
