"""Values of RDB data made into entries: strings, and collections in whatever form they were written.

    type                                     elements are read from              and go into, as the thresholds say
    HASH HASH_2 HASH_METADATA                the source, one by one              listpack, listpackex, table
    HASH_ZIPMAP _ZIPLIST _LISTPACK(_EX)      a block (rdb_load_packed)
    SET                                      the source                          intset, listpack, table
    SET_INTSET SET_LISTPACK                  a block
    ZSET ZSET_2                              the source                          listpack, table and index
    ZSET_ZIPLIST ZSET_LISTPACK               a block
    LIST                                     the source                          packed block, quicklist
    LIST_ZIPLIST LIST_QUICKLIST(_2)          one block, or one per node

A body is built element by element, whatever it comes from, so that what is true of the bodies that commands make is
true of it: no element twice, integers in their shortest form, scores that are numbers, a small sorted set in order. It
begins in the smallest form that may hold what is announced and is given a larger one where an element does not fit.
The thresholds are ours, not those of the server that wrote the data.

In a listpack duplicates are found by a look through it while it has a few elements, later by a table of the places of
its elements, which exists while it is built.

Invariant: whatever is raised, what was made until then is freed.
"""
import cython
from cython.cimports.libc.math import INFINITY, isnan
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.shardd.base.native import bytep, store64
from cython.cimports.shardd.journal.rdb import (
    RDB_NODE_PACKED, RDB_NODE_PLAIN, RDB_SCORE_INF, RDB_SCORE_NAN, RDB_SCORE_NEGATIVE_INF, RDB_TYPE_HASH,
    RDB_TYPE_HASH_2, RDB_TYPE_HASH_LISTPACK, RDB_TYPE_HASH_LISTPACK_EX, RDB_TYPE_HASH_LISTPACK_EX_PRE_GA,
    RDB_TYPE_HASH_METADATA, RDB_TYPE_HASH_METADATA_PRE_GA, RDB_TYPE_HASH_ZIPLIST, RDB_TYPE_HASH_ZIPMAP, RDB_TYPE_LIST,
    RDB_TYPE_LIST_QUICKLIST, RDB_TYPE_LIST_QUICKLIST_2, RDB_TYPE_LIST_ZIPLIST, RDB_TYPE_SET, RDB_TYPE_SET_INTSET,
    RDB_TYPE_SET_LISTPACK, RDB_TYPE_STRING, RDB_TYPE_ZSET, RDB_TYPE_ZSET_2, RDB_TYPE_ZSET_LISTPACK,
    RDB_TYPE_ZSET_ZIPLIST, RDB_VERSION_VALKEY_MIN)
from cython.cimports.shardd.journal.rdb_in import HOLD_FIELD, HOLD_VALUE, RdbSource
from cython.cimports.shardd.journal.rdb_load_packed import (
    ITEMS_LISTPACK, ITEMS_ZIPLIST, ITEMS_ZIPMAP, Items, items_next, items_open)
from cython.cimports.shardd.journal.rdb_load_value import Build
from cython.cimports.shardd.keyspace.entry import (
    ENC_INTSET, ENC_LISTPACK, ENC_LISTPACK_EX, ENC_ORDERED, ENC_QUICKLIST, ENC_TABLE, STR_EMBSTR, STR_INT, STR_RAW,
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING, TYPE_ZSET, View, entry_new, entry_set_body, entry_value)
from cython.cimports.shardd.keyspace.values import value_dispose, value_ops
from cython.cimports.shardd.structures.intset import (
    intset_copy, intset_find, intset_get, intset_insert, intset_length, intset_new, intset_valid)
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.list_nodes import Quicklist, ql_limits
from cython.cimports.shardd.structures.listpack import (
    LpNeedle, LpValue, lp_append, lp_append_pair, lp_bytes, lp_find, lp_first, lp_free, lp_get, lp_matches, lp_needle,
    lp_new, lp_next, lp_text)
