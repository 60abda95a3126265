"""slots: ranges with holes, keys counted by range, and where a key is."""

import pytest

from ctl_fakes import FakeSource, ctl, info
from shardd.base.errors import CommandError
from shardd.cluster.topology import DOWN, Migration
from shardd.ctl.link import Unreachable
from shardd.ctl.slots import hash_tag


@pytest.fixture
def source():
    one = FakeSource()
    one.nodes[0].answers["INFO KEYSPACE"] = info(db0="keys=3,expires=0,avg_ttl=0", db5="keys=4,expires=1,avg_ttl=9")
    one.nodes[1].answers["INFO KEYSPACE"] = info(db0="keys=21,expires=0,avg_ttl=0")
    return one


def test_an_engine_with_one_range_has_all_its_keys_there(source):
    done = ctl(source, "slots", "--json")
    assert done.code == 0
    assert [(row["first"], row["last"], row["engine"], row["keys"]) for row in done.json["ranges"]] == [
        (0, 8191, 0, 7), (8192, 16383, 1, 21)]
    assert done.json["engines"][1] == {"engine": 1, "slots": 8192, "slots_percent": 50.0, "keys": 21,
                                       "keys_percent": 75.0}


def test_several_ranges_are_counted_slot_by_slot_in_every_database(source):
    engine = source.map.engines[0]
    source.map = source.map.with_slots(100, 199, source.map.engines[1].id).with_slots(200, 16383, engine.id)
    node = source.nodes[0]
    node.answers["CLUSTER COUNTKEYSINSLOT"] = lambda *words: int(words[2] == "7") + 2 * int(words[2] == "16383")
    node.answers["SELECT"] = b"OK"
    done = ctl(source, "slots", "--json")
    assert [(row["first"], row["last"], row["keys"]) for row in done.json["ranges"]] == [
        (0, 99, 2), (100, 199, 21), (200, 16383, 4)]
    assert [words[1] for words in node.asked if words[0] == "SELECT"] == ["0", "5", "0"]
    assert "% of slots" in ctl(source, "slots").out


@pytest.mark.parametrize("answer", [Unreachable("gone"), CommandError(b"ERR no")])
def test_an_engine_that_does_not_count_has_unknown_keys(source, answer):
    source.nodes[1].answers["INFO KEYSPACE"] = answer
    done = ctl(source, "slots", "--json")
    assert done.code == 0
    assert [row["keys"] for row in done.json["ranges"]] == [7, None]
    assert done.json["engines"][1]["keys"] is None


def test_holes_and_engines_that_are_down_are_bad(source):
    source.map = source.map.with_slots(100, 199, None)
    done = ctl(source, "slots", "--no-keys")
    assert done.code == 1 and done.lines[2][:5] == ["100-199", "100", "-", "-", "not"]
    assert source.nodes[0].asked == []
    source.map = source.map.with_slots(100, 199, source.map.engines[0].id).with_engine_facts(
        source.map.engines[1].id, state=DOWN)
    assert ctl(source, "slots").code == 1


def test_migrations_are_shown(source):
    first, second = (engine.id for engine in source.map.engines)
    source.map = source.map.with_migration(Migration(8000, 8191, first, second))
    assert ctl(source, "slots").out.splitlines()[-1] == f"moving 8000-8191: {first} -> {second}"
    assert ctl(source, "slots", "--json").json["migrations"] == [{"first": 8000, "last": 8191, "source": first,
                                                                  "target": second}]


def test_where_a_key_is(source):
    done = ctl(source, "slots", "foo", "a{bar}b", "--json")
    assert done.code == 0
    assert done.json["keys"] == [
        {"key": "foo", "slot": 12182, "tag": None, "engine": 1, "port": 40002, "state": "up"},
        {"key": "a{bar}b", "slot": 5061, "tag": "bar", "engine": 0, "port": 40001, "state": "up"}]
    source.map = source.map.with_slots(12182, 12182, None)
    done = ctl(source, "slots", "foo")
    assert done.code == 1 and "not served" in done.out


@pytest.mark.parametrize("key, tag", [(b"x", None), (b"{}x", None), (b"{a}", b"a"), (b"a{b}{c}", b"b"), (b"{a", None),
                                      (b"}{a}", b"a"), (b"{{a}}", b"{a")])
def test_hash_tags(key, tag):
    assert hash_tag(key) == tag
