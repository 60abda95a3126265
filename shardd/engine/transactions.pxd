from shardd.commands.registry cimport Registry

cdef int register_transactions(Registry registry) except -1
