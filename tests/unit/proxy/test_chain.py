"""KEYS over engines: one array that flows, engine by engine."""
import random
from collections.abc import Iterator

import pytest

from harness.resp import Error, Status, encode
from shardd.base import limits
from unit.proxy.rig import Engine, Rig

LARGE = 4 * limits.PROXY_LARGE_REPLY_BYTES_MIN
DOWN = Error("ERR engine 1 is down, the command may or may not have been executed")


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(3)
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def array(items: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(items) + b"".join(map(bulk, items))


def keys(index: int, count: int = 40_000) -> list[bytes]:
    """Many of an engine's, 30 bytes each on the wire."""
    return [b"engine:%d:key:%09d" % (index, n) for n in range(count)]


def unsent(engine: Engine) -> int:
    return sum(len(due) for due in engine._due.values())


def test_it_begins_when_all_heads_are_known(rig):
    a, b, last = rig.engines
    c = rig.client()
    c.send("KEYS", "*")
    whole = [array(keys(index)) for index in range(3)]
    a.reply(whole[0][:100_000])
    b.reply(whole[1][:100_000])
    assert c.nothing(), "how many there are is not known"
    last.reply(array([b"x"]))
    c.pull()
    assert c.received.startswith(b"*80001\r\n$")
    assert len(c.received) > 90_000, "the first engine's flow already"
    b.reply(whole[1][100_000:])
    a.reply(whole[0][100_000:])
    assert c.read() == keys(0) + keys(1) + [b"x"]
    assert c.session.in_flight == 0 and rig.server.outbox.held_bytes == 0
    assert all(engine.private == [] for engine in rig.server.engines)


def test_small_parts_in_any_order(rig):
    chance = random.Random(3)
    for _ in range(30):
        c = rig.client()
        parts = [keys(index, chance.randrange(4)) for index in range(3)]
        c.send("KEYS", "*")
        order = list(zip(rig.engines, parts))
        chance.shuffle(order)
        for engine, part in order:
            raw = array(part)
            cut = chance.randrange(len(raw) + 1)
            engine.reply(raw[:cut])
            rig.turn()
            engine.reply(raw[cut:])
        assert c.read() == parts[0] + parts[1] + parts[2]
    assert rig.server.outbox.held_bytes == 0


def test_large_parts_cut_anywhere_and_two_in_a_pipeline(rig):
    chance = random.Random(4)
    c, other = rig.client(), rig.client()
    c.raw(encode("KEYS", "*") + encode("KEYS", "a*") + encode("PING"))
    other.send("KEYS", "b*")
    due = {engine: array(keys(index, 9000)) + array(keys(index, 5)) + array(keys(index, 7000))
           for index, engine in enumerate(rig.engines)}
    while any(due.values()):
        engine = chance.choice([one for one, raw in due.items() if raw])
        some = chance.randrange(1, 70_000)
        engine.reply(due[engine][:some])
        due[engine] = due[engine][some:]
        c.pull()
        other.pull()
    assert c.read() == keys(0, 9000) + keys(1, 9000) + keys(2, 9000)
    assert c.read() == keys(0, 5) + keys(1, 5) + keys(2, 5)
    assert c.read() == Status("PONG")
    assert other.read() == keys(0, 7000) + keys(1, 7000) + keys(2, 7000)
    assert rig.server.outbox.held_bytes == 0


def test_a_client_that_does_not_read_leaves_it_with_the_engines(rig):
    c, other = rig.client(), rig.client()
    many = [keys(index, 300_000) for index in range(3)]
    c.send("KEYS", "*")
    for engine, part in zip(rig.engines, many):
        engine.reply(array(part))
    rig.turn()
    assert rig.server.shared.held_bytes < 4_000_000
    assert all(unsent(engine) > 6_000_000 for engine in rig.engines)
    other.send("KEYS", "x")
    for engine in rig.engines:
        engine.reply(array([b"x"]))
    assert other.read() == [b"x"] * 3
    assert c.read() == many[0] + many[1] + many[2]


def test_what_comes_after_it_in_line_waits_for_it(rig):
    """The first of two has no answer yet: the second's parts are not collected."""
    a, b, last = rig.engines
    c = rig.client()
    c.raw(encode("KEYS", "1") + encode("KEYS", "2"))
    for engine in (a, b):
        engine.reply(array([b"1"]) + array(keys(0, 200_000)))
    rig.turn()
    assert c.nothing()
    assert rig.server.shared.held_bytes < 3_000_000
    last.reply(array([b"1"]) + array([b"2"]))
    assert c.read() == [b"1"] * 3
    assert c.read() == keys(0, 200_000) * 2 + [b"2"]


def test_an_error_of_one_engine_is_the_reply(rig):
    for place in range(3):
        c = rig.client()
        c.send("KEYS", "*")
        for index, engine in enumerate(rig.engines):
            engine.reply(b"-ERR no %d\r\n" % index if index >= place else array(keys(index)))
            rig.turn()
        assert c.read() == Error(f"ERR no {place}")
    c = rig.client()
    c.send("KEYS", "*")
    rig.engines[0].reply(b":1\r\n")
    rig.engines[1].reply(array(keys(1)))
    rig.engines[2].reply(b"*0\r\n")
    assert c.read() == Error("ERR the engines' replies do not fit together")
    assert rig.server.outbox.held_bytes == 0


def test_a_death_before_it_flows_is_an_error(rig):
    a, b, last = rig.engines
    c = rig.client()
    c.send("KEYS", "*")
    a.reply(array(keys(0)))
    b.reply(array(keys(1))[:500_000])
    rig.turn()
    b.die()
    rig.turn()
    last.reply(b"*0\r\n")
    assert c.read() == DOWN
    assert c("PING") == Status("PONG")
    assert rig.server.outbox.held_bytes == 0


@pytest.mark.parametrize("dying", [0, 1])
def test_a_death_while_it_flows_ends_the_clients_connection(rig, dying):
    a, b, last = rig.engines
    c = rig.client()
    c.send("KEYS", "*")
    a.reply(array(keys(0))[:500_000])
    b.reply(array(keys(1))[:500_000])
    last.reply(b"*0\r\n")
    c.pull()
    assert len(c.received) > 100_000
    rig.engines[dying].die()
    assert c.closed
    rest = array(keys(1 - dying))[500_000:]
    rig.engines[1 - dying].reply(rest)
    for _ in range(20):
        rig.turn()
    assert rig.server.outbox.held_bytes == 0
    assert unsent(rig.engines[1 - dying]) == 0


def test_a_client_that_leaves_lets_the_engines_go_on(rig):
    c = rig.client()
    c.send("KEYS", "*")
    for engine in rig.engines:
        engine.reply(array(keys(0, 100_000)))
    rig.turn()
    c.close()
    for _ in range(100):
        rig.turn()
    assert all(unsent(engine) == 0 for engine in rig.engines)
    assert rig.server.outbox.held_bytes == 0
    assert all(engine.private == [] for engine in rig.server.engines)


def test_silent(rig):
    c = rig.client()
    c.raw(encode("CLIENT", "REPLY", "SKIP") + encode("KEYS", "*") + encode("PING"))
    for engine in rig.engines:
        engine.reply(array(keys(0)))
    assert c.read() == Status("PONG")
