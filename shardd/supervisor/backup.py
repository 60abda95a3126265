"""A backup of all engines at one instant.

    wait       until no engine writes a snapshot or its log anew; from then on none begins to
    hold       engine after engine in ascending order, as commands over several engines do: then nobody is served
    fork       all at once; each child has its engine's keys as they are at this moment
    release    everybody is served again                                    hold .. release is the barrier
    write      the children write <directory>/engine-<i>.rdb and sync it; meanwhile sentences say how far they are
    sum        the checksum of each file
    sign       <directory>/backup.json (base/backup.py), written last, synced, put there in one step

What one instant means. There is a moment at which no engine ran anything, and the backup is what all of them held at
it: whoever got a reply before it finds what it acknowledged, nothing of it was sent after. So is every command of one
engine's keys, every MULTI, and every command over several engines that holds them (RENAME, MSETNX, EXEC over several
...) in the backup as a whole or not at all. Commands that the proxy cuts into independent parts (MSET, DEL, UNLINK of
several engines' keys; FLUSHALL) are not atomic for anybody: another client may see one part done and the other not, and
so may the backup, if they are under way at that moment.

Owns: the barrier, the directory until it is signed, and taking everything back. Does not own a snapshot (the engine's
engine/backup.py and engine/snapshot.py) or what shardctl makes of it.

Invariants: where it fails, what was written is removed, and a directory that was made for it. An engine is held for
limits.HOLD_MS_MAX at most, and by then the hold has ended by itself; the backup counts only where every hold lasted
until all had forked. Holding, waiting for a hold, is bound to a connection: who wants no more of it closes that.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from shardd.base import limits
from shardd.base.backup import MANIFEST, Manifest, Part, checksum, coverage
from shardd.base.clock import mono_ms, mono_us, now_ms
from shardd.base.errors import CommandError
from shardd.base.files import sync_directory
from shardd.supervisor.child import Child
from shardd.supervisor.control import Link, LinkError
from shardd.supervisor.watch import State
from shardd.supervisor.work import Passing

_LOOK_S: Final = 0.1
_TELL_MS: Final = 1_000
_RENEW_MS: Final = 1_000


@dataclass
class _Engine:
    """One engine's part. said: what it answered to START; status: its latest answer to STATUS."""

    child: Child
    path: Path
    link: Link
    reserved_ms: int = 0
    said: dict[str, Any] | None = None
    status: dict[str, Any] | None = None

    async def ask(self, *words: str | int, timeout_ms: int = limits.CONTROL_REPLY_MS) -> Any:
        """Its reply. Raises CommandError, which names it."""
        try:
            return await self.link.call("SHARDD", *words, timeout_ms=timeout_ms)
        except LinkError as error:
            raise _error(f"{self.child.name}: {error}") from None
        except CommandError as error:
            raise _error(f"{self.child.name} answers: {error}") from None


