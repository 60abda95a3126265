"""One load by shardd-bench, run as a process of its own, and what it says.

Owns: its command line as far as measurements need it, and the proof that it did what was asked. Does not own rounds.
"""
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.servers import ROOT, BenchError

RUN_S = 600.0
"""No run is longer."""


@dataclass(frozen=True)
class Shot:
    """What to send: `requests` commands, or at `rate` per second for `seconds`. path: a Unix socket, instead of the
    port. sequential: each key once, instead of evenly drawn ones. commands: a mix of them, instead of the test of that
    name."""

    test: str
    pipeline: int
    clients: int
    keys: int
    value_bytes: int
    requests: int | None = None
    rate: float | None = None
    seconds: float | None = None
    path: str | None = None
    sequential: bool = False
    commands: tuple[str, ...] = ()

    def argv(self, port: int, cores: Iterable[int] | None) -> list[str]:
        """The words to run."""
        words = [word for command in self.commands for word in ("--command", command)] or ["-t", self.test]
        words += ["-P", str(self.pipeline), "-c", str(self.clients), "-r", str(self.keys),
                  "-d", str(self.value_bytes), "--json", "-", "--no-progress"]
        words += ["-s", self.path] if self.path else ["-p", str(port)]
        if self.requests is not None:
            words += ["-n", str(self.requests)]
        if self.rate is not None:
            words += ["--rate", str(self.rate), "--duration", str(self.seconds), "--warmup", "0.5"]
        if self.sequential:
            words += ["--distribution", "sequential"]
        if cores is not None:
            words += ["--cores", ",".join(map(str, sorted(cores)))]
        return [sys.executable, "-m", "bench.load.main", *words]


def check(shot: Shot, run: dict[str, Any]) -> dict[str, Any]:
    """The run, where it is what was asked for. Raises BenchError."""
    if run["errors"] or run["moved"]:
        raise BenchError(f"{shot.test}: {run['errors'] + run['moved']} errors: {', '.join(run['error_texts'])}")
    if shot.requests is not None and run["commands"] != shot.requests:
        raise BenchError(f"{shot.test}: {run['commands']} of {shot.requests} commands were answered")
    if shot.test == "get" and run["nulls"]:
        raise BenchError(f"get: {run['nulls']} of {run['commands']} found no key; a GET that misses costs less")
    if run["unsent"] or run["unanswered"]:
        raise BenchError(f"{shot.test}: {shot.rate:,.0f} commands a second were not reached")
    return run


def shoot(port: int, shot: Shot, cores: Iterable[int] | None) -> dict[str, Any]:
    """Send it; returns the run of shardd-bench's JSON. Raises BenchError."""
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
    try:
        done = subprocess.run(shot.argv(port, cores), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=RUN_S, env=os.environ | {"PYTHONPATH": path})
    except subprocess.TimeoutExpired:
        raise BenchError(f"shardd-bench was not done after {RUN_S:.0f} s") from None
    if done.returncode:
        raise BenchError(f"shardd-bench failed ({done.returncode}): {done.stderr.strip()[-300:]}")
    return check(shot, json.loads(done.stdout)["runs"][0])
