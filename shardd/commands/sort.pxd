from shardd.commands.registry cimport Registry

cdef int register_sort(Registry registry) except -1
