"""maxmemory and its policies, through every target; what an LRU and an LFU keep, beside the real server."""
import random
import time

import pytest

from harness.resp import OK, Error

OOM = Error("OOM command not allowed when used memory > 'maxmemory'.")
ONE_CONFIG = "CONFIG is that of one engine"
VALUE = "v" * 200
POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random",
            "volatile-ttl")


def held(c) -> int:
    """What counts towards maxmemory, when nothing of what earlier tests had is still being freed."""
    while True:
        lines = dict(line.split(":", 1) for line in c.must("INFO memory").decode().split("\r\n") if ":" in line)
        if lines["lazyfree_pending_objects"] == "0":
            return int(lines["used_memory"]) - int(lines["mem_not_counted_for_evict"])
        time.sleep(0.01)


def evicted(c) -> int:
    return int(c.must("INFO stats").decode().partition("evicted_keys:")[2].split()[0])


def settled(c) -> tuple[int, int]:
    """How many keys there are, and how many were evicted by then: eviction goes on behind the commands."""
    while True:
        size, gone = c.must("DBSIZE"), evicted(c)
        if c.must("DBSIZE") == size:
            return size, gone


def fill(c, prefix: str, keys: int, *words: object) -> None:
    for at in range(0, keys, 500):
        replies = c.many(*[("SET", f"{prefix}{n}", VALUE, *words) for n in range(at, min(keys, at + 500))])
        assert set(replies) == {OK}


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_makes_room(r, policy):
    c = r.conn()
    fill(c, "warm", 200)
    with r.config(maxmemory_policy=policy):
        before = evicted(c)
        with r.config(maxmemory=held(c) + 600_000):
            fill(c, "k", 5000, "EX", 10_000)
            size, gone = settled(c)
            assert 500 < size < 5000 and gone - before == 5200 - size
            if policy.startswith("volatile"):
                assert c.must("EXISTS", *[f"{{t}}{n}" for n in range(3)]) == 0
                assert sum(c.many(*[("EXISTS", f"warm{n}") for n in range(200)])) == 200, "who does not expire stays"
    c.must("FLUSHALL")


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
def test_where_no_key_may_go_what_may_grow_is_refused(r, policy):
    c = r.conn()
    c.must("SET k v")
    c.must("SADD s a")
    with r.config(maxmemory_policy=policy, maxmemory=1):
        for line in ("SET k w", "APPEND k w", "SADD s b", "HSET h f v", "INCR n", "COPY k k2", "MSET k 1",
                     "SETRANGE k 9 x"):
            assert c(line) == OOM, line
        # refused for other reasons first: who they are, and how many arguments they have
        assert c("SET k") == Error("ERR wrong number of arguments for 'set' command")
        assert c("NOSUCH k").code == "ERR"
        for line, reply in (("GET k", b"v"), ("SREM s a", 1), ("DEL k", 1), ("EXISTS k", 0), ("PING", "PONG")):
            assert c(line) == reply or str(c(line)) == reply, line
    assert c("SET k v") == OK


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_lowering_maxmemory_evicts_without_a_command(r):
    c = r.conn()
    fill(c, "k", 5000)
    with r.config(maxmemory_policy="allkeys-random"):
        with r.config(maxmemory=held(c) - 500_000):
            deadline = time.monotonic() + 20
            while c.must("DBSIZE") > 4000:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert c.must("DBSIZE") > 1500, "and no more than needed"


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_access_that_is_not_tracked(r):
    c = r.conn()
    c.must("SET k v")
    with r.config(maxmemory_policy="allkeys-lfu"):
        c.must("SET k v")
        assert isinstance(c("OBJECT FREQ k"), int) and c("OBJECT FREQ nokey") is None
        assert c("OBJECT IDLETIME k").code == "ERR" and c("OBJECT IDLETIME nokey") is None
    with r.config(maxmemory_policy="volatile-ttl"):
        assert isinstance(c("OBJECT IDLETIME k"), int) and c("OBJECT FREQ k").code == "ERR"


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_memory_usage(r):
    c = r.conn()
    c.must("SET k v")
    for n in range(0, 2000, 500):
        c.must("HSET", "h", *[word for i in range(n, n + 500) for word in (f"f{i:05}", "v" * 20)])
    whole = c.must("MEMORY USAGE h SAMPLES 0")
    assert whole > 2000 * 26 and abs(c.must("MEMORY USAGE h") - whole) < whole / 10
    assert 50 < c.must("MEMORY USAGE k") < 200 and c.must("MEMORY USAGE nokey") is None
    for line, text in (("MEMORY USAGE k SAMPLES", "ERR syntax error"),
                       ("MEMORY USAGE k SAMPLES -1", "ERR syntax error"),
                       ("MEMORY USAGE k SAMPLES x", "ERR value is not an integer or out of range"),
                       ("MEMORY USAGE", "ERR wrong number of arguments for 'memory|usage' command")):
        assert c(line) == Error(text), line


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_memory_stats_and_the_rest(r):
    c = r.conn(resp=3)
    c.must("SET k v")
    stats = c.must("MEMORY STATS")
    assert {b"peak.allocated", b"total.allocated", b"startup.allocated", b"replication.backlog", b"clients.slaves",
            b"clients.normal", b"cluster.links", b"aof.buffer", b"lua.caches", b"functions.caches", b"db.0",
            b"overhead.total", b"keys.count", b"keys.bytes-per-key", b"dataset.bytes", b"dataset.percentage",
            b"peak.percentage", b"allocator.allocated", b"allocator.active", b"allocator.resident",
            b"allocator-fragmentation.ratio", b"allocator-fragmentation.bytes", b"allocator-rss.ratio",
            b"allocator-rss.bytes", b"rss-overhead.ratio", b"rss-overhead.bytes", b"fragmentation",
            b"fragmentation.bytes"} <= set(stats)
    assert stats[b"keys.count"] == 1 and stats[b"total.allocated"] <= stats[b"peak.allocated"]
    assert stats[b"allocator.allocated"] <= stats[b"allocator.active"]
    assert c("MEMORY PURGE") == OK
    assert len(c.must("MEMORY DOCTOR")) > 20 and len(c.must("MEMORY MALLOC-STATS")) > 20


