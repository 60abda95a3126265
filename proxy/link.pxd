from libc.stdint cimport uint8_t, uint32_t, int64_t, uint64_t
from cpython.object cimport PyObject
from proxy.latency cimport Latency, Trace
from proxy.replies cimport Outbox, Receiver, ReplyQueue
from shardd.net.reactor cimport Reactor
from shardd.net.transport cimport Protocol
from shardd.wire.scan cimport ScanState

cdef enum LinkState:
    LINK_DOWN = 0
    LINK_CONNECTING = 1
    LINK_UP = 2

# What commands go over which of an engine's links: the router gives each command of the table one of these.
cdef enum Lane:
    LANE_SHARED = 0         # keys, and what is quick
    LANE_LONG = 1           # the whole keyspace
    LANE_CONTROL = 2        # about the server
    LANES = 3
    LANE_LENT = 3           # none: a connection of its own, borrowed for it

# In the database number that goes with a command: it comes from a client with CLIENT NO-TOUCH ON.
cdef enum:
    DB_NO_TOUCH = 0x10000

# In the place of `tries`: the reply says all there is to say, even MOVED.
cdef enum:
    TRIES_NONE = 0x10000

cdef enum LinkRole:
    ROLE_LANE = 0           # new commands of a lane go over it
    ROLE_PRIVATE = 1        # finishes what it has: a large reply is on its way here
    ROLE_IDLE = 2           # nobody's
    ROLE_LENT = 3           # one Task's

# One command that was sent, or waits to be.
ctypedef struct Pending:
    PyObject* owner         # a Receiver, counted; NULL: the reply is swallowed
    uint64_t seq            # the owner's number for it
    Py_ssize_t raw_n        # its bytes in the link's buffer
    int db
    int tries               # how often it was redirected; TRIES_NONE: it must not be
    int early               # replies that come before the last one, which is the command's; of a batch
    int due                 # how many of them are still to come

ctypedef Pending* PendingP

cdef class Upstream
cdef class Link

# What all links of a process share. backend.Backends derives from it.
cdef class Switch:
    cdef readonly Reactor reactor
    cdef Outbox outbox
    cdef readonly Latency latency
    cdef list dirty                         # links that have something to send
    cdef public object schedule             # schedule(delay_ms, callback)
    cdef public object on_warning           # called with a line of text
    cdef public object on_moved             # called when an engine disagrees with our topology
    cdef public object on_slow              # called with a slow log entry's token and the client whose command it was
    cdef public str password
    cdef public int64_t retry_ms            # option proxy-retry-ms
    cdef readonly uint64_t redirected, lost_replies, rotations
    cdef readonly Py_ssize_t held_bytes     # room for requests in all links
    cdef Upstream at_port(self, int port)
    cdef Upstream owner_of(self, int slot)

# What a link sees of its engine. backend.Engine derives from it.
cdef class Upstream:
    cdef readonly object info               # cluster.topology.EngineInfo
    cdef readonly int index
    cdef Switch switch
    cdef readonly bint removed
    cdef readonly bint silent               # was up, and the supervisor says it is not
    cdef readonly bint loading              # it reads its data, and answers -LOADING
    cdef Link at(self, int lane, int resp)          # the link of a lane
    cdef bint rotate(self, Link link) except -1     # another link takes the lane; no where there are too many
    cdef int park(self, Link link) except -1        # a private link has nothing left to do
    cdef int forget(self, Link link) except -1      # a link that is no lane's has ended

# One connection to one engine.
cdef class Link(Protocol):
    cdef readonly Upstream engine
    cdef readonly int resp
    cdef readonly int lane, role
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
    cdef Py_ssize_t passed                  # bytes of the reply that comes in pieces, 0 where none does
    cdef uint64_t one_from                  # ROLE_PRIVATE: from here on all in the ring is one receiver's
    cdef bint is_dirty, retired, timer_set
    cdef public int64_t number              # of this connection on its engine, as CLIENT ID says; 0: nobody has asked
    cdef readonly bint broken               # ROLE_LENT: was up and is not
    cdef int64_t retry_at_ms, held_since_ms
    cdef int backoff_ms
    cdef uint64_t traced                    # the first sampled command's place in the ring, or all ones
    cdef Trace trace                        # None before the first
    cdef int send(self, Receiver owner, uint64_t seq, uint8_t* raw, Py_ssize_t n, int db, int tries) except -1
    cdef int send_batch(self, Receiver owner, uint64_t seq, uint8_t* raw, Py_ssize_t n, int db, int early) except -1
    cdef int sample(self, ReplyQueue queue, uint64_t seq) except -1
    cdef int begun(self) noexcept
    cdef int untrace(self) except -1
    cdef int set_role(self, int role, int lane) except -1
    cdef int connect(self) except -1
    cdef int flush(self) except -1
    cdef int push(self, PyObject* owner, uint64_t seq, uint8_t* raw, Py_ssize_t n, int db, int tries) except -1
    cdef int room(self, Py_ssize_t n) except -1
    cdef int free_buf(self) except -1
    cdef int grow(self) except -1
    cdef int select(self, int db) except -1
    cdef int greeted(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int deliver(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int pushed(self, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t pass_on(self, uint8_t* p, Py_ssize_t n) except -1
    cdef bint is_large(self, Py_ssize_t n) noexcept
    cdef bint must_wait(self) except -1
    cdef int find_one(self) except -1
    cdef int pop(self) except -1
    cdef int redirect(self, Pending* entry, uint8_t* p, Py_ssize_t n) except -1
    cdef int fail_held(self) except -1
    cdef int later(self) except -1
    cdef int set_timer(self, int64_t delay_ms) except -1
