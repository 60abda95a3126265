"""The reply writer: appends replies in RESP2 or RESP3 to one growing buffer.

Owns: how every type of reply looks on the wire in either version of the protocol, and the buffer until its reader has
taken it. Does not own the texts (base.errors) or where the bytes go: a session writes `buf[:len]` to its transport and
calls `clear`.

    call                 RESP2                        RESP3
    bulk("ab")           $2 CR LF ab CR LF            the same
    integer(7)           :7 CR LF                     the same
    null()               $-1 CR LF                    _ CR LF
    map(1), 2 values     *2 CR LF ...                 %1 CR LF ...
    double(0.5)          $3 CR LF 0.5 CR LF           ,0.5 CR LF

`value` writes what a plain handler returned (wire.values says how each Python type looks); hot handlers call the other
methods. An aggregate is only its header: the caller writes as many elements as it announced.

Invariants: 0 <= len <= cap, buf holds cap bytes. A method that raises has written nothing, `value` included. What was
written before stays, so a handler that fails in the middle of an aggregate has to truncate to where its reply began.
"""
import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.cpython.long import PyLong_AsLongLongAndOverflow
from cython.cimports.libc.stdint import int64_t, uint8_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.number import format_double, format_int

from shardd.base import limits
from shardd.base.errors import CommandError
from shardd.wire.values import NO_REPLY, NULL_ARRAY, Push, Simple, Verbatim

_KEPT = cython.declare(cython.Py_ssize_t, limits.REPLY_BYTES_KEPT)
_DEPTH_MAX = cython.declare(cython.int, limits.REPLY_DEPTH_MAX)
_CAP_FIRST = cython.declare(cython.Py_ssize_t, limits.REPLY_BYTES_FIRST)
# Room for a header or a scalar: a mark, 20 digits, CRLF twice, "txt:".
_HEAD = cython.declare(cython.Py_ssize_t, 32)


