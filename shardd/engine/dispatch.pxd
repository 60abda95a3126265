from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.commands.context cimport Context
from shardd.commands.registry cimport Command, Registry
from shardd.engine.blocking cimport Blocking, Waiter
from shardd.engine.gates cimport Gates
from shardd.engine.kept cimport Request as KeptRequest
from shardd.engine.multi cimport Multi
from shardd.engine.planned cimport Planned
from shardd.engine.slot_stats cimport SlotStats
from shardd.engine.stats cimport Stats
from shardd.keyspace.database cimport Key, Keyspace
from shardd.keyspace.eviction cimport Evictor
from shardd.net.client cimport Client
from shardd.wire.reply cimport Reply
from shardd.wire.request cimport Arg, Request, RequestParser

cdef class Dispatcher(Gates):
    cdef readonly Context context
    cdef readonly Registry registry
    cdef readonly RequestParser parser
    cdef readonly SlotStats slot_stats
    cdef readonly Multi multi
    cdef readonly Blocking blocking
    cdef bint running_kept              # the running command is not the parser's
    cdef list slow_told                 # what a proxy is told of EXEC's commands, in front of the reply; None: nothing
    cdef Py_ssize_t kept_raw_bytes      # what the running command was when it was queued
    cdef int only_queued                # commands of this batch that were queued, not run
    cdef bytes wrong                    # what is wrong with a command's slots
    cdef int first_slot
    cdef Keyspace keyspace
    cdef Planned* planned
    cdef Key[512] foreseen              # keys of requests to come, hashed already, in the order of the read buffer
    cdef int foreseen_at, foreseen_end  # those of the running client
    cdef int next                       # request of the parser's batch that runs next
    cdef Py_ssize_t reply_start         # where the running command's reply begins
    cdef uint64_t started               # when it began, or the last one ended
    cdef uint64_t last_word             # the raw bytes of the last command name that was looked up,
    cdef Py_ssize_t last_n              # how many they were,
    cdef Command* last_command          # and what they meant
    cdef Command* ran                   # the command that ran last in this batch, NULL: none yet
    cdef uint64_t clock_ticks, clock_every  # when the commands' clock was last read, and how often it is
    cdef public Client holder           # only this client is served, None: all are (engine.hold)
    cdef public object hold             # engine.hold.Hold
    cdef public bint cluster            # slots are checked
    cdef public int down                # 1: all keys are refused (the cluster is down), 2: all but those of reads
    cdef public bint channels_when_down # shard channels are served while the cluster is down
    cdef public Evictor evictor
    cdef uint8_t[16384] owned           # 1 where the slot is ours
    cdef public object topology         # cluster.topology.Topology or None
    cdef public object announce         # callable(client, slot) -> the error of a slot that is not ours
    cdef int adopt(self, Client client) except -1
    cdef int run(self, Client client) except -1
    cdef int serve_blocked(self, Client running) except -1
    cdef int run_again(self, Waiter waiter) except -1
    cdef int end_wait(self, Waiter waiter) except -1
    cdef int go_on(self, Client client, unsigned int before) except -1
    cdef int plan(self, int first, int count) except -1
    cdef int run_from(self, Client client, int first, int end) except -1
    cdef bint is_full(self, Client client) noexcept
    cdef int cut_off_browser(self, Client client) except -1
    cdef int refuse_container(self, Command* c, Arg* argv, int argc) except -1
    cdef bint is_closed(self, Client client, Command* c) except -1
    cdef int refused(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef bint slots_wrong(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef bint slot_wrong(self, Client client, uint32_t slot, Arg* key) except -1
    cdef bint not_ours(self, Client client, uint32_t slot) except -1
    cdef int refused_in_multi(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef int queue_misplaced(self, Client client, Command* c) except -1
    cdef void plan_kept(self, KeptRequest* request, Planned* p) noexcept
    cdef int run_queue(self, Client client) except -1
    cdef int run_kept(self, Client client, KeptRequest* request) except -1
    cdef int execute(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef int run_plain(self, Client client, Command* c, Arg* argv, int argc) except -1
    cdef int account(self, Client client, Planned* p, Arg* argv, int argc) except -1
    cdef int tell_slow(self) except -1
    cdef int count_slots(self, Client client, Planned* p, Arg* argv, int argc, uint64_t spent) except -1
    cdef int fail_planned(self, Client client, int number, bytes text) except -1
    cdef int fail(self, Client client, Planned* p, Arg* argv, int argc, Py_ssize_t reply_start, bytes text) except -1
    cdef int reject(self, Command* c, bytes text) except -1
    cdef int settle_flags(self, Client client, unsigned int before) except -1
    cdef int read_clock(self) except -1
    cdef bint is_postponed(self, Client client) noexcept
    cdef int postpone(self, Client client) except -1
