"""The cluster's view: CLUSTER and its subcommands, READONLY READWRITE ASKING.

The bodies run on a `node`: a real Redis in cluster mode that owns every slot, one engine by itself in cluster mode, an
engine of a tree, and the proxy. What one map of several engines must fulfil is checked on the tree alone.
"""

import re

import pytest

from harness import OK, Conn, Error, Verbatim
from harness.targets import Cluster, Fleet
from harness.texts import CROSSSLOT, NOT_INT, arity, unknown_subcommand

DISABLED = Error("ERR This instance has cluster support disabled")
SLOTS = {"a": 15495, "b": 3300, "foo": 12182, "{a}b": 15495, "a{b}c": 3300, "foo{}bar": 14292, "foo{{bar}}zap": 4015,
         "foo{bar}{zap}": 5061, "123456789": 12739, "{foo": 13308, "foo}": 15679, "{}foo": 9500, "x{foo}": 12182, "": 0}
ALL_SLOTS = range(16_384)


def connect(fleet: Fleet, request: pytest.FixtureRequest, name: str) -> Conn:
    if name in ("tree_engine", "proxy"):
        request.getfixturevalue("fresh")
        target = fleet.target("cluster")
        address = target.nodes()[0] if name == "tree_engine" else target.server.port
        server = target.server
    else:
        if name != "cluster_oracle":
            request.getfixturevalue("fresh")
        server = fleet.server(name)
        address = server.port
    request.node.servers = [server]
    return Conn(address)


NODES = ["cluster_oracle", "cluster_engine", "tree_engine", "proxy"]
OURS = NODES[1:]


@pytest.fixture
def node(request, fleet):
    """A connection to a node of a cluster."""
    wanted = request.config.getoption("--targets").split(",")
    needs = {"cluster_oracle": "oracle", "cluster_engine": "engine", "tree_engine": "cluster",
             "proxy": "proxy"}[request.param]
    if needs not in wanted:
        pytest.skip(f"--targets leaves {needs} out")
    with connect(fleet, request, request.param) as conn:
        conn.kind = request.param
        conn("FLUSHALL")
        yield conn


every_node = pytest.mark.parametrize("node", NODES, indirect=True)
our_nodes = pytest.mark.parametrize("node", OURS, indirect=True)


def as_dict(reply: list) -> dict:
    return dict(zip(reply[::2], reply[1::2], strict=True))


# --- one node ---------------------------------------------------------------------------------------------------------

@every_node
def test_keyslot(node):
    for key, slot in SLOTS.items():
        assert node("CLUSTER", "KEYSLOT", key) == slot, key


@every_node
def test_ids(node):
    number = node("CLUSTER MYID")
    assert re.fullmatch(rb"[0-9a-f]{40}", number)
    assert node("cluster myid") == number
    if node.kind != "cluster_oracle":
        assert re.fullmatch(rb"[0-9a-f]{40}", node("CLUSTER MYSHARDID"))


@every_node
def test_info(node):
    info = dict(line.split(":") for line in node("CLUSTER INFO").decode().split("\r\n") if line)
    assert list(info)[:7] == ["cluster_state", "cluster_slots_assigned", "cluster_slots_ok", "cluster_slots_pfail",
                              "cluster_slots_fail", "cluster_known_nodes", "cluster_size"]
    assert info["cluster_state"] == "ok"
    assert info["cluster_slots_assigned"] == info["cluster_slots_ok"] == "16384"
    assert info["cluster_slots_fail"] == info["cluster_slots_pfail"] == "0"
    assert int(info["cluster_size"]) >= 1
    assert {"cluster_current_epoch", "cluster_my_epoch"} <= set(info)


@every_node
def test_slots_cover_everything_once(node):
    covered = [slot for first, last, *_ in node("CLUSTER SLOTS") for slot in range(first, last + 1)]
    assert sorted(covered) == list(ALL_SLOTS)
    for _, _, *owners in node("CLUSTER SLOTS"):
        for ip, port, name, metadata in owners:
            assert isinstance(ip, bytes) and 0 < port < 65_536
            assert re.fullmatch(rb"[0-9a-f]{40}", name) and isinstance(metadata, list)


