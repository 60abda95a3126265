"""The packed hash table against a dict: growth, shrinkage, scans, sweeps and failing memory."""
import random

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shardd.structures import alloc
from shardd.structures.probe import TableProbe


@pytest.fixture
def table():
    yield TableProbe()
    alloc.set_limit(0)


def name(i: int) -> bytes:
    return b"key:%06d" % i


def fill(table: TableProbe, count: int, start: int = 0) -> None:
    for i in range(start, start + count):
        table.insert(name(i), b"%d" % i)


def full_scan(table: TableProbe, between=lambda: None) -> list[bytes]:
    """All keys that a scan returns; `between` runs after each step."""
    cursor, seen = 0, []
    for _ in range(10_000_000):
        cursor, keys = table.scan(cursor)
        seen += keys
        if cursor == 0:
            return seen
        between()
    raise AssertionError("the scan does not end")


@pytest.mark.parametrize("key, value, expiry", [
    (b"", b"", None), (b"k", b"v", None), (b"k" * 255, b"v", None), (b"k" * 256, b"", None), (b"k", b"v" * 65535, None),
    (b"k", b"v" * 65536, None), (b"k" * 300, b"v" * 70000, 1), (b"k", b"v", 2**62), (b"\x00\xff", b"\x00", 0)])
def test_every_layout_of_a_pair(table, key, value, expiry):
    table.insert(key, value, expiry)
    table.check()
    assert table.find(key) == value
    assert table.find(key + b"x") is None and table.find(b"other") is None
    assert table.walk() == [key]
    assert table.remove(key) and not table.remove(key)
    assert table.find(key) is None


def test_growth_and_shrinkage(table):
    before = alloc.used_memory()
    fill(table, 3000)
    table.check()
    assert all(table.find(name(i)) == b"%d" % i for i in range(3000))
    assert table.find(name(3000)) is None
    figures = table.figures()
    assert figures["used"] == 3000 and 3000 / 7 < figures["buckets"] <= 1024
    for i in range(3000):
        assert table.remove(name(i))
        table.fit()
        if i % 100 == 0:
            table.check()
        if i in (1500, 2500, 2990):
            assert all(table.find(name(j)) for j in range(i + 1, 3000))
    assert table.figures()["bytes"] == 0, "an empty table keeps nothing"
    assert alloc.used_memory() == before


def test_a_rehash_of_a_large_table_is_in_steps(table):
    """While both arrays exist everything is found, and each insertion moves only a little."""
    seen_rehashing = 0
    for i in range(6000):
        table.insert(name(i), b"x")
        figures = table.figures()
        if figures["old_buckets"] > 32:
            seen_rehashing += 1
            if seen_rehashing % 50 == 1:
                table.check()
                assert sorted(table.walk()) == [name(j) for j in range(i + 1)]
                assert all(table.find(name(j)) for j in range(i + 1))
    assert seen_rehashing > 100
    while table.step(1):
        pass
    table.check()
    assert table.figures()["old_buckets"] == 0 and table.figures()["used"] == 6000


def test_a_giant_array_is_given_back_piece_by_piece(table):
    """Beyond 16,384 buckets emptied pages are discarded while the rehash is under way: nothing of that may be seen."""
    while table.figures()["buckets"] < 32_768 or table.figures()["old_buckets"]:
        fill(table, 1, table.figures()["used"])
    count = table.figures()["used"]
    for i in range(count):
        if i % 23:
            table.remove(name(i))
    table.fit()
    assert table.figures()["old_buckets"] >= 32_768
    kept = {name(i) for i in range(0, count, 23)}
    while table.step(1000):
        assert all(table.find(key) for key in random.Random(1).sample(sorted(kept), 50))
    table.check()
    assert set(table.walk()) == kept


def test_removal_while_rehashing(table):
    rng = random.Random(3)
    fill(table, 3073)
    assert table.figures()["old_buckets"], "the last insertion began a rehash"
    left = list(range(3073))
    rng.shuffle(left)
    while left:
        assert table.remove(name(left.pop()))
        if len(left) % 64 == 0:
            table.check()
            assert all(table.find(name(i)) for i in left[:200])
            table.step(1)


# --- scans -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 50, 400, 3073, 5000])
def test_a_scan_of_a_resting_table_gives_each_key_once(table, count):
    fill(table, count)
    assert sorted(full_scan(table)) == [name(i) for i in range(count)]


