"""shardctl: what runs, who owns which slots, does it answer.

    shardctl status|slots|ping [--json] [--dir DIR | --socket PATH | -h HOST -p PORT [-a PASSWORD]]

Owns: the command line, the tables and the exit codes. Does not own the facts: they come from the supervisor, over
<dir>/run/supervisor.sock, or, with -h or -p, from a server's CLUSTER replies over TCP (source.py), which know less.

Exit codes: 0 all is well; 1 something is down; 2 the command line is wrong or nobody answers, with a line on stderr
that says what to do.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from shardd.cluster.topology import SLOTS, TopologyError
from shardd.ctl.source import Source, SourceError, SupervisorSource, TcpSource, find_socket
from shardd.ctl.table import human_bytes, human_seconds, table

EXIT_OK, EXIT_DOWN, EXIT_USAGE = 0, 1, 2

_EPILOG = """Without --dir, --socket, -h or -p the supervisor is looked for in ./run and, with --conf, in the directory
that the configuration file names. The password can also be given in the environment as SHARDCTL_AUTH."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON instead of a table, for scripts")
    where = common.add_argument_group("where to ask")
    where.add_argument("--dir", metavar="DIR", help="the server's dir; asks the supervisor at DIR/run/supervisor.sock")
    where.add_argument("--socket", metavar="PATH", help="the supervisor's socket itself")
    where.add_argument("--conf", metavar="FILE", help="the server's configuration file: takes dir from it")
    where.add_argument("-h", dest="host", metavar="HOST", help="ask a server over TCP instead (127.0.0.1)")
    where.add_argument("-p", dest="port", metavar="PORT", type=_port, help="its port (6379)")
    where.add_argument("-a", dest="password", metavar="PASSWORD", help="its password")
    common.add_argument("--help", action="help", help="show this help and exit")
    root = argparse.ArgumentParser(prog="shardctl", add_help=False, epilog=_EPILOG,
                                   description="Looks at a running shardd.")
    root.add_argument("--help", action="help", help="show this help and exit")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in (("status", "engines and proxies: state, process, load"),
                       ("slots", "which engine owns which slots"), ("ping", "does every process answer")):
        commands.add_parser(name, help=text, description=text, parents=[common], add_help=False, epilog=_EPILOG)
    return root


def main(argv: Sequence[str] | None = None) -> None:
    """The console script. Ends the process with the exit code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """One invocation; returns the exit code. argparse ends the process by itself, with 2, for a wrong command line."""
    options = parser().parse_args(argv)
    try:
        with open_source(options) as source:
            return COMMANDS[options.command](source, options.json)
    except (SourceError, TopologyError) as error:
        print(f"shardctl: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def open_source(options: argparse.Namespace) -> Source:
    """The source that the command line names. Raises SourceError."""
    tcp = options.host is not None or options.port is not None
    named = [name for name in ("dir", "socket", "conf") if getattr(options, name) is not None]
    if len(named) > 1 or (named and tcp):
        raise SourceError("--dir, --socket, --conf and -h/-p exclude each other: give one of them")
    if tcp:
        return TcpSource(options.host or "127.0.0.1", options.port or 6379,
                         options.password or os.environ.get("SHARDCTL_AUTH"))
    return SupervisorSource(options.socket or find_socket(options.dir, options.conf))


def status(source: Source, as_json: bool) -> int:
    """One line per process."""
    facts = source.status()
    down = [child for child in facts["children"] if child["state"] != "up"]
    if as_json:
        _print_json(facts)
        return EXIT_DOWN if down else EXIT_OK
    rows = []
    for child in facts["children"]:
        cores = child.get("cpus")
        rows.append([f"{child['kind']} {child['index']}", child["state"], child.get("pid"), child.get("port"),
                     ",".join(map(str, cores)) if cores else None, child.get("slots"), child.get("keys"),
                     human_bytes(child.get("used_memory_bytes")), child.get("clients"), child.get("ops"),
                     human_seconds(child.get("uptime_s")), child.get("restarts")])
    print(table(["process", "state", "pid", "port", "core", "slots", "keys", "memory", "clients", "ops/s", "uptime",
                 "restarts"], rows))
    print(f"\n{facts['server']}, epoch {facts['epoch']}: "
          + ("all up" if not down else f"{len(down)} of {len(facts['children'])} not up"))
    return EXIT_DOWN if down else EXIT_OK


def slots(source: Source, as_json: bool) -> int:
    """One line per range of slots; a line for those that nobody owns."""
    topology = source.topology()
    rows: list[dict[str, Any]] = []
    at = 0
    for r in topology.ranges:
        if r.first > at:
            rows.append({"first": at, "last": r.first - 1, "engine": None})
        engine = topology.engine(r.engine_id)
        rows.append({"first": r.first, "last": r.last, "engine": engine.index, "id": engine.id, "host": engine.host,
                     "port": engine.port, "state": engine.state})
        at = r.last + 1
    if at < SLOTS:
        rows.append({"first": at, "last": SLOTS - 1, "engine": None})
    healthy = all(row.get("state") == "up" for row in rows)
    if as_json:
        _print_json({"epoch": topology.epoch, "cluster_id": topology.cluster_id, "ranges": rows,
                     "migrations": topology.to_json()["migrations"]})
        return EXIT_OK if healthy else EXIT_DOWN
    print(table(["slots", "count", "engine", "port", "state", "id"],
                [[f"{row['first']}-{row['last']}", row["last"] - row["first"] + 1, row["engine"], row.get("port"),
                  row.get("state", "not served"), row.get("id")] for row in rows]))
    for m in topology.migrations:
        print(f"moving {m.first}-{m.last}: {m.source} -> {m.target}")
    return EXIT_OK if healthy else EXIT_DOWN


def ping(source: Source, as_json: bool) -> int:
    """Who answers."""
    answers = source.ping()
    if as_json:
        _print_json(answers)
    else:
        print(table(["process", "answer"], [[name, "PONG" if ok else "no answer"] for name, ok in answers.items()]))
    return EXIT_OK if all(answers.values()) else EXIT_DOWN


COMMANDS: dict[str, Callable[[Source, bool], int]] = {"status": status, "slots": slots, "ping": ping}


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError
    return port


_port.__name__ = "port"  # argparse names the type in its message


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


if __name__ == "__main__":
    main()
