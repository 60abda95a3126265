"""Delivery: whose replies are in the buffer, and when they leave.

All clients of an engine share one reply buffer. What is written to it belongs to the client whose commands run, until
`hand_in` says where its part ends; the parts are sent, in that order, when the reactor has read from every client that
was ready. A client can have several parts, since others are served in between (those that were blocked).

    reply buffer   | client 7's | client 3's | client 7's | running client's ...
                   0         due_ends[0]  due_ends[1]    mark               reply.len

Owns: the parts and the sending, of published messages too (net.channels). Does not own what is written, or when a
command's reply is dropped again (engine.dispatch, which derives from this).

Invariants: `due` and `due_ends` have the same length; `mark` is the last of `due_ends`, or 0; effects are with the
journal's readers before any reply leaves.
"""
import cython
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.libc.stdlib import free
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.net.client import Client


@cython.cclass
class Delivery:
    """The replies of one engine on their way."""

    def __dealloc__(self):
        free(self.due_ends)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hand_in(self, client: Client) -> cython.int:
        """The replies since `mark` are this client's, and due at the end of the reactor's batch."""
        count: cython.Py_ssize_t = len(self.due)
        if self.reply.len == self.mark:
            return 0
        if count == self.due_cap:
            self.due_ends = cython.cast(cython.pointer(cython.Py_ssize_t), regrow(
                self.due_ends, (count * 2 + 64) * cython.sizeof(cython.Py_ssize_t)))
            self.due_cap = cython.cast(cython.int, count * 2 + 64)
        self.due.append(client)
        self.due_ends[count] = self.mark = self.reply.len
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def forget(self) -> cython.int:
        """The running client's replies go nowhere."""
        return self.reply.truncate(self.mark)

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def send_all(self) -> cython.int:
        """Send what is due, client by client.

        The reactor calls it behind each batch of events: all requests are read before the first reply leaves, so that a
        process of many connections is woken once by many replies, not by each.
        """
        i: cython.Py_ssize_t = 0
        start: cython.Py_ssize_t = 0
        due: list = self.due
        client: Client
        self.foreseen_n = 0
        self.turn += 1
        if self.journal.active:     # an effect is with its readers before its reply is on the way
            self.journal.flush()
        if not due:
            return self.send_messages() if self.channels.waiting else 0
        try:
            while i < len(due):
                self.send(due[i], self.reply.buf + start, self.due_ends[i] - start)
                start = self.due_ends[i]
                i += 1
        except BaseException:
            # whoever misses replies must not go on as if there had been none
            for client in due[i:]:
                client.transport.close("replies were lost")
            raise
        finally:
            # whatever happened, nothing is sent twice
            due.clear()
            self.mark = 0
            self.reply.clear()
        return self.send_messages() if self.channels.waiting else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_messages(self) -> cython.int:
        """Send what was published: it comes behind all replies, since what came before a reply was put before it."""
        waiting: list = self.channels.waiting
        client: Client
        data: bytes
        self.channels.waiting = []
        for client in waiting:
            data = self.channels.take(client)
            if data:
                self.send(client, cython.cast(cython.pointer(cython.const[uint8_t]), cython.cast(cython.p_char, data)),
                          len(data))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_messages(self, client: Client) -> cython.int:
        """What was published for the running client comes here in the order of its replies."""
        data: bytes = self.channels.take(client)
        try:
            self.reply.raw(cython.cast(cython.p_char, data), len(data))
        except MemoryError:
            client.transport.close("no memory for a message")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send(self, client: Client, p: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> cython.int:
        """Send one client its replies. Without the memory to queue them the connection ends: a part may be out."""
        if client.transport.closing:
            return 0
        self.stats.bytes_out += n
        try:
            client.transport.write(p, n)
        except MemoryError:
            client.transport.close("no memory for replies")
        if client.transport.out_len and not client.transport.closing:
            self.server.limits.check_output(client)
        return 0
