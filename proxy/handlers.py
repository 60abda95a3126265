"""Commands that the proxy answers itself, or with the help of some engines: SCAN, RANDOMKEY, SWAPDB, DEBUG, TIME, SHUTDOWN,
CLUSTER and the cluster modes of a connection.

Owns: their handlers. Plain functions answer at once; coroutines ask engines (merge.Ask), and the client's next command
waits for their end. Does not own what is derived from the table (router), INFO, CONFIG and SLOWLOG (aggregate), or the
connection commands (commands.connection).

SCAN's cursor is (place in the slot's table << 14) | slot, a plain 64-bit decimal, on engines and here alike. The
slots of one engine that lie side by side are a run; SCAN walks the runs in order of slot, whoever owns them:

    slots   0 ............ 5461 ............ 10922 ............ 16383
            |  engine 0     |   engine 1      |   engine 2        |
    cursor  slot 7: engine 0 goes on there. It answers slot 5461 or beyond, or 0: its run is done, and the
            cursor that the client gets is slot 5461, place 0: engine 1's. Behind slot 16383 it is 0: done.

So no engine is asked twice for a run, and a key that stays is returned at least once, as long as its slot stays.
"""
import random
import time as clock
from collections.abc import Callable
from typing import Any, Final

from proxy.merge import Ask
from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.cluster import view
from shardd.cluster.topology import NOBODY, Topology
from shardd.commands.connection import help_lines
from shardd.commands.table import parse_integer
from shardd.net.client import ClientFlag
from shardd.structures.slots import slot_of
from shardd.wire.values import NO_REPLY, OK

CURSOR_SLOT_BITS: Final = 14
_SLOT_MASK: Final = limits.SLOTS - 1


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


def parse_cursor(raw: bytes) -> int:
    """An unsigned 64-bit decimal. Raises CommandError."""
    if not raw.isdigit() or len(raw) > 20 or int(raw) >= 2**64:
        raise CommandError(errors.INVALID_CURSOR)
    return int(raw)


async def scan(server: Any, client: Any, args: list[bytes]) -> Any:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]"""
    cursor = parse_cursor(args[1])
    topology = server.topology
    if topology is None:
        raise CommandError(errors.CLUSTERDOWN)
    slot = cursor & _SLOT_MASK
    while topology.owners[slot] == NOBODY:      # nothing is there; the cursor must still move on
        cursor = slot = next_cursor(0, slot, run_end(topology, slot))
        if slot == 0:
            return [b"0", []]
    [reply] = checked(await Ask([(server.owner(slot), [args[0], cursor, *args[2:]])]))
    return [b"%d" % next_cursor(int(reply[0]), slot, run_end(topology, slot)), reply[1]]


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


async def swapdb(server: Any, client: Any, args: list[bytes]) -> Any:
    """SWAPDB index index: on every engine; not at one instant."""
    return checked(await every(server, *args))[0]


# --- the server ---------------------------------------------------------------------------------------------------

def time(server: Any, client: Any, args: list[bytes]) -> Any:
    """TIME: seconds and microseconds, as strings."""
    microseconds = clock.time_ns() // 1000
    return [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]


_DEBUG_WITH_KEY: Final = frozenset((b"object", b"listpack", b"sdslen", b"ziplist"))
_DEBUG_ON_ONE: Final = frozenset((b"sleep", b"help", b"protocol", b"log"))


async def debug(server: Any, client: Any, args: list[bytes]) -> Any:
    """DEBUG: what names a key goes to its engine, SLEEP to one engine, what changes or checks engines to all of them."""
    _check_debug(server, client)
    word = args[1].lower()
    if word in _DEBUG_WITH_KEY and len(args) > 2:
        return (await Ask([(server.owner(slot_of(args[2])), args)]))[0]
    if word in _DEBUG_ON_ONE:
        return (await Ask([(server.some_engine(), args)]))[0]
    replies = checked(await every(server, *args))
    if any(reply != replies[0] for reply in replies):
        raise CommandError(errors.not_through_proxy(f"debug {word.decode('latin-1')}"))
    return replies[0]


def _check_debug(server: Any, client: Any) -> None:
    allowed = server.config["enable-debug-command"]
    local = client.transport.is_unix or client.transport.peer.startswith(("127.", "[::1]"))
    if allowed == "no" or (allowed == "local" and not local):
        raise CommandError(errors.protected_command("DEBUG", "enable-debug-command"))


def shutdown(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]: the whole tree."""
    words = [word.lower() for word in args[1:]]
    if any(word not in (b"nosave", b"save", b"now", b"force", b"abort") for word in words):
        raise CommandError(errors.SYNTAX)
    if (b"save" in words and b"nosave" in words) or (b"abort" in words and len(words) > 1):
        raise CommandError(errors.SYNTAX)
    if b"abort" in words:
        raise CommandError(errors.SHUTDOWN_NOT_IN_PROGRESS)
    server.log.warning("User requested shutdown...")
    if not server.shutdown(True if b"save" in words else False if b"nosave" in words else None):
        raise CommandError(errors.SHUTDOWN_FAILED)
    return NO_REPLY


