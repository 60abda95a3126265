"""Sorting of many items by a number or by a text, in memory of our own.

    items   | key | at |  ...      16 bytes each; these move
                    |
    texts   ...  | p, n | ...      these stay: items[i].at says which of them the i-th item is

By number: a double becomes 64 bits that compare as it does, and the items go through a radix sort, byte by byte from
the lowest one, without those bytes that are the same in all. It takes as long as there are items, whatever their order.
Items of the same number lie together then, and each such run is sorted by text.

By text: what all of them begin with is passed over, the next eight bytes are the number, and the items are sorted by
that; those of the same eight bytes are a run, for which this starts again behind them. A short run, or one that is
LEVELS_MAX levels deep, is sorted by merging instead, which compares whole texts.

Texts compare as memcmp has it, a shorter one before what it is the beginning of. Equal ones stay in the order in which
they came, `descending` or not. Only runs that reach into the places `first` to `end` are sorted to the end: LIMIT asks
for no more.

Owns no data: who calls keeps the arrays. All of it runs without a Python object. Invariant: `items` is a permutation of
what it was, whatever becomes of the memory that was asked for.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.number import format_int
from cython.cimports.shardd.structures.sorting import Scratch, Sorting, Text, Weighed

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
text_p = cython.typedef(cython.pointer(Text))
weighed_p = cython.typedef(cython.pointer(Weighed))
sorting_p = cython.typedef(cython.pointer(Sorting))
scratch_p = cython.typedef(cython.pointer(Scratch))

FEW = cython.declare(int64_t, 48)               # so many are sorted by inserting or merging
BLOCK = cython.declare(int64_t, 12)             # merging begins with blocks of so many, sorted by inserting
LEVELS_MAX = cython.declare(cython.int, 32)     # steps of eight bytes into a run's texts: bounds the stack
SCRATCH_BYTES = cython.declare(cython.size_t, 65536)
_SIGN = cython.declare(uint64_t, 1 << 63)


# ---- memory for short texts

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scratch_take(s: scratch_p, n: cython.size_t) -> bytep:
    """Room for `n` bytes; NULL without memory."""
    block: cython.p_void
    size: cython.size_t
    if s.block == cython.NULL or s.size - s.used < n:
        size = SCRATCH_BYTES if n < SCRATCH_BYTES // 2 else n + 8
        block = malloc(size)
        if block == cython.NULL:
            return cython.NULL
        cython.cast(cython.pp_void, block)[0] = s.block
        s.block = block
        s.used = 8
        s.size = size
    s.used += n
    return cython.cast(bytep, s.block) + s.used - n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scratch_free(s: scratch_p) -> cython.void:
    """Give all of it back."""
    before: cython.p_void
    while s.block != cython.NULL:
        before = cython.cast(cython.pp_void, s.block)[0]
        free(s.block)
        s.block = before


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def text_spell(t: text_p, s: scratch_p) -> cython.bint:
    """Give an integer its text; False without memory."""
    digits: bytep
    if t.p != cython.NULL:
        return True
    digits = scratch_take(s, 20)
    if digits == cython.NULL:
        return False
    t.n = format_int(digits, t.n)
    t.p = digits
    return True


# ---- by number

@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def number_key(value: cython.double) -> uint64_t:
    """64 bits that compare, without a sign, as the double does; -0 is 0."""
    bits: uint64_t
    value += 0.0
    memcpy(cython.address(bits), cython.address(value), 8)
    return ~bits if bits & _SIGN else bits | _SIGN


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _insert_by_key(items: weighed_p, n: int64_t) -> cython.void:
    i: int64_t
    j: int64_t
    one: Weighed
    for i in range(1, n):
        one = items[i]
        j = i
        while j > 0 and items[j - 1].key > one.key:
            items[j] = items[j - 1]
            j -= 1
        items[j] = one


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _by_key(items: weighed_p, spare: weighed_p, n: int64_t) -> cython.void:
    """Sort by key; `spare` is room for as many."""
    counts: int64_t[2048]       # of each of the eight bytes
    count: cython.pointer(int64_t)
    start: weighed_p = items
    i: int64_t
    total: int64_t
    key: uint64_t
    byte: cython.int
    digit: cython.int
    if n <= FEW:
        _insert_by_key(items, n)
        return
    memset(counts, 0, cython.sizeof(counts))
    for i in range(n):
        key = items[i].key
        for byte in range(8):
            counts[(byte << 8) + (key & 255)] += 1
            key >>= 8
    for byte in range(8):
        count = counts + (byte << 8)
        if count[(items[0].key >> (8 * byte)) & 255] == n:
            continue
        total = 0
        for digit in range(256):
            i = count[digit]
            count[digit] = total
            total += i
        for i in range(n):
            digit = (items[i].key >> (8 * byte)) & 255
            spare[count[digit]] = items[i]
            count[digit] += 1
        items, spare = spare, items
    if items != start:
        memcpy(start, items, n * cython.sizeof(Weighed))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def sort_numbers(s: sorting_p) -> cython.bint:
    """By key, and those of the same key by text. The keys are number_key's, whatever the direction."""
    i: int64_t
    if s.descending:
        for i in range(s.n):
            s.items[i].key = ~s.items[i].key
    _by_key(s.items, s.spare, s.n)
    return _runs(s, 0, s.n, 0, 0)