from cython.cimports.shardd.structures.number import format_double, format_int, parse_double, parse_int64
from cython.cimports.shardd.structures.ordered import Ordered, ordered_find, ordered_index, ordered_new, ordered_note
from cython.cimports.shardd.structures.packed import PK_FRAME, Packed, pk_trim
from cython.cimports.shardd.structures.pairs import (
    PAIR_NO_EXPIRY, PAIR_NO_MEMORY, PAIR_REPLACED, Pairs, pairs_new, pairs_put)
from cython.cimports.shardd.structures.quicklist import ql_free_shell, ql_new, ql_push, ql_single
from cython.cimports.shardd.structures.ranked import Way, member, ranked_next, ranked_seek, way_pair, way_score
from cython.cimports.shardd.structures.table import pair_key_len, table_reserve

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
build_p = cython.typedef(cython.pointer(Build))
view_p = cython.typedef(cython.pointer(View))
pairs_p = cython.typedef(cython.pointer(Pairs))
ordered_p = cython.typedef(cython.pointer(Ordered))
quicklist_p = cython.typedef(cython.pointer(Quicklist))
packed_p = cython.typedef(cython.pointer(Packed))

EMBSTR_MAX = cython.declare(cython.Py_ssize_t, 44)          # as keyspace.database has it
FEW = cython.declare(int64_t, 12)               # elements of a listpack that are looked through one by one
LISTPACK_MAX = cython.declare(int64_t, limits.LISTPACK_BYTES_MAX)
ROOM = cython.declare(int64_t, 96)              # more than a field, a value and an expiry take besides their bytes
EXPIRY_MAX = cython.declare(uint64_t, (1 << 48) - 2)        # of a field, ms: Redis's EB_EXPIRE_TIME_MAX


@cython.final
@cython.cclass
class Thresholds:
    """What decides about the forms of collections."""

    def __init__(self, config: "Mapping[str, int] | None" = None) -> None:      # noqa: F821  (typing alone)
        """config: options by name; None: whoever makes it fills it in."""
        if config is not None:
            self.hash_max_entries = config["hash-max-listpack-entries"]
            self.hash_max_value = config["hash-max-listpack-value"]
            self.zset_max_entries = config["zset-max-listpack-entries"]
            self.zset_max_value = config["zset-max-listpack-value"]
            self.set_max_intset = config["set-max-intset-entries"]
            self.set_max_entries = config["set-max-listpack-entries"]
            self.set_max_value = config["set-max-listpack-value"]
            self.list_max_size = config["list-max-listpack-size"]
            self.list_depth = config["list-compress-depth"]


# ---- what all collections share

