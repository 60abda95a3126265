"""The reactor: client sockets on an epoll of our own, whose descriptor the event loop watches.

Owns: sockets and what hangs on them - accepting, reading, writing, the bytes left over on either side, closing. Does
not own what the bytes mean (a Protocol does), who may connect (the listener's factory), or timers, signals and
children (asyncio's, on uvloop):

    uvloop  --  add_reader(reactor.fileno(), reactor.poll)     one wake-up serves every socket that is ready
                  |
    Reactor   epoll_wait -> Listener   accept4 -> factory(transport) -> Protocol
                         -> Transport  recv -> protocol.data(p, n)      returns how many bytes it is done with
                                       send <- transport.write(p, n)    what the kernel does not take is queued
                  |
              settle     the closed ones: descriptor closed, protocol.lost(reason) called

One read buffer is shared by all connections. What data() leaves over is kept per connection in `inbuf`; while that is
little, it is copied in front of the next read, so that reads stay large; when it is more, or the protocol asked for a
lot (in_want), reads go straight behind it into `inbuf`. A connection with nothing left over and nothing queued owns
no buffer. Bytes to send are queued in `outbuf` only when the kernel refuses them, and EPOLLOUT is watched only then.

Invariants:
- A closed connection keeps its descriptor until `settle`, after the batch of events: an event that is still in the
  batch can never reach a new connection under the same number. The number is taken out of epoll explicitly, since a
  forked child may hold the socket open.
- protocol.lost() is called once, from `settle`, never inside another call of the protocol. After it transport.protocol
  is None, which breaks the only cycle; protocol.transport stays, closed and harmless.
- data() is only called from `poll`, never from write(), close() or resume_reading().
- An exception out of a protocol closes its connection and goes to `on_error`; it never leaves `poll`.
- A paused connection is taken out of epoll's reading set only when an event shows that this is needed.
"""
import os
import socket
import traceback
from collections.abc import Callable

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.errno import EAGAIN, ECONNABORTED, EINTR, EPROTO, errno
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy, memmove, memset
from cython.cimports.shardd.base.clock import monotonic_ms, monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.sys import (
    AF_INET, AF_INET6, AF_UNIX, CLOCK_MONOTONIC, EFD_CLOEXEC, EFD_NONBLOCK, EPOLL_CLOEXEC, EPOLL_CTL_ADD,
    EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, IPPROTO_TCP, MSG_DONTWAIT, MSG_NOSIGNAL,
    SO_ERROR, SO_KEEPALIVE, SOCK_CLOEXEC, SOCK_NONBLOCK, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE,
    TCP_KEEPINTVL, TCP_NODELAY, TFD_CLOEXEC, TFD_NONBLOCK, accept4, epoll_create1, epoll_ctl, epoll_event, epoll_wait,
    eventfd, getpeername, getsockname, getsockopt, inet_ntop, itimerspec, ntohs, recv, send, setsockopt, sockaddr,
    sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t, sys_close, sys_read, sys_write,
    timerfd_create, timerfd_settime)

from shardd.base import limits

_READ_BYTES = cython.declare(cython.Py_ssize_t, limits.READ_BUFFER_BYTES)
_EVENTS = cython.declare(cython.int, limits.EVENTS_PER_WAIT)
_ACCEPTS = cython.declare(cython.int, limits.ACCEPTS_PER_EVENT_MAX)
_REST_MS = cython.declare(int64_t, limits.ACCEPT_PAUSE_MS)
_POLL_US = cython.declare(int64_t, limits.POLL_US_MAX)
# What epoll hands back with an event: the descriptor below, what it is above.
_TRANSPORT = cython.declare(uint64_t, 0)
_LISTENER = cython.declare(uint64_t, 1 << 32)
_WAKE = cython.declare(uint64_t, 2 << 32)
_TIMER = cython.declare(uint64_t, 3 << 32)


@cython.cfunc
def _os_error(code: cython.int) -> object:
    """An OSError (or its subclass) for an errno."""
    return OSError(code, os.strerror(code))


