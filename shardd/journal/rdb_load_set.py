"""Sets of RDB data: members one by one, in a listpack, or an intset as it is.

Invariant: whatever is raised, the body under construction is whole and is the Build's, whose maker frees it.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint8_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.rdb_in import RdbSource
from cython.cimports.shardd.journal.rdb_load_build import (
    BUILD_ROOM, Build, Thresholds, Value, build_adopt, build_become, build_begin, build_keep, build_lp, build_seen,
    build_table, value_more)
from cython.cimports.shardd.journal.rdb_load_packed import ITEMS_LISTPACK, items_next, items_open
from cython.cimports.shardd.keyspace.entry import ENC_INTSET, ENC_LISTPACK, ENC_TABLE, TYPE_SET, View
from cython.cimports.shardd.keyspace.values import value_dispose
from cython.cimports.shardd.structures.intset import (
    intset_copy, intset_find, intset_get, intset_insert, intset_length, intset_new, intset_valid)
from cython.cimports.shardd.structures.listpack import lp_append, lp_bytes, lp_first, lp_new, lp_next, lp_text
from cython.cimports.shardd.structures.number import format_int, parse_int64
from cython.cimports.shardd.structures.pairs import (
    PAIR_NO_EXPIRY, PAIR_NO_MEMORY, PAIR_REPLACED, Pairs, pairs_new, pairs_put)

from shardd.base import limits

build_p = cython.typedef(cython.pointer(Build))
value_p = cython.typedef(cython.pointer(Value))
view_p = cython.typedef(cython.pointer(View))
pairs_p = cython.typedef(cython.pointer(Pairs))

LISTPACK_MAX = cython.declare(int64_t, limits.LISTPACK_BYTES_MAX)


@cython.cfunc
@cython.exceptval(check=False)
def _set_limits(b: build_p, t: Thresholds) -> cython.void:
    b.type = TYPE_SET
    b.width = 1
    b.max_entries = t.set_max_entries
    b.max_value = t.set_max_value


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_open(b: build_p, t: Thresholds, count: int64_t, integers: cython.bint) -> cython.int:
    """Begin a set of so many members. integers: an intset as long as all are integers."""
    _set_limits(b, t)
    if integers and count <= t.set_max_intset:
        return build_begin(b, ENC_INTSET, intset_new())
    if count <= b.max_entries:
        return build_begin(b, ENC_LISTPACK, lp_new())
    return build_table(b, count)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_convert(b: build_p, encoding: uint32_t) -> cython.int:
    """Make an intset a listpack, or either of them a table."""
    v: View
    i: uint32_t
    p: bytep = cython.NULL
    other: Build
    old: bytep = build_lp(b)
    done: cython.bint = False
    memset(cython.address(other), 0, cython.sizeof(Build))
    build_begin(cython.address(other), encoding, pairs_new() if encoding == ENC_TABLE
           else cython.cast(cython.p_void, lp_new()))
    try:
        if b.encoding == ENC_INTSET:
            for i in range(intset_length(old)):
                v.n = format_int(v.digits, intset_get(old, i))
                v.p = v.digits
                _set_add(cython.address(other), cython.address(v))
        else:
            p = lp_first(old)
            while p != cython.NULL:
                v.n = lp_text(p, v.digits, cython.address(v.p))
                _set_add(cython.address(other), cython.address(v))
                p = lp_next(old, p)
        done = True
    finally:
        if not done:
            value_dispose(TYPE_SET, encoding, other.body)
    free(b.seen)
    b.seen = cython.NULL
    return build_become(b, encoding, other.body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_add(b: build_p, v: view_p) -> cython.int:
    """Add a member to a listpack or a table; PAIR_REPLACED where a table has it already."""
    put: cython.int
    if b.encoding == ENC_TABLE:
        put = pairs_put(cython.cast(pairs_p, b.body), v.p, v.n, v.p, 0, PAIR_NO_EXPIRY)
        if put == PAIR_NO_MEMORY:
            raise MemoryError
        return put
    build_keep(b, lp_append(build_lp(b), v.p, v.n))
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def _packs(b: build_p, n: int64_t) -> cython.bint:
    """Whether a set that is an intset or a listpack may be a listpack with another member of n bytes."""
    digits: uint8_t[24]
    s: bytep = build_lp(b)
    longest: int64_t = n
    if b.count >= b.max_entries:
        return False
    if b.encoding == ENC_INTSET and b.count > 0:
        longest = max(longest, format_int(digits, intset_get(s, 0)))
        longest = max(longest, format_int(digits, intset_get(s, intset_length(s) - 1)))
    elif b.encoding == ENC_LISTPACK and cython.cast(int64_t, lp_bytes(s)) + n + BUILD_ROOM > LISTPACK_MAX:
        return False
    return longest <= b.max_value


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_put(s: RdbSource, b: build_p, v: view_p) -> cython.int:
    """Add a member. RdbError where it is there already."""
    number: int64_t = 0
    rank: uint32_t = 0
    if b.encoding == ENC_INTSET and not parse_int64(v.p, v.n, cython.address(number)):
        _set_convert(b, ENC_LISTPACK if _packs(b, v.n) else ENC_TABLE)
    if b.encoding == ENC_INTSET:
        if intset_find(build_lp(b), number, cython.address(rank)):
            s.fail("a set has a member twice")
        build_keep(b, intset_insert(build_lp(b), rank, number))
    else:
        if b.encoding == ENC_LISTPACK and not _packs(b, v.n):
            _set_convert(b, ENC_TABLE)
        if (b.encoding == ENC_LISTPACK and build_seen(b, v)) or _set_add(b, v) == PAIR_REPLACED:
            s.fail("a set has a member twice")
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_stream(s: RdbSource, u: value_p, t: Thresholds) -> cython.int:
    """Begin with members one by one."""
    u.left = s.count(1)
    u.take = _take_member
    return _set_open(cython.address(u.b), t, u.left, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_member(s: RdbSource, u: value_p) -> cython.bint:
    v: View
    if not value_more(u):
        return False
    s.string(cython.address(v))
    _set_put(s, cython.address(u.b), cython.address(v))
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_packed(s: RdbSource, u: value_p, t: Thresholds) -> cython.int:
    """Begin with the members of a listpack."""
    items_open(s, ITEMS_LISTPACK, u.block.p, u.block.n, cython.address(u.items))
    _set_limits(cython.address(u.b), t)
    if build_adopt(cython.address(u.b), cython.address(u.block), u.items.count):
        return 0
    u.take = _take_packed
    return _set_open(cython.address(u.b), t, u.items.count, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_packed(s: RdbSource, u: value_p) -> cython.bint:
    v: View
    if not items_next(cython.address(u.items), cython.address(v)):
        return False
    _set_put(s, cython.address(u.b), cython.address(v))
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_intset(s: RdbSource, u: value_p, t: Thresholds) -> cython.int:
    """Take an intset as it is; or begin with a table, where it has more members than one may have."""
    u.b.type = TYPE_SET
    if not intset_valid(u.block.p, u.block.n):
        s.fail("an intset is damaged")
    u.left = intset_length(cython.cast(bytep, u.block.p))
    if u.left > t.set_max_intset:
        u.take = _take_integer
        return build_table(cython.address(u.b), u.left)
    build_begin(cython.address(u.b), ENC_INTSET, intset_copy(cython.cast(bytep, u.block.p)))
    u.b.count = u.left
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_integer(s: RdbSource, u: value_p) -> cython.bint:
    v: View
    if not value_more(u):
        return False
    v.n = format_int(v.digits, intset_get(cython.cast(bytep, u.block.p), cython.cast(uint32_t, u.b.count)))
    v.p = v.digits
    _set_add(cython.address(u.b), cython.address(v))
    u.b.count += 1
    return True
