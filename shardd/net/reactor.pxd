from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, int64_t, uint64_t
from shardd.net.sys cimport epoll_event
from shardd.net.transport cimport Hub, PlainProtocol, Protocol, Transport

cdef class Listener:
    cdef readonly int fd                    # -1 once it is closed
    cdef readonly Reactor reactor
    cdef readonly object sock, factory      # factory(transport) -> Protocol, or None to refuse
    cdef public int keepalive_s             # SO_KEEPALIVE of accepted connections; 0: off
    cdef readonly bint is_unix, closing
    cdef readonly uint64_t accepted
    cdef readonly uint64_t rests            # how often it ran out of descriptors
    cpdef int close(self) except -1
    cdef int on_readable(self) except -1
    cdef int accepted_fd(self, int fd) except -1
    cdef int rest(self, int error) except -1

# What was read from a connection and not yet handed to it. The transport is borrowed: `by_fd` holds it.
ctypedef struct Staged:
    PyObject* transport
    uint8_t* p
    Py_ssize_t n

cdef class Reactor(Hub):
    cdef epoll_event[512] events            # what epoll reported last; served up to events_at
    cdef int events_n, events_at
    cdef Staged[64] staged
    cdef int staged_n
    cdef Py_ssize_t staged_bytes            # of the shared buffer
    cdef int timer_fd
    cdef list by_fd                         # fd -> Transport or Listener
    cdef list resting                       # listeners that wait for descriptors
    cdef public int linger_ms               # how long poll() waits for more after a batch; 0: not at all
    cdef public object before_poll          # called with no arguments at the start of each poll, or None
    cdef public object after_batch          # called with no arguments after each batch of events, or None
    cdef public object on_error             # called with (transport or listener, exception), or None
    cdef public object on_warning           # called with one line of text, or None
    cdef readonly uint64_t polls, events_total
    cdef readonly int64_t busy_us           # all turns, without the waits in between
    cdef readonly int64_t longest_us        # the longest turn so far, by the wall: most that a ready socket waited
    cdef readonly int64_t longest_cpu_us    # the most CPU time of a turn, too high by limits.CPU_MARK_US at most
    cdef int64_t turn_us                    # when the turn began; monotonic
    cdef int64_t mark_us, mark_cpu_us       # a time, and what the thread had used of the CPU by then
    cdef readonly int connections           # transports whose lost() is still to come
    cdef int add(self, Transport transport, uint32_t events) except -1
    cdef int place(self, int fd, object what, uint32_t events, uint64_t kind) except -1
    cdef int rearm(self, Listener listener, uint32_t events) except -1
    cdef int batch(self, int wait_ms) except -1
    cdef bint stage(self, uint64_t tag, uint32_t events) except -1
    cdef int feed_staged(self) except -1
    cdef int begin_turn(self, int64_t now_us) except -1
    cdef int64_t end_turn(self) except -1
    cdef int handle(self, uint64_t tag, uint32_t events) except -1
    cdef int on_own(self, uint64_t tag) except -1
    cdef int settle(self) except -1
    cdef int bury(self, Transport transport) except -1
    cdef int feed_resumed(self) except -1
    cdef int arm_timer(self) except -1
    cdef int on_timer(self) except -1
    cdef int report(self, object where, object error) except -1
