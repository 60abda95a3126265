"""Keys whatever they hold: DEL UNLINK EXISTS TOUCH TYPE, RENAME RENAMENX COPY MOVE, RANDOMKEY SCAN KEYS DBSIZE, FLUSHDB
FLUSHALL SWAPDB, OBJECT.

Owns what these commands mean, and SCAN's cursor:

    63                    14 13        0
    +-----------------------+-----------+
    | cursor in the slot's  |   slot    |      0: the start, and the end
    | table (table_scan)    |           |
    +-----------------------+-----------+

A scan walks the slots in order, and within a slot its table. Slots never exchange keys, so the guarantee of one table
(what stays is returned at least once, however often the table is resized meanwhile) is that of the whole database. Any
number is a safe cursor: its slot exists, and table_scan masks the rest. A cursor of an engine means nothing to another.

A pattern that can only match keys of one slot, because it spells out their hash tag or the whole key, is looked for in
that slot alone.

Does not own where keys are kept (keyspace/database.py) or their times to live (expire.py).
"""
import random

import cython
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memcmp, strlen
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_int64, arg_is
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.gather import arg_cursor
from cython.cimports.shardd.commands.keys import Found, Pick
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.access import lfu_decayed
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Key, Keyspace, key_init
from cython.cimports.shardd.keyspace.entry import (
    STR_EMBSTR, STR_INT, TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STREAM, TYPE_STRING, TYPE_ZSET, entry_access, entry_copy,
    entry_encoding, entry_expires, entry_expiry, entry_free_shell, entry_key, entry_key_len, entry_new,
    entry_rebuilt, entry_refcount, entry_set_access, entry_type)
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_NEW
from cython.cimports.shardd.keyspace.values import value_ops
from cython.cimports.shardd.structures.glob import glob_match
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.structures.table import Table, table_random, table_scan, table_walk
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits
from shardd.commands.plain import help_lines
from shardd.wire.values import Simple

argv_p = cython.typedef(cython.pointer(Arg))
key_p = cython.typedef(cython.pointer(Key))
found_p = cython.typedef(cython.pointer(Found))
table_p = cython.typedef(cython.pointer(Table))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

SLOT_BITS = cython.declare(cython.int, 14)
INT_MIN = cython.declare(int64_t, -2147483648)
INT_MAX = cython.declare(int64_t, 2147483647)
ANY_TYPE = cython.declare(cython.int, -1)
NO_TYPE = cython.declare(cython.int, 15)                # of no entry: SCAN TYPE with an unknown name finds nothing
_SCAN_COUNT = cython.declare(int64_t, limits.SCAN_COUNT_DEFAULT)
_SCAN_CHAINS = cython.declare(int64_t, limits.SCAN_CHAINS_PER_COUNT)
_RANDOM_TRIES = cython.declare(cython.int, limits.RANDOMKEY_TRIES_MAX)
_RANDOM_WALK_MAX = cython.declare(uint32_t, limits.RANDOMKEY_WALK_KEYS_MAX)

_TYPE_NAMES: dict = {
    TYPE_STRING: b"string", TYPE_LIST: b"list", TYPE_SET: b"set", TYPE_ZSET: b"zset", TYPE_HASH: b"hash",
    TYPE_STREAM: b"stream"}



# ---- key by key

@cython.cfunc
@cython.exceptval(-1, check=False)
def del_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """DEL, and UNLINK: every value that exists so far is freed at once in no time."""
    room: Key
    k: key_p
    i: cython.int
    gone: cython.int = 0
    for i in range(1, argc):
        k = ctx.other_key(cython.address(room), cython.address(argv[i]))
        if ctx.db.remove(k):
            ctx.notify(NOTIFY_GENERIC, b"del", k)
            gone += 1
    return ctx.reply.integer(gone)


@cython.cfunc
@cython.exceptval(-1, check=False)
def exists_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    room: Key
    i: cython.int
    there: cython.int = 0
    for i in range(1, argc):
        if ctx.db.peek(ctx.other_key(cython.address(room), cython.address(argv[i]))) != cython.NULL:
            there += 1
    return ctx.reply.integer(there)


@cython.cfunc
@cython.exceptval(-1, check=False)
def touch_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """TOUCH touches also for a client that has said CLIENT NO-TOUCH."""
    room: Key
    i: cython.int
    there: cython.int = 0
    no_touch: cython.bint = ctx.keyspace.no_touch
    ctx.keyspace.no_touch = False
    try:
        for i in range(1, argc):
            if ctx.db.read(ctx.other_key(cython.address(room), cython.address(argv[i]))) != cython.NULL:
                there += 1
    finally:
        ctx.keyspace.no_touch = no_touch
    return ctx.reply.integer(there)


