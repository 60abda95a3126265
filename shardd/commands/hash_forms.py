"""The three forms of a hash, and what all commands need of them: find, put, remove, expire, walk, choose at random.

    listpack      field, value, field, value ...                    hash-max-listpack-entries, hash-max-listpack-value
    listpackex    field, value, expiry, field, value, expiry ...    the same, once a field has had an expiry
    hashtable     structures/pairs: blocks of field, value and, where it has one, expiry

    listpack --- a field gets an expiry ---> listpackex
        |                                        |
        '-------- too many, or too long ---------'--> hashtable

A hash never goes back by itself.

Fields past their time do not exist for a command. In all but large tables they are gone before it begins (hash_to_read,
hash_to_write; keyspace/field_expiry.py); in those, everything here passes over them, and whoever puts or removes such a
field takes it out first, so that the journal hears of it.

Invariants: a hash has a field; the command that takes the last one deletes the key. A field is there once. The
keyspace is told of every change of whether fields expire, and of every expiry (Database.note_fields).
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t, uint64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.hash_forms import FIELD_ABSENT, FIELD_KEEPS_EXPIRY, FIELD_STAYS
from cython.cimports.shardd.commands.outcome import outcome_close
from cython.cimports.shardd.keyspace.entry import (
    ENC_LISTPACK, ENC_LISTPACK_EX, ENC_TABLE, TYPE_HASH, View, entry_body, entry_encoding, entry_set_body,
    entry_set_encoding)
from cython.cimports.shardd.keyspace.field_expiry import fields_gone, fields_settle
from cython.cimports.shardd.keyspace.fields import fields_expire, fields_steady
from cython.cimports.shardd.keyspace.values import ValueOps, value_ops, value_register
from cython.cimports.shardd.structures.listpack import (
    LP_REPLACE, LpValue, lp_append, lp_append_pair, lp_body_bytes, lp_body_copy, lp_body_free, lp_bytes, lp_delete,
    lp_find, lp_first, lp_free, lp_get, lp_insert, lp_length, lp_new, lp_next, lp_seek, lp_text, lp_valid)
from cython.cimports.shardd.structures.number import format_int
from cython.cimports.shardd.structures.pairs import (
    PAIR_ADDED, PAIR_NO_MEMORY, Pairs, pair_key, pair_value, pairs_bytes, pairs_check, pairs_copy, pairs_expire,
    pairs_find, pairs_free, pairs_length, pairs_new, pairs_put, pairs_remove)
from cython.cimports.shardd.structures.random import random_bits
from cython.cimports.shardd.structures.table import (
    pair_due, pair_expiry, pair_key_len, pair_value_len, table_random, table_walk)
from cython.cimports.shardd.wire.request import Arg

const_arg_p = cython.typedef(cython.pointer(cython.const[Arg]))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
pairs_p = cython.typedef(cython.pointer(Pairs))
view_p = cython.typedef(cython.pointer(View))
entry_p = cython.typedef(cython.pointer(bytep))

TRIES = cython.declare(cython.int, 64)      # random pairs of a large hash before all that are not due are listed


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
@cython.inline
@cython.exceptval(check=False)
def _width(e: bytep) -> cython.int:
    """Elements of a small hash per field."""
    return 3 if entry_encoding(e) == ENC_LISTPACK_EX else 2


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _steady(ctx: Context, e: bytep) -> cython.bint:
    """Whether nothing in it is due. A small hash was settled when the command began."""
    return entry_encoding(e) != ENC_TABLE or fields_steady(e, ctx.keyspace.now_ms)


# ---- the command's hash

@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _settled(ctx: Context, e: entry_p) -> cython.bint:
    if e[0] == cython.NULL:
        return True
    if not of_type(ctx, e[0], TYPE_HASH):
        return False
    if entry_encoding(e[0]) != ENC_LISTPACK:
        e[0] = fields_settle(ctx.db, cython.address(ctx.key), e[0])
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_to_read(ctx: Context, e: entry_p) -> cython.bint:
    """The command's hash, rid of what is due; NULL where there is none. False: another type, and the client knows."""
    e[0] = ctx.db.read(cython.address(ctx.key))
    return _settled(ctx, e)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_to_write(ctx: Context, e: entry_p) -> cython.bint:
    """The same for a command that writes."""
    e[0] = ctx.db.write(cython.address(ctx.key))
    return _settled(ctx, e)


