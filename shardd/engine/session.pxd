from libc.stdint cimport uint8_t, uint64_t
from shardd.engine.dispatch cimport Dispatcher
from shardd.net.client cimport Client
from shardd.wire.request cimport InputState

cdef class Session(Client):
    cdef InputState input
    cdef int ahead_at, ahead_end        # our keys among dispatcher.foreseen,
    cdef uint64_t ahead_turn            # while its turn is this one
    cdef Dispatcher dispatcher
    cdef public object limits           # the server's ConnectionLimits
    cdef int foresee(self, uint8_t* p, Py_ssize_t n) noexcept
    cdef Py_ssize_t serve(self, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t wait(self, uint8_t* p) except -1
    cdef Py_ssize_t stay(self, Py_ssize_t n) except -1
    cdef int protocol_error(self) except -1
