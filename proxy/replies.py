"""The replies of one client, in its order, whatever the order in which engines answer.

Owns: the queue of commands whose reply is due, replies that came too early, and the bytes that go to the client when
the wake-up ends. Does not own what was asked or where (session, router, backend), nor the client's socket (transport).

    seq     head                          tail
             7      8      9      10
           +------+------+------+------+
    slots  | due  | here | due  | here |        a ring; the slot of seq is slots[seq & (cap - 1)]
           +------+--|---+------+--|---+
                     v             v
    side          [ bytes of 8 ][ bytes of 10 ]           emptied when no slot points into it

A reply for `head` is appended to `out` straight from the engine's read buffer, and so are the stored ones behind it;
any other is copied to `side` until its turn. `out` is sent once per wake-up, by Outbox.flush. Large replies skip `out`:
they are written to the transport, and one that is first in line may even come in pieces (`streams`), so that it is
never held here as a whole. Where the client does not take that fast enough, or the reply is not first in line, the link
that it comes from is not read, if only this client has commands there (`takes`): `sources` keeps who is to be resumed.

Invariants: head <= tail. A slot is answered once; then it is `head`'s turn or its reply is in `side`. A slot that is
`silent` takes its turn but sends nothing. After `abandon` (the client is gone) every answer is dropped. A queue that
has nothing to send owns no `out`; one with nothing due owns no `side`, and a ring of at most limits.PROXY_SLOTS_KEPT.
Every connection in `sources` is resumed: when its reply is first in line and the client has taken most of what it was
sent, or when the client is gone.
"""
import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc, realloc
from cython.cimports.libc.string import memcpy
from cython.cimports.proxy.replies import Slot, SlotP
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.transport import Transport

from shardd.base import limits

