"""MULTI and WATCH from inside: what the journal hears, what is kept and given back, when nobody looks."""
import pytest

from harness.resp import NULL_ARRAY, OK, Error, Status, encode
from shardd.base import errors
from shardd.net.client import ClientFlag
from shardd.structures import alloc
from shardd.wire.plain import Decoder
from unit.inproc import Caller, Engine

QUEUED = Status("QUEUED")


@pytest.fixture
def engine() -> Engine:
    return Engine()


def journal(engine: Engine) -> list[str]:
    return [b" ".join(words).decode() for words in Decoder().feed(engine.journal())]


def queue(run, *lines: str) -> None:
    assert run("MULTI") == OK
    for line in lines:
        assert run(line) == QUEUED


# --- the journal ------------------------------------------------------------------------------------------------------

def test_effects_of_one_exec_are_one_unit(engine):
    engine.follow()
    queue(engine, "SET a 1", "GET a", "INCRBYFLOAT b 1.5", "SELECT 2", "SET c 1")
    engine("EXEC")
    engine("SET d 1")
    assert journal(engine) == ["MULTI", "SELECT 0", "SET a 1", "SET b 1.5 KEEPTTL", "SELECT 2", "SET c 1", "EXEC",
                               "SET d 1"]


def test_a_single_effect_stands_by_itself(engine):
    engine.follow()
    queue(engine, "GET a", "SET a 1", "DEL b", "GET a")
    engine("EXEC")
    queue(engine, "GET a", "DEL b")
    engine("EXEC")
    assert journal(engine) == ["SELECT 0", "SET a 1"]


def test_one_command_of_several_effects_is_a_unit(engine):
    engine("SET k 5 PXAT 1")
    engine.follow()
    engine("INCR k")
    engine("SET x 2")
    assert journal(engine) == ["MULTI", "SELECT 0", "DEL k", "INCR k", "EXEC", "SET x 2"]


def test_keys_that_expire_are_units_of_their_own(engine):
    for n in range(3):
        engine("SET", f"k{n}", "v", "PXAT", 10**13)
    for n in range(3):
        engine("PEXPIREAT", f"k{n}", engine.server.keyspace.now_ms + 60_000)
    engine.follow()
    engine.server.keyspace.set_time(engine.server.keyspace.now_ms + 100_000)
    engine.server.expirer.cycle(100_000)
    assert sorted(journal(engine)[1:]) == ["DEL k0", "DEL k1", "DEL k2"]


def test_an_error_within_leaves_the_unit_whole(engine):
    engine.follow()
    queue(engine, "SET a x", "INCR a", "SET b 1")
    engine("EXEC")
    assert journal(engine) == ["MULTI", "SELECT 0", "SET a x", "SET b 1", "EXEC"]


# --- what is kept -----------------------------------------------------------------------------------------------------

def ended(engine: Engine, how: str) -> int:
    """Bytes of native memory that a transaction leaves behind."""
    caller = Caller(engine)
    engine.settle()
    before = alloc.used_memory()
    assert caller("WATCH a b") == OK and caller("MULTI") == OK
    for _ in range(3000):
        caller.send(encode("SET", "a", "v" * 100))
        caller.read()
    assert alloc.used_memory() - before > 300_000, "it is counted"
    if how == "close":
        caller.sock.close()
        engine.server.reactor.poll()
    elif how == "spoilt":
        assert engine("SET", "b", "1") == OK and caller("EXEC") is NULL_ARRAY
    else:
        caller(how)
    engine("DEL", "a", "b")
    engine.settle()
    client = caller.session
    assert (client.multi_count, client.multi_bytes, client.kept_bytes, client.watch_count) == (-1, 0, 0, 0)
    assert not client.flags & (ClientFlag.MULTI | ClientFlag.DIRTY_CAS | ClientFlag.DIRTY_EXEC)
    return alloc.used_memory() - before


@pytest.mark.parametrize("how", ["EXEC", "DISCARD", "RESET", "EXEC x", "spoilt", "close"])
def test_all_of_it_is_given_back(engine, how):
    engine("SET", "warm", "1")
    engine("DEL", "warm")
    assert ended(engine, how) == 0
    assert engine.server.dispatcher.multi.watches.clients == engine.server.dispatcher.multi.watches.keys == 0


def test_nothing_is_queued_behind_an_error(engine):
    engine("MULTI")
    engine("GET")
    before = alloc.used_memory()
    for _ in range(100):
        assert engine("SET", "a", "v" * 1000) == QUEUED
    assert alloc.used_memory() == before and engine.run.session.multi_count == 0


def test_too_much_is_cut_off(engine):
    engine("CONFIG SET client-query-buffer-limit 1mb")
    caller = Caller(engine)
    caller("MULTI")
    with pytest.raises(EOFError):
        for _ in range(30):
            caller("SET", "a", b"v" * 100_000)
        pytest.fail("it may queue without end")
    engine("PING")
    assert engine.server.stats.query_limit_closes == 1 and not engine.server.dispatcher.multi.watches.keys


