"""Numbers as Redis reads and writes them inside strings.

An integer is canonical decimal: an optional minus, no plus, no leading zero, within 64 bits; so that a string which
is stored as an integer reads back byte for byte. A float read is what C's strtold takes, but for spaces,
NaN and what is out of range; the formatters say which of Redis's forms they write.
"""
import cython
from cython.cimports.cpython.conversion import PyOS_double_to_string
from cython.cimports.cpython.mem import PyMem_Free
from cython.cimports.libc.math import isinf, isnan, signbit
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import atoi, free, malloc, strtod
from cython.cimports.libc.string import memchr, memcpy, memset, strlen
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.libc_number import ERANGE, errno_place, isinf_ld, isnan_ld, snprintf_ld, strtold

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
_INT64_MAX = cython.declare(uint64_t, 9223372036854775807)
_TENTH = cython.declare(uint64_t, 1844674407370955161)         # 2^64 // 10
LONG_DOUBLE_CHARS = cython.declare(cython.int, 5120)            # the longest %.17Lf, as Redis's MAX_LONG_DOUBLE_CHARS
# Up to it, what is whole is printed as an integer: Redis's LLONG_MAX / 2.
_WHOLE_MAX = cython.declare(cython.double, 4611686018427387904.0)

_POWERS = cython.declare(cython.double[16])          # of ten, exact
_DECIMALS = cython.declare(cython.int, 6)               # so many at most are printed without a search for the shortest
_DIGITS15 = cython.declare(cython.double, 1e15)         # below it, no two decimals are one double

_PAIRS_KEPT = cython.declare(bytes, b"".join([b"%02d" % i for i in range(100)]))
_PAIRS = cython.declare(bytep, cython.cast(bytep, cython.cast(cython.p_char, _PAIRS_KEPT)))


def _fill_powers() -> None:
    for power in range(16):
        _POWERS[power] = float(10 ** power)


_fill_powers()


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
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _plain_decimal(p: const_bytes, n: cython.Py_ssize_t, value: cython.pointer(cython.double)) -> cython.bint:
    """Whether the bytes are up to 15 digits with or without a minus and a point: exact with one division."""
    digits: int64_t = 0
    count: cython.int = 0
    decimals: cython.int = 0
    point: cython.bint = False
    i: cython.Py_ssize_t = 1 if n > 0 and p[0] == 45 else 0
    if n > 17:
        return False
    while i < n:
        if 48 <= p[i] <= 57:
            digits = digits * 10 + (p[i] - 48)
            count += 1
            decimals += point
        elif p[i] == 46 and not point:
            point = True
        else:
            return False
        i += 1
    if count == 0 or count > 15:
        return False
    value[0] = cython.cast(cython.double, digits)
    if decimals:
        value[0] /= _POWERS[decimals]
    if p[0] == 45:
        value[0] = -value[0]
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _read_double(p: const_bytes, n: cython.Py_ssize_t, value: cython.pointer(cython.double)) -> cython.bint:
    """Whether C's strtod takes all of the bytes; no bytes are 0. errno is as it left it. MemoryError."""
    room: cython.char[64]
    text: cython.p_char = room
    end: cython.p_char
    if n >= 64:
        text = cython.cast(cython.p_char, malloc(n + 1))
        if text == cython.NULL:
            raise MemoryError
    memcpy(text, p, n)
    text[n] = 0
    errno_place()[0] = 0
    value[0] = strtod(text, cython.address(end))
    n -= end - text
    if text != room:
        free(text)
    return n == 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def parse_double(p: const_bytes, n: cython.Py_ssize_t, value: cython.pointer(cython.double)) -> cython.bint:
    """Whether the bytes are a float in full, as Redis's string2d takes it: what C's strtod takes (infinities,
    hexadecimal) but for leading space, NaN, and what is out of range. MemoryError."""
    if _plain_decimal(p, n, value):
        return True
    if n == 0 or p[0] == 32 or 9 <= p[0] <= 13 or not _read_double(p, n, value) or isnan(value[0]):
        return False
    return errno_place()[0] != ERANGE or not (value[0] == 0 or isinf(value[0]))


@cython.cfunc
@cython.exceptval(-1, check=False)
def parse_bound(p: const_bytes, n: cython.Py_ssize_t, value: cython.pointer(cython.double)) -> cython.bint:
    """Whether the bytes are the end of a range of scores, as Redis reads it: up to a NUL, what strtod takes, and be it
    nothing; not NaN. MemoryError."""
    nul: cython.p_void = cython.NULL
    if n > 0:
        nul = memchr(p, 0, n)
    if nul != cython.NULL:
        n = cython.cast(const_bytes, nul) - p
    if _plain_decimal(p, n, value):
        return True
    return _read_double(p, n, value) and not isnan(value[0])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def format_long_double(out: cython.p_char, room: cython.int, value: cython.longdouble) -> cython.int:
    """The value with up to 17 decimals and no trailing zeros, as INCRBYFLOAT stores it; its length, 0: no room."""
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


