"""A proxy is killed, or stands before servers that die and keep their data; a client's own order under all of it.

What is acknowledged must have been done once, what is not, at most once. Real Redis servers with an append-only file
keep what they have done when they are killed, so that it can be counted.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from harness import OK, Conn, alone, encode
from harness.faults import children, eventually, keys_by_engine, pid_of, whole
from harness.load import LOST, Worker
from harness.servers import Server, free_port

ENGINES = 3
BACK_S = 10.0   # generous: the supervisor starts a killed proxy within a second


def workers_of(count: int, connect: Callable, losses: Callable[[], int] = lambda: 0, keys: int = 6) -> list[Worker]:
    return [Worker(connect, [f"w{number}:{key}" for key in range(keys)], number, losses=losses)
            for number in range(count)]


def busy(workers: list[Worker], replies: int = 50) -> None:
    """All are answered now."""
    before = [worker.replies for worker in workers]
    eventually(lambda: all(worker.replies > n + replies or worker.lies for worker, n in zip(workers, before)))


def test_a_proxy_is_killed_under_load(start):
    """Its clients see their connection end, and find everything as it was told to them."""
    tree = start("tree", engines=ENGINES)
    workers = workers_of(4, tree.conn)
    for worker in workers:
        worker.start()
    for restarts in (1, 2):
        busy(workers)
        os.kill(pid_of(tree, "proxy 0"), signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda: children(tree)["proxy 0"]["restarts"] == restarts and whole(tree))
        busy(workers, 1)
        assert time.monotonic() - killed < BACK_S
    for worker in workers:
        worker.finish()
    assert all(worker.ended == 2 and not worker.errors for worker in workers)
    with tree.conn() as conn:
        for worker in workers:
            worker.settle(conn)
    assert all(children(tree)[f"engine {n}"]["restarts"] == 0 for n in range(ENGINES))


def test_one_of_several_proxies_is_killed(start):
    """Clients of the others notice nothing; nobody waits for it to come back."""
    tree = start("tree", engines=2, proxies=2)
    eventually(lambda: whole(tree))
    workers = workers_of(12, tree.conn)
    for worker in workers:
        worker.start()
    busy(workers)
    os.kill(pid_of(tree, "proxy 0"), signal.SIGKILL)
    eventually(lambda: children(tree)["proxy 0"]["restarts"] == 1 and whole(tree))
    busy(workers)
    for worker in workers:
        worker.finish()
    ended = [worker.ended for worker in workers]
    assert set(ended) <= {0, 1, 2} and ended.count(0) >= 1 and not any(worker.errors for worker in workers)
    with tree.conn() as conn:
        for worker in workers:
            worker.settle(conn)


def test_what_is_acknowledged_is_done_once_and_what_is_not_at_most_once(start, tmp_path, fresh):
    """The engines are real Redis servers that remember. They are killed while four clients count."""
    servers = [start("oracle", appendonly="yes", appendfsync="no") for _ in range(ENGINES)]
    port = free_port()
    proxy = alone.run("--topology", alone.topology(tmp_path / "t.json", servers), "--port", port,
                      "--bind", "127.0.0.1")
    try:
        eventually(lambda: Conn(port)("DBSIZE") == 0)
        workers = workers_of(4, lambda: Conn(port))
        for worker in workers:
            worker.start()
        for victim in (0, 1, 2, 0):
            busy(workers)
            servers[victim].process.kill()
            servers[victim].process.wait()
            servers[victim].start()
        busy(workers)
        for worker in workers:
            worker.finish()
        assert any(LOST.match(text.replace("N", "0")) for worker in workers for text in worker.errors)
        with Conn(port) as conn:
            for worker in workers:
                worker.settle(conn)
                assert all(tally.resets == 0 for tally in worker.tallies.values())
    finally:
        proxy.kill()
        proxy.communicate()


# --- a client's order -------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tree(fresh):
    with Server("tree", engines=ENGINES) as server:
        yield server


@pytest.fixture(autouse=True)
def log_of_the_tree(request):
    if "tree" in request.fixturenames:
        server = request.getfixturevalue("tree")
        request.node.servers = [*getattr(request.node, "servers", []), server]
        with server.conn() as conn:
            conn.must("FLUSHALL")


@pytest.mark.parametrize("resp", [2, 3])
def test_a_question_about_all_keys_sees_what_the_client_wrote_before_it(tree, resp):
    """Long commands go by connections of their own: they must not overtake the writes in front of them, nor be
    overtaken by those behind."""
    keys = [key for some in keys_by_engine(tree, 3) for key in some]
    conn = tree.conn(resp=resp)
    for turn in range(60):
        key = keys[turn % len(keys)]
        replies = conn.many(("FLUSHALL",), ("SET", key, turn), ("DBSIZE",), ("KEYS", "*"), ("SET", key + ":x", turn),
                            ("KEYS", "*:x"), ("SCAN", "0", "COUNT", "1000"), ("DEL", key, key + ":x"), ("DBSIZE",),
                            ("RANDOMKEY",), ("SET", key, "x"), ("FLUSHDB",), ("EXISTS", key), ("SET", key, "y"),
                            ("DEBUG", "DIGEST"), ("MGET", *keys))
        assert replies[:4] == [OK, OK, 1, [key.encode()]]
        assert replies[4:6] == [OK, [key.encode() + b":x"]]
        assert replies[7:10] == [2, 0, None]
        assert replies[10:14] == [OK, OK, 0, OK]
        assert [value for value in replies[15] if value] == [b"y"]


def test_a_large_reply_of_one_client_does_not_change_the_order_of_another(tree):
    """The connection that a large reply is on is left to it, and what others have in flight there comes first."""
    big, key, other = keys_by_engine(tree, 3, "o")[0]
    tree.conn().must("SET", big, b"x" * 8_000_000)
    stop = threading.Event()

    def read_slowly() -> None:
        with tree.conn(rcvbuf_bytes=65536) as conn:
            while not stop.is_set():
                conn.send(encode("GET", big) * 2)
                conn.read(), conn.read()

    readers = [threading.Thread(target=read_slowly) for _ in range(3)]
    for reader in readers:
        reader.start()
    workers = [Worker(tree.conn, [key, other, big + "2"][n:n + 1], n, depth=40) for n in range(3)]
    for worker in workers:
        worker.start()
    busy(workers, 3000)
    stop.set()
    for worker in workers:
        worker.finish()
    for reader in readers:
        reader.join()
    assert not any(worker.errors or worker.ended for worker in workers)
    with tree.conn() as conn:
        for worker in workers:
            worker.settle(conn)
