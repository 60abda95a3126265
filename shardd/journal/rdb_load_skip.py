"""RDB values that are passed over: of keys that belong to another engine, or are past their expiry; and what we cannot
hold (streams, values of modules, functions), for who wants the rest of the file all the same.

Only as much is looked at as is needed to find the end. Streams of Redis 8.4 and later (types 26 and 27) are written in
another way, which is not known here: such a file is refused in any case. Sources: rdb.c of Redis 5 to 8.2 and of
Valkey 9, whose layout of a stream is

    nodes    length, then for each: string (ID), string (listpack)
    figures  length, last ID (2 lengths); from type 19 on: first ID, last deleted ID (2 lengths each), entries added
    groups   length, then for each: string (name), ID (2 lengths); from type 19 on: entries read
             pending: length, then for each: 16 bytes (ID), 8 bytes (time), length (deliveries)
             consumers: length, then for each: string (name), 8 bytes (seen); from type 21 on: 8 bytes (active)
                        pending: length, then for each: 16 bytes (ID)
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.shardd.journal.rdb import (
    RDB_MODULE_DOUBLE, RDB_MODULE_EOF, RDB_MODULE_FLOAT, RDB_MODULE_SINT, RDB_MODULE_STRING, RDB_MODULE_UINT,
    RDB_SCORE_NAN, RDB_TYPE_HASH, RDB_TYPE_HASH_2, RDB_TYPE_HASH_LISTPACK_EX, RDB_TYPE_HASH_METADATA,
    RDB_TYPE_HASH_METADATA_PRE_GA, RDB_TYPE_LIST, RDB_TYPE_LIST_QUICKLIST, RDB_TYPE_LIST_QUICKLIST_2, RDB_TYPE_MODULE_2,
    RDB_TYPE_MODULE_PRE_GA, RDB_TYPE_SET, RDB_TYPE_STREAM_LISTPACKS, RDB_TYPE_STREAM_LISTPACKS_2,
    RDB_TYPE_STREAM_LISTPACKS_3, RDB_TYPE_ZSET, RDB_TYPE_ZSET_2, RDB_VERSION_VALKEY_MIN)
from cython.cimports.shardd.journal.rdb_in import RdbSource

STREAM_ID = cython.declare(uint64_t, 16)        # bytes
TIME = cython.declare(uint64_t, 8)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_stream(type: cython.int) -> cython.bint:
    return (type == RDB_TYPE_STREAM_LISTPACKS or type == RDB_TYPE_STREAM_LISTPACKS_2
            or type == RDB_TYPE_STREAM_LISTPACKS_3)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def value_loads(type: cython.int, version: cython.int) -> cython.bint:
    """Whether values of this type are among those that load_value takes."""
    last: cython.int = RDB_TYPE_HASH_2 if version >= RDB_VERSION_VALKEY_MIN else RDB_TYPE_HASH_LISTPACK_EX
    return 0 <= type <= last and not _is_stream(type) and type != 8 and (
        type != RDB_TYPE_MODULE_2 and type != RDB_TYPE_MODULE_PRE_GA)


@cython.cfunc
def value_kind(type: cython.int, version: cython.int) -> str:
    """What values of this type are, where load_value does not take them but skip_value does; None for the others."""
    if _is_stream(type):
        return "stream"
    if type == RDB_TYPE_MODULE_2:
        return "module value"
    return None


@cython.cfunc
@cython.exceptval(-1, check=False)
def _skip_strings(s: RdbSource, n: int64_t) -> cython.int:
    while n > 0:
        n -= 1
        s.skip_string()
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
def _skip_zset(s: RdbSource, binary: cython.bint) -> cython.int:
    n: int64_t = s.count(9 if binary else 2)
    size: cython.int
    while n > 0:
        n -= 1
        s.skip_string()
        size = 8 if binary else s.u8()
        if binary or size < RDB_SCORE_NAN:
            s.skip(size)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _skip_timed_hash(s: RdbSource, type: cython.int, version: cython.int) -> cython.int:
    """HASH_METADATA(_PRE_GA) of Redis, HASH_2 of Valkey."""
    n: int64_t
    valkey: cython.bint = version >= RDB_VERSION_VALKEY_MIN
    if type == RDB_TYPE_HASH_METADATA:
        s.skip(TIME)
    n = s.count(3)
    while n > 0:
        n -= 1
        if not valkey:
            s.length(cython.NULL)
        s.skip_string()
        s.skip_string()
        if valkey:
            s.skip(TIME)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _skip_stream(s: RdbSource, type: cython.int) -> cython.int:
    groups: int64_t
    consumers: int64_t
    pending: int64_t
    _skip_strings(s, 2 * s.count(2))
    _skip_lengths(s, 3 if type == RDB_TYPE_STREAM_LISTPACKS else 8)
    groups = s.count(1)
    while groups > 0:
        groups -= 1
        s.skip_string()
        _skip_lengths(s, 2 if type == RDB_TYPE_STREAM_LISTPACKS else 3)
        pending = s.count(1)
        while pending > 0:
            pending -= 1
            s.skip(STREAM_ID + TIME)
            s.length(cython.NULL)
        consumers = s.count(1)
        while consumers > 0:
            consumers -= 1
            s.skip_string()
            s.skip(2 * TIME if type == RDB_TYPE_STREAM_LISTPACKS_3 else TIME)
            s.skip(STREAM_ID * cython.cast(uint64_t, s.count(16)))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_module(s: RdbSource) -> cython.int:
    """What a module wrote: pieces, each behind an RdbModule, up to RDB_MODULE_EOF."""
    kind: uint64_t
    while True:
        kind = s.length(cython.NULL)
        if kind == RDB_MODULE_EOF:
            return 0
        if kind == RDB_MODULE_SINT or kind == RDB_MODULE_UINT:
            s.length(cython.NULL)
        elif kind == RDB_MODULE_FLOAT:
            s.skip(4)
        elif kind == RDB_MODULE_DOUBLE:
            s.skip(8)
        elif kind == RDB_MODULE_STRING:
            s.skip_string()
        else:
            s.fail(f"a module's value has a piece of the unknown kind {kind}")


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_function_pre_ga(s: RdbSource) -> cython.int:
    """A function as release candidates of Redis 7.0 wrote it: name, engine, whether described, description, code."""
    _skip_strings(s, 2)
    if s.length(cython.NULL):
        s.skip_string()
    return s.skip_string()


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_slot_import(s: RdbSource) -> cython.int:
    """Of Valkey 9: a migration's name and the ranges of slots that it brings."""
    n: int64_t
    s.skip_string()
    n = s.count(2)
    while n > 0:
        n -= 1
        _skip_lengths(s, 2)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def skip_value(s: RdbSource, type: cython.int, version: cython.int) -> cython.int:
    """Pass over a value that load_value takes, or that has a value_kind. RdbError, OSError."""
    n: int64_t
    if type == RDB_TYPE_LIST or type == RDB_TYPE_SET or type == RDB_TYPE_LIST_QUICKLIST:
        return _skip_strings(s, s.count(1))
    if type == RDB_TYPE_HASH:
        return _skip_strings(s, 2 * s.count(2))
    if type == RDB_TYPE_ZSET or type == RDB_TYPE_ZSET_2:
        return _skip_zset(s, type == RDB_TYPE_ZSET_2)
    if type == RDB_TYPE_HASH_METADATA or type == RDB_TYPE_HASH_METADATA_PRE_GA:
        return _skip_timed_hash(s, type, version)
    if type == RDB_TYPE_LIST_QUICKLIST_2:
        n = s.count(2)
        while n > 0:
            n -= 1
            s.length(cython.NULL)
            s.skip_string()
        return 0
    if _is_stream(type):
        return _skip_stream(s, type)
    if type == RDB_TYPE_MODULE_2:
        s.length(cython.NULL)       # which module
        return skip_module(s)
    if type == RDB_TYPE_HASH_LISTPACK_EX:
        s.skip(TIME)
    return s.skip_string()
