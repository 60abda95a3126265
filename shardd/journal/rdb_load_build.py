"""A collection that is made of RDB data, element by element: its body, its form, and whether an element is there.

A body is built the same way whatever its elements are read from, so that what is true of the bodies that commands make
is true of it: no element twice, integers in their shortest form, scores that are numbers, a small sorted set in order.
It begins in the smallest form that may hold what is announced, and is given a larger one where an element does not fit.
The thresholds are ours, not those of the server that wrote the data. How elements are put in is in rdb_load_hash,
rdb_load_set and rdb_load_zset.

In a listpack duplicates are found by a look through it while it has a few elements, later by a table of the places of
its elements, which exists while it is built.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.rdb_load_build import Build, build_lp
from cython.cimports.shardd.keyspace.entry import ENC_TABLE, View
from cython.cimports.shardd.keyspace.values import value_dispose
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.listpack import (
    LpNeedle, lp_bytes, lp_find, lp_first, lp_matches, lp_needle, lp_next, lp_text)
from cython.cimports.shardd.structures.pairs import Pairs, pairs_new
from cython.cimports.shardd.structures.table import table_reserve

build_p = cython.typedef(cython.pointer(Build))
view_p = cython.typedef(cython.pointer(View))
pairs_p = cython.typedef(cython.pointer(Pairs))

FEW = cython.declare(int64_t, 12)               # elements of a listpack that are looked through one by one


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


@cython.cfunc
@cython.exceptval(-1, check=False)
def build_begin(b: build_p, encoding: uint32_t, body: cython.p_void) -> cython.int:
    """Take an empty body."""
    if body == cython.NULL:
        raise MemoryError
    b.encoding = encoding
    b.body = body
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def build_table(b: build_p, count: int64_t) -> cython.int:
    """Take an empty table with room for so many pairs."""
    build_begin(b, ENC_TABLE, pairs_new())
    if not table_reserve(cython.address(cython.cast(pairs_p, b.body).t), count):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def build_become(b: build_p, encoding: uint32_t, body: cython.p_void) -> cython.int:
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
    lp: bytep = build_lp(b)
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
def build_seen(b: build_p, v: view_p) -> cython.bint:
    """Whether a listpack has this field or member; where not, it is going to be its next one."""
    needle: LpNeedle
    at: uint32_t
    lp: bytep = build_lp(b)
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
def build_keep(b: build_p, lp: bytep) -> cython.int:
    """A listpack's address after something was added; NULL: there was no memory."""
    if lp == cython.NULL:
        raise MemoryError
    b.body = lp
    return 0
