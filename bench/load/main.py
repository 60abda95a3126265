"""shardd-bench: the command line, one run after the other, and how it ends.

Results go to stdout, progress and messages to stderr. Exit codes: 0 it ran (errors in replies are shown, and for the
reader to judge), 1 it could not run or went wrong, 2 the command line is wrong, 130 interrupted.
"""
import argparse
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.load import crew, options, plot, results, workload
from bench.load.control import LoadError
from bench.load.crew import Outcome
from bench.load.options import Settings
from bench.load.workload import Workload

FILL_PIPELINE = 64


def version() -> str:
    """Of the package; of a source tree that was never installed, "?"."""
    try:
        return importlib.metadata.version("shardd")
    except importlib.metadata.PackageNotFoundError:
        return "?"


def filling(settings: Settings) -> tuple[Settings, Workload]:
    """The run that writes every key once."""
    return (replace(settings, requests=settings.keys, duration_s=None, warmup_s=0.0, rate=None, poisson=False,
                    spin=False, distribution="sequential", pipeline=max(settings.pipeline, FILL_PIPELINE)),
            replace(workload.by_name("set"), label="fill"))


def show(outcome: Outcome, args: argparse.Namespace) -> None:
    """One run, to stdout."""
    if args.csv:
        print(results.csv_line(outcome))
    elif args.json == "-":
        pass
    elif args.quiet:
        print(results.line(outcome))
    else:
        print(results.text(outcome))
        if args.histogram or (args.histogram is None and sys.stdout.isatty()):
            print("\n" + plot.text(outcome.latencies))
        print()
    sys.stdout.flush()


def execute(settings: Settings, args: argparse.Namespace) -> list[Outcome]:
    """All runs. Raises LoadError; an interrupted run is the last."""
    write = crew.to_stderr if args.progress or (args.progress is None and sys.stderr.isatty()) else None
    if settings.fill:
        filled = crew.run(*filling(settings), write)
        if filled.errors or filled.done < settings.keys:
            said = next(iter(filled.texts), "it was interrupted")
            raise LoadError(f"the keys could not be written: {said}")
    if args.csv:
        print(results.csv_header())
    outcomes: list[Outcome] = []
    for load in settings.workloads:
        outcome = crew.run(settings, load, write)
        outcomes.append(outcome)
        show(outcome, args)
        if outcome.interrupted:
            break
    return outcomes


def save(outcomes: list[Outcome], args: argparse.Namespace) -> None:
    """--json and --plot. Raises OSError."""
    if args.json:
        text = json.dumps(results.document(outcomes, version()), indent=1)
        if args.json == "-":
            print(text)
        else:
            Path(args.json).write_text(text + "\n")
    if args.plot:
        plot.spectrum(args.plot, {outcome.label: results.spectrum(outcome.latencies) for outcome in outcomes
                                  if outcome.latencies.count})


def main(argv: Sequence[str] | None = None) -> int:
    """One invocation; returns the exit code."""
    parser = options.parser()
    args = parser.parse_args(argv)
    if args.version:
        print(f"shardd-bench {version()}")
        return 0
    try:
        settings = options.settings(args)
        for load in settings.workloads:
            for template in load.templates:
                workload.compiled(template, settings.key_prefix.encode(), cluster=settings.cluster)
    except ValueError as error:
        parser.error(str(error))
    try:
        if args.plot:
            plot.check(args.plot)
        outcomes = execute(settings, args)
        save(outcomes, args)
    except KeyboardInterrupt:
        return 130
    except (LoadError, OSError) as error:
        print(f"shardd-bench: {error}", file=sys.stderr)
        return 1
    return 130 if outcomes and outcomes[-1].interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
