"""WATCH, and EXEC where one engine alone cannot do it.

Owns: transactions that watch keys, span engines, or have commands in them that are answered here. Does not own
queueing, or EXEC of a transaction whose keys are all one engine's and unwatched, or watched there (session,
transactions).

Each queued command is turned into what engines get and how its reply is made:

    keys on one engine          goes there as it came
    keys on several (MGET ...)  in parts, which are joined; so does a command that all engines get (DBSIZE, FLUSHALL)
    no keys, any engine         goes where the others go
    answered here (PING ...)    is done here, at its place, when the engines have done theirs
    SELECT, HELLO, NO-TOUCH     both: the commands behind it are meant for another database, or have other replies

One engine: MULTI, its commands and EXEC in one piece, as ever. Several:

    HOLD          engine after engine, in ascending order, as every command over several engines does (joint)
    MULTI EXEC    empty, on links that watch: nil where a watched key has changed. Nobody can change one from here on
    MULTI ...     each engine queues its part; where one refuses, all DISCARD, and nothing is executed
    EXEC          on all of them at once
    RELEASE

So nobody sees a part of a transaction over several engines, and before the last step whatever goes wrong leaves nothing
executed. An engine that dies in that step has done all of its part or nothing, and has it in its journal as a whole;
the others have done theirs. The client is told that it may have been executed in part: there is no undo.

What asks engines by itself (INFO, SCAN, CONFIG SET over several engines, CLIENT LIST ...) is done here too, in its
place among what is done here, but behind what engines do. A command that writes one key from others (RENAME,
SUNIONSTORE) and has keys on several engines is refused when it is to be queued.
"""
from collections.abc import Callable
from typing import Any, Final

from proxy.backend import Engine
from proxy.joint.held import Held
from proxy.link import Link
from proxy.merge import Ask, Batch, Encoded, elements, encoded
from proxy.persistence import WITHIN_EXEC
from proxy.router import KINDS
from proxy.transactions import Queued, Transaction, told
from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.net.client import ClientFlag
from shardd.structures.slots import slot_of
from shardd.wire.reply import encode_command
from shardd.wire.values import NO_REPLY, NULL_ARRAY, OK

_MULTI: Final = encode_command([b"MULTI"])
_EXEC: Final = encode_command([b"EXEC"])
_ON_ONE_ENGINE: Final = frozenset(("scan", "randomkey"))
"""Of what is answered here: where there is one engine only, it may as well say so within the transaction."""
_ON_EVERY: Final = frozenset(("swapdb",))
"""Of what is done here: within a transaction, all engines do it."""


# --- WATCH --------------------------------------------------------------------------------------------------------

async def watch(server: Any, client: Any, args: list[bytes]) -> Any:
    """WATCH key [key ...]: on a link of the client's own to each engine that has some of the keys."""
    transaction = client.transaction
    keys: dict[Engine, list[bytes]] = {}
    for key in args[1:]:
        keys.setdefault(server.owner(slot_of(key)), []).append(key)
    for engine in keys:
        if engine not in transaction.links:
            transaction.links[engine] = engine.borrow(client.resp)
    replies = await Ask([(transaction.links[engine], [b"WATCH", *words]) for engine, words in keys.items()])
    for reply in replies:
        if isinstance(reply, CommandError):     # what is watched already stays watched
            raise CommandError(told(reply.text))
    transaction.watched.update((client.db, key) for key in args[1:])
    client.watch_count = len(transaction.watched)
    return OK


# --- what engines do of a transaction -----------------------------------------------------------------------------

class Part:
    """What the engines of one queued command are sent. join: how their replies become one; places: for a list of
    values, the place among `engines` of each key's."""

    __slots__ = ("engines", "places", "join")

    def __init__(self, engines: list[Engine], join: str = "", places: list[int] | None = None) -> None:
        self.engines, self.join, self.places = engines, join, places


