"""Arrays of several engines as one, one behind the other: KEYS.

Owns: the parts of such a reply on their way to the client. Does not own which commands are answered so (router), how
they are asked (merge), or the place in the client's line (replies).

An array tells first how many elements it has, so the client's reply can begin as soon as every engine's has; from then
on it flows, engine by engine, and nothing is collected that a link can keep waiting (link, must_wait):

    engine 0   *3 a b c          heads known: *5 goes out, then  a b c   as they come
    engine 1   *2 d e            waits, with what has come of it;  then  d e

    CHAIN_HEADS --all heads, our turn in line--> CHAIN_FLOWS ----last part----> answered
         |                                           | an engine dies: the client's connection ends, as half is out
         +--one is an error, or no array-------> CHAIN_FAILED --all here--> the error, the first by engine

A part that is small comes as a whole, before its turn maybe; it is kept until then. Where all parts are here before the
client's line has come to this reply, they are joined and handed over together.

Invariants: the slot is answered once, or the client closed. `current` is the only part whose bytes go out; those before
it are whole and gone. Whoever is in `waiting` is resumed with each change of phase or of `current`.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.proxy.chain import CHAIN_FAILED, CHAIN_FLOWS, CHAIN_HEADS, Piece, PieceP
from cython.cimports.proxy.replies import Receiver, ReplyQueue
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.transport import Transport
from cython.cimports.shardd.wire.reply import Reply

from shardd.base import errors

_DASH = cython.declare(cython.int, 45)
_ARRAY = cython.declare(cython.int, 42)
_SET = cython.declare(cython.int, 126)
_joined = cython.declare(Reply, Reply(2))       # built and handed on at once


@cython.cfunc
@cython.exceptval(check=False)
def head_number(p: bytep, n: cython.Py_ssize_t, line: cython.pointer(cython.Py_ssize_t)) -> int64_t:
    """The number in the first line of a reply, and that line's length with CRLF; the mark is not looked at."""
    value: int64_t = 0
    negative: cython.bint = n > 1 and p[1] == _DASH
    i: cython.Py_ssize_t = 2 if negative else 1
    while i < n and p[i] != 13:
        value = value * 10 + (p[i] - 48)
        i += 1
    line[0] = i + 2
    return -value if negative else value


