"""What is computed of several keys, with keys of different slots: behind a proxy they lie on several engines, and the
answers are those of one Redis all the same."""
import itertools
import random

import pytest

from harness import OK, Error, SetReply
from harness.texts import NOT_INT, SYNTAX, WRONGTYPE, arity

pytestmark = pytest.mark.not_on("cluster", reason="a cluster client may not name several slots")

# slots 15495, 3300, 7365, 11298, 15363: with two or three engines, pairs of them lie on one or on two
NAMES = ("a", "b", "c", "d", "e")
PAIRS = list(itertools.permutations(NAMES, 2))
NUMKEYS = Error("ERR numkeys should be greater than 0")
TOO_MANY = Error("ERR Number of keys can't be greater than number of args")
LIMIT = Error("ERR LIMIT can't be negative")


def fill(r, **sets):
    for key, members in sets.items():
        r("SADD", key, *members)
    return {key: {str(member).encode() for member in members} for key, members in sets.items()}


@pytest.mark.parametrize("one, other", PAIRS[:10])
def test_two_sets(r, one, other):
    s = fill(r, **{one: [1, 2, 3, "x"], other: [2, 3, 4, "y"]})
    for command, expected in (("SINTER", s[one] & s[other]), ("SUNION", s[one] | s[other]),
                              ("SDIFF", s[one] - s[other])):
        reply = r(command, one, other)
        assert isinstance(reply, list) and len(reply) == len(expected) and set(reply) == expected
        reply = r.conn(resp=3)(command, one, other)
        assert isinstance(reply, SetReply) and set(reply) == expected
        assert r(command + "STORE", one, one, other) == len(expected)
        assert set(r("SMEMBERS", one)) == expected and set(r("SMEMBERS", other)) == s[other]
        r("DEL", one)
        fill(r, **{one: [1, 2, 3, "x"]})
    assert r("SINTERCARD", 2, one, other) == 2 and r("SINTERCARD", 2, one, other, "LIMIT", 1) == 1
    assert r("SINTERCARD", 2, one, "none", "LIMIT", 1) == 0


def test_many_sets_of_all_forms(r):
    s = fill(r, a=range(300), b=range(0, 600, 2), c=[*range(0, 1000, 3), "x"], d=range(6), e=["x", "y", 0, 6, 2],
             f=[f"member:{n}" for n in range(3000)])
    for count in range(2, 6):
        for names in itertools.permutations("abcdef", count):
            if sum(map(ord, names)) % 29:       # enough of them
                continue
            sets = [s[name] for name in names]
            assert set(r("SINTER", *names)) == set.intersection(*sets)
            assert set(r("SDIFF", *names)) == sets[0].difference(*sets[1:])
            assert set(r("SUNION", *names)) == set.union(*sets)
            assert r("SINTERCARD", count, *names) == len(set.intersection(*sets))
            assert r("SUNIONSTORE", "to", *names) == r("SCARD to") == len(set.union(*sets))
            assert r("SDIFFSTORE", "to", *names) == len(sets[0].difference(*sets[1:]))
            assert set(r("SMEMBERS to")) == sets[0].difference(*sets[1:])
    assert r("SINTER", "a", "a", "b", "a") and set(r("SUNION a b a b")) == s["a"] | s["b"]
    assert r("SDIFF a b a") == []


def test_the_form_of_a_result(r):
    fill(r, a=range(10), b=range(5, 15), c=["x"], d=[f"member:{n}" for n in range(400)])
    for command, encoding in (("SUNIONSTORE to a b", b"intset"), ("SINTERSTORE to b a", b"intset"),
                              ("SUNIONSTORE to a b d", b"hashtable")):
        r("SET to old EX 100")
        assert r(command) > 0
        assert r("OBJECT ENCODING to") == encoding and r("TTL to") == -1


