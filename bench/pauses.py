"""pauses: how long an engine's event loop stands still at most, in the situations that could make it.

    fill      `keys` keys are written at pipeline 64
    flush     FLUSHALL of them; until all their memory is free again
    expire    `due` keys fall due at the same millisecond; until all of them are gone
    hash:fill, hash:evict ... zset:del      one collection of `elements` elements (bench.large)

Owns: the situations, and the table. Does not own the figures: they are the engine's own, which CONFIG RESETSTAT sets
to 0 before each situation and INFO stats tells after it:

    eventloop_longest_batch_usec        a turn of the reactor: how long a client that sent something waited at most
    eventloop_longest_step_usec         a step of the engine's own work: expiry, freeing, statistics
    eventloop_longest_batch_cpu_usec    most CPU time of a turn, too high by half a millisecond at most
    eventloop_longest_step_cpu_usec     most CPU time of a step

The first two are wall time, which is what a client feels. Where other processes want the same core, or the host wants
it, the wall clock goes on while the engine does not; then the CPU time tells what the engine itself would have taken.
(The turn that took most CPU time need not be the one that took longest.)

While memory is freed and keys expire, one client sends a PING every millisecond; the slowest answer is shown as well.
It includes what the machine did to the client.
"""
import argparse
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import goals, large, machine, report, servers
from bench.cost import pinned, pinning, positive, say, with_options, words
from bench.fill import fill
from bench.report import number
from bench.servers import BenchError, Connection, Server

FIELDS = {"batch_us": "eventloop_longest_batch_usec", "batch_cpu_us": "eventloop_longest_batch_cpu_usec",
          "step_us": "eventloop_longest_step_usec", "step_cpu_us": "eventloop_longest_step_cpu_usec"}

SITUATIONS = ("fill", "flush", "expire", *large.SITUATIONS)
WAIT_S = 120.0
"""No situation takes longer once it has begun."""

PING_EVERY_S = 0.001
DUE_AFTER_S, DUE_PER_S = 2.0, 100_000
"""Keys fall due when they are written for sure: after 2 s, and a second more for every 100,000 of them."""


@dataclass(frozen=True)
class Pause:
    """One situation: how many keys, how long it took (s), FIELDS in us, and the slowest PING (None: not sent)."""

    name: str
    keys: int
    seconds: float
    figures: dict[str, int]
    ping_us: int | None

    def worst(self) -> tuple[int, int]:
        """Wall and CPU time of the longest pause, whoever made it."""
        return (max(self.figures["batch_us"], self.figures["step_us"]),
                max(self.figures["batch_cpu_us"], self.figures["step_cpu_us"]))


def options(parser: argparse.ArgumentParser) -> None:
    """What `python -m bench pauses` takes."""
    parser.add_argument("--situations", type=words, default=",".join(SITUATIONS), metavar="LIST",
                        help=f"some of {','.join(SITUATIONS)} (all)")
    parser.add_argument("--keys", type=positive, default=goals.FILLED_KEYS,
                        help="keys that are written and flushed (10000000)")
    parser.add_argument("--due", type=positive, default=goals.DUE_KEYS, help="keys that fall due at once (1000000)")
    parser.add_argument("--elements", type=positive, default=goals.ELEMENTS, help="of a large collection (5000000)")
    parser.add_argument("--pipeline", type=positive, default=goals.PIPELINE, help="SETs sent at once (64)")
    parser.add_argument("--clients", type=positive, default=goals.CLIENTS, help="connections (50)")
    parser.add_argument("--value", type=positive, default=goals.VALUE_BYTES, help="bytes of a value (32)")
    parser.add_argument("--engine-options", metavar="WORDS", default="", help="more options for shardd-engine")
    pinning(parser)


def figures(info: dict[str, str]) -> dict[str, int]:
    """FIELDS out of INFO stats. Raises BenchError where the server has none."""
    try:
        return {name: int(info[field]) for name, field in FIELDS.items()}
    except KeyError as error:
        raise BenchError(f"the server does not tell {error.args[0]}") from None


def wait(connection: Connection, done: Callable[[dict[str, str]], bool], section: str) -> int:
    """PING until INFO's section says that it is done; returns the slowest PING, us. Raises BenchError after WAIT_S."""
    slowest_s, start_s = 0.0, time.monotonic()
    look_s = start_s
    while True:
        sent_s = time.monotonic()
        connection.call("PING")
        now_s = time.monotonic()
        slowest_s = max(slowest_s, now_s - sent_s)
        if now_s > look_s:
            if done(connection.info(section)):
                return round(slowest_s * 1e6)
            look_s = now_s + 0.05
        if now_s - start_s > WAIT_S:
            raise BenchError(f"not done after {WAIT_S:.0f} s")
        time.sleep(PING_EVERY_S)


