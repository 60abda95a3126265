"""Commands that concern several engines: split, asked, joined.

Owns: how one request becomes several, and how their replies become one. Does not own which commands are treated so
(router), or the order of replies at the client (replies).

A Join is what waits for the parts of a command that is split by keys or sent to every engine:

    MGET a b c          engine 0: MGET a c   -> *2 A C          places: a 0, b 1, c 0
                        engine 1: MGET b     -> *1 B            joined: *3 A B C

Arrays that only stand one behind the other (KEYS) flow through a Chain instead (chain). What a Join joins is collected:
an MGET over engines needs room for all of its values here, as a server needs it for its reply.

Parts are joined as bytes, without looking into elements; an element's end is found by wire.scan. Where a part is an
error, the client gets that error, the first in order of the engines: what the other parts did is done. So DEL, UNLINK,
TOUCH and MSET are atomic per engine only, which is what splitting means. An engine's "was not executed" would then be
wrong of the whole: a write gets errors.EXECUTED_IN_PART instead. While an engine loads its data, a write that it has a
part in is refused as a whole, and a command that reads gets its -LOADING.

A Task is what waits for the steps of a coroutine, for the few commands that need more than one rule:

    async def handler(server, client, args): [reply] = await Ask([(engine, [b"DBSIZE"])]); return reply

`await Send(where, words)` sends a request whose reply is the client's, as it comes, large or not; what the coroutine
returns after that is not. `await Ask(parts)` sends a request to each engine named, in the client's database and
protocol, and gives back their replies as Python values (as wire.values has them; errors as CommandError values). What
the coroutine returns, or the CommandError it raises, is the reply. The session lets no other command of the client
start before it has ended.

Invariants: a Join or a Task answers its slot exactly once. Neither refers to a link, so that a dead link frees them.
"""
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.proxy.backend import Backends, Engine
from cython.cimports.proxy.chain import Chain, head_number
from cython.cimports.proxy.link import LANE_CONTROL, LANE_SHARED, Link
from cython.cimports.proxy.merge import (
    JOIN_AND, JOIN_ANY_OK, JOIN_CONCAT, JOIN_ORDER, JOIN_SUM, Part, PartP)
from cython.cimports.proxy.replies import Receiver, ReplyQueue
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.wire.reply import Reply
from cython.cimports.shardd.wire.request import Arg
from cython.cimports.shardd.wire.scan import ScanState, scan_reply

from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.wire.reply import encode_command
from shardd.wire.values import Push, Simple, Verbatim

_MISSING = object()
_DEPTH_MAX = cython.declare(cython.int, limits.REPLY_DEPTH_MAX)
_DASH = cython.declare(cython.int, 45)
_NOT_EXECUTED = cython.declare(bytes, f"{errors.NOT_EXECUTED}\r\n".encode())
# Requests and replies are built here one at a time, and copied on at once.
_request = cython.declare(Reply, Reply(2))
_joined = cython.declare(Reply, Reply(2))


# --- parts joined as bytes ----------------------------------------------------------------------------------------

