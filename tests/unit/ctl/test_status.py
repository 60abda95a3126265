"""status and ping over a tree in memory: the verdict for every kind of trouble."""

import pytest

from ctl_fakes import FakeSource, ctl
from shardd.base.errors import CommandError
from shardd.cluster.topology import DOWN
from shardd.ctl.link import Unreachable


@pytest.fixture
def source():
    return FakeSource()


def test_all_is_well(source):
    done = ctl(source, "status")
    assert done.code == 0
    assert done.out.splitlines()[-1] == ("/fake/run/supervisor.sock: all up: 2 engines, 1 proxy, all 16384 slots "
                                         "served, epoch 7")


@pytest.mark.parametrize("facts, said", [
    ({"state": "suspect"}, "engine 1 is suspect"),
    ({"state": "backoff", "since_s": 75}, "engine 1 is backoff since 1m 15s"),
    ({"state": "backoff", "trouble": "engine 1 dies again and again"}, "engine 1 dies again and again"),
    ({"answers": False}, "engine 1 does not answer"),
    ({"state": "loading", "loading": {"bytes": 500, "total_bytes": 2000, "keys": 7, "eta_s": 75}},
     "engine 1 has loaded 25.0% of 2.0K, 1m 15s to go"),
])
def test_a_process_that_is_not_well_is_named(source, facts, said):
    source.nodes[1].facts |= facts
    done = ctl(source, "status", "--json")
    assert done.code == 1 and not done.json["ok"]
    assert done.json["verdict"].startswith(f"NOT WELL: {said}")


def test_slots_of_an_engine_that_is_down_are_not_served(source):
    source.map = source.map.with_engine_facts(source.map.engines[0].id, state=DOWN)
    source.nodes[0].facts["state"] = "backoff"
    done = ctl(source, "status", "--json")
    assert done.json["slots_served"] == 8192 and "8192 of 16384 slots are not served" in done.json["verdict"]


def test_the_supervisor_s_own_troubles_are_told(source):
    source.supervisor |= {"trouble": ["the topology is not stored"], "stopping": True}
    done = ctl(source, "status")
    assert done.code == 1 and "the topology is not stored; the tree is stopping" in done.out
    assert done.lines[1][:2] == ["supervisor", "stopping"]


def test_proxies_that_have_handed_over_are_told_and_nothing_bad(source):
    source.supervisor["draining"] = [{"kind": "proxy", "index": 0, "state": "draining"}]
    done = ctl(source, "status")
    assert done.code == 0 and "1 proxy handed over and wait for the last of their clients" in done.out


def test_what_is_not_known_is_null_and_a_dash(source):
    for name in ("keys", "used_memory_bytes", "ops", "clients"):
        del source.nodes[1].facts[name]
    assert ctl(source, "status", "--json").json["processes"][1]["keys"] is None
    assert ctl(source, "status").lines[3][-4:] == ["-", "-", "-", "-"]


def test_ping_says_who_does_not_answer_and_why(source):
    source.nodes[0].down = "is not running (state backoff)"
    source.nodes[1].answers["PING"] = Unreachable("x does not answer")
    source.nodes[2].answers["PING"] = CommandError(b"LOADING wait")
    done = ctl(source, "ping", "--json")
    assert done.code == 1
    assert [(one["name"], one["ok"], one["error"]) for one in done.json["answers"]] == [
        ("supervisor", True, None), ("engine 0", False, "engine 0 is not running (state backoff)"),
        ("engine 1", False, "x does not answer"), ("proxy 0", False, "LOADING wait")]