# --- the cluster --------------------------------------------------------------------------------------------------

def _topology(server: Any) -> Topology:
    if server.topology is None:
        raise CommandError(errors.CLUSTERDOWN)
    return server.topology


def _seen_from(client: Any) -> str:
    return view.host_of_peer(client.transport.local)


def cluster_slots(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER SLOTS"""
    return view.slots(_topology(server), _seen_from(client), server.config["cluster-preferred-endpoint-type"])


def cluster_shards(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER SHARDS"""
    return view.shards(_topology(server), _seen_from(client), server.config["cluster-preferred-endpoint-type"])


def cluster_nodes(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER NODES"""
    topology = _topology(server)
    return view.nodes(topology, view.proxy_id(topology), _seen_from(client), server.port)


def cluster_info(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER INFO"""
    topology = _topology(server)
    return view.info(topology, view.proxy_id(topology), server.config["cluster-require-full-coverage"])


def cluster_myid(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER MYID"""
    return view.my_id(_topology(server))


def cluster_myshardid(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER MYSHARDID"""
    return view.my_shard_id(_topology(server))


def cluster_keyslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER KEYSLOT key"""
    return slot_of(args[2])


def _slot_word(raw: bytes) -> int:
    slot = parse_integer(raw)
    if slot is None:
        raise CommandError(errors.NOT_INTEGER)
    return slot


async def cluster_countkeysinslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER COUNTKEYSINSLOT slot"""
    slot = _slot_word(args[2])
    if not 0 <= slot < limits.SLOTS:
        raise CommandError(errors.INVALID_SLOT_NUMBER)
    return (await Ask([(server.owner(slot), args)]))[0]


async def cluster_getkeysinslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER GETKEYSINSLOT slot count"""
    slot, count = _slot_word(args[2]), _slot_word(args[3])
    if not 0 <= slot < limits.SLOTS or count < 0:
        raise CommandError(errors.INVALID_SLOT_OR_COUNT)
    return (await Ask([(server.owner(slot), args)]))[0]


def cluster_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER HELP"""
    return help_lines("CLUSTER", [
        "COUNTKEYSINSLOT <slot>",
        "    How many keys the slot has.",
        "GETKEYSINSLOT <slot> <count>",
        "    Some keys of the slot.",
        "INFO",
        "    The state of the cluster.",
        "KEYSLOT <key>",
        "    The slot of a key.",
        "MYID",
        "    The id of this node.",
        "MYSHARDID",
        "    The id of this node's shard.",
        "NODES",
        "    A line for each node.",
        "SHARDS",
        "    The shards with their slots and nodes.",
        "SLOTS",
        "    The ranges of slots with their nodes.",
    ])


def readonly(server: Any, client: Any, args: list[bytes]) -> Any:
    """READONLY: there are no replicas to read from, so it only shows in CLIENT LIST."""
    client.flags |= ClientFlag.READONLY
    return OK


def readwrite(server: Any, client: Any, args: list[bytes]) -> Any:
    """READWRITE"""
    client.flags &= ~int(ClientFlag.READONLY) & 0xFFFF_FFFF
    return OK


def asking(server: Any, client: Any, args: list[bytes]) -> Any:
    """ASKING: the proxy finds the right engine in any case."""
    return OK


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "scan": scan,
    "randomkey": randomkey,
    "swapdb": swapdb,
    "time": time,
    "debug": debug,
    "shutdown": shutdown,
    "cluster|slots": cluster_slots,
    "cluster|shards": cluster_shards,
    "cluster|nodes": cluster_nodes,
    "cluster|info": cluster_info,
    "cluster|myid": cluster_myid,
    "cluster|myshardid": cluster_myshardid,
    "cluster|keyslot": cluster_keyslot,
    "cluster|countkeysinslot": cluster_countkeysinslot,
    "cluster|getkeysinslot": cluster_getkeysinslot,
    "cluster|help": cluster_help,
    "readonly": readonly,
    "readwrite": readwrite,
    "asking": asking,
}
"""Full lower-case command name -> handler."""
