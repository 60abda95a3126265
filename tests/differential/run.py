"""The long differential run.

    python -m tests.differential.run --commands 1000000 --seed 7 --target engine|proxy|nightly [--engines 3]
                                   [--clients 8] [--large 0.01] [--wide] [--episode 2000] [--keep-going] [--seconds 180]

Starts the servers, runs episodes, and prints each difference with the fewest commands that show it. With --clients an
episode is what that many clients do at once. The exit code is the number of differences, at most 100. A seed gives the
same commands on every machine.

The target `nightly` (`make nightly`) divides the commands over one engine and a proxy in front of three, few keys and
thousands, one client and eight, as NIGHTLY has it, and goes on behind a difference.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from differential import commands, crowd, episode  # noqa: E402
from harness.servers import Server  # noqa: E402


class Leg(NamedTuple):
    """A part of the nightly run: its share of the commands and what it changes of the options."""

    share: float
    changes: dict[str, object]


NIGHTLY = (
    Leg(0.35, {"target": "engine"}), Leg(0.10, {"target": "engine", "wide": True, "episode": 20_000}),
    Leg(0.05, {"target": "engine", "clients": 8}), Leg(0.35, {"target": "proxy", "engines": 3}),
    Leg(0.05, {"target": "proxy", "engines": 3, "wide": True, "episode": 20_000}),
    Leg(0.10, {"target": "proxy", "engines": 3, "clients": 8}))


def legs(options: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """The runs that the options ask for: one, or the nightly ones."""
    if options.target != "nightly":
        yield options
        return
    for leg in NIGHTLY:
        changes = {**leg.changes, "commands": int(options.commands * leg.share), "keep_going": True}
        yield argparse.Namespace(**{**vars(options), **changes})


def episodes(options: argparse.Namespace, ours: Server, theirs: Server) -> Iterator[tuple[int, str, str]]:
    """(commands so far, the difference or "", that and what led to it) of each episode."""
    split = options.target == "proxy" and options.engines > 1
    profile = commands.WIDE if options.wide else commands.ENGINE
    pair = episode.Pair(ours.conn, theirs.conn, split=split)
    many = crowd.Crowd(ours.conn, theirs.conn, split=split)
    for number in range(0, options.commands, options.episode):
        seed = options.seed * 1_000_003 + number
        if options.clients > 1:
            text = many.run(seed, options.clients, options.episode // options.clients, options.large) or ""
            yield number, text.partition("\n")[0], text
            continue
        sequence = episode.make(seed, options.episode, profile)
        found = pair.run(sequence)
        if found:
            shortest, found = pair.shrink(sequence, found)
        yield number, found.text if found else "", episode.explain(shortest, found) if found else ""


def compare(options: argparse.Namespace, differences: dict[str, str], start: float) -> int:
    """Runs one target; adds what differs to `differences` (in short -> at length). The number of commands run."""
    tree = {"engines": options.engines} if options.target == "proxy" else {}
    done = 0
    with Server("tree" if tree else "engine", **tree) as ours, Server("oracle") as theirs:
        for number, found, text in episodes(options, ours, theirs):
            done = number + options.episode
            if found:
                if differences.setdefault(found, text) is text:
                    print(f"--- {options.target}, episode at {number}\n{text}", flush=True)
                if not options.keep_going:
                    break
            elif number // options.episode % 50 == 49:
                print(f"{options.target}: {done} commands, {time.monotonic() - start:.0f} s", flush=True)
            if time.monotonic() - start > options.seconds:
                break
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description="compare shardd with the real Redis on random commands")
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=["engine", "proxy", "nightly"], default="engine")
    parser.add_argument("--engines", type=int, default=2, help="behind the proxy")
    parser.add_argument("--clients", type=int, default=1, help="at once, each with keys of its own")
    parser.add_argument("--large", type=float, default=0.003, help="with --clients: share of values of megabytes")
    parser.add_argument("--wide", action="store_true", help="thousands of keys instead of a few")
    parser.add_argument("--episode", type=int, default=2000, help="commands between two FLUSHALLs")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first difference")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="ends after the episode at that time")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that the servers end too
    start = time.monotonic()
    differences: dict[str, str] = {}
    done = 0
    for leg in legs(options):
        done += compare(leg, differences, start)
    print(f"{done} commands, {len(differences)} different differences, seed {options.seed}, "
          f"{time.monotonic() - start:.0f} s")
    return min(len(differences), 100)


if __name__ == "__main__":
    sys.exit(main())
