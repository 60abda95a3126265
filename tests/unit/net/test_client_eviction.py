"""maxmemory-clients: who is disconnected, who is spared, and when clients are looked at."""
import contextlib

import pytest

from harness.resp import OK, Error, Status
from shardd.base import limits
from shardd.net import client_eviction
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine

MIB = 1 << 20


@pytest.fixture
def engine() -> Engine:
    return Engine()


def with_input(engine: Engine, size: int) -> Caller:
    """A client with so much of an unfinished request; it may be disconnected before all of it is there."""
    one = Caller(engine)
    with contextlib.suppress(ConnectionError, EOFError):
        one.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (size + 1000) + b"x" * size)
    return one


def is_gone(one: Caller) -> bool:
    one.engine.server.reactor.poll()
    return one.session.transport.closing


def test_those_that_take_most_go_first(engine):
    small, middle, large = (with_input(engine, size) for size in (MIB // 8, MIB, 3 * MIB))
    assert engine("CONFIG", "SET", "maxmemory-clients", "4mb") == OK
    engine("PING")
    assert [is_gone(one) for one in (small, middle, large)] == [False, False, True]
    assert engine.server.client_eviction.evicted == 1
    assert b"evicted_clients:1\r\n" in engine("INFO stats")
    larger = with_input(engine, 7 * MIB)
    assert is_gone(larger) and not is_gone(middle)
    assert engine("CONFIG RESETSTAT") == OK and b"evicted_clients:0\r\n" in engine("INFO stats")


def test_who_may_not_be_evicted_stays_and_does_not_count(engine):
    careful = Caller(engine)
    assert careful("CLIENT NO-EVICT ON") == OK
    careful.send(b"*2\r\n$3\r\nGET\r\n$5300000\r\n" + b"x" * 5 * MIB)
    internal = with_input(engine, 5 * MIB)
    internal.session.flags |= ClientFlag.INTERNAL
    plain = with_input(engine, MIB)
    assert engine("CONFIG SET maxmemory-clients 2mb") == OK
    for _ in range(5):
        assert engine("PING")
    assert not any(map(is_gone, (careful, internal, plain)))
    assert is_gone(with_input(engine, 2 * MIB))
    assert not is_gone(plain)


def test_replies_that_nobody_reads_count(engine):
    engine("SET", "k", "v" * MIB)
    lazy = Caller(engine)
    lazy.sock.send(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" * 8)
    for _ in range(5):
        engine.server.reactor.poll()
    assert lazy.session.transport.out_len > 4 * MIB
    engine("CONFIG SET maxmemory-clients 4mb")
    assert is_gone(lazy)


def test_a_percentage_is_one_of_maxmemory(engine):
    bound = engine.server.client_eviction
    assert engine("CONFIG SET maxmemory-clients 10%") == OK
    assert engine("CONFIG GET maxmemory-clients") == [b"maxmemory-clients", b"10%"]
    assert bound.limit_bytes == 0, "of no limit"
    assert engine("CONFIG SET maxmemory 100mb") == OK and bound.limit_bytes == 10 * MIB
    assert engine("CONFIG SET maxmemory-clients 1") == OK and bound.limit_bytes == limits.CLIENTS_BYTES_MIN
    assert engine("CONFIG SET maxmemory-clients 0") == OK and bound.limit_bytes == 0


@pytest.mark.parametrize("word, reason", [
    ("101%", "percentage argument must be less or equal to 100"),
    ("-5%", "argument must be a memory or percent value"), ("5%%", "argument must be a memory or percent value"),
    ("-1", "argument must be a memory or percent value"), ("x", "argument must be a memory or percent value")])
def test_values_that_are_none(engine, word, reason):
    assert engine("CONFIG", "SET", "maxmemory-clients", word) == Error(
        f"ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - {reason}")


def test_many_go_batch_by_batch(engine, monkeypatch):
    monkeypatch.setattr(limits, "CLIENTS_EVICTED_AT_ONCE", 3)
    many = [with_input(engine, MIB // 8) for _ in range(10)]
    engine("CONFIG SET maxmemory-clients 200kb")
    engine.server.client_eviction.check()
    first = sum(one.session.transport.closing for one in many)
    assert 0 < first < 10
    for _ in range(5):
        engine.server.client_eviction.check()
    assert sum(one.session.transport.closing for one in many) == 9


def test_all_are_not_looked_at_again_and_again(engine, monkeypatch):
    careful = Caller(engine)
    careful("CLIENT NO-EVICT ON")
    careful.send(b"*2\r\n$3\r\nGET\r\n$5300000\r\n" + b"x" * 5 * MIB)
    now_ms = 1_000_000
    monkeypatch.setattr(client_eviction, "mono_ms", lambda: now_ms)
    looks = []
    real = client_eviction.client_bytes
    monkeypatch.setattr(client_eviction, "client_bytes", lambda client: looks.append(client) or real(client))
    engine("CONFIG SET maxmemory-clients 2mb")
    for _ in range(5):
        engine.server.client_eviction.check()
    assert len(looks) == 1, "the other client, once"
    now_ms += limits.CLIENTS_LOOK_MS + 1
    engine.server.client_eviction.check()
    assert len(looks) == 2


def test_tot_mem_has_the_buffers(engine):
    one = with_input(engine, MIB)
    line = next(line for line in engine("CLIENT LIST").splitlines() if b"id=%d " % one.session.id in line)
    total = int(line.partition(b"tot-mem=")[2].split()[0])
    assert MIB <= total < 3 * MIB


def tot_mem(engine: Engine, one: Caller) -> int:
    line = next(line for line in engine("CLIENT LIST").splitlines() if b"id=%d " % one.session.id in line)
    return int(line.partition(b"tot-mem=")[2].split()[0])


@pytest.mark.parametrize("greed", ["queue", "watch", "subscribe", "wait"])
def test_what_a_session_keeps_beside_its_buffers_counts(engine, greed):
    names = [b"{t}%d" % i for i in range(2000)]
    modest, greedy = Caller(engine), Caller(engine)
    memory = engine.server.memory
    kept_before = engine.server.clients.kept_bytes
    for first in range(0, 16_000, 2000):
        part = [b"%b-%d" % (name, first) for name in names]
        if greed == "queue":
            greedy("MULTI") if first == 0 else None
            assert greedy("DEL", *part) == Status("QUEUED")
        elif greed == "watch":
            assert greedy("WATCH", *part) == OK
        elif greed == "subscribe":
            greedy.send(b"".join((b"*2001\r\n$9\r\nSUBSCRIBE\r\n", *(b"$%d\r\n%b\r\n" % (len(n), n) for n in part))))
        else:
            names += part
    if greed == "wait":
        words = [b"BLPOP", *names, b"0"]
        greedy.send(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    kept = greedy.session.kept_bytes
    assert kept > 300_000 and engine.server.clients.kept_bytes - kept_before == kept
    assert tot_mem(engine, greedy) > kept
    parts = memory.parts()
    objects = engine.server.clients.object_bytes
    assert parts.data >= kept - objects and parts.clients >= objects, "used_memory has it, once"
    assert engine.server.evictor.held_bytes >= parts.data + objects
    assert engine("CONFIG", "SET", "maxmemory-clients", "%d" % (kept - 50_000)) == OK
    engine("PING")
    assert is_gone(greedy) and not is_gone(modest)
    engine.server.reactor.poll()
    assert engine.server.clients.kept_bytes == kept_before and engine.server.clients.object_bytes == 0
