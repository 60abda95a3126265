"""When a cluster counts as down."""
from dataclasses import replace

from shardd.cluster.outage import Outage
from shardd.cluster.topology import DOWN, UP, EngineInfo, Topology, new_id


def cluster() -> Topology:
    return Topology.even([EngineInfo(new_id(), new_id(), index, port=7000 + index, state=UP) for index in range(3)])


def with_state(topology: Topology, index: int, state: str) -> Topology:
    return topology.with_engine(replace(topology.engines[index], state=state))


def test_an_engine_may_be_down_for_the_timeout():
    topology, outage = cluster(), Outage()
    assert not outage.is_failure(0, 15_000), "nothing is known yet"
    outage.follow(topology, 1000)
    assert not outage.is_failure(10**9, 15_000)
    topology = with_state(topology, 1, DOWN)
    outage.follow(topology, 2000)
    assert not outage.is_failure(16_999, 15_000)
    assert outage.is_failure(17_000, 15_000)
    assert outage.is_failure(2000, 0), "without patience at once"


def test_its_time_runs_on_over_other_changes_and_ends_when_it_is_back():
    topology, outage = with_state(cluster(), 1, DOWN), Outage()
    outage.follow(topology, 0)
    topology = with_state(topology, 2, DOWN)
    outage.follow(topology, 9000)
    assert outage.is_failure(10_000, 10_000)
    topology = with_state(topology, 1, UP)
    outage.follow(topology, 10_500)
    assert not outage.is_failure(18_999, 10_000)
    assert outage.is_failure(19_000, 10_000)
    outage.follow(with_state(topology, 2, UP), 20_000)
    assert not outage.is_failure(10**9, 10_000)


def test_an_engine_that_loads_its_data_is_no_failure():
    topology, outage = with_state(cluster(), 1, DOWN), Outage()
    outage.follow(topology, 0)
    topology = topology.with_engine(replace(topology.engines[1], loading=True))
    outage.follow(topology, 5000)
    assert not outage.is_failure(10**9, 15_000)


def test_slots_of_nobody_and_engines_without_slots():
    topology, outage = cluster(), Outage()
    spare = EngineInfo(new_id(), new_id(), 3, state=DOWN)
    outage.follow(topology.with_engine(spare), 0)
    assert not outage.is_failure(10**9, 1000), "it serves no slot"
    outage.follow(topology.with_slots(5, 5, None), 0)
    assert outage.is_failure(0, 1000)
