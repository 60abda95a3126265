"""compare: all that is measured, of shardd and of others, in one run; writes RESULTS.md with tables and plots.

    proxy      CPU time per command over whole trees: one engine, shardd through its proxy, nutcracker before engines
    latency    at a fixed rate, counted from when each command was due; what the way through a proxy adds
    memory     bytes per key
    idle       bytes of the proxy per idle client            burst     many clients at once
    loader     CPU time of shardd-bench per command, beside another load generator's

Each of these is a command of its own; `compare` is all of them, with the peers beside our engine. Owns: the order of
things. The servers of a part are up at once and take turns; the load comes from shardd-bench on its own core. How
cost is accounted is said in bench/__init__.py, how latencies are in bench/load/__init__.py.
"""
import argparse
import contextlib
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import accounting, connections, cost, goals, loader, machine, page, report, servers
from bench.cost import SETTLE_S, cores, numbers, positive, say, with_options, words
from bench.load import plot
from bench.loader import Load
from bench.plan import Found, Plan
from bench.servers import ROOT, BenchError, Server, Spec
from bench.shots import shoot

PARTS = ("proxy", "latency", "memory", "idle", "burst", "loader")
LOADER_REQUESTS = 4_000_000
"""Commands of a round of `loader`: two seconds, beside which the start of a process does not count."""
FILL_PIPELINE = 64
IDLE_ROOM = 1_000


def options(parser: argparse.ArgumentParser) -> None:
    """What `python -m bench compare` and its parts take."""
    parser.add_argument("--peer", action="append", metavar="NAME=COMMAND", default=None,
                        help="another server, with {port} and {dir} in its command line (redis-server on PATH)")
    parser.add_argument("--peers", metavar="LAUNCHER", help="a program that runs a peer by its name: LAUNCHER NAME "
                                                            "OPTION...")
    parser.add_argument("--names", type=words, default="redis7,redis8,valkey9", metavar="LIST",
                        help="of --peers (redis7,redis8,valkey9)")
    parser.add_argument("--no-peer", action="store_true", help="no peers")
    parser.add_argument("--nutcracker", metavar="PROGRAM", help="the other proxy (nutcracker on PATH)")
    parser.add_argument("--engines", type=positive, default=2, help="engines of the tree and behind nutcracker (2)")
    parser.add_argument("--engine-options", metavar="WORDS", default="", help="more options for shardd-engine")
    parser.add_argument("--tree-options", metavar="WORDS", default="", help="more options for shardd")
    parser.add_argument("--loader", metavar="COMMAND",
                        help="what shardd-bench is compared with (valkey-benchmark or redis-benchmark on PATH)")
    parser.add_argument("--tests", type=words, default="get,set", metavar="LIST", help="as shardd-bench -t (get,set)")
    parser.add_argument("--pipeline", type=numbers, default="1,16", metavar="LIST", help="commands sent at once (1,16)")
    parser.add_argument("--keys", type=positive, default=goals.KEYS, help="keys in each server (1000000)")
    parser.add_argument("--value", type=positive, default=goals.VALUE_BYTES, help="bytes of a value (32)")
    parser.add_argument("--clients", type=positive, default=goals.CLIENTS, help="connections (50)")
    parser.add_argument("--rounds", type=positive, default=5, help="turns of each server; medians are shown (5)")
    parser.add_argument("--requests", type=positive, help="commands of a round (as `cost`)")
    parser.add_argument("--rate", type=positive, default=goals.RATE, help="commands per second of `latency` (20000)")
    parser.add_argument("--seconds", type=positive, default=5, help="of one turn of `latency` (5)")
    parser.add_argument("--idle", type=positive, default=goals.IDLE_CLIENTS, help="idle clients (10000)")
    parser.add_argument("--burst", type=positive, default=goals.BURST_CLIENTS, help="clients at once (2000)")
    parser.add_argument("--server-cores", type=cores, default="0", metavar="LIST", help="where servers run (0)")
    parser.add_argument("--loader-cores", type=cores, default="1", metavar="LIST", help="where the load comes from (1)")
    parser.add_argument("--no-pin", action="store_true", help="anywhere, both")
    parser.add_argument("--json", metavar="FILE", help="also write everything, round by round")


def options_of_all(parser: argparse.ArgumentParser) -> None:
    """compare's own."""
    options(parser)
    parser.add_argument("--parts", type=words, default=",".join(PARTS), metavar="LIST",
                        help=f"some of {','.join(PARTS)} (all)")
    parser.add_argument("--out", metavar="DIR", default=str(ROOT / "bench"),
                        help="where RESULTS.md and its plots go (bench)")


def launched(launcher: str, name: str) -> Spec:
    """A peer that a launcher starts by its name, without persistence."""
    return Spec(name, f"{launcher} {shlex.quote(name)} --port {{port}} --save '' --appendonly no --dir {{dir}}")


