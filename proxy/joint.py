"""Commands over several engines that must be one step: MSETNX, RENAME, RENAMENX, COPY, SWAPDB.

Owns: what such a command does where its keys are on two engines or more; where they are on one, it goes there as it
came (session). Does not own what is split and joined without being one step (merge), or the hold itself (the engine).

    PING          on a borrowed link to each engine, so that nobody is held while an engine does not answer
    HOLD          engine after engine, in ascending order: two proxies, or two clients, never wait for each other
    reads         is there such a key, what is in it
    writes        what the command does, on each engine
    RELEASE

From HOLD to RELEASE an engine runs commands of our link only, so nobody sees half of the command, and what was read is
true when it is acted on. A hold ends by itself after limits.PROXY_HOLD_MS, or with our link: then the engine refuses
what we send after it, and goes on with the others. A large collection is written in pieces, and the holds renewed with
each, so that its size does not end them half-way.

What is one step, and what is not:

- Whoever asks the engines through proxies sees all of the command or nothing, as long as the engines live.
- Before the first write, whatever goes wrong leaves everything as it was, and the error says that nothing was executed.
- An engine that dies, or runs out of memory, between the writes:
      MSETNX            what the others have set is deleted again (none of it was there before)
      RENAME, RENAMENX  the new key is written before the old one is deleted: both may be there, none is lost
      COPY              the new key is there or not; like RENAME's, it is deleted where it cannot be written as a whole
      SWAPDB            those that have swapped swap back
  Where the engine that died had executed its write, and brings it back from its disk, that write stays.
- An engine that is down when the reply is due has done all or nothing of its part; the error says that it is not known.

A value goes from engine to engine as SHARDD READ gives it: [kind, value, expiry], nil where there is no key.
"""
from collections.abc import Awaitable, Callable
from typing import Any, Final

from proxy.backend import Engine
from proxy.handlers import checked
from proxy.link import Link
from proxy.merge import Ask
from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.commands.table import parse_integer
from shardd.structures.slots import slot_of
from shardd.wire.values import OK

INT_MIN: Final = -2**31
INT_MAX: Final = 2**31 - 1


class Held:
    """Engines that a command has to itself."""

    def __init__(self, links: dict[Engine, Link] | None = None) -> None:
        """links: connections that are borrowed already; their borrower gives them back."""
        self.links: dict[Engine, Link] = links or {}
        self.taken: list[Engine] = []
        self.has_written = False        # something was sent that changes data
        self.has_changed = False        # and it did

    async def take(self, engines: list[Engine]) -> None:
        """Hold the engines; CommandError where one cannot be held, and then nothing is done yet."""
        engines = sorted(engines, key=lambda one: one.index)
        for engine in engines:
            if engine not in self.links:
                self.links[engine] = engine.borrow()
        await self.ask([(engine, [b"PING"]) for engine in engines])
        for engine in engines:
            await self.ask([(engine, [b"SHARDD", b"HOLD", b"%d" % limits.PROXY_HOLD_MS])], limits.PROXY_HOLD_MS)
            self.taken.append(engine)

    async def release(self, gives_back: bool = True) -> None:
        """Let the engines go. A link that is lost, or silent, ends its hold by being closed. gives_back: so are links."""
        alive = [self.links[engine] for engine in self.taken if not self.links[engine].broken]
        if alive:
            await Ask([(link, [b"SHARDD", b"RELEASE"]) for link in alive], limits.PROXY_HOLD_MS)
        for engine, link in self.links.items() if gives_back else ():
            engine.give_back(link)

    async def read(self, engine: Engine, words: list[Any], db: int | None = None) -> Any:
        """A command that changes nothing, on one engine. Its reply; CommandError."""
        return (await self.ask([(engine, words)], db=db))[0]

    async def write(self, engine: Engine, words: list[Any], db: int | None = None) -> Any:
        """A command that changes something, on one engine. Its reply; CommandError."""
        self.has_written = True
        reply = (await self.ask([(engine, words)], db=db))[0]
        self.has_changed = True
        return reply

    async def renew(self) -> None:
        """Hold the engines for limits.PROXY_HOLD_MS from now on; CommandError where a hold is over already."""
        await self.ask([(engine, [b"SHARDD", b"HOLD", b"%d" % limits.PROXY_HOLD_MS]) for engine in self.taken])

    async def ask(self, parts: list[tuple[Engine, list[Any]]], timeout_ms: int = 0, db: int | None = None) -> list[Any]:
        """A command for each of some engines, at once. Their replies; CommandError: the first that is an error."""
        replies = await Ask([(self.links[engine], words) for engine, words in parts], timeout_ms, db)
        if not self.has_written:
            for (engine, _), reply in zip(parts, replies):
                if isinstance(reply, CommandError) and reply.text in (
                        errors.engine_lost(engine.index), errors.engine_silent(engine.index)):
                    raise CommandError(errors.engine_unreachable(engine.index))
        if self.has_changed and any(isinstance(reply, CommandError) and reply.text == errors.HOLD_OVER
                                    for reply in replies):      # "not executed" is true of this one only
            raise CommandError(errors.EXECUTED_IN_PART)
        return checked(replies)


