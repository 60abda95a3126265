from shardd.commands.registry cimport Registry

cdef int register_lcs(Registry registry) except -1
