"""Numbers as Redis reads and writes them inside strings.

An integer is canonical decimal: an optional minus, no plus, no leading zero, within 64 bits; so that a string which
is stored as an integer reads back byte for byte. A float is what C's strtold takes, without spaces, NaN and what is out of range.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.structures.libc_number import ERANGE, errno_place, isinf_ld, isnan_ld, snprintf_ld, strtold

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
_INT64_MAX = cython.declare(uint64_t, 9223372036854775807)
_TENTH = cython.declare(uint64_t, 1844674407370955161)         # 2^64 // 10
LONG_DOUBLE_CHARS = cython.declare(cython.int, 5120)            # the longest %.17Lf, as Redis's MAX_LONG_DOUBLE_CHARS


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def parse_int64(p: const_bytes, n: cython.Py_ssize_t, value: cython.pointer(int64_t)) -> cython.bint:
    """Whether the `n` bytes at `p` are a canonical integer; `value` then holds it."""
    total: uint64_t = 0
    digit: cython.uint
    i: cython.Py_ssize_t = 0
    negative: cython.bint = False
    if n == 0 or n > 20:
        return False
    if p[0] == 45:
        negative = True
        i = 1
        if n == 1:
            return False
    if p[i] == 48:
        if n == 1:
            value[0] = 0
            return True
        return False
    while i < n:
        digit = cython.cast(cython.uint, p[i]) - 48
        if digit > 9:
            return False
        if total > _TENTH or (total == _TENTH and digit > 5):
            return False
        total = total * 10 + digit
        i += 1
    if negative:
        if total > _INT64_MAX + 1:
            return False
        value[0] = cython.cast(int64_t, 0 - total)
    else:
        if total > _INT64_MAX:
            return False
        value[0] = cython.cast(int64_t, total)
    return True


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def parse_long_double(p: const_bytes, n: cython.Py_ssize_t, value: cython.pointer(cython.longdouble)) -> cython.bint:
    """Whether the bytes are a float in full; `value` then holds it (infinities included, NaN not)."""
    text: cython.char[5121]
    end: cython.p_char
    if n == 0 or n >= LONG_DOUBLE_CHARS or p[0] == 32 or 9 <= p[0] <= 13:
        return False
    memcpy(text, p, n)
    text[n] = 0
    errno_place()[0] = 0
    value[0] = strtold(text, cython.address(end))
    if errno_place()[0] == ERANGE and (value[0] == 0 or isinf_ld(value[0])):
        return False
    return end - text == n and not isnan_ld(value[0])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def format_long_double(out: cython.p_char, room: cython.int, value: cython.longdouble) -> cython.int:
    """The value with up to 17 decimals and no trailing zeros, as INCRBYFLOAT stores it; its length, 0 where it does not fit."""
    n: cython.int
    if isinf_ld(value):
        memcpy(out, b"inf" if value > 0 else b"-inf", 4)
        return 3 if value > 0 else 4
    n = snprintf_ld(out, room, "%.17Lf", value)
    if n <= 0 or n >= room:
        return 0
    while out[n - 1] == 48:
        n -= 1
    if out[n - 1] == 46:
        n -= 1
    if n == 2 and out[0] == 45 and out[1] == 48:
        out[0] = 48
        n = 1
    return n
