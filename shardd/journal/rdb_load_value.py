"""Values of RDB data made into entries: strings, and collections in whatever form they were written.

    type                                     elements are read from              and go into, as the thresholds say
    HASH HASH_2 HASH_METADATA                the source, one by one              listpack, listpackex, table
    HASH_ZIPMAP _ZIPLIST _LISTPACK(_EX)      a block (rdb_load_packed)
    SET                                      the source                          intset, listpack, table
    SET_INTSET SET_LISTPACK                  a block
    ZSET ZSET_2                              the source                          listpack, table and index
    ZSET_ZIPLIST ZSET_LISTPACK               a block
    LIST                                     the source                          packed block, quicklist
    LIST_ZIPLIST LIST_QUICKLIST(_2)          one block, or one per node

How a body is made of its elements is in rdb_load_build, _hash, _set and _zset; lists are here.

A string is read in one go. A collection is made an element at a time, so that whoever loads a large one can do
something else in between; what was made so far is in no database, and value_drop frees it, in steps where it is large.
One step is also: a block that is read and looked through (half a gigabyte takes about a second), an element.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.native import bytep, load16, load64, store64
from cython.cimports.shardd.journal.rdb import (
    RDB_DUMP_FOOTER_BYTES, RDB_NODE_PACKED, RDB_NODE_PLAIN, RDB_TYPE_HASH, RDB_TYPE_HASH_LISTPACK,
    RDB_TYPE_HASH_LISTPACK_EX, RDB_TYPE_HASH_METADATA, RDB_TYPE_HASH_METADATA_PRE_GA, RDB_TYPE_HASH_ZIPLIST,
    RDB_TYPE_HASH_ZIPMAP, RDB_TYPE_LIST, RDB_TYPE_LIST_QUICKLIST, RDB_TYPE_LIST_QUICKLIST_2, RDB_TYPE_LIST_ZIPLIST,
    RDB_TYPE_SET, RDB_TYPE_SET_INTSET, RDB_TYPE_SET_LISTPACK, RDB_TYPE_STRING, RDB_TYPE_ZSET, RDB_TYPE_ZSET_2,
    RDB_TYPE_ZSET_LISTPACK, RDB_TYPE_ZSET_ZIPLIST, RDB_VERSION_REDIS_MAX, RDB_VERSION_VALKEY_MAX,
    RDB_VERSION_VALKEY_MIN)
from cython.cimports.shardd.journal.rdb_in import RdbSource
from cython.cimports.shardd.journal.rdb_load_build import (
    Build, Thresholds, Value, build_begin, is_shortest, value_more)
from cython.cimports.shardd.journal.rdb_load_hash import hash_packed, hash_stream
from cython.cimports.shardd.journal.rdb_load_packed import (
    ITEMS_LISTPACK, ITEMS_ZIPLIST, ITEMS_ZIPMAP, Items, items_next, items_open)
from cython.cimports.shardd.journal.rdb_load_set import set_intset, set_packed, set_stream
from cython.cimports.shardd.journal.rdb_load_skip import value_loads
from cython.cimports.shardd.journal.rdb_load_value import value_take
from cython.cimports.shardd.journal.rdb_load_zset import zset_close, zset_packed, zset_stream
from cython.cimports.shardd.keyspace.database import Keyspace
from cython.cimports.shardd.keyspace.entry import (
    ENC_LISTPACK, ENC_QUICKLIST, STR_EMBSTR, STR_INT, STR_RAW, TYPE_LIST, TYPE_STRING, TYPE_ZSET, View, entry_free,
    entry_new, entry_set_body, entry_value)
from cython.cimports.shardd.keyspace.values import value_dispose
from cython.cimports.shardd.structures.crc64 import crc64
from cython.cimports.shardd.structures.list_nodes import Quicklist, ln_is_large, ql_exceeds, ql_limits
from cython.cimports.shardd.structures.listpack import lp_skip
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.structures.packed import (
    PK_ELEMENTS_MAX, PK_FRAME, Packed, pk_begin, pk_free, pk_new, pk_trim)
from cython.cimports.shardd.structures.quicklist import ql_adopt, ql_free_shell, ql_new, ql_push, ql_single

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
build_p = cython.typedef(cython.pointer(Build))
value_p = cython.typedef(cython.pointer(Value))
view_p = cython.typedef(cython.pointer(View))
quicklist_p = cython.typedef(cython.pointer(Quicklist))
packed_p = cython.typedef(cython.pointer(Packed))

EMBSTR_MAX = cython.declare(cython.Py_ssize_t, 44)          # as keyspace.database has it


# ---- lists

@cython.cfunc
@cython.exceptval(-1, check=False)
def _list_put(b: build_p, v: view_p) -> cython.int:
    if not ql_push(cython.cast(quicklist_p, b.body), False, v.p, v.n):
        raise MemoryError
    b.count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_element(s: RdbSource, u: value_p) -> cython.bint:
    """An element of LIST."""
    v: View
    if not value_more(u):
        return False
    s.string(cython.address(v))
    _list_put(cython.address(u.b), cython.address(v))
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_ziplists(s: RdbSource, u: value_p) -> cython.bint:
    """An element of a node that is a ziplist, or the next node."""
    v: View
    if items_next(cython.address(u.items), cython.address(v)):
        _list_put(cython.address(u.b), cython.address(v))
        return True
    if not value_more(u):
        return False
    s.string(cython.address(u.block))
    items_open(s, ITEMS_ZIPLIST, u.block.p, u.block.n, cython.address(u.items))
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_nodes(s: RdbSource, u: value_p) -> cython.bint:
    """An element of a node that is a listpack, or the next node, which may be one element."""
    v: View
    container: uint64_t
    if items_next(cython.address(u.items), cython.address(v)):
        _list_put(cython.address(u.b), cython.address(v))
        return True
    if not value_more(u):
        return False
    container = s.length(cython.NULL)
    if container != RDB_NODE_PACKED and container != RDB_NODE_PLAIN:
        s.fail("a list has a node of an unknown kind")
    s.string(cython.address(u.block))
    if container == RDB_NODE_PLAIN:
        _list_put(cython.address(u.b), cython.address(u.block))
        return True
    items_open(s, ITEMS_LISTPACK, u.block.p, u.block.n, cython.address(u.items))
    if u.items.count > 0 and _list_adopt(cython.address(u.b), cython.address(u.items)):
        u.items.p = u.items.end
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _list_adopt(b: build_p, items: cython.pointer(Items)) -> cython.bint:
    """Make a copy of a listpack's elements the next node, where they are in our form and a node may hold them."""
    node: packed_p
    q: quicklist_p = cython.cast(quicklist_p, b.body)
    size: cython.size_t = items.end - items.p
    p: const_bytes = items.p
    if size > PK_ELEMENTS_MAX or ql_exceeds(q.fill, size + PK_FRAME, items.count) or ln_is_large(q, size):
        return False
    while p != items.end:
        if not is_shortest(p):
            return False
        p = lp_skip(p)
    node = pk_new(size, False)
    if node == cython.NULL:
        raise MemoryError
    memcpy(pk_begin(node), items.p, size)
    node.size = cython.cast(uint16_t, size)
    node.count = cython.cast(uint16_t, items.count)
    if not ql_adopt(q, node):
        pk_free(node)
        raise MemoryError
    b.count += items.count
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _list_open(s: RdbSource, u: value_p, t: Thresholds, type: cython.int) -> cython.int:
    """Begin a list in any of its four forms."""
    u.b.type = TYPE_LIST
    u.left = 1 if type == RDB_TYPE_LIST_ZIPLIST else s.count(2 if type == RDB_TYPE_LIST_QUICKLIST_2 else 1)
    u.take = _take_ziplists
    if type == RDB_TYPE_LIST:
        u.take = _take_element
    elif type == RDB_TYPE_LIST_QUICKLIST_2:
        u.take = _take_nodes
    return build_begin(cython.address(u.b), ENC_QUICKLIST, ql_new(t.list_max_size, t.list_depth))


