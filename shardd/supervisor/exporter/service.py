"""The Prometheus endpoint of a tree, served by the supervisor (options metrics-port, metrics-bind).

Owns: the pages, how often the processes are asked, and what the supervisor itself knows of the whole. Does not own the
questions (gather), the metrics (families) or HTTP (http).

    /metrics          the exposition, Prometheus's text format 0.0.4
    /metrics/slots    the slots that lead by a metric of CLUSTER SLOT-STATS: ?by=key-count&top=20; by cpu-usec and
                      others where cluster-slot-stats-enabled is on
    /health           200 where every slot has an engine that is up and a proxy is up, else 503; a sentence for each
                      part that is not. Nobody is asked for it: it is what the supervisor knows
    /                 a page with these links

A scrape takes at most limits.METRICS_WAIT_MS, whatever hangs; scrapes within limits.METRICS_CACHE_MS of each other, and
those that come while one is gathering, share its answers.
"""

import asyncio
import os
from collections.abc import Iterator
from http import HTTPStatus
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from shardd.base import limits
from shardd.base.clock import mono_ms, mono_us
from shardd.base.log import Log
from shardd.base.options import Config
from shardd.cluster import view
from shardd.cluster.topology import NOBODY, Topology
from shardd.supervisor.child import ENGINE, Child
from shardd.supervisor.exporter import families
from shardd.supervisor.exporter.families import SLOT_METRICS, Families
from shardd.supervisor.exporter.gather import Answer, Gatherer, Process, Snapshot, key_of
from shardd.supervisor.exporter.http import HttpServer, Page, error_page
from shardd.supervisor.watch import State

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_INDEX = b"""<!doctype html><title>shardd</title><h1>shardd</h1>
<p><a href="/metrics">Metrics</a> for Prometheus, <a href="/metrics/slots">slots</a>, <a href="/health">health</a></p>
"""


class Shown:
    """A registry of metrics that are at hand."""

    def __init__(self, found: Families) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        return iter(self._found)


class Tree(Protocol):
    """What the exporter needs of the supervisor."""

    config: Config
    log: Log
    topology: Topology
    engines: list[Child]
    proxies: list[Child]
    leaving: list[Child]
    """Proxies whose successor serves, and which let their clients finish."""
    started_ms: int
    stopping: bool


