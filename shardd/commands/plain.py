"""What the families of plain handlers share: the form of a handler, and the reply of HELP.

A plain handler is `handler(server, client, args) -> value`: `server` is the engine's or the proxy's object (each family
says what it uses of it), `client` a net.client.Client, args[0] the command's name as it was sent; the value is written
as wire.values says, and a CommandError may be raised instead. Each family lists its handlers in `HANDLERS`, by full
lower-case name ("get", "client|list"), for whoever builds a registry.
"""
from collections.abc import Callable
from typing import Any

from shardd.wire.values import Simple

Handler = Callable[[Any, Any, list[bytes]], Any]


def help_lines(command: str, lines: list[str]) -> list[Simple]:
    """The reply of a container's HELP: Redis's first line, the lines given, and HELP itself."""
    first = f"{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    return [Simple(line) for line in [first, *lines, "HELP", "    Print this help."]]
