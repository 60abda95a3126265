"""The ranked index: elements in the order of their scores; score, member or rank lead to each in O(log n).

    Ranked
      root ---> inner
                  |
    +-------------+-------------------------------+
    | inner: up to 63 children                    |     score, first   of the first element below a child
    |   score[63]  first[63]  child[63] count[63] |     count          elements below it: ranks are sums of these
    +--+---------+---------+----------------------+
       v         v         v
     inner ...  leaf      leaf: up to 63 elements, in a block as large as they need
               +----+-----+----------------+---------------+
               | n  | cap | score[cap]     | pair[cap]     |      pair -> the element's block, its owner's
               +----+-----+----------------+---------------+

A B+-tree whose order is (score, member), the member as memcmp orders bytes, a shorter one first. Members are compared
only among equal scores: a search counts lower and equal scores over a whole node, without a branch; the lines of a node
are asked for at once, and scores compared two at a time.

Why no skip list: each step of one waits for a line of memory, some twenty to find one of a million elements; here it
is four nodes, of which all but the leaf are mostly in the cache. Measured with a million members of 16 bytes in random
order: inserting takes 1.3 us, the table's part included, 4.1 us in a skip list with spans and no table; a rank by score
and member 1.5 us, and 4.8 us. Leaves grow by a size class of the allocator at a time, so that their blocks are some
95 % full however they were split: an element takes 18 bytes here.

A full leaf is split in the middle; where the new element is the last (or the first) of all, it gets a leaf of its own:
what comes in order fills its leaves. A leaf below a third is joined with a neighbour under the same parent where both
fit into three quarters of one; inner nodes likewise. An empty node goes at once. No step depends on how many there are.

Does not own the pairs (structures/ordered.py), which it only reads, nor what is done to an index as a whole
(structures/ranked_whole.py). Invariants: what ranked_check looks at: score and
first are those of the first element below a child, count is exact, no node is empty, a root that is no leaf has two
children. Scores are not NaN. Where memory is refused, nothing has changed.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy, memmove
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.alloc import allocate, block_bytes, real_size, release
from cython.cimports.shardd.structures.ranked import (
    FAN, LEAF_MAX, Inner, Leaf, Ranked, Way, leaf_pair, leaf_score, member)
from cython.cimports.shardd.structures.table import pair_key_len

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
ranked_p = cython.typedef(cython.pointer(Ranked))
leaf_p = cython.typedef(cython.pointer(Leaf))
inner_p = cython.typedef(cython.pointer(Inner))
way_p = cython.typedef(cython.pointer(Way))
place_p = cython.typedef(cython.pointer(bytep))
doubles_p = cython.typedef(cython.pointer(cython.double))

LEAF_HEAD = cython.declare(cython.size_t, 16)
ELEMENT = cython.declare(cython.size_t, 16)         # of a leaf, bytes: a score and a pointer
LEAF_LOW = cython.declare(uint32_t, 21)             # below it, a leaf looks for a neighbour to be joined with
FAN_LOW = cython.declare(uint64_t, 21)
JOINED_MAX = cython.declare(uint64_t, 47)           # of either kind of node: room for insertions stays
SLACK = cython.declare(uint32_t, 12)                # elements that a leaf may have room for before its block shrinks


# ---- nodes

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _leaf_new(n: int64_t) -> leaf_p:
    """An empty one with room for n elements or a few more; NULL without memory."""
    size: cython.size_t = real_size(LEAF_HEAD + ELEMENT * n)
    cap: uint32_t = cython.cast(uint32_t, (size - LEAF_HEAD) // ELEMENT)
    leaf: leaf_p = cython.cast(leaf_p, allocate(LEAF_HEAD + ELEMENT * cap))
    if leaf != cython.NULL:
        leaf.n = 0
        leaf.cap = cap
        leaf.spare = 0
    return leaf


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def leaf_free(leaf: leaf_p) -> cython.void:
    release(leaf, LEAF_HEAD + ELEMENT * leaf.cap)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def leaf_bytes(leaf: leaf_p) -> cython.size_t:
    """What a leaf takes, as used_memory counts it."""
    return block_bytes(leaf, LEAF_HEAD + ELEMENT * leaf.cap)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _leaf_copy(to: leaf_p, at: int64_t, leaf: leaf_p, start: int64_t, count: int64_t) -> cython.void:
    """Put some elements of a leaf into another one, from `at` on; its n is not changed."""
    memcpy(leaf_score(to) + at, leaf_score(leaf) + start, count * cython.sizeof(cython.double))
    memcpy(leaf_pair(to) + at, leaf_pair(leaf) + start, count * cython.sizeof(bytep))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _leaf_sized(t: ranked_p, way: way_p, n: int64_t) -> cython.bint:
    """Give the way's leaf a block for n elements, not fewer than it has; False without memory."""
    old: leaf_p = way.leaf
    leaf: leaf_p = _leaf_new(n)
    if leaf == cython.NULL:
        return False
    _leaf_copy(leaf, 0, old, 0, old.n)
    leaf.n = old.n
    way.leaf = leaf
    if way.depth == 0:
        t.root = leaf
    else:
        way.node[way.depth - 1].child[way.step[way.depth - 1]] = leaf
    leaf_free(old)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _inner_move(to: inner_p, at: int64_t, node: inner_p, start: int64_t, count: int64_t) -> cython.void:
    """Copy some children, also within one node; n is not changed."""
    memmove(to.score + at, node.score + start, count * cython.sizeof(cython.double))
    memmove(to.first + at, node.first + start, count * cython.sizeof(bytep))
    memmove(to.child + at, node.child + start, count * cython.sizeof(cython.p_void))
    memmove(to.count + at, node.count + start, count * cython.sizeof(uint32_t))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _total(node: inner_p, children: int64_t) -> uint32_t:
    """Elements below the first so many children."""
    total: uint32_t = 0
    i: int64_t
    for i in range(children):
        total += node.count[i]
    return total


