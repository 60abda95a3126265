"""Where RDB data is read from: a file, piece by piece, or memory; with the checksum of all that was read.

    file     [ ....... read and summed ....... | begin .. p .. end | ............ outside ........... ]
                                                      buffer                                      total

Owns: the buffer, lengths and strings as the format encodes them (RdbLength and RdbStringEncoding in rdb.pxd), the
checksum. Does not own what the bytes mean, or the file's descriptor.

    00LLLLLL                        a length of 6 bits          11eeeeee  no length: a string in another form
    01LLLLLL LLLLLLLL               of 14 bits                      0  1 byte     an integer; its digits are the string
    10000000 and 4 bytes            of 32 bits, high byte first     1  2 bytes
    10000001 and 8 bytes            of 64 bits                      2  4 bytes
                                                                    3  length of LZF, length of the string, LZF

Nothing is believed: a length is compared with the bytes that are left before anything is read or allocated by it; what
LZF can make of its input at most bounds the room for what it unpacks to.

A string that `string` gives lies in the buffer, or, where it was packed, in a room of its own; it is good until the
next call of any method, `hold` copies it to where it is good until the next `hold` of that kind. Where a string of half
a gigabyte is read, the buffer grows to hold it, and is made small again afterwards.
"""
import os

import cython
from cython.cimports.libc.errno import EINTR, errno
from cython.cimports.libc.stdint import int16_t, int32_t, int64_t, int8_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.posix.unistd import read
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep, load16, load32
from cython.cimports.shardd.journal.rdb import (
    RDB_14BIT, RDB_32BIT, RDB_64BIT, RDB_6BIT, RDB_ENC_INT16, RDB_ENC_INT32, RDB_ENC_INT8, RDB_ENC_LZF, RDB_ENCVAL)
from cython.cimports.shardd.journal.rdb_in import RdbSource
from cython.cimports.shardd.keyspace.entry import View
from cython.cimports.shardd.structures.crc64 import crc64
from cython.cimports.shardd.structures.lzf import lzf_decompress
from cython.cimports.shardd.structures.number import format_int

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
view_p = cython.typedef(cython.pointer(View))

BUFFER_BYTES = cython.declare(cython.Py_ssize_t, limits.RDB_READ_BYTES)
STRING_MAX = cython.declare(uint64_t, limits.STRING_BYTES_MAX)
LZF_RATIO = cython.declare(uint64_t, 264)       # a byte of LZF never stands for more bytes (structures/lzf.py),
LZF_WASTE = cython.declare(uint64_t, 2)         # nor a byte for more bytes of LZF


class RdbError(Exception):
    """RDB data that is damaged, or that we do not take."""

    def __init__(self, text: str, offset: int) -> None:
        """text: what is wrong. offset: where in the data, bytes."""
        super().__init__(f"{text} (at byte {offset})")
        self.text = text
        self.offset = offset


