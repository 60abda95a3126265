from shardd.commands.registry cimport Command
from shardd.engine.kept cimport Kept
from shardd.engine.watches cimport Watches
from shardd.net.client cimport Client
from shardd.wire.request cimport Arg

cdef class Multi:
    cdef readonly Watches watches
    cdef object limits
    cdef dict queues            # client -> Kept
    cdef int add(self, Client client, Command* c, Arg* argv, int argc, Py_ssize_t raw_bytes) except -1
    cdef Kept queue_of(self, Client client)
    cdef long flags(self, Client client) except -1
    cpdef int discard(self, Client client) except -1
