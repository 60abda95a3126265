"""One client of the proxy: requests in, each sent where it belongs, replies out in their order.

Owns: the order of checks (does the command exist, arity, authentication, route), what a command of each class does,
back-pressure, and the end of a connection. Does not own the classes (router), the engines (backend), joining (merge),
the order of replies (replies) or what is answered here (handlers). It is sans-IO: bytes come by data(), and go by the
queue.

    transport -> data -> parser -> request -> on_key    -> Link.send         most commands: no Python object is made
                                           -> on_keys   -> Link.send         where all keys are on one engine
                                           -> on_joint  -> joint             where they are not: a Task answers
                                           -> on_split  -> merge.split       a Join answers
                                           -> on_every  -> merge.ask_every   a Join answers
                                           -> on_here   -> handler           at once, or a Task answers
                                           -> on_block  -> blocking          a Task answers, sooner or later
                           behind MULTI    -> enqueue   -> transactions      +QUEUED
                           EXEC            -> on_exec   -> Link.send_batch   or execute, where that is not enough

A client's commands take effect in its order: those for one engine go over one link, in order. What would break that
waits until all that is in flight is answered: another protocol (HELLO) or another lane, whose links are others; another
topology, since a slot may have another engine; what follows a Task, or a large reply that made its link step aside
(`alone`). `request` then returns 1 ("not now"), reading pauses, and the queue resumes it when it is empty.

Bounds: a client with limits.PROXY_PIPELINE_MAX commands in flight, or that leaves limits.PROXY_UNSENT_BYTES_MAX of
replies unread, is not read from. One that goes away with commands in flight leaves them to run; their replies are
dropped.

Where all clients and engines together make the process hold more than proxy-memory-limit, commands for the engines are
refused until it is less. What is answered here, and what goes over the control lane, is not.

Invariants: a request opens at most one slot, and every slot that is opened is answered once, if only by an error.
Slices of the input are not used after `request` has returned.
"""
import cython
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.string import memset
from cython.cimports.proxy.backend import Backends, Engine
from cython.cimports.proxy.latency import Latency
from cython.cimports.proxy.link import DB_NO_TOUCH, LANE_CONTROL, LANE_SHARED, Link
from cython.cimports.proxy.merge import Task, ask_every, split
from cython.cimports.proxy.replies import Outbox, ReplyQueue
from cython.cimports.proxy.router import (
    ROUTE_ANY, ROUTE_BLOCK, ROUTE_EVERY, ROUTE_KEY, ROUTE_KEYS, ROUTE_LOCAL, ROUTE_MOVABLE, ROUTE_REFUSED, ROUTE_SPLIT,
    ROUTE_TASK, ROUTE_TRANSACTION, STEP_DISCARD, STEP_EXEC, STEP_MULTI, STEP_UNWATCH, RouteP, Router)
from cython.cimports.proxy.transactions import Exec, Queued, Transaction, unwatch
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.net.client import Client, ClientFlag, Clients
from cython.cimports.shardd.net.reactor import Reactor
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.wire.reply import Reply
from cython.cimports.shardd.wire.request import Arg, InputState, RequestP, RequestParser, input_state_clear

from proxy import execute
from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.commands import table
from shardd.net import pause
from shardd.wire.plain import encode_command
from shardd.wire.values import NO_REPLY, OK

ArgP = cython.typedef(cython.pointer(Arg))

