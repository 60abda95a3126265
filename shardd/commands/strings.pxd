from shardd.commands.registry cimport Registry

cdef int register_strings(Registry registry) except -1
