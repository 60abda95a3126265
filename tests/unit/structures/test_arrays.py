"""The buddy allocator: arrays that never overlap, start out zero, and leave nothing behind."""
import random

import pytest
from hypothesis import given, settings, strategies as st

from shardd.structures import arrays, chunks

SIZES = [4096 << order for order in range(9)]


@pytest.fixture
def probe():
    return arrays.Probe()


@pytest.mark.parametrize("size", SIZES)
def test_an_array_is_aligned_zero_and_comes_again(probe, size):
    before = arrays.check()
    address = probe.take(size)
    assert address % 4096 == 0 and arrays.check() == before + size
    probe.give(address, size)
    assert arrays.check() == before
    again = probe.take(size)        # take() looks whether it is zero again
    probe.give(again, size)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SIZES), st.booleans()), max_size=200), st.randoms(use_true_random=False))
def test_arrays_do_not_overlap(steps, rng):
    probe, held = arrays.Probe(), {}
    before = arrays.check()
    for size, give in steps:
        if give and held:
            address = rng.choice(list(held))
            probe.give(address, held.pop(address))
        else:
            held[probe.take(size)] = size
    ends = 0
    for address in sorted(held):
        assert address >= ends
        ends = address + held[address]
    assert arrays.check() == before + sum(held.values())
    for address, size in held.items():
        probe.give(address, size)
    assert arrays.check() == before


def test_chunks_go_back_to_the_system(probe):
    mapped = chunks.mapped_memory()
    held = [(probe.take(size), size) for size in SIZES * 30]
    assert chunks.mapped_memory() > mapped, "more than other tests have left free"
    random.Random(5).shuffle(held)
    for address, size in held:
        probe.give(address, size)
    assert chunks.mapped_memory() <= mapped + (4 << 20)
    arrays.check()
