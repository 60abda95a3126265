from shardd.commands.registry cimport Registry

cdef int register_hash_times(Registry registry) except -1
