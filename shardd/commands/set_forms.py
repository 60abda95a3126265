"""The three forms of a set, and what all commands need of them: look, add, remove, walk, choose at random.

    intset        integers, sorted                                   set-max-intset-entries
    listpack      members one after another                          set-max-listpack-entries, set-max-listpack-value
    hashtable     structures/pairs with empty values

    integers only ----- too many ------------------------.
         |                                               v
         '-- another member --> listpack -- too many --> hashtable
                                            or too long

A set never goes back by itself; SINTERSTORE makes an intset of what turned out to be integers. When a set is made, or
SADD names many members, the number of arguments decides at once, as in Redis 7.2, whether or not all are different.

Functions take the entry, which need not be in a database. Invariant: a member is in a set once; it is an integer in an
intset or a listpack where it is one in canonical form.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.gather import gather_scan
from cython.cimports.shardd.commands.set_forms import Members
from cython.cimports.shardd.keyspace.entry import (
    ENC_INTSET, ENC_LISTPACK, ENC_TABLE, TYPE_SET, View, entry_body, entry_encoding, entry_new, entry_set_body,
    entry_set_encoding)
from cython.cimports.shardd.keyspace.values import ValueOps, value_dispose, value_ops, value_register
from cython.cimports.shardd.structures.intset import (
    intset_body_bytes, intset_body_copy, intset_body_free, intset_bytes, intset_delete, intset_find, intset_get,
    intset_insert, intset_length, intset_new, intset_valid)
from cython.cimports.shardd.structures.listpack import (
    LpValue, lp_append, lp_body_bytes, lp_body_copy, lp_body_free, lp_bytes, lp_delete, lp_find, lp_first, lp_get,
    lp_length, lp_new, lp_next, lp_seek, lp_valid)
from cython.cimports.shardd.structures.number import format_int, parse_int64
from cython.cimports.shardd.structures.pairs import (
    PAIR_ADDED, PAIR_NO_EXPIRY, PAIR_NO_MEMORY, Pairs, pair_key, pairs_bytes, pairs_check, pairs_copy, pairs_find,
    pairs_free, pairs_length, pairs_new, pairs_put, pairs_remove)
from cython.cimports.shardd.structures.random import random_bits
from cython.cimports.shardd.structures.table import pair_key_len, table_random
from cython.cimports.shardd.wire.request import Arg

from shardd.base import limits

const_arg_p = cython.typedef(cython.pointer(cython.const[Arg]))
members_p = cython.typedef(cython.pointer(Members))
pairs_p = cython.typedef(cython.pointer(Pairs))
value_p = cython.typedef(cython.pointer(LpValue))

INTSET_MAX = cython.declare(int64_t, 1 << 30)           # members, whatever the option says, as in Redis
LISTPACK_MAX = cython.declare(int64_t, limits.LISTPACK_BYTES_MAX)
ROOM = cython.declare(int64_t, 32)                      # more than an element takes besides its bytes
STEP = cython.declare(int64_t, 256)                     # members of a table that a walk looks up at a time


# ---- members

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def member_of(v: value_p, arg: const_arg_p) -> cython.void:
    """An argument as a member."""
    v.p = arg.p
    v.n = arg.n


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _text_of(v: value_p, text: cython.pointer(View)) -> cython.void:
    """A member as bytes; integers are printed into the view."""
    if v.p != cython.NULL:
        text.p = v.p
        text.n = v.n
    else:
        text.n = format_int(text.digits, v.number)
        text.p = text.digits


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def member_number(v: value_p, number: cython.pointer(int64_t)) -> cython.bint:
    """Whether it is an integer in canonical form, and which."""
    if v.p == cython.NULL:
        number[0] = v.number
        return True
    return parse_int64(v.p, v.n, number)


@cython.cfunc
def member_bytes(v: value_p) -> bytes:
    """A copy."""
    text: View
    _text_of(v, cython.address(text))
    return cython.cast(cython.p_char, text.p)[:text.n]


@cython.cfunc
@cython.exceptval(-1, check=False)
def reply_member(ctx: Context, v: value_p) -> cython.int:
    """Reply with it, as a bulk string."""
    if v.p == cython.NULL:
        return ctx.reply.bulk_int(v.number)
    return ctx.reply.bulk(v.p, v.n)


# ---- looking

@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _block(e: bytep) -> bytep:
    """The listpack or intset."""
    return cython.cast(bytep, entry_body(e))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _pairs(e: bytep) -> pairs_p:
    return cython.cast(pairs_p, entry_body(e))


@cython.cfunc
@cython.exceptval(check=False)
def set_length(e: bytep) -> int64_t:
    """How many members; 0 where there is no set."""
    if e == cython.NULL:
        return 0
    return cython.cast(int64_t, value_ops(TYPE_SET, entry_encoding(e)).length(entry_body(e)))


@cython.cfunc
@cython.exceptval(check=False)
def set_has(e: bytep, v: value_p) -> cython.bint:
    """Whether the set (NULL: none) has the member."""
    number: int64_t
    rank: uint32_t
    text: View
    if e == cython.NULL:
        return False
    if entry_encoding(e) == ENC_INTSET:
        return member_number(v, cython.address(number)) and intset_find(_block(e), number, cython.address(rank))
    _text_of(v, cython.address(text))
    if entry_encoding(e) == ENC_LISTPACK:
        return lp_find(_block(e), lp_first(_block(e)), text.p, text.n, 0) != cython.NULL
    return pairs_find(_pairs(e), text.p, text.n) != cython.NULL


@cython.cfunc
@cython.exceptval(check=False)
def set_random(e: bytep, v: value_p) -> cython.void:
    """One of the set's members, at random; it must have one."""
    pair: bytep
    if entry_encoding(e) == ENC_TABLE:
        pair = table_random(cython.address(_pairs(e).t), random_bits())
        v.p = pair_key(pair)
        v.n = pair_key_len(pair)
    elif entry_encoding(e) == ENC_INTSET:
        v.p = cython.NULL
        v.number = intset_get(_block(e), cython.cast(uint32_t, random_bits() % intset_length(_block(e))))
    else:
        lp_get(lp_seek(_block(e), cython.cast(int64_t, random_bits() % lp_length(_block(e)))), v)


