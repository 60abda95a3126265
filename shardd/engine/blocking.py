"""Clients that wait for keys: BLPOP and all that block, whatever type they wait for.

                      wait()                                             key_touched: the key holds the type
    [ running ] ----------------> [ blocked ] --------------------------------> [ ready ]
         |                          |  |  |                                         |  next_ready(), after the
         |                          |  |  +-- time-out, CLIENT UNBLOCK,             |  command or EXEC as a whole
         |                          |  |      slot gone: end() -> [ ended ]         v
         v                          |  |                             |       the command is run again, from the start
      replied <---------------------+--+-----------------------------+---<---------+     (it may block again: at the end
                    connection lost: forget(), no reply                                   of the lines, same time-out)

    tables[db]   (type, key) -> line: Waiter, Waiter ...        a client stands in the line of each of its keys
    ready        (db, key), (db, key) ...                       in the order in which they came to hold something

Served as in Redis: the keys in order of readiness, and for each key the longest waiting first, as long as it holds
something, and nobody twice. Serving is running the kept command again, so what it pops, replies, tells the journal
(LPOP, not BLPOP) and counts is its handler's business; this module knows nothing about lists. A new kind of command
that blocks calls Context.waits.wait and is written so that it can be run again.

Owns: who waits for what and until when. Does not own the running (engine.dispatch asks for the next one), the timer
(engine.cron is told the earliest time-out) or the input of a blocked client, which stays where it is (engine.session).

Invariants: a Waiter whose client is None is in no line. A client has ClientFlag.BLOCKED exactly as long as it is in
by_client or in `ended`. Each place in a line is counted by Keyspace.observe. What is ready or ended is seen to before
the loop sleeps, but for a hold or a pause, which serving waits for. Client and Waiter refer to each other until
leave() or forget().
"""
import heapq
from collections import OrderedDict, deque

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t
from cython.cimports.shardd.base.clock import monotonic_ms
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.context import Context, Waits
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.engine.kept import Kept
from cython.cimports.shardd.keyspace.database import Database, Key, Keyspace, key_init
from cython.cimports.shardd.keyspace.entry import entry_type
from cython.cimports.shardd.net.client import Client, ClientFlag
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

WAIT_BYTES = cython.declare(cython.Py_ssize_t, limits.WATCH_BYTES)      # a place in a line is much like a watched key
STALE_MAX = cython.declare(cython.Py_ssize_t, 256)      # time-outs of those that wait no more, that may be left


@cython.final
@cython.cclass
class Waiter:
    """One blocked client."""


