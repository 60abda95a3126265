"""An engine's part of a backup of the whole tree: a snapshot at the very moment at which the supervisor has them all.

    supervisor (supervisor/backup.py)             engine
    SHARDD BACKUP RESERVE ms  ------------------> no save and no rewrite begins for so long; BUSY while one is at work
    SHARDD HOLD ms            ------------------> nobody else is served (engine.hold)
    SHARDD BACKUP START path  ------------------> forks at once, out of turn, and answers when it has
    SHARDD RELEASE            ------------------> all are served again, while the child writes
    SHARDD BACKUP STATUS      ------------------> how far it is
    SHARDD BACKUP CANCEL      ------------------> the child ends, its file is removed

Owns: these commands and the state of the one backup. Does not own the child (engine.snapshot), the instant, the other
engines' parts, or what makes files a backup (the supervisor; base/backup.py).

The file has the keys of the engine's own slots only: what is left of slots that are others' by now does not belong to
the data. It has a checksum whatever rdbchecksum says. The answer of START says which slots these are, so that whoever
puts the parts together sees that every slot is there once.
"""
import json
import os
from functools import partial
from typing import Any, Final

from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.engine.snapshot import BACKUP, RDB, save_options
from shardd.journal.rdb_save import save_keyspace
from shardd.wire.values import OK

_NONE: Final = "none"
_WRITING: Final = "writing"
_DONE: Final = "done"
_FAILED: Final = "failed"


class Backup:
    """The latest backup of one engine. state: "none", "writing", "done" or "failed"; error: why it failed."""

    def __init__(self, server: Any) -> None:
        """server: engine.server.Server."""
        self._server = server
        self.state = _NONE
        self.error = ""
        self.keys = 0

    def command(self, client: Any, words: list[bytes]) -> Any:
        """SHARDD BACKUP ...; words: those behind BACKUP. Raises CommandError."""
        verb = words[0].upper()
        if verb == b"RESERVE" and len(words) == 2 and words[1].isdigit():
            return self.reserve(int(words[1]))
        if verb == b"START" and len(words) == 2:
            return json.dumps(self.start(client, os.fsdecode(words[1])))
        if verb == b"STATUS" and len(words) == 1:
            return json.dumps(self.status())
        if verb == b"CANCEL" and len(words) == 1:
            return self.cancel()
        raise CommandError(errors.SYNTAX)

    def reserve(self, time_ms: int) -> Any:
        """No other child begins for so long. CommandError where one is at work."""
        snapshots = self._server.snapshots
        if snapshots.active not in ("", BACKUP) or snapshots.pid:
            raise CommandError(errors.BACKUP_BUSY)
        snapshots.reserve(min(time_ms, limits.BACKUP_RESERVE_MS))
        return OK

    def start(self, client: Any, path: str) -> dict[str, Any]:
        """Fork now. CommandError where the engine is not held by this connection, or it cannot be done."""
        server = self._server
        snapshots = server.snapshots
        if server.dispatcher.holder is not client:
            raise CommandError(errors.BACKUP_NOT_HELD)
        if snapshots.active not in ("", BACKUP) or snapshots.pid:
            raise CommandError(errors.BACKUP_BUSY)
        ranges = self._ranges()
        write = partial(save_keyspace, slots=_flags(ranges), **save_options(server.config, RDB) | {"checksum": True})
        try:
            snapshots.start(BACKUP, path, self._done, write=write, at_once=True)
        except OSError as error:
            raise CommandError(errors.backup_fork(error.strerror or str(error))) from None
        self.state, self.error, self.keys = _WRITING, "", 0
        return {"epoch": server.topology.epoch if server.topology is not None else 0, "slots": ranges,
                "keys": snapshots.keys_total, "fork_us": snapshots.fork_us}

    def status(self) -> dict[str, Any]:
        """How far it is."""
        snapshots = self._server.snapshots
        writing = self.state == _WRITING
        return {"state": self.state, "error": self.error, "keys": snapshots.keys_done if writing else self.keys,
                "keys_total": snapshots.keys_total if writing else self.keys,
                "cow_bytes": snapshots.cow_peak if writing else snapshots.cow_bytes.get(BACKUP, 0)}

    def cancel(self) -> Any:
        """End the child, and what was reserved."""
        snapshots = self._server.snapshots
        if self.state == _WRITING:
            snapshots.stop()
        if snapshots.active == BACKUP:
            snapshots.reserve(0)
        return OK

    def _done(self, error: str | None) -> None:
        self._server.snapshots.reserve(0)
        self.keys = self._server.snapshots.keys_written if error is None else 0
        self.state, self.error = (_DONE, "") if error is None else (_FAILED, error)

    def _ranges(self) -> list[list[int]]:
        """The slots that are ours."""
        server = self._server
        if server.topology is None:
            return [[0, limits.SLOTS - 1]]
        return [[first, last] for first, last in server.topology.ranges_of(server.node_id)]


def command(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD BACKUP RESERVE ms | START path | STATUS | CANCEL"""
    return server.backup.command(client, args[2:])


def _flags(ranges: list[list[int]]) -> bytes:
    flags = bytearray(limits.SLOTS)
    for first, last in ranges:
        flags[first:last + 1] = b"\x01" * (last + 1 - first)
    return bytes(flags)
