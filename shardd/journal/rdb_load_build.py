"""A collection that is made of RDB data, element by element: its body, its form, and whether an element is there.

A body is built the same way whatever its elements are read from, so that what is true of the bodies that commands make
is true of it: no element twice, integers in their shortest form, scores that are numbers, a small sorted set in order.
It begins in the smallest form that may hold what is announced, and is given a larger one where an element does not fit.
The thresholds are ours, not those of the server that wrote the data. How elements are put in is in rdb_load_hash,
rdb_load_set and rdb_load_zset.

A value is made in steps: what opens it reads how many elements there are, or the block that holds them, and sets
`take`, of which each call adds one element. Between two calls nothing else may be read from the source.

In a listpack duplicates are found by a look through it while it has a few elements, later by a table of the places of
its elements, which exists while it is built.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.rdb_load_build import Build, build_lp
from cython.cimports.shardd.keyspace.entry import ENC_LISTPACK, ENC_TABLE, View
from cython.cimports.shardd.keyspace.values import value_dispose
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.listpack import (
    LpNeedle, LpValue, lp_bytes, lp_copy, lp_find, lp_first, lp_get, lp_matches, lp_needle, lp_next, lp_text)
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.structures.pairs import Pairs, pairs_new
from cython.cimports.shardd.structures.table import table_reserve

build_p = cython.typedef(cython.pointer(Build))
view_p = cython.typedef(cython.pointer(View))
pairs_p = cython.typedef(cython.pointer(Pairs))

FEW = cython.declare(int64_t, 12)               # elements of a listpack that are looked through one by one
INT_TEXT_MAX = cython.declare(cython.Py_ssize_t, 20)        # bytes of an integer's digits
INT32_LOWEST = cython.declare(int64_t, -2147483648)
INT32_HIGHEST = cython.declare(int64_t, 2147483647)


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
def _open_places(b: build_p, count: int64_t) -> cython.int:
    """Make the table of the places of a listpack's elements, for `count` of them; MemoryError."""
    size: uint64_t = 32
    while size < cython.cast(uint64_t, count) * 2:
        size *= 2
    free(b.seen)
    b.seen = cython.cast(cython.pointer(uint32_t), calloc(size, cython.sizeof(uint32_t)))
    if b.seen == cython.NULL:
        raise MemoryError
    b.seen_mask = cython.cast(uint32_t, size - 1)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _place_of(b: build_p, lp: bytep, v: view_p) -> uint32_t:
    """Where in that table the place of this element is, or belongs."""
    needle: LpNeedle
    at: uint32_t = cython.cast(uint32_t, hash_key(v.p, v.n) & b.seen_mask)
    lp_needle(cython.address(needle), v.p, v.n)
    while b.seen[at] and not lp_matches(lp + b.seen[at], cython.address(needle)):
        at = (at + 1) & b.seen_mask
    return at


@cython.cfunc
@cython.exceptval(-1, check=False)
def build_seen(b: build_p, v: view_p) -> cython.bint:
    """Whether a listpack has this field or member; where not, it is going to be its next one."""
    seen: View
    i: cython.int
    at: uint32_t
    lp: bytep = build_lp(b)
    p: bytep = lp_first(lp)
    if b.count < FEW:
        return b.count > 0 and lp_find(lp, p, v.p, v.n, b.width - 1) != cython.NULL
    if b.seen == cython.NULL or b.count * 2 > b.seen_mask:
        _open_places(b, 2 * b.count)
        while p != cython.NULL:
            seen.n = lp_text(p, seen.digits, cython.address(seen.p))
            b.seen[_place_of(b, lp, cython.address(seen))] = cython.cast(uint32_t, p - lp)
            for i in range(b.width):
                p = lp_next(lp, p)
    at = _place_of(b, lp, v)
    if b.seen[at]:
        return True
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


# ---- listpacks as they are

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_shortest(p: cython.pointer(cython.const[uint8_t])) -> cython.bint:
    """Whether an element stands in the form that we would give it: else what looks for it would not find it."""
    v: LpValue
    number: int64_t = 0
    mark: uint8_t = p[0]
    if mark < 128:
        return True
    lp_get(p, cython.address(v))
    if v.p != cython.NULL:
        if v.n <= INT_TEXT_MAX and parse_int64(v.p, v.n, cython.address(number)):
            return False
        return mark < 192 if v.n < 64 else mark < 240 if v.n < 4096 else mark == 240
    if mark < 224:
        return v.number < 0 or v.number > 127
    if mark == 241:
        return not -4096 <= v.number <= 4095
    if mark == 242:
        return not -32768 <= v.number <= 32767
    if mark == 243:
        return not -8388608 <= v.number <= 8388607
    return not INT32_LOWEST <= v.number <= INT32_HIGHEST


@cython.cfunc
@cython.exceptval(-1, check=False)
def _as_built(b: build_p, lp: bytep, many: cython.bint) -> cython.bint:
    """Whether a listpack is what building it would make: no element too long or in another form, none twice. many:
    there is a table of the places of its elements to be filled."""
    v: View
    other: View
    i: cython.int
    at: uint32_t
    p: bytep = lp_first(lp)
    following: bytep
    while p != cython.NULL:
        v.n = lp_text(p, v.digits, cython.address(v.p))
        following = p
        for i in range(b.width):
            other.n = lp_text(following, other.digits, cython.address(other.p))
            if other.n > b.max_value or not is_shortest(following):
                return False
            following = lp_next(lp, following)
        if many:
            at = _place_of(b, lp, cython.address(v))
            if b.seen[at]:
                return False
            b.seen[at] = cython.cast(uint32_t, p - lp)
        elif lp_find(lp, following, v.p, v.n, b.width - 1) != cython.NULL:
            return False
        p = following
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def build_adopt(b: build_p, block: view_p, count: int64_t) -> cython.bint:
    """Take a copy of a listpack, which is sound and holds `count` fields or members of b.width elements each, where it
    is what building it would make. MemoryError."""
    lp: bytep = cython.cast(bytep, block.p)
    fits: cython.bint
    if count > b.max_entries or count == 0:
        return False
    if count > FEW:
        _open_places(b, count)
    fits = _as_built(b, lp, count > FEW)
    free(b.seen)
    b.seen = cython.NULL
    if not fits:
        return False
    build_begin(b, ENC_LISTPACK, lp_copy(lp))
    b.count = count
    return True
