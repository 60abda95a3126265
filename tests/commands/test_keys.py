"""The keyspace as a whole and key by key: DEL UNLINK EXISTS TOUCH TYPE RENAME RENAMENX COPY MOVE SWAPDB RANDOMKEY KEYS
DBSIZE FLUSHDB FLUSHALL OBJECT. SCAN has a file of its own, expiry too."""

import pytest

from harness import OK, Error, Status
from harness.texts import (CROSSSLOT, DB_RANGE, INT64_MAX, INT64_MIN, NO_SUCH_KEY, NOT_INT, SYNTAX, arity,
                           unknown_subcommand)

SAME_OBJECT = Error("ERR source and destination objects are the same")
ONE_NODE = "RedisCluster asks each engine; the body is about one answer"
MANY_SLOTS = "a cluster client may not name several slots"
ONE_DB = "redis-py's RedisCluster knows no SELECT"


# --- DEL UNLINK EXISTS TOUCH ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["DEL", "UNLINK"])
def test_del(r, command):
    assert r(f"{command} k") == 0
    r("SET k v")
    assert r(f"{command} k") == 1
    assert r("GET k") is None
    r("MSET {t}1 a {t}2 b {t}3 c")
    assert r(f"{command} {{t}}1 {{t}}2 {{t}}4") == 2
    assert r(f"{command} {{t}}3 {{t}}3 {{t}}3") == 1
    assert r("DBSIZE") == 0
    r("SET k v EX 1000")
    assert r(f"{command} k") == 1
    r("SET k w")
    assert r("TTL k") == -1, "the time to live went with the key"


@pytest.mark.parametrize("command", ["EXISTS", "TOUCH"])
def test_exists(r, command):
    assert r(f"{command} k") == 0
    r("SET", "k", "")
    assert r(f"{command} k") == 1
    assert r(f"{command} k k k") == 3
    r("MSET {t}1 a {t}2 b")
    assert r(f"{command} {{t}}1 {{t}}2 {{t}}3 {{t}}1") == 3


@pytest.mark.not_on("cluster", reason=MANY_SLOTS)
@pytest.mark.parametrize("command", ["DEL", "UNLINK", "EXISTS", "TOUCH"])
def test_many_keys_over_slots(r, command):
    for n in range(0, 300, 2):
        r("SET", f"key:{n}", n)
    names = [f"key:{n}" for n in range(300)]
    assert r(command, *names) == 150
    assert r(command, *names, *names) == (0 if command in ("DEL", "UNLINK") else 300)
    assert r("DBSIZE") == (0 if command in ("DEL", "UNLINK") else 150)


@pytest.mark.parametrize("name, bad", [
    ("del", ["DEL"]), ("unlink", ["UNLINK"]), ("exists", ["EXISTS"]), ("touch", ["TOUCH"]),
    ("type", ["TYPE", "TYPE a b"]),
    ("rename", ["RENAME", "RENAME {a}1", "RENAME {a}1 {a}2 {a}3"]),
    ("renamenx", ["RENAMENX {a}1", "RENAMENX {a}1 {a}2 {a}3"]),
    ("copy", ["COPY", "COPY {a}1"]), ("move", ["MOVE", "MOVE k", "MOVE k 1 2"]),
    ("swapdb", ["SWAPDB", "SWAPDB 0", "SWAPDB 0 1 2"]),
    ("randomkey", ["RANDOMKEY x"]), ("keys", ["KEYS", "KEYS a b"]), ("dbsize", ["DBSIZE x"]), ("object", ["OBJECT"]),
    ("object|encoding", ["OBJECT ENCODING", "OBJECT ENCODING a b"]), ("object|freq", ["OBJECT FREQ"]),
    ("object|idletime", ["OBJECT IDLETIME"]), ("object|refcount", ["OBJECT REFCOUNT"]), ("scan", ["SCAN"]),
    ("object|help", ["OBJECT HELP x"]), ("persist", ["PERSIST", "PERSIST a b"]), ("ttl", ["TTL", "TTL a b"])])
def test_arity_of_the_family(r, name, bad):
    for line in bad:
        assert r(line) == arity(name)
        assert r(line.lower()) == arity(name)


# --- TYPE, OBJECT -----------------------------------------------------------------------------------------------------

def test_type(r):
    assert r("TYPE k") == Status("none")
    r("SET k v")
    assert r("TYPE k") == Status("string")


