"""Collections in one block, as RDB files have them: the listpack, and what there was before it.

listpack (Redis 7 on): structures/listpack.

ziplist (up to Redis 6):

    +-----------+----------+-----------+-------+-------+- -+------+
    | u32 bytes | u32 tail | u16 count | entry | entry |   | 0xFF |       little-endian; tail: where the last entry is
    +-----------+----------+-----------+-------+-------+- -+------+       count 65535: go and count

    entry       [bytes of the entry before] [encoding] [data]             the first: a byte, or 0xFE and a u32

    00LLLLLL                string of 6 bits of length      11000000  i16      1111vvvv  0..12 as v = 1..13
    01LLLLLL LLLLLLLL       of 14, high byte first          11010000  i32      11110000  i24
    10000000 and a u32      of 32, high byte first          11100000  i64      11111110  i8

zipmap (up to Redis 2.4):

    +----------+-----+-------+-----+------+-------+------+- -+------+
    | u8 count | len | field | len | free | value | free |   | 0xFF |     len: a byte below 254, or 254 and a u32
    +----------+-----+-------+-----+------+-------+------+- -+------+     free: bytes behind the value that mean nothing
                                    u8     value   bytes                  count 254: go and count

(Sources: ziplist.c and zipmap.c of Redis 2.4 to 7.2.)

items_open walks the whole block once and compares every length with what is left, every distance with what it should
be, and the counts; whoever then walks over the elements need not check anything. Elements that are integers come as
their digits.
"""
import cython
from cython.cimports.libc.stdint import int16_t, int32_t, int64_t, int8_t, uint8_t, uint32_t
from cython.cimports.shardd.base.native import load16, load32, load64
from cython.cimports.shardd.journal.rdb_in import RdbSource
from cython.cimports.shardd.journal.rdb_load_packed import ITEMS_LISTPACK, ITEMS_ZIPLIST, Items
from cython.cimports.shardd.keyspace.entry import View
from cython.cimports.shardd.structures.listpack import lp_skip, lp_text, lp_valid
from cython.cimports.shardd.structures.number import format_int

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
items_p = cython.typedef(cython.pointer(Items))
view_p = cython.typedef(cython.pointer(View))

END = cython.declare(uint8_t, 255)
LISTPACK_HEAD = cython.declare(cython.int, 6)
ZIPLIST_HEAD = cython.declare(cython.int, 10)
ZIPLIST_LONG = cython.declare(uint8_t, 254)     # the bytes of the entry before are a u32
ZIPLIST_COUNT_UNKNOWN = cython.declare(int64_t, 65535)
ZIPMAP_LONG = cython.declare(uint8_t, 254)      # a length is a u32; of the count: it is not known


@cython.cfunc
@cython.exceptval(-1, check=False)
def items_open(s: RdbSource, kind: cython.int, p: const_bytes, n: cython.Py_ssize_t, items: items_p) -> cython.int:
    """Check a block and stand before its first element. RdbError."""
    v: View
    items.kind = kind
    items.count = 0
    items.value = False
    if kind == ITEMS_LISTPACK:
        if not lp_valid(p, n):
            s.fail("a listpack is damaged")
        items.p = p + LISTPACK_HEAD
        items.end = p + n - 1
        while items.p != items.end:
            items.p = lp_skip(items.p)
            items.count += 1
        items.p = p + LISTPACK_HEAD
    elif kind == ITEMS_ZIPLIST:
        if not _ziplist_valid(p, n, items):
            s.fail("a ziplist is damaged")
    elif not _zipmap_valid(p, n, items):
        s.fail("a zipmap is damaged")
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def items_next(items: items_p, v: view_p) -> cython.bint:
    """The next element as bytes, good while the block and the view are; False where there is none."""
    if items.p == items.end:
        return False
    if items.kind == ITEMS_LISTPACK:
        v.n = lp_text(items.p, v.digits, cython.address(v.p))
        items.p = lp_skip(items.p)
    elif items.kind == ITEMS_ZIPLIST:
        items.p += _ziplist_entry(items.p, v)
    else:
        items.p += _zipmap_item(items.p, items.value, v)
        items.value = not items.value
    return True


# ---- ziplist

