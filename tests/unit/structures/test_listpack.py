"""The listpack against a list of bytes, and its bytes against those of a real Redis."""
import random

import pytest
from hypothesis import given, settings, strategies as st

from shardd.structures import alloc, listpack
from shardd.structures.listpack import Probe

BEFORE, AFTER, REPLACE = 0, 1, 2

NUMBERS = [edge + near for edge in (0, 127, -4096, 4095, -32768, 32767, -(1 << 23), (1 << 23) - 1, -(1 << 31),
                                    (1 << 31) - 1, -(1 << 63), (1 << 63) - 1) for near in (-1, 0, 1)]
LENGTHS = [0, 1, 62, 63, 64, 65, 125, 126, 127, 128, 4094, 4095, 4096, 16378, 16379, 16380, 16381, 16382, 16383, 70_000]
texts = st.one_of(st.binary(max_size=80), st.integers(-(1 << 64), 1 << 64).map(lambda n: b"%d" % n),
                  st.sampled_from([b"x" * n for n in LENGTHS]), st.sampled_from([b"%d" % n for n in NUMBERS]),
                  st.sampled_from([b"-0", b"+1", b"01", b" 1", b"1 ", b"0x1", b"1e3", b""]))


@pytest.fixture
def probe():
    probe = Probe()
    yield probe
    alloc.set_limit(0)
    probe.close()


def test_every_encoding_comes_back(probe):
    items = [b"%d" % n for n in NUMBERS] + [b"y" * n for n in LENGTHS]
    for item in items:
        probe.insert(len(items) + 1, BEFORE, item)
    assert probe.items() == items and probe.items(backwards=True) == items[::-1]
    assert probe.length() == len(items) and listpack.valid(probe.raw())


@pytest.mark.parametrize("item, body", [
    (b"", b"\x80\x01"), (b"a", b"\x81a\x02"), (b"0", b"\x00\x01"), (b"127", b"\x7f\x01"),
    (b"128", b"\xc0\x80\x02"), (b"-1", b"\xdf\xff\x02"), (b"4095", b"\xcf\xff\x02"), (b"-4096", b"\xd0\x00\x02"),
    (b"4096", b"\xf1\x00\x10\x03"), (b"-32768", b"\xf1\x00\x80\x03"), (b"32768", b"\xf2\x00\x80\x00\x04"),
    (b"-8388608", b"\xf2\x00\x00\x80\x04"), (b"8388608", b"\xf3\x00\x00\x80\x00\x05"),
    (b"2147483648", b"\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09"), (b"-0", b"\x82-0\x03"),
    (b"z" * 64, b"\xe0\x40" + b"z" * 64 + b"\x42"), (b"z" * 126, b"\xe0\x7e" + b"z" * 126 + b"\x01\x80"),
    (b"z" * 4096, b"\xf0\x00\x10\x00\x00" + b"z" * 4096 + b"\x20\x85")])
def test_the_bytes_are_those_of_the_specification(probe, item, body):
    probe.insert(1, BEFORE, item)
    raw = probe.raw()
    assert raw == (len(body) + 7).to_bytes(4, "little") + b"\x01\x00" + body + b"\xff"
    assert listpack.encoded_bytes(item) == len(body)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("badri"), st.integers(0, 60), texts), max_size=60))
def test_it_is_a_list(steps):
    before = alloc.used_memory()
    probe, model = Probe(), []
    for what, place, text in steps:
        index = place % len(model) if model else 0
        if what == "d" and model:
            count = place % 4 + 1
            del model[index:index + count]
            there = probe.delete(index, count)
            assert there == (model[index] if index < len(model) else None)
        elif what == "r" and model:
            model[index] = text
            assert probe.insert(index, REPLACE, text) == text
        elif what == "a" and model:
            model.insert(index + 1, text)
            assert probe.insert(index, AFTER, text) == text
        else:
            model.insert(index, text)
            assert probe.insert(index, BEFORE, text) == text
        assert listpack.valid(probe.raw()) and probe.length() == len(model)
        assert alloc.used_memory() - before == probe.memory()
    assert probe.items() == model and probe.items(backwards=True) == model[::-1]
    for index in range(-len(model) - 1, len(model) + 1):
        inside = -len(model) <= index < len(model)
        assert probe.seek(index) == (model[index] if inside else None)
    for _, _, text in steps:
        assert probe.find(text) == (model.index(text) if text in model else -1)
        every_other = model[::2]
        assert probe.find(text, skip=1) == (2 * every_other.index(text) if text in every_other else -1)
    probe.close()
    assert alloc.used_memory() == before


