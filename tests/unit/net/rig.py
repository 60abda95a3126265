"""A reactor on real sockets for tests: a listener, the ends of its connections, and clients that talk to them."""
import contextlib
import os
import select
import socket
import time
from collections.abc import Callable

from shardd.net.reactor import Reactor
from shardd.net.transport import PlainProtocol, Transport


class Peer:
    """Records what a connection is told; `react`, where set, is called with each piece and says what is done with."""

    def __init__(self, react: Callable | None = None, stay: bool = False) -> None:
        self.react = react
        self.stay = stay
        self.pieces: list[bytes] = []
        self.events: list[str] = []
        self.reasons: list[object] = []
        self.transport: Transport | None = None

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)

    def on_made(self, transport: Transport) -> None:
        self.transport = transport
        self.events.append("made")

    def on_data(self, data: bytes) -> int:
        done = len(data) if self.react is None else self.react(self, data)
        self.pieces.append(data[:done])
        return done

    def on_eof(self) -> bool:
        self.events.append("eof")
        return self.stay

    def on_drained(self) -> None:
        self.events.append("drained")

    def on_lost(self, reason: object) -> None:
        self.events.append("lost")
        self.reasons.append(reason)


class Net:
    """A reactor with a listener; every accepted connection becomes the next of `peers`."""

    def __init__(self, sock: socket.socket) -> None:
        self.reactor = Reactor()
        self.errors: list[BaseException] = []
        self.warnings: list[str] = []
        self.reactor.on_error = lambda where, error: self.errors.append(error)
        self.reactor.on_warning = self.warnings.append
        self.make: Callable[[], Peer] = Peer
        self.peers: list[Peer] = []
        self.clients: list[socket.socket] = []
        self.listener = self.reactor.listen(sock, self.accept)
        self.address = sock.getsockname()
        self.family = sock.family

    def accept(self, transport: Transport) -> PlainProtocol:
        self.peers.append(self.make())
        return PlainProtocol(self.peers[-1])

    def connect(self) -> socket.socket:
        sock = socket.socket(self.family)
        sock.connect(self.address)
        sock.settimeout(10)
        self.clients.append(sock)
        return sock

    def pair(self, react: Callable | None = None, stay: bool = False) -> tuple[socket.socket, Peer]:
        """A connected client and the server's end of it."""
        self.make = lambda: Peer(react, stay)
        count = len(self.peers)
        sock = self.connect()
        self.until(lambda: len(self.peers) > count)
        return sock, self.peers[-1]

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, "it never came to hold"
            self.reactor.wait(50)

    def ready(self, timeout_ms: int) -> bool:
        """Whether the reactor has something to do within that time; poll(), since descriptors may be above select's."""
        waiter = select.poll()
        waiter.register(self.reactor.fileno(), select.POLLIN)
        return bool(waiter.poll(timeout_ms))

    def calm(self) -> None:
        """Serve until nothing is ready any more."""
        while self.ready(20):
            self.reactor.poll()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.reactor.close()


def tcp() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def receive(net: Net, sock: socket.socket, size: int) -> bytes:
    """Read size bytes from a client's socket while the reactor runs."""
    sock.setblocking(False)
    parts: list[bytes] = []
    missing = size
    while missing:
        net.reactor.wait(0)
        with contextlib.suppress(BlockingIOError):
            part = sock.recv(min(missing, 1 << 20))
            assert part, f"the stream ended {missing} bytes early"
            parts.append(part)
            missing -= len(part)
    sock.settimeout(10)
    return b"".join(parts)


def send(net: Net, sock: socket.socket, data: bytes) -> None:
    """Send from a client's socket while the reactor runs."""
    sock.setblocking(False)
    view = memoryview(data)
    while view:
        with contextlib.suppress(BlockingIOError):
            view = view[sock.send(view):]
        net.reactor.wait(0)
    sock.settimeout(10)


def shrink_send_buffer(transport: Transport) -> None:
    raw = socket.socket(fileno=os.dup(transport.fd))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    raw.close()


def echo(peer: Peer, data: bytes) -> int:
    peer.transport.write_bytes(data)
    return len(data)
