"""LATENCY over several engines that the test plays."""
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.resp import Error
from shardd.structures.histogram import Histogram
from shardd.wire.reply import encode
from unit.proxy.rig import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def answers(rig: Rig, *tables: dict[str, Any]) -> None:
    """What each engine answers, by the request's words."""
    def answer(table: dict[str, Any]) -> Callable[[list[bytes]], bytes]:
        return lambda request: encode(table[b" ".join(request).decode()])
    for engine, table in zip(rig.engines, tables, strict=True):
        engine.auto = answer(table)


SPIKES = ({"LATENCY LATEST": [["command", 20, 7, 90], ["expire-cycle", 11, 2, 2]],
           "LATENCY HISTORY command": [[10, 3], [20, 7]], "LATENCY HISTORY expire-cycle": [[11, 2]],
           "LATENCY HISTORY fork": []},
          {"LATENCY LATEST": [["command", 20, 9, 9], ["fork", 5, 1, 1]],
           "LATENCY HISTORY command": [[12, 8], [20, 9]], "LATENCY HISTORY expire-cycle": [],
           "LATENCY HISTORY fork": [[5, 1]]})


def test_latest_of_all_engines(rig):
    answers(rig, *SPIKES)
    assert rig.client()("LATENCY LATEST") == [[b"command", 20, 9, 90], [b"expire-cycle", 11, 2, 2], [b"fork", 5, 1, 1]]


def test_history_by_time(rig):
    answers(rig, *SPIKES)
    c = rig.client()
    assert c("LATENCY HISTORY command") == [[10, 3], [12, 8], [20, 9]]
    assert c("LATENCY HISTORY fork") == [[5, 1]]


def test_graph_and_doctor_are_of_the_joined_events(rig):
    answers(rig, *SPIKES)
    c = rig.client()
    assert c("LATENCY GRAPH command").startswith(b"command - high 9 ms, low 3 ms (all time high 90 ms)\n")
    report = c("LATENCY DOCTOR")
    assert b"1. command: 3 spikes" in report and b"3. fork: 1 spikes" in report
    assert b"The worst ever took 90 ms." in report


def test_an_event_that_nobody_has_seen(rig):
    answers(rig, *[{"LATENCY LATEST": [], "LATENCY HISTORY command": []}] * 2)
    c = rig.client()
    assert c("LATENCY LATEST") == [] and c("LATENCY HISTORY command") == []
    assert c("LATENCY GRAPH command") == Error("ERR No samples available for event 'command'")
    assert b"monitor is off" in c("LATENCY DOCTOR")


def test_reset_adds_up(rig):
    answers(rig, {"LATENCY RESET command": 1}, {"LATENCY RESET command": 0})
    assert rig.client()("LATENCY RESET command") == 1


def dumped(**calls: list[int]) -> str:
    found = {}
    for name, values in calls.items():
        histogram = Histogram(2, 10**9)
        for ns in values:
            histogram.add(ns)
        found[name] = histogram.dump()
    return json.dumps(found)


def test_histograms_are_added_up_before_they_are_shown(rig):
    answers(rig, {"SHARDD LATENCIES": dumped(get=[500, 1500], set=[900])},
            {"SHARDD LATENCIES": dumped(get=[3000], incr=[40_000])})
    c = rig.client()
    assert c("LATENCY HISTOGRAM") == [
        b"get", [b"calls", 3, b"histogram_usec", [1, 1, 2, 2, 4, 3]],
        b"set", [b"calls", 1, b"histogram_usec", [1, 1]], b"incr", [b"calls", 1, b"histogram_usec", [66, 1]]]
    assert c("LATENCY HISTOGRAM INCR nosuch") == [b"incr", [b"calls", 1, b"histogram_usec", [66, 1]]]


def test_percentiles_are_of_all_calls(rig):
    first, second = dumped(get=[1000] * 99), dumped(get=[50_000] * 1)
    answers(rig, *[{"INFO default commandstats": "", "SHARDD LATENCIES": text} for text in (first, second)])
    text = rig.client()("INFO latencystats").decode()
    assert text == "# Latencystats\r\nlatency_percentiles_usec_get:p50=1.003,p99=1.003,p99.9=50.175\r\n"


def test_one_engine_that_refuses_is_no_answer(rig):
    rig.engines[0].auto = lambda request: b"*0\r\n"
    rig.engines[1].auto = lambda request: b"-ERR no\r\n"
    c = rig.client()
    for line in ("LATENCY LATEST", "LATENCY HISTORY command", "LATENCY GRAPH command", "LATENCY DOCTOR",
                 "LATENCY HISTOGRAM", "LATENCY RESET"):
        assert c(line) == Error("ERR no")
