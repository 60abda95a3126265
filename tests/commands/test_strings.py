"""Counters, ranges, APPEND, many keys at once, and LCS."""

import random

import pytest

from harness import OK, Error
from harness.texts import (DECR_OVERFLOW, INT64_MAX, INT64_MIN, NAN_OR_INF, NOT_FLOAT, NOT_INT, OFFSET,
                           OVERFLOW,
                           SYNTAX, TOO_LONG, arity)

# --- counters ---------------------------------------------------------------------------------------------------------

def test_incr_and_decr(r):
    assert r("INCR k") == 1
    assert r("INCR k") == 2
    assert r("GET k") == b"2"
    assert r("DECR k") == 1
    assert r("DECR k") == 0
    assert r("DECR k") == -1
    assert r("GET k") == b"-1"
    assert r("INCRBY k 101") == 100
    assert r("INCRBY k -50") == 50
    assert r("DECRBY k 100") == -50
    assert r("DECRBY k -60") == 10
    assert r("OBJECT ENCODING k") == b"int"


def test_counters_keep_the_time_to_live(r):
    r("SET k 5 EX 1000")
    for line in ("INCR k", "DECRBY k 2", "INCRBYFLOAT k 0.5", "APPEND k 1", "SETRANGE k 0 9"):
        r.must(line)
        assert 900 <= r("TTL k") <= 1000, line


def test_counters_at_the_bounds(r):
    r("SET", "k", INT64_MAX - 1)
    assert r("INCR k") == INT64_MAX
    assert r("INCR k") == OVERFLOW
    assert r("INCRBY k 1") == OVERFLOW
    assert r("INCRBY", "k", INT64_MAX) == OVERFLOW
    assert r("DECRBY k -1") == OVERFLOW
    assert r("GET k") == str(INT64_MAX).encode()
    assert r("INCRBY", "k", INT64_MIN) == -1
    r("SET", "k", INT64_MIN)
    assert r("DECR k") == OVERFLOW
    assert r("DECRBY k 1") == OVERFLOW
    assert r("INCRBY k -1") == OVERFLOW
    assert r("INCR k") == INT64_MIN + 1
    r("SET k 0")
    assert r("DECRBY", "k", INT64_MIN) == DECR_OVERFLOW
    assert r("INCRBY", "k", INT64_MIN) == INT64_MIN
    assert r("DECRBY", "k", INT64_MAX) == OVERFLOW
    r("SET k -1")
    assert r("DECRBY", "k", INT64_MAX) == INT64_MIN


@pytest.mark.parametrize("value", ["", " ", "abc", "1.0", "1.5", " 1", "1 ", "+1", "01", "-0", "-01", "1e3", "0x1",
                                   "--1", "1\0", str(INT64_MAX + 1), str(INT64_MIN - 1), "9" * 40, "nan", "\u0661"])
def test_values_that_are_no_integers(r, value):
    r("SET", "k", value)
    for command in (("INCR", "k"), ("DECR", "k"), ("INCRBY", "k", 1), ("DECRBY", "k", 1)):
        assert r(*command) == NOT_INT
    assert r("GET", "k") == value.encode()
    r("SET k 1")
    assert r("INCRBY", "k", value) == NOT_INT
    assert r("DECRBY", "k", value) == NOT_INT
    assert r("INCRBY", "nokey", value) == NOT_INT
    assert r("EXISTS nokey") == 0
    assert r("GET k") == b"1"


def test_incr_grows_over_digits(r):
    for start in (9, 99, 999, 9999, 99_999, 9_999_999_999, -10, -100, -1, 0):
        r("SET", "k", start)
        assert r("INCR k") == start + 1
        assert r("GET k") == str(start + 1).encode()
        assert r("DECRBY k 2") == start - 1
        assert r("GET k") == str(start - 1).encode()


@pytest.mark.parametrize("value, by, result", [
    (None, "1.5", b"1.5"), ("1", "0.1", b"1.1"), ("10.5", "0.1", b"10.6"), ("5.0e3", "2.0e2", b"5200"),
    ("3", "1.1", b"4.1"),
    ("1.1", "-1.1", b"0"), ("0", "-0", b"0"), ("1", "-1", b"0"), ("-0", "0", b"0"), ("3.0", "0", b"3"),
    ("3.0e-3", "0", b"0.003"), ("1", "1e-17", b"1.00000000000000001"), ("0.1", "0.2", b"0.3"), ("1e20", "1", None),
    ("123456789012345678", "0.5", None), ("9007199254740993", "0", b"9007199254740993"), ("0", "1e-18", None),
    ("1", "0x10", b"17"), ("0x1p3", "1", b"9"), ("1", "1e2", b"101"), ("12e-1", "1", b"2.2"), ("1", ".5", b"1.5"),
    ("1", "5.", b"6"), ("1", "+1", b"2"), ("1e300", "0", None), (str(INT64_MAX), "1", None), ("1e-300", "0", None),
    ("3.14159265358979323846", "0", None), ("0.000000000000000001", "0", None), ("-1e17", "-0.25", None)])
