"""One process of a run: opens its connections, waits for the others, drives, reports.

Owns: the share of a run that falls to one process, its phases, and when it gives up. Does not own the loop (driver)
or what becomes of its report (crew).

    ready --> go (start time) --> warm-up --> measured --> nothing more to send --> drained --> done
                                     '------ every TICK_S: report, look for "stop", follow MOVED

What is said to the crew, over a pipe: ("ready", None), ("live", Live), ("done", Report), ("failed", text); and heard:
("go", start_ns), ("stop", None).
"""
import os
import signal
import time
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from bench.load import cluster, workload
from bench.load.cluster import SlotMap
from bench.load.control import LoadError, ready
from bench.load.driver import Driver
from bench.load.intake import Intake, ReplyError
from bench.load.keys import Keys
from bench.load.options import Settings
from bench.load.script import Script
from bench.load.workload import Workload
from shardd.base import child
from shardd.base.clock import mono_ns

TICK_S = 0.1
DRAIN_S = 5.0
"""How long replies are waited for after the end of a run; what has not come then counts with its age."""
REFRESH_S = 0.25
"""Slots are learned anew at most this often, however many commands were redirected."""


@dataclass
class Live:
    """Since the report before: replies, errors, and latencies (a histogram's dump, ns)."""

    done: int
    errors: int
    latencies: dict[str, Any]


@dataclass
class Counts:
    """What a run counts, of one process or of all. seconds: from the end of the warm-up to the last reply."""

    seconds: float = 0.0
    done: int = 0
    errors: int = 0
    texts: dict[str, int] = field(default_factory=dict)
    nulls: int = 0
    moved: int = 0
    pushes: int = 0
    unanswered: int = 0
    unsent: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    cpu_s: float = 0.0
    links: int = 0


@dataclass
class Report(Counts):
    """What one process found. Histograms are dumps, in ns."""

    latencies: list[dict[str, Any]] = field(default_factory=list)
    lateness: dict[str, Any] = field(default_factory=dict)


def part(total: int, index: int, count: int) -> int:
    """The share of `total` that falls to one of `count`."""
    return total // count + (index < total % count)


def script_of(settings: Settings, load: Workload, index: int) -> Script:
    """The commands of one process; no two draw the same stream of keys. Raises ValueError."""
    keys = Keys(settings.keys, settings.distribution, theta=settings.theta, hot_keys=settings.hot_keys,
                hot_access=settings.hot_access, start=index, step=settings.processes,
                seed=settings.seed * 1_000_003 + index)
    commands = [workload.compiled(template, settings.key_prefix.encode(), cluster=settings.cluster)
                for template in load.templates]
    return Script(commands, keys, workload.values(settings.value_bytes[1], settings.seed), settings.value_bytes,
                  serial=index, serial_step=settings.processes)


