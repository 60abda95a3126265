"""A fixed set of names, found in either case: the commands, for the engine's registry and the proxy's router.

A name gets a number, by which its owner keeps what it knows about it. Two loads and a compare find a short name:

    name -> head (its first eight bytes, lower case, as one word) -> bucket -> number -> compare head, length, rest

A pair is a name of two parts with a bar between them, "client|list". The sizes are fixed: Redis 7.2 has 380 commands
with all subcommands, the longest of 30 bytes.
"""
import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.structures.names import Name

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
name_p = cython.typedef(cython.pointer(Name))

CAPACITY = cython.declare(cython.int, 1024)
BUCKETS = cython.declare(cython.int, 4096)
NAME_MAX = cython.declare(cython.Py_ssize_t, 40)
_SPREAD = cython.declare(uint64_t, 0x9E3779B97F4A7C15)         # 2^64 over the golden ratio, odd


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _head(name: const_bytes, n: cython.Py_ssize_t) -> uint64_t:
    head: uint64_t = 0
    i: cython.Py_ssize_t
    c: uint64_t
    for i in range(n if n < 8 else 8):
        c = name[i]
        if 65 <= c <= 90:
            c += 32
        head |= c << (8 * i)
    return head


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _bucket(head: uint64_t, n: cython.Py_ssize_t, last: uint8_t) -> cython.int:
    return cython.cast(cython.int, ((head ^ (cython.cast(uint64_t, n) << 56) ^ (last | 32)) * _SPREAD) >> 52)


@cython.final
@cython.cclass
class NameTable:
    """Names and their numbers."""

    def __cinit__(self):
        self.names = cython.cast(name_p, calloc(CAPACITY, cython.sizeof(Name)))
        self.buckets = cython.cast(cython.p_int, calloc(BUCKETS, cython.sizeof(cython.int)))
        if self.names == cython.NULL or self.buckets == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.names)
        free(self.buckets)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, name: bytes) -> cython.int:
        """Add a name (lower case, at most 39 bytes, not there yet); its number."""
        n: cython.Py_ssize_t = len(name)
        text: const_bytes = name
        known: name_p = cython.address(self.names[self.count])
        at: cython.int
        assert self.count < CAPACITY and 0 < n < NAME_MAX and name == name.lower(), name
        assert self.find(text, n) < 0, f"{name!r} is there already"
        memcpy(known.text, text, n)
        known.n = cython.cast(cython.int, n)
        known.head = _head(text, n)
        at = _bucket(known.head, n, text[n - 1])
        while self.buckets[at]:
            at = (at + 1) & (BUCKETS - 1)
        self.count += 1
        self.buckets[at] = self.count
        return self.count - 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def find(self, name: const_bytes, n: cython.Py_ssize_t) -> cython.int:
        """The number of this name, -1 where it is not there."""
        head: uint64_t
        at: cython.int
        i: cython.Py_ssize_t
        ch: uint8_t
        known: name_p
        if n <= 0 or n >= NAME_MAX:
            return -1
        head = _head(name, n)
        at = _bucket(head, n, name[n - 1])
        while self.buckets[at]:
            known = cython.address(self.names[self.buckets[at] - 1])
            if known.head == head and known.n == n:
                i = 8
                while i < n:
                    ch = name[i]
                    if (ch + 32 if 65 <= ch <= 90 else ch) != known.text[i]:
                        break
                    i += 1
                if i >= n:
                    return self.buckets[at] - 1
            at = (at + 1) & (BUCKETS - 1)
        return -1

    @cython.cfunc
    @cython.exceptval(check=False)
    def find_pair(self, first: cython.int, second: const_bytes, n: cython.Py_ssize_t) -> cython.int:
        """The number of the pair of name number `first` and `second`, -1 where it is not there."""
        full: uint8_t[40]
        known: name_p = cython.address(self.names[first])
        if known.n + 1 + n >= NAME_MAX:
            return -1
        memcpy(full, known.text, known.n)
        full[known.n] = 124
        memcpy(cython.address(full[known.n + 1]), second, n)
        return self.find(full, known.n + 1 + n)

    def number(self, name: bytes) -> int:
        """The number of this name, -1 where it is not there; for plain modules."""
        text: const_bytes = name
        return self.find(text, len(name))
