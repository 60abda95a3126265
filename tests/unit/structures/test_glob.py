"""Glob patterns against Redis's rules, written down as a recursion, and against the real server."""
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from shardd.structures.glob import match


def signed(byte: int) -> int:
    """A char of C."""
    return byte - 256 if byte > 127 else byte


def in_set(members: bytes, c: int, fold: bool) -> tuple[bool, int]:
    """Whether c is in the set that starts behind "[", and how many bytes the set takes, its bracket included."""
    at, negate, hit = 0, False, False
    low = (lambda b: b + 32 if 65 <= b <= 90 else b) if fold else (lambda b: b)
    if members[:1] == b"^":
        negate, at = True, 1
    while True:
        if at < len(members) - 1 and members[at] == ord("\\"):
            hit |= low(members[at + 1]) == low(c)
            at += 2
        elif at < len(members) and members[at] == ord("]"):
            return hit != negate, at + 1
        elif at >= len(members):
            return hit != negate, at
        elif len(members) - at >= 3 and members[at + 1] == ord("-"):
            first, last = sorted(signed(b) for b in (members[at], members[at + 2]))
            hit |= low(first) <= signed(low(c)) <= low(last)
            at += 3
        else:
            hit |= low(members[at]) == low(c)
            at += 1


def model(pattern: bytes, text: bytes, fold: bool) -> bool:
    """Redis's stringmatchlen: a text that is empty from the start matches the empty pattern alone."""
    low = (lambda b: b + 32 if 65 <= b <= 90 else b) if fold else (lambda b: b)

    def rest(pattern: bytes, text: bytes) -> bool:
        if not text:
            return not pattern.lstrip(b"*")
        if not pattern:
            return False
        head = pattern[0]
        if head == ord("*"):
            return any(rest(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
        if head == ord("?"):
            return rest(pattern[1:], text[1:])
        if head == ord("["):
            hit, size = in_set(pattern[1:], text[0], fold)
            return hit and rest(pattern[1 + size:], text[1:])
        if head == ord("\\") and len(pattern) >= 2:
            pattern = pattern[1:]
        return low(pattern[0]) == low(text[0]) and rest(pattern[1:], text[1:])

    return rest(pattern, text) if text else not pattern


PARTS = [b"*", b"**", b"?", b"[", b"]", b"[^", b"[a-c]", b"[c-a]", b"[^a-b]", b"-", b"\\", b"\\*", b"\\\\", b"a", b"b",
         b"c", b"A",
         b"Z", b"^", b"[]", b"[^]", b"[a\\]b]", b"[\\", b"\x00", b"\xff", b"[\x80-\xff]"]
patterns = st.lists(st.sampled_from(PARTS), max_size=7).map(b"".join)
texts = st.lists(st.sampled_from([b"a", b"b", b"c", b"A", b"B", b"Z", b"]", b"[", b"*", b"?", b"\\", b"-", b"^",
                                  b"\x00", b"\xff"]),
                 max_size=7).map(b"".join)


@settings(max_examples=1500, deadline=None)
@given(patterns, texts, st.booleans())
@example(b"*", b"", False)
@example(b"", b"", False)
@example(b"a*", b"a", False)
@example(b"[", b"[", False)
@example(b"[a", b"a", False)
@example(b"[a-", b"-", False)
@example(b"a\\", b"a\\", False)
@example(b"[^a", b"b", False)
@example(b"[A-Z]", b"q", True)
@example(b"[a-", b"a", True)
@example(b"[\xff-*", b"a", False)
@example(b"[a-\xff]", b"b", False)
@example(b"[a-\xff]", b"A", False)
@example(b"[\x80-\xff]", b"\xc3", False)
def test_as_redis_says(pattern, text, fold):
    assert match(pattern, text, fold) == model(pattern, text, fold)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(patterns=st.lists(patterns.filter(bool), min_size=5, max_size=20),
       keys=st.sets(texts.filter(bool), min_size=5, max_size=20))
def test_as_the_real_server_does(real, patterns, keys):
    real.must("FLUSHALL")
    real.must("MSET", *[word for key in keys for word in (key, "v")])
    for pattern in patterns:
        assert set(real("KEYS", pattern)) == {key for key in keys if match(pattern, key)}, pattern


@pytest.fixture(scope="module")
def real(fleet):
    with fleet.server("oracle").conn() as conn:
        yield conn


@pytest.mark.parametrize("pattern, text",
                         [(b"*a" * 40 + b"b", b"a" * 4000), (b"*?" * 200, b"x" * 100), (b"[*a" * 30, b"a" * 2000)])
def test_hostile_patterns_end(pattern, text):
    """Exponential in a naive matcher: that this returns at all is the test."""
    assert not match(pattern, text)
