"""What the processes of the tree say of themselves: asked all at once, each over a link of the exporter's own.

Owns: the questions, how long is waited, and counters that outlive a process. Does not own what is made of the answers
(families), nor the children and their control links (supervisor.child): a question here never delays a PING there.

    scrape --> gather -----> Source of engine 0   INFO everything, SLOWLOG LEN ...   at most one round in flight each
                      |----> Source of engine 1   (stopped: nothing comes)
                      '----> Source of proxy 0    SHARDD METRICS
           <-- Snapshot after METRICS_WAIT_MS at the latest, with whoever has answered

A process that hangs costs one unanswered round: no other is sent before that has ended, by its answer or by the end of
the link after limits.CONTROL_REPLY_MS. An answer counts in the gathering during which it came.

Invariants: an Answer is of one moment of one process. A Tally never goes back.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from shardd.base import limits
from shardd.base.clock import mono_us
from shardd.base.errors import CommandError
from shardd.commands.info_join import Sections, parse
from shardd.supervisor.child import ENGINE, Child
from shardd.supervisor.control import Link, LinkError

_ENGINE_QUESTIONS: Final = (("INFO", "everything"), ("SLOWLOG", "LEN"), ("SLOWLOG", "GET", "1"),
                            ("LATENCY", "HISTOGRAM"), ("LATENCY", "LATEST"))
_PROXY_QUESTIONS: Final = (("SHARDD", "METRICS"),)


class Answer(NamedTuple):
    """What a process said. took_s: from the question to its last answer, which for an engine is how long a command
    waits for its turn; fields: of its INFO, or of a proxy's figures, by name; sections: an engine's INFO; replies: to
    the questions behind INFO, a CommandError where it has no such command; own: a proxy's figures."""

    took_s: float
    fields: dict[str, Any]
    sections: Sections = {}
    replies: tuple[Any, ...] = ()
    own: dict[str, Any] = {}


class Source:
    """One child of the tree."""

    def __init__(self, kind: str, path: str) -> None:
        self.kind, self.path = kind, path
        self.answer: Answer | None = None
        """The latest."""
        self.answered_us = 0
        self._link: Link | None = None
        self._round: asyncio.Task[None] | None = None

    def ask(self) -> "asyncio.Task[None]":
        """A round of questions: the one in flight, or a new one. Never raises; `answer` is set when it has ended."""
        if self._round is None or self._round.done():
            self._round = asyncio.ensure_future(self._ask())
        return self._round

    async def call(self, *words: str) -> Any:
        """The reply to one more question. Raises LinkError where there is none in time, CommandError."""
        try:
            if self._link is None or self._link.closed:
                self._link = await Link.open(self.path)
            return await self._link.call(*words, timeout_ms=limits.METRICS_WAIT_MS)
        except LinkError as error:
            self._drop(str(error))
            raise

    def close(self) -> None:
        """The child is gone, or the exporter stops."""
        if self._round is not None:
            self._round.cancel()
        self._drop("the exporter stops")

    def _drop(self, reason: str) -> None:
        if self._link is not None:
            self._link.close(reason)
            self._link = None

    async def _ask(self) -> None:
        started_us = mono_us()
        try:
            if self._link is None or self._link.closed:
                self._link = await Link.open(self.path)
            questions = _ENGINE_QUESTIONS if self.kind == ENGINE else _PROXY_QUESTIONS
            replies = await asyncio.gather(*(self._link.call(*words) for words in questions), return_exceptions=True)
            lost = next((reply for reply in replies if isinstance(reply, LinkError)), None)
            if lost is not None:
                raise lost
            took_s = (mono_us() - started_us) / 1e6
            self.answer = of_engine(took_s, replies) if self.kind == ENGINE else of_proxy(took_s, replies[0])
            self.answered_us = mono_us()
        except (LinkError, CommandError, ValueError, TypeError) as error:
            self._drop(str(error))      # late answers go with it; what it says later is asked anew


