from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.commands.context cimport Context, Handler
from shardd.structures.histogram cimport Tally, tally_init, tally_record
from shardd.structures.names cimport NameTable
from shardd.wire.request cimport Arg

cdef enum CommandFlag:
    CMD_WRITE = 1
    CMD_READONLY = 2
    CMD_DENYOOM = 4
    CMD_ADMIN = 8
    CMD_NO_AUTH = 16        # allowed before AUTH
    CMD_LOADING = 32
    CMD_STALE = 64
    CMD_FAST = 128
    CMD_MOVABLE = 256       # keys where only the key specs can tell
    CMD_CONTAINER = 512     # has subcommands
    CMD_SKIP_SLOWLOG = 1024
    CMD_PROTECTED = 2048
    CMD_SUBCOMMAND = 4096
    CMD_PUBSUB = 1048576            # about channels
    CMD_SUBSCRIBED = 2097152        # what a subscribed RESP2 client may do
    CMD_NO_MULTI = 8192     # refused inside MULTI
    CMD_NOT_QUEUED = 16384  # runs at once inside MULTI
    CMD_ENDS_MULTI = 32768  # those of them that end a transaction
    CMD_EXEC = 65536        # EXEC itself

ctypedef struct Command:
    int index               # the name's number, and the place in the registry's Python lists
    int arity               # negative: at least so many
    uint32_t flags
    int first_key, last_key, key_step       # 0: no key at a fixed place
    Handler hot             # NULL: plain
    uint64_t calls, ticks, rejected, failed
    Tally latency           # of all calls, nanoseconds; without counts as long as there was none

cdef enum:
    LATENCY_DIGITS = 2              # as in Redis, as are the
    LATENCY_NS_MAX = 1000000000     # calls that take longer count as a second

# A call of a command took so many nanoseconds. Without the memory for its histogram it goes uncounted.
cdef inline void count_latency(Command* c, uint64_t ns) noexcept:
    if c.latency.counts == NULL and not tally_init(&c.latency, LATENCY_DIGITS, LATENCY_NS_MAX):
        return
    tally_record(&c.latency, <int64_t>ns)

cdef class Registry:
    cdef Command* commands
    cdef NameTable known
    cdef readonly list rows         # table.Row by index
    cdef readonly list full_names   # str by index, "client|list" form
    cdef readonly list handlers     # plain handler or None by index
    cdef int add(self, object row, Handler hot, object plain) except -1
    cdef Command* lookup(self, Arg* argv, int argc) noexcept
    cdef int hot(self, str name, Handler handler) except -1
    cdef int add_container(self, str name) except -1