# ---- walking

@cython.cfunc
@cython.exceptval(check=False)
def members_start(m: members_p, encoding: uint32_t, body: cython.p_void) -> cython.void:
    """Begin a walk."""
    memset(m, 0, cython.sizeof(Members))
    m.encoding = encoding
    m.body = body
    m.scan.count = STEP
    if encoding == ENC_LISTPACK:
        m.p = lp_first(cython.cast(bytep, body))


@cython.cfunc
@cython.exceptval(-1, check=False)
def members_next(m: members_p, v: value_p) -> cython.bint:
    """The next member, in no order but an intset's; False at the end. MemoryError."""
    block: bytep = cython.cast(bytep, m.body)
    if m.encoding == ENC_LISTPACK:
        if m.p == cython.NULL:
            return False
        lp_get(m.p, v)
        m.p = lp_next(block, m.p)
        return True
    if m.encoding == ENC_INTSET:
        if m.rank == intset_length(block):
            return False
        v.p = cython.NULL
        v.number = intset_get(block, m.rank)
        m.rank += 1
        return True
    while m.at == m.found.n:
        if m.begun and m.scan.cursor == 0:
            return False
        m.begun = True
        members_end(m)
        gather_scan(cython.address(cython.cast(pairs_p, m.body).t), cython.address(m.scan), cython.address(m.found))
        m.at = 0
    v.p = pair_key(m.found.pairs[m.at])
    v.n = pair_key_len(m.found.pairs[m.at])
    m.at += 1
    return True


@cython.cfunc
@cython.exceptval(check=False)
def members_end(m: members_p) -> cython.void:
    """Free what the walk holds."""
    free(m.found.pairs)
    m.found.pairs = cython.NULL


@cython.cfunc
def _items(encoding: uint32_t, body: cython.p_void) -> list:
    m: Members
    v: LpValue
    found: list = []
    members_start(cython.address(m), encoding, body)
    try:
        while members_next(cython.address(m), cython.address(v)):
            found.append(member_bytes(cython.address(v)))
    finally:
        members_end(cython.address(m))
    return found


@cython.cfunc
def set_items(e: bytep) -> list:
    """All members."""
    return _items(entry_encoding(e), entry_body(e))


@cython.cfunc
@cython.exceptval(-1, check=False)
def reply_members(ctx: Context, e: bytep) -> cython.int:
    """Reply with all members of a set (NULL: none), without a head."""
    m: Members
    v: LpValue
    if e == cython.NULL:
        return 0
    members_start(cython.address(m), entry_encoding(e), entry_body(e))
    try:
        while members_next(cython.address(m), cython.address(v)):
            reply_member(ctx, cython.address(v))
    finally:
        members_end(cython.address(m))
    return 0


# ---- forms

