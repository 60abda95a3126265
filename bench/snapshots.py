"""snapshots: what a BGSAVE under writes costs: how long clients wait, and the memory that is copied meanwhile.

    `keys` keys are written; then SETs of random ones at `rate` a second, pipelined, for as long as it all takes
    BGSAVE, and until it is done:    a PING every millisecond, a look at the memory of server and child every quarter
                                     of a second

Owns: the order of things, and the table. The figures:

    slowest PING    what one client waited at most, by its own clock: what the machine did to it included
    pause           the engine's own eventloop_longest_*_usec of that time: wall, and CPU. The fork is not in it
    fork            latest_fork_usec: how long nobody was served because of it
    extra memory    what the server has grown by, and what the child has for itself (Private_Dirty: a page that was copied
                    for either of them is from then on the child's alone, or its own), together, at most
    copied          rdb_last_cow_size, the child's own figure

The server's memory is asked for in a way that does not hold it up: /proc/<pid>/smaps_rollup would, for as long as it
walks all pages, wherever the server wants more memory of the system.

The rate is the same for all servers, so that who is faster has less to copy. All run one after the other, on any core:
the child takes one of its own where there is one.
"""
import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from bench import accounting, goals, machine, report, servers
from bench.cost import positive, say, with_options
from bench.fill import fill
from bench.pauses import FIELDS, PING_EVERY_S, figures
from bench.report import number
from bench.servers import ROOT, BenchError, Connection, Server, Spec

WAIT_S = 120.0
LOOK_S = 0.25
STEADY_S = 1.0
"""Writes before the snapshot begins, and before which nothing counts."""


@dataclass
class Snapshot:
    """What was measured of one server. Times in us but `seconds`, memory in bytes; pause and its CPU None where the
    server does not tell."""

    name: str
    seconds: float
    fork_us: int
    ping_us: int
    pause_us: int | None
    pause_cpu_us: int | None
    before_bytes: int
    extra_bytes: int
    copied_bytes: int
    writes: int


def options(parser: argparse.ArgumentParser) -> None:
    """What `python -m bench snapshots` takes."""
    parser.add_argument("--peer", action="append", metavar="NAME=COMMAND", default=None,
                        help="another server, with {port} and {dir} in its command line (redis-server on PATH)")
    parser.add_argument("--no-peer", action="store_true", help="shardd alone")
    parser.add_argument("--engine-options", metavar="WORDS", default="", help="more options for shardd-engine")
    parser.add_argument("--keys", type=positive, default=goals.SAVED_KEYS, help="keys that are saved (5000000)")
    parser.add_argument("--value", type=positive, default=goals.VALUE_BYTES, help="bytes of a value (32)")
    parser.add_argument("--rate", type=positive, default=50_000, help="writes a second meanwhile (50000)")
    parser.add_argument("--pipeline", type=positive, default=16, help="writes outstanding per connection (16)")
    parser.add_argument("--clients", type=positive, default=goals.CLIENTS, help="connections (50)")
    parser.add_argument("--json", metavar="FILE", help="also write everything")


def specs(args: argparse.Namespace) -> list[Spec]:
    """Peers first, then the engine. Raises BenchError."""
    ours = with_options(servers.engine(), args.engine_options)
    if args.no_peer:
        return [ours]
    try:
        peers = [Spec.parse(text) for text in args.peer or ()]
    except ValueError as error:
        raise BenchError(f"--peer: {error}") from None
    return [*(peers or [spec for spec in [servers.redis()] if spec is not None]), ours]


