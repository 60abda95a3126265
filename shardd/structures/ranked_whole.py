"""A ranked index as a whole: what it takes, how it is freed, whether it is sound.

Does not own what it is made of, nor its invariants' reasons: structures/ranked.py.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.alloc import block_bytes, release
from cython.cimports.shardd.structures.ranked import (
    DEPTH_MAX, FAN, LEAF_MAX, Inner, Leaf, Ranked, leaf_bytes, leaf_free, leaf_pair, leaf_score, member, pair_order,
    pair_score)
from cython.cimports.shardd.structures.table import pair_key_len

ranked_p = cython.typedef(cython.pointer(Ranked))
leaf_p = cython.typedef(cython.pointer(Leaf))
inner_p = cython.typedef(cython.pointer(Inner))
place_p = cython.typedef(cython.pointer(bytep))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_free_last(t: ranked_p) -> cython.void:
    """Free the last leaf, and the nodes above that have no other child."""
    inners: inner_p[13]
    down: cython.p_void = t.root
    d: cython.int
    for d in range(cython.cast(cython.int, t.depth)):
        inners[d] = cython.cast(inner_p, down)
        down = inners[d].child[inners[d].n - 1]
    leaf_free(cython.cast(leaf_p, down))
    d = cython.cast(cython.int, t.depth) - 1
    while d >= 0:
        inners[d].n -= 1
        if inners[d].n > 0:
            return
        release(inners[d], cython.sizeof(Inner))
        d -= 1
    t.root = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _node_bytes(down: cython.p_void, depth: uint32_t) -> cython.size_t:
    """What a node and all below it take."""
    node: inner_p = cython.cast(inner_p, down)
    leaf: leaf_p = cython.cast(leaf_p, down)
    total: cython.size_t
    i: uint64_t
    if depth == 0:
        return leaf_bytes(leaf)
    total = block_bytes(node, cython.sizeof(Inner))
    for i in range(node.n):
        total += _node_bytes(node.child[i], depth - 1)
    return total


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_bytes(t: ranked_p) -> cython.size_t:
    """What all nodes take, bytes. Walks them."""
    return _node_bytes(t.root, t.depth) if t.root != cython.NULL else 0


# ---- whether it is sound

@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_leaf(leaf: leaf_p, last: place_p) -> int64_t:
    """Walk a leaf; how many elements it has. last: the element before, and after."""
    pair: bytep
    score: cython.double
    before: cython.double
    i: uint32_t
    assert 0 < leaf.n <= leaf.cap and leaf.n <= LEAF_MAX, "a leaf's size is wrong"
    for i in range(leaf.n):
        pair = leaf_pair(leaf)[i]
        score = leaf_score(leaf)[i]
        assert memcmp(cython.address(score), member(pair) + pair_key_len(pair), 8) == 0, "two scores of an element"
        assert score == score, "a score is NaN"
        if last[0] != cython.NULL:
            before = pair_score(last[0])
            assert before < score or (before == score and pair_order(last[0], pair) < 0), "not in order"
        last[0] = pair
    return leaf.n


@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_node(down: cython.p_void, depth: cython.int, last: place_p) -> int64_t:
    """Walk a node and what is below it; how many elements there are."""
    node: inner_p = cython.cast(inner_p, down)
    low: cython.p_void
    i: uint64_t
    d: cython.int
    total: int64_t = 0
    if depth == 0:
        return _check_leaf(cython.cast(leaf_p, down), last)
    assert 0 < node.n <= FAN, "an inner node's size is wrong"
    for i in range(node.n):
        low = node.child[i]
        for d in range(depth - 1):
            low = cython.cast(inner_p, low).child[0]
        assert (node.first[i] == leaf_pair(cython.cast(leaf_p, low))[0]
                and node.score[i] == leaf_score(cython.cast(leaf_p, low))[0]), "a wrong first element"
        assert node.count[i] == _check_node(node.child[i], depth - 1, last), "a count is wrong"
        total += node.count[i]
    return total


@cython.cfunc
@cython.exceptval(-1, check=False)
def ranked_check(t: ranked_p) -> cython.int:
    """Walk everything; AssertionError where an invariant of the essay does not hold."""
    last: bytep = cython.NULL
    assert (t.root == cython.NULL) == (t.used == 0) and t.depth <= DEPTH_MAX
    if t.root != cython.NULL:
        assert t.depth == 0 or cython.cast(inner_p, t.root).n > 1, "a root with one child"
        assert _check_node(t.root, t.depth, cython.address(last)) == t.used, "the count of elements is wrong"
    return 0
