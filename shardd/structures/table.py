"""The packed hash table: the keyspace's slots, and every large hash, set and member index.

It owns buckets and the order in them; the entries are the caller's blobs. Two cache misses find a key: one line of
buckets, one entry.

    bucket, 64 bytes = one cache line
    +------+------+------+- - -+------+----------+----------+- - -+----------------------+
    | meta | tag0 | tag1 |     | tag6 | entry[0] | entry[1] |     | entry[6] or next one |
    +------+------+------+- - -+------+----------+----------+- - -+----------------------+
      bits 0..6: slot in use          8 bytes each
      bit 7: chained, entry[6] points at another bucket of the same chain

A key belongs to the chain of bucket `hash & mask`; its tag is the hash's top byte. All seven tags are compared at
once, as bytes of one word, so that an absent key mostly costs no entry at all. A full bucket grows a child.
Keeping a key in its home chain is what makes SCAN's guarantee simple: a cursor names a chain.

    entry:   [skip bytes of the owner] [pair header] [key] [value]
    pair header   u8 flags, u8 key length, u16 value length
                  + u32 key length, u32 value length       where WIDE (either does not fit above)
                  + i64 expiry, unix time in ms            where EXPIRES

Growth: past six entries a bucket on average the array doubles; below one it shrinks. Small tables (up to
`AT_ONCE` buckets) are rebuilt at once, in microseconds; larger ones keep both arrays, and each insertion and
removal moves a few buckets, so no single command pays for a resize. While both exist, buckets `old[moved:]` are still
home to their keys and everything else is in `b`.

The order of a scan is that of the reversed bits of the bucket index (Pieter Noordhuis's cursor, as in Redis's
dict.c): every key that is there from the scan's start to its end is returned at least once, whatever resizing happens
between two calls.

Where an array cannot be allocated, a table goes on with longer chains; an insertion fails only where it finds no room
at all.
"""
import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t, uintptr_t
from cython.cimports.libc.string import memcmp
from cython.cimports.shardd.base.native import bytep, ctz, ctz64, load64, prefetch
from cython.cimports.shardd.structures.alloc import (
    allocate_lines, discard_lines, lines_bytes, release_lines)
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.table import (
    Bucket, EntryVisitor, Table, pair_head, pair_key_len)

AT_ONCE = cython.declare(uint32_t, 8)           # buckets: such a table is resized in one go, in some 3 us
STEP_BUCKETS = cython.declare(cython.int, 2)    # old buckets moved by each insertion and removal
DISCARD_BUCKETS = cython.declare(uint32_t, 4096)        # emptied buckets whose pages go back at a time: 256 KiB
MAPPED_BUCKETS = cython.declare(uint32_t, 16384)        # an array of so many is mapped by itself: 1 MiB
CHAIN_PLACES = cython.declare(uint64_t, 28)             # slots of a chain that are drawn from: four buckets
PLACES_TRIED = cython.declare(cython.int, 64)
BUCKETS_MAX = cython.declare(uint32_t, 1 << 30)
FILL = cython.declare(uint32_t, 6)              # entries a bucket, on average, before the array doubles

bucket_p = cython.typedef(cython.pointer(Bucket))
table_p = cython.typedef(cython.pointer(Table))
place_p = cython.typedef(cython.pointer(bytep))

_ONES = cython.declare(uint64_t, 0x0101010101010101)
_HIGHS = cython.declare(uint64_t, 0x8080808080808000)      # the meta byte can never match

