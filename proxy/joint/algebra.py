"""Commands that compute something of several keys: SINTER and its like, and those that store it.

An engine does the computing, by its own command, so that replies, errors and their order are what they are on one
engine: the values that are elsewhere go there as guests (engine.guests).

    only reads    to the engine that has most of the keys. Small values are read at once, and go along with the command;
                  for large ones all engines are held, and the engine that has most elements computes.
    stores        all engines are held. The destination's computes, unless values that it lacks are large: then the one
                  that has most elements does, and the result is what moves.

The reply of a command that only reads goes to the client as it comes (merge.Send): it may be as large as the values.
"""
from collections.abc import Awaitable, Callable
from typing import Any, Final

from proxy.backend import Engine
from proxy.joint.held import Held, holding, unexecuted
from proxy.joint.values import READ, Value, carry, fits, guest
from proxy.merge import Ask, Send
from shardd.base import limits
from shardd.commands import table
from shardd.structures.slots import slot_of

_KINDS: Final = {"set": (b"set",), "sorted_set": (b"set", b"zset"), "string": (b"string", b"raw", b"embstr"),
                 "generic": (b"list", b"set", b"zset")}
"""Group of commands -> kinds of values that they can work with: of another kind, the first piece says all, as it makes
the command an error."""


class Keys:
    """The keys of a command. owners: key -> engine, without repetition and in the command's order; written: those that
    it writes; home: of these one's engine, else the one with most keys."""

    def __init__(self, server: Any, args: list[bytes]) -> None:
        row = table.lookup(args)
        self.kinds = _KINDS[row.group]
        places = table.keys_of(row, args)
        self.owners: dict[bytes, Engine] = {args[place]: server.owner(slot_of(args[place])) for place, _ in places}
        self.written = [args[place] for place, flags in places if "update" in flags]
        self.read = [args[place] for place, flags in places if "access" in flags or "RO" in flags]
        engines = [self.owners[key] for key in (self.written or self.read)]
        self.home: Engine = max(engines, key=engines.count)

    def away(self, home: Engine) -> list[bytes]:
        """The keys that are read and not at `home`."""
        return [key for key in dict.fromkeys(self.read) if self.owners[key] is not home]

    @property
    def engines(self) -> list[Engine]:
        return list(dict.fromkeys(self.owners.values()))


def _first_pieces(keys: Keys, names: list[bytes]) -> list[tuple[Engine, list[Any]]]:
    return [(keys.owners[key], [*READ, key]) for key in names]


def _with(command: bytes, guests: dict[bytes, Value], args: list[bytes]) -> list[Any]:
    """A command with its guests."""
    words = [word for key, value in guests.items() for word in guest(key, value)]
    return [b"SHARDD", command, len(guests), *words, *args]


def _largest(keys: Keys, values: dict[bytes, Value]) -> Engine:
    """The engine that has most of what these values hold; `home` is preferred, as nothing has to go there then."""
    lengths = dict.fromkeys(keys.engines, 0)
    for key, value in values.items():
        lengths[keys.owners[key]] += value.length
    return max(lengths, key=lambda engine: 2 * lengths[engine] if engine is keys.home else lengths[engine])


async def _gather(held: Held, keys: Keys, home: Engine, values: dict[bytes, Value]) -> None:
    """Lend `home` all values that it lacks."""
    for key in keys.away(home):
        value = values[key]
        await carry(held, keys.owners[key], home, key, value if value.kind in keys.kinds else value._replace(at=0))


async def compute(server: Any, client: Any, args: list[bytes]) -> None:
    """A command that only reads. The engine's reply is the client's."""
    keys = Keys(server, args)
    names = keys.away(keys.home)
    parts = _first_pieces(keys, names)
    values = [Value.of(reply) for reply in unexecuted(parts, await Ask(parts))]
    if fits(values):
        await Send(keys.home, _with(b"COMPUTE", dict(zip(names, values)), args))
        return

    async def steps(held: Held) -> None:
        names = list(dict.fromkeys(keys.read))
        values = dict(zip(names, map(Value.of, await held.ask(_first_pieces(keys, names)))))
        home = _largest(keys, values)
        await _gather(held, keys, home, values)
        await held.renew(limits.HOLD_MS_MAX)
        await held.release(but=home)
        await Send(held.links[home], _with(b"COMPUTE", {}, args))
        await held.release(timeout_ms=0)        # answered behind the command, whose reply may be long

    await holding(keys.engines, steps, client.resp)


async def elsewhere(held: Held, keys: Keys, values: dict[bytes, Value], engine: Engine, args: list[bytes],
                     event: bytes) -> Any:
    """Compute on an engine that does not have the destination, and move the result there. The command's reply."""
    [destination] = keys.written
    await _gather(held, keys, engine, values)
    await held.renew(limits.HOLD_MS_MAX)
    await held.ask([(engine, [b"SHARDD", b"LEND", destination, b"none", b""])])
    reply = await held.read(engine, _with(b"COMPUTE", {}, args))
    fetch = [b"SHARDD", b"FETCH"]
    result = Value.of(await held.read(engine, [*fetch, destination]))
    if result.kind == b"none":
        await held.write(keys.home, [b"SHARDD", b"DROP", destination, b"gdel"])
        return reply
    name = next(key for key in keys.read if keys.owners[key] is engine)     # no key of the destination's engine
    await carry(held, engine, keys.home, destination, result, fetch, name)
    await held.write(keys.home, [b"SHARDD", b"KEEP", name, destination, -1, event])
    return reply


def store(event: bytes) -> Callable[[Any, Any, list[bytes]], Awaitable[Any]]:
    """A command that writes one key. event: what it is to subscribers, behind the letter of its class."""
    async def handler(server: Any, client: Any, args: list[bytes]) -> Any:
        keys = Keys(server, args)

        async def steps(held: Held) -> Any:
            names = keys.away(keys.home)
            values = dict(zip(names, map(Value.of, await held.ask(_first_pieces(keys, names)))))
            if fits(list(values.values())):
                return await held.write(keys.home, _with(b"STORE", values, args))
            near = [key for key in keys.read if key not in values]
            values |= zip(near, map(Value.of, await held.ask(_first_pieces(keys, near))))
            engine = _largest(keys, values)
            if engine is not keys.home:
                return await elsewhere(held, keys, values, engine, args, event)
            await _gather(held, keys, keys.home, values)
            await held.renew(limits.HOLD_MS_MAX)
            await held.release(but=keys.home)       # all is read, and nobody sees the destination before it is written
            return await held.write(keys.home, _with(b"STORE", {}, args))

        return await holding(keys.engines, steps)

    return handler


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    name: compute
    for name in ("sinter", "sunion", "sdiff", "sintercard", "zinter", "zunion", "zdiff", "zintercard", "lcs")
} | {
    "sinterstore": store(b"ssinterstore"),
    "sunionstore": store(b"ssunionstore"),
    "sdiffstore": store(b"ssdiffstore"),
    "zinterstore": store(b"zzinterstore"),
    "zunionstore": store(b"zzunionstore"),
    "zdiffstore": store(b"zzdiffstore"),
    "zrangestore": store(b"zzrangestore"),
}
"""Full lower-case command name -> handler."""
