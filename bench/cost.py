"""cost: CPU time per command, and memory per key, of shardd and of other servers in one run.

Owns: the order of things (who is measured when), and the table. The method is described in bench/__init__.py.

Memory first, each server by itself: growth of the tree's proportional set size over `keys` keys, without and then with
a TTL, in processes that are fresh each time. Then all servers are up at once, filled, and for each command and pipeline
the load goes to them in turns; who has no turn has nothing to do and takes no time.
"""
import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import accounting, goals, loader, machine, report, servers
from bench.fill import KEY_BYTES, fill
from bench.loader import Load
from bench.report import number
from bench.servers import BenchError, Server, Spec

SETTLE_S = 0.5
"""After a fill, until freed buffers are back and the cron has been by."""

TTL_MS = 7 * 24 * 3_600_000
"""Far enough away that nothing falls due in a run."""

REQUESTS_ALONE, REQUESTS_PIPELINED = 200_000, 2_000_000
"""Commands of one round: more than half a second of the server's time either way."""


@dataclass
class Plan:
    """What is measured. peers: the first is what ratios are of. ours: the engine, the tree, or both, in this order."""

    ours: list[Spec]
    peers: list[Spec]
    loader: list[str]
    tests: list[str]
    pipelines: list[int]
    keys: int
    value_bytes: int
    clients: int
    rounds: int
    requests: int | None        # of one round; None: by the pipeline
    server_cores: set[int] | None
    loader_cores: set[int] | None
    memory: bool

    @property
    def specs(self) -> list[Spec]:
        """Every server, in the order of the tables and of the turns."""
        return [*self.peers, *self.ours]

    @property
    def has_size_of_goals(self) -> bool:
        return (self.keys, self.value_bytes, self.clients) == (goals.KEYS, goals.VALUE_BYTES, goals.CLIENTS)

    def load(self, test: str, pipeline: int) -> Load:
        """One round."""
        requests = self.requests or (REQUESTS_ALONE if pipeline == 1 else REQUESTS_PIPELINED)
        return Load(test, pipeline, self.clients, requests, self.keys, self.value_bytes)


def options(parser: argparse.ArgumentParser) -> None:
    """What `python -m bench cost` takes."""
    parser.add_argument("--peer", action="append", metavar="NAME=COMMAND", default=None,
                        help="another server, with {port} and {dir} in its command line; ratios are to the first "
                             "(redis-server on PATH)")
    parser.add_argument("--no-peer", action="store_true", help="shardd alone")
    parser.add_argument("--tree", action="store_true", help="also the whole of shardd, through its proxy's port")
    parser.add_argument("--no-engine", action="store_true", help="not the single engine (with --tree)")
    parser.add_argument("--engine-options", metavar="WORDS", default="", help="more options for shardd-engine")
    parser.add_argument("--tree-options", metavar="WORDS", default="", help="more options for shardd")
    parser.add_argument("--loader", metavar="COMMAND",
                        help="the load generator (valkey-benchmark or redis-benchmark on PATH)")
    parser.add_argument("--tests", type=words, default="get,set", metavar="LIST",
                        help="as the load generator calls them (get,set)")
    parser.add_argument("--pipeline", type=numbers, default="1,16,64", metavar="LIST",
                        help="commands sent at once (1,16,64)")
    parser.add_argument("--keys", type=positive, default=goals.KEYS, help="keys in each server (1000000)")
    parser.add_argument("--value", type=positive, default=goals.VALUE_BYTES, help="bytes of a value (32)")
    parser.add_argument("--clients", type=positive, default=goals.CLIENTS, help="connections (50)")
    parser.add_argument("--rounds", type=positive, default=5, help="turns of each server; medians are shown (5)")
    parser.add_argument("--requests", type=positive,
                        help=f"commands of a round ({REQUESTS_ALONE} at pipeline 1, else {REQUESTS_PIPELINED})")
    parser.add_argument("--no-memory", action="store_true", help="CPU time only")
    pinning(parser)


def pinning(parser: argparse.ArgumentParser) -> None:
    """What both commands take."""
    parser.add_argument("--server-cores", type=cores, default="0", metavar="LIST", help="where servers run (0)")
    parser.add_argument("--loader-cores", type=cores, default="1", metavar="LIST", help="where the load comes from (1)")
    parser.add_argument("--no-pin", action="store_true", help="anywhere, both")
    parser.add_argument("--json", metavar="FILE", help="also write everything, round by round")


def words(text: str) -> list[str]:
    """get,set; for argparse."""
    return [word.strip().lower() for word in text.split(",") if word.strip()]


def positive(text: str) -> int:
    """A number above 0, with _ or , as people write it; for argparse."""
    value = int(text.replace(",", "").replace("_", ""))
    if value <= 0:
        raise ValueError
    return value


