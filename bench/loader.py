"""The load generator: valkey-benchmark, redis-benchmark, or what is called like them.

Owns: its command line, the rows it prints, and the proof that the server did what it says. Does not own rounds and
medians.
"""
import csv
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from bench.servers import BenchError

NAMES = ("valkey-benchmark", "redis-benchmark")
"""Looked for on PATH, in this order."""

RUN_S = 600.0
"""No run is longer: one that is has lost its server and would wait for ever."""


@dataclass(frozen=True)
class Load:
    """One run: what to send. test: as -t takes it; value_bytes: of a SET; keys: how many there are to pick from;
    path: a Unix socket, instead of the port."""

    test: str
    pipeline: int
    clients: int
    requests: int
    keys: int
    value_bytes: int
    path: str | None = None

    def argv(self, loader: list[str], port: int) -> list[str]:
        """The words to run."""
        where = ["-s", self.path] if self.path else ["-h", "127.0.0.1", "-p", str(port)]
        return [*loader, *where, "-c", str(self.clients), "-n", str(self.requests),
                "-P", str(self.pipeline), "-r", str(self.keys), "-d", str(self.value_bytes), "-t", self.test, "--csv"]


@dataclass(frozen=True)
class Row:
    """What it saw: commands per second, and latencies in milliseconds (None where it prints none)."""

    rps: float
    p50_ms: float | None
    p99_ms: float | None


def find(command: str | None = None) -> list[str]:
    """The program's words: `command`, or the first of NAMES that is on PATH. Raises BenchError."""
    if command:
        return shlex.split(command)
    for name in NAMES:
        if path := shutil.which(name):
            return [path]
    raise BenchError(f"no load generator: neither of {', '.join(NAMES)} is on PATH; name one with --loader")


def parse(text: str, test: str) -> Row:
    """The row of a test in what --csv prints. Raises BenchError where there is none.

    Since Redis 6.2 a header names the columns; before it a row was name and rate alone.
    """
    rows = [row for row in csv.reader(text.splitlines()) if len(row) >= 2]
    header = next((row for row in rows if row[0] == "test"), ["test", "rps"])
    for row in rows:
        if row != header and row[0].split()[:1] == [test.upper()]:
            fields = dict(zip(header, row))
            try:
                return Row(float(fields["rps"]), _milliseconds(fields, "p50"), _milliseconds(fields, "p99"))
            except (KeyError, ValueError):
                break
    raise BenchError(f"the load generator printed no row for {test}: {text.strip()[-300:] or 'nothing'}")


def _milliseconds(fields: dict[str, str], which: str) -> float | None:
    text = fields.get(f"{which}_latency_ms")
    return None if text is None else float(text)


def run(loader: list[str], port: int, load: Load, cores: Iterable[int] | None) -> Row:
    """Send it. cores: where the load generator may run. Raises BenchError."""
    def pin() -> None:
        if cores is not None:
            os.sched_setaffinity(0, cores)

    try:
        done = subprocess.run(load.argv(loader, port), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=RUN_S, preexec_fn=pin, errors="replace")
    except OSError as error:
        raise BenchError(f"the load generator cannot be run: {error}") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"the load generator was not done after {RUN_S:.0f} s") from None
    if done.returncode:
        last_words = (done.stderr or done.stdout).strip()[-300:]
        raise BenchError(f"the load generator failed ({done.returncode}): {last_words}")
    return parse(done.stdout, load.test)


def check(load: Load, before: dict[str, str], after: dict[str, str]) -> None:
    """Whether the server did what was asked, by its own counters (INFO stats before and after; a field that is missing
    proves nothing). Raises BenchError."""
    def grown(field: str) -> int | None:
        return int(after[field]) - int(before[field]) if field in before and field in after else None

    commands, failed = grown("total_commands_processed"), grown("total_error_replies")
    if commands is not None and commands < load.requests:
        raise BenchError(f"{load.test}: {load.requests} commands were asked for, the server counted {commands}")
    if failed is not None and failed > load.requests // 1000:
        raise BenchError(f"{load.test}: {failed} of {load.requests} commands failed")
    hits = grown("keyspace_hits") if load.test == "get" else None
    if hits is not None and hits < load.requests * 0.99:
        raise BenchError(f"get: {hits} of {load.requests} found a key; a GET that misses costs less")
