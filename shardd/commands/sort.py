"""SORT and SORT_RO: the elements of a list, set or sorted set in another order, or something that they name.

    SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]

    pattern   weight_*          the string at the key that the element makes with it
              object_*->field   a field of the hash there
              #                 (GET) the element itself
              nosort            (BY) no asterisk: the order stays as it is

    elements --weights--> (weight, element) --sort--> --LIMIT--> --GET--> reply, or the list at `destination`

What the order is made of: a number for each element, those of the same number by their bytes; or, with ALPHA, texts,
as strcoll compares them in the C locale, that is up to a NUL; the whole of them with STORE, whose result must not hang
on where it is computed. An element whose weight is missing weighs 0, and is before all texts.

A set has no order of its own, so with STORE and without sorting it is sorted by its members' bytes, as in Redis.
Elements are Python objects here: the interpreter's own sort compares numbers and bytes in C.

Does not own the structures: `ValueOps.items` gives the elements, whatever they are in.
"""
import cython
from cython.cimports.libc import errno
from cython.cimports.libc.stdint import int64_t, uint8_t
from cython.cimports.libc.stdlib import strtod
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.hash_forms import hash_find
from cython.cimports.shardd.commands.keys import pattern_slot
from cython.cimports.shardd.commands.list_forms import list_append, list_close, list_entry_new, list_length, list_range
from cython.cimports.shardd.commands.outcome import outcome_store
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.database import Key, key_init
from cython.cimports.shardd.keyspace.entry import (
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING, TYPE_ZSET, View, entry_body, entry_encoding, entry_free, entry_type,
    entry_view)
from cython.cimports.shardd.keyspace.events import NOTIFY_LIST
from cython.cimports.shardd.keyspace.values import value_ops
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

_SELF = cython.declare(bytes, b"#")


@cython.final
@cython.cclass
class _Query:
    """The options. start, count: of LIMIT, count -1 for all; store: the argument's place, 0 for none."""
    by: object          # a Pattern or None
    gets: list
    start: int64_t
    count: int64_t
    store: cython.int
    descending: cython.bint
    alpha: cython.bint
    unsorted: cython.bint

    def __cinit__(self):
        self.gets = []
        self.count = -1


@cython.final
@cython.cclass
class Pattern:
    """A pattern, taken apart once. `around`, what is before and behind the element in a key, is None where it has no
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
        self.around = (text[:star], text[star + 1:])

    @cython.cfunc
    def of(self, ctx: Context, element: bytes) -> object:
        """What the pattern names for an element, as bytes; None where that is not there or of another type."""
        if self.itself:
            return element
        if self.around is None:
            return None
        return self.at(ctx, self.around[0] + element + self.around[1])

    @cython.cfunc
    def at(self, ctx: Context, key: bytes) -> object:
        """The string at a key, or the field of the hash there; what other engines have is in ctx.texts."""
        k: Key
        view: View
        field: Arg
        e: bytep
        key_init(cython.address(k), cython.cast(const_bytes, cython.cast(cython.p_char, key)), len(key))
        if ctx.texts is not None and (key, self.field) in ctx.texts:
            return ctx.texts[key, self.field]
        e = ctx.db.read(cython.address(k))
        if e == cython.NULL:
            return None
        if self.field is None:
            if entry_type(e) != TYPE_STRING:
                return None
            entry_view(e, cython.address(view))
        else:
            field.p = cython.cast(bytep, cython.cast(cython.p_char, self.field))
            field.n = len(self.field)
            if entry_type(e) != TYPE_HASH or not hash_find(ctx, e, cython.address(field), cython.address(view)):
                return None
        return view.p[:view.n]


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


# ---- the order

@cython.cfunc
def _number(text: bytes, sound: cython.pointer(cython.bint)) -> object:
    """The text as C's strtod reads it; not `sound` where that is no number, or none that a double can hold."""
    start: cython.p_char = text
    end: cython.p_char = start
    errno.errno = 0
    value: cython.double = strtod(start, cython.address(end))
    if end[0] != 0 or errno.errno == errno.ERANGE or value != value:
        sound[0] = False
    return value


@cython.cfunc
def _by_number(ctx: Context, q: _Query, items: list) -> object:
    """The elements by number, None where one has a weight that is no number."""
    sound: cython.bint = True
    element: bytes
    text: object
    weighed: list = []
    for element in items:
        text = element if q.by is None else cython.cast(Pattern, q.by).of(ctx, element)
        weighed.append((0.0 if text is None else _number(text, cython.address(sound)), element))
    if not sound:
        return None
    weighed.sort(reverse=q.descending)
    return [pair[1] for pair in weighed]


@cython.cfunc
@cython.exceptval(-1, check=False)
def _any_nul(items: list) -> cython.bint:
    """Whether a NUL ends the comparison of an element before its end."""
    element: bytes
    for element in items:
        if b"\0" in element:
            return True
    return False


