"""The expiry of a hash's fields, as the keyspace sees it: which hashes have such, and which of their fields are due.

    listpackex    field, value, expiry, field, value, expiry ...        a listpack; expiry in Unix ms, 0 for none
    hashtable     structures/pairs, in which a pair has an expiry or not

A hash is counted (`fields_expire`) while it is in a listpack with expiries, even when none is left, or a table of
which at least one pair has one. Redis keeps a small hash's fields in the order of their expiries; here they stay where
they are, since a hash so small is looked through in a microsecond.

Functions look at one entry and know no database: who deletes what is due, and tells whom, is in field_expiry.py.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t, uint64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.keyspace.entry import (
    ENC_LISTPACK_EX, ENC_TABLE, entry_body, entry_encoding, entry_set_body)
from cython.cimports.shardd.structures.listpack import (
    LpValue, lp_delete, lp_find, lp_first, lp_get, lp_next, lp_text)
from cython.cimports.shardd.structures.pairs import Pairs, pair_key, pairs_remove
from cython.cimports.shardd.structures.table import pair_expiry, pair_key_len, table_sweep

pairs_p = cython.typedef(cython.pointer(Pairs))


@cython.cfunc
@cython.exceptval(check=False)
def fields_due(e: bytep) -> int64_t:
    """A time before which no field of this hash (one that fields_expire) falls due; INT64_MAX where none expires."""
    v: LpValue
    earliest: int64_t = INT64_MAX
    lp: bytep
    p: bytep
    if entry_encoding(e) == ENC_TABLE:
        return cython.cast(pairs_p, entry_body(e)).next_expiry
    if entry_encoding(e) == ENC_LISTPACK_EX:
        lp = cython.cast(bytep, entry_body(e))
        p = lp_first(lp)
        while p != cython.NULL:
            p = lp_next(lp, lp_next(lp, p))
            lp_get(p, cython.address(v))
            if v.number != 0 and v.number < earliest:
                earliest = v.number
            p = lp_next(lp, p)
    return earliest


@cython.final
@cython.cclass
class _Found:
    """What a sweep over a table has come upon."""
    now_ms: int64_t
    earliest: int64_t
    due: list
    failed: cython.bint


@cython.cfunc
@cython.exceptval(check=False)
def _look(context: cython.p_void, pair: bytep) -> cython.int:
    """Visitor of a sweep: note what is due, and when the next one is. Takes nothing out."""
    found: _Found = cython.cast(_Found, context)
    when: int64_t = pair_expiry(pair)
    if when < 0:
        return 0
    if when >= found.now_ms:
        if when < found.earliest:
            found.earliest = when
        return 0
    try:
        found.due.append(cython.cast(cython.p_char, pair_key(pair))[:pair_key_len(pair)])
    except MemoryError:
        found.failed = True
    return 0


@cython.cfunc
@cython.exceptval(0)
def fields_chains(e: bytep, now_ms: int64_t, start: uint64_t, chains: uint64_t, due: list,
                  earliest: cython.pointer(int64_t)) -> uint64_t:
    """Put the names of what is due into `due`, over so many chains of a large hash from `start` on, and lower
    `earliest` to the first expiry that is not. Where to go on; 0 at the end. A resize between two calls makes the
    numbers of chains meaningless. MemoryError.
    """
    found: _Found = _Found()
    found.now_ms = now_ms
    found.earliest = earliest[0]
    found.due = due
    following: uint64_t = table_sweep(cython.address(cython.cast(pairs_p, entry_body(e)).t), start, chains, _look,
                                      cython.cast(cython.p_void, found))
    if found.failed:
        raise MemoryError
    earliest[0] = found.earliest
    return following


@cython.cfunc
@cython.exceptval(-1, check=False)
def fields_listed(e: bytep, now_ms: int64_t, due: list, earliest: cython.pointer(int64_t)) -> cython.int:
    """The same of the whole hash, small or large."""
    v: LpValue
    digits: uint8_t[24]
    text: cython.pointer(cython.const[uint8_t])
    n: cython.Py_ssize_t
    lp: bytep
    p: bytep
    field: bytep
    if entry_encoding(e) == ENC_TABLE:
        fields_chains(e, now_ms, 0, cython.cast(uint64_t, INT64_MAX), due, earliest)
        return 0
    lp = cython.cast(bytep, entry_body(e))
    p = lp_first(lp)
    while p != cython.NULL:
        field = p
        p = lp_next(lp, lp_next(lp, p))
        lp_get(p, cython.address(v))
        if v.number != 0 and v.number < now_ms:
            n = lp_text(field, digits, cython.address(text))
            due.append(cython.cast(cython.p_char, text)[:n])
        elif v.number != 0 and v.number < earliest[0]:
            earliest[0] = v.number
        p = lp_next(lp, p)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def fields_drop(e: bytep, names: list) -> cython.int:
    """Take fields out of a hash. MemoryError, and some are left then."""
    name: bytes
    lp: bytep
    p: bytep
    for name in names:
        if entry_encoding(e) == ENC_TABLE:
            pairs_remove(cython.cast(pairs_p, entry_body(e)), name, len(name))
            continue
        lp = cython.cast(bytep, entry_body(e))
        p = lp_find(lp, lp_first(lp), name, len(name), 2)
        lp = lp_delete(lp, p, 3, cython.NULL)
        if lp == cython.NULL:
            raise MemoryError
        entry_set_body(e, lp)
    return 0
