"""The two forms of a sorted set, and what all its commands need of them: score, rank, walk, change, pop.

    listpack      member, score, member, score ... in order      zset-max-listpack-entries, zset-max-listpack-value
    skiplist      structures/ordered: a table and a B+-tree; the name is Redis's, on which clients and tests rely

A small one becomes a large one when a member is too long or there are too many; it stays one, but that the result of a
STORE command takes the form that fits it. When one is made, or ZADD names many members, the number of arguments decides
at once, as in Redis 7.2, whether or not all are different.

Every range is one of ranks: zset_below and zset_before say how many elements come before a score or a member. Functions
take the entry, which need not be in a database. Invariant: a member is there once, its score is not NaN, and the order
is that of (score, member).
"""
import cython
from cython.cimports.libc.math import INFINITY
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp
from cython.cimports.shardd.base.native import bytep, prefetch
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.outcome import outcome_close, outcome_store
from cython.cimports.shardd.commands.zset_forms import (
    ZADD_ADDED, ZADD_CHANGED, ZADD_GT, ZADD_INCR, ZADD_LT, ZADD_NAN, ZADD_NX, ZADD_REFUSED, ZADD_SAME, ZADD_XX, ZWalk)
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import (
    ENC_LISTPACK, ENC_ORDERED, TYPE_ZSET, View, entry_body, entry_encoding, entry_new, entry_set_body,
    entry_set_encoding)
from cython.cimports.shardd.keyspace.events import NOTIFY_ZSET
from cython.cimports.shardd.keyspace.values import ValueOps, value_dispose, value_register
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.listpack import (
    LpValue, lp_append_pair, lp_body_bytes, lp_body_copy, lp_body_free, lp_bytes, lp_delete, lp_find, lp_first, lp_free,
    lp_get, lp_insert_pair, lp_length, lp_move_pair, lp_new, lp_next, lp_prev, lp_seek, lp_skip, lp_text, lp_valid)
from cython.cimports.shardd.structures.number import format_double, format_int, parse_double
from cython.cimports.shardd.structures.ordered import (
    Ordered, ordered_add, ordered_bytes, ordered_check, ordered_copy, ordered_find, ordered_free, ordered_length,
    ordered_new, ordered_remove, ordered_remove_range, ordered_rescore)
from cython.cimports.shardd.structures.ranked import (
    Way, leaf_pair, member, pair_score, ranked_before, ranked_below, ranked_next, ranked_prev, ranked_rank, ranked_seek,
    way_pair, way_score)
from cython.cimports.shardd.structures.table import pair_key_len

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
key_p = cython.typedef(cython.pointer(Key))
ordered_p = cython.typedef(cython.pointer(Ordered))
score_p = cython.typedef(cython.pointer(cython.double))
value_p = cython.typedef(cython.pointer(LpValue))
walk_p = cython.typedef(cython.pointer(ZWalk))

LP_HEAD = cython.declare(cython.int, 6)         # where a listpack's first element is, or its end
LP_END = cython.declare(uint8_t, 255)
LISTPACK_MAX = cython.declare(int64_t, limits.LISTPACK_BYTES_MAX)
ROOM = cython.declare(int64_t, 64)              # more than an element takes besides the bytes of its member
AHEAD = cython.declare(int64_t, 8)              # elements of a leaf whose blocks are asked for before they are read


# ---- both forms

@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _ordered(e: bytep) -> ordered_p:
    return cython.cast(ordered_p, entry_body(e))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _lp(e: bytep) -> bytep:
    return cython.cast(bytep, entry_body(e))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _packed(e: bytep) -> cython.bint:
    return entry_encoding(e) == ENC_LISTPACK


@cython.cfunc
@cython.exceptval(check=False)
def zset_length(e: bytep) -> int64_t:
    """How many elements; 0 where there is no sorted set."""
    if e == cython.NULL:
        return 0
    return lp_length(_lp(e)) // 2 if _packed(e) else _ordered(e).r.used


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _score_of(p: bytep, score: score_p) -> cython.int:
    """The score that an element of a listpack is."""
    if p[0] < 128:
        score[0] = p[0]
        return 0
    return _any_score(p, score)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _any_score(p: bytep, score: score_p) -> cython.int:
    v: LpValue
    lp_get(p, cython.address(v))
    if v.p == cython.NULL:
        score[0] = cython.cast(cython.double, v.number)
    elif not parse_double(v.p, v.n, score):
        score[0] = 0        # lp_valid and _small_check let none in
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _score_text(out: bytep, score: cython.double) -> cython.int:
    """Print a score for a listpack, where -0 is 0, as any whole number an integer; `out` holds 32 bytes."""
    return format_double(out, 0.0 if score == 0 else score)


