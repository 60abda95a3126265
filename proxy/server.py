"""The proxy as plain handlers see it: its configuration, its clients, its engines, its figures.

Owns: the object that handlers get as `server`, the topology that is installed, what the control socket answers. Does
not own sockets and signals (main), or any command (handlers, aggregate, commands.connection, commands.introspect).

The first attributes are those of engine.server.Server (config, clients, mode, databases, built), so that the
shared handlers run here too.
"""
import json
import os
import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from proxy import aggregate, blocking, clients, handlers, info, joint, observe, persistence
from proxy.backend import Backends, Engine
from proxy.merge import Ask, run_alone
from proxy.peers import Peers
from proxy.replies import Outbox
from proxy.router import Router
from proxy.session import ProxySession, Shared
from shardd.base import errors, limits
from shardd.base.clock import mono_ms, now_us
from shardd.base.errors import CommandError, ConfigError
from shardd.base.log import Log
from shardd.base.options import Config
from shardd.base.rates import Rates
from shardd.cluster import view
from shardd.cluster.topology import NOBODY, Topology, TopologyError
from shardd.commands import connection
from shardd.commands.info import resident_bytes
from shardd.net.client import Clients
from shardd.net.client_eviction import ClientEviction
from shardd.net.pause import Pause
from shardd.net.policy import ConnectionLimits
from shardd.net.reactor import Reactor
from shardd.net.transport import Transport
from shardd.wire.request import RequestParser
from shardd.wire.values import OK

_CLIENT_OBJECTS_BYTES = ProxySession.__basicsize__ + Transport.__basicsize__

_SAMPLE_TURNS = 5
"""Rates are sampled twice a second: the bytes of all clients are added up for it."""


class Stats:
    """What is counted outside of the hot path. The counters of policy, and rates sampled by cron."""

    def __init__(self) -> None:
        self.recent = Rates(3)
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.connections = 0
        self.rejected_connections = 0
        self.output_limit_closes = 0
        self.query_limit_closes = 0
        self.closed_bytes_in = self.closed_bytes_out = 0
        self.recent.clear()

    def rates(self) -> tuple[float, ...]:
        """Commands, bytes in and bytes out per second over the last samples."""
        return self.recent.per_second()


class _Nobody:
    """On whose behalf the proxy asks its own questions."""

    db = 0
    resp = 2