def test_without_memory_to_queue(engine):
    engine("MULTI")
    alloc.set_limit(alloc.used_memory() + 100)
    try:
        assert engine("SET", "a", "v" * 1000) == Error(errors.OOM_ALLOCATION.decode())
    finally:
        alloc.set_limit(0)
    assert engine("EXEC") == Error(errors.EXEC_ABORTED.decode())


# --- WATCH ------------------------------------------------------------------------------------------------------------

def test_due_when_watched(engine):
    """As long as nobody deletes it, nothing has changed; deleting it is no change either."""
    other = Caller(engine)
    now = engine.server.keyspace.now_ms
    engine("SET", "k", "v", "PXAT", now + 1)
    while engine.server.keyspace.now_ms <= now + 1:
        engine("PING")
    assert engine("DBSIZE") == 1, "due, and still there"
    engine("WATCH k")
    queue(engine, "PING")
    assert engine("EXEC") == [Status("PONG")]
    engine("WATCH k")
    assert other("GET k") is None
    queue(engine, "PING")
    assert engine("EXEC") == [Status("PONG")]
    other("SET", "k", "v", "PXAT", now + 2)     # due at once
    engine("WATCH k")
    assert other("SET k v") == OK
    queue(engine, "PING")
    assert engine("EXEC") is NULL_ARRAY, "deleted, and then made again"


def test_due_at_exec(engine):
    now = engine.server.keyspace.now_ms
    engine("SET", "k", "v", "PXAT", now + 400)
    engine("WATCH k")
    queue(engine, "PING")
    while engine.server.keyspace.now_ms <= now + 400:
        Caller(engine)("PING")
    assert engine("EXEC") is NULL_ARRAY


def test_active_expiry_is_a_change(engine):
    now = engine.server.keyspace.now_ms
    engine("SET", "k", "v", "PXAT", now + 100_000)
    engine("WATCH k")
    engine.server.keyspace.set_time(now + 100_001)
    engine.server.expirer.cycle(100_000)
    assert engine.run.session.flags & ClientFlag.DIRTY_CAS and engine.run.session.watch_count == 0


def test_a_transaction_over_slots_is_a_proxys_alone(engine):
    server = engine.server
    server.dispatcher.cluster = True
    queue(engine, "SET a 1", "SET b 1")
    assert engine("EXEC") == Error(errors.CROSSSLOT.decode())
    link = Caller(engine)
    link.session.flags |= ClientFlag.INTERNAL
    queue(link, "SET a 1", "SET b 1")
    assert link("EXEC") == [OK, OK]


def test_slots_that_leave_meanwhile(engine):
    server = engine.server
    server.dispatcher.cluster = True
    server.dispatcher.announce = lambda client, slot: b"MOVED %d" % slot
    watcher = Caller(engine)
    assert watcher("WATCH a") == OK and engine("WATCH b") == OK
    queue(engine, "SET a 1")
    owned = bytearray(b"\1" * 16384)
    owned[15495] = 0        # the slot of a
    server.dispatcher.set_slots(bytes(owned))
    assert watcher.session.flags & ClientFlag.DIRTY_CAS and not engine.run.session.flags & ClientFlag.DIRTY_CAS
    assert engine("EXEC") == Error("MOVED 15495")
    assert engine("EXEC") == Error(errors.EXEC_WITHOUT_MULTI.decode())


# --- pauses -----------------------------------------------------------------------------------------------------------

def test_a_pause_of_writes_holds_exec_with_writes(engine):
    reader, writer = Caller(engine), Caller(engine)
    queue(reader, "GET a")
    queue(writer, "SET a 1")
    engine("CLIENT PAUSE 100000 WRITE")
    assert reader("EXEC") == [None]
    writer.send(encode("EXEC"))
    assert not any(writer._turn() for _ in range(5))
    assert engine("GET a") is None and engine("CLIENT UNPAUSE") == OK
    assert writer.read() == [OK]


def test_a_long_transaction_gives_its_memory_back_as_it_runs(engine: Engine) -> None:
    """What is queued and what it makes are not both there: memory for a few of the values is enough."""
    caller = Caller(engine)
    assert caller("MULTI") == OK
    for n in range(20):
        assert caller("SET", f"k{n}", b"%d" % n * 500_000) == QUEUED
        assert caller("INCR", "n") == QUEUED
    alloc.set_limit(alloc.used_memory() + 3_000_000)
    try:
        assert caller("EXEC") == [word for n in range(20) for word in (OK, n + 1)]
    finally:
        alloc.set_limit(0)
    assert [caller("STRLEN", f"k{n}") for n in range(20)] == [500_000] * 10 + [1_000_000] * 10
    assert caller("MULTI") == OK and caller("GET", "n") == QUEUED and caller("EXEC") == [b"20"]
    alloc.check()
