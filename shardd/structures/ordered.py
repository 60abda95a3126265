"""The body of a large sorted set: a table that finds an element by its member, and a ranked index of the same elements.

    Ordered
      t ----> table  ---.
                         >--->  [pair header][member][score]         one block per element, as structures/table.py
      r ----> ranked ---'                                            describes it; the score is its value, a double

The score is kept twice, beside the member, where ZSCORE finds it with the pair, and in the index, which compares it
without a look at the element. An element of 16 bytes takes 32 for its pair, some 17 in the table and 18 in the index; a
pair that pointed at its leaf, instead of holding the score, would be no smaller, and each split of a leaf would have to
write to all of its pairs.

Growth is the table's, a few buckets with each insertion. It is freed in steps: the pairs by chains of the table, then
the leaves of the index from the last on.

Invariants: what ordered_check looks at: a pair is in the table and in the index, with one score. Where memory is
refused, nothing has changed.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, qsort
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.alloc import allocate, block_bytes, release
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.ordered import Ordered
from cython.cimports.shardd.structures.pairs import pair_new, pair_size, pairs_drain, pairs_held
from cython.cimports.shardd.structures.ranked import (
    Way, leaf_pair, member, pair_order, pair_score, ranked_before, ranked_below, ranked_insert, ranked_move,
    ranked_next, ranked_prev, ranked_rank, ranked_remove, ranked_seek, ranked_take, way_pair, way_score)
from cython.cimports.shardd.structures.ranked_whole import ranked_bytes, ranked_check, ranked_free_last
from cython.cimports.shardd.structures.table import (
    pair_key_len, table_check, table_clear, table_find, table_fit, table_insert, table_remove, table_walk)

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
ordered_p = cython.typedef(cython.pointer(Ordered))
place_p = cython.typedef(cython.pointer(bytep))

LEAF_WORK = cython.declare(int64_t, 4)          # elements whose freeing takes as long as that of a leaf, about


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_new() -> ordered_p:
    """An empty one; NULL without memory."""
    o: ordered_p = cython.cast(ordered_p, allocate(cython.sizeof(Ordered)))
    if o != cython.NULL:
        memset(o, 0, cython.sizeof(Ordered))
    return o


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_find(o: ordered_p, text: const_bytes, n: cython.Py_ssize_t, hash: uint64_t) -> bytep:
    """The pair of a member, good until it is removed; NULL where there is none."""
    place: place_p = table_find(cython.address(o.t), text, n, hash)
    return cython.cast(bytep, cython.NULL) if place == cython.NULL else place[0]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_add(o: ordered_p, text: const_bytes, n: cython.Py_ssize_t, hash: uint64_t,
                score: cython.double) -> cython.bint:
    """Add a member that is not there; False without memory."""
    pair: bytep = pair_new(text, n, cython.cast(const_bytes, cython.address(score)), cython.sizeof(cython.double))
    if pair == cython.NULL:
        return False
    if not ranked_insert(cython.address(o.r), score, pair):
        release(pair, pair_size(pair))
        return False
    if not table_insert(cython.address(o.t), pair, hash):
        ranked_remove(cython.address(o.r), score, pair)
        release(pair, pair_size(pair))
        return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_note(o: ordered_p, text: const_bytes, n: cython.Py_ssize_t, hash: uint64_t,
                 score: cython.double) -> cython.bint:
    """Add a member that is not there to the table alone, before ordered_index; False without memory."""
    pair: bytep = pair_new(text, n, cython.cast(const_bytes, cython.address(score)), cython.sizeof(cython.double))
    if pair == cython.NULL:
        return False
    if not table_insert(cython.address(o.t), pair, hash):
        release(pair, pair_size(pair))
        return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pair_set_score(pair: bytep, score: cython.double) -> cython.void:
    """Change the score in a block, of an element that is not in the index or moves there, too."""
    memcpy(cython.cast(bytep, member(pair)) + pair_key_len(pair), cython.address(score), cython.sizeof(cython.double))


Noted = cython.struct(score=cython.double, pair=bytep)
Notes = cython.struct(all=cython.pointer(Noted), n=cython.size_t)
noted_p = cython.typedef(cython.pointer(Noted))
notes_p = cython.typedef(cython.pointer(Notes))


@cython.cfunc
@cython.exceptval(check=False)
def _collect(context: cython.p_void, pair: bytep) -> cython.int:
    notes: notes_p = cython.cast(notes_p, context)
    notes.all[notes.n].score = pair_score(pair)
    notes.all[notes.n].pair = pair
    notes.n += 1
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _compare(a: cython.p_const_void, b: cython.p_const_void) -> cython.int:
    """For qsort."""
    left: noted_p = cython.cast(noted_p, a)
    right: noted_p = cython.cast(noted_p, b)
    if left.score != right.score:
        return -1 if left.score < right.score else 1
    return pair_order(left.pair, right.pair)


@cython.cfunc
@cython.exceptval(check=False)
def ordered_index(o: ordered_p) -> cython.bint:
    """Put all that was noted into the index, which is empty: sorted first, so that it fills its leaves."""
    notes: Notes
    i: cython.size_t
    done: cython.bint = True
    notes.n = 0
    notes.all = cython.cast(noted_p, malloc(o.t.used * cython.sizeof(Noted) + 1))
    if notes.all == cython.NULL:
        return False
    table_walk(cython.address(o.t), _collect, cython.address(notes))
    qsort(notes.all, notes.n, cython.sizeof(Noted), _compare)
    for i in range(notes.n):
        if not ranked_insert(cython.address(o.r), notes.all[i].score, notes.all[i].pair):
            done = False
            break
    free(notes.all)
    return done


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_rescore(o: ordered_p, pair: bytep, score: cython.double) -> cython.bint:
    """Give an element a score that is not equal to the one it has; False without memory."""
    if not ranked_move(cython.address(o.r), pair_score(pair), score, pair):
        return False
    pair_set_score(pair, score)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_remove(o: ordered_p, text: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Take a member out; whether it was there."""
    hash: uint64_t = hash_key(text, n)
    place: place_p = table_find(cython.address(o.t), text, n, hash)
    pair: bytep
    if place == cython.NULL:
        return False
    pair = place[0]
    ranked_remove(cython.address(o.r), pair_score(pair), pair)
    table_remove(cython.address(o.t), place, hash)
    release(pair, pair_size(pair))
    table_fit(cython.address(o.t))
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _forget(o: ordered_p, pair: bytep) -> cython.void:
    """Free a pair that is in the table alone."""
    n: cython.Py_ssize_t = pair_key_len(pair)
    hash: uint64_t = hash_key(member(pair), n)
    table_remove(cython.address(o.t), table_find(cython.address(o.t), member(pair), n, hash), hash)
    release(pair, pair_size(pair))
    table_fit(cython.address(o.t))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_remove_range(o: ordered_p, rank: int64_t, count: int64_t) -> cython.void:
    """Take out `count` elements from this rank on, as far as there are."""
    way: Way
    gone: bytep[63]
    n: int64_t
    i: int64_t
    while count > 0 and ranked_seek(cython.address(o.r), rank, cython.address(way)):
        n = way.leaf.n - way.at
        if n > count:
            n = count
        memcpy(gone, leaf_pair(way.leaf) + way.at, n * cython.sizeof(bytep))
        ranked_take(cython.address(o.r), cython.address(way), n)
        for i in range(n):
            _forget(o, gone[i])
        count -= n


