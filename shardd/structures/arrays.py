"""Arrays of 4 KiB to 1 MiB: a buddy allocator, for the bucket arrays of tables.

    chunk, 4 MiB on a 4 MiB boundary, in units of 4 KiB
    +--------+----+--------+----------------+- - -+--------------------------------+
    | header | 4K |   8K   |      16K       |     |              2M                |
    +--------+----+--------+----------------+- - -+--------------------------------+
      state[unit]: ORDER | FREE where a block of 2**order units begins there; 0 inside a block

A block of 2**k units begins at a multiple of its size; its buddy is the block beside it with which it makes up one of
2**(k+1), at `unit ^ 2**k`. Taking splits the smallest free block that is large enough; giving back joins free buddies,
as far up as that goes. Free blocks of an order are on a list that is threaded through them. Both take some ten steps at
most: libc's malloc, which tables used before, now and then gave back or tidied up megabytes within one free().

A chunk that is wholly free is unmapped, but for one. Tables double and halve, so that all sizes are powers of two and
what one table outgrew is what the next one grows into.

Invariants: two free buddies of one order do not exist; every unit belongs to one block; unit 0 is the header's.
"""
import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uintptr_t
from cython.cimports.libc.string import memset
from cython.cimports.shardd.structures.chunks import CHUNK, map_chunk, unmap_chunk

UNIT = cython.declare(cython.size_t, 4096)
UNITS = cython.declare(cython.int, 1024)
ORDERS = cython.declare(cython.int, 10)         # 4 KiB to 2 MiB: the header keeps a chunk from being one block
FREE = cython.declare(uint8_t, 128)
STARTS = cython.declare(uint8_t, 64)            # so that order 0 is told from the inside of a block
ARRAY_MIN = cython.declare(cython.size_t, 4096)
ARRAY_MAX = cython.declare(cython.size_t, 1 << 20)

Chunk = cython.struct(
    used=uint32_t,                              # units in blocks that are taken
    next=cython.p_void, prev=cython.p_void,     # all chunks, for check()
    state=uint8_t[1024])

Block = cython.struct(next=cython.p_void, prev=cython.p_void)       # a free one

chunk_p = cython.typedef(cython.pointer(Chunk))
block_p = cython.typedef(cython.pointer(Block))

_free = cython.declare(block_p[10])
_chunks = cython.declare(chunk_p, cython.NULL)
_empty = cython.declare(cython.int, 0)          # chunks in which nothing is taken


def _no_blocks() -> None:
    order: cython.int
    assert cython.sizeof(Chunk) <= UNIT and UNIT * UNITS == CHUNK
    for order in range(ORDERS):
        _free[order] = cython.NULL


