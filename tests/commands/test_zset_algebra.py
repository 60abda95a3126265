"""The algebra of sorted sets and sets: ZUNION ZINTER ZDIFF, their STORE forms, ZINTERCARD; against Python."""
import random

import pytest

from harness import Double, Error
from harness.texts import NOT_INT, SYNTAX, WRONGTYPE, arity

NO_WEIGHT = Error("ERR weight value is not a float")
NEGATIVE = Error("ERR LIMIT can't be negative")


@pytest.fixture(params=[12, 300])
def sources(request, r):
    """{k}1 to {k}3 are sorted sets, {k}s is a set, {k}i one of integers: what is in them, by key."""
    rng, size = random.Random(request.param), request.param
    found = {}
    for key in ("{k}1", "{k}2", "{k}3"):
        found[key] = {b"m%d" % n if n % 3 else b"%d" % n: float(rng.randrange(-50, 50))
                      for n in rng.sample(range(size * 2), size)}
        r("ZADD", key, *(word for name, score in found[key].items() for word in (score, name)))
    found["{k}s"] = {b"m%d" % n: 1.0 for n in range(0, size, 2)}
    found["{k}i"] = {b"%d" % n: 1.0 for n in range(0, size, 2)}
    for key in ("{k}s", "{k}i"):
        r("SADD", key, *found[key])
    found["{k}none"] = {}
    return found


def ordered(scores):
    return [word for name, score in sorted(scores.items(), key=lambda item: (item[1], item[0]))
            for word in (name, b"%d" % score)]


def unsigned(reply):
    """Whether a zero has a sign depends on the form that a result takes."""
    return [b"0" if word == b"-0" else word for word in reply]


COMBINED = [["{k}1", "{k}2"], ["{k}1"], ["{k}2", "{k}s"], ["{k}i", "{k}3", "{k}1"], ["{k}1", "{k}1"], ["{k}s", "{k}i"],
            ["{k}3", "{k}none"], ["{k}none", "{k}3"], ["{k}none"], ["{k}1", "{k}2", "{k}3", "{k}s"], ["{k}s"]]


@pytest.mark.parametrize("keys", COMBINED, ids=" ".join)
@pytest.mark.parametrize("aggregate, weights", [
    ("SUM", None), ("MIN", [2, -3, 1, 4]), ("MAX", None), ("SUM", [0, -1, 5, 2])])
def test_union_and_intersection(r, sources, keys, aggregate, weights):
    combine = {"SUM": lambda a, b: a + b, "MIN": min, "MAX": max}[aggregate]
    words = [len(keys), *keys]
    if weights:
        words += ["WEIGHTS", *weights[:len(keys)]]
    words += ["AGGREGATE", aggregate] if aggregate != "SUM" or weights else []
    union, inter = {}, None
    for key, weight in zip(keys, weights or [1] * 4):
        one = {name: score * weight + 0.0 for name, score in sources[key].items()}
        for name, score in one.items():
            union[name] = combine(union[name], score) if name in union else score
        inter = one if inter is None else {
            name: combine(inter[name], score) for name, score in one.items() if name in inter}
    for name, wanted in (("ZUNION", union), ("ZINTER", inter)):
        found = unsigned(r(name, *words, "WITHSCORES"))
        assert found == ordered(wanted) and r(name, *words) == found[::2]
        assert r(f"{name}STORE", "{k}d", *words) == len(wanted)
        assert unsigned(r("ZRANGE {k}d 0 -1 WITHSCORES")) == found
        if wanted:
            assert r("OBJECT ENCODING {k}d") == (b"listpack" if len(wanted) <= 128 else b"skiplist")
    assert r("ZINTERCARD", *words[:len(keys) + 1]) == len(inter)
    assert r("ZINTERCARD", *words[:len(keys) + 1], "LIMIT", 3) == min(3, len(inter))


@pytest.mark.parametrize("keys", COMBINED, ids=" ".join)
def test_difference(r, sources, keys):
    wanted = {name: score for name, score in sources[keys[0]].items()
              if not any(name in sources[key] for key in keys[1:])}
    assert r("ZDIFF", len(keys), *keys, "WITHSCORES") == ordered(wanted)
    assert r("ZDIFF", len(keys), *keys) == ordered(wanted)[::2]
    assert r("ZDIFFSTORE", "{k}d", len(keys), *keys) == len(wanted)
    assert r("ZRANGE {k}d 0 -1 WITHSCORES") == ordered(wanted) and r("EXISTS {k}d") == bool(wanted)


