from libc.stdint cimport int64_t, uint32_t, uint64_t
from shardd.commands.context cimport Context, Waits
from shardd.commands.registry cimport Registry
from shardd.engine.kept cimport Kept
from shardd.keyspace.database cimport Database, Key, Keyspace
from shardd.net.client cimport Client
from shardd.wire.request cimport Arg

# One blocked client.
cdef class Waiter:
    cdef Client client          # None once it waits no more
    cdef int db
    cdef uint32_t type
    cdef list keys              # (key, slot), each once
    cdef int64_t deadline_ms    # monotonic, 0: none
    cdef Kept kept              # its command
    cdef uint64_t ticks         # what that has taken so far
    cdef bytes error            # what it is told at the end, None: the answer
    cdef object answer          # callable: what it is told where it was not served; None: a null array

cdef class Blocking(Waits):
    cdef Keyspace keyspace
    cdef Context context
    cdef Registry registry
    cdef list tables            # by database: (type, key) -> OrderedDict of Waiters, the longest waiting first
    cdef dict by_client         # client -> Waiter
    cdef readonly int internal  # how many of those are connections within the tree
    cdef readonly int timed     # how many have a time-out
    cdef list deadlines         # a heap of (ms, number, Client); those that wait no more are left in it for a while
    cdef uint64_t number
    cdef object ready           # deque of (database, key)
    cdef set ready_keys         # the same
    cdef int turn_db, turn_left # the key that is being served, and how many may be served with it
    cdef bytes turn_key
    cdef object ended           # deque of Waiters that wait no more, and are still to be told
    cdef Waiter again           # whose command is run again
    cdef public object on_deadline      # called with the earliest time-out, monotonic ms, whenever that changes
    cdef Waiter waiter_of(self, Client client)
    cdef Waiter next_ready(self)
    cdef int note_deadline(self, Waiter waiter) except -1
    cdef bint is_timed(self, tuple entry) except -1
    cdef Waiter next_ended(self)
    cdef bint is_pending(self) noexcept
    cdef object line(self)
    cdef int leave(self, Waiter waiter) except -1
    cdef int end(self, Waiter waiter, bytes error) except -1
    cdef int forget(self, Client client) except -1
    cdef int mark_ready(self, int db, bytes key) except -1
