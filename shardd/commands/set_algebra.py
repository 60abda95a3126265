"""What is computed of several sets: SINTER, SUNION, SDIFF, their STORE forms, SINTERCARD.

    SINTER   members of the smallest set are looked up in the others, from the next larger on; no set, no result
    SUNION   all sets are put into one
    SDIFF    either members of the first set are looked up in the others, from the largest on,
             or the others are taken out of a copy of it: whichever is less work (Redis's estimate)

The STORE forms make the result beside the database and put it in the destination's place at the end, so that the
destination may be a source; without members, the destination is deleted. What comes out depends on the sets alone, so
the journal gets the command as it came.

All sources are looked up first, and one of another type is an error whatever the others hold.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t, uint32_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_int64, arg_is, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.outcome import outcome_store
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.set_forms import (
    Members, member_number, members_end, members_next, members_start, reply_member, reply_members, set_add,
    set_convert, set_entry_new, set_has, set_length, set_remove)
from cython.cimports.shardd.keyspace.database import Key, key_init
from cython.cimports.shardd.keyspace.entry import (
    ENC_INTSET, ENC_LISTPACK, ENC_TABLE, TYPE_SET, entry_body, entry_encoding, entry_free)
from cython.cimports.shardd.keyspace.events import NOTIFY_SET
from cython.cimports.shardd.structures.listpack import LpValue
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))
sets_p = cython.typedef(cython.pointer(bytep))

HEAD_ROOM = cython.declare(cython.Py_ssize_t, 24)       # bytes of the head of an array or a set, at most


# ---- the sources

@cython.cfunc
def _sources(ctx: Context, argv: arg_p, n: cython.int) -> sets_p:
    """The sets of n keys, NULL for each that is absent; to be freed. NULL: one is no set, and the client knows."""
    k: Key
    i: cython.int
    sound: cython.bint = False
    sets: sets_p = cython.cast(sets_p, malloc(n * cython.sizeof(bytep)))
    if sets == cython.NULL:
        raise MemoryError
    try:
        for i in range(n):
            key_init(cython.address(k), argv[i].p, argv[i].n)
            sets[i] = ctx.db.read(cython.address(k))
            if not of_type(ctx, sets[i], TYPE_SET):
                return cython.NULL
        sound = True
    finally:
        if not sound:
            free(sets)
    return sets


@cython.cfunc
@cython.exceptval(check=False)
def _sort(sets: sets_p, n: cython.int, descending: cython.bint) -> cython.void:
    """By length. By insertion: they are few; merging would need memory."""
    i: cython.int
    j: cython.int
    one: bytep
    for i in range(1, n):
        one = sets[i]
        j = i
        while j > 0 and (set_length(sets[j - 1]) < set_length(one) if descending
                         else set_length(sets[j - 1]) > set_length(one)):
            sets[j] = sets[j - 1]
            j -= 1
        sets[j] = one


# ---- results

@cython.cfunc
@cython.exceptval(-1, check=False)
def _head_before(ctx: Context, start: cython.Py_ssize_t, count: int64_t) -> cython.int:
    """Put the head of a set of `count` members before those that were replied from `start` on."""
    head: uint8_t[24]
    end: cython.Py_ssize_t = ctx.reply.len
    n: cython.Py_ssize_t
    ctx.reply.set(count)
    n = ctx.reply.len - end
    assert n <= HEAD_ROOM
    memcpy(head, ctx.reply.buf + end, n)
    memmove(ctx.reply.buf + start + n, ctx.reply.buf + start, end - start)
    memcpy(ctx.reply.buf + start, head, n)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _store(ctx: Context, result: bytep, event: bytes) -> cython.int:
    """`outcome_store` of a set, under the command's first key."""
    return outcome_store(ctx, cython.address(ctx.key), result, set_length(result), NOTIFY_SET, event)


@cython.cfunc
def _result(ctx: Context, stores: cython.bint, encoding: uint32_t) -> bytep:
    """An empty set for the result; MemoryError."""
    if stores:
        return set_entry_new(ctx, ctx.key.p, ctx.key.n, encoding)
    return set_entry_new(ctx, cython.cast(cython.pointer(cython.const[uint8_t]), b""), 0, encoding)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _add_all(ctx: Context, result: bytep, e: bytep) -> cython.int:
    """Put all members of a set (NULL: none) into the result."""
    m: Members
    v: LpValue
    if e == cython.NULL:
        return 0
    members_start(cython.address(m), entry_encoding(e), entry_body(e))
    try:
        while members_next(cython.address(m), cython.address(v)):
            set_add(ctx, result, cython.address(v))
    finally:
        members_end(cython.address(m))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _deliver(ctx: Context, result: bytep, stores: cython.bint, event: bytes) -> cython.int:
    """Store the result, or reply with it; it is gone, or the database's, then."""
    if stores:
        return _store(ctx, result, event)
    try:
        ctx.reply.set(set_length(result))
        return reply_members(ctx, result)
    finally:
        entry_free(result)


