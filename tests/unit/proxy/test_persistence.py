"""SAVE and its like over several engines, and WAITAOF, whose wait is the client's own on each of them."""
from collections.abc import Callable, Iterator

import pytest

from harness.resp import OK, Error, Status, encode
from shardd.base import errors
from unit.proxy.rig import Rig

UNDER_WAY = errors.SAVE_UNDER_WAY


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(3)
    yield rig
    rig.close()


def answers(rig: Rig, *texts: bytes) -> None:
    """What each engine says to everything."""
    for engine, text in zip(rig.engines, texts):
        engine.auto = lambda request, text=text: text + b"\r\n"


def asked(rig: Rig) -> list[list[list[bytes]]]:
    return [engine.take() for engine in rig.engines]


@pytest.mark.parametrize("line, texts, reply", [
    ("SAVE", [b"+OK"] * 3, OK),
    ("SAVE", [b"+OK", b"-" + UNDER_WAY, b"+OK"], Error(UNDER_WAY.decode())),
    ("BGSAVE", [b"+Background saving started"] * 3, Status("Background saving started")),
    ("BGSAVE SCHEDULE", [b"+Background saving started", b"+Background saving scheduled", b"+Background saving started"],
     Status("Background saving scheduled")),
    ("BGREWRITEAOF", [b"+Background append only file rewriting started"] * 3,
     Status("Background append only file rewriting started")),
    ("LASTSAVE", [b":30", b":10", b":20"], 10),
])
def test_all_engines_are_asked(rig, line, texts, reply):
    answers(rig, *texts)
    assert rig.client()(line) == reply
    assert asked(rig) == [[line.encode().split()]] * 3


class Waiting:
    """Engines that answer WAITAOF when the test says so."""

    def __init__(self, rig: Rig) -> None:
        self.links: list[object] = []
        for engine in rig.engines:
            engine.auto = self.answer(engine)

    def answer(self, engine: object) -> Callable[[list[bytes]], bytes | None]:
        def say(request: list[bytes]) -> bytes | None:
            if request == [b"CLIENT", b"ID"]:
                return b":17\r\n"
            if request[:2] == [b"CLIENT", b"UNBLOCK"]:
                engine.reply(b":1\r\n")
                engine.reply(b"*2\r\n:0\r\n:0\r\n", self.links[engine.index])
                return None
            if request[0] == b"WAITAOF":
                self.links[engine.index:engine.index + 1] = [engine.heard]
            return None
        self.links.append(None)
        return say


def test_waitaof_waits_for_all_and_says_what_all_have(rig):
    waiting = Waiting(rig)
    c = rig.client()
    c.send("WAITAOF", 1, 2, 0)
    for index, reply in enumerate((b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:1\r\n:0\r\n", b"*2\r\n:0\r\n:3\r\n")):
        with pytest.raises(EOFError):
            c.read()
        rig.engines[index].reply(reply, waiting.links[index])
        rig.turn()
    assert c.read() == [0, 0]
    assert all(request[-1] == [b"WAITAOF", b"1", b"2", b"0"] for request in asked(rig))
    assert [len(engine.lent) for engine in rig.server.engines] == [0, 0, 0]


def test_where_one_engine_refuses_waitaof_nobody_waits_on(rig):
    waiting = Waiting(rig)
    c = rig.client()
    c.send("WAITAOF", 1, 0, 0)
    rig.engines[1].reply(b"-" + errors.WAITAOF_OFF + b"\r\n", waiting.links[1])
    rig.turn()
    assert c.read() == Error(errors.WAITAOF_OFF.decode())
    assert [b"CLIENT", b"UNBLOCK", b"17", b"TIMEOUT"] in asked(rig)[0]


def test_a_client_that_goes_leaves_nobody_waiting(rig):
    Waiting(rig)
    c = rig.client()
    c.send("WAITAOF", 0, 1, 0)
    c.sock.close()
    rig.turn()
    assert all([b"CLIENT", b"UNBLOCK", b"17", b"TIMEOUT"] in requests for requests in asked(rig))
    assert [len(engine.lent) for engine in rig.server.engines] == [0, 0, 0]


def test_what_is_sent_behind_waitaof_comes_behind_it(rig):
    waiting = Waiting(rig)
    c = rig.client()
    c.raw(encode("WAITAOF", "0", "0", "0") + encode("PING"))
    for index, engine in enumerate(rig.engines):
        engine.reply(b"*2\r\n:1\r\n:0\r\n", waiting.links[index])
    rig.turn()
    assert c.read() == [1, 0] and c.read() == Status("PONG")


class Shutdowns:
    def __init__(self, rig: Rig) -> None:
        self.asked: list[bool | None] = []
        rig.server.on_shutdown = lambda save: self.asked.append(save) is None


@pytest.mark.parametrize("line, before, save", [
    ("SHUTDOWN", [], None), ("SHUTDOWN NOSAVE", [], False), ("SHUTDOWN SAVE FORCE", [], True),
    ("SHUTDOWN SAVE", [[b"SAVE"]], True), ("SHUTDOWN save NOW", [[b"SAVE"]], True)])
def test_shutdown(rig, line, before, save):
    answers(rig, b"+OK", b"+OK", b"+OK")
    shutdowns = Shutdowns(rig)
    c = rig.client()
    c.send(line)
    assert shutdowns.asked == [save] and asked(rig) == [before] * 3


def test_shutdown_save_stays_where_one_engine_cannot_save(rig):
    answers(rig, b"+OK", b"-ERR", b"+OK")
    shutdowns = Shutdowns(rig)
    assert rig.client()("SHUTDOWN SAVE") == Error("ERR Errors trying to SHUTDOWN. Check logs.")
    assert shutdowns.asked == []


def test_misconf_of_one_engine_is_only_for_its_keys(rig):
    misconf = b"MISCONF Errors writing to the AOF file: No space left on device"
    answers(rig, b"+OK", b"-" + misconf, b"+OK")
    c = rig.client()
    assert [c("SET", rig.key(index), "v") for index in range(3)] == [OK, Error(misconf.decode()), OK]
