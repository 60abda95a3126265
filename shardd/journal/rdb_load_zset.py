"""Sorted sets of RDB data: members with scores in decimal or as doubles, one by one or in a block.

Elements may come in any order. As long as they come in that of their scores, a small one grows at its end; else all go
into a large one, each at its place, and what is small in the end becomes a listpack again. (A sort of all members at
the end would be one long step; and as Redis writes them from the highest score to the lowest, each finds its place at
the front of the index, which is quicker than the sort.)

Invariant: whatever is raised, the body under construction is whole and is the Build's, whose maker frees it.
"""
import cython
from cython.cimports.libc.math import INFINITY, isnan
from cython.cimports.libc.stdint import int64_t, uint64_t, uint8_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.rdb import RDB_SCORE_INF, RDB_SCORE_NAN, RDB_SCORE_NEGATIVE_INF
from cython.cimports.shardd.journal.rdb_in import HOLD_FIELD, RdbSource
from cython.cimports.shardd.journal.rdb_load_build import (
    BUILD_ROOM, Build, Thresholds, Value, build_adopt, build_become, build_begin, build_keep, build_lp, build_seen,
    value_more)
from cython.cimports.shardd.journal.rdb_load_packed import ITEMS_LISTPACK, items_next, items_open
from cython.cimports.shardd.keyspace.entry import ENC_LISTPACK, ENC_ORDERED, TYPE_ZSET, View
from cython.cimports.shardd.keyspace.values import value_dispose
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.listpack import (
    LpValue, lp_append_pair, lp_bytes, lp_first, lp_get, lp_new, lp_next, lp_text)
from cython.cimports.shardd.structures.number import format_double, parse_double
from cython.cimports.shardd.structures.ordered import Ordered, ordered_add, ordered_find, ordered_new
from cython.cimports.shardd.structures.ranked import Way, member, ranked_next, ranked_seek, way_pair, way_score
from cython.cimports.shardd.structures.table import pair_key_len, table_reserve

from shardd.base import limits

build_p = cython.typedef(cython.pointer(Build))
value_p = cython.typedef(cython.pointer(Value))
view_p = cython.typedef(cython.pointer(View))
ordered_p = cython.typedef(cython.pointer(Ordered))

LISTPACK_MAX = cython.declare(int64_t, limits.LISTPACK_BYTES_MAX)


@cython.cfunc
@cython.exceptval(check=False)
def _zset_limits(b: build_p, t: Thresholds) -> cython.void:
    b.type = TYPE_ZSET
    b.width = 2
    b.max_entries = t.zset_max_entries
    b.max_value = t.zset_max_value


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_open(b: build_p, t: Thresholds, count: int64_t) -> cython.int:
    _zset_limits(b, t)
    if count > b.max_entries:
        build_begin(b, ENC_ORDERED, ordered_new())
        if not table_reserve(cython.address(cython.cast(ordered_p, b.body).t), count):
            raise MemoryError
        return 0
    return build_begin(b, ENC_LISTPACK, lp_new())


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_large(s: RdbSource, b: build_p, v: view_p, score: cython.double) -> cython.int:
    """Add a member to a large one."""
    hash: uint64_t = hash_key(v.p, v.n)
    if ordered_find(cython.cast(ordered_p, b.body), v.p, v.n, hash) != cython.NULL:
        s.fail("a sorted set has a member twice")
    if not ordered_add(cython.cast(ordered_p, b.body), v.p, v.n, hash, score):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _listed_score(p: bytep, score: cython.pointer(cython.double)) -> cython.int:
    """The score that an element of a listpack which was built here is."""
    v: LpValue
    lp_get(p, cython.address(v))
    score[0] = cython.cast(cython.double, v.number)
    if v.p != cython.NULL:
        parse_double(v.p, v.n, score)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_to_ordered(s: RdbSource, b: build_p) -> cython.int:
    """Make a small one that is being built a large one."""
    v: View
    score: cython.double = 0
    other: Build
    old: bytep = build_lp(b)
    p: bytep = lp_first(old)
    done: cython.bint = False
    memset(cython.address(other), 0, cython.sizeof(Build))
    build_begin(cython.address(other), ENC_ORDERED, ordered_new())
    try:
        while p != cython.NULL:
            v.n = lp_text(p, v.digits, cython.address(v.p))
            p = lp_next(old, p)
            _listed_score(p, cython.address(score))
            p = lp_next(old, p)
            _zset_large(s, cython.address(other), cython.address(v), score)
        done = True
    finally:
        if not done:
            value_dispose(TYPE_ZSET, ENC_ORDERED, other.body)
    free(b.seen)
    b.seen = cython.NULL
    return build_become(b, ENC_ORDERED, other.body)


