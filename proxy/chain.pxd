from libc.stdint cimport uint8_t, int64_t, uint64_t
from proxy.replies cimport Receiver, ReplyQueue
from shardd.net.transport cimport Transport

cdef enum ChainPhase:
    CHAIN_HEADS = 0         # how many elements there are is not known of all parts, or it is not our turn
    CHAIN_FLOWS = 1         # the client gets what comes of the current part
    CHAIN_FAILED = 2        # no array will come of it

ctypedef struct Piece:
    uint8_t* p              # what came before its turn
    Py_ssize_t n, cap
    bint begun, whole

ctypedef Piece* PieceP

cdef int64_t head_number(uint8_t* p, Py_ssize_t n, Py_ssize_t* line) noexcept

# Arrays of several engines as one, one behind the other.
cdef class Chain(Receiver):
    cdef ReplyQueue queue
    cdef uint64_t seq
    cdef Piece* parts
    cdef int count, current
    cdef int headless, missing      # parts of which nothing is here; parts that are not whole
    cdef int phase
    cdef list waiting               # links that are not read until something else has come
    cdef int take(self, uint64_t seq, uint8_t* p, Py_ssize_t n) except -1
    cdef int keep(self, Piece* part, uint8_t* p, Py_ssize_t n) except -1
    cdef int drop(self, Piece* part) except -1
    cdef int judge(self) except -1
    cdef int head(self) except -1
    cdef int flow(self) except -1
    cdef int go_on(self) except -1
    cdef int resume(self) except -1
    cdef int finish(self) except -1