# ---- intersection

@cython.cfunc
@cython.exceptval(check=False)
def _in_all(sets: sets_p, n: cython.int, v: cython.pointer(LpValue)) -> cython.bint:
    """Whether a member of the first set is in all others."""
    j: cython.int
    for j in range(1, n):
        if sets[j] != sets[0] and not set_has(sets[j], v):
            return False
    return True


@cython.cfunc
def _intersect(ctx: Context, sets: sets_p, n: cython.int, count: cython.pointer(int64_t), limit: int64_t,
               result: bytep) -> object:
    """Reply with the members that all sets have, or (a result) put them there, or (a limit) only count up to it.

    The sets are sorted. Whether all that was found are integers.
    """
    m: Members
    v: LpValue
    number: int64_t
    integers: cython.bint = True
    members_start(cython.address(m), entry_encoding(sets[0]), entry_body(sets[0]))
    try:
        while (limit == 0 or count[0] < limit) and members_next(cython.address(m), cython.address(v)):
            if not _in_all(sets, n, cython.address(v)):
                continue
            count[0] += 1
            if result != cython.NULL:
                integers = integers and member_number(cython.address(v), cython.address(number))
                set_add(ctx, result, cython.address(v))
            elif limit == 0:
                reply_member(ctx, cython.address(v))
    finally:
        members_end(cython.address(m))
    return integers


@cython.cfunc
@cython.exceptval(check=False)
def _any_absent(sets: sets_p, n: cython.int) -> cython.bint:
    i: cython.int
    for i in range(n):
        if sets[i] == cython.NULL:
            return True
    return False


@cython.cfunc
@cython.exceptval(-1, check=False)
def sinter_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SINTER key [key ...]"""
    n: cython.int = argc - 1
    count: int64_t = 0
    start: cython.Py_ssize_t
    sets: sets_p = _sources(ctx, argv + 1, n)
    if sets == cython.NULL:
        return 0
    try:
        if _any_absent(sets, n):
            return ctx.reply.set(0)
        _sort(sets, n, False)
        start = ctx.reply.len
        _intersect(ctx, sets, n, cython.address(count), 0, cython.NULL)
        return _head_before(ctx, start, count)
    finally:
        free(sets)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sintercard_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SINTERCARD numkeys key [key ...] [LIMIT limit]; limit 0 is none."""
    numkeys: int64_t
    limit: int64_t = 0
    count: int64_t = 0
    i: cython.int
    sets: sets_p
    if not arg_int64(argv + 1, cython.address(numkeys)) or numkeys < 1:
        return ctx.error(errors.NUMKEYS_NOT_POSITIVE)
    if numkeys > argc - 2:
        return ctx.error(errors.NUMKEYS_TOO_LARGE)
    i = 2 + cython.cast(cython.int, numkeys)
    while i < argc:
        if i + 1 == argc or not arg_is(argv + i, b"limit", 5):
            return ctx.error(errors.SYNTAX)
        if not arg_int64(argv + i + 1, cython.address(limit)) or limit < 0:
            return ctx.error(errors.LIMIT_NEGATIVE)
        i += 2
    sets = _sources(ctx, argv + 2, cython.cast(cython.int, numkeys))
    if sets == cython.NULL:
        return 0
    try:
        if not _any_absent(sets, cython.cast(cython.int, numkeys)):
            _sort(sets, cython.cast(cython.int, numkeys), False)
            _intersect(ctx, sets, cython.cast(cython.int, numkeys), cython.address(count),
                       limit if limit else INT64_MAX, cython.NULL)
    finally:
        free(sets)
    return ctx.reply.integer(count)


@cython.cfunc
def _intersection(ctx: Context, sets: sets_p, n: cython.int) -> bytep:
    """The result of SINTERSTORE, in no database: an intset where it can be one."""
    count: int64_t = 0
    done: cython.bint = False
    integers: object
    result: bytep
    if _any_absent(sets, n):
        return _result(ctx, True, ENC_INTSET)
    _sort(sets, n, False)
    result = _result(ctx, True, ENC_INTSET if entry_encoding(sets[0]) == ENC_INTSET else ENC_LISTPACK)
    try:
        integers = _intersect(ctx, sets, n, cython.address(count), 0, result)
        if integers and count <= ctx.set_max_intset and entry_encoding(result) != ENC_INTSET:
            set_convert(result, ENC_INTSET)
        done = True
    finally:
        if not done:
            entry_free(result)
    return result


