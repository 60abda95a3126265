"""The intset: a small set of integers in one sorted block. Redis's own format.

    +-----------+------------+---------+---------+- -
    | u32 width | u32 length | integer | integer |        little-endian, ascending, each of `width` bytes: 2, 4 or 8
    +-----------+------------+---------+---------+- -

    is 5 in it?      binary search: eight looks in a set of 200
    add 70000        beyond 16 bits, so every integer is written anew with 32. It is the largest or the smallest then,
                     or it would have fitted; what is removed never makes the integers narrower again

Since RDB files and DUMP hold intsets as they are, the bytes are those that Redis writes. (Source: redis/src/intset.c.)
The block is as large as its first two fields say, so that its owner needs to keep nothing but the pointer.

Invariants: what `intset_valid` looks at. An integer is there once.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.shardd.base.native import bytep, load16, load32, load64, store16, store32, store64
from cython.cimports.shardd.structures.alloc import SMALL_MAX, allocate, block_bytes, release, resize

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

HEAD = cython.declare(cython.size_t, 8)
NARROWEST = cython.declare(uint32_t, 2)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _width(value: int64_t) -> uint32_t:
    """Bytes that this integer needs."""
    if -32768 <= value <= 32767:
        return 2
    return 4 if -2147483648 <= value <= 2147483647 else 8


@cython.cfunc
@cython.inline
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _load(p: const_bytes, width: uint32_t) -> int64_t:
    if width == 2:
        return cython.cast(cython.short, load16(p))
    if width == 4:
        return cython.cast(cython.int, load32(p))
    return cython.cast(int64_t, load64(p))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _store(p: bytep, width: uint32_t, value: int64_t) -> cython.void:
    bits: uint64_t = cython.cast(uint64_t, value)
    if width == 2:
        store16(p, cython.cast(uint16_t, bits))
    elif width == 4:
        store32(p, cython.cast(uint32_t, bits))
    else:
        store64(p, bits)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _size(width: uint32_t, length: uint32_t) -> cython.size_t:
    return HEAD + cython.cast(cython.size_t, width) * length


# ---- whole ones

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_new() -> bytep:
    """An empty one; NULL without memory."""
    s: bytep = cython.cast(bytep, allocate(HEAD))
    if s != cython.NULL:
        store32(s, NARROWEST)
        store32(s + 4, 0)
    return s


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_free(s: bytep) -> cython.void:
    release(s, intset_bytes(s))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_copy(s: bytep) -> bytep:
    """Another one of the same content; NULL without memory."""
    size: cython.size_t = intset_bytes(s)
    fresh: bytep = cython.cast(bytep, allocate(size))
    if fresh != cython.NULL:
        memcpy(fresh, s, size)
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_bytes(s: const_bytes) -> cython.size_t:
    """Bytes of the intset."""
    return _size(load32(s), load32(s + 4))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_memory(s: bytep) -> cython.size_t:
    """Bytes of memory that it takes, as used_memory counts them."""
    return block_bytes(s, intset_bytes(s))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_length(s: const_bytes) -> uint32_t:
    """How many integers."""
    return load32(s + 4)


# ---- looking

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_get(s: const_bytes, index: uint32_t) -> int64_t:
    """The integer of that rank, from 0; it must be there."""
    width: uint32_t = load32(s)
    return _load(s + _size(width, index), width)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_find(s: const_bytes, value: int64_t, index: cython.pointer(uint32_t)) -> cython.bint:
    """Whether it is there; `index` is its rank, or the one that it would get."""
    width: uint32_t = load32(s)
    low: uint32_t = 0
    high: uint32_t = load32(s + 4)
    middle: uint32_t
    there: int64_t
    if high > 0 and value > intset_get(s, high - 1):    # often what is added is the largest
        low = high
    while low < high:
        middle = low + (high - low) // 2
        there = _load(s + _size(width, middle), width)
        if there == value:
            index[0] = middle
            return True
        if there < value:
            low = middle + 1
        else:
            high = middle
    index[0] = low
    return False


# ---- changes

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _widened(s: bytep, width: uint32_t, index: uint32_t, value: int64_t) -> bytep:
    """The intset with wider integers and one more, at its end or its beginning."""
    length: uint32_t = load32(s + 4)
    old: uint32_t = load32(s)
    first: uint32_t = 1 if index == 0 else 0
    i: uint32_t
    fresh: bytep = cython.cast(bytep, allocate(_size(width, length + 1)))
    if fresh == cython.NULL:
        return cython.NULL
    store32(fresh, width)
    store32(fresh + 4, length + 1)
    for i in range(length):
        _store(fresh + _size(width, i + first), width, _load(s + _size(old, i), old))
    _store(fresh + _size(width, index), width, value)
    intset_free(s)
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_insert(s: bytep, index: uint32_t, value: int64_t) -> bytep:
    """Put in an integer that is absent, at the rank that intset_find gave; the new address, NULL without memory."""
    width: uint32_t = load32(s)
    length: uint32_t = load32(s + 4)
    if _width(value) > width:
        return _widened(s, _width(value), index, value)
    s = cython.cast(bytep, resize(s, _size(width, length), _size(width, length + 1)))
    if s == cython.NULL:
        return cython.NULL
    memmove(s + _size(width, index + 1), s + _size(width, index), cython.cast(cython.size_t, length - index) * width)
    _store(s + _size(width, index), width, value)
    store32(s + 4, length + 1)
    return s


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_delete(s: bytep, index: uint32_t) -> bytep:
    """Take out the integer of that rank; the new address. NULL, and nothing is changed, where a smaller block is needed
    and cannot be had.
    """
    width: uint32_t = load32(s)
    length: uint32_t = load32(s + 4)
    before: cython.size_t = _size(width, length)
    after: cython.size_t = before - width
    block: bytep
    if before > SMALL_MAX and after <= SMALL_MAX:       # another allocator's
        block = cython.cast(bytep, allocate(after))
        if block == cython.NULL:
            return cython.NULL
        memcpy(block, s, _size(width, index))
        memcpy(block + _size(width, index), s + _size(width, index + 1),
               cython.cast(cython.size_t, length - index - 1) * width)
        release(s, before)
        store32(block + 4, length - 1)
        return block
    memmove(s + _size(width, index), s + _size(width, index + 1),
            cython.cast(cython.size_t, length - index - 1) * width)
    store32(s + 4, length - 1)
    block = cython.cast(bytep, resize(s, before, after))
    return block if block != cython.NULL else s         # a larger block of the same kind does as well


# ---- whether it is one

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def intset_valid(s: const_bytes, size: cython.size_t) -> cython.bint:
    """Whether the `size` bytes at s are an intset: a known width, the length that fits, integers in order."""
    width: uint32_t
    i: uint32_t
    if size < HEAD:
        return False
    width = load32(s)
    if (width != 2 and width != 4 and width != 8) or _size(width, load32(s + 4)) != size:
        return False
    for i in range(1, load32(s + 4)):
        if intset_get(s, i - 1) >= intset_get(s, i):
            return False
    return True


# ---- what the keyspace wants of a body

@cython.cfunc
@cython.exceptval(check=False)
def intset_body_bytes(body: cython.p_void) -> cython.size_t:
    return intset_memory(cython.cast(bytep, body))


@cython.cfunc
@cython.exceptval(check=False)
def intset_body_copy(body: cython.p_void) -> cython.p_void:
    return intset_copy(cython.cast(bytep, body))


@cython.cfunc
@cython.exceptval(check=False)
def intset_body_free(body: cython.p_void, elements: int64_t) -> cython.bint:
    """It is one block, so all goes at once."""
    intset_free(cython.cast(bytep, body))
    return True


class Probe:
    """An intset in the hands of a unit test."""

    def __init__(self) -> None:
        """Empty. Raises MemoryError."""
        self.address = _kept(intset_new())

    def close(self) -> None:
        """Free it."""
        intset_free(_at(self.address))
        self.address = 0

    def raw(self) -> bytes:
        """Its bytes."""
        s: bytep = _at(self.address)
        return cython.cast(cython.p_char, s)[:intset_bytes(s)]

    def memory(self) -> int:
        """As used_memory counts it."""
        return intset_memory(_at(self.address))

    def items(self) -> list:
        """All integers, by rank."""
        s: bytep = _at(self.address)
        return [intset_get(s, i) for i in range(intset_length(s))]

    def rank(self, value: int) -> int:
        """Its rank, -1 where it is not there."""
        index: uint32_t
        return index if intset_find(_at(self.address), value, cython.address(index)) else -1

    def add(self, value: int) -> bool:
        """Whether it is new. Raises MemoryError, and nothing is changed then."""
        index: uint32_t
        if intset_find(_at(self.address), value, cython.address(index)):
            return False
        self.address = _kept(intset_insert(_at(self.address), index, value))
        return True

    def remove(self, value: int) -> bool:
        """Whether it was there. Raises MemoryError, and nothing is changed then."""
        index: uint32_t
        if not intset_find(_at(self.address), value, cython.address(index)):
            return False
        self.address = _kept(intset_delete(_at(self.address), index))
        return True

    def copy(self) -> object:
        """Another one."""
        other: object = Probe()
        other.close()
        other.address = _kept(intset_copy(_at(self.address)))
        return other


@cython.cfunc
def _at(address: object) -> bytep:
    return cython.cast(bytep, cython.cast(cython.size_t, address))


@cython.cfunc
def _kept(s: bytep) -> object:
    if s == cython.NULL:
        raise MemoryError
    return cython.cast(cython.size_t, s)


def valid(raw: bytes) -> bool:
    """intset_valid."""
    return intset_valid(cython.cast(bytep, cython.cast(cython.p_char, raw)), len(raw))
