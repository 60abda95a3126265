"""The journal: effects in order, that give a second engine the same keyspace whenever they are replayed."""
import gc
import random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from harness.resp import encode
from shardd.wire.plain import Decoder
from unit.engine.raw import Raw
from unit.inproc import Engine

FAR = 4_000_000_000_000


class Tail:
    """A reader."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.pieces.append(data)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


@pytest.fixture
def engine():
    return Engine("--databases", "3")


def effects_of(engine: Engine, *lines: str) -> list[list[bytes]]:
    engine.journal()
    for line in lines:
        engine(line)
    return engine.effects()


# --- what is told -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, told", [
    ("SET a 1", ["SET a 1"]), ("SET a 1 KEEPTTL", ["SET a 1 KEEPTTL"]), ("SET a 1 GET", ["SET a 1"]),
    ("SET a 1 XX", ["SET a 1"]),
    ("SET a 1 NX", []), ("SET new 1 NX", ["SET new 1"]), ("SET new 1 XX", []),
    (f"SET a 1 PXAT {FAR}", [f"SET a 1 PXAT {FAR}"]),
    (f"SET a 1 EXAT {FAR // 1000}", [f"SET a 1 PXAT {FAR}"]), ("SETNX a 1", []), ("SETNX new 1", ["SETNX new 1"]),
    ("GETSET a 2", ["SET a 2"]), ("GETDEL a", ["DEL a"]), ("GETDEL new", []), ("GETEX a", []), ("GETEX a PERSIST", []),
    ("GETEX t PERSIST", ["PERSIST t"]), (f"GETEX a PXAT {FAR}", [f"PEXPIREAT a {FAR}"]), ("GETEX a PXAT 1", ["DEL a"]),
    ("MSET a 1 b 2", ["MSET a 1 b 2"]), ("MSETNX new 1 a 2", []), ("MSETNX new 1 other 2", ["MSETNX new 1 other 2"]),
    ("INCR n", ["INCR n"]), ("INCR a", []), ("INCRBYFLOAT n 1.5", ["SET n 6.5 KEEPTTL"]),
    ("APPEND a x", ["APPEND a x"]),
    ("SETRANGE a 1 y", ["SETRANGE a 1 y"]), ("GET a", []), ("STRLEN a", []), ("GETRANGE a 0 1", []), ("MGET a b", []),
    ("LCS a n", []),
    ("SET", []), ("NOSUCH", []), ("SELECT 99", []), ("PING", [])])
def test_what_strings_tell(engine, line, told):
    engine("MSET", "a", "text", "n", "5")
    engine("SET", "t", "v", "PXAT", FAR)
    engine.follow()
    assert effects_of(engine, line) == [words.encode().split() for words in told]


@pytest.mark.parametrize("line",
                         ["SET a 1 EX 100", "SET a 1 PX 100000", "SETEX a 100 1", "PSETEX a 100000 1", "GETEX a EX 100",
                                  "EXPIRE a 100", "PEXPIRE a 100000"])
def test_times_are_absolute(engine, line):
    engine("SET a old")
    engine.follow()
    [effect] = effects_of(engine, line)
    when = engine("PEXPIRETIME a")
    assert effect[-1] == b"%d" % when
    assert effect[0] in (b"SET", b"PEXPIREAT")


def test_the_database_is_said_where_it_changes(engine):
    engine.follow()
    for line in ("SET a 1", "SELECT 2", "GET a", "SET a 1", "SET b 1", "SELECT 0", "SELECT 2", "DEL a", "SELECT 0",
                 "DEL a"):
        engine(line)
    assert [b" ".join(words).decode() for words in Decoder().feed(engine.journal())] == [
        "SELECT 0", "SET a 1", "SELECT 2", "SET a 1", "SET b 1", "DEL a", "SELECT 0", "DEL a"]


# --- readers ----------------------------------------------------------------------------------------------------------

def test_readers_come_and_go(engine):
    journal = engine.server.journal
    first, second = Tail(), Tail()
    engine("SET before 1")
    assert journal.effects == 0 and not journal.active
    journal.add_reader(first)
    engine("SET a 1")
    journal.add_reader(second)
    engine("SET b 2")
    journal.remove_reader(first)
    engine("SET c 3")
    journal.flush()
    assert list(Decoder().feed(first.data)) == [
        [b"SELECT", b"0"], [b"SET", b"a", b"1"], [b"SELECT", b"0"], [b"SET", b"b", b"2"]]
    assert list(Decoder().feed(second.data)) == [[b"SELECT", b"0"], [b"SET", b"b", b"2"], [b"SET", b"c", b"3"]]
    assert journal.offset == len(first.data) + len(encode("SET", "c", "3"))
    assert journal.effects == 3
    journal.remove_reader(second)
    engine("SET d 4")
    journal.flush()
    assert not journal.active and journal.effects == 3


def test_a_reader_may_leave_when_it_is_fed(engine):
    journal = engine.server.journal

    class Leaver(Tail):
        def feed(self, data):
            super().feed(data)
            journal.remove_reader(self)

    leaver, stayer = Leaver(), Tail()
    journal.add_reader(leaver)
    journal.add_reader(stayer)
    engine("SET a 1")
    journal.flush()
    engine("SET b 2")
    journal.flush()
    assert leaver.data == encode("SELECT", 0) + encode("SET", "a", "1")
    assert stayer.data == leaver.data + encode("SET", "b", "2")


@pytest.mark.parametrize("sent, told", [
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nab\r\n", None),
    (b"*3\r\n$3\r\nset\r\n$10\r\n0123456789\r\n$0\r\n\r\n", None),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1234\r\n" + b"v" * 1234 + b"\r\n", None),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12345\r\n" + b"v" * 12345 + b"\r\n", None),
    # what follows a CR and a bulk is read as it comes
    (b"*3\rX$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", "SET k v"), (b"*3\r\n$3\rXSET\r\n$1\r\nk\r\n$1\r\nv\r\n", "SET k v"),
    (b"*3\r\n$3\r\nSETXY$1\r\nk\r\n$1\r\nv\r\n", "SET k v"), (b"*3\r\n$3\r\nSET\r\n$1\rXk\r\n$1\r\nv\r\n", "SET k v"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nkXY$1\r\nv\r\n", "SET k v"), (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nvXY", "SET k v"),
    (b"SET      k      v\r\n", "SET k v"), (b'SET "\\r\\n$1\\r\\nk" v\r\n', None),
    (b"  SET k     \"v\"  \n", "SET k v")])
def test_requests_are_told_as_they_came_or_as_they_should_have(engine, sent, told):
    caller = Raw(engine)
    engine.follow()
    reply = caller(sent)
    if told is None and sent.startswith(b"SET"):
        told = ("SET", b"\r\n$1\r\nk", "v")
    data = engine.journal()
    assert (reply, data) == (b"+OK\r\n", encode("SELECT", 0) + (sent if told is None else encode(
        *(told.split() if isinstance(told, str) else told))))


def test_large_effects(engine):
    engine.follow()
    value = bytes(range(256)) * 8000
    engine("SET", "k", value)
    engine("MSET", *[word for n in range(5000) for word in (f"k{n}", "v")])
    replica = Engine("--databases", "3")
    replica.replay(engine.journal())
    assert replica.content() == engine.content()


# --- the same keyspace ------------------------------------------------------------------------------------------------

KEYS = ["a", "b", "c", "{t}a", "{t}b", ""]
NUMBERS = ["0", "1", "-1", "7", "abc", "9223372036854775807", "-9223372036854775808", "1e3"]
TIMES = ["EX 100", "PX 100000", f"PXAT {FAR}", f"EXAT {FAR // 1000}", "PXAT 1", "KEEPTTL", "EX 0", ""]


def random_command(rng: random.Random) -> list[str]:
    key, other, value = rng.choice(KEYS), rng.choice(KEYS), rng.choice([*NUMBERS, "text", "x" * 50, "y" * 3000])
    number, when = rng.choice(NUMBERS), rng.choice(TIMES).split()
    return rng.choice([
        ["SET", key, value, *when], ["SET", key, value, rng.choice(["NX", "XX"]), "GET", *when], ["SETNX", key, value],
        ["SETEX", key, rng.choice(["100", "0"]), value], ["PSETEX", key, "100000", value], ["GETSET", key, value],
        ["GETDEL", key],
        ["GETEX", key, *(when if when != ["KEEPTTL"] else ["PERSIST"])], ["MSET", key, value, other, number],
        ["MSETNX", key, value, other, number], ["INCR", key], ["DECRBY", key, number],
        ["INCRBYFLOAT", key, rng.choice(NUMBERS)],
        ["APPEND", key, value], ["SETRANGE", key, rng.choice(["0", "3", "70", "-1"]), value], ["DEL", key, other],
        ["UNLINK", key], ["RENAME", key, other], ["RENAMENX", key, other], ["COPY", key, other, "REPLACE"],
        ["COPY", key, other, "DB", "1"],
        ["MOVE", key, rng.choice("012")],
        ["EXPIRE", key, rng.choice(["100", "-1", "0"]), *rng.choice([[], ["NX"], ["GT"], ["LT"]])],
        ["PEXPIREAT", key, rng.choice([str(FAR), "1"])], ["PERSIST", key], ["SELECT", rng.choice("0012")], ["GET", key],
        ["RANDOMKEY"], ["SCAN", "0"], ["SWAPDB", "0", rng.choice("12")],
        *([["FLUSHDB"]] if rng.random() < 0.1 else [])])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from([1, 7, 500]))
def test_a_replay_gives_the_same_keyspace(seed, piece):
    """Whatever the commands, their errors included: the effects, in pieces of any size, are a copy of the engine.

    No key falls due between the two runs, since this replica, unlike one of a replication link, expires keys itself.
    """
    gc.collect()        # the engines of the last example, and their descriptors
    rng = random.Random(seed)
    engine, replica = Engine("--databases", "3"), Engine("--databases", "3")
    tail = Tail()
    raw = Raw(engine)
    engine.server.journal.add_reader(tail)
    for _ in range(rng.randrange(1, 40)):
        raw(b"".join(encode(*random_command(rng)) for _ in range(rng.randrange(1, 30))))
        if rng.random() < 0.2:
            engine.server.expirer.cycle(rng.choice([0, 1000]))
        if rng.random() < 0.3:
            engine.server.journal.flush()
    engine.server.expirer.cycle(1000)
    expected = engine.content()
    engine.server.journal.flush()
    for at in range(0, len(tail.data), piece * 200):
        for words in [tail.data[at:at + piece * 200]]:
            replica.run.send(words)
    effects = list(Decoder().feed(tail.data))
    for words in effects:
        reply = replica.run.read()
        assert type(reply).__name__ != "Error", (words, reply)
    assert replica.content() == expected
    engine.check()
    replica.check()


# --- RESTORE ----------------------------------------------------------------------------------------------------------

def test_restore_is_told_with_an_absolute_time_to_live(engine):
    engine("SET", "a", "text")
    payload = engine("DUMP", "a")
    engine.follow()
    engine("RESTORE", "b", 0, payload)
    assert engine.effects() == [[b"RESTORE", b"b", b"0", payload]]
    engine("RESTORE", "b", FAR, payload, "ABSTTL", "REPLACE")
    assert engine.effects() == [[b"RESTORE", b"b", str(FAR).encode(), payload, b"ABSTTL", b"REPLACE"]]
    engine("RESTORE", "b", 100_000, payload, "REPLACE", "IDLETIME", 7)
    expiry = str(engine("PEXPIRETIME", "b")).encode()
    assert engine.effects() == [[b"RESTORE", b"b", expiry, payload, b"REPLACE", b"IDLETIME", b"7", b"ABSTTL"]]
    for line in (["RESTORE", "b", 0, payload], ["RESTORE", "c", 1, payload, "ABSTTL"],
                 ["RESTORE", "b", 0, payload[:-1], "REPLACE"]):
        engine(*line)
        assert engine.effects() == []
    engine("RESTORE", "b", 1, payload, "ABSTTL", "REPLACE")
    assert engine.effects() == [[b"DEL", b"b"]]
