"""The commands that this engine has: name -> row of the table + handler + statistics.

A command exists once it is registered here with one of two forms of handler:

    hot     cfunc  handler(ctx, argv, argc)        slices in, writes its reply and finds its keys itself
    plain   def    handler(server, client, args)   bytes in, a Python value out (wire/values.py says how it is sent)

Everything about a command but its handler is in its row of table.py. A subcommand is registered under
"container|name"; its container needs a row but no handler.
"""
from collections.abc import Callable

import cython
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.shardd.base.clock import ticks_per_us
from cython.cimports.shardd.commands.context import Handler
from cython.cimports.shardd.commands.registry import (
    CMD_ADMIN, CMD_CONTAINER, CMD_DENYOOM, CMD_ENDS_MULTI, CMD_EXEC, CMD_FAST, CMD_LOADING, CMD_MOVABLE, CMD_NO_AUTH,
    CMD_NO_MULTI, CMD_NOT_QUEUED, CMD_PROTECTED, CMD_PUBSUB, CMD_READONLY, CMD_SKIP_SLOWLOG, CMD_STALE, CMD_SUBCOMMAND,
    CMD_SUBSCRIBED, CMD_WRITE, LATENCY_DIGITS, Command)
from cython.cimports.shardd.structures.histogram import histogram_of, tally_free
from cython.cimports.shardd.structures.names import NameTable
from cython.cimports.shardd.wire.request import Arg

from shardd.commands import table

command_p = cython.typedef(cython.pointer(Command))

CAPACITY = cython.declare(cython.int, 1024)         # as many as there can be names

_FLAGS: dict = {
    "write": CMD_WRITE, "readonly": CMD_READONLY, "denyoom": CMD_DENYOOM, "admin": CMD_ADMIN, "no_auth": CMD_NO_AUTH,
    "loading": CMD_LOADING, "stale": CMD_STALE, "fast": CMD_FAST, "skip_slowlog": CMD_SKIP_SLOWLOG,
    "protected": CMD_PROTECTED, "no_multi": CMD_NO_MULTI, "pubsub": CMD_PUBSUB,
}
# what Redis's processCommand lists by name
_ENDS_MULTI: frozenset = frozenset(("exec", "discard", "quit", "reset"))
_NOT_QUEUED: frozenset = _ENDS_MULTI | {"multi", "watch"}
_SUBSCRIBED: frozenset = frozenset((
    "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe", "ping", "quit", "reset"))


@cython.final
@cython.cclass
class Registry:
    """Commands by name."""

    def __cinit__(self):
        self.commands = cython.cast(command_p, calloc(CAPACITY, cython.sizeof(Command)))
        if self.commands == cython.NULL:
            raise MemoryError
        self.known = NameTable()
        self.rows = []
        self.full_names = []
        self.handlers = []

    def __dealloc__(self):
        i: cython.int
        if self.commands != cython.NULL:
            for i in range(CAPACITY):
                tally_free(cython.address(self.commands[i].latency))
        free(self.commands)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, row: object, hot: Handler, plain: object) -> cython.int:
        number: cython.int = self.known.add(row.name.encode())
        c: command_p = cython.address(self.commands[number])
        assert number < CAPACITY
        c.index = number
        c.arity = row.arity
        for flag, bit in _FLAGS.items():
            if flag in row.flags:
                c.flags |= cython.cast(cython.uint, bit)
        if row.name in _SUBSCRIBED:
            c.flags |= CMD_SUBSCRIBED
        if row.movablekeys:
            c.flags |= CMD_MOVABLE
        if row.name in _NOT_QUEUED:
            c.flags |= CMD_NOT_QUEUED
        if row.name in _ENDS_MULTI:
            c.flags |= CMD_ENDS_MULTI
        if row.name == "exec":
            c.flags |= CMD_EXEC
        if row.subcommands:
            c.flags |= CMD_CONTAINER
        c.first_key, c.last_key, c.key_step = row.first_key, row.last_key, row.key_step
        if "|" in row.name:
            c.flags |= CMD_SUBCOMMAND
        c.hot = hot
        self.rows.append(row)
        self.full_names.append(row.name)
        self.handlers.append(plain)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hot(self, name: str, handler: Handler) -> cython.int:
        """Register a hot handler; `name` may be "container|subcommand". KeyError where the table has no such row."""
        row = table.find(name)
        if row is None:
            raise KeyError(name)
        self.add_container(name)
        return self.add(row, handler, None)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add_container(self, name: str) -> cython.int:
        """See that the container of a subcommand is known."""
        container: str = name.partition("|")[0]
        if self.known.number(container.encode()) < 0 and container != name:
            self.add(table.COMMANDS[container], cython.NULL, None)
        return 0

    def add_row(self, row: object, handler: object) -> None:
        """Register a command that is not in Redis's table: a Row, and a plain handler or None."""
        self.add(row, cython.NULL, handler)

    def plain(self, name: str, handler: Callable) -> None:
        """Register a plain handler; `name` may be "container|subcommand". KeyError where the table has no such row."""
        row = table.find(name)
        if row is None:
            raise KeyError(name)
        number: int = self.known.number(name.encode())
        if number >= 0:
            # the container of a subcommand that came earlier
            assert self.handlers[number] is None, f"{name} is registered twice"
            self.handlers[number] = handler
            return
        self.add_container(name)
        self.add(row, cython.NULL, handler)

    @cython.cfunc
    @cython.exceptval(check=False)
    def lookup(self, argv: cython.pointer(Arg), argc: cython.int) -> command_p:
        """The command that a request asks for: the subcommand if it names one that exists, its container otherwise."""
        number: cython.int = self.known.find(argv[0].p, argv[0].n)
        sub: cython.int
        c: command_p
        if number < 0:
            return cython.NULL
        c = cython.address(self.commands[number])
        if c.flags & CMD_SUBCOMMAND:
            # "client|list" is a name in the table, but nobody may call it so
            return cython.NULL
        if c.flags & CMD_CONTAINER and argc > 1:
            sub = self.known.find_pair(number, argv[1].p, argv[1].n)
            if sub >= 0:
                return cython.address(self.commands[sub])
        return c

    def names(self) -> frozenset:
        """All names, "container|subcommand" included."""
        return frozenset(self.full_names)

    def statistics(self) -> list:
        """(name, calls, microseconds, rejected, failed) of each command that was asked for."""
        i: cython.int
        c: command_p
        out: list = []
        for i in range(self.known.count):
            c = cython.address(self.commands[i])
            if c.calls or c.rejected or c.failed:
                out.append((self.full_names[i], c.calls, int(c.ticks / ticks_per_us()), c.rejected, c.failed))
        return out

    def total_us(self) -> int:
        """Microseconds that all calls of all commands took."""
        i: cython.int
        total: uint64_t = 0
        for i in range(self.known.count):
            total += self.commands[i].ticks
        return int(total / ticks_per_us())

    def latencies(self) -> dict:
        """The distribution of each command's calls, in nanoseconds, by full name; of those that were called."""
        i: cython.int
        out: dict = {}
        for i in range(self.known.count):
            if self.commands[i].latency.counts != cython.NULL:
                out[self.full_names[i]] = histogram_of(cython.address(self.commands[i].latency), LATENCY_DIGITS)
        return out

    def reset_statistics(self) -> None:
        """Forget all counts (CONFIG RESETSTAT)."""
        i: cython.int
        for i in range(self.known.count):
            tally_free(cython.address(self.commands[i].latency))
            self.commands[i].calls = self.commands[i].ticks = 0
            self.commands[i].rejected = self.commands[i].failed = 0
