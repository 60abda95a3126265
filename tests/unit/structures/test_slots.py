"""Slots against crcmod's CRC16 and the rule of the hash tag, spelled out another way."""
import crcmod.predefined
import pytest
from hypothesis import example, given, strategies as st

from shardd.structures.slots import SLOTS, slot_of

xmodem = crcmod.predefined.mkCrcFun("xmodem")


def model(key: bytes) -> int:
    before, brace, rest = key.partition(b"{")
    tag, close, after = rest.partition(b"}")
    return xmodem(tag if brace and close and tag else key) % SLOTS


@given(st.binary(max_size=70))
def test_any_key(key):
    assert slot_of(key) == model(key)


@given(st.lists(st.sampled_from([b"{", b"}", b"a", b"bc", b"\x00", b"0123456789"]), max_size=12).map(b"".join))
@example(b"{}")
@example(b"{}{a}")
@example(b"a{}b")
@example(b"{{a}}")
@example(b"}{a}")
@example(b"{a")
@example(b"a}")
@example(b"{a}{b}")
@example(b"{")
def test_hash_tags(key):
    assert slot_of(key) == model(key)


@pytest.mark.parametrize("n", range(0, 40))
def test_every_length(n):
    """The CRC is taken eight bytes at a time: all remainders."""
    key = bytes((i * 37 + 11) & 255 for i in range(n))
    assert slot_of(key) == xmodem(key) % SLOTS


def test_the_specification_s_vector():
    assert xmodem(b"123456789") == 0x31C3
    assert slot_of(b"123456789") == 0x31C3 % SLOTS
    assert slot_of(b"{user1000}.following") == slot_of(b"{user1000}.followers") == slot_of(b"user1000")
