"""Whom shardctl asks: a supervisor over its socket, or any server (proxy, engine, a real Redis) at an address.

Owns: finding them, and the one interface to both. Does not own the connections (link.py), or what is asked.

                          supervisor                        a server
    status()              SHARDD STATUS                     INFO of it and of the engines that CLUSTER SHARDS names
    topology()            SHARDD TOPOLOGY                   CLUSTER SHARDS and INFO
    nodes                 every child, over <dir>/run/*.sock,   the server, and the engines over TCP, with our password
                          where nobody asks for a password
    control()             supervisor.sock                   the supervisor's, where the server's `dir` is on this host

So -p 6379 on the server's own host is as good as --dir: where the supervisor's socket can be opened, it is used.

status() gives {"supervisor": {"pid", "uptime_s", "stopping", "stored_epoch", "cluster_id" ...} or None, "epoch": n or
None, "children": [{"kind", "index", "state", ...}]}; what a source does not know is missing.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shardd.base import limits
from shardd.base.child import RUN_DIR, SUPERVISOR_SOCKET
from shardd.base.errors import CommandError, ConfigError
from shardd.cluster.topology import DOWN, UP, EngineInfo, SlotRange, Topology
from shardd.ctl.facts import Info, mapping, text
from shardd.ctl.link import NOBODY, Address, Connection, CtlError, Login, Node, Unreachable, UsageError, ask, shown

ENGINE, PROXY, SERVER = "engine", "proxy", "server"


class Source(ABC):
    """See the head of the module. A context manager.

    where: what is asked, for people. nodes: engines in order of index, then proxies (or the one server). is_local:
    whether the processes are on this host.
    """

    where: str
    is_local: bool
    nodes: list[Node]

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """Raises CtlError."""

    @abstractmethod
    def topology(self) -> Topology:
        """Raises CtlError; where the server is no cluster too."""

    @abstractmethod
    def control(self) -> Connection:
        """The supervisor's socket. Raises CtlError where there is none within reach."""

    @property
    def engines(self) -> list[Node]:
        """All that hold keys."""
        return [node for node in self.nodes if node.kind != PROXY]

    @property
    def proxies(self) -> list[Node]:
        return [node for node in self.nodes if node.kind == PROXY]

    def front(self) -> Node:
        """Who speaks for the whole: the first proxy that answers, or the only server. Raises Unreachable."""
        fronts = self.proxies or self.nodes
        if not fronts:
            raise Unreachable(f"{self.where}: nobody is there to be asked")
        failure: Unreachable | None = None
        for node in fronts:
            try:
                node.call("PING")
                return node
            except Unreachable as error:
                failure = failure or error
            except CommandError:
                return node
        raise failure or Unreachable(f"{self.where} does not answer")

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# --- the supervisor -----------------------------------------------------------------------------------------------

