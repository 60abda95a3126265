"""Commands that may wait: BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP, BZPOPMIN, BZPOPMAX, BZMPOP.

Owns: where such a command waits, and the end of its wait: served, out of time, unblocked, or its client gone. Does not
own the lines in which engines keep those who wait, nor what a client may not do meanwhile (session).

All keys on one engine: the command goes there as it came, over a link that is borrowed for it, so that it stands in
the engine's line like any other client, in its turn, and nobody else waits behind it. Time-outs are the engine's.

    client      BLPOP q 0                                            *2 q v
    link            CLIENT ID, BLPOP q 0    -> :17                   *2 q v           (CLIENT ID once per connection)
    shared                                        CLIENT UNBLOCK 17                   to end it early, whatever for

A wait is ended by the engine alone: it says whether the client was unblocked or had been served before. So an element
is never in two places, and CLIENT UNBLOCK answers what a single server would.

A client that is gone must not have taken anything. When its connection ends, CLIENT UNBLOCK goes out over the shared
link, in front of whatever other clients of this proxy push from then on. Where the engine has popped something for it
all the same (a push that was on its way), that is put back at the end that it was taken from; BLMOVE and BRPOPLPUSH
have moved it to where it was meant to go, and it stays there. The kernel is asked at the last moment whether the
client is there. What was written to its socket before it left is lost with it, as with any server.

Keys on several engines: no engine has the whole line, so it is one step after the other.

    1   each key in order, on its engine: MULTI, the command for this key, EXEC, which does not wait. The first that
        gives something is the reply
    2   SHARDD WAITKEYS on all of them at once: it takes nothing, and is answered when a key has something
    3   whoever has not answered by then is unblocked; back to 1

So exactly one element is popped, of the first key that has one at that moment; who waits on several engines may be
overtaken by somebody who waits on one. BLMOVE and BRPOPLPUSH between engines move as LMOVE does (joint), in one step.

Where an engine is lost while a client waits there, the client is disconnected, as by a server that is restarted: what
waits in a loop is made to connect again. (A reply could not be told from one to a command that failed.)
"""
import select
from collections.abc import Callable
from typing import Any, Final

from proxy.backend import Engine
from proxy.joint import HANDLERS as JOINTS
from proxy.link import Link
from proxy.merge import Ask, Batch, Encoded, decoded, elements
from proxy.transactions import told
from shardd.base import errors
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError
from shardd.commands import table
from shardd.structures.slots import slot_of
from shardd.wire.reply import encode_command
from shardd.wire.values import NULL_ARRAY

TIMEOUT: Final = b"TIMEOUT"
ERROR: Final = b"ERROR"
_MULTI: Final = encode_command([b"MULTI"])
_EXEC: Final = encode_command([b"EXEC"])
_CLIENT_ID: Final = encode_command([b"CLIENT", b"ID"])
_NOTHING: Final = Encoded(b"")
"""The reply to a client that is gone."""


# --- a wait -------------------------------------------------------------------------------------------------------

class _Place(Batch):
    """Where a client waits on one engine, and how that is ended early."""

    __slots__ = ("wait", "engine", "link", "reason", "answered", "unblocking")

    def __init__(self, wait: "Wait", engine: Engine, link: Link, words: list[Any]) -> None:
        known = link.number > 0
        super().__init__(encode_command(words) if known else _CLIENT_ID + encode_command(words), 0 if known else 1)
        self.wait: Wait | None = wait
        self.engine, self.link = engine, link
        self.reason = b""
        self.answered = False
        self.unblocking = False
        """CLIENT UNBLOCK is under way, and could hit whoever has the link next."""

    def on_early(self, raw: bytes) -> None:
        """The link's number on its engine."""
        super().on_early(raw)
        if raw[:1] == b":":
            self.link.number = int(raw[1:])
            if self.reason:
                self._unblock()

    def on_last(self, raw: bytes) -> None:
        self.answered = True
        if self.wait is not None:
            self.wait.served(raw)

    def end(self, reason: bytes) -> None:
        """Have the engine end the wait, TIMEOUT or ERROR, once it knows of it."""
        if self.answered or self.reason:
            return
        self.reason = reason
        if self.link.number > 0:
            self._unblock()

    def _unblock(self) -> None:
        if self.wait is not None:
            self.unblocking = True
            self.wait.server.run(self._ask(), in_order=True)

    async def _ask(self) -> None:
        await Ask([(self.engine, [b"CLIENT", b"UNBLOCK", self.link.number, self.reason])])
        self.unblocking = False

    async def give_back(self) -> None:
        """The link is not needed any more."""
        if self.unblocking:     # the engine has answered it when it answers what goes the same way
            await Ask([(self.engine, [b"PING"])])
        if self.unblocking:
            self.engine.discard(self.link)
        else:
            self.engine.give_back(self.link)