@cython.cfunc
@cython.exceptval(check=False)
def _order(p: bytep, text: const_bytes, n: cython.Py_ssize_t) -> cython.int:
    """How a member in a listpack compares with another one: less than 0, 0, or more."""
    view: View
    way: cython.int
    view.n = lp_text(p, view.digits, cython.address(view.p))
    way = memcmp(view.p, text, view.n if view.n < n else n)
    if way != 0:
        return way
    return -1 if view.n < n else 1 if view.n > n else 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_score(e: bytep, text: const_bytes, n: cython.Py_ssize_t, score: score_p) -> cython.bint:
    """Whether the sorted set (NULL: none) has the member, and its score."""
    p: bytep
    if e == cython.NULL:
        return False
    if _packed(e):
        p = lp_find(_lp(e), lp_first(_lp(e)), text, n, 1)
        if p == cython.NULL:
            return False
        _score_of(lp_next(_lp(e), p), score)
        return True
    p = ordered_find(_ordered(e), text, n, hash_key(text, n))
    if p == cython.NULL:
        return False
    score[0] = pair_score(p)
    return True


@cython.cfunc
@cython.exceptval(-2, check=False)
def zset_rank(e: bytep, text: const_bytes, n: cython.Py_ssize_t, score: score_p) -> int64_t:
    """The rank of a member, and its score; -1 where it is absent (e NULL: there is no sorted set)."""
    p: bytep
    found: bytep
    rank: int64_t = 0
    if e == cython.NULL:
        return -1
    if _packed(e):
        p = lp_first(_lp(e))
        found = lp_find(_lp(e), p, text, n, 1)
        if found == cython.NULL:
            return -1
        while p != found:
            p = lp_skip(lp_skip(p))
            rank += 1
        _score_of(lp_next(_lp(e), p), score)
        return rank
    p = ordered_find(_ordered(e), text, n, hash_key(text, n))
    if p == cython.NULL:
        return -1
    score[0] = pair_score(p)
    return ranked_rank(cython.address(_ordered(e).r), score[0], p)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_below(e: bytep, score: cython.double, inclusive: cython.bint) -> int64_t:
    """How many elements have a lower score, or (inclusive) this one."""
    p: bytep
    other: cython.double = 0
    count: int64_t = 0
    if not _packed(e):
        return ranked_below(cython.address(_ordered(e).r), score, inclusive)
    if inclusive and score == INFINITY:
        return zset_length(e)
    p = _lp(e) + LP_HEAD
    while p[0] != LP_END:
        p = lp_skip(p)
        _score_of(p, cython.address(other))
        if other > score or (other == score and not inclusive):
            break
        count += 1
        p = lp_skip(p)
    return count


@cython.cfunc
@cython.exceptval(check=False)
def zset_before(e: bytep, text: const_bytes, n: cython.Py_ssize_t, inclusive: cython.bint) -> int64_t:
    """How many members, from the first on, are lower, or (inclusive) this one. For sorted sets of one score."""
    p: bytep
    order: cython.int
    count: int64_t = 0
    if not _packed(e):
        return ranked_before(cython.address(_ordered(e).r), text, n, inclusive)
    p = lp_first(_lp(e))
    while p != cython.NULL:
        order = _order(p, text, n)
        if order > 0 or (order == 0 and not inclusive):
            break
        count += 1
        p = lp_next(_lp(e), lp_next(_lp(e), p))
    return count


# ---- walking

