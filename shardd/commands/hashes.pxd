from shardd.commands.registry cimport Registry

cdef int register_hashes(Registry registry) except -1
