"""The set family, as far as a command is about one set, and SMOVE: SADD, SREM, SPOP, SRANDMEMBER, SSCAN ...

Does not own what a set is made of (set_forms.py) or what is computed of several (set_algebra.py). SPOP tells the
journal which members went: SREM, or DEL where the set is gone.

Invariant: a set has a member; the command that takes the last one deletes the key.
"""
import random

import cython
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint32_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.gather import ScanOptions, scan_begin, scan_table, scan_wants
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.set_forms import (
    member_bytes, member_of, register_set_forms, reply_member, reply_members, set_add, set_body_new, set_fit,
    set_form_for, set_has, set_items, set_length, set_random, set_remove)
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import ENC_TABLE, TYPE_SET, entry_body, entry_encoding
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_NEW, NOTIFY_SET
from cython.cimports.shardd.structures.listpack import LpValue
from cython.cimports.shardd.structures.pairs import Pairs
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))
pairs_p = cython.typedef(cython.pointer(Pairs))

SAMPLE_WHOLE = cython.declare(int64_t, 3)       # above a third of the members, SRANDMEMBER picks from a list of all
REPEATED_MAX = cython.declare(int64_t, limits.RANDOM_REPLY_BYTES_MAX)
BULK_BYTES_MIN = cython.declare(int64_t, 6)     # of a reply of one member
EFFECT_MEMBERS = cython.declare(cython.Py_ssize_t, limits.EFFECT_ELEMENTS)


# ---- adding and removing

@cython.cfunc
@cython.exceptval(-1, check=False)
def _close(ctx: Context, k: key_p, e: bytep, changed: cython.bint, event: bytes) -> cython.int:
    """After a change, or an attempt at one: delete an empty set, and tell who wants to know."""
    if set_length(e) == 0:
        if changed:
            ctx.db.remove(k)        # counts as touched
            ctx.notify(NOTIFY_SET, event, k)
            ctx.notify(NOTIFY_GENERIC, b"del", k)
        else:
            ctx.db.drop_empty(k)
    elif changed:
        ctx.db.touched(k)
        ctx.notify(NOTIFY_SET, event, k)
    return 0


@cython.cfunc
def _open(ctx: Context, k: key_p, e: bytep, first: cython.pointer(LpValue), count: int64_t) -> bytep:
    """The set `e` of this key, or (NULL) a new one that begins with this member, before `count` are added."""
    form: uint32_t
    if e == cython.NULL:
        form = set_form_for(ctx, first, count)
        return ctx.db.add_collection(k, TYPE_SET, form, set_body_new(form))
    set_fit(ctx, e, count)
    return e


@cython.cfunc
@cython.exceptval(-1, check=False)
def sadd_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    v: LpValue
    added: int64_t = 0
    i: cython.int
    k: key_p = cython.address(ctx.key)
    e: bytep = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_SET):
        return 0
    member_of(cython.address(v), argv + 2)
    e = _open(ctx, k, e, cython.address(v), argc - 2)
    try:
        for i in range(2, argc):
            member_of(cython.address(v), argv + i)
            added += set_add(ctx, e, cython.address(v))
    finally:
        _close(ctx, k, e, added > 0, b"sadd")
    return ctx.reply.integer(added)


@cython.cfunc
@cython.exceptval(-1, check=False)
def srem_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    v: LpValue
    removed: int64_t = 0
    i: cython.int
    k: key_p = cython.address(ctx.key)
    e: bytep = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_SET):
        return 0
    if e != cython.NULL:
        try:
            for i in range(2, argc):
                member_of(cython.address(v), argv + i)
                removed += set_remove(e, cython.address(v))
                if set_length(e) == 0:
                    break
        finally:
            _close(ctx, k, e, removed > 0, b"srem")
    return ctx.reply.integer(removed)