@cython.final
@cython.cclass
class Chain(Receiver):
    """See the head of the module. seq: of `queue`; count: how many engines are asked. Part i is known as seq i."""

    def __cinit__(self, queue: ReplyQueue, seq: uint64_t, count: cython.int) -> None:
        self.queue = queue
        self.seq = seq
        self.count = self.headless = self.missing = count
        self.parts = cython.cast(PieceP, calloc(count, cython.sizeof(Piece)))
        if self.parts == cython.NULL:
            raise MemoryError
        self.waiting = []

    def __dealloc__(self) -> None:
        i: cython.int
        if self.parts != cython.NULL:
            for i in range(self.count):
                if self.parts[i].p != cython.NULL:
                    self.queue.outbox.held_bytes -= self.parts[i].cap
                    free(self.parts[i].p)
        free(self.parts)

    # --- as a receiver --------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reply(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """The rest of a part, or all of it."""
        self.parts[seq].whole = True
        self.missing -= 1
        return self.take(seq, p, n)

    @cython.cfunc
    @cython.exceptval(check=False)
    def streams(self, seq: uint64_t) -> cython.bint:
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def piece(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        return self.take(seq, p, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def takes(self, seq: uint64_t, source: Transport) -> cython.bint:
        """What is not next waits at its engine."""
        if self.phase == CHAIN_HEADS:
            if not self.queue.streams(self.seq):
                return self.queue.takes(self.seq, source)
            if self.headless == 0:
                self.flow()
            elif not self.parts[seq].begun:
                return True
        if self.phase == CHAIN_FAILED:
            return True
        if self.phase == CHAIN_FLOWS and cython.cast(cython.int, seq) == self.current:
            return self.queue.takes(self.seq, source)
        self.waiting.append(source)
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def broken(self, seq: uint64_t) -> cython.bint:
        """An engine died within its part."""
        part: PieceP = self.parts + seq
        if self.phase != CHAIN_FLOWS:
            if part.begun:
                part.begun = False
                self.headless += 1
            self.drop(part)
            return True
        self.phase = CHAIN_FAILED
        self.queue.broken(self.seq)
        self.resume()
        return False

    @cython.cfunc
    def asker(self) -> object:
        """The client on whose behalf; None where there is none (any more)."""
        return self.queue.asker()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def detour(self) -> cython.int:
        return self.queue.detour()

    # --- the parts ------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Bytes of a part."""
        part: PieceP = self.parts + seq
        if self.phase == CHAIN_FLOWS and cython.cast(cython.int, seq) == self.current:
            if not part.whole:
                return self.queue.piece(self.seq, p, n)
            if self.current == self.count - 1:
                return self.queue.reply(self.seq, p, n)
            self.queue.piece(self.seq, p, n)
            self.current += 1
            return self.go_on()
        if not part.begun:
            part.begun = True
            self.headless -= 1
            if p[0] != _ARRAY and p[0] != _SET:
                self.phase = CHAIN_FAILED
                self.judge()
            if self.phase != CHAIN_FAILED or p[0] == _DASH:
                self.keep(part, p, n)
        elif self.phase != CHAIN_FAILED:
            self.keep(part, p, n)
        if self.phase == CHAIN_HEADS and self.headless == 0 and self.queue.streams(self.seq):
            return self.flow()
        return self.finish() if self.missing == 0 and self.phase != CHAIN_FLOWS else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, part: PieceP, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Add bytes to what is kept of a part; MemoryError."""
        cap: cython.Py_ssize_t = part.n + n if part.n == 0 else max(part.n + n, 2 * part.cap)
        if part.n + n > part.cap:
            part.p = cython.cast(bytep, regrow(part.p, cap))
            self.queue.outbox.held_bytes += cap - part.cap
            part.cap = cap
        memcpy(part.p + part.n, p, n)
        part.n += n
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop(self, part: PieceP) -> cython.int:
        """Nothing of a part is needed any more."""
        free(part.p)
        part.p = cython.NULL
        self.queue.outbox.held_bytes -= part.cap
        part.n = part.cap = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def judge(self) -> cython.int:
        """No array will come of it: only errors are kept, and nobody waits."""
        i: cython.int
        for i in range(self.count):
            if self.parts[i].n > 0 and self.parts[i].p[0] != _DASH:
                self.drop(self.parts + i)
        return self.resume()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def head(self) -> cython.int:
        """Write the first line of the whole to `_joined`, and take the first lines off the parts."""
        i: cython.int
        line: cython.Py_ssize_t = 0
        total: int64_t = 0
        part: PieceP
        mark: cython.int = self.parts[0].p[0]
        for i in range(self.count):
            part = self.parts + i
            total += max(0, head_number(part.p, part.n, cython.address(line)))
            part.n -= line
            memmove(part.p, part.p + line, part.n)
        _joined.clear()
        return _joined.head(mark, total)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flow(self) -> cython.int:
        """All heads are here, and it is our turn in the client's line."""
        self.head()
        self.phase = CHAIN_FLOWS
        self.queue.piece(self.seq, _joined.buf, _joined.len)
        return self.go_on()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self) -> cython.int:
        """`current` is another one: what is kept of it goes out, and so do those behind it that are whole."""
        part: PieceP
        while True:
            part = self.parts + self.current
            if part.whole and self.current == self.count - 1:
                self.queue.reply(self.seq, part.p, part.n)
                return self.drop(part)
            if part.n > 0:
                self.queue.piece(self.seq, part.p, part.n)
            self.drop(part)
            if not part.whole:
                return self.resume()
            self.current += 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def resume(self) -> cython.int:
        """Whoever waits looks again."""
        source: Transport
        waiting: list = self.waiting
        self.waiting = []
        for source in waiting:
            source.resume_reading()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish(self) -> cython.int:
        """All parts are here, and none has gone out."""
        i: cython.int
        if self.phase == CHAIN_FAILED:
            for i in range(self.count):
                if self.parts[i].n > 0:
                    return self.queue.reply(self.seq, self.parts[i].p, self.parts[i].n)
            _joined.clear()
            _joined.error(errors.WRONG_PARTS)
        else:
            self.head()
            for i in range(self.count):
                _joined.raw(self.parts[i].p, self.parts[i].n)
        self.queue.reply(self.seq, _joined.buf, _joined.len)
        return _joined.clear()
