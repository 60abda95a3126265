"""A proxy: one address that behaves like one Redis, in front of the engines.

    python -m proxy.main CONF                           a child of the supervisor (base/child.py); not started by hand
    python -m proxy.main --topology FILE [CONF] [--option value ...]
                                                        by itself, in front of engines that somebody else keeps running;
                                                        FILE holds a topology in the form of cluster/topology.py

Owns: the process - its listeners, its timers, signals, its end. Does not own what the sockets' bytes mean (session), or
the object that commands see (server).

Under the supervisor its topology comes over the control socket. It listens for clients when it has one and its engines
answer, or limits.ENGINES_WAIT_MS after the start, so that a client that got in does not meet CLUSTERDOWN at once.
Its listening sockets are the supervisor's, who keeps them open while a proxy is started again.
"""
import asyncio
import contextlib
import gc
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from proxy.drain import Drain
from proxy.server import ProxyServer
from shardd.base import child, limits
from shardd.base.clock import mono_ms
from shardd.base.errors import ConfigError
from shardd.base.log import PROXY, Log
from shardd.base.options import Config
from shardd.cluster.topology import Topology, TopologyError
from shardd.net.listen import ControlSocket, accept_on, tcp_port, tcp_sockets, unix_socket, where

PROGRAM = "shardd-proxy"

_SWEEP_TURNS = 10
"""Idle clients are looked for once a second: each turn of cron is limits.PROXY_CRON_MS."""


