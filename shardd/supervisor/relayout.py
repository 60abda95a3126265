"""The engines' files made anew from files that are there: for another number of engines or other owners of slots, for a
backup that is restored, for a dump of somebody else's that is imported.

Owns: which process reads what, in which order, and the steps up to the one write that commits. Does not own the
directories' names and what a crash leaves of them (layout.py), how a file is read and written
(`python -m shardd.engine.convert`, one process for each arrow below), or which engine owns which slot (the caller's
topology).

    Source(data-1/engine-0) --fold--> data-2.new/source-0.rdb --.      .--fill--> data-2.new/engine-0/  base of a log,
    Source(data-1/engine-1) --fold--> data-2.new/source-1.rdb --+------+--fill--> data-2.new/engine-1/  or dump.rdb, as
    Source(backup/x.rdb) ---------------------------------------'      '--fill--> data-2.new/engine-2/  appendonly says

    begun      an empty data-2.new
    read       each source is one RDB file: an engine's directory was loaded as the engine would load it, and what
               counts of it written to one file. A source that is a file already is not touched
    filled     each engine's process has loaded all sources, of each only slots that count in it and are the engine's
               own, and has written and synced its files
    committed  topology.json names the owners and the generation: from here on the new files are the data
    published  data-2.new has become data-2
    retired    data-1 is gone

    fill(home, sources, topology, tools)            up to `filled`, sentences of progress
        lay_out(store, layout, stored, wanted, sources, tools)          all of it

Invariants: nothing outside of data-<g>.new is written before the commit. As many keys are filled in, or found expired,
as were folded out, or it fails. A key is in the file of its slot's owner alone. Where two sources have the same key, the
later source's counts.
"""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from shardd.base import limits
from shardd.base.log import Log
from shardd.cluster.store import FileStore
from shardd.cluster.topology import DOWN, SLOTS, EngineInfo, Topology, new_id
from shardd.supervisor.child import ENGINE, python_command, write_private
from shardd.supervisor.layout import Home, Layout
from shardd.supervisor.plan import Plan

_CONVERT = "shardd.engine.convert"
_TELL_S = 5.0

STEPS = ("begun", "read", "filled", "committed", "published", "retired")
"""The steps by name, in order."""


class RelayoutError(Exception):
    """It failed, and what was the data before still is. The message is a sentence for people."""


class Source(NamedTuple):
    """Where data comes from. path: an RDB file, or the directory of an engine. slots: 16,384 flags, of which slots what
    is there counts; None: of all."""

    path: Path
    slots: bytes | None = None


def first_topology(plan: Plan, stored: Topology | None, generation: int) -> Topology:
    """The topology to start from, nobody up yet: the stored slots; an even split where there is none, or for another
    number of engines. generation: which data counts."""
    known = {engine.index: engine for engine in stored.engines} if stored else {}
    engines = []
    for index in range(plan.engines):
        old = known.get(index) or EngineInfo(new_id(), new_id(), index)
        engines.append(replace(old, **plan.announced(index), state=DOWN, loading=False,
                               unixsocket=str(plan.run_dir / f"{ENGINE}-{index}.sock")))
    if stored is None:
        return replace(Topology.even(engines, epoch=1), generation=generation)
    return stored.next(engines=tuple(engines)) if len(stored.engines) == len(engines) else stored.resized(engines)


def flags_of(topology: Topology, engine_id: str) -> bytes:
    """The slots of an engine, as 16,384 flags."""
    flags = bytearray(SLOTS)
    for first, last in topology.ranges_of(engine_id):
        flags[first:last + 1] = b"\1" * (last + 1 - first)
    return bytes(flags)


def sources_of(home: Home, stored: Topology | None) -> list[Source]:
    """The engines' directories of a generation that have data. stored: who owned which slot; None: nobody knows.

    What counts of a directory is what no other engine owned.
    """
    indexes = home.with_data()
    if stored is None:
        return [Source(home.engine(index)) for index in indexes]
    ids = {engine.index: engine.id for engine in stored.engines}
    theirs = {engine.id: flags_of(stored, engine.id) for engine in stored.engines}
    sources = []
    for index in indexes:
        others = [flags for engine_id, flags in theirs.items() if engine_id != ids.get(index)]
        sources.append(Source(home.engine(index), bytes(not any(column) for column in zip(*others))
                              if others else None))
    return sources


def ranges_text(flags: bytes | None) -> str | None:
    """Flags as "0-100,200": what a converter is told. None stays None."""
    if flags is None:
        return None
    runs: list[list[int]] = []
    for slot, flag in enumerate(flags):
        if flag and runs and runs[-1][1] == slot - 1:
            runs[-1][1] = slot
        elif flag:
            runs.append([slot, slot])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


