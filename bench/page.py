"""RESULTS.md: what a run of compare found, as a page with tables and plots."""
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import goals, machine, report
from bench.fill import KEY_BYTES
from bench.load import plot
from bench.plan import Found, Plan
from bench.report import number

NAME = "RESULTS.md"
CPU_PLOT, RATE_PLOT, LATENCY_PLOT = "RESULTS-cpu.svg", "RESULTS-throughput.svg", "RESULTS-latency.svg"

Row = dict[str, Any]


def where(plan: Plan, facts: dict[str, Any], found: Found) -> str:
    """Machine, versions, date, sizes: the paragraph without which the tables mean little."""
    pin = "not pinned"
    if plan.server_cores is not None and plan.loader_cores is not None:
        pin = (f"servers on core {','.join(map(str, sorted(plan.server_cores)))}, "
               f"load on core {','.join(map(str, sorted(plan.loader_cores)))}")
    versions = "; ".join(f"{name} is {version}" for name, version in found.versions.items()
                         if not name.startswith("shardd"))
    return (f"{time.strftime('%Y-%m-%d', time.gmtime())}; {machine.described(facts)}; {pin}. "
            f"{number(plan.keys)} keys of {KEY_BYTES} bytes, values of {plan.value_bytes} bytes, {plan.clients} "
            f"clients; medians of {plan.rounds} rounds in turns, \"spread\" is the largest less the smallest of them"
            f"{'; ' + versions if versions else ''}.")


def of(rows: Sequence[Row], server: str, row: Row) -> float | None:
    """CPU of a row over that of another server in the same test and pipeline."""
    for other in rows:
        if (other["server"], other["test"], other["pipeline"]) == (server, row["test"], row["pipeline"]):
            return row["total_us"] / other["total_us"] if other["total_us"] else None
    return None


def cpu_table(plan: Plan, found: Found) -> str:
    """CPU per command of everybody; ratios of the tree to one engine and to nutcracker, with the goals."""
    rows = []
    for row in found.cpu:
        to_engine = to_nutcracker = None
        first, second = "", ""
        if row["server"] == plan.tree.name:
            to_engine = of(found.cpu, plan.engine.name, row)
            to_nutcracker = of(found.cpu, plan.nutcracker.name, row) if plan.nutcracker else None
            first = goals.verdict(to_engine, goals.TREE_RATIO.get(row["pipeline"]), 1, plan.has_size_of_goals)
            second = goals.verdict(to_nutcracker, goals.NUTCRACKER_RATIO.get(row["pipeline"]), 1,
                                   plan.has_size_of_goals)
        spread = report.spread_percent([one["total_us"] for one in row["rounds"]])
        shares = None if row["user_us"] is None else f"{row['user_us']:.2f} + {row['system_us']:.2f}"
        rows.append([f"{row['test'].upper()}, pipeline {row['pipeline']}", row["server"], f"{row['total_us']:.3f}",
                     shares, number(to_engine, 2), first, number(to_nutcracker, 2), second, number(row["rps"]),
                     number(row["p50_ms"], 2), number(row["p99_ms"], 2), f"{spread:.0f}%"])
    return report.markdown(["command", "server", "CPU, us", "user + system", "x engine", "goal", "x nutcracker", "goal",
                            "commands/s", "p50, ms", "p99, ms", "spread"], rows, right=(2, 3, 4, 6, 8, 9, 10, 11))


def latency_table(plan: Plan, found: Found) -> str:
    """Latencies at the rate, and what the tree adds."""
    names = ("p50", "p90", "p99", "p99.9", "max")
    rows = []
    for row in found.latency:
        spread = report.spread_percent([one["p50"] for one in row["rounds"]])
        rows.append([row["server"], *(number(row[name]) for name in names), number(row["late_p99"]), f"{spread:.0f}%"])
    table = report.markdown(["server", *(f"{name}, us" for name in names), "sent late, p99", "spread of p50"], rows,
                            right=range(1, 8))
    judged = plan.rate == goals.RATE
    added = []
    for name, goal in goals.ADDED_US.items():
        values = [one[name] for one in found.added]
        middle = statistics.median(values)
        added.append([name, number(middle), goals.verdict(middle, goal, 0, judged),
                      f"{number(min(values))} to {number(max(values))}"])
    return table + "\n\n" + report.markdown(["added by the proxy", "us", "goal", "rounds"], added, right=(1,))


def memory_table(plan: Plan, found: Found) -> str:
    """Bytes per key."""
    rows = []
    for row in found.memory:
        mine = row["server"] == plan.engine.name
        more = row["bytes_per_key_ttl"] - row["bytes_per_key"]
        rows.append([row["server"], f"{row['bytes_per_key']:.1f}",
                     goals.verdict(row["bytes_per_key"], goals.BYTES_PER_KEY if mine else None, 0,
                                   plan.has_size_of_goals), f"{more:+.1f}",
                     goals.verdict(more, goals.TTL_BYTES if mine else None, 0, plan.has_size_of_goals)])
    return report.markdown(["server", "bytes per key", "goal", "with a TTL", "goal"], rows, right=(1, 3))


