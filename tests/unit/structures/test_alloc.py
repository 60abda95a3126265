"""The counting allocator: blocks that never overlap, a count that is exact, a limit that holds."""
import random

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shardd.structures import alloc, chunks


def class_of(n: int) -> int:
    """What a request of n bytes takes: steps of 8, 16 and 32 bytes, then a fraction of a page without its head."""
    for limit, step in ((128, 8), (512, 16), (1024, 32)):
        if n <= limit:
            return max(8, -(-n // step) * step)
    return next(size for size in (65472 // blocks // 8 * 8 for blocks in [*range(62, 31, -2), 31]) if size >= n)


@pytest.fixture
def probe():
    probe = alloc.Probe()
    yield probe
    alloc.set_limit(0)
    for address in list(probe.blocks):
        probe.drop(address)


def test_each_size_takes_its_class(probe):
    for n in range(0, 2049):
        before = alloc.used_memory()
        address = probe.take(n, 7)
        took = alloc.used_memory() - before
        if alloc.plain():
            assert took >= n
        else:
            assert took == class_of(n), n
        assert address % 8 == 0
        probe.drop(address)
        assert alloc.used_memory() == before
    alloc.check()


@pytest.mark.parametrize("n", [2049, 4096, 65_536, 1_000_000, 200_000_000])
def test_large_blocks_are_counted(probe, n):
    before = alloc.used_memory()
    address = probe.take(n, 1) if n < 10_000_000 else probe.take(n, 0)
    assert n <= alloc.used_memory() - before <= n + 4096 + 64
    probe.drop(address)
    assert alloc.used_memory() == before


def test_waste_is_bounded():
    for n in range(1, 2049):
        size = class_of(n)
        assert size - n <= 7 or size - n <= n * 0.125


@pytest.mark.skipif(alloc.plain(), reason="every block comes from malloc in this build")
def test_pages_are_reused(probe):
    """What was freed serves again, for other sizes too: the mapping does not grow with the number of rounds."""
    def round_trip(n: int) -> None:
        addresses = [probe.take(n, n & 255) for _ in range(2_000_000 // n)]
        alloc.check()
        for address in addresses:
            probe.drop(address)
        alloc.check()

    round_trip(2048)
    mapped = chunks.mapped_memory()
    for n in (8, 64, 120, 200, 1000, 2048, 16):
        round_trip(n)
    assert chunks.mapped_memory() <= mapped + (4 << 20)


@pytest.mark.skipif(alloc.plain(), reason="every block comes from malloc in this build")
def test_empty_pages_go_back_to_the_system(probe):
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    addresses = [probe.take(2048, 5) for _ in range(30_000)]
    full = resident()
    for address in addresses:
        probe.drop(address)
    assert resident() < full - 30_000_000


def test_the_limit_refuses_and_changes_nothing(probe):
    address = probe.take(100, 3)
    large = probe.take(10_000, 4)
    used = alloc.used_memory()
    alloc.set_limit(used)
    for n in (1, 100, 2048, 2049, 1 << 40):
        with pytest.raises(MemoryError):
            probe.take(n, 1)
    with pytest.raises(MemoryError):
        probe.grow(address, 1000)
    with pytest.raises(MemoryError):
        probe.grow(large, 100_000)
    assert alloc.used_memory() == used
    assert probe.verify(address) and probe.verify(large)
    if not alloc.plain():
        assert probe.grow(address, 104) == address, "the same class needs no more"
    alloc.set_limit(used + 200)
    probe.take(96, 9)
    alloc.set_limit(0)


def test_what_the_system_does_not_have(probe):
    used = alloc.used_memory()
    with pytest.raises(MemoryError):
        probe.take(1 << 60, 1)
    assert alloc.used_memory() == used


class Blocks(RuleBasedStateMachine):
    """Random blocks against what they were filled with: no two overlap, and the count is their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.probe = alloc.Probe()
        self.before = alloc.used_memory()
        self.rng = random.Random(1)
        self.fill = 0

    sizes = st.one_of(st.integers(0, 300), st.integers(0, 2100), st.sampled_from([2047, 2048, 2049, 5000, 70_000]))

    def one(self) -> int | None:
        return self.rng.choice(list(self.probe.blocks)) if self.probe.blocks else None

    @rule(n=sizes, count=st.integers(1, 40))
    def take(self, n, count):
        for _ in range(count):
            self.fill = (self.fill + 1) & 255
            self.probe.take(n, self.fill)

    @rule(count=st.integers(1, 40))
    def drop(self, count):
        for _ in range(count):
            if (address := self.one()) is not None:
                assert self.probe.verify(address)
                self.probe.drop(address)

    @rule(n=sizes)
    def grow(self, n):
        if (address := self.one()) is not None:
            old, fill = self.probe.blocks[address]
            assert self.probe.verify(address)
            now = self.probe.grow(address, n)
            assert self.probe.verify(now)

    @rule(n=sizes)
    def refused(self, n):
        if n == 0:
            return
        self.probe.take(8, 1)       # a limit of 0 would be none
        alloc.set_limit(alloc.used_memory())
        try:
            with pytest.raises(MemoryError):
                self.probe.take(n, 1)
        finally:
            alloc.set_limit(0)

    @invariant()
    def count_is_exact(self):
        if alloc.plain():
            return
        small = sum(class_of(n) for n, _ in self.probe.blocks.values() if n <= 2048)
        large = [n for n, _ in self.probe.blocks.values() if n > 2048]
        took = alloc.used_memory() - self.before
        assert small + sum(large) <= took <= small + sum(large) + 4200 * len(large)

    def teardown(self):
        for address in list(self.probe.blocks):
            assert self.probe.verify(address)
            self.probe.drop(address)
        assert alloc.used_memory() == self.before
        alloc.check()


Blocks.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None,
                                    suppress_health_check=list(HealthCheck))
TestBlocks = Blocks.TestCase
