"""shardctl top: what is going on now, again and again.

Owns: the screen, the keys, and when to look. Does not own the figures (sample.py).

On a terminal the view fills the screen and is redrawn in place; elsewhere frames follow each other as text, and with
--json each is one JSON object on a line. Two looks make a frame, so the first comes after one interval.

    q  ends it      p  stops and goes on      blank  looks at once
"""

import argparse
import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from shardd.ctl.command import App, Command
from shardd.ctl.human import human_bytes, human_count, human_us
from shardd.ctl.link import EXIT_BAD, EXIT_OK, UsageError
from shardd.ctl.sample import SLOTS_INTERVAL_S, Sample, SlotWatch, frame, take
from shardd.ctl.show import FAINT, STRONG, Screen, state, table

FIELDS: Final = {
    "unix_s": "when, in seconds since 1970", "interval_s": "over how many seconds",
    "total.proxy_ops": "commands per second that clients sent to proxies; null without one",
    "total.engine_ops": "commands per second that engines ran: parts of what proxies split, and direct clients'",
    "total.cpu_percent": "of one core, all processes", "total.hit_percent": "lookups that found a key",
    "total.p50_us": "half of the engines' commands took at most so long; null where engines keep no histograms",
    "total.p99_us": "the same of 99 in 100", "total.keys": "keys", "total.used_memory_bytes": "memory of the data",
    "processes": "a list", "processes[].name": "engine 0, proxy 0 ...", "processes[].kind": "engine, proxy or server",
    "processes[].state": "as in status", "processes[].ops": "commands per second",
    "processes[].cpu_percent": "of one core", "processes[].usec_per_call": "engines: mean time of a command",
    "processes[].p50_us": "engines: half of the interval's commands ran at most so long; proxies: half of the sampled "
    "ones were with their clients after it", "processes[].p99_us": "likewise, 99 in 100",
    "processes[].hit_percent": "engines: lookups that found a key", "processes[].keys": "engines: keys",
    "processes[].used_memory_bytes": "as in status", "processes[].clients": "connections of clients",
    "processes[].in_bytes": "bytes per second from clients", "processes[].out_bytes": "bytes per second to clients",
    "processes[].expired": "engines: keys per second that expired", "processes[].evicted": "likewise, evicted",
    "commands": "a list: those that took most time on the engines first", "commands[].name": "as in commandstats",
    "commands[].calls": "per second", "commands[].usec_per_call": "mean time", "commands[].time_percent": "of all time "
    "in commands", "commands[].failed": "per second that gave an error", "commands[].rejected": "per second that were "
    "refused",
    "slots": "a list: those that took most CPU in the last seconds; empty unless cluster-slot-stats-enabled is on",
    "slots[].slot": "0 to 16383", "slots[].process": "its engine", "slots[].cpu_percent": "of one core",
    "slots[].keys": "keys", "slots[].in_bytes": "bytes per second", "slots[].out_bytes": "bytes per second",
}

_INTERVAL_MIN_S: Final = 0.1
"""Each look costs every engine some INFO."""

_OTHER_LINES: Final = 9
"""Lines of a frame that are no rows of commands or slots: headings, totals, blanks."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `top`."""
    parser.add_argument("-i", "--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks [1]")
    parser.add_argument("-c", "--count", type=int, metavar="N", help="end after N frames")
    parser.add_argument("--once", action="store_true", help="one frame, as text or JSON, and end")
    parser.add_argument("-n", "--top", type=int, default=10, metavar="N", help="commands and slots to list [10]")


def top(app: App) -> int:
    """Frames until told to end. Exit code 1 where in the last one something was not up."""
    options = app.options
    if options.interval < _INTERVAL_MIN_S:
        raise UsageError(f"top --interval: at least {_INTERVAL_MIN_S} s")
    if options.count is not None and options.count < 1:
        raise UsageError("top --count: at least 1")
    count = 1 if options.once else options.count
    is_live = app.screen.is_terminal and not options.once and sys.stdin.isatty()
    last = _live(app, count) if is_live else _plain(app, count)
    return EXIT_OK if last is None or all(one["state"] == "up" for one in last["processes"]) else EXIT_BAD


# --- text and JSON ------------------------------------------------------------------------------------------------

def _plain(app: App, count: int | None) -> dict[str, Any] | None:
    before, shown, last = take(app.source), 0, None
    slots = SlotWatch(app.options.interval if count == 1 else SLOTS_INTERVAL_S)
    slots.look(app.source, before.at_s)
    while count is None or shown < count:
        time.sleep(app.options.interval)
        last, before = _next(app, before, slots)
        if app.as_json:
            app.screen.json(last, lines=count != 1)
        else:
            if shown:
                app.screen.line()
            _print(app.screen, last)
        shown += 1
    return last


def _next(app: App, before: Sample, slots: SlotWatch) -> tuple[dict[str, Any], Sample]:
    """The frame from `before` until now, and the look that is the next one's `before`."""
    after = take(app.source)
    slots.look(app.source, after.at_s)
    most = app.options.top
    return frame(before, after, most) | {"slots": slots.rows()[:most]}, after


