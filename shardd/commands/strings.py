"""The string family: SET and GET in all their forms, counters, ranges. (LCS is in lcs.py.)

All handlers are hot. What they share: a missing key reads as the empty string or null, a key of another type is
WRONGTYPE, a write keeps or drops the expiry as Redis does. What happened goes to the journal without relative times and
without results that depend on the machine: SET ... EX becomes PXAT, GETEX becomes PEXPIREAT or PERSIST, INCRBYFLOAT
becomes SET. IFEQ is Valkey 8.1's and Redis 8.4's, IFNE the latter's; conditions are no part of the effect.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint32_t
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.shardd.base.native import bytep, load64
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is, expiry_unix_ms, of_type
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.database import SET_KEEP_TTL, SET_VERBATIM, Key
from cython.cimports.shardd.keyspace.entry import (
    HeapString, STR_HEAP, STR_INT, TYPE_STRING, View, entry_encoding, entry_expires, entry_type, entry_value,
    entry_value_len, entry_view)
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_STRING
from cython.cimports.shardd.structures.number import format_long_double, parse_int64, parse_long_double
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_string(ctx: Context, e: bytep) -> cython.int:
    """Reply with the value of the entry, null where there is none. 0: done; 1: an error was replied (wrong type)."""
    view: View
    if e == cython.NULL:
        ctx.reply.null()
        return 0
    if entry_type(e) != TYPE_STRING:
        ctx.error(errors.WRONG_TYPE)
        return 1
    if entry_encoding(e) == STR_INT:
        ctx.reply.bulk_int(cython.cast(int64_t, load64(entry_value(e))))
    elif entry_encoding(e) == STR_HEAP:
        entry_view(e, cython.address(view))
        ctx.reply.bulk(view.p, view.n)
    else:
        ctx.reply.bulk(entry_value(e), entry_value_len(e))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def get_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    _reply_string(ctx, ctx.db.read(cython.address(ctx.key)))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _open(ctx: Context, e: bytep, view: cython.pointer(View)) -> cython.bint:
    """The bytes of the entry, none where there is no key; False for another type, and the error is replied then."""
    view.n = 0
    if e == cython.NULL:
        return True
    if entry_type(e) != TYPE_STRING:
        ctx.error(errors.WRONG_TYPE)
        return False
    entry_view(e, view)
    return True


# ---- SET and its forms

SetOptions = cython.struct(
    nx=cython.bint, xx=cython.bint, get=cython.bint,
    equal=cython.int,               # IFEQ or IFNE: index of what the value is compared with; 0: neither
    differs=cython.bint,            # it was IFNE
    keep_ttl=cython.bint, persist=cython.bint,
    kind=cython.char,               # which word gave the expiry: it may come again, and the last one counts; 0: none
    unit_ms=cython.int,
    relative=cython.bint,
    expiry=cython.int)              # index of its argument


@cython.cfunc
@cython.exceptval(-1, check=False)
def _parse_options(argv: arg_p, argc: cython.int, first: cython.int, getex: cython.bint,
                   o: cython.pointer(SetOptions)) -> cython.bint:
    """Read SET's (or GETEX's) options; False where they do not fit together."""
    i: cython.int = first
    a: arg_p
    kind: cython.char
    memset(o, 0, cython.sizeof(SetOptions))
    while i < argc:
        a = argv + i
        kind = 0
        if not getex and arg_is(a, b"nx", 2) and not o.xx:
            o.nx = True
        elif not getex and arg_is(a, b"xx", 2) and not o.nx:
            o.xx = True
        elif not getex and (arg_is(a, b"ifeq", 4) or arg_is(a, b"ifne", 4)) and not o.equal and i + 1 < argc:
            i += 1
            o.equal = i
            o.differs = arg_is(a, b"ifne", 4)
        elif not getex and arg_is(a, b"get", 3):
            o.get = True
        elif not getex and arg_is(a, b"keepttl", 7) and not o.kind and not o.persist:
            o.keep_ttl = True
        elif getex and arg_is(a, b"persist", 7) and not o.kind and not o.keep_ttl:
            o.persist = True
        else:
            kind = _expiry_word(a)
            if not kind or i + 1 >= argc or o.keep_ttl or o.persist or (o.kind and o.kind != kind):
                return False
            o.kind = kind
            o.unit_ms = 1000 if kind <= 2 else 1
            o.relative = kind % 2 == 1
            o.expiry = i + 1
        i += 2 if kind else 1
    return not (o.equal and (o.nx or o.xx))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _expiry_word(a: arg_p) -> cython.char:
    """1 EX, 2 EXAT, 3 PX, 4 PXAT, 0 anything else."""
    if arg_is(a, b"ex", 2):
        return 1
    if arg_is(a, b"exat", 4):
        return 2
    if arg_is(a, b"px", 2):
        return 3
    return 4 if arg_is(a, b"pxat", 4) else 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _journal_set(ctx: Context, argv: arg_p, value: cython.int, expiry: int64_t, keep_ttl: cython.bint) -> cython.int:
    """The effect of a SET: SET key value [PXAT ms | KEEPTTL]."""
    if not ctx.journal.active:
        return 0
    if expiry != -1:
        ctx.effect((b"SET", arg_bytes(argv + 1), arg_bytes(argv + value), b"PXAT", str(expiry).encode()))
    elif keep_ttl:
        ctx.effect((b"SET", arg_bytes(argv + 1), arg_bytes(argv + value), b"KEEPTTL"))
    else:
        ctx.effect((b"SET", arg_bytes(argv + 1), arg_bytes(argv + value)))
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _tell_set(ctx: Context, expiry: int64_t) -> cython.int:
    """The events of a SET; `expiry` -1: without one."""
    ctx.notify(NOTIFY_STRING, b"set", cython.address(ctx.key))
    if expiry != -1:
        ctx.notify(NOTIFY_GENERIC, b"expire", cython.address(ctx.key))
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _equals(e: bytep, arg: arg_p) -> cython.bint:
    """Whether the string `e` (NULL: none) is these bytes."""
    view: View
    if e == cython.NULL:
        return False
    entry_view(e, cython.address(view))
    return view.n == arg.n and memcmp(view.p, arg.p, arg.n) == 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    o: SetOptions
    expiry: int64_t = -1
    e: bytep
    if argc == 3:
        ctx.db.set_string(cython.address(ctx.key), argv[2].p, argv[2].n, -1, 0)
        ctx.notify(NOTIFY_STRING, b"set", cython.address(ctx.key))
        ctx.reply.ok()
        return 0
    if not _parse_options(argv, argc, 3, False, cython.address(o)):
        return ctx.error(errors.SYNTAX)
    if o.kind and not expiry_unix_ms(ctx, argv + o.expiry, o.unit_ms, o.relative, "set", cython.address(expiry)):
        return 0
    if o.get:
        e = ctx.db.read(cython.address(ctx.key))
        if _reply_string(ctx, e):
            return 0
    else:
        e = ctx.db.write(cython.address(ctx.key))
    if o.equal and not of_type(ctx, e, TYPE_STRING):
        return 0
    if ((o.nx and e != cython.NULL) or (o.xx and e == cython.NULL)
            or (o.equal and _equals(e, argv + o.equal) == o.differs)):
        if not o.get:
            ctx.reply.null()
        return 0
    ctx.db.set_string(cython.address(ctx.key), argv[2].p, argv[2].n, expiry, SET_KEEP_TTL if o.keep_ttl else 0)
    _tell_set(ctx, expiry)
    _journal_set(ctx, argv, 2, expiry, o.keep_ttl)
    if not o.get:
        ctx.reply.ok()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def setnx_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    if ctx.db.write(cython.address(ctx.key)) != cython.NULL:
        ctx.reply.integer(0)
        return 0
    ctx.db.set_string(cython.address(ctx.key), argv[2].p, argv[2].n, -1, 0)
    _tell_set(ctx, -1)
    ctx.reply.integer(1)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _setex(ctx: Context, argv: arg_p, unit_ms: cython.int, name: str) -> cython.int:
    expiry: int64_t
    if not expiry_unix_ms(ctx, argv + 2, unit_ms, True, name, cython.address(expiry)):
        return 0
    ctx.db.set_string(cython.address(ctx.key), argv[3].p, argv[3].n, expiry, 0)
    _tell_set(ctx, expiry)
    _journal_set(ctx, argv, 3, expiry, False)
    ctx.reply.ok()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def setex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _setex(ctx, argv, 1000, "setex")


@cython.cfunc
@cython.exceptval(-1, check=False)
def psetex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _setex(ctx, argv, 1, "psetex")


@cython.cfunc
@cython.exceptval(-1, check=False)
def getset_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    if _reply_string(ctx, ctx.db.read(cython.address(ctx.key))):
        return 0
    ctx.db.set_string(cython.address(ctx.key), argv[2].p, argv[2].n, -1, 0)
    _tell_set(ctx, -1)
    _journal_set(ctx, argv, 2, -1, False)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def getdel_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.read(cython.address(ctx.key))
    if _reply_string(ctx, e) or e == cython.NULL:
        return 0
    ctx.db.remove(cython.address(ctx.key))
    ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
    if ctx.journal.active:
        ctx.effect((b"UNLINK" if ctx.lazy_delete else b"DEL", arg_bytes(argv + 1)))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def getex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    o: SetOptions
    expiry: int64_t = -1
    e: bytep
    if not _parse_options(argv, argc, 2, True, cython.address(o)):
        return ctx.error(errors.SYNTAX)
    e = ctx.db.read(cython.address(ctx.key))
    if e == cython.NULL:
        ctx.reply.null()
        return 0
    if entry_type(e) != TYPE_STRING:
        return ctx.error(errors.WRONG_TYPE)
    if o.kind and not expiry_unix_ms(ctx, argv + o.expiry, o.unit_ms, o.relative, "getex", cython.address(expiry)):
        return 0
    _reply_string(ctx, e)
    if o.kind and not o.relative and expiry <= ctx.keyspace.now_ms:
        ctx.db.remove(cython.address(ctx.key))
        ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
        if ctx.journal.active:
            ctx.effect((b"UNLINK" if ctx.lazy_delete else b"DEL", arg_bytes(argv + 1)))
    elif o.kind:
        ctx.db.set_expiry(cython.address(ctx.key), e, expiry)
        ctx.db.touched(cython.address(ctx.key))
        ctx.notify(NOTIFY_GENERIC, b"expire", cython.address(ctx.key))
        if ctx.journal.active:
            ctx.effect((b"PEXPIREAT", arg_bytes(argv + 1), str(expiry).encode()))
    elif o.persist and entry_expires(e):
        ctx.db.set_expiry(cython.address(ctx.key), e, -1)
        ctx.db.touched(cython.address(ctx.key))
        ctx.notify(NOTIFY_GENERIC, b"persist", cython.address(ctx.key))
        if ctx.journal.active:
            ctx.effect((b"PERSIST", arg_bytes(argv + 1)))
    return 0


# ---- several keys

@cython.cfunc
@cython.exceptval(-1, check=False)
def mget_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    i: cython.int
    k: Key
    e: bytep
    ctx.reply.array(argc - 1)
    for i in range(1, argc):
        e = ctx.db.read(ctx.other_key(cython.address(k), argv + i))
        if e != cython.NULL and entry_type(e) != TYPE_STRING:
            e = cython.NULL
        _reply_string(ctx, e)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _mset(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    i: cython.int = 1
    room: Key
    k: key_p
    try:
        while i < argc:
            k = ctx.other_key(cython.address(room), argv + i)
            ctx.db.set_string(k, argv[i + 1].p, argv[i + 1].n, -1, 0)
            ctx.notify(NOTIFY_STRING, b"set", k)
            i += 2
    except MemoryError:
        # the pairs before this one are set, and the journal must not miss them
        if i > 1 and ctx.journal.active:
            ctx.effect((b"MSET", *[arg_bytes(argv + j) for j in range(1, i)]))
        raise
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def mset_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    if argc % 2 == 0:
        return ctx.error(errors.wrong_arity("mset"))
    _mset(ctx, argv, argc)
    ctx.reply.ok()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def msetnx_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    i: cython.int
    k: Key
    if argc % 2 == 0:
        return ctx.error(errors.wrong_arity("msetnx"))
    for i in range(1, argc, 2):
        if ctx.db.write(ctx.other_key(cython.address(k), argv + i)) != cython.NULL:
            ctx.reply.integer(0)
            return 0
    _mset(ctx, argv, argc)
    ctx.reply.integer(1)
    return 0


# ---- counters

@cython.cfunc
@cython.exceptval(-1, check=False)
def _increment(ctx: Context, delta: int64_t) -> cython.int:
    e: bytep = ctx.db.write(cython.address(ctx.key))
    view: View
    value: int64_t = 0
    if e != cython.NULL:
        if entry_type(e) != TYPE_STRING:
            return ctx.error(errors.WRONG_TYPE)
        if entry_encoding(e) == STR_INT:
            value = cython.cast(int64_t, load64(entry_value(e)))
        else:
            entry_view(e, cython.address(view))
            if not parse_int64(view.p, view.n, cython.address(value)):
                return ctx.error(errors.NOT_INTEGER)
    if (delta < 0 and value < INT64_MIN - delta) or (delta > 0 and value > INT64_MAX - delta):
        return ctx.error(errors.INCR_OVERFLOW)
    ctx.db.set_int(cython.address(ctx.key), e, value + delta)
    ctx.notify(NOTIFY_STRING, b"incrby", cython.address(ctx.key))
    ctx.reply.integer(value + delta)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def incr_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _increment(ctx, 1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def decr_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _increment(ctx, -1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def incrby_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    delta: int64_t
    if not arg_int64(argv + 2, cython.address(delta)):
        return ctx.error(errors.NOT_INTEGER)
    return _increment(ctx, delta)


@cython.cfunc
@cython.exceptval(-1, check=False)
def decrby_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    delta: int64_t
    if not arg_int64(argv + 2, cython.address(delta)):
        return ctx.error(errors.NOT_INTEGER)
    if delta == INT64_MIN:
        return ctx.error(errors.DECR_OVERFLOW)
    return _increment(ctx, -delta)


@cython.cfunc
@cython.exceptval(-1, check=False)
def incrbyfloat_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.write(cython.address(ctx.key))
    view: View
    value: cython.longdouble = 0
    delta: cython.longdouble
    text: cython.char[5121]
    n: cython.int
    if e != cython.NULL:
        if entry_type(e) != TYPE_STRING:
            return ctx.error(errors.WRONG_TYPE)
        entry_view(e, cython.address(view))
        if not parse_long_double(view.p, view.n, cython.address(value)):
            return ctx.error(errors.NOT_FLOAT)
    if not parse_long_double(argv[2].p, argv[2].n, cython.address(delta)):
        return ctx.error(errors.NOT_FLOAT)
    value += delta
    if value != value or value - value != 0:
        return ctx.error(errors.INCR_NAN)
    n = format_long_double(text, 5121, value)
    ctx.db.set_string(cython.address(ctx.key), cython.cast(bytep, text), n, -1, SET_KEEP_TTL | SET_VERBATIM)
    ctx.notify(NOTIFY_STRING, b"incrbyfloat", cython.address(ctx.key))
    if ctx.journal.active:
        ctx.effect((b"SET", arg_bytes(argv + 1), text[:n], b"KEEPTTL"))
    ctx.reply.bulk(text, n)
    return 0


# ---- in place

@cython.cfunc
@cython.exceptval(-1, check=False)
def append_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.write(cython.address(ctx.key))
    view: View
    heap: HeapString
    n: cython.Py_ssize_t = argv[2].n
    if e == cython.NULL:
        ctx.db.set_string(cython.address(ctx.key), argv[2].p, n, -1, 0)
        ctx.notify(NOTIFY_STRING, b"append", cython.address(ctx.key))
        ctx.reply.integer(n)
        return 0
    if not _open(ctx, e, cython.address(view)):
        return 0
    if view.n + n > ctx.bulk_max:
        return ctx.error(errors.STRING_TOO_LONG)
    e = ctx.db.open_heap(cython.address(ctx.key), e, view.n + n)
    memcpy(cython.address(heap), entry_value(e), cython.sizeof(HeapString))
    memcpy(heap.p + heap.len, argv[2].p, n)
    heap.len += cython.cast(uint32_t, n)
    memcpy(entry_value(e), cython.address(heap), cython.sizeof(HeapString))
    ctx.db.touched(cython.address(ctx.key))
    ctx.notify(NOTIFY_STRING, b"append", cython.address(ctx.key))
    ctx.reply.integer(heap.len)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def strlen_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.read(cython.address(ctx.key))
    view: View
    if not _open(ctx, e, cython.address(view)):
        return 0
    return ctx.reply.integer(view.n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def setrange_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep
    view: View
    heap: HeapString
    offset: int64_t
    n: cython.Py_ssize_t = argv[3].n
    end: cython.Py_ssize_t
    if not arg_int64(argv + 2, cython.address(offset)):
        return ctx.error(errors.NOT_INTEGER)
    if offset < 0:
        return ctx.error(errors.OFFSET_OUT_OF_RANGE)
    e = ctx.db.write(cython.address(ctx.key))
    if not _open(ctx, e, cython.address(view)):
        return 0
    if n == 0:
        ctx.reply.integer(view.n)
        return 0
    if offset > ctx.bulk_max - n:
        return ctx.error(errors.STRING_TOO_LONG)
    end = offset + n
    if e == cython.NULL:
        # grown from nothing: an empty string first, so that both ways meet below
        ctx.db.set_string(cython.address(ctx.key), b"", 0, -1, SET_VERBATIM)
        ctx.keyspace.dirty -= 1
        e = ctx.db.find(cython.address(ctx.key))
        try:
            e = ctx.db.open_heap(cython.address(ctx.key), e, end)
        except MemoryError:
            ctx.db.remove(cython.address(ctx.key))
            ctx.keyspace.dirty -= 1
            raise
    else:
        e = ctx.db.open_heap(cython.address(ctx.key), e, end if end > view.n else view.n)
    memcpy(cython.address(heap), entry_value(e), cython.sizeof(HeapString))
    if offset > heap.len:
        memset(heap.p + heap.len, 0, offset - heap.len)
    memcpy(heap.p + offset, argv[3].p, n)
    if end > heap.len:
        heap.len = cython.cast(uint32_t, end)
    memcpy(entry_value(e), cython.address(heap), cython.sizeof(HeapString))
    ctx.db.touched(cython.address(ctx.key))
    ctx.notify(NOTIFY_STRING, b"setrange", cython.address(ctx.key))
    ctx.reply.integer(heap.len)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def getrange_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    e: bytep
    view: View
    start: int64_t
    end: int64_t
    if not arg_int64(argv + 2, cython.address(start)) or not arg_int64(argv + 3, cython.address(end)):
        return ctx.error(errors.NOT_INTEGER)
    e = ctx.db.read(cython.address(ctx.key))
    if not _open(ctx, e, cython.address(view)):
        return 0
    if start < 0 and end < 0 and start > end:
        return ctx.reply.bulk(b"", 0)
    if start < 0:
        start = start + view.n if start >= -view.n else 0
    if end < 0:
        end = end + view.n if end >= -view.n else 0
    if end >= view.n:
        end = view.n - 1
    if start > end or view.n == 0:
        ctx.reply.bulk(b"", 0)
    else:
        ctx.reply.bulk(view.p + start, end - start + 1)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_strings(registry: Registry) -> cython.int:
    """Register the family."""
    registry.hot("get", get_command)
    registry.hot("set", set_command)
    registry.hot("setnx", setnx_command)
    registry.hot("setex", setex_command)
    registry.hot("psetex", psetex_command)
    registry.hot("getset", getset_command)
    registry.hot("getdel", getdel_command)
    registry.hot("getex", getex_command)
    registry.hot("mget", mget_command)
    registry.hot("mset", mset_command)
    registry.hot("msetnx", msetnx_command)
    registry.hot("incr", incr_command)
    registry.hot("decr", decr_command)
    registry.hot("incrby", incrby_command)
    registry.hot("decrby", decrby_command)
    registry.hot("incrbyfloat", incrbyfloat_command)
    registry.hot("append", append_command)
    registry.hot("strlen", strlen_command)
    registry.hot("setrange", setrange_command)
    registry.hot("getrange", getrange_command)
    registry.hot("substr", getrange_command)
    return 0
