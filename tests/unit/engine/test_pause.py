"""CLIENT PAUSE at an engine: what waits, in whose order, and until when."""
import pytest

from harness.resp import OK, Error, Status, encode
from shardd.base.clock import mono_ms
from shardd.net import pause
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine

PONG = Status("PONG")


@pytest.fixture
def engine() -> Engine:
    return Engine()


def silent(caller: Caller) -> bool:
    """Whether no reply comes."""
    return not any(caller._turn() for _ in range(5))


def test_writes_wait_and_go_on_in_their_clients_order(engine):
    c = Caller(engine)
    assert engine("CLIENT PAUSE 100000 WRITE") == OK
    c.send(encode("GET", "k") + encode("APPEND", "k", "1") + encode("APPEND", "k", "2") + encode("GET", "k"))
    assert c.read() is None and silent(c)
    assert engine("GET", "k") is None and engine("DBSIZE") == 0
    assert engine("CLIENT UNPAUSE") == OK
    assert [c.read() for _ in range(3)] == [1, 2, b"12"]


def test_a_request_cut_anywhere_waits_as_a_whole(engine):
    c = Caller(engine)
    assert engine("CLIENT PAUSE 100000 WRITE") == OK
    data = encode("SET", "k", "value") + encode("GET", "k")
    for at in range(len(data)):
        c.send(data[at:at + 1])
    assert silent(c)
    assert engine("CLIENT UNPAUSE") == OK
    assert c.read() == OK and c.read() == b"value"


def test_what_would_be_refused_need_not_wait(engine):
    c = Caller(engine)
    assert engine("CLIENT PAUSE 100000 ALL") == OK
    assert c("SET k") == Error("ERR wrong number of arguments for 'set' command")
    assert isinstance(c("NOSUCH"), Error) and isinstance(c("CLIENT NOSUCH"), Error)
    c.send(encode("PING"))
    assert silent(c)
    engine.server.pause.stop()
    assert c.read() == PONG


def test_time_ends_a_pause(engine, monkeypatch):
    c = Caller(engine)
    assert engine("CLIENT PAUSE 1000") == OK
    c.send(encode("SET", "k", "v"))
    engine.server.pause.check()
    assert silent(c)
    monkeypatch.setattr(pause, "mono_ms", lambda: mono_ms() + 1001)
    engine.server.pause.check()
    assert c.read() == OK


def test_no_time_is_no_pause(engine):
    assert engine("CLIENT PAUSE 0") == OK and engine("PING") == PONG
    assert engine("CLIENT PAUSE 100000 WRITE") == OK and engine("CLIENT PAUSE 0 WRITE") == OK
    assert engine.server.dispatcher.paused, "nor does it end another"
    assert engine("CLIENT UNPAUSE") == OK and engine("SET k v") == OK


def test_connections_of_the_tree_are_not_paused(engine):
    proxy = Caller(engine)
    proxy.session.flags |= ClientFlag.INTERNAL
    assert engine("CLIENT PAUSE 100000 ALL") == OK
    assert proxy("SET", "k", "v") == OK and proxy("CLIENT UNPAUSE") == OK
    assert engine("GET", "k") == b"v"


def test_who_leaves_while_it_waits_is_forgotten(engine):
    c = Caller(engine)
    assert engine("CLIENT PAUSE 100000 WRITE") == OK
    c.send(encode("SET", "k", "v"))
    assert silent(c)
    c.session.transport.close("gone")
    engine.server.reactor.poll()
    assert engine("CLIENT UNPAUSE") == OK
    assert engine("GET", "k") is None