@pytest.mark.parametrize("seed", range(12))
def test_what_stays_is_returned_whatever_is_resized(table, seed):
    """SCAN's guarantee: the keys that are there from first to last are seen, through growth and shrinkage."""
    rng = random.Random(seed)
    stay = {name(i) for i in range(0, rng.choice([5, 40, 300, 1500]))}
    for key in stay:
        table.insert(key, b"")
    others = []
    count = 0
    for _ in range(rng.choice([0, 2000, 4000])):
        others.append(b"other:%d" % count)
        table.insert(others[-1])
        count += 1
    trend = rng.choice([-1, 1])

    def disturb():
        nonlocal trend, count
        if rng.random() < 0.01:
            trend = -trend
        for _ in range(rng.randrange(30)):
            if rng.random() < 0.5 + 0.45 * trend:
                others.append(b"other:%d" % count)
                table.insert(others[-1])
                count += 1
            elif others:
                table.remove(others.pop(rng.randrange(len(others))))
                table.fit()

    seen = full_scan(table, disturb)
    assert stay <= set(seen)
    table.check()


def test_any_number_is_a_cursor(table):
    fill(table, 3073)
    for cursor in (1, 2**64 - 1, 2**63, 12345678901234567, 0xFFFFFFFF):
        for _ in range(20_000):
            cursor, _ = table.scan(cursor)
            if cursor == 0:
                break
        assert cursor == 0


# --- sweeps, random ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("count", [1, 7, 8, 100, 3073, 3200])
def test_a_sweep_finds_all_condemned_once(table, count):
    fill(table, count)
    condemned = frozenset(name(i) for i in range(count) if i % 3)
    start, gone = 0, []
    while True:
        start, seen = table.sweep(start, 7, condemned)
        gone += seen
        if start == 0:
            break
    assert sorted(gone) == sorted(condemned)
    table.check()
    assert sorted(table.walk()) == sorted(name(i) for i in range(0, count, 3))
    while table.figures()["old_buckets"] or table.figures()["buckets"] > max(1, count):
        table.fit()
    table.check()


def test_a_sweep_of_everything_frees_all_chains(table):
    before = alloc.used_memory()
    fill(table, 5000)
    everything = frozenset(table.walk())
    start = 0
    while True:
        start, _ = table.sweep(start, 64, everything)
        if start == 0:
            break
    assert table.figures()["used"] == table.figures()["children"] == 0
    table.fit()
    assert alloc.used_memory() == before


def test_shape_tells_of_resizes(table):
    shapes = {table.figures()["shape"]}
    fill(table, 8)
    shapes.add(table.figures()["shape"])
    fill(table, 3065, 8)
    shapes.add(table.figures()["shape"])
    assert table.figures()["old_buckets"]
    while table.step(1):
        assert table.figures()["shape"] in shapes, "moving entries alone is no change"
    assert table.figures()["shape"] not in shapes, "but the end of a rehash is"
    before = table.figures()["shape"]
    table.clear()
    assert table.figures()["shape"] != before


def test_random_reaches_every_key(table):
    assert table.random(5) is None
    fill(table, 100)
    rng = random.Random(2)
    seen = {table.random(rng.getrandbits(64)) for _ in range(5000)}
    assert seen == {name(i) for i in range(100)}
    fill(table, 3100, 100)
    assert table.figures()["old_buckets"]
    assert all(table.find(table.random(rng.getrandbits(64))) is not None for _ in range(500))


# --- memory -----------------------------------------------------------------------------------------------------------

def test_insertions_that_fail_change_nothing(table):
    """With no memory at all, insertions go on while a chain has room; the first that needs a bucket fails."""
    refused = 0
    i = 0
    for target in (1, 7, 8, 40, 192, 300, 3072, 4000):
        while i < target:
            alloc.set_limit(alloc.used_memory() + 24)       # the entry, and not a byte for buckets
            try:
                table.insert(name(i), b"")
                i += 1
            except MemoryError:
                refused += 1
                assert table.find(name(i)) is None
                alloc.set_limit(0)
                table.insert(name(i), b"")
                i += 1
            alloc.set_limit(0)
            if i % 50 == 0:
                table.check()
        table.check()
        assert table.figures()["used"] == i
        assert all(table.find(name(j)) is not None for j in range(i))
    assert refused > 10


