"""Tables and medians."""
import pytest

from bench import report


def test_a_table_is_aligned_and_says_where_numbers_stand():
    assert report.markdown(["name", "us"], [["a", "5.1"], ["long|er", None]], right=(1,)) == (
        "| name     |  us |\n"
        "|----------|----:|\n"
        "| a        | 5.1 |\n"
        "| long\\|er |   - |")


def test_a_table_without_rows_is_its_header():
    assert report.markdown(["a", "bcde"], []) == "| a   | bcde |\n|-----|------|"


def test_medians_go_field_by_field():
    rounds = [{"us": 3.0, "p99": 1.0}, {"us": 1.0, "p99": 3.0}, {"us": 2.0, "p99": 9.0}]
    assert report.medians(rounds) == {"us": 2.0, "p99": 3.0}
    assert report.medians(rounds[:2]) == {"us": 2.0, "p99": 2.0}
    assert report.medians([{"p50": None}]) == {"p50": None}
    assert report.medians([{"p50": None}, {"p50": 1.0}]) == {"p50": None}, "half of the rounds is no median of them"
    with pytest.raises(ValueError):
        report.medians([])


def test_spread():
    assert report.spread_percent([2.0, 1.8, 2.2]) == pytest.approx(20)
    assert report.spread_percent([5.0]) == 0
    assert report.spread_percent([0.0, 0.0]) == 0


@pytest.mark.parametrize("value, digits, text", [
    (None, 0, "-"), (1234567.0, 0, "1,234,567"), (0.125, 2, "0.12"), (0, 0, "0")])
def test_numbers(value, digits, text):
    assert report.number(value, digits) == text