@cython.cfunc
@cython.exceptval(-1, check=False)
def _list_close(b: build_p, t: Thresholds) -> cython.int:
    """Make a list that is all one node a packed block."""
    size_max: cython.size_t
    count_max: uint64_t
    block: packed_p = ql_single(cython.cast(quicklist_p, b.body))
    ql_limits(t.list_max_size, cython.address(size_max), cython.address(count_max))
    if block != cython.NULL and block.size + cython.cast(cython.size_t, PK_FRAME) <= size_max and (
            block.count <= count_max):
        ql_free_shell(cython.cast(quicklist_p, b.body))
        b.body = pk_trim(block)
        b.encoding = ENC_LISTPACK
    return 0


# ---- any value

@cython.cfunc
def load_string(s: RdbSource, key: cython.pointer(cython.const[uint8_t]), key_len: cython.Py_ssize_t, expiry: int64_t,
                access: uint32_t) -> bytep:
    """The entry, in no database, of this key and the string that follows. RdbError, MemoryError, OSError."""
    v: View
    e: bytep
    number: int64_t = 0
    encoding: uint32_t
    s.string(cython.address(v))
    if v.n <= 20 and parse_int64(v.p, v.n, cython.address(number)):
        e = entry_new(key, key_len, 8, expiry, TYPE_STRING, STR_INT, access)
        if e != cython.NULL:
            store64(entry_value(e), number)
    else:
        encoding = STR_EMBSTR if v.n <= EMBSTR_MAX else STR_RAW
        e = entry_new(key, key_len, v.n, expiry, TYPE_STRING, encoding, access)
        if e != cython.NULL:
            memcpy(entry_value(e), v.p, v.n)
    if e == cython.NULL:
        raise MemoryError
    return e


