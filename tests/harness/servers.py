"""Server processes: the real redis-server, an engine, the whole tree. Started on a free port in a directory of their
own, ready when they answer, ended with everything they spawned.

A Server leads its own process group and session; `stop` asks it to go and then ends the group and whatever the leader
had spawned, by pid. `stop_all` runs at exit, so that an interrupted run leaves nothing behind either.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from harness import build
from harness.conn import Closed, Conn
from harness.resp import Error

READY_S = float(os.environ.get("SHARDD_TEST_READY_S", 30))
STOP_S = 10.0
LOG_TAIL_LINES = 60
# below those from which a supervisor takes its engines' ports and the kernel takes its own: nobody of this machine who
# does not ask for one of these by its number comes between the choice of a port and the server that listens on it
PORTS = range(2_000, 10_000)

_running: dict[int, "Server"] = {}


@functools.cache
def _reserved() -> int:
    """A file whose bytes stand for ports: who holds the lock on one may use it, until its process ends."""
    return os.open(Path(tempfile.gettempdir()) / f"shardd-test-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)


_taken: set[int] = set()    # a process's own locks do not stop it


def free_port(count: int = 1) -> int:
    """The first of `count` ports on which nothing listens, and which no other test, of this run or another, is given:
    between the choice and the server's start nobody else comes, nor while a server that was stopped starts again."""
    candidates = list(PORTS[:len(PORTS) + 1 - count])
    random.SystemRandom().shuffle(candidates)
    for first in candidates:
        ports = range(first, first + count)
        if _taken.isdisjoint(ports) and all(map(_reserve, ports)):
            return first
    raise RuntimeError("no port is free")


def _reserve(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as probe:
        fcntl.lockf(_reserved(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        _taken.add(port)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def redis_binary() -> str:
    """The oracle's path. Raises: the oracle is a requirement, not an option."""
    path = shutil.which("redis-server")
    if path is None:
        raise FileNotFoundError("redis-server is not on PATH: the tests compare with a real Redis (apt: redis-server)")
    return path


@functools.cache
def redis_version() -> tuple[int, ...]:
    """The oracle's version, such as (7, 0, 15)."""
    text = subprocess.run([redis_binary(), "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(map(int, re.search(r"v=([\d.]+)", text).group(1).split(".")))


@functools.cache
def with_us() -> list[str]:
    """Words before a command that is told to end when the thread that starts it does, however that comes about: xdist
    kills its workers where a run is interrupted. Empty where there is no setpriv (of util-linux, from 2.33 on)."""
    words = ["setpriv", "--pdeathsig", "TERM"]
    try:
        return words if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0 else []
    except FileNotFoundError:
        return []


COMMANDS = {
    "oracle": lambda: [redis_binary()],
    "engine": lambda: [sys.executable, "-m", "shardd.engine.main"],
    "tree": lambda: [sys.executable, "-m", "shardd.supervisor.main"],
}
DEFAULTS = {
    "oracle": {"save": "", "appendonly": "no", "enable-debug-command": "yes"},
    "engine": {"save": "", "appendonly": "no", "enable-debug-command": "yes"},
    "tree": {"engines": "2", "save": "", "appendonly": "no", "enable-debug-command": "yes"},
}


class Server:
    """One server process and its children. `kind` is a key of COMMANDS; options are configuration options, with
    underscores for dashes; a value that is a list gives several words."""

    def __init__(self, kind: str, **options: object) -> None:
        self.kind = kind
        self.dir = Path(tempfile.mkdtemp(prefix=f"shardd-{kind}-"))
        self.options = {"port": free_port(), "bind": "127.0.0.1", "dir": self.dir} | DEFAULTS[kind] | {
            name.replace("_", "-"): value for name, value in options.items()}
        self.port = int(self.options["port"])
        self.log_path = self.dir / "stdout.log"
        self.process: subprocess.Popen | None = None
        self._children: list[psutil.Process] = []

    def argv(self) -> list[str]:
        argv = COMMANDS[self.kind]()
        for name, value in self.options.items():
            argv.append("--" + name)
            argv += [str(v) for v in value] if isinstance(value, (list, tuple)) else [str(value)]
        return argv

    def start(self, ready: bool = True) -> "Server":
        """Starts the process and, unless told otherwise, waits until it answers."""
        env = None if self.kind == "oracle" else build.environment()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*with_us(), *self.argv()], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.dir, env=env, start_new_session=True)
        _running[self.process.pid] = self
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.stop()
                raise
        return self

    def wait_ready(self) -> None:
        """Returns when commands that need every part are answered. Raises RuntimeError with the log's end."""
        deadline = time.monotonic() + READY_S
        last: object = "nothing listens"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.kind} exited with {self.process.returncode}\n{self.log_tail()}")
            try:
                with Conn(self.port, timeout_s=READY_S) as conn:
                    password = self.options.get("requirepass")
                    if password:
                        conn("AUTH", password)
                    last = conn("DBSIZE")
                    if not isinstance(last, Error):
                        return
            except (OSError, Closed) as error:
                last = error
            time.sleep(0.02)
        raise RuntimeError(f"{self.kind} is not ready after {READY_S:.0f} s ({last!r})\n{self.log_tail()}")

    def children(self) -> list[psutil.Process]:
        """The living descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self._children = list({p.pid: p for p in self._children + found}.values())
        return [p for p in self._children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """The exit code. Raises TimeoutExpired."""
        return self.process.wait(timeout_s)

    def stop(self) -> None:
        """Ends the whole tree and removes its directory. Safe to call twice."""
        if self.process is None:
            return
        family = self.children()
        if self.alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        for process in family + self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _running.pop(self.process.pid, None)
        shutil.rmtree(self.dir, ignore_errors=True)

    def conn(self, resp: int = 2, db: int = 0, **options: object) -> Conn:
        return Conn(self.port, resp, db, **options)

    def log(self) -> str:
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def log_tail(self) -> str:
        return "\n".join(self.log().splitlines()[-LOG_TAIL_LINES:])

    def __enter__(self) -> "Server":
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def cluster_oracle(**options: object) -> Server:
    """A real Redis in cluster mode that owns every slot by itself."""
    server = Server("oracle", cluster_enabled="yes", cluster_config_file="nodes.conf", cluster_port=free_port(),
                    **options)
    with contextlib.ExitStack() as undo:
        undo.callback(server.stop)
        server.start(ready=False)
        deadline = time.monotonic() + READY_S
        while True:
            try:
                conn = server.conn()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline or not server.alive():
                    raise
                time.sleep(0.02)
        with conn:
            conn.must("CLUSTER ADDSLOTSRANGE 0 16383")
            while b"cluster_state:ok" not in conn.must("CLUSTER INFO"):
                assert time.monotonic() < deadline, "the cluster oracle does not come up"
                time.sleep(0.02)
        undo.pop_all()
    return server


@atexit.register
def stop_all() -> None:
    """Ends what is still running."""
    for server in list(_running.values()):
        server.stop()
