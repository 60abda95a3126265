"""MULTI EXEC DISCARD WATCH UNWATCH: queueing and its errors, EXEC in one step, what spoils a watched key.

All keys of a body are in one slot, so that a transaction is one engine's.
"""
import time

import pytest

from harness import OK, Error, Status, encode
from harness.resp import NULL_ARRAY
from harness.texts import CROSSSLOT, WRONGTYPE, arity

QUEUED = Status("QUEUED")
ABORTED = Error("EXECABORT Transaction discarded because of previous errors.")
NO_EXEC = Error("ERR EXEC without MULTI")
NO_DISCARD = Error("ERR DISCARD without MULTI")
A, B = "{t}a", "{t}b"
ONE_DB = "redis-py's RedisCluster knows no SELECT"



@pytest.fixture
def c(r):
    return r.conn_to(A)


@pytest.fixture
def other(r):
    return r.conn_to(A)


def fields(conn) -> dict[str, str]:
    return dict(field.split("=", 1) for field in conn("CLIENT INFO").decode().strip().split(" "))


def queue(conn, *lines: str) -> None:
    assert conn("MULTI") == OK
    for line in lines:
        assert conn(line) == QUEUED, line


# --- queueing ---------------------------------------------------------------------------------------------------------

def test_commands_run_at_exec(c, other):
    queue(c, f"SET {A} 1", f"INCR {A}", f"GET {A}", f"DEL {A} {B}")
    assert other("EXISTS", A) == 0
    assert c("EXEC") == [OK, 2, b"2", 1]
    assert c("EXEC") == NO_EXEC and c("DISCARD") == NO_DISCARD
    queue(c)
    assert c("EXEC") == []


def test_discard(c):
    queue(c, f"SET {A} 1")
    assert c("DISCARD") == OK
    assert c("GET", A) is None and c("EXEC") == NO_EXEC


def test_an_error_of_a_command_is_its_reply(c):
    queue(c, f"SET {A} x", f"INCR {A}", f"HGET {A} f", f"SETRANGE {A} -1 x", f"GET {A}")
    assert c("EXEC") == [OK, Error("ERR value is not an integer or out of range"), WRONGTYPE,
                         Error("ERR offset is out of range"), b"x"]


@pytest.mark.parametrize("line, error", [
    ("NOSUCH a", Error("ERR unknown command 'NOSUCH', with args beginning with: 'a' ")),
    ("GET", arity("get")),
    ("CLIENT NOSUCH", None),
    ("SHUTDOWN NOSAVE", Error("ERR Command not allowed inside a transaction")),
])
def test_what_cannot_be_queued_spoils_all(c, line, error):
    queue(c, f"SET {A} 1")
    got = c(line)
    assert isinstance(got, Error) and (error is None or got == error)
    assert c(f"SET {A} 2") == QUEUED
    assert c("EXEC") == ABORTED
    assert c("GET", A) is None
    queue(c, f"SET {A} 3")
    assert c("EXEC") == [OK]