@cython.cfunc
@cython.exceptval(-1, check=False)
def _walk_body(w: walk_p, encoding: uint32_t, body: cython.p_void, rank: int64_t, backwards: cython.bint) -> cython.int:
    """Begin a walk at a rank, which may be too high."""
    w.body = cython.cast(bytep, body)
    w.packed = encoding == ENC_LISTPACK
    w.backwards = backwards
    w.begun = False
    if w.packed:
        w.p = lp_seek(w.body, 2 * rank)
        w.more = w.p != cython.NULL
    else:
        w.more = ranked_seek(cython.address(cython.cast(ordered_p, body).r), rank, cython.address(w.way))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zwalk_start(w: walk_p, e: bytep, rank: int64_t, backwards: cython.bint) -> cython.int:
    """Begin a walk at the element of this rank (0 is the lowest), upwards or downwards; zwalk_next gives it."""
    return _walk_body(w, entry_encoding(e), entry_body(e), rank, backwards)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _ask_ahead(w: walk_p) -> cython.void:
    """Ask for the block of an element that comes soon, in this leaf; at its beginning, for those of the first ones."""
    at: int64_t = w.way.at
    n: int64_t = w.way.leaf.n
    i: int64_t
    if w.backwards:
        if at >= AHEAD:
            prefetch(leaf_pair(w.way.leaf)[at - AHEAD])
        return
    if at == 0 or not w.begun:
        for i in range(at, min(at + AHEAD, n)):
            prefetch(leaf_pair(w.way.leaf)[i])
    if at + AHEAD < n:
        prefetch(leaf_pair(w.way.leaf)[at + AHEAD])


@cython.cfunc
@cython.exceptval(-1, check=False)
def zwalk_next(w: walk_p) -> cython.bint:
    """Go to the next element, at first the one that the walk begins with; False where there is none."""
    pair: bytep
    if not w.more:
        return False
    if w.packed:
        if w.begun:
            if w.backwards:
                w.p = lp_prev(w.body, w.p)
                w.p = lp_prev(w.body, w.p) if w.p != cython.NULL else w.p
            else:
                w.p = lp_next(w.body, lp_next(w.body, w.p))
        w.begun = True
        w.more = w.p != cython.NULL
        if w.more:
            lp_get(w.p, cython.address(w.member))
            _score_of(lp_next(w.body, w.p), cython.address(w.score))
        return w.more
    if w.begun:
        w.more = ranked_prev(cython.address(w.way)) if w.backwards else ranked_next(cython.address(w.way))
        if not w.more:
            return False
    _ask_ahead(w)
    w.begun = True
    pair = way_pair(cython.address(w.way))
    w.member.p = member(pair)
    w.member.n = pair_key_len(pair)
    w.score = way_score(cython.address(w.way))
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def zwalk_text(w: walk_p, text: cython.pointer(const_bytes), n: cython.pointer(cython.Py_ssize_t),
               digits: cython.pointer(uint8_t)) -> cython.int:
    """The walk's member as bytes; `digits` (24) backs integers."""
    if w.member.p != cython.NULL:
        text[0] = w.member.p
        n[0] = w.member.n
    else:
        n[0] = format_int(digits, w.member.number)
        text[0] = digits
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def reply_element(ctx: Context, v: value_p, score: cython.double, with_score: cython.bint) -> cython.int:
    """Reply with a member, and its score."""
    if v.p == cython.NULL:
        ctx.reply.bulk_int(v.number)
    else:
        ctx.reply.bulk(v.p, v.n)
    return ctx.reply.double(score) if with_score else 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_packed(ctx: Context, p: bytep, count: int64_t, with_scores: cython.bint) -> cython.int:
    """reply_walk upwards over a small one, from the element at p on."""
    v: LpValue
    score: cython.double = 0
    nested: cython.bint = with_scores and ctx.reply.resp == 3
    while count > 0:
        lp_get(p, cython.address(v))
        p = lp_skip(p)
        if with_scores:
            _score_of(p, cython.address(score))
        if nested:
            ctx.reply.array(2)
        reply_element(ctx, cython.address(v), score, with_scores)
        p = lp_skip(p)
        count -= 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def reply_walk(ctx: Context, e: bytep, rank: int64_t, count: int64_t, backwards: cython.bint,
               with_scores: cython.bint) -> cython.int:
    """Reply with `count` elements, as many as there are at least, from a rank on; in RESP3 each with its score in an
    array of its own."""
    w: ZWalk
    nested: cython.bint = with_scores and ctx.reply.resp == 3
    ctx.reply.array(2 * count if with_scores and not nested else count)
    if count == 0:
        return 0
    if _packed(e) and not backwards:
        return _reply_packed(ctx, lp_seek(_lp(e), 2 * rank), count, with_scores)
    zwalk_start(cython.address(w), e, rank, backwards)
    while count > 0 and zwalk_next(cython.address(w)):
        if nested:
            ctx.reply.array(2)
        reply_element(ctx, cython.address(w.member), w.score, with_scores)
        count -= 1
    assert count == 0, "a sorted set is shorter than it says"
    return 0


