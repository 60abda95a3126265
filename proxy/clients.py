"""CLIENT over all proxies of the tree: LIST, KILL, UNBLOCK, PAUSE and UNPAUSE.

Owns: what each of them asks the other proxies (proxy.peers), and how the answers become one; the arguments of PAUSE,
which engines do not have. Does not own what these commands do within one process (commands.connection, proxy.pause).

    client -> proxy 0: CLIENT LIST          proxy 0 answers for its own clients,
              proxy 0 -> proxy 1: SHARDD CLIENT LIST
              proxy 0 -> proxy 2: SHARDD CLIENT LIST
    client <- proxy 0: all lines, in order of id

The process that was asked looks first, so an argument that makes no sense is refused before anybody is bothered.
"""
import re
from collections.abc import Callable
from typing import Any, Final

from proxy import pause
from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands import connection
from shardd.commands.table import parse_integer
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


def pause_here(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT PAUSE timeout [WRITE|ALL], for this process."""
    if len(args) > 4:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    kinds = {b"write": pause.PAUSE_WRITE, b"all": pause.PAUSE_ALL}
    kind = kinds.get(args[3].lower()) if len(args) == 4 else pause.PAUSE_ALL
    if kind is None:
        raise CommandError(errors.PAUSE_MODE)
    time_ms = parse_integer(args[2])
    if time_ms is None:
        raise CommandError(errors.PAUSE_NOT_INTEGER)
    if time_ms < 0:
        raise CommandError(errors.PAUSE_NEGATIVE)
    server.pause.start(time_ms, kind)
    return OK


def unpause_here(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT UNPAUSE, for this process."""
    server.pause.stop()
    return OK


async def client_pause(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT PAUSE timeout [WRITE|ALL]: OK when every proxy has stopped taking such commands."""
    pause_here(server, client, args)
    await server.peers.ask(args)
    return OK


async def client_unpause(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT UNPAUSE"""
    unpause_here(server, client, args)
    await server.peers.ask(args)
    return OK


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
    b"pause": pause_here,
    b"unpause": unpause_here,
}
"""Subcommand -> what answers it for one process."""