@cython.cfunc
@cython.exceptval(-1, check=False)
def type_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    e: bytep = ctx.db.peek(cython.address(ctx.key))
    return ctx.reply.simple(_TYPE_NAMES[entry_type(e)] if e != cython.NULL else b"none")


@cython.cfunc
@cython.exceptval(-1, check=False)
def _hand_over(source: Database, k: key_p, e: bytep, target: Database, to: key_p, overwrite: cython.bint) -> cython.int:
    """Move the value and the expiry of the live entry `e` of `k` to another key; `overwrite`: that one exists.

    The value is not copied. Raises MemoryError, and changes nothing then.
    """
    moved: bytep = entry_rebuilt(e, to.p, to.n, entry_expiry(e) if entry_expires(e) else -1)
    if moved == cython.NULL:
        raise MemoryError
    if not overwrite:
        # The table must take the key before the value changes hands: replacing an entry cannot fail, adding one can.
        try:
            target.add(to, entry_new(to.p, to.n, 0, -1, TYPE_STRING, STR_EMBSTR, 0))
        except MemoryError:
            entry_free_shell(moved)
            raise
    target.replace(to, moved)
    if overwrite:
        target.notify(NOTIFY_NEW, b"new", to)       # for Redis the key that was there has gone before
    source.take(k)
    entry_free_shell(e)
    source.touched(k)
    target.touched(to)
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _same(a: argv_p, b: argv_p) -> cython.bint:
    return a.n == b.n and memcmp(a.p, b.p, a.n) == 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _rename(ctx: Context, argv: argv_p, nx: cython.bint) -> cython.int:
    room: Key
    to: key_p = ctx.other_key(cython.address(room), cython.address(argv[2]))
    e: bytep = ctx.db.write(cython.address(ctx.key))
    overwrite: cython.bint
    if e == cython.NULL:
        return ctx.error(errors.NO_SUCH_KEY)
    if _same(cython.address(argv[1]), cython.address(argv[2])):
        return ctx.reply.integer(0) if nx else ctx.reply.ok()
    overwrite = ctx.db.write(to) != cython.NULL
    if nx and overwrite:
        return ctx.reply.integer(0)
    _hand_over(ctx.db, cython.address(ctx.key), e, ctx.db, to, overwrite)
    ctx.notify(NOTIFY_GENERIC, b"rename_from", cython.address(ctx.key))
    ctx.notify(NOTIFY_GENERIC, b"rename_to", to)
    return ctx.reply.integer(1) if nx else ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def rename_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _rename(ctx, argv, False)


@cython.cfunc
@cython.exceptval(-1, check=False)
def renamenx_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _rename(ctx, argv, True)


@cython.cfunc
def _database(ctx: Context, arg: argv_p) -> Database:
    """The database of that number; None where there is none, and the error is replied then."""
    number: int64_t
    if not arg_int64(arg, cython.address(number)):
        ctx.error(errors.NOT_INTEGER)
    elif number < INT_MIN or number > INT_MAX:
        ctx.error(errors.out_of_range_between(INT_MIN, INT_MAX))
    elif number < 0 or number >= len(ctx.keyspace.databases):
        ctx.error(errors.DB_INDEX_OUT_OF_RANGE)
    else:
        return ctx.keyspace.databases[number]
    return None


