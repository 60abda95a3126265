"""The directory of a list: which blocks it has, how many elements each holds, and which of them are compressed.

    Quicklist --head--> +---------+ <----> +---------+ <----> +---------+ <--tail--
                        | segment |        | segment |        | segment |     up to 62 nodes each, with their sum
                        | node 0  |        | node 0  |        | node 0  |
                        | node 1  |        | node 1  |        +---------+
                        | ...     |        +---------+
                        +---------+
                           |   |
                           |   +--> plain: the bytes of one large element
                           +--> Packed: elements of up to list-max-listpack-size        structures/packed

A node is 16 bytes beside its block: the pointer, the number of elements, what the block is. Since they lie side by
side, LINDEX and LRANGE pass over 62 nodes by one sum, or over one by one count, without a look at any block: finding
the middle of a million elements reads some 70 cache lines.

list-compress-depth: with a depth of n > 0, nodes that have n others between them and either end are kept as LZF, where
that saves anything. Nodes within the depth are unpacked when they come there, or, where that failed for want of memory,
when they are used.

A node takes an element where Redis's node would (source: quicklist.c of Redis 7.2: quicklistNodeLimit, isLargeElement,
_quicklistNodeAllowInsert): that shows in DEBUG OBJECT, and in when a list becomes a listpack again.

Owns nodes, segments and what is compressed. What is in a block is packed.py's, what a list can do quicklist.py's.

Invariants: no segment is empty; its count is that of its nodes. A compressed node lies within the depth of neither end,
unless there was no memory to unpack it.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memmove, memset
from cython.cimports.shardd.base.native import bytep, load32, store32
from cython.cimports.shardd.structures.alloc import allocate, release, resize
from cython.cimports.shardd.structures.list_nodes import (
    QL_LZF, QL_PLAIN, QlNode, QlSegment, Quicklist, ln_node, ln_segment_bytes)
from cython.cimports.shardd.structures.lzf import lzf_compress, lzf_decompress
from cython.cimports.shardd.structures.packed import PK_FRAME, Packed, pk_begin, pk_fits, pk_free, pk_new

from shardd.base import limits

packed_p = cython.typedef(cython.pointer(Packed))
node_p = cython.typedef(cython.pointer(QlNode))
segment_p = cython.typedef(cython.pointer(QlSegment))
quicklist_p = cython.typedef(cython.pointer(Quicklist))

SEGMENT_NODES = cython.declare(cython.int, limits.LIST_SEGMENT_NODES)
SAFE_BYTES = cython.declare(cython.size_t, 8192)    # of a node, where its elements are what is limited
CLASS_BYTES = cython.declare(cython.size_t, 4096)   # of a node of class -1; each further class doubles it
CLASSES = cython.declare(cython.int, 5)
COUNT_MAX = cython.declare(cython.int, 32767)       # of list-max-listpack-size that makes a difference, as in Redis
GUESS_BYTES = cython.declare(cython.size_t, 8)      # what Redis reckons for an element beside its string
PLAIN_ALWAYS = cython.declare(cython.size_t, 65000)     # larger elements do not go into a packed block
LZF_BYTES_MIN = cython.declare(cython.size_t, 48)   # not tried on less, as in Redis
LZF_SAVES_MIN = cython.declare(cython.size_t, 8)    # not kept for less, as in Redis
LZF_BYTES_MAX = cython.declare(cython.size_t, limits.LIST_COMPRESS_BYTES_MAX)

_plain_min = cython.declare(cython.size_t, 0)       # DEBUG QUICKLIST-PACKED-THRESHOLD; 0: what a node cannot hold


# ---- limits

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_limits(fill: cython.int, size: cython.pointer(cython.size_t), count: cython.pointer(uint64_t)) -> cython.void:
    """What list-max-listpack-size means: so many elements, or (negative) a class of bytes. The other is no limit."""
    size[0] = cython.cast(cython.size_t, -1)
    count[0] = cython.cast(uint64_t, -1)
    if fill >= 0:
        count[0] = 1 if fill == 0 else fill if fill < COUNT_MAX else COUNT_MAX
    else:
        size[0] = CLASS_BYTES << (-fill - 1 if fill > -CLASSES else CLASSES - 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_exceeds(fill: cython.int, size: cython.size_t, count: uint64_t) -> cython.bint:
    """Whether a listpack of `size` bytes, its frame included, and `count` elements is above list-max-listpack-size."""
    size_max: cython.size_t
    count_max: uint64_t
    ql_limits(fill, cython.address(size_max), cython.address(count_max))
    if fill < 0:
        return size > size_max
    return size > SAFE_BYTES or count > count_max


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_is_large(q: quicklist_p, n: cython.size_t) -> cython.bint:
    """Whether an element of so many bytes gets a node of its own, without encoding."""
    size_max: cython.size_t
    count_max: uint64_t
    if n <= 4096 and _plain_min == 0:
        return False
    if n > PLAIN_ALWAYS:
        return True
    if _plain_min:
        return n >= _plain_min
    ql_limits(q.fill, cython.address(size_max), cython.address(count_max))
    return n > (SAFE_BYTES if q.fill >= 0 else size_max)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_set_plain_min(n: cython.size_t) -> cython.void:
    """From how many bytes on an element is plain; 0: from what a node cannot hold."""
    global _plain_min
    _plain_min = n


def set_packed_threshold(size: int) -> None:
    """ql_set_plain_min, for DEBUG."""
    ql_set_plain_min(size)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_takes(q: quicklist_p, node: node_p, n: cython.size_t) -> cython.bint:
    """Whether a node, which is not compressed, takes an element of `n` bytes more."""
    b: packed_p = cython.cast(packed_p, node.p)
    if node.form != 0 or ln_is_large(q, n):
        return False
    return (not ql_exceeds(q.fill, PK_FRAME + b.size + n + GUESS_BYTES, node.count + 1)
            and pk_fits(b, n + GUESS_BYTES + GUESS_BYTES))


# ---- nodes and segments


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_free_block(node: node_p) -> cython.void:
    if node.form == 0:
        pk_free(cython.cast(packed_p, node.p))
    else:
        release(node.p, node.bytes)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_segment_new(q: quicklist_p, prev: segment_p, cap: cython.int) -> segment_p:
    """An empty segment behind `prev`, NULL: at the head. NULL without memory."""
    seg: segment_p = cython.cast(segment_p, allocate(ln_segment_bytes(cap)))
    if seg == cython.NULL:
        return cython.NULL
    seg.count = seg.used = 0
    seg.cap = cython.cast(uint16_t, cap)
    seg.prev = prev
    seg.next = q.head if prev == cython.NULL else prev.next
    ln_tie(q, seg)
    return seg


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_tie(q: quicklist_p, seg: segment_p) -> cython.void:
    """Have the neighbours of a segment point to it."""
    if seg.prev == cython.NULL:
        q.head = seg
    else:
        seg.prev.next = seg
    if seg.next == cython.NULL:
        q.tail = seg
    else:
        seg.next.prev = seg


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_untie(q: quicklist_p, seg: segment_p) -> cython.void:
    """Take a segment out of the chain."""
    if seg.prev == cython.NULL:
        q.head = seg.next
    else:
        seg.prev.next = seg.next
    if seg.next == cython.NULL:
        q.tail = seg.prev
    else:
        seg.next.prev = seg.prev


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_place(q: quicklist_p, at: cython.pointer(segment_p), i: cython.pointer(cython.int)) -> cython.bint:
    """Make a place before node i of a segment (which may be NULL in an empty list); both are where it is then.

    The place is counted as a node without elements: it has to be filled, or removed.
    """
    seg: segment_p = at[0]
    fresh: segment_p
    half: cython.int
    k: cython.int
    if seg == cython.NULL:
        seg = ln_segment_new(q, cython.NULL, 2)
        i[0] = 0
    elif seg.used == SEGMENT_NODES:
        if i[0] == seg.used:
            seg = ln_segment_new(q, seg, 6)
            i[0] = 0
        elif i[0] == 0:
            seg = ln_segment_new(q, seg.prev, 6)
        else:
            fresh = ln_segment_new(q, seg, SEGMENT_NODES)
            if fresh == cython.NULL:
                return False
            half = SEGMENT_NODES // 2
            fresh.used = cython.cast(uint16_t, SEGMENT_NODES - half)
            memcpy(ln_node(fresh, 0), ln_node(seg, half), fresh.used * cython.sizeof(QlNode))
            seg.used = cython.cast(uint16_t, half)
            for k in range(fresh.used):
                fresh.count += ln_node(fresh, k).count
            seg.count -= fresh.count
            if i[0] > half:
                seg = fresh
                i[0] -= half
    elif seg.used == seg.cap:
        half = 2 * seg.cap + 2 if 2 * seg.cap + 2 < SEGMENT_NODES else SEGMENT_NODES
        seg = cython.cast(segment_p, resize(seg, ln_segment_bytes(seg.cap), ln_segment_bytes(half)))
        if seg != cython.NULL:
            seg.cap = cython.cast(uint16_t, half)
            ln_tie(q, seg)
    if seg == cython.NULL:
        return False
    memmove(ln_node(seg, i[0] + 1), ln_node(seg, i[0]), (seg.used - i[0]) * cython.sizeof(QlNode))
    memset(ln_node(seg, i[0]), 0, cython.sizeof(QlNode))
    seg.used += 1
    q.nodes += 1
    at[0] = seg
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_remove(q: quicklist_p, seg: segment_p, i: cython.int) -> cython.bint:
    """Take a node, whose block is gone, out of the directory; whether its segment went with it."""
    node: node_p = ln_node(seg, i)
    q.count -= node.count
    seg.count -= node.count
    q.nodes -= 1
    seg.used -= 1
    memmove(node, node + 1, (seg.used - i) * cython.sizeof(QlNode))
    if seg.used > 0:
        return False
    ln_untie(q, seg)
    release(seg, ln_segment_bytes(seg.cap))
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_step(at: cython.pointer(segment_p), i: cython.pointer(cython.int), back: cython.bint) -> cython.bint:
    """To the node beside; whether there is one."""
    seg: segment_p = at[0]
    if back:
        i[0] -= 1
        if i[0] < 0:
            seg = seg.prev
            if seg != cython.NULL:
                i[0] = seg.used - 1
    else:
        i[0] += 1
        if i[0] >= seg.used:
            seg = seg.next
            i[0] = 0
    at[0] = seg
    return seg != cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_find(q: quicklist_p, index: int64_t, at: cython.pointer(segment_p), i: cython.pointer(cython.int)) -> int64_t:
    """The node that has the element of this index, which must be there; the element's index in that node."""
    seg: segment_p = q.head
    left: int64_t = index
    if index * 2 > cython.cast(int64_t, q.count):
        seg = q.tail
        left = index - (cython.cast(int64_t, q.count) - seg.count)
        while left < 0:
            seg = seg.prev
            left += seg.count
    else:
        while left >= seg.count:
            left -= seg.count
            seg = seg.next
    i[0] = 0
    while left >= ln_node(seg, i[0]).count:
        left -= ln_node(seg, i[0]).count
        i[0] += 1
    at[0] = seg
    return left


