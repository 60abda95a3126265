"""Clients that go away at any byte, that do not read, that are half there, that all come at once: through the proxy,
and what the others see of it meanwhile."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from harness import OK, Closed, Conn, Status, build, encode
from harness.faults import Bystander, children, eventually, keys_by_engine, way_to
from harness.load import Worker
from harness.servers import Server
from shardd.base import limits

ENGINES = 3
MB = 1024 * 1024
PONG = Status("PONG")
CROWD = 2000
CROWD_S = 2.0       # the bound for all of them
TCP_REPAIR = 19


@pytest.fixture(scope="module")
def lasting(fresh) -> Iterator[Server]:
    with Server("tree", engines=ENGINES, tcp_keepalive=1) as server:
        yield server


@pytest.fixture
def tree(lasting, request) -> Server:
    request.node.servers = [lasting]
    with lasting.conn() as conn:
        conn.must("FLUSHALL")
    return lasting


@pytest.fixture
def bystander(tree, fleet) -> Bystander:
    key = keys_by_engine(tree, 1, "by")[0][0]
    return Bystander(tree.conn(), key, fleet.server("reference").conn(), way_to(tree, 0))


def clients(tree: Server) -> int:
    with tree.conn() as conn:
        return len(conn.must("CLIENT LIST").splitlines()) - 1


def test_long_commands_of_one_delay_no_other(tree):
    """Not beyond what the engine itself is delayed by: a client that asks it directly is the measure."""
    key = keys_by_engine(tree, 1, "hol")[1][0]
    port = children(tree)["engine 1"]["port"]
    with tree.conn() as conn:
        for n in range(0, 100_000, 5000):
            conn.must("MSET", *[word for at in range(n, n + 5000) for word in (f"fill:{at}", "v")])
    greedy = tree.conn(timeout_s=60)
    with Bystander(tree.conn(), key, Conn(port), way_to(tree, 1)):
        for _ in range(3):
            greedy.send(encode("KEYS", "*") * 3 + encode("DBSIZE"))
            assert [len(greedy.read()) > 100_000 for _ in range(3)] == [True] * 3
            assert greedy.read() > 100_000


def held(tree: Server, number: int) -> int:
    """Bytes that the proxy keeps for a client."""
    with tree.conn() as conn:
        line = conn.must("CLIENT", "LIST", "ID", number).decode()
    return int(dict(part.split("=", 1) for part in line.split())["omem"])


def proxy_of(tree: Server) -> psutil.Process:
    return next(p for p in tree.children() if "proxy.main" in " ".join(p.cmdline()))


def reset(conn: Conn) -> None:
    """The connection ends with an RST, as if the client's machine had refused it."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def test_gone_in_the_middle_of_requests_and_replies(tree, bystander):
    """At any byte, politely or not, with commands on all engines under way."""
    rng = random.Random(5)
    keys = [key for some in keys_by_engine(tree, 2) for key in some]
    with tree.conn() as conn:
        conn.must("MSET", *[word for key in keys for word in (key, b"x" * 300_000)])
    stream = b"".join(encode(*words) for words in (
        ("GET", keys[0]), ("MGET", *keys), ("SET", "gone", b"v" * 100_000), ("RENAME", "gone", "g2"), ("KEYS", "*"),
        ("MSETNX", "gone", "1", "g3", "2"), ("DBSIZE",), ("COPY", keys[0], keys[1], "REPLACE"), ("DEL", "gone", "g3")))
    worker = Worker(tree.conn, ["w:1", "w:2", "w:3"])
    worker.start()
    fds = proxy_of(tree).num_fds()
    with bystander:
        for turn in range(150):
            conn = tree.conn(rcvbuf_bytes=8192)
            with contextlib.suppress(Closed, OSError):
                conn.send((stream * 3)[:rng.randrange(3 * len(stream))])
                if turn % 3:
                    conn.sock.recv(rng.randrange(1, 200_000))
            reset(conn) if turn % 2 else conn.close()
        eventually(lambda: clients(tree) <= 3)
    worker.finish()
    assert not worker.errors and not worker.ended
    with tree.conn() as conn:
        worker.settle(conn)
        assert conn("MGET", *keys) == [b"x" * 300_000] * len(keys)
    eventually(lambda: proxy_of(tree).num_fds() <= fds + 2 * ENGINES * limits.PROXY_IDLE_LINKS_KEPT)


