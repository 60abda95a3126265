"""The quicklist: a large list, as a chain of packed blocks. Making it, its ends, and walking.

    Quicklist -> directory of nodes (structures/list_nodes, which draws it) -> blocks (structures/packed)

Pushing and popping touch the directory at that end and the first or last block. The block at an end grows by doubling;
when another one comes to stand outside it, it is trimmed. A walk reads one block after the other; a compressed
one it unpacks for itself, or, to change it, in its place, and then it is packed again when the walk has left it.

Does not own what is changed elsewhere than at the ends (list_edit.py).

Invariants: what ql_check looks at. No node is empty; counts are true; a list has a node unless it has just been made.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.native import bytep, load32
from cython.cimports.shardd.structures.alloc import allocate, block_bytes, real_size, release
from cython.cimports.shardd.structures.list_nodes import (
    QL_LZF, QL_PLAIN, QlNode, QlSegment, Quicklist, ln_add_count, ln_find, ln_free_block, ln_is_inner, ln_is_large,
    ln_node, ln_pack, ln_place, ln_remove, ln_segment_bytes, ln_segment_new, ln_settle, ln_step, ln_takes, ln_unpack,
    ln_unpacked, ln_untie)
from cython.cimports.shardd.structures.listpack import LpValue, lp_before, lp_entry_bytes, lp_get, lp_skip, lp_text
from cython.cimports.shardd.structures.packed import (
    PK_FRAME, Packed, pk_begin, pk_copy, pk_drop, pk_end, pk_free, pk_memory, pk_new, pk_push, pk_seek, pk_trim,
    pk_valid)
from cython.cimports.shardd.structures.quicklist import QlIter

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
packed_p = cython.typedef(cython.pointer(Packed))
node_p = cython.typedef(cython.pointer(QlNode))
segment_p = cython.typedef(cython.pointer(QlSegment))
quicklist_p = cython.typedef(cython.pointer(Quicklist))
iter_p = cython.typedef(cython.pointer(QlIter))

SEGMENT_NODES = cython.declare(cython.int, limits.LIST_SEGMENT_NODES)
DEPTH_MAX = cython.declare(uint32_t, 65535)         # of list-compress-depth that makes a difference, as in Redis


# ---- the whole

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_new(fill: cython.int, depth: uint32_t) -> quicklist_p:
    """An empty list; NULL without memory."""
    q: quicklist_p = cython.cast(quicklist_p, allocate(cython.sizeof(Quicklist)))
    if q != cython.NULL:
        memset(q, 0, cython.sizeof(Quicklist))
        q.fill = fill
        q.depth = depth if depth < DEPTH_MAX else DEPTH_MAX
    return q


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_adopt(q: quicklist_p, b: packed_p) -> cython.bint:
    """Make a block with elements, no more than list-max-listpack-size allows, the last node of a list."""
    seg: segment_p = q.tail
    i: cython.int = 0
    if seg != cython.NULL:
        i = seg.used
    if not ln_place(q, cython.address(seg), cython.address(i)):
        return False
    ln_node(seg, i).p = b
    ln_add_count(q, seg, ln_node(seg, i), b.count)
    ln_settle(q)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_single(q: quicklist_p) -> packed_p:
    """The block of a list that has but one node, and this packed; NULL for any other list."""
    if q.nodes != 1 or ln_node(q.head, 0).form != 0:
        return cython.NULL
    return cython.cast(packed_p, ln_node(q.head, 0).p)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_free_shell(q: quicklist_p) -> cython.void:
    """Free a list of one node but for that node's block; or an empty one."""
    if q.head != cython.NULL:
        release(q.head, ln_segment_bytes(q.head.cap))
    release(q, cython.sizeof(Quicklist))


