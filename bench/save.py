"""save: how fast a server writes its keys to dump.rdb (SAVE), and how fast it has them again when it starts.

    save    SAVE, `rounds` times; the servers take turns. What counts is the fastest: the disk is shared with others
    load    a start with that file, from exec to the first answer, less a start without one

With values that are all the same byte, rdbcompression makes them five bytes; with `--values random`, it tries, and
leaves them as they are.

Owns: the order of things, and the table. Does not own how keys are written (fill), nor how CPU time is counted
(accounting). A server's file is its own: each loads what it has written.
"""
import argparse
import contextlib
import os
import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from bench import accounting, goals, machine, report, servers
from bench.cost import pinned, pinning, positive, say, with_options
from bench.fill import fill, template
from bench.report import number
from bench.servers import BenchError, Server, Spec

VALUES = 64
"""Different values of a run with random ones: a compressor sees one at a time."""


@dataclass
class Figures:
    """What was measured of one server. Seconds, the rounds in order; bytes of its file."""

    name: str
    save_s: list[float] = field(default_factory=list)
    save_cpu_s: list[float] = field(default_factory=list)
    load_s: list[float] = field(default_factory=list)
    load_cpu_s: list[float] = field(default_factory=list)
    file_bytes: int = 0


def options(parser: argparse.ArgumentParser) -> None:
    """What `python -m bench save` takes."""
    parser.add_argument("--peer", action="append", metavar="NAME=COMMAND", default=None,
                        help="another server, with {port} and {dir} in its command line; ratios are to the first "
                             "(redis-server on PATH)")
    parser.add_argument("--no-peer", action="store_true", help="shardd alone")
    parser.add_argument("--engine-options", metavar="WORDS", default="", help="more options for shardd-engine")
    parser.add_argument("--keys", type=positive, default=goals.SAVED_KEYS, help="keys that are written (5000000)")
    parser.add_argument("--value", type=positive, default=goals.VALUE_BYTES, help="bytes of a value (32)")
    parser.add_argument("--values", choices=("same", "random"), default="same", help="what they are made of (same)")
    parser.add_argument("--rounds", type=positive, default=3, help="of each (3)")
    parser.add_argument("--no-load", action="store_true", help="only save")
    pinning(parser)