@contextlib.contextmanager
def writes(args: argparse.Namespace, port: int) -> Iterator[None]:
    """The load, in a process of its own."""
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
    words = ["-p", port, "-t", "set", "-r", args.keys, "-d", args.value, "-P", args.pipeline, "-c", args.clients,
             "--rate", args.rate, "--duration", WAIT_S, "-q", "--no-progress"]
    load = subprocess.Popen([sys.executable, "-m", "bench.load.main", *map(str, words)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": path})
    try:
        yield
        if load.poll() is not None:
            raise BenchError(f"shardd-bench ended with {load.returncode}")
    finally:
        load.terminate()
        load.wait()


def resident_bytes(pid: int) -> int:
    """What a process has in memory."""
    return psutil.Process(pid).memory_info().rss


def own_bytes(pid: int) -> int:
    """What its children have for themselves."""
    total = 0
    for member in accounting.tree(pid):
        if member != pid:
            with contextlib.suppress(OSError), open(f"/proc/{member}/smaps_rollup", encoding="ascii") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty")) * 1024
    return total


def watch(pid: int, connection: Connection) -> tuple[int, int]:
    """Until the snapshot is there: the slowest PING, us, and most memory, bytes. Raises BenchError after WAIT_S."""
    slowest_s, most_bytes = 0.0, 0
    start_s = look_s = time.monotonic()
    while True:
        sent_s = time.monotonic()
        connection.call("PING")
        now_s = time.monotonic()
        slowest_s = max(slowest_s, now_s - sent_s)
        if now_s >= look_s:
            most_bytes = max(most_bytes, resident_bytes(pid) + own_bytes(pid))
            if connection.info("persistence")["rdb_bgsave_in_progress"] == "0":
                return round(slowest_s * 1e6), most_bytes
            look_s = time.monotonic() + LOOK_S
        if now_s - start_s > WAIT_S:
            raise BenchError(f"no snapshot after {WAIT_S:.0f} s")
        time.sleep(PING_EVERY_S)


def measure(spec: Spec, args: argparse.Namespace) -> Snapshot:
    """One server. Raises BenchError."""
    with Server(spec) as server, contextlib.closing(server.connect()) as connection:
        say(f"{spec.name}: {args.keys:,} keys")
        fill(server.port, args.keys, args.value)
        with writes(args, server.port):
            time.sleep(STEADY_S)
            pid = int(connection.info("server")["process_id"])
            before_bytes = resident_bytes(pid)
            told = "eventloop_longest_batch_usec" in connection.info("stats")
            connection.call("BGSAVE")       # answered when the fork is over
            connection.call("CONFIG", "RESETSTAT")
            start_s = time.monotonic()
            ping_us, most_bytes = watch(pid, connection)
            seconds = time.monotonic() - start_s
            stats, found = connection.info("stats"), connection.info("persistence")
        if found["rdb_last_bgsave_status"] != "ok":
            raise BenchError(f"{spec.name} could not save")
        pauses = figures(stats) if told else dict.fromkeys(FIELDS)
        longest = [max(pauses["batch" + unit] or 0, pauses["step" + unit] or 0) if told else None
                   for unit in ("_us", "_cpu_us")]
        # the fork's time went with RESETSTAT: a second one, of the same data, tells it
        connection.call("BGSAVE")
        fork_us = int(connection.info("stats")["latest_fork_usec"])
        one = Snapshot(spec.name, seconds, fork_us, ping_us, longest[0], longest[1], before_bytes,
                       most_bytes - before_bytes, int(found["rdb_last_cow_size"]),
                       int(stats["total_commands_processed"]))
        say(str(one))
        return one


def judge(one: Snapshot) -> str:
    """A table's cell: the goal, and whether it is met by the wall clock, or else by the CPU's: the child and the load
    want cores, too."""
    if one.pause_us is None or one.pause_cpu_us is None:
        return ""
    text = goals.verdict(one.pause_us / 1000, goals.SNAPSHOT_PAUSE_US / 1000, 0)
    return f"{text} (CPU time: met)" if one.pause_us > goals.SNAPSHOT_PAUSE_US >= one.pause_cpu_us else text


def table(found: list[Snapshot]) -> str:
    """All servers; times in milliseconds, memory in MB."""
    def ms(us: int | None) -> str:
        return number(None if us is None else us / 1000, 2)

    peers = [one.extra_bytes for one in found[:-1]]
    rows = [[one.name, f"{one.seconds:.1f}", number(one.writes), ms(one.fork_us), ms(one.ping_us), ms(one.pause_us),
             ms(one.pause_cpu_us), judge(one),
             number(one.before_bytes / 1e6), number(one.extra_bytes / 1e6), number(one.copied_bytes / 1e6),
             goals.verdict(one.extra_bytes / 1e6, peers[0] / 1e6, 0) if peers and one is found[-1] else ""]
            for one in found]
    return report.markdown(["server", "BGSAVE, s", "writes and PINGs", "fork, ms", "slowest PING, ms", "pause, ms",
                            "CPU, ms", "goal", "memory before, MB", "extra, MB", "copied, MB", "goal"], rows,
                           right=(1, 2, 3, 4, 5, 6, 8, 9, 10))


def run(args: argparse.Namespace) -> str:
    """One invocation; returns the text to print. Raises BenchError or OSError."""
    facts = machine.facts()
    found = [measure(spec, args) for spec in specs(args)]
    report.save_json(args.json, as_json(found, args, facts))
    return (f"{machine.described(facts)}; {number(args.keys)} keys of 16 bytes, values of {args.value} bytes, "
            f"{number(args.rate)} SETs a second over {args.clients} clients, pipeline {args.pipeline}.\n\n{table(found)}")


def as_json(found: list[Snapshot], args: argparse.Namespace, facts: dict[str, Any]) -> dict[str, Any]:
    return {"machine": facts, "keys": args.keys, "value_bytes": args.value, "rate": args.rate,
            "pipeline": args.pipeline, "servers": [vars(one) for one in found]}
