"""INFO: what an engine has to tell.

Owns: where each figure of an engine comes from. Does not own the text and the sections that are alike everywhere
(commands.info), or the counting itself, which is done where things happen: engine.stats, commands.registry,
keyspace.database, net.client.

What is used of `server` is in engine.server.Server.
"""
import random
from collections.abc import Callable
from typing import Any, Final

from shardd.base import limits
from shardd.commands import info
from shardd.commands.info import Facts, human, percent
from shardd.commands.latency import latencystats
from shardd.commands.plain import Handler
from shardd.keyspace import inspection
from shardd.net.channels import Room
from shardd.structures import alloc

ALLOCATOR: Final = "shardd"
"""mem_allocator: small blocks come from pages of our own."""


# --- clients and memory -------------------------------------------------------------------------------------------

def clients(server: Any) -> Facts:
    """The section `clients`."""
    _, most_in, most_out = info.client_buffers(server)
    blocking, watches = server.dispatcher.blocking, server.dispatcher.multi.watches
    return {
        "connected_clients": len(server.clients), "cluster_connections": 0, "maxclients": server.config["maxclients"],
        "client_recent_max_input_buffer": most_in, "client_recent_max_output_buffer": most_out,
        "blocked_clients": blocking.clients + len(server.dispatcher.postponed), "tracking_clients": 0,
        "watching_clients": watches.clients, "clients_in_timeout_table": blocking.timed,
        "total_watched_keys": watches.keys, "total_blocking_keys": blocking.keys,
        "total_blocking_keys_on_nokey": 0,
    }


def memory_facts(server: Any) -> Facts:
    """The figures behind INFO memory and MEMORY STATS, in bytes and ratios.

    What each part of `used` is, engine.memory says. allocated, active and resident are the allocator's: bytes in use,
    in pages that are in use, and in pages it has from the system.
    """
    parts = server.memory.parts()
    rss = info.resident_bytes()
    # a database that was emptied keeps its tables
    tables = {db.id: db.table_bytes() for db in server.keyspace.databases}
    dataset = max(0, parts.data - server.memory.startup.data - sum(tables.values()))
    active, resident = alloc.active_memory(), alloc.resident_memory()
    return {
        "used": parts.used, "rss": rss, "peak": server.memory.peak, "startup": server.memory.startup.used,
        "tables": tables, "overhead": parts.used - dataset, "dataset": dataset, "clients": parts.clients,
        "links": parts.links, "journal": parts.journal, "shared": parts.shared, "not_counted": parts.not_counted,
        "allocated": parts.data, "active": active, "resident": resident,
        "ratio": rss / max(1, parts.used), "extra": rss - parts.used,
    }


