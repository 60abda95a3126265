"""What a command leaves under a key: a collection that it changed, or one that it made as its result.

Owns: that no empty collection stays, and who is told of it. Does not own the collections (hash_forms, set_forms,
zset_forms, list_forms) or the event of a change.
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import entry_free
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC

key_p = cython.typedef(cython.pointer(Key))


@cython.cfunc
@cython.exceptval(-1, check=False)
def outcome_close(ctx: Context, k: key_p, length: int64_t, changed: cython.bint) -> cython.int:
    """After a change, or an attempt at one, of a collection that has `length` elements now: delete an empty one, and
    tell who wants to know. The event of the change itself must be out."""
    if length == 0:
        if changed:
            ctx.db.remove(k)        # counts as touched
            ctx.notify(NOTIFY_GENERIC, b"del", k)
        else:
            ctx.db.drop_empty(k)
    elif changed:
        ctx.db.touched(k)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def outcome_store(ctx: Context, k: key_p, result: bytep, length: int64_t, kind: cython.uint,
                  event: bytes) -> cython.int:
    """Put a result that is in no database in a key's place, whatever is there, or delete that if the result is empty;
    reply with its length. kind: the event's class. MemoryError: the result is freed."""
    if length == 0:
        entry_free(result)
        if ctx.db.remove(k):
            ctx.notify(NOTIFY_GENERIC, b"del", k)
    else:
        if ctx.db.find(k) != cython.NULL:
            ctx.db.replace(k, result)
        else:
            ctx.db.add(k, result)       # frees it where it fails
        ctx.db.touched(k)
        ctx.notify(kind, event, k)
    return ctx.reply.integer(length)
