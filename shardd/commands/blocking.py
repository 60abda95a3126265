"""The commands on lists and sorted sets that block: BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP, BZPOPMIN BZPOPMAX BZMPOP.

Owns what they mean: each does what its sister without the B does, where one of its keys holds something; where none
does, its client waits (Context.waits), and the command is run again when that has changed. So a handler may run
several times, and says nothing before it pops. SHARDD WAITKEYS is for proxies. Does not own waiting (engine.blocking),
or lists and sorted sets.

Time-outs are seconds, with a fraction, rounded up to milliseconds; 0 is for ever. In a transaction nobody waits: the
reply is at once that of a time-out. The journal gets what was popped: LPOP, LMOVE, ZPOPMIN.
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.shardd.base.clock import monotonic_ms
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.list_forms import list_length
from cython.cimports.shardd.commands.lists import list_move, list_pop, list_pop_many
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.zset_forms import zset_close, zset_pop
from cython.cimports.shardd.commands.zsets import zmpop_first, zmpop_options
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import TYPE_LIST, TYPE_ZSET, entry_type
from cython.cimports.shardd.net.client import ClientFlag
from cython.cimports.shardd.structures.number import parse_long_double
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors
from shardd.commands.table import Row

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))

MS_END = cython.declare(cython.longdouble, 9223372036854775808.0)       # 2^63
NEVER = cython.declare(int64_t, 9223372036854775807)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _timeout(ctx: Context, arg: arg_p, time_ms: cython.pointer(int64_t)) -> cython.bint:
    """The time-out in ms, 0: none. False where the argument is not one; the error is replied then."""
    seconds: cython.longdouble
    whole: int64_t
    if not parse_long_double(arg.p, arg.n, cython.address(seconds)):
        ctx.error(errors.TIMEOUT_NOT_FLOAT)
        return False
    seconds *= 1000
    if seconds < 0:
        ctx.error(errors.TIMEOUT_NEGATIVE)
        return False
    whole = cython.cast(int64_t, seconds) if seconds < MS_END else NEVER
    if whole >= NEVER - monotonic_ms():
        ctx.error(errors.TIMEOUT_OUT_OF_RANGE)
        return False
    time_ms[0] = whole + 1 if whole < seconds else whole
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _pop(ctx: Context, argv: arg_p, argc: cython.int, front: cython.bint) -> cython.int:
    """BLPOP, BRPOP: key [key ...] timeout."""
    room: Key
    k: key_p
    e: bytep
    time_ms: int64_t = 0
    i: cython.int
    if not _timeout(ctx, argv + argc - 1, cython.address(time_ms)):
        return 0
    for i in range(1, argc - 1):
        k = ctx.other_key(cython.address(room), argv + i)
        e = ctx.db.write(k)
        if not of_type(ctx, e, TYPE_LIST):
            return 0
        if e != cython.NULL:
            ctx.reply.array(2)
            ctx.reply.bulk(argv[i].p, argv[i].n)
            list_pop(ctx, k, e, front)
            return ctx.effect((b"LPOP" if front else b"RPOP", arg_bytes(argv + i)))
    return ctx.waits.wait(ctx, argv, argc, 1, argc - 2, TYPE_LIST, time_ms)


@cython.cfunc
@cython.exceptval(-1, check=False)
def blpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _pop(ctx, argv, argc, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def brpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _pop(ctx, argv, argc, False)


@cython.cfunc
@cython.exceptval(check=False)
def _is_front(arg: arg_p) -> cython.int:
    """1 for LEFT, 0 for RIGHT, -1 for neither."""
    if arg_is(arg, b"left", 4):
        return 1
    return 0 if arg_is(arg, b"right", 5) else -1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _move(ctx: Context, argv: arg_p, argc: cython.int, from_front: cython.bint, to_front: cython.bint) -> cython.int:
    """BLMOVE, BRPOPLPUSH: source destination ... timeout."""
    room: Key
    to: key_p
    source: bytep
    target: bytep
    time_ms: int64_t = 0
    if not _timeout(ctx, argv + argc - 1, cython.address(time_ms)):
        return 0
    source = ctx.db.write(cython.address(ctx.key))
    if source == cython.NULL:
        if ctx.in_exec:
            return ctx.reply.null()
        return ctx.waits.wait(ctx, argv, argc, 1, 1, TYPE_LIST, time_ms)
    to = ctx.other_key(cython.address(room), argv + 2)
    target = ctx.db.write(to)
    if not of_type(ctx, source, TYPE_LIST) or not of_type(ctx, target, TYPE_LIST):
        return 0
    list_move(ctx, cython.address(ctx.key), source, to, target, from_front, to_front)
    return ctx.effect((b"LMOVE", arg_bytes(argv + 1), arg_bytes(argv + 2), b"LEFT" if from_front else b"RIGHT",
                       b"LEFT" if to_front else b"RIGHT"))


@cython.cfunc
@cython.exceptval(-1, check=False)
def blmove_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout"""
    from_front: cython.int = _is_front(argv + 3)
    to_front: cython.int = _is_front(argv + 4)
    if from_front < 0 or to_front < 0:
        return ctx.error(errors.SYNTAX)
    return _move(ctx, argv, argc, from_front == 1, to_front == 1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def brpoplpush_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """BRPOPLPUSH source destination timeout"""
    return _move(ctx, argv, argc, False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def blmpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]"""
    room: Key
    k: key_p
    e: bytep
    time_ms: int64_t = 0
    keys: int64_t
    count: int64_t = 1
    front: cython.int
    i: int64_t
    if not _timeout(ctx, argv + 1, cython.address(time_ms)):
        return 0
    if not arg_int64(argv + 2, cython.address(keys)) or keys < 1:
        return ctx.error(errors.NUMKEYS_NOT_POSITIVE)
    if keys > argc - 4:
        return ctx.error(errors.SYNTAX)
    front = _is_front(argv + 3 + keys)
    i = 4 + keys
    if front < 0 or (i < argc and (i + 2 > argc or not arg_is(argv + i, b"count", 5))):
        return ctx.error(errors.SYNTAX)
    if i < argc:
        if not arg_int64(argv + i + 1, cython.address(count)) or count < 1:
            return ctx.error(errors.COUNT_NOT_POSITIVE)
        if i + 2 != argc:
            return ctx.error(errors.SYNTAX)
    for i in range(3, 3 + keys):
        k = ctx.other_key(cython.address(room), argv + i)
        e = ctx.db.write(k)
        if not of_type(ctx, e, TYPE_LIST):
            return 0
        if e != cython.NULL:
            count = min(count, list_length(e))
            ctx.reply.array(2)
            ctx.reply.bulk(argv[i].p, argv[i].n)
            list_pop_many(ctx, k, e, front == 1, count)
            return ctx.effect((b"LPOP" if front == 1 else b"RPOP", arg_bytes(argv + i), b"%d" % count))
    return ctx.waits.wait(ctx, argv, argc, 3, cython.cast(cython.int, keys), TYPE_LIST, time_ms)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zpop(ctx: Context, argv: arg_p, argc: cython.int, highest: cython.bint) -> cython.int:
    """BZPOPMIN, BZPOPMAX: key [key ...] timeout."""
    room: Key
    k: key_p
    e: bytep
    time_ms: int64_t = 0
    i: cython.int
    if not _timeout(ctx, argv + argc - 1, cython.address(time_ms)):
        return 0
    for i in range(1, argc - 1):
        k = ctx.other_key(cython.address(room), argv + i)
        e = ctx.db.write(k)
        if not of_type(ctx, e, TYPE_ZSET):
            return 0
        if e != cython.NULL:
            ctx.reply.array(3)
            ctx.reply.bulk(argv[i].p, argv[i].n)
            zset_pop(ctx, k, e, 1, highest, False)
            zset_close(ctx, k, e, True)
            return ctx.effect((b"ZPOPMAX" if highest else b"ZPOPMIN", arg_bytes(argv + i)))
    return ctx.waits.wait(ctx, argv, argc, 1, argc - 2, TYPE_ZSET, time_ms)


@cython.cfunc
@cython.exceptval(-1, check=False)
def bzpopmin_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _zpop(ctx, argv, argc, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def bzpopmax_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _zpop(ctx, argv, argc, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def bzmpop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]"""
    highest: cython.bint = False
    count: int64_t = 1
    keys: int64_t
    time_ms: int64_t = 0
    if not _timeout(ctx, argv + 1, cython.address(time_ms)):
        return 0
    keys = zmpop_options(ctx, argv + 2, argc - 2, cython.address(highest), cython.address(count))
    if keys == 0 or zmpop_first(ctx, argv + 3, keys, highest, count):
        return 0
    return ctx.waits.wait(ctx, argv, argc, 3, cython.cast(cython.int, keys), TYPE_ZSET, time_ms)


@cython.cfunc
@cython.exceptval(-1, check=False)
def wait_keys(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD WAITKEYS list|zset timeout key [key ...]: the first key that holds such a value, once there is one.
    Nothing is popped: a proxy waits so for keys of several engines."""
    room: Key
    e: bytep
    time_ms: int64_t = 0
    type: cython.uint = TYPE_LIST if arg_is(argv + 2, b"list", 4) else TYPE_ZSET
    i: cython.int
    if not ctx.client.flags & ClientFlag.INTERNAL:
        return ctx.error(errors.unknown_command(arg_bytes(argv), [arg_bytes(argv + 1)]))
    if type == TYPE_ZSET and not arg_is(argv + 2, b"zset", 4):
        return ctx.error(errors.SYNTAX)
    if not _timeout(ctx, argv + 3, cython.address(time_ms)):
        return 0
    for i in range(4, argc):
        e = ctx.db.find(ctx.other_key(cython.address(room), argv + i))
        if e != cython.NULL and entry_type(e) == type:
            return ctx.reply.bulk(argv[i].p, argv[i].n)
    return ctx.waits.wait(ctx, argv, argc, 4, argc - 4, type, time_ms)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_blocking(registry: Registry) -> cython.int:
    """Register the family."""
    registry.hot("blpop", blpop_command)
    registry.hot("brpop", brpop_command)
    registry.hot("blmove", blmove_command)
    registry.hot("brpoplpush", brpoplpush_command)
    registry.hot("blmpop", blmpop_command)
    registry.hot("bzpopmin", bzpopmin_command)
    registry.hot("bzpopmax", bzpopmax_command)
    registry.hot("bzmpop", bzmpop_command)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_wait_keys(registry: Registry) -> cython.int:
    """SHARDD WAITKEYS, for connections within the tree."""
    return registry.add(Row("\t".join((
        "shardd|waitkeys", "server", "0.1.0", "-5", "blocking,readonly,skip_slowlog", "-", "-",
        "index:4|range:-1,1,0|ro", "-", "-", "-"))), wait_keys, None)
