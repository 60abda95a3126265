"""The algebra of sorted sets, and of sets with a score of 1: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD.

    ZINTER   members of the smallest source are looked up in the others, from the next larger on
    ZUNION   all sources are put into one, scores of the same member aggregated, the smallest source first
    ZDIFF    members of the first source are looked up in the others, from the largest on; weights do not exist

    sources -> a table of members and scores -> in one go the order of them -> reply, or store

The order in which scores are added, which the last digit of a sum may show, is Redis's. Infinity less infinity is 0,
and so is 0 times infinity. A result is made beside the database and put in the destination's place at the end, so that
the destination may be a source; without members, the destination is deleted. What comes out depends on the sources
alone, so the journal gets the command as it came.

All sources are looked up first, and one of another type is an error whatever the others hold.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.set_forms import (
    Members, members_end, members_next, members_start, set_has, set_length)
from cython.cimports.shardd.commands.zset_forms import (
    ZWalk, reply_walk, zset_entry_large, zset_length, zset_pack, zset_score, zset_store, zwalk_next, zwalk_start)
from cython.cimports.shardd.keyspace.database import Key, key_init
from cython.cimports.shardd.keyspace.entry import (
    TYPE_SET, TYPE_ZSET, View, entry_body, entry_encoding, entry_free, entry_type)
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.listpack import LpValue
from cython.cimports.shardd.structures.number import format_int, parse_double
from cython.cimports.shardd.structures.ordered import (
    Ordered, ordered_find, ordered_index, ordered_note, pair_set_score)
from cython.cimports.shardd.structures.ranked import pair_score
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
ordered_p = cython.typedef(cython.pointer(Ordered))
score_p = cython.typedef(cython.pointer(cython.double))
value_p = cython.typedef(cython.pointer(LpValue))

UNION = cython.declare(cython.int, 0)
INTER = cython.declare(cython.int, 1)
DIFF = cython.declare(cython.int, 2)
SUM = cython.declare(cython.int, 0)
MIN = cython.declare(cython.int, 1)
MAX = cython.declare(cython.int, 2)

Source = cython.struct(
    e=bytep,                # NULL: absent
    weight=cython.double)

# A command: its sources and options.
Plan = cython.struct(
    sources=cython.pointer(Source),
    n=cython.int,
    operation=cython.int,
    aggregate=cython.int,
    stores=cython.bint,     # in the command's first key
    with_scores=cython.bint,
    limit=int64_t)          # of ZINTERCARD; 0: none

# A walk over a source of either type, with the present element.
SourceWalk = cython.struct(
    is_set=cython.bint,
    members=Members,
    w=ZWalk,
    v=LpValue,
    text=View,
    score=cython.double)

plan_p = cython.typedef(cython.pointer(Plan))
source_p = cython.typedef(cython.pointer(Source))
walk_p = cython.typedef(cython.pointer(SourceWalk))


# ---- sources

@cython.cfunc
@cython.exceptval(check=False)
def _length(e: bytep) -> int64_t:
    """Members of a source, which may be absent."""
    if e == cython.NULL:
        return 0
    return set_length(e) if entry_type(e) == TYPE_SET else zset_length(e)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _start(s: walk_p, e: bytep) -> cython.int:
    """Begin a walk over a source that is there; _end must follow."""
    s.is_set = entry_type(e) == TYPE_SET
    if s.is_set:
        members_start(cython.address(s.members), entry_encoding(e), entry_body(e))
        s.score = 1
        return 0
    return zwalk_start(cython.address(s.w), e, 0, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _next(s: walk_p) -> cython.bint:
    """The next member, as a value and as text, and its score; False at the end. MemoryError."""
    if s.is_set:
        if not members_next(cython.address(s.members), cython.address(s.v)):
            return False
    else:
        if not zwalk_next(cython.address(s.w)):
            return False
        s.v = s.w.member
        s.score = s.w.score
    if s.v.p != cython.NULL:
        s.text.p = s.v.p
        s.text.n = s.v.n
    else:
        s.text.n = format_int(s.text.digits, s.v.number)
        s.text.p = s.text.digits
    return True


@cython.cfunc
@cython.exceptval(check=False)
def _end(s: walk_p) -> cython.void:
    """Free what the walk holds."""
    if s.is_set:
        members_end(cython.address(s.members))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _look_up(e: bytep, s: walk_p, score: score_p) -> cython.bint:
    """Whether a source has the member that a walk is at, and its score."""
    if e == cython.NULL:
        return False
    if entry_type(e) == TYPE_SET:
        score[0] = 1
        return set_has(e, cython.address(s.v))
    return zset_score(e, s.text.p, s.text.n, score)


@cython.cfunc
@cython.exceptval(check=False)
def _sort(sources: source_p, n: cython.int, descending: cython.bint) -> cython.void:
    """By length, equal ones in their order. By insertion: they are few."""
    i: cython.int
    j: cython.int
    one: Source
    for i in range(1, n):
        one = sources[i]
        j = i
        while j > 0 and (_length(sources[j - 1].e) < _length(one.e) if descending
                         else _length(sources[j - 1].e) > _length(one.e)):
            sources[j] = sources[j - 1]
            j -= 1
        sources[j] = one


# ---- what a command says

@cython.cfunc
@cython.exceptval(-1, check=False)
def _look_up_all(ctx: Context, argv: arg_p, p: plan_p) -> cython.bint:
    """Find the sources; False where one is no set of either kind, and the client knows."""
    k: Key
    i: cython.int
    e: bytep
    for i in range(p.n):
        key_init(cython.address(k), argv[i].p, argv[i].n)
        e = ctx.db.read(cython.address(k))
        if e != cython.NULL and entry_type(e) != TYPE_SET and entry_type(e) != TYPE_ZSET:
            ctx.error(errors.WRONG_TYPE)
            return False
        p.sources[i].e = e
        p.sources[i].weight = 1
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _weights(ctx: Context, argv: arg_p, p: plan_p) -> cython.bint:
    """The words after WEIGHTS; False where an error was replied."""
    i: cython.int
    for i in range(p.n):
        if not parse_double(argv[i].p, argv[i].n, cython.address(p.sources[i].weight)):
            ctx.error(errors.WEIGHT_NOT_FLOAT)
            return False
    return True


@cython.cfunc
@cython.exceptval(check=False)
def _aggregate(arg: arg_p, p: plan_p) -> cython.bint:
    """The word after AGGREGATE."""
    if arg_is(arg, b"sum", 3):
        p.aggregate = SUM
    elif arg_is(arg, b"min", 3):
        p.aggregate = MIN
    elif arg_is(arg, b"max", 3):
        p.aggregate = MAX
    else:
        return False
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _options(ctx: Context, argv: arg_p, argc: cython.int, p: plan_p, counts: cython.bint) -> cython.bint:
    """[WEIGHTS ...] [AGGREGATE ...] [WITHSCORES] or [LIMIT ...], all of argv; False where an error was replied."""
    i: cython.int = 0
    combines: cython.bint = p.operation != DIFF and not counts
    while i < argc:
        if combines and argc - i > p.n and arg_is(argv + i, b"weights", 7):
            if not _weights(ctx, argv + i + 1, p):
                return False
            i += 1 + p.n
        elif combines and argc - i > 1 and arg_is(argv + i, b"aggregate", 9) and _aggregate(argv + i + 1, p):
            i += 2
        elif not p.stores and not counts and arg_is(argv + i, b"withscores", 10):
            p.with_scores = True
            i += 1
        elif counts and argc - i > 1 and arg_is(argv + i, b"limit", 5):
            if not arg_int64(argv + i + 1, cython.address(p.limit)) or p.limit < 0:
                ctx.error(errors.LIMIT_NEGATIVE)
                return False
            i += 2
        else:
            ctx.error(errors.SYNTAX)
            return False
    return True


# ---- results

@cython.cfunc
@cython.exceptval(check=False)
def _combine(into: score_p, score: cython.double, aggregate: cython.int) -> cython.void:
    """Aggregate a second score of a member."""
    if aggregate == SUM:
        into[0] += score
        if into[0] != into[0]:
            into[0] = 0
    elif aggregate == MIN:
        into[0] = score if score < into[0] else into[0]
    else:
        into[0] = score if score > into[0] else into[0]


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _weighted(score: cython.double, weight: cython.double) -> cython.double:
    score *= weight
    return score if score == score else 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _note(o: ordered_p, s: walk_p, score: cython.double) -> cython.int:
    """Put the walk's member, which is not there yet, into the result."""
    if not ordered_note(o, s.text.p, s.text.n, hash_key(s.text.p, s.text.n), score):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _union(p: plan_p, o: ordered_p) -> cython.int:
    """All members of all sources."""
    s: SourceWalk
    i: cython.int
    hash: uint64_t
    pair: bytep
    score: cython.double
    both: cython.double = 0
    for i in range(p.n):
        if p.sources[i].e == cython.NULL:
            continue
        _start(cython.address(s), p.sources[i].e)
        try:
            while _next(cython.address(s)):
                score = _weighted(s.score, p.sources[i].weight)
                hash = hash_key(s.text.p, s.text.n)
                pair = ordered_find(o, s.text.p, s.text.n, hash)
                if pair == cython.NULL:
                    if not ordered_note(o, s.text.p, s.text.n, hash, score):
                        raise MemoryError
                else:
                    both = pair_score(pair)
                    _combine(cython.address(both), score, p.aggregate)
                    pair_set_score(pair, both)
        finally:
            _end(cython.address(s))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _intersection(p: plan_p, o: ordered_p) -> int64_t:
    """The members that all sources have, up to the limit, into the result (NULL: none is made); how many."""
    s: SourceWalk
    i: cython.int
    score: cython.double
    other: cython.double = 0
    count: int64_t = 0
    if _length(p.sources[0].e) == 0:
        return 0
    _start(cython.address(s), p.sources[0].e)
    try:
        while (p.limit == 0 or count < p.limit) and _next(cython.address(s)):
            score = _weighted(s.score, p.sources[0].weight)
            for i in range(1, p.n):
                if not _look_up(p.sources[i].e, cython.address(s), cython.address(other)):
                    break
                _combine(cython.address(score), other * p.sources[i].weight, p.aggregate)
            else:
                count += 1
                if o != cython.NULL:
                    _note(o, cython.address(s), score)
    finally:
        _end(cython.address(s))
    return count


