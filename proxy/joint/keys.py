"""MSETNX, MSETEX, RENAME, RENAMENX, COPY, SWAPDB: strings that are all new or none, and values that go from key to key.

A value arrives as a guest, and takes its key's place at once (SHARDD KEEP), however large it is: whoever asks meanwhile
waits, and where it cannot arrive as a whole, nothing has changed.
"""
from collections.abc import Callable
from typing import Any, Final

from proxy.backend import Engine
from proxy.handlers import checked
from proxy.joint.held import Held, holding
from proxy.joint.values import READ, Value, carry
from proxy.merge import Ask
from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands.table import parse_integer
from shardd.structures.slots import slot_of
from shardd.wire.values import OK

INT_MIN: Final = -2**31
INT_MAX: Final = 2**31 - 1


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

    return await holding(list(pairs), steps)


async def msetex(server: Any, client: Any, args: list[bytes]) -> int:
    """MSETEX numkeys key value [key value ...] [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]"""
    end = 2 + 2 * (parse_integer(args[1]) or 0)
    if not 2 < end <= len(args):
        raise CommandError(errors.SYNTAX)
    options = [word for word in args[end:] if word.lower() not in (b"nx", b"xx")]
    conditions = {word.lower() for word in args[end:]} & {b"nx", b"xx"}
    pairs: dict[Engine, list[bytes]] = {}
    for key, value in zip(args[2:end:2], args[3:end:2], strict=True):
        pairs.setdefault(server.owner(slot_of(key)), []).extend((key, value))

    async def steps(held: Held) -> int:
        if len(conditions) > 1:
            raise CommandError(errors.SYNTAX)
        if conditions:
            there = await held.ask([(engine, [b"EXISTS", *words[::2]]) for engine, words in pairs.items()])
            wanted = 0 if b"nx" in conditions else (end - 2) // 2
            if sum(there) != wanted:
                return 0
        held.has_written = True
        replies = await Ask([(held.links[engine], [b"MSETEX", len(words) // 2, *words, *options])
                             for engine, words in pairs.items()])
        if b"nx" in conditions and any(isinstance(reply, CommandError) for reply in replies):
            await Ask([(held.links[engine], [b"DEL", *words[::2]])
                       for (engine, words), reply in zip(pairs.items(), replies) if reply == 1])
        return min(checked(replies))

    return await holding(list(pairs), steps)


async def _move(held: Held, source: Engine, key: bytes, value: Value, target: Engine, new: bytes, event: bytes,
                db: int | None = None) -> None:
    """Make `new` what `key` is. CommandError."""
    await carry(held, source, target, key, value)
    await held.write(target, [b"SHARDD", b"KEEP", key, new, value.expire_at_ms, event], db)


async def _rename(server: Any, args: list[bytes], replaces: bool) -> int:
    """Whether it was renamed, as 0 or 1. CommandError."""
    source, target = server.owner(slot_of(args[1])), server.owner(slot_of(args[2]))

    async def steps(held: Held) -> int:
        value = await held.read(source, [*READ, args[1]])
        if value is None:
            raise CommandError(errors.NO_SUCH_KEY)
        if not replaces and await held.read(target, [b"EXISTS", args[2]]):
            return 0
        await _move(held, source, args[1], Value.of(value), target, args[2], b"grename_to")
        await held.write(source, [b"SHARDD", b"DROP", args[1], b"grename_from"])
        return 1

    return await holding([source, target], steps)


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
        value = await held.read(source, [*READ, args[1]])
        if value is None or (not replaces and await held.read(target, [b"EXISTS", args[2]], db)):
            return 0
        await _move(held, source, args[1], Value.of(value), target, args[2], b"gcopy_to", db)
        return 1

    return await holding([source, target], steps)


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
    return await holding(server.engines, steps)


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "msetnx": msetnx,
    "msetex": msetex,
    "rename": rename,
    "renamenx": renamenx,
    "copy": copy,
    "swapdb": swapdb,
}
"""Full lower-case command name -> what does it where its keys are on several engines."""

TASKS: Final = {"swapdb": swapdb}
"""Those of them that have no keys, and are done here in any case."""
