"""One connection to one engine: many clients' commands, pipelined, and their replies.

Owns: what is in flight on the connection, what happens to it when the connection ends, and when a reply is passed on,
held up, or makes the link step aside. Does not own which engine or lane a command goes to (router, session), how many
links an engine has (backend), or what a reply means to whoever waits for it (a Receiver: replies, merge).

    ring     the commands in flight, in the order sent            head .. tail
    buf      their bytes, kept until each is answered, since an engine may redirect it

             start              written              end
      buf  ----|--------------------|------------------|----
       answered   handed to the      collected in this
       (free)     transport          wake-up: one write by Backends.flush

SELECT goes before a command whose database is not the connection's, and CLIENT NO-TOUCH before one whose client has it
otherwise than the connection (DB_NO_TOUCH in `db`); their replies are swallowed (an entry without owner).
Replies come in order, so the next one is always `head`'s. Where a reply is large, not whole yet, and its receiver is
ready for it, it is passed on in pieces.

A link has one of four roles:

    lane      new commands go over it. A large reply makes it private, and another link takes the lane.
    private   finishes what it has. Where all of that is one client's, the link is not read while the client does not
              take what it was sent, or waits for another engine's reply first: then the engine holds the bytes, not we.
              While others' replies stand behind, it is read, and the slow client's bytes collect as in Redis.
    idle      nobody's: the next lane's, or the next borrower's.
    lent      one Task's: its commands are the only ones, and it does not connect again, since what the Task had set up
              on the connection is gone with it.

When a link is lost, its commands are of two kinds, told apart by how many bytes the kernel took:

- taken as a whole: perhaps executed. Never sent again; the owner gets errors.engine_lost.
- not taken as a whole: certainly not executed. They stay in `buf` for the next connection, for proxy-retry-ms, and so
  do new ones; then the owner gets errors.engine_unreachable. A link connects again with a growing pause.

A batch is several commands in one entry, answered by the reply to its last one: MULTI ... EXEC. All of it is sent, lost
or kept as one; what was not taken as a whole lacks its EXEC, so nothing of it was executed, and it may be sent anew.

A -MOVED or -ASK is never passed on: the command goes once to the engine that it names, or to the owner by our own
topology. Where that redirects again, or does not exist, the owner gets CLUSTERDOWN.

Invariants: 0 <= start <= written <= end <= buf_cap. The bytes of ring[head..tail) are buf[start..end) in order.
`greeting` replies of the handshake come before any of the ring's. Where the state is not LINK_UP, written == start.
Nothing is sent over a private or an idle link, but what a lost one had not sent.
"""
import errno
import os
import socket

import cython
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.ref import Py_DECREF, Py_INCREF
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, realloc
from cython.cimports.libc.string import memcmp, memcpy, memmove, memset
from cython.cimports.proxy.latency import Trace
from cython.cimports.proxy.link import (
    DB_NO_TOUCH, LANE_CONTROL, LANE_LONG, LANE_SHARED, LINK_CONNECTING, LINK_DOWN, LINK_UP, ROLE_IDLE, ROLE_LANE,
    ROLE_LENT, ROLE_PRIVATE, TRIES_NONE, Pending, PendingP)
from cython.cimports.proxy.replies import Receiver, ReplyQueue
from cython.cimports.shardd.base.clock import monotonic_ms
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.transport import Protocol
from cython.cimports.shardd.wire.scan import ScanState, scan_reply

from shardd.base import errors, limits
from shardd.cluster.topology import EngineInfo
from shardd.wire.plain import encode_command

LANE_NAMES = {LANE_SHARED: "shared", LANE_LONG: "long", LANE_CONTROL: "control"}
"""The lanes by name, for tests and people."""

PyObjectP = cython.typedef(cython.pointer(PyObject))

