"""What a client has between MULTI and EXEC, and EXEC on one engine.

Owns: the commands that wait for EXEC, the links that watch keys for a client, and what becomes of EXEC's reply. Does
not own what is checked before a command is queued (session), or transactions that need more than one engine or this
process's own commands (execute).

A proxy queues by itself. Name, arity and what may not stand in a transaction are known here, so that MULTI and the
commands behind it cost no engine anything, and bind no connection; with EXEC all of it goes out in one piece:

    client   MULTI  SET a 1  INCR b  EXEC
              +OK   +QUEUED  +QUEUED
    link                              MULTI SET a 1 INCR b EXEC        one batch over the link that all clients share
                                        +OK  +QUEUED  +QUEUED  *2 ...  the last one is the client's

An engine runs it as it runs any transaction: as one step, with one MULTI/EXEC in its journal. What it refuses when the
command is queued (out of memory, a slot that is not its own) makes it refuse EXEC, and EXEC's error says why.

WATCH needs a connection that the engine knows the client by: one is borrowed for the engine of the keys, and EXEC goes
over it. It is given back with EXEC and UNWATCH, and closed with DISCARD, RESET and the client's end. Where it is lost,
EXEC is refused as not executed: nobody knows what has happened to the keys.

Invariants: a batch whose EXEC was not taken by the kernel was not executed, and only such a one is ever sent again. A
link that is given back watches nothing.
"""
import cython
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.proxy.backend import Backends, Engine
from cython.cimports.proxy.link import Link
from cython.cimports.proxy.replies import Receiver, ReplyQueue
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.transport import Transport
from cython.cimports.shardd.wire.reply import Reply

from shardd.base import errors
from shardd.wire.reply import encode_command

_DASH = cython.declare(cython.int, 45)
_MULTI = cython.declare(bytes, encode_command([b"MULTI"]))
_EXEC = cython.declare(bytes, encode_command([b"EXEC"]))


@cython.final
@cython.cclass
class Queued:
    """A command that waits for EXEC. args: its words, where it is not sent as it came."""

    def __cinit__(self, index: cython.int, kind: cython.int, raw: bytes, args: object, slots: tuple) -> None:
        self.index = index
        self.kind = kind
        self.raw = raw
        self.args = args
        self.slots = slots


@cython.final
@cython.cclass
class Transaction:
    """See the head of the module. Of one client, from its MULTI or its first WATCH on."""

    def __cinit__(self) -> None:
        self.commands = []
        self.links = {}
        self.watched = set()
        self.simple = True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, command: Queued, writes: cython.bint, simple: cython.bint) -> cython.int:
        """Queue a command. simple: it has keys, and needs nothing but to be sent."""
        self.commands.append(command)
        self.raw_n += len(command.raw)
        self.writes = self.writes or writes
        self.simple = self.simple and simple
        return 0

    @cython.cfunc
    @cython.exceptval(-9)
    def owner(self, backends: Backends) -> cython.int:
        """The place of the one engine that all commands are for, watched keys included; -2: it is not so simple."""
        command: Queued
        found: cython.int = -2
        other: cython.int
        if not self.simple or not self.commands:
            return -2
        for command in self.commands:
            for slot in command.slots:
                other = backends.owners[cython.cast(cython.int, slot)]
                if found == -2:
                    found = other
                elif found != other:
                    return -2
        if found < 0 or len(self.links) > 1 or (self.links and backends.engines[found] not in self.links):
            return -2
        return found

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write(self, request: Reply) -> cython.int:
        """Append MULTI, the commands and EXEC; MemoryError."""
        command: Queued
        request.raw(cython.cast(cython.p_char, _MULTI), len(_MULTI))
        for command in self.commands:
            request.raw(cython.cast(cython.p_char, command.raw), len(command.raw))
        return request.raw(cython.cast(cython.p_char, _EXEC), len(_EXEC))

    def drop_links(self) -> None:
        """Whoever watched for the client does not any more; what the engine knows of it goes with the connections."""
        for engine, link in self.links.items():
            engine.discard(link)
        self.links.clear()


def told(text: bytes) -> bytes:
    """What a client is told instead of an engine's error: redirections are none of its business."""
    return errors.CLUSTERDOWN_SLOT if text.startswith((b"MOVED ", b"ASK ")) else text


@cython.final
@cython.cclass
class Exec(Receiver):
    """Waits for EXEC's reply. link: the borrowed one that it goes over, or None."""

    def __cinit__(self, queue: ReplyQueue, seq: uint64_t, engine: Engine, link: object) -> None:
        self.queue = queue
        self.seq = seq
        self.engine = engine
        self.link = link

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def early(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """MULTI's reply, or that a command is queued, or why it is not."""
        if p[0] == _DASH and self.refused is None:
            self.refused = self.error_text(p, n)
        return 0

    @cython.cfunc
    def error_text(self, p: bytep, n: cython.Py_ssize_t) -> bytes:
        """The text of an error as the client may see it."""
        text: bytes = cython.cast(cython.p_char, p)[1:n - 2]
        if text.startswith((b"MOVED ", b"ASK ")) and self.engine.switch.on_moved is not None:
            self.engine.switch.on_moved()
        return told(text)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reply(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        text: bytes
        if self.link is not None:
            self.engine.give_back(self.link)
            self.link = None
        if p[0] != _DASH:
            return self.queue.reply(self.seq, p, n)
        text = self.error_text(p, n)
        if self.refused is not None and text == errors.EXEC_ABORTED:
            text = errors.exec_aborted(self.refused)
        text = b"-%b\r\n" % text
        return self.queue.reply(self.seq, cython.cast(bytep, cython.cast(cython.p_char, text)), len(text))

    @cython.cfunc
    @cython.exceptval(check=False)
    def streams(self, seq: uint64_t) -> cython.bint:
        return self.queue.streams(self.seq)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def piece(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        return self.queue.piece(self.seq, p, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def broken(self, seq: uint64_t) -> cython.bint:
        return self.queue.broken(self.seq)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def takes(self, seq: uint64_t, source: Transport) -> cython.bint:
        return self.queue.takes(self.seq, source)

    @cython.cfunc
    def asker(self) -> object:
        """The client on whose behalf; None where there is none (any more)."""
        return self.queue.asker()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def detour(self) -> cython.int:
        return self.queue.detour()


@cython.final
@cython.cclass
class Unwatch(Receiver):
    """Waits until a link watches nothing any more, and gives it back."""

    def __cinit__(self, engine: Engine, link: Link) -> None:
        self.engine = engine
        self.link = link

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reply(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        if p[0] == _DASH:
            self.engine.discard(self.link)
        else:
            self.engine.give_back(self.link)
        return 0


_UNWATCH = cython.declare(bytes, encode_command([b"UNWATCH"]))


@cython.cfunc
@cython.exceptval(-1, check=False)
def unwatch(transaction: Transaction, db: cython.int) -> cython.int:
    """No key is watched any more. The client need not wait: nothing that it can see depends on when that is."""
    engine: Engine
    link: Link
    for engine, link in list(transaction.links.items()):
        link.send(Unwatch(engine, link), 0, cython.cast(bytep, cython.cast(cython.p_char, _UNWATCH)), len(_UNWATCH),
                  db, 0)
    transaction.links.clear()
    return 0
