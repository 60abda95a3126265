"""BGREWRITEAOF.

Owns: what it takes and replies. Does not own what happens then (server.aof). WAITAOF is in engine.waitaof, since it
blocks.
"""
from typing import Any, Final

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands.plain import Handler
from shardd.wire.values import Simple


def bgrewriteaof(server: Any, client: Any, args: list[bytes]) -> Any:
    """BGREWRITEAOF"""
    aof, active = server.aof, server.snapshots.active
    if active == "aof":
        raise CommandError(errors.REWRITE_UNDER_WAY)
    if active or server.context.in_exec:
        aof.schedule()
        return Simple("Background append only file rewriting scheduled")
    if not aof.rewrite():
        raise CommandError(errors.REWRITE_FAILED)
    return Simple("Background append only file rewriting started")


HANDLERS: Final[dict[str, Handler]] = {"bgrewriteaof": bgrewriteaof}
"""Full lower-case command name -> handler, for whoever builds a registry."""