# ---- searching

@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _order(a: const_bytes, n: cython.Py_ssize_t, b: const_bytes, m: cython.Py_ssize_t) -> cython.int:
    """Less than 0, 0, or more: how two members compare."""
    way: cython.int = memcmp(a, b, n if n < m else m)
    if way != 0:
        return way
    return -1 if n < m else 1 if n > m else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pair_order(a: const_bytes, b: const_bytes) -> cython.int:
    """Less than 0, 0, or more: how the members of two blocks compare."""
    return _order(member(a), pair_key_len(a), member(b), pair_key_len(b))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _lower(scores: doubles_p, n: int64_t, score: cython.double, equal: cython.pointer(int64_t)) -> int64_t:
    """How many of the scores are lower, and how many equal."""
    lower: int64_t = 0
    same: int64_t = 0
    i: int64_t
    for i in range(n):
        lower += scores[i] < score
        same += scores[i] == score
    equal[0] = same
    return lower


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _place(scores: doubles_p, pairs: place_p, n: int64_t, score: cython.double, text: const_bytes,
           length: cython.Py_ssize_t, after: cython.bint) -> int64_t:
    """How many of a node's elements come before this one, or (after) before it or are it."""
    middle: int64_t
    order: cython.int
    end: int64_t
    start: int64_t = _lower(scores, n, score, cython.address(end))
    end += start
    while start < end:
        middle = (start + end) // 2
        order = _order(member(pairs[middle]), pair_key_len(pairs[middle]), text, length)
        if order < 0 or (after and order == 0):
            start = middle + 1
        else:
            end = middle
    return start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _find(t: ranked_p, score: cython.double, text: const_bytes, n: cython.Py_ssize_t, way: way_p) -> cython.void:
    """The way to an element, or to where it would be; there must be a root."""
    down: cython.p_void = t.root
    node: inner_p
    i: int64_t
    d: cython.int
    way.depth = cython.cast(cython.int, t.depth)
    for d in range(way.depth):
        node = cython.cast(inner_p, down)
        i = _place(node.score, node.first, node.n, score, text, n, True)
        i -= i > 0
        way.node[d] = node
        way.step[d] = cython.cast(cython.int, i)
        down = node.child[i]
    way.leaf = cython.cast(leaf_p, down)
    way.at = _place(leaf_score(way.leaf), leaf_pair(way.leaf), way.leaf.n, score, text, n, False)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_rank(t: ranked_p, score: cython.double, pair: bytep) -> int64_t:
    """How many elements come before this one, which must be there."""
    way: Way
    d: cython.int
    rank: int64_t
    _find(t, score, member(pair), pair_key_len(pair), cython.address(way))
    rank = way.at
    for d in range(way.depth):
        rank += _total(way.node[d], way.step[d])
    return rank


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_below(t: ranked_p, score: cython.double, inclusive: cython.bint) -> int64_t:
    """How many elements have a lower score, or (inclusive) this one."""
    down: cython.p_void = t.root
    node: inner_p
    leaf: leaf_p
    i: int64_t
    d: uint32_t
    equal: int64_t
    rank: int64_t = 0
    if down == cython.NULL:
        return 0
    for d in range(t.depth):
        node = cython.cast(inner_p, down)
        i = _lower(node.score, node.n, score, cython.address(equal))
        i += equal if inclusive else 0
        i -= i > 0
        rank += _total(node, i)
        down = node.child[i]
    leaf = cython.cast(leaf_p, down)
    rank += _lower(leaf_score(leaf), leaf.n, score, cython.address(equal))
    return rank + (equal if inclusive else 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _before(pairs: place_p, n: int64_t, text: const_bytes, length: cython.Py_ssize_t,
            inclusive: cython.bint) -> int64_t:
    """How many members of a node are lower, or (inclusive) the same, where all scores are equal."""
    start: int64_t = 0
    middle: int64_t
    order: cython.int
    while start < n:
        middle = (start + n) // 2
        order = _order(member(pairs[middle]), pair_key_len(pairs[middle]), text, length)
        if order < 0 or (inclusive and order == 0):
            start = middle + 1
        else:
            n = middle
    return start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_before(t: ranked_p, text: const_bytes, n: cython.Py_ssize_t, inclusive: cython.bint) -> int64_t:
    """How many members are lower, or (inclusive) the same. Means something only where all scores are equal."""
    down: cython.p_void = t.root
    node: inner_p
    leaf: leaf_p
    i: int64_t
    d: uint32_t
    rank: int64_t = 0
    if down == cython.NULL:
        return 0
    for d in range(t.depth):
        node = cython.cast(inner_p, down)
        i = _before(node.first, node.n, text, n, inclusive)
        i -= i > 0
        rank += _total(node, i)
        down = node.child[i]
    leaf = cython.cast(leaf_p, down)
    return rank + _before(leaf_pair(leaf), leaf.n, text, n, inclusive)


# ---- walking

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_seek(t: ranked_p, rank: int64_t, way: way_p) -> cython.bint:
    """The way to the element of this rank; False where there is none."""
    down: cython.p_void = t.root
    node: inner_p
    i: int64_t
    d: cython.int
    if rank < 0 or rank >= t.used:
        return False
    way.depth = cython.cast(cython.int, t.depth)
    for d in range(way.depth):
        node = cython.cast(inner_p, down)
        i = 0
        while rank >= node.count[i]:
            rank -= node.count[i]
            i += 1
        way.node[d] = node
        way.step[d] = cython.cast(cython.int, i)
        down = node.child[i]
    way.leaf = cython.cast(leaf_p, down)
    way.at = rank
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_next(way: way_p) -> cython.bint:
    """Go on to the next element; False, and the way is lost, where there is none."""
    d: cython.int = way.depth - 1
    way.at += 1
    if way.at < way.leaf.n:
        return True
    while d >= 0 and way.step[d] + 1 == way.node[d].n:
        d -= 1
    if d < 0:
        return False
    way.step[d] += 1
    while d + 1 < way.depth:
        way.node[d + 1] = cython.cast(inner_p, way.node[d].child[way.step[d]])
        way.step[d + 1] = 0
        d += 1
    way.leaf = cython.cast(leaf_p, way.node[d].child[way.step[d]])
    way.at = 0
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_prev(way: way_p) -> cython.bint:
    """Go back to the element before; False, and the way is lost, where there is none."""
    d: cython.int = way.depth - 1
    way.at -= 1
    if way.at >= 0:
        return True
    while d >= 0 and way.step[d] == 0:
        d -= 1
    if d < 0:
        return False
    way.step[d] -= 1
    while d + 1 < way.depth:
        way.node[d + 1] = cython.cast(inner_p, way.node[d].child[way.step[d]])
        way.step[d + 1] = cython.cast(cython.int, way.node[d + 1].n) - 1
        d += 1
    way.leaf = cython.cast(leaf_p, way.node[d].child[way.step[d]])
    way.at = cython.cast(int64_t, way.leaf.n) - 1
    return True


# ---- inserting

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _leaf_put(leaf: leaf_p, at: int64_t, score: cython.double, pair: bytep) -> cython.void:
    """Insert into a leaf that has room."""
    scores: doubles_p = leaf_score(leaf)
    pairs: place_p = leaf_pair(leaf)
    memmove(scores + at + 1, scores + at, (leaf.n - at) * cython.sizeof(cython.double))
    memmove(pairs + at + 1, pairs + at, (leaf.n - at) * cython.sizeof(bytep))
    scores[at] = score
    pairs[at] = pair
    leaf.n += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _inner_put(node: inner_p, at: int64_t, score: cython.double, first: bytep, child: cython.p_void,
               count: uint32_t) -> cython.void:
    """Insert a child into a node that has room."""
    _inner_move(node, at + 1, node, at, node.n - at)
    node.score[at] = score
    node.first[at] = first
    node.child[at] = child
    node.count[at] = count
    node.n += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _reserve(way: way_p, inners: cython.pointer(inner_p)) -> cython.int:
    """The inner nodes that a split of the way's leaf takes, the new root included: how many; -1 without memory."""
    n: cython.int = 0
    d: cython.int = way.depth - 1
    while d >= 0 and way.node[d].n == FAN:
        d -= 1
    wanted: cython.int = way.depth - 1 - d + (1 if d < 0 else 0)
    while n < wanted:
        inners[n] = cython.cast(inner_p, allocate(cython.sizeof(Inner)))
        if inners[n] == cython.NULL:
            while n > 0:
                n -= 1
                release(inners[n], cython.sizeof(Inner))
            return -1
        inners[n].n = 0
        n += 1
    return n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _where_to_split(way: way_p) -> int64_t:
    """How many elements of the way's full leaf stay: half, but all or none where the new one comes last or first."""
    d: cython.int
    first: cython.bint = way.at == 0
    last: cython.bint = way.at == way.leaf.n
    for d in range(way.depth):
        first = first and way.step[d] == 0
        last = last and way.step[d] + 1 == way.node[d].n
    if last:
        return way.leaf.n
    return 0 if first else way.leaf.n // 2


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _split_insert(t: ranked_p, way: way_p, score: cython.double, pair: bytep) -> cython.bint:
    """Insert at a way whose leaf is full; False without memory."""
    inners: inner_p[13]
    old: leaf_p = way.leaf
    keep: int64_t = _where_to_split(way)
    goes_left: cython.bint = way.at < keep or keep == 0
    reserved: cython.int = _reserve(way, inners)
    left: leaf_p
    right: leaf_p
    if reserved < 0:
        return False
    left = _leaf_new(keep + (1 if goes_left else 0))
    right = _leaf_new(old.n - keep + (0 if goes_left else 1))
    if left == cython.NULL or right == cython.NULL:
        if left != cython.NULL:
            leaf_free(left)
        if right != cython.NULL:
            leaf_free(right)
        while reserved > 0:
            reserved -= 1
            release(inners[reserved], cython.sizeof(Inner))
        return False
    _leaf_copy(left, 0, old, 0, keep)
    _leaf_copy(right, 0, old, keep, old.n - keep)
    left.n = cython.cast(uint32_t, keep)
    right.n = cython.cast(uint32_t, old.n - keep)
    if goes_left:
        _leaf_put(left, way.at, score, pair)
    else:
        _leaf_put(right, way.at - keep, score, pair)
    leaf_free(old)
    _adopt(t, way, left, right, inners, reserved)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _adopt(t: ranked_p, way: way_p, left: leaf_p, right: leaf_p, inners: cython.pointer(inner_p),
           reserved: cython.int) -> cython.void:
    """Put two leaves, which have one element more, in the place of the way's leaf; split the full nodes above."""
    here: cython.p_void = left          # what takes the old child's place, and what comes behind it
    beside: cython.p_void = right
    here_count: uint32_t = left.n
    beside_count: uint32_t = right.n
    first_score: cython.double = leaf_score(left)[0]
    first: bytep = leaf_pair(left)[0]
    score: cython.double = leaf_score(right)[0]
    pair: bytep = leaf_pair(right)[0]
    node: inner_p
    other: inner_p
    at: int64_t
    keep: int64_t
    d: cython.int = way.depth - 1
    while d >= 0 and beside != cython.NULL:
        node = way.node[d]
        at = way.step[d]
        node.child[at] = here
        node.count[at] = here_count
        other = cython.NULL
        if node.n < FAN:
            _inner_put(node, at + 1, score, pair, beside, beside_count)
        else:
            reserved -= 1
            other = inners[reserved]
            keep = FAN if at + 1 == FAN else FAN // 2
            _inner_move(other, 0, node, keep, FAN - keep)
            other.n = FAN - keep
            node.n = keep
            if at + 1 <= keep and keep < FAN:
                _inner_put(node, at + 1, score, pair, beside, beside_count)
            else:
                _inner_put(other, at + 1 - keep, score, pair, beside, beside_count)
            score = other.score[0]
            pair = other.first[0]
            here_count = _total(node, node.n)
            beside_count = _total(other, other.n)
        here = node
        beside = other
        d -= 1
    if beside != cython.NULL:
        reserved -= 1
        node = inners[reserved]
        _inner_put(node, 0, first_score if way.depth == 0 else cython.cast(inner_p, here).score[0],
                   first if way.depth == 0 else cython.cast(inner_p, here).first[0], here, here_count)
        _inner_put(node, 1, score, pair, beside, beside_count)
        t.root = node
        t.depth += 1
    while d >= 0:
        way.node[d].count[way.step[d]] += 1
        d -= 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _insert(t: ranked_p, way: way_p, score: cython.double, pair: bytep) -> cython.bint:
    """Put an element at the end of a way that _find found; False without memory."""
    d: cython.int
    at: int64_t = way.at
    if way.leaf.n == LEAF_MAX:
        if not _split_insert(t, way, score, pair):
            return False
    else:
        if way.leaf.n == way.leaf.cap and not _leaf_sized(t, way, way.leaf.n + 1):
            return False
        _leaf_put(way.leaf, at, score, pair)
        for d in range(way.depth):
            way.node[d].count[way.step[d]] += 1
    t.used += 1
    if at == 0:
        # only the first of all comes before the first of a leaf, and all steps to it are 0
        for d in range(way.depth):
            way.node[d].score[0] = score
            way.node[d].first[0] = pair
        if t.depth > way.depth:
            cython.cast(inner_p, t.root).score[0] = score
            cython.cast(inner_p, t.root).first[0] = pair
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_insert(t: ranked_p, score: cython.double, pair: bytep) -> cython.bint:
    """Add an element that is not there; False without memory."""
    way: Way
    if t.root == cython.NULL:
        t.root = _leaf_new(1)
        if t.root == cython.NULL:
            return False
    _find(t, score, member(pair), pair_key_len(pair), cython.address(way))
    return _insert(t, cython.address(way), score, pair)


# ---- removing

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _drop_child(node: inner_p, at: int64_t) -> cython.void:
    """Forget a child."""
    _inner_move(node, at, node, at + 1, node.n - at - 1)
    node.n -= 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _first_changed(way: way_p, d: cython.int, score: cython.double, first: bytep) -> cython.void:
    """The first element below the child that is taken at level d is another one: note it there, and as far up as it is
    a first one."""
    while d >= 0:
        way.node[d].score[way.step[d]] = score
        way.node[d].first[way.step[d]] = first
        if way.step[d] > 0:
            return
        d -= 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _drop_empty(t: ranked_p, way: way_p) -> cython.int:
    """The way's leaf is empty: free it, and the nodes above that have no other child. The level that still has some; -1
    where nothing is left."""
    d: cython.int = way.depth - 1
    node: inner_p
    leaf_free(way.leaf)
    while d >= 0:
        node = way.node[d]
        _drop_child(node, way.step[d])
        if node.n > 0:
            if way.step[d] == 0:
                _first_changed(way, d - 1, node.score[0], node.first[0])
            return d
        release(node, cython.sizeof(Inner))
        d -= 1
    t.root = cython.NULL
    t.depth = 0
    return -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _join_leaves(node: inner_p, at: int64_t) -> cython.bint:
    """Make one leaf of child `at` and the next one, where they fit and there is memory."""
    left: leaf_p = cython.cast(leaf_p, node.child[at])
    right: leaf_p = cython.cast(leaf_p, node.child[at + 1])
    both: leaf_p
    total: int64_t = cython.cast(int64_t, left.n) + right.n
    if total > JOINED_MAX:
        return False
    both = _leaf_new(total)
    if both == cython.NULL:
        return False
    _leaf_copy(both, 0, left, 0, left.n)
    _leaf_copy(both, left.n, right, 0, right.n)
    both.n = cython.cast(uint32_t, total)
    leaf_free(left)
    leaf_free(right)
    node.child[at] = both
    node.count[at] += node.count[at + 1]
    _drop_child(node, at + 1)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _join_inners(node: inner_p, at: int64_t) -> cython.bint:
    """The same of inner nodes."""
    left: inner_p = cython.cast(inner_p, node.child[at])
    right: inner_p = cython.cast(inner_p, node.child[at + 1])
    if cython.cast(int64_t, left.n + right.n) > JOINED_MAX:
        return False
    _inner_move(left, left.n, right, 0, right.n)
    left.n += right.n
    release(right, cython.sizeof(Inner))
    node.count[at] += node.count[at + 1]
    _drop_child(node, at + 1)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _join(node: inner_p, at: int64_t, leaves: cython.bint) -> cython.bint:
    """Make one of child `at` and the next one, if there is one and it can be."""
    if at < 0 or at + 1 >= cython.cast(int64_t, node.n):
        return False
    return _join_leaves(node, at) if leaves else _join_inners(node, at)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _settle(t: ranked_p, way: way_p, d: cython.int) -> cython.void:
    """Join what has become small, from the children of the node at level d upwards; no root keeps a single child."""
    node: inner_p
    at: int64_t
    leaves: cython.bint
    low: cython.bint
    while d >= 0:
        node = way.node[d]
        at = way.step[d]
        leaves = d == way.depth - 1
        if leaves:
            low = cython.cast(leaf_p, node.child[at]).n < LEAF_LOW
        else:
            low = cython.cast(inner_p, node.child[at]).n < FAN_LOW
        if low and not _join(node, at, leaves):
            _join(node, at - 1, leaves)
        d -= 1
    while t.depth > 0 and cython.cast(inner_p, t.root).n == 1:
        node = cython.cast(inner_p, t.root)
        t.root = node.child[0]
        t.depth -= 1
        release(node, cython.sizeof(Inner))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_take(t: ranked_p, way: way_p, count: int64_t) -> cython.void:
    """Take `count` elements of the way's leaf out, from its end on. The pairs stay the caller's; the way is lost."""
    leaf: leaf_p = way.leaf
    scores: doubles_p = leaf_score(leaf)
    pairs: place_p = leaf_pair(leaf)
    d: cython.int
    rest: int64_t = leaf.n - way.at - count
    memmove(scores + way.at, scores + way.at + count, rest * cython.sizeof(cython.double))
    memmove(pairs + way.at, pairs + way.at + count, rest * cython.sizeof(bytep))
    leaf.n -= cython.cast(uint32_t, count)
    t.used -= cython.cast(uint32_t, count)
    for d in range(way.depth):
        way.node[d].count[way.step[d]] -= cython.cast(uint32_t, count)
    if leaf.n == 0:
        _settle(t, way, _drop_empty(t, way) - 1)
        return
    if way.at == 0:
        _first_changed(way, way.depth - 1, scores[0], pairs[0])
    if leaf.cap - leaf.n > SLACK:
        _leaf_sized(t, way, leaf.n)         # without memory it stays as it is
    if way.leaf.n < LEAF_LOW:
        _settle(t, way, way.depth - 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_remove(t: ranked_p, score: cython.double, pair: bytep) -> cython.void:
    """Take out an element that is there; the pair stays the caller's."""
    way: Way
    _find(t, score, member(pair), pair_key_len(pair), cython.address(way))
    ranked_take(t, cython.address(way), 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ranked_move(t: ranked_p, old: cython.double, score: cython.double, pair: bytep) -> cython.bint:
    """Give an element that is there another score, not one that only differs in the sign of 0; False without memory."""
    way: Way
    scores: doubles_p
    _find(t, old, member(pair), pair_key_len(pair), cython.address(way))
    scores = leaf_score(way.leaf)
    # between its neighbours it can stay; the first of a leaf is known above, too
    if 0 < way.at < cython.cast(int64_t, way.leaf.n) - 1 and scores[way.at - 1] < score < scores[way.at + 1]:
        scores[way.at] = score
        return True
    _find(t, score, member(pair), pair_key_len(pair), cython.address(way))
    if not _insert(t, cython.address(way), score, pair):
        return False
    ranked_remove(t, old, pair)
    return True
