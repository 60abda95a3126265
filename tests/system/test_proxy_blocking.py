"""Clients that wait in BLPOP and the like through two proxies of real engines: who is served, who is in whose way, and
what disconnections, CLIENT UNBLOCK and dying engines do."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from harness import OK, Conn, Error, encode
from harness.faults import eventually, keys_by_engine, pid_of, whole
from harness.resp import NULL_ARRAY, Status
from harness.servers import Server

ENGINES = PROXIES = 2
PONG = Status("PONG")


@pytest.fixture(scope="module")
def lasting(fresh: None) -> Iterator[Server]:
    with Server("tree", engines=ENGINES, proxies=PROXIES) as server:
        eventually(lambda: f"{PROXIES} proxies listen" in server.log())
        yield server


@pytest.fixture
def tree(lasting: Server, request: pytest.FixtureRequest) -> Server:
    request.node.servers = [*getattr(request.node, "servers", []), lasting]
    eventually(lambda: lasting.conn()("FLUSHALL") == OK)
    eventually(lambda: blocked(lasting) == 0)
    return lasting


def blocked(tree: Server) -> int:
    with tree.conn() as conn:
        info = conn.must("INFO clients").decode()
    return int(info.partition("blocked_clients:")[2].split("\r\n")[0])


def at_proxy(tree: Server, index: int) -> Conn:
    """A connection to that proxy: the kernel chooses, so others are opened and closed until it does."""
    while True:
        conn = tree.conn()
        if (conn("CLIENT ID") - 1) % PROXIES == index:
            return conn
        conn.close()


def wait(tree: Server, conn: Conn, *command: object) -> None:
    """Send a command that blocks, and be sure that it does."""
    before = blocked(tree)
    conn.send(encode(*command))
    eventually(lambda: blocked(tree) == before + 1)


def test_each_is_served_once_and_in_turn(tree):
    [[key], _] = keys_by_engine(tree, 1, "turn")
    conns = [at_proxy(tree, number % PROXIES) for number in range(6)]
    for conn in conns:
        wait(tree, conn, "BLPOP", key, "0")
    with tree.conn() as other:
        assert other("RPUSH", key, *range(3)) == 3
        for number, conn in enumerate(conns[:3]):
            assert conn.read() == [key.encode(), b"%d" % number]
        assert other("RPUSH", key, *range(3, 8)) == 5
        for number, conn in enumerate(conns[3:], 3):
            assert conn.read() == [key.encode(), b"%d" % number]
        assert other("LRANGE", key, 0, -1) == [b"6", b"7"]
    for conn in conns:
        assert conn("PING") == PONG
        conn.close()


def test_nobody_else_notices(tree):
    """A hundred clients wait; others on the same proxies and engines are answered at once."""
    [[a], [b]] = keys_by_engine(tree, 1, "calm")
    conns = [tree.conn() for _ in range(100)]
    for number, conn in enumerate(conns):
        conn.send(encode("BLPOP", a if number % 2 else b, "0"))
    eventually(lambda: blocked(tree) == 100)
    with tree.conn() as other:
        for _ in range(200):
            assert other("SET", "x", "1") == OK and other("GET", "x") == b"1"
        began = time.monotonic()
        other.must("RPUSH", a, *range(50))
        other.must("RPUSH", b, *range(50))
        assert sorted(int(conn.read()[1]) for conn in conns) == sorted([*range(50)] * 2)
        assert time.monotonic() - began < 5
        assert other("EXISTS", a, b) == 0
    for conn in conns:
        conn.close()


def test_who_is_gone_takes_nothing(tree):
    [[a], [b]] = keys_by_engine(tree, 1, "gone")
    with tree.conn() as other:
        for number in range(20):
            conn = at_proxy(tree, number % PROXIES)
            wait(tree, conn, *(("BLPOP", a, b, "0") if number % 3 == 0 else ("BRPOP", a, "0")))
            if number % 2:
                conn.send(encode("PING"))
            conn.close()
            if number % 4 < 2:
                eventually(lambda: blocked(tree) == 0)
            assert other("RPUSH", a, "v") == 1
            eventually(lambda: other("LLEN", a) == 1)
            assert other("LPOP", a) == b"v"
        eventually(lambda: blocked(tree) == 0)


def test_time_outs(tree):
    [[a], [b]] = keys_by_engine(tree, 1, "time")
    with tree.conn() as conn:
        for command in (("BLPOP", a, "0.2"), ("BLPOP", a, b, "0.2"), ("BZPOPMIN", b, a, "0.2"),
                        ("BLMPOP", "0.2", "2", a, b, "LEFT"), ("BLMOVE", a, b, "LEFT", "RIGHT", "0.2")):
            began = time.monotonic()
            assert conn(*command) == NULL_ARRAY, command
            assert 0.19 < time.monotonic() - began < 2
        for command in (("BLPOP", a, b, "x"), ("BLPOP", a, "x")):
            assert conn(*command) == Error("ERR timeout is not a float or out of range")
        for command in (("BLPOP", a, b, "-1"), ("BLMOVE", a, b, "LEFT", "RIGHT", "-1")):
            assert conn(*command) == Error("ERR timeout is negative")


def test_keys_on_two_engines(tree):
    [[a], [b]] = keys_by_engine(tree, 1, "two")
    conn, other = at_proxy(tree, 0), at_proxy(tree, 1)
    for first, second in ((a, b), (b, a)):
        wait(tree, conn, "BLPOP", first, second, "0")
        assert other("RPUSH", second, "v", "w") == 2
        assert conn.read() == [second.encode(), b"v"]
        assert other("RPUSH", first, "x") == 1
        assert conn("BLPOP", first, second, "0") == [first.encode(), b"x"], "the first key first"
        assert conn("BLPOP", first, second, "0") == [second.encode(), b"w"]
        assert other("EXISTS", a, b) == 0
    wait(tree, conn, "BZPOPMAX", a, b, "0")
    other.must("SADD", a, "no sorted set")
    assert other("ZADD", b, "1.5", "m", "1", "n") == 2
    assert conn.read() == [b.encode(), b"m", b"1.5"]
    wait(tree, conn, "BLMOVE", b + "l", a + "l", "LEFT", "RIGHT", "0")
    other.must("RPUSH", b + "l", "v")
    assert conn.read() == b"v"
    assert other("LRANGE", a + "l", 0, -1) == [b"v"]
    for one in (conn, other):
        one.close()


def test_many_wait_for_keys_of_both_engines(tree):
    """Every element goes to exactly one."""
    [[a], [b]] = keys_by_engine(tree, 1, "both")
    conns = [at_proxy(tree, number % PROXIES) for number in range(10)]
    for number, conn in enumerate(conns):
        conn.send(encode("BLPOP", *((a, b) if number % 2 else (b, a)), "0"))
    eventually(lambda: blocked(tree) == 10)
    with tree.conn() as other:
        for number in range(10):
            assert other("RPUSH", a if number % 3 else b, number) >= 1
        assert sorted(int(conn.read()[1]) for conn in conns) == list(range(10))
        assert other("EXISTS", a, b) == 0
        assert other("RPUSH", a, "rest") == 1
        time.sleep(0.2)
        assert other("LLEN", a) == 1
    for conn in conns:
        conn.close()


@pytest.mark.parametrize("keys", [1, 2])
def test_unblock_from_any_proxy(tree, keys):
    names = [key for [key] in keys_by_engine(tree, 1, "unblock")][:keys]
    waiting = [at_proxy(tree, index) for index in range(PROXIES)]
    asking = [at_proxy(tree, index) for index in range(PROXIES)]
    for conn in waiting:
        number = conn("CLIENT ID")
        for other in asking:
            for word, reply in (("", NULL_ARRAY), ("TIMEOUT", NULL_ARRAY),
                                ("ERROR", Error("UNBLOCKED client unblocked via CLIENT UNBLOCK"))):
                assert other("CLIENT", "UNBLOCK", number) == 0
                wait(tree, conn, "BLPOP", *names, "0")
                line = other("CLIENT", "LIST", "ID", number).decode()
                assert " flags=b " in line and " cmd=blpop " in line
                assert other("CLIENT", "UNBLOCK", number, *word.split()) == 1
                assert conn.read() == reply
                assert conn("PING") == PONG
    for conn in (*waiting, *asking):
        conn.close()
    eventually(lambda: blocked(tree) == 0)


def test_a_client_that_is_killed_while_it_waits(tree):
    [[a], _] = keys_by_engine(tree, 1, "kill")
    conn, other = at_proxy(tree, 0), at_proxy(tree, 1)
    number = conn("CLIENT ID")
    wait(tree, conn, "BLPOP", a, "0")
    assert other("CLIENT", "KILL", "ID", number) == 1
    assert conn.closed()
    eventually(lambda: blocked(tree) == 0)
    assert other("RPUSH", a, "v") == 1
    assert other("LLEN", a) == 1
    other.close()


def test_an_engine_dies_while_clients_wait(tree):
    """Those who wait there are disconnected, as by a server that is restarted; all others stay."""
    [[a], [b]] = keys_by_engine(tree, 1, "dies")
    there, elsewhere, both = tree.conn(), tree.conn(), tree.conn()
    wait(tree, there, "BLPOP", a, "0")
    wait(tree, elsewhere, "BLPOP", b, "0")
    wait(tree, both, "BLPOP", a, b, "0")
    os.kill(pid_of(tree, "engine 0"), signal.SIGKILL)
    assert there.closed() and both.closed()
    eventually(lambda: whole(tree))
    eventually(lambda: blocked(tree) == 1)
    with tree.conn() as other:
        other.must("RPUSH", b, "v")
        assert elsewhere.read() == [b.encode(), b"v"]
        again = tree.conn()
        wait(tree, again, "BLPOP", a, "0")
        other.must("RPUSH", a, "v")
        assert again.read() == [a.encode(), b"v"]
    for conn in (there, elsewhere, both, again):
        conn.close()


def test_a_proxy_is_killed_while_clients_wait(tree):
    [[a], _] = keys_by_engine(tree, 1, "proxy")
    conn, other = at_proxy(tree, 0), at_proxy(tree, 1)
    wait(tree, conn, "BLPOP", a, "0")
    proxy = psutil.Process(pid_of(tree, "proxy 0"))
    proxy.kill()
    assert conn.closed()
    eventually(lambda: not proxy.is_running() or proxy.status() == psutil.STATUS_ZOMBIE)    # all its links are closed
    assert other("RPUSH", a, "v") == 1
    assert other("LLEN", a) == 1, "the engine has seen the link's end first"
    other.close()
    eventually(lambda: whole(tree))
    with contextlib.closing(at_proxy(tree, 0)) as again:
        assert again("BLPOP", a, "0") == [a.encode(), b"v"]
