"""CONFIG, SLOWLOG and MEMORY through the proxy.

Owns: which part of a configuration is the proxy's and which the engines', slow logs and memory figures as one. Does not
own the options (base.options) or INFO (info).

CONFIG. The supervisor gives a proxy every option, so a value is looked up here, except where engines alone read the
option: then one engine is asked. CONFIG SET checks and applies all pairs here first, then sends every engine those that
engines read; where an engine refuses or is gone, the client gets its error and everything is set back where that is
possible. What is shared out (maxmemory) is the tree's here: the engines are asked what they use, and each gets its
share (base.shares), which the supervisor adjusts from then on. Then the supervisor is told, for the other proxies and
for children that start later. REWRITE (commands.server) brings the user's own file up to date, not the engines', which
are made anew for each start.

SLOWLOG. Entries of all engines, newest first. An entry's id is id * n + i of engine i of n, so that it stays unique. An
engine knows the proxy's link alone, so it tells the proxy, in front of the reply of a command that went into its slow
log, the entry's token, and the proxy keeps whose command that was (server.slow_clients). All proxies are asked. What
none of them remembers has the link's address.
"""
import json
from collections.abc import Callable
from typing import Any, Final

from proxy.handlers import checked, every
from proxy.info import info
from proxy.merge import Ask
from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.base.option_table import BY_NAME
from shardd.base.option_types import parse_memory
from shardd.base.shares import split
from shardd.commands.server import SLOWLOG_SHOWN, is_local
from shardd.commands.table import parse_integer
from shardd.wire.values import OK, Verbatim

def read_by_engines(name: str) -> bool:
    """Whether engines read the option of this name or alias."""
    option = BY_NAME.get(name.lower())
    return option is not None and "engine" in option.readers


def read_by_engines_alone(name: str) -> bool:
    return read_by_engines(name) and "proxy" not in BY_NAME[name.lower()].readers


async def _engines_values(server: Any, names: list[str]) -> dict[str, str]:
    """What one engine says of options; nothing where none answers."""
    if not names or not any(engine.up for engine in server.engines):
        return {}
    [reply] = await Ask([(server.some_engine(), [b"CONFIG", b"GET", *names])])
    if isinstance(reply, CommandError):
        return {}
    flat = [item for pair in reply.items() for item in pair] if isinstance(reply, dict) else reply
    texts = [item.decode("utf-8", "surrogateescape") for item in flat]
    return dict(zip(texts[::2], texts[1::2]))


async def _for_engines(server: Any, pairs: list[tuple[str, str]]) -> list[list[bytes]]:
    """The words of a CONFIG SET for each engine: what engines read, and its share of what is shared out."""
    read = [(name, text) for name, text in pairs if read_by_engines(name)]
    shared = [name for name, _ in read if BY_NAME[name].shared_out]
    used = await _used_bytes(server) if shared and server.engines else []
    words: list[list[bytes]] = [[] for _ in server.engines]
    for name, text in read:
        texts = [text] * len(words)
        if name in shared:
            texts = list(map(str, split(parse_memory(text) or 0, used)))
        for place, part in enumerate(texts):
            words[place] += [name.encode(), part.encode("utf-8", "surrogateescape")]
    return words


async def _used_bytes(server: Any) -> list[int]:
    """What each engine holds of its share of maxmemory; 0 where one does not say."""
    used = []
    for reply in await every(server, b"SHARDD", b"STATUS"):
        try:
            used.append(int(json.loads(reply)["held_bytes"]))
        except (ValueError, TypeError, KeyError):
            used.append(0)
    return used


async def _configure(engines: list[Any], words: list[list[bytes]]) -> list[Any]:
    """CONFIG SET on each of these engines; their replies."""
    return await Ask([(engine, [b"CONFIG", b"SET", *some]) for engine, some in zip(engines, words)])


