"""SORT, where no client sees it: nodes that are compressed, names longer than a batch's room, texts of a deep order."""
from random import Random

import pytest
from unit.inproc import Caller, Engine


@pytest.fixture
def engine():
    return Engine()


def test_elements_of_compressed_nodes(engine):
    caller = Caller(engine)
    caller("CONFIG", "SET", "list-compress-depth", "1", "list-max-listpack-size", "-1")
    random = Random(1)
    texts = [f"{random.randrange(500):03d}" + "pad" * 30 for _ in range(2000)] + ["z" * 9000, "y" * 9000, "x" * 9000]
    for text in texts:
        caller("RPUSH", "k", text)
    ordered = sorted(text.encode() for text in texts)
    assert caller("SORT", "k", "ALPHA") == ordered and caller("SORT", "k", "ALPHA", "DESC") == ordered[::-1]
    assert caller("SORT", "k", "BY", "nosort") == [text.encode() for text in texts]
    assert caller("SORT", "k", "ALPHA", "STORE", "k") == len(texts) and caller("LRANGE", "k", 0, -1) == ordered
    caller("DEL", "n")
    numbers = [random.randrange(10**6) for _ in range(5000)]
    caller("RPUSH", "n", *numbers)
    assert caller("SORT", "n") == [str(n).encode() for n in sorted(numbers)]


def test_names_longer_than_a_batch(engine):
    """Elements of which a few fill the room for the names of a batch, among short ones."""
    caller = Caller(engine)
    texts = [chr(97 + n) * (700_000 if n % 3 else 3) for n in range(12)]
    for n, text in enumerate(texts):
        caller("RPUSH", "k", text)
        caller("SET", "w" + text, 100 - n)
        caller("HSET", text, "f", n)
    assert caller("SORT", "k", "BY", "w*") == [text.encode() for text in reversed(texts)]
    assert caller("SORT", "k", "BY", "nosort", "GET", "*->f", "GET", "w*") == [
        word for n in range(12) for word in (b"%d" % n, b"%d" % (100 - n))]


def test_texts_that_differ_late(engine):
    """More levels of eight bytes than the sort goes down: it merges then."""
    caller = Caller(engine)
    texts = ["x" * n for n in range(600)] + ["x" * 2000 + str(n) for n in range(60)]
    Random(2).shuffle(texts)
    caller("RPUSH", "k", *texts, *texts)
    ordered = sorted(text.encode() for text in texts + texts)
    assert caller("SORT", "k", "ALPHA") == ordered and caller("SORT", "k", "ALPHA", "DESC") == ordered[::-1]
    assert caller("SORT", "k", "ALPHA", "LIMIT", 500, 100) == ordered[500:600]


def test_keys_that_are_due(engine):
    caller = Caller(engine)
    caller("RPUSH", "k", *range(200))
    for n in range(200):
        caller("SET", f"w{n}", -n, *(("PXAT", 1) if n % 2 else ()))
    due = [n for n in range(200) if n % 2]
    assert caller("SORT", "k", "BY", "w*", "GET", "#", "GET", "w*") == [
        word for n in sorted(range(200), key=lambda n: (-n if n not in due else 0, str(n)))
        for word in (b"%d" % n, None if n in due else b"%d" % -n)]
