"""collections: CPU time per command on hashes, sets, lists and sorted sets, and what their elements take in memory.

Two shapes hold a million elements each: MANY keys of 100 elements, which are packed in one block each, and ONE key with
all of them, in a table. A case is one command on one of them; the servers take turns with it, as in cost. What eats its
data (RPOP, SPOP), or adds to it (LPUSH), finds it whole again in each round.

Memory is the growth of a fresh server's proportional set size over a data set, per element.

Owns: the cases and the data. Does not own the load (shots), nor how CPU time is counted (accounting).
"""
import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench import accounting, goals, machine, report, servers
from bench.cost import SETTLE_S, pinned, pinning, positive, say, with_options, words
from bench.report import number
from bench.servers import BenchError, Server, Spec
from bench.shots import Shot, shoot
from shardd.wire.plain import encode_command

MANY_KEYS, EACH, TOTAL = 10_000, 100, 1_000_000
"""MANY_KEYS keys of EACH elements, or one key of TOTAL."""
PIPELINE, CLIENTS, VALUE_BYTES = 16, 50, 32
REQUESTS, REQUESTS_LONG = 500_000, 100_000
"""Commands of a round; LONG: with replies of a hundred elements."""
FREED_S = 30.0
AT_ONCE = 64
"""Commands of a fill that are sent before their replies are read."""

Commands = Iterator[tuple[object, ...]]


def member(i: int) -> str:
    """16 bytes, as `mem:__rand_int__` has them."""
    return f"mem:{i:012d}"


# --- data ---------------------------------------------------------------------------------------------------------

def filled(command: str, keys: list[str], each: int, words_of: Callable[[int], tuple[object, ...]]) -> Commands:
    """Every key with `each` elements, a hundred at a time."""
    for key in keys:
        for start in range(0, each, 100):
            yield command, key, *(word for i in range(start, min(start + 100, each)) for word in words_of(i))


VALUE = "x" * VALUE_BYTES
_WORDS: dict[str, tuple[str, Callable[[int], tuple[object, ...]]]] = {
    "h": ("HSET", lambda i: (member(i), VALUE)),
    "s": ("SADD", lambda i: (member(i),)),
    "l": ("RPUSH", lambda i: (VALUE,)),
    "z": ("ZADD", lambda i: (i, member(i))),
}


