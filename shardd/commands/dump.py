"""DUMP: a value as bytes that RESTORE takes, here or on a Redis or Valkey.

    type | value as in an RDB file | version, 2 bytes | CRC-64 of all before it, 8 bytes

What the bytes are is the journal's to know (journal/rdb_save, journal/FORMAT.md). Version 10, so that Redis 7.0 and all
later ones take it; 12 for a hash with fields that expire, which only Redis from 7.4 on has.
"""
import cython
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.journal.rdb_out import RdbOut, rdb_close, rdb_open
from cython.cimports.shardd.journal.rdb_save import rdb_dump
from cython.cimports.shardd.keyspace.entry import ENC_LISTPACK, TYPE_HASH, entry_encoding, entry_type
from cython.cimports.shardd.keyspace.field_expiry import fields_settle
from cython.cimports.shardd.wire.request import Arg


@cython.cfunc
@cython.exceptval(-1, check=False)
def dump_command(ctx: Context, argv: cython.pointer(Arg), argc: cython.int) -> cython.int:
    """DUMP key"""
    out: RdbOut
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if e != cython.NULL and entry_type(e) == TYPE_HASH and entry_encoding(e) != ENC_LISTPACK:
        e = fields_settle(ctx.db, cython.address(ctx.key), e)
    if e == cython.NULL:
        return ctx.reply.null()
    if not rdb_open(cython.address(out), -1, 0):
        raise MemoryError
    try:
        out.compress = ctx.server.config["rdbcompression"]
        rdb_dump(cython.address(out), e, ctx.keyspace.now_ms)
        if out.error != 0:
            raise MemoryError
        if out.used == 0:
            return ctx.reply.null()     # a large hash of which all fields are due
        return ctx.reply.bulk(out.buf, cython.cast(cython.Py_ssize_t, out.used))
    finally:
        rdb_close(cython.address(out))


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_dump(registry: Registry) -> cython.int:
    """Add the family."""
    registry.hot("dump", dump_command)
    return 0
