"""Commands that block: BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP, and CLIENT UNBLOCK.

All keys of a body are in one slot, so that they are one engine's. Nobody waits for long: a client is known to be
blocked when INFO says so.
"""
import time

import pytest

from harness import OK, Error, Status, encode
from harness.resp import NULL_ARRAY
from harness.texts import NOT_INT, SYNTAX, WRONGTYPE, arity

QUEUED = Status("QUEUED")
A, B, C, D = "{t}a", "{t}b", "{t}c", "{t}d"
UNBLOCKED = Error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
ONE_DB = "redis-py's RedisCluster knows no SELECT"



@pytest.fixture(autouse=True)
def nobody_waits(r):
    """Those of the test before are gone, as far as the server knows."""
    conn = r.conn_to(A)
    deadline = time.monotonic() + 10
    while blocked(conn):
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def c(r):
    return r.conn_to(A)


@pytest.fixture
def other(r):
    return r.conn_to(A)


class Waiting:
    """A connection whose command blocks."""

    def __init__(self, r, line: str, behind: str = "", resp: int = 2) -> None:
        self.conn = r.conn_to(A, resp=resp)
        self.id = self.conn("CLIENT ID")
        watcher = r.conn_to(A)
        before = blocked(watcher)
        self.conn.send(encode(*line.split()) + (encode(*behind.split()) if behind else b""))
        deadline = time.monotonic() + 10
        while blocked(watcher) == before:
            assert time.monotonic() < deadline, f"{line}: does not block"
            time.sleep(0.001)

    def __call__(self):
        return self.conn.read()

    def silent(self) -> bool:
        """Whether it has heard nothing: the server answers others meanwhile."""
        self.conn.sock.settimeout(0.03)
        try:
            return not self.conn.sock.recv(1)
        except TimeoutError:
            return True
        finally:
            self.conn.sock.settimeout(20)


def blocked(conn) -> int:
    return field(conn, "blocked_clients")


def field(conn, name: str) -> int:
    return int(dict(line.split(":") for line in conn("INFO clients").decode().split("\r\n") if ":" in line)[name])


# --- who need not wait ------------------------------------------------------------------------------------------------

def test_what_is_there_is_popped_at_once(c):
    c.must("RPUSH", A, *"12345678")
    c.must("ZADD", B, *"1a2b3c4d5e")
    assert c("BLPOP", "{t}none", A, "0") == [A.encode(), b"1"] and c("BRPOP", A, "0") == [A.encode(), b"8"]
    assert c("BLMOVE", A, C, "LEFT", "RIGHT", "0") == b"2" and c("BRPOPLPUSH", A, C, "0") == b"7"
    assert c("LRANGE", C, "0", "-1") == [b"7", b"2"]
    assert c("BLMPOP 0 2 {t}none {t}a LEFT COUNT 2") == [A.encode(), [b"3", b"4"]]
    assert c("BLMPOP 0 1 {t}a RIGHT COUNT 100") == [A.encode(), [b"6", b"5"]]
    assert c("EXISTS", A) == 0
    assert c("BZPOPMIN", B, "0") == [B.encode(), b"a", b"1"] and c("BZPOPMAX", B, "0") == [B.encode(), b"e", b"5"]
    assert c("BZMPOP 0 1 {t}b MIN") == [B.encode(), [[b"b", b"2"]]]
    assert c("BZMPOP 0 1 {t}b MAX COUNT 5") == [B.encode(), [[b"d", b"4"], [b"c", b"3"]]]


def test_resp3(r):
    c = r.conn_to(A, resp=3)
    c.must("ZADD", B, "1.5", "a")
    assert c("BZPOPMIN", B, "0") == [B.encode(), b"a", 1.5]
    assert c("BLPOP", A, "0.001") is None and c("BLMOVE", A, B, "LEFT", "LEFT", "0.001") is None
    assert c("BZMPOP 0.001 1 {t}a MIN") is None


