"""One connection: what is read, what is yet to be written, and how it ends.

Owns: a connected socket, the bytes left over on either side of it, and its closing. Does not own what the bytes mean
(a Protocol does) or when it is its turn (the reactor's epoll does):

    kernel  -- recv -->  [ inbuf | new bytes ]  -->  protocol.data(p, n)      returns how many bytes it is done with
    kernel  <-- send --  [ outbuf ]  <--  transport.write(p, n)               sends at once, queues the rest

One read buffer, the reactor's, is shared by all connections. What data() leaves over is kept per connection in `inbuf`;
while that is little, it is copied in front of the next read, so that reads stay large; when it is more, or the protocol
asked for a lot (in_want), reads go straight behind it into `inbuf`. Bytes to send are queued in `outbuf` only when the
kernel refuses them, and EPOLLOUT is watched only then. A connection with nothing left over and nothing queued owns no
buffer.

Invariants:
- data() is only called from the reactor's poll, never from write(), close() or resume_reading(). It may be called with
  bytes that it has seen and left over before, and no new ones.
- A closed connection keeps its descriptor and its buffers until the reactor buries it, after the batch of events.
- protocol.lost() is called once, by the reactor, never inside another call of the protocol. After it transport.protocol
  is None, which breaks the only cycle; protocol.transport stays, closed and harmless.
- What goes wrong with the socket closes the connection and is not raised; what the protocol raises goes to the reactor.
- epoll reports edges: a change is reported once. So whoever leaves something in the kernel that was reported (a full
  read, a peer's end behind data, a full send buffer) arms the descriptor anew, which reports what is still so. That is
  rare, and epoll looks at every socket once per event instead of twice.
- A paused connection is taken out of epoll's reading set only when an event shows that this is needed.
"""
import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.sockets import address_of, os_error, socket_error
from cython.cimports.shardd.net.sys import (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLL_CTL_MOD, MSG_NOSIGNAL, epoll_ctl, epoll_event,
    recv, send, sys_close, sys_write)

from shardd.base import limits

_READ_BYTES = cython.declare(cython.Py_ssize_t, limits.READ_BUFFER_BYTES)
_OUT_BYTES_MIN = cython.declare(cython.Py_ssize_t, 4096)       # first size of a queue: what it holds grows soon


@cython.cclass
class Hub:
    """The part of the reactor that its connections see."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wake_up(self) -> cython.int:
        """Make sure that a poll follows soon."""
        one: uint64_t = 1
        if not self.polling and not self.woken and self.wake_fd >= 0:
            self.woken = True
            sys_write(self.wake_fd, cython.address(one), 8)
        return 0


@cython.cclass
class Protocol:
    """What a connection means: sans-IO, driven by a Transport. Sessions derive from it in compiled code."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def made(self) -> cython.int:
        """The connection stands; `transport` is set."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def data(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Bytes came in, behind those left over last time; returns how many of the n are done with."""
        return n

    @cython.cfunc
    @cython.exceptval(check=False)
    def ahead(self, p: bytep, n: cython.Py_ssize_t, step: cython.int) -> cython.bint:
        """data(p, n) will follow, after the same of other connections: prefetch what it will touch, in three steps,
        each of which may look at what the one before has asked for. False where there is nothing (more) to ask for."""
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def eof(self) -> cython.int:
        """The peer will send no more. 0: close now; 1: stay open, since there is something yet to be written."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drained(self) -> cython.int:
        """The queue of unsent bytes is empty again."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lost(self, reason: object) -> cython.int:
        """The connection is over: reason is what close() was given, an OSError, or None where the peer closed it."""
        return 0


