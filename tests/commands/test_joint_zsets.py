"""The algebra of sorted sets, and ZRANGESTORE, with keys of different slots."""
import itertools

import pytest

from harness import Error
from harness.texts import SYNTAX, WRONGTYPE

pytestmark = pytest.mark.not_on("cluster", reason="a cluster client may not name several slots")

# slots 15495, 3300, 7365, 11298, 15363: with two or three engines, pairs of them lie on one or on two
PAIRS = list(itertools.permutations(("a", "b", "c", "d", "e"), 2))


@pytest.fixture(params=PAIRS[:8], ids="-".join)
def two(request, r):
    """Two sorted sets; s is a set beside them."""
    one, other = request.param
    r("ZADD", one, 1, "x", 2, "y", 3, "z")
    r("ZADD", other, 10, "y", 20, "z", 30, "w")
    return one, other


def test_what_is_computed(r, two):
    one, other = two
    assert r("ZINTER", 2, one, other) == [b"y", b"z"] and r("ZDIFF", 2, one, other) == [b"x"]
    assert r("ZUNION", 2, one, other, "WITHSCORES") == [b"x", b"1", b"y", b"12", b"z", b"23", b"w", b"30"]
    assert r("ZINTER", 2, one, other, "WEIGHTS", 2, 0.5, "AGGREGATE", "MAX", "WITHSCORES") == [b"y", b"5", b"z", b"10"]
    assert r("ZINTERCARD", 2, one, other) == 2 and r("ZINTERCARD", 2, one, other, "LIMIT", 1) == 1
    assert r.conn(resp=3)("ZDIFF", 2, other, one, "WITHSCORES") == [[b"w", 30.0]]
    for key in ("s", "t", "u"):
        r("SADD", key, "z", "w")
        assert r("ZUNION", 2, one, key, "WITHSCORES") == [b"w", b"1", b"x", b"1", b"y", b"2", b"z", b"4"]
        assert r("ZINTER", 3, other, key, one, "AGGREGATE", "MIN", "WITHSCORES") == [b"z", b"1"]


def test_what_is_stored(r, two):
    one, other = two
    for to in ("f", "g", "h"):
        assert r("ZUNIONSTORE", to, 2, one, other) == 4
        assert r("ZRANGE", to, 0, -1, "WITHSCORES") == [b"x", b"1", b"y", b"12", b"z", b"23", b"w", b"30"]
        r("SET", to, "old")
        assert r("ZINTERSTORE", to, 2, one, other, "WEIGHTS", 1, -1) == 2
        assert r("ZRANGE", to, 0, -1, "WITHSCORES") == [b"z", b"-17", b"y", b"-8"]
        assert r("ZDIFFSTORE", to, 2, one, other) == 1 and r("ZRANGE", to, 0, -1) == [b"x"]
        assert r("ZRANGESTORE", to, one, 1, -1) == 2 and r("ZRANGE", to, 0, -1) == [b"y", b"z"]
        assert r("ZRANGESTORE", to, other, "(10", "+inf", "BYSCORE", "LIMIT", 0, 1) == 1
        assert r("ZRANGE", to, 0, -1, "WITHSCORES") == [b"z", b"20"]
        assert r("ZRANGESTORE", to, one, 7, 9) == 0 and r("EXISTS", to) == 0
    assert r("ZUNIONSTORE", one, 2, one, other) == 4 and r("ZCARD", one) == 4 and r("ZCARD", other) == 3


def test_errors(r, two):
    one, other = two
    assert r("ZUNION", 2, one, other, "WEIGHTS", 1) == SYNTAX
    assert r("ZUNION", 2, one, other, "WEIGHTS", 1, "x") == Error("ERR weight value is not a float")
    assert r("ZUNION", 2, one, other, "AGGREGATE", "AVG") == SYNTAX
    assert r("ZINTERCARD", 2, one, other, "LIMIT", -1) == Error("ERR LIMIT can't be negative")
    assert r("ZUNIONSTORE", "to", 2, one, other, "WITHSCORES") == SYNTAX
    for key in ("s", "t", "u"):
        r("SET", key, "x")
        assert r("ZUNION", 2, one, key) == WRONGTYPE == r("ZUNIONSTORE", "to", 2, key, other)
        assert r("ZRANGESTORE", other, key, 0, -1) == WRONGTYPE and r("ZCARD", other) == 3
    assert r("EXISTS to") == 0


def test_large(r):
    """More than what goes along with a command."""
    count = 12_000
    for start in range(0, count, 1000):
        for key, first in (("a", 0), ("b", count // 2)):
            r("ZADD", key, *[word for n in range(first + start, first + start + 1000) for word in (n / 3, f"m{n}")])
    assert r("ZINTERCARD 2 a b") == count // 2 and len(r("ZUNION 2 a b")) == count + count // 2
    for to in "cde":
        assert r("ZUNIONSTORE", to, 2, "b", "a", "AGGREGATE", "MAX") == count + count // 2
        assert r("ZRANK", to, "m7000") == 7000 and r("ZSCORE", to, "m7000") == r("ZSCORE a m7000")
        assert r("ZINTERSTORE", to, 3, "a", "b", "none") == 0 and r("EXISTS", to) == 0
        assert r("ZRANGESTORE", to, "a", 100, 104) == 5
        assert r("ZRANGE", to, 0, -1) == [b"m100", b"m101", b"m102", b"m103", b"m104"]