@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _lp(b: build_p) -> bytep:
    return cython.cast(bytep, b.body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _begin(b: build_p, encoding: uint32_t, body: cython.p_void) -> cython.int:
    """Take an empty body."""
    if body == cython.NULL:
        raise MemoryError
    b.encoding = encoding
    b.body = body
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _begin_table(b: build_p, count: int64_t) -> cython.int:
    """Take an empty table with room for so many pairs."""
    _begin(b, ENC_TABLE, pairs_new())
    if not table_reserve(cython.address(cython.cast(pairs_p, b.body).t), count):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _become(b: build_p, encoding: uint32_t, body: cython.p_void) -> cython.int:
    """Take another body, which holds what this one held."""
    value_dispose(b.type, b.encoding, b.body)
    b.encoding = encoding
    b.body = body
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _note_places(b: build_p) -> cython.int:
    """Make the table of the places of a listpack's elements, with room for as many again."""
    v: View
    i: cython.int
    at: uint32_t
    size: uint64_t = 64
    lp: bytep = _lp(b)
    p: bytep = lp_first(lp)
    while size < cython.cast(uint64_t, b.count) * 4:
        size *= 2
    free(b.seen)
    b.seen = cython.cast(cython.pointer(uint32_t), calloc(size, cython.sizeof(uint32_t)))
    if b.seen == cython.NULL:
        raise MemoryError
    b.seen_mask = cython.cast(uint32_t, size - 1)
    while p != cython.NULL:
        v.n = lp_text(p, v.digits, cython.address(v.p))
        at = cython.cast(uint32_t, hash_key(v.p, v.n)) & b.seen_mask
        while b.seen[at]:
            at = (at + 1) & b.seen_mask
        b.seen[at] = cython.cast(uint32_t, p - lp)
        for i in range(b.width):
            p = lp_next(lp, p)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _seen(b: build_p, v: view_p) -> cython.bint:
    """Whether a listpack has this field or member; where not, it is going to be its next one."""
    needle: LpNeedle
    at: uint32_t
    lp: bytep = _lp(b)
    if b.count < FEW:
        return b.count > 0 and lp_find(lp, lp_first(lp), v.p, v.n, b.width - 1) != cython.NULL
    if b.seen == cython.NULL or b.count * 2 > b.seen_mask:
        _note_places(b)
    lp_needle(cython.address(needle), v.p, v.n)
    at = cython.cast(uint32_t, hash_key(v.p, v.n)) & b.seen_mask
    while b.seen[at]:
        if lp_matches(lp + b.seen[at], cython.address(needle)):
            return True
        at = (at + 1) & b.seen_mask
    b.seen[at] = cython.cast(uint32_t, lp_bytes(lp) - 1)
    return False


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _keep(b: build_p, lp: bytep) -> cython.int:
    """A listpack's address after something was added; NULL: there was no memory."""
    if lp == cython.NULL:
        raise MemoryError
    b.body = lp
    return 0


# ---- hashes

@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_open(b: build_p, t: Thresholds, count: int64_t, expires: cython.bint) -> cython.int:
    """Begin a hash of so many fields. expires: of a kind that has room for their expiries, even if none has one."""
    b.type = TYPE_HASH
    b.max_entries = t.hash_max_entries
    b.max_value = t.hash_max_value
    if count > b.max_entries:
        return _begin_table(b, count)
    b.width = 3 if expires else 2
    return _begin(b, ENC_LISTPACK_EX if expires else ENC_LISTPACK, lp_new())


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_convert(b: build_p, encoding: uint32_t) -> cython.int:
    """Make a packed hash one with room for expiries, or a table."""
    field: View
    value: View
    expiry: LpValue
    other: Build
    old: bytep = _lp(b)
    p: bytep = lp_first(old)
    done: cython.bint = False
    expiry.number = 0
    memset(cython.address(other), 0, cython.sizeof(Build))
    other.type = TYPE_HASH
    if encoding == ENC_TABLE:
        _begin(cython.address(other), encoding, pairs_new())
    else:
        _begin(cython.address(other), encoding, lp_new())
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
    return _become(b, encoding, other.body)


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
    _keep(b, lp_append_pair(_lp(b), field.p, field.n, value.p, value.n))
    if b.encoding == ENC_LISTPACK_EX:
        _keep(b, lp_append(_lp(b), digits, format_int(digits, expiry)))
    return 1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_put(s: RdbSource, b: build_p, field: view_p, value: view_p, expiry: int64_t) -> cython.int:
    """Add a field; expiry: Unix ms, 0 for none. RdbError where it is there already."""
    if b.encoding != ENC_TABLE:
        if (field.n > b.max_value or value.n > b.max_value or b.count >= b.max_entries
                or cython.cast(int64_t, lp_bytes(_lp(b))) + field.n + value.n + ROOM > LISTPACK_MAX):
            _hash_convert(b, ENC_TABLE)
        elif expiry > 0 and b.encoding == ENC_LISTPACK:
            _hash_convert(b, ENC_LISTPACK_EX)
    if b.encoding != ENC_TABLE and _seen(b, field):
        s.fail("a hash has a field twice")
    if _hash_add(b, field, value, expiry) == PAIR_REPLACED:
        s.fail("a hash has a field twice")
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_stream(s: RdbSource, b: build_p, t: Thresholds, type: cython.int, valkey: cython.bint) -> cython.int:
    """Fields one by one: HASH; with expiries HASH_2 of Valkey, HASH_METADATA(_PRE_GA) of Redis."""
    field: View
    value: View
    n: int64_t
    earliest: uint64_t = 0
    expiry: uint64_t = 0
    timed: cython.bint = type != RDB_TYPE_HASH and not valkey
    if type == RDB_TYPE_HASH_METADATA:
        s.u64(cython.address(earliest))
        if earliest > EXPIRY_MAX + 1:
            s.fail("a hash has an impossible expiry")
    n = s.count(3 if timed else 2)
    _hash_open(b, t, n, timed)
    while n > 0:
        n -= 1
        if timed:
            expiry = s.length(cython.NULL)
            if expiry > EXPIRY_MAX:
                s.fail("a field has an impossible expiry")
            if type == RDB_TYPE_HASH_METADATA and expiry > 0:
                expiry += earliest - 1
        s.string(cython.address(field))
        s.hold(cython.address(field), HOLD_FIELD)
        s.string(cython.address(value))
        if valkey and type == RDB_TYPE_HASH_2:
            # the value lies in the buffer, which reading on may move
            _put_timed(s, b, cython.address(field), cython.address(value))
            continue
        if expiry > EXPIRY_MAX:
            s.fail("a field has an impossible expiry")
        _hash_put(s, b, cython.address(field), cython.address(value), expiry)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _put_timed(s: RdbSource, b: build_p, field: view_p, value: view_p) -> cython.int:
    """Add a field of HASH_2, whose expiry stands behind it: Unix ms, -1 for none."""
    expiry: int64_t = 0
    s.hold(value, HOLD_VALUE)
    s.u64(cython.cast(cython.pointer(uint64_t), cython.address(expiry)))
    if expiry < -1 or expiry > cython.cast(int64_t, EXPIRY_MAX):
        s.fail("a field has an impossible expiry")
    # 0 stands for none here; the first millisecond of 1970 is as long ago as the second
    return _hash_put(s, b, field, value, 1 if expiry == 0 else max(expiry, 0))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hash_packed(s: RdbSource, b: build_p, t: Thresholds, kind: cython.int, width: cython.int,
                 block: view_p) -> cython.int:
    """Fields in a block. width: elements for each, 3 with expiries."""
    items: Items
    field: View
    value: View
    expiry: View
    when: int64_t = 0
    items_open(s, kind, block.p, block.n, cython.address(items))
    if items.count % width != 0:
        s.fail("a packed hash has a field without its value")
    _hash_open(b, t, items.count // width, width == 3)
    while items_next(cython.address(items), cython.address(field)):
        items_next(cython.address(items), cython.address(value))
        if width == 3:
            items_next(cython.address(items), cython.address(expiry))
            if (not parse_int64(expiry.p, expiry.n, cython.address(when)) or when < 0
                    or when > cython.cast(int64_t, EXPIRY_MAX)):
                s.fail("a field has an impossible expiry")
        _hash_put(s, b, cython.address(field), cython.address(value), when)
    return 0


# ---- sets

@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_open(b: build_p, t: Thresholds, count: int64_t, integers: cython.bint) -> cython.int:
    """Begin a set of so many members. integers: an intset as long as all are integers."""
    b.type = TYPE_SET
    b.max_entries = t.set_max_entries
    b.max_value = t.set_max_value
    b.width = 1
    if integers and count <= t.set_max_intset:
        return _begin(b, ENC_INTSET, intset_new())
    if count <= b.max_entries:
        return _begin(b, ENC_LISTPACK, lp_new())
    return _begin_table(b, count)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_convert(b: build_p, encoding: uint32_t) -> cython.int:
    """Make an intset a listpack, or either of them a table."""
    v: View
    i: uint32_t
    p: bytep = cython.NULL
    other: Build
    old: bytep = _lp(b)
    done: cython.bint = False
    memset(cython.address(other), 0, cython.sizeof(Build))
    _begin(cython.address(other), encoding, pairs_new() if encoding == ENC_TABLE
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
    return _become(b, encoding, other.body)


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
    _keep(b, lp_append(_lp(b), v.p, v.n))
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def _packs(b: build_p, n: int64_t) -> cython.bint:
    """Whether a set that is an intset or a listpack may be a listpack with another member of n bytes."""
    digits: uint8_t[24]
    s: bytep = _lp(b)
    longest: int64_t = n
    if b.count >= b.max_entries:
        return False
    if b.encoding == ENC_INTSET and b.count > 0:
        longest = max(longest, format_int(digits, intset_get(s, 0)))
        longest = max(longest, format_int(digits, intset_get(s, intset_length(s) - 1)))
    elif b.encoding == ENC_LISTPACK and cython.cast(int64_t, lp_bytes(s)) + n + ROOM > LISTPACK_MAX:
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
        if intset_find(_lp(b), number, cython.address(rank)):
            s.fail("a set has a member twice")
        _keep(b, intset_insert(_lp(b), rank, number))
    else:
        if b.encoding == ENC_LISTPACK and not _packs(b, v.n):
            _set_convert(b, ENC_TABLE)
        if (b.encoding == ENC_LISTPACK and _seen(b, v)) or _set_add(b, v) == PAIR_REPLACED:
            s.fail("a set has a member twice")
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_stream(s: RdbSource, b: build_p, t: Thresholds) -> cython.int:
    v: View
    n: int64_t = s.count(1)
    _set_open(b, t, n, True)
    while n > 0:
        n -= 1
        s.string(cython.address(v))
        _set_put(s, b, cython.address(v))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_packed(s: RdbSource, b: build_p, t: Thresholds, block: view_p) -> cython.int:
    items: Items
    v: View
    items_open(s, ITEMS_LISTPACK, block.p, block.n, cython.address(items))
    _set_open(b, t, items.count, False)
    while items_next(cython.address(items), cython.address(v)):
        _set_put(s, b, cython.address(v))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_intset(s: RdbSource, b: build_p, t: Thresholds, block: view_p) -> cython.int:
    """An intset, which becomes a table where it has more members than one may have."""
    b.type = TYPE_SET
    if not intset_valid(block.p, block.n):
        s.fail("an intset is damaged")
    _begin(b, ENC_INTSET, intset_copy(cython.cast(bytep, block.p)))
    b.count = intset_length(_lp(b))
    if b.count > t.set_max_intset:
        _set_convert(b, ENC_TABLE)
    return 0


# ---- sorted sets

@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_open(b: build_p, t: Thresholds, count: int64_t) -> cython.int:
    b.type = TYPE_ZSET
    b.max_entries = t.zset_max_entries
    b.max_value = t.zset_max_value
    b.width = 2
    if count > b.max_entries:
        _begin(b, ENC_ORDERED, ordered_new())
        if not table_reserve(cython.address(cython.cast(ordered_p, b.body).t), count):
            raise MemoryError
        return 0
    return _begin(b, ENC_LISTPACK, lp_new())


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_note(s: RdbSource, b: build_p, v: view_p, score: cython.double) -> cython.int:
    """Add a member to the table of a large one, whose index is made at the end."""
    hash: uint64_t = hash_key(v.p, v.n)
    if ordered_find(cython.cast(ordered_p, b.body), v.p, v.n, hash) != cython.NULL:
        s.fail("a sorted set has a member twice")
    if not ordered_note(cython.cast(ordered_p, b.body), v.p, v.n, hash, score):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _listed_score(p: bytep, score: cython.pointer(cython.double)) -> cython.int:
    """The score that an element of a listpack which was built here is."""
    v: LpValue
    lp_get(p, cython.address(v))
    score[0] = cython.cast(cython.double, v.number)
    if v.p != cython.NULL:
        parse_double(v.p, v.n, score)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_to_ordered(s: RdbSource, b: build_p) -> cython.int:
    """Make a small one that is being built a large one."""
    v: View
    score: cython.double = 0
    other: Build
    old: bytep = _lp(b)
    p: bytep = lp_first(old)
    done: cython.bint = False
    memset(cython.address(other), 0, cython.sizeof(Build))
    _begin(cython.address(other), ENC_ORDERED, ordered_new())
    try:
        while p != cython.NULL:
            v.n = lp_text(p, v.digits, cython.address(v.p))
            p = lp_next(old, p)
            _listed_score(p, cython.address(score))
            p = lp_next(old, p)
            _zset_note(s, cython.address(other), cython.address(v), score)
        done = True
    finally:
        if not done:
            value_dispose(TYPE_ZSET, ENC_ORDERED, other.body)
    free(b.seen)
    b.seen = cython.NULL
    return _become(b, ENC_ORDERED, other.body)


@cython.cfunc
@cython.exceptval(check=False)
def _follows(b: build_p, v: view_p, score: cython.double) -> cython.bint:
    """Whether an element comes behind all that a small one has so far."""
    last: View
    order: cython.int
    if b.count == 0 or score > b.last_score:
        return True
    if score < b.last_score:
        return False
    # the last member: the last element but one
    last.n = lp_text(_lp(b) + b.last_at, last.digits, cython.address(last.p))
    order = memcmp(last.p, v.p, last.n if last.n < v.n else v.n)
    return order < 0 or (order == 0 and last.n < v.n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_list(b: build_p, v: view_p, score: cython.double) -> cython.int:
    """Add an element behind those that a listpack has."""
    text: uint8_t[40]
    n: cython.int = format_double(text, 0.0 if score == 0 else score)      # -0 is 0, as any whole number an integer
    b.last_at = lp_bytes(_lp(b)) - 1
    b.last_score = score
    return _keep(b, lp_append_pair(_lp(b), v.p, v.n, text, n))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_put(s: RdbSource, b: build_p, v: view_p, score: cython.double) -> cython.int:
    """Add an element. RdbError where it is there already, or its score is not a number."""
    if isnan(score):
        s.fail("a score is not a number")
    b.longest = max(b.longest, v.n)
    b.bytes += v.n + ROOM
    if b.encoding == ENC_LISTPACK:
        if (v.n > b.max_value or b.count >= b.max_entries or b.bytes > LISTPACK_MAX or not _follows(b, v, score)):
            _zset_to_ordered(s, b)
    if b.encoding == ENC_LISTPACK:
        if _seen(b, v):
            s.fail("a sorted set has a member twice")
        _zset_list(b, v, score)
    else:
        _zset_note(s, b, v, score)
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_close(b: build_p) -> cython.int:
    """Make the index of a large one; or what came out of order, but is small, a listpack after all."""
    way: Way
    v: View
    other: Build
    pair: bytep
    more: cython.bint
    done: cython.bint = False
    if b.encoding == ENC_LISTPACK:
        return 0
    if not ordered_index(cython.cast(ordered_p, b.body)):
        raise MemoryError
    if b.count > b.max_entries or b.longest > b.max_value or b.bytes > LISTPACK_MAX:
        return 0
    memset(cython.address(other), 0, cython.sizeof(Build))
    _begin(cython.address(other), ENC_LISTPACK, lp_new())
    more = ranked_seek(cython.address(cython.cast(ordered_p, b.body).r), 0, cython.address(way))
    try:
        while more:
            pair = way_pair(cython.address(way))
            v.p = member(pair)
            v.n = pair_key_len(pair)
            _zset_list(cython.address(other), cython.address(v), way_score(cython.address(way)))
            more = ranked_next(cython.address(way))
        done = True
    finally:
        if not done:
            value_dispose(TYPE_ZSET, ENC_LISTPACK, other.body)
    return _become(b, ENC_LISTPACK, other.body)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _text_score(s: RdbSource, score: cython.pointer(cython.double)) -> cython.int:
    """A score in decimal, behind a byte that says how long it is."""
    n: cython.int = s.u8()
    if n == RDB_SCORE_NEGATIVE_INF:
        score[0] = -INFINITY
    elif n == RDB_SCORE_INF:
        score[0] = INFINITY
    elif n == RDB_SCORE_NAN:
        s.fail("a score is not a number")
    else:
        s.need(n)
        if not parse_double(s.p, n, score):
            s.fail("a score is not a number")
        s.p += n
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_stream(s: RdbSource, b: build_p, t: Thresholds, binary: cython.bint) -> cython.int:
    """Members with scores in eight bytes (ZSET_2) or in decimal (ZSET)."""
    v: View
    score: cython.double = 0
    n: int64_t = s.count(9 if binary else 2)
    _zset_open(b, t, n)
    while n > 0:
        n -= 1
        s.string(cython.address(v))
        s.hold(cython.address(v), HOLD_FIELD)
        if binary:
            s.need(8)
            memcpy(cython.address(score), s.p, 8)
            s.p += 8
        else:
            _text_score(s, cython.address(score))
        _zset_put(s, b, cython.address(v), score)
    return _zset_close(b)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _zset_packed(s: RdbSource, b: build_p, t: Thresholds, kind: cython.int, block: view_p) -> cython.int:
    items: Items
    v: View
    text: View
    score: cython.double = 0
    items_open(s, kind, block.p, block.n, cython.address(items))
    if items.count % 2 != 0:
        s.fail("a packed sorted set has a member without its score")
    _zset_open(b, t, items.count // 2)
    while items_next(cython.address(items), cython.address(v)):
        items_next(cython.address(items), cython.address(text))
        if not parse_double(text.p, text.n, cython.address(score)):
            s.fail("a score is not a number")
        _zset_put(s, b, cython.address(v), score)
    return _zset_close(b)


# ---- lists

@cython.cfunc
@cython.exceptval(-1, check=False)
def _list_put(b: build_p, v: view_p) -> cython.int:
    if not ql_push(cython.cast(quicklist_p, b.body), False, v.p, v.n):
        raise MemoryError
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _list_block(s: RdbSource, b: build_p, kind: cython.int, block: view_p) -> cython.int:
    """The elements of a node."""
    items: Items
    v: View
    items_open(s, kind, block.p, block.n, cython.address(items))
    while items_next(cython.address(items), cython.address(v)):
        _list_put(b, cython.address(v))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _list(s: RdbSource, b: build_p, t: Thresholds, type: cython.int) -> cython.int:
    """A list in any of its four forms; a packed block where all of it is one node."""
    v: View
    size_max: cython.size_t
    count_max: uint64_t
    container: uint64_t
    block: packed_p
    n: int64_t = 1 if type == RDB_TYPE_LIST_ZIPLIST else s.count(2 if type == RDB_TYPE_LIST_QUICKLIST_2 else 1)
    b.type = TYPE_LIST
    _begin(b, ENC_QUICKLIST, ql_new(t.list_max_size, t.list_depth))
    while n > 0:
        n -= 1
        container = RDB_NODE_PACKED
        if type == RDB_TYPE_LIST_QUICKLIST_2:
            container = s.length(cython.NULL)
            if container != RDB_NODE_PACKED and container != RDB_NODE_PLAIN:
                s.fail("a list has a node of an unknown kind")
        s.string(cython.address(v))
        if type == RDB_TYPE_LIST or container == RDB_NODE_PLAIN:
            _list_put(b, cython.address(v))
        else:
            _list_block(s, b, ITEMS_LISTPACK if type == RDB_TYPE_LIST_QUICKLIST_2 else ITEMS_ZIPLIST,
                        cython.address(v))
    block = ql_single(cython.cast(quicklist_p, b.body))
    ql_limits(t.list_max_size, cython.address(size_max), cython.address(count_max))
    if block != cython.NULL and cython.cast(cython.size_t, block.size) + PK_FRAME <= size_max and block.count <= count_max:
        ql_free_shell(cython.cast(quicklist_p, b.body))
        b.body = pk_trim(block)
        b.encoding = ENC_LISTPACK
    return 0


# ---- any value

@cython.cfunc
@cython.exceptval(-1, check=False)
def _collection(s: RdbSource, b: build_p, t: Thresholds, type: cython.int, version: cython.int) -> cython.int:
    """Make the body of a collection of this type. RdbError, also where we know no such type."""
    block: View
    earliest: uint64_t = 0
    if type == RDB_TYPE_HASH or type == RDB_TYPE_HASH_METADATA or type == RDB_TYPE_HASH_METADATA_PRE_GA:
        return _hash_stream(s, b, t, type, version >= RDB_VERSION_VALKEY_MIN)
    if type == RDB_TYPE_SET:
        return _set_stream(s, b, t)
    if type == RDB_TYPE_ZSET or type == RDB_TYPE_ZSET_2:
        return _zset_stream(s, b, t, type == RDB_TYPE_ZSET_2)
    if (type == RDB_TYPE_LIST or type == RDB_TYPE_LIST_ZIPLIST or type == RDB_TYPE_LIST_QUICKLIST
            or type == RDB_TYPE_LIST_QUICKLIST_2):
        return _list(s, b, t, type)
    if type == RDB_TYPE_HASH_LISTPACK_EX:
        s.u64(cython.address(earliest))         # the first expiry of all, which the listpack says, too
    s.string(cython.address(block))
    if type == RDB_TYPE_SET_INTSET:
        return _set_intset(s, b, t, cython.address(block))
    if type == RDB_TYPE_SET_LISTPACK:
        return _set_packed(s, b, t, cython.address(block))
    if type == RDB_TYPE_ZSET_ZIPLIST or type == RDB_TYPE_ZSET_LISTPACK:
        return _zset_packed(s, b, t, ITEMS_ZIPLIST if type == RDB_TYPE_ZSET_ZIPLIST else ITEMS_LISTPACK,
                            cython.address(block))
    if type == RDB_TYPE_HASH_ZIPMAP:
        return _hash_packed(s, b, t, ITEMS_ZIPMAP, 2, cython.address(block))
    if type == RDB_TYPE_HASH_ZIPLIST:
        return _hash_packed(s, b, t, ITEMS_ZIPLIST, 2, cython.address(block))
    return _hash_packed(s, b, t, ITEMS_LISTPACK, 2 if type == RDB_TYPE_HASH_LISTPACK else 3, cython.address(block))


@cython.cfunc
def _string(s: RdbSource, key: const_bytes, key_len: cython.Py_ssize_t, expiry: int64_t, access: uint32_t) -> bytep:
    """A string's entry."""
    v: View
    e: bytep
    number: int64_t = 0
    encoding: uint32_t
    s.string(cython.address(v))
    if v.n <= 20 and parse_int64(v.p, v.n, cython.address(number)):
        e = entry_new(key, key_len, 8, expiry, TYPE_STRING, STR_INT, access)
        if e != cython.NULL:
            store64(entry_value(e), number)
    else:
        encoding = STR_EMBSTR if v.n <= EMBSTR_MAX else STR_RAW
        e = entry_new(key, key_len, v.n, expiry, TYPE_STRING, encoding, access)
        if e != cython.NULL:
            memcpy(entry_value(e), v.p, v.n)
    if e == cython.NULL:
        raise MemoryError
    return e


@cython.cfunc
def load_value(s: RdbSource, type: cython.int, version: cython.int, t: Thresholds,
               key: cython.pointer(cython.const[uint8_t]), key_len: cython.Py_ssize_t, expiry: int64_t,
               access: uint32_t) -> bytep:
    """An entry, in no database, of this key (which lies in no buffer of the source) and the value of an RdbType that
    follows; NULL where that is an empty collection, which nobody should have written.

    version: of the data; numbers of types mean different things in different ones. expiry: Unix ms, -1 for none.
    Raises RdbError, MemoryError, OSError.
    """
    b: Build
    e: bytep = cython.NULL
    if type == RDB_TYPE_STRING:
        return _string(s, key, key_len, expiry, access)
    memset(cython.address(b), 0, cython.sizeof(Build))
    try:
        _collection(s, cython.address(b), t, type, version)
        if b.count > 0:
            e = entry_new(key, key_len, 8, expiry, b.type, b.encoding, access)
            if e == cython.NULL:
                raise MemoryError
            entry_set_body(e, b.body)
    finally:
        free(b.seen)
        if e == cython.NULL and b.body != cython.NULL:
            value_dispose(b.type, b.encoding, b.body)
    return e
