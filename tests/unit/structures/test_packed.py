"""The packed block against a list of bytes, and its listpack against structures/listpack."""
import pytest
from hypothesis import given, settings, strategies as st

from shardd.structures import alloc, listpack
from shardd.structures.packed import Probe

texts = st.one_of(st.binary(max_size=80), st.integers(-(1 << 64), 1 << 64).map(lambda n: b"%d" % n),
                  st.sampled_from([b"x" * n for n in (62, 63, 64, 126, 127, 128, 4095, 4096, 9000)]),
                  st.sampled_from([b"-0", b"+1", b"01", b" 1", b"", b":", b"/"]))
BYTES_MAX = 60_000


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.sampled_from("hhttirdDDsT"), st.integers(0, 60), texts), max_size=80))
def test_it_is_a_list(roomy, steps):
    before = alloc.used_memory()
    probe, model = Probe(roomy), []
    for what, place, text in steps:
        index = place % len(model) if model else 0
        fits = sum(map(len, model)) + len(text) < BYTES_MAX
        if what in "ht" and fits:
            probe.push(what == "h", text)
            model.insert(0 if what == "h" else len(model), text)
        elif what == "i" and fits:
            probe.insert(index, text)
            model.insert(index, text)
        elif what == "r" and model and fits:
            probe.replace(index, text)
            model[index] = text
        elif what == "d" and model:
            count = min(place % 4 + 1, len(model) - index)
            probe.delete(index, count)
            del model[index:index + count]
        elif what == "D" and model:
            probe.drop(bool(place % 2))
            model.pop(0 if place % 2 else -1)
        elif what == "s" and index:
            assert probe.split_and_join(index) == (index, len(model) - index)
        elif what == "T":
            probe.trim()
        assert probe.valid() and probe.items() == model
        assert probe.fields()[0] <= 65_528
    for index in range(len(model)):
        assert probe.seek(index) == model[index]
    assert listpack.valid(probe.raw())
    probe.close()
    assert alloc.used_memory() == before


def test_pushing_at_either_end_moves_little():
    """Where the elements begin changes by what was added, but for the few times that there is no room."""
    for front in (True, False):
        probe, moved = Probe(True), 0
        for _ in range(200):
            _, start, size, _ = probe.fields()
            probe.push(front, b"x" * 32)
            moved += probe.fields()[1] != (start - 34 if front else start)
        assert moved <= 8, "it doubles"
        probe.close()


def test_a_queue_stays_small():
    """What comes in at one end and goes out at the other needs no more than what is in it at once."""
    probe = Probe()
    for n in range(2000):
        probe.push(False, b"%d" % n * 5)
        if n >= 10:
            probe.drop(True)
    assert probe.fields()[0] < 512 and len(probe.items()) == 10
    probe.close()


def test_room_is_given_back():
    probe = Probe()
    for _ in range(1000):
        probe.push(True, b"x" * 32)
    for _ in range(999):
        probe.drop(False)
    assert probe.fields()[0] <= 128 and probe.items() == [b"x" * 32]
    probe.close()


def test_it_refuses_what_is_too_large():
    probe = Probe()
    with pytest.raises(MemoryError):
        probe.push(True, b"x" * 65_536)
    for _ in range(6):
        probe.push(True, b"x" * 10_000)
    for change in (lambda: probe.push(False, b"x" * 10_000), lambda: probe.insert(3, b"x" * 10_000)):
        with pytest.raises(MemoryError):
            change()
    assert probe.valid() and probe.items() == [b"x" * 10_000] * 6
    probe.close()


def test_without_memory():
    probe = Probe()
    probe.push(False, b"a")
    try:
        alloc.set_limit(1)
        for change in (lambda: probe.push(False, b"x" * 100), lambda: probe.insert(0, b"x" * 100),
                       lambda: probe.replace(0, b"x" * 100)):
            with pytest.raises(MemoryError):
                change()
    finally:
        alloc.set_limit(0)
    assert probe.valid() and probe.items() == [b"a"]
    probe.close()
