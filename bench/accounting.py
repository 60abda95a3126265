"""CPU time and memory of a process and all its descendants, as the kernel accounts for them.

Owns: who belongs to a tree, and its sums. Does not own processes (servers.py).

CPU time comes from the process's own CPU clock (clock_getcpuclockid(3)), which counts in nanoseconds and includes
threads that have ended; the fields of /proc/<pid>/stat count in ticks of 10 ms, too coarse for a run of half a second,
and are used only to split the time into user and system. Memory is the proportional set size: a page that n processes
share counts one n-th for each, so a tree of forks is not counted twice.

A descendant that ends while a measurement is under way takes its time with it: servers that are measured have none
that do.
"""
import os
import time
from dataclasses import dataclass

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SPLIT_TICKS_MIN = 10   # below that a share is off by more than a tenth
_CPUCLOCK_SCHED = 2     # linux/posix-timers.h: the clock of all CPU time of a process


@dataclass(frozen=True)
class Cpu:
    """CPU time, seconds. total_s is exact; the two others are whole ticks."""

    total_s: float
    user_s: float
    system_s: float

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        return Cpu(self.total_s - earlier.total_s, self.user_s - earlier.user_s, self.system_s - earlier.system_s)

    def per_command(self, count: int) -> dict[str, float | None]:
        """Microseconds per command: total_us, and its shares user_us and system_us; None: too short to be split."""
        total_us = self.total_s / count * 1e6
        ticked_s = self.user_s + self.system_s
        if ticked_s < _SPLIT_TICKS_MIN * tick_s():
            return {"total_us": total_us, "user_us": None, "system_us": None}
        user_us = total_us * self.user_s / ticked_s
        return {"total_us": total_us, "user_us": user_us, "system_us": total_us - user_us}


def tree(pid: int) -> list[int]:
    """The process and its descendants. Empty where it is gone."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_clock(pid: int) -> int:
    """The id of a process's CPU clock for time.clock_gettime, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | _CPUCLOCK_SCHED


def cpu(pid: int) -> Cpu:
    """CPU time of the tree so far."""
    total_s = user_s = system_s = 0.0
    for member in tree(pid):
        try:
            times = psutil.Process(member).cpu_times()
            total_s += time.clock_gettime(cpu_clock(member))
        except (psutil.NoSuchProcess, OSError):
            continue    # it ended in between
        user_s, system_s = user_s + times.user, system_s + times.system
    return Cpu(total_s, user_s, system_s)


def pss_bytes(pid: int) -> int:
    """Proportional set size of the tree. Raises psutil.AccessDenied where the processes are somebody else's."""
    total = 0
    for member in tree(pid):
        try:
            total += psutil.Process(member).memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def tick_s() -> float:
    """How fine the split into user and system is."""
    return 1 / _TICKS_PER_S