def of_engine(took_s: float, replies: list[Any]) -> Answer:
    """An engine's answer: INFO's text, then the other replies. Raises what stands in its place."""
    if isinstance(replies[0], BaseException):
        raise replies[0]
    sections = parse(replies[0].decode("utf-8", "replace"))
    fields = {name: text for section in sections.values() for name, text in section.items()}
    return Answer(took_s, fields, sections, tuple(replies[1:]))


def of_proxy(took_s: float, reply: Any) -> Answer:
    """A proxy's answer, from the JSON of SHARDD METRICS. Raises what stands in its place."""
    if isinstance(reply, BaseException):
        raise reply
    own = json.loads(reply)
    return Answer(took_s, own.pop("fields"), own=own)


class Tally:
    """Counters of the whole tree from those of its processes, which start from zero when they start again.

    A counter that is lower than before has started anew: what it had reached is added to all that comes. One whose
    process does not answer counts with what it said last. So the sums never go back, and rate() over them never sees
    a fall that it would take for a restart of the whole.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], dict[str, float]] = {}
        """(process, family) -> label -> the value said last."""
        self._before: dict[str, dict[str, float]] = {}
        """family -> label -> what ended processes had reached."""

    def note(self, process: str, family: str, values: dict[str, float]) -> None:
        """`process` says these values, by label."""
        last = self._last.setdefault((process, family), {})
        for label, value in last.items():
            if values.get(label, 0) < value:
                before = self._before.setdefault(family, {})
                before[label] = before.get(label, 0) + value
        self._last[process, family] = dict(values)

    def totals(self, family: str) -> dict[str, float]:
        """Label -> sum over all processes."""
        total = dict(self._before.get(family, {}))
        for (_, noted), values in self._last.items():
            if noted == family:
                for label, value in values.items():
                    total[label] = total.get(label, 0) + value
        return total


@dataclass(frozen=True)
class Process:
    """A child as the supervisor sees it, and its answer; None where it gave none in time."""

    kind: str
    index: int
    name: str
    state: str
    restarts: int
    pid: int
    port: int
    slots: int
    silent_s: float
    answer: Answer | None


@dataclass(frozen=True)
class Snapshot:
    """What one scrape shows. took_s: how long the gathering took."""

    processes: tuple[Process, ...]
    took_s: float
    taken_us: int
    counters: Tally = field(repr=False)

    def of_kind(self, kind: str) -> tuple[Process, ...]:
        return tuple(process for process in self.processes if process.kind == kind)


class Gatherer:
    """Asks the children of a tree. Keeps a Source for each as long as it exists."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._sources: dict[str, Source] = {}

    async def answers(self, children: Iterable[Child]) -> dict[str, Answer]:
        """What those said that answer within limits.METRICS_WAIT_MS, by the child's name."""
        asked_us = mono_us()
        self.keep(children)
        rounds = [source.ask() for source in self._sources.values()]
        if rounds:
            await asyncio.wait(rounds, timeout=limits.METRICS_WAIT_MS / 1000)
        return {name: source.answer for name, source in self._sources.items()
                if source.answer is not None and source.answered_us >= asked_us}

    async def ask(self, children: Iterable[Child], *words: str) -> dict[str, Any]:
        """The replies to one question, by the child's name, of those that answer within limits.METRICS_WAIT_MS.

        An error reply is a CommandError; who gives no answer is left out.
        """
        names = [child.name for child in children if child.name in self._sources]
        replies = await asyncio.gather(*(self._sources[name].call(*words) for name in names), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, (LinkError, CommandError)):
                raise reply
        return {name: reply for name, reply in zip(names, replies) if not isinstance(reply, LinkError)}

    def keep(self, wanted: Iterable[Child]) -> None:
        """Have a Source for each child that may answer, and for no other."""
        children = {child.name: child for child in wanted}
        for name, source in list(self._sources.items()):
            child = children.get(name)
            if child is None or not child.watch.serving or str(child.control_path) != source.path:
                self._sources.pop(name).close()
        for name, child in children.items():
            if child.watch.serving and name not in self._sources:
                self._sources[name] = Source(child.kind, str(child.control_path))

    def close(self) -> None:
        """Ends all links."""
        for source in self._sources.values():
            source.close()
        self._sources.clear()
