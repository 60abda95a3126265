"""The engines: which links there are to each, and the slot map.

Owns: an engine's links by lane, how many there are and what becomes of those that step aside, the list of engines, who
serves which slot. Does not own what happens on a link (link), which engine or lane a command goes to (router, session),
or what a reply means (replies, merge).

A reply's form is its connection's, so there is a link per version of the protocol; and replies come in order, so a
command that takes long, or whose reply is long, would hold up the replies behind it. Hence lanes:

    engine 0    shared    resp2  resp3      commands with keys, and quick ones: nearly everything
                long      resp2  resp3      the whole keyspace: KEYS, SCAN, FLUSHALL
                control   resp2  resp3      about the server: INFO, CONFIG, SLOWLOG; what fills the others is not here
                private   ...               had a lane when a large reply came, and finishes
                idle      ...               for the next lane, or the next borrower
                lent      ...               one Task's, for several commands in a row (`borrow`, `give_back`)

    rotate:   lane's link --> private --> (all answered) --> idle or closed
              idle, or new --> lane's link

All but the shared lane's connect when they are needed first. A client's commands to one engine take effect in its
order, as long as it has commands in flight on one link only: the session holds a client that changes lanes, and so does
Receiver.detour where a link rotates.

Invariants: a link is in one place: a lane, `private`, `idle` or `lent`, and its role says which. At most
limits.PROXY_PRIVATE_LINKS_MAX links of an engine are private, limits.PROXY_LENT_LINKS_MAX are lent.
"""
import cython
from cython.cimports.proxy.latency import Latency
from cython.cimports.proxy.link import (
    LANE_SHARED, LANES, LINK_DOWN, LINK_UP, ROLE_IDLE, ROLE_LANE, ROLE_LENT, ROLE_PRIVATE, Link, Switch, Upstream)
from cython.cimports.proxy.replies import Outbox
from cython.cimports.shardd.net.reactor import Reactor

from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.cluster.topology import EngineInfo, Topology

SLOTS = cython.declare(cython.int, limits.SLOTS)
_PRIVATE_MAX = cython.declare(cython.int, limits.PROXY_PRIVATE_LINKS_MAX)
_LENT_MAX = cython.declare(cython.int, limits.PROXY_LENT_LINKS_MAX)
_IDLE_MAX = cython.declare(cython.int, limits.PROXY_IDLE_LINKS_MAX)