@cython.cfunc
@cython.exceptval(check=False)
def _follows(b: build_p, v: view_p, score: cython.double) -> cython.bint:
    """Whether an element comes behind all that a small one has so far."""
    last: View
    order: cython.int
    if b.count == 0 or score > b.last_score:
        return True
    if score < b.last_score:
        return False
    # the last member: the last element but one
    last.n = lp_text(build_lp(b) + b.last_at, last.digits, cython.address(last.p))
    order = memcmp(last.p, v.p, last.n if last.n < v.n else v.n)
    return order < 0 or (order == 0 and last.n < v.n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_list(b: build_p, v: view_p, score: cython.double) -> cython.int:
    """Add an element behind those that a listpack has."""
    text: uint8_t[40]
    n: cython.int = format_double(text, 0.0 if score == 0 else score)      # -0 is 0, as any whole number an integer
    b.last_at = lp_bytes(build_lp(b)) - 1
    b.last_score = score
    return build_keep(b, lp_append_pair(build_lp(b), v.p, v.n, text, n))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_put(s: RdbSource, b: build_p, v: view_p, score: cython.double) -> cython.int:
    """Add an element. RdbError where it is there already, or its score is not a number."""
    if isnan(score):
        s.fail("a score is not a number")
    b.longest = max(b.longest, v.n)
    b.bytes += v.n + BUILD_ROOM
    if b.encoding == ENC_LISTPACK:
        if (v.n > b.max_value or b.count >= b.max_entries or b.bytes > LISTPACK_MAX or not _follows(b, v, score)):
            _zset_to_ordered(s, b)
    if b.encoding == ENC_LISTPACK:
        if build_seen(b, v):
            s.fail("a sorted set has a member twice")
        _zset_list(b, v, score)
    else:
        _zset_large(s, b, v, score)
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_close(b: build_p) -> cython.int:
    """Make what came out of order, but is small, a listpack after all."""
    way: Way
    v: View
    other: Build
    pair: bytep
    more: cython.bint
    done: cython.bint = False
    if b.encoding == ENC_LISTPACK or b.count > b.max_entries or b.longest > b.max_value or b.bytes > LISTPACK_MAX:
        return 0
    memset(cython.address(other), 0, cython.sizeof(Build))
    build_begin(cython.address(other), ENC_LISTPACK, lp_new())
    more = ranked_seek(cython.address(cython.cast(ordered_p, b.body).r), 0, cython.address(way))
    try:
        while more:
            pair = way_pair(cython.address(way))
            v.p = member(pair)
            v.n = pair_key_len(pair)
            _zset_list(cython.address(other), cython.address(v), way_score(cython.address(way)))
            more = ranked_next(cython.address(way))
        done = True
    finally:
        if not done:
            value_dispose(TYPE_ZSET, ENC_LISTPACK, other.body)
    return build_become(b, ENC_LISTPACK, other.body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _text_score(s: RdbSource, score: cython.pointer(cython.double)) -> cython.int:
    """A score in decimal, behind a byte that says how long it is."""
    n: cython.int = s.u8()
    if n == RDB_SCORE_NEGATIVE_INF:
        score[0] = -INFINITY
    elif n == RDB_SCORE_INF:
        score[0] = INFINITY
    elif n == RDB_SCORE_NAN:
        s.fail("a score is not a number")
    else:
        s.need(n)
        if not parse_double(s.p, n, score):
            s.fail("a score is not a number")
        s.p += n
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_stream(s: RdbSource, u: value_p, t: Thresholds, binary: cython.bint) -> cython.int:
    """Begin with members that have scores in eight bytes (ZSET_2) or in decimal (ZSET)."""
    u.left = s.count(9 if binary else 2)
    u.take = _take_binary if binary else _take_text
    return _zset_open(cython.address(u.b), t, u.left)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_binary(s: RdbSource, u: value_p) -> cython.bint:
    v: View
    score: cython.double = 0
    if not value_more(u):
        return False
    s.string(cython.address(v))
    s.hold(cython.address(v), HOLD_FIELD)
    s.need(8)
    memcpy(cython.address(score), s.p, 8)
    s.p += 8
    _zset_put(s, cython.address(u.b), cython.address(v), score)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_text(s: RdbSource, u: value_p) -> cython.bint:
    v: View
    score: cython.double = 0
    if not value_more(u):
        return False
    s.string(cython.address(v))
    s.hold(cython.address(v), HOLD_FIELD)
    _text_score(s, cython.address(score))
    _zset_put(s, cython.address(u.b), cython.address(v), score)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _in_order(lp: bytep) -> cython.bint:
    """Whether a listpack of members and scores has the order, and the scores, that a small one has."""
    v: View
    last: View
    text: LpValue
    order: cython.int
    score: cython.double = 0
    before: cython.double = -INFINITY
    p: bytep = lp_first(lp)
    last.n = -1
    while p != cython.NULL:
        v.n = lp_text(p, v.digits, cython.address(v.p))
        p = lp_next(lp, p)
        lp_get(p, cython.address(text))
        score = cython.cast(cython.double, text.number)
        if text.p != cython.NULL and (not parse_double(text.p, text.n, cython.address(score)) or score == 0):
            return False        # zero is an integer here, and has no sign
        if score < before:
            return False
        if score == before and last.n >= 0:
            order = memcmp(last.p, v.p, last.n if last.n < v.n else v.n)
            if order > 0 or (order == 0 and last.n >= v.n):
                return False
        before = score
        last = v
        if v.p == v.digits:
            last.p = last.digits
        p = lp_next(lp, p)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_packed(s: RdbSource, u: value_p, t: Thresholds, kind: cython.int) -> cython.int:
    """Begin with the members of a block."""
    items_open(s, kind, u.block.p, u.block.n, cython.address(u.items))
    if u.items.count % 2 != 0:
        s.fail("a packed sorted set has a member without its score")
    if kind == ITEMS_LISTPACK and u.items.count // 2 <= t.zset_max_entries and _in_order(
            cython.cast(bytep, u.block.p)):
        _zset_limits(cython.address(u.b), t)
        if build_adopt(cython.address(u.b), cython.address(u.block), u.items.count // 2):
            return 0
    u.take = _take_packed
    return _zset_open(cython.address(u.b), t, u.items.count // 2)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_packed(s: RdbSource, u: value_p) -> cython.bint:
    v: View
    text: View
    score: cython.double = 0
    if not items_next(cython.address(u.items), cython.address(v)):
        return False
    items_next(cython.address(u.items), cython.address(text))
    if not parse_double(text.p, text.n, cython.address(score)):
        s.fail("a score is not a number")
    _zset_put(s, cython.address(u.b), cython.address(v), score)
    return True
