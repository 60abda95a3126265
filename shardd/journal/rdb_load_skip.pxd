from shardd.journal.rdb_in cimport RdbSource

cdef bint value_loads(int type, int version) noexcept nogil     # whether load_value takes such values
cdef str value_kind(int type, int version)                      # what it is, of those that it does not take; None: ?
cdef int skip_value(RdbSource s, int type, int version) except -1
cdef int skip_module(RdbSource s) except -1
cdef int skip_function_pre_ga(RdbSource s) except -1
cdef int skip_slot_import(RdbSource s) except -1