@cython.cfunc
@cython.nogil
@cython.cdivision(True)
@cython.exceptval(check=False)
def format_int(out: bytep, value: int64_t) -> cython.int:
    """Print value in decimal, two digits at a time; returns the length, at most 20. No NUL follows."""
    rest: uint64_t = cython.cast(uint64_t, value)
    digits: cython.int = 1
    bound: uint64_t = 10
    pair: cython.int
    sign: cython.int = 0
    if value < 0:
        out[0] = 45
        out += 1
        sign = 1
        rest = cython.cast(uint64_t, -(value + 1)) + 1      # the lowest one has no positive twin
    while digits < 19 and rest >= bound:
        digits += 1
        bound *= 10
    if digits == 19 and rest >= bound:
        digits = 20
    sign += digits
    while rest >= 100:
        pair = cython.cast(cython.int, rest % 100) * 2
        rest = rest // 100
        digits -= 2
        out[digits] = _PAIRS[pair]
        out[digits + 1] = _PAIRS[pair + 1]
    if rest >= 10:
        pair = cython.cast(cython.int, rest) * 2
        out[0] = _PAIRS[pair]
        out[1] = _PAIRS[pair + 1]
    else:
        out[0] = cython.cast(uint8_t, 48 + rest)
    return sign


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _short_decimal(out: bytep, value: cython.double) -> cython.int:
    """Print a value that has few decimals and 15 digits at most; the length, or 0 where it has more.

    A whole number of up to 15 digits over a power of ten is divided exactly as the text would be read, and no other
    decimal of so few digits reads as the same double: this is the shortest one.
    """
    size: cython.double = -value if value < 0 else value
    scaled: cython.double
    digits: int64_t
    decimals: cython.int = 0
    n: cython.int
    at: cython.int = 0
    text: uint8_t[24]
    if size < 0.001:
        return 0
    while decimals < _DECIMALS:
        decimals += 1
        scaled = size * _POWERS[decimals] + 0.5
        if scaled >= _DIGITS15:
            return 0
        digits = cython.cast(int64_t, scaled)
        if cython.cast(cython.double, digits) / _POWERS[decimals] == size:
            break
    else:
        return 0
    if value < 0:
        out[0] = 45
        at = 1
    n = format_int(text, digits)
    if n <= decimals:
        memcpy(out + at, b"0.000000", 2 + decimals - n)
        memcpy(out + at + 2 + decimals - n, text, n)
        return at + 2 + decimals
    memcpy(out + at, text, n - decimals)
    out[at + n - decimals] = 46
    memcpy(out + at + n - decimals + 1, text + n - decimals, decimals)
    return at + n + 1


@cython.cfunc
@cython.exceptval(-1, check=False)
def format_double(out: bytep, value: cython.double) -> cython.int:
    """Print value as Redis 7.2's d2string does: the shortest digits that read back the same; `out` holds 32 bytes.

    Whole numbers up to 2**62 print as integers; inf, -inf, nan and -0 by name. Raises MemoryError.
    """
    n: cython.int
    k: cython.int
    exponent: cython.int
    digits: uint8_t[24]
    text: cython.p_char
    if isnan(value):
        memcpy(out, b"nan", 3)
        return 3
    if isinf(value):
        if value < 0:
            memcpy(out, b"-inf", 4)
            return 4
        memcpy(out, b"inf", 3)
        return 3
    if value == 0:
        memcpy(out, b"-0", 2)
        if signbit(value):
            return 2
        out[0] = 48
        return 1
    if -_WHOLE_MAX <= value <= _WHOLE_MAX and cython.cast(cython.double, cython.cast(int64_t, value)) == value:
        return format_int(out, cython.cast(int64_t, value))
    n = _short_decimal(out, value)
    if n > 0:
        return n
    # "d.ddde+xx": repr's digits, which are the shortest, at 17 places at most
    text = PyOS_double_to_string(value, 114, 0, 0, cython.NULL)
    n = 0
    k = 0
    exponent = 0
    seen_point: cython.bint = False
    while text[k] != 0 and text[k] != 101:
        if text[k] == 46:
            seen_point = True
        elif text[k] != 45:
            if n > 0 or text[k] != 48:
                digits[n] = cython.cast(uint8_t, text[k])
                n += 1
            if seen_point:
                exponent -= 1
        k += 1
    if text[k] == 101:
        exponent += atoi(text + k + 1)
    PyMem_Free(text)
    while n > 1 and digits[n - 1] == 48:
        n -= 1
        exponent += 1
    k = 0
    if value < 0:
        out[0] = 45
        k = 1
    return k + _place(out + k, digits, n, exponent)


@cython.cfunc
@cython.exceptval(-1, check=False)
def format_double_17(out: bytep, value: cython.double) -> cython.int:
    """Print value with C's %.17g, as ZSCAN has the scores of a large sorted set; `out` holds 32 bytes. MemoryError."""
    n: cython.int
    text: cython.p_char
    if isnan(value) or isinf(value):
        return format_double(out, value)
    text = PyOS_double_to_string(value, 103, 17, 0, cython.NULL)
    n = cython.cast(cython.int, strlen(text))
    memcpy(out, text, n)
    PyMem_Free(text)
    return n


@cython.cfunc
@cython.exceptval(check=False)
def _place(out: bytep, digits: bytep, n: cython.int, exponent: cython.int) -> cython.int:
    """Write digits * 10**exponent in the form fpconv_dtoa chooses: plain, with a point, or scientific."""
    power: cython.int = exponent + n - 1
    size: cython.int = abs(power)
    at: cython.int
    if exponent >= 0 and size < n + 7:
        memcpy(out, digits, n)
        memset(out + n, 48, exponent)
        return n + exponent
    if exponent < 0 and (exponent > -7 or size < 4):
        at = n + exponent       # digits before the point
        if at > 0:
            memcpy(out, digits, at)
            out[at] = 46
            memcpy(out + at + 1, digits + at, n - at)
            return n + 1
        memset(out, 48, 2 - at)
        out[1] = 46
        memcpy(out + 2 - at, digits, n)
        return 2 - at + n
    out[0] = digits[0]
    at = 1
    if n > 1:
        out[1] = 46
        memcpy(out + 2, digits + 1, n - 1)
        at = n + 1
    out[at] = 101
    out[at + 1] = 45 if power < 0 else 43
    return at + 2 + format_int(out + at + 2, size)