def test_exec_itself_refused(c):
    queue(c, f"SET {A} 1")
    assert c("EXEC now") == Error(
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")
    assert c("EXEC") == NO_EXEC and c("GET", A) is None


def test_refused_inside_but_no_harm(c):
    queue(c, f"SET {A} 1")
    assert c("MULTI") == Error("ERR MULTI calls can not be nested")
    assert c("WATCH", A) == Error("ERR WATCH inside MULTI is not allowed")
    assert c("EXEC") == [OK]


def test_arity(c):
    for line in ("MULTI x", "DISCARD x", "UNWATCH x", "WATCH"):
        assert c(line) == arity(line.split()[0].lower())
    assert c("EXEC x") == Error(
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")


def test_in_one_piece(c):
    c.send(b"".join(encode(*line.split()) for line in (
        "MULTI", f"SET {A} 1", f"INCR {A}", "EXEC", f"GET {A}", "MULTI", f"GET {A}", "DISCARD", "EXEC", "PING")))
    assert [c.read() for _ in range(10)] == [OK, QUEUED, QUEUED, [OK, 2], b"2", OK, QUEUED, OK, NO_EXEC, Status("PONG")]


def test_large_values_and_many_commands(c):
    value = b"v" * 300_000
    assert c("MULTI") == OK
    assert c("SET", A, value) == QUEUED and c("APPEND", A, b"") == QUEUED and c("GET", A) == QUEUED
    assert c("EXEC") == [OK, len(value), value]
    assert c("MULTI") == OK
    assert c.raw(encode("INCR", B)) == QUEUED
    c.send(encode("INCR", B) * 4999)
    assert [c.read() for _ in range(4999)] == [QUEUED] * 4999
    assert c("EXEC") == list(range(1, 5001))


def test_empty_and_equal_words(c):
    assert c("MULTI") == OK
    assert c("SET", "{t}", "") == QUEUED and c("COPY", "{t}", "{t}") == QUEUED and c("RENAME", "{t}", B) == QUEUED
    assert c("EXEC") == [OK, Error("ERR source and destination objects are the same"), OK]
    assert c("GET", B) == b""


@pytest.mark.not_on("cluster", reason="the empty key is one engine's alone")
def test_an_empty_key_and_the_word_behind_it(r, c):
    if r.name == "proxy" and r.engines > 1:
        pytest.skip("COPY from one engine to another is no part of a transaction")
    c.must("SET", "", "v")
    assert c("MULTI") == OK
    assert c("COPY", "", A) == QUEUED
    assert c("EXEC") == [1]
    assert c("GET", A) == b"v"


# --- what else a transaction meets ------------------------------------------------------------------------------------

def test_resp3(r):
    c = r.conn_to(A, resp=3)
    d = r.conn_to(A)
    queue(c, f"HSET {A} f v", f"HGETALL {A}", f"GET {B}")
    assert c("EXEC") == [1, {b"f": b"v"}, None]
    assert c("WATCH", A) == OK
    d.must("DEL", A)
    queue(c, "PING")
    assert c("EXEC") is None


def test_the_protocol_changes_within(c):
    queue(c, f"GET {A}", "HELLO 3", f"GET {A}", "HELLO 2", f"GET {A}")
    c.send(encode("EXEC"))
    reply = c.read()
    assert reply[0] is None and reply[1][b"proto"] == 3 and isinstance(reply[1], dict) and reply[2] is None
    assert isinstance(reply[3], list) and reply[4] is None


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_select_within(c):
    queue(c, "SELECT 3", f"SET {A} 3", "SELECT 99", f"GET {A}")
    assert c("EXEC") == [OK, OK, Error("ERR DB index is out of range"), b"3"]
    assert c("GET", A) == b"3", "the connection stays there"
    c.must("SELECT 0")
    assert c("GET", A) is None


def test_reset_and_quit_run_at_once(c, other):
    queue(c, f"SET {A} 1")
    assert c("RESET") == Status("RESET") and c("EXEC") == NO_EXEC
    assert c("WATCH", A) == OK and c("RESET") == Status("RESET")
    other.must("SET", A, "1")
    queue(c, f"GET {A}")
    assert c("EXEC") == [b"1"], "RESET has unwatched"
    queue(c, f"SET {A} 2")
    assert c("QUIT") == OK and c.closed()
    assert other("GET", A) == b"1"


def test_client_list_shows_it(r, c, other):
    """A proxy does not know whether watched keys have changed before it asks."""
    assert fields(c)["multi"] == "-1"
    queue(c, f"SET {A} 12345")
    line = other("CLIENT", "LIST", "ID", c_id := str(c_id_of(r, c))).decode()
    found = dict(field.split("=", 1) for field in line.strip().split(" "))
    assert found["id"] == c_id and found["flags"] == "x" and found["multi"] == "1" and int(found["multi-mem"]) > 0
    assert c("CLIENT INFO") == QUEUED
    [_, inner] = c("EXEC")
    found = dict(field.split("=", 1) for field in inner.decode().strip().split(" "))
    assert found["flags"] == "x" and found["multi"] == "2" and found["cmd"] == "exec"
    assert fields(c)["flags"] == "N" and fields(c)["multi"] == "-1" and fields(c)["multi-mem"] == "0"
    assert c("WATCH", A) == OK
    other.must("SET", A, "x")
    assert fields(c)["flags"] == ("N" if r.name == "proxy" else "d")
    assert c("UNWATCH") == OK and fields(c)["flags"] == "N"


def c_id_of(r, conn) -> int:
    assert conn("DISCARD") == OK
    number = conn("CLIENT ID")
    queue(conn, f"SET {A} 12345")
    return number


@pytest.mark.since("7.4")
def test_client_list_counts_watched_keys(r, c, other):
    assert c("WATCH", A, B, A) == OK
    assert fields(c)["watch"] == "2"
    assert c("WATCH", A, "{t}c") == OK
    assert fields(c)["watch"] == "3"
    info = other("INFO clients").decode()
    assert "watching_clients:1\r\n" in info and "total_watched_keys:3\r\n" in info
    other.must("SET", A, "x")
    assert fields(c)["watch"] == ("3" if r.name == "proxy" else "0")


def test_client_reply_within(c):
    end = b"$3\r\nend\r\n"
    queue(c, "PING", "CLIENT REPLY SKIP", f"SET {A} 1")
    c.send(encode("EXEC") + encode("GET", A) + encode("ECHO", "end"))
    assert c.until(end) == b"*3\r\n+PONG\r\n+OK\r\n" + end, "SKIP is about what comes after EXEC"
    queue(c, "PING", "CLIENT REPLY OFF", f"GET {A}", "CLIENT REPLY ON", "PING")
    c.send(encode("EXEC") + encode("ECHO", "end"))
    assert c.until(end) == b"*5\r\n+PONG\r\n+OK\r\n+PONG\r\n" + end
    queue(c, "PING")
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("CLIENT", "REPLY", "ON") + encode("EXEC") + encode("ECHO", "end"))
    assert c.until(end) == b"+QUEUED\r\n+QUEUED\r\n*3\r\n+PONG\r\n+OK\r\n" + end
    c.send(b"".join(map(lambda line: encode(*line.split()), (
        "CLIENT REPLY OFF", "MULTI", f"SET {A} 7", "CLIENT REPLY ON", f"GET {A}", "EXEC", "ECHO end"))))
    assert c.until(end) == b"+OK\r\n$1\r\n7\r\n" + end


def test_statistics(c):
    c.must("CONFIG RESETSTAT")
    queue(c, f"SET {A} 1", f"HLEN {A}", "PING")
    assert c("EXEC") == [OK, WRONGTYPE, Status("PONG")]
    assert c("MULTI") == OK and isinstance(c("NOSUCH"), Error) and c("EXEC") == ABORTED
    info = c("INFO commandstats").decode()
    lines = dict(line.split(":", 1) for line in info.split("\r\n") if line.startswith("cmdstat_"))
    counts = {name.removeprefix("cmdstat_"): dict(part.split("=") for part in line.split(","))
              for name, line in lines.items()}
    assert [(counts[name]["calls"], counts[name]["failed_calls"], counts[name]["rejected_calls"])
            for name in ("set", "hlen", "ping", "multi", "exec")] == [
        ("1", "0", "0"), ("1", "1", "0"), ("1", "0", "0"), ("2", "0", "0"), ("2", "1", "0")]
    errors = c("INFO errorstats").decode()
    assert "errorstat_WRONGTYPE:count=1" in errors and "errorstat_EXECABORT:count=1" in errors


@pytest.mark.not_on("cluster", reason="the configuration is one engine's")
@pytest.mark.not_on("cluster", reason="keys of any slot")
def test_an_uneven_mset_is_queued_and_fails_alone(c):
    c.must("DEL a b")
    queue(c, "SET a 1", "MSET a 5 b", "MSET a 5 b 6 c", "GET a")
    assert c("EXEC") == [OK, Error("ERR wrong number of arguments for 'mset' command"),
                         Error("ERR wrong number of arguments for 'mset' command"), b"1"]


@pytest.mark.not_on("cluster", reason="the configuration is one engine's")
def test_the_slow_log_has_the_commands_but_not_exec(r, c):
    with r.config(slowlog_log_slower_than=0):
        c.must("SLOWLOG RESET")
        queue(c, f"SET {A} 1", f"GET {A}")
        assert c("EXEC") == [OK, b"1"]
        names = [entry[3][0].decode().upper() for entry in c("SLOWLOG GET 20")]
    # engines behind a proxy also log that they were asked for the log, in the same second
    assert [name for name in names if name in ("MULTI", "SET", "GET", "EXEC")][:3] == ["GET", "SET", "MULTI"]


# --- WATCH ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("before, line", [
    ("", f"SET {A} 1"), (f"SET {A} 1", f"SET {A} 1"), (f"SET {A} 1", f"APPEND {A} x"), (f"SET {A} 1", f"DEL {A}"),
    (f"SET {A} 1", f"UNLINK {A}"), (f"SET {A} 1", f"RENAME {A} {B}"), (f"SET {B} 1", f"RENAME {B} {A}"),
    (f"SET {B} 1", f"COPY {B} {A}"), (f"SET {A} 1", f"EXPIRE {A} 1000"), (f"SET {A} 1 EX 100", f"PERSIST {A}"),
    (f"HSET {A} f 1", f"HSET {A} f 1"), (f"HSET {A} f 1", f"HDEL {A} f"), (f"SADD {A} x", f"SREM {A} x"),
    (f"SADD {B} x", f"SUNIONSTORE {A} {B}"), (f"SADD {A} x", f"SDIFFSTORE {A} {B}"),
    (f"SADD {B} x", f"SMOVE {B} {A} x"),
    (f"SET {A} 1", f"GETDEL {A}"), (f"SET {A} 1", f"SETRANGE {A} 0 2"), ("", f"MSET {B} 1 {A} 2"),
    (f"SET {A} 1", f"GETEX {A} EX 100"), (f"SET {A} 1", f"EXPIRE {A} -1"), (f"SET {A} 1", f"INCRBYFLOAT {A} 1"),
])
def test_a_watched_key_changes(c, other, before, line):
    if before:
        other.must(before)
    assert c("WATCH", B + "x", A) == OK
    other.must(line)
    queue(c, f"SET {A} mine")
    assert c("EXEC") is NULL_ARRAY
    queue(c, f"SET {A} mine")
    assert c("EXEC") == [OK], "EXEC has unwatched"


