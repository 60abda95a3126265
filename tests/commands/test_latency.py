"""LATENCY and INFO latencystats."""
import time

import pytest

from harness.resp import OK, Error

KEYED = pytest.mark.not_on("cluster", reason="a connection to one engine, keys of any slot")


@pytest.fixture
def c(r):
    """A connection on which the monitor is off and empty, and nothing was called yet."""
    conn = r.conn()
    conn.must("CONFIG SET latency-monitor-threshold 0 latency-tracking yes")
    conn.must("LATENCY RESET")
    conn.must("CONFIG RESETSTAT")
    yield conn
    conn.must("CONFIG SET latency-monitor-threshold 0 latency-tracking yes")
    conn.must("CONFIG", "SET", "latency-tracking-info-percentiles", "50 99 99.9")


def distribution(reply):
    """LATENCY HISTOGRAM as a dict, whatever the protocol."""
    def as_dict(flat):
        return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2]))
    return {name: {key: as_dict(value) if key == b"histogram_usec" else value for key, value in as_dict(one).items()}
            for name, one in as_dict(reply).items()}


def percentiles(conn) -> dict[str, dict[str, float]]:
    lines = conn.must("INFO latencystats").decode().splitlines()
    assert lines[0] == "# Latencystats"
    found = {}
    for line in lines[1:]:
        name, _, text = line.partition(":")
        assert name.startswith("latency_percentiles_usec_")
        pairs = [pair.split("=") for pair in text.split(",") if pair]
        found[name.removeprefix("latency_percentiles_usec_")] = {key: float(value) for key, value in pairs}
    return found


# --- spikes -------------------------------------------------------------------------------------------------------

def off(c) -> None:
    """No more spikes: on a busy machine any command can be one. Those that there are stay."""
    c.must("CONFIG SET latency-monitor-threshold 1000000")


def test_nothing_is_kept_while_the_monitor_is_off(c):
    c.must("DEBUG SLEEP 0.003")
    assert c("LATENCY LATEST") == []
    assert c("LATENCY HISTORY command") == []
    assert c("LATENCY GRAPH command") == Error("ERR No samples available for event 'command'")
    assert c("LATENCY RESET") == 0


def test_a_slow_command_is_a_spike(c):
    c.must("CONFIG SET latency-monitor-threshold 5")
    before = int(time.time())
    c.must("DEBUG SLEEP 0.02")
    off(c)
    [[name, second, ms, worst]] = [event for event in c("LATENCY LATEST") if event[0] == b"command"]
    assert before - 1 <= second <= time.time() + 1
    assert 20 <= ms <= worst < 5000
    history = c("LATENCY HISTORY command")
    assert history[-1] == [second, ms]
    low = min(ms for _, ms in history)      # CONFIG SET may be there, too
    assert c("LATENCY HISTORY COMMAND") == [], "names of events have one form"
    graph = c("LATENCY GRAPH command").decode().splitlines()
    assert graph[0] == f"command - high {worst} ms, low {low} ms (all time high {worst} ms)"
    assert graph[1] == "-" * 80
    assert b"command" in c("LATENCY DOCTOR")
    assert c("LATENCY RESET nosuch COMMAND") >= 1
    assert [event for event in c("LATENCY LATEST") if event[0] == b"command"] == []


def test_one_spike_per_second_the_longest(c):
    c.must("CONFIG SET latency-monitor-threshold 5")
    for seconds in ("0.02", "0.04", "0.006"):
        c.must("DEBUG", "SLEEP", seconds)
    off(c)
    history = c("LATENCY HISTORY command")
    assert 1 <= len(history) <= 3
    assert len({second for second, _ in history}) == len(history)
    assert max(ms for _, ms in history) >= 40
    [latest] = [event for event in c("LATENCY LATEST") if event[0] == b"command"]
    assert latest[3] >= 40 and latest[1:3] == history[-1]


def test_commands_above_the_slow_log_but_below_the_threshold(c):
    c.must("CONFIG SET latency-monitor-threshold 1000 slowlog-log-slower-than 1000")
    try:
        c.must("SLOWLOG RESET")
        c.must("DEBUG SLEEP 0.01")
        assert c("SLOWLOG LEN") >= 1 and c("LATENCY LATEST") == []
        c.must("CONFIG SET latency-monitor-threshold 5 slowlog-log-slower-than -1")
        c.must("SLOWLOG RESET")
        c.must("DEBUG SLEEP 0.01")
        off(c)
        assert c("SLOWLOG LEN") == 0 and "command" in [str(event[0], "ascii") for event in c("LATENCY LATEST")]
    finally:
        c.must("CONFIG SET slowlog-log-slower-than 10000")


def test_doctor_speaks(c):
    assert len(c("LATENCY DOCTOR")) > 20
    c.must("CONFIG SET latency-monitor-threshold 100")
    assert len(c("LATENCY DOCTOR")) > 20


