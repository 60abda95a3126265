"""The loop of one process: connections on an epoll of its own, requests out, replies counted, latencies recorded.

Owns: the connections from the moment they are ready, what is outstanding on each, when commands are due. Does not own
what a command looks like (script), what a reply is (intake), or how a connection came about (worker).

    closed loop     fill -> send ... recv -> take -> account -> fill       once all replies of a connection are there
    rate            pump: what is due by the clock -> its node's ring -> flush: onto connections with room
                    recv -> take -> account                                latency = now - when it was due

In a cluster the key chooses the node. A closed loop draws commands for the connection that has room; those of other
nodes go to their rings and are what these send first, so that the mix of keys stays that of the distribution. At a rate
each command goes through the ring of its node anyway.

Why it is cheap: there is one build buffer, which stays in the nearest cache; where a script is `fixed` the buffer holds
`pipeline` copies of its command and only digits are written. Replies are read into one shared buffer and only counted.
The clock is read once per read. What remains is the kernel's: one send, one recv and a share of one epoll_wait per
`pipeline` commands.

Invariants
- Replies come in the order of commands: `head` and `due` of a connection are its window into the rings.
- Every command that was due is sent, or counted by `give_up`; in a rate's latencies none is left out.
- A command that waits for room keeps the time when it was due.
- sent - done == outstanding == the sum of all `due`.
"""
import os

import cython
from cython.cimports.bench.load.driver import Due, Link, Node
from cython.cimports.bench.load.intake import Intake, stream_free
from cython.cimports.bench.load.script import Script
from cython.cimports.bench.load.sys import PR_SET_TIMERSLACK, POLLIN, apart, pollfd, ppoll, prctl
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.libc.math import log
from cython.cimports.libc.stdint import int16_t, int64_t, uint8_t, uint32_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy
from cython.cimports.posix.time import timespec
from cython.cimports.shardd.base.clock import monotonic_ns
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.sys import (
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLIN, EPOLLOUT, MSG_DONTWAIT, MSG_NOSIGNAL, epoll_create1,
    epoll_ctl, epoll_event, epoll_wait, recv, send, sys_close)
from cython.cimports.shardd.structures.histogram import (
    Histogram, Tally, histogram_of, tally_free, tally_init, tally_record_n, tally_reset)

link_p = cython.typedef(cython.pointer(Link))
node_p = cython.typedef(cython.pointer(Node))
due_p = cython.typedef(cython.pointer(Due))
tally_p = cython.typedef(cython.pointer(Tally))
owner_p = cython.typedef(cython.pointer(int16_t))
time_p = cython.typedef(cython.pointer(int64_t))

_RING = cython.declare(cython.int, 65536)
_EVENTS = cython.declare(cython.int, 256)
_READ_BYTES = cython.declare(cython.Py_ssize_t, 256 * 1024)
_SLOTS = cython.declare(cython.int, 16384)
_NEVER = cython.declare(int64_t, 1 << 62)
# A sleep this short ends later than asked: poll instead.
_POLL_BELOW_NS = cython.declare(int64_t, 4000)
# How many draws a connection of a cluster makes for one command of its own, per node.
_DRAWS = cython.declare(cython.int, 64)

DIGITS = 3
HIGHEST_NS = 200_000_000_000
"""Latencies are told to three digits up to here, and count as this above."""
LIVE_DIGITS = 2


_one = cython.declare(epoll_event)


@cython.cfunc
@cython.exceptval(check=False)
def _event(events: uint32_t, index: cython.int) -> cython.pointer(epoll_event):
    """What epoll_ctl takes; good until the next call."""
    global _one
    _one.events = events
    _one.data.u32 = index
    return cython.address(_one)


