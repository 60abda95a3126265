"""Transactions through proxies of real engines: a ledger of what was told while engines are killed, transactions over
several engines seen from outside, and what a client's end leaves behind."""

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from harness import OK, Conn, Error, encode
from harness.conn import Closed
from harness.faults import eventually, keys_by_engine, pid_of, whole
from harness.resp import NULL_ARRAY, Status
from harness.servers import Server

QUEUED = Status("QUEUED")
NOT_EXECUTED = ("CLUSTERDOWN engine", "EXECABORT")


@pytest.fixture(scope="module")
def lasting(fresh: None) -> Iterator[Server]:
    with Server("tree", engines=2, proxies=2) as server:
        eventually(lambda: "2 proxies listen" in server.log())
        yield server


@pytest.fixture
def tree(lasting: Server, request: pytest.FixtureRequest) -> Server:
    request.node.servers = [*getattr(request.node, "servers", []), lasting]
    eventually(lambda: lasting.conn()("FLUSHALL") == OK)
    return lasting


def execute(conn: Conn, *commands: tuple) -> object:
    """A transaction in one piece; EXEC's reply."""
    conn.send(b"".join(encode(*words) for words in (("MULTI",), *commands, ("EXEC",))))
    assert conn.read() == OK
    queued = [conn.read() for _ in commands]
    reply = conn.read()
    if any(one != QUEUED for one in queued):
        assert isinstance(reply, Error) and str(reply).startswith("EXECABORT"), (queued, reply)
    return reply


class Teller(threading.Thread):
    """Adds 1 to some counters in one transaction, again and again, and keeps what it was told."""

    def __init__(self, tree: Server, keys: list[str]) -> None:
        super().__init__(daemon=True)
        self._tree, self._keys = tree, keys
        self.done = self.unknown = self.refused = 0
        self.values: list[list[int]] = []
        self.strange: list[object] = []
        self._over = threading.Event()

    def run(self) -> None:
        conn = self._tree.conn()
        while not self._over.is_set():
            try:
                reply = execute(conn, *(("INCR", key) for key in self._keys))
            except (Closed, TimeoutError) as error:
                self.strange.append(error)
                return
            if isinstance(reply, list):
                self.done += 1
                self.values.append(reply)
            elif str(reply).startswith(NOT_EXECUTED):
                self.refused += 1
            elif "may" in str(reply):
                self.unknown += 1
            else:
                self.strange.append(reply)
        conn.close()

    def finish(self) -> None:
        self._over.set()
        self.join(30)
        assert not self.is_alive() and not self.strange


def test_an_engine_is_killed_with_transactions_in_flight(tree):
    """Of counters on one engine all have the same value, always; an engine that stays counts no transaction twice, and
    none that was said not to be executed."""
    (a0, *_), (b0, *_) = keys_by_engine(tree, 1, "n")
    pairs = [[f"x{{{a0}}}", f"y{{{a0}}}"], [f"x{{{b0}}}", f"y{{{b0}}}"], [f"both{{{a0}}}", f"both{{{b0}}}"]]
    tellers = [Teller(tree, keys) for keys in pairs for _ in range(2)]
    for teller in tellers:
        teller.start()
    for _ in range(3):
        before = [teller.done for teller in tellers]
        eventually(lambda: all(teller.done > n + 30 for teller, n in zip(tellers, before)))
        os.kill(pid_of(tree, "engine 0"), signal.SIGKILL)
        eventually(lambda: whole(tree))
    before = [teller.done for teller in tellers]
    eventually(lambda: all(teller.done > n + 30 for teller, n in zip(tellers, before)))
    for teller in tellers:
        teller.finish()
    with tree.conn() as conn:
        for pair in pairs[:2]:
            assert len(set(conn.must("MGET", *pair))) == 1
        for teller in tellers[:4]:
            assert all(len(set(reply)) == 1 for reply in teller.values), "nobody came in between"
        for keys, mine in ((pairs[1], tellers[2:4]), ([pairs[2][1]], tellers[4:6])):
            done, unknown = sum(one.done for one in mine), sum(one.unknown for one in mine)
            for key in keys:
                assert done <= int(conn.must("GET", key)) <= done + unknown
    assert all(one.unknown == one.refused == 0 for one in tellers[2:4]), "engine 1 was never down"
    told = sorted(reply[1] for one in tellers[4:6] for reply in one.values)
    assert len(told) == len(set(told)), "nothing was counted twice"


