"""Dispatch: the only caller of command handlers.

What must hold for every command is decided here, in this order, and nowhere else:

    known? -> its arity -> authenticated? -> this connection may? -> our slot? -> memory? -> handler
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
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import ticks_per_us, unix_ms
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import load64, prefetch, ticks
from cython.cimports.shardd.commands.args import arg_bytes
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import (
    CMD_CONTAINER, CMD_DENYOOM, CMD_MOVABLE, CMD_NO_AUTH, CMD_PUBSUB, CMD_SUBCOMMAND, CMD_SUBSCRIBED, CMD_WRITE, Command,
    Registry, count_latency)
from cython.cimports.shardd.engine.dispatch import Planned
from cython.cimports.shardd.engine.slot_stats import SlotStats
from cython.cimports.shardd.engine.stats import Stats
from cython.cimports.shardd.keyspace.database import Database, Keyspace, key_init
from cython.cimports.shardd.keyspace.eviction import EVICT_FAIL, Evictor
from cython.cimports.shardd.net.channels import SHARD_CHANNEL
from cython.cimports.shardd.net.client import Client, ClientFlag
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.structures.table import table_prefetch_bucket, table_prefetch_entry
from cython.cimports.shardd.wire.reply import Reply
from cython.cimports.shardd.wire.request import Arg, Request, RequestParser

from shardd.base import errors, limits
from shardd.commands import table
from shardd.net import pause
from shardd.wire.values import NO_REPLY

command_p = cython.typedef(cython.pointer(Command))
planned_p = cython.typedef(cython.pointer(Planned))
arg_p = cython.typedef(cython.pointer(Arg))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

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
class Dispatcher:
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
        self.slot_stats = SlotStats()
        self.channels = context.channels
        self.parser = RequestParser()
        self.due = []
        self.postponed = {}
        self.clock_every = cython.cast(uint64_t, CLOCK_US * ticks_per_us())
        memset(self.owned, 1, 16384)

    def __dealloc__(self):
        free(self.planned)
        free(self.due_ends)

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
        return self.paused == PAUSE_EVERYTHING or c.flags & CMD_WRITE

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def postpone(self, client: Client) -> cython.int:
        """The client's input waits for the end of the pause; what it has asked before is answered."""
        self.postponed[client.id] = client
        client.transport.pause_reading()
        return self.hand_in(client)

    def resume_postponed(self) -> None:
        """A pause is over, or less strict: everybody's next command may try again."""
        waiting = list(self.postponed.values())
        self.postponed.clear()
        for client in waiting:
            client.transport.resume_reading()

    def forget_postponed(self, client: Client) -> None:
        """A connection is gone."""
        self.postponed.pop(client.id, None)

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
    def run(self, client: Client) -> cython.int:
        """Run all requests that the parser found, in order. Stops early, before number `next`, where the connection is
        to be closed, or a proxy does not take its replies."""
        context: Context = self.context
        total: cython.int = self.parser.count
        end: cython.int
        self.read_clock()
        self.next = 0
        self.ran = cython.NULL
        context.client = client
        context.db = self.keyspace.databases[client.db]
        self.reply.resp = client.resp
        self.keyspace.no_touch = (client.flags & ClientFlag.NO_TOUCH) != 0
        while self.next < total:
            end = self.next + BATCH if total - self.next > BATCH else total
            self.plan(self.next, end - self.next)
            first: cython.int = self.next
            while self.next < end:
                try:
                    self.run_from(client, first, end)
                    break
                except errors.CommandError as error:
                    self.fail(client, self.next - first, error.text)
                except MemoryError:
                    self.fail(client, self.next - first, errors.OOM_ALLOCATION)
                self.settle_flags(client, client.flags)
                self.next += 1
            if client.transport is None or client.transport.closing or client.flags & ClientFlag.CLOSE_AFTER_REPLY:
                break
            if self.is_full(client):
                break
        if self.ran != cython.NULL:
            client.last_command = self.registry.full_names[self.ran.index]
        client.commands += self.next
        self.stats.commands += self.next
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
        if new < 2 or db.slots == cython.NULL:
            return 0
        for i in range(count):
            p = cython.address(self.planned[i])
            if p.keyed:
                table_prefetch_bucket(cython.address(db.slots[p.key.slot].t), p.key.hash)
        for i in range(count):
            p = cython.address(self.planned[i])
            if p.keyed:
                table_prefetch_entry(cython.address(db.slots[p.key.slot].t), p.key.hash)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_from(self, client: Client, first: cython.int, end: cython.int) -> cython.int:
        """Run planned requests from self.next to `end`; whoever catches an exception finds self.next at the culprit.

        `first`: the request that planned[0] is about.
        """
        context: Context = self.context
        keyspace: Keyspace = self.keyspace
        reply: Reply = self.reply
        p: planned_p
        c: command_p
        argv: arg_p
        argc: cython.int
        dirty: uint64_t
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
                context.key = p.key
                context.rewritten = False
                self.ran = c
                dirty = keyspace.dirty
                if c.hot != cython.NULL:
                    c.hot(context, argv, argc)
                else:
                    self.run_plain(client, c, argv, argc)
                if keyspace.dirty != dirty and context.journal.active and c.flags & CMD_WRITE and not context.rewritten:
                    context.journal.append(context.db.id, argv, argc)
                self.account(client, p, argv, argc)
            if client.flags:
                self.settle_flags(client, flags)
                if client.flags & ClientFlag.CLOSE_AFTER_REPLY:
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
        c.calls += 1
        c.ticks += spent
        if stats.tracking:
            count_latency(c, stats.ns(spent))
        if self.context.failed:
            c.failed += 1
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
        command it was."""
        log: object = self.stats.slowlog
        token: bytes = log.token(log.next_id - 1)
        return self.reply.insert(self.reply_start, b">2\r\n$4\r\nslow\r\n$%d\r\n%b\r\n" % (len(token), token))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def count_slots(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int,
                    spent: uint64_t) -> cython.int:
        """Count a command's cost for its slot. Only an internal one may have keys of several: they get equal parts, and
        the first one the rest."""
        c: command_p = p.command
        i: cython.int
        bytes_in: uint64_t = self.parser.requests[self.next].raw_n
        bytes_out: uint64_t = self.reply.len - self.reply_start
        places: list
        if client.flags & (ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP):
            bytes_out = 0
        if p.keyed and (not client.flags & ClientFlag.INTERNAL or c.first_key == c.last_key):
            self.slot_stats.add(p.key.slot, spent, bytes_in, bytes_out)
            return 0
        if not p.keyed and not c.flags & CMD_MOVABLE:
            return 0
        places = table.route_keys(self.registry.rows[c.index], [arg_bytes(argv + i) for i in range(argc)])
        if not places:
            return 0
        if not client.flags & ClientFlag.INTERNAL:
            del places[1:]
        parts: uint64_t = len(places)
        for i in places:
            self.slot_stats.add(key_slot(argv[i].p, argv[i].n), spent // parts, bytes_in // parts, bytes_out // parts)
        i = places[0]
        self.slot_stats.add(key_slot(argv[i].p, argv[i].n), spent % parts, bytes_in % parts, bytes_out % parts)
        return 0

    # ---- replies

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hand_in(self, client: Client) -> cython.int:
        """The replies since `mark` are this client's, and due at the end of the reactor's batch."""
        count: cython.Py_ssize_t = len(self.due)
        if self.reply.len == self.mark:
            return 0
        if count == self.due_cap:
            self.due_ends = cython.cast(cython.pointer(cython.Py_ssize_t), regrow(
                self.due_ends, (count * 2 + 64) * cython.sizeof(cython.Py_ssize_t)))
            self.due_cap = cython.cast(cython.int, count * 2 + 64)
        self.due.append(client)
        self.due_ends[count] = self.mark = self.reply.len
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def forget(self) -> cython.int:
        """The running client's replies go nowhere."""
        return self.reply.truncate(self.mark)

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def send_all(self) -> cython.int:
        """Send what is due, client by client.

        The reactor calls it behind each batch of events: all requests are read before the first reply leaves, so that a
        process of many connections is woken once by many replies, not by each.
        """
        i: cython.Py_ssize_t = 0
        start: cython.Py_ssize_t = 0
        due: list = self.due
        client: Client
        self.foreseen_n = 0
        self.turn += 1
        if self.context.journal.active:     # an effect is with its readers before its reply is on the way
            self.context.journal.flush()
        if not due:
            return self.send_messages() if self.channels.waiting else 0
        try:
            while i < len(due):
                self.send(due[i], self.reply.buf + start, self.due_ends[i] - start)
                start = self.due_ends[i]
                i += 1
        except BaseException:
            # whoever misses replies must not go on as if there had been none
            for client in due[i:]:
                client.transport.close("replies were lost")
            raise
        finally:
            # whatever happened, nothing is sent twice
            due.clear()
            self.mark = 0
            self.reply.clear()
        return self.send_messages() if self.channels.waiting else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_messages(self) -> cython.int:
        """Send what was published: it comes behind all replies, since what came before a reply was put before it."""
        waiting: list = self.channels.waiting
        client: Client
        data: bytes
        self.channels.waiting = []
        for client in waiting:
            data = self.channels.take(client)
            if data:
                self.send(client, cython.cast(cython.pointer(cython.const[uint8_t]), cython.cast(cython.p_char, data)),
                          len(data))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_messages(self, client: Client) -> cython.int:
        """What was published for the running client comes here in the order of its replies."""
        data: bytes = self.channels.take(client)
        try:
            self.reply.raw(cython.cast(cython.p_char, data), len(data))
        except MemoryError:
            client.transport.close("no memory for a message")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send(self, client: Client, p: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> cython.int:
        """Send one client its replies. Without the memory to queue them the connection ends: a part may be out."""
        if client.transport.closing:
            return 0
        self.stats.bytes_out += n
        try:
            client.transport.write(p, n)
        except MemoryError:
            client.transport.close("no memory for replies")
        if client.transport.out_len and not client.transport.closing:
            self.context.server.limits.check_output(client)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def settle_flags(self, client: Client, before: cython.uint) -> cython.int:
        """After a command: drop a reply that CLIENT REPLY silenced, let what was published meanwhile follow, and end
        ASKING. `before`: the flags it found."""
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
            # no more is copied than the error can show
            return self.reject(c, errors.unknown_command(
                _head(argv), [_head(argv + i) for i in range(1, argc if argc < SHOWN_MAX else SHOWN_MAX)]))
        if c.flags & CMD_CONTAINER and (argc > 1 or self.registry.handlers[c.index] is None):
            return self.refuse_container(c, argv, argc)
        if (c.arity > 0 and argc != c.arity) or argc < -c.arity:
            return self.reject(c, errors.wrong_arity(self.registry.full_names[c.index]))
        if not client.authenticated and not c.flags & CMD_NO_AUTH:
            return self.reject(c, errors.NOAUTH)
        if client.flags & ClientFlag.HOLD_LOST and self.registry.full_names[c.index] != "shardd|release":
            return self.reject(c, errors.HOLD_OVER)
        if self.cluster and (p.keyed or c.flags & CMD_MOVABLE) and self.slots_refused(client, p, argv, argc):
            return 1
        if self.evictor.is_over() and self.evictor.perform() == EVICT_FAIL and c.flags & CMD_DENYOOM:
            return self.reject(c, errors.OOM)
        if client.flags & ClientFlag.PUBSUB and client.resp == 2 and not c.flags & CMD_SUBSCRIBED:
            return self.reject(c, errors.only_when_not_subscribed(self.registry.full_names[c.index]))
        return 0

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
    def slots_refused(self, client: Client, p: planned_p, argv: arg_p, argc: cython.int) -> cython.int:
        """Cluster mode: all keys in one slot, and that slot ours. Internal connections may span slots that are ours,
        and are served while the cluster is down: behind a proxy, one sick engine is no concern of the others' clients.

        As in Redis, keys of two slots are told so before anybody looks whose slots they are.
        """
        c: command_p = p.command
        i: cython.int = c.first_key
        last: cython.int = c.last_key if c.last_key >= 0 else argc + c.last_key
        slot: uint32_t
        if c.flags & CMD_PUBSUB and self.channels_when_down:
            pass
        elif self.down and not client.flags & ClientFlag.INTERNAL and (self.down == 1 or c.flags & CMD_WRITE):
            return self.reject(c, errors.CLUSTERDOWN if self.down == 1 else errors.CLUSTERDOWN_READ_ONLY)
        if not c.flags & CMD_MOVABLE:
            slot = p.key.slot
            while i + c.key_step <= last and i + c.key_step < argc:
                i += c.key_step
                if self.slot_refused(client, c, slot, argv + i):
                    return 1
            return 0 if self.owned[slot] else self.wrong_slot(c, client, slot)
        places: list = table.route_keys(self.registry.rows[c.index], [arg_bytes(argv + i) for i in range(argc)])
        if places:
            i = places[0]
            slot = key_slot(argv[i].p, argv[i].n)
            for i in places:
                if self.slot_refused(client, c, slot, argv + i):
                    return 1
            return 0 if self.owned[slot] else self.wrong_slot(c, client, slot)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def slot_refused(self, client: Client, c: command_p, slot: uint32_t, key: arg_p) -> cython.int:
        """A further key, where the first is in `slot`."""
        other: uint32_t = key_slot(key.p, key.n)
        if other == slot:
            return 0
        if not client.flags & ClientFlag.INTERNAL:
            return self.reject(c, errors.CROSSSLOT)
        return 0 if self.owned[other] else self.wrong_slot(c, client, other)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wrong_slot(self, c: command_p, client: Client, slot: uint32_t) -> cython.int:
        return self.reject(c, self.announce(client, slot))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_plain(self, client: Client, c: command_p, argv: arg_p, argc: cython.int) -> cython.int:
        """Run a handler in the plain form; what it changed about its client counts for the next command."""
        i: cython.int
        client.last_command = self.registry.full_names[c.index]
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
    def fail(self, client: Client, number: cython.int, text: bytes) -> cython.int:
        """A command raised: its reply so far is replaced by the error. number: its place in `planned`."""
        p: planned_p = cython.address(self.planned[number])
        r: cython.pointer(Request) = cython.address(self.parser.requests[self.next])
        self.reply.truncate(self.reply_start)
        self.reply.error(text)
        self.stats.count_error(text)
        self.context.failed = True
        if p.command != cython.NULL:
            self.account(client, p, self.parser.args + r.first, r.argc)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reject(self, c: command_p, text: bytes) -> cython.int:
        """A command may not run: reply with the error and count it. Always 1."""
        if c != cython.NULL:
            c.rejected += 1
        self.reply.error(text)
        self.stats.count_error(text)
        return 1
