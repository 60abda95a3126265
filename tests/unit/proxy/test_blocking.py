"""Commands that wait: where, who is in whose way, and how a wait ends."""
import time
from collections.abc import Iterator

import pytest

from harness.resp import NULL_ARRAY, OK, Error, Status, encode
from proxy import blocking
from shardd.base import errors
from unit.proxy.rig import Engine, Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def popped(*values: bytes) -> bytes:
    return b"*%d\r\n" % len(values) + b"".join(map(bulk, values))


def block(rig, c, *command, number: int = 17):
    """Send a command that waits, on the first engine; its link."""
    engine = rig.engines[0]
    c.send(*command)
    got = engine.take()
    if got[0] == [b"CLIENT", b"ID"]:
        got.pop(0)
        engine.reply(b":%d\r\n" % number)
        rig.turn()
    assert [request[0] for request in got] == [command[0].encode()]
    return engine.heard


def test_nobody_waits_behind_who_waits(rig):
    a, b, engine = rig.client(), rig.client(), rig.engines[0]
    key = rig.key(0)
    a.send("BLPOP", key, "0")
    assert engine.take() == [[b"CLIENT", b"ID"], [b"BLPOP", key, b"0"]]
    lent = engine.heard
    b.send("LPUSH", key, "v")
    assert engine.take() == [[b"LPUSH", key, b"v"]] and engine.heard is not lent
    engine.reply(b":1\r\n")
    engine.reply(b":17\r\n" + popped(key, b"v"), lent)
    assert b.read() == 1 and a.read() == [key, b"v"]
    upstream = rig.server.engines[0]
    assert not upstream.lent and len(upstream.idle) == 1
    b.send("BRPOP", key, "0.1")
    assert engine.take() == [[b"BRPOP", key, b"0.1"]] and engine.heard is lent, "its number is known"
    engine.reply(b"*-1\r\n")
    assert b.read() == NULL_ARRAY


def test_what_stands_behind_waits_too_and_then_goes_on(rig):
    c, engine = rig.client(), rig.engines[0]
    key = rig.key(0)
    lent = block(rig, c, "BLPOP", key, "0")
    c.raw(encode("GET", key) + encode("PING"))
    c.send("PING")
    assert engine.take() == [] and c.nothing()
    engine.reply(popped(key, b"v"), lent)
    rig.turn()
    assert c.read() == [key, b"v"]
    assert engine.take() == [[b"GET", key]]
    engine.reply(b"$-1\r\n")
    assert [c.read(), c.read(), c.read()] == [None, Status("PONG"), Status("PONG")]


def test_a_command_that_waits_starts_behind_what_is_in_flight(rig):
    c, engine = rig.client(), rig.engines[0]
    key = rig.key(0)
    c.raw(encode("LPUSH", key, "v") + encode("BLPOP", key, "0"))
    assert engine.take() == [[b"LPUSH", key, b"v"]]
    engine.reply(b":1\r\n")
    rig.turn()
    assert engine.take() == [[b"CLIENT", b"ID"], [b"BLPOP", key, b"0"]]


@pytest.mark.parametrize("behind", [b"", encode("PING")])
def test_a_client_that_is_gone_takes_nothing(rig, behind):
    a, b, engine = rig.client(), rig.client(), rig.engines[0]
    key = rig.key(0)
    lent = block(rig, a, "BLPOP", key, "0")
    a.raw(behind) if behind else None
    a.sock.close()
    b.send("LPUSH", key, "v")
    assert engine.take() == [[b"CLIENT", b"UNBLOCK", b"17", b"TIMEOUT"], [b"LPUSH", key, b"v"]], "in this order"
    assert engine.heard is not lent
    engine.reply(b":1\r\n:1\r\n")
    engine.reply(b"*-1\r\n", lent)
    assert b.read() == 1
    rig.turn()
    assert engine.take() == [] and not rig.server.engines[0].lent
    assert rig.server.clients.by_id.keys() == {b.session.id}