# ---- by text

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _runs(s: sorting_p, first: int64_t, end: int64_t, depth: int64_t, level: cython.int) -> cython.bint:
    """Sort those of the same key, among items that are sorted by it, by text; False without memory."""
    i: int64_t = first
    j: int64_t
    key: uint64_t
    while i < end and i < s.end:
        key = s.items[i].key
        j = i + 1
        while j < end and s.items[j].key == key:
            j += 1
        if j - i > 1 and j > s.first:
            if not _run(s, i, j, depth, level):
                return False
        i = j
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _run(s: sorting_p, first: int64_t, end: int64_t, depth: int64_t, level: cython.int) -> cython.bint:
    """Sort the items from `first` to `end`, whose texts are the same up to `depth`; False without memory."""
    i: int64_t
    n: int64_t = end - first
    t: text_p
    if level == 0 and not _differ(s, first, end):
        return True
    if level == 0 and not _spell(s, first, end):
        return False
    if n > FEW and level < LEVELS_MAX:
        depth = _common(s, first, end, depth)
        for i in range(first, end):
            t = s.texts + s.items[i].at
            s.items[i].key = _eight(t.p + depth, t.n - depth)
            if s.descending:
                s.items[i].key = ~s.items[i].key
        _by_key(s.items + first, s.spare, n)
        if s.items[first].key != s.items[end - 1].key:
            return _runs(s, first, end, depth, level + 1)
        # what they have in common is shorter than eight bytes, and behind it there is nothing, or zeros
    _merge(s, first, end, depth)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _differ(s: sorting_p, first: int64_t, end: int64_t) -> cython.bint:
    """Whether the items are more than one and the same integer."""
    t: text_p
    i: int64_t
    one: text_p = s.texts + s.items[first].at
    if one.p != cython.NULL:
        return True
    for i in range(first + 1, end):
        t = s.texts + s.items[i].at
        if t.p != cython.NULL or t.n != one.n:
            return True
    return False


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _spell(s: sorting_p, first: int64_t, end: int64_t) -> cython.bint:
    """Give those that are integers their texts; False without memory."""
    i: int64_t
    for i in range(first, end):
        if not text_spell(s.texts + s.items[i].at, s.scratch):
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _common(s: sorting_p, first: int64_t, end: int64_t, depth: int64_t) -> int64_t:
    """How many bytes all of the texts begin with, where it is known of the first `depth`."""
    i: int64_t
    j: int64_t
    t: text_p
    one: text_p = s.texts + s.items[first].at
    n: int64_t = one.n
    for i in range(first + 1, end):
        t = s.texts + s.items[i].at
        if n > t.n:
            n = t.n
        if n > depth and memcmp(t.p + depth, one.p + depth, n - depth) != 0:
            j = depth
            while t.p[j] == one.p[j]:
                j += 1
            n = j
        if n == depth:
            break
    return n


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _eight(p: const_bytes, n: int64_t) -> uint64_t:
    """The first eight of `n` bytes as a number that compares as they do, with zeros behind the last one."""
    i: cython.int
    key: uint64_t = 0
    if n >= 8:
        for i in range(8):
            key = (key << 8) | p[i]
        return key
    for i in range(n):
        key = (key << 8) | p[i]
    return key << (8 * (8 - n)) if n > 0 else 0


@cython.cfunc
@cython.nogil
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _behind(s: sorting_p, a: weighed_p, b: weighed_p, depth: int64_t) -> cython.bint:
    """Whether a's place is behind b's."""
    one: text_p = s.texts + a.at
    other: text_p = s.texts + b.at
    order: cython.int = memcmp(one.p + depth, other.p + depth, (one.n if one.n < other.n else other.n) - depth)
    if order == 0:
        order = (one.n > other.n) - (one.n < other.n)
    return order < 0 if s.descending else order > 0


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _merge(s: sorting_p, first: int64_t, end: int64_t, depth: int64_t) -> cython.void:
    """Sort the items from `first` to `end`, whose texts are the same up to `depth`, by merging."""
    items: weighed_p = s.items + first
    spare: weighed_p = s.spare
    n: int64_t = end - first
    width: int64_t = BLOCK
    i: int64_t = 0
    while i < n:
        _insert(s, items + i, min(BLOCK, n - i), depth)
        i += BLOCK
    while width < n:
        i = 0
        while i < n:
            _merge_two(s, items + i, min(width, n - i), max(0, min(width, n - i - width)), spare + i, depth)
            i += 2 * width
        items, spare = spare, items
        width *= 2
    if items != s.items + first:
        memcpy(s.items + first, items, n * cython.sizeof(Weighed))


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _insert(s: sorting_p, items: weighed_p, n: int64_t, depth: int64_t) -> cython.void:
    i: int64_t
    j: int64_t
    one: Weighed
    for i in range(1, n):
        one = items[i]
        j = i
        while j > 0 and _behind(s, items + j - 1, cython.address(one), depth):
            items[j] = items[j - 1]
            j -= 1
        items[j] = one


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _merge_two(s: sorting_p, items: weighed_p, n: int64_t, m: int64_t, out: weighed_p,
               depth: int64_t) -> cython.void:
    """Merge the `n` items and the `m` behind them into `out`."""
    a: weighed_p = items
    b: weighed_p = items + n
    a_end: weighed_p = b
    b_end: weighed_p = b + m
    if m > 0 and not _behind(s, b - 1, b, depth):
        a_end = b_end       # in order already
        b = b_end
    while a < a_end and b < b_end:
        if _behind(s, a, b, depth):
            out[0] = b[0]
            b += 1
        else:
            out[0] = a[0]
            a += 1
        out += 1
    memcpy(out, a, (a_end - a) * cython.sizeof(Weighed))
    memcpy(out + (a_end - a), b, (b_end - b) * cython.sizeof(Weighed))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def sort_texts(s: sorting_p) -> cython.bint:
    """By text; the keys mean nothing."""
    return s.n < 2 or _run(s, 0, s.n, 0, 0)
