"""Lanes, links that step aside for large replies, back-pressure, and links that are lent."""
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.resp import OK, Error, Status, encode
from proxy.merge import Ask
from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError
from unit.proxy.rig import Client, Engine, Rig

LARGE = 4 * limits.PROXY_LARGE_REPLY_BYTES_MIN
HUGE = 4 * limits.PROXY_UNSENT_BYTES_MAX


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def unsent(engine: Engine) -> int:
    """Bytes that an engine has not got rid of."""
    return sum(len(due) for due in engine._due.values())


# --- lanes --------------------------------------------------------------------------------------------------------

def test_a_long_command_holds_up_nobody(rig):
    a = rig.engines[0]
    slow, quick = rig.client(), rig.client()
    slow.send("KEYS", "*")
    long_link = a.heard
    quick.send("GET", rig.key(0))
    assert a.heard is not long_link
    a.reply(bulk(b"v"))
    assert quick.read() == b"v"
    a.reply(b"*1\r\n" + bulk(b"k"), long_link)
    rig.engines[1].reply(b"*0\r\n")
    assert slow.read() == [b"k"]


@pytest.mark.parametrize(("command", "lane"), [
    (["GET", "k"], "shared"), (["DBSIZE"], "shared"), (["MGET", "a", "b"], "shared"),
    (["KEYS", "*"], "long"), (["FLUSHALL"], "long"), (["FLUSHDB", "SYNC"], "long"), (["SCAN", "0"], "long"),
    (["RANDOMKEY"], "long"), (["INFO"], "control"), (["SLOWLOG", "GET"], "control"),
    (["CONFIG", "GET", "*"], "control"),
    (["MEMORY", "PURGE"], "control"), (["LATENCY", "RESET"], "control"),
])
def test_which_lane(rig, command, lane):
    for resp in (2, 3):
        c = rig.client()
        c("HELLO", resp)
        before = {link for engine in rig.server.engines for link in engine.links() if link.in_flight}
        c.send(*command)
        busy = {link for engine in rig.server.engines for link in engine.links() if link.in_flight} - before
        assert {(link.lane_name, link.resp) for link in busy} == {(lane, resp)}


def test_a_client_that_changes_lanes_waits_for_what_is_in_flight(rig):
    a, b = rig.engines
    c = rig.client()
    c.raw(encode("SET", rig.key(0), "v") + encode("KEYS", "*") + encode("GET", rig.key(0)))
    assert a.take() == [[b"SET", rig.key(0), b"v"]] and b.take() == []
    a.reply(b"+OK\r\n")
    assert c.read() == OK
    assert a.take() == [[b"KEYS", b"*"]] and b.take() == [[b"KEYS", b"*"]]
    b.reply(b"*0\r\n")
    rig.turn()
    assert a.take() == []
    a.reply(b"*0\r\n")
    assert c.read() == []
    assert a.take() == [[b"GET", rig.key(0)]]


def test_what_is_answered_here_changes_no_lane(rig):
    c = rig.client()
    c.raw(encode("GET", rig.key(0)) + encode("PING") + encode("GET", rig.key(0)))
    assert len(rig.engines[0].take()) == 2


# --- stepping aside -----------------------------------------------------------------------------------------------

def test_a_large_reply_does_not_hold_up_new_commands(rig):
    a = rig.engines[0]
    slow, quick = rig.client(), rig.client()
    slow.send("GET", rig.key(0))
    first = a.heard
    raw = bulk(b"x" * LARGE)
    a.reply(raw[:100_000])
    slow.pull()
    quick.send("GET", rig.key(0))
    assert a.heard is not first, "it goes another way"
    a.reply(bulk(b"v"))
    assert quick.read() == b"v"
    a.reply(raw[100_000:], first)
    assert slow.read() == b"x" * LARGE
    assert rig.server.backends.rotations == 1
    assert rig.server.engines[0].private == [] and len(rig.server.engines[0].idle) == 1


