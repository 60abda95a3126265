"""Values in RDB format: which of its types each of ours becomes, and its bytes.

    ours                          type of the format
    string                        STRING
    list     listpack, quicklist  LIST_QUICKLIST_2      a listpack around each block; what a list keeps as LZF goes out
                                                        as it is
    set      intset               SET_INTSET            the intset, byte for byte
             listpack, hashtable  SET                   7.2's SET_LISTPACK is unknown to 7.0
    zset     listpack             ZSET_LISTPACK         the listpack, byte for byte
             skiplist             ZSET_2                from the highest score to the lowest
    hash     listpack             HASH_LISTPACK         the listpack, byte for byte
             hashtable            HASH
             any, fields expire   HASH_METADATA         version 12

Fields that are due are left out, for nobody may see them any more; a hash of which no other is left is not written at
all. A hash of which no field expires is written as if none ever had.

Only reads, and takes no Python object: a forked child may use it. The bytes are described in FORMAT.md. (Source: the
functions rdbSaveObject of Redis 7.0 and 7.4.)
"""
import cython
from cython.cimports.libc.errno import EINVAL, ENOMEM
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.base.native import bytep, load32, load64, prefetch, store16, store32
from cython.cimports.shardd.journal.rdb import (
    RDB_ENC_LZF, RDB_NODE_PACKED, RDB_NODE_PLAIN, RDB_TYPE_HASH, RDB_TYPE_HASH_LISTPACK, RDB_TYPE_HASH_METADATA,
    RDB_TYPE_LIST_QUICKLIST_2, RDB_TYPE_SET, RDB_TYPE_SET_INTSET, RDB_TYPE_STRING, RDB_TYPE_ZSET_2,
    RDB_TYPE_ZSET_LISTPACK)
from cython.cimports.shardd.journal.rdb_out import (
    RdbOut, rdb_blob, rdb_byte, rdb_fixed64, rdb_length, rdb_number, rdb_scratch, rdb_string, rdb_write)
from cython.cimports.shardd.journal.rdb_values import RdbForm
from cython.cimports.shardd.keyspace.entry import (
    ENC_INTSET, ENC_LISTPACK, ENC_LISTPACK_EX, ENC_TABLE, STR_INT, TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING,
    TYPE_ZSET, View, entry_body, entry_encoding, entry_type, entry_value, entry_view)
from cython.cimports.shardd.structures.intset import intset_bytes
from cython.cimports.shardd.structures.list_nodes import QL_LZF, QL_PLAIN, QlNode, QlSegment, Quicklist, ln_node
from cython.cimports.shardd.structures.listpack import LpValue, lp_bytes, lp_first, lp_get, lp_length, lp_next
from cython.cimports.shardd.structures.ordered import Ordered
from cython.cimports.shardd.structures.packed import PK_FRAME, Packed, pk_begin, pk_listpack
from cython.cimports.shardd.structures.pairs import Pairs, pair_key, pair_value
from cython.cimports.shardd.structures.ranked import Way, leaf_pair, member, ranked_prev, ranked_seek, way_pair
from cython.cimports.shardd.structures.table import (
    Table, pair_due, pair_expiry, pair_head, pair_key_len, pair_value_len)
from cython.cimports.shardd.structures.walk import TableWalk, walk_begin, walk_next

out_p = cython.typedef(cython.pointer(RdbOut))
form_p = cython.typedef(cython.pointer(RdbForm))
packed_p = cython.typedef(cython.pointer(Packed))
pairs_p = cython.typedef(cython.pointer(Pairs))
ordered_p = cython.typedef(cython.pointer(Ordered))
table_p = cython.typedef(cython.pointer(Table))
quicklist_p = cython.typedef(cython.pointer(Quicklist))
segment_p = cython.typedef(cython.pointer(QlSegment))
node_p = cython.typedef(cython.pointer(QlNode))
value_p = cython.typedef(cython.pointer(LpValue))

