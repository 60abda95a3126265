"""Words of a command that an engine puts together itself: from bytes, or from slices of a reply that it has.

Owns: the array of arguments, and what keeps their bytes alive. Does not own who runs them.
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors
from shardd.base.errors import CommandError

arg_p = cython.typedef(cython.pointer(Arg))
const_arg_p = cython.typedef(cython.pointer(cython.const[Arg]))


@cython.final
@cython.cclass
class Words:
    """Words of a command."""

    def __cinit__(self):
        self.kept = []

    def __dealloc__(self):
        free(self.argv)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, p: cython.pointer(cython.const[cython.void]), n: cython.Py_ssize_t) -> cython.int:
        """Append a word; MemoryError."""
        cap: cython.int = 2 * self.cap + 16
        grown: cython.p_void
        if self.argc == self.cap:
            grown = realloc(self.argv, cap * cython.sizeof(Arg))
            if grown == cython.NULL:
                raise MemoryError
            self.argv = cython.cast(arg_p, grown)
            self.cap = cap
        self.argv[self.argc].p = cython.cast(bytep, p)
        self.argv[self.argc].n = n
        self.argc += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add_bytes(self, word: bytes) -> cython.int:
        self.kept.append(word)
        return self.add(cython.cast(cython.p_char, word), len(word))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add_piece(self, piece: const_arg_p, swapped: cython.bint) -> cython.int:
        """Append the elements of an array of bulk strings; swapped: pairwise. CommandError where it is none."""
        at: bytep = piece.p
        end: bytep = piece.p + piece.n
        i: cython.int = self.argc
        word: Arg
        n: int64_t = bulk_line(cython.address(at), end, 42)
        if n < 0:
            raise CommandError(errors.SYNTAX)
        while n > 0:
            size: int64_t = bulk_line(cython.address(at), end, 36)
            if size < 0 or size + 2 > end - at:
                raise CommandError(errors.SYNTAX)
            self.add(at, size)
            at += size + 2
            n -= 1
        while swapped and i + 1 < self.argc:
            word = self.argv[i]
            self.argv[i] = self.argv[i + 1]
            self.argv[i + 1] = word
            i += 2
        return 0


@cython.cfunc
@cython.overflowcheck(False)        # pointers are subtracted
@cython.exceptval(check=False)
def bulk_line(at: cython.pointer(bytep), end: bytep, mark: cython.int) -> int64_t:
    """The number behind a mark (* or $), and `at` behind its line; -1 where that is not there."""
    p: bytep = at[0]
    value: int64_t
    start: bytep = p + 1
    if p >= end or p[0] != mark:
        return -1
    while p < end and p[0] != 13:
        p += 1
    if end - p < 2 or not parse_int64(start, p - start, cython.address(value)) or value < 0:
        return -1
    at[0] = p + 2
    return value