@cython.cfunc
def _items(encoding: uint32_t, body: cython.p_void, rank: int64_t, count: int64_t) -> list:
    w: ZWalk
    text: View
    found: list = []
    _walk_body(cython.address(w), encoding, body, rank, False)
    while count > 0 and zwalk_next(cython.address(w)):
        zwalk_text(cython.address(w), cython.address(text.p), cython.address(text.n), text.digits)
        found.append((cython.cast(cython.p_char, text.p)[:text.n], w.score))
        count -= 1
    return found


@cython.cfunc
def zset_items(e: bytep) -> list:
    """All (member, score), the score a float, in order."""
    return _items(entry_encoding(e), entry_body(e), 0, zset_length(e))


# ---- forms

@cython.cfunc
def _entry(ctx: Context, key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t, encoding: uint32_t,
           body: cython.p_void) -> bytep:
    """An entry with this body that is in no database; MemoryError, and the body is freed then (NULL counts as such)."""
    e: bytep
    if body == cython.NULL:
        raise MemoryError
    e = entry_new(key, n, 8, -1, TYPE_ZSET, encoding, ctx.keyspace.access_clock)
    if e == cython.NULL:
        value_dispose(TYPE_ZSET, encoding, body)
        raise MemoryError
    entry_set_body(e, body)
    return e


