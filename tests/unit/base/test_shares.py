"""Shares of maxmemory: they add up, nobody has nothing, and they follow what is used."""
import pytest
from hypothesis import given, strategies as st

from shardd.base.shares import even, split


@pytest.mark.parametrize("total, used, shares", [
    (0, [5, 5], [0, 0]), (100, [0, 0, 0], [34, 33, 33]), (100, [37, 0], [50, 50]), (100, [38, 0], [63, 37]),
    (100, [50, 10], [69, 31]), (100, [88, 10], [88, 12]), (100, [95, 10], [88, 12]), (100, [200, 200], [50, 50]),
    (3, [9, 9, 9, 9], [1, 1, 1, 1]), (1000, [900, 0, 0, 0], [814, 62, 62, 62])])
def test_shares(total, used, shares):
    found = split(total, used)
    assert found == shares


def test_an_even_share_of_nothing_is_no_limit():
    assert even(0, 3) == [0, 0, 0] and even(2, 3) == [1, 1, 1]


@given(st.integers(1, 2**50), st.lists(st.integers(0, 2**50), min_size=1, max_size=70))
def test_they_add_up_and_nobody_is_left_with_nothing(total, used):
    shares = split(total, used)
    assert len(shares) == len(used) and min(shares) >= 1
    if total >= 4 * len(used):
        assert sum(shares) == total
        assert min(shares) >= total // (4 * len(used))


@given(st.integers(10_000, 2**40), st.lists(st.integers(1, 99), min_size=2, max_size=16))
def test_whoever_fits_keeps_what_it_has(total, parts):
    """While all that is used fits, and nobody is below the least share, no engine has to evict."""
    used = [total * part // sum(parts) for part in parts]
    floor = total // (4 * len(used))
    shares = split(total, used)
    if sum(max(use, floor) for use in used) <= total:
        assert all(share >= use for share, use in zip(shares, used))


def test_the_share_of_the_one_who_fills_grows_round_by_round():
    total, used = 1_000_000, [0, 20_000]
    for _ in range(40):
        used[0] = split(total, used)[0]     # it fills what it gets
    assert used[0] >= 870_000
