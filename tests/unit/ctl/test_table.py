"""Tables and numbers for people."""

import pytest

from shardd.ctl.table import human_bytes, human_seconds, table


def test_numbers_stand_to_the_right_and_text_to_the_left():
    assert table(["name", "count", "x"], [["a", 5, None], ["longer", 1234, "y"]]) == (
        "name    count  x\n"
        "a           5  -\n"
        "longer   1234  y")


def test_a_table_without_rows_is_its_header():
    assert table(["a", "b"], []) == "a  b"


@pytest.mark.parametrize("n, text", [(None, None), (0, "0B"), (1023, "1023B"), (1536, "1.5K"), (2**20, "1.0M"),
                                     (5 * 2**30, "5.0G"), (2**50, "1024.0T")])
def test_bytes(n, text):
    assert human_bytes(n) == text


@pytest.mark.parametrize("seconds, text", [(None, None), (0, "0s"), (59.9, "59s"), (75, "1m 15s"), (3600, "1h 0m"),
                                           (93784, "1d 2h")])
def test_seconds(seconds, text):
    assert human_seconds(seconds) == text
