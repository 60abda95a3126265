"""Channels: who listens to what, and the messages that are on their way to them.

    rooms     three dicts, by Room:   "news" -> {client 7, client 3}    "n*" -> {client 9}    shard channels
    client    .subscriptions          the same from the other side: three dicts of names, None as long as there are none
              .outbox                 messages (RESP, encoded once per protocol, shared by all who get them)

    publish --> deliver --> outbox ---- take, by whoever drives the connections ----> the client's bytes

Owns: subscriptions and outboxes of one process. Does not own the commands (commands.pubsub), keyspace events, or when
an outbox goes out. Its driver must put what a client has in its outbox before the replies to commands that this client
sends later, and behind those it sent before: then everybody sees one order of things.

Invariants: a client is in a room exactly as long as the room's name is in its `subscriptions`; no room is empty. The
flag PUBSUB says that there is any subscription, MESSAGES that the outbox is not empty; then the client is in `waiting`.
What one client has in its outbox is bounded by its output buffer's hard limit: who passes it is cut off.
"""
import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.shardd.net.channels import CHANNEL, PATTERN, SHARD_CHANNEL
from cython.cimports.shardd.net.client import Client, ClientFlag
from cython.cimports.shardd.structures.glob import glob_match
from cython.cimports.shardd.wire.reply import Reply

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

SUBSCRIPTION_BYTES = cython.declare(cython.Py_ssize_t, limits.SUBSCRIPTION_BYTES)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _matches(pattern: bytes, text: bytes) -> cython.bint:
    return glob_match(cython.cast(const_bytes, PyBytes_AS_STRING(pattern)), PyBytes_GET_SIZE(pattern),
                      cython.cast(const_bytes, PyBytes_AS_STRING(text)), PyBytes_GET_SIZE(text), False)