def memory(server: Any) -> Facts:
    """The section `memory`; below Redis's fields, ours: the parts that used_memory is the sum of."""
    m = memory_facts(server)
    maxmemory = server.config["maxmemory"]
    net = m["used"] - m["startup"]
    system = info.system_bytes()
    return {
        "used_memory": m["used"], "used_memory_human": human(m["used"]),
        "used_memory_rss": m["rss"], "used_memory_rss_human": human(m["rss"]),
        "used_memory_peak": m["peak"], "used_memory_peak_human": human(m["peak"]),
        "used_memory_peak_perc": percent(m["used"], m["peak"]),
        "used_memory_overhead": m["overhead"], "used_memory_startup": m["startup"],
        "used_memory_dataset": m["dataset"], "used_memory_dataset_perc": percent(m["dataset"], net),
        "allocator_allocated": m["allocated"], "allocator_active": m["active"], "allocator_resident": m["resident"],
        "total_system_memory": system, "total_system_memory_human": human(system),
        "used_memory_lua": 0, "used_memory_vm_eval": 0, "used_memory_lua_human": "0B", "used_memory_scripts_eval": 0,
        "number_of_cached_scripts": 0, "number_of_functions": 0, "number_of_libraries": 0,
        "used_memory_vm_functions": 0, "used_memory_vm_total": 0, "used_memory_vm_total_human": "0B",
        "used_memory_functions": 0, "used_memory_scripts": 0, "used_memory_scripts_human": "0B",
        "maxmemory": maxmemory, "maxmemory_human": human(maxmemory),
        "maxmemory_policy": server.config["maxmemory-policy"],
        "allocator_frag_ratio": f"{m['active'] / max(1, m['allocated']):.2f}",
        "allocator_frag_bytes": m["active"] - m["allocated"],
        "allocator_rss_ratio": f"{m['resident'] / max(1, m['active']):.2f}",
        "allocator_rss_bytes": m["resident"] - m["active"],
        "rss_overhead_ratio": f"{m['rss'] / max(1, m['resident']):.2f}", "rss_overhead_bytes": m["rss"] - m["resident"],
        "mem_fragmentation_ratio": f"{m['ratio']:.2f}", "mem_fragmentation_bytes": m["extra"],
        "mem_not_counted_for_evict": m["not_counted"], "mem_replication_backlog": 0,
        "mem_total_replication_buffers": 0, "mem_clients_slaves": 0, "mem_clients_normal": m["clients"],
        "mem_cluster_links": m["links"], "mem_aof_buffer": m["journal"],
        "mem_allocator": ALLOCATOR, "active_defrag_running": 0,
        "lazyfree_pending_objects": server.keyspace.pending_free(), "lazyfreed_objects": server.keyspace.lazy_freed,
        "used_memory_part_data": m["allocated"], "used_memory_part_clients": m["clients"],
        "used_memory_part_links": m["links"], "used_memory_part_journal": m["journal"],
        "used_memory_part_shared": m["shared"],
    }


# --- counters -----------------------------------------------------------------------------------------------------

def stats(server: Any) -> Facts:
    """The section `stats`."""
    counted, keyspace = server.stats, server.keyspace
    reactor, rooms = server.reactor, server.channels.rooms
    ops, bytes_in, bytes_out, cycles, busy_us = counted.rates()
    exceeded_ms, exceeded_now_ms = counted.memory_exceeded_ms()
    return {
        "total_connections_received": counted.connections, "total_commands_processed": counted.commands,
        "instantaneous_ops_per_sec": round(ops),
        "total_net_input_bytes": counted.bytes_in, "total_net_output_bytes": counted.bytes_out,
        "total_net_repl_input_bytes": 0, "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": f"{bytes_in / 1024:.2f}", "instantaneous_output_kbps": f"{bytes_out / 1024:.2f}",
        "instantaneous_input_repl_kbps": "0.00", "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": counted.rejected_connections,
        "sync_full": 0, "sync_partial_ok": 0, "sync_partial_err": 0,
        "expired_subkeys": keyspace.expired_fields, "expired_keys": keyspace.expired, "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": counted.expire_capped,
        "expire_cycle_cpu_milliseconds": counted.expire_us // 1000,
        "evicted_keys": keyspace.evicted, "evicted_clients": server.client_eviction.evicted,
        "total_eviction_exceeded_time": exceeded_ms, "current_eviction_exceeded_time": exceeded_now_ms,
        "keyspace_hits": keyspace.hits, "keyspace_misses": keyspace.misses,
        "pubsub_channels": len(rooms[Room.CHANNEL]), "pubsub_patterns": len(rooms[Room.PATTERN]),
        "pubsubshard_channels": len(rooms[Room.SHARD_CHANNEL]), "latest_fork_usec": server.snapshots.fork_us,
        "total_forks": server.snapshots.forks,
        "migrate_cached_sockets": 0, "slave_expires_tracked_keys": 0, "active_defrag_hits": 0,
        "active_defrag_misses": 0, "active_defrag_key_hits": 0, "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0, "current_active_defrag_time": 0, "tracking_total_keys": 0,
        "tracking_total_items": 0, "tracking_total_prefixes": 0, "unexpected_error_replies": 0,
        "total_error_replies": counted.error_replies, "dump_payload_sanitizations": 0,
        "total_reads_processed": reactor.reads, "total_writes_processed": reactor.writes,
        "io_threaded_reads_processed": 0, "io_threaded_writes_processed": 0,
        "client_query_buffer_limit_disconnections": counted.query_limit_closes,
        "client_output_buffer_limit_disconnections": counted.output_limit_closes,
        "reply_buffer_shrinks": reactor.queues_freed, "reply_buffer_expands": reactor.queues_grown,
        "eventloop_cycles": reactor.polls, "eventloop_duration_sum": server.busy_us,
        "eventloop_duration_cmd_sum": server.registry.total_us(),
        "instantaneous_eventloop_cycles_per_sec": round(cycles),
        "instantaneous_eventloop_duration_usec": round(busy_us / cycles) if cycles else 0,
        "eventloop_longest_batch_usec": reactor.longest_us,
        "eventloop_longest_batch_cpu_usec": reactor.longest_cpu_us,
        "eventloop_longest_step_usec": server.longest_step_us,
        "eventloop_longest_step_cpu_usec": server.longest_step_cpu_us,
        "acl_access_denied_auth": counted.errors.get(b"WRONGPASS", 0), "acl_access_denied_cmd": 0,
        "acl_access_denied_key": 0, "acl_access_denied_channel": 0,
    }


