"""LZF: what was compressed comes back, and nothing that is no LZF does harm."""
import random

import pytest
from hypothesis import example, given, strategies as st

from shardd.structures.lzf import compress, decompress

pieces = st.lists(st.sampled_from([b"ab", b"hello ", b"\0", b"abc" * 30]), max_size=200)
data = st.one_of(st.binary(max_size=400), pieces.map(b"".join))


@given(data)
@example(b"")
@example(b"x" * 100_000)
@example(bytes(range(256)) * 100)
def test_it_comes_back(text):
    packed = compress(text, len(text) + len(text) // 16 + 64)
    assert packed is not None and decompress(packed, len(text)) == text
    assert len(packed) <= len(text) + len(text) // 32 + 1


@pytest.mark.parametrize("packed, text", [
    (b"\x02abc", b"abc"), (b"\x00a\xe0\x01\x00", b"a" * 11), (b"\x02abc\x20\x02", b"abcabc"),
    (b"\x1f" + b"y" * 32 + b"\xe0\xff\x1f", b"y" * 296)])
def test_the_format(packed, text):
    assert decompress(packed, len(text)) == text


def test_it_saves_where_there_is_something_to_save():
    text = b"".join(b"line %d of a text that says the same again\n" % n for n in range(200))
    assert len(compress(text)) < len(text) // 4
    rng = random.Random(1)
    assert compress(rng.randbytes(5000)) is None and compress(b"abc") is None


def test_far_and_long():
    """Distances of 8,192 are within reach, one more is not; a long repetition is several tokens."""
    rng = random.Random(2)
    noise = rng.randbytes(8192)
    for text in (noise + noise[:100], noise + b"-" + noise[:100], noise + noise, b"ab" * 5000):
        packed = compress(text, 20_000)
        assert decompress(packed, len(text)) == text


@given(st.binary(max_size=60), st.integers(0, 300))
def test_nonsense_is_refused(packed, size):
    try:
        assert len(decompress(packed, size)) == size
    except ValueError:
        pass


def test_every_piece_of_it_is_refused():
    text = b"some text, some text, some other text" * 5
    packed = compress(text)
    for cut in range(len(packed)):
        with pytest.raises(ValueError):
            decompress(packed[:cut], len(text))


def test_places_begin_anew():
    """What earlier inputs left in the compressor's table means nothing, also when its count of bytes starts again."""
    rng = random.Random(3)
    text = b"".join(rng.choice([b"one ", b"two ", b"three "]) for _ in range(500))
    packed = compress(text)
    for _ in range(34):             # more than 2^31 bytes
        assert len(compress(bytes(1 << 26), 1 << 20)) < 1 << 20
        assert compress(text) == packed and decompress(packed, len(text)) == text
        assert compress(rng.randbytes(500)) is None
