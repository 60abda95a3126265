"""Blocked clients from inside: the journal, holds and pauses, slots that leave, memory, time-outs that a test sets."""
import pytest

from harness.resp import NULL_ARRAY, OK, Error, Status, encode
from shardd.base import errors
from shardd.base.clock import mono_ms
from shardd.net.client import ClientFlag
from shardd.structures import alloc
from shardd.wire.plain import Decoder
from unit.inproc import Caller, Engine

QUEUED = Status("QUEUED")


@pytest.fixture
def engine() -> Engine:
    return Engine()


def waiting(engine: Engine, line: str, internal: bool = False) -> Caller:
    """A client that is blocked in a command."""
    caller = Caller(engine)
    if internal:
        engine.server.clients.discard(caller.session)
        engine.server.clients.add_internal(caller.session)
    caller.send(encode(*line.split()))
    assert caller.session.flags & ClientFlag.BLOCKED
    return caller


def silent(caller: Caller) -> bool:
    return not any(caller._turn() for _ in range(5))


def clean(engine: Engine) -> bool:
    """Whether nothing of any wait is left."""
    blocking = engine.server.dispatcher.blocking
    return blocking.clients == blocking.internal == blocking.keys == blocking.timed == 0


def journal(engine: Engine) -> list[str]:
    return [b" ".join(words).decode() for words in Decoder().feed(engine.journal()) if words[0] != b"SELECT"]


# --- the journal ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, maker, told", [
    ("BLPOP a b 0", "RPUSH b 1", "LPOP b"), ("BRPOP b 0", "RPUSH b 1", "RPOP b"),
    ("BLMOVE b c LEFT RIGHT 0", "RPUSH b 1", "LMOVE b c LEFT RIGHT"),
    ("BRPOPLPUSH b c 0", "RPUSH b 1", "LMOVE b c RIGHT LEFT"),
    ("BLMPOP 0 2 a b RIGHT COUNT 9", "RPUSH b 1", "RPOP b 1"), ("BZPOPMIN b 0", "ZADD b 1 x", "ZPOPMIN b"),
    ("BZPOPMAX b 0", "ZADD b 1 x", "ZPOPMAX b"), ("BZMPOP 0 1 b MIN COUNT 3", "ZADD b 1 x", "ZPOPMIN b 1"),
])
def test_what_was_popped_is_told(engine, line, maker, told):
    engine.follow()
    caller = waiting(engine, line)
    assert journal(engine) == []
    engine(maker)
    assert caller.read()
    assert journal(engine) == [maker, told], "two units: two commands"
    engine("DEL", "a", "b", "c")
    engine(maker)
    engine.journal()
    assert caller(line)
    assert journal(engine) == [told], "the same where it need not wait"


def test_behind_a_transaction(engine):
    engine.follow()
    caller = waiting(engine, "BLPOP a 0")
    for line in ("MULTI", "RPUSH a 1 2", "SET k v", "EXEC"):
        engine(line)
    assert journal(engine) == ["MULTI", "RPUSH a 1 2", "SET k v", "EXEC", "LPOP a"]
    assert caller.read() == [b"a", b"1"]


# --- holds, pauses, slots ---------------------------------------------------------------------------------------------

def test_a_hold_is_one_step(engine):
    caller, holder = waiting(engine, "BLPOP a 0"), Caller(engine)
    holder.session.flags |= ClientFlag.INTERNAL
    assert holder("SHARDD", "HOLD", 1000) == OK
    assert holder("RPUSH", "a", "1") == 1 and holder("LLEN", "a") == 1 and silent(caller)
    assert holder("SHARDD", "RELEASE") == OK
    assert caller.read() == [b"a", b"1"]


def test_a_pause_holds_it_back(engine):
    caller, link = waiting(engine, "BLPOP a 0"), Caller(engine)
    link.session.flags |= ClientFlag.INTERNAL
    assert engine("CLIENT PAUSE 100000 WRITE") == OK
    assert link("RPUSH", "a", "1") == 1 and silent(caller) and link("LLEN", "a") == 1
    assert engine("CLIENT UNPAUSE") == OK
    assert caller.read() == [b"a", b"1"] and clean(engine)


def test_paused_clients_count_as_blocked(engine):
    caller = Caller(engine)
    engine("CLIENT PAUSE 100000 WRITE")
    caller.send(encode("SET", "a", "1"))
    assert b"blocked_clients:1\r\n" in engine("INFO clients")
    engine("CLIENT UNPAUSE")
    assert caller.read() == OK


def test_a_slot_that_leaves(engine):
    dispatcher = engine.server.dispatcher
    dispatcher.cluster = True
    dispatcher.announce = lambda client, slot: b"MOVED %d" % slot
    gone, stays = waiting(engine, "BLPOP a 0"), waiting(engine, "BLPOP b 0")
    owned = bytearray(b"\1" * 16384)
    owned[15495] = 0        # the slot of a
    dispatcher.set_slots(bytes(owned))
    dispatcher.end_of_batch()
    assert gone.read() == Error("MOVED 15495") and silent(stays)
    assert gone("PING") == Status("PONG")
    engine("RPUSH", "b", "1")
    assert stays.read() == [b"b", b"1"] and clean(engine)


