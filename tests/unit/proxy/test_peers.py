"""Proxies that ask each other: ids, counts of clients, questions to all, and one that does not answer."""
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.resp import OK, Error, encode, read_reply, words
from proxy.server import ProxyServer
from shardd.base import limits
from shardd.base.log import PROXY, Log
from shardd.base.options import Config
from shardd.net.listen import unix_socket


class One:
    """A proxy without engines, but with its control socket; `turn` lets it do what it can."""

    def __init__(self, run_dir: Path, index: int, proxies: int, generation: int = 0) -> None:
        self.index = index
        config, log = Config.load((), "shardd-proxy"), Log(PROXY, "nothing", "")
        self.server = ProxyServer(config, log, None, index, proxies, run_dir, generation)
        self.errors: list[Any] = []
        self.server.reactor.on_error = lambda where, error: self.errors.append(error)
        self.server.backends.on_warning = self.errors.append
        self.timers: list[tuple[int, Any]] = []
        self.server.backends.schedule = lambda delay_ms, callback: self.timers.append((delay_ms, callback))
        self.path = run_dir / f"proxy-{index}.sock"
        self.server.reactor.listen(unix_socket(str(self.path), 0o600, 8), self.server.accept_control, 8)
        self.clients: list[socket.socket] = []

    def turn(self) -> None:
        self.server.reactor.poll()
        self.server.shared.flush()
        assert not self.errors, self.errors

    def ring(self, longest_ms: int) -> None:
        """The timers of at most that long fire."""
        due = [one for one in self.timers if one[0] <= longest_ms]
        self.timers = [one for one in self.timers if one[0] > longest_ms]
        for _, callback in due:
            callback()

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.server.reactor.attach(theirs, self.server.accept(SimpleNamespace(is_unix=True, peer="", fd=-1)))
        self.clients.append(ours)
        return ours

    @property
    def ids(self) -> list[int]:
        return list(self.server.clients.by_id)

    def close(self) -> None:
        for sock in self.clients:
            sock.close()
        self.server.peers.close()
        self.server.backends.close()
        self.server.reactor.close()


class Tree:
    def __init__(self, run_dir: Path, proxies: int) -> None:
        self.run_dir, self.count = run_dir, proxies
        self.all = [One(run_dir, index, proxies) for index in range(proxies)]
        self.paused: set[int] = set()
        self.news()

    def turn(self) -> None:
        for _ in range(6):
            for one in self.all:
                if one.index not in self.paused:
                    one.turn()

    def news(self) -> None:
        """As many ticks of cron as news need to reach everybody; links that could not connect try again."""
        for _ in range(3):
            for one in self.all:
                if one.index not in self.paused:
                    one.ring(limits.PROXY_RECONNECT_MAX_MS)
                    one.server.check()
            self.turn()

    def ask(self, sock: socket.socket, *args: Any) -> Any:
        sock.sendall(encode(*words(args)))
        self.turn()
        return self.read(sock)

    def read(self, sock: socket.socket) -> Any:
        file = sock.makefile("rb")
        return read_reply(file.readline, file.read)

    def restart(self, index: int) -> One:
        self.all[index].close()
        self.turn()
        self.all[index] = One(self.run_dir, index, self.count, 1)
        self.news()
        return self.all[index]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path, 3)
    yield tree
    for one in tree.all:
        one.close()


def test_every_proxy_finds_the_others(tree):
    assert all(peer.up and peer.answered for one in tree.all for peer in one.server.peers.all)
    assert all(one.server.peers.settled for one in tree.all)


def test_a_proxy_that_comes_late_is_found(tmp_path):
    early = One(tmp_path, 0, 2)
    for _ in range(5):
        early.server.check()
        early.turn()
        early.ring(limits.PROXY_RECONNECT_MAX_MS)
    assert early.server.peers.settled and not early.server.peers.all[0].up
    late = One(tmp_path, 1, 2)
    deadline = time.monotonic() + 10
    while not early.server.peers.all[0].answered:       # the late one says nothing by itself
        assert time.monotonic() < deadline
        time.sleep(0.01)
        early.ring(limits.PROXY_RECONNECT_MAX_MS)
        early.server.check()
        for one in (early, late):
            one.turn()
    for one in (early, late):
        one.close()


