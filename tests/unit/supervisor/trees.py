"""Starts a supervisor over fake children and talks to all of them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Conn, build, encode
from harness.servers import free_port, with_us

HERE = Path(__file__).parent
TIMEOUT_S = 30


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `condition`; a refused connection counts as false."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with contextlib.suppress(OSError):
            value = condition()
            if value:
                return value
        assert time.monotonic() < deadline, what or condition
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Tree:
    """One supervisor in `directory`. limits: shortened bounds; options: configuration options."""

    def __init__(self, directory: Path, limits: dict[str, int] | None = None, conf: str | None = None, fail: str = "",
                 load: str = "", refuse: str = "", **options: object) -> None:
        self.dir = directory
        self.log_path = directory / f"log-{len(list(directory.glob('log-*')))}"
        self.port = int(options.setdefault("port", free_port()) or 0)
        words = [f"{name}={value}" for name, value in (limits or {}).items()] + ["--"]
        if conf is not None:
            (directory / "shardd.conf").write_text(conf)
            words.append("shardd.conf")
        for name, value in ({"bind": "127.0.0.1", "engines": 2, "appendonly": "no", "dir": directory} | options).items():
            if value is not None:
                words += ["--" + name.replace("_", "-"), str(value)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*with_us(), sys.executable, HERE / "tree.py", *words], cwd=directory,
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=build.environment() | {"FAKE_FAIL": fail, "FAKE_LOAD": load,
                                                                 "FAKE_REFUSE": refuse})
        self.seen: set[int] = set()
        self._ports: dict[str, int] = {}

    def log(self) -> str:
        return self.log_path.read_text()

    def said(self, words: str) -> str:
        """Waits for `words` in the log; returns the line."""
        wait_for(lambda: words in self.log() or self.process.poll() is not None, f"{words!r} in\n{self.log()}")
        assert words in self.log(), self.log()
        return next(line for line in self.log().splitlines() if words in line)

    def ready(self) -> "Tree":
        self.said("Ready to accept connections")
        self.pids()
        return self

    def supervisor(self, *words: object) -> Any:
        with Conn(str(self.dir / "run" / "supervisor.sock")) as conn:
            return conn(*words)

    def stream(self, *words: object) -> tuple[list[str], Any]:
        """A stream's items, and what ended it: OK or an Error."""
        with Conn(str(self.dir / "run" / "supervisor.sock"), timeout_s=TIMEOUT_S) as conn:
            conn.send(encode(*words))
            items = []
            while isinstance(value := conn.read(), bytes):
                items.append(value.decode())
            return items, value

    def status(self) -> dict[str, Any]:
        return json.loads(self.supervisor("SHARDD", "STATUS"))

    def child(self, name: str) -> dict[str, Any]:
        return next(c for c in self.status()["children"] if f"{c['kind']} {c['index']}" == name)

    def port_of(self, name: str) -> int:
        """Each child keeps its own; asked for once, since STATUS waits for a child that hangs."""
        if name not in self._ports:
            self._ports[name] = self.child(name)["port"]
        return self._ports[name]

    def ask(self, name: str, *words: object) -> Any:
        """Over the child's TCP port."""
        with Conn(self.port_of(name)) as conn:
            return conn(*words)

    def tell(self, name: str, *words: object) -> None:
        """Like ask, without waiting for an answer that may never come."""
        with Conn(self.port_of(name)) as conn:
            conn.send(encode(*words))

    def wake(self) -> None:
        """Who was told to HANG goes on."""
        (self.dir / "awake").touch()

    def known(self, name: str) -> dict[str, Any]:
        """The topology that a child has installed."""
        return json.loads(self.ask(name, "TOPOLOGY"))

    def stored(self) -> dict[str, Any]:
        return json.loads((self.dir / "topology.json").read_text())["topology"]

    def pids(self) -> dict[str, int]:
        found = {f"{c['kind']} {c['index']}": c["pid"] for c in self.status()["children"] if c["pid"]}
        self.seen |= set(found.values())
        return found

    def wait(self) -> int:
        return self.process.wait(TIMEOUT_S)

    def nobody_left(self) -> bool:
        return not any(alive(pid) for pid in self.seen)

    def stop(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(OSError, AssertionError):
                self.pids()
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.seen:
            with contextlib.suppress(ProcessLookupError):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
