"""Fields past their time: who hears of them, that none is missed, and that large hashes go in steps."""
import random
import time

import pytest

from unit.inproc import Engine

NOW = int(time.time() * 1000)
FAR = NOW + 10_000_000


@pytest.fixture
def engine() -> Engine:
    engine = Engine("--databases", "3")
    engine.follow()
    return engine


def told(engine: Engine, *command: object) -> list[list[bytes]]:
    engine.effects()
    engine(*command)
    return engine.effects()


def cycles_at(engine: Engine, when: int, budget_us: int = 0) -> int:
    """Active expiry as if it were `when`, until it has nothing left to do; how many cycles that took."""
    engine.server.keyspace.set_time(when)
    for cycles in range(1, 100_000):
        if not engine.server.expirer.cycle(budget_us):
            engine.server.keyspace.set_time(NOW)
            return cycles
    raise AssertionError("expiry does not come to an end")


def fill(engine: Engine, key: str, count: int, when: int = 0) -> None:
    names = [b"f:%d" % n for n in range(count)]
    for start in range(0, count, 500):
        piece = names[start:start + 500]
        engine("HSET", key, *[word for name in piece for word in (name, b"v")])
        if when:
            assert set(engine("HPEXPIREAT", key, when, "FIELDS", len(piece), *piece)) == {1}