class Exporter:
    """See the head of the module. Also the registry's collector: `collect` shows the latest snapshot."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._gatherer = Gatherer()
        self._http = HttpServer(self._page, tree.log.warning)
        self._registry = CollectorRegistry()
        self._registry.register(self)   # type: ignore[arg-type]
        ProcessCollector(registry=self._registry)
        self._snapshot: Snapshot | None = None
        self._gathering: asyncio.Task[Snapshot] | None = None
        self._scrapes = 0
        self._slots: dict[tuple[str, int], tuple[int, bytes]] = {}
        """The latest page of slots: what it is by, when it was made (us), and its text."""

    async def start(self) -> None:
        """Listens where metrics-port says so. Raises ConfigError."""
        port = int(self._tree.config["metrics-port"])
        if port:
            listening = await self._http.start(self._tree.config["metrics-bind"], port)
            self._tree.log.notice(f"Metrics for Prometheus on {', '.join(listening)}")

    async def stop(self) -> None:
        """Closes everything."""
        await self._http.stop()
        if self._gathering is not None:
            self._gathering.cancel()
        self._gatherer.close()

    # --- pages ----------------------------------------------------------------------------------------------------

    async def _page(self, path: str, query: dict[str, list[str]]) -> Page:
        if path == "/metrics":
            self._scrapes += 1
            self._snapshot = await self.snapshot()
            return Page(generate_latest(self._registry), _TEXT_FORMAT)
        if path == "/metrics/slots":
            return await self._slots_page(query)
        if path == "/health":
            troubles = self.troubles()
            if troubles:
                return Page("".join(f"{line}\n" for line in troubles).encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)
            return Page(b"ok\n")
        if path == "/":
            return Page(_INDEX, "text/html; charset=utf-8")
        return error_page(HTTPStatus.NOT_FOUND)

    async def _slots_page(self, query: dict[str, list[str]]) -> Page:
        """One question to each engine, on request: an engine looks at all its slots for it, some milliseconds."""
        counted = bool(self._tree.config["cluster-slot-stats-enabled"])
        by = query.get("by", ["cpu-usec" if counted else "key-count"])[-1]
        if by not in SLOT_METRICS or (by != "key-count" and not counted):
            return error_page(HTTPStatus.BAD_REQUEST, f"by: one of {', '.join(SLOT_METRICS)}; all but the first need "
                              "cluster-slot-stats-enabled")
        words = query.get("top", [str(limits.METRICS_SLOTS)])[-1]
        top = int(words) if words.isascii() and words.isdigit() and len(words) < 6 else 0
        if not 1 <= top <= limits.SLOTS:
            return error_page(HTTPStatus.BAD_REQUEST, f"top: a number from 1 to {limits.SLOTS}")
        kept = self._slots.get((by, top))
        if kept is not None and mono_us() - kept[0] < limits.METRICS_CACHE_MS * 1000:
            return Page(kept[1], _TEXT_FORMAT)
        self._keep()
        replies = await self._gatherer.ask(self._tree.engines, "CLUSTER", "SLOT-STATS", "ORDERBY", by, "LIMIT",
                                           str(top), "DESC")
        found = Families()
        families.slots(found, {str(engine.index): replies[engine.name] for engine in self._tree.engines
                               if engine.name in replies}, by, top)
        body = generate_latest(Shown(found))    # type: ignore[arg-type]
        self._slots = {(by, top): (mono_us(), body)}
        return Page(body, _TEXT_FORMAT)

    def troubles(self) -> list[str]:
        """Why the tree does not serve every key, in sentences; none where it does."""
        tree, found = self._tree, []
        if tree.stopping:
            found.append("The tree is stopping")
        for engine in tree.engines:
            slots = tree.topology.slot_count(engine.node_id)
            if engine.watch.state is not State.UP and slots:
                found.append(f"{engine.name.capitalize()} is {engine.watch.state.value}: {slots} slots")
        unserved = sum(1 for owner in tree.topology.owners if owner == NOBODY)
        if unserved:
            found.append(f"{unserved} slots are served by nobody")
        if not any(proxy.watch.state is State.UP for proxy in tree.proxies):
            found.append("No proxy is up")
        return found

    # --- gathering ------------------------------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """What the processes say: from the latest gathering where it is fresh, or from the one under way."""
        if self._snapshot is not None and mono_us() - self._snapshot.taken_us < limits.METRICS_CACHE_MS * 1000:
            return self._snapshot
        if self._gathering is None or self._gathering.done():
            self._gathering = asyncio.ensure_future(self._gather())
        return await asyncio.shield(self._gathering)    # a reader who leaves does not end it for the others

    async def _gather(self) -> Snapshot:
        started_us = mono_us()
        self._keep()
        tree = self._tree
        # as they are now: while one waits for answers, processes come and go
        children = [(child, key_of(child), False) for child in (*tree.engines, *tree.proxies)]
        children += [(child, key_of(child), True) for child in tree.leaving if child.watch.running]
        answers = await self._gatherer.answers()
        now_us = mono_us()
        processes = tuple(self._process(child, key, leaving, answers.get(key)) for child, key, leaving in children)
        families.note_counters(self._gatherer.tally, processes)
        self._snapshot = Snapshot(processes, (now_us - started_us) / 1e6, now_us, self._gatherer.tally)
        return self._snapshot

    def _keep(self) -> None:
        tree = self._tree
        self._gatherer.keep((*tree.engines, *tree.proxies), tree.leaving)

    def _process(self, child: Child, key: str, leaving: bool, answer: Answer | None) -> Process:
        slots = self._tree.topology.slot_count(child.node_id) if child.kind == ENGINE else 0
        return Process(child.kind, child.index, child.name, key, leaving, child.watch.state.value,
                       child.watch.restarts, child.pid, child.port, slots, child.watch.silent_ms(mono_ms()) / 1000,
                       answer)

    # --- the exposition -------------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """For the registry: the metrics of the latest snapshot."""
        if self._snapshot is None:
            return
        found, snapshot, tree = Families(), self._snapshot, self._tree
        families.whole_server(found, snapshot, self._facts())
        families.slow_log(found, snapshot)
        families.latency_events(found, snapshot)
        self._cluster(found)
        found.gauge("shardd_info", "Which tree it is.", 1, {"cluster_id": tree.topology.cluster_id})
        found.gauge("shardd_topology_epoch", "Epoch of the slot map.", tree.topology.epoch)
        found.gauge("shardd_slots_unserved", "Slots that no engine owns.",
                    sum(1 for owner in tree.topology.owners if owner == NOBODY))
        found.gauge("shardd_healthy", "What /health says: 1 for 200.", int(not self.troubles()))
        families.engines(found, snapshot)
        families.proxies(found, snapshot)
        found.counter("redis_exporter_scrapes_total", "Scrapes of this endpoint.", self._scrapes)
        found.gauge("redis_exporter_last_scrape_duration_seconds", "How long the processes were waited for.",
                    snapshot.took_s)
        silent = [process.name for process in snapshot.processes
                  if process.answer is None and not process.leaving]
        found.gauge("redis_exporter_last_scrape_error", "Whether a process did not answer, and which.",
                    int(bool(silent)), {"err": ", ".join(silent)})
        yield from found

    def _facts(self) -> dict[str, str]:
        """Fields of INFO that the supervisor knows for the whole."""
        tree, config = self._tree, self._tree.config
        return {"uptime_in_seconds": str((mono_ms() - tree.started_ms) // 1000), "process_id": str(os.getpid()),
                "run_id": tree.topology.cluster_id, "tcp_port": str(config["port"]), "redis_mode": "cluster",
                "maxclients": str(config["maxclients"]), "maxmemory": str(config["maxmemory"])}

    def _cluster(self, found: Families) -> None:
        """redis_cluster_*: the fields of CLUSTER INFO."""
        text = str(view.info(self._tree.topology, require_full_coverage=self._tree.config[
            "cluster-require-full-coverage"]))
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name.startswith("cluster_stats_messages_"):
                found.counter(f"redis_cluster_messages_{name.rpartition('_')[2]}_total", f"{name} of CLUSTER INFO.",
                              families.number(value))
            elif name.startswith("cluster_"):
                found.gauge(f"redis_{name}", f"{name} of CLUSTER INFO.", families.number(value))
