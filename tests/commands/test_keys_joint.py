"""MSETNX, RENAME, RENAMENX and COPY with keys of different slots: behind a proxy they lie on several engines, and it is
one step all the same."""
import itertools
import random
import threading

import pytest

from harness import OK, Error
from harness.texts import DB_RANGE, NO_SUCH_KEY, NOT_INT, SYNTAX, arity

pytestmark = pytest.mark.not_on("cluster", reason="a cluster client may not name several slots")

# slots 15495, 3300, 7365, 11298, 15363: with two or three engines, pairs of them lie on one or on two
NAMES = ("a", "b", "c", "d", "e")
PAIRS = list(itertools.permutations(NAMES, 2))


@pytest.mark.parametrize("one, other", PAIRS)
def test_rename(r, one, other):
    assert r("RENAME", one, other) == NO_SUCH_KEY
    r("SET", one, "v", "EX", "1000")
    r("SET", other, "old")
    assert r("RENAME", one, other) == OK
    assert r("GET", one) is None and r("GET", other) == b"v"
    assert 900 < r("TTL", other) <= 1000
    assert r("DBSIZE") == 1
    r("SET", one, "12")
    assert r("RENAME", one, other) == OK
    assert r("TTL", other) == -1, "the old time to live went with the old value"
    assert r("INCR", other) == 13
    assert r("RENAME", one, other) == NO_SUCH_KEY
    assert r("GET", other) == b"13"


@pytest.mark.parametrize("one, other", PAIRS[:8])
def test_renamenx(r, one, other):
    assert r("RENAMENX", one, other) == NO_SUCH_KEY
    r("MSET", one, "v", other, "old")
    assert r("RENAMENX", one, other) == 0
    assert r("MGET", one, other) == [b"v", b"old"]
    r("DEL", other)
    assert r("RENAMENX", one, other) == 1
    assert r("MGET", one, other) == [None, b"v"]
    r("SET", other, "v", "PX", "100000")
    assert r("RENAMENX", other, one) == 1
    assert 0 < r("PTTL", one) <= 100_000


@pytest.mark.parametrize("one, other", PAIRS[4:12])
def test_copy(r, one, other):
    assert r("COPY", one, other) == 0
    r("SET", one, b"\x00\xff v", "EX", "1000")
    assert r("COPY", one, other) == 1
    assert r("MGET", one, other) == [b"\x00\xff v"] * 2
    assert 900 < r("TTL", other) <= 1000
    r("SET", one, "new")
    assert r("COPY", one, other) == 0
    assert r("GET", other) == b"\x00\xff v"
    assert r("COPY", one, other, "replace") == 1
    assert r("GET", other) == b"new" and r("TTL", other) == -1
    r("DEL", one)
    assert r("COPY", one, other, "REPLACE") == 0
    assert r("GET", other) == b"new"


@pytest.mark.parametrize("one, other", PAIRS[:4])
def test_copy_to_another_database(r, one, other):
    r("SET", one, "v")
    r("SET", other, "here")
    assert r("COPY", one, other, "DB", "3") == 1
    assert r("COPY", one, other, "DB", "3") == 0
    assert r("COPY", one, other, "DB", "0") == 0
    assert r("COPY", one, other, "DB", "3", "REPLACE") == 1
    assert r("COPY", one, other, "DB", "3", "DB", "4", "REPLACE", "REPLACE") == 1
    assert r("GET", other) == b"here"
    c = r.conn()
    for db in (3, 4):
        assert c("SELECT", db) == OK
        assert c("GET", other) == b"v" and c("DBSIZE") == 1
    assert c("COPY", other, one, "DB", "3") == 1
    assert c("SELECT", 3) == OK and c("MGET", one, other) == [b"v", b"v"]


@pytest.mark.parametrize("one, other", PAIRS[:4])
@pytest.mark.parametrize("options, error", [
    ("BOGUS", SYNTAX), ("DB", SYNTAX), ("REPLACE DB", SYNTAX), ("DB 3 4", SYNTAX), ("DB x", NOT_INT),
    ("DB 16", DB_RANGE), ("DB -1", DB_RANGE),
    ("DB 2147483648", Error("ERR value is out of range, value must between -2147483648 and 2147483647"))])
