"""Links under faults: engines that die, come back, redirect, or send nonsense."""
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.resp import OK, Error, Status, encode
from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.cluster.topology import Topology
from unit.proxy.rig import Rig

DOWN = Error("ERR engine 0 is down, the command may or may not have been executed")
NOT_SENT = Error("CLUSTERDOWN engine 0 is down, the command was not executed")


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def wait(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)


def test_commands_in_flight_get_an_error_and_other_slots_do_not_notice(rig):
    a, b = rig.engines
    c = rig.client()
    c.raw(encode("SET", rig.key(0), "1") + encode("SET", rig.key(1), "1") + encode("GET", rig.key(0)))
    a.die()
    rig.turn()
    assert c.read() == DOWN
    b.reply(b"+OK\r\n")
    assert [c.read(), c.read()] == [OK, DOWN]
    c.send("GET", rig.key(1))
    b.reply(bulk(b"1"))
    assert c.read() == b"1"
    assert rig.server.backends.lost_replies == 2


def test_what_was_answered_before_the_death_is_delivered(rig):
    a, c = rig.engines[0], rig.client()
    c.raw(encode("INCR", rig.key(0)) * 3)
    a.reply(b":1\r\n:2\r\n")
    a.die()
    assert [c.read(), c.read(), c.read()] == [1, 2, DOWN]


def test_a_command_waits_for_an_engine_that_comes_back(rig):
    a, c = rig.engines[0], rig.client()
    a.die()
    rig.turn()
    c("SELECT", 2)
    c.raw(encode("SET", rig.key(0), "1") + encode("GET", rig.key(0)))
    assert c.nothing()
    a.listen()
    wait(2 * limits.PROXY_RECONNECT_MIN_MS)
    rig.ring()
    assert a.take() == [[b"SELECT", b"2"], [b"SET", rig.key(0), b"1"], [b"GET", rig.key(0)]]
    a.reply(b"+OK\r\n+OK\r\n" + bulk(b"1"))
    assert [c.read(), c.read()] == [OK, b"1"]


def test_nothing_is_sent_twice(rig):
    a, c = rig.engines[0], rig.client()
    c.send("INCR", rig.key(0))
    assert len(a.take()) == 1
    a.die()
    rig.turn()
    assert c.read() == DOWN
    a.listen()
    wait(2 * limits.PROXY_RECONNECT_MIN_MS)
    rig.ring()
    c.send("PING")
    assert a.take() == []


def test_a_command_of_which_the_kernel_took_only_a_part_was_not_executed(rig):
    a, c = rig.engines[0], rig.client()
    big = b"x" * 4_000_000
    c.raw(encode("INCR", rig.key(0)))
    assert len(a.take()) == 1
    stalled, rig.engines[:] = list(rig.engines), []       # nobody reads the link now
    c.sock.setblocking(False)
    sent = 0
    raw = encode("SET", rig.key(0), big)
    while sent < len(raw):
        try:
            sent += c.sock.send(raw[sent:])
        except BlockingIOError:
            pass
        rig.turn()
    rig.engines[:] = stalled
    for link in a.links:
        link.close()
    a.links.clear()
    rig.turn()
    assert c.read() == DOWN, "the first one was taken as a whole"
    assert c.nothing()
    wait(2 * limits.PROXY_RECONNECT_MIN_MS)
    rig.ring()
    for _ in range(200):
        rig.turn()
    assert [request[0] for request in a.take()] == [b"SET"]
    a.reply(b"+OK\r\n")
    assert c.read() == OK


