"""SET with every option and conflict, and its older relatives: GET SETNX SETEX PSETEX GETSET GETDEL GETEX."""

import time

import pytest

from harness import OK
from harness.texts import INT64_MAX, INT64_MIN, NOT_INT, SYNTAX, arity, expire_time

NOW_S = int(time.time())


def near(ttl_ms: int, expected_ms: int) -> bool:
    """Whether a remaining time is what was given, less what the test may have taken."""
    return expected_ms - 20_000 <= ttl_ms <= expected_ms


# --- SET --------------------------------------------------------------------------------------------------------------

def test_set_and_get(r):
    assert r("GET k") is None
    assert r("SET k v") == OK
    assert r("GET k") == b"v"
    assert r("SET k w") == OK
    assert r("GET k") == b"w"
    assert r("TTL k") == -1


@pytest.mark.parametrize("value", [
    b"", b" ", b"\0", b"\r\n", b"$3\r\nabc\r\n", bytes(range(256)), b"0", b"-0", b"00", b"+1", b" 1", b"1 ", b"1.0",
    str(INT64_MAX).encode(), str(INT64_MIN).encode(), str(INT64_MAX + 1).encode(), b"a" * 44, b"a" * 45, b"x" * 1000,
    b"y" * 65536, "väluė".encode()], ids=lambda v: repr(v)[:24])
def test_any_bytes_are_a_value(r, value):
    assert r("SET", "k", value) == OK
    assert r("GET", "k") == value
    assert r("STRLEN", "k") == len(value)
    assert r("SET", "other", "x") == OK
    assert r("GET", "k") == value


@pytest.mark.parametrize("key", [b"", b" ", b"\0", b"\r\n", bytes(range(256)), b"k" * 1000, b"{", b"}", b"{}", b"{}x",
                                 b"{a}", b"a{b}c{d}", b"{{a}", b"5", b"*"], ids=lambda v: repr(v)[:24])
def test_any_bytes_are_a_key(r, key):
    assert r("SET", key, "v") == OK
    assert r("GET", key) == b"v"
    assert r("EXISTS", key) == 1
    assert r("DEL", key) == 1
    assert r("GET", key) is None


def test_option_names_are_case_insensitive(r):
    assert r("sEt k v nX pX 100000") == OK
    assert r("set k w xx keepttl get") == b"v"
    assert near(r("pttl k"), 100_000)


def test_nx_and_xx(r):
    assert r("SET k v XX") is None
    assert r("GET k") is None
    assert r("SET k v NX") == OK
    assert r("SET k w NX") is None
    assert r("GET k") == b"v"
    assert r("SET k w XX") == OK
    assert r("GET k") == b"w"


def test_get_returns_the_value_before(r):
    assert r("SET k v GET") is None
    assert r("GET k") == b"v"
    assert r("SET k w GET") == b"v"
    assert r("GET k") == b"w"
    assert r("SET k x XX GET") == b"w"
    assert r("SET nokey x XX GET") is None
    assert r("EXISTS nokey") == 0


def test_nx_with_get(r):
    assert r("SET k v NX GET") is None
    assert r("GET k") == b"v"
    assert r("SET k w NX GET") == b"v"
    assert r("GET k") == b"v"


@pytest.mark.parametrize("option, ttl_ms",
                         [("EX 100", 100_000), ("PX 100000", 100_000), (f"EXAT {NOW_S + 100_000}", None),
                                            (f"PXAT {NOW_S}000000", None)], ids=["EX", "PX", "EXAT", "PXAT"])
def test_time_to_live(r, option, ttl_ms):
    assert r(f"SET k v {option}") == OK
    if ttl_ms:
        assert near(r("PTTL k"), ttl_ms)
    else:
        number = int(option.split()[1])
        assert r("PEXPIRETIME k") == (number if option.startswith("PX") else number * 1000)
    assert r("SET k v") == OK
    assert r("TTL k") == -1, "a plain SET drops the time to live"


def test_keepttl(r):
    assert r("SET k v EX 1000") == OK
    assert r("SET k w KEEPTTL") == OK
    assert r("GET k") == b"w"
    assert near(r("PTTL k"), 1_000_000)
    assert r("SET fresh v KEEPTTL") == OK
    assert r("TTL fresh") == -1


def test_a_failed_condition_leaves_value_and_time(r):
    assert r("SET k v EX 1000") == OK
    assert r("SET k w NX EX 5000") is None
    assert r("GET k") == b"v"
    assert near(r("PTTL k"), 1_000_000)


@pytest.mark.parametrize("when", ["EXAT 1", "PXAT 1"])
def test_a_moment_in_the_past_sets_and_expires_at_once(r, when):
    r("SET k v")
    assert r(f"SET k w {when}") == OK
    assert r("GET k") is None
    assert r("EXISTS k") == 0
    assert r("SET k w2 GET") is None