@every_node
def test_shards_cover_everything_once(node):
    covered = []
    for shard in map(as_dict, node("CLUSTER SHARDS")):
        assert list(shard) == [b"slots", b"nodes"]
        ranges = shard[b"slots"]
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            covered += range(first, last + 1)
        primaries = [n for n in map(as_dict, shard[b"nodes"]) if n[b"role"] == b"master"]
        assert len(primaries) == 1
        assert {b"id", b"port", b"ip", b"endpoint", b"role", b"replication-offset", b"health"} <= set(primaries[0])
        assert primaries[0][b"health"] == b"online"
    assert sorted(covered) == list(ALL_SLOTS)


@every_node
def test_nodes(node):
    text = node("CLUSTER NODES").decode()
    assert text.endswith("\n")
    lines = [line.split(" ") for line in text.splitlines()]
    covered = []
    for name, address, flags, primary, ping, pong, epoch, link, *ranges in lines:
        assert re.fullmatch("[0-9a-f]{40}", name)
        assert re.fullmatch(r"[^ ]*:\d+@\d+(,[^ ]*)*", address), address
        assert set(flags.split(",")) <= {"myself", "master", "slave"}
        assert ("master" in flags) == (primary == "-")
        assert link == "connected" and ping.isdigit() and pong.isdigit() and epoch.isdigit()
        for one in ranges:
            first, _, last = one.partition("-")
            covered += range(int(first), int(last or first) + 1)
    assert sorted(covered) == list(ALL_SLOTS)
    mine = [line[0] for line in lines if "myself" in line[2]]
    assert mine == [node("CLUSTER MYID").decode()]


@every_node
def test_shapes_in_resp3(node):
    node.must("HELLO 3")
    slots = node("CLUSTER SLOTS")
    assert isinstance(slots, list) and isinstance(slots[0][2][3], dict)
    shard = node("CLUSTER SHARDS")[0]
    assert isinstance(shard, dict) and isinstance(shard[b"nodes"][0], dict)
    for name in ("INFO", "NODES"):
        reply = node(f"CLUSTER {name}")
        assert isinstance(reply, Verbatim) and reply.format == "txt"


@every_node
def test_keys_in_a_slot(node):
    if node.kind == "tree_engine":
        return  # it owns a part only; test_slot_counts_on_their_owners covers it
    slot = node("CLUSTER", "KEYSLOT", "{t}")
    names = {f"{{t}}{n}".encode() for n in range(30)}
    for name in names:
        node.must("SET", name, "v")
    node.must("SET other v")
    if node.kind == "proxy":
        return
    assert node("CLUSTER", "COUNTKEYSINSLOT", slot) == 30
    assert set(node("CLUSTER", "GETKEYSINSLOT", slot, 100)) == names
    assert len(set(node("CLUSTER", "GETKEYSINSLOT", slot, 7))) == 7
    assert node("CLUSTER", "GETKEYSINSLOT", slot, 0) == []
    assert node("CLUSTER", "COUNTKEYSINSLOT", (slot + 1) % 16384) == 0
    assert node("CLUSTER", "GETKEYSINSLOT", (slot + 1) % 16384, 10) == []
    node.must("FLUSHALL")
    assert node("CLUSTER", "COUNTKEYSINSLOT", slot) == 0


@every_node
def test_argument_errors(node):
    for slot in (16_384, -1, 2**31 - 1):
        assert node("CLUSTER", "COUNTKEYSINSLOT", slot) == Error("ERR Invalid slot")
        assert node("CLUSTER", "GETKEYSINSLOT", slot, 1) == Error("ERR Invalid slot or number of keys")
    assert node("CLUSTER GETKEYSINSLOT 0 -1") == Error("ERR Invalid slot or number of keys")
    for bad in ("abc", "", "1.5"):
        assert node("CLUSTER", "COUNTKEYSINSLOT", bad) == NOT_INT
        assert node("CLUSTER", "GETKEYSINSLOT", bad, 1) == NOT_INT
        assert node("CLUSTER", "GETKEYSINSLOT", 1, bad) == NOT_INT
    assert node("CLUSTER BOGUS") == unknown_subcommand("BOGUS", "CLUSTER")
    assert node("CLUSTER") == arity("cluster")
    for name in ("slots", "nodes", "shards", "info", "myid"):
        assert node(f"CLUSTER {name} extra") == arity(f"cluster|{name}")