@cython.cfunc
@cython.exceptval(check=False)
def set_form_for(ctx: Context, first: value_p, count: int64_t) -> uint32_t:
    """The form of a set that begins with this member and may get so many."""
    number: int64_t
    if count <= ctx.set_max_intset and member_number(first, cython.address(number)):
        return ENC_INTSET
    return ENC_LISTPACK if count <= ctx.set_max_entries else ENC_TABLE


@cython.cfunc
@cython.exceptval(check=False)
def set_body_new(encoding: uint32_t) -> cython.p_void:
    """An empty one; NULL without memory."""
    if encoding == ENC_INTSET:
        return intset_new()
    if encoding == ENC_LISTPACK:
        return lp_new()
    return pairs_new()


@cython.cfunc
def set_entry_new(ctx: Context, key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t,
                  encoding: uint32_t) -> bytep:
    """An entry with an empty set that is in no database; MemoryError."""
    e: bytep
    body: cython.p_void = set_body_new(encoding)
    if body == cython.NULL:
        raise MemoryError
    e = entry_new(key, n, 8, -1, TYPE_SET, encoding, ctx.keyspace.access_clock)
    if e == cython.NULL:
        value_dispose(TYPE_SET, encoding, body)
        raise MemoryError
    entry_set_body(e, body)
    return e


@cython.cfunc
@cython.exceptval(check=False)
def _put(encoding: uint32_t, body: cython.pp_void, v: value_p) -> cython.bint:
    """Put a member that is absent into a body, whatever the thresholds say; False without memory."""
    text: View
    number: int64_t = 0
    rank: uint32_t = 0
    fresh: bytep
    block: bytep = cython.cast(bytep, body[0])
    if encoding == ENC_INTSET:
        member_number(v, cython.address(number))
        intset_find(block, number, cython.address(rank))
        fresh = intset_insert(block, rank, number)
    else:
        _text_of(v, cython.address(text))
        if encoding == ENC_TABLE:
            return pairs_put(cython.cast(pairs_p, body[0]), text.p, text.n, text.p, 0, PAIR_NO_EXPIRY) == PAIR_ADDED
        fresh = lp_append(block, text.p, text.n)
    if fresh == cython.NULL:
        return False
    body[0] = fresh
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_convert(e: bytep, encoding: uint32_t) -> cython.int:
    """Give a set another form, which must be able to hold its members; MemoryError, and nothing is changed then."""
    m: Members
    v: LpValue
    old: cython.p_void = entry_body(e)
    old_encoding: uint32_t = entry_encoding(e)
    body: cython.p_void = set_body_new(encoding)
    done: cython.bint = False
    if body == cython.NULL:
        raise MemoryError
    members_start(cython.address(m), old_encoding, old)
    try:
        while members_next(cython.address(m), cython.address(v)):
            if not _put(encoding, cython.address(body), cython.address(v)):
                raise MemoryError
        done = True
    finally:
        members_end(cython.address(m))
        if not done:
            value_dispose(TYPE_SET, encoding, body)
    entry_set_body(e, body)
    entry_set_encoding(e, encoding)
    value_dispose(TYPE_SET, old_encoding, old)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_fit(ctx: Context, e: bytep, count: int64_t) -> cython.int:
    """Before so many members are added: make it a table where so many alone would not be packed. MemoryError."""
    if ((entry_encoding(e) == ENC_LISTPACK and count > ctx.set_max_entries)
            or (entry_encoding(e) == ENC_INTSET and count > ctx.set_max_intset)):
        set_convert(e, ENC_TABLE)
    return 0


# ---- changes

