"""shardctl backup and export: what is in all engines at one instant, as a directory, or as one file for a single Redis.

Owns: the words, what is shown meanwhile, and the making of one file from the engines' parts (with rdb_join.py). Does
not own how the parts come about (supervisor/backup.py) or what a backup is (base/backup.py).

    backup DIR     DIR/engine-<i>.rdb, DIR/backup.json
    export FILE    FILE.parts/: such a backup; FILE.part: the parts, one after the other, each removed when it has been
                   read; then FILE, and FILE.parts is gone

The supervisor does its part to the end also where shardctl is ended meanwhile.
"""

import argparse
import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from shardd.base.backup import BackupError, Manifest
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError
from shardd.base.files import sync_directory
from shardd.ctl import rdb_join
from shardd.ctl.command import App, Command
from shardd.ctl.human import human_bytes, plural
from shardd.ctl.link import EXIT_BAD, EXIT_OK, Connection, CtlError, UsageError
from shardd.ctl.progress import Progress
from shardd.ctl.tree import explained, stream

_TELL_MS: Final = 500

STEP_FIELDS: Final = {
    "ok": "whether it was done to the end", "steps": "what was said on the way: sentences, in order",
    "error": "why it was refused or stopped; null where it was not"}

FACT_FIELDS: Final = {
    "path": "what was written, an absolute path", "time": "the instant of which the data is: ISO 8601, UTC",
    "keys": "how many keys are in it", "file_bytes": "size of all files",
    "barrier_us": "how long all engines were held for that instant, microseconds",
    "engines": "one object per engine", "engines[].index": "which engine", "engines[].keys": "its keys",
    "engines[].file_bytes": "size of its part", "engines[].fork_us": "how long its fork took, microseconds"}


def facts_of(manifest: Manifest | None, path: Path) -> dict[str, Any]:
    """What --json shows of a backup; None: of none."""
    if manifest is None:
        return {"path": str(path), "time": None, "keys": None, "file_bytes": None, "barrier_us": None, "engines": []}
    return {"path": str(path), "time": manifest.time, "keys": manifest.keys, "file_bytes": manifest.file_bytes,
            "barrier_us": manifest.barrier_us,
            "engines": [{"index": part.index, "keys": part.keys, "file_bytes": part.file_bytes,
                         "fork_us": part.fork_us} for part in manifest.engines]}


def run_verb(supervisor: Connection, progress: Progress, *words: str) -> str | None:
    """Has the supervisor do something and shows what it says; what it complains of at its end, None for nothing."""
    try:
        for line in stream(supervisor, *words):
            progress.say(line)
    except CommandError as error:
        return explained(str(error))
    return None


def _backup_to(app: App, progress: Progress, directory: Path) -> Manifest:
    """Raises CtlError."""
    if (error := run_verb(app.source.control(), progress, "SHARDD", "BACKUP", os.fspath(directory))) is not None:
        raise CtlError(error)
    try:
        return Manifest.read(directory)
    except BackupError as error:
        raise CtlError(f"{error}. Is the supervisor on another host, or in another file system?") from None


def backup(app: App) -> int:
    """SHARDD BACKUP."""
    return _made(app, absolute(app.options.directory), _backup_to)


def _made(app: App, target: Path, make: Callable[[App, Progress, Path], Manifest]) -> int:
    """Has `make` write a backup to `target`, and tells of it. Returns the exit code; raises CtlError."""
    manifest, error = None, None
    with Progress(app.screen) as progress:
        try:
            manifest = make(app, progress, target)
        except CtlError as failure:
            error = failure
    return end(app, progress, facts_of(manifest, target), error)


def end(app: App, progress: Progress, facts: dict[str, Any], error: CtlError | None) -> int:
    """The last words: JSON, or the error. Returns the exit code; raises CtlError."""
    if app.as_json:
        app.screen.json({"ok": error is None, "steps": progress.steps, "error": str(error) if error else None, **facts})
        return EXIT_OK if error is None else EXIT_BAD
    if error is not None:
        raise error
    return EXIT_OK


def absolute(path: str) -> Path:
    """Below our working directory, which is not the supervisor's; a link at its end stays one. Raises UsageError."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{path!r}: the supervisor is told paths in UTF-8 alone") from None
    return Path(os.path.abspath(path))


# --- export -------------------------------------------------------------------------------------------------------

def export(app: App) -> int:
    """A backup, made into one file."""
    return _made(app, absolute(app.options.file), _export)


def _export(app: App, progress: Progress, target: Path) -> Manifest:
    if os.path.lexists(target) and not app.options.force:
        raise CtlError(f"{target} is there already: give another name, or say --force")
    if target.is_dir():
        raise CtlError(f"{target} is a directory: export writes one file")
    parts = target.with_name(target.name + ".parts")
    if os.path.lexists(parts):
        raise CtlError(f"{parts} is there already: an export that was interrupted has left it, or goes on. Remove it, "
                       "or give another name")
    manifest = _backup_to(app, progress, parts)
    try:
        joined = _join(progress, manifest, parts, target)
    except OSError as error:
        raise CtlError(f"{error.filename or target}: {error.strerror}") from None
    except rdb_join.JoinError as error:
        raise CtlError(str(error)) from None
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    needs = "Redis 7.0" if joined.version <= rdb_join.VERSION_COMMON else (
        "Redis 7.4, since there are hashes with fields that expire")
    progress.say(f"{target}: {plural(manifest.keys, 'key')}, {human_bytes(joined.file_bytes)}, in version "
                 f"{joined.version} of the format. To load it takes at least {needs}")
    return manifest


def _join(progress: Progress, manifest: Manifest, parts: Path, target: Path) -> rdb_join.Joined:
    """Raises OSError, JoinError; what was written is gone then."""
    made = target.with_name(target.name + ".part")
    told_ms = 0

    def on_progress(done: int) -> None:
        nonlocal told_ms
        if mono_ms() - told_ms >= _TELL_MS:
            told_ms = mono_ms()
            total = manifest.file_bytes
            progress.say(f"{100 * done // max(1, total)}% of {human_bytes(total)} are joined")

    try:
        joined = rdb_join.join([parts / part.file for part in manifest.engines], made, manifest.unix_ms // 1000,
                               on_progress)
        os.rename(made, target)
    except BaseException:
        with contextlib.suppress(OSError):
            made.unlink()
        raise
    sync_directory(target.parent)
    return joined


# --- the command line ---------------------------------------------------------------------------------------------

def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="where to; is made, or is there and empty")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="what to write, dump.rdb say; there is room for it on its disk")
    parser.add_argument("--force", action="store_true", help="take the place of a file that is there")


COMMANDS: Final = (
    Command("backup", "write all engines' data, of one instant, into a directory",
            "Writes what all engines hold at one instant into a directory: an RDB file of each engine, and a manifest "
            "with checksums, without which it is no backup. Clients wait for the few milliseconds in which the engines "
            "fork; how many is told. It goes on to its end also where shardctl is ended. Exit code 1 where it failed: "
            "then nothing is left of it.", backup, STEP_FIELDS | FACT_FIELDS, _backup_arguments,
            examples=("backup /var/backups/shardd/monday", "backup /tmp/b --json")),
    Command("export", "write one dump.rdb that a single Redis loads",
            "Writes what all engines hold at one instant into one RDB file, which a single Redis (7.0 or later) or "
            "Valkey loads. While it is made the parts are beside it, in FILE.parts, where an interruption leaves them.",
            export, STEP_FIELDS | FACT_FIELDS, _export_arguments, examples=("export dump.rdb",)),
)
