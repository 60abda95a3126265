"""Commands over engines: what is asked in which order, replies, and what an engine's failure leaves behind. The engines
are played: small servers with SHARDD HOLD, RELEASE, READ, LEND, KEEP, DROP, COMPUTE and STORE."""
import itertools
from collections.abc import Iterator

import pytest

from harness.resp import OK, Error, encode
from proxy.joint import held
from shardd.base import errors, limits
from unit.proxy.rig import Engine, Rig

DOWN = Error("ERR engine 1 is down, the command may or may not have been executed")
NOT_EXECUTED = Error("CLUSTERDOWN engine 1 is down, the command was not executed")


PIECE = 10


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


class Store:
    """An engine with a few commands, a table per database, and a hold."""

    def __init__(self, engine: Engine, log: list[tuple[int, bytes]]) -> None:
        self.engine, self.log = engine, log
        self.tables: dict[int, dict[bytes, tuple[bytes, int]]] = {}
        self.db: dict[object, int] = {}
        self.guests: dict[bytes, bytes] = {}
        self.holder: object = None
        self.waiting: list[tuple[object, list[bytes]]] = []
        self.deaf_to: bytes = b""
        self.refuses: bytes = b""
        self.refusal = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        self.dies_at: bytes = b""
        self.counts: list[int] = []     # that READ asked for behind a first piece
        engine.auto = self.got

    def got(self, request: list[bytes]) -> bytes | None:
        link = self.engine.heard
        if self.holder is not None and self.holder not in self.engine.links:
            self.holder = None
        if self.holder not in (None, link):
            self.waiting.append((link, request))
            return None
        return self.answer(link, request)

    def answer(self, link: object, request: list[bytes]) -> bytes | None:
        name = request[1] if request[0] == b"SHARDD" else request[0].upper()
        table = self.tables.setdefault(self.db.get(link, 0), {})
        self.log.append((self.engine.index, name))
        if name == self.dies_at:
            self.engine.die()
            return None
        if name == self.deaf_to:
            return None
        if name == self.refuses:
            return self.refusal
        if name == b"SELECT":
            self.db[link] = int(request[1])
        if name == b"HOLD":
            self.holder = link
        if name == b"RELEASE":
            self.holder = None
            waiting, self.waiting = self.waiting, []
            for one, held_back in waiting:
                if one in self.engine.links:
                    self.engine.reply(self.answer(one, held_back), one)
        if name == b"READ":
            self.counts += map(int, request[4:])
            return self.read(table, request[2], int(request[3]) if request[3:] else 0)
        if name == b"LEND":
            self.guests[request[2]] = self.guests.get(request[2], b"") + request[4]
        if name == b"KEEP":
            table[request[3]] = self.guests.pop(request[2]), int(request[4])
        if name == b"DROP":
            return b":%d\r\n" % (table.pop(request[2], None) is not None)
        if name in (b"COMPUTE", b"STORE"):
            count = int(request[2])
            given = self.guests | dict(zip(request[3:3 + 3 * count:3], request[5:5 + 3 * count:3]))
            parts = [given.get(key, table.get(key, (b"",))[0]) for key in request[4 + 3 * count:]]
            if name == b"COMPUTE":
                return bulk(b"+".join(parts))
            table[request[4 + 3 * count]] = b"+".join(parts[1:]), -1
            return b":%d\r\n" % len(parts)
        if name == b"EXISTS":
            return b":%d\r\n" % sum(key in table for key in request[1:])
        if name == b"DEL":
            return b":%d\r\n" % sum(table.pop(key, None) is not None for key in request[1:])
        if name == b"MSET":
            table.update((key, (value, -1)) for key, value in zip(request[1::2], request[2::2]))
        if name == b"SET":
            table[request[1]] = request[2], int(request[4]) if request[3:4] == [b"PXAT"] else -1
        if name == b"GET":
            return bulk(table[request[1]][0]) if request[1] in table else b"$-1\r\n"
        return b"+OK\r\n"


    @staticmethod
    def read(table: dict[bytes, tuple[bytes, int]], key: bytes, at: int) -> bytes:
        """READ: in pieces of PIECE bytes."""
        if key not in table:
            return b"$-1\r\n"
        value, expire_at_ms = table[key]
        after = at + PIECE if at + PIECE < len(value) else 0
        return b"*6\r\n$3\r\nset\r\n:%d\r\n:%d\r\n:7\r\n:%d\r\n%b" % (
            len(value), after, expire_at_ms, bulk(value[at:at + PIECE]))


