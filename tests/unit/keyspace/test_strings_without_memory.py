"""String commands whose memory cannot be met, at each allocation in turn: -OOM, a sound keyspace, a true journal."""
import gc

import pytest

from harness.resp import Error
from shardd.structures import alloc
from unit.inproc import Engine

OOM = Error("OOM not enough memory for this value")
SLOT_TABLES = 1 << 20      # bytes that a database's first key takes besides its own
LONG = "x" * 3000


def prepared(first: bool) -> Engine:
    engine = Engine("--databases", "2")
    if first:
        engine("SELECT 1")      # an empty database: even its slot tables are missing
        return engine
    engine("SET", "{t}plain", "p" * 3000, "PXAT", 4_000_000_000_000)
    engine("SET", "{t}int", "7", "PXAT", 4_000_000_000_000)
    engine("SET", "{t}float", "1.5")
    engine("APPEND", "{t}heap", "h" * 100)
    engine("APPEND", "{t}heap", "h" * 100)
    for n in range(3):      # {t} fills its table's only bucket: the next key needs another
        engine("SET", f"{{t}}{n}", "v")
    return engine


COMMANDS = [
    "SET {t}new LONG", "SET {t}new 5", "SET {t}plain 5", "SET {t}int LONG KEEPTTL", "SET {t}int 9 PX 1000000 GET",
    "SETNX {t}new LONG",
    "SETEX {t}int 1000 LONG", "PSETEX {t}heap 1000000 s", "GETSET {t}int LONG", "GETSET {t}heap 5",
    "GETEX {t}float PX 1000000",
    "GETEX {t}plain PERSIST", "MSET {t}0 LONG {t}new LONG {t}more LONG {t}1 LONG", "MSETNX {t}new LONG {t}more LONG",
    "INCR {t}new",
    "INCRBY {t}int 5", "DECRBY {t}new 5", "INCRBYFLOAT {t}float 1", "INCRBYFLOAT {t}int 1.5", "INCRBYFLOAT {t}new 1",
    "APPEND {t}new LONG", "APPEND {t}int LONG", "APPEND {t}plain LONG", "APPEND {t}heap LONG", "SETRANGE {t}new 5 LONG",
    "SETRANGE {t}int 0 LONG", "SETRANGE {t}plain 100 LONG", "SETRANGE {t}heap 5 LONG", "SETRANGE {t}heap 5 s",
    "EXPIRE {t}float 1000",
    "PERSIST {t}plain"]


@pytest.fixture(autouse=True)
def no_limit():
    gc.collect()        # engines of other tests are in cycles, and must not give their memory back under a limit
    gc.disable()
    yield
    gc.enable()
    alloc.set_limit(0)


@pytest.mark.parametrize("first", [False, True], ids=["among-others", "first-key"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_allocation_in_turn(command, first):
    gc.collect()
    outside = alloc.used_memory()
    engine, replica = prepared(first), prepared(first)
    engine.follow()
    words = command.replace("LONG", LONG).split()
    before = engine.content()
    room = 0
    while True:
        alloc.set_limit(alloc.used_memory() + room or 1)
        reply = engine(*words)
        alloc.set_limit(0)
        engine.check()
        data = engine.journal()
        replica.replay(data)
        assert engine.content() == replica.content(), "the journal is not what happened"
        if reply != OOM:
            break
        if words[0] not in ("MSET", "MSETNX"):
            assert engine.content() == before and data == b""
        elif engine.content() != before:
            # a part is set: start anew, or the next round would not try the same
            engine, replica = prepared(first), prepared(first)
            engine.follow()
        room += 64 if room < 20_000 else SLOT_TABLES - 20_000 if room < SLOT_TABLES else 64
        assert room < SLOT_TABLES + 40_000, "it never succeeds"
    assert not isinstance(reply, Error), reply
    gc.collect()
    assert engine.check() + replica.check() == alloc.used_memory() - outside, "something is lost"


def test_reading_needs_none():
    engine = prepared(False)
    alloc.set_limit(1)
    assert engine("GET {t}heap") == b"h" * 200
    assert engine("MGET", "{t}int", "{t}no") == [b"7", None]
    assert engine("GETRANGE {t}plain 1 3") == b"ppp"
    assert engine("DEL", "{t}plain", "{t}heap") == 2
    assert engine("INCR {t}int") == 8
    assert engine("GETDEL {t}float") == b"1.5"
    alloc.set_limit(0)
    engine.check()