def commands(args: argparse.Namespace) -> list[bytes]:
    """What is written, with a place for the key's number."""
    if args.values == "same":
        return [template(args.value)]
    rng = random.Random(1)
    return [template(args.value, value=rng.randbytes((args.value + 1) // 2).hex()[:args.value].encode())
            for _ in range(VALUES)]


def specs(args: argparse.Namespace) -> list[Spec]:
    """Peers first, then the engine. Raises BenchError."""
    ours = with_options(servers.engine(), args.engine_options)
    if args.no_peer:
        return [ours]
    try:
        peers = [Spec.parse(text) for text in args.peer or ()]
    except ValueError as error:
        raise BenchError(f"--peer: {error}") from None
    peers = peers or [spec for spec in [servers.redis()] if spec is not None]
    if not peers:
        raise BenchError("there is no redis-server on PATH to compare with: see --peer and --no-peer")
    return [*peers, ours]


def in_directory(spec: Spec, directory: str) -> Spec:
    """The same server with a directory that stays, and that is up when it has loaded what is there."""
    return Spec(spec.name, spec.command.replace("{dir}", directory), ("EXISTS", "nothing"))


def save(server: Server, found: Figures, directory: str, keys: int) -> None:
    """One SAVE."""
    with contextlib.closing(server.connect()) as connection:
        held = connection.call("DBSIZE")
        if held != keys:
            raise BenchError(f"{found.name} holds {held} of {keys} keys")
        cpu, start_s = accounting.cpu(server.pid), time.monotonic()
        if connection.call("SAVE") != "OK":
            raise BenchError(f"{found.name} did not save")
        found.save_s.append(time.monotonic() - start_s)
        found.save_cpu_s.append((accounting.cpu(server.pid) - cpu).total_s)
    found.file_bytes = os.path.getsize(os.path.join(directory, "dump.rdb"))


def start(spec: Spec, directory: str, cores: set[int] | None, keys: int) -> tuple[float, float]:
    """One start until it answers: seconds, and of CPU time."""
    start_s = time.monotonic()
    with Server(in_directory(spec, directory), cores) as server:
        seconds, cpu_s = time.monotonic() - start_s, accounting.cpu(server.pid).total_s
        with contextlib.closing(server.connect()) as connection:
            if connection.call("DBSIZE") != keys:
                raise BenchError(f"{spec.name} has not loaded all keys")
    return seconds, cpu_s


def measure(args: argparse.Namespace, root: str) -> list[Figures]:
    """All servers, in the order of the table."""
    server_cores, loader_cores = pinned(args)
    found = {spec: Figures(spec.name) for spec in specs(args)}
    places = {spec: os.path.join(root, str(i)) for i, spec in enumerate(found)}
    for place in places.values():
        os.mkdir(place)
    with contextlib.ExitStack() as up:
        running = {spec: up.enter_context(Server(in_directory(spec, places[spec]), server_cores)) for spec in found}
        if loader_cores is not None:
            machine.pin(loader_cores)
        for spec, server in running.items():
            say(f"{spec.name}: {args.keys:,} keys")
            fill(server.port, args.keys, args.value, commands=commands(args))
        for turn in range(args.rounds):
            say(f"save {turn + 1} of {args.rounds}")
            for spec, server in running.items():
                save(server, found[spec], places[spec], args.keys)
        # a server that saved on its way out would have changed the file under those that load it
        sizes = {spec: found[spec].file_bytes for spec in found}
    for turn in range(0 if args.no_load else args.rounds):
        say(f"load {turn + 1} of {args.rounds}")
        for spec, place in places.items():
            if os.path.getsize(os.path.join(place, "dump.rdb")) != sizes[spec]:
                raise BenchError(f"{spec.name} changed its file when it was stopped")
            empty = os.path.join(root, "empty")
            os.mkdir(empty)
            none_s, none_cpu_s = start(spec, empty, server_cores, 0)
            shutil.rmtree(empty)
            all_s, all_cpu_s = start(spec, place, server_cores, args.keys)
            found[spec].load_s.append(all_s - none_s)
            found[spec].load_cpu_s.append(all_cpu_s - none_cpu_s)
    return list(found.values())


def judged(ours: list[float], peers: list[float], args: argparse.Namespace) -> str:
    """The time over the peer's, with the goal and whether it is met."""
    ratio = min(ours) / min(peers)
    is_size_of_goal = args.keys >= goals.SAVED_KEYS and args.value == goals.VALUE_BYTES
    return f"{ratio:.2f} ({goals.verdict(ratio, 1 / goals.SAVE_SPEED, 2, is_size_of_goal)})"


def table(found: list[Figures], args: argparse.Namespace) -> str:
    """The fastest of all rounds."""
    def cells(all_s: list[float], cpu_s: list[float], peers_s: list[float], is_peer: bool) -> list[str | None]:
        if not all_s:
            return [None] * 4
        fastest = min(all_s)
        return [number(fastest, 2), number(min(cpu_s), 2), number(args.keys / fastest / 1e6, 2),
                None if is_peer else judged(all_s, peers_s, args)]

    first = found[0]
    rows = [[one.name, number(one.file_bytes / 1e6), *cells(one.save_s, one.save_cpu_s, first.save_s, one is first),
             *cells(one.load_s, one.load_cpu_s, first.load_s, one is first)] for one in found]
    return report.markdown(["server", "file, MB", "SAVE, s", "CPU, s", "million keys/s", "time, of the first's",
                            "load, s", "CPU, s", "million keys/s", "time, of the first's"], rows,
                           right=(1, 2, 3, 4, 6, 7, 8))


def run(args: argparse.Namespace) -> str:
    """One invocation; returns the text to print. Raises BenchError or OSError."""
    facts = machine.facts()
    with tempfile.TemporaryDirectory(prefix="shardd-bench-") as root:
        found = measure(args, root)
    report.save_json(args.json, as_json(found, args, facts))
    return (f"{machine.described(facts)}; {number(args.keys)} keys of 16 bytes, values of {args.value} bytes "
            f"({args.values}); the fastest of {args.rounds}.\n\n{table(found, args)}")


def as_json(found: list[Figures], args: argparse.Namespace, facts: dict[str, Any]) -> dict[str, Any]:
    return {"machine": facts, "keys": args.keys, "value_bytes": args.value, "values": args.values,
            "servers": [vars(one) for one in found]}
