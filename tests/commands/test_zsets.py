"""The sorted-set family, as far as commands name members: ZADD ZINCRBY ZREM ZCARD ZSCORE ZMSCORE ZRANK ZREVRANK ZPOPMIN
ZPOPMAX ZMPOP ZRANDMEMBER ZSCAN, on small sorted sets (listpacks) and large ones (tables with an index)."""
import math

import pytest

from harness import NULL_ARRAY, Double, Error, Status
from harness.texts import INT64_MAX, INT64_MIN, NOT_INT, SYNTAX, WRONGTYPE, arity

NOT_FLOAT = Error("ERR value is not a valid float")
MUST_BE_POSITIVE = Error("ERR value is out of range, must be positive")
XX_NX = Error("ERR XX and NX options at the same time are not compatible")
GT_LT_NX = Error("ERR GT, LT, and/or NX options at the same time are not compatible")
# Makes the key z a sorted set of the wanted form; it has a, b and c with scores of 1, 2 and 3, and fillers.
FORMS = {"listpack": [], "entries": range(1000, 1200), "value": ["x" * 65]}


@pytest.fixture(params=FORMS)
def form(request, r):
    """How many members z has, in one of the forms; in a table for each of two reasons."""
    assert r("ZADD z 1 a 2 b 3 c") == 3
    fillers = FORMS[request.param]
    if fillers:
        r("ZADD", "z", *(word for n, one in enumerate(fillers) for word in (1000 + n, f"filler:{one}")))
    assert r("OBJECT ENCODING z") == (b"skiplist" if fillers else b"listpack")
    return 3 + len(fillers)


def low(r, count=4):
    """The lowest elements of z."""
    return r("ZRANGE", "z", 0, count - 1, "WITHSCORES")


def test_add(r, form):
    assert r("TYPE z") == Status("zset") and r("ZCARD z") == form
    assert r("ZADD z 1 a 5 b") == 0 and r("ZADD z CH 1 a 2 b 7 new") == 2 and r("ZADD z CH 7 new") == 0
    assert r("ZADD z 0.5 c 0 d") == 1
    assert low(r) == [b"d", b"0", b"c", b"0.5", b"a", b"1", b"b", b"2"]
    assert r("ZADD z 9 twice 4 twice") == 1 and r("ZSCORE z twice") == b"4"


def test_options_of_zadd(r, form):
    assert r("ZADD z NX 9 a 9 new") == 1 and r("ZMSCORE z a new") == [b"1", b"9"]
    assert r("ZADD z XX 4 a 4 other") == 0 and r("ZMSCORE z a other") == [b"4", None]
    assert r("ZADD z XX CH 5 a 4 other") == 1
    assert r("ZADD z GT CH 4 a 3 b 1 gt") == 2 and r("ZMSCORE z a b gt") == [b"5", b"3", b"1"]
    assert r("ZADD z LT CH 4 a 9 b 1 lt") == 2 and r("ZMSCORE z a b lt") == [b"4", b"3", b"1"]
    assert r("ZADD z XX GT CH 3 a 5 b 1 none") == 1 and r("ZMSCORE z a b none") == [b"4", b"5", None]
    assert r("zadd z ch nx 1 nx2") == 1 and r("ZADD z NX NX CH CH 1 nx3") == 1


def test_increments(r, form):
    assert r("ZINCRBY z 2.5 a") == b"3.5" and r("ZINCRBY z -1 new") == b"-1" and r("ZINCRBY z 0 b") == b"2"
    assert r("ZADD z INCR 0.25 a") == b"3.75" and r("ZADD z INCR CH 4 other") == b"4"
    assert r("ZADD z NX INCR 4 a") is None and r("ZADD z XX INCR 4 none") is None and r("ZSCORE z none") is None
    assert r("ZADD z GT INCR -1 a") is None and r("ZADD z LT INCR 1 a") is None and r("ZADD z GT INCR 1 a") == b"4.75"
    assert low(r, 2) == [b"new", b"-1", b"b", b"2"]
    assert r("ZINCRBY none 3 a") == b"3" and r("ZADD none2 XX INCR 3 a") is None and r("EXISTS none2") == 0