@cython.cfunc
@cython.exceptval(-1, check=False)
def _difference(p: plan_p, o: ordered_p) -> cython.int:
    """The members of the first source that no other has."""
    s: SourceWalk
    i: cython.int
    other: cython.double = 0
    if _length(p.sources[0].e) == 0:
        return 0
    _sort(p.sources + 1, p.n - 1, True)
    _start(cython.address(s), p.sources[0].e)
    try:
        while _next(cython.address(s)):
            for i in range(1, p.n):
                if _look_up(p.sources[i].e, cython.address(s), cython.address(other)):
                    break
            else:
                _note(o, cython.address(s), s.score)
    finally:
        _end(cython.address(s))
    return 0


@cython.cfunc
def _result(ctx: Context, p: cython.pointer(Plan)) -> bytep:
    """The result of a plan, a large sorted set that is in no database; MemoryError."""
    result: bytep = zset_entry_large(ctx, ctx.key.p if p.stores else cython.cast(bytep, b""),
                                     ctx.key.n if p.stores else 0)
    o: ordered_p = cython.cast(ordered_p, entry_body(result))
    done: cython.bint = False
    try:
        if p.operation == UNION:
            _union(p, o)
        elif p.operation == INTER:
            _intersection(p, o)
        else:
            _difference(p, o)
        if not ordered_index(o):
            raise MemoryError
        done = True
    finally:
        if not done:
            entry_free(result)
    return result


