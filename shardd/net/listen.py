"""Opening listening sockets from the options, the same way for engines, proxies and whoever checks a port beforehand.

Owns: what `bind`, `port`, `unixsocket`, `unixsocketperm`, `tcp-backlog` and `tcp-keepalive` mean, and that a
control socket stays where it is looked for. Does not own accepting (net/reactor.py).
"""
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from shardd.base.errors import ConfigError
from shardd.base.options import Config

_WILDCARDS = {"*": "0.0.0.0", "::*": "::"}
_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
"""What an address that this machine does not have gives; forgiven where `bind` has a - before it."""


def tcp_sockets(bind: Sequence[str], port: int, backlog: int | None, share_port: bool = False, *,
                options: str = "bind and port") -> list[socket.socket]:
    """Listening sockets, one for each address of `bind`; port 0 lets the system choose one, the same for all.

    backlog: None for sockets that are bound and do not listen yet. share_port: SO_REUSEPORT, for several proxies on one
    port. options: what a mistake is blamed on. Raises ConfigError that names the address.
    """
    opened: list[socket.socket] = []
    try:
        for word in bind:
            optional = word.startswith("-")
            host = word.removeprefix("-")
            host = _WILDCARDS.get(host, host)
            try:
                sock = _tcp_socket(host, port, backlog, share_port)
            except OSError as error:
                if optional and error.errno in _MISSING:
                    continue
                raise ConfigError(f"can't listen on {host}:{port} (options {options}): {error.strerror}") from None
            opened.append(sock)
            port = port or sock.getsockname()[1]
    except ConfigError:
        for sock in opened:
            sock.close()
        raise
    if not opened:
        raise ConfigError(f"{options.split()[0]} {' '.join(bind)}: none of these addresses exists on this machine")
    return opened


def _tcp_socket(host: str, port: int, backlog: int | None, share_port: bool) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        if backlog is not None:
            sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def accept_on(sock: socket.socket, reactor: Any, factory: Callable[[Any], Any], config: Config) -> Any:
    """Have a reactor accept on a TCP or Unix socket, with tcp-backlog, and with tcp-keepalive as it is now and later.

    Returns the reactor's Listener. Raises ConfigError where somebody else listens there by now.
    """
    try:
        listener = reactor.listen(sock, factory, config["tcp-backlog"])
    except OSError as error:
        raise ConfigError(f"can't listen on {where(sock)} (options bind and port): {error.strerror}") from None
    if sock.family != socket.AF_UNIX:
        listener.keepalive_s = config["tcp-keepalive"]
        config.subscribe("tcp-keepalive", lambda seconds: setattr(listener, "keepalive_s", seconds))
    return listener


def where(sock: socket.socket) -> str:
    """A bound socket's place for the log: "127.0.0.1:6379", "[::1]:6379", or a Unix socket's path."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return name if isinstance(name, str) else os.fsdecode(name)
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tcp_port(socks: Sequence[socket.socket]) -> int:
    """The TCP port of the sockets of one process, 0 where it has none."""
    return next((sock.getsockname()[1] for sock in socks if sock.family != socket.AF_UNIX), 0)


def unix_socket(path: str, permissions: int, backlog: int | None) -> socket.socket:
    """A listening Unix socket; a stale file in its place goes, one that somebody listens on does not.

    permissions: mode bits, 0 leaves what the umask gives. backlog: as for tcp_sockets. Raises ConfigError that names
    the path.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if answers(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        sock.bind(path)
        if permissions:
            os.chmod(path, permissions)
        if backlog is not None:
            sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ConfigError(f"can't listen on the Unix socket {path}: {error.strerror}") from None
    return sock


class ControlSocket:
    """The control socket of a process: mode 0600, and listened on anew where somebody has removed its file.

    A cleaner of old files may do that; without the file no proxy that starts later could reach a living engine. Where
    a predecessor still listens there, whose place this process takes, its file is replaced.
    reactor: a net.reactor.Reactor. factory: as its listen() wants it.
    """

    def __init__(self, reactor: Any, path: str, backlog: int, factory: Callable[[Any], Any]) -> None:
        """Raises ConfigError."""
        self.path = path
        self._open = lambda: reactor.listen(_taking_over(path, backlog), factory, backlog)
        self._listener = self._open()

    def check(self) -> bool:
        """Whether it had to be made anew. Called about once a second; does nothing while its directory is missing."""
        if os.path.lexists(self.path):
            return False
        try:
            listener = self._open()
        except ConfigError:
            return False
        self._listener.close()
        self._listener = listener
        return True

    def close(self) -> None:
        """Stop listening. The file stays: it may be another process's by now."""
        self._listener.close()


def _taking_over(path: str, backlog: int) -> socket.socket:
    """A private Unix socket at `path`, in the place of whoever listens there. Raises ConfigError."""
    if not answers(path):
        return unix_socket(path, 0o600, backlog)
    beside = os.path.join(os.path.dirname(path), f"new-{os.getpid()}")
    sock = unix_socket(beside, 0o600, backlog)
    try:
        os.rename(beside, path)
    except OSError as error:
        sock.close()
        raise ConfigError(f"can't listen on the Unix socket {path}: {error.strerror}") from None
    return sock


def answers(path: str) -> bool:
    """Whether somebody listens on the Unix socket at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