def numbers(text: str) -> list[int]:
    """1,16,64; for argparse."""
    return [positive(word) for word in text.split(",")]


def cores(text: str) -> set[int]:
    """0,2-3; for argparse."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def pinned(args: argparse.Namespace) -> tuple[set[int] | None, set[int] | None]:
    """The cores of the servers and of the load. Raises BenchError where this machine does not have them."""
    if args.no_pin:
        return None, None
    missing = (args.server_cores | args.loader_cores) - set(machine.cores())
    if missing:
        raise BenchError(f"this process may not use core {', '.join(map(str, sorted(missing)))}: "
                         "see --server-cores, --loader-cores and --no-pin")
    return args.server_cores, args.loader_cores


def plan(args: argparse.Namespace) -> Plan:
    """From the command line. Raises BenchError."""
    ours = [] if args.no_engine else [with_options(servers.engine(), args.engine_options)]
    if args.tree:
        ours.append(with_options(servers.whole_tree(), args.tree_options))
    if args.no_peer:
        peers = []
    elif args.peer is not None:
        try:
            peers = [Spec.parse(text) for text in args.peer]
        except ValueError as error:
            raise BenchError(f"--peer: {error}") from None
    else:
        peers = [spec for spec in [servers.redis()] if spec]
    names = [spec.name for spec in [*peers, *ours]]
    if not names:
        raise BenchError("nothing to measure: --no-engine without --tree, and no peer")
    if len(set(names)) < len(names):
        raise BenchError(f"two servers of one name: {', '.join(names)}")
    server_cores, loader_cores = pinned(args)
    return Plan(ours, peers, loader.find(args.loader), args.tests, args.pipeline, args.keys, args.value, args.clients,
                args.rounds, args.requests, server_cores, loader_cores, not args.no_memory)


def with_options(spec: Spec, more: str) -> Spec:
    """The same server with more words in its command line."""
    return Spec(spec.name, f"{spec.command} {more}".rstrip())


# --- measuring ----------------------------------------------------------------------------------------------------

def say(text: str) -> None:
    """Progress, which is no part of the result."""
    print(text, file=sys.stderr, flush=True)


def bytes_per_key(spec: Spec, plan: Plan, expire_at_ms: int | None) -> float:
    """Growth of a fresh server over plan.keys keys."""
    with Server(spec, plan.server_cores) as server:
        before = accounting.pss_bytes(server.pid)
        fill(server.port, plan.keys, plan.value_bytes, expire_at_ms=expire_at_ms)
        time.sleep(SETTLE_S)
        with contextlib.closing(server.connect()) as connection:
            held = connection.call("DBSIZE")
        if held != plan.keys:
            raise BenchError(f"{spec.name} holds {held} of {plan.keys} keys")
        return (accounting.pss_bytes(server.pid) - before) / plan.keys


def measure_memory(plan: Plan) -> list[dict[str, Any]]:
    """One dict per server: bytes_per_key, bytes_per_key_ttl."""
    found = []
    for spec in plan.specs:
        plain = bytes_per_key(spec, plan, None)
        volatile = bytes_per_key(spec, plan, int(time.time() * 1000) + TTL_MS)
        say(f"{spec.name}: {plain:.1f} bytes per key, {volatile:.1f} with a TTL")
        found.append({"server": spec.name, "bytes_per_key": plain, "bytes_per_key_ttl": volatile})
    return found


def one_round(server: Server, load: Load, plan: Plan) -> dict[str, float | None]:
    """One load on one server: CPU time per command (us), and what the load generator saw."""
    with contextlib.closing(server.connect()) as connection:
        before_info = connection.info()
        before = accounting.cpu(server.pid)
        row = loader.run(plan.loader, server.port, load, plan.loader_cores)
        used = accounting.cpu(server.pid) - before
        loader.check(load, before_info, connection.info())
    return used.per_command(load.requests) | {"rps": row.rps, "p50_ms": row.p50_ms, "p99_ms": row.p99_ms}


def measure_cpu(plan: Plan) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One dict per server, test and pipeline, with its rounds and their medians; and the servers' versions."""
    found = []
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(Server(spec, plan.server_cores)) for spec in plan.specs]
        versions = {}
        for server in running:
            with contextlib.closing(server.connect()) as connection:
                versions[server.name] = servers.version(connection.info("server"))
            fill(server.port, plan.keys, plan.value_bytes)
        time.sleep(SETTLE_S)
        for pipeline in plan.pipelines:
            for test in plan.tests:
                load = plan.load(test, pipeline)
                rounds: dict[str, list[dict[str, float | None]]] = {server.name: [] for server in running}
                for _ in range(plan.rounds):
                    for server in running:
                        rounds[server.name].append(one_round(server, load, plan))
                for name, each in rounds.items():
                    found.append({"server": name, "test": test, "pipeline": pipeline, **report.medians(each),
                                  "rounds": each})
                    say(f"{test} pipeline {pipeline}: {name} {found[-1]['total_us']:.3f} us")
    return found, versions