@cython.cfunc
@cython.exceptval(check=False)
def _form_with(ctx: Context, e: bytep, n: int64_t) -> uint32_t:
    """The form of an intset that gets a member of n bytes which is no integer."""
    digits: uint8_t[24]
    s: bytep = _block(e)
    length: uint32_t = intset_length(s)
    longest: int64_t = n
    if length > 0:
        longest = max(longest, format_int(digits, intset_get(s, 0)))
        longest = max(longest, format_int(digits, intset_get(s, length - 1)))
    if length < ctx.set_max_entries and longest <= ctx.set_max_value and length * ROOM + n <= LISTPACK_MAX:
        return ENC_LISTPACK
    return ENC_TABLE


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_add(ctx: Context, e: bytep, v: value_p) -> cython.bint:
    """Add a member; whether it is new. MemoryError, and nothing is changed then (but perhaps the form).

    The member must not lie in this set.
    """
    number: int64_t
    rank: uint32_t
    text: View
    put: cython.int
    body: cython.p_void = entry_body(e)
    if entry_encoding(e) == ENC_INTSET:
        if not member_number(v, cython.address(number)):
            set_convert(e, _form_with(ctx, e, v.n))
            return set_add(ctx, e, v)
        if intset_find(_block(e), number, cython.address(rank)):
            return False
        if intset_length(_block(e)) >= min(ctx.set_max_intset, INTSET_MAX):
            set_convert(e, ENC_TABLE)
            return set_add(ctx, e, v)
        body = intset_insert(_block(e), rank, number)
        if body == cython.NULL:
            raise MemoryError
        entry_set_body(e, body)
        return True
    _text_of(v, cython.address(text))
    if entry_encoding(e) == ENC_TABLE:
        put = pairs_put(_pairs(e), text.p, text.n, text.p, 0, PAIR_NO_EXPIRY)
        if put == PAIR_NO_MEMORY:
            raise MemoryError
        return put == PAIR_ADDED
    if lp_find(_block(e), lp_first(_block(e)), text.p, text.n, 0) != cython.NULL:
        return False
    if (lp_length(_block(e)) >= ctx.set_max_entries or text.n > ctx.set_max_value
            or cython.cast(int64_t, lp_bytes(_block(e))) + text.n + ROOM > LISTPACK_MAX):
        set_convert(e, ENC_TABLE)
        return set_add(ctx, e, v)
    if not _put(ENC_LISTPACK, cython.address(body), v):
        raise MemoryError
    entry_set_body(e, body)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_remove(e: bytep, v: value_p) -> cython.bint:
    """Take a member out; whether it was there. MemoryError, and nothing is changed then."""
    number: int64_t
    rank: uint32_t
    text: View
    p: bytep
    block: bytep = _block(e)
    if entry_encoding(e) == ENC_INTSET:
        if not member_number(v, cython.address(number)) or not intset_find(block, number, cython.address(rank)):
            return False
        block = intset_delete(block, rank)
    else:
        _text_of(v, cython.address(text))
        if entry_encoding(e) == ENC_TABLE:
            return pairs_remove(_pairs(e), text.p, text.n)
        p = lp_find(block, lp_first(block), text.p, text.n, 0)
        if p == cython.NULL:
            return False
        block = lp_delete(block, p, 1, cython.NULL)
    if block == cython.NULL:
        raise MemoryError
    entry_set_body(e, block)
    return True


# ---- what the keyspace wants of the three forms

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _intset_length(body: cython.p_void) -> uint64_t:
    return intset_length(cython.cast(bytep, body))


@cython.cfunc
def _intset_items(body: cython.p_void) -> object:
    return _items(ENC_INTSET, body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _intset_check(body: cython.p_void) -> cython.int:
    s: bytep = cython.cast(bytep, body)
    assert intset_valid(s, intset_bytes(s)), "an intset is damaged"
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _packed_length(body: cython.p_void) -> uint64_t:
    return lp_length(cython.cast(bytep, body))


@cython.cfunc
def _packed_items(body: cython.p_void) -> object:
    return _items(ENC_LISTPACK, body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _packed_check(body: cython.p_void) -> cython.int:
    lp: bytep = cython.cast(bytep, body)
    assert lp_valid(lp, lp_bytes(lp)), "a small set is damaged"
    assert len(set(_items(ENC_LISTPACK, body))) == lp_length(lp), "a member is there twice"
    return 0


@cython.cfunc
def _table_items(body: cython.p_void) -> object:
    return _items(ENC_TABLE, body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_set_forms() -> cython.int:
    """Tell the keyspace about the three forms."""
    ops: ValueOps
    ops.name = b"intset"
    ops.length = _intset_length
    ops.packed = True
    ops.bytes = intset_body_bytes
    ops.copy = intset_body_copy
    ops.free = intset_body_free
    ops.items = _intset_items
    ops.check = _intset_check
    value_register(TYPE_SET, ENC_INTSET, cython.address(ops))
    ops.name = b"listpack"
    ops.length = _packed_length
    ops.bytes = lp_body_bytes
    ops.copy = lp_body_copy
    ops.free = lp_body_free
    ops.items = _packed_items
    ops.check = _packed_check
    value_register(TYPE_SET, ENC_LISTPACK, cython.address(ops))
    ops.name = b"hashtable"
    ops.packed = False
    ops.length = pairs_length
    ops.bytes = pairs_bytes
    ops.copy = pairs_copy
    ops.free = pairs_free
    ops.items = _table_items
    ops.check = pairs_check
    return value_register(TYPE_SET, ENC_TABLE, cython.address(ops))
