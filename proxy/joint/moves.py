"""Commands that take an element out of one key, or put it into another, on several engines: SMOVE, LMOVE, RPOPLPUSH,
LMPOP, ZMPOP.

They are made of smaller commands, on held engines, whose events and effects are those of the whole. An element is added
before it is removed: where an engine dies in between, it may be at both places, and is never lost.
"""
from collections.abc import Callable
from typing import Any, Final

from proxy.backend import Engine
from proxy.joint.held import Held, holding
from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands import table
from shardd.commands.table import parse_integer
from shardd.structures.slots import slot_of
from shardd.wire.values import NULL_ARRAY


async def _of_type(held: Held, engine: Engine, key: bytes, kind: str) -> None:
    """CommandError where the key is there and of another type."""
    if await held.read(engine, [b"TYPE", key]) not in (kind, "none"):
        raise CommandError(errors.WRONG_TYPE)


async def smove(server: Any, client: Any, args: list[bytes]) -> int:
    """SMOVE source destination member"""
    _, source, target, member = args
    owner, other = server.owner(slot_of(source)), server.owner(slot_of(target))

    async def steps(held: Held) -> int:
        if await held.read(owner, [b"TYPE", source]) == "none":
            return 0
        found = await held.read(owner, [b"SISMEMBER", source, member])
        await _of_type(held, other, target, "set")
        if found:
            await held.write(other, [b"SADD", target, member])
            await held.write(owner, [b"SREM", source, member])
        return found

    return await holding([owner, other], steps)


async def _shift(server: Any, source: bytes, target: bytes, takes: bytes, puts: bytes) -> bytes | None:
    """LMOVE, its ends as upper-case letters: the element, None where there is none."""
    owner, other = server.owner(slot_of(source)), server.owner(slot_of(target))

    async def steps(held: Held) -> bytes | None:
        element = await held.read(owner, [b"LINDEX", source, 0 if takes == b"L" else -1])
        if element is None:
            return None
        await _of_type(held, other, target, "list")
        await held.write(other, [puts + b"PUSH", target, element])
        return await held.write(owner, [takes + b"POP", source])

    return await holding([owner, other], steps)


async def lmove(server: Any, client: Any, args: list[bytes]) -> bytes | None:
    """LMOVE source destination LEFT|RIGHT LEFT|RIGHT"""
    ends = [word.upper() for word in args[3:]]
    if any(end not in (b"LEFT", b"RIGHT") for end in ends):
        raise CommandError(errors.SYNTAX)
    return await _shift(server, args[1], args[2], ends[0][:1], ends[1][:1])


async def rpoplpush(server: Any, client: Any, args: list[bytes]) -> bytes | None:
    """RPOPLPUSH source destination"""
    return await _shift(server, args[1], args[2], b"R", b"L")


async def mpop(server: Any, client: Any, args: list[bytes]) -> Any:
    """LMPOP, ZMPOP numkeys key [key ...] end [COUNT count]: of the first key that has something.

    Keys that follow each other on one engine are asked for at once; whatever is wrong with the options, the first
    engine says.
    """
    if parse_integer(args[1]) is None:      # else it is within what the routing has found
        raise CommandError(errors.NUMKEYS_NOT_POSITIVE)
    places = table.route_keys(table.lookup(args), args)
    if places[-1] + 1 == len(args):         # no end: a run of one key would have too few arguments to say so
        raise CommandError(errors.SYNTAX)
    runs: list[tuple[Engine, list[bytes]]] = []
    for place in places:
        engine = server.owner(slot_of(args[place]))
        if not runs or runs[-1][0] is not engine:
            runs.append((engine, []))
        runs[-1][1].append(args[place])

    async def steps(held: Held) -> Any:
        reply = None
        for engine, keys in runs:
            reply = await held.write(engine, [args[0], len(keys), *keys, *args[places[-1] + 1:]])
            if reply is not None:
                break
        return NULL_ARRAY if reply is None else reply

    return await holding([engine for engine, _ in runs], steps, client.resp)


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "smove": smove,
    "lmove": lmove,
    "rpoplpush": rpoplpush,
    "lmpop": mpop,
    "zmpop": mpop,
}
"""Full lower-case command name -> handler."""
