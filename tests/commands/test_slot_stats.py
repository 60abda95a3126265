"""CLUSTER SLOT-STATS, as Valkey 8 has it: on an engine that owns all slots, and through the proxy on those of all."""
import pytest

from harness.conn import Conn
from harness.resp import OK, Error
from harness.targets import PROXIES, Fleet

METRICS = [b"key-count", b"cpu-usec", b"network-bytes-in", b"network-bytes-out"]
A, FOO = 15495, 12182       # slots of the keys a and foo


@pytest.fixture(params=["cluster_engine", *PROXIES])
def c(request: pytest.FixtureRequest, fleet: Fleet):
    request.getfixturevalue("fresh")
    server = fleet.server(request.param if request.param not in PROXIES else request.param.replace("proxy", "tree"))
    request.node.servers = [server]
    conn = Conn(server.port)
    conn.must("FLUSHALL")
    conn.must("CONFIG SET cluster-slot-stats-enabled yes")
    conn.must("CONFIG RESETSTAT")
    yield conn
    conn.must("CONFIG SET cluster-slot-stats-enabled no")
    conn.must("FLUSHALL")
    conn.close()


def of(conn: Conn, slot: int) -> dict[str, int]:
    [[number, flat]] = conn.must("CLUSTER", "SLOT-STATS", "SLOTSRANGE", slot, slot)
    assert number == slot
    return dict(zip([name.decode() for name in flat[::2]], flat[1::2]))


def test_bytes_and_keys(c):
    # what Valkey 9.1 says of the same commands
    c.must("SET foo 12345678"), c.must("GET foo"), c.must("MGET foo")
    figures = of(c, FOO)
    assert list(figures) == [name.decode() for name in METRICS]
    assert figures["key-count"] == 1
    assert figures["network-bytes-in"] == 36 + 22 + 23
    assert figures["network-bytes-out"] == 5 + 14 + 18
    assert of(c, 0) == {"key-count": 0, "cpu-usec": 0, "network-bytes-in": 0, "network-bytes-out": 0}


def test_time(c):
    c.must("SET", "foo", "v" * 3_000_000)
    for _ in range(5):
        c.must("GET foo")
    assert 0 < of(c, FOO)["cpu-usec"] < 5_000_000
    assert of(c, A)["cpu-usec"] == 0


def test_errors_of_commands_count_too(c):
    c.must("SET foo x")
    before = of(c, FOO)
    assert c("INCR foo").code == "ERR" and c("GETEX foo EX x").code == "ERR"
    after = of(c, FOO)
    assert after["network-bytes-in"] - before["network-bytes-in"] == 23 + 39
    assert after["network-bytes-out"] > before["network-bytes-out"] + 40


def test_refused_commands_do_not(c):
    assert c("GET foo x").code == "ERR"
    assert of(c, FOO)["network-bytes-in"] == 0


def test_keys_of_all_databases(c):
    c.must("SET foo x"), c.must("SELECT 3"), c.must("MSET foo x {foo}2 y")
    assert of(c, FOO)["key-count"] == 3


def test_many_slots_in_one_command(c):
    keys = [f"k{number}" for number in range(20)]
    for key in keys:
        c.must("SET", key, "v" * 10)
    c.must("CONFIG RESETSTAT")
    if isinstance(c("MGET", *keys), Error):
        return      # an engine by itself wants one slot
    figures = [dict(zip(flat[::2], flat[1::2])) for _, flat in c.must("CLUSTER SLOT-STATS SLOTSRANGE 0 16383")]
    seen = [one for one in figures if one[b"network-bytes-out"]]
    assert len(seen) == len(keys)
    assert len({one[b"network-bytes-in"] for one in seen}) < len(keys), "equal parts"
    assert sum(one[b"network-bytes-out"] for one in seen) >= len(keys) * 17


def test_all_slots_in_order(c):
    reply = c.must("CLUSTER SLOT-STATS SLOTSRANGE 0 16383")
    assert [slot for slot, _ in reply] == list(range(16384))
    assert [slot for slot, _ in c.must("CLUSTER SLOT-STATS SLOTSRANGE 8190 8193")] == [8190, 8191, 8192, 8193]


