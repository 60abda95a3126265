"""Where shardctl's facts come from: the supervisor's socket, or a server's CLUSTER replies.

Owns: a blocking RESP2 connection and the two sources. Does not own how the facts are shown (main.py).

What a source gives:

    status()    {"server": text, "epoch": n, "children": [{"kind", "index", "state", ...}]}; fields that a source
                does not know are missing
    topology()  a Topology
    ping()      {"supervisor": True, "engine 0": True ...}: who answers
"""

import json
import os
import socket
from pathlib import Path
from typing import Any, Protocol

from shardd.base import limits
from shardd.base.child import RUN_DIR, SUPERVISOR_SOCKET
from shardd.base.errors import CommandError, ConfigError
from shardd.cluster.topology import DOWN, UP, EngineInfo, SlotRange, Topology
from shardd.wire.plain import Decoder, ProtocolError, encode_command


class SourceError(Exception):
    """Nobody answers, or not with what was asked for; the message says what to do."""


class Source(Protocol):
    """See the head of the module. A context manager."""

    def status(self) -> dict[str, Any]: ...

    def topology(self) -> Topology: ...

    def ping(self) -> dict[str, bool]: ...

    def __enter__(self) -> "Source": ...

    def __exit__(self, *_: object) -> None: ...


class Connection:
    """A blocking connection with one time-out for everything. Raises SourceError; error replies raise CommandError."""

    def __init__(self, address: str | tuple[str, int], timeout_ms: int = 2 * limits.CONTROL_REPLY_MS) -> None:
        self.shown = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        try:
            if isinstance(address, str):
                self._sock = socket.socket(socket.AF_UNIX)
                self._sock.settimeout(timeout_ms / 1000)
                self._sock.connect(address)
            else:
                self._sock = socket.create_connection(address, timeout_ms / 1000)
        except OSError as error:
            raise SourceError(f"cannot connect to {self.shown}: {error.strerror or error}") from None
        self._decoder = Decoder()

    def call(self, *words: str | bytes | int) -> Any:
        try:
            self._sock.sendall(encode_command(*words))
            while True:
                data = self._sock.recv(64 * limits.KIB)
                if not data:
                    raise SourceError(f"{self.shown} closed the connection")
                values = self._decoder.feed(data)
                if values:
                    break
        except OSError as error:
            raise SourceError(f"{self.shown} does not answer: {error.strerror or error}") from None
        except ProtocolError as error:
            raise SourceError(f"{self.shown} does not speak RESP: {error}") from None
        if isinstance(values[0], CommandError):
            raise values[0]
        return values[0]

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_socket(directory: str | None, conf: str | None) -> str:
    """The supervisor's socket: in `directory`, in the dir that the file `conf` names, or in the working directory."""
    if conf is not None:
        directory = _dir_of_conf(conf)
    path = Path(directory or ".") / RUN_DIR / SUPERVISOR_SOCKET
    if path.exists():
        return os.fspath(path)
    if directory is None:
        raise SourceError("no shardd runs in this directory (there is no run/supervisor.sock): say where with --dir, "
                          "--conf or --socket, or ask a server with -h HOST -p PORT")
    raise SourceError(f"no shardd runs on {directory}: there is no {path}")


def _dir_of_conf(conf: str) -> str:
    from shardd.base.options import Config  # only here: the other ways need no option table

    try:
        return str(Config.load([conf], "shardctl")["dir"])
    except ConfigError as error:
        raise SourceError(str(error)) from None