def test_incrbyfloat(r, oracle, value, by, result):
    """Long doubles, 17 digits after the point, no exponent, no trailing zeros. The oracle does the long arithmetic."""
    replies = []
    for target in (r, oracle):
        if value is not None:
            target("SET", "{f}k", value)
        replies.append(target("INCRBYFLOAT", "{f}k", by))
        assert target("GET", "{f}k") == replies[-1]
        target("DEL", "{f}k")
    assert replies[0] == replies[1]
    if result is not None:
        assert replies[0] == result


@pytest.mark.parametrize("bad", ["", " ", "abc", " 1", "1 ", "1x", "1.5.5", "nan", "NaN", "-nan", "1e5000", "--1",
                                 "1\0", "1e", "0x", "1,5", "infx"])
def test_values_that_are_no_floats(r, bad):
    r("SET k 1")
    assert r("INCRBYFLOAT", "k", bad) == NOT_FLOAT
    r("SET", "k", bad)
    assert r("INCRBYFLOAT", "k", "1") == NOT_FLOAT
    assert r("GET", "k") == bad.encode()


@pytest.mark.parametrize("infinite", ["inf", "-inf", "+inf", "INF", "infinity", "-Infinity"])
def test_infinity_is_refused(r, infinite):
    r("SET k 1")
    assert r("INCRBYFLOAT", "k", infinite) == NAN_OR_INF
    assert r("GET k") == b"1"
    r("SET", "k", infinite)
    assert r("INCRBYFLOAT", "k", "1") == NAN_OR_INF


def test_incrbyfloat_against_the_oracle_at_random(r, oracle):
    """A few hundred additions over many magnitudes, digit by digit as the real Redis has them."""
    rng = random.Random(20261120)
    for _ in range(200):
        value = f"{rng.uniform(-10, 10):.{rng.randrange(0, 18)}f}e{rng.randrange(-16, 17)}"
        by = f"{rng.uniform(-10, 10):.{rng.randrange(0, 18)}f}e{rng.randrange(-16, 17)}"
        replies = []
        for target in (r, oracle):
            target("SET", "{f}k", value)
            replies.append(target("INCRBYFLOAT", "{f}k", by))
        assert replies[0] == replies[1], (value, by)


def test_counters_and_encodings(r):
    r("SET k 1")
    assert r("INCRBYFLOAT k 1") == b"2"
    assert r("OBJECT ENCODING k") == b"embstr"
    assert r("INCR k") == 3
    assert r("OBJECT ENCODING k") == b"int"


# --- APPEND, SETRANGE, GETRANGE ---------------------------------------------------------------------------------------

def test_append(r):
    assert r("APPEND k foo") == 3
    assert r("APPEND k bar") == 6
    assert r("GET k") == b"foobar"
    assert r("APPEND", "k", "") == 6
    assert r("APPEND", "empty", "") == 0
    assert r("EXISTS empty") == 1
    r("SET k 12")
    assert r("APPEND k 3") == 3
    assert r("INCR k") == 124
    assert r("OBJECT ENCODING k") == b"int"
    assert r("APPEND", "k", b"\0\xff") == 5
    assert r("GET k") == b"124\0\xff"
    assert r("OBJECT ENCODING k") == b"raw"


def test_append_a_thousand_times(r):
    whole = b""
    for n in range(1000):
        piece = bytes([n % 256]) * (n % 37)
        whole += piece
        assert r("APPEND", "k", piece) == len(whole)
    assert r("GET k") == whole


def test_setrange(r):
    assert r("SETRANGE", "nokey", 0, "") == 0
    assert r("EXISTS nokey") == 0
    assert r("SETRANGE", "nokey", 5, "") == 0
    assert r("EXISTS nokey") == 0
    assert r("SETRANGE k 3 abc") == 6
    assert r("GET k") == b"\0\0\0abc"
    r("SET k Hello")
    assert r("SETRANGE k 0 J") == 5
    assert r("GET k") == b"Jello"
    assert r("SETRANGE k 4 y!!") == 7
    assert r("GET k") == b"Jelly!!"
    assert r("SETRANGE", "k", 100, "") == 7
    assert r("SETRANGE k 10 x") == 11
    assert r("GET k") == b"Jelly!!\0\0\0x"
    r("SET k 1234")
    assert r("SETRANGE k 1 x") == 4
    assert r("GET k") == b"1x34"
    assert r("OBJECT ENCODING k") == b"raw"


