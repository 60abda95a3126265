"""What a run found, as text, JSON and CSV. Latencies are in ns up to here; people see ms, programs us."""
import csv
import io
from dataclasses import asdict
from typing import Any

from bench import report
from bench.load.crew import Outcome
from shardd.structures.histogram import Histogram

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
HEADERS = ("command", "commands/s", "p50", "p90", "p99", "p99.9", "p99.99", "max")
CSV_HEADER = ("test", "rps", "avg_latency_ms", "min_latency_ms", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
              "max_latency_ms")
FORMAT = 1
"""Of the JSON; a change that is no addition counts it up."""


def percentile(histogram: Histogram, q: float) -> int:
    """A bucket may reach beyond the largest value in it."""
    return min(histogram.percentile(q), histogram.max)


def milliseconds(ns: float) -> str:
    """With as many digits as there are."""
    return f"{ns / 1e6:,.3f}"


def at(histogram: Histogram, q: float) -> str:
    """A percentile in ms."""
    return milliseconds(percentile(histogram, q))


def table(outcome: Outcome) -> str:
    """A row per command, and one for all where there are several; latencies in ms."""
    rows = []
    parts = list(zip(outcome.names, outcome.by_command))
    if len(parts) > 1:
        parts.append(("all", outcome.latencies))
    for name, histogram in parts:
        of_all = histogram.count / outcome.latencies.count if outcome.latencies.count else 0.0
        rows.append([name, report.number(outcome.rate * of_all),
                     *(at(histogram, q) for q in PERCENTILES), milliseconds(histogram.max)])
    return report.markdown(HEADERS, rows, right=range(1, len(HEADERS)))


def headline(outcome: Outcome) -> str:
    """What ran, and what it cost here."""
    settings = outcome.settings
    rate = f", due {settings.rate:,.0f}/s" if settings.rate else ""
    cpu = outcome.cpu_s / outcome.done * 1e6 if outcome.done else 0.0
    return (f"{outcome.label}: {outcome.done:,} commands in {outcome.seconds:.2f} s{rate}; "
            f"{outcome.links} connections, pipeline {settings.pipeline}; {outcome.bytes_out:,} bytes out, "
            f"{outcome.bytes_in:,} in; "
            f"{cpu:.3f} us of CPU per command here. Latencies in ms.")


def notes(outcome: Outcome) -> list[str]:
    """Whatever a reader has to know to believe the table: errors, what is missing, what the tool itself did."""
    found = []
    for text, count in sorted(outcome.texts.items(), key=lambda item: -item[1]):
        found.append(f"{count:,} errors: {text}")
    if outcome.nulls:
        found.append(f"{outcome.nulls:,} replies were null (no such key)")
    if outcome.moved:
        found.append(f"{outcome.moved:,} commands were redirected and not sent again; the slots were learned anew")
    if outcome.pushes:
        found.append(f"{outcome.pushes:,} push messages came")
    if outcome.unanswered:
        found.append(f"{outcome.unanswered:,} commands had no reply at the end; they count with the time they had "
                     "waited")
    if outcome.unsent:
        found.append(f"{outcome.unsent:,} commands were due and could not be sent: the rate was not reached; they "
                     "count with the time they had waited")
    if outcome.lateness.count:
        late = outcome.lateness
        found.append(f"sent late by p50 {at(late, 50)} p99 {at(late, 99)} max {milliseconds(late.max)} ms: "
                     "it is part of the latencies (no free connection, or this process was not awake)")
    if outcome.interrupted:
        found.append("interrupted: these are the figures up to then")
    return found


def text(outcome: Outcome) -> str:
    """All of it for people."""
    return "\n".join([headline(outcome), "", table(outcome), *(["", *notes(outcome)] if notes(outcome) else [])])


def line(outcome: Outcome) -> str:
    """-q: one line."""
    return (f"{outcome.label}: {outcome.rate:,.0f} commands per second, p50 "
            f"{at(outcome.latencies, 50)} p99 {at(outcome.latencies, 99)} ms"
            f"{f', {outcome.errors:,} errors' if outcome.errors else ''}")


def csv_line(outcome: Outcome) -> str:
    """As redis-benchmark --csv, which other tools read."""
    out = io.StringIO()
    h = outcome.latencies
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="").writerow(
        [outcome.label.upper(), f"{outcome.rate:.2f}",
         *(f"{ns / 1e6:.3f}" for ns in (h.mean, h.min, *(percentile(h, q) for q in (50, 95, 99)), h.max))])
    return out.getvalue()


def csv_header() -> str:
    """The line above."""
    return ",".join(f'"{name}"' for name in CSV_HEADER)


def spectrum(histogram: Histogram) -> list[tuple[float, float]]:
    """(percentile, us): every bucket that holds something, up to 100."""
    points, seen = [], 0
    for highest, count in histogram.buckets():
        seen += count
        points.append((seen / histogram.count * 100.0, min(highest, histogram.max) / 1e3))
    return points


def summary(histogram: Histogram) -> dict[str, float]:
    """count, and in us: min, mean, max and the percentiles of the table."""
    if not histogram.count:
        return {"count": 0}
    return {"count": histogram.count, "min": histogram.min / 1e3, "mean": histogram.mean / 1e3,
            **{f"p{q:g}": percentile(histogram, q) / 1e3 for q in PERCENTILES}, "max": histogram.max / 1e3}


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One run. Latencies in us."""
    settings = outcome.settings
    return {
        "label": outcome.label, "seconds": outcome.seconds, "commands": outcome.done,
        "commands_per_second": outcome.rate,
        "rate": settings.rate, "connections": outcome.links, "pipeline": settings.pipeline,
        "processes": settings.processes, "errors": outcome.errors, "error_texts": outcome.texts, "nulls": outcome.nulls,
        "moved": outcome.moved, "pushes": outcome.pushes, "unanswered": outcome.unanswered, "unsent": outcome.unsent,
        "bytes_in": outcome.bytes_in, "bytes_out": outcome.bytes_out, "cpu_seconds": outcome.cpu_s,
        "interrupted": outcome.interrupted, "latency_us": summary(outcome.latencies),
        "by_command_us": {name: summary(histogram) for name, histogram in zip(outcome.names, outcome.by_command)},
        "late_us": summary(outcome.lateness), "spectrum_us": spectrum(outcome.latencies)}


def document(outcomes: list[Outcome], version: str) -> dict[str, Any]:
    """The whole file."""
    settings = asdict(outcomes[0].settings) if outcomes else {}
    settings.pop("workloads", None)
    settings.pop("login", None)     # it holds a password
    return {"format": FORMAT, "tool": "shardd-bench", "version": version, "settings": settings,
            "runs": [as_json(outcome) for outcome in outcomes]}
