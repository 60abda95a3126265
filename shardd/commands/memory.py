"""MEMORY: what one key takes, what everything takes, and what that means.

Owns: the replies. Does not own the figures: those of one key come from keyspace.inspection, the others from
commands.facts and structures.alloc.
"""
from typing import Any, Final

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands import facts
from shardd.commands.info import human
from shardd.commands.plain import Handler, help_lines
from shardd.commands.table import parse_integer
from shardd.keyspace import inspection
from shardd.structures import alloc, chunks
from shardd.wire.values import OK, Verbatim

SAMPLES: Final = 5
"""Elements of a large collection that MEMORY USAGE looks at where SAMPLES does not say, as in Redis."""

DOCTOR_BYTES_MIN: Final = 5 * 1024 * 1024
"""Below this ratios say nothing, as in Redis."""

EXTRA_BYTES_MIN: Final = 10 * 1024 * 1024
"""Nor do they where they are about less than this."""

PEAK_RATIO_HIGH: Final = 1.5
FRAGMENTATION_RATIO_HIGH: Final = 1.4
ALLOCATOR_RATIO_HIGH: Final = 1.1
PROCESS_BYTES_MIN: Final = 64 * 1024 * 1024
"""What the Python process itself takes beside the data, and a little more: no sign of anything."""
CLIENT_BYTES_HIGH: Final = 200 * 1024
"""Buffers of one client, on average, that are worth a word; Redis's bound."""


def usage(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY USAGE key [SAMPLES count]: exact but for large hashes and sets, whose elements are sampled."""
    place, count = 3, SAMPLES
    while place < len(args):
        if args[place].lower() != b"samples" or place + 1 == len(args):
            raise CommandError(errors.SYNTAX)
        given = parse_integer(args[place + 1])
        if given is None:
            raise CommandError(errors.NOT_INTEGER)
        if given < 0:
            raise CommandError(errors.SYNTAX)
        count = given
        place += 2
    return inspection.memory_usage(server.keyspace.databases[client.db], args[2], count)


def stats(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY STATS: Redis 7.2's fields; what has no counterpart here (overhead of expires, slot-to-keys) is 0."""
    m = facts.memory_facts(server)
    keys = server.keyspace.total_keys()
    net = max(0, m["used"] - m["startup"])
    reply: dict[str, Any] = {
        "peak.allocated": m["peak"], "total.allocated": m["used"], "startup.allocated": m["startup"],
        "replication.backlog": 0, "clients.slaves": 0, "clients.normal": m["clients"], "cluster.links": m["links"],
        "aof.buffer": m["journal"], "lua.caches": 0, "functions.caches": 0,
    }
    for number, table_bytes in m["tables"].items():
        if not server.keyspace.databases[number].used:
            continue
        # expiries lie in the entries and slots have tables of their own, so there is one kind of overhead
        reply[f"db.{number}"] = {"overhead.hashtable.main": table_bytes, "overhead.hashtable.expires": 0,
                                 "overhead.hashtable.slot-to-keys": 0}
    return reply | {
        "overhead.total": m["overhead"], "keys.count": keys, "keys.bytes-per-key": net // keys if keys else 0,
        "dataset.bytes": m["dataset"], "dataset.percentage": 100 * m["dataset"] / net if net else 0.0,
        "peak.percentage": 100 * m["used"] / m["peak"] if m["peak"] else 0.0,
        "allocator.allocated": m["allocated"], "allocator.active": m["active"], "allocator.resident": m["resident"],
        "allocator-fragmentation.ratio": m["active"] / max(1, m["allocated"]),
        "allocator-fragmentation.bytes": m["active"] - m["allocated"],
        "allocator-rss.ratio": m["resident"] / max(1, m["active"]),
        "allocator-rss.bytes": m["resident"] - m["active"],
        "rss-overhead.ratio": m["rss"] / max(1, m["resident"]), "rss-overhead.bytes": m["rss"] - m["resident"],
        "fragmentation": m["ratio"], "fragmentation.bytes": m["extra"],
    }


def doctor(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY DOCTOR: advice where a figure stands out, by Redis's rules (object.c, getMemoryDoctorReport)."""
    m = facts.memory_facts(server)
    if m["used"] < DOCTOR_BYTES_MIN:
        return Verbatim(f"Only {human(m['used'])} are in use: too little to tell anything from.\n")
    advice = []
    if m["peak"] > m["used"] * PEAK_RATIO_HIGH:
        advice.append(f"Peak: {human(m['peak'])} were in use once, {human(m['used'])} are now. Until the freed memory "
                      "is used again, the resident size may stay above what the data needs.")
    if m["ratio"] > FRAGMENTATION_RATIO_HIGH and m["extra"] > PROCESS_BYTES_MIN:
        advice.append(f"Fragmentation: {human(m['rss'])} are resident for {human(m['used'])} in use "
                      f"({m['ratio']:.2f} times). What follows says where the rest is.")
    if _stands_out(m["active"], m["allocated"], EXTRA_BYTES_MIN):
        advice.append(f"Pages: those that are in use take {human(m['active'])} for {human(m['allocated'])} of data. "
                      "Values of very different sizes, many of them deleted, keep pages half full.")
    if _stands_out(m["resident"], m["active"], EXTRA_BYTES_MIN):
        advice.append(f"Free pages: {human(m['resident'] - m['active'])} are kept for data to come. MEMORY PURGE gives "
                      "them back to the system.")
    if _stands_out(m["rss"], m["resident"], PROCESS_BYTES_MIN):
        advice.append(f"Process: {human(m['rss'] - m['resident'])} are resident beside the data's pages: Python "
                      "itself, buffers, and what malloc has not given back (MEMORY PURGE asks it to).")
    if m["clients"] > CLIENT_BYTES_HIGH * max(1, len(server.clients)):
        advice.append(f"Clients: their buffers take {human(m['clients'])}. CLIENT LIST shows which (tot-mem); "
                      "client-output-buffer-limit and maxmemory-clients bound them.")
    return Verbatim("\n".join(advice or ["Nothing stands out in the use of memory."]) + "\n")


def _stands_out(more: int, less: int, bytes_min: int) -> bool:
    return more > less * ALLOCATOR_RATIO_HIGH and more - less > bytes_min


def malloc_stats(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY MALLOC-STATS: the counting allocator's own figures."""
    lines = [f"allocator: {facts.ALLOCATOR}", f"used_bytes: {alloc.used_memory()}",
             f"active_bytes: {alloc.active_memory()}", f"resident_bytes: {alloc.resident_memory()}",
             f"mapped_chunk_bytes: {chunks.mapped_memory()}"]
    return Verbatim("\n".join(lines) + "\n")


def purge(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY PURGE: give free memory back to the system."""
    alloc.purge()
    return OK


def memory_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """MEMORY HELP"""
    return help_lines("MEMORY", [
        "DOCTOR",
        "    Advice about the use of memory.",
        "MALLOC-STATS",
        "    Figures of the allocator.",
        "PURGE",
        "    Give free memory back to the system.",
        "STATS",
        "    What the memory is used for.",
        "USAGE <key> [SAMPLES <count>]",
        "    Bytes that a key and its value take. Of a nested value <count> elements are looked at",
        "    (default: 5; 0: all).",
    ])


HANDLERS: Final[dict[str, Handler]] = {
    "memory|usage": usage,
    "memory|stats": stats,
    "memory|doctor": doctor,
    "memory|malloc-stats": malloc_stats,
    "memory|purge": purge,
    "memory|help": memory_help,
}
"""Full lower-case command name -> handler, for whoever builds a registry."""
