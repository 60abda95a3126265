"""The supervisor, `shardd [CONF] [--option value ...]`: starts the tree, keeps it alive, stops it.

Owns: the order of things and the topology (nobody else changes it). Does not own: what a tree looks like (plan.py), one
child (child.py, watch.py), the sockets for clients (sockets.py), where the engines' files are (layout.py), who may fork
(turns.py), what is said on supervisor.sock (commands.py), a configuration that is read again (reload.py), restarts on
request (rolling.py), how the topology is stored (cluster/store.py). It never touches a client's byte and never imports
the engine or the proxy.

    check options, ports, dir -> lock dir -> read topology, settle the generations of data
        -> another number of engines than the data is of: it is laid out anew (relayout.py) -> start engines
        -> all engines up, or ENGINES_WAIT_MS over: first topology, pushed to all -> start proxies -> "Ready"
        -> run_cycle() at each event and at least every _TICK_MS, until SIGTERM, SIGINT or SHUTDOWN
        -> stop proxies, then engines; a second signal kills at once
    SIGHUP: the configuration file is read again.   SIGUSR1: the log file is opened anew.

A cycle looks at each child on its own: one sick engine costs its own slots and nothing else. It returns one sentence
that says what it did, or what the tree is like where there was nothing to do; STATUS shows the latest. Then the
topology is brought into agreement with what the cycle found (which engines serve, on which ports), stored, and pushed
to whoever has an older one. Only then do the next decisions follow, so every decision rests on one topology.

Invariants: the epoch grows with each change and is stored before it is pushed, unless the disk refuses: then the change
is pushed all the same and stored as soon as it can be, since an engine's port and state are found anew after a restart.
No child outlives this process (base/child.py).
"""

import asyncio
import contextlib
import os
import pwd
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import uvloop

from shardd.base import limits
from shardd.base.child import SUPERVISOR_SOCKET
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError, ConfigError
from shardd.base.log import SUPERVISOR, Log
from shardd.base.options import Config
from shardd.base.process import pid_file, use_cpus
from shardd.cluster.store import FileStore, StoreError
from shardd.cluster.topology import DOWN, UP, Topology
from shardd.cluster.view import proxy_id
from shardd.supervisor.child import ENGINE, PROXY, Child
from shardd.supervisor.commands import Commands
from shardd.supervisor.control import Server
from shardd.supervisor.layout import Layout
from shardd.supervisor.logbook import Logbook
from shardd.supervisor.notify import Notifier
from shardd.supervisor.plan import Plan, pinning
from shardd.supervisor.relayout import RelayoutError, Source, Tools, first_topology, lay_out, sources_of
from shardd.supervisor.reload import Reloading
from shardd.supervisor.rolling import Rolling
from shardd.supervisor.shares import Shares
from shardd.supervisor.sockets import UNIX, Sockets
from shardd.supervisor.turns import Turns
from shardd.supervisor.watch import State
from shardd.supervisor.work import Work

_TICK_MS = 250
"""Longest pause between two cycles: every bound of a child is a multiple of it."""

_RESTLESS_TICK_MS = 20
"""The same while a child starts or ends: its socket may appear, its time may be over."""

_START_FAILURES_MAX = 3
"""Deaths in a row of every child of a kind before any was ever up, after which the start has failed."""

_STORE_RETRY_MS = 5_000

_LOG_CHECK_MS = 1_000
"""Pause between two looks whether the log file was rotated: one stat()."""