def test_large_sets(r):
    """More than what goes along with a command."""
    n = 30_000
    for key, first in (("a", 0), ("b", n // 2), ("c", n - 10)):
        for start in range(first, first + n, 1000):
            r("SADD", key, *[f"member:{m}" for m in range(start, start + 1000)])
    r("SADD d member:1 x")
    assert r("SINTERCARD 2 a b") == n // 2 and r("SINTERCARD 3 a b c LIMIT 0") == 10
    assert len(r("SINTER a b")) == n // 2 and len(r("SUNION c a")) == 2 * n - 10 and r("SINTER d a") == [b"member:1"]
    assert len(r.conn(resp=3)("SDIFF b a c")) == n // 2 - 10 - (n // 2 - 10)
    for to in NAMES[3:]:
        assert r("SUNIONSTORE", to, "b", "a") == n + n // 2 == r("SCARD", to)
        assert r("SINTERSTORE", to, "c", "a", "b") == 10 == len(r("SMEMBERS", to))
        r("SADD d member:1 x")
        assert r("SDIFFSTORE", to, "a", "b") == n // 2
        assert r("SINTERSTORE", to, "a", "b", "none") == 0 and r("EXISTS", to) == 0
    assert r("SCARD a") == r("SCARD b") == r("SCARD c") == n
    assert r("DBSIZE") == 4
    assert r("RENAME a e") == OK and r("SCARD e") == n and r("COPY e a") == 1 and r("SCARD a") == n


@pytest.mark.parametrize("one, other", PAIRS[5:13])
def test_nothing_to_compute_with(r, one, other):
    fill(r, **{one: [1, 2]})
    assert r("SINTER", one, other) == [] == r("SDIFF", other, one)
    assert sorted(r("SUNION", other, one)) == [b"1", b"2"] == sorted(r("SDIFF", one, other))
    assert r("SINTERSTORE", "to", one, other) == 0 and r("EXISTS to") == 0
    r("SET", other, "old")
    assert r("SINTERSTORE", other, one, "none") == 0 and r("EXISTS", other) == 0
    assert r("SUNIONSTORE", other, "none", "neither") == 0
    assert r("SUNIONSTORE", other, one, "none") == 2 and sorted(r("SMEMBERS", other)) == [b"1", b"2"]
    assert r("SDIFFSTORE", one, one, other) == 0 and r("EXISTS", one) == 0


@pytest.mark.parametrize("one, other", PAIRS[:8])
def test_another_type(r, one, other):
    fill(r, **{one: [1]})
    r("SET", other, "x" * 300_000)
    for command in ("SINTER", "SUNION", "SDIFF"):
        assert r(command, one, other) == WRONGTYPE == r(command, other, one)
        assert r(command + "STORE", one, one, other) == WRONGTYPE == r(command + "STORE", "to", other, one)
        assert r(command, "none", other) == WRONGTYPE
    assert r("SINTERCARD", 2, one, other) == WRONGTYPE
    assert r("SUNIONSTORE", other, one, "none") == 1, "the destination may be of any type"
    assert r("SMEMBERS", one) == [b"1"] == r("SMEMBERS", other)


@pytest.mark.parametrize("one, other", PAIRS[:3])
def test_errors(r, one, other):
    fill(r, **{one: [1], other: [1]})
    for words, error in (
            ("SINTERCARD 0 {} {}", NUMKEYS), ("SINTERCARD -1 {} {}", NUMKEYS), ("SINTERCARD x {} {}", NUMKEYS),
            ("SINTERCARD 02 {} {}", NUMKEYS), ("SINTERCARD 3 {} {}", TOO_MANY), ("SINTERCARD 2 {} {} LIMIT", SYNTAX),
            ("SINTERCARD 2 {} {} LIMIT -1", LIMIT), ("SINTERCARD 2 {} {} LIMIT x", LIMIT),
            ("SINTERCARD 2 {} {} BOGUS 1", SYNTAX), ("SINTERCARD 1 {} {}", SYNTAX),
            ("SINTERCARD 2 {} {} LIMIT 1 LIMIT", SYNTAX), ("SINTERSTORE {}", arity("sinterstore")),
            ("SINTERCARD 2", arity("sintercard")), ("SMOVE {} {}", arity("smove"))):
        assert r(words.format(one, other)) == error, words
    assert r("SINTERCARD", 2, one, other, "LIMIT", 0) == 1 and r("SINTERCARD", 2, one, other, "limit", 2**63 - 1) == 1
    assert r("DBSIZE") == 2


@pytest.mark.parametrize("one, other", PAIRS)
def test_smove(r, one, other):
    assert r("SMOVE", one, other, "x") == 0
    fill(r, **{one: ["x", "y"], other: ["y"]})
    assert r("SMOVE", one, other, "none") == 0 and r("SMOVE", one, other, "x") == 1 and r("SMOVE", one, other, "x") == 0
    assert sorted(r("SMEMBERS", other)) == [b"x", b"y"] and r("SMEMBERS", one) == [b"y"]
    assert r("SMOVE", one, other, "y") == 1 and r("EXISTS", one) == 0 and r("SCARD", other) == 2
    r("SET", one, "v")
    assert r("SMOVE", one, other, "x") == WRONGTYPE == r("SMOVE", other, one, "x") == r("SMOVE", other, one, "none")
    r("DEL", other)
    assert r("SMOVE", other, one, "x") == 0, "nothing to move, nowhere looked"
    r("DEL", one)
    fill(r, **{one: ["x"]})
    assert r("SMOVE", one, other, "x") == 1 and r("EXISTS", one) == 0 and r("SMEMBERS", other) == [b"x"]


@pytest.mark.parametrize("one, other", PAIRS[:6])
def test_lcs(r, one, other):
    r("MSET", one, "ohmytext", other, "mynewtext")
    assert r("LCS", one, other) == b"mytext" and r("LCS", one, other, "LEN") == 6
    assert r("LCS", one, other, "IDX", "MINMATCHLEN", 4, "WITHMATCHLEN") == [
        b"matches", [[[4, 7], [5, 8], 4]], b"len", 6]
    assert isinstance(r.conn(resp=3)("LCS", one, other, "IDX"), dict)
    assert r("LCS", one, "none") in (b"", b"mynewtext"[:0]) and r("LCS", one, other, "BOGUS") == SYNTAX
    assert r("LCS", one, other, "MINMATCHLEN", "x", "IDX") == NOT_INT
    r("SADD set 1")
    assert r("LCS", one, "set") == Error("ERR The specified keys must contain string values")


def test_in_a_pipeline_each_sees_the_one_before(r):
    c = r.conn()
    assert c.many("SADD a 1 2", "SADD b 2 3", "SINTERSTORE c a b", "SMEMBERS c", "SMOVE a b 1", "SUNIONSTORE a b c",
                  "SCARD a", "SINTERCARD 2 a b", "SINTERCARD 2 b c LIMIT 1", "DEL b", "SDIFF c b", "DBSIZE") == [
        2, 2, 1, [b"2"], 1, 3, 3, 3, 1, 1, [b"2"], 2]


def test_numbered_databases(r):
    c = r.conn(db=3)
    c("SADD a 1 2")
    c("SADD b 2 3")
    assert c("SINTER a b") == [b"2"] and r("SINTER a b") == []
    assert c("SUNIONSTORE c a b") == 3 and r("DBSIZE") == 0 and c("DBSIZE") == 3
    assert c("SMOVE a b 1") == 1 and c("SCARD b") == 3


def test_what_has_expired_is_not_there(r):
    fill(r, a=[1, 2], b=[2, 3])
    r("PEXPIREAT a 1")
    assert r("SINTER a b") == [] and sorted(r("SUNION a b")) == [b"2", b"3"]
    fill(r, a=[1, 2])
    r("EXPIRE a 1000")
    assert r("SINTER a b") == [b"2"] and r("SUNIONSTORE c a b") == 3 and r("TTL c") == -1
    assert 900 < r("TTL a") <= 1000


def test_at_random(r):
    """The same commands on a model."""
    chance = random.Random(7)
    model: dict[str, set[bytes]] = {name: set() for name in NAMES}
    for _ in range(150):
        names = chance.choices(NAMES, k=chance.randint(2, 4))
        sets = [model[name] for name in names]
        to = chance.choice(NAMES)
        kind = chance.randrange(5)
        if kind == 0:
            members = {str(chance.randrange(40)).encode() for _ in range(20)}
            assert r("SADD", to, *members) == len(members - model[to])
            model[to] = model[to] | members
        elif kind == 1:
            model[to] = set.intersection(*sets)
            assert r("SINTERSTORE", to, *names) == len(model[to])
        elif kind == 2:
            model[to] = sets[0].difference(*sets[1:])
            assert r("SDIFFSTORE", to, *names) == len(model[to])
        elif kind == 3:
            model[to] = set.union(*sets)
            assert r("SUNIONSTORE", to, *names) == len(model[to])
        else:
            member = str(chance.randrange(40)).encode()
            moved = member in model[names[0]]
            assert r("SMOVE", names[0], to, member) == moved
            if moved:
                model[names[0]] = model[names[0]] - {member}
                model[to] = model[to] | {member}
        assert {name: set(r("SMEMBERS", name)) for name in NAMES} == model