def test_infinities(r, form):
    nan = Error("ERR resulting score is not a number (NaN)")
    assert r("ZADD z inf p -INFINITY m +Inf q") == 3 and r("ZMSCORE z p m q") == [b"inf", b"-inf", b"inf"]
    assert r("ZINCRBY z -inf p") == nan and r("ZADD z INCR inf m") == nan and r("ZINCRBY z inf p") == b"inf"
    assert r("ZRANK z m") == 0 and r("ZREVRANK z q") == 0 and r("ZREVRANK z p") == 1
    assert r("ZADD z 1.7976931348623157e308 b") == 0 and r("ZINCRBY z 1.7976931348623157e308 b") == b"inf"


@pytest.mark.parametrize("text, shown", [
    ("1", "1"), ("-1", "-1"), ("0", "0"), ("+5", "5"), ("007", "7"), ("1.0", "1"), ("1e3", "1000"), ("0x1F", "31"),
    ("3.0e0", "3"), (".5", "0.5"), ("5.", "5"), ("-.25", "-0.25"), ("12345678901234567", "12345678901234568"),
    ("9007199254740993", "9007199254740992"), ("1e21", "1e+21"), ("123456.789", None), ("0.1", None), ("1e-5", None),
    ("3.14159265358979", None), ("1e-7", None), ("0.30000000000000004", None), ("1e100", "1e+100"), ("-1e-320", None),
    ("4503599627370497.5", None), ("1.5e300", None), ("100000000000000000000", "1e+20")])
def test_scores_read_and_printed(r, form, text, shown):
    """What has no one form in all versions must at least read back as the same double."""
    assert r("ZADD", "z", text, "s") == 1
    found = r("ZSCORE z s")
    number = float(int(text, 16)) if text.startswith("0x") else float(text)
    assert float(found) == number and math.copysign(1, float(found)) == math.copysign(1, number)
    if shown:
        assert found == shown.encode()
    assert r("ZRANGE z 0 -1 WITHSCORES")[2 * r("ZRANK z s") + 1] == found and r("ZADD", "z", "CH", found, "s") == 0


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_scores_in_resp3(r):
    r3 = r.conn(3)
    r("ZADD z 0.25 a inf b -inf c 1e30 d")
    assert r3("ZMSCORE z a b c d x") == [Double("0.25"), Double("inf"), Double("-inf"), Double("1e+30"), None]
    assert r3("ZSCORE z a") == Double("0.25") and r3("ZINCRBY z 1 a") == Double("1.25") and r3("ZSCORE z x") is None
    assert r3("ZADD z INCR 1 a") == Double("2.25") and r3("ZADD z NX INCR 1 a") is None and r3("ZADD z 1 a") == 0


@pytest.mark.since("7.2")
@pytest.mark.parametrize("text, shown", [
    ("0.1", "0.1"), ("123456.789", "123456.789"), ("1e-5", "0.00001"), ("1e-7", "1e-7"), ("3.3", "3.3"),
    ("0.30000000000000004", "0.30000000000000004"), ("-1e-320", "-1e-320"), ("2.5e-3", "0.0025"),
    ("1234567890.123", None),
    ("0.000123", "0.000123"), ("99999999999999.5", None), ("1.5e300", "1.5e+300"),
    ("5e-324", "5e-324"), ("1e18", "1000000000000000000"), ("-123456789012345678", "-123456789012345680"),
    ("4611686018427387904", None), ("5e18", "5e+18"), ("9223372036854775808", "9223372036854776000")])
def test_the_shortest_digits(r, text, shown):
    r("ZADD", "z", text, "s")
    assert r("ZSCORE z s") == (shown or text).encode() and r("ZADD z INCR 0 s") == (shown or text).encode()