BATCH = cython.declare(cython.int, 64)          # entries of a table that are asked for at a time
AHEAD = cython.declare(int64_t, 8)              # elements of a sorted set's leaf
LP_HEAD = cython.declare(cython.size_t, 6)      # bytes of a listpack before its elements


# ---- forms

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count_pairs(t: table_p, now_ms: int64_t, form: form_p) -> cython.void:
    """Count the fields of a large hash that are not due, and find the first expiry."""
    w: TableWalk
    pairs: bytep[64]
    i: cython.int
    n: cython.int
    walk_begin(cython.address(w), t)
    while True:
        n = walk_next(cython.address(w), pairs, BATCH)
        for i in range(n):
            if pair_due(pairs[i], now_ms):
                continue
            form.count += 1
            if 0 <= pair_expiry(pairs[i]) < form.first:
                form.first = pair_expiry(pairs[i])
        if n == 0:
            return


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count_listed(lp: bytep, now_ms: int64_t, form: form_p) -> cython.void:
    """The same of a small one."""
    v: LpValue
    p: bytep = lp_first(lp)
    while p != cython.NULL:
        p = lp_next(lp, lp_next(lp, p))
        lp_get(p, cython.address(v))
        p = lp_next(lp, p)
        if v.number != 0 and v.number < now_ms:
            continue
        form.count += 1
        if v.number != 0 and v.number < form.first:
            form.first = v.number


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash_form(e: bytep, now_ms: int64_t, form: form_p) -> cython.void:
    if entry_encoding(e) == ENC_LISTPACK:
        form.type = RDB_TYPE_HASH_LISTPACK
        return
    form.first = INT64_MAX
    if entry_encoding(e) == ENC_LISTPACK_EX:
        _count_listed(cython.cast(bytep, entry_body(e)), now_ms, form)
    elif cython.cast(pairs_p, entry_body(e)).expiring:
        _count_pairs(cython.address(cython.cast(pairs_p, entry_body(e)).t), now_ms, form)
    else:
        form.count = cython.cast(pairs_p, entry_body(e)).t.used
    if form.count == 0:
        form.type = -1
    else:
        form.type = RDB_TYPE_HASH if form.first == INT64_MAX else RDB_TYPE_HASH_METADATA


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_form(e: bytep, now_ms: int64_t, form: form_p) -> cython.void:
    """How this value is to be written. now_ms: what expires before is left out, Unix ms."""
    type: uint32_t = entry_type(e)
    form.type = -1
    form.count = 0
    form.first = 0
    if type == TYPE_STRING:
        form.type = RDB_TYPE_STRING
    elif type == TYPE_LIST:
        form.type = RDB_TYPE_LIST_QUICKLIST_2
    elif type == TYPE_SET:
        form.type = RDB_TYPE_SET_INTSET if entry_encoding(e) == ENC_INTSET else RDB_TYPE_SET
    elif type == TYPE_ZSET:
        form.type = RDB_TYPE_ZSET_LISTPACK if entry_encoding(e) == ENC_LISTPACK else RDB_TYPE_ZSET_2
    elif type == TYPE_HASH:
        _hash_form(e, now_ms, form)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_needs_field_ttl(form: form_p) -> cython.bint:
    """Whether only version 12 has this form."""
    return form.type == RDB_TYPE_HASH_METADATA


