"""Numbers for people."""

import pytest

from shardd.ctl.human import human_bytes, human_count, human_seconds, human_us, number, percent, plural


@pytest.mark.parametrize("n, text", [(None, None), (0, "0B"), (1023, "1023B"), (1536, "1.5K"), (2**20, "1.0M"),
                                     (5 * 2**30, "5.0G"), (2**50, "1024.0T"), (0.5, "0B"), (-2048, "-2.0K")])
def test_bytes(n, text):
    assert human_bytes(n) == text


@pytest.mark.parametrize("n, text", [(None, None), (0, "0"), (1.25, "1.2"), (999, "999"), (1000, "1.00k"),
                                     (12345, "12.3k"), (123456, "123k"), (1234567, "1.23M"), (5e9, "5.00G")])
def test_counts(n, text):
    assert human_count(n) == text


@pytest.mark.parametrize("seconds, text", [(None, None), (0, "0s"), (59.9, "59s"), (75, "1m 15s"), (3600, "1h 0m"),
                                           (93784, "1d 2h")])
def test_seconds(seconds, text):
    assert human_seconds(seconds) == text


@pytest.mark.parametrize("us, text", [(None, None), (0, "0.00 us"), (12.34, "12.3 us"), (999, "999 us"),
                                      (1500, "1.50 ms"), (99_960, "100 ms"), (2_500_000, "2.50 s")])
def test_microseconds(us, text):
    assert human_us(us) == text


def test_a_part_of_nothing_is_unknown():
    assert percent(1, 3) == 33.3
    assert percent(1, 0) is None


@pytest.mark.parametrize("text, value", [("5", 5), ("1.5", 1.5), ("64mb", 64 * 2**20), ("1k", 1000), ("-3", -3)])
def test_numbers_are_read_as_in_a_configuration(text, value):
    assert number(text) == value


def test_what_is_no_number():
    with pytest.raises(ValueError, match="no number"):
        number("many")


def test_plurals():
    assert [plural(1, "engine"), plural(2, "engine"), plural(2, "proxy"), plural(0, "key")] == [
        "1 engine", "2 engines", "2 proxies", "0 keys"]
