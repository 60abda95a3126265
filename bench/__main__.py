"""The command line: python -m bench COMMAND [options]. The table goes to stdout, progress to stderr.

Exit codes: 0 measured (whether goals are met is for the reader), 1 it could not be measured, 2 the command line is
wrong.
"""
import argparse
import functools
import shlex
import signal
import sys
from collections.abc import Callable, Sequence

from bench import collections, compare, cost, pauses, save, snapshots
from bench.load.control import LoadError
from bench.servers import BenchError

COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], str]]] = {
    "cost": ("CPU time per command and memory per key, beside other servers", cost.options, cost.run),
    "compare": ("everything beside other servers, and RESULTS.md", compare.options_of_all, compare.run),
    "proxy": ("CPU time per command through our proxy, beside one engine and nutcracker", compare.options,
              functools.partial(compare.run_part, part="proxy")),
    "latency": ("what our proxy adds to latencies at a fixed rate", compare.options,
                functools.partial(compare.run_part, part="latency")),
    "memory": ("bytes per key", compare.options, functools.partial(compare.run_part, part="memory")),
    "idle": ("what idle clients cost in the proxy", compare.options, functools.partial(compare.run_part, part="idle")),
    "burst": ("how fast many clients at once are served", compare.options,
              functools.partial(compare.run_part, part="burst")),
    "loader": ("CPU time of shardd-bench per command, beside another load generator's", compare.options,
               functools.partial(compare.run_part, part="loader")),
    "collections": ("CPU time per command on collections and memory per element, beside another server",
                    collections.options, collections.run),
    "save": ("how fast keys are written to dump.rdb and loaded from it, beside another server", save.options, save.run),
    "snapshots": ("how long clients wait during a BGSAVE under writes, and what memory it takes, beside another server",
                  snapshots.options, snapshots.run),
    "pauses": ("the longest pause of an engine's event loop", pauses.options, pauses.run),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m bench", description="Measures shardd.")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (text, options, _) in COMMANDS.items():
        options(commands.add_parser(name, help=text, description=text + "."))
    return root


def repeat(argv: Sequence[str]) -> str:
    """The shell command that does this again, from the root of the source tree."""
    return f".venv/bin/python -m bench {shlex.join(argv)}"


def main(argv: Sequence[str] | None = None) -> int:
    """One invocation; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv) or ["cost"]
    args = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))     # servers are stopped on the way out
    try:
        print(f"{COMMANDS[args.command][2](args)}\n\nAgain: `{repeat(argv)}`")
    except KeyboardInterrupt:
        return 130
    except (BenchError, LoadError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