_PIPELINE_MAX = cython.declare(uint64_t, limits.PROXY_PIPELINE_MAX)
_PARSE_MAX = cython.declare(cython.int, limits.PROXY_PARSE_MAX)
_UNSENT_MAX = cython.declare(cython.Py_ssize_t, limits.PROXY_UNSENT_BYTES_MAX)
_LARGE_INPUT = cython.declare(cython.Py_ssize_t, limits.QUERY_BUFFER_BYTES_MIN)      # below it no limit has to be asked
_REPLY_OFF = cython.declare(cython.uint, ClientFlag.REPLY_OFF)
_REPLY_SKIP = cython.declare(cython.uint, ClientFlag.REPLY_SKIP)
_REPLY_SKIP_NEXT = cython.declare(cython.uint, ClientFlag.REPLY_SKIP_NEXT)
_REPLY_BITS = cython.declare(cython.uint, _REPLY_OFF | _REPLY_SKIP | _REPLY_SKIP_NEXT)
_CLOSE_AFTER_REPLY = cython.declare(cython.uint, ClientFlag.CLOSE_AFTER_REPLY)
_INTERNAL = cython.declare(cython.uint, ClientFlag.INTERNAL)
_NO_TOUCH = cython.declare(cython.uint, ClientFlag.NO_TOUCH)
_MULTI = cython.declare(cython.uint, ClientFlag.MULTI)
_BLOCKED = cython.declare(cython.uint, ClientFlag.BLOCKED)
_QUEUED = cython.declare(bytes, b"+QUEUED\r\n")
_PAUSE_ALL = cython.declare(cython.int, pause.PAUSE_ALL)
# What ends CLIENT REPLY OFF, and says so.
_UNSILENCE = cython.declare(tuple, ("client|reply", "reset"))


@cython.final
@cython.cclass
class Shared:
    """What all sessions of a process share. server: what plain handlers get; connection_limits: net.policy's."""

    def __cinit__(self, reactor: Reactor, outbox: Outbox, backends: Backends, router: Router, parser: RequestParser,
                  server: object, connection_limits: object) -> None:
        self.reactor = reactor
        self.outbox = outbox
        self.backends = backends
        self.router = router
        self.parser = parser
        self.server = server
        self.limits = connection_limits
        self.answer = Reply(2)
        self.request = Reply(2)
        self.epoch = 1
        self.error_codes = {}
        self.latency = backends.latency
        self.postponed = {}

    def flush(self) -> None:
        """The end of a wake-up: requests to the engines first, so that they work while the clients are answered."""
        self.backends.flush()
        self.outbox.flush()
        if self.latency.unsent > 0:
            self.latency.finish()
        self.shedding = self.held() > self.memory_max > 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def held(self) -> cython.Py_ssize_t:
        return self.reactor.buffer_bytes + self.backends.held_bytes + self.outbox.held_bytes + self.queued_bytes

    @property
    def held_bytes(self) -> int:
        """Room for requests and replies that are on their way through this process."""
        return self.held()

    def resume_postponed(self) -> None:
        """A pause is over, or less strict: everybody's next command may try again."""
        session: ProxySession
        waiting: list = list(self.postponed.values())
        self.postponed.clear()
        for session in waiting:
            session.queue.wait_for(0)

    def reset_counters(self) -> None:
        """CONFIG RESETSTAT."""
        self.commands = self.shed = 0
        self.error_codes.clear()
        self.router.reset_statistics()
        self.latency.reset()