@cython.final
@cython.cclass
class Driver:
    """Sends a script over connections.

    pipeline: commands outstanding on one connection at most. nodes: how many engines a cluster has, 0 for a single
    address. Raises ValueError, OSError, MemoryError.
    """

    def __cinit__(self):
        self.ep = -1
        self.links = cython.NULL
        self.nodes = cython.NULL
        self.tallies = cython.NULL

    def __init__(self, script: Script, intake: Intake, pipeline: int, nodes: int = 0) -> None:
        i: cython.int
        command: cython.int
        size: cython.int = 1
        if self.ep >= 0:
            raise ValueError("a driver is made once")
        if not 1 <= pipeline <= 1_000_000:
            raise ValueError(f"a pipeline of {pipeline}: 1 to 1000000 are possible")
        self.ep = epoll_create1(EPOLL_CLOEXEC)
        if self.ep < 0:
            raise OSError(errno, os.strerror(errno))
        self.script, self.intake, self.pipeline = script, intake, pipeline
        while size < pipeline:
            size *= 2
        self.mask = size - 1
        self.deadline_ns, self.to_send = _NEVER, -1
        self.build = cython.cast(bytep, calloc(pipeline, script.longest))
        self.shared = cython.cast(bytep, calloc(1, _READ_BYTES))
        self.tallies = cython.cast(tally_p, calloc(script.count, cython.sizeof(Tally)))
        if self.build == cython.NULL or self.shared == cython.NULL or self.tallies == cython.NULL:
            raise MemoryError
        for command in range(script.count):
            if not tally_init(cython.address(self.tallies[command]), DIGITS, HIGHEST_NS):
                raise MemoryError
        if not (tally_init(cython.address(self.live), LIVE_DIGITS, HIGHEST_NS)
                and tally_init(cython.address(self.late), DIGITS, HIGHEST_NS)):
            raise MemoryError
        if script.fixed:
            for i in range(pipeline):
                memcpy(self.build + i * script.longest, script.commands[0].whole, script.longest)
        if nodes:
            self.owner = cython.cast(owner_p, calloc(_SLOTS, cython.sizeof(int16_t)))
            if self.owner == cython.NULL:
                raise MemoryError
        for i in range(max(1, nodes)):
            self.add_node()

    def __dealloc__(self):
        i: cython.int
        for i in range(self.links_n):
            if self.links[i].fd >= 0:
                sys_close(self.links[i].fd)
            stream_free(cython.address(self.links[i].replies))
            free(self.links[i].out)
            free(self.links[i].order)
            free(self.links[i].when)
        for i in range(self.nodes_n):
            free(self.nodes[i].ring)
            free(self.nodes[i].members)
        if self.tallies != cython.NULL:
            for i in range(self.script.count):
                tally_free(cython.address(self.tallies[i]))
        tally_free(cython.address(self.live))
        tally_free(cython.address(self.late))
        free(self.tallies)
        free(self.links)
        free(self.nodes)
        free(self.owner)
        free(self.build)
        free(self.shared)
        if self.ep >= 0:
            sys_close(self.ep)

    # --- setting up -----------------------------------------------------------------------------------------------

    def add_node(self) -> int:
        """One more engine; returns its index."""
        node: node_p
        self.nodes = cython.cast(node_p, regrow(self.nodes, (self.nodes_n + 1) * cython.sizeof(Node)))
        node = cython.address(self.nodes[self.nodes_n])
        node.head = node.waiting = node.members_n = node.members_cap = node.cursor = node.full = 0
        node.owns = self.owner == cython.NULL
        node.members = cython.NULL
        node.ring = cython.cast(due_p, calloc(_RING, cython.sizeof(Due)))
        if node.ring == cython.NULL:
            raise MemoryError
        self.nodes_n += 1
        return self.nodes_n - 1

    def add_link(self, fd: cython.int, node: cython.int = 0) -> None:
        """A connection that is ready: non-blocking, authenticated, its database chosen. The driver closes it."""
        link: link_p
        owner: node_p = cython.address(self.nodes[node])
        if not 0 <= node < self.nodes_n:
            raise ValueError(f"there is no node {node}")
        if self.links_n == self.links_cap:
            self.links_cap = max(16, self.links_cap * 2)
            self.links = cython.cast(link_p, regrow(self.links, self.links_cap * cython.sizeof(Link)))
        if owner.members_n == owner.members_cap:
            owner.members_cap = max(16, owner.members_cap * 2)
            owner.members = cython.cast(
                cython.p_int, regrow(owner.members, owner.members_cap * cython.sizeof(cython.int)))
        link = cython.address(self.links[self.links_n])
        link.fd, link.node, link.due, link.head = fd, node, 0, 0
        link.out = cython.NULL
        link.out_at = link.out_n = link.out_cap = 0
        link.order = cython.NULL
        link.when = cython.cast(time_p, calloc(self.mask + 1, cython.sizeof(int64_t)))
        link.replies.left = cython.NULL
        stream_free(cython.address(link.replies))
        if self.script.count > 1:
            link.order = cython.cast(bytep, calloc(self.mask + 1, 1))
        owner.members[owner.members_n] = self.links_n
        owner.members_n += 1
        self.links_n += 1
        if link.when == cython.NULL or (self.script.count > 1 and link.order == cython.NULL):
            raise MemoryError
        if epoll_ctl(self.ep, EPOLL_CTL_ADD, fd, _event(EPOLLIN, self.links_n - 1)) < 0:
            raise OSError(errno, os.strerror(errno))

    def set_slots(self, owners: list[int]) -> None:
        """Who owns each of the 16,384 slots, by node index; -1: nobody, its commands go anywhere."""
        slot: cython.int
        node: cython.int
        if self.owner == cython.NULL or len(owners) != _SLOTS:
            raise ValueError("this is no cluster, or the slots are not 16384")
        for slot in range(_SLOTS):
            if not -1 <= owners[slot] < self.nodes_n:
                raise ValueError(f"slot {slot}: there is no node {owners[slot]}")
        for slot in range(_SLOTS):
            self.owner[slot] = owners[slot]
        for node in range(self.nodes_n):
            self.nodes[node].owns = node in owners

    def at_rate(self, per_second: float, start_ns: int, *, poisson: bool = False, spin: bool = False) -> None:
        """Send at that rate instead of in a closed loop, the first command at start_ns (monotonic). poisson: gaps that
        vary as those of many independent clients do, instead of even ones. spin: never sleep, so that sends are on
        time to a microsecond."""
        if not per_second > 0:
            raise ValueError("a rate is above 0")
        self.interval_ns = 1e9 / per_second
        self.next_ns, self.poisson, self.spin = start_ns, poisson, spin
        prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)        # the kernel may end a sleep 50 us late otherwise

    def limit(self, to_send: int) -> None:
        """Send so many commands from now on; without it, until the deadline."""
        self.to_send = to_send

    def stop_at(self, deadline_ns: int) -> None:
        """Nothing more is due from that time on; what was due before is still sent."""
        self.deadline_ns = deadline_ns

    def reset(self) -> None:
        """Forget what was counted: the warm-up is over."""
        i: cython.int
        for i in range(self.script.count):
            tally_reset(cython.address(self.tallies[i]))
        tally_reset(cython.address(self.live))
        tally_reset(cython.address(self.late))
        self.intake.reset()
        self.sent, self.done = self.outstanding, 0
        self.bytes_in = self.bytes_out = 0

    # --- what was found -------------------------------------------------------------------------------------------

    def latencies(self) -> list[Histogram]:
        """By command, ns."""
        return [histogram_of(cython.address(self.tallies[i]), DIGITS) for i in range(self.script.count)]

    def lateness(self) -> Histogram:
        """Rate: how long after they were due commands left, ns."""
        return histogram_of(cython.address(self.late), DIGITS)

    def take_live(self) -> Histogram:
        """The latencies since this was asked last, to two digits, ns."""
        found = histogram_of(cython.address(self.live), LIVE_DIGITS)
        tally_reset(cython.address(self.live))
        return found

    def give_up(self, now_ns: int64_t) -> tuple[int, int]:
        """Stop here: (how many have no reply, how many were due and were not sent). Each counts with the time that it
        has waited up to now, which is less than what it would have been: leaving it out would make the worst look
        best."""
        i: cython.int
        k: cython.int
        place: cython.int
        unsent: int = 0
        unanswered: int = 0
        link: link_p
        node: node_p
        for i in range(self.links_n):
            link = cython.address(self.links[i])
            for k in range(link.due):
                place = (link.head + k) & self.mask
                tally_record_n(cython.address(self.tallies[link.order[place] if link.order != cython.NULL else 0]),
                               now_ns - (link.when[place] if self.interval_ns else link.start_ns), 1)
            unanswered += link.due
        if not self.interval_ns:
            return unanswered, 0
        for i in range(self.nodes_n):
            node = cython.address(self.nodes[i])
            for k in range(node.waiting):
                place = (node.head + k) & (_RING - 1)
                tally_record_n(cython.address(self.tallies[node.ring[place].command]),
                               now_ns - node.ring[place].due_ns, 1)
            unsent += node.waiting
        while self.to_send != 0 and self.next_ns <= now_ns and self.next_ns < self.deadline_ns:
            tally_record_n(cython.address(self.tallies[self.script.choose()]),
                           now_ns - cython.cast(int64_t, self.next_ns), 1)
            self.next_ns += self.gap()
            self.to_send -= self.to_send > 0
            unsent += 1
        return unanswered, unsent

    # --- sending --------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(check=False)
    def gap(self) -> cython.double:
        """The time between two commands, ns."""
        if self.poisson:
            return -log(1.0 - self.script.keys.fraction()) * self.interval_ns
        return self.interval_ns

    @cython.cfunc
    @cython.exceptval(check=False)
    def push(self, node: cython.int, command: cython.int, number: int64_t, due_ns: int64_t) -> cython.void:
        """Put a command behind what waits for the node, which has room."""
        to: node_p = cython.address(self.nodes[node])
        due: due_p
        due = cython.address(to.ring[(to.head + to.waiting) & (_RING - 1)])
        due.command, due.number, due.due_ns = command, number, due_ns
        to.waiting += 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def next_for(self, node: cython.int, due: due_p) -> cython.int:
        """The next command for a node; 0 where the draws gave it none."""
        of: node_p = cython.address(self.nodes[node])
        tries: cython.int
        target: cython.int
        while of.waiting:
            due[0] = of.ring[of.head]
            of.head = (of.head + 1) & (_RING - 1)
            of.waiting -= 1
            target = self.owner_of(due.command, due.number, node)
            if target == node or self.nodes[target].waiting == _RING:
                return 1        # its slot has moved and there is no room: the old owner redirects it
            self.push(target, due.command, due.number, due.due_ns)
        if self.interval_ns:
            return 0
        for tries in range(_DRAWS * self.nodes_n):
            if self.to_send == 0 or self.crowded():
                return 0
            self.to_send -= self.to_send > 0
            due.command = self.script.choose()
            due.number = self.script.number(due.command)
            target = self.owner_of(due.command, due.number, node)
            if target == node:
                return 1
            self.push(target, due.command, due.number, 0)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def owner_of(self, command: cython.int, number: int64_t, otherwise: cython.int) -> cython.int:
        """The node of a command's key; `otherwise` where it has no key or nobody owns its slot."""
        slot: cython.int
        if self.owner == cython.NULL:
            return otherwise
        slot = self.script.slot_of(command, number)
        return otherwise if slot < 0 or self.owner[slot] < 0 else self.owner[slot]

    @cython.cfunc
    @cython.exceptval(check=False)
    def crowded(self) -> cython.bint:
        """Whether a ring is full: then nothing is drawn, since a command that was drawn is never dropped."""
        node: cython.int
        for node in range(self.nodes_n):
            if self.nodes[node].waiting == _RING:
                return True
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fill(self, link: link_p, now_ns: int64_t) -> cython.int:
        """Closed loop: send a pipeline over a connection that waits for nothing."""
        k: cython.int
        count: cython.int = self.pipeline
        size: cython.Py_ssize_t
        p: bytep = self.build
        due: Due
        if not (self.nodes[link.node].owns and self.has_more(now_ns)):
            return 0
        if self.script.fixed and self.owner == cython.NULL:
            size = self.script.longest
            if self.to_send >= 0:
                count = cython.cast(cython.int, min(cython.cast(int64_t, count), self.to_send))
                self.to_send -= count
            for k in range(count):
                self.script.patch(p, 0, self.script.number(0))
                p += size
        else:
            for k in range(count):
                if not self.next_for(link.node, cython.address(due)):
                    count = k
                    break
                if link.order != cython.NULL:
                    link.order[(link.head + k) & self.mask] = due.command
                p += self.script.emit(p, due.command, due.number)
        if count == 0:
            self.idle += 1
            return 0
        link.start_ns = now_ns
        return self.send_built(link, apart(p, self.build), count)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pump(self, now_ns: int64_t) -> cython.int:
        """Rate: whatever is due goes to its node, and from there onto connections."""
        node: cython.int
        command: cython.int
        number: int64_t
        while self.next_ns <= now_ns and self.next_ns < self.deadline_ns and self.to_send != 0 and not self.crowded():
            command = self.script.choose()
            number = self.script.number(command)
            node = self.owner_of(command, number, cython.cast(cython.int, self.sent % self.nodes_n))
            self.push(node, command, number, cython.cast(int64_t, self.next_ns))
            self.next_ns += self.gap()
            self.to_send -= self.to_send > 0
        for node in range(self.nodes_n):
            if self.nodes[node].waiting:
                self.flush(node, now_ns)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self, node: cython.int, now_ns: int64_t) -> cython.int:
        """Rate: what waits for a node, spread over its connections that have room."""
        k: cython.int
        count: cython.int
        place: cython.int
        share: cython.int = 1
        p: bytep
        due: Due
        link: link_p
        of: node_p = cython.address(self.nodes[node])
        if of.members_n:
            share = (of.waiting + of.members_n - 1) // of.members_n
        while of.waiting and of.full < of.members_n:
            link = cython.address(self.links[of.members[of.cursor]])
            of.cursor = of.cursor + 1 if of.cursor + 1 < of.members_n else 0
            count = min(self.pipeline - link.due, share, of.waiting)
            if count <= 0:
                continue
            p = self.build
            for k in range(count):
                if not self.next_for(node, cython.address(due)):
                    count = k
                    break
                place = (link.head + link.due + k) & self.mask
                link.when[place] = due.due_ns
                if link.order != cython.NULL:
                    link.order[place] = due.command
                tally_record_n(cython.address(self.late), now_ns - due.due_ns, 1)
                if self.script.fixed:
                    self.script.patch(p, 0, due.number)
                    p += self.script.longest
                else:
                    p += self.script.emit(p, due.command, due.number)
            if count:
                self.send_built(link, apart(p, self.build), count)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_built(self, link: link_p, n: cython.Py_ssize_t, count: cython.int) -> cython.int:
        """Send the n bytes of `count` commands in the build buffer; what the kernel does not take is kept."""
        gone: cython.Py_ssize_t = 0
        need: cython.Py_ssize_t
        link.due += count
        self.sent += count
        self.outstanding += count
        self.bytes_out += n
        if link.due == self.pipeline:
            self.nodes[link.node].full += 1
        if link.out_n == 0:
            gone = send(link.fd, self.build, n, MSG_NOSIGNAL | MSG_DONTWAIT)
            if gone == n:
                return 0
            if gone < 0:
                if errno != EAGAIN and errno != EINTR:
                    raise OSError(errno, os.strerror(errno))
                gone = 0
            self.watch(link, EPOLLIN | EPOLLOUT)
        need = link.out_n + n - gone
        if need > link.out_cap:
            link.out = cython.cast(bytep, regrow(link.out, need))
            link.out_cap = need
        memcpy(link.out + link.out_n, self.build + gone, n - gone)
        link.out_n = need
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def watch(self, link: link_p, events: uint32_t) -> cython.int:
        """What epoll reports of a connection."""
        index: cython.Py_ssize_t = apart(link, self.links)
        if epoll_ctl(self.ep, EPOLL_CTL_MOD, link.fd, _event(events, index // cython.sizeof(Link))) < 0:
            raise OSError(errno, os.strerror(errno))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_writable(self, link: link_p) -> cython.int:
        """Send what was kept."""
        gone: cython.Py_ssize_t = send(link.fd, link.out + link.out_at, link.out_n - link.out_at,
                                       MSG_NOSIGNAL | MSG_DONTWAIT)
        if gone < 0:
            if errno != EAGAIN and errno != EINTR:
                raise OSError(errno, os.strerror(errno))
            return 0
        link.out_at += gone
        if link.out_at == link.out_n:
            link.out_at = link.out_n = 0
            self.watch(link, EPOLLIN)
        return 0

    # --- receiving ------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_readable(self, link: link_p) -> cython.int:
        """Read once; count replies; in a closed loop send again when all are there."""
        got: cython.Py_ssize_t
        room: cython.Py_ssize_t
        kept: cython.Py_ssize_t = link.replies.left_n
        p: bytep = self.shared
        count: cython.int
        now_ns: int64_t
        if kept:
            room = kept + _READ_BYTES
            if room > link.replies.left_cap:
                room += kept
                link.replies.left = cython.cast(bytep, regrow(link.replies.left, room))
                link.replies.left_cap = room
            p = link.replies.left
        got = recv(link.fd, p + kept, _READ_BYTES, MSG_DONTWAIT)
        if got <= 0:
            if got < 0 and (errno == EAGAIN or errno == EINTR):
                return 0
            if got == 0:
                raise ConnectionResetError("the server closed a connection")
            raise OSError(errno, os.strerror(errno))
        now_ns = monotonic_ns()
        self.bytes_in += got
        count = self.intake.take(cython.address(link.replies), p, kept + got, link.due, link.order, link.head,
                                 self.mask)
        if count:
            self.account(link, count, now_ns)
            if link.due == 0 and not self.interval_ns:
                self.fill(link, now_ns)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def account(self, link: link_p, count: cython.int, now_ns: int64_t) -> cython.void:
        """`count` replies came: their latencies, and what is outstanding."""
        k: cython.int
        place: cython.int
        took: int64_t = now_ns - link.start_ns
        if self.interval_ns or link.order != cython.NULL:
            for k in range(count):
                place = (link.head + k) & self.mask
                if self.interval_ns:
                    took = now_ns - link.when[place]
                tally_record_n(cython.address(self.tallies[link.order[place] if link.order != cython.NULL else 0]),
                               took, 1)
                tally_record_n(cython.address(self.live), took, 1)
        else:
            tally_record_n(cython.address(self.tallies[0]), took, count)
            tally_record_n(cython.address(self.live), took, count)
        if link.due == self.pipeline:
            self.nodes[link.node].full -= 1
        link.head = (link.head + count) & self.mask
        link.due -= count
        self.outstanding -= count
        self.done += count

    # --- the loop -------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(check=False)
    def has_more(self, now_ns: int64_t) -> cython.bint:
        """Whether commands are still to be sent."""
        node: cython.int
        if not self.interval_ns and now_ns >= self.deadline_ns:
            return False
        for node in range(self.nodes_n):
            if self.nodes[node].waiting:
                return True
        return self.to_send != 0 and (not self.interval_ns or self.next_ns < self.deadline_ns)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def kick(self, now_ns: int64_t) -> cython.int:
        """Closed loop: start connections that have nothing outstanding."""
        i: cython.int
        self.idle = 0
        for i in range(self.links_n):
            if self.links[i].due == 0 and self.links[i].out_n == 0:
                self.fill(cython.address(self.links[i]), now_ns)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def wait(self, now_ns: int64_t, until_ns: int64_t) -> cython.int:
        """How long epoll may wait, ms. For less than a millisecond this sleeps itself and the answer is 0."""
        fds: pollfd
        t: timespec
        left_ns: int64_t = until_ns - now_ns
        if self.interval_ns and self.to_send != 0 and self.next_ns < self.deadline_ns:
            if self.spin:
                return 0
            # with all connections full nothing can leave before a reply comes
            if self.nodes_n > 1 or self.nodes[0].waiting == 0:
                left_ns = min(left_ns, cython.cast(int64_t, self.next_ns) - now_ns)
        if left_ns < _POLL_BELOW_NS:
            return 0
        fds.fd, fds.events, fds.revents = self.ep, POLLIN, 0
        t.tv_sec = left_ns // 1000000000
        t.tv_nsec = left_ns % 1000000000
        if self.interval_ns:
            ppoll(cython.address(fds), 1, cython.address(t), cython.NULL)
            return 0
        return cython.cast(cython.int, min(left_ns // 1000000 + 1, 1000))

    def run(self, until_ns: int64_t) -> bool:
        """Go on until that time (monotonic), and look once at least, however late it is; whether all is done: nothing
        to send, nothing outstanding.

        Raises ReplyError, OSError where a connection breaks.
        """
        events: epoll_event[256]
        i: cython.int
        n: cython.int
        link: link_p
        looked: cython.bint = False
        now_ns: int64_t = monotonic_ns()
        if self.interval_ns:
            self.pump(now_ns)
        else:
            self.kick(now_ns)
        while self.outstanding or self.has_more(now_ns):
            if looked and now_ns >= until_ns:
                return False
            looked = True
            n = epoll_wait(self.ep, events, _EVENTS, self.wait(now_ns, until_ns))
            for i in range(n):
                link = cython.address(self.links[events[i].data.u32])
                if link.out_n and events[i].events & EPOLLOUT:
                    self.on_writable(link)
                if events[i].events & ~EPOLLOUT:
                    self.on_readable(link)
            now_ns = monotonic_ns()
            if self.interval_ns:
                self.pump(now_ns)
            elif self.idle:
                self.kick(now_ns)
        return True