class SupervisorSource(Source):
    """Asks the supervisor, which knows everything, and its children over their own sockets."""

    is_local = True

    def __init__(self, path: str, connection: Connection | None = None) -> None:
        """connection: one to `path`, where there is one already."""
        self.where = path
        try:
            self._connection = connection or Connection(path, timeout_ms=2 * limits.CONTROL_REPLY_MS)
        except Unreachable as error:
            raise Unreachable(f"{error}. Does shardd run there?") from None
        self.nodes = []
        self._first: dict[str, Any] | None = None
        self._first = self.status()

    def status(self) -> dict[str, Any]:
        """Brings `nodes` up to date, too. The first answer is the one that `nodes` was made from: with a hung engine
        each takes the supervisor seconds."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        facts = self._json("SHARDD", "STATUS")
        if not isinstance(facts, dict) or "children" not in facts:
            raise Unreachable(f"{self.where} is not a supervisor's socket")
        known = {(node.kind, node.index): node for node in self.nodes}
        self.nodes = []
        for child in facts["children"]:
            node = known.pop((child["kind"], child["index"]), None)
            if node is None or node.facts.get("pid") != child.get("pid"):
                if node is not None:
                    node.close()
                node = Node(child["kind"], child["index"], child["socket"])
            node.facts, node.down = child, _why_down(child)
            self.nodes.append(node)
        for node in known.values():
            node.close()
        supervisor = {name: value for name, value in facts.items() if name not in ("children", "epoch")}
        return {"supervisor": supervisor, "epoch": facts.get("epoch"), "children": facts["children"]}

    def topology(self) -> Topology:
        return Topology.loads(self._ask("SHARDD", "TOPOLOGY"))

    def control(self) -> Connection:
        return self._connection

    def _ask(self, *words: str) -> Any:
        try:
            return self._connection.call(*words)
        except CommandError as error:
            raise CtlError(f"the supervisor answers: {error}") from None

    def _json(self, *words: str) -> Any:
        return json.loads(self._ask(*words))

    def close(self) -> None:
        super().close()
        self._connection.close()


def _why_down(child: dict[str, Any]) -> str | None:
    """Why nobody need try to ask a child, None where it may answer.

    The supervisor has just waited for its answer: to wait for the same silence again, question by question, would tell
    nothing new.
    """
    if not child.get("pid"):
        return f"is not running (state {child.get('state')})"
    return None if child.get("answers") else f"does not answer the supervisor (state {child.get('state')})"


# --- a server -----------------------------------------------------------------------------------------------------

class ServerSource(Source):
    """Asks a server, and each engine that it names."""

    def __init__(self, address: Address, login: Login = NOBODY) -> None:
        self.where, self._login = shown(address), login
        self.is_local = isinstance(address, str) or address[0] in ("127.0.0.1", "::1", "localhost")
        self._control: Connection | None = None
        self.server = Node(SERVER, 0, address, login)
        self.info = self._first_info()
        self.is_cluster = self.info.text("redis_mode") == "cluster"
        if self.info.text("shardd_role") == PROXY:
            self.server.kind = PROXY
        self._shards = self._engines() if self.is_cluster else []
        engines = [Node(ENGINE, index, self._address(engine), login) for index, engine in enumerate(self._shards)]
        if self.server.kind == PROXY:
            self.nodes = [*engines, self.server]
        else:
            self.nodes = engines or [self.server]

    def _first_info(self) -> Info:
        try:
            return Info(self.server.call("INFO"))
        except CommandError as error:
            hint = ": give the password with --pass, or as SHARDD_AUTH in the environment" \
                if str(error).startswith("NOAUTH") else ""
            raise Unreachable(f"{self.where} answers: {error}{hint}") from None

    def _address(self, engine: EngineInfo) -> Address:
        return (engine.host or (self.server.address[0] if not isinstance(self.server.address, str) else "127.0.0.1"),
                engine.port)

    def _call(self, *words: str) -> Any:
        try:
            return self.server.call(*words)
        except CommandError as error:
            raise CtlError(f"{self.where} answers: {error}") from None

    def _engines(self) -> list[EngineInfo]:
        """In order of slot; those without slots last."""
        self._ranges: list[SlotRange] = []
        found = []
        shards = sorted((mapping(shard) for shard in self._call("CLUSTER", "SHARDS")),
                        key=lambda shard: min(shard["slots"], default=limits.SLOTS))
        for index, shard in enumerate(shard for shard in shards if shard["nodes"]):
            node = mapping(shard["nodes"][0])
            node_id = text(node["id"])
            host = text(node.get("endpoint") or node.get("ip") or b"")
            found.append(EngineInfo(node_id, node_id, index, "" if host == "?" else host, node.get("port", 0),
                                    state=UP if node.get("health") == b"online" else DOWN))
            numbers = shard["slots"]
            self._ranges += [SlotRange(first, last, node_id) for first, last in zip(numbers[::2], numbers[1::2])]
        return found

    def topology(self) -> Topology:
        """Made from CLUSTER SHARDS and CLUSTER INFO: indexes count in order of slot, migrations are not seen."""
        if not self.is_cluster:
            raise CtlError(f"{self.where} is a single server without slots (cluster support disabled)")
        self._shards = self._engines()
        info = Info(self._call("CLUSTER", "INFO"))
        return Topology(info.integer("cluster_current_epoch") or 0, "0" * 40, tuple(self._shards), tuple(self._ranges))

    def status(self) -> dict[str, Any]:
        topology = self.topology() if self.is_cluster else None
        children = []
        for node, answer in ask(self.nodes, "INFO").items():
            facts: dict[str, Any] = {"kind": node.kind, "index": node.index, "address": shown(node.address)}
            if topology is not None and node.kind == ENGINE:
                engine = topology.engines[node.index]
                facts |= {"id": engine.id, "port": engine.port, "slots": topology.slot_count(engine.id)}
            if isinstance(answer, Unreachable):
                facts |= {"state": "down", "answers": False, "error": str(answer)}
            else:   # who answers is up, even where INFO is refused
                facts |= {"state": "up", "answers": True}
                facts |= {} if isinstance(answer, CommandError) else _facts_of(Info(answer), node.kind)
            children.append(facts)
        return {"supervisor": None, "epoch": topology.epoch if topology else None, "children": children}

    def front(self) -> Node:
        """The server that was named, whatever it is."""
        return self.server

    def control(self) -> Connection:
        if self._control is None:
            self._control = self._find_supervisor()
        return self._control

    def _find_supervisor(self) -> Connection:
        """In the server's own dir, or the tree's that it is in, if that is on this host and the supervisor there has this
        process as a child."""
        need = (f"this needs the supervisor, and {self.where} alone does not lead to it: run shardctl on the server's "
                "host, as its user, with --dir DIR")
        try:
            directory = Path(text(self.server.call("CONFIG", "GET", "dir")[1]))
            above = directory.parent.parent     # an engine's is <dir>/data-<n>/engine-<i>
            path = next(filter(os.path.exists, map(socket_in, (directory, above))), socket_in(directory))
            connection = Connection(path, timeout_ms=2 * limits.CONTROL_REPLY_MS)
        except (CommandError, IndexError, TypeError, Unreachable):
            raise UsageError(need) from None
        try:
            children = json.loads(connection.call("SHARDD", "STATUS"))["children"]
        except (CommandError, Unreachable, ValueError, KeyError, TypeError):
            children = []
        if self.info.integer("process_id") not in [child.get("pid") for child in children]:
            connection.close()
            raise UsageError(need)
        return connection

    def close(self) -> None:
        super().close()
        self.server.close()
        if self._control is not None:
            self._control.close()


def _facts_of(info: Info, kind: str) -> dict[str, Any]:
    """What `status` shows of a process, as INFO knows it."""
    facts: dict[str, Any] = {}
    for name, field in (("pid", "process_id"), ("port", "tcp_port"), ("clients", "connected_clients"),
                        ("ops", "instantaneous_ops_per_sec"), ("uptime_s", "uptime_in_seconds")):
        if (value := info.integer(field)) is not None:
            facts[name] = value
    if kind != PROXY:   # a proxy's INFO has the engines' sums
        facts["keys"] = info.keys
        if (used := info.integer("used_memory")) is not None:
            facts["used_memory_bytes"] = used
    return facts


class Late(Source):
    """One that is opened when it is first asked. opens: raises CtlError."""

    is_local = True

    def __init__(self, opens: Callable[[], Source]) -> None:
        self.where, self.nodes = "", []
        self._opens = opens
        self._source: Source | None = None

    def _open(self) -> Source:
        if self._source is None:
            self._source = self._opens()
            self.where, self.nodes, self.is_local = self._source.where, self._source.nodes, self._source.is_local
        return self._source

    def status(self) -> dict[str, Any]:
        return self._open().status()

    def topology(self) -> Topology:
        return self._open().topology()

    def control(self) -> Connection:
        return self._open().control()

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


# --- finding ------------------------------------------------------------------------------------------------------

def socket_in(directory: str | os.PathLike[str]) -> str:
    """The supervisor's socket of the tree on `directory`."""
    return os.fspath(Path(directory) / RUN_DIR / SUPERVISOR_SOCKET)


