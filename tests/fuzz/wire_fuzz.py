"""A fuzzer of the wire, compiled: makes inputs, mutates them, and holds the parsers to what they promise.

Owns: the generator (a seeded xorshift, so that a seed is a whole run), the mutations, and the properties:

    request   cut anywhere or whole, byte by byte or at once, the requests, the bytes used and the error are the same
              (which also holds `fast` against `careful`); arguments lie in the buffer or are kept by the parser
    scan      cut or whole, the boundaries are the same; what is well formed ends where it was made to end

Every buffer that a parser sees is a malloc of its exact size: under AddressSanitizer one byte too far ends the run.
Compiled on its own (see build.py beside this file); no part of the product.
"""
import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memmove, memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.wire.request import InputState, RequestParser, RequestP, input_state_clear
from cython.cimports.shardd.wire.scan import ScanState, scan_reply

_SIZE_MAX = cython.declare(cython.Py_ssize_t, 200_000)
_PRIME = cython.declare(uint64_t, 0x100000001B3)
_MIX = cython.declare(uint64_t, 0x2545F4914F6CDD1D)
_ENDS_MAX = cython.declare(cython.int, 4096)

REQUEST_WORDS = [
    b"*1\r\n", b"*2\r\n", b"*3\r\n", b"*0\r\n", b"*-1\r\n", b"*10\r\n", b"*11\r\n", b"*99\r\n", b"*100\r\n",
    b"*2147483647\r\n", b"*2147483648\r\n", b"*9223372036854775807\r\n", b"$0\r\n\r\n", b"$1\r\na\r\n",
    b"$3\r\nGET\r\n", b"$10\r\n0123456789\r\n", b"$12\r\n0123456789ab\r\n", b"$-1\r\n", b"$00\r\n", b"$16384\r\n",
    b"$16385\r\n", b"$1048576\r\n", b"$1048577\r\n", b"$9223372036854775807\r\n", b"$9999\r\n", b"$10000\r\n",
    b"\r\n", b"\r", b"\n", b"*", b"$", b"0", b"1", b"9", b"-", b"\0", b"\xff", b"PING\r\n", b"set k v\n", b" ", b"\t",
    b"\x0b", b'"', b"'", b"\\", b"\\x4", b"\\x41", b'"a b"', b"'a b'", b"\\'", b'\\"',
]
SCALARS = [
    b"+OK\r\n", b"-ERR x\r\n", b":-12345\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",1e5\r\n",
]
REPLY_WORDS = [
    b"+OK\r\n", b"-ERR x\r\n", b":1\r\n", b":-12\r\n", b"$-1\r\n", b"*-1\r\n", b"$0\r\n\r\n", b"$3\r\nabc\r\n",
    b"*0\r\n", b"*1\r\n", b"*2\r\n", b"*3\r\n", b"%1\r\n", b"%0\r\n", b"~2\r\n", b">2\r\n", b"|1\r\n", b"|0\r\n",
    b"_\r\n", b"#t\r\n", b"#f\r\n", b"#x\r\n", b",1.5\r\n", b",inf\r\n", b"(123456789012345678901234567890\r\n",
    b"=7\r\ntxt:abc\r\n", b"!5\r\nERR x\r\n", b"*4294967296\r\n", b"*4294967297\r\n", b"$100\r\n",
    b"$4611686018427387904\r\n", b"$999999999999999999\r\n", b"\r\n", b"\r", b"\n", b"$", b"*", b":", b"-", b"+",
    b"0", b"1", b"9", b"\0", b"?", b"_",
]


