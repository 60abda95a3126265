"""The hash family, but for times to live: HSET and HGET in all their forms, counters, HRANDFIELD, HSCAN.

All handlers are hot, and none asks which form a hash has, but for HSCAN; that, and what happens to fields past their
time, is in hash_forms.py. HEXPIRE and its relatives are in hash_times.py.

Setting a field takes its time to live away, counting with it does not. Keyspace events are those of Redis: one per
command, "del" after it where the last field went.
"""
import random

import cython
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.gather import ScanOptions, scan_begin, scan_table, scan_wants
from cython.cimports.shardd.commands.hash_forms import (
    FIELD_KEEPS_EXPIRY, FIELD_STAYS, hash_close, hash_expiry, hash_find, hash_items, hash_length, hash_open, hash_put,
    hash_random, hash_remove, hash_reply, hash_to_read, hash_to_write, hash_visible, register_hash_forms)
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.entry import ENC_TABLE, TYPE_HASH, View, entry_body, entry_encoding
from cython.cimports.shardd.keyspace.events import NOTIFY_HASH
from cython.cimports.shardd.keyspace.field_expiry import fields_settle
from cython.cimports.shardd.structures.number import format_int, format_long_double, parse_int64, parse_long_double
from cython.cimports.shardd.structures.pairs import Pairs
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits

arg_p = cython.typedef(cython.pointer(Arg))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
pairs_p = cython.typedef(cython.pointer(Pairs))

REPEATED_MAX = cython.declare(int64_t, limits.RANDOM_REPLY_BYTES_MAX)
BULK_BYTES_MIN = cython.declare(int64_t, 6)     # of a reply of one field
SAMPLE_WHOLE = cython.declare(int64_t, 3)       # above a third of the fields, HRANDFIELD picks from a list of all


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _tell(ctx: Context, event: bytes) -> cython.int:
    return ctx.notify(NOTIFY_HASH, event, cython.address(ctx.key))


# ---- setting

@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_all(ctx: Context, argv: arg_p, argc: cython.int) -> int64_t:
    """Set all fields of HSET or HMSET; how many are new, -2 where an error was replied."""
    e: bytep
    added: int64_t = 0
    i: cython.int = 2
    if not hash_to_write(ctx, cython.address(e)):
        return -2
    e = hash_open(ctx, e)
    try:
        while i < argc:
            added += hash_put(ctx, e, argv + i, argv[i + 1].p, argv[i + 1].n, FIELD_STAYS)
            i += 2
    finally:
        if i > 2:
            _tell(ctx, b"hset")
        hash_close(ctx, e, i > 2)
    return added


