"""The sorted-set family, but for ranges and algebra: ZADD, ZINCRBY, ZSCORE, ZRANK, ZREM, ZPOPMIN, ZMPOP, ZSCAN ...

Does not own what a sorted set is made of (zset_forms.py), ranges (zset_ranges.py), or what is computed of several
(zset_algebra.py). The journal gets commands as they came, as in Redis; of ZMPOP the ZPOPMIN or ZPOPMAX that it was.

Invariant: a sorted set has a member; the command that takes the last one deletes the key.
"""
import random

import cython
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_int64, arg_is, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.gather import Gathered, ScanOptions, gather_wanted, scan_begin, scan_wants
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.zset_forms import (
    ZADD_ADDED, ZADD_CHANGED, ZADD_GT, ZADD_INCR, ZADD_LT, ZADD_NAN, ZADD_NX, ZADD_REFUSED, ZADD_XX, ZWalk,
    register_zset_forms, reply_element, reply_walk, zset_close, zset_items, zset_length, zset_open, zset_pop,
    zset_rank, zset_remove, zset_score, zset_update, zwalk_next, zwalk_start, zwalk_text)
from cython.cimports.shardd.keyspace.database import Key, key_init
from cython.cimports.shardd.keyspace.entry import ENC_LISTPACK, TYPE_ZSET, View, entry_body, entry_encoding
from cython.cimports.shardd.keyspace.events import NOTIFY_ZSET
from cython.cimports.shardd.structures.number import format_double, format_double_17, parse_double
from cython.cimports.shardd.structures.ordered import Ordered
from cython.cimports.shardd.structures.random import random_bits
from cython.cimports.shardd.structures.ranked import member, pair_score
from cython.cimports.shardd.structures.table import pair_key_len
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))
ordered_p = cython.typedef(cython.pointer(Ordered))
score_p = cython.typedef(cython.pointer(cython.double))

REPEATED_MAX = cython.declare(int64_t, limits.RANDOM_REPLY_BYTES_MAX)
BULK_BYTES_MIN = cython.declare(int64_t, 6)     # of a reply of one member
SCORES_NEAR = cython.declare(cython.int, 16)    # scores of one ZADD that need no memory of their own


# ---- ZADD, ZINCRBY

@cython.cfunc
@cython.exceptval(-1, check=False)
def _zadd_options(argv: arg_p, argc: cython.int, options: cython.pointer(cython.int),
                  changes: cython.pointer(cython.bint)) -> cython.int:
    """NX, XX, GT, LT, CH and INCR from argv[2] on; the number of the first word after them."""
    i: cython.int = 2
    while i < argc:
        if argv[i].n == 2:
            if arg_is(argv + i, b"nx", 2):
                options[0] |= ZADD_NX
            elif arg_is(argv + i, b"xx", 2):
                options[0] |= ZADD_XX
            elif arg_is(argv + i, b"gt", 2):
                options[0] |= ZADD_GT
            elif arg_is(argv + i, b"lt", 2):
                options[0] |= ZADD_LT
            elif arg_is(argv + i, b"ch", 2):
                changes[0] = True
            else:
                break
        elif arg_is(argv + i, b"incr", 4):
            options[0] |= ZADD_INCR
        else:
            break
        i += 1
    return i


