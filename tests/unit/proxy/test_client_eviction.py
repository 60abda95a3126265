"""maxmemory-clients in a proxy, where the clients are."""
from collections.abc import Iterator

import pytest

from harness.resp import OK, encode
from unit.proxy.rig import Client, Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def limit(rig: Rig, **options: str) -> None:
    rig.server.config.set_many([(name.replace("_", "-").encode(), text.encode()) for name, text in options.items()])


def with_input(rig: Rig, size: int) -> Client:
    """A client with so much of an unfinished request."""
    c = rig.client()
    raw = encode("SET", rig.key(0), b"x" * 2 * size)[:size]
    sent = 0
    while sent < size:
        try:
            sent += c.sock.send(raw[sent:])
        except BlockingIOError:
            pass
        rig.turn()
    return c


def test_those_that_take_most_are_disconnected(rig):
    small, large = with_input(rig, 100_000), with_input(rig, 900_000)
    limit(rig, maxmemory_clients="500kb")
    other = rig.client()
    assert other("CLIENT SETNAME x") == OK
    assert large.session.transport.closing and not small.session.transport.closing
    assert rig.server.client_eviction.evicted == 1
    rig.server.reset_counters()
    assert rig.server.client_eviction.evicted == 0


def test_who_asked_not_to_be_stays(rig):
    careful = rig.client()
    assert careful("CLIENT NO-EVICT ON") == OK
    raw = encode("SET", rig.key(0), b"x" * 2_000_000)[:900_000]
    while raw:
        try:
            raw = raw[careful.sock.send(raw):]
        except BlockingIOError:
            pass
        rig.turn()
    limit(rig, maxmemory_clients="500kb")
    assert rig.client()("CLIENT SETNAME x") == OK
    assert not careful.session.transport.closing and rig.server.client_eviction.evicted == 0


def test_a_percentage_is_one_of_the_whole_maxmemory(rig):
    limit(rig, maxmemory="100mb", maxmemory_clients="5%")
    assert rig.server.client_eviction.limit_bytes == 5 << 20