@pytest.mark.parametrize("size", [3, 600])
def test_effects(engine, size):
    engine("HSET h a 1 b 2 c 3")
    fill(engine, "h", size - 3)
    assert told(engine, "HPEXPIREAT", "h", FAR, "NX", "FIELDS", 3, "a", "no", "b") == [
        [b"HPEXPIREAT", b"h", b"%d" % FAR, b"FIELDS", b"2", b"a", b"b"]]
    assert told(engine, "HPEXPIREAT", "h", FAR, "NX", "FIELDS", 1, "a") == []
    [[name, *_, when, _, _, field]] = told(engine, "HEXPIRE h 100 FIELDS 1 a")
    assert (name, field) == (b"HPEXPIREAT", b"a") and abs(int(when) - time.time() * 1000 - 100_000) < 10_000
    assert told(engine, "HPERSIST h FIELDS 2 a c") == [[b"HPERSIST", b"h", b"FIELDS", b"1", b"a"]]
    assert told(engine, "HGETEX", "h", "EXAT", FAR // 1000, "FIELDS", 2, "a", "no") == [
        [b"HPEXPIREAT", b"h", b"%d" % (FAR // 1000 * 1000), b"FIELDS", b"1", b"a"]]
    assert told(engine, "HGETEX h PERSIST FIELDS 2 a c") == [[b"HPERSIST", b"h", b"FIELDS", b"1", b"a"]]
    assert told(engine, "HGETEX h FIELDS 1 a") == [] and told(engine, "HTTL h FIELDS 1 a") == []
    assert told(engine, "HSETEX", "h", "FXX", "PXAT", FAR, "FIELDS", 1, "a", 5) == [
        [b"HSETEX", b"h", b"PXAT", b"%d" % FAR, b"FIELDS", b"1", b"a", b"5"]]
    assert told(engine, "HINCRBYFLOAT h a 1.5") == [[b"HSETEX", b"h", b"KEEPTTL", b"FIELDS", b"1", b"a", b"6.5"]]
    assert told(engine, "HSETEX h KEEPTTL FIELDS 1 a 5") == [[b"HSETEX", b"h", b"KEEPTTL", b"FIELDS", b"1", b"a", b"5"]]
    assert told(engine, "HSETEX h FIELDS 1 a 5") == [[b"HSETEX", b"h", b"FIELDS", b"1", b"a", b"5"]]
    assert told(engine, "HSETEX h FNX FIELDS 1 a 5") == []
    assert told(engine, "HSETEX h PX 0 FIELDS 2 a 5 no 6") == [[b"HDEL", b"h", b"a"]]
    assert told(engine, "HGETDEL h FIELDS 2 b no") == [[b"HDEL", b"h", b"b"]]
    assert told(engine, "HEXPIRE h 0 FIELDS 2 c no") == [[b"HDEL", b"h", b"c"]]
    engine.check()


@pytest.mark.parametrize("size", [3, 300, 600])
def test_active_expiry_tells_the_journal(engine, size):
    engine("HSET h a 1 b 2 c 3")
    fill(engine, "h", size - 3)
    engine("HPEXPIREAT", "h", FAR, "FIELDS", 2, "a", "b")
    engine.effects()
    cycles_at(engine, FAR + 1)
    effects = engine.effects()      # one, or two where they were found in two steps
    assert {tuple(words[:2]) for words in effects} == {(b"HDEL", b"h")}
    assert sorted(field for words in effects for field in words[2:]) == [b"a", b"b"]
    assert engine.server.keyspace.expired_fields == 2 and engine("HLEN h") == size - 2
    engine.check()


@pytest.mark.parametrize("size", [3, 300, 600])
@pytest.mark.parametrize("command, last", [
    ("HSET h a 5", [b"HSET", b"h", b"a", b"5"]), ("HINCRBY h a 5", [b"HINCRBY", b"h", b"a", b"5"]), ("HDEL h a", None),
    ("HSETNX h a 1", [b"HSETNX", b"h", b"a", b"1"]),
    ("HSETEX h FNX FIELDS 1 a 1", [b"HSETEX", b"h", b"FIELDS", b"1", b"a", b"1"])])
def test_who_writes_to_a_field_that_is_due_tells_first_that_it_is_gone(engine, size, command, last):
    engine("HSET h a 1 c 3")
    fill(engine, "h", size - 2)
    engine("HPEXPIRE h 1 FIELDS 1 a")
    time.sleep(0.003)
    effects = told(engine, command)
    assert effects == [[b"HDEL", b"h", b"a"]] + ([last] if last else [])
    assert engine("HTTL h FIELDS 1 a") == [-1 if last else -2]
    engine.check()


def test_the_last_field_takes_the_key_along(engine):
    for size in (1, 5, 600, 5000):
        fill(engine, f"h:{size}", size, FAR)
    engine("SET other v")
    db = engine.server.keyspace.databases[0]
    assert db.volatile_hashes == 4
    engine.effects()
    cycles_at(engine, FAR + 1)
    cycles_at(engine, FAR + 2000)
    assert engine("DBSIZE") == 1 and db.volatile_hashes == 0
    gone = engine.effects()
    assert {words[0] for words in gone} == {b"HDEL"} and sum(len(words) - 2 for words in gone) == 5606
    assert engine.server.keyspace.expired_fields == 5606 and engine.server.keyspace.expired == 0
    engine.check()


def test_a_large_hash_goes_in_steps_and_misses_nothing(engine):
    fill(engine, "h", 20_000)
    rng = random.Random(5)
    when = {}
    for at in range(0, 20_000, 250):
        names = [b"f:%d" % n for n in range(at, at + 250) if n % 4]
        moment = FAR + rng.randrange(50)
        engine("HPEXPIREAT", "h", moment, "FIELDS", len(names), *names)
        when.update(dict.fromkeys(names, moment))
    assert cycles_at(engine, FAR + 20, budget_us=0) > 20
    left = {name for name in when if when[name] >= FAR + 20}
    names = set(engine("HKEYS h"))
    assert names & set(when) == left and len(names) == len(left) + 5000
    engine.check()
    cycles_at(engine, FAR + 21)         # it has rest for a while
    engine("HPEXPIREAT", "h", FAR + 2000, "FIELDS", 1, "f:0")
    for later in (1500, 3000, 5000):
        cycles_at(engine, FAR + later)
    assert engine("HLEN h") == 4999
    engine.check()


def test_fields_that_are_set_during_a_sweep_are_found(engine):
    fill(engine, "h", 20_000)
    engine("HPEXPIREAT", "h", FAR, "FIELDS", 1, "f:7")
    engine.server.keyspace.set_time(FAR + 1)
    assert engine.server.expirer.cycle(0)
    engine.server.keyspace.set_time(NOW)
    early = NOW + 5_000_000     # after this run, which may take long, and before FAR
    for n in range(100, 120):
        assert engine("HPEXPIREAT", "h", early, "FIELDS", 1, f"f:{n}") == [1]
    cycles_at(engine, FAR + 2)
    for later in (1500, 3000, 5000):
        cycles_at(engine, FAR + later)
    assert engine("HLEN h") == 20_000 - 21
    engine.check()


def test_counts_follow_the_keys(engine):
    db = engine.server.keyspace.databases[0]
    for size in (3, 600):
        fill(engine, "h", size)
        for make, count in [
                (("HPEXPIREAT", "h", FAR, "FIELDS", 2, "f:0", "f:1"), 1), (("COPY", "h", "h2"), 2),
                (("RENAME", "h2", "h3"), 2),
                (("MOVE", "h3", "1"), 1), (("SET", "h", "v"), 0), (("COPY", "h", "h", "DB", "1", "REPLACE"), 0)]:
            engine(*make)
            assert db.volatile_hashes == count, make
            engine.check()
        engine("SWAPDB 0 1")
        assert db.volatile_hashes == 1
        engine("EXPIRE h3 100")
        engine("PERSIST h3")
        engine("SUNIONSTORE h3 none")
        assert db.volatile_hashes == 0
        fill(engine, "h4", size, FAR)
        assert db.volatile_hashes == 1
        engine("FLUSHALL")
        assert db.volatile_hashes == 0
        engine.check()


def test_an_expired_key_is_counted_off(engine):
    db = engine.server.keyspace.databases[0]
    fill(engine, "h", 4, FAR)
    engine("PEXPIREAT", "h", FAR - 5)
    cycles_at(engine, FAR + 5)
    assert engine("EXISTS h") == 0 and db.volatile_hashes == 0 and db.volatile_keys == 0
    engine.check()


@pytest.mark.parametrize("seed", range(3))
def test_at_random(engine, seed):
    """Against a dict of field -> (value, expiry)."""
    rng = random.Random(seed)
    model: dict[bytes, tuple[bytes, int]] = {}
    count = rng.choice([20, 700])
    now = NOW
    for step in range(3000):
        name = b"f:%d" % rng.randrange(count)
        value = b"v" * rng.randrange(70 if step > 1500 else 60)
        action = rng.randrange(8)
        if action < 3:
            assert engine("HSET", "h", name, value) == (name not in model)
            model[name] = (value, -1)
        elif action == 3:
            assert engine("HDEL", "h", name) == (name in model)
            model.pop(name, None)
        elif action == 4:
            when = now + rng.randrange(1, 10_000) * 1000 + 4_000_000     # after this run
            assert engine("HPEXPIREAT", "h", when, "FIELDS", 1, name) == [1 if name in model else -2]
            if name in model:
                model[name] = (model[name][0], when)
        elif action == 5:
            when = NOW + 5_000_000
            engine("HSETEX", "h", "PXAT", when, "FIELDS", 1, name, value)
            model[name] = (value, when)
        elif action == 6:
            engine("HSETEX", "h", "KEEPTTL", "FIELDS", 1, name, value)
            model[name] = (value, model[name][1] if name in model else -1)
        else:
            assert engine("HPEXPIRETIME", "h", "FIELDS", 1, name) == [model[name][1] if name in model else -2]
        if step % 250 == 0:
            assert dict(zip(*[iter(engine("HGETALL h"))] * 2)) == {name: value for name, (value, _) in model.items()}
            engine.check()
    cycles_at(engine, NOW + 6_000_000, 100_000)
    kept = {name: value for name, (value, when) in model.items() if when < 0 or when >= NOW + 6_000_000}
    assert dict(zip(*[iter(engine("HGETALL h"))] * 2)) == kept
    engine.check()
