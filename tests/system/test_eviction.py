"""maxmemory of a whole tree: shares follow the data, the whole is kept, and engines evict what is theirs."""
import time
from collections.abc import Callable

import pytest

from harness import OK, Error
from harness.conn import Conn
from harness.servers import Server

MIB = 1 << 20
VALUE = "v" * 1000


@pytest.fixture
def tree(start: Callable[..., Server]) -> Server:
    return start("tree", engines=2, maxmemory="24mb", maxmemory_policy="allkeys-lru")


def ports(tree: Server) -> list[int]:
    with tree.conn() as c:
        return [row[2][1] for row in c.must("CLUSTER SLOTS")]


def memory(port: int) -> dict[str, int]:
    with Conn(port) as c:
        lines = c.must("INFO everything").decode().split("\r\n")
    return {name: int(value) for name, _, value in (line.partition(":") for line in lines) if value.isdigit()}


def shares(tree: Server) -> list[int]:
    return [memory(port)["maxmemory"] for port in ports(tree)]


def eventually(condition, what: str = "") -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def fill(tree: Server, tag: str, keys: int) -> None:
    with tree.conn() as c:
        for at in range(0, keys, 500):
            assert set(c.many(*[("SET", f"{{{tag}}}{n}", VALUE) for n in range(at, at + 500)])) == {OK}


def tag_of(tree: Server, index: int) -> str:
    """A hash tag of the engine with this place in CLUSTER SLOTS."""
    with tree.conn() as c:
        first, last = c.must("CLUSTER SLOTS")[index][:2]
        return next(tag for tag in map(str, range(1000)) if first <= c.must("CLUSTER", "KEYSLOT", tag) <= last)


def test_the_engine_with_the_data_gets_more_and_no_key_is_lost_while_there_is_room(tree):
    assert shares(tree) == [12 * MIB, 12 * MIB]
    tag = tag_of(tree, 1)
    for keys, share in ((9500, 15 * MIB), (13_000, 17 * MIB), (15_000, 0)):
        fill(tree, tag, keys)
        eventually(lambda share=share: shares(tree)[1] > share, f"{shares(tree)}")
    eventually(lambda: sum(shares(tree)) == 24 * MIB)       # they are asked for one after the other
    with tree.conn() as c:
        assert c.must("DBSIZE") == 15_000, "more than an even share"
        assert f"\r\nmaxmemory:{24 * MIB}\r\n" in c.must("INFO memory").decode()
        assert c("CONFIG GET maxmemory") == [b"maxmemory", b"%d" % (24 * MIB)]
    assert sum(memory(port)["evicted_keys"] for port in ports(tree)) == 0


def test_the_whole_is_kept(tree):
    """More data than fits, in both: each stays within its share, and the shares within the whole."""
    for index in (0, 1):
        fill(tree, tag_of(tree, index), 20_000)
    eventually(lambda: sum(memory(port)["used_memory"] - memory(port)["mem_not_counted_for_evict"]
                           for port in ports(tree)) <= 24 * MIB)
    eventually(lambda: sum(shares(tree)) == 24 * MIB)
    assert all(memory(port)["evicted_keys"] > 0 for port in ports(tree))
    with tree.conn() as c:
        assert int(c.must("INFO stats").decode().partition("evicted_keys:")[2].split()[0]) > 10_000


def test_less_is_evicted_at_once(tree):
    for index in (0, 1):
        fill(tree, tag_of(tree, index), 9000)
    with tree.conn() as c:
        before = c.must("DBSIZE")
        assert before > 12_000 and c.must("CONFIG SET maxmemory 12mb") == OK
        eventually(lambda: c.must("DBSIZE") < before * 2 // 3)
        eventually(lambda: all(memory(port)["used_memory"] - memory(port)["mem_not_counted_for_evict"]
                               <= memory(port)["maxmemory"] for port in ports(tree)))
        eventually(lambda: sum(shares(tree)) == 12 * MIB)
        assert c.must("DBSIZE") > 5000, "and no more than that"


def test_without_eviction_the_proxy_tells_of_refusals(tree):
    with tree.conn() as c:
        assert c.must("CONFIG SET maxmemory-policy noeviction maxmemory 1000") == OK
        assert c("SET", "k", "v") == Error("OOM command not allowed when used memory > 'maxmemory'.")
        assert c.must("CONFIG SET maxmemory 0") == OK
        assert c.must("SET", "k", "v") == OK