def dir_of_conf(conf: str) -> str:
    """The `dir` that a configuration file names. Raises UsageError."""
    from shardd.base.options import Config  # only here: the other ways need no option table

    try:
        return str(Config.load([conf], "shardctl")["dir"])
    except ConfigError as error:
        raise UsageError(str(error)) from None


def open_source(*, directory: str | None = None, conf: str | None = None, path: str | None = None,
                host: str | None = None, port: int | None = None, login: Login = NOBODY,
                as_server: bool = False) -> Source:
    """What the command line names; nothing: the tree on the working directory, else the server on 127.0.0.1:6379.

    as_server: a server that was named is asked itself, even where the supervisor is within reach. Raises CtlError.
    """
    if path is not None:
        return _open_path(path, login, as_server)
    if host is not None or port is not None:
        return _open_server((host or "127.0.0.1", port or 6379), login, as_server)
    if conf is not None:
        directory = dir_of_conf(conf)
    supervisor = socket_in(directory or ".")
    if os.path.exists(supervisor):
        return SupervisorSource(supervisor)
    if directory is not None:
        raise Unreachable(f"no shardd runs on {directory}: there is no {supervisor}. Start it, or name another place")
    try:
        return _open_server(("127.0.0.1", 6379), login, as_server)
    except Unreachable as error:
        raise Unreachable(f"no shardd runs in this directory (there is no {supervisor}), and the default server does "
                          f"not help: {error}. Say where with --dir, --conf, -s SOCKET or -h HOST -p PORT") from None


def _open_path(path: str, login: Login, as_server: bool) -> Source:
    """A Unix socket: a supervisor's, or a server's."""
    connection = Connection(path, timeout_ms=2 * limits.CONTROL_REPLY_MS)
    try:
        if "children" in json.loads(connection.call("SHARDD", "STATUS")):
            return SupervisorSource(path, connection)
    except (CommandError, ValueError, TypeError):
        pass
    connection.close()
    return _open_server(path, login, as_server)


def _open_server(address: Address, login: Login, as_server: bool) -> Source:
    server = ServerSource(address, login)
    if as_server:
        return server
    try:
        connection = server.control()
    except UsageError:
        return server
    server._control = None      # it goes on in the other source
    server.close()
    return SupervisorSource(connection.shown, connection)
