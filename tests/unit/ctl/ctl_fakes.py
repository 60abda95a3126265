"""A tree that exists in memory alone: every process answers from a table, and remembers what it was asked."""

import io
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shardd.base.backup import Manifest, Part, checksum
from shardd.base.errors import CommandError
from shardd.cluster.topology import UP, EngineInfo, Topology
from shardd.ctl import main
from shardd.ctl.command import App
from shardd.ctl.link import CtlError, Node, Unreachable
from shardd.ctl.show import Screen
from shardd.ctl.source import Source
from shardd.structures.crc64 import crc64_of


class FakeNode(Node):
    """answers: upper-case words, or the first of them -> the reply, a function of the words, or an Exception."""

    def __init__(self, kind: str, index: int, facts: dict[str, Any] | None = None, **answers: Any) -> None:
        super().__init__(kind, index, f"/fake/run/{kind}-{index}.sock", facts=facts)
        self.answers: dict[str, Any] = {"PING": b"PONG"} | {name.replace("_", " "): value
                                                           for name, value in answers.items()}
        self.asked: list[list[str]] = []
        self._replies: deque[Any] = deque()

    def connection(self) -> Any:
        if self.down is not None:
            raise Unreachable(f"{self.name} {self.down}")
        return self

    def send(self, *words: Any) -> None:
        self.connection()
        texts = [str(word) for word in words]
        self.asked.append(texts)
        for count in range(len(texts), 0, -1):
            name = " ".join(texts[:count]).upper()
            if name in self.answers:
                value = self.answers[name]
                break
        else:
            value = CommandError(b"ERR unknown command '%b'" % texts[0].encode())
        self._replies.append(value(*texts) if callable(value) else value)

    def receive(self) -> Any:
        reply = self._replies.popleft()
        if isinstance(reply, Unreachable):
            raise reply
        return reply

    def close(self) -> None:
        pass


class FakeControl:
    """The supervisor's socket. scripts: upper-case words -> the values of a streaming verb. does: upper-case words ->
    what else is done, with the words as they came."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Any]] = {}
        self.does: dict[str, Callable[..., object]] = {}
        self.asked: list[str] = []
        self._values: deque[Any] = deque()

    def send(self, *words: Any) -> None:
        name = " ".join(map(str, words)).upper()
        self.asked.append(name)
        self.does.get(" ".join(name.split()[:2]), lambda *words: None)(*words)
        self._values.extend(self.scripts.get(name, [CommandError(b"ERR unknown command 'SHARDD'")]))

    def receive(self, timeout_s: float | None = None) -> Any:
        return self._values.popleft()

    def call(self, *words: Any) -> Any:
        return b"PONG"


class FakeSource(Source):
    """Two engines and a proxy that are well."""

    where = "/fake/run/supervisor.sock"
    is_local = True

    def __init__(self, engines: int = 2, proxies: int = 1) -> None:
        infos = [EngineInfo(f"{index + 10:040x}", f"{index + 20:040x}", index, port=40001 + index, state=UP)
                 for index in range(engines)]
        self.map = Topology.even(infos, "c" * 40, epoch=7)
        self.nodes = [FakeNode("engine", engine.index, self._child("engine", engine.index, id=engine.id, keys=5,
                                                                  slots=self.map.slot_count(engine.id)))
                      for engine in infos]
        self.nodes += [FakeNode("proxy", index, self._child("proxy", index, id="d" * 40)) for index in range(proxies)]
        self.supervisor: dict[str, Any] | None = {"pid": 1, "uptime_s": 10, "stopping": False, "stored_epoch": 7,
                                                  "cluster_id": "c" * 40}
        self.connection = FakeControl()

    @staticmethod
    def _child(kind: str, index: int, **facts: Any) -> dict[str, Any]:
        return {"kind": kind, "index": index, "state": "up", "pid": 100 + index + 50 * (kind == "proxy"), "port": 6379,
                "answers": True, "epoch": 7, "known_epoch": 7, "restarts": 0, "uptime_s": 9, "clients": 2, "ops": 3,
                "used_memory_bytes": 2048, "cpus": [], "socket": f"/fake/run/{kind}-{index}.sock"} | facts

    def node(self, name: str) -> FakeNode:
        return next(node for node in self.nodes if node.name == name)

    def status(self) -> dict[str, Any]:
        return {"supervisor": self.supervisor, "epoch": self.map.epoch, "children": [node.facts for node in self.nodes]}

    def topology(self) -> Topology:
        return self.map

    def control(self) -> Any:
        return self.connection

    # --- what processes say ---------------------------------------------------------------------------------------

    def everywhere(self, kind: str, name: str, value: Any) -> None:
        """The same answer from all of a kind."""
        for node in self.nodes:
            if node.kind == kind:
                node.answers[name] = value


class Outcome:
    """What a command did."""

    def __init__(self, code: int, out: str, error: str) -> None:
        self.code, self.out, self.error = code, out, error

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[list[str]]:
        """The words of each line of output."""
        return [line.split() for line in self.out.splitlines()]


def ctl(source: Source, *words: str) -> Outcome:
    """One command on a source that is there already."""
    options = main.parser().parse_args(words)
    out = io.StringIO()
    try:
        code = main.COMMANDS[options.command].run(App(options, Screen(options.json, out), source))
    except CtlError as error:
        return Outcome(error.exit_code, out.getvalue(), str(error))
    return Outcome(code, out.getvalue(), "")


def info(**fields: Any) -> bytes:
    """INFO's text."""
    return "".join(f"{name}:{value}\r\n" for name, value in fields.items()).encode()


def flat(values: dict[str, Any]) -> list[Any]:
    """A map as RESP2 sends it."""
    return [item.encode() if isinstance(item, str) else item for pair in values.items() for item in pair]


def make_backup(directory: Path, keys: tuple[int, ...] = (0, 0), version: int = 10) -> Manifest:
    """What the supervisor leaves: a backup of as many engines, of strings."""
    directory.mkdir()
    parts = []
    step = 16384 // len(keys)
    for index, count in enumerate(keys):
        names = (b"%d:%d" % (index, number) for number in range(count))
        data = (b"REDIS%04d\xfa\x0aredis-bits\xc0\x40\xfe\x00" % version
                + b"".join(b"\x00" + bytes((len(name),)) + name + b"\x01v" for name in names) + b"\xff")
        path = directory / f"engine-{index}.rdb"
        path.write_bytes(data + crc64_of(data).to_bytes(8, "little"))
        parts.append(Part(index, f"{index:040x}", path.name, ((index * step, (index + 1) * step - 1),), count,
                          path.stat().st_size, checksum(path), 100))
    manifest = Manifest("0.1.0", "7.2.6", 1_795_188_545_366, 2_500, "c" * 40, 3, tuple(parts))
    manifest.write(directory)
    return manifest
