"""Counters of one engine, the slow log, and rates over the last seconds.

Owns: what INFO stats and SLOWLOG show, and what becomes of a command that took long. Does not own the counts per
command (commands/registry.py) and per key look-up (keyspace/database.py), which are kept where they are counted.
"""
import secrets
from collections import deque

import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.shardd.base.clock import monotonic_ms, ticks_per_us, unix_ms
from cython.cimports.shardd.commands.registry import CMD_FAST, CMD_SKIP_SLOWLOG, Command
from cython.cimports.shardd.wire.request import Arg

from shardd.base import limits
from shardd.base.rates import Rates
from shardd.engine.latency import LatencyMonitor

command_p = cython.typedef(cython.pointer(Command))
arg_p = cython.typedef(cython.pointer(Arg))

_NEVER = cython.declare(cython.double, 1e300)
ARGUMENTS_MAX = cython.declare(cython.int, limits.SLOWLOG_ARGUMENTS_MAX)
ARGUMENT_BYTES_MAX = cython.declare(cython.Py_ssize_t, limits.SLOWLOG_ARGUMENT_BYTES_MAX)


class SlowLog:
    """The last commands that took long: newest first, at most `entries_max`, their arguments cut as Redis cuts them.

    nonce: with an entry's id it names the entry among those of all engines, at all times.
    """

    def __init__(self) -> None:
        self.nonce = secrets.token_hex(8)
        self.entries: deque = deque()
        self.entries_max = 128
        self.next_id = 0

    def add(self, duration_us: int, shown: list[bytes], peer: str, name: bytes) -> None:
        """Log one command; `shown`: its arguments, cut already."""
        self.entries.appendleft((self.next_id, unix_ms() // 1000, duration_us, shown, peer, name))
        self.next_id += 1
        self.trim()

    def token(self, number: int) -> bytes:
        """The name of the entry with this id."""
        return b"%b-%d" % (self.nonce.encode(), number)

    def trim(self) -> None:
        """Forget the oldest beyond `entries_max`."""
        while len(self.entries) > self.entries_max:
            self.entries.pop()


@cython.cfunc
def _shown(argv: arg_p, argc: cython.int) -> list:
    """What the slow log keeps of the arguments. They are cut before they are copied: slow commands have large ones."""
    i: cython.int
    count: cython.int = argc if argc <= ARGUMENTS_MAX else ARGUMENTS_MAX - 1
    shown: list = []
    for i in range(count):
        if argv[i].n <= ARGUMENT_BYTES_MAX:
            shown.append(argv[i].p[:argv[i].n])
        else:
            shown.append(argv[i].p[:ARGUMENT_BYTES_MAX] + b"... (%d more bytes)" % (argv[i].n - ARGUMENT_BYTES_MAX))
    if count < argc:
        shown.append(b"... (%d more arguments)" % (argc - count))
    return shown


@cython.final
@cython.cclass
class Stats:
    """The engine's counters since its start or CONFIG RESETSTAT."""

    def __init__(self) -> None:
        self.errors = {}
        self.slowlog = SlowLog()
        self.latency = LatencyMonitor()
        self.recent = Rates(5)
        self.ns_scale = cython.cast(uint64_t, 1000.0 / ticks_per_us() * 1048576.0)
        self.set_slower_than(10000)

    def set_slower_than(self, microseconds: int) -> None:
        """slowlog-log-slower-than: commands above so many microseconds are logged; -1 none, 0 all."""
        self.slowlog_ticks = microseconds * ticks_per_us() if microseconds >= 0 else _NEVER
        self._set_slow()

    def set_monitor_threshold(self, milliseconds: int) -> None:
        """latency-monitor-threshold: events that take so many milliseconds or longer are kept; 0 none."""
        self.latency.threshold_ms = milliseconds
        self._set_slow()

    def _set_slow(self) -> None:
        threshold_ms: int = self.latency.threshold_ms
        self.slow_ticks = min(self.slowlog_ticks, threshold_ms * 1000 * ticks_per_us() if threshold_ms else _NEVER)

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def count_error(self, text: bytes) -> cython.int:
        """An error reply: counted in all and by its first word, as INFO errorstats shows."""
        prefix: bytes = text.partition(b" ")[0]
        self.error_replies += 1
        if prefix in self.errors:
            self.errors[prefix] += 1
        elif len(self.errors) < limits.ERRORSTATS_MAX:
            self.errors[prefix] = 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note_slow(self, client: object, c: command_p, argv: arg_p, argc: cython.int,
                  ticks: uint64_t) -> cython.int:
        """A command took so many ticks, which is more than slow_ticks; 1 where that is in the slow log now."""
        duration_us: int = int(ticks / ticks_per_us())
        self.latency.note("fast-command" if c.flags & CMD_FAST else "command", duration_us)
        if ticks > self.slowlog_ticks and not c.flags & CMD_SKIP_SLOWLOG:
            self.slowlog.add(duration_us, _shown(argv, argc), client.transport.peer, client.name)
            return 1
        return 0

    def sample(self, cycles: int, busy_us: int) -> None:
        """Remember where the counters stand; called ten times a second. cycles, busy_us: the event loop's."""
        self.recent.sample(self.commands, self.bytes_in, self.bytes_out, cycles, busy_us)

    def rates(self) -> tuple[float, ...]:
        """Commands, bytes in, bytes out, cycles of the event loop and its busy microseconds per second, over the last
        samples (about 1.6 s)."""
        return self.recent.per_second()

    def note_memory(self, exceeded: bool) -> None:
        """Whether more memory is in use than maxmemory; asked ten times a second."""
        now_ms: int64_t = monotonic_ms()
        if exceeded and not self.exceeded_since_ms:
            self.exceeded_since_ms = now_ms
        elif self.exceeded_since_ms and not exceeded:
            self.exceeded_ms += now_ms - self.exceeded_since_ms
            self.exceeded_since_ms = 0

    def memory_exceeded_ms(self) -> tuple[int, int]:
        """For how many ms that was so in all, and for how many it has been so now."""
        current_ms: int64_t = monotonic_ms() - self.exceeded_since_ms if self.exceeded_since_ms else 0
        return self.exceeded_ms + current_ms, current_ms

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.commands = self.bytes_in = self.bytes_out = self.connections = self.rejected_connections = 0
        self.query_limit_closes = self.output_limit_closes = self.error_replies = self.expire_us = 0
        self.expire_capped = 0
        self.exceeded_ms = self.exceeded_since_ms = 0
        self.errors.clear()
        self.recent.clear()