@pytest.mark.parametrize("tail", [
    "NX XX", "XX NX", "EX 10 PX 10000", "PX 10 EX 10", "EX 10 EXAT 9999999999", "EX 10 PXAT 9999999999000",
    "EX 10 KEEPTTL", "KEEPTTL EX 10", "KEEPTTL PX 10", "KEEPTTL EXAT 9999999999", "PXAT 9999999999000 KEEPTTL",
    "EX", "PX", "EXAT", "PXAT", "NX EX", "BOGUS", "NX BOGUS", "10", "EX 10 10", "PERSIST", "EX 10 PERSIST", "LT",
    "IFEQ1"])
def test_conflicts_are_syntax_errors(r, tail):
    r("SET k old")
    assert r(f"SET k v {tail}") == SYNTAX
    assert r("GET k") == b"old"


def test_of_a_repeated_time_the_last_counts(r):
    assert r("SET k v EX 10 EX 1000") == OK
    assert near(r("PTTL k"), 1_000_000)
    assert r("GETEX k PX 10 PX 500000") == b"v"
    assert near(r("PTTL k"), 500_000)


@pytest.mark.parametrize("tail", ["NX NX", "XX XX", "GET GET", "KEEPTTL KEEPTTL"])
def test_repeated_flags_are_allowed(r, tail):
    r("SET k old")
    reply = r(f"SET k v {tail}")
    assert reply == {"NX NX": None, "XX XX": OK, "GET GET": b"old", "KEEPTTL KEEPTTL": OK}[tail]


@pytest.mark.parametrize("option", ["EX", "PX", "EXAT", "PXAT"])
@pytest.mark.parametrize("number", ["", "abc", "1.5", " 1", "1 ", "+1", "01", "0x10", "1e3", str(INT64_MAX + 1),
                                    str(INT64_MIN - 1), "9" * 30])
def test_times_that_are_no_integers(r, option, number):
    assert r("SET", "k", "v", option, number) == NOT_INT
    assert r("EXISTS k") == 0