@cython.cfunc
@cython.exceptval(-1, check=False)
def value_open(s: RdbSource, u: value_p, type: cython.int, version: cython.int, t: Thresholds) -> cython.int:
    """Begin with a collection of this RdbType, which value_loads, of data of this version: numbers of types mean
    different things in different ones. RdbError, MemoryError, OSError."""
    earliest: uint64_t = 0
    memset(cython.address(u.b), 0, cython.sizeof(Build))        # the rest may be anything: this is done for each key
    u.take = cython.NULL
    u.items.p = u.items.end = cython.NULL
    if type == RDB_TYPE_HASH or type == RDB_TYPE_HASH_METADATA or type == RDB_TYPE_HASH_METADATA_PRE_GA:
        return hash_stream(s, u, t, type, version >= RDB_VERSION_VALKEY_MIN)
    if type == RDB_TYPE_SET:
        return set_stream(s, u, t)
    if type == RDB_TYPE_ZSET or type == RDB_TYPE_ZSET_2:
        return zset_stream(s, u, t, type == RDB_TYPE_ZSET_2)
    if (type == RDB_TYPE_LIST or type == RDB_TYPE_LIST_ZIPLIST or type == RDB_TYPE_LIST_QUICKLIST
            or type == RDB_TYPE_LIST_QUICKLIST_2):
        return _list_open(s, u, t, type)
    if type == RDB_TYPE_HASH_LISTPACK_EX:
        s.u64(cython.address(earliest))         # the first expiry of all, which the listpack says, too
    s.string(cython.address(u.block))
    if type == RDB_TYPE_SET_INTSET:
        return set_intset(s, u, t)
    if type == RDB_TYPE_SET_LISTPACK:
        return set_packed(s, u, t)
    if type == RDB_TYPE_ZSET_ZIPLIST or type == RDB_TYPE_ZSET_LISTPACK:
        return zset_packed(s, u, t, ITEMS_ZIPLIST if type == RDB_TYPE_ZSET_ZIPLIST else ITEMS_LISTPACK)
    if type == RDB_TYPE_HASH_ZIPMAP:
        return hash_packed(s, u, t, ITEMS_ZIPMAP, 2)
    if type == RDB_TYPE_HASH_ZIPLIST:
        return hash_packed(s, u, t, ITEMS_ZIPLIST, 2)
    return hash_packed(s, u, t, ITEMS_LISTPACK, 2 if type == RDB_TYPE_HASH_LISTPACK else 3)


