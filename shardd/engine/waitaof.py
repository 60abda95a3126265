"""WAITAOF numlocal numreplicas timeout: wait until what was written is on this server's disk, and on replicas'.

The reply is an array of two: 1 where the append-only file is synced, and how many replicas have done so, of which there
are none yet. It comes as soon as both are what was asked for, or at the end of the time-out (milliseconds, 0: never).

Waited for is all that is in the journal when the command comes. Redis waits for the client's own last write, which is
part of that; a proxy's link, which writes for many, needs all.

Owns what the command takes and replies. Does not own the waiting (engine.blocking), nor when the disk has what
(server.aof, which ends the wait).
"""
from functools import partial

import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t
from cython.cimports.shardd.base.clock import monotonic_ms
from cython.cimports.shardd.commands.args import arg_int64
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.engine.blocking import Blocking, Waiter
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

argv_p = cython.typedef(cython.pointer(Arg))


@cython.cfunc
@cython.exceptval(-1, check=False)
def waitaof_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    local: int64_t = 0
    replicas: int64_t = 0
    timeout_ms: int64_t = 0
    aof: object = ctx.server.aof
    blocking: Blocking
    waiter: Waiter
    if not arg_int64(argv + 1, cython.address(local)):
        return ctx.error(errors.NOT_INTEGER)
    if local < 0 or local > 1:
        return ctx.error(errors.out_of_range_between(0, 1))
    if not arg_int64(argv + 2, cython.address(replicas)) or replicas < 0:
        return ctx.error(errors.MUST_BE_POSITIVE)
    if not arg_int64(argv + 3, cython.address(timeout_ms)):
        return ctx.error(errors.PAUSE_NOT_INTEGER)
    if timeout_ms < 0:
        return ctx.error(errors.TIMEOUT_NEGATIVE)
    if timeout_ms >= INT64_MAX - monotonic_ms():
        return ctx.error(errors.TIMEOUT_OUT_OF_RANGE)
    if local and not ctx.server.config["appendonly"]:
        return ctx.error(errors.WAITAOF_OFF)
    if not ctx.in_exec:
        ctx.journal.flush()
    answer = partial(aof.acknowledged, ctx.journal.position)
    value = answer()
    if ctx.in_exec or (value[0] >= local and replicas == 0):
        return ctx.reply.value(value)
    blocking = ctx.server.dispatcher.blocking
    ctx.waits.wait(ctx, argv, argc, 0, 0, 0, timeout_ms)
    waiter = blocking.waiter_of(ctx.client)
    waiter.answer = answer
    if replicas == 0:
        aof.wait_for(ctx.client, ctx.journal.position)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_waitaof(registry: Registry) -> cython.int:
    """Add the command."""
    registry.hot("waitaof", waitaof_command)
    return 0
