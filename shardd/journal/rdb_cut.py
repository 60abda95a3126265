"""An RDB file cut into its values, each as the payload that DUMP would give, for who sends them to engines by RESTORE.

    file       ... type key value type key value ...
    payload    type value   version of the file, 2 bytes   CRC-64 of all that, 8 bytes

A value in a file and in a payload are the same bytes, so nothing is decoded: a piece of the file is copied, from the
buffer where it is still there, else by another read.

    cutter = RdbCutter(fd, thresholds, deep=True)           looks through everything, as deep as a loader would
    while not cutter.done: cutter.next(keys, bytes, until)  (database, key, expiry, idle, freq, None)
    cutter = RdbCutter(fd, thresholds)
    while not cutter.done: cutter.next(keys, bytes, until)  (database, key, expiry, idle, freq, payload)

Owns: this. Does not own the file's descriptor, what an opcode means (rdb_load.py, of which this is a kind), or what
becomes of a value. Collections without elements, which no RESTORE takes, are not among what is given; the cutter that
is not deep is told where they are (`empty_at` of the deep one). What no engine can hold is passed over and counted.
"""
import os

import cython
from cython.cimports.libc.stdint import int64_t, uint16_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.base.native import bytep, store16, store64
from cython.cimports.shardd.journal.rdb import RDB_DUMP_FOOTER_BYTES, RDB_TYPE_STRING
from cython.cimports.shardd.journal.rdb_in import HOLD_KEY, RdbSource
from cython.cimports.shardd.journal.rdb_load import BUILDS, IDLE, RdbLoader
from cython.cimports.shardd.journal.rdb_load_build import Thresholds
from cython.cimports.shardd.journal.rdb_load_skip import value_kind, value_loads
from cython.cimports.shardd.journal.rdb_load_value import value_drop
from cython.cimports.shardd.keyspace.entry import View
from cython.cimports.shardd.structures.crc64 import crc64

from shardd.journal.rdb_in import RdbError

DATABASE_MAX = cython.declare(uint64_t, (1 << 31) - 1)      # its number, as `databases` can be


@cython.final
@cython.cclass
class RdbCutter(RdbLoader):
    """One pass over one file."""

    def __init__(self, fd: cython.int, thresholds: Thresholds, *, deep: bool = False,
                 empty_at: set[int] | None = None) -> None:
        """fd: is read from where it stands. thresholds: of any engine, for who looks deep."""
        assert thresholds is not None
        self.source = RdbSource(fd)
        self.thresholds = thresholds
        self.fd = fd
        self.deep = deep
        self.skip_unsupported = True
        self.empty_at = set() if empty_at is None else empty_at
        self.skipped = {}
        self.aux = {}

    def next(self, count: cython.Py_ssize_t, bytes_max: int64_t,
             deadline_us: int64_t) -> list[tuple[int, bytes, int, int, int, bytes | None]]:
        """The next keys, `count` at most, and no more once their payloads have `bytes_max` bytes, or the monotonic
        clock says `deadline_us`; [] at the end, and now and then before it: `done` says. Of each: database, key, expiry
        (Unix ms), seconds idle, LFU counter (each -1 where the file does not say), payload.

        Raises RdbError, MemoryError, OSError.
        """
        sound: cython.bint = False
        found: list = []
        self.found = found
        self.found_bytes = 0
        self.deadline_us = deadline_us
        self.looked_at = self.source.base
        if self.version == 0:
            self.begin()
        try:
            while not self.done and len(found) < count and self.found_bytes < bytes_max:
                if not self.one() or self.late(self.source):
                    break
            sound = True
        finally:
            if not sound:
                value_drop(cython.address(self.value))
        self.found = None
        return found

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def choose(self, number: uint64_t) -> cython.int:
        """What follows is of another database."""
        if number > DATABASE_MAX:
            self.source.fail(f"there is a key of database {number}")
        self.number = cython.cast(int64_t, number)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self) -> cython.int:
        """Nothing waits."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def key(self, type: cython.int) -> cython.int:
        """A key, and the beginning of its value."""
        s: RdbSource = self.source
        v: View
        self.holds = value_loads(type, self.version)
        if not self.holds:
            self.find_kind(type)
        self.type = type
        s.string(cython.address(v))
        s.hold(cython.address(v), HOLD_KEY)
        self.name = v.p
        self.name_len = v.n
        self.start = s.tell()
        if not self.holds:
            self.unsupported(value_kind(type, self.version))
        if not (self.holds and self.deep):
            return self.pass_over(type)
        if type != RDB_TYPE_STRING:
            return self.build(type)
        s.string(cython.address(v))
        return self.whole()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def whole(self) -> cython.int:
        """The value under way was looked at, or passed over."""
        s: RdbSource = self.source
        payload: bytes = None
        if self.doing == BUILDS:
            if self.value.b.count == 0:
                self.empty_at.add(self.start)
            value_drop(cython.address(self.value))
        self.doing = IDLE
        if self.start in self.empty_at:
            self.empty += 1
        elif self.holds:
            if not self.deep:
                payload = self.payload(self.type, self.start, s.tell() - self.start)
            self.longest = max(self.longest, s.tell() - self.start + 1 + RDB_DUMP_FOOTER_BYTES)
            self.database_last = max(self.database_last, self.number)
            self.keys += 1
            name: bytes = cython.cast(cython.p_char, self.name)[:self.name_len]
            self.found.append((self.number, name, self.facts.expiry, self.facts.idle, self.facts.freq, payload))
            self.found_bytes += self.name_len if payload is None else len(payload)
        self.facts.expiry = self.facts.idle = self.facts.freq = -1
        return 0

    @cython.cfunc
    def payload(self, type: cython.int, start: int64_t, n: int64_t) -> bytes:
        """The value that begins at `start` of the file, in DUMP's form. RdbError, OSError, MemoryError."""
        s: RdbSource = self.source
        value: bytes
        whole: bytearray = bytearray(1 + n + RDB_DUMP_FOOTER_BYTES)
        p: bytep = whole
        p[0] = type
        if start >= s.base:
            memcpy(p + 1, s.begin + (start - s.base), n)
        else:       # the buffer has gone on
            value = _read_at(self.fd, n, start)
            memcpy(p + 1, cython.cast(cython.p_char, value), n)
        store16(p + 1 + n, cython.cast(uint16_t, self.version))
        store64(p + 3 + n, crc64(0, p, 3 + n))
        return bytes(whole)


def _read_at(fd: int, n: int, start: int) -> bytes:
    """All of it. RdbError, OSError."""
    parts = []
    while n > 0:
        data = os.pread(fd, n, start)
        if not data:
            raise RdbError("the file is shorter than it was when it was opened", start)
        parts.append(data)
        start += len(data)
        n -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
