"""SAVE, BGSAVE and LASTSAVE.

Owns: what these commands take and reply. Does not own what happens then (server.persistence), nor the snapshots of
several engines at once (the proxy's).
"""
from typing import Any, Final

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands.plain import Handler
from shardd.wire.values import OK, Simple


def save(server: Any, client: Any, args: list[bytes]) -> Any:
    """SAVE: everybody waits until the snapshot is on disk."""
    server.persistence.foreground()
    return OK


def bgsave(server: Any, client: Any, args: list[bytes]) -> Any:
    """BGSAVE [SCHEDULE]"""
    if len(args) > 2 or (len(args) == 2 and args[1].lower() != b"schedule"):
        raise CommandError(errors.SYNTAX)
    return Simple(server.persistence.background(schedule=len(args) == 2))


def lastsave(server: Any, client: Any, args: list[bytes]) -> Any:
    """LASTSAVE: unix time of the last snapshot that succeeded, or of the start."""
    return server.persistence.last_save_s


HANDLERS: Final[dict[str, Handler]] = {"save": save, "bgsave": bgsave, "lastsave": lastsave}
"""Full lower-case command name -> handler, for whoever builds a registry."""
