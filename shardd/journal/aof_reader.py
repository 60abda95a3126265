"""The reader of an append-only file: bytes of the file in, whole units out.

    file   ... *3 SET a 1 | #TS:1790000000 | *1 MULTI *2 DEL b *3 SET b 2 *1 EXEC | *3 SET c ...
                 effect       skipped        '------- effects of one unit -------'   truncated

Owns: the file's grammar, where units begin and end, and where the file ends well. Does not own what an effect means
(engine.aof_load runs it), the files' order (journal.manifest), nor RDB.

A file is a sequence of RESP commands, and lines that begin with #. A transaction is handed out only when its EXEC was
read: until then the buffer grows, as far as the file goes. What ends within a command or a transaction is TRUNCATED,
and `valid` is the offset behind the last whole unit, with the annotations in front of the cut unit cut off as well. Redis
does the same, except that it leaves the beginning of a transaction in the file where that was cut within a command;
what is appended behind it would then belong to that transaction.

What does not follow the grammar is DAMAGED, and stricter than in Redis: CR and LF are looked at, a nested MULTI and a
lone EXEC are refused (as redis-check-aof does). Nothing is allocated by a number that the file says, only by bytes that
are there.

Invariants: `args` point into `buf` and hold until the next `next`; effects come in whole units.
"""
import os

import cython
from cython.cimports.libc.errno import EINTR, errno
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memchr, memmove
from cython.cimports.posix.strings import strncasecmp
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.aof_reader import Effect
from cython.cimports.shardd.net.sys import sys_close, sys_read
from cython.cimports.shardd.wire.request import Arg

from shardd.base import limits

arg_p = cython.typedef(cython.pointer(Arg))
effect_p = cython.typedef(cython.pointer(Effect))

READ_BYTES = cython.declare(cython.Py_ssize_t, limits.AOF_READ_BYTES)
ANNOTATION_MAX = cython.declare(cython.Py_ssize_t, limits.AOF_ANNOTATION_BYTES_MAX)
WORD_MAX = cython.declare(cython.longlong, limits.STRING_BYTES_MAX)
WORDS_MAX = cython.declare(cython.longlong, limits.MULTIBULK_ITEMS_MAX)
BATCH = cython.declare(cython.int, 64)          # as many as dispatch prefetches for at a time
MORE = cython.declare(cython.Py_ssize_t, 0)
BAD = cython.declare(cython.Py_ssize_t, -1)


