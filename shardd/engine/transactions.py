"""MULTI EXEC DISCARD WATCH UNWATCH.

Owns what these commands mean. What they rest on lies elsewhere: the queues are in engine.multi, the
watched keys in engine.watches, and engine.dispatch decides what is queued and runs it, since it alone runs commands.

    MULTI ---> ClientFlag.MULTI ---> each command: checked as ever, copied, +QUEUED
                                       one that is refused: DIRTY_EXEC      a watched key changes: DIRTY_CAS
    EXEC  ---> DIRTY_EXEC: -EXECABORT   DIRTY_CAS: nil   else all of them in one step, between which nobody else runs
    DISCARD, RESET, the connection's end ---> as if there had been no MULTI and no WATCH

A client that has said neither MULTI nor WATCH has nothing of all this but a few zeros in its session.
"""
import cython
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.engine.dispatch import Dispatcher
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.net.client import Client, ClientFlag
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

argv_p = cython.typedef(cython.pointer(Arg))


@cython.cfunc
@cython.exceptval(-1, check=False)
def multi_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    if ctx.client.flags & ClientFlag.MULTI:
        return ctx.error(errors.MULTI_NESTED)
    ctx.client.flags |= ClientFlag.MULTI
    ctx.client.multi_count = 0
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def discard_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    dispatcher: Dispatcher = ctx.server.dispatcher
    if not ctx.client.flags & ClientFlag.MULTI:
        return ctx.error(errors.DISCARD_WITHOUT_MULTI)
    dispatcher.multi.discard(ctx.client)
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def exec_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    dispatcher: Dispatcher = ctx.server.dispatcher
    client: Client = ctx.client
    if not client.flags & ClientFlag.MULTI:
        return ctx.error(errors.EXEC_WITHOUT_MULTI)
    if dispatcher.multi.watches.has_expired(client):
        client.flags |= ClientFlag.DIRTY_CAS
    if client.flags & ClientFlag.DIRTY_EXEC:
        ctx.error(errors.EXEC_ABORTED)
    elif client.flags & ClientFlag.DIRTY_CAS:
        ctx.reply.null_array()
    else:
        dispatcher.multi.watches.drop(client)
        dispatcher.run_queue(client)
    return dispatcher.multi.discard(client)


@cython.cfunc
@cython.exceptval(-1, check=False)
def watch_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    dispatcher: Dispatcher = ctx.server.dispatcher
    room: Key
    i: cython.int
    if ctx.client.flags & ClientFlag.MULTI:
        return ctx.error(errors.WATCH_IN_MULTI)
    if not ctx.client.flags & ClientFlag.DIRTY_CAS:     # else there is nothing more to spoil
        for i in range(1, argc):
            dispatcher.multi.watches.watch(ctx.client, ctx.db.id,
                                     ctx.other_key(cython.address(room), cython.address(argv[i])))
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def unwatch_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    dispatcher: Dispatcher = ctx.server.dispatcher
    dispatcher.multi.watches.drop(ctx.client)
    ctx.client.flags &= ~cython.cast(cython.uint, ClientFlag.DIRTY_CAS)
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_transactions(registry: Registry) -> cython.int:
    """Add the commands."""
    registry.hot("multi", multi_command)
    registry.hot("exec", exec_command)
    registry.hot("discard", discard_command)
    registry.hot("watch", watch_command)
    registry.hot("unwatch", unwatch_command)
    return 0
