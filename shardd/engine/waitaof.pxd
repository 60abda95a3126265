from shardd.commands.registry cimport Registry

cdef int register_waitaof(Registry registry) except -1