@cython.final
@cython.cclass
class AofReader:
    """Reads one file from `offset` on."""

    def __init__(self, path: str, offset: int = 0) -> None:
        """OSError."""
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.total = os.fstat(self.fd).st_size
        os.lseek(self.fd, offset, os.SEEK_SET)
        self.offset = self.valid = offset

    def __dealloc__(self) -> None:
        self.close()
        free(self.buf)
        free(self.args)
        free(self.effects)

    def close(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            sys_close(self.fd)
            self.fd = -1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_more(self) -> cython.int:
        """Read what comes behind buf[:end], as far as there is room; OSError, MemoryError."""
        got: cython.Py_ssize_t
        if self.start:
            memmove(self.buf, self.buf + self.start, self.end - self.start)
            self.offset += self.start
            self.end -= self.start
            self.start = 0
        if self.end == self.cap:
            self.cap = max(2 * self.cap, READ_BYTES)
            self.buf = cython.cast(bytep, regrow(self.buf, self.cap))
        while True:
            got = sys_read(self.fd, self.buf + self.end, self.cap - self.end)
            if got >= 0 or errno != EINTR:
                break
        if got < 0:
            raise OSError(errno, os.strerror(errno))
        self.end += got
        self.at_eof = got == 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next(self) -> cython.int:
        """Find the next effects: a Found. OSError, MemoryError."""
        found: cython.int
        while True:
            found = self.scan()
            if found:
                return found
            if self.at_eof:
                return END if self.scanned == self.end and not self.in_multi else TRUNCATED
            self.read_more()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def scan(self) -> cython.int:
        """Find whole units in the buffer: COMMANDS, DAMAGED, or 0 where there is none."""
        at: cython.Py_ssize_t = self.start
        done: cython.Py_ssize_t = at            # behind the last whole unit, which
        whole: cython.int = 0                   # is so many effects
        used: cython.Py_ssize_t = MORE
        unit: cython.bint = False
        self.count = self.args_len = 0
        self.reason = None
        while unit or self.count < BATCH:
            if at < self.end and self.buf[at] == 35:        # '#'
                used = self.annotation(self.buf + at, self.end - at)
                if used <= 0:
                    break
                at += used
                continue
            used = self.command(self.buf + at, self.end - at)
            if used <= 0:
                break
            at += used
            if self.is_word(b"MULTI", 5):
                if unit:
                    self.reason = "Unexpected MULTI"
                    used = BAD
                    break
                unit = True
                continue
            if self.is_word(b"EXEC", 4):
                if not unit:
                    self.reason = "Unexpected EXEC"
                    used = BAD
                    break
                unit = False
            else:
                self.push(unit)
            if not unit:
                whole, done = self.count, at
        self.count = whole
        self.in_multi = unit
        self.scanned = at
        if done > self.start:
            self.start = done
            self.valid = self.offset + done
            return COMMANDS
        if used == BAD and self.reason is None:
            self.reason = f"what is at offset {self.offset + at} is no command"
        return DAMAGED if used == BAD else 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_word(self, word: cython.p_const_char, n: cython.Py_ssize_t) -> cython.bint:
        """Whether the command that was found last is this word alone."""
        arg: arg_p = self.args + self.args_len - 1
        return self.argc == 1 and arg.n == n and strncasecmp(cython.cast(cython.p_char, arg.p), word, n) == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push(self, unit: cython.bint) -> cython.int:
        """The command that was found last is an effect. MemoryError."""
        cap: cython.int = 2 * self.effects_cap + 64
        if self.count == self.effects_cap:
            self.effects = cython.cast(effect_p, regrow(
                self.effects, cython.sizeof(Effect) * cython.cast(cython.size_t, cap)))
            self.effects_cap = cap
        self.effects[self.count].first = self.args_len - self.argc
        self.effects[self.count].argc = self.argc
        self.effects[self.count].in_unit = unit
        self.count += 1
        return 0

    # ---- the grammar: how many bytes something takes, MORE where it is cut, BAD where it is something else

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(check=False)
    def annotation(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A line that begins with #."""
        end: bytep = cython.cast(bytep, memchr(p, 10, min(n, ANNOTATION_MAX)))
        if end != cython.NULL:
            return end - p + 1
        return MORE if n < ANNOTATION_MAX else BAD

    @cython.cfunc
    @cython.exceptval(check=False)
    def header(self, p: bytep, n: cython.Py_ssize_t, mark: uint8_t,
               value: cython.pointer(cython.longlong)) -> cython.Py_ssize_t:
        """A mark, up to ten digits, CR, LF."""
        at: cython.Py_ssize_t = 1
        if n < 1:
            return MORE
        if p[0] != mark:
            return BAD
        value[0] = 0
        while at < n and 48 <= p[at] <= 57 and at <= 10:
            value[0] = value[0] * 10 + p[at] - 48
            at += 1
        if at < n and (at == 1 or p[at] != 13):
            return BAD
        if at + 1 < n and p[at + 1] != 10:
            return BAD
        return at + 2 if at + 2 <= n else MORE

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def command(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A command, whose words go to `args`. MemoryError."""
        begun: cython.int = self.args_len
        words: cython.longlong = 0
        length: cython.longlong = 0
        cap: cython.int
        at: cython.Py_ssize_t = self.header(p, n, 42, cython.address(words))
        used: cython.Py_ssize_t
        if at <= 0:
            return at
        if words < 1 or words > WORDS_MAX:
            return BAD
        self.argc = cython.cast(cython.int, words)
        while self.args_len - begun < self.argc:
            used = self.header(p + at, n - at, 36, cython.address(length))
            if used > 0 and length > WORD_MAX:
                used = BAD
            if used > 0:
                at += used
                if n - at >= length + 2:
                    if p[at + length] != 13 or p[at + length + 1] != 10:
                        used = BAD
                else:
                    used = MORE
            if used <= 0:
                self.args_len = begun
                return used
            if self.args_len == self.args_cap:
                cap = 2 * self.args_cap + 256
                self.args = cython.cast(arg_p, regrow(
                    self.args, cython.sizeof(Arg) * cython.cast(cython.size_t, cap)))
                self.args_cap = cap
            self.args[self.args_len].p = p + at
            self.args[self.args_len].n = length
            self.args_len += 1
            at += length + 2
        return at