@cython.final
@cython.cclass
class Fuzzer:
    """One run. seed: any number but zero; the same seed makes the same inputs."""

    seed: uint64_t
    data: bytep
    n: cython.Py_ssize_t
    parser: RequestParser
    ends: cython.pointer(cython.Py_ssize_t)
    requests_seen: uint64_t
    replies_seen: uint64_t
    errors_seen: uint64_t

    def __cinit__(self, seed: int) -> None:
        self.seed = (seed * 0x9E3779B97F4A7C15 + 1) & 0xFFFFFFFFFFFFFFFF or 1
        self.parser = RequestParser(1 << 20)
        self.data = cython.cast(bytep, malloc(2 * _SIZE_MAX))
        self.ends = cython.cast(cython.pointer(cython.Py_ssize_t), malloc(_ENDS_MAX * cython.sizeof(cython.Py_ssize_t)))
        if self.data == cython.NULL or self.ends == cython.NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        free(self.data)
        free(self.ends)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Whole requests, whole replies and errors that came up: a run that sees none of them tests nothing."""
        return self.requests_seen, self.replies_seen, self.errors_seen

    # --- chance ---------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(check=False)
    def below(self, bound: uint32_t) -> uint32_t:
        """A number in [0, bound)."""
        x: uint64_t = self.seed
        x ^= x << 13
        x ^= x >> 7
        x ^= x << 17
        self.seed = x
        return cython.cast(uint32_t, ((x * _MIX) >> 33) % bound)

    @cython.cfunc
    @cython.exceptval(check=False)
    def size(self) -> cython.Py_ssize_t:
        """A length: mostly small, sometimes around the parser's seams, rarely large."""
        kind: uint32_t = self.below(1024)
        if kind < 700:
            return self.below(12)
        if kind < 1000:
            return self.below(120)
        if kind < 1023:
            return 995 + self.below(10)
        return 9995 + self.below(10) if self.below(8) else 65_530 + self.below(20)

    # --- making inputs --------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put(self, piece: bytes) -> cython.int:
        if self.n + len(piece) <= _SIZE_MAX:
            memcpy(self.data + self.n, cython.cast(cython.p_char, piece), len(piece))
            self.n += len(piece)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_word(self, words: list) -> cython.int:
        return self.put(words[self.below(len(words))])

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_bulk(self, mark: bytes) -> cython.int:
        """A bulk of random bytes."""
        size: cython.Py_ssize_t = self.size()
        i: cython.Py_ssize_t
        if self.n + size + 30 > _SIZE_MAX:
            size = 0
        self.put(b"%b%d\r\n" % (mark, size))
        if self.n + size <= _SIZE_MAX:
            self.below(2)
            for i in range(0, size, 8):     # the buffer has room to spare
                memcpy(self.data + self.n + i, cython.address(self.seed), 8)
                if i & 24 == 0:
                    self.below(2)
            self.n += size
        return self.put(b"\r\n")

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def make_requests(self) -> cython.int:
        """A few well-formed requests, with words of the protocol between them."""
        i: cython.int
        argc: cython.int
        self.n = 0
        for _ in range(1 + self.below(4)):
            if self.below(4) == 0:
                for _ in range(self.below(6)):
                    self.put_word(REQUEST_WORDS)
                continue
            argc = 1 + self.below(4) if self.below(40) else 95 + self.below(10)
            self.put(b"*%d\r\n" % argc)
            for i in range(argc):
                self.put_bulk(b"$")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def make_reply(self, depth: cython.int) -> cython.int:
        """One well-formed reply."""
        i: cython.int
        n: cython.int
        kind: uint32_t = self.below(20)
        if kind >= 15 and depth < 6:
            n = self.below(4)
            self.put(b"%c%d\r\n" % (b"*~%>|"[kind - 15], n))
            for i in range(2 * n if kind == 17 or kind == 19 else n):
                self.make_reply(depth + 1)
            return self.make_reply(depth + 1) if kind == 19 else 0
        if kind >= 8:
            return self.put_bulk(b"$" if kind > 9 else b"=" if kind == 8 else b"!")
        return self.put(SCALARS[kind])

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def mutate(self, words: list) -> cython.int:
        """Up to six changes: a byte, a word put in, a piece cut out, doubled or moved, the end cut off."""
        at: cython.Py_ssize_t
        size: cython.Py_ssize_t
        to: cython.Py_ssize_t
        word: bytes
        kind: uint32_t
        for _ in range(self.below(7)):
            if self.n == 0:
                self.put_word(words)
            at = self.below(self.n)
            size = min(1 + self.below(1 << self.below(8)), self.n - at)
            kind = self.below(7)
            if kind == 0:
                self.data[at] = cython.cast(uint8_t, self.below(256))
            elif kind == 1:
                self.data[at] = b"\r\n*$0123456789-+\"'\\ :"[self.below(21)]
            elif kind == 2:
                word = words[self.below(len(words))]
                if self.n + len(word) < _SIZE_MAX:
                    memmove(self.data + at + len(word), self.data + at, self.n - at)
                    memcpy(self.data + at, cython.cast(cython.p_char, word), len(word))
                    self.n += len(word)
            elif kind == 3:
                memmove(self.data + at, self.data + at + size, self.n - at - size)
                self.n -= size
            elif kind == 4 and self.n + size < _SIZE_MAX:
                memmove(self.data + at + size, self.data + at, self.n - at)
                self.n += size
            elif kind == 5:
                to = self.below(self.n - size + 1)
                memmove(self.data + to, self.data + at, size)
            elif self.below(4) == 0:
                self.n = at
        return 0

    # --- what must hold -------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(0, check=True)
    def digest(self, held: bytep, n: cython.Py_ssize_t, so_far: uint64_t) -> uint64_t:
        """Fold what the last parse found into a number; every argument must be where it may be."""
        request: RequestP
        i: cython.int
        k: cython.int
        j: cython.Py_ssize_t
        p: bytep
        size: cython.Py_ssize_t
        for i in range(self.parser.count):
            request = self.parser.requests + i
            assert request.raw >= held and request.raw + request.raw_n <= held + n, "raw bytes outside the buffer"
            assert request.argc > 0
            so_far = (so_far ^ cython.cast(uint64_t, request.argc)) * _PRIME + request.raw_n + request.inline_form
            for k in range(request.first, request.first + request.argc):
                p = self.parser.args[k].p
                size = self.parser.args[k].n
                assert size >= 0
                if not request.inline_form:
                    assert p >= request.raw and p + size <= request.raw + request.raw_n, "argument outside its request"
                so_far = (so_far ^ cython.cast(uint64_t, size)) * _PRIME
                for j in range(size):
                    so_far = (so_far ^ p[j]) * _PRIME
        return so_far

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(0, check=False)
    def parse(self, mode: cython.int, restricted: cython.bint, used: cython.pointer(cython.Py_ssize_t)) -> uint64_t:
        """Parse the input; mode 0: at once, 1: byte by byte, 2: in random pieces. Returns a digest of all found."""
        state: InputState
        held: bytep
        start: cython.Py_ssize_t = 0
        have: cython.Py_ssize_t = 0
        done: cython.Py_ssize_t
        most: cython.int = 1 << 20
        scale: uint32_t = 9 if self.n < 2000 else 15
        result: uint64_t = 1
        i: cython.Py_ssize_t
        memset(cython.address(state), 0, cython.sizeof(InputState))
        state.restricted = restricted
        while have < self.n:
            if mode == 0:
                have = self.n
            elif mode == 1:
                have += 1
            else:
                have = min(self.n, have + 1 + self.below(1 << self.below(scale)))
                most = 1 + self.below(5)
            while True:
                held = cython.cast(bytep, malloc(max(have - start, 1)))
                memcpy(held, self.data + start, have - start)
                done = self.parser.parse(cython.address(state), held, have - start, most)
                assert 0 <= done <= have - start and self.parser.count <= most
                assert state.want == 0 or state.want > have - start - done, "wants what it has"
                result = self.digest(held, have - start, result)
                free(held)
                start += done
                self.requests_seen += self.parser.count
                if self.parser.error is not None:
                    self.errors_seen += 1
                    for i in range(len(self.parser.error)):
                        result = (result ^ self.parser.error[i]) * _PRIME
                    have = self.n
                    break
                if self.parser.count < most:
                    break
        input_state_clear(cython.address(state))
        used[0] = start
        return result | 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_requests(self) -> cython.int:
        used: cython.Py_ssize_t[3]
        restricted: cython.bint = self.below(8) == 0
        whole: uint64_t = self.parse(0, restricted, cython.address(used[0]))
        pieces: uint64_t = self.parse(2, restricted, cython.address(used[2]))
        if whole != pieces or used[0] != used[2]:
            raise AssertionError(f"in pieces it is not the same ({used[0]}, {used[2]}): {self.input!r}")
        if self.n < 200 and self.below(4) == 0:
            pieces = self.parse(1, restricted, cython.address(used[1]))
            if whole != pieces or used[0] != used[1]:
                raise AssertionError(f"byte by byte it is not the same ({used[0]}, {used[1]}): {self.input!r}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def scan(self, mode: cython.int, keep: cython.bint) -> cython.int:
        """Find the ends of replies in the input, noting them (keep) or comparing; returns 2 * count + malformed."""
        state: ScanState
        held: bytep
        start: cython.Py_ssize_t = 0
        have: cython.Py_ssize_t = 0
        found: cython.Py_ssize_t
        count: cython.int = 0
        scale: uint32_t = 9 if self.n < 2000 else 15
        memset(cython.address(state), 0, cython.sizeof(ScanState))
        while have < self.n:
            if mode == 0:
                have = self.n
            elif mode == 1:
                have += 1
            else:
                have = min(self.n, have + 1 + self.below(1 << self.below(scale)))
            while start < have:
                held = cython.cast(bytep, malloc(have - start))
                memcpy(held, self.data + start, have - start)
                found = scan_reply(cython.address(state), held, have - start)
                free(held)
                assert -1 <= found <= have - start
                if found <= 0:
                    break
                start += found
                if count < _ENDS_MAX:
                    if keep:
                        self.ends[count] = start
                    elif self.ends[count] != start:
                        raise AssertionError(f"another boundary when cut: {self.input!r}")
                count += 1
                self.replies_seen += 1
            if start < have and found < 0:
                self.errors_seen += 1
                return 2 * count + 1
        return 2 * count

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_replies(self) -> cython.int:
        whole: cython.int = self.scan(0, True)
        if self.scan(2, False) != whole:
            raise AssertionError(f"in pieces it is not the same: {self.input!r}")
        if self.n < 200 and self.below(4) == 0 and self.scan(1, False) != whole:
            raise AssertionError(f"byte by byte it is not the same: {self.input!r}")
        return 0

    @property
    def input(self) -> bytes:
        """The input of the last check."""
        return cython.cast(cython.p_char, self.data)[:self.n]

    # --- runs -----------------------------------------------------------------------------------------------------

    def requests(self, inputs: int) -> None:
        """Fuzz the request parser; AssertionError names the input that broke it."""
        for _ in range(inputs):
            self.make_requests()
            if self.below(5):
                self.mutate(REQUEST_WORDS)
            self.check_requests()

    def replies(self, inputs: int) -> None:
        """Fuzz the reply scanner; AssertionError names the input that broke it."""
        ends: cython.int
        made: cython.Py_ssize_t[4]
        i: cython.int
        k: cython.int
        for _ in range(inputs):
            self.n = 0
            k = 1 + self.below(3)
            for i in range(k):
                self.make_reply(0)
                made[i] = self.n
            if self.below(4):
                self.mutate(REPLY_WORDS)
            elif self.n < _SIZE_MAX // 2:
                ends = self.scan(0, True)
                for i in range(k):
                    if ends != 2 * k or self.ends[i] != made[i]:
                        raise AssertionError(f"not the boundaries it was made with: {self.input!r}")
            self.check_replies()
