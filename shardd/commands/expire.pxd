from shardd.commands.registry cimport Registry

cdef int register_expire(Registry registry) except -1