_KEPT = cython.declare(cython.Py_ssize_t, limits.PROXY_LINK_BYTES_KEPT)
_HELD_MAX = cython.declare(cython.Py_ssize_t, limits.PROXY_HELD_BYTES_MAX)
_BYTES_MAX = cython.declare(cython.Py_ssize_t, limits.PROXY_LINK_BYTES_MAX)
_STREAM_MIN = cython.declare(cython.Py_ssize_t, limits.PROXY_STREAM_BYTES_MIN)
_LARGE_MIN = cython.declare(cython.Py_ssize_t, limits.PROXY_LARGE_REPLY_BYTES_MIN)
_ELEMENT_MIN = cython.declare(cython.Py_ssize_t, 3)         # the shortest element of a reply: "_\r\n"
_BUF_FIRST = cython.declare(cython.Py_ssize_t, 512)        # of a link that is lent it is all it ever needs
_RING_FIRST = cython.declare(uint32_t, 8)
_BACKOFF_MIN_MS = cython.declare(cython.int, limits.PROXY_RECONNECT_MIN_MS)
_BACKOFF_MAX_MS = cython.declare(cython.int, limits.PROXY_RECONNECT_MAX_MS)
_DASH = cython.declare(cython.int, 45)
_PUSH = cython.declare(cython.int, 62)
_NEVER = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)       # a place that no ring reaches


@cython.cclass
class Switch:
    """What all links of a process share."""

    @cython.cfunc
    def at_port(self, port: cython.int) -> Upstream:
        """The engine that clients reach at this TCP port, or None."""
        raise NotImplementedError

    @cython.cfunc
    def owner_of(self, slot: cython.int) -> Upstream:
        """The engine that serves a slot by our topology, or None."""
        raise NotImplementedError


@cython.cclass
class Upstream:
    """What a link sees of its engine."""

    @cython.cfunc
    def at(self, lane: cython.int, resp: cython.int) -> Link:
        """The link of a lane."""
        raise NotImplementedError

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def rotate(self, link: Link) -> cython.bint:
        """Another link takes the lane of this one, which becomes private. No: there are too many."""
        raise NotImplementedError

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def park(self, link: Link) -> cython.int:
        """A private link has nothing left to do."""
        raise NotImplementedError

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def forget(self, link: Link) -> cython.int:
        """A link that is no lane's has ended."""
        raise NotImplementedError


