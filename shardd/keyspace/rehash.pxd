from shardd.keyspace.database cimport Keyspace

cdef class Rehasher:
    cdef Keyspace keyspace
    cdef Py_ssize_t db              # where the round stands
    cdef int slot
