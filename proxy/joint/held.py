"""Engines that a command has to itself.

    PING          on a borrowed link to each engine, so that nobody is held while an engine does not answer
    HOLD          engine after engine, in ascending order: two proxies, or two clients, never wait for each other
    reads         is there such a key, what is in it
    writes        what the command does, on each engine
    RELEASE

From HOLD to RELEASE an engine runs commands of our link only, so nobody sees half of the command, and what was read is
true when it is acted on. A hold ends by itself after limits.PROXY_HOLD_MS, or with our link: then the engine refuses
what we send after it, and goes on with the others. What takes many steps renews it, so that its size does not end it.
"""
from collections.abc import Awaitable, Callable
from typing import Any

from proxy.backend import Engine
from proxy.handlers import checked
from proxy.link import Link
from proxy.merge import Ask
from shardd.base import errors, limits
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError


def unexecuted(parts: list[tuple[Engine, list[Any]]], replies: list[Any]) -> list[Any]:
    """The replies to questions that change nothing. CommandError: the first that is an error; that of an engine which
    is lost says that nothing was executed."""
    for (engine, _), reply in zip(parts, replies):
        if isinstance(reply, CommandError) and reply.text in (
                errors.engine_lost(engine.index), errors.engine_silent(engine.index)):
            raise CommandError(errors.engine_unreachable(engine.index))
    return checked(replies)


class Held:
    """Engines that a command has to itself. resp: the version of the protocol on the links to them; links: connections
    that are borrowed already, whose borrower gives them back."""

    def __init__(self, resp: int = 2, links: dict[Engine, Link] | None = None) -> None:
        self.resp = resp
        self.links: dict[Engine, Link] = links or {}
        self.taken: list[Engine] = []
        self.renewed_ms = 0             # monotonic
        self.has_written = False        # something was sent that changes data
        self.has_changed = False        # and it did

    async def take(self, engines: list[Engine]) -> None:
        """Hold the engines; CommandError where one cannot be held, and then nothing is done yet."""
        engines = sorted(set(engines), key=lambda one: one.index)
        for engine in engines:
            if engine not in self.links:
                self.links[engine] = engine.borrow(self.resp)
        await self.ask([(engine, [b"PING"]) for engine in engines])
        self.renewed_ms = mono_ms()
        for engine in engines:
            await self.ask([(engine, [b"SHARDD", b"HOLD", b"%d" % limits.PROXY_HOLD_MS])], limits.PROXY_HOLD_MS)
            self.taken.append(engine)

    async def release(self, but: Engine | None = None, timeout_ms: int = limits.PROXY_HOLD_MS,
                      gives_back: bool = True) -> None:
        """Let the engines go, `but` for one. A link that is lost, or silent, ends its hold by being closed. gives_back:
        so are links."""
        going = [engine for engine in self.links if engine is not but]
        alive = [self.links[engine] for engine in going if engine in self.taken and not self.links[engine].broken]
        if alive:
            await Ask([(link, [b"SHARDD", b"RELEASE"]) for link in alive], timeout_ms)
        for engine in going if gives_back else ():
            engine.give_back(self.links.pop(engine))
        self.taken = [engine for engine in self.taken if engine is but]

    async def read(self, engine: Engine, words: list[Any], db: int | None = None) -> Any:
        """A command that changes nothing, on one engine. Its reply; CommandError."""
        return (await self.ask([(engine, words)], db=db))[0]

    async def write(self, engine: Engine, words: list[Any], db: int | None = None) -> Any:
        """A command that changes something, on one engine. Its reply; CommandError."""
        self.has_written = True
        reply = (await self.ask([(engine, words)], db=db))[0]
        self.has_changed = True
        return reply

    async def renew(self, time_ms: int = limits.PROXY_HOLD_MS) -> None:
        """Hold the engines for so long from now on; CommandError where a hold is over already."""
        self.renewed_ms = mono_ms()
        await self.ask([(engine, [b"SHARDD", b"HOLD", b"%d" % time_ms]) for engine in self.taken])

    async def go_on(self) -> None:
        """Between two of many steps: hold the engines for longer, when it is time for that. CommandError."""
        if mono_ms() - self.renewed_ms > limits.PROXY_HOLD_MS // 4:
            await self.renew()

    async def ask(self, parts: list[tuple[Engine, list[Any]]], timeout_ms: int = 0, db: int | None = None) -> list[Any]:
        """A command for each of some engines, at once. Their replies; CommandError: the first that is an error."""
        replies = await Ask([(self.links[engine], words) for engine, words in parts], timeout_ms, db)
        if not self.has_written:
            return unexecuted(parts, replies)
        if self.has_changed and any(isinstance(reply, CommandError) and reply.text == errors.HOLD_OVER
                                    for reply in replies):      # "not executed" is true of this one only
            raise CommandError(errors.EXECUTED_IN_PART)
        return checked(replies)


async def holding(engines: list[Engine], steps: Callable[[Held], Awaitable[Any]], resp: int = 2) -> Any:
    """What `steps` returns, while the engines are held."""
    held = Held(resp)
    try:
        await held.take(engines)
        return await steps(held)
    finally:
        await held.release()