@cython.final
@cython.cclass
class Engine(Upstream):
    """One engine of the topology. index: as users count engines."""

    def __cinit__(self, backends: Backends, info: object) -> None:
        self.switch = backends
        self.info = info
        self.index = info.index
        self.loading = info.loading
        self.resp2 = Link(self, 2, LANE_SHARED)
        self.resp3 = Link(self, 3, LANE_SHARED)
        self.lanes = [None] * (2 * LANES)
        self.private = []
        self.idle = []
        self.lent = set()

    # --- lanes ----------------------------------------------------------------------------------------------------

    @cython.cfunc
    def at(self, lane: cython.int, resp: cython.int) -> Link:
        """The link of a lane for a version of the protocol."""
        place: cython.int = 2 * lane + (1 if resp == 3 else 0)
        if lane == LANE_SHARED:
            return self.resp3 if resp == 3 else self.resp2
        if self.lanes[place] is None:
            self.put(self.spare(resp, lane))
        return self.lanes[place]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put(self, link: Link) -> cython.int:
        """Have a link take its lane."""
        if link.lane != LANE_SHARED:
            self.lanes[2 * link.lane + (1 if link.resp == 3 else 0)] = link
        elif link.resp == 3:
            self.resp3 = link
        else:
            self.resp2 = link
        return 0

    @cython.cfunc
    def spare(self, resp: cython.int, lane: cython.int) -> Link:
        """An idle link, or a new one, which connects when something is sent."""
        link: Link
        for link in reversed(self.idle):
            if link.resp == resp and not link.transport.closing:    # such a one is gone before the next wake-up
                self.idle.remove(link)
                link.set_role(ROLE_LANE, lane)
                return link
        return Link(self, resp, lane)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def rotate(self, link: Link) -> cython.bint:
        """Another link takes the lane of this one, which becomes private. No: there are too many."""
        if len(self.private) >= _PRIVATE_MAX or self.removed:
            return False
        self.switch.rotations += 1
        self.put(self.spare(link.resp, link.lane))
        link.set_role(ROLE_PRIVATE, link.lane)
        self.private.append(link)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def park(self, link: Link) -> cython.int:
        """A private link has nothing left to do, or a lent one is back."""
        if link in self.private:
            self.private.remove(link)
        if link.state == LINK_UP and len(self.idle) < _IDLE_MAX and not self.removed:
            link.set_role(ROLE_IDLE, link.lane)
            self.idle.append(link)
        else:
            link.stop()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def forget(self, link: Link) -> cython.int:
        """A link that is no lane's has ended."""
        self.lent.discard(link)
        for links in (self.private, self.idle):
            if link in links:
                links.remove(link)
        link.retired = True
        return link.free_buf()

    # --- for plain callers ----------------------------------------------------------------------------------------

    def borrow(self, resp: int = 2) -> Link:
        """A connection for the caller alone, until `give_back`: Ask takes it in the place of an engine.

        It may not stand yet, or never. Once it is lost, all that is sent over it fails: the caller must start anew.
        CommandError where too many are lent.
        """
        link: Link
        if len(self.lent) >= _LENT_MAX:
            raise CommandError(errors.engine_overloaded(self.index))
        link = self.spare(resp, LANE_SHARED)
        link.set_role(ROLE_LENT, LANE_SHARED)
        self.lent.add(link)
        return link

    def give_back(self, link: Link) -> None:
        """The borrower is done. What it has left unanswered is lost with the connection."""
        if link not in self.lent:       # it has ended
            return
        self.lent.remove(link)
        if link.head == link.tail:
            self.park(link)
        else:
            link.retired = True
            link.cut()

    def discard(self, link: Link) -> None:
        """The borrower is done, and nobody may have the connection after it: it ends."""
        if link in self.lent:
            self.lent.remove(link)
        link.retired = True
        if link.state == LINK_UP:
            link.cut()
        else:
            link.stop()

    def links(self) -> list[Link]:
        """All there are."""
        return [self.resp2, self.resp3, *filter(None, self.lanes), *self.private, *self.idle, *self.lent]

    @property
    def up(self) -> bool:
        """Whether a link stands; what it looks like from here, not from the supervisor."""
        link: Link
        for link in self.links():
            if link.state == LINK_UP:
                return True
        return False

    def update(self, info: EngineInfo) -> None:
        """Its address may be another one, and the supervisor may have lost it, or have it back.

        An engine that hangs keeps its connections, so the supervisor's word ends them: their commands get an error, and
        no link connects before the word changes. An engine that was never up is not waited for: links just try. One
        that loads its data says so itself, to each command that needs it.
        """
        was_up: cython.bint = self.info.answers
        self.info = info
        self.index = info.index
        self.loading = info.loading
        if info.answers:
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


@cython.final
@cython.cclass
class Backends(Switch):
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
        self.latency = Latency()
        self.password = ""
        self.retry_ms = limits.PROXY_RETRY_MS
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
        self.loading = sum(info.loading for info in topology.engines)
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
    def at_port(self, port: cython.int) -> Upstream:
        """The engine that clients are sent to at this TCP port, or None: all engines of one host differ in it."""
        engine: Engine
        for engine in self.engines:
            if engine.info.client_port == port:
                return engine
        return None

    @cython.cfunc
    def owner_of(self, slot: cython.int) -> Upstream:
        """The engine that serves a slot by our topology, or None."""
        if not 0 <= slot < SLOTS or self.owners[slot] < 0:
            return None
        return self.engines[self.owners[slot]]

    def check(self, now_ms: int) -> None:
        """Cron."""
        for engine in self.engines:
            for link in engine.links():
                link.check(now_ms)
            if len(engine.idle) > limits.PROXY_IDLE_LINKS_KEPT:
                engine.idle[0].stop()       # it was parked first

    def close(self) -> None:
        """The process ends."""
        self.schedule = None
        for engine in self.engines:
            engine.remove()