def test_no_memory_when_its_turn_comes(engine):
    caller, popper = waiting(engine, "BLMOVE a b LEFT LEFT 0"), waiting(engine, "BLPOP a 0")
    assert engine("MULTI") == OK and engine("RPUSH", "a", "1") == QUEUED
    assert engine("CONFIG", "SET", "maxmemory", "1") == QUEUED
    assert engine("EXEC") == [1, OK]
    assert caller.read() == Error(errors.OOM.decode()) and popper.read() == [b"a", b"1"]


# --- time-outs --------------------------------------------------------------------------------------------------------

def test_in_order_of_their_time(engine):
    blocking = engine.server.dispatcher.blocking
    told: list[int] = []
    blocking.on_deadline = told.append
    start = mono_ms()
    late, soon, never = waiting(engine, "BLPOP a 50"), waiting(engine, "BLPOP a b 20"), waiting(engine, "BLPOP a 0")
    assert len(told) == 2 and start + 20_000 <= told[1] <= told[0] and blocking.timed == 2
    assert blocking.time_out(start + 19_999) == told[1]
    engine.server.dispatcher.end_of_batch()
    assert silent(soon) and silent(late)
    assert blocking.time_out(told[1]) == told[0]
    engine.server.dispatcher.end_of_batch()
    assert soon.read() is NULL_ARRAY and silent(late)
    assert blocking.time_out(told[0]) == 0
    engine.server.dispatcher.end_of_batch()
    assert late.read() is NULL_ARRAY and silent(never)


def test_who_was_served_leaves_no_time_out_behind(engine):
    blocking = engine.server.dispatcher.blocking
    other = Caller(engine)
    for _ in range(2000):
        engine.run.send(encode("BLPOP", "a", "1000"))
        other("RPUSH", "a", "1")
        assert engine.run.read() == [b"a", b"1"]
    assert clean(engine) and blocking.time_out(mono_ms() + 10**9) == 0


# --- memory, ends -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["serve", "time", "unblock", "close"])
def test_all_of_it_is_given_back(engine, how):
    engine("RPUSH", "a", "1")
    engine("DEL", "a")
    engine.settle()
    before = alloc.used_memory()
    caller = waiting(engine, "BLPOP " + " ".join(f"key{n}" for n in range(500)) + " a 100")
    assert alloc.used_memory() > before + 3000 and caller.session.kept_bytes > 3000
    if how == "serve":
        engine("RPUSH", "a", "1")
        assert caller.read() == [b"a", b"1"]
    elif how == "time":
        engine.server.dispatcher.blocking.time_out(mono_ms() + 100_001)
        engine.server.dispatcher.end_of_batch()
        assert caller.read() is NULL_ARRAY
    elif how == "unblock":
        assert engine("CLIENT", "UNBLOCK", caller.session.id) == 1
        assert caller.read() is NULL_ARRAY
    else:
        caller.sock.close()
        engine.server.reactor.poll()
    engine.settle()
    assert alloc.used_memory() == before, "not only when the time-out would have come"
    assert clean(engine) and caller.session.kept_bytes == 0


def test_ended_and_gone_before_it_was_told(engine):
    caller = waiting(engine, "BLPOP a 0")
    assert engine.server.dispatcher.blocking.unblock(caller.session, False)
    caller.session.transport.close()
    engine.server.dispatcher.end_of_batch()
    engine.server.reactor.poll()
    assert clean(engine) and engine("PING") == Status("PONG")


def test_too_much_behind_is_cut_off(engine):
    engine("CONFIG SET client-query-buffer-limit 1mb")
    caller = waiting(engine, "BLPOP a 0")
    with pytest.raises(EOFError):
        for _ in range(30):
            caller.send(b"x" * 100_000)
            silent(caller)
    assert clean(engine)


# --- within the tree --------------------------------------------------------------------------------------------------

def test_wait_keys(engine):
    assert isinstance(engine("SHARDD", "WAITKEYS", "list", "0", "a"), Error)
    link = waiting(engine, "SHARDD WAITKEYS list 0 a b", internal=True)
    client = waiting(engine, "BLPOP b 0")
    assert engine.server.dispatcher.blocking.clients == 1 and b"blocked_clients:1\r\n" in engine("INFO clients")
    engine("SET", "a", "x")
    engine("DEL", "a")
    engine("ZADD", "a", "1", "x")
    assert silent(link)
    engine("RPUSH", "b", "1")
    assert link.read() == b"b" and client.read() == [b"b", b"1"]
    link = waiting(engine, "SHARDD WAITKEYS zset 0 z", internal=True)
    assert engine("CLIENT", "UNBLOCK", link.session.id, "ERROR") == 1
    assert link.read() == Error(errors.UNBLOCKED.decode())
    assert link("SHARDD", "WAITKEYS", "zset", "0", "none", "a") == b"a"
    assert isinstance(link("SHARDD", "WAITKEYS", "hash", "0", "a"), Error)


def test_many_in_line(engine):
    callers = [waiting(engine, "BLPOP a 0") for _ in range(100)]
    engine("RPUSH", "a", *range(60))
    assert [caller.read()[1] for caller in callers[:60]] == [b"%d" % n for n in range(60)]
    assert engine("EXISTS", "a") == 0 and all(silent(caller) for caller in callers[60:65])
    assert engine.server.dispatcher.blocking.clients == 40
