"""How fast counters grow: the rates of INFO stats, for an engine and a proxy alike.

Owns: the last samples of some totals. Does not own the counting, or the clock that says when to sample.
"""

from collections import deque

from shardd.base.clock import mono_ms


class Rates:
    """The mean growth per second of so many counters over the last `samples` samples (as Redis: 16, and one before)."""

    def __init__(self, totals: int, samples: int = 17) -> None:
        self._none = (0.0,) * totals
        self._samples: deque[tuple[int, ...]] = deque(maxlen=samples)

    def sample(self, *totals: int) -> None:
        """Remember where the counters stand."""
        self._samples.append((mono_ms(), *totals))

    def per_second(self) -> tuple[float, ...]:
        """One rate for each counter; 0 before there are two samples, and for a counter that was set back."""
        if len(self._samples) < 2:
            return self._none
        first, last = self._samples[0], self._samples[-1]
        seconds = max(1, last[0] - first[0]) / 1000
        return tuple(max(0.0, (new - old) / seconds) for new, old in zip(last[1:], first[1:], strict=True))

    def clear(self) -> None:
        """CONFIG RESETSTAT."""
        self._samples.clear()
