"""DUMP and RESTORE: a value as bytes, which RESTORE takes, here or on a Redis or Valkey.

    type | value as in an RDB file | version, 2 bytes | CRC-64 of all before it, 8 bytes

What the bytes are is the journal's to know (journal/rdb_save, journal/FORMAT.md). Version 10, so that Redis 7.0 and all
later ones take it; 12 for a hash with fields that expire, which only Redis from 7.4 on has.

RESTORE takes what Redis from 2.6 to 8.2 and Valkey up to 9 have dumped, and checks all of it (journal/rdb_load_value);
streams and modules' values it does not know. Its effect is itself with the time to live made absolute, or DEL where
that is over already.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.journal.rdb_in import RdbSource
from cython.cimports.shardd.journal.rdb_load_build import Thresholds
from cython.cimports.shardd.journal.rdb_load_value import load_payload, load_stamp, payload_holds
from cython.cimports.shardd.journal.rdb_out import RdbOut, rdb_close, rdb_open
from cython.cimports.shardd.journal.rdb_save import rdb_dump
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import ENC_LISTPACK, TYPE_HASH, entry_encoding, entry_free, entry_type
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_NEW
from cython.cimports.shardd.keyspace.field_expiry import fields_settle
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors
from shardd.journal.rdb_in import RdbError

RestoreOptions = cython.struct(replace=cython.bint, absolute=cython.bint, idle=int64_t, freq=cython.int)


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


# ---- RESTORE

_source = cython.declare(RdbSource, RdbSource())
_thresholds = cython.declare(Thresholds, Thresholds())


@cython.cfunc
def _thresholds_of(ctx: Context) -> Thresholds:
    _thresholds.hash_max_entries = ctx.hash_max_entries
    _thresholds.hash_max_value = ctx.hash_max_value
    _thresholds.zset_max_entries = ctx.zset_max_entries
    _thresholds.zset_max_value = ctx.zset_max_value
    _thresholds.set_max_intset = ctx.set_max_intset
    _thresholds.set_max_entries = ctx.set_max_entries
    _thresholds.set_max_value = ctx.set_max_value
    _thresholds.list_max_size = ctx.list_max_size
    _thresholds.list_depth = ctx.list_depth
    return _thresholds


@cython.cfunc
@cython.exceptval(-1, check=False)
def _options(ctx: Context, argv: cython.pointer(Arg), argc: cython.int,
             options: cython.pointer(RestoreOptions)) -> cython.bint:
    """Read what stands behind the payload; False where the error is replied."""
    i: cython.int = 4
    value: int64_t = 0
    idle: cython.bint
    options.replace = options.absolute = False
    options.idle = options.freq = -1
    while i < argc:
        if arg_is(cython.address(argv[i]), b"replace", 7):
            options.replace = True
        elif arg_is(cython.address(argv[i]), b"absttl", 6):
            options.absolute = True
        else:
            idle = arg_is(cython.address(argv[i]), b"idletime", 8) and options.freq == -1
            if i + 1 == argc or not (idle or (arg_is(cython.address(argv[i]), b"freq", 4) and options.idle == -1)):
                ctx.error(errors.SYNTAX)
                return False
            i += 1
            if not arg_int64(cython.address(argv[i]), cython.address(value)):
                ctx.error(errors.NOT_INTEGER)
                return False
            if value < 0 or (not idle and value > 255):
                ctx.error(errors.INVALID_IDLE_TIME if idle else errors.INVALID_FREQ)
                return False
            if idle:
                options.idle = value
            else:
                options.freq = cython.cast(cython.int, value)
        i += 1
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _over_already(ctx: Context, argv: cython.pointer(Arg), old: cython.bint) -> cython.int:
    """The new value would be past its expiry: it is as if it had come and gone, and the old one is gone."""
    if old:
        ctx.db.remove(cython.address(ctx.key))
        ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
        ctx.effect((b"DEL", arg_bytes(cython.address(argv[1]))))
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def restore_command(ctx: Context, argv: cython.pointer(Arg), argc: cython.int) -> cython.int:
    """RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]; RESTORE-ASKING is the same."""
    options: RestoreOptions
    ttl: int64_t = 0
    expiry: int64_t = -1
    k: cython.pointer(Key) = cython.address(ctx.key)
    e: bytep
    old: bytep
    i: cython.int
    if not _options(ctx, argv, argc, cython.address(options)):
        return 0
    old = ctx.db.write(k)
    if old != cython.NULL and not options.replace:
        return ctx.error(errors.BUSY_KEY)
    if not arg_int64(cython.address(argv[2]), cython.address(ttl)):
        return ctx.error(errors.NOT_INTEGER)
    if ttl < 0 or (not options.absolute and ttl > INT64_MAX - ctx.keyspace.now_ms):
        return ctx.error(errors.INVALID_RESTORE_TTL)
    if not payload_holds(argv[3].p, argv[3].n):
        return ctx.error(errors.WRONG_PAYLOAD)
    if ttl > 0:
        expiry = ttl if options.absolute else ttl + ctx.keyspace.now_ms
    try:
        e = load_payload(_source, argv[3].p, argv[3].n, _thresholds_of(ctx), k.p, k.n, expiry,
                         load_stamp(ctx.keyspace, options.idle, options.freq))
    except RdbError:
        return ctx.error(errors.BAD_DATA_FORMAT)
    if expiry != -1 and expiry <= ctx.keyspace.now_ms:
        entry_free(e)
        return _over_already(ctx, argv, old != cython.NULL)
    if old != cython.NULL:
        ctx.db.replace(k, e)
        ctx.notify(NOTIFY_NEW, b"new", k)
    else:
        ctx.db.add(k, e)
    ctx.db.touched(k)
    ctx.notify(NOTIFY_GENERIC, b"restore", k)
    if expiry != -1 and not options.absolute and ctx.journal.active:
        words: list = [arg_bytes(cython.address(argv[i])) for i in range(argc)]
        words[2] = b"%d" % expiry
        words.append(b"ABSTTL")
        ctx.effect(tuple(words))
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_dump(registry: Registry) -> cython.int:
    """Add the family."""
    registry.hot("dump", dump_command)
    registry.hot("restore", restore_command)
    registry.hot("restore-asking", restore_command)
    return 0
