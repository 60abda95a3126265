"""The ordered index against a plain model: a dict of scores, sorted anew for every look."""
import math
import random

import pytest
from hypothesis import given, settings, strategies as st

from shardd.structures import alloc
from shardd.structures.ordered import Probe

LEAF = 63
scores = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([0.0, -0.0, math.inf, -math.inf, 1e300, 5e-324]),
                   st.floats(allow_nan=False))
names = st.integers(0, 400).map(lambda n: b"m%d" % n)
steps = st.lists(st.one_of(
    st.tuples(st.just("put"), names, scores), st.tuples(st.just("put"), names, scores),
    st.tuples(st.just("fill"), st.integers(0, 300), st.integers(-2, 2)), st.tuples(st.just("remove"), names, st.none()),
    st.tuples(st.just("range"), st.integers(0, 300), st.integers(0, 200))), max_size=60)


@pytest.fixture
def probe():
    probe = Probe()
    yield probe
    alloc.set_limit(0)
    if probe.address:
        probe.close()


def ordered(model):
    return sorted(model.items(), key=lambda item: (item[1], item[0]))


def agree(probe, model):
    """Everything that can be asked."""
    probe.check()
    items = ordered(model)
    assert probe.items() == items
    assert probe.items(len(items) - 1, backwards=True) == items[::-1]
    for rank, (name, score) in enumerate(items[::7]):
        assert probe.rank(name) == rank * 7 and probe.score(name) == score
    for edge in {score for _, score in items[::11]} | {0.0, math.inf, -math.inf}:
        assert probe.below(edge) == sum(score < edge for _, score in items)
        assert probe.below(edge, True) == sum(score <= edge for _, score in items)
    assert probe.rank(b"nobody") is None and probe.score(b"nobody") is None


@settings(max_examples=150, deadline=None)
@given(steps)
def test_it_is_a_sorted_dict(commands):
    before = alloc.used_memory()
    probe, model = Probe(), {}
    for what, first, second in commands:
        if what == "put":
            assert probe.put(first, second) == (first not in model)
            if model.get(first) != second:
                model[first] = second
        elif what == "fill":
            for n in range(first, first + 120):
                probe.put(b"m%d" % n, float(n * second))
                if model.get(b"m%d" % n) != n * second:
                    model[b"m%d" % n] = float(n * second)
        elif what == "remove":
            assert probe.remove(first) == (model.pop(first, None) is not None)
        else:
            probe.remove_range(first, second)
            for name, _ in ordered(model)[first:first + second]:
                del model[name]
    agree(probe, model)
    assert alloc.used_memory() - before == probe.bytes()
    other = probe.copy()
    probe.close()
    agree(other, model)
    other.close(7)
    assert alloc.used_memory() == before


@pytest.mark.parametrize("order", ["up", "down", "random", "inwards", "ties"])
def test_large_ones(probe, order):
    """Tens of thousands come, change and go, in orders that split and join nodes in every way."""
    count = 20_000
    places = list(range(count))
    rng = random.Random(7)
    if order == "random":
        rng.shuffle(places)
    elif order == "inwards":
        places = [n // 2 if n % 2 else count - n // 2 for n in range(count)]
    model = {}
    for n in places:
        score = {"down": -float(n), "ties": 1.0}.get(order, float(n))
        probe.put(b"member:%d" % n, score)
        model[b"member:%d" % n] = score
    probe.check()
    assert probe.items() == ordered(model) and probe.depth() == 2
    names = list(model)
    rng.shuffle(names)
    for name in names[:5000]:
        model[name] = probe.score(name) + rng.choice([0.5, 1.0, -3.0, 1e6])
        probe.put(name, model[name])
    agree(probe, model)
    for name in names[2500:15_000]:
        assert probe.remove(name)
        del model[name]
    agree(probe, model)
    probe.remove_range(100, 7000)
    for name, _ in ordered(model)[100:7100]:
        del model[name]
    agree(probe, model)
    for name in list(model):
        assert probe.remove(name)
    probe.check()
    assert probe.items() == [] and probe.depth() == 0


def test_members_of_one_score_are_ordered_by_their_bytes(probe):
    words = [b"", b"\x00", b"a", b"a\x00", b"aa", b"b", b"\xff", b"x" * 300] + [b"w%d" % n for n in range(500)]
    for word in words:
        probe.put(word, 2.0)
    assert [name for name, _ in probe.items()] == sorted(words)
    for word in words + [b"a1", b"w", b"z"]:
        assert probe.before(word) == sum(other < word for other in words)
        assert probe.before(word, True) == sum(other <= word for other in words)


def test_what_comes_in_order_fills_its_leaves(probe):
    """So an element takes little more than its pair, its place in the table and sixteen bytes."""
    base = probe.bytes()
    for n in range(9009):
        probe.put(b"%06d" % n, float(n))
    # a pair of 18 bytes takes 24; then there are 2,048 buckets, some of them chained
    assert probe.bytes() - base < 9009 * (24 + 17.2) + 2400 * 64


@pytest.mark.parametrize("filled", [0, 1, LEAF - 1, LEAF, 2 * LEAF, LEAF * LEAF, 9000])
def test_without_memory_nothing_changes(probe, filled):
    for n in range(filled):
        probe.put(b"%05d" % n, float(n))
    for room in range(0, 9000, 8):
        alloc.set_limit(alloc.used_memory() + room)
        try:
            probe.put(b"new", filled // 2 - 0.5)
        except MemoryError:
            alloc.set_limit(0)
            probe.check()
            assert probe.score(b"new") is None and len(probe.items()) == filled
            continue
        alloc.set_limit(0)
        break
    probe.check()
    assert probe.rank(b"new") == filled // 2
    for room in range(0, 9000, 8):
        alloc.set_limit(alloc.used_memory() + room)
        try:
            probe.put(b"new", -5.0)
        except MemoryError:
            alloc.set_limit(0)
            probe.check()
            assert probe.rank(b"new") == filled // 2
            continue
        break
    alloc.set_limit(alloc.used_memory())        # what shrinks needs no memory
    assert probe.rank(b"new") == 0
    for n in range(filled):
        assert probe.remove(b"%05d" % n)
    alloc.set_limit(0)
    probe.check()
    assert probe.items() == [(b"new", -5.0)]


def test_freeing_is_done_in_steps(probe):
    for n in range(30_000):
        probe.put(b"%06d" % n, float(n))
    assert probe.close(256) > 100
