from libc.stdint cimport uint8_t, uint64_t, int64_t
from proxy.backend cimport Backends
from proxy.latency cimport Latency
from proxy.replies cimport Outbox, ReplyQueue
from proxy.router cimport Route, Router
from proxy.transactions cimport Transaction
from shardd.net.client cimport Client
from shardd.net.reactor cimport Reactor
from shardd.wire.reply cimport Reply
from shardd.wire.request cimport Arg, InputState, Request, RequestParser

# What all sessions of a process share.
cdef class Shared:
    cdef readonly Reactor reactor
    cdef readonly Outbox outbox
    cdef readonly Backends backends
    cdef readonly Router router
    cdef readonly RequestParser parser
    cdef readonly object server         # what plain handlers get
    cdef Reply answer                   # the reply of a command that is answered here
    cdef Reply request                  # a request that has to be written anew
    cdef public object limits           # net.policy.ConnectionLimits
    cdef public int epoch               # grows with each topology
    cdef public int paused              # CLIENT PAUSE: 0, PAUSE_WRITE or PAUSE_ALL of net.pause
    cdef dict postponed                 # id -> session whose next command waits for its end
    cdef public Py_ssize_t memory_max   # option proxy-memory-limit; 0: none
    cdef readonly bint shedding         # more is held than that
    cdef readonly uint64_t commands, shed
    cdef Py_ssize_t queued_bytes        # of commands that wait for EXEC
    cdef Py_ssize_t held(self) noexcept
    cdef readonly Latency latency
    cdef readonly dict error_codes      # of errors made here: code -> count

cdef class ProxySession(Client):
    cdef ReplyQueue queue
    cdef Shared shared
    cdef InputState input
    cdef readonly Transaction transaction       # from MULTI or WATCH on; None
    cdef public object wait             # blocking.Wait while a command may block; None
    cdef int seen                       # epoch, lane and protocol of what is in flight: see `fresh`
    cdef int request(self, Request* request) except -1
    cdef bint fresh(self, int stamp) noexcept
    cdef bint is_postponed(self, Route* route, int argc) noexcept
    cdef int link_db(self) noexcept
    cdef int on_key(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int on_keys(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int on_split(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int on_every(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int on_joint(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int on_transaction(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int on_multi(self, Route* route, bint silent) except -1
    cdef int on_exec(self, Route* route, bint silent) except -1
    cdef int on_block(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int enqueue(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef bint exec_is_simple(self) except -1
    cdef Transaction end_transaction(self)
    cdef int flag_transaction(self) except -1
    cdef bint crosses(self, Route* route, Request* request, Arg* argv) except -1
    cdef int start_task(self, object coroutine, int lane, bint silent) except -1
    cdef int on_here(self, Route* route, Request* request, Arg* argv, bint silent) except -1
    cdef int pass_to(self, int owner, Request* request, Arg* argv, bint silent) except -1
    cdef int refuse(self, bytes text, bint silent) except -1
    cdef int count_error(self, bytes text) except -1
    cdef int fail(self, Route* route, bytes text, bint silent) except -1
    cdef int reject(self, Route* route, bytes text, bint silent) except -1
    cdef int answer(self, object value, bint silent) except -1
    cdef int unknown(self, Request* request, Arg* argv, bint silent) except -1
    cdef int rewrite(self, Request* request, Arg* argv) except -1
    cdef list words(self, Request* request, Arg* argv)
    cdef int check_input(self, Py_ssize_t size) except -1
    cdef int protocol_error(self, bytes text) except -1
