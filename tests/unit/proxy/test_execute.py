"""EXEC over several engines: the steps and their order, what watches do, and what an engine's failure leaves behind.

The engines are played: small servers with strings, MULTI, WATCH and holds. `log` has what each of them was asked for.
"""
from collections.abc import Iterator

import pytest

from harness.resp import NULL_ARRAY, OK, Error, Status, encode
from shardd.base import errors
from unit.proxy.rig import Engine, Rig

QUEUED = Status("QUEUED")
IN_PART = Error(errors.EXECUTED_IN_PART.decode())


def bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


class Store:
    """An engine with strings. refuses: a command that it does not queue; dies_at: one that ends it; deaf_to: one that
    it never answers."""

    def __init__(self, engine: Engine, log: list[tuple[int, bytes]]) -> None:
        self.engine, self.log = engine, log
        self.table: dict[bytes, bytes] = {}
        self.queues: dict[object, list[list[bytes]]] = {}
        self.watching: dict[object, dict[bytes, bytes | None]] = {}
        self.holder: object = None
        self.waiting: list[tuple[object, list[bytes]]] = []
        self.refuses = self.dies_at = self.deaf_to = b""
        engine.auto = self.got

    def got(self, request: list[bytes]) -> bytes | None:
        link = self.engine.heard
        if self.holder is not None and self.holder not in self.engine.links:
            self.holder = None
        if self.holder not in (None, link):
            self.waiting.append((link, request))
            return None
        return self.answer(link, request)

    def answer(self, link: object, request: list[bytes]) -> bytes | None:
        name = request[1] if request[0] == b"SHARDD" else request[0].upper()
        self.log.append((self.engine.index, name))
        if name == self.dies_at:
            self.engine.die()
            return None
        if name == self.deaf_to:
            return None
        if name in (b"HOLD", b"RELEASE"):
            self.holder = link if name == b"HOLD" else None
            waiting, self.waiting = self.waiting, []
            for other, held in waiting:
                self.engine.heard = other
                answer = self.got(held)
                if answer is not None:
                    self.engine.reply(answer, other)
            self.engine.heard = link
        if name == b"WATCH":
            self.watching.setdefault(link, {}).update({key: self.table.get(key) for key in request[1:]})
        if name == b"MULTI":
            self.queues[link] = []
        if name == b"DISCARD":
            del self.queues[link]
        if name == b"EXEC":
            queue, watched = self.queues.pop(link), self.watching.pop(link, {})
            if any(self.table.get(key) != value for key, value in watched.items()):
                return b"*-1\r\n"
            return b"*%d\r\n" % len(queue) + b"".join(map(self.run, queue))
        if link in self.queues and name != b"MULTI":
            if name == self.refuses:
                return b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
            self.queues[link].append(request)
            return b"+QUEUED\r\n"
        return self.run(request)

    def run(self, request: list[bytes]) -> bytes:
        name, words = request[0].upper(), request[1:]
        if name == b"SET":
            self.table[words[0]] = words[1]
        if name == b"MSET":
            self.table.update(zip(words[::2], words[1::2]))
        if name == b"GET":
            return bulk(self.table.get(words[0]))
        if name == b"MGET":
            return b"*%d\r\n" % len(words) + b"".join(bulk(self.table.get(key)) for key in words)
        if name == b"DBSIZE":
            return b":%d\r\n" % len(self.table)
        if name == b"DEL":
            return b":%d\r\n" % sum(self.table.pop(key, None) is not None for key in words)
        if name == b"KEYS":
            return b"*%d\r\n" % len(self.table) + b"".join(map(bulk, self.table))
        if name == b"BAD":
            return b"-ERR bad\r\n"
        return b"+OK\r\n"


class World:
    """Two engines, and what they were asked for."""

    def __init__(self) -> None:
        self.rig = Rig(2)
        self.log: list[tuple[int, bytes]] = []
        self.stores = [Store(engine, self.log) for engine in self.rig.engines]
        self.a, self.b = self.rig.key(0), self.rig.key(1)

    def transaction(self, client, *commands: tuple) -> object:
        """EXEC's reply."""
        assert client("MULTI") == OK
        for command in commands:
            assert client(*command) == QUEUED
        self.log.clear()
        return client("EXEC")

    @property
    def at_rest(self) -> bool:
        """No engine is held, no link lent."""
        return (all(store.holder is None and not store.queues for store in self.stores)
                and all(not engine.lent for engine in self.rig.server.engines))


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.rig.close()


def test_the_steps(world):
    c = world.rig.client()
    assert world.transaction(c, ("SET", world.b, "2"), ("SET", world.a, "1"), ("GET", world.b)) == [OK, OK, b"2"]
    names = [b"PING", b"PING", b"HOLD", b"HOLD", b"MULTI", b"SET", b"MULTI", b"SET", b"GET", b"EXEC", b"EXEC",
             b"RELEASE", b"RELEASE"]
    assert [name for _, name in world.log] == names
    assert [index for index, name in world.log if name == b"HOLD"] == [0, 1], "in ascending order"
    assert world.at_rest
    assert world.stores[0].table == {world.a: b"1"} and world.stores[1].table == {world.b: b"2"}