def test_destinations(r):
    r("ZADD {k}1 1 a 2 b")
    r("ZADD {k}2 5 b 6 c")
    r("SET {k}d string EX 1000")
    assert r("ZUNIONSTORE {k}d 2 {k}1 {k}2") == 3 and r("TTL {k}d") == -1
    assert r("ZRANGE {k}d 0 -1 WITHSCORES") == [b"a", b"1", b"c", b"6", b"b", b"7"]
    assert r("ZINTERSTORE {k}1 2 {k}1 {k}2 AGGREGATE MAX") == 1 and r("ZRANGE {k}1 0 -1 WITHSCORES") == [b"b", b"5"]
    assert r("ZDIFFSTORE {k}2 1 {k}none") == 0 and r("EXISTS {k}2") == 0
    assert r("ZINTERSTORE {k}none 1 {k}none") == 0
    r("ZADD", "{k}long", 1, "x" * 65)
    assert r("ZUNIONSTORE {k}d 1 {k}long") == 1 and r("OBJECT ENCODING {k}d") == b"skiplist"


def test_infinities(r):
    r("ZADD {k}1 inf a -inf b inf c")
    r("ZADD {k}2 -inf a inf b inf c")
    added = [b"a", b"0", b"b", b"0", b"c", b"inf"]
    assert r("ZUNION 2 {k}1 {k}2 WITHSCORES") == added == r("ZINTER 2 {k}1 {k}2 WITHSCORES")
    assert r("ZUNION 1 {k}1 WEIGHTS 0 WITHSCORES") == [b"a", b"0", b"b", b"0", b"c", b"0"]
    assert r("ZUNION 1 {k}1 WEIGHTS -inf WITHSCORES") == [b"a", b"-inf", b"c", b"-inf", b"b", b"inf"]


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_the_forms_of_resp3(r):
    r("ZADD {k}1 1 a 2.5 b")
    r3 = r.conn(3)
    pairs = [[b"a", Double("1")], [b"b", Double("2.5")]]
    for name in ("ZUNION", "ZINTER", "ZDIFF"):
        assert r3(name, 1, "{k}1", "WITHSCORES") == pairs and r3(name, 1, "{k}1") == [b"a", b"b"]
        assert r3(name, 1, "{k}none", "WITHSCORES") == []


@pytest.mark.parametrize("line, answer", [
    ("ZUNION 1 {k}1 WEIGHTS", SYNTAX), ("ZUNION 1 {k}1 WEIGHTS x", NO_WEIGHT), ("ZUNION 1 {k}1 WEIGHTS nan", NO_WEIGHT),
    ("ZUNION 2 {k}1 {k}2 WEIGHTS 1", SYNTAX), ("ZUNION 1 {k}1 WEIGHTS 1 2", SYNTAX),
    ("ZUNION 1 {k}1 AGGREGATE", SYNTAX),
    ("ZUNION 1 {k}1 AGGREGATE AVG", SYNTAX), ("ZUNION 1 {k}1 LIMIT 1", SYNTAX), ("ZDIFF 1 {k}1 WEIGHTS 1", SYNTAX),
    ("ZDIFF 1 {k}1 AGGREGATE MIN", SYNTAX), ("ZINTERCARD 1 {k}1 LIMIT -1", NEGATIVE),
    ("ZINTERCARD 1 {k}1 LIMIT x", NEGATIVE),
    ("ZINTERCARD 1 {k}1 LIMIT", SYNTAX), ("ZINTERCARD 1 {k}1 WITHSCORES", SYNTAX),
    ("ZUNIONSTORE {k}1 1 {k}1 WITHSCORES", SYNTAX),
    ("ZDIFFSTORE {k}1 1 {k}1 WITHSCORES", SYNTAX), ("ZINTERSTORE {k}1 1 {k}2 WEIGHTS 1 AGGREGATE FOO", SYNTAX)])
def test_bad_words(r, line, answer):
    r("ZADD {k}1 1 a")
    assert r(line) == answer and r("ZRANGE {k}1 0 -1 WITHSCORES") == [b"a", b"1"]


@pytest.mark.parametrize(
    "name", ["ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"])
def test_numbers_of_keys(r, name):
    if r.name in ("proxy", "cluster"):
        pytest.skip("which keys the command has is not clear there")
    words = [name, "k"] if name.endswith("STORE") else [name]
    assert r(*words, 0, "a") == Error(f"ERR at least 1 input key is needed for '{name.lower()}' command")
    assert r(*words, -5, "a") == Error(f"ERR at least 1 input key is needed for '{name.lower()}' command")
    assert r(*words, "x", "a") == NOT_INT and r(*words, 3, "a", "b") == SYNTAX and r(*words, 2**63 - 1, "a") == SYNTAX
    assert r(*words, 1) == arity(name.lower())


@pytest.mark.parametrize("line", [
    "ZUNION 2 {k}1 k", "ZINTER 2 {k}none k", "ZDIFF 2 {k}none k", "ZINTERCARD 1 k", "ZUNIONSTORE {k}d 2 {k}1 k",
    "ZINTERSTORE {k}d 2 {k}1 k", "ZDIFFSTORE {k}d 2 {k}1 k", "ZUNION 1 k WEIGHTS x"])
def test_another_type(r, line):
    r("SET k v")
    r("ZADD {k}1 1 a")
    r("SET {k}d old")
    assert r(line) == WRONGTYPE and r("GET k") == b"v" and r("GET {k}d") == b"old"
