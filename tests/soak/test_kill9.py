"""The short form of being killed."""
import pytest

from soak.kill9 import Kill9


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_nothing_acknowledged_is_lost(policy):
    kills = Kill9(policy, clients=4, seed=5)
    kills.run(2)
    assert kills.steps > 20 and (policy != "always" or not kills.lost)
