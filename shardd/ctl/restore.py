"""shardctl restore: a backup in the place of a tree's data, or only its verification.

Owns: the words, finding out whether the tree runs, and showing what comes. Does not own what is done: a running tree's
supervisor does it, and for a stopped one a process of its own (both supervisor/restore.py).

    --verify-only                      nobody is asked
    -h, -p, -s, -u, or nothing         the tree that is found so, running
    --conf, --dir, --shardd WORD ...   the tree of that dir, which runs where its supervisor answers
"""

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Final

from shardd.base.backup import BackupError, Manifest
from shardd.base.clock import mono_ms
from shardd.base.errors import ConfigError
from shardd.ctl.backup import FACT_FIELDS, STEP_FIELDS, absolute, end, facts_of, run_verb
from shardd.ctl.command import App, Command
from shardd.ctl.human import human_bytes, plural
from shardd.ctl.importing import command_of
from shardd.ctl.link import Connection, CtlError, Unreachable, UsageError
from shardd.ctl.progress import Progress
from shardd.ctl.source import socket_in

_RESTORER: Final = "shardd.supervisor.restore"
_TELL_MS: Final = 500


def restore(app: App) -> int:
    """See the head of the module."""
    directory = absolute(app.options.directory)
    manifest, error = None, None
    with Progress(app.screen) as progress:
        try:
            manifest = Manifest.read(directory)
            if app.options.verify_only:
                _verify(manifest, directory, progress)
            else:
                _restore(app, progress, directory)
        except (BackupError, ConfigError) as failure:
            error = CtlError(str(failure))
        except CtlError as failure:
            if not app.as_json or failure.exit_code != CtlError.exit_code:
                raise
            error = failure
    return end(app, progress, facts_of(manifest, directory), error)


def _verify(manifest: Manifest, directory: Path, progress: Progress) -> None:
    """Raises BackupError."""
    told_ms = 0
    for done, total in manifest.verify(directory):
        if mono_ms() - told_ms >= _TELL_MS:
            told_ms = mono_ms()
            progress.say(f"{100 * done // max(1, total)}% of {human_bytes(total)} are compared")
    progress.say(f"All files are as they were written at {manifest.time}: {plural(manifest.keys, 'key')}, "
                 f"{human_bytes(manifest.file_bytes)}, of {plural(len(manifest.engines), 'engine')}")


def _restore(app: App, progress: Progress, directory: Path) -> None:
    """Raises CtlError, ConfigError."""
    words = server_words(app.options)
    if words is None:
        _running(app.source.control(), app, progress, directory)
        return
    if (connection := _supervisor_of(words)) is not None:
        try:
            _running(connection, app, progress, directory)
        finally:
            connection.close()
        return
    error = _stopped({"backup": os.fspath(directory), "words": words, "replace": app.options.replace,
                      "parent": os.getpid()}, progress)
    if error is not None:
        raise CtlError(error)


def server_words(options: argparse.Namespace) -> list[str] | None:
    """shardd's command line; None where a server was named, or nothing. Raises UsageError."""
    named = [name for name in ("host", "port", "socket", "uri", "conf", "dir") if getattr(options, name) is not None]
    if options.shardd is not None and named:
        raise UsageError("--shardd has all of shardd's command line: leave the other ways to name the tree away")
    if options.shardd is not None:
        return list(options.shardd)
    if options.conf is not None:
        return [options.conf]
    return ["--dir", os.path.abspath(options.dir)] if options.dir is not None else None


def _supervisor_of(words: list[str]) -> Connection | None:
    """A connection to the supervisor of the tree that these words start, None where it does not run. ConfigError."""
    from shardd.base.options import Config      # only here: most commands need no option table

    path = socket_in(str(Config.load(words, "shardd")["dir"]))
    try:
        return Connection(path)
    except Unreachable:
        return None


def _running(connection: Connection, app: App, progress: Progress, directory: Path) -> None:
    words = ["SHARDD", "RESTORE", os.fspath(directory), *(["REPLACE"] if app.options.replace else [])]
    if (error := run_verb(connection, progress, *words)) is not None:
        raise CtlError(error)


def _stopped(job: dict[str, object], progress: Progress) -> str | None:
    """Has a process do it; why it failed."""
    command, environment = command_of(_RESTORER)
    process = subprocess.Popen([*command, json.dumps(job)], env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None and process.stderr is not None
    try:
        for line in process.stdout:
            if not line.startswith(b"{"):
                continue        # of the log, where it has no file
            message = json.loads(line)
            if "error" in message:
                return message["error"]
            progress.say(message["say"])
        complaint = process.stderr.read().decode("utf-8", "replace").strip()
        return f"the restore ended by itself: {complaint.splitlines()[-1] if complaint else 'it was killed'}"
    finally:
        process.kill()
        process.wait()


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="BACKUP", help="the directory that shardctl backup has written")
    parser.add_argument("--verify-only", action="store_true", help="compare the backup's files with its checksums")
    parser.add_argument("--replace", action="store_true", help="restore although the data that is there is lost by it")
    parser.add_argument("--shardd", nargs=argparse.REMAINDER, metavar="WORD", help="the words that shardd is started "
                        "with, where that is more than a configuration file; the last option")


COMMANDS: Final = (
    Command("restore", "put a backup in the place of a tree's data; --verify-only checks it",
            "Makes a backup a tree's data, with any number of engines. All checksums are compared first. Where there "
            "is data already it is refused, unless --replace says that this may go. A running tree goes on serving "
            "while the new files are made, then changes over to them at once; what clients write meanwhile goes with "
            "the old data. A stopped one is named by --conf, by --dir where it is started with default options, or by "
            "shardd's whole command line behind --shardd.", restore, STEP_FIELDS | FACT_FIELDS, _arguments, late=True,
            examples=("restore /var/backups/shardd/monday --verify-only",
                      "restore /var/backups/shardd/monday --conf /etc/shardd.conf",
                      "restore ./monday --replace --shardd /etc/shardd.conf --engines 4")),
)