def test_a_proxy_alone_asks_nobody(tmp_path):
    one = One(tmp_path, 0, 1)
    one.server.check()
    assert one.server.peers.all == [] and one.server.peers.settled and one.server.peers.elsewhere == 0
    one.close()


def test_ids_are_unique_and_grow_with_the_news(tree):
    a, b, c = tree.all
    for _ in range(5):
        a.connect()
    tree.turn()
    assert a.ids == [1, 4, 7, 10, 13]
    tree.news()
    b.connect()
    c.connect()
    tree.turn()
    assert b.ids == [14] and c.ids == [15]
    tree.news()
    a.connect()
    tree.turn()
    assert a.ids[-1] == 16


def test_ids_stay_where_nobody_connects(tree):
    tree.all[0].connect()
    for _ in range(20):
        tree.news()
    assert [one.server.clients.next_id for one in tree.all] == [4, 2, 3]


def test_an_id_that_comes_and_goes_between_two_news_counts(tree):
    a, b, _ = tree.all
    a.connect().close()
    tree.turn()
    assert a.ids == []
    tree.news()
    b.connect()
    tree.turn()
    assert b.ids == [2]


def test_a_proxy_that_is_started_again_has_ids_of_its_own(tree):
    a, b, _ = tree.all
    b.connect()
    tree.news()
    b.connect()         # the others have not heard of this one when b dies
    tree.turn()
    again = tree.restart(1)
    again.connect()
    tree.turn()
    assert again.ids == [2 + 3 * limits.CLIENT_IDS_OF_PROCESS]
    tree.news()
    a.connect()
    tree.turn()
    assert a.ids == [4 + 3 * limits.CLIENT_IDS_OF_PROCESS], "and those of the others are above them"


def test_counts_of_clients_go_round_and_bound_all_together(tree):
    a, b, c = tree.all
    for one in (a, a, b):
        one.connect()
    tree.news()
    assert [one.server.peers.elsewhere for one in tree.all] == [1, 2, 3]
    for one in tree.all:
        one.server.config.set_many([(b"maxclients", b"3")], local=True)
    refused = SimpleNamespace(is_unix=True, peer="", fd=-1)
    assert c.server.limits.refuses(refused)
    a.clients.pop().close()
    tree.news()
    assert not c.server.limits.refuses(refused)


def test_a_question_goes_to_all_others(tree):
    socks = [one.connect() for one in tree.all]
    tree.turn()
    lines = tree.ask(socks[0], "CLIENT", "LIST").decode().splitlines()
    assert [line.split()[0] for line in lines] == ["id=1", "id=2", "id=3"]
    assert tree.ask(socks[2], "CLIENT", "KILL", "ID", 1) == 1
    assert tree.all[0].ids == []
    assert tree.ask(socks[2], "CLIENT", "KILL", "nobody:1") == Error("ERR No such client")
    assert tree.ask(socks[2], "CLIENT", "KILL", "ID", "x") == Error("ERR client-id should be greater than 0")


def test_who_is_gone_is_left_out(tree):
    sock = tree.all[0].connect()
    tree.all[1].connect()
    tree.turn()
    tree.all[1].close()
    tree.paused.add(1)
    tree.turn()
    assert tree.ask(sock, "CLIENT", "LIST").count(b"id=") == 1
    tree.news()
    assert tree.all[0].server.peers.elsewhere == 0


def test_who_does_not_answer_is_an_error(tree):
    sock = tree.all[0].connect()
    tree.turn()
    tree.paused.add(2)
    sock.sendall(encode("CLIENT", "LIST"))
    tree.turn()
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    tree.all[0].ring(limits.PROXY_PEER_MS)
    tree.turn()
    assert tree.read(sock) == Error("ERR proxy 2 does not answer")
    tree.paused.clear()
    tree.turn()
    assert tree.ask(sock, "CLIENT", "SETNAME", "x") == OK, "the late answer is nobody's"


def test_what_makes_no_sense_is_refused_on_the_control_socket(tree):
    control = socket.socket(socket.AF_UNIX)
    control.connect(str(tree.all[0].path))
    control.setblocking(False)
    for bad in ("SHARDD CLIENT", "SHARDD CLIENT NOSUCH", "SHARDD PEER 1", "SHARDD PEER x y z"):
        assert isinstance(tree.ask(control, bad), Error), bad
    control.close()
