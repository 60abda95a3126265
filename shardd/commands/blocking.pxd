from shardd.commands.registry cimport Registry

cdef int register_blocking(Registry registry) except -1
cdef int register_wait_keys(Registry registry) except -1        # behind the container SHARDD