def test_a_long_array_of_small_elements_is_large_too(rig):
    a = rig.engines[0]
    c = rig.client()
    c.send("LRANGE", rig.key(0), "0", "-1")
    raw = b"*200000\r\n" + b":1\r\n" * 200_000
    a.reply(raw[:50_000])
    c.pull()
    assert rig.server.backends.rotations == 1
    a.reply(raw[50_000:])
    assert c.read() == [1] * 200_000


def test_a_reply_of_which_much_has_come_is_large(rig):
    """Of an array of strings nobody knows how much is still to come."""
    a = rig.engines[0]
    c = rig.client()
    c.send("MGET", rig.key(0))
    raw = b"*100\r\n" + bulk(b"x" * 10_000) * 100
    for at in range(0, len(raw), 60_000):
        a.reply(raw[at:at + 60_000])
        c.pull()
    assert c.read() == [b"x" * 10_000] * 100
    assert rig.server.backends.rotations == 1


def test_a_client_with_commands_behind_the_large_reply_waits_before_it_goes_another_way(rig):
    a = rig.engines[0]
    slow, behind, new = rig.client(), rig.client(), rig.client()
    slow.send("GET", rig.key(0))
    behind.send("SET", rig.key(0), "1")
    first = a.heard
    raw = bulk(b"x" * LARGE)
    a.reply(raw[:100_000])
    rig.turn()
    a.take()
    behind.send("GET", rig.key(0))
    assert a.take() == [], "it could overtake the SET"
    new.send("GET", rig.key(0))
    assert len(a.take()) == 1
    a.reply(bulk(b"new"))
    assert new.read() == b"new"
    a.reply(raw[100_000:] + b"+OK\r\n", first)
    slow.pull()
    assert behind.read() == OK
    assert a.take() == [[b"GET", rig.key(0)]] and a.heard is not first
    a.reply(bulk(b"1"))
    assert behind.read() == b"1"


def test_a_split_command_behind_the_large_reply_holds_its_client_too(rig):
    a, b = rig.engines
    slow, behind = rig.client(), rig.client()
    slow.send("GET", rig.key(0))
    behind.send("DEL", rig.key(0), rig.key(1))
    first = a.heard
    b.reply(b":1\r\n")
    a.reply(bulk(b"x" * LARGE)[:100_000])
    rig.turn()
    a.take()
    behind.send("GET", rig.key(0))
    assert a.take() == []
    a.reply(bulk(b"x" * LARGE)[100_000:] + b":1\r\n", first)
    slow.pull()
    assert behind.read() == 2
    assert a.take() == [[b"GET", rig.key(0)]]


def test_links_that_stepped_aside_are_used_again(rig):
    a, c = rig.engines[0], rig.client()
    for _ in range(5):
        c.send("GET", rig.key(0))
        raw = bulk(b"x" * LARGE)
        a.reply(raw[:100_000])
        c.pull()
        a.reply(raw[100_000:])
        assert c.read() == b"x" * LARGE
    assert rig.server.backends.rotations == 5
    assert len(a.links) == 2


def test_links_that_stepped_aside_are_bounded(rig):
    a = rig.engines[0]
    clients = [rig.client() for _ in range(limits.PROXY_PRIVATE_LINKS_MAX + 3)]
    raw = bulk(b"x" * LARGE)
    for c in clients[:-2]:
        c.send("GET", rig.key(0))
        a.reply(raw[:100_000])
        c.pull()
    engine = rig.server.engines[0]
    assert len(engine.private) == limits.PROXY_PRIVATE_LINKS_MAX
    last, first = a.heard, a.links[0]
    clients[-1].send("GET", rig.key(0))
    assert a.heard is last, "there is no other one"
    for link in a.links:
        a.reply(raw[100_000:], link)
    a.reply(bulk(b"v"), last)
    for c in clients[:-2]:
        assert c.read() == b"x" * LARGE
    assert clients[-1].read() == b"v"
    assert first is not last and len(engine.idle) == limits.PROXY_PRIVATE_LINKS_MAX and engine.private == []
    for _ in range(limits.PROXY_PRIVATE_LINKS_MAX):
        rig.server.check()
        rig.turn()
    assert len(engine.idle) == limits.PROXY_IDLE_LINKS_KEPT, "they end one by one"


