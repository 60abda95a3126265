"""The two forms of a list, and what all commands need of them: look, walk, add, take out.

    listpack      one packed block                   list-max-listpack-size: its bytes (negative) or elements (positive)
    quicklist     a chain of them                    structures/quicklist

    listpack ---- what is to be added goes beyond the limit ----> quicklist
    listpack <--- one node, and half the limit at most ---------- quicklist, after something was taken out

What OBJECT ENCODING calls a listpack has a listpack's elements, but room at both ends instead of its frame
(structures/packed). Whether a command's arguments fit is decided before the first is added, by the bytes of their
strings, as in Redis 7.2 (t_list.c, listTypeTryConversionRaw).

Functions take the entry, which need not be in a database. Invariant: a listpack's block is never above what a block may
hold, whatever the option says.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memcmp
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import (
    ENC_LISTPACK, ENC_QUICKLIST, TYPE_LIST, View, entry_body, entry_encoding, entry_new, entry_set_body,
    entry_set_encoding)
from cython.cimports.shardd.keyspace.values import ValueOps, value_dispose, value_register
from cython.cimports.shardd.structures.list_edit import ql_delete, ql_insert, ql_remove, ql_replace
from cython.cimports.shardd.structures.list_nodes import Quicklist, ql_exceeds, ql_limits
from cython.cimports.shardd.structures.listpack import LpNeedle, LpValue, lp_before, lp_matches, lp_skip, lp_text
from cython.cimports.shardd.structures.packed import (
    PK_ELEMENTS_MAX, PK_FRAME, Packed, pk_begin, pk_body_bytes, pk_body_check, pk_body_copy, pk_body_free,
    pk_body_items, pk_body_length, pk_delete, pk_drop, pk_end, pk_free, pk_insert, pk_new, pk_push, pk_replace, pk_seek,
    pk_trim)
from cython.cimports.shardd.structures.quicklist import (
    QlIter, ql_adopt, ql_bytes, ql_check, ql_copy, ql_drop, ql_end, ql_free, ql_free_shell, ql_items, ql_iter,
    ql_iter_packed, ql_length, ql_new, ql_next, ql_peek, ql_push, ql_single, ql_value)
from cython.cimports.shardd.structures.number import format_int
from cython.cimports.shardd.wire.reply import Reply

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
packed_p = cython.typedef(cython.pointer(Packed))
quicklist_p = cython.typedef(cython.pointer(Quicklist))
iter_p = cython.typedef(cython.pointer(QlIter))
view_p = cython.typedef(cython.pointer(View))

FIELDS_MAX = cython.declare(cython.size_t, 10)      # bytes of an element in a block beside its string


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _small(e: bytep) -> cython.bint:
    return entry_encoding(e) == ENC_LISTPACK


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _block(e: bytep) -> packed_p:
    return cython.cast(packed_p, entry_body(e))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _chain(e: bytep) -> quicklist_p:
    return cython.cast(quicklist_p, entry_body(e))


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _keep(e: bytep, b: packed_p) -> cython.int:
    """A small list's block after a change; NULL: there was no memory for it."""
    if b == cython.NULL:
        raise MemoryError
    entry_set_body(e, b)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def list_length(e: bytep) -> int64_t:
    """How many elements; 0 where there is no list."""
    if e == cython.NULL:
        return 0
    return _block(e).count if _small(e) else cython.cast(int64_t, _chain(e).count)


# ---- the form

@cython.cfunc
def list_open(ctx: Context, k: cython.pointer(Key), n: cython.size_t, front: cython.bint) -> bytep:
    """A new key with an empty list that has room for `n` bytes of elements at its head (front) or tail."""
    if n > PK_ELEMENTS_MAX:
        n = 0
    return ctx.db.add_collection(k, TYPE_LIST, ENC_LISTPACK, pk_new(n, front))


