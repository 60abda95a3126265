"""Commands as bytes with holes: the requests of a run, built without a Python object.

Owns: how a command with numbers and values in it becomes bytes, and which command of a mix comes next. Does not own
what users write (workload) or when something is sent (driver).

A command whose arguments keep their lengths is one run of bytes with holes of 12 digits:

    *3 CR LF $3 CR LF SET CR LF $16 CR LF key:000000000000 CR LF $32 CR LF xxxxx... CR LF
                                              ^ hole

It is copied and its holes are filled; a script of one such command need not even be copied, since a buffer that holds
it `pipeline` times is only patched in place (`fixed`). Where values have several sizes, the command is a row of pieces:

    TEXT  *3 $3 SET $16 key:   DIGITS   TEXT  CR LF   HEADER  $n CR LF   DATA   TEXT  CR LF

Where the number of a hole comes from (`source`):

    KEY       the number that was drawn for the command's key, before: in a cluster it chose the connection
    OWN       one drawn for this hole alone
    SERIAL    a counter of this run
    SHARED + k    one drawn for this command; the same in all its holes of the same k

Invariants: `emit` writes at most `longest` bytes; numbers are below 10 ** 12.
"""
from typing import Any

import cython
from cython.cimports.bench.load.keys import Keys
from cython.cimports.bench.load.script import Command, Hole, Piece
from cython.cimports.bench.load.sys import apart
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.base.native import bytep, store16
from cython.cimports.shardd.structures.slots import key_slot


_TEXT = cython.declare(cython.int, 0)
_DIGITS = cython.declare(cython.int, 1)
_HEADER = cython.declare(cython.int, 2)
_DATA = cython.declare(cython.int, 3)
_KEY = cython.declare(cython.int, 0)
_OWN = cython.declare(cython.int, 1)
_SERIAL = cython.declare(cython.int, 2)
_SHARED = cython.declare(cython.int, 3)
_SHARED_MAX = cython.declare(cython.int, 9)
_UINT64_MAX = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)
_SERIAL_MAX = cython.declare(int64_t, 10 ** 12)

TEXT, DIGITS, HEADER, DATA = 0, 1, 2, 3
KEY, OWN, SERIAL, SHARED = 0, 1, 2, 3
DIGITS_BYTES = 12
COMMANDS_MAX = 255
"""The order of a connection's outstanding commands is kept in a byte each."""

command_p = cython.typedef(cython.pointer(Command))
hole_p = cython.typedef(cython.pointer(Hole))
piece_p = cython.typedef(cython.pointer(Piece))
number_p = cython.typedef(cython.pointer(int64_t))

_pairs = cython.declare(cython.ushort[100])