def test_copys_errors(r, one, other, options, error):
    assert r("COPY", one, other, *options.split()) == error
    r("SET", one, "v")
    assert r("COPY", one, other, *options.split()) == error
    assert r("GET", other) is None


def test_msetnx(r):
    assert r("MSETNX a 1 b 2 c 3 d 4 e 5") == 1
    assert r("MGET a b c d e") == [b"1", b"2", b"3", b"4", b"5"]
    for free in NAMES:
        r("DEL", free)
        assert r("MSETNX a x b x c x d x e x") == 0
        assert r("GET", free) is None
        r("SET", free, "y")
    assert r("MGET a b c d e") == [b"y"] * 5
    assert r("MSETNX f 1 g 2 f 3 h 4 f 5") == 1
    assert r("MGET f g h") == [b"5", b"2", b"4"]
    assert r("MSETNX i 1 a 2 i 3") == 0
    assert r("GET i") is None
    for line in ("MSETNX a", "MSETNX a 1 b", "MSETNX k 1 l 2 m"):
        assert r(line) == arity("msetnx")


def test_in_a_pipeline_each_sees_the_one_before(r):
    c = r.conn()
    lines = ["SET a 1", "RENAME a b", "GET a", "GET b", "MSETNX a 2 c 3", "INCR a", "COPY a d", "GET d", "RENAMENX d c",
             "DEL c", "RENAMENX d c", "MGET a b c d", "DBSIZE", "MSETNX x 1 y 2 a 3", "EXISTS x y a"]
    assert c.many(*lines) == [
        OK, OK, None, b"1", 1, 3, 1, b"3", 0, 1, 1, [b"3", b"1", b"3", None], 3, 0, 1]


def test_nobody_sees_a_half(r):
    """A value that is renamed back and forth is always at one place: whoever renames it away from where it is gets it
    once. The sum over all keys stays."""
    r("SET a token")
    wins: list[int] = []
    failures: list[object] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        c = r.conn()
        won = 0
        for _ in range(60):
            one, other = chance.sample(NAMES, 2)
            reply = c("RENAMENX", one, other)
            if reply == 1:
                won += 1
            elif reply not in (0, NO_SUCH_KEY):
                failures.append(reply)
            reply = c("COPY", other, f"copy{seed}", "REPLACE")
            if reply not in (0, 1):
                failures.append(reply)
        wins.append(won)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == [] and len(wins) == 4 and sum(wins) > 0
    assert [value for value in r("MGET", *NAMES) if value is not None] == [b"token"]


@pytest.mark.parametrize("one, other", PAIRS[:6])
def test_a_hash_moves_as_a_whole(r, one, other):
    flat = [word for n in range(2500) for word in (f"field:{n}", n)]
    r("HSET", one, *flat)
    r("EXPIRE", one, "1000")
    r("SET", other, "old")
    assert r("COPY", one, other) == 0 and r("COPY", one, other, "REPLACE") == 1
    assert r("HLEN", other) == r("HLEN", one) == 2500 and r("HGET", other, "field:2499") == b"2499"
    assert 900 < r("TTL", other) <= 1000
    assert r("HSET", other, "field:1", "x") == 0 and r("HGET", one, "field:1") == b"1"
    assert r("RENAME", one, other) == OK
    assert r("HGET", other, "field:1") == b"1" and r("EXISTS", one) == 0


@pytest.mark.parametrize("one, other", PAIRS[:6])
@pytest.mark.parametrize("members", [range(-3, 400), ["a", *range(20)], [f"m{n}" for n in range(2500)]])
def test_a_set_moves_as_a_whole(r, one, other, members):
    r("SADD", one, *members)
    r("EXPIRE", one, "1000")
    r("SET", other, "old")
    encoding = r("OBJECT", "ENCODING", one)
    assert r("COPY", one, other) == 0 and r("COPY", one, other, "REPLACE") == 1
    assert sorted(r("SMEMBERS", other)) == sorted(r("SMEMBERS", one)) == sorted(str(n).encode() for n in members)
    assert 900 < r("TTL", other) <= 1000 and r("OBJECT", "ENCODING", other) == encoding
    assert r("SADD", other, "x") == 1 and r("SISMEMBER", one, "x") == 0
    assert r("RENAME", one, other) == OK
    assert r("SCARD", other) == len(members) and r("EXISTS", one) == 0