# ---- at the ends

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _filled(q: quicklist_p, node: node_p, text: const_bytes, n: cython.size_t) -> cython.bint:
    """Make a block with one element for a new node."""
    b: packed_p
    if ln_is_large(q, n):
        node.p = allocate(n)
        if node.p == cython.NULL:
            return False
        memcpy(node.p, text, n)
        node.bytes = cython.cast(uint32_t, n)
        node.form = QL_PLAIN
        return True
    b = pk_new(lp_entry_bytes(text, n), False)
    if b == cython.NULL:
        return False
    node.p = pk_push(b, False, text, n, True)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_insert_single(q: quicklist_p, seg: segment_p, i: cython.int, text: const_bytes, n: cython.size_t) -> cython.bint:
    """A node with this one element, before node i of that segment."""
    if not ln_place(q, cython.address(seg), cython.address(i)):
        return False
    if not _filled(q, ln_node(seg, i), text, n):
        ln_remove(q, seg, i)
        return False
    ln_add_count(q, seg, ln_node(seg, i), 1)
    ln_settle(q)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_push(q: quicklist_p, front: cython.bint, text: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Add an element at the head or the tail."""
    seg: segment_p = q.head if front else q.tail
    i: cython.int = 0
    node: node_p
    b: packed_p
    if seg != cython.NULL:
        i = 0 if front else seg.used - 1
        node = ln_node(seg, i)
        if not ln_unpack(node):
            return False
        if ln_takes(q, node, n):
            b = pk_push(cython.cast(packed_p, node.p), front, text, n, True)
            if b == cython.NULL:
                return False
            node.p = b
            ln_add_count(q, seg, node, 1)
            return True
        if node.form == 0:
            node.p = pk_trim(cython.cast(packed_p, node.p))
        if not front:
            i += 1
    return ql_insert_single(q, seg, i, text, n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_peek(q: quicklist_p, front: cython.bint, v: cython.pointer(LpValue)) -> cython.bint:
    """The first or the last element, good until the list changes."""
    seg: segment_p = q.head if front else q.tail
    node: node_p = ln_node(seg, 0 if front else seg.used - 1)
    b: packed_p
    if not ln_unpack(node):
        return False
    if node.form & QL_PLAIN:
        v.p = cython.cast(bytep, node.p)
        v.n = node.bytes
        return True
    b = cython.cast(packed_p, node.p)
    lp_get(pk_begin(b) if front else lp_before(pk_end(b)), v)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_drop(q: quicklist_p, front: cython.bint) -> cython.void:
    """Take out the first or the last element, which ql_peek has shown."""
    seg: segment_p = q.head if front else q.tail
    i: cython.int = 0 if front else seg.used - 1
    node: node_p = ln_node(seg, i)
    if node.count == 1:
        ln_free_block(node)
        ln_remove(q, seg, i)
        ln_settle(q)
        return
    node.p = pk_drop(cython.cast(packed_p, node.p), front, True)
    ln_add_count(q, seg, node, -1)


# ---- walking

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_enter(it: iter_p, index: int64_t) -> cython.bint:
    """Stand at an element of the present node, from 0, or -1 for the last one."""
    node: node_p = ln_node(it.seg, it.i)
    if it.write and not ln_unpack(node):
        it.failed = True
        return False
    it.b = cython.cast(packed_p, node.p)
    if node.form & QL_LZF:
        it.temp = ln_unpacked(node, cython.address(it.temp_n))
        if it.temp == cython.NULL:
            it.failed = True
            return False
        it.b = cython.cast(packed_p, it.temp)
    if node.form & QL_PLAIN:
        it.b = cython.NULL
        return True
    it.p = pk_seek(it.b, cython.cast(uint32_t, index if index >= 0 else node.count - 1))
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_leave(it: iter_p) -> cython.void:
    """What _enter has made for the present node, if any, is not needed any more."""
    if it.temp != cython.NULL:
        if it.b == cython.NULL:
            release(it.temp, it.temp_n)
        else:
            pk_free(cython.cast(packed_p, it.temp))
        it.temp = cython.NULL
    if it.write and it.seg != cython.NULL and it.q.depth > 0 and ln_is_inner(it.q, it.seg, it.i):
        ln_pack(ln_node(it.seg, it.i))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_iter(q: quicklist_p, index: int64_t, back: cython.bint, write: cython.bint, it: iter_p) -> cython.bint:
    """Stand at the element of this index, to go on to the tail or (back) to the head; `write`: to change it.

    False where there is no such element, or (it.failed) no memory.
    """
    memset(it, 0, cython.sizeof(QlIter))
    it.q = q
    it.back = back
    it.write = write
    it.index = index
    if index < 0 or index >= cython.cast(int64_t, q.count):
        return False
    return ql_enter(it, ln_find(q, index, cython.address(it.seg), cython.address(it.i)))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_iter_packed(b: packed_p, index: int64_t, back: cython.bint, it: iter_p) -> cython.bint:
    """The same in one block that is a whole list."""
    memset(it, 0, cython.sizeof(QlIter))
    it.back = back
    it.index = index
    if index < 0 or index >= b.count:
        return False
    it.b = b
    it.p = pk_seek(b, cython.cast(uint32_t, index))
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_next(it: iter_p) -> cython.bint:
    """To the next element; whether there is one. it.failed: nobody knows, for want of memory."""
    it.index += -1 if it.back else 1
    if it.b != cython.NULL:
        if it.back:
            if it.p != pk_begin(it.b):
                it.p = lp_before(it.p)
                return True
        else:
            it.p = lp_skip(it.p)
            if it.p != pk_end(it.b):
                return True
    ql_leave(it)
    if it.seg == cython.NULL or not ln_step(cython.address(it.seg), cython.address(it.i), it.back):
        return False
    return ql_enter(it, -1 if it.back else 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_end(it: iter_p) -> cython.void:
    """Have done with it."""
    ql_leave(it)
    it.seg = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_value(it: iter_p, v: cython.pointer(LpValue)) -> cython.void:
    """The element, good until the iterator moves or the list changes."""
    if it.b != cython.NULL:
        lp_get(it.p, v)
    else:
        v.p = cython.cast(bytep, ln_node(it.seg, it.i).p if it.temp == cython.NULL else it.temp)
        v.n = (ln_node(it.seg, it.i).bytes if it.temp == cython.NULL else it.temp_n)


# ---- what the keyspace wants of a body

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_length(body: cython.p_void) -> uint64_t:
    return cython.cast(quicklist_p, body).count


@cython.cfunc
@cython.exceptval(check=False)
def ql_free(body: cython.p_void, elements: int64_t) -> cython.bint:
    """Free up to about `elements` elements, from the tail; True when all are, and the body itself."""
    q: quicklist_p = cython.cast(quicklist_p, body)
    seg: segment_p
    node: node_p
    while q.tail != cython.NULL:
        if elements <= 0:
            return False
        seg = q.tail
        node = ln_node(seg, seg.used - 1)
        elements -= node.count
        ln_free_block(node)
        ln_remove(q, seg, seg.used - 1)
    release(q, cython.sizeof(Quicklist))
    return True


@cython.cfunc
@cython.exceptval(check=False)
def ql_bytes(body: cython.p_void) -> cython.size_t:
    """All memory it holds. Walks every node."""
    q: quicklist_p = cython.cast(quicklist_p, body)
    total: cython.size_t = real_size(cython.sizeof(Quicklist))
    seg: segment_p = q.head
    node: node_p
    i: cython.int
    while seg != cython.NULL:
        total += block_bytes(seg, ln_segment_bytes(seg.cap))
        for i in range(seg.used):
            node = ln_node(seg, i)
            total += pk_memory(cython.cast(packed_p, node.p)) if node.form == 0 else block_bytes(node.p, node.bytes)
        seg = seg.next
    return total


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _copy_block(to: node_p, node: node_p) -> cython.bint:
    to[0] = node[0]
    if node.form == 0:
        to.p = pk_copy(cython.cast(packed_p, node.p))
    else:
        to.p = allocate(node.bytes)
        if to.p != cython.NULL:
            memcpy(to.p, node.p, node.bytes)
    return to.p != cython.NULL


@cython.cfunc
@cython.exceptval(check=False)
def ql_copy(body: cython.p_void) -> cython.p_void:
    """Another one of the same content; NULL without memory."""
    q: quicklist_p = cython.cast(quicklist_p, body)
    copy: quicklist_p = ql_new(q.fill, q.depth)
    seg: segment_p = q.head
    fresh: segment_p
    i: cython.int
    if copy == cython.NULL:
        return cython.NULL
    while seg != cython.NULL:
        fresh = ln_segment_new(copy, copy.tail, seg.used)
        for i in range(seg.used):
            if fresh == cython.NULL or not _copy_block(ln_node(fresh, i), ln_node(seg, i)):
                if fresh != cython.NULL and fresh.used == 0:
                    ln_untie(copy, fresh)
                    release(fresh, ln_segment_bytes(fresh.cap))
                while not ql_free(copy, INT64_MAX):
                    pass
                return cython.NULL
            fresh.used += 1
            fresh.count += ln_node(seg, i).count
            copy.count += ln_node(seg, i).count
            copy.nodes += 1
        seg = seg.next
    return copy


@cython.cfunc
def ql_items(body: cython.p_void) -> object:
    digits: uint8_t[24]
    text: const_bytes
    v: LpValue
    it: QlIter
    n: cython.Py_ssize_t
    found: list = []
    more: cython.bint = ql_iter(cython.cast(quicklist_p, body), 0, False, False, cython.address(it))
    try:
        while more:
            if it.b != cython.NULL:
                n = lp_text(it.p, digits, cython.address(text))
                found.append(cython.cast(cython.p_char, text)[:n])
            else:
                ql_value(cython.address(it), cython.address(v))
                found.append(cython.cast(cython.p_char, v.p)[:v.n])
            more = ql_next(cython.address(it))
    finally:
        ql_end(cython.address(it))
    if it.failed:
        raise MemoryError
    return found


@cython.cfunc
@cython.exceptval(-1, check=False)
def ql_check(body: cython.p_void) -> cython.int:
    """AssertionError where an invariant does not hold."""
    q: quicklist_p = cython.cast(quicklist_p, body)
    seg: segment_p = q.head
    prev: segment_p = cython.NULL
    node: node_p
    size: cython.size_t
    i: cython.int
    nodes: uint64_t = 0
    count: uint64_t = 0
    in_segment: uint64_t
    block: cython.p_void
    while seg != cython.NULL:
        assert seg.prev == prev, "segments of a list are tied wrongly"
        assert 0 < seg.used <= seg.cap <= SEGMENT_NODES, "a segment of a list is empty, or too full"
        in_segment = 0
        for i in range(seg.used):
            node = ln_node(seg, i)
            assert node.count > 0 and (node.count == 1 or not node.form & QL_PLAIN), "a node has no true count"
            in_segment += node.count
            if node.form & QL_LZF:
                assert ln_is_inner(q, seg, i), "a node at an end is compressed"
                block = ln_unpacked(node, cython.address(size))
                if block != cython.NULL and not node.form & QL_PLAIN:
                    assert pk_valid(cython.cast(packed_p, block)), "a compressed node is damaged"
                    pk_free(cython.cast(packed_p, block))
                elif block != cython.NULL:
                    release(block, size)
            elif node.form == 0:
                assert pk_valid(cython.cast(packed_p, node.p)), "a node is damaged"
                assert cython.cast(packed_p, node.p).count == node.count, "a node has another count than its block"
        assert in_segment == seg.count, "a segment's count is wrong"
        count += in_segment
        nodes += seg.used
        prev = seg
        seg = seg.next
    assert q.tail == prev and nodes == q.nodes and count == q.count, "a list's counts are wrong"
    return 0


@cython.cfunc
def ql_figures(body: cython.p_void) -> object:
    """Nodes, elements, fill, depth, and bytes of all nodes before compression, as listpacks. Walks every node."""
    q: quicklist_p = cython.cast(quicklist_p, body)
    seg: segment_p = q.head
    node: node_p
    size: cython.size_t = 0
    i: cython.int
    while seg != cython.NULL:
        for i in range(seg.used):
            node = ln_node(seg, i)
            if node.form & QL_LZF:
                size += load32(node.p)
            elif node.form & QL_PLAIN:
                size += node.bytes
            else:
                size += cython.cast(packed_p, node.p).size
            if not node.form & QL_PLAIN:
                size += PK_FRAME
        seg = seg.next
    return (q.nodes, q.count, q.fill, q.depth, size)
