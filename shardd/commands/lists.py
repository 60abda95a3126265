"""The list family, but for what blocks: LPUSH, RPOP, LRANGE, LINSERT, LPOS, LMOVE, LMPOP ...

Does not own what a list is made of (list_forms.py), nor waiting for an element: that is the blocking commands', which
pop and move with the functions that lists.pxd exports. LMPOP tells the journal which list it was: LPOP or RPOP with
the number of elements.

Invariant: a list has an element; the command that takes the last one deletes the key.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.list_forms import (
    list_delete, list_drop, list_grow, list_insert, list_iter, list_length, list_matches, list_next, list_open,
    list_peek, list_push, list_remove, list_replace, list_reply, list_shrink, list_text, register_list_forms)
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import TYPE_LIST, View
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_LIST
from cython.cimports.shardd.structures.listpack import LpNeedle, lp_entry_bytes, lp_needle
from cython.cimports.shardd.structures.quicklist import QlIter, ql_end
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))

NOWHERE = cython.declare(cython.int, -1)        # neither LEFT nor RIGHT


# ---- what several commands share

@cython.cfunc
@cython.exceptval(-1, check=False)
def _taken(ctx: Context, k: key_p, e: bytep) -> cython.int:
    """After elements were taken out: delete an empty list, see to the form of another, tell who wants to know."""
    if list_length(e) == 0:
        ctx.db.remove(k)        # counts as touched
        return ctx.notify(NOTIFY_GENERIC, b"del", k)
    list_shrink(ctx, e)
    return ctx.db.touched(k)


@cython.cfunc
@cython.exceptval(check=False)
def _end_of(arg: arg_p) -> cython.int:
    """LEFT: 1, RIGHT: 0, or NOWHERE."""
    if arg_is(arg, b"left", 4):
        return 1
    return 0 if arg_is(arg, b"right", 5) else NOWHERE


@cython.cfunc
@cython.exceptval(check=False)
def _clamp(length: int64_t, start: cython.pointer(int64_t), end: cython.pointer(int64_t)) -> int64_t:
    """Indices as LRANGE and LTRIM take them, made such from 0; how many elements that are, 0 or less where none."""
    if start[0] < 0:
        start[0] += length
        if start[0] < 0:
            start[0] = 0
    if end[0] < 0:
        end[0] += length
    if end[0] >= length:
        end[0] = length - 1
    if start[0] > end[0]:
        return 0
    return end[0] - start[0] + 1


# ---- pushing

@cython.cfunc
@cython.exceptval(-1, check=False)
def _push(ctx: Context, argv: arg_p, argc: cython.int, front: cython.bint, only_existing: cython.bint) -> cython.int:
    """LPUSH, RPUSH, LPUSHX, RPUSHX"""
    k: key_p = cython.address(ctx.key)
    e: bytep = ctx.db.write(k)
    size: cython.size_t = 0
    i: cython.int
    done: cython.int = 2
    if e == cython.NULL:
        if only_existing:
            return ctx.reply.integer(0)
        for i in range(2, argc):
            size += lp_entry_bytes(argv[i].p, argv[i].n)
        e = list_open(ctx, k, size, front)
    elif not of_type(ctx, e, TYPE_LIST):
        return 0
    try:
        size = 0
        for i in range(2, argc):
            size += argv[i].n
        list_grow(ctx, e, size, argc - 2)
        while done < argc:
            list_push(e, front, argv[done].p, argv[done].n)
            done += 1
    finally:
        if done == 2:
            if list_length(e) == 0:
                ctx.db.drop_empty(k)
        else:
            ctx.db.touched(k)
            ctx.notify(NOTIFY_LIST, b"lpush" if front else b"rpush", k)
    return ctx.reply.integer(list_length(e))


@cython.cfunc
@cython.exceptval(-1, check=False)
def lpush_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _push(ctx, argv, argc, True, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def rpush_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _push(ctx, argv, argc, False, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def lpushx_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _push(ctx, argv, argc, True, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def rpushx_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _push(ctx, argv, argc, False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def linsert_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """LINSERT key BEFORE|AFTER pivot element"""
    it: QlIter
    pivot: LpNeedle
    found: cython.bint
    k: key_p = cython.address(ctx.key)
    e: bytep
    after: cython.bint = arg_is(argv + 2, b"after", 5)
    if not after and not arg_is(argv + 2, b"before", 6):
        return ctx.error(errors.SYNTAX)
    e = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    if e == cython.NULL:
        return ctx.reply.integer(0)
    list_grow(ctx, e, argv[4].n, 1)     # as in Redis, whether or not the pivot will be found
    lp_needle(cython.address(pivot), argv[3].p, argv[3].n)
    found = list_iter(e, 0, False, True, cython.address(it))
    try:
        while found and not list_matches(cython.address(it), cython.address(pivot)):
            found = list_next(cython.address(it))
        if found:
            list_insert(e, cython.address(it), after, argv[4].p, argv[4].n)
    finally:
        if not found:
            ql_end(cython.address(it))
    if not found:
        return ctx.reply.integer(-1)
    ctx.db.touched(k)
    ctx.notify(NOTIFY_LIST, b"linsert", k)
    return ctx.reply.integer(list_length(e))


@cython.cfunc
@cython.exceptval(-1, check=False)
def lset_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """LSET key index element"""
    it: QlIter
    index: int64_t
    k: key_p = cython.address(ctx.key)
    e: bytep = ctx.db.write(k)
    if e == cython.NULL:
        return ctx.error(errors.NO_SUCH_KEY)
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    if not arg_int64(argv + 2, cython.address(index)):
        return ctx.error(errors.NOT_INTEGER)
    list_grow(ctx, e, argv[3].n, 1)
    if index < 0:
        index += list_length(e)
    if not list_iter(e, index, False, True, cython.address(it)):
        return ctx.error(errors.INDEX_OUT_OF_RANGE)
    list_replace(e, cython.address(it), argv[3].p, argv[3].n)
    ctx.db.touched(k)
    ctx.notify(NOTIFY_LIST, b"lset", k)
    list_shrink(ctx, e)
    return ctx.reply.ok()


# ---- looking

@cython.cfunc
@cython.exceptval(-1, check=False)
def llen_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    return ctx.reply.integer(list_length(e))


@cython.cfunc
@cython.exceptval(-1, check=False)
def lindex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    it: QlIter
    v: View
    index: int64_t
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    if e == cython.NULL:
        return ctx.reply.null()
    if not arg_int64(argv + 2, cython.address(index)):
        return ctx.error(errors.NOT_INTEGER)
    if index < 0:
        index += list_length(e)
    if not list_iter(e, index, False, False, cython.address(it)):
        return ctx.reply.null()
    list_text(cython.address(it), cython.address(v))
    try:
        ctx.reply.bulk(v.p, v.n)
    finally:
        ql_end(cython.address(it))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def lrange_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    start: int64_t
    end: int64_t
    count: int64_t
    e: bytep
    if not arg_int64(argv + 2, cython.address(start)) or not arg_int64(argv + 3, cython.address(end)):
        return ctx.error(errors.NOT_INTEGER)
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    count = _clamp(list_length(e), cython.address(start), cython.address(end))
    ctx.reply.array(count)
    return list_reply(ctx, e, start, count, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _lpos_options(ctx: Context, argv: arg_p, argc: cython.int, rank: cython.pointer(int64_t),
                  count: cython.pointer(int64_t), most: cython.pointer(int64_t)) -> cython.bint:
    """RANK, COUNT and MAXLEN of LPOS; False: the error is replied."""
    i: cython.int = 3
    text: bytes = None
    while i < argc and text is None:
        if i + 1 == argc:
            text = errors.SYNTAX
        elif arg_is(argv + i, b"rank", 4):
            if not arg_int64(argv + i + 1, rank):
                text = errors.NOT_INTEGER
            elif rank[0] < -INT64_MAX:
                text = errors.out_of_range_between(-INT64_MAX, INT64_MAX)
            elif rank[0] == 0:
                text = errors.RANK_ZERO
        elif arg_is(argv + i, b"count", 5):
            if not arg_int64(argv + i + 1, count) or count[0] < 0:
                text = errors.COUNT_NEGATIVE
        elif arg_is(argv + i, b"maxlen", 6):
            if not arg_int64(argv + i + 1, most) or most[0] < 0:
                text = errors.MAXLEN_NEGATIVE
        else:
            text = errors.SYNTAX
        i += 2
    if text is None:
        return True
    ctx.error(text)
    return False


@cython.cfunc
@cython.exceptval(-1, check=False)
def lpos_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """LPOS key element [RANK rank] [COUNT count] [MAXLEN most]"""
    it: QlIter
    needle: LpNeedle
    rank: int64_t = 1
    count: int64_t = -1
    most: int64_t = 0
    seen: int64_t = 0
    matches: int64_t = 0
    back: cython.bint
    more: cython.bint
    places: list = []
    e: bytep
    if not _lpos_options(ctx, argv, argc, cython.address(rank), cython.address(count), cython.address(most)):
        return 0
    back = rank < 0
    if back:
        rank = -rank
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    if e == cython.NULL:
        return ctx.reply.null() if count == -1 else ctx.reply.array(0)
    lp_needle(cython.address(needle), argv[2].p, argv[2].n)
    more = list_iter(e, list_length(e) - 1 if back else 0, back, False, cython.address(it))
    try:
        while more and (most == 0 or seen < most):
            if list_matches(cython.address(it), cython.address(needle)):
                matches += 1
                if matches >= rank:
                    places.append(it.index)
                    if count == -1 or (count and matches - rank + 1 >= count):
                        break
            seen += 1
            more = list_next(cython.address(it))
    finally:
        ql_end(cython.address(it))
    if count != -1:
        return ctx.reply.value(places)
    return ctx.reply.value(places[0]) if places else ctx.reply.null()


# ---- taking out

@cython.cfunc
@cython.exceptval(-1, check=False)
def list_pop(ctx: Context, k: key_p, e: bytep, front: cython.bint) -> cython.int:
    """Take one element out and reply with it."""
    v: View
    list_peek(e, front, cython.address(v))
    ctx.reply.bulk(v.p, v.n)
    list_drop(e, front)
    ctx.notify(NOTIFY_LIST, b"lpop" if front else b"rpop", k)
    return _taken(ctx, k, e)


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_pop_many(ctx: Context, k: key_p, e: bytep, front: cython.bint, count: int64_t) -> cython.int:
    """Take up to `count` elements (1 or more) out and reply with an array of them, the one at that end first."""
    length: int64_t = list_length(e)
    if count > length:
        count = length
    ctx.reply.array(count)
    list_reply(ctx, e, 0 if front else length - 1, count, not front)
    if count == length:
        ctx.notify(NOTIFY_LIST, b"lpop" if front else b"rpop", k)
        ctx.db.remove(k)        # counts as touched
        return ctx.notify(NOTIFY_GENERIC, b"del", k)
    list_delete(e, 0 if front else length - count, count)
    ctx.notify(NOTIFY_LIST, b"lpop" if front else b"rpop", k)
    return _taken(ctx, k, e)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _pop(ctx: Context, argv: arg_p, argc: cython.int, front: cython.bint) -> cython.int:
    """LPOP, RPOP key [count]"""
    count: int64_t = 0
    k: key_p = cython.address(ctx.key)
    e: bytep
    if argc > 3:
        return ctx.error(errors.wrong_arity("lpop" if front else "rpop"))
    if argc == 3 and (not arg_int64(argv + 2, cython.address(count)) or count < 0):
        return ctx.error(errors.MUST_BE_POSITIVE)
    e = ctx.db.write(k)
    if e == cython.NULL:
        return ctx.reply.null() if argc == 2 else ctx.reply.null_array()
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    if argc == 2:
        return list_pop(ctx, k, e, front)
    if count == 0:
        return ctx.reply.array(0)
    return list_pop_many(ctx, k, e, front, count)


@cython.cfunc
@cython.exceptval(-1, check=False)
def lpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _pop(ctx, argv, argc, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def rpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _pop(ctx, argv, argc, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def lmpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]"""
    room: Key
    k: key_p
    e: bytep
    keys: int64_t
    count: int64_t = 1
    front: cython.int
    i: cython.int
    if not arg_int64(argv + 1, cython.address(keys)) or keys < 1:
        return ctx.error(errors.NUMKEYS_NOT_POSITIVE)
    if keys > argc - 3:
        return ctx.error(errors.SYNTAX)
    front = _end_of(argv + 2 + keys)
    if front == NOWHERE:
        return ctx.error(errors.SYNTAX)
    i = 3 + keys
    if i < argc:
        if argc != i + 2 or not arg_is(argv + i, b"count", 5):
            return _lmpop_wrong(ctx, argv + i, argc - i)
        if not arg_int64(argv + i + 1, cython.address(count)) or count < 1:
            return ctx.error(errors.COUNT_NOT_POSITIVE)
    for i in range(2, 2 + keys):
        k = ctx.other_key(cython.address(room), argv + i)
        e = ctx.db.write(k)
        if not of_type(ctx, e, TYPE_LIST):
            return 0
        if e != cython.NULL:
            if count > list_length(e):
                count = list_length(e)
            ctx.reply.array(2)
            ctx.reply.bulk(argv[i].p, argv[i].n)
            list_pop_many(ctx, k, e, front, count)
            if ctx.journal.active:
                ctx.effect((b"LPOP" if front else b"RPOP", arg_bytes(argv + i), b"%d" % count))
            return 0
    return ctx.reply.null_array()


