"""How clients see the topology: the replies of CLUSTER SLOTS, SHARDS, NODES, INFO, MYID and MYSHARDID.

Owns: the shapes, as Redis 7.2 gives them (cluster.c: clusterReplyMultiBulkSlots, clusterReplyShards,
clusterGenNodesDescription, clusterCommand). Does not own the topology or the commands' arguments. Pure functions:
engines and proxies call them alike, with the topology each has been told.

Two things are decided here:

- The host. An engine whose `host` is empty listens on the same addresses as the proxy, so a client reaches it by
  the address by which it reached us: `my_host`, the local end of the client's connection. A client that came over a
  Unix socket is told LOOPBACK. What `cluster-announce-*` says is in the topology, so everybody tells the same.
- The proxy. It owns no slot and is none of the engines, but CLUSTER NODES must have a line for `myself` or redis-cli
  and others cannot place the node they talk to. It shows itself as a replica of the first engine, under an id derived
  from the cluster's: tools then skip it when they count masters, keys and slots. SLOTS and SHARDS list engines alone.
"""

import hashlib
from typing import Any

from shardd.cluster.topology import NOBODY, UP, EngineInfo, Topology
from shardd.wire.values import Verbatim

LOOPBACK = "127.0.0.1"


def proxy_id(topology: Topology) -> str:
    """The node id that every proxy of the cluster goes by: 40 hex digits, stable for the life of the cluster."""
    return hashlib.sha1(b"proxy of " + topology.cluster_id.encode()).hexdigest()


def host_of_peer(local: str) -> str:
    """The host part of a transport's local end, as net.reactor writes it: "10.0.0.5:6379", "[::1]:6379", "/path:0".

    LOOPBACK for a Unix socket and for an unspecified address.
    """
    host = local.rpartition(":")[0]
    if local.startswith("/") or not host:
        return LOOPBACK
    host = host.removeprefix("[").removesuffix("]")
    return LOOPBACK if host in ("", "0.0.0.0", "::") else host.removeprefix("::ffff:")


def endpoint(engine: EngineInfo, my_host: str = LOOPBACK, endpoint_type: str = "ip") -> str | None:
    """The host that a client is told for `engine`: in SLOTS, SHARDS, MOVED and ASK alike.

    endpoint_type: `cluster-preferred-endpoint-type`. With "hostname" and no host name it is "?", with
    "unknown-endpoint" None (MOVED then has an empty host), as in Redis.
    """
    if endpoint_type == "hostname":
        return engine.hostname or "?"
    return None if endpoint_type == "unknown-endpoint" else engine.host or my_host


def slots(topology: Topology, my_host: str = LOOPBACK, endpoint_type: str = "ip") -> list[Any]:
    """CLUSTER SLOTS: [first, last, [endpoint, port, id, other names of the host]] per range, in order of slot."""
    entries = {}
    for engine in topology.engines:
        others = {} if endpoint_type == "ip" else {"ip": engine.host or my_host}
        if engine.hostname and endpoint_type != "hostname":
            others["hostname"] = engine.hostname
        entries[engine.id] = [endpoint(engine, my_host, endpoint_type), engine.client_port, engine.id, others]
    return [[r.first, r.last, entries[r.engine_id]] for r in topology.ranges]


def shards(topology: Topology, my_host: str = LOOPBACK, endpoint_type: str = "ip") -> list[Any]:
    """CLUSTER SHARDS: one map per engine, in order of index; an engine without slots has an empty list of them."""
    return [{"slots": [slot for pair in topology.ranges_of(engine.id) for slot in pair],
             "nodes": [_shard_node(engine, my_host, endpoint_type)]} for engine in topology.engines]


def _shard_node(engine: EngineInfo, my_host: str, endpoint_type: str) -> dict[str, Any]:
    node = {"id": engine.id, "port": engine.client_port, "ip": engine.host or my_host,
            "endpoint": endpoint(engine, my_host, endpoint_type) or ""}
    if engine.hostname:
        node["hostname"] = engine.hostname
    return node | {"role": "master", "replication-offset": 0, "health": _health(engine)}


def _health(engine: EngineInfo) -> str:
    return "online" if engine.state == UP else "loading" if engine.loading else "fail"


