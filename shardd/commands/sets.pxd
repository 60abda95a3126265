from shardd.commands.registry cimport Registry

cdef int register_sets(Registry registry) except -1