class Backup:
    """One backup of one tree (a main.Supervisor, which lies above)."""

    def __init__(self, supervisor: Any) -> None:
        self._supervisor = supervisor
        self._engines: list[_Engine] = []
        self._made: list[Path] = []
        """Directories that were made for it."""

    async def run(self, directory: Path) -> AsyncIterator[str]:
        """Yields sentences of progress. Raises CommandError where it fails: then nothing is left of it."""
        supervisor = self._supervisor
        if not directory.is_absolute():
            raise _error(f"{directory}: the path has to be absolute, this process has a working directory of its own")
        for child in supervisor.engines:
            if child.watch.state is not State.UP:
                raise _error(f"a backup is of all engines, and {child.name} is {child.watch.state.value}")
        began_ms = mono_ms()
        done = False
        try:
            self._make(directory)
            for child in supervisor.engines:
                self._engines.append(_Engine(child, directory / f"engine-{child.index}.rdb", await _open(child)))
            async for sentence in self._steps(directory, began_ms):
                yield sentence
            done = True
        except OSError as error:
            raise _error(f"{error.filename or directory}: {error.strerror}") from None
        finally:
            if not done:
                await self._cancel()
                self._remove()
            for engine in self._engines:
                engine.link.close()

    async def _steps(self, directory: Path, began_ms: int) -> AsyncIterator[str]:
        async for sentence in self._reserve():
            yield sentence
        instant_ms = barrier_us = 0
        for attempt in range(1, limits.BACKUP_HOLD_TRIES + 1):
            try:
                instant_ms, barrier_us = await self._barrier()
                break
            except _Late as late:
                if attempt == limits.BACKUP_HOLD_TRIES:
                    raise _error(f"{late}, {attempt} times: it is busy with long commands") from None
                yield f"{late}; the backup tries again"
            await self._start_anew()
            await asyncio.sleep(attempt * _LOOK_S)
            async for sentence in self._reserve():
                yield sentence
        yield (f"All {len(self._engines)} engines were held for {barrier_us / 1000:.1f} ms; what they had then is "
               "being written")
        async for sentence in self._write():
            yield sentence
        parts = []
        for engine in self._engines:
            yield Passing(f"{100 * len(parts) // len(self._engines)}% of the files have their checksum")
            parts.append(await asyncio.to_thread(_part, engine))
        topology = self._supervisor.topology
        manifest = Manifest(_version(), limits.REDIS_VERSION, instant_ms, barrier_us, topology.cluster_id,
                            topology.epoch, tuple(parts))
        await asyncio.to_thread(_sign, manifest, directory)
        yield (f"The backup is in {directory}: {manifest.keys} keys, {manifest.file_bytes / limits.MIB:.1f} MiB, in "
               f"{(mono_ms() - began_ms) / 1000:.1f} s")

    # --- the directory --------------------------------------------------------------------------------------------

    def _make(self, directory: Path) -> None:
        """An empty directory. Raises CommandError, OSError."""
        try:
            directory.mkdir(0o700)
            self._made.append(directory)
        except FileExistsError:
            if not directory.is_dir():
                raise _error(f"{directory} is no directory") from None
            if (directory / MANIFEST).exists():
                raise _error(f"{directory} has a backup already: it is not overwritten") from None
            if any(directory.iterdir()):
                raise _error(f"{directory} is not empty, and has no {MANIFEST}: it may be what an interrupted backup "
                             "has left. Remove it, or give another directory") from None

    def _remove(self) -> None:
        for path in [engine.path for engine in self._engines]:
            with contextlib.suppress(OSError):
                path.unlink()
        for path in self._made:
            with contextlib.suppress(OSError):
                path.rmdir()

    # --- the barrier ----------------------------------------------------------------------------------------------

    async def _reserve(self) -> AsyncIterator[str]:
        """Until no engine has another child at work; from then on none begins one. Raises CommandError."""
        due_ms = mono_ms() + 1000 * limits.BACKUP_WAIT_S
        told = False
        while True:
            busy = [engine for engine in self._engines if not await self._reserve_one(engine)]
            if not busy:
                return
            name = busy[0].child.name
            if mono_ms() >= due_ms:
                raise _error(f"{name} has been saving, or rewriting its log, for {limits.BACKUP_WAIT_S} s")
            if not told:
                yield f"The backup waits: {name} is saving, or rewriting its log"
            told = True
            await asyncio.sleep(_LOOK_S)

    async def _reserve_one(self, engine: _Engine) -> bool:
        if mono_ms() - engine.reserved_ms < _RENEW_MS and engine.reserved_ms:
            return True
        try:
            await engine.link.call("SHARDD", "BACKUP", "RESERVE", limits.BACKUP_RESERVE_MS)
        except CommandError as error:
            if not str(error).startswith("BUSY"):
                raise _error(f"{engine.child.name} answers: {error}") from None
            return False
        except LinkError as error:
            raise _error(f"{engine.child.name}: {error}") from None
        engine.reserved_ms = mono_ms()
        return True

    async def _barrier(self) -> tuple[int, int]:
        """Unix ms of the instant, and how long the engines were held, us. Raises CommandError, and _Late where one
        could not be held, or for long enough: the links are of no use then."""
        until_ms = mono_ms() + limits.BACKUP_HOLD_MS
        first_us = 0
        for engine in self._engines:
            try:
                await engine.link.call("SHARDD", "HOLD", limits.HOLD_MS_MAX, timeout_ms=max(1, until_ms - mono_ms()))
            except LinkError:
                raise _Late(f"{engine.child.name} could not be held within {limits.BACKUP_HOLD_MS} ms") from None
            except CommandError as error:
                raise _error(f"{engine.child.name} answers: {error}") from None
            first_us = first_us or mono_us()
        instant_ms = now_ms()
        said = await asyncio.gather(*(engine.ask("BACKUP", "START", str(engine.path), timeout_ms=limits.HOLD_MS_MAX)
                                      for engine in self._engines), return_exceptions=True)
        held = await asyncio.gather(*(engine.link.call("SHARDD", "RELEASE") for engine in self._engines),
                                    return_exceptions=True)
        barrier_us = mono_us() - first_us
        for engine, answer, lasted in zip(self._engines, said, held, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(lasted, BaseException):
                raise _Late(f"{engine.child.name} was not held until all had forked")
            engine.said = json.loads(answer)
        if (trouble := coverage([_slots(engine) for engine in self._engines])) is not None:
            raise _error(f"the engines do not agree on their slots: {trouble}")
        return instant_ms, barrier_us

    async def _start_anew(self) -> None:
        """Other connections: a hold ends, and waiting for one, with its connection."""
        await self._cancel()
        for engine in self._engines:
            engine.link = await _open(engine.child)
            engine.reserved_ms = 0
            engine.said = None

    # --- the files ------------------------------------------------------------------------------------------------

    async def _write(self) -> AsyncIterator[str]:
        """Until every child has ended well. Raises CommandError."""
        told_ms = mono_ms()
        while True:
            for engine in self._engines:
                engine.status = json.loads(await engine.ask("BACKUP", "STATUS"))
            states = [engine.status for engine in self._engines if engine.status is not None]
            for engine, status in zip(self._engines, states, strict=True):
                if status["state"] not in ("writing", "done"):
                    raise _error(f"{engine.child.name}: {status['error'] or 'its child is not there any more'}")
            if all(status["state"] == "done" for status in states):
                return
            if mono_ms() - told_ms >= _TELL_MS:
                told_ms = mono_ms()
                done, total = (sum(status[name] for status in states) for name in ("keys", "keys_total"))
                yield Passing(f"{min(99, 100 * done // max(1, total))}% of {total} keys are written")
            await asyncio.sleep(_LOOK_S)

    async def _cancel(self) -> None:
        """End what is under way, holds first; an engine that does not answer has ended, or ends it by itself."""
        for engine in self._engines:
            engine.link.close()
        for engine in self._engines:
            with contextlib.suppress(CommandError, LinkError):
                link = await _open(engine.child)
                try:
                    await link.call("SHARDD", "BACKUP", "CANCEL")
                finally:
                    link.close()


class _Late(Exception):
    """The barrier did not come about; it may be tried again."""


async def _open(child: Child) -> Link:
    try:
        return await Link.open(child.control_path)
    except LinkError as error:
        raise _error(f"{child.name}: {error}") from None


def _slots(engine: _Engine) -> tuple[tuple[int, int], ...]:
    assert engine.said is not None
    return tuple((first, last) for first, last in engine.said["slots"])


def _part(engine: _Engine) -> Part:
    """In a thread. Raises OSError."""
    assert engine.said is not None and engine.status is not None
    size = engine.path.stat().st_size
    return Part(engine.child.index, engine.child.node_id, engine.path.name, _slots(engine), engine.status["keys"], size,
                checksum(engine.path), engine.said["fork_us"])


def _sign(manifest: Manifest, directory: Path) -> None:
    """In a thread. Raises OSError."""
    sync_directory(directory)       # the engines' files have their names for good
    sync_directory(directory.parent)
    manifest.write(directory)


def _version() -> str:
    try:
        return metadata.version("shardd")
    except metadata.PackageNotFoundError:
        return "0"


def _error(sentence: str) -> CommandError:
    return CommandError(f"ERR {sentence}".encode("utf-8", "replace"))
