from libc.stdint cimport int64_t
from shardd.base.native cimport bytep
from shardd.keyspace.database cimport Database, Key, SlotTable

cdef bytep entry_of(Database db, Key* k, bytes key)
cdef object content_of(bytep e)