@cython.final
@cython.cclass
class Channels:
    """The rooms of one process."""

    def __cinit__(self) -> None:
        self.rooms = ({}, {}, {})
        self.waiting = []
        self.scratch = Reply()

    # ---- who listens

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def enter(self, client: Client, room: cython.int, name: bytes) -> cython.bint:
        """A client listens to `name` from now on; False where it did before."""
        rooms: dict = self.rooms[room]
        mine: dict
        clients: dict
        if client.subscriptions is None:
            client.subscriptions = ({}, {}, {})
        mine = client.subscriptions[room]
        if name in mine:
            return False
        clients = rooms.get(name)
        if clients is None:
            clients = rooms[name] = {}
        clients[client] = None
        mine[name] = None
        client.keep(0, SUBSCRIPTION_BYTES + len(name))
        client.flags |= ClientFlag.PUBSUB
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def leave(self, client: Client, room: cython.int, name: bytes) -> cython.bint:
        """A client no longer listens to `name`; False where it did not."""
        rooms: dict = self.rooms[room]
        mine: dict
        clients: dict
        if client.subscriptions is None:
            return False
        mine = client.subscriptions[room]
        if name not in mine:
            return False
        del mine[name]
        client.keep(0, -SUBSCRIPTION_BYTES - len(name))
        clients = rooms[name]
        del clients[client]
        if not clients:
            del rooms[name]
        if not (client.subscriptions[0] or client.subscriptions[1] or client.subscriptions[2]):
            client.subscriptions = None
            client.flags &= ~cython.cast(cython.uint, ClientFlag.PUBSUB)
        return True

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def leave_all(self, client: Client) -> cython.int:
        """A client listens to nothing any more (RESET), or is gone; what is on its way to it stays so."""
        room: cython.int
        for room in range(3):
            if client.subscriptions is not None:
                for name in list(client.subscriptions[room]):
                    self.leave(client, room, name)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def confirm(self, out: Reply, client: Client, room: cython.int, word: bytes, name: bytes | None) -> cython.int:
        """The push that tells a client what happened, to which name (None: to none), and how many are left."""
        out.push(3)
        out.bulk(PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
        if name is None:
            out.null()
        else:
            out.bulk(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        return out.integer(self.listed(client, room))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_left(self, client: Client, room: cython.int, word: bytes, name: bytes | None) -> cython.int:
        """Tell a client that it was taken out of a room."""
        self.scratch.clear()
        self.scratch.resp = client.resp
        self.confirm(self.scratch, client, room, word, name)
        return self.send(client, cython.cast(cython.p_char, self.scratch.buf)[:self.scratch.len])

    @cython.cfunc
    @cython.exceptval(check=False)
    def listed(self, client: Client, room: cython.int) -> cython.int:
        """What a confirmation counts: a client's channels and patterns together, or its shard channels."""
        mine: tuple = client.subscriptions
        if mine is None:
            return 0
        if room == SHARD_CHANNEL:
            return len(cython.cast(dict, mine[SHARD_CHANNEL]))
        return len(cython.cast(dict, mine[CHANNEL])) + len(cython.cast(dict, mine[PATTERN]))

    def names(self, room: int, pattern: bytes | None = None) -> list[bytes]:
        """The names that somebody listens to, those that match a pattern."""
        name: bytes
        return [name for name in self.rooms[room] if pattern is None or _matches(pattern, name)]

    def listeners(self, room: int, name: bytes) -> int:
        """How many clients listen to a name."""
        return len(self.rooms[room].get(name, ()))

    def clients(self) -> set:
        """Everybody who listens to anything."""
        return {client for rooms in self.rooms for clients in rooms.values() for client in clients}

    # ---- messages

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def publish(self, channel: bytes, message: bytes, sharded: cython.bint = False) -> cython.int:
        """Send a message; how many clients get it, one per pattern that matches. MemoryError: some may not."""
        count: cython.int = 0
        rooms: dict = self.rooms[SHARD_CHANNEL if sharded else CHANNEL]
        clients: dict = rooms.get(channel)
        pattern: bytes
        if clients is not None:
            count = self.deliver(clients, b"smessage" if sharded else b"message", None, channel, message)
        if not sharded:
            rooms = self.rooms[PATTERN]
            for pattern, clients in rooms.items():
                if _matches(pattern, channel):
                    count += self.deliver(clients, b"pmessage", pattern, channel, message)
        return count

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def deliver(self, clients: dict, word: bytes, pattern: bytes | None, channel: bytes, message: bytes) -> cython.int:
        """The same message for everybody in a room; how many that are."""
        client: Client
        in_2: bytes = None
        in_3: bytes = None
        for client in clients:
            if client.resp == 3:
                if in_3 is None:
                    in_3 = self.encoded(3, word, pattern, channel, message)
                self.send(client, in_3)
            else:
                if in_2 is None:
                    in_2 = self.encoded(2, word, pattern, channel, message)
                self.send(client, in_2)
        return len(clients)

    @cython.cfunc
    def encoded(self, resp: cython.int, word: bytes, pattern: bytes | None, channel: bytes, message: bytes) -> bytes:
        """A message as RESP; `pattern` None where none has led to it. MemoryError."""
        out: Reply = self.scratch
        out.clear()
        out.resp = resp
        out.push(3 if pattern is None else 4)
        out.bulk(PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
        if pattern is not None:
            out.bulk(PyBytes_AS_STRING(pattern), PyBytes_GET_SIZE(pattern))
        out.bulk(PyBytes_AS_STRING(channel), PyBytes_GET_SIZE(channel))
        out.bulk(PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
        return cython.cast(cython.p_char, out.buf)[:out.len]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send(self, client: Client, data: bytes) -> cython.int:
        """Into a client's outbox. One that leaves more than its limit unread is cut off."""
        if client.transport is None or client.transport.closing:
            return 0
        if client.outbox is None:
            client.outbox = []
            client.flags |= ClientFlag.MESSAGES
            self.waiting.append(client)
        client.outbox.append(data)
        client.outbox_bytes += len(data)
        if self.unsent_bytes_max and client.outbox_bytes + client.transport.out_len > self.unsent_bytes_max:
            self.over_limit(client, client.outbox_bytes + client.transport.out_len)
            self.take(client)
        return 0

    @cython.cfunc
    def take(self, client: Client) -> bytes:
        """What is in a client's outbox, which is empty then."""
        box: list = client.outbox
        client.outbox = None
        client.outbox_bytes = 0
        client.flags &= ~cython.cast(cython.uint, ClientFlag.MESSAGES)
        if box is None:
            return b""
        return box[0] if len(box) == 1 else b"".join(box)
