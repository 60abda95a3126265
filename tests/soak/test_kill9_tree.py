"""The short form of a tree that is killed: first its supervisor, then the next one while it starts."""
from soak.kill9_tree import Kill9Tree


def test_what_a_proxy_acknowledged_is_there_whatever_the_number_of_engines():
    kills = Kill9Tree(clients=3, seed=3)
    kills.run(1)
    assert kills.steps >= 6 and kills.met["while it starts"] and kills.met["start with 1"] and kills.met["start with 3"]
