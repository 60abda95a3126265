from libc.stdint cimport uint8_t, int16_t, uint32_t, int64_t

from bench.load.intake cimport Intake, Stream
from bench.load.script cimport Script
from shardd.structures.histogram cimport Tally

# A command that is due and has not been sent.
ctypedef struct Due:
    int64_t number          # of its key
    int64_t due_ns          # when it should leave; 0 in a closed loop
    int command

# One engine (the only one, outside a cluster): what waits for it, and its connections.
ctypedef struct Node:
    Due* ring               # driver.py: _RING places
    int head, waiting
    int* members            # indices of its connections
    int members_n, members_cap
    int cursor              # whose turn it is
    bint owns               # slots; always, outside a cluster
    int full                # connections with `pipeline` commands outstanding

ctypedef struct Link:
    int fd
    int node
    int due                 # replies to come
    int head                # place of the oldest of them in the rings below
    int64_t start_ns        # closed loop: when they were sent
    uint8_t* order          # which command each is; NULL where there is only one
    int64_t* when           # rate: when each was due; NULL in a closed loop
    Stream replies
    uint8_t* out            # bytes the kernel did not take: out[out_at : out_n]
    Py_ssize_t out_at, out_n, out_cap

cdef class Driver:
    cdef readonly Script script
    cdef readonly Intake intake
    cdef int ep
    cdef Link* links
    cdef readonly int links_n
    cdef int links_cap
    cdef Node* nodes
    cdef readonly int nodes_n
    cdef int16_t* owner                     # slot -> node, -1: nobody's; NULL outside a cluster
    cdef readonly int pipeline
    cdef int mask                           # of the rings: their size less one
    cdef uint8_t* build                     # where requests are made
    cdef uint8_t* shared                    # where replies are read
    cdef readonly double interval_ns        # rate: between two commands; 0: closed loop
    cdef readonly bint poisson, spin
    cdef double next_ns                     # when the next command is due
    cdef readonly int64_t deadline_ns       # nothing is due at this time or later
    cdef readonly int64_t to_send           # commands that may still be sent; -1: any number
    cdef readonly int64_t sent, done, outstanding, bytes_in, bytes_out
    cdef int idle                           # closed loop: connections that found nothing to send
    cdef Tally* tallies                     # latencies by command, ns
    cdef Tally live                         # all of them since the last look
    cdef Tally late                         # rate: how long after it was due a command left, ns
    cdef int fill(self, Link* link, int64_t now_ns) except -1
    cdef int next_for(self, int node, Due* due) noexcept
    cdef int owner_of(self, int command, int64_t number, int otherwise) noexcept
    cdef void push(self, int node, int command, int64_t number, int64_t due_ns) noexcept
    cdef bint crowded(self) noexcept
    cdef int pump(self, int64_t now_ns) except -1
    cdef int flush(self, int node, int64_t now_ns) except -1
    cdef double gap(self) noexcept
    cdef int send_built(self, Link* link, Py_ssize_t n, int count) except -1
    cdef int watch(self, Link* link, uint32_t events) except -1
    cdef int on_writable(self, Link* link) except -1
    cdef int on_readable(self, Link* link) except -1
    cdef void account(self, Link* link, int count, int64_t now_ns) noexcept
    cdef int kick(self, int64_t now_ns) except -1
    cdef bint has_more(self, int64_t now_ns) noexcept
    cdef int wait(self, int64_t now_ns, int64_t until_ns) noexcept
