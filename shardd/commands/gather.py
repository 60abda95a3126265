"""HSCAN, SSCAN, ZSCAN: what they share. Their options, and a step of a scan over a table of pairs, with its reply.

As in Redis, a collection in a listpack is returned as a whole with cursor 0, whatever COUNT says; one in a table by
chains, until COUNT pairs were seen or ten times as many chains.
"""
import cython
from cython.cimports.libc.stdint import UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_int64, arg_is, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.gather import Gathered, ScanOptions
from cython.cimports.shardd.structures.glob import glob_match
from cython.cimports.shardd.structures.pairs import pair_key, pair_value
from cython.cimports.shardd.structures.table import Table, pair_due, pair_key_len, pair_value_len, table_scan
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
const_arg_p = cython.typedef(cython.pointer(cython.const[Arg]))
options_p = cython.typedef(cython.pointer(ScanOptions))
gathered_p = cython.typedef(cython.pointer(Gathered))

COUNT = cython.declare(int64_t, 10)
CHAINS_PER_PAIR = cython.declare(int64_t, 10)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _options(ctx: Context, argv: arg_p, argc: cython.int, o: options_p) -> cython.bint:
    """[MATCH pattern] [COUNT count] from argv[3] on (the cursor has been read); False where an error was replied."""
    i: cython.int = 3
    o.count = COUNT
    o.pattern = cython.NULL
    while i < argc:
        if i + 1 < argc and arg_is(argv + i, b"count", 5):
            if not arg_int64(argv + i + 1, cython.address(o.count)):
                ctx.error(errors.NOT_INTEGER)
                return False
            if o.count < 1:
                ctx.error(errors.SYNTAX)
                return False
        elif i + 1 < argc and arg_is(argv + i, b"match", 5):
            o.pattern = argv[i + 1].p
            o.pattern_n = argv[i + 1].n
        else:
            ctx.error(errors.SYNTAX)
            return False
        i += 2
    return True


@cython.cfunc
def scan_begin(ctx: Context, argv: cython.pointer(Arg), argc: cython.int, type: uint32_t,
               o: cython.pointer(ScanOptions)) -> bytep:
    """HSCAN key cursor [MATCH pattern] [COUNT count]: the entry, and what is wanted of it. NULL: the reply is made, an
    error or that of an absent key, whose options are not looked at, as in Redis.
    """
    e: bytep
    if not arg_cursor(argv + 2, cython.address(o.cursor)):
        ctx.error(errors.INVALID_CURSOR)
        return cython.NULL
    e = ctx.db.read(cython.address(ctx.key))
    if not of_type(ctx, e, type):
        return cython.NULL
    if e == cython.NULL:
        ctx.reply.array(2)
        ctx.reply.bulk(b"0", 1)
        ctx.reply.array(0)
        return cython.NULL
    return e if _options(ctx, argv, argc, o) else cython.NULL


@cython.cfunc
@cython.exceptval(-1, check=False)
def scan_table(ctx: Context, t: cython.pointer(Table), o: options_p, values: cython.bint) -> cython.int:
    """The reply to a step of a scan over pairs: their keys, or keys and values."""
    found: Gathered
    pair: bytep
    i: int64_t
    try:
        gather_wanted(ctx, t, o, cython.address(found), 2 if values else 1)
        for i in range(found.n):
            pair = found.pairs[i]
            ctx.reply.bulk(pair_key(pair), pair_key_len(pair))
            if values:
                ctx.reply.bulk(pair_value(pair), pair_value_len(pair))
    finally:
        free(found.pairs)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def gather_wanted(ctx: Context, t: cython.pointer(Table), o: options_p, found: gathered_p,
                  each: cython.int) -> cython.int:
    """A step of a scan: the pairs that are not due and that MATCH lets through, and the head of its reply, in which each
    of them has `each` words, which the caller writes. MemoryError."""
    pair: bytep
    i: int64_t
    wanted: int64_t = 0
    gather_scan(t, o, found)
    for i in range(found.n):
        pair = found.pairs[i]
        if not pair_due(pair, ctx.keyspace.now_ms) and scan_wants(o, pair_key(pair), pair_key_len(pair)):
            found.pairs[wanted] = pair
            wanted += 1
    found.n = wanted
    ctx.reply.array(2)
    ctx.reply.bulk_int(cython.cast(int64_t, o.cursor))
    return ctx.reply.array(each * wanted)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_wants(o: options_p, text: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> cython.bint:
    """Whether MATCH lets it through."""
    return o.pattern == cython.NULL or glob_match(o.pattern, o.pattern_n, text, n, False)


@cython.cfunc
@cython.exceptval(check=False)
def _keep(context: cython.p_void, pair: bytep) -> cython.int:
    found: gathered_p = cython.cast(gathered_p, context)
    cap: int64_t
    more: cython.p_void
    if found.n == found.cap:
        cap = 2 * found.cap + 64
        more = realloc(found.pairs, cap * cython.sizeof(bytep))
        if more == cython.NULL:
            found.out_of_memory = True
            return 0
        found.pairs = cython.cast(cython.pointer(bytep), more)
        found.cap = cap
    found.pairs[found.n] = pair
    found.n += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def gather_scan(t: cython.pointer(Table), o: options_p, found: gathered_p) -> cython.int:
    """One step of a scan; the pairs are the table's, and good until it changes. MemoryError."""
    chains: int64_t = o.count * CHAINS_PER_PAIR if o.count < (1 << 50) else o.count
    memset(found, 0, cython.sizeof(Gathered))
    while True:
        o.cursor = table_scan(t, o.cursor, _keep, found)
        chains -= 1
        if o.cursor == 0 or found.n >= o.count or chains <= 0:
            break
    if found.out_of_memory:
        raise MemoryError
    return 0


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def arg_cursor(arg: const_arg_p, cursor: cython.pointer(uint64_t)) -> cython.bint:
    """Whether the argument is a cursor, as C's strtoul takes it: nothing, or a sign and digits, up to a NUL."""
    i: cython.Py_ssize_t = 0
    n: cython.Py_ssize_t = 0
    total: uint64_t = 0
    digit: uint32_t
    negative: cython.bint = False
    while n < arg.n and arg.p[n] != 0:
        n += 1
    cursor[0] = 0
    if n == 0:
        return True
    if arg.p[0] == 43 or arg.p[0] == 45:
        negative = arg.p[0] == 45
        i = 1
    if i == n:
        return False
    while i < n:
        digit = cython.cast(uint32_t, arg.p[i]) - 48
        if digit > 9 or total > UINT64_MAX // 10 or (total == UINT64_MAX // 10 and digit > 5):
            return False
        total = total * 10 + digit
        i += 1
    cursor[0] = 0 - total if negative else total
    return True
