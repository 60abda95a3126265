"""Any bytes from a client give an error and at worst end that client; any bytes from an engine end that link."""
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.resp import Status, encode
from unit.proxy.rig import Rig

PIECES = st.sampled_from([
    b"*", b"$", b"\r\n", b"*1\r\n", b"*3\r\n$3\r\nSET\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$3\r\nGET\r\n",
    b"$1\r\nk\r\n",
    b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"*2\r\n$4\r\nMGET\r\n$1\r\nk\r\n", b"PING\r\n", b"GET k\r\n", b'"', b"'", b"\0",
    b"*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$0\r\n\r\n", b"SCAN 0\r\n", b"HELLO 3\r\n", b"QUIT\r\n", b"CLIENT REPLY OFF\r\n",
    b"99999999999"])
INPUT = st.lists(st.one_of(PIECES, st.binary(max_size=12)), max_size=12).map(b"".join)

REPLIES = st.sampled_from([
    b"+OK\r\n", b"$3\r\nabc\r\n", b"$-1\r\n", b":1\r\n", b"*2\r\n", b"*0\r\n", b"$99999\r\n", b"-ERR x\r\n", b"%1\r\n",
    b"\r\n",
    b">1\r\n:1\r\n", b"|1\r\n", b"_\r\n", b"-MOVED 1 x:1\r\n", b"-ASK\r\n", b"-MOVED \r\n", b"*1\r\n$1\r\n0\r\n",
    b"*99999999999\r\n"])
OUTPUT = st.lists(st.one_of(REPLIES, st.binary(max_size=8)), max_size=8).map(b"".join)

LENIENT = settings(deadline=None, max_examples=150,
                   suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    for engine in rig.engines:
        engine.auto = lambda request: b"$1\r\nv\r\n"
    yield rig
    rig.close()


@LENIENT
@given(data=INPUT, cut=st.integers(0, 100))
def test_from_a_client(rig, data, cut):
    nasty, nice = rig.client(), rig.client()
    nasty.raw(data[:cut])
    if not nasty.closed:
        nasty.raw(data[cut:])
    assert nice("PING") == Status("PONG")
    assert nice("GET", rig.key(0)) == b"v"
    nasty.close()
    nice.close()
    rig.clients.clear()
    assert len(rig.server.clients) == 0


@LENIENT
@given(data=OUTPUT, command=st.sampled_from([("GET",), ("MGET",), ("DBSIZE",), ("SCAN", 0), ("INFO",), ("KEYS", "*")]))
def test_from_an_engine(rig, data, command):
    engine = rig.engines[0]
    engine.auto = None
    c, other = rig.client(), rig.client()
    keys = {"GET": [rig.key(0)], "MGET": [rig.key(0), rig.key(1)]}.get(command[0], [])
    c.raw(encode(*command, *keys))
    if engine.links:
        engine.reply(data)
    rig.turn()
    assert other("PING") == Status("PONG")
    assert other("GET", rig.key(1)) == b"v"
    c.close()
    other.close()
    engine.die()
    rig.turn()
    engine.requests.clear()
    engine.listen()
    rig.engines[0].auto = lambda request: b"$1\r\nv\r\n"
    for link in rig.server.engines[0].links():
        link.check(1 << 60)
        link.retry_now()
    rig.turn()
    rig.clients.clear()