@cython.final
@cython.cclass
class ProxySession(Client):
    """See the head of the module. Added to `clients` when made, taken out when lost."""

    def __cinit__(self, shared: Shared, clients: Clients, authenticated: bool, internal: bool = False) -> None:
        self.shared = shared
        self.queue = ReplyQueue(shared.outbox)
        self.registry = clients
        self.authenticated = authenticated
        if internal:
            self.flags = _INTERNAL
        memset(cython.address(self.input), 0, cython.sizeof(InputState))

    def __dealloc__(self) -> None:
        input_state_clear(cython.address(self.input))

    @property
    def held_bytes(self) -> int:
        """Room for replies that wait for others, beside the connection's own buffers."""
        return self.queue.out_cap + self.queue.side_cap

    # --- the connection -------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def made(self) -> cython.int:
        self.queue.transport = self.transport
        if not self.flags & _INTERNAL:
            self.registry.add(self)
        return 0

    @cython.cfunc
    @cython.overflowcheck(False)        # pointers are subtracted
    @cython.exceptval(-1, check=False)
    def data(self, p: bytep, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        parser: RequestParser = self.shared.parser
        queue: ReplyQueue = self.queue
        pos: cython.Py_ssize_t = 0
        room: uint64_t
        most: cython.int
        i: cython.int
        not_now: cython.int
        if queue.closing:
            return n
        if self.flags & _BLOCKED:       # what comes waits here, and the connection's end is not missed
            self.check_input(n)
            return 0
        while pos < n:
            room = queue.tail - queue.head
            if room >= _PIPELINE_MAX or self.transport.out_len > _UNSENT_MAX or queue.side_len > _UNSENT_MAX:
                queue.wait_for(_PIPELINE_MAX // 2 if room >= _PIPELINE_MAX else 0)
                break
            self.input.restricted = not self.authenticated
            most = _PARSE_MAX if room + _PARSE_MAX < _PIPELINE_MAX else cython.cast(cython.int, _PIPELINE_MAX - room)
            if self.input.restricted:
                most = 1
            used: cython.Py_ssize_t = parser.parse(cython.address(self.input), p + pos, n - pos, most)
            for i in range(parser.count):
                not_now = self.request(parser.requests + i)
                if not_now > 0:
                    used = cython.cast(cython.Py_ssize_t, parser.requests[i].raw) - cython.cast(cython.Py_ssize_t, p)
                    input_state_clear(cython.address(self.input))
                    if not_now == 1 and self.flags & _BLOCKED:
                        return used
                    if not_now == 1:
                        queue.wait_for(0)
                    else:
                        self.transport.pause_reading()
                        self.shared.postponed[self.id] = self
                    return used
                if queue.closing or self.transport.closing:
                    return n
            pos += used
            if parser.error is not None:
                self.protocol_error(parser.error)
                return n
            if parser.count < most:
                break
        if n - pos > _LARGE_INPUT and not self.transport.reading_paused:
            self.check_input(n - pos)
        self.transport.in_want = self.input.want
        return pos

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_input(self, size: cython.Py_ssize_t) -> cython.int:
        """A request of which so much is here, and not its end, may be too long."""
        limits = self.shared.limits
        if size > limits.query_buffer_bytes_max:
            limits.stats.query_limit_closes += 1
            limits.log_query_buffer(self, size)
            return self.transport.close("client-query-buffer-limit")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def protocol_error(self, text: bytes) -> cython.int:
        """The input is not RESP: say so, behind what is in flight, and close."""
        self.shared.limits.log_protocol_error(self, text)
        self.refuse(text, self.flags & (_REPLY_OFF | _REPLY_SKIP) != 0)
        return self.queue.close_when_empty()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def eof(self) -> cython.int:
        """The client sends no more; it may still read what it asked for, unless that may take for ever."""
        if self.flags & _BLOCKED:
            if self.wait is not None:       # before anybody whose command was read with this end pushes
                self.wait.abandon()
            return 0
        if self.queue.head == self.queue.tail and self.queue.out_len == 0 and self.transport.out_len == 0:
            return 0
        self.queue.close_when_empty()
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drained(self) -> cython.int:
        self.over_soft_since = 0
        return self.queue.settle()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lost(self, reason: object) -> cython.int:
        self.queue.abandon()
        if self.transaction is not None:
            self.drop_transaction()
        if self.wait is not None:
            self.wait.abandon()
        self.shared.postponed.pop(self.id, None)
        input_state_clear(cython.address(self.input))
        self.registry.discard(self)
        self.shared.server.on_lost(self, reason)
        return 0

    # --- one request ----------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def fresh(self, stamp: cython.int) -> cython.bint:
        """Whether a command may start that goes by another link, or another topology, than those in flight."""
        if self.queue.head != self.queue.tail:
            return False
        self.seen = stamp
        self.queue.alone = False
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_postponed(self, route: RouteP, argc: cython.int) -> cython.bint:
        """Whether CLIENT PAUSE holds this command back: what would be refused is refused at once, as in Redis."""
        if self.flags & _INTERNAL or route == cython.NULL or not route.built:
            return False
        if (route.container and argc > 1) or (route.arity != argc and (route.arity >= 0 or argc < -route.arity)):
            return False
        if route.step == STEP_EXEC and self.flags & _MULTI and self.transaction.writes:
            return True
        return (self.authenticated or route.no_auth) and (self.shared.paused == _PAUSE_ALL or route.writes)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def link_db(self) -> cython.int:
        """What Link.send wants to know: the database, and whether keys are touched."""
        return self.db | DB_NO_TOUCH if self.flags & _NO_TOUCH else self.db

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def request(self, request: RequestP) -> cython.int:
        """Act on one request. 1: not now, with nothing done; 2: neither, and not before a pause ends."""
        shared: Shared = self.shared
        argv: ArgP = shared.parser.args + request.first
        route: RouteP = shared.router.lookup(argv, request.argc)
        silent: cython.bint = False
        stamp: cython.int = 16 * shared.epoch + self.resp
        if shared.paused and self.is_postponed(route, request.argc):
            return 2
        if route != cython.NULL:
            stamp += 4 * route.lane
        if (self.seen != stamp or self.queue.alone) and not self.fresh(stamp):
            return 1
        if route != cython.NULL and route.joint and self.queue.head != self.queue.tail \
                and self.crosses(route, request, argv):     # its links are none of those that are in use
            return 1
        self.commands += 1
        shared.commands += 1
        self.active_ms = shared.reactor.now_ms
        if self.flags & _REPLY_BITS:
            if self.flags & _REPLY_SKIP_NEXT:
                self.flags = (self.flags & ~_REPLY_SKIP_NEXT) | _REPLY_SKIP
            silent = self.flags & (_REPLY_OFF | _REPLY_SKIP) != 0
            self.flags &= ~_REPLY_SKIP
        if route == cython.NULL or not route.built or (route.container and request.argc > 1):
            return self.unknown(request, argv, silent)
        self.last_command = shared.router.names[route.index]
        if route.arity != request.argc and (route.arity >= 0 or request.argc < -route.arity):
            return self.reject(route, errors.wrong_arity(self.last_command), silent)
        if not self.authenticated and not route.no_auth:
            return self.reject(route, errors.NOAUTH, silent)
        if shared.shedding and route.kind != ROUTE_LOCAL and route.lane != LANE_CONTROL:
            shared.shed += 1
            return self.reject(route, errors.PROXY_MEMORY, silent)
        route.calls += 1
        if self.flags & _MULTI and route.step <= STEP_UNWATCH:
            return self.enqueue(route, request, argv, silent)
        if route.kind == ROUTE_KEY:
            return self.on_key(route, request, argv, silent)
        if route.kind == ROUTE_LOCAL or route.kind == ROUTE_TASK:
            return self.on_here(route, request, argv, silent)
        if route.kind == ROUTE_SPLIT:
            return self.on_split(route, request, argv, silent)
        if route.kind == ROUTE_KEYS or route.kind == ROUTE_MOVABLE:
            return self.on_keys(route, request, argv, silent)
        if route.kind == ROUTE_EVERY:
            return self.on_every(route, request, argv, silent)
        if route.kind == ROUTE_TRANSACTION:
            return self.on_transaction(route, request, argv, silent)
        if route.kind == ROUTE_BLOCK:
            return self.on_block(route, request, argv, silent)
        if route.kind == ROUTE_ANY:
            return self.pass_to(0 if shared.backends.engines else -1, request, argv, silent)
        return self.refuse(errors.not_through_proxy(self.last_command), silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_key(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """One key at a fixed place: to its engine."""
        backends: Backends = self.shared.backends
        key: ArgP = argv + route.first_key
        if route.first_key >= request.argc:
            return self.refuse(errors.wrong_arity(self.last_command), silent)
        return self.pass_to(backends.owners[key_slot(key.p, key.n)], request, argv, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_to(self, owner: cython.int, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """Send a request as it came to the engine at this position; -1: nobody's."""
        backends: Backends = self.shared.backends
        engine: Engine
        link: Link
        if owner < 0:
            return self.refuse(errors.CLUSTERDOWN_SLOT, silent)
        engine = cython.cast(Engine, backends.engines[owner])
        link = engine.resp3 if self.resp == 3 else engine.resp2
        if request.inline_form:
            self.rewrite(request, argv)
        link.send(self.queue, self.queue.open(silent), request.raw, request.raw_n, self.link_db(), 0)
        if self.shared.commands >= self.shared.latency.due:
            link.sample(self.queue, self.queue.tail - 1)
            self.shared.latency.next_due(self.shared.commands)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def rewrite(self, request: RequestP, argv: ArgP) -> cython.int:
        """Make RESP of an inline command."""
        i: cython.int
        reply: Reply = self.shared.request
        reply.clear()
        reply.array(request.argc)
        for i in range(request.argc):
            reply.bulk(argv[i].p, argv[i].n)
        request.raw = reply.buf
        request.raw_n = reply.len
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_keys(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """Several keys: to their engine, if it is one."""
        backends: Backends = self.shared.backends
        owner: cython.int = -2
        other: cython.int
        last: cython.int
        place: cython.int
        if route.kind == ROUTE_MOVABLE:
            places = table.route_keys(self.shared.router.rows[route.index], self.words(request, argv))
            if not places:      # the command itself says what is wrong, or needs no key
                return self.pass_to(0 if backends.engines else -1, request, argv, silent)
            if route.patterns and request.argc > 3:
                return self.on_joint(route, request, argv, silent)
        else:
            last = route.last_key if route.last_key >= 0 else request.argc + route.last_key
            places = range(route.first_key, min(last, request.argc - 1) + 1, route.key_step)
        for place in places:
            other = backends.owners[key_slot(argv[place].p, argv[place].n)]
            if owner == -2:
                owner = other
            elif owner != other:
                if route.joint:
                    return self.on_joint(route, request, argv, silent)
                return self.refuse(errors.CROSSSLOT, silent)
        if owner == -2:
            owner = 0 if backends.engines else -1
        return self.pass_to(owner, request, argv, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def crosses(self, route: RouteP, request: RequestP, argv: ArgP) -> cython.bint:
        """Whether the keys are not all on one engine; a command without any is for all.

        EXEC, where it does not go the way of all commands.
        """
        backends: Backends = self.shared.backends
        place: cython.int = route.first_key
        last: cython.int = route.last_key if route.last_key >= 0 else request.argc + route.last_key
        owner: cython.int = -1
        if route.step == STEP_EXEC:
            return self.flags & _MULTI != 0 and not self.exec_is_simple()
        if route.kind == ROUTE_MOVABLE:
            if route.patterns and request.argc > 3:
                return True
            places = table.route_keys(self.shared.router.rows[route.index], self.words(request, argv))
            return len({backends.owners[key_slot(argv[at].p, argv[at].n)] for at in places}) > 1
        if place == 0:
            return True
        while place <= last and place < request.argc:
            if place == route.first_key:
                owner = backends.owners[key_slot(argv[place].p, argv[place].n)]
            elif backends.owners[key_slot(argv[place].p, argv[place].n)] != owner:
                return True
            place += route.key_step
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_joint(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """One step over several engines."""
        handler: object = self.shared.router.joints[route.index]
        return self.start_task(handler(self.shared.server, self, self.words(request, argv)), route.lane, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def start_task(self, coroutine: object, lane: cython.int, silent: cython.bint) -> cython.int:
        """Have a coroutine answer; nothing else of the client starts before it has ended."""
        self.queue.alone = True
        task: Task = Task(self.shared.backends, self.queue, self.queue.open(silent), self, coroutine, lane)
        return task.step(None)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_split(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """Keys on any engines: as it came where they are on one, in parts where they are not."""
        backends: Backends = self.shared.backends
        step: cython.int = route.key_step
        place: cython.int = 1
        owner: cython.int
        first: cython.int = backends.owners[key_slot(argv[1].p, argv[1].n)]
        same: cython.bint = True
        if (request.argc - 1) % step != 0:
            return self.refuse(errors.wrong_arity(self.last_command), silent)
        while place < request.argc:
            owner = backends.owners[key_slot(argv[place].p, argv[place].n)]
            if owner < 0:
                return self.refuse(errors.CLUSTERDOWN_SLOT, silent)
            same = same and owner == first
            place += step
        if same:
            return self.pass_to(first, request, argv, silent)
        return split(backends, self.queue, self.queue.open(silent), route.join, route.writes, argv, request.argc,
                     step, self.link_db(), self.resp)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_every(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """No keys: to every engine."""
        backends: Backends = self.shared.backends
        if not backends.engines:
            return self.refuse(errors.CLUSTERDOWN, silent)
        if request.inline_form:
            self.rewrite(request, argv)
        return ask_every(backends, self.queue, self.queue.open(silent), route.join, route.writes, request.raw,
                         request.raw_n, self.link_db(), self.resp, route.lane)

    # --- transactions, and commands that may block ----------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_transaction(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """MULTI, EXEC, DISCARD, WATCH and UNWATCH. What is refused here does not spoil the transaction, as in Redis."""
        if route.step == STEP_MULTI:
            return self.on_multi(route, silent)
        if route.step == STEP_EXEC:
            return self.on_exec(route, silent)
        if route.step == STEP_DISCARD:
            if not self.flags & _MULTI:
                return self.fail(route, errors.DISCARD_WITHOUT_MULTI, silent)
            self.drop_transaction()
            return self.answer(OK, silent)
        if route.step == STEP_UNWATCH:
            if self.transaction is not None:
                unwatch(self.end_transaction(), self.db)
            return self.answer(OK, silent)
        if self.flags & _MULTI:
            return self.fail(route, errors.WATCH_IN_MULTI, silent)
        if self.transaction is None:
            self.transaction = Transaction()
        return self.start_task(execute.watch(self.shared.server, self, self.words(request, argv)), LANE_SHARED, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_multi(self, route: RouteP, silent: cython.bint) -> cython.int:
        if self.flags & _MULTI:
            return self.fail(route, errors.MULTI_NESTED, silent)
        if self.transaction is None:
            self.transaction = Transaction()
        self.flags |= _MULTI
        self.multi_count = 0
        return self.answer(OK, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def exec_is_simple(self) -> cython.bint:
        """Whether EXEC goes over the link that all clients share, like any other command."""
        return not self.transaction.links and self.transaction.owner(self.shared.backends) >= 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_exec(self, route: RouteP, silent: cython.bint) -> cython.int:
        """EXEC: one batch to one engine, or whatever else it takes."""
        backends: Backends = self.shared.backends
        request: Reply = self.shared.request
        owner: cython.int
        transaction: Transaction
        engine: Engine
        link: Link = None
        seq: uint64_t
        if not self.flags & _MULTI:
            return self.fail(route, errors.EXEC_WITHOUT_MULTI, silent)
        if self.transaction.failed:
            self.drop_transaction()
            return self.fail(route, errors.EXEC_ABORTED, silent)
        owner = self.transaction.owner(backends)
        if owner < 0 or (self.transaction.links and self.transaction.links[backends.engines[owner]].resp != self.resp):
            transaction = self.end_transaction()
            return self.start_task(execute.run(self.shared.server, self, transaction, silent), LANE_SHARED,
                                   silent and not transaction.mutes)
        transaction = self.end_transaction()
        engine = backends.engines[owner]
        request.clear()
        transaction.write(request)
        seq = self.queue.open(silent)
        if transaction.links:
            self.queue.alone = True     # what follows goes over another link
            link = transaction.links[engine]
            link.send_batch(Exec(self.queue, seq, engine, link), seq, request.buf, request.len, self.link_db(),
                            len(transaction.commands) + 1)
        else:
            engine.at(LANE_SHARED, self.resp).send_batch(
                Exec(self.queue, seq, engine, None), seq, request.buf, request.len, self.link_db(),
                len(transaction.commands) + 1)
        return request.clear()

    @cython.cfunc
    def end_transaction(self) -> Transaction:
        """The client is in no transaction any more, and watches nothing: what it had is the caller's."""
        transaction: Transaction = self.transaction
        self.transaction = None
        self.flags &= ~_MULTI
        self.shared.queued_bytes -= self.multi_bytes
        self.multi_count = -1
        self.multi_bytes = self.watch_count = 0
        return transaction

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flag_transaction(self) -> cython.int:
        """A command was refused: EXEC will be, too."""
        if self.flags & _MULTI:
            self.transaction.failed = True
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def enqueue(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """A command behind MULTI."""
        backends: Backends = self.shared.backends
        slots: list = []
        args: list = None
        owners: set = set()
        kind: cython.int = route.kind
        uneven: cython.bint = False
        if route.no_multi:
            return self.reject(route, errors.NOT_IN_MULTI, silent)
        if kind == ROUTE_REFUSED:
            return self.reject(route, errors.not_through_proxy(self.last_command), silent)
        self.check_input(self.multi_bytes + request.raw_n)
        if self.transport.closing:
            return 0
        if kind in (ROUTE_LOCAL, ROUTE_TASK, ROUTE_EVERY, ROUTE_TRANSACTION):
            args = self.words(request, argv)
        elif kind != ROUTE_ANY:
            slots = self.shared.router.key_slots(route, argv, request.argc)
            uneven = kind == ROUTE_SPLIT and (request.argc - 1) % route.key_step != 0
            slots = slots[:1] if uneven else slots      # wrong for any keys: the first one's engine will say so
            owners = {backends.owners[cython.cast(cython.int, slot)] for slot in slots}
            if -1 in owners:
                return self.reject(route, errors.CLUSTERDOWN_SLOT, silent)
            if len(owners) > 1 and kind != ROUTE_SPLIT:
                return self.reject(route, errors.CROSSSLOT, silent)
            if len(owners) > 1:
                args = self.words(request, argv)
        if request.inline_form:
            self.rewrite(request, argv)
        raw: bytes = cython.cast(cython.p_char, request.raw)[:request.raw_n]
        if uneven:
            raw = encode_command(*self.words(request, argv)[:2], b"", self.words(request, argv)[1])
        self.transaction.add(Queued(route.index, kind, raw, args, tuple(slots)), route.writes, len(slots) > 0)
        if self.last_command == "client|reply":
            self.transaction.mutes = True
        self.multi_count += 1
        self.multi_bytes += request.raw_n
        self.shared.queued_bytes += request.raw_n
        return self.queue.put(cython.cast(bytep, cython.cast(cython.p_char, _QUEUED)), len(_QUEUED), silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_block(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """A command that may wait: nothing else of the client is looked at until it is answered, or gone."""
        handler: object = self.shared.router.handlers[route.index]
        self.flags |= _BLOCKED
        return self.start_task(handler(self.shared.server, self, self.words(request, argv)), LANE_SHARED, silent)

    # --- answered here --------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def on_here(self, route: RouteP, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """A registered handler's: its value at once, or a Task."""
        args: list = self.words(request, argv)
        handler: object = self.shared.router.handlers[route.index]
        try:
            value = handler(self.shared.server, self, args)
        except CommandError as error:
            value = error
            route.failed += 1
        if route.kind == ROUTE_TASK:
            self.start_task(value, route.lane, silent)
        elif value is not NO_REPLY:
            if silent and self.last_command in _UNSILENCE and not isinstance(value, CommandError):
                silent = False
            self.answer(value, silent)
        if self.flags & _CLOSE_AFTER_REPLY:
            self.queue.close_when_empty()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def answer(self, value: object, silent: cython.bint) -> cython.int:
        """Reply with a plain value (wire.values)."""
        reply: Reply = self.shared.answer
        reply.clear()
        reply.resp = self.resp
        reply.value(value)
        if isinstance(value, CommandError):
            self.count_error(value.text)
        return self.queue.put(reply.buf, reply.len, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refuse(self, text: bytes, silent: cython.bint) -> cython.int:
        """Reply with an error."""
        reply: Reply = self.shared.answer
        self.count_error(text)
        reply.clear()
        reply.error(text)
        return self.queue.put(reply.buf, reply.len, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail(self, route: RouteP, text: bytes, silent: cython.bint) -> cython.int:
        """`refuse` for a command that was run here, and count it with the command."""
        route.failed += 1
        return self.refuse(text, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reject(self, route: RouteP, text: bytes, silent: cython.bint) -> cython.int:
        """`refuse`, and count it with the command. EXEC that is refused itself ends the transaction."""
        route.rejected += 1
        self.flag_transaction()
        if route.step == STEP_EXEC:
            if self.transaction is not None:
                self.drop_transaction()
            return self.refuse(errors.exec_aborted(text), silent)
        return self.refuse(text, silent)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def count_error(self, text: bytes) -> cython.int:
        """INFO errorstats: by the first word. Clients cannot make up words, since all texts are ours."""
        code: bytes = text.split(b" ", 1)[0]
        self.shared.error_codes[code] = self.shared.error_codes.get(code, 0) + 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unknown(self, request: RequestP, argv: ArgP, silent: cython.bint) -> cython.int:
        """No such command, or no such subcommand. Three names that no table has are looked for here."""
        args: list = self.words(request, argv)
        name: bytes = args[0].lower()
        top: RouteP = self.shared.router.find(argv[0].p, argv[0].n)
        self.flag_transaction()
        if name == b"shardd" and self.flags & _INTERNAL:
            try:
                return self.answer(self.shared.server.control(self, args), silent)
            except CommandError as error:
                return self.refuse(error.text, silent)
        if name in errors.HTTP_WORDS:       # a browser was led to us: run nothing of what follows
            self.shared.limits.log_browser(self)
            return self.transport.close("HTTP")
        if top != cython.NULL and top.built and top.container and request.argc > 1:
            return self.refuse(errors.unknown_subcommand(args[0], args[1]), silent)
        return self.refuse(errors.unknown_command(args[0], args[1:]), silent)

    @cython.cfunc
    def words(self, request: RequestP, argv: ArgP) -> list:
        """The arguments as bytes."""
        i: cython.int
        found: list = []
        for i in range(request.argc):
            found.append(cython.cast(cython.p_char, argv[i].p)[:argv[i].n])
        return found

    # --- for plain callers ----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Take no more commands, and close when all that are in flight are answered; who blocks is not waited for."""
        if self.flags & _BLOCKED:
            self.transport.close("the proxy ends")
        self.queue.close_when_empty()

    def unblock(self, failing: bool) -> bool:
        """CLIENT UNBLOCK: end the wait of a blocked client; whether it waited."""
        return self.wait is not None and self.wait.unblock(failing)

    def reset_session(self) -> None:
        """RESET."""
        self.drop_transaction()

    def drop_transaction(self) -> None:
        """The client is in no transaction any more, and watches nothing."""
        if self.transaction is not None:
            self.end_transaction().drop_links()

    def unblocked(self) -> None:
        """The command that might block is answered: what the client has sent behind it is next."""
        self.flags &= ~_BLOCKED
        self.wait = None
        if self.transport is not None and not self.transport.closing:
            self.transport.pause_reading()
            self.transport.resume_reading()

    @property
    def in_flight(self) -> int:
        """Commands whose reply is due."""
        return self.queue.tail - self.queue.head

    @property
    def held_bytes(self) -> int:
        """Reply bytes that are here because an earlier one is not."""
        return self.queue.side_len