def commandstats(server: Any) -> Facts:
    """The section `commandstats`."""
    return {f"cmdstat_{name}": info.command_line(calls, usec, rejected, failed)
            for name, calls, usec, rejected, failed in server.registry.statistics()}


def errorstats(server: Any) -> Facts:
    """The section `errorstats`, in order of the codes."""
    counts = sorted(server.stats.errors.items())
    return {f"errorstat_{code.decode('latin-1')}": {"count": count} for code, count in counts}


def keyspace_section(server: Any) -> Facts:
    """The section `keyspace`: a line for each database that has keys."""
    start = random.randrange(limits.SLOTS)
    return {f"db{db.id}": info.keyspace_line(db.used, db.volatile_keys, inspection.average_ttl_ms(db, start),
                                             db.volatile_hashes)
            for db in server.keyspace.databases if db.used}


# --- all of it ----------------------------------------------------------------------------------------------------

def _server(server: Any) -> Facts:
    config = server.config
    return info.server(mode=server.mode, run_id=server.run_id, port=server.port, started=server.started,
                       hz=server.hz, configured_hz=config["hz"], config_file=server.rewrite_path, bind=config["bind"],
                       unixsocket=config["unixsocket"])


SECTIONS: Final[dict[str, Callable[[Any], Facts]]] = {
    "server": _server,
    "clients": clients,
    "memory": memory,
    "persistence": lambda server: server.persistence.facts(),
    "stats": stats,
    "replication": lambda server: info.replication(replication_id=server.replication_id,
                                                   backlog_bytes=server.config["repl-backlog-size"]),
    "cpu": lambda server: info.cpu(),
    "modules": lambda server: {},
    "commandstats": commandstats,
    "errorstats": errorstats,
    "latencystats": lambda server: latencystats(server.config, server.registry.latencies()),
    "cluster": lambda server: {"cluster_enabled": int(server.mode == "cluster")},
    "keyspace": keyspace_section,
    "keysizes": lambda server: server.keysizes.fields(),
}
"""Section -> who gathers it."""


def info_command(server: Any, client: Any, args: list[bytes]) -> Any:
    """INFO [section ...]"""
    return info.render({name: SECTIONS[name](server) for name in info.chosen(args[1:])})


HANDLERS: Final[dict[str, Handler]] = {"info": info_command}
"""Full lower-case command name -> handler, for whoever builds a registry."""
