"""A connection that waits for each reply, and how one is opened: addresses, authentication, protocol, database.

Owns: the handshake. Does not own the connections of a run once they are ready (driver).
"""
import socket
from dataclasses import dataclass
from typing import Any

from shardd.base.errors import CommandError
from shardd.wire.plain import Decoder, encode_command

HELLO_BYTES_MAX = 65536


class LoadError(Exception):
    """The run cannot be made or went wrong; the text says why."""


@dataclass(frozen=True)
class Address:
    """Where a server listens: host and port, or the path of a Unix socket."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Login:
    """What is said first on a connection."""

    user: str | None = None
    password: str | None = None
    resp: int = 2
    db: int = 0


class Control:
    """One client, waiting for each reply. Raises OSError."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        if address.path is not None:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.settimeout(timeout_s)
                self.sock.connect(address.path)
            except BaseException:
                self.sock.close()
                raise
        else:
            self.sock = socket.create_connection((address.host, address.port), timeout_s)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder()

    def call(self, *words: str | bytes | int) -> Any:
        """One command's reply in RESP2. Raises CommandError, or OSError where the connection breaks."""
        self.sock.sendall(encode_command(*words))
        while True:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            if values := self._decoder.feed(data):
                if isinstance(values[0], CommandError):
                    raise values[0]
                return values[0]

    def close(self) -> None:
        self.sock.close()


def log_in(control: Control, login: Login) -> None:
    """Authenticate, choose protocol and database. Raises CommandError, OSError."""
    if login.password is not None:
        control.call("AUTH", *filter(None, [login.user]), login.password)
    if login.db:
        control.call("SELECT", login.db)
    if login.resp == 3:     # last, since what is read here is RESP2
        control.sock.sendall(encode_command("HELLO", 3))
        _skip_hello(control.sock)


def _skip_hello(sock: socket.socket) -> None:
    """Read HELLO's reply, which is RESP3. Raises CommandError where it is an error, OSError."""
    from shardd.wire.scan import ReplyFeed

    feed = ReplyFeed()
    size = 0
    while size < HELLO_BYTES_MAX:
        data = sock.recv(4096)
        if not data:
            break
        size += len(data)
        for reply in feed.feed(data):
            if reply.startswith(b"-"):
                raise CommandError(reply[1:-2])
            return
    raise ConnectionResetError("the server did not answer HELLO")


def ready(address: Address, login: Login, timeout_s: float) -> int:
    """The descriptor of a connection that is logged in, non-blocking. Raises LoadError, which names the address."""
    try:
        control = Control(address, timeout_s)
        try:
            log_in(control, login)
            control.sock.setblocking(False)
            return control.sock.detach()
        finally:
            control.close()
    except CommandError as error:
        raise LoadError(f"{address} refuses the connection: {error.text.decode('utf-8', 'replace')}") from None
    except (OSError, ValueError) as error:
        raise LoadError(f"no connection to {address}: {error}") from None
