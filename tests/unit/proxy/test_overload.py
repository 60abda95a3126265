"""proxy-memory-limit and proxy-retry-ms: what is refused when too much is on its way, and what still works."""
from collections.abc import Iterator

import pytest

from harness.resp import OK, Error, Status, encode
from shardd.base import limits
from shardd.base.clock import mono_ms
from unit.proxy.rig import Client, Rig

SHED = Error("OOM command not allowed when the proxy holds more than 'proxy-memory-limit', it was not executed")
NOT_SENT = Error("CLUSTERDOWN engine 0 is down, the command was not executed")


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def limit(rig: Rig, **options: str) -> None:
    rig.server.config.set_many([(name.replace("_", "-").encode(), text.encode()) for name, text in options.items()])


def fill(rig: Rig) -> Client:
    """A client whose request has come in part: half a megabyte of it is held."""
    c = rig.client()
    raw = encode("SET", rig.key(0), b"x" * 1_000_000)
    sent = 0
    while sent < 500_000:
        try:
            sent += c.sock.send(raw[sent:500_000])
        except BlockingIOError:
            pass
        rig.turn()
    c.rest = raw[sent:]
    return c


def test_above_the_limit_commands_for_engines_are_refused(rig):
    limit(rig, proxy_memory_limit="400kb")
    c = rig.client()
    c.send("GET", rig.key(0))
    assert len(rig.engines[0].take()) == 1
    rig.engines[0].reply(bulk(b"v"))
    assert c.read() == b"v"
    big = fill(rig)
    assert rig.server.shared.held_bytes > 400 * 1024
    for command in (["GET", rig.key(0)], ["MGET", rig.key(0), rig.key(1)], ["DBSIZE"], ["KEYS", "*"], ["SCAN", "0"],
                    ["RENAME", rig.key(0), rig.key(1)]):
        assert c(*command) == SHED, command
    assert rig.engines[0].take() == [] and rig.engines[1].take() == []
    assert rig.server.shared.shed == 6
    assert c("PING") == Status("PONG")
    assert c("CLIENT", "ID") > 0 and c("CLIENT", "SETNAME", "x") == OK and c("HELLO", 2) != SHED
    c.send("INFO")
    assert [engine.take()[0][0] for engine in rig.engines] == [b"INFO", b"INFO"], "it has a lane of its own"
    for engine in rig.engines:
        engine.reply(bulk(b"# Server\r\n"))
    assert b"proxy_shed_commands:6" in c.read()
    big.close()
    c.send("GET", rig.key(0))
    rig.engines[0].reply(bulk(b"again"))
    assert c.read() == b"again"
    assert rig.server.shared.held_bytes < 400 * 1024


def test_without_a_limit_nothing_is_refused(rig):
    limit(rig, proxy_memory_limit="0")
    fill(rig)
    c = rig.client()
    c.send("GET", rig.key(0))
    rig.engines[0].reply(bulk(b"v"))
    assert c.read() == b"v"


def test_what_is_held_is_counted_to_the_byte_and_given_back(rig):
    """Requests on links, replies that wait for others, parts of joined ones, left-over input and unsent output."""
    a, b = rig.engines
    before = rig.server.shared.held_bytes
    c, slow, joined = rig.client(), rig.client(), rig.client()
    c.raw(encode("GET", rig.key(0)) + encode("GET", rig.key(1)))
    b.reply(bulk(b"x" * 10_000))
    joined.send("MGET", rig.key(0), rig.key(1))
    b.reply(b"*1\r\n" + bulk(b"y" * 20_000))
    rig.turn()
    assert rig.server.shared.held_bytes - before > 30_000
    a.reply(bulk(b"1") + b"*1\r\n" + bulk(b"2"))
    assert [c.read(), c.read()] == [b"1", b"x" * 10_000]
    assert joined.read() == [b"2", b"y" * 20_000]
    for _ in range(3):
        slow.send("GET", rig.key(0))
        a.reply(bulk(b"z" * 200_000))
        rig.turn()
    assert rig.server.shared.held_bytes - before > 200_000
    for _ in range(3):
        assert slow.read() == b"z" * 200_000
    big = fill(rig)
    assert rig.server.shared.held_bytes - before > 500_000
    for one in (c, slow, joined, big):
        one.close()
    rig.turn()
    links = sum(32 * 1024 for _ in a.links + b.links)       # each keeps a small buffer
    assert rig.server.shared.held_bytes - before <= links
    assert rig.server.outbox.held_bytes == 0 and rig.server.reactor.buffer_bytes == 0


def test_commands_that_no_engine_took_leave_nothing_on_the_account(rig):
    """A link is borrowed for each, and never stands."""
    a, b = rig.engines
    c = rig.client()
    b.auto = lambda request: b"+PONG\r\n"
    a.die()
    rig.turn()
    before = rig.server.shared.held_bytes
    for _ in range(5):
        c.send("RENAME", rig.key(0), rig.key(1))
        rig.turn()
        rig.server.backends.check(mono_ms() + 4 * limits.PROXY_RETRY_MS)
        assert c.read() == NOT_SENT
    assert rig.server.shared.held_bytes - before <= 16 * 1024       # the other engine's idle link


def test_what_was_not_sent_waits_as_long_as_the_option_says(rig):
    limit(rig, proxy_retry_ms="5000")
    a, c = rig.engines[0], rig.client()
    a.die()
    rig.turn()
    c.send("SET", rig.key(0), "1")
    rig.server.backends.check(mono_ms() + 4 * limits.PROXY_RETRY_MS)
    assert c.nothing()
    limit(rig, proxy_retry_ms="0")
    rig.server.backends.check(mono_ms() + 1)
    assert c.read() == NOT_SENT


def test_every_lane_gives_up_after_that_time(rig):
    a, b = rig.engines
    for engine in (a, b):
        engine.die()
    rig.turn()
    clients = [rig.client() for _ in range(3)]
    for c, command in zip(clients, (["DBSIZE"], ["KEYS", "*"], ["SLOWLOG", "LEN"])):
        c.send(*command)
        assert c.nothing()
    rig.server.backends.check(mono_ms() + limits.PROXY_RETRY_MS + 1)
    for c in clients:
        assert c.read() == NOT_SENT
