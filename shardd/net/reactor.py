"""The reactor: client sockets on an epoll of our own, whose descriptor the event loop watches.

Owns: the epoll, listening sockets, the batch of events, and the burial of connections. Does not own what a connection
does with its bytes (net.transport), who may connect (the listener's factory), or timers, signals and children
(asyncio's, on uvloop):

    uvloop  --  add_reader(reactor.fileno(), reactor.poll)     one wake-up serves every socket that is ready
                  |
    poll:     before_poll()
              feed_resumed   connections that read again get what they had left over
          +-> batch          epoll_wait -> stage, feed_staged      recv of all -> protocol.ahead of all, three times
          |                             |                          -> protocol.data of all ... send
          |                             -> Transport.on_event      whatever else a connection needs
          |                             -> Listener.on_readable    accept4 -> factory(transport) -> Protocol
          |   settle         the closed ones: descriptor closed, protocol.lost(reason)
          +-- again while there were events, for limits.POLL_US_MAX at most

A look-up in a large keyspace waits for memory three times over, one wait for the next. So what all ready connections
sent is read first, into slices of one buffer, and every protocol asks for the memory it will touch (`ahead`) before the
first one runs: their waits overlap.

Invariants:
- What is staged is fed before anything else is read into the shared buffer. A connection whose reading was paused
  meanwhile keeps it as left-over input.
- A closed connection keeps its descriptor until `settle`: an event that is still in the batch can never reach a new
  connection under the same number. The number is taken out of epoll explicitly, since a forked child may hold the
  socket open.
- An exception out of a protocol or a factory closes its connection and goes to `on_error`; it never leaves `poll`.
- What happens outside `poll` and needs one (a close, a resume) wakes it through an eventfd, once.
- A listener that ran out of descriptors rests; a timerfd wakes it.
"""
import os
import select
import socket
import traceback
from collections.abc import Callable

import cython
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.errno import EAGAIN, ECONNABORTED, EINTR, EPROTO, errno
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import monotonic_ms, monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.reactor import Staged
from cython.cimports.shardd.net.sockets import address_of, os_error, set_loopback, set_tcp
from cython.cimports.shardd.net.sys import (
    CLOCK_MONOTONIC, EFD_CLOEXEC, EFD_NONBLOCK, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR,
    EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_NONBLOCK, TFD_CLOEXEC, TFD_NONBLOCK,
    accept4, epoll_create1, epoll_ctl, epoll_event, epoll_wait, eventfd, itimerspec, recv, sys_close, sys_read,
    timerfd_create, timerfd_settime)
from cython.cimports.shardd.net.transport import Hub, Protocol, Transport, edges, new_transport

from shardd.base import limits
from shardd.base.clock import thread_cpu_us

