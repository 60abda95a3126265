"""The supervisor as a source: nodes follow what it says."""

import json

import pytest

from shardd.ctl.link import Unreachable
from shardd.ctl.source import SupervisorSource, dir_of_conf, open_source, socket_in


class FakeConnection:
    """Answers SHARDD STATUS from `children`; counts the questions."""

    def __init__(self, children):
        self.children, self.asked = children, 0

    def call(self, *words):
        self.asked += 1
        return json.dumps({"pid": 1, "epoch": 3, "children": self.children}).encode()

    def close(self):
        pass


def child(index, **facts):
    return {"kind": "engine", "index": index, "state": "up", "pid": 100 + index, "answers": True,
            "socket": f"/nonexistent/engine-{index}.sock"} | facts


@pytest.fixture
def connection():
    return FakeConnection([child(0), child(1)])


def test_the_first_status_is_the_one_it_was_made_from(connection):
    source = SupervisorSource("/s", connection)
    assert source.status()["epoch"] == 3 and connection.asked == 1
    assert source.status()["supervisor"] == {"pid": 1} and connection.asked == 2


def test_a_process_that_was_started_again_is_another_node(connection):
    source = SupervisorSource("/s", connection)
    source.status()
    before = list(source.nodes)
    connection.children = [child(0), child(1, pid=999), child(2)]
    source.status()
    assert source.nodes[0] is before[0] and source.nodes[1] is not before[1] and len(source.nodes) == 3
    connection.children = [child(0)]
    source.status()
    assert [node.name for node in source.nodes] == ["engine 0"]


@pytest.mark.parametrize("facts, why", [
    ({"pid": None, "state": "backoff"}, "engine 1 is not running (state backoff)"),
    ({"answers": False, "state": "suspect"}, "engine 1 does not answer the supervisor (state suspect)")])
def test_who_cannot_answer_is_not_waited_for(connection, facts, why):
    connection.children[1] |= facts
    with pytest.raises(Unreachable) as refusal:
        SupervisorSource("/s", connection).nodes[1].call("PING")
    assert str(refusal.value) == why


def test_the_front_is_a_proxy_that_answers(connection):
    connection.children += [child(0, kind="proxy", pid=None), child(1, kind="proxy", socket="/nonexistent/p")]
    source = SupervisorSource("/s", connection)
    with pytest.raises(Unreachable, match="proxy 0 is not running"):
        source.front()
    source.nodes[-1].call = lambda *words: "PONG"
    assert source.front().name == "proxy 1"
    connection.children = []
    with pytest.raises(Unreachable, match="nobody is there"):
        empty = SupervisorSource("/s", connection)
        empty.front()


def test_where_a_tree_is(tmp_path):
    assert socket_in("/d") == "/d/run/supervisor.sock"
    (tmp_path / "c").write_text(f"dir {tmp_path}\n")
    assert dir_of_conf(str(tmp_path / "c")) == str(tmp_path)
    with pytest.raises(Unreachable, match="there is no .*/run/supervisor.sock. Start it"):
        open_source(conf=str(tmp_path / "c"))
