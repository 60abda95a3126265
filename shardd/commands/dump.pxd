from shardd.commands.registry cimport Registry

cdef int register_dump(Registry registry) except -1
