"""The processes of a run: started together, listened to, joined into one outcome.

Owns: the workers' lives, the live line, and what happens when one of them fails or the user interrupts. Does not own
what a worker does.

Workers are forked, so that nothing is imported twice. They start at one moment, START_S after the last of them is
ready, and are told by pipe to stop; they die with this process.
"""
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.load import worker
from bench.load.control import LoadError
from bench.load.driver import DIGITS, HIGHEST_NS, LIVE_DIGITS
from bench.load.options import Settings
from bench.load.worker import Counts, Live, Report
from bench.load.workload import Workload
from shardd.base.clock import mono_ns
from shardd.structures.histogram import Histogram

START_S = 0.02
STOP_S = 10.0
SHOW_S = 0.5


@dataclass(kw_only=True)
class Outcome(Counts):
    """What a run found, over all processes. Latencies in ns. interrupted: the user ended it."""

    label: str
    names: list[str]
    settings: Settings
    by_command: list[Histogram] = field(default_factory=list)
    latencies: Histogram = field(default_factory=lambda: Histogram(DIGITS, HIGHEST_NS))
    lateness: Histogram = field(default_factory=lambda: Histogram(DIGITS, HIGHEST_NS))
    interrupted: bool = False

    @property
    def rate(self) -> float:
        """Commands per second."""
        return self.done / self.seconds if self.seconds else 0.0


_SUMS = ("done", "errors", "nulls", "moved", "pushes", "unanswered", "unsent", "bytes_in", "bytes_out", "cpu_s",
         "links")


def join(settings: Settings, load: Workload, reports: list[Report]) -> Outcome:
    """One outcome of all processes' reports. It took as long as the slowest."""
    names = [template.name for template in load.templates]
    outcome = Outcome(label=load.label, names=names, settings=settings,
                      seconds=max(report.seconds for report in reports))
    for name in _SUMS:
        setattr(outcome, name, sum(getattr(report, name) for report in reports))
    outcome.by_command = [Histogram(DIGITS, HIGHEST_NS) for _ in names]
    for report in reports:
        for text, count in report.texts.items():
            outcome.texts[text] = outcome.texts.get(text, 0) + count
        for histogram, dump in zip(outcome.by_command, report.latencies):
            histogram.merge(Histogram.load(dump))
        outcome.lateness.merge(Histogram.load(report.lateness))
    for histogram in outcome.by_command:
        outcome.latencies.merge(histogram)
    return outcome


class Progress:
    """The live line: what the last stretch of a run was like."""

    def __init__(self, label: str, write: Callable[[str], Any] | None) -> None:
        """write: where it goes, None for nowhere."""
        self.label, self.write = label, write
        self.begun_s = self.shown_s = time.monotonic()
        self.done = self.errors = self.width = 0
        self.latencies = Histogram(LIVE_DIGITS, HIGHEST_NS)

    def add(self, live: Live) -> None:
        """One process's report."""
        self.done += live.done
        self.errors += live.errors
        self.latencies.merge(Histogram.load(live.latencies))
        if self.write and time.monotonic() - self.shown_s >= SHOW_S:
            self.show()

    def show(self) -> None:
        """Write the line over the one before, and begin a new stretch; errors are of the whole run."""
        assert self.write is not None
        now_s = time.monotonic()
        text = (f"{self.label}: {now_s - self.begun_s:.1f} s  {self.done / (now_s - self.shown_s):,.0f}/s  "
                f"p50 {self.latencies.percentile(50) / 1e6:.3f} ms  p99 {self.latencies.percentile(99) / 1e6:.3f} ms  "
                f"max {self.latencies.max / 1e6:.3f} ms  errors {self.errors:,}")
        self.write("\r" + text.ljust(self.width))
        self.width = len(text)
        self.shown_s, self.done = now_s, 0
        self.latencies.reset()

    def end(self) -> None:
        """Take the line away."""
        if self.write and self.width:
            self.write("\r" + " " * self.width + "\r")


def to_stderr(text: str) -> None:
    """Where the live line goes."""
    sys.stderr.write(text)
    sys.stderr.flush()


def run(settings: Settings, load: Workload, write: Callable[[str], Any] | None = None) -> Outcome:
    """One run, from start to end. write: for the live line. Raises LoadError; an interrupt ends the run early."""
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    try:
        for index in range(settings.processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=worker.main, args=(settings, load, index, theirs), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        return _conduct(settings, load, pipes, write)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(STOP_S)
            if process.is_alive():
                process.kill()
                process.join()


def _conduct(settings: Settings, load: Workload, pipes: list[multiprocessing.connection.Connection],
             write: Callable[[str], Any] | None) -> Outcome:
    """Hear all workers to their end."""
    waiting, reports = list(pipes), []
    ready, interrupted = 0, False
    progress = Progress(load.label, write)
    with _interrupts() as interrupt:
        while waiting:
            for source in multiprocessing.connection.wait([*waiting, *([] if interrupted else [interrupt])]):
                if isinstance(source, int):
                    if ready < len(pipes):
                        raise KeyboardInterrupt
                    interrupted = True
                    _tell(waiting, ("stop", None))
                    continue
                assert isinstance(source, multiprocessing.connection.Connection)
                word, value = _hear(source)
                if word == "failed":
                    progress.end()
                    raise LoadError(value)
                if word == "ready":
                    ready += 1
                    if ready == len(pipes):
                        progress.begun_s = progress.shown_s = time.monotonic()
                        _tell(pipes, ("go", mono_ns() + int(START_S * 1e9)))
                elif word == "live":
                    progress.add(value)
                else:
                    reports.append(value)
                    waiting.remove(source)
    progress.end()
    outcome = join(settings, load, reports)
    outcome.interrupted = interrupted
    return outcome


@contextlib.contextmanager
def _interrupts() -> Iterator[int]:
    """A descriptor that can be read once the user has interrupted; the second time is a KeyboardInterrupt.

    The first must not be one: amid a message that is being read or written the rest of it would be taken for the next.
    """
    ours, theirs = os.pipe()

    def interrupted(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.write(theirs, b"!")

    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupted)
    try:
        yield ours
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(ours)
        os.close(theirs)


def _hear(pipe: multiprocessing.connection.Connection) -> tuple[str, Any]:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        return "failed", "a process of the load generator ended without a word"


def _tell(pipes: list[multiprocessing.connection.Connection], message: tuple[str, Any]) -> None:
    for pipe in pipes:
        try:
            pipe.send(message)
        except OSError:
            continue        # it ended; its last words are read next
