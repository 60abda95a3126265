"""The loop against a server that the test itself is: it reads what came and answers when it likes, in one thread."""
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from bench.load import workload
from bench.load.driver import Driver
from bench.load.intake import Intake, ReplyError
from bench.load.keys import Keys
from bench.load.script import Script
from bench.load.workload import Template, words_of
from shardd.base.clock import mono_ns
from shardd.structures.slots import slot_of
from shardd.wire.request import RequestFeed

MS = 1_000_000


class Peer:
    """The servers' ends of a driver's connections."""

    def __init__(self) -> None:
        self.socks: list[socket.socket] = []
        self.feeds: list[RequestFeed] = []

    def connect(self, driver: Driver, node: int = 0) -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        self.socks.append(ours)
        self.feeds.append(RequestFeed())
        driver.add_link(theirs.detach(), node)

    def take(self, index: int) -> list[list[bytes]]:
        """The requests that came over one connection."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while data := self.socks[index].recv(1 << 20):
                found += self.feeds[index].feed(data)[0]
        return found

    def answer(self, reply: bytes = b"+OK\r\n") -> list[list[bytes]]:
        """Answer everything; returns it."""
        found = []
        for index, sock in enumerate(self.socks):
            requests = self.take(index)
            found += requests
            sock.sendall(reply * len(requests))
        return found


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    for sock in peer.socks:
        sock.close()


def driver(peer: Peer, *texts: str, pipeline: int = 1, links: int = 1, nodes: int = 0, **keys) -> Driver:
    templates = [Template(f"c{i}", words_of(text)) for i, text in enumerate(texts or ("GET __key__",))]
    script = Script([workload.compiled(template) for template in templates],
                    Keys(**{"keys": 1000, "kind": "sequential"} | keys), workload.values(3, 0), (3, 3))
    made = Driver(script, Intake([t.name for t in templates], [b""] * len(templates)), pipeline, nodes)
    for node in range(max(1, nodes)):
        for _ in range(links):
            peer.connect(made, node)
    return made


def step(made: Driver, ms: float = 1.0) -> bool:
    return made.run(mono_ns() + int(ms * MS))


def test_who_is_late_looks_once_all_the_same(peer):
    made = driver(peer, pipeline=4)
    made.limit(4)
    assert not made.run(mono_ns() - 1)
    assert len(peer.answer()) == 4
    assert made.run(mono_ns() - 1) and made.done == 4


def test_a_closed_loop_waits_for_all_replies_of_a_pipeline(peer):
    made = driver(peer, pipeline=4)
    made.limit(10)
    assert not step(made)
    assert peer.take(0) == [[b"GET", b"key:%012d" % i] for i in range(4)]
    peer.socks[0].sendall(b"+OK\r\n" * 3 + b"+O")
    assert not step(made) and made.done == 3 and peer.take(0) == []
    peer.socks[0].sendall(b"K\r\n")
    assert not step(made) and made.outstanding == 4
    assert [words[1] for words in peer.answer()] == [b"key:%012d" % i for i in range(4, 8)]
    assert not step(made)
    assert len(peer.answer()) == 2, "the rest of ten"
    assert step(made)
    assert (made.sent, made.done, made.outstanding, made.latencies()[0].count) == (10, 10, 0, 10)


def test_in_a_closed_loop_a_stall_is_one_batch(peer):
    made = driver(peer, pipeline=2)
    made.limit(4)
    step(made)
    time.sleep(0.4)
    peer.answer()
    step(made)
    peer.answer()
    assert step(made)
    histogram = made.latencies()[0]
    assert histogram.count == 4 and histogram.count - histogram.count_upto(390 * MS) == 2


@pytest.mark.parametrize("pipeline, links", [(1, 1), (8, 3)])
def test_at_a_rate_a_stall_is_felt_by_all_who_were_due_in_it(peer, pipeline, links):
    """Coordinated omission: 1,000 commands a second, and the server answers nothing for 200 ms."""
    made = driver(peer, pipeline=pipeline, links=links)
    start_ns = mono_ns()
    made.at_rate(1000, start_ns)
    made.stop_at(start_ns + 200 * MS)
    while mono_ns() < start_ns + 200 * MS:
        assert not step(made)
    assert made.sent == pipeline * links, "no connection has room for more"
    while not step(made):
        peer.answer()
    histogram = made.latencies()[0]
    assert histogram.count == 200
    late = [histogram.count - histogram.count_upto(ms * MS) for ms in (150, 100, 50)]
    assert late[0] >= 49 and late[1] >= 99 and late[2] >= 149, "command k waited 200 - k ms at least"
    assert histogram.max >= 199 * MS
    lateness = made.lateness()
    assert lateness.count == 200 and lateness.count - lateness.count_upto(100 * MS) >= 100 - 2 * pipeline * links


def test_what_never_came_counts_too(peer):
    made = driver(peer, pipeline=2)
    start_ns = mono_ns()
    made.at_rate(1000, start_ns)
    made.stop_at(start_ns + 50 * MS)
    made.run(start_ns + 60 * MS)
    now_ns = mono_ns()
    assert made.give_up(now_ns) == (2, 48)
    histogram = made.latencies()[0]
    assert histogram.count == 50 and histogram.min >= 10 * MS
    assert histogram.max == pytest.approx(now_ns - start_ns, rel=0.01)


def test_a_rate_is_kept(peer):
    made = driver(peer, links=4, pipeline=16)
    start_ns = mono_ns()
    made.at_rate(2000, start_ns)
    made.stop_at(start_ns + 100 * MS)
    while not step(made, 0.2):
        peer.answer()
    assert made.done == 200, "one every half millisecond, the first at once"


def test_commands_leave_when_they_are_due(peer):
    for wait_ms, count in ((3_600_000, 0), (20, 5)):
        made = driver(peer, pipeline=16)
        made.at_rate(1e9, mono_ns() + wait_ms * MS)
        made.limit(5)
        made.run(mono_ns() + 50 * MS)
        assert len(peer.take(-1)) == made.sent == count


def test_poisson_gaps(peer):
    made = driver(peer, pipeline=4096, kind="uniform", seed=6)
    now_ns = mono_ns()
    made.at_rate(20_000, now_ns - 100 * MS, poisson=True)
    made.stop_at(now_ns)
    step(made)
    assert abs(made.sent - 2000) < 5 * 2000 ** 0.5


def test_the_load_is_spread_over_connections(peer):
    made = driver(peer, links=5, pipeline=8)
    made.at_rate(1e9, mono_ns() - 1)
    made.limit(20)
    step(made)
    assert [len(peer.take(index)) for index in range(5)] == [4] * 5


def test_a_mix_has_latencies_by_command(peer):
    made = driver(peer, "GET __key__", "PING", pipeline=50)
    made.limit(50)
    step(made)
    requests = peer.answer()
    assert step(made)
    assert [histogram.count for histogram in made.latencies()] == [
        sum(words[0] == name for words in requests) for name in (b"GET", b"PING")]


def test_what_the_kernel_does_not_take_is_sent_later(peer):
    made = driver(peer, "SET __key__ " + "x" * 100_000, pipeline=20)
    made.limit(40)
    found: list[list[bytes]] = []
    for _ in range(1000):
        done = step(made)
        found += peer.answer()
        if done:
            break
    assert [words[1] for words in found] == [b"key:%012d" % i for i in range(40)]
    assert all(words[2] == b"x" * 100_000 for words in found)


def owners(middle: int) -> list[int]:
    return [int(slot >= middle) for slot in range(16384)]


@pytest.mark.parametrize("rate", [None, 1e9])
def test_a_cluster_s_commands_go_to_the_owner_and_none_is_lost(peer, rate):
    made = driver(peer, pipeline=8, links=2, nodes=2, keys=500)
    made.set_slots(owners(4096))
    if rate:
        made.at_rate(rate, mono_ns())
    made.limit(500)
    found: list[list[bytes]] = []
    done = False
    while not done:
        done = step(made)
        for index, sock in enumerate(peer.socks):
            requests = peer.take(index)
            assert all((slot_of(words[1]) >= 4096) == (index >= 2) for words in requests)
            found += requests
            sock.sendall(b"+OK\r\n" * len(requests))
    assert sorted(words[1] for words in found) == [b"key:%012d" % i for i in range(500)]


def test_slots_that_move(peer):
    made = driver(peer, pipeline=4, nodes=2)
    made.set_slots([0] * 16384)
    made.limit(8)
    step(made)
    assert (len(peer.take(0)), len(peer.take(1))) == (4, 0)
    made.set_slots([1] * 16384)
    step(made)
    assert len(peer.take(1)) == 4


@pytest.mark.parametrize("reply, error", [(b"what?\r\n", ReplyError), (b"+OK\r\n+OK\r\n", ReplyError),
                                          (None, ConnectionResetError)])
def test_a_server_that_misbehaves(peer, reply, error):
    made = driver(peer)
    made.limit(3)
    step(made)
    if reply is None:
        peer.take(0)
        peer.socks[0].close()
    else:
        peer.answer(reply)
    with pytest.raises(error):
        step(made)


def test_a_warm_up_is_forgotten(peer):
    made = driver(peer)
    for _ in range(3):
        step(made)
        peer.answer(b"-ERR x\r\n")
    step(made)
    made.reset()
    assert (made.done, made.sent, made.intake.errors, made.latencies()[0].count) == (0, 1, 0, 0)
    made.limit(0)
    peer.answer()
    assert step(made) and made.done == 1


def test_a_live_look_takes_what_came_since(peer):
    made = driver(peer, pipeline=3)
    made.limit(3)
    step(made)
    peer.answer()
    assert step(made)
    assert (made.take_live().count, made.take_live().count) == (3, 0)


@pytest.mark.parametrize("build, error", [
    (lambda made: made.set_slots([0] * 16384), "no cluster"), (lambda made: made.at_rate(0, 0), "above 0"),
    (lambda made: made.add_link(0, 1), "no node"),
    (lambda made: Driver(made.script, made.intake, 0), "pipeline")])
def test_what_a_driver_refuses(peer, build, error):
    with pytest.raises(ValueError, match=error):
        build(driver(peer))


def test_replies_that_come_in_many_pieces(peer):
    """An aggregate is kept until it is whole, a bulk string is counted down; both longer than a read."""
    made = driver(peer, "MGET __key__")
    made.limit(3)
    values = b"*3\r\n" + b"$700000\r\n" + b"v" * 700_000 + b"\r\n$-1\r\n*1\r\n:5\r\n"
    bulk = b"$900000\r\n" + b"b" * 900_000 + b"\r\n"
    for reply in (values, bulk, values):
        step(made)
        assert len(peer.take(0)) == 1
        done = made.done
        for at in range(0, len(reply), 50_001):
            assert made.done == done
            peer.socks[0].sendall(reply[at:at + 50_001])
            step(made)
        assert made.done == done + 1
    assert step(made) and made.bytes_in == 2 * len(values) + len(bulk)