@pytest.mark.parametrize("line, error", [
    ("LATENCY", "ERR wrong number of arguments for 'latency' command"),
    ("LATENCY NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try LATENCY HELP."),
    ("LATENCY LATEST x", "ERR wrong number of arguments for 'latency|latest' command"),
    ("LATENCY HISTORY", "ERR wrong number of arguments for 'latency|history' command"),
    ("LATENCY GRAPH a b", "ERR wrong number of arguments for 'latency|graph' command"),
    ("LATENCY DOCTOR x", "ERR wrong number of arguments for 'latency|doctor' command"),
    ("LATENCY GRAPH nosuch", "ERR No samples available for event 'nosuch'"),
])
def test_errors(c, line, error):
    assert c(line) == Error(error)


def test_help(c):
    lines = [str(line) for line in c("LATENCY HELP")]
    assert lines[0] == "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert {"DOCTOR", "GRAPH <event>", "HISTORY <event>", "LATEST"} <= set(lines)


# --- all calls ----------------------------------------------------------------------------------------------------

@KEYED
@pytest.mark.parametrize("resp", (2, 3))
def test_histogram_counts_all_calls(c, r, resp):
    conn = r.conn(resp=resp)
    for number in range(30):
        c.must("SET", f"k{number}", "v")
    c("GET k0"), c("INCR k0")
    reply = conn("LATENCY HISTOGRAM set get incr nosuch")
    assert isinstance(reply, dict) is (resp == 3)
    found = distribution(reply)
    assert {name: one[b"calls"] for name, one in found.items()} == {b"set": 30, b"get": 1, b"incr": 1}
    for one in found.values():
        ends, counts = list(one[b"histogram_usec"]), list(one[b"histogram_usec"].values())
        assert ends == sorted(ends) and counts == sorted(set(counts)) and counts[-1] == one[b"calls"]
        assert set(ends) <= {((1024 << n) + (1024 << n) // 128 - 1) // 1000 for n in range(20)} | {1_073_741}
    everything = distribution(c("LATENCY HISTOGRAM"))
    assert everything[b"set"] == found[b"set"]


@KEYED
def test_histogram_of_a_container_is_of_its_subcommands(c):
    c.must("DEBUG SLEEP 0")
    c("OBJECT HELP"), c("OBJECT ENCODING nosuch")
    found = distribution(c("LATENCY HISTOGRAM OBJECT Debug"))
    assert set(found) == {b"object|help", b"object|encoding", b"debug"}
    assert set(distribution(c("LATENCY HISTOGRAM object|Encoding"))) == {b"object|encoding"}


def test_histogram_of_long_calls(c):
    c.must("DEBUG SLEEP 0.01")
    one = distribution(c("LATENCY HISTOGRAM debug"))[b"debug"]
    assert one[b"calls"] == 1 and len(one[b"histogram_usec"]) == 1 and list(one[b"histogram_usec"])[0] > 10_000


@KEYED
def test_nothing_is_counted_while_tracking_is_off(c):
    c.must("CONFIG SET latency-tracking no")
    c.must("SET k v")
    assert c("LATENCY HISTOGRAM set") == []
    assert percentiles(c) == {}
    c.must("CONFIG SET latency-tracking yes")
    c.must("SET k v")
    assert distribution(c("LATENCY HISTOGRAM set"))[b"set"][b"calls"] == 1
    c.must("CONFIG RESETSTAT")
    assert c("LATENCY HISTOGRAM set") == []


@KEYED
def test_info_latencystats(c):
    for number in range(20):
        c.must("SET", f"k{number}", "v")
    c.must("DEBUG SLEEP 0.01")
    found = percentiles(c)
    assert set(found["set"]) == {"p50", "p99", "p99.9"}
    assert 0 < found["set"]["p50"] <= found["set"]["p99"] <= found["set"]["p99.9"]
    assert 10_000 <= found["debug"]["p50"] < 5_000_000
    assert "latency_percentiles_usec" not in c("INFO").decode()
    assert "latency_percentiles_usec_set" in c("INFO everything").decode()


@KEYED
@pytest.mark.parametrize("words, shown", [
    ("12.123456789 99.999", "12.123457 99.999"), ("0 100", "0 100"), ("1e1", "10"), ("", ""), ("+5. .5", "5 0.5")])
def test_which_percentiles(c, words, shown):
    assert c("CONFIG", "SET", "latency-tracking-info-percentiles", words) == OK
    assert c("CONFIG GET latency-tracking-info-percentiles") == [b"latency-tracking-info-percentiles", shown.encode()]
    c.must("SET k v")
    assert set(percentiles(c)["set"]) == {f"p{word}" for word in shown.split()}


@pytest.mark.parametrize("words, reason", [
    ("101", "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"),
    ("50 -1", "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"),
    ("inf", "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"),
    ("50 x", "Invalid latency-tracking-info-percentiles parameters"),
    ("5_0", "Invalid latency-tracking-info-percentiles parameters"),
])
def test_no_percentiles(c, words, reason):
    assert c("CONFIG", "SET", "latency-tracking-info-percentiles", words) == Error(
        f"ERR CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - {reason}")
