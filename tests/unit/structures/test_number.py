"""Numbers inside strings: canonical integers, and floats as strtold takes and INCRBYFLOAT writes them."""
import math
from fractions import Fraction

import pytest
from hypothesis import example, given, strategies as st

from shardd.structures.probe import read_float, read_int

LOW, HIGH = -2**63, 2**63 - 1


@given(st.integers(-2**66, 2**66))
@example(LOW)
@example(HIGH)
@example(LOW - 1)
@example(HIGH + 1)
@example(2**64)
@example(2**64 + 5)
@example(-2**64)
def test_integers_of_any_size(value):
    assert read_int(b"%d" % value) == (value if LOW <= value <= HIGH else None)


def canonical(text: bytes) -> int | None:
    try:
        value = int(text)
    except ValueError:
        return None
    return value if b"%d" % value == text and LOW <= value <= HIGH else None


@given(st.text("0123456789-+ ._xe\0", max_size=22).map(str.encode))
@example(b"")
@example(b"-")
@example(b"-0")
@example(b"00")
@example(b"+1")
@example(b"1 ")
@example(b"--1")
@example(b"1_000")
@example(b"99999999999999999999")
@example(b"-99999999999999999999")
@example(b"018446744073709551616")
@example(b"18446744073709551616")
def test_only_the_canonical_form(text):
    assert read_int(text) == canonical(text)


@pytest.mark.parametrize("text", [b"", b" 1", b"\t1", b"\n1", b"1 ", b"1x", b"nan", b"NaN", b"-nan", b"e5", b".", b"0x",
                                  b"1e5000", b"-1e5000", b"1e-5000", b"1\x002", b"1" * 5121, b"--1", b"1,5"])
def test_what_is_no_float(text):
    assert read_float(text) is None


@pytest.mark.parametrize("text, written", [
    (b"0", b"0"), (b"-0", b"0"), (b"5.", b"5"), (b".5", b"0.5"), (b"+1.50", b"1.5"), (b"3.0e2", b"300"),
    (b"1e-3", b"0.001"),
    (b"inf", b"inf"), (b"-Infinity", b"-inf"), (b"0x1p3", b"8"), (b"1e-18", b"0"), (b"-1e-18", b"0"),
    (b"0e-99999", b"0"),
    (b"1e-4940", b"0"), (b"10.5", b"10.5"), (b"123456789012345678", b"123456789012345678")])
def test_floats(text, written):
    assert read_float(text) == written


def test_the_largest_float_has_room():
    written = read_float(b"1e4932")
    assert len(written) == 4933 and written.isdigit()
    assert read_float(b"-1.18e4932").startswith(b"-11")
    assert read_float(b"1e4932", room=4000) == b"", "it does not fit, and says so"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_written_is_the_value(value):
    written = read_float(repr(value).encode())
    assert written is not None
    assert not written.endswith(b".") and (b"." not in written or not written.endswith(b"0"))
    exact, read = Fraction(value), Fraction(written.decode())
    # 64 bits of mantissa are read, 17 decimals are written
    assert abs(exact - read) <= Fraction(1, 10**17) + abs(exact) / 2**52
    assert math.copysign(1, read) == math.copysign(1, value) or read == 0


@given(st.integers(LOW, HIGH))
def test_integers_pass_unharmed(value):
    """A long double holds 64 bits: INCRBYFLOAT keeps integers exact."""
    assert read_float(b"%d" % value) == b"%d" % value