@cython.cfunc
def hash_open(ctx: Context, e: bytep) -> bytep:
    """The hash for a change; a new one where it is NULL. hash_close must follow, so that no empty one stays."""
    if e == cython.NULL:
        return ctx.db.add_collection(cython.address(ctx.key), TYPE_HASH, ENC_LISTPACK, lp_new())
    return e


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_close(ctx: Context, e: bytep, changed: cython.bint) -> cython.int:
    """`outcome_close` of the command's hash."""
    return outcome_close(ctx, cython.address(ctx.key), hash_length(e), changed)


# ---- looking

@cython.cfunc
@cython.exceptval(check=False)
def hash_length(e: bytep) -> int64_t:
    """How many fields, what is due in a large hash included; 0 where there is no hash."""
    if e == cython.NULL:
        return 0
    return cython.cast(int64_t, value_ops(TYPE_HASH, entry_encoding(e)).length(entry_body(e)))


Counted = cython.struct(now_ms=int64_t, due=int64_t)


@cython.cfunc
@cython.exceptval(check=False)
def _count_due(context: cython.p_void, pair: bytep) -> cython.int:
    counted: cython.pointer(Counted) = cython.cast(cython.pointer(Counted), context)
    counted.due += pair_due(pair, counted.now_ms)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def hash_visible(ctx: Context, e: bytep) -> int64_t:
    """How many fields that are not due. Walks a large hash in which something is."""
    counted: Counted
    if e == cython.NULL or _steady(ctx, e):
        return hash_length(e)
    counted.now_ms = ctx.keyspace.now_ms
    counted.due = 0
    table_walk(cython.address(_pairs(e).t), _count_due, cython.address(counted))
    return hash_length(e) - counted.due


@cython.cfunc
@cython.exceptval(check=False)
def hash_find(ctx: Context, e: bytep, field: const_arg_p, value: view_p) -> cython.bint:
    """Whether the hash (NULL: none) has the field, and its value, good until the hash changes."""
    p: bytep
    v: LpValue
    if e == cython.NULL:
        return False
    if entry_encoding(e) == ENC_TABLE:
        p = pairs_find(_pairs(e), field.p, field.n)
        if p == cython.NULL or pair_due(p, ctx.keyspace.now_ms):
            return False
        value.p = pair_value(p)
        value.n = pair_value_len(p)
        return True
    p = lp_find(_lp(e), lp_first(_lp(e)), field.p, field.n, _width(e) - 1)
    if p == cython.NULL:
        return False
    p = lp_next(_lp(e), p)
    value.n = lp_text(p, value.digits, cython.address(value.p))
    if entry_encoding(e) == ENC_LISTPACK:
        return True
    lp_get(lp_next(_lp(e), p), cython.address(v))
    return v.number == 0 or v.number >= ctx.keyspace.now_ms     # it may be another hash than the command's


@cython.cfunc
@cython.exceptval(check=False)
def hash_expiry(ctx: Context, e: bytep, field: const_arg_p) -> int64_t:
    """A field's expiry in Unix ms, FIELD_STAYS or FIELD_ABSENT."""
    p: bytep
    v: LpValue
    if e == cython.NULL:
        return FIELD_ABSENT
    if entry_encoding(e) == ENC_TABLE:
        p = pairs_find(_pairs(e), field.p, field.n)
        return FIELD_ABSENT if p == cython.NULL or pair_due(p, ctx.keyspace.now_ms) else pair_expiry(p)
    p = lp_find(_lp(e), lp_first(_lp(e)), field.p, field.n, _width(e) - 1)
    if p == cython.NULL:
        return FIELD_ABSENT
    if entry_encoding(e) == ENC_LISTPACK:
        return FIELD_STAYS
    lp_get(lp_next(_lp(e), lp_next(_lp(e), p)), cython.address(v))
    return v.number if v.number else FIELD_STAYS


