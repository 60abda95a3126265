"""SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, WAITAOF and SHUTDOWN through the proxy: all engines as one server.

Owns: what the engines' answers are together. Does not own what they do, when they fork (supervisor/turns.py), or DEBUG
RELOAD and LOADAOF, which go to all engines as any DEBUG that changes something does (handlers).

    SAVE, BGSAVE, BGREWRITEAOF      all engines; the first error there is, though others may have begun: INFO has what
                                    is under way. In progress is what is in progress anywhere (info_join), so who waits
                                    for rdb_bgsave_in_progress:0 waits for all, each engine in its turn
    LASTSAVE                        the earliest: what all have saved since
    WAITAOF                         all engines, over links of the client's own, each for all that it has in its log by
                                    then; of each of the two numbers the lowest
    SHUTDOWN SAVE                   all engines SAVE first, and where one cannot, nothing stops. What is written meanwhile
                                    is saved when they stop. FORCE and NOSAVE: nothing is asked
"""
from collections.abc import Callable
from typing import Any, Final

from proxy.blocking import Wait
from proxy.handlers import checked, every
from proxy.merge import Ask, decoded
from proxy.transactions import told
from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands import server as shared
from shardd.wire.values import OK, Simple


async def save(server: Any, client: Any, args: list[bytes]) -> Any:
    """SAVE"""
    checked(await every(server, *args))
    return OK


async def begin(server: Any, client: Any, args: list[bytes]) -> Any:
    """BGSAVE [SCHEDULE] and BGREWRITEAOF: where one only schedules it, that is what is said."""
    replies = checked(await every(server, *args))
    return next((reply for reply in replies if reply.endswith("scheduled")), replies[0])


async def schedule(server: Any, client: Any, args: list[bytes]) -> Any:
    """The same within EXEC, which only schedules it: no other child is in its way, and the answer says so."""
    if len(args) == 1 and args[0].lower() == b"bgsave":
        args = [*args, b"SCHEDULE"]
    return Simple((await begin(server, client, args)).replace("started", "scheduled"))


async def lastsave(server: Any, client: Any, args: list[bytes]) -> Any:
    """LASTSAVE"""
    return min(checked(await every(server, *args)))


class _WaitForAll(Wait):
    """A wait that is over when all places are; one that fails ends it."""

    def served(self, raw: bytes) -> None:
        if raw[:1] == b"-":
            super().served(raw)


async def waitaof(server: Any, client: Any, args: list[bytes]) -> Any:
    """WAITAOF numlocal numreplicas timeout"""
    wait = client.wait = _WaitForAll(server)
    places = []
    try:
        if not server.engines:
            raise CommandError(errors.CLUSTERDOWN)
        for engine in server.engines:
            places.append(wait.at(engine, engine.borrow(client.resp), args))
        replies = [reply if isinstance(reply, CommandError) else decoded(reply)
                   for reply in await Ask([(place.link, place) for place in places], raw=True)]
        for reply in replies:
            if isinstance(reply, CommandError):
                raise CommandError(told(reply.text))
        return [min(reply[place] for reply in replies) for place in range(2)]
    finally:
        wait.leave()
        for place in places:
            await place.give_back()
        client.unblocked()


async def shutdown(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] | ABORT"""
    words = {word.lower() for word in args[1:]}
    if b"save" in words and words <= {b"save", b"now"}:
        for reply in await every(server, b"SAVE"):
            if isinstance(reply, CommandError):
                server.log.warning(f"SHUTDOWN SAVE: an engine cannot save, so nothing stops: {reply}")
                raise CommandError(errors.SHUTDOWN_FAILED)
    return shared.shutdown(server, client, args)


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "save": save,
    "bgsave": begin,
    "bgrewriteaof": begin,
    "lastsave": lastsave,
    "waitaof": waitaof,
    "shutdown": shutdown,
}
"""Full lower-case command name -> handler."""

WITHIN_EXEC: Final[dict[Any, Callable[[Any, Any, list[bytes]], Any]]] = {begin: schedule}
"""Handler -> what takes its place where EXEC runs it."""
