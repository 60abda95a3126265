"""Keys as commands that make them: the base of an append-only file with aof-use-rdb-preamble no.

    string      SET key value                   list    RPUSH key element ...       set     SADD key member ...
    zset        ZADD key score member ...       hash    HMSET key field value ...
    its expiry  PEXPIREAT key ms                a field's expiry    HPEXPIREAT key ms FIELDS 1 field

At most 64 elements per command (limits.AOF_ITEMS_PER_COMMAND), as Redis does it; the fields of a hash of which some
expire are told one by one, each with its expiry behind it. Fields that are due are left out, and a hash of which no
other is left is not written at all.

Only reads, and takes no Python object: a forked child may use it. Owns what a key looks like as commands; the walk over
the keys is journal.rdb_save's, the sink journal.rdb_out's.
"""
import cython
from cython.cimports.libc.errno import EINVAL, ENOMEM
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t
from cython.cimports.libc.stdio import snprintf
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.rdb_out import RdbOut, rdb_space, rdb_write
from cython.cimports.shardd.keyspace.entry import (
    ENC_INTSET, ENC_LISTPACK, ENC_LISTPACK_EX, ENC_TABLE, TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING, TYPE_ZSET, View,
    entry_body, entry_encoding, entry_expires, entry_expiry, entry_key, entry_key_len, entry_type, entry_view)
from cython.cimports.shardd.structures.intset import intset_get, intset_length
from cython.cimports.shardd.structures.listpack import LpValue, lp_first, lp_get, lp_length, lp_next
from cython.cimports.shardd.structures.number import format_int
from cython.cimports.shardd.structures.ordered import Ordered
from cython.cimports.shardd.structures.packed import Packed
from cython.cimports.shardd.structures.pairs import Pairs, pair_key, pair_value
from cython.cimports.shardd.structures.quicklist import QlIter, Quicklist, ql_end, ql_iter, ql_iter_packed, ql_next
from cython.cimports.shardd.structures.quicklist import ql_value
from cython.cimports.shardd.structures.ranked import Way, member, pair_score, ranked_next, ranked_seek, way_pair
from cython.cimports.shardd.structures.table import pair_due, pair_expiry, pair_key_len, pair_value_len
from cython.cimports.shardd.structures.walk import TableWalk, walk_begin, walk_next

from shardd.base import limits

out_p = cython.typedef(cython.pointer(RdbOut))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
packed_p = cython.typedef(cython.pointer(Packed))
pairs_p = cython.typedef(cython.pointer(Pairs))
ordered_p = cython.typedef(cython.pointer(Ordered))
quicklist_p = cython.typedef(cython.pointer(Quicklist))
value_p = cython.typedef(cython.pointer(LpValue))

ITEMS = cython.declare(int64_t, limits.AOF_ITEMS_PER_COMMAND)
BATCH = cython.declare(cython.int, 64)          # entries of a table that are asked for at a time