@cython.final
@cython.cclass
class Link(Protocol):
    """See the head of the module. resp: 2 or 3; lane: one of Lane. Made by backend.Engine."""

    def __cinit__(self, engine: Upstream, resp: cython.int, lane: cython.int) -> None:
        self.engine = engine
        self.resp = resp
        self.lane = lane
        self.backoff_ms = _BACKOFF_MIN_MS
        self.traced = _NEVER
        memset(cython.address(self.scan), 0, cython.sizeof(ScanState))

    def __dealloc__(self) -> None:
        owner: PyObjectP
        while self.head < self.tail:
            owner = self.ring[self.head & (self.cap - 1)].owner
            self.head += 1
            if owner != cython.NULL:
                Py_DECREF(cython.cast(object, owner))
        free(self.ring)
        free(self.buf)

    @property
    def in_flight(self) -> int:
        """Commands that were sent or wait to be."""
        return self.tail - self.head

    @property
    def lane_name(self) -> str:
        """The lane that it has, or had last."""
        return LANE_NAMES[self.lane]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_role(self, role: cython.int, lane: cython.int) -> cython.int:
        """Be something else from now on. Whoever has commands in flight here is told, before new ones go elsewhere."""
        at: uint64_t = self.head
        entry: PendingP
        self.role = role
        self.lane = lane
        if role == ROLE_PRIVATE:
            self.find_one()
            while at < self.tail:
                entry = self.ring + (at & (self.cap - 1))
                if entry.owner != cython.NULL:
                    cython.cast(Receiver, entry.owner).detour()
                at += 1
        return 0

    # --- commands out ---------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send(self, owner: Receiver, seq: uint64_t, raw: bytep, n: cython.Py_ssize_t, db: cython.int,
             tries: cython.int) -> cython.int:
        """Send a request, n bytes of RESP at raw, in database db; owner.reply(seq, ...) follows, never before this
        returns except where the request cannot even wait. MemoryError.
        """
        text: bytes
        if self.state != LINK_UP:
            if self.state == LINK_DOWN and not self.broken and monotonic_ms() >= self.retry_at_ms:
                self.connect()
            if self.head == self.tail:
                self.held_since_ms = monotonic_ms()
            if self.engine.removed or self.broken or self.end - self.start > _HELD_MAX:
                text = b"-%b\r\n" % errors.engine_unreachable(self.engine.index)
                return owner.reply(seq, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))
        elif self.end - self.start > _BYTES_MAX:
            text = b"-%b\r\n" % errors.engine_overloaded(self.engine.index)
            return owner.reply(seq, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))
        if db != self.db:
            self.select(db)
        return self.push(cython.cast(PyObjectP, owner), seq, raw, n, db, tries)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_batch(self, owner: Receiver, seq: uint64_t, raw: bytep, n: cython.Py_ssize_t, db: cython.int,
                   early: cython.int) -> cython.int:
        """`send` for several commands in one piece: owner.early gets the first `early` replies, owner.reply the last.
        None of them is redirected."""
        entry: PendingP
        before: uint64_t = self.tail
        self.send(owner, seq, raw, n, db, TRIES_NONE)
        if self.tail > before:      # it was not refused
            entry = self.ring + ((self.tail - 1) & (self.cap - 1))
            entry.early = entry.due = early
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push(self, owner: PyObjectP, seq: uint64_t, raw: bytep, n: cython.Py_ssize_t, db: cython.int,
             tries: cython.int) -> cython.int:
        """Append a request to `buf` and `ring`; MemoryError."""
        entry: PendingP
        if self.end + n > self.buf_cap:
            self.room(n)
        if self.tail - self.head == self.cap:
            self.grow()
        memcpy(self.buf + self.end, raw, n)
        self.end += n
        entry = self.ring + (self.tail & (self.cap - 1))
        entry.owner = owner
        entry.seq = seq
        entry.raw_n = n
        entry.db = db
        entry.tries = tries
        entry.early = entry.due = 0
        self.tail += 1
        if owner != cython.NULL:
            Py_INCREF(cython.cast(object, owner))
        if not self.is_dirty and self.state == LINK_UP:
            self.is_dirty = True
            self.engine.switch.dirty.append(self)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def select(self, db: cython.int) -> cython.int:
        """Change the connection's database, and whether its commands touch keys; the replies are swallowed."""
        request: bytes
        changed: cython.int = self.db ^ db
        self.db = db
        if changed & DB_NO_TOUCH:
            request = encode_command(b"CLIENT", b"NO-TOUCH", b"ON" if db & DB_NO_TOUCH else b"OFF")
            self.push(cython.NULL, 0, cython.cast(bytep, cython.cast(cython.p_char, request)), len(request), db, 0)
        if changed & ~DB_NO_TOUCH:
            request = encode_command(b"SELECT", db & ~DB_NO_TOUCH)
            self.push(cython.NULL, 0, cython.cast(bytep, cython.cast(cython.p_char, request)), len(request), db, 0)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def room(self, n: cython.Py_ssize_t) -> cython.int:
        """Make sure that n more bytes fit into `buf`; MemoryError."""
        grown: cython.p_void
        cap: cython.Py_ssize_t
        held: cython.Py_ssize_t = self.end - self.start
        if self.start > 0 and self.start >= held:       # moving costs no more than sending did
            memmove(self.buf, self.buf + self.start, held)
            self.written -= self.start
            self.start = 0
            self.end = held
        if self.end + n > self.buf_cap:
            cap = max(max(self.end + n, 2 * self.buf_cap), _BUF_FIRST)
            grown = realloc(self.buf, cap)
            if grown == cython.NULL:
                raise MemoryError
            self.buf = cython.cast(bytep, grown)
            self.engine.switch.held_bytes += cap - self.buf_cap
            self.buf_cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def free_buf(self) -> cython.int:
        """Nothing is in `buf`, and it is not to be kept."""
        free(self.buf)
        self.buf = cython.NULL
        self.engine.switch.held_bytes -= self.buf_cap
        self.start = self.written = self.end = self.buf_cap = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def grow(self) -> cython.int:
        """Double the ring; MemoryError."""
        cap: uint32_t = 2 * self.cap if self.cap > 0 else _RING_FIRST
        at: uint64_t = self.head
        ring: PendingP = cython.cast(PendingP, calloc(cap, cython.sizeof(Pending)))
        if ring == cython.NULL:
            raise MemoryError
        while at < self.tail:
            ring[at & (cap - 1)] = self.ring[at & (self.cap - 1)]
            at += 1
        free(self.ring)
        self.ring = ring
        self.cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self) -> cython.int:
        """Hand what has come together to the transport, in one write."""
        n: cython.Py_ssize_t = self.end - self.written
        self.is_dirty = False
        if n > 0 and self.state == LINK_UP:
            self.written = self.end
            self.transport.write(self.buf + self.end - n, n)
            if self.traced != _NEVER:
                self.trace.written()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sample(self, queue: ReplyQueue, seq: uint64_t) -> cython.int:
        """Measure how long the command takes that was sent last, unless it has to wait for its engine."""
        entry: PendingP = self.ring + ((self.tail - 1) & (self.cap - 1))
        if self.state != LINK_UP or self.head == self.tail or entry.seq != seq or entry.owner != cython.cast(
                PyObjectP, queue):
            return 0
        if self.trace is None:
            self.trace = Trace(self.engine.switch.latency)
        self.traced = self.trace.add(self.tail - 1, self.engine.switch.reactor.turn_us)
        return 0

    # --- replies in -----------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def data(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        pos: cython.Py_ssize_t = 0
        used: cython.Py_ssize_t
        while pos < n:
            if self.role == ROLE_PRIVATE and self.must_wait():
                self.begun()
                return pos
            used = scan_reply(cython.address(self.scan), p + pos, n - pos)
            if used == 0:
                self.begun()
                if self.role == ROLE_LANE and self.is_large(n - pos) and self.engine.rotate(self) and self.must_wait():
                    return pos
                pos += self.pass_on(p + pos, n - pos)
                if self.scan.pos > n - pos >= _STREAM_MIN:
                    self.transport.in_want = self.scan.pos + 2
                return pos
            if used < 0:
                self.transport.close("not a reply")
                return n
            if self.greeting > 0:
                self.greeted(p + pos, used)
            elif self.passed > 0 or p[pos] != _PUSH:
                self.deliver(p + pos, used)
                if self.transport is None or self.transport.closing:
                    return n
            else:
                self.pushed(p + pos, used)
            pos += used
        return n

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def begun(self) -> cython.int:
        """A reply has come of which not all can be handed on yet."""
        if self.head == self.traced:
            self.trace.begun(self.engine.switch.reactor.turn_us)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_large(self, n: cython.Py_ssize_t) -> cython.bint:
        """Whether the reply of which n bytes are here, and not the end, would be long in others' way."""
        if self.greeting > 0 or self.head == self.tail or self.ring[self.head & (self.cap - 1)].owner == cython.NULL:
            return False
        return (self.scan.pos - n >= _LARGE_MIN or self.passed + n >= _LARGE_MIN
                or self.scan.pending >= _LARGE_MIN // _ELEMENT_MIN)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def find_one(self) -> cython.int:
        """Set `one_from`. What was redirected here counts as another's: it may stand behind what its client is to get
        after it, and waiting for that would be waiting for ever."""
        entry: PendingP
        owner: PyObjectP = cython.NULL
        at: uint64_t = self.tail
        while at > self.head:
            entry = self.ring + ((at - 1) & (self.cap - 1))
            if 0 < entry.tries < TRIES_NONE:
                break
            if entry.owner != cython.NULL:
                if owner == cython.NULL:
                    owner = entry.owner
                elif owner != entry.owner:
                    break
            at -= 1
        self.one_from = at
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def must_wait(self) -> cython.bint:
        """Whether the next bytes are nobody's but a client's that does not want them yet; reading is paused then, and
        the client resumes it."""
        entry: PendingP
        if self.head == self.tail or self.head < self.one_from:
            return False
        entry = self.ring + (self.head & (self.cap - 1))
        if entry.owner == cython.NULL or cython.cast(Receiver, entry.owner).takes(entry.seq, self.transport):
            return False
        self.transport.pause_reading()
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_on(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Give the receiver what is here of a large reply that is not whole; returns how many bytes that was."""
        entry: PendingP
        owner: Receiver
        if self.passed == 0:
            if n < _STREAM_MIN or self.greeting > 0 or self.head == self.tail or p[0] == _DASH or p[0] == _PUSH:
                return 0
            entry = self.ring + (self.head & (self.cap - 1))
            if entry.owner == cython.NULL or entry.due > 0:
                return 0
            owner = cython.cast(Receiver, entry.owner)
            if not owner.streams(entry.seq):
                return 0
        n = min(n, self.scan.pos)       # behind it is the beginning of a line, which must be seen as a whole
        if n > 0:
            entry = self.ring + (self.head & (self.cap - 1))
            owner = cython.cast(Receiver, entry.owner)
            self.passed += n
            self.scan.pos -= n
            owner.piece(entry.seq, p, n)
        return n

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pushed(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """An engine says that the command whose reply comes next is in its slow log."""
        owner: PyObjectP
        words: list = cython.cast(bytes, cython.cast(cython.p_char, p)[:n]).split(b"\r\n")
        if self.head == self.tail or self.engine.switch.on_slow is None or len(words) != 6 or words[2] != b"slow":
            return 0
        owner = self.ring[self.head & (self.cap - 1)].owner
        if owner != cython.NULL:
            self.engine.switch.on_slow(words[4], cython.cast(Receiver, owner).asker())
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def deliver(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Hand a whole reply, or the end of one that came in pieces, to whoever waits first."""
        entry: PendingP
        owner: Receiver
        kept: PyObjectP
        seq: uint64_t
        if self.head == self.tail:
            return self.transport.close("a reply that nobody asked for")
        entry = self.ring + (self.head & (self.cap - 1))
        kept = entry.owner
        if kept == cython.NULL:
            if p[0] == _DASH:           # what follows would run in a wrong database
                return self.transport.close("SELECT or CLIENT NO-TOUCH was refused")
            return self.pop()
        if entry.due > 0:
            entry.due -= 1
            return cython.cast(Receiver, kept).early(entry.seq, p, n)
        if self.passed > 0:
            self.passed = 0
        elif p[0] == _DASH and n > 7 and entry.tries != TRIES_NONE and (
                memcmp(p, b"-MOVED ", 7) == 0 or memcmp(p, b"-ASK ", 5) == 0):
            if self.redirect(entry, p, n):
                self.pop()
                Py_DECREF(cython.cast(object, kept))
                return 0
            answer: bytes = b"-%b\r\n" % errors.CLUSTERDOWN_SLOT
            p = cython.cast(bytep, cython.cast(cython.p_char, answer))
            n = len(answer)
        owner = cython.cast(Receiver, kept)
        seq = entry.seq
        if self.head == self.traced:
            self.trace.answered(cython.cast(ReplyQueue, owner), seq, self.engine.switch.reactor.turn_us)
        self.pop()
        Py_DECREF(cython.cast(object, kept))    # `owner` holds it
        return owner.reply(seq, p, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pop(self) -> cython.int:
        """The first command is answered; its owner is the caller's to let go."""
        n: cython.Py_ssize_t = self.ring[self.head & (self.cap - 1)].raw_n
        if self.head == self.traced:
            self.traced = self.trace.pop()
        self.head += 1
        self.start += n
        self.acked += n
        if self.start == self.end:
            self.start = self.written = self.end = 0
            if self.buf_cap > _KEPT:
                self.free_buf()
            if self.head == self.tail:
                if self.retired and self.transport is not None:
                    return self.transport.close(None)
                if self.role == ROLE_PRIVATE:
                    return self.engine.park(self)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def redirect(self, entry: PendingP, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Send the first command on to where a MOVED or an ASK points; 0 where it cannot go on."""
        switch: Switch = self.engine.switch
        words: list = cython.cast(bytes, cython.cast(cython.p_char, p)[1:n - 2]).split(b" ")
        target: Upstream = None
        link: Link
        asking: bytes = b"*1\r\n$6\r\nASKING\r\n"
        switch.redirected += 1
        if switch.on_moved is not None:
            switch.on_moved()
        if entry.tries > 0 or len(words) != 3 or self.role == ROLE_LENT:
            return 0
        slot, _, port = words[1], None, words[2].rpartition(b":")[2]
        if port.isdigit():
            target = switch.at_port(int(port))
        if target is None and words[0] == b"MOVED" and slot.isdigit():
            target = switch.owner_of(int(slot))
        if target is None or target is self.engine:
            return 0
        link = target.at(self.lane, self.resp)
        if words[0] == b"ASK":
            if entry.db != link.db:
                link.select(entry.db)
            link.push(cython.NULL, 0, cython.cast(bytep, cython.cast(cython.p_char, asking)), len(asking), entry.db, 0)
        link.send(cython.cast(Receiver, entry.owner), entry.seq, self.buf + self.start, entry.raw_n, entry.db, 1)
        return 1

    # --- the connection -------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def connect(self) -> cython.int:
        """Begin to connect; where that fails at once, a later try is scheduled."""
        if self.engine.silent:
            return 0
        self.state = LINK_CONNECTING
        try:
            sock, under_way = _dial(self.engine.info)
        except OSError:
            self.state = LINK_DOWN
            return self.later()
        try:
            self.engine.switch.reactor.attach(sock, self, under_way)
        except OSError:
            self.state = LINK_DOWN
            return self.later()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def later(self) -> cython.int:
        """Try again after a pause, which doubles each time."""
        self.retry_at_ms = monotonic_ms() + self.backoff_ms
        self.set_timer(self.backoff_ms)
        self.backoff_ms = min(2 * self.backoff_ms, _BACKOFF_MAX_MS)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_timer(self, delay_ms: int64_t) -> cython.int:
        """Have on_timer called, once; there is one timer per link."""
        if not self.timer_set and self.engine.switch.schedule is not None:
            self.timer_set = True
            self.engine.switch.schedule(delay_ms, self.on_timer)
        return 0

    def on_timer(self) -> None:
        """The pause is over, or was when the timer was set. Links that nobody waits for connect too, so that the next
        command finds them up."""
        left_ms: int64_t = self.retry_at_ms - monotonic_ms()
        self.timer_set = False
        if self.state != LINK_DOWN or self.engine.removed or self.retired:
            return
        if left_ms > 0:
            self.set_timer(left_ms)
        else:
            self.connect()

    def retry_now(self) -> None:
        """There is reason to believe that the engine is there: no pause."""
        self.backoff_ms = _BACKOFF_MIN_MS
        self.retry_at_ms = 0
        if self.state == LINK_DOWN and not self.engine.removed:
            self.connect()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def made(self) -> cython.int:
        """The connection stands: say who we are, then send what has waited."""
        words: list = [encode_command(b"SHARDD", b"PROXY")]
        password: str = self.engine.switch.password
        if self.resp == 3:
            words.insert(0, encode_command(b"HELLO", b"3"))
        if password:
            words.insert(0, encode_command(b"AUTH", password.encode("utf-8", "surrogateescape")))
        hello: bytes = b"".join(words)
        self.state = LINK_UP
        self.greeting = len(words)
        self.greeting_bytes = len(hello)
        self.acked = 0
        self.written = self.start
        self.transport.write(cython.cast(bytep, cython.cast(cython.p_char, hello)), len(hello))
        return self.flush()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def greeted(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """A reply of the handshake. A plain Redis does not know SHARDD, and then checks slots for itself."""
        self.greeting -= 1
        if self.greeting == 0:
            self.backoff_ms = _BACKOFF_MIN_MS
        elif p[0] == _DASH and self.engine.switch.on_warning is not None:
            text: bytes = cython.cast(cython.p_char, p)[1:n - 2]
            self.engine.switch.on_warning(
                f"Engine {self.engine.index} refused the proxy's handshake: {text.decode('utf-8', 'replace')}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lost(self, reason: object) -> cython.int:
        """The connection is over: errors for what may have been executed, another chance for what was not sent."""
        taken: int64_t = 0
        now_ms: int64_t = monotonic_ms()
        in_pieces: cython.bint = self.passed > 0
        if self.state == LINK_UP:
            self.broken = self.role == ROLE_LENT
            taken = cython.cast(int64_t, self.transport.bytes_out - self.greeting_bytes - self.acked)
            self.held_since_ms = now_ms
        self.state = LINK_DOWN
        self.transport = None
        self.greeting = 0
        self.number = 0
        self.passed = 0
        memset(cython.address(self.scan), 0, cython.sizeof(ScanState))
        if not (self.engine.removed or self.retired or self.broken or self.role == ROLE_IDLE):
            self.later()
        self.requeue(taken, in_pieces)
        if self.engine.removed or self.retired or self.broken:
            self.fail_held()
        if self.role == ROLE_PRIVATE:
            self.find_one()
        if self.broken or self.role == ROLE_IDLE or (self.role == ROLE_PRIVATE and self.head == self.tail):
            self.engine.forget(self)
        return 0

    def requeue(self, taken: int, in_pieces: bool) -> None:
        """After a loss: the commands within the first `taken` bytes fail, the others are queued anew."""
        entry: PendingP
        again: PendingP
        raw: bytep
        owner: Receiver
        bytes_taken: int64_t = taken
        ring: PendingP = self.ring
        buf: bytep = self.buf
        cap: uint32_t = self.cap
        at: uint64_t = self.head
        end: uint64_t = self.tail
        failed: list = []
        raw = buf + self.start if buf != cython.NULL else cython.cast(bytep, cython.NULL)
        self.ring = cython.NULL
        self.buf = cython.NULL
        self.cap = 0
        self.head = self.tail = 0
        self.engine.switch.held_bytes -= self.buf_cap
        self.start = self.written = self.end = self.buf_cap = 0
        self.db = 0
        self.untrace()
        while at < end:
            entry = ring + (at & (cap - 1))
            bytes_taken -= entry.raw_n
            if entry.owner != cython.NULL:
                owner = cython.cast(Receiver, entry.owner)
                if bytes_taken >= 0:
                    failed.append((owner, entry.seq))
                else:
                    if entry.db != self.db:
                        self.select(entry.db)
                    self.push(entry.owner, entry.seq, raw, entry.raw_n, entry.db, entry.tries)
                    again = self.ring + ((self.tail - 1) & (self.cap - 1))
                    again.early = again.due = entry.early
                Py_DECREF(owner)
            raw += entry.raw_n
            at += 1
        free(ring)
        free(buf)
        text: bytes = b"-%b\r\n" % errors.engine_lost(self.engine.index)
        self.engine.switch.lost_replies += len(failed)
        for owner, seq in failed:
            if not in_pieces or owner.broken(seq):
                owner.reply(seq, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))
            in_pieces = False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail_held(self) -> cython.int:
        """Nothing that waits here will be sent: tell the owners."""
        owner: Receiver
        entry: PendingP
        waiting: list = []
        text: bytes = b"-%b\r\n" % errors.engine_unreachable(self.engine.index)
        while self.head < self.tail:
            entry = self.ring + (self.head & (self.cap - 1))
            if entry.owner != cython.NULL:
                owner = cython.cast(Receiver, entry.owner)
                waiting.append((owner, entry.seq))
                Py_DECREF(owner)
            self.head += 1
        self.free_buf()         # the link may be gone with this, and then nobody else would take it off the account
        self.db = 0
        self.untrace()
        for owner, seq in waiting:
            owner.reply(seq, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def untrace(self) -> cython.int:
        """Nothing that was sampled comes to its end here."""
        if self.trace is not None:
            self.traced = self.trace.clear()
        return 0

    def check(self, now_ms: int) -> None:
        """Cron: what has waited for the engine too long is refused."""
        if self.state != LINK_UP and self.head < self.tail \
                and now_ms - self.held_since_ms >= self.engine.switch.retry_ms:
            self.fail_held()
            if self.role == ROLE_PRIVATE:
                self.engine.forget(self)

    def cut(self) -> None:
        """The engine hangs: end the connection, if there is one."""
        if self.transport is not None:
            self.transport.close("the engine does not answer")

    def stop(self) -> None:
        """The link is not needed any more: close when all that is in flight is answered."""
        self.retired = True
        if self.state == LINK_UP and self.head < self.tail:
            return
        if self.transport is not None:
            self.transport.close(None)
        else:
            self.fail_held()


def _dial(info: EngineInfo) -> tuple[socket.socket, bool]:
    """A socket to an engine, and whether its connect() is still under way. Raises OSError."""
    if info.unixsocket:
        sock, where = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), info.unixsocket
    elif ":" in info.host:
        sock, where = socket.socket(socket.AF_INET6, socket.SOCK_STREAM), (info.host, info.port)
    else:
        sock, where = socket.socket(socket.AF_INET, socket.SOCK_STREAM), (info.host or "127.0.0.1", info.port)
    sock.setblocking(False)
    code = sock.connect_ex(where)
    if code in (0, errno.EINPROGRESS):
        return sock, code != 0
    sock.close()
    raise OSError(code, os.strerror(code))


