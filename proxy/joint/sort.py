"""SORT and SORT_RO, where the destination, or keys that BY and GET patterns name, are on other engines than the key.

The key's engine sorts. What the patterns name is fetched for it, piece by piece of the elements (engine.patterns), with
all engines held, as nobody knows before which of them will be asked; so what is sorted is of one moment. Without
patterns, it is a command like others that store.
"""
from collections.abc import Callable
from typing import Any, Final

from proxy.backend import Engine
from proxy.joint.algebra import Keys, elsewhere
from proxy.joint.held import Held, holding
from proxy.merge import Send
from shardd.base import limits

_WORDS: Final = {b"asc": 1, b"desc": 1, b"alpha": 1, b"limit": 3, b"store": 2, b"by": 2, b"get": 2}


def patterns(args: list[bytes]) -> list[bytes]:
    """The patterns of SORT that name other keys, each once; none where the options make no sense."""
    found: dict[bytes, None] = {}
    place = 2
    while place < len(args):
        word = args[place].lower()
        if word not in _WORDS or place + _WORDS[word] > len(args):
            return []
        if word in (b"by", b"get") and b"*" in args[place + 1].split(b"\0", 1)[0]:
            found[args[place + 1]] = None
        place += _WORDS[word]
    return list(found)


async def _fetch(server: Any, held: Held, home: Engine, key: bytes, named: list[bytes]) -> None:
    """Have `home` know what the patterns name on other engines. CommandError."""
    by_id = {engine.info.id: engine for engine in server.engines}
    at = count = 0
    while True:
        reply = await held.read(home, [b"SHARDD", b"LACKS", key, at, count, *named])
        if reply is None:
            return
        at, count, groups = reply
        texts = await held.ask([(by_id[_text(engine)], [b"SHARDD", b"TEXTS", named[place], *keys])
                                for place, engine, keys in groups])
        learnt = [(home, [b"SHARDD", b"LEARN", named[place], *(
            word for key, text in zip(keys, found) if text is not None for word in (key, text))])
            for (place, _, keys), found in zip(groups, texts)]
        if learnt:
            await held.ask(learnt)
        if not at:
            return
        await held.go_on()


def _text(word: Any) -> Any:
    return word.decode() if isinstance(word, bytes) else word


async def sort(server: Any, client: Any, args: list[bytes]) -> Any:
    """SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]"""
    keys = Keys(server, args)
    home = keys.owners[args[1]]
    named = patterns(args)
    words = [b"SHARDD", b"STORE" if keys.written else b"COMPUTE", 0, *args]
    if len(keys.engines) == 1 and (not named or len(server.engines) == 1):
        await Send(home, words)
        return None

    async def steps(held: Held) -> Any:
        if named and len(held.links) > 1:
            await _fetch(server, held, home, args[1], named)
        await held.renew(limits.HOLD_MS_MAX)
        if keys.home is not home:
            return await elsewhere(held, keys, {}, home, args, b"lsortstore")
        if keys.written:
            return await held.write(home, words)
        await held.release(but=home)
        await Send(held.links[home], words)
        await held.release(timeout_ms=0)
        return None

    return await holding(server.engines if named else keys.engines, steps, client.resp)


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {"sort": sort, "sort_ro": sort}
"""Full lower-case command name -> handler."""
