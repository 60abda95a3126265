from shardd.commands.registry cimport Registry

cdef int register_patterns(Registry registry) except -1