async def _holding(engines: list[Engine], steps: Callable[[Held], Awaitable[Any]]) -> Any:
    """What `steps` returns, while the engines are held."""
    held = Held()
    try:
        await held.take(engines)
        return await steps(held)
    finally:
        await held.release()


# --- values -------------------------------------------------------------------------------------------------------

def _string(key: bytes, value: bytes, expire_at_ms: int) -> list[list[Any]]:
    expiry = [b"PXAT", expire_at_ms] if expire_at_ms >= 0 else []
    return [[b"SET", key, value, *expiry]]


def _raw(key: bytes, value: bytes, expire_at_ms: int) -> list[list[Any]]:
    """What was changed in place stays raw, as OBJECT ENCODING has it; the second write changes nothing else."""
    return [*_string(key, value, expire_at_ms), [b"SETRANGE", key, 0, value[:1]]]


def _float(key: bytes, value: bytes, expire_at_ms: int) -> list[list[Any]]:
    """An integer that INCRBYFLOAT has made is no int to OBJECT ENCODING."""
    return [*_string(key, value, expire_at_ms), [b"INCRBYFLOAT", key, 0]]


def _in_pieces(command: bytes, key: bytes, elements: list[Any], expire_at_ms: int) -> list[list[Any]]:
    """A collection, by a command that takes elements (tuples of words). In pieces, as a command for all could be too long;
    what fits a packed form is one piece, which decides the form as it was."""
    commands: list[list[Any]] = [[b"DEL", key]]
    for start in range(0, len(elements), limits.PROXY_MOVED_ELEMENTS):
        piece = elements[start:start + limits.PROXY_MOVED_ELEMENTS]
        commands.append([command, key, *(word for element in piece for word in element)])
    return commands + ([[b"PEXPIREAT", key, expire_at_ms]] if expire_at_ms >= 0 else [])


def _hash(key: bytes, content: list[Any], expire_at_ms: int) -> list[list[Any]]:
    return _in_pieces(b"HSET", key, [(field, value) for field, value, _ in content], expire_at_ms)


def _set(key: bytes, content: list[Any], expire_at_ms: int) -> list[list[Any]]:
    return _in_pieces(b"SADD", key, [(member,) for member in content], expire_at_ms)


_WRITERS: Final[dict[bytes, Callable[[bytes, Any, int], list[list[Any]]]]] = {
    b"string": _string, b"raw": _raw, b"embstr": _float, b"hash": _hash, b"set": _set}
"""Kind -> the commands that make a key of it, the first of which replaces whatever was there."""


_WRITES_AT_ONCE: Final = 2
"""Commands for a value before the holds are renewed with each: small values need no more."""


async def _move(held: Held, value: list[Any], engine: Engine, key: bytes, db: int | None = None) -> None:
    """Write what SHARDD READ gave of another key. CommandError."""
    kind, content, expire_at_ms = value
    writer = _WRITERS.get(bytes(kind))
    if writer is None:
        raise CommandError(errors.not_between_engines(bytes(kind)))
    try:
        for number, words in enumerate(writer(key, content, expire_at_ms)):
            if number >= _WRITES_AT_ONCE:       # many of them may take longer than a hold lasts
                await held.renew()
            await held.write(engine, words, db)
    except CommandError:
        if held.has_changed:        # half a value is worse than none
            await Ask([(held.links[engine], [b"DEL", key])], db=db)
        raise


# --- the commands -------------------------------------------------------------------------------------------------