@cython.cfunc
def _address(fd: cython.int, peer: cython.bint) -> str:
    """Where one end of a socket is: "1.2.3.4:5", "[::1]:5", or a Unix socket's path and ":0" as Redis writes it."""
    storage: sockaddr_storage
    text: cython.char[64]
    size: socklen_t = cython.sizeof(sockaddr_storage)
    name: cython.pointer(sockaddr) = cython.cast(cython.pointer(sockaddr), cython.address(storage))
    four: cython.pointer(sockaddr_in)
    six: cython.pointer(sockaddr_in6)
    memset(cython.address(storage), 0, cython.sizeof(sockaddr_storage))
    if (getpeername(fd, name, cython.address(size)) if peer else getsockname(fd, name, cython.address(size))) < 0:
        return "?:0"
    if storage.ss_family == AF_INET:
        four = cython.cast(cython.pointer(sockaddr_in), cython.address(storage))
        inet_ntop(AF_INET, cython.address(four.sin_addr), text, cython.sizeof(text))
        return f"{text.decode('ascii')}:{ntohs(four.sin_port)}"
    if storage.ss_family == AF_INET6:
        six = cython.cast(cython.pointer(sockaddr_in6), cython.address(storage))
        inet_ntop(AF_INET6, cython.address(six.sin6_addr), text, cython.sizeof(text))
        return f"[{text.decode('ascii')}]:{ntohs(six.sin6_port)}"
    if storage.ss_family == AF_UNIX:
        path: bytes = cython.cast(cython.pointer(sockaddr_un), cython.address(storage)).sun_path
        return path.decode("utf-8", "replace") + ":0"
    return "?:0"


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
        return self.handler.on_data(cython.cast(cython.p_char, p)[:n])

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

    def __dealloc__(self) -> None:
        self.free_buffers()

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
        grown: cython.p_void
        cap: cython.Py_ssize_t
        if self.out_pos + self.out_len + n <= self.out_cap:
            return 0
        if self.out_pos > 0 and self.out_pos >= self.out_len:       # moving costs no more than sending did
            memmove(self.outbuf, self.outbuf + self.out_pos, self.out_len)
            self.out_pos = 0
            if self.out_len + n <= self.out_cap:
                return 0
        cap = max(self.out_pos + self.out_len + n, 2 * self.out_cap)
        cap = max(cap, 4096)
        grown = realloc(self.outbuf, cap)
        if grown == cython.NULL:
            raise MemoryError
        self.outbuf = cython.cast(bytep, grown)
        self.out_cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_writable(self) -> cython.int:
        """Send from the queue; when it is empty, free it and tell the protocol."""
        sent: cython.Py_ssize_t
        if self.out_len > 0:
            sent = send(self.fd, self.outbuf + self.out_pos, self.out_len, MSG_NOSIGNAL)
            if sent < 0:
                return 0 if errno == EAGAIN or errno == EINTR else self.fail()
            self.bytes_out += sent
            self.out_pos += sent
            self.out_len -= sent
            if self.out_len > 0:
                return 0
        free(self.outbuf)
        self.outbuf = cython.NULL
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
        reactor: Reactor = self.reactor
        got: cython.Py_ssize_t
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
        got = recv(self.fd, to + self.in_len, room, 0)
        if got > 0:
            self.bytes_in += got
            self.active_ms = reactor.now_ms
            return self.feed(to, self.in_len + got)
        if got == 0:
            return self.on_eof()
        return 0 if errno == EAGAIN or errno == EINTR else self.fail()

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
            fresh = cython.cast(bytep, malloc(cap))
            if fresh == cython.NULL:
                raise MemoryError
            memcpy(fresh, p, n)
            free(self.inbuf)
            self.inbuf = fresh
            self.in_cap = cap
        elif p != self.inbuf:
            memmove(self.inbuf, p, n)
        self.in_len = n
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def in_room(self) -> cython.int:
        """Grow `inbuf` to what the protocol wants, or to twice its content; MemoryError."""
        grown: cython.p_void
        cap: cython.Py_ssize_t = self.in_want
        if cap <= self.in_len:
            if self.in_cap - self.in_len >= _READ_BYTES // 4:
                return 0
            cap = max(2 * self.in_len, _READ_BYTES)
        if cap <= self.in_cap:
            return 0
        grown = realloc(self.inbuf, cap)
        if grown == cython.NULL:
            raise MemoryError
        self.inbuf = cython.cast(bytep, grown)
        self.in_cap = cap
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_eof(self) -> cython.int:
        """The peer shut its side: over, unless the protocol has something to write."""
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
        code: cython.int = self.socket_error()
        if code != 0:
            return self.close(_os_error(code))
        self.connecting = False
        self.local = _address(self.fd, False)
        self.peer = _address(self.fd, True)
        self.protocol.made()
        if self.closing:
            return 0
        self.watch((EPOLLOUT if self.out_len > 0 else 0) | (0 if self.close_when_drained else EPOLLIN))
        if self.close_when_drained and self.out_len == 0:
            return self.close(self.reason)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def socket_error(self) -> cython.int:
        """The error that waits on the socket, taken off it; 0 where there is none."""
        code: cython.int = 0
        size: socklen_t = cython.sizeof(cython.int)
        if getsockopt(self.fd, SOL_SOCKET, SO_ERROR, cython.address(code), cython.address(size)) < 0:
            return errno
        return code

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail_by_socket(self) -> cython.int:
        """Close for the error that epoll reported, which may be none but the peer's leaving."""
        code: cython.int = self.socket_error()
        return self.close(None if code == 0 else _os_error(code))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail(self) -> cython.int:
        """Close for the errno of the call that just failed."""
        return self.close(_os_error(errno))

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
        event: epoll_event
        if events == self.events or self.closing:
            return 0
        event.events = events
        event.data.u64 = _TRANSPORT | cython.cast(uint64_t, self.fd)
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
        self.in_len = self.in_cap = self.out_pos = self.out_len = self.out_cap = 0
        return 0