class Stage(Rig):
    """A rig whose engines are stores. log: (engine, command) in the order executed."""

    def __init__(self) -> None:
        super().__init__(2)
        self.log: list[tuple[int, bytes]] = []
        self.stores = [Store(engine, self.log) for engine in self.engines]

    def put(self, index: int, key: bytes, value: bytes, at: int = -1, db: int = 0) -> None:
        self.stores[index].tables.setdefault(db, {})[key] = value, at

    def table(self, index: int, db: int = 0) -> dict[bytes, tuple[bytes, int]]:
        return self.stores[index].tables.get(db, {})

    def calm(self) -> bool:
        """Nobody holds, and no link is lent."""
        self.turn()
        return (all(store.holder is None or store.holder not in store.engine.links for store in self.stores)
                and all(not engine.lent for engine in self.server.engines))


@pytest.fixture
def rig() -> Iterator[Stage]:
    rig = Stage()
    yield rig
    rig.close()


@pytest.fixture
def keys(rig) -> tuple[bytes, bytes]:
    return rig.key(0), rig.key(1)


def test_rename(rig, keys):
    a, b = keys
    c = rig.client()
    assert c("RENAME", a, b) == Error("ERR no such key")
    rig.put(0, a, b"v", 1_900_000_000_000)
    rig.put(1, b, b"old")
    rig.log.clear()
    assert c("RENAME", a, b) == OK
    assert rig.table(0) == {} and rig.table(1) == {b: (b"v", 1_900_000_000_000)}
    assert [entry for entry in rig.log if entry[1] != b"PING"] == [
        (0, b"HOLD"), (1, b"HOLD"), (0, b"READ"), (1, b"LEND"), (1, b"KEEP"), (0, b"DROP"), (0, b"RELEASE"),
        (1, b"RELEASE")]
    assert c("RENAME", b, a) == OK, "holds are taken in the same order the other way round"
    assert [entry for entry in rig.log if entry[1] == b"HOLD"] == [(0, b"HOLD"), (1, b"HOLD")] * 2
    assert rig.calm()


