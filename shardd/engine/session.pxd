from libc.stdint cimport uint8_t
from shardd.engine.dispatch cimport Dispatcher
from shardd.keyspace.database cimport Key
from shardd.net.client cimport Client
from shardd.wire.request cimport InputState

cdef class Session(Client):
    cdef InputState input
    cdef Key next_key                   # of the request that data() will begin with; p is NULL where not known
    cdef Dispatcher dispatcher
    cdef public object limits           # the server's ConnectionLimits
    cdef Py_ssize_t serve(self, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t wait(self, uint8_t* p) except -1
    cdef int protocol_error(self) except -1
