"""The listpack: a list of strings and integers in one block, for small collections. Redis's own format.

    +-----------+-----------+---------+---------+- - -+------+
    | u32 bytes | u16 count | element | element |     | 0xFF |        little-endian; count 65535: go and count
    +-----------+-----------+---------+---------+- - -+------+

    element   [encoding and length] [data] [backlen]

    0xxxxxxx                        an integer, 0..127                      10xxxxxx   a string of up to 63 bytes
    110xxxxx y                      13 bits, signed                         1110xxxx y a string of up to 4,095 bytes
    11110001 .. 11110100            16, 24, 32, 64 bits, signed             11110000   u32 length, then the string

    backlen   how long the two fields before it are, to be read backwards: the last byte has the lowest seven bits,
              and bit 7 of a byte says that another one stands before it

A string that is the canonical form of a 64-bit integer is kept as that integer. Since RDB files and DUMP hold listpacks
as they are, the bytes are those that Redis writes. (Source: Salvatore Sanfilippo's listpack specification,
github.com/antirez/listpack, and redis/src/listpack.c.)

The block is as large as its first field says, so that its owner needs to keep nothing but the pointer; the allocator's
size classes leave room to grow in place. Positions (`p`) are good until the next change.

Invariants: what `lp_valid` looks at; a listpack is never larger than LISTPACK_BYTES_MAX.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy, memmove
from cython.cimports.shardd.base.native import bytep, load16, load32, load64, store16, store32
from cython.cimports.shardd.structures.alloc import SMALL_MAX, allocate, block_bytes, release, resize
from cython.cimports.shardd.structures.listpack import (
    LP_AFTER, LP_BEFORE, LP_REPLACE, LpEncoded, LpNeedle, LpValue, lp_back_bytes, lp_element_body, lp_skip)
from cython.cimports.shardd.structures.number import format_int, parse_int64

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
value_p = cython.typedef(cython.pointer(LpValue))

HEAD = cython.declare(cython.int, 6)
END = cython.declare(uint8_t, 255)
COUNT_UNKNOWN = cython.declare(uint32_t, 65535)
BYTES_MAX = cython.declare(cython.size_t, limits.LISTPACK_BYTES_MAX)
SHORT_MAX = cython.declare(cython.Py_ssize_t, 63)        # bytes of a string whose length is in its first byte
TAIL = cython.declare(cython.Py_ssize_t, 8)
INT_TEXT_MAX = cython.declare(cython.Py_ssize_t, 20)


# ---- one element

@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_integer(e: cython.pointer(LpEncoded), value: int64_t) -> cython.void:
    """Choose the shortest form of an integer."""
    bits: uint64_t = cython.cast(uint64_t, value)
    size: cython.int
    i: cython.int
    if 0 <= value <= 127:
        e.head[0] = cython.cast(uint8_t, value)
        e.head_n = 1
        return
    if -4096 <= value <= 4095:
        e.head[0] = cython.cast(uint8_t, 192 | ((bits >> 8) & 31))
        e.head[1] = cython.cast(uint8_t, bits & 255)
        e.head_n = 2
        return
    if -32768 <= value <= 32767:
        size = 2
        e.head[0] = 241
    elif -8388608 <= value <= 8388607:
        size = 3
        e.head[0] = 242
    elif -2147483648 <= value <= 2147483647:
        size = 4
        e.head[0] = 243
    else:
        size = 8
        e.head[0] = 244
    for i in range(size):
        e.head[1 + i] = cython.cast(uint8_t, (bits >> (8 * i)) & 255)
    e.head_n = 1 + size


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_encode(e: cython.pointer(LpEncoded), text: const_bytes, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Fill in everything but the string itself; returns the bytes of the whole element."""
    number: int64_t
    size: cython.Py_ssize_t
    i: cython.int
    e.data_n = 0
    if n <= INT_TEXT_MAX and parse_int64(text, n, cython.address(number)):
        _put_integer(e, number)
    else:
        e.data_n = n
        if n < 64:
            e.head[0] = cython.cast(uint8_t, 128 | n)
            e.head_n = 1
        elif n < 4096:
            e.head[0] = cython.cast(uint8_t, 224 | (n >> 8))
            e.head[1] = cython.cast(uint8_t, n & 255)
            e.head_n = 2
        else:
            e.head[0] = 240
            store32(cython.cast(bytep, e.head) + 1, cython.cast(uint32_t, n))
            e.head_n = 5
    size = e.head_n + e.data_n
    e.back_n = lp_back_bytes(size)
    for i in range(e.back_n):       # the first byte has the highest bits and no mark, the others have the mark
        e.back[i] = cython.cast(uint8_t, (size >> (7 * (e.back_n - 1 - i))) & 127) | (128 if i > 0 else 0)
    return size + e.back_n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_get(p: const_bytes, v: value_p) -> cython.void:
    """The element at p: v.p and v.n, or v.number where v.p is NULL."""
    mark: uint8_t = p[0]
    v.p = cython.NULL
    v.n = 0
    if mark < 128:
        v.number = mark
    elif mark < 192:
        v.p = p + 1
        v.n = mark & 63
    elif mark < 224:
        v.number = ((mark & 31) << 8) | p[1]
        if v.number >= 4096:
            v.number -= 8192
    elif mark < 240:
        v.p = p + 2
        v.n = ((mark & 15) << 8) | p[1]
    elif mark == 240:
        v.p = p + 5
        v.n = load32(p + 1)
    elif mark == 241:
        v.number = cython.cast(cython.short, load16(p + 1))
    elif mark == 242:
        v.number = cython.cast(cython.int, (p[1] << 8 | p[2] << 16 | cython.cast(uint32_t, p[3]) << 24)) >> 8
    elif mark == 243:
        v.number = cython.cast(cython.int, load32(p + 1))
    else:
        v.number = cython.cast(int64_t, load64(p + 1))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_text(p: const_bytes, digits: bytep, text: cython.pointer(const_bytes)) -> cython.Py_ssize_t:
    """The element at p as bytes, whatever it is: their number; integers are printed into `digits`."""
    v: LpValue
    lp_get(p, cython.address(v))
    if v.p != cython.NULL:
        text[0] = v.p
        return v.n
    text[0] = digits
    return format_int(digits, v.number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_entry_bytes(text: const_bytes, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Bytes that this string would take as an element."""
    e: LpEncoded
    return lp_encode(cython.address(e), text, n)


# ---- the whole

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_new() -> bytep:
    """An empty listpack; NULL without memory."""
    lp: bytep = cython.cast(bytep, allocate(HEAD + 1))
    if lp != cython.NULL:
        store32(lp, HEAD + 1)
        store16(lp + 4, 0)
        lp[HEAD] = END
    return lp


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_free(lp: bytep) -> cython.void:
    """NULL is allowed."""
    if lp != cython.NULL:
        release(lp, load32(lp))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_copy(lp: bytep) -> bytep:
    """Another one of the same content; NULL without memory."""
    fresh: bytep = cython.cast(bytep, allocate(load32(lp)))
    if fresh != cython.NULL:
        memcpy(fresh, lp, load32(lp))
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_bytes(lp: const_bytes) -> cython.size_t:
    """Bytes of the listpack."""
    return load32(lp)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_memory(lp: bytep) -> cython.size_t:
    """Bytes of memory that it takes, as used_memory counts them."""
    return block_bytes(lp, load32(lp))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_length(lp: const_bytes) -> uint32_t:
    """How many elements; where the field is too small for that, they are counted."""
    count: uint32_t = load16(lp + 4)
    p: bytep
    if count < COUNT_UNKNOWN:
        return count
    count = 0
    p = cython.cast(bytep, lp) + HEAD
    while p[0] != END:
        p = lp_skip(p)
        count += 1
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_first(lp: bytep) -> bytep:
    return lp + HEAD if lp[HEAD] != END else cython.cast(bytep, cython.NULL)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_last(lp: bytep) -> bytep:
    return lp_prev(lp, lp + load32(lp) - 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_next(lp: bytep, p: bytep) -> bytep:
    p = lp_skip(p)
    return p if p[0] != END else cython.cast(bytep, cython.NULL)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_prev(lp: bytep, p: bytep) -> bytep:
    """The element before p, which may also be the end."""
    size: cython.Py_ssize_t = 0
    shift: cython.int = 0
    if p == lp + HEAD:
        return cython.NULL
    while True:
        p -= 1
        size |= cython.cast(cython.Py_ssize_t, p[0] & 127) << shift
        if not p[0] & 128:
            return p - size
        shift += 7


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_seek(lp: bytep, index: int64_t) -> bytep:
    """The element of that index, from 0, or from -1 at the end backwards; walked to from the nearer end."""
    p: bytep
    count: int64_t = load16(lp + 4)
    if count < COUNT_UNKNOWN:
        if index < 0:
            index += count
        if index < 0 or index >= count:
            return cython.NULL
        if index > count // 2:
            index -= count
    if index >= 0:
        p = lp_first(lp)
        while index > 0 and p != cython.NULL:
            p = lp_next(lp, p)
            index -= 1
        return p
    p = lp_last(lp)
    while index < -1 and p != cython.NULL:
        p = lp_prev(lp, p)
        index += 1
    return p


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_short(p: bytep, text: const_bytes, n: cython.Py_ssize_t, skip: cython.int) -> bytep:
    """lp_find of a string of 8 to 63 bytes: one mark tells its length, and its last bytes tell it from its like."""
    mark: uint8_t = cython.cast(uint8_t, 128 | n)
    tail: uint64_t = load64(text + n - TAIL)
    left: cython.int
    while True:
        if p[0] == mark and load64(p + 1 + n - TAIL) == tail and memcmp(p + 1, text, n - TAIL) == 0:
            return p
        for left in range(skip + 1):
            p = lp_skip(p)
            if p[0] == END:
                return cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_find(lp: bytep, p: bytep, text: const_bytes, n: cython.Py_ssize_t, skip: cython.int) -> bytep:
    """The first element from p on that is this string, or NULL; after each that was looked at, `skip` are passed over.

    p may be NULL: there is nothing to look at.
    """
    number: int64_t = 0
    is_number: cython.bint = n <= INT_TEXT_MAX and parse_int64(text, n, cython.address(number))
    left: cython.int
    v: LpValue
    if p != cython.NULL and not is_number and TAIL <= n <= SHORT_MAX:
        return _find_short(p, text, n, skip)
    while p != cython.NULL:
        lp_get(p, cython.address(v))
        if v.p == cython.NULL:
            if is_number and v.number == number:
                return p
        elif not is_number and v.n == n and memcmp(v.p, text, n) == 0:
            return p
        left = skip + 1
        while left > 0 and p != cython.NULL:
            p = lp_next(lp, p)
            left -= 1
    return cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_needle(needle: cython.pointer(LpNeedle), text: const_bytes, n: cython.Py_ssize_t) -> cython.void:
    """Make ready to look for a string in many elements; `text` must stay."""
    needle.p = text
    needle.n = n
    needle.is_number = n <= INT_TEXT_MAX and parse_int64(text, n, cython.address(needle.number))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_matches(p: const_bytes, needle: cython.pointer(LpNeedle)) -> cython.bint:
    """Whether the element at p is what is looked for."""
    v: LpValue
    lp_get(p, cython.address(v))
    if v.p == cython.NULL:
        return needle.is_number and v.number == needle.number
    return not needle.is_number and v.n == needle.n and memcmp(v.p, needle.p, v.n) == 0


# ---- changes

@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _recount(lp: bytep, by: int64_t) -> cython.void:
    """Note that `by` elements were added. A count that once was unknown is found again when the list is short."""
    count: int64_t = load16(lp + 4)
    if count == COUNT_UNKNOWN:
        if by >= 0:
            return
        count = lp_length(lp)
    else:
        count += by
    store16(lp + 4, cython.cast(uint16_t, count if count < COUNT_UNKNOWN else COUNT_UNKNOWN))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_insert(lp: bytep, p: bytep, where: cython.int, text: const_bytes, n: cython.Py_ssize_t,
              at: cython.pointer(bytep)) -> bytep:
    """Put a string before or after the element at p, or in its place. p may be the end, for LP_BEFORE.

    `text` must not lie in the listpack. `at`, unless NULL, gets the new element's position. Returns the listpack's
    address; NULL where it would need memory that is not there or exceed limits.LISTPACK_BYTES_MAX.
    """
    e: LpEncoded
    old_n: cython.size_t = 0
    size: cython.size_t = load32(lp)
    if where == LP_AFTER:
        p = lp_skip(p)
    elif where == LP_REPLACE:
        old_n = lp_skip(p) - p
    new_n: cython.size_t = lp_encode(cython.address(e), text, n)
    total: cython.size_t = size - old_n + new_n
    offset: cython.size_t = p - lp
    block: bytep = cython.NULL
    if total > BYTES_MAX:
        return cython.NULL
    if _needs_block(size, total):
        block = cython.cast(bytep, allocate(total))
        if block == cython.NULL:
            return cython.NULL
    if total > size:
        lp = cython.cast(bytep, resize(lp, size, total))
        if lp == cython.NULL:
            return cython.NULL
    p = lp + offset
    memmove(p + new_n, p + old_n, size - offset - old_n)
    lp_write(p, cython.address(e), text)
    store32(lp, cython.cast(uint32_t, total))
    if total < size:
        lp = _shrunk(lp, size, total, block)
    if where != LP_REPLACE:
        _recount(lp, 1)
    if at != cython.NULL:
        at[0] = lp + offset
    return lp


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _needs_block(size: cython.size_t, total: cython.size_t) -> cython.bint:
    """Whether shrinking so far changes who gave the block, so that a new one must be had first."""
    return size > SMALL_MAX and total <= SMALL_MAX


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _shrunk(lp: bytep, size: cython.size_t, total: cython.size_t, block: bytep) -> bytep:
    """The listpack in a block of the size that its first field says; `block` is that where one was needed."""
    if block != cython.NULL:
        memcpy(block, lp, total)
        release(lp, size)
        return block
    block = cython.cast(bytep, resize(lp, size, total))
    return block if block != cython.NULL else lp        # a larger block of the same kind does as well


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_append(lp: bytep, text: const_bytes, n: cython.Py_ssize_t) -> bytep:
    """`lp_insert` at the end."""
    return lp_insert(lp, lp + load32(lp) - 1, LP_BEFORE, text, n, cython.NULL)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_write(p: bytep, e: cython.pointer(LpEncoded), text: const_bytes) -> bytep:
    """Write an element; behind it."""
    memcpy(p, e.head, e.head_n)
    if e.data_n > 0:
        memcpy(p + e.head_n, text, e.data_n)
    memcpy(p + e.head_n + e.data_n, e.back, e.back_n)
    return p + e.head_n + e.data_n + e.back_n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_insert_pair(lp: bytep, p: bytep, first: const_bytes, n: cython.Py_ssize_t, second: const_bytes,
                   m: cython.Py_ssize_t) -> bytep:
    """Both before the element at p, which may be the end, or, without memory, neither (NULL)."""
    e: LpEncoded
    other: LpEncoded
    size: cython.size_t = load32(lp)
    offset: cython.size_t = p - lp
    more: cython.size_t = lp_encode(cython.address(e), first, n) + lp_encode(cython.address(other), second, m)
    if size + more > BYTES_MAX:
        return cython.NULL
    lp = cython.cast(bytep, resize(lp, size, size + more))
    if lp == cython.NULL:
        return cython.NULL
    p = lp + offset
    memmove(p + more, p, size - offset)
    lp_write(lp_write(p, cython.address(e), first), cython.address(other), second)
    store32(lp, cython.cast(uint32_t, size + more))
    _recount(lp, 2)
    return lp


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_move_pair(lp: bytep, p: bytep, to: bytep, second: const_bytes, m: cython.Py_ssize_t) -> bytep:
    """Put the pair at p before the element at `to`, no part of it but perhaps the end, with another second element.

    The listpack's address; NULL, and nothing is changed, without memory.
    """
    e: LpEncoded
    near: uint8_t[256]
    first: bytep = near
    block: bytep = cython.NULL
    grown: bytep = cython.NULL
    size: cython.size_t = load32(lp)
    at: cython.size_t = p - lp
    target: cython.size_t = to - lp
    first_n: cython.size_t = lp_skip(p) - p
    old_n: cython.size_t = lp_skip(lp_skip(p)) - p
    new_n: cython.size_t = first_n + lp_encode(cython.address(e), second, m)
    total: cython.size_t = size - old_n + new_n
    if total > BYTES_MAX:
        return cython.NULL
    if first_n > 256:
        first = cython.cast(bytep, allocate(first_n))
    if _needs_block(size, total):
        block = cython.cast(bytep, allocate(total))
    if first != cython.NULL and (block != cython.NULL or not _needs_block(size, total)):
        grown = lp if total <= size else cython.cast(bytep, resize(lp, size, total))
    if grown == cython.NULL:
        if first != near:
            release(first, first_n)
        release(block, total)
        return cython.NULL
    lp = grown
    memcpy(first, lp + at, first_n)
    if target > at:
        memmove(lp + at, lp + at + old_n, target - at - old_n)
        memmove(lp + target - old_n + new_n, lp + target, size - target)
        target -= old_n
    else:
        memmove(lp + at + new_n, lp + at + old_n, size - at - old_n)
        memmove(lp + target + new_n, lp + target, at - target)
    memcpy(lp + target, first, first_n)
    lp_write(lp + target + first_n, cython.address(e), second)
    if first != near:
        release(first, first_n)
    store32(lp, cython.cast(uint32_t, total))
    return _shrunk(lp, size, total, block) if total < size else lp


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_append_pair(lp: bytep, first: const_bytes, n: cython.Py_ssize_t, second: const_bytes,
                   m: cython.Py_ssize_t) -> bytep:
    """`lp_insert_pair` at the end."""
    return lp_insert_pair(lp, lp + load32(lp) - 1, first, n, second, m)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_delete(lp: bytep, p: bytep, count: uint32_t, at: cython.pointer(bytep)) -> bytep:
    """Take out up to `count` elements from p on. `at`, unless NULL, gets what is there now, NULL at the end.

    Returns the listpack's address; NULL, and nothing is changed, where a smaller block is needed and cannot be had.
    """
    size: cython.size_t = load32(lp)
    offset: cython.size_t = p - lp
    block: bytep = cython.NULL
    end: bytep = p
    gone: int64_t = 0
    while gone < count and end[0] != END:
        end = lp_skip(end)
        gone += 1
    total: cython.size_t = size - (end - p)
    if _needs_block(size, total):
        block = cython.cast(bytep, allocate(total))
        if block == cython.NULL:
            return cython.NULL
    memmove(p, end, lp + size - end)
    store32(lp, cython.cast(uint32_t, total))
    if total < size:
        lp = _shrunk(lp, size, total, block)
    _recount(lp, -gone)
    if at != cython.NULL:
        at[0] = lp + offset if lp[offset] != END else cython.cast(bytep, cython.NULL)
    return lp


# ---- whether it is one

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lp_valid(lp: const_bytes, size: cython.size_t) -> cython.bint:
    """Whether the `size` bytes at lp are a listpack: sizes, encodings, backlens, count and end all fit together."""
    at: cython.size_t = HEAD
    body: cython.size_t
    back: cython.size_t
    said: cython.size_t
    i: cython.size_t
    count: uint32_t = 0
    if size < HEAD + 1 or load32(lp) != size or lp[size - 1] != END:
        return False
    while at < size - 1:
        if lp[at] >= 224 and at + (5 if lp[at] == 240 else 2) > size - 1:
            return False
        body = lp_element_body(lp + at)
        if body == 0 or body > size or at + body > size - 1:
            return False
        back = lp_back_bytes(body)
        if at + body + back > size - 1:
            return False
        said = 0
        for i in range(back):
            said = said << 7 | (lp[at + body + i] & 127)
            if (lp[at + body + i] >= 128) != (i > 0):
                return False
        if said != body:
            return False
        at += body + back
        count += 1
    return load16(lp + 4) == (count if count < COUNT_UNKNOWN else COUNT_UNKNOWN) or load16(lp + 4) == COUNT_UNKNOWN


# ---- what the keyspace wants of a body

@cython.cfunc
@cython.exceptval(check=False)
def lp_body_bytes(body: cython.p_void) -> cython.size_t:
    return lp_memory(cython.cast(bytep, body))


@cython.cfunc
@cython.exceptval(check=False)
def lp_body_copy(body: cython.p_void) -> cython.p_void:
    return lp_copy(cython.cast(bytep, body))


@cython.cfunc
@cython.exceptval(check=False)
def lp_body_free(body: cython.p_void, elements: int64_t) -> cython.bint:
    """It is one block, so all goes at once."""
    lp_free(cython.cast(bytep, body))
    return True


class Probe:
    """A listpack in the hands of a unit test."""

    def __init__(self) -> None:
        """Empty. Raises MemoryError."""
        self.address = _kept(lp_new())

    def close(self) -> None:
        """Free it."""
        lp_free(_at(self.address))
        self.address = 0

    def raw(self) -> bytes:
        """Its bytes."""
        lp: bytep = _at(self.address)
        return cython.cast(cython.p_char, lp)[:load32(lp)]

    def memory(self) -> int:
        """As used_memory counts it."""
        return lp_memory(_at(self.address))

    def length(self) -> int:
        """lp_length."""
        return lp_length(_at(self.address))

    def items(self, backwards: bool = False) -> list:
        """All elements, as bytes, walked to from one end or the other."""
        lp: bytep = _at(self.address)
        p: bytep = lp_last(lp) if backwards else lp_first(lp)
        found: list = []
        while p != cython.NULL:
            found.append(_text(p))
            p = lp_prev(lp, p) if backwards else lp_next(lp, p)
        return found

    def seek(self, index: int) -> bytes | None:
        """The element of this index."""
        p: bytep = lp_seek(_at(self.address), index)
        return None if p == cython.NULL else _text(p)

    def find(self, text: bytes, start: int = 0, skip: int = 0) -> int:
        """The index of the first such element from `start` on, -1 where there is none."""
        lp: bytep = _at(self.address)
        wanted: bytep = cython.cast(bytep, cython.cast(cython.p_char, text))
        p: bytep = lp_find(lp, lp_seek(lp, start), wanted, len(text), skip)
        index: int = -1
        while p != cython.NULL:
            p = lp_prev(lp, p)
            index += 1
        return index

    def insert(self, index: int, where: int, text: bytes) -> bytes:
        """lp_insert at the element of this index (its length: the end); the new element, read where `at` says."""
        lp: bytep = _at(self.address)
        at: bytep = cython.NULL
        p: bytep = lp_seek(lp, index)
        if p == cython.NULL:
            p = lp + load32(lp) - 1
        self.address = _kept(lp_insert(
            lp, p, where, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text), cython.address(at)))
        return _text(at)

    def append_pair(self, first: bytes, second: bytes) -> None:
        """lp_append_pair."""
        self.address = _kept(lp_append_pair(
            _at(self.address), cython.cast(bytep, cython.cast(cython.p_char, first)), len(first),
            cython.cast(bytep, cython.cast(cython.p_char, second)), len(second)))

    def move_pair(self, index: int, to: int, second: bytes) -> None:
        """lp_move_pair from one index to before another one (its length: to the end)."""
        lp: bytep = _at(self.address)
        end: bytep = lp_seek(lp, to)
        if end == cython.NULL:
            end = lp + load32(lp) - 1
        self.address = _kept(lp_move_pair(
            lp, lp_seek(lp, index), end, cython.cast(bytep, cython.cast(cython.p_char, second)), len(second)))

    def delete(self, index: int, count: int) -> bytes | None:
        """lp_delete; what is at that index then."""
        lp: bytep = _at(self.address)
        at: bytep = cython.NULL
        self.address = _kept(lp_delete(lp, lp_seek(lp, index), count, cython.address(at)))
        return None if at == cython.NULL else _text(at)


@cython.cfunc
def _at(address: object) -> bytep:
    return cython.cast(bytep, cython.cast(cython.size_t, address))


@cython.cfunc
def _kept(lp: bytep) -> object:
    if lp == cython.NULL:
        raise MemoryError
    return cython.cast(cython.size_t, lp)


@cython.cfunc
def _text(p: bytep) -> object:
    digits: uint8_t[24]
    text: const_bytes
    n: cython.Py_ssize_t = lp_text(p, digits, cython.address(text))
    return cython.cast(cython.p_char, text)[:n]


def valid(raw: bytes) -> bool:
    """lp_valid."""
    return lp_valid(cython.cast(bytep, cython.cast(cython.p_char, raw)), len(raw))


def encoded_bytes(text: bytes) -> int:
    """lp_entry_bytes."""
    return lp_entry_bytes(cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))
