"""INFO's text: which sections a request names, how they are written, and what every process can tell of itself.

Owns: the names and the order of sections, the form of a line, and the sections that are alike for an engine and a
proxy (server, cpu, replication without replicas). Does not own the facts of an engine
(commands.facts) or of a proxy. A section is a dict from field to value, in INFO's order, so that whoever joins several
processes adds up dicts.

    # Server              title
    redis_version:7.2.6   field:value        lines end with CR LF, an empty line is between two sections
    ...

Keysizes is a section of Redis 8. All other fields are those of Redis 7.2 in its order (server.c, genRedisInfoString),
so that redis-cli, redis_exporter and the client libraries find what they read. What does not exist here has Redis's
value for "none"; a figure that nobody counts is left out.
"""
import functools
import hashlib
import os
import platform
import resource
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import psutil

from shardd.base import limits
from shardd.base.clock import now_us
from shardd.wire.values import Verbatim

Facts = dict[str, Any]

TITLES: Final = {
    "server": "Server", "clients": "Clients", "memory": "Memory", "persistence": "Persistence", "stats": "Stats",
    "replication": "Replication", "cpu": "CPU", "modules": "Modules", "commandstats": "Commandstats",
    "errorstats": "Errorstats", "latencystats": "Latencystats", "cluster": "Cluster", "keyspace": "Keyspace",
    "keysizes": "Keysizes"}
"""Section -> its title, in INFO's order."""

NOT_DEFAULT: Final = frozenset(("commandstats", "latencystats", "keysizes"))
"""Sections that come only where they are asked for."""


# --- the text -----------------------------------------------------------------------------------------------------

def chosen(words: Iterable[bytes], titles: Mapping[str, str] = TITLES) -> list[str]:
    """The sections that INFO's arguments name, in INFO's order; none: the default ones. Unknown names are ignored.

    titles: the sections that there are.
    """
    wanted: set[str] = set()
    asked = [word.lower() for word in words]
    for word in asked or [b"default"]:
        if word == b"default":
            wanted |= set(titles) - NOT_DEFAULT
        elif word in (b"all", b"everything"):
            wanted |= set(titles)
        else:
            name = word.decode("latin-1")
            wanted.add("modules" if name == "module_list" else name)
    return [name for name in titles if name in wanted]


def render(sections: Mapping[str, Facts], titles: Mapping[str, str] = TITLES) -> Verbatim:
    """INFO's reply: the sections in the order given. A value is an int, a str, or a dict of the pairs of one line."""
    return Verbatim("\r\n".join(
        f"# {titles[name]}\r\n" + "".join(f"{field}:{_value(value)}\r\n" for field, value in facts.items())
        for name, facts in sections.items()))


def _value(value: Any) -> Any:
    return ",".join(f"{name}={part}" for name, part in value.items()) if isinstance(value, dict) else value


def human(size_bytes: int) -> str:
    """A size as Redis shows it to people: 120B, 1.50K, 23.54G."""
    if size_bytes < 1024:
        return f"{size_bytes}B"
    size: float = size_bytes
    for unit in "KMGTP":
        size /= 1024
        if size < 1024 or unit == "P":
            break
    return f"{size:.2f}{unit}"


def percent(part: float, whole: float) -> str:
    """`part` of `whole` with two decimals and a sign, 0.00% where there is no whole."""
    return f"{100 * part / whole if whole else 0:.2f}%"


def command_line(calls: int, usec: int, rejected: int, failed: int) -> Facts:
    """The pairs of one line of commandstats."""
    return {"calls": calls, "usec": usec, "usec_per_call": f"{usec / calls if calls else 0:.2f}",
            "rejected_calls": rejected, "failed_calls": failed}


def keyspace_line(keys: int, expires: int, avg_ttl_ms: int, subexpiry: int) -> Facts:
    """The pairs of one database's line. subexpiry (hashes with fields that expire) is Redis 7.4's, and there only where
    it is not zero: older tools count the pairs."""
    line: Facts = {"keys": keys, "expires": expires, "avg_ttl": avg_ttl_ms}
    return {**line, "subexpiry": subexpiry} if subexpiry else line


