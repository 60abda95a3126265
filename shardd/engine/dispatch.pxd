from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.commands.context cimport Context
from shardd.commands.registry cimport Command, Registry
from shardd.engine.slot_stats cimport SlotStats
from shardd.engine.stats cimport Stats
from shardd.keyspace.database cimport Key, Keyspace
from shardd.keyspace.eviction cimport Evictor
from shardd.net.channels cimport Channels
from shardd.net.client cimport Client
from shardd.wire.reply cimport Reply
from shardd.wire.request cimport Arg, Request, RequestParser

# A request of the batch, looked up and hashed before the first one runs.
ctypedef struct Planned:
    Command* command        # NULL: unknown
    Key key                 # its first key, where the command has one at a fixed place
    bint keyed

cdef class Dispatcher:
    cdef readonly Context context
    cdef readonly Registry registry
    cdef readonly Stats stats
    cdef readonly RequestParser parser
    cdef readonly Reply reply
    cdef readonly SlotStats slot_stats
    cdef readonly Channels channels
    cdef Keyspace keyspace
    cdef Planned* planned
    cdef Key[512] foreseen              # keys of requests to come, hashed already, in the order of the read buffer
    cdef int foreseen_n
    cdef int foreseen_at, foreseen_end  # those of the running client
    cdef uint64_t turn                  # counts how often `foreseen` was begun anew
    cdef int next                       # request of the parser's batch that runs next
    cdef Py_ssize_t reply_start         # where the running command's reply begins
    cdef uint64_t started               # when it began, or the last one ended
    cdef Py_ssize_t mark                # where the running client's replies begin: all before are of those in `due`
    cdef list due                       # clients whose replies are in the buffer, in its order, and
    cdef Py_ssize_t* due_ends           # where each one's end
    cdef int due_cap
    cdef uint64_t last_word             # the raw bytes of the last command name that was looked up,
    cdef Py_ssize_t last_n              # how many they were,
    cdef Command* last_command          # and what they meant
    cdef Command* ran                   # the command that ran last in this batch, NULL: none yet
    cdef uint64_t clock_ticks, clock_every  # when the commands' clock was last read, and how often it is
    cdef public Client holder           # only this client is served, None: all are (engine.hold)
    cdef public object hold             # engine.hold.Hold
    cdef public int paused              # CLIENT PAUSE: 0, PAUSE_WRITE or PAUSE_ALL of net.pause
    cdef dict postponed                 # id -> client whose next command waits for its end
    cdef public bint cluster            # slots are checked
    cdef public int down                # 1: all keys are refused (the cluster is down), 2: all but those of reads
    cdef public bint channels_when_down # shard channels are served while the cluster is down
    cdef public Evictor evictor
    cdef uint8_t[16384] owned           # 1 where the slot is ours
    cdef public object topology         # cluster.topology.Topology or None
    cdef public object announce         # callable(client, slot) -> the error of a slot that is not ours
    cdef int run(self, Client client) except -1
    cdef int plan(self, int first, int count) except -1
    cdef int run_from(self, Client client, int first, int end) except -1
    cdef bint is_full(self, Client client) noexcept
    cdef int cut_off_browser(self, Client client) except -1
    cdef int refuse_container(self, Command* c, Arg* argv, int argc) except -1
    cdef int refused(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef int slots_refused(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef int slot_refused(self, Client client, Command* c, uint32_t slot, Arg* key) except -1
    cdef int wrong_slot(self, Command* c, Client client, uint32_t slot) except -1
    cdef int run_plain(self, Client client, Command* c, Arg* argv, int argc) except -1
    cdef int account(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef int tell_slow(self) except -1
    cdef int count_slots(self, Client client, Planned* p, Arg* argv, int argc, uint64_t spent) except -1
    cdef int fail(self, Client client, int number, bytes text) except -1
    cdef int reject(self, Command* c, bytes text) except -1
    cdef int hand_in(self, Client client) except -1
    cdef int forget(self) except -1
    cpdef int send_all(self) except -1
    cdef int send(self, Client client, const uint8_t* p, Py_ssize_t n) except -1
    cdef int send_messages(self) except -1
    cdef int put_messages(self, Client client) except -1
    cdef int settle_flags(self, Client client, unsigned int before) except -1
    cdef int read_clock(self) except -1
    cdef bint is_postponed(self, Client client) noexcept
    cdef int postpone(self, Client client) except -1
