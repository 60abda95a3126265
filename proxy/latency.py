"""How long commands take as clients see it, and where that time is spent: in the proxy, at the engine, on the way back.

Owns: which commands are sampled, their times, the histograms. Does not own the places where something happens to a
command (session, link, replies), which call in here for a sampled one only.

         wake-up         Link.flush                wake-up        send() took the last byte
    client  |--- queue ----|------- engine ----------|--- network ---|  client
            |                                        |
         epoll_wait returned with                 epoll_wait returned with
         the command's bytes                      the engine's reply

    queue     from the wake-up that brought the command until its bytes went to the engine's link: waiting behind
              others that came in the same wake-up, parsing, routing
    engine    until the wake-up that brought the reply, of a long one its beginning: the way there and back, waiting
              for commands of others, running
    network   until the kernel has taken the reply's last byte for the client: waiting for the rest of a long reply,
              for an earlier reply of another engine, for others in the same wake-up, and for a client that does not
              read
    total     all three

What the client's request and its reply spend in the network itself nobody here can know. Only commands that go to one
engine as they came are sampled: parts of a split command, and what is answered here, are not; nor is a command that had
to wait for its engine to come back, or was sent on after a MOVED.

One command in `every` is sampled, at random gaps, since a fixed step would meet the same place of every pipeline. The
other ones cost a comparison at each of three places. Of a sample is known only its place: in its link's ring (Trace),
later in its client's queue (`unfinished`); its link is lost, its client gone, or too many are under way: then it is
dropped.

Invariants: a Trace's samples are in the order of the ring; those before `unwritten` have been written. What is in
`unfinished` has been answered. came_us <= written_us <= answered_us but for a clock that stands: differences are never
below 0.
"""
from typing import Any

import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.proxy.latency import SAMPLES_MAX, Sample, SampleP
from cython.cimports.proxy.replies import ReplyQueue
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import ticks
from cython.cimports.shardd.structures.histogram import Histogram

from shardd.base import limits

PARTS = ("queue", "engine", "network", "total")

_NEVER = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)
_SAMPLES = cython.declare(uint64_t, SAMPLES_MAX)


@cython.final
@cython.cclass
class Trace:
    """See the head of the module. Made by a Link with its first sampled command."""

    def __cinit__(self, latency: Latency) -> None:
        self.latency = latency

    @cython.cfunc
    @cython.exceptval(check=False)
    def add(self, at: uint64_t, came_us: int64_t) -> uint64_t:
        """Sample the command at this place of the ring; returns the place of the first."""
        sample: SampleP
        if self.tail - self.head < _SAMPLES:
            sample = cython.address(self.ring[self.tail % _SAMPLES])
            sample.at = at
            sample.came_us = came_us
            sample.written_us = sample.answered_us = 0
            self.tail += 1
        else:
            self.latency.dropped += 1
        return self.ring[self.head % _SAMPLES].at

    @cython.cfunc
    @cython.exceptval(check=False)
    def written(self) -> cython.int:
        """All that the link has collected went to the engine."""
        now_us: int64_t
        if self.unwritten != self.tail:
            now_us = monotonic_us()
            while self.unwritten != self.tail:
                self.ring[self.unwritten % _SAMPLES].written_us = now_us
                self.unwritten += 1
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def begun(self, now_us: int64_t) -> cython.int:
        """The beginning of the first one's reply is here; now_us: the wake-up."""
        sample: SampleP = cython.address(self.ring[self.head % _SAMPLES])
        if sample.answered_us == 0:
            sample.answered_us = now_us
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def answered(self, queue: ReplyQueue, seq: uint64_t, now_us: int64_t) -> cython.int:
        """The first one's reply is here; now_us: the wake-up."""
        latency: Latency = self.latency
        sample: SampleP = cython.address(self.ring[self.head % _SAMPLES])
        if latency.unsent >= SAMPLES_MAX or sample.written_us == 0:
            latency.dropped += 1
            return 0
        self.begun(now_us)
        sample.at = seq
        sample.upto = 0
        latency.unfinished[latency.unsent] = sample[0]
        latency.clients.append(queue)
        latency.unsent += 1
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def pop(self) -> uint64_t:
        """The first one is not in the ring any more; returns the place of the next, all ones where there is none."""
        self.head += 1
        if self.unwritten < self.head:
            self.unwritten = self.head
        return self.ring[self.head % _SAMPLES].at if self.head != self.tail else _NEVER

    @cython.cfunc
    @cython.exceptval(check=False)
    def clear(self) -> uint64_t:
        """The ring is another one now; returns what pop() does."""
        self.latency.dropped += self.tail - self.head
        self.head = self.unwritten = self.tail
        return _NEVER