# ---- what the keyspace wants of a body

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ordered_length(body: cython.p_void) -> uint64_t:
    return cython.cast(ordered_p, body).r.used


@cython.cfunc
@cython.exceptval(check=False)
def ordered_free(body: cython.p_void, elements: int64_t) -> cython.bint:
    """Free up to about `elements` elements, first the pairs of all, then the leaves; True when all is, and the body."""
    o: ordered_p = cython.cast(ordered_p, body)
    if not pairs_drain(cython.address(o.t), cython.address(o.swept), elements):
        return False
    while o.r.root != cython.NULL:
        if elements <= 0:
            return False
        ranked_free_last(cython.address(o.r))
        elements -= LEAF_WORK
    table_clear(cython.address(o.t))
    release(o, cython.sizeof(Ordered))
    return True


@cython.cfunc
@cython.exceptval(check=False)
def ordered_bytes(body: cython.p_void) -> cython.size_t:
    """All memory it holds. Walks everything."""
    o: ordered_p = cython.cast(ordered_p, body)
    return (block_bytes(o, cython.sizeof(Ordered)) + pairs_held(cython.address(o.t))
            + ranked_bytes(cython.address(o.r)))


@cython.cfunc
@cython.exceptval(check=False)
def ordered_copy(body: cython.p_void) -> cython.p_void:
    """Another one of the same content; NULL without memory."""
    way: Way
    pair: bytep
    n: cython.Py_ssize_t
    copy: ordered_p = ordered_new()
    more: cython.bint = ranked_seek(cython.address(cython.cast(ordered_p, body).r), 0, cython.address(way))
    while more and copy != cython.NULL:
        pair = way_pair(cython.address(way))
        n = pair_key_len(pair)
        if not ordered_add(copy, member(pair), n, hash_key(member(pair), n), way_score(cython.address(way))):
            while not ordered_free(copy, 1 << 30):
                pass
            return cython.NULL
        more = ranked_next(cython.address(way))
    return copy


