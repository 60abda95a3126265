"""The proxy in the whole tree: faults, several proxies, many clients, and libraries as people use them."""
import os
import signal
import threading
import time
from collections.abc import Callable

import psutil
import pytest
import redis

from harness.conn import Closed, Conn
from harness.resp import OK, Error, Status, encode
from harness.servers import Server
from shardd.structures.slots import slot_of

ENGINES = 2


def engine_pid(c: Conn, index: int) -> int:
    """From INFO's section Engines."""
    lines = dict(line.split(":", 1) for line in c("INFO engines").decode().splitlines() if ":" in line)
    return int(dict(part.split("=") for part in lines[f"engine{index}"].split(","))["pid"])


def key_of(index: int, number: int = 0) -> str:
    """A key that lives on engine `index` of two."""
    return next(f"k{n}" for n in range(number * 100, 100_000) if slot_of(f"k{n}".encode()) // 8192 == index)


@pytest.fixture
def tree(start: Callable[..., Server]) -> Server:
    return start("tree", engines=ENGINES)


def eventually(check: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_engine_is_killed_under_load(tree):
    """Commands for the other engine go on; those for the dead one fail clearly or wait, and work again soon."""
    admin = tree.conn()
    victim = engine_pid(admin, 0)
    seen: dict[str, list[object]] = {"0": [], "1": []}
    stop = threading.Event()

    def work(index: str) -> None:
        c = tree.conn()
        key = key_of(int(index))
        while not stop.is_set():
            seen[index].append(c("INCR", key))

    threads = [threading.Thread(target=work, args=(index,)) for index in seen for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: engine_up_again(admin, victim))
    before = len(seen["0"])
    eventually(lambda: len(seen["0"]) > before + 50)
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert all(isinstance(reply, int) for reply in seen["1"])
    errors = {str(reply) for reply in seen["0"] if isinstance(reply, Error)}
    assert errors <= {"ERR engine 0 is down, the command may or may not have been executed",
                      "CLUSTERDOWN engine 0 is down, the command was not executed"}
    assert not any("MOVED" in str(reply) for replies in seen.values() for reply in replies)


def engine_up_again(c: Conn, old_pid: int) -> bool:
    line = next(line for line in c("INFO engines").decode().splitlines() if line.startswith("engine0:"))
    return "state=up" in line and f"pid={old_pid}" not in line


def test_commands_that_were_not_sent_wait_for_the_restart(tree):
    c = tree.conn()
    victim = psutil.Process(engine_pid(c, 0))
    victim.kill()
    eventually(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE)
    assert c("PING") == Status("PONG")      # and the proxy has seen that its links are closed
    started = time.monotonic()
    reply = c("SET", key_of(0), "v")
    assert reply == OK or reply.startswith("CLUSTERDOWN"), reply
    assert time.monotonic() - started < 5
    assert c("SET", key_of(1), "v") == OK


def test_a_stopped_engine_holds_up_nobody_else(tree):
    c, other, admin = tree.conn(), tree.conn(), tree.conn()
    victim = engine_pid(admin, 0)
    os.kill(victim, signal.SIGSTOP)
    try:
        c.send(encode("GET", key_of(0)))
        for _ in range(20):
            assert other("SET", key_of(1), "v") == OK
            assert other("PING") == Status("PONG")
        assert b"state=down" in admin("INFO engines")
    finally:
        os.kill(victim, signal.SIGCONT)
    assert c.read() is None


def test_clients_that_vanish_in_the_middle(tree):
    for n in range(50):
        c = tree.conn()
        c.send(encode("SET", f"gone{n}", "x" * 100_000))
        c.send(encode("MGET", *[f"gone{i}" for i in range(n)]))
        c.close()
    c = tree.conn()
    eventually(lambda: c("CLIENT LIST").count(b"\n") == 1)
    assert c("PING") == Status("PONG")


def test_a_slow_reader_does_not_disturb_others(tree):
    slow, quick = tree.conn(), tree.conn()
    quick.must("SET", "big", "x" * 1_000_000)
    for _ in range(200):
        slow.send(encode("GET", "big"))
    started = time.monotonic()
    for n in range(200):
        assert quick("INCR", "n") == n + 1
    assert time.monotonic() - started < 10
    proxy = next(p for p in tree.children() if "proxy.main" in " ".join(p.cmdline()))
    assert proxy.memory_info().rss < 350_000_000, "what was asked for is held, and little more"
    for _ in range(200):
        assert len(slow.read()) == 1_000_000
    eventually(lambda: proxy.memory_info().rss < 150_000_000)


def test_values_of_many_sizes_pass_unchanged(tree):
    c = tree.conn()
    for size in (0, 1, 16_383, 16_384, 65_535, 65_536, 1_000_001, 20_000_000):
        value = os.urandom(min(size, 1000)) * (size // 1000 + 1)
        value = value[:size]
        assert c("SET", "v", value) == OK
        assert c("GET", "v") == value
    assert c("MSET", *[word for n in range(500) for word in (f"k{n}", os.urandom(100) * 50)]) == OK
    assert all(len(value) == 5000 for value in c("MGET", *[f"k{n}" for n in range(500)]))


def test_many_connections_at_once(tree):
    conns = [tree.conn() for _ in range(900)]
    for c in conns:
        c.send(encode("PING"))
    assert all(c.read() == Status("PONG") for c in conns)
    ids = {c("CLIENT ID") for c in conns}
    assert len(ids) == len(conns)
    assert len(tree.conn()("CLIENT LIST").splitlines()) == len(conns) + 1
    for c in conns:
        c.close()


def test_several_proxies_share_the_port(start):
    tree = start("tree", engines=ENGINES, proxies=3)
    eventually(lambda: "3 proxies listen" in tree.log())
    conns = [tree.conn() for _ in range(60)]
    assert conns[0]("SET", "k", "v") == OK
    assert {c("GET", "k") for c in conns} == {b"v"}
    ids = [c("CLIENT ID") for c in conns]
    assert len(set(ids)) == len(ids)
    pids = {line for c in conns for line in c("INFO server").decode().splitlines() if line.startswith("process_id:")}
    assert len(pids) == 3
    assert len({c("CLUSTER MYID") for c in conns}) == 1


def test_the_unix_socket(start, tmp_path):
    path = tmp_path / "s.sock"
    tree = start("tree", engines=ENGINES, unixsocket=path, unixsocketperm="700")
    client = redis.Redis(unix_socket_path=str(path))
    assert client.set("k", "v") and client.get("k") == b"v"
    assert path.stat().st_mode & 0o777 == 0o700
    assert b"flags=U" in tree.conn()("CLIENT LIST")
    client.close()


def test_passwords_and_protected_mode(start):
    tree = start("tree", engines=ENGINES, requirepass="geheim")
    with pytest.raises(redis.AuthenticationError):
        tree_client(tree).ping()
    for protocol in (2, 3):
        client = tree_client(tree, password="geheim", protocol=protocol)
        assert client.set("k", protocol) and client.get("k") == b"%d" % protocol


def test_maxclients_and_timeout(start):
    tree = start("tree", engines=ENGINES, maxclients=5)
    first = tree.conn()
    eventually(lambda: b"connected_clients:1\r\n" in first("INFO clients"))
    rest = [tree.conn() for _ in range(4)]
    assert all(c("PING") == Status("PONG") for c in rest)
    assert Conn(tree.port).read() == Error("ERR max number of clients reached")
    rest[0].close()
    eventually(lambda: b"connected_clients:4\r\n" in first("INFO clients"))
    assert tree.conn()("PING") == Status("PONG")
    assert first("CONFIG SET timeout 1") == OK
    deadline = time.monotonic() + 8
    idle = rest[1]
    while time.monotonic() < deadline:
        first("PING")
        time.sleep(0.1)
        if b"connected_clients:1\r\n" in first("INFO clients"):
            break
    with pytest.raises((Closed, OSError)):
        idle("PING")


def tree_client(tree: Server, **options: object) -> redis.Redis:
    return redis.Redis(port=tree.port, **options)


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(tree, protocol):
    client = tree_client(tree, protocol=protocol, decode_responses=True)
    assert client.mset({f"k{n}": n for n in range(100)})
    assert client.mget([f"k{n}" for n in range(100)]) == [str(n) for n in range(100)]
    pipe = client.pipeline(transaction=False)
    for n in range(100):
        pipe.incr(f"k{n}")
    assert pipe.execute() == [n + 1 for n in range(100)]
    assert client.dbsize() == 100
    assert set(client.scan_iter(count=7)) == {f"k{n}" for n in range(100)}
    assert len(client.keys("k*")) == 100
    assert client.delete(*[f"k{n}" for n in range(50)]) == 50
    assert client.exists("k1", "k51", "k52") == 2
    assert client.randomkey().startswith("k")
    assert client.info()["redis_mode"] == "cluster"
    assert client.config_get("maxclients") == {"maxclients": "10000"}
    assert client.flushall() and client.dbsize() == 0
    other = tree_client(tree, protocol=protocol, db=5)
    other.set("only", "here")
    assert client.get("only") is None and other.get("only") == b"here"
    assert client.swapdb(0, 5) and client.get("only") == "here"


def test_scan_sees_every_key_that_stays_while_others_come_and_go(tree):
    client = tree_client(tree)
    stay = {b"stay:%d" % n for n in range(3000)}
    client.mset({key: b"v" for key in stay})
    stop = threading.Event()

    def churn() -> None:
        other, n = tree_client(tree), 0
        while not stop.is_set():
            n += 1
            other.mset({b"churn:%d" % (n * 100 + i): b"v" for i in range(100)})
            if n % 3 == 0:
                other.delete(*[b"churn:%d" % (m * 100 + i) for m in (n, n - 1, n - 2) for i in range(100)])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(3):
            assert stay <= set(client.scan_iter(count=50))
    finally:
        stop.set()
        thread.join()


def test_a_proxy_that_is_killed_comes_back_and_takes_no_engine_with_it(tree):
    c = tree.conn()
    assert c("SET", "k", "v") == OK
    proxy = next(p for p in tree.children() if "proxy.main" in " ".join(p.cmdline()))
    proxy.kill()
    with pytest.raises((Closed, OSError)):
        c("PING")

    def answers() -> bool:
        try:
            return tree.conn()("GET", "k") == b"v"
        except (Closed, OSError):
            return False

    eventually(answers)


def test_the_proxy_ends_with_the_supervisor(tree):
    proxy = next(p for p in tree.children() if "proxy.main" in " ".join(p.cmdline()))
    os.kill(tree.process.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs([proxy], 30)
    assert gone and not alive
