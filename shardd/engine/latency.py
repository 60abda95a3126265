"""The latency monitor: when something took long, and how long.

Owns: the last spikes of each kind of event (`command`, `fast-command`, `expire-cycle`), as LATENCY shows them. Does not
own the measuring, which is done where things happen (stats, cron), nor how it is shown (commands.latency), nor the
histograms of all calls (commands.registry).

As in Redis (latency.c) an event is kept where it took latency-monitor-threshold milliseconds or longer, at most one
per second, the longest, and the last limits.LATENCY_SAMPLES_MAX seconds that had any.
"""
from collections import deque

from shardd.base.clock import now_ms
from shardd.base.limits import LATENCY_SAMPLES_MAX
from shardd.commands.latency import Event


class LatencyMonitor:
    """The spikes of one engine. threshold_ms: latency-monitor-threshold, 0: nothing is kept."""

    def __init__(self) -> None:
        self.threshold_ms = 0
        self._samples: dict[str, deque[tuple[int, int]]] = {}
        self._worst_ms: dict[str, int] = {}

    def note(self, name: str, duration_us: int) -> None:
        """An event took so many microseconds; kept where that is long."""
        if self.threshold_ms and duration_us // 1000 >= self.threshold_ms:
            self.add(name, duration_us // 1000, now_ms() // 1000)

    def add(self, name: str, duration_ms: int, now_s: int) -> None:
        """Keep an event. now_s: unix time."""
        samples = self._samples.setdefault(name, deque(maxlen=LATENCY_SAMPLES_MAX))
        self._worst_ms[name] = max(duration_ms, self._worst_ms.get(name, 0))
        if not samples or samples[-1][0] != now_s:
            samples.append((now_s, duration_ms))
        elif duration_ms > samples[-1][1]:
            samples[-1] = (now_s, duration_ms)

    def events(self) -> dict[str, Event]:
        """All that was kept, by name."""
        return {name: Event(list(samples), self._worst_ms[name]) for name, samples in self._samples.items()}

    def reset(self, names: list[str]) -> int:
        """Forget the events named, in either case, or all where none is; how many there were."""
        wanted = {name.lower() for name in names}
        gone = [name for name in self._samples if not names or name in wanted]
        for name in gone:
            del self._samples[name], self._worst_ms[name]
        return len(gone)