@pytest.mark.parametrize("line, error", [
    ("BLPOP {t}a x", Error("ERR timeout is not a float or out of range")),
    ("BLPOP {t}a nan", Error("ERR timeout is not a float or out of range")),
    ("BRPOP {t}a -1", Error("ERR timeout is negative")), ("BZPOPMIN {t}a -0.1", Error("ERR timeout is negative")),
    ("BLMPOP 0 0 {t}a LEFT", Error("ERR numkeys should be greater than 0")),
    ("BLMPOP 0 1 {t}a MIDDLE", SYNTAX), ("BLMPOP 0 1 {t}a LEFT COUNT", SYNTAX),
    ("BLMPOP 0 1 {t}a LEFT COUNT 0", Error("ERR count should be greater than 0")),
    ("BLMPOP 0 1 {t}a LEFT COUNT 1 COUNT 1", SYNTAX),
    ("BZMPOP 0 1 {t}a LEFT", SYNTAX), ("BZMPOP 0 x {t}a MIN", Error("ERR numkeys should be greater than 0")),
    ("BLMOVE {t}a {t}b LEFT UP 0", SYNTAX), ("BLMOVE {t}a {t}b LEFT UP x", SYNTAX),
    ("BLMOVE {t}a {t}b LEFT LEFT x", Error("ERR timeout is not a float or out of range")),
    ("BLPOP {t}a", arity("blpop")), ("BRPOPLPUSH {t}a {t}b", arity("brpoplpush")), ("BZMPOP 0 1 {t}a", arity("bzmpop")),
])
def test_errors(c, line, error):
    assert c(line) == error


@pytest.mark.since("7.2")
@pytest.mark.parametrize("text", ["1e30", "inf", "9223372036854775.808", "9223372036854775.807"])
def test_too_long(c, text):
    assert c("BLPOP", A, text) == Error("ERR timeout is out of range")


def test_wrong_types(c):
    c.must("SET", A, "x")
    for line in ("BLPOP {t}none {t}a 0", "BRPOP {t}a 0", "BLMOVE {t}a {t}b LEFT LEFT 0", "BRPOPLPUSH {t}a {t}b 0",
                 "BLMPOP 0 2 {t}none {t}a LEFT", "BZPOPMIN {t}a 0", "BZPOPMAX {t}a 0", "BZMPOP 0 1 {t}a MIN"):
        assert c(line) == WRONGTYPE, line
    c.must("RPUSH", B, "x")
    assert c("BLMOVE {t}b {t}a LEFT LEFT 0") == WRONGTYPE and c("LLEN", B) == 1


def test_in_a_transaction_nobody_waits(c):
    assert c("MULTI") == OK
    for line in ("BLPOP {t}a 0", "BLMOVE {t}a {t}b LEFT LEFT 0", "BRPOPLPUSH {t}a {t}b 0", "BLMPOP 0 1 {t}a LEFT",
                 "BZPOPMIN {t}a 0", "BZMPOP 0 1 {t}a MIN", "RPUSH {t}a 1", "BLPOP {t}a 0"):
        assert c(line) == QUEUED
    assert c("EXEC") == [NULL_ARRAY, None, None, NULL_ARRAY, NULL_ARRAY, NULL_ARRAY, 1, [b"{t}a", b"1"]]


# --- being served -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, maker, reply, left", [
    ("BLPOP {t}a {t}b 0", "RPUSH {t}b 1 2", [b"{t}b", b"1"], [b"2"]),
    ("BRPOP {t}a {t}b 0", "RPUSH {t}b 1 2", [b"{t}b", b"2"], [b"1"]),
    ("BLMPOP 0 2 {t}a {t}b LEFT COUNT 2", "RPUSH {t}b 1 2 3", [b"{t}b", [b"1", b"2"]], [b"3"]),
    ("BLMOVE {t}b {t}c LEFT LEFT 0", "RPUSH {t}b 1 2", b"1", [b"2"]),
    ("BRPOPLPUSH {t}b {t}c 0", "RPUSH {t}b 1 2", b"2", [b"1"]),
])
def test_served_by_a_push(r, other, line, maker, reply, left):
    waiting = Waiting(r, line)
    other.must(maker)
    assert waiting() == reply
    assert other("LRANGE", B, "0", "-1") == left and blocked(other) == 0


@pytest.mark.parametrize("line, reply", [
    ("BZPOPMIN {t}a {t}b 0", [b"{t}b", b"x", b"1"]), ("BZPOPMAX {t}a {t}b 0", [b"{t}b", b"y", b"2"]),
    ("BZMPOP 0 2 {t}a {t}b MAX COUNT 2", [b"{t}b", [[b"y", b"2"], [b"x", b"1"]]]),
])
def test_served_by_zadd(r, other, line, reply):
    waiting = Waiting(r, line)
    assert other("ZADD", B, "1", "x", "2", "y") == 2, "it was made as a whole"
    assert waiting() == reply


