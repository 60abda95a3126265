from shardd.commands.registry cimport Registry

cdef int register_set_algebra(Registry registry) except -1