@cython.cfunc
@cython.exceptval(-1, check=False)
def _lmpop_wrong(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """What is wrong with more than one option of LMPOP, or with half of one: the first that does not hold."""
    count: int64_t
    if (argc >= 2 and arg_is(argv, b"count", 5)
            and (not arg_int64(argv + 1, cython.address(count)) or count < 1)):
        return ctx.error(errors.COUNT_NOT_POSITIVE)
    return ctx.error(errors.SYNTAX)


@cython.cfunc
@cython.exceptval(-1, check=False)
def lrem_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """LREM key count element: the first so many, the last so many (negative), or all (0)."""
    it: QlIter
    needle: LpNeedle
    count: int64_t
    removed: int64_t = 0
    back: cython.bint
    more: cython.bint
    k: key_p = cython.address(ctx.key)
    e: bytep
    if not arg_int64(argv + 2, cython.address(count)):
        return ctx.error(errors.NOT_INTEGER)
    if count < -INT64_MAX:
        return ctx.error(errors.out_of_range_between(-INT64_MAX, INT64_MAX))
    e = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    if e == cython.NULL:
        return ctx.reply.integer(0)
    back = count < 0
    if back:
        count = -count
    lp_needle(cython.address(needle), argv[3].p, argv[3].n)
    more = list_iter(e, list_length(e) - 1 if back else 0, back, True, cython.address(it))
    try:
        while more:
            if not list_matches(cython.address(it), cython.address(needle)):
                more = list_next(cython.address(it))
                continue
            removed += 1
            more = list_remove(e, cython.address(it))
            if removed == count:
                break
    finally:
        ql_end(cython.address(it))
        if removed:
            ctx.notify(NOTIFY_LIST, b"lrem", k)
            _taken(ctx, k, e)
    return ctx.reply.integer(removed)


@cython.cfunc
@cython.exceptval(-1, check=False)
def ltrim_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    start: int64_t
    end: int64_t
    count: int64_t
    length: int64_t
    k: key_p = cython.address(ctx.key)
    e: bytep
    if not arg_int64(argv + 2, cython.address(start)) or not arg_int64(argv + 3, cython.address(end)):
        return ctx.error(errors.NOT_INTEGER)
    e = ctx.db.write(k)
    if not of_type(ctx, e, TYPE_LIST):
        return 0
    if e == cython.NULL:
        return ctx.reply.ok()
    length = list_length(e)
    count = _clamp(length, cython.address(start), cython.address(end))
    if count == 0:
        ctx.notify(NOTIFY_LIST, b"ltrim", k)
        ctx.db.remove(k)        # counts as touched
        ctx.notify(NOTIFY_GENERIC, b"del", k)
        return ctx.reply.ok()
    list_delete(e, end + 1, length - end - 1)
    list_delete(e, 0, start)
    ctx.notify(NOTIFY_LIST, b"ltrim", k)
    _taken(ctx, k, e)
    if count == length:
        ctx.rewritten = True        # a change for who watches the key, as in Redis, but nothing for the journal
    return ctx.reply.ok()


# ---- from list to list

@cython.cfunc
@cython.exceptval(-1, check=False)
def list_move(ctx: Context, source_key: key_p, source: bytep, target_key: key_p, target: bytep,
              from_front: cython.bint, to_front: cython.bint) -> cython.int:
    """Move an element of one list, which has one, to another one (NULL: none yet), or within one; reply with it."""
    v: View
    start: cython.Py_ssize_t = ctx.reply.len
    list_peek(source, from_front, cython.address(v))
    ctx.reply.bulk(v.p, v.n)
    try:
        if source == target:
            # its bytes may move while they are added to the same list: those of the reply do not
            v.p = ctx.reply.buf + ctx.reply.len - 2 - v.n
            list_grow(ctx, source, 0, 0)
        elif target == cython.NULL:
            target = list_open(ctx, target_key, lp_entry_bytes(v.p, v.n), to_front)
        if source != target:
            list_grow(ctx, target, v.n, 1)
        list_push(target, to_front, v.p, v.n)
    except MemoryError:
        ctx.reply.truncate(start)
        if target != cython.NULL and list_length(target) == 0:
            ctx.db.drop_empty(target_key)
        raise
    ctx.db.touched(target_key)
    ctx.notify(NOTIFY_LIST, b"lpush" if to_front else b"rpush", target_key)
    list_drop(source, from_front)
    ctx.notify(NOTIFY_LIST, b"lpop" if from_front else b"rpop", source_key)
    return _taken(ctx, source_key, source)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _move(ctx: Context, argv: arg_p, from_front: cython.bint, to_front: cython.bint) -> cython.int:
    """LMOVE and RPOPLPUSH: argv has source and destination behind the name."""
    room: Key
    source_key: key_p = cython.address(ctx.key)
    target_key: key_p = ctx.other_key(cython.address(room), argv + 2)
    target: bytep
    source: bytep = ctx.db.write(source_key)
    if source == cython.NULL:
        return ctx.reply.null()
    if not of_type(ctx, source, TYPE_LIST):
        return 0
    target = ctx.db.write(target_key)
    if not of_type(ctx, target, TYPE_LIST):
        return 0
    return list_move(ctx, source_key, source, target_key, target, from_front, to_front)


@cython.cfunc
@cython.exceptval(-1, check=False)
def lmove_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """LMOVE source destination LEFT|RIGHT LEFT|RIGHT"""
    from_front: cython.int = _end_of(argv + 3)
    to_front: cython.int = _end_of(argv + 4)
    if from_front == NOWHERE or to_front == NOWHERE:
        return ctx.error(errors.SYNTAX)
    return _move(ctx, argv, from_front, to_front)


@cython.cfunc
@cython.exceptval(-1, check=False)
def rpoplpush_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _move(ctx, argv, False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_lists(registry: Registry) -> cython.int:
    """Register the family."""
    register_list_forms()
    registry.hot("lpush", lpush_command)
    registry.hot("rpush", rpush_command)
    registry.hot("lpushx", lpushx_command)
    registry.hot("rpushx", rpushx_command)
    registry.hot("linsert", linsert_command)
    registry.hot("lset", lset_command)
    registry.hot("llen", llen_command)
    registry.hot("lindex", lindex_command)
    registry.hot("lrange", lrange_command)
    registry.hot("lpos", lpos_command)
    registry.hot("lpop", lpop_command)
    registry.hot("rpop", rpop_command)
    registry.hot("lmpop", lmpop_command)
    registry.hot("lrem", lrem_command)
    registry.hot("ltrim", ltrim_command)
    registry.hot("lmove", lmove_command)
    registry.hot("rpoplpush", rpoplpush_command)
    return 0