@pytest.mark.parametrize("option, number", [
    ("EX", 0), ("EX", -1), ("PX", 0), ("PX", -1), ("EXAT", 0), ("EXAT", -1), ("PXAT", 0), ("PXAT", -1),
    ("EX", INT64_MAX), ("EX", INT64_MIN), ("EX", INT64_MAX // 1000 + 1), ("EX", INT64_MAX // 1000), ("PX", INT64_MAX),
    ("PX", INT64_MIN), ("EXAT", INT64_MAX // 1000 + 1), ("EXAT", INT64_MAX), ("PXAT", INT64_MIN)])
def test_times_out_of_range(r, option, number):
    assert r("SET", "k", "v", option, number) == expire_time("set")
    assert r("EXISTS k") == 0


@pytest.mark.parametrize("option, number", [("EXAT", INT64_MAX // 1000), ("PXAT", INT64_MAX)])
def test_the_last_moment_that_fits(r, option, number):
    assert r("SET", "k", "v", option, number) == OK
    assert r("PEXPIRETIME k") == (number if option == "PXAT" else number * 1000)


def test_a_bad_time_wins_over_a_failed_condition(r):
    r("SET k v")
    assert r("SET k w NX EX 0") == expire_time("set")
    assert r("SET k w NX EX abc") == NOT_INT


@pytest.mark.parametrize("line", ["SET", "SET k"])
def test_set_arity(r, line):
    assert r(line) == arity("set")


# --- GET --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, bad", [
    ("get", ["GET", "GET a b"]), ("setnx", ["SETNX", "SETNX k", "SETNX k v w"]),
    ("setex", ["SETEX", "SETEX k 1", "SETEX k 1 v w"]), ("psetex", ["PSETEX", "PSETEX k 1", "PSETEX k 1 v w"]),
    ("getset", ["GETSET", "GETSET k", "GETSET k v w"]), ("getdel", ["GETDEL", "GETDEL k v"]), ("getex", ["GETEX"]),
    ("strlen", ["STRLEN", "STRLEN a b"]), ("append", ["APPEND", "APPEND k", "APPEND k v w"]),
    ("mget", ["MGET"]), ("mset", ["MSET", "MSET k"]), ("msetnx", ["MSETNX", "MSETNX k"]),
    ("incr", ["INCR", "INCR a b"]), ("decr", ["DECR", "DECR a b"]), ("incrby", ["INCRBY", "INCRBY k", "INCRBY k 1 2"]),
    ("decrby", ["DECRBY", "DECRBY k", "DECRBY k 1 2"]), ("incrbyfloat", ["INCRBYFLOAT k", "INCRBYFLOAT k 1 2"]),
    ("getrange", ["GETRANGE k 0", "GETRANGE k 0 1 2"]), ("substr", ["SUBSTR k 0", "SUBSTR k 0 1 2"]),
    ("setrange", ["SETRANGE k 0", "SETRANGE k 0 v w"]), ("lcs", ["LCS", "LCS {a}1"])])
def test_arity_of_the_family(r, name, bad):
    for line in bad:
        assert r(line) == arity(name)
        assert r(line.lower()) == arity(name)


@pytest.mark.not_on("cluster", reason="one raw connection for keys of any slot")
@pytest.mark.parametrize("resp, null", [(2, b"$-1\r\n"), (3, b"_\r\n")])
def test_null_on_the_wire(r, resp, null):
    conn = r.conn(resp=resp)
    conn.send(b"GET nokey\r\nSET k v XX\r\nGETDEL nokey\r\nGETEX nokey\r\nMGET nokey nokey\r\n"
              b"SET k v NX GET\r\nECHO end\r\n")
    assert conn.until(b"end\r\n") == null * 4 + b"*2\r\n" + null * 3 + b"$3\r\nend\r\n"


# --- the relatives ----------------------------------------------------------------------------------------------------

def test_setnx(r):
    assert r("SETNX k v") == 1
    assert r("SETNX k w") == 0
    assert r("GET k") == b"v"
    r("SET k v EX 1000")
    assert r("SETNX k w") == 0
    assert near(r("PTTL k"), 1_000_000)


@pytest.mark.parametrize("name, unit_ms", [("SETEX", 1000), ("PSETEX", 1)])
def test_setex(r, name, unit_ms):
    assert r(f"{name} k 100000 v") == OK
    assert r("GET k") == b"v"
    assert near(r("PTTL k"), 100_000 * unit_ms)
    assert r(f"{name} k 200000 w") == OK
    assert near(r("PTTL k"), 200_000 * unit_ms)
    for number in (0, -1, INT64_MIN, INT64_MAX):
        assert r(name, "k", number, "x") == expire_time(name.lower())
    for number in ("", "abc", "1.5", INT64_MAX + 1):
        assert r(name, "k", number, "x") == NOT_INT
    assert r("GET k") == b"w"


def test_getset(r):
    assert r("GETSET k v") is None
    assert r("GETSET k w") == b"v"
    assert r("EXPIRE k 1000") == 1
    assert r("GETSET k x") == b"w"
    assert r("TTL k") == -1


def test_getdel(r):
    assert r("GETDEL k") is None
    r("SET k v")
    assert r("GETDEL k") == b"v"
    assert r("EXISTS k") == 0


def test_getex(r):
    assert r("GETEX k") is None
    assert r("GETEX k EX 10") is None
    r("SET k v")
    assert r("GETEX k") == b"v"
    assert r("TTL k") == -1
    assert r("GETEX k EX 1000") == b"v"
    assert near(r("PTTL k"), 1_000_000)
    assert r("GETEX k") == b"v"
    assert near(r("PTTL k"), 1_000_000)
    assert r("GETEX k PX 500000") == b"v"
    assert near(r("PTTL k"), 500_000)
    assert r(f"GETEX k EXAT {NOW_S + 5000}") == b"v"
    assert r("EXPIRETIME k") == NOW_S + 5000
    assert r(f"GETEX k PXAT {NOW_S}500000") == b"v"
    assert r("PEXPIRETIME k") == int(f"{NOW_S}500000")
    assert r("GETEX k PERSIST") == b"v"
    assert r("TTL k") == -1
    assert r("GETEX k PERSIST") == b"v"


@pytest.mark.parametrize("when", ["EXAT 1", "PXAT 1"])
def test_getex_in_the_past_deletes(r, when):
    r("SET k v")
    assert r(f"GETEX k {when}") == b"v"
    assert r("EXISTS k") == 0


@pytest.mark.parametrize("tail", ["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT", "EX 10 PX 10",
                                  "EX 10 PERSIST", "PERSIST EX 10", "PERSIST PX 10", "10", "BOGUS", "EX 10 KEEPTTL"])
def test_getex_syntax(r, tail):
    assert r(f"GETEX nokey {tail}") == SYNTAX
    r("SET k v")
    assert r(f"GETEX k {tail}") == SYNTAX
    assert r("TTL k") == -1


def test_getex_times(r):
    r("SET k v")
    for option in ("EX", "PX", "EXAT", "PXAT"):
        for number in ("abc", "", "1.5", INT64_MAX + 1):
            assert r("GETEX", "k", option, number) == NOT_INT
        for number in (0, -1, INT64_MIN):
            assert r("GETEX", "k", option, number) == expire_time("getex")
    for option in ("EX", "EXAT", "PX"):
        assert r("GETEX", "k", option, INT64_MAX) == expire_time("getex")
    assert r("TTL k") == -1
    assert r("GETEX nokey EX abc") is None, "the time is read only where the key exists"
    assert r("GETEX nokey EX 0") is None


def test_strlen_and_encodings(r):
    assert r("STRLEN nokey") == 0
    for value, encoding in [("", b"embstr"), ("12", b"int"), (str(INT64_MIN), b"int"), (str(INT64_MAX), b"int"),
                            (str(INT64_MAX + 1), b"embstr"), ("-0", b"embstr"), ("012", b"embstr"), ("1.5", b"embstr"),
                            ("x" * 44, b"embstr"), ("x" * 45, b"raw"), ("0", b"int"), ("-1", b"int"), ("9999", b"int"),
                            ("10000", b"int"), (" 1", b"embstr"), ("+1", b"embstr")]:
        r("SET", "k", value)
        assert r("STRLEN k") == len(value)
        assert r("OBJECT ENCODING k") == encoding, value


