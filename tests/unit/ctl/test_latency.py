"""latency: the split of proxies, commands of engines, spikes, the probe, the slow log."""

import json

import pytest

from ctl_fakes import FakeSource, ctl, info
from shardd.base.errors import CommandError
from shardd.ctl.link import Unreachable
from shardd.structures.histogram import Histogram


def dumped(*values, highest=10**9):
    histogram = Histogram(2, highest)
    for value in values:
        histogram.add(value)
    return histogram.dump()


@pytest.fixture
def source():
    one = FakeSource(proxies=2)
    parts = {"queue": 10, "engine": 50, "network": 5, "total": 65}
    one.everywhere("proxy", "SHARDD LATENCY", json.dumps({"every": 64, "dropped": 0, "parts": {
        part: dumped(*[us] * 100) for part, us in parts.items()}}).encode())
    one.everywhere("engine", "SHARDD LATENCIES", json.dumps({
        "get": dumped(*[2000] * 10), "set": dumped(*[100_000] * 10), "shardd|status": dumped(5)}).encode())
    one.everywhere("engine", "LATENCY LATEST", [])
    return one


def test_the_split_by_proxy_and_of_all(source):
    done = ctl(source, "latency", "--json")
    assert done.code == 0
    rows = {(row["process"], row["part"]): row for row in done.json["proxies"]}
    assert list(rows)[:4] == [("proxy 0", "queue"), ("proxy 0", "engine"), ("proxy 0", "network"), ("proxy 0", "total")]
    assert rows["proxies", "total"] == {
        "process": "proxies", "part": "total", "count": 200, "mean_us": 65.0, "p50_us": 65.0, "p90_us": 65.0,
        "p99_us": 65.0, "p999_us": 65.0, "max_us": 65.0}


def test_commands_of_all_engines_with_most_time_first(source):
    done = ctl(source, "latency", "--json")
    assert [(row["name"], row["count"]) for row in done.json["commands"]] == [("set", 20), ("get", 20)]
    assert done.json["commands"][1]["mean_us"] == 2.0 and done.json["commands"][1]["p999_us"] == 2.0
    assert ["set", "20", "100", "us"] in [line[:4] for line in ctl(source, "latency").lines]
    assert ["get", "20"] not in [line[:2] for line in ctl(source, "latency", "-n", "1").lines]


def test_a_histogram_without_values_has_no_percentiles(source):
    source.nodes = [node for node in source.nodes if node.name != "proxy 1"]
    source.everywhere("proxy", "SHARDD LATENCY", json.dumps({"every": 0, "dropped": 0, "parts": {
        part: dumped() for part in ("queue", "engine", "network", "total")}}).encode())
    row = ctl(source, "latency", "--json").json["proxies"][0]
    assert row["count"] == 0 and row["p50_us"] is None
    assert ctl(source, "latency").out.startswith("No command through the proxies was sampled yet")


def test_from_elsewhere_info_tells(source):
    source.is_local = False
    front = source.node("proxy 0")
    front.answers["INFO PROXY"] = info(proxy_latency_usec_total="p50=65,p99=90,p99.9=120,max=200,samples=7")
    front.answers["INFO COMMANDSTATS"] = info(
        cmdstat_get="calls=4,usec=8,usec_per_call=2.00,rejected_calls=0,failed_calls=0",
        latency_percentiles_usec_get="p50=1.003,p99=5.023,p99.9=5.023")
    done = ctl(source, "latency", "--json")
    assert done.json["proxies"] == [{"process": "proxies", "part": "total", "count": 7, "mean_us": None, "p50_us": 65,
                                     "p90_us": None, "p99_us": 90, "p999_us": 120, "max_us": 200}]
    assert done.json["commands"] == [{"name": "get", "count": 4, "mean_us": 2.0, "p50_us": 1.003, "p90_us": None,
                                      "p99_us": 5.023, "p999_us": 5.023, "max_us": None}]


def test_spikes(source):
    source.node("engine 1").answers["LATENCY LATEST"] = [[b"command", 1795163438, 50, 70]]
    assert ctl(source, "latency", "--json").json["events"] == [
        {"process": "engine 1", "event": "command", "unix_s": 1795163438, "last_ms": 50, "worst_ms": 70}]
    assert "worst ms" in ctl(source, "latency").out


def test_who_does_not_answer_is_told(source):
    source.node("engine 1").down = "is not running (state backoff)"
    done = ctl(source, "latency", "--json")
    assert done.code == 1 and done.json["silent"] == [
        {"name": "engine 1", "error": "engine 1 is not running (state backoff)"}]
    assert ctl(source, "latency", "probe", "-c", "2").code == 1
    source.node("engine 0").answers["LATENCY DOCTOR"] = b"no spikes"
    done = ctl(source, "latency", "doctor")
    assert done.code == 1 and done.out.splitlines() == ["engine 0", "no spikes", "",
                                                        "engine 1: engine 1 is not running (state backoff)"]


def test_the_probe(source):
    done = ctl(source, "latency", "probe", "-c", "20", "--json")
    assert done.code == 0 and [row["process"] for row in done.json["probes"]] == ["engine 0", "engine 1", "proxy 0",
                                                                                "proxy 1"]
    row = done.json["probes"][0]
    assert row["count"] == 20 and 0 < row["min_us"] <= row["p50_us"] <= row["p99_us"] <= row["max_us"]
    assert len(source.node("engine 0").asked) == 21, "one before the measurement"
    source.node("proxy 0").answers["PING"] = CommandError(b"NOAUTH no")
    assert "NOAUTH" in ctl(source, "latency", "probe", "-c", "1").error


def test_the_slow_log(source):
    front = source.node("proxy 0")
    front.answers["SLOWLOG GET"] = [[7, 1795163438, 5000, [b"set", b"a b", b"\xff"], b"127.0.0.1:5", b"web"]]
    done = ctl(source, "latency", "slow", "--json")
    assert done.json["slow"] == [{"id": 7, "unix_s": 1795163438, "us": 5000, "command": 'set "a b" "\udcff"',
                                  "client": "127.0.0.1:5", "name": "web"}]
    assert 'set "a b" "\\xff"' in ctl(source, "latency", "slow").out
    ctl(source, "latency", "slow", "-c", "3")
    assert front.asked[-1] == ["SLOWLOG", "GET", "3"]
    front.answers["SLOWLOG GET"] = CommandError(b"NOPERM")
    assert ctl(source, "latency", "slow").code == 1


@pytest.mark.parametrize("count", ["0", "-5", "99999999"])
def test_mistakes(source, count):
    assert ctl(source, "latency", "probe", "-c", count).code == 2


def test_an_engine_of_another_version_is_not_silent(source):
    source.everywhere("engine", "SHARDD LATENCIES", CommandError(b"ERR unknown"))
    source.node("proxy 0").answers["INFO"] = info(latency_percentiles_usec_get="p50=1,p99=2,p99.9=3")
    done = ctl(source, "latency", "--json")
    assert done.code == 0 and done.json["commands"][0]["p99_us"] == 2


