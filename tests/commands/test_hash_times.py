"""Times to live of a hash's fields: HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HTTL HPTTL HEXPIRETIME HPEXPIRETIME HPERSIST,
HGETEX HSETEX HGETDEL, and what the other commands make of them, on small hashes and large ones."""

import time

import pytest

from harness import OK, Error, Status
from harness.texts import NOT_INT, WRONGTYPE, arity

pytestmark = pytest.mark.since("8.0")

FAR_S, FAR_MS = 4_000_000_000, 4_000_000_000_000
NO_FIELDS = Error("ERR Mandatory argument FIELDS is missing or not at the right position")
NOT_AS_MANY = Error("ERR The `numfields` parameter must match the number of arguments")
NOT_POSITIVE = Error("ERR Parameter `numFields` should be greater than 0")
NO_NUMBER = Error("ERR Number of fields must be a positive integer")
NEGATIVE = Error("ERR invalid expire time, must be >= 0")
ONE_EXPIRY = Error("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified")
ONE_CONDITION = Error("ERR Only one of FXX or FNX arguments can be specified")
# the other fields of the hash h, which make it a large one for either reason, or one that is not settled at once
FORMS = {"small": 0, "entries": 600, "value": 1}


def invalid(name):
    return Error(f"ERR invalid expire time in '{name}' command")


@pytest.fixture(params=FORMS)
def form(request, r):
    """The hash h with the fields a, b, c and some more; how many it has."""
    r("HSET h a 1 b 2 c 3")
    others = FORMS[request.param]
    for n in range(others):
        r("HSET", "h", f"filler:{n}", "x" * (100 if others == 1 else 1))
    assert r("OBJECT ENCODING h") == (b"hashtable" if others else b"listpack")
    return 3 + others


def pairs(flat):
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2]))


def gone(r, field="a"):
    """Waits until a field that falls due within milliseconds has done so."""
    deadline = time.monotonic() + 10
    while r("HEXISTS", "h", field):
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_expire_and_read(r, form):
    assert r("HPEXPIREAT", "h", FAR_MS + 1, "FIELDS", 3, "a", "b", "nope") == [1, 1, -2]
    assert r("HPEXPIRETIME h FIELDS 4 a b c nope") == [FAR_MS + 1, FAR_MS + 1, -1, -2]
    assert r("HEXPIRETIME h FIELDS 2 a c") == [FAR_S + 1, -1]
    assert r("HEXPIREAT", "h", FAR_S, "fields", 1, "c") == [1]
    assert r("HPEXPIRETIME h FIELDS 1 c") == [FAR_MS]
    assert r("HEXPIRE h 1000 FIELDS 1 a") == [1] and r("HTTL h FIELDS 3 a c nope")[0] == 1000
    assert r("HPEXPIRE h 1000000 FIELDS 1 a") == [1] and 990_000 < r("HPTTL h FIELDS 1 a")[0] <= 1_000_000
    assert r("OBJECT ENCODING h") == (b"listpackex" if form == 3 else b"hashtable")
    assert r("HGET h a") == b"1" and r("HLEN h") == form and len(pairs(r("HGETALL h"))) == form
    assert r("HPERSIST h FIELDS 4 a a c nope") == [1, -1, 1, -2] and r("HTTL h FIELDS 2 a b")[0] == -1
    assert r("TTL h") == -1, "it is the fields' business"


def test_conditions(r, form):
    def at(when, condition, field="a"):
        return r("HPEXPIREAT", "h", FAR_MS + when, condition, "FIELDS", 1, field)[0]

    assert at(1, "XX") == 0 and at(1, "GT") == 0 and at(5, "LT") == 1
    assert at(1, "NX") == 0 and at(9, "XX") == 1 and at(9, "GT") == 0 and at(9, "LT") == 0
    assert at(10, "gt") == 1 and at(8, "lt") == 1 and at(1, "NX", "b") == 1 and at(1, "NX", "nope") == -2
    assert r("HPEXPIRETIME h FIELDS 2 a b") == [FAR_MS + 8, FAR_MS + 1]


def test_past_times_delete(r, form):
    assert r("HEXPIRE h 0 NX FIELDS 3 a nope a") == [2, -2, -2]
    assert r("HPEXPIREAT h 1 FIELDS 1 b") == [2] and r("HLEN h") == form - 2
    r("HPEXPIREAT", "h", FAR_MS, "FIELDS", 1, "c")
    assert r("HEXPIRE h 0 NX FIELDS 1 c") == [0] and r("HEXPIREAT h 0 GT FIELDS 1 c") == [0]
    rest = r("HKEYS h")
    assert r("HEXPIRE", "h", 0, "LT", "FIELDS", len(rest), *rest) == [2] * len(rest)
    assert r("EXISTS h") == 0 and r("HTTL h FIELDS 1 a") == [-2]


