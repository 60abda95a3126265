"""The sockets that clients connect to, held by the supervisor for its children.

Owns: the listening sockets of every engine and proxy, from before the child's first start until the tree stops. Does
not own accepting (net/reactor.py in the child), or the sockets in <dir>/run (each process's own).

    supervisor      bind() ------------------ holds ------------------------------------------> close()
    child              '-- inherits, listen(), accepts --x   '-- inherits, accepts --->
                           while nobody accepts, connections wait in the backlog

A socket is bound here and listened on by the child, so that before the first start, and while a child keeps dying
(limits.BACKLOG_HOLD_MS), clients are refused instead of left waiting. A proxy that hands over and its successor accept
on the same socket for a moment; whoever is first gets the connection.

With several proxies each has its own sockets on the one port (SO_REUSEPORT), among which the kernel spreads
connections; on the one Unix socket all of them accept.
"""

import contextlib
import os
import socket
from collections.abc import Iterable, Sequence

from shardd.net.listen import tcp_port, tcp_sockets, unix_socket
from shardd.supervisor.plan import Plan


UNIX = "unixsocket"


class Sockets:
    """By the child's name, "engine 0", and the proxies' Unix socket under the name of its option."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._held: dict[str, list[socket.socket]] = {}

    def of_engine(self, name: str, index: int, last_port: int,
                  taken: Iterable[int]) -> tuple[Sequence[socket.socket], int]:
        """The sockets of an engine and their port; the one it had last where it is free. Raises ConfigError."""
        if name not in self._held:
            port = self._plan.engine_port(index, last_port, taken)
            self._held[name] = tcp_sockets(self._plan.bind, port, None)
        return self._held[name], tcp_port(self._held[name])

    def of_proxy(self, name: str) -> Sequence[socket.socket]:
        """The sockets of a proxy. Raises ConfigError."""
        config, path = self._plan.config, self._plan.path("unixsocket")
        if name not in self._held:
            port = int(config["port"])
            self._held[name] = tcp_sockets(self._plan.bind, port, None, self._plan.proxies > 1) if port else []
        if path and UNIX not in self._held:
            self._held[UNIX] = [unix_socket(path, int(config["unixsocketperm"]), None)]
        return self._held[name] + self._held.get(UNIX, [])

    def release(self, name: str) -> None:
        """Let go of a child's sockets: until they are opened again, clients are refused."""
        for sock in self._held.pop(name, ()):
            with contextlib.suppress(OSError):
                if sock.family == socket.AF_UNIX:
                    os.unlink(sock.getsockname())
            sock.close()

    def close(self) -> None:
        """Let go of all."""
        for name in list(self._held):
            self.release(name)
