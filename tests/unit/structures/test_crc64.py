"""CRC-64 as RDB files have it: the known value, crcmod's result on anything, and in whatever pieces it comes."""
import random

import crcmod
import pytest
from hypothesis import given, strategies as st

from shardd.structures.crc64 import POLYNOMIAL, crc64_of

slowly = crcmod.mkCrcFun(POLYNOMIAL, initCrc=0, rev=True, xorOut=0)


def test_the_known_values():
    """That of Redis's crc64.c."""
    assert crc64_of(b"123456789") == 0xE9C6D914C4B8D9CA
    assert crc64_of(b"") == 0


@given(st.binary(max_size=100), st.integers(0, 2**64 - 1))
def test_short_ones(data, start):
    assert crc64_of(data) == slowly(data)
    assert crc64_of(data, start) == slowly(data, start)


@pytest.mark.parametrize("size", [2048, 6143, 6144, 6145, 12288, 12288 + 17, 100_003])
def test_long_ones(size):
    data = random.Random(size).randbytes(size)
    assert crc64_of(data) == slowly(data)
    assert crc64_of(data, 0x8000000000000001) == slowly(data, 0x8000000000000001)


def test_pieces():
    rng = random.Random(7)
    data = rng.randbytes(50_000)
    for _ in range(20):
        crc, at = 0, 0
        while at < len(data):
            n = rng.choice([0, 1, 7, 8, 100, 7000, 20_000])
            crc = crc64_of(data[at:at + n], crc)
            at += n
        assert crc == slowly(data)
