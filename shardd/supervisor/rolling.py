"""Restarts on request, one child after the other, so that clients notice little or nothing.

Owns: the order of a rolling restart, what it waits for, and when it is refused or given up. Does not own the processes
(child.py), the states (watch.py), the sockets that stay open meanwhile (sockets.py) or how a proxy lets its clients
finish (proxy/drain.py).

    engine   stop -> start -> up, has the topology, every proxy reaches it -> the next
             it saves what its options say, and loads it again, however long that takes; who asks it for a key waits,
             and gets -LOADING then. Where there are save points alone, a snapshot is tried first: an engine that cannot
             save is left alone. Where the options have nothing written to disk its keys are lost, so an engine that
             holds keys is then restarted only by who says LOSE-DATA
    proxy    start a successor on the same sockets -> up, has the topology -> it has the place, the old one is told to
             drain -> the next (the old one ends by itself, when its clients have finished)

Where a child does not come up, the rest is left alone; a successor that does not come up is ended, and the old proxy
goes on as if nothing had been.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, NamedTuple

from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.base.errors import SYNTAX, CommandError
from shardd.commands.info_join import parse
from shardd.supervisor.child import ENGINE, PROXY, Child
from shardd.supervisor.control import LinkError
from shardd.supervisor.watch import State

_LOOK_S = 0.02
_SAVE_LOOK_S = 0.1

_ALL_THE_SAME = ". To restart all the same, say LOSE-DATA (shardctl restart ... --lose-data)"


class Wish(NamedTuple):
    """What shall be restarted. kinds: of ENGINE, PROXY. index: None for all of them."""

    kinds: tuple[str, ...]
    index: int | None
    lose_data: bool

    @classmethod
    def parse(cls, words: list[str]) -> "Wish":
        """From engines | proxies | all | engine <n> | proxy <n>, and LOSE-DATA, in upper case. Raises CommandError."""
        lose_data = words[-1:] == ["LOSE-DATA"]
        what = words[:-1] if lose_data else words
        groups = {"ENGINES": (ENGINE,), "PROXIES": (PROXY,), "ALL": (ENGINE, PROXY)}
        if len(what) == 1 and what[0] in groups:
            return cls(groups[what[0]], None, lose_data)
        if len(what) == 2 and what[0] in ("ENGINE", "PROXY") and what[1].isdecimal():
            return cls((what[0].lower(),), int(what[1]), lose_data)
        raise CommandError(SYNTAX)


class Rolling:
    """Restarts of one supervisor's children (a main.Supervisor, which lies above)."""

    def __init__(self, supervisor: Any) -> None:
        self._supervisor = supervisor

    async def run(self, wish: Wish) -> AsyncIterator[str]:
        """Yields sentences of progress. Raises CommandError where it is refused or does not succeed."""
        supervisor = self._supervisor
        chosen = [child for child in supervisor.engines + supervisor.proxies
                  if child.kind in wish.kinds and wish.index in (None, child.index)]
        if not chosen:
            raise _error(f"there is no {wish.kinds[0]} {wish.index}" if supervisor.proxies else "it still starts")
        if not wish.lose_data:
            for child in chosen:
                await self._refuse_loss(child)
        if wish.index is None:
            for sentence in supervisor.reloading.take(wish.kinds):
                yield sentence
        for child in chosen:
            steps = (self._proxy(child) if child.kind == PROXY and child.watch.serving else
                     self._in_place(child, wish.lose_data))
            async for sentence in steps:
                yield sentence

    async def _refuse_loss(self, child: Child) -> None:
        """Raises CommandError where a restart would lose keys, or might."""
        if child.kind != ENGINE or not child.watch.running or self._supervisor.keeps_data:
            return
        keys = (await child.facts()).get("keys")
        if keys is None:
            raise _error(f"{child.name} does not say how many keys it holds, and a restart would lose them, since "
                         f"appendonly is no and there are no save points{_ALL_THE_SAME}")
        if keys:
            raise _error(f"{child.name} holds {keys} keys, which a restart would lose, since appendonly is no "
                         f"and there are no save points{_ALL_THE_SAME}")

    # --- an engine, and a proxy that does not serve ---------------------------------------------------------------

    async def _try_to_save(self, child: Child) -> None:
        """Raises CommandError where an engine that keeps snapshots alone cannot make one: it would not stop, or without
        its data."""
        config = self._supervisor.config
        if child.kind != ENGINE or not child.watch.serving or config["appendonly"] or not config["save"]:
            return
        try:
            with contextlib.suppress(CommandError):     # it writes one already
                await child.call("BGSAVE", "SCHEDULE")
            while True:
                facts = parse((await child.call("INFO", "persistence")).decode())["Persistence"]
                if facts["rdb_bgsave_in_progress"] == "0":
                    break
                await asyncio.sleep(_SAVE_LOOK_S)
        except (LinkError, CommandError) as error:
            raise _error(f"{child.name} does not say whether it can save its data: {error}; it was left alone") from None
        if facts["rdb_last_bgsave_status"] != "ok":
            raise _error(f"{child.name} cannot save its data (shardctl logs {child.name}); it was left alone")

    async def _in_place(self, child: Child, lose_data: bool = False) -> AsyncIterator[str]:
        if not lose_data:
            await self._try_to_save(child)
        old_pid, restarts, began_ms = child.pid, child.watch.restarts, mono_ms()
        child.restart()
        self._supervisor.woken()
        yield f"{child.name.capitalize()} stops" if old_pid else f"{child.name.capitalize()} is started"
        await self._until(lambda: child.pid not in (0, old_pid) and child.watch.state is State.UP, child, restarts)
        await self._until(lambda: child.epoch >= self._supervisor.topology.epoch, child, restarts)
        await self._reachable(child, restarts)
        yield f"{child.name.capitalize()} is up again after {mono_ms() - began_ms} ms, pid {child.pid}"

    async def _reachable(self, child: Child, restarts: int) -> None:
        """Waits until every proxy that serves is connected to every engine that does."""
        if child.kind != ENGINE:
            return
        supervisor, due_ms = self._supervisor, mono_ms() + limits.RESTART_WAIT_MS
        while True:
            serving = sum(engine.watch.serving for engine in supervisor.engines)
            proxies = [proxy for proxy in supervisor.proxies if proxy.watch.state is State.UP]
            facts = await asyncio.gather(*(proxy.facts() for proxy in proxies))
            if all(fact.get("engines_up", serving) >= serving for fact in facts):
                return
            self._check(child, restarts, due_ms)
            await asyncio.sleep(_LOOK_S)

    # --- a proxy --------------------------------------------------------------------------------------------------

    async def _proxy(self, old: Child) -> AsyncIterator[str]:
        supervisor = self._supervisor
        new = Child(PROXY, old.index, old.node_id, old.cpus, supervisor, old.generation)
        old_pid, old.replaced = old.pid, True
        supervisor.successors.append(new)
        supervisor.woken()
        yield f"{old.name.capitalize()} gets a successor"
        try:
            await self._until(lambda: self._beside(old) and new.watch.state is State.UP
                              and new.epoch >= supervisor.topology.epoch, new, 0)
        except CommandError:
            supervisor.successors.remove(new)
            if old.watch.running:
                old.replaced = False
                supervisor.leaving.append(new)
                new.stop()
            else:
                supervisor.proxies[old.index] = new     # it is tried again as any child is
            raise
        supervisor.successors.remove(new)
        supervisor.leaving.append(old)
        new.watch = replace(new.watch, restarts=old.watch.restarts)
        supervisor.proxies[old.index] = new
        clients = (await old.facts()).get("clients", 0)
        old.drain(1000 * int(supervisor.config["proxy-drain-seconds"]))
        supervisor.woken()
        yield (f"{old.name.capitalize()} is pid {new.pid} now; "
               + (f"pid {old_pid} lets {clients} clients finish" if clients else f"pid {old_pid} ends"))

    @staticmethod
    def _beside(old: Child) -> bool:
        """True. A proxy that dies while its successor starts is not started again: its place is taken."""
        if not old.watch.running:
            old.stop()
        return True

    # --- waiting --------------------------------------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool], child: Child, restarts: int) -> None:
        """Waits for what shall become true of `child`, which had died `restarts` times. Raises CommandError."""
        due_ms = mono_ms() + limits.RESTART_WAIT_MS
        while not condition():
            if child.watch.state in (State.STOPPING, State.LOADING):     # they have bounds of their own
                due_ms = mono_ms() + limits.RESTART_WAIT_MS
            self._check(child, restarts, due_ms)
            await asyncio.sleep(_LOOK_S)

    def _check(self, child: Child, restarts: int, due_ms: int) -> None:
        if self._supervisor.stopping:
            raise _error("the whole tree stops")
        if child.watch.restarts > restarts:
            raise _error(f"{child.name} did not come up: it ended {child.watch.last_exit} (shardctl logs "
                         f"{child.name}); the rest was left alone")
        if mono_ms() >= due_ms:
            raise _error(f"{child.name} did not come up within {limits.RESTART_WAIT_MS // 1000} s: it is "
                         f"{child.watch.state.value}; the rest was left alone")


def _error(sentence: str) -> CommandError:
    return CommandError(f"ERR {sentence}".encode())
