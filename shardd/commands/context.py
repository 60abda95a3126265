"""What a command sees while it runs: the client, its database, the reply, the journal.

There is one Context in an engine. Handlers keep nothing of it: the slices they get, and `key`, die with the command.
A hot handler is `handler(ctx, argv, argc)` in C and writes its reply itself; a plain one is Python (see registry.py).

Keyspace events are the handler's to tell, at the place and in the order in which Redis's own handler does:
`ctx.notify(NOTIFY_LIST, b"lpush", cython.address(ctx.key))`, the class from keyspace.events, the key any `Key` (its
slot and hash are not looked at, so that p and n suffice), in the selected database; `db.notify(...)` is the same for
another one and for what no command asked for. It costs one test while nobody asks for that class, so there is nothing
to guard. "new", "keymiss" and "expired" come from the keyspace itself (Database.add, read and peek, expiry), and no
handler tells them. An event is told after the change it is about, and while the key's bytes are still there: they must
not be those of an entry that has gone.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t
from cython.cimports.shardd.keyspace.database import Key, KeyObserver, key_init
from cython.cimports.shardd.wire.request import Arg

from shardd.base import limits


@cython.cclass
class Waits(KeyObserver):
    """Lets a client wait until a key holds what its command needs."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wait(self, ctx: Context, argv: cython.pointer(Arg), argc: cython.int, first: cython.int, count: cython.int,
             type: uint32_t, timeout_ms: int64_t) -> cython.int:
        """The running command found nothing: its client waits until one of the keys argv[first:first + count] holds a
        value of `type` (an entry's). The command is then run again from the start, with the same arguments; it may wait
        again, without a new time-out. Nothing must have been replied. timeout_ms: 0 for ever; at its end, and where the
        command is part of a transaction, the reply is a null array."""
        return 0


@cython.final
@cython.cclass
class Context:
    """The running command's surroundings."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def error(self, text: bytes) -> cython.int:
        """Reply with an error; statistics count the command as failed."""
        self.failed = True
        self.reply.error(text)
        self.on_error(text)
        return 0

    def set_bulk_max(self, size_bytes: int) -> None:
        """proto-max-bulk-len: the longest string a command may make, as far as an entry can hold it."""
        self.bulk_max = min(size_bytes, limits.STRING_BYTES_MAX)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def effect(self, words: tuple) -> cython.int:
        """Journal what happened in other words than the command's own; may be called several times."""
        self.rewritten = True
        if self.journal.active:
            self.journal.append_words(self.db.id, words)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def other_key(self, k: cython.pointer(Key), arg: cython.pointer(Arg)) -> cython.pointer(Key):
        """The key in `arg`, ready to look up; `k` is the room for it where it is not the first key."""
        if arg.p == self.key.p:
            return cython.address(self.key)
        key_init(k, arg.p, arg.n)
        return k
