"""shardctl import: a single Redis's dump.rdb into the engines of a running tree.

Owns: the words, and the process that does it (engine/importer.py), which ends with this one. Does not own how it is
done. Where it is ended half-way, what was imported stays: with --existing skip or replace the next run goes on.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import shardd
from shardd.base import limits
from shardd.cluster.topology import UP
from shardd.ctl.command import App, Command
from shardd.ctl.human import human_bytes, plural
from shardd.ctl.link import EXIT_BAD, EXIT_OK, CtlError
from shardd.ctl.progress import Progress

_IMPORTER: Final = "shardd.engine.importer"
_EXISTING: Final = ("fail", "skip", "replace")
_SHARE: Final = 25

_COUNTS: Final = ("keys", "kept", "expired", "empty")

_FIELDS: Final = {
    "ok": "whether it was done to the end", "path": "the file",
    "error": "why it was refused or stopped; null where it was not", "keys": "how many were imported",
    "kept": "how many were there already, and stayed (--existing skip)", "expired": "how many were past their time",
    "empty": "how many collections without elements were left out",
    "unsupported": "an object: kind of value that was left out -> how many (--skip-unsupported)"}


def job_of(app: App, path: Path) -> dict[str, Any]:
    """What the process is told. Raises CtlError."""
    app.source.control()
    topology = app.source.topology()
    engines = []
    for engine in topology.engines:
        if engine.state != UP:
            raise CtlError(f"an import needs all engines, and engine {engine.index} is {engine.state}")
        engines.append({"name": f"engine {engine.index}", "socket": engine.unixsocket,
                        "slots": topology.ranges_of(engine.id)})
    if (unowned := limits.SLOTS - sum(last + 1 - first for engine in engines for first, last in engine["slots"])) != 0:
        raise CtlError(f"{plural(unowned, 'slot')} have no engine")
    return {"file": os.fspath(path), "existing": app.options.existing, "skip_unsupported": app.options.skip_unsupported,
            "share": _SHARE, "engines": engines, "parent": os.getpid()}


def run_import(app: App) -> int:
    """See the head of the module."""
    path = Path(os.path.abspath(app.options.file))
    job = job_of(app, path)
    with Progress(app.screen) as progress:
        told = follow(job, progress)
    if app.as_json:
        app.screen.json({"ok": told["error"] is None, "path": str(path), "error": told["error"],
                         **{name: told.get(name, 0) for name in _COUNTS}, "unsupported": told.get("unsupported", {})})
        return EXIT_OK if told["error"] is None else EXIT_BAD
    if told["error"] is not None:
        raise CtlError(told["error"])
    app.screen.line(f"{plural(told['keys'], 'key')} imported{_but(told)}")
    return EXIT_OK


def _but(told: dict[str, Any]) -> str:
    parts = [f"{told[name]} {what}" for name, what in (
        ("kept", "that were there already stayed as they were"), ("expired", "were past their time"),
        ("empty", "were empty collections")) if told[name]]
    parts += [f"{count} {kind} left out" for kind, count in told["unsupported"].items()]
    return "".join(f"; {part}" for part in parts)


def command_of(module: str) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment that run a module of ours with this interpreter, from the same packages,
    whatever the working directory has in it."""
    packages = os.path.dirname(os.path.dirname(os.path.abspath(shardd.__file__)))
    paths = [packages, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return [sys.executable, "-P", "-m", module], dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths)}


def follow(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The process, from its start to its end; what it says at its end. Raises CtlError."""
    command, environment = command_of(_IMPORTER)
    process = subprocess.Popen([*command, json.dumps(job)], env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    told: dict[str, Any] | None = None
    assert process.stdout is not None and process.stderr is not None
    try:
        for line in process.stdout:
            message = json.loads(line)
            if "progress" in message:
                done, total, what = message["progress"]
                progress.say(f"{100 * done // max(1, total)}% of {human_bytes(total)} are {what}")
            else:
                told = message
        complaint = process.stderr.read().decode("utf-8", "replace").strip()
    finally:
        process.kill()
        process.wait()
    if told is None:
        reason = complaint.splitlines()[-1] if complaint else "it was killed"
        raise CtlError(f"the import ended by itself: {reason}. What was imported by then stays")
    return told


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the dump.rdb of a Redis or a Valkey")
    parser.add_argument("--existing", choices=_EXISTING, default="fail", help="what becomes of keys that are there "
                        "already: fail (nothing is imported), skip (they stay), replace [fail]")
    parser.add_argument("--skip-unsupported", action="store_true", help="leave out what cannot be held yet: streams, "
                        "functions, values of modules")


COMMANDS: Final = (
    Command("import", "load a dump.rdb of a single Redis into the running engines",
            "Loads an RDB file into the engines while they serve: all databases, each key into the engine that has its "
            "slot, as RESTORE would, in a quarter of their time. The whole file is looked through first: where "
            "something is wrong with it, nothing is imported.", run_import, _FIELDS, _arguments,
            examples=("import /var/lib/redis/dump.rdb", "import dump.rdb --existing replace")),
)