def test_nobody_sees_half_a_transaction_over_engines(tree):
    (a, *_), (b, *_) = keys_by_engine(tree, 1, "half")
    over, seen = threading.Event(), []

    def look() -> None:
        with tree.conn() as conn:
            while not over.is_set():
                reply = execute(conn, ("GET", a), ("GET", b))
                seen.append(tuple(reply) if isinstance(reply, list) else reply)

    tree.conn().must("MSET", a, "0", b, "0")
    watchers = [threading.Thread(target=look) for _ in range(3)]
    for one in watchers:
        one.start()
    with tree.conn() as conn:
        for number in range(1, 200):
            assert execute(conn, ("SET", a, str(number)), ("SET", b, str(number))) == [OK, OK]
    over.set()
    for one in watchers:
        one.join(20)
    assert len(seen) > 50 and all(x == y for x, y in seen)
    assert len(set(seen)) > 10


def test_optimistic_locking_over_engines_loses_nothing(tree):
    """WATCH, read, MULTI, write what was read plus one: of many clients, through two proxies."""
    (a, *_), (b, *_) = keys_by_engine(tree, 1, "cas")
    rounds, failed = 40, []

    def count() -> None:
        with tree.conn() as conn:
            for _ in range(rounds):
                while True:
                    assert conn("WATCH", a, b) == OK
                    x, y = int(conn("GET", a) or 0), int(conn("GET", b) or 0)
                    reply = execute(conn, ("SET", a, x + 1), ("SET", b, y + 2))
                    if reply == [OK, OK]:
                        break
                    if reply is not NULL_ARRAY:
                        failed.append(reply)
                        return

    clients = [threading.Thread(target=count) for _ in range(4)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)
    assert not failed
    assert tree.conn().must("MGET", a, b) == [b"%d" % (4 * rounds), b"%d" % (8 * rounds)]


@pytest.mark.parametrize("leave", [
    lambda conn: conn.close(), lambda conn: conn("QUIT"), lambda conn: conn("RESET"), lambda conn: conn("DISCARD")])
def test_who_leaves_before_exec_has_done_nothing(tree, leave: Callable[[Conn], object]):
    (a, *_), (b, *_) = keys_by_engine(tree, 1, "leave")
    conn, other = tree.conn(), tree.conn()
    assert conn("WATCH", a, b) == OK
    assert conn("MULTI") == OK
    assert conn("SET", a, "1") == QUEUED and conn("SET", b, "1") == QUEUED
    leave(conn)
    assert other("EXISTS", a, b) == 0
    eventually(lambda: watchers(tree) == 0)
    conn.close()


def watchers(tree: Server) -> int:
    """Connections of proxies that watch, on all engines."""
    count = 0
    for index in range(2):
        with Conn(str(tree.dir / "run" / f"engine-{index}.sock")) as engine:
            count += sum("watch=0" not in line for line in engine.must("CLIENT LIST").decode().splitlines())
    return count


def test_a_watch_costs_other_clients_nothing(tree):
    """A hundred clients watch and think; everybody else goes on, and they are all told right."""
    (a, *_), (b, *_) = keys_by_engine(tree, 1, "many")
    conns = [tree.conn() for _ in range(100)]
    for number, conn in enumerate(conns):
        assert conn("WATCH", a if number % 2 else b) == OK
    assert watchers(tree) == 100
    with tree.conn() as other:
        other.must("SET", a, "x")
    for number, conn in enumerate(conns):
        assert execute(conn, ("INCR", f"n{number}")) == (NULL_ARRAY if number % 2 else [1])
        conn.close()
    eventually(lambda: watchers(tree) == 0)
