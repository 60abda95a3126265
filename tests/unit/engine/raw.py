"""A client that sends bytes as they are to an engine in this process, and sees the bytes that come back."""
import socket

from shardd.engine.session import Session
from unit.inproc import Engine


class Raw:
    """One connection over a socket pair."""

    def __init__(self, engine: Engine, authenticated: bool = True) -> None:
        server = engine.server
        self.reactor = server.reactor
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.session = Session(server.dispatcher, server.clients, server.limits, authenticated)
        self.reactor.attach(theirs, self.session)
        self.closed = False

    def __call__(self, data: bytes) -> bytes:
        """Send all of it and return all that comes back."""
        out = b""
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view):]
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                self.closed = True
                break
            out += self.turn()
        while (more := self.turn()) or self.unsent():
            out += more
        return out + self.turn()

    def unsent(self) -> bool:
        """Whether the engine has more for this client than the socket took."""
        transport = self.session.transport
        return not self.closed and transport is not None and transport.fd >= 0 and transport.out_len > 0

    def turn_only(self) -> None:
        """One turn of the reactor for others: this end is closed."""
        self.reactor.poll()

    def turn(self) -> bytes:
        """One turn of the reactor; what came back in it."""
        self.reactor.poll()
        out = b""
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                return out
            except ConnectionResetError:
                data = b""
            if not data:
                self.closed = True
                return out
            out += data
