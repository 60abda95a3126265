"""The reply scanner: where one reply ends, without looking into it.

Owns: the grammar of RESP2 and RESP3 as far as lengths depend on it. Does not own the buffer, nor what a reply means:
a proxy forwards the bytes that are found here as they are.

A reply is a tree; its end is found without a stack, by counting how many elements are still to come:

    pending  1      *2 CR LF            an aggregate of n: one element came, n more are due     1 - 1 + 2 = 2
             2      $3 CR LF abc CR LF  a bulk is skipped by its length, its bytes are not read
             1      |1 CR LF            an attribute of n pairs precedes an element: 2n more    1 + 2 = 3
             3      +a CR LF
             2      :1 CR LF
             1      #t CR LF
             0      whole

Invariants: no byte at or after p + n is read; each line is searched once, even when it comes byte by byte; `pos` may
lie behind the bytes that are here, so that half a gigabyte of a bulk costs nothing. After a whole reply and after -1
the state is all zero again.

Not accepted: the streamed forms of RESP3 ($? and *?), which Redis does not send.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t
from cython.cimports.libc.string import memchr, memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.wire.scan import ScanP, ScanState

from shardd.base import limits

_ITEMS_MAX = cython.declare(int64_t, limits.SCAN_ITEMS_MAX)
_BULK_MAX = cython.declare(int64_t, 1 << 62)
_PENDING_MAX = cython.declare(int64_t, 1 << 62)
_MALFORMED = cython.declare(int64_t, -2)


@cython.cfunc
@cython.exceptval(check=False)
def _length(p: bytep, n: cython.Py_ssize_t) -> int64_t:
    """The n bytes as a length: digits, or -1 (a null); _MALFORMED otherwise."""
    value: int64_t = 0
    i: cython.Py_ssize_t
    d: cython.uint
    if n == 2 and p[0] == 45 and p[1] == 49:
        return -1
    if n < 1 or n > 18:
        return _MALFORMED
    for i in range(n):
        d = cython.cast(cython.uint, cython.cast(cython.int, p[i]) - 48)
        if d > 9:
            return _MALFORMED
        value = value * 10 + d
    return value


@cython.cfunc
@cython.exceptval(check=False)
def _is_number(p: bytep, n: cython.Py_ssize_t) -> cython.bint:
    """Whether the n bytes are digits with at most a sign before them."""
    i: cython.Py_ssize_t = 1 if n > 0 and (p[0] == 45 or p[0] == 43) else 0
    if i == n:
        return False
    while i < n:
        if not 48 <= p[i] <= 57:
            return False
        i += 1
    return True


@cython.cfunc
@cython.exceptval(check=False)
def _element(state: ScanP, p: bytep, n: cython.Py_ssize_t) -> cython.bint:
    """Take the element whose first line is the n bytes at p, without CRLF; whether it is RESP.

    Changes `pending`, and for a bulk moves `pos`, which is behind the line, to its tail.
    """
    kind: uint8_t = p[0]
    length: int64_t
    if kind == 43 or kind == 45:                            # + -
        state.pending -= 1
        return True
    if kind == 58 or kind == 40:                            # : (
        state.pending -= 1
        return _is_number(p + 1, n - 1)
    if kind == 44:                                          # , which may be inf or nan
        state.pending -= 1
        return n > 1
    if kind == 95:                                          # _
        state.pending -= 1
        return n == 1
    if kind == 35:                                          # #t #f
        state.pending -= 1
        return n == 2 and (p[1] == 116 or p[1] == 102)
    length = _length(p + 1, n - 1)
    if length < 0:                                          # $-1 *-1
        state.pending -= 1
        return length == -1 and (kind == 36 or kind == 42)
    if kind == 36 or kind == 61 or kind == 33:              # $ = !
        if length > _BULK_MAX - state.pos:
            return False
        state.pos += length
        state.tail = True
        return True
    if length > _ITEMS_MAX or state.pending > _PENDING_MAX:
        return False
    if kind == 42 or kind == 126 or kind == 62:             # * ~ >
        state.pending += length - 1
    elif kind == 37:                                        # %
        state.pending += 2 * length - 1
    elif kind == 124:                                       # |
        state.pending += 2 * length
    else:
        return False
    return True


@cython.cfunc
@cython.overflowcheck(False)
@cython.exceptval(-2, check=False)
def scan_reply(state: ScanP, p: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The length of the first whole reply in the n bytes at p.

    0 where more bytes are needed: call again with the same first byte and more behind it. -1 where this is not RESP.
    An attribute is part of the reply that it precedes; a push is a reply of its own.
    """
    start: bytep = cython.cast(bytep, p)
    line: bytep
    found: cython.p_void
    length: cython.Py_ssize_t
    if not state.started:
        state.started = True
        state.pending = 1
    while True:
        if state.tail:
            if n - state.pos < 2:
                return 0
            if start[state.pos] != 13 or start[state.pos + 1] != 10:
                break
            state.pos += 2
            state.tail = False
            state.pending -= 1
        if state.pending == 0:
            length = state.pos
            memset(state, 0, cython.sizeof(ScanState))
            return length
        if n <= state.pos:
            return 0
        line = start + state.pos
        if n - state.pos > state.known:
            found = memchr(line + state.known, 13, n - state.pos - state.known)
        else:
            found = cython.NULL
        length = n - state.pos if found == cython.NULL else cython.cast(bytep, found) - line
        if length + 2 > n - state.pos:
            if not _is_mark(line[0]):
                break
            state.known = length
            return 0
        if length == 0 or line[length + 1] != 10:
            break
        state.known = 0
        state.pos += length + 2
        if not _element(state, line, length):
            break
    memset(state, 0, cython.sizeof(ScanState))
    return -1


@cython.cfunc
@cython.exceptval(check=False)
def _is_mark(c: uint8_t) -> cython.bint:
    """Whether a reply can start with this byte: garbage without a line's end must not be collected for ever."""
    return memchr(b"+-:$*_#,(!=%~>|", c, 15) != cython.NULL


@cython.final
@cython.cclass
class ReplyFeed:
    """One stream of replies without a connection: keeps the bytes that are left over. For tests and tools."""

    def __cinit__(self) -> None:
        self.buffer = bytearray()
        memset(cython.address(self.state), 0, cython.sizeof(ScanState))

    @property
    def left_over(self) -> int:
        """Bytes of the cut reply that are here already."""
        return len(self.buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take more input; returns the bytes of each reply that is now whole. ValueError where it is not RESP."""
        found: list = []
        used: cython.Py_ssize_t
        at: cython.Py_ssize_t = 0
        self.buffer += data
        # a copy of the exact size, so that ASan sees a read behind its end
        held: bytes = bytes(self.buffer)
        p: bytep = cython.cast(bytep, cython.cast(cython.p_char, held))
        while at < len(held):
            used = scan_reply(cython.address(self.state), p + at, len(held) - at)
            if used == 0:
                break
            if used < 0:
                raise ValueError("not RESP")
            found.append(held[at:at + used])
            at += used
        del self.buffer[:at]
        return found
