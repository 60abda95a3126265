"""The short form of the soak."""

from soak.run import Soak

SECONDS = 8


def test_a_few_faults_under_load(start):
    tree = start("tree", engines=3, proxies=2, cluster_require_full_coverage="no")
    soak = Soak(tree, seed=3, clients=6)
    soak.run(SECONDS, pause_s=0.5, faults_min=2)