def test_more_elements_than_the_count_holds(probe):
    for n in range(66_000):
        probe.insert(-1 if n else 0, AFTER if n else BEFORE, b"%d" % (n % 100))
    assert probe.length() == 66_000 and probe.raw()[4:6] == b"\xff\xff"
    assert probe.seek(65_999) == b"99" and probe.seek(66_000) is None and probe.seek(-66_000) == b"0"
    probe.delete(100, 65_000)
    assert probe.length() == 1000 and probe.raw()[4:6] == (1000).to_bytes(2, "little")


def test_without_memory_nothing_changes(probe):
    rng = random.Random(3)
    for _ in range(100):
        probe.insert(0, BEFORE, b"v" * rng.randrange(60))
    content, raw = probe.items(), probe.raw()
    alloc.set_limit(alloc.used_memory())
    for where in (BEFORE, AFTER, REPLACE):
        with pytest.raises(MemoryError):
            probe.insert(50, where, b"w" * 5000)
    with pytest.raises(MemoryError):
        probe.delete(1, 98)         # a smaller block comes from elsewhere
    alloc.set_limit(0)
    assert probe.items() == content and probe.raw() == raw
    assert probe.delete(1, 98) == content[-1]
    assert probe.items() == [content[0], content[-1]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=12))
def test_pairs_are_appended_whole(pairs):
    probe = Probe()
    try:
        for first, second in pairs:
            probe.append_pair(first, second)
            assert listpack.valid(probe.raw())
        assert probe.items() == [text for pair in pairs for text in pair]
        raw = probe.raw()
        alloc.set_limit(alloc.used_memory())
        with pytest.raises(MemoryError):
            probe.append_pair(b"a", b"b" * 100_000)
        assert probe.raw() == raw
    finally:
        alloc.set_limit(0)
        probe.close()


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=8), st.data())
def test_damaged_bytes_are_found_or_harmless(items, data):
    """Whatever is said to be valid can be walked within its bytes; ASan watches."""
    probe = Probe()
    for item in items:
        probe.insert(len(items) + 1, BEFORE, item)
    raw = bytearray(probe.raw())
    probe.close()
    assert listpack.valid(bytes(raw))
    assert not listpack.valid(bytes(raw[:-1])) and not listpack.valid(bytes(raw) + b"\xff")
    for _ in range(3):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    listpack.valid(bytes(raw))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([b"", b"a", b"7", b"x" * 70, b"y" * 300, b"12345678901"]), min_size=2, max_size=16),
       st.integers(0, 100), st.integers(0, 100), st.sampled_from([b"", b"-1.5", b"9" * 12, b"z" * 4200, b"0"]))
def test_a_pair_moves(firsts, start, to, second):
    """To any other place, and its second element becomes a longer or a shorter one."""
    before = alloc.used_memory()
    probe, pairs = listpack.Probe(), [(first, b"%d" % n) for n, first in enumerate(firsts)]
    for pair in pairs:
        probe.append_pair(*pair)
    start, to = start % len(pairs), to % (len(pairs) + 1)
    if start == to:
        to += 1
    probe.move_pair(2 * start, 2 * to, second)
    moved = (pairs[start][0], second)
    model = [pair for n, pair in enumerate(pairs[:to]) if n != start] + [moved] + [
        pair for n, pair in enumerate(pairs[to:], to) if n != start]
    assert probe.items() == [word for pair in model for word in pair] and listpack.valid(probe.raw())
    assert alloc.used_memory() - before == probe.memory()
    probe.close()
