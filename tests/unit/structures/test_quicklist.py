"""Lists of all forms of nodes against a Python list, through the commands; each step is followed by check()."""
import gc
import random

import pytest
from hypothesis import given, settings, strategies as st

from shardd.structures import alloc
from unit.inproc import Engine

SIZES = [-2, -1, -5, 0, 1, 2, 3, 10, 100]
TEXTS = [b"", b"0", b"17", b"-5", b"text", b"abcabcabc" * 12, b"w" * 64, b"x" * 4095, b"y" * 8180,
         b"z" * 9000, b"p" * 66_000]
END = [b"RIGHT", b"LEFT"]


@pytest.fixture(scope="module")
def engine():
    gc.collect()
    engine = Engine("--enable-debug-command", "yes")
    yield engine
    engine("DEBUG", "QUICKLIST-PACKED-THRESHOLD", 0)


def freed(engine):
    while engine.server.keyspace.free_step(1_000_000):
        pass


def clamp(length, start, end):
    start = max(0, start + length) if start < 0 else start
    end = end + length if end < 0 else end
    return start, max(0, min(end, length - 1) + 1)


class Twin:
    """The list l of an engine, and what it should be."""

    def __init__(self, engine, rng, large):
        self.engine, self.rng, self.model, self.texts = engine, rng, [], TEXTS[:large]

    def text(self):
        kind = self.rng.randrange(4)
        if kind == 0:
            return b"%d" % self.rng.randint(-20, 20)
        return self.rng.choice(self.texts[:6] if kind < 3 else self.texts)

    def some(self):
        return self.rng.choice(self.model) if self.model and self.rng.random() < 0.9 else b"nothing"

    def push(self):
        texts = [self.text() for _ in range(self.rng.choice([1, 1, 2, 5, 60]))]
        front = self.rng.random() < 0.5
        self.engine("LPUSH" if front else "RPUSH", "l", *texts)
        self.model[0 if front else len(self.model):0 if front else len(self.model)] = texts[::-1] if front else texts

    def pop(self):
        front, count = self.rng.random() < 0.5, self.rng.choice([1, 1, 2, 30])
        want = self.model[:count] if front else self.model[::-1][:count]
        got = self.engine("LPOP" if front else "RPOP", "l", count)
        assert got == want or (not got and not want)
        self.model = self.model[count:] if front else self.model[:max(0, len(self.model) - count)]

    def replace(self):
        if self.model:
            index, text = self.rng.randrange(len(self.model)), self.text()
            self.engine("LSET", "l", self.rng.choice([index, index - len(self.model)]), text)
            self.model[index] = text

    def insert(self):
        pivot, text, after = self.some(), self.text(), self.rng.random() < 0.5
        self.engine("LINSERT", "l", "AFTER" if after else "BEFORE", pivot, text)
        if pivot in self.model:
            self.model.insert(self.model.index(pivot) + after, text)

    def remove(self):
        text, count = self.some(), self.rng.choice([0, 1, -1, 3, -3])
        places = [index for index, one in enumerate(self.model) if one == text]
        places = places[:count] if count > 0 else places[count:] if count < 0 else places
        assert self.engine("LREM", "l", count, text) == len(places)
        for index in reversed(places):
            del self.model[index]

    def trim(self):
        start, end = self.rng.randint(0, 20), self.rng.randint(-20, -1)
        self.engine("LTRIM", "l", start, end)
        start, end = clamp(len(self.model), start, end)
        self.model = self.model[start:end]

    def rotate(self):
        if self.model:
            source, target = self.rng.randrange(2), self.rng.randrange(2)
            text = self.model.pop(0 if source else -1)
            self.model.insert(0 if target else len(self.model), text)
            assert self.engine("LMOVE", "l", "l", END[source], END[target]) == text

    def look(self):
        length = len(self.model)
        start, end = self.rng.randint(-length - 2, length + 2), self.rng.randint(-length - 2, length + 2)
        first, last = clamp(length, start, end)
        assert self.engine("LRANGE", "l", start, end) == self.model[first:max(first, last)]
        text = self.some()
        places = [index for index, one in enumerate(self.model) if one == text]
        assert self.engine("LPOS", "l", text, "COUNT", 0) == places
        assert self.engine("LPOS", "l", text, "RANK", -1, "COUNT", 0) == places[::-1]


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(SIZES), st.sampled_from([0, 0, 1, 2]),
       st.sampled_from([0, 0, 5, 500]), st.integers(6, len(TEXTS)))
def test_it_is_a_list(engine, rng, size, depth, threshold, large):
    engine("CONFIG", "SET", "list-max-listpack-size", size, "list-compress-depth", depth)
    engine("DEBUG", "QUICKLIST-PACKED-THRESHOLD", threshold)
    engine("DEL", "l", "copy")
    twin = Twin(engine, rng, large)
    steps = [twin.push, twin.push, twin.pop, twin.replace, twin.insert, twin.insert, twin.remove, twin.trim,
             twin.rotate, twin.look]
    for _ in range(40):
        rng.choice(steps)()
        assert engine("LLEN", "l") == len(twin.model)
        freed(engine)
        assert engine.check() == alloc.used_memory()
    assert engine("LRANGE", "l", 0, -1) == twin.model
    if twin.model:
        assert engine("COPY", "l", "copy") == 1 and engine("LRANGE", "copy", 0, -1) == twin.model
        assert engine("DEBUG", "DIGEST-VALUE", "l") == engine("DEBUG", "DIGEST-VALUE", "copy")


@pytest.mark.parametrize("size", [1, 3])
def test_many_nodes(engine, size):
    """A directory of hundreds of segments."""
    rng = random.Random(size)
    engine("CONFIG", "SET", "list-max-listpack-size", size, "list-compress-depth", 0)
    engine("DEL", "l")
    model = [b"%d" % n for n in range(20_000)]
    engine("RPUSH", "l", *model[10_000:]), engine("LPUSH", "l", *model[9_999::-1])
    for n in range(300):
        index = rng.randrange(len(model))
        assert engine("LINDEX", "l", index) == model[index] == engine("LINDEX", "l", index - len(model))
        engine("LINSERT", "l", "BEFORE", model[index], b"new%d" % n)
        model.insert(index, b"new%d" % n)
    engine.check()
    engine("LTRIM", "l", 5000, -7000)
    model = model[5000:-6999]
    freed(engine)
    assert engine("LRANGE", "l", 0, -1) == model and engine.check() == alloc.used_memory()