@pytest.mark.parametrize("text", ["", " 1", "1 ", "a", "1a", "nan", "-nan", "1e400", "-1e400", "1e-400", "0x", "--1",
                                  "1,5",
                                  "1\x00", "e5", ".", "infx", "1" * 400])
def test_what_is_no_score(r, text):
    r("ZADD z 1 a")
    for words in (["ZADD", "z", 1, "new", text, "b"], ["ZINCRBY", "z", text, "a"], ["ZADD", "z", "INCR", text, "a"]):
        assert r(*words) == NOT_FLOAT
    assert r("ZRANGE z 0 -1 WITHSCORES") == [b"a", b"1"]


def test_the_sign_of_zero(r):
    """A small sorted set keeps whole numbers as such, and forgets it, as Redis's."""
    assert r("ZADD z -0 a") == 1 and r("ZSCORE z a") == b"0" and r("ZINCRBY z -0 a") == b"0"
    r("ZADD", "z", "-0", "x" * 65)
    assert r("ZMSCORE", "z", "x" * 65, "a") == [b"-0", b"0"] and r("ZADD z CH 0 a -0 a") == 0
    assert r("ZRANGE z 0 -1") == [b"a", b"x" * 65]


def test_long_digits_are_a_score(r):
    assert r("ZADD", "z", "0." + "3" * 5000, "a") == 1 and float(r("ZSCORE z a")) == 1 / 3
    assert r("ZADD", "z", "0" * 100_000 + "7", "a") == 0 and r("ZSCORE z a") == b"7"


def test_order(r, form):
    """By score, then by the bytes of the member; integers as text."""
    words = [b"", b"0", b"-1", b"10", b"9", b"a\x00", b"B", b"\xff", b"a\xc3", b"aa", b"12345678901234567890"]
    for word in words:
        assert r("ZADD", "z", 1, word) == 1
    assert r("ZRANGE", "z", 0, len(words)) == sorted(words + [b"a"])
    for rank, word in enumerate(sorted(words + [b"a"])):
        assert r("ZRANK", "z", word) == rank and r("ZREVRANK", "z", word) == form + len(words) - 1 - rank
    assert r("ZADD", "z", "-0", "zero") == 1 and r("ZADD z 0 aero") == 1
    assert r("ZRANGE z 0 1") == [b"aero", b"zero"]


def test_remove(r, form):
    assert r("ZREM z nothing") == 0 and r("ZREM none a") == 0 and r("ZREM z a none c a") == 2
    assert r("ZCARD z") == form - 2 and r("ZSCORE z a") is None and r("ZRANK z b") == 0
    rest = r("ZRANGE z 0 -1")
    assert r("ZREM", "z", *rest, *rest) == form - 2 and r("EXISTS z") == 0


def test_scores_and_ranks(r, form):
    assert r("ZMSCORE z a x c a") == [b"1", None, b"3", b"1"] and r("ZMSCORE none a b") == [None, None]
    assert r("ZSCORE z x") is None and r("ZSCORE none a") is None and r("ZCARD none") == 0
    assert [r("ZRANK", "z", one) for one in "abcx"] == [0, 1, 2, None] and r("ZREVRANK z a") == form - 1
    assert r("ZRANK none a") is None and r("ZREVRANK none a") is None


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
@pytest.mark.since("7.2")
def test_rank_with_score(r, form):
    assert r("ZRANK z b WITHSCORE") == [1, b"2"] and r("ZREVRANK z b withscore") == [form - 2, b"2"]
    assert r("ZRANK z x WITHSCORE") == NULL_ARRAY and r("ZRANK none x WITHSCORE") == NULL_ARRAY
    assert r("ZRANK z b WITHSCORES") == SYNTAX
    r3 = r.conn(3)
    assert r3("ZRANK z b WITHSCORE") == [1, Double("2")] and r3("ZRANK z x WITHSCORE") is None