def test_a_private_link_that_dies_leaves_the_others_alone(rig):
    a = rig.engines[0]
    slow, behind, other = rig.client(), rig.client(), rig.client()
    slow.send("GET", rig.key(0))
    behind.send("GET", rig.key(0))
    first = a.heard
    a.reply(bulk(b"x" * LARGE)[:100_000])
    slow.pull()
    other.send("GET", rig.key(0))
    a.links.remove(first)
    first.close()
    rig.turn()
    assert slow.closed, "half a reply is out"
    assert behind.read() == Error("ERR engine 0 is down, the command may or may not have been executed")
    a.reply(bulk(b"v"))
    assert other.read() == b"v"
    assert rig.server.engines[0].private == [] and rig.server.engines[0].idle == []


def test_what_a_private_link_had_not_sent_is_sent_when_it_connects_again(rig):
    a = rig.engines[0]
    slow, other = rig.client(), rig.client()
    slow.send("GET", rig.key(0))
    first = a.heard
    held, rig.engines[:] = list(rig.engines), []        # nobody reads the link now
    raw, sent = encode("SET", rig.key(0), b"x" * 4_000_000), 0
    other.sock.setblocking(False)
    while sent < len(raw):
        try:
            sent += other.sock.send(raw[sent:])
        except BlockingIOError:
            pass
        rig.turn()
    first.send(bulk(b"x" * LARGE)[:100_000])
    slow.pull()
    assert len(rig.server.engines[0].private) == 1
    rig.engines[:] = held
    a.links.remove(first)
    first.close()
    rig.turn()
    assert slow.closed and other.nothing()
    time.sleep(2 * limits.PROXY_RECONNECT_MIN_MS / 1000)
    rig.ring()
    for _ in range(200):
        rig.turn()
    assert [request[0] for request in a.take() if request[0] != b"GET"] == [b"SET"]
    a.reply(b"+OK\r\n")
    assert other.read() == OK
    assert rig.server.engines[0].private == []


# --- back-pressure ------------------------------------------------------------------------------------------------

def held_bytes(c: Client) -> int:
    """What the proxy has of a client's replies."""
    return c.session.transport.out_len + c.session.held_bytes


def test_a_client_that_does_not_read_leaves_its_replies_with_the_engine(rig):
    a, slow, other = rig.engines[0], rig.client(), rig.client()
    value = b"x" * HUGE
    slow.raw(encode("GET", rig.key(0)) * 10)
    first = a.heard
    a.reply(bulk(value) * 10)
    rig.turn()
    assert held_bytes(slow) < 2 * limits.PROXY_UNSENT_BYTES_MAX
    assert unsent(a) > 9 * HUGE
    other.send("GET", rig.key(0))
    assert a.heard is not first
    a.reply(bulk(b"v"))
    assert other.read() == b"v"
    for _ in range(10):
        assert slow.read() == value
    assert unsent(a) == 0
    slow.send("GET", rig.key(0))
    a.reply(bulk(b"next"))
    assert slow.read() == b"next"


def test_while_others_wait_behind_them_a_slow_clients_replies_are_taken(rig):
    a, slow, other = rig.engines[0], rig.client(), rig.client()
    slow.raw(encode("GET", rig.key(0)) * 3)
    other.send("GET", rig.key(0))
    slow.raw(encode("GET", rig.key(0)) * 3)
    raw = bulk(b"x" * HUGE)
    a.reply(raw * 3 + bulk(b"v") + raw * 3)
    assert other.read() == b"v"
    assert held_bytes(slow) > 2 * HUGE, "they were in the way"
    assert unsent(a) > 2 * HUGE, "these are not"
    for _ in range(6):
        assert slow.read() == b"x" * HUGE