@cython.final
@cython.cclass
class RdbSource:
    """RDB data, read from its beginning to its end."""

    def __init__(self, source: int | bytes = b"", sums: bool = True) -> None:
        """source: a file's descriptor, which is read from where it stands to the size that the file has now, and stays
        the caller's; or bytes. sums: whether a checksum is made. Raises OSError."""
        self.sums = sums
        self.fd = -1
        if isinstance(source, int):
            self.fd = source
            self.base = os.lseek(source, 0, os.SEEK_CUR)
            self.total = os.fstat(source).st_size
            self.outside = max(self.total - self.base, 0)
            self.buffer = cython.cast(bytep, regrow(cython.NULL, BUFFER_BYTES))
            self.room = BUFFER_BYTES
            self.begin = self.p = self.end = self.summed = self.buffer
        else:
            self.data = source
            self.over(source, len(source))

    def __dealloc__(self):
        free(self.buffer)
        free(self.unpacked)
        free(self.held[0])
        free(self.held[1])
        free(self.held[2])

    @property
    def position(self) -> int:
        """Where the next byte is, in the file or the bytes."""
        return self.tell()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def over(self, p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
        """Read these bytes from now on, which stay where they are meanwhile."""
        self.begin = self.p = self.summed = p
        self.end = p + n
        self.base = self.outside = 0
        self.total = n
        self.crc = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail(self, text: str) -> cython.int:
        """Raise RdbError."""
        raise RdbError(text, self.tell())

    @cython.cfunc
    @cython.exceptval(check=False)
    def sum_up(self) -> cython.int:
        if self.sums:
            self.crc = crc64(self.crc, self.summed, self.p - self.summed)
        self.summed = self.p
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def checksum(self) -> uint64_t:
        """The CRC of all that was read."""
        self.sum_up()
        return self.crc

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fill(self, n: cython.Py_ssize_t) -> cython.int:
        """Read more, so that `n` bytes are here. RdbError, OSError, MemoryError."""
        have: cython.Py_ssize_t = self.end - self.p
        got: cython.Py_ssize_t
        if n - have > self.outside:
            self.fail("the data end too early")
        self.sum_up()
        if have > 0 and self.p != self.buffer:
            memmove(self.buffer, self.p, have)
        self.base += self.p - self.begin
        self.begin = self.p = self.summed = self.buffer
        self.end = self.buffer + have
        size: cython.Py_ssize_t = max(n, BUFFER_BYTES)
        if size > self.room or self.room > 4 * size:
            self.buffer = cython.cast(bytep, regrow(self.buffer, size))
            self.room = size
            self.begin = self.p = self.summed = self.buffer
            self.end = self.buffer + have
        while have < n:
            got = read(self.fd, self.buffer + have, min(cython.cast(int64_t, self.room - have), self.outside))
            if got < 0 and errno == EINTR:
                continue
            if got < 0:
                raise OSError(errno, os.strerror(errno))
            if got == 0:
                self.fail("the file is shorter than it was when it was opened")
            have += got
            self.outside -= got
            self.end = self.buffer + have
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def skip(self, n: uint64_t) -> cython.int:
        """Pass over so many bytes."""
        here: cython.Py_ssize_t
        if n > cython.cast(uint64_t, self.left()):
            self.fail("the data end too early")
        while n > 0:
            self.need(1)
            here = min(cython.cast(int64_t, n), self.end - self.p)
            self.p += here
            n -= here
        return 0

    @cython.cfunc
    @cython.exceptval(0)
    def length(self, encoded: cython.pointer(cython.bint)) -> uint64_t:
        """A length, or (encoded is set) a string's encoding, where `encoded` is not NULL."""
        first: cython.int = self.u8()
        kind: cython.int = first >> 6
        value: uint64_t
        i: cython.int
        size: cython.int
        if encoded != cython.NULL:
            encoded[0] = False
        if kind == RDB_6BIT:
            return first & 63
        if kind == RDB_14BIT:
            return (first & 63) << 8 | self.u8()
        if kind == RDB_ENCVAL:
            if encoded == cython.NULL:
                self.fail("a length is expected")
            encoded[0] = True
            return first & 63
        if first != RDB_32BIT and first != RDB_64BIT:
            self.fail(f"no length begins with {first:#x}")
        size = 4 if first == RDB_32BIT else 8
        self.need(size)
        value = 0
        for i in range(size):
            value = value << 8 | self.p[i]
        self.p += size
        return value

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def count(self, each: cython.int) -> int64_t:
        """How many elements follow, of which each takes at least `each` bytes."""
        n: uint64_t = self.length(cython.NULL)
        if n > cython.cast(uint64_t, self.left()) // each:
            self.fail(f"{n} elements are said to be in {self.left()} bytes")
        return n

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def string(self, v: view_p) -> cython.int:
        """A string."""
        encoded: cython.bint = False
        n: uint64_t = self.length(cython.address(encoded))
        packed: uint64_t
        number: int64_t
        if not encoded:
            if n > STRING_MAX or n > cython.cast(uint64_t, self.left()):
                self.fail(f"a string is said to have {n} bytes, and {self.left()} are left")
            self.need(n)
            v.p = self.p
            v.n = n
            self.p += n
            return 0
        if n == RDB_ENC_LZF:
            packed = self.length(cython.NULL)
            n = self.length(cython.NULL)
            if (packed > cython.cast(uint64_t, self.left()) or n > STRING_MAX or n > packed * LZF_RATIO
                    or packed > n * LZF_WASTE or n == 0):
                self.fail(f"{packed} bytes of LZF are said to be {n}, and {self.left()} are left")
            self.need(packed)
            self.unpacked = _grown(self.unpacked, cython.address(self.unpacked_room), n)
            if lzf_decompress(self.p, packed, self.unpacked, n) != n:
                self.fail("a compressed string is damaged")
            self.p += packed
            v.p = self.unpacked
            v.n = n
            return 0
        if n == RDB_ENC_INT8:
            number = cython.cast(int8_t, self.u8())
        elif n == RDB_ENC_INT16:
            self.need(2)
            number = cython.cast(int16_t, load16(self.p))
            self.p += 2
        elif n == RDB_ENC_INT32:
            self.need(4)
            number = cython.cast(int32_t, load32(self.p))
            self.p += 4
        else:
            return self.fail(f"a string has the unknown encoding {n}")
        v.n = format_int(v.digits, number)
        v.p = v.digits
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def skip_string(self) -> cython.int:
        """Pass over a string."""
        encoded: cython.bint = False
        n: uint64_t = self.length(cython.address(encoded))
        if encoded:
            if n == RDB_ENC_LZF:
                n = self.length(cython.NULL)
                self.length(cython.NULL)
            elif n <= RDB_ENC_INT32:
                n = cython.cast(uint64_t, 1) << n
            else:
                self.fail(f"a string has the unknown encoding {n}")
        return self.skip(n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hold(self, v: view_p, where: cython.int) -> cython.int:
        """Copy a string to a place of its own (RdbHold), where the view then points."""
        self.held[where] = _grown(self.held[where], cython.address(self.held_room[where]), v.n)
        memcpy(self.held[where], v.p, v.n)
        v.p = self.held[where]
        return 0


@cython.cfunc
def _grown(p: bytep, room: cython.pointer(cython.Py_ssize_t), n: cython.Py_ssize_t) -> bytep:
    """A buffer with room for `n` bytes, not much more than lately needed; MemoryError, and it is as it was then."""
    size: cython.Py_ssize_t = max(n, BUFFER_BYTES)
    if p == cython.NULL or size > room[0] or room[0] > 4 * size:
        p = cython.cast(bytep, regrow(p, size))
        room[0] = size
    return p