def test_pop(r, form):
    assert r("ZPOPMIN z") == [b"a", b"1"] and r("ZPOPMIN z 2") == [b"b", b"2", b"c", b"3"] and r("ZPOPMIN z 0") == []
    r("ZADD z 10000 x 10001 y")
    assert r("ZPOPMAX z") == [b"y", b"10001"] and r("ZCARD z") == form - 2
    rest = r("ZREVRANGE z 0 -1 WITHSCORES")
    assert r("ZPOPMAX", "z", form + 5) == rest and r("EXISTS z") == 0
    assert r("ZPOPMIN z") == [] and r("ZPOPMAX z 3") == [] and r("ZPOPMIN", "z", INT64_MAX) == []
    r("ZADD z 1 last")
    assert r("ZPOPMAX", "z", INT64_MAX) == [b"last", b"1"]


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_pops_in_resp3(r, form):
    r3 = r.conn(3)
    assert r3("ZPOPMIN z") == [b"a", Double("1")] and r3("ZPOPMIN z 1") == [[b"b", Double("2")]]
    assert r3("ZPOPMAX none") == [] and r3("ZPOPMAX none 3") == []


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_mpop(r, form):
    r("ZADD {z}2 1 m")
    assert r("ZMPOP 3 {z}none z {z}2 MIN") == [b"z", [[b"a", b"1"]]]
    assert r("ZMPOP 1 z min count 2") == [b"z", [[b"b", b"2"], [b"c", b"3"]]]
    assert r("ZMPOP 2 {z}2 z MAX COUNT 100") == [b"{z}2", [[b"m", b"1"]]] and r("EXISTS {z}2") == 0
    assert r("ZMPOP 2 {z}2 {z}3 MAX") == NULL_ARRAY
    r3 = r.conn(3)
    r("ZADD {z}2 1.5 m")
    assert r3("ZMPOP", 1, "{z}2", "MAX", "COUNT", INT64_MAX) == [b"{z}2", [[b"m", Double("1.5")]]]
    assert r3("ZMPOP 1 {z}2 MAX") is None


@pytest.mark.parametrize("line, answer", [
    ("ZMPOP 0 z MIN", Error("ERR numkeys should be greater than 0")),
    ("ZMPOP x z MIN", Error("ERR numkeys should be greater than 0")),
    ("ZMPOP 2 z MIN", SYNTAX), ("ZMPOP 1 z FIRST", SYNTAX), ("ZMPOP 1 z MIN COUNT", SYNTAX),
    ("ZMPOP 1 z MIN COUNT 0", Error("ERR count should be greater than 0")),
    ("ZMPOP 1 z MIN COUNT x", Error("ERR count should be greater than 0")), ("ZMPOP 1 z MIN COUNT 1 COUNT 1", SYNTAX),
    ("ZMPOP 1 z MIN MAX", SYNTAX)])
def test_bad_mpops(r, line, answer):
    r("ZADD z 1 a")
    if r.name in ("proxy", "cluster") and line.startswith(("ZMPOP 0", "ZMPOP x", "ZMPOP 2")):
        pytest.skip("which keys the command has is not clear there")
    assert r(line) == answer
    assert r("ZCARD z") == 1


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_random_members(r, form):
    everything = set(r("ZRANGE z 0 -1"))
    assert {r("ZRANDMEMBER z") for _ in range(20)} <= everything
    for count in (1, 2, form - 1, form, form + 7):
        found = r("ZRANDMEMBER", "z", count)
        assert len(found) == len(set(found)) == min(count, form) and set(found) <= everything
    found = r("ZRANDMEMBER z -1000")
    assert len(found) == 1000 and set(found) <= everything and len(set(found)) >= min(form, 3)
    flat = r("ZRANDMEMBER z 3 WITHSCORES")
    assert [r("ZSCORE", "z", name) for name in flat[::2]] == flat[1::2] and len(flat) == 6
    assert len(r("ZRANDMEMBER z -5 withscores")) == 10 and r("ZRANDMEMBER z 0") == [] == r("ZRANDMEMBER none 5")
    assert r("ZRANDMEMBER none") is None and r("ZRANDMEMBER none -5 WITHSCORES") == []
    r3 = r.conn(3)
    assert all(len(pair) == 2 and isinstance(pair[1], Double) for pair in r3("ZRANDMEMBER z 2 WITHSCORES"))
    assert all(len(pair) == 2 and isinstance(pair[1], Double) for pair in r3("ZRANDMEMBER z -9 WITHSCORES"))
    assert sorted(pair[0] for pair in r3("ZRANDMEMBER z 500 WITHSCORES")) == sorted(everything)


