"""Replies, counted by their shape: how many whole ones came, which were errors, which had the wrong form.

Owns: the bytes of a reply that was cut, the texts of errors and how often each came. Does not own which reply belongs
to which command's time (driver), nor the grammar of what is not simple (wire.scan).

Nothing is copied and no value is looked at. The forms that come millions of times have paths of their own:

    +OK CR LF           five bytes, compared at once
    $32 CR LF ...       the header is compared with the last one that was read, as one word; where it is the same so
                        is the length
    $n CR LF ...        the number is read
    :n CR LF            up to the end of the line
    anything else       wire.scan

A bulk string that is not whole yet is not kept: its remaining length is counted down (`skip`). Only a cut line or a cut
aggregate is kept, and what comes next is put behind it.

Each command may say which first bytes its replies have ("+" for SET). Another one stops the run, except for errors:
these are counted by text. MOVED and ASK are counted apart, since their texts hold a slot each.

Invariants: no more replies than are due are taken; what comes without a command is an error, but for pushes.
"""
import cython
from cython.cimports.bench.load.intake import Stream
from cython.cimports.bench.load.sys import apart
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memchr, memcpy, memmove, memset
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep, load16, load32, load64
from cython.cimports.shardd.wire.scan import scan_reply

stream_p = cython.typedef(cython.pointer(Stream))
uint64_p = cython.typedef(cython.pointer(uint64_t))

# little-endian words of "+OK\r" and "\r\n"
_OK = cython.declare(cython.uint, 0x0D4B4F2B)
_CRLF = cython.declare(cython.uint, 0x0A0D)

_DIGITS_MAX = cython.declare(cython.Py_ssize_t, 18)
_TEXTS_MAX = 100
_TEXT_BYTES = 200
OTHERS = "(other errors)"
"""Where more than _TEXTS_MAX texts came."""

ANY = b""
"""A command whose replies may have any form."""


class ReplyError(Exception):
    """A reply that cannot be right; the text says which, to which command."""


@cython.cfunc
@cython.exceptval(check=False)
def stream_free(s: stream_p) -> cython.void:
    """Give back what it keeps."""
    free(s.left)
    memset(s, 0, cython.sizeof(Stream))


def shown(data: bytes) -> str:
    """The beginning of wrong bytes, for a message."""
    return repr(data[:60].decode("utf-8", "backslashreplace")) + ("..." if len(data) > 60 else "")


def first_bytes(form: bytes) -> list[int]:
    """Those that a reply may have: errors, attributes and pushes can always come."""
    return list(range(256)) if form == ANY else list(form + b"-!|>")