def nodes(topology: Topology, my_id: str, my_host: str = LOOPBACK, my_port: int = 0, announced: str = "") -> Verbatim:
    """CLUSTER NODES: a line per node.

        <id> <host>:<port>@<bus port>[,<host name>] <flags> <master's id or -> <ping sent> <pong received> <epoch>
        <link state> <slots ...>

    The bus port is 0: there is no cluster bus, hence no ping and no pong. my_id: the engine that answers, or
    `proxy_id(topology)`, whose line then comes first, with `announced` or `my_host`, and `my_port`. Only `myself` shows
    its migrations, as [slot->-target] and [slot-<-source].
    """
    lines = []
    if topology.engine(my_id) is None:
        master = topology.engines[0].id if topology.engines else "-"
        role = "slave" if topology.engines else "master"
        address = f"{announced or my_host}:{my_port}@0"
        lines.append(f"{my_id} {address} myself,{role} {master} 0 0 {topology.epoch} connected")
    for engine in topology.engines:
        lines.append(_node_line(topology, engine, engine.id == my_id, my_host))
    return Verbatim("\n".join(lines) + "\n")


def _node_line(topology: Topology, engine: EngineInfo, myself: bool, my_host: str) -> str:
    # a node that answers is up, whatever the supervisor last saw
    alive = myself or engine.answers
    flags = ("myself," if myself else "") + "master" + ("" if alive else ",fail")
    address = f"{engine.host or my_host}:{engine.client_port}@0" + (f",{engine.hostname}" if engine.hostname else "")
    words = [engine.id, address, flags, "-", "0", "0", str(topology.epoch),
             "connected" if alive else "disconnected"]
    words += [f"{first}-{last}" if first != last else f"{first}" for first, last in topology.ranges_of(engine.id)]
    if myself:
        for m in topology.migrations:
            if engine.id == m.source:
                words += [f"[{slot}->-{m.target}]" for slot in range(m.first, m.last + 1)]
            elif engine.id == m.target:
                words += [f"[{slot}-<-{m.source}]" for slot in range(m.first, m.last + 1)]
    return " ".join(words)


def is_ok(topology: Topology, require_full_coverage: bool = True) -> bool:
    """cluster_state: whether every slot has an owner that is up; without required coverage, whether any engine is."""
    if not require_full_coverage:
        return any(engine.answers for engine in topology.engines)
    return topology.covered and all(topology.owner_of(r.first).answers for r in topology.ranges)


def info(topology: Topology, my_id: str = "", require_full_coverage: bool = True) -> Verbatim:
    """CLUSTER INFO. Nothing is sent over a cluster bus, so the message counters are 0."""
    assigned = sum(1 for owner in topology.owners if owner != NOBODY)
    failed = sum(topology.slot_count(engine.id) for engine in topology.engines if not engine.answers)
    proxies = 1 if my_id and topology.engine(my_id) is None else 0
    facts = {
        "cluster_state": "ok" if is_ok(topology, require_full_coverage) else "fail",
        "cluster_slots_assigned": assigned,
        "cluster_slots_ok": assigned - failed,
        "cluster_slots_pfail": 0,
        "cluster_slots_fail": failed,
        "cluster_known_nodes": len(topology.engines) + proxies,
        "cluster_size": len({r.engine_id for r in topology.ranges}),
        "cluster_current_epoch": topology.epoch,
        "cluster_my_epoch": topology.epoch,
        "cluster_stats_messages_sent": 0,
        "cluster_stats_messages_received": 0,
        "total_cluster_links_buffer_limit_exceeded": 0,
    }
    return Verbatim("".join(f"{name}:{value}\r\n" for name, value in facts.items()))


def my_id(topology: Topology, engine_id: str = "") -> str:
    """CLUSTER MYID of an engine, or of a proxy where `engine_id` is none of the engines'."""
    return engine_id if topology.engine(engine_id) else proxy_id(topology)


def my_shard_id(topology: Topology, engine_id: str = "") -> str:
    """CLUSTER MYSHARDID; a proxy shows the shard of the engine whose replica it shows itself as."""
    engine = topology.engine(engine_id) or (topology.engines[0] if topology.engines else None)
    return engine.shard_id if engine else proxy_id(topology)
