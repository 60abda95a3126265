"""CLUSTER, READONLY, READWRITE and ASKING on one node; what a whole cluster answers is in tests/commands."""
import pytest

from harness.resp import OK, Error
from shardd.cluster.topology import UP, EngineInfo, Topology
from shardd.net.client import ClientFlag
from shardd.structures.slots import slot_of
from unit.inproc import Engine

DISABLED = Error("ERR This instance has cluster support disabled")
FIRST, SECOND = ("1" * 40, "2" * 40)


def cluster() -> Engine:
    """The first of two engines."""
    engine = Engine("--cluster-enabled", "yes", "--databases", "4")
    engine.server.node_id = FIRST
    engine.server.install_topology(Topology.even([
        EngineInfo(FIRST, "a" * 40, 0, "", 7001, "", UP), EngineInfo(SECOND, "b" * 40, 1, "", 7002, "", UP)]))
    return engine


@pytest.mark.parametrize("line", [
    "CLUSTER SLOTS", "CLUSTER HELP", "CLUSTER KEYSLOT a", "CLUSTER COUNTKEYSINSLOT x", "CLUSTER REPLICAS x", "READONLY",
    "READWRITE", "ASKING"])
def test_no_cluster(line):
    assert Engine()(line) == DISABLED


def test_a_cluster_without_a_topology_is_down():
    engine = Engine("--cluster-enabled", "yes")
    assert engine("CLUSTER SLOTS") == Error("CLUSTERDOWN The cluster is down")


def test_views():
    engine = cluster()
    assert engine("CLUSTER MYID") == FIRST.encode() and engine("CLUSTER MYSHARDID") == b"a" * 40
    assert [[first, last, owner[1]] for first, last, owner in engine("CLUSTER SLOTS")] == [
        [0, 8191, 7001], [8192, 16383, 7002]]
    assert len(engine("CLUSTER SHARDS")) == 2
    mine, other = engine("CLUSTER NODES").decode().splitlines()
    assert mine.startswith(FIRST) and "myself" in mine and "myself" not in other
    assert b"cluster_state:ok" in engine("CLUSTER INFO")
    assert engine("CLUSTER LINKS") == []
    assert engine("CLUSTER", "REPLICAS", SECOND) == [] == engine("CLUSTER", "SLAVES", FIRST)
    assert engine("CLUSTER REPLICAS x") == Error("ERR Unknown node x")


def test_the_endpoint_is_the_configured_one():
    engine = cluster()
    engine("CONFIG SET cluster-preferred-endpoint-type unknown-endpoint")
    assert engine("CLUSTER SLOTS")[0][2][0] is None


@pytest.mark.parametrize("key", ["a", "", "{t}x", "x{t}", "{}a"])
def test_keyslot(key):
    assert cluster()("CLUSTER", "KEYSLOT", key) == slot_of(key.encode())


def test_keys_of_a_slot_are_those_of_the_clients_database():
    engine = cluster()
    slot = slot_of(b"{b}")
    engine("MSET {b}1 x {b}2 y")
    engine("SELECT 1")
    engine("SET {b}3 z")
    assert engine("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
    assert engine("CLUSTER", "GETKEYSINSLOT", slot, 10) == [b"{b}3"]
    engine("SELECT 0")
    assert engine("CLUSTER", "COUNTKEYSINSLOT", slot) == 2
    assert set(engine("CLUSTER", "GETKEYSINSLOT", slot, 10)) == {b"{b}1", b"{b}2"}


@pytest.mark.parametrize("line, text", [
    ("COUNTKEYSINSLOT 16384", "Invalid slot"), ("COUNTKEYSINSLOT -1", "Invalid slot"),
    ("COUNTKEYSINSLOT x", "value is not an integer or out of range"),
    ("GETKEYSINSLOT 16384 1", "Invalid slot or number of keys"),
    ("GETKEYSINSLOT 1 -1", "Invalid slot or number of keys"),
    ("GETKEYSINSLOT 1 x", "value is not an integer or out of range"),
    ("GETKEYSINSLOT x -1", "value is not an integer or out of range"),
    ("MEET 127.0.0.1 1", "unknown subcommand 'MEET'. Try CLUSTER HELP."),
    ("ADDSLOTS 1", "unknown subcommand 'ADDSLOTS'. Try CLUSTER HELP.")])
def test_errors(line, text):
    assert cluster()(f"CLUSTER {line}") == Error("ERR " + text)


def test_modes_of_the_connection():
    engine = cluster()
    session = engine.run.session
    assert engine("READONLY") == OK and session.flags & ClientFlag.READONLY
    assert engine("READONLY") == OK and session.flags & ClientFlag.READONLY
    assert engine("READWRITE") == OK and not session.flags & ClientFlag.READONLY
    assert engine("ASKING") == OK and session.flags & ClientFlag.ASKING
    engine("GET b")
    assert not session.flags & ClientFlag.ASKING, "for one command"


def test_help():
    assert cluster()("CLUSTER HELP")[0].startswith("CLUSTER <subcommand>")