class Plan:
    """Who does what. bodies: engine -> the commands it gets, and for each the number of the queued command whose reply
    it is, or None; parts: number of a queued command -> its Part; here: numbers of those that are done here."""

    def __init__(self, server: Any, transaction: Transaction) -> None:
        self._server, self._commands = server, transaction.commands
        self.bodies: dict[Engine, list[tuple[bytes, int | None]]] = {engine: [] for engine in transaction.links}
        self.parts: dict[int, Part] = {}
        self.here: set[int] = set()
        self.changes_link = False
        """A link has another database, or protocol, when the transaction has run."""
        homeless = []
        for number, command in enumerate(self._commands):
            if not self._place(number, command):
                homeless.append(number)
        self._shadow()
        self._house(homeless)
        for number, part in self.parts.items():
            for engine in part.engines:
                self.bodies.setdefault(engine, [])
        self._fill()

    def _name(self, command: Queued) -> str:
        return self._server.router.names[command.index]

    def _place(self, number: int, command: Queued) -> bool:
        """Decide who does a command; False: an engine, but any. CommandError."""
        server, kind, name = self._server, KINDS[command.kind], self._name(command)
        if kind == "every" or name in _ON_EVERY or (name in _ON_ONE_ENGINE and len(server.engines) == 1):
            if not server.engines:
                raise CommandError(errors.CLUSTERDOWN)
            self.parts[number] = Part(list(server.engines), server.router.rows[command.index].response_policy or (
                "all_succeeded" if name in _ON_EVERY else ""))
        elif kind in ("local", "task", "transaction"):
            self.here.add(number)
        elif not command.slots:
            return False
        else:
            engines = list(dict.fromkeys(server.owner(slot) for slot in command.slots))
            if len(engines) == 1:
                self.parts[number] = Part(engines)
            elif kind != "split" or command.args is None:   # since it was queued, slots have gone to another engine
                raise CommandError(errors.CROSSSLOT)
            else:
                self.parts[number] = self._split(command, engines)
        return True

    def _split(self, command: Queued, engines: list[Engine]) -> Part:
        row = self._server.router.rows[command.index]
        places = [engines.index(self._server.owner(slot_of(key))) for key in command.args[1::row.key_step]]
        return Part(engines, row.response_policy or "in order", places)

    def _shadow(self) -> None:
        """Commands that are done here and change what the ones behind them mean on engines."""
        self._shadows: dict[int, bytes] = {}
        for number in self.here:
            command = self._commands[number]
            name = self._name(command)
            if name == "select" or name == "client|no-touch":
                self._shadows[number] = command.raw
            elif name == "hello" and len(command.args) > 1 and command.args[1] in (b"2", b"3"):
                self._shadows[number] = encode_command([b"HELLO", command.args[1]])
        self.changes_link = bool(self._shadows)

    def _house(self, homeless: list[int]) -> None:
        """Commands that any engine may do go with the others."""
        if not homeless:
            return
        known = [engine for part in self.parts.values() for engine in part.engines] + list(self.bodies)
        engine = known[0] if known else self._server.some_engine()
        for number in homeless:
            self.parts[number] = Part([engine])

    def _fill(self) -> None:
        for number, command in enumerate(self._commands):
            if number in self._shadows:
                for body in self.bodies.values():
                    body.append((self._shadows[number], None))
            part = self.parts.get(number)
            for place, engine in enumerate(part.engines if part else ()):
                self.bodies[engine].append((self._words(command, part, place), number))

    def _words(self, command: Queued, part: Part, place: int) -> bytes:
        """What one engine gets of a command."""
        if part.places is None:
            return command.raw
        words, step = [command.args[0]], self._server.router.rows[command.index].key_step
        for at, owner in enumerate(part.places):
            if owner == place:
                words += command.args[1 + at * step:1 + at * step + step]
        return encode_command(words)

    def batch(self, engine: Engine, ends: bool) -> Batch:
        """MULTI and the engine's commands; with EXEC, where `ends`."""
        body = self.bodies[engine]
        raw = b"".join((_MULTI, *(words for words, _ in body), _EXEC if ends else b""))
        return Batch(raw, len(body) + ends)

    def replies(self, answers: dict[Engine, list[bytes]]) -> dict[int, bytes]:
        """Number of a queued command -> its reply. answers: what each engine's EXEC gave, cut."""
        found: dict[int, dict[Engine, bytes]] = {}
        for engine, body in self.bodies.items():
            for (_, number), raw in zip(body, answers[engine], strict=True):
                if number is not None:
                    found.setdefault(number, {})[engine] = raw
        return {number: _joined(self.parts[number], [raws[engine] for engine in self.parts[number].engines])
                for number, raws in found.items()}


