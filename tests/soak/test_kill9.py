"""The short form of being killed."""
import pytest

from soak.kill9 import Kill9


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_nothing_acknowledged_is_lost(policy):
    kills = Kill9(policy, clients=4, seed=5)
    kills.run(2, lambda: kills.steps > 20)
    assert policy != "always" or not kills.lost


def test_what_was_logged_is_there_whatever_else_happens_to_the_files():
    kills = Kill9("always", clients=4, seed=5, hostile=True)
    kills.run(3, lambda: kills.steps > 20 and kills.met["off"] and kills.met["child"])