def headline(now: dict[str, Any]) -> str:
    """The totals on one line."""
    total = now["total"]
    parts = [time.strftime("%H:%M:%S", time.localtime(now["unix_s"]))]
    if total["proxy_ops"] is not None:
        parts.append(f"{human_count(total['proxy_ops'])} ops/s through proxies")
    if total["engine_ops"] is not None:
        parts.append(f"{human_count(total['engine_ops'])} ops/s on engines")
    for name, value in (("cpu", _percent(total["cpu_percent"])), ("hits", _percent(total["hit_percent"])),
                        ("p50", human_us(total["p50_us"])), ("p99", human_us(total["p99_us"])),
                        ("keys", human_count(total["keys"])), ("memory", human_bytes(total["used_memory_bytes"]))):
        if value is not None:
            parts.append(f"{name} {value}")
    return "  ".join(parts)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}%"


def tables(now: dict[str, Any]) -> list[tuple[list[str], list[list[Any]]]]:
    """Headers and rows: processes, commands and, where there are any, slots."""
    found: list[tuple[list[str], list[list[Any]]]] = [
        (["process", "state", ">ops/s", ">cpu", ">us/call", ">p50", ">p99", ">hits", ">keys", ">memory", ">clients",
          ">in/s", ">out/s", ">expired/s"],
         [[one["name"], state(one["state"]), human_count(one["ops"]), _percent(one["cpu_percent"]),
           one["usec_per_call"], human_us(one["p50_us"]), human_us(one["p99_us"]), _percent(one["hit_percent"]),
           human_count(one["keys"]), human_bytes(one["used_memory_bytes"]), one["clients"],
           human_bytes(one["in_bytes"]), human_bytes(one["out_bytes"]), human_count(one["expired"])]
          for one in now["processes"]]),
        (["command", ">calls/s", ">us/call", ">% of time", ">failed/s", ">refused/s"],
         [[one["name"], human_count(one["calls"]), one["usec_per_call"], one["time_percent"],
           human_count(one["failed"]), human_count(one["rejected"])] for one in now["commands"]])]
    if now["slots"]:
        found.append((["slot", "engine", ">cpu", ">keys", ">in/s", ">out/s"],
                      [[one["slot"], one["process"], f"{one['cpu_percent']}%", human_count(one["keys"]),
                        human_bytes(one["in_bytes"]), human_bytes(one["out_bytes"])] for one in now["slots"]]))
    return found


def _print(screen: Screen, now: dict[str, Any]) -> None:
    screen.line(headline(now), STRONG)
    for headers, rows in tables(now):
        if rows:
            screen.line()
            screen.table(headers, rows)
    screen.file.flush()


# --- the live view ------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def keys(fd: int) -> Iterator[None]:
    """Keys come one by one and are not echoed; the terminal is as before afterwards."""
    import termios
    import tty

    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def wait(fd: int, until_s: float, paused: bool) -> str:
    """The key that was pressed before `until_s` (monotonic); empty for none. paused: waits for a key for ever."""
    while True:
        left_s = None if paused else until_s - time.monotonic()
        if left_s is not None and left_s <= 0:
            return ""
        if select.select([fd], [], [], left_s)[0]:
            typed = os.read(fd, 64)     # a key that sends several bytes, an arrow say, is one key
            return typed.decode("latin-1") if typed else "q"


def _live(app: App, count: int | None) -> dict[str, Any] | None:
    from rich.live import Live

    fd = sys.stdin.fileno()
    last: dict[str, Any] | None = None
    shown, paused = 0, False
    before, slots = take(app.source), SlotWatch()
    slots.look(app.source, before.at_s)
    with keys(fd), Live(console=app.screen.console(), screen=True, auto_refresh=False) as live:
        live.update(_view(None, app, "the first figures come after one interval"), refresh=True)
        due_s = before.at_s + app.options.interval
        while count is None or shown < count:
            key = wait(fd, due_s, paused)
            if key in ("q", "Q", "\x04"):
                break
            if key == "p":
                paused = not paused
                live.update(_view(last, app, "stopped, p goes on" if paused else ""), refresh=True)
            elif key in ("", " "):
                last, before = _next(app, before, slots)
                shown += 1
                live.update(_view(last, app, "stopped, p goes on" if paused else ""), refresh=True)
            due_s = max(before.at_s + app.options.interval, time.monotonic())
    return last


def _view(now: dict[str, Any] | None, app: App, note: str) -> Any:
    from rich.console import Group
    from rich.text import Text

    hint = Text(f"q quit  p pause  blank: look now   {app.source.where}" + (f"   {note}" if note else ""), style=FAINT)
    if now is None:
        return Group(hint)
    height = app.screen.console().size.height
    parts: list[Any] = [Text(headline(now), style=STRONG)]
    room = height - _OTHER_LINES - len(now["processes"])
    groups = tables(now)
    for place, (headers, rows) in enumerate(groups):
        if place:
            rows = rows[:max(1, room // (len(groups) - 1))]
        if rows:
            parts += [Text(), table(headers, rows, True)]
    return Group(*parts, Text(), hint)


COMMANDS: Final = (
    Command("top", "live: ops, CPU, latency, hottest commands and slots", "Shows what every process does, and which "
            "commands and slots take the time, once a second. On a terminal q ends it, p pauses. Elsewhere, or with "
            "--once, frames are printed as text; with --json, as one JSON object per line. Exit code 1 where something "
            "is not up.", top, FIELDS, arguments, examples=("top", "top --once", "top --json -i 5 -c 12")),
)
