"""Rates: growth per second over the samples that are kept."""

import pytest

from shardd.base import rates


@pytest.fixture
def clock(monkeypatch):
    now = [1_000]
    monkeypatch.setattr(rates, "mono_ms", lambda: now[0])
    return now


def test_the_mean_over_what_is_kept(clock):
    of_two = rates.Rates(2, samples=3)
    assert of_two.per_second() == (0.0, 0.0)
    for after_ms, totals in ((0, (0, 0)), (1_000, (100, 5)), (1_000, (300, 5)), (1_000, (600, 25))):
        clock[0] += after_ms
        of_two.sample(*totals)
    assert of_two.per_second() == (250.0, 10.0), "from 100 to 600 and from 5 to 25 in 2 s: the first is forgotten"


def test_one_sample_tells_nothing_and_one_that_was_set_back_neither(clock):
    of_one = rates.Rates(1)
    of_one.sample(500)
    assert of_one.per_second() == (0.0,)
    clock[0] += 100
    of_one.sample(3)
    assert of_one.per_second() == (0.0,)
    of_one.clear()
    assert of_one.per_second() == (0.0,)


def test_samples_of_one_instant_divide_by_nothing(clock):
    of_one = rates.Rates(1)
    of_one.sample(0)
    of_one.sample(2)
    assert of_one.per_second() == (2_000.0,)
