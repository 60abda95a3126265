"""LATENCY: spikes of the latency monitor, and how the calls of each command are distributed.

Owns: the replies, for one engine and for several as one: the rules by which events and distributions are joined are
here, so that a proxy's answer has one meaning. Does not own the keeping: spikes are in `server.latency`
(engine.latency), calls in `server.registry`.

    LATEST, HISTORY, GRAPH, DOCTOR, RESET      events that took latency-monitor-threshold ms or longer
    HISTOGRAM                                  every call of each command, while latency-tracking is on

HISTOGRAM tells, as Redis does, how many calls took up to 1 us, 2 us, 4 us and so on (1,024 ns times a power of two;
what is shown is the end of the bucket of a two-digit histogram, so 1056 us instead of 1048), where that number grows.

Texts for people are our own; replies for programs are those of Redis 7.2 (latency.c).
"""
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from shardd.base import errors
from shardd.base.clock import now_ms
from shardd.base.errors import CommandError
from shardd.base.limits import LATENCY_SAMPLES_MAX
from shardd.base.option_types import short
from shardd.commands.plain import Handler, help_lines
from shardd.structures.histogram import Histogram
from shardd.wire.values import Verbatim


class Event(NamedTuple):
    """What is known of one kind of event.

    samples: (unix time in s, ms) from the oldest, at most one per second; worst_ms: since the last reset.
    """

    samples: list[tuple[int, int]]
    worst_ms: int


def joined(events: Iterable[Event]) -> Event:
    """The same kind of event on several engines: per second the longest, and as many seconds as one engine keeps."""
    longest: dict[int, int] = {}
    worst_ms = 0
    for event in events:
        worst_ms = max(worst_ms, event.worst_ms)
        for second, ms in event.samples:
            longest[second] = max(ms, longest.get(second, 0))
    return Event(sorted(longest.items())[-LATENCY_SAMPLES_MAX:], worst_ms)


# --- for programs -------------------------------------------------------------------------------------------------

def latest_reply(events: dict[str, Event]) -> list[list[Any]]:
    """[name, time, ms, worst ms] of each kind of event."""
    return [[name, *event.samples[-1], event.worst_ms] for name, event in events.items()]


_LEVELS_NS: Final = tuple(1024 << power for power in range(21))
_HIGHEST_NS: Final = 2**30 - 1