@pytest.mark.parametrize("line, answer", [
    ("ZRANDMEMBER z x", NOT_INT), ("ZRANDMEMBER z 1 SCORES", SYNTAX), ("ZRANDMEMBER z 1 WITHSCORES 1", SYNTAX),
    (f"ZRANDMEMBER z {INT64_MIN}",
     Error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")),
    (f"ZRANDMEMBER z {INT64_MAX} WITHSCORES", Error("ERR value is out of range")), ("ZPOPMIN z x", MUST_BE_POSITIVE),
    ("ZPOPMAX z -1", MUST_BE_POSITIVE), ("ZPOPMIN z 1 2", SYNTAX), ("ZPOPMIN z 1.5", MUST_BE_POSITIVE),
    ("ZADD z NX XX 1 a", XX_NX), ("ZADD z NX GT 1 a", GT_LT_NX), ("ZADD z LT NX 1 a", GT_LT_NX),
    ("ZADD z GT LT x a", GT_LT_NX),
    ("ZADD z INCR 1 a 2 b", Error("ERR INCR option supports a single increment-element pair")),
    ("ZADD z 1 a 2", SYNTAX), ("ZADD z NX CH", SYNTAX), ("ZADD z CH NX 1", SYNTAX), ("ZADD z FOO 1 a", SYNTAX),
    ("ZADD z FOO a", NOT_FLOAT),
    ("ZADD z NX XX GT 1 a", XX_NX), ("ZSCAN z x", Error("ERR invalid cursor")), ("ZSCAN z 0 COUNT 0", SYNTAX),
    ("ZSCAN z 0 COUNT x", NOT_INT), ("ZSCAN z 0 MATCH", SYNTAX)])
def test_bad_words(r, line, answer):
    r("ZADD z 1 a 2 b")
    assert r(line) == answer
    assert r("ZRANGE z 0 -1 WITHSCORES") == [b"a", b"1", b"b", b"2"]


@pytest.mark.parametrize("word", ["NX", "xx", "GT", "LT", "CH", "INCR"])
def test_zincrby_reads_the_options_of_zadd(r, word):
    assert r(f"ZINCRBY z {word} a") == r(f"ZINCRBY z {word} nx") == SYNTAX
    assert r("EXISTS z") == 0


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_scan(r, form):
    seen, cursor, steps = {}, b"0", 0
    while True:
        cursor, found = r("ZSCAN", "z", cursor)
        seen.update(zip(found[::2], found[1::2]))
        steps += 1
        if cursor == b"0":
            break
    flat = r("ZRANGE z 0 -1 WITHSCORES")
    assert seen == dict(zip(flat[::2], flat[1::2])) and (steps > 1) == (form > 100)
    assert r("ZSCAN z 0 MATCH [ab] COUNT 1000")[1][::2] in ([b"a", b"b"], [b"b", b"a"])
    assert r("ZSCAN none 0") == [b"0", []] and r("ZSCAN none 5 NONSENSE") == [b"0", []]
    assert sorted(r.conn(3)("ZSCAN z 0 MATCH [ab] COUNT 1000")[1]) == [b"1", b"2", b"a", b"b"]


def test_a_scan_of_a_large_one_has_scores_of_17_digits(r):
    r("CONFIG SET zset-max-listpack-entries 0")
    scores = {b"a": b"0.10000000000000001", b"b": b"10000000000000000", b"c": b"1e+17", b"d": b"3", b"e": b"-inf",
              b"f": b"1.4999999999999999e-07", b"g": b"1.0000000000000001e+300"}
    try:
        r("ZADD z 0.1 a 1e16 b 1e17 c 3 d -inf e 1.5e-7 f 1e300 g")
        found = r("ZSCAN z 0 COUNT 100")[1]
        assert dict(zip(found[::2], found[1::2])) == scores
    finally:
        r("CONFIG SET zset-max-listpack-entries 128")


def test_thresholds(r):
    r("ZADD", "z", *(word for n in range(128) for word in (n, f"m{n}")))
    assert r("OBJECT ENCODING z") == b"listpack"
    r("ZADD z 5 m0")
    assert r("OBJECT ENCODING z") == b"listpack"
    r("ZADD z 5 m128")
    assert r("OBJECT ENCODING z") == b"skiplist"
    r("ZREM", "z", *(f"m{n}" for n in range(120)))
    assert r("OBJECT ENCODING z") == b"skiplist", "a sorted set never goes back by itself"
    r("ZADD", "v", 1, "x" * 64)
    assert r("OBJECT ENCODING v") == b"listpack"
    r("ZADD", "v", 1, "x" * 65)
    assert r("OBJECT ENCODING v") == b"skiplist" and r("ZCARD v") == 2
    r("ZADD", "w", 1, "x" * 65)
    assert r("OBJECT ENCODING w") == b"skiplist"
    assert r("COPY v {v}2") == 1 and r("OBJECT ENCODING {v}2") == b"skiplist" and r("ZCARD {v}2") == 2


@pytest.mark.parametrize("line", [
    "ZADD k 1 a", "ZADD k XX 1 a", "ZINCRBY k 1 a", "ZREM k a", "ZCARD k", "ZSCORE k a", "ZMSCORE k a", "ZRANK k a",
    "ZREVRANK k a",
    "ZPOPMIN k", "ZPOPMAX k 0", "ZMPOP 2 {k}none k MIN", "ZRANDMEMBER k", "ZRANDMEMBER k 0", "ZSCAN k 0"])
def test_another_type(r, line):
    r("SET k v")
    assert r(line) == WRONGTYPE
    assert r("GET k") == b"v"


@pytest.mark.parametrize("line", ["GET z", "INCR z", "SADD z a", "HSET z a 1", "SMEMBERS z", "SET z x GET"])
def test_a_sorted_set_is_nothing_else(r, line):
    r("ZADD z 1 a")
    assert r(line) == WRONGTYPE
    assert r("ZRANGE z 0 -1") == [b"a"]


@pytest.mark.parametrize("name, line", [
    ("zadd", "ZADD z"), ("zadd", "ZADD z 1"), ("zincrby", "ZINCRBY z 1"), ("zincrby", "ZINCRBY z 1 a b"),
    ("zrem", "ZREM z"),
    ("zcard", "ZCARD"), ("zcard", "ZCARD z a"), ("zscore", "ZSCORE z"), ("zscore", "ZSCORE z a b"),
    ("zmscore", "ZMSCORE z"),
    ("zrank", "ZRANK z"), ("zrevrank", "ZREVRANK z"), ("zpopmin", "ZPOPMIN"), ("zpopmax", "ZPOPMAX"),
    ("zmpop", "ZMPOP 1 z"), ("zrandmember", "ZRANDMEMBER"), ("zscan", "ZSCAN z")])
def test_arity(r, name, line):
    assert r(line) == arity(name)
    assert r("EXISTS z") == 0


def test_wide_members(r):
    for n in (255, 256, 65_535, 65_536, 70_000):
        assert r("ZADD", "z", n, b"m" * n) == 1 and r("ZADD", "z", n, b"m" * n) == 0
        assert r("ZSCORE", "z", b"m" * n) == b"%d" % n and r("ZRANK", "z", b"m" * n) == r("ZCARD z") - 1
    assert r("ZREM", "z", b"m" * 65_536, b"m" * 256) == 2 and r("ZCARD z") == 3
