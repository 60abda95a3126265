"""What an engine does by the clock: expiry, freeing, statistics, idle clients.

Each task is short and bounded; what does not fit waits for the next turn, so no client waits for more than a step
(limits.STEP_US). While expiry or freeing has more to do, turns follow at a quarter of the time (a step of work, three of rest).
"""
import asyncio
from collections.abc import Callable
from typing import Any

from shardd.base import limits
from shardd.base.clock import mono_us, now_ms, thread_cpu_us

_REST_RATIO = 3
_FREE_KEYS_PER_STEP = 8000
"""Keys of a cleared database freed in one step: about a millisecond."""


class Cron:
    """The timers of one engine."""

    def __init__(self, server: Any, loop: asyncio.AbstractEventLoop) -> None:
        """server: engine.server.Server."""
        self.server, self.loop = server, loop
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._turn = 0

    def start(self) -> None:
        """Begin; the first turn is one period from now."""
        self._later("turn", self._period(), self.turn)

    def stop(self) -> None:
        """Cancel all timers."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _later(self, name: str, seconds: float, call: Any) -> None:
        self._handles[name] = self.loop.call_later(seconds, call)

    def _period(self) -> float:
        return 1 / self.server.config["hz"]

    def turn(self) -> None:
        """One turn, `hz` times a second."""
        self._later("turn", self._period(), self.turn)
        self._timed(self._do_turn)

    def work(self) -> None:
        """One step of expiry and of freeing; comes again soon where there is more."""
        self._timed(self._do_work)

    def _timed(self, step: Callable[[], None]) -> None:
        """Do one step and note how long nobody else got the loop."""
        start_us, start_cpu_us = mono_us(), thread_cpu_us()
        step()
        server = self.server
        server.longest_step_us = max(server.longest_step_us, mono_us() - start_us)
        server.longest_step_cpu_us = max(server.longest_step_cpu_us, thread_cpu_us() - start_cpu_us)

    def _do_turn(self) -> None:
        server = self.server
        server.keyspace.set_time(now_ms())
        server.stats.sample()
        server.used_memory()
        self._turn += 1
        if self._turn % server.config["hz"] == 0:
            server.limits.sweep()
        if "work" not in self._handles:
            self._do_work()

    def _do_work(self) -> None:
        self._handles.pop("work", None)
        keyspace = self.server.keyspace
        keyspace.set_time(now_ms())
        more = bool(self.server.expire_enabled and self.server.expirer.cycle(limits.STEP_US))
        more = keyspace.free_step(_FREE_KEYS_PER_STEP) or more
        self.server.journal.flush()
        if more:
            self._later("work", limits.STEP_US * _REST_RATIO / 1e6, self.work)
