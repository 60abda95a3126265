"""Options of a whole tree: what is shared out, what outlives a restart, what all processes agree on."""

import contextlib
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from harness import OK, Error, faults
from harness.conn import Closed, Conn
from harness.servers import Server

ENGINES = 2


def eventually(condition, timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="module")
def tree() -> Iterator[Server]:
    with Server("tree", engines=ENGINES, proxies=2, maxmemory="64mb") as server:
        yield server


@pytest.fixture(autouse=True)
def everybody_is_there(request: pytest.FixtureRequest) -> None:
    """What was set through a proxy is refused where an engine is down, as it is for a while after it was killed."""
    if "tree" in request.fixturenames:
        tree = request.getfixturevalue("tree")
        faults.eventually(lambda: faults.whole(tree))


def engine_ports(tree: Server) -> list[int]:
    with tree.conn() as c:
        return [row[2][1] for row in c.must("CLUSTER SLOTS")]


def on_engines(tree: Server, *command: str) -> list:
    found = []
    for port in engine_ports(tree):
        with Conn(port) as c:
            found.append(c(*command))
    return found


def engine_process(tree: Server, port: int) -> psutil.Process:
    with Conn(port) as c:
        text = c.must("INFO server").decode()
    return psutil.Process(int(text.partition("process_id:")[2].split()[0]))


def key_of(tree: Server, index: int) -> str:
    """A key of the engine with this place in CLUSTER SLOTS."""
    with tree.conn() as c:
        first, last = c.must("CLUSTER SLOTS")[index][:2]
        return next(key for key in map(str, range(1000)) if first <= c.must("CLUSTER", "KEYSLOT", key) <= last)


def test_maxmemory_is_the_whole_and_each_engine_has_its_share(tree):
    with tree.conn() as c:
        assert c("CONFIG GET maxmemory") == [b"maxmemory", b"%d" % (64 << 20)]
        assert b"\r\nmaxmemory:%d\r\n" % (64 << 20) in c.must("INFO memory")
    assert on_engines(tree, "CONFIG GET maxmemory") == [[b"maxmemory", b"%d" % (32 << 20)]] * ENGINES


def test_what_one_proxy_sets_all_have_and_a_new_engine_too(tree):
    with tree.conn() as c:
        assert c.must("CONFIG SET maxmemory 100mb slowlog-max-len 77") == OK
    assert on_engines(tree, "CONFIG GET maxmemory") == [[b"maxmemory", b"%d" % (50 << 20)]] * ENGINES

    def everywhere() -> bool:
        conns = [tree.conn() for _ in range(16)]       # the kernel spreads them over the proxies
        answers = [c.must("CONFIG GET maxmemory slowlog-max-len") for c in conns]
        for c in conns:
            c.close()
        return all(set(answer) == {b"maxmemory", b"104857600", b"slowlog-max-len", b"77"} for answer in answers)

    assert eventually(everywhere)
    port = engine_ports(tree)[0]
    engine_process(tree, port).kill()

    def back() -> bool:
        with contextlib.suppress(OSError, Closed), Conn(port) as c:
            answer = c("CONFIG GET maxmemory slowlog-max-len")
            return answer == [b"maxmemory", b"%d" % (50 << 20), b"slowlog-max-len", b"77"]
        return False

    assert eventually(back), tree.log_tail()


def test_what_is_announced_changes_at_run_time(tree):
    def shown() -> list:
        with tree.conn() as c:
            return [row[2][3] for row in c.must("CLUSTER SLOTS")]

    with tree.conn() as c:
        assert c("CONFIG SET cluster-announce-hostname a,b").code == "ERR"
        assert c.must("CONFIG SET cluster-announce-hostname some.example") == OK
        assert eventually(lambda: shown() == [[b"hostname", b"some.example"]] * ENGINES), shown()
        assert c.must("CONFIG", "SET", "cluster-announce-hostname", "") == OK
        assert eventually(lambda: shown() == [[]] * ENGINES), shown()


def test_full_coverage_while_one_engine_hangs(tree):
    ports = engine_ports(tree)
    healthy = key_of(tree, 1)
    hung = engine_process(tree, ports[0])
    with tree.conn() as c:
        c.must("SET", healthy, "v")
        c.must("CONFIG SET cluster-node-timeout 1500")
        hung.send_signal(signal.SIGSTOP)
        try:
            down = Error("CLUSTERDOWN The cluster is down")
            with Conn(ports[1]) as direct:
                assert eventually(lambda: direct("GET", healthy) == down), tree.log_tail()
                assert c("GET", healthy) == b"v", "the proxy's clients see no cluster"
                assert direct.must("CONFIG SET cluster-require-full-coverage no") == OK
                assert eventually(lambda: direct("GET", healthy) == b"v")
                assert c("GET", healthy) == b"v"
                assert direct.must("CONFIG SET cluster-require-full-coverage yes") == OK
        finally:
            hung.send_signal(signal.SIGCONT)
        assert eventually(lambda: c("GET", healthy) == b"v"), tree.log_tail()
        faults.eventually(lambda: faults.whole(tree))
        c.must("CONFIG SET cluster-node-timeout 15000")


def test_an_engine_by_itself_keeps_its_id_in_a_file():
    with Server("engine", pidfile="engine.pid") as server:
        path = server.dir / "engine.pid"
        assert path.read_text() == f"{server.process.pid}\n"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0 and not path.exists()
    with Server("engine", pidfile="/nowhere/engine.pid") as server:
        assert "pidfile '/nowhere/engine.pid': can't write the file" in server.log()


def test_fewer_clients_where_files_are_few():
    """maxclients follows ulimit -n where that cannot be raised, and the log says so."""
    with Server("engine", maxclients=2**31) as server, server.conn() as c:
        allowed = int(c.must("CONFIG GET maxclients")[1])
        assert 1 <= allowed < 2**31, "no kernel has that many files"
        assert f"maxclients has been reduced to {allowed}" in server.log()
        assert c("CONFIG", "SET", "maxclients", str(allowed + 1)).code == "ERR"
        assert c("CONFIG", "SET", "maxclients", "100") == OK
