"""Eviction: who goes, in which order, what is told of it, and that it ends where there is room."""
import gc
import random
import time
from types import SimpleNamespace

import pytest

from harness.resp import OK, Error, encode
from shardd.base import limits
from shardd.engine.cron import Cron
from shardd.keyspace import eviction
from shardd.structures import alloc
from unit.inproc import Engine

OOM = Error("OOM command not allowed when used memory > 'maxmemory'.")
NOW = int(time.time() * 1000)
SOON = NOW + 10_000_000


@pytest.fixture
def engine():
    engine = Engine("--databases", "4")
    drain(engine)
    yield engine
    alloc.set_limit(0)


def drain(engine: Engine) -> None:
    """Free what is to be freed, of engines before as well: the list of large values is the process's."""
    gc.collect()
    while engine.server.keyspace.free_step(100_000):
        pass


def put(engine: Engine, names, value: str = "v" * 50, *words) -> int:
    """SET all of them; how many were refused."""
    names, refused = list(names), 0
    for at in range(0, len(names), 200):
        engine.run.send(b"".join(encode("SET", name, value, *words) for name in names[at:at + 200]))
        refused += sum(engine.run.read() != OK for _ in names[at:at + 200])
    return refused


def limit(engine: Engine, policy: str, room: int = 0) -> int:
    """Set the policy, and maxmemory to what is held now and so much more."""
    engine("CONFIG", "SET", "maxmemory-policy", policy)
    size = engine.server.evictor.held_bytes + room
    engine.server.evictor.maxmemory = size
    return size


def until_settled(engine: Engine) -> int:
    for steps in range(1, 100_000):
        if not engine.server.evictor.step():
            return steps
    raise AssertionError("eviction does not come to an end")


# ---- it ends where there is room

@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
                                    "volatile-random", "volatile-ttl"])
def test_memory_stays_below_the_limit(engine, policy):
    put(engine, ["first"])
    size = limit(engine, policy, 600_000)
    assert put(engine, [f"k{n}" for n in range(20_000)], "v" * 50, "PXAT", SOON) == 0
    until_settled(engine)
    evicted = engine.server.keyspace.evicted
    assert engine.server.evictor.held_bytes <= size
    assert 3000 < engine("DBSIZE") == 20_001 - evicted, "no more than needed"
    assert engine.server.evictor.held_bytes > size - 1000
    assert engine("INFO stats").count(b"evicted_keys:%d\r\n" % evicted) == 1
    engine.check()


def test_without_eviction_what_may_grow_is_refused(engine):
    limit(engine, "noeviction", 100_000)
    assert put(engine, [f"k{n}" for n in range(3000)]) > 1000
    assert engine("SET k v") == OOM and engine("GET k0") == b"v" * 50
    assert engine("DEL k0") == 1 and engine.server.keyspace.evicted == 0


def test_volatile_policies_spare_the_others(engine):
    put(engine, [f"stay{n}" for n in range(1000)])
    put(engine, [f"go{n}" for n in range(1000)], "v" * 50, "PXAT", SOON)
    for policy in ("volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"):
        limit(engine, policy, -5000)
        until_settled(engine)
        assert sum(key.startswith(b"stay") for key in engine("KEYS *")) == 1000, policy
    assert 0 < engine("DBSIZE") < 2000
    engine.server.evictor.maxmemory = 1
    until_settled(engine)
    assert engine("DBSIZE") == 1000 and engine("SET new v") == OOM
    engine.check()


@pytest.mark.parametrize("policy", ["allkeys-lfu", "allkeys-random"])
def test_all_databases_are_evicted_from(engine, policy):
    """Where all keys are worth the same. (By lru they would not be: the last database was written last.)"""
    engine("CONFIG", "SET", "maxmemory-policy", policy, "lfu-decay-time", "0")
    for db in range(3):
        engine("SELECT", db)
        put(engine, [f"k{n}" for n in range(2000)])
    limit(engine, policy, -300_000)
    until_settled(engine)
    sizes = [engine.server.keyspace.databases[db].used for db in range(3)]
    assert all(0 < size < 2000 for size in sizes)
    if policy == "allkeys-random":
        assert max(sizes) - min(sizes) <= 1, "one after the other"
    engine.check()