_LCG_A = cython.declare(uint64_t, 6364136223846793005)     # Knuth's MMIX generator
_LCG_C = cython.declare(uint64_t, 1442695040888963407)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _entry_hash(t: table_p, e: bytep) -> uint64_t:
    h: bytep = e + t.skip
    return hash_key(h + pair_head(h), pair_key_len(h))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _find_in_chain(t: table_p, b: bucket_p, key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t,
                   hash: uint64_t) -> place_p:
    word: uint64_t
    j: cython.int
    h: bytep
    while True:
        word = load64(b) ^ (_ONES * (hash >> 56))
        word = (word - _ONES) & ~word & _HIGHS
        while word:
            j = (ctz64(word) >> 3) - 1
            if b.meta & (1 << j):
                h = b.entry[j] + t.skip
                if pair_key_len(h) == n and memcmp(h + pair_head(h), key, n) == 0:
                    return cython.address(b.entry[j])
            word &= word - 1
        if not b.meta & 128:
            return cython.NULL
        b = cython.cast(bucket_p, b.entry[6])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_find(t: table_p, key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t, hash: uint64_t) -> place_p:
    """Where the entry of this key is kept, or NULL. The place holds until the next insertion or removal."""
    place: place_p
    if t.b == cython.NULL:
        return cython.NULL
    if t.old != cython.NULL and (hash & t.old_mask) >= t.moved:
        place = _find_in_chain(t, cython.address(t.old[hash & t.old_mask]), key, n, hash)
        if place != cython.NULL:
            return place
    return _find_in_chain(t, cython.address(t.b[hash & t.mask]), key, n, hash)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_prefetch_bucket(t: table_p, hash: uint64_t) -> cython.void:
    """Ask for the line of this hash's bucket."""
    if t.b != cython.NULL:
        prefetch(cython.address(t.b[hash & t.mask]))


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def table_prefetch_entry(t: table_p, hash: uint64_t) -> cython.void:
    """Ask for the entry that this hash's tag points to; the bucket should be near by now."""
    word: uint64_t
    j: cython.int
    b: bucket_p
    if t.b == cython.NULL:
        return
    b = cython.address(t.b[hash & t.mask])
    word = load64(b) ^ (_ONES * (hash >> 56))
    word = (word - _ONES) & ~word & _HIGHS
    while word:
        j = (ctz64(word) >> 3) - 1
        if b.meta & (1 << j):
            # a typical entry lies across two lines
            prefetch(b.entry[j])
            prefetch(b.entry[j] + 56)
            return
        word &= word - 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _place(t: table_p, b: bucket_p, entry: bytep, hash: uint64_t) -> cython.bint:
    """Put the entry into the chain at `b`; False where a child was needed and could not be had."""
    free: cython.uint
    j: cython.int
    child: bucket_p
    while b.meta & 128:
        free = ~b.meta & 63
        if free:
            break
        b = cython.cast(bucket_p, b.entry[6])
    free = ~b.meta & (63 if b.meta & 128 else 127)
    if not free:
        child = cython.cast(bucket_p, allocate_lines(64))
        if child == cython.NULL:
            return False
        t.children += 1
        child.meta = 1
        child.tag[0] = b.tag[6]
        child.entry[0] = b.entry[6]
        b.entry[6] = cython.cast(bytep, child)
        b.meta = cython.cast(uint8_t, (b.meta & 63) | 128)
        b = child
        free = 126
    j = ctz(free)
    b.meta |= cython.cast(uint8_t, 1 << j)
    b.tag[j] = cython.cast(uint8_t, hash >> 56)
    b.entry[j] = entry
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _empty_bucket(t: table_p, b: bucket_p) -> cython.bint:
    """Move every entry of the chain at `b` into t.b and free its children.

    False where memory ran out; what was moved is moved, the rest is still in place.
    """
    j: cython.int
    e: bytep
    child: bucket_p
    for j in range(7):
        if b.meta & (1 << j):
            prefetch(b.entry[j])
    while True:
        for j in range(7):
            if b.meta & (1 << j):
                e = b.entry[j]
                hash: uint64_t = _entry_hash(t, e)
                if not _place(t, cython.address(t.b[hash & t.mask]), e, hash):
                    return False
                b.meta &= cython.cast(uint8_t, ~(1 << j) & 255)
        if not b.meta & 128:
            return True
        # pull the child's content up, so that a failure half-way leaves a sound chain
        child = cython.cast(bucket_p, b.entry[6])
        b[0] = child[0]
        release_lines(child, 64)
        t.children -= 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_step(t: table_p, buckets: cython.int) -> cython.bint:
    """Move up to `buckets` old buckets on; True while the table is still rehashing."""
    if t.old == cython.NULL:
        return False
    while buckets > 0:
        buckets -= 1
        if not _empty_bucket(t, cython.address(t.old[t.moved])):
            return True
        if t.moved == t.old_mask:
            release_lines(t.old, (cython.cast(cython.size_t, t.old_mask) + 1) * 64)
            t.old = cython.NULL
            t.shape += 1
            return False
        t.moved += 1
        if t.moved & (DISCARD_BUCKETS - 1) == 0 and t.old_mask >= MAPPED_BUCKETS - 1:
            discard_lines(t.old, cython.cast(cython.size_t, t.moved - DISCARD_BUCKETS) * 64,
                          cython.cast(cython.size_t, t.moved) * 64)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _rebuild(t: table_p, buckets: uint64_t) -> cython.void:
    """Start to move everything into a new array; finish at once where both are small. No memory: nothing changes."""
    fresh: bucket_p = cython.cast(bucket_p, allocate_lines(buckets * 64))
    if fresh == cython.NULL:
        return
    t.old = t.b
    t.old_mask = t.mask
    t.moved = 0
    t.shape += 1
    t.b = fresh
    t.mask = cython.cast(uint32_t, buckets - 1)
    if t.old_mask < AT_ONCE and buckets <= AT_ONCE * 2:
        table_step(t, cython.cast(cython.int, t.old_mask + 1))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_reserve(t: table_p, entries: uint64_t) -> cython.bint:
    """Make room in an empty table for so many, so that it need not grow meanwhile; False where there is no memory."""
    buckets: uint64_t = 1
    if t.b != cython.NULL:
        return True
    while buckets * FILL < entries and buckets < BUCKETS_MAX:
        buckets *= 2
    t.b = cython.cast(bucket_p, allocate_lines(buckets * 64))
    if t.b == cython.NULL:
        return False
    t.mask = cython.cast(uint32_t, buckets - 1)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_insert(t: table_p, entry: bytep, hash: uint64_t) -> cython.bint:
    """Add an entry whose key is not in the table; False where there was no memory."""
    if t.b == cython.NULL:
        t.b = cython.cast(bucket_p, allocate_lines(64))
        if t.b == cython.NULL:
            return False
        t.mask = 0
    elif t.old != cython.NULL:
        table_step(t, STEP_BUCKETS)
    elif t.used >= (t.mask + 1) * FILL and t.mask < BUCKETS_MAX - 1:
        # one bucket is used to its seventh slot before it becomes two
        if t.mask != 0 or t.used >= 7:
            _rebuild(t, (cython.cast(uint64_t, t.mask) + 1) * 2)
    if not _place(t, cython.address(t.b[hash & t.mask]), entry, hash):
        return False
    t.used += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _in_chain(b: bucket_p, wanted: bucket_p) -> cython.bint:
    while b != wanted:
        if not b.meta & 128:
            return False
        b = cython.cast(bucket_p, b.entry[6])
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_remove(t: table_p, place: place_p, hash: uint64_t) -> cython.void:
    """Take the entry at `place` (from table_find with the same hash) out. Does not shrink: see table_fit."""
    b: bucket_p = cython.cast(bucket_p, cython.cast(uintptr_t, place) & ~cython.cast(uintptr_t, 63))
    j: cython.int = cython.cast(cython.int, (cython.cast(uintptr_t, place) & 63) >> 3) - 1
    home: bucket_p = cython.address(t.b[hash & t.mask])
    last: bucket_p
    parent: bucket_p = cython.NULL
    k: cython.int
    if t.old != cython.NULL and (hash & t.old_mask) >= t.moved and _in_chain(
            cython.address(t.old[hash & t.old_mask]), b):
        home = cython.address(t.old[hash & t.old_mask])
    b.meta &= cython.cast(uint8_t, ~(1 << j) & 255)
    t.used -= 1
    last = home
    while last.meta & 128:
        parent = last
        last = cython.cast(bucket_p, last.entry[6])
    if parent == cython.NULL:
        return
    if last != b:
        # a child always holds something: fill the hole with it
        k = ctz(last.meta & 127)
        b.tag[j] = last.tag[k]
        b.entry[j] = last.entry[k]
        b.meta |= cython.cast(uint8_t, 1 << j)
        last.meta &= cython.cast(uint8_t, ~(1 << k) & 255)
    if not last.meta & 127:
        parent.meta &= 63
        release_lines(last, 64)
        t.children -= 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_fit(t: table_p) -> cython.void:
    """After removals: go on with a rehash, free an empty table, shrink a sparse one."""
    buckets: uint64_t
    if t.b == cython.NULL:
        return
    if t.used == 0:
        table_clear(t)
    elif t.old != cython.NULL:
        table_step(t, STEP_BUCKETS)
    elif t.mask > 0 and t.used <= t.mask:
        # at most one entry a bucket: go down to where an average bucket holds two to four
        buckets = t.mask + 1
        while buckets > 1 and t.used < buckets * 2:
            buckets >>= 1
        _rebuild(t, buckets)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _free_array(t: table_p, b: bucket_p, mask: uint32_t) -> cython.void:
    i: uint64_t
    child: bucket_p
    following: bucket_p
    if t.children:
        for i in range(cython.cast(uint64_t, mask) + 1):
            if b[i].meta & 128:
                child = cython.cast(bucket_p, b[i].entry[6])
                while child != cython.NULL:
                    following = cython.cast(bucket_p, child.entry[6]) if child.meta & 128 else cython.NULL
                    release_lines(child, 64)
                    child = following
    release_lines(b, (cython.cast(cython.size_t, mask) + 1) * 64)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_clear(t: table_p) -> cython.void:
    """Forget all entries (they stay the caller's) and free all buckets."""
    if t.old != cython.NULL:
        _free_array(t, t.old, t.old_mask)
    if t.b != cython.NULL:
        _free_array(t, t.b, t.mask)
    t.b = cython.NULL
    t.old = cython.NULL
    t.mask = t.old_mask = t.moved = t.children = t.used = 0
    t.shape += 1