def levels(histogram: Histogram) -> dict[int, int]:
    """Microseconds -> calls that took so long at most, where that grows. histogram: nanoseconds, two digits."""
    shown: dict[int, int] = {}
    before = 0
    for level in _LEVELS_NS:
        calls = histogram.count_upto(level)
        if calls > before:
            end = histogram.bucket_of(level)[1] if level < histogram.highest else _HIGHEST_NS
            shown[end // 1000] = before = calls
        if calls == histogram.count:
            break
    return shown


def histogram_reply(histograms: dict[str, Histogram]) -> dict[str, Any]:
    """What HISTOGRAM shows of commands by their full names."""
    return {name: {"calls": one.count, "histogram_usec": levels(one)} for name, one in histograms.items()}


def latencystats(config: Any, histograms: dict[str, Histogram]) -> dict[str, dict[str, str]]:
    """INFO's section `latencystats`: percentiles in microseconds by command; nothing while nothing is tracked.

    config: base.options.Config.
    """
    if not config["latency-tracking"]:
        return {}
    percentiles = config["latency-tracking-info-percentiles"]
    return {f"latency_percentiles_usec_{name}": {f"p{short(q)}": f"{one.percentile(q) / 1000:.3f}" for q in percentiles}
            for name, one in histograms.items()}


# --- for people ---------------------------------------------------------------------------------------------------

_COLUMNS: Final = 80
_ROWS: Final = 4
_MARKS: Final = "_o#"


def _ago(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _column(height: int, age: str) -> str:
    """One sample from top to bottom: a bar of `height` steps (three per row), a blank, and its age."""
    cells = []
    for row in reversed(range(_ROWS)):
        step = height - row * len(_MARKS)
        cells.append(" " if step < 0 else _MARKS[step] if step < len(_MARKS) else "|")
    return "".join(cells) + " " + age


def graph(name: str, event: Event, now_s: int) -> str:
    """Bars, 80 to a block, the oldest first, with the age of each sample written downwards below it."""
    values = [ms for _, ms in event.samples]
    low, high = min(values), max(values)
    steps = _ROWS * len(_MARKS)
    lines = [f"{name} - high {high} ms, low {low} ms (all time high {event.worst_ms} ms)", "-" * _COLUMNS]
    for start in range(0, len(values), _COLUMNS):
        columns = [_column(min(steps - 1, (ms - low) * steps // max(1, high - low)), _ago(max(0, now_s - second)))
                   for second, ms in event.samples[start:start + _COLUMNS]]
        if start:
            lines.append("")
        lines += ["".join(column[row:row + 1] or " " for column in columns)
                  for row in range(max(map(len, columns)))]
    return "\n".join(lines) + "\n"


def _measures(event: Event, now_s: int) -> str:
    values = [ms for _, ms in event.samples]
    average = sum(values) // len(values)
    deviation = sum(abs(average - ms) for ms in values) // len(values)
    period_s = max(1, now_s - event.samples[0][0])
    return (f"{len(values)} spikes (average {average} ms, mean deviation {deviation} ms, one every "
            f"{period_s / len(values):.2f} s). The worst ever took {event.worst_ms} ms.")


def _advice(events: dict[str, Event], config: Any) -> list[str]:
    advice = []
    threshold_us = config["latency-monitor-threshold"] * 1000
    if "command" in events:
        if not 0 <= config["slowlog-log-slower-than"] <= threshold_us:
            advice.append("The slow log does not take all of these commands in: CONFIG SET slowlog-log-slower-than "
                          f"{threshold_us} lets it.")
        advice.append("SLOWLOG GET names the commands that took long. Commands that look at all keys or at all of a "
                      "large value keep everybody else waiting: SCAN and smaller values do not.")
    if "fast-command" in events:
        advice.append("Commands that take little time took long: something else had the processor. See whether the "
                      "machine has more to do than it has cores, whether other virtual machines share them, or "
                      "whether memory is swapped.")
    if "expire-cycle" in events:
        advice.append("Removing expired keys took long: very large values are freed as a whole. Smaller values, or a "
                      "lower active-expire-effort, make the steps shorter.")
    return advice


def report(events: dict[str, Event], config: Any, now_s: int) -> str:
    """DOCTOR's text. config: base.options.Config."""
    if not events:
        if not config["latency-monitor-threshold"]:
            return ("The latency monitor is off, and has seen nothing. CONFIG SET latency-monitor-threshold "
                    "<milliseconds> turns it on.\n")
        return "No spike has been seen. There is nothing to mend.\n"
    lines = ["These events took long:", ""]
    lines += [f"{number}. {name}: {_measures(event, now_s)}"
              for number, (name, event) in enumerate(sorted(events.items()), 1)]
    advice = _advice(events, config)
    if advice:
        lines += ["", "What may help:", "", *(f"- {text}" for text in advice)]
    return "\n".join(lines) + "\n"


# --- the commands of an engine ------------------------------------------------------------------------------------

def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def graph_reply(name: bytes, event: Event | None) -> Verbatim:
    """GRAPH's reply; CommandError where nothing is known of the event."""
    if event is None:
        raise CommandError(errors.no_samples(name))
    return Verbatim(graph(_name(name), event, now_ms() // 1000))


def history(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY HISTORY event"""
    event = server.latency.events().get(_name(args[2]))
    return [list(sample) for sample in event.samples] if event else []


def latest(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY LATEST"""
    return latest_reply(server.latency.events())


def graph_command(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY GRAPH event"""
    return graph_reply(args[2], server.latency.events().get(_name(args[2])))


def doctor(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY DOCTOR"""
    return Verbatim(report(server.latency.events(), server.config, now_ms() // 1000))


def reset(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY RESET [event ...]"""
    return server.latency.reset([_name(name) for name in args[2:]])


def wanted(histograms: dict[str, Histogram], names: list[bytes]) -> dict[str, Histogram]:
    """Those of the commands named, a container standing for its subcommands; of all where none is."""
    if not names:
        return histograms
    chosen: dict[str, Histogram] = {}
    for raw in names:
        asked = raw.decode("latin-1").lower()
        chosen |= {name: one for name, one in histograms.items()
                   if name == asked or name.startswith(f"{asked}|")}
    return chosen


def histogram(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY HISTOGRAM [command ...]"""
    return histogram_reply(wanted(server.registry.latencies(), args[2:]))


def latency_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY HELP"""
    return help_lines("LATENCY", [
        "DOCTOR",
        "    What the spikes of latency may come from.",
        "GRAPH <event>",
        "    The spikes of an event as a picture.",
        "HISTORY <event>",
        "    The spikes of an event: unix time and milliseconds of each.",
        "LATEST",
        "    The last spike of each event, and the worst.",
        "RESET [<event> ...]",
        "    Forget the spikes of some events or of all.",
        "HISTOGRAM [<command> ...]",
        "    How many calls of a command took how many microseconds at most.",
    ])


HANDLERS: Final[dict[str, Handler]] = {
    "latency|history": history,
    "latency|latest": latest,
    "latency|graph": graph_command,
    "latency|doctor": doctor,
    "latency|reset": reset,
    "latency|histogram": histogram,
    "latency|help": latency_help,
}
"""Full lower-case command name -> handler, for whoever builds a registry."""
