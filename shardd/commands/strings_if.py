"""Later additions to the string family: MSETEX (Redis 8.4, Valkey 9.1) and DELIFEQ (Valkey 9). SET with IFEQ is SET's.

MSETEX as Valkey answers it: a time of zero or less is refused, a word that is not known is a syntax error, and so is a
number of keys that the arguments do not fit. A time that is past makes keys that are gone before anybody sees them.

The journal hears MSET, and PEXPIREAT of each key; with KEEPTTL, SET ... KEEPTTL of each.
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.string import memcmp
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, expiry_unix_ms, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.database import SET_KEEP_TTL, Key
from cython.cimports.shardd.keyspace.entry import TYPE_STRING, View, entry_view
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_STRING
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))

KEYS_MAX = cython.declare(int64_t, (1 << 31) - 1)       # that a number of keys may say

NX = cython.declare(cython.int, 1)
XX = cython.declare(cython.int, 2)


@cython.cfunc
@cython.exceptval(-2, check=False)
def _options(ctx: Context, argv: arg_p, argc: cython.int, i: cython.int, expiry: cython.pointer(int64_t)) -> cython.int:
    """[NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] from argv[i] on: the condition, 0 for none; -1 where an
    error was replied. expiry: Unix ms, -1 for none, -2 for KEEPTTL."""
    condition: cython.int = 0
    at: cython.int = 0              # where the time stands
    word: bytes = b""
    while i < argc:
        name: bytes = arg_bytes(argv + i).lower()
        if name == b"nx" and condition != XX:
            condition = NX
        elif name == b"xx" and condition != NX:
            condition = XX
        elif name == b"keepttl" and word in (b"", name):
            word = name
        elif name in (b"ex", b"px", b"exat", b"pxat") and word in (b"", name) and i + 1 < argc:
            word = name
            i += 1
            at = i
        else:
            ctx.error(errors.SYNTAX)
            return -1
        i += 1
    expiry[0] = -2 if word == b"keepttl" else -1
    if at and not expiry_unix_ms(ctx, argv + at, 1000 if word[:1] == b"e" else 1, len(word) == 2, "msetex", expiry):
        return -1
    return condition


@cython.cfunc
@cython.exceptval(-1, check=False)
def _is_met(ctx: Context, argv: arg_p, end: cython.int, condition: cython.int) -> cython.bint:
    """Whether none (NX), or all (XX), of the keys argv[2:end:2] are there."""
    k: Key
    i: cython.int
    for i in range(2, end, 2):
        if (ctx.db.write(ctx.other_key(cython.address(k), argv + i)) == cython.NULL) == (condition == XX):
            return False
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _journal(ctx: Context, argv: arg_p, end: cython.int, expiry: int64_t) -> cython.int:
    """What setting argv[2:end] is in effects."""
    i: cython.int
    if not ctx.journal.active or end == 2:
        return 0
    if expiry == -2:
        for i in range(2, end, 2):
            ctx.effect((b"SET", arg_bytes(argv + i), arg_bytes(argv + i + 1), b"KEEPTTL"))
        return 0
    ctx.effect((b"MSET", *[arg_bytes(argv + i) for i in range(2, end)]))
    if expiry >= 0:
        for i in range(2, end, 2):
            ctx.effect((b"PEXPIREAT", arg_bytes(argv + i), b"%d" % expiry))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def msetex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """MSETEX numkeys key value [key value ...] [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]: 1, or 0 where the
    condition is not met."""
    k: Key
    key: cython.pointer(Key)
    i: cython.int = 2
    end: cython.int
    condition: cython.int
    count: int64_t
    expiry: int64_t = -1
    if not arg_int64(argv + 1, cython.address(count)) or not 1 <= count <= KEYS_MAX:
        return ctx.error(errors.NUMKEYS_INVALID)
    if 2 * count > argc - 2:
        return ctx.error(errors.SYNTAX)
    end = cython.cast(cython.int, 2 + 2 * count)
    condition = _options(ctx, argv, argc, end, cython.address(expiry))
    if condition < 0:
        return 0
    if condition and not _is_met(ctx, argv, end, condition):
        return ctx.reply.integer(0)
    try:
        while i < end:
            key = ctx.other_key(cython.address(k), argv + i)
            ctx.db.set_string(key, argv[i + 1].p, argv[i + 1].n, expiry if expiry >= 0 else -1,
                              SET_KEEP_TTL if expiry == -2 else 0)
            i += 2
            ctx.notify(NOTIFY_STRING, b"set", key)
            if expiry >= 0:
                ctx.notify(NOTIFY_GENERIC, b"expire", key)
    finally:
        _journal(ctx, argv, i, expiry)
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def delifeq_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """DELIFEQ key value: whether the key held this string, and is gone."""
    view: View
    e: bytep = ctx.db.write(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_STRING):
        return 0
    if e == cython.NULL:
        return ctx.reply.integer(0)
    entry_view(e, cython.address(view))
    if view.n != argv[2].n or memcmp(view.p, argv[2].p, view.n) != 0:
        return ctx.reply.integer(0)
    ctx.db.remove(cython.address(ctx.key))
    ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
    if ctx.journal.active:
        ctx.effect((b"UNLINK" if ctx.lazy_delete else b"DEL", arg_bytes(argv + 1)))
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_strings_if(registry: Registry) -> cython.int:
    """Add these commands."""
    registry.hot("msetex", msetex_command)
    registry.hot("delifeq", delifeq_command)
    return 0