def test_what_cannot_be_sent_in_time_is_refused(rig):
    a, c = rig.engines[0], rig.client()
    a.die()
    rig.turn()
    c.raw(encode("SET", rig.key(0), "1") + encode("PING"))
    link = rig.server.engines[0].resp2
    link.check(mono_ms() + limits.PROXY_RETRY_MS // 2)
    assert c.nothing()
    link.check(mono_ms() + limits.PROXY_RETRY_MS + 1)
    assert [c.read(), c.read()] == [NOT_SENT, Status("PONG")]
    a.listen()
    wait(2 * limits.PROXY_RECONNECT_MAX_MS)
    rig.ring()
    assert a.take() == []
    c.send("GET", rig.key(0))
    a.reply(bulk(b"v"))
    assert c.read() == b"v"


def test_too_much_to_wait_is_refused_at_once(rig):
    a, c = rig.engines[0], rig.client()
    a.die()
    rig.turn()
    c.session.transport.in_want = 0
    value = b"x" * (limits.PROXY_HELD_BYTES_MAX // 4)
    clients = [rig.client() for _ in range(6)]
    refused = 0
    for one in clients:
        raw, sent = encode("SET", rig.key(0), value), 0
        while sent < len(raw):
            try:
                sent += one.sock.send(raw[sent:])
            except BlockingIOError:
                pass
            rig.turn()
        if not one.nothing():
            assert one.read() == NOT_SENT
            refused += 1
    assert 1 <= refused < len(clients)


def test_what_waits_counts_not_what_comes(rig):
    """A command that is larger than the bound is no reason to refuse it while there is little else."""
    a, c = rig.engines[0], rig.client()
    a.die()
    rig.turn()
    c.send("GET", rig.key(0))
    rig.turn()
    large = rig.client()
    raw, sent = encode("SET", rig.key(0), b"x" * (limits.PROXY_HELD_BYTES_MAX + 1)), 0
    while sent < len(raw):
        with contextlib.suppress(BlockingIOError):
            sent += large.sock.send(raw[sent:])
        rig.turn()
    assert large.nothing()
    after = rig.client()
    after.send("GET", rig.key(0))
    assert after.read() == NOT_SENT


def test_the_pause_between_attempts_grows(rig):
    rig.engines[0].die()
    rig.turn()
    delays = []
    for _ in range(12):
        delays += [delay for delay, _ in rig.later]
        wait(delays[-1])
        rig.ring()
    assert delays[0] == limits.PROXY_RECONNECT_MIN_MS
    assert delays == sorted(delays) and delays[-1] == limits.PROXY_RECONNECT_MAX_MS


def test_a_large_reply_is_passed_on_in_pieces(rig):
    a, c = rig.engines[0], rig.client()
    c.send("GET", rig.key(0))
    value = bytes(range(256)) * 20_000
    raw = bulk(value)
    a.reply(raw[:100_000])
    c.pull()
    assert len(c.received) > 90_000, "the first bytes do not wait for the last"
    a.reply(raw[100_000:])
    assert c.read() == value


def test_large_aggregates_of_small_elements_in_pieces(rig):
    a, c = rig.engines[0], rig.client()
    elements = [b"%d" % n for n in range(50_000)]
    raw = b"*%d\r\n" % len(elements) + b"".join(bulk(one) for one in elements)
    c.send("MGET", rig.key(0))
    c.send("GET", rig.key(0))
    for at in range(0, len(raw), 33_333):
        a.reply(raw[at:at + 33_333])
        c.pull()
    a.reply(bulk(b"next"))
    assert c.read() == elements
    assert c.read() == b"next"


def test_a_value_that_looks_like_a_redirect_is_a_value(rig):
    a, c = rig.engines[0], rig.client()
    value = b"x" * 40_000 + b"-MOVED 1 127.0.0.1:1\r\n" * 3000
    raw = bulk(value)
    c.send("GET", rig.key(0))
    head = len(raw) - 2 - 22 * 1000
    a.reply(raw[:head])
    c.pull()
    a.reply(raw[head:])
    assert c.read() == value


def test_death_in_the_middle_of_a_passed_on_reply_closes_the_client(rig):
    a, c, other = rig.engines[0], rig.client(), rig.client()
    c.send("GET", rig.key(0))
    other.send("GET", rig.key(0))
    a.reply(b"$1000000\r\n" + b"x" * 200_000)
    c.pull()
    a.die()
    assert c.closed
    assert other.read() == DOWN


def test_a_client_that_leaves_in_the_middle_of_a_reply_does_not_disturb_the_next(rig):
    a, c, other = rig.engines[0], rig.client(), rig.client()
    c.send("GET", rig.key(0))
    other.send("GET", rig.key(0))
    raw = bulk(b"x" * 500_000)
    a.reply(raw[:200_000])
    c.pull()
    c.close()
    a.reply(raw[200_000:] + bulk(b"mine"))
    for _ in range(20):
        rig.turn()
    assert other.read() == b"mine"


@pytest.mark.parametrize("nonsense", [b"hello\r\n", b"\0\0\0", b"$-5\r\n", b"*1\r\n?"])
def test_an_engine_that_sends_no_resp_is_cut_off(rig, nonsense):
    a, c = rig.engines[0], rig.client()
    c.send("GET", rig.key(0))
    a.reply(nonsense)
    assert c.read() == DOWN


def test_a_reply_that_nobody_asked_for_ends_the_link(rig):
    a, c = rig.engines[0], rig.client()
    a.reply(b"+OK\r\n")
    rig.turn()
    wait(2 * limits.PROXY_RECONNECT_MIN_MS)
    rig.ring()
    c.send("GET", rig.key(0))
    a.reply(bulk(b"v"))
    assert c.read() == b"v"


# --- redirects and topologies -------------------------------------------------------------------------------------

def moved(rig: Rig, to: int, kind: bytes = b"MOVED") -> bytes:
    return b"-%b 1 127.0.0.1:%d\r\n" % (kind, rig.engines[to].info.port)


def test_a_moved_is_followed_once(rig):
    a, b = rig.engines
    c, key = rig.client(), rig.key(0)
    c.send("SET", key, "v")
    assert a.take() == [[b"SET", key, b"v"]]
    a.reply(moved(rig, 1))
    rig.turn()
    assert b.take() == [[b"SET", key, b"v"]]
    b.reply(b"+OK\r\n")
    assert c.read() == OK
    assert rig.server.backends.redirected == 1


def test_two_redirects_are_an_error_that_is_no_moved(rig):
    a, b = rig.engines
    c = rig.client()
    c.send("GET", rig.key(0))
    a.reply(moved(rig, 1))
    rig.turn()
    b.reply(moved(rig, 0))
    assert c.read() == Error("CLUSTERDOWN Hash slot not served")


@pytest.mark.parametrize("target", [
    b"-MOVED 1 127.0.0.1:1\r\n", b"-MOVED 1 x\r\n", b"-MOVED 99999 :0\r\n", b"-ASK 1 ?\r\n"])
def test_a_redirect_to_nowhere_is_an_error_that_is_no_moved(rig, target):
    c = rig.client()
    c.send("GET", rig.key(0))
    rig.engines[0].reply(target)
    assert c.read() == Error("CLUSTERDOWN Hash slot not served")


def test_an_ask_is_followed_with_asking(rig):
    a, b = rig.engines
    c, key = rig.client(), rig.key(0)
    c("SELECT", 5)
    c.send("GET", key)
    a.take()
    a.reply(b"+OK\r\n" + moved(rig, 1, b"ASK"))
    rig.turn()
    assert b.take() == [[b"SELECT", b"5"], [b"ASKING"], [b"GET", key]], "ASKING is for the next command only"
    b.reply(b"+OK\r\n+OK\r\n" + bulk(b"v"))
    assert c.read() == b"v"


def test_order_is_kept_over_a_redirect(rig):
    a, b = rig.engines
    c = rig.client()
    c.raw(encode("GET", rig.key(0)) * 3)
    a.reply(bulk(b"1") + moved(rig, 1) + bulk(b"3"))
    assert c.read() == b"1"
    assert c.nothing()
    b.reply(bulk(b"2"))
    assert [c.read(), c.read()] == [b"2", b"3"]


def test_after_a_new_topology_a_client_waits_for_what_is_in_flight(rig):
    a, b = rig.engines
    c, key = rig.client(), rig.key(0)
    c.send("SET", key, "v")
    rig.move(0, 8191, b)
    c.send("GET", key)
    assert b.take() == [], "the SET may still be redirected, and the GET must not overtake it"
    a.take()
    a.reply(b"+OK\r\n")
    assert c.read() == OK
    assert b.take() == [[b"GET", key]]
    b.reply(bulk(b"v"))
    assert c.read() == b"v"


def states(rig: Rig, **state: str) -> None:
    """The next topology: engines by number are in that state."""
    topology = rig.server.topology
    for name, value in state.items():
        topology = topology.with_engine_facts(rig.engines[int(name[1:])].id, state=value)
    rig.install(topology)


def test_a_hung_engine_is_given_up_when_the_supervisor_says_so(rig):
    a, b = rig.engines
    c = rig.client()
    c.send("GET", rig.key(0))
    assert len(a.take()) == 1
    states(rig, e0="down")
    assert c.read() == DOWN
    c.raw(encode("GET", rig.key(0)) + encode("PING"))
    wait(4 * limits.PROXY_RECONNECT_MIN_MS)
    rig.ring()
    assert a.take() == [] and c.nothing(), "it is not asked again before it is up"
    states(rig, e0="up")
    assert a.take() == [[b"GET", rig.key(0)]]
    a.reply(bulk(b"v"))
    assert [c.read(), c.read()] == [b"v", Status("PONG")]


def test_an_engine_that_is_not_up_yet_is_tried_all_the_same():
    rig = Rig(0)
    try:
        rig.add_engine()
        topology = Topology.even([replace(rig.engines[0].info, state="down")])
        rig.install(topology)
        c = rig.client()
        c.send("GET", "k")
        rig.engines[0].reply(bulk(b"v"))
        assert c.read() == b"v"
    finally:
        rig.close()


def test_an_engine_that_joins_serves(rig):
    new = rig.add_engine()
    rig.move(0, 99, new)
    c, key = rig.client(), rig.key(2)
    c.send("GET", key)
    new.reply(bulk(b"v"))
    assert c.read() == b"v"


def test_an_engine_that_leaves_finishes_what_it_has(rig):
    a, b = rig.engines
    c = rig.client()
    c.send("GET", rig.key(0))
    topology = rig.server.topology.with_slots(0, 16383, b.id)
    rig.install(topology.next(engines=(b.info,)))
    a.reply(bulk(b"last"))
    assert c.read() == b"last"
    rig.turn()
    assert a.links == []


def test_an_older_topology_changes_nothing(rig):
    old = rig.server.topology
    rig.move(0, 8191, rig.engines[1])
    assert not rig.server.install_topology(old)
    assert rig.server.topology.epoch == old.epoch + 1


def test_slots_of_nobody(rig):
    c, key = rig.client(), rig.key(0)
    rig.install(rig.server.topology.with_slots(0, 8191, None))
    assert c("GET", key) == Error("CLUSTERDOWN Hash slot not served")
    assert c("MGET", key, rig.key(1)) == Error("CLUSTERDOWN Hash slot not served")


def test_without_a_topology_nothing_hangs():
    rig = Rig(0)
    try:
        c = rig.client()
        assert c("PING") == Status("PONG")
        assert c("GET", "k") == Error("CLUSTERDOWN Hash slot not served")
        for command in (["DBSIZE"], ["FLUSHALL"], ["RANDOMKEY"], ["SCAN", "0"], ["CLUSTER", "SLOTS"]):
            assert c(*command) == Error("CLUSTERDOWN The cluster is down"), command
    finally:
        rig.close()


def test_control_commands(rig):
    c = rig.client()
    c.session.flags |= 256
    assert json.loads(c("SHARDD", "STATUS"))["epoch"] == rig.server.topology.epoch
    assert c("SHARDD", "TOPOLOGY").decode() == rig.server.topology.dumps()
    newer = rig.server.topology.with_slots(0, 10, None)
    assert c("SHARDD", "TOPOLOGY", newer.dumps()) == OK
    assert rig.server.topology.epoch == newer.epoch
    assert c("SHARDD", "TOPOLOGY", "{}").startswith("ERR ")
    assert c("SHARDD", "NOSUCH").startswith("ERR unknown subcommand")
