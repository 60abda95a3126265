"""What the proxy answers with the help of engines: SCAN, RANDOMKEY, INFO, CONFIG, SLOWLOG, DEBUG, CLUSTER."""
from collections.abc import Iterator

import pytest

from harness.resp import OK, Error, Status, encode
from proxy import info
from proxy.handlers import next_cursor, parse_cursor, run_end
from shardd.base import digest, limits
from shardd.base.errors import CommandError
from shardd.cluster.topology import EngineInfo, Topology
from shardd.commands import info as facts
from shardd.commands import info_join
from shardd.structures.slots import slot_of
from unit.proxy.rig import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(3, "--enable-debug-command", "yes")
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def array(items: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(items) + b"".join(bulk(item) for item in items)


# --- SCAN ---------------------------------------------------------------------------------------------------------

def test_cursors():
    assert parse_cursor(b"0") == 0 and parse_cursor(b"18446744073709551615") == 2**64 - 1
    assert parse_cursor(b"") == parse_cursor(b"-0") == parse_cursor(b"+0") == parse_cursor(b"\x00x") == 0
    assert parse_cursor(b"+7") == parse_cursor(b"7\x008") == parse_cursor(b"0" * 30 + b"7") == 7
    assert parse_cursor(b"-1") == 2**64 - 1
    for bad in (b"x", b"1.5", b"18446744073709551616", b"-18446744073709551616", b"9" * 30, b" 1", b"1 ", b"+-1",
                b"0x1", b"+", b"-"):
        with pytest.raises(CommandError, match="invalid cursor"):
            parse_cursor(bad)


def test_the_next_cursor_stays_in_the_run_or_goes_behind_it():
    assert next_cursor((5 << 14) | 120, 100, 200) == (5 << 14) | 120
    assert next_cursor(200, 100, 200) == 200
    assert next_cursor(0, 100, 200) == 201
    assert next_cursor((5 << 14) | 201, 100, 200) == 201
    assert next_cursor(99, 100, 200) == 201
    assert next_cursor(0, 16000, 16383) == 0


def test_runs_are_by_owner():
    engines = [EngineInfo(f"{n:040x}", f"{n:040x}", n) for n in (1, 2)]
    topology = Topology.even(engines).with_slots(100, 199, engines[1].id).with_slots(300, 310, None)
    assert [run_end(topology, slot) for slot in (0, 99, 100, 150, 200, 305, 311, 8192, 16383)] == \
        [99, 99, 199, 199, 299, 310, 8191, 16383, 16383]


def scanned(rig: Rig, *options: object) -> list[bytes]:
    c, cursor, found, calls = rig.client(), b"0", [], 0
    while True:
        cursor, keys = c("SCAN", cursor, *options)
        found += keys
        calls += 1
        assert calls < 500
        if cursor == b"0":
            return found


class Table:
    """An engine's keys, scanned as engines do: (place << 14) | slot, one key a call."""

    def __init__(self, rig: Rig, index: int) -> None:
        self.rig, self.index = rig, index
        self.slots: dict[int, list[bytes]] = {}
        self.asked: list[int] = []

    def add(self, key: bytes) -> None:
        self.slots.setdefault(slot_of(key), []).append(key)

    def __call__(self, request: list[bytes]) -> bytes:
        cursor = int(request[1])
        self.asked.append(cursor)
        slot, place = cursor & 16383, cursor >> 14
        while slot < 16384:
            keys = self.slots.get(slot, [])
            if place < len(keys):
                more = (place + 1) << 14 | slot if place + 1 < len(keys) else (slot + 1) & 16383
                return b"*2\r\n" + bulk(b"%d" % more) + array([keys[place]])
            slot, place = slot + 1, 0
        return b"*2\r\n" + bulk(b"0") + array([])


def test_scan_finds_every_key_once_over_scattered_slots(rig):
    for first in range(0, 16384, 4096):     # each engine has several runs, and one has a gap of nobody's in it
        rig.move(first, first + 99, rig.engines[first // 4096 % 3])
    rig.install(rig.server.topology.with_slots(5000, 5010, None))
    tables = [Table(rig, index) for index in range(3)]
    keys = set()
    for n in range(200):
        key = b"key:%d" % n
        owner = rig.server.topology.owners[slot_of(key)]
        if owner >= 0:
            tables[owner].add(key)
            keys.add(key)
    for engine, table in zip(rig.engines, tables):
        engine.auto = table
    found = scanned(rig, "COUNT", 10)
    assert set(found) == keys
    # an engine may have told a key of its next run ahead of time, but not whole runs twice
    assert len(found) <= len(keys) + 20


def test_scan_passes_its_options_on_and_stops_at_errors(rig):
    c = rig.client()
    c.send("SCAN", 0, "MATCH", "a*", "COUNT", 7, "TYPE", "string")
    assert rig.engines[0].take() == [[b"SCAN", b"0", b"MATCH", b"a*", b"COUNT", b"7", b"TYPE", b"string"]]
    rig.engines[0].reply(b"-ERR syntax error\r\n")
    assert c.read() == Error("ERR syntax error")
    assert c("SCAN", "x") == Error("ERR invalid cursor")


def test_an_empty_database_is_one_call(rig):
    for engine in rig.engines:
        engine.auto = lambda request: b"*2\r\n" + bulk(b"0") + array([])
    assert rig.client()("SCAN", 0) == [b"0", []]


def test_what_follows_a_task_waits_for_it(rig):
    c = rig.client()
    c.raw(encode("SCAN", 0) + encode("SET", rig.key(1), "v") + encode("PING"))
    assert rig.engines[1].take() == []
    rig.engines[0].reply(b"*2\r\n" + bulk(b"1") + array([b"k"]))
    assert c.read() == [b"1", [b"k"]]
    assert rig.engines[1].take() == [[b"SET", rig.key(1), b"v"]]
    rig.engines[1].reply(b"+OK\r\n")
    assert [c.read(), c.read()] == [OK, Status("PONG")]


# --- RANDOMKEY, SWAPDB --------------------------------------------------------------------------------------------

def test_randomkey_asks_engines_by_their_size(rig):
    sizes = [0, 5, 0]
    for engine, size in zip(rig.engines, sizes):
        engine.auto = lambda request, size=size: b":%d\r\n" % size if request[0] == b"DBSIZE" else bulk(b"k")
    c = rig.client()
    for _ in range(5):
        assert c("RANDOMKEY") == b"k"
    assert [sum(request[0] == b"RANDOMKEY" for request in engine.take()) for engine in rig.engines] == [0, 5, 0]


def test_randomkey_goes_on_where_an_engines_keys_had_all_expired(rig):
    for engine, key in zip(rig.engines, (b"$-1\r\n", bulk(b"k"), b"$-1\r\n")):
        engine.auto = lambda request, key=key: b":1\r\n" if request[0] == b"DBSIZE" else key
    c = rig.client()
    assert {c("RANDOMKEY") for _ in range(10)} == {b"k"}
    rig.engines[1].auto = lambda request: b":0\r\n"
    assert c("RANDOMKEY") is None


def test_swapdb_is_for_all(rig):
    for engine in rig.engines:
        engine.auto = lambda request: b"+OK\r\n"
    c = rig.client()

    def swaps() -> list[int]:
        return [sum(request == [b"SWAPDB", b"0", b"1"] for request in engine.take()) for engine in rig.engines]

    assert c("SWAPDB", 0, 1) == OK
    requests = rig.engines[1].requests
    assert [b" ".join(request[:2]) for request in requests] == [b"PING", b"SHARDD HOLD", b"SWAPDB 0", b"SHARDD RELEASE"]
    assert swaps() == [1, 1, 1]
    rig.engines[1].auto = lambda request: b"-ERR no\r\n" if request[0] == b"SWAPDB" else b"+OK\r\n"
    assert c("SWAPDB", 0, 1) == Error("ERR no")
    assert swaps() == [2, 1, 2], "the others have swapped back"


def test_swapdb_waits_for_what_its_client_has_sent_before(rig):
    c = rig.client()
    c.raw(encode("SET", rig.key(1), "v") + encode("SWAPDB", 0, 1))
    assert [engine.take() for engine in rig.engines] == [[], [[b"SET", rig.key(1), b"v"]], []]
    for engine in rig.engines:
        engine.auto = lambda request: b"+OK\r\n"
    rig.engines[1].reply(b"+OK\r\n")
    assert c.read() == OK == c.read()


# --- DEBUG --------------------------------------------------------------------------------------------------------

def test_debug_goes_where_it_belongs(rig):
    for engine in rig.engines:
        engine.auto = lambda request: b"+%s\r\n" % request[1]
    c = rig.client()
    assert c("DEBUG", "OBJECT", rig.key(2)) == Status("OBJECT")
    assert [len(engine.take()) for engine in rig.engines] == [0, 0, 1]
    assert c("DEBUG", "SLEEP", 0) == Status("SLEEP")
    assert sum(len(engine.take()) for engine in rig.engines) == 1
    assert c("DEBUG", "CHECK") == Status("CHECK")
    assert [len(engine.take()) for engine in rig.engines] == [1, 1, 1]


def test_debug_digest_is_the_digest_of_all(rig):
    parts = [{0: 0x0F}, {0: 0xF0, 3: 1}, {3: 2}]
    for engine, part in zip(rig.engines, parts):
        engine.auto = lambda request, part=part: b"*%d\r\n" % (2 * len(part)) + b"".join(
            b":%d\r\n" % db + bulk(b"%040x" % keys) for db, keys in part.items())
    assert rig.client()("DEBUG", "DIGEST") == Status(digest.dataset(parts).hex())
    assert all(engine.take() == [[b"DEBUG", b"DIGEST-KEYS"]] for engine in rig.engines)


def test_debug_must_be_allowed():
    rig = Rig(1)
    try:
        assert rig.client()("DEBUG", "SLEEP", 0).startswith("ERR DEBUG command not allowed.")
        assert not rig.engines[0].requests
    finally:
        rig.close()


# --- CONFIG, SLOWLOG ----------------------------------------------------------------------------------------------

def test_config_get_asks_an_engine_for_what_engines_alone_know(rig):
    rig.engines[0].auto = lambda request: array([b"lfu-log-factor", b"777"])
    c = rig.client()
    assert c("CONFIG", "GET", "lfu-log-factor", "databases") == [b"lfu-log-factor", b"777", b"databases", b"16"]
    assert rig.engines[0].take() == [[b"CONFIG", b"GET", b"lfu-log-factor"]]
    assert c("CONFIG", "GET", "maxclients") == [b"maxclients", b"10000"]
    assert rig.engines[0].take() == []


def test_config_set_is_applied_here_and_by_all_engines_that_read_it(rig):
    for engine in rig.engines:
        engine.auto = lambda request: b"+OK\r\n"
    c = rig.client()
    assert c("CONFIG", "SET", "lfu-log-factor", "3", "timeout", "7") == OK
    sent = [[b"CONFIG", b"SET", b"lfu-log-factor", b"3", b"timeout", b"7"]]
    assert all(engine.take() == sent for engine in rig.engines)
    assert rig.server.config["timeout"] == 7
    assert c("CONFIG", "SET", "nosuch", "1").startswith("ERR Unknown option")
    assert c("CONFIG", "SET", "maxmemory") == Error("ERR wrong number of arguments for 'config|set' command")
    assert c("CONFIG", "SET", "timeout", "1", "maxmemory") == Error("ERR syntax error")
    assert not any(engine.take() for engine in rig.engines)


def test_a_config_set_that_an_engine_refuses_is_taken_back(rig):
    rig.engines[0].auto = rig.engines[1].auto = lambda request: b"+OK\r\n"
    rig.engines[2].auto = lambda request: b"-ERR no\r\n"
    assert rig.client()("CONFIG", "SET", "timeout", "7") == Error("ERR no")
    assert rig.server.config["timeout"] == 0
    assert rig.engines[0].take() == [[b"CONFIG", b"SET", b"timeout", b"7"], [b"CONFIG", b"SET", b"timeout", b"0"]]


def test_a_new_password_counts_for_new_clients_and_new_links(rig):
    for engine in rig.engines:
        engine.auto = lambda request: b"+OK\r\n"
    c = rig.client()
    assert c("CONFIG", "SET", "requirepass", "geheim") == OK
    assert rig.client()("PING") == Error("NOAUTH Authentication required.")
    c("HELLO", 3)
    c.send("GET", rig.key(0))
    assert [b"AUTH", b"geheim"] in rig.engines[0].handshakes


def entry(number: int, at: int) -> bytes:
    return (b"*7\r\n:%d\r\n:%d\r\n:5\r\n" % (number, at) + array([b"GET", b"k"]) + bulk(b"link:0") + bulk(b"")
            + bulk(b"t%d" % number))


def test_slow_logs_become_one(rig):
    replies = [[(7, 100), (6, 90)], [], [(3, 95)]]
    for engine, entries in zip(rig.engines, replies):
        engine.auto = lambda request, entries=entries: b"*%d\r\n" % len(entries) + b"".join(entry(*e) for e in entries)
    c = rig.client()
    found = c("SLOWLOG", "GET", -1)
    assert [e[1] for e in found] == [100, 95, 90]
    assert len({e[0] for e in found}) == 3
    assert len(c("SLOWLOG", "GET", 2)) == 2
    assert c("SLOWLOG", "GET", "x") == Error("ERR count should be greater than or equal to -1")


def slow(token: bytes) -> bytes:
    return b">2\r\n" + bulk(b"slow") + bulk(token)


def test_an_engine_tells_whose_command_was_slow(rig):
    a, b, _ = rig.engines
    first, second = rig.client(), rig.client()
    second("CLIENT", "SETNAME", "two")
    second.send("SELECT", 1)
    assert second.read() == OK
    first.send("GET", rig.key(0))
    second.send("MGET", rig.key(0), rig.key(1))
    pieces = (bulk(b"v") + b"+OK\r\n" + slow(b"t6") + b"*1\r\n" + bulk(b"x"))
    for at in range(len(pieces)):       # however it is cut
        a.reply(pieces[at:at + 1])
        rig.turn()
    assert first.read() == b"v" and set(rig.server.slow_clients) == {"t6"}
    b.reply(b"+OK\r\n*1\r\n" + bulk(b"y"))
    assert second.read() == [b"x", b"y"]
    first.send("GET", rig.key(0))
    first.close()
    a.reply(b"+OK\r\n" + slow(b"t7") + bulk(b"v"))       # a SELECT, and of one that has gone
    rig.turn()
    a.auto = lambda request: b"*2\r\n" + entry(6, 90) + entry(7, 100)
    b.auto = rig.engines[2].auto = lambda request: b"*0\r\n"
    newest, oldest = second("SLOWLOG GET")
    peer = second.session.transport.peer.encode()
    assert newest[3:] == [[b"GET", b"k"], b"link:0", b""], "nobody knows: the link's"
    assert oldest[3:] == [[b"GET", b"k"], peer, b"two"]


def test_clients_of_slow_commands_are_not_kept_for_ever(rig, monkeypatch):
    monkeypatch.setattr(limits, "PROXY_SLOW_CLIENTS_MAX", 3)
    c = rig.client()
    for number in range(5):
        rig.engines[0].auto = lambda request, number=number: slow(b"t%d" % number) + bulk(b"v")
        assert c("GET", rig.key(0)) == b"v"
    assert list(rig.server.slow_clients) == ["t2", "t3", "t4"]


def stats(keys: int, total: int, startup: int, peak: int, db: int) -> bytes:
    fields = [(b"peak.allocated", peak), (b"total.allocated", total), (b"startup.allocated", startup),
              (b"keys.count", keys), (b"keys.bytes-per-key", 1), (b"dataset.bytes", total - startup),
              (b"allocator.allocated", total), (b"allocator.active", 2 * total), (b"allocator.resident", 3 * total)]
    raw = b"".join(bulk(name) + b":%d\r\n" % value for name, value in fields)
    table = bulk(b"db.%d" % db) + b"*2\r\n" + bulk(b"overhead.hashtable.main") + b":%d\r\n" % keys
    return b"*22\r\n" + raw + table + bulk(b"dataset.percentage") + bulk(b"12.5")


def test_memory_stats_are_added_and_ratios_computed_anew(rig):
    for engine, reply in zip(rig.engines, (stats(10, 1100, 100, 1200, 0), stats(30, 3100, 100, 3800, 0),
                                           stats(0, 100, 100, 100, 5))):
        engine.auto = lambda request, reply=reply: reply
    flat = rig.client()("MEMORY", "STATS")
    found = dict(zip(flat[::2], flat[1::2]))
    assert found[b"total.allocated"] == 4300 and found[b"keys.count"] == 40
    assert found[b"keys.bytes-per-key"] == 100
    assert found[b"dataset.percentage"] == b"100"
    assert [found[name] for name in (b"allocator-fragmentation.ratio", b"allocator-rss.ratio", b"fragmentation")] == [
        b"2", b"1.5", b"3"]
    assert found[b"db.0"] == [b"overhead.hashtable.main", 40] and found[b"db.5"] == [b"overhead.hashtable.main", 0]


def test_memory_doctor_names_the_engine_where_they_differ(rig):
    for engine in rig.engines:
        engine.auto = lambda request: bulk(b"fine")
    c = rig.client()
    assert c("MEMORY", "DOCTOR") == b"fine"
    rig.engines[1].auto = lambda request: bulk(b"ill")
    assert c("MEMORY", "DOCTOR") == b"Engine 0: fine\nEngine 1: ill\nEngine 2: fine"


# --- CLUSTER ------------------------------------------------------------------------------------------------------

def test_slots_are_counted_by_their_owner(rig):
    c = rig.client()
    c.send("CLUSTER", "COUNTKEYSINSLOT", 16383)
    assert rig.engines[2].take() == [[b"CLUSTER", b"COUNTKEYSINSLOT", b"16383"]]
    rig.engines[2].reply(b":5\r\n")
    assert c.read() == 5
    assert c("CLUSTER", "COUNTKEYSINSLOT", 16384) == Error("ERR Invalid slot")
    assert c("CLUSTER", "GETKEYSINSLOT", 0, "x") == Error("ERR value is not an integer or out of range")


def test_the_view_names_all_engines(rig):
    c = rig.client()
    slots = c("CLUSTER", "SLOTS")
    assert [(first, last) for first, last, *_ in slots] == [(0, 5460), (5461, 10922), (10923, 16383)]
    assert c("CLUSTER", "NODES").count(b"master") == 3
    assert c("CLUSTER", "KEYSLOT", "foo") == 12182


# --- INFO ---------------------------------------------------------------------------------------------------------

def test_which_sections_are_meant():
    assert "commandstats" not in facts.chosen([], info.TITLES) and "engines" in facts.chosen([], info.TITLES)
    assert facts.chosen([b"ALL"], info.TITLES) == list(info.TITLES), "with # Modules, as in Redis"
    assert facts.chosen([b"CPU", b"nosuch", b"Memory"], info.TITLES) == ["memory", "cpu"]


def test_info_leaves_out_an_engine_that_is_down_and_says_so(rig):
    text = b"# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n"
    for engine in rig.engines:
        engine.auto = lambda request: bulk(text)
    rig.engines[1].die()
    rig.turn()
    sections = info_join.parse(rig.client()("INFO").decode())
    assert sections["Keyspace"]["db0"].startswith("keys=6,")
    assert "state=up" in sections["Engines"]["engine0"] and "state=down" in sections["Engines"]["engine1"]
    assert sections["Server"]["shardd_role"] == "proxy"
    assert sections["Clients"]["connected_clients"] == "1"


def test_info_does_not_wait_for_an_engine_that_hangs(rig):
    text = b"# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n"
    for engine in (rig.engines[0], rig.engines[2]):
        engine.auto = lambda request: bulk(text)
    c = rig.client()
    c.raw(encode("INFO") + encode("PING"))
    assert c.nothing()
    rig.ring()
    sections = info_join.parse(c.read().decode())
    assert sections["Keyspace"]["db0"].startswith("keys=6,")
    assert "state=down" in sections["Engines"]["engine1"]
    assert c.read() == Status("PONG")
    rig.engines[1].reply(bulk(text))        # too late, and for nobody
    c.send("GET", rig.key(1))
    rig.engines[1].reply(bulk(b"v"))
    assert c.read() == b"v"


def test_a_handler_that_fails_answers_an_error(rig):
    rig.engines[0].auto = lambda request: b"*2\r\n$1\r\nx\r\n*0\r\n"      # no cursor
    c = rig.client()
    assert c("SCAN", 0) == Error("ERR the engines' replies do not fit together")
    assert c("PING") == Status("PONG")
    assert rig.warnings
