"""idle, burst: what connections cost that do nothing, and how fast many of them are served at once.

    idle     `idle` clients connect to a tree's proxy, send one PING each and stay; the growth of the proxies' memory
             (proportional set size) by the number of clients. The kernel's part of a connection is not in it.
    burst    `burst` clients connect at once, each sends a PING as soon as it is connected; until the last PONG. A
             connection that the kernel has to ask for twice shows as a second.

Owns: these connections. They come from this process, which waits for all of them on one selector.
"""
import contextlib
import errno
import resource
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from bench import accounting
from bench.servers import BenchError, Server

WAIT_S = 60.0
SETTLE_S = 2.0
"""Until buffers that were used once are given back and the cron has been by."""
SPARE_FILES = 200
PING, PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"


@dataclass(frozen=True)
class Burst:
    """Seconds from the first connect(2) until each client had its answer, in order."""

    served_s: list[float]

    @property
    def last_s(self) -> float:
        return self.served_s[-1]

    def share_s(self, share: float) -> float:
        """When this share of them was served."""
        return self.served_s[min(len(self.served_s) - 1, int(len(self.served_s) * share))]


def files(count: int) -> None:
    """Let this process have so many connections. Raises BenchError where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = count + SPARE_FILES
    if soft < need:
        if hard != resource.RLIM_INFINITY and hard < need:
            raise BenchError(f"{count} connections need {need} files; this process may have {hard} (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def open_all(port: int, count: int, into: list[socket.socket]) -> Burst:
    """Connect `count` clients at once, PING on each; they are appended to `into` and stay open. Raises BenchError."""
    start_s = time.monotonic()
    deadline = start_s + WAIT_S
    with selectors.DefaultSelector() as selector:
        for _ in range(count):
            sock = socket.socket()
            into.append(sock)
            sock.setblocking(False)
            code = sock.connect_ex(("127.0.0.1", port))
            if code not in (0, errno.EINPROGRESS):
                raise BenchError(f"connection {len(into)} cannot be made: {errno.errorcode.get(code, code)}")
            selector.register(sock, selectors.EVENT_WRITE)
        served: list[float] = []
        while len(served) < count:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BenchError(f"{len(served)} of {count} clients were served within {WAIT_S:.0f} s")
            for key, events in ready:
                if events & selectors.EVENT_WRITE:
                    _say(key.fileobj)
                    selector.modify(key.fileobj, selectors.EVENT_READ)
                elif _heard(key.fileobj):
                    selector.unregister(key.fileobj)
                    served.append(time.monotonic() - start_s)
    return Burst(served)


def _say(sock: socket.socket) -> None:
    if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise BenchError(f"a connection was refused: {errno.errorcode.get(code, code)}")
    sock.send(PING)


def _heard(sock: socket.socket) -> bool:
    data = sock.recv(100)
    if data != PONG:
        raise BenchError(f"PING was answered by {data!r}")
    return True


def proxies(server: Server) -> list[int]:
    """The pids of a tree's proxies. Raises BenchError where it has none."""
    found = []
    for pid in accounting.tree(server.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(word.startswith("proxy.") for word in psutil.Process(pid).cmdline()):
                found.append(pid)
    if not found:
        raise BenchError(f"{server.name} has no proxy")
    return found


def memory(pids: Sequence[int]) -> int:
    """Proportional set size of these processes, bytes."""
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids)


def idle_bytes(server: Server, count: int) -> float:
    """Bytes of the proxies per idle client. Raises BenchError."""
    files(count)
    socks: list[socket.socket] = []
    try:
        open_all(server.port, 100, socks)       # what is made once is no client's
        pids = proxies(server)
        time.sleep(SETTLE_S)
        before = memory(pids)
        step = 500      # not a burst: the backlog is not what is measured here
        for start in range(0, count, step):
            open_all(server.port, min(step, count - start), socks)
        time.sleep(SETTLE_S)
        return (memory(pids) - before) / count
    finally:
        for sock in socks:
            sock.close()


def burst(server: Server, count: int) -> Burst:
    """One burst, and its end. Raises BenchError."""
    files(count)
    socks: list[socket.socket] = []
    try:
        return open_all(server.port, count, socks)
    finally:
        for sock in socks:
            sock.close()