@pytest.mark.parametrize("before, line", [
    (f"SET {A} 1", f"GET {A}"), (f"SET {A} 1", f"TOUCH {A}"), (f"SET {A} 1", f"SET {A} 2 NX"), ("", f"DEL {A}"),
    (f"HSET {A} f 1", f"HDEL {A} g"), (f"SADD {A} x", f"SADD {A} x"), ("", f"SET {B} 1"),
    (f"SET {A} 1", f"PERSIST {A}"),
    ("", f"EXPIRE {A} 100"), (f"SET {A} 1", f"COPY {A} {B}"), (f"SET {A} 1", f"SMOVE {A} {B} x"),
    (f"SADD {A} x", f"SREM {A} y"), (f"SET {A} x", f"INCR {A}"),
])
def test_a_watched_key_does_not_change(c, other, before, line):
    if before:
        other.must(before)
    assert c("WATCH", A) == OK
    other(line)
    queue(c, "PING")
    assert c("EXEC") == [Status("PONG")]


def test_ones_own_change_counts(c):
    assert c("WATCH", A) == OK
    c.must("SET", A, "1")
    queue(c, "PING")
    assert c("EXEC") is NULL_ARRAY


def test_unwatch_and_discard(c, other):
    for line in ("UNWATCH", None):
        assert c("WATCH", A) == OK
        other.must("SET", A, "1")
        if line:
            assert c(line) == OK
        else:
            queue(c, "PING")
            assert c("DISCARD") == OK
        queue(c, "PING")
        assert c("EXEC") == [Status("PONG")]
    assert c("WATCH", A) == OK
    other.must("SET", A, "1")
    queue(c, "UNWATCH", "PING")
    assert c("EXEC") is NULL_ARRAY, "it is queued like any other"


