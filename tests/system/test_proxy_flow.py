"""Large and long replies through the proxy: who waits for whom, what the proxy holds meanwhile, and overload."""
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from harness.conn import Conn
from harness.resp import OK, Error, Status, encode
from harness.servers import Server
from shardd.structures.slots import slot_of

VALUE = b"v" * 10_000_000

LOST = "ERR engine 0 is down, the command may or may not have been executed"


def key_of(index: int, number: int = 0) -> str:
    """A key that lives on engine `index` of two."""
    return next(f"k{n}" for n in range(number * 100, 100_000) if slot_of(f"k{n}".encode()) // 8192 == index)


@pytest.fixture
def tree(start: Callable[..., Server]) -> Server:
    return start("tree", engines=2)


def process(tree: Server, what: str) -> psutil.Process:
    return next(p for p in tree.children() if what in " ".join(p.cmdline()))


def rss_bytes(pid: int) -> int:
    """From /proc, as the kernel counts it."""
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_a_client_that_asks_for_200_mb_and_does_not_read(tree):
    """Its replies are not made before there is room: proxy and engine stay small, and the others' commands go on."""
    proxy = process(tree, "proxy.main").pid
    engines = [p.pid for p in tree.children() if "engine.main" in " ".join(p.cmdline())]
    slow, other = tree.conn(), tree.conn()
    slow.must("SET", key_of(0), VALUE)
    other.must("MSET", key_of(0, 1), "a", key_of(1), "b")
    before = rss_bytes(proxy)
    engines_before = sum(map(rss_bytes, engines))
    for _ in range(20):
        slow.send(encode("GET", key_of(0)))
    highest, deadline = 0, time.monotonic() + 1.5
    while time.monotonic() < deadline:
        time.sleep(0.05)
        highest = max(highest, rss_bytes(proxy))
        assert other("MGET", key_of(0, 1), key_of(1)) == [b"a", b"b"]
    assert highest - before < 60_000_000, "twenty times ten megabytes are asked for"
    assert engines and sum(map(rss_bytes, engines)) - engines_before < 100_000_000
    for _ in range(20):
        assert slow.read() == VALUE
    assert rss_bytes(proxy) - before < 60_000_000
    assert slow("GET", key_of(0, 1)) == b"a"


def test_large_replies_of_both_engines_that_nobody_reads(tree):
    """Those of the second engine are not first in line, and are not collected for that."""
    proxy = process(tree, "proxy.main").pid
    slow = tree.conn()
    for index in range(2):
        slow.must("SET", key_of(index), VALUE)
    before = rss_bytes(proxy)
    for n in range(20):
        slow.send(encode("GET", key_of(n % 2)))
    time.sleep(0.5)
    assert rss_bytes(proxy) - before < 60_000_000
    for _ in range(20):
        assert slow.read() == VALUE


def test_a_very_large_reply_delays_nobody(tree):
    """While 100 MB go to one client, who takes its time, others are answered: again and again before it has all."""
    big, other = tree.conn(), tree.conn()
    big.must("SET", key_of(0), b"x" * 100_000_000)
    other.must("SET", key_of(0, 1), "v")
    big.send(encode("GET", key_of(0)))
    left = len(b"$100000000\r\n") + 100_000_000 + 2
    while left:
        for _ in range(50):
            left -= len(big.sock.recv(min(left, 1 << 20))) if left else 0
        assert other("GET", key_of(0, 1)) == b"v"
    assert big("PING") == Status("PONG")


def test_keys_of_a_large_database_beside_others(tree):
    c, other = tree.conn(), tree.conn()
    for start in range(0, 200_000, 10_000):
        c.must("MSET", *[word for n in range(start, start + 10_000) for word in (f"key:{n:012d}", "v")])
    c.send(encode("KEYS", "*"))
    for n in range(200):
        assert other("INCR", "counter") == n + 1
    assert len(c.read()) in (200_000, 200_001)


def test_what_is_in_flight_at_a_death_gets_its_error_within_a_second(tree):
    """On every link: the shared one, the long one, and that of a large reply."""
    admin, shared, long, held = (tree.conn() for _ in range(4))
    lines = dict(line.split(":", 1) for line in admin("INFO engines").decode().splitlines() if ":" in line)
    victim = int(dict(part.split("=") for part in lines["engine0"].split(","))["pid"])
    os.kill(victim, signal.SIGSTOP)
    shared.send(encode("GET", key_of(0)))
    long.send(encode("KEYS", "*"))
    held.send(encode("INCR", key_of(0)) * 5)
    time.sleep(0.1)
    started = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    assert shared.read() == Error(LOST)
    assert long.read() == Error(LOST)
    assert [held.read() for _ in range(5)] == [Error(LOST)] * 5
    assert time.monotonic() - started < 1


def test_overload_is_refused_and_the_server_can_be_looked_at(start: Callable[..., Server]) -> None:
    tree = start("tree", engines=2, proxy_memory_limit="40mb")
    slow: list[Conn] = [tree.conn() for _ in range(8)]
    admin = tree.conn()
    admin.must("SET", key_of(0), b"x" * 3_000_000)
    # requests that never end are held here
    for c in slow:
        c.send(b"*3\r\n$3\r\nSET\r\n$4\r\nfull\r\n$10000000\r\n" + b"x" * 9_000_000)
    deadline = time.monotonic() + 10
    while not isinstance(reply := admin("GET", key_of(0)), Error):
        assert time.monotonic() < deadline
    assert reply.startswith("OOM ")
    assert admin("PING") == Status("PONG")
    assert b"proxy_shed_commands:" in admin("INFO stats")
    assert admin("CLIENT LIST").count(b"\n") == 9
    assert admin("CONFIG SET proxy-memory-limit 1gb") == OK
    assert len(admin("GET", key_of(0))) == 3_000_000
    admin.must("CONFIG SET proxy-memory-limit 40mb")
    assert admin("GET", key_of(0)).startswith("OOM ")
    for c in slow:
        c.close()
    deadline = time.monotonic() + 10
    while isinstance(admin("GET", key_of(0)), Error):
        assert time.monotonic() < deadline