def test_a_large_reply_that_is_not_first_waits_at_the_engine(rig):
    a, b = rig.engines
    c = rig.client()
    c.raw(encode("GET", rig.key(0)) + encode("GET", rig.key(1)) * 3)
    value = b"x" * HUGE
    b.reply(bulk(value) * 3)
    rig.turn()
    assert c.nothing() and held_bytes(c) < limits.PROXY_UNSENT_BYTES_MAX
    assert unsent(b) > 2 * HUGE
    a.reply(bulk(b"first"))
    assert c.read() == b"first"
    for _ in range(3):
        assert c.read() == value


def test_large_replies_of_both_engines_in_turn(rig):
    a, b = rig.engines
    c = rig.client()
    c.raw((encode("GET", rig.key(0)) + encode("GET", rig.key(1))) * 4)
    a.reply(bulk(b"a" * HUGE) * 4)
    b.reply(bulk(b"b" * HUGE) * 4)
    for _ in range(4):
        assert c.read() == b"a" * HUGE
        assert c.read() == b"b" * HUGE
    assert all(engine.private == [] for engine in rig.server.engines)


def test_a_slow_client_that_leaves_lets_its_link_go_on(rig):
    a, slow = rig.engines[0], rig.client()
    slow.raw(encode("GET", rig.key(0)) * 3)
    a.reply(bulk(b"x" * HUGE) * 3)
    rig.turn()
    assert unsent(a) > HUGE
    slow.close()
    for _ in range(50):
        rig.turn()
    assert unsent(a) == 0
    assert rig.server.engines[0].private == [] and len(rig.server.engines[0].idle) == 1


def test_an_engine_that_dies_while_its_link_is_not_read(rig):
    a, slow = rig.engines[0], rig.client()
    slow.raw(encode("GET", rig.key(0)) * 3)
    a.reply(bulk(b"x" * HUGE) * 3)
    rig.turn()
    a.die()
    rig.turn()
    assert slow.closed
    assert rig.server.engines[0].private == []


def test_what_was_redirected_is_not_waited_for_behind_a_later_reply(rig):
    """The client's first reply comes over the link of its second, behind that: reading must go on."""
    a, b = rig.engines
    c = rig.client()
    c.raw(encode("GET", rig.key(0)) + encode("GET", rig.key(1)))
    b_link = b.heard
    a.reply(b"-MOVED 1 127.0.0.1:%d\r\n" % b.info.port)
    rig.turn()
    assert b.heard is b_link
    b.reply(bulk(b"x" * HUGE) + bulk(b"first"))
    assert c.read() == b"first"
    assert c.read() == b"x" * HUGE