@cython.cfunc
@cython.exceptval(-1, check=False)
def sinterstore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SINTERSTORE destination key [key ...]"""
    sets: sets_p = _sources(ctx, argv + 2, argc - 2)
    if sets == cython.NULL:
        return 0
    try:
        return _store(ctx, _intersection(ctx, sets, argc - 2), b"sinterstore")
    finally:
        free(sets)


# ---- union and difference

@cython.cfunc
@cython.exceptval(check=False)
def _form(sets: sets_p, n: cython.int, stores: cython.bint) -> uint32_t:
    """What a result begins as: where it is only replied, at once what is fast to look up."""
    i: cython.int
    if not stores:
        for i in range(n):
            if sets[i] != cython.NULL and entry_encoding(sets[i]) != ENC_INTSET:
                return ENC_TABLE
    return ENC_INTSET


@cython.cfunc
def _union(ctx: Context, sets: sets_p, n: cython.int, stores: cython.bint) -> bytep:
    """All sets in one, in no database."""
    i: cython.int
    done: cython.bint = False
    result: bytep = _result(ctx, stores, _form(sets, n, stores))
    try:
        for i in range(n):
            _add_all(ctx, result, sets[i])
        done = True
    finally:
        if not done:
            entry_free(result)
    return result


@cython.cfunc
@cython.exceptval(-1, check=False)
def _add_rest(ctx: Context, result: bytep, sets: sets_p, n: cython.int) -> cython.int:
    """Put the members of the first set that no other has into the result: the first algorithm."""
    m: Members
    v: LpValue
    j: cython.int
    members_start(cython.address(m), entry_encoding(sets[0]), entry_body(sets[0]))
    try:
        while members_next(cython.address(m), cython.address(v)):
            for j in range(1, n):
                if set_has(sets[j], cython.address(v)):
                    break
            else:
                set_add(ctx, result, cython.address(v))
    finally:
        members_end(cython.address(m))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_out(result: bytep, e: bytep) -> cython.int:
    """Take the members of a set (NULL: none) out of the result."""
    m: Members
    v: LpValue
    if e == cython.NULL:
        return 0
    members_start(cython.address(m), entry_encoding(e), entry_body(e))
    try:
        while set_length(result) > 0 and members_next(cython.address(m), cython.address(v)):
            set_remove(result, cython.address(v))
    finally:
        members_end(cython.address(m))
    return 0


@cython.cfunc
def _difference(ctx: Context, sets: sets_p, n: cython.int, stores: cython.bint) -> bytep:
    """The first set without the others, in no database."""
    one_work: int64_t = 0
    two_work: int64_t = 0
    i: cython.int
    empty: cython.bint = sets[0] == cython.NULL
    done: cython.bint = False
    result: bytep = _result(ctx, stores, _form(sets, n, stores))
    for i in range(n):
        empty = empty or (i > 0 and sets[i] == sets[0])
        if sets[i] != cython.NULL:
            one_work += set_length(sets[0])
            two_work += set_length(sets[i])
    if empty:
        return result
    try:
        if one_work // 2 <= two_work:       # it has the better constant
            _sort(sets + 1, n - 1, True)
            _add_rest(ctx, result, sets, n)
        else:
            _add_all(ctx, result, sets[0])
            for i in range(1, n):
                _take_out(result, sets[i])
        done = True
    finally:
        if not done:
            entry_free(result)
    return result


@cython.cfunc
@cython.exceptval(-1, check=False)
def _combine(ctx: Context, argv: arg_p, argc: cython.int, stores: cython.bint, union: cython.bint) -> cython.int:
    """SUNION, SUNIONSTORE, SDIFF, SDIFFSTORE"""
    first: cython.int = 2 if stores else 1
    sets: sets_p = _sources(ctx, argv + first, argc - first)
    if sets == cython.NULL:
        return 0
    try:
        if union:
            return _deliver(ctx, _union(ctx, sets, argc - first, stores), stores, b"sunionstore")
        return _deliver(ctx, _difference(ctx, sets, argc - first, stores), stores, b"sdiffstore")
    finally:
        free(sets)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sunion_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _combine(ctx, argv, argc, False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sunionstore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _combine(ctx, argv, argc, True, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sdiff_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _combine(ctx, argv, argc, False, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sdiffstore_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _combine(ctx, argv, argc, True, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_set_algebra(registry: Registry) -> cython.int:
    """Register these commands."""
    registry.hot("sinter", sinter_command)
    registry.hot("sinterstore", sinterstore_command)
    registry.hot("sintercard", sintercard_command)
    registry.hot("sunion", sunion_command)
    registry.hot("sunionstore", sunionstore_command)
    registry.hot("sdiff", sdiff_command)
    registry.hot("sdiffstore", sdiffstore_command)
    return 0
