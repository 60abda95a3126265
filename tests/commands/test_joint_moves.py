"""Elements that go from key to key, and pops of the first key that has something, with keys of different slots: behind
a proxy they lie on several engines, and it is one step all the same."""
import itertools
import threading

import pytest

from harness import NULL_ARRAY, OK, Error
from harness.texts import SYNTAX, WRONGTYPE, arity

pytestmark = pytest.mark.not_on("cluster", reason="a cluster client may not name several slots")

# slots 15495, 3300, 7365, 11298, 15363: with two or three engines, pairs of them lie on one or on two
NAMES = ("a", "b", "c", "d", "e")
PAIRS = list(itertools.permutations(NAMES, 2))
NUMKEYS = Error("ERR numkeys should be greater than 0")


def texts(*what):
    return [str(one).encode() for one in what]


@pytest.mark.parametrize("one, other", PAIRS[:12])
def test_lmove(r, one, other):
    assert r("LMOVE", one, other, "LEFT", "RIGHT") is None and r("RPOPLPUSH", one, other) is None
    r("RPUSH", one, 1, 2, 3, 4)
    assert r("LMOVE", one, other, "LEFT", "RIGHT") == b"1" and r("LMOVE", one, other, "right", "left") == b"4"
    assert r("LRANGE", one, 0, -1) == texts(2, 3) and r("LRANGE", other, 0, -1) == texts(4, 1)
    assert r("RPOPLPUSH", one, other) == b"3" and r("LMOVE", one, other, "RIGHT", "RIGHT") == b"2"
    assert r("EXISTS", one) == 0 and r("LRANGE", other, 0, -1) == texts(3, 4, 1, 2)
    assert r("LMOVE", other, one, "UP", "LEFT") == SYNTAX == r("LMOVE", other, one, "LEFT", "")
    assert r("LMOVE", other, one, "LEFT") == arity("lmove")
    r("SET", one, "v")
    assert r("LMOVE", other, one, "LEFT", "LEFT") == WRONGTYPE == r("LMOVE", one, other, "LEFT", "LEFT")
    assert r("RPOPLPUSH", one, other) == WRONGTYPE and r("LLEN", other) == 4 and r("GET", one) == b"v"
    r("DEL", other)
    assert r("LMOVE", other, one, "LEFT", "LEFT") is None, "nothing to move, nowhere looked"


@pytest.mark.parametrize("keys", [NAMES, NAMES[::-1], ("c", "a", "e", "b", "d")])
def test_lmpop(r, keys):
    assert r("LMPOP", 5, *keys, "LEFT") is NULL_ARRAY
    r("RPUSH", keys[3], 1, 2, 3)
    r("RPUSH", keys[4], 9)
    assert r("LMPOP", 5, *keys, "LEFT") == [keys[3].encode(), [b"1"]]
    assert r("LMPOP", 5, *keys, "RIGHT", "COUNT", 5) == [keys[3].encode(), [b"3", b"2"]]
    assert r("LMPOP", 5, *keys, "RIGHT") == [keys[4].encode(), [b"9"]] and r("DBSIZE") == 0
    three = r.conn(resp=3)
    r("RPUSH", keys[1], 1)
    r("SET", keys[2], "x")
    assert three("LMPOP", 5, *keys, "LEFT") == [keys[1].encode(), [b"1"]]
    assert three("LMPOP", 5, *keys, "LEFT") == WRONGTYPE
    for words, error in ((("0", *keys, "LEFT"), NUMKEYS), (("x", *keys, "LEFT"), NUMKEYS), (("5", *keys, "UP"), SYNTAX),
                         (("05", *keys, "LEFT"), NUMKEYS), (("5", *keys), SYNTAX), (("5", *keys, "LEFT", "COUNT"), SYNTAX),
                         (("5", *keys, "LEFT", "COUNT", "0"), Error("ERR count should be greater than 0"))):
        assert r("LMPOP", *words) == error, words