def test_setrange_bounds(r):
    r("SET k v")
    for key in ("k", "nokey"):
        for offset in (-1, INT64_MIN):
            assert r("SETRANGE", key, offset, "x") == OFFSET
            assert r("SETRANGE", key, offset, "") == OFFSET
        for offset in ("abc", "", "1.5", INT64_MAX + 1):
            assert r("SETRANGE", key, offset, "x") == NOT_INT
        for offset in (512 * 1024 * 1024, 2**32, 2**40, INT64_MAX - 1, INT64_MAX):
            assert r("SETRANGE", key, offset, "x") == TOO_LONG
        assert r("SETRANGE", key, 512 * 1024 * 1024 - 1, "xy") == TOO_LONG
    assert r("EXISTS nokey") == 0
    assert r("GET k") == b"v"
    assert r("SETRANGE", "nokey", INT64_MAX, "") == 0


RANGES = [(0, -1), (0, 0), (1, 3), (-3, -1), (0, 100), (5, 3), (-1, -3), (-100, 3), (-100, -50), (100, 200), (8, 8),
          (9, 9),
          (-1, 0), (0, INT64_MAX), (INT64_MIN, INT64_MAX), (INT64_MIN, -1), (INT64_MAX, INT64_MIN), (-9, -9), (-10, -9),
          (INT64_MIN, INT64_MIN), (3, -5), (0, -9), (0, -10)]


@pytest.mark.parametrize("command", ["GETRANGE", "SUBSTR"])
def test_getrange(r, command):
    value = b"012345678"
    for content in (value, b"123456789", b""):
        r("SET", "k", content)
        for start, end in RANGES:
            n = len(content)
            if start < 0 and end < 0 and start > end:
                expected = b""
            else:
                first = max(start + n if start < 0 else start, 0)
                last = max(end + n if end < 0 else end, 0)
                expected = content[first:min(last, n - 1) + 1] if first <= last else b""
            assert r(command, "k", start, end) == expected, (content, start, end)
    assert r(command, "nokey", 0, -1) == b""
    for start, end in (("a", 0), (0, "b"), ("", 0), ("1.5", 2), (INT64_MAX + 1, 0)):
        assert r(command, "k", start, end) == NOT_INT
        assert r(command, "nokey", start, end) == NOT_INT


# --- many keys --------------------------------------------------------------------------------------------------------

def test_mset_and_mget_in_one_slot(r):
    assert r("MSET {a}1 x {a}2 y {a}1 z") == OK
    assert r("MGET {a}1 {a}2 {a}3 {a}1") == [b"z", b"y", None, b"z"]
    r("EXPIRE {a}1 1000")
    assert r("MSET {a}1 w") == OK
    assert r("TTL {a}1") == -1


@pytest.mark.not_on("cluster", reason="a cluster client may not name several slots")
def test_mset_and_mget_over_slots(r):
    pairs = [w for n in range(200) for w in (f"key:{n}", f"value:{n}")]
    assert r("MSET", *pairs) == OK
    assert r("DBSIZE") == 200
    names = [f"key:{n}" for n in range(250)]
    assert r("MGET", *names) == [f"value:{n}".encode() if n < 200 else None for n in range(250)]
    assert r("MGET", *reversed(names)) == [f"value:{n}".encode() if n < 200 else None for n in reversed(range(250))]
    assert r("MGET a a a") == [None] * 3
    assert r("MSET a 1 a 2 b 3 a 4") == OK
    assert r("MGET a b") == [b"4", b"3"]


@pytest.mark.parametrize("line", ["MSET {a}1 x {a}2", "MSET {a}1 x {a}2 y {a}3"])
def test_mset_needs_pairs(r, line):
    assert r(line) == arity("mset")
    assert r(line.replace("MSET", "MSETNX")) == arity("msetnx")
    assert r("EXISTS {a}1") == 0


def test_msetnx(r):
    assert r("MSETNX {a}1 x {a}2 y") == 1
    assert r("MSETNX {a}2 no {a}3 no") == 0
    assert r("MSETNX {a}3 no {a}2 no") == 0
    assert r("MGET {a}1 {a}2 {a}3") == [b"x", b"y", None]
    assert r("MSETNX {a}4 1 {a}4 2") == 1
    assert r("GET {a}4") == b"2"


# --- LCS --------------------------------------------------------------------------------------------------------------

@pytest.fixture
def genes(r):
    r("SET {l}1 ohmytext")
    r("SET {l}2 mynewtext")
    return r


def test_lcs(genes):
    assert genes("LCS {l}1 {l}2") == b"mytext"
    assert genes("LCS {l}1 {l}2 LEN") == 6
    assert genes("LCS {l}1 nokey{l}") == b""
    assert genes("LCS {l}1 {l}nokey LEN") == 0
    assert genes("LCS {l}none {l}nokey") == b""