@cython.cfunc
@cython.exceptval(-1, check=False)
def move_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    k: key_p = cython.address(ctx.key)
    target: Database = _database(ctx, cython.address(argv[2]))
    e: bytep
    if target is None:
        return 0
    if target is ctx.db:
        return ctx.error(errors.SAME_OBJECT)
    e = ctx.db.write(k)
    if e == cython.NULL or target.write(k) != cython.NULL:
        return ctx.reply.integer(0)
    _hand_over(ctx.db, k, e, target, k, False)
    ctx.notify(NOTIFY_GENERIC, b"move_from", k)
    target.notify(NOTIFY_GENERIC, b"move_to", k)
    return ctx.reply.integer(1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def copy_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    room: Key
    to: key_p = ctx.other_key(cython.address(room), cython.address(argv[2]))
    target: Database = ctx.db
    replace: cython.bint = False
    overwrite: cython.bint
    i: cython.int = 3
    e: bytep
    copied: bytep
    while i < argc:
        if arg_is(cython.address(argv[i]), b"replace", 7):
            replace = True
        elif arg_is(cython.address(argv[i]), b"db", 2) and i + 1 < argc:
            i += 1
            target = _database(ctx, cython.address(argv[i]))
            if target is None:
                return 0
        else:
            return ctx.error(errors.SYNTAX)
        i += 1
    if target is ctx.db and _same(cython.address(argv[1]), cython.address(argv[2])):
        return ctx.error(errors.SAME_OBJECT)
    e = ctx.db.read(cython.address(ctx.key))
    if e == cython.NULL:
        return ctx.reply.integer(0)
    overwrite = target.write(to) != cython.NULL
    if overwrite and not replace:
        return ctx.reply.integer(0)
    copied = entry_copy(e, to.p, to.n, entry_expiry(e) if entry_expires(e) else -1)
    if copied == cython.NULL:
        raise MemoryError
    entry_set_access(copied, ctx.keyspace.access_clock)
    if overwrite:
        target.replace(to, copied)
        target.notify(NOTIFY_NEW, b"new", to)
    else:
        target.add(to, copied)
    target.touched(to)
    target.notify(NOTIFY_GENERIC, b"copy_to", to)
    return ctx.reply.integer(1)


# ---- whole databases

@cython.cfunc
@cython.exceptval(-1, check=False)
def dbsize_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """DBSIZE counts what is stored, keys that are due included."""
    return ctx.reply.integer(ctx.db.used)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _flush(ctx: Context, argv: argv_p, argc: cython.int, databases: list) -> cython.int:
    """Both modes are the same here: little is freed on the spot, much in steps, and no command waits for it.

    An empty database is flushed as well as any: the journal hears of it.
    """
    db: Database
    if argc > 2 or (argc == 2 and not arg_is(cython.address(argv[1]), b"async", 5)
                    and not arg_is(cython.address(argv[1]), b"sync", 4)):
        return ctx.error(errors.SYNTAX)
    ctx.keyspace.dirty += 1
    for db in databases:
        ctx.keyspace.dirty += db.clear()
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def flushdb_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    return _flush(ctx, argv, argc, [ctx.db])


@cython.cfunc
@cython.exceptval(-1, check=False)
def flushall_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    _flush(ctx, argv, argc, ctx.keyspace.databases)
    if not ctx.failed:
        ctx.server.persistence.flushed()
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def swapdb_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    first: int64_t
    second: int64_t
    count: int64_t = len(ctx.keyspace.databases)
    one: Database
    other: Database
    if not arg_int64(cython.address(argv[1]), cython.address(first)) or not INT_MIN <= first <= INT_MAX:
        return ctx.error(errors.INVALID_FIRST_DB)
    if not arg_int64(cython.address(argv[2]), cython.address(second)) or not INT_MIN <= second <= INT_MAX:
        return ctx.error(errors.INVALID_SECOND_DB)
    if not 0 <= first < count or not 0 <= second < count:
        return ctx.error(errors.DB_INDEX_OUT_OF_RANGE)
    if first != second:
        one, other = ctx.keyspace.databases[first], ctx.keyspace.databases[second]
        one.swap(other)
    ctx.keyspace.dirty += 1
    return ctx.reply.ok()


# ---- finding keys

@cython.cfunc
@cython.exceptval(check=False)
def _collect(context: cython.p_void, e: bytep) -> cython.int:
    """Visitor: keep the entry where it is wanted."""
    found: found_p = cython.cast(found_p, context)
    cap: cython.Py_ssize_t
    entries: cython.pointer(bytep)
    found.visited += 1
    if found.pattern != cython.NULL and not glob_match(
            found.pattern, found.pattern_len, entry_key(e), entry_key_len(e), False):
        return 0
    if entry_expires(e) and entry_expiry(e) < found.alive_at:
        return 0
    if found.count == found.cap:
        cap = found.cap * 2 if found.cap else 64
        entries = cython.cast(cython.pointer(bytep), realloc(found.entries, cap * cython.sizeof(bytep)))
        if entries == cython.NULL:
            found.out_of_memory = True
            return 0
        found.entries = entries
        found.cap = cap
    found.entries[found.count] = e
    found.count += 1
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _open(found: found_p, pattern: argv_p, alive_at: int64_t) -> cython.void:
    """An empty collection; `pattern` NULL or "*": every key matches."""
    found.entries = cython.NULL
    found.count = found.cap = 0
    found.visited = 0
    found.pattern = cython.NULL
    found.pattern_len = 0
    if pattern != cython.NULL and not (pattern.n == 1 and pattern.p[0] == 42):
        found.pattern = pattern.p
        found.pattern_len = pattern.n
    found.alive_at = alive_at
    found.out_of_memory = False


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_found(ctx: Context, found: found_p) -> cython.int:
    i: cython.Py_ssize_t
    ctx.reply.array(found.count)
    for i in range(found.count):
        ctx.reply.bulk(entry_key(found.entries[i]), entry_key_len(found.entries[i]))
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pattern_slot(p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
    """The only slot whose keys can match the pattern; -1 where they may be in any.

    That is so where no wildcard comes before the end of the hash tag, or where there is none at all.
    """
    i: cython.Py_ssize_t
    brace: cython.Py_ssize_t = -1
    for i in range(n):
        if p[i] == 42 or p[i] == 63 or p[i] == 91 or p[i] == 92:
            return -1
        if p[i] == 123 and brace == -1:
            brace = i
        elif p[i] == 125 and brace != -1:
            if i == brace + 1:
                # "{}": no tag, the whole key counts
                brace = n
            elif brace != n:
                return key_slot(p, i + 1)
    return key_slot(p, n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def keys_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """KEYS leaves what is due to others: it only passes it over."""
    found: Found
    db: Database = ctx.db
    slot: cython.int = pattern_slot(argv[1].p, argv[1].n)
    last: cython.int = slot
    if slot < 0:
        slot, last = 0, SLOT_COUNT - 1
    _open(cython.address(found), cython.address(argv[1]), ctx.keyspace.now_ms)
    if db.slots == cython.NULL:
        return ctx.reply.array(0)
    try:
        while slot <= last:
            if db.slots[slot].t.used:
                table_walk(cython.address(db.slots[slot].t), _collect, cython.address(found))
            slot += 1
        if found.out_of_memory:
            raise MemoryError
        _reply_found(ctx, cython.address(found))
    finally:
        free(found.entries)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _type_number(arg: argv_p) -> cython.int:
    """The type of that name; NO_TYPE where there is none."""
    if arg_is(arg, b"string", 6):
        return TYPE_STRING
    if arg_is(arg, b"list", 4):
        return TYPE_LIST
    if arg_is(arg, b"set", 3):
        return TYPE_SET
    if arg_is(arg, b"zset", 4):
        return TYPE_ZSET
    if arg_is(arg, b"hash", 4):
        return TYPE_HASH
    if arg_is(arg, b"stream", 6):
        return TYPE_STREAM
    return NO_TYPE


@cython.cfunc
@cython.exceptval(check=False)
def _walk_on(db: Database, cursor: uint64_t, only: cython.int, count: int64_t, found: found_p) -> uint64_t:
    """Collect from the cursor on until `count` entries were visited; the cursor to go on with, 0 at the end.

    `only`: the one slot to look at, -1 for all. Chains without entries end a call too, but ten times later (as in
    Redis); slots without entries are passed over at no cost worth counting.
    """
    slot: cython.int = cython.cast(cython.int, cursor & (SLOT_COUNT - 1))
    at: uint64_t = cursor >> SLOT_BITS
    chains: int64_t = count * _SCAN_CHAINS if count < INT64_MAX // _SCAN_CHAINS else INT64_MAX
    t: table_p
    if only >= 0 and slot < only:
        slot = only
        at = 0
    while slot < SLOT_COUNT and (only < 0 or slot == only):
        t = cython.address(db.slots[slot].t)
        if t.used == 0:
            at = 0
            slot += 1
            continue
        if found.visited >= count or chains <= 0:
            break
        at = table_scan(t, at, _collect, found)
        chains -= 1
        if at == 0:
            slot += 1
    if slot >= SLOT_COUNT or (only >= 0 and slot != only):
        return 0
    return (at << SLOT_BITS) | cython.cast(uint64_t, slot)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _drop_unwanted(ctx: Context, type: cython.int, found: found_p) -> cython.int:
    """Delete what is due among the entries found, and keep those of the type (or ANY_TYPE)."""
    i: cython.Py_ssize_t
    kept: cython.Py_ssize_t = 0
    k: Key
    e: bytep
    for i in range(found.count):
        e = found.entries[i]
        if entry_expires(e) and entry_expiry(e) < ctx.keyspace.now_ms:
            key_init(cython.address(k), entry_key(e), entry_key_len(e))
            ctx.db.expire_now(cython.address(k), e)
        elif type == ANY_TYPE or entry_type(e) == cython.cast(uint32_t, type):
            found.entries[kept] = e
            kept += 1
    found.count = kept
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def scan_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]; where an option is repeated, the last one counts."""
    found: Found
    cursor: uint64_t
    count: int64_t = _SCAN_COUNT
    pattern: argv_p = cython.NULL
    type: cython.int = ANY_TYPE
    i: cython.int = 2
    if not arg_cursor(cython.address(argv[1]), cython.address(cursor)):
        return ctx.error(errors.INVALID_CURSOR)
    while i < argc:
        if i + 1 < argc and arg_is(cython.address(argv[i]), b"count", 5):
            if not arg_int64(cython.address(argv[i + 1]), cython.address(count)):
                return ctx.error(errors.NOT_INTEGER)
            if count < 1:
                return ctx.error(errors.SYNTAX)
        elif i + 1 < argc and arg_is(cython.address(argv[i]), b"match", 5):
            pattern = cython.address(argv[i + 1])
        elif i + 1 < argc and arg_is(cython.address(argv[i]), b"type", 4):
            type = _type_number(cython.address(argv[i + 1]))
        else:
            return ctx.error(errors.SYNTAX)
        i += 2
    # what is due is deleted below, so it is collected first
    _open(cython.address(found), pattern, INT64_MIN)
    try:
        if ctx.db.slots == cython.NULL:
            cursor = 0
        else:
            cursor = _walk_on(ctx.db, cursor, pattern_slot(pattern.p, pattern.n) if pattern != cython.NULL else -1,
                              count, cython.address(found))
        if found.out_of_memory:
            raise MemoryError
        _drop_unwanted(ctx, type, cython.address(found))
        ctx.reply.array(2)
        ctx.reply.bulk_int(cython.cast(int64_t, cursor))
        _reply_found(ctx, cython.address(found))
    finally:
        free(found.entries)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _pick(context: cython.p_void, e: bytep) -> cython.int:
    """Visitor: note the entry where its turn has come."""
    pick: cython.pointer(Pick) = cython.cast(cython.pointer(Pick), context)
    if pick.left:
        pick.left -= 1
    elif pick.entry == cython.NULL:
        pick.entry = e
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _any_key(db: Database, number: uint64_t, bits: uint64_t) -> bytep:
    """Entry `number` (below db.used) of the database, due or not; in a slot of many keys one by `bits` instead.

    The former is as likely for every key; table_random prefers keys in short chains.
    """
    slot: cython.int = 0
    pick: Pick
    while number >= db.slots[slot].t.used:
        number -= db.slots[slot].t.used
        slot += 1
    if db.slots[slot].t.used > _RANDOM_WALK_MAX:
        return table_random(cython.address(db.slots[slot].t), bits)
    pick.left = number
    pick.entry = cython.NULL
    table_walk(cython.address(db.slots[slot].t), _pick, cython.address(pick))
    return pick.entry


@cython.cfunc
@cython.exceptval(-1, check=False)
def _reply_any_live(ctx: Context, start: cython.int) -> cython.int:
    """Reply with the first key that is not due, from slot `start` on; null where there is none."""
    db: Database = ctx.db
    found: Found
    i: cython.int
    _open(cython.address(found), cython.NULL, ctx.keyspace.now_ms)
    try:
        for i in range(SLOT_COUNT):
            table_walk(cython.address(db.slots[(start + i) & (SLOT_COUNT - 1)].t), _collect, cython.address(found))
            if found.count:
                return ctx.reply.bulk(entry_key(found.entries[0]), entry_key_len(found.entries[0]))
            if found.out_of_memory:
                raise MemoryError
    finally:
        free(found.entries)
    return ctx.reply.null()


@cython.cfunc
@cython.exceptval(-1, check=False)
def randomkey_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """RANDOMKEY deletes the due keys that it comes upon. After many of these in a row any live key will do."""
    db: Database = ctx.db
    k: Key
    e: bytep
    tries: cython.int
    for tries in range(_RANDOM_TRIES):
        if db.used == 0:
            return ctx.reply.null()
        e = _any_key(db, random.randrange(db.used), random.getrandbits(64))
        if not entry_expires(e) or entry_expiry(e) >= ctx.keyspace.now_ms:
            return ctx.reply.bulk(entry_key(e), entry_key_len(e))
        key_init(cython.address(k), entry_key(e), entry_key_len(e))
        db.expire_now(cython.address(k), e)
    return _reply_any_live(ctx, random.randrange(SLOT_COUNT))


# ---- OBJECT

@cython.cfunc
@cython.exceptval(check=False)
def _object(ctx: Context, argv: argv_p) -> bytep:
    """The entry that an OBJECT subcommand is about, or NULL; looking at it is no access."""
    room: Key
    e: bytep = ctx.db.find(ctx.other_key(cython.address(room), cython.address(argv[2])))
    # a hit or a miss, but no event
    if e == cython.NULL:
        ctx.keyspace.misses += 1
    else:
        ctx.keyspace.hits += 1
    return e


@cython.cfunc
@cython.exceptval(-1, check=False)
def object_encoding_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    e: bytep = _object(ctx, argv)
    if e == cython.NULL:
        return ctx.reply.null()
    if entry_type(e) != TYPE_STRING:
        name = value_ops(entry_type(e), entry_encoding(e)).name
        return ctx.reply.bulk(cython.cast(cython.pointer(cython.const[uint8_t]), name), strlen(name))
    if entry_encoding(e) == STR_INT:
        return ctx.reply.bulk(b"int", 3)
    if entry_encoding(e) == STR_EMBSTR:
        return ctx.reply.bulk(b"embstr", 6)
    return ctx.reply.bulk(b"raw", 3)


@cython.cfunc
@cython.exceptval(-1, check=False)
def object_freq_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    keyspace: Keyspace = ctx.keyspace
    e: bytep = _object(ctx, argv)
    if e == cython.NULL:
        return ctx.reply.null()
    if not keyspace.lfu:
        return ctx.error(errors.LFU_POLICY_NOT_SELECTED)
    return ctx.reply.integer(lfu_decayed(entry_access(e), keyspace.access_clock >> 8, keyspace.lfu_decay_minutes))


@cython.cfunc
@cython.exceptval(-1, check=False)
def object_idletime_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    e: bytep = _object(ctx, argv)
    if e == cython.NULL:
        return ctx.reply.null()
    if ctx.keyspace.lfu:
        return ctx.error(errors.LFU_POLICY_SELECTED)
    # both are seconds modulo 2^24
    return ctx.reply.integer((cython.cast(int64_t, ctx.keyspace.access_clock) - entry_access(e)) & 0xFFFFFF)


@cython.cfunc
@cython.exceptval(-1, check=False)
def object_refcount_command(ctx: Context, argv: argv_p, argc: cython.int) -> cython.int:
    """OBJECT REFCOUNT: values have one owner here; small integers answer as Redis's shared objects do."""
    e: bytep = _object(ctx, argv)
    if e == cython.NULL:
        return ctx.reply.null()
    return ctx.reply.integer(entry_refcount(e))


def object_help(server: object, client: object, args: list[bytes]) -> list[Simple]:
    """OBJECT HELP"""
    return help_lines("OBJECT", [
        "ENCODING <key>",
        "    How the value is stored.",
        "FREQ <key>",
        "    How often it is used: the logarithmic counter of the LFU policies.",
        "IDLETIME <key>",
        "    Seconds since it was last used.",
        "REFCOUNT <key>",
        "    How many references the value has.",
    ])


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_keys(registry: Registry) -> cython.int:
    """Add the family."""
    registry.hot("del", del_command)
    registry.hot("unlink", del_command)
    registry.hot("exists", exists_command)
    registry.hot("touch", touch_command)
    registry.hot("type", type_command)
    registry.hot("rename", rename_command)
    registry.hot("renamenx", renamenx_command)
    registry.hot("copy", copy_command)
    registry.hot("move", move_command)
    registry.hot("swapdb", swapdb_command)
    registry.hot("randomkey", randomkey_command)
    registry.hot("scan", scan_command)
    registry.hot("keys", keys_command)
    registry.hot("dbsize", dbsize_command)
    registry.hot("flushdb", flushdb_command)
    registry.hot("flushall", flushall_command)
    registry.hot("object|encoding", object_encoding_command)
    registry.hot("object|freq", object_freq_command)
    registry.hot("object|idletime", object_idletime_command)
    registry.hot("object|refcount", object_refcount_command)
    registry.plain("object|help", object_help)
    return 0