@cython.final
@cython.cclass
class Join(Receiver):
    """See the head of the module. Made by `split` and `ask_every`."""

    def __cinit__(self, queue: ReplyQueue, seq: uint64_t, kind: cython.int, count: cython.int,
                  writes: cython.bint) -> None:
        self.queue = queue
        self.seq = seq
        self.kind = kind
        self.writes = writes
        self.count = self.missing = count
        self.parts = cython.cast(PartP, calloc(count, cython.sizeof(Part)))
        if self.parts == cython.NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        i: cython.int
        if self.parts != cython.NULL:
            for i in range(self.count):
                self.queue.outbox.held_bytes -= self.parts[i].cap
                free(self.parts[i].p)
        free(self.parts)
        free(self.places)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reply(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """A part is here; with the last one the client is answered."""
        self.append(self.parts + seq, p, n)
        self.missing -= 1
        return self.finish() if self.missing == 0 else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append(self, part: PartP, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        """Add bytes to a part; MemoryError."""
        cap: cython.Py_ssize_t = part.n + n if part.n == 0 else max(part.n + n, 2 * part.cap)
        if part.n + n > part.cap:
            part.p = cython.cast(bytep, regrow(part.p, cap))
            self.queue.outbox.held_bytes += cap - part.cap
            part.cap = cap
        memcpy(part.p + part.n, p, n)
        part.n += n
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def streams(self, seq: uint64_t) -> cython.bint:
        """Parts are collected here, and need not be collected by the link as well."""
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def piece(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        return self.append(self.parts + seq, p, n)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def broken(self, seq: uint64_t) -> cython.bint:
        """Nothing of the part went to the client yet."""
        self.parts[seq].n = 0
        return True

    @cython.cfunc
    def asker(self) -> object:
        """The client on whose behalf; None where there is none (any more)."""
        return self.queue.asker()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def detour(self) -> cython.int:
        return self.queue.detour()

    @cython.cfunc
    @cython.exceptval(check=False)
    def failed(self) -> PartP:
        """The first part that is an error, or NULL."""
        i: cython.int
        for i in range(self.count):
            if self.parts[i].p[0] == _DASH:
                return self.parts + i
        return cython.NULL

    @cython.cfunc
    @cython.exceptval(check=False)
    def in_part(self) -> cython.bint:
        """Whether some parts were refused as not executed, and others not."""
        i: cython.int
        part: PartP
        end: cython.p_char = _NOT_EXECUTED
        end_n: cython.Py_ssize_t = len(_NOT_EXECUTED)
        refused: cython.int = 0
        for i in range(self.count):
            part = self.parts + i
            if part.n > 13 and memcmp(part.p, b"-CLUSTERDOWN ", 13) == 0:
                refused += 1
            elif part.p[0] == _DASH and part.n >= end_n and memcmp(part.p + part.n - end_n, end, end_n) == 0:
                refused += 1
        return 0 < refused < self.count

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish(self) -> cython.int:
        """All parts are here."""
        i: cython.int
        part: PartP = self.failed()
        if self.kind == JOIN_ANY_OK:
            for i in range(self.count):
                if self.parts[i].p[0] != _DASH:
                    return self.queue.reply(self.seq, self.parts[i].p, self.parts[i].n)
        _joined.clear()
        if part != cython.NULL and self.writes and self.in_part():
            _joined.error(errors.EXECUTED_IN_PART)
            return self.queue.reply(self.seq, _joined.buf, _joined.len)
        if part != cython.NULL:
            return self.queue.reply(self.seq, part.p, part.n)
        if self.kind == JOIN_SUM:
            self.integers()
        elif self.kind == JOIN_ORDER:
            self.ordered()
        elif self.kind == JOIN_AND:
            self.anded()
        else:
            return self.queue.reply(self.seq, self.parts[0].p, self.parts[0].n)
        self.queue.reply(self.seq, _joined.buf, _joined.len)
        return _joined.clear()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wrong(self) -> cython.int:
        """The parts are not what they should be: better no answer than a wrong one."""
        _joined.clear()
        return _joined.error(errors.WRONG_PARTS)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def integers(self) -> cython.int:
        i: cython.int
        line: cython.Py_ssize_t = 0
        total: int64_t = 0
        for i in range(self.count):
            if self.parts[i].p[0] != 58:
                return self.wrong()
            total += head_number(self.parts[i].p, self.parts[i].n, cython.address(line))
        return _joined.integer(total)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def ordered(self) -> cython.int:
        i: cython.int
        line: cython.Py_ssize_t = 0
        used: cython.Py_ssize_t
        part: PartP
        state: ScanState
        for i in range(self.count):
            if self.parts[i].p[0] != 42:
                return self.wrong()
            head_number(self.parts[i].p, self.parts[i].n, cython.address(line))
            self.parts[i].at = line
        memset(cython.address(state), 0, cython.sizeof(ScanState))
        _joined.array(self.places_n)
        for i in range(self.places_n):
            part = self.parts + self.places[i]
            used = scan_reply(cython.address(state), part.p + part.at, part.n - part.at)
            if used <= 0:
                return self.wrong()
            _joined.raw(part.p + part.at, used)
            part.at += used
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def anded(self) -> cython.int:
        i: cython.int
        lists: list = [decode(self.parts[i].p, self.parts[i].n) for i in range(self.count)]
        if any(not isinstance(one, list) or len(one) != len(lists[0]) for one in lists):
            return self.wrong()
        return _joined.value([int(all(column)) for column in zip(*lists)])


@cython.cfunc
@cython.exceptval(-1, check=False)
def refuse_loading(queue: ReplyQueue, seq: uint64_t) -> cython.int:
    """A write that an engine would refuse, since it loads its data: none of the others shall begin."""
    _joined.clear()
    _joined.error(errors.LOADING)
    return queue.reply(seq, _joined.buf, _joined.len)


@cython.cfunc
@cython.exceptval(-1, check=False)
def ask_every(backends: Backends, queue: ReplyQueue, seq: uint64_t, join: cython.int, writes: cython.bint,
              raw: bytep, n: cython.Py_ssize_t, db: cython.int, resp: cython.int, lane: cython.int) -> cython.int:
    """Send one request to every engine; the joined reply goes to `seq`. There must be an engine."""
    i: cython.int
    engine: Engine
    count: cython.int = len(backends.engines)
    waiting: Receiver
    if writes and backends.loading > 0:
        return refuse_loading(queue, seq)
    if join == JOIN_CONCAT:
        waiting = Chain(queue, seq, count)
    else:
        waiting = Join(queue, seq, join, count, writes)
    for i in range(count):
        engine = backends.engines[i]
        engine.at(lane, resp).send(waiting, i, raw, n, db, 0)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def split(backends: Backends, queue: ReplyQueue, seq: uint64_t, join: cython.int, writes: cython.bint,
          argv: cython.pointer(Arg), argc: cython.int, step: cython.int, db: cython.int,
          resp: cython.int) -> cython.int:
    """Send each engine its keys (every `step`-th argument from the second on, with what stands behind each).

    Every key's slot must have an owner.
    """
    i: cython.int
    k: cython.int
    owner: cython.int
    keys: cython.int = (argc - 1) // step
    count: cython.int = 0
    engine: Engine
    waiting: Join
    places: cython.pointer(int32_t) = cython.cast(cython.pointer(int32_t), malloc(keys * cython.sizeof(int32_t)))
    if places == cython.NULL:
        raise MemoryError
    engines: cython.int = len(backends.engines)
    sizes: list = [0] * engines
    for k in range(keys):
        places[k] = backends.owners[key_slot(argv[1 + k * step].p, argv[1 + k * step].n)]
        sizes[places[k]] += 1
    if writes and backends.loading > 0:
        for owner in range(engines):
            engine = backends.engines[owner]
            if sizes[owner] > 0 and engine.loading:
                free(places)
                return refuse_loading(queue, seq)
    parts: list = [-1] * engines        # the number of each engine's part
    for owner in range(engines):
        if sizes[owner] > 0:
            parts[owner] = count
            count += 1
    for k in range(keys):
        places[k] = parts[places[k]]
    try:
        waiting = Join(queue, seq, join, count, writes)
    except MemoryError:
        free(places)
        raise
    waiting.places = places
    waiting.places_n = keys
    for owner in range(engines):
        if sizes[owner] == 0:
            continue
        _request.clear()
        _request.array(1 + sizes[owner] * step)
        _request.bulk(argv[0].p, argv[0].n)
        for k in range(keys):
            if places[k] == parts[owner]:
                for i in range(1 + k * step, 1 + k * step + step):
                    _request.bulk(argv[i].p, argv[i].n)
        engine = backends.engines[owner]
        engine.at(LANE_SHARED, resp).send(waiting, parts[owner], _request.buf, _request.len, db, 0)
    return _request.clear()


# --- coroutines ---------------------------------------------------------------------------------------------------

class Ask:
    """`await Ask([(where, args), ...])` inside a Task gives the list of their replies, decoded. where: a
    backend.Engine, whose link of the Task's lane is used, or a link.Link that was borrowed from one; args: the
    request's words (bytes, str or int). timeout_ms: how long to wait, 0 as long as it takes; an engine that has not
    answered by then counts as an error (errors.engine_silent). db: the database, where it is not the client's; raw: the
    replies as they came, bytes, but errors as CommandError. In the place of words there may be a Batch."""

    __slots__ = ("parts", "timeout_ms", "db", "raw")

    def __init__(self, parts: list[tuple[Any, Any]], timeout_ms: int = 0, db: int | None = None,
                 raw: bool = False) -> None:
        self.parts = parts
        self.timeout_ms = timeout_ms
        self.db = db
        self.raw = raw

    def __await__(self) -> Generator["Ask", list[Any], list[Any]]:
        return (yield self)


class Batch:
    """Several requests in one piece (Link.send_batch) for Ask, whose answer is the reply to the last one. raw: their
    RESP; early: replies before that one. errors: texts of those that were errors, then."""

    __slots__ = ("raw", "early", "errors")

    def __init__(self, raw: bytes, early: int) -> None:
        self.raw = raw
        self.early = early
        self.errors: list[bytes] = []

    def on_early(self, raw: bytes) -> None:
        """A reply before the last one."""
        if raw[:1] == b"-":
            self.errors.append(raw[1:len(raw) - 2])

    def on_last(self, raw: bytes) -> None:
        """The last one; whoever asked hears of it when all parts are answered."""


class Encoded:
    """A reply that a coroutine has as RESP already."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


class Send:
    """`await Send(where, words)` inside a Task sends a request, and its reply goes to the client as the Task's. where:
    as in Ask. The Task goes on at once, and may do what is left to do; neither its value nor its error is sent then."""

    __slots__ = ("where", "words")

    def __init__(self, where: Any, words: list[Any]) -> None:
        self.where = where
        self.words = words

    def __await__(self) -> Generator["Send", None, None]:
        yield self


@cython.final
@cython.cclass
class Task(Receiver):
    """Drives the coroutine of one command and answers slot `seq` of `queue` with its result.

    client: its db and resp hold for what is asked; lane: one of link.Lane.
    """

    def __cinit__(self, backends: Backends, queue: ReplyQueue, seq: uint64_t, client: object,
                  coroutine: object, lane: cython.int) -> None:
        self.backends = backends
        self.queue = queue
        self.seq = seq
        self.client = client
        self.coroutine = coroutine
        self.lane = lane

    def start(self) -> None:
        """Run the coroutine up to its first question."""
        self.step(None)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def step(self, value: object) -> cython.int:
        """Run the coroutine until it waits for replies, or ends."""
        parts: list
        while True:
            try:
                question = self.coroutine.send(value)
            except StopIteration as end:
                return self.finish(end.value)
            except CommandError as error:
                # a reply that was raised stands in frames that its traceback holds: a cycle, and nothing collects them
                error.__traceback__ = None
                return self.finish(error)
            except Exception as error:      # a mistake of ours must not leave the client waiting
                if self.backends.on_warning is not None:
                    self.backends.on_warning(f"A command failed: {error!r}")
                return self.finish(CommandError(errors.WRONG_PARTS))
            if isinstance(question, Send):
                self.send_for_client(question)
                value = None
                continue
            parts = question.parts
            self.raw = question.raw
            if self.ask(parts, self.client.db if question.db is None else question.db) > 0:
                if question.timeout_ms and self.backends.schedule is not None:
                    self.backends.schedule(question.timeout_ms, partial(self.give_up, parts, self.turn))
                return 0
            value = self.answers

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_for_client(self, question: object) -> cython.int:
        """See Send. A Task does so once."""
        assert not self.answered
        self.answered = True
        request: bytes = encode_command(question.words)
        p: bytep = cython.cast(bytep, cython.cast(cython.p_char, request))
        return self.link_of(question.where).send(self.queue, self.seq, p, len(request), self.client.db, 0)

    @cython.cfunc
    def link_of(self, where: object) -> Link:
        """A link that was borrowed, or an engine's of the Task's lane."""
        return where if isinstance(where, Link) else cython.cast(Engine, where).at(self.lane, self.client.resp)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def ask(self, parts: list, db: cython.int) -> cython.int:
        """Send the questions; returns how many replies are due: a link may refuse at once."""
        i: cython.int
        link: Link
        request: bytes
        self.answers = [_MISSING] * len(parts)
        self.parts = parts
        self.missing = len(parts)
        self.turn += 1
        self.asking = True
        for i in range(len(parts)):
            where, words = parts[i]
            request = words.raw if isinstance(words, Batch) else encode_command(words)
            link = self.link_of(where)
            if isinstance(words, Batch):
                link.send_batch(self, self.turn << 32 | cython.cast(uint64_t, i), cython.cast(
                    bytep, cython.cast(cython.p_char, request)), len(request), db, words.early)
            else:
                link.send(self, self.turn << 32 | cython.cast(uint64_t, i),
                          cython.cast(bytep, cython.cast(cython.p_char, request)), len(request), db, 0)
        self.asking = False
        return self.missing

    @cython.cfunc
    def asker(self) -> object:
        """The client on whose behalf; None where there is none (any more)."""
        return self.queue.asker()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def reply(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        if seq >> 32 != self.turn:      # too late: it was given up
            return 0
        words: object = self.parts[seq & 0xFFFFFFFF][1]
        try:
            if self.raw and p[0] != _DASH:
                self.answers[seq & 0xFFFFFFFF] = cython.cast(bytes, cython.cast(cython.p_char, p)[:n])
            else:
                self.answers[seq & 0xFFFFFFFF] = decode(p, n)
        except ValueError:
            self.answers[seq & 0xFFFFFFFF] = CommandError(errors.WRONG_PARTS)
        self.missing -= 1
        if isinstance(words, Batch):
            words.on_last(cython.cast(bytes, cython.cast(cython.p_char, p)[:n]))
        if self.missing == 0 and not self.asking:
            return self.step(self.answers)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def early(self, seq: uint64_t, p: bytep, n: cython.Py_ssize_t) -> cython.int:
        if seq >> 32 == self.turn:
            self.parts[seq & 0xFFFFFFFF][1].on_early(cython.cast(bytes, cython.cast(cython.p_char, p)[:n]))
        return 0

    def give_up(self, parts: list, turn: int) -> None:
        """The time for the answers of this turn is over: go on with those that are here."""
        if turn != self.turn or self.missing == 0:
            return
        self.turn += 1
        self.missing = 0
        self.step([CommandError(errors.engine_silent(_engine_of(where).index)) if answer is _MISSING else answer
                   for (where, _), answer in zip(parts, self.answers)])

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish(self, value: object) -> cython.int:
        """The coroutine has ended."""
        raw: bytes
        self.coroutine = None
        self.parts = None
        if self.answered:
            return 0
        if isinstance(value, Encoded):
            raw = value.raw
            return self.queue.reply(self.seq, cython.cast(bytep, cython.cast(cython.p_char, raw)), len(raw))
        answer: Reply = Reply(self.client.resp)
        try:
            answer.value(value)
        except (TypeError, ValueError):     # no form on the wire, or nested too deep
            answer.error(errors.WRONG_PARTS)
        return self.queue.reply(self.seq, answer.buf, answer.len)


def _engine_of(where: Any) -> Any:
    """The engine that an Ask's part went to."""
    return where.engine if isinstance(where, Link) else where


def run_alone(backends: Backends, client: object, coroutine: Coroutine, in_order: bool = False) -> Task:
    """Drive a coroutine that no client waits for. client: anything with db and resp; in_order: what it asks goes the
    way of clients' commands, not the control lane."""
    queue: ReplyQueue = ReplyQueue(backends.outbox)
    queue.dead = True
    lane: cython.int = LANE_SHARED if in_order else LANE_CONTROL
    task: Task = Task(backends, queue, queue.open(True), client, coroutine, lane)
    task.step(None)
    return task


# --- replies as Python values -------------------------------------------------------------------------------------

@cython.final
@cython.cclass
class _Decoder:
    """A place in the bytes of one whole reply."""

    p: bytep
    at: cython.Py_ssize_t

    @cython.cfunc
    def line(self) -> bytes:
        """The rest of the line at `at`, which moves behind it."""
        start: cython.Py_ssize_t = self.at
        while self.p[self.at] != 13:
            self.at += 1
        self.at += 2
        return cython.cast(cython.p_char, self.p)[start:self.at - 2]

    @cython.cfunc
    def items(self, count: cython.Py_ssize_t, depth: cython.int) -> list:
        i: cython.Py_ssize_t
        return [self.value(depth) for i in range(count)]

    @cython.cfunc
    def value(self, depth: cython.int) -> object:
        """The value at `at`; ValueError where it nests deeper than limits.REPLY_DEPTH_MAX, or a map's key is a list."""
        mark: uint8_t = self.p[self.at]
        length: cython.Py_ssize_t
        if depth > _DEPTH_MAX:
            raise ValueError(f"a reply nests deeper than {limits.REPLY_DEPTH_MAX}")
        self.at += 1
        text: bytes = self.line()
        if mark == 43:                                      # +
            return Simple(text.decode("utf-8", "replace"))
        if mark == 45:                                      # -
            return CommandError(text)
        if mark == 58 or mark == 40:                        # : (
            return int(text)
        if mark == 44:                                      # ,
            return float(text)
        if mark == 95:                                      # _
            return None
        if mark == 35:                                      # #
            return text == b"t"
        length = int(text)
        if length < 0:
            return None
        if mark == 36 or mark == 61 or mark == 33:          # $ = !
            raw: bytes = cython.cast(cython.p_char, self.p)[self.at:self.at + length]
            self.at += length + 2
            if mark == 61:
                return Verbatim(raw[4:].decode("utf-8", "surrogateescape"))
            return CommandError(raw) if mark == 33 else raw
        if mark == 37:                                      # %
            flat: list = self.items(2 * length, depth + 1)
            try:
                return dict(zip(flat[::2], flat[1::2]))
            except TypeError:
                raise ValueError("a map has a key that is an array or a map") from None
        if mark == 124:                                     # | is not part of the value
            self.items(2 * length, depth + 1)
            return self.value(depth)
        return Push(self.items(length, depth + 1)) if mark == 62 else self.items(length, depth + 1)


@cython.cfunc
def decode(p: bytep, n: cython.Py_ssize_t) -> object:
    """The whole reply at p as a value (wire.values). Sets come as lists; ValueError where it nests too deep, or a map's
    key is not a single value."""
    decoder: _Decoder = _Decoder()
    decoder.p = p
    decoder.at = 0
    value: object = decoder.value(0)
    assert decoder.at == n
    return value


def decoded(raw: bytes) -> Any:
    """`decode` for plain callers. The bytes must be one whole reply."""
    return decode(cython.cast(bytep, cython.cast(cython.p_char, raw)), len(raw))


def encoded(value: Any, resp: int) -> bytes:
    """A value (wire.values) as RESP."""
    _joined.clear()
    _joined.resp = resp
    try:
        _joined.value(value)
    except (TypeError, ValueError):     # no form on the wire, or nested too deep
        _joined.error(errors.WRONG_PARTS)
    raw: bytes = cython.cast(bytes, cython.cast(cython.p_char, _joined.buf)[:_joined.len])
    _joined.clear()
    _joined.resp = 2
    return raw


def elements(raw: bytes) -> list[bytes] | None:
    """The elements of an array (or set), each as RESP; None where it is null. ValueError where it is none."""
    state: ScanState
    line: cython.Py_ssize_t = 0
    used: cython.Py_ssize_t
    p: bytep = cython.cast(bytep, cython.cast(cython.p_char, raw))
    at: cython.Py_ssize_t
    if raw[:1] == b"_":
        return None
    if raw[:1] not in (b"*", b"~"):
        raise ValueError("no array")
    count: int64_t = head_number(p, len(raw), cython.address(line))
    if count < 0:
        return None
    found: list = []
    at = line
    memset(cython.address(state), 0, cython.sizeof(ScanState))
    while len(found) < count:
        used = scan_reply(cython.address(state), p + at, len(raw) - at)
        if used <= 0:
            raise ValueError("an array without its end")
        found.append(raw[at:at + used])
        at += used
    return found