@cython.final
@cython.cclass
class PlainProtocol(Protocol):
    """A protocol in plain Python: `handler` has on_made(transport), on_data(bytes) -> bytes done with, on_eof() ->
    whether to stay, on_drained() and on_lost(reason). For links that are not hot, and for tests.
    """

    def __init__(self, handler: object) -> None:
        self.handler = handler

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def made(self) -> cython.int:
        self.handler.on_made(self.transport)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def data(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        done: cython.Py_ssize_t = self.handler.on_data(cython.cast(cython.p_char, p)[:n])
        if done < 0:
            raise ValueError("a negative count of bytes")       # -1 would say that an exception is set
        return done

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def eof(self) -> cython.int:
        return 1 if self.handler.on_eof() else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drained(self) -> cython.int:
        self.handler.on_drained()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lost(self, reason: object) -> cython.int:
        self.handler.on_lost(reason)
        return 0


@cython.final
@cython.cclass
class Transport:
    """One connection: its descriptor, its left-over input, its queue of output. Made by the reactor only."""

    def __cinit__(self) -> None:
        self.fd = -1

    def __init__(self) -> None:
        raise TypeError("a transport is made by the reactor")

    def __dealloc__(self) -> None:
        free(self.inbuf)
        free(self.outbuf)
        if self.fd >= 0:        # nobody buried it: its reactor went first
            sys_close(self.fd)

    # --- output ---------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write(self, p: cython.p_const_void, n: cython.Py_ssize_t) -> cython.int:
        """Send n bytes at once as far as the kernel takes them, and queue the rest.

        On a connection that closes the bytes are dropped. A send that fails closes it; nothing is raised for that.
        Raises MemoryError where the queue cannot grow.
        """
        sent: cython.Py_ssize_t = 0
        if self.closing or self.close_when_drained or n <= 0:
            return 0
        if self.out_len == 0 and not self.connecting:
            self.reactor.writes += 1
            sent = send(self.fd, p, n, MSG_NOSIGNAL)
            if sent == n:
                self.bytes_out += n
                return 0
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    return self.fail()
                sent = 0
            self.bytes_out += sent
        self.out_room(n - sent)
        memcpy(self.outbuf + self.out_pos + self.out_len, cython.cast(bytep, p) + sent, n - sent)
        self.out_len += n - sent
        return self.watch(self.events | EPOLLOUT)

    def write_bytes(self, data: bytes) -> None:
        """`write` for plain callers."""
        self.write(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def out_room(self, n: cython.Py_ssize_t) -> cython.int:
        """Make sure that n more bytes fit behind the queue; MemoryError."""
        cap: cython.Py_ssize_t
        if self.out_pos + self.out_len + n <= self.out_cap:
            return 0
        if self.out_pos > 0 and self.out_pos >= self.out_len:       # moving costs no more than sending did
            memmove(self.outbuf, self.outbuf + self.out_pos, self.out_len)
            self.out_pos = 0
            if self.out_len + n <= self.out_cap:
                return 0
        cap = max(self.out_pos + self.out_len + n, 2 * self.out_cap)
        cap = max(cap, _OUT_BYTES_MIN)
        self.outbuf = cython.cast(bytep, regrow(self.outbuf, cap))
        self.reactor.buffer_bytes += cap - self.out_cap
        self.out_cap = cap
        self.reactor.queues_grown += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_writable(self) -> cython.int:
        """Send from the queue; when it is empty, free it and tell the protocol."""
        sent: cython.Py_ssize_t
        if self.out_len > 0:
            self.reactor.writes += 1
            sent = send(self.fd, self.outbuf + self.out_pos, self.out_len, MSG_NOSIGNAL)
            if sent < 0:
                if errno == EINTR:
                    return self.arm(self.events)
                return 0 if errno == EAGAIN else self.fail()
            self.bytes_out += sent
            self.out_pos += sent
            self.out_len -= sent
            if self.out_len > 0:
                return self.arm(self.events)
        if self.outbuf != cython.NULL:
            self.reactor.queues_freed += 1
            free(self.outbuf)
        self.outbuf = cython.NULL
        self.reactor.buffer_bytes -= self.out_cap
        self.out_pos = 0
        self.out_cap = 0
        self.watch(self.events & ~EPOLLOUT)
        if self.close_when_drained:
            return self.close(self.reason)
        return self.protocol.drained()

    # --- input ----------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_readable(self) -> cython.int:
        """Read once and feed the protocol; the end of the stream and errors close the connection."""
        reactor: Hub = self.reactor
        to: bytep
        room: cython.Py_ssize_t
        if self.in_len == 0 and self.in_want <= _READ_BYTES:
            to = reactor.shared
            room = _READ_BYTES
        elif self.in_len <= _READ_BYTES // 4 and self.in_want <= _READ_BYTES:
            to = reactor.shared
            room = _READ_BYTES - self.in_len
            memcpy(to, self.inbuf, self.in_len)
        else:
            self.in_room()
            to = self.inbuf
            room = self.in_cap - self.in_len
        got: cython.Py_ssize_t = self.read_to(to + self.in_len, room)
        return self.feed(to, self.in_len + got) if got > 0 else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_to(self, to: bytep, room: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read once. 0: nothing came, or the end of the stream or an error, which has been seen to."""
        got: cython.Py_ssize_t = recv(self.fd, to, room, 0)
        self.reactor.reads += 1
        if got > 0:
            self.bytes_in += got
            self.active_ms = self.reactor.now_ms
            if got == room:         # there may be more
                self.arm(self.events)
            return got
        if got == 0:
            self.on_eof()
        elif errno == EINTR:
            self.arm(self.events)
        elif errno != EAGAIN:
            self.fail()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def feed_read(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """`feed` what was read into the shared buffer some time ago; others were served since."""
        if self.closing:
            return 0
        return self.keep(p, n) if self.reading_paused else self.feed(p, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def feed(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Give the protocol n bytes at p, which is `inbuf` or the shared buffer, and keep what it leaves over."""
        done: cython.Py_ssize_t
        protocol: Protocol = self.protocol
        if protocol is None:
            return 0
        self.in_want = 0
        self.feeding = True
        done = protocol.data(p, n)
        self.feeding = False
        assert 0 <= done <= n
        if done < n:
            return self.keep(p + done, n - done)
        self.in_len = 0
        if self.inbuf != cython.NULL and not self.closing:
            free(self.inbuf)
            self.inbuf = cython.NULL
            self.reactor.buffer_bytes -= self.in_cap
            self.in_cap = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Make the n bytes at p, which are in `inbuf` or in the shared buffer, the left-over ones; MemoryError."""
        fresh: bytep
        cap: cython.Py_ssize_t
        if self.closing:
            return 0
        # a buffer that a giant request needed is not kept for a few bytes, unless more of the kind is on its way
        if self.in_cap < n or (self.in_cap > _READ_BYTES and self.in_cap // 4 > max(n, self.in_want)):
            cap = max(n, 64)
            fresh = cython.cast(bytep, regrow(cython.NULL, cap))
            memcpy(fresh, p, n)
            free(self.inbuf)
            self.inbuf = fresh
            self.reactor.buffer_bytes += cap - self.in_cap
            self.in_cap = cap
        elif p != self.inbuf:
            memmove(self.inbuf, p, n)
        self.in_len = n
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def in_room(self) -> cython.int:
        """Grow `inbuf` to what the protocol wants, or to twice its content; MemoryError."""
        cap: cython.Py_ssize_t = self.in_want
        if cap <= self.in_len:
            if self.in_cap - self.in_len >= _READ_BYTES // 4:
                return 0
            cap = max(2 * self.in_len, _READ_BYTES)
        if cap <= self.in_cap:
            return 0
        self.inbuf = cython.cast(bytep, regrow(self.inbuf, cap))
        self.reactor.buffer_bytes += cap - self.in_cap
        self.in_cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_eof(self) -> cython.int:
        """The peer shut its side: over, unless the protocol has something to write.

        What was left over while reading paused comes first. Where that pauses again, the end is reported again later.
        """
        while self.resume_queued and self.in_len > 0:
            self.resume_queued = False
            self.feed(self.inbuf, self.in_len)
            if self.closing:
                return 0
            if self.reading_paused:
                return self.watch(self.events & ~EPOLLIN)
        if self.protocol is not None and self.protocol.eof() == 1 and not self.closing:
            self.ended = True
            return self.watch(self.events & ~EPOLLIN)
        return self.close(None)

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def pause_reading(self) -> cython.int:
        """Take no more input: data() is not called until resume_reading()."""
        self.reading_paused = True
        return 0

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def resume_reading(self) -> cython.int:
        """Take input again; what is left over already is fed with the next poll."""
        if not self.reading_paused or self.closing:
            return 0
        self.reading_paused = False
        if not self.ended and not self.close_when_drained and not self.connecting:
            self.watch(self.events | EPOLLIN)
        if not self.resume_queued and (self.in_len > 0 or self.feeding):
            self.resume_queued = True
            self.reactor.resumed.append(self)
            self.reactor.wake_up()
        return 0

    # --- events, and the end --------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_event(self, events: uint32_t) -> cython.int:
        """Serve what epoll reported."""
        if self.connecting:
            return self.on_connected()
        if events & (EPOLLIN | EPOLLHUP | EPOLLERR):
            if events & EPOLLRDHUP and self.events & EPOLLIN:       # the end comes behind what is read now
                self.arm(self.events)
            if not (self.reading_paused or self.close_when_drained or self.ended):
                self.on_readable()
            elif events & (EPOLLHUP | EPOLLERR):        # always reported: nobody is left to write to
                return self.fail_by_socket()
            else:
                self.watch(self.events & ~EPOLLIN)
            if self.closing:
                return 0
        if events & EPOLLOUT:
            return self.on_writable()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_connected(self) -> cython.int:
        """An outgoing connection stands, or was refused."""
        code: cython.int = socket_error(self.fd)
        if code != 0:
            return self.close(os_error(code))
        self.connecting = False
        self.local = address_of(self.fd, False)
        self.peer = address_of(self.fd, True)
        self.protocol.made()
        if self.closing:
            return 0
        self.arm((EPOLLOUT if self.out_len > 0 else 0) | (0 if self.close_when_drained else EPOLLIN))
        if self.close_when_drained and self.out_len == 0:
            return self.close(self.reason)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail_by_socket(self) -> cython.int:
        """Close for the error that epoll reported, which may be none but the peer's leaving."""
        code: cython.int = socket_error(self.fd)
        return self.close(None if code == 0 else os_error(code))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail(self) -> cython.int:
        """Close for the errno of the call that just failed."""
        return self.close(os_error(errno))

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def close(self, reason: object = None) -> cython.int:
        """Close now, dropping what is queued; protocol.lost(reason) follows before the next poll ends."""
        if self.closing:
            return 0
        self.closing = True
        self.reason = reason
        self.reactor.doomed.append(self)
        return self.reactor.wake_up()

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def close_after_flush(self) -> cython.int:
        """Take no more input or output, and close when the queue is sent."""
        if self.closing or self.close_when_drained:
            return 0
        self.close_when_drained = True
        if self.out_len == 0 and not self.connecting:
            return self.close(None)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def watch(self, events: uint32_t) -> cython.int:
        """Tell epoll what to report from now on."""
        return 0 if events == self.events else self.arm(events)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def arm(self, events: uint32_t) -> cython.int:
        """`watch`, and have what is so already reported once more."""
        event: epoll_event
        if self.closing:
            return 0
        event.events = edges(events)
        event.data.u64 = cython.cast(uint64_t, self.fd)
        if epoll_ctl(self.reactor.ep, EPOLL_CTL_MOD, self.fd, cython.address(event)) < 0:
            return self.fail()
        self.events = events
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def free_buffers(self) -> cython.int:
        free(self.inbuf)
        free(self.outbuf)
        self.inbuf = cython.NULL
        self.outbuf = cython.NULL
        self.reactor.buffer_bytes -= self.in_cap + self.out_cap
        self.in_len = self.in_cap = self.out_pos = self.out_len = self.out_cap = 0
        return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def edges(events: uint32_t) -> uint32_t:
    """What epoll is told where we watch `events`."""
    return events | EPOLLET | (EPOLLRDHUP if events & EPOLLIN else 0)


@cython.cfunc
def new_transport(reactor: Hub, fd: cython.int, is_unix: cython.bint) -> Transport:
    """A connection that epoll does not know yet."""
    transport: Transport = Transport.__new__(Transport)
    transport.fd = fd
    transport.reactor = reactor
    transport.is_unix = is_unix
    transport.created_ms = reactor.now_ms
    transport.active_ms = reactor.now_ms
    return transport
