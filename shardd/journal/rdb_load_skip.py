"""RDB values that are passed over: of keys that belong to another engine, or are past their expiry; and what we cannot
hold (streams, values of modules, functions), for who wants the rest of the file all the same.

Only as much is looked at as is needed to find the end. Sources: rdb.c of Redis 5 to 8.2 and of Valkey 9; for what came
later, which we have seen in no file of a server's own, what several independent readers of such files agree on. A
stream is

    nodes    length, then for each: string (ID), string (listpack)
    figures  length, last ID (2 lengths); from type 19 on: first ID, last deleted ID (2 lengths each), entries added
    groups   length, then for each: string (name), ID (2 lengths); from type 19 on: entries read
             pending: length, then for each: 16 bytes (ID), 8 bytes (time), length (deliveries)
             consumers: length, then for each: string (name), 8 bytes (seen); from type 21 on: 8 bytes (active)
                        pending: length, then for each: 16 bytes (ID)
             from type 27 on, given back unread (XNACK): length, then for each: 16 bytes (ID)
    producers from type 26 on, who must not add twice (IDMP): how long that is remembered, how many at most (lengths)
             length, then for each: string (its name)
                        length, then for each: string (what it added), ID (2 lengths)
             added, refused (lengths)

and an array of Redis 8.8

    length, length (whether there is a cursor), length (the cursor, if so)
    then for each element: length (index), length (1 integer, 2 double: 8 bytes; 0 and 3: string)

However large something is, it is passed over in steps. So what is still to come is kept as a stack of pieces, each with
how many of them there are, and a step takes one of the uppermost kind, in whose place it may put what that contains:

    skip_value    a stream          [FIGURES 1] [STRING 2 * nodes]
    skip_step     all strings       [FIGURES 1]
    skip_step     the figures       [GROUP n]
    skip_step     a group           [GROUP n - 1] [CONSUMERS 1] [PENDING m]     and so on, until nothing is left
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.shardd.journal.rdb import (
    RDB_ARRAY_DOUBLE, RDB_ARRAY_INTEGER, RDB_ARRAY_SMALL_STRING, RDB_MODULE_DOUBLE, RDB_MODULE_EOF, RDB_MODULE_FLOAT,
    RDB_MODULE_SINT, RDB_MODULE_STRING, RDB_MODULE_UINT,
    RDB_SCORE_NAN, RDB_TYPE_ARRAY, RDB_TYPE_HASH, RDB_TYPE_HASH_2, RDB_TYPE_HASH_LISTPACK_EX, RDB_TYPE_HASH_METADATA,
    RDB_TYPE_HASH_METADATA_PRE_GA, RDB_TYPE_LIST, RDB_TYPE_LIST_QUICKLIST, RDB_TYPE_LIST_QUICKLIST_2, RDB_TYPE_MODULE_2,
    RDB_TYPE_MODULE_PRE_GA, RDB_TYPE_SET, RDB_TYPE_STREAM_LISTPACKS, RDB_TYPE_STREAM_LISTPACKS_2,
    RDB_TYPE_STREAM_LISTPACKS_3, RDB_TYPE_STREAM_LISTPACKS_4, RDB_TYPE_STREAM_LISTPACKS_5, RDB_TYPE_ZSET,
    RDB_TYPE_ZSET_2, RDB_VERSION_VALKEY_MIN)
from cython.cimports.shardd.journal.rdb_in import RdbSource
from cython.cimports.shardd.journal.rdb_load_skip import SKIP_DEPTH, Skipping

skipping_p = cython.typedef(cython.pointer(Skipping))

STREAM_ID = cython.declare(uint64_t, 16)        # bytes
TIME = cython.declare(uint64_t, 8)

# What a piece is, and of what it consists.
STRING = cython.declare(cython.int, 1)
NODE = cython.declare(cython.int, 2)            # length, string
RANGE = cython.declare(cython.int, 3)           # two lengths
SCORED = cython.declare(cython.int, 4)          # string, 8 bytes
SCORED_TEXT = cython.declare(cython.int, 5)     # string, decimal
TIMED = cython.declare(cython.int, 6)           # length, two strings
TIMED_BEHIND = cython.declare(cython.int, 7)    # two strings, 8 bytes
MODULE = cython.declare(cython.int, 8)          # what a module wrote
FIGURES = cython.declare(cython.int, 9)         # of a stream, and its groups
GROUP = cython.declare(cython.int, 10)
PENDING = cython.declare(cython.int, 11)        # of a group
CONSUMERS = cython.declare(cython.int, 12)      # all of a group
CONSUMER = cython.declare(cython.int, 13)
ID = cython.declare(cython.int, 14)             # pending of a consumer, or given back
NACKED = cython.declare(cython.int, 15)         # all of a group that were given back
PRODUCERS = cython.declare(cython.int, 16)      # all of a stream
PRODUCER = cython.declare(cython.int, 17)
ADDED = cython.declare(cython.int, 18)          # by a producer
SLOT = cython.declare(cython.int, 19)           # of an array
METADATA = cython.declare(cython.int, 20)       # of a key: 4 bytes, what a module wrote


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_stream(type: cython.int) -> cython.bint:
    return (type == RDB_TYPE_STREAM_LISTPACKS or type == RDB_TYPE_STREAM_LISTPACKS_2
            or type == RDB_TYPE_STREAM_LISTPACKS_3 or type == RDB_TYPE_STREAM_LISTPACKS_4
            or type == RDB_TYPE_STREAM_LISTPACKS_5)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def value_loads(type: cython.int, version: cython.int) -> cython.bint:
    """Whether values of this type, in data of this version, are among those that rdb_load_value takes."""
    last: cython.int = RDB_TYPE_HASH_2 if version >= RDB_VERSION_VALKEY_MIN else RDB_TYPE_HASH_LISTPACK_EX
    return 0 <= type <= last and not _is_stream(type) and type != 8 and (
        type != RDB_TYPE_MODULE_2 and type != RDB_TYPE_MODULE_PRE_GA)


@cython.cfunc
def value_kind(type: cython.int, version: cython.int) -> str:
    """What values of this type are, where value_loads does not hold but skip_value takes them; None for the others."""
    if version >= RDB_VERSION_VALKEY_MIN and type > RDB_TYPE_HASH_2:
        return None
    if _is_stream(type):
        return "stream"
    if type == RDB_TYPE_ARRAY:
        return "array"
    if type == RDB_TYPE_MODULE_2:
        return "module value"
    return None


@cython.cfunc
@cython.exceptval(-1, check=False)
def _push(k: skipping_p, what: cython.int, n: int64_t) -> cython.int:
    """So many of these come next."""
    assert k.depth < SKIP_DEPTH
    k.what[k.depth] = what
    k.left[k.depth] = n
    k.depth += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _skip_lengths(s: RdbSource, n: cython.int) -> cython.int:
    while n > 0:
        n -= 1
        s.length(cython.NULL)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _step_module(s: RdbSource, k: skipping_p) -> cython.int:
    """A piece of what a module wrote, behind an RdbModule; or its end, RDB_MODULE_EOF."""
    kind: uint64_t = s.length(cython.NULL)
    if kind == RDB_MODULE_EOF:
        return 0
    _push(k, MODULE, 1)
    if kind == RDB_MODULE_SINT or kind == RDB_MODULE_UINT:
        s.length(cython.NULL)
        return 0
    if kind == RDB_MODULE_FLOAT:
        return s.skip(4)
    if kind == RDB_MODULE_DOUBLE:
        return s.skip(8)
    if kind == RDB_MODULE_STRING:
        return s.skip_string()
    return s.fail(f"a module's value has a piece of the unknown kind {kind}")


@cython.cfunc
@cython.exceptval(-1, check=False)
def _step_stream(s: RdbSource, k: skipping_p, what: cython.int) -> cython.int:
    """A piece of a stream."""
    if what == FIGURES:
        _skip_lengths(s, 3 if k.type == RDB_TYPE_STREAM_LISTPACKS else 8)
        if k.type >= RDB_TYPE_STREAM_LISTPACKS_4:
            _push(k, PRODUCERS, 1)
        return _push(k, GROUP, s.count(1))
    if what == GROUP:
        s.skip_string()
        _skip_lengths(s, 2 if k.type == RDB_TYPE_STREAM_LISTPACKS else 3)
        _push(k, CONSUMERS, 1)
        return _push(k, PENDING, s.count(25))
    if what == PRODUCERS:
        _skip_lengths(s, 2)
        _push(k, RANGE, 1)      # what was added, and refused
        return _push(k, PRODUCER, s.count(2))
    if what == PRODUCER:
        s.skip_string()
        return _push(k, ADDED, s.count(3))
    if what == ADDED:
        s.skip_string()
        return _skip_lengths(s, 2)
    if what == PENDING:
        s.skip(STREAM_ID + TIME)
        return _skip_lengths(s, 1)
    if what == CONSUMERS:
        if k.type >= RDB_TYPE_STREAM_LISTPACKS_5:
            _push(k, NACKED, 1)
        return _push(k, CONSUMER, s.count(1))
    if what == CONSUMER:
        s.skip_string()
        s.skip(2 * TIME if k.type >= RDB_TYPE_STREAM_LISTPACKS_3 else TIME)
        return _push(k, ID, s.count(16))
    if what == NACKED:
        return _push(k, ID, s.count(16))
    return s.skip(STREAM_ID)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _step_slot(s: RdbSource) -> cython.int:
    """An element of an array."""
    kind: uint64_t
    s.length(cython.NULL)
    kind = s.length(cython.NULL)
    if kind > RDB_ARRAY_SMALL_STRING:
        s.fail(f"an array has an element of the unknown kind {kind}")
    return s.skip(8) if kind == RDB_ARRAY_INTEGER or kind == RDB_ARRAY_DOUBLE else s.skip_string()


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_step(s: RdbSource, k: skipping_p) -> cython.bint:
    """Pass over a piece; False where nothing was left. RdbError, OSError."""
    what: cython.int
    size: cython.int
    while k.depth > 0 and k.left[k.depth - 1] == 0:
        k.depth -= 1
    if k.depth == 0:
        return False
    k.left[k.depth - 1] -= 1
    what = k.what[k.depth - 1]
    if what == STRING:
        s.skip_string()
    elif what == NODE:
        s.length(cython.NULL)
        s.skip_string()
    elif what == RANGE:
        _skip_lengths(s, 2)
    elif what == SCORED:
        s.skip_string()
        s.skip(8)
    elif what == SCORED_TEXT:
        s.skip_string()
        size = s.u8()
        if size < RDB_SCORE_NAN:
            s.skip(size)
    elif what == TIMED:
        s.length(cython.NULL)
        s.skip_string()
        s.skip_string()
    elif what == TIMED_BEHIND:
        s.skip_string()
        s.skip_string()
        s.skip(TIME)
    elif what == MODULE:
        k.depth -= 1
        _step_module(s, k)
    elif what == METADATA:
        s.skip(4)
        _push(k, MODULE, 1)
    elif what == SLOT:
        _step_slot(s)
    else:
        _step_stream(s, k, what)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_module(s: RdbSource, k: skipping_p) -> cython.int:
    """Begin with what a module wrote: which one it is, then pieces, each behind an RdbModule, up to RDB_MODULE_EOF."""
    k.depth = 0
    s.length(cython.NULL)
    return _push(k, MODULE, 1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_function(k: skipping_p) -> cython.int:
    """Begin with a library of functions."""
    k.depth = 0
    return _push(k, STRING, 1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_function_pre_ga(s: RdbSource, k: skipping_p) -> cython.int:
    """Begin with a function as release candidates of Redis 7.0 wrote it: name, engine, whether described, description,
    code."""
    s.skip_string()
    s.skip_string()
    k.depth = 0
    return _push(k, STRING, 2 if s.length(cython.NULL) else 1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_slot_import(s: RdbSource, k: skipping_p) -> cython.int:
    """Begin with what Valkey 9 says of a migration: its name and the ranges of slots that it brings."""
    s.skip_string()
    k.depth = 0
    return _push(k, RANGE, s.count(2))


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_key_meta(s: RdbSource, k: skipping_p) -> cython.int:
    """Begin with what modules know of the next key."""
    k.depth = 0
    return _push(k, METADATA, s.count(5))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _skip_array(s: RdbSource, k: skipping_p) -> cython.int:
    """Begin with an array."""
    n: int64_t = s.count(3)
    if s.length(cython.NULL) != 0:
        s.length(cython.NULL)
    return _push(k, SLOT, n)


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_value(s: RdbSource, k: skipping_p, type: cython.int, version: cython.int) -> cython.int:
    """Begin with a value of which value_loads holds, or that has a value_kind. RdbError, OSError."""
    valkey: cython.bint = version >= RDB_VERSION_VALKEY_MIN
    k.depth = 0
    k.type = type
    if type == RDB_TYPE_LIST or type == RDB_TYPE_SET or type == RDB_TYPE_LIST_QUICKLIST:
        return _push(k, STRING, s.count(1))
    if type == RDB_TYPE_HASH:
        return _push(k, STRING, 2 * s.count(2))
    if type == RDB_TYPE_ZSET:
        return _push(k, SCORED_TEXT, s.count(2))
    if type == RDB_TYPE_ZSET_2:
        return _push(k, SCORED, s.count(9))
    if type == RDB_TYPE_HASH_METADATA or type == RDB_TYPE_HASH_METADATA_PRE_GA:
        if type == RDB_TYPE_HASH_METADATA:
            s.skip(TIME)
        return _push(k, TIMED_BEHIND if valkey else TIMED, s.count(3))
    if type == RDB_TYPE_LIST_QUICKLIST_2:
        return _push(k, NODE, s.count(2))
    if _is_stream(type):
        _push(k, FIGURES, 1)
        return _push(k, STRING, 2 * s.count(2))
    if type == RDB_TYPE_ARRAY:
        return _skip_array(s, k)
    if type == RDB_TYPE_MODULE_2:
        return skip_module(s, k)
    if type == RDB_TYPE_HASH_LISTPACK_EX:
        s.skip(TIME)
    return _push(k, STRING, 1)