def test_lcs_idx(genes):
    assert genes("LCS {l}1 {l}2 IDX") == [b"matches", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], b"len", 6]
    assert genes("LCS {l}1 {l}2 IDX MINMATCHLEN 4") == [b"matches", [[[4, 7], [5, 8]]], b"len", 6]
    assert genes("LCS {l}1 {l}2 IDX MINMATCHLEN 4 WITHMATCHLEN") == [b"matches", [[[4, 7], [5, 8], 4]], b"len", 6]
    assert genes("LCS {l}1 {l}2 IDX WITHMATCHLEN") == [b"matches", [[[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]], b"len",
                                                       6]
    assert genes("LCS {l}1 {l}2 IDX MINMATCHLEN 100") == [b"matches", [], b"len", 6]
    assert genes("LCS {l}1 {l}2 IDX MINMATCHLEN -5") == genes("LCS {l}1 {l}2 IDX")
    assert genes("LCS {l}none {l}nokey IDX") == [b"matches", [], b"len", 0]
    assert genes("lcs {l}1 {l}2 idx minmatchlen 4 withmatchlen") == [b"matches", [[[4, 7], [5, 8], 4]], b"len", 6]
    assert genes("LCS {l}1 {l}2 MINMATCHLEN 4 WITHMATCHLEN") == b"mytext"


def test_lcs_idx_is_a_map_in_resp3(genes):
    if genes.name == "cluster":
        conn = genes.at(genes.node_of("GET", "{l}1"))
        conn.must("HELLO 3")
    else:
        conn = genes.conn(resp=3)
    assert conn("LCS {l}1 {l}2 IDX") == {b"matches": [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], b"len": 6}


def test_lcs_errors(genes):
    both = Error("ERR If you want both the length and indexes, please just use IDX.")
    assert genes("LCS {l}1 {l}2 IDX LEN") == both
    assert genes("LCS {l}1 {l}2 LEN IDX") == both
    for tail in ("BOGUS", "MINMATCHLEN", "LEN BOGUS", "IDX MINMATCHLEN", "10"):
        assert genes(f"LCS {{l}}1 {{l}}2 {tail}") == SYNTAX
    assert genes("LCS {l}1 {l}2 MINMATCHLEN abc") == NOT_INT
    assert genes("LCS {l}1 {l}2 IDX MINMATCHLEN 1.5") == NOT_INT


def test_lcs_of_random_strings_against_the_oracle(r, oracle):
    rng = random.Random(7)
    for _ in range(40):
        a, b = (bytes(rng.choices(b"abcd", k=rng.randrange(0, 60))) for _ in range(2))
        for target in (r, oracle):
            target("MSET", "{l}a", a, "{l}b", b)
        for tail in ("", "LEN", "IDX", "IDX WITHMATCHLEN MINMATCHLEN 2"):
            assert r(f"LCS {{l}}a {{l}}b {tail}") == oracle(f"LCS {{l}}a {{l}}b {tail}"), (a, b, tail)


# --- bounds -----------------------------------------------------------------------------------------------------------

@pytest.mark.not_on("cluster", reason="the same engines run this body under the proxy")
def test_append_may_not_pass_the_limit(r):
    """proto-max-bulk-len bounds what strings may grow to; 1 MB is the least it takes."""
    with r.config(proto_max_bulk_len=1024 * 1024):
        r.must("SET", "k", b"x" * (1024 * 1024 - 2))
        assert r("APPEND k ab") == 1024 * 1024
        assert r("APPEND k c") == TOO_LONG
        assert r("SETRANGE", "k", 1024 * 1024 - 1, "yz") == TOO_LONG
        assert r("SETRANGE", "k", 1024 * 1024 - 1, "z") == 1024 * 1024
        assert r("STRLEN k") == 1024 * 1024


@pytest.mark.parametrize("size", [0, 1, 11, 12, 31, 32, 44, 45, 63, 64, 127, 128, 255, 256, 4095, 4096, 16_383, 16_384,
                                  65_535, 65_536, 1_000_000])
def test_values_of_many_sizes_survive_rewrites(r, size):
    value = random.Random(size).randbytes(size)
    assert r("SET", "k", value) == OK
    assert r("GET", "k") == value
    assert r("APPEND", "k", b"tail") == size + 4
    assert r("GET", "k") == value + b"tail"
    assert r("SETRANGE", "k", size, b"TAIL") == size + 4
    assert r("GETRANGE", "k", size, -1) == b"TAIL"
    assert r("EXPIRE k 1000") == 1
    assert r("GET", "k") == value + b"TAIL"
    assert r("PERSIST k") == 1
    assert r("GETDEL", "k") == value + b"TAIL"
