"""Servers that are measured: started from a command line on a free port and a fresh directory, pinned, stopped again.

Owns: the process and everything it spawns, and its directory. Does not own what is sent to it.

Invariants:
- A server that was started is stopped when its `with` block ends; where this process dies, the kernel stops it
  (PR_SET_PDEATHSIG). Processes that outlive the polite request are ended one by one, by pid.
- The directory stays where the server failed to start, since its log is in it.
"""
import contextlib
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from bench import accounting
from bench.load.control import Address, Control
from shardd.base import child
from shardd.base.errors import CommandError

ROOT = Path(__file__).resolve().parent.parent

START_S = 30.0
STOP_S = 15.0
TIMEOUT_S = 120.0
"""How long a reply may take: FLUSHALL of many millions of keys, where it is not done in steps."""

_PORTS = range(21_000, 31_000)      # below the kernel's ephemeral range: no outgoing connection has them


class BenchError(Exception):
    """The measurement cannot be made, or did not measure what it should; the text says why."""


@dataclass(frozen=True)
class Spec:
    """A server's name in tables, and the command line that starts it: {port} and {dir} are filled in.

    probe: what a server that is up and empty answers with 0.
    """

    name: str
    command: str
    probe: tuple[str, ...] = ("DBSIZE",)

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """NAME=COMMAND; ValueError where it is not that, or the command does not say where the port goes."""
        name, equals, command = text.partition("=")
        if not equals or not name.strip() or not command.strip():
            raise ValueError(f"'{text}' is not NAME=COMMAND")
        if "{port}" not in command:
            raise ValueError(f"the command of '{name}' has no {{port}}: it cannot be told where to listen")
        return cls(name.strip(), command.strip())

    def argv(self, port: int, directory: str) -> list[str]:
        """The words to run. Placeholders are filled in word by word: a directory with a blank stays one word."""
        return [word.replace("{port}", str(port)).replace("{dir}", directory) for word in shlex.split(self.command)]


_NOTHING_ON_DISK = "--save '' --appendonly no"
"""What others are compared with: commands and memory. Options given later win."""


def engine() -> Spec:
    """One engine by itself, from this source tree, without persistence."""
    return Spec("shardd-engine", f"{shlex.quote(sys.executable)} -m shardd.engine.main --port {{port}} "
                f"{_NOTHING_ON_DISK} --dir {{dir}}")


def whole_tree() -> Spec:
    """Supervisor, engines and proxy, without persistence; {port} is the proxy's."""
    return Spec("shardd", f"{shlex.quote(sys.executable)} -m shardd.supervisor.main --port {{port}} "
                f"{_NOTHING_ON_DISK} --dir {{dir}}")


def behind_nutcracker(program: str, engines: int) -> Spec:
    """Our engines with nutcracker in front instead of our proxy. It knows no DBSIZE."""
    command = (f"{shlex.quote(sys.executable)} -m bench.behind --port {{port}} --dir {{dir}} --engines {engines} "
               f"--program {shlex.quote(program)}")
    return Spec("nutcracker", command, ("EXISTS", "nothing"))


def redis() -> Spec | None:
    """The redis-server on PATH, without persistence; None where there is none."""
    path = shutil.which("redis-server")
    if path is None:
        return None
    return Spec("redis", f"{shlex.quote(path)} --port {{port}} {_NOTHING_ON_DISK} --dir {{dir}}")


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port


class Connection(Control):
    """One client of a server on this machine, waiting for each reply."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        """Raises OSError."""
        super().__init__(Address(port=port), timeout_s)

    def info(self, *sections: str) -> dict[str, str]:
        """INFO as one dict. Raises as `call`."""
        return parse_info(self.call("INFO", *sections).decode())


def parse_info(text: str) -> dict[str, str]:
    """The fields of INFO's text."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def version(info: dict[str, str]) -> str:
    """Name and version as the server tells them: "valkey 9.1.2", "redis 7.0.15", and ours by the version it is like."""
    if "valkey_version" in info:
        return f"{info.get('server_name', 'valkey')} {info['valkey_version']}"
    return f"redis {info.get('redis_version', '?')}"


class Server:
    """A running server. Use it in a `with` block, which starts and stops it."""

    def __init__(self, spec: Spec, cores: Iterable[int] | None = None) -> None:
        """cores: where it and all it spawns may run; None: anywhere."""
        self.spec, self.cores = spec, cores
        self.name = spec.name
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="shardd-bench-")
        self.log = os.path.join(self.dir, "server.log")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def connect(self) -> Connection:
        """A new client. Raises OSError."""
        return Connection(self.port)

    def _start(self) -> None:
        argv = self.spec.argv(self.port, self.dir)
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
        with open(self.log, "wb") as log:
            try:
                self.process = subprocess.Popen(
                    argv, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    env=os.environ | {"PYTHONPATH": path}, preexec_fn=self._before_exec)
            except OSError as error:
                raise BenchError(f"{self.name} cannot be run: {error}") from None
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not come up: {self._last_words()} (its log is {self.log})")
            time.sleep(0.05)

    def _before_exec(self) -> None:
        """In the forked child, which is alone: this process has no threads."""
        if self.cores is not None:
            os.sched_setaffinity(0, self.cores)
        child.die_with_parent()

    def _answers(self) -> bool:
        """Whether it serves data: a proxy answers PING before its engines are there."""
        with contextlib.suppress(OSError, CommandError):
            connection = Connection(self.port, 2)
            with contextlib.closing(connection):
                return connection.call("PING") == "PONG" and connection.call(*self.spec.probe) == 0
        return False

    def _last_words(self) -> str:
        with open(self.log, encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def _stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        family = [psutil.Process(pid) for pid in accounting.tree(self.process.pid)]
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()       # by pid and start time: never a stranger who got the number
        self.process.wait()
