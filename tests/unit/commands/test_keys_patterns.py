"""KEYS and SCAN MATCH look into one slot where the pattern names it: they must find what a look at every key finds."""
import random

import pytest

from shardd.structures.glob import match
from unit.inproc import Engine

LETTERS = ["a", "b", "{", "}", "{", "}", "*", "?", "[", "]", "\\"]


def scan(engine: Engine, *options: object) -> list[bytes]:
    found, cursor = [], b"0"
    while True:
        cursor, keys = engine("SCAN", cursor, *options)
        found += keys
        if cursor == b"0":
            return sorted(found)


@pytest.mark.parametrize("seed", range(3))
def test_every_match_is_found(seed):
    rng = random.Random(seed)
    engine = Engine()

    def text(longest: int) -> str:
        return "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, longest)))

    names = [text(6).encode() for _ in range(300)]
    for name in names:
        engine("SET", name, "v")
    patterns = [text(7) for _ in range(150)] + [name.decode() for name in names[:50]]
    patterns += [f"{{{tag}}}{tail}" for tag in ("", "a", "b", "ab", "a*", "{") for tail in ("*", "?", "b*", "")]
    for pattern in patterns:
        expected = sorted(name for name in set(names) if match(pattern.encode(), name))
        assert sorted(engine("KEYS", pattern)) == expected, pattern
        assert scan(engine, "MATCH", pattern, "COUNT", rng.choice([1, 10, 1000])) == expected, pattern


def test_a_pattern_may_change_between_calls():
    """Whatever slot a cursor is in, a pattern of one slot ends, before or behind it."""
    engine = Engine()
    for n in range(200):
        engine("SET", f"{{{n}}}", n)
    for n in range(0, 16384, 37):
        cursor, keys = engine("SCAN", n, "MATCH", "{77}*", "COUNT", 1000)
        assert cursor == b"0"
        assert keys in ([], [b"{77}"])


@pytest.mark.parametrize("cursor, taken", [
    ("", True), ("+5", True), ("-0", True), ("007", True), ("-1", True), ("5\0x", True), ("18446744073709551615", True),
    ("-18446744073709551615", True), ("-", False), ("+", False), ("--5", False), ("0x5", False), ("\v5", False),
    ("18446744073709551616", False), ("-18446744073709551616", False)])
def test_cursors_are_read_as_by_strtoul(cursor, taken):
    engine = Engine()
    assert isinstance(engine("SCAN", cursor), list) == taken