@cython.cfunc
@cython.exceptval(check=False)
def _visit_chain(b: bucket_p, visit: EntryVisitor, context: cython.p_void) -> cython.void:
    j: cython.int
    while True:
        for j in range(7):
            if b.meta & (1 << j):
                visit(context, b.entry[j])
        if not b.meta & 128:
            return
        b = cython.cast(bucket_p, b.entry[6])


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _reverse_bits(v: uint64_t) -> uint64_t:
    i: cython.int
    out: uint64_t = 0
    for i in range(8):
        out = (out << 8) | _reversed_byte[v & 0xFF]
        v >>= 8
    return out


_reversed_byte = cython.declare(uint8_t[256])


def _fill_reversed() -> None:
    for byte in range(256):
        _reversed_byte[byte] = int(f"{byte:08b}"[::-1], 2)


_fill_reversed()


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _next_cursor(cursor: uint64_t, mask: uint64_t) -> uint64_t:
    """Add one to the cursor's reversed bits under `mask`; 0 after the last."""
    cursor |= ~mask
    cursor = _reverse_bits(cursor)
    cursor += 1
    return _reverse_bits(cursor)


@cython.cfunc
@cython.exceptval(check=False)
def table_scan(t: table_p, cursor: uint64_t, visit: EntryVisitor, context: cython.p_void) -> uint64_t:
    """Visit the entries of the chain(s) at `cursor`; the cursor to go on with, 0 when all were visited.

    `visit` must not change the table.
    """
    small: bucket_p
    large: bucket_p
    small_mask: uint64_t
    large_mask: uint64_t
    if t.b == cython.NULL:
        return 0
    if t.old == cython.NULL:
        _visit_chain(cython.address(t.b[cursor & t.mask]), visit, context)
        return _next_cursor(cursor, t.mask)
    small, small_mask, large, large_mask = t.b, t.mask, t.old, t.old_mask
    if small_mask > large_mask:
        small, small_mask, large, large_mask = t.old, t.old_mask, t.b, t.mask
    _visit_chain(cython.address(small[cursor & small_mask]), visit, context)
    # then every chain of the larger array that splits from this one
    while True:
        _visit_chain(cython.address(large[cursor & large_mask]), visit, context)
        cursor = _next_cursor(cursor, large_mask)
        if not cursor & (small_mask ^ large_mask):
            return cursor


