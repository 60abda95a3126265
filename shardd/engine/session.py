"""A client's session with the engine: bytes in, commands through dispatch, bytes out.

Sans-IO: it sees bytes handed in by whoever drives it and writes to its transport; sockets are the reactor's. It owns
the parse state of its connection and nothing else: what the connection is (name, database, protocol) is in net.client.

What one read brings is parsed whole, run as batches, and answered by one write, which dispatch makes when the reactor
has read from every client that was ready.
"""
import cython
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.shardd.base.native import prefetch
from cython.cimports.shardd.engine.dispatch import Dispatcher
from cython.cimports.shardd.keyspace.database import Database, Key, key_init
from cython.cimports.shardd.net.client import Client, ClientFlag, Clients
from cython.cimports.shardd.structures.table import table_prefetch_bucket, table_prefetch_entry
from cython.cimports.shardd.wire.request import input_state_clear

from shardd.base import limits

REQUESTS_MAX = cython.declare(cython.int, 1024)         # parsed at a time: bounds the argument array, not the client
AHEAD_MAX = cython.declare(cython.int, 64)              # requests of one client that are looked at ahead
FORESEEN_MAX = cython.declare(cython.int, 512)          # of all: their lines of memory fit the second-level cache
LARGE_INPUT = cython.declare(cython.Py_ssize_t, limits.QUERY_BUFFER_BYTES_MIN)      # below it no limit has to be asked


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _offset(at: cython.pointer(uint8_t), start: cython.pointer(uint8_t)) -> cython.Py_ssize_t:
    return at - start


