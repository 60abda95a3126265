"""Who may fork: engines that write a snapshot, or their log anew, take turns.

A fork copies the engine's page tables while everybody waits, and what its child writes competes with the engines for
cores, memory and the disk. All engines come to their save points at about the same time, so without turns the tree
would do all of that at once. As many turns are given at a time as there are cores by four, one at least; who has to
wait is told so, and gets its turn in the order of asking.

    asks -> granted, or waits -> granted -> over        a process that ends gives its turn, or its place, back

Owns: the order. Does not own the words (base/child.py), or what an engine does that is not answered: it forks.

Invariants: a child holds one turn or waits for one, at most. A turn older than limits.FORK_TURN_LONGEST_MS is kept by
its holder but does not count.
"""

from collections.abc import Callable
from typing import Any

from shardd.base import limits

CORES_PER_TURN = 4


def turns_of(cores: int) -> int:
    """How many may fork at a time."""
    return max(1, cores // CORES_PER_TURN)


class Turns:
    """The turns of one tree. tell(child, granted): passes an answer on."""

    def __init__(self, cores: int, tell: Callable[[Any, bool], object]) -> None:
        self.most = turns_of(cores)
        self._tell = tell
        self._since_ms: dict[Any, int] = {}
        self._waiting: list[Any] = []

    @property
    def holders(self) -> list[Any]:
        """Who has a turn, in the order of granting."""
        return list(self._since_ms)

    @property
    def waiting(self) -> list[Any]:
        """Who waits, in the order of asking."""
        return list(self._waiting)

    def ask(self, child: Any, now_ms: int) -> None:
        """It would like to fork."""
        self.over(child, now_ms)
        self._waiting.append(child)
        self.check(now_ms)
        if child in self._waiting:
            self._tell(child, False)

    def over(self, child: Any, now_ms: int) -> None:
        """It has done so, would not any more, or has ended."""
        self._since_ms.pop(child, None)
        if child in self._waiting:
            self._waiting.remove(child)
        self.check(now_ms)

    def check(self, now_ms: int) -> None:
        """Give what turns there are."""
        counted = sum(now_ms - since_ms < limits.FORK_TURN_LONGEST_MS for since_ms in self._since_ms.values())
        while self._waiting and counted < self.most:
            child = self._waiting.pop(0)
            self._since_ms[child] = now_ms
            counted += 1
            self._tell(child, True)
