"""Dispatch: the only caller of command handlers.

What must hold for every command is decided here, in this order, and nowhere else:

    known? -> its arity -> authenticated? -> this connection may? -> our slot? -> memory? -> disk, loading? -> handler
                                                                              |
           reply flags <- slow log <- statistics <- journal, if it changed anything

A batch is what one read brought from one client. Its requests are run in order, but looked up, hashed and prefetched
first: at a million keys a look-up waits for three lines of memory (slot table, bucket, entry), and those waits overlap
when all keys of the batch are asked for before the first command runs.

    plan     name -> command, first key -> slot, hash, prefetch slot table
             then for all: prefetch bucket;  then for all: prefetch entry
    run      one command after the other

A handler that raises CommandError, or MemoryError, has its reply replaced by the error; the others are not affected.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import ticks_per_us, unix_ms
from cython.cimports.shardd.base.native import load64, prefetch, ticks
from cython.cimports.shardd.commands.args import arg_bytes
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import (
    CMD_CONTAINER, CMD_DENYOOM, CMD_ENDS_MULTI, CMD_EXEC, CMD_MOVABLE, CMD_NO_AUTH, CMD_NO_MULTI, CMD_NOT_QUEUED,
    CMD_PUBSUB, CMD_SUBCOMMAND, CMD_SUBSCRIBED, CMD_WRITE, Command, Registry, count_latency)
from cython.cimports.shardd.engine.blocking import Blocking, Waiter
from cython.cimports.shardd.engine.gates import Gates
from cython.cimports.shardd.engine.kept import Kept, kept_args
from cython.cimports.shardd.engine.kept import Request as KeptRequest
from cython.cimports.shardd.engine.multi import Multi
from cython.cimports.shardd.engine.planned import Planned, ask_for_entries
from cython.cimports.shardd.engine.slot_stats import SlotStats
from cython.cimports.shardd.engine.stats import Stats
from cython.cimports.shardd.engine.watches import Watches
from cython.cimports.shardd.keyspace.database import Database, Keyspace, key_init
from cython.cimports.shardd.keyspace.eviction import EVICT_FAIL, Evictor
from cython.cimports.shardd.net.channels import SHARD_CHANNEL
from cython.cimports.shardd.net.client import Client, ClientFlag
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.wire.reply import Reply
from cython.cimports.shardd.wire.request import Arg, Request, RequestParser

from shardd.base import errors, limits
from shardd.commands import table
from shardd.net import pause
from shardd.wire.values import NO_REPLY, NULL_ARRAY

command_p = cython.typedef(cython.pointer(Command))
planned_p = cython.typedef(cython.pointer(Planned))
arg_p = cython.typedef(cython.pointer(Arg))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
kept_p = cython.typedef(cython.pointer(KeptRequest))

BATCH = cython.declare(cython.int, 64)              # requests planned at a time: their lines fit the first-level cache
LINK_UNSENT_MAX = cython.declare(cython.Py_ssize_t, limits.LINK_UNSENT_BYTES_MAX)
FLUSH_BYTES = cython.declare(cython.Py_ssize_t, limits.REPLY_BYTES_SENT)
SHOWN_MAX = cython.declare(cython.Py_ssize_t, errors.ARGUMENTS_SHOWN_BYTES + 1)
PAUSE_EVERYTHING = cython.declare(cython.int, pause.PAUSE_ALL)
CLOCK_US = cython.declare(cython.int, 200)          # the commands' clock may be so much behind


@cython.cfunc
def _head(arg: arg_p) -> bytes:
    """As much of an argument as an error can show."""
    return arg.p[:arg.n if arg.n < SHOWN_MAX else SHOWN_MAX]


@cython.final
@cython.cclass
class Dispatcher(Gates):
    """Runs the batches of all clients of one engine."""

    def __cinit__(self):
        self.planned = cython.cast(planned_p, calloc(BATCH, cython.sizeof(Planned)))
        if self.planned == cython.NULL:
            raise MemoryError

    def __init__(self, context: Context, registry: Registry, stats: Stats) -> None:
        self.context = context
        self.registry = registry
        self.stats = stats
        self.keyspace = context.keyspace
        self.reply = context.reply
        self.journal = context.journal
        self.server = context.server
        self.slot_stats = SlotStats()
        self.channels = context.channels
        self.blocking = Blocking(context, registry)
        self.multi = Multi(Watches(self.keyspace), context.server.limits)
        self.parser = RequestParser()
        self.due = []
        self.postponed = {}
        self.clock_every = cython.cast(uint64_t, CLOCK_US * ticks_per_us())
        memset(self.owned, 1, 16384)

    def __dealloc__(self):
        free(self.planned)

    @property
    def held_bytes(self) -> int:
        """Room for the replies of one turn."""
        return self.reply.cap

    def set_slots(self, owned: bytes) -> None:
        """Which slots are ours: 16,384 bytes of 0 or 1."""
        slot: cython.int
        assert len(owned) == 16384
        for slot in range(16384):
            self.owned[slot] = owned[slot]
        self.multi.watches.slots_gone(self.owned)
        self.blocking.slots_gone(owned, self.announce)

    def drop_shard_channels(self) -> None:
        """Who listens to a shard channel whose slot is no longer ours is told that it does not, as in Redis."""
        client: Client
        name: bytes
        for name in self.channels.names(SHARD_CHANNEL):
            if not self.owned[key_slot(cython.cast(const_bytes, cython.cast(cython.p_char, name)), len(name))]:
                for client in list(self.channels.rooms[SHARD_CHANNEL][name]):
                    self.channels.leave(client, SHARD_CHANNEL, name)
                    self.channels.tell_left(client, SHARD_CHANNEL, b"sunsubscribe", name)

    # ---- CLIENT PAUSE

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_postponed(self, client: Client) -> cython.bint:
        """Whether a pause holds back the one request that the parser found: what would be refused need not wait."""
        argc: cython.int = self.parser.requests[0].argc
        c: command_p = self.registry.lookup(self.parser.args + self.parser.requests[0].first, argc)
        if c == cython.NULL or (c.flags & CMD_CONTAINER and argc > 1):
            return False
        if (c.arity > 0 and argc != c.arity) or argc < -c.arity:
            return False
        if not client.authenticated and not c.flags & CMD_NO_AUTH:
            return False
        if self.paused == PAUSE_EVERYTHING or c.flags & CMD_WRITE:
            return True
        return c.flags & CMD_EXEC and client.flags & ClientFlag.MULTI and self.multi.flags(client) & CMD_WRITE

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def postpone(self, client: Client) -> cython.int:
        """The client's input waits for the end of the pause; what it has asked before is answered."""
        self.postponed[client.id] = client
        client.transport.pause_reading()
        return self.hand_in(client)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def read_clock(self) -> cython.int:
        now: uint64_t = ticks()
        if now - self.clock_ticks > self.clock_every:
            self.clock_ticks = now
            self.keyspace.set_time(unix_ms())
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def adopt(self, client: Client) -> cython.int:
        """What runs now is this client's."""
        self.context.client = client
        self.context.db = self.keyspace.databases[client.db]
        self.reply.resp = client.resp
        self.keyspace.no_touch = (client.flags & ClientFlag.NO_TOUCH) != 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run(self, client: Client) -> cython.int:
        """Run all requests that the parser found, in order. Stops early, before number `next`, where the connection is
        to be closed, or a proxy does not take its replies."""
        context: Context = self.context
        total: cython.int = self.parser.count
        end: cython.int
        self.read_clock()
        self.next = 0
        self.ran = cython.NULL
        self.adopt(client)
        while self.next < total:
            end = self.next + BATCH if total - self.next > BATCH else total
            self.plan(self.next, end - self.next)
            first: cython.int = self.next
            while self.next < end:
                try:
                    self.run_from(client, first, end)
                    break
                except errors.CommandError as error:
                    self.fail_planned(client, self.next - first, error.text)
                except MemoryError:
                    self.fail_planned(client, self.next - first, errors.OOM_ALLOCATION)
                self.settle_flags(client, client.flags)
                self.next += 1
            if client.transport is None or client.transport.closing or self.is_full(client) \
                    or client.flags & (ClientFlag.CLOSE_AFTER_REPLY | ClientFlag.BLOCKED):
                break
        if self.ran != cython.NULL:
            client.last_command = self.registry.full_names[self.ran.index]
        client.commands += self.next
        self.stats.commands += self.next - self.only_queued
        self.only_queued = 0
        return 0

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(-1, check=False)
    def plan(self, first: cython.int, count: cython.int) -> cython.int:
        """Look up and hash `count` requests from number `first` on, and ask for the memory they will touch."""
        i: cython.int
        r: cython.pointer(Request)
        p: planned_p
        argv: arg_p
        key: arg_p
        word: uint64_t
        db: Database = self.context.db
        n: cython.Py_ssize_t
        new: cython.int = 0             # keys that nobody has looked at ahead
        for i in range(count):
            r = cython.address(self.parser.requests[first + i])
            p = cython.address(self.planned[i])
            argv = self.parser.args + r.first
            n = argv[0].n
            if n < 8 and n > 0 and r.argc > 1 and not r.inline_form:
                # at least "\r\n$0\r\n\r\n" follows the name, so eight bytes can be read
                word = load64(argv[0].p) << (64 - 8 * n)
                if word == self.last_word and n == self.last_n:
                    p.command = self.last_command
                else:
                    p.command = self.registry.lookup(argv, r.argc)
                    if p.command != cython.NULL and not p.command.flags & (CMD_CONTAINER | CMD_SUBCOMMAND):
                        self.last_word, self.last_n, self.last_command = word, n, p.command
            else:
                p.command = self.registry.lookup(argv, r.argc)
            p.keyed = p.command != cython.NULL and 0 < p.command.first_key < r.argc
            if p.keyed:
                key = argv + p.command.first_key
                while self.foreseen_at < self.foreseen_end and self.foreseen[self.foreseen_at].p < key.p:
                    self.foreseen_at += 1
                if (self.foreseen_at < self.foreseen_end and self.foreseen[self.foreseen_at].p == key.p
                        and self.foreseen[self.foreseen_at].n == key.n):
                    p.key = self.foreseen[self.foreseen_at]
                else:
                    key_init(cython.address(p.key), key.p, key.n)
                    new += 1
                    if db.slots != cython.NULL:
                        prefetch(cython.address(db.slots[p.key.slot]))
            else:
                # or Context.other_key could take an argument at the same place for a key of an earlier batch
                p.key.p = cython.NULL
        if new >= 2:
            ask_for_entries(db, self.planned, count)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_from(self, client: Client, first: cython.int, end: cython.int) -> cython.int:
        """Run planned requests from self.next to `end`; whoever catches an exception finds self.next at the culprit.

        `first`: the request that planned[0] is about.
        """
        context: Context = self.context
        reply: Reply = self.reply
        p: planned_p
        c: command_p
        argv: arg_p
        argc: cython.int
        flags: cython.uint
        self.started = ticks()
        while self.next < end:
            p = cython.address(self.planned[self.next - first])
            c = p.command
            argv = self.parser.args + self.parser.requests[self.next].first
            argc = self.parser.requests[self.next].argc
            self.reply_start = reply.len
            context.failed = False
            flags = client.flags
            if not self.refused(client, p, argv, argc):
                self.ran = c
                if c.hot == cython.NULL:
                    client.last_command = self.registry.full_names[c.index]
                self.execute(client, p, argv, argc)
                if context.journal.active:
                    context.journal.unit_over()
            if client.flags:
                self.settle_flags(client, flags)
                if client.flags & ClientFlag.KEYS_READY:
                    self.serve_blocked(client)
                if client.flags & (ClientFlag.CLOSE_AFTER_REPLY | ClientFlag.BLOCKED):
                    self.next += 1
                    return 0
            if reply.len >= FLUSH_BYTES:
                self.hand_in(client)
                self.send_all()
                if client.transport.closing or self.is_full(client):
                    self.next += 1
                    return 0
            self.next += 1
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def execute(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int) -> cython.int:
        """Run one command that may run, tell the journal, and count it."""
        context: Context = self.context
        c: command_p = p.command
        dirty: uint64_t = self.keyspace.dirty
        context.key = p.key
        context.rewritten = False
        if c.hot != cython.NULL:
            c.hot(context, argv, argc)
        else:
            self.run_plain(client, c, argv, argc)
        if (context.journal.active and self.keyspace.dirty != dirty and c.flags & CMD_WRITE
                and not context.rewritten):
            context.journal.append(context.db.id, argv, argc)
        return self.account(client, p, argv, argc)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def is_full(self, client: Client) -> cython.bint:
        """Whether a proxy leaves so much unread that its next command has to wait. It does so for a client of its that
        does not read, and where that client's replies are all that is left on the connection."""
        return client.transport.out_len > LINK_UNSENT_MAX and client.flags & ClientFlag.INTERNAL != 0

    # ---- statistics

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def account(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int) -> cython.int:
        """A command has run: count it, and what it took."""
        c: command_p = p.command
        stats: Stats = self.stats
        now: uint64_t = ticks()
        spent: uint64_t = now - self.started
        self.started = now
        if self.context.failed:
            if client.flags & ClientFlag.BLOCKED:
                self.blocking.waiter_of(client).ticks = spent       # the rest comes when it is over
                return 0
            c.failed += 1
        c.calls += 1
        c.ticks += spent
        if stats.tracking:
            count_latency(c, stats.ns(spent))
        if self.slot_stats.enabled:
            self.count_slots(client, p, argv, argc, spent)
        if spent > stats.slow_ticks and stats.note_slow(client, c, argv, argc, spent) \
                and client.flags & ClientFlag.PROXY:
            self.tell_slow()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_slow(self) -> cython.int:
        """Tell a proxy, in front of the reply, that this command is the slow log's last entry: it alone knows whose
        command it was. For all commands of an EXEC at once, as its reply, which moves on for that, may be long."""
        log: object = self.stats.slowlog
        token: bytes = log.token(log.next_id - 1)
        told: bytes = b">2\r\n$4\r\nslow\r\n$%d\r\n%b\r\n" % (len(token), token)
        if not self.context.in_exec:
            return self.reply.insert(self.reply_start, told)
        if self.slow_told is None:
            self.slow_told = []
        self.slow_told.append(told)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def count_slots(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int,
                    spent: uint64_t) -> cython.int:
        """Count a command's cost for its slot."""
        bytes_in: uint64_t = self.kept_raw_bytes if self.running_kept else self.parser.requests[self.next].raw_n
        bytes_out: uint64_t = self.reply.len - self.reply_start
        if client.flags & (ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP):
            bytes_out = 0
        return self.slot_stats.count(
            p.command, self.registry.rows[p.command.index], client.flags & ClientFlag.INTERNAL != 0, argv, argc, spent,
            bytes_in, bytes_out)

    # ---- replies

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def settle_flags(self, client: Client, before: cython.uint) -> cython.int:
        """After a command: drop a reply that CLIENT REPLY silenced, let what was published meanwhile follow, and end
        ASKING. `before`: the flags it found."""
        if client.flags & ClientFlag.BLOCKED:
            return 0        # the reply, and with it the command's end, comes later
        if client.flags & (ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP) and not client.flags & ClientFlag.PUSHED:
            self.reply.truncate(self.reply_start)
        client.flags &= ~cython.cast(cython.uint, ClientFlag.REPLY_SKIP | ClientFlag.PUSHED)
        if client.flags & ClientFlag.MESSAGES:
            self.put_messages(client)
        if client.flags & ClientFlag.REPLY_SKIP_NEXT:
            client.flags = ((client.flags & ~cython.cast(cython.uint, ClientFlag.REPLY_SKIP_NEXT))
                            | ClientFlag.REPLY_SKIP)
        if before & ClientFlag.ASKING:
            client.flags &= ~cython.cast(cython.uint, ClientFlag.ASKING)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refused(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int) -> cython.int:
        """1 where the command must not run; the error is replied then."""
        c: command_p = p.command
        if c == cython.NULL:
            if _head(argv).lower() in errors.HTTP_WORDS:
                return self.cut_off_browser(client)
            return self.reject(c, errors.unknown_command(
                _head(argv), [_head(argv + i) for i in range(1, argc if argc < SHOWN_MAX else SHOWN_MAX)]))
        if c.flags & CMD_CONTAINER and (argc > 1 or self.registry.handlers[c.index] is None):
            return self.refuse_container(c, argv, argc)
        if (c.arity > 0 and argc != c.arity) or argc < -c.arity:
            return self.reject(c, errors.wrong_arity(self.registry.full_names[c.index]))
        if not client.authenticated and not c.flags & CMD_NO_AUTH:
            return self.reject(c, errors.NOAUTH)
        if client.flags & (ClientFlag.HOLD_LOST | ClientFlag.MULTI):
            if client.flags & ClientFlag.HOLD_LOST and self.registry.full_names[c.index] != "shardd|release":
                return self.reject(c, errors.HOLD_OVER)
            if client.flags & ClientFlag.MULTI:
                return self.refused_in_multi(client, p, argv, argc)
        if self.cluster and (p.keyed or c.flags & CMD_MOVABLE) and self.slots_wrong(client, p, argv, argc):
            return self.reject(c, self.wrong)
        if self.evictor.is_over() and self.evictor.perform() == EVICT_FAIL and c.flags & CMD_DENYOOM:
            return self.reject(c, errors.OOM)
        if (self.shut or client.flags & ClientFlag.PUBSUB) and self.is_closed(client, c):
            return 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def is_closed(self, client: Client, c: command_p) -> cython.bint:
        """Whether no command of this kind runs for now, or for this client; the error is replied then."""
        name: str = self.registry.full_names[c.index]
        text: bytes = None
        if self.shut:
            text = self.refusal(c.flags, self.multi.flags(client) if c.flags & CMD_EXEC else 0, name == "ping")
        if text is None and client.flags & ClientFlag.PUBSUB and client.resp == 2 and not c.flags & CMD_SUBSCRIBED:
            text = errors.only_when_not_subscribed(name)
        return False if text is None else self.reject(c, text)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def cut_off_browser(self, client: Client) -> cython.int:
        """A web page may be making a browser talk to us (cross-protocol scripting): no reply, and the end."""
        self.context.server.limits.log_browser(client)
        client.flags |= ClientFlag.CLOSE_AFTER_REPLY
        client.transport.close("HTTP")
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refuse_container(self, c: command_p, argv: arg_p, argc: cython.int) -> cython.int:
        """A container without a known subcommand."""
        if argc < 2:
            return self.reject(c, errors.wrong_arity(self.registry.full_names[c.index]))
        return self.reject(c, errors.unknown_subcommand(_head(argv), _head(argv + 1)))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def slots_wrong(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int) -> cython.bint:
        """Cluster mode: all keys in one slot, and that slot ours; where not, `wrong` is the error. Internal connections
        may span slots that are ours, and are served while the cluster is down: behind a proxy, one sick engine is no
        concern of the others' clients. first_slot: that of the first key, -1 where there is none.

        As in Redis, keys of two slots are told so before anybody looks whose slots they are.
        """
        c: command_p = p.command
        i: cython.int = c.first_key
        last: cython.int = c.last_key if c.last_key >= 0 else argc + c.last_key
        slot: uint32_t
        self.first_slot = -1
        if self.down and not client.flags & ClientFlag.INTERNAL and (self.down == 1 or c.flags & CMD_WRITE) \
                and not (c.flags & CMD_PUBSUB and self.channels_when_down):
            self.wrong = errors.CLUSTERDOWN if self.down == 1 else errors.CLUSTERDOWN_READ_ONLY
            return True
        if not c.flags & CMD_MOVABLE:
            slot = p.key.slot
            while i + c.key_step <= last and i + c.key_step < argc:
                i += c.key_step
                if self.slot_wrong(client, slot, argv + i):
                    return True
        else:
            places: list = table.route_keys(self.registry.rows[c.index], [arg_bytes(argv + i) for i in range(argc)])
            if not places:
                return False
            i = places[0]
            slot = key_slot(argv[i].p, argv[i].n)
            for i in places:
                if self.slot_wrong(client, slot, argv + i):
                    return True
        self.first_slot = slot
        return False if self.owned[slot] else self.not_ours(client, slot)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def slot_wrong(self, client: Client, slot: uint32_t, key: arg_p) -> cython.bint:
        """A further key, where the first is in `slot`."""
        other: uint32_t = key_slot(key.p, key.n)
        if other == slot:
            return False
        if not client.flags & ClientFlag.INTERNAL:
            self.wrong = errors.CROSSSLOT
            return True
        return False if self.owned[other] else self.not_ours(client, other)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def not_ours(self, client: Client, slot: uint32_t) -> cython.bint:
        self.wrong = self.announce(client, slot)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_plain(self, client: Client, c: command_p, argv: arg_p, argc: cython.int) -> cython.int:
        """Run a handler in the plain form; what it changed about its client counts for the next command."""
        i: cython.int
        value: object = self.registry.handlers[c.index](
            self.context.server, client, [arg_bytes(argv + i) for i in range(argc)])
        self.reply.resp = client.resp
        if value is not NO_REPLY:
            if isinstance(value, errors.CommandError):
                self.context.failed = True
                self.stats.count_error(value.text)
            self.reply.value(value)
        self.context.db = self.keyspace.databases[client.db]
        self.keyspace.no_touch = (client.flags & ClientFlag.NO_TOUCH) != 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail_planned(self, client: Client, number: cython.int, text: bytes) -> cython.int:
        """A command of the batch raised. number: its place in `planned`."""
        r: cython.pointer(Request) = cython.address(self.parser.requests[self.next])
        argv: arg_p = self.parser.args + r.first
        self.fail(client, cython.address(self.planned[number]), argv, r.argc, self.reply_start, text)
        if self.context.journal.active:
            self.context.journal.unit_over()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int, reply_start: cython.Py_ssize_t,
             text: bytes) -> cython.int:
        """A command raised: its reply so far is replaced by the error."""
        self.reply.truncate(reply_start)
        self.reply.error(text)
        self.stats.count_error(text)
        self.context.failed = True
        if p.command != cython.NULL:
            self.account(client, p, argv, argc)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reject(self, c: command_p, text: bytes) -> cython.int:
        """A command may not run: reply with the error and count it. Always 1.

        A transaction that it was to be a part of is spoilt; one whose EXEC it is, is over.
        """
        client: Client = self.context.client
        if c != cython.NULL:
            c.rejected += 1
            if c.flags & CMD_EXEC:
                self.multi.discard(client)
                text = errors.exec_aborted(text)
        if client.flags & ClientFlag.MULTI:
            client.flags |= ClientFlag.DIRTY_EXEC
        self.reply.error(text)
        self.stats.count_error(text)
        return 1

    # ---- transactions (engine.transactions)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refused_in_multi(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int) -> cython.int:
        """The last of `refused` for a client in MULTI. 1 also where the command is queued instead of run."""
        c: command_p = p.command
        flags: cython.uint = c.flags
        if flags & CMD_NO_MULTI:
            return self.reject(c, errors.NOT_IN_MULTI)
        if self.cluster:
            if flags & CMD_EXEC:
                if self.queue_misplaced(client, c):
                    return 1
            elif (p.keyed or flags & CMD_MOVABLE) and self.slots_wrong(client, p, argv, argc):
                return self.reject(c, self.wrong)
        if self.evictor.is_over() and self.evictor.perform() == EVICT_FAIL and (
                self.multi.flags(client) & CMD_DENYOOM if flags & CMD_EXEC else
                flags & CMD_DENYOOM if client.flags & ClientFlag.INTERNAL else      # a proxy has queued it before
                not flags & CMD_ENDS_MULTI):
            return self.reject(c, errors.OOM)
        if (self.shut or client.flags & ClientFlag.PUBSUB) and self.is_closed(client, c):
            return 1
        if flags & CMD_NOT_QUEUED:
            return 0
        self.multi.add(client, c, argv, argc, self.parser.requests[self.next].raw_n)
        self.ran = c
        self.only_queued += 1
        self.reply.raw(b"+QUEUED\r\n", 9)
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def queue_misplaced(self, client: Client, c: command_p) -> cython.int:
        """EXEC in cluster mode: 1 where the queue's keys are not all in one slot, or not in ours any more. The error is
        replied then, and the transaction is over. c: EXEC."""
        queue: Kept = self.multi.queue_of(client)
        request: kept_p = cython.NULL if queue is None else queue.first
        planned: Planned
        slot: cython.int = -1
        wrong: cython.bint = False
        while request != cython.NULL and not wrong:
            self.plan_kept(request, cython.address(planned))
            if planned.keyed or request.command.flags & CMD_MOVABLE:
                wrong = self.slots_wrong(client, cython.address(planned), kept_args(request), request.argc)
                if not wrong and self.first_slot >= 0 and not client.flags & ClientFlag.INTERNAL:
                    if slot >= 0 and slot != self.first_slot:
                        self.wrong = errors.CROSSSLOT
                        wrong = True
                    slot = self.first_slot
            request = request.next
        if not wrong:
            return 0
        self.multi.discard(client)
        c.rejected += 1
        self.reply.error(self.wrong)
        self.stats.count_error(self.wrong)
        return 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def plan_kept(self, request: kept_p, p: planned_p) -> cython.void:
        """`plan` for a request that was kept."""
        key: arg_p = kept_args(request) + request.command.first_key
        p.command = request.command
        p.keyed = 0 < request.command.first_key < request.argc
        p.key.p = cython.NULL
        if p.keyed:
            key_init(cython.address(p.key), key.p, key.n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_queue(self, client: Client) -> cython.int:
        """EXEC: run all that was queued, in one step, and reply with all replies.

        Each command is counted, timed and logged by itself; EXEC is with the time of all.
        """
        context: Context = self.context
        queue: Kept = self.multi.queue_of(client)
        request: kept_p = cython.NULL if queue is None else queue.first
        begun: uint64_t = self.started
        exec_start: cython.Py_ssize_t = self.reply_start
        self.slow_told = None
        client.last_command = "exec"
        if not client.flags & (ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP):
            self.reply.array(client.multi_count)
        context.in_exec = True
        try:
            while request != cython.NULL:
                self.run_kept(client, request)
                request = queue.follow(request)
        finally:
            context.in_exec = False
        self.stats.commands += client.multi_count
        self.started = begun
        context.failed = False
        context.rewritten = False
        self.reply_start = exec_start
        if self.slow_told is not None:
            self.reply.insert(exec_start, b"".join(self.slow_told))
            self.slow_told = None
        if client.flags & (ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP):
            self.reply_start = self.reply.len       # what was to be dropped has been
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_kept(self, client: Client, request: kept_p) -> cython.int:
        """Run a request that was checked when it was queued."""
        planned: Planned
        start: cython.Py_ssize_t = self.reply.len
        self.reply_start = start
        self.kept_raw_bytes = request.raw_bytes
        self.running_kept = True
        self.context.failed = False
        self.plan_kept(request, cython.address(planned))
        try:
            self.execute(client, cython.address(planned), kept_args(request), request.argc)
        except errors.CommandError as error:
            self.fail(client, cython.address(planned), kept_args(request), request.argc, start, error.text)
        except MemoryError:
            self.fail(client, cython.address(planned), kept_args(request), request.argc, start, errors.OOM_ALLOCATION)
        self.running_kept = False
        if client.flags & (ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP) and not client.flags & ClientFlag.PUSHED:
            self.reply.truncate(start)
        client.flags &= ~cython.cast(cython.uint, ClientFlag.PUSHED)
        return 0

    # ---- blocked clients (engine.blocking)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def serve_blocked(self, running: Client | None) -> cython.int:
        """Serve who waits for keys that have come, and tell those whose wait is over. running: the client whose command
        has just ended, which goes on behind this; what it was replied is complete."""
        waiter: Waiter
        if running is not None:
            running.flags &= ~cython.cast(cython.uint, ClientFlag.KEYS_READY)
            self.hand_in(running)
        while True:
            waiter = self.blocking.next_ended()
            if waiter is None:
                break
            self.end_wait(waiter)
        # in a hold nobody else's command runs; in a pause none of a client's
        while self.holder is None and not self.paused:
            waiter = self.blocking.next_ready()
            if waiter is None:
                break
            self.run_again(waiter)
        if running is not None:
            self.adopt(running)
            self.started = ticks()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_again(self, waiter: Waiter) -> cython.int:
        """A key that a client was blocked on has come: its command is checked and run as if it had been sent now, and
        counted with the time that it took before."""
        client: Client = waiter.client
        request: kept_p = waiter.kept.first
        planned: Planned
        self.blocking.leave(waiter)
        self.adopt(client)
        flags: cython.uint = client.flags
        self.plan_kept(request, cython.address(planned))
        self.context.failed = False
        self.reply_start = self.reply.len
        self.started = ticks() - waiter.ticks
        self.blocking.again = waiter
        try:
            if not self.refused(client, cython.address(planned), kept_args(request), request.argc):
                self.run_kept(client, request)
        finally:
            self.blocking.again = None
        if self.journal.active:
            self.journal.unit_over()
        return self.go_on(client, flags)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end_wait(self, waiter: Waiter) -> cython.int:
        """A client is blocked no more, and was not served: it is told so."""
        client: Client = waiter.client
        c: command_p = waiter.kept.first.command
        client.flags &= ~cython.cast(cython.uint, ClientFlag.BLOCKED)
        self.reply.resp = client.resp
        self.reply_start = self.reply.len
        c.calls += 1
        c.ticks += waiter.ticks
        if self.stats.tracking:
            count_latency(c, self.stats.ns(waiter.ticks))
        if waiter.error is None:
            self.reply.value(NULL_ARRAY if waiter.answer is None else waiter.answer())
        else:
            c.failed += 1
            self.reply.error(waiter.error)
            self.stats.count_error(waiter.error)
        return self.go_on(client, client.flags)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self, client: Client, before: cython.uint) -> cython.int:
        """A client's blocking command is over, or has blocked again: its reply is due, what it sent since is fed."""
        client.flags &= ~cython.cast(cython.uint, ClientFlag.KEYS_READY)
        if client.flags:
            self.settle_flags(client, before)
        self.hand_in(client)
        if not client.flags & ClientFlag.BLOCKED:
            client.transport.pause_reading()
            client.transport.resume_reading()       # feeds what is left over
        return 0

    def end_of_batch(self) -> None:
        """The reactor has served all that were ready: nothing stays undone, and the replies leave."""
        if self.blocking.is_pending():
            self.serve_blocked(None)
        self.send_all()