# ---- forms

@cython.cfunc
@cython.exceptval(check=False)
def _append(lp: bytep, field: view_p, value: view_p, expiry: int64_t) -> bytep:
    """A field at the end of a listpack with expiries. The listpack's address; NULL without memory, and it is freed."""
    digits: uint8_t[24]
    longer: bytep = lp_append_pair(lp, field.p, field.n, value.p, value.n)
    if longer != cython.NULL:
        lp = longer
        longer = lp_append(lp, digits, format_int(digits, max(expiry, 0)))
    if longer == cython.NULL:
        lp_free(lp)
    return longer


@cython.cfunc
@cython.exceptval(-1, check=False)
def _convert(e: bytep, encoding: cython.int) -> cython.int:
    """Make a small hash one with expiries, or a large one; MemoryError, and nothing is changed then."""
    old: bytep = _lp(e)
    width: cython.int = _width(e)
    field: View
    value: View
    v: LpValue
    p: bytep = lp_first(old)
    fresh: bytep = cython.NULL
    m: pairs_p = cython.NULL
    if encoding == ENC_TABLE:
        m = pairs_new()
    else:
        fresh = lp_new()
    v.number = 0
    while p != cython.NULL and (m != cython.NULL or fresh != cython.NULL):
        field.n = lp_text(p, field.digits, cython.address(field.p))
        p = lp_next(old, p)
        value.n = lp_text(p, value.digits, cython.address(value.p))
        if width == 3:
            p = lp_next(old, p)
            lp_get(p, cython.address(v))
        p = lp_next(old, p)
        if encoding != ENC_TABLE:
            fresh = _append(fresh, cython.address(field), cython.address(value), 0)
        elif pairs_put(m, field.p, field.n, value.p, value.n, v.number if v.number else FIELD_STAYS) == PAIR_NO_MEMORY:
            while not pairs_free(m, INT64_MAX):
                pass
            m = cython.NULL
    if m == cython.NULL and fresh == cython.NULL:
        raise MemoryError
    entry_set_body(e, m if encoding == ENC_TABLE else cython.cast(cython.p_void, fresh))
    entry_set_encoding(e, encoding)
    lp_free(old)
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _note(ctx: Context, e: bytep, before: cython.bint, due: int64_t) -> cython.void:
    """After any change: whether fields expire may have changed, and one now expires at `due` (below 0: none does)."""
    after: cython.bint = fields_expire(e)
    if before or after:
        ctx.db.note_fields(cython.address(ctx.key), before, after, due if due >= 0 else INT64_MAX)


# ---- changes