def data(name: str) -> Commands:
    """What fills the data set: "h many", "z one", "g" (hashes of 50), "c" (counters)."""
    if name == "c":
        return _counters()
    if name == "g":
        return filled("HSET", [f"g:{i:012d}" for i in range(TOTAL // 50)], 50, _WORDS["h"][1])
    kind, shape = name.split()
    command, words_of = _WORDS[kind]
    if shape == "one":
        return filled(command, [kind], TOTAL, words_of)
    return filled(command, [f"{kind}:{i:012d}" for i in range(MANY_KEYS)], EACH, words_of)


def _counters() -> Commands:
    for start in range(0, TOTAL, 100):
        yield "MSET", *(word for i in range(start, start + 100) for word in (f"c:{i:012d}", i))


def fill(server: Server, commands: Commands) -> None:
    """Send them, and see that none fails. Raises BenchError."""
    with contextlib.closing(server.connect()) as connection:
        sent: list[bytes] = []
        for command in commands:
            sent.append(encode_command(*command))
            if len(sent) == AT_ONCE:
                connection.sock.sendall(b"".join(sent))
                _confirm(connection, len(sent))
                sent.clear()
        connection.sock.sendall(b"".join(sent))
        _confirm(connection, len(sent))


def _confirm(connection: servers.Connection, count: int) -> None:
    """Replies of one line each, none of them an error."""
    while count > 0:
        got = connection.sock.recv(65536)
        if not got or b"-" in got:
            raise BenchError(f"the server refused data: {got[:200].decode('utf-8', 'replace')}")
        count -= got.count(b"\r\n")


# --- cases --------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Case:
    """One command on one data set. keys: how far random numbers go. changes: it eats or adds; finds: a null reply is a
    failure."""

    name: str
    shape: str
    data: str
    commands: tuple[str, ...]
    keys: int
    requests: int = REQUESTS
    changes: bool = False
    finds: bool = False

    def shot(self) -> Shot:
        return Shot(self.name, PIPELINE, CLIENTS, self.keys, VALUE_BYTES, requests=self.requests,
                    commands=self.commands)


def element(name: str, kind: str, text: str, **more: Any) -> list[Case]:
    """A command on an element, in both shapes: {k} is the key, {m} an element."""
    many = tuple(text.format(k=f"{kind}:__rand_1st__", m=member(i)) for i in range(EACH))
    one = text.format(k=kind, m="mem:__rand_3rd__")
    return [Case(name, "many", f"{kind} many", many, MANY_KEYS, **more),
            Case(name, "one", f"{kind} one", (one,), TOTAL, **more)]


def whole(name: str, kind: str, text: str, **more: Any) -> list[Case]:
    """A command that names no element."""
    return [Case(name, "many", f"{kind} many", (text.format(k=f"{kind}:__rand_1st__"),), MANY_KEYS, **more),
            Case(name, "one", f"{kind} one", (text.format(k=kind),), TOTAL, **more)]


def window(name: str, kind: str, command: str, step: int) -> list[Case]:
    """A hundred elements by rank: all of a small one, a hundred windows of the large one."""
    one = tuple(f"{command} {kind} {i * step} {i * step + 99}" for i in range(100))
    return [Case(name, "many", f"{kind} many", (f"{command} {kind}:__rand_1st__ 0 99",), MANY_KEYS, REQUESTS_LONG),
            Case(name, "one", f"{kind} one", one, TOTAL, REQUESTS_LONG)]


CASES: tuple[Case, ...] = (
    *element("hset", "h", "HSET {k} {m} __data__"),
    *element("hget", "h", "HGET {k} {m}", finds=True),
    *element("sadd", "s", "SADD {k} {m}"),
    *element("sismember", "s", "SISMEMBER {k} {m}"),
    *whole("lpush", "l", "LPUSH {k} __data__", changes=True),
    *whole("rpop", "l", "RPOP {k}", changes=True),
    *element("zadd", "z", "ZADD {k} __rand_2nd__ {m}"),
    *element("zincrby", "z", "ZINCRBY {k} 1 {m}"),
    *element("zscore", "z", "ZSCORE {k} {m}", finds=True),
    *element("zrank", "z", "ZRANK {k} {m}", finds=True),
    *window("zrange_rank", "z", "ZRANGE", 9_999),
    Case("zrange_score", "many", "z many", ("ZRANGE z:__rand_1st__ 0 +inf BYSCORE LIMIT 0 100",), MANY_KEYS,
         REQUESTS_LONG),
    Case("zrange_score", "one", "z one", ("ZRANGE z __rand_1st__ +inf BYSCORE LIMIT 0 100",), TOTAL, REQUESTS_LONG),
    Case("hgetall_50", "many", "g", ("HGETALL g:__rand_1st__",), TOTAL // 50, REQUESTS_LONG),
    *window("lrange", "l", "LRANGE", 99),
    *whole("spop", "s", "SPOP {k}", changes=True),
    Case("incr", "many", "c", ("INCR c:__rand_1st__",), TOTAL),
)


# --- memory -------------------------------------------------------------------------------------------------------

MEMORY: dict[str, tuple[int, Callable[[], Commands]]] = {
    "hash of 20 fields x 20 bytes": (20 * 50_000, lambda: filled(
        "HSET", [f"h:{i:012d}" for i in range(50_000)], 20, lambda i: (f"field:{i:02d}", "x" * 20))),
    "hash of 1,000,000 fields": (TOTAL, lambda: filled("HSET", ["h"], TOTAL, lambda i: (member(i), "x" * 20))),
    "set of 1,000,000 members of 16 bytes": (TOTAL, lambda: data("s one")),
    "intset of 500": (500 * 30_000, lambda: filled(
        "SADD", [f"i:{i:012d}" for i in range(30_000)], 500, lambda i: (i * 1_000,))),
    "sorted set of 1,000,000": (TOTAL, lambda: data("z one")),
    "list of 1,000,000 items of 32 bytes": (TOTAL, lambda: data("l one")),
}
"""What is measured -> how many elements, and what fills them."""


def options(parser: argparse.ArgumentParser) -> None:
    """What `python -m bench collections` takes."""
    parser.add_argument("--peer", metavar="NAME=COMMAND", help="the other server, with {port} and {dir} in its command "
                                                               "line (redis-server on PATH)")
    parser.add_argument("--cases", type=words, default="", metavar="LIST",
                        help=f"some of {','.join(dict.fromkeys(case.name for case in CASES))} (all)")
    parser.add_argument("--shapes", type=words, default="many,one", metavar="LIST", help="many, one (both)")
    parser.add_argument("--rounds", type=positive, default=3, help="turns of each server; medians are shown (3)")
    parser.add_argument("--engine-options", metavar="WORDS", default="", help="more options for shardd-engine")
    parser.add_argument("--no-memory", action="store_true", help="CPU time only")
    parser.add_argument("--no-cpu", action="store_true", help="memory only")
    pinning(parser)


def measure_memory(spec: Spec, cores: set[int] | None) -> dict[str, float]:
    """Bytes per element of each data set, each in a fresh server."""
    found = {}
    for name, (elements, commands) in MEMORY.items():
        with Server(spec, cores) as server:
            before = accounting.pss_bytes(server.pid)
            fill(server, commands())
            time.sleep(SETTLE_S)
            found[name] = (accounting.pss_bytes(server.pid) - before) / elements
        say(f"{name}: {spec.name} {found[name]:.2f} bytes per element")
    return found


def renew(server: Server, name: str) -> None:
    """The data set, and nothing else. Raises BenchError."""
    with contextlib.closing(server.connect()) as connection:
        connection.call("FLUSHALL")
        deadline = time.monotonic() + FREED_S
        while int(connection.info("memory").get("lazyfree_pending_objects", 0)):
            if time.monotonic() > deadline:
                raise BenchError(f"{server.name} still frees memory after {FREED_S:.0f} s")
            time.sleep(0.05)
    fill(server, data(name))


def one_round(server: Server, case: Case, cores: set[int] | None) -> dict[str, float | None]:
    """CPU time per command (us), and commands per second."""
    before = accounting.cpu(server.pid)
    run = shoot(server.port, case.shot(), cores)
    used = accounting.cpu(server.pid) - before
    if case.finds and run["nulls"]:
        raise BenchError(f"{case.name}: {run['nulls']} of {run['commands']} found nothing")
    return used.per_command(case.requests) | {"rps": run["commands_per_second"]}


def measure_case(running: list[Server], case: Case, rounds: int, cores: set[int] | None) -> dict[str, Any]:
    """Name and shape of the case, and per server its medians and rounds."""
    results: dict[str, list[dict[str, float | None]]] = {server.name: [] for server in running}
    for turn in range(rounds):
        for server in running:
            if case.changes or turn == 0:
                renew(server, case.data)
            results[server.name].append(one_round(server, case, cores))
    found: dict[str, Any] = {"case": case.name, "shape": case.shape}
    for name, each in results.items():
        found[name] = report.medians(each) | {"rounds": each}
    say(f"{case.name}, {case.shape}: " + ", ".join(f"{name} {found[name]['total_us']:.3f} us" for name in results))
    return found


def cpu_table(results: list[dict[str, Any]], ours: str, peer: str | None, judged: bool) -> str:
    """A row per case and server with ratios, and below it their median and the largest."""
    rows, ratios = [], []
    for row in results:
        for name in filter(None, [peer, ours]):
            one = row[name]
            value = one["total_us"] / row[peer]["total_us"] if peer and name == ours else None
            if value is not None:
                ratios.append(value)
            spread = report.spread_percent([each["total_us"] for each in one["rounds"]])
            rows.append([row["case"].upper(), row["shape"], name, f"{one['total_us']:.3f}",
                         None if value is None else f"{value:.2f}",
                         goals.verdict(value, None if value is None else goals.COLLECTION_RATIO_MAX, judged=judged),
                         number(one["rps"]), f"{spread:.0f}%"])
    text = report.markdown(["command", "shape", "server", "CPU, us", "ratio", "goal", "commands/s", "spread"], rows,
                           right=(3, 4, 6, 7))
    if ratios:
        middle = statistics.median(ratios)
        text += (f"\n\nMedian of the ratios: {middle:.2f} "
                 f"({goals.verdict(middle, goals.COLLECTION_RATIO, judged=judged)}); largest: {max(ratios):.2f}.")
    return text


def memory_table(found: dict[str, dict[str, float]], ours: str, peer: str | None, judged: bool) -> str:
    """Bytes per element and their ratios."""
    rows, ratios = [], []
    for name in MEMORY:
        value = found[ours][name] / found[peer][name] if peer else None
        if value is not None:
            ratios.append(value)
        rows.append([name, *(f"{found[one][name]:.2f}" for one in filter(None, [peer, ours])),
                     None if value is None else f"{value:.2f}",
                     goals.verdict(value, None if value is None else 1.0, judged=judged)])
    text = report.markdown(["bytes per element", *filter(None, [peer, ours]), "ratio", "goal"], rows, right=(1, 2, 3))
    if ratios:
        few = sum(value <= goals.COLLECTION_BYTES_RATIO for value in ratios)
        text += f"\n\n{few} of {len(ratios)} at most {goals.COLLECTION_BYTES_RATIO} (half of them is the goal)."
    return text


def run(args: argparse.Namespace) -> str:
    """One invocation; returns the text to print. Raises BenchError or OSError."""
    ours = with_options(servers.engine(), args.engine_options)
    try:
        peer = Spec.parse(args.peer) if args.peer else servers.redis()
    except ValueError as error:
        raise BenchError(f"--peer: {error}") from None
    cases = [case for case in CASES if case.shape in args.shapes and (not args.cases or case.name in args.cases)]
    unknown = set(args.cases) - {case.name for case in CASES} | set(args.shapes) - {"many", "one"}
    if unknown:
        raise BenchError(f"there is no {', '.join(sorted(unknown))}")
    server_cores, loader_cores = pinned(args)
    specs = [spec for spec in (peer, ours) if spec]
    facts, cpu = machine.facts(), []
    memory = {} if args.no_memory else {spec.name: measure_memory(spec, server_cores) for spec in specs}
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(Server(spec, server_cores)) for spec in specs]
        told = {}
        for server in running:
            with contextlib.closing(server.connect()) as connection:
                told[server.name] = servers.version(connection.info("server"))
        if not args.no_cpu:
            cpu = [measure_case(running, case, args.rounds, loader_cores) for case in cases]
    peer_name = peer.name if peer else None
    judged = peer is not None and goals.is_peer(told[peer.name])
    report.save_json(args.json, {"machine": facts, "versions": told, "cpu": cpu, "memory": memory})
    head = (f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}; pipeline {PIPELINE}, {CLIENTS} "
            f"clients, {TOTAL:,} elements: many is {MANY_KEYS:,} keys of {EACH}, one is one key; medians of "
            f"{args.rounds} rounds in turns; {', '.join(f'{name} is {version}' for name, version in told.items())}.")
    return "\n\n".join(filter(None, [
        head, cpu_table(cpu, ours.name, peer_name, judged) if cpu else "",
        memory_table(memory, ours.name, peer_name, judged) if memory else ""]))