@pytest.mark.skipif(build.variant() == "asan", reason="AddressSanitizer keeps freed memory for a while")
def test_slow_readers_of_large_replies_cost_the_proxy_little(tree, bystander):
    """400 MB are asked for and not taken: they stay where they are until they are.

    Nobody else asks that engine meanwhile: whose command is already behind such a reply has to be read past it.
    """
    key = keys_by_engine(tree, 1)[1][0]
    with tree.conn() as conn:
        conn.must("SET", key, b"y" * (20 * MB))
    proxy = proxy_of(tree)
    before = proxy.memory_info().rss
    slow = [tree.conn(rcvbuf_bytes=8192) for _ in range(10)]
    with bystander:
        for conn in slow:   # one after the other: what is asked for at once shares a connection to the engine
            number = conn("CLIENT ID")
            conn.send(encode("GET", key) * 2)
            eventually(lambda: held(tree, number) > MB // 2)
        time.sleep(0.5)
        assert proxy.memory_info().rss - before < 40 * MB
    for conn in slow:
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MB)
        assert len(conn.read()) == len(conn.read()) == 20 * MB
        conn.close()
    eventually(lambda: proxy.memory_info().rss - before < 40 * MB)


def test_a_client_whose_machine_is_gone_is_noticed(tree):
    """No FIN, no RST: only the keepalive probes tell."""
    conn = tree.conn()
    number = conn("CLIENT ID")
    try:
        conn.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        pytest.skip("closing without a word needs CAP_NET_ADMIN")
    conn.close()
    with tree.conn() as other:
        assert other("CLIENT", "LIST", "ID", number), "it ended with a word"
        eventually(lambda: other("CLIENT", "LIST", "ID", number) == b"")


def test_a_client_that_has_said_its_last_word_gets_all_it_asked_for(tree):
    keys = [key for some in keys_by_engine(tree, 2) for key in some]
    conn = tree.conn(rcvbuf_bytes=8192)
    conn.send(encode("MSET", *[word for key in keys for word in (key, b"z" * MB)]) + encode("MGET", *keys)
              + encode("KEYS", "*") + encode("INCR", "n"))
    conn.half_close()
    assert conn.read() == OK
    assert conn.read() == [b"z" * MB] * len(keys)
    assert sorted(conn.read()) == sorted(key.encode() for key in keys)
    assert conn.read() == 1
    assert conn.closed()


def test_two_thousand_at_once(tree, fleet):
    """Each connects, asks, is answered; nobody is refused."""
    keys = [key for some in keys_by_engine(tree, 2) for key in some]
    with tree.conn() as conn:
        conn.must("MSET", *[word for key in keys for word in (key, key)])
    conns: list[Conn] = []
    key = keys_by_engine(tree, 1, "by")[0][0]
    with Bystander(tree.conn(), key, fleet.server("reference").conn(), way_to(tree, 0), CROWD_S) as bystander:
        started = time.monotonic()
        for number in range(CROWD):
            conn = tree.conn()
            conns.append(conn)
            conn.send(encode("GET", keys[number % len(keys)]))
        replies = [conn.read() for conn in conns]
        took = time.monotonic() - started
    assert replies == [keys[number % len(keys)].encode() for number in range(CROWD)]
    assert took - bystander.machine_s < CROWD_S, f"{took:.2f} s"
    closers = [threading.Thread(target=lambda some: [conn.close() for conn in some], args=(conns[n::4],))
               for n in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    eventually(lambda: clients(tree) <= 3)
