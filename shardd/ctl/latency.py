"""shardctl latency: how long commands take, where that time is spent, and what held engines up.

Owns: asking for histograms and events, the PING probe, and these tables. Does not own the measuring: proxies split what
clients wait for into queue, engine and network (proxy/latency.py), engines keep a histogram per command and the spikes
of LATENCY (commands/latency.py).

Over control sockets the histograms themselves come (SHARDD LATENCY from proxies, SHARDD LATENCIES from engines) and are
joined exactly. Else INFO tells: the section proxy, of all proxies as one, and latencystats.
"""

import argparse
import json
import re
import time
from collections.abc import Iterable
from typing import Any, Final

from shardd.base.errors import CommandError
from shardd.ctl.command import App, Command
from shardd.ctl.facts import COMMAND, PERCENTILES, Info, text
from shardd.ctl.human import human_us, plural
from shardd.ctl.link import EXIT_BAD, EXIT_OK, CtlError, Node, Unreachable, UsageError, ask, is_answer
from shardd.ctl.show import STRONG
from shardd.ctl.source import Source
from shardd.structures.histogram import Histogram

PARTS: Final = ("queue", "engine", "network", "total")
"""What clients of a proxy wait for, in order of time."""

_QUANTILES: Final = (("p50_us", 50), ("p90_us", 90), ("p99_us", 99), ("p999_us", 99.9))
_PROXY_FIELD: Final = "proxy_latency_usec_"
_PROBES_MAX: Final = 1_000_000

_SUMMARY: Final = {"count": "how many were measured; null where that is not told", "mean_us": "mean, in microseconds",
                   "p50_us": "half took at most so long", "p90_us": "9 of 10", "p99_us": "99 of 100",
                   "p999_us": "999 of 1,000", "max_us": "the longest"}


def _documented(where: str) -> dict[str, str]:
    return {f"{where}.{name}": meaning for name, meaning in _SUMMARY.items()}


