from libc.stdint cimport uint8_t, int64_t, uint64_t
from shardd.net.transport cimport Protocol

cpdef enum ClientFlag:
    REPLY_OFF = 1           # CLIENT REPLY OFF
    REPLY_SKIP = 2          # the running command's reply is dropped
    REPLY_SKIP_NEXT = 4     # the next command's reply is dropped
    NO_EVICT = 8
    NO_TOUCH = 16
    READONLY = 32           # the cluster's READONLY mode
    ASKING = 64             # for the next command only
    CLOSE_AFTER_REPLY = 128
    INTERNAL = 256          # the supervisor's or a proxy's own connection
    HOLD_LOST = 512         # held the engine for too long: nothing but SHARDD RELEASE is run
    PROXY = 1024            # a proxy's link: it is told which of its commands went into the slow log
    PUBSUB = 65536          # listens to channels (net.channels); with RESP2 it may do little else
    MESSAGES = 131072       # there is something in its outbox
    PUSHED = 262144         # the running command's reply is a message, which CLIENT REPLY does not silence
    MULTI = 2048            # commands are queued until EXEC
    DIRTY_CAS = 4096        # a watched key has changed: EXEC answers nil
    DIRTY_EXEC = 8192       # a command could not be queued: EXEC is refused
    BLOCKED = 16384         # waits for keys; what it has sent since stays where it is
    KEYS_READY = 32768      # its running command made keys that others wait for

# Who is at the other end. The engine's and the proxy's sessions derive from it, so that the connection commands
# (HELLO, CLIENT, AUTH, SELECT ...) are written once for both.
cdef class Client(Protocol):
    cdef public int64_t id
    cdef public bytes name, lib_name, lib_ver, user
    cdef public int db                      # selected database
    cdef public int resp                    # 2 or 3
    cdef public bint authenticated
    cdef public unsigned int flags          # ClientFlag bits
    cdef public int64_t created_ms          # wall clock
    cdef public int64_t active_ms           # monotonic, last command
    cdef public str last_command            # lower case, "client|list" form, or None
    cdef public uint64_t commands           # executed so far
    cdef public double over_soft_since      # when its unread replies passed the soft limit, monotonic s; 0: not
    cdef public Clients registry
    cdef readonly tuple subscriptions       # names of channels, patterns, shard channels: three dicts; None: no names
    cdef list outbox                        # messages on their way to it (net.channels), None: there are none
    cdef Py_ssize_t outbox_bytes
    cdef public int multi_count             # commands queued since MULTI; -1: there was none
    cdef public int watch_count             # keys watched
    cdef public Py_ssize_t multi_bytes      # of the queued commands' words
    cdef readonly Py_ssize_t kept_bytes     # what it takes to keep them, and whatever else the session keeps
    cdef int keep(self, Py_ssize_t native_bytes, Py_ssize_t object_bytes) noexcept

cdef class Clients:
    cdef readonly dict by_id                # id -> Client, in order of arrival
    cdef public int64_t next_id
    cdef public int64_t id_step             # ids of several proxies interleave
    cdef readonly uint64_t accepted, rejected
    cdef readonly set internal              # ids of those that are no clients
    cdef readonly Py_ssize_t kept_bytes     # of all clients, internal ones too
    cdef readonly Py_ssize_t object_bytes   # that part of it which structures.alloc has not counted
    cpdef int add(self, Client client) except -1
    cpdef int add_internal(self, Client client) except -1
    cpdef int discard(self, Client client) except -1
    cpdef int reject(self) except -1
