"""CLUSTER SLOTS, read."""
import pytest

from bench.load import cluster
from bench.load.control import Address, LoadError
from shardd.structures.slots import SLOTS

ASKED = Address("10.0.0.9", 7000)


def test_slots():
    found = cluster.parse([[8192, 16383, [b"10.0.0.2", 7002, b"id2"], [b"10.0.0.3", 7003, b"id3"]],
                           [0, 99, [b"10.0.0.1", 7001, b"id1"]], [101, 8191, [b"10.0.0.1", 7001, b"id1"]]], ASKED)
    assert found.nodes == [Address("10.0.0.1", 7001), Address("10.0.0.2", 7002)]
    assert len(found.owners) == SLOTS
    assert [found.owners[slot] for slot in (0, 99, 100, 101, 8191, 8192, 16383)] == [0, 0, -1, 0, 0, 1, 1]


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_without_a_host_is_where_it_was_asked(host):
    assert cluster.parse([[0, 5, [host, 7001, b"id"]]], ASKED).nodes == [Address("10.0.0.9", 7001)]


@pytest.mark.parametrize("reply, error", [([], "nobody owns"), (b"OK", "something else"), ([[1]], "something else"),
                                          ([[0, 5, []]], "something else"), (None, "something else")])
def test_what_is_no_map(reply, error):
    with pytest.raises(LoadError, match=error):
        cluster.parse(reply, ASKED)