async def config_get(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG GET pattern [pattern ...]"""
    found = server.config.match([arg.decode("utf-8", "surrogateescape") for arg in args[2:]])
    theirs = await _engines_values(server, [name for name in found if read_by_engines_alone(name)])
    found.update((name, value) for name, value in theirs.items() if name in found)
    return found


async def config_set(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG SET name value [name value ...]"""
    if len(args) % 2:
        raise CommandError(errors.SYNTAX)
    pairs = list(zip(args[2::2], args[3::2]))
    texts = [(name.decode("utf-8", "surrogateescape").lower(), text.decode("utf-8", "surrogateescape"))
             for name, text in pairs]
    before = [(name, server.config.get_text(name)) for name, _ in texts if name in BY_NAME]
    server.config.set_many(pairs, is_local(client))
    words = await _for_engines(server, texts)
    replies = await _configure(server.engines, words) if any(words) else []
    failed = [reply for reply in replies if isinstance(reply, CommandError)]
    if not failed:
        server.on_configured({name: server.config.get_text(name) for name, _ in texts})
        return OK
    server.config.set_many([(name.encode(), text.encode("utf-8", "surrogateescape")) for name, text in before],
                           is_local(client))
    changed = [place for place, reply in enumerate(replies) if _may_have_run(server.engines[place], reply)]
    if changed:
        theirs = await _for_engines(server, before)
        await _configure([server.engines[place] for place in changed], [theirs[place] for place in changed])
    raise failed[0]


def _may_have_run(engine: Any, reply: Any) -> bool:
    """Whether the engine has done what it was asked, or nobody knows."""
    return not isinstance(reply, CommandError) or reply.text in (
        errors.engine_lost(engine.index), errors.engine_silent(engine.index))


async def config_resetstat(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG RESETSTAT: here, in the other proxies and on every engine."""
    server.reset_counters()
    await server.peers.ask([b"RESETSTAT"], complete=False)
    replies = await every(server, *args) if server.engines else []
    if any(isinstance(reply, CommandError) for reply in replies):
        raise CommandError(errors.EXECUTED_IN_PART)
    return OK


# --- the slow log -------------------------------------------------------------------------------------------------

async def slowlog_get(server: Any, client: Any, args: list[bytes]) -> Any:
    """SLOWLOG GET [count]"""
    count = SLOWLOG_SHOWN
    if len(args) > 3:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    if len(args) == 3:
        number = parse_integer(args[2])
        if number is None or number < -1:
            raise CommandError(errors.SLOWLOG_COUNT)
        count = number
    replies = checked(await every(server, b"SHARDD", b"SLOWLOG", b"%d" % count))
    known = server.slow_clients.copy()
    for told in await server.peers.ask([b"SLOW"], complete=False):
        known |= json.loads(told)
    entries = []
    for place, reply in enumerate(replies):
        for number, second, us, words, peer, name, token in reply:
            entries.append([number * len(replies) + place, second, us, words, *known.get(token.decode(), (peer, name))])
    entries.sort(key=lambda entry: (entry[1], entry[0]), reverse=True)
    return entries if count < 0 else entries[:count]


# --- MEMORY -------------------------------------------------------------------------------------------------------

def _as_map(reply: Any) -> dict[bytes, Any]:
    """A map, in RESP2 a flat list; so are the maps in it, those of the databases."""
    pairs = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))
    return {name: _as_map(value) if name.startswith(b"db.") else value for name, value in pairs.items()}


def _add_maps(maps: list[dict[bytes, Any]]) -> dict[bytes, Any]:
    """Integers are added; what is none (ratios) is the highest."""
    total: dict[bytes, Any] = {}
    for name in dict.fromkeys(name for one in maps for name in one):
        values = [one[name] for one in maps if name in one]
        if isinstance(values[0], dict):
            total[name] = _add_maps(values)
        else:
            total[name] = sum(values) if isinstance(values[0], int) else max(map(float, values))
    return total


async def memory_stats(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY STATS: the engines' figures added up; what they are parts of is computed from the sums."""
    total = _add_maps([_as_map(reply) for reply in checked(await every(server, *args))])
    net = max(0, total[b"total.allocated"] - total[b"startup.allocated"])
    total[b"keys.bytes-per-key"] = net // total[b"keys.count"] if total[b"keys.count"] else 0
    total[b"dataset.percentage"] = 100 * total[b"dataset.bytes"] / net if net else 0.0
    for name, above, below in ((b"allocator-fragmentation.ratio", b"allocator.active", b"allocator.allocated"),
                               (b"allocator-rss.ratio", b"allocator.resident", b"allocator.active"),
                               (b"fragmentation", b"allocator.resident", b"total.allocated")):
        total[name] = total[above] / max(1, total[below])
    total[b"peak.percentage"] = 100 * total[b"total.allocated"] / max(1, total[b"peak.allocated"])
    return total


async def memory_texts(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY DOCTOR and MEMORY MALLOC-STATS: what every engine says, once where all say the same."""
    texts = [reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
             for reply in checked(await every(server, *args))]
    if len(set(texts)) == 1:
        return Verbatim(texts[0])
    return Verbatim("\n".join(f"Engine {engine.index}: {text}" for engine, text in zip(server.engines, texts)))


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "info": info,
    "config|get": config_get,
    "config|set": config_set,
    "config|resetstat": config_resetstat,
    "slowlog|get": slowlog_get,
    "memory|stats": memory_stats,
    "memory|doctor": memory_texts,
    "memory|malloc-stats": memory_texts,
}
"""Full lower-case command name -> handler."""