@pytest.mark.parametrize("command, reply, back", [
    (("BLPOP", "0"), popped(b"K", b"v"), [b"LPUSH", b"K", b"v"]),
    (("BRPOP", "0"), popped(b"K", b"v"), [b"RPUSH", b"K", b"v"]),
    (("BZPOPMIN", "0"), popped(b"K", b"m", b"1.5"), [b"ZADD", b"K", b"NX", b"1.5", b"m"]),
    (("BZPOPMAX", "0"), popped(b"K", b"m", b"inf"), [b"ZADD", b"K", b"NX", b"inf", b"m"]),
    (("BLMPOP", "0", "1", "LEFT", "COUNT", "2"), b"*2\r\n" + bulk(b"K") + popped(b"1", b"2"),
     [b"LPUSH", b"K", b"2", b"1"]),
    (("BLMPOP", "0", "1", "RIGHT"), b"*2\r\n" + bulk(b"K") + popped(b"1"), [b"RPUSH", b"K", b"1"]),
    (("BZMPOP", "0", "1", "MIN", "COUNT", "2"), b"*2\r\n%b*2\r\n%b%b" % (
        bulk(b"K"), popped(b"m", b"1"), popped(b"n", b"2")), [b"ZADD", b"K", b"NX", b"1", b"m", b"2", b"n"]),
    (("BLMOVE", "K2", "LEFT", "LEFT", "0"), bulk(b"v"), None),
])
def test_what_was_popped_for_a_client_that_is_gone_goes_back(rig, command, reply, back):
    c, engine = rig.client(), rig.engines[0]
    key = rig.key(0)
    name, *rest = command
    place = 2 if name in ("BLMPOP", "BZMPOP") else 0
    words = [name, *rest[:place], key, *rest[place:]]
    lent = block(rig, c, *[key if word == "K2" else word for word in words])
    c.close()
    assert engine.take() == [[b"CLIENT", b"UNBLOCK", b"17", b"TIMEOUT"]]
    engine.reply(b":0\r\n")
    engine.reply(reply.replace(bulk(b"K"), bulk(key)), lent)
    rig.turn()
    assert engine.take() == ([[key if word == b"K" else word for word in back]] if back else [])
    engine.reply(b":1\r\n") if back else None
    rig.turn()
    assert not rig.server.engines[0].lent


def test_a_client_that_is_gone_before_its_link_stands(rig):
    c, engine = rig.client(), rig.engines[0]
    c.send("BLPOP", rig.key(0), "0")
    assert engine.take() == [[b"CLIENT", b"ID"], [b"BLPOP", rig.key(0), b"0"]]
    lent = engine.heard
    c.close()
    assert engine.take() == []
    engine.reply(b":17\r\n", lent)
    rig.turn()
    assert engine.take() == [[b"CLIENT", b"UNBLOCK", b"17", b"TIMEOUT"]]


def test_a_link_is_not_lent_anew_while_an_unblock_may_hit_it(rig):
    a, b, engine = rig.client(), rig.client(), rig.engines[0]
    key = rig.key(0)
    lent = block(rig, a, "BLPOP", key, "0")
    a.close()
    assert engine.take() == [[b"CLIENT", b"UNBLOCK", b"17", b"TIMEOUT"]]
    shared = engine.heard
    engine.reply(b"*-1\r\n", lent)
    rig.turn()
    assert engine.take() == [[b"PING"]]
    b.send("BLPOP", key, "0")
    assert engine.take() == [[b"CLIENT", b"ID"], [b"BLPOP", key, b"0"]] and engine.heard is not lent
    engine.reply(b":1\r\n+PONG\r\n", shared)
    rig.turn()
    assert len(rig.server.engines[0].idle) == 1


# --- CLIENT UNBLOCK -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("failing, word, reply, value", [
    (False, b"TIMEOUT", b"*-1\r\n", NULL_ARRAY),
    (True, b"ERROR", b"-%b\r\n" % errors.UNBLOCKED, Error(errors.UNBLOCKED.decode()))])
def test_unblock_is_the_engines_business(rig, failing, word, reply, value):
    c, engine = rig.client(), rig.engines[0]
    assert not c.session.unblock(failing)
    lent = block(rig, c, "BLPOP", rig.key(0), "0")
    assert c.session.unblock(failing) and not c.session.unblock(failing), "once"
    rig.turn()
    assert engine.take() == [[b"CLIENT", b"UNBLOCK", b"17", word]]
    engine.reply(b":1\r\n")
    engine.reply(reply, lent)
    assert c.read() == value
    assert not c.session.unblock(failing)


def test_a_proxy_that_ends_does_not_wait_for_who_waits(rig):
    c, engine = rig.client(), rig.engines[0]
    block(rig, c, "BLPOP", rig.key(0), "0")
    c.session.finish()
    rig.turn()
    assert c.closed
    assert engine.take() == [[b"CLIENT", b"UNBLOCK", b"17", b"TIMEOUT"]]


# --- engines that die ---------------------------------------------------------------------------------------------

def test_who_waits_on_an_engine_that_dies_is_disconnected(rig):
    c, engine = rig.client(), rig.engines[0]
    block(rig, c, "BLPOP", rig.key(0), "0")
    engine.die()
    rig.turn()
    assert c.closed and c.nothing()


def test_who_would_wait_on_an_engine_that_is_down_is_told(rig):
    c, engine = rig.client(), rig.engines[0]
    engine.die()
    rig.turn()
    c.send("BLPOP", rig.key(0), "0")
    assert c.nothing()
    rig.server.backends.retry_ms = 0
    rig.server.backends.check(int(time.monotonic() * 1000) + 100_000)
    assert c.read() == Error(errors.engine_unreachable(0).decode())
    assert c("PING") == Status("PONG")


# --- several engines ----------------------------------------------------------------------------------------------