FIELDS: Final = {
    "ok": "whether every process answered",
    "proxies": "show: a list; what clients of a proxy wait for",
    "proxies[].process": "proxy 0 ..., or proxies: all together",
    "proxies[].part": "queue: in the proxy; engine: until its reply was there; network: until the client has it; total",
    **_documented("proxies[]"),
    "commands": "show: a list; commands on the engines", "commands[].name": "the command",
    **_documented("commands[]"),
    "events": "show: a list; what LATENCY LATEST says", "events[].process": "engine 0 ...",
    "events[].event": "command, fast-command, expire-cycle ...", "events[].unix_s": "when it was last",
    "events[].last_ms": "how long it took then", "events[].worst_ms": "at worst",
    "probes": "probe: a list; time from PING to PONG", "probes[].process": "engine 0, proxy 0 ...",
    **_documented("probes[]"), "probes[].min_us": "the shortest",
    "slow": "slow: a list; the slow log, newest first", "slow[].id": "its number", "slow[].unix_s": "when",
    "slow[].us": "how long it ran", "slow[].command": "its words; long ones are cut", "slow[].client": "address",
    "slow[].name": "the client's name",
    "reports": "doctor: a list", "reports[].process": "engine 0 ...", "reports[].text": "what LATENCY DOCTOR says",
    "silent": "a list; processes that did not answer", "silent[].name": "engine 1 ...", "silent[].error": "why",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `latency`."""
    parser.add_argument("action", nargs="?", choices=("show", "probe", "slow", "doctor"), default="show",
                        help="show: the split of the proxies, the commands of the engines, spikes; probe: PING every "
                        "process again and again; slow: the slow log; doctor: LATENCY DOCTOR of every engine [show]")
    parser.add_argument("-c", "--count", type=int, metavar="N", help="probe: PINGs to each process [1000]; slow: "
                        "entries [20]")
    parser.add_argument("-n", "--top", type=int, default=10, metavar="N", help="show: commands to list [10]")


def latency(app: App) -> int:
    """One of the four."""
    count = app.options.count
    if count is not None and not 1 <= count <= _PROBES_MAX:
        raise UsageError(f"latency --count: 1 to {_PROBES_MAX}")
    return {"show": show, "probe": probe, "slow": slow, "doctor": doctor}[app.options.action](app)


# --- summaries ----------------------------------------------------------------------------------------------------

def summary(histogram: Histogram, unit_us: float) -> dict[str, Any]:
    """Count, mean and percentiles. unit_us: what a value of the histogram is in microseconds."""
    if not histogram.count:
        return {"count": 0} | dict.fromkeys(list(_SUMMARY)[1:])
    return ({"count": histogram.count, "mean_us": round(histogram.mean * unit_us, 2)}
            | {name: round(min(histogram.percentile(q), histogram.max) * unit_us, 2) for name, q in _QUANTILES}
            | {"max_us": round(histogram.max * unit_us, 2)})


def merged(histograms: Iterable[Histogram]) -> Histogram | None:
    """All as one; None where there are none. They must be of one form."""
    whole: Histogram | None = None
    for histogram in histograms:
        if whole is None:
            whole = histogram.copy()
        else:
            whole.merge(histogram)
    return whole


def _told(line: dict[str, Any], count: float | None) -> dict[str, Any]:
    """A summary from the percentiles that INFO tells."""
    return {"count": count, "mean_us": line.get("mean"), "p50_us": line.get("p50"), "p90_us": line.get("p90"),
            "p99_us": line.get("p99"), "p999_us": line.get("p99.9"), "max_us": line.get("max")}


# --- show ---------------------------------------------------------------------------------------------------------

def of_proxies(source: Source, silent: dict[str, str]) -> list[dict[str, Any]]:
    """What clients wait for, by proxy and part."""
    by_part: dict[str, dict[str, Histogram]] = {}
    for node, answer in (ask(source.proxies, "SHARDD", "LATENCY") if source.is_local else {}).items():
        if is_answer(answer):
            for part, dumped in json.loads(answer)["parts"].items():
                by_part.setdefault(part, {})[node.name] = Histogram.load(dumped)
        elif isinstance(answer, Unreachable):
            silent[node.name] = str(answer)
    if by_part:
        names = list(by_part["total"])
        rows = [{"process": name, "part": part} | summary(by_part[part][name], 1.0) for name in names for part in PARTS]
        if len(names) > 1:
            rows += [{"process": "proxies", "part": part} | summary(merged(by_part[part].values()), 1.0)
                     for part in PARTS]
        return rows
    return _of_info(source)


def _of_info(source: Source) -> list[dict[str, Any]]:
    """The same of all proxies as one, from INFO."""
    front = next(iter(source.proxies), None)
    if front is None:
        return []
    try:
        lines = dict(Info(front.call("INFO", "proxy")).prefixed(_PROXY_FIELD))
    except (CommandError, Unreachable):
        return []
    return [{"process": "proxies", "part": part} | _told(lines[part], lines[part].get("samples"))
            for part in PARTS if part in lines]


def of_commands(source: Source, silent: dict[str, str]) -> list[dict[str, Any]]:
    """Commands on the engines, those that took most time first."""
    found: dict[str, list[Histogram]] = {}
    older: list[Node] = [] if source.is_local else list(source.engines)
    for node, answer in (ask(source.engines, "SHARDD", "LATENCIES") if source.is_local else {}).items():
        if is_answer(answer):
            for name, dumped in json.loads(answer).items():
                found.setdefault(name, []).append(Histogram.load(dumped))
        elif isinstance(answer, Unreachable):
            silent[node.name] = str(answer)
        else:
            older.append(node)
    rows = [{"name": name} | summary(merged(parts), 0.001) for name, parts in found.items()
            if not name.startswith("shardd|")]
    rows = sorted((row for row in rows if row["count"]), key=lambda row: -row["count"] * row["mean_us"])
    return rows or (_commands_of_info(source.front()) if older else [])


def _commands_of_info(front: Node) -> list[dict[str, Any]]:
    try:
        info = Info(front.call("INFO", "commandstats", "latencystats"))
    except CommandError:
        return []
    stats = dict(info.prefixed(COMMAND))
    rows = []
    for name, line in info.prefixed(PERCENTILES):
        calls = stats.get(name, {})
        rows.append({"name": name} | _told(line, calls.get("calls")) | {"mean_us": calls.get("usec_per_call")})
    return sorted(rows, key=lambda row: -(row["count"] or 0) * (row["mean_us"] or 0))


def events(source: Source, silent: dict[str, str]) -> list[dict[str, Any]]:
    """LATENCY LATEST of every engine."""
    found = []
    for node, answer in ask(source.engines, "LATENCY", "LATEST").items():
        if isinstance(answer, Unreachable):
            silent[node.name] = str(answer)
        elif is_answer(answer):
            found += [{"process": node.name, "event": text(event), "unix_s": at_s, "last_ms": last, "worst_ms": worst}
                      for event, at_s, last, worst in answer]
    return found


def _silent_rows(silent: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "error": error} for name, error in silent.items()]


def _end(app: App, silent: dict[str, str]) -> int:
    for name, error in silent.items():
        app.screen.line(f"{name}: {error}")
    return EXIT_BAD if silent else EXIT_OK


_HEADERS: Final = [">count", ">mean", ">p50", ">p90", ">p99", ">p99.9", ">max"]


def _cells(row: dict[str, Any]) -> list[Any]:
    return [None if row["count"] is None else int(row["count"]), *(human_us(row[name]) for name in list(_SUMMARY)[1:])]


def show(app: App) -> int:
    """latency show"""
    silent: dict[str, str] = {}
    proxies = of_proxies(app.source, silent)
    commands = of_commands(app.source, silent)
    spikes = events(app.source, silent)
    if app.as_json:
        app.screen.json({"ok": not silent, "proxies": proxies, "commands": commands, "events": spikes,
                         "silent": _silent_rows(silent)})
        return EXIT_BAD if silent else EXIT_OK
    screen = app.screen
    if sampled := [row for row in proxies if row["count"]]:
        screen.table(["process", "part", *_HEADERS], [[row["process"], row["part"], *_cells(row)] for row in sampled],
                     title="What clients of the proxies wait for (of sampled commands)")
        screen.line()
    elif proxies:
        screen.line("No command through the proxies was sampled yet (1 of proxy-latency-sample is, 0: none)")
        screen.line()
    if commands:
        screen.table(["command", *_HEADERS], [[row["name"], *_cells(row)] for row in commands[:app.options.top]],
                     title="Commands on the engines")
        screen.line()
    if spikes:
        screen.table(["process", "event", "when", ">last ms", ">worst ms"],
                     [[row["process"], row["event"], _when(row["unix_s"]), row["last_ms"], row["worst_ms"]]
                      for row in spikes], title="Spikes (LATENCY LATEST)")
    else:
        screen.line("No spikes were seen (by the monitor, which looks from latency-monitor-threshold milliseconds on; "
                    "0: not at all)")
    return _end(app, silent)


def _when(unix_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


# --- probe --------------------------------------------------------------------------------------------------------

def probe(app: App) -> int:
    """latency probe"""
    count = app.options.count or 1000
    rows, silent = [], {}
    for node in app.source.nodes:
        histogram = Histogram(3, 10**10)
        try:
            call, clock = node.call, time.perf_counter_ns
            call("PING")
            for _ in range(count):
                began = clock()
                call("PING")
                histogram.add(clock() - began)
        except Unreachable as error:
            silent[node.name] = str(error)
            continue
        except CommandError as error:
            raise CtlError(f"{node.name} answers PING with {error}") from None
        rows.append({"process": node.name} | summary(histogram, 0.001) | {"min_us": round(histogram.min / 1000, 2)})
    if app.as_json:
        app.screen.json({"ok": not silent, "probes": rows, "silent": _silent_rows(silent)})
        return EXIT_BAD if silent else EXIT_OK
    app.screen.table(["process", ">count", ">min", *_HEADERS[1:]],
                     [[row["process"], row["count"], human_us(row["min_us"]), *_cells(row)[1:]] for row in rows],
                     title="From PING to PONG, one at a time")
    return _end(app, silent)


# --- slow, doctor -------------------------------------------------------------------------------------------------

_PLAIN_WORD: Final = re.compile(r"[!-~]+")


def _words(arguments_: list[Any]) -> str:
    words = [text(word) for word in arguments_]
    return " ".join(word if _PLAIN_WORD.fullmatch(word) else json.dumps(word, ensure_ascii=False) for word in words)


def slow(app: App) -> int:
    """latency slow"""
    try:
        entries = app.source.front().call("SLOWLOG", "GET", app.options.count or 20)
    except CommandError as error:
        raise CtlError(f"SLOWLOG GET: {error}") from None
    rows = [{"id": entry[0], "unix_s": entry[1], "us": entry[2], "command": _words(entry[3]),
             "client": text(entry[4]) if len(entry) > 4 else None, "name": text(entry[5]) if len(entry) > 5 else None}
            for entry in entries]
    if app.as_json:
        app.screen.json({"ok": True, "slow": rows, "silent": []})
        return EXIT_OK
    app.screen.table(["when", ">took", "client", "name", "command"],
                     [[_when(row["unix_s"]), human_us(row["us"]), row["client"] or None, row["name"] or None,
                       row["command"]] for row in rows])
    app.screen.line()
    app.screen.line(f"{plural(len(rows), 'command')}; what takes slowlog-log-slower-than microseconds is kept")
    return EXIT_OK


def doctor(app: App) -> int:
    """latency doctor"""
    reports, silent = [], {}
    for node, answer in ask(app.source.engines, "LATENCY", "DOCTOR").items():
        if is_answer(answer):
            reports.append({"process": node.name, "text": text(answer)})
        else:
            silent[node.name] = str(answer)
    if app.as_json:
        app.screen.json({"ok": not silent, "reports": reports, "silent": _silent_rows(silent)})
        return EXIT_BAD if silent else EXIT_OK
    for report in reports:
        app.screen.line(report["process"], STRONG)
        app.screen.line(report["text"].rstrip())
        app.screen.line()
    return _end(app, silent)


COMMANDS: Final = (
    Command("latency", "where time is spent; PING probe, slow log, spikes", "show: what clients of the proxies wait "
            "for, split into queue, engine and network, how long commands take on the engines, and spikes; probe: "
            "percentiles of PING to every process; slow: the slow log of all engines; doctor: what LATENCY DOCTOR "
            "says. Exit code 1 where a process did not answer.", latency, FIELDS, arguments,
            examples=("latency", "latency probe -c 10000", "latency slow", "latency doctor")),
)
