"""What an engine's memory is used for, by part.

    used_memory = data         native memory of the keyspace: slots, tables, entries, values; exact (structures.alloc)
                + clients      what clients have sent and not yet got: their buffers, exact, and their objects, those
                               of what they watch, wait for and listen to included
                + links        the same of connections within the tree: the supervisor's and the proxies'
                + journal      effects on their way to readers
                + shared       the buffers that every command runs through: what was read, the replies of one turn

Data, clients and links count towards maxmemory; the journal and what is shared do not (mem_not_counted_for_evict): they
grow because of eviction, or last for one turn. What Python itself takes, some 30 MB, shows in the resident memory
alone.

Owns: these sums, the peak. Does not own the fields of INFO (commands.facts), or eviction (keyspace.eviction).
"""
from typing import Any, NamedTuple

from shardd.base import limits
from shardd.engine.session import Session
from shardd.net.transport import Transport
from shardd.structures import alloc

CLIENT_OBJECTS_BYTES: int = Session.__basicsize__ + Transport.__basicsize__
"""Of one connection, beside its buffers."""


class Parts(NamedTuple):
    """The sums, bytes."""

    data: int
    clients: int
    links: int
    journal: int
    shared: int

    @property
    def used(self) -> int:
        """used_memory"""
        return sum(self)

    @property
    def not_counted(self) -> int:
        """What maxmemory does not see."""
        return self.journal + self.shared


class Memory:
    """The memory of one engine."""

    def __init__(self, server: Any) -> None:
        """server: engine.server.Server, with its reactor and its dispatcher."""
        self._server = server
        self.peak = 0
        self.startup = self.parts()

    def parts(self) -> Parts:
        """The sums of this moment; also notes the peak, and what eviction cannot see by itself."""
        server = self._server
        clients, dispatcher = server.clients, server.dispatcher
        links = 0
        for number in clients.internal:
            transport = clients.by_id[number].transport
            links += CLIENT_OBJECTS_BYTES + (transport.in_cap + transport.out_cap if transport is not None else 0)
        objects = CLIENT_OBJECTS_BYTES * len(clients.by_id) + clients.object_bytes
        server.evictor.aside_bytes = objects
        parts = Parts(data=alloc.used_memory(), clients=server.reactor.buffer_bytes + objects - links, links=links,
                      journal=server.journal.held_bytes, shared=dispatcher.held_bytes + limits.READ_BUFFER_BYTES)
        self.peak = max(self.peak, parts.used)
        return parts
