"""The topology value: validation, normal form, next versions, JSON."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardd.cluster.topology import (DOWN, NOBODY, SLOTS, UP, EngineInfo, Migration, SlotRange, Topology, TopologyError,
                                     new_id)

IDS = ["%040x" % (n + 1) for n in range(8)]
CLUSTER = "c" * 40


def engine(index: int, **facts) -> EngineInfo:
    return EngineInfo(IDS[index], "%040x" % (index + 100), index, **facts)


def even(count: int) -> Topology:
    return Topology.even([engine(i) for i in range(count)], CLUSTER)


@pytest.mark.parametrize("count, borders", [
    (1, [(0, 16383)]),
    (2, [(0, 8191), (8192, 16383)]),
    (3, [(0, 5460), (5461, 10922), (10923, 16383)]),
    (5, [(0, 3276), (3277, 6553), (6554, 9829), (9830, 13106), (13107, 16383)]),
])
def test_an_even_split_has_the_borders_of_redis_cli(count, borders):
    topology = even(count)
    assert [(r.first, r.last) for r in topology.ranges] == borders
    assert topology.covered
    assert topology.epoch == 1


def test_owner_of_and_ranges_of_agree_with_the_table():
    topology = even(3)
    assert topology.owner_of(5460).index == 0
    assert topology.owner_of(5461).index == 1
    assert list(topology.owners[5460:5462]) == [0, 1]
    assert topology.ranges_of(IDS[2]) == ((10923, 16383),)
    assert topology.slot_count(IDS[1]) == 5462
    assert topology.engine(IDS[1]).index == 1 and topology.engine("0" * 40) is None


def test_slots_without_an_owner():
    topology = Topology(1, CLUSTER, (engine(0),), (SlotRange(5, 9, IDS[0]),))
    assert topology.owner_of(4) is None and topology.owners[4] == NOBODY
    assert topology.owner_of(5).id == IDS[0]
    assert not topology.covered


def test_neighbouring_ranges_of_one_owner_are_joined():
    one = Topology(1, CLUSTER, (engine(0),), (SlotRange(6, 9, IDS[0]), SlotRange(0, 5, IDS[0])))
    assert one.ranges == (SlotRange(0, 9, IDS[0]),)
    assert one == Topology(1, CLUSTER, (engine(0),), (SlotRange(0, 9, IDS[0]),))


def test_engines_are_kept_in_order_of_index():
    assert [e.index for e in Topology(1, CLUSTER, (engine(1), engine(0))).engines] == [0, 1]


@pytest.mark.parametrize("fields, words", [
    (dict(ranges=(SlotRange(0, 5, IDS[0]), SlotRange(5, 9, IDS[1]))), "slot 5 has two owners"),
    (dict(ranges=(SlotRange(0, 5, IDS[7]),)), "unknown engine"),
    (dict(ranges=(SlotRange(0, 16384, IDS[0]),)), "not a range of slots"),
    (dict(ranges=(SlotRange(9, 5, IDS[0]),)), "not a range of slots"),
    (dict(ranges=(SlotRange(True, 5, IDS[0]),)), "not a range of slots"),
    (dict(engines=(engine(0), engine(0))), "two engines have the id"),
    (dict(engines=(engine(0), EngineInfo(IDS[1], IDS[1], 0))), "two engines have the index"),
    (dict(engines=(engine(0, unixsocket="/a"), engine(1, unixsocket="/a"))), "two engines have the unixsocket"),
    (dict(epoch=-1), "epoch"),
    (dict(cluster_id="C" * 40), "cluster_id"),
    (dict(migrations=(Migration(0, 5, IDS[0], IDS[1]),)), "does not own"),
])
def test_what_breaks_an_invariant_is_refused_and_named(fields, words):
    whole = dict(epoch=1, cluster_id=CLUSTER, engines=(engine(0), engine(1))) | fields
    with pytest.raises(TopologyError, match=words):
        Topology(**whole)


@pytest.mark.parametrize("facts, words", [
    (dict(id="z" * 40), "id"), (dict(id=IDS[0] + "\n"), "id"), (dict(shard_id="ab"), "shard_id"),
    (dict(index=-1), "index"),
    (dict(port=65536), "port"), (dict(port="1"), "port"), (dict(state="sideways"), "state"), (dict(host=None), "host"),
])
def test_an_engine_with_a_wrong_field_is_refused(facts, words):
    with pytest.raises(TopologyError, match=words):
        EngineInfo(**(dict(id=IDS[0], shard_id=IDS[1], index=0) | facts))


def test_two_migrations_of_one_slot_and_a_migration_to_itself_are_refused():
    topology = even(2).with_migration(Migration(10, 20, IDS[0], IDS[1]))
    with pytest.raises(TopologyError, match="two migrations"):
        topology.with_migration(Migration(20, 30, IDS[0], IDS[1]))
    with pytest.raises(TopologyError, match="target"):
        topology.with_migration(Migration(30, 30, IDS[0], IDS[0]))


def test_every_change_is_a_new_value_with_the_next_epoch():
    old = even(2)
    new = old.with_engine_facts(IDS[0], port=7000, state=UP)
    assert (old.epoch, new.epoch) == (1, 2)
    assert old.engines[0].port == 0 and new.engines[0].port == 7000
    assert new.ranges == old.ranges and new.cluster_id == old.cluster_id
    with pytest.raises(KeyError):
        old.with_engine_facts("0" * 40, port=1)


def test_moving_slots_splits_ranges_and_ends_their_migration():
    topology = even(2).with_migration(Migration(100, 200, IDS[0], IDS[1]))
    moved = topology.with_slots(100, 200, IDS[1])
    assert moved.ranges_of(IDS[0]) == ((0, 99), (201, 8191))
    assert moved.ranges_of(IDS[1]) == ((100, 200), (8192, 16383))
    assert moved.migrations == () and moved.covered
    assert moved.epoch == 3
    gone = moved.with_slots(0, 16383, None)
    assert gone.ranges == () and not gone.covered


def test_migrations_come_and_go():
    migration = Migration(1, 2, IDS[0], IDS[1])
    with_it = even(2).with_migration(migration)
    assert with_it.migrations == (migration,)
    assert with_it.without_migration(migration).migrations == ()
    with pytest.raises(KeyError):
        even(2).without_migration(migration)


def test_resizing_splits_evenly_again():
    bigger = even(2).resized([engine(i) for i in range(4)])
    assert [bigger.slot_count(IDS[i]) for i in range(4)] == [4096] * 4
    assert bigger.epoch == 2 and bigger.cluster_id == CLUSTER


def test_a_diff_names_engines_and_moves():
    old = even(2)
    new = old.with_slots(10, 19, IDS[1]).with_engine_facts(IDS[0], port=5).with_engine(engine(2))
    new = new.with_slots(30, 30, None)
    diff = old.diff(new)
    assert diff.added == (IDS[2],) and diff.removed == () and diff.changed == (IDS[0],)
    assert diff.moved == ((10, 19, IDS[0], IDS[1]), (30, 30, IDS[0], None))
    assert not diff.migrations and diff
    assert not old.diff(old)
    assert old.diff(old.with_migration(Migration(1, 1, IDS[0], IDS[1]))).migrations


def test_the_json_form_is_read_back_unchanged():
    topology = even(3).with_engine_facts(IDS[1], port=7001, host="10.0.0.1", unixsocket="/x", state=UP, hostname="h")
    topology = topology.with_migration(Migration(7, 9, IDS[0], IDS[2]))
    again = Topology.loads(topology.dumps())
    assert again == topology
    assert again.owners == topology.owners
    assert "\n" not in topology.dumps()


@given(st.lists(st.tuples(st.integers(0, SLOTS - 1), st.integers(0, 300), st.integers(0, 3)), max_size=12))
def test_any_assignment_survives_json_and_keeps_its_normal_form(moves):
    topology = even(4)
    for first, length, to in moves:
        topology = topology.with_slots(first, min(first + length, SLOTS - 1), IDS[to])
    assert Topology.loads(topology.dumps()) == topology
    assert sum(topology.slot_count(i) for i in IDS[:4]) == SLOTS
    for before, after in zip(topology.ranges, topology.ranges[1:]):
        assert before.last + 1 == after.first and before.engine_id != after.engine_id


@pytest.mark.parametrize("change, words", [
    (lambda v: v.update(version=2), "version 2"),
    (lambda v: v.pop("epoch"), "'epoch' is missing"),
    (lambda v: v.update(engines=None), "wrong form"),
    (lambda v: v.update(engines=[5]), "wrong form"),
    (lambda v: v["engines"][0].pop("id"), "wrong form"),
    (lambda v: v.update(ranges=[[1, 2]]), "wrong form"),
    (lambda v: v.update(ranges=[["a", 2, IDS[0]]]), "not a range"),
    (lambda v: v.update(epoch="7"), "epoch"),
])
def test_a_json_value_of_another_form_is_refused(change, words):
    value = even(2).to_json()
    change(value)
    with pytest.raises(TopologyError, match=words):
        Topology.loads(json.dumps(value))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", b"\xff", "1"])
def test_what_is_no_topology_is_refused(text):
    with pytest.raises(TopologyError):
        Topology.loads(text)


def test_an_unknown_field_of_an_engine_is_ignored():
    value = even(1).to_json()
    value["engines"][0]["colour"] = "green"
    assert Topology.from_json(value) == even(1)


def test_a_single_engine_owns_everything():
    topology = Topology.single(7000)
    assert topology.covered and topology.engines[0].port == 7000 and topology.engines[0].state == UP
    assert topology.engines[0].id != Topology.single(7000).engines[0].id


def test_new_ids_are_random_node_ids():
    assert len(new_id()) == 40 and new_id() != new_id()
    assert EngineInfo(new_id(), new_id(), 0).state == DOWN


def test_the_generation_of_the_data_is_part_of_it():
    one = even(2)
    assert one.generation == 1 and one.next(generation=2).generation == 2
    assert Topology.loads(one.next(generation=7).dumps()).generation == 7
    older = one.to_json()
    del older["generation"]
    assert Topology.from_json(older) == one, "from before there was any"
    for wrong in (0, -1, "1", True, None):
        with pytest.raises(TopologyError, match="generation"):
            one.next(generation=wrong)


def test_an_engine_answers_when_it_is_up_or_loads():
    assert [replace(engine(0), state=state, loading=loading).answers
            for state, loading in ((UP, False), (DOWN, False), (DOWN, True))] == [True, False, True]