@cython.cfunc
@cython.exceptval(-1, check=False)
def ordered_check(body: cython.p_void) -> cython.int:
    """Walk everything; AssertionError where an invariant of the essay does not hold."""
    o: ordered_p = cython.cast(ordered_p, body)
    way: Way
    pair: bytep
    n: cython.Py_ssize_t
    more: cython.bint
    table_check(cython.address(o.t))
    ranked_check(cython.address(o.r))
    assert o.r.used == o.t.used, "the index and the table differ"
    more = ranked_seek(cython.address(o.r), 0, cython.address(way))
    while more:
        pair = way_pair(cython.address(way))
        n = pair_key_len(pair)
        assert ordered_find(o, member(pair), n, hash_key(member(pair), n)) == pair, "an element is not in the table"
        more = ranked_next(cython.address(way))
    return 0


# ---- for tests

@cython.cfunc
def _text(text: bytes) -> const_bytes:
    return cython.cast(bytep, cython.cast(cython.p_char, text))


@cython.cfunc
def _at(address: object) -> ordered_p:
    return cython.cast(ordered_p, cython.cast(cython.size_t, address))


class Probe:
    """One in the hands of a unit test."""

    def __init__(self) -> None:
        """Empty. Raises MemoryError."""
        self.address = cython.cast(cython.size_t, ordered_new())
        if not self.address:
            raise MemoryError

    def close(self, elements: int = 1 << 30) -> int:
        """Free it in steps of so many elements; how many it took."""
        steps: int = 1
        while not ordered_free(_at(self.address), elements):
            steps += 1
        self.address = 0
        return steps

    def score(self, text: bytes) -> float | None:
        """The score of a member."""
        pair: bytep = ordered_find(_at(self.address), _text(text), len(text), hash_key(_text(text), len(text)))
        return None if pair == cython.NULL else pair_score(pair)

    def put(self, text: bytes, score: float) -> bool:
        """Add a member, or give it another score; whether it is new. Raises MemoryError."""
        o: ordered_p = _at(self.address)
        hash: uint64_t = hash_key(_text(text), len(text))
        pair: bytep = ordered_find(o, _text(text), len(text), hash)
        new: bool = pair == cython.NULL
        if pair == cython.NULL:
            if not ordered_add(o, _text(text), len(text), hash, score):
                raise MemoryError
        elif pair_score(pair) != score and not ordered_rescore(o, pair, score):
            raise MemoryError
        return new

    def remove(self, text: bytes) -> bool:
        """Whether it was there."""
        return ordered_remove(_at(self.address), _text(text), len(text))

    def remove_range(self, rank: int, count: int) -> None:
        """ordered_remove_range."""
        ordered_remove_range(_at(self.address), rank, count)

    def rank(self, text: bytes) -> int | None:
        """The rank of a member."""
        o: ordered_p = _at(self.address)
        pair: bytep = ordered_find(o, _text(text), len(text), hash_key(_text(text), len(text)))
        return None if pair == cython.NULL else ranked_rank(cython.address(o.r), pair_score(pair), pair)

    def below(self, score: float, inclusive: bool = False) -> int:
        """ranked_below."""
        return ranked_below(cython.address(_at(self.address).r), score, inclusive)

    def before(self, text: bytes, inclusive: bool = False) -> int:
        """ranked_before."""
        return ranked_before(cython.address(_at(self.address).r), _text(text), len(text), inclusive)

    def items(self, rank: int = 0, backwards: bool = False) -> list:
        """(member, score) from a rank on, to either end."""
        way: Way
        pair: bytep
        found: list = []
        more: cython.bint = ranked_seek(cython.address(_at(self.address).r), rank, cython.address(way))
        while more:
            pair = way_pair(cython.address(way))
            found.append((cython.cast(cython.p_char, member(pair))[:pair_key_len(pair)],
                          way_score(cython.address(way))))
            more = ranked_prev(cython.address(way)) if backwards else ranked_next(cython.address(way))
        return found

    def copy(self) -> "Probe":
        """Another one. Raises MemoryError."""
        body: cython.p_void = ordered_copy(cython.cast(cython.p_void, _at(self.address)))
        if body == cython.NULL:
            raise MemoryError
        other: Probe = Probe.__new__(Probe)
        other.address = cython.cast(cython.size_t, body)
        return other

    def bytes(self) -> int:
        """ordered_bytes."""
        return ordered_bytes(_at(self.address))

    def depth(self) -> int:
        """Levels of inner nodes."""
        return _at(self.address).r.depth

    def check(self) -> None:
        """ordered_check."""
        ordered_check(_at(self.address))
