"""Requests that outlive the read buffer: what a client has queued since MULTI, and the command that a client is blocked
in.

Owns: their copies, in counted memory. Does not own what becomes of them (engine.dispatch runs them).

    Kept.first --next--> Request --next--> Request            Kept.last
                            |                 |
    chunk (newest first)    v                 v
    +-------+---------------+-----------------+--------------------------------+----------+
    | Chunk | Request       | Request         | Arg Arg Arg | SET_ k_ 1_ ...pad | free ... |
    +-------+---------------+-----------------+--------------------------------+----------+
                                                p ------------^  in the same block

A request is one block: its header, its argument slices, their bytes. Blocks lie in chunks that double in size from one
to the next up to CHUNK_BYTES_MAX, so that a transaction of two commands takes little and one of a million does not
ask the allocator for each; nothing moves once it is there. A request longer than a chunk gets one of its own size.

While the requests run, one after the other, `follow` gives back the chunks that they leave behind.

Invariants: until then, `count` requests are reachable from `first`; `arg_bytes` is the sum of their arguments'
lengths; every byte of a chunk before `used` belongs to its header or to a request.
"""
import cython
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.libc.string import memcpy
from cython.cimports.shardd.commands.registry import Command
from cython.cimports.shardd.engine.kept import Chunk, Request
from cython.cimports.shardd.structures.alloc import allocate, block_bytes, release
from cython.cimports.shardd.wire.request import Arg

command_p = cython.typedef(cython.pointer(Command))
request_p = cython.typedef(cython.pointer(Request))
chunk_p = cython.typedef(cython.pointer(Chunk))
arg_p = cython.typedef(cython.pointer(Arg))

CHUNK_BYTES_MIN = cython.declare(cython.size_t, 496)        # a transaction of a few short commands
CHUNK_BYTES_MAX = cython.declare(cython.size_t, 65536)


@cython.cfunc
@cython.exceptval(check=False)
def kept_args(request: request_p) -> arg_p:
    """The argument slices of a request; good until its Kept is cleared."""
    return cython.cast(arg_p, cython.cast(cython.pointer(uint8_t), request) + cython.sizeof(Request))


@cython.final
@cython.cclass
class Kept:
    """Requests in the order in which they were added."""

    def __dealloc__(self) -> None:
        self.clear()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, command: command_p, argv: arg_p, argc: cython.int, raw_bytes: cython.Py_ssize_t) -> cython.int:
        """Copy a request behind the others. raw_bytes: its length on the wire. MemoryError, and nothing is added."""
        i: cython.int
        words: cython.size_t = 0
        head: cython.size_t = cython.sizeof(Request) + cython.sizeof(Arg) * cython.cast(cython.size_t, argc)
        for i in range(argc):
            words += argv[i].n
        # a byte more for each: two of them never begin at the same place, as in a read buffer (Context.other_key)
        at: cython.pointer(uint8_t) = self.room(
            (head + words + cython.cast(cython.size_t, argc) + 7) & ~cython.cast(cython.size_t, 7))
        if at == cython.NULL:
            raise MemoryError
        request: request_p = cython.cast(request_p, at)
        args: arg_p = kept_args(request)
        at += head
        for i in range(argc):
            args[i].p = at
            args[i].n = argv[i].n
            memcpy(at, argv[i].p, argv[i].n)
            at += argv[i].n + 1
        request.next = cython.NULL
        request.command = command
        request.argc = argc
        request.raw_bytes = raw_bytes
        if self.last == cython.NULL:
            self.first = request
        else:
            self.last.next = request
        self.last = request
        self.count += 1
        self.arg_bytes += words
        self.flags |= command.flags
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def room(self, size: cython.size_t) -> cython.pointer(uint8_t):
        """A block of `size` bytes, a multiple of eight; NULL where there is no memory."""
        chunk: chunk_p = self.chunks
        wanted: cython.size_t = CHUNK_BYTES_MIN
        if chunk == cython.NULL or chunk.size - chunk.used < size:
            if chunk != cython.NULL:
                wanted = min(chunk.size * 2, CHUNK_BYTES_MAX)
            wanted = max(wanted, size + cython.sizeof(Chunk))
            chunk = cython.cast(chunk_p, allocate(wanted))
            if chunk == cython.NULL:
                return cython.NULL
            chunk.next = self.chunks
            chunk.size = wanted
            chunk.used = cython.sizeof(Chunk)
            self.chunks = chunk
            self.block_bytes += block_bytes(chunk, wanted)
        chunk.used += size
        return cython.cast(cython.pointer(uint8_t), chunk) + chunk.used - size

    @cython.cfunc
    @cython.exceptval(check=False)
    def follow(self, request: request_p) -> request_p:
        """The request behind one that has run, as have all before it; NULL: that was the last one. Chunks that hold
        nothing else are given back, so that a long transaction's memory becomes that of the values it makes. `count`
        and the sums stay what they were; nothing may be added any more."""
        chunk: chunk_p = self.chunks
        gone: chunk_p
        following: request_p = request.next
        if not self.turned:
            # to the oldest first
            self.turned = True
            self.chunks = cython.NULL
            while chunk != cython.NULL:
                gone = chunk
                chunk = chunk.next
                gone.next = self.chunks
                self.chunks = gone
        self.first = following
        while following != cython.NULL and not self.is_in(self.chunks, following):
            gone = self.chunks
            self.chunks = gone.next
            release(gone, gone.size)
        return following

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_in(self, chunk: chunk_p, request: request_p) -> cython.bint:
        """Whether the request lies in the chunk."""
        at: cython.pointer(uint8_t) = cython.cast(cython.pointer(uint8_t), chunk)
        return at < cython.cast(cython.pointer(uint8_t), request) < at + chunk.size

    @cython.cfunc
    @cython.exceptval(check=False)
    def clear(self) -> cython.int:
        """Forget all, and give their memory back."""
        chunk: chunk_p = self.chunks
        gone: chunk_p
        while chunk != cython.NULL:
            gone = chunk
            chunk = chunk.next
            release(gone, gone.size)
        self.chunks = cython.NULL
        self.first = self.last = cython.NULL
        self.count = 0
        self.arg_bytes = self.block_bytes = 0
        self.flags = 0
        self.turned = False
        return 0
