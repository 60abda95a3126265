"""What is met, what is missed, and what is not judged."""
import pytest

from bench import goals


@pytest.mark.parametrize("value, goal, judged, text", [
    (0.79, 0.80, True, "<= 0.80, met"), (0.80, 0.80, True, "<= 0.80, met"), (0.8001, 0.80, True, "<= 0.80, missed"),
    (0.5, 0.80, False, "<= 0.80"), (None, 0.80, True, "<= 0.80"), (0.5, None, True, "")])
def test_verdict(value, goal, judged, text):
    assert goals.verdict(value, goal, judged=judged) == text


def test_whole_numbers():
    assert goals.verdict(84.3, goals.BYTES_PER_KEY, 0) == "<= 84, missed"


@pytest.mark.parametrize("version, yes", [
    ("valkey 9.1.2", True), ("valkey 9.1", True), ("valkey 9.10.0", False), ("valkey 8.1.1", False),
    ("redis 7.0.15", False), ("", False)])
def test_ratios_are_to_one_peer(version, yes):
    assert goals.is_peer(version) == yes
