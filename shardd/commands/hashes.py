"""The hash family: HSET and HGET in all their forms, counters, HRANDFIELD, HSCAN.

    small     a listpack of field, value, field, value ...        hash-max-listpack-entries, hash-max-listpack-value
    large     structures/pairs: a table of blocks of field and value

All handlers are hot. A small hash becomes a large one when a field or value is too long, or there are too many; it stays
one. What the two have in common is in the first part, and no handler asks which it has, but for those that walk.

Invariants: a hash has a field; the command that takes the last one deletes the key. A field is there once.
"""
import random

import cython
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.gather import ScanOptions, scan_begin, scan_table, scan_wants
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.entry import (
    ENC_LISTPACK, ENC_TABLE, TYPE_HASH, View, entry_body, entry_encoding, entry_set_body, entry_set_encoding)
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_HASH
from cython.cimports.shardd.keyspace.values import ValueOps, value_ops, value_register
from cython.cimports.shardd.structures.listpack import (
    LP_REPLACE, lp_append_pair, lp_body_bytes, lp_body_copy, lp_body_free, lp_bytes, lp_delete, lp_find, lp_first,
    lp_free, lp_insert, lp_length, lp_new, lp_next, lp_seek, lp_text, lp_valid)
from cython.cimports.shardd.structures.number import format_int, format_long_double, parse_int64, parse_long_double
from cython.cimports.shardd.structures.pairs import (
    PAIR_ADDED, PAIR_NO_MEMORY, Pairs, pair_key, pair_value, pairs_bytes, pairs_check, pairs_copy, pairs_find,
    pairs_free, pairs_length, pairs_new, pairs_put, pairs_remove)
from cython.cimports.shardd.structures.random import random_bits
from cython.cimports.shardd.structures.table import pair_key_len, pair_value_len, table_random, table_walk
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits

arg_p = cython.typedef(cython.pointer(Arg))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
pairs_p = cython.typedef(cython.pointer(Pairs))
view_p = cython.typedef(cython.pointer(View))

REPEATED_MAX = cython.declare(int64_t, limits.RANDOM_REPLY_BYTES_MAX)
BULK_BYTES_MIN = cython.declare(int64_t, 6)     # of a reply of one field
SAMPLE_WHOLE = cython.declare(int64_t, 3)       # above a third of the fields, HRANDFIELD picks from a list of all


# ---- both forms

@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _pairs(e: bytep) -> pairs_p:
    return cython.cast(pairs_p, entry_body(e))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _lp(e: bytep) -> bytep:
    return cython.cast(bytep, entry_body(e))


@cython.cfunc
@cython.exceptval(check=False)
def _length(e: bytep) -> int64_t:
    """How many fields; 0 where there is no hash."""
    if e == cython.NULL:
        return 0
    return cython.cast(int64_t, value_ops(TYPE_HASH, entry_encoding(e)).length(entry_body(e)))


@cython.cfunc
@cython.exceptval(check=False)
def _find(e: bytep, field: arg_p, value: view_p) -> cython.bint:
    """Whether the hash (NULL: none) has the field, and its value, good until the hash changes."""
    p: bytep
    if e == cython.NULL:
        return False
    if entry_encoding(e) == ENC_LISTPACK:
        p = lp_find(_lp(e), lp_first(_lp(e)), field.p, field.n, 1)
        if p == cython.NULL:
            return False
        value.n = lp_text(lp_next(_lp(e), p), value.digits, cython.address(value.p))
        return True
    p = pairs_find(_pairs(e), field.p, field.n)
    if p == cython.NULL:
        return False
    value.p = pair_value(p)
    value.n = pair_value_len(p)
    return True


