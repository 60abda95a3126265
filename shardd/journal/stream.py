"""The journal: the one ordered stream of effects, which the AOF, replicas and slot migrations read.

An effect is a command that, run again on the state before it, gives the state after it, whatever the time and the
machine: EXPIRE becomes PEXPIREAT, INCRBYFLOAT becomes SET, an expired key becomes DEL. Dispatch appends after each
command that changed anything; the keyspace appends the keys that expire. The order in the stream is the order in which
they happened.

    dispatch --append--> +--------------------------------------+ --flush, once per loop turn--> reader.take(p, n)
    keyspace --key_deleted-> | *2 SELECT 0 *3 SET k v *2 DEL k ... |                          \\-> reader.feed(bytes)
                         +--------------------------------------+

The bytes are RESP commands, with a SELECT wherever the database changes: the form that the AOF and Redis's replication
link share. While nobody reads, nothing is encoded. A reader sees whole units only, from the moment it was added.

A unit is what one command did, or one EXEC with all that was queued, or one expired key: whoever applies it in part has
a state that never was. As in Redis 7, a unit of several effects stands between MULTI and EXEC, one of a single effect
stands by itself. MULTI is put in front of the first when the second comes:

    SELECT 0 | SET a 1 | MULTI  DEL b  SET b 2  EXEC | MULTI  SELECT 1  LPUSH c x ...
    unit       unit      unit                          unit_start  (unit_effects: 1 -> 2)
"""
from typing import Protocol as TypingProtocol

import cython
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.shardd.base.native import bytep, load16
from cython.cimports.shardd.keyspace.events import EffectSink
from cython.cimports.shardd.wire.reply import Reply
from cython.cimports.shardd.wire.request import Arg

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

# MULTI and EXEC with their headers, a SELECT's header, its two words, and the effect's own header
EXTRA_ITEMS = cython.declare(cython.Py_ssize_t, 8)
MULTI = cython.declare(bytes, b"*1\r\n$5\r\nMULTI\r\n")
EXEC = cython.declare(bytes, b"*1\r\n$4\r\nEXEC\r\n")
CRLF = cython.declare(cython.int, 0x0A0D)           # as load16 sees it
ITEM_BYTES_MAX = cython.declare(cython.Py_ssize_t, 40)  # of an item beside its bytes: more than Reply.bulk asks for


