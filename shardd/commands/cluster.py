"""The cluster commands: CLUSTER and its subcommands, READONLY, READWRITE and ASKING.

Owns: arguments and errors, once for the engine and the proxy. Does not own the shapes of the replies (cluster.view,
which comes as `server.view`, since it lies above the commands), the topology, or redirects (dispatch).

What is used of `server`: mode, topology (cluster.topology.Topology), node_id (40 hex digits, "" for a proxy), port,
config, view (the module cluster.view), keys_in_slot(db, slot) and slot_keys(db, slot, count). The slot map is
changed by the supervisor alone: subcommands that would change it do not exist.
"""
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from shardd.base import errors, limits
from shardd.base.errors import CommandError
from shardd.commands.plain import Handler, help_lines
from shardd.commands.table import parse_integer
from shardd.net.client import ClientFlag
from shardd.structures.slots import slot_of
from shardd.wire.values import OK


def check_enabled(server: Any) -> None:
    """Raises CommandError where this is no cluster, or one without a map yet."""
    if server.mode != "cluster":
        raise CommandError(errors.CLUSTER_DISABLED)
    if server.topology is None:
        raise CommandError(errors.CLUSTERDOWN)


def _enabled(handler: Handler) -> Handler:
    """Refuse where this is no cluster; before anything else, as in Redis."""
    def checked(server: Any, client: Any, args: list[bytes]) -> Any:
        check_enabled(server)
        return handler(server, client, args)
    checked.__doc__ = handler.__doc__
    return checked


def _host(server: Any, client: Any) -> str:
    """The address by which this client reached us: engines without an address of their own are shown with it."""
    return server.view.host_of_peer(client.transport.local)


# --- the view -----------------------------------------------------------------------------------------------------