@cython.final
@cython.cclass
class Reply:
    """A buffer of replies to one client, or to one after the other.

    resp: the client's version of the protocol, 2 or 3.
    """

    def __cinit__(self, resp: cython.int = 2) -> None:
        self.resp = resp
        self.grow(_CAP_FIRST)

    def __dealloc__(self) -> None:
        free(self.buf)

    # --- the buffer -----------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def room(self, n: cython.Py_ssize_t) -> cython.int:
        """Make sure that n more bytes fit; MemoryError."""
        if self.cap - self.len < n:
            self.grow(n)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def grow(self, n: cython.Py_ssize_t) -> cython.int:
        """Double the buffer, or more, so that n more bytes fit; MemoryError."""
        cap: cython.Py_ssize_t = max(self.len + n, 2 * self.cap)
        self.buf = cython.cast(bytep, regrow(self.buf, cap))
        self.cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def truncate(self, n: cython.Py_ssize_t) -> cython.int:
        """Forget what came after the first n bytes."""
        assert 0 <= n <= self.len
        self.len = n
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def insert(self, at: cython.Py_ssize_t, data: bytes) -> cython.int:
        """Put bytes that are RESP already in front of what was written from `at` on."""
        n: cython.Py_ssize_t = len(data)
        assert 0 <= at <= self.len
        self.room(n)
        memmove(self.buf + at + n, self.buf + at, self.len - at)
        memcpy(self.buf + at, cython.cast(cython.p_char, data), n)
        self.len += n
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def clear(self) -> cython.int:
        """Forget everything. A buffer beyond limits.REPLY_BYTES_KEPT goes back to the system."""
        self.len = 0
        if self.cap > _KEPT:
            free(self.buf)
            self.buf = cython.NULL
            self.cap = 0
            self.grow(_CAP_FIRST)
        return 0

    # --- scalars --------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def raw(self, p: cython.p_const_void, n: cython.Py_ssize_t) -> cython.int:
        """Append bytes that are RESP already."""
        if self.cap - self.len < n:
            self.grow(n)
        memcpy(self.buf + self.len, p, n)
        self.len += n
        return 0

    @cython.cfunc
    @cython.cdivision(True)
    @cython.overflowcheck(False)
    @cython.exceptval(-1, check=False)
    def bulk(self, p: cython.p_const_void, n: cython.Py_ssize_t) -> cython.int:
        """Append a bulk string of the n bytes at p."""
        out: bytep
        if self.cap - self.len < n + _HEAD:
            self.grow(n + _HEAD)
        out = self.buf + self.len
        out[0] = 36
        out += 1
        if n < 10:
            out[0] = cython.cast(uint8_t, 48 + n)
            out += 1
        elif n < 100:
            out[0] = cython.cast(uint8_t, 48 + n // 10)
            out[1] = cython.cast(uint8_t, 48 + n % 10)
            out += 2
        else:
            out += format_int(out, n)
        out[0] = 13
        out[1] = 10
        out += 2
        memcpy(out, p, n)
        out += n
        out[0] = 13
        out[1] = 10
        self.len = out + 2 - self.buf
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def bulk_int(self, value: int64_t) -> cython.int:
        """Append a bulk string of an integer in decimal."""
        digits: uint8_t[20]
        return self.bulk(digits, format_int(digits, value))

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(-1, check=False)
    def head(self, mark: uint8_t, n: int64_t) -> cython.int:
        """Append a mark, a number and CRLF: an integer, or the header of an aggregate."""
        out: bytep
        if self.cap - self.len < _HEAD:
            self.grow(_HEAD)
        out = self.buf + self.len
        out[0] = mark
        if 0 <= n < 10:
            out[1] = cython.cast(uint8_t, 48 + n)
            out += 2
        else:
            out += 1 + format_int(out + 1, n)
        out[0] = 13
        out[1] = 10
        self.len = out + 2 - self.buf
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def integer(self, value: int64_t) -> cython.int:
        """Append an integer."""
        return self.head(58, value)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def ok(self) -> cython.int:
        """Append +OK."""
        return self.raw(b"+OK\r\n", 5)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def null(self) -> cython.int:
        """Append the null that stands for a missing string."""
        return self.raw(b"_\r\n", 3) if self.resp == 3 else self.raw(b"$-1\r\n", 5)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def null_array(self) -> cython.int:
        """Append the null that stands for a missing array."""
        return self.raw(b"_\r\n", 3) if self.resp == 3 else self.raw(b"*-1\r\n", 5)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def double(self, value: cython.double) -> cython.int:
        """Append a double."""
        text: uint8_t[32]
        n: cython.int = format_double(text, value)
        if self.resp != 3:
            return self.bulk(text, n)
        self.room(n + 3)
        self.buf[self.len] = 44
        memcpy(self.buf + self.len + 1, text, n)
        memcpy(self.buf + self.len + 1 + n, b"\r\n", 2)
        self.len += n + 3
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def boolean(self, value: cython.bint) -> cython.int:
        """Append a boolean: 1 or 0 in RESP2."""
        if self.resp == 3:
            return self.raw(b"#t\r\n", 4) if value else self.raw(b"#f\r\n", 4)
        return self.head(58, 1 if value else 0)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def verbatim(self, p: cython.p_const_void, n: cython.Py_ssize_t) -> cython.int:
        """Append a text for people: a verbatim string of format txt in RESP3, a bulk string in RESP2."""
        if self.resp != 3:
            return self.bulk(p, n)
        self.room(n + _HEAD)
        self.head(61, n + 4)
        memcpy(self.buf + self.len, b"txt:", 4)
        memcpy(self.buf + self.len + 4, p, n)
        memcpy(self.buf + self.len + 4 + n, b"\r\n", 2)
        self.len += n + 6
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def line(self, mark: uint8_t, text: bytes) -> cython.int:
        """Append a mark, a text in one line (CR and LF at its end go, others become spaces) and CRLF."""
        n: cython.Py_ssize_t = PyBytes_GET_SIZE(text)
        i: cython.Py_ssize_t
        out: bytep
        while n > 0 and (PyBytes_AS_STRING(text)[n - 1] == 13 or PyBytes_AS_STRING(text)[n - 1] == 10):
            n -= 1
        self.room(n + 3)
        out = self.buf + self.len
        out[0] = mark
        out += 1
        memcpy(out, PyBytes_AS_STRING(text), n)
        for i in range(n):
            if out[i] == 13 or out[i] == 10:
                out[i] = 32
        out[n] = 13
        out[n + 1] = 10
        self.len += n + 3
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def error(self, text: bytes) -> cython.int:
        """Append an error; text comes without the leading dash."""
        return self.line(45, text)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def simple(self, text: bytes) -> cython.int:
        """Append a simple string."""
        return self.line(43, text)

    # --- headers of aggregates ------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def array(self, n: int64_t) -> cython.int:
        """Announce an array of n elements."""
        return self.head(42, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def map(self, pairs: int64_t) -> cython.int:
        """Announce a map: 2 * pairs elements follow."""
        return self.head(37, pairs) if self.resp == 3 else self.head(42, 2 * pairs)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set(self, n: int64_t) -> cython.int:
        """Announce a set of n elements."""
        return self.head(126 if self.resp == 3 else 42, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push(self, n: int64_t) -> cython.int:
        """Announce an out-of-band message of n elements."""
        return self.head(62 if self.resp == 3 else 42, n)

    # --- plain values ---------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def value(self, value: object) -> cython.int:
        """Append what a plain handler returned, as wire.values says.

        Raises TypeError for what has no form on the wire, ValueError where it nests deeper than
        limits.REPLY_DEPTH_MAX; nothing is written then.
        """
        start: cython.Py_ssize_t = self.len
        if value is NO_REPLY:
            return 0
        try:
            self.nested(value, 0)
        except BaseException:
            self.len = start
            raise
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def nested(self, value: object, depth: cython.int) -> cython.int:
        """Append one value that is `depth` aggregates deep."""
        overflow: cython.int = 0
        number: cython.longlong
        text: bytes
        if value is None:
            return self.null()
        if isinstance(value, bytes):
            text = value
            return self.bulk(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if isinstance(value, bool):
            return self.boolean(value is True)
        if isinstance(value, int):
            number = PyLong_AsLongLongAndOverflow(value, cython.address(overflow))
            if overflow == 0:
                return self.head(58, number)
            text = b"%d" % value
            return self.line(40, text) if self.resp == 3 else self.bulk(PyBytes_AS_STRING(text), len(text))
        if isinstance(value, str):
            text = value.encode("utf-8", "surrogateescape")
            if isinstance(value, Simple):
                return self.line(43, text)
            if isinstance(value, Verbatim):
                return self.verbatim(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
            return self.bulk(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if isinstance(value, float):
            return self.double(value)
        if isinstance(value, CommandError):
            return self.line(45, value.text)
        if value is NULL_ARRAY:
            return self.null_array()
        if isinstance(value, (bytearray, memoryview)):
            text = bytes(value)
            return self.bulk(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if depth >= _DEPTH_MAX:
            raise ValueError(f"a reply nests deeper than {limits.REPLY_DEPTH_MAX}")
        if isinstance(value, dict):
            return self.pairs(value, depth + 1)
        return self.items(value, depth + 1)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def items(self, values: object, depth: cython.int) -> cython.int:
        """Append a sequence or a set, whose elements are `depth` deep."""
        if isinstance(values, Push):
            self.push(len(values))
        elif isinstance(values, (list, tuple)):
            self.array(len(values))
        elif isinstance(values, (set, frozenset)):
            self.set(len(values))
        else:
            raise TypeError(f"{type(values).__name__} has no form on the wire")
        for item in values:
            self.nested(item, depth)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pairs(self, values: dict, depth: cython.int) -> cython.int:
        """Append a dict, whose keys and values are `depth` deep."""
        self.map(len(values))
        for key, item in values.items():
            self.nested(key, depth)
            self.nested(item, depth)
        return 0

    # --- for plain callers ----------------------------------------------------------------------------------------

    def write_value(self, value: object) -> None:
        """Append a value as wire.values says; TypeError, ValueError, MemoryError."""
        self.value(value)

    def write_raw(self, data: bytes) -> None:
        """Append bytes that are RESP already."""
        self.raw(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    def write_bulk_int(self, value: int) -> None:
        """Append a bulk string of a 64-bit integer."""
        self.bulk_int(value)

    def write_push(self, n: int) -> None:
        """Announce an out-of-band message of n elements."""
        self.push(n)

    def cut(self, n: int) -> None:
        """Forget what came after the first n bytes."""
        if not 0 <= n <= self.len:
            raise ValueError("cannot cut there")
        self.truncate(n)

    def take(self) -> bytes:
        """The content so far; the buffer is empty after."""
        taken: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_char, self.buf), self.len)
        self.clear()
        return taken

    def __len__(self) -> int:
        return self.len

    @property
    def capacity(self) -> int:
        """Bytes of memory behind the buffer."""
        return self.cap


def encode(value: object, resp: int = 2) -> bytes:
    """The bytes of one value in the given version of the protocol; for plain callers and tests."""
    reply: Reply = Reply(resp)
    reply.value(value)
    return reply.take()


def encode_command(args: list) -> bytes:
    """The bytes of a request: a multibulk of the bytes, str and int in args; for plain callers and tests."""
    reply: Reply = Reply(2)
    reply.array(len(args))
    for arg in args:
        if isinstance(arg, bytes):
            reply.nested(arg, 0)
        elif isinstance(arg, (int, str)):
            reply.nested(str(arg), 0)
        else:
            raise TypeError(f"an argument is bytes, str or int, not {type(arg).__name__}")
    return reply.take()
