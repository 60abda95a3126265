from shardd.commands.registry cimport Registry

cdef int register_zset_ranges(Registry registry) except -1