# ---- values

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_value(o: out_p, e: bytep, form: form_p, now_ms: int64_t) -> cython.void:
    """Write the value of an entry, without its type. form, now_ms: of rdb_form."""
    view: View
    type: uint32_t = entry_type(e)
    body: cython.p_void
    if type == TYPE_STRING:
        if entry_encoding(e) == STR_INT:
            rdb_number(o, cython.cast(int64_t, load64(entry_value(e))))
        else:
            entry_view(e, cython.address(view))
            rdb_string(o, view.p, view.n)
        return
    body = entry_body(e)
    if type == TYPE_LIST:
        if entry_encoding(e) == ENC_LISTPACK:
            rdb_length(o, 1)
            _block(o, cython.cast(packed_p, body))
        else:
            _quicklist(o, cython.cast(quicklist_p, body))
    elif type == TYPE_SET and entry_encoding(e) == ENC_INTSET:
        rdb_blob(o, cython.cast(bytep, body), intset_bytes(cython.cast(bytep, body)))
    elif type == TYPE_SET and entry_encoding(e) == ENC_TABLE:
        _members(o, cython.address(cython.cast(pairs_p, body).t))
    elif type == TYPE_SET:
        _listed_members(o, cython.cast(bytep, body))
    elif entry_encoding(e) == ENC_LISTPACK:
        rdb_blob(o, cython.cast(bytep, body), lp_bytes(cython.cast(bytep, body)))
    elif type == TYPE_ZSET:
        _ordered(o, cython.cast(ordered_p, body))
    elif type == TYPE_HASH:
        if rdb_needs_field_ttl(form):
            rdb_fixed64(o, cython.cast(uint64_t, form.first))
        rdb_length(o, form.count)
        if entry_encoding(e) == ENC_TABLE:
            _pairs(o, cython.address(cython.cast(pairs_p, body).t), form, now_ms)
        else:
            _listed_fields(o, cython.cast(bytep, body), form, now_ms)
    else:
        o.error = EINVAL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _block(o: out_p, b: packed_p) -> cython.void:
    """A node of a list: a block of elements, as a listpack."""
    n: cython.size_t = cython.cast(cython.size_t, b.size) + PK_FRAME
    lp: bytep
    head: uint8_t[6]
    rdb_length(o, RDB_NODE_PACKED)
    if o.compress:
        # the listpack stands behind what it is compressed to, which is never longer
        lp = rdb_scratch(o, 2 * n)
        if lp == cython.NULL:
            o.error = ENOMEM
            return
        pk_listpack(b, lp + n)
        rdb_blob(o, lp + n, n)
        return
    rdb_length(o, n)
    store32(head, cython.cast(uint32_t, n))
    store16(cython.address(head[4]), b.count)
    rdb_write(o, head, LP_HEAD)
    rdb_write(o, pk_begin(b), b.size)
    rdb_byte(o, 255)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _packed_block(o: out_p, node: node_p) -> cython.void:
    """A node of a list that is kept as LZF. That of a listpack is the same between its head and its end, each of which
    is put around it as bytes that are not compressed."""
    size: cython.size_t = load32(node.p)
    used: cython.size_t = node.bytes - 4
    plain: cython.bint = (node.form & QL_PLAIN) != 0
    head: uint8_t[7]
    tail: uint8_t[2]
    rdb_length(o, RDB_NODE_PLAIN if plain else RDB_NODE_PACKED)
    rdb_byte(o, 0xC0 | RDB_ENC_LZF)
    rdb_length(o, used if plain else used + 9)
    rdb_length(o, size if plain else size + PK_FRAME)
    if plain:
        rdb_write(o, cython.cast(bytep, node.p) + 4, used)
        return
    head[0] = 5                     # six bytes as they are
    store32(cython.address(head[1]), cython.cast(uint32_t, size + PK_FRAME))
    store16(cython.address(head[5]), node.count)
    rdb_write(o, head, 7)
    rdb_write(o, cython.cast(bytep, node.p) + 4, used)
    tail[0] = 0                     # one byte as it is
    tail[1] = 255
    rdb_write(o, tail, 2)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _quicklist(o: out_p, q: quicklist_p) -> cython.void:
    seg: segment_p = q.head
    node: node_p
    i: cython.int
    rdb_length(o, q.nodes)
    while seg != cython.NULL and o.error == 0:
        for i in range(seg.used):
            node = ln_node(seg, i)
            if i + 1 < seg.used:
                prefetch(ln_node(seg, i + 1).p)
            if node.form & QL_LZF:
                _packed_block(o, node)
            elif node.form & QL_PLAIN:
                rdb_length(o, RDB_NODE_PLAIN)
                rdb_blob(o, cython.cast(bytep, node.p), node.bytes)
            else:
                _block(o, cython.cast(packed_p, node.p))
        seg = seg.next


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _listed(o: out_p, v: value_p) -> cython.void:
    """An element of a listpack as a string."""
    if v.p == cython.NULL:
        rdb_number(o, v.number)
    else:
        rdb_string(o, v.p, v.n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _listed_members(o: out_p, lp: bytep) -> cython.void:
    v: LpValue
    p: bytep = lp_first(lp)
    rdb_length(o, lp_length(lp))
    while p != cython.NULL:
        lp_get(p, cython.address(v))
        _listed(o, cython.address(v))
        p = lp_next(lp, p)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _members(o: out_p, t: table_p) -> cython.void:
    w: TableWalk
    pairs: bytep[64]
    i: cython.int
    n: cython.int = 1
    rdb_length(o, t.used)
    walk_begin(cython.address(w), t)
    while n > 0 and o.error == 0:
        n = walk_next(cython.address(w), pairs, BATCH)
        for i in range(n):
            rdb_string(o, pair_key(pairs[i]), pair_key_len(pairs[i]))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _ordered(o: out_p, z: ordered_p) -> cython.void:
    """A large sorted set, from its end: so Redis puts each element at the head of what it has."""
    way: Way
    pair: bytep
    rdb_length(o, z.r.used)
    if not ranked_seek(cython.address(z.r), cython.cast(int64_t, z.r.used) - 1, cython.address(way)):
        return
    while o.error == 0:
        if way.at >= AHEAD:
            prefetch(leaf_pair(way.leaf)[way.at - AHEAD])
        pair = way_pair(cython.address(way))
        rdb_string(o, member(pair), pair_key_len(pair))
        rdb_fixed64(o, load64(pair_value(pair)))
        if not ranked_prev(cython.address(way)):
            return


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _field_ttl(o: out_p, form: form_p, expiry: int64_t) -> cython.void:
    """The expiry of a field, where the type has one: 0 for none, else one more than it is after the earliest."""
    if rdb_needs_field_ttl(form):
        rdb_length(o, cython.cast(uint64_t, expiry - form.first + 1) if expiry > 0 else 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _pairs(o: out_p, t: table_p, form: form_p, now_ms: int64_t) -> cython.void:
    """The fields of a large hash."""
    w: TableWalk
    pairs: bytep[64]
    pair: bytep
    i: cython.int
    n: cython.int = 1
    walk_begin(cython.address(w), t)
    while n > 0 and o.error == 0:
        n = walk_next(cython.address(w), pairs, BATCH)
        for i in range(n):
            pair = pairs[i]
            if pair_due(pair, now_ms):
                continue
            _field_ttl(o, form, pair_expiry(pair))
            rdb_string(o, pair_key(pair), pair_key_len(pair))
            rdb_string(o, pair_value(pair), pair_value_len(pair))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _listed_fields(o: out_p, lp: bytep, form: form_p, now_ms: int64_t) -> cython.void:
    """The fields of a small hash with expiries."""
    field: LpValue
    value: LpValue
    expiry: LpValue
    p: bytep = lp_first(lp)
    while p != cython.NULL:
        lp_get(p, cython.address(field))
        p = lp_next(lp, p)
        lp_get(p, cython.address(value))
        p = lp_next(lp, p)
        lp_get(p, cython.address(expiry))
        p = lp_next(lp, p)
        if expiry.number != 0 and expiry.number < now_ms:
            continue
        _field_ttl(o, form, expiry.number)
        _listed(o, cython.address(field))
        _listed(o, cython.address(value))
