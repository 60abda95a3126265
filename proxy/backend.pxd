from libc.stdint cimport uint8_t, int16_t, uint32_t, int64_t, uint64_t
from cpython.object cimport PyObject
from proxy.replies cimport Outbox, Receiver
from shardd.net.reactor cimport Reactor
from shardd.net.transport cimport Protocol
from shardd.wire.scan cimport ScanState

cdef enum LinkState:
    LINK_DOWN = 0
    LINK_CONNECTING = 1
    LINK_UP = 2

# One command that was sent, or waits to be.
ctypedef struct Pending:
    PyObject* owner         # a Receiver, counted; NULL: the reply is swallowed
    uint64_t seq            # the owner's number for it
    Py_ssize_t raw_n        # its bytes in the link's buffer
    int db
    int tries               # how often it was redirected

ctypedef Pending* PendingP

# One connection to one engine.
cdef class Link(Protocol):
    cdef readonly Engine engine
    cdef readonly int resp
    cdef readonly int state
    cdef Pending* ring
    cdef uint32_t cap                       # a power of two
    cdef uint64_t head, tail
    cdef uint8_t* buf
    cdef Py_ssize_t start, written, end, buf_cap
    cdef int db                             # of the connection after all that is in buf
    cdef int greeting                       # replies of the handshake that are due
    cdef uint64_t greeting_bytes, acked     # bytes of this connection: the handshake's, and of answered commands
    cdef ScanState scan
    cdef bint streaming, is_dirty, retired, timer_set
    cdef int64_t retry_at_ms, held_since_ms
    cdef int backoff_ms
    cdef int send(self, Receiver owner, uint64_t seq, uint8_t* raw, Py_ssize_t n, int db, int tries) except -1
    cdef int connect(self) except -1
    cdef int flush(self) except -1
    cdef int push(self, PyObject* owner, uint64_t seq, uint8_t* raw, Py_ssize_t n, int db, int tries) except -1
    cdef int room(self, Py_ssize_t n) except -1
    cdef int grow(self) except -1
    cdef int select(self, int db) except -1
    cdef int greeted(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int deliver(self, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t pass_on(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int pop(self) except -1
    cdef int redirect(self, Pending* entry, uint8_t* p, Py_ssize_t n) except -1
    cdef int fail_held(self) except -1
    cdef int later(self) except -1
    cdef int set_timer(self, int64_t delay_ms) except -1

# One engine, whatever connections there are to it.
cdef class Engine:
    cdef readonly object info               # cluster.topology.EngineInfo
    cdef readonly int index
    cdef readonly Backends backends
    cdef readonly Link resp2, resp3
    cdef readonly bint removed
    cdef readonly bint silent               # was up, and the supervisor says it is not

# All engines, and what their links share.
cdef class Backends:
    cdef readonly Reactor reactor
    cdef Outbox outbox
    cdef readonly list engines              # Engine by position in the topology
    cdef readonly dict by_id
    cdef list dirty
    cdef int16_t owners[16384]              # by slot: position in `engines`, -1 nobody
    cdef public object schedule             # schedule(delay_ms, callback)
    cdef public object on_warning           # called with a line of text
    cdef public object on_moved             # called when an engine disagrees with our topology
    cdef public str password
    cdef readonly uint64_t redirected, lost_replies
    cdef int flush(self) except -1
    cdef Engine at_port(self, int port)
    cdef Engine owner_of(self, int slot)
