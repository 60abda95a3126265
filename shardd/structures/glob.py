"""Glob patterns as Redis matches them (KEYS, SCAN MATCH, CONFIG GET, PSUBSCRIBE).

`*` any run of bytes, `?` one byte, `[abc]`, `[^a]`, `[a-z]` one byte of a set, `\\x` the byte x. A set that is not
closed ends with the pattern. Only the last star is ever tried again, so the work is at most text length times pattern
length, however many stars a hostile pattern holds.
"""
import cython
from cython.cimports.libc.stdint import uint8_t

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _lower(c: cython.int) -> cython.int:
    return c + 32 if 65 <= c <= 90 else c


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _signed(c: cython.int) -> cython.int:
    """A byte as a char of most machines: so Redis compares ranges, and [a-\\xff] is what lies between -1 and a."""
    return c - 256 if c > 127 else c


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _match_set(pattern: const_bytes, pn: cython.Py_ssize_t, c: cython.int, fold: cython.bint,
               matched: cython.pointer(cython.bint)) -> cython.Py_ssize_t:
    """Match `c` against the set that opens at pattern[0]; how many pattern bytes the set takes."""
    i: cython.Py_ssize_t = 1
    negate: cython.bint = False
    hit: cython.bint = False
    low: cython.int
    high: cython.int
    if i < pn and pattern[i] == 94:
        negate = True
        i += 1
    if fold:
        c = _lower(c)
    while i < pn:
        if pattern[i] == 92 and pn - i >= 2:
            i += 1
            low = pattern[i]
            hit |= (_lower(low) if fold else low) == c
        elif pattern[i] == 93:
            i += 1
            matched[0] = hit != negate
            return i
        elif pn - i >= 3 and pattern[i + 1] == 45:
            low, high = _signed(pattern[i]), _signed(pattern[i + 2])
            if low > high:
                low, high = high, low
            if fold:
                low, high = _lower(low), _lower(high)
            hit |= low <= _signed(c) <= high
            i += 2
        else:
            low = pattern[i]
            hit |= (_lower(low) if fold else low) == c
        i += 1
    matched[0] = hit != negate
    return i


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def glob_match(pattern: const_bytes, pn: cython.Py_ssize_t, text: const_bytes, n: cython.Py_ssize_t,
               fold: cython.bint) -> cython.bint:
    """Whether all `n` bytes of the text match; `fold`: ASCII letters match in either case."""
    i: cython.Py_ssize_t = 0                # in the pattern
    j: cython.Py_ssize_t = 0                # in the text
    star: cython.Py_ssize_t = -1            # behind the last star, and
    star_text: cython.Py_ssize_t = 0        # where its run ends for now
    step: cython.Py_ssize_t
    matched: cython.bint
    c: cython.int
    if n == 0:
        # in Redis no star matches the empty text; KEYS and SCAN take a lone * for `everything` themselves
        return pn == 0
    while j < n:
        matched = False
        step = 1
        if i < pn:
            c = pattern[i]
            if c == 42:
                i += 1
                star = i
                star_text = j
                continue
            if c == 63:
                matched = True
            elif c == 91:
                step = _match_set(pattern + i, pn - i, text[j], fold, cython.address(matched))
            else:
                if c == 92 and pn - i >= 2:
                    step = 2
                    c = pattern[i + 1]
                matched = _lower(c) == _lower(text[j]) if fold else c == text[j]
        if matched:
            i += step
            j += 1
        elif star >= 0:
            star_text += 1
            i = star
            j = star_text
        else:
            return False
    while i < pn and pattern[i] == 42:
        i += 1
    return i == pn


def match(pattern: bytes, text: bytes, fold: bool = False) -> bool:
    """Whether `text` matches `pattern`, for plain modules; `fold` ignores ASCII case."""
    p: const_bytes = pattern
    t: const_bytes = text
    return glob_match(p, len(pattern), t, len(text), fold)