@cython.final
@cython.cclass
class Latency:
    """See the head of the module. Histograms count us, up to limits.LATENCY_US_MAX."""

    def __cinit__(self, every: cython.int = 0) -> None:
        self.queue = Histogram(2, limits.LATENCY_US_MAX)
        self.engine = Histogram(2, limits.LATENCY_US_MAX)
        self.network = Histogram(2, limits.LATENCY_US_MAX)
        self.total = Histogram(2, limits.LATENCY_US_MAX)
        self.clients = []
        self.random = ticks() | 1
        self.every = every
        self.next_due(0)

    def set_every(self, every: int, commands: int = 0) -> None:
        """proxy-latency-sample: sample one command in `every`, 0 none. commands: how many there have been."""
        self.every = every
        self.next_due(commands)

    @cython.cfunc
    @cython.overflowcheck(False)        # bits are shifted out
    @cython.exceptval(check=False)
    def next_due(self, commands: uint64_t) -> cython.int:
        """After so many commands: when is the next sample? In `every` commands on average."""
        if self.every <= 0:
            self.due = _NEVER
            return 0
        self.random ^= self.random << 13        # xorshift64: Marsaglia, "Xorshift RNGs", 2003
        self.random ^= self.random >> 7
        self.random ^= self.random << 17
        self.due = commands + 1 + self.random % cython.cast(uint64_t, 2 * self.every - 1)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish(self) -> cython.int:
        """The end of a wake-up: look which clients have got their replies."""
        queue: ReplyQueue
        sample: SampleP
        now_us: int64_t = monotonic_us()
        i: cython.int
        kept: cython.int = 0
        for i in range(self.unsent):
            queue = self.clients[i]
            sample = cython.address(self.unfinished[i])
            if queue.dead:
                self.dropped += 1
                continue
            if queue.head > sample.at:
                if sample.upto == 0:
                    sample.upto = queue.transport.bytes_out + queue.transport.out_len
                if queue.transport.bytes_out >= sample.upto:
                    self.record(sample, now_us)
                    continue
            self.unfinished[kept] = sample[0]
            self.clients[kept] = queue
            kept += 1
        self.unsent = kept
        del self.clients[kept:]
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def record(self, sample: SampleP, now_us: int64_t) -> cython.int:
        """A sampled command has come to its end."""
        self.queue.record(sample.written_us - sample.came_us)
        self.engine.record(sample.answered_us - sample.written_us)
        self.network.record(now_us - sample.answered_us)
        self.total.record(now_us - sample.came_us)
        return 0

    # --- for plain callers ----------------------------------------------------------------------------------------

    @property
    def under_way(self) -> int:
        """Sampled commands whose reply is here and not with its client."""
        return self.unsent

    def histograms(self) -> dict[str, Histogram]:
        """By part."""
        return dict(zip(PARTS, (self.queue, self.engine, self.network, self.total)))

    def dump(self) -> dict[str, Any]:
        """For JSON: every, dropped, and parts: name -> what Histogram.load reads."""
        return {"every": self.every, "dropped": self.dropped,
                "parts": {part: histogram.dump() for part, histogram in self.histograms().items()}}

    def reset(self) -> None:
        """CONFIG RESETSTAT: the commands are counted anew, too."""
        for histogram in self.histograms().values():
            histogram.reset()
        self.dropped = 0
        self.next_due(0)


def merged(dumps: list[dict[str, Any]]) -> dict[str, Histogram]:
    """The histograms by part of several proxies' dumps as one's."""
    whole = {part: Histogram(2, limits.LATENCY_US_MAX) for part in PARTS}
    for dumped in dumps:
        for part, histogram in whole.items():
            histogram.merge(Histogram.load(dumped["parts"][part]))
    return whole


def counts_upto(histogram: Histogram) -> list[int]:
    """How many values are at or below each of limits.LATENCY_BOUNDS_US."""
    return [histogram.count_upto(bound) for bound in limits.LATENCY_BOUNDS_US]