_READ_BYTES = cython.declare(cython.Py_ssize_t, limits.READ_BUFFER_BYTES)
_EVENTS = cython.declare(cython.int, min(limits.EVENTS_PER_WAIT, 512))
_ACCEPTS = cython.declare(cython.int, limits.ACCEPTS_PER_EVENT_MAX)
_REST_MS = cython.declare(int64_t, limits.ACCEPT_PAUSE_MS)
_POLL_US = cython.declare(int64_t, limits.POLL_US_MAX)
_CPU_MARK_US = cython.declare(int64_t, limits.CPU_MARK_US)
_STAGED = cython.declare(cython.int, 64)
_STAGED_ROOM = cython.declare(cython.Py_ssize_t, limits.READ_BUFFER_BYTES // 4)     # less is too little to read into
# What epoll hands back with an event: the descriptor below, what it is above.
_TRANSPORT = cython.declare(uint64_t, 0)
_LISTENER = cython.declare(uint64_t, 1 << 32)
_ENDS = cython.declare(uint32_t, EPOLLRDHUP | EPOLLHUP | EPOLLERR)
_WAKE = cython.declare(uint64_t, 2 << 32)
_TIMER = cython.declare(uint64_t, 3 << 32)


@cython.final
@cython.cclass
class Listener:
    """A listening socket and the factory of what its connections become. Made by Reactor.listen() only."""

    def __init__(self) -> None:
        raise TypeError("a listener is made by Reactor.listen()")

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
        transport: Transport = new_transport(self.reactor, fd, self.is_unix)
        try:
            self.accepted += 1
            if not self.is_unix:
                set_tcp(fd, self.keepalive_s)
            transport.local = address_of(fd, False)
            transport.peer = transport.local if self.is_unix else address_of(fd, True)
            if transport.peer.startswith(("127.", "[::1]")):
                set_loopback(fd)
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
        self.rests += 1
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


@cython.final
@cython.cclass
class Reactor(Hub):
    """The epoll and everything on it. The event loop watches `fileno()` and calls `poll` when it is readable.

    before_poll: called without arguments at the start of each poll, or None.
    after_batch: called without arguments after each batch of events, before the next is waited for, or None.
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
        self.shared = cython.cast(bytep, malloc(_READ_BYTES))
        if self.shared == cython.NULL:
            raise MemoryError
        self.ep = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        self.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self.ep < 0 or self.wake_fd < 0 or self.timer_fd < 0:
            raise os_error(errno)
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
        transport: Transport = new_transport(self, fd, is_unix)
        if not is_unix:
            set_tcp(fd, 0)
        transport.connecting = connecting
        self.add(transport, EPOLLOUT if connecting else EPOLLIN)
        transport.protocol = protocol
        protocol.transport = transport
        if connecting:
            transport.peer = transport.local = "?:0"
            return transport
        transport.local = address_of(fd, False)
        transport.peer = address_of(fd, True)
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
            self.place(transport.fd, transport, edges(events), _TRANSPORT)
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
            raise os_error(errno)
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
            raise os_error(errno)
        return 0

    # --- the poll -------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Serve every socket that is ready, and go on while more are, for about limits.POLL_US_MAX.

        After a batch it waits up to linger_ms for the next one before it hands back to the event loop: under load the
        next request is then one system call away, not three. An idle process is not kept busy by that.
        """
        start_us: int64_t = monotonic_us()
        self.polls += 1
        self.polling = True
        self.begin_turn(start_us)
        try:
            if self.before_poll is not None:
                self.before_poll()
            if self.resumed:
                self.feed_resumed()
            wait_ms: cython.int = 0
            while True:
                served: cython.int = self.batch(wait_ms)
                if self.doomed:
                    self.settle()
                if self.after_batch is not None:
                    self.after_batch()
                wait_ms = 0 if self.resumed else self.linger_ms
                if self.end_turn() - start_us > _POLL_US or served == 0:
                    break
        finally:
            self.polling = False
        if self.resumed or self.doomed or self.events_at < self.events_n:
            self.wake_up()

    def wait(self, timeout_ms: int) -> None:
        """`poll` for those without an event loop: waits up to timeout_ms for the first event."""
        waiter = select.poll()      # not select(): the descriptor may be above its bound of 1,024
        waiter.register(self.ep, select.POLLIN)
        waiter.poll(timeout_ms)
        self.poll()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def batch(self, wait_ms: cython.int) -> cython.int:
        """Take one batch of events, waiting up to wait_ms for the first, and serve them; how many there were.

        Ends of connections come first: who is gone must not get what others send in the same moment. Where serving
        them takes longer than limits.POLL_US_MAX, the rest is the next batch.
        """
        start: cython.int = self.events_at
        n: cython.int = self.events_n
        i: cython.int
        if start == n:
            start = self.events_at = self.events_n = 0
            if wait_ms == 0:
                n = epoll_wait(self.ep, self.events, _EVENTS, 0)
            else:
                with cython.nogil:
                    n = epoll_wait(self.ep, self.events, _EVENTS, wait_ms)
                self.begin_turn(monotonic_us())
            if n <= 0:
                return 0
            self.events_total += n
            self.events_n = n
            for i in range(n):
                if self.events[i].events & _ENDS and self.events[i].data.u64 < _LISTENER:
                    self.handle(self.events[i].data.u64, self.events[i].events)
                    self.events[i].events = 0
        for i in range(start, n):
            if self.staged_n == _STAGED or self.staged_bytes > _READ_BYTES - _STAGED_ROOM:
                self.feed_staged()
                if monotonic_us() - self.turn_us > _POLL_US:
                    break
            if self.stage(self.events[i].data.u64, self.events[i].events):
                self.events[i].events = 0
            self.events_at = i + 1
        self.feed_staged()
        n = self.events_at
        for i in range(start, n):
            if self.events[i].events != 0:
                self.handle(self.events[i].data.u64, self.events[i].events)
        return n - start

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def stage(self, tag: uint64_t, events: uint32_t) -> cython.bint:
        """Read from a connection that has nothing left over, for feed_staged; False: to be served by `handle`.

        There must be room for it.
        """
        transport: Transport
        got: cython.Py_ssize_t
        entry: cython.pointer(Staged)
        what = self.by_fd[cython.cast(cython.int, cython.cast(uint32_t, tag))]
        if tag >= _LISTENER or events != EPOLLIN or what is None:
            return False
        transport = cython.cast(Transport, what)
        if (transport.in_len > 0 or transport.connecting or transport.reading_paused or transport.close_when_drained
                or transport.ended or transport.closing):
            return False
        entry = cython.address(self.staged[self.staged_n])
        entry.transport = cython.cast(cython.pointer(PyObject), transport)
        entry.p = self.shared + self.staged_bytes
        try:
            got = transport.read_to(entry.p, _READ_BYTES - self.staged_bytes)
        except Exception as error:
            self.report(transport, error)
            return True
        if got > 0:
            entry.n = got
            self.staged_n += 1
            self.staged_bytes += (got + 63) & ~63
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def feed_staged(self) -> cython.int:
        """Hand what was read to its connections, when all have asked for the memory that they will touch."""
        i: cython.int
        step: cython.int = 0
        wanted: cython.bint = self.staged_n > 1
        transport: Transport
        while wanted and step < 3:
            wanted = False
            for i in range(self.staged_n):
                transport = cython.cast(Transport, self.staged[i].transport)
                if transport.protocol is not None and transport.protocol.ahead(
                        self.staged[i].p, self.staged[i].n, step):
                    wanted = True
            step += 1
        for i in range(self.staged_n):
            transport = cython.cast(Transport, self.staged[i].transport)
            try:
                transport.feed_read(self.staged[i].p, self.staged[i].n)
            except Exception as error:
                self.report(transport, error)
        self.staged_n = 0
        self.staged_bytes = 0
        return 0

    # --- how long others had to wait ------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin_turn(self, now_us: int64_t) -> cython.int:
        """From here on a socket that becomes ready waits: a turn is a batch and what is done before and after it."""
        self.turn_us = now_us
        self.now_ms = now_us // 1000
        if now_us - self.mark_us > _CPU_MARK_US:
            self.mark_us = now_us
            self.mark_cpu_us = thread_cpu_us()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end_turn(self) -> int64_t:
        """Note the turn's length, where it is a long one, and begin the next; returns the monotonic time, us.

        The CPU's clock is a system call, so it is not read twice per turn: what the thread has used since the last
        mark, but not more than the time that passed, is what the turn used at most. So longest_us >= longest_cpu_us.
        """
        cpu_us: int64_t
        now_us: int64_t = monotonic_us()
        wall_us: int64_t = now_us - self.turn_us
        self.busy_us += wall_us
        if wall_us > self.longest_us:
            self.longest_us = wall_us
        if wall_us > self.longest_cpu_us:
            cpu_us = thread_cpu_us()
            self.longest_cpu_us = max(self.longest_cpu_us, min(wall_us, cpu_us - self.mark_cpu_us))
            self.mark_us = now_us
            self.mark_cpu_us = cpu_us
        self.begin_turn(now_us)
        return now_us

    def forget_longest(self) -> None:
        """The longest turn so far is the one under way."""
        self.longest_us = self.longest_cpu_us = 0

    def reset_counters(self) -> None:
        """CONFIG RESETSTAT."""
        self.forget_longest()
        self.polls = self.events_total = self.reads = self.writes = self.queues_grown = self.queues_freed = 0
        self.busy_us = 0

    # --- events ---------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle(self, tag: uint64_t, events: uint32_t) -> cython.int:
        """Serve one event."""
        transport: Transport
        fd: cython.int = cython.cast(cython.int, cython.cast(uint32_t, tag))
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
        fd: cython.int = cython.cast(cython.int, cython.cast(uint32_t, tag))
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
        for i in range(self.events_at, self.events_n):      # they are not about who gets the number next
            if cython.cast(cython.int, cython.cast(uint32_t, self.events[i].data.u64)) == transport.fd:
                self.events[i].events = 0
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
