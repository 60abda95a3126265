"""MULTI: what each client has queued, and the end of a transaction.

Owns: the queues, and the figures that CLIENT LIST shows of them. Does not own the commands (engine.transactions), what
a command must fulfil to be queued and how the queue is run (engine.dispatch), or the watched keys (engine.watches).

Invariants: only a client in MULTI has a queue; its multi_count and multi_bytes are the queue's; what the queue takes is
in its kept_bytes. Every session calls `discard` at its end.
"""
import cython
from cython.cimports.shardd.commands.registry import Command
from cython.cimports.shardd.engine.kept import Kept
from cython.cimports.shardd.engine.watches import Watches
from cython.cimports.shardd.net.client import Client, ClientFlag
from cython.cimports.shardd.wire.request import Arg

from shardd.base import limits

command_p = cython.typedef(cython.pointer(Command))
arg_p = cython.typedef(cython.pointer(Arg))

UNCHECKED_BYTES = cython.declare(cython.Py_ssize_t, limits.QUERY_BUFFER_BYTES_MIN)      # no limit is below it


@cython.final
@cython.cclass
class Multi:
    """The transactions of one engine."""

    def __init__(self, watches: Watches, policy: object) -> None:
        """policy: the server's ConnectionLimits."""
        self.watches = watches
        self.limits = policy
        self.queues = {}

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, client: Client, c: command_p, argv: arg_p, argc: cython.int,
            raw_bytes: cython.Py_ssize_t) -> cython.int:
        """Queue a command, unless EXEC will be refused anyway. A client that queues more than a request may be long
        (client-query-buffer-limit) is cut off, as in Redis. Raises MemoryError, which spoils the transaction."""
        queue: Kept
        before: cython.Py_ssize_t
        if client.flags & (ClientFlag.DIRTY_CAS | ClientFlag.DIRTY_EXEC):
            return 0
        queue = self.queues.get(client)
        if queue is None:
            queue = self.queues[client] = Kept()
        before = queue.block_bytes
        try:
            queue.add(c, argv, argc, raw_bytes)
        except MemoryError:
            client.flags |= ClientFlag.DIRTY_EXEC
            raise
        finally:
            client.keep(queue.block_bytes - before, 0)
        client.multi_count = queue.count
        client.multi_bytes = queue.arg_bytes
        if queue.arg_bytes > UNCHECKED_BYTES:
            self.limits.check_queued(client)
        return 0

    @cython.cfunc
    def queue_of(self, client: Client) -> Kept:
        """What the client has queued, None where that is nothing."""
        return self.queues.get(client)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flags(self, client: Client) -> cython.long:
        """The flags of all commands together that the client has queued."""
        queue: Kept = self.queues.get(client)
        return 0 if queue is None else queue.flags

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def discard(self, client: Client) -> cython.int:
        """The client's transaction is over, if there was one, and it watches nothing."""
        queue: Kept = self.queues.pop(client, None)
        if queue is not None:
            client.keep(-queue.block_bytes, 0)
        client.flags &= ~cython.cast(cython.uint, ClientFlag.MULTI | ClientFlag.DIRTY_CAS | ClientFlag.DIRTY_EXEC)
        client.multi_count = -1
        client.multi_bytes = 0
        return self.watches.drop(client)
