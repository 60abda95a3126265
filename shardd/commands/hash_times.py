"""Times to live of a hash's fields: HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT, HTTL HPTTL HEXPIRETIME HPEXPIRETIME,
HPERSIST, HGETEX, HSETEX, HGETDEL.

As in Redis 8.0, where Valkey 9 differs: the texts of errors; what is looked at first (the key's type, but in HSETEX);
one condition at most, right before FIELDS; a time below zero is refused, and one after limits.FIELD_EXPIRY_MS_MAX; a
field that is due at once makes "hdel" (Valkey: "hexpired"); a small hash is "listpackex". As in Valkey, where Redis
differs: a field past its time is gone for every command, also for the result of HSET and HDEL, whether or not active
expiry has been by.

Per field HEXPIRE and its relatives answer -2 no such field, 0 condition not met, 1 done, 2 deleted as its time was
past.

The journal hears of absolute times, and of those fields only that have changed: HPEXPIREAT, HPERSIST, HSETEX with PXAT
or KEEPTTL, HDEL.
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.hash_forms import (
    FIELD_ABSENT, FIELD_KEEPS_EXPIRY, FIELD_STAYS, hash_close, hash_expire, hash_expiry, hash_find, hash_length,
    hash_open, hash_put, hash_remove, hash_to_read, hash_to_write)
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.entry import View
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_HASH
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits

arg_p = cython.typedef(cython.pointer(Arg))

PAIRS_MAX = cython.declare(int64_t, (1 << 31) - 1)          # what HSETEX takes for a number of fields
EXPIRY_MAX = cython.declare(int64_t, limits.FIELD_EXPIRY_MS_MAX)

NX = cython.declare(cython.int, 1)      # only where the field has no expiry
XX = cython.declare(cython.int, 2)      # only where it has one
GT = cython.declare(cython.int, 3)      # only where the new one is later; no expiry is the latest
LT = cython.declare(cython.int, 4)      # only where it is earlier


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _tell(ctx: Context, event: bytes) -> cython.int:
    return ctx.notify(NOTIFY_HASH, event, cython.address(ctx.key))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _effect(ctx: Context, words: tuple, fields: list) -> cython.int:
    """Journal a command on these fields: its words, and behind them FIELDS and how many, but for HDEL."""
    if not ctx.journal.active:
        return 0
    if words[0] == b"HDEL":
        return ctx.effect((*words, *fields))
    return ctx.effect((*words, b"FIELDS", b"%d" % len(fields), *fields))


# ---- arguments

@cython.cfunc
@cython.exceptval(-1, check=False)
def _time(ctx: Context, arg: arg_p, base_ms: int64_t, unit_ms: int64_t, name: str,
          when: cython.pointer(int64_t)) -> cython.bint:
    """A time in Unix ms: `base_ms` is what the argument counts from, `unit_ms` what in. False: it is none, and the
    error is replied."""
    value: int64_t
    if not arg_int64(arg, cython.address(value)):
        ctx.error(errors.NOT_INTEGER)
        return False
    if value < 0:
        ctx.error(errors.FIELD_EXPIRE_NEGATIVE)
        return False
    if value > EXPIRY_MAX // unit_ms or value * unit_ms > EXPIRY_MAX - base_ms:
        ctx.error(errors.invalid_expire(name))
        return False
    when[0] = base_ms + value * unit_ms
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _fields(ctx: Context, argv: arg_p, argc: cython.int, at: cython.int, few: bytes) -> cython.int:
    """FIELDS numfields field ...: where the first field stands, all behind it being fields; 0 where it is not so, and
    the error is replied. few: the error for a number that is none, or below 1."""
    count: int64_t
    if at >= argc or not arg_is(argv + at, b"fields", 6):
        ctx.error(errors.FIELDS_MISSING)
        return 0
    if at + 1 >= argc or not arg_int64(argv + at + 1, cython.address(count)) or count < 1:
        ctx.error(few)
        return 0
    if count != argc - at - 2:
        ctx.error(errors.FIELDS_NOT_AS_MANY)
        return 0
    return at + 2


# ---- HEXPIRE

@cython.cfunc
@cython.exceptval(check=False)
def _met(condition: cython.int, before: int64_t, when: int64_t) -> cython.bint:
    if condition == NX:
        return before == FIELD_STAYS
    if before == FIELD_STAYS:
        return condition == 0 or condition == LT
    return not (condition == GT and when <= before) and not (condition == LT and when >= before)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hexpire(ctx: Context, argv: arg_p, argc: cython.int, base_ms: int64_t, unit_ms: int64_t, name: str) -> cython.int:
    """HEXPIRE key time [NX | XX | GT | LT] FIELDS numfields field ...: the four setters."""
    e: bytep
    when: int64_t
    condition: cython.int = 0
    first: cython.int
    if not hash_to_write(ctx, cython.address(e)) or not _time(ctx, argv + 2, base_ms, unit_ms, name,
                                                              cython.address(when)):
        return 0
    if arg_is(argv + 3, b"nx", 2):
        condition = NX
    elif arg_is(argv + 3, b"xx", 2):
        condition = XX
    elif arg_is(argv + 3, b"gt", 2):
        condition = GT
    elif arg_is(argv + 3, b"lt", 2):
        condition = LT
    first = _fields(ctx, argv, argc, 4 if condition else 3, errors.NUMFIELDS_NOT_POSITIVE)
    if first == 0:
        return 0
    return _expire_fields(ctx, e, argv, first, argc, when, condition)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _expire_fields(ctx: Context, e: bytep, argv: arg_p, first: cython.int, end: cython.int, when: int64_t,
                   condition: cython.int) -> cython.int:
    """Give the fields argv[first:end] an expiry, or delete them where it is past, and reply with what came of each."""
    past: cython.bint = when <= ctx.keyspace.now_ms
    changed: cython.bint = False
    done: list = []
    before: int64_t
    i: cython.int
    ctx.reply.array(end - first)
    try:
        for i in range(first, end):
            before = hash_expiry(ctx, e, argv + i)
            if before == FIELD_ABSENT:
                ctx.reply.integer(-2)
            elif not _met(condition, before, when):
                ctx.reply.integer(0)
            else:
                if past:
                    hash_remove(ctx, e, argv + i)
                else:
                    hash_expire(ctx, e, argv + i, when)
                changed = True
                if ctx.journal.active:
                    done.append(arg_bytes(argv + i))
                ctx.reply.integer(2 if past else 1)
    finally:
        _changed_times(ctx, e, argv, changed, done, when if not past else 0)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _changed_times(ctx: Context, e: bytep, argv: arg_p, changed: cython.bint, done: list, when: int64_t) -> cython.int:
    """The end of a command that has given fields an expiry `when`, or none (-1), or has deleted them (0)."""
    if not changed:
        return 0
    if when == 0:
        _effect(ctx, (b"HDEL", arg_bytes(argv + 1)), done)
    elif when == FIELD_STAYS:
        _effect(ctx, (b"HPERSIST", arg_bytes(argv + 1)), done)
    else:
        _effect(ctx, (b"HPEXPIREAT", arg_bytes(argv + 1), b"%d" % when), done)
    _tell(ctx, b"hdel" if when == 0 else b"hpersist" if when == FIELD_STAYS else b"hexpire")
    return hash_close(ctx, e, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hexpire_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _hexpire(ctx, argv, argc, ctx.keyspace.now_ms, 1000, "hexpire")


@cython.cfunc
@cython.exceptval(-1, check=False)
def hpexpire_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _hexpire(ctx, argv, argc, ctx.keyspace.now_ms, 1, "hpexpire")


@cython.cfunc
@cython.exceptval(-1, check=False)
def hexpireat_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _hexpire(ctx, argv, argc, 0, 1000, "hexpireat")


@cython.cfunc
@cython.exceptval(-1, check=False)
def hpexpireat_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _hexpire(ctx, argv, argc, 0, 1, "hpexpireat")


@cython.cfunc
@cython.exceptval(-1, check=False)
def hpersist_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """HPERSIST key FIELDS numfields field ...: -2 no such field, -1 it has no expiry, 1 done."""
    e: bytep
    i: cython.int
    before: int64_t
    changed: cython.bint = False
    done: list = []
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    first: cython.int = _fields(ctx, argv, argc, 2, errors.NUMFIELDS_NOT_A_POSITIVE_INTEGER)
    if first == 0:
        return 0
    ctx.reply.array(argc - first)
    try:
        for i in range(first, argc):
            before = hash_expiry(ctx, e, argv + i)
            if before >= 0:
                hash_expire(ctx, e, argv + i, FIELD_STAYS)
                changed = True
                if ctx.journal.active:
                    done.append(arg_bytes(argv + i))
            ctx.reply.integer(1 if before >= 0 else before)
    finally:
        _changed_times(ctx, e, argv, changed, done, FIELD_STAYS)
    return 0


# ---- HTTL

@cython.cfunc
@cython.exceptval(-1, check=False)
def _httl(ctx: Context, argv: arg_p, argc: cython.int, absolute: cython.bint, seconds: cython.bint) -> cython.int:
    """HTTL key FIELDS numfields field ...: the four readers; -2 no such field, -1 no expiry. Seconds are rounded up."""
    e: bytep
    i: cython.int
    ms: int64_t
    if not hash_to_read(ctx, cython.address(e)):
        return 0
    first: cython.int = _fields(ctx, argv, argc, 2, errors.NUMFIELDS_NOT_A_POSITIVE_INTEGER)
    if first == 0:
        return 0
    ctx.reply.array(argc - first)
    for i in range(first, argc):
        ms = hash_expiry(ctx, e, argv + i)
        if ms >= 0:
            if not absolute:
                ms -= ctx.keyspace.now_ms
            if seconds:
                ms = (ms + 999) // 1000
        ctx.reply.integer(ms)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def httl_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _httl(ctx, argv, argc, False, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hpttl_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _httl(ctx, argv, argc, False, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hexpiretime_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _httl(ctx, argv, argc, True, True)


@cython.cfunc
@cython.exceptval(-1, check=False)
def hpexpiretime_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    return _httl(ctx, argv, argc, True, False)


# ---- HGETEX, HGETDEL

@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_values(ctx: Context, e: bytep, argv: arg_p, first: cython.int, end: cython.int) -> cython.int:
    """The values of the fields argv[first:end]."""
    value: View
    i: cython.int
    ctx.reply.array(end - first)
    for i in range(first, end):
        if hash_find(ctx, e, argv + i, cython.address(value)):
            ctx.reply.bulk(value.p, value.n)
        else:
            ctx.reply.null()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _time_option(ctx: Context, argv: arg_p, argc: cython.int, at: cython.int, name: str,
                 when: cython.pointer(int64_t)) -> cython.int:
    """EX, PX, EXAT or PXAT and its time at argv[at]: 1; 0: it is none of these; 2: the time is none, and the error is
    replied."""
    seconds: cython.bint = arg_is(argv + at, b"ex", 2) or arg_is(argv + at, b"exat", 4)
    relative: cython.bint = arg_is(argv + at, b"ex", 2) or arg_is(argv + at, b"px", 2)
    if not seconds and not relative and not arg_is(argv + at, b"pxat", 4):
        return 0
    if at + 1 >= argc:
        ctx.error(errors.SYNTAX)
        return 2
    if _time(ctx, argv + at + 1, ctx.keyspace.now_ms if relative else 0, 1000 if seconds else 1, name, when):
        return 1
    return 2


@cython.cfunc
@cython.exceptval(-1, check=False)
def hgetex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """HGETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] FIELDS numfields field ...: values, and a new expiry."""
    e: bytep
    when: int64_t = 0
    first: cython.int
    option: cython.int
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    option = _time_option(ctx, argv, argc, 2, "hgetex", cython.address(when))
    if option == 2:
        return 0
    persist: cython.bint = arg_is(argv + 2, b"persist", 7)
    first = _fields(ctx, argv, argc, 4 if option else 3 if persist else 2, errors.NUMFIELDS_NOT_A_POSITIVE_INTEGER)
    if first == 0:
        return 0
    if option == 1 and when <= ctx.keyspace.now_ms:
        return _get_and_delete(ctx, e, argv, first, argc)
    _reply_values(ctx, e, argv, first, argc)
    if e == cython.NULL or (option == 0 and not persist):
        return 0
    return _set_times(ctx, e, argv, first, argc, FIELD_STAYS if persist else when)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_times(ctx: Context, e: bytep, argv: arg_p, first: cython.int, end: cython.int, when: int64_t) -> cython.int:
    """Give those of the fields argv[first:end] that are there an expiry in the future, or none (FIELD_STAYS)."""
    i: cython.int
    before: int64_t
    changed: cython.bint = False
    done: list = []
    try:
        for i in range(first, end):
            before = hash_expiry(ctx, e, argv + i)
            if before >= 0 or (before == FIELD_STAYS and when >= 0):
                hash_expire(ctx, e, argv + i, when)
                changed = True
                if ctx.journal.active:
                    done.append(arg_bytes(argv + i))
    finally:
        _changed_times(ctx, e, argv, changed, done, when)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _get_and_delete(ctx: Context, e: bytep, argv: arg_p, first: cython.int, end: cython.int) -> cython.int:
    """Reply with the values of the fields argv[first:end], and delete them, one after the other."""
    value: View
    i: cython.int
    changed: cython.bint = False
    done: list = []
    ctx.reply.array(end - first)
    try:
        for i in range(first, end):
            if not hash_find(ctx, e, argv + i, cython.address(value)):
                ctx.reply.null()
                continue
            ctx.reply.bulk(value.p, value.n)
            hash_remove(ctx, e, argv + i)
            changed = True
            if ctx.journal.active:
                done.append(arg_bytes(argv + i))
    finally:
        _changed_times(ctx, e, argv, changed, done, 0)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def hgetdel_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """HGETDEL key FIELDS numfields field ..."""
    e: bytep
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    first: cython.int = _fields(ctx, argv, argc, 2, errors.NUMFIELDS_NOT_A_POSITIVE_INTEGER)
    if first == 0:
        return 0
    return _get_and_delete(ctx, e, argv, first, argc)


# ---- HSETEX

SetOptions = cython.struct(
    first=cython.int,           # where the first field stands; 0: FIELDS has not come
    pairs=int64_t,
    condition=cython.int,       # NX for FNX, XX for FXX
    expiry=int64_t,             # Unix ms or a FieldExpiry
    timed=cython.bint)          # one of the words for it was there


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_option(ctx: Context, argv: arg_p, argc: cython.int, i: cython.int,
                o: cython.pointer(SetOptions)) -> cython.int:
    """One option of HSETEX at argv[i]: how many words it takes, 0 where it is wrong, and the error is replied."""
    option: cython.int
    if arg_is(argv + i, b"fields", 6):
        if i + 1 >= argc or not arg_int64(argv + i + 1, cython.address(o.pairs)) or not 1 <= o.pairs <= PAIRS_MAX:
            ctx.error(errors.NUMFIELDS_INVALID)
            return 0
        if o.first or o.pairs > (argc - i - 2) // 2 or 2 * o.pairs != argc - i - 2:
            ctx.error(errors.wrong_arity("hsetex"))
            return 0
        o.first = i + 2
        return cython.cast(cython.int, 2 + 2 * o.pairs)
    if arg_is(argv + i, b"fnx", 3) or arg_is(argv + i, b"fxx", 3):
        if o.condition:
            ctx.error(errors.FNX_AND_FXX)
            return 0
        o.condition = NX if arg_is(argv + i, b"fnx", 3) else XX
        return 1
    option = 1 if arg_is(argv + i, b"keepttl", 7) else 2
    if option == 2 and not (arg_is(argv + i, b"ex", 2) or arg_is(argv + i, b"px", 2) or arg_is(argv + i, b"exat", 4)
                            or arg_is(argv + i, b"pxat", 4)):
        ctx.error(errors.unknown_argument(arg_bytes(argv + i)))
        return 0
    if o.timed:
        ctx.error(errors.HSETEX_ONE_EXPIRY)
        return 0
    o.timed = True
    if option == 1:
        o.expiry = FIELD_KEEPS_EXPIRY
    elif _time_option(ctx, argv, argc, i, "hsetex", cython.address(o.expiry)) != 1:
        return 0
    return option


@cython.cfunc
@cython.exceptval(-1, check=False)
def hsetex_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """HSETEX key [FNX | FXX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] FIELDS numfields field value ...: 1, or 0
    where the condition is not met. With a time that is past the fields are deleted."""
    o: SetOptions
    e: bytep
    value: View
    i: cython.int = 2
    words: cython.int
    memset(cython.address(o), 0, cython.sizeof(SetOptions))
    o.expiry = FIELD_STAYS
    while i < argc:
        words = _set_option(ctx, argv, argc, i, cython.address(o))
        if words == 0:
            return 0
        i += words
    if not o.first:
        return ctx.error(errors.FIELDS_MISSING)
    if not hash_to_write(ctx, cython.address(e)):
        return 0
    if o.condition:
        for i in range(o.first, argc, 2):
            if hash_find(ctx, e, argv + i, cython.address(value)) == (o.condition == NX):
                return ctx.reply.integer(0)
    if o.expiry >= 0 and o.expiry <= ctx.keyspace.now_ms:
        _set_past(ctx, e, argv, o.first, argc)
    else:
        _set_fields(ctx, e, argv, o.first, argc, o.expiry)
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_fields(ctx: Context, e: bytep, argv: arg_p, first: cython.int, end: cython.int, expiry: int64_t) -> cython.int:
    """Set the fields and values argv[first:end]; expiry: Unix ms in the future or a FieldExpiry."""
    i: cython.int = first
    e = hash_open(ctx, e)
    try:
        while i < end:
            hash_put(ctx, e, argv + i, argv[i + 1].p, argv[i + 1].n, expiry)
            i += 2
    finally:
        if i > first:
            if ctx.journal.active:
                how: tuple = (b"PXAT", b"%d" % expiry) if expiry >= 0 else ()
                if expiry == FIELD_KEEPS_EXPIRY:
                    how = (b"KEEPTTL",)
                ctx.effect((b"HSETEX", arg_bytes(argv + 1), *how, b"FIELDS", b"%d" % ((i - first) // 2),
                            *[arg_bytes(argv + j) for j in range(first, i)]))
            _tell(ctx, b"hset")
            if expiry >= 0:
                _tell(ctx, b"hexpire")
        hash_close(ctx, e, i > first)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_past(ctx: Context, e: bytep, argv: arg_p, first: cython.int, end: cython.int) -> cython.int:
    """Set fields with a time that is past: they are deleted, and the events are those of both."""
    i: cython.int
    changed: cython.bint = False
    done: list = []
    _tell(ctx, b"hset")
    if e == cython.NULL:
        _tell(ctx, b"hdel")
        return ctx.notify(NOTIFY_GENERIC, b"del", cython.address(ctx.key))
    try:
        for i in range(first, end, 2):
            if hash_remove(ctx, e, argv + i):
                changed = True
                if ctx.journal.active:
                    done.append(arg_bytes(argv + i))
            if hash_length(e) == 0:
                break
    finally:
        if not changed:
            _tell(ctx, b"hdel")
            hash_close(ctx, e, False)
        _changed_times(ctx, e, argv, changed, done, 0)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_hash_times(registry: Registry) -> cython.int:
    """Add these commands."""
    registry.hot("hexpire", hexpire_command)
    registry.hot("hpexpire", hpexpire_command)
    registry.hot("hexpireat", hexpireat_command)
    registry.hot("hpexpireat", hpexpireat_command)
    registry.hot("hpersist", hpersist_command)
    registry.hot("httl", httl_command)
    registry.hot("hpttl", hpttl_command)
    registry.hot("hexpiretime", hexpiretime_command)
    registry.hot("hpexpiretime", hpexpiretime_command)
    registry.hot("hgetex", hgetex_command)
    registry.hot("hgetdel", hgetdel_command)
    registry.hot("hsetex", hsetex_command)
    return 0
