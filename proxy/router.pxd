from libc.stdint cimport uint8_t, uint64_t
from shardd.structures.names cimport NameTable
from shardd.wire.request cimport Arg

cdef enum RouteKind:
    ROUTE_KEY = 0           # one key at a fixed place: the hot one
    ROUTE_KEYS = 1          # several at fixed places
    ROUTE_MOVABLE = 2       # keys where only commands.table can tell
    ROUTE_SPLIT = 3         # over the engines by key, and joined
    ROUTE_EVERY = 4         # to every engine, and joined
    ROUTE_LOCAL = 5         # answered here by a plain function
    ROUTE_TASK = 6          # answered here by a coroutine that asks engines
    ROUTE_REFUSED = 7       # could be wrong through a proxy
    ROUTE_CONTAINER = 8     # only its subcommands exist
    ROUTE_ANY = 9           # the same on every engine
    ROUTE_TRANSACTION = 10  # MULTI, EXEC ...: see Step
    ROUTE_BLOCK = 11        # may wait: on a connection that is borrowed for it

# What is not queued behind MULTI but done at once; UNWATCH is queued, like any other command.
cdef enum Step:
    STEP_NONE = 0
    STEP_UNWATCH = 1
    STEP_MULTI = 2
    STEP_EXEC = 3
    STEP_DISCARD = 4
    STEP_WATCH = 5
    STEP_END = 6            # QUIT, RESET

ctypedef struct Route:
    int index               # into the router's lists
    int arity               # negative: at least so many
    int kind, join
    int lane                # link.Lane: of EVERY and TASK; all else goes over the shared one
    int first_key, last_key, key_step
    bint no_auth, container, sub, writes
    bint patterns           # its arguments name keys that only data can tell (SORT)
    bint joint              # where its keys are on several engines, a coroutine does it; or EXEC, which may wait
    int step                # of a transaction: Step
    bint no_multi           # refused in a transaction
    bint built              # exists for clients
    uint64_t calls, rejected, failed

ctypedef Route* RouteP

cdef class Router:
    cdef Route* routes              # by the number of the name
    cdef int count
    cdef NameTable table
    cdef readonly list rows         # table.Row by index
    cdef readonly list names        # str by index
    cdef readonly list handlers     # of ROUTE_LOCAL and ROUTE_TASK, by index
    cdef readonly list joints       # where its keys are on several engines, by index
    cdef readonly frozenset built   # names that exist for clients
    cdef Route* find(self, uint8_t* name, Py_ssize_t n) noexcept
    cdef Route* lookup(self, Arg* argv, int argc) noexcept
    cdef list key_slots(self, Route* route, Arg* argv, int argc)
    cdef int add(self, object row, object handler, object joint) except -1