def _joined(part: Part, raws: list[bytes]) -> bytes:
    """The engines' replies to one command as one."""
    failed = [raw for raw in raws if raw[:1] == b"-"]
    if failed:
        return failed[0]
    if len(raws) == 1 or part.join in ("all_succeeded", "one_succeeded"):
        return raws[0]
    if part.join == "agg_sum":
        return b":%d\r\n" % sum(int(raw[1:-2]) for raw in raws)
    if part.join == "agg_logical_and":
        return encoded([int(all(int(one[1:-2]) for one in column)) for column in zip(*map(elements, raws))], 2)
    cut = [elements(raw) or [] for raw in raws]
    if part.places is not None:
        own = [iter(one) for one in cut]
        flat = [next(own[place]) for place in part.places]
    else:
        flat = [one for list_ in cut for one in list_]
    return b"%b%d\r\n%b" % (raws[0][:1], len(flat), b"".join(flat))


# --- EXEC ---------------------------------------------------------------------------------------------------------

class _Links:
    """The links of one transaction: those that watch, and others that are borrowed for it."""

    def __init__(self, transaction: Transaction, client: Any) -> None:
        self.watching: dict[Engine, Link] = dict(transaction.links)
        self.by_engine: dict[Engine, Link] = dict(transaction.links)
        self._resp: int = client.resp

    def of(self, engine: Engine) -> Link:
        """The engine's, borrowed where there is none. CommandError."""
        if engine not in self.by_engine:
            self.by_engine[engine] = engine.borrow(self._resp)
        return self.by_engine[engine]

    def end(self, clean: bool) -> None:
        """Give all of them back; where they are not as they were lent, they end."""
        for engine, link in self.by_engine.items():
            if clean:
                engine.give_back(link)
            else:
                engine.discard(link)


async def run(server: Any, client: Any, transaction: Transaction, silent: bool) -> Any:
    """EXEC. silent: its reply is not wanted, as far as CLIENT REPLY within it does not say otherwise."""
    links = _Links(transaction, client)
    clean = False
    try:
        try:
            plan = Plan(server, transaction)
        except CommandError as error:
            raise CommandError(errors.exec_aborted(error.text)) from None
        changes_link = plan.changes_link or any(link.resp != client.resp for link in links.watching.values())
        if len(plan.bodies) > 1:
            answers = await _on_several(plan, links, client)
        elif plan.bodies:
            answers = await _on_one(plan, links, client)
        else:
            answers = {}
        clean = not changes_link
    finally:
        links.end(clean)
    if answers is None:
        return Encoded(b"") if silent else NULL_ARRAY
    return await _reply(server, client, transaction, plan, answers, silent)


def _right_form(client: Any, link: Link) -> bytes:
    """What makes a link answer in the client's protocol; it was borrowed before the client changed that."""
    return encode_command([b"HELLO", client.resp]) if link.resp != client.resp else b""


async def _on_one(plan: Plan, links: _Links, client: Any) -> dict[Engine, list[bytes]] | None:
    """All on one engine. None: a watched key has changed. CommandError: EXEC's."""
    [engine] = plan.bodies
    batch = plan.batch(engine, True)
    where: Any = engine
    if plan.changes_link or engine in links.watching:
        where = links.of(engine)
        hello = _right_form(client, where)
        batch = Batch(hello + batch.raw, batch.early + bool(hello))
    [answer] = await Ask([(where, batch)], raw=True)
    found = _taken(answer, batch)
    return None if found is None else {engine: found}


def _taken(answer: Any, batch: Batch) -> list[bytes] | None:
    """The elements of EXEC's reply; None: a watched key has changed. CommandError: EXEC was refused, or is lost."""
    if isinstance(answer, CommandError):
        if answer.text == errors.EXEC_ABORTED and batch.errors:
            raise CommandError(errors.exec_aborted(told(batch.errors[0])))
        raise CommandError(told(answer.text))
    try:
        return elements(answer)
    except ValueError:
        raise CommandError(errors.WRONG_PARTS) from None


