"""The request parser: bytes from a client in, slices of those bytes out.

Owns: where a request begins and ends, and the limits of the protocol. Does not own the buffer (the transport's), what a
request means (commands.registry) or what happens after a protocol error (the session writes `error` and closes).

A request is a multibulk, `*` and one `$` per argument, or an inline line:

    * 3 CR LF  $ 3 CR LF  S E T CR LF  $ 1 CR LF  k CR LF  $ 5 CR LF  v a l u e CR LF
    |<------------------------------- raw, raw_n -------------------------------->|
                          p           p           p
                          n=3         n=1         n=5              SET k "a value" LF

Two parsers share the work:

- `fast` takes whole requests of at most 99 arguments of at most 9,999 bytes, straight into `args`; it keeps no state
  and stops, without a word, at the first thing that it does not know: a cut, an inline command, an error.
- `careful` takes exactly one request of any kind, can stop at any byte and go on there. What it knows is in the
  connection's InputState as offsets from the request's first byte, so that the bytes may move between two calls.
  Every byte is looked at once: a bulk is skipped by its length, a header that is cut is searched on from where the
  search stopped.

Invariants: no byte at or after p + n is read. `args` and `requests` hold until the next `parse` and point into the
buffer, or, for a quoted inline argument, into `inline_store`. A request never gets into `requests` twice or in part.

A caller that acts on fewer requests than it was given (a command that blocks) and hands the rest back to the
transport must call `input_state_clear`: the state tells of the cut request behind them, which will not be first in
the buffer next time. And as AUTH may be among the requests, one that is `restricted` should ask for one at a time.

The rules are those of Redis 7.2 (networking.c, processMultibulkBuffer and processInlineBuffer), with its leniency: the
LF after a header's CR and the CRLF after a bulk are skipped, not compared. One difference: a NUL is a byte as any
other, where Redis stops to look for the end of the line.

Overflow checks of the debug build are off where pointers are subtracted, which Cython would do on integers.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint8_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memchr, memset
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.wire.request import Arg, ArgP, InputState, Request, RequestP, StateP

from shardd.base import errors, limits

_LINE_MAX = cython.declare(cython.Py_ssize_t, limits.INLINE_BYTES_MAX)
_ITEMS_MAX = cython.declare(int64_t, limits.MULTIBULK_ITEMS_MAX)
_UNAUTH_ITEMS_MAX = cython.declare(int64_t, limits.UNAUTH_MULTIBULK_ITEMS_MAX)
_UNAUTH_BULK_MAX = cython.declare(int64_t, limits.UNAUTH_BULK_BYTES_MAX)
# An argument takes at least "$0 CRLF CRLF": bounds how many can be in so many bytes.
_ARG_BYTES_MIN = cython.declare(cython.Py_ssize_t, 6)
_ARGS_KEPT = cython.declare(cython.int, limits.REQUEST_ARGS_KEPT)
_MORE = cython.declare(cython.Py_ssize_t, 0)
_REFUSED = cython.declare(cython.Py_ssize_t, -2)

_CR = cython.declare(cython.int, 13)
_LF = cython.declare(cython.int, 10)


@cython.cfunc
@cython.exceptval(check=False)
def input_state_clear(state: StateP) -> cython.void:
    """Back to the start of a request, freeing what was noted; `restricted` stays."""
    restricted: cython.bint = state.restricted
    free(state.offsets)
    memset(state, 0, cython.sizeof(InputState))
    state.restricted = restricted


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _digit(c: uint8_t) -> cython.uint:
    """0 to 9, or more than 9 where c is no digit."""
    return cython.cast(cython.uint, cython.cast(cython.int, c) - 48)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is_space(c: uint8_t) -> cython.bint:
    """What isspace() says in the C locale."""
    return c == 32 or 9 <= c <= 13


@cython.cfunc
@cython.exceptval(check=False)
def _hex(c: uint8_t) -> cython.int:
    """The value of a hexadecimal digit, or -1."""
    if 48 <= c <= 57:
        return c - 48
    if 97 <= (c | 32) <= 102:
        return (c | 32) - 87
    return -1


@cython.cfunc
@cython.exceptval(check=False)
def _unescape(c: uint8_t) -> uint8_t:
    """The byte that a backslash and c stand for inside double quotes."""
    if c == 110:
        return 10       # \n
    if c == 114:
        return 13       # \r
    if c == 116:
        return 9        # \t
    if c == 98:
        return 8        # \b
    if c == 97:
        return 7        # \a
    return c


@cython.final
@cython.cclass
class RequestParser:
    """Parses the input of any number of connections, one buffer at a time. One per process is enough.

    bulk_max: longest argument in bytes (proto-max-bulk-len). `fast` does not look at it, so it has to be at least
    limits.BULK_BYTES_MIN, which is Redis's lower bound of that option, too.
    """

    def __cinit__(self, bulk_max: int = 512 * limits.MIB) -> None:
        self.inline_store = []
        self.set_bulk_max(bulk_max)
        self.room(1024, 1024)

    def __dealloc__(self) -> None:
        free(self.args)
        free(self.requests)

    def set_bulk_max(self, bulk_max: int) -> None:
        """Set the longest argument, in bytes; ValueError below limits.BULK_BYTES_MIN."""
        if bulk_max < limits.BULK_BYTES_MIN:
            raise ValueError(f"proto-max-bulk-len is at least {limits.BULK_BYTES_MIN} bytes")
        self.bulk_max = bulk_max

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def parse(self, state: StateP, p: bytep, n: cython.Py_ssize_t, requests_max: cython.int) -> cython.Py_ssize_t:
        """Find up to requests_max whole requests in the n bytes at p, which start where the last call stopped.

        Returns how many bytes they take: the offset of the first request that is not whole, or of the one that is
        refused, in which case `error` is set. Raises MemoryError.
        """
        pos: cython.Py_ssize_t = 0
        used: cython.Py_ssize_t
        self.count = 0
        self.args_len = 0
        self.error = None
        if self.inline_store:
            self.inline_store.clear()
        if self.args_cap > _ARGS_KEPT:
            self.shrink()
        if state.pos != 0 and requests_max > 0:
            pos = self.careful(state, p, n)
            if pos <= 0:
                return 0
        while True:
            if not state.restricted:
                pos += self.fast(p + pos, n - pos, requests_max)
            if pos == n or self.count >= requests_max:
                return pos
            used = self.careful(state, p + pos, n - pos)
            if used <= 0:
                return pos
            pos += used

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(check=False)
    def fast(self, p: bytep, n: cython.Py_ssize_t, requests_max: cython.int) -> cython.Py_ssize_t:
        """Take whole, ordinary multibulk requests; returns the bytes they are.

        The hottest loop there is, and in one piece: each length is read digit by digit with no call and no loop, so
        that the usual two-digit length is four compares.
        """
        s: bytep = p
        q: bytep
        end: bytep = p + n
        arg: ArgP
        request: RequestP
        length: cython.Py_ssize_t
        left: cython.uint
        argc: cython.uint
        d: cython.uint
        if requests_max > self.requests_cap:
            requests_max = self.requests_cap
        while self.count < requests_max and end - s > 4 and s[0] == 42:
            argc = _digit(s[1])
            if argc == 0 or argc > 9:
                break
            q = s + 4
            if s[2] != _CR:
                d = _digit(s[2])
                if d > 9 or s[3] != _CR:
                    break
                argc = argc * 10 + d
                q += 1
            if end - q < argc * _ARG_BYTES_MIN or self.args_cap - self.args_len < cython.cast(cython.int, argc):
                break
            arg = self.args + self.args_len
            left = argc
            while True:
                if end - q < _ARG_BYTES_MIN or q[0] != 36:
                    break
                d = _digit(q[1])
                if d > 9:
                    break
                length = d
                if q[2] == _CR:
                    q += 4
                else:
                    d = _digit(q[2])
                    if d > 9 or length == 0:
                        break
                    length = length * 10 + d
                    if q[3] == _CR:
                        q += 5
                    else:
                        d = _digit(q[3])
                        if d > 9:
                            break
                        length = length * 10 + d
                        if q[4] == _CR:
                            q += 6
                        else:
                            d = _digit(q[4])
                            if d > 9 or q[5] != _CR:
                                break
                            length = length * 10 + d
                            q += 7
                if end - q < length + 2:
                    break
                arg.p = q
                arg.n = length
                arg += 1
                q += length + 2
                left -= 1
                if left == 0:
                    break
            if left != 0:
                break
            request = self.requests + self.count
            request.raw = s
            request.raw_n = q - s
            request.argc = argc
            request.first = self.args_len
            request.inline_form = False
            self.args_len += argc
            self.count += 1
            s = q
        return s - p

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def careful(self, state: StateP, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Take, or go on with, the one request that starts at p.

        Returns its length, _MORE where it is not whole, or _REFUSED with `error` set.
        """
        pos: cython.Py_ssize_t
        at: cython.Py_ssize_t
        arg: ArgP
        if state.argc == 0:
            pos = self.header(state, p, n)
            if state.argc == 0:         # cut, refused, empty, or an inline command that is done
                if pos != _MORE:
                    input_state_clear(state)
                return pos
        while state.seen < state.argc:
            if state.bulk < 0:
                pos = self.bulk_header(state, p, n)
                if pos <= 0:
                    if pos == _REFUSED:
                        input_state_clear(state)
                    return pos
            pos = state.pos
            if n - pos - 2 < state.bulk:
                state.want = cython.cast(cython.Py_ssize_t, INT64_MAX)
                if state.bulk < state.want - pos - 2:
                    state.want = pos + state.bulk + 2
                return _MORE
            if state.seen == state.offsets_cap:
                _grow_offsets(state, n - pos)
            at = 2 * cython.cast(cython.Py_ssize_t, state.seen)
            state.offsets[at] = pos
            state.offsets[at + 1] = state.bulk
            state.seen += 1
            state.pos = pos + state.bulk + 2
            state.bulk = -1
            state.want = 0
        self.room(self.args_len + state.argc, self.count + 1)
        arg = self.args + self.args_len
        for at in range(state.argc):
            arg[at].p = p + state.offsets[2 * at]
            arg[at].n = state.offsets[2 * at + 1]
        pos = state.pos
        self.push(p, pos, state.argc, False)
        input_state_clear(state)
        return pos

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(-1, check=False)
    def header(self, state: StateP, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read `*<count> CR LF` into `state`, or a whole inline command.

        state.argc stays 0 where there is nothing to go on with: the request is cut (_MORE), refused (_REFUSED), or
        empty or inline (its length).
        """
        count: int64_t = 0
        length: cython.Py_ssize_t
        found: cython.p_void
        if p[0] != 42:
            return self.inline_request(state, p, n)
        found = memchr(p + state.pos, _CR, n - state.pos)
        if found == cython.NULL:
            if n > _LINE_MAX:
                self.error = errors.PROTOCOL_BIG_MULTIBULK_COUNT
                return _REFUSED
            state.pos = n
            return _MORE
        length = cython.cast(bytep, found) - p
        if length + 2 > n:
            state.pos = length
            return _MORE
        if not parse_int64(p + 1, length - 1, cython.address(count)) or count > _ITEMS_MAX:
            self.error = errors.PROTOCOL_MULTIBULK_LENGTH
            return _REFUSED
        if count > _UNAUTH_ITEMS_MAX and state.restricted:
            self.error = errors.PROTOCOL_UNAUTH_MULTIBULK
            return _REFUSED
        if count > 0:
            state.argc = count
            state.seen = 0
            state.bulk = -1
            state.pos = length + 2
        return length + 2

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(-1, check=False)
    def bulk_header(self, state: StateP, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read `$<length> CR LF` at state.pos; returns its length, _MORE or _REFUSED."""
        q: bytep = p + state.pos
        known: cython.Py_ssize_t = -1 - state.bulk
        left: cython.Py_ssize_t = n - state.pos
        length: cython.Py_ssize_t
        value: int64_t = 0
        found: cython.p_void = cython.NULL
        if left > known:
            found = memchr(q + known, _CR, left - known)
        if found == cython.NULL:
            if left > _LINE_MAX:
                self.error = errors.PROTOCOL_BIG_BULK_COUNT
                return _REFUSED
            state.bulk = -1 - max(left, 0)
            return _MORE
        length = cython.cast(bytep, found) - q
        if length + 2 > left:
            state.bulk = -1 - length
            return _MORE
        if q[0] != 36:
            self.error = errors.expected_dollar(q[0])
            return _REFUSED
        if not parse_int64(q + 1, length - 1, cython.address(value)) or value < 0 or value > self.bulk_max:
            self.error = errors.PROTOCOL_BULK_LENGTH
            return _REFUSED
        if value > _UNAUTH_BULK_MAX and state.restricted:
            self.error = errors.PROTOCOL_UNAUTH_BULK
            return _REFUSED
        state.bulk = value
        state.pos += length + 2
        return length + 2

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(-1, check=False)
    def inline_request(self, state: StateP, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Take an inline command, a line of words; returns its length with the newline, _MORE or _REFUSED."""
        length: cython.Py_ssize_t
        argc: cython.int
        first: cython.int = self.args_len
        found: cython.p_void = memchr(p + state.pos, _LF, n - state.pos)
        if found == cython.NULL:
            if n > _LINE_MAX:
                self.error = errors.PROTOCOL_BIG_INLINE
                return _REFUSED
            state.pos = n
            return _MORE
        length = cython.cast(bytep, found) - p
        argc = self.split(p, length - 1 if length > 0 and p[length - 1] == 13 else length)
        if argc < 0:
            self.args_len = first
            self.error = errors.PROTOCOL_UNBALANCED_QUOTES
            return _REFUSED
        if argc > 0:
            self.args_len = first
            self.push(p, length + 1, argc, True)
        return length + 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def split(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Split a line into words at args[args_len:]; returns how many, or -2 where quotes are unbalanced."""
        at: cython.Py_ssize_t = 0
        start: cython.Py_ssize_t
        argc: cython.int = 0
        while True:
            while at < n and _is_space(p[at]):
                at += 1
            if at >= n:
                return argc
            self.room(self.args_len + 1, self.count + 1)
            start = at
            while at < n and p[at] != 34 and p[at] != 39 and p[at] != 32 and not 9 <= p[at] <= 10 and p[at] != 13:
                at += 1
            if at < n and (p[at] == 34 or p[at] == 39):
                at = self.unquote(p, start, n)
                if at < 0:
                    return -2
            else:
                self.args[self.args_len].p = p + start
                self.args[self.args_len].n = at - start
            self.args_len += 1
            argc += 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unquote(self, p: bytep, at: cython.Py_ssize_t, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the word at p[at], which has quotes, into args[args_len]; returns its end, or -2.

        In double quotes: backslash escapes and \\xHH. In single quotes: only \\'. A closing quote ends the word, so
        that a space or the end of the line must follow.
        """
        word: bytearray = bytearray()
        quote: uint8_t = 0
        c: uint8_t
        while at < n:
            c = p[at]
            at += 1
            if quote == 0:
                if c == 34 or c == 39:
                    quote = c
                    continue
                if c == 32 or 9 <= c <= 10 or c == 13:
                    break
            elif c == quote:
                if at < n and not _is_space(p[at]):
                    return -2
                quote = 0
                break
            elif c == 92 and at < n:
                if quote == 39:
                    if p[at] == 39:
                        c = 39
                        at += 1
                elif p[at] == 120 and n - at > 2 and _hex(p[at + 1]) >= 0 and _hex(p[at + 2]) >= 0:
                    c = cython.cast(uint8_t, _hex(p[at + 1]) * 16 + _hex(p[at + 2]))
                    at += 3
                else:
                    c = _unescape(p[at])
                    at += 1
            word.append(c)
        if quote != 0:
            return -2
        kept: bytes = bytes(word)
        self.inline_store.append(kept)
        self.args[self.args_len].p = cython.cast(bytep, cython.cast(cython.p_char, kept))
        self.args[self.args_len].n = len(kept)
        return at

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push(self, raw: bytep, raw_n: cython.Py_ssize_t, argc: cython.int, inline_form: cython.bint) -> cython.int:
        """Note a whole request, whose arguments are in args[args_len:] already."""
        self.room(self.args_len + argc, self.count + 1)
        request: RequestP = self.requests + self.count
        request.raw = raw
        request.raw_n = raw_n
        request.argc = argc
        request.first = self.args_len
        request.inline_form = inline_form
        self.args_len += argc
        self.count += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def room(self, args: cython.int, requests: cython.int) -> cython.int:
        """Make sure that so many of each fit; MemoryError."""
        cap: cython.Py_ssize_t
        if args > self.args_cap:
            cap = max(cython.cast(cython.Py_ssize_t, args), 2 * cython.cast(cython.Py_ssize_t, self.args_cap))
            self.args = cython.cast(ArgP, regrow(self.args, cap * cython.sizeof(Arg)))
            self.args_cap = cap
        if requests > self.requests_cap:
            cap = max(cython.cast(cython.Py_ssize_t, requests), 2 * cython.cast(cython.Py_ssize_t, self.requests_cap))
            self.requests = cython.cast(RequestP, regrow(self.requests, cap * cython.sizeof(Request)))
            self.requests_cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def shrink(self) -> cython.int:
        """Give back the room that a giant request needed. Nothing may be in `args`."""
        free(self.args)
        self.args = cython.NULL
        self.args_cap = 0
        return self.room(1024, 0)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _grow_offsets(state: StateP, left: cython.Py_ssize_t) -> cython.int:
    """Double the room for offsets, but never beyond what the `left` bytes or the announced count can need at once."""
    cap: cython.Py_ssize_t = max(16, 2 * cython.cast(cython.Py_ssize_t, state.offsets_cap))
    possible: cython.Py_ssize_t = state.seen + left // _ARG_BYTES_MIN + 1
    if state.offsets_cap == 0:
        cap = max(cap, possible)
    cap = min(cap, cython.cast(cython.Py_ssize_t, state.argc))
    state.offsets = cython.cast(cython.pointer(cython.Py_ssize_t),
                                regrow(state.offsets, 2 * cap * cython.sizeof(cython.Py_ssize_t)))
    state.offsets_cap = cap
    return 0


@cython.final
@cython.cclass
class RequestFeed:
    """One connection's input without a connection: keeps the bytes that are left over, as a transport does."""

    def __cinit__(self, parser: RequestParser = None, restricted: bool = False) -> None:
        self.parser = RequestParser() if parser is None else parser
        self.buffer = bytearray()
        memset(cython.address(self.state), 0, cython.sizeof(InputState))
        self.state.restricted = restricted

    def __dealloc__(self) -> None:
        free(self.state.offsets)

    @property
    def want(self) -> int:
        """How many bytes of the cut request the parser asks for; 0 where it does not know."""
        return self.state.want

    @property
    def left_over(self) -> int:
        """Bytes of the cut request that are here already."""
        return len(self.buffer)

    def feed(self, data: bytes, requests_max: int = 1 << 30) -> tuple[list[list[bytes]], bytes | None]:
        """Take more input; returns the requests that are now whole and the error's text, or None.

        With requests_max some may stay behind: feed b"" for more of them.
        """
        i: cython.int
        k: cython.int
        request: RequestP
        found: list = []
        self.buffer += data
        # a copy of the exact size, so that ASan sees a read behind its end
        held: bytes = bytes(self.buffer)
        p: bytep = cython.cast(bytep, cython.cast(cython.p_char, held))
        used: cython.Py_ssize_t = self.parser.parse(cython.address(self.state), p, len(held), requests_max)
        for i in range(self.parser.count):
            request = self.parser.requests + i
            args: list = []
            for k in range(request.first, request.first + request.argc):
                args.append(cython.cast(cython.p_char, self.parser.args[k].p)[:self.parser.args[k].n])
            found.append(args)
        del self.buffer[:used]
        return found, None if self.parser.error is None else b"-" + self.parser.error
