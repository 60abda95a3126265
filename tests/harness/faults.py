"""What is done to a tree in order to see who notices: processes are found, killed and stopped, and somebody watches.

    children(tree), pid_of(tree, "engine 0")    what the supervisor knows of its children
    keys_by_engine(tree, count)                 keys that lie on each engine
    stopped(pid)                                SIGSTOP for the time of a with block
    Bystander                                   a client of another engine, who must not notice anything
"""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis.crc import key_slot

from harness.conn import Closed, Conn
from harness.resp import Error
from harness.servers import Server

WAIT_S = 30.0
DELAY_MAX_S = 0.1   # the bound for those whom a fault does not concern
PAUSE_S = 0.003


def eventually(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """The first true value; a connection that is refused or closed counts as false."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            value = condition()
        except (OSError, Closed):
            value = None
        if value:
            return value
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


def children(tree: Server) -> dict[str, dict[str, Any]]:
    """What the supervisor knows of each child, by "engine 0"."""
    with Conn(str(tree.dir / "run" / "supervisor.sock")) as conn:
        found = json.loads(conn.must("SHARDD", "STATUS"))["children"]
    return {f"{child['kind']} {child['index']}": child for child in found}


def pid_of(tree: Server, name: str) -> int:
    return children(tree)[name]["pid"]


def way_to(tree: Server, engine: int) -> list[int]:
    """The processes that a command for a key of that engine passes through."""
    return [pid_of(tree, "proxy 0"), pid_of(tree, f"engine {engine}")]


def keys_by_engine(tree: Server, count: int = 4, prefix: str = "") -> list[list[str]]:
    """Keys of each engine, in the order of their slots."""
    with tree.conn() as conn:
        ranges = sorted((first, last, port) for first, last, (_, port, *_) in conn.must("CLUSTER SLOTS"))
    ports = list(dict.fromkeys(port for _, _, port in ranges))
    found: list[list[str]] = [[] for _ in ports]
    number = 0
    while any(len(keys) < count for keys in found):
        key = f"{prefix}{number}"
        number += 1
        slot = key_slot(key.encode())
        port = next(port for first, last, port in ranges if first <= slot <= last)
        keys = found[ports.index(port)]
        if len(keys) < count:
            keys.append(key)
    return found


def whole(tree: Server) -> bool:
    """Whether every process is up, knows the newest topology, and each engine answers through the proxy."""
    known = children(tree).values()
    if not (all(child["state"] == "up" for child in known) and len({child["known_epoch"] for child in known}) == 1):
        return False
    with tree.conn() as conn:
        return not any(isinstance(conn("GET", keys[0]), Error) for keys in keys_by_engine(tree, 1))


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def queued_s(tasks: Iterable[str]) -> float:
    """How long threads (paths in /proc) have been ready to run while others had the cores."""
    total_ns = 0
    for task in tasks:
        with contextlib.suppress(OSError), open(f"{task}/schedstat", encoding="ascii") as file:
            total_ns += int(file.read().split()[1])
    return total_ns / 1e9


class Bystander(threading.Thread):
    """One command after the other for a key that no fault concerns. What it waits because other processes have the
    cores is not counted, and a real Redis is asked in turn, as a measure of what the machine is delayed by besides."""

    def __init__(self, conn: Conn, key: str, reference: Conn, way: Iterable[int],
                 delay_max_s: float = DELAY_MAX_S) -> None:
        """way: the processes that the command passes through."""
        super().__init__(daemon=True)
        self._conn, self._key, self._reference = conn, key, reference
        self._tasks = [f"/proc/{pid}" for pid in way]
        self._delay_max_s = delay_max_s
        self._stopping = threading.Event()
        self.count = 0
        self.wrong: list[str] = []
        self.slowest_s = 0.0
        self.machine_s = 0.0

    def run(self) -> None:
        tasks = [*self._tasks, f"/proc/self/task/{threading.get_native_id()}"]
        try:
            while not self._stopping.is_set():
                queued, started = queued_s(tasks), time.monotonic()
                reply = self._conn("INCR", self._key)
                took_s = time.monotonic() - started - (queued_s(tasks) - queued)
                told = time.monotonic()
                self._reference("PING")
                self.count += 1
                self.slowest_s = max(self.slowest_s, took_s)
                self.machine_s = max(self.machine_s, time.monotonic() - told)
                if reply != self.count:
                    self.wrong.append(f"INCR number {self.count} gave {reply!r}")
                    return
                time.sleep(PAUSE_S)
        except Exception as error:      # noqa: BLE001, whatever it is, the test must hear of it
            self.wrong.append(f"after {self.count} commands: {error!r}")

    def __enter__(self) -> "Bystander":
        self.start()
        eventually(lambda: self.count > 3 or self.wrong)
        return self

    def __exit__(self, *failed: object) -> None:
        self._stopping.set()
        self.join(WAIT_S)
        if failed[0] is None:
            assert not self.is_alive(), "a bystander waits for a reply"
            assert not self.wrong, self.wrong
            assert self.slowest_s <= self._delay_max_s + self.machine_s, (
                f"a bystander waited for {self.slowest_s * 1000:.0f} ms, the machine's share is "
                f"{self.machine_s * 1000:.0f} ms")