@pytest.mark.parametrize("lines", [
    ("RPUSH {t}b x", "RENAME {t}b {t}a"), ("RPUSH {t}b x", "COPY {t}b {t}a"),
    ("RPUSH {t}b x", "LMOVE {t}b {t}a LEFT LEFT"),
    ("RPUSH {t}b x", "RPOPLPUSH {t}b {t}a"), ("SET {t}a 1", "ZADD {t}b 1 x", "DEL {t}a", "LPUSH {t}a x"),
    ("LPUSHX {t}a y", "LPUSH {t}a x"),
])
def test_however_the_list_comes(r, other, lines):
    waiting = Waiting(r, "BLPOP {t}a 0")
    for line in lines:
        other.must(line)
    assert waiting() == [A.encode(), b"x"]


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_other_databases(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0")
    other.must("SELECT 1")
    other.must("RPUSH", A, "1", "2")
    assert waiting.silent()
    other.must("MOVE", A, "0")
    assert waiting() == [A.encode(), b"1"]
    other.must("FLUSHALL")
    waiting = Waiting(r, "BLPOP {t}a 0")
    other.must("RPUSH", A, "3")
    other.must("SWAPDB 0 1")
    assert waiting() == [A.encode(), b"3"]


def test_another_type_is_waited_on(r, other):
    waiting, sorted_ = Waiting(r, "BLPOP {t}a 0"), Waiting(r, "BZPOPMIN {t}a 0")
    other.must("SET", A, "x")
    other.must("DEL", A)
    other.must("ZADD", A, "1", "m")
    assert sorted_() == [A.encode(), b"m", b"1"] and waiting.silent()
    other.must("LPUSH", A, "x")
    assert waiting() == [A.encode(), b"x"]


def test_the_longest_waiting_first(r, other):
    waiting = [Waiting(r, f"BLPOP {'{t}a' if n % 2 else '{t}b {t}a'} 0") for n in range(6)]
    for n in range(6):
        other.must("RPUSH", A, str(n))
    assert [one() for one in waiting] == [[A.encode(), b"%d" % n] for n in range(6)]
    waiting = [Waiting(r, "BLPOP {t}a 0") for n in range(3)]
    assert other("RPUSH", A, "x", "y") == 2
    assert [waiting[0](), waiting[1]()] == [[A.encode(), b"x"], [A.encode(), b"y"]] and waiting[2].silent()
    assert other("EXISTS", A) == 0
    other.must("LPUSH", A, "1", "2")
    assert waiting[2]() == [A.encode(), b"2"]


def test_each_command_serves_before_the_next(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0")
    assert other.many("RPUSH {t}a 1", "LLEN {t}a", "RPUSH {t}a 2", "LLEN {t}a") == [1, 0, 1, 1]
    assert waiting() == [A.encode(), b"1"]


def test_a_transaction_serves_as_a_whole(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0")
    assert other("MULTI") == OK
    for line in ("LPUSH {t}a a", "LPUSH {t}a b", "DEL {t}a", "LPUSH {t}a c", "LPUSH {t}a d", "LLEN {t}a"):
        assert other(line) == QUEUED
    assert other("EXEC") == [1, 2, 1, 1, 2, 2]
    assert waiting() == [A.encode(), b"d"] and other("LRANGE", A, "0", "-1") == [b"c"]
    waiting = Waiting(r, "BLPOP {t}b 0")
    assert other("MULTI") == OK and other("LPUSH {t}b x") == QUEUED and other("DEL {t}b") == QUEUED
    assert other("EXEC") == [1, 1] and waiting.silent()


def test_keys_in_the_order_of_readiness(r, other):
    first, second = Waiting(r, "BLPOP {t}a 0"), Waiting(r, "BLPOP {t}b 0")
    both = Waiting(r, "BLMOVE {t}b {t}a LEFT LEFT 0")
    assert other("MULTI") == OK
    for line in ("RPUSH {t}b 1 2", "RPUSH {t}a 3"):
        assert other(line) == QUEUED
    assert other("EXEC") == [2, 1]
    assert second() == [B.encode(), b"1"] and both() == b"2" and first() == [A.encode(), b"2"]
    assert other("LRANGE", A, "0", "-1") == [b"3"]


def test_a_chain_of_moves(r, other):
    waiting = [Waiting(r, "BRPOPLPUSH {t}a {t}b 0"), Waiting(r, "BLMOVE {t}b {t}c LEFT LEFT 0"),
               Waiting(r, "BLPOP {t}c 0")]
    assert other("RPUSH", A, "x") == 1
    assert [one() for one in waiting] == [b"x", b"x", [C.encode(), b"x"]]
    assert other("EXISTS", A, B, C) == 0
    circle = [Waiting(r, "BLMOVE {t}a {t}b LEFT LEFT 0"), Waiting(r, "BLMOVE {t}b {t}a LEFT LEFT 0")]
    other.must("RPUSH", A, "y")
    assert [one() for one in circle] == [b"y", b"y"] and other("LRANGE", A, "0", "-1") == [b"y"]


def test_a_move_to_the_wrong_type(r, other):
    other.must("SET", B, "x")
    waiting, behind = Waiting(r, "BLMOVE {t}a {t}b LEFT LEFT 0"), Waiting(r, "BLPOP {t}a 0")
    other.must("RPUSH", A, "1")
    assert waiting() == WRONGTYPE and behind() == [A.encode(), b"1"]


def test_the_same_key_twice(r, other):
    waiting = Waiting(r, "BLPOP {t}a {t}a {t}a 0")
    other.must("RPUSH", A, "1", "2")
    assert waiting() == [A.encode(), b"1"] and other("LLEN", A) == 1


# --- what else a blocked client has -----------------------------------------------------------------------------------

def test_time_outs(c):
    for line, reply in (("BLPOP {t}a 0.05", NULL_ARRAY), ("BLMOVE {t}a {t}b LEFT LEFT 0.05", NULL_ARRAY),
                        ("BZPOPMIN {t}a {t}b 0.05", NULL_ARRAY), ("BLMPOP 0.05 1 {t}a LEFT", NULL_ARRAY)):
        start = time.monotonic()
        assert c(line) == reply
        assert 0.049 < time.monotonic() - start < 5
    assert c("BLPOP {t}a 0x0.01") is NULL_ARRAY and c("BLPOP {t}a 1e-9") is NULL_ARRAY


def test_what_is_sent_behind_waits(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0", "GET {t}k")
    waiting.conn.send(encode("SET", "{t}k", "1") + encode("GET", "{t}k") + encode("BLPOP", A, "0") + encode("PING"))
    assert other("EXISTS {t}k") == 0 and waiting.silent()
    other.must("RPUSH", A, "1")
    assert [waiting() for _ in range(4)] == [[A.encode(), b"1"], None, OK, b"1"] and waiting.silent()
    other.must("RPUSH", A, "2")
    assert [waiting() for _ in range(2)] == [[A.encode(), b"2"], Status("PONG")]


def test_large_input_behind(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0")
    value = b"v" * 1_000_000
    waiting.conn.send(encode("SET", "{t}k", value) + encode("STRLEN", "{t}k"))
    assert waiting.silent() and other("RPUSH", A, "1") == 1
    assert [waiting() for _ in range(3)] == [[A.encode(), b"1"], OK, len(value)]


def test_client_unblock(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0", "PING")
    assert other("CLIENT", "UNBLOCK", str(waiting.id)) == 1 and other("CLIENT", "UNBLOCK", str(waiting.id)) == 0
    assert waiting() is NULL_ARRAY and waiting() == Status("PONG")
    waiting = Waiting(r, "BZPOPMIN {t}a 100")
    assert other("CLIENT", "UNBLOCK", str(waiting.id), "ERROR") == 1 and waiting() == UNBLOCKED
    waiting = Waiting(r, "BLMOVE {t}a {t}b LEFT LEFT 100")
    assert other("CLIENT", "UNBLOCK", str(waiting.id), "timeout") == 1 and waiting() is NULL_ARRAY
    assert other("CLIENT UNBLOCK 1 x") == Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    assert other("CLIENT UNBLOCK x") == NOT_INT and other("CLIENT UNBLOCK 99999999") == 0
    assert other("RPUSH", A, "1") == 1 and other("LLEN", A) == 1, "nobody waits any more"


@pytest.mark.not_on("proxy", reason="what it does itself it does when the engine has done its part")
def test_unblocked_and_served_in_one_transaction(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0")
    assert other("MULTI") == OK
    for words in (("RPUSH", A, "1"), ("CLIENT", "UNBLOCK", str(waiting.id)), ("CLIENT", "UNBLOCK", str(waiting.id))):
        assert other(*words) == QUEUED
    assert other("EXEC") == [1, 1, 0]
    assert waiting() is NULL_ARRAY and other("LLEN", A) == 1


def test_client_list_and_kill(r, other):
    waiting = Waiting(r, "BLPOP {t}a {t}b 0")
    line = dict(one.split("=", 1) for one in other("CLIENT", "LIST", "ID", str(waiting.id)).decode().strip().split(" "))
    assert line["flags"] == "b" and line["cmd"] == "blpop"
    assert other("CLIENT", "KILL", "ID", str(waiting.id)) == 1
    assert waiting.conn.closed()
    assert other("RPUSH", A, "1") == 1 and other("LLEN", A) == 1


def test_nothing_is_popped_for_who_is_gone(r, other):
    waiting = Waiting(r, "BLPOP {t}a 0")
    behind = Waiting(r, "BLPOP {t}a 0")
    waiting.conn.close()
    deadline = time.monotonic() + 10
    while blocked(other) != 1:
        assert time.monotonic() < deadline
    other.must("RPUSH", A, "1")
    assert behind() == [A.encode(), b"1"] and blocked(other) == 0


@pytest.mark.since("7.2")
def test_counts(r, other):
    waiting = [Waiting(r, "BLPOP {t}a {t}b 0"), Waiting(r, "BLPOP {t}a 100")]
    assert (field(other, "blocked_clients"), field(other, "total_blocking_keys"),
            field(other, "clients_in_timeout_table")) == (2, 2, 1)
    other.must("RPUSH", A, "1", "2")
    assert [one()[1] for one in waiting] == [b"1", b"2"]
    assert (field(other, "blocked_clients"), field(other, "total_blocking_keys"),
            field(other, "clients_in_timeout_table")) == (0, 0, 0)


@pytest.mark.not_on("cluster", reason="the configuration is one engine's")
def test_statistics_leave_the_waiting_out(r, other):
    with r.config(slowlog_log_slower_than=250_000):
        other.must("CONFIG RESETSTAT")
        other.must("SLOWLOG RESET")
        waiting = Waiting(r, "BLPOP {t}a 0")
        time.sleep(0.3)
        other.must("RPUSH", A, "1")
        assert waiting() == [A.encode(), b"1"] and other("BLPOP {t}a 0.3") is NULL_ARRAY
        lines = other("INFO commandstats").decode().split("\r\n")
        line = next(one for one in lines if one.startswith("cmdstat_blpop:"))
        figures = dict(part.split("=") for part in line.partition(":")[2].split(","))
        assert figures["calls"] == "2" and int(figures["usec"]) < 250_000 and figures["failed_calls"] == "0"
        assert [entry[3][0] for entry in other("SLOWLOG GET 10")] == []


def test_reply_off(r, other):
    conn = r.conn_to(A)
    conn.send(encode("CLIENT", "REPLY", "OFF") + encode("BLPOP", A, "0") + encode("CLIENT", "REPLY", "ON"))
    deadline = time.monotonic() + 10
    while blocked(other) != 1:
        assert time.monotonic() < deadline
    other.must("RPUSH", A, "1")
    assert conn.read() == OK and other("EXISTS", A) == 0


def test_watched_keys_and_waits(r, c, other):
    waiting = Waiting(r, "BLPOP {t}a 0")
    assert c("WATCH", A) == OK
    other.must("RPUSH", A, "1")
    assert waiting() == [A.encode(), b"1"]
    assert c("MULTI") == OK and c("PING") == QUEUED and c("EXEC") is NULL_ARRAY


def test_a_skipped_reply_is_that_of_what_blocks(r, other):
    conn = r.conn_to(A)
    conn.send(encode("CLIENT", "REPLY", "SKIP") + encode("BLPOP", A, "0") + encode("PING"))
    deadline = time.monotonic() + 10
    while blocked(other) != 1:
        assert time.monotonic() < deadline
    other.must("RPUSH", A, "1")
    assert conn.read() == Status("PONG") and other("EXISTS", A) == 0