@cython.cfunc
@cython.exceptval(-1, check=False)
def _drop_due(ctx: Context, e: bytep, field: const_arg_p) -> cython.int:
    """Take the field out where it is due, as if it had gone before the command began."""
    p: bytep = pairs_find(_pairs(e), field.p, field.n)
    if p != cython.NULL and pair_due(p, ctx.keyspace.now_ms):
        fields_gone(ctx.db, cython.address(ctx.key), e, [field.p[:field.n]])
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_put(ctx: Context, e: bytep, field: const_arg_p, value: const_bytes, n: cython.Py_ssize_t,
             expiry: int64_t) -> cython.bint:
    """Set a field and its expiry (Unix ms or a FieldExpiry); whether it is new. MemoryError, and nothing is changed
    then (but perhaps the form, or the expiry)."""
    put: cython.int
    before: cython.bint
    if entry_encoding(e) == ENC_LISTPACK and expiry >= 0:
        _convert(e, ENC_LISTPACK_EX)
        _note(ctx, e, False, expiry)
    if entry_encoding(e) != ENC_TABLE and (field.n > ctx.hash_max_value or n > ctx.hash_max_value):
        before = fields_expire(e)
        _convert(e, ENC_TABLE)
        _note(ctx, e, before, FIELD_STAYS)
    if entry_encoding(e) != ENC_TABLE:
        return _put_small(ctx, e, field, value, n, expiry)
    if not _steady(ctx, e):
        _drop_due(ctx, e, field)
    before = fields_expire(e)
    put = pairs_put(_pairs(e), field.p, field.n, value, n, expiry)
    if put == PAIR_NO_MEMORY:
        raise MemoryError
    _note(ctx, e, before, expiry)
    return put == PAIR_ADDED


@cython.cfunc
@cython.exceptval(-1, check=False)
def _put_small(ctx: Context, e: bytep, field: const_arg_p, value: const_bytes, n: cython.Py_ssize_t,
               expiry: int64_t) -> cython.bint:
    """hash_put of a small hash, in which an expiry has room if there is one."""
    old: cython.bint = fields_expire(e)
    lp: bytep = _lp(e)
    p: bytep = lp_find(lp, lp_first(lp), field.p, field.n, _width(e) - 1)
    key: View
    text: View
    if p != cython.NULL:
        if old and expiry != FIELD_KEEPS_EXPIRY:
            hash_expire(ctx, e, field, expiry)
            lp = _lp(e)
            p = lp_find(lp, lp_first(lp), field.p, field.n, 2)
        lp = lp_insert(lp, lp_next(lp, p), LP_REPLACE, value, n, cython.NULL)
        if lp == cython.NULL:
            raise MemoryError
        entry_set_body(e, lp)
        return False
    if lp_length(lp) // _width(e) >= ctx.hash_max_entries:
        _convert(e, ENC_TABLE)
        _note(ctx, e, old, FIELD_STAYS)
        return hash_put(ctx, e, field, value, n, expiry)
    if old:
        key.p, key.n, text.p, text.n = field.p, field.n, value, n
        return _append_small(ctx, e, cython.address(key), cython.address(text), expiry)
    lp = lp_append_pair(lp, field.p, field.n, value, n)
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _append_small(ctx: Context, e: bytep, field: view_p, value: view_p, expiry: int64_t) -> cython.bint:
    """A new field of a small hash with expiries. True; MemoryError."""
    lp: bytep = lp_append_pair(_lp(e), field.p, field.n, value.p, value.n)
    digits: uint8_t[24]
    longer: bytep
    if lp == cython.NULL:
        raise MemoryError
    longer = lp_append(lp, digits, format_int(digits, max(expiry, 0)))
    entry_set_body(e, longer if longer != cython.NULL else lp_delete(lp, lp_seek(lp, -2), 2, cython.NULL))
    if longer == cython.NULL:
        raise MemoryError
    _note(ctx, e, True, expiry)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_expire(ctx: Context, e: bytep, field: const_arg_p, expiry: int64_t) -> cython.int:
    """Give a field that is there an expiry (Unix ms), or none (FIELD_STAYS). MemoryError, and nothing is changed then
    (but perhaps the form)."""
    digits: uint8_t[24]
    before: cython.bint = fields_expire(e)
    lp: bytep
    p: bytep
    if entry_encoding(e) == ENC_TABLE:
        if pairs_expire(_pairs(e), field.p, field.n, expiry) == PAIR_NO_MEMORY:
            raise MemoryError
        _note(ctx, e, before, expiry)
        return 0
    if entry_encoding(e) == ENC_LISTPACK:
        _convert(e, ENC_LISTPACK_EX)
    lp = _lp(e)
    p = lp_find(lp, lp_first(lp), field.p, field.n, 2)
    lp = lp_insert(lp, lp_next(lp, lp_next(lp, p)), LP_REPLACE, digits, format_int(digits, max(expiry, 0)), cython.NULL)
    if lp != cython.NULL:
        entry_set_body(e, lp)
    _note(ctx, e, before, expiry)
    if lp == cython.NULL:
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_remove(ctx: Context, e: bytep, field: const_arg_p) -> cython.bint:
    """Take a field out; whether it was there. MemoryError, and nothing is changed then."""
    lp: bytep
    p: bytep
    before: cython.bint
    done: cython.bint
    if entry_encoding(e) == ENC_TABLE:
        if not _steady(ctx, e):
            _drop_due(ctx, e, field)
        before = fields_expire(e)
        done = pairs_remove(_pairs(e), field.p, field.n)
        if before:
            _note(ctx, e, before, FIELD_STAYS)
        return done
    lp = _lp(e)
    p = lp_find(lp, lp_first(lp), field.p, field.n, _width(e) - 1)
    if p == cython.NULL:
        return False
    lp = lp_delete(lp, p, _width(e), cython.NULL)
    if lp == cython.NULL:
        raise MemoryError
    entry_set_body(e, lp)
    return True