def test_object(r):
    assert r("OBJECT ENCODING k") is None
    r("SET k v")
    assert r("OBJECT ENCODING k") == b"embstr"
    assert r("object encoding k") == b"embstr"
    assert r("OBJECT REFCOUNT k") == 1
    assert r("OBJECT REFCOUNT nokey") is None
    assert 0 <= r("OBJECT IDLETIME k") <= 60
    assert r("OBJECT IDLETIME nokey") is None


def test_object_freq_needs_lfu(r):
    text = Error("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
                 "switching between policies at runtime LRU and LFU data will take some time to adjust.")
    r("SET k v")
    assert r("OBJECT FREQ k") == text
    assert r("OBJECT FREQ nokey") is None


@pytest.mark.not_on("cluster", reason="the configuration of the same engines is changed under the proxy")
def test_object_freq_under_lfu(r):
    text = Error("ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching "
                 "between policies at runtime LRU and LFU data will take some time to adjust.")
    with r.config(maxmemory_policy="allkeys-lfu"):
        r("SET k v")
        first = r("OBJECT FREQ k")
        assert isinstance(first, int) and 0 < first <= 10
        for _ in range(300):
            r("GET k")
        assert r("OBJECT FREQ k") > first
        assert r("OBJECT IDLETIME k") == text
        assert r("OBJECT FREQ nokey") is None


