"""Active expiry: every due key is found, by bounded pieces of work, and nothing that happens between two is missed."""
import random
import time

import pytest

from harness.resp import OK, encode
from shardd.structures import alloc
from unit.inproc import Engine

NOW = int(time.time() * 1000)
SOON, LATER = NOW + 10_000_000, NOW + 20_000_000       # behind the end of any run
# what a cycle without a budget may look at: 64 chains of six keys or so, some of them longer
KEYS_OF_A_LOOK = 64 * 14


@pytest.fixture
def engine():
    engine = Engine("--databases", "3")
    engine.follow()
    yield engine
    alloc.set_limit(0)


def put(engine: Engine, keys, when: int, db: int = 0) -> None:
    engine("SELECT", db)
    keys = list(keys)
    for at in range(0, len(keys), 500):
        engine.run.send(b"".join(encode("SET", key, "v", "PXAT", when) for key in keys[at:at + 500]))
        for _ in keys[at:at + 500]:
            assert engine.run.read() == OK


def cycle_at(engine: Engine, when: int, budget_us: int = 0) -> bool:
    """One cycle as if it were `when`; the clock of commands stays where it is."""
    engine.server.keyspace.set_time(when)
    more = engine.server.expirer.cycle(budget_us)
    engine.server.keyspace.set_time(NOW)
    return more


def until_done(engine: Engine, when: int) -> int:
    for cycles in range(1, 100_000):
        if not cycle_at(engine, when):
            return cycles
    raise AssertionError("expiry does not come to an end")


def keys_of(engine: Engine, db: int = 0) -> set[bytes]:
    engine("SELECT", db)
    return set(engine("KEYS *"))


def test_all_due_keys_go_and_no_others(engine):
    due = {b"due:%d" % n for n in range(2000)}
    stay = {b"stay:%d" % n for n in range(1000)}
    for db in (0, 2):
        put(engine, due, SOON, db)
        put(engine, stay, LATER, db)
        engine("SET", "forever", "v")
    until_done(engine, SOON)
    assert engine.server.keyspace.total_keys() == 2 * 3001, "a key is due when its time has passed, not before"
    engine.journal()
    until_done(engine, SOON + 1)
    engine.check()
    for db in (0, 2):
        assert keys_of(engine, db) == stay | {b"forever"}
    effects = engine.effects()
    assert len(effects) == 4000 and {tuple(effect) for effect in effects} == {(b"DEL", key) for key in due}
    assert engine.server.keyspace.expired == engine.server.expirer.removed == 4000
    until_done(engine, LATER + 1)
    assert [keys_of(engine, db) for db in (0, 1, 2)] == [{b"forever"}, set(), {b"forever"}]
    engine.check()


def test_nothing_due_costs_no_sweep(engine):
    """Without a due key a cycle touches no entry: the journal and all counters rest, also with no budget at all."""
    put(engine, (b"k%d" % n for n in range(3000)), LATER)
    dirty = engine.server.keyspace.dirty
    for _ in range(3):
        assert cycle_at(engine, SOON) is False
    assert engine.server.keyspace.dirty == dirty


def test_a_cycle_without_a_budget_does_one_piece(engine):
    """The budget is looked at after every few chains of a giant slot; the next cycle goes on where this one stopped."""
    count = 12_000
    put(engine, (b"{t}%d" % n for n in range(count)), SOON)
    cycles, last = 0, 0
    while cycle_at(engine, SOON + 1):
        gone = engine.server.expirer.removed - last
        last = engine.server.expirer.removed
        assert 0 < gone <= KEYS_OF_A_LOOK or last == count
        engine.check()
        cycles += 1
    assert engine.server.expirer.removed == count
    assert cycles > count // KEYS_OF_A_LOOK