@cython.cfunc
def list_entry_new(ctx: Context, key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> bytep:
    """An entry of an empty list under this key, in no database."""
    e: bytep
    b: packed_p = pk_new(0, False)
    if b == cython.NULL:
        raise MemoryError
    e = entry_new(key, n, 8, -1, TYPE_LIST, ENC_LISTPACK, ctx.keyspace.access_clock)
    if e == cython.NULL:
        pk_free(b)
        raise MemoryError
    entry_set_body(e, b)
    return e


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_append(ctx: Context, e: bytep, p: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> cython.int:
    """Add an element at the tail, whatever the form."""
    list_grow(ctx, e, n, 1)
    return list_push(e, False, p, n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _to_chain(ctx: Context, e: bytep) -> cython.int:
    b: packed_p = _block(e)
    q: quicklist_p = ql_new(ctx.list_max_size, ctx.list_depth)
    if q == cython.NULL:
        raise MemoryError
    if b.count == 0:
        pk_free(b)
    elif not ql_adopt(q, b):
        ql_free_shell(q)
        raise MemoryError
    entry_set_body(e, q)
    entry_set_encoding(e, ENC_QUICKLIST)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_grow(ctx: Context, e: bytep, n: cython.size_t, count: int64_t) -> cython.int:
    """Before `count` elements of `n` bytes in all are added: have the form that a list of that size has."""
    b: packed_p = _block(e)
    if _small(e) and (ql_exceeds(ctx.list_max_size, PK_FRAME + b.size + n, b.count + count)
                      or b.size + n + count * FIELDS_MAX > PK_ELEMENTS_MAX):
        _to_chain(ctx, e)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _to_block(ctx: Context, e: bytep, part: cython.int) -> cython.void:
    """Make a chain of one node a listpack, where that is no more than the `part`-th of the limit."""
    size_max: cython.size_t
    count_max: uint64_t
    b: packed_p = ql_single(_chain(e))
    if b == cython.NULL:
        return
    ql_limits(ctx.list_max_size, cython.address(size_max), cython.address(count_max))
    if b.size + PK_FRAME > size_max // part or b.count > count_max // part:
        return
    ql_free_shell(_chain(e))
    entry_set_body(e, pk_trim(b))
    entry_set_encoding(e, ENC_LISTPACK)


@cython.cfunc
@cython.exceptval(check=False)
def list_shrink(ctx: Context, e: bytep) -> cython.void:
    """After something was taken out: have the form that a list of that size has."""
    if not _small(e):
        _to_block(ctx, e, 2)


@cython.cfunc
@cython.exceptval(check=False)
def list_close(ctx: Context, e: bytep) -> cython.void:
    """The form of a list that has been made element by element."""
    if not _small(e):
        _to_block(ctx, e, 1)


# ---- the ends

@cython.cfunc
@cython.exceptval(-1, check=False)
def list_push(e: bytep, front: cython.bint, p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
    """Add an element at the head or the tail; list_grow has been called."""
    b: packed_p
    if _small(e):
        b = pk_push(_block(e), front, p, n, False)
        if b == cython.NULL:
            raise MemoryError
        entry_set_body(e, b)
        return 0
    if not ql_push(_chain(e), front, p, n):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_peek(e: bytep, front: cython.bint, v: view_p) -> cython.int:
    """The first or the last element of a list that has one, good until the list changes."""
    b: packed_p
    value: LpValue
    if _small(e):
        b = _block(e)
        v.n = lp_text(pk_begin(b) if front else lp_before(pk_end(b)), v.digits, cython.address(v.p))
        return 0
    if not ql_peek(_chain(e), front, cython.address(value)):
        raise MemoryError
    v.p = value.p
    v.n = value.n
    if value.p == cython.NULL:
        v.p = v.digits
        v.n = format_int(v.digits, value.number)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def list_drop(e: bytep, front: cython.bint) -> cython.void:
    """Take out what list_peek has shown."""
    if _small(e):
        entry_set_body(e, pk_drop(_block(e), front, False))
    else:
        ql_drop(_chain(e), front)


# ---- walking

@cython.cfunc
@cython.exceptval(-1, check=False)
def list_iter(e: bytep, index: int64_t, back: cython.bint, write: cython.bint, it: iter_p) -> cython.bint:
    """Stand at the element of this index, from 0; whether it is there. ql_end must follow."""
    found: cython.bint
    if _small(e):
        return ql_iter_packed(_block(e), index, back, it)
    found = ql_iter(_chain(e), index, back, write, it)
    if it.failed:
        raise MemoryError
    return found


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_next(it: iter_p) -> cython.bint:
    """To the next element; whether there is one."""
    more: cython.bint = ql_next(it)
    if it.failed:
        raise MemoryError
    return more


@cython.cfunc
@cython.exceptval(check=False)
def list_text(it: iter_p, v: view_p) -> cython.void:
    """The element as bytes."""
    value: LpValue
    if it.b != cython.NULL:
        v.n = lp_text(it.p, v.digits, cython.address(v.p))
    else:
        ql_value(it, cython.address(value))
        v.p = value.p
        v.n = value.n


@cython.cfunc
@cython.exceptval(check=False)
def list_matches(it: iter_p, needle: cython.pointer(LpNeedle)) -> cython.bint:
    """Whether the element is what is looked for."""
    value: LpValue
    if it.b != cython.NULL:
        return lp_matches(it.p, needle)
    ql_value(it, cython.address(value))
    return value.n == needle.n and memcmp(value.p, needle.p, value.n) == 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_reply(ctx: Context, e: bytep, start: int64_t, count: int64_t, back: cython.bint) -> cython.int:
    """Reply with `count` elements, which must be there, from index `start` on, to the head if `back`."""
    reply: Reply = ctx.reply
    it: QlIter
    v: View
    p: bytep
    n: cython.Py_ssize_t
    if count <= 0:
        return 0
    list_iter(e, start, back, False, cython.address(it))
    try:
        while True:
            if it.b != cython.NULL and not back:
                # forwards through one block: the common case
                p = it.p
                while count > 0 and p != pk_end(it.b):
                    if p[0] & 192 == 128:
                        n = p[0] & 63
                        reply.bulk(p + 1, n)
                        p += n + 2
                    else:
                        v.n = lp_text(p, v.digits, cython.address(v.p))
                        reply.bulk(v.p, v.n)
                        p = lp_skip(p)
                    it.p = p
                    count -= 1
                if count == 0:
                    break
                it.p = lp_before(it.p)
            else:
                list_text(cython.address(it), cython.address(v))
                reply.bulk(v.p, v.n)
                count -= 1
                if count == 0:
                    break
            list_next(cython.address(it))
    finally:
        ql_end(cython.address(it))
    return 0


@cython.cfunc
def list_range(e: bytep, start: int64_t, count: int64_t) -> list:
    """Up to `count` elements from index `start` on, as bytes."""
    it: QlIter
    v: View
    found: list = []
    more: cython.bint = list_iter(e, start, False, False, cython.address(it))
    try:
        while more and count > 0:
            list_text(cython.address(it), cython.address(v))
            found.append(cython.cast(cython.p_char, v.p)[:v.n])
            count -= 1
            more = list_next(cython.address(it))
    finally:
        ql_end(cython.address(it))
    return found


# ---- changes in the middle

@cython.cfunc
@cython.exceptval(-1, check=False)
def list_insert(e: bytep, it: iter_p, after: cython.bint, p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
    """Add an element before or after the one where the iterator stands, which ends."""
    if _small(e):
        return _keep(e, pk_insert(it.b, (lp_skip(it.p) if after else it.p) - pk_begin(it.b), p, n, False))
    if not ql_insert(it, after, p, n):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_replace(e: bytep, it: iter_p, p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
    """Put another element in the place of the one where the iterator stands, which ends."""
    if _small(e):
        return _keep(e, pk_replace(it.b, it.p - pk_begin(it.b), p, n, False))
    if not ql_replace(it, p, n):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_remove(e: bytep, it: iter_p) -> cython.bint:
    """Take out the element where the iterator stands; whether there is another one, where it stands then."""
    more: cython.bint
    at: cython.size_t
    if _small(e):
        at = it.p - pk_begin(it.b)
        it.b = pk_delete(it.b, at, 1, False)
        entry_set_body(e, it.b)
        if it.back:
            it.p = pk_begin(it.b) + at
            return ql_next(it)
        it.p = pk_begin(it.b) + at
        return it.p != pk_end(it.b)
    more = ql_remove(it)
    if it.failed:
        raise MemoryError
    return more


@cython.cfunc
@cython.exceptval(-1, check=False)
def list_delete(e: bytep, start: int64_t, count: int64_t) -> cython.int:
    """Take out `count` elements from index `start` on; memory of many is given back in steps."""
    gone: quicklist_p
    b: packed_p
    done: cython.bint
    if count <= 0:
        return 0
    if _small(e):
        b = _block(e)
        entry_set_body(e, pk_delete(b, pk_seek(b, start) - pk_begin(b), count, False))
        return 0
    done = ql_delete(_chain(e), start, count, cython.address(gone))
    if gone != cython.NULL:
        value_dispose(TYPE_LIST, ENC_QUICKLIST, gone)
    if not done:
        raise MemoryError
    return 0


# ---- what the keyspace wants of the two forms

@cython.cfunc
@cython.exceptval(-1, check=False)
def register_list_forms() -> cython.int:
    """Tell the keyspace about both."""
    small: ValueOps
    large: ValueOps
    small.name = b"listpack"
    small.packed = True
    small.length = pk_body_length
    small.bytes = pk_body_bytes
    small.copy = pk_body_copy
    small.free = pk_body_free
    small.items = pk_body_items
    small.check = pk_body_check
    large.name = b"quicklist"
    large.packed = False
    large.length = ql_length
    large.bytes = ql_bytes
    large.copy = ql_copy
    large.free = ql_free
    large.items = ql_items
    large.check = ql_check
    value_register(TYPE_LIST, ENC_LISTPACK, cython.address(small))
    return value_register(TYPE_LIST, ENC_QUICKLIST, cython.address(large))
