"""LCS: the longest common subsequence of two strings.

Owns the command and its algorithm. With a and b the strings, L(i, j) is the length of the longest common subsequence of
a[:i] and b[:j]. Row i of L differs from its left neighbour by 0 or 1 in each place, so a row is one bit per byte of b:

    b          o  h  m  y  t  e  x  t              bit j - 1 of row i is clear where L(i, j) > L(i, j - 1)
    L(i, .)  0 0  0  1  2  2  3  4  5
    row i      1  1  0  0  1  0  0  0              and the number of clear bits of the last row is the length

and a row follows from the one above by a few operations per 64 places (Hyyro, "Bit-parallel LCS-length computation
revisited", 2004), with m the places of b that hold the byte a[i - 1]:

    u = row & m;   next row = (row + u) | (row & ~u)        with the carry running through all words

Walking back from (i, j) = (len a, len b), equal bytes belong to the sequence. Else the walk goes up where L(i - 1, j) >
L(i, j - 1), which for unequal bytes is just where bit j - 1 of row i is clear, and to the left otherwise: Redis's
choice, so of several sequences of one length we find the same.

Rows and places take at most two bits where Redis's table of L takes 32. Redis's bound on that table
(proto-max-bulk-len) is kept: it decides which strings are too long.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint16_t, uint64_t
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.database import Key
from cython.cimports.shardd.keyspace.entry import TYPE_STRING, View, entry_type, entry_view
from cython.cimports.shardd.structures.alloc import allocate, release
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
word_p = cython.typedef(cython.pointer(uint64_t))
view_p = cython.typedef(cython.pointer(View))

REDIS_CELL_BYTES = cython.declare(cython.Py_ssize_t, 4)         # of Redis's table of (len a + 1) * (len b + 1) numbers

Options = cython.struct(
    length=cython.bint, indexes=cython.bint, with_lengths=cython.bint,
    shortest=int64_t)               # MINMATCHLEN: shorter matches are left out

Rows = cython.struct(
    words=cython.Py_ssize_t,        # of a row
    kept=cython.Py_ssize_t,         # rows that are kept: all, or one where only the length is asked for
    memory=word_p,                  # the rows, then the places of each byte of a
    size=cython.size_t,             # bytes of memory
    length=cython.Py_ssize_t)       # of the longest common subsequence


@cython.cfunc
@cython.exceptval(-1, check=False)
def _parse_options(ctx: Context, argv: arg_p, argc: cython.int, o: cython.pointer(Options)) -> cython.bint:
    """Read the options; False where they make no sense, and the error is replied then."""
    i: cython.int = 3
    memset(o, 0, cython.sizeof(Options))
    while i < argc:
        if arg_is(argv + i, b"idx", 3):
            o.indexes = True
        elif arg_is(argv + i, b"len", 3):
            o.length = True
        elif arg_is(argv + i, b"withmatchlen", 12):
            o.with_lengths = True
        elif arg_is(argv + i, b"minmatchlen", 11) and i + 1 < argc:
            i += 1
            if not arg_int64(argv + i, cython.address(o.shortest)):
                ctx.error(errors.NOT_INTEGER)
                return False
        else:
            ctx.error(errors.SYNTAX)
            return False
        i += 1
    if o.indexes and o.length:
        ctx.error(errors.LCS_LEN_AND_IDX)
        return False
    return True


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _next_row(row: word_p, above: word_p, places: word_p, words: cython.Py_ssize_t) -> cython.void:
    """One more byte of a. `row` may be `above`."""
    w: cython.Py_ssize_t
    v: uint64_t
    u: uint64_t
    total: uint64_t
    carry: uint64_t = 0
    for w in range(words):
        v = above[w]
        u = v & places[w]
        total = v + u
        row[w] = v & ~u
        v = total + carry
        # two additions, of which at most one can wrap: u is at most v
        carry = cython.cast(uint64_t, total < u) | cython.cast(uint64_t, v < total)
        row[w] |= v


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _build(a: view_p, b: view_p, keep: cython.bint, rows: cython.pointer(Rows)) -> cython.bint:
    """Compute all rows, keeping them or only the last; `rows.memory` is the caller's. False: there is no memory."""
    number: uint16_t[256]           # of each byte of a, from 1 on
    distinct: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    row: word_p
    above: word_p
    places: word_p
    memset(number, 0, cython.sizeof(number))
    for i in range(a.n):
        if number[a.p[i]] == 0:
            distinct += 1
            number[a.p[i]] = cython.cast(uint16_t, distinct)
    rows.words = (b.n + 63) >> 6
    rows.kept = a.n if keep and a.n > 0 else 1
    rows.size = cython.cast(cython.size_t, (rows.kept + distinct) * rows.words) * 8
    rows.memory = cython.cast(word_p, allocate(rows.size))
    if rows.memory == cython.NULL:
        return False
    places = rows.memory + rows.kept * rows.words
    memset(places, 0, cython.cast(cython.size_t, distinct * rows.words) * 8)
    for i in range(b.n):
        if number[b.p[i]]:
            places[(number[b.p[i]] - 1) * rows.words + (i >> 6)] |= cython.cast(uint64_t, 1) << (i & 63)
    # above the first row nothing is common yet: all bits are set
    row = above = rows.memory
    memset(row, 255, rows.words * 8)
    for i in range(a.n):
        _next_row(row, above, places + (number[a.p[i]] - 1) * rows.words, rows.words)
        above = row
        if keep:
            row += rows.words
    rows.length = 0
    for i in range(b.n):
        rows.length += 1 - ((above[i >> 6] >> (i & 63)) & 1)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_match(ctx: Context, a_start: cython.Py_ssize_t, b_start: cython.Py_ssize_t, n: cython.Py_ssize_t,
                 with_length: cython.bint) -> cython.int:
    """One match: where it starts and ends in a, and in b."""
    ctx.reply.array(3 if with_length else 2)
    ctx.reply.array(2)
    ctx.reply.integer(a_start)
    ctx.reply.integer(a_start + n - 1)
    ctx.reply.array(2)
    ctx.reply.integer(b_start)
    ctx.reply.integer(b_start + n - 1)
    if with_length:
        ctx.reply.integer(n)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _matches(ctx: Context, a: view_p, b: view_p, rows: cython.pointer(Rows), o: cython.pointer(Options),
             reply: cython.bint) -> int64_t:
    """How many runs of adjacent bytes the sequence has that are long enough; `reply` them, the last one first."""
    i: cython.Py_ssize_t = a.n
    j: cython.Py_ssize_t = b.n
    run: cython.Py_ssize_t = 0
    found: int64_t = 0
    while i > 0 and j > 0:
        if a.p[i - 1] == b.p[j - 1]:
            run += 1
            i -= 1
            j -= 1
            if i > 0 and j > 0:
                continue
        if run and run >= o.shortest:
            found += 1
            if reply:
                _reply_match(ctx, i, j, run, o.with_lengths)
        if i > 0 and j > 0:
            run = 0
            if rows.memory[(i - 1) * rows.words + ((j - 1) >> 6)] >> ((j - 1) & 63) & 1:
                j -= 1
            else:
                i -= 1
    return found


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_sequence(ctx: Context, a: view_p, b: view_p, rows: cython.pointer(Rows)) -> cython.int:
    """Reply with the sequence itself, which is filled in from its end."""
    i: cython.Py_ssize_t = a.n
    j: cython.Py_ssize_t = b.n
    left: cython.Py_ssize_t = rows.length
    out: bytep
    ctx.reply.bulk(b.p, left)
    out = ctx.reply.buf + (ctx.reply.len - 2 - left)
    while left > 0:
        if a.p[i - 1] == b.p[j - 1]:
            left -= 1
            out[left] = a.p[i - 1]
            i -= 1
            j -= 1
        elif rows.memory[(i - 1) * rows.words + ((j - 1) >> 6)] >> ((j - 1) & 63) & 1:
            j -= 1
        else:
            i -= 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_lcs(ctx: Context, a: view_p, b: view_p, rows: cython.pointer(Rows),
               o: cython.pointer(Options)) -> cython.int:
    if o.length:
        return ctx.reply.integer(rows.length)
    if not o.indexes:
        return _reply_sequence(ctx, a, b, rows)
    ctx.reply.map(2)
    ctx.reply.bulk(b"matches", 7)
    ctx.reply.array(_matches(ctx, a, b, rows, o, False))
    _matches(ctx, a, b, rows, o, True)
    ctx.reply.bulk(b"len", 3)
    return ctx.reply.integer(rows.length)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _open(ctx: Context, e: bytep, view: view_p) -> cython.bint:
    """The bytes of a string, none where there is no key; False where it is another type."""
    view.p = view.digits
    view.n = 0
    if e == cython.NULL:
        return True
    if entry_type(e) != TYPE_STRING:
        return False
    entry_view(e, view)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def lcs_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]"""
    room: Key
    a: View
    b: View
    o: Options
    rows: Rows
    first: bytep = ctx.db.read(cython.address(ctx.key))
    second: bytep = ctx.db.read(ctx.other_key(cython.address(room), argv + 2))
    if not _open(ctx, first, cython.address(a)) or not _open(ctx, second, cython.address(b)):
        return ctx.error(errors.LCS_NOT_STRINGS)
    if not _parse_options(ctx, argv, argc, cython.address(o)):
        return 0
    # both lengths have 31 bits, but not their product times four
    if a.n + 1 > ctx.bulk_max // REDIS_CELL_BYTES // (b.n + 1):
        return ctx.error(errors.LCS_OVER_BULK_LIMIT)
    if not _build(cython.address(a), cython.address(b), not o.length, cython.address(rows)):
        return ctx.error(errors.LCS_NO_MEMORY)
    try:
        _reply_lcs(ctx, cython.address(a), cython.address(b), cython.address(rows), cython.address(o))
    finally:
        release(rows.memory, rows.size)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_lcs(registry: Registry) -> cython.int:
    """Register the command."""
    registry.hot("lcs", lcs_command)
    return 0
