"""The long differential run.

    python -m tests.differential.run --commands 1000000 --seed 7 --target engine|proxy
                                   [--wide] [--episode 2000] [--keep-going]

Starts the servers, runs episodes, and prints each difference with the fewest commands that show it. The exit code is
the number of differences, at most 100. A seed gives the same commands on every machine.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from differential import commands, episode  # noqa: E402
from harness.servers import Server  # noqa: E402

PROFILES = {"engine": commands.ENGINE, "proxy": commands.PROXY, "wide": commands.WIDE}


def main() -> int:
    parser = argparse.ArgumentParser(description="compare shardd with the real Redis on random commands")
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=["engine", "proxy"], default="engine")
    parser.add_argument("--wide", action="store_true", help="thousands of keys instead of a few")
    parser.add_argument("--episode", type=int, default=2000, help="commands between two FLUSHALLs")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first difference")
    options = parser.parse_args()
    profile = PROFILES["wide" if options.wide else options.target]
    differences: dict[str, str] = {}
    start = time.monotonic()
    with Server("engine" if options.target == "engine" else "tree") as ours, Server("oracle") as theirs:
        pair = episode.Pair(ours.conn, theirs.conn, split=options.target == "proxy")
        for number in range(0, options.commands, options.episode):
            sequence = episode.make(options.seed * 1_000_003 + number, options.episode, profile)
            found = pair.run(sequence)
            if found:
                shortest, found = pair.shrink(sequence, found)
                text = episode.explain(shortest, found)
                if differences.setdefault(found.text, text) is text:
                    print(f"--- episode at {number}\n{text}", flush=True)
                if not options.keep_going:
                    break
            elif number // options.episode % 50 == 49:
                print(f"{number + options.episode} commands, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{len(differences)} different differences, seed {options.seed}, {time.monotonic() - start:.0f} s")
    return min(len(differences), 100)


if __name__ == "__main__":
    sys.exit(main())