# ---- walking

Shown = cython.struct(ctx=cython.p_void, fields=cython.bint, values=cython.bint, now_ms=int64_t)


@cython.cfunc
@cython.exceptval(check=False)
def _show_pair(context: cython.p_void, pair: bytep) -> cython.int:
    """Visitor: reply with what is wanted of a pair. A failure of the reply's memory is kept in the context."""
    shown: cython.pointer(Shown) = cython.cast(cython.pointer(Shown), context)
    ctx: Context
    if shown.ctx == cython.NULL or pair_due(pair, shown.now_ms):
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
def hash_reply(ctx: Context, e: bytep, fields: cython.bint, values: cython.bint) -> cython.int:
    """Reply with all fields, all values, or both, without a head; `e` may be NULL."""
    shown: Shown
    lp: bytep
    p: bytep
    ex: cython.bint
    if e == cython.NULL:
        return 0
    if entry_encoding(e) != ENC_TABLE:
        lp = _lp(e)
        p = lp_first(lp)
        ex = _width(e) == 3
        while p != cython.NULL:
            if fields:
                _reply_element(ctx, p)
            p = lp_next(lp, p)
            if values:
                _reply_element(ctx, p)
            p = lp_next(lp, p)
            if ex:
                p = lp_next(lp, p)
        return 0
    shown.ctx = cython.cast(cython.p_void, ctx)
    shown.fields = fields
    shown.values = values
    shown.now_ms = ctx.keyspace.now_ms
    table_walk(cython.address(_pairs(e).t), _show_pair, cython.address(shown))
    if shown.ctx == cython.NULL:
        raise MemoryError
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _reply_element(ctx: Context, p: bytep) -> cython.int:
    v: LpValue
    lp_get(p, cython.address(v))
    if v.p == cython.NULL:
        return ctx.reply.bulk_int(v.number)
    return ctx.reply.bulk(v.p, v.n)


@cython.cfunc
def hash_items(ctx: Context, e: bytep) -> list:
    """All (field, value, expiry in Unix ms or -1) that are not due."""
    items: list = value_ops(TYPE_HASH, entry_encoding(e)).items(entry_body(e))
    if _steady(ctx, e):
        return items
    return [item for item in items if not 0 <= item[2] < ctx.keyspace.now_ms]


@cython.cfunc
def hash_random(ctx: Context, e: bytep) -> tuple:
    """One of them, at random; None where all are due."""
    pair: bytep
    tries: cython.int
    if entry_encoding(e) != ENC_TABLE:
        return _element_item(e, lp_seek(
            _lp(e), cython.cast(int64_t, random_bits() % cython.cast(uint64_t, hash_length(e))) * _width(e)))
    for tries in range(TRIES):
        pair = table_random(cython.address(_pairs(e).t), random_bits())
        if not pair_due(pair, ctx.keyspace.now_ms):
            return _pair_item(pair)
    items: list = hash_items(ctx, e)
    return items[random_bits() % cython.cast(uint64_t, len(items))] if items else None