async def msetnx(server: Any, client: Any, args: list[bytes]) -> int:
    """MSETNX key value [key value ...]"""
    if len(args) % 2 == 0:
        raise CommandError(errors.wrong_arity("msetnx"))
    pairs: dict[Engine, list[bytes]] = {}
    for key, value in zip(args[1::2], args[2::2]):
        pairs.setdefault(server.owner(slot_of(key)), []).extend((key, value))

    async def steps(held: Held) -> int:
        there = await held.ask([(engine, [b"EXISTS", *words[::2]]) for engine, words in pairs.items()])
        if any(there):
            return 0
        held.has_written = True
        replies = await Ask([(held.links[engine], [b"MSET", *words]) for engine, words in pairs.items()])
        if any(isinstance(reply, CommandError) for reply in replies):
            await Ask([(held.links[engine], [b"DEL", *words[::2]])
                       for (engine, words), reply in zip(pairs.items(), replies) if reply == OK])
            checked(replies)
        return 1

    return await _holding(list(pairs), steps)


async def _rename(server: Any, args: list[bytes], replaces: bool) -> int:
    """Whether it was renamed, as 0 or 1. CommandError."""
    source, target = server.owner(slot_of(args[1])), server.owner(slot_of(args[2]))

    async def steps(held: Held) -> int:
        value = await held.read(source, [b"SHARDD", b"READ", args[1]])
        if value is None:
            raise CommandError(errors.NO_SUCH_KEY)
        if not replaces and await held.read(target, [b"EXISTS", args[2]]):
            return 0
        await _move(held, value, target, args[2])
        await held.write(source, [b"DEL", args[1]])
        return 1

    return await _holding([source, target], steps)


async def rename(server: Any, client: Any, args: list[bytes]) -> Any:
    """RENAME key newkey"""
    await _rename(server, args, True)
    return OK


async def renamenx(server: Any, client: Any, args: list[bytes]) -> int:
    """RENAMENX key newkey"""
    return await _rename(server, args, False)


def _copy_options(server: Any, words: list[bytes]) -> tuple[int | None, bool]:
    """[DB number] [REPLACE]: the database, None where it is not said, and whether to replace. CommandError."""
    db, replaces, place = None, False, 0
    while place < len(words):
        word = words[place].lower()
        if word == b"replace":
            replaces = True
        elif word == b"db" and place + 1 < len(words):
            place += 1
            db = parse_integer(words[place])
            if db is None:
                raise CommandError(errors.NOT_INTEGER)
            if not INT_MIN <= db <= INT_MAX:
                raise CommandError(errors.out_of_range_between(INT_MIN, INT_MAX))
            if not 0 <= db < server.databases:
                raise CommandError(errors.DB_INDEX_OUT_OF_RANGE)
        else:
            raise CommandError(errors.SYNTAX)
        place += 1
    return db, replaces


async def copy(server: Any, client: Any, args: list[bytes]) -> int:
    """COPY source destination [DB destination-db] [REPLACE]"""
    db, replaces = _copy_options(server, args[3:])
    source, target = server.owner(slot_of(args[1])), server.owner(slot_of(args[2]))

    async def steps(held: Held) -> int:
        value = await held.read(source, [b"SHARDD", b"READ", args[1]])
        if value is None or (not replaces and await held.read(target, [b"EXISTS", args[2]], db)):
            return 0
        await _move(held, value, target, args[2], db)
        return 1

    return await _holding([source, target], steps)


async def swapdb(server: Any, client: Any, args: list[bytes]) -> Any:
    """SWAPDB index index: keys of one database are on all engines."""
    async def steps(held: Held) -> Any:
        held.has_written = True
        replies = await Ask([(held.links[engine], args) for engine in held.links])
        if any(isinstance(reply, CommandError) for reply in replies):
            await Ask([(link, args) for link, reply in zip(held.links.values(), replies) if reply == OK])
        return checked(replies)[0]

    if not server.engines:
        raise CommandError(errors.CLUSTERDOWN)
    if len(server.engines) == 1:
        return checked(await Ask([(server.engines[0], args)]))[0]
    return await _holding(server.engines, steps)


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "msetnx": msetnx,
    "rename": rename,
    "renamenx": renamenx,
    "copy": copy,
    "swapdb": swapdb,
}
"""Full lower-case command name -> what does it where its keys are on several engines."""

TASKS: Final = {"swapdb": swapdb}
"""Those of them that have no keys, and are done here in any case."""