def _fill_pairs() -> None:
    i: cython.int
    for i in range(100):
        _pairs[i] = (48 + i // 10) | (48 + i % 10) << 8


_fill_pairs()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def put_digits(p: bytep, number: int64_t) -> cython.void:
    """12 digits with leading zeros, two at a time; two halves, so that 32-bit divisions do and do not wait for one
    another. (The pairs are stored as a little-endian machine reads them.)"""
    high: cython.uint = cython.cast(cython.uint, number // 1000000)
    low: cython.uint = cython.cast(cython.uint, number - cython.cast(int64_t, high) * 1000000)
    store16(p, _pairs[high // 10000])
    store16(p + 2, _pairs[high // 100 % 100])
    store16(p + 4, _pairs[high % 100])
    store16(p + 6, _pairs[low // 10000])
    store16(p + 8, _pairs[low // 100 % 100])
    store16(p + 10, _pairs[low % 100])


@cython.final
@cython.cclass
class Script:
    """The commands of a run and their mix.

    commands: a list of dicts with weight (above 0); pieces, a list of (TEXT, bytes), (DIGITS, source),
    (HEADER, bytes besides the data, how often the data) and (DATA,); key, None or (bytes before the number, bytes
    behind it, or None where the key has no number). data: bytes values are cut from; data_sizes: the
    smallest and the largest value. serial, serial_step: where SERIAL begins and how far it goes each time. Raises
    ValueError, MemoryError.
    """

    def __cinit__(self):
        self.commands = cython.NULL
        self.count = 0

    def __init__(self, commands: list[dict[str, Any]], keys: Keys, data: bytes = b"",
                 data_sizes: tuple[int, int] = (0, 0), serial: int = 0, serial_step: int = 1) -> None:
        at: float = 0.0
        if self.commands != cython.NULL:
            raise ValueError("a script is made once")
        if not 1 <= len(commands) <= COMMANDS_MAX:
            raise ValueError(f"{len(commands)} commands: 1 to {COMMANDS_MAX} are possible")
        if not 0 <= data_sizes[0] <= data_sizes[1] <= len(data):
            raise ValueError(f"values of {data_sizes[0]} to {data_sizes[1]} bytes out of {len(data)}")
        if any(not command["weight"] > 0 for command in commands):
            raise ValueError("each command's ratio is above 0")
        self.keys = keys
        self.data, self.data_min, self.data_max = data, data_sizes[0], data_sizes[1]
        self.data_p = cython.cast(bytep, cython.cast(cython.p_char, self.data))
        self.serial, self.serial_step = serial, serial_step
        self.commands = cython.cast(command_p, calloc(len(commands), cython.sizeof(Command)))
        if self.commands == cython.NULL:
            raise MemoryError
        self.count = len(commands)
        self.pool = b"".join([piece[1] for command in commands for piece in command["pieces"] if piece[0] == TEXT])
        self.pool_p = cython.cast(bytep, cython.cast(cython.p_char, self.pool))
        offset: int = 0
        total: float = sum([command["weight"] for command in commands])
        for i, command in enumerate(commands):
            at += command["weight"]
            last: bool = i == len(commands) - 1
            offset = self.lay(cython.address(self.commands[i]), command, offset)
            self.commands[i].until = _UINT64_MAX if last else int(at / total * (1 << 64))
        self.longest = max([self.commands[i].n for i in range(self.count)])
        self.fixed = self.count == 1 and self.commands[0].whole != cython.NULL

    def __dealloc__(self):
        i: cython.int
        for i in range(self.count):
            free(self.commands[i].whole)
            free(self.commands[i].holes)
            free(self.commands[i].pieces)
            free(self.commands[i].key)
        free(self.commands)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lay(self, c: command_p, command: dict, offset: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """One command; returns where the next one's texts begin in the pool."""
        i: cython.int
        pieces: list = command["pieces"]
        c.slot = -1
        c.pieces_n = len(pieces)
        c.pieces = cython.cast(piece_p, calloc(max(1, len(pieces)), cython.sizeof(Piece)))
        if c.pieces == cython.NULL:
            raise MemoryError
        for i in range(c.pieces_n):
            piece: tuple = pieces[i]
            c.pieces[i].kind = piece[0]
            if piece[0] == TEXT:
                c.pieces[i].at, c.pieces[i].n = offset, len(piece[1])
                offset += c.pieces[i].n
                c.n += c.pieces[i].n
            elif piece[0] == DIGITS:
                if not 0 <= piece[1] < _SHARED + _SHARED_MAX:
                    raise ValueError(f"{piece[1]} is no source of numbers")
                c.pieces[i].source = piece[1]
                c.n += DIGITS_BYTES
            elif piece[0] == HEADER:
                c.pieces[i].n, c.pieces[i].source = piece[1], piece[2]
                c.n += len(b"$%d\r\n" % (piece[1] + piece[2] * self.data_max))
            else:
                c.n += self.data_max
        if command["key"] is not None:
            self.lay_key(c, command["key"])
        if self.data_min == self.data_max or not any([piece[0] == DATA for piece in pieces]):
            self.fix(c)
        return offset

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lay_key(self, c: command_p, key: tuple) -> cython.int:
        """The form of the command's first key: (before, behind) its number, behind is None where it has none."""
        before: bytes = key[0]
        text: bytes = before if key[1] is None else before + b"0" * DIGITS_BYTES + key[1]
        c.key = cython.cast(bytep, calloc(len(text) + 1, 1))
        if c.key == cython.NULL:
            raise MemoryError
        memcpy(c.key, cython.cast(cython.p_char, text), len(text))
        c.key_n = len(text)
        c.key_hole = -1 if key[1] is None else len(before)
        if key[1] is None:
            c.slot = key_slot(c.key, c.key_n)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fix(self, c: command_p) -> cython.int:
        """Lay a command of fixed length out once, with holes instead of pieces."""
        i: cython.int
        piece: piece_p
        p: bytep = cython.cast(bytep, calloc(c.n, 1))
        c.holes = cython.cast(hole_p, calloc(c.pieces_n, cython.sizeof(Hole)))
        c.whole = p
        if p == cython.NULL or c.holes == cython.NULL:
            raise MemoryError
        for i in range(c.pieces_n):
            piece = cython.address(c.pieces[i])
            if piece.kind == _TEXT:
                memcpy(p, self.pool_p + piece.at, piece.n)
                p += piece.n
            elif piece.kind == _HEADER:
                p = _header(p, piece.n + piece.source * self.data_max)
            elif piece.kind == _DATA:
                memcpy(p, self.data_p, self.data_max)
                p += self.data_max
            else:
                put_digits(p, 0)
                c.holes[c.holes_n].at, c.holes[c.holes_n].source = apart(p, c.whole), piece.source
                c.holes_n += 1
                p += 12
        assert apart(p, c.whole) == c.n
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def choose(self) -> cython.int:
        """Which command comes next, by weight."""
        i: cython.int = 0
        at: uint64_t
        if self.count > 1:
            at = self.keys.bits()
            while i < self.count - 1 and at >= self.commands[i].until:
                i += 1
        return i

    @cython.cfunc
    @cython.exceptval(check=False)
    def number(self, command: cython.int) -> int64_t:
        """A number for the command's key."""
        if self.commands[command].key_n and self.commands[command].key_hole >= 0:
            return self.keys.draw()
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def slot_of(self, command: cython.int, number: int64_t) -> cython.int:
        """The slot of the command's key with that number."""
        c: command_p = cython.address(self.commands[command])
        if c.key == cython.NULL or c.key_hole < 0:
            return c.slot
        put_digits(c.key + c.key_hole, number)
        return key_slot(c.key, c.key_n)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def source_of(self, source: cython.int, number: int64_t, shared: number_p) -> int64_t:
        """The number for one hole. shared: what this command has drawn already, -1 where it has not."""
        if source == _KEY:
            return number
        if source == _OWN:
            return self.keys.draw()
        if source == _SERIAL:
            number = self.serial
            self.serial = (self.serial + self.serial_step) % _SERIAL_MAX
            return number
        if shared[source - _SHARED] < 0:
            shared[source - _SHARED] = self.keys.draw()
        return shared[source - _SHARED]

    @cython.cfunc
    @cython.exceptval(check=False)
    def patch(self, p: bytep, command: cython.int, number: int64_t) -> cython.void:
        """Fill the holes of a command that lies at p."""
        i: cython.int
        c: command_p = cython.address(self.commands[command])
        shared: int64_t[9]
        if c.holes_n == 1 and c.holes[0].source == _KEY:
            put_digits(p + c.holes[0].at, number)
            return
        for i in range(9):
            shared[i] = -1
        for i in range(c.holes_n):
            put_digits(p + c.holes[i].at, self.source_of(c.holes[i].source, number, shared))

    @cython.cfunc
    @cython.exceptval(check=False)
    def emit(self, p: bytep, command: cython.int, number: int64_t) -> cython.Py_ssize_t:
        """Write one command with that number in its key; returns its length."""
        c: command_p = cython.address(self.commands[command])
        if c.whole == cython.NULL:
            return self.emit_pieces(p, c, number)
        memcpy(p, c.whole, c.n)
        self.patch(p, command, number)
        return c.n

    @cython.cfunc
    @cython.exceptval(check=False)
    def emit_pieces(self, p: bytep, c: command_p, number: int64_t) -> cython.Py_ssize_t:
        """Write a command piece by piece."""
        i: cython.int
        start: bytep = p
        size: cython.Py_ssize_t = self.data_max
        shared: int64_t[9]
        piece: piece_p
        for i in range(9):
            shared[i] = -1
        for i in range(c.pieces_n):
            piece = cython.address(c.pieces[i])
            if piece.kind == _TEXT:
                memcpy(p, self.pool_p + piece.at, piece.n)
                p += piece.n
            elif piece.kind == _DIGITS:
                put_digits(p, self.source_of(piece.source, number, shared))
                p += 12
            elif piece.kind == _HEADER:
                if self.data_max > self.data_min:
                    size = self.data_min + self.keys.below(self.data_max - self.data_min + 1)
                p = _header(p, piece.n + piece.source * size)
            else:
                memcpy(p, self.data_p, size)
                p += size
        return apart(p, start)

    def requests(self, count: int) -> list[tuple[int, int, bytes]]:
        """The next `count` commands as (which, slot, bytes), for tests."""
        found: list = []
        command: cython.int
        number: int64_t
        buffer: bytearray = bytearray(self.longest)
        p: bytep = cython.cast(bytep, cython.cast(cython.p_char, buffer))
        for _ in range(count):
            command = self.choose()
            number = self.number(command)
            n: cython.Py_ssize_t = self.emit(p, command, number)
            found.append((command, self.slot_of(command, number), bytes(buffer[:n])))
        return found


@cython.cfunc
@cython.exceptval(check=False)
def _header(p: bytep, n: cython.Py_ssize_t) -> bytep:
    """$n CR LF; returns what is behind it."""
    digits: uint8_t[20]
    i: cython.int = 0
    p[0] = 36
    p += 1
    while True:
        digits[i] = 48 + n % 10
        n //= 10
        i += 1
        if n == 0:
            break
    while i > 0:
        i -= 1
        p[0] = digits[i]
        p += 1
    p[0] = 13
    p[1] = 10
    return p + 2