class Wait:
    """A client's wait, from its command to the reply. It is `client.wait`. gone: the client is; reason: what CLIENT
    UNBLOCK has said, b"" where nobody has."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.gone = False
        self.reason = b""
        self._places: list[_Place] = []

    def at(self, engine: Engine, link: Link, words: list[Any]) -> _Place:
        """Wait there, too."""
        place = _Place(self, engine, link, words)
        self._places.append(place)
        if self.gone or self.reason:
            place.end(self.reason or TIMEOUT)
        return place

    def end(self, reason: bytes) -> None:
        """All places are left, TIMEOUT or ERROR."""
        for place in self._places:
            place.end(reason)

    def served(self, raw: bytes) -> None:
        """One place has answered: nobody waits anywhere else for what is served."""
        self.end(TIMEOUT)

    def leave(self) -> None:
        """All places have answered."""
        for place in self._places:
            place.wait = None
        self._places.clear()

    def abandon(self) -> None:
        """The client is gone."""
        self.gone = True
        self.end(TIMEOUT)

    def unblock(self, failing: bool) -> bool:
        """CLIENT UNBLOCK; whether the client waited until now."""
        if self.gone or self.reason:
            return False
        self.reason = ERROR if failing else TIMEOUT
        self.end(self.reason)
        return True


# --- the commands -------------------------------------------------------------------------------------------------

class _Form:
    """How a command is written. kind: of its keys, as TYPE says it; timeout: where that stands; subset(args, keys): the
    same command for some of its keys."""

    def __init__(self, kind: bytes, timeout: int, subset: Callable[[list[bytes], list[bytes]], list[bytes]]) -> None:
        self.kind, self.timeout, self.subset = kind, timeout, subset


def _plain_subset(args: list[bytes], keys: list[bytes]) -> list[bytes]:
    return [args[0], *keys, args[-1]]


def _numbered_subset(args: list[bytes], keys: list[bytes]) -> list[bytes]:
    return [*args[:2], b"%d" % len(keys), *keys, *args[3 + int(args[2]):]]


def _pair_subset(args: list[bytes], keys: list[bytes]) -> list[bytes]:
    return args


_FORMS: Final[dict[str, _Form]] = {
    "blpop": _Form(b"list", -1, _plain_subset),
    "brpop": _Form(b"list", -1, _plain_subset),
    "bzpopmin": _Form(b"zset", -1, _plain_subset),
    "bzpopmax": _Form(b"zset", -1, _plain_subset),
    "blmpop": _Form(b"list", 1, _numbered_subset),
    "bzmpop": _Form(b"zset", 1, _numbered_subset),
    "blmove": _Form(b"list", -1, _pair_subset),
    "brpoplpush": _Form(b"list", -1, _pair_subset),
}


async def block(server: Any, client: Any, args: list[bytes]) -> Any:
    """Any of the commands."""
    name: str = client.last_command
    wait = client.wait = Wait(server)
    try:
        keys = [args[place] for place in table.route_keys(table.COMMANDS[name], args)]
        engines = [server.owner(slot_of(key)) for key in keys] or [server.some_engine()]
        if len(set(engines)) == 1:
            reply = await _on_one(client, wait, engines[0], args)
        elif name in ("blmove", "brpoplpush"):
            reply = await _move(server, client, wait, engines[0], args)
        else:
            reply = await _on_several(client, wait, _FORMS[name], args, list(zip(engines, keys)))
        if wait.gone or _has_left(client):
            await _put_back(server, name, args, reply)
            return _NOTHING
        return reply
    finally:
        wait.leave()
        client.unblocked()


def _has_left(client: Any) -> bool:
    """Whether the client has closed its end, which its connection may be about to report."""
    if client.transport.closing or client.transport.fd < 0:
        return True
    poll = select.poll()
    poll.register(client.transport.fd, select.POLLRDHUP)
    return bool(poll.poll(0))


def _served(client: Any, engine: Engine, answer: Any) -> bytes:
    """An engine's reply to a command that may have waited. CommandError. Where the engine is lost, so is the client."""
    if not isinstance(answer, CommandError):
        return answer
    if answer.text == errors.engine_lost(engine.index):
        client.transport.close(f"waited on engine {engine.index}, which is down")
    raise CommandError(told(answer.text))


async def _on_one(client: Any, wait: Wait, engine: Engine, args: list[bytes]) -> Encoded:
    """All keys on one engine, which does everything."""
    link = engine.borrow(client.resp)
    place = wait.at(engine, link, args)
    [answer] = await Ask([(link, place)], raw=True)
    await place.give_back()
    return Encoded(_served(client, engine, answer))


def _seconds(raw: bytes) -> float:
    """A time-out. CommandError."""
    try:
        seconds = float(raw)
    except ValueError:
        raise CommandError(errors.TIMEOUT_NOT_FLOAT) from None
    if seconds < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    if not seconds * 1000 < 2**63:
        raise CommandError(errors.TIMEOUT_OUT_OF_RANGE)
    return seconds