def test_commands_of_all_engines_are_joined_in_their_place(world):
    c, a, b = world.rig.client(), world.a, world.b
    reply = world.transaction(c, ("MSET", b, "2", a, "1"), ("MGET", a, b, a, "none"), ("PING",), ("DBSIZE",),
                              ("KEYS", "*"), ("DEL", a, b), ("DBSIZE",))
    assert reply == [OK, [b"1", b"2", b"1", None], Status("PONG"), 2, [a, b], 2, 0]
    assert world.at_rest
    assert [name for _, name in world.log].count(b"EXEC") == 2


def test_nobody_else_is_served_in_between(world):
    c, other, (first, second) = world.rig.client(), world.rig.client(), world.stores
    second.deaf_to = b"EXEC"
    c.raw(b"".join(encode(*words) for words in (
        ("MULTI",), ("SET", world.a, "1"), ("SET", world.b, "2"), ("EXEC",))))
    other.raw(encode("GET", world.a) + encode("GET", world.b))
    assert other.nothing() and len(first.waiting) == len(second.waiting) == 1
    assert [c.read() for _ in range(3)] == [OK, QUEUED, QUEUED] and c.nothing()
    held = second.holder
    second.deaf_to = b""
    second.engine.reply(second.answer(held, [b"EXEC"]), held)
    assert c.read() == [OK, OK]
    assert [other.read(), other.read()] == [b"1", b"2"]


def test_a_watched_key_of_any_engine_stops_all_of_it(world):
    c, other, a, b = world.rig.client(), world.rig.client(), world.a, world.b
    for watched in ((a,), (b,), (a, b)):
        for touched in (a, b):
            c("MSET", a, "0", b, "0")
            assert c("WATCH", *watched) == OK
            other("SET", touched, "x")
            reply = world.transaction(c, ("SET", a, "1"), ("SET", b, "1"))
            assert reply == (NULL_ARRAY if touched in watched else [OK, OK])
            expected = b"1" if touched not in watched else b"x"
            assert c("GET", touched) == expected
            assert world.at_rest, "a link that is given back watches nothing"
            assert world.stores[0].watching == world.stores[1].watching == {}


def test_a_watch_on_another_engine_than_the_commands(world):
    c, other = world.rig.client(), world.rig.client()
    for touch, reply in ((False, [OK]), (True, NULL_ARRAY)):
        assert c("WATCH", world.b) == OK
        if touch:
            other("SET", world.b, "x")
        assert world.transaction(c, ("SET", world.a, "1")) == reply
        assert world.at_rest


def test_what_one_engine_does_not_queue_is_executed_by_none(world):
    c = world.rig.client()
    for store in world.stores:
        store.refuses = b"SET"
        oom = errors.exec_aborted(b"OOM command not allowed when used memory > 'maxmemory'.").decode()
        assert world.transaction(c, ("SET", world.a, "1"), ("SET", world.b, "1")) == Error(oom)
        assert (0, b"EXEC") not in world.log and (1, b"EXEC") not in world.log
        assert world.stores[0].table == world.stores[1].table == {}
        assert world.at_rest
        store.refuses = b""
    assert world.transaction(c, ("SET", world.a, "1"), ("SET", world.b, "1")) == [OK, OK]


@pytest.mark.parametrize("step, reply", [
    (b"PING", Error(errors.exec_aborted(errors.engine_unreachable(1)).decode())),
    (b"HOLD", Error(errors.exec_aborted(errors.engine_unreachable(1)).decode())),
    (b"SET", Error(errors.exec_aborted(errors.engine_unreachable(1)).decode())),
    (b"EXEC", IN_PART),
])
def test_an_engine_dies(world, step, reply):
    c, (first, second) = world.rig.client(), world.stores
    second.dies_at = step
    assert world.transaction(c, ("SET", world.a, "1"), ("SET", world.b, "1")) == reply
    assert first.table == ({world.a: b"1"} if step == b"EXEC" else {})
    assert first.holder is None and not first.queues
    assert c("GET", world.a) == (b"1" if step == b"EXEC" else None)
    assert c("EXEC") == Error("ERR EXEC without MULTI")


def test_the_client_goes_away_in_the_middle(world):
    c, (first, second) = world.rig.client(), world.stores
    second.deaf_to = b"HOLD"
    c.raw(b"".join(encode(*words) for words in (
        ("WATCH", world.a), ("MULTI",), ("SET", world.a, "1"), ("SET", world.b, "2"), ("EXEC",))))
    assert first.holder is not None
    c.close()
    world.rig.ring()        # the time for the second hold is over
    assert first.holder is None and first.table == {}
    assert not world.rig.server.engines[0].lent
