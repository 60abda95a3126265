"""Structures as a test sees them: drives table.py and number.py, whose functions are C, with bytes.

Owns the entries that it puts into a table. Nothing of the server uses it; `alloc.Probe` is the same for the allocator.
An entry here is the pair alone, without an owner's bytes before it (`skip` is 0):

    [pair header] [key] [value]         as structures/table.py describes
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.native import bytep, store16, store32, store64
from cython.cimports.shardd.structures.alloc import allocate, release
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.number import format_long_double, parse_int64, parse_long_double
from cython.cimports.shardd.structures.table import (
    PAIR_EXPIRES, PAIR_WIDE, Table, pair_head, pair_key_len, pair_value_len, table_bytes, table_check, table_clear,
    table_find, table_fit, table_insert, table_prefetch_bucket, table_prefetch_entry, table_random, table_remove,
    table_scan, table_step, table_sweep, table_walk)

place_p = cython.typedef(cython.pointer(bytep))


@cython.cfunc
@cython.exceptval(check=False)
def _size(e: bytep) -> cython.size_t:
    return cython.cast(cython.size_t, pair_head(e)) + pair_key_len(e) + pair_value_len(e)


@cython.cfunc
def _key(e: bytep) -> bytes:
    return (e + pair_head(e))[:pair_key_len(e)]


@cython.cfunc
@cython.exceptval(check=False)
def _free(context: cython.p_void, e: bytep) -> cython.int:
    release(e, _size(e))
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _note(context: cython.p_void, e: bytep) -> cython.int:
    cython.cast(TableProbe, context).seen.append(_key(e))
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _condemn(context: cython.p_void, e: bytep) -> cython.int:
    probe: TableProbe = cython.cast(TableProbe, context)
    key: bytes = _key(e)
    if key not in probe.condemned:
        return 0
    probe.seen.append(key)
    release(e, _size(e))
    return 1


@cython.final
@cython.cclass
class TableProbe:
    """One table and the entries in it."""

    def __cinit__(self):
        memset(cython.address(self.t), 0, cython.sizeof(Table))
        self.seen = []
        self.condemned = frozenset()

    def __dealloc__(self):
        table_walk(cython.address(self.t), _free, cython.NULL)
        table_clear(cython.address(self.t))

    def insert(self, key: bytes, value: bytes = b"", expiry: int | None = None) -> None:
        """Add a key that is not there. Raises MemoryError, and has changed nothing that can be seen then."""
        flags: cython.int = 0
        head: cython.Py_ssize_t
        n: cython.Py_ssize_t = len(key)
        data: cython.p_char = key
        content: cython.p_char = value
        e: bytep
        if n > 255 or len(value) > 65535:
            flags |= PAIR_WIDE
        if expiry is not None:
            flags |= PAIR_EXPIRES
        head = 4 + (8 if flags & PAIR_WIDE else 0) + (8 if flags & PAIR_EXPIRES else 0)
        e = cython.cast(bytep, allocate(head + n + len(value)))
        if e == cython.NULL:
            raise MemoryError
        memset(e, 0, head)
        e[0] = cython.cast(uint8_t, flags)
        if flags & PAIR_WIDE:
            store32(e + 4, cython.cast(uint32_t, n))
            store32(e + 8, cython.cast(uint32_t, len(value)))
        else:
            e[1] = cython.cast(uint8_t, n)
            store16(e + 2, cython.cast(uint16_t, len(value)))
        if flags & PAIR_EXPIRES:
            store64(e + head - 8, cython.cast(uint64_t, cython.cast(int64_t, expiry)))
        memcpy(e + head, data, n)
        memcpy(e + head + n, content, len(value))
        if not table_insert(cython.address(self.t), e, hash_key(cython.cast(bytep, data), n)):
            release(e, _size(e))
            raise MemoryError

    @cython.cfunc
    @cython.exceptval(check=False)
    def place(self, key: bytes) -> place_p:
        data: cython.p_char = key
        hash: uint64_t = hash_key(cython.cast(bytep, data), len(key))
        table_prefetch_bucket(cython.address(self.t), hash)
        table_prefetch_entry(cython.address(self.t), hash)
        return table_find(cython.address(self.t), cython.cast(bytep, data), len(key), hash)

    def find(self, key: bytes) -> bytes | None:
        """The key's value, None where it is absent."""
        place: place_p = self.place(key)
        if place == cython.NULL:
            return None
        return (place[0] + pair_head(place[0]) + pair_key_len(place[0]))[:pair_value_len(place[0])]

    def remove(self, key: bytes) -> bool:
        """Take a key out; whether it was there. Does not shrink."""
        e: bytep
        data: cython.p_char = key
        place: place_p = self.place(key)
        if place == cython.NULL:
            return False
        e = place[0]
        table_remove(cython.address(self.t), place, hash_key(cython.cast(bytep, data), len(key)))
        release(e, _size(e))
        return True

    def fit(self) -> None:
        """Shrink, or go on with a rehash."""
        table_fit(cython.address(self.t))

    def step(self, buckets: int) -> bool:
        """Move so many old buckets on; whether the table is still rehashing."""
        return table_step(cython.address(self.t), buckets)

    def scan(self, cursor: int) -> tuple[int, list[bytes]]:
        """One step of a scan: the next cursor and the keys seen."""
        after: uint64_t
        self.seen = []
        after = table_scan(cython.address(self.t), cursor, _note, cython.cast(cython.p_void, self))
        return after, self.seen

    def walk(self) -> list[bytes]:
        """All keys."""
        self.seen = []
        table_walk(cython.address(self.t), _note, cython.cast(cython.p_void, self))
        return self.seen

    def sweep(self, start: int, chains: int, condemned: frozenset) -> tuple[int, list[bytes]]:
        """Remove the condemned among so many chains: where to go on, and what went."""
        after: uint64_t
        self.seen = []
        self.condemned = condemned
        after = table_sweep(cython.address(self.t), start, chains, _condemn, cython.cast(cython.p_void, self))
        return after, self.seen

    def random(self, bits: int) -> bytes | None:
        """The key that these 64 random bits choose."""
        e: bytep = table_random(cython.address(self.t), bits)
        return None if e == cython.NULL else _key(e)

    def clear(self) -> None:
        """Forget everything."""
        table_walk(cython.address(self.t), _free, cython.NULL)
        table_clear(cython.address(self.t))

    def check(self) -> None:
        """Walk everything; AssertionError where an invariant does not hold."""
        table_check(cython.address(self.t))

    def figures(self) -> dict:
        """used, buckets, old_buckets (0: not rehashing), moved, children, shape, bytes."""
        return {"used": self.t.used, "buckets": self.t.mask + 1 if self.t.b != cython.NULL else 0,
                "old_buckets": self.t.old_mask + 1 if self.t.old != cython.NULL else 0, "moved": self.t.moved,
                "children": self.t.children, "shape": self.t.shape, "bytes": table_bytes(cython.address(self.t))}


def read_int(text: bytes) -> int | None:
    """The 64-bit integer that the text is in canonical form, or None."""
    value: int64_t = 0
    data: cython.p_char = text
    return value if parse_int64(cython.cast(bytep, data), len(text), cython.address(value)) else None


def read_float(text: bytes, room: int = 5121) -> bytes | None:
    """The float that the text is, as INCRBYFLOAT writes it (b"" where `room` bytes are too few), or None."""
    value: cython.longdouble = 0
    out: cython.char[5121]
    data: cython.p_char = text
    assert room <= 5121
    if not parse_long_double(cython.cast(bytep, data), len(text), cython.address(value)):
        return None
    return out[:format_long_double(out, room, value)]