def test_one_key_with_an_expiry_among_many_of_a_slot_is_found(engine):
    put(engine, [f"{{t}}{n}" for n in range(50_000)])
    engine("SET", "{t}it", "v", "PXAT", SOON)
    limit(engine, "volatile-lru", -10)
    until_settled(engine)
    assert engine("EXISTS {t}it") == 0 and engine("DBSIZE") == 50_000


# ---- who goes

def test_every_key_is_drawn_equally(engine):
    """Whatever its slot: 100 slots with one key each, and one with 900. So with random eviction down to 500 keys, the
    big slot keeps its share."""
    rest = []
    for _ in range(20):
        engine("FLUSHALL")
        put(engine, [f"single{n}" for n in range(100)] + [f"{{t}}{n}" for n in range(900)])
        limit(engine, "allkeys-random", 0)
        while engine("DBSIZE") > 500:
            engine.server.evictor.maxmemory = engine.server.evictor.held_bytes - 1
            until_settled(engine)
        engine.server.evictor.maxmemory = 0
        rest.append(sum(key.startswith(b"single") for key in engine("KEYS *")))
    assert 44 < sum(rest) / 20 < 56, "50 are expected, with a deviation of 1"


@pytest.mark.parametrize("samples, most", [(5, 0.1), (64, 0.01)])
def test_the_longest_idle_go(engine, samples, most):
    """Two of three generations are evicted; how many of the last one are among them."""
    engine("CONFIG", "SET", "maxmemory-samples", samples, "maxmemory-policy", "allkeys-lru")
    for generation in range(3):
        put(engine, [f"k:{generation}:{n}" for n in range(1000)])
        time.sleep(1.05)
    while engine("DBSIZE") > 1000:
        engine.server.evictor.maxmemory = engine.server.evictor.held_bytes - 1
        until_settled(engine)
        engine.server.evictor.maxmemory = 0
    assert sum(not key.startswith(b"k:2:") for key in engine("KEYS *")) / 1000 <= most


def test_who_expires_next_goes(engine):
    engine("CONFIG SET maxmemory-samples 64")
    for n in range(500):
        engine("SET", f"k:{n}", "v", "PXAT", SOON + n * 1000)
    limit(engine, "volatile-ttl", 0)
    while engine("DBSIZE") > 250:
        engine.server.evictor.maxmemory = engine.server.evictor.held_bytes - 1
        until_settled(engine)
    engine.server.evictor.maxmemory = 0
    assert sum(int(key.split(b":")[1]) < 250 for key in engine("KEYS *")) < 15


