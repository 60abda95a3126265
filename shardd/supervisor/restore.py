"""A backup in the place of a tree's data, for `shardctl restore`.

    running    SHARDD RESTORE <directory> [REPLACE] on supervisor.sock
    stopped    python -m shardd.supervisor.restore JOB, under the lock of `dir` that a supervisor has

    verify     the manifest, and the checksum of every file
    look       whether there are keys; where there are, only who says REPLACE goes on
    refill     the engines' files anew (refill.py, relayout.py): each gets of every part what its own slots are, so that
               the number of engines may be another one than when the backup was made

JOB is JSON: {"backup": directory, "words": shardd's command line, "replace": bool, "parent": pid}. On standard output
come JSON objects, a line each: {"say": a sentence}, and at the end {"error": null or a sentence}. Other lines are
the log.

Owns: these steps. Does not own what a backup is (base/backup.py), or the change from one data to another.

Invariants: before the first file is made, every byte of the backup was compared. Where it fails, the data is as it was.
Nothing that is there goes without REPLACE: an engine that does not say how many keys it has may have some.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from shardd.base import limits
from shardd.base.backup import BackupError, Manifest
from shardd.base.child import die_with_parent
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError, ConfigError
from shardd.base.log import SUPERVISOR, Log
from shardd.base.options import Config
from shardd.cluster.store import FileStore, StoreError
from shardd.supervisor.layout import Layout
from shardd.supervisor.plan import Plan, cores
from shardd.supervisor.refill import replace_data, replace_data_stopped
from shardd.supervisor.relayout import RelayoutError, Source
from shardd.supervisor.work import Passing

_TELL_MS: Final = 1_000


class RestoreError(Exception):
    """It is refused; the message is a sentence for people."""


async def restore(supervisor: Any, directory: Path, replaces: bool) -> AsyncIterator[str]:
    """Into a running tree, a main.Supervisor. Yields sentences; raises CommandError."""
    try:
        await _refuse_loss(supervisor, replaces)
        manifest = await asyncio.to_thread(Manifest.read, directory)
        async for sentence in _verified(manifest, directory):
            yield sentence
        generation = supervisor.topology.generation
        steps = replace_data(supervisor, sources_of(manifest, directory))
        try:
            async for sentence in steps:
                if supervisor.topology.generation == generation:    # it has not changed over yet
                    await _refuse_loss(supervisor, replaces)
                yield sentence
        except RestoreError:
            await steps.aclose()        # type: ignore[attr-defined]
            with contextlib.suppress(OSError):
                shutil.rmtree(supervisor.layout.draft(generation + 1).path)
            raise
    except (RestoreError, BackupError) as error:
        raise CommandError(f"ERR {error}".encode("utf-8", "replace")) from None


async def _refuse_loss(supervisor: Any, replaces: bool) -> None:
    """Raises RestoreError where there are keys, or may be, and nobody said that they may go."""
    if replaces:
        return
    for child in supervisor.engines:
        keys = (await child.facts()).get("keys")
        if keys != 0:
            said = f"holds {keys} keys" if keys else "does not say how many keys it holds"
            raise RestoreError(f"{child.name} {said}, and what the tree holds is lost by a restore. To restore all the "
                               "same, say REPLACE (shardctl restore ... --replace)")


def sources_of(manifest: Manifest, directory: Path) -> list[Source]:
    """The parts, as relayout.py wants them."""
    return [Source(directory / part.file, part.flags()) for part in manifest.engines]


async def _verified(manifest: Manifest, directory: Path) -> AsyncIterator[str]:
    """Compares the files, in a thread. Raises BackupError."""
    yield (f"The backup is of {manifest.time}: {manifest.keys} keys, {manifest.file_bytes / limits.MIB:.1f} MiB, of "
           f"{len(manifest.engines)} engines")
    steps = manifest.verify(directory)
    while (done := await asyncio.to_thread(_step, steps)) is not None:
        yield Passing(f"{100 * done[0] // max(1, done[1])}% of {done[1] / limits.MIB:.0f} MiB are compared")
    yield "All files are as they were written"


def _step(steps: Iterator[tuple[int, int]]) -> tuple[int, int] | None:
    """A second's worth; None at the end."""
    until_ms = mono_ms() + _TELL_MS
    for done in steps:
        if mono_ms() >= until_ms:
            return done
    return None


async def restore_stopped(words: list[str], directory: Path, replaces: bool) -> AsyncIterator[str]:
    """Into a tree that does not run. words: shardd's command line.

    Yields sentences; raises RestoreError, BackupError, RelayoutError, ConfigError, StoreError, OSError.
    """
    manifest = Manifest.read(directory)
    config = Config.load(words, "shardd")
    available = cores()     # ports and sockets may be anybody's meanwhile: only the start needs them
    plan = Plan(config, Path(os.path.abspath(str(config["dir"]))), int(config["engines"]) or len(available),
                int(config["proxies"]), available)
    log = Log(SUPERVISOR, str(config["loglevel"]), plan.path("logfile"))
    with FileStore(plan.directory) as store:
        stored = store.read()
        layout = Layout(plan.directory, log.notice)
        found = layout.home(layout.settle(stored.generation if stored else None)).with_data()
        if found and not replaces:
            raise RestoreError(f"there is data of {len(found)} engines in {plan.directory}, which is lost by a restore."
                               " To restore all the same, say --replace")
        async for sentence in _verified(manifest, directory):
            yield sentence
        async for sentence in replace_data_stopped(plan, log, store, sources_of(manifest, directory)):
            yield sentence
        yield (f"shardd will start with it: {plan.engines} engines, appendonly "
               f"{'yes' if config['appendonly'] else 'no'}")


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


async def _run(job: dict[str, Any]) -> None:
    async for sentence in restore_stopped(job["words"], Path(job["backup"]), job["replace"]):
        _say({"say": sentence})


def main() -> None:
    """See the head of the module."""
    job = json.loads(sys.argv[1])
    die_with_parent()
    if os.getppid() != job["parent"]:
        sys.exit(1)
    try:
        asyncio.run(_run(job))
        _say({"error": None})
    except (RestoreError, BackupError, RelayoutError, ConfigError, StoreError, OSError) as error:
        _say({"error": str(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()
