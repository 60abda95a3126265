"""LATENCY's rules for joining and showing: pure functions."""
import pytest

from shardd.base.limits import LATENCY_SAMPLES_MAX
from shardd.base.options import Config
from shardd.commands.latency import Event, graph, joined, latest_reply, levels, report, wanted
from shardd.structures.histogram import Histogram


def test_joined_by_time_the_longest_of_each_second():
    event = joined([Event([(1, 5), (3, 7)], 50), Event([(1, 9), (2, 4)], 12), Event([(3, 2)], 2)])
    assert event == Event([(1, 9), (2, 4), (3, 7)], 50)


def test_joined_keeps_no_more_than_one_engine_would():
    events = [Event([(second * 2 + engine, 1) for second in range(LATENCY_SAMPLES_MAX)], 1) for engine in (0, 1)]
    samples = joined(events).samples
    assert [second for second, _ in samples] == list(range(LATENCY_SAMPLES_MAX, 2 * LATENCY_SAMPLES_MAX))


def test_latest_is_the_last_sample_and_the_worst():
    assert latest_reply({"command": Event([(1, 9), (4, 2)], 30)}) == [["command", 4, 2, 30]]


@pytest.mark.parametrize("ns, shown_us", [
    (0, 1), (1023, 1), (1024, 1), (1031, 1), (1032, 2), (4000, 4), (692_000, 1056), (1_000_000, 1056),
    (600_000_000, 1_073_741), (999_999_999, 1_073_741), (10**12, 1_073_741)])
def test_levels(ns, shown_us):
    histogram = Histogram(2, 10**9)
    histogram.add(ns, 3)
    assert levels(histogram) == {shown_us: 3}


def test_levels_are_cumulative_and_only_where_they_grow():
    histogram = Histogram(2, 10**9)
    for ns, calls in ((500, 1), (1500, 2), (30_000, 4)):
        histogram.add(ns, calls)
    assert levels(histogram) == {1: 1, 2: 3, 33: 7}


def test_wanted():
    names = {"get": 1, "config|get": 2, "config|set": 3, "configure": 4}
    assert wanted(names, []) == names
    assert list(wanted(names, [b"CONFIG", b"nosuch"])) == ["config|get", "config|set"]
    assert list(wanted(names, [b"Config|Get", b"GET"])) == ["config|get", "get"]


def test_graph():
    # the form of Redis's sparkline.c: rows of three marks, oldest first, ages downwards
    samples = [(1000, 10), (1030, 20), (1090, 30), (1099, 130)]
    assert graph("command", Event(samples, 500), 1100).splitlines() == [
        "command - high 130 ms, low 10 ms (all time high 500 ms)", "-" * 80,
        "   #", "   |", "   |", "_o#|", "    ", "1111", "mm0s", "  s "]


def test_graph_of_one_value_and_of_many():
    assert graph("e", Event([(5, 3)], 3), 5).splitlines()[2:] == [" ", " ", " ", "_", " ", "0", "s"]
    blocks = graph("e", Event([(second, 3) for second in range(100)], 3), 100).split("\n\n")
    assert len(blocks) == 2
    assert all(len(line) <= 80 for block in blocks for line in block.splitlines())


def config(*words: str) -> Config:
    return Config.load(words, "shardd-engine")


def test_report():
    quiet, loud = config(), config("--latency-monitor-threshold", "10")
    assert "off" in report({}, quiet, 100) and "latency-monitor-threshold" in report({}, quiet, 100)
    assert "No spike" in report({}, loud, 100)
    text = report({"command": Event([(80, 10), (90, 30)], 70)}, loud, 100)
    assert "1. command: 2 spikes (average 20 ms, mean deviation 10 ms, one every 10.00 s). " \
           "The worst ever took 70 ms." in text
    assert "SLOWLOG GET" in text
    assert "slowlog-log-slower-than" not in text, "10 ms are logged"
    assert "SET slowlog-log-slower-than 5000" in report(
        {"command": Event([(1, 1)], 1)}, config("--latency-monitor-threshold", "5"), 2)
    assert "processor" in report({"fast-command": Event([(1, 1)], 1)}, loud, 2)
    assert "expire" in report({"expire-cycle": Event([(1, 1)], 1)}, loud, 2)
    assert "What may help" not in report({"nosuch": Event([(1, 1)], 1)}, loud, 2)
