"""The quicklist, changed elsewhere than at its ends: LINSERT, LSET, LREM, LTRIM.

An element goes into the node where it belongs if that takes it, else to the end of the neighbour that is next to its
place, else into a node of its own between the two; in the middle of a full node that is cut in two, and the parts are
joined with what stands beside them where both fit into one node. That is what Redis does (source: _quicklistInsert and
_quicklistMergeNodes of Redis 7.2).

Invariants: those of quicklist.py, before and after each function. An iterator ends with the change, except that of
ql_remove.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.alloc import allocate, release
from cython.cimports.shardd.structures.list_nodes import (
    QL_PLAIN, QlNode, QlSegment, Quicklist, ln_add_count, ln_find, ln_free_block, ln_is_inner, ln_is_large, ln_node,
    ln_pack, ln_place, ln_remove, ln_settle, ln_step, ln_takes, ln_tie, ln_unpack, ln_untie, ql_exceeds)
from cython.cimports.shardd.structures.listpack import lp_entry_bytes, lp_skip
from cython.cimports.shardd.structures.packed import (
    PK_FRAME, Packed, pk_begin, pk_delete, pk_fits, pk_free, pk_insert, pk_join, pk_push, pk_replace, pk_seek,
    pk_split, pk_trim)
from cython.cimports.shardd.structures.quicklist import (
    QlIter, ql_end, ql_enter, ql_insert_single, ql_leave, ql_new, ql_next)

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
packed_p = cython.typedef(cython.pointer(Packed))
node_p = cython.typedef(cython.pointer(QlNode))
segment_p = cython.typedef(cython.pointer(QlSegment))
quicklist_p = cython.typedef(cython.pointer(Quicklist))
iter_p = cython.typedef(cython.pointer(QlIter))

DETACH_MIN = cython.declare(int64_t, 4096)          # elements: fewer are freed on the spot
MERGED_NODES = cython.declare(cython.int, 6)        # that may have been looked at when some were joined


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _merge(q: quicklist_p, seg: segment_p, i: cython.int) -> cython.bint:
    """Append the node behind this one to it, where both together are within the limit; whether that was so."""
    other: segment_p = seg
    k: cython.int = i
    a: node_p = ln_node(seg, i)
    c: node_p
    b: packed_p
    if not ln_step(cython.address(other), cython.address(k), False):
        return False
    c = ln_node(other, k)
    if (a.form | c.form) & QL_PLAIN or not ln_unpack(a) or not ln_unpack(c):
        return False
    b = cython.cast(packed_p, c.p)
    if (ql_exceeds(q.fill, PK_FRAME + cython.cast(packed_p, a.p).size + b.size, a.count + c.count)
            or not pk_fits(cython.cast(packed_p, a.p), b.size)):
        return False
    b = pk_join(cython.cast(packed_p, a.p), b)
    if b == cython.NULL:
        return False
    a.p = b
    ln_add_count(q, seg, a, c.count)
    ln_free_block(c)
    ln_remove(q, other, k)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _merge_around(q: quicklist_p, seg: segment_p, i: cython.int) -> cython.void:
    """Join what was split with its neighbours, and these with theirs, from behind so that the places in front stay."""
    at: segment_p = seg
    k: cython.int = i
    n: cython.int
    if ln_step(cython.address(at), cython.address(k), False):
        _merge(q, at, k)
    at = seg
    k = i
    for n in range(3):
        _merge(q, at, k)
        if n == 2 or not ln_step(cython.address(at), cython.address(k), True):
            break
    if q.depth > 0:
        if at == cython.NULL:
            at = q.head
            k = 0
        for n in range(MERGED_NODES):
            if ln_is_inner(q, at, k):
                ln_pack(ln_node(at, k))
            if not ln_step(cython.address(at), cython.address(k), False):
                break
    ln_settle(q)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _split(q: quicklist_p, it: iter_p, at: cython.size_t, count: uint32_t) -> cython.bint:
    """Cut the present node before the element at `at`, `count` before its end; the iterator stays at the first part."""
    seg: segment_p = it.seg
    i: cython.int = it.i + 1
    tail: packed_p = pk_split(it.b, at, count)
    if tail == cython.NULL:
        return False
    if not ln_place(q, cython.address(seg), cython.address(i)):
        pk_join(it.b, tail)         # what was cut off still fits
        pk_free(tail)
        return False
    ln_node(seg, i).p = tail
    ln_add_count(q, seg, ln_node(seg, i), count)
    ln_step(cython.address(seg), cython.address(i), True)
    it.seg = seg
    it.i = i
    ln_add_count(q, seg, ln_node(seg, i), -cython.cast(cython.int, count))
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _insert_beside(it: iter_p, after: cython.bint, text: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """An element that the present node does not take, and that comes before or after all of it."""
    q: quicklist_p = it.q
    seg: segment_p = it.seg
    i: cython.int = it.i
    node: node_p
    b: packed_p
    if ln_step(cython.address(seg), cython.address(i), not after):
        node = ln_node(seg, i)
        if not node.form & QL_PLAIN and not ln_is_large(q, n) and ln_unpack(node) and ln_takes(q, node, n):
            b = pk_push(cython.cast(packed_p, node.p), after, text, n, True)
            if b == cython.NULL:
                return False
            node.p = b
            ln_add_count(q, seg, node, 1)
            if ln_is_inner(q, seg, i):
                ln_pack(node)
            return True
        if ln_is_inner(q, seg, i):
            ln_pack(node)
    return ql_insert_single(q, it.seg, it.i + (1 if after else 0), text, n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _insert_split(it: iter_p, at: cython.size_t, before: uint32_t, after: cython.bint, text: const_bytes,
                  n: cython.Py_ssize_t) -> cython.bint:
    """An element that the present node does not take: it is cut before `at`, where `before` elements lie in front."""
    q: quicklist_p = it.q
    seg: segment_p
    i: cython.int
    node: node_p
    b: packed_p
    done: cython.bint
    if not _split(q, it, at, it.b.count - before):
        return False
    seg = it.seg
    i = it.i
    if ln_is_large(q, n):
        done = ql_insert_single(q, seg, i + 1, text, n)
    else:
        if after:
            ln_step(cython.address(seg), cython.address(i), False)
        node = ln_node(seg, i)
        b = pk_push(cython.cast(packed_p, node.p), after, text, n, False)
        done = b != cython.NULL
        if done:
            node.p = b
            ln_add_count(q, seg, node, 1)
    # that element's node may have moved the others in the directory: the first part is where the element before it is
    ln_find(q, it.index if after else it.index - 1, cython.address(seg), cython.address(i))
    node = ln_node(seg, i)
    if node.form == 0:
        node.p = pk_trim(cython.cast(packed_p, node.p))
    _merge_around(q, seg, i)
    return done


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_insert(it: iter_p, after: cython.bint, text: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Add an element before or after the one where the iterator (of `write`) stands, which ends."""
    q: quicklist_p = it.q
    node: node_p = ln_node(it.seg, it.i)
    b: packed_p = it.b
    at: cython.size_t = 0
    before: uint32_t = 0
    done: cython.bint
    p: bytep
    if b != cython.NULL:
        at = (lp_skip(it.p) if after else it.p) - pk_begin(b)
        if ln_takes(q, node, n):
            b = pk_insert(b, at, text, n, False)
            done = b != cython.NULL
            if done:
                it.b = b
                node.p = b
                ln_add_count(q, it.seg, node, 1)
            ql_end(it)
            return done
        if at > 0 and at < b.size:
            p = pk_begin(b)
            while p < pk_begin(b) + at:
                p = lp_skip(p)
                before += 1
            return _insert_split(it, at, before, after, text, n)
    done = _insert_beside(it, after, text, n)
    it.seg = cython.NULL
    ln_settle(q)
    return done


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_replace(it: iter_p, text: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Put another element in the place of the one where the iterator (of `write`) stands, which ends."""
    q: quicklist_p = it.q
    node: node_p = ln_node(it.seg, it.i)
    index: int64_t = it.index
    b: packed_p = it.b
    fresh: cython.p_void
    gone: quicklist_p
    if b != cython.NULL and not ln_is_large(q, n) and pk_fits(b, lp_entry_bytes(text, n)):
        b = pk_replace(b, it.p - pk_begin(b), text, n, False)
        if b != cython.NULL:
            it.b = b
            node.p = b
        ql_end(it)
        return b != cython.NULL
    if b == cython.NULL and ln_is_large(q, n):
        fresh = allocate(n)
        if fresh != cython.NULL:
            memcpy(fresh, text, n)
            release(node.p, node.bytes)
            node.p = fresh
            node.bytes = cython.cast(uint32_t, n)
        ql_end(it)
        return fresh != cython.NULL
    if not ql_insert(it, True, text, n):
        return False
    return ql_delete(q, index, 1, cython.address(gone))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_remove(it: iter_p) -> cython.bint:
    """Take out the element where the iterator (of `write`) stands; whether there is another, where it stands then."""
    q: quicklist_p = it.q
    node: node_p = ln_node(it.seg, it.i)
    seg: segment_p = it.seg
    i: cython.int = it.i
    at: cython.size_t
    more: cython.bint
    if node.count == 1:
        ln_free_block(node)
        more = ln_step(cython.address(it.seg), cython.address(it.i), it.back)
        if more and it.seg == seg and not it.back:
            it.i = i
        ln_remove(q, seg, i)
        if it.back:
            it.index -= 1
        ln_settle(q)
        return more and ql_enter(it, -1 if it.back else 0)
    at = it.p - pk_begin(it.b)
    it.b = pk_delete(it.b, at, 1, False)
    node.p = it.b
    ln_add_count(q, seg, node, -1)
    it.p = pk_begin(it.b) + at
    if it.back:
        return ql_next(it)          # the one in front of what follows
    if at < it.b.size:
        return True
    ql_leave(it)
    if not ln_step(cython.address(it.seg), cython.address(it.i), False):
        return False
    return ql_enter(it, 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _unpack_at(q: quicklist_p, index: int64_t) -> cython.bint:
    seg: segment_p
    i: cython.int
    ln_find(q, index, cython.address(seg), cython.address(i))
    return ln_unpack(ln_node(seg, i))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _detach(q: quicklist_p, seg: segment_p, gone: quicklist_p) -> cython.void:
    """Move a whole segment to the tail of another list."""
    ln_untie(q, seg)
    q.count -= seg.count
    q.nodes -= seg.used
    gone.count += seg.count
    gone.nodes += seg.used
    seg.prev = gone.tail
    seg.next = cython.NULL
    ln_tie(gone, seg)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ql_delete(q: quicklist_p, start: int64_t, count: int64_t, gone: cython.pointer(quicklist_p)) -> cython.bint:
    """Take out `count` elements, which must be there, from index `start` on.

    Where they are many, most are not freed but are in `gone` then (NULL otherwise), for the caller to free in steps.
    """
    seg: segment_p
    next: segment_p
    i: cython.int
    at: int64_t
    take: int64_t
    node: node_p
    b: packed_p
    gone[0] = cython.NULL
    if count <= 0:
        return True
    if not _unpack_at(q, start) or not _unpack_at(q, start + count - 1):
        return False
    if count >= DETACH_MIN:
        gone[0] = ql_new(q.fill, 0)
    at = ln_find(q, start, cython.address(seg), cython.address(i))
    while count > 0:
        node = ln_node(seg, i)
        if gone[0] != cython.NULL and at == 0 and i == 0 and seg.count <= count:
            next = seg.next
            count -= seg.count
            _detach(q, seg, gone[0])
            seg = next
            continue
        take = node.count - at if node.count - at < count else count
        count -= take
        if take == node.count:
            ln_free_block(node)
            next = seg.next
            if ln_remove(q, seg, i):
                seg = next
                i = 0
            elif i == seg.used:
                seg = next
                i = 0
            continue
        b = cython.cast(packed_p, node.p)
        node.p = pk_delete(b, pk_seek(b, cython.cast(uint32_t, at)) - pk_begin(b), cython.cast(uint32_t, take), False)
        ln_add_count(q, seg, node, -cython.cast(cython.int, take))
        at = 0
        if count > 0:
            ln_step(cython.address(seg), cython.address(i), False)
        elif ln_is_inner(q, seg, i):
            ln_pack(node)
    ln_settle(q)
    return True