@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _high_first(p: const_bytes) -> uint32_t:
    return (cython.cast(uint32_t, p[0]) << 24 | cython.cast(uint32_t, p[1]) << 16
            | cython.cast(uint32_t, p[2]) << 8 | p[3])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _ziplist_sizes(p: const_bytes, left: int64_t, head: cython.pointer(int64_t),
                   data: cython.pointer(int64_t)) -> cython.bint:
    """Bytes of an encoding and of the data behind it, of which `left` are there; False where they are not."""
    mark: uint8_t
    if left < 1:
        return False
    mark = p[0]
    head[0] = 1
    if mark < 64:
        data[0] = mark
    elif mark < 128:
        head[0] = 2
        if left < 2:
            return False
        data[0] = (mark & 63) << 8 | p[1]
    elif mark == 128:
        head[0] = 5
        if left < 5:
            return False
        data[0] = _high_first(p + 1)
    elif mark == 0xC0:
        data[0] = 2
    elif mark == 0xD0:
        data[0] = 4
    elif mark == 0xE0:
        data[0] = 8
    elif mark == 0xF0:
        data[0] = 3
    elif mark == 0xFE:
        data[0] = 1
    elif 0xF1 <= mark <= 0xFD:
        data[0] = 0
    else:
        return False
    return head[0] + data[0] <= left


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _ziplist_valid(p: const_bytes, n: cython.Py_ssize_t, items: items_p) -> cython.bint:
    at: int64_t = ZIPLIST_HEAD
    last: int64_t = ZIPLIST_HEAD
    before: int64_t = 0         # bytes of the entry before
    said: int64_t
    head: int64_t = 0
    data: int64_t = 0
    start: int64_t
    end: int64_t = n - 1
    if n < ZIPLIST_HEAD + 1 or load32(p) != n or p[end] != END:
        return False
    while at < end:
        start = at
        said = p[at]
        at += 1
        if said == END:
            return False
        if said == ZIPLIST_LONG:
            if end - at < 4:
                return False
            said = load32(p + at)
            at += 4
        if said != before or not _ziplist_sizes(p + at, end - at, cython.address(head), cython.address(data)):
            return False
        at += head + data
        last = start
        before = at - start
        items.count += 1
    said = load16(p + 8)
    items.p = p + ZIPLIST_HEAD
    items.end = p + end
    return load32(p + 4) == last and (said == items.count or said == ZIPLIST_COUNT_UNKNOWN)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _ziplist_entry(p: const_bytes, v: view_p) -> int64_t:
    """The element at p, which is sound; its bytes."""
    head: int64_t = 0
    data: int64_t = 0
    number: int64_t
    before: int64_t = 5 if p[0] == ZIPLIST_LONG else 1
    p += before
    _ziplist_sizes(p, 1 << 40, cython.address(head), cython.address(data))
    if p[0] <= 128:
        v.p = p + head
        v.n = data
        return before + head + data
    if p[0] == 0xC0:
        number = cython.cast(int16_t, load16(p + 1))
    elif p[0] == 0xD0:
        number = cython.cast(int32_t, load32(p + 1))
    elif p[0] == 0xE0:
        number = cython.cast(int64_t, load64(p + 1))
    elif p[0] == 0xF0:
        number = p[1] | p[2] << 8 | cython.cast(int8_t, p[3]) * 65536
    elif p[0] == 0xFE:
        number = cython.cast(int8_t, p[1])
    else:
        number = (p[0] & 15) - 1
    v.n = format_int(v.digits, number)
    v.p = v.digits
    return before + head + data


# ---- zipmap

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _zipmap_item(p: const_bytes, value: cython.bint, v: view_p) -> int64_t:
    """The field or value at p, which is sound; its bytes, with what is free behind it."""
    at: int64_t = 1
    free: int64_t = 0
    v.n = p[0]
    if p[0] == ZIPMAP_LONG:
        v.n = load32(p + 1)
        at = 5
    if value:
        free = p[at]
        at += 1
    v.p = p + at
    return at + v.n + free


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _zipmap_valid(p: const_bytes, n: cython.Py_ssize_t, items: items_p) -> cython.bint:
    at: int64_t = 1
    end: int64_t = n - 1
    size: int64_t
    value: cython.bint = False
    if n < 2 or p[end] != END:
        return False
    while at < end:
        size = p[at]
        at += 1
        if size == END:
            return False
        if size == ZIPMAP_LONG:
            if end - at < 4:
                return False
            size = load32(p + at)
            at += 4
        if value:
            if at >= end:
                return False
            size += p[at]
            at += 1
        if size > end - at:
            return False
        at += size
        items.count += 1
        value = not value
    items.p = p + 1
    items.end = p + end
    return not value and (p[0] >= ZIPMAP_LONG or p[0] == items.count // 2)