def slots(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER SLOTS"""
    return server.view.slots(server.topology, _host(server, client), server.config["cluster-preferred-endpoint-type"])


def shards(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER SHARDS"""
    return server.view.shards(server.topology, _host(server, client), server.config["cluster-preferred-endpoint-type"])


def nodes(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER NODES. Engines have what is announced of them in the topology; a proxy is not in it."""
    my_id = server.view.my_id(server.topology, server.node_id)
    host = _host(server, client)
    return server.view.nodes(server.topology, my_id, host, server.port, server.config["cluster-announce-ip"] or host)


def info(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER INFO"""
    my_id = server.view.my_id(server.topology, server.node_id)
    return server.view.info(server.topology, my_id, server.config["cluster-require-full-coverage"])


def myid(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER MYID"""
    return server.view.my_id(server.topology, server.node_id)


def myshardid(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER MYSHARDID"""
    return server.view.my_shard_id(server.topology, server.node_id)


def links(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER LINKS: nodes have no links among each other."""
    return []


def replicas(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER REPLICAS node-id: no engine has any."""
    if server.topology.engine(args[2].decode("latin-1").lower()) is None:
        raise CommandError(errors.unknown_node(args[2]))
    return []


# --- slots --------------------------------------------------------------------------------------------------------

def keyslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER KEYSLOT key"""
    return slot_of(args[2])


def _integer(raw: bytes) -> int:
    number = parse_integer(raw)
    if number is None:
        raise CommandError(errors.NOT_INTEGER)
    return number


def countkeysinslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER COUNTKEYSINSLOT slot: in the client's database."""
    slot = _integer(args[2])
    if not 0 <= slot < limits.SLOTS:
        raise CommandError(errors.INVALID_SLOT_NUMBER)
    return server.keys_in_slot(client.db, slot)


def getkeysinslot(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER GETKEYSINSLOT slot count: in the client's database."""
    slot, count = _integer(args[2]), _integer(args[3])
    if not 0 <= slot < limits.SLOTS or count < 0:
        raise CommandError(errors.INVALID_SLOT_OR_COUNT)
    return server.slot_keys(client.db, slot, count)


# --- what slots cost: CLUSTER SLOT-STATS of Valkey 8 (cluster_slot_stats.c) ---------------------------------------

METRICS: Final = (b"key-count", b"cpu-usec", b"network-bytes-in", b"network-bytes-out")
"""What is told of a slot; all but the first only while cluster-slot-stats-enabled is on."""


class SlotOrder(NamedTuple):
    """What CLUSTER SLOT-STATS asks for: the slots first..last in order, or `limit` of all by `metric`, ties by slot."""

    first: int = 0
    last: int = limits.SLOTS - 1
    metric: bytes = b""
    limit: int = limits.SLOTS
    descending: bool = True

    def apply(self, figures: dict[int, dict[bytes, int]]) -> list[list[Any]]:
        """The reply from the figures of slots."""
        if not self.metric:
            return [[slot, figures[slot]] for slot in sorted(figures) if self.first <= slot <= self.last]
        sign = -1 if self.descending else 1
        slots = sorted(figures, key=lambda slot: (sign * figures[slot][self.metric], slot))
        return [[slot, figures[slot]] for slot in slots[:self.limit]]


def _range_slot(raw: bytes) -> int:
    slot = parse_integer(raw)
    if slot is None or not 0 <= slot < limits.SLOTS:
        raise CommandError(errors.SLOT_OUT_OF_RANGE)
    return slot


def slot_order(config: Any, args: list[bytes]) -> SlotOrder:
    """The arguments of CLUSTER SLOT-STATS. Raises CommandError."""
    form = args[2].lower()
    if form == b"slotsrange" and len(args) == 5:
        first, last = _range_slot(args[3]), _range_slot(args[4])
        if first > last:
            raise CommandError(errors.slots_reversed(first, last))
        return SlotOrder(first, last)
    if form != b"orderby":
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    metric = args[3].lower()
    if metric not in METRICS[:len(METRICS) if config["cluster-slot-stats-enabled"] else 1]:
        raise CommandError(errors.SLOT_STATS_METRIC)
    order, seen, place = SlotOrder(metric=metric), set(), 4
    while place < len(args):
        word = args[place].lower()
        if word == b"limit" and place + 1 < len(args):
            limit = parse_integer(args[place + 1])
            if limit is None or not 1 <= limit <= limits.SLOTS:
                raise CommandError(errors.SLOT_STATS_LIMIT)
            order, place = order._replace(limit=limit), place + 1
        elif word in (b"asc", b"desc"):
            order, word = order._replace(descending=word == b"desc"), b"direction"
        else:
            raise CommandError(errors.SYNTAX)
        if word in seen:
            raise CommandError(errors.SLOT_STATS_FILTERS)
        seen.add(word)
        place += 1
    return order


# --- the connection's mode ----------------------------------------------------------------------------------------

def _mode(on: ClientFlag, off: ClientFlag) -> Callable[[Any, Any, list[bytes]], Any]:
    def switch(server: Any, client: Any, args: list[bytes]) -> Any:
        client.flags = (client.flags | int(on)) & ~int(off) & 0xFFFF_FFFF
        return OK
    return switch


_NONE: Final = ClientFlag(0)


def cluster_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER HELP"""
    return help_lines("CLUSTER", [
        "COUNTKEYSINSLOT <slot>",
        "    How many keys a slot has.",
        "GETKEYSINSLOT <slot> <count>",
        "    Some keys of a slot.",
        "INFO",
        "    The state of the cluster.",
        "KEYSLOT <key>",
        "    The slot of a key.",
        "LINKS",
        "    The links between nodes: there are none.",
        "MYID",
        "    The id of this node.",
        "MYSHARDID",
        "    The id of this node's shard.",
        "NODES",
        "    The nodes and their slots, one line each:",
        "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
        "REPLICAS <node-id>",
        "    The replicas of a node.",
        "SHARDS",
        "    The shards with their slots and nodes.",
        "SLOT-STATS SLOTSRANGE <first> <last> | ORDERBY <metric> [LIMIT <count>] [ASC | DESC]",
        "    Keys, time and traffic of slots: key-count, cpu-usec, network-bytes-in, network-bytes-out.",
        "SLOTS",
        "    The ranges of slots with their nodes.",
    ])


HANDLERS: Final[dict[str, Handler]] = {name: _enabled(handler) for name, handler in {
    "cluster|slots": slots,
    "cluster|shards": shards,
    "cluster|nodes": nodes,
    "cluster|info": info,
    "cluster|myid": myid,
    "cluster|myshardid": myshardid,
    "cluster|links": links,
    "cluster|replicas": replicas,
    "cluster|slaves": replicas,
    "cluster|keyslot": keyslot,
    "cluster|countkeysinslot": countkeysinslot,
    "cluster|getkeysinslot": getkeysinslot,
    "cluster|help": cluster_help,
    "readonly": _mode(ClientFlag.READONLY, _NONE),
    "readwrite": _mode(_NONE, ClientFlag.READONLY),
    "asking": _mode(ClientFlag.ASKING, _NONE),
}.items()}
"""Full lower-case command name -> handler, for whoever builds a registry."""
