from libc.stdint cimport uint8_t, uint64_t, int64_t

from shardd.wire.scan cimport ScanState

# What of one connection's replies is under way. All zero is the start state.
ctypedef struct Stream:
    ScanState scan
    Py_ssize_t skip         # bytes of a bulk string, CRLF included, that are still to come
    uint8_t* left           # the beginning of a reply that was cut, from its first byte on
    Py_ssize_t left_n, left_cap

ctypedef Stream* StreamP

cdef class Intake:
    cdef readonly int64_t errors, nulls, pushes, moved
    cdef dict texts                         # what errors said -> how often
    cdef bytes last_text
    cdef int64_t last_count                 # of last_text, not yet in texts
    cdef readonly str redirect              # what the last MOVED or ASK said
    cdef uint64_t* allow                    # per command 256 bits: the first bytes that its reply may have
    cdef int commands
    cdef list names
    cdef uint64_t head, head_mask           # the header of the bulk string that came last, and its bytes' mask
    cdef Py_ssize_t head_total              # header, bytes and CRLF
    cdef int take(self, Stream* s, uint8_t* p, Py_ssize_t n, int due, uint8_t* order, int first, int mask) except -1
    cdef Py_ssize_t bulk(self, Stream* s, uint8_t* p, Py_ssize_t n) except -2
    cdef Py_ssize_t general(self, Stream* s, uint8_t* p, Py_ssize_t n) except -2
    cdef int error(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int keep(self, Stream* s, uint8_t* p, Py_ssize_t n) except -1
    cdef int unasked(self, Stream* s, uint8_t* p, Py_ssize_t n) except -1
    cdef int wrong(self, int command, uint8_t* p, Py_ssize_t n) except -1

cdef void stream_free(Stream* s) noexcept

cdef class ReplyCounter:
    cdef Intake intake
    cdef Stream stream
