"""The histogram against sorted lists, and its buckets against HdrHistogram's rules."""
import json
import math

import pytest
from hypothesis import example, given, settings, strategies as st

from shardd.structures.histogram import Histogram

HIGHEST = 2**63 - 1
values_of = st.one_of(st.integers(0, 300), st.integers(0, 5000), st.integers(0, HIGHEST),
                      st.integers(0, 62).map(lambda bit: 1 << bit), st.integers(1, 62).map(lambda bit: (1 << bit) - 1))
lists = st.lists(values_of, max_size=60)
digits_of = st.sampled_from((2, 3))


def filled(values: list[int], digits: int = 2, highest: int = HIGHEST) -> Histogram:
    histogram = Histogram(digits, highest)
    for value in values:
        histogram.add(value)
    histogram.check()
    return histogram


def bucket(value: int, digits: int) -> tuple[int, int]:
    """The values that count as one with `value`: those that share its highest bits."""
    keep = math.ceil(math.log2(2 * 10**digits))
    lost = max(0, value.bit_length() - keep)
    lowest = value >> lost << lost
    return lowest, lowest + (1 << lost) - 1


@settings(max_examples=500, deadline=None)
@given(lists, digits_of, st.floats(0, 100))
@example([0], 2, 100.0)
@example([HIGHEST], 3, 0.0)
@example(list(range(1000)), 3, 99.9)
def test_percentiles_are_those_of_the_sorted_list(values, digits, q):
    histogram = filled(values, digits)
    if not values:
        assert histogram.percentile(q) == 0
        return
    rank = min(max(1, math.ceil(math.nextafter(q / 100 * len(values), 0))), len(values))
    assert histogram.percentile(q) == bucket(sorted(values)[rank - 1], digits)[1]


@pytest.mark.parametrize("count", (1000, 7000, 100_000))
def test_round_percentiles_are_no_rank_too_high(count):
    histogram = Histogram(3)
    histogram.add(1, count * 999 // 1000)
    histogram.add(500, count // 1000)
    assert histogram.percentile(99.9) == 1
    assert histogram.percentile(99.91) == 500


@settings(max_examples=500, deadline=None)
@given(values_of, digits_of)
@example(HIGHEST, 2)
@example(255, 2)
@example(256, 2)
def test_a_bucket_holds_the_values_that_share_the_highest_bits(value, digits):
    assert Histogram(digits).bucket_of(value) == bucket(value, digits)
    lowest, highest = bucket(value, digits)
    assert (highest - lowest) * 10**digits <= max(value, 1)


@settings(max_examples=200, deadline=None)
@given(lists, lists, digits_of)
def test_counts_sums_and_merges(first, second, digits):
    histogram, other = filled(first, digits), filled(second, digits)
    histogram.merge(other)
    histogram.check()
    values = first + second
    assert histogram.count == len(values)
    assert histogram.total == sum(values) % 2**64
    assert (histogram.min, histogram.max) == ((min(values), max(values)) if values else (0, 0))
    assert histogram.buckets() == filled(values, digits).buckets()
    assert other.count == len(second)
    if values and sum(values) < 2**64:
        assert histogram.mean == pytest.approx(sum(values) / len(values))


@settings(max_examples=200, deadline=None)
@given(lists, values_of, digits_of)
def test_count_upto_counts_the_whole_bucket(values, bound, digits):
    assert filled(values, digits).count_upto(bound) == sum(value <= bucket(bound, digits)[1] for value in values)


@settings(max_examples=200, deadline=None)
@given(lists, digits_of, st.sampled_from((HIGHEST, 10**9, 3_600_000_000, 1000)))
def test_it_survives_json(values, digits, highest):
    histogram = filled(values, digits, highest)
    again = Histogram.load(json.loads(json.dumps(histogram.dump())))
    again.check()
    assert again.dump() == histogram.dump()
    again.merge(histogram)
    assert again.count == 2 * len(values)
    copy = histogram.copy()
    copy.check()
    assert copy.dump() == histogram.dump()


def test_values_out_of_range_count_as_the_nearest():
    histogram = filled([-5, 2_000_000_000], 2, 1_000_000_000)
    assert (histogram.min, histogram.max) == (0, 1_000_000_000)
    assert histogram.percentile(100) == histogram.bucket_of(1_000_000_000)[1]
    assert histogram.count_upto(1_000_000_000) == 2
    assert histogram.count_upto(-1) == 0


def test_many_at_once():
    histogram = Histogram(2)
    histogram.add(10, 3)
    histogram.add(20, 0)
    assert histogram.buckets() == [(10, 3)]
    assert (histogram.count, histogram.total, histogram.max) == (3, 30, 10)


def test_reset_forgets_all():
    histogram = filled([1, 10**6])
    histogram.reset()
    histogram.check()
    assert histogram.dump() == Histogram(2).dump()
    assert (histogram.count, histogram.min, histogram.max, histogram.mean, histogram.percentile(99)) == (0, 0, 0, 0, 0)
    histogram.add(7)
    assert (histogram.min, histogram.max) == (7, 7)


@pytest.mark.parametrize("arguments", ((1,), (4,), (2, 1), (2, -1)))
def test_impossible_shapes_are_refused(arguments):
    with pytest.raises(ValueError):
        Histogram(*arguments)


def test_different_shapes_do_not_merge():
    for other in (Histogram(3), Histogram(2, 10**9)):
        with pytest.raises(ValueError):
            Histogram(2).merge(other)


@pytest.mark.parametrize("change", ({"counts": [10**6, 1]}, {"counts": [-1, 1]}, {"counts": [1]}, {"digits": 9}))
def test_nonsense_is_not_loaded(change):
    with pytest.raises(ValueError):
        Histogram.load(Histogram(2).dump() | change)