def test_object_help_and_errors(r):
    lines = r("OBJECT HELP")
    assert lines[0] == Status("OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
    assert Status("ENCODING <key>") in lines and lines[-2] == Status("HELP")
    assert r("OBJECT BOGUS k") == unknown_subcommand("BOGUS", "OBJECT")
    assert r("object bogus") == unknown_subcommand("bogus", "OBJECT")


# --- RENAME -----------------------------------------------------------------------------------------------------------

def test_rename(r):
    assert r("RENAME {t}1 {t}2") == NO_SUCH_KEY
    assert r("RENAME {t}1 {t}1") == NO_SUCH_KEY
    r("SET {t}1 v EX 1000")
    r("SET {t}2 w")
    assert r("RENAME {t}1 {t}2") == OK
    assert r("EXISTS {t}1") == 0
    assert r("GET {t}2") == b"v"
    assert 900 < r("TTL {t}2") <= 1000, "the time to live moves along"
    r("SET {t}1 x")
    assert r("RENAME {t}1 {t}2") == OK
    assert r("TTL {t}2") == -1, "the old time to live is gone"
    assert r("RENAME {t}2 {t}2") == OK
    assert r("GET {t}2") == b"x"
    assert r("DBSIZE") == 1


def test_renamenx(r):
    assert r("RENAMENX {t}1 {t}2") == NO_SUCH_KEY
    r("SET {t}1 v EX 1000")
    r("SET {t}2 w")
    assert r("RENAMENX {t}1 {t}2") == 0
    assert r("RENAMENX {t}1 {t}1") == 0
    assert r("GET {t}1") == b"v"
    assert r("RENAMENX {t}1 {t}3") == 1
    assert r("GET {t}3") == b"v"
    assert 900 < r("TTL {t}3") <= 1000
    assert r("EXISTS {t}1") == 0


@pytest.mark.not_on("cluster", reason="keys of several slots")
@pytest.mark.parametrize("command, gone", [("RENAME", 1), ("RENAMENX", 1), ("COPY", 0)])
def test_the_encoding_goes_along(r, command, gone):
    for value, more, encoding in (("1", "2", b"raw"), ("a", "b", b"raw"), ("", "ab", b"raw"), ("12", "", b"int"),
                                  ("ab", "", b"embstr")):
        r("DEL a b c")
        r("SET", "a", value, "EX", 1000)
        if more:
            r("APPEND", "a", more)
        for source, target in (("a", "b"), ("b", "c")):
            assert r(command, source, target) in (1, OK)
            assert r("EXISTS", source) == 1 - gone
            assert r("GET", target) == (value + more).encode()
            assert r("OBJECT", "ENCODING", target) == encoding
            assert 900 < r("TTL", target) <= 1000
    r("DEL a b")
    r("INCRBYFLOAT a 12")
    assert r(command, "a", "b") in (1, OK)
    assert r("OBJECT ENCODING b") == b"embstr"
    assert r("GET b") == b"12"


# --- COPY -------------------------------------------------------------------------------------------------------------

def test_copy(r):
    assert r("COPY {t}1 {t}2") == 0
    r("SET {t}1 v EX 1000")
    assert r("COPY {t}1 {t}2") == 1
    assert r("GET {t}2") == b"v"
    assert r("GET {t}1") == b"v"
    assert 900 < r("TTL {t}2") <= 1000
    r("SET {t}1 w")
    assert r("COPY {t}1 {t}2") == 0
    assert r("GET {t}2") == b"v"
    assert r("COPY {t}1 {t}2 REPLACE") == 1
    assert r("GET {t}2") == b"w"
    assert r("TTL {t}2") == -1
    r("APPEND {t}2 more")
    assert r("GET {t}1") == b"w", "the copy is a copy"
    assert r("COPY {t}1 {t}1") == SAME_OBJECT
    assert r("COPY {t}1 {t}1 REPLACE") == SAME_OBJECT
    assert r("COPY {t}none {t}none") == SAME_OBJECT


def test_copy_options(r):
    r("SET {t}1 v")
    assert r("COPY {t}1 {t}2 BOGUS") == SYNTAX
    assert r("COPY {t}1 {t}2 DB") == SYNTAX
    assert r("COPY {t}1 {t}2 REPLACE REPLACE") == 1
    assert r("copy {t}1 {t}2 replace") == 1


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_copy_to_another_database(r):
    r("SET k v EX 1000")
    assert r("COPY k k DB 3") == 1
    assert r("COPY k k DB 3") == 0
    assert r("COPY k k DB 3 REPLACE") == 1
    assert r("COPY k k DB 0") == SAME_OBJECT
    for db in (16, -1, 2**31 - 1):
        assert r("COPY", "k", "k", "DB", db) == DB_RANGE
    for db in (2**31, INT64_MAX, INT64_MIN):
        assert r("COPY", "k", "k", "DB", db) == Error(
            "ERR value is out of range, value must between -2147483648 and 2147483647")
    assert r("COPY k k DB abc") == NOT_INT
    assert r("SELECT 3") == OK
    assert r("GET k") == b"v"
    assert 900 < r("TTL k") <= 1000


# --- databases --------------------------------------------------------------------------------------------------------

@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_databases_are_apart(r):
    r("SET k zero")
    assert r("SELECT 1") == OK
    assert r("GET k") is None
    r("SET k one")
    assert r("DBSIZE") == 1
    assert r("SELECT 15") == OK
    assert r("EXISTS k") == 0
    assert r("SELECT 0") == OK
    assert r("GET k") == b"zero"
    assert r("SELECT 16") == DB_RANGE
    assert r("SELECT -1") == DB_RANGE
    for bad in ("abc", "", "1.5", 2**63):
        assert r("SELECT", bad) == NOT_INT
    assert r("SELECT", 2**31) == Error("ERR value is out of range, value must between -2147483648 and 2147483647")
    assert r("GET k") == b"zero", "a failed SELECT changes nothing"
    assert r.conn(db=1)("GET k") == b"one"


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_move(r):
    assert r("MOVE k 1") == 0
    r("SET k v EX 1000")
    assert r("MOVE k 0") == SAME_OBJECT
    assert r("MOVE k 1") == 1
    assert r("EXISTS k") == 0
    r("SET k w")
    assert r("MOVE k 1") == 0
    assert r("GET k") == b"w"
    assert r("MOVE k 16") == DB_RANGE
    assert r("MOVE k -1") == DB_RANGE
    assert r("MOVE k abc") == NOT_INT
    r("SELECT 1")
    assert r("GET k") == b"v"
    assert 900 < r("TTL k") <= 1000


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_swapdb(r):
    r("SET k zero")
    r("SET only0 x")
    r("SELECT 1")
    r("SET k one EX 1000")
    assert r("SWAPDB 0 1") == OK
    assert r("GET k") == b"zero"
    assert r("DBSIZE") == 2
    r("SELECT 0")
    assert r("GET k") == b"one"
    assert 900 < r("TTL k") <= 1000
    assert r("SWAPDB 1 0") == OK
    assert r("GET k") == b"zero"
    assert r("SWAPDB 0 0") == OK
    assert r("GET k") == b"zero"
    assert r("SWAPDB 0 16") == DB_RANGE
    assert r("SWAPDB -1 0") == DB_RANGE
    assert r("SWAPDB a 0") == Error("ERR invalid first DB index")
    assert r("SWAPDB 0 b") == Error("ERR invalid second DB index")


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_flushdb_and_flushall(r):
    for db in (0, 1, 2):
        r("SELECT", db)
        r("SET", f"k{db}", "v")
    assert r("FLUSHDB") == OK
    assert r("DBSIZE") == 0
    r("SELECT 1")
    assert r("DBSIZE") == 1
    assert r("FLUSHALL") == OK
    assert r("DBSIZE") == 0
    r("SELECT 0")
    assert r("DBSIZE") == 0


@pytest.mark.parametrize("command", ["FLUSHDB", "FLUSHALL"])
def test_flush_modes(r, command):
    for mode in ("", "SYNC", "ASYNC", "sync", "async"):
        for n in range(50):
            r("SET", f"k{n}", "v", "EX", 1000)
        assert r(f"{command} {mode}") == OK
        assert r("DBSIZE") == 0
        assert r("TTL k1") == -2
    r("SET k v")
    for tail in ("BOGUS", "SYNC ASYNC", "SYNC SYNC"):
        assert r(f"{command} {tail}") == SYNTAX
    assert r("DBSIZE") == 1


# --- the whole keyspace -----------------------------------------------------------------------------------------------

def test_dbsize(r):
    assert r("DBSIZE") == 0
    for n in range(100):
        r("SET", f"key:{n}", n)
    assert r("DBSIZE") == 100
    r("SET key:1 again")
    r("DEL key:2")
    assert r("DBSIZE") == 99


def test_keys(r):
    assert r("KEYS *") == []
    names = {b"foo", b"foobar", b"bar", b"", b"f*o", b"[x]", b"h\\i", b"hallo", b"hello", b"hxllo", b"\xff\0", b"{t}1"}
    for name in names:
        r("SET", name, "v")
    for pattern, expected in [
            (b"*", names), (b"foo*", {b"foo", b"foobar"}), (b"f\\*o", {b"f*o"}),
            (b"h?llo", {b"hallo", b"hello", b"hxllo"}),
            (b"h[ae]llo", {b"hallo", b"hello"}), (b"h[^e]llo", {b"hallo", b"hxllo"}), (b"h[a-b]llo", {b"hallo"}),
            (b"h[b-a]llo", {b"hallo"}), (b"nothing", set()), (b"foo", {b"foo"}), (b"", {b""}), (b"***", names - {b""}),
            (b"\\[x]", {b"[x]"}),
            (b"h\\\\i", {b"h\\i"}), (b"[", set()), (b"h[e", set()), (b"*bar", {b"foobar", b"bar"}), (b"*o*", {
                n for n in names if b"o" in n}), (b"??", {b"\xff\0"}), (b"\xff*", {b"\xff\0"}), (b"{t}*", {b"{t}1"}),
            (b"FOO", set()), (b"*\\", set()), (b"foo\\", set()), (b"[[]x[]]", set()), (b"[[]x]", {b"[x]"}),
            (b"h[\\e]llo", {b"hello"})]:
        reply = r("KEYS", pattern)
        assert set(reply) == expected, pattern
        assert len(reply) == len(expected)


def test_keys_without_expired_ones(r):
    r("SET {t}1 v PXAT 1")
    r("SET {t}2 v")
    assert r("KEYS *") == [b"{t}2"]


@pytest.mark.not_on("cluster", reason=ONE_NODE)
def test_randomkey(r):
    assert r("RANDOMKEY") is None
    r("SET only v")
    assert r("RANDOMKEY") == b"only"
    names = {b"only"} | {f"key:{n}".encode() for n in range(20)}
    for name in names:
        r("SET", name, "v")
    seen = {r("RANDOMKEY") for _ in range(600)}
    assert seen <= names
    assert len(seen) > 10


# --- slots ------------------------------------------------------------------------------------------------------------

@pytest.mark.only_on("cluster", reason="only an engine of a cluster refuses keys of several slots by itself")
@pytest.mark.parametrize("line", ["MGET a b", "MSET a 1 b 2", "DEL a b", "EXISTS a b", "RENAME a b", "COPY a b",
                                  "LCS a b", "MSETNX a 1 b 2", "TOUCH a b", "UNLINK a b", "RENAMENX a b"])
def test_crossslot(r, line):
    for node in r.nodes():
        assert r.at(node)(line) == CROSSSLOT


@pytest.mark.only_on("cluster", reason="only the engines of a cluster own a part of the slots")
def test_moved_names_the_owner(r):
    """Every engine that does not own a key's slot names the one that does, and that one serves it."""
    nodes = r.nodes()
    assert len(nodes) > 1
    for n in range(50):
        key = f"key:{n}"
        owner = r.node_of("GET", key)
        slot = r.router.keyslot(key)
        for node in nodes:
            for line in (f"GET {key}", f"SET {key} v", f"TTL {key}", f"DEL {key} {key}"):
                reply = r.at(node)(line)
                if node == owner:
                    assert not isinstance(reply, Error), reply
                else:
                    assert reply == Error(f"MOVED {slot} {owner[0]}:{owner[1]}")


def test_int_bounds_as_arguments(r):
    for number in (INT64_MIN - 1, "1.0", "", "x"):
        assert r("EXPIRE", "k", number) == NOT_INT