def plan(args: argparse.Namespace, parts: list[str]) -> Plan:
    """From the command line. Raises BenchError."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise BenchError(f"--parts: '{','.join(unknown)}'; known: {', '.join(PARTS)}")
    try:
        peers = [Spec.parse(text) for text in args.peer or []]
    except ValueError as error:
        raise BenchError(f"--peer: {error}") from None
    if args.peers:
        peers += [launched(args.peers, name) for name in args.names]
    if not peers and args.peer is None:
        peers = [spec for spec in [servers.redis()] if spec]
    program = args.nutcracker or shutil.which("nutcracker")
    server_cores, loader_cores = cost.pinned(args)
    return Plan(
        parts=parts, peers=[] if args.no_peer else peers,
        engine=with_options(servers.engine(), args.engine_options),
        tree=with_options(servers.whole_tree(), f"--engines {args.engines} {args.tree_options}".rstrip()),
        nutcracker=servers.behind_nutcracker(program, args.engines) if program else None,
        tests=args.tests, pipelines=args.pipeline, keys=args.keys, value_bytes=args.value, clients=args.clients,
        rounds=args.rounds, requests=args.requests, rate=float(args.rate), seconds=float(args.seconds), idle=args.idle,
        burst=args.burst, loader=loader.find(args.loader) if "loader" in parts else None, server_cores=server_cores,
        loader_cores=loader_cores)


# --- measuring ----------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def running(plan: Plan, specs: list[Spec], found: Found) -> Iterator[list[Server]]:
    """All of them up and filled."""
    with contextlib.ExitStack() as stack:
        up = [stack.enter_context(Server(spec, plan.server_cores)) for spec in specs]
        for server in up:
            found.versions[server.name] = version(server)
            shoot(server.port, plan.shot("set", FILL_PIPELINE, requests=plan.keys, sequential=True), plan.loader_cores)
        time.sleep(SETTLE_S)
        yield up


def version(server: Server) -> str:
    """What it says it is; nutcracker is asked on its command line."""
    if server.name == "nutcracker":
        program = shlex.split(server.spec.command)[-1]
        done = subprocess.run([program, "--version"], capture_output=True, text=True)
        return next(iter((done.stdout + done.stderr).split("\n"))).removeprefix("This is ").replace("-", " ", 1)
    with contextlib.closing(server.connect()) as connection:
        return servers.version(connection.info("server"))


def measure_cpu(plan: Plan, found: Found) -> None:
    """CPU time per command, in turns."""
    with running(plan, plan.specs, found) as up:
        for pipeline in plan.pipelines:
            for test in plan.tests:
                requests = plan.requests or (cost.REQUESTS_ALONE if pipeline == 1 else cost.REQUESTS_PIPELINED)
                shot = plan.shot(test, pipeline, requests=requests)
                rounds: dict[str, list[dict[str, float | None]]] = {server.name: [] for server in up}
                for _ in range(plan.rounds):
                    for server in up:
                        before = accounting.cpu(server.pid)
                        run = shoot(server.port, shot, plan.loader_cores)
                        used = accounting.cpu(server.pid) - before
                        rounds[server.name].append(used.per_command(requests) | {
                            "rps": run["commands_per_second"], "p50_ms": run["latency_us"]["p50"] / 1e3,
                            "p99_ms": run["latency_us"]["p99"] / 1e3})
                for name, each in rounds.items():
                    found.cpu.append({"server": name, "test": test, "pipeline": pipeline, **report.medians(each),
                                      "rounds": each})
                    say(f"{test} pipeline {pipeline}: {name} {found.cpu[-1]['total_us']:.3f} us")


def measure_latency(plan: Plan, found: Found) -> None:
    """Latencies at the fixed rate, in turns; `added` is the tree's over the engine's of the same round."""
    shot = plan.shot("get", 1, rate=plan.rate, seconds=plan.seconds)
    with running(plan, plan.specs, found) as up:
        rounds: dict[str, list[dict[str, Any]]] = {server.name: [] for server in up}
        for _ in range(plan.rounds):
            for server in up:
                run = shoot(server.port, shot, plan.loader_cores)
                rounds[server.name].append(run["latency_us"] | {"late": run["late_us"], "spectrum": run["spectrum_us"]})
            engine, tree = rounds[plan.engine.name][-1], rounds[plan.tree.name][-1]
            found.added.append({name: tree[name] - engine[name] for name in goals.ADDED_US})
            say(f"latency: added {found.added[-1]}")
    for name, each in rounds.items():
        middle = sorted(each, key=lambda one: one["p99"])[len(each) // 2]
        found.latency.append({
            "server": name, **{key: statistics.median(one[key] for one in each)
                               for key in ("p50", "p90", "p99", "p99.9", "max")},
            "late_p99": statistics.median(one["late"].get("p99", 0.0) for one in each),
            "spectrum": middle["spectrum"], "rounds": [{key: one[key] for key in one if key != "spectrum"}
                                                       for one in each]})


def measure_memory(plan: Plan, found: Found) -> None:
    """Bytes per key of each server that stores some itself, fresh ones, one after the other."""
    for spec in [*plan.peers, plan.engine, plan.tree]:
        plain = cost.bytes_per_key(spec, plan, None)
        volatile = cost.bytes_per_key(spec, plan, int(time.time() * 1000) + cost.TTL_MS)
        found.memory.append({"server": spec.name, "bytes_per_key": plain, "bytes_per_key_ttl": volatile})
        say(f"{spec.name}: {plain:.1f} bytes per key, {volatile:.1f} with a TTL")


def measure_idle(plan: Plan, found: Found) -> None:
    """Bytes per idle client, each round in a fresh tree."""
    for _ in range(min(plan.rounds, 3)):
        spec = with_options(plan.tree, f"--maxclients {plan.idle + IDLE_ROOM}")
        with Server(spec, plan.server_cores) as server:
            found.idle.append(connections.idle_bytes(server, plan.idle))
        say(f"idle: {found.idle[-1]:.0f} bytes per client")


def measure_burst(plan: Plan, found: Found) -> None:
    """Bursts of clients, all in one tree."""
    spec = with_options(plan.tree, f"--maxclients {plan.burst + IDLE_ROOM}")
    with Server(spec, plan.server_cores) as server:
        for _ in range(plan.rounds):
            one = connections.burst(server, plan.burst)
            found.burst.append({"p50_s": one.share_s(0.5), "p99_s": one.share_s(0.99), "last_s": one.last_s})
            say(f"burst: {one.last_s:.3f} s")
            time.sleep(SETTLE_S)


def measure_loader(plan: Plan, found: Found) -> None:
    """CPU time of the two load generators per command: against one engine, in turns, over TCP and a Unix socket."""
    assert plan.loader is not None
    requests = plan.requests or LOADER_REQUESTS
    spec = with_options(plan.engine, "--unixsocket {dir}/s")
    with running(plan, [spec], found) as (server,):
        for path in (None, os.path.join(server.dir, "s")):
            shot = plan.shot("get", 16, requests=requests, path=path)
            load = Load("get", 16, plan.clients, requests, plan.keys, plan.value_bytes, path)
            rounds: dict[str, list[dict[str, float | None]]] = {"shardd-bench": [], Path(plan.loader[-1]).name: []}
            for _ in range(plan.rounds):
                run = shoot(server.port, shot, plan.loader_cores)
                rounds["shardd-bench"].append({"us": run["cpu_seconds"] / requests * 1e6,
                                               "rps": run["commands_per_second"]})
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                row = loader.run(plan.loader, server.port, load, plan.loader_cores)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                rounds[Path(plan.loader[-1]).name].append({"us": used_s / requests * 1e6, "rps": row.rps})
            for name, each in rounds.items():
                found.loader.append({"loader": name, "over": "TCP" if path is None else "Unix socket",
                                     **report.medians(each), "rounds": each})
                say(f"loader: {name} {found.loader[-1]['us']:.3f} us")


MEASURE = {"proxy": measure_cpu, "latency": measure_latency, "memory": measure_memory, "idle": measure_idle,
           "burst": measure_burst, "loader": measure_loader}


def measured(plan: Plan) -> Found:
    """All parts of a plan. Raises BenchError, OSError."""
    found = Found()
    for part in plan.parts:
        MEASURE[part](plan, found)
    return found


def save_json(path: str | None, facts: dict[str, Any], plan: Plan, found: Found) -> None:
    """Everything, round by round. Raises OSError."""
    report.save_json(path, {"machine": facts, "keys": plan.keys, "value_bytes": plan.value_bytes,
                            "clients": plan.clients, "rate": plan.rate} | vars(found))


def run_part(args: argparse.Namespace, part: str) -> str:
    """One part as a command of its own, without peers but those that were asked for."""
    if args.peer is None and not args.peers:
        args.no_peer = True
    the_plan = plan(args, [part])
    facts = machine.facts()
    found = measured(the_plan)
    save_json(args.json, facts, the_plan, found)
    return "\n\n".join([page.where(the_plan, facts, found), *page.sections(the_plan, found)])


def run(args: argparse.Namespace) -> str:
    """compare; returns the page, which is also written. Raises BenchError, LoadError or OSError."""
    plot.check(page.CPU_PLOT)       # now, and not after twenty minutes
    the_plan = plan(args, args.parts)
    if the_plan.nutcracker is None:
        say("nutcracker is not on PATH: the tree is shown without it")
    facts = machine.facts()
    found = measured(the_plan)
    save_json(args.json, facts, the_plan, found)
    text = page.whole(the_plan, facts, found, Path(args.out))
    say(f"written: {Path(args.out) / page.NAME}")
    return text