@cython.final
@cython.cclass
class Session(Client):
    """One connection to the engine."""

    def __init__(self, dispatcher: Dispatcher, clients: Clients, policy: object, authenticated: bool,
                 internal: bool = False) -> None:
        """policy: the server's ConnectionLimits; internal: the supervisor's, or a proxy's."""
        if internal:
            clients.add_internal(self)
        else:
            clients.add(self)
        self.dispatcher = dispatcher
        self.limits = policy
        self.authenticated = authenticated
        self.input.bulk = -1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def data(self, p: cython.pointer(uint8_t), n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Run the whole requests among the `n` bytes at `p`; how many bytes they were."""
        try:
            return self.serve(p, n)
        except BaseException:
            # the reply buffer is every client's: what this one did not get must not go to the next
            self.dispatcher.forget()
            raise

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def serve(self, p: cython.pointer(uint8_t), n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """`data`, whatever may go wrong."""
        dispatcher: Dispatcher = self.dispatcher
        used: cython.Py_ssize_t = 0
        before: cython.Py_ssize_t
        requests: cython.int
        paused: cython.bint
        self.active_ms = self.transport.reactor.now_ms
        dispatcher.stats.bytes_in += n - self.transport.in_len
        dispatcher.foreseen_at = self.ahead_at if self.ahead_turn == dispatcher.turn else 0
        dispatcher.foreseen_end = self.ahead_end if self.ahead_turn == dispatcher.turn else 0
        self.ahead_end = self.ahead_at = 0
        if self.flags & ClientFlag.BLOCKED:
            return self.stay(n)
        if dispatcher.holder is not None and dispatcher.holder is not self:
            dispatcher.hold.hold_back(self)
            return 0
        if dispatcher.is_full(self):
            self.transport.pause_reading()
            return 0
        if self.flags & ClientFlag.MESSAGES:
            dispatcher.put_messages(self)
        while True:
            # before AUTH the parser is stricter, so nothing is parsed ahead of a command that may be AUTH
            self.input.restricted = not self.authenticated
            # nor behind a command that may have to wait; the tree's own connections never do
            paused = dispatcher.paused and not self.flags & ClientFlag.INTERNAL
            requests = REQUESTS_MAX if self.authenticated and not paused else 1
            before = used
            used += dispatcher.parser.parse(cython.address(self.input), p + used, n - used, requests)
            if dispatcher.parser.count:
                if paused and dispatcher.is_postponed(self):
                    input_state_clear(cython.address(self.input))
                    dispatcher.postpone(self)
                    return before
                dispatcher.run(self)
                if self.flags & ClientFlag.CLOSE_AFTER_REPLY:
                    dispatcher.hand_in(self)
                    dispatcher.send_all()
                    self.transport.close_after_flush()
                    return n
                if self.transport.closing:
                    dispatcher.forget()
                    return n
                if self.flags & ClientFlag.BLOCKED:
                    dispatcher.hand_in(self)
                    if dispatcher.next < dispatcher.parser.count:
                        used = _offset(dispatcher.parser.requests[dispatcher.next].raw, p)
                    input_state_clear(cython.address(self.input))
                    self.stay(n - used)
                    return used
                if dispatcher.next < dispatcher.parser.count:
                    return self.wait(p)
            if dispatcher.parser.error is not None:
                self.protocol_error()
                return n
            if dispatcher.parser.count < requests:
                break
        dispatcher.hand_in(self)
        self.transport.in_want = self.input.want
        if n - used > LARGE_INPUT and n - used > self.limits.query_buffer_bytes_max:
            dispatcher.stats.query_limit_closes += 1
            self.limits.log_query_buffer(self, n - used)
            self.transport.close("client-query-buffer-limit")
        return used

    @cython.cfunc
    @cython.exceptval(check=False)
    def ahead(self, p: cython.pointer(uint8_t), n: cython.Py_ssize_t, step: cython.int) -> cython.bint:
        """Prefetch for the keys of the first requests: slot tables, then buckets, then entries."""
        dispatcher: Dispatcher = self.dispatcher
        db: Database = dispatcher.keyspace.databases[self.db]
        i: cython.int
        key: cython.pointer(Key)
        if db.slots == cython.NULL:
            return False
        if step == 0:
            self.ahead_turn = dispatcher.turn
            self.ahead_at = dispatcher.foreseen_n
            self.ahead_end = self.foresee(p, n)
        for i in range(self.ahead_at, self.ahead_end):
            key = cython.address(dispatcher.foreseen[i])
            if step == 0:
                prefetch(cython.address(db.slots[key.slot]))
            elif step == 1:
                table_prefetch_bucket(cython.address(db.slots[key.slot].t), key.hash)
            else:
                table_prefetch_entry(cython.address(db.slots[key.slot].t), key.hash)
        return self.ahead_end > self.ahead_at

    @cython.cfunc
    @cython.overflowcheck(False)        # pointers are subtracted
    @cython.exceptval(check=False)
    def foresee(self, p: cython.pointer(uint8_t), n: cython.Py_ssize_t) -> cython.int:
        """Hash the first argument of each request, taking it for a key, as long as requests are short and plain.

            *2 $3 GET $16 0123456789012345        or, with a value of less than 1,000 bytes,
            *3 $3 SET $16 0123456789012345 $32 ...

        It goes to dispatcher.foreseen; returns where that ends. What looks different ends it, which costs but time.
        """
        dispatcher: Dispatcher = self.dispatcher
        end: cython.pointer(uint8_t) = p + n
        count: cython.int = dispatcher.foreseen_n
        most: cython.int = min(count + AHEAD_MAX, FORESEEN_MAX)
        argc: cython.int
        size: cython.Py_ssize_t
        digits: cython.int
        while count < most and end - p >= 20 and p[0] == 42 and p[2] == 13 and p[4] == 36 and p[6] == 13:
            argc = p[1] - 48
            size = p[5] - 48
            if not 0 < size < 10 or end - p < 20 + size:
                break
            p += 10 + size                  # behind the command's name: the '$' of the first argument
            size = 0
            digits = 1
            while digits < 3 and 48 <= p[digits] <= 57:
                size = size * 10 + p[digits] - 48
                digits += 1
            if p[digits] != 13 or size < 1 or end - p < digits + size + 4:
                break
            p += digits + 2
            key_init(cython.address(dispatcher.foreseen[count]), p, size)
            count += 1
            p += size + 2
            if argc == 3 and end - p >= 8:
                size = 0
                digits = 1
                while digits < 4 and 48 <= p[digits] <= 57:
                    size = size * 10 + p[digits] - 48
                    digits += 1
                if p[digits] != 13 or end - p < digits + 4 + size:
                    break
                p += digits + 4 + size
            elif argc != 2:
                break
        dispatcher.foreseen_n = count
        return count

    def reset_session(self) -> None:
        """RESET: as if there had been no MULTI and no WATCH."""
        self.dispatcher.multi.discard(self)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def eof(self) -> cython.int:
        """The client sends no more: what it asked for goes out, and the connection ends."""
        self.dispatcher.send_all()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def protocol_error(self) -> cython.int:
        """Say what was wrong with the bytes, and end the connection."""
        dispatcher: Dispatcher = self.dispatcher
        text: bytes = dispatcher.parser.error
        dispatcher.stats.count_error(text)
        if not self.flags & (ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP):
            dispatcher.reply.error(text)
        self.limits.log_protocol_error(self, text)
        dispatcher.hand_in(self)
        dispatcher.send_all()
        self.transport.close_after_flush()
        return 0

    @cython.cfunc
    @cython.overflowcheck(False)        # pointers are subtracted
    @cython.exceptval(-1, check=False)
    def wait(self, p: cython.pointer(uint8_t)) -> cython.Py_ssize_t:
        """The proxy does not take its replies: what has not run stays where it is. How many bytes at p are done."""
        dispatcher: Dispatcher = self.dispatcher
        rest: cython.pointer(uint8_t) = dispatcher.parser.requests[dispatcher.next].raw
        input_state_clear(cython.address(self.input))
        dispatcher.hand_in(self)
        self.transport.pause_reading()
        return _offset(rest, p)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def stay(self, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """What is behind a command that blocks stays where it is, as far as a client may send ahead; 0. Reading goes
        on, so that the client's end is noticed."""
        if n > LARGE_INPUT and n > self.limits.query_buffer_bytes_max:
            self.dispatcher.stats.query_limit_closes += 1
            self.limits.log_query_buffer(self, n)
            self.transport.close("client-query-buffer-limit")
        return 0

    def unblock(self, failing: bool) -> bool:
        """CLIENT UNBLOCK: whether the client was blocked."""
        return self.dispatcher.blocking.unblock(self, failing)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drained(self) -> cython.int:
        self.over_soft_since = 0
        if self.flags & ClientFlag.INTERNAL:
            self.transport.resume_reading()     # see `wait`
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lost(self, reason: object) -> cython.int:
        self.dispatcher.forget_postponed(self)
        self.dispatcher.channels.leave_all(self)
        self.dispatcher.multi.discard(self)
        self.dispatcher.blocking.forget(self)
        input_state_clear(cython.address(self.input))
        if self.registry is not None:
            self.registry.discard(self)
        if self.flags & ClientFlag.INTERNAL:
            self.dispatcher.hold.lost(self)
        return 0