@every_node
def test_connection_modes(node):
    for name in ("READONLY", "READWRITE", "ASKING"):
        assert node(name) == OK
    assert node("READONLY") == OK
    assert as_dict(node("HELLO"))[b"mode"] == b"cluster"
    assert b"cluster_enabled:1" in node("INFO cluster")
    assert b"redis_mode:cluster" in node("INFO server")


@pytest.mark.parametrize("node", NODES[:3], indirect=True)
def test_keys_of_several_slots(node):
    for line in ("MGET a b", "DEL a b c", "MSET a 1 b 2", "RENAME a b", "EXISTS a a b"):
        assert node(line) == CROSSSLOT


@our_nodes
def test_databases_work_in_cluster_mode(node):
    """Where Redis has database 0 alone in cluster mode, all sixteen are there."""
    assert node("SELECT 1") == OK
    assert node("SELECT 16") == Error("ERR DB index is out of range")
    if node.kind == "tree_engine":
        return
    node.must("SET k one")
    assert node("SELECT 0") == OK
    assert node("GET k") is None
    assert node("COPY k k DB 1") == 0


# --- no cluster -------------------------------------------------------------------------------------------------------

@pytest.mark.not_on("cluster", "proxy", reason="they are a cluster")
@pytest.mark.parametrize("line", ["CLUSTER SLOTS", "CLUSTER INFO", "CLUSTER KEYSLOT a", "CLUSTER NODES", "CLUSTER MYID",
                                  "CLUSTER SHARDS", "CLUSTER COUNTKEYSINSLOT 1", "READONLY", "READWRITE", "ASKING"])
def test_a_single_instance_is_no_cluster(r, line):
    assert r(line) == DISABLED


@pytest.mark.not_on("cluster", "proxy", reason="they are a cluster")
def test_a_single_instance_takes_keys_of_any_slot(r):
    assert r("MSET a 1 b 2 c 3") == OK
    assert r("MGET a b c") == [b"1", b"2", b"3"]
    assert r("RENAME a b") == OK
    assert r("MSETNX x 1 y 2 z 3") == 1


# --- a cluster of several engines -------------------------------------------------------------------------------------

tree = pytest.mark.only_on("cluster", reason="the body is about several engines")


def owners(conn: Conn) -> dict[int, tuple]:
    return {slot: (ip, port, name) for first, last, (ip, port, name, _) in conn("CLUSTER SLOTS")
            for slot in range(first, last + 1)}


@tree
def test_everybody_tells_the_same_map(r: Cluster):
    proxy = Conn(r.server.port)
    with proxy:
        expected = owners(proxy)
        assert len({owner for owner in expected.values()}) == len(r.nodes()) >= 2
        for address in r.nodes():
            assert owners(r.at(address)) == expected
        from_shards = {}
        for shard in map(as_dict, proxy("CLUSTER SHARDS")):
            ranges = shard[b"slots"]
            owner = as_dict(shard[b"nodes"][0])
            for first, last in zip(ranges[::2], ranges[1::2], strict=True):
                for slot in range(first, last + 1):
                    from_shards[slot] = (owner[b"ip"], owner[b"port"], owner[b"id"])
        assert from_shards == expected
    for address in r.nodes():
        conn = r.at(address)
        assert {owner[1] for owner in expected.values() if owner[2] == conn("CLUSTER MYID")} == {address[1]}


@tree
def test_slot_counts_on_their_owners(r: Cluster):
    names = [f"{{t{n % 10}}}{n}" for n in range(100)]
    for name in names:
        r.must("SET", name, "v")
    for n in range(10):
        slot = r.router.keyslot(f"{{t{n}}}")
        node = r.at(r.node_of("GET", f"{{t{n}}}"))
        assert node("CLUSTER", "COUNTKEYSINSLOT", slot) == 10
        assert set(node("CLUSTER", "GETKEYSINSLOT", slot, 100)) == {
            name.encode() for name in names if name.startswith(f"{{t{n}}}")}


@tree
def test_what_the_engines_hold_the_proxy_sees(r: Cluster):
    with Conn(r.server.port) as proxy:
        for n in range(50):
            r.must("SET", f"key:{n}", n)
        assert proxy("DBSIZE") == 50
        assert proxy("MGET", *[f"key:{n}" for n in range(50)]) == [str(n).encode() for n in range(50)]
        proxy.must("MSET", *[w for n in range(50) for w in (f"key:{n}", "new")])
        assert all(r("GET", f"key:{n}") == b"new" for n in range(50))