@cython.cfunc
@cython.exceptval(check=False)
def table_walk(t: table_p, visit: EntryVisitor, context: cython.p_void) -> cython.void:
    """Visit every entry once; `visit` must not change the table."""
    i: uint64_t
    if t.old != cython.NULL:
        for i in range(t.moved, cython.cast(uint64_t, t.old_mask) + 1):
            _visit_chain(cython.address(t.old[i]), visit, context)
    if t.b != cython.NULL:
        for i in range(cython.cast(uint64_t, t.mask) + 1):
            _visit_chain(cython.address(t.b[i]), visit, context)


@cython.cfunc
@cython.exceptval(check=False)
def _sweep_chain(t: table_p, home: bucket_p, index: uint64_t, condemn: EntryVisitor,
                 context: cython.p_void) -> cython.void:
    b: bucket_p = home
    j: cython.int = 0
    while True:
        if j == 7:
            if not b.meta & 128:
                return
            b = cython.cast(bucket_p, b.entry[6])
            j = 0
        if b.meta & (1 << j) and condemn(context, b.entry[j]):
            # the hole may be filled from the chain's end, or the bucket be gone: look at the chain anew
            table_remove(t, cython.address(b.entry[j]), index)
            b = home
            j = 0
        else:
            j += 1


@cython.cfunc
@cython.exceptval(check=False)
def table_sweep(t: table_p, start: uint64_t, chains: uint64_t, condemn: EntryVisitor,
                context: cython.p_void) -> uint64_t:
    """Remove the entries for which `condemn` is true, over `chains` chains from number `start` on.

    Where to go on, 0 when the last chain is done. `condemn` may see an entry twice; one that it condemns is its own
    from then on. A resize between two calls can make a sweep miss entries. Does not shrink: call table_fit when done.
    """
    old_chains: uint64_t = cython.cast(uint64_t, t.old_mask) + 1 if t.old != cython.NULL else 0
    total: uint64_t
    i: uint64_t = start
    j: cython.int
    ahead: bucket_p
    if t.b == cython.NULL:
        return 0
    total = old_chains + t.mask + 1
    while i < total and chains > 0:
        if i + 1 < total:
            ahead = cython.address(t.old[i + 1]) if i + 1 < old_chains else cython.address(t.b[i + 1 - old_chains])
            for j in range(7):
                if ahead.meta & (1 << j):
                    prefetch(ahead.entry[j])
        if i >= old_chains:
            _sweep_chain(t, cython.address(t.b[i - old_chains]), i - old_chains, condemn, context)
        elif i >= t.moved:
            _sweep_chain(t, cython.address(t.old[i]), i, condemn, context)
        i += 1
        chains -= 1
    return i if i < total else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _chain_pick(b: bucket_p, random: uint64_t) -> bytep:
    """One entry of the chain, each as likely as the others; NULL where it is empty."""
    total: cython.uint = 0
    first: bucket_p = b
    j: cython.int
    while True:
        for j in range(7):
            total += (b.meta >> j) & 1
        if not b.meta & 128:
            break
        b = cython.cast(bucket_p, b.entry[6])
    if total == 0:
        return cython.NULL
    total = cython.cast(cython.uint, random % total)
    b = first
    while True:
        for j in range(7):
            if b.meta & (1 << j):
                if total == 0:
                    return b.entry[j]
                total -= 1
        b = cython.cast(bucket_p, b.entry[6])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _chain_place(b: bucket_p, place: cython.uint) -> bytep:
    """What is in the slot of that number, counted along the chain; NULL where it is empty or beyond."""
    while place >= 7 and b.meta & 128:
        b = cython.cast(bucket_p, b.entry[6])
        place -= 7
    if place >= 7 or not b.meta & (1 << place):
        return cython.NULL
    return b.entry[place]


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def table_random(t: table_p, random: uint64_t) -> bytep:
    """A random entry by 64 random bits; NULL where there is none.

    Each is as likely as any other: slots are drawn until one is in use. Only where PLACES_TRIED were empty, or beyond
    CHAIN_PLACES, an entry of a random chain is taken.
    """
    e: bytep
    index: uint64_t
    buckets: uint64_t
    tried: cython.int = 0
    places: uint64_t = CHAIN_PLACES if t.children else 7
    b: bucket_p
    if t.used == 0:
        return cython.NULL
    buckets = cython.cast(uint64_t, t.mask) + 1
    if t.old != cython.NULL:
        buckets += cython.cast(uint64_t, t.old_mask) + 1
    while True:
        random = random * _LCG_A + _LCG_C
        index = (random >> 33) % buckets
        b = cython.address(t.b[index]) if index <= t.mask else cython.address(t.old[index - t.mask - 1])
        random = random * _LCG_A + _LCG_C
        if tried < PLACES_TRIED:
            e = _chain_place(b, cython.cast(cython.uint, (random >> 33) % places))
            tried += 1
        else:
            e = _chain_pick(b, random >> 40)
        if e != cython.NULL:
            return e


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def table_bytes(t: table_p) -> cython.size_t:
    """What the buckets take, bytes."""
    total: cython.size_t = cython.cast(cython.size_t, t.children) * 64
    if t.b != cython.NULL:
        total += lines_bytes(t.b, (cython.cast(cython.size_t, t.mask) + 1) * 64)
    if t.old != cython.NULL:
        total += lines_bytes(t.old, (cython.cast(cython.size_t, t.old_mask) + 1) * 64)
    return total