def test_a_table_that_cannot_grow_chains_and_grows_later(table):
    fill(table, 42)
    alloc.set_limit(alloc.used_memory() + 24 + 64)
    i = 42
    for i in range(42, 200):
        alloc.set_limit(alloc.used_memory() + 24 + 64)      # an entry and a child, but no larger array
        table.insert(name(i), b"")
        table.check()
    alloc.set_limit(0)
    assert table.figures()["buckets"] <= 16 and table.figures()["children"] > 10
    fill(table, 3000, 200)
    table.check()
    assert table.figures()["buckets"] >= 512
    assert sorted(table.walk()) == [name(j) for j in range(3200)]


def test_shrinking_without_memory_waits(table):
    fill(table, 1000)
    alloc.set_limit(1)
    for i in range(990):
        table.remove(name(i))
        table.fit()
        if i % 100 == 0:
            table.check()
    assert sorted(table.walk()) == [name(i) for i in range(990, 1000)]
    alloc.set_limit(0)
    before = table.figures()["buckets"]
    for _ in range(2000):
        table.fit()
    assert table.figures()["buckets"] < before
    table.check()


def test_a_rehash_that_runs_out_of_memory_goes_on_later(table):
    fill(table, 3073)
    assert table.figures()["old_buckets"]
    alloc.set_limit(1)
    for _ in range(100):
        table.step(3)
    table.check()
    assert all(table.find(name(i)) for i in range(3073))
    alloc.set_limit(0)
    while table.step(3):
        pass
    table.check()


# --- all of it --------------------------------------------------------------------------------------------------------

class Machine(RuleBasedStateMachine):
    """Random operations on a table and on a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.table = TableProbe()
        self.model: dict[bytes, bytes] = {}
        self.next = 0
        self.before = 0

    @initialize(secret=st.integers(0, 3))
    def start(self, secret):
        self.rng = random.Random(secret)

    def some(self, count: int) -> list[bytes]:
        return self.rng.sample(sorted(self.model), min(count, len(self.model)))

    @rule(count=st.sampled_from([1, 2, 7, 30, 200, 1200]), value=st.binary(max_size=40))
    def insert(self, count, value):
        for _ in range(count):
            key = b"%d" % self.next
            self.next += 1
            self.table.insert(key, value)
            self.model[key] = value

    @rule(count=st.sampled_from([1, 3, 20, 300, 2000]), fit=st.booleans())
    def remove(self, count, fit):
        for key in self.some(count):
            assert self.table.remove(key)
            del self.model[key]
            if fit:
                self.table.fit()

    @rule(steps=st.integers(1, 40))
    def step(self, steps):
        self.table.step(steps)

    @rule(keep=st.integers(1, 4))
    def sweep(self, keep):
        condemned = frozenset(key for key in self.model if hash(key) % keep == 0)
        start, gone = 0, []
        while True:
            start, seen = self.table.sweep(start, 16, condemned)
            gone += seen
            if start == 0:
                break
        assert sorted(gone) == sorted(condemned)
        for key in gone:
            del self.model[key]
        self.table.fit()

    @rule(count=st.integers(1, 60), room=st.integers(0, 5000))
    def insert_without_memory(self, count, room):
        alloc.set_limit(alloc.used_memory() + room)
        try:
            for _ in range(count):
                key = b"%d" % self.next
                self.next += 1
                try:
                    self.table.insert(key, b"tight")
                    self.model[key] = b"tight"
                except MemoryError:
                    pass
            for key in self.some(3):
                assert self.table.remove(key)
                del self.model[key]
                self.table.fit()
        finally:
            alloc.set_limit(0)

    @rule()
    def clear(self):
        if len(self.model) > 1000:
            self.table.clear()
            self.model.clear()

    @rule()
    def scan(self):
        assert sorted(full_scan(self.table)) == sorted(self.model)

    @invariant()
    def agrees(self):
        self.table.check()
        assert self.table.figures()["used"] == len(self.model)
        for key in self.some(20):
            assert self.table.find(key) == self.model[key]
        assert self.table.find(b"absent") is None
        if self.model:
            assert self.table.random(self.rng.getrandbits(64)) in self.model


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None,
                                     suppress_health_check=list(HealthCheck))
TestTable = Machine.TestCase