@pytest.mark.parametrize("seed", range(6))
def test_what_happens_between_two_pieces_is_not_missed(engine, seed):
    """Keys come, go, get other expiries and resize the slot's table while its sweep is paused: all that is due goes."""
    rng = random.Random(seed)
    due, stay, count = set(), set(), 0

    def fresh(number: int, when: int) -> None:
        nonlocal count
        keys = {b"{t}%d" % n for n in range(count, count + number)}
        count += number
        put(engine, keys, when)
        (due if when == SOON else stay).update(keys)

    fresh(4000, SOON)
    fresh(rng.choice([100, 3000]), LATER)
    for _ in range(100_000):
        more = cycle_at(engine, SOON + 1)
        engine.check()
        if not more:
            break
        choice = rng.randrange(6)
        if choice == 0 and count < 20_000:
            fresh(rng.choice([1, 50, 2000]), rng.choice([SOON, LATER]))
        elif choice == 1:
            for key in rng.sample(sorted(stay), min(20, len(stay))):
                engine("PEXPIREAT", key, SOON)
                stay.discard(key)
                due.add(key)
        elif choice == 2:
            for key in rng.sample(sorted(due), min(20, len(due))):
                if engine("PEXPIREAT", key, LATER):
                    due.discard(key)
                    stay.add(key)
        elif choice == 3:
            gone = rng.sample(sorted(due | stay), min(len(due | stay), rng.choice([10, 1500])))
            engine("DEL", *gone)
            due.difference_update(gone)
            stay.difference_update(gone)
    until_done(engine, SOON + 1)
    assert keys_of(engine) == stay
    engine.check()
    until_done(engine, LATER + 1)
    assert keys_of(engine) == set()
    engine.check()


def test_a_table_gives_its_room_back_after_a_sweep(engine):
    """Nobody may come by after a mass expiry: the sweep itself shrinks what it emptied."""
    put(engine, (b"{t}%d" % n for n in range(5000)), SOON)
    engine("SET", "{t}forever", "v")
    before = engine.server.keyspace.databases[0].table_bytes()
    while cycle_at(engine, SOON + 1, 1_000_000):
        pass
    after = engine.server.keyspace.databases[0].table_bytes()
    assert before - after > 5000 // 7 * 64 and after <= (1 << 20) + 64


def test_lazy_expiry_by_all_that_look_at_keys(engine):
    """A key past its expiry is deleted by whoever asks for it, once, with one effect that is not the command's."""
    for words in (["GET", "k"], ["EXISTS", "k"], ["TTL", "k"], ["TYPE", "k"], ["STRLEN", "k"], ["PERSIST", "k"],
                  ["INCRBYFLOAT", "k", "x"],
                  ["GETEX", "k"], ["OBJECT", "ENCODING", "k"], ["LCS", "k", "k"], ["DEL", "k"],
                  ["SET", "k", "v", "XX"], ["MGET", "k", "k"],
                  ["EXPIRE", "k", "10"], ["RENAME", "k", "j"], ["COPY", "k", "j"], ["MOVE", "k", "1"], ["SCAN", "0"],
                  ["TOUCH", "k"]):
        engine("SET", "k", "v", "PXAT", 1)
        engine.journal()
        dirty, expired = engine.server.keyspace.dirty, engine.server.keyspace.expired
        engine(*words)
        assert engine.server.keyspace.expired == expired + 1, words
        assert engine.server.keyspace.dirty == dirty, words
        assert engine.effects() == [[b"DEL", b"k"]], words
        assert engine("DBSIZE") == 0
        engine.check()


def test_writes_come_after_the_expiry_they_met(engine):
    engine("SET", "k", "5", "PXAT", 1)
    engine.journal()
    assert engine("INCR k") == 1
    assert engine.effects() == [[b"DEL", b"k"], [b"INCR", b"k"]]
    engine("SET", "k", "old", "PXAT", 1)
    engine.journal()
    engine("APPEND", "k", "new")
    assert engine.effects() == [[b"DEL", b"k"], [b"APPEND", b"k", b"new"]]
    assert engine("GET k") == b"new" and engine("TTL k") == -1
