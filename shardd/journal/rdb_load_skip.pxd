from libc.stdint cimport int64_t
from shardd.journal.rdb_in cimport RdbSource

cdef enum:
    SKIP_DEPTH = 8

# What is still to be passed over: the innermost last, each with how often it comes. All zero is nothing.
ctypedef struct Skipping:
    int depth
    int type                    # of a stream
    int what[8]
    int64_t left[8]

cdef bint value_loads(int type, int version) noexcept nogil     # whether it is among the values that we hold
cdef str value_kind(int type, int version)                      # what it is, of those that we do not hold; None: ?

# Begin to pass over something, in steps: skip_step until it says False.
cdef int skip_value(RdbSource s, Skipping* k, int type, int version) except -1
cdef int skip_module(RdbSource s, Skipping* k) except -1
cdef int skip_function(Skipping* k) except -1
cdef int skip_function_pre_ga(RdbSource s, Skipping* k) except -1
cdef int skip_key_meta(RdbSource s, Skipping* k) except -1
cdef int skip_slot_import(RdbSource s, Skipping* k) except -1
cdef bint skip_step(RdbSource s, Skipping* k) except -1