def test_a_spoilt_transaction_with_an_error_is_aborted(c, other):
    assert c("WATCH", A) == OK
    other.must("SET", A, "1")
    queue(c, "PING")
    assert isinstance(c("GET"), Error)
    assert c("EXEC") == ABORTED


def test_watching_what_expires(c, other):
    for ttl_ms in (30, 300, 3000, 30_000):      # it must still be there when it is watched
        other.must("SET", A, "1", "PX", ttl_ms)
        assert c("WATCH", A) == OK
        if other("EXISTS", A):
            break
        assert c("UNWATCH") == OK
    time.sleep(2 * ttl_ms / 1000)
    queue(c, "PING")
    assert c("EXEC") is NULL_ARRAY, "it is gone, whoever noticed"
    other.must("SET", A, "1", "PX", "20")
    time.sleep(0.03)
    assert c("WATCH", A) == OK, "due, or gone, already"
    assert other("GET", A) is None
    queue(c, "PING")
    assert c("EXEC") == [Status("PONG")]


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_whole_databases(c, other):
    def spoilt(*lines: str, before: str = "") -> bool:
        if before:
            other.must(before)
        assert c("WATCH", A) == OK
        for line in lines:
            other.must(line)
        queue(c, "PING")
        return c("EXEC") is NULL_ARRAY

    assert not spoilt("FLUSHDB") and not spoilt("FLUSHALL"), "it was not there"
    assert spoilt("FLUSHALL", before=f"SET {A} 1")
    assert spoilt("FLUSHDB", before=f"SET {A} 1")
    assert not spoilt("SELECT 1", "FLUSHDB", "SELECT 0", before=f"SET {A} 1")
    assert spoilt("SWAPDB 0 1", before=f"SET {A} 1")
    assert spoilt("SWAPDB 0 1"), "it comes back"
    other.must("FLUSHALL")
    assert not spoilt("SWAPDB 0 1"), "neither has it"
    other.must("SELECT 1")
    other.must(f"SET {A} 1")
    assert not spoilt(f"SET {A} 2"), "the same name in another database"
    assert spoilt("MOVE {t}a 0")


