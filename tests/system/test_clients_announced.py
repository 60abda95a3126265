"""What smart clients are told: the same by every proxy and engine, and what is announced instead of what is real."""

import re
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from redis.cluster import RedisCluster

from harness.conn import Conn
from harness.resp import OK, Error
from harness.servers import Server
from shardd.structures.slots import slot_of

ENGINES = 3
PROXIES = 2
OPTIONS = {"cluster-announce-ip": "", "cluster-announce-port": "0", "cluster-announce-hostname": "",
           "cluster-preferred-endpoint-type": "ip"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("unix") / "s"
    with Server("tree", engines=ENGINES, proxies=PROXIES, unixsocket=path, unixsocketperm="700") as server:
        eventually(lambda: f"{PROXIES} proxies listen" in server.log())
        yield server


@pytest.fixture
def announced(tree: Server) -> Iterator[Callable[..., None]]:
    """Sets options through one proxy, and waits until every proxy has them."""
    ports = [port for _, port in engines(tree)]
    before = views(tree, ports)[0]

    def announce(**options: object) -> None:
        pairs = [word for name, value in options.items() for word in (name.replace("_", "-"), value)]
        with tree.conn() as c:
            assert c("CONFIG", "SET", *pairs) == OK
        eventually(lambda: all(set_there(tree, name, value)
                               for name, value in zip(pairs[::2], pairs[1::2], strict=True)))

    yield announce
    announce(**{name.replace("-", "_"): value for name, value in OPTIONS.items()})
    eventually(lambda: all(view == before for view in views(tree, ports)))


def set_there(tree: Server, name: str, value: object) -> bool:
    """On all proxies, as the kernel spreads eight connections."""
    for _ in range(8):
        with tree.conn() as c:
            if c("CONFIG", "GET", name)[1] != str(value).encode():
                return False
    return True


def eventually(check: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def engines(tree: Server) -> list[tuple[bytes, int]]:
    """What CLUSTER SLOTS names, in order of slot."""
    with tree.conn() as c:
        return [(node[0], node[1]) for _, _, node in c.must("CLUSTER SLOTS")]


def views(tree: Server, ports: list[int]) -> list[object]:
    """CLUSTER SLOTS from all proxies (as the kernel spreads eight connections) and all engines."""
    seen = []
    for address in [tree.port] * 8 + ports:
        with Conn(address) as c:
            seen.append(c.must("CLUSTER SLOTS"))
    return seen


def not_of(slot_owner: int) -> str:
    """A key of engine 0 or 1, whichever that is not."""
    return next(f"k{n}" for n in range(1000) if slot_of(f"k{n}".encode()) * ENGINES // 16384 == (slot_owner + 1) % 2)


# --- the same view ----------------------------------------------------------------------------------------------------

def test_every_proxy_and_every_engine_shows_the_same(tree):
    ports = [port for _, port in engines(tree)]
    assert len(set(map(repr, views(tree, ports)))) == 1
    shown = set()
    for address in [tree.port] * 4 + ports:
        with Conn(address) as c:
            shown.add(repr(c.must("CLUSTER SHARDS")))
            lines = c.must("CLUSTER NODES").decode().splitlines()
            shown.add(repr(sorted(line.replace("myself,", "") for line in lines if ",slave" not in line)))
    assert len(shown) == 2


def test_the_ids_are_those_of_the_nodes(tree):
    with tree.conn() as c:
        ids = [node[2] for _, _, node in c.must("CLUSTER SLOTS")]
        own = c.must("CLUSTER MYID")
    assert len(own) == 40 and own not in ids
    for node_id, (_, port) in zip(ids, engines(tree), strict=True):
        with Conn(port) as engine:
            assert engine.must("CLUSTER MYID") == node_id


# --- what is announced ------------------------------------------------------------------------------------------------

def test_announced_address_and_ports(tree, announced):
    real = [port for _, port in engines(tree)]
    announced(cluster_announce_ip="10.9.8.7", cluster_announce_port=17000)
    addresses = [[b"10.9.8.7", 17000 + index] for index in range(ENGINES)]
    eventually(lambda: all([node[:2] for _, _, node in view] == addresses for view in views(tree, real)))
    with tree.conn() as c:
        lines = c.must("CLUSTER NODES").decode().splitlines()
        assert [line.split()[1] for line in lines] == [f"10.9.8.7:{tree.port}@0", *(
            f"10.9.8.7:{17000 + index}@0" for index in range(ENGINES))]
        assert c("SET", "k", "v") == OK and c("GET", "k") == b"v", "the proxy goes to the real ones"
    for index in range(2):
        key = not_of(index)
        with Conn(real[index]) as engine:
            eventually(lambda engine=engine, key=key, index=index: engine("GET", key) == Error(
                f"MOVED {slot_of(key.encode())} 10.9.8.7:{17000 + (index + 1) % 2}"))


def test_announced_ports_stay_when_an_engine_is_started_again(tree, announced):
    announced(cluster_announce_port=17100)
    eventually(lambda: [port for _, port in engines(tree)] == [17100, 17101, 17102])
    victim = next(p for p in tree.children() if "engine-1.conf" in " ".join(p.cmdline()))
    epoch = shown_epoch(tree)
    victim.kill()
    eventually(lambda: shown_epoch(tree) >= epoch + 2 and state_ok(tree))
    assert [port for _, port in engines(tree)] == [17100, 17101, 17102]


def shown_epoch(tree: Server) -> int:
    with tree.conn() as c:
        return int(re.search(rb"cluster_current_epoch:(\d+)", c.must("CLUSTER INFO"))[1])


def state_ok(tree: Server) -> bool:
    with tree.conn() as c:
        return b"cluster_state:ok" in c.must("CLUSTER INFO") and b"fail" not in c.must("CLUSTER NODES")


def test_a_port_without_room_for_all_is_refused(tree):
    with tree.conn() as c:
        reply = c("CONFIG SET cluster-announce-port 65534")
        assert isinstance(reply, Error) and "no room for 3 engines up to port 65535" in reply
        assert c("CONFIG GET cluster-announce-port")[1] == b"0"


@pytest.mark.parametrize("kind, endpoint, others", [
    ("ip", b"127.0.0.1", [b"hostname", b"localhost"]), ("hostname", b"localhost", [b"ip", b"127.0.0.1"]),
    ("unknown-endpoint", None, [b"ip", b"127.0.0.1", b"hostname", b"localhost"])])
def test_endpoint_types(tree, announced, kind, endpoint, others):
    real = [port for _, port in engines(tree)]
    announced(cluster_announce_hostname="localhost", cluster_preferred_endpoint_type=kind)
    with tree.conn() as c:
        eventually(lambda: all([node[0], node[3]] == [endpoint, others] for _, _, node in c.must("CLUSTER SLOTS")))
    key = not_of(0)
    with Conn(real[0]) as engine:
        host = "" if endpoint is None else endpoint.decode()
        eventually(lambda: engine("GET", key) == Error(f"MOVED {slot_of(key.encode())} {host}:{real[1]}"))


@pytest.mark.parametrize("kind, endpoint", [
    ("ip", b"127.0.0.1"), ("hostname", b"localhost"), ("unknown-endpoint", None)])
def test_a_smart_client_works_with_every_endpoint_type(tree, announced, kind, endpoint):
    real = [port for _, port in engines(tree)]
    announced(cluster_announce_hostname="localhost", cluster_preferred_endpoint_type=kind)
    eventually(lambda: all(node[0] == endpoint for view in views(tree, real) for _, _, node in view))
    with RedisCluster(host="127.0.0.1", port=tree.port) as client:
        assert len(client.get_primaries()) == ENGINES
        for n in range(50):
            assert client.set(f"key:{n}", n)
            assert client.get(f"key:{n}") == str(n).encode()


# --- the Unix socket --------------------------------------------------------------------------------------------------

def test_all_proxies_serve_the_unix_socket(tree):
    path = str(tree.options["unixsocket"])
    conns = [Conn(path) for _ in range(20)]
    numbers = [conn("CLIENT ID") for conn in conns]
    assert len(set(numbers)) == 20
    assert conns[0]("SET", "k", "unix") == OK and conns[-1]("GET", "k") == b"unix"
    lines = conns[0].must("CLIENT LIST").decode().splitlines()
    ours = [line for line in lines if f"addr={path}:0 " in line or f"laddr={path}:0 " in line]
    assert len(ours) == 20 and all(" flags=U " in line for line in ours)
    assert conns[0].must("CLUSTER SLOTS")[0][2][0] == b"127.0.0.1"
    for conn in conns:
        conn.close()


def words_of(process: psutil.Process) -> str:
    """Its command line; nothing of one that is gone meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_the_unix_socket_outlives_each_proxy(tree):
    path = str(tree.options["unixsocket"])
    for index in range(PROXIES):
        victim = next(p for p in tree.children() if f"proxy-{index}.conf" in words_of(p))
        victim.kill()
        with Conn(path) as c:       # waits in the backlog at most
            assert not isinstance(c("DBSIZE"), Error)
        eventually(lambda victim=victim, index=index: any(
            f"proxy-{index}.conf" in words_of(p) and p.pid != victim.pid for p in tree.children()))
