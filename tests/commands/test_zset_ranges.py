"""Ranges of sorted sets: ZRANGE in all forms, its older names, ZRANGESTORE, ZCOUNT, ZLEXCOUNT, ZREMRANGEBY...; on small
sorted sets and large ones, against what Python finds in a list."""
import random

import pytest

from harness import Double, Error
from harness.texts import INT64_MAX, INT64_MIN, NOT_INT, SYNTAX, WRONGTYPE, arity

NOT_RANGE = Error("ERR min or max is not a float")
NOT_LEX = Error("ERR min or max not valid string range item")
LIMIT = Error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
LEX_SCORES = Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")


@pytest.fixture(params=[20, 400])
def elements(request, r):
    """What is in z: (score, member) in order; scores come several times."""
    rng = random.Random(request.param)
    found = sorted((rng.randrange(request.param // 3), b"m%03d" % n) for n in range(request.param))
    r("ZADD", "z", *(word for one in found for word in one))
    return found


@pytest.fixture(params=[20, 400])
def words(request, r):
    """What is in z, in order: members of one score."""
    found = sorted(b"%c%d" % (97 + n % 7, n) for n in range(request.param))
    r("ZADD", "z", *(word for one in found for word in (0, one)))
    return found


def names(elements):
    return [name for _, name in elements]


def test_by_rank(r, elements):
    everything, n = names(elements), len(elements)
    for start, stop in [(0, -1), (0, 0), (1, 3), (-3, -1), (-1, 0), (3, 1), (n - 1, n), (n, n + 5), (0, n + 99),
                        (-n - 9, 2),
                        (INT64_MIN, INT64_MAX), (INT64_MAX, INT64_MIN), (-2, INT64_MAX), (INT64_MIN, -n)]:
        low, high = (max(end + n, 0) if end < 0 else end for end in (start, stop))
        if stop < 0:
            high = stop + n
        wanted = everything[low:high + 1] if high >= 0 else []
        assert r("ZRANGE", "z", start, stop) == wanted
        wanted = everything[::-1][low:high + 1] if high >= 0 else []
        assert r("ZREVRANGE", "z", start, stop) == wanted == r("ZRANGE", "z", start, stop, "REV")
    flat = [word for score, name in elements[:5] for word in (name, b"%d" % score)]
    assert r("ZRANGE z 0 4 WITHSCORES") == flat
    assert r("ZRANGE none 0 -1") == [] == r("ZREVRANGE none 0 -1 WITHSCORES")


def bounds(low, high):
    """What the words of a range of scores let through."""
    def value(word):
        return float(word[word.startswith("("):])

    return lambda score: (score > value(low) if low[0] == "(" else score >= value(low)) and (
        score < value(high) if high[0] == "(" else score <= value(high))


@pytest.mark.parametrize("low, high", [
    ("-inf", "+inf"), ("3", "5"), ("(3", "5"), ("3", "(5"), ("(3", "(5"), ("(3", "(4"), ("3", "3"), ("(3", "3"),
    ("5", "3"),
    ("-1", "0"), ("2.5", "4.5"), ("1000", "2000"), ("-9", "-8"), ("(-inf", "(inf"), ("inf", "-inf"), ("-0", "0")])
def test_by_score(r, elements, low, high):
    within = bounds(low, high)
    wanted = [name for score, name in elements if within(score)]
    assert r("ZCOUNT", "z", low, high) == len(wanted)
    assert r("ZRANGEBYSCORE", "z", low, high) == wanted == r("ZRANGE", "z", low, high, "BYSCORE")
    assert r("ZREVRANGEBYSCORE", "z", high, low) == wanted[::-1] == r("ZRANGE", "z", high, low, "REV", "BYSCORE")
    for offset, count in [(0, 2), (1, 3), (0, -1), (2, -7), (5, 0), (100, 5), (-1, 5), (INT64_MAX, INT64_MAX),
                          (0, INT64_MAX),
                          (INT64_MIN, 1)]:
        part = wanted[offset:] if offset >= 0 else []
        part = part[:count] if count >= 0 else part
        assert r("ZRANGEBYSCORE", "z", low, high, "LIMIT", offset, count) == part
        part = wanted[::-1][offset:] if offset >= 0 else []
        part = part[:count] if count >= 0 else part
        assert r("ZREVRANGEBYSCORE", "z", high, low, "LIMIT", offset, count) == part
    flat = [word for score, name in elements if within(score) for word in (name, b"%d" % score)]
    assert r("ZRANGEBYSCORE", "z", low, high, "WITHSCORES") == flat
    assert r("ZRANGEBYSCORE", "z", low, high, "LIMIT", 1, 2, "WITHSCORES") == flat[2:6]
    assert r("ZREMRANGEBYSCORE", "z", low, high) == len(wanted)
    assert r("ZRANGE z 0 -1") == [name for score, name in elements if not within(score)]


@pytest.mark.parametrize("low, high", [
    ("-", "+"), ("[b", "[d"), ("(b", "(d"), ("[b3", "[b3"), ("(b3", "[b3"), ("[d", "[b"), ("+", "-"), ("-", "-"),
    ("+", "+"), ("-", "[c"),
    ("(c9", "+"), ("[", "[z"), ("(", "(\xff"), ("[zz", "+"), ("-", "[A"), ("[-", "[+")])
def test_by_member(r, words, low, high):
    def within(word):
        left, right = low.encode("latin-1"), high.encode("latin-1")
        above = left == b"-" or (left != b"+" and (word > left[1:] if left[:1] == b"(" else word >= left[1:]))
        below = right == b"+" or (right != b"-" and (word < right[1:] if right[:1] == b"(" else word <= right[1:]))
        return above and below

    wanted = [word for word in words if within(word)]
    low, high = low.encode("latin-1"), high.encode("latin-1")
    assert r("ZLEXCOUNT", "z", low, high) == len(wanted)
    assert r("ZRANGEBYLEX", "z", low, high) == wanted == r("ZRANGE", "z", low, high, "BYLEX")
    assert r("ZREVRANGEBYLEX", "z", high, low) == wanted[::-1] == r("ZRANGE", "z", high, low, "BYLEX", "REV")
    assert r("ZRANGEBYLEX", "z", low, high, "LIMIT", 1, 3) == wanted[1:4]
    assert r("ZREVRANGEBYLEX", "z", high, low, "LIMIT", 2, 2) == wanted[::-1][2:4]
    assert r("ZREMRANGEBYLEX", "z", low, high) == len(wanted)
    assert r("ZRANGE z 0 -1") == [word for word in words if word not in wanted]


def test_remove_by_rank(r, elements):
    everything = names(elements)
    assert r("ZREMRANGEBYRANK z 5 3") == 0 == r("ZREMRANGEBYRANK none 0 -1") and r("ZREMRANGEBYRANK z 1000 2000") == 0
    assert r("ZREMRANGEBYRANK z 1 3") == 3 and r("ZREMRANGEBYRANK z -2 -1") == 2
    assert r("ZRANGE z 0 -1") == everything[:1] + everything[4:-2]
    assert r("ZREMRANGEBYRANK", "z", INT64_MIN, INT64_MAX) == len(everything) - 5 and r("EXISTS z") == 0


def test_store(r, elements):
    n = len(elements)
    r("SET {z}d string")
    assert r("ZRANGESTORE {z}d z 0 -1") == n and r("ZRANGE {z}d 0 -1 WITHSCORES") == r("ZRANGE z 0 -1 WITHSCORES")
    assert r("OBJECT ENCODING {z}d") == (b"listpack" if n <= 128 else b"skiplist")
    assert r("ZRANGESTORE {z}d z (3 5 BYSCORE LIMIT 1 4") == len(r("ZRANGE {z}d 0 -1"))
    assert r("ZRANGE {z}d 0 -1") == r("ZRANGEBYSCORE z (3 5 LIMIT 1 4") and r("OBJECT ENCODING {z}d") == b"listpack"
    assert r("ZRANGESTORE {z}d z 5 3 BYSCORE REV LIMIT 0 2") == 2
    assert r("ZRANGE {z}d 0 -1 REV") == r("ZREVRANGEBYSCORE z 5 3 LIMIT 0 2")
    assert r("ZRANGESTORE z z 1 3") == 3 and r("ZRANGE z 0 -1") == names(elements)[1:4]
    assert r("ZRANGESTORE {z}d z 5 9") == 0 and r("EXISTS {z}d") == 0
    r("EXPIRE z 1000")
    assert r("ZRANGESTORE z z 0 0 REV") == 1 and r("TTL z") == -1 and r("ZRANGE z 0 -1") == names(elements)[3:4]
    assert r("ZRANGESTORE z {z}none 0 -1") == 0 and r("EXISTS z") == 0


def test_a_limit_of_minus_one_by_rank_is_without_effect(r):
    r("ZADD {z}a 1 a 2 b 3 c 4 d 5 e")
    assert r("ZRANGE {z}a 2 4 LIMIT 2 -1") == [b"c", b"d", b"e"]
    assert r("ZRANGESTORE {z}d {z}a 2 4 LIMIT 2 -1") == 3
    assert r("ZRANGE {z}a 2 4 LIMIT 2 3") == LIMIT



@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_the_forms_of_resp3(r):
    r3 = r.conn(3)
    r("ZADD z 1 a 2.5 b")
    pairs = [[b"a", Double("1")], [b"b", Double("2.5")]]
    assert r3("ZRANGE z 0 -1 WITHSCORES") == pairs == r3("ZRANGEBYSCORE z 0 9 WITHSCORES")
    assert r3("ZREVRANGE z 0 -1 WITHSCORES") == pairs[::-1] == r3("ZREVRANGEBYSCORE z 9 0 WITHSCORES")
    assert r3("ZRANGE z 0 -1") == [b"a", b"b"]
    assert r3("ZRANGE none 0 -1 WITHSCORES") == [] == r3("ZRANGE z 5 9 WITHSCORES")


@pytest.mark.parametrize("line, answer", [
    ("ZRANGE z a 1", NOT_INT), ("ZRANGE z 0 1.5", NOT_INT), ("ZRANGE z 0 1 FOO", SYNTAX),
    ("ZRANGE z 0 1 LIMIT 0 1", LIMIT),
    ("ZRANGE z 0 1 LIMIT 0", SYNTAX), ("ZRANGE z 0 1 REV REV", SYNTAX), ("ZRANGE z 0 1 BYLEX BYSCORE", SYNTAX),
    ("ZRANGE z - + BYLEX WITHSCORES", LEX_SCORES), ("ZRANGE z a b BYSCORE", NOT_RANGE), ("ZRANGE z a b BYLEX", NOT_LEX),
    ("ZRANGE z a b BYSCORE LIMIT x 1", NOT_INT), ("ZRANGE z a b LIMIT 0 1", LIMIT), ("ZREVRANGE z 0 1 REV", SYNTAX),
    ("ZREVRANGE z 0 1 BYSCORE", SYNTAX), ("ZRANGEBYSCORE z 1 2 REV", SYNTAX), ("ZRANGEBYSCORE z (a 2", NOT_RANGE),
    ("ZRANGEBYSCORE z 1 nan", NOT_RANGE), ("ZRANGEBYSCORE z ((1 2", NOT_RANGE), ("ZRANGEBYSCORE z [1 2", NOT_RANGE),
    ("ZREVRANGEBYSCORE z 1 2 LIMIT 1", SYNTAX), ("ZRANGEBYLEX z a [b", NOT_LEX), ("ZRANGEBYLEX z - ++", NOT_LEX),
    ("ZRANGEBYLEX z 1 2", NOT_LEX), ("ZRANGEBYLEX z - + WITHSCORES", LEX_SCORES),
    ("ZREVRANGEBYLEX z + - BYLEX", SYNTAX),
    ("ZCOUNT z a 1", NOT_RANGE), ("ZLEXCOUNT z a 1", NOT_LEX), ("ZREMRANGEBYRANK z a 1", NOT_INT),
    ("ZREMRANGEBYSCORE z a 1", NOT_RANGE),
    ("ZREMRANGEBYLEX z a 1", NOT_LEX), ("ZRANGESTORE z z 0 1 WITHSCORES", SYNTAX),
    ("ZRANGESTORE z z 0 1 LIMIT 0 1", LIMIT),
    ("ZRANGESTORE z z a 1", NOT_INT)])
def test_bad_words(r, line, answer):
    r("ZADD z 1 a 2 b")
    assert r(line) == answer and r(line.replace(" z", " {z}none")) == answer
    assert r("ZRANGE z 0 -1 WITHSCORES") == [b"a", b"1", b"b", b"2"]


def test_ends_are_read_as_c_reads_them(r):
    """An empty end is 0, leading space is no harm, and what follows a NUL is not seen."""
    r("ZADD z 0 a 1 b 2 c")
    assert r("ZCOUNT", "z", "", 5) == 3 and r("ZCOUNT", "z", "(", 5) == 2 and r("ZCOUNT", "z", " 1", "( 2") == 1
    assert r("ZCOUNT", "z", "1\x00x", "0x2") == 2 and r("ZCOUNT", "z", "1 ", 5) == NOT_RANGE
    assert r("ZCOUNT", "z", "-1e999", "1e999") == 3 and r("ZLEXCOUNT", "z", "-\x00", "+\x00x") == 3


@pytest.mark.parametrize("line", [
    "ZRANGE k 0 -1", "ZREVRANGE k 0 -1", "ZRANGEBYSCORE k 0 1", "ZREVRANGEBYSCORE k 0 1", "ZRANGEBYLEX k - +",
    "ZREVRANGEBYLEX k + -",
    "ZCOUNT k 0 1", "ZLEXCOUNT k - +", "ZREMRANGEBYRANK k 0 1", "ZREMRANGEBYSCORE k 0 1", "ZREMRANGEBYLEX k - +",
    "ZRANGESTORE {k}d k 0 1"])
def test_another_type(r, line):
    r("SET k v")
    r("SET {k}d old")
    assert r(line) == WRONGTYPE and r("GET k") == b"v" and r("GET {k}d") == b"old"


@pytest.mark.parametrize("name, line", [
    ("zrange", "ZRANGE z 0"), ("zrevrange", "ZREVRANGE z 0"), ("zrangebyscore", "ZRANGEBYSCORE z 0"),
    ("zcount", "ZCOUNT z 0"),
    ("zrangebylex", "ZRANGEBYLEX z -"), ("zlexcount", "ZLEXCOUNT z - + 1"), ("zcount", "ZCOUNT z 0 1 2"),
    ("zremrangebyrank", "ZREMRANGEBYRANK z 0"), ("zremrangebyscore", "ZREMRANGEBYSCORE z 0 1 2"),
    ("zremrangebylex", "ZREMRANGEBYLEX z -"), ("zrangestore", "ZRANGESTORE z z 0")])
def test_arity(r, name, line):
    assert r(line) == arity(name)