# --- what a process knows of itself -------------------------------------------------------------------------------

def server(*, mode: str, run_id: str, port: int, started: float, hz: int, config_file: str | None,
           bind: Iterable[str] = (), unixsocket: str = "", configured_hz: int = 0) -> Facts:
    """The section `server`. started: unix time in seconds; bind, unixsocket: as configured, "" for none; hz: in force;
    configured_hz: 0 where that is the same."""
    now = now_us()
    now_s = now // 1_000_000
    uptime_s = max(0, int(now / 1e6 - started))
    system = os.uname()
    facts = {
        "redis_version": limits.REDIS_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": hashlib.sha1(b"shardd " + limits.REDIS_VERSION.encode()).hexdigest()[:16],
        "redis_mode": mode,
        "os": f"{system.sysname} {system.release} {system.machine}",
        "arch_bits": 64 if sys.maxsize > 2**32 else 32,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "atomicvar_api": "c11-builtin",
        "gcc_version": platform.python_compiler().removeprefix("GCC ").partition(" ")[0],
        "process_id": os.getpid(),
        "process_supervised": "no",
        "run_id": run_id,
        "tcp_port": port,
        "server_time_usec": now,
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s // 86_400,
        "hz": hz,
        "configured_hz": configured_hz or hz,
        "lru_clock": now_s & 0xFFFFFF,
        "executable": os.path.abspath(sys.argv[0]),
        "config_file": config_file or "",
        "io_threads_active": 0,
    }
    listeners = []
    if port:
        listeners.append("name=tcp," + "".join(f"bind={address}," for address in bind) + f"port={port}")
    if unixsocket:
        listeners.append(f"name=unix,bind={unixsocket}")
    return facts | {f"listener{number}": text for number, text in enumerate(listeners)}


def cpu() -> Facts:
    """The section `cpu`: seconds of this process, of its children and of its main thread."""
    times = {"": resource.RUSAGE_SELF, "_children": resource.RUSAGE_CHILDREN, "_main_thread": resource.RUSAGE_THREAD}
    facts = {}
    for suffix, who in times.items():
        usage = resource.getrusage(who)
        facts[f"used_cpu_sys{suffix}"] = f"{usage.ru_stime:.6f}"
        facts[f"used_cpu_user{suffix}"] = f"{usage.ru_utime:.6f}"
    return facts


def replication(*, replication_id: str, backlog_bytes: int) -> Facts:
    """The section `replication` of a primary without replicas. backlog_bytes: repl-backlog-size."""
    return {
        "role": "master", "connected_slaves": 0, "master_failover_state": "no-failover",
        "master_replid": replication_id, "master_replid2": "0" * 40, "master_repl_offset": 0, "second_repl_offset": -1,
        "repl_backlog_active": 0, "repl_backlog_size": backlog_bytes, "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": 0,
    }


def client_buffers(server: Any) -> tuple[int, int, int]:
    """Bytes of all connections, of the largest input and of the longest queue of replies.

    Where there are more than limits.INFO_CLIENTS_MAX, that many are looked at and the sum is what they let expect.
    """
    total = most_in = most_out = each = seen = 0
    for client in islice(server.clients.by_id.values(), limits.INFO_CLIENTS_MAX):
        transport = client.transport
        if transport is None:
            continue
        each = each or sys.getsizeof(client) + sys.getsizeof(transport)
        total += each + transport.in_cap + transport.out_cap + client.kept_bytes
        most_in = max(most_in, transport.in_len)
        most_out = max(most_out, transport.out_len)
        seen += 1
    return total * len(server.clients.by_id) // max(1, seen), most_in, most_out


@functools.cache
def _process(pid: int) -> psutil.Process:
    return psutil.Process(pid)      # costs five times what it is asked for then


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return _process(os.getpid()).memory_info().rss


@functools.cache
def system_bytes() -> int:
    """Memory of the machine. Asked for once: it costs as much as all other figures of INFO."""
    return psutil.virtual_memory().total
