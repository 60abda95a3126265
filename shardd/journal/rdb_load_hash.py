"""Hashes of RDB data: fields with or without expiries, one by one or in a block (rdb_load_packed).

Invariant: whatever is raised, the body under construction is whole and is the Build's, whose maker frees it.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t, uint8_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.rdb import RDB_TYPE_HASH, RDB_TYPE_HASH_2, RDB_TYPE_HASH_METADATA
from cython.cimports.shardd.journal.rdb_in import HOLD_FIELD, HOLD_VALUE, RdbSource
from cython.cimports.shardd.journal.rdb_load_build import (
    BUILD_ROOM, Build, Thresholds, Value, build_adopt, build_become, build_begin, build_keep, build_lp, build_seen,
    build_table, value_more)
from cython.cimports.shardd.journal.rdb_load_packed import ITEMS_LISTPACK, items_next, items_open
from cython.cimports.shardd.keyspace.entry import ENC_LISTPACK, ENC_LISTPACK_EX, ENC_TABLE, TYPE_HASH, View
from cython.cimports.shardd.keyspace.values import value_dispose
from cython.cimports.shardd.structures.listpack import (
    LpValue, lp_append, lp_append_pair, lp_bytes, lp_first, lp_get, lp_new, lp_next, lp_text)
from cython.cimports.shardd.structures.number import format_int, parse_int64
from cython.cimports.shardd.structures.pairs import (
    PAIR_NO_EXPIRY, PAIR_NO_MEMORY, PAIR_REPLACED, Pairs, pairs_new, pairs_put)

from shardd.base import limits

build_p = cython.typedef(cython.pointer(Build))
value_p = cython.typedef(cython.pointer(Value))
view_p = cython.typedef(cython.pointer(View))
pairs_p = cython.typedef(cython.pointer(Pairs))

LISTPACK_MAX = cython.declare(int64_t, limits.LISTPACK_BYTES_MAX)
EXPIRY_MAX = cython.declare(uint64_t, (1 << 48) - 1)        # of a field, ms: Redis's EB_EXPIRE_TIME_MAX


@cython.cfunc
@cython.exceptval(check=False)
def _hash_limits(b: build_p, t: Thresholds) -> cython.void:
    b.type = TYPE_HASH
    b.width = 2
    b.max_entries = t.hash_max_entries
    b.max_value = t.hash_max_value


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_open(b: build_p, t: Thresholds, count: int64_t, expires: cython.bint) -> cython.int:
    """Begin a hash of so many fields. expires: of a kind that has room for their expiries, even if none has one."""
    _hash_limits(b, t)
    if count > b.max_entries:
        return build_table(b, count)
    b.width = 3 if expires else 2
    return build_begin(b, ENC_LISTPACK_EX if expires else ENC_LISTPACK, lp_new())


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_convert(b: build_p, encoding: uint32_t) -> cython.int:
    """Make a packed hash one with room for expiries, or a table."""
    field: View
    value: View
    expiry: LpValue
    other: Build
    old: bytep = build_lp(b)
    p: bytep = lp_first(old)
    done: cython.bint = False
    expiry.number = 0
    memset(cython.address(other), 0, cython.sizeof(Build))
    other.type = TYPE_HASH
    if encoding == ENC_TABLE:
        build_begin(cython.address(other), encoding, pairs_new())
    else:
        build_begin(cython.address(other), encoding, lp_new())
    try:
        while p != cython.NULL:
            field.n = lp_text(p, field.digits, cython.address(field.p))
            p = lp_next(old, p)
            value.n = lp_text(p, value.digits, cython.address(value.p))
            if b.width == 3:
                p = lp_next(old, p)
                lp_get(p, cython.address(expiry))
            p = lp_next(old, p)
            _hash_add(cython.address(other), cython.address(field), cython.address(value), expiry.number)
        done = True
    finally:
        if not done:
            value_dispose(TYPE_HASH, encoding, other.body)
    b.width = 3
    free(b.seen)
    b.seen = cython.NULL
    return build_become(b, encoding, other.body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_add(b: build_p, field: view_p, value: view_p, expiry: int64_t) -> cython.int:
    """Add a field to a body that can hold it; expiry 0: none. PAIR_REPLACED where a table has it already."""
    put: cython.int
    digits: uint8_t[24]
    if b.encoding == ENC_TABLE:
        put = pairs_put(cython.cast(pairs_p, b.body), field.p, field.n, value.p, value.n,
                        expiry if expiry > 0 else PAIR_NO_EXPIRY)
        if put == PAIR_NO_MEMORY:
            raise MemoryError
        return put
    build_keep(b, lp_append_pair(build_lp(b), field.p, field.n, value.p, value.n))
    if b.encoding == ENC_LISTPACK_EX:
        build_keep(b, lp_append(build_lp(b), digits, format_int(digits, expiry)))
    return 1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_put(s: RdbSource, b: build_p, field: view_p, value: view_p, expiry: int64_t) -> cython.int:
    """Add a field; expiry: Unix ms, 0 for none. RdbError where it is there already."""
    if b.encoding != ENC_TABLE:
        if (field.n > b.max_value or value.n > b.max_value or b.count >= b.max_entries
                or cython.cast(int64_t, lp_bytes(build_lp(b))) + field.n + value.n + BUILD_ROOM > LISTPACK_MAX):
            _hash_convert(b, ENC_TABLE)
        elif expiry > 0 and b.encoding == ENC_LISTPACK:
            _hash_convert(b, ENC_LISTPACK_EX)
    if b.encoding != ENC_TABLE and build_seen(b, field):
        s.fail("a hash has a field twice")
    if _hash_add(b, field, value, expiry) == PAIR_REPLACED:
        s.fail("a hash has a field twice")
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_stream(s: RdbSource, u: value_p, t: Thresholds, type: cython.int, valkey: cython.bint) -> cython.int:
    """Begin with fields one by one: HASH; with expiries HASH_2 of Valkey, HASH_METADATA(_PRE_GA) of Redis."""
    timed: cython.bint = type != RDB_TYPE_HASH and not valkey
    u.take = _take_field
    u.earliest = 1                      # where expiries are not relative
    if type == RDB_TYPE_HASH_METADATA:
        s.u64(cython.address(u.earliest))
        if u.earliest > EXPIRY_MAX + 1:
            s.fail("a hash has an impossible expiry")
    u.left = s.count(3 if timed else 2)
    if timed:
        u.take = _take_timed
    elif type == RDB_TYPE_HASH_2:
        u.take = _take_timed_behind
    return _hash_open(cython.address(u.b), t, u.left, timed)


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _read_pair(s: RdbSource, field: view_p, value: view_p) -> cython.int:
    """A field, and its value, which is good until the source is asked for more."""
    s.string(field)
    s.hold(field, HOLD_FIELD)
    s.string(value)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_field(s: RdbSource, u: value_p) -> cython.bint:
    field: View
    value: View
    if not value_more(u):
        return False
    _read_pair(s, cython.address(field), cython.address(value))
    _hash_put(s, cython.address(u.b), cython.address(field), cython.address(value), 0)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_timed(s: RdbSource, u: value_p) -> cython.bint:
    """A field of HASH_METADATA(_PRE_GA), behind its expiry."""
    field: View
    value: View
    expiry: uint64_t
    if not value_more(u):
        return False
    expiry = s.length(cython.NULL)
    if expiry > EXPIRY_MAX:
        s.fail("a field has an impossible expiry")
    if expiry > 0:
        expiry = expiry - 1 + u.earliest
    _read_pair(s, cython.address(field), cython.address(value))
    if expiry > EXPIRY_MAX:
        s.fail("a field has an impossible expiry")
    _hash_put(s, cython.address(u.b), cython.address(field), cython.address(value), expiry)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_timed_behind(s: RdbSource, u: value_p) -> cython.bint:
    """A field of HASH_2, whose expiry stands behind it: Unix ms, -1 for none."""
    field: View
    value: View
    expiry: int64_t = 0
    if not value_more(u):
        return False
    _read_pair(s, cython.address(field), cython.address(value))
    s.hold(cython.address(value), HOLD_VALUE)       # it lies in the buffer, which reading on may move
    s.u64(cython.cast(cython.pointer(uint64_t), cython.address(expiry)))
    if expiry < -1:
        s.fail("a field has an impossible expiry")
    # 0 stands for none here, and the first millisecond of 1970 is as long ago as the second; after the year 10889 is
    # never, as Redis's types of hashes hold it
    expiry = 1 if expiry == 0 else max(min(expiry, cython.cast(int64_t, EXPIRY_MAX)), 0)
    _hash_put(s, cython.address(u.b), cython.address(field), cython.address(value), expiry)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def hash_packed(s: RdbSource, u: value_p, t: Thresholds, kind: cython.int, width: cython.int) -> cython.int:
    """Begin with the fields of a block. width: elements for each, 3 with expiries."""
    items_open(s, kind, u.block.p, u.block.n, cython.address(u.items))
    if u.items.count % width != 0:
        s.fail("a packed hash has a field without its value")
    if kind == ITEMS_LISTPACK and width == 2:
        _hash_limits(cython.address(u.b), t)
        if build_adopt(cython.address(u.b), cython.address(u.block), u.items.count // 2):
            return 0
    u.take = _take_packed_timed if width == 3 else _take_packed
    return _hash_open(cython.address(u.b), t, u.items.count // width, width == 3)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_packed(s: RdbSource, u: value_p) -> cython.bint:
    field: View
    value: View
    if not items_next(cython.address(u.items), cython.address(field)):
        return False
    items_next(cython.address(u.items), cython.address(value))
    _hash_put(s, cython.address(u.b), cython.address(field), cython.address(value), 0)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_packed_timed(s: RdbSource, u: value_p) -> cython.bint:
    field: View
    value: View
    expiry: View
    when: int64_t = 0
    if not items_next(cython.address(u.items), cython.address(field)):
        return False
    items_next(cython.address(u.items), cython.address(value))
    items_next(cython.address(u.items), cython.address(expiry))
    if (not parse_int64(expiry.p, expiry.n, cython.address(when)) or when < 0
            or when > cython.cast(int64_t, EXPIRY_MAX)):
        s.fail("a field has an impossible expiry")
    _hash_put(s, cython.address(u.b), cython.address(field), cython.address(value), when)
    return True
