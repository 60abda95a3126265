"""SHARDD HOLD: one connection has the engine to itself for a moment."""
import pytest

from harness.resp import Status, encode
from shardd.engine import hold
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine


OK, PONG = Status("OK"), Status("PONG")


@pytest.fixture
def engine():
    return Engine()


def proxy(engine):
    caller = Caller(engine)
    caller.session.flags |= ClientFlag.INTERNAL
    return caller


def silent(caller):
    """Whether no reply comes."""
    return not any(caller._turn() for _ in range(5))


def test_others_wait_and_go_on_in_order_of_arrival(engine):
    holder, first, second = proxy(engine), Caller(engine), Caller(engine)
    assert holder("SHARDD", "HOLD", "1000") == OK
    first.send(encode(b"APPEND", b"k", b"1") + encode(b"GET", b"k"))
    second.send(encode(b"APPEND", b"k", b"2"))
    assert silent(first) and silent(second)
    assert holder("APPEND", "k", "0") == 1
    assert holder("GET", "k") == b"0"
    assert holder("SHARDD", "RELEASE") == OK
    assert (first.read(), first.read(), second.read()) == (2, b"01", 3)


def test_a_second_hold_waits_for_the_first(engine):
    one, other = proxy(engine), proxy(engine)
    assert one("SHARDD", "HOLD", "1000") == OK
    other.send(encode(b"SHARDD", b"HOLD", b"1000"))
    assert silent(other)
    assert one("SHARDD", "RELEASE") == OK
    assert other.read() == OK
    one.send(encode(b"PING"))
    assert silent(one)
    assert other("SHARDD", "RELEASE") == OK
    assert one.read() == PONG


def test_a_lost_holder_holds_no_more(engine):
    holder, other = proxy(engine), Caller(engine)
    assert holder("SHARDD", "HOLD", "1000") == OK
    other.send(encode(b"PING"))
    assert silent(other)
    holder.sock.close()
    assert other.read() == PONG


def test_a_hold_that_takes_too_long_ends_and_its_holder_changes_nothing_more(engine, monkeypatch):
    holder, other = proxy(engine), Caller(engine)
    assert holder("SHARDD", "HOLD", "50") == OK
    other.send(encode(b"SET", b"k", b"theirs"))
    now = hold.mono_ms()
    monkeypatch.setattr(hold, "mono_ms", lambda: now + 51)
    engine.server.dispatcher.hold.check()
    assert other.read() == OK
    for command in (("SET", "k", "mine"), ("PING",), ("SHARDD", "HOLD", "50"), ("SHARDD", "RELEASE")):
        assert "the hold is over" in str(holder(*command))
    assert holder("GET", "k") == b"theirs"


def test_its_check_lets_a_hold_live_that_has_time(engine):
    holder, other = proxy(engine), Caller(engine)
    assert holder("SHARDD", "HOLD", "1000") == OK
    engine.server.dispatcher.hold.check()
    other.send(encode(b"PING"))
    assert silent(other)


def test_the_holder_may_hold_on(engine, monkeypatch):
    holder, other = proxy(engine), Caller(engine)
    assert holder("SHARDD", "HOLD", "50") == OK
    now = hold.mono_ms()
    monkeypatch.setattr(hold, "mono_ms", lambda: now + 40)
    assert holder("SHARDD", "HOLD", "50") == OK
    monkeypatch.setattr(hold, "mono_ms", lambda: now + 80)
    engine.server.dispatcher.hold.check()
    other.send(encode(b"PING"))
    assert silent(other)
    assert holder("SHARDD", "RELEASE") == OK
    assert other.read() == PONG


@pytest.mark.parametrize("time_ms", ["0", "5001", "x", "-1", ""])
def test_the_time_of_a_hold_is_bounded(engine, time_ms):
    holder, other = proxy(engine), Caller(engine)
    assert str(holder("SHARDD", "HOLD", time_ms)).startswith("ERR ")
    assert other("PING") == PONG


def test_clients_cannot_hold(engine):
    assert "unknown command" in str(Caller(engine)("SHARDD", "HOLD", "10"))
    assert "unknown command" in str(Caller(engine)("SHARDD", "RELEASE"))