class Lists:
    """An engine with lists, which the test fills; WAITKEYS is answered when the test says so."""

    def __init__(self, engine: Engine, number: int) -> None:
        self.engine, self.number = engine, number
        self.lists: dict[bytes, list[bytes]] = {}
        self.waiting: list[tuple[object, list[bytes]]] = []
        self.unblocked: list[bytes] = []
        self.pops = 0
        engine.auto = self.got

    def got(self, request: list[bytes]) -> bytes | None:
        name = request[0].upper()
        if name == b"MULTI":
            return b"+OK\r\n"
        if name == b"BLPOP":
            self.queued = request
            return b"+QUEUED\r\n"
        if name == b"EXEC":
            for key in self.queued[1:-1]:
                if self.lists.get(key):
                    self.pops += 1
                    return b"*1\r\n" + popped(key, self.lists[key].pop(0))
            return b"*1\r\n*-1\r\n"
        if request[:2] == [b"CLIENT", b"ID"]:
            return b":%d\r\n" % self.number
        if request[:2] == [b"SHARDD", b"WAITKEYS"]:
            self.waiting.append((self.engine.heard, request))
            return None
        if request[:2] == [b"CLIENT", b"UNBLOCK"]:
            self.unblocked.append(request[3])
            if not self.waiting:
                return b":0\r\n"
            (link, _), self.waiting = self.waiting[0], []
            self.engine.reply(b"*-1\r\n", link)
            return b":1\r\n"
        return b"+PONG\r\n"

    def signal(self, key: bytes) -> None:
        (link, _), self.waiting = self.waiting[0], []
        self.engine.reply(bulk(key), link)


@pytest.fixture
def lists(rig) -> list[Lists]:
    return [Lists(engine, 17 + engine.index) for engine in rig.engines]


def test_keys_of_several_engines_in_the_order_of_keys(rig, lists):
    c, a, b = rig.client(), rig.key(0), rig.key(1)
    lists[0].lists[a], lists[1].lists[b] = [b"1"], [b"2"]
    assert c("BLPOP", b, a, "0") == [b, b"2"]
    assert c("BLPOP", b, a, "0") == [a, b"1"]
    assert [one.pops for one in lists] == [1, 1] and not lists[0].waiting


def test_the_first_engine_that_has_something_ends_the_wait_on_the_others(rig, lists):
    c, a, b = rig.client(), rig.key(0), rig.key(1)
    c.send("BLPOP", a, b, "0")
    assert [one.waiting[0][1][1:] for one in lists] == [
        [b"WAITKEYS", b"list", b"0", a], [b"WAITKEYS", b"list", b"0", b]]
    lists[1].lists[b] = [b"v"]
    lists[1].signal(b)
    assert c.read() == [b, b"v"]
    assert lists[0].unblocked == [b"TIMEOUT"] and lists[1].unblocked == []
    assert lists[0].pops == 0 and lists[1].pops == 1
    rig.turn()
    assert all(not engine.lent for engine in rig.server.engines)


def test_who_finds_nothing_waits_again_and_in_time(rig, lists, monkeypatch):
    c, a, b = rig.client(), rig.key(0), rig.key(1)
    now_ms = 1000
    monkeypatch.setattr(blocking, "mono_ms", lambda: now_ms)
    c.send("BLPOP", a, b, "5")
    assert float(lists[0].waiting[0][1][3]) == 5
    now_ms += 3000
    lists[0].signal(a)                  # and somebody else was faster
    rig.turn()
    assert len(lists[0].waiting) == len(lists[1].waiting) == 1 and c.nothing()
    assert float(lists[0].waiting[0][1][3]) == 2
    now_ms += 2000
    for one in lists:
        (link, _), one.waiting = one.waiting[0], []
        one.engine.reply(b"*-1\r\n", link)
    assert c.read() == NULL_ARRAY


def test_the_end_of_a_wait_on_several_engines(rig, lists):
    a, b = rig.key(0), rig.key(1)
    for failing, value in ((False, NULL_ARRAY), (True, Error(errors.UNBLOCKED.decode()))):
        c = rig.client()
        c.send("BLPOP", a, b, "0")
        assert c.session.unblock(failing)
        rig.turn()
        assert c.read() == value
        assert c("PING") == Status("PONG")
        c.close()
    c = rig.client()
    c.send("BLPOP", a, b, "0")
    c.close()
    assert not lists[0].waiting and not lists[1].waiting
    assert all(one.pops == 0 for one in lists)
    assert all(not engine.lent for engine in rig.server.engines)


def test_in_a_transaction_nobody_waits(rig, lists):
    c, a = rig.client(), rig.key(0)
    assert c("MULTI") == OK
    assert c("BLPOP", a, "0") == Status("QUEUED")
    assert c("BLPOP", a, rig.key(1), "0") == Error(errors.CROSSSLOT.decode())
    assert c("DISCARD") == OK
    assert c("MULTI") == OK and c("BLPOP", a, "0") == Status("QUEUED")
    assert c("EXEC") == [NULL_ARRAY]
