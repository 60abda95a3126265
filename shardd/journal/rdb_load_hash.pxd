from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Build, Thresholds
from shardd.keyspace.entry cimport View

cdef int hash_stream(RdbSource s, Build* b, Thresholds t, int type, bint valkey) except -1
cdef int hash_packed(RdbSource s, Build* b, Thresholds t, int kind, int width, View* block) except -1