@cython.cfunc
@cython.exceptval(check=False)
def hash_value(e: bytep, field: arg_p, value: view_p) -> cython.bint:
    """What HGET finds, for SORT."""
    return _find(e, field, value)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _to_table(e: bytep) -> cython.int:
    """Make a small hash a large one; MemoryError, and nothing is changed then."""
    lp: bytep = _lp(e)
    field: View
    value: View
    p: bytep = lp_first(lp)
    m: pairs_p = pairs_new()
    put: cython.int = PAIR_ADDED if m != cython.NULL else PAIR_NO_MEMORY
    while p != cython.NULL and put == PAIR_ADDED:
        field.n = lp_text(p, field.digits, cython.address(field.p))
        p = lp_next(lp, p)
        value.n = lp_text(p, value.digits, cython.address(value.p))
        p = lp_next(lp, p)
        put = pairs_put(m, field.p, field.n, value.p, value.n)
    if put != PAIR_ADDED:
        if m != cython.NULL:
            while not pairs_free(m, INT64_MAX):
                pass
        raise MemoryError
    entry_set_body(e, m)
    entry_set_encoding(e, ENC_TABLE)
    lp_free(lp)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _put(ctx: Context, e: bytep, field: arg_p, value: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Set a field; whether it is new. MemoryError, and nothing is changed then (but perhaps the form)."""
    lp: bytep
    p: bytep
    put: cython.int
    new: cython.bint = False
    if entry_encoding(e) == ENC_LISTPACK and (field.n > ctx.hash_max_value or n > ctx.hash_max_value):
        _to_table(e)
    if entry_encoding(e) == ENC_TABLE:
        put = pairs_put(_pairs(e), field.p, field.n, value, n)
        if put == PAIR_NO_MEMORY:
            raise MemoryError
        return put == PAIR_ADDED
    lp = _lp(e)
    p = lp_find(lp, lp_first(lp), field.p, field.n, 1)
    if p != cython.NULL:
        lp = lp_insert(lp, lp_next(lp, p), LP_REPLACE, value, n, cython.NULL)
        if lp == cython.NULL:
            raise MemoryError
        entry_set_body(e, lp)
        return False
    if lp_length(lp) // 2 >= ctx.hash_max_entries:
        _to_table(e)
        return _put(ctx, e, field, value, n)
    lp = lp_append_pair(lp, field.p, field.n, value, n)
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _remove(e: bytep, field: arg_p) -> cython.bint:
    """Take a field out; whether it was there."""
    lp: bytep
    p: bytep
    if entry_encoding(e) == ENC_TABLE:
        return pairs_remove(_pairs(e), field.p, field.n)
    lp = _lp(e)
    p = lp_find(lp, lp_first(lp), field.p, field.n, 1)
    if p == cython.NULL:
        return False
    lp = lp_delete(lp, p, 2, cython.NULL)
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    return True


@cython.cfunc
def _open(ctx: Context) -> bytep:
    """The command's hash, for a change; a new one where the key is absent. NULL: another type, and the client knows.

    The caller must see to it (_close) that no empty hash stays.
    """
    e: bytep = ctx.db.write(cython.address(ctx.key))
    if e == cython.NULL:
        return ctx.db.add_collection(cython.address(ctx.key), TYPE_HASH, ENC_LISTPACK, lp_new())
    if not of_type(ctx, e, TYPE_HASH):
        return cython.NULL
    return e


@cython.cfunc
@cython.exceptval(-1, check=False)
def _close(ctx: Context, e: bytep, changed: cython.bint, event: bytes) -> cython.int:
    """After a change that _open began, or a removal: delete an empty hash, and tell who wants to know."""
    if _length(e) == 0:
        if changed:
            ctx.db.remove(cython.address(ctx.key))      # counts as touched
            ctx.notify(NOTIFY_HASH, event, cython.address(ctx.key))
            ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
        else:
            ctx.db.drop_empty(cython.address(ctx.key))
    elif changed:
        ctx.db.touched(cython.address(ctx.key))
        ctx.notify(NOTIFY_HASH, event, cython.address(ctx.key))
    return 0


# ---- setting

@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_all(ctx: Context, argv: arg_p, argc: cython.int) -> int64_t:
    """Set all fields of HSET or HMSET; how many are new, -1 where an error was replied."""
    e: bytep
    added: int64_t = 0
    i: cython.int
    e = _open(ctx)
    if e == cython.NULL:
        return -2
    i = 2
    try:
        while i < argc:
            added += _put(ctx, e, argv + i, argv[i + 1].p, argv[i + 1].n)
            i += 2
    finally:
        _close(ctx, e, i > 2, b"hset")
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
    done: cython.bint = False
    e: bytep = ctx.db.write(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    if _find(e, argv + 2, cython.address(value)):
        return ctx.reply.integer(0)
    e = _open(ctx)
    try:
        done = _put(ctx, e, argv + 2, argv[3].p, argv[3].n)
    finally:
        _close(ctx, e, done, b"hset")
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _store_number(ctx: Context, e: bytep, field: arg_p, text: const_bytes, n: cython.Py_ssize_t,
                  event: bytes) -> cython.int:
    """The new value of a counter; e: NULL where there is no hash yet."""
    done: cython.bint = False
    if e == cython.NULL:
        e = _open(ctx)
    try:
        _put(ctx, e, field, text, n)
        done = True
    finally:
        _close(ctx, e, done, event)
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
    e = ctx.db.write(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    if _find(e, argv + 2, cython.address(old)) and not parse_int64(old.p, old.n, cython.address(value)):
        return ctx.error(errors.HASH_NOT_INTEGER)
    if (delta < 0 and value < INT64_MIN - delta) or (delta > 0 and value > INT64_MAX - delta):
        return ctx.error(errors.INCR_OVERFLOW)
    value += delta
    _store_number(ctx, e, argv + 2, digits, format_int(digits, value), b"hincrby")
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
    e = ctx.db.write(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    if _find(e, argv + 2, cython.address(old)) and not parse_long_double(old.p, old.n, cython.address(value)):
        return ctx.error(errors.HASH_NOT_FLOAT)
    value += delta
    if value != value or value - value != 0:
        return ctx.error(errors.INCR_NAN)
    n = format_long_double(text, 5121, value)
    _store_number(ctx, e, argv + 2, cython.cast(bytep, text), n, b"hincrbyfloat")
    if ctx.journal.active:
        ctx.effect((b"HSET", arg_bytes(argv + 1), arg_bytes(argv + 2), text[:n]))
    return ctx.reply.bulk(text, n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hdel_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    removed: int64_t = 0
    i: cython.int
    e: bytep = ctx.db.write(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    if e != cython.NULL:
        try:
            for i in range(2, argc):
                removed += _remove(e, argv + i)
                if _length(e) == 0:
                    break
        finally:
            _close(ctx, e, removed > 0, b"hdel")
    return ctx.reply.integer(removed)


# ---- getting

@cython.cfunc
@cython.exceptval(-1, check=False)
def hget_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    if _find(e, argv + 2, cython.address(value)):
        return ctx.reply.bulk(value.p, value.n)
    return ctx.reply.null()


@cython.cfunc
@cython.exceptval(-1, check=False)
def hmget_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    i: cython.int
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    ctx.reply.array(argc - 2)
    for i in range(2, argc):
        if _find(e, argv + i, cython.address(value)):
            ctx.reply.bulk(value.p, value.n)
        else:
            ctx.reply.null()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def hexists_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    return ctx.reply.integer(1 if _find(e, argv + 2, cython.address(value)) else 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hstrlen_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    value: View
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    return ctx.reply.integer(value.n if _find(e, argv + 2, cython.address(value)) else 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hlen_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    return ctx.reply.integer(_length(e))


# ---- walking

Shown = cython.struct(ctx=cython.p_void, fields=cython.bint, values=cython.bint)


@cython.cfunc
@cython.exceptval(check=False)
def _show_pair(context: cython.p_void, pair: bytep) -> cython.int:
    """Visitor: reply with what is wanted of a pair. A failure of the reply's memory is kept in the context."""
    shown: cython.pointer(Shown) = cython.cast(cython.pointer(Shown), context)
    ctx: Context
    if shown.ctx == cython.NULL:
        return 0
    ctx = cython.cast(Context, shown.ctx)
    try:
        if shown.fields:
            ctx.reply.bulk(pair_key(pair), pair_key_len(pair))
        if shown.values:
            ctx.reply.bulk(pair_value(pair), pair_value_len(pair))
    except MemoryError:
        shown.ctx = cython.NULL
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_all(ctx: Context, e: bytep, fields: cython.bint, values: cython.bint) -> cython.int:
    """Reply with all fields, all values, or both, without a head."""
    shown: Shown
    text: View
    p: bytep
    wanted: cython.bint = fields
    if e == cython.NULL:
        return 0
    if entry_encoding(e) == ENC_LISTPACK:
        p = lp_first(_lp(e))
        while p != cython.NULL:
            if wanted:
                text.n = lp_text(p, text.digits, cython.address(text.p))
                ctx.reply.bulk(text.p, text.n)
            wanted = True if fields and values else not wanted
            p = lp_next(_lp(e), p)
        return 0
    shown.ctx = cython.cast(cython.p_void, ctx)
    shown.fields = fields
    shown.values = values
    table_walk(cython.address(_pairs(e).t), _show_pair, cython.address(shown))
    if shown.ctx == cython.NULL:
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _walk(ctx: Context, fields: cython.bint, values: cython.bint) -> cython.int:
    """HGETALL, HKEYS, HVALS"""
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    if fields and values:
        ctx.reply.map(_length(e))
    else:
        ctx.reply.array(_length(e))
    return _reply_all(ctx, e, fields, values)


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
    o: ScanOptions
    e: bytep = scan_begin(ctx, argv, argc, TYPE_HASH, cython.address(o))
    if e == cython.NULL:
        return 0
    if entry_encoding(e) == ENC_TABLE:
        return scan_table(ctx, cython.address(_pairs(e).t), cython.address(o), True)
    return _scan_small(ctx, _lp(e), cython.address(o))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _scan_small(ctx: Context, lp: bytep, o: cython.pointer(ScanOptions)) -> cython.int:
    """HSCAN of a listpack: all that is wanted, at once."""
    text: View
    p: bytep = lp_first(lp)
    value: bytep
    pairs: list = []
    while p != cython.NULL:
        value = lp_next(lp, p)
        text.n = lp_text(p, text.digits, cython.address(text.p))
        if scan_wants(o, text.p, text.n):
            pairs.append(cython.cast(cython.p_char, text.p)[:text.n])
            text.n = lp_text(value, text.digits, cython.address(text.p))
            pairs.append(cython.cast(cython.p_char, text.p)[:text.n])
        p = lp_next(lp, value)
    ctx.reply.array(2)
    ctx.reply.bulk(b"0", 1)
    return ctx.reply.value(pairs)


# ---- HRANDFIELD

@cython.cfunc
def _items(e: bytep) -> list:
    """All (field, value, -1)."""
    return value_ops(TYPE_HASH, entry_encoding(e)).items(entry_body(e))


@cython.cfunc
def _random_item(e: bytep) -> tuple:
    """One of them, at random."""
    pair: bytep
    p: bytep
    if entry_encoding(e) == ENC_TABLE:
        pair = table_random(cython.address(_pairs(e).t), random_bits())
        return _pair_item(pair)
    p = lp_seek(_lp(e), 2 * cython.cast(int64_t, random_bits() % _length(e)))
    return (_text(p), _text(lp_next(_lp(e), p)), -1)


@cython.cfunc
def _random_items(e: bytep, count: int64_t) -> list:
    """`count` of them, each once; all where there are no more."""
    chosen: dict
    length: int64_t = _length(e)
    if count >= length:
        return _items(e)
    if count > length // SAMPLE_WHOLE:
        return random.sample(_items(e), count)
    chosen = {}
    while len(chosen) < count:
        item: tuple = _random_item(e)
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
        e = ctx.db.read(cython.address(ctx.key))
        if not of_type(ctx, e, TYPE_HASH):
            return 0
        return ctx.reply.null() if e == cython.NULL else ctx.reply.value(_random_item(e)[0])
    if not arg_int64(argv + 2, cython.address(count)):
        return ctx.error(errors.NOT_INTEGER)
    if count == INT64_MIN:
        return ctx.error(errors.out_of_range_between(-INT64_MAX, INT64_MAX))
    if argc > 4 or (argc == 4 and not with_values):
        return ctx.error(errors.SYNTAX)
    if with_values and not -(INT64_MAX // 2) <= count <= INT64_MAX // 2:
        return ctx.error(errors.OUT_OF_RANGE)
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, TYPE_HASH):
        return 0
    if e == cython.NULL or count == 0:
        return ctx.reply.array(0)
    if count > 0:
        items = _random_items(e, count)
        _random_head(ctx, len(items), with_values)
        for item in items:
            _reply_item(ctx, item, with_values)
        return 0
    if -count > REPEATED_MAX // BULK_BYTES_MIN:
        return ctx.error(errors.OUT_OF_RANGE)
    start: cython.Py_ssize_t = ctx.reply.len
    _random_head(ctx, -count, with_values)
    while count < 0:
        _reply_item(ctx, _random_item(e), with_values)
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


# ---- what the keyspace wants of the two forms

@cython.cfunc
def _text(p: bytep) -> bytes:
    """An element of a listpack."""
    text: View
    text.n = lp_text(p, text.digits, cython.address(text.p))
    return cython.cast(cython.p_char, text.p)[:text.n]


@cython.cfunc
def _pair_item(pair: bytep) -> tuple:
    return (cython.cast(cython.p_char, pair_key(pair))[:pair_key_len(pair)],
            cython.cast(cython.p_char, pair_value(pair))[:pair_value_len(pair)], -1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _small_length(body: cython.p_void) -> uint64_t:
    return lp_length(cython.cast(bytep, body)) // 2


@cython.cfunc
def _small_items(body: cython.p_void) -> object:
    lp: bytep = cython.cast(bytep, body)
    p: bytep = lp_first(lp)
    flat: list = []
    while p != cython.NULL:
        flat.append(_text(p))
        p = lp_next(lp, p)
    return [(field, value, -1) for field, value in zip(flat[::2], flat[1::2])]


@cython.cfunc
@cython.exceptval(-1, check=False)
def _small_check(body: cython.p_void) -> cython.int:
    lp: bytep = cython.cast(bytep, body)
    assert lp_valid(lp, lp_bytes(lp)) and lp_length(lp) % 2 == 0, "a small hash is damaged"
    assert len({item[0] for item in _small_items(body)}) == lp_length(lp) // 2, "a field is there twice"
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _collect(context: cython.p_void, pair: bytep) -> cython.int:
    found: list = cython.cast(list, context)
    found.append(_pair_item(pair))
    return 0


@cython.cfunc
def _large_items(body: cython.p_void) -> object:
    found: list = []
    table_walk(cython.address(cython.cast(pairs_p, body).t), _collect, cython.cast(cython.p_void, found))
    return found


@cython.cfunc
@cython.exceptval(-1, check=False)
def _register_forms() -> cython.int:
    """Tell the keyspace about small and large hashes."""
    small: ValueOps
    large: ValueOps
    small.name = b"listpack"
    small.length = _small_length
    small.packed = True
    small.bytes = lp_body_bytes
    small.copy = lp_body_copy
    small.free = lp_body_free
    small.items = _small_items
    small.check = _small_check
    large.name = b"hashtable"
    large.packed = False
    large.length = pairs_length
    large.bytes = pairs_bytes
    large.copy = pairs_copy
    large.free = pairs_free
    large.items = _large_items
    large.check = pairs_check
    value_register(TYPE_HASH, ENC_LISTPACK, cython.address(small))
    return value_register(TYPE_HASH, ENC_TABLE, cython.address(large))


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_hashes(registry: Registry) -> cython.int:
    """Register the family."""
    _register_forms()
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
