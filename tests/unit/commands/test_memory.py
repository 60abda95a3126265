"""MEMORY's replies."""
import pytest

from harness.resp import OK, Double, Error
from shardd.commands import facts
from shardd.structures import alloc
from unit.inproc import Caller, Engine


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
    assert stats[b"allocator.allocated"] <= stats[b"allocator.active"] <= stats[b"allocator.resident"]
    assert stats[b"allocator-fragmentation.bytes"] == stats[b"allocator.active"] - stats[b"allocator.allocated"]
    assert stats[b"allocator-rss.bytes"] == stats[b"allocator.resident"] - stats[b"allocator.active"]


def fields(engine, section: str = "memory") -> dict[str, int]:
    """The integers of a section of INFO."""
    pairs = (line.split(":") for line in engine("INFO", section).decode().split("\r\n") if ":" in line)
    return {name: int(value) for name, value in pairs if value.isdigit()}


def test_used_memory_is_the_sum_of_its_parts(engine):
    engine("SET", "k", "x" * 100_000)
    engine.settle()
    told = fields(engine)
    parts = {name: told[f"used_memory_part_{name}"] for name in ("data", "clients", "links", "journal", "shared")}
    assert told["used_memory"] == sum(parts.values())
    assert parts["data"] == alloc.used_memory() >= engine.check()
    assert told["mem_not_counted_for_evict"] == parts["journal"] + parts["shared"]
    assert told["used_memory"] - told["mem_not_counted_for_evict"] == engine.server.evictor.held_bytes
    assert told["used_memory"] == told["used_memory_overhead"] + told["used_memory_dataset"]
    assert told["used_memory_peak"] >= told["used_memory"]


def test_buffers_of_clients_count(engine):
    before = fields(engine)
    idle = [Caller(engine) for _ in range(10)]
    half = Caller(engine)
    half.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n" + b"x" * 900_000)
    after = fields(engine)
    grown = after["mem_clients_normal"] - before["mem_clients_normal"]
    assert 900_000 <= grown < 1_500_000
    assert after["used_memory"] - before["used_memory"] >= grown
    assert len(idle) == 10 and after["used_memory_part_data"] == before["used_memory_part_data"]


def test_usage_of_a_large_hash_is_sampled(engine):
    for at in range(0, 20_000, 500):
        engine("HSET", "h", *[word for n in range(at, at + 500) for word in (f"field{n:06}", "v" * 30)])
    whole = engine("MEMORY USAGE h SAMPLES 0")
    assert whole == engine("MEMORY USAGE h SAMPLES 30000")
    for line in ("MEMORY USAGE h", "MEMORY USAGE h SAMPLES 1", "MEMORY USAGE h SAMPLES 1000"):
        assert abs(engine(line) - whole) < whole / 100, "all of a size"


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
    ({"allocated": 80 * MIB}, b"Pages: "), ({"resident": 120 * MIB}, b"Free pages: 15.00M"),
    ({"rss": 190 * MIB}, b"Process: "), ({"clients": MIB}, b"Clients: their buffers take 1.00M")])
def test_doctor_looks_at_the_figures(engine, monkeypatch, figures, word):
    normal = {"used": 100 * MIB, "peak": 100 * MIB, "rss": 140 * MIB, "ratio": 1.4, "extra": 40 * MIB, "clients": 1000,
              "allocated": 99 * MIB, "active": 105 * MIB, "resident": 106 * MIB}
    monkeypatch.setattr(facts, "memory_facts", lambda server: normal | figures)
    assert word in engine("MEMORY DOCTOR")


def test_purge_keeps_what_is_in_use(engine):
    for n in range(2000):
        engine("SET", f"k{n}", "v" * 100)
    for n in range(1000):
        engine("DEL", f"k{n}")
    used = engine("INFO memory").partition(b"used_memory_part_data:")[2].partition(b"\r\n")[0]
    assert engine("MEMORY PURGE") == OK
    assert used in engine("MEMORY MALLOC-STATS")
    assert all(engine("GET", f"k{n}") == b"v" * 100 for n in range(1000, 2000))
    engine.check()
