"""SORT and SORT_RO: the elements of a list, set or sorted set in another order, or something that they name.

    SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]

    pattern   weight_*          the string at the key that the element makes with it
              object_*->field   a field of the hash there
              #                 (GET) the element itself
              nosort            (BY) no asterisk: the order stays as it is

    elements --weights--> (weight, element) --sort--> --LIMIT--> --GET--> reply, or the list at `destination`

What the order is made of: a number for each element, those of the same number by their bytes; or, with ALPHA, texts,
as strcoll compares them in the C locale, that is up to a NUL; the whole of them with STORE, whose result must not hang
on where it is computed. An element whose weight is missing weighs 0, and is before all texts. Elements of the same
text stay in their order.

A set has no order of its own, so with STORE and without sorting it is sorted by its members' bytes, as in Redis.

    elements   Text per element: where its bytes lie in the collection, or the integer that it is
    weights    (ALPHA) Text per element: where its weight's bytes lie; the elements themselves without BY
    order      Weighed per element: its number, and which element it is; sorted by structures.sorting

Nothing is copied that stays where it is while the command runs, which changes nothing before its result is complete;
only a key that is due may go meanwhile, and neither the one that is sorted nor one that was read is. What lies
elsewhere, integers' digits and compressed nodes of a list, is kept in `scratch`.

The keys that patterns name lie anywhere in memory: they are looked up in batches, hashed and prefetched first, as
dispatch does it with a pipeline.

Does not own the structures, nor the sorting itself.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memchr, memcpy
from cython.cimports.shardd.base.native import bytep, prefetch
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.hash_forms import hash_find
from cython.cimports.shardd.commands.keys import pattern_slot
from cython.cimports.shardd.commands.list_forms import (
    list_append, list_close, list_entry_new, list_iter, list_length, list_next)
from cython.cimports.shardd.commands.outcome import outcome_store
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.set_forms import Members, members_end, members_next, members_start, set_length
from cython.cimports.shardd.commands.zset_forms import ZWalk, zset_length, zwalk_next, zwalk_start
from cython.cimports.shardd.keyspace.database import Database, Key, key_init
from cython.cimports.shardd.keyspace.entry import (
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING, TYPE_ZSET, View, entry_body, entry_encoding, entry_free, entry_type,
    entry_view)
from cython.cimports.shardd.keyspace.events import NOTIFY_LIST
from cython.cimports.shardd.structures.libc_number import ERANGE, errno_place
from cython.cimports.shardd.structures.listpack import LpValue, lp_get
from cython.cimports.shardd.structures.number import parse_bound
from cython.cimports.shardd.structures.quicklist import QlIter, ql_end, ql_value
from cython.cimports.shardd.structures.sorting import (
    Scratch, Sorting, Text, Weighed, number_key, scratch_free, scratch_take, sort_numbers, sort_texts, text_spell)
from cython.cimports.shardd.structures.table import table_prefetch_bucket, table_prefetch_entry
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
key_p = cython.typedef(cython.pointer(Key))
text_p = cython.typedef(cython.pointer(Text))
view_p = cython.typedef(cython.pointer(View))
weighed_p = cython.typedef(cython.pointer(Weighed))

_SELF = cython.declare(bytes, b"#")

# what becomes of that which a pattern names
INTO_REPLY = cython.declare(cython.int, 0)
INTO_LIST = cython.declare(cython.int, 1)
INTO_NUMBERS = cython.declare(cython.int, 2)
INTO_TEXTS = cython.declare(cython.int, 3)

BATCH = cython.declare(cython.int, 64)                      # keys that are looked up together
BATCH_BYTES_MAX = cython.declare(int64_t, 1 << 20)          # of their names, unless it is a single one


@cython.final
@cython.cclass
class _Query:
    """The options, and all that a SORT works with. start, count: of LIMIT, count -1 for all; store: the argument's
    place, 0 for none; first, end: the places of the order that are wanted."""
    by: Pattern
    gets: list
    start: int64_t
    count: int64_t
    store: cython.int
    descending: cython.bint
    alpha: cython.bint
    unsorted: cython.bint
    failed: cython.bint         # a weight is no number
    n: int64_t
    first: int64_t
    end: int64_t
    elements: text_p
    weights: text_p             # NULL: the elements
    order: weighed_p            # NULL: that of the elements
    spare: weighed_p
    scratch: Scratch
    keys: key_p                 # BATCH of them
    names: bytep                # their bytes
    names_cap: int64_t
    result: bytep               # STORE's list, in no database

    def __cinit__(self):
        self.gets = []
        self.count = -1

    def __dealloc__(self):
        free(self.elements)
        free(self.weights)
        free(self.order)
        free(self.spare)
        free(self.keys)
        free(self.names)
        scratch_free(cython.address(self.scratch))
        if self.result != cython.NULL:
            entry_free(self.result)


@cython.cfunc
@cython.exceptval(check=False)
def _at(q: _Query, place: int64_t) -> text_p:
    """The element at a place of the order."""
    return q.elements + (place if q.order == cython.NULL else cython.cast(int64_t, q.order[place].at))


@cython.cfunc
def _room(n: int64_t, size: cython.size_t) -> cython.p_void:
    """Memory for n items of so many bytes; MemoryError."""
    p: cython.p_void = malloc(n * size + 1)
    if p == cython.NULL:
        raise MemoryError
    return p


# ---- patterns

@cython.final
@cython.cclass
class Pattern:
    """A pattern, taken apart once. `before` and `after`, what is around the element in a key, are None where it has no
    asterisk: then it names nothing. `field` is None where the key is a string's."""

    def __cinit__(self, text: bytes):
        """A NUL ends the part in which asterisk and arrow are looked for, as it does for C."""
        seen: bytes = text.split(b"\0", 1)[0]
        star: cython.Py_ssize_t = seen.find(b"*")
        arrow: cython.Py_ssize_t
        self.itself = seen == _SELF
        if star < 0:
            return
        arrow = seen.find(b"->", star + 1)
        if 0 <= arrow < len(seen) - 2:
            self.field = text[arrow + 2:]
            text = text[:arrow]
        self.before = text[:star]
        self.after = text[star + 1:]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def text(self, ctx: Context, k: key_p, v: view_p) -> cython.bint:
        """Whether there is a string at the key, or the field of the hash there; `v` is it then, good until the end of
        the command but for v.digits. What other engines have is in ctx.texts."""
        field: Arg
        e: bytep
        found: object
        if ctx.texts is not None:
            found = ctx.texts.get((k.p[:k.n], self.field))
            if found is not None:
                v.p = cython.cast(bytep, cython.cast(cython.p_char, cython.cast(bytes, found)))
                v.n = len(cython.cast(bytes, found))
                return True
        e = ctx.db.read(k)
        if e == cython.NULL:
            return False
        if self.field is None:
            if entry_type(e) != TYPE_STRING:
                return False
            entry_view(e, v)
            return True
        field.p = cython.cast(bytep, cython.cast(cython.p_char, self.field))
        field.n = len(self.field)
        return entry_type(e) == TYPE_HASH and hash_find(ctx, e, cython.address(field), v)

    @cython.cfunc
    def at(self, ctx: Context, key: bytes) -> object:
        """The same of a key as bytes; None where there is nothing."""
        k: Key
        v: View
        key_init(cython.address(k), cython.cast(const_bytes, cython.cast(cython.p_char, key)), len(key))
        return v.p[:v.n] if self.text(ctx, cython.address(k), cython.address(v)) else None


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _names(pattern: Pattern) -> cython.bint:
    """Whether the pattern names keys."""
    return pattern.before is not None and not pattern.itself