# ---- compression

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_unpacked(node: node_p, n: cython.pointer(cython.size_t)) -> cython.p_void:
    """What a compressed node is compressed of, in a block of its own; NULL without memory."""
    size: cython.size_t = load32(node.p)
    b: packed_p
    out: bytep
    if node.form & QL_PLAIN:
        out = cython.cast(bytep, allocate(size))
        n[0] = size
        if out != cython.NULL:
            lzf_decompress(cython.cast(bytep, node.p) + 4, node.bytes - 4, out, size)
        return out
    b = pk_new(size, False)
    if b != cython.NULL:
        b.size = cython.cast(uint16_t, size)
        b.count = node.count
        lzf_decompress(cython.cast(bytep, node.p) + 4, node.bytes - 4, pk_begin(b), size)
    return b


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_unpack(node: node_p) -> cython.bint:
    """Have a node as it was before it was compressed."""
    size: cython.size_t = 0
    block: cython.p_void
    if not node.form & QL_LZF:
        return True
    block = ln_unpacked(node, cython.address(size))
    if block == cython.NULL:
        return False
    release(node.p, node.bytes)
    node.p = block
    node.bytes = cython.cast(uint32_t, size)
    node.form &= QL_PLAIN
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_pack(node: node_p) -> cython.void:
    """Compress a node, where that is worth it and there is memory."""
    p: bytep
    n: cython.size_t
    used: cython.size_t
    out: bytep
    less: cython.p_void
    if node.form & QL_LZF:
        return
    if node.form & QL_PLAIN:
        p = cython.cast(bytep, node.p)
        n = node.bytes
    else:
        p = pk_begin(cython.cast(packed_p, node.p))
        n = cython.cast(packed_p, node.p).size
    if n < LZF_BYTES_MIN or n > LZF_BYTES_MAX:
        return
    out = cython.cast(bytep, allocate(n))
    if out == cython.NULL:
        return
    used = lzf_compress(p, n, out + 4, n - 4 - LZF_SAVES_MIN)
    less = cython.NULL if used == 0 else resize(out, n, used + 4)
    if less == cython.NULL:
        release(out, n)
        return
    store32(less, cython.cast(uint32_t, n))
    ln_free_block(node)
    node.p = less
    node.bytes = cython.cast(uint32_t, used + 4)
    node.form |= QL_LZF


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_is_inner(q: quicklist_p, seg: segment_p, i: cython.int) -> cython.bint:
    """Whether a node has list-compress-depth others on either side."""
    before: cython.int = i
    after: cython.int = seg.used - 1 - i
    depth: cython.int = q.depth
    other: segment_p = seg.prev
    if depth == 0:
        return False
    while before < depth and other != cython.NULL:
        before += other.used
        other = other.prev
    other = seg.next
    while after < depth and other != cython.NULL:
        after += other.used
        other = other.next
    return before >= depth and after >= depth


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _settle_end(q: quicklist_p, back: cython.bint) -> cython.void:
    """After nodes came or went: unpack those within the depth of an end, and pack the first that is not."""
    seg: segment_p = q.tail if back else q.head
    i: cython.int
    k: cython.int
    if seg == cython.NULL:
        return
    i = seg.used - 1 if back else 0
    for k in range(q.depth):
        ln_unpack(ln_node(seg, i))
        if not ln_step(cython.address(seg), cython.address(i), back):
            return
    if ln_is_inner(q, seg, i):
        ln_pack(ln_node(seg, i))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ln_settle(q: quicklist_p) -> cython.void:
    if q.depth > 0:
        _settle_end(q, False)
        _settle_end(q, True)