@cython.cfunc
@cython.exceptval(-1, check=False)
def zadd_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]"""
    options: cython.int = 0
    changes: cython.bint = False
    first: cython.int = _zadd_options(argv, argc, cython.address(options), cython.address(changes))
    pairs: cython.int = (argc - first) // 2
    room: cython.double[16]
    scores: score_p = room
    i: cython.int
    if pairs == 0 or (argc - first) % 2:
        return ctx.error(errors.SYNTAX)
    if options & ZADD_NX and options & ZADD_XX:
        return ctx.error(errors.ZADD_XX_AND_NX)
    if (options & ZADD_NX and options & (ZADD_GT | ZADD_LT)) or (options & ZADD_GT and options & ZADD_LT):
        return ctx.error(errors.ZADD_GT_LT_NX)
    if options & ZADD_INCR and pairs > 1:
        return ctx.error(errors.ZADD_INCR_PAIRS)
    if pairs > SCORES_NEAR:
        scores = cython.cast(score_p, malloc(pairs * cython.sizeof(cython.double)))
        if scores == cython.NULL:
            raise MemoryError
    try:
        for i in range(pairs):
            if not parse_double(argv[first + 2 * i].p, argv[first + 2 * i].n, scores + i):
                return ctx.error(errors.NOT_FLOAT)
        return _add_all(ctx, argv + first, scores, pairs, options, changes)
    finally:
        if scores != room:
            free(scores)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _add_all(ctx: Context, argv: arg_p, scores: score_p, pairs: cython.int, options: cython.int,
             changes: cython.bint) -> cython.int:
    """Add the members argv[1], argv[3] ... with these scores, and reply."""
    added: int64_t = 0
    changed: int64_t = 0
    outcome: cython.int = ZADD_REFUSED
    i: cython.int
    k: key_p = cython.address(ctx.key)
    e: bytep = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    if e != cython.NULL or not options & ZADD_XX:
        e = zset_open(ctx, k, e, pairs, argv[1].n)
        try:
            for i in range(pairs):
                outcome = zset_update(ctx, e, argv[2 * i + 1].p, argv[2 * i + 1].n, scores + i, options)
                added += outcome == ZADD_ADDED
                changed += outcome == ZADD_CHANGED
        finally:
            zset_close(ctx, k, e, added + changed > 0)
            if added + changed > 0:
                ctx.notify(NOTIFY_ZSET, b"zincr" if options & ZADD_INCR else b"zadd", k)
    if not options & ZADD_INCR:
        return ctx.reply.integer(added + changed if changes else added)
    if outcome == ZADD_NAN:
        return ctx.error(errors.ZADD_NAN)
    return ctx.reply.null() if outcome == ZADD_REFUSED else ctx.reply.double(scores[0])


@cython.cfunc
@cython.exceptval(-1, check=False)
def zincrby_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZINCRBY key increment member"""
    score: cython.double = 0
    options: cython.int = 0
    changes: cython.bint = False
    if _zadd_options(argv, argc, cython.address(options), cython.address(changes)) > 2:
        return ctx.error(errors.SYNTAX)     # ZADD's options are read as such here too, and leave no pair
    if not parse_double(argv[2].p, argv[2].n, cython.address(score)):
        return ctx.error(errors.NOT_FLOAT)
    return _add_all(ctx, argv + 2, cython.address(score), 1, ZADD_INCR, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrem_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZREM key member [member ...]"""
    removed: int64_t = 0
    i: cython.int
    k: key_p = cython.address(ctx.key)
    e: bytep = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    if e != cython.NULL:
        try:
            for i in range(2, argc):
                removed += zset_remove(e, argv[i].p, argv[i].n)
                if zset_length(e) == 0:
                    break
        finally:
            if removed > 0:
                ctx.notify(NOTIFY_ZSET, b"zrem", k)
            zset_close(ctx, k, e, removed > 0)
    return ctx.reply.integer(removed)


# ---- looking

@cython.cfunc
@cython.exceptval(-1, check=False)
def zcard_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    return ctx.reply.integer(zset_length(e))


@cython.cfunc
@cython.exceptval(-1, check=False)
def zscore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    score: cython.double = 0
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    if zset_score(e, argv[2].p, argv[2].n, cython.address(score)):
        return ctx.reply.double(score)
    return ctx.reply.null()


@cython.cfunc
@cython.exceptval(-1, check=False)
def zmscore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    score: cython.double = 0
    i: cython.int
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    ctx.reply.array(argc - 2)
    for i in range(2, argc):
        if zset_score(e, argv[i].p, argv[i].n, cython.address(score)):
            ctx.reply.double(score)
        else:
            ctx.reply.null()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _rank(ctx: Context, argv: arg_p, argc: cython.int, backwards: cython.bint) -> cython.int:
    """ZRANK, ZREVRANK key member [WITHSCORE]"""
    score: cython.double = 0
    rank: int64_t
    e: bytep
    with_score: cython.bint = argc == 4 and arg_is(argv + 3, b"withscore", 9)
    if argc > 3 and not with_score:
        return ctx.error(errors.SYNTAX)
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    rank = zset_rank(e, argv[2].p, argv[2].n, cython.address(score))
    if rank < 0:
        return ctx.reply.null_array() if with_score else ctx.reply.null()
    if backwards:
        rank = zset_length(e) - 1 - rank
    if not with_score:
        return ctx.reply.integer(rank)
    ctx.reply.array(2)
    ctx.reply.integer(rank)
    return ctx.reply.double(score)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrank_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _rank(ctx, argv, argc, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrevrank_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _rank(ctx, argv, argc, True)


# ---- popping

@cython.cfunc
@cython.exceptval(-1, check=False)
def _pop(ctx: Context, argv: arg_p, argc: cython.int, highest: cython.bint) -> cython.int:
    """ZPOPMIN, ZPOPMAX key [count]"""
    count: int64_t = 1
    nested: cython.bint = argc == 3 and ctx.reply.resp == 3
    k: key_p = cython.address(ctx.key)
    e: bytep
    if argc > 3:
        return ctx.error(errors.SYNTAX)
    if argc == 3 and (not arg_int64(argv + 2, cython.address(count)) or count < 0):
        return ctx.error(errors.MUST_BE_POSITIVE)
    e = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    count = min(count, zset_length(e))
    ctx.reply.array(count if nested else 2 * count)
    if count == 0:
        return 0
    zset_pop(ctx, k, e, count, highest, nested)
    return zset_close(ctx, k, e, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zpopmin_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _pop(ctx, argv, argc, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zpopmax_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _pop(ctx, argv, argc, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zmpop_options(ctx: Context, argv: arg_p, argc: cython.int, highest: cython.pointer(cython.bint),
                  count: cython.pointer(int64_t)) -> int64_t:
    """numkeys key [key ...] MIN | MAX [COUNT count] from argv[0] on: how many keys; 0 where an error was replied."""
    numkeys: int64_t
    i: int64_t
    counted: cython.bint = False
    count[0] = 1
    if not arg_int64(argv, cython.address(numkeys)) or numkeys < 1:
        ctx.error(errors.NUMKEYS_NOT_POSITIVE)
        return 0
    highest[0] = numkeys < argc - 1 and arg_is(argv + numkeys + 1, b"max", 3)
    if numkeys >= argc - 1 or not (highest[0] or arg_is(argv + numkeys + 1, b"min", 3)):
        ctx.error(errors.SYNTAX)
        return 0
    i = numkeys + 2
    while i < argc:
        if counted or i + 1 == argc or not arg_is(argv + i, b"count", 5):
            ctx.error(errors.SYNTAX)
            return 0
        if not arg_int64(argv + i + 1, count) or count[0] < 1:
            ctx.error(errors.COUNT_NOT_POSITIVE)
            return 0
        counted = True
        i += 2
    return numkeys


@cython.cfunc
@cython.exceptval(-1, check=False)
def zmpop_first(ctx: Context, argv: arg_p, numkeys: int64_t, highest: cython.bint, count: int64_t) -> cython.int:
    """Pop from the first key that holds a sorted set, and reply; its effect is ZPOPMIN or ZPOPMAX. 0: there is none,
    and nothing was replied; 1: done, or an error was replied."""
    k: Key
    e: bytep = cython.NULL
    i: int64_t
    for i in range(numkeys):
        key_init(cython.address(k), argv[i].p, argv[i].n)
        e = ctx.db.write(cython.address(k))
        if e != cython.NULL:
            break
    if e == cython.NULL:
        return 0
    if not of_type(ctx, e, TYPE_ZSET):
        return 1
    count = min(count, zset_length(e))
    ctx.reply.array(2)
    ctx.reply.bulk(k.p, k.n)
    ctx.reply.array(count)
    zset_pop(ctx, cython.address(k), e, count, highest, True)
    zset_close(ctx, cython.address(k), e, True)
    if ctx.journal.active:
        ctx.effect((b"ZPOPMAX" if highest else b"ZPOPMIN", k.p[:k.n], b"%d" % count))
    return 1


@cython.cfunc
@cython.exceptval(-1, check=False)
def zmpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZMPOP numkeys key [key ...] MIN | MAX [COUNT count]"""
    highest: cython.bint = False
    count: int64_t = 1
    numkeys: int64_t = zmpop_options(ctx, argv + 1, argc - 1, cython.address(highest), cython.address(count))
    if numkeys == 0 or zmpop_first(ctx, argv + 2, numkeys, highest, count):
        return 0
    return ctx.reply.null_array()


# ---- ZRANDMEMBER, ZSCAN

@cython.cfunc
@cython.exceptval(-1, check=False)
def _random_walk(e: bytep, w: cython.pointer(ZWalk)) -> cython.int:
    """Lead a walk to an element by chance."""
    zwalk_start(w, e, cython.cast(int64_t, random_bits() % cython.cast(cython.ulonglong, zset_length(e))), False)
    zwalk_next(w)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _random_once(ctx: Context, e: bytep, count: int64_t, with_scores: cython.bint) -> cython.int:
    """Reply with `count` elements, each once; all where there are no more."""
    w: ZWalk
    rank: int64_t
    length: int64_t = zset_length(e)
    if count >= length:
        return reply_walk(ctx, e, 0, length, False, with_scores)
    _random_head(ctx, count, with_scores)
    if entry_encoding(e) == ENC_LISTPACK:
        for name, score in random.sample(zset_items(e), count):
            _reply_item(ctx, name, score, with_scores)
        return 0
    for rank in random.sample(range(length), count):
        zwalk_start(cython.address(w), e, rank, False)
        zwalk_next(cython.address(w))
        if with_scores and ctx.reply.resp == 3:
            ctx.reply.array(2)
        reply_element(ctx, cython.address(w.member), w.score, with_scores)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _random_head(ctx: Context, count: int64_t, with_scores: cython.bint) -> cython.int:
    return ctx.reply.array(2 * count if with_scores and ctx.reply.resp == 2 else count)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_item(ctx: Context, name: bytes, score: cython.double, with_score: cython.bint) -> cython.int:
    if with_score and ctx.reply.resp == 3:
        ctx.reply.array(2)
    ctx.reply.value(name)
    return ctx.reply.double(score) if with_score else 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrandmember_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZRANDMEMBER key [count [WITHSCORES]]; with a negative count, members may come again."""
    w: ZWalk
    e: bytep
    count: int64_t
    start: cython.Py_ssize_t
    with_scores: cython.bint = argc == 4 and arg_is(argv + 3, b"withscores", 10)
    if argc == 2:
        e = ctx.db.read(cython.address(ctx.key))
        if not of_type(ctx, e, TYPE_ZSET):
            return 0
        if e == cython.NULL:
            return ctx.reply.null()
        _random_walk(e, cython.address(w))
        return reply_element(ctx, cython.address(w.member), w.score, False)
    if not arg_int64(argv + 2, cython.address(count)):
        return ctx.error(errors.NOT_INTEGER)
    if count == INT64_MIN:
        return ctx.error(errors.out_of_range_between(-INT64_MAX, INT64_MAX))
    if argc > 4 or (argc == 4 and not with_scores):
        return ctx.error(errors.SYNTAX)
    if with_scores and not -(INT64_MAX // 2) <= count <= INT64_MAX // 2:
        return ctx.error(errors.OUT_OF_RANGE)
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    if e == cython.NULL or count == 0:
        return ctx.reply.array(0)
    if count > 0:
        return _random_once(ctx, e, count, with_scores)
    if -count > REPEATED_MAX // BULK_BYTES_MIN:
        return ctx.error(errors.OUT_OF_RANGE)
    start = ctx.reply.len
    _random_head(ctx, -count, with_scores)
    while count < 0:
        _random_walk(e, cython.address(w))
        if with_scores and ctx.reply.resp == 3:
            ctx.reply.array(2)
        reply_element(ctx, cython.address(w.member), w.score, with_scores)
        count += 1
        if ctx.reply.len - start > REPEATED_MAX:
            ctx.reply.truncate(start)
            return ctx.error(errors.OUT_OF_RANGE)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_score_text(ctx: Context, score: cython.double) -> cython.int:
    """A score as a string, whatever the protocol's version, as ZSCAN gives those of a listpack."""
    text: cython.uchar[32]
    return ctx.reply.bulk(text, format_double(text, score))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _scan_large(ctx: Context, e: bytep, o: cython.pointer(ScanOptions)) -> cython.int:
    """A step of ZSCAN over the table; scores are strings of 17 digits, whatever the protocol's version, as in Redis."""
    found: Gathered
    pair: bytep
    i: int64_t
    digits: cython.uchar[32]
    try:
        gather_wanted(ctx, cython.address(cython.cast(ordered_p, entry_body(e)).t), o, cython.address(found), 2)
        for i in range(found.n):
            pair = found.pairs[i]
            ctx.reply.bulk(member(pair), pair_key_len(pair))
            ctx.reply.bulk(digits, format_double_17(digits, pair_score(pair)))
    finally:
        free(found.pairs)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zscan_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZSCAN key cursor [MATCH pattern] [COUNT count]"""
    o: ScanOptions
    w: ZWalk
    text: View
    wanted: list = []
    e: bytep = scan_begin(ctx, argv, argc, TYPE_ZSET, cython.address(o))
    if e == cython.NULL:
        return 0
    if entry_encoding(e) != ENC_LISTPACK:
        return _scan_large(ctx, e, cython.address(o))
    zwalk_start(cython.address(w), e, 0, False)
    while zwalk_next(cython.address(w)):
        zwalk_text(cython.address(w), cython.address(text.p), cython.address(text.n), text.digits)
        if scan_wants(cython.address(o), text.p, text.n):
            wanted.append((cython.cast(cython.p_char, text.p)[:text.n], w.score))
    ctx.reply.array(2)
    ctx.reply.bulk(b"0", 1)
    ctx.reply.array(2 * len(wanted))
    for name, score in wanted:
        ctx.reply.value(name)
        _reply_score_text(ctx, score)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_zsets(registry: Registry) -> cython.int:
    """Register these commands."""
    register_zset_forms()
    registry.hot("zadd", zadd_command)
    registry.hot("zincrby", zincrby_command)
    registry.hot("zrem", zrem_command)
    registry.hot("zcard", zcard_command)
    registry.hot("zscore", zscore_command)
    registry.hot("zmscore", zmscore_command)
    registry.hot("zrank", zrank_command)
    registry.hot("zrevrank", zrevrank_command)
    registry.hot("zpopmin", zpopmin_command)
    registry.hot("zpopmax", zpopmax_command)
    registry.hot("zmpop", zmpop_command)
    registry.hot("zrandmember", zrandmember_command)
    registry.hot("zscan", zscan_command)
    return 0
