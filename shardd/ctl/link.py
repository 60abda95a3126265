"""A blocking RESP2 connection, the address it goes to, and the errors that end shardctl.

Owns: connecting, authenticating, one request and its reply, and the same to many processes at once. Does not own who is
asked (source.py) or what the replies mean.

    CtlError          1   it answered, and the answer is no
      UsageError      2   the command line asks for what cannot be
      Unreachable     3   nobody answers, or not us

`exit_code` is what the process ends with. Every message says what was wrong, where, and what to do about it.
"""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shardd.base import limits
from shardd.base.errors import CommandError
from shardd.wire.plain import Decoder, ProtocolError, encode_command

EXIT_OK, EXIT_BAD, EXIT_USAGE, EXIT_UNREACHABLE = 0, 1, 2, 3

Address = str | tuple[str, int]
"""The path of a Unix socket, or host and port."""

ANSWER_MS = 2_000
"""How long one process has for its answer: shorter than the supervisor's own patience, since a table of many processes
is no use if each hung one costs it five seconds."""

_READ_BYTES = limits.MIB
"""The decoder starts anew where a reply is not whole, so it gets large pieces."""


class CtlError(Exception):
    """A refusal; the message is for people."""

    exit_code = EXIT_BAD


class UsageError(CtlError):
    """What was asked for makes no sense here."""

    exit_code = EXIT_USAGE


class Unreachable(CtlError):
    """Nobody answers there, or whoever does wants a password that was not given."""

    exit_code = EXIT_UNREACHABLE


@dataclass(frozen=True)
class Login:
    """What AUTH needs. user: None for the default user; password: None for no AUTH at all."""

    user: str | None = None
    password: str | None = None

    def words(self) -> tuple[str, ...]:
        """AUTH's words, none where there is no password."""
        if self.password is None:
            return ()
        return ("AUTH", self.user, self.password) if self.user else ("AUTH", self.password)


NOBODY = Login()


def shown(address: Address) -> str:
    """An address for people."""
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection:
    """A blocking connection. Raises Unreachable; error replies raise CommandError (from `call`)."""

    def __init__(self, address: Address, login: Login = NOBODY, timeout_ms: int = ANSWER_MS) -> None:
        self.shown = shown(address)
        self._timeout_s = timeout_ms / 1000
        try:
            if isinstance(address, str):
                self._sock = socket.socket(socket.AF_UNIX)
                self._sock.settimeout(self._timeout_s)
                self._sock.connect(address)
            else:
                self._sock = socket.create_connection(address, self._timeout_s)
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Unreachable(f"cannot connect to {self.shown}: {error.strerror or error}") from None
        self._decoder = Decoder()
        self._ready: list[Any] = []
        self._log_in(login)

    def _log_in(self, login: Login) -> None:
        try:
            if words := login.words():
                self.call(*words)
        except CommandError as error:
            self.close()
            if str(error).startswith("ERR") and "without any password" in str(error):
                return self._refuse(f"{error}: it wants no password, so give none")
            self._refuse(f"{error}: check --user and --pass")
        except Unreachable:
            self.close()
            raise

    def _refuse(self, reason: str) -> None:
        raise Unreachable(f"{self.shown} does not let us in: {reason}")

    def send(self, *words: str | bytes | int) -> None:
        """One request. Its reply is the next but those that are still to come for earlier ones."""
        try:
            self._sock.sendall(encode_command(*words))
        except OSError as error:
            raise self._lost(error) from None

    def receive(self, timeout_s: float | None = None) -> Any:
        """The next reply, an error reply as a value. timeout_s: None for the connection's own; 0 waits for ever."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        due = time.monotonic() + limit_s if limit_s else None
        try:
            while not self._ready:
                self._sock.settimeout(None if due is None else max(0.001, due - time.monotonic()))
                data = self._sock.recv(_READ_BYTES)
                if not data:
                    raise Unreachable(f"{self.shown} closed the connection")
                self._ready = self._decoder.feed(data)
        except OSError as error:
            raise self._lost(error) from None
        except ProtocolError as error:
            raise Unreachable(f"{self.shown} does not speak RESP: {error}") from None
        return self._ready.pop(0)

    def call(self, *words: str | bytes | int) -> Any:
        """One request's reply. Raises CommandError where it is an error, Unreachable where none comes."""
        self.send(*words)
        return _value(self.receive())

    def _lost(self, error: OSError) -> Unreachable:
        if isinstance(error, TimeoutError):
            return Unreachable(f"{self.shown} does not answer: nothing came for {self._timeout_s:.0f} s; it hangs or "
                               "is busy with a long command")
        return Unreachable(f"{self.shown} does not answer: {error.strerror or error}")

    def close(self) -> None:
        self._sock.close()


def _value(reply: Any) -> Any:
    """A reply that is no error."""
    if isinstance(reply, CommandError):
        raise CommandError(reply.text)
    return reply


class Node:
    """A process that can be asked: connects when it is needed, and again after it was lost.

    kind: "engine", "proxy", or "server" for a single one. index: within its kind. facts: what is known of it without
    asking. down: why it cannot be asked, where that is known beforehand.
    """

    def __init__(self, kind: str, index: int, address: Address, login: Login = NOBODY,
                 facts: dict[str, Any] | None = None, down: str | None = None) -> None:
        self.kind, self.index, self.address, self.down = kind, index, address, down
        self.facts = facts or {}
        self.login = login
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        """ "engine 0", "proxy 1", or the address of a single server."""
        return shown(self.address) if self.kind == "server" else f"{self.kind} {self.index}"

    def connection(self) -> Connection:
        """Raises Unreachable."""
        if self.down is not None:
            raise Unreachable(f"{self.name} {self.down}")
        if self._connection is None:
            self._connection = Connection(self.address, self.login)
        return self._connection

    def send(self, *words: str | bytes | int) -> None:
        """See Connection.send."""
        try:
            self.connection().send(*words)
        except Unreachable:
            self.close()
            raise

    def receive(self) -> Any:
        """See Connection.receive."""
        try:
            return self.connection().receive()
        except Unreachable:
            self.close()
            raise

    def call(self, *words: str | bytes | int) -> Any:
        """See Connection.call."""
        self.send(*words)
        return _value(self.receive())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def ask(nodes: Iterable[Node], *words: str | bytes | int) -> dict[Node, Any]:
    """The same question for many, asked of all before the first answer is waited for.

    What has no answer has the error instead, a CommandError or an Unreachable.
    """
    answers: dict[Node, Any] = {}
    for node in nodes:
        try:
            node.send(*words)
            answers[node] = None
        except Unreachable as error:
            answers[node] = error
    for node, failed in answers.items():
        if failed is None:
            try:
                answers[node] = node.receive()
            except Unreachable as error:
                answers[node] = error
    return answers


def is_answer(value: Any) -> bool:
    """Whether `ask` got one."""
    return not isinstance(value, Exception)