# ---- what the keyspace wants of the forms

@cython.cfunc
def _text(p: bytep) -> bytes:
    """An element of a listpack."""
    text: View
    text.n = lp_text(p, text.digits, cython.address(text.p))
    return cython.cast(cython.p_char, text.p)[:text.n]


@cython.cfunc
def _element_item(e: bytep, p: bytep) -> tuple:
    """The field at this place of a small hash."""
    v: LpValue
    value: bytep = lp_next(_lp(e), p)
    v.number = FIELD_STAYS
    if _width(e) == 3:
        lp_get(lp_next(_lp(e), value), cython.address(v))
    return (_text(p), _text(value), v.number or FIELD_STAYS)


@cython.cfunc
def _pair_item(pair: bytep) -> tuple:
    return (cython.cast(cython.p_char, pair_key(pair))[:pair_key_len(pair)],
            cython.cast(cython.p_char, pair_value(pair))[:pair_value_len(pair)], pair_expiry(pair))


@cython.cfunc
def _flat(lp: bytep) -> list:
    p: bytep = lp_first(lp)
    flat: list = []
    while p != cython.NULL:
        flat.append(_text(p))
        p = lp_next(lp, p)
    return flat


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _small_length(body: cython.p_void) -> uint64_t:
    return lp_length(cython.cast(bytep, body)) // 2


@cython.cfunc
def _small_items(body: cython.p_void) -> object:
    flat: list = _flat(cython.cast(bytep, body))
    return [(field, value, -1) for field, value in zip(flat[::2], flat[1::2])]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _ex_length(body: cython.p_void) -> uint64_t:
    return lp_length(cython.cast(bytep, body)) // 3


@cython.cfunc
def _ex_items(body: cython.p_void) -> object:
    flat: list = _flat(cython.cast(bytep, body))
    return [(field, value, int(when) or -1) for field, value, when in zip(flat[::3], flat[1::3], flat[2::3])]


@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_flat(lp: bytep, width: cython.int) -> cython.int:
    assert lp_valid(lp, lp_bytes(lp)) and lp_length(lp) % width == 0, "a small hash is damaged"
    assert len(set(_flat(lp)[::width])) == lp_length(lp) // width, "a field is there twice"
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _small_check(body: cython.p_void) -> cython.int:
    return _check_flat(cython.cast(bytep, body), 2)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _ex_check(body: cython.p_void) -> cython.int:
    _check_flat(cython.cast(bytep, body), 3)
    assert all([item[2] != 0 for item in _ex_items(body)]), "a field's expiry is 0"
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
def register_hash_forms() -> cython.int:
    """Tell the keyspace about the three forms."""
    ops: ValueOps
    ops.name = b"listpack"
    ops.packed = True
    ops.length = _small_length
    ops.bytes = lp_body_bytes
    ops.copy = lp_body_copy
    ops.free = lp_body_free
    ops.items = _small_items
    ops.check = _small_check
    value_register(TYPE_HASH, ENC_LISTPACK, cython.address(ops))
    ops.name = b"listpackex"
    ops.length = _ex_length
    ops.items = _ex_items
    ops.check = _ex_check
    value_register(TYPE_HASH, ENC_LISTPACK_EX, cython.address(ops))
    ops.name = b"hashtable"
    ops.packed = False
    ops.length = pairs_length
    ops.bytes = pairs_bytes
    ops.copy = pairs_copy
    ops.free = pairs_free
    ops.items = _large_items
    ops.check = pairs_check
    return value_register(TYPE_HASH, ENC_TABLE, cython.address(ops))
