"""How long commands take: which are sampled, where their time counts, what has no end."""
import json
import time
from collections.abc import Iterator

import pytest

from harness.resp import OK, encode
from proxy import latency
from proxy.latency import PARTS
from shardd.base import limits
from shardd.structures.histogram import Histogram
from unit.proxy.rig import Rig

PAUSE_S = 0.02
PAUSE_US = 20_000


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2, "--proxy-latency-sample", "1")
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def spent(rig: Rig) -> dict[str, int]:
    """us by part, of all samples."""
    return {part: histogram.total for part, histogram in rig.server.backends.latency.histograms().items()}


def samples(rig: Rig) -> int:
    counts = {histogram.count for histogram in rig.server.backends.latency.histograms().values()}
    assert len(counts) == 1, "each sample counts in every part"
    return counts.pop()


def now_us() -> int:
    return time.monotonic_ns() // 1000


def test_the_engines_time_is_the_engines(rig):
    c = rig.client()
    start_us = now_us()
    c.send("GET", rig.key(0))
    sent_us = now_us()
    time.sleep(PAUSE_S)
    before_us = now_us()
    rig.engines[0].reply(bulk(b"v"))
    assert c.read() == b"v"
    assert samples(rig) == 1
    us = spent(rig)
    assert us["engine"] >= PAUSE_US
    assert us["queue"] <= sent_us - start_us + 1 and us["network"] <= now_us() - before_us + 1
    assert us["total"] == us["queue"] + us["engine"] + us["network"]


def test_waiting_for_anothers_reply_is_not_the_engines(rig):
    c = rig.client()
    start_us = now_us()
    c.raw(encode("GET", rig.key(0)) + encode("GET", rig.key(1)))
    rig.engines[1].reply(bulk(b"second"))
    rig.turn()
    second_us = now_us() - start_us
    assert rig.server.backends.latency.under_way == 1 and samples(rig) == 0
    time.sleep(PAUSE_S)
    rig.engines[0].reply(bulk(b"first"))
    assert [c.read(), c.read()] == [b"first", b"second"]
    first_us = now_us() - start_us
    assert samples(rig) == 2
    us = spent(rig)
    assert us["network"] >= PAUSE_US <= us["engine"] <= first_us + second_us + 2, "one of the two only waits"


def test_a_client_that_does_not_read_is_the_networks(rig):
    c = rig.client()
    value = b"x" * 4_000_000
    start_us = now_us()
    c.send("GET", rig.key(0))
    rig.engines[0].reply(bulk(value))
    rig.turn()
    answered_us = now_us() - start_us
    assert samples(rig) == 0, "the kernel has not taken all of it"
    time.sleep(PAUSE_S)
    assert c.read() == value
    assert samples(rig) == 1
    us = spent(rig)
    assert us["network"] >= PAUSE_US and us["engine"] + us["queue"] <= answered_us + 1


def test_a_pipeline_is_measured_in_its_order(rig):
    c = rig.client()
    c.raw(b"".join(encode("GET", rig.key(n % 2)) for n in range(100)))
    for engine in rig.engines:
        engine.reply(bulk(b"v") * 50)
    assert [c.read() for _ in range(100)] == [b"v"] * 100
    assert samples(rig) == 100 and rig.server.backends.latency.dropped == 0


def test_what_is_not_one_commands_way_is_not_measured(rig):
    c = rig.client()
    assert c("PING") and c("SELECT", "1") == OK
    c.send("MGET", rig.key(0), rig.key(1))
    for engine in rig.engines:
        engine.reply(b"+OK\r\n*1\r\n$-1\r\n")      # SELECT first
    assert c.read() == [None, None]
    assert samples(rig) == 0
    c.send("GET", rig.key(0))
    rig.engines[0].reply(b"$-1\r\n")
    assert c.read() is None and samples(rig) == 1


def test_a_redirected_command_is_not_measured(rig):
    c = rig.client()
    c.send("GET", rig.key(0))
    rig.engines[0].reply(b"-MOVED 1 127.0.0.1:%d\r\n" % rig.engines[1].info.port)
    rig.turn()
    rig.engines[1].reply(bulk(b"v"))
    assert c.read() == b"v" and samples(rig) == 0
    c.send("GET", rig.key(0))
    rig.engines[0].reply(bulk(b"w"))
    assert c.read() == b"w" and samples(rig) == 1, "the next one is"