@cython.cfunc
@cython.exceptval(-1, check=False)
def _measure(q: _Query, patterns: list, first: int64_t, place: int64_t, left: int64_t) -> int64_t:
    """How many of the `left` pairs of place and pattern from `place` on make a batch; there is room for their names
    then. MemoryError."""
    each: int64_t = len(patterns)
    size: int64_t = 0
    count: int64_t = 0
    pattern: Pattern
    t: text_p
    grown: cython.p_void
    while count < left and count < BATCH:
        pattern = patterns[(place + count) % each]
        t = _at(q, first + (place + count) // each)
        if not text_spell(t, cython.address(q.scratch)):
            raise MemoryError
        if _names(pattern):
            size += len(pattern.before) + t.n + len(pattern.after)
        if size > BATCH_BYTES_MAX and count > 0:
            break
        count += 1
    if size > q.names_cap:
        grown = realloc(q.names, 2 * size)
        if grown == cython.NULL:
            raise MemoryError
        q.names = cython.cast(bytep, grown)
        q.names_cap = 2 * size
    return count


@cython.cfunc
@cython.overflowcheck(False)        # pointers are subtracted
@cython.exceptval(-1, check=False)
def _prepare(ctx: Context, q: _Query, patterns: list, first: int64_t, place: int64_t, count: int64_t) -> cython.int:
    """Make the keys of a batch, and ask for the memory that their lookup will touch. A pair that names none has a key
    without bytes' address."""
    db: Database = ctx.db
    each: int64_t = len(patterns)
    out: bytep = q.names
    pattern: Pattern
    t: text_p
    k: key_p
    name: bytep
    i: int64_t
    for i in range(count):
        k = q.keys + i
        pattern = patterns[(place + i) % each]
        k.p = cython.NULL
        if not _names(pattern):
            continue
        t = _at(q, first + (place + i) // each)
        name = out
        memcpy(out, cython.cast(cython.p_char, pattern.before), len(pattern.before))
        out += len(pattern.before)
        memcpy(out, t.p, t.n)
        out += t.n
        memcpy(out, cython.cast(cython.p_char, pattern.after), len(pattern.after))
        out += len(pattern.after)
        key_init(k, name, out - name)
        if db.slots != cython.NULL:
            prefetch(cython.address(db.slots[k.slot]))
    if db.slots == cython.NULL:
        return 0
    for i in range(count):
        if q.keys[i].p != cython.NULL:
            table_prefetch_bucket(cython.address(db.slots[q.keys[i].slot].t), q.keys[i].hash)
    for i in range(count):
        if q.keys[i].p != cython.NULL:
            table_prefetch_entry(cython.address(db.slots[q.keys[i].slot].t), q.keys[i].hash)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _look(ctx: Context, q: _Query, patterns: list, into: cython.int) -> cython.int:
    """For each place from q.first to q.end (of weights: each element), and each of the patterns: what it names.
    MemoryError."""
    each: int64_t = len(patterns)
    weighing: cython.bint = into == INTO_NUMBERS or into == INTO_TEXTS
    first: int64_t = 0 if weighing else q.first
    total: int64_t = (q.n if weighing else q.end - q.first) * each
    place: int64_t = 0
    count: int64_t
    i: int64_t
    pattern: Pattern
    t: text_p
    v: View
    found: cython.bint
    if q.keys == cython.NULL:
        q.keys = cython.cast(key_p, _room(BATCH, cython.sizeof(Key)))
    while place < total:
        count = _measure(q, patterns, first, place, total - place)
        _prepare(ctx, q, patterns, first, place, count)
        for i in range(count):
            pattern = patterns[(place + i) % each]
            found = pattern.itself
            if found:
                t = _at(q, first + (place + i) // each)
                v.p = t.p
                v.n = t.n
            elif q.keys[i].p != cython.NULL:
                found = pattern.text(ctx, q.keys + i, cython.address(v))
            if not found:
                v.p = cython.NULL
                v.n = 0
            _take(ctx, q, into, place + i, cython.address(v))
        place += count
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _weight(p: const_bytes, n: int64_t, value: cython.pointer(cython.double)) -> cython.bint:
    """Whether the text is a number as C's strtod reads it, up to a NUL, and within a double's range. MemoryError."""
    errno_place()[0] = 0
    return parse_bound(p, n, value) and errno_place()[0] != ERANGE


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take(ctx: Context, q: _Query, into: cython.int, place: int64_t, v: view_p) -> cython.int:
    """Put what was named where it belongs; v.p is NULL where there is nothing. MemoryError."""
    value: cython.double = 0
    kept: bytep
    if into == INTO_REPLY:
        return ctx.reply.null() if v.p == cython.NULL else ctx.reply.bulk(v.p, v.n)
    if into == INTO_LIST:
        return list_append(ctx, q.result, v.p if v.p != cython.NULL else v.digits, v.n)
    if into == INTO_NUMBERS:
        if v.p != cython.NULL and not _weight(v.p, v.n, cython.address(value)):
            q.failed = True
            value = 0
        q.order[place].key = number_key(value)
        return 0
    q.weights[place].p = v.p
    q.weights[place].n = v.n
    if v.p == v.digits:
        kept = scratch_take(cython.address(q.scratch), v.n)
        if kept == cython.NULL:
            raise MemoryError
        memcpy(kept, v.digits, v.n)
        q.weights[place].p = kept
    return 0


# ---- the options

@cython.cfunc
@cython.exceptval(-1, check=False)
def _elsewhere(ctx: Context, argv: arg_p, pattern: arg_p) -> cython.bint:
    """Whether the keys of a pattern may be in other slots than the one to sort, and nobody has asked their engines."""
    k: Key
    if not ctx.cluster or ctx.texts is not None:
        return False
    key_init(cython.address(k), argv[1].p, argv[1].n)
    return pattern_slot(pattern.p, pattern.n) != cython.cast(cython.int, k.slot)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _pattern_option(ctx: Context, q: _Query, argv: arg_p, i: cython.int) -> cython.bint:
    """BY or GET, with its pattern behind it; False where the error is replied."""
    text: bytes = arg_bytes(argv + i + 1)
    pattern: Pattern = Pattern(text)
    if arg_is(argv + i, b"by", 2):
        q.by = pattern
        if b"*" not in text.split(b"\0", 1)[0]:
            q.unsorted = True       # and so it stays, whatever other BY follows: as in Redis
        elif _elsewhere(ctx, argv, argv + i + 1):
            ctx.error(errors.SORT_BY_ELSEWHERE)
            return False
        return True
    if not pattern.itself and _elsewhere(ctx, argv, argv + i + 1):
        ctx.error(errors.SORT_GET_ELSEWHERE)
        return False
    q.gets.append(pattern)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _options(ctx: Context, q: _Query, argv: arg_p, argc: cython.int, stores: cython.bint) -> cython.bint:
    """What follows the key; False where the error is replied."""
    i: cython.int = 2
    left: cython.int
    while i < argc:
        left = argc - i - 1
        if arg_is(argv + i, b"asc", 3):
            q.descending = False
        elif arg_is(argv + i, b"desc", 4):
            q.descending = True
        elif arg_is(argv + i, b"alpha", 5):
            q.alpha = True
        elif left >= 2 and arg_is(argv + i, b"limit", 5):
            if not arg_int64(argv + i + 1, cython.address(q.start)) \
                    or not arg_int64(argv + i + 2, cython.address(q.count)):
                ctx.error(errors.NOT_INTEGER)
                return False
            i += 2
        elif left >= 1 and stores and arg_is(argv + i, b"store", 5):
            q.store = i + 1
            i += 1
        elif left >= 1 and (arg_is(argv + i, b"by", 2) or arg_is(argv + i, b"get", 3)):
            if not _pattern_option(ctx, q, argv, i):
                return False
            i += 1
        else:
            ctx.error(errors.SYNTAX)
            return False
        i += 1
    return True


# ---- the elements

@cython.cfunc
@cython.exceptval(check=False)
def _length(e: bytep) -> int64_t:
    if e == cython.NULL:
        return 0
    if entry_type(e) == TYPE_LIST:
        return list_length(e)
    return set_length(e) if entry_type(e) == TYPE_SET else zset_length(e)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _add(q: _Query, v: cython.pointer(LpValue)) -> cython.void:
    q.elements[q.n].p = v.p
    q.elements[q.n].n = v.n if v.p != cython.NULL else v.number
    q.n += 1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _gather_list(q: _Query, e: bytep, start: int64_t, count: int64_t) -> cython.int:
    """`count` elements of a list, which must be there, from an index on. MemoryError."""
    it: QlIter
    v: LpValue
    kept: bytep
    if count <= 0:
        return 0
    list_iter(e, start, False, False, cython.address(it))
    try:
        while True:
            if it.b != cython.NULL:
                lp_get(it.p, cython.address(v))
            else:
                ql_value(cython.address(it), cython.address(v))
            if it.temp != cython.NULL and v.p != cython.NULL:
                kept = scratch_take(cython.address(q.scratch), v.n)
                if kept == cython.NULL:
                    raise MemoryError
                memcpy(kept, v.p, v.n)
                v.p = kept
            _add(q, cython.address(v))
            if q.n == count or not list_next(cython.address(it)):
                return 0
    finally:
        ql_end(cython.address(it))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _gather(q: _Query, e: bytep, n: int64_t) -> cython.int:
    """All elements of a set or a sorted set, of which there are n. MemoryError."""
    m: Members
    w: ZWalk
    v: LpValue
    if entry_type(e) == TYPE_ZSET:
        zwalk_start(cython.address(w), e, 0, False)
        while q.n < n and zwalk_next(cython.address(w)):
            _add(q, cython.address(w.member))
        return 0
    members_start(cython.address(m), entry_encoding(e), entry_body(e))
    try:
        while q.n < n and members_next(cython.address(m), cython.address(v)):
            _add(q, cython.address(v))
    finally:
        members_end(cython.address(m))
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _limit(q: _Query, n: int64_t) -> cython.void:
    """LIMIT: from `start` on, which counts as 0 where it is negative, `count` elements; any negative count is all."""
    q.first = min(max(q.start, 0), n)
    q.end = n if q.count < 0 else q.first + min(q.count, n - q.first)


@cython.cfunc
@cython.exceptval(check=False)
def _reverse(q: _Query) -> cython.void:
    i: int64_t
    j: int64_t = q.n - 1
    one: Text
    for i in range(q.n // 2):
        one = q.elements[i]
        q.elements[i] = q.elements[j]
        q.elements[j] = one
        j -= 1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _elements(q: _Query, e: bytep) -> cython.int:
    """The elements of a list, set or sorted set (NULL: none), in its order, or where it shall stay unsorted in that
    which is asked for; and which places are wanted. Of a list that stays unsorted, these alone. MemoryError."""
    n: int64_t = _length(e)
    _limit(q, n)
    if n == 0:
        return 0
    if entry_type(e) == TYPE_LIST:
        if q.unsorted:
            q.elements = cython.cast(text_p, _room(q.end - q.first, cython.sizeof(Text)))
            _gather_list(q, e, n - q.end if q.descending else q.first, q.end - q.first)
            q.end = q.n
            q.first = 0
        else:
            q.elements = cython.cast(text_p, _room(n, cython.sizeof(Text)))
            _gather_list(q, e, 0, n)
    else:
        q.elements = cython.cast(text_p, _room(n, cython.sizeof(Text)))
        _gather(q, e, n)
    if q.unsorted and q.descending and entry_type(e) != TYPE_SET:
        _reverse(q)
    return 0


# ---- the order

@cython.cfunc
@cython.exceptval(-1, check=False)
def _open_order(q: _Query) -> cython.int:
    i: int64_t
    if q.order == cython.NULL:
        q.order = cython.cast(weighed_p, _room(q.n, cython.sizeof(Weighed)))
        q.spare = cython.cast(weighed_p, _room(q.n, cython.sizeof(Weighed)))
    for i in range(q.n):
        q.order[i].at = i
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _sorting(q: _Query, s: cython.pointer(Sorting)) -> cython.void:
    s.items = q.order
    s.spare = q.spare
    s.n = q.n
    s.texts = q.elements
    s.scratch = cython.address(q.scratch)
    s.first = q.first
    s.end = q.end
    s.descending = q.descending


@cython.cfunc
@cython.exceptval(-1, check=False)
def _by_number(ctx: Context, q: _Query) -> cython.int:
    """Sort by number; q.failed where an element has a weight that is none. MemoryError."""
    s: Sorting
    i: int64_t
    t: text_p
    value: cython.double
    _open_order(q)
    if q.by is not None:
        _look(ctx, q, [q.by], INTO_NUMBERS)
    else:
        for i in range(q.n):
            t = q.elements + i
            if t.p == cython.NULL:
                value = cython.cast(cython.double, t.n)
            elif not _weight(t.p, t.n, cython.address(value)):
                q.failed = True
                return 0
            q.order[i].key = number_key(value)
    if q.failed:
        return 0
    _sorting(q, cython.address(s))
    if not sort_numbers(cython.address(s)):
        raise MemoryError
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _arrange(q: _Query) -> cython.int:
    """Put a set's elements into the order of their bytes. MemoryError."""
    s: Sorting
    i: int64_t
    sorted_elements: text_p
    _open_order(q)
    _sorting(q, cython.address(s))
    s.first = 0
    s.end = q.n
    s.descending = False
    if not sort_texts(cython.address(s)):
        raise MemoryError
    sorted_elements = cython.cast(text_p, _room(q.n, cython.sizeof(Text)))
    for i in range(q.n):
        sorted_elements[i] = q.elements[q.order[i].at]
    free(q.elements)
    q.elements = sorted_elements
    free(q.order)
    free(q.spare)
    q.order = q.spare = cython.NULL
    return 0


@cython.cfunc
@cython.overflowcheck(False)        # pointers are subtracted
@cython.exceptval(-1, check=False)
def _weigh_texts(ctx: Context, q: _Query) -> cython.int:
    """The weights of a sort by text, cut at a NUL unless the result is stored. MemoryError."""
    i: int64_t
    t: text_p
    nul: cython.p_void
    if q.by is not None:
        q.weights = cython.cast(text_p, _room(q.n, cython.sizeof(Text)))
        _look(ctx, q, [q.by], INTO_TEXTS)
    if q.store:
        return 0
    for i in range(q.n):
        t = (q.elements if q.weights == cython.NULL else q.weights) + i
        nul = memchr(t.p, 0, t.n) if t.p != cython.NULL else cython.NULL
        if nul == cython.NULL:
            continue
        if q.weights == cython.NULL:
            q.weights = cython.cast(text_p, _room(q.n, cython.sizeof(Text)))
            memcpy(q.weights, q.elements, q.n * cython.sizeof(Text))
        q.weights[i].n = cython.cast(const_bytes, nul) - t.p
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _by_text(ctx: Context, q: _Query) -> cython.int:
    """Sort by text; elements without a weight are before all others, or behind them. MemoryError."""
    s: Sorting
    i: int64_t
    absent: int64_t = 0
    present: int64_t = 0
    _open_order(q)
    _weigh_texts(ctx, q)
    _sorting(q, cython.address(s))
    if q.weights != cython.NULL:
        s.texts = q.weights
    if q.by is not None:
        # those without first, each part in its order
        for i in range(q.n):
            if q.weights[i].p == cython.NULL:
                q.order[absent].at = i
                absent += 1
            else:
                q.spare[present].at = i
                present += 1
        if q.descending:
            memcpy(q.spare + present, q.order, absent * cython.sizeof(Weighed))
            memcpy(q.order, q.spare, q.n * cython.sizeof(Weighed))
        else:
            memcpy(q.order + absent, q.spare, present * cython.sizeof(Weighed))
            s.items += absent
            s.first -= absent
            s.end -= absent
        s.n = present
    if not sort_texts(cython.address(s)):
        raise MemoryError
    return 0


# ---- the result

@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply(ctx: Context, q: _Query) -> cython.int:
    i: int64_t
    t: text_p
    if q.gets:
        ctx.reply.array((q.end - q.first) * cython.cast(int64_t, len(q.gets)))
        return _look(ctx, q, q.gets, INTO_REPLY)
    ctx.reply.array(q.end - q.first)
    for i in range(q.first, q.end):
        t = _at(q, i)
        if t.p == cython.NULL:
            ctx.reply.bulk_int(t.n)
        else:
            ctx.reply.bulk(t.p, t.n)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _store(ctx: Context, q: _Query, destination: arg_p) -> cython.int:
    """Make the list beside the database, and put it in the destination's place; or delete that, where it is empty."""
    k: Key
    i: int64_t
    t: text_p
    result: bytep
    key_init(cython.address(k), destination.p, destination.n)
    q.result = list_entry_new(ctx, k.p, k.n)
    if q.gets:
        _look(ctx, q, q.gets, INTO_LIST)
    else:
        for i in range(q.first, q.end):
            t = _at(q, i)
            if not text_spell(t, cython.address(q.scratch)):
                raise MemoryError
            list_append(ctx, q.result, t.p, t.n)
    list_close(ctx, q.result)
    result = q.result
    q.result = cython.NULL      # the database's now, also where it fails
    return outcome_store(ctx, cython.address(k), result, list_length(result), NOTIFY_LIST, b"sortstore")


@cython.cfunc
@cython.exceptval(-1, check=False)
def _sort(ctx: Context, argv: arg_p, argc: cython.int, stores: cython.bint) -> cython.int:
    q: _Query = _Query()
    e: bytep
    is_set: cython.bint
    if not _options(ctx, q, argv, argc, stores):
        return 0
    e = ctx.db.read(cython.address(ctx.key))
    if e != cython.NULL and entry_type(e) != TYPE_LIST and entry_type(e) != TYPE_SET and entry_type(e) != TYPE_ZSET:
        return ctx.error(errors.WRONG_TYPE)
    is_set = e != cython.NULL and entry_type(e) == TYPE_SET
    if q.unsorted and is_set and q.store:
        q.unsorted = False
        q.by = None
        q.alpha = True
    _elements(q, e)
    if q.n > 0 and not q.unsorted:
        if q.alpha and is_set and q.store and q.by is not None:
            _arrange(q)         # those of equal weight, in an order that does not hang on this process's hash
        if q.alpha:
            _by_text(ctx, q)
        else:
            _by_number(ctx, q)
    if q.failed:
        return ctx.error(errors.SORT_NOT_DOUBLE)
    return _store(ctx, q, argv + q.store) if q.store else _reply(ctx, q)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sort_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _sort(ctx, argv, argc, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def sort_ro_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _sort(ctx, argv, argc, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_sort(registry: Registry) -> cython.int:
    """Register the two."""
    registry.hot("sort", sort_command)
    registry.hot("sort_ro", sort_ro_command)
    return 0