_no_blocks()


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _chunk_of(p: cython.p_void) -> chunk_p:
    return cython.cast(chunk_p, cython.cast(uintptr_t, p) & ~(CHUNK - 1))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _order_of(n: cython.size_t) -> cython.int:
    order: cython.int = 0
    while (UNIT << order) < n:
        order += 1
    return order


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _list(chunk: chunk_p, unit: uint32_t, order: cython.int) -> cython.void:
    """A block becomes free."""
    block: block_p = cython.cast(block_p, cython.cast(cython.p_char, chunk) + unit * UNIT)
    block.prev = cython.NULL
    block.next = _free[order]
    if block.next != cython.NULL:
        cython.cast(block_p, block.next).prev = block
    _free[order] = block
    chunk.state[unit] = STARTS | FREE | order


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _unlist(chunk: chunk_p, unit: uint32_t, order: cython.int) -> cython.void:
    """A free block is taken, or becomes part of another one."""
    block: block_p = cython.cast(block_p, cython.cast(cython.p_char, chunk) + unit * UNIT)
    if block.next != cython.NULL:
        cython.cast(block_p, block.next).prev = block.prev
    if block.prev != cython.NULL:
        cython.cast(block_p, block.prev).next = block.next
    else:
        _free[order] = cython.cast(block_p, block.next)
    chunk.state[unit] = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _add_chunk() -> cython.bint:
    """A fresh chunk: the header's unit, and behind it one free block of each order."""
    global _chunks, _empty
    chunk: chunk_p = cython.cast(chunk_p, map_chunk())
    if chunk == cython.NULL:
        return False
    chunk.used = 0
    chunk.prev = cython.NULL
    chunk.next = _chunks
    if _chunks != cython.NULL:
        _chunks.prev = chunk
    _chunks = chunk
    chunk.state[0] = STARTS
    _empty += 1
    order: cython.int
    for order in range(ORDERS):
        _list(chunk, cython.cast(uint32_t, 1) << order, order)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _drop_chunk(chunk: chunk_p) -> cython.void:
    """Unmap a chunk in which nothing is taken; all that is free in it has been joined."""
    global _chunks, _empty
    order: cython.int
    for order in range(ORDERS):
        _unlist(chunk, cython.cast(uint32_t, 1) << order, order)
    if chunk.next != cython.NULL:
        cython.cast(chunk_p, chunk.next).prev = chunk.prev
    if chunk.prev != cython.NULL:
        cython.cast(chunk_p, chunk.prev).next = chunk.next
    else:
        _chunks = cython.cast(chunk_p, chunk.next)
    _empty -= 1
    unmap_chunk(chunk)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def array_take(n: cython.size_t) -> cython.p_void:
    """`n` zeroed bytes on a 4 KiB boundary, n a power of two from ARRAY_MIN to ARRAY_MAX; NULL without memory."""
    global _empty
    order: cython.int = _order_of(n)
    have: cython.int = order
    while have < ORDERS and _free[have] == cython.NULL:
        have += 1
    if have == ORDERS:
        if not _add_chunk():
            return cython.NULL
        have = order
    p: cython.p_void = _free[have]
    chunk: chunk_p = _chunk_of(p)
    unit: uint32_t = cython.cast(uint32_t, (cython.cast(uintptr_t, p) & (CHUNK - 1)) // UNIT)
    _unlist(chunk, unit, have)
    while have > order:
        have -= 1
        _list(chunk, unit + (cython.cast(uint32_t, 1) << have), have)
    chunk.state[unit] = STARTS | order
    if chunk.used == 0:
        _empty -= 1
    chunk.used += cython.cast(uint32_t, 1) << order
    memset(p, 0, n)
    return p


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def array_give(p: cython.p_void, n: cython.size_t) -> cython.void:
    """Take back what array_take(n) gave."""
    global _empty
    order: cython.int = _order_of(n)
    chunk: chunk_p = _chunk_of(p)
    unit: uint32_t = cython.cast(uint32_t, (cython.cast(uintptr_t, p) & (CHUNK - 1)) // UNIT)
    buddy: uint32_t
    chunk.used -= cython.cast(uint32_t, 1) << order
    chunk.state[unit] = 0
    while order < ORDERS - 1:
        buddy = unit ^ (cython.cast(uint32_t, 1) << order)
        if chunk.state[buddy] != STARTS | FREE | order:
            break
        _unlist(chunk, buddy, order)
        unit &= buddy
        order += 1
    _list(chunk, unit, order)
    if chunk.used == 0:
        _empty += 1
        if _empty > 1:
            _drop_chunk(chunk)


@cython.overflowcheck(False)
def check() -> int:
    """Walk all chunks; returns the bytes in use. Raises AssertionError on damage."""
    total: int = 0
    empty: int = 0
    unit: cython.int
    order: cython.int
    free_blocks: list = [0] * ORDERS
    listed: list = [0] * ORDERS
    chunk: chunk_p = _chunks
    block: block_p
    while chunk != cython.NULL:
        unit = used = 0
        while unit < UNITS:
            state: int = chunk.state[unit]
            order = state & 15
            assert state & STARTS and unit % (1 << order) == 0
            if state & FREE:
                free_blocks[order] += 1
                assert order == ORDERS - 1 or chunk.state[unit ^ (1 << order)] != state, "two free buddies"
            elif unit > 0:
                used += 1 << order
            unit += 1 << order
        assert used == chunk.used
        empty += used == 0
        total += used * 4096
        chunk = cython.cast(chunk_p, chunk.next)
    for order in range(ORDERS):
        block = _free[order]
        while block != cython.NULL:
            listed[order] += 1
            assert block.next == cython.NULL or cython.cast(block_p, block.next).prev == block
            block = cython.cast(block_p, block.next)
    assert listed == free_blocks and empty == _empty
    return total


class Probe:
    """Arrays held for a unit test, through the C functions."""

    def take(self, n: int) -> int:
        """The address of n zeroed bytes. Raises MemoryError, and AssertionError where they are not zero."""
        at: cython.size_t
        p: cython.p_char = cython.cast(cython.p_char, array_take(n))
        if p == cython.NULL:
            raise MemoryError
        for at in range(n):
            assert p[at] == 0
        memset(p, 255, n)
        return cython.cast(uintptr_t, p)

    def give(self, address: int, n: int) -> None:
        """Give them back."""
        array_give(cython.cast(cython.p_void, cython.cast(uintptr_t, address)), n)