def test_samples_end_with_their_link(rig):
    c = rig.client()
    c.raw(b"".join(encode("GET", rig.key(0)) for _ in range(5)))
    rig.engines[0].die()
    rig.turn()
    assert all(b"ERR" in bytes(str(c.read()), "latin-1") for _ in range(5))
    assert samples(rig) == 0 and rig.server.backends.latency.dropped == 5
    c.send("GET", rig.key(0))       # waits for the engine
    rig.engines[0].listen()
    time.sleep(2 * limits.PROXY_RECONNECT_MIN_MS / 1000)
    rig.ring()
    rig.engines[0].reply(bulk(b"held"))
    assert c.read() == b"held" and samples(rig) == 0, "what waited for its engine is not measured"
    c.send("GET", rig.key(0))
    rig.engines[0].reply(bulk(b"v"))
    assert c.read() == b"v" and samples(rig) == 1


def test_samples_end_with_their_client(rig):
    c = rig.client()
    c.raw(encode("GET", rig.key(0)) + encode("GET", rig.key(1)))
    rig.engines[1].reply(bulk(b"v"))
    c.close()
    rig.engines[0].reply(bulk(b"v"))
    rig.turn()
    assert samples(rig) == 0 and rig.server.backends.latency.under_way == 0 and rig.server.backends.latency.dropped == 2


def test_more_samples_than_there_is_room_for_are_dropped(rig):
    c = rig.client()
    for _ in range(2):
        c.raw(b"".join(encode("GET", rig.key(0)) for _ in range(600)))
        rig.engines[0].reply(bulk(b"v") * 600)
        assert [c.read() for _ in range(600)] == [b"v"] * 600
    dropped = rig.server.backends.latency.dropped
    assert 0 < samples(rig) == 1200 - dropped
    assert samples(rig) >= 2 * 256 or dropped == 0


def test_one_command_in_so_many():
    rig = Rig(1, "--proxy-latency-sample", "16")
    try:
        rig.engines[0].auto = lambda request: b"+OK\r\n"
        c = rig.client()
        for _ in range(100):
            c.raw(encode("GET", "k") * 16)
            assert [c.read() for _ in range(16)] == [OK] * 16
        assert 50 <= samples(rig) <= 200, "100 on average"
        assert c("CONFIG", "SET", "proxy-latency-sample", "0") == OK
        before = samples(rig)
        for _ in range(100):
            c("GET", "k")
        assert samples(rig) == before
        assert c("CONFIG", "SET", "proxy-latency-sample", "1") == OK
        c("GET", "k"), c("GET", "k")
        assert samples(rig) == before + 2
    finally:
        rig.close()


def test_resetstat(rig):
    rig.engines[0].auto = rig.engines[1].auto = lambda request: b"+OK\r\n"
    c = rig.client()
    for _ in range(10):
        c("GET", rig.key(0))
    assert samples(rig) == 10
    assert c("CONFIG", "RESETSTAT") == OK
    assert samples(rig) == 0
    c("GET", rig.key(0)), c("GET", rig.key(0))
    assert samples(rig) == 2, "the commands are counted anew, and still sampled"


# --- what is told of it -------------------------------------------------------------------------------------------

def dumped(every: int = 64, **values: list[int]) -> dict:
    """What a proxy with these values tells."""
    parts = {}
    for part in PARTS:
        histogram = Histogram(2, limits.LATENCY_US_MAX)
        for value in values.get(part, []):
            histogram.add(value)
        parts[part] = histogram.dump()
    return {"every": every, "dropped": 0, "parts": parts}


def test_several_proxies_become_one():
    merged = latency.merged([dumped(queue=[1, 2]), dumped(queue=[100], engine=[7])])
    assert merged["queue"].count == 3 and merged["queue"].max == 100 and merged["engine"].count == 1
    assert latency.counts_upto(merged["queue"])[:4] == [2, 2, 2, 3]
    assert latency.counts_upto(merged["queue"])[-1] == 3


def test_what_the_supervisor_and_shardctl_get(rig):
    rig.engines[0].auto = rig.engines[1].auto = lambda request: b"+OK\r\n"
    c = rig.client()
    for _ in range(3):
        c("GET", rig.key(0))
    control = rig.server.control
    told = json.loads(control(None, [b"SHARDD", b"LATENCY"]))
    assert told["every"] == 1 and set(told["parts"]) == set(PARTS)
    assert Histogram.load(told["parts"]["engine"]).count == 3
    figures = json.loads(control(None, [b"SHARDD", b"METRICS"]))["latency"]
    assert figures["total"]["count"] == 3 == figures["total"]["upto"][-1]
    assert len(figures["total"]["upto"]) == len(limits.LATENCY_BOUNDS_US)
    assert figures["total"]["total_us"] == rig.server.backends.latency.histograms()["total"].total
