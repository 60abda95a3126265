"""Distributions of keys: statistics over fixed seeds, so that nothing here is a matter of luck."""
import collections
import math

import pytest

from bench.load.keys import KEYS_MAX, Keys, spread_for

DRAWS = 200_000


def chi_square(found: collections.Counter, expected: dict[int, float]) -> float:
    return sum((found[value] - want) ** 2 / want for value, want in expected.items())


def bound(cells: int) -> float:
    """What chi-square of so many cells exceeds once in a million times: mean and five standard deviations."""
    return cells + 5 * math.sqrt(2 * cells)


@pytest.mark.parametrize("kind", ["uniform", "zipfian", "hot", "sequential"])
@pytest.mark.parametrize("keys", [1, 2, 3, 1000, 2 ** 32 + 15, KEYS_MAX])
def test_all_numbers_are_keys(kind, keys):
    drawn = Keys(keys, kind, seed=5).draws(5000)
    assert 0 <= min(drawn) and max(drawn) < keys


def test_the_seed_decides():
    assert Keys(10 ** 6, seed=1).draws(50) == Keys(10 ** 6, seed=1).draws(50)
    assert Keys(10 ** 6, seed=1).draws(50) != Keys(10 ** 6, seed=2).draws(50)


def test_uniform():
    found = collections.Counter(Keys(100, seed=3).draws(DRAWS))
    assert chi_square(found, dict.fromkeys(range(100), DRAWS / 100)) < bound(99)


def test_uniform_over_more_than_32_bits_reaches_everywhere():
    drawn = Keys(10 ** 12, seed=3).draws(DRAWS)
    found = collections.Counter(value // 10 ** 10 for value in drawn)
    assert chi_square(found, dict.fromkeys(range(100), DRAWS / 100)) < bound(99)
    assert len({value % 4096 for value in drawn}) == 4096


@pytest.mark.parametrize("theta", [0.2, 0.99, 1.0, 1.2, 3.0])
@pytest.mark.parametrize("keys", [2, 50, 1000])
def test_zipfian_ranks_have_the_law_s_frequencies(theta, keys):
    found = collections.Counter(Keys(keys, "zipfian", theta=theta, seed=11).ranks(DRAWS))
    total = sum(k ** -theta for k in range(1, keys + 1))
    expected = {k: DRAWS * k ** -theta / total for k in range(1, keys + 1)}
    cells = {k: want for k, want in expected.items() if want >= 5}
    assert sum(found.values()) == DRAWS and min(found) >= 1 and max(found) <= keys
    assert chi_square(found, cells) < bound(len(cells))


def test_zipfian_ranks_become_numbers_one_to_one():
    keys = 1000
    ranks = Keys(keys, "zipfian", seed=4).ranks(20_000)
    numbers = Keys(keys, "zipfian", seed=4).draws(20_000)
    pairs = set(zip(ranks, numbers))
    assert len(pairs) == len({rank for rank, _ in pairs}) == len({number for _, number in pairs})
    by_rank = dict(pairs)
    assert abs(by_rank[1] - by_rank[2]) > 10, "the popular ones are no neighbours"


@pytest.mark.parametrize("keys", [1, 2, 6, 1000, 30030, 2 ** 40, KEYS_MAX])
def test_the_spread_shares_no_divisor(keys):
    assert math.gcd(spread_for(keys), keys) == 1
    assert spread_for(keys) * keys < 2 ** 63


def test_a_hot_set_gets_its_share():
    drawn = Keys(10_000, "hot", hot_keys=0.01, hot_access=0.8, seed=9).draws(DRAWS)
    hot = collections.Counter(value for value in drawn if value < 100)
    share = sum(hot.values()) / DRAWS
    assert abs(share - 0.8) < 5 * math.sqrt(0.8 * 0.2 / DRAWS)
    assert chi_square(hot, dict.fromkeys(range(100), share * DRAWS / 100)) < bound(99)
    assert len({value for value in drawn if value >= 100}) > 9_000


@pytest.mark.parametrize("hot_keys, hot_access", [(1.0, 0.0), (0.00001, 1.0)])
def test_a_hot_set_of_all_or_of_one(hot_keys, hot_access):
    drawn = set(Keys(100, "hot", hot_keys=hot_keys, hot_access=hot_access).draws(5000))
    assert len(drawn) == (100 if hot_keys == 1.0 else 1)


def test_sequential_of_several_processes_takes_each_key_once():
    keys, processes = 1003, 4
    drawn: list[int] = []
    for index in range(processes):
        share = keys // processes + (index < keys % processes)
        drawn += Keys(keys, "sequential", start=index, step=processes).draws(share)
    assert sorted(drawn) == list(range(keys))
    assert Keys(3, "sequential").draws(7) == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("options, error", [
    (dict(keys=0), "keys"), (dict(keys=KEYS_MAX + 1), "keys"), (dict(keys=5, kind="normal"), "no distribution"),
    (dict(keys=5, kind="zipfian", theta=0.0), "theta"), (dict(keys=5, kind="hot", hot_keys=0.0), "shares"),
    (dict(keys=5, kind="hot", hot_access=1.5), "shares")])
def test_what_is_no_distribution(options, error):
    with pytest.raises(ValueError, match=error):
        Keys(**options)