@cython.cfunc
def zset_entry_new(ctx: Context, key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> bytep:
    """An entry with an empty sorted set that is in no database; MemoryError."""
    return _entry(ctx, key, n, ENC_LISTPACK, lp_new())


@cython.cfunc
def zset_entry_large(ctx: Context, key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> bytep:
    """The same, of the large form."""
    return _entry(ctx, key, n, ENC_ORDERED, ordered_new())


@cython.cfunc
@cython.exceptval(-1, check=False)
def _to_ordered(e: bytep) -> cython.int:
    """Make a small one a large one; MemoryError, and nothing is changed then."""
    w: ZWalk
    text: View
    done: cython.bint = False
    o: ordered_p = ordered_new()
    if o == cython.NULL:
        raise MemoryError
    try:
        zwalk_start(cython.address(w), e, 0, False)
        while zwalk_next(cython.address(w)):
            zwalk_text(cython.address(w), cython.address(text.p), cython.address(text.n), text.digits)
            if not ordered_add(o, text.p, text.n, hash_key(text.p, text.n), w.score):
                raise MemoryError
        done = True
    finally:
        if not done:
            value_dispose(TYPE_ZSET, ENC_ORDERED, o)
    lp_free(_lp(e))
    entry_set_body(e, o)
    entry_set_encoding(e, ENC_ORDERED)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_pack(ctx: Context, e: bytep) -> cython.int:
    """Make a large one that is no longer too large a small one, as Redis does with the result of a STORE command."""
    w: ZWalk
    text: uint8_t[32]
    o: ordered_p = _ordered(e)
    bytes_: int64_t = 0
    lp: bytep
    grown: bytep
    if _packed(e) or zset_length(e) > ctx.zset_max_entries:
        return 0
    zwalk_start(cython.address(w), e, 0, False)
    while zwalk_next(cython.address(w)):
        bytes_ += w.member.n + ROOM
        if w.member.n > ctx.zset_max_value or bytes_ > LISTPACK_MAX:
            return 0
    lp = lp_new()
    zwalk_start(cython.address(w), e, 0, False)
    while lp != cython.NULL and zwalk_next(cython.address(w)):
        grown = lp_append_pair(lp, w.member.p, w.member.n, text, _score_text(text, w.score))
        if grown == cython.NULL:
            lp_free(lp)
        lp = grown
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    entry_set_encoding(e, ENC_LISTPACK)
    value_dispose(TYPE_ZSET, ENC_ORDERED, o)
    return 0


@cython.cfunc
def zset_open(ctx: Context, k: cython.pointer(Key), e: bytep, count: int64_t, n: cython.Py_ssize_t) -> bytep:
    """The sorted set `e` of this key, or (NULL) a new one, before `count` members are added, the first of n bytes."""
    if e == cython.NULL:
        if count <= ctx.zset_max_entries and n <= ctx.zset_max_value:
            return ctx.db.add_collection(k, TYPE_ZSET, ENC_LISTPACK, lp_new())
        return ctx.db.add_collection(k, TYPE_ZSET, ENC_ORDERED, ordered_new())
    if _packed(e) and count > ctx.zset_max_entries:
        _to_ordered(e)
    return e


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_close(ctx: Context, k: key_p, e: bytep, changed: cython.bint) -> cython.int:
    """`outcome_close` of a sorted set."""
    return outcome_close(ctx, k, zset_length(e), changed)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_store(ctx: Context, result: bytep, event: bytes) -> cython.int:
    """`outcome_store` of a sorted set, under the command's first key."""
    return outcome_store(ctx, cython.address(ctx.key), result, zset_length(result), NOTIFY_ZSET, event)


# ---- changes

@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _decide(old: cython.double, score: score_p, options: cython.int) -> cython.int:
    """What ZADD does to an element that is there; the new score."""
    if options & ZADD_NX:
        return ZADD_REFUSED
    if options & ZADD_INCR:
        score[0] += old
        if score[0] != score[0]:
            return ZADD_NAN
    if (options & ZADD_LT and score[0] >= old) or (options & ZADD_GT and score[0] <= old):
        return ZADD_REFUSED
    return ZADD_SAME if score[0] == old else ZADD_CHANGED


@cython.cfunc
@cython.exceptval(-1, check=False)
def _packed_put(e: bytep, text: const_bytes, n: cython.Py_ssize_t, score: cython.double, p: bytep) -> cython.int:
    """Put an element where it belongs: the one at p with another score, or (p is NULL) a new one. MemoryError."""
    digits: uint8_t[32]
    other: cython.double = 0
    lp: bytep = _lp(e)
    to: bytep = lp + LP_HEAD
    behind: bytep
    while to[0] != LP_END:
        behind = lp_skip(to)
        _score_of(behind, cython.address(other))
        if other >= score and to != p and (other > score or _order(to, text, n) > 0):
            break
        to = lp_skip(behind)
    if p == cython.NULL:
        lp = lp_insert_pair(lp, to, text, n, digits, _score_text(digits, score))
    else:
        lp = lp_move_pair(lp, p, to, digits, _score_text(digits, score))
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _packed_update(ctx: Context, e: bytep, text: const_bytes, n: cython.Py_ssize_t, score: score_p,
                   options: cython.int) -> cython.int:
    """zset_update of a small one."""
    old: cython.double = 0
    outcome: cython.int
    lp: bytep = _lp(e)
    p: bytep = lp_find(lp, lp_first(lp), text, n, 1)
    if p != cython.NULL:
        _score_of(lp_next(lp, p), cython.address(old))
        outcome = _decide(old, score, options)
        if outcome == ZADD_CHANGED:
            _packed_put(e, text, n, score[0], p)
        return outcome
    if options & ZADD_XX:
        return ZADD_REFUSED
    if (lp_length(lp) // 2 >= ctx.zset_max_entries or n > ctx.zset_max_value
            or cython.cast(int64_t, lp_bytes(lp)) + n + ROOM > LISTPACK_MAX):
        _to_ordered(e)
        return zset_update(ctx, e, text, n, score, options)
    _packed_put(e, text, n, score[0], cython.NULL)
    return ZADD_ADDED


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_update(ctx: Context, e: bytep, text: const_bytes, n: cython.Py_ssize_t, score: score_p,
                options: cython.int) -> cython.int:
    """Add a member, or change its score, as ZADD's options say: a ZaddOutcome. `score` is the new one then.

    MemoryError, and nothing is changed then (but perhaps the form). The member must not lie in this sorted set.
    """
    hash: uint64_t
    pair: bytep
    outcome: cython.int
    if _packed(e):
        return _packed_update(ctx, e, text, n, score, options)
    hash = hash_key(text, n)
    pair = ordered_find(_ordered(e), text, n, hash)
    if pair != cython.NULL:
        outcome = _decide(pair_score(pair), score, options)
        if outcome == ZADD_CHANGED and not ordered_rescore(_ordered(e), pair, score[0]):
            raise MemoryError
        return outcome
    if options & ZADD_XX:
        return ZADD_REFUSED
    if not ordered_add(_ordered(e), text, n, hash, score[0]):
        raise MemoryError
    return ZADD_ADDED


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_put(ctx: Context, e: bytep, text: const_bytes, n: cython.Py_ssize_t, score: cython.double) -> cython.int:
    """Add a member, or give it this score: a ZaddOutcome. As zset_update."""
    return zset_update(ctx, e, text, n, cython.address(score), 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_remove(e: bytep, text: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Take a member out; whether it was there. MemoryError, and nothing is changed then."""
    lp: bytep
    p: bytep
    if not _packed(e):
        return ordered_remove(_ordered(e), text, n)
    lp = _lp(e)
    p = lp_find(lp, lp_first(lp), text, n, 1)
    if p == cython.NULL:
        return False
    lp = lp_delete(lp, p, 2, cython.NULL)
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_remove_range(e: bytep, rank: int64_t, count: int64_t) -> cython.int:
    """Take out `count` elements, not more than there are, from a rank on. MemoryError, and nothing is changed then."""
    lp: bytep
    if count == 0:
        return 0
    if not _packed(e):
        ordered_remove_range(_ordered(e), rank, count)
        return 0
    lp = lp_delete(_lp(e), lp_seek(_lp(e), 2 * rank), cython.cast(uint32_t, 2 * count), cython.NULL)
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zset_pop(ctx: Context, k: key_p, e: bytep, count: int64_t, highest: cython.bint, nested: cython.bint) -> cython.int:
    """Take `count` elements, not more than there are, from the lower or the upper end, and reply with them and their
    scores, in the order of their going, `nested` each in an array. Tells the event; the caller calls zset_close."""
    w: ZWalk
    left: int64_t = count
    length: int64_t = zset_length(e)
    zwalk_start(cython.address(w), e, length - 1 if highest else 0, highest)
    while left > 0 and zwalk_next(cython.address(w)):
        if nested:
            ctx.reply.array(2)
        reply_element(ctx, cython.address(w.member), w.score, True)
        left -= 1
    zset_remove_range(e, length - count if highest else 0, count)
    return ctx.notify(NOTIFY_ZSET, b"zpopmax" if highest else b"zpopmin", k)


# ---- what the keyspace wants of the two forms

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _small_length(body: cython.p_void) -> uint64_t:
    return lp_length(cython.cast(bytep, body)) // 2


@cython.cfunc
def _small_items(body: cython.p_void) -> object:
    return _items(ENC_LISTPACK, body, 0, _small_length(body))


@cython.cfunc
def _large_items(body: cython.p_void) -> object:
    return _items(ENC_ORDERED, body, 0, ordered_length(body))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _small_check(body: cython.p_void) -> cython.int:
    """AssertionError where a listpack is no sorted set."""
    v: LpValue
    score: cython.double = 0
    lp: bytep = cython.cast(bytep, body)
    p: bytep
    assert lp_valid(lp, lp_bytes(lp)) and lp_length(lp) % 2 == 0, "a small sorted set is damaged"
    p = lp_first(lp)
    while p != cython.NULL:
        p = lp_next(lp, p)
        lp_get(p, cython.address(v))
        assert v.p == cython.NULL or parse_double(v.p, v.n, cython.address(score)), "a score is no number"
        p = lp_next(lp, p)
    items: list = _small_items(body)
    assert items == sorted(items, key=_by_score), "a small sorted set is not in order"
    assert len({item[0] for item in items}) == len(items), "a member is there twice"
    return 0


def _by_score(item: tuple) -> tuple:
    return (item[1], item[0])


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_zset_forms() -> cython.int:
    """Tell the keyspace about the two forms."""
    ops: ValueOps
    ops.name = b"listpack"
    ops.packed = True
    ops.length = _small_length
    ops.bytes = lp_body_bytes
    ops.copy = lp_body_copy
    ops.free = lp_body_free
    ops.items = _small_items
    ops.check = _small_check
    value_register(TYPE_ZSET, ENC_LISTPACK, cython.address(ops))
    ops.name = b"skiplist"
    ops.packed = False
    ops.length = ordered_length
    ops.bytes = ordered_bytes
    ops.copy = ordered_copy
    ops.free = ordered_free
    ops.items = _large_items
    ops.check = ordered_check
    return value_register(TYPE_ZSET, ENC_ORDERED, cython.address(ops))
