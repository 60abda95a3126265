"""The entry: one block of memory per key, holding the key, its expiry and a small value.

    0        3    4        8        [16]      [24]
    +--------+----+--------+---------+---------+-----+-------+
    | access |t e | pair   | wide    | expiry  | key | value |
    +--------+----+--------+---------+---------+-----+-------+
      24 bits       header   lengths   int64

  access   the LRU clock or the LFU counter, as Redis's robj->lru
  t, e     type (low four bits) and encoding
  pair     flags, key length, value length: the header that structures/table.py describes; `wide` and `expiry` are there
           only where its flags say so, so a key without a time to live pays nothing for it

A value is inline bytes, an inline int64, or, once a string has been appended to, a HeapString with room to grow; of a
collection it is a pointer to its body, and keyspace/values.py knows what to do with that. A
key of 16 and a value of 32 bytes take 56 bytes in all, 64 with an expiry.

An entry never moves by itself; what changes its size (expiry added, longer value) makes a new block, and the caller
puts that into the table in place of the old one.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.base.native import bytep, load64, store16, store32, store64
from cython.cimports.shardd.keyspace.entry import (
    ENTRY_SKIP, HeapString, STR_HEAP, STR_INT, TYPE_STRING, View, entry_body, entry_encoding, entry_key_len,
    entry_set_body, entry_type, entry_value, entry_value_len)
from cython.cimports.shardd.keyspace.values import value_dispose, value_ops
from cython.cimports.shardd.structures.alloc import allocate, block_bytes, release
from cython.cimports.shardd.structures.number import format_int
from cython.cimports.shardd.structures.table import PAIR_EXPIRES, PAIR_WIDE, pair_head

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

LENGTH_MAX = cython.declare(cython.Py_ssize_t, limits.STRING_BYTES_MAX)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def entry_new(key: const_bytes, key_len: cython.Py_ssize_t, value_len: cython.Py_ssize_t, expiry: int64_t,
              type: uint32_t, encoding: uint32_t, access: uint32_t) -> bytep:
    """A block with its header and key filled in and room for `value_len` bytes; NULL without memory, or if too long.

    `expiry` is unix time in ms, -1 for none.
    """
    flags: cython.int = 0
    if key_len > LENGTH_MAX or value_len > LENGTH_MAX:
        return cython.NULL
    if key_len > 255 or value_len > 65535:
        flags = PAIR_WIDE
    if expiry != -1:
        flags |= PAIR_EXPIRES
    head: cython.Py_ssize_t = ENTRY_SKIP + 4 + ((flags & 2) << 2) + ((flags & 1) << 3)
    e: bytep = cython.cast(bytep, allocate(head + key_len + value_len))
    if e == cython.NULL:
        return cython.NULL
    store32(e, access | (type << 24) | (encoding << 28))
    e[4] = cython.cast(uint8_t, flags)
    if flags & PAIR_WIDE:
        store32(e + 8, cython.cast(uint32_t, key_len))
        store32(e + 12, cython.cast(uint32_t, value_len))
    else:
        e[5] = cython.cast(uint8_t, key_len)
        store16(e + 6, cython.cast(uint16_t, value_len))
    if flags & PAIR_EXPIRES:
        store64(e + head - 8, expiry)
    memcpy(e + head, key, key_len)
    return e


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def entry_size(e: const_bytes) -> cython.size_t:
    """Bytes of the block that were asked for."""
    return (cython.cast(cython.size_t, ENTRY_SKIP) + pair_head(e + ENTRY_SKIP)
            + entry_key_len(e) + entry_value_len(e))


@cython.cfunc
@cython.exceptval(check=False)
def entry_bytes(e: bytep) -> cython.size_t:
    """Bytes that the entry and what it owns really take."""
    total: cython.size_t = block_bytes(e, entry_size(e))
    heap: HeapString
    if entry_encoding(e) == STR_HEAP and entry_type(e) == TYPE_STRING:
        memcpy(cython.address(heap), entry_value(e), cython.sizeof(HeapString))
        total += block_bytes(heap.p, heap.cap)
    elif entry_type(e) != TYPE_STRING:
        total += value_ops(entry_type(e), entry_encoding(e)).bytes(entry_body(e))
    return total


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def entry_free_shell(e: bytep) -> cython.void:
    """Free the block; what its value points to lives on."""
    release(e, entry_size(e))


@cython.cfunc
@cython.exceptval(check=False)
def entry_free(e: bytep) -> cython.void:
    """Free the block and everything it owns."""
    heap: HeapString
    if entry_encoding(e) == STR_HEAP and entry_type(e) == TYPE_STRING:
        memcpy(cython.address(heap), entry_value(e), cython.sizeof(HeapString))
        release(heap.p, heap.cap)
    elif entry_type(e) != TYPE_STRING:
        value_dispose(entry_type(e), entry_encoding(e), entry_body(e))
    release(e, entry_size(e))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def entry_view(e: bytep, view: cython.pointer(View)) -> cython.void:
    """The bytes of a string value, valid until the entry changes; integers are printed into the view."""
    heap: HeapString
    encoding: uint32_t = entry_encoding(e)
    if encoding == STR_INT:
        view.n = format_int(view.digits, cython.cast(int64_t, load64(entry_value(e))))
        view.p = view.digits
    elif encoding == STR_HEAP:
        memcpy(cython.address(heap), entry_value(e), cython.sizeof(HeapString))
        view.p = heap.p
        view.n = heap.len
    else:
        view.p = entry_value(e)
        view.n = entry_value_len(e)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def entry_rebuilt(e: bytep, key: const_bytes, key_len: cython.Py_ssize_t, expiry: int64_t) -> bytep:
    """A new block with this key and expiry that takes over the value: free `e` with entry_free_shell.

    NULL without memory.
    """
    n: uint32_t = entry_value_len(e)
    fresh: bytep = entry_new(key, key_len, n, expiry, entry_type(e), entry_encoding(e), 0)
    if fresh != cython.NULL:
        memcpy(fresh, e, 3)
        memcpy(entry_value(fresh), entry_value(e), n)
    return fresh


@cython.cfunc
@cython.exceptval(check=False)
def entry_copy(e: bytep, key: const_bytes, key_len: cython.Py_ssize_t, expiry: int64_t) -> bytep:
    """A new entry with this key and expiry and a copy of the value, owning nothing of `e`'s. NULL without memory."""
    fresh: bytep = entry_rebuilt(e, key, key_len, expiry)
    heap: HeapString
    block: cython.p_void
    if fresh != cython.NULL and entry_type(e) != TYPE_STRING:
        block = value_ops(entry_type(e), entry_encoding(e)).copy(entry_body(e))
        if block == cython.NULL:
            entry_free_shell(fresh)
            return cython.NULL
        entry_set_body(fresh, block)
        return fresh
    if fresh == cython.NULL or not (entry_encoding(e) == STR_HEAP and entry_type(e) == TYPE_STRING):
        return fresh
    memcpy(cython.address(heap), entry_value(e), cython.sizeof(HeapString))
    block = allocate(heap.len)
    if block == cython.NULL:
        entry_free_shell(fresh)
        return cython.NULL
    memcpy(block, heap.p, heap.len)
    heap.p = cython.cast(bytep, block)
    heap.cap = heap.len
    memcpy(entry_value(fresh), cython.address(heap), cython.sizeof(HeapString))
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def entry_set_expiry_inplace(e: bytep, expiry: int64_t) -> cython.void:
    """Overwrite the expiry of an entry that has one."""
    store64(e + ENTRY_SKIP + 4 + ((e[ENTRY_SKIP] & 2) << 2), expiry)
