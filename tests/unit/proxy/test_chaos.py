"""The proxy under everything at once: whatever is cut, delayed, redirected, killed or moved, each reply is the one to
its command, in order, and in the end nothing is left waiting.

A key has a number in it that is used once, and an engine's value of a key is the key, so that a reply tells what it
answers. Errors are allowed where an engine has died or a slot has moved; a wrong or a missing reply never is.
"""
import os
import random
import time
from collections import deque

import pytest

from harness.resp import OK, Error, Status, encode
from shardd.base import limits
from shardd.base.clock import mono_ms
from unit.proxy.rig import Client, Engine, Rig

SEEDS = int(os.environ.get("SHARDD_CHAOS_SEEDS", "6"))
STEPS = int(os.environ.get("SHARDD_CHAOS_STEPS", "400"))

ERRORS = ("ERR engine ", "ERR an engine ", "CLUSTERDOWN ")


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


KEYS = {b"few": 3, b"many": 300}
"""How many keys each engine has for this pattern: half a megabyte of them, or little."""


def key_of(index: int) -> bytes:
    """An engine's keys; they are long, so that many bytes are read fast."""
    return b"a key of engine %d;" % index * 90


class SlowEngine:
    """Answers what it gets when the test says so, whole or cut anywhere; GET and MGET with what they were sent."""

    def __init__(self, rig: Rig, engine: Engine, chance: random.Random) -> None:
        self.rig, self.engine, self.chance = rig, engine, chance
        self.owed: dict[object, bytearray] = {}
        engine.auto = self.owe

    def owe(self, request: list[bytes]) -> None:
        """Turn a request into an owed reply, over the connection that it came by."""
        self.owed.setdefault(self.engine.heard, bytearray()).extend(self.answer(request))
        self.engine.requests.clear()

    def answer(self, request: list[bytes]) -> bytes:
        name = request[0].upper()
        if name == b"SELECT":
            return b"+OK\r\n"
        if name == b"ASKING":
            return b"+OK\r\n"
        if name == b"GET":
            if self.chance.random() < 0.02:
                other = self.chance.choice(self.rig.engines)
                return b"-%b 1 127.0.0.1:%d\r\n" % (self.chance.choice([b"MOVED", b"ASK"]), other.info.port)
            return bulk(request[1] * (40_000 if request[1].endswith(b"big") else 1))
        if name == b"KEYS":
            return b"*%d\r\n" % KEYS[request[1]] + bulk(key_of(self.engine.index)) * KEYS[request[1]]
        if name == b"MGET":
            return b"*%d\r\n" % (len(request) - 1) + b"".join(bulk(key) for key in request[1:])
        if name == b"DEL":
            return b":%d\r\n" % (len(request) - 1)
        return b":1\r\n"

    def speak(self, everything: bool = False) -> None:
        """Send some of what is owed."""
        for link, owed in list(self.owed.items()):
            if link not in self.engine.links:
                del self.owed[link]
                continue
            some = len(owed) if everything else self.chance.randrange(len(owed) + 1)
            data = bytes(owed[:some])
            del owed[:some]
            if data:
                self.engine.reply(data, link)

    def die(self) -> None:
        self.engine.die()
        self.owed.clear()
        self.engine.requests.clear()