def test_fields_fall_due(r, form):
    assert r("HPEXPIRE h 5 FIELDS 2 a b") == [1, 1]
    gone(r)
    assert r("HGET h a") is None and r("HMGET h a c b") == [None, b"3", None] and r("HSTRLEN h b") == 0
    assert len(pairs(r("HGETALL h"))) == len(r("HKEYS h")) == len(r("HVALS h")) == form - 2
    assert len(pairs(r("HSCAN h 0 COUNT 10000")[1])) == form - 2
    assert len(r("HRANDFIELD h 10000")) == form - 2 and b"a" not in r("HRANDFIELD h -200")
    assert r("HTTL h FIELDS 2 a c") == [-2, -1] and r("HPERSIST h FIELDS 1 b") == [-2]
    assert r("HEXPIRE h 100 FIELDS 1 a") == [-2] and r("HGETEX h FIELDS 1 a") == [None]
    assert r("HGETDEL h FIELDS 1 b") == [None] and r("HDEL h a") == 0
    assert r("HSETNX h a 7") == 1 and r("HINCRBY h b 4") == 4, "as if they had never been"
    assert r("HTTL h FIELDS 2 a b") == [-1, -1]


def test_the_key_goes_with_its_last_field(r):
    for extra in ([], ["x" * 100]):
        r("HSET", "h", "a", *(extra or "1"), "b", 2)
        assert r("HPEXPIRE h 3 FIELDS 2 a b") == [1, 1]
        deadline = time.monotonic() + 10
        while r("EXISTS h"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert r("HLEN h") == 0 and r("HSET h a 1") == 1 and r("HTTL h FIELDS 1 a") == [-1] and r("DEL h") == 1


def test_what_other_commands_do_to_it(r, form):
    def armed():
        r("HPEXPIREAT", "h", FAR_MS, "FIELDS", 1, "a")

    armed()
    r("HINCRBY h a 5")
    r("HINCRBYFLOAT h a 0.5")
    assert r("HPEXPIRETIME h FIELDS 1 a") == [FAR_MS] and r("HGET h a") == b"6.5"
    assert r("HSETNX h a 1") == 0 and r("HPEXPIRETIME h FIELDS 1 a") == [FAR_MS]
    assert r("HSET h a 12") == 0 and r("HTTL h FIELDS 1 a") == [-1]
    armed()
    r("HMSET h a longer-than-before")
    assert r("HTTL h FIELDS 1 a") == [-1] and r("HGET h a") == b"longer-than-before"
    armed()
    assert r("HDEL h a") == 1 and r("HSET h a 1") == 1 and r("HTTL h FIELDS 1 a") == [-1]
    armed()
    assert r("COPY h h{h}") == 1 and r("HPEXPIRETIME h{h} FIELDS 2 a b") == [FAR_MS, -1]
    r("RENAME h{h} h2{h}")
    assert r("HPEXPIRETIME h2{h} FIELDS 2 a b") == [FAR_MS, -1] and r("HLEN h2{h}") == form
    r("PEXPIREAT", "h", FAR_MS)
    assert r("PERSIST h") == 1 and r("HPEXPIRETIME h FIELDS 1 a") == [FAR_MS]
    assert r("SET h2{h} v") == OK and r("HTTL h2{h} FIELDS 1 a") == WRONGTYPE


def test_small_hashes_grow(r):
    for how in ("value", "entries"):
        r("DEL h")
        r("HSET h a 1 b 2")
        r("HPEXPIREAT", "h", FAR_MS, "FIELDS", 1, "a")
        if how == "value":
            r("HSET", "h", "c", "x" * 65)
        else:
            r("HSET", "h", *[word for n in range(511) for word in (f"f:{n}", "v")])
        assert r("OBJECT ENCODING h") == b"hashtable"
        assert r("HPEXPIRETIME h FIELDS 2 a b") == [FAR_MS, -1]
    r("HSETEX", "big", "PXAT", FAR_MS, "FIELDS", 2, "x" * 65, "1", "a", "2")
    assert r("OBJECT ENCODING big") == b"hashtable" and r("HPEXPIRETIME", "big", "FIELDS", 1, "x" * 65) == [FAR_MS]


def test_getex(r, form):
    assert r("HGETEX h FIELDS 2 a nope") == [b"1", None] and r("HTTL h FIELDS 1 a") == [-1]
    assert r("HGETEX", "h", "PXAT", FAR_MS, "FIELDS", 2, "a", "nope") == [b"1", None]
    assert r("HGETEX h FIELDS 1 a") == [b"1"] and r("HPEXPIRETIME h FIELDS 1 a") == [FAR_MS]
    assert r("HGETEX", "h", "exat", FAR_S, "FIELDS", 1, "b") == [b"2"]
    assert r("HGETEX h PERSIST FIELDS 2 a c") == [b"1", b"3"] and r("HTTL h FIELDS 1 a") == [-1]
    assert r("HGETEX h EX 1000 FIELDS 1 c") == [b"3"] and 990 < r("HTTL h FIELDS 1 c")[0] <= 1000
    assert r("HGETEX h PX 1000000 FIELDS 1 c") == [b"3"]
    assert r("HGETEX h EX 0 FIELDS 2 a a") == [b"1", None] and r("HLEN h") == form - 1
    assert r("HGETEX none EX 10 FIELDS 2 a b") == [None, None] and r("EXISTS none") == 0


def test_getdel(r, form):
    assert r("HGETDEL h FIELDS 3 a nope a") == [b"1", None, None] and r("HLEN h") == form - 1
    rest = r("HKEYS h")
    assert r("HGETDEL", "h", "FIELDS", len(rest), *rest)[0] is not None and r("EXISTS h") == 0
    assert r("HGETDEL h FIELDS 1 a") == [None]


def test_setex(r, form):
    assert r("HSETEX", "h", "PXAT", FAR_MS, "FIELDS", 2, "a", "9", "new", "8") == 1
    assert r("HMGET h a new") == [b"9", b"8"] and r("HPEXPIRETIME h FIELDS 2 a new") == [FAR_MS, FAR_MS]
    assert r("HSETEX h KEEPTTL FIELDS 2 a 10 b 11") == 1 and r("HPEXPIRETIME h FIELDS 2 a b") == [FAR_MS, -1]
    assert r("HSETEX h FIELDS 1 a 1") == 1 and r("HTTL h FIELDS 1 a") == [-1]
    assert r("HSETEX h FNX FIELDS 2 other 1 a 2") == 0 and r("HEXISTS h other") == 0
    assert r("HSETEX h FXX EX 1000 FIELDS 2 other 1 a 2") == 0 and r("HGET h a") == b"1"
    assert r("HSETEX h fxx EX 1000 FIELDS 2 b 1 a 2") == 1 and 990 < r("HTTL h FIELDS 1 b")[0] <= 1000
    assert r("HSETEX h EX 1000 FNX FIELDS 1 other 1") == 1
    assert r("HSETEX h FIELDS 1 other 2 FNX") == arity("hsetex")
    assert r("HSETEX h PXAT 1 FIELDS 2 a 1 never 1") == 1 and r("HMGET h a never") == [None, None]
    assert r("HSETEX none FXX FIELDS 1 a 1") == 0 and r("HSETEX none EX 0 FIELDS 1 a 1") == 1 and r("EXISTS none") == 0
    assert r("HSETEX none FNX FIELDS 2 a 1 a 2") == 1 and r("HGETALL none") in ([b"a", b"2"], {b"a": b"2"})


@pytest.mark.parametrize("line, error", [
    ("HEXPIRE h -1 FIELDS 1 a", NEGATIVE), ("HEXPIRE h x FIELDS 1 a", NOT_INT),
    ("HEXPIRE h 1 FIELDS 0 a", NOT_POSITIVE),
    ("HEXPIRE h 9223372036854775807 FIELDS 1 a", invalid("hexpire")), ("HEXPIRE h 1 FIELDS x a", NOT_POSITIVE),
    ("HPEXPIRE h 70368744177663 FIELDS 1 a", invalid("hpexpire")), ("HEXPIRE h 1 FIELDS 2 a", NOT_AS_MANY),
    ("HPEXPIREAT h 70368744177664 FIELDS 1 a", invalid("hpexpireat")), ("HEXPIRE h 1 FIELDS 1 a b", NOT_AS_MANY),
    ("HEXPIREAT h 70368744178 FIELDS 1 a", invalid("hexpireat")), ("HEXPIRE h 1 NX XX FIELDS 1 a", NO_FIELDS),
    ("HEXPIRE h 1 FOO FIELDS 1 a", NO_FIELDS), ("HEXPIRE none 1 FOO FIELDS 1 a", NO_FIELDS),
    ("HEXPIRE h", arity("hexpire")),
    ("HEXPIRE s x FIELDS 1 a", WRONGTYPE), ("HEXPIRE none x FIELDS 1 a", NOT_INT), ("HEXPIRE h 1 a b c", NO_FIELDS),
    ("HTTL h FIELDS 0 a", NO_NUMBER), ("HTTL h FIELDS 2 a", NOT_AS_MANY), ("HTTL h FOO 1 a", NO_FIELDS),
    ("HTTL none FIELDS x a", NO_NUMBER), ("HPTTL s FIELDS 0 a", WRONGTYPE), ("HPEXPIRETIME h", arity("hpexpiretime")),
    ("HPERSIST h FIELDS -1 a", NO_NUMBER), ("HPERSIST s FIELDS 1 a", WRONGTYPE),
    ("HPERSIST h FIELDS 1 a b", NOT_AS_MANY),
    ("HGETEX h EX -1 FIELDS 1 a", NEGATIVE), ("HGETEX h EX x FIELDS 1 a", NOT_INT), ("HGETEX s FOO x y", WRONGTYPE),
    ("HGETEX h EX 1 PX 1 FIELDS 1 a", NO_FIELDS), ("HGETEX h KEEPTTL FIELDS 1 a", NO_FIELDS),
    ("HGETEX h EX 9223372036854775807 FIELDS 1 a", invalid("hgetex")), ("HGETEX h FIELDS 0 a", NO_NUMBER),
    ("HGETDEL h FIELDS 0 a", NO_NUMBER), ("HGETDEL s FIELDS 0 a", WRONGTYPE), ("HGETDEL h FOO 1 a", NO_FIELDS),
    ("HSETEX h EX 1 KEEPTTL FIELDS 1 a 1", ONE_EXPIRY), ("HSETEX h EX 1 EX 1 FIELDS 1 a 1", ONE_EXPIRY),
    ("HSETEX h FNX FXX FIELDS 1 a 1", ONE_CONDITION), ("HSETEX h FNX FNX FIELDS 1 a 1", ONE_CONDITION),
    ("HSETEX h FOO FIELDS 1 a 1", Error("ERR unknown argument: FOO")), ("HSETEX h FIELDS 2 a 1", arity("hsetex")),
    ("HSETEX h FIELDS 0 a 1", Error("ERR invalid number of fields")), ("HSETEX s EX -1 FIELDS 1 a 1", NEGATIVE),
    ("HSETEX h FIELDS 2147483648 a 1", Error("ERR invalid number of fields")), ("HSETEX s FIELDS 1 a 1", WRONGTYPE),
    ("HSETEX h FIELDS 2147483647 a 1", arity("hsetex")), ("HSETEX h EX 99999999999 FIELDS 1 a 1", invalid("hsetex"))])
def test_errors(r, line, error):
    r("SET s v")
    r("HSET h a 1")
    assert r(line) == error
    assert r("HGETALL h") == [b"a", b"1"] and r("HTTL h FIELDS 1 a") == [-1]


def test_replies_in_resp3(r):
    conn = r.conn(resp=3) if r.name != "cluster" else None
    if conn is None:
        pytest.skip("a connection leads to one engine")
    conn("HSET h a 1 b 2")
    assert conn("HEXPIRE h 1000 FIELDS 2 a nope") == [1, -2] and conn("HGETEX h FIELDS 2 a nope") == [b"1", None]
    assert conn("HSETEX h FIELDS 1 a 1") == 1 and conn("HGETDEL h FIELDS 2 a nope") == [b"1", None]


def test_info_and_digest(r):
    if r.name == "cluster":
        pytest.skip("each engine has its own")
    r("HSET h a 1 b 2 c 3")
    r("HPEXPIREAT", "h", FAR_MS, "FIELDS", 2, "a", "b")
    assert b"subexpiry=1" in r("INFO keyspace") and b"expired_subkeys:" in r("INFO stats")
    assert r("DEBUG DIGEST-VALUE h") == [Status("ff55046133ad607237a9fc37b70893d3308c801e")], "as Redis 8.0.6 has it"
    assert r("SETRANGE h 1 x") == WRONGTYPE and r("DEL h") == 1 and b"subexpiry" not in r("INFO keyspace")


@pytest.mark.not_on("cluster", reason="an engine by itself renames within a slot")
@pytest.mark.parametrize("size", [3, 600, 5000])
def test_fields_keep_their_times_from_key_to_key(r, size):
    names = [f"f:{n}" for n in range(size)]
    r("HSET", "source", *[word for name in names for word in (name, "v")])
    for n in range(0, size, 500):
        piece = names[n:n + 500:2]
        assert set(r("HPEXPIREAT", "source", FAR_MS + n, "FIELDS", len(piece), *piece)) == {1}
    expected = r("HPEXPIRETIME", "source", "FIELDS", size, *names)
    for target in ("a", "b", "c", "d"):         # some of them lie on other engines than the source
        assert r("COPY", "source", target) == 1
        assert r("HPEXPIRETIME", target, "FIELDS", size, *names) == expected
        assert r("OBJECT", "ENCODING", target) == r("OBJECT ENCODING source")
    for source, target in (("a", "x"), ("b", "y"), ("c", "z")):
        assert r("RENAME", source, target) == OK
        assert r("HPEXPIRETIME", target, "FIELDS", size, *names) == expected and r("HLEN", target) == size
    assert b"subexpiry=5" in r("INFO keyspace")


@pytest.mark.not_on("oracle", reason="it is Redis 8.4's and Valkey 9.1's")
@pytest.mark.not_on("cluster", reason="its keys lie in several slots")
def test_msetex(r):
    assert r("MSETEX 3 a 1 b 2 c 3") == 1 and r("MGET a b c") == [b"1", b"2", b"3"]
    assert r("MSETEX", 2, "a", 4, "b", 5, "PXAT", FAR_MS) == 1
    assert [r("PEXPIRETIME", key) for key in "abc"] == [FAR_MS, FAR_MS, -1]
    assert r("MSETEX 2 a 6 c 7 keepttl xx") == 1 and r("PEXPIRETIME a") == FAR_MS and r("MGET a c") == [b"6", b"7"]
    assert r("MSETEX 2 d 1 a 1 NX") == 0 and r("MSETEX 2 d 1 a 1 XX EX 10") == 0 and r("EXISTS d") == 0
    assert r("MSETEX 3 d 1 e 2 d 3 NX EX 1000") == 1 and r("GET d") == b"3" and 990 < r("TTL e") <= 1000
    assert r("MSETEX 2 d 1 e 2 PXAT 1") == 1 and r("EXISTS d e") == 0
    for line in ("MSETEX 2 a 1 b 2 EX 1 PX 1", "MSETEX 2 a 1 b 2 EX 1 KEEPTTL", "MSETEX 2 a 1 b 2 NX XX",
                 "MSETEX 2 a 1 b 2 FOO", "MSETEX 2 a 1 b 2 EX", "MSETEX 2 a 1 b", "MSETEX 1 a 1 b 2"):
        assert r(line) == Error("ERR syntax error"), line
    for line in ("MSETEX 0 a 1", "MSETEX -1 a 1", "MSETEX x a 1", "MSETEX 99999999999 a 1"):
        assert r(line) == Error("ERR invalid numkeys value or out of range"), line
    assert r("MSETEX 2 a 1 b 2 EX 0") == invalid("msetex") and r("MSETEX 2 a 1 b 2 EX x") == NOT_INT
    assert r("MSETEX 1 a") == arity("msetex") and r("GET a") == b"6"


@pytest.mark.not_on("oracle", reason="they are Redis 8.4's and Valkey 9's")
def test_conditions_on_strings(r):
    assert r("SET k v") == OK and r("SET k w IFEQ x") is None and r("SET k w IFEQ v") == OK
    assert r("SET k x IFEQ w GET") == b"w" and r("SET k y IFEQ w GET") == b"x" and r("GET k") == b"x"
    assert r("SET k y IFEQ x EX 1000") == OK and r("SET k z IFEQ y KEEPTTL") == OK and 990 < r("TTL k") <= 1000
    assert r("SET none v IFEQ v") is None and r("SET k v IFNE z") is None and r("SET k v IFNE a") == OK
    assert r("SET new v IFNE a") == OK and r("GET new") == b"v"
    for line in ("SET k v IFEQ a NX", "SET k v XX IFEQ a", "SET k v IFEQ", "SET k v IFEQ a IFEQ b",
                 "SET k v IFNE a IFEQ v"):
        assert r(line) == Error("ERR syntax error"), line
    r("SADD s a")
    assert r("SET s v IFEQ a") == WRONGTYPE and r("DELIFEQ s a") == WRONGTYPE and r("DELIFEQ k") == arity("delifeq")
    assert r("DELIFEQ k w") == 0 and r("DELIFEQ k v") == 1 and r("EXISTS k") == 0 and r("DELIFEQ k v") == 0
    r("SET n 10")
    assert r("SET n 11 IFEQ 010") is None and r("SET n 11 IFEQ 10") == OK and r("DELIFEQ n 11") == 1
