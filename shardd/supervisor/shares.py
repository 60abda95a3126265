"""The engines' shares of maxmemory follow what they use.

Each limits.SHARES_EVERY_MS all engines are asked what they use and what their share is. Where the rule (base.shares)
gives shares that are worth a change, or where the present ones do not add up to the whole, every engine is told its
own: first those that get less, so that all together never have more than the whole.

An engine that does not answer keeps the share it has, and counts with what it used last. One that starts gets the share
of its predecessor.

Owns: the asking and the telling. Does not own the rule, or the option itself (a client sets it through a proxy, which
tells the engines; or it is read again from the file, supervisor.reload).
"""
import asyncio
from typing import Any

from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.base.shares import even, split

OPTION = "maxmemory"
WORTH_PART = 64
"""A change is worth telling from this part of an even share on."""


class Shares:
    """The shares of one tree. supervisor: supervisor.main.Supervisor."""

    def __init__(self, supervisor: Any) -> None:
        self._supervisor = supervisor
        self._due_ms = 0
        self._round: asyncio.Task[None] | None = None
        self._total = 0
        self._shares: list[int] = []
        self._used: dict[int, int] = {}

    def of(self, index: int) -> int:
        """The share of an engine that starts."""
        total = self._supervisor.config[OPTION]
        if total == self._total and index < len(self._shares):
            return self._shares[index]
        return even(total, max(1, len(self._supervisor.engines)))[index]

    def begin(self) -> None:
        """Start a round where one is due; the supervisor's cycle calls it."""
        now_ms = mono_ms()
        if now_ms < self._due_ms or not self._supervisor.config[OPTION] or len(self._supervisor.engines) < 2:
            return
        if self._round is None or self._round.done():
            self._due_ms = now_ms + limits.SHARES_EVERY_MS
            self._round = asyncio.ensure_future(self.follow())

    async def follow(self) -> None:
        """One round."""
        total = self._supervisor.config[OPTION]
        engines = self._supervisor.engines
        told = await asyncio.gather(*(engine.facts() for engine in engines))
        has: list[int | None] = [facts.get("maxmemory_bytes") for facts in told]
        self._used |= {place: facts["held_bytes"] for place, facts in enumerate(told) if "held_bytes" in facts}
        wanted = split(total, [self._used.get(place, 0) for place in range(len(engines))])
        worth = total // len(engines) // WORTH_PART
        changes = [(share - before, engine, share) for engine, share, before in zip(engines, wanted, has)
                   if before is not None]
        exact = None in has or sum(before or 0 for before in has) == total
        if exact and all(abs(change) <= worth for change, _, _ in changes):
            if None not in has:
                self._total, self._shares = total, [before or 0 for before in has]
            return
        self._total, self._shares = total, wanted
        for change, engine, share in sorted(changes, key=lambda one: one[0]):
            if change and self._supervisor.config[OPTION] == total:      # nobody has set another one meanwhile
                await engine.set_config({OPTION: str(share)})
        self._supervisor.noted(f"The engines' shares of {OPTION} are {', '.join(map(str, wanted))} now")
