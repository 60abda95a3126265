"""Other data in the place of a tree's own: what a restored backup and an imported dump come down to.

Owns: when the engines of a running tree change over, and the same for a tree that does not run. Does not own how the new
files are made (relayout.py), or where they come from and whether that is wanted (backup.py).

    running     fill data-3.new ------------ the engines serve meanwhile, and write into data-2
                topology.json: generation 3 --- from here on a crash, too, leads to the new data
                data-3; all engines are stopped without saving and started again on the new files, at once
                all are up: data-2 goes

What clients write between the beginning and the end is gone with the old data. For the moment in which the engines stop,
one after the other, some may show the new data and others the old.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from shardd.base.errors import CommandError
from shardd.base.log import Log
from shardd.cluster.store import FileStore
from shardd.supervisor.layout import Layout
from shardd.supervisor.plan import Plan
from shardd.supervisor.relayout import RelayoutError, Source, Tools, fill, first_topology, lay_out, on_step
from shardd.supervisor.watch import State

_LOOK_S = 0.02


async def replace_data(supervisor: Any, sources: Sequence[Source],
                       options: dict[str, Any] | None = None) -> AsyncIterator[str]:
    """Of a running tree: a main.Supervisor. options: for the converters. Yields sentences; raises CommandError."""
    old = supervisor.topology.generation
    layout = supervisor.layout
    home = layout.begin(old + 1, len(supervisor.engines))
    try:
        async for sentence in fill(home, sources, supervisor.topology,
                                   Tools.of(supervisor.plan, supervisor.log, options)):
            yield sentence
    except (RelayoutError, OSError) as error:
        with suppress(OSError):
            shutil.rmtree(home.path)
        raise _error(f"{error}; the data is as it was") from None
    if supervisor.stopping:
        raise _error("the whole tree stops")
    supervisor.topology = supervisor.topology.next(generation=old + 1)
    epoch = supervisor.topology.epoch
    supervisor.woken()
    await _until(supervisor, lambda: supervisor.stored_epoch >= epoch or bool(supervisor.troubles()))
    if supervisor.stored_epoch < epoch:
        supervisor.topology = supervisor.topology.next(generation=old)
        raise _error(f"{supervisor.troubles()[0]}; the data is as it was")
    on_step("committed")
    layout.publish(old + 1)
    supervisor.home = layout.home(old + 1)
    yield "The engines change over to the new data"
    before = {engine.name: engine.pid for engine in supervisor.engines}
    await asyncio.gather(*(engine.tell_stop(False) for engine in supervisor.engines))
    for engine in supervisor.engines:
        engine.restart()
    supervisor.woken()
    await _until(supervisor, lambda: all(
        engine.watch.state is State.UP and engine.pid != before[engine.name] for engine in supervisor.engines))
    layout.retire(old)
    yield f"The data is in {supervisor.home.path}"


async def _until(supervisor: Any, condition: Callable[[], bool]) -> None:
    """Waits as long as it takes: what loads, or cannot start, is in the log. Raises CommandError where the tree stops."""
    while not condition():
        if supervisor.stopping:
            raise _error("the whole tree stops")
        await asyncio.sleep(_LOOK_S)


async def replace_data_stopped(plan: Plan, log: Log, store: FileStore, sources: Sequence[Source],
                               options: dict[str, Any] | None = None) -> AsyncIterator[str]:
    """Of a tree that does not run; `plan.engines` engines will find the data. store: locked by the caller.

    Yields sentences. Raises RelayoutError, ConfigError, StoreError and OSError, with everything as it was.
    """
    stored = store.read()
    layout = Layout(plan.directory, log.notice)
    generation = layout.settle(stored.generation if stored else None)
    wanted = replace(first_topology(plan, stored, generation), generation=generation + 1)
    async for sentence in lay_out(store, layout, stored, wanted, sources, Tools.of(plan, log, options)):
        yield sentence


def _error(sentence: str) -> CommandError:
    return CommandError(f"ERR {sentence}".encode("utf-8", "replace"))
