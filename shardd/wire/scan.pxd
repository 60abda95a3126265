from libc.stdint cimport uint8_t, int64_t

# Progress through one reply that may be cut at any byte. All zero is the start state.
ctypedef struct ScanState:
    Py_ssize_t pos          # where to go on, from the reply's first byte; may lie behind what is here
    Py_ssize_t known        # bytes of the line at pos that are known to hold no CR
    int64_t pending         # elements still to come, over all nesting levels; 0 at the start of a reply
    bint started
    bint tail               # at pos the CRLF behind a bulk is due

ctypedef ScanState* ScanP

cdef Py_ssize_t scan_reply(ScanState* state, const uint8_t* p, Py_ssize_t n) except -2
    # length of the first whole reply at p, 0 where more bytes are needed (and then call again with the same start);
    # -1 where the bytes are not RESP. An attribute (|n) is part of the reply it precedes; a push (>n) is a reply.

cdef class ReplyFeed:
    cdef ScanState state
    cdef bytearray buffer