@cython.cfunc
def _by_text(ctx: Context, q: _Query, items: list) -> list:
    """The elements by text; those of the same one in their order."""
    element: bytes
    text: object
    i: cython.Py_ssize_t
    weighed: list = []
    if q.by is None and (q.store or not _any_nul(items)):
        items.sort(reverse=q.descending)        # each is its own weight: equals are the same
        return items
    for i in range(len(items)):
        element = items[i]
        text = element if q.by is None else cython.cast(Pattern, q.by).of(ctx, element)
        if text is not None and not q.store:
            text = cython.cast(bytes, text).split(b"\0", 1)[0]
        # the place decides between equals: forwards or, as the whole is turned round, backwards
        weighed.append((text is not None, text or b"", -i if q.descending else i, element))
    weighed.sort(reverse=q.descending)
    return [four[3] for four in weighed]


@cython.cfunc
def _elements(e: bytep) -> list:
    """The elements of a list, set or sorted set, in its order; none of NULL."""
    items: list
    if e == cython.NULL:
        return []
    items = value_ops(entry_type(e), entry_encoding(e)).items(entry_body(e))
    return [pair[0] for pair in items] if entry_type(e) == TYPE_ZSET else items


@cython.cfunc
def _sorted(ctx: Context, q: _Query, e: bytep) -> object:
    """All elements in the order asked for; None where a weight is no number."""
    items: list = _elements(e)
    is_set: cython.bint = e != cython.NULL and entry_type(e) == TYPE_SET
    if q.unsorted and is_set and q.store:
        q.by = None
        q.alpha = True
    elif q.unsorted:
        if q.descending and not is_set:
            items.reverse()
        return items
    if q.alpha:
        if is_set and q.store and q.by is not None:
            items.sort()        # those of equal weight, in an order that does not hang on this process's hash
        return _by_text(ctx, q, items)
    return _by_number(ctx, q, items)


@cython.cfunc
def _limited(q: _Query, items: list) -> list:
    """LIMIT: from `start` on, which counts as 0 where it is negative, `count` elements; any negative count is all."""
    n: int64_t = len(items)
    start: int64_t = min(max(q.start, 0), n)
    count: int64_t = n - start if q.count < 0 else min(q.count, n - start)
    return items if count == n else items[start:start + count]


@cython.cfunc
def _list_range(q: _Query, e: bytep) -> list:
    """What is wanted of a list that is not sorted, without a look at the rest."""
    n: int64_t = list_length(e)
    start: int64_t = min(max(q.start, 0), n)
    count: int64_t = n - start if q.count < 0 else min(q.count, n - start)
    items: list = list_range(e, n - start - count if q.descending else start, count)
    if q.descending:
        items.reverse()
    return items


# ---- the result

@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply(ctx: Context, q: _Query, items: list) -> cython.int:
    element: bytes
    pattern: Pattern
    if not q.gets:
        return ctx.reply.value(items)
    ctx.reply.array(cython.cast(int64_t, len(items)) * cython.cast(int64_t, len(q.gets)))
    for element in items:
        for pattern in q.gets:
            ctx.reply.value(pattern.of(ctx, element))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _append(ctx: Context, e: bytep, text: bytes) -> cython.int:
    return list_append(ctx, e, cython.cast(const_bytes, cython.cast(cython.p_char, text)), len(text))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _store(ctx: Context, q: _Query, destination: arg_p, items: list) -> cython.int:
    """Make the list beside the database, and put it in the destination's place; or delete that, where it is empty."""
    k: Key
    element: bytes
    pattern: Pattern
    result: bytep
    done: cython.bint = False
    key_init(cython.address(k), destination.p, destination.n)
    result = list_entry_new(ctx, k.p, k.n)
    try:
        for element in items:
            if not q.gets:
                _append(ctx, result, element)
            for pattern in q.gets:
                _append(ctx, result, pattern.of(ctx, element) or b"")
        list_close(ctx, result)
        done = True
    finally:
        if not done:
            entry_free(result)
    return outcome_store(ctx, cython.address(k), result, list_length(result), NOTIFY_LIST, b"sortstore")


@cython.cfunc
@cython.exceptval(-1, check=False)
def _sort(ctx: Context, argv: arg_p, argc: cython.int, stores: cython.bint) -> cython.int:
    q: _Query = _Query()
    items: object
    e: bytep
    if not _options(ctx, q, argv, argc, stores):
        return 0
    e = ctx.db.read(cython.address(ctx.key))
    if e != cython.NULL and entry_type(e) != TYPE_LIST and entry_type(e) != TYPE_SET and entry_type(e) != TYPE_ZSET:
        return ctx.error(errors.WRONG_TYPE)
    if q.unsorted and e != cython.NULL and entry_type(e) == TYPE_LIST:
        items = _list_range(q, e)
        return _store(ctx, q, argv + q.store, items) if q.store else _reply(ctx, q, items)
    items = _sorted(ctx, q, e)
    if items is None:
        return ctx.error(errors.SORT_NOT_DOUBLE)
    items = _limited(q, items)
    if q.store:
        return _store(ctx, q, argv + q.store, items)
    return _reply(ctx, q, items)


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