@cython.final
@cython.cclass
class Listener:
    """A listening socket and the factory of what its connections become."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_readable(self) -> cython.int:
        """Accept what waits, up to limits.ACCEPTS_PER_EVENT_MAX; epoll reports again where more do."""
        fd: cython.int
        i: cython.int
        for i in range(_ACCEPTS):
            if self.closing:
                return 0
            fd = accept4(self.fd, cython.NULL, cython.NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd >= 0:
                self.accepted_fd(fd)
            elif errno == EAGAIN:
                return 0
            elif errno != EINTR and errno != ECONNABORTED and errno != EPROTO:
                return self.rest(errno)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def accepted_fd(self, fd: cython.int) -> cython.int:
        """Make a connection of an accepted socket, or refuse it."""
        protocol: Protocol
        transport: Transport = _new_transport(self.reactor, fd, self.is_unix)
        try:
            self.accepted += 1
            if not self.is_unix:
                _set_tcp(fd, self.keepalive_s)
            transport.local = _address(fd, False)
            transport.peer = transport.local if self.is_unix else _address(fd, True)
            self.reactor.add(transport, EPOLLIN)
            made = self.factory(transport)
            if made is None:
                return transport.close_after_flush()
            protocol = made
            transport.protocol = protocol
            protocol.transport = transport
            protocol.made()
        except Exception as error:
            self.reactor.report(transport, error)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def rest(self, error: cython.int) -> cython.int:
        """Accept nothing for limits.ACCEPT_PAUSE_MS: there is no descriptor or no memory for another connection."""
        reactor: Reactor = self.reactor
        self.paused_until_ms = reactor.now_ms + _REST_MS
        reactor.rearm(self, 0)
        reactor.resting.append(self)
        reactor.arm_timer()
        if reactor.on_warning is not None:
            reactor.on_warning(f"Accepting client connection: accept: {os.strerror(error)}")
        return 0

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def close(self) -> cython.int:
        """Stop listening and close the socket. Connections stay."""
        event: epoll_event
        if self.closing:
            return 0
        self.closing = True
        epoll_ctl(self.reactor.ep, EPOLL_CTL_DEL, self.fd, cython.address(event))
        self.reactor.by_fd[self.fd] = None
        self.fd = -1
        self.sock.close()
        return 0


@cython.cfunc
def _new_transport(reactor: Reactor, fd: cython.int, is_unix: cython.bint) -> Transport:
    """A connection that epoll does not know yet."""
    transport: Transport = Transport.__new__(Transport)
    transport.fd = fd
    transport.reactor = reactor
    transport.is_unix = is_unix
    transport.created_ms = reactor.now_ms
    transport.active_ms = reactor.now_ms
    return transport


@cython.cfunc
@cython.exceptval(-1, check=False)
def _set_tcp(fd: cython.int, keepalive_s: cython.int) -> cython.int:
    """No Nagle; probes after keepalive_s seconds of silence, dead after three more of a third of that (as Redis)."""
    on: cython.int = 1
    value: cython.int = keepalive_s
    size: socklen_t = cython.sizeof(cython.int)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, cython.address(on), size)
    if keepalive_s > 0:
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, cython.address(on), size)
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, cython.address(value), size)
        value = max(1, keepalive_s // 3)
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, cython.address(value), size)
        value = 3
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, cython.address(value), size)
    return 0


@cython.final
@cython.cclass
class Reactor:
    """The epoll and everything on it. The event loop watches `fileno()` and calls `poll` when it is readable.

    before_poll: called without arguments at the start of each poll, or None.
    on_error: called with (Transport or Listener, exception) after that connection was closed; default: a traceback.
    on_warning: called with a line of text for the log; default: silence.
    """

    def __cinit__(self) -> None:
        self.ep = self.wake_fd = self.timer_fd = -1
        self.by_fd = []
        self.doomed = []
        self.resumed = []
        self.resting = []
        self.now_ms = monotonic_ms()
        self.shared_size = _READ_BYTES
        self.shared = cython.cast(bytep, malloc(_READ_BYTES))
        if self.shared == cython.NULL:
            raise MemoryError
        self.ep = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        self.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self.ep < 0 or self.wake_fd < 0 or self.timer_fd < 0:
            raise _os_error(errno)
        self.place(self.wake_fd, None, EPOLLIN, _WAKE)
        self.place(self.timer_fd, None, EPOLLIN, _TIMER)

    def __dealloc__(self) -> None:
        free(self.shared)
        for fd in (self.ep, self.wake_fd, self.timer_fd):
            if fd >= 0:
                sys_close(fd)

    def fileno(self) -> int:
        """The descriptor to watch for reading."""
        return self.ep

    # --- making connections ---------------------------------------------------------------------------------------

    def listen(self, sock: socket.socket, factory: Callable, backlog: int = limits.LISTEN_BACKLOG) -> Listener:
        """Accept connections on a bound stream socket, which becomes the listener's.

        factory: called with each new Transport, gives its Protocol, or None to refuse it (what it has written to the
        transport is sent before it is closed). backlog: tcp-backlog. Raises OSError.
        """
        sock.listen(backlog)
        sock.setblocking(False)
        listener: Listener = Listener.__new__(Listener)
        listener.fd = sock.fileno()
        listener.reactor = self
        listener.sock = sock
        listener.factory = factory
        listener.is_unix = sock.family == socket.AF_UNIX
        self.place(listener.fd, listener, EPOLLIN, _LISTENER)
        return listener

    def attach(self, sock: socket.socket, protocol: Protocol, connecting: bool = False) -> Transport:
        """Drive a connected stream socket, which is taken over (detached), or one whose connect() is under way.

        protocol.made() is called before this returns, or, if `connecting`, when the connection stands; lost(OSError)
        where it was refused. Raises OSError, or what made() raised.
        """
        if protocol is None:
            raise TypeError("a protocol is needed")
        sock.setblocking(False)
        is_unix: cython.bint = sock.family == socket.AF_UNIX
        fd: cython.int = sock.detach()
        transport: Transport = _new_transport(self, fd, is_unix)
        if not is_unix:
            _set_tcp(fd, 0)
        transport.connecting = connecting
        self.add(transport, EPOLLOUT if connecting else EPOLLIN)
        transport.protocol = protocol
        protocol.transport = transport
        if connecting:
            transport.peer = transport.local = "?:0"
            return transport
        transport.local = _address(fd, False)
        transport.peer = _address(fd, True)
        if is_unix and transport.peer == ":0":
            transport.peer = transport.local
        try:
            protocol.made()
        except BaseException as error:
            transport.close(error)
            raise
        return transport

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, transport: Transport, events: uint32_t) -> cython.int:
        """Put a connection on the epoll; where that fails its descriptor is closed, and OSError raised."""
        try:
            self.place(transport.fd, transport, events, _TRANSPORT)
        except BaseException:
            transport.closing = True
            sys_close(transport.fd)
            transport.fd = -1
            raise
        transport.events = events
        self.connections += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def place(self, fd: cython.int, what: object, events: uint32_t, kind: uint64_t) -> cython.int:
        """Watch a descriptor; OSError."""
        event: epoll_event
        event.events = events
        event.data.u64 = kind | cython.cast(uint64_t, fd)
        while len(self.by_fd) <= fd:
            self.by_fd.extend([None] * 64)
        if epoll_ctl(self.ep, EPOLL_CTL_ADD, fd, cython.address(event)) < 0:
            raise _os_error(errno)
        self.by_fd[fd] = what
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def rearm(self, listener: Listener, events: uint32_t) -> cython.int:
        """Change what is watched of a listener."""
        event: epoll_event
        event.events = events
        event.data.u64 = _LISTENER | cython.cast(uint64_t, listener.fd)
        if epoll_ctl(self.ep, EPOLL_CTL_MOD, listener.fd, cython.address(event)) < 0:
            raise _os_error(errno)
        return 0

    # --- the poll -------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Serve every socket that is ready, and go on while more are, for limits.POLL_US_MAX at most. Never waits."""
        start_us: int64_t = monotonic_us()
        self.now_ms = start_us // 1000
        self.polls += 1
        self.polling = True
        try:
            if self.before_poll is not None:
                self.before_poll()
            if self.resumed:
                self.feed_resumed()
            while True:
                served: cython.int = self.batch(0)
                if self.doomed:
                    self.settle()
                if served == 0 or monotonic_us() - start_us > _POLL_US:
                    break
        finally:
            self.polling = False
        if self.resumed or self.doomed:
            self.wake_up()

    def wait(self, timeout_ms: int) -> None:
        """`poll` for those without an event loop: waits for the first event up to timeout_ms."""
        self.polling = True
        try:
            self.batch(timeout_ms)
            self.now_ms = monotonic_ms()
        finally:
            self.polling = False
        self.poll()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def batch(self, timeout_ms: cython.int) -> cython.int:
        """Take one batch of events and serve them; returns how many there were."""
        events: epoll_event[512]
        i: cython.int
        n: cython.int = epoll_wait(self.ep, events, min(_EVENTS, 512), timeout_ms)
        if n <= 0:
            return 0
        self.events_total += n
        for i in range(n):
            self.handle(events[i].data.u64, events[i].events)
        return n

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle(self, tag: uint64_t, events: uint32_t) -> cython.int:
        """Serve one event."""
        transport: Transport
        fd: cython.int = cython.cast(cython.int, tag & 0xFFFFFFFF)
        what = self.by_fd[fd]
        if what is None:
            return 0 if tag < _WAKE else self.on_own(tag)
        try:
            if tag < _LISTENER:
                transport = cython.cast(Transport, what)
                if not transport.closing:
                    transport.on_event(events)
            elif isinstance(what, Listener):        # a stale event may name a number that is in use again
                cython.cast(Listener, what).on_readable()
        except Exception as error:
            self.report(what, error)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_own(self, tag: uint64_t) -> cython.int:
        """Serve an event of the reactor's own descriptors."""
        count: uint64_t
        fd: cython.int = cython.cast(cython.int, tag & 0xFFFFFFFF)
        if fd == self.wake_fd:
            sys_read(fd, cython.address(count), 8)
            self.woken = False
        elif fd == self.timer_fd:
            sys_read(fd, cython.address(count), 8)
            self.on_timer()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def feed_resumed(self) -> cython.int:
        """Give the left-over bytes of connections that read again to their protocols."""
        transport: Transport
        resumed: list = self.resumed
        self.resumed = []
        for transport in resumed:
            transport.resume_queued = False
            if transport.closing or transport.reading_paused or transport.in_len == 0:
                continue
            try:
                transport.feed(transport.inbuf, transport.in_len)
            except Exception as error:
                self.report(transport, error)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def settle(self) -> cython.int:
        """Finish what was closed; that may close more."""
        transport: Transport
        while self.doomed:
            doomed: list = self.doomed
            self.doomed = []
            for transport in doomed:
                self.bury(transport)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def bury(self, transport: Transport) -> cython.int:
        """Close the descriptor, break the cycle with the protocol, and tell it."""
        event: epoll_event
        i: cython.int
        protocol: Protocol = transport.protocol
        reason: object = transport.reason
        if transport.close_when_drained:
            # unread input would turn our close into a reset, and the peer might never see our last words
            for i in range(16):
                if recv(transport.fd, self.shared, _READ_BYTES, MSG_DONTWAIT) <= 0:
                    break
        epoll_ctl(self.ep, EPOLL_CTL_DEL, transport.fd, cython.address(event))
        self.by_fd[transport.fd] = None
        sys_close(transport.fd)
        transport.fd = -1
        transport.free_buffers()
        transport.protocol = None
        transport.reason = None
        self.connections -= 1
        if protocol is not None:
            try:
                protocol.lost(reason)
            except Exception as error:
                self.report(transport, error)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def report(self, where: object, error: object) -> cython.int:
        """An exception came out of a protocol or a factory: close that connection and tell on_error."""
        if isinstance(where, Transport):
            cython.cast(Transport, where).close(error)
        if self.on_error is None:
            traceback.print_exception(error)
        else:
            self.on_error(where, error)
        return 0

    # --- waking up ------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wake_up(self) -> cython.int:
        """Make sure that a poll follows soon."""
        one: uint64_t = 1
        if not self.polling and not self.woken and self.wake_fd >= 0:
            self.woken = True
            sys_write(self.wake_fd, cython.address(one), 8)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def arm_timer(self) -> cython.int:
        """Have the timer fire when the resting listeners may go on."""
        when: itimerspec
        memset(cython.address(when), 0, cython.sizeof(itimerspec))
        when.it_value.tv_nsec = _REST_MS * 1000000
        timerfd_settime(self.timer_fd, 0, cython.address(when), cython.NULL)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_timer(self) -> cython.int:
        """Listeners that had run out of descriptors accept again."""
        listener: Listener
        resting: list = self.resting
        self.resting = []
        for listener in resting:
            listener.paused_until_ms = 0
            if not listener.closing:
                self.rearm(listener, EPOLLIN)
        return 0

    def close(self) -> None:
        """Close every listener and connection; lost(None) is called for each. The reactor is of no use after."""
        for what in list(self.by_fd):
            if what is not None:
                what.close()
        self.settle()
        self.resumed.clear()
        self.resting.clear()
        for fd in (self.ep, self.wake_fd, self.timer_fd):
            if fd >= 0:
                sys_close(fd)
        self.ep = self.wake_fd = self.timer_fd = -1