class Asker:
    """A client with what it expects."""

    def __init__(self, rig: Rig, chance: random.Random, number: int) -> None:
        self.client: Client = rig.client()
        self.rig, self.chance, self.number = rig, chance, number
        self.expected: deque[object] = deque()
        self.unsent = b""
        self.count = 0

    def key(self) -> bytes:
        self.count += 1
        tail = b"big" if self.chance.random() < 0.02 else b""
        return b"%d:%d:%b" % (self.number, self.count, tail)

    def ask(self) -> None:
        """Write one command into the buffer of what is to be sent."""
        kind = self.chance.random()
        if kind < 0.6:
            key = self.key()
            self.unsent += encode("GET", key)
            self.expected.append(key * (40_000 if key.endswith(b"big") else 1))
        elif kind < 0.8:
            keys = [b"%d:%d" % (self.number, self.count + n) for n in range(self.chance.randrange(1, 6))]
            self.unsent += encode("MGET", *keys)
            self.expected.append(keys)
        elif kind < 0.85:
            keys = [b"%d" % n for n in range(self.chance.randrange(1, 6))]
            self.unsent += encode("DEL", *keys)
            self.expected.append(len(keys))
        elif kind < 0.88:
            word = self.chance.choice(list(KEYS))
            self.unsent += encode("KEYS", word)
            self.expected.append([key_of(engine.index) for engine in self.rig.server.engines
                                  for _ in range(KEYS[word])])
        elif kind < 0.9:
            self.unsent += b"PING\r\n"
            self.expected.append(Status("PONG"))
        elif kind < 0.94:
            self.unsent += encode("SELECT", self.chance.randrange(4))
            self.expected.append(OK)
        elif kind < 0.97:
            self.unsent += encode("NOSUCH")
            self.expected.append(Error("ERR unknown command 'NOSUCH', with args beginning with: "))
        else:
            self.unsent += encode("DBSIZE")
            self.expected.append(len(self.rig.server.engines))

    def send(self, everything: bool = False) -> None:
        """Send some of it, cut anywhere, as far as the proxy reads."""
        some = len(self.unsent) if everything else self.chance.randrange(len(self.unsent) + 1)
        try:
            sent = self.client.sock.send(self.unsent[:some]) if some else 0
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionResetError):     # an engine died in the middle of a large reply
            assert self.client.closed
            sent = len(self.unsent)
        self.unsent = self.unsent[sent:]

    def hear(self) -> None:
        """Check every reply that is here."""
        while self.expected:
            try:
                reply = self.client.read()
            except EOFError:
                return
            wanted = self.expected.popleft()
            if isinstance(reply, Error) and not isinstance(wanted, Error):
                assert reply.startswith(ERRORS), (wanted, reply)
                assert not reply.startswith(("MOVED", "ASK"))
            elif isinstance(wanted, int):
                assert isinstance(reply, int), (wanted, reply)
            else:
                assert reply == wanted
        assert self.client.nothing() or self.client.closed


@pytest.mark.parametrize("seed", range(SEEDS))
def test_chaos(seed):
    chance = random.Random(seed)
    rig = Rig(3)
    try:
        engines = [SlowEngine(rig, engine, chance) for engine in rig.engines]
        askers = [Asker(rig, chance, n) for n in range(5)]
        for step in range(STEPS):
            act = chance.random()
            if act < 0.45:
                asker = chance.choice(askers)
                for _ in range(chance.choice([1, 1, 3, 20])):
                    asker.ask()
                asker.send()
            elif act < 0.55:
                chance.choice(askers).send()
            elif act < 0.85:
                chance.choice(engines).speak()
            elif act < 0.90:
                chance.choice(askers).hear()
            elif act < 0.92:
                engine = chance.choice(engines)
                engine.die() if engine.engine.listener is not None else engine.engine.listen()
            elif act < 0.94:
                time.sleep(0.006)
                rig.ring()
            elif act < 0.96:
                first = chance.randrange(16384)
                rig.move(first, min(16383, first + 3000), chance.choice(rig.engines))
            elif act < 0.98:
                place = chance.randrange(len(askers))
                askers[place].client.close()
                rig.clients.remove(askers[place].client)
                askers[place] = Asker(rig, chance, 100 + step)
            else:
                rig.server.backends.check(mono_ms() + chance.choice([0, limits.PROXY_RETRY_MS + 1]))
            rig.turn()
        settle(rig, engines, askers)
    finally:
        rig.close()


def settle(rig: Rig, engines: list[SlowEngine], askers: list[Asker]) -> None:
    """Everything is up and time passes: every client must get all that it waits for, or have been closed."""
    for engine in engines:
        if engine.engine.listener is None:
            engine.engine.listen()
    deadline = time.monotonic() + 20
    while True:
        rig.ring()
        for engine in engines:
            engine.speak(True)
        rig.turn()
        for asker in askers:
            asker.send(True)
            asker.hear()
        left = [(engine.index, link.lane_name, link.role, link.state, link.in_flight)
                for engine in rig.server.engines for link in engine.links() if link.in_flight]
        # what clients that are gone had asked for ends as well
        if not left and all(not asker.unsent and not asker.expected or asker.client.closed for asker in askers):
            break
        if time.monotonic() > deadline:
            raise AssertionError(
                left, [(len(a.unsent), str(list(a.expected)[:3])[:100], a.client.session.in_flight) for a in askers])
        time.sleep(0.002)
    assert all(asker.client.session.in_flight == 0 for asker in askers if not asker.client.closed)
