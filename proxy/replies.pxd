from libc.stdint cimport uint8_t, uint32_t, uint64_t
from shardd.net.transport cimport Transport

# Whoever waits for a reply from an engine. seq is the receiver's own number for what it waits for.
cdef class Receiver:
    cdef int reply(self, uint64_t seq, uint8_t* p, Py_ssize_t n) except -1              # a whole reply
    cdef int early(self, uint64_t seq, uint8_t* p, Py_ssize_t n) except -1              # one before it, of a batch
    cdef bint streams(self, uint64_t seq) noexcept                                      # would take it in pieces
    cdef int piece(self, uint64_t seq, uint8_t* p, Py_ssize_t n) except -1
    cdef bint broken(self, uint64_t seq) except -1      # no more pieces; whether an error can stand for all of it
    cdef bint takes(self, uint64_t seq, Transport source) except -1                     # no: it resumes `source` later
    cdef int detour(self) except -1                                                     # new commands go another way
    cdef object asker(self)                                                             # on whose behalf, or None

# One command whose reply is due.
ctypedef struct Slot:
    Py_ssize_t at           # where its reply lies in `side`
    Py_ssize_t n            # its length; -1: not here yet
    bint silent             # the client asked not to get it

ctypedef Slot* SlotP

# The queues that have bytes to send or something to decide when a wake-up ends, and the buffers they share.
cdef class Outbox:
    cdef list dirty
    cdef uint8_t* spare[64]
    cdef int spare_count
    cdef readonly Py_ssize_t held_bytes     # room for replies that wait for others
    cdef public object on_slow          # called with the protocol of a client that does not take all, or None
    cdef uint8_t* take(self) noexcept
    cdef int give(self, uint8_t* buffer) except -1
    cdef int flush(self) except -1

cdef class ReplyQueue(Receiver):
    cdef Transport transport        # None until the connection is made
    cdef Outbox outbox
    cdef Slot* slots
    cdef uint32_t cap               # a power of two
    cdef uint64_t head, tail        # slots head..tail-1 are due; slot of seq is slots[seq & (cap - 1)]
    cdef uint8_t* out
    cdef Py_ssize_t out_len, out_cap
    cdef uint8_t* side
    cdef Py_ssize_t side_len, side_cap
    cdef int stored                 # slots whose reply lies in `side`
    cdef bint is_dirty, dead
    cdef readonly bint closing      # nothing is asked any more: close when all is answered
    cdef bint waiting               # reading is paused until `low` or fewer slots are due
    cdef bint alone                 # nothing may start before all that is due is answered
    cdef list sources               # (seq, Transport) of links that are not read until seq is first, and there is room
    cdef uint64_t low
    cdef uint64_t open(self, bint silent) except? 0xFFFFFFFFFFFFFFFF
    cdef int put(self, uint8_t* p, Py_ssize_t n, bint silent) except -1     # open and reply in one
    cdef int wait_for(self, uint64_t low) except -1
    cdef int close_when_empty(self) except -1
    cdef int abandon(self) except -1
    cdef int flush(self) except -1
    cdef int settle(self) except -1
    cdef int touch(self) except -1
    cdef int append(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int send(self) except -1
    cdef int advance(self) except -1
    cdef int grow(self) except -1
    cdef int keep(self, Slot* slot, uint8_t* p, Py_ssize_t n) except -1
    cdef int release_out(self) except -1
    cdef int free_side(self) except -1
    cdef int resume_sources(self) except -1