class Proxy:
    """The process."""

    def __init__(self, config: Config, topology: Topology | None, loop: asyncio.AbstractEventLoop) -> None:
        """topology: of a proxy by itself. Raises ConfigError."""
        self.loop = loop
        self.done = asyncio.Event()
        self.parent = child.adopt(self.done.set)
        if self.parent is not None:
            config.path = None      # made for this start only: CONFIG REWRITE is about the user's
            self.parent.keep_directory(config)
        elif topology is None:
            raise ConfigError("a proxy needs engines: start shardd, or give --topology FILE")
        self.config = config
        # under a supervisor standard output is a pipe to it, and it writes the log
        self.log = Log(PROXY, config["loglevel"], "" if self.parent else config["logfile"])
        proxies = config["proxies"] if self.parent else 1
        rewrite_path = self.parent.conf_path or None if self.parent else config.path
        run_dir = Path(self.parent.control_path).parent if self.parent else None
        self.server = ProxyServer(config, self.log, rewrite_path, _own_index(self.parent), proxies, run_dir,
                                  self.parent.generation if self.parent else 0)
        self.server.on_shutdown = self._on_shutdown
        if self.parent is not None:
            self.server.on_configured = self.parent.configured
            self.server.on_drain = self._on_drain
        self.server.backends.schedule = self._schedule
        self._topology = topology
        self._turn = 0
        self._started_ms = mono_ms()
        self._unix_paths: list[str] = []
        self._listeners: list[Any] = []
        self._drain: Drain | None = None

    async def run(self) -> None:
        """Serve until a signal, the supervisor's end or SHUTDOWN. Raises ConfigError where a socket does not open."""
        reactor = self.server.reactor
        reactor.on_error = lambda where, error: self.log.warning(f"Unexpected {type(error).__name__}: {error}")
        reactor.on_warning = self.log.warning
        reactor.linger_ms = 1
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._on_signal, number)
        self.loop.add_signal_handler(signal.SIGUSR1, self.log.reopen)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)    # the end of a terminal; a supervisor reads its file again
        self.loop.add_reader(reactor.fileno(), reactor.poll)
        if self.parent is not None:
            path = self.parent.control_path
            self._control = ControlSocket(reactor, path, self.config["tcp-backlog"], self.server.accept_control)
            self._unix_paths.append(path)
        else:
            assert self._topology is not None
            self.server.install_topology(self._topology)
        try:
            while not self.done.is_set() and not self._may_listen():
                self.server.check()
                await asyncio.sleep(0.01)
            if not self.done.is_set():
                self._listen()
            self._cron()
            # no cycles are made while serving, and a collection would be a pause
            gc.collect()
            gc.freeze()
            gc.disable()
            await self.done.wait()
        finally:
            self._stop()

    def _may_listen(self) -> bool:
        if mono_ms() - self._started_ms > limits.ENGINES_WAIT_MS:
            return True
        engines = self.server.engines
        return bool(engines) and all(engine.up for engine in engines) and self.server.peers.settled

    def _listen(self) -> None:
        socks = self.parent.listeners if self.parent is not None else self._own_sockets()
        self.server.port = tcp_port(socks)
        self._listeners = [accept_on(sock, self.server.reactor, self.server.accept, self.config) for sock in socks]
        self.log.notice(f"Proxy listens on {', '.join(map(where, socks))}")
        if self.parent is not None:
            self.parent.ready(self.server.port)

    def _own_sockets(self) -> list[socket.socket]:
        """Those of a proxy by itself."""
        config = self.config
        backlog, port, path = config["tcp-backlog"], config["port"], config["unixsocket"]
        socks = tcp_sockets(config["bind"], port, backlog) if port or not path else []
        if path:
            socks.append(unix_socket(path, config["unixsocketperm"], backlog))
            self._unix_paths.append(path)
        return socks

    def _cron(self) -> None:
        self._timer = self.loop.call_later(limits.PROXY_CRON_MS / 1000, self._cron)
        self._turn += 1
        if self._drain is not None and self._drain.step():
            self.done.set()
        self.server.check()
        if self._turn % _SWEEP_TURNS == 0:
            self.server.limits.sweep()
            self.log.check()
            if self.parent is not None and self._drain is None and self._control.check():
                self.log.warning(f"{self._control.path} was removed; it is there again")

    def _schedule(self, delay_ms: int, callback: Callable[[], object]) -> None:
        self.loop.call_later(delay_ms / 1000, self._timer_fired, callback)

    def _timer_fired(self, callback: Callable[[], object]) -> None:
        callback()
        self.server.shared.flush()

    def _on_signal(self, number: int) -> None:
        self.log.warning(f"Received {signal.Signals(number).name}, scheduling shutdown...")
        self.done.set()

    def _on_shutdown(self, save: bool | None) -> bool:
        if self.parent is not None:
            return self.parent.shutdown(save)
        self.loop.call_soon(self.done.set)
        return True

    def _on_drain(self, grace_ms: int) -> None:
        """A successor has the place of this process, its control socket included."""
        if self._drain is None:
            self._drain = Drain(self.server, grace_ms)
            self._unix_paths.clear()
            for listener in (*self._listeners, self._control):
                listener.close()
            self.log.notice(f"Another proxy serves in this one's place; {len(self.server.clients)} clients may finish")

    def _stop(self) -> None:
        self.log.notice("Bye: the proxy stops")
        if self._turn:
            self._timer.cancel()
        self.loop.remove_reader(self.server.reactor.fileno())
        self.server.backends.close()
        self.server.peers.close()
        self.server.reactor.close()
        for path in self._unix_paths:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _own_index(parent: child.Parent | None) -> int:
    """Which proxy this is, from the name of its control socket: <dir>/run/proxy-<i>.sock."""
    match = re.search(r"-(\d+)\.sock$", parent.control_path) if parent is not None else None
    return int(match[1]) if match else 0


def _topology_argument(argv: list[str]) -> Topology | None:
    """Take `--topology FILE` off the arguments and read it. Raises ConfigError."""
    if "--topology" not in argv:
        return None
    at = argv.index("--topology")
    if at + 1 == len(argv):
        raise ConfigError("command line: --topology: a file is missing")
    path = argv[at + 1]
    del argv[at:at + 2]
    try:
        return Topology.loads(Path(path).read_bytes())
    except (OSError, TopologyError) as error:
        raise ConfigError(f"command line: --topology '{path}': {error}") from None


async def _live(config: Config, topology: Topology | None) -> None:
    await Proxy(config, topology, asyncio.get_running_loop()).run()


def main() -> None:
    """Exits with 1, and one sentence on stderr, where the configuration is of no use."""
    argv = sys.argv[1:]
    try:
        topology = _topology_argument(argv)
        config = Config.load(argv, PROGRAM)
        uvloop.run(_live(config, topology))
    except (ConfigError, OSError) as error:
        sys.exit(f"{PROGRAM}: {error}")


if __name__ == "__main__":
    main()
