"""What an engine does by the clock: expiry, freeing, statistics, idle clients.

Each task is short and bounded; what does not fit waits for the next turn, so no client waits for more than a step
(limits.STEP_US). While expiry or freeing has more to do, turns follow at a quarter of the time (a step of work, three of rest).
"""
import asyncio
from typing import Any

from shardd.base import limits
from shardd.base.clock import mono_us, now_ms

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
        self.longest_us = 0     # the longest step of work so far

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
        server = self.server
        server.keyspace.set_time(now_ms())
        server.stats.sample()
        server.used_memory()
        self._turn += 1
        if self._turn % server.config["hz"] == 0:
            server.limits.sweep()
        if "work" not in self._handles:
            self.work()

    def work(self) -> None:
        """One step of expiry and of freeing; comes again soon where there is more."""
        self._handles.pop("work", None)
        start_us = mono_us()
        keyspace = self.server.keyspace
        keyspace.set_time(now_ms())
        more = bool(self.server.expire_enabled and self.server.expirer.cycle(limits.STEP_US))
        more = keyspace.free_step(_FREE_KEYS_PER_STEP) or more
        self.server.journal.flush()
        self.longest_us = max(self.longest_us, mono_us() - start_us)
        if more:
            self._later("work", limits.STEP_US * _REST_RATIO / 1e6, self.work)
