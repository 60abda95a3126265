"""SCAN: what its cursor promises while the keyspace grows and shrinks, its options and errors.

The promise: a key that is there from the first call to the last is returned at least once, whatever comes and goes.
"""

import random

import pytest

from harness import Error
from harness.texts import CURSOR, NOT_INT, SYNTAX

pytestmark = pytest.mark.not_on("cluster",
                                reason="RedisCluster scans engine by engine; the proxy target covers the engines")


def scan(r, *options, between=None) -> list[bytes]:
    """All keys of a whole iteration, with duplicates; `between(n)` runs after each step."""
    found, cursor, steps = [], b"0", 0
    while True:
        cursor, keys = r.must("SCAN", cursor, *options)
        found += keys
        steps += 1
        assert steps < 100_000, "the iteration does not end"
        if cursor == b"0":
            return found
        if between:
            between(steps)


def fill(r, count: int, prefix: str = "key") -> set[bytes]:
    names = [f"{prefix}:{n}" for n in range(count)]
    for at in range(0, count, 500):
        r.must("MSET", *[w for name in names[at:at + 500] for w in (name, "v")])
    return {name.encode() for name in names}


def test_empty(r):
    assert scan(r) == []
    if r.name != "proxy":  # there a call may end at an engine's last key
        assert r("SCAN 0") == [b"0", []]


@pytest.mark.parametrize("count", [1, 7, 10, 100, 1000, 5000])
def test_every_key_once_while_nothing_changes(r, count):
    names = fill(r, count)
    for options in ((), ("COUNT", 1), ("COUNT", 1000), ("COUNT", 10**9)):
        if count > 1000 and options == ("COUNT", 1):
            continue
        found = scan(r, *options)
        assert set(found) == names
        assert len(found) == count


def test_growth_in_between(r):
    names = fill(r, 300)
    added = iter(range(10**6))

    def grow(_):
        r.must("MSET", *[w for _ in range(100) for w in (f"new:{next(added)}", "v")])

    limit = {"steps": 0}

    def grow_for_a_while(step):
        limit["steps"] = step
        if step <= 60:
            grow(step)

    found = scan(r, "COUNT", 5, between=grow_for_a_while)
    assert names <= set(found)


def test_shrinkage_in_between(r):
    keep = fill(r, 200, "keep")
    doomed = sorted(fill(r, 6000, "doomed"))

    def shrink(_):
        if doomed:
            r.must("DEL", *doomed[-300:])
            del doomed[-300:]

    found = scan(r, "COUNT", 20, between=shrink)
    assert keep <= set(found)


@pytest.mark.parametrize("seed", range(6))
def test_growth_and_shrinkage_at_random(r, seed):
    rng = random.Random(seed)
    keep = fill(r, 150, "keep")
    others = set(fill(r, rng.choice([0, 500, 3000]), "other"))
    number = iter(range(10**6, 10**7))

    def churn(step):
        if step > 80:
            return
        if rng.random() < 0.5 and others:
            gone = rng.sample(sorted(others), min(len(others), rng.randrange(1, 800)))
            r.must("DEL", *gone)
            others.difference_update(gone)
        else:
            new = [f"other:{next(number)}".encode() for _ in range(rng.randrange(1, 400))]
            r.must("MSET", *[w for name in new for w in (name, "v")])
            others.update(new)

    found = scan(r, "COUNT", rng.choice([1, 10, 60]), between=churn)
    assert keep <= set(found)


def test_one_slot_growing_and_shrinking(r):
    """All keys in one slot: the slot's own table resizes under the cursor."""
    keep = {f"{{slot}}keep:{n}".encode() for n in range(100)}
    for name in keep:
        r.must("SET", name, "v")

    def churn(step):
        if step % 7 == 3:
            r.must("DEL", *[f"{{slot}}x:{n}" for n in range(3000)])
        elif step < 60:
            r.must("MSET", *[w for n in range(200) for w in (f"{{slot}}x:{step * 50 + n}", "v")])

    found = scan(r, "COUNT", 10, between=churn)
    assert keep <= set(found)


def test_match(r):
    fill(r, 100, "a")
    b = fill(r, 50, "b")
    assert set(scan(r, "MATCH", "b:*")) == b
    assert set(scan(r, "MATCH", "b:1?", "COUNT", 5)) == {f"b:{n}".encode() for n in range(10, 20)}
    assert scan(r, "MATCH", "nothing") == []
    assert scan(r, "match", "b:7", "count", "3") == [b"b:7"]
    assert set(scan(r, "MATCH", "a:*", "MATCH", "b:*")) == b, "the last pattern counts"


def test_match_of_one_slot(r):
    for n in range(30):
        r.must("SET", f"{{tag}}{n}", "v")
    fill(r, 100)
    assert set(scan(r, "MATCH", "{tag}*")) == {f"{{tag}}{n}".encode() for n in range(30)}


def test_type(r):
    names = fill(r, 30)
    assert set(scan(r, "TYPE", "string")) == names
    assert set(scan(r, "TYPE", "STRING", "COUNT", 3)) == names
    assert scan(r, "TYPE", "list") == []
    assert scan(r, "TYPE", "zset") == []


def test_count(r):
    fill(r, 500)
    cursor, keys = r.must("SCAN 0 COUNT 100")
    assert cursor != b"0"
    assert 50 <= len(keys) <= 250
    for bad in (0, -1, -(2**63)):
        assert r("SCAN", 0, "COUNT", bad) == SYNTAX
    for bad in ("abc", "", "1.5", 2**63):
        assert r("SCAN", 0, "COUNT", bad) == NOT_INT


@pytest.mark.parametrize("cursor", ["abc", "1x", "-1x", "18446744073709551616", "-18446744073709551616", "9" * 30,
                                    "1.5", "+", "-", "+-1", "--1", "1-", "0x1", b" 1", b"1 ", b"\t1", b"\xff"])
def test_cursors_that_are_none(r, cursor):
    assert r("SCAN", cursor) == CURSOR


@pytest.mark.parametrize("cursor", [
    "18446744073709551615", "9223372036854775807", "123456789", "4242424242424242", "+1", "-1", "-0", "+0", b"",
    b"7\0x", b"\0", "0" * 30 + "7", "-18446744073709551615"])
def test_cursors_nobody_handed_out(r, cursor):
    """They may lead anywhere, but to an answer."""
    fill(r, 20)
    reply = r("SCAN", cursor)
    assert not isinstance(reply, Error) and len(reply) == 2
    assert reply[0].isdigit() and isinstance(reply[1], list)


@pytest.mark.parametrize("tail", ["BOGUS", "MATCH", "COUNT", "TYPE", "MATCH a COUNT", "10", "BOGUS x"])
def test_syntax(r, tail):
    assert r(f"SCAN 0 {tail}") == SYNTAX


def test_expired_keys_do_not_appear(r):
    names = fill(r, 20)
    for n in range(20):
        r.must("SET", f"gone:{n}", "v", "PXAT", 1)
    assert set(scan(r)) == names


def test_databases_are_scanned_apart(r):
    fill(r, 20, "zero")
    other = r.conn(db=2)
    other.must("SET two v")
    assert scan(other) == [b"two"]
    assert len(scan(r)) == 20
