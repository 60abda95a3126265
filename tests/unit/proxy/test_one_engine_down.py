"""One engine of three is down: what concerns all of them is refused as a whole, or says what is missing."""
import time
from collections.abc import Iterator

import pytest

from harness.resp import OK, Error
from shardd.base import limits
from shardd.base.clock import mono_ms
from unit.proxy.rig import Client, Rig

DOWN = Error("CLUSTERDOWN engine 1 is down, the command was not executed")
IN_PART = Error("ERR an engine is down, the command may have been executed in part")


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(3)
    for engine in rig.engines:
        engine.auto = lambda request: b"+OK\r\n"
    rig.engines[1].die()
    rig.turn()
    yield rig
    rig.close()


def ask(c: Client, *words: object) -> object:
    """A command whose parts for the dead engine are given up after proxy-retry-ms, as often as it takes."""
    c.send(*words)
    for _ in range(4):
        c.rig.server.backends.check(mono_ms() + limits.PROXY_RETRY_MS + 1)
        c.rig.ring()
    return c.read()


@pytest.mark.parametrize("line", [
    "DBSIZE", "KEYS *", "RANDOMKEY", "SWAPDB 0 1", "MEMORY STATS", "MEMORY DOCTOR", "MEMORY MALLOC-STATS",
    "SLOWLOG GET", "SLOWLOG LEN", "LATENCY LATEST", "LATENCY HISTORY command", "LATENCY GRAPH command",
    "LATENCY DOCTOR", "LATENCY HISTOGRAM", "CLUSTER SLOT-STATS SLOTSRANGE 0 16383",
    "CLUSTER SLOT-STATS ORDERBY key-count"])
def test_refused(rig, line):
    assert ask(rig.client(), line) == DOWN


def test_a_swap_leaves_no_half(rig):
    assert ask(rig.client(), "SWAPDB 0 1") == DOWN
    for engine in (rig.engines[0], rig.engines[2]):
        assert not [request for request in engine.take() if request[0] == b"SWAPDB"]


@pytest.mark.parametrize("line", ["FLUSHALL", "FLUSHDB", "CONFIG RESETSTAT"])
def test_done_in_part(rig, line):
    assert ask(rig.client(), line) == IN_PART
    assert [request for request in rig.engines[0].take() if request[0] == line.split()[0].encode()]


def test_config_set_is_all_or_nothing(rig):
    c = rig.client()
    assert ask(c, "CONFIG SET hz 50 timeout 7") == DOWN
    for engine in (rig.engines[0], rig.engines[2]):
        assert [request[2:] for request in engine.take() if request[:2] == [b"CONFIG", b"SET"]] == [
            [b"hz", b"50", b"timeout", b"7"], [b"hz", b"10", b"timeout", b"0"]]
    assert rig.server.config["hz"] == 10 and rig.server.config["timeout"] == 0


def test_config_set_that_may_have_run_is_set_back():
    rig = Rig(2)
    rig.engines[0].auto = lambda request: b"+OK\r\n"
    c = rig.client()
    c.send("CONFIG SET hz 50")
    link = rig.engines[1]
    assert link.take() == [[b"CONFIG", b"SET", b"hz", b"50"]]
    link.auto = lambda request: b"+OK\r\n"
    for sock in link.links:
        sock.close()
    link.links.clear()
    for _ in range(20):     # until the link stands again
        time.sleep(0.01)
        rig.turn()
        rig.ring()
    assert c.read() == Error("ERR engine 1 is down, the command may or may not have been executed")
    assert [b"CONFIG", b"SET", b"hz", b"10"] in link.take()
    rig.close()


def test_what_is_of_other_engines_goes_on(rig):
    c = rig.client()
    assert c("SET", rig.key(0), "v") == OK == c("SET", rig.key(2), "v")
    assert ask(c, "GET", rig.key(1)) == DOWN
    assert c("CONFIG GET hz") == [b"hz", b"10"]