def idle_table(plan: Plan, found: Found) -> str:
    """Bytes per idle client."""
    worst = max(found.idle)
    return report.markdown(
        ["idle clients", "bytes each in the proxy, worst round", "goal", "rounds"],
        [[number(plan.idle), number(worst),
          goals.verdict(worst, goals.IDLE_BYTES, 0, plan.idle >= goals.IDLE_CLIENTS),
          ", ".join(number(one) for one in found.idle)]], right=(1,))


def burst_table(plan: Plan, found: Found) -> str:
    """Until all of a burst are served."""
    worst = max(one["last_s"] for one in found.burst)
    return report.markdown(
        ["clients at once", "half served, s", "99% served, s", "all served, s, worst round", "goal"],
        [[number(plan.burst), number(statistics.median(one["p50_s"] for one in found.burst), 3),
          number(statistics.median(one["p99_s"] for one in found.burst), 3), number(worst, 3),
          goals.verdict(worst, goals.BURST_S, 0, plan.burst >= goals.BURST_CLIENTS)]], right=(1, 2, 3))


def loader_table(found: Found) -> str:
    """CPU of the load generators."""
    rows = []
    for row in found.loader:
        other = next((one for one in found.loader
                      if one["over"] == row["over"] and one["loader"] != row["loader"]), None)
        ours = row["loader"] == "shardd-bench" and other is not None
        ratio = other["us"] / row["us"] if ours else None
        spread = report.spread_percent([one["us"] for one in row["rounds"]])
        verdict = ""
        if ratio is not None:
            verdict = f">= {goals.LOADER_RATIO:.1f}, {'met' if ratio >= goals.LOADER_RATIO else 'missed'}"
        rows.append([f"GET, pipeline 16, {row['over']}", row["loader"], f"{row['us']:.3f}", number(1e6 / row["us"]),
                     number(ratio, 2), verdict, number(row["rps"]), f"{spread:.0f}%"])
    return report.markdown(["load", "by", "CPU of the load generator, us", "commands per second of CPU", "ratio",
                            "goal", "commands/s", "spread"], rows, right=(2, 3, 4, 6, 7))


def sections(plan: Plan, found: Found) -> list[str]:
    """A table per part that was measured, each with its heading."""
    made = []
    if found.cpu:
        made.append("## CPU time per command\n\nUser and system of all processes of a server, its proxy and engines "
                    f"included.\n\n{cpu_table(plan, found)}")
    if found.latency:
        made.append(f"## Latency at {number(plan.rate)} commands a second\n\nGET, {plan.clients} clients, "
                    f"{plan.seconds:g} s a round, counted from when each command was due.\n\n"
                    f"{latency_table(plan, found)}")
    if found.memory:
        made.append("## Memory\n\nGrowth of the processes' proportional set size by the number of keys.\n\n"
                    f"{memory_table(plan, found)}")
    if found.idle:
        made.append(f"## Idle clients\n\n{idle_table(plan, found)}")
    if found.burst:
        made.append(f"## Many clients at once\n\n{burst_table(plan, found)}")
    if found.loader:
        made.append("## The load generators\n\nAgainst one engine; of ours while it drives, of the other the whole "
                    f"process.\n\n{loader_table(found)}")
    return made


def plots(plan: Plan, found: Found, directory: Path) -> dict[str, str]:
    """The pictures: file -> what it shows. Raises LoadError where there is no matplotlib, OSError."""
    made: dict[str, str] = {}
    if found.cpu:
        names = list(dict.fromkeys(row["server"] for row in found.cpu))
        groups = list(dict.fromkeys((row["test"], row["pipeline"]) for row in found.cpu))
        labels = [f"{test.upper()}, pipeline {pipeline}" for test, pipeline in groups]

        def series(key: str) -> dict[str, list[float | None]]:
            return {name: [next((row[key] for row in found.cpu if (row["server"], row["test"], row["pipeline"])
                                 == (name, *group)), None) for group in groups] for name in names}

        plot.bars(str(directory / CPU_PLOT), labels, series("total_us"), "CPU per command, us",
                  "CPU time per command, all processes of a server")
        plot.bars(str(directory / RATE_PLOT), labels, series("rps"), "commands per second", "throughput" + (
                  "" if plan.server_cores is None else f", servers on {len(plan.server_cores)} core(s)"))
        made |= {CPU_PLOT: "CPU time per command", RATE_PLOT: "throughput"}
    if found.latency:
        plot.spectrum(str(directory / LATENCY_PLOT), {row["server"]: row["spectrum"] for row in found.latency},
                      f"GET at {number(plan.rate)} commands a second")
        made[LATENCY_PLOT] = "latencies at a fixed rate, by percentile"
    return made


def whole(plan: Plan, facts: dict[str, Any], found: Found, directory: Path) -> str:
    """Write the page and its plots; returns the page. Raises LoadError, OSError."""
    pictures = plots(plan, found, directory)
    parts = ["# What was measured", where(plan, facts, found), *sections(plan, found)]
    parts += [f"![{text}]({name})" for name, text in pictures.items()]
    text = "\n\n".join(parts)
    (directory / NAME).write_text(text + "\n")
    return text
