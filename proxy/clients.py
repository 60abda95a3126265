"""CLIENT over all proxies of the tree: LIST, KILL, UNBLOCK, PAUSE and UNPAUSE.

Owns: what each of them asks the other proxies (proxy.peers), and how the answers become one. Does not own what these
commands do within one process (commands.connection).

    client -> proxy 0: CLIENT LIST          proxy 0 answers for its own clients,
              proxy 0 -> proxy 1: SHARDD CLIENT LIST
              proxy 0 -> proxy 2: SHARDD CLIENT LIST
    client <- proxy 0: all lines, in order of id

The process that was asked looks first, so an argument that makes no sense is refused before anybody is bothered.
"""
import re
from collections.abc import Callable
from typing import Any, Final

from proxy.merge import Ask
from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.commands import connection
from shardd.wire.values import OK, Verbatim

_ID = re.compile(r"id=(\d+)")


def of_this_process(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT as another proxy asks for it: for the clients of this process. Raises CommandError."""
    handler = _LOCAL.get(args[1].lower())
    if handler is None:
        raise CommandError(errors.unknown_subcommand(args[0], args[1]))
    return handler(server, client, args)


async def client_list(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT LIST [TYPE type] | [ID id ...]: in order of id, or in the order in which ids are asked for."""
    texts = [connection.client_list(server, client, args)]
    texts += [_text(reply) for reply in await server.peers.ask(args)]
    if len(texts) == 1:
        return texts[0]
    lines = {int(_ID.match(line)[1]): line for text in texts for line in text.splitlines()}
    asked = map(int, args[3:]) if len(args) > 3 and args[2].lower() == b"id" else sorted(lines)
    return Verbatim("".join(lines[number] + "\n" for number in asked if number in lines))


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


async def client_kill(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT KILL: both forms."""
    old_form = len(args) == 3
    try:
        mine = connection.client_kill(server, client, args)
    except CommandError as error:
        if error.text != errors.NO_SUCH_CLIENT:
            raise
        mine = None         # perhaps it is another proxy's
    theirs = [reply for reply in await server.peers.ask(args) if not isinstance(reply, CommandError)]
    if not old_form:
        return mine + sum(theirs)
    if mine is None and not theirs:
        raise CommandError(errors.NO_SUCH_CLIENT)
    return OK


async def client_unblock(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT UNBLOCK id [TIMEOUT|ERROR]"""
    mine = connection.client_unblock(server, client, args)
    return mine + sum(reply for reply in await server.peers.ask(args) if isinstance(reply, int))


async def client_pause(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT PAUSE timeout [WRITE|ALL]: OK when no proxy, and no engine, takes such commands any more."""
    connection.client_pause(server, client, args)
    await _tell_all(server, args)
    return OK


async def client_unpause(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT UNPAUSE"""
    connection.client_unpause(server, client, args)
    await _tell_all(server, args)
    return OK


async def _tell_all(server: Any, args: list[bytes]) -> None:
    """The same for the other proxies, and for the engines, which some clients talk to directly. Raises CommandError
    where one is there that does not answer or refuses; an engine that is not there has no clients."""
    await server.peers.ask(args)
    asked = [engine for engine in server.engines if engine.up]
    for engine, reply in zip(asked, await Ask([(engine, args) for engine in asked], limits.PROXY_PEER_MS)):
        if isinstance(reply, CommandError) and engine.up:
            raise CommandError(reply.text)


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "client|list": client_list,
    "client|kill": client_kill,
    "client|unblock": client_unblock,
    "client|pause": client_pause,
    "client|unpause": client_unpause,
}
"""Full lower-case command name -> handler."""

_LOCAL: Final[dict[bytes, Callable[[Any, Any, list[bytes]], Any]]] = {
    b"list": connection.client_list,
    b"kill": connection.client_kill,
    b"unblock": connection.client_unblock,
    b"pause": connection.client_pause,
    b"unpause": connection.client_unpause,
}
"""Subcommand -> what answers it for one process."""