def test_order(c):
    for key, count in (("a", 3), ("foo", 2), ("b", 2), ("zz", 1)):
        for number in range(count):
            c.must("SET", f"{{{key}}}{number}", "v")
    slots = {key: c.must("CLUSTER", "KEYSLOT", key) for key in ("a", "foo", "b", "zz")}
    ties = sorted([slots["foo"], slots["b"]])

    def order(*words: object) -> list[int]:
        return [slot for slot, _ in c.must("CLUSTER", "SLOT-STATS", "ORDERBY", *words)]

    assert order("key-count", "LIMIT", 4) == [slots["a"], *ties, slots["zz"]]
    assert order("KEY-COUNT", "desc", "limit", 2) == [slots["a"], ties[0]]
    assert order("key-count", "ASC", "LIMIT", 3) == [0, 1, 2]
    assert order("key-count", "ASC")[-4:] == [slots["zz"], *ties, slots["a"]]
    assert len(order("key-count")) == 16384
    c.must("GET", "{zz}0")
    for metric in ("cpu-usec", "network-bytes-in", "network-bytes-out"):
        assert set(order(metric, "LIMIT", 4)) <= set(slots.values()) | {0, 1, 2, 3}
    assert order("network-bytes-in", "LIMIT", 1) == [slots["a"]]


def test_resp3(c):
    c.must("HELLO 3")
    [[slot, figures]] = c.must("CLUSTER", "SLOT-STATS", "SLOTSRANGE", FOO, FOO)
    assert slot == FOO and isinstance(figures, dict) and list(figures) == METRICS


def test_off(c):
    c.must("SET foo x")
    counted = of(c, FOO)
    assert c("CONFIG SET cluster-slot-stats-enabled no") == OK
    c.must("GET foo")
    assert of(c, FOO) == {"key-count": 1}
    assert [slot for slot, _ in c.must("CLUSTER SLOT-STATS ORDERBY key-count LIMIT 1")] == [FOO]
    for metric in METRICS[1:]:
        assert c("CLUSTER", "SLOT-STATS", "ORDERBY", metric) == Error("ERR Unrecognized sort metric for ORDERBY.")
    c.must("CONFIG SET cluster-slot-stats-enabled yes")
    assert of(c, FOO) == counted, "kept, as in Valkey"
    c.must("CONFIG RESETSTAT")
    assert of(c, FOO) == {"key-count": 1, "cpu-usec": 0, "network-bytes-in": 0, "network-bytes-out": 0}


LIMIT = "ERR Limit has to lie in between 1 and 16384 (maximum number of slots)."
RANGE = "ERR Invalid or out of range slot"
FORM = "ERR unknown subcommand or wrong number of arguments for 'slot-stats'. Try CLUSTER HELP."


@pytest.mark.parametrize("words, error", [
    ("", "ERR wrong number of arguments for 'cluster|slot-stats' command"),
    ("slotsrange", "ERR wrong number of arguments for 'cluster|slot-stats' command"),
    ("slotsrange 1", FORM), ("slotsrange 1 2 3", FORM), ("foo 1", FORM),
    ("slotsrange 5 3", "ERR Start slot number 5 is greater than end slot number 3"),
    ("slotsrange x 3", RANGE), ("slotsrange -1 3", RANGE), ("slotsrange 0 16384", RANGE),
    ("orderby foo", "ERR Unrecognized sort metric for ORDERBY."),
    ("orderby key-count limit 0", LIMIT), ("orderby key-count limit 16385", LIMIT),
    ("orderby key-count limit x", LIMIT),
    ("orderby key-count limit", "ERR syntax error"), ("orderby key-count bar", "ERR syntax error"),
    ("orderby key-count limit 1 limit 2", "ERR Multiple filters of the same type are disallowed."),
    ("orderby key-count asc desc", "ERR Multiple filters of the same type are disallowed."),
])
def test_errors(c, words, error):
    assert c(f"CLUSTER slot-stats {words}") == Error(error)


def test_no_cluster(fleet, fresh):
    conn = Conn(fleet.server("engine").port)
    assert conn("CLUSTER SLOT-STATS SLOTSRANGE 0 0") == Error("ERR This instance has cluster support disabled")
    conn.close()
