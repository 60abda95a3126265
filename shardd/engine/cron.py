"""What an engine does by the clock: expiry, freeing, eviction, statistics, idle clients.

Each task is short and bounded; what does not fit waits for the next turn, so no client waits for more than a step
(limits.STEP_US). While expiry, freeing or rehashing has more to do, steps follow at a quarter of the time (a step of
work, three of rest); active-expire-effort gives expiry more of it. Eviction that did not come to its end within a
command goes on each time the loop has served its clients.
"""
import asyncio
from collections.abc import Callable
from typing import Any

from shardd.base import limits
from shardd.base.clock import mono_ms, mono_us, now_ms, thread_cpu_us

_WORK_PERCENT = 25
_WORK_PERCENT_PER_EFFORT = 2
"""What each step of active-expire-effort above 1 adds for expiry, as in Redis."""
_FREE_KEYS_PER_STEP = 8000
"""Keys of a cleared database freed in one step: about a millisecond."""


class Cron:
    """The timers of one engine."""

    def __init__(self, server: Any, loop: asyncio.AbstractEventLoop) -> None:
        """server: engine.server.Server."""
        self.server, self.loop = server, loop
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._unswept_s = 0.0
        self._wait_due_ms = 0       # the time-out that a timer is set for, monotonic; 0: none is
        server.dispatcher.blocking.on_deadline = self._wait_until

    def start(self) -> None:
        """Begin; the first turn is one period from now."""
        self._later("turn", self._period(), self.turn)
        self.server.evictor.on_running = self._evict_soon
        self.server.snapshots.attach(self.loop)

    def stop(self) -> None:
        """Cancel all timers."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _later(self, name: str, seconds: float, call: Any) -> None:
        self._handles[name] = self.loop.call_later(seconds, call)

    def _period(self) -> float:
        """Seconds to the next turn. With dynamic-hz turns come more often while there are many clients, as in Redis."""
        server = self.server
        hz = server.config["hz"]
        if server.config["dynamic-hz"]:
            while len(server.clients) > hz * limits.CLIENTS_PER_CRON and hz < limits.HZ_MAX:
                hz = min(hz * 2, limits.HZ_MAX)
        server.hz = hz
        return 1 / hz

    def turn(self) -> None:
        """One turn, `hz` times a second."""
        self._unswept_s += 1 / self.server.hz
        self._later("turn", self._period(), self.turn)
        self._timed(self._do_turn)

    def work(self) -> None:
        """One step of expiry and of freeing; comes again soon where there is more."""
        self._timed(self._do_work)

    def _evict_soon(self) -> None:
        if "evict" not in self._handles:
            self._later("evict", 0, self.evict)

    def evict(self) -> None:
        """One step of eviction; comes again at once where there is more."""
        self._handles.pop("evict", None)
        self._timed(self._do_evict)

    def _do_evict(self) -> None:
        self.server.keyspace.set_time(now_ms())
        if self.server.evictor.step():
            self._evict_soon()
        self.server.journal.flush()

    def _timed(self, step: Callable[[], None]) -> None:
        """Do one step and note how long nobody else got the loop."""
        start_us, start_cpu_us = mono_us(), thread_cpu_us()
        step()
        server = self.server
        took_us = mono_us() - start_us
        server.steps_us += took_us
        server.longest_step_us = max(server.longest_step_us, took_us)
        server.longest_step_cpu_us = max(server.longest_step_cpu_us, thread_cpu_us() - start_cpu_us)

    def _do_turn(self) -> None:
        server = self.server
        if server.cron_paused:
            return
        loading = server.dispatcher.loading
        if not loading:         # an append only file is loaded at a time of its own
            server.keyspace.set_time(now_ms())
        server.stats.sample(server.reactor.polls, server.busy_us)
        server.stats.note_memory(server.note_memory())
        server.client_eviction.check()
        server.check_cluster()
        server.dispatcher.hold.check()
        server.pause.check()
        server.dispatcher.end_of_batch()        # what a hold or a pause had held back
        if self._unswept_s > 0.999:
            self._unswept_s = 0.0
            server.limits.sweep()
        if loading:
            return
        server.aof.cron()
        server.persistence.cron()
        if "work" not in self._handles:
            self._do_work()

    def _wait_until(self, due_ms: int) -> None:
        """The earliest time-out of a blocked client is then."""
        if not self._wait_due_ms or due_ms < self._wait_due_ms:
            if self._wait_due_ms:
                self._handles.pop("wait").cancel()
            self._wait_due_ms = due_ms
            self._later("wait", max(0, due_ms - mono_ms()) / 1000, self._end_waits)

    def _end_waits(self) -> None:
        self._wait_due_ms = 0
        del self._handles["wait"]
        dispatcher = self.server.dispatcher
        next_ms = dispatcher.blocking.time_out(mono_ms())
        dispatcher.end_of_batch()
        if next_ms:
            self._wait_until(next_ms)

    def _expire(self) -> bool:
        """One step of expiry; whether there is more."""
        start_us = mono_us()
        more = self.server.expirer.cycle(limits.STEP_US)
        took_us = mono_us() - start_us
        self.server.stats.expire_us += took_us
        self.server.stats.expire_capped += bool(more)
        self.server.latency.note("expire-cycle", took_us)
        return bool(more)

    def _do_work(self) -> None:
        self._handles.pop("work", None)
        keyspace = self.server.keyspace
        keyspace.set_time(now_ms())
        config, percent = self.server.config, _WORK_PERCENT
        more = bool(self.server.expire_enabled and self._expire())
        if more:
            percent += _WORK_PERCENT_PER_EFFORT * (config["active-expire-effort"] - 1)
        more = keyspace.free_step(_FREE_KEYS_PER_STEP) or more
        if not more and config["activerehashing"] and not keyspace.calm:
            more = self.server.rehasher.step(limits.STEP_US)
        if not more:
            more = self.server.keysizes.step(limits.STEP_US)
        self.server.dispatcher.send_all()       # effects to the journal's readers, events to subscribers
        if more:
            self._later("work", limits.STEP_US * (100 - percent) / percent / 1e6, self.work)