def test_a_large_value_goes_in_pieces_and_keeps_its_holds(rig, keys, monkeypatch):
    """The next piece is read while the last one is lent; in between the holds are renewed, or they would end in the
    middle of what is one step."""
    a, b = keys
    c = rig.client()
    clock = itertools.count(0, limits.PROXY_HOLD_MS // 40)
    monkeypatch.setattr(held, "mono_ms", lambda: next(clock))
    rig.put(0, a, b"0123456789" * 40, 1_900_000_000_000)
    assert c("RENAME", a, b) == OK
    assert rig.table(0) == {} and rig.table(1) == {b: (b"0123456789" * 40, 1_900_000_000_000)}
    names = [name for _, name in rig.log]
    assert names.count(b"READ") == names.count(b"LEND") == 40 and names.count(b"KEEP") == 1
    assert names.count(b"HOLD") == 2 + 2 * 3
    assert rig.stores[0].counts == [7 * limits.HELD_PIECES] * 39, "nobody else uses the engine meanwhile"
    assert rig.calm()


def test_half_a_value_does_not_come(rig, keys):
    a, b = keys
    c = rig.client()
    rig.put(0, a, b"x" * 35, 1_900_000_000_000)
    rig.put(1, b, b"old")
    rig.stores[1].refuses = b"KEEP"
    assert c("COPY", a, b, "REPLACE") == Error("OOM command not allowed when used memory > 'maxmemory'.")
    assert rig.table(1) == {b: (b"old", -1)}
    assert rig.calm()


def test_what_a_lost_hold_leaves_half_done_is_not_called_undone(rig, keys):
    a, b = keys
    c = rig.client()
    rig.put(0, a, b"v")
    rig.stores[0].refuses, rig.stores[0].refusal = b"DROP", b"-%b\r\n" % errors.HOLD_OVER
    assert c("RENAME", a, b) == Error(errors.EXECUTED_IN_PART.decode())
    assert rig.table(0) == {a: (b"v", -1)} and rig.table(1) == {b: (b"v", -1)}
    rig.stores[1].refuses, rig.stores[1].refusal = b"KEEP", b"-%b\r\n" % errors.HOLD_OVER
    assert c("RENAME", a, b) == Error(errors.HOLD_OVER.decode()), "nothing was written"
    assert rig.calm()


def test_renamenx(rig, keys):
    a, b = keys
    c = rig.client()
    assert c("RENAMENX", a, b) == Error("ERR no such key")
    rig.put(0, a, b"v")
    rig.put(1, b, b"old")
    assert c("RENAMENX", a, b) == 0
    assert rig.table(0) == {a: (b"v", -1)} and rig.table(1) == {b: (b"old", -1)}
    assert c("DEL", b) == 1
    assert c("RENAMENX", a, b) == 1
    assert rig.table(0) == {} and rig.table(1) == {b: (b"v", -1)}
    assert rig.calm()


def test_copy(rig, keys):
    a, b = keys
    c = rig.client()
    assert c("COPY", a, b) == 0
    rig.put(0, a, b"v", 1_900_000_000_000)
    assert c("COPY", a, b) == 1
    assert c("COPY", a, b) == 0
    rig.put(0, a, b"new")
    assert c("COPY", a, b, "REPLACE") == 1
    assert rig.table(0) == {a: (b"new", -1)} and rig.table(1) == {b: (b"new", -1)}
    assert rig.calm()


def test_copy_to_another_database(rig, keys):
    a, b = keys
    c = rig.client()
    c("SELECT", 2)
    rig.put(0, a, b"v", db=2)
    rig.put(1, b, b"here", db=2)
    assert c("COPY", a, b, "DB", 5) == 1
    assert c("COPY", a, b, "db", 5) == 0
    assert c("COPY", a, b, "DB", 2) == 0
    assert c("COPY", a, b, "REPLACE", "DB", 2) == 1
    assert rig.table(1, 5) == {b: (b"v", -1)} and rig.table(1, 2) == {b: (b"v", -1)}
    assert c("GET", b) == b"v"


@pytest.mark.parametrize(("options", "error"), [
    (["BOGUS"], "ERR syntax error"), (["DB"], "ERR syntax error"), (["REPLACE", "DB"], "ERR syntax error"),
    (["DB", "x"], "ERR value is not an integer or out of range"), (["DB", "16"], "ERR DB index is out of range"),
    (["DB", "-1"], "ERR DB index is out of range"),
    (["DB", str(2**31)], "ERR value is out of range, value must between -2147483648 and 2147483647"),
])
def test_copys_errors(rig, keys, options, error):
    assert rig.client()("COPY", *keys, *options) == Error(error)
    assert rig.log == []


def test_msetnx(rig, keys):
    a, b = keys
    c, a2 = rig.client(), rig.key(0, 7)
    assert c("MSETNX", a, "1", b, "2", a2, "3", a, "4") == 1
    assert rig.table(0) == {a: (b"4", -1), a2: (b"3", -1)} and rig.table(1) == {b: (b"2", -1)}
    assert c("MSETNX", rig.key(0, 9), "1", b, "x") == 0
    assert rig.table(0) == {a: (b"4", -1), a2: (b"3", -1)} and rig.table(1) == {b: (b"2", -1)}
    assert c("MSETNX", a, "1", b) == Error("ERR wrong number of arguments for 'msetnx' command")
    assert rig.calm()


def test_where_keys_are_on_one_engine_it_is_one_command(rig, keys):
    a, a2 = keys[0], rig.key(0, 7)
    rig.put(0, a, b"v")
    rig.client().send("RENAME", a, a2)
    assert rig.log == [(0, b"RENAME")]


def test_a_clients_order_holds(rig, keys):
    """What is before it is done before, what is behind it afterwards, whatever link each takes."""
    a, b = keys
    c = rig.client()
    c.raw(encode("SET", a, "1") + encode("GET", a) + encode("RENAME", a, b) + encode("GET", a) + encode("GET", b)
          + encode("MSETNX", a, "x", b, "y") + encode("COPY", b, a) + encode("GET", a))
    assert [c.read() for _ in range(8)] == [OK, b"1", OK, None, b"1", 0, 1, b"1"]


def test_what_others_ask_meanwhile_waits(rig, keys):
    a, b = keys
    c, other = rig.client(), rig.client()
    rig.put(0, a, b"v")
    rig.stores[1].deaf_to = b"KEEP"
    c.send("RENAME", a, b)
    other.raw(encode("GET", a) + encode("GET", b))
    assert c.nothing() and other.nothing()
    rig.stores[1].deaf_to = b""
    rig.stores[1].answer(rig.stores[1].holder, [b"SHARDD", b"KEEP", a, b, b"-1", b"gx"])
    rig.engines[1].reply(b"+OK\r\n", rig.stores[1].holder)
    assert c.read() == OK
    assert [other.read(), other.read()] == [None, b"v"]


def test_an_engine_that_does_not_answer_leaves_the_other_free(rig, keys):
    a, b = keys
    c, other = rig.client(), rig.client()
    rig.stores[1].deaf_to = b"PING"
    rig.put(0, a, b"v")
    c.send("RENAME", a, b)
    assert c.nothing()
    assert other("GET", a) == b"v", "nothing is held before all have answered"
    rig.engines[1].die()
    assert c.read() == NOT_EXECUTED
    assert rig.table(0) == {a: (b"v", -1)} and rig.calm()


def test_a_hold_that_takes_too_long_is_given_up(rig, keys):
    a, b = keys
    c, other = rig.client(), rig.client()
    rig.stores[1].deaf_to = b"HOLD"
    rig.put(0, a, b"v")
    c.send("RENAME", a, b)
    assert c.nothing()
    for timer in [callback for delay_ms, callback in rig.later if delay_ms == limits.PROXY_HOLD_MS]:
        timer()
    rig.server.shared.flush()
    assert c.read() == NOT_EXECUTED
    assert other("GET", a) == b"v"
    assert rig.calm()


@pytest.mark.parametrize("step", [b"HOLD", b"EXISTS"])
def test_before_the_first_write_a_death_changes_nothing(rig, keys, step):
    a, b = keys
    c = rig.client()
    rig.stores[1].dies_at = step
    rig.put(0, a, b"v")
    assert c("RENAMENX", a, b) == NOT_EXECUTED
    assert rig.table(0) == {a: (b"v", -1)} and rig.calm()


def test_a_death_at_the_write_loses_nothing(rig, keys):
    a, b = keys
    c = rig.client()
    rig.stores[1].dies_at = b"KEEP"
    rig.put(0, a, b"v")
    assert c("RENAME", a, b) == DOWN
    assert rig.table(0) == {a: (b"v", -1)} and rig.calm()


def test_what_msetnx_has_set_is_taken_back(rig, keys):
    a, b = keys
    c = rig.client()
    rig.stores[1].refuses = b"MSET"
    assert c("MSETNX", a, "1", b, "2") == Error("OOM command not allowed when used memory > 'maxmemory'.")
    assert rig.table(0) == {} and rig.table(1) == {}
    rig.stores[1].refuses, rig.stores[1].dies_at = b"", b"MSET"
    assert c("MSETNX", a, "1", b, "2") == DOWN
    assert rig.table(0) == {} and rig.calm()


def test_an_engine_without_memory_for_the_new_key(rig, keys):
    a, b = keys
    c = rig.client()
    rig.stores[1].refuses = b"KEEP"
    rig.put(0, a, b"v")
    assert c("RENAME", a, b) == Error("OOM command not allowed when used memory > 'maxmemory'.")
    assert rig.table(0) == {a: (b"v", -1)} and rig.calm()


def test_a_slot_of_nobody(rig, keys):
    a, b = keys
    rig.install(rig.server.topology.with_slots(8192, 16383, None))
    for command in (["RENAME", a, b], ["MSETNX", a, "1", b, "2"], ["COPY", a, b]):
        assert rig.client()(*command) == Error("CLUSTERDOWN Hash slot not served")


def test_a_client_that_leaves_in_the_middle(rig, keys):
    a, b = keys
    c, other = rig.client(), rig.client()
    rig.put(0, a, b"v")
    rig.stores[1].deaf_to = b"PING"
    c.send("RENAME", a, b)
    c.close()
    rig.engines[1].reply(b"+PONG\r\n")
    rig.turn()
    assert other("GET", b) == b"v", "it had begun, so it is done"
    assert rig.calm()


# --- algebra ------------------------------------------------------------------------------------------------------

def steps(rig):
    return [entry for entry in rig.log if entry[1] != b"PING"]


def test_what_only_reads_holds_nobody(rig, keys):
    a, b = keys
    rig.put(0, a, b"left")
    rig.put(1, b, b"right")
    assert rig.client()("SUNION", a, b) == b"left+right"
    assert steps(rig) == [(1, b"READ"), (0, b"COMPUTE")]
    rig.log.clear()
    assert rig.client()("SUNION", b, a, rig.key(1, 7)) == b"right+left+"
    assert steps(rig) == [(0, b"READ"), (1, b"COMPUTE")], "the engine that has most of the keys computes"


def test_large_values_are_read_at_one_moment(rig, keys):
    """And the engine with most elements computes; the others are free before it begins."""
    a, b = keys
    rig.put(0, a, b"small")
    rig.put(1, b, b"0123456789" * 3)
    assert rig.client()("SINTER", a, b) == b"small+" + b"0123456789" * 3
    assert steps(rig) == [
        (1, b"READ"), (0, b"HOLD"), (1, b"HOLD"), (0, b"READ"), (1, b"READ"), (1, b"LEND"), (0, b"HOLD"),
        (1, b"HOLD"), (0, b"RELEASE"), (1, b"COMPUTE"), (1, b"RELEASE")]
    assert rig.calm()


def test_what_is_stored_is_one_write(rig, keys):
    a, b = keys
    rig.put(0, a, b"left")
    rig.put(1, b, b"right")
    assert rig.client()("SUNIONSTORE", rig.key(0, 5), a, b) == 3
    assert rig.table(0) == {a: (b"left", -1), rig.key(0, 5): (b"left+right", -1)}
    assert steps(rig) == [(0, b"HOLD"), (1, b"HOLD"), (1, b"READ"), (0, b"STORE"), (0, b"RELEASE"), (1, b"RELEASE")]
    assert rig.calm()


def test_what_is_large_is_lent_before_the_one_write(rig, keys):
    a, b = keys
    rig.put(0, a, b"left" * 10)
    rig.put(1, b, b"right" * 5)
    assert rig.client()("SUNIONSTORE", a, a, b) == 3
    assert rig.table(0) == {a: (b"left" * 10 + b"+" + b"right" * 5, -1)}
    assert [name for index, name in steps(rig) if index == 0].count(b"STORE") == 1
    assert rig.calm()


@pytest.mark.parametrize("step", [b"HOLD", b"READ", b"STORE"])
@pytest.mark.parametrize("index", [0, 1])
def test_a_death_on_the_way_to_a_store(rig, keys, step, index):
    """Before the write nothing is done, and the error says so; at the write, it is not known."""
    a, b = keys
    rig.put(0, a, b"left")
    rig.put(1, b, b"right")
    rig.stores[index].dies_at = step
    reply = rig.client()("SUNIONSTORE", a, a, b)
    down = b"engine %d is down" % index
    if index == 1 and step == b"STORE" or index == 0 and step == b"READ":
        assert reply == 3, "it is not asked that"
    elif step == b"STORE":
        assert reply == Error("ERR engine 0 is down, the command may or may not have been executed")
    else:
        assert reply == Error(f"CLUSTERDOWN {down.decode()}, the command was not executed")
    assert rig.table(0)[a][0] in (b"left", b"left+right") and rig.calm()


def test_a_death_while_only_reading(rig, keys):
    a, b = keys
    rig.put(0, a, b"left")
    rig.put(1, b, b"right")
    rig.stores[1].dies_at = b"READ"
    assert rig.client()("SUNION", a, b) == NOT_EXECUTED


def test_a_death_while_computing(rig, keys):
    a, b = keys
    rig.stores[0].dies_at = b"COMPUTE"
    assert rig.client()("SUNION", a, b) == Error(
        "ERR engine 0 is down, the command may or may not have been executed")


def test_smove(rig, keys):
    """The element is added before it is removed."""
    a, b = keys
    answers = {b"TYPE": b"+set\r\n", b"SISMEMBER": b":1\r\n", b"SADD": b":1\r\n", b"SREM": b":1\r\n"}
    for store in rig.stores:
        answer = store.answer
        store.answer = lambda link, request, answer=answer: (answer(link, request), answers.get(request[0]))[1] \
            if request[0] in answers else answer(link, request)
    assert rig.client()("SMOVE", a, b, "x") == 1
    assert steps(rig) == [(0, b"HOLD"), (1, b"HOLD"), (0, b"TYPE"), (0, b"SISMEMBER"), (1, b"TYPE"), (1, b"SADD"),
                          (0, b"SREM"), (0, b"RELEASE"), (1, b"RELEASE")]
    assert rig.calm()
