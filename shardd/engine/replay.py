"""Replay: runs the effects of an append-only file, at full speed.

An effect was checked when it happened, so nothing is checked again but what keeps a damaged file from doing harm: that
the command exists, that it is one of those that change data, or SELECT, and that it has enough words. No memory limit,
no slot, no user, no statistics, no event and no journal; nothing expires, since the file says itself what went: the
clock of the commands stands at 0 meanwhile, as if all expiries were to come (Redis looks at `server.loading` for that).

Owns: the client in whose name effects are run, and the prefetching, as engine.dispatch does it. Does not own the file
(journal.aof_reader), nor what to load (engine.aof_load).

An effect that ends with an error is logged and counted, and loading goes on, as in Redis: the data is what the file
makes of it. But for a database that does not exist: Redis runs what follows in the one before.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import prefetch
from cython.cimports.shardd.commands.args import arg_bytes
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import CMD_CONTAINER, CMD_READONLY, CMD_WRITE, Command, Registry
from cython.cimports.shardd.engine.planned import Planned, ask_for_entries
from cython.cimports.shardd.journal.aof_reader import COMMANDS, AofReader, Effect
from cython.cimports.shardd.keyspace.database import Database, key_init
from cython.cimports.shardd.journal.stream import Stream
from cython.cimports.shardd.net.client import Client
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors
from shardd.base.errors import CommandError, LoadError

arg_p = cython.typedef(cython.pointer(Arg))
command_p = cython.typedef(cython.pointer(Command))
planned_p = cython.typedef(cython.pointer(Planned))

BATCH = cython.declare(cython.int, 64)
ERRORS_LOGGED = cython.declare(cython.int, 10)


@cython.final
@cython.cclass
class Replay:
    """Runs effects on a server's keyspace, from database 0 on. One per file: a SELECT holds to the file's end."""

    def __init__(self, server: object) -> None:
        self.server = server
        self.context = server.context
        self.registry = server.registry
        self.client = Client()
        self.client.authenticated = True

    def run(self, reader: AofReader, deadline_us: int) -> int:
        """Run effects until the deadline (monotonic), but some, or as far as the file goes: what was found last.

        Raises LoadError for what cannot be run, OSError where the file cannot be read.
        """
        context: Context = self.context
        until_us: int64_t = deadline_us
        mask: cython.uint = context.keyspace.notify_mask
        client: Client = context.client
        journal: Stream = self.server.journal
        listened: cython.bint = journal.active
        now_ms: int64_t = context.keyspace.now_ms
        found: cython.int = COMMANDS
        at: cython.int
        context.client = self.client
        context.db = context.keyspace.databases[self.client.db]
        context.in_exec = True          # nothing may wait
        context.keyspace.notify_mask = 0
        context.keyspace.now_ms = 0
        journal.active = False          # DEBUG LOADAOF: what is read from the log does not go there again
        try:
            while found == COMMANDS:
                found = reader.next()
                if found == COMMANDS:
                    for at in range(0, reader.count, BATCH):
                        self.batch(reader, at, min(reader.count - at, BATCH))
                    if monotonic_us() >= until_us:
                        break
        except MemoryError:
            raise LoadError("Out of memory while the append only file was loaded") from None
        finally:
            context.in_exec = False
            journal.active = listened
            context.keyspace.notify_mask = mask
            context.keyspace.now_ms = now_ms
            context.client = client
        return found

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def batch(self, reader: AofReader, first: cython.int, count: cython.int) -> cython.int:
        """Run up to BATCH effects."""
        i: cython.int
        e: cython.pointer(Effect)
        self.plan(reader, first, count)
        for i in range(count):
            e = cython.address(reader.effects[first + i])
            self.run_one(cython.address(self.planned[i]), reader.args + e.first, e.argc)
        self.effects += count
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def plan(self, reader: AofReader, first: cython.int, count: cython.int) -> cython.int:
        """Look up and hash, and ask for the memory that will be touched; see Dispatcher.plan."""
        i: cython.int
        p: planned_p
        argv: arg_p
        argc: cython.int
        db: Database = self.context.db
        for i in range(count):
            p = cython.address(self.planned[i])
            argv = reader.args + reader.effects[first + i].first
            argc = reader.effects[first + i].argc
            p.command = self.registry.lookup(argv, argc)
            p.keyed = p.command != cython.NULL and 0 < p.command.first_key < argc
            p.key.p = cython.NULL
            if p.keyed:
                key_init(cython.address(p.key), argv[p.command.first_key].p, argv[p.command.first_key].n)
                if db.slots != cython.NULL:
                    prefetch(cython.address(db.slots[p.key.slot]))
        ask_for_entries(db, self.planned, count)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_one(self, p: planned_p, argv: arg_p, argc: cython.int) -> cython.int:
        """Run one effect. LoadError, MemoryError."""
        context: Context = self.context
        c: command_p = p.command
        start: cython.Py_ssize_t = context.reply.len
        i: cython.int
        value: object = None
        if c == cython.NULL or c.flags & CMD_CONTAINER:
            raise LoadError(f"Unknown command '{errors.shown_text(arg_bytes(argv))}'")
        if (c.arity > 0 and argc != c.arity) or argc < -c.arity:
            raise LoadError(f"Wrong number of arguments for '{self.registry.full_names[c.index]}'")
        if not c.flags & (CMD_WRITE | CMD_READONLY) and self.registry.full_names[c.index] not in ("select", "ping"):
            raise LoadError(f"Command '{self.registry.full_names[c.index]}', which changes no data,")
        context.key = p.key
        context.rewritten = context.failed = False
        try:
            if c.hot != cython.NULL:
                c.hot(context, argv, argc)
            else:
                value = self.registry.handlers[c.index](self.server, self.client,
                                                        [arg_bytes(argv + i) for i in range(argc)])
                context.db = context.keyspace.databases[self.client.db]
                if isinstance(value, CommandError):
                    raise value
            if context.failed:
                self.note(c, context.reply.buf[start + 1:context.reply.len - 2])
        except CommandError as error:
            self.note(c, error.text)
        finally:
            context.reply.truncate(start)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note(self, c: command_p, text: bytes) -> cython.int:
        """An effect ended with an error. LoadError where it was to say which database the others are for."""
        if self.registry.full_names[c.index] in ("select", "swapdb"):
            raise LoadError(f"'{errors.shown_text(text)}' after '{self.registry.full_names[c.index]}', so that it is not "
                            "known which database the next effects are for (is the option databases smaller than it "
                            "was?),")
        self.errors += 1
        self.error = text
        if self.errors <= ERRORS_LOGGED:
            self.server.log.warning(
                "== CRITICAL == This server is sending an error to its AOF-loading-client: "
                f"'{errors.shown_text(text)}' after processing the command '{self.registry.full_names[c.index]}'")
        return 0
