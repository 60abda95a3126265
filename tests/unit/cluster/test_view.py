"""The CLUSTER replies, in Redis 7.2's shapes."""

import pytest

from shardd.cluster import view
from shardd.cluster.topology import UP, EngineInfo, Migration, SlotRange, Topology
from shardd.wire.values import Verbatim

A, B = "a" * 40, "b" * 40
TOPOLOGY = Topology(7, "c" * 40, (
    EngineInfo(A, "1" * 40, 0, port=7000, state=UP),
    EngineInfo(B, "2" * 40, 1, "10.1.1.1", 7001, state=UP),
), (SlotRange(0, 99, A), SlotRange(200, 200, A), SlotRange(100, 199, B), SlotRange(201, 16383, B)))


def lines(text):
    assert isinstance(text, Verbatim) and text.endswith("\n")
    return text[:-1].split("\n")


def test_slots_has_a_row_per_range_in_order_of_slot():
    assert view.slots(TOPOLOGY, "192.168.0.9") == [
        [0, 99, ["192.168.0.9", 7000, A, {}]],
        [100, 199, ["10.1.1.1", 7001, B, {}]],
        [200, 200, ["192.168.0.9", 7000, A, {}]],
        [201, 16383, ["10.1.1.1", 7001, B, {}]],
    ]


def test_shards_has_a_map_per_engine():
    third = EngineInfo("d" * 40, "3" * 40, 2, port=7002, state=UP)
    down = TOPOLOGY.with_engine_facts(B, state="down").with_engine(third)
    first, second, third = view.shards(down)
    assert first == {"slots": [0, 99, 200, 200], "nodes": [
        {"id": A, "port": 7000, "ip": "127.0.0.1", "endpoint": "127.0.0.1", "role": "master", "replication-offset": 0,
         "health": "online"}]}
    assert list(first["nodes"][0]) == ["id", "port", "ip", "endpoint", "role", "replication-offset", "health"]
    assert second["nodes"][0]["health"] == "fail"
    assert third["slots"] == []


def test_nodes_has_a_line_per_engine_and_marks_myself():
    assert lines(view.nodes(TOPOLOGY, B)) == [
        f"{A} 127.0.0.1:7000@0 master - 0 0 7 connected 0-99 200",
        f"{B} 10.1.1.1:7001@0 myself,master - 0 0 7 connected 100-199 201-16383",
    ]


def test_nodes_shows_who_is_down():
    down = TOPOLOGY.with_engine_facts(A, state="down").with_engine_facts(B, state="down")
    assert lines(view.nodes(down, B)) == [
        f"{A} 127.0.0.1:7000@0 master,fail - 0 0 9 disconnected 0-99 200",
        f"{B} 10.1.1.1:7001@0 myself,master - 0 0 9 connected 100-199 201-16383",
    ]


def test_a_proxy_shows_itself_as_a_replica_without_slots():
    me = view.proxy_id(TOPOLOGY)
    first, *rest = lines(view.nodes(TOPOLOGY, me, "127.0.0.1", 6379))
    assert first == f"{me} 127.0.0.1:6379@0 myself,slave {A} 0 0 7 connected"
    assert len(rest) == 2 and not any("myself" in line for line in rest)
    assert me not in str(view.slots(TOPOLOGY)) + str(view.shards(TOPOLOGY))
    assert view.my_id(TOPOLOGY) == me and len(me) == 40
    assert view.my_id(TOPOLOGY, B) == B
    assert view.my_shard_id(TOPOLOGY) == "1" * 40 and view.my_shard_id(TOPOLOGY, B) == "2" * 40
    assert view.proxy_id(TOPOLOGY.with_engine_facts(A, port=1)) == me


def test_only_the_ends_of_a_migration_show_it():
    moving = TOPOLOGY.with_migration(Migration(98, 99, A, B))
    of_a, of_b = lines(view.nodes(moving, A))
    assert of_a.endswith(f" 0-99 200 [98->-{B}] [99->-{B}]") and "[" not in of_b
    assert lines(view.nodes(moving, B))[1].endswith(f" [98-<-{A}] [99-<-{A}]")


def fields(text):
    assert isinstance(text, Verbatim)
    return dict(line.split(":") for line in text.split("\r\n")[:-1])


def test_an_engine_that_loads_is_there_and_says_so():
    loads = TOPOLOGY.with_engine_facts(B, state="down", loading=True)
    assert view.shards(loads)[1]["nodes"][0]["health"] == "loading"
    assert "fail" not in lines(view.nodes(loads, A))[1] and " connected " in lines(view.nodes(loads, A))[1]
    assert fields(view.info(loads))["cluster_state"] == "ok" and fields(view.info(loads))["cluster_slots_fail"] == "0"


def test_info_of_a_healthy_cluster():
    assert fields(view.info(TOPOLOGY, A)) == {
        "cluster_state": "ok", "cluster_slots_assigned": "16384", "cluster_slots_ok": "16384",
        "cluster_slots_pfail": "0",
        "cluster_slots_fail": "0", "cluster_known_nodes": "2", "cluster_size": "2", "cluster_current_epoch": "7",
        "cluster_my_epoch": "7", "cluster_stats_messages_sent": "0", "cluster_stats_messages_received": "0",
        "total_cluster_links_buffer_limit_exceeded": "0"}
    assert fields(view.info(TOPOLOGY, view.proxy_id(TOPOLOGY)))["cluster_known_nodes"] == "3"


