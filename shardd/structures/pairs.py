"""Pairs: a table of small blocks of key and value, the body of a large hash; of a large set, with empty values.

    Pairs { Table t, ... }  ->  bucket  ->  [pair header][key][value]          one block per pair, as structures/table
                                                                               describes it, with nothing before it

A pair may have an expiry, which the table does not act on: `expiring` counts those pairs, and `next_expiry` is a bound
that whoever takes out what is due, pair by pair, sets anew.

Owns the blocks. Growth is the table's: a few buckets with each insertion. What shrinks it is table_fit after a removal.

Invariants: a key is in the table once. No pair falls due before next_expiry, which is INT64_MAX where none expires.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.native import bytep, store16, store32, store64
from cython.cimports.shardd.structures.alloc import allocate, block_bytes, real_size, release
from cython.cimports.shardd.structures.drain import table_drain
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.pairs import (
    PAIR_ADDED, PAIR_KEEP_EXPIRY, PAIR_NO_MEMORY, PAIR_REPLACED, PAIR_NO_EXPIRY, Pairs, pair_key, pair_value)
from cython.cimports.shardd.structures.table import (
    PAIR_EXPIRES, PAIR_WIDE, Table, pair_expiry, pair_head, pair_key_len, pair_value_len, table_bytes, table_check,
    table_clear, table_find, table_fit, table_insert, table_remove, table_walk)

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
pairs_p = cython.typedef(cython.pointer(Pairs))
place_p = cython.typedef(cython.pointer(bytep))

PER_CHAIN = cython.declare(int64_t, 6)      # pairs in a chain, about


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pair_size(pair: const_bytes) -> cython.size_t:
    """Bytes of the block."""
    return cython.cast(cython.size_t, pair_head(pair)) + pair_key_len(pair) + pair_value_len(pair)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _new(key: const_bytes, n: cython.Py_ssize_t, value: const_bytes, value_n: cython.Py_ssize_t,
         expiry: int64_t) -> bytep:
    """A block with this content; NULL without memory."""
    wide: cython.bint = n > 255 or value_n > 65535
    head: cython.size_t = (12 if wide else 4) + (8 if expiry >= 0 else 0)
    pair: bytep = cython.cast(bytep, allocate(head + n + value_n))
    if pair == cython.NULL:
        return cython.NULL
    pair[0] = PAIR_WIDE if wide else 0
    if expiry >= 0:
        pair[0] |= PAIR_EXPIRES
        store64(pair + head - 8, expiry)
    if wide:
        pair[1] = pair[2] = pair[3] = 0
        store32(pair + 4, cython.cast(uint32_t, n))
        store32(pair + 8, cython.cast(uint32_t, value_n))
    else:
        pair[1] = cython.cast(uint8_t, n)
        store16(pair + 2, cython.cast(uint16_t, value_n))
    memcpy(pair + head, key, n)
    if value_n > 0:
        memcpy(pair + head + n, value, value_n)
    return pair


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pair_new(key: const_bytes, n: cython.Py_ssize_t, value: const_bytes, value_n: cython.Py_ssize_t) -> bytep:
    """A block with this content and no expiry; NULL without memory."""
    return _new(key, n, value, value_n, PAIR_NO_EXPIRY)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pairs_new() -> pairs_p:
    """An empty one; NULL without memory."""
    m: pairs_p = cython.cast(pairs_p, allocate(cython.sizeof(Pairs)))
    if m != cython.NULL:
        memset(m, 0, cython.sizeof(Pairs))
        m.next_expiry = INT64_MAX
    return m


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _count_expiry(m: pairs_p, before: int64_t, after: int64_t) -> cython.void:
    """A pair's expiry was `before` and is `after`; -1: none, or no pair."""
    if before >= 0:
        m.expiring -= 1
        if m.expiring == 0:
            m.next_expiry = INT64_MAX
    if after >= 0:
        m.expiring += 1
        if after < m.next_expiry:
            m.next_expiry = after
        if after < m.since:
            m.since = after


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pairs_find(m: pairs_p, key: const_bytes, n: cython.Py_ssize_t) -> bytep:
    """The pair of this key, good until it is replaced or removed; NULL where there is none."""
    place: place_p = table_find(cython.address(m.t), key, n, hash_key(key, n))
    return cython.cast(bytep, cython.NULL) if place == cython.NULL else place[0]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pairs_put(m: pairs_p, key: const_bytes, n: cython.Py_ssize_t, value: const_bytes, value_n: cython.Py_ssize_t,
              expiry: int64_t) -> cython.int:
    """Set the value of a key, and its expiry (Unix ms or a PairExpiry): a PutPair. Without memory nothing changes.
    `value` must not be the present one."""
    hash: uint64_t = hash_key(key, n)
    place: place_p = table_find(cython.address(m.t), key, n, hash)
    pair: bytep
    old: bytep
    before: int64_t = PAIR_NO_EXPIRY
    if place != cython.NULL:
        old = place[0]
        before = pair_expiry(old)
        if expiry == PAIR_KEEP_EXPIRY:
            expiry = before
        if pair_value_len(old) == value_n and before == expiry:
            memcpy(cython.cast(bytep, pair_value(old)), value, value_n)
            return PAIR_REPLACED
    pair = _new(key, n, value, value_n, expiry)
    if pair == cython.NULL:
        return PAIR_NO_MEMORY
    if place != cython.NULL:
        release(place[0], pair_size(place[0]))
        place[0] = pair
    elif not table_insert(cython.address(m.t), pair, hash):
        release(pair, pair_size(pair))
        return PAIR_NO_MEMORY
    if before != PAIR_NO_EXPIRY or expiry >= 0:
        _count_expiry(m, before, expiry)
    return PAIR_ADDED if place == cython.NULL else PAIR_REPLACED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pairs_expire(m: pairs_p, key: const_bytes, n: cython.Py_ssize_t, expiry: int64_t) -> cython.int:
    """Give the pair of a key, which must be there, an expiry (Unix ms, or PAIR_NO_EXPIRY): a PutPair."""
    place: place_p = table_find(cython.address(m.t), key, n, hash_key(key, n))
    old: bytep = place[0]
    before: int64_t = pair_expiry(old)
    fresh: bytep
    if before >= 0 and expiry >= 0:
        store64(old + pair_head(old) - 8, expiry)
    elif before != expiry:
        fresh = _new(pair_key(old), pair_key_len(old), pair_value(old), pair_value_len(old), expiry)
        if fresh == cython.NULL:
            return PAIR_NO_MEMORY
        place[0] = fresh
        release(old, pair_size(old))
    _count_expiry(m, before, expiry)
    return PAIR_REPLACED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pairs_remove(m: pairs_p, key: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Take a key out; whether it was there."""
    hash: uint64_t = hash_key(key, n)
    place: place_p = table_find(cython.address(m.t), key, n, hash)
    pair: bytep
    if place == cython.NULL:
        return False
    pair = place[0]
    table_remove(cython.address(m.t), place, hash)
    if pair[0] & PAIR_EXPIRES:
        _count_expiry(m, pair_expiry(pair), PAIR_NO_EXPIRY)
    release(pair, pair_size(pair))
    table_fit(cython.address(m.t))
    return True


# ---- what the keyspace wants of a body

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pairs_length(body: cython.p_void) -> uint64_t:
    return cython.cast(pairs_p, body).t.used


@cython.cfunc
@cython.exceptval(check=False)
def _condemn(context: cython.p_void, pair: bytep) -> cython.int:
    release(pair, pair_size(pair))
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def pairs_drain(t: cython.pointer(Table), swept: cython.pointer(uint64_t), elements: int64_t) -> cython.bint:
    """Free up to about `elements` pairs of a table that nobody looks into any more; True when none is left."""
    if t.used == 0:
        return True
    swept[0] = table_drain(t, swept[0], elements // PER_CHAIN + 1, _condemn, cython.NULL)
    return swept[0] == 0


@cython.cfunc
@cython.exceptval(check=False)
def pairs_free(body: cython.p_void, elements: int64_t) -> cython.bint:
    """Free up to about `elements` pairs; True when all are, and the body itself."""
    m: pairs_p = cython.cast(pairs_p, body)
    if not pairs_drain(cython.address(m.t), cython.address(m.swept), elements):
        return False
    table_clear(cython.address(m.t))
    release(m, cython.sizeof(Pairs))
    return True


Sum = cython.struct(total=cython.size_t)
Copy = cython.struct(to=pairs_p, failed=cython.bint)


@cython.cfunc
@cython.exceptval(check=False)
def _add_bytes(context: cython.p_void, pair: bytep) -> cython.int:
    cython.cast(cython.pointer(Sum), context).total += block_bytes(pair, pair_size(pair))
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def pairs_held(t: cython.pointer(Table)) -> cython.size_t:
    """The memory of a table and its pairs. Walks every pair."""
    sum: Sum
    sum.total = table_bytes(t)
    table_walk(t, _add_bytes, cython.address(sum))
    return sum.total


@cython.cfunc
@cython.exceptval(check=False)
def pairs_bytes(body: cython.p_void) -> cython.size_t:
    """All memory it holds. Walks every pair."""
    return real_size(cython.sizeof(Pairs)) + pairs_held(cython.address(cython.cast(pairs_p, body).t))


@cython.cfunc
@cython.exceptval(check=False)
def _copy_pair(context: cython.p_void, pair: bytep) -> cython.int:
    copy: cython.pointer(Copy) = cython.cast(cython.pointer(Copy), context)
    if not copy.failed and pairs_put(copy.to, pair_key(pair), pair_key_len(pair), pair_value(pair),
                                     pair_value_len(pair), pair_expiry(pair)) == PAIR_NO_MEMORY:
        copy.failed = True
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def pairs_copy(body: cython.p_void) -> cython.p_void:
    """Another one of the same content; NULL without memory."""
    copy: Copy
    copy.to = pairs_new()
    copy.failed = False
    if copy.to == cython.NULL:
        return cython.NULL
    table_walk(cython.address(cython.cast(pairs_p, body).t), _copy_pair, cython.address(copy))
    if copy.failed:
        while not pairs_free(copy.to, 1 << 30):
            pass
        return cython.NULL
    return copy.to


@cython.cfunc
@cython.exceptval(-1, check=False)
def pairs_check(body: cython.p_void) -> cython.int:
    """AssertionError where an invariant does not hold."""
    m: pairs_p = cython.cast(pairs_p, body)
    times: Times
    times.expiring = 0
    times.earliest = INT64_MAX
    table_check(cython.address(m.t))
    table_walk(cython.address(m.t), _add_time, cython.address(times))
    assert times.expiring == m.expiring, "the count of pairs that expire is wrong"
    assert m.next_expiry <= times.earliest, "a pair falls due before its table's next_expiry"
    assert m.expiring or m.next_expiry == INT64_MAX, "nothing expires, and next_expiry says when"
    return 0


Times = cython.struct(expiring=uint64_t, earliest=int64_t)


@cython.cfunc
@cython.exceptval(check=False)
def _add_time(context: cython.p_void, pair: bytep) -> cython.int:
    times: cython.pointer(Times) = cython.cast(cython.pointer(Times), context)
    if pair[0] & PAIR_EXPIRES:
        times.expiring += 1
        times.earliest = min(times.earliest, pair_expiry(pair))
    return 0
