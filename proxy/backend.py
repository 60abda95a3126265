"""The links to the engines: many clients' commands over few pipelined connections.

Owns: connections to engines, what is in flight on each, what happens to it when an engine dies. Does not own which
engine a command goes to (router), or what a reply means to whoever waits for it (a Receiver: replies, merge).

An Engine has one Link per version of the protocol, since a reply's form is the connection's: RESP2 clients share one
link, RESP3 clients the other. A client's commands to one engine thus take effect in its order.

    ring     the commands in flight, in the order sent            head .. tail
    buf      their bytes, kept until each is answered, since an engine may redirect it

             start              written              end
      buf  ----|--------------------|------------------|----
       answered   handed to the      collected in this
       (free)     transport          wake-up: one write by Backends.flush

SELECT goes before a command whose database is not the connection's; its reply is swallowed (an entry without owner).
Replies come in order, so the next one is always `head`'s. Where a reply is large, not whole yet, and its receiver is
ready for it, it is passed on in pieces.

When a link is lost, its commands are of two kinds, told apart by how many bytes the kernel took:

- taken as a whole: perhaps executed. Never sent again; the owner gets errors.engine_lost.
- not taken as a whole: certainly not executed. They stay in `buf` for the next connection, for limits.PROXY_RETRY_MS,
  and so do new ones; then the owner gets errors.engine_unreachable. A link connects again with a growing pause.

A -MOVED or -ASK is never passed on: the command goes once to the engine that it names, or to the owner by our own
topology. Where that redirects again, or does not exist, the owner gets CLUSTERDOWN.

Invariants: 0 <= start <= written <= end <= buf_cap. The bytes of ring[head..tail) are buf[start..end) in order.
`greeting` replies of the handshake come before any of the ring's. Where the state is not LINK_UP, written == start.
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
from cython.cimports.proxy.backend import LINK_CONNECTING, LINK_DOWN, LINK_UP, Pending, PendingP
from cython.cimports.proxy.replies import Outbox, Receiver
from cython.cimports.shardd.base.clock import monotonic_ms
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.reactor import Reactor
from cython.cimports.shardd.net.transport import Protocol
from cython.cimports.shardd.wire.scan import ScanState, scan_reply

from shardd.base import errors, limits
from shardd.cluster.topology import UP, EngineInfo, Topology
from shardd.wire.plain import encode_command

PyObjectP = cython.typedef(cython.pointer(PyObject))

_KEPT = cython.declare(cython.Py_ssize_t, limits.PROXY_LINK_BYTES_KEPT)
_HELD_MAX = cython.declare(cython.Py_ssize_t, limits.PROXY_HELD_BYTES_MAX)
_BYTES_MAX = cython.declare(cython.Py_ssize_t, limits.PROXY_LINK_BYTES_MAX)
_STREAM_MIN = cython.declare(cython.Py_ssize_t, limits.PROXY_STREAM_BYTES_MIN)
_RETRY_MS = cython.declare(int64_t, limits.PROXY_RETRY_MS)
_BACKOFF_MIN_MS = cython.declare(cython.int, limits.PROXY_RECONNECT_MIN_MS)
_BACKOFF_MAX_MS = cython.declare(cython.int, limits.PROXY_RECONNECT_MAX_MS)
SLOTS = cython.declare(cython.int, limits.SLOTS)
_DASH = cython.declare(cython.int, 45)
_PUSH = cython.declare(cython.int, 62)


@cython.final
@cython.cclass
class Link(Protocol):
    """See the head of the module. resp: 2 or 3. Made by Engine."""

    def __cinit__(self, engine: Engine, resp: cython.int) -> None:
        self.engine = engine
        self.resp = resp
        self.backoff_ms = _BACKOFF_MIN_MS
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
            if self.state == LINK_DOWN and monotonic_ms() >= self.retry_at_ms:
                self.connect()
            if self.head == self.tail:
                self.held_since_ms = monotonic_ms()
            if self.engine.removed or self.end - self.start > _HELD_MAX:
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
    def push(self, owner: PyObjectP, seq: uint64_t, raw: bytep, n: cython.Py_ssize_t, db: cython.int,
             tries: cython.int) -> cython.int:
        """Append a request to `buf` and `ring`; MemoryError."""
        entry: PendingP
        backends: Backends
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
        self.tail += 1
        if owner != cython.NULL:
            Py_INCREF(cython.cast(object, owner))
        if not self.is_dirty and self.state == LINK_UP:
            self.is_dirty = True
            backends = self.engine.backends
            backends.dirty.append(self)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def select(self, db: cython.int) -> cython.int:
        """Change the connection's database; the reply is swallowed."""
        request: bytes = encode_command(b"SELECT", db)
        self.db = db
        return self.push(cython.NULL, 0, cython.cast(bytep, cython.cast(cython.p_char, request)), len(request), db, 0)

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
            cap = max(max(self.end + n, 2 * self.buf_cap), 16384)
            grown = realloc(self.buf, cap)
            if grown == cython.NULL:
                raise MemoryError
            self.buf = cython.cast(bytep, grown)
            self.buf_cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def grow(self) -> cython.int:
        """Double the ring; MemoryError."""
        cap: uint32_t = 2 * self.cap if self.cap > 0 else 256
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
        return 0

    # --- replies in -----------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def data(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        pos: cython.Py_ssize_t = 0
        used: cython.Py_ssize_t
        while pos < n:
            used = scan_reply(cython.address(self.scan), p + pos, n - pos)
            if used == 0:
                pos += self.pass_on(p + pos, n - pos)
                if self.scan.pos > n - pos >= _STREAM_MIN:
                    self.transport.in_want = self.scan.pos + 2
                return pos
            if used < 0:
                self.transport.close("not a reply")
                return n
            if self.greeting > 0:
                self.greeted(p + pos, used)
            elif self.streaming or p[pos] != _PUSH:     # nobody subscribes yet, so a push is nobody's
                self.deliver(p + pos, used)
                if self.transport is None or self.transport.closing:
                    return n
            pos += used
        return n

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_on(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Give the receiver what is here of a large reply that is not whole; returns how many bytes that was."""
        entry: PendingP
        owner: Receiver
        if not self.streaming:
            if n < _STREAM_MIN or self.greeting > 0 or self.head == self.tail or p[0] == _DASH or p[0] == _PUSH:
                return 0
            entry = self.ring + (self.head & (self.cap - 1))
            if entry.owner == cython.NULL:
                return 0
            owner = cython.cast(Receiver, entry.owner)
            if not owner.streams(entry.seq):
                return 0
        n = min(n, self.scan.pos)       # behind it is the beginning of a line, which must be seen as a whole
        if n > 0:
            entry = self.ring + (self.head & (self.cap - 1))
            owner = cython.cast(Receiver, entry.owner)
            self.streaming = True
            self.scan.pos -= n
            owner.piece(entry.seq, p, n)
        return n

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
                return self.transport.close("SELECT was refused")
            return self.pop()
        if self.streaming:
            self.streaming = False
        elif p[0] == _DASH and n > 7 and (memcmp(p, b"-MOVED ", 7) == 0 or memcmp(p, b"-ASK ", 5) == 0):
            if self.redirect(entry, p, n):
                self.pop()
                Py_DECREF(cython.cast(object, kept))
                return 0
            answer: bytes = b"-%b\r\n" % errors.CLUSTERDOWN_SLOT
            p = cython.cast(bytep, cython.cast(cython.p_char, answer))
            n = len(answer)
        owner = cython.cast(Receiver, kept)
        seq = entry.seq
        self.pop()
        Py_DECREF(cython.cast(object, kept))    # `owner` holds it
        return owner.reply(seq, p, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pop(self) -> cython.int:
        """The first command is answered; its owner is the caller's to let go."""
        n: cython.Py_ssize_t = self.ring[self.head & (self.cap - 1)].raw_n
        self.head += 1
        self.start += n
        self.acked += n
        if self.start == self.end:
            self.start = self.written = self.end = 0
            if self.buf_cap > _KEPT:
                free(self.buf)
                self.buf = cython.NULL
                self.buf_cap = 0
            if self.retired and self.head == self.tail and self.transport is not None:
                return self.transport.close(None)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def redirect(self, entry: PendingP, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Send the first command on to where a MOVED or an ASK points; 0 where it cannot go on."""
        backends: Backends = self.engine.backends
        words: list = cython.cast(bytes, cython.cast(cython.p_char, p)[1:n - 2]).split(b" ")
        target: Engine = None
        link: Link
        asking: bytes = b"*1\r\n$6\r\nASKING\r\n"
        backends.redirected += 1
        if backends.on_moved is not None:
            backends.on_moved()
        if entry.tries > 0 or len(words) != 3:
            return 0
        slot, _, port = words[1], None, words[2].rpartition(b":")[2]
        if port.isdigit():
            target = backends.at_port(int(port))
        if target is None and words[0] == b"MOVED" and slot.isdigit():
            target = backends.owner_of(int(slot))
        if target is None or target is self.engine:
            return 0
        link = target.resp3 if self.resp == 3 else target.resp2
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
            self.engine.backends.reactor.attach(sock, self, under_way)
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
        if not self.timer_set and self.engine.backends.schedule is not None:
            self.timer_set = True
            self.engine.backends.schedule(delay_ms, self.on_timer)
        return 0

    def on_timer(self) -> None:
        """The pause is over, or was when the timer was set. Links that nobody waits for connect too, so that the next
        command finds them up."""
        left_ms: int64_t = self.retry_at_ms - monotonic_ms()
        self.timer_set = False
        if self.state != LINK_DOWN or self.engine.removed:
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
        password: str = self.engine.backends.password
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
        elif p[0] == _DASH and self.engine.backends.on_warning is not None:
            text: bytes = cython.cast(cython.p_char, p)[1:n - 2]
            self.engine.backends.on_warning(
                f"Engine {self.engine.index} refused the proxy's handshake: {text.decode('utf-8', 'replace')}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lost(self, reason: object) -> cython.int:
        """The connection is over: errors for what may have been executed, another chance for what was not sent."""
        taken: int64_t = 0
        now_ms: int64_t = monotonic_ms()
        was_streaming: cython.bint = self.streaming
        if self.state == LINK_UP:
            taken = cython.cast(int64_t, self.transport.bytes_out - self.greeting_bytes - self.acked)
            self.held_since_ms = now_ms
        self.state = LINK_DOWN
        self.transport = None
        self.greeting = 0
        self.streaming = False
        memset(cython.address(self.scan), 0, cython.sizeof(ScanState))
        if not self.engine.removed:
            self.later()
        self.requeue(taken, was_streaming)
        if self.engine.removed:
            self.fail_held()
        return 0

    def requeue(self, taken: int, was_streaming: bool) -> None:
        """After a loss: the commands within the first `taken` bytes fail, the others are queued anew."""
        entry: PendingP
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
        self.start = self.written = self.end = self.buf_cap = 0
        self.db = 0
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
                Py_DECREF(owner)
            raw += entry.raw_n
            at += 1
        free(ring)
        free(buf)
        text: bytes = b"-%b\r\n" % errors.engine_lost(self.engine.index)
        self.engine.backends.lost_replies += len(failed)
        for owner, seq in failed:
            if was_streaming:
                was_streaming = False
                owner.broken(seq)
            else:
                owner.reply(seq, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))

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
        self.start = self.written = self.end = 0
        self.db = 0
        for owner, seq in waiting:
            owner.reply(seq, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))
        return 0

    def check(self, now_ms: int) -> None:
        """Cron: what has waited for the engine too long is refused."""
        if self.state != LINK_UP and self.head < self.tail and now_ms - self.held_since_ms >= _RETRY_MS:
            self.fail_held()

    def cut(self) -> None:
        """The engine hangs: end the connection, if there is one."""
        if self.transport is not None:
            self.transport.close("the engine does not answer")

    def stop(self) -> None:
        """The engine is gone from the topology: close when all that is in flight is answered."""
        self.retired = True
        if self.state == LINK_UP and self.head < self.tail:
            return
        if self.transport is not None:
            self.transport.close(None)
        else:
            self.fail_held()


@cython.final
@cython.cclass
class Engine:
    """One engine of the topology. index: as users count engines."""

    def __cinit__(self, backends: Backends, info: object) -> None:
        self.backends = backends
        self.info = info
        self.index = info.index
        self.resp2 = Link(self, 2)
        self.resp3 = Link(self, 3)

    def links(self) -> tuple[Link, Link]:
        return self.resp2, self.resp3

    @property
    def up(self) -> bool:
        """Whether a link stands; what it looks like from here, not from the supervisor."""
        return self.resp2.state == LINK_UP or self.resp3.state == LINK_UP

    def update(self, info: EngineInfo) -> None:
        """Its address may be another one, and the supervisor may have lost it, or have it back.

        An engine that hangs keeps its connections, so the supervisor's word ends them: their commands get an error, and
        no link connects before the word changes. An engine that was never up is not waited for: links just try.
        """
        was_up: cython.bint = self.info.state == UP
        self.info = info
        self.index = info.index
        if info.state == UP:
            if self.silent:
                self.silent = False
                for link in self.links():
                    if link is self.resp2 or link.in_flight:
                        link.retry_now()
        elif was_up:
            self.silent = True
            for link in self.links():
                link.cut()

    def remove(self) -> None:
        """It is no longer in the topology: its links finish what is in flight."""
        self.removed = True
        for link in self.links():
            link.stop()


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


@cython.final
@cython.cclass
class Backends:
    """The engines and the slot map.

    schedule(delay_ms, callback): of the event loop. on_warning(text): a line for the log. on_moved(): an engine knows a
    topology that we do not. password: `requirepass` of the engines.
    """

    def __cinit__(self, reactor: Reactor, outbox: Outbox) -> None:
        at: cython.int
        self.reactor = reactor
        self.outbox = outbox
        self.engines = []
        self.by_id = {}
        self.dirty = []
        self.password = ""
        for at in range(SLOTS):
            self.owners[at] = -1

    def install(self, topology: Topology) -> None:
        """Route by this topology from now on."""
        at: cython.int
        link: Link
        for engine_id in [known for known in self.by_id if topology.engine(known) is None]:
            self.by_id.pop(engine_id).remove()
        for info in topology.engines:
            engine = self.by_id.get(info.id)
            if engine is None:
                self.by_id[info.id] = Engine(self, info)
            else:
                engine.update(info)
        self.engines = [self.by_id[info.id] for info in topology.engines]
        owners = topology.owners
        for at in range(SLOTS):
            self.owners[at] = owners[at]
        for engine in self.engines:
            link = engine.resp2
            if link.state == LINK_DOWN and link.retry_at_ms == 0:       # a new one
                link.retry_now()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self) -> cython.int:
        """The end of a wake-up: one write per link that has something to send."""
        link: Link
        dirty: list = self.dirty
        if not dirty:
            return 0
        self.dirty = []
        for link in dirty:
            try:
                link.flush()
            except Exception as error:
                link.transport.close(error)
        return 0

    @cython.cfunc
    def at_port(self, port: cython.int) -> Engine:
        """The engine that clients reach at this TCP port, or None. All engines of one host are told apart by it."""
        engine: Engine
        for engine in self.engines:
            if engine.info.port == port:
                return engine
        return None

    @cython.cfunc
    def owner_of(self, slot: cython.int) -> Engine:
        """The engine that serves a slot by our topology, or None."""
        if not 0 <= slot < SLOTS or self.owners[slot] < 0:
            return None
        return self.engines[self.owners[slot]]

    def check(self, now_ms: int) -> None:
        """Cron."""
        for engine in self.engines:
            for link in engine.links():
                link.check(now_ms)

    def close(self) -> None:
        """The process ends."""
        self.schedule = None
        for engine in self.engines:
            engine.remove()
