"""The intset against a Python set, and its bytes against the format."""
import struct

import pytest
from hypothesis import given, settings, strategies as st

from shardd.structures import alloc, intset
from shardd.structures.intset import Probe

EDGES = [edge + near for edge in (0, -32768, 32767, -(1 << 31), (1 << 31) - 1) for near in (-1, 0, 1)]
EDGES += [-(1 << 63), (1 << 63) - 1]
numbers = st.one_of(st.integers(-40, 40), st.integers(-40_000, 40_000), st.sampled_from(EDGES),
                    st.integers(-(1 << 63), (1 << 63) - 1))


@pytest.fixture
def probe():
    probe = Probe()
    yield probe
    alloc.set_limit(0)
    probe.close()


@pytest.mark.parametrize("values, raw", [
    ([], struct.pack("<II", 2, 0)),
    ([5, -1, 3], struct.pack("<II3h", 2, 3, -1, 3, 5)),
    ([-32768, 32767], struct.pack("<II2h", 2, 2, -32768, 32767)),
    ([1, 32768, 2], struct.pack("<II3i", 4, 3, 1, 2, 32768)),
    ([1, -32769], struct.pack("<II2i", 4, 2, -32769, 1)),
    ([7, 1 << 31, -7], struct.pack("<II3q", 8, 3, -7, 7, 1 << 31)),
    ([7, 70_000, -(1 << 63)], struct.pack("<II3q", 8, 3, -(1 << 63), 7, 70_000))])
def test_the_bytes_are_those_of_the_format(probe, values, raw):
    for value in values:
        assert probe.add(value)
    assert probe.raw() == raw and intset.valid(raw)


def test_it_stays_wide(probe):
    probe.add(1)
    probe.add(1 << 40)
    assert probe.remove(1 << 40)
    assert probe.raw() == struct.pack("<IIq", 8, 1, 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), numbers), max_size=400))
def test_it_is_a_set(steps):
    before = alloc.used_memory()
    probe, model = Probe(), set()
    for adds, value in steps:
        if adds:
            assert probe.add(value) == (value not in model)
            model.add(value)
        else:
            assert probe.remove(value) == (value in model)
            model.discard(value)
        assert alloc.used_memory() - before == probe.memory()
    ordered = sorted(model)
    assert probe.items() == ordered and intset.valid(probe.raw())
    for _, value in steps:
        assert probe.rank(value) == (ordered.index(value) if value in model else -1)
    other = probe.copy()
    probe.close()
    assert other.items() == ordered
    other.close()
    assert alloc.used_memory() == before


def test_large_ones_grow_and_shrink(probe):
    for value in range(0, 3000, 3):
        probe.add(value * 100_000)
    assert probe.items() == [value * 100_000 for value in range(0, 3000, 3)]
    for value in range(0, 2997, 3):
        assert probe.remove(value * 100_000) and intset.valid(probe.raw())
    assert probe.items() == [299_700_000]


def test_without_memory_nothing_changes(probe):
    for value in range(2000):
        probe.add(value)
    raw = probe.raw()
    alloc.set_limit(alloc.used_memory())
    with pytest.raises(MemoryError):
        probe.add(1 << 40)
    assert probe.raw() == raw and not probe.add(7)
    while len(probe.raw()) > 2048:
        try:
            probe.remove(probe.items()[0])
        except MemoryError:
            break
    assert intset.valid(probe.raw())


@pytest.mark.parametrize("raw", [
    b"", b"\0" * 7, struct.pack("<II", 3, 0), struct.pack("<II", 2, 1), struct.pack("<IIh", 2, 2, 1),
    struct.pack("<II2h", 2, 2, 1, 1), struct.pack("<II2h", 2, 2, 2, 1), struct.pack("<II2h", 2, 1, 1, 2),
    struct.pack("<II", 8, 0xFFFFFFFF)])
def test_what_is_no_intset_is_seen(raw):
    assert not intset.valid(raw)