class _Clock:
    """When a wait of so many seconds is over; 0: never."""

    def __init__(self, seconds: float) -> None:
        self._until_ms = mono_ms() + seconds * 1000 if seconds else 0.0

    @property
    def left_ms(self) -> float | None:
        """None: for ever."""
        return self._until_ms - mono_ms() if self._until_ms else None


def _runs(pairs: list[tuple[Engine, bytes]]) -> list[tuple[Engine, list[bytes]]]:
    """Neighbours on one engine together, in order."""
    runs: list[tuple[Engine, list[bytes]]] = []
    for engine, key in pairs:
        if runs and runs[-1][0] is engine:
            runs[-1][1].append(key)
        else:
            runs.append((engine, [key]))
    return runs


def _is_null(raw: bytes) -> bool:
    return raw[:1] == b"_" or raw[1:3] == b"-1"


async def _on_several(client: Any, wait: Wait, form: _Form, args: list[bytes],
                      pairs: list[tuple[Engine, bytes]]) -> Any:
    """Keys of several engines."""
    clock: _Clock | None = None
    while True:
        for engine, keys in _runs(pairs):
            if wait.gone:
                return _NOTHING
            command = encode_command(form.subset(args, keys))
            [answer] = await Ask([(engine, Batch(_MULTI + command + _EXEC, 2))], raw=True)
            found = elements(_served(client, engine, answer))
            # who waits already is not told of a key that has become something else
            if found and not _is_null(found[0]) and (clock is None or not found[0].startswith(b"-WRONGTYPE ")):
                return Encoded(found[0])
        clock = clock or _Clock(float(args[form.timeout]))      # an engine would have refused what is none
        if not await _wait_for(client, wait, form, pairs, clock):
            return NULL_ARRAY


async def _wait_for(client: Any, wait: Wait, form: _Form, pairs: list[tuple[Engine, bytes]], clock: _Clock) -> bool:
    """Wait until a key may have something. False: the time is over. CommandError."""
    left_ms = clock.left_ms
    if wait.reason == ERROR:
        raise CommandError(errors.UNBLOCKED)
    if wait.gone or wait.reason or (left_ms is not None and left_ms <= 0):
        return False
    seconds = b"0" if left_ms is None else b"%.3f" % max(left_ms / 1000, 0.001)
    keys: dict[Engine, list[bytes]] = {}
    for engine, key in pairs:
        keys.setdefault(engine, []).append(key)
    places: list[_Place] = []
    try:
        for engine, some in keys.items():
            link = engine.borrow(client.resp)
            places.append(wait.at(engine, link, [b"SHARDD", b"WAITKEYS", form.kind, seconds, *some]))
        answers = await Ask([(place.link, place) for place in places], raw=True)
    finally:
        wait.leave()
        for place in places:
            await place.give_back()
    for place, answer in zip(places, answers):
        if not wait.reason:
            _served(client, place.engine, answer)
    return True


async def _move(server: Any, client: Any, wait: Wait, source: Engine, args: list[bytes]) -> Any:
    """BLMOVE and BRPOPLPUSH from one engine to another."""
    ends = args[3:5] if len(args) == 6 else [b"RIGHT", b"LEFT"]
    move = JOINTS.get("lmove")
    if move is None:
        raise CommandError(errors.CROSSSLOT)
    clock = _Clock(_seconds(args[-1]))
    while True:
        value = await move(server, client, [b"LMOVE", args[1], args[2], *ends])
        if value is not None:
            return value
        if not await _wait_for(client, wait, _FORMS["blmove"], [(source, args[1])], clock):
            return NULL_ARRAY


# --- a client that is gone ----------------------------------------------------------------------------------------

async def _put_back(server: Any, name: str, args: list[bytes], reply: Any) -> None:
    """Nobody gets this reply: what was taken goes back to where it was."""
    value = decoded(reply.raw) if isinstance(reply, Encoded) and reply.raw else None
    if name in ("blmove", "brpoplpush") or not isinstance(value, list):
        return
    key = value[0]
    if name in ("blpop", "brpop"):
        words = [b"LPUSH" if name == "blpop" else b"RPUSH", key, value[1]]
    elif name == "blmpop":
        from_left = args[3 + int(args[2])].lower() == b"left"
        words = [b"LPUSH" if from_left else b"RPUSH", key, *reversed(value[1])]
    elif name == "bzmpop":
        words = [b"ZADD", key, b"NX", *(word for member, score in value[1] for word in (_score(score), member))]
    else:
        words = [b"ZADD", key, b"NX", _score(value[2]), value[1]]
    await Ask([(server.owner(slot_of(key)), words)])


def _score(value: Any) -> bytes:
    return value if isinstance(value, bytes) else repr(value).encode()


HANDLERS: Final = dict.fromkeys(_FORMS, block)
"""Full lower-case command name -> handler."""