def test_parts_of_a_joined_reply_come_in_pieces(rig):
    a, b = rig.engines
    c = rig.client()
    c.send("MGET", rig.key(0), rig.key(1))
    a.reply(b"*1\r\n" + bulk(b"a" * LARGE))
    raw = b"*1\r\n" + bulk(b"b" * LARGE)
    b.reply(raw[:LARGE // 2])
    rig.turn()
    assert rig.server.outbox.held_bytes > LARGE
    b.reply(raw[LARGE // 2:])
    assert c.read() == [b"a" * LARGE, b"b" * LARGE]
    rig.turn()
    assert rig.server.outbox.held_bytes == 0


def test_an_engine_that_dies_in_a_part_is_an_error_and_not_the_end_of_the_client(rig):
    a, b = rig.engines
    c = rig.client()
    c.send("MGET", rig.key(0), rig.key(1))
    a.reply(b"*1\r\n" + bulk(b"a" * LARGE))
    b.reply((b"*1\r\n" + bulk(b"b" * LARGE))[:LARGE // 2])
    rig.turn()
    b.die()
    assert c.read() == Error("ERR engine 1 is down, the command may or may not have been executed")
    assert c("PING") == Status("PONG")


# --- lending ------------------------------------------------------------------------------------------------------

def run(rig: Rig, steps: Any) -> None:
    rig.server.run(steps)
    rig.server.shared.flush()
    rig.turn()


def test_a_borrowed_connection_is_its_borrowers_alone(rig):
    a, seen = rig.engines[0], []
    engine = rig.server.engines[0]

    async def steps() -> None:
        link = engine.borrow()
        seen.extend(await Ask([(link, [b"ONE"])]))
        seen.extend(await Ask([(link, [b"TWO"])], db=3))
        engine.give_back(link)

    run(rig, steps())
    assert a.take() == [[b"ONE"]]
    mine = a.heard
    c = rig.client()
    c.send("GET", rig.key(0))
    c.send("KEYS", "*")
    assert a.heard is not mine
    a.reply(b"+1\r\n", mine)
    rig.turn()
    assert [b"TWO"] in a.take() and a.heard is mine
    a.reply(b"+OK\r\n+2\r\n", mine)
    rig.turn()
    assert seen == [Status("1"), Status("2")]
    assert not engine.lent and len(engine.idle) == 1
    again = engine.borrow()
    assert engine.idle == [] and engine.lent == {again}
    engine.give_back(again)


def test_an_idle_connection_that_is_closing_is_lent_to_nobody(rig):
    """Cron closes idle connections that are too many; the reactor ends them a little later."""
    backends = rig.server.backends
    engine = backends.engines[0]
    links = [engine.borrow() for _ in range(limits.PROXY_IDLE_LINKS_KEPT + 1)]
    for link in links:
        link.retry_now()
    rig.turn()
    for link in links:
        engine.give_back(link)
    assert len(engine.idle) == len(links)
    backends.check(mono_ms())
    found = [engine.borrow() for _ in links]
    assert sum(link in links for link in found) == limits.PROXY_IDLE_LINKS_KEPT
    rig.turn()
    assert not any(link.broken for link in found)


def test_a_borrowed_connection_that_is_lost_is_lost_for_good(rig):
    a, seen = rig.engines[0], []
    engine = rig.server.engines[0]

    async def steps() -> None:
        link = engine.borrow()
        for word in (b"ONE", b"TWO", b"THREE"):
            seen.extend(await Ask([(link, [word])]))
        engine.give_back(link)

    run(rig, steps())
    a.reply(b"+1\r\n")
    rig.turn()
    a.links.remove(a.heard)
    a.heard.close()
    rig.turn()
    assert [str(one) for one in seen] == [
        "1", "ERR engine 0 is down, the command may or may not have been executed",
        "CLUSTERDOWN engine 0 is down, the command was not executed"]
    assert not engine.lent and engine.idle == []
    assert a.take() == [[b"ONE"], [b"TWO"]]


def test_a_borrowed_connection_may_wait_for_its_engine(rig):
    a, seen = rig.engines[0], []
    a.die()
    rig.turn()
    engine = rig.server.engines[0]

    async def steps() -> None:
        link = engine.borrow()
        seen.extend(await Ask([(link, [b"ONE"])]))
        engine.give_back(link)

    run(rig, steps())
    assert seen == []
    a.listen()
    time.sleep(2 * limits.PROXY_RECONNECT_MIN_MS / 1000)
    rig.ring()
    a.reply(b"+1\r\n")
    rig.turn()
    assert seen == [Status("1")]
    assert len(engine.idle) == 1


def test_what_is_given_back_in_the_middle_is_closed(rig):
    engine = rig.server.engines[0]
    seen: list[Any] = []

    async def steps() -> None:
        link = engine.borrow()
        seen.append(link)
        seen.extend(await Ask([(link, [b"ONE"])]))

    run(rig, steps())
    engine.give_back(seen[0])
    rig.turn()
    assert str(seen[1]).startswith("ERR engine 0 is down")
    assert engine.idle == [] and not engine.lent


def test_lent_connections_are_bounded(rig):
    engine = rig.server.engines[0]
    links = [engine.borrow() for _ in range(limits.PROXY_LENT_LINKS_MAX)]
    with pytest.raises(CommandError, match="overloaded"):
        engine.borrow()
    for link in links:
        engine.give_back(link)
    assert not engine.lent and engine.idle == []