def ratio(results: Sequence[dict[str, Any]], row: dict[str, Any], of: str | None) -> float | None:
    """CPU of a row over that of the server named `of` in the same test and pipeline."""
    for other in results:
        if (other["server"], other["test"], other["pipeline"]) == (of, row["test"], row["pipeline"]):
            return row["total_us"] / other["total_us"] if other["total_us"] else None
    return None


# --- telling ------------------------------------------------------------------------------------------------------

def cpu_table(plan: Plan, results: Sequence[dict[str, Any]], versions: dict[str, str]) -> str:
    """CPU time per command, with ratios and goals."""
    peer = plan.peers[0].name if plan.peers else None
    engine, tree = servers.engine().name, servers.whole_tree().name
    judged = peer is not None and goals.is_peer(versions.get(peer, "")) and plan.has_size_of_goals
    rows = []
    for row in results:
        of, goal, is_judged = peer, None, judged
        if row["server"] == engine:
            goal = goals.ENGINE_RATIO.get((row["test"], row["pipeline"]))
        elif row["server"] == tree and ratio(results, row, engine) is not None:
            of, goal, is_judged = engine, goals.TREE_RATIO.get(row["pipeline"]), plan.has_size_of_goals
        value = None if of == row["server"] else ratio(results, row, of)
        shares = None if row["user_us"] is None else f"{row['user_us']:.2f} + {row['system_us']:.2f}"
        spread = report.spread_percent([one["total_us"] for one in row["rounds"]])
        rows.append([f"{row['test'].upper()}, pipeline {row['pipeline']}", row["server"], f"{row['total_us']:.3f}",
                     shares, None if value is None else f"{value:.2f} x {of}",
                     goals.verdict(value, goal, judged=is_judged),
                     number(row["rps"]), number(row["p50_ms"], 2), number(row["p99_ms"], 2), f"{spread:.0f}%"])
    return report.markdown(["command", "server", "CPU, us", "user + system", "ratio", "goal", "commands/s", "p50, ms",
                            "p99, ms", "spread"], rows, right=(2, 3, 4, 6, 7, 8, 9))


def memory_table(plan: Plan, results: Sequence[dict[str, Any]]) -> str:
    """Bytes per key without and with a TTL."""
    rows = []
    for row in results:
        more = row["bytes_per_key_ttl"] - row["bytes_per_key"]
        is_engine = row["server"] == servers.engine().name
        bytes_goal, ttl_goal = (goals.BYTES_PER_KEY, goals.TTL_BYTES) if is_engine else (None, None)
        rows.append([row["server"], f"{row['bytes_per_key']:.1f}",
                     goals.verdict(row["bytes_per_key"], bytes_goal, 0, plan.has_size_of_goals),
                     f"{more:+.1f}", goals.verdict(more, ttl_goal, 0, plan.has_size_of_goals)])
    return report.markdown(["server", "bytes per key", "goal", "with a TTL", "goal"], rows, right=(1, 3))


def where(plan: Plan, facts: dict[str, Any], versions: dict[str, str]) -> str:
    """The sentence above the tables."""
    pin = "not pinned"
    if plan.server_cores is not None and plan.loader_cores is not None:
        pin = (f"servers on core {','.join(map(str, sorted(plan.server_cores)))}, "
               f"load on core {','.join(map(str, sorted(plan.loader_cores)))}")
    peers = ", ".join(f"{spec.name} is {versions[spec.name]}" for spec in plan.peers if spec.name in versions)
    return (f"{machine.described(facts)}; {pin}. {number(plan.keys)} keys of {KEY_BYTES} bytes, values of "
            f"{plan.value_bytes} bytes, {plan.clients} clients; CPU is user + system of the server's processes per "
            f"command, the median of {plan.rounds} rounds in turns{'; ' + peers if peers else ''}.")


def run(args: argparse.Namespace) -> str:
    """One invocation; returns the text to print. Raises BenchError or OSError."""
    the_plan = plan(args)
    facts = machine.facts()
    memory = measure_memory(the_plan) if the_plan.memory else []
    cpu, versions = measure_cpu(the_plan) if the_plan.tests and the_plan.pipelines else ([], {})
    peer = the_plan.peers[0].name if the_plan.peers else None
    report.save_json(args.json, {"machine": facts, "versions": versions, "keys": the_plan.keys,
                                 "value_bytes": the_plan.value_bytes, "clients": the_plan.clients, "memory": memory,
                                 "cpu": [row | {"ratio": ratio(cpu, row, peer)} for row in cpu]})
    tables = [where(the_plan, facts, versions), cpu_table(the_plan, cpu, versions) if cpu else "",
              memory_table(the_plan, memory) if memory else ""]
    return "\n\n".join(filter(None, tables))
