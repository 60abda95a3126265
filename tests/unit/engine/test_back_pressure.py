"""A proxy that does not take its replies: the engine makes no more of them, and goes on where it stopped."""
import pytest

from harness.resp import Status, encode
from shardd.base import limits
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine

VALUE = b"x" * 1_000_000


@pytest.fixture
def engine():
    return Engine()


def fill(engine, caller, commands):
    """Send commands and read nothing; how many have run."""
    calls = engine.server.dispatcher.stats.commands
    caller.sock.sendall(commands)
    for _ in range(20):
        engine.server.reactor.poll()
    return engine.server.dispatcher.stats.commands - calls


def test_a_proxys_commands_wait_for_room(engine):
    caller = Caller(engine)
    caller("SET", "big", VALUE)
    caller.session.flags |= ClientFlag.INTERNAL
    commands = (encode("GET", "big") + encode("INCR", "n")) * 100 + b"PING\r\n"
    ran = fill(engine, caller, commands)
    assert ran < 2 * (limits.LINK_UNSENT_BYTES_MAX // len(VALUE) + 4)
    assert caller.session.transport.out_len < limits.LINK_UNSENT_BYTES_MAX + 2 * len(VALUE)
    other = Caller(engine)
    assert other("GET", "n") == b"%d" % (ran // 2), "others go on"
    for n in range(100):
        assert caller.read() == VALUE
        assert caller.read() == n + 1
    assert caller.read() == Status("PONG")
    assert caller("GET", "n") == b"100"


def test_requests_that_come_while_it_waits(engine):
    caller = Caller(engine)
    caller("SET", "big", VALUE)
    caller.session.flags |= ClientFlag.INTERNAL
    fill(engine, caller, encode("GET", "big") * 30)
    assert fill(engine, caller, encode("INCR", "n") * 100 + encode("SET", "n", "x")[:20]) == 0
    for _ in range(30):
        assert caller.read() == VALUE
    assert [caller.read() for _ in range(100)] == list(range(1, 101))
    caller.send(encode("SET", "n", "x")[20:])
    assert caller.read() == Status("OK")


def test_a_client_of_its_own_is_served_as_by_redis(engine):
    caller = Caller(engine)
    caller("SET", "big", VALUE)
    assert fill(engine, caller, encode("GET", "big") * 30) == 30
    for _ in range(30):
        assert caller.read() == VALUE


def test_a_proxy_that_leaves_meanwhile(engine):
    before = engine.server.reactor.connections
    caller = Caller(engine)
    caller("SET", "big", VALUE)
    caller.session.flags |= ClientFlag.INTERNAL
    fill(engine, caller, encode("GET", "big") * 30)
    caller.sock.close()
    for _ in range(5):
        engine.server.reactor.poll()
    assert engine.server.reactor.connections == before
    assert Caller(engine)("PING") == Status("PONG")
