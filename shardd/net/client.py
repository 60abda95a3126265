"""Who is at the other end: the state that CLIENT, HELLO, AUTH and SELECT show and change, and the list of clients.

Owns: the fields of a client, its number, the registry. Does not own any policy: who may connect (the listener's
factory), which commands need authentication (dispatch), or what a flag does.

The engine's and the proxy's sessions derive from Client, so that the connection commands exist once.

Invariants: an id is given once per process and never again; `by_id` holds the clients that were added and not yet
discarded, in order of arrival; the registry's kept_bytes is the sum of theirs (`keep`). Whoever adds one discards it
when its connection is lost, with nothing kept any more. Internal connections (the
supervisor's, the proxies') are listed, but do not count as clients: len() is without them.
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.shardd.base.clock import monotonic_ms, unix_ms
from cython.cimports.shardd.net.client import ClientFlag
from cython.cimports.shardd.net.transport import Protocol


@cython.cclass
class Client(Protocol):
    """One connection's state. The times are milliseconds: created_ms on the wall clock, active_ms monotonic."""

    def __cinit__(self) -> None:
        self.resp = 2
        self.name = b""
        self.lib_name = b""
        self.lib_ver = b""
        self.user = b"default"
        self.created_ms = unix_ms()
        self.active_ms = monotonic_ms()
        self.multi_count = -1

    @cython.cfunc
    @cython.exceptval(check=False)
    def keep(self, native_bytes: cython.Py_ssize_t, object_bytes: cython.Py_ssize_t) -> cython.int:
        """The session keeps so much more (or less) for this client: in memory of structures.alloc, and in objects."""
        self.kept_bytes += native_bytes + object_bytes
        if self.registry is not None:
            self.registry.kept_bytes += native_bytes + object_bytes
            self.registry.object_bytes += object_bytes
        return 0

    def reset_session(self) -> None:
        """RESET: what the session keeps beyond these fields goes, such as a transaction."""

    def unblock(self, failing: bool) -> bool:
        """CLIENT UNBLOCK: end the wait of a blocked client, as its time-out would or (failing) with an error; whether
        it waited."""
        return False


@cython.final
@cython.cclass
class Clients:
    """The clients of this process. id_step: several processes can share one sequence, each taking every n-th number."""

    def __cinit__(self, next_id: int64_t = 1, id_step: int64_t = 1) -> None:
        self.by_id = {}
        self.internal = set()
        self.next_id = next_id
        self.id_step = id_step

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def add(self, client: Client) -> cython.int:
        """Give a new client its id and list it."""
        client.id = self.next_id
        client.registry = self
        self.next_id += self.id_step
        self.by_id[client.id] = client
        self.accepted += 1
        return 0

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def add_internal(self, client: Client) -> cython.int:
        """`add` for a connection within the tree: it is flagged so, and counts nowhere as a client."""
        self.add(client)
        self.accepted -= 1
        client.flags |= ClientFlag.INTERNAL
        self.internal.add(client.id)
        return 0

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def discard(self, client: Client) -> cython.int:
        """Take a client that left from the list, if it is there."""
        self.by_id.pop(client.id, None)
        self.internal.discard(client.id)
        return 0

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def reject(self) -> cython.int:
        """Count a connection that was refused."""
        self.rejected += 1
        return 0

    def reset_counters(self) -> None:
        """CONFIG RESETSTAT."""
        self.accepted = 0
        self.rejected = 0

    def __len__(self) -> int:
        return len(self.by_id) - len(self.internal)