class _Progress:
    """How far the processes of one step are."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[int, int]] = {}

    def note(self, name: str, done: int, total: int) -> None:
        self.parts[name] = done, total

    def __str__(self) -> str:
        done, total = (sum(part[place] for part in self.parts.values()) for place in (0, 1))
        return f"{100 * done // total if total else 0}% of {total / limits.MIB:.0f} MiB"


class Tools(NamedTuple):
    """What a converter needs.

    conf: the directory that it works in -> the text of its engine's configuration. parallel: processes at a time.
    printed: gets the lines of their logs. options: more words of JOB (engine/convert.py).
    """

    conf: Callable[[Path], str]
    parallel: int
    printed: Callable[[bytes], object]
    options: dict[str, Any] = {}

    @classmethod
    def of(cls, plan: Plan, log: Log, options: dict[str, Any] | None = None) -> "Tools":
        """Those of a tree: as many processes as it has cores, whose lines are in its log."""
        return cls(lambda directory: plan.engine_conf(0, directory, 0), len(plan.available),
                   lambda line: log.raw(line + b"\n"), options or {})


async def fill(home: Home, sources: Sequence[Source], topology: Topology, tools: Tools) -> AsyncIterator[str]:
    """Have the engines of `topology` get what is theirs of the sources, in `home`; says now and then how far it is.

    home: empty, with a directory for each engine. Raises RelayoutError and OSError; `home` is then of no use.
    """
    work = _Work(home.path, tools)
    folded: dict[int, int] = {}
    files: list[Source] = []

    async def fold(number: int, source: Source) -> None:
        path = home.path / f"source-{number}.rdb"
        told = await work.convert(f"fold-{number}", source.path, {
            "do": "fold", "slots": ranges_text(source.slots), "to": str(path)})
        folded[number] = told["keys"]
        files[number] = Source(path, source.slots)

    for source in sources:
        files.append(source)
    folds = [fold(number, source) for number, source in enumerate(sources) if source.path.is_dir()]
    async for sentence in work.all(folds, "Reading the data"):
        yield sentence
    on_step("read")
    told: dict[int, dict[str, Any]] = {}

    async def fill_one(index: int, own: bytes) -> None:
        parts = [[str(source.path), ranges_text(both)] for source in files
                 if any(both := own if source.slots is None else _both(own, source.slots))]
        told[index] = await work.convert(f"fill-{index}", home.engine(index), {"do": "fill", "sources": parts})

    fills = [fill_one(engine.index, flags_of(topology, engine.id)) for engine in topology.engines]
    async for sentence in work.all(fills, "Writing the engines' files"):
        yield sentence
    filled = sum(one["loaded"] + one["expired"] for one in told.values())
    if len(folded) == len(files) and filled != sum(folded.values()):
        raise RelayoutError(f"{sum(folded.values())} keys were read, and {filled} arrived in the engines' new files")
    for number in folded:
        files[number].path.unlink()
    on_step("filled")
    yield f"{sum(one['keys'] for one in told.values())} keys are in the files of {len(told)} engines" + _but(told)


def on_step(name: str) -> None:
    """Called at each of STEPS; tests put themselves here."""


def _both(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") & int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _but(told: dict[int, dict[str, Any]]) -> str:
    """What was left out, for the sentence at the end."""
    skipped: dict[str, int] = {}
    for one in told.values():
        for kind, count in one.get("skipped", {}).items():
            skipped[kind] = max(skipped.get(kind, 0), count)    # every engine passes over all that a file has
    expired = sum(one["expired"] for one in told.values())
    parts = [f"{count} {kind}" for kind, count in skipped.items()] + ([f"{expired} that had expired"] if expired else [])
    return f", without {', '.join(parts)}" if parts else ""


class _Work:
    """The converters of one `fill`."""

    def __init__(self, place: Path, tools: Tools) -> None:
        self._place, self._tools = place, tools
        self._turn = asyncio.Semaphore(tools.parallel)
        self.progress = _Progress()

    async def all(self, works: list[Coroutine[Any, Any, None]], what: str) -> AsyncIterator[str]:
        """Has all of them done; the first that fails ends the others."""
        self.progress = _Progress()
        tasks = [asyncio.ensure_future(work) for work in works]
        waiting = set(tasks)
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, timeout=_TELL_S,
                                                   return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
                if waiting:
                    yield f"{what}: {self.progress}"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def convert(self, name: str, directory: Path, job: dict[str, Any]) -> dict[str, Any]:
        """One process; what it says at its end. Raises RelayoutError."""
        async with self._turn:
            conf = self._place / f"{name}.conf"
            write_private(conf, self._tools.conf(directory))
            words = json.dumps(job | self._tools.options | {"parent": os.getpid()})
            process = await asyncio.create_subprocess_exec(
                *python_command(_CONVERT), str(conf), words, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True)
            try:
                told, complaint = await asyncio.gather(self._listen(name, process.stdout), process.stderr.read())
                await process.wait()
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
                with contextlib.suppress(OSError):
                    conf.unlink()
        if process.returncode or told is None:
            lines = complaint.decode("utf-8", "replace").strip().splitlines()
            raise RelayoutError(lines[-1] if lines else f"{name} ended with code {process.returncode}")
        return told

    async def _listen(self, name: str, stream: asyncio.StreamReader) -> dict[str, Any] | None:
        done = None
        while line := await stream.readline():
            if not line.startswith(b"{"):
                self._tools.printed(line.rstrip(b"\n"))
                continue
            message = json.loads(line)
            if "progress" in message:
                self.progress.note(name, *message["progress"])
            else:
                done = message
        return done


async def lay_out(store: FileStore, layout: Layout, stored: Topology | None, wanted: Topology, sources: Sequence[Source],
                  tools: Tools) -> AsyncIterator[str]:
    """All steps, up to `retired`.

    stored: what topology.json has. wanted: what to commit, with the generation after the one that counts, which goes.
    Raises RelayoutError, StoreError and OSError: before the commit, with everything as it was.
    """
    generation = wanted.generation
    home = layout.begin(generation, len(wanted.engines))
    on_step("begun")
    try:
        async for sentence in fill(home, sources, wanted, tools):
            yield sentence
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(home.path)
        raise
    # from here on nobody can say whether it is committed but who reads the file: nothing is removed before that
    if not store.compare_and_set(stored.epoch if stored else 0, wanted):
        raise RelayoutError(f"{store.path} was changed by somebody else meanwhile")
    on_step("committed")
    layout.publish(generation)
    on_step("published")
    layout.retire(generation - 1)
    on_step("retired")
    yield f"The data is in {layout.home(generation).path}"