@pytest.mark.not_on("cluster", reason="keys of two slots")
def test_many_keys(c, other):
    keys = [f"{A}{n}" for n in range(2000)]
    assert c("WATCH", *keys) == OK
    other.must("SET", keys[1234], "1")
    queue(c, "PING")
    assert c("EXEC") is NULL_ARRAY
    assert c("WATCH", *keys) == OK
    other.must("SET", A, "1")
    queue(c, "PING")
    assert c("EXEC") == [Status("PONG")]


def test_many_clients_watch_one_key(r, other):
    conns = [r.conn_to(A) for _ in range(20)]
    for conn in conns:
        assert conn("WATCH", A) == OK
    conns[3].close()
    assert conns[4]("UNWATCH") == OK
    other.must("SET", A, "1")
    for number, conn in enumerate(conns):
        if number != 3:
            queue(conn, "PING")
            assert conn("EXEC") == ([Status("PONG")] if number == 4 else NULL_ARRAY)


# --- memory -----------------------------------------------------------------------------------------------------------

@pytest.mark.not_on("cluster", reason="the configuration is one engine's")
def test_no_memory(r, c, other):
    oom = "OOM command not allowed when used memory > 'maxmemory'."
    queue(c, f"SET {A} 1", f"GET {A}")
    reader = r.conn_to(A)
    queue(reader, f"GET {A}")
    with r.config(maxmemory=1):
        assert c("EXEC") == Error("EXECABORT Transaction discarded because of: " + oom)
        assert c("EXEC") == NO_EXEC
        assert reader("EXEC") == [None], "nothing of it needs memory"
        if r.name == "proxy":   # what engines say of queued commands it hears at EXEC
            return
        assert c("MULTI") == OK and c("GET", A) == Error(oom), "queueing takes memory"
        assert c("EXEC") == ABORTED
        assert c("MULTI") == OK and c("DISCARD") == OK
        assert c("MULTI") == OK and c("WATCH", A) == Error(oom) and c("RESET") == Status("RESET")


# --- clusters ---------------------------------------------------------------------------------------------------------

@pytest.mark.only_on("cluster", reason="what one engine says of slots")
def test_slots(r):
    mine = r.conn_to("{b}1")
    queue(mine, "SET {b}1 1", "GET {b}2")
    assert mine("EXEC") == [OK, None]
    other = next(key for key in ("{a}", "{c}", "{d}", "{e}", "{f}") if r.node_of("GET", key) == r.node_of("GET", "{b}"))
    queue(mine, "SET {b}1 1", f"GET {other}")
    assert mine("EXEC") == CROSSSLOT
    assert mine("EXEC") == NO_EXEC, "it is over"
    foreign = next(key for key in "acdefghij" if r.node_of("GET", key) != r.node_of("GET", "{b}"))
    queue(mine, "SET {b}1 2")
    assert str(mine("GET", foreign)).startswith("MOVED ") and str(mine("WATCH", foreign)).startswith("MOVED ")
    assert mine("EXEC") == ABORTED and mine("GET {b}1") == b"1"