_OUT_BYTES = cython.declare(cython.Py_ssize_t, limits.PROXY_OUT_BYTES)
_SIDE_KEPT = cython.declare(cython.Py_ssize_t, limits.PROXY_OUT_BYTES)
_SLOTS_KEPT = cython.declare(uint32_t, limits.PROXY_SLOTS_KEPT)
_UNSENT_MAX = cython.declare(cython.Py_ssize_t, limits.PROXY_UNSENT_BYTES_MAX)
_UNSENT_LOW = cython.declare(cython.Py_ssize_t, limits.PROXY_UNSENT_BYTES_MAX // 4)
_SPARE_MAX = cython.declare(cython.int, 64)
_SLOTS_FIRST = cython.declare(uint32_t, 4)


@cython.cclass
class Receiver:
    """Whoever waits for replies."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reply(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """The whole reply to `seq`: n bytes of RESP at p, valid during the call."""
        raise NotImplementedError

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def early(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """A reply within a batch (Link.send_batch) that is not its last one."""
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def streams(self, seq: uint64_t) -> cython.bint:
        """Whether `piece` may be called for `seq` now, and so on until `reply` brings the rest."""
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def piece(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """The next bytes of a reply that comes in pieces; `reply` gives the last of them."""
        raise NotImplementedError

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def broken(self, seq: uint64_t) -> cython.bint:
        """The engine died within a reply of which pieces were taken. Yes: `reply` may give an error instead."""
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def takes(self, seq: uint64_t, source: Transport) -> cython.bint:
        """Whether the next bytes of `seq` may come now. No: `source`, which they come from, is resumed later."""
        return True

    @cython.cfunc
    def asker(self) -> object:
        """The client on whose behalf; None where there is none (any more)."""
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def detour(self) -> cython.int:
        """Commands that start from now on go another way than one that is in flight, and could overtake it."""
        return 0


@cython.final
@cython.cclass
class Outbox:
    """What is to be done for clients when a wake-up ends."""

    def __cinit__(self) -> None:
        self.dirty = []

    def __dealloc__(self) -> None:
        while self.spare_count > 0:
            self.spare_count -= 1
            free(self.spare[self.spare_count])

    @cython.cfunc
    @cython.exceptval(check=False)
    def take(self) -> bytep:
        """A buffer of limits.PROXY_OUT_BYTES, NULL where there is no memory."""
        if self.spare_count > 0:
            self.spare_count -= 1
            return self.spare[self.spare_count]
        return cython.cast(bytep, malloc(_OUT_BYTES))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def give(self, buffer: bytep) -> cython.int:
        """A buffer of that size is not needed any more."""
        if self.spare_count < _SPARE_MAX:
            self.spare[self.spare_count] = buffer
            self.spare_count += 1
        else:
            free(buffer)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self) -> cython.int:
        """Send what came together for each client. One that fails is closed, the others get theirs."""
        queue: ReplyQueue
        dirty: list = self.dirty
        if not dirty:
            return 0
        self.dirty = []
        for queue in dirty:
            queue.is_dirty = False
            try:
                queue.flush()
            except Exception as error:
                queue.transport.close(error)
        return 0


@cython.final
@cython.cclass
class ReplyQueue(Receiver):
    """See the head of the module. One per client connection."""

    def __cinit__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def __dealloc__(self) -> None:
        free(self.slots)
        free(self.side)
        free(self.out)

    # --- asking ---------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(0xFFFFFFFFFFFFFFFF, check=True)
    def open(self, silent: cython.bint) -> uint64_t:
        """A place in line for a command that is being sent off; returns its seq. MemoryError."""
        seq: uint64_t = self.tail
        slot: SlotP
        if self.tail - self.head == self.cap:
            self.grow()
        slot = self.slots + (seq & (self.cap - 1))
        slot.n = -1
        slot.silent = silent
        self.tail = seq + 1
        return seq

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put(self, p: bytep, n: cython.Py_ssize_t, silent: cython.bint) -> cython.int:
        """The reply to a command that was answered here at once."""
        if self.head == self.tail:          # nobody is before it
            if not silent and not self.dead:
                self.append(p, n)
                self.touch()
            return 0
        return self.reply(self.open(silent), p, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wait_for(self, low: uint64_t) -> cython.int:
        """Read no more from the client until at most `low` commands are due and what it was sent is mostly taken."""
        self.low = low
        self.waiting = True
        self.transport.pause_reading()
        return self.touch()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def close_when_empty(self) -> cython.int:
        """No more commands: close the connection when all that are due are answered and sent."""
        self.closing = True
        return self.touch()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def abandon(self) -> cython.int:
        """The client is gone; what is still due will be dropped."""
        self.dead = True
        self.release_out()
        self.free_side()
        return self.resume_sources()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def free_side(self) -> cython.int:
        free(self.side)
        self.side = cython.NULL
        self.outbox.held_bytes -= self.side_cap
        self.side_len = self.side_cap = 0
        return 0

    # --- being answered -------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reply(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        slot: SlotP
        if self.dead:
            return 0
        slot = self.slots + (seq & (self.cap - 1))
        if seq != self.head:
            return self.keep(slot, p, n)
        if not slot.silent:
            self.append(p, n)
        self.head = seq + 1
        if self.stored > 0 and self.slots[self.head & (self.cap - 1)].n >= 0:
            self.advance()
        return self.touch()

    @cython.cfunc
    @cython.exceptval(check=False)
    def streams(self, seq: uint64_t) -> cython.bint:
        """Yes while the client is gone, too: the bytes are dropped as they come."""
        return self.dead or seq == self.head

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def piece(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        if self.dead:
            return 0
        if not self.slots[seq & (self.cap - 1)].silent:
            self.append(p, n)
        return self.touch()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def broken(self, seq: uint64_t) -> cython.bint:
        """Half a reply is out: only the connection's end can tell the client."""
        if not self.dead:
            self.transport.close("an engine died in the middle of a reply")
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def takes(self, seq: uint64_t, source: Transport) -> cython.bint:
        if self.dead or (seq == self.head and self.transport.out_len + self.out_len <= _UNSENT_MAX):
            return True
        if self.sources is None:
            self.sources = []
        self.sources.append((seq, source))
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def resume_sources(self) -> cython.int:
        """Have the links read whose turn it is."""
        sources: list = self.sources
        if not self.dead and self.transport.out_len > _UNSENT_LOW:
            return 0
        self.sources = None
        for seq, source in sources or ():
            if self.dead or seq <= self.head:
                source.resume_reading()
            elif self.sources is None:
                self.sources = [(seq, source)]
            else:
                self.sources.append((seq, source))
        return 0

    @cython.cfunc
    def asker(self) -> object:
        """The client on whose behalf; None where there is none (any more)."""
        return self.transport.protocol if self.transport is not None else None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def detour(self) -> cython.int:
        self.alone = True
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, slot: SlotP, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Store a reply whose turn has not come; MemoryError."""
        grown: cython.p_void
        cap: cython.Py_ssize_t
        if slot.silent:
            n = 0
        if self.side_len + n > self.side_cap:
            cap = max(max(self.side_len + n, 2 * self.side_cap), 1024)
            grown = realloc(self.side, cap)
            if grown == cython.NULL:
                raise MemoryError
            self.side = cython.cast(bytep, grown)
            self.outbox.held_bytes += cap - self.side_cap
            self.side_cap = cap
        if n > 0:
            memcpy(self.side + self.side_len, p, n)
        slot.at = self.side_len
        slot.n = n
        self.side_len += n
        self.stored += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def advance(self) -> cython.int:
        """Take the stored replies whose turn has come."""
        slot: SlotP
        while self.head < self.tail:
            slot = self.slots + (self.head & (self.cap - 1))
            if slot.n < 0:
                break
            if slot.n > 0:
                self.append(self.side + slot.at, slot.n)
            slot.n = -1
            self.stored -= 1
            self.head += 1
        if self.stored == 0:
            self.side_len = 0
            if self.side_cap > _SIDE_KEPT or self.head == self.tail:
                self.free_side()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def grow(self) -> cython.int:
        """Double the ring; MemoryError."""
        cap: uint32_t = 2 * self.cap if self.cap > 0 else _SLOTS_FIRST
        seq: uint64_t = self.head
        slots: SlotP = cython.cast(SlotP, calloc(cap, cython.sizeof(Slot)))
        if slots == cython.NULL:
            raise MemoryError
        while seq < self.tail:
            slots[seq & (cap - 1)] = self.slots[seq & (self.cap - 1)]
            seq += 1
        slots[seq & (cap - 1)].n = -1
        free(self.slots)
        self.slots = slots
        self.cap = cap
        return 0

    # --- sending --------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Add bytes to what the client gets; MemoryError."""
        if self.out_len + n > _OUT_BYTES:
            self.send()
            if n > _OUT_BYTES // 2:
                return self.transport.write(p, n)
        if self.out == cython.NULL:
            self.out = self.outbox.take()
            if self.out == cython.NULL:
                raise MemoryError
        memcpy(self.out + self.out_len, p, n)
        self.out_len += n
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send(self) -> cython.int:
        """Hand what has come together to the transport."""
        n: cython.Py_ssize_t = self.out_len
        self.out_len = 0
        if n > 0:
            self.transport.write(self.out, n)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def release_out(self) -> cython.int:
        if self.out != cython.NULL:
            self.outbox.give(self.out)
            self.out = cython.NULL
        self.out_len = 0
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def touch(self) -> cython.int:
        """Have `flush` called when the wake-up ends."""
        if not self.is_dirty:
            self.is_dirty = True
            self.outbox.dirty.append(self)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self) -> cython.int:
        """The end of a wake-up: send, and go on with whatever waited for that."""
        if self.dead:
            return 0
        if self.out_len > 0:
            self.send()
        self.release_out()
        if self.head == self.tail and self.cap > _SLOTS_KEPT:
            free(self.slots)
            self.slots = cython.NULL
            self.cap = 0
        if self.transport.out_len > 0 and self.outbox.on_slow is not None:
            self.outbox.on_slow(self.transport.protocol)
        return self.settle()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def settle(self) -> cython.int:
        """Close, or read again, where that was waited for. Also called when the transport's queue is empty."""
        if self.dead:
            return 0
        if self.sources is not None:
            self.resume_sources()
        if self.closing:
            if self.head == self.tail:
                self.transport.close_after_flush()
            return 0
        if self.waiting and self.tail - self.head <= self.low and self.transport.out_len <= _UNSENT_MAX:
            self.waiting = False
            self.transport.resume_reading()
        return 0