class Worker:
    """One process's part of a run. Raises LoadError, ValueError."""

    def __init__(self, settings: Settings, load: Workload, index: int) -> None:
        self.settings, self.index = settings, index
        self.count = settings.processes
        self.slots: SlotMap | None = None
        if settings.cluster:
            self.slots = cluster.learn(settings.address, settings.login, settings.timeout_s)
        intake = Intake([template.name for template in load.templates], [template.forms for template in load.templates])
        self.driver = Driver(script_of(settings, load, index), intake, settings.pipeline,
                             len(self.slots.nodes) if self.slots else 0)
        self.refreshed_ns = 0
        self.live_done = self.live_errors = 0
        self.cpu_start_s = 0.0
        self.start_ns = self.measured_ns = self.heard_ns = self.heard_done = 0
        self.stopped = False
        if self.slots:
            for node in range(len(self.slots.nodes)):
                self.connect(node)
            self.driver.set_slots(self.slots.owners)
        else:
            self.connect(0)

    def connect(self, node: int) -> None:
        """This process's share of the connections to one engine."""
        address = self.slots.nodes[node] if self.slots else self.settings.address
        for _ in range(part(self.settings.clients, self.index, self.count)):
            self.driver.add_link(ready(address, self.settings.login, self.settings.timeout_s), node)

    def refresh(self) -> None:
        """A command was redirected: learn the slots again, from any engine that answers."""
        assert self.slots is not None
        if mono_ns() - self.refreshed_ns < REFRESH_S * 1e9:
            return
        error: LoadError | None = None
        for address in [*self.slots.nodes, self.settings.address]:
            try:
                found = cluster.learn(address, self.settings.login, self.settings.timeout_s)
                break
            except LoadError as one:
                error = one
        else:
            assert error is not None
            raise error
        known = self.slots.nodes
        self.slots = replace(found, nodes=known + [node for node in found.nodes if node not in known])
        for node in range(len(known), len(self.slots.nodes)):
            self.driver.add_node()
            self.connect(node)
        places = [self.slots.nodes.index(node) for node in found.nodes]
        self.driver.set_slots([owner if owner < 0 else places[owner] for owner in found.owners])
        self.refreshed_ns = mono_ns()

    # --- phases ---------------------------------------------------------------------------------------------------

    def start(self, start_ns: int) -> None:
        """Begin at that time: with the warm-up, where there is one."""
        settings = self.settings
        self.start_ns = self.heard_ns = start_ns
        self.measured_ns = start_ns + int(settings.warmup_s * 1e9)
        if settings.rate:
            own = settings.rate / self.count
            self.driver.at_rate(own, start_ns + int(self.index * 1e9 / settings.rate), poisson=settings.poisson,
                                spin=settings.spin)
        if settings.duration_s is not None:
            self.driver.stop_at(self.measured_ns + int(settings.duration_s * 1e9))
        time.sleep(max(0.0, (start_ns - mono_ns()) / 1e9))

    def measure(self) -> None:
        """The warm-up is over."""
        self.driver.reset()
        self.live_done = self.live_errors = self.heard_done = 0
        self.cpu_start_s = time.process_time()
        if self.settings.requests is not None:
            self.driver.limit(part(self.settings.requests, self.index, self.count))

    def drive(self, pipe: Connection) -> Report:
        """All phases, to the end. Raises LoadError, ReplyError, OSError."""
        while mono_ns() < self.measured_ns:
            self.driver.run(min(self.measured_ns, mono_ns() + int(TICK_S * 1e9)))
            if not self.tick(pipe):
                break
        self.measure()
        begun_ns = mono_ns()
        while not self.driver.run(mono_ns() + int(TICK_S * 1e9)):
            if not self.tick(pipe):
                break
        return self.report((mono_ns() - begun_ns) / 1e9)

    def tick(self, pipe: Connection) -> bool:
        """Between two stretches of the loop; False: it is time to give up. Raises LoadError."""
        driver, now_ns = self.driver, mono_ns()
        if self.slots is not None and driver.intake.take_redirect():
            self.refresh()
        pipe.send(("live", Live(driver.done - self.live_done, driver.intake.errors - self.live_errors,
                                driver.take_live().dump())))
        self.live_done, self.live_errors = driver.done, driver.intake.errors
        if pipe.poll() and pipe.recv()[0] == "stop" and not self.stopped:
            self.stopped = True
            driver.stop_at(min(driver.deadline_ns, now_ns))
        if driver.done != self.heard_done or not driver.outstanding:
            self.heard_done, self.heard_ns = driver.done, now_ns
        if now_ns - self.heard_ns > self.settings.timeout_s * 1e9:
            raise LoadError(f"no reply for {self.settings.timeout_s:g} s")
        return now_ns < driver.deadline_ns + DRAIN_S * 1e9

    def report(self, seconds: float) -> Report:
        """What was found up to now."""
        driver = self.driver
        unanswered, unsent = driver.give_up(mono_ns())
        return Report(
            seconds=seconds, done=driver.done, errors=driver.intake.errors, texts=driver.intake.error_texts(),
            nulls=driver.intake.nulls, moved=driver.intake.moved, pushes=driver.intake.pushes, unanswered=unanswered,
            unsent=unsent, bytes_in=driver.bytes_in, bytes_out=driver.bytes_out,
            cpu_s=time.process_time() - self.cpu_start_s, links=driver.links_n,
            latencies=[histogram.dump() for histogram in driver.latencies()], lateness=driver.lateness().dump())


def main(settings: Settings, load: Workload, index: int, pipe: Connection) -> None:
    """The process."""
    child.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # the crew says when to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        if settings.cores:
            os.sched_setaffinity(0, {settings.cores[index % len(settings.cores)]})
        worker = Worker(settings, load, index)
        pipe.send(("ready", None))
        word, start_ns = pipe.recv()
        if word == "go":
            worker.start(start_ns)
            pipe.send(("done", worker.drive(pipe)))
    except (LoadError, ReplyError, ValueError) as error:
        pipe.send(("failed", str(error)))
    except EOFError:
        pass        # the crew is gone
    except OSError as error:
        pipe.send(("failed", f"a connection broke: {error.strerror or error}"))