class ProxyServer:
    """One proxy.

    config: the user's options, all of them; clients; mode: "cluster", since smart clients may start here too;
    databases; built: names of all commands that exist for clients. topology: the one in force, None before the first;
    view: how clients see it; node_id: "", a proxy is none of the engines. rewrite_path: the file of CONFIG REWRITE.
    index: which proxy of the tree this is; proxies: how many there are; run_dir: where their control sockets are, None
    for a proxy without a supervisor; generation: how many processes were this proxy before.
    """

    mode = "cluster"
    view = view
    node_id = ""

    def __init__(self, config: Config, log: Log, rewrite_path: str | None = None, index: int = 0,
                 proxies: int = 1, run_dir: Path | None = None, generation: int = 0) -> None:
        self.config, self.log = config, log
        self.rewrite_path = rewrite_path
        self.index = index
        self.port = 0
        self.run_id = secrets.token_hex(20)
        self.started = now_us() / 1e6     # unix time, seconds
        self.databases: int = config["databases"]
        self.clients = Clients(index + 1 + generation * limits.CLIENT_IDS_OF_PROCESS * proxies, proxies)
        self.stats = Stats()
        self.limits = ConnectionLimits(config, self.clients, log, self.stats)
        self.reactor = Reactor()
        self.outbox = Outbox()
        self.outbox.on_slow = self.limits.check_output
        self.backends = Backends(self.reactor, self.outbox)
        self.backends.on_warning = log.warning
        self.backends.password = config["requirepass"]
        self.router = Router(handlers.SHARED | handlers.HANDLERS | clients.HANDLERS | aggregate.HANDLERS
                             | observe.HANDLERS | blocking.HANDLERS | persistence.HANDLERS | joint.TASKS,
                             joint.HANDLERS)
        self.parser = RequestParser(config["proto-max-bulk-len"])
        self.shared = Shared(self.reactor, self.outbox, self.backends, self.router, self.parser, self, self.limits)
        self.reactor.after_batch = self.shared.flush
        self.client_eviction = ClientEviction(self.clients, log, self._buffered, connection.describe)
        self.pause = Pause(self.shared)
        self.peers = Peers(self, self.backends, run_dir, index, proxies)
        self.topology: Topology | None = None
        self.on_topology: Callable[[], None] = lambda: None
        self.on_shutdown: Callable[[bool | None], bool] = lambda save: False
        self.on_drain: Callable[[int], object] = lambda grace_ms: None
        self.draining = False
        self.on_configured: Callable[[dict[str, str]], object] = lambda values: False
        self.slow_clients: dict[str, tuple[str, str]] = {}      # slow log entry's token -> its client's address, name
        self.backends.on_slow = self._note_slow
        self._asked_commands = False
        self._turn = 0
        self.backends.retry_ms = config["proxy-retry-ms"]
        self.shared.memory_max = config["proxy-memory-limit"]
        self._bound_clients(config["maxmemory-clients"])
        self.client_eviction.set_maxmemory(config["maxmemory"])
        config.subscribe("maxmemory-clients", self._bound_clients)
        config.subscribe("maxmemory", self.client_eviction.set_maxmemory)
        config.subscribe("proxy-retry-ms", lambda retry_ms: setattr(self.backends, "retry_ms", retry_ms))
        config.subscribe("proxy-memory-limit", lambda size: setattr(self.shared, "memory_max", size))
        config.subscribe("proto-max-bulk-len", self.parser.set_bulk_max)
        config.subscribe("loglevel", log.set_level)
        config.subscribe("cluster-announce-port", self._check_announced)
        self._sample_latency(config["proxy-latency-sample"])
        config.subscribe("proxy-latency-sample", self._sample_latency)
        config.subscribe("requirepass", lambda password: setattr(self.backends, "password", password))

    def _bound_clients(self, setting: int) -> None:
        """maxmemory-clients"""
        self.client_eviction.set_limit(setting)
        self.reactor.after_batch = self._after_batch if setting else self.shared.flush

    def _after_batch(self) -> None:
        self.shared.flush()
        self.client_eviction.check()

    def _buffered(self) -> int:
        return self.shared.held_bytes + _CLIENT_OBJECTS_BYTES * len(self.clients.by_id)

    def _check_announced(self, port: int) -> None:
        """CONFIG SET cluster-announce-port: every engine must get a port. Raises ConfigError."""
        if port + len(self.engines) - 1 > limits.PORT_MAX:
            raise ConfigError(errors.no_ports(len(self.engines)))

    # --- connections ----------------------------------------------------------------------------------------------

    def accept(self, transport: Any) -> ProxySession | None:
        """A listener's factory for clients."""
        if self.limits.refuses(transport):
            return None
        self.stats.connections += 1
        return ProxySession(self.shared, self.clients, not self.config["requirepass"])

    def accept_control(self, transport: Any) -> ProxySession:
        """The control socket's factory: who can open it is trusted."""
        return ProxySession(self.shared, self.clients, True, True)

    def on_lost(self, client: ProxySession, reason: object) -> None:
        """A connection is over."""
        self.stats.closed_bytes_in += client.transport.bytes_in
        self.stats.closed_bytes_out += client.transport.bytes_out

    # --- topology and engines -------------------------------------------------------------------------------------

    @property
    def built(self) -> frozenset[str]:
        return self.router.built

    @property
    def engines(self) -> list[Engine]:
        """In the topology's order."""
        return self.backends.engines

    def install_topology(self, topology: Topology) -> bool:
        """Route by `topology` if it is newer; whether it was."""
        if self.topology is not None and topology.epoch <= self.topology.epoch:
            return False
        self.topology = topology
        self.backends.install(topology)
        self.shared.epoch += 1
        unserved = sum(1 for owner in topology.owners if owner == NOBODY)
        self.log.notice(f"Topology epoch {topology.epoch}: {len(topology.engines)} engines"
                        + (f", {unserved} slots are served by nobody" if unserved else ""))
        self.on_topology()
        return True

    def owner(self, slot: int) -> Engine:
        """The engine of a slot. CommandError where there is none."""
        position = self.topology.owners[slot] if self.topology is not None else NOBODY
        if position == NOBODY:
            raise CommandError(errors.CLUSTERDOWN_SLOT)
        return self.engines[position]

    def some_engine(self) -> Engine:
        """An engine for what all know alike, one that answers where there is one. CommandError."""
        if not self.engines:
            raise CommandError(errors.CLUSTERDOWN)
        return next((engine for engine in self.engines if engine.up), self.engines[0])

    def run(self, coroutine: Coroutine[Any, Any, Any], in_order: bool = False) -> None:
        """Drive a coroutine that no client waits for. in_order: what it asks goes the way of clients' commands."""
        run_alone(self.backends, _Nobody(), coroutine, in_order)

    def _sample_latency(self, every: int) -> None:
        self.backends.latency.set_every(every, self.shared.commands)

    def check(self) -> None:
        """Cron, ten times a second."""
        self.backends.check(mono_ms())
        if not self.draining:       # its successor speaks in its place
            self.peers.check()
        self.pause.check()
        self._turn += 1
        if self._turn % _SAMPLE_TURNS == 0:
            self.stats.recent.sample(self.shared.commands, *self.traffic_bytes())
        if not self._asked_commands and any(engine.up for engine in self.engines):
            self._asked_commands = True
            self.run(self._learn_commands())
        self.shared.flush()

    async def _learn_commands(self) -> None:
        """Ask an engine what it has. One that does not know the question has, as far as we know, everything."""
        [names] = await Ask([(self.some_engine(), [b"SHARDD", b"COMMANDS"])])
        if isinstance(names, CommandError):
            self._asked_commands = not names.text.startswith((b"CLUSTERDOWN", b"ERR engine"))
            return
        self.router.set_built(frozenset(name.decode() for name in names))

    # --- figures --------------------------------------------------------------------------------------------------

    @property
    def uptime_s(self) -> int:
        return int(now_us() / 1e6 - self.started)

    def traffic_bytes(self) -> tuple[int, int]:
        """Bytes from and to clients since the start, or CONFIG RESETSTAT."""
        transports = [client.transport for client in self.clients.by_id.values()]
        return (self.stats.closed_bytes_in + sum(one.bytes_in for one in transports),
                self.stats.closed_bytes_out + sum(one.bytes_out for one in transports))

    def _note_slow(self, token: bytes, client: Any) -> None:
        """An engine has put a command of this client into its slow log; None: of one that has gone, or of nobody."""
        if client is None or client.transport is None:
            return
        self.slow_clients[token.decode("latin-1")] = (client.transport.peer, client.name.decode("latin-1"))
        while len(self.slow_clients) > limits.PROXY_SLOW_CLIENTS_MAX:
            del self.slow_clients[next(iter(self.slow_clients))]

    def reset_counters(self) -> None:
        """CONFIG RESETSTAT."""
        self.stats.reset()
        self.shared.reset_counters()
        self.clients.reset_counters()
        self.reactor.reset_counters()
        self.client_eviction.evicted = 0

    def status(self) -> dict[str, Any]:
        """What SHARDD STATUS tells the supervisor."""
        return {"pid": os.getpid(), "epoch": self.topology.epoch if self.topology else 0, "port": self.port,
                "uptime_s": self.uptime_s, "clients": len(self.clients), "ops": round(self.stats.rates()[0]),
                "used_memory_bytes": resident_bytes(), "engines_up": sum(engine.up for engine in self.engines)}

    # --- the control socket ---------------------------------------------------------------------------------------

    def control(self, client: ProxySession, args: list[bytes]) -> Any:
        """SHARDD TOPOLOGY [json], STATUS, METRICS, CONFIG and DRAIN, and what proxies ask each other (proxy.peers), on
        control connections. Raises CommandError.

        SHARDD CONFIG name text ... is what another proxy's client has set: of this process alone.
        """
        word = args[1].lower() if len(args) > 1 else b""
        if word == b"proxy" and len(args) == 2:     # another proxy's greeting
            return OK
        if word == b"peer" and len(args) == 5 and all(word.isdigit() for word in args[2:]):
            return self.peers.heard(*map(int, args[2:]))
        if word == b"figures" and len(args) == 2:
            return json.dumps(info.figures(self))
        if word == b"resetstat" and len(args) == 2:
            self.reset_counters()
            return OK
        if word == b"slow" and len(args) == 2:
            return json.dumps(self.slow_clients)
        if word == b"client" and len(args) > 2:
            return clients.of_this_process(self, client, args[1:])
        if word == b"status" and len(args) == 2:
            return json.dumps(self.status())
        if word == b"metrics" and len(args) == 2:
            return json.dumps(info.metrics(self))
        if word == b"latency" and len(args) == 2:
            return json.dumps(self.backends.latency.dump())
        if word == b"topology" and len(args) == 2:
            return self.topology.dumps() if self.topology is not None else None
        if word == b"topology" and len(args) == 3:
            try:
                self.install_topology(Topology.loads(args[2]))
            except TopologyError as error:
                raise CommandError(f"ERR {error}".encode()) from None
            return OK
        if word == b"config" and len(args) > 2 and len(args) % 2 == 0:
            self.config.set_many(list(zip(args[2::2], args[3::2])), local=True, trusted=True)
            return OK
        if word == b"drain" and len(args) == 3 and args[2].isdigit():
            self.draining = True
            self.on_drain(int(args[2]))
            return OK
        raise CommandError(errors.unknown_subcommand(args[0], word))

    def shutdown(self, save: bool | None, force: bool = False) -> bool:
        """SHUTDOWN: the whole tree stops. False where that cannot be asked for. force: the engines decide by
        themselves what to do where they cannot save."""
        return self.on_shutdown(save)
