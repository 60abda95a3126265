"""Times to live: EXPIRE PEXPIRE EXPIREAT PEXPIREAT, TTL PTTL EXPIRETIME PEXPIRETIME, PERSIST.

Owns what these commands mean. Does not own when a key that is due goes (keyspace/expiry.py and Database.find), nor how
its expiry is kept.

Invariants: an expiry is unix time in ms. One that is not in the future deletes the key instead of being stored, so any
stored expiry was ahead of the command that set it. The journal hears of absolute times only.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.entry import entry_expires, entry_expiry
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

argv_p = cython.typedef(cython.pointer(Arg))

NX = cython.declare(cython.int, 1)      # only where the key has no expiry
XX = cython.declare(cython.int, 2)      # only where it has one
GT = cython.declare(cython.int, 4)      # only where the new one is later; no expiry is the latest
LT = cython.declare(cython.int, 8)      # only where it is earlier


@cython.cfunc
@cython.exceptval(-2, check=False)
def _conditions(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """The condition bits behind the time; -1 where they make no sense, and the error is replied then."""
    i: cython.int
    bits: cython.int = 0
    for i in range(3, argc):
        if arg_is(cython.address(argv[i]), b"nx", 2):
            bits |= NX
        elif arg_is(cython.address(argv[i]), b"xx", 2):
            bits |= XX
        elif arg_is(cython.address(argv[i]), b"gt", 2):
            bits |= GT
        elif arg_is(cython.address(argv[i]), b"lt", 2):
            bits |= LT
        else:
            ctx.error(errors.unsupported_option(arg_bytes(cython.address(argv[i]))))
            return -1
    if bits & NX and bits & (XX | GT | LT):
        ctx.error(errors.EXPIRE_NX_AND_OTHERS)
        return -1
    if bits & GT and bits & LT:
        ctx.error(errors.EXPIRE_GT_AND_LT)
        return -1
    return bits


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _met(bits: cython.int, before: int64_t, when: int64_t) -> cython.bint:
    """Whether the conditions hold; `before` is -1 where there is no expiry yet."""
    if before == -1:
        return not bits & (XX | GT)
    return not (bits & NX or (bits & GT and when <= before) or (bits & LT and when >= before))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _expire(ctx: Context, argv: argv_p, argc: cython.int, base_ms: int64_t, unit_ms: int64_t, name: str) -> cython.int:
    """The four setters: `base_ms` is what the argument counts from, `unit_ms` what it counts in."""
    when: int64_t
    before: int64_t
    bits: cython.int = _conditions(ctx, argv, argc) if argc > 3 else 0
    e: bytep
    if bits < 0:
        return 0
    if not arg_int64(cython.address(argv[2]), cython.address(when)):
        return ctx.error(errors.NOT_INTEGER)
    if unit_ms != 1:
        # by the bounds, not by the product, which may not fit; C's division cuts towards zero, and so do these
        if when > INT64_MAX // 1000 or when < -(INT64_MAX // 1000):
            return ctx.error(errors.invalid_expire(name))
        when *= unit_ms
    if when > INT64_MAX - base_ms:
        return ctx.error(errors.invalid_expire(name))
    when += base_ms
    e = ctx.db.write(cython.address(ctx.key))
    if e == cython.NULL:
        return ctx.reply.integer(0)
    before = entry_expiry(e) if entry_expires(e) else -1
    if bits and not _met(bits, before, when):
        return ctx.reply.integer(0)
    if when <= ctx.keyspace.now_ms:
        ctx.db.remove(cython.address(ctx.key))
        ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
        if ctx.journal.active:
            ctx.effect((b"DEL", arg_bytes(cython.address(argv[1]))))
    else:
        ctx.db.set_expiry(cython.address(ctx.key), e, when)
        ctx.db.touched(cython.address(ctx.key))
        ctx.notify(NOTIFY_GENERIC, b"expire", cython.address(ctx.key))
        # PEXPIREAT without conditions is what the journal wants already
        if ctx.journal.active and (base_ms != 0 or unit_ms != 1 or argc > 3):
            ctx.effect((b"PEXPIREAT", arg_bytes(cython.address(argv[1])), b"%d" % when))
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def expire_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _expire(ctx, argv, argc, ctx.keyspace.now_ms, 1000, "expire")


@cython.cfunc
@cython.exceptval(-1, check=False)
def pexpire_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _expire(ctx, argv, argc, ctx.keyspace.now_ms, 1, "pexpire")


@cython.cfunc
@cython.exceptval(-1, check=False)
def expireat_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _expire(ctx, argv, argc, 0, 1000, "expireat")


@cython.cfunc
@cython.exceptval(-1, check=False)
def pexpireat_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _expire(ctx, argv, argc, 0, 1, "pexpireat")


@cython.cfunc
@cython.exceptval(-1, check=False)
def _remaining(ctx: Context, absolute: cython.bint, seconds: cython.bint) -> cython.int:
    """The four readers: -2 without the key, -1 without an expiry. They leave the access time alone."""
    ms: int64_t
    e: bytep = ctx.db.peek(cython.address(ctx.key))
    if e == cython.NULL:
        return ctx.reply.integer(-2)
    if not entry_expires(e):
        return ctx.reply.integer(-1)
    ms = entry_expiry(e)
    if not absolute:
        ms -= ctx.keyspace.now_ms
    if seconds:
        # rounded; INT64_MAX is a possible time, so nothing is added before the division
        ms = ms // 1000 + (1 if ms % 1000 >= 500 else 0)
    return ctx.reply.integer(ms)


@cython.cfunc
@cython.exceptval(-1, check=False)
def ttl_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _remaining(ctx, False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def pttl_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _remaining(ctx, False, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def expiretime_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _remaining(ctx, True, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def pexpiretime_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _remaining(ctx, True, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def persist_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.write(cython.address(ctx.key))
    if e == cython.NULL or not entry_expires(e):
        return ctx.reply.integer(0)
    ctx.db.set_expiry(cython.address(ctx.key), e, -1)
    ctx.db.touched(cython.address(ctx.key))
    ctx.notify(NOTIFY_GENERIC, b"persist", cython.address(ctx.key))
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_expire(registry: Registry) -> cython.int:
    """Add the family."""
    registry.hot("expire", expire_command)
    registry.hot("pexpire", pexpire_command)
    registry.hot("expireat", expireat_command)
    registry.hot("pexpireat", pexpireat_command)
    registry.hot("ttl", ttl_command)
    registry.hot("pttl", pttl_command)
    registry.hot("expiretime", expiretime_command)
    registry.hot("pexpiretime", pexpiretime_command)
    registry.hot("persist", persist_command)
    return 0
