from shardd.commands.registry cimport Registry

cdef int register_zset_algebra(Registry registry) except -1