def test_info_counts_the_slots_of_engines_that_are_down():
    down = fields(view.info(TOPOLOGY.with_engine_facts(A, state="down")))
    assert (down["cluster_state"], down["cluster_slots_ok"], down["cluster_slots_fail"]) == ("fail", "16283", "101")


def test_info_of_a_cluster_with_unowned_slots():
    holes = TOPOLOGY.with_slots(0, 9, None)
    assert fields(view.info(holes))["cluster_state"] == "fail"
    assert fields(view.info(holes))["cluster_slots_assigned"] == "16374"
    assert fields(view.info(holes, require_full_coverage=False))["cluster_state"] == "ok"


NAMED = TOPOLOGY.with_engine_facts(A, hostname="one.example")


@pytest.mark.parametrize("kind, a, b", [
    ("ip", ["127.0.0.1", 7000, A, {"hostname": "one.example"}], ["10.1.1.1", 7001, B, {}]),
    ("hostname", ["one.example", 7000, A, {"ip": "127.0.0.1"}], ["?", 7001, B, {"ip": "10.1.1.1"}]),
    ("unknown-endpoint", [None, 7000, A, {"ip": "127.0.0.1", "hostname": "one.example"}],
     [None, 7001, B, {"ip": "10.1.1.1"}]),
])
def test_the_preferred_endpoint(kind, a, b):
    rows = view.slots(NAMED, endpoint_type=kind)
    assert rows[0][2] == a and rows[1][2] == b
    first, second = view.shards(NAMED, endpoint_type=kind)
    assert first["nodes"][0]["endpoint"] == (a[0] or "") and first["nodes"][0]["hostname"] == "one.example"
    assert second["nodes"][0]["endpoint"] == (b[0] or "") and "hostname" not in second["nodes"][0]


def test_nodes_adds_the_host_name():
    assert lines(view.nodes(NAMED, B))[0].startswith(f"{A} 127.0.0.1:7000@0,one.example master ")


@pytest.mark.parametrize("local, host", [
    ("127.0.0.1:6379", "127.0.0.1"), ("10.0.0.5:1", "10.0.0.5"), ("[::1]:6379", "::1"), ("::1:6379", "::1"),
    ("/run/x.sock:0", "127.0.0.1"), ("0.0.0.0:1", "127.0.0.1"), ("", "127.0.0.1"), ("[::ffff:10.0.0.5]:1", "10.0.0.5"),
])
def test_the_host_by_which_a_client_came(local, host):
    assert view.host_of_peer(local) == host


# --- what is announced ------------------------------------------------------------------------------------------------

ANNOUNCED = Topology(7, "c" * 40, (
    EngineInfo(A, "1" * 40, 0, "10.9.8.7", 7000, state=UP, hostname="h.example", announce_port=17000),
    EngineInfo(B, "2" * 40, 1, "10.9.8.7", 7001, state=UP, announce_port=17001),
), (SlotRange(0, 8191, A), SlotRange(8192, 16383, B)))


@pytest.mark.parametrize("kind, first, second", [
    ("ip", ["10.9.8.7", 17000, A, {"hostname": "h.example"}], ["10.9.8.7", 17001, B, {}]),
    ("hostname", ["h.example", 17000, A, {"ip": "10.9.8.7"}], ["?", 17001, B, {"ip": "10.9.8.7"}]),
    ("unknown-endpoint", [None, 17000, A, {"ip": "10.9.8.7", "hostname": "h.example"}],
     [None, 17001, B, {"ip": "10.9.8.7"}])])
def test_slots_names_what_is_announced(kind, first, second):
    assert view.slots(ANNOUNCED, "127.0.0.1", kind) == [[0, 8191, first], [8192, 16383, second]]


@pytest.mark.parametrize("kind, endpoints", [
    ("ip", ["10.9.8.7", "10.9.8.7"]), ("hostname", ["h.example", "?"]), ("unknown-endpoint", ["", ""])])
def test_shards_name_what_is_announced(kind, endpoints):
    nodes = [shard["nodes"][0] for shard in view.shards(ANNOUNCED, "127.0.0.1", kind)]
    assert [node["endpoint"] for node in nodes] == endpoints
    assert [node["port"] for node in nodes] == [17000, 17001]
    assert [node["ip"] for node in nodes] == ["10.9.8.7"] * 2
    assert [node.get("hostname") for node in nodes] == ["h.example", None]


def test_nodes_name_what_is_announced():
    me = view.proxy_id(ANNOUNCED)
    assert [line.split()[1] for line in lines(view.nodes(ANNOUNCED, me, "127.0.0.1", 6379, "10.9.8.7"))] == [
        "10.9.8.7:6379@0", "10.9.8.7:17000@0,h.example", "10.9.8.7:17001@0"]
    assert lines(view.nodes(ANNOUNCED, me, "127.0.0.1", 6379))[0].split()[1] == "127.0.0.1:6379@0"
