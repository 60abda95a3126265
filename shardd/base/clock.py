"""The only reader of time.

Four clocks, each for one purpose: the wall clock for expiry and what users see, the monotonic clock for
intervals and deadlines, `native.ticks` (the time-stamp counter where the machine has one, about 8 ns a
reading) for the cost of a single command, converted by `ticks_per_us`, and the thread's CPU time, which tells
long work from a machine that gave the core to others.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.posix.time import CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec
from cython.cimports.shardd.base.native import ticks

_ticks_per_us = cython.declare(cython.double, 0.0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unix_us() -> int64_t:
    """Wall clock, microseconds since the epoch."""
    t: timespec
    clock_gettime(CLOCK_REALTIME, cython.address(t))
    return cython.cast(int64_t, t.tv_sec) * 1000000 + t.tv_nsec // 1000


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unix_ms() -> int64_t:
    """Wall clock, milliseconds since the epoch."""
    return unix_us() // 1000


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def monotonic_us() -> int64_t:
    """Microseconds since an arbitrary start; never goes back."""
    t: timespec
    clock_gettime(CLOCK_MONOTONIC, cython.address(t))
    return cython.cast(int64_t, t.tv_sec) * 1000000 + t.tv_nsec // 1000


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def monotonic_ns() -> int64_t:
    """As monotonic_us, in nanoseconds: for tools that measure others."""
    t: timespec
    clock_gettime(CLOCK_MONOTONIC, cython.address(t))
    return cython.cast(int64_t, t.tv_sec) * 1000000000 + t.tv_nsec


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def monotonic_ms() -> int64_t:
    """Milliseconds since an arbitrary start; never goes back."""
    return monotonic_us() // 1000


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ticks_per_us() -> cython.double:
    """How many `native.ticks` pass in a microsecond, as measured by `calibrate`."""
    return _ticks_per_us


def calibrate() -> float:
    """Measure the tick rate against the monotonic clock over 10 ms; runs once, at import."""
    global _ticks_per_us
    start_us: int64_t = monotonic_us()
    start: uint64_t = ticks()
    now_us: int64_t = start_us
    while now_us - start_us < 10000:
        now_us = monotonic_us()
    _ticks_per_us = cython.cast(cython.double, ticks() - start) / cython.cast(cython.double, now_us - start_us)
    return _ticks_per_us


def now_us() -> int:
    """Wall clock, microseconds since the epoch, for plain modules."""
    return unix_us()


def now_ms() -> int:
    """Wall clock, milliseconds since the epoch, for plain modules."""
    return unix_ms()


def mono_ms() -> int:
    """Monotonic milliseconds, for plain modules."""
    return monotonic_ms()


def mono_us() -> int:
    """Monotonic microseconds, for plain modules."""
    return monotonic_us()


def mono_ns() -> int:
    """Monotonic nanoseconds, for plain modules."""
    return monotonic_ns()


def thread_cpu_us() -> int:
    """Microseconds of CPU time, user and system, that the calling thread has used. A system call: 0.5 us."""
    t: timespec
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, cython.address(t))
    return cython.cast(int64_t, t.tv_sec) * 1000000 + t.tv_nsec // 1000


calibrate()