@cython.final
@cython.cclass
class Intake:
    """Counts replies.

    names: the commands, for messages. forms: for each the first bytes that its replies may have, or ANY.
    """

    def __cinit__(self):
        self.allow = cython.NULL

    def __init__(self, names: list[str], forms: list[bytes]) -> None:
        i: cython.int
        bit: cython.int
        self.names = names
        self.commands = len(names)
        free(self.allow)
        self.allow = cython.cast(uint64_p, calloc(self.commands * 4, cython.sizeof(uint64_t)))
        if self.allow == cython.NULL:
            raise MemoryError
        for i in range(self.commands):
            for byte in first_bytes(forms[i]):
                bit = byte
                self.allow[i * 4 + (bit >> 6)] |= cython.cast(uint64_t, 1) << (bit & 63)
        self.texts = {}
        self.last_text = b""
        self.head_mask = 0
        self.head = 1       # no word is this one under a mask of zeros

    def __dealloc__(self):
        free(self.allow)

    # --- errors ---------------------------------------------------------------------------------------------------

    def error_texts(self) -> dict[str, int]:
        """What errors said, and how often."""
        self._settle()
        return dict(self.texts)

    def reset(self) -> None:
        """Forget what was counted."""
        self.errors = self.nulls = self.pushes = self.moved = self.last_count = 0
        self.texts = {}

    def take_redirect(self) -> str | None:
        """What the last MOVED or ASK said since this was asked last, or None."""
        found = self.redirect
        self.redirect = None
        return found

    def _settle(self) -> None:
        if self.last_count:
            text = self.last_text.decode("utf-8", "backslashreplace")
            if text not in self.texts and len(self.texts) >= _TEXTS_MAX:
                text = OTHERS
            self.texts[text] = self.texts.get(text, 0) + self.last_count
            self.last_count = 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def error(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Count one: n bytes at p, without the mark and the CRLF."""
        text: bytes = p[:min(n, _TEXT_BYTES)]
        if text.startswith((b"MOVED ", b"ASK ")):
            self.moved += 1
            self.redirect = text.decode("utf-8", "backslashreplace")
            return 0
        self.errors += 1
        if text != self.last_text:
            self._settle()
            self.last_text = text
        self.last_count += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wrong(self, command: cython.int, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Raise."""
        raise ReplyError(f"{self.names[command]} was answered by {shown(p[:n])}, which is no reply to it")

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unasked(self, s: stream_p, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Bytes came, and no reply is due: pushes are counted, anything else is wrong."""
        used: cython.Py_ssize_t
        while n > 0:
            if p[0] != 62:
                raise ReplyError(f"{shown(p[:n])} came without a command")
            used = scan_reply(cython.address(s.scan), p, n)
            if used < 0:
                raise ReplyError(f"{shown(p[:n])} is not RESP")
            if used == 0:
                return self.keep(s, p, n)
            self.pushes += 1
            p += used
            n -= used
        return 0

    # --- replies --------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, s: stream_p, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Keep the beginning of a reply; p may lie in `left` already (and then n is no more than what fits there)."""
        if n > s.left_cap:
            s.left = cython.cast(bytep, regrow(s.left, max(n, 64)))
            s.left_cap = max(n, 64)
        if p != s.left:
            memmove(s.left, p, n)
        s.left_n = n
        return 0

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def bulk(self, s: stream_p, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A $: the bytes that the reply takes, which may be more than n; 0: its header is not whole; -1: not RESP."""
        i: cython.Py_ssize_t = 1
        length: cython.Py_ssize_t = 0
        while i < n and 48 <= p[i] <= 57 and i <= _DIGITS_MAX:
            length = length * 10 + (p[i] - 48)
            i += 1
        if i + 1 >= n:
            return -1 if i < n and p[i] != 13 and p[i] != 45 else 0
        if p[i] == 45 and i == 1 and p[2] == 49:
            if n < 5:
                return 0
            if load16(p + 3) != _CRLF:
                return -1
            self.nulls += 1
            return 5
        if i == 1 or load16(p + i) != _CRLF:
            return -1
        i += 2
        if i <= 8 and n >= 8:
            self.head_mask = cython.cast(uint64_t, 0xFFFFFFFFFFFFFFFF) >> (64 - 8 * i)
            self.head = load64(p) & self.head_mask
            self.head_total = i + length + 2
        return i + length + 2

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def general(self, s: stream_p, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Any reply: its length, 0 where it is cut, -1 where it is not RESP. Errors are counted."""
        end: bytep
        used: cython.Py_ssize_t
        at: cython.Py_ssize_t = 0
        used = scan_reply(cython.address(s.scan), p, n)
        if used <= 0:
            return used
        if p[0] == 45:
            self.error(p + 1, used - 3)
        elif p[0] == 33:
            end = cython.cast(bytep, memchr(p, 10, used))
            at = apart(end, p) + 1
            self.error(p + at, used - at - 2)
        elif p[0] == 95:
            self.nulls += 1
        elif p[0] == 42 and p[1] == 45:
            self.nulls += 1
        return used

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take(self, s: stream_p, p: bytep, n: cython.Py_ssize_t, due: cython.int, order: bytep, first: cython.int,
             mask: cython.int) -> cython.int:
        """Count the whole replies in the n bytes at p, `due` at most; returns how many there are.

        order: a ring of the commands that are outstanding, from place `first` on, its size less one in `mask`; NULL
        where there is one command alone. All bytes are used up or kept: p is the stream's `left` with more behind it,
        or new bytes where nothing was left.
        """
        found: cython.int = 0
        command: cython.int = 0
        at: cython.Py_ssize_t = 0
        used: cython.Py_ssize_t
        c: uint8_t
        end: bytep
        if s.skip:
            if n < s.skip:
                s.skip -= n
                return 0
            at = s.skip
            s.skip = 0
            if p[at - 1] != 10:
                raise ReplyError("a bulk string is not followed by CRLF")
            found = 1
        while at < n and found < due:
            c = p[at]
            if order != cython.NULL:
                command = order[(first + found) & mask]
            if not (self.allow[command * 4 + (c >> 6)] >> (c & 63)) & 1:
                self.wrong(command, p + at, n - at)
            if c == 36:
                if n - at >= 8 and load64(p + at) & self.head_mask == self.head:
                    used = self.head_total
                else:
                    used = self.bulk(s, p + at, n - at)
                if used > n - at:
                    s.skip = used - (n - at)
                    at = n
                    break
                if used > 0 and load16(p + at + used - 2) != _CRLF:
                    used = -1
            elif c == 43 and n - at >= 5 and load32(p + at) == _OK and p[at + 4] == 10:
                used = 5
            elif c == 58:
                end = cython.cast(bytep, memchr(p + at, 10, n - at))
                used = 0 if end == cython.NULL else apart(end, p + at) + 1
                if used and (used < 4 or p[at + used - 2] != 13):
                    used = -1
            else:
                used = self.general(s, p + at, n - at)
            if used < 0:
                raise ReplyError(f"{self.names[command]} was answered by {shown(p[at:n])}, which is not RESP")
            if used == 0:
                break
            at += used
            if c == 62:
                self.pushes += 1
            else:
                found += 1
        s.left_n = 0
        if at < n:
            if found == due:
                self.unasked(s, p + at, n - at)
            else:
                self.keep(s, p + at, n - at)
        return found


@cython.final
@cython.cclass
class ReplyCounter:
    """One connection without a socket, for tests: bytes in, how many replies they complete."""

    def __cinit__(self):
        memset(cython.address(self.stream), 0, cython.sizeof(Stream))

    def __init__(self, intake: Intake) -> None:
        self.intake = intake

    def __dealloc__(self):
        stream_free(cython.address(self.stream))

    def feed(self, data: bytes, due: int = 1 << 30, order: bytes | None = None) -> int:
        """The replies that `data` completes. order: which command each outstanding one is of, a power of two long."""
        held: bytes
        p: bytep
        s: stream_p = cython.address(self.stream)
        ring: bytep = cython.NULL
        if order is not None:
            ring = cython.cast(bytep, cython.cast(cython.p_char, order))
        if s.left_n:
            at: cython.Py_ssize_t = s.left_n
            if at + len(data) > s.left_cap:
                s.left = cython.cast(bytep, regrow(s.left, at + len(data)))
                s.left_cap = at + len(data)
            memcpy(s.left + at, cython.cast(cython.p_char, data), len(data))
            return self.intake.take(s, s.left, at + len(data), due, ring, 0, 0 if order is None else len(order) - 1)
        held = bytes(bytearray(data))       # of the exact size, so that ASan sees a read behind its end
        p = cython.cast(bytep, cython.cast(cython.p_char, held))
        return self.intake.take(s, p, len(data), due, ring, 0, 0 if order is None else len(order) - 1)