@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_array(t: table_p, b: bucket_p, mask: uint32_t, counts: cython.pointer(uint64_t)) -> cython.int:
    i: uint64_t
    j: cython.int
    at: bucket_p
    hash: uint64_t
    depth: cython.int
    for i in range(cython.cast(uint64_t, mask) + 1):
        at = cython.address(b[i])
        depth = 0
        while True:
            for j in range(7):
                if at.meta & (1 << j):
                    assert not (j == 6 and at.meta & 128), "a chained bucket uses its last slot"
                    hash = _entry_hash(t, at.entry[j])
                    assert hash & mask == i, "an entry is not in its home chain"
                    assert at.tag[j] == hash >> 56, "a tag is not its hash's"
                    counts[0] += 1
            if depth:
                counts[1] += 1
                assert at.meta & 127, "a child bucket is empty"
            if not at.meta & 128:
                break
            at = cython.cast(bucket_p, at.entry[6])
            depth += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def table_check(t: table_p) -> cython.int:
    """Walk everything; raises AssertionError where an invariant of the essay does not hold."""
    counts: uint64_t[2]
    i: uint64_t
    counts[0] = counts[1] = 0
    assert t.b != cython.NULL or t.used == 0
    if t.b == cython.NULL:
        assert t.old == cython.NULL
        return 0
    _check_array(t, t.b, t.mask, counts)
    if t.old != cython.NULL:
        for i in range(t.moved):
            assert t.old[i].meta == 0, "a moved bucket is not empty"
        _check_array(t, t.old, t.old_mask, counts)
    assert counts[0] == t.used, "the count of entries is wrong"
    assert counts[1] == t.children, "the count of child buckets is wrong"
    return 0
