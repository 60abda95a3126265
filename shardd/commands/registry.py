"""The commands that this engine has: name -> row of the table + handler + statistics.

A command exists once it is registered here with one of two forms of handler:

    hot     cfunc  handler(ctx, argv, argc)        slices in, writes its reply and finds its keys itself
    plain   def    handler(server, client, args)   bytes in, a Python value out (wire/values.py says how it is sent)

Everything about a command but its handler is in its row of table.py. A subcommand is registered under
"container|name"; its container needs a row but no handler.
"""
from collections.abc import Callable

import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.base.clock import ticks_per_us
from cython.cimports.shardd.commands.context import Handler
from cython.cimports.shardd.commands.registry import (
    CMD_ADMIN, CMD_CONTAINER, CMD_DENYOOM, CMD_FAST, CMD_LOADING, CMD_MOVABLE, CMD_NO_AUTH, CMD_PROTECTED,
    CMD_READONLY, CMD_SKIP_SLOWLOG, CMD_STALE, CMD_SUBCOMMAND, CMD_WRITE, Command)
from cython.cimports.shardd.wire.request import Arg

from shardd.commands import table

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
command_p = cython.typedef(cython.pointer(Command))

CAPACITY = cython.declare(cython.int, 1024)         # commands: Redis 7.2 has 380 with all subcommands
BUCKETS = cython.declare(cython.int, 4096)
NAME_MAX = cython.declare(cython.Py_ssize_t, 40)
_SPREAD = cython.declare(uint64_t, 0x9E3779B97F4A7C15)

_FLAGS: dict = {
    "write": CMD_WRITE, "readonly": CMD_READONLY, "denyoom": CMD_DENYOOM, "admin": CMD_ADMIN, "no_auth": CMD_NO_AUTH,
    "loading": CMD_LOADING, "stale": CMD_STALE, "fast": CMD_FAST, "skip_slowlog": CMD_SKIP_SLOWLOG,
    "protected": CMD_PROTECTED,
}


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _head(name: const_bytes, n: cython.Py_ssize_t) -> uint64_t:
    head: uint64_t = 0
    i: cython.Py_ssize_t
    c: uint64_t
    for i in range(n if n < 8 else 8):
        c = name[i]
        if 65 <= c <= 90:
            c += 32
        head |= c << (8 * i)
    return head


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _bucket(head: uint64_t, n: cython.Py_ssize_t, last: uint8_t) -> cython.int:
    return cython.cast(cython.int, ((head ^ (cython.cast(uint64_t, n) << 56) ^ (last | 32)) * _SPREAD) >> 52)


