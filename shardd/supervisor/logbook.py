"""What the processes of a tree have said: their output as it comes, and the latest lines of each in memory.

Owns: the pipes that are the children's standard output and error, and the bounded memory of lines behind `shardctl
logs`. Does not own the log file (base/log.py), or what is said.

A child writes whole lines to a pipe (its log, and what Python prints about its end); a line is kept under the child's
name, "engine 0", and passed on to the log. Lines are numbered over all processes, so that several can be shown in the
order in which they came.

Invariants: at most limits.LOG_LINES_KEPT lines are kept per name, and at most limits.LOG_FOLLOWER_LINES_MAX wait for a
follower. The reading end of a pipe is drained once more when its process has ended, so that its last words are kept.
"""

import asyncio
import heapq
import os
from collections import deque
from collections.abc import AsyncIterator, Callable

from shardd.base import limits

_READ_BYTES = 64 * limits.KIB
_READS_MAX = 16


class Output:
    """The reading end of a child's output. Used on the running loop."""

    def __init__(self, fd: int, on_line: Callable[[bytes], object]) -> None:
        """fd: taken over. on_line: called with each line, without its newline."""
        os.set_blocking(fd, False)
        self._fd, self._on_line = fd, on_line
        self._rest = b""
        asyncio.get_running_loop().add_reader(fd, self._read)

    def close(self) -> None:
        """Takes what is still there and lets go of the pipe. Safe to call twice."""
        if self._fd < 0:
            return
        for _ in range(_READS_MAX):
            if not self._read():
                break
        self._end()

    def _read(self) -> bool:
        """Whether there was something."""
        if self._fd < 0:
            return False
        try:
            data = os.read(self._fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line)
        while len(self._rest) > limits.LOG_LINE_BYTES_MAX:
            self._on_line(self._rest[:limits.LOG_LINE_BYTES_MAX])
            self._rest = self._rest[limits.LOG_LINE_BYTES_MAX:]
        return True

    def _end(self) -> None:
        if self._fd < 0:
            return
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if self._rest:
            self._on_line(self._rest)
            self._rest = b""


class Logbook:
    """The latest lines of each process, by its name."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[tuple[int, bytes]]] = {}
        self._number = 0
        self._followers: list[tuple[str | None, asyncio.Queue[bytes]]] = []

    def add(self, who: str, line: bytes) -> None:
        """Keep a line."""
        self._number += 1
        if who not in self._lines:
            self._lines[who] = deque(maxlen=limits.LOG_LINES_KEPT)
        self._lines[who].append((self._number, line))
        for name, queue in self._followers:
            if name in (None, who) and not queue.full():
                queue.put_nowait(line)

    def tail(self, who: str | None, count: int) -> list[bytes]:
        """The latest `count` lines of one process, or of all in the order in which they came."""
        if who is not None:
            chosen = list(self._lines.get(who, ()))
        else:
            chosen = list(heapq.merge(*self._lines.values()))
        return [line for _, line in chosen[-count:]] if count > 0 else []

    async def follow(self, who: str | None, count: int) -> AsyncIterator[bytes]:
        """The latest `count` lines, and then each new one, until the caller closes the generator."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(limits.LOG_FOLLOWER_LINES_MAX)
        entry = who, queue
        self._followers.append(entry)
        try:
            for line in self.tail(who, count):
                yield line
            while True:
                yield await queue.get()
        finally:
            self._followers.remove(entry)