class Run:
    """An engine, a connection to it, and the situations one after the other."""

    def __init__(self, args: argparse.Namespace, server: Server, connection: Connection) -> None:
        self.args, self.server, self.connection = args, server, connection

    def measure(self, name: str) -> Pause:
        """One situation; whatever it needs beforehand is done first and not measured."""
        if ":" in name:
            return self.measure_large(name, *name.split(":"))
        prepare, act, keys = {"fill": (self.empty, self.fill, self.args.keys),
                              "flush": (self.full, self.flush, self.args.keys),
                              "expire": (self.volatile, self.expire, self.args.due)}[name]
        prepare()
        self.connection.call("CONFIG", "RESETSTAT")
        start_s = time.monotonic()
        ping_us = act()
        pause = Pause(name, keys, time.monotonic() - start_s, figures(self.connection.info("stats")), ping_us)
        say(f"{name}: {pause.seconds:.1f} s, {pause.figures}")
        return pause

    def measure_large(self, name: str, kind: str, way: str) -> Pause:
        """One situation of a large collection."""
        args, connection = self.args, self.connection
        self.empty()
        if way != "fill":
            large.fill(self.server.port, kind, args.elements)
        connection.call("CONFIG", "RESETSTAT")
        start_s = time.monotonic()
        ping_us = None
        if way == "fill":
            large.fill(self.server.port, kind, args.elements)
            if (held := large.length(connection, kind)) != args.elements:
                raise BenchError(f"the engine holds {held} elements, not {args.elements}")
        else:
            large.let_go(connection, way)
            ping_us = wait(connection, self.is_gone, "memory")
            large.clean_up(connection, way)
        pause = Pause(name, args.elements, time.monotonic() - start_s, figures(connection.info("stats")), ping_us)
        say(f"{name}: {pause.seconds:.1f} s, {pause.figures}")
        return pause

    def is_gone(self, info: dict[str, str]) -> bool:
        """`info` is older than EXISTS, which may be what lets the key expire: only what is told after it counts."""
        return self.connection.call("EXISTS", large.KEY) == 0 and \
            self.connection.info("memory")["lazyfree_pending_objects"] == "0"

    def empty(self) -> None:
        if self.connection.call("DBSIZE"):
            self.flush()

    def fill(self) -> int | None:
        args = self.args
        fill(self.server.port, args.keys, args.value, pipeline=args.pipeline, clients=args.clients)
        self.expect(args.keys)
        return None

    def full(self) -> None:
        if self.connection.call("DBSIZE") != self.args.keys:
            self.empty()
            self.fill()

    def flush(self) -> int | None:
        sent_s = time.monotonic()
        self.connection.call("FLUSHALL")
        took_us = round((time.monotonic() - sent_s) * 1e6)
        return max(took_us, wait(self.connection, lambda info: info["lazyfree_pending_objects"] == "0", "memory"))

    def volatile(self) -> None:
        """Write the keys, and wait until just before they are due."""
        args = self.args
        self.empty()
        due_s = time.time() + DUE_AFTER_S + args.due / DUE_PER_S
        fill(self.server.port, args.due, args.value, pipeline=args.pipeline, clients=args.clients,
             expire_at_ms=int(due_s * 1000))
        if time.time() > due_s - 0.5:
            raise BenchError("the keys were due before all of them were written: this machine is too slow or too busy")
        self.expect(args.due)
        time.sleep(max(0.0, due_s - 0.2 - time.time()))

    def expire(self) -> int | None:
        slowest_us = wait(self.connection, lambda info: int(info["expired_keys"]) >= self.args.due, "stats")
        self.expect(0)
        return slowest_us

    def expect(self, keys: int) -> None:
        held = self.connection.call("DBSIZE")
        if held != keys:
            raise BenchError(f"the engine holds {held} keys, not {keys}")


def judge(pause: Pause, pipeline: int) -> str:
    """A table's cell: the goal, and whether it is met by the wall clock, or else by the CPU's."""
    wall_us, cpu_us = pause.worst()
    keys = goals.ELEMENTS if ":" in pause.name else goals.DUE_KEYS if pause.name == "expire" else goals.FILLED_KEYS
    judged = (pipeline >= goals.PIPELINE or ":" in pause.name) and pause.keys >= keys
    text = goals.verdict(wall_us / 1000, goals.PAUSE_US / 1000, 0, judged)
    return f"{text} (CPU time: met)" if judged and wall_us > goals.PAUSE_US >= cpu_us else text


def table(pauses: list[Pause], pipeline: int) -> str:
    """All situations, times in milliseconds."""
    def ms(us: int | None) -> str:
        return number(None if us is None else us / 1000, 2)

    texts = {"fill": "{} keys are written", "flush": "FLUSHALL of {} keys", "expire": "{} keys fall due at once"}
    rows = [[(texts.get(pause.name) or large.texts(pause.name)).format(number(pause.keys)),
             *(ms(pause.figures[name]) for name in FIELDS),
             judge(pause, pipeline), ms(pause.ping_us), f"{pause.seconds:.1f}"] for pause in pauses]
    return report.markdown(["situation", "longest batch, ms", "CPU, ms", "longest own step, ms", "CPU, ms", "goal",
                            "slowest PING, ms", "took, s"], rows, right=(1, 2, 3, 4, 6, 7))


def run(args: argparse.Namespace) -> str:
    """One invocation; returns the text to print. Raises BenchError or OSError."""
    unknown = [name for name in args.situations if name not in SITUATIONS]
    if unknown or not args.situations:
        raise BenchError(f"--situations: '{','.join(unknown)}'; known: {', '.join(SITUATIONS)}")
    server_cores, loader_cores = pinned(args)
    facts = machine.facts()
    with Server(with_options(servers.engine(), args.engine_options), server_cores) as server:
        if loader_cores is not None:
            machine.pin(loader_cores)      # the keys and the PINGs come from this process
        with contextlib.closing(server.connect()) as connection:
            one = Run(args, server, connection)
            found = [one.measure(name) for name in args.situations]
    report.save_json(args.json, {"machine": facts, "pipeline": args.pipeline, "clients": args.clients,
                                 "value_bytes": args.value, "pauses": [as_json(pause) for pause in found]})
    return (f"{machine.described(facts)}; {args.clients} clients, pipeline {args.pipeline}, values of {args.value} "
            f"bytes. Times are the engine's own.\n\n{table(found, args.pipeline)}")


def as_json(pause: Pause) -> dict[str, Any]:
    return {"situation": pause.name, "keys": pause.keys, "seconds": pause.seconds, **pause.figures,
            "ping_us": pause.ping_us}
