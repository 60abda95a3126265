"""shardd-engine: one single-threaded engine, by itself or as a child of the supervisor.

    shardd-engine [CONF] [--option value ...]

By itself it is a single instance that owns all slots; with --cluster-enabled yes it answers the cluster commands and,
for slots that a topology gives to others, redirects. Under the supervisor (base/child.py) its topology comes over the
control socket, and it serves nobody before it has one.
"""
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import traceback

import uvloop

from shardd.base import child, limits
from shardd.base.clock import mono_us
from shardd.base.errors import ConfigError, LoadError
from shardd.base.log import ENGINE, Log
from shardd.base.options import Config
from shardd.base.process import ENGINE_LOCK, enter_directory, lock_directory, pid_file, use_cpus
from shardd.cluster.topology import Topology
from shardd.engine.build import build_registry
from shardd.engine.cron import Cron
from shardd.engine.loading import Loading
from shardd.engine.server import Server
from shardd.engine.session import Session
from shardd.net.client import Client
from shardd.net.listen import ControlSocket, accept_on, tcp_port, tcp_sockets, unix_socket, where

PROGRAM = "shardd-engine"

_LOCK_LOOK_S = 0.05


class Engine:
    """The process: its listeners, its timers, its end."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        """Raises ConfigError before anything listens, or where a socket cannot be opened."""
        self.loop = loop
        self.done = asyncio.Event()
        self.parent = child.adopt(self._on_parent_gone)
        if self.parent:
            self.parent.keep_directory(config)
        # under a supervisor standard output is a pipe to it, and it writes the log
        self.log = Log(ENGINE, config["loglevel"], "" if self.parent else config["logfile"])
        if not self.parent:
            use_cpus(config["server_cpulist"], self.log.warning)
        self.server = Server(config, self.log, self.parent.node_id if self.parent else "",
                             self.parent.conf_path if self.parent else None)
        self.server.parent = self.parent
        self.server.on_shutdown = self._on_shutdown
        if self.parent:
            self.server.snapshots.gate, self.server.snapshots.on_free = self.parent.fork_turn, self.parent.fork_over
        build_registry(self.server)
        self.cron = Cron(self.server, loop)
        self._unix_paths: list[str] = []

    def listen(self) -> None:
        """Open all sockets; under a supervisor, accept on those that it holds. Raises ConfigError."""
        config, reactor = self.server.config, self.server.reactor
        if self.parent:
            socks = self.parent.listeners
        else:
            socks = self._own_sockets()
            if not socks:
                raise config.mistake("port", "without a port and without a unixsocket there is no way to reach the "
                                     "server")
        self.server.port = tcp_port(socks)
        for sock in socks:
            accept_on(sock, reactor, self._accept, config)
        if self.parent:
            path = self.parent.control_path
            self._control = ControlSocket(reactor, path, config["tcp-backlog"], self._accept_control)
            self._unix_paths.append(path)
        elif self.server.mode == "cluster":
            self._announce()
            for name in ("cluster-announce-ip", "cluster-announce-port", "cluster-announce-hostname"):
                config.subscribe(name, lambda value: self._announce())
        self.log.notice(f"Engine listens on {', '.join(map(where, socks))}")

    def _own_sockets(self) -> list[socket.socket]:
        """Those of an engine by itself, where port 0 means no TCP, as in Redis."""
        config = self.server.config
        socks: list[socket.socket] = []
        try:
            option = "port"
            if config["port"]:
                socks += tcp_sockets(config["bind"], config["port"], config["tcp-backlog"])
            option = "unixsocket"
            if config["unixsocket"]:
                socks.append(unix_socket(config["unixsocket"], config["unixsocketperm"], config["tcp-backlog"]))
                self._unix_paths.append(config["unixsocket"])
        except ConfigError as error:
            raise config.mistake(option, str(error)) from None
        return socks

    def _announce(self) -> None:
        """The topology of a cluster node by itself: one engine, with the address that the options say."""
        config, server = self.server.config, self.server
        old = server.topology or Topology.single(server.port, config["unixsocket"])
        server.node_id = old.engines[0].id
        server.install_topology(old.with_engine_facts(
            server.node_id, host=config["cluster-announce-ip"], hostname=config["cluster-announce-hostname"],
            port=config["cluster-announce-port"] or server.port))

    def _check_files(self) -> None:
        """Once a second: what somebody may have removed or renamed."""
        self._files_timer = self.loop.call_later(limits.CONTROL_CHECK_MS / 1000, self._check_files)
        self.log.check()
        if self.parent and self._control.check():
            self.log.warning(f"{self._control.path} was removed; it is there again")

    def _accept(self, transport: object) -> Session | None:
        server = self.server
        if server.limits.refuses(transport):
            return None
        server.stats.connections += 1
        return Session(server.dispatcher, server.clients, server.limits, not server.config["requirepass"])

    def _accept_control(self, transport: object) -> Session:
        server = self.server
        return Session(server.dispatcher, server.clients, server.limits, True, True)

    def _on_shutdown(self, save: bool | None, force: bool) -> bool:
        if self.parent:
            return self.parent.shutdown(save)
        return self._leave(save, force)

    def _on_parent_gone(self) -> None:
        self._leave(self.server.save_at_stop, force=True)

    def _leave(self, save: bool | None, force: bool) -> bool:
        """Bring to disk what belongs there, and end; False where that failed, and the engine stays.

        From then on no command runs: what it changed would be lost.
        """
        server = self.server
        if not server.persistence.leave(save, force):
            self.log.warning("Errors trying to shut down the server. Check the logs for more information.")
            return False
        self.cron.stop()
        self.loop.remove_reader(server.reactor.fileno())
        server.dispatcher.holder = Client()
        self.done.set()
        return True

    async def run(self) -> None:
        """Serve until a signal, the parent's end or SHUTDOWN."""
        reactor = self.server.reactor
        reactor.on_error = self._on_error
        reactor.on_warning = self.log.warning
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._on_signal, number)
        self.loop.add_signal_handler(signal.SIGUSR1, self.log.reopen)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)    # the end of a terminal; a supervisor reads its file again
        reactor.linger_ms = 1
        self.listen()
        self.loop.add_reader(reactor.fileno(), reactor.poll)
        self.cron.start()
        self._check_files()
        # no cycles are made while serving, and a collection would be a pause
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            await self._load()
        except LoadError as error:
            self.log.warning(str(error))
            self.log.warning("Fatal error loading the DB, check server logs. Exiting.")
            self.stop()
            raise
        if self.done.is_set():
            return self.stop()
        if self.parent:
            self.parent.ready(self.server.port)
        # under a supervisor that line is the supervisor's: it speaks for the whole tree
        (self.log.verbose if self.parent else self.log.notice)("Ready to accept connections")
        await self.done.wait()
        self.stop()

    async def _load(self) -> None:
        """Read what is on disk, a step at a time, between which the reactor serves. Raises LoadError."""
        server = self.server
        if self.done.is_set():
            return
        server.persistence.remove_leftovers()
        loading = Loading(server)
        if not loading.nothing:
            if self.parent:
                self.parent.loading()
            server.begin_loading(loading)
            while not self.done.is_set() and not loading.step(mono_us() + limits.LOAD_STEP_US):
                await asyncio.sleep(0)
            if self.done.is_set():
                return
            server.end_loading()
        server.aof.open()

    def _on_error(self, where: object, error: BaseException) -> None:
        """A defect of ours met a client's bytes: that connection is closed, and the log says where it was."""
        self.log.warning(f"Unexpected {type(error).__name__}, the connection is closed: {error}")
        for line in "".join(traceback.format_exception(error)).splitlines():
            self.log.warning(line)

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        self.log.warning(f"Received {name}, scheduling shutdown...")
        flags = self.server.config["shutdown-on-sigint" if number == signal.SIGINT else "shutdown-on-sigterm"]
        save = self.server.save_at_stop
        if save is None and ("save" in flags or "nosave" in flags):
            save = "save" in flags
        self._leave(save, "force" in flags)

    async def own_directory(self) -> int | None:
        """Under a supervisor: waits until nobody else writes into `dir`; a descriptor to keep.

        By itself it locks nothing, as a Redis, but where the directory is one of a tree: raises ConfigError if the tree
        runs, and if `dir` cannot be locked.
        """
        directory = self.server.config["dir"]
        if not self.parent and not os.path.exists(os.path.join(directory, ENGINE_LOCK)):
            return None
        try:
            if (fd := lock_directory(directory)) is None:
                if not self.parent:
                    raise ConfigError(f"dir '{directory}': an engine of a shardd that runs writes there; stop it first")
                self.log.warning(f"Another engine still writes into {directory}: waiting for its end")
            while fd is None and not self.done.is_set():
                await asyncio.sleep(_LOCK_LOOK_S)
                fd = lock_directory(directory)
            return fd
        except OSError as error:
            raise ConfigError(f"dir '{directory}': cannot be locked: {error.strerror}") from None

    def stop(self) -> None:
        """Close everything."""
        server = self.server
        self.log.notice(f"Bye: the engine stops; its longest batch of clients took {server.reactor.longest_us} us, its "
                        f"longest step of own work {server.longest_step_us} us")
        self.cron.stop()
        self._files_timer.cancel()
        self.loop.remove_reader(server.reactor.fileno())
        server.snapshots.stop()
        server.journal.flush()
        server.aof.close()
        server.reactor.close()
        for path in self._unix_paths:
            with contextlib.suppress(OSError):
                os.unlink(path)


def main() -> None:
    """The console script. Exits with 1, and one sentence on stderr, where the configuration is of no use."""
    try:
        config = Config.load(sys.argv[1:], PROGRAM)
        enter_directory(config["dir"])
        uvloop.run(_main(config))
    except (ConfigError, LoadError, OSError) as error:
        sys.exit(f"{PROGRAM}: {error}")


async def _main(config: Config) -> None:
    engine = Engine(config, asyncio.get_running_loop())
    with pid_file(config["pidfile"], engine.log.warning):
        await engine.own_directory()
        await engine.run()


if __name__ == "__main__":
    main()