@cython.cfunc
@cython.exceptval(-1, check=False)
def smove_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SMOVE source destination member. It is added first, so that without memory it is in one of the two at least."""
    room: Key
    v: LpValue
    added: cython.bint = False
    moved: cython.bint = False
    is_new: cython.bint
    mask: cython.uint
    from_key: key_p = cython.address(ctx.key)
    to_key: key_p = ctx.other_key(cython.address(room), argv + 2)
    source: bytep = ctx.db.write(from_key)
    target: bytep = ctx.db.write(to_key)
    if source == cython.NULL:
        return ctx.reply.integer(0)
    if not of_type(ctx, source, TYPE_SET) or not of_type(ctx, target, TYPE_SET):
        return 0
    member_of(cython.address(v), argv + 3)
    if source == target or not set_has(source, cython.address(v)):
        return ctx.reply.integer(set_has(source, cython.address(v)))
    is_new = target == cython.NULL
    mask = ctx.keyspace.notify_mask
    ctx.keyspace.notify_mask = mask & ~cython.cast(cython.uint, NOTIFY_NEW)     # told below, in Redis's order
    try:
        target = _open(ctx, to_key, target, cython.address(v), 1)
    finally:
        ctx.keyspace.notify_mask = mask
    try:
        added = set_add(ctx, target, cython.address(v))
        moved = set_remove(source, cython.address(v))
    finally:
        if added and not moved:
            set_remove(target, cython.address(v))
        _close(ctx, from_key, source, moved, b"srem")
        if is_new and moved:
            ctx.notify(NOTIFY_NEW, b"new", to_key)
        _close(ctx, to_key, target, added and moved, b"sadd")
    return ctx.reply.integer(1)


# ---- looking

@cython.cfunc
@cython.exceptval(-1, check=False)
def sismember_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    v: LpValue
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_SET):
        return 0
    member_of(cython.address(v), argv + 2)
    return ctx.reply.integer(1 if set_has(e, cython.address(v)) else 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def smismember_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    v: LpValue
    i: cython.int
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_SET):
        return 0
    ctx.reply.array(argc - 2)
    for i in range(2, argc):
        member_of(cython.address(v), argv + i)
        ctx.reply.integer(1 if set_has(e, cython.address(v)) else 0)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def scard_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_SET):
        return 0
    return ctx.reply.integer(set_length(e))


@cython.cfunc
@cython.exceptval(-1, check=False)
def smembers_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_SET):
        return 0
    ctx.reply.set(set_length(e))
    return reply_members(ctx, e)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sscan_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    o: ScanOptions
    e: bytep = scan_begin(ctx, argv, argc, TYPE_SET, cython.address(o))
    if e == cython.NULL:
        return 0
    if entry_encoding(e) == ENC_TABLE:
        return scan_table(ctx, cython.address(cython.cast(pairs_p, entry_body(e)).t), cython.address(o), False)
    return _scan_small(ctx, e, cython.address(o))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _scan_small(ctx: Context, e: bytep, o: cython.pointer(ScanOptions)) -> cython.int:
    """SSCAN of a listpack or an intset: all that is wanted, at once."""
    member: bytes
    wanted: list = []
    for member in set_items(e):
        if scan_wants(o, cython.cast(bytep, cython.cast(cython.p_char, member)), len(member)):
            wanted.append(member)
    ctx.reply.array(2)
    ctx.reply.bulk(b"0", 1)
    return ctx.reply.value(wanted)


# ---- at random

@cython.cfunc
def _take_random(e: bytep, count: int64_t, taken: list) -> object:
    """Move `count` members, which must be fewer than there are, from the set to the list. MemoryError."""
    v: LpValue
    member: bytes
    while count > 0:
        set_random(e, cython.address(v))
        member = member_bytes(cython.address(v))
        set_remove(e, cython.address(v))
        taken.append(member)
        count -= 1
    return None


@cython.cfunc
@cython.exceptval(-1, check=False)
def _tell_removed(ctx: Context, argv: arg_p, gone: cython.bint, members: list) -> cython.int:
    """The effect of SPOP: these members are out, or (gone) the whole set is. In pieces, as in Redis."""
    start: cython.Py_ssize_t
    if not ctx.journal.active:
        return 0
    if gone:
        return ctx.effect((b"DEL", arg_bytes(argv + 1)))
    for start in range(0, len(members), EFFECT_MEMBERS):
        ctx.effect((b"SREM", arg_bytes(argv + 1), *members[start:start + EFFECT_MEMBERS]))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _pop_many(ctx: Context, argv: arg_p) -> cython.int:
    """SPOP key count"""
    count: int64_t
    taken: list = []
    e: bytep
    if not arg_int64(argv + 2, cython.address(count)) or count < 0:
        return ctx.error(errors.MUST_BE_POSITIVE)
    e = ctx.db.write(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_SET):
        return 0
    if count == 0 or e == cython.NULL:
        return ctx.reply.set(0)
    if count >= set_length(e):
        ctx.reply.set(set_length(e))
        reply_members(ctx, e)
        ctx.db.remove(cython.address(ctx.key))
        ctx.notify(NOTIFY_SET, b"spop", cython.address(ctx.key))
        ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
        return _tell_removed(ctx, argv, True, taken)
    try:
        _take_random(e, count, taken)
    finally:
        _close(ctx, cython.address(ctx.key), e, len(taken) > 0, b"spop")
        _tell_removed(ctx, argv, False, taken)
    ctx.reply.set(len(taken))
    for member in taken:
        ctx.reply.value(member)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def spop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SPOP key [count]"""
    v: LpValue
    e: bytep
    gone: cython.bint
    members: list = []
    if argc == 3:
        return _pop_many(ctx, argv)
    if argc > 3:
        return ctx.error(errors.SYNTAX)
    e = ctx.db.write(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_SET):
        return 0
    if e == cython.NULL:
        return ctx.reply.null()
    set_random(e, cython.address(v))
    reply_member(ctx, cython.address(v))
    if ctx.journal.active:
        members.append(member_bytes(cython.address(v)))
    gone = set_length(e) == 1
    set_remove(e, cython.address(v))
    _close(ctx, cython.address(ctx.key), e, True, b"spop")
    return _tell_removed(ctx, argv, gone, members)


