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
    """One process of the tree. path: of its control socket, as long as that is its own."""

    def __init__(self, kind: str, path: str) -> None:
        self.kind = kind
        self.path: str | None = path
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
            return await (await self._open()).call(*words, timeout_ms=limits.METRICS_WAIT_MS)
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

    async def _open(self) -> Link:
        """The link, a new one where the last one is lost. Raises LinkError."""
        if self._link is None or self._link.closed:
            if self.path is None:
                raise LinkError("its control socket is its successor's now")
            self._link = await Link.open(self.path)
        return self._link

    async def _ask(self) -> None:
        started_us = mono_us()
        try:
            link = await self._open()
            questions = _ENGINE_QUESTIONS if self.kind == ENGINE else _PROXY_QUESTIONS
            replies = await asyncio.gather(*(link.call(*words) for words in questions), return_exceptions=True)
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

    def end(self, process: str) -> None:
        """It is gone: what it has counted stays."""
        for key in [key for key in self._last if key[0] == process]:
            before = self._before.setdefault(key[1], {})
            for label, value in self._last.pop(key).items():
                before[label] = before.get(label, 0) + value

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
    """A child as the supervisor sees it, and its answer; None where it gave none in time.

    key: this process, and no other that has its place before or after it. leaving: a proxy whose successor has it.
    """

    kind: str
    index: int
    name: str
    key: str
    leaving: bool
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


def key_of(child: Child) -> str:
    """A process's name that no other has."""
    return f"{child.name}, pid {child.pid}"


class Gatherer:
    """Asks the children of a tree. Keeps a Source for each process as long as it may answer."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._sources: dict[str, Source] = {}

    async def answers(self) -> dict[str, Answer]:
        """What those said that answer within limits.METRICS_WAIT_MS, by `key_of`."""
        asked_us = mono_us()
        rounds = [source.ask() for source in self._sources.values()]
        if rounds:
            await asyncio.wait(rounds, timeout=limits.METRICS_WAIT_MS / 1000)
        return {key: source.answer for key, source in self._sources.items()
                if source.answer is not None and source.answered_us >= asked_us}

    async def ask(self, children: Iterable[Child], *words: str) -> dict[str, Any]:
        """The replies to one question, by the child's name, of those that answer within limits.METRICS_WAIT_MS.

        An error reply is a CommandError; who gives no answer is left out.
        """
        asked = [child for child in children if key_of(child) in self._sources]
        replies = await asyncio.gather(*(self._sources[key_of(child)].call(*words) for child in asked),
                                       return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, (LinkError, CommandError)):
                raise reply
        return {child.name: reply for child, reply in zip(asked, replies) if not isinstance(reply, LinkError)}

    def keep(self, children: Iterable[Child], leaving: Iterable[Child]) -> None:
        """Have a Source for each process that may answer, and for no other.

        Who is leaving is asked over the link that there is: its control socket's name is its successor's.
        """
        wanted = {key_of(child): child for child in children if child.watch.serving}
        last_words = {key_of(child) for child in leaving if child.watch.running}
        for key in [key for key in self._sources if key not in wanted]:
            if key in last_words:
                self._sources[key].path = None
            else:
                self._sources.pop(key).close()
                self.tally.end(key)
        for key, child in wanted.items():
            if key not in self._sources:
                self._sources[key] = Source(child.kind, str(child.control_path))

    def close(self) -> None:
        """Ends all links."""
        for source in self._sources.values():
            source.close()
        self._sources.clear()