@cython.cfunc
def value_close(u: cython.pointer(Value), t: Thresholds, key: cython.pointer(cython.const[uint8_t]),
                key_len: cython.Py_ssize_t, expiry: int64_t, access: uint32_t) -> bytep:
    """The entry, in no database, of this key (which lies in no buffer of the source) and a collection of which all was
    taken; NULL where it is empty, which nobody should have written. expiry: Unix ms, -1 for none. MemoryError.
    """
    b: build_p = cython.address(u.b)
    e: bytep = cython.NULL
    if b.type == TYPE_LIST:
        _list_close(b, t)
    elif b.type == TYPE_ZSET:
        zset_close(b)
    if b.count > 0:
        e = entry_new(key, key_len, 8, expiry, b.type, b.encoding, access)
        if e == cython.NULL:
            raise MemoryError
        entry_set_body(e, b.body)
        b.body = cython.NULL
    value_drop(u)
    return e


@cython.cfunc
@cython.exceptval(check=False)
def value_drop(u: value_p) -> cython.void:
    """Free what was made of a collection, now or in steps. Safe to call twice."""
    free(u.b.seen)
    u.b.seen = cython.NULL
    if u.b.body != cython.NULL:
        value_dispose(u.b.type, u.b.encoding, u.b.body)
    u.b.body = cython.NULL


@cython.cfunc
@cython.exceptval(check=False)
def load_stamp(keyspace: Keyspace, idle: int64_t, freq: cython.int) -> uint32_t:
    """What stamps a loaded entry. idle: seconds since its last access, freq: its LFU counter; -1: not known."""
    clock: uint32_t = keyspace.access_clock
    if keyspace.lfu:
        return (clock & 0xFFFF00) | freq if freq >= 0 else clock
    if idle < 0:
        return clock
    return cython.cast(uint32_t, clock - min(idle, cython.cast(int64_t, clock)))


# ---- what DUMP gives: type, value, version (2 bytes), CRC of all that

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def payload_holds(payload: const_bytes, n: cython.Py_ssize_t) -> cython.bint:
    """Whether the end of a payload is right: a version that we read, and the checksum."""
    version: cython.int
    if n < RDB_DUMP_FOOTER_BYTES:
        return False
    version = load16(payload + n - RDB_DUMP_FOOTER_BYTES)
    if version > RDB_VERSION_REDIS_MAX and not RDB_VERSION_VALKEY_MIN <= version <= RDB_VERSION_VALKEY_MAX:
        return False
    return crc64(0, payload, n - 8) == load64(payload + n - 8)


@cython.cfunc
def load_payload(s: RdbSource, payload: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t, t: Thresholds,
                 key: cython.pointer(cython.const[uint8_t]), key_len: cython.Py_ssize_t, expiry: int64_t,
                 access: uint32_t) -> bytep:
    """An entry, in no database, of this key and the value of a payload of which payload_holds; read through `s`.

    Raises RdbError, also where there is no element, or where something is left behind the value; MemoryError.
    """
    u: Value
    e: bytep = cython.NULL
    type: cython.int
    done: cython.bint = False
    version: cython.int = load16(payload + n - RDB_DUMP_FOOTER_BYTES)
    s.over(payload, n - RDB_DUMP_FOOTER_BYTES)
    type = s.u8()
    if not value_loads(type, version):
        s.fail(f"there is a value of type {type}")
    if type == RDB_TYPE_STRING:
        e = load_string(s, key, key_len, expiry, access)
    else:
        memset(cython.address(u.b), 0, cython.sizeof(Build))
        try:
            value_open(s, cython.address(u), type, version, t)
            while value_take(s, cython.address(u)):
                pass
            e = value_close(cython.address(u), t, key, key_len, expiry, access)
            done = True
        finally:
            if not done:
                value_drop(cython.address(u))
    if e == cython.NULL:
        s.fail("a collection has no elements")
    elif s.left() > 0:
        entry_free(e)
        s.fail("there is something behind the value")
    return e