class Supervisor:
    """One tree. `run()` returns the exit code."""

    def __init__(self, plan: Plan, log: Log, store: FileStore, stored: Topology | None, layout: Layout,
                 generation: int, notifier: Notifier, read_config: Callable[[], Config]) -> None:
        """generation: which data counts. read_config: reads the configuration anew; raises ConfigError."""
        self.plan, self.config, self.log = plan, plan.config, log
        self.run_dir, self.user_conf = plan.run_dir, plan.config.path or ""
        self.started_ms = mono_ms()
        self.engines: list[Child] = []
        self.proxies: list[Child] = []
        self.leaving: list[Child] = []
        """Processes that have lost their place to a successor, or come too late for one, until they have ended."""
        self.successors: list[Child] = []
        """Proxies that start in the place of one that still serves."""
        self.sockets = Sockets(plan)
        self.logbook = Logbook()
        self.work = Work(log)
        self.rolling = Rolling(self)
        self.reloading = Reloading(self, read_config)
        self.shares = Shares(self)
        self.turns = Turns(len(plan.available), _tell_turn)
        self.layout, self.home = layout, layout.home(generation)
        self.sentence = "It has just begun"
        """What the latest cycle that did anything did."""
        self.stopping = False
        self.exit_code = 0
        self._store, self._stored = store, stored
        self._stored_epoch = stored.epoch if stored else 0
        self._store_retry_ms = 0
        self._store_error = ""
        self.topology = first_topology(plan, stored, generation)
        if stored is not None and len(stored.engines) != plan.engines:
            log.notice(f"There were {len(stored.engines)} engines and there are {plan.engines} now: the slots are split "
                       "evenly again")
        self._pushed_json: str | None = None
        """The topology's JSON; None until the first one is handed out."""
        self._json_epoch = -1
        self._announced = False
        self._stop_started_ms = 0
        self._save_at_stop: bool | None = None
        self._extended_ms = -limits.NOTIFY_EXTEND_MS
        self._wake = asyncio.Event()
        self._engines_due_ms = 0
        self._noted: list[str] = []
        self._notifier = notifier
        self._log_checked_ms = mono_ms()
        self._control = Server(self.run_dir / SUPERVISOR_SOCKET, Commands(self).run)
        self._exporter: Any = None
        log.tee = lambda line: self.logbook.add("supervisor", line)

    # --- the topology ---------------------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Brings the topology into agreement with the engines' states and ports, and with what is announced of them."""
        engines = []
        for child, engine in zip(self.engines, self.topology.engines):
            state = UP if self._counts_as_up(child) else DOWN
            if state == DOWN and engine.state == UP and child.watch.serving:
                self.log.warning(f"Engine {child.index} counts as down until it answers again (cluster-node-timeout)")
            engines.append(replace(engine, **self.plan.announced(child.index), port=child.port or engine.port,
                                   state=state, loading=child.watch.state is State.LOADING))
        if tuple(engines) != self.topology.engines:
            self.topology = self.topology.next(engines=tuple(engines))

    def _counts_as_up(self, child: Child) -> bool:
        """Whether the others hear that it is up: one that is silent for too long does not count, though it may live."""
        timeout_ms = int(self.config["cluster-node-timeout"])
        return child.watch.serving and not (timeout_ms and child.watch.silent_ms(mono_ms()) >= timeout_ms)

    async def _keep(self) -> None:
        """Stores the topology where it is newer than what is stored."""
        now_ms = mono_ms()
        if self.topology.epoch == self._stored_epoch or now_ms < self._store_retry_ms:
            return
        topology = self.topology
        try:
            done = await asyncio.to_thread(self._store.compare_and_set, self._stored_epoch, topology)
            found = None if done else await asyncio.to_thread(self._store.read)
        except StoreError as error:
            self.log.warning(f"The topology of epoch {topology.epoch} is not stored: {error}")
            self._store_retry_ms = now_ms + _STORE_RETRY_MS
            self._store_error = str(error)
            return
        self._store_error = ""
        if not done and (found is None or (found.cluster_id == topology.cluster_id and found.epoch < topology.epoch)):
            # nobody else's decision: somebody cleaned up, or moved things and put them back
            self.log.warning(f"{self._store.path} was removed, or is an older one again; it is written anew")
            self._stored_epoch = found.epoch if found else 0
            self._wake.set()
            return
        if done:
            self._stored_epoch = topology.epoch
        elif not self.stopping:
            self.log.warning(f"Somebody else changed {self._store.path}; only one supervisor may, so this one stops")
            self.exit_code = 1
            self.stop()

    # --- the cycle ------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """The whole life. Raises ConfigError or OSError where the sockets in <dir>/run cannot be made, and RelayoutError,
        StoreError or OSError where the data cannot be laid out anew."""
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        self.run_dir.chmod(0o700)
        await self._control.start()
        await self._start_exporter()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._signalled, signum)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_log)
        loop.add_signal_handler(signal.SIGHUP, self._reload_for_signal)
        try:
            await self._settle_data()
            if not self.stopping:
                self._make_engines()
            while not (self.stopping and self._all_stopped()):
                await self.run_cycle()
                await self._pause()
        finally:
            if self._exporter is not None:
                await self._exporter.stop()
            self.sockets.close()
            await self._control.stop()
        return self.exit_code

    async def _settle_data(self) -> None:
        """Before the first engine: its files are there, and have the keys of its slots."""
        sources = self._sources()
        if not sources:
            self.home.make(self.plan.engines)
            return
        self.log.notice(f"The data is in {', '.join(str(source.path) for source in sources)}: each engine gets what is "
                        "its own")
        self.work.under_way = "a new layout of the data"
        task = asyncio.ensure_future(self._lay_out(sources))
        try:
            while not task.done() and not self.stopping:
                self._notifier.alive()
                await asyncio.wait({task}, timeout=min(_TICK_MS, self._notifier.pause_ms or _TICK_MS) / 1000)
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.work.under_way = ""

    def _sources(self) -> list[Source]:
        """What the engines' files have to be made of: those of another number of engines, or what a Redis has left in
        `dir`. None where they are there, or there is no data."""
        dump = self.plan.directory / str(self.config["dbfilename"])
        log = self.plan.directory / str(self.config["appenddirname"]) / f"{self.config['appendfilename']}.manifest"
        if not self.home.with_data():
            return [Source(self.plan.directory)] if dump.exists() or log.exists() else []
        if dump.exists():       # who puts one there wants it to be read
            self.log.notice(f"{dump} is not read: the data is in {self.home.path}. shardctl import adds a dump's keys")
        if self._stored is not None:
            self._look_for_all(self._stored)
            if len(self._stored.engines) == self.plan.engines:
                return []
        return sources_of(self.home, self._stored)

    def _look_for_all(self, stored: Topology) -> None:
        """There is data: then every engine has a directory, and with an append-only file there is something in it.
        Raises ConfigError where one is missing, since its keys would be lost without a word."""
        there, with_data = self.home.engines(), self.home.with_data()
        for engine in stored.engines:
            path = self.home.engine(engine.index)
            if engine.index not in there:
                raise ConfigError(f"dir '{self.plan.directory}': topology.json says that there is an engine "
                                  f"{engine.index}, and {path} is not there: put it back, or make an empty directory "
                                  "of this name to go on without its keys. Nothing was touched")
            if engine.index not in with_data and self.config["appendonly"]:
                self.log.warning(f"{path} is empty, while other engines have files: engine {engine.index} starts "
                                 "without keys")

    async def _lay_out(self, sources: list[Source]) -> None:
        """Has the engines' files made anew, and the topology stored that goes with them."""
        topology = replace(self.topology, generation=self.home.generation + 1)
        async for sentence in lay_out(self._store, self.layout, self._stored, topology, sources,
                                      Tools.of(self.plan, self.log)):
            self.log.notice(sentence)
            self.sentence = sentence
            self._notifier.starting(sentence)
        self.topology, self._stored_epoch = topology, topology.epoch
        self.home = self.layout.home(topology.generation)

    async def _start_exporter(self) -> None:
        """Serves metrics where metrics-port says so. Raises ConfigError."""
        if self.config["metrics-port"]:
            from shardd.supervisor.exporter.service import Exporter     # a tree without it is spared 40 ms and 5 MB
            self._exporter = Exporter(self)
            await self._exporter.start()

    async def _keep_run_dir(self) -> None:
        """Makes <dir>/run again where somebody removed it: children that start need it, and engines put theirs back."""
        if os.path.lexists(self._control.path):
            return
        try:
            self.run_dir.mkdir(mode=0o700, exist_ok=True)
            await self._control.stop()
            await self._control.start()
        except (ConfigError, OSError):
            return      # the next cycle tries again; a child that cannot start says why
        self.log.warning(f"{self._control.path} was removed; it is there again")

    async def run_cycle(self) -> str:
        """One look at everything, see the head of the module; returns a sentence that says what it did."""
        self._wake.clear()
        self._notifier.alive()
        await self._keep_run_dir()
        self._check_log()
        if self.stopping:
            await self._stop_in_order()
        for child in self.everybody():
            child.run_cycle(self._pushed_json, self.topology.epoch)
            if not child.watch.running:
                self.turns.over(child, mono_ms())
            if _keeps_dying(child):
                self.sockets.release(child.name)
        self.leaving = [child for child in self.leaving if child.watch.state is not State.STOPPED]
        if self.proxies and all(_keeps_dying(proxy) for proxy in self.proxies):
            self.sockets.release(UNIX)
        if not self.stopping:
            self._check_start()
        if not self.stopping and (self.proxies or self._engines_settled()):
            await self._agree()
            self.shares.begin()
        return self._sum_up()

    async def _agree(self) -> None:
        """The topology follows what the cycle found, is stored, and goes to whoever has an older one."""
        self._reconcile()
        await self._keep()
        if self._json_epoch != self.topology.epoch:
            self._pushed_json, self._json_epoch = self.topology.dumps(), self.topology.epoch
            self.noted(f"The topology has epoch {self.topology.epoch} now")
            self._wake.set()
        if self.stopping:       # a signal came while it was stored
            return
        if not self.proxies:
            self._make_proxies()
        self._announce()

    def _sum_up(self) -> str:
        """The cycle's sentence; and the service manager hears how the tree is."""
        noted, self._noted = self._noted, []
        state = self.state()
        if self._announced and not self.stopping:
            self._notifier.status(state)
        self._ask_for_time(state)
        if noted:
            self.sentence = "; ".join(noted)
            self.log.debug(f"Cycle: {self.sentence}")
            return self.sentence
        return f"Nothing to do: {state}"

    def _ask_for_time(self, state: str) -> None:
        """While engines load at the start, or save at the end, the service manager hears that it goes on."""
        waits_for = State.STOPPING if self.stopping else State.LOADING
        now_ms = mono_ms()
        if (self.stopping or not self._announced) and now_ms - self._extended_ms >= limits.NOTIFY_EXTEND_MS // 4 \
                and any(engine.watch.state is waits_for for engine in self.engines):
            self._extended_ms = now_ms
            self._notifier.starting(state)

    def state(self) -> str:
        """What the tree is like, in a few words."""
        children = self.engines + self.proxies
        others = [f"{child.name} is {child.watch.state.value}" for child in children
                  if child.watch.state is not State.UP]
        if self.stopping:
            return "the tree stops" + (f", {', '.join(others)}" if others else "")
        if others:
            return f"{len(children) - len(others)} of {len(children)} processes are up, {', '.join(others)}"
        return f"{_count(len(self.engines), 'engine', 'engines')} and " \
               f"{_count(len(self.proxies), 'proxy', 'proxies')} are up, epoch {self.topology.epoch}"

    def everybody(self) -> list[Child]:
        """Every child that may have a process."""
        return self.engines + self.proxies + self.successors + self.leaving

    def troubles(self) -> list[str]:
        """What is wrong with the tree itself, as sentences; a child's own trouble is in its status."""
        return [f"The topology is not stored: {self._store_error}"] if self._store_error else []

    async def _pause(self) -> None:
        if self.stopping and self._all_stopped():
            return
        restless = self.stopping or any(child.restless for child in self.everybody())
        pause_ms = min(_RESTLESS_TICK_MS if restless else _TICK_MS, self._notifier.pause_ms or _TICK_MS, self.ping_ms)
        started_ms = mono_ms()
        try:
            await asyncio.wait_for(self._wake.wait(), pause_ms / 1000)
        except asyncio.TimeoutError:
            pass
        late_ms = mono_ms() - started_ms - pause_ms
        if late_ms > _TICK_MS:      # this process was stopped (a paused machine, a debugger): nobody is silent for that
            for child in self.everybody():
                child.excuse(late_ms)

    def _make_engines(self) -> None:
        pins = pinning(self.plan.engines, self.plan.available)
        for engine, cpus in zip(self.topology.engines, pins):
            child = Child(ENGINE, engine.index, engine.id, cpus, self)
            child.port = engine.port
            self.engines.append(child)
        self._engines_due_ms = mono_ms() + limits.ENGINES_WAIT_MS

    def _make_proxies(self) -> None:
        for index in range(self.plan.proxies):
            self.proxies.append(Child(PROXY, index, proxy_id(self.topology), frozenset(), self))
        self._wake.set()

    # --- what children ask and say ----------------------------------------------------------------------------------

    def listeners_of(self, child: Child) -> Sequence[socket.socket]:
        """The sockets of a child that is about to start; an engine's port is settled here."""
        if child.kind == PROXY:
            return self.sockets.of_proxy(child.name)
        taken = [other.port for other in self.engines if other is not child]
        socks, child.port = self.sockets.of_engine(child.name, child.index, child.port, taken)
        return socks

    def conf_of(self, child: Child) -> str:
        """The configuration of a child that is about to start."""
        if child.kind == PROXY:
            return self.plan.proxy_conf()
        return self.plan.engine_conf(child.port, self.home.engine(child.index), self.shares.of(child.index))

    def woken(self) -> None:
        """The next cycle comes at once."""
        self._wake.set()

    def noted(self, sentence: str) -> None:
        """For the sentence of the cycle."""
        self._noted.append(sentence)

    @property
    def ping_ms(self) -> int:
        """Pause between two PINGs to a child: often enough for cluster-node-timeout."""
        timeout_ms = int(self.config["cluster-node-timeout"])
        if not timeout_ms:
            return limits.CHILD_PING_MS
        return max(_RESTLESS_TICK_MS, min(limits.CHILD_PING_MS, timeout_ms // 3))

    def printed(self, child: Child, line: bytes) -> None:
        """A line of a child's log, or of what else it prints."""
        self.logbook.add(child.name, line)
        self.log.raw(line + b"\n")

    def told(self, child: Child, message: dict[str, Any]) -> None:
        """What a child says over its lifeline besides `ready`."""
        if message.get("shutdown"):
            save = message.get("save")
            self.log.warning(f"{child.name.capitalize()} was told to SHUTDOWN: the whole tree stops"
                             + {True: " and saves", False: " and does not save"}.get(save, ""))
            self.stop(save)
        if isinstance(values := message.get("config"), dict):
            self._configured(child, values)
        if "fork" in message:
            (self.turns.ask if message["fork"] else self.turns.over)(child, mono_ms())

    def _configured(self, child: Child, values: dict[str, str]) -> None:
        """A CONFIG SET went through the proxy `child`, which has told the engines."""
        pairs = [(name.encode("utf-8", "surrogateescape"), str(text).encode("utf-8", "surrogateescape"))
                 for name, text in values.items()]
        try:
            self.config.set_many(pairs, local=True)
        except CommandError as error:
            self.log.warning(f"{child.name.capitalize()} was reconfigured with what nobody else accepts: {error}")
            return
        for other in self.proxies + self.successors + self.leaving:
            if other is not child:
                other.configure(values)
        self._wake.set()

    def reload(self) -> AsyncIterator[str]:
        """Reads the configuration file again; what is said meanwhile. Raises CommandError where it is busy."""
        return self.work.begin("a reload", self._reload())

    async def _reload(self) -> AsyncIterator[str]:
        self._notifier.reloading()
        try:
            async for sentence in self.reloading.run():
                yield sentence
        finally:
            self._notifier.ready(self.state())
            self._wake.set()

    def _reload_for_signal(self) -> None:
        self.log.notice("Received SIGHUP: the configuration is read again")
        try:
            self.reload()
        except CommandError as error:
            self.log.warning(f"The configuration is not read again: {error}")

    def _check_log(self) -> None:
        now_ms = mono_ms()
        if now_ms - self._log_checked_ms >= _LOG_CHECK_MS:
            self._log_checked_ms = now_ms
            if self.log.check():
                self.log.notice("The log file was rotated: this is a new one")

    def _reopen_log(self) -> None:
        if self.log.reopen():
            self.log.notice("Received SIGUSR1: the log file was opened anew")

    # --- starting ---------------------------------------------------------------------------------------------------

    def _engines_settled(self) -> bool:
        """Whether the proxies may come: who asks for what is being loaded gets -LOADING."""
        return mono_ms() >= self._engines_due_ms or all(
            child.watch.serving or child.watch.state is State.LOADING for child in self.engines)

    def _check_start(self) -> None:
        """Where all engines, or all proxies, keep dying before they are up, the start has failed."""
        if self._announced:
            return
        for children in (self.engines, self.proxies):
            if children and all(child.watch.failures >= _START_FAILURES_MAX for child in children):
                self.log.warning(f"Every {children[0].kind} died {_START_FAILURES_MAX} times before it was ready; see "
                                 "their messages above. Giving up")
                self.exit_code = 1
                self.stop()
                return

    def _announce(self) -> None:
        if self._announced or not self.proxies or not all(proxy.watch.serving for proxy in self.proxies):
            return
        if any(engine.watch.state is State.LOADING for engine in self.engines):
            return
        self._announced = True
        for child in self.engines:
            ranges = ", ".join(f"{first}-{last}" for first, last in self.topology.ranges_of(child.node_id)) or "none"
            self.log.notice(f"Engine {child.index} listens on port {child.port} and serves slots {ranges}")
        port, path = self.config["port"], self.plan.path("unixsocket")
        if port:
            self.log.notice(f"{self._proxies_are()} on {' '.join(self.config['bind'])}, port {port}")
            self.log.notice("Ready to accept connections tcp")
        if path:
            self.log.notice(f"{self._proxies_are()} on the Unix socket {path}")
            self.log.notice("Ready to accept connections unix")
        self._notifier.ready(self.state())

    def _proxies_are(self) -> str:
        return "The proxy listens" if len(self.proxies) == 1 else f"{len(self.proxies)} proxies listen"

    # --- stopping -------------------------------------------------------------------------------------------------

    @property
    def keeps_data(self) -> bool:
        """Whether the configuration has engines keep their data on disk."""
        return bool(self.config["appendonly"] or self.config["save"])

    def grace_ms(self, child: Child) -> int:
        """How long a child may take to stop."""
        return limits.STOP_STALL_MS if child.kind == ENGINE and self.keeps_data else limits.STOP_GRACE_MS

    def written_by(self, child: Child) -> int:
        """Bytes in the files of an engine."""
        return self.home.bytes_on_disk(child.index)

    def stop(self, save: bool | None = None) -> None:
        """Begins a clean stop of the whole tree. save: whether engines save, None: as their save points have it."""
        if not self.stopping:
            self._save_at_stop = save
            self.stopping = True
            self._stop_started_ms = mono_ms()
            self._notifier.stopping()
            for proxy in self.proxies + self.successors + self.leaving:
                proxy.stop()
            self.sockets.close()
        self._wake.set()

    async def _stop_in_order(self) -> None:
        """Engines follow when the proxies are gone, or after a third of the time: both together have STOP_GRACE_MS, and
        engines that keep their data on disk what they need."""
        spent_ms = mono_ms() - self._stop_started_ms
        proxies = self.proxies + self.successors + self.leaving
        for proxy in proxies:       # one that somebody made meanwhile
            if proxy.watch.state not in (State.STOPPING, State.STOPPED):
                proxy.stop()
        if any(proxy.watch.running for proxy in proxies) and spent_ms < limits.STOP_GRACE_MS // 3:
            return
        engines = [engine for engine in self.engines if engine.watch.state not in (State.STOPPING, State.STOPPED)]
        if self._save_at_stop is not None:
            await asyncio.gather(*(engine.tell_stop(self._save_at_stop) for engine in engines))
        for engine in engines:
            engine.stop(max(1, self.grace_ms(engine) - spent_ms))

    def _all_stopped(self) -> bool:
        return all(child.watch.state is State.STOPPED for child in self.everybody())

    def _signalled(self, signum: int) -> None:
        name = signal.Signals(signum).name
        if self.stopping:
            self.log.warning(f"Received {name} again: every process is killed")
            for child in self.everybody():
                child.stop(0)
            self._wake.set()
            return
        self.log.warning(f"Received {name} scheduling shutdown...")
        self.stop()

    @property
    def stored_epoch(self) -> int:
        """The epoch of what is on disk."""
        return self._stored_epoch


def _keeps_dying(child: Child) -> bool:
    """Whether it is started again so late that nobody should wait for it."""
    return child.watch.state is State.BACKOFF and child.watch.pause_ms > limits.BACKLOG_HOLD_MS


def _tell_turn(child: Child, granted: bool) -> None:
    child.say({"fork": granted})


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


async def _live(plan: Plan, log: Log, store: FileStore, argv: Sequence[str]) -> int:
    stored = store.read()
    layout = Layout(plan.directory, log.notice)
    generation = layout.settle(stored.generation if stored else None)
    notifier = Notifier(str(plan.config["supervised"]), log.warning)
    return await Supervisor(plan, log, store, stored, layout, generation, notifier, lambda: _read_again(argv)).run()


def _read_again(argv: Sequence[str]) -> Config:
    """The configuration as files and command line give it now. Raises ConfigError."""
    if "-" in argv:
        raise ConfigError("the configuration came over standard input, which cannot be read again")
    return Config.load(argv, "shardd")


def run(argv: Sequence[str]) -> int:
    """One invocation with the words after the program's name; returns the exit code."""
    unheard: list[str] = []
    try:
        config = Config.load(argv, "shardd")
        use_cpus(str(config["server_cpulist"]), unheard.append)     # before the plan counts the cores
        plan = Plan.of(config)
        log = Log(SUPERVISOR, str(config["loglevel"]), plan.path("logfile"))
        config.subscribe("loglevel", log.set_level)
        for sentence in unheard:
            log.warning(sentence)
        with FileStore(plan.directory) as store, pid_file(plan.path("pidfile"), log.warning):
            log.notice(f"shardd is starting: {_count(plan.engines, 'engine', 'engines')}, "
                       f"{_count(plan.proxies, 'proxy', 'proxies')}, dir {plan.directory}")
            code = uvloop.run(_live(plan, log, store, argv))
        log.warning("shardd is now ready to exit, bye bye...")
        return code
    except (ConfigError, StoreError, RelayoutError, OSError) as error:
        print(f"shardd: {_sentence(error)}", file=sys.stderr)
        return 1


def _sentence(error: Exception) -> str:
    """What stopped the start; of what the system refuses also whose it is, since that is mostly the reason."""
    if not isinstance(error, OSError) or not error.filename:
        return str(error)
    said = f"{error.filename}: {error.strerror}"
    with contextlib.suppress(OSError, KeyError):
        owner = os.stat(error.filename).st_uid
        if isinstance(error, PermissionError) and owner != os.geteuid():
            said += f"; it belongs to {pwd.getpwuid(owner).pw_name}, and this is {pwd.getpwuid(os.geteuid()).pw_name}"
    return said


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