@pytest.mark.parametrize("keys", [NAMES, NAMES[::-1]])
def test_zmpop(r, keys):
    assert r("ZMPOP", 5, *keys, "MIN") is NULL_ARRAY
    r("ZADD", keys[2], 1, "x", 2, "y")
    r("ZADD", keys[4], 0, "z")
    assert r("ZMPOP", 5, *keys, "MAX") == [keys[2].encode(), [[b"y", b"2"]]]
    assert r.conn(resp=3)("ZMPOP", 5, *keys, "MIN", "COUNT", 3) == [keys[2].encode(), [[b"x", 1.0]]]
    assert r("ZMPOP", 5, *keys, "MIN") == [keys[4].encode(), [[b"z", b"0"]]] and r("DBSIZE") == 0
    assert r("ZMPOP", 5, *keys, "LEFT") == SYNTAX


@pytest.mark.parametrize("one, other", PAIRS[:8])
def test_collections_are_renamed_and_copied(r, one, other):
    for make, look in (("RPUSH {} b a c a", "LRANGE {} 0 -1"), ("ZADD {} 1 x 0.1 y -inf z", "ZSCORE {} y"),
                       ("HSET {} f v g w", "HGETALL {}"), ("SADD {} 1 2 3", "SMEMBERS {}")):
        r("FLUSHALL")
        r(make.format(one))
        r("SET", other, "old")
        before, encoding = r(look.format(one)), r("OBJECT", "ENCODING", one)
        assert r("COPY", one, other) == 0 and r("COPY", one, other, "REPLACE") == 1
        assert r(look.format(other)) == before == r(look.format(one)) and r("OBJECT", "ENCODING", other) == encoding
        assert r("RENAME", other, one) == OK and r(look.format(one)) == before and r("EXISTS", other) == 0
        r("EXPIRE", one, 1000)
        assert r("RENAMENX", one, other) == 1 and 900 < r("TTL", other) <= 1000 and r(look.format(other)) == before


def test_large_collections_are_renamed_and_copied(r):
    for start in range(0, 12_000, 1000):
        r("RPUSH", "a", *range(start, start + 1000))
        r("ZADD", "b", *[word for n in range(start, start + 1000) for word in (n / 3, f"m{n}")])
    for to in "cde":
        assert r("COPY", "a", to) == 1 and r("LRANGE", to, 0, -1) == texts(*range(12_000))
        assert r("RENAME", to, "f") == OK and r("LLEN f") == 12_000
        assert r("COPY", "b", to, "REPLACE") == 1 and r("ZCARD", to) == 12_000 and r("ZRANK", to, "m7000") == 7000
        assert r("ZSCORE", to, "m11") == r("ZSCORE b m11")


def test_nothing_is_lost_between_many_movers(r):
    """Elements go round between lists on all engines; each is somewhere, once."""
    r("RPUSH", "a", *range(50))
    failures: list[object] = []

    def work(seed: int) -> None:
        c = r.conn()
        for n in range(60):
            one, other = PAIRS[(seed * 7 + n) % len(PAIRS)]
            reply = c("LMOVE", one, other, "LEFT", "RIGHT")
            if isinstance(reply, Error):
                failures.append(reply)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert sorted(word for name in NAMES for word in r("LRANGE", name, 0, -1)) == sorted(texts(*range(50)))


@pytest.mark.parametrize("one, other", PAIRS[:6])
def test_in_a_pipeline_each_sees_the_one_before(r, one, other):
    c = r.conn()
    assert c.many(f"RPUSH {one} 1 2", f"LMOVE {one} {other} LEFT LEFT", f"LRANGE {other} 0 -1",
                  f"RPOPLPUSH {other} {one}", f"LRANGE {one} 0 -1", f"LMPOP 2 {other} {one} LEFT COUNT 2",
                  "DBSIZE") == [
        2, b"1", [b"1"], b"1", [b"1", b"2"], [one.encode(), [b"1", b"2"]], 0]