class SupervisorSource:
    """Asks the supervisor, which knows everything."""

    def __init__(self, path: str) -> None:
        try:
            self._connection = Connection(path)
        except SourceError as error:
            raise SourceError(f"{error}. Does shardd run there?") from None

    def status(self) -> dict[str, Any]:
        facts = self._json("SHARDD", "STATUS")
        return {"server": f"shardd (pid {facts['pid']})"} | facts

    def topology(self) -> Topology:
        return Topology.loads(self._ask("SHARDD", "TOPOLOGY"))

    def ping(self) -> dict[str, bool]:
        self._ask("PING")
        children = self._json("SHARDD", "STATUS")["children"]
        return {"supervisor": True} | {f"{c['kind']} {c['index']}": bool(c["answers"]) for c in children}

    def _ask(self, *words: str) -> Any:
        try:
            return self._connection.call(*words)
        except CommandError as error:
            raise SourceError(f"the supervisor answers: {error}") from None

    def _json(self, *words: str) -> Any:
        return json.loads(self._ask(*words))

    def __enter__(self) -> "SupervisorSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class TcpSource:
    """Asks a server (a proxy or an engine) over TCP, and each engine that it names."""

    def __init__(self, host: str, port: int, password: str | None = None) -> None:
        self.host, self.port, self._password = host, port, password
        self._connection = self._open(host, port)

    def _open(self, host: str, port: int) -> Connection:
        connection = Connection((host, port))
        try:
            if self._password is not None:
                connection.call("AUTH", self._password)
            connection.call("PING")
        except (SourceError, CommandError) as error:
            connection.close()
            hint = " (give the password with -a)" if str(error).startswith("NOAUTH") else ""
            raise SourceError(f"{host}:{port} answers: {error}{hint}") from None
        return connection

    def topology(self) -> Topology:
        """Made from CLUSTER SHARDS and CLUSTER INFO: indexes count in order of slot, migrations are not seen."""
        engines, ranges = [], []
        for index, shard in enumerate(sorted(map(_as_dict, self._ask("CLUSTER", "SHARDS")), key=_first_slot)):
            node = _as_dict(shard[b"nodes"][0])
            engine = EngineInfo(node[b"id"].decode(), node[b"id"].decode(), index, node[b"endpoint"].decode(),
                                node[b"port"], state=UP if node[b"health"] == b"online" else DOWN)
            engines.append(engine)
            numbers = shard[b"slots"]
            ranges += [SlotRange(first, last, engine.id) for first, last in zip(numbers[::2], numbers[1::2])]
        info = dict(line.partition(":")[::2] for line in self._ask("CLUSTER", "INFO").decode().split("\r\n"))
        return Topology(int(info.get("cluster_current_epoch", 0)), "0" * 40, tuple(engines), tuple(ranges))

    def status(self) -> dict[str, Any]:
        topology = self.topology()
        children = []
        for engine in topology.engines:
            facts: dict[str, Any] = {"kind": "engine", "index": engine.index, "id": engine.id, "port": engine.port,
                                     "slots": topology.slot_count(engine.id), "state": "down"}
            try:
                with self._open(engine.host, engine.port) as connection:
                    facts |= _facts_of_info(connection)
            except SourceError:
                pass
            children.append(facts)
        return {"server": f"{self.host}:{self.port}", "epoch": topology.epoch, "children": children}

    def ping(self) -> dict[str, bool]:
        answers = {f"{self.host}:{self.port}": True}
        for engine in self.topology().engines:
            try:
                self._open(engine.host, engine.port).close()
                answers[f"engine {engine.index}"] = True
            except SourceError:
                answers[f"engine {engine.index}"] = False
        return answers

    def _ask(self, *words: str) -> Any:
        try:
            return self._connection.call(*words)
        except CommandError as error:
            raise SourceError(f"{self.host}:{self.port} answers: {error}") from None

    def __enter__(self) -> "TcpSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _as_dict(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2]))


def _first_slot(shard: dict[bytes, Any]) -> int:
    return min(shard[b"slots"], default=limits.SLOTS)


def _facts_of_info(connection: Connection) -> dict[str, Any]:
    """The columns of `status` that INFO knows; an engine that answers is up even where it refuses INFO."""
    try:
        text = connection.call("INFO").decode("utf-8", "replace")
    except CommandError:
        return {"state": "up"}
    info = dict(line.partition(":")[::2] for line in text.split("\r\n"))
    facts: dict[str, Any] = {"state": "up"}
    for name, field in (("pid", "process_id"), ("used_memory_bytes", "used_memory"), ("clients", "connected_clients"),
                        ("ops", "instantaneous_ops_per_sec"), ("uptime_s", "uptime_in_seconds")):
        if field in info:
            facts[name] = int(info[field])
    facts["keys"] = sum(int(value.partition("keys=")[2].partition(",")[0] or 0)
                        for name, value in info.items() if name.startswith("db") and "keys=" in value)
    return facts
