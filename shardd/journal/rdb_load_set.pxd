from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Build, Thresholds
from shardd.keyspace.entry cimport View

cdef int set_stream(RdbSource s, Build* b, Thresholds t) except -1
cdef int set_packed(RdbSource s, Build* b, Thresholds t, View* block) except -1
cdef int set_intset(RdbSource s, Build* b, Thresholds t, View* block) except -1
