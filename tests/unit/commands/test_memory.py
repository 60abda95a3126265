"""MEMORY's replies."""
import pytest

from harness.resp import OK, Double, Error
from shardd.commands import facts
from shardd.structures import alloc
from unit.inproc import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine("--databases", "4")


def test_usage_is_of_the_clients_database(engine):
    engine("SET k v")
    assert engine("MEMORY USAGE k") == (74 if alloc.plain() else 80)
    engine("SELECT 1")
    assert engine("MEMORY USAGE k") is None


@pytest.mark.parametrize("line, reply", [
    ("k SAMPLES", "ERR syntax error"), ("k SAMPLES -1", "ERR syntax error"), ("k BOGUS 1", "ERR syntax error"),
    ("k SAMPLES x", "ERR value is not an integer or out of range"), ("k SAMPLES 1 SAMPLES", "ERR syntax error")])
def test_usage_errors(engine, line, reply):
    assert engine(f"MEMORY USAGE {line}") == Error(reply)


def test_stats_add_up(engine):
    engine("HELLO 3")
    engine("SET", "k", "x" * 100_000)
    stats = engine("MEMORY STATS")
    assert stats[b"total.allocated"] == stats[b"overhead.total"] + stats[b"dataset.bytes"]
    assert stats[b"db.0"][b"overhead.hashtable.main"] > 2**20, "the slots themselves"
    assert b"db.1" not in stats
    assert stats[b"keys.count"] == 1 and stats[b"dataset.bytes"] >= 100_000
    assert isinstance(stats[b"peak.percentage"], Double) and 0 < stats[b"peak.percentage"] <= 100
    assert stats[b"fragmentation.bytes"] == stats[b"allocator.resident"] - stats[b"total.allocated"]


def test_stats_of_nothing():
    engine = Engine()
    engine("FLUSHALL")
    reply = engine("MEMORY STATS")
    stats = dict(zip(reply[::2], reply[1::2], strict=True))
    assert stats[b"keys.count"] == stats[b"keys.bytes-per-key"] == 0


MIB = 2**20


@pytest.mark.parametrize("figures, word", [
    ({"used": 4 * MIB}, b"too little"), ({"used": 100 * MIB}, b"Nothing"), ({"peak": 200 * MIB}, b"Peak: 200.00M"),
    ({"ratio": 1.5, "extra": 70 * MIB}, b"Fragmentation: "), ({"ratio": 9.0, "extra": 60 * MIB}, b"Nothing"),
    ({"clients": MIB}, b"Clients: their buffers take 1.00M")])
def test_doctor_looks_at_the_figures(engine, monkeypatch, figures, word):
    normal = {"used": 100 * MIB, "peak": 100 * MIB, "rss": 140 * MIB, "ratio": 1.4, "extra": 40 * MIB, "clients": 1000}
    monkeypatch.setattr(facts, "memory_facts", lambda server: normal | figures)
    assert word in engine("MEMORY DOCTOR")


def test_purge_keeps_what_is_in_use(engine):
    for n in range(2000):
        engine("SET", f"k{n}", "v" * 100)
    for n in range(1000):
        engine("DEL", f"k{n}")
    used = engine("INFO memory").partition(b"used_memory:")[2].partition(b"\r\n")[0]
    assert engine("MEMORY PURGE") == OK
    assert used in engine("MEMORY MALLOC-STATS")
    assert all(engine("GET", f"k{n}") == b"v" * 100 for n in range(1000, 2000))
    engine.check()