class Reader(TypingProtocol):
    """What the AOF, a replica link and a slot migration are to the journal."""

    def feed(self, data: bytes) -> None:
        """Take the effects since the last call, as RESP commands."""


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _digits(n: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """How many a number of up to four has; 9 for more."""
    return 1 if n < 10 else 2 if n < 100 else 3 if n < 1000 else 4 if n < 10000 else 9


@cython.cfunc
@cython.overflowcheck(False)        # pointers are subtracted
@cython.exceptval(check=False)
def _as_it_came(argv: cython.pointer(Arg), argc: cython.int, size: cython.pointer(cython.Py_ssize_t)) -> bytep:
    """Where a command lies in the read buffer, just as we would write it; NULL where it does not.

    The distances of its words say so, with the bytes between them: a request's headers are read and not compared, and
    words can come from elsewhere (an inline command, a transaction's queue, whose words are closer to each other).
    """
    i: cython.int
    end: bytep
    start: bytep
    digits: cython.Py_ssize_t
    if argc < 2 or argc > 9999 or argv[0].n > 9999:
        return cython.NULL
    end = argv[0].p + argv[0].n
    for i in range(1, argc):
        digits = _digits(argv[i].n)
        if (argv[i].p - end != digits + 5 or load16(end) != CRLF or end[2] != 36
                or load16(argv[i].p - 2) != CRLF):
            return cython.NULL
        end = argv[i].p + argv[i].n
    start = argv[0].p - _digits(argv[0].n) - _digits(argc) - 6
    if (load16(end) != CRLF or load16(argv[0].p - 2) != CRLF or start[0] != 42
            or load16(start + 1 + _digits(argc)) != CRLF or start[3 + _digits(argc)] != 36):
        return cython.NULL
    size[0] = end + 2 - start
    return start


@cython.cclass
class StreamReader:
    """A reader in compiled code: it gets the effects where they lie, whole units, once per turn of the loop."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take(self, p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
        """The effects since the last call. They are gone after it."""
        return 0


@cython.cclass
class Stream(EffectSink):
    """The ordered effects of one engine and their readers."""

    def __init__(self) -> None:
        self.readers = []
        self.buffer = Reply()
        self.spare = Reply()
        self.db = -1

    def add_reader(self, reader: Reader | StreamReader) -> None:
        """Hand all effects from now on to `reader`, starting with a SELECT."""
        self.flush()
        self.readers.append(reader)
        self.active = True
        self.db = -1

    def remove_reader(self, reader: Reader | StreamReader) -> None:
        """Stop handing effects to `reader`, after what is pending."""
        self.flush()
        self.readers.remove(reader)
        self.active = bool(self.readers)

    def say_database(self) -> None:
        """What comes from now on begins with a SELECT: it goes to another file."""
        self.flush()
        self.db = -1

    @property
    def position(self) -> int:
        """Bytes so far, those that were not handed out yet included."""
        return self.offset + self.buffer.len

    @property
    def held_bytes(self) -> int:
        """Room for effects that were not handed out yet, or that a reader keeps."""
        total: cython.Py_ssize_t = self.buffer.cap + self.spare.cap
        for reader in self.readers:
            total += getattr(reader, "held_bytes", 0)
        return total

    def flush(self) -> None:
        """Hand out what was appended since the last flush; the engine calls it once per turn of its loop, never inside
        a unit."""
        self.unit_over()
        if self.buffer.len == 0:
            return
        data: bytes = None
        full: Reply = self.buffer
        # readers may append, or leave, when they see it
        self.buffer = self.spare
        self.spare = full
        self.unit_start = 0
        self.offset += full.len
        try:
            for reader in tuple(self.readers):
                if isinstance(reader, StreamReader):
                    cython.cast(StreamReader, reader).take(full.buf, full.len)
                else:
                    if data is None:
                        data = full.buf[:full.len]
                    reader.feed(data)
        finally:
            full.clear()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reserve(self, items: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        """Room for an effect of so many items with `size` bytes in all, and for what may come before and behind it:
        what follows cannot fail half-way.

        Raises MemoryError; the effect is not in the stream then.
        """
        return self.buffer.room(size + (items + EXTRA_ITEMS) * ITEM_BYTES_MAX)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def select(self, db: cython.int) -> cython.int:
        """An effect follows: MULTI where it is its unit's second, SELECT where it is for another database."""
        number: bytes
        if self.unit_effects == 1:
            self.buffer.insert(self.unit_start, MULTI)
        self.unit_effects += 1
        if db != self.db:
            number = str(db).encode()
            self.buffer.array(2)
            self.buffer.bulk(b"SELECT", 6)
            self.buffer.bulk(cython.cast(cython.p_char, number), len(number))
            self.db = db
        self.effects += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unit_over(self) -> cython.int:
        """The unit ends: what comes is another one's."""
        if self.unit_effects > 1:
            self.buffer.raw(cython.cast(cython.p_char, EXEC), len(EXEC))
        self.unit_effects = 0
        self.unit_start = self.buffer.len
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append(self, db: cython.int, argv: cython.pointer(Arg), argc: cython.int) -> cython.int:
        """An effect that is the command as it came."""
        i: cython.int
        size: cython.Py_ssize_t = 0
        request: bytep
        if not self.active:
            return 0
        request = _as_it_came(argv, argc, cython.address(size))
        if request != cython.NULL:
            self.reserve(0, size)
            self.select(db)
            return self.buffer.raw(request, size)
        for i in range(argc):
            size += argv[i].n
        self.reserve(argc, size)
        self.select(db)
        self.buffer.array(argc)
        for i in range(argc):
            self.buffer.bulk(argv[i].p, argv[i].n)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_words(self, db: cython.int, words: tuple) -> cython.int:
        """An effect spelled out as a tuple of bytes."""
        word: bytes
        size: cython.Py_ssize_t = 0
        if not self.active:
            return 0
        for word in words:
            size += len(word)
        self.reserve(len(words), size)
        self.select(db)
        self.buffer.array(len(words))
        for word in words:
            self.buffer.bulk(cython.cast(cython.p_char, word), len(word))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def key_deleted(self, db: cython.int, p: const_bytes, n: cython.Py_ssize_t, lazy: cython.bint) -> cython.int:
        """A key went without a command: it expired, or was evicted."""
        if not self.active:
            return 0
        self.reserve(2, n + 6)
        self.select(db)
        self.buffer.array(2)
        if lazy:
            self.buffer.bulk(b"UNLINK", 6)
        else:
            self.buffer.bulk(b"DEL", 3)
        self.buffer.bulk(p, n)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fields_deleted(self, db: cython.int, key: bytes, fields: list) -> cython.int:
        """Fields of a hash went without a command: they expired."""
        return self.append_words(db, (b"HDEL", key, *fields))