async def _on_several(plan: Plan, links: _Links, client: Any) -> dict[Engine, list[bytes]] | None:
    """See the head of the module. None: a watched key has changed. CommandError: EXEC's."""
    engines = sorted(plan.bodies, key=lambda engine: engine.index)
    held = Held(links={engine: links.of(engine) for engine in engines})
    try:
        try:
            await held.take(engines)
        except CommandError as error:
            raise CommandError(errors.exec_aborted(error.text)) from None
        if links.watching and await _has_changed(links, client):
            return None
        batches = {engine: plan.batch(engine, False) for engine in engines}
        replies = await Ask([(links.of(engine), batch) for engine, batch in batches.items()], raw=True)
        for engine, reply in zip(engines, replies):
            refused = batches[engine].errors + ([reply.text] if isinstance(reply, CommandError) else [])
            if refused:
                await Ask([(links.of(engine), [b"DISCARD"]) for engine in engines])
                raise CommandError(errors.exec_aborted(_not_executed(engine, refused[0])))
        replies = await Ask([(links.of(engine), [b"EXEC"]) for engine in engines], raw=True)
        if all(isinstance(reply, CommandError) for reply in replies):
            raise CommandError(told(replies[0].text))
        if any(isinstance(reply, CommandError) for reply in replies):
            raise CommandError(errors.EXECUTED_IN_PART)
        return {engine: _taken(reply, batches[engine]) for engine, reply in zip(engines, replies)}
    finally:
        await held.release(False)


def _not_executed(engine: Engine, text: bytes) -> bytes:
    """An engine's error where EXEC was not sent yet."""
    return errors.engine_unreachable(engine.index) if text == errors.engine_lost(engine.index) else told(text)


async def _has_changed(links: _Links, client: Any) -> bool:
    """Whether a watched key has changed, asked of all engines that watch; then they watch no more. CommandError."""
    batches = []
    for link in links.watching.values():
        hello = _right_form(client, link)
        batches.append((link, Batch(hello + _MULTI + _EXEC, 1 + bool(hello))))
    replies = await Ask(batches, raw=True)
    for engine, reply in zip(links.watching, replies):
        if isinstance(reply, CommandError):
            raise CommandError(errors.exec_aborted(_not_executed(engine, reply.text)))
    return any(elements(reply) is None for reply in replies)


async def _reply(server: Any, client: Any, transaction: Transaction, plan: Plan,
                 answers: dict[Engine, list[bytes]], silent: bool) -> Encoded:
    """EXEC's reply; what is done here is done now, in its order."""
    theirs = plan.replies(answers)
    raws = [] if silent else [b"*%d\r\n" % len(transaction.commands)]
    for number, command in enumerate(transaction.commands):
        raw = await _here(server, client, transaction, command) if number in plan.here else theirs[number]
        if not client.flags & ClientFlag.REPLY_OFF:     # as in Redis, whatever the array's head has promised
            raws.append(raw)
    return Encoded(b"".join(raws))


async def _here(server: Any, client: Any, transaction: Transaction, command: Queued) -> bytes:
    """The reply of a command that is answered by this process. It finds its client in the transaction, as in Redis."""
    handler: Callable[[Any, Any, list[bytes]], Any] | None = server.router.handlers[command.index]
    if handler is None:     # UNWATCH: EXEC has done that
        return encoded(OK, client.resp)
    try:
        client.flags |= ClientFlag.MULTI
        client.multi_count, client.multi_bytes = len(transaction.commands), transaction.raw_n
        try:
            value = WITHIN_EXEC.get(handler, handler)(server, client, command.args)
        finally:
            client.flags &= ~int(ClientFlag.MULTI) & 0xFFFF_FFFF
            client.multi_count, client.multi_bytes = -1, 0
        if KINDS[command.kind] == "task":
            value = await value
    except CommandError as error:
        value = CommandError(*error.args)       # the one that was raised holds its frames
    if isinstance(value, Encoded):
        return value.raw
    return b"" if value is NO_REPLY else encoded(value, client.resp)