@cython.cfunc
@cython.exceptval(-1, check=False)
def hset_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    added: int64_t
    if argc % 2:
        return ctx.error(errors.wrong_arity("hset"))
    added = _set_all(ctx, argv, argc)
    return 0 if added < 0 else ctx.reply.integer(added)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hmset_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    if argc % 2:
        return ctx.error(errors.wrong_arity("hmset"))
    return 0 if _set_all(ctx, argv, argc) < 0 else ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def hsetnx_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    e: bytep
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    if hash_find(ctx, e, argv + 2, cython.address(value)):
        return ctx.reply.integer(0)
    _store(ctx, e, argv + 2, argv[3].p, argv[3].n, b"hset")
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _store(ctx: Context, e: bytep, field: arg_p, text: const_bytes, n: cython.Py_ssize_t, event: bytes) -> cython.int:
    """The value of one field, which keeps its expiry; e: NULL where there is no hash yet."""
    done: cython.bint = False
    e = hash_open(ctx, e)
    try:
        hash_put(ctx, e, field, text, n, FIELD_KEEPS_EXPIRY)
        done = True
        _tell(ctx, event)
    finally:
        hash_close(ctx, e, done)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def hincrby_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep
    old: View
    delta: int64_t
    value: int64_t = 0
    digits: uint8_t[24]
    if not arg_int64(argv + 3, cython.address(delta)):
        return ctx.error(errors.NOT_INTEGER)
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    if hash_find(ctx, e, argv + 2, cython.address(old)) and not parse_int64(old.p, old.n, cython.address(value)):
        return ctx.error(errors.HASH_NOT_INTEGER)
    if (delta < 0 and value < INT64_MIN - delta) or (delta > 0 and value > INT64_MAX - delta):
        return ctx.error(errors.INCR_OVERFLOW)
    value += delta
    _store(ctx, e, argv + 2, digits, format_int(digits, value), b"hincrby")
    return ctx.reply.integer(value)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hincrbyfloat_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """HINCRBYFLOAT; its effect is HSET, since another machine may add differently."""
    e: bytep
    old: View
    delta: cython.longdouble
    value: cython.longdouble = 0
    text: cython.char[5121]
    n: cython.int
    if not parse_long_double(argv[3].p, argv[3].n, cython.address(delta)):
        return ctx.error(errors.NOT_FLOAT)
    if delta != delta or delta - delta != 0:
        return ctx.error(errors.INCR_NAN_ARGUMENT)
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    if hash_find(ctx, e, argv + 2, cython.address(old)) and not parse_long_double(old.p, old.n, cython.address(value)):
        return ctx.error(errors.HASH_NOT_FLOAT)
    value += delta
    if value != value or value - value != 0:
        return ctx.error(errors.INCR_NAN)
    n = format_long_double(text, 5121, value)
    _store(ctx, e, argv + 2, cython.cast(bytep, text), n, b"hincrbyfloat")
    if ctx.journal.active:
        # HSET would take the expiry away
        ctx.effect((b"HSETEX", arg_bytes(argv + 1), b"KEEPTTL", b"FIELDS", b"1", arg_bytes(argv + 2), text[:n])
                   if hash_expiry(ctx, ctx.db.find(cython.address(ctx.key)), argv + 2) >= 0 else
                   (b"HSET", arg_bytes(argv + 1), arg_bytes(argv + 2), text[:n]))
    return ctx.reply.bulk(text, n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hdel_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    removed: int64_t = 0
    i: cython.int
    e: bytep
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    if e != cython.NULL:
        try:
            for i in range(2, argc):
                removed += hash_remove(ctx, e, argv + i)
                if hash_length(e) == 0:
                    break
        finally:
            if removed:
                _tell(ctx, b"hdel")
            hash_close(ctx, e, removed > 0)
    return ctx.reply.integer(removed)


# ---- getting

@cython.cfunc
@cython.exceptval(-1, check=False)
def hget_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    e: bytep
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    if hash_find(ctx, e, argv + 2, cython.address(value)):
        return ctx.reply.bulk(value.p, value.n)
    return ctx.reply.null()


@cython.cfunc
@cython.exceptval(-1, check=False)
def hmget_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    i: cython.int
    e: bytep
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    ctx.reply.array(argc - 2)
    for i in range(2, argc):
        if hash_find(ctx, e, argv + i, cython.address(value)):
            ctx.reply.bulk(value.p, value.n)
        else:
            ctx.reply.null()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def hexists_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    e: bytep
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    return ctx.reply.integer(1 if hash_find(ctx, e, argv + 2, cython.address(value)) else 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hstrlen_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    e: bytep
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    return ctx.reply.integer(value.n if hash_find(ctx, e, argv + 2, cython.address(value)) else 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hlen_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    return ctx.reply.integer(hash_length(e))


# ---- walking

@cython.cfunc
@cython.exceptval(-1, check=False)
def _walk(ctx: Context, fields: cython.bint, values: cython.bint) -> cython.int:
    """HGETALL, HKEYS, HVALS"""
    e: bytep
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    if fields and values:
        ctx.reply.map(hash_visible(ctx, e))
    else:
        ctx.reply.array(hash_visible(ctx, e))
    return hash_reply(ctx, e, fields, values)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hgetall_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _walk(ctx, True, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hkeys_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _walk(ctx, True, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hvals_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _walk(ctx, False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hscan_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """HSCAN key cursor [MATCH pattern] [COUNT count]. A small hash is returned at once."""
    o: ScanOptions
    name: bytes
    found: list = []
    e: bytep = scan_begin(ctx, argv, argc, TYPE_HASH, cython.address(o))
    if e == cython.NULL:
        return 0
    if entry_encoding(e) == ENC_TABLE:
        return scan_table(ctx, cython.address(cython.cast(pairs_p, entry_body(e)).t), cython.address(o), True)
    e = fields_settle(ctx.db, cython.address(ctx.key), e)
    if e != cython.NULL:
        for item in hash_items(ctx, e):
            name = item[0]
            if scan_wants(cython.address(o), name, len(name)):
                found.append(name)
                found.append(item[1])
    ctx.reply.array(2)
    ctx.reply.bulk(b"0", 1)
    return ctx.reply.value(found)


# ---- HRANDFIELD

@cython.cfunc
def _random_items(ctx: Context, e: bytep, count: int64_t) -> list:
    """`count` of them, each once; all where there are no more."""
    chosen: dict
    items: list
    length: int64_t = hash_visible(ctx, e)
    if count > length // SAMPLE_WHOLE or length != hash_length(e):
        items = hash_items(ctx, e)
        return items if count >= length else random.sample(items, count)
    chosen = {}
    while len(chosen) < count:
        item: tuple = hash_random(ctx, e)
        chosen[item[0]] = item
    return list(chosen.values())


@cython.cfunc
@cython.exceptval(-1, check=False)
def hrandfield_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """HRANDFIELD key [count [WITHVALUES]]; with a negative count, fields may come again."""
    e: bytep
    count: int64_t
    with_values: cython.bint = argc == 4 and arg_is(argv + 3, b"withvalues", 10)
    items: list
    if argc == 2:
        if not hash_to_read(ctx, cython.address(e)):
            return 0
        return ctx.reply.null() if hash_visible(ctx, e) == 0 else ctx.reply.value(hash_random(ctx, e)[0])
    if not arg_int64(argv + 2, cython.address(count)):
        return ctx.error(errors.NOT_INTEGER)
    if count == INT64_MIN:
        return ctx.error(errors.out_of_range_between(-INT64_MAX, INT64_MAX))
    if argc > 4 or (argc == 4 and not with_values):
        return ctx.error(errors.SYNTAX)
    if with_values and not -(INT64_MAX // 2) <= count <= INT64_MAX // 2:
        return ctx.error(errors.OUT_OF_RANGE)
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    if count == 0 or hash_visible(ctx, e) == 0:
        return ctx.reply.array(0)
    if count > 0:
        items = _random_items(ctx, e, count)
        _random_head(ctx, len(items), with_values)
        for item in items:
            _reply_item(ctx, item, with_values)
        return 0
    if -count > REPEATED_MAX // BULK_BYTES_MIN:
        return ctx.error(errors.OUT_OF_RANGE)
    start: cython.Py_ssize_t = ctx.reply.len
    _random_head(ctx, -count, with_values)
    while count < 0:
        _reply_item(ctx, hash_random(ctx, e), with_values)
        count += 1
        if ctx.reply.len - start > REPEATED_MAX:
            ctx.reply.truncate(start)
            return ctx.error(errors.OUT_OF_RANGE)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _random_head(ctx: Context, count: int64_t, with_values: cython.bint) -> cython.int:
    return ctx.reply.array(2 * count if with_values and ctx.reply.resp == 2 else count)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_item(ctx: Context, item: tuple, with_value: cython.bint) -> cython.int:
    if with_value and ctx.reply.resp == 3:
        ctx.reply.array(2)
    ctx.reply.value(item[0])
    return ctx.reply.value(item[1]) if with_value else 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_hashes(registry: Registry) -> cython.int:
    """Register the family."""
    register_hash_forms()
    registry.hot("hset", hset_command)
    registry.hot("hmset", hmset_command)
    registry.hot("hsetnx", hsetnx_command)
    registry.hot("hget", hget_command)
    registry.hot("hmget", hmget_command)
    registry.hot("hdel", hdel_command)
    registry.hot("hexists", hexists_command)
    registry.hot("hlen", hlen_command)
    registry.hot("hstrlen", hstrlen_command)
    registry.hot("hgetall", hgetall_command)
    registry.hot("hkeys", hkeys_command)
    registry.hot("hvals", hvals_command)
    registry.hot("hincrby", hincrby_command)
    registry.hot("hincrbyfloat", hincrbyfloat_command)
    registry.hot("hrandfield", hrandfield_command)
    registry.hot("hscan", hscan_command)
    return 0