@cython.final
@cython.cclass
class Registry:
    """Commands by name."""

    def __cinit__(self):
        self.commands = cython.cast(command_p, calloc(CAPACITY, cython.sizeof(Command)))
        self.buckets = cython.cast(cython.p_int, calloc(BUCKETS, cython.sizeof(cython.int)))
        if self.commands == cython.NULL or self.buckets == cython.NULL:
            raise MemoryError
        self.rows = []
        self.handlers = []

    def __dealloc__(self):
        free(self.commands)
        free(self.buckets)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, row: object, hot: Handler, plain: object) -> cython.int:
        name: bytes = row.name.encode()
        n: cython.Py_ssize_t = len(name)
        text: const_bytes = name
        c: command_p
        at: cython.int
        assert self.count < CAPACITY and n < NAME_MAX, row.name
        assert self.find(text, n) == cython.NULL, f"{row.name} is registered twice"
        c = cython.address(self.commands[self.count])
        memcpy(c.name, text, n)
        c.name_len = n
        c.head = _head(text, n)
        c.index = self.count
        c.arity = row.arity
        for flag, bit in _FLAGS.items():
            if flag in row.flags:
                c.flags |= cython.cast(cython.uint, bit)
        if row.movablekeys:
            c.flags |= CMD_MOVABLE
        if row.subcommands:
            c.flags |= CMD_CONTAINER
        c.first_key, c.last_key, c.key_step = row.first_key, row.last_key, row.key_step
        if b"|" in name:
            c.flags |= CMD_SUBCOMMAND
        c.hot = hot
        self.rows.append(row)
        self.handlers.append(plain)
        at = _bucket(c.head, n, text[n - 1])
        while self.buckets[at]:
            at = (at + 1) & (BUCKETS - 1)
        self.buckets[at] = self.count + 1
        self.count += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hot(self, name: str, handler: Handler) -> cython.int:
        """Register a hot handler; `name` may be "container|subcommand". Raises KeyError where the table has no such row."""
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
        if container != name and container not in self.names():
            self.add(table.COMMANDS[container], cython.NULL, None)
        return 0

    def add_row(self, row: object, handler: object) -> None:
        """Register a command that is not in Redis's table: a Row, and a plain handler or None."""
        self.add(row, cython.NULL, handler)

    def plain(self, name: str, handler: Callable) -> None:
        """Register a plain handler; `name` may be "container|subcommand". Raises KeyError where the table has no such row."""
        row = table.find(name)
        if row is None:
            raise KeyError(name)
        if name in self.names():
            # the container of a subcommand that came earlier
            self.handlers[[known.name for known in self.rows].index(name)] = handler
            return
        self.add_container(name)
        self.add(row, cython.NULL, handler)

    @cython.cfunc
    @cython.exceptval(check=False)
    def find(self, name: const_bytes, n: cython.Py_ssize_t) -> command_p:
        """The command of this name in either case, or NULL."""
        head: uint64_t
        at: cython.int
        i: cython.Py_ssize_t
        ch: uint8_t
        c: command_p
        if n <= 0 or n >= NAME_MAX:
            return cython.NULL
        head = _head(name, n)
        at = _bucket(head, n, name[n - 1])
        while self.buckets[at]:
            c = cython.address(self.commands[self.buckets[at] - 1])
            if c.head == head and c.name_len == n:
                i = 8
                while i < n:
                    ch = name[i]
                    if (ch + 32 if 65 <= ch <= 90 else ch) != c.name[i]:
                        break
                    i += 1
                if i >= n:
                    return c
            at = (at + 1) & (BUCKETS - 1)
        return cython.NULL

    @cython.cfunc
    @cython.exceptval(check=False)
    def lookup(self, argv: cython.pointer(Arg), argc: cython.int) -> command_p:
        """The command that a request asks for: the subcommand where it names one that exists, its container otherwise."""
        full: uint8_t[40]
        c: command_p = self.find(argv[0].p, argv[0].n)
        sub: command_p
        if c == cython.NULL or not c.flags & CMD_CONTAINER or argc < 2:
            # "client|list" is a name in the table, but nobody may call it so
            return c if c == cython.NULL or not c.flags & CMD_SUBCOMMAND else cython.NULL
        if c.name_len + 1 + argv[1].n >= NAME_MAX:
            return c
        memcpy(full, c.name, c.name_len)
        full[c.name_len] = 124
        memcpy(cython.address(full[c.name_len + 1]), argv[1].p, argv[1].n)
        sub = self.find(full, c.name_len + 1 + argv[1].n)
        return sub if sub != cython.NULL else c

    def names(self) -> frozenset:
        """All names, "container|subcommand" included."""
        return frozenset([row.name for row in self.rows])

    def statistics(self) -> list:
        """(name, calls, microseconds, rejected, failed) of each command that was asked for."""
        i: cython.int
        c: command_p
        out: list = []
        for i in range(self.count):
            c = cython.address(self.commands[i])
            if c.calls or c.rejected or c.failed:
                out.append((self.rows[i].name, c.calls, int(c.ticks / ticks_per_us()), c.rejected, c.failed))
        return out

    def reset_statistics(self) -> None:
        """Forget all counts (CONFIG RESETSTAT)."""
        i: cython.int
        for i in range(self.count):
            self.commands[i].calls = self.commands[i].ticks = 0
            self.commands[i].rejected = self.commands[i].failed = 0
