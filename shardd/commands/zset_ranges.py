"""Ranges of a sorted set, by rank, score or member: ZRANGE in all its forms, ZRANGESTORE, ZCOUNT, ZREMRANGEBY...

    what the command says        Range                              ranks
    ZRANGE z (1 5 BYSCORE   ->   kind, both ends, LIMIT, REV   ->   the lowest, and how many

Each range becomes one of ranks, in O(log n) for a large sorted set; then it is counted, walked, removed or stored in
the same way. A range by member means something only where all scores are equal, as in Redis. What a command removes
or stores depends on its keys alone, so that the journal gets it as it came.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_int64, arg_is, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.zset_forms import (
    ZWalk, reply_walk, zset_before, zset_below, zset_close, zset_entry_new, zset_length, zset_put, zset_remove_range,
    zset_store, zwalk_next, zwalk_start, zwalk_text)
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import TYPE_ZSET, View, entry_free
from cython.cimports.shardd.keyspace.events import NOTIFY_ZSET
from cython.cimports.shardd.structures.number import parse_bound
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))

AUTO = cython.declare(cython.int, 0)            # kinds of ranges, and directions: not said yet
BY_RANK = cython.declare(cython.int, 1)
BY_SCORE = cython.declare(cython.int, 2)
BY_LEX = cython.declare(cython.int, 3)
UPWARDS = cython.declare(cython.int, 1)
DOWNWARDS = cython.declare(cython.int, 2)

# An end of a range: a score, or a member; or (infinite) before all members, or behind them.
Bound = cython.struct(
    score=cython.double,
    p=cython.pointer(cython.const[uint8_t]),
    n=cython.Py_ssize_t,
    exclusive=cython.bint,
    infinite=cython.int)

Range = cython.struct(
    kind=cython.int,
    direction=cython.int,
    with_scores=cython.bint,
    offset=int64_t,
    limit=int64_t,          # negative: none
    start=int64_t,          # by rank
    stop=int64_t,
    low=Bound,              # by score, by member
    high=Bound)

bound_p = cython.typedef(cython.pointer(Bound))
range_p = cython.typedef(cython.pointer(Range))


# ---- what a command says

@cython.cfunc
@cython.exceptval(check=False)
def _begin(r: range_p, kind: cython.int, direction: cython.int) -> cython.void:
    r.kind = kind
    r.direction = direction
    r.with_scores = False
    r.offset = 0
    r.limit = -1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _options(ctx: Context, argv: arg_p, argc: cython.int, r: range_p, stores: cython.bint) -> cython.bint:
    """[BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES], all of argv; False where an error was replied."""
    i: cython.int = 0
    while i < argc:
        if not stores and arg_is(argv + i, b"withscores", 10):
            r.with_scores = True
        elif arg_is(argv + i, b"limit", 5) and argc - i > 2:
            if not (arg_int64(argv + i + 1, cython.address(r.offset))
                    and arg_int64(argv + i + 2, cython.address(r.limit))):
                ctx.error(errors.NOT_INTEGER)
                return False
            i += 2
        elif r.direction == AUTO and arg_is(argv + i, b"rev", 3):
            r.direction = DOWNWARDS
        elif r.kind == AUTO and arg_is(argv + i, b"bylex", 5):
            r.kind = BY_LEX
        elif r.kind == AUTO and arg_is(argv + i, b"byscore", 7):
            r.kind = BY_SCORE
        else:
            ctx.error(errors.SYNTAX)
            return False
        i += 1
    if r.direction == AUTO:
        r.direction = UPWARDS
    if r.kind == AUTO:
        r.kind = BY_RANK
    if r.limit != -1 and r.kind == BY_RANK:
        ctx.error(errors.RANGE_LIMIT)
        return False
    if r.kind == BY_RANK:
        r.offset = 0        # LIMIT with -1 is allowed by rank, and without effect
    if r.with_scores and r.kind == BY_LEX:
        ctx.error(errors.RANGE_LEX_SCORES)
        return False
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _score_bound(arg: arg_p, b: bound_p) -> cython.bint:
    """Whether it is a score, perhaps after a ( that excludes it."""
    b.exclusive = arg.n > 0 and arg.p[0] == 40
    return parse_bound(arg.p + b.exclusive, arg.n - b.exclusive, cython.address(b.score))


@cython.cfunc
@cython.exceptval(check=False)
def _lex_bound(arg: arg_p, b: bound_p) -> cython.bint:
    """Whether it is -, +, or a member after a [ or a ( that excludes it."""
    b.infinite = 0
    b.exclusive = False
    if arg.n == 0:
        return False
    if (arg.p[0] == 43 or arg.p[0] == 45) and (arg.n == 1 or arg.p[1] == 0):     # where a C string ends
        b.infinite = 1 if arg.p[0] == 43 else -1
        return True
    if arg.p[0] != 40 and arg.p[0] != 91:
        return False
    b.exclusive = arg.p[0] == 40
    b.p = arg.p + 1
    b.n = arg.n - 1
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _ends(ctx: Context, first: arg_p, last: arg_p, r: range_p) -> cython.bint:
    """The ends of the range, in the order of the command, which goes downwards from the higher one; False where an
    error was replied."""
    low: arg_p = last if r.direction == DOWNWARDS else first
    high: arg_p = first if r.direction == DOWNWARDS else last
    if r.kind == BY_RANK:
        if not (arg_int64(first, cython.address(r.start)) and arg_int64(last, cython.address(r.stop))):
            ctx.error(errors.NOT_INTEGER)
            return False
    elif r.kind == BY_SCORE:
        if not (_score_bound(low, cython.address(r.low)) and _score_bound(high, cython.address(r.high))):
            ctx.error(errors.RANGE_NOT_FLOAT)
            return False
    elif not (_lex_bound(low, cython.address(r.low)) and _lex_bound(high, cython.address(r.high))):
        ctx.error(errors.RANGE_NOT_STRING)
        return False
    return True


# ---- ranks

@cython.cfunc
@cython.exceptval(check=False)
def _members_before(e: bytep, b: bound_p, inclusive: cython.bint) -> int64_t:
    if b.infinite:
        return zset_length(e) if b.infinite > 0 else 0
    return zset_before(e, b.p, b.n, inclusive)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _ranks(e: bytep, r: range_p, lowest: cython.pointer(int64_t)) -> int64_t:
    """How many elements of a sorted set are in the range, and the rank of the lowest one."""
    length: int64_t = zset_length(e)
    count: int64_t
    end: int64_t
    start: int64_t = r.start
    if r.kind == BY_RANK:
        end = r.stop
        start = max(start + length if start < 0 else start, 0)
        end = min(end + length if end < 0 else end, length - 1) + 1
        if start >= end:
            return 0
        if r.direction == DOWNWARDS:
            start, end = length - end, length - start
    elif r.kind == BY_SCORE:
        start = zset_below(e, r.low.score, r.low.exclusive)
        end = zset_below(e, r.high.score, not r.high.exclusive)
    else:
        start = _members_before(e, cython.address(r.low), r.low.exclusive)
        end = _members_before(e, cython.address(r.high), not r.high.exclusive)
    count = end - start
    if count <= 0 or r.offset < 0 or r.offset >= count:
        return 0
    count -= r.offset
    if 0 <= r.limit < count:
        count = r.limit
    lowest[0] = end - r.offset - count if r.direction == DOWNWARDS else start + r.offset
    return count


# ---- ZRANGE and its older names

@cython.cfunc
@cython.exceptval(-1, check=False)
def _range(ctx: Context, argv: arg_p, argc: cython.int, kind: cython.int, direction: cython.int) -> cython.int:
    """ZRANGE key start stop [options], and what it replaces: of a kind and a direction that no option says."""
    r: Range
    e: bytep
    lowest: int64_t = 0
    count: int64_t
    _begin(cython.address(r), kind, direction)
    if not (_options(ctx, argv + 4, argc - 4, cython.address(r), False)
            and _ends(ctx, argv + 2, argv + 3, cython.address(r))):
        return 0
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    if e == cython.NULL:
        return ctx.reply.array(0)
    count = _ranks(e, cython.address(r), cython.address(lowest))
    if r.direction == DOWNWARDS:
        return reply_walk(ctx, e, lowest + count - 1, count, True, r.with_scores)
    return reply_walk(ctx, e, lowest, count, False, r.with_scores)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrange_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _range(ctx, argv, argc, AUTO, AUTO)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrevrange_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _range(ctx, argv, argc, BY_RANK, DOWNWARDS)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrangebyscore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _range(ctx, argv, argc, BY_SCORE, UPWARDS)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrevrangebyscore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _range(ctx, argv, argc, BY_SCORE, DOWNWARDS)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrangebylex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _range(ctx, argv, argc, BY_LEX, UPWARDS)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrevrangebylex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _range(ctx, argv, argc, BY_LEX, DOWNWARDS)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _copy_range(ctx: Context, result: bytep, e: bytep, r: range_p) -> cython.int:
    """Put the range's elements into the result."""
    w: ZWalk
    text: View
    lowest: int64_t = 0
    count: int64_t = _ranks(e, r, cython.address(lowest))
    zwalk_start(cython.address(w), e, lowest, False)
    while count > 0 and zwalk_next(cython.address(w)):
        zwalk_text(cython.address(w), cython.address(text.p), cython.address(text.n), text.digits)
        zset_put(ctx, result, text.p, text.n, w.score)
        count -= 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def zrangestore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZRANGESTORE destination source start stop [options]"""
    r: Range
    room: Key
    e: bytep
    result: bytep
    done: cython.bint = False
    _begin(cython.address(r), AUTO, AUTO)
    if not (_options(ctx, argv + 5, argc - 5, cython.address(r), True)
            and _ends(ctx, argv + 3, argv + 4, cython.address(r))):
        return 0
    e = ctx.db.read(ctx.other_key(cython.address(room), argv + 2))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    result = zset_entry_new(ctx, ctx.key.p, ctx.key.n)
    try:
        if e != cython.NULL:
            _copy_range(ctx, result, e, cython.address(r))
        done = True
    finally:
        if not done:
            entry_free(result)
    return zset_store(ctx, result, b"zrangestore")


# ---- counting and removing

@cython.cfunc
@cython.exceptval(-1, check=False)
def _count(ctx: Context, argv: arg_p, kind: cython.int) -> cython.int:
    """ZCOUNT, ZLEXCOUNT key low high"""
    r: Range
    lowest: int64_t = 0
    e: bytep
    _begin(cython.address(r), kind, UPWARDS)
    if not _ends(ctx, argv + 2, argv + 3, cython.address(r)):
        return 0
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    return ctx.reply.integer(_ranks(e, cython.address(r), cython.address(lowest)) if e != cython.NULL else 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zcount_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _count(ctx, argv, BY_SCORE)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zlexcount_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _count(ctx, argv, BY_LEX)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _remove(ctx: Context, argv: arg_p, kind: cython.int, event: bytes) -> cython.int:
    """ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX key low high"""
    r: Range
    lowest: int64_t = 0
    count: int64_t
    k: key_p = cython.address(ctx.key)
    e: bytep
    _begin(cython.address(r), kind, UPWARDS)
    if not _ends(ctx, argv + 2, argv + 3, cython.address(r)):
        return 0
    e = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_ZSET):
        return 0
    count = _ranks(e, cython.address(r), cython.address(lowest)) if e != cython.NULL else 0
    if count > 0:
        zset_remove_range(e, lowest, count)
        ctx.notify(NOTIFY_ZSET, event, k)
        zset_close(ctx, k, e, True)
    return ctx.reply.integer(count)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zremrangebyrank_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _remove(ctx, argv, BY_RANK, b"zremrangebyrank")


@cython.cfunc
@cython.exceptval(-1, check=False)
def zremrangebyscore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _remove(ctx, argv, BY_SCORE, b"zremrangebyscore")


@cython.cfunc
@cython.exceptval(-1, check=False)
def zremrangebylex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _remove(ctx, argv, BY_LEX, b"zremrangebylex")


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_zset_ranges(registry: Registry) -> cython.int:
    """Register these commands."""
    registry.hot("zrange", zrange_command)
    registry.hot("zrangestore", zrangestore_command)
    registry.hot("zrevrange", zrevrange_command)
    registry.hot("zrangebyscore", zrangebyscore_command)
    registry.hot("zrevrangebyscore", zrevrangebyscore_command)
    registry.hot("zrangebylex", zrangebylex_command)
    registry.hot("zrevrangebylex", zrevrangebylex_command)
    registry.hot("zcount", zcount_command)
    registry.hot("zlexcount", zlexcount_command)
    registry.hot("zremrangebyrank", zremrangebyrank_command)
    registry.hot("zremrangebyscore", zremrangebyscore_command)
    registry.hot("zremrangebylex", zremrangebylex_command)
    return 0
