"""top: what two looks at the counters give, and the view on a terminal."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctl_fakes import FakeSource, ctl, flat, info
from shardd.base.errors import CommandError
from shardd.ctl import sample, top
from shardd.ctl.facts import Info
from shardd.structures.histogram import Histogram


def counters(**changes):
    return {"run_id": "a" * 40, "total_commands_processed": 1000, "used_cpu_user": 1.0, "used_cpu_sys": 0.5,
            "keyspace_hits": 10, "keyspace_misses": 10, "total_net_input_bytes": 0, "total_net_output_bytes": 0,
            "expired_keys": 0, "evicted_keys": 0, "used_memory": 4096, "connected_clients": 3,
            "db0": "keys=7,expires=0,avg_ttl=0",
            "cmdstat_get": "calls=100,usec=200,usec_per_call=2.00,rejected_calls=0,failed_calls=0",
            "cmdstat_shardd|status": "calls=9,usec=900,usec_per_call=1.00,rejected_calls=0,failed_calls=0"} | changes


@pytest.fixture
def source():
    one = FakeSource()
    one.everywhere("engine", "INFO EVERYTHING", info(**counters()))
    one.node("proxy 0").answers["SHARDD METRICS"] = json.dumps({"fields": {
        "total_commands_processed": 50, "connected_clients": 4, "total_net_input_bytes": 10}}).encode()
    return one


def look(source, at_s):
    taken = sample.take(source)
    taken.at_s = at_s
    return taken


def test_rates_are_differences_over_the_time_between(source):
    before = look(source, 10.0)
    source.node("engine 0").answers["INFO EVERYTHING"] = info(**counters(
        total_commands_processed=1200, used_cpu_user=1.5, keyspace_hits=40, keyspace_misses=20, expired_keys=4,
        total_net_input_bytes=5000,
        cmdstat_get="calls=300,usec=1200,usec_per_call=4.00,rejected_calls=1,failed_calls=2",
        cmdstat_set="calls=10,usec=4000,usec_per_call=400,rejected_calls=0,failed_calls=0"))
    source.node("proxy 0").answers["SHARDD METRICS"] = json.dumps({"fields": {
        "total_commands_processed": 250, "connected_clients": 5, "total_net_input_bytes": 10}}).encode()
    now = sample.frame(before, look(source, 12.0), top=10)
    assert now["interval_s"] == 2.0
    first, second, proxy = now["processes"]
    assert (first["ops"], first["cpu_percent"], first["hit_percent"], first["expired"], first["in_bytes"]) == (
        100.0, 25.0, 75.0, 2.0, 2500.0)
    assert first["usec_per_call"] == round(5000 / 210, 2) and (first["keys"], first["used_memory_bytes"]) == (7, 4096)
    assert second["ops"] == 0.0 and second["hit_percent"] is None
    assert (proxy["ops"], proxy["clients"], proxy["keys"]) == (100.0, 5, None)
    assert now["commands"] == [
        {"name": "set", "calls": 5.0, "usec_per_call": 400.0, "time_percent": 80.0, "failed": 0.0, "rejected": 0.0},
        {"name": "get", "calls": 100.0, "usec_per_call": 5.0, "time_percent": 20.0, "failed": 1.0, "rejected": 0.5}]
    assert now["total"] | {"cpu_percent": 0} == {
        "proxy_ops": 100.0, "engine_ops": 100.0, "cpu_percent": 0, "hit_percent": 75.0, "p50_us": None, "p99_us": None,
        "keys": 14, "used_memory_bytes": 8192}
    assert len(sample.frame(before, look(source, 12.0), top=1)["commands"]) == 1


def test_a_process_that_was_restarted_has_no_rates_yet(source):
    before = look(source, 10.0)
    source.node("engine 0").facts["pid"] = 999
    now = sample.frame(before, look(source, 11.0), top=10)
    assert now["processes"][0]["cpu_percent"] is None and now["processes"][0]["hit_percent"] is None
    assert now["processes"][0]["ops"] == 3, "what it says itself"
    assert now["commands"] == []


def test_counters_that_were_set_back_give_no_rate(source):
    before = look(source, 10.0)
    source.everywhere("engine", "INFO EVERYTHING", info(**counters(total_commands_processed=5)))
    assert sample.growth(10, 5) is None and sample.growth(None, 5) is None
    assert sample.frame(before, look(source, 11.0), top=10)["processes"][0]["ops"] == 3


def test_histograms_of_the_interval(source):
    def dumped(*values):
        histogram = Histogram(2, 10**9)
        for value in values:
            histogram.add(value)
        return json.dumps({"get": histogram.dump(), "shardd|status": histogram.dump()}).encode()

    node = source.node("engine 0")
    node.answers["SHARDD LATENCIES"] = dumped(*[1_000_000] * 50)
    total = json.loads(dumped(*[70] * 9))["get"]
    proxy, nothing = source.node("proxy 0"), json.loads(dumped())["get"]
    proxy.answers["SHARDD LATENCY"] = json.dumps({"parts": {"total": nothing}}).encode()
    before = look(source, 1.0)
    proxy.answers["SHARDD LATENCY"] = json.dumps({"parts": {"total": total}}).encode()
    node.answers["SHARDD LATENCIES"] = dumped(*[1_000_000] * 50, *[1000] * 98, 50_000, 50_000)
    now = sample.frame(before, look(source, 2.0), top=10)
    assert 1.0 <= now["processes"][0]["p50_us"] <= 1.02 and 50 <= now["processes"][0]["p99_us"] <= 51
    assert now["total"]["p50_us"] == now["processes"][0]["p50_us"]
    assert now["processes"][2]["p50_us"] == 70.0, "what its clients waited"


def test_without_its_histograms_the_levels_of_latency_histogram_are_read(source):
    node = source.node("engine 0")
    node.answers["LATENCY HISTOGRAM"] = flat({"get": flat({"calls": 3, "histogram_usec": [1, 2, 4, 3]})})
    [buckets] = [one for found, one in sample._histograms(source).items() if found is node]
    assert buckets == {1000: 2, 4000: 1}
    assert sample.quantile(buckets, 0.5) == 1.0 and sample.quantile(buckets, 0.99) == 4.0
    assert sample.quantile({}, 0.5) is None


def test_hottest_slots(source):
    def stats(*rows):
        return [[slot, flat({"key-count": keys, "cpu-usec": usec, "network-bytes-in": 0, "network-bytes-out": usec})]
                for slot, keys, usec in rows]

    node = source.node("engine 1")
    node.answers["CLUSTER SLOT-STATS"] = stats((9000, 5, 100), (9001, 6, 100))
    watch = sample.SlotWatch(5.0)
    watch.look(source, 1.0)
    assert watch.rows() == []
    node.answers["CLUSTER SLOT-STATS"] = stats((9000, 5, 50_100), (9001, 6, 100), (9002, 1, 5))
    watch.look(source, 2.0)
    assert watch.rows() == [], "an engine is not asked every second"
    watch.look(source, 6.0)
    assert watch.rows() == [{"slot": 9000, "process": "engine 1", "cpu_percent": 1.0, "keys": 5, "in_bytes": 0.0,
                             "out_bytes": 10000.0}]
    now = sample.frame(look(source, 1.0), look(source, 2.0), top=10) | {"slots": watch.rows()}
    assert any(headers[0] == "slot" for headers, _ in top.tables(now))


def test_a_proxy_without_figures_of_its_own_is_asked_for_info(source):
    source.node("proxy 0").answers["SHARDD METRICS"] = CommandError(b"ERR unknown subcommand")
    source.node("proxy 0").answers["INFO"] = info(total_commands_processed=8)
    assert sample.take(source).looks["proxy 0"].info.integer("total_commands_processed") == 8


def test_frames_as_text_and_as_json_lines(source, monkeypatch):
    monkeypatch.setattr(top, "_INTERVAL_MIN_S", 0.0)
    done = ctl(source, "top", "--once", "-i", "0.01")
    assert done.code == 0 and done.lines[2][:4] == ["process", "state", "ops/s", "cpu"]
    done = ctl(source, "top", "--json", "-c", "3", "-i", "0.01")
    assert [sorted(json.loads(line)) for line in done.out.splitlines()] == [
        ["commands", "interval_s", "processes", "slots", "total", "unix_s"]] * 3
    source.node("engine 1").facts["state"] = "backoff"
    assert ctl(source, "top", "--once", "-i", "0.01").code == 1


@pytest.mark.parametrize("words", [["-i", "0"], ["-c", "0"]])
def test_mistakes(source, words):
    assert ctl(source, "top", *words).code == 2


def test_info_reads_what_is_there_and_nothing_else():
    read = Info(b"# Server\r\na:1\r\nb:x:y\r\nc:2.5\r\nnothing\r\ndb3:keys=4,expires=1,avg_ttl=0\r\n")
    assert (read.integer("a"), read.text("b"), read.real("c"), read.integer("c"), read.integer("z")) == (
        1, "x:y", 2.5, None, None)
    assert read.databases == {3: {"keys": 4, "expires": 1, "avg_ttl": 0}} and read.keys == 4 and read.cpu_s is None


# --- the live view ------------------------------------------------------------------------------------------------

LIVE = """
import sys
sys.path.append({here!r})
from ctl_fakes import FakeSource, info
from shardd.ctl import main
source = FakeSource()
source.everywhere("engine", "INFO EVERYTHING", info(total_commands_processed=1, used_memory=5))
main._source = lambda options, command: source
main.main(["top", "-i", "0.2"])
"""


def read_until(fd, words, timeout_s=20.0):
    """What a terminal got until `words` came."""
    got, due_s = b"", time.monotonic() + timeout_s
    while words not in got:
        assert time.monotonic() < due_s, got
        try:
            got += os.read(fd, 65536)
        except OSError:
            break
    return got


def test_on_a_terminal_keys_work_and_the_screen_is_given_back():
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", LIVE.format(here=str(Path(__file__).parent))], stdin=slave,
                               stdout=slave, stderr=slave, env=os.environ | {"TERM": "xterm", "COLUMNS": "120",
                                                                             "LINES": "40",
                                                                             "PYTHONPATH": os.pathsep.join(sys.path)})
    os.close(slave)
    try:
        shown = read_until(master, b"engine 1")
        assert b"\x1b[?1049h" in shown, "the alternate screen"
        os.write(master, b"p")
        read_until(master, b"stopped")
        os.write(master, b" ")
        read_until(master, b"engine 1")
        os.write(master, b"q")
        assert b"\x1b[?1049l" in read_until(master, b"\x1b[?1049l")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
