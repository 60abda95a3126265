"""Commands that the proxy answers with the help of some engines: SCAN, RANDOMKEY, DEBUG, two of CLUSTER; and
the list of those that it answers by the same code as an engine.

Owns: the handlers, coroutines that ask engines (merge.Ask); the client's next command waits for their end. Does not own
what is derived from the table (router), or INFO, CONFIG and SLOWLOG (aggregate).

SCAN's cursor is (place in the slot's table << 14) | slot, a plain 64-bit decimal, on engines and here alike. The
slots of one engine that lie side by side are a run; SCAN walks the runs in order of slot, whoever owns them:

    slots   0 ............ 5461 ............ 10922 ............ 16383
            |  engine 0     |   engine 1      |   engine 2        |
    cursor  slot 7: engine 0 goes on there. It answers slot 5461 or beyond, or 0: its run is done, and the
            cursor that the client gets is slot 5461, place 0: engine 1's. Behind slot 16383 it is 0: done.

So no engine is asked twice for a run, and a key that stays is returned at least once, as long as its slot stays.
"""
import random
import re
from collections.abc import Callable
from typing import Any, Final

from proxy.merge import Ask
from shardd.base import digest, errors, limits
from shardd.base.errors import CommandError
from shardd.cluster.topology import NOBODY, Topology
from shardd.commands import acl, cluster, connection, introspect, latency
from shardd.commands import server as shared
from shardd.commands.server import may_debug
from shardd.commands.table import parse_integer
from shardd.structures.slots import slot_of
from shardd.wire.values import Simple

CURSOR_SLOT_BITS: Final = 14
_SLOT_MASK: Final = limits.SLOTS - 1
_SCAN_RUNS_MAX: Final = 16
"""Runs asked for one SCAN: bounds the time of one call where slots are scattered over the engines."""


def checked(replies: list[Any]) -> list[Any]:
    """The replies, if none is an error; raises the first that is."""
    for reply in replies:
        if isinstance(reply, CommandError):
            raise reply
    return replies


def every(server: Any, *words: bytes) -> Ask:
    """The same request for all engines. Raises CommandError where there is none."""
    if not server.engines:
        raise CommandError(errors.CLUSTERDOWN)
    return Ask([(engine, list(words)) for engine in server.engines])


# --- the keyspace -------------------------------------------------------------------------------------------------

def run_end(topology: Topology, slot: int) -> int:
    """The last slot of the run that `slot` is in: side by side, one owner (or nobody)."""
    owners = topology.owners
    last = slot
    while last + 1 < limits.SLOTS and owners[last + 1] == owners[slot]:
        last += 1
    return last


def next_cursor(returned: int, slot: int, last: int) -> int:
    """The cursor for the client, from the one that the engine of the run slot..last returned."""
    if returned and slot <= returned & _SLOT_MASK <= last:
        return returned
    return (last + 1) & _SLOT_MASK      # behind 16383 comes 0, the end


_CURSOR: Final = re.compile(rb"([+-]?)0*([0-9]{1,20})")


def parse_cursor(raw: bytes) -> int:
    """An unsigned 64-bit decimal, as C's strtoul reads one: a sign may be before it, a negative one counts back from
    2**64, nothing is 0, and a NUL ends it. Raises CommandError."""
    word = raw.split(b"\0", 1)[0]
    match = _CURSOR.fullmatch(word or b"0")
    if match is None or int(match[2]) >= 2**64:
        raise CommandError(errors.INVALID_CURSOR)
    number = int(match[2])
    return -number % 2**64 if match[1] == b"-" else number