@cython.final
@cython.cclass
class Blocking(Waits):
    """All blocked clients of one engine."""

    def __init__(self, context: Context, registry: Registry) -> None:
        self.context, self.registry, self.keyspace = context, registry, context.keyspace
        self.tables = [{} for _ in range(len(self.keyspace.databases))]
        self.by_client = {}
        self.deadlines = []
        self.ready = deque()
        self.ready_keys = set()
        self.ended = deque()
        self.on_deadline = None
        self.keyspace.observers.append(self)
        context.waits = self

    # --- figures ----------------------------------------------------------------------------------------------------

    @property
    def clients(self) -> int:
        """How many clients are blocked; connections within the tree are not counted."""
        return len(self.by_client) - self.internal

    @property
    def keys(self) -> int:
        """How many keys are waited for, each once, be it through a proxy."""
        waiter: Waiter
        found: set = set()
        for waiter in self.by_client.values():
            for key, slot in waiter.keys:
                found.add((waiter.db, key))
        return len(found)

    # --- coming and going -------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wait(self, ctx: Context, argv: arg_p, argc: cython.int, first: cython.int, count: cython.int,
             type: uint32_t, timeout_ms: int64_t) -> cython.int:
        waiter: Waiter
        client: Client = ctx.client
        table: dict = self.tables[ctx.db.id]
        k: Key
        i: cython.int
        key: bytes
        if ctx.in_exec:
            return ctx.reply.null_array()
        waiter = Waiter()
        waiter.client, waiter.db, waiter.type, waiter.keys, waiter.kept = client, ctx.db.id, type, [], Kept()
        waiter.kept.add(self.registry.lookup(argv, argc), argv, argc, 0)
        if self.again is not None:
            waiter.deadline_ms = self.again.deadline_ms
        elif timeout_ms:
            waiter.deadline_ms = monotonic_ms() + timeout_ms
        self.by_client[client] = waiter
        self.internal += client.flags & ClientFlag.INTERNAL != 0
        self.timed += waiter.deadline_ms != 0
        client.flags |= ClientFlag.BLOCKED
        client.keep(waiter.kept.block_bytes, 0)
        for i in range(first, first + count):
            key_init(cython.address(k), argv[i].p, argv[i].n)
            key = k.p[:k.n]
            line = table.get((type, key))
            if line is None:
                line = table[type, key] = OrderedDict()
            elif waiter in line:
                continue
            self.keyspace.observe(k.slot)
            line[waiter] = None
            waiter.keys.append((key, k.slot))
            client.keep(0, WAIT_BYTES + k.n)
        ctx.failed = True       # statistics look at what is not over (engine.dispatch, account)
        if waiter.deadline_ms:
            self.note_deadline(waiter)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def leave(self, waiter: Waiter) -> cython.int:
        """Out of all lines: its client waits no more."""
        client: Client = waiter.client
        table: dict = self.tables[waiter.db]
        key: bytes
        for key, slot in waiter.keys:
            line = table[waiter.type, key]
            del line[waiter]
            if not line:
                del table[waiter.type, key]
            self.keyspace.stop_observing(slot)
            client.keep(0, -WAIT_BYTES - len(key))
        client.keep(-waiter.kept.block_bytes, 0)
        client.flags &= ~cython.cast(cython.uint, ClientFlag.BLOCKED)
        del self.by_client[client]
        self.internal -= client.flags & ClientFlag.INTERNAL != 0
        self.timed -= waiter.deadline_ms != 0
        waiter.client = None
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end(self, waiter: Waiter, error: bytes | None) -> cython.int:
        """It waits no more, without having been served. error: what it is told, None: a null array."""
        client: Client = waiter.client
        self.leave(waiter)
        waiter.client = client          # until it is told
        client.flags |= ClientFlag.BLOCKED      # so does its input
        waiter.error = error
        self.ended.append(waiter)
        if self.context.client is not None:
            self.context.client.flags |= ClientFlag.KEYS_READY
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def forget(self, client: Client) -> cython.int:
        """A connection is gone."""
        waiter: Waiter = self.by_client.get(client)
        if waiter is not None:
            self.leave(waiter)
        for waiter in self.ended:
            if waiter.client is client:
                waiter.client = None
        return 0

    @cython.cfunc
    def waiter_of(self, client: Client) -> Waiter:
        return self.by_client.get(client)

    def unblock(self, client: Client, failing: bool) -> bool:
        """CLIENT UNBLOCK; whether the client waited."""
        waiter: Waiter = self.by_client.get(client)
        if waiter is None or client.transport.closing:
            return False
        self.end(waiter, errors.UNBLOCKED if failing else None)
        return True

    def answer(self, client: Client, error: bytes | None = None) -> bool:
        """End the wait of a client that waits for no key, but for an answer (Waiter.answer), or has it told an error;
        whether it did wait so."""
        waiter: Waiter = self.by_client.get(client)
        if waiter is None or waiter.answer is None or client.transport.closing:
            return False
        self.end(waiter, error)
        return True

    def slots_gone(self, owned: bytes, error_of: object) -> None:
        """Who waits for a key of a slot that is no longer ours is told where it is. owned: 16,384 bytes of 0 or 1;
        error_of: callable(client, slot) -> the error."""
        waiter: Waiter
        for waiter in list(self.by_client.values()):
            for key, slot in waiter.keys:
                if not owned[slot]:
                    self.end(waiter, error_of(waiter.client, slot))
                    break

    # --- time-outs --------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note_deadline(self, waiter: Waiter) -> cython.int:
        entry: tuple
        if len(self.deadlines) > STALE_MAX + 2 * self.timed:
            self.deadlines = [entry for entry in self.deadlines if self.is_timed(entry)]
            heapq.heapify(self.deadlines)
        self.number += 1
        # not the waiter itself: its command may be a long one, and the time-out far away
        heapq.heappush(self.deadlines, (waiter.deadline_ms, self.number, waiter.client))
        if self.deadlines[0][1] == self.number and self.on_deadline is not None:
            self.on_deadline(waiter.deadline_ms)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def is_timed(self, entry: tuple) -> cython.bint:
        """Whether the client of an entry of `deadlines` waits until then, and not for something later."""
        waiter: Waiter = self.by_client.get(entry[2])
        return waiter is not None and waiter.deadline_ms == entry[0]

    def time_out(self, now_ms: int64_t) -> int64_t:
        """End the wait of whoever is due at now_ms (monotonic); when the next one is, 0: nobody."""
        entry: tuple
        while self.deadlines:
            entry = self.deadlines[0]
            if self.is_timed(entry):
                if entry[0] > now_ms:
                    return entry[0]
                self.end(self.by_client[entry[2]], None)
            heapq.heappop(self.deadlines)
        return 0

    # --- readiness --------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def key_touched(self, db: Database, k: key_p) -> cython.int:
        key: bytes
        if not self.tables[db.id] or not db.is_live(k):
            return 0
        key = k.p[:k.n]
        if (entry_type(db.place_of(k)[0]), key) in cython.cast(dict, self.tables[db.id]):
            self.mark_ready(db.id, key)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def swapped(self, one: Database, other: Database) -> cython.int:
        """Keys have come without having been touched."""
        db: Database
        k: Key
        key: bytes
        for db in (one, other):
            for type, key in cython.cast(dict, self.tables[db.id]):
                key_init(cython.address(k), cython.cast(const_bytes, cython.cast(cython.p_char, key)), len(key))
                if db.is_live(cython.address(k)) and entry_type(db.place_of(cython.address(k))[0]) == type:
                    self.mark_ready(db.id, key)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def mark_ready(self, db: cython.int, key: bytes) -> cython.int:
        if (db, key) not in self.ready_keys:
            self.ready_keys.add((db, key))
            self.ready.append((db, key))
        if self.context.client is not None:
            self.context.client.flags |= ClientFlag.KEYS_READY
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_pending(self) -> cython.bint:
        """Whether somebody is to be served or told."""
        return len(self.ready) > 0 or len(self.ended) > 0

    @cython.cfunc
    def next_ended(self) -> Waiter:
        """Whom to tell that its wait is over; None: nobody."""
        waiter: Waiter
        while self.ended:
            waiter = self.ended.popleft()
            if waiter.client is not None and not waiter.client.transport.closing:
                return waiter
        return None

    @cython.cfunc
    def line(self) -> object:
        """The line of those that can do with what the key whose turn it is holds now; None where there is none."""
        db: Database = self.keyspace.databases[self.turn_db]
        k: Key
        e: bytep
        table: dict = self.tables[self.turn_db]
        if not table:
            return None
        key_init(cython.address(k), cython.cast(const_bytes, cython.cast(cython.p_char, self.turn_key)),
                 len(self.turn_key))
        e = db.find(cython.address(k))
        return None if e == cython.NULL else table.get((entry_type(e), self.turn_key))

    @cython.cfunc
    def next_ready(self) -> Waiter:
        """Whose command to run again now, once it has left its lines; None: nobody's.

        No key is served to more clients than were in its line when its turn began, so that who blocks again does not
        come again.
        """
        waiter: Waiter
        while True:
            if self.turn_left > 0:
                line = self.line()
                if line is not None:
                    self.turn_left -= 1
                    waiter = next(iter(line))
                    if not waiter.client.transport.closing:
                        return waiter
                    self.leave(waiter)
                    continue
                self.turn_left = 0
            if not self.ready:
                return None
            self.turn_db, self.turn_key = self.ready.popleft()
            self.ready_keys.discard((self.turn_db, self.turn_key))
            line = self.line()
            self.turn_left = 0 if line is None else len(line)
