"""LCS against the plain table of lengths and Redis's walk back through it: words of 64 places, and their carries."""
import random

import pytest

from harness.resp import Error
from shardd.structures import alloc
from unit.inproc import Engine


@pytest.fixture(scope="module")
def engine():
    return Engine()


def model(a: bytes, b: bytes) -> tuple[bytes, list[list]]:
    """The sequence, and its runs [[a start, a end], [b start, b end]] from the last to the first."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    i, j, pairs = len(a), len(b), []
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    runs: list[list] = []
    for i, j in pairs:
        if runs and runs[-1][0][0] == i + 1 and runs[-1][1][0] == j + 1:
            runs[-1][0][0], runs[-1][1][0] = i, j
        else:
            runs.append([[i, i], [j, j]])
    return bytes(a[i] for i, _ in reversed(pairs)), runs


def agree(engine: Engine, a: bytes, b: bytes) -> None:
    engine("MSET", "a", a, "b", b)
    sequence, runs = model(a, b)
    assert engine("LCS a b") == sequence
    assert engine("LCS a b LEN") == len(sequence)
    assert engine("LCS a b IDX") == [b"matches", runs, b"len", len(sequence)]
    for shortest in (-1, 0, 2, 3):
        long_enough = [[*run, run[0][1] - run[0][0] + 1] for run in runs if run[0][1] - run[0][0] + 1 >= shortest]
        assert engine("LCS", "a", "b", "WITHMATCHLEN", "IDX", "MINMATCHLEN", shortest) == [
            b"matches", long_enough, b"len", len(sequence)]


@pytest.mark.parametrize("a_len", [0, 1, 3, 63, 64, 65, 127, 128, 129, 200])
@pytest.mark.parametrize("b_len", [0, 1, 62, 63, 64, 65, 127, 128, 129, 193])
def test_every_number_of_words(engine, a_len, b_len):
    rng = random.Random(a_len * 1000 + b_len)
    for letters in (b"a", b"ab", b"abcd", bytes(range(256))):
        agree(engine, bytes(rng.choices(letters, k=a_len)), bytes(rng.choices(letters, k=b_len)))


@pytest.mark.parametrize("n", [63, 64, 65, 128, 300])
def test_carries_through_all_words(engine, n):
    """Runs of equal bytes make an addition ripple from the first word to the last."""
    for a, b in ((b"x" * n, b"x" * n), (b"x" * n, b"y" * n), (b"x" * n + b"y", b"y" + b"x" * n), (b"xy" * n, b"x" * n),
                 (b"x", b"y" * n + b"x"), (b"x" * (n - 1) + b"z", b"z" + b"x" * n)):
        agree(engine, a, b)


def test_numbers_and_absent_keys_are_strings(engine):
    engine("FLUSHALL")
    engine("MSET", "n", "1234567", "m", "3456")
    assert engine("LCS n m") == b"3456"
    assert engine("LCS n none") == b"" and engine("LCS none n LEN") == 0
    assert engine("LCS n n IDX") == [b"matches", [[[0, 6], [0, 6]]], b"len", 7]


def test_strings_too_long_for_redis_s_table(engine):
    """Both lengths plus one, times each other, times four bytes: at most proto-max-bulk-len."""
    over = Error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    engine.server._set_bulk_max(1 << 20)
    try:
        engine("MSET", "a", "x" * 511, "b", "x" * 511)
        assert engine("LCS a b LEN") == 511
        engine("APPEND a y")
        assert engine("LCS a b LEN") == over and engine("LCS b a") == over and engine("LCS a b IDX") == over
        engine("MSET", "a", "", "b", "x" * ((1 << 18) - 1))
        assert engine("LCS a b LEN") == 0 == engine("LCS b a LEN")
        engine("APPEND b x")
        assert engine("LCS a b LEN") == over
    finally:
        engine.server._set_bulk_max(512 << 20)


def test_without_memory(engine):
    engine("MSET", "a", "x" * 1000, "b", "xy" * 1000)
    used = alloc.used_memory()
    none = Error("ERR Insufficient memory, failed allocating transient memory for LCS")
    try:
        alloc.set_limit(used + 1000)
        assert engine("LCS a b") == none and engine("LCS a b IDX") == none
        assert engine("LCS a b LEN") == 1000, "the length alone takes one row"
        assert engine("GET a") == b"x" * 1000
    finally:
        alloc.set_limit(0)
    assert engine("LCS a b") == b"x" * 1000
    assert alloc.used_memory() == used


def test_options_are_read_after_the_keys(engine):
    engine("SET a text")
    for tail, error in (("LEN IDX", "ERR If you want both the length and indexes, please just use IDX."),
                        ("BOGUS", "ERR syntax error"), ("MINMATCHLEN", "ERR syntax error"),
                        ("MINMATCHLEN x LEN IDX", "ERR value is not an integer or out of range")):
        assert engine(f"LCS a none {tail}") == Error(error)
