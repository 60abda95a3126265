from libc.stdint cimport int64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.keyspace.database cimport Key

cdef int outcome_close(Context ctx, Key* k, int64_t length, bint changed) except -1
cdef int outcome_store(Context ctx, Key* k, bytep result, int64_t length, unsigned int kind, bytes event) except -1