@cython.cfunc
def _random_items(e: bytep, count: int64_t) -> list:
    """`count` members, each once, fewer than there are."""
    v: LpValue
    chosen: set
    if count > set_length(e) // SAMPLE_WHOLE:
        return random.sample(set_items(e), count)
    chosen = set()
    while len(chosen) < count:
        set_random(e, cython.address(v))
        chosen.add(member_bytes(cython.address(v)))
    return list(chosen)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _random_repeated(ctx: Context, e: bytep, count: int64_t) -> cython.int:
    """SRANDMEMBER with a negative count: `count` members, with repetitions. Within limits.RANDOM_REPLY_BYTES_MAX."""
    v: LpValue
    start: cython.Py_ssize_t = ctx.reply.len
    if count > REPEATED_MAX // BULK_BYTES_MIN:
        return ctx.error(errors.OUT_OF_RANGE)
    ctx.reply.array(count)
    while count > 0:
        set_random(e, cython.address(v))
        reply_member(ctx, cython.address(v))
        count -= 1
        if ctx.reply.len - start > REPEATED_MAX:
            ctx.reply.truncate(start)
            return ctx.error(errors.OUT_OF_RANGE)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def srandmember_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SRANDMEMBER key [count]; with a negative count, members may come again."""
    v: LpValue
    count: int64_t = 1
    e: bytep
    if argc > 3:
        return ctx.error(errors.SYNTAX)
    if argc == 3:
        if not arg_int64(argv + 2, cython.address(count)):
            return ctx.error(errors.NOT_INTEGER)
        if count == INT64_MIN:
            return ctx.error(errors.out_of_range_between(-INT64_MAX, INT64_MAX))
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_SET):
        return 0
    if argc == 2:
        if e == cython.NULL:
            return ctx.reply.null()
        set_random(e, cython.address(v))
        return reply_member(ctx, cython.address(v))
    if e == cython.NULL or count == 0:
        return ctx.reply.array(0)
    if count < 0:
        return _random_repeated(ctx, e, -count)
    if count >= set_length(e):
        ctx.reply.array(set_length(e))
        return reply_members(ctx, e)
    return ctx.reply.value(_random_items(e, count))


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_sets(registry: Registry) -> cython.int:
    """Register the family, but for the algebra."""
    register_set_forms()
    registry.hot("sadd", sadd_command)
    registry.hot("srem", srem_command)
    registry.hot("smove", smove_command)
    registry.hot("sismember", sismember_command)
    registry.hot("smismember", smismember_command)
    registry.hot("scard", scard_command)
    registry.hot("smembers", smembers_command)
    registry.hot("sscan", sscan_command)
    registry.hot("spop", spop_command)
    registry.hot("srandmember", srandmember_command)
    return 0