@cython.cfunc
@cython.exceptval(-1, check=False)
def _store(ctx: Context, p: plan_p, event: bytes) -> cython.int:
    """Store the result in the form that fits it."""
    done: cython.bint = False
    result: bytep = _result(ctx, p)
    try:
        zset_pack(ctx, result)
        done = True
    finally:
        if not done:
            entry_free(result)
    return zset_store(ctx, result, event)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply(ctx: Context, p: plan_p) -> cython.int:
    """Reply with the result."""
    result: bytep = _result(ctx, p)
    try:
        return reply_walk(ctx, result, 0, zset_length(result), False, p.with_scores)
    finally:
        entry_free(result)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _run(ctx: Context, argv: arg_p, argc: cython.int, operation: cython.int, name: str, stores: cython.bint,
         counts: cython.bint) -> cython.int:
    """numkeys key [key ...] [options] from argv[0] on, of the command of this name (the event's, where it stores)."""
    p: Plan
    numkeys: int64_t
    if not arg_int64(argv, cython.address(numkeys)):
        return ctx.error(errors.NOT_INTEGER)
    if numkeys < 1:
        return ctx.error(errors.no_input_key(name))
    if numkeys > argc - 1:
        return ctx.error(errors.SYNTAX)
    p.n = cython.cast(cython.int, numkeys)
    p.operation = operation
    p.aggregate = SUM
    p.stores = stores
    p.with_scores = False
    p.limit = 0
    p.sources = cython.cast(source_p, calloc(p.n, cython.sizeof(Source)))
    if p.sources == cython.NULL:
        raise MemoryError
    try:
        if not (_look_up_all(ctx, argv + 1, cython.address(p)) and _options(
                ctx, argv + 1 + p.n, argc - 1 - p.n, cython.address(p), counts)):
            return 0
        if operation != DIFF:
            _sort(p.sources, p.n, False)
        if counts:
            return ctx.reply.integer(_intersection(cython.address(p), cython.NULL))
        return _store(ctx, cython.address(p), name.encode()) if stores else _reply(ctx, cython.address(p))
    finally:
        free(p.sources)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zunion_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]"""
    return _run(ctx, argv + 1, argc - 1, UNION, "zunion", False, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zunionstore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX]"""
    return _run(ctx, argv + 2, argc - 2, UNION, "zunionstore", True, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zinter_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _run(ctx, argv + 1, argc - 1, INTER, "zinter", False, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zinterstore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _run(ctx, argv + 2, argc - 2, INTER, "zinterstore", True, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zintercard_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZINTERCARD numkeys key [key ...] [LIMIT limit]; limit 0 is none."""
    return _run(ctx, argv + 1, argc - 1, INTER, "zintercard", False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zdiff_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """ZDIFF numkeys key [key ...] [WITHSCORES]"""
    return _run(ctx, argv + 1, argc - 1, DIFF, "zdiff", False, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def zdiffstore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _run(ctx, argv + 2, argc - 2, DIFF, "zdiffstore", True, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_zset_algebra(registry: Registry) -> cython.int:
    """Register these commands."""
    registry.hot("zunion", zunion_command)
    registry.hot("zunionstore", zunionstore_command)
    registry.hot("zinter", zinter_command)
    registry.hot("zinterstore", zinterstore_command)
    registry.hot("zintercard", zintercard_command)
    registry.hot("zdiff", zdiff_command)
    registry.hot("zdiffstore", zdiffstore_command)
    return 0