# ---- words

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _head(o: out_p, mark: uint8_t, n: int64_t) -> cython.void:
    """A mark, a number, CR LF."""
    p: bytep = rdb_space(o, 24)
    used: cython.int = 1 + format_int(p + 1, n)
    p[0] = mark
    p[used] = 13
    p[used + 1] = 10
    o.used += cython.cast(cython.size_t, used) + 2


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _word(o: out_p, p: cython.p_const_void, n: cython.size_t) -> cython.void:
    """A bulk string."""
    _head(o, 36, cython.cast(int64_t, n))
    rdb_write(o, p, n)
    rdb_write(o, b"\r\n", 2)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _number(o: out_p, value: int64_t) -> cython.void:
    """A bulk string of an integer."""
    digits: uint8_t[20]
    _word(o, digits, cython.cast(cython.size_t, format_int(digits, value)))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _score(o: out_p, score: cython.double) -> cython.void:
    """A bulk string of a score, with all its digits."""
    text: cython.char[40]
    _word(o, text, cython.cast(cython.size_t, snprintf(text, 40, b"%.17g", score)))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _listed(o: out_p, v: value_p) -> cython.void:
    """A bulk string of a listpack's element."""
    if v.p == cython.NULL:
        _number(o, v.number)
    else:
        _word(o, v.p, v.n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _command(o: out_p, e: bytep, name: cython.p_const_char, n: cython.size_t, words: int64_t) -> cython.void:
    """The beginning of a command about the entry's key: so many words follow."""
    _head(o, 42, words + 2)
    _word(o, name, n)
    _word(o, entry_key(e), entry_key_len(e))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _chunk(o: out_p, e: bytep, name: cython.p_const_char, n: cython.size_t, each: cython.int, done: int64_t,
           total: int64_t) -> cython.void:
    """Before element number `done`: a new command where the last one is full. each: words of an element."""
    if done % ITEMS == 0:
        _command(o, e, name, n, min(total - done, ITEMS) * each)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def aof_select(o: out_p, db: cython.int) -> cython.void:
    """What follows is another database's."""
    rdb_write(o, b"*2\r\n$6\r\nSELECT\r\n", 16)
    _number(o, db)


# ---- values

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _list(o: out_p, e: bytep) -> cython.void:
    it: QlIter
    v: LpValue
    body: cython.p_void = entry_body(e)
    packed: cython.bint = entry_encoding(e) == ENC_LISTPACK
    total: int64_t = cython.cast(packed_p, body).count if packed else cython.cast(
        int64_t, cython.cast(quicklist_p, body).count)
    done: int64_t = 0
    there: cython.bint
    if packed:
        there = ql_iter_packed(cython.cast(packed_p, body), 0, False, cython.address(it))
    else:
        there = ql_iter(cython.cast(quicklist_p, body), 0, False, False, cython.address(it))
    while there and o.error == 0:
        ql_value(cython.address(it), cython.address(v))
        _chunk(o, e, b"RPUSH", 5, 1, done, total)
        _listed(o, cython.address(v))
        done += 1
        there = ql_next(cython.address(it))
    ql_end(cython.address(it))
    if done < total and o.error == 0:
        o.error = ENOMEM        # a compressed node could not be unpacked


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _set(o: out_p, e: bytep) -> cython.void:
    v: LpValue
    w: TableWalk
    pairs: bytep[64]
    i: cython.int
    n: cython.int
    done: int64_t = 0
    total: int64_t
    body: bytep = cython.cast(bytep, entry_body(e))
    if entry_encoding(e) == ENC_INTSET:
        total = intset_length(body)
        while done < total:
            _chunk(o, e, b"SADD", 4, 1, done, total)
            _number(o, intset_get(body, cython.cast(uint32_t, done)))
            done += 1
    elif entry_encoding(e) == ENC_TABLE:
        total = cython.cast(pairs_p, body).t.used
        walk_begin(cython.address(w), cython.address(cython.cast(pairs_p, body).t))
        n = 1
        while n > 0 and o.error == 0:
            n = walk_next(cython.address(w), pairs, BATCH)
            for i in range(n):
                _chunk(o, e, b"SADD", 4, 1, done, total)
                _word(o, pair_key(pairs[i]), pair_key_len(pairs[i]))
                done += 1
    else:
        total = lp_length(body)
        body = lp_first(body)
        while body != cython.NULL:
            lp_get(body, cython.address(v))
            _chunk(o, e, b"SADD", 4, 1, done, total)
            _listed(o, cython.address(v))
            done += 1
            body = lp_next(cython.cast(bytep, entry_body(e)), body)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _zset(o: out_p, e: bytep) -> cython.void:
    name: LpValue
    score: LpValue
    way: Way
    lp: bytep = cython.cast(bytep, entry_body(e))
    p: bytep
    pair: bytep
    done: int64_t = 0
    total: int64_t
    if entry_encoding(e) == ENC_LISTPACK:
        total = lp_length(lp) // 2
        p = lp_first(lp)
        while p != cython.NULL:
            lp_get(p, cython.address(name))
            p = lp_next(lp, p)
            lp_get(p, cython.address(score))
            p = lp_next(lp, p)
            _chunk(o, e, b"ZADD", 4, 2, done, total)
            _listed(o, cython.address(score))
            _listed(o, cython.address(name))
            done += 1
        return
    total = cython.cast(ordered_p, lp).r.used
    if not ranked_seek(cython.address(cython.cast(ordered_p, lp).r), 0, cython.address(way)):
        return
    while o.error == 0:
        pair = way_pair(cython.address(way))
        _chunk(o, e, b"ZADD", 4, 2, done, total)
        _score(o, pair_score(pair))
        _word(o, member(pair), pair_key_len(pair))
        done += 1
        if not ranked_next(cython.address(way)):
            return


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _field_expiry(o: out_p, e: bytep, expiry: int64_t) -> cython.void:
    """The beginning of a field's expiry; its name follows."""
    _command(o, e, b"HPEXPIREAT", 10, 4)
    _number(o, expiry)
    _word(o, b"FIELDS", 6)
    _word(o, b"1", 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _listed_hash(o: out_p, e: bytep, now_ms: int64_t) -> int64_t:
    """A small hash; how many fields were written."""
    field: LpValue
    value: LpValue
    expiry: LpValue
    lp: bytep = cython.cast(bytep, entry_body(e))
    p: bytep = lp_first(lp)
    expires: cython.bint = entry_encoding(e) == ENC_LISTPACK_EX
    done: int64_t = 0
    total: int64_t = lp_length(lp) // 2
    expiry.number = 0
    while p != cython.NULL:
        lp_get(p, cython.address(field))
        p = lp_next(lp, p)
        lp_get(p, cython.address(value))
        p = lp_next(lp, p)
        if expires:
            lp_get(p, cython.address(expiry))
            p = lp_next(lp, p)
            if expiry.number != 0 and expiry.number < now_ms:
                continue
            _command(o, e, b"HMSET", 5, 2)
        else:
            _chunk(o, e, b"HMSET", 5, 2, done, total)
        _listed(o, cython.address(field))
        _listed(o, cython.address(value))
        if expiry.number != 0:
            _field_expiry(o, e, expiry.number)
            _listed(o, cython.address(field))
        done += 1
    return done


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash(o: out_p, e: bytep, now_ms: int64_t) -> int64_t:
    """A hash; how many fields were written."""
    m: pairs_p
    w: TableWalk
    pairs: bytep[64]
    pair: bytep
    i: cython.int
    n: cython.int = 1
    done: int64_t = 0
    if entry_encoding(e) != ENC_TABLE:
        return _listed_hash(o, e, now_ms)
    m = cython.cast(pairs_p, entry_body(e))
    walk_begin(cython.address(w), cython.address(m.t))
    while n > 0 and o.error == 0:
        n = walk_next(cython.address(w), pairs, BATCH)
        for i in range(n):
            pair = pairs[i]
            if m.expiring:
                if pair_due(pair, now_ms):
                    continue
                _command(o, e, b"HMSET", 5, 2)
            else:
                _chunk(o, e, b"HMSET", 5, 2, done, m.t.used)
            _word(o, pair_key(pair), pair_key_len(pair))
            _word(o, pair_value(pair), pair_value_len(pair))
            if pair_expiry(pair) > 0:
                _field_expiry(o, e, pair_expiry(pair))
                _word(o, pair_key(pair), pair_key_len(pair))
            done += 1
    return done


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def aof_key(o: out_p, e: bytep, now_ms: int64_t) -> cython.bint:
    """The commands that make this key. now_ms: fields of hashes that expire before are left out, Unix ms."""
    view: View
    type: uint32_t = entry_type(e)
    if type == TYPE_STRING:
        entry_view(e, cython.address(view))
        _command(o, e, b"SET", 3, 1)
        _word(o, view.p, view.n)
    elif type == TYPE_LIST:
        _list(o, e)
    elif type == TYPE_SET:
        _set(o, e)
    elif type == TYPE_ZSET:
        _zset(o, e)
    elif type == TYPE_HASH:
        if _hash(o, e, now_ms) == 0:
            return False
    else:
        o.error = EINVAL
        return False
    if entry_expires(e):
        _command(o, e, b"PEXPIREAT", 9, 1)
        _number(o, entry_expiry(e))
    return True
