"""One raw connection to a server: bytes out, exact replies in.

Owns a socket. Does not retry, reconnect or route: what the server does is what the test sees. Every wait ends after
`timeout_s`, so that a server that hangs fails a test instead of the run.
"""

import os
import socket
import threading
from typing import Any

from harness.resp import Error, Push, encode, read_reply, words

TIMEOUT_S = float(os.environ.get("SHARDD_TEST_TIMEOUT_S", 20))


class Closed(Exception):
    """The server closed the connection."""


class Conn:
    """A blocking connection. `address` is a port on 127.0.0.1, a (host, port) or the path of a Unix socket."""

    def __init__(self, address: int | tuple[str, int] | str, resp: int = 2, db: int = 0,
                 timeout_s: float = TIMEOUT_S, rcvbuf_bytes: int | None = None) -> None:
        self.address = ("127.0.0.1", address) if isinstance(address, int) else address
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(timeout_s)
        if rcvbuf_bytes is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf_bytes)
        self.sock.connect(self.address)
        if not isinstance(address, str):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pushes: list[Push] = []
        self.partial = bytearray()
        self._buffer = bytearray()
        self._at = 0
        try:
            if resp != 2:
                self.must("HELLO", resp)
            if db:
                self.must("SELECT", db)
        except BaseException:
            self.close()
            raise

    def __call__(self, *args: Any) -> Any:
        """Sends one command and returns its reply; errors are values."""
        self.send(encode(*words(args)))
        return self.read()

    def must(self, *args: Any) -> Any:
        """Like a call, but an error reply fails."""
        reply = self(*args)
        assert not isinstance(reply, Error), f"{args}: {reply!r}"
        return reply

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error

    def read(self) -> Any:
        """The next reply; pushes that come before it are kept in `pushes`. Raises Closed, TimeoutError."""
        while True:
            reply = read_reply(self._readline, self._read)
            if not isinstance(reply, Push):
                return reply
            self.pushes.append(reply)

    def next(self) -> Any:
        """The next thing that comes, be it a reply or a push."""
        return read_reply(self._readline, self._read)

    def many(self, *commands: Any) -> list:
        """Sends the commands at once and returns their replies."""
        commands = [words((c,)) if isinstance(c, str) else c for c in commands]
        data = b"".join(encode(*c) for c in commands)
        # a server may stop reading while its replies are not taken
        sender = threading.Thread(target=self.send, args=(data,)) if len(data) > 60_000 else None
        if sender:
            sender.start()
        else:
            self.send(data)
        replies = [self.read() for _ in commands]
        if sender:
            sender.join()
        return replies

    def raw(self, data: bytes) -> Any:
        """Sends bytes as they are and reads one reply."""
        self.send(data)
        return self.read()

    def until(self, end: bytes) -> bytes:
        """Everything that comes up to and with `end`, unparsed. What had come stays in `partial` where it fails."""
        self.partial = bytearray(self._take(len(self._buffer) - self._at))
        while not self.partial.endswith(end):
            self.partial += self._receive()
        return bytes(self.partial)

    def rest(self) -> bytes:
        """Everything until the server closes."""
        got = self._take(len(self._buffer) - self._at)
        try:
            while True:
                got += self._receive()
        except Closed:
            return got

    def closed(self) -> bool:
        """Waits until the server closes; False where something else arrives first."""
        return self.rest() == b""

    def silent(self, seconds: float = 0.05) -> bool:
        """Whether nothing arrives for that long."""
        if self._at < len(self._buffer):
            return False
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(before)

    def half_close(self) -> None:
        """No more bytes from us; the server may still send."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "Conn":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> bytes:
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("closed")
        return data

    def _take(self, n: int) -> bytes:
        data = bytes(self._buffer[self._at:self._at + n])
        self._at += n
        if self._at == len(self._buffer):
            self._buffer.clear()
            self._at = 0
        return data

    def _readline(self) -> bytes:
        start = self._at
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            self._buffer += self._receive()
        return self._take(end + 1 - self._at)

    def _read(self, n: int) -> bytes:
        while len(self._buffer) - self._at < n:
            self._buffer += self._receive()
        return self._take(n)