# ---- what is kept, beside the real one

def hit_rate(target, policy: str, keys: int, seed: int) -> float:
    """Of a cache that has room for a quarter of `keys`, asked with a Zipf-like skew; misses are written."""
    c = target.conn()
    c.must("FLUSHALL")
    rng = random.Random(seed)
    weights = [1 / rank for rank in range(1, keys + 1)]
    asked = rng.choices(range(keys), weights, k=12_000)
    with target.config(maxmemory_policy=policy, maxmemory_samples="5"):
        base = held(c)
        fill(c, "probe", keys // 4)
        room = held(c) - base
        c.must("FLUSHALL")
        hits = 0
        with target.config(maxmemory=held(c) + room):
            for at in range(0, len(asked), 100):
                part = asked[at:at + 100]
                found = c.many(*[("GET", f"k{key}") for key in part])
                missing = {key for key, value in zip(part, found) if value is None}
                if at >= len(asked) // 3:
                    hits += len(part) - sum(value is None for value in found)
                if missing:
                    assert set(c.many(*[("SET", f"k{key}", VALUE) for key in missing])) == {OK}
    c.must("FLUSHALL")
    return hits / (len(asked) - len(asked) // 3)


@pytest.mark.not_on("oracle", "cluster", "proxy", reason="one engine and the oracle are compared")
@pytest.mark.parametrize("policy", ["allkeys-lfu", "allkeys-random"])
def test_hits_as_often_as_the_real_one(r, oracle, policy):
    ours, theirs = (hit_rate(target, policy, 4000, 7) for target in (r, oracle))
    assert ours > theirs - 0.04, (ours, theirs)


@pytest.mark.not_on("cluster", "proxy", reason="one engine and the oracle")
def test_lru_keeps_what_was_used(r):
    """Half of what is there was used a second ago; a quarter goes: with the real one few of the used half do, too."""
    c = r.conn()
    with r.config(maxmemory_policy="allkeys-lru"):
        fill(c, "old", 2000)
        fill(c, "used", 2000)
        time.sleep(2.1)
        c.many(*[("GET", f"used{n}") for n in range(2000)])
        with r.config(maxmemory=held(c)):
            fill(c, "new", 1000)
            lost = 2000 - sum(c.many(*[("EXISTS", f"used{n}") for n in range(2000)]))
            gone = 5000 - c.must("DBSIZE")
    assert gone > 700 and lost < gone * 0.12, (gone, lost)
