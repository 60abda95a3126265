from shardd.commands.registry cimport Registry

cdef int register_strings_if(Registry registry) except -1