async def scan(server: Any, client: Any, args: list[bytes]) -> Any:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]

    Where a run is at its end and nothing was found yet, the next one is asked too, up to _SCAN_RUNS_MAX: a small or
    empty database should not take a round trip of the client's per engine.
    """
    cursor = parse_cursor(args[1])
    for _ in range(_SCAN_RUNS_MAX):
        topology, slot = server.topology, cursor & _SLOT_MASK       # a newer one may have come meanwhile
        if topology is None:
            raise CommandError(errors.CLUSTERDOWN)
        last = run_end(topology, slot)
        if topology.owners[slot] == NOBODY:
            cursor, keys = next_cursor(0, slot, last), []       # nothing is there; the cursor must still move on
        else:
            [reply] = checked(await Ask([(server.owner(slot), [args[0], cursor, *args[2:]])]))
            cursor, keys = next_cursor(int(reply[0]), slot, last), reply[1]
        if keys or cursor == 0 or cursor >> CURSOR_SLOT_BITS or cursor & _SLOT_MASK <= last:
            break
    return [b"%d" % cursor, keys]


async def randomkey(server: Any, client: Any, args: list[bytes]) -> Any:
    """RANDOMKEY: an engine is chosen by how many keys it has."""
    sizes = checked(await every(server, b"DBSIZE"))
    left = dict(zip(server.engines, sizes))
    while left and sum(left.values()):
        engine = random.choices(list(left), list(left.values()))[0]
        [key] = checked(await Ask([(engine, [b"RANDOMKEY"])]))
        if key is not None:
            return key
        left.pop(engine)        # its keys had all expired
    return None


# --- DEBUG --------------------------------------------------------------------------------------------------------

_DEBUG_ON_ONE: Final = frozenset((b"sleep", b"help", b"protocol", b"log", b"error", b"stringmatch-len"))
_DEBUG_A_KEY: Final = frozenset((b"object", b"htstats-key", b"listpack", b"quicklist"))


async def debug(server: Any, client: Any, args: list[bytes]) -> Any:
    """DEBUG: what names keys goes to their engines, SLEEP to one engine, what changes or checks engines to all."""
    if not may_debug(server, client):
        raise CommandError(errors.PROTECTED_DEBUG)
    word = args[1].lower()
    if word == b"digest" and len(args) == 2:
        parts = checked(await every(server, args[0], b"DIGEST-KEYS"))
        return Simple(digest.dataset(_digest_part(part) for part in parts).hex())
    if word == b"digest-value":
        parts = [(server.owner(slot_of(key)), [*args[:2], key]) for key in args[2:]]
        return [reply[0] for reply in checked(await Ask(parts))] if parts else []
    if word in _DEBUG_A_KEY and len(args) > 2:
        return (await Ask([(server.owner(slot_of(args[2])), args)]))[0]
    if word in _DEBUG_ON_ONE:
        return (await Ask([(server.some_engine(), args)]))[0]
    replies = checked(await every(server, *args))
    if any(reply != replies[0] for reply in replies):
        raise CommandError(errors.not_through_proxy(f"debug {word.decode('latin-1')}"))
    return replies[0]


def _digest_part(part: list[Any]) -> dict[int, int]:
    """DEBUG DIGEST-KEYS of one engine, as base.digest.dataset wants it."""
    return {db: int(keys, 16) for db, keys in zip(part[::2], part[1::2], strict=True)}


# --- slots --------------------------------------------------------------------------------------------------------

def _slot(raw: bytes, error: bytes) -> int:
    slot = parse_integer(raw)
    if slot is None:
        raise CommandError(errors.NOT_INTEGER)
    if not 0 <= slot < limits.SLOTS:
        raise CommandError(error)
    return slot


async def countkeysinslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER COUNTKEYSINSLOT slot"""
    engine = server.owner(_slot(args[2], errors.INVALID_SLOT_NUMBER))
    return (await Ask([(engine, args)]))[0]


async def getkeysinslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER GETKEYSINSLOT slot count"""
    if parse_integer(args[3]) is None:
        raise CommandError(errors.NOT_INTEGER)
    engine = server.owner(_slot(args[2], errors.INVALID_SLOT_OR_COUNT))
    return (await Ask([(engine, args)]))[0]


SHARED: Final = connection.HANDLERS | introspect.HANDLERS | cluster.HANDLERS | acl.HANDLERS | {
    name: handler for name, handler in shared.HANDLERS.items()
    if name in ("time", "role", "replicaof", "slaveof", "lolwut", "config|help", "config|rewrite",
                "slowlog|help")} | {"latency|help": latency.latency_help}
"""What the proxy answers by the same code as an engine."""

HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "scan": scan,
    "randomkey": randomkey,
    "debug": debug,
    "cluster|countkeysinslot": countkeysinslot,
    "cluster|getkeysinslot": getkeysinslot,
}
"""Full lower-case command name -> handler."""