def test_who_is_used_often_stays(engine):
    engine("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "maxmemory-samples", "10")
    put(engine, [f"often{n}" for n in range(50)] + [f"rare{n}" for n in range(1000)])
    for _ in range(30):
        for n in range(50):
            engine("GET", f"often{n}")
    limit(engine, "allkeys-lfu", 0)
    while engine("DBSIZE") > 100:
        engine.server.evictor.maxmemory = engine.server.evictor.held_bytes - 1
        until_settled(engine)
    engine.server.evictor.maxmemory = 0
    assert sum(key.startswith(b"often") for key in engine("KEYS *")) >= 45


def test_an_overwritten_key_stays_as_often_used(engine):
    engine("CONFIG SET maxmemory-policy allkeys-lfu")
    engine("SET k v")
    for _ in range(300):
        engine("SET k v")
        engine("SET", "k", "v" * 300)
    assert engine("OBJECT FREQ k") > 8
    engine("SET n 1")
    for _ in range(300):
        engine("INCR n")
    assert engine("OBJECT FREQ n") > 8


def test_whoever_was_used_since_it_was_pooled_is_spared(engine):
    """The pool is of one sampling; what it says need not be so any more at the next."""
    engine("CONFIG", "SET", "maxmemory-samples", "64", "maxmemory-policy", "allkeys-lru")
    put(engine, [f"k{n}" for n in range(10)])
    engine.server.keyspace.set_time(int(time.time() * 1000) + 100_000)
    engine.server.evictor.maxmemory = engine.server.evictor.held_bytes - 1
    engine.server.evictor.step()
    assert engine.server.keyspace.evicted == 1
    left = sorted(engine("KEYS *"))
    engine.server.evictor.maxmemory = 0
    engine.server.keyspace.set_time(int(time.time() * 1000) + 200_000)
    for key in left[:-1]:
        engine("GET", key)
        engine.server.keyspace.set_time(int(time.time() * 1000) + 200_000)
    engine.server.evictor.maxmemory = engine.server.evictor.held_bytes - 1
    engine.server.evictor.step()
    engine.server.evictor.maxmemory = 0
    assert len(engine("KEYS *")) == 8


# ---- what is told of it

@pytest.mark.parametrize("lazy, word", [("no", b"DEL"), ("yes", b"UNLINK")])
def test_the_journal_hears_of_it_before_the_command(engine, lazy, word):
    put(engine, [f"k{n}" for n in range(500)])
    engine("CONFIG", "SET", "lazyfree-lazy-eviction", lazy)
    limit(engine, "allkeys-random", -1)
    engine.follow()
    assert engine("SET", "new", "v") == OK
    *evicted, last = engine.effects()
    assert last == [b"SET", b"new", b"v"]
    assert len(evicted) == 1 and evicted[0][0] == word
    assert engine("EXISTS", evicted[0][1]) == 0
    copy = Engine("--databases", "4")
    put(copy, [f"k{n}" for n in range(500)])
    engine.server.evictor.maxmemory = 0


def test_expiry_is_told_as_lazyfree_lazy_expire_says(engine):
    engine("CONFIG SET lazyfree-lazy-expire yes")
    engine.follow()
    for name in ("swept", "asked"):
        engine("SET", name, "v", "PXAT", SOON)
    engine.effects()
    engine.server.keyspace.set_time(SOON + 1)
    engine.server.expirer.cycle(10_000)
    assert sorted(engine.effects()) == [[b"UNLINK", b"asked"], [b"UNLINK", b"swept"]]


def test_without_memory_for_the_journal_a_key_stays(engine):
    put(engine, [f"k{n}" for n in range(10)] + ["K" * 200_000])
    limit(engine, "allkeys-random", -1)
    assert engine.server.evictor.step() is False
    engine.check()


# ---- in steps

def large(engine: Engine, name: str, members: int) -> None:
    for at in range(0, members, 5000):
        engine("SADD", name, *[f"member:{n}" for n in range(at, at + 5000)])


def test_while_a_large_value_is_freed_nothing_else_goes(engine):
    put(engine, [f"k{n}" for n in range(3)], "v" * 50, "PXAT", SOON + 1000)
    large(engine, "large", 200_000)
    engine("PEXPIREAT", "large", SOON)
    engine("CONFIG SET maxmemory-samples 64")
    limit(engine, "volatile-ttl", -6_000_000)
    assert engine("SET", "new", "v") == OK, "its memory is on the way back"
    assert engine("EXISTS large") == 0 and engine("DBSIZE") == 4
    steps = until_settled(engine)
    assert steps > 1
    assert engine.server.keyspace.evicted == 1 and engine("DBSIZE") == 4
    assert not engine.server.evictor.over
    engine.check()


def test_without_a_policy_freed_memory_is_waited_for_as_well(engine):
    large(engine, "large", 100_000)
    put(engine, ["k"])
    limit(engine, "noeviction", -2_000_000)
    assert engine("SET k v") == OOM
    engine("UNLINK large")
    for _ in range(1000):
        if engine("SET k v") == OK:
            break
    else:
        raise AssertionError("the memory does not come back")
    drain(engine)
    engine.check()


def test_one_turn_is_bounded_and_the_clock_goes_on(engine):
    """maxmemory drops far below what is in use: each command evicts a little, and asks the clock to go on."""
    put(engine, [f"k{n}" for n in range(60_000)])
    asked = []
    engine.server.evictor.on_running = lambda: asked.append(1)
    before = engine("DBSIZE")
    limit(engine, "allkeys-lru", -4_000_000)
    start = time.process_time()
    assert put(engine, [f"new{n}" for n in range(200)]) == 0, "not refused while eviction is under way"
    took = time.process_time() - start
    assert asked == [1] and engine.server.evictor.running
    assert engine("DBSIZE") > before // 2 and took < 0.2
    until_settled(engine)
    assert not engine.server.evictor.over and not engine.server.evictor.running
    engine.check()


def test_the_clock_goes_on_until_there_is_room(engine):
    put(engine, [f"k{n}" for n in range(30_000)])
    later: list = []
    loop = SimpleNamespace(call_later=lambda seconds, call: later.append((seconds, call)) or SimpleNamespace(
        cancel=lambda: None))
    cron = Cron(engine.server, loop)      # type: ignore[arg-type]
    cron.start()
    later.clear()
    engine("CONFIG SET maxmemory-policy allkeys-lru")
    assert engine("CONFIG", "SET", "maxmemory", engine.server.evictor.held_bytes - 2_000_000) == OK
    steps = 0
    while later:
        seconds, call = later.pop()
        assert seconds == 0
        call()
        steps += 1
    assert steps > 3 and not engine.server.evictor.over
    assert engine.server.longest_step_cpu_us < 5000


def test_tenacity():
    assert [eviction.limit_us(tenacity) for tenacity in (0, 1, 10, 100)] == [0, 50, 500, -1]
    assert eviction.limit_us(11) == 575 and 100_000_000 < eviction.limit_us(99) < 200_000_000
    assert limits.EVICTION_TURN_US >= 500


def test_tenacity_of_0_evicts_one_key_at_a_time(engine):
    put(engine, [f"k{n}" for n in range(100)])
    engine("CONFIG SET maxmemory-eviction-tenacity 0")
    limit(engine, "allkeys-lru", -1000)
    engine.server.evictor.step()
    assert engine("EXISTS k") == 0 and 97 <= engine("DBSIZE") <= 99
    assert until_settled(engine) > 5 and not engine.server.evictor.over


def test_without_a_limit_nothing_is_left_to_the_clock(engine):
    put(engine, [f"k{n}" for n in range(20_000)])
    engine("CONFIG SET maxmemory-eviction-tenacity 100")
    limit(engine, "allkeys-random", -1_000_000)
    engine("PING")
    assert not engine.server.evictor.over and not engine.server.evictor.running


# ---- the pool

def test_keys_of_all_lengths_are_pooled(engine):
    rng = random.Random(1)
    engine("CONFIG SET maxmemory-samples 64")
    for n in range(300):
        key = b"%d" % n + b"K" * rng.choice([0, 10, 250, 300, 5000, 70_000])
        engine("SET", key, "v", "PXAT", SOON + rng.randrange(10**6))
    for policy in ("volatile-ttl", "allkeys-lru", "volatile-lru", "allkeys-lfu"):
        engine("CONFIG", "SET", "maxmemory-policy", policy)
        for _ in range(60):
            engine.server.evictor.maxmemory = max(1, engine.server.evictor.held_bytes - 1)
            until_settled(engine)
        engine.server.evictor.maxmemory = 0
        engine.check()
    assert 50 <= engine("DBSIZE") <= 60
