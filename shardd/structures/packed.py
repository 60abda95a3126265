"""The packed block: a listpack's elements with room at both ends. A small list is one; a large one is a chain of them.

    +------+-------+------+-------+- - - -+---------+---------+- - -+---------+- - - - -+
    | room | start | size | count |  room | element | element |     | element |  room   |
    +------+-------+------+-------+- - - -+---------+---------+- - -+---------+- - - - -+
       four 16-bit fields                 ^ start                             ^ start + size

The elements are those of structures/listpack, byte for byte; what is missing is the listpack's frame (its total, its
count, its end mark), which pk_listpack puts around them where a real listpack is wanted. In return an element is added
or taken at either end without moving the others: pushing at the head of a listpack moves all of it, and touches all of
its cache lines.

How much room there is depends on who asks. A block that belongs to a small list grows to what the allocator gives
anyway, or by an eighth. One at the end of a large list, which goes on growing, doubles (`roomy`). Where there is room
only at the wrong end, and enough, the elements are moved, and a quarter of the room is left where it was, so that
pushing at both ends in turn is as cheap as at one. A block with much room to spare is made smaller when something is
taken out.

Invariants: what `pk_valid` looks at. A block has at most PK_ELEMENTS_MAX bytes of elements.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.shardd.base.native import bytep, store16, store32
from cython.cimports.shardd.structures.alloc import SMALL_MAX, allocate, block_bytes, real_size, release, resize
from cython.cimports.shardd.structures.listpack import (
    LpEncoded, lp_back_bytes, lp_before, lp_element_body, lp_encode, lp_skip, lp_text, lp_write)
from cython.cimports.shardd.structures.packed import (
    PK_ELEMENTS_MAX, PK_FRAME, PK_HEAD, Packed, pk_begin, pk_end, pk_fits)

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
packed_p = cython.typedef(cython.pointer(Packed))

ROOM_MAX = cython.declare(cython.size_t, 65528)         # bytes of a block: `start` has 16 bits
ROOMY_MIN = cython.declare(cython.size_t, 512)          # the smallest block that more is going to come to
DOUBLE_MAX = cython.declare(cython.size_t, 8192)        # a node of the default size; larger ones grow by an eighth
SPARE_MIN = cython.declare(cython.size_t, 32)           # no block is made smaller for less
ITEM_INT_MAX = cython.declare(cython.Py_ssize_t, 20)    # the longest text that may be an integer
SHORT_MAX = cython.declare(cython.Py_ssize_t, 63)       # the longest string with one byte of head


# ---- blocks

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _wanted(n: cython.size_t, roomy: cython.bint) -> cython.size_t:
    """The size of the block for `n` bytes of head and elements: a multiple of 8."""
    size: cython.size_t = (n + 7) & ~7
    if roomy and size <= DOUBLE_MAX:
        size = ROOMY_MIN
        while size < n:
            size *= 2
    elif size <= SMALL_MAX:
        size = real_size(size)
    else:
        size = (size + size // 8) & ~7
    return size if size < ROOM_MAX else ROOM_MAX


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _allocated(size: cython.size_t) -> packed_p:
    """An empty block of `size` bytes; NULL without memory."""
    b: packed_p = cython.cast(packed_p, allocate(size))
    if b != cython.NULL:
        b.room = cython.cast(uint16_t, size >> 3)
        b.start = PK_HEAD
        b.size = b.count = 0
    return b


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _room(b: packed_p) -> cython.size_t:
    return cython.cast(cython.size_t, b.room) << 3


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _spare(b: packed_p) -> cython.size_t:
    """Bytes that are free, at both ends together."""
    return _room(b) - PK_HEAD - b.size


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_new(n: cython.size_t, front: cython.bint) -> packed_p:
    """An empty block with room for `n` bytes of elements, at its front or its end; NULL without memory."""
    b: packed_p = _allocated(_wanted(PK_HEAD + n, False))
    if b != cython.NULL and front:
        b.start = cython.cast(uint16_t, _room(b))
    return b


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_free(b: packed_p) -> cython.void:
    """NULL is allowed."""
    if b != cython.NULL:
        release(b, _room(b))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _moved(b: packed_p, size: cython.size_t, front: cython.bint) -> packed_p:
    """A copy of the elements in another block of `size` bytes, with the room at the front or at the end."""
    fresh: packed_p = _allocated(size)
    if fresh != cython.NULL:
        fresh.size = b.size
        fresh.count = b.count
        if front:
            fresh.start = cython.cast(uint16_t, size - b.size)
        memcpy(pk_begin(fresh), pk_begin(b), b.size)
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_copy(b: packed_p) -> packed_p:
    """Another one of the same content; NULL without memory."""
    return _moved(b, (cython.cast(cython.size_t, PK_HEAD) + b.size + 7) & ~7, False)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_memory(b: packed_p) -> cython.size_t:
    """Bytes of memory that it takes, as used_memory counts them."""
    return block_bytes(b, _room(b))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _shift(b: packed_p, start: cython.size_t) -> cython.void:
    """Move all elements so that they begin at `start`."""
    memmove(cython.cast(bytep, b) + start, pk_begin(b), b.size)
    b.start = cython.cast(uint16_t, start)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _with_room(b: packed_p, front: cython.bint, n: cython.size_t, roomy: cython.bint) -> packed_p:
    """The block with room for `n` bytes at that end, which it has not; NULL where that cannot be."""
    spare: cython.size_t = _spare(b)
    size: cython.size_t
    fresh: packed_p
    if not pk_fits(b, n):
        return cython.NULL
    if spare >= n and spare - n >= _room(b) >> 3:
        size = (spare - n) >> 2         # stays at the other end
        _shift(b, PK_HEAD + spare - size if front else PK_HEAD + size)
        return b
    size = _wanted(cython.cast(cython.size_t, PK_HEAD) + b.size + n, roomy)
    if not front and b.start == PK_HEAD:
        fresh = cython.cast(packed_p, resize(b, _room(b), size))
        if fresh != cython.NULL:
            fresh.room = cython.cast(uint16_t, size >> 3)
        return fresh
    fresh = _moved(b, size, front)
    if fresh != cython.NULL:
        pk_free(b)
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_trim(b: packed_p) -> packed_p:
    """The block in as little memory as its elements need; where a smaller one cannot be had, as it was."""
    size: cython.size_t = (cython.cast(cython.size_t, PK_HEAD) + b.size + 7) & ~7
    fresh: packed_p
    if size <= SMALL_MAX:
        size = real_size(size)
    if size >= _room(b):
        return b
    if _room(b) <= SMALL_MAX or size <= SMALL_MAX:
        fresh = _moved(b, size, False)
        if fresh == cython.NULL:
            return b
        pk_free(b)
        return fresh
    if b.start != PK_HEAD:
        _shift(b, PK_HEAD)
    fresh = cython.cast(packed_p, resize(b, _room(b), size))
    if fresh == cython.NULL:
        return b
    fresh.room = cython.cast(uint16_t, size >> 3)
    return fresh


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _fitted(b: packed_p, roomy: cython.bint) -> packed_p:
    """The block after something was taken out: smaller where much of it is spare."""
    room: cython.size_t = _room(b)
    if _spare(b) > (room - (room >> 2) if roomy else (room >> 2) + SPARE_MIN) and room > SPARE_MIN * 2:
        return pk_trim(b)
    return b


# ---- at the ends

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_push(b: packed_p, front: cython.bint, text: const_bytes, n: cython.Py_ssize_t, roomy: cython.bint) -> packed_p:
    """Add a string at the front or at the end. `text` must not lie in the block."""
    e: LpEncoded
    size: cython.size_t
    p: bytep
    # what neither begins with a digit nor a sign is no integer; most short strings are found to be such here
    short: cython.bint = n <= SHORT_MAX and (n > ITEM_INT_MAX or n == 0 or text[0] > 57)
    if short:
        size = n + 2
    else:
        size = lp_encode(cython.address(e), text, n)
    if front:
        if cython.cast(cython.size_t, b.start) < size + PK_HEAD:
            b = _with_room(b, True, size, roomy)
            if b == cython.NULL:
                return cython.NULL
        b.start -= cython.cast(uint16_t, size)
        p = pk_begin(b)
    else:
        if _room(b) - b.start - b.size < size:
            b = _with_room(b, False, size, roomy)
            if b == cython.NULL:
                return cython.NULL
        p = pk_end(b)
    b.size += cython.cast(uint16_t, size)
    b.count += 1
    if short:
        p[0] = cython.cast(uint8_t, 128 | n)
        memcpy(p + 1, text, n)
        p[n + 1] = cython.cast(uint8_t, n + 1)
    else:
        lp_write(p, cython.address(e), text)
    return b


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_drop(b: packed_p, front: cython.bint, roomy: cython.bint) -> packed_p:
    """Take out the first or the last element, which must be there."""
    size: cython.size_t
    if front:
        size = lp_skip(pk_begin(b)) - pk_begin(b)
        b.start += cython.cast(uint16_t, size)
    else:
        size = pk_end(b) - lp_before(pk_end(b))
    b.size -= cython.cast(uint16_t, size)
    b.count -= 1
    return _fitted(b, roomy)


# ---- in the middle

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hole(b: packed_p, at: cython.size_t, old: cython.size_t, new: cython.size_t, roomy: cython.bint) -> packed_p:
    """Make the `old` bytes there `new` ones, whose content is open, moving the shorter side; NULL: no memory."""
    more: cython.size_t
    front: cython.bint = at < b.size - at - old     # that side is the shorter one
    if new > old:
        more = new - old
        if front and b.start < more + PK_HEAD and _room(b) - b.start - b.size >= more:
            front = False
        elif not front and _room(b) - b.start - b.size < more and b.start >= more + PK_HEAD:
            front = True
        if (b.start < more + PK_HEAD) if front else (_room(b) - b.start - b.size < more):
            b = _with_room(b, front, more, roomy)
            if b == cython.NULL:
                return cython.NULL
        if front:
            memmove(pk_begin(b) - more, pk_begin(b), at)
            b.start -= cython.cast(uint16_t, more)
        else:
            memmove(pk_begin(b) + at + new, pk_begin(b) + at + old, b.size - at - old)
        b.size += cython.cast(uint16_t, more)
    elif new < old:
        more = old - new
        if front:
            memmove(pk_begin(b) + more, pk_begin(b), at)
            b.start += cython.cast(uint16_t, more)
        else:
            memmove(pk_begin(b) + at + new, pk_begin(b) + at + old, b.size - at - old)
        b.size -= cython.cast(uint16_t, more)
    return b


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_insert(b: packed_p, at: cython.size_t, text: const_bytes, n: cython.Py_ssize_t, roomy: cython.bint) -> packed_p:
    """Add a string before the element at `at`, which may be the end. `text` must not lie in the block."""
    e: LpEncoded
    b = _hole(b, at, 0, lp_encode(cython.address(e), text, n), roomy)
    if b != cython.NULL:
        lp_write(pk_begin(b) + at, cython.address(e), text)
        b.count += 1
    return b


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_replace(b: packed_p, at: cython.size_t, text: const_bytes, n: cython.Py_ssize_t,
               roomy: cython.bint) -> packed_p:
    """Put a string in the place of the element at `at`. `text` must not lie in the block."""
    e: LpEncoded
    p: bytep = pk_begin(b) + at
    b = _hole(b, at, lp_skip(p) - p, lp_encode(cython.address(e), text, n), roomy)
    if b != cython.NULL:
        lp_write(pk_begin(b) + at, cython.address(e), text)
        b = _fitted(b, roomy)
    return b


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_delete(b: packed_p, at: cython.size_t, count: uint32_t, roomy: cython.bint) -> packed_p:
    """Take out `count` elements, which must be there, from the one at `at` on."""
    end: bytep = pk_begin(b) + at
    left: uint32_t = count
    if at == 0 and count == b.count:
        end = pk_end(b)
        left = 0
    while left > 0:
        end = lp_skip(end)
        left -= 1
    b = _hole(b, at, end - pk_begin(b) - at, 0, roomy)
    b.count -= cython.cast(uint16_t, count)
    return _fitted(b, roomy)


# ---- two blocks

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_split(b: packed_p, at: cython.size_t, count: uint32_t) -> packed_p:
    """Move the elements from `at` on, `count` of them, to a new block; NULL without memory, and nothing is changed."""
    size: cython.size_t = b.size - at
    fresh: packed_p = pk_new(size, False)
    if fresh == cython.NULL:
        return cython.NULL
    memcpy(pk_begin(fresh), pk_begin(b) + at, size)
    fresh.size = cython.cast(uint16_t, size)
    fresh.count = cython.cast(uint16_t, count)
    b.size -= cython.cast(uint16_t, size)
    b.count -= cython.cast(uint16_t, count)
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_join(b: packed_p, other: packed_p) -> packed_p:
    """Append the elements of another block, which stays as it is; NULL without memory, or where they are too many."""
    if _room(b) - b.start - b.size < other.size:
        b = _with_room(b, False, other.size, False)
    if b != cython.NULL:
        memcpy(pk_end(b), pk_begin(other), other.size)
        b.size += other.size
        b.count += other.count
    return b


# ---- looking

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_seek(b: packed_p, index: uint32_t) -> bytep:
    """The element of that index, which must be there; walked to from the nearer end."""
    p: bytep
    if index <= b.count // 2:
        p = pk_begin(b)
        while index > 0:
            p = lp_skip(p)
            index -= 1
        return p
    index = b.count - index
    p = pk_end(b)
    while index > 0:
        p = lp_before(p)
        index -= 1
    return p


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_listpack(b: packed_p, out: bytep) -> cython.void:
    """Write the block as a listpack, of b.size + PK_FRAME bytes."""
    store32(out, cython.cast(uint32_t, b.size) + PK_FRAME)
    store16(out + 4, b.count)
    memcpy(out + 6, pk_begin(b), b.size)
    out[6 + b.size] = 255


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_valid(b: packed_p) -> cython.bint:
    """Whether the fields and the elements of a block fit together."""
    p: bytep = pk_begin(b)
    end: bytep = pk_end(b)
    body: cython.Py_ssize_t
    count: uint32_t = 0
    if b.start < PK_HEAD or cython.cast(cython.size_t, b.start) + b.size > _room(b) or b.size > PK_ELEMENTS_MAX:
        return False
    while p < end:
        body = lp_element_body(p)
        if body == 0 or body + lp_back_bytes(body) > end - p or lp_before(lp_skip(p)) != p:
            return False
        p = lp_skip(p)
        count += 1
    return p == end and count == b.count


# ---- what the keyspace wants of a body

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pk_body_length(body: cython.p_void) -> uint64_t:
    return cython.cast(packed_p, body).count


@cython.cfunc
@cython.exceptval(check=False)
def pk_body_bytes(body: cython.p_void) -> cython.size_t:
    return pk_memory(cython.cast(packed_p, body))


@cython.cfunc
@cython.exceptval(check=False)
def pk_body_copy(body: cython.p_void) -> cython.p_void:
    return pk_copy(cython.cast(packed_p, body))


@cython.cfunc
@cython.exceptval(check=False)
def pk_body_free(body: cython.p_void, elements: int64_t) -> cython.bint:
    """It is one block, so all goes at once."""
    pk_free(cython.cast(packed_p, body))
    return True


@cython.cfunc
def pk_body_items(body: cython.p_void) -> object:
    b: packed_p = cython.cast(packed_p, body)
    p: bytep = pk_begin(b)
    found: list = []
    while p < pk_end(b):
        found.append(_text(p))
        p = lp_skip(p)
    return found


@cython.cfunc
@cython.exceptval(-1, check=False)
def pk_body_check(body: cython.p_void) -> cython.int:
    assert pk_valid(cython.cast(packed_p, body)), "a packed block is damaged"
    return 0


@cython.cfunc
def _text(p: bytep) -> object:
    digits: uint8_t[24]
    text: const_bytes
    n: cython.Py_ssize_t = lp_text(p, digits, cython.address(text))
    return cython.cast(cython.p_char, text)[:n]


class Probe:
    """A block in the hands of a unit test."""

    def __init__(self, roomy: bool = False) -> None:
        """Empty. Raises MemoryError."""
        self.roomy = roomy
        self.address = _kept(pk_new(0, False))

    def close(self) -> None:
        """Free it."""
        pk_free(_at(self.address))
        self.address = 0

    def valid(self) -> bool:
        """pk_valid."""
        return pk_valid(_at(self.address))

    def fields(self) -> tuple:
        """Room (bytes of the block), start, size, count."""
        b: packed_p = _at(self.address)
        return _room(b), b.start, b.size, b.count

    def items(self) -> list:
        """All elements, as bytes."""
        return pk_body_items(_at(self.address))

    def raw(self) -> bytes:
        """As a listpack."""
        b: packed_p = _at(self.address)
        out: bytearray = bytearray(b.size + PK_FRAME)
        pk_listpack(b, cython.cast(bytep, cython.cast(cython.p_char, out)))
        return bytes(out)

    def seek(self, index: int) -> bytes:
        """The element of this index."""
        return _text(pk_seek(_at(self.address), index))

    def push(self, front: bool, text: bytes) -> None:
        """pk_push."""
        self.address = _kept(pk_push(_at(self.address), front, _bytes(text), len(text), self.roomy))

    def drop(self, front: bool) -> None:
        """pk_drop."""
        self.address = _kept(pk_drop(_at(self.address), front, self.roomy))

    def insert(self, index: int, text: bytes) -> None:
        """pk_insert before the element of this index; its length: at the end."""
        b: packed_p = _at(self.address)
        self.address = _kept(pk_insert(b, _place(b, index), _bytes(text), len(text), self.roomy))

    def replace(self, index: int, text: bytes) -> None:
        """pk_replace."""
        b: packed_p = _at(self.address)
        self.address = _kept(pk_replace(b, _place(b, index), _bytes(text), len(text), self.roomy))

    def delete(self, index: int, count: int) -> None:
        """pk_delete."""
        b: packed_p = _at(self.address)
        self.address = _kept(pk_delete(b, _place(b, index), count, self.roomy))

    def split_and_join(self, index: int) -> tuple:
        """Split there; how many each part has. They are joined again."""
        b: packed_p = _at(self.address)
        tail: packed_p = pk_split(b, _place(b, index), b.count - index)
        if tail == cython.NULL:
            raise MemoryError
        counts: tuple = (b.count, tail.count)
        self.address = _kept(pk_join(b, tail))
        pk_free(tail)
        return counts

    def trim(self) -> None:
        """pk_trim."""
        self.address = _kept(pk_trim(_at(self.address)))


@cython.cfunc
def _at(address: object) -> packed_p:
    return cython.cast(packed_p, cython.cast(cython.size_t, address))


@cython.cfunc
def _kept(b: packed_p) -> object:
    if b == cython.NULL:
        raise MemoryError
    return cython.cast(cython.size_t, b)


@cython.cfunc
def _bytes(text: bytes) -> const_bytes:
    return cython.cast(bytep, cython.cast(cython.p_char, text))


@cython.cfunc
@cython.exceptval(check=False)
def _place(b: packed_p, index: uint32_t) -> cython.size_t:
    return b.size if index == b.count else pk_seek(b, index) - pk_begin(b)
