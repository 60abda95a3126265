"""INFO: the engines' answers and the proxy's own figures as one server's.

Owns: which fields are added up, which are the proxy's, and the section `# Engines`. Pure functions over parsed text,
and one coroutine that asks.

    field                     becomes
    counters, sizes           the sum                       used_memory, keyspace_hits, expired_keys ...
    text, and what is alike   the first engine's            maxmemory_policy, role ...
    *_human, *_perc, *_ratio  computed anew from the sums
    cmdstat_*, errorstat_*    sums by name; usec_per_call computed
    latency_percentiles_*     the highest
    db0 ...                   keys and expires added, avg_ttl weighted
    clients, traffic, rates   the proxy's: what clients see

An engine that does not answer within limits.PROXY_INFO_MS is left out of all sums; its line in `# Engines` says so.
That section tells, for each engine: its id, address, state, slots, keys and memory.
"""
from typing import Any, Final

from proxy.merge import Ask
from shardd.base import limits
from shardd.base.errors import CommandError
from shardd.commands import info as facts
from shardd.commands.info import human

Sections = dict[str, dict[str, str]]

TITLES: Final = facts.TITLES | {"engines": "Engines"}
"""Section -> its heading, in INFO's order."""

_SUMMED_SECTIONS: Final = frozenset(("Memory", "Persistence", "Stats", "CPU", "Clients"))
_FIRST: Final = frozenset((
    "total_system_memory", "rdb_last_save_time", "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec",
    "aof_last_rewrite_time_sec", "aof_current_rewrite_time_sec", "aof_enabled", "maxmemory_policy",
    "expired_stale_perc", "latest_fork_usec", "current_fork_perc", "active_defrag_running", "server_time_usec"))
"""Numbers that are alike on all engines, or make no sum."""

_HIGHEST: Final = frozenset((
    "loading", "async_loading", "rdb_bgsave_in_progress", "aof_rewrite_in_progress", "eventloop_longest_batch_usec",
    "eventloop_longest_batch_cpu_usec", "eventloop_longest_step_usec", "eventloop_longest_step_cpu_usec"))


def parse(text: str) -> Sections:
    """The sections of an INFO reply, by heading."""
    sections: Sections = {}
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            fields = sections.setdefault(line[2:].strip(), {})
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value
    return sections


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _pairs(text: str) -> dict[str, int | float]:
    """"a=1,b=2.5" as numbers; what is none is left out."""
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        number = _number(value)
        if number is not None:
            found[name] = number
    return found


def _joined(pairs: dict[str, Any]) -> str:
    return ",".join(f"{name}={value:.2f}" if isinstance(value, float) else f"{name}={value}"
                    for name, value in pairs.items())


def _added(texts: list[str]) -> dict[str, int | float]:
    total: dict[str, int | float] = {}
    for text in texts:
        for name, number in _pairs(text).items():
            total[name] = total.get(name, 0) + number
    return total


def combine_field(section: str, name: str, texts: list[str]) -> str:
    """One field of several engines (those that have it)."""
    if section == "Keyspace":
        total = _added(texts)
        weighted = sum(_pairs(text).get("avg_ttl", 0) * _pairs(text).get("expires", 0) for text in texts)
        return f"keys={total.get('keys', 0)},expires={total.get('expires', 0)}," \
               f"avg_ttl={int(weighted // total['expires']) if total.get('expires') else 0}"
    if section == "Commandstats":
        total = _added(texts)
        if "usec_per_call" in total:
            total["usec_per_call"] = float(total.get("usec", 0) / total["calls"]) if total.get("calls") else 0.0
        return _joined(total)
    if section == "Errorstats":
        return _joined(_added(texts))
    if section == "Latencystats":
        highest = {key: max(_pairs(text).get(key, 0) for text in texts) for key in _pairs(texts[0])}
        return ",".join(f"{key}={value:.3f}" for key, value in highest.items())
    numbers = [_number(text) for text in texts]
    if section not in _SUMMED_SECTIONS or name in _FIRST or None in numbers:
        return texts[0]
    if name in _HIGHEST:
        return str(max(numbers))
    total_number = sum(numbers)     # type: ignore[arg-type]
    return f"{total_number:.6f}" if isinstance(total_number, float) else str(total_number)


def combine(parts: list[Sections]) -> Sections:
    """Several engines' sections as one."""
    combined: Sections = {}
    for section in TITLES.values():
        names = dict.fromkeys(name for part in parts for name in part.get(section, {}))
        if names or any(section in part for part in parts):
            combined[section] = {
                name: combine_field(section, name, [
                    part[section][name] for part in parts if name in part.get(section, {})])
                for name in names}
    memory = combined.get("Memory", {})
    for name in memory:
        base = memory.get(name.removesuffix("_human"), "") if name.endswith("_human") else ""
        if base.isdigit():
            memory[name] = human(int(base))
    _ratio(memory, "mem_fragmentation_ratio", "used_memory_rss", "used_memory")
    _percent(memory, "used_memory_peak_perc", "used_memory", "used_memory_peak")
    return combined


def _ratio(fields: dict[str, str], name: str, above: str, below: str) -> None:
    if name in fields and fields.get(above, "").isdigit() and fields.get(below, "").isdigit() and int(fields[below]):
        fields[name] = f"{int(fields[above]) / int(fields[below]):.2f}"


def _percent(fields: dict[str, str], name: str, above: str, below: str) -> None:
    if name in fields and fields.get(above, "").isdigit() and fields.get(below, "").isdigit() and int(fields[below]):
        fields[name] = f"{100 * int(fields[above]) / int(fields[below]):.2f}%"


# --- the proxy's own ----------------------------------------------------------------------------------------------

def own_server(server: Any) -> dict[str, str]:
    """The section Server."""
    config = server.config
    own = facts.server(mode=server.mode, run_id=server.run_id, port=server.port, started=server.started,
                       hz=config["hz"], config_file=server.rewrite_path, bind=config["bind"],
                       unixsocket=config["unixsocket"])
    own |= {"shardd_role": "proxy", "shardd_engines": len(server.engines),
            "shardd_epoch": server.topology.epoch if server.topology else 0}
    return {name: str(value) for name, value in own.items()}


def own_clients(server: Any) -> dict[str, str]:
    """What clients see of Clients."""
    return {"connected_clients": str(len(server.clients)), "cluster_connections": "0",
            "maxclients": str(server.config["maxclients"])}


def own_stats(server: Any) -> dict[str, str]:
    """What clients see of Stats."""
    ops, rate_in, rate_out = server.stats.rates()
    bytes_in, bytes_out = server.traffic_bytes()
    return {
        "total_connections_received": str(server.stats.connections),
        "total_commands_processed": str(server.shared.commands),
        "instantaneous_ops_per_sec": str(round(ops)),
        "total_net_input_bytes": str(bytes_in), "total_net_output_bytes": str(bytes_out),
        "instantaneous_input_kbps": f"{rate_in / 1024:.2f}", "instantaneous_output_kbps": f"{rate_out / 1024:.2f}",
        "rejected_connections": str(server.stats.rejected_connections),
        "proxy_redirected_commands": str(server.backends.redirected),
        "proxy_lost_replies": str(server.backends.lost_replies),
        "client_query_buffer_limit_disconnections": str(server.stats.query_limit_closes),
        "client_output_buffer_limit_disconnections": str(server.stats.output_limit_closes)}


def own_cpu(fields: dict[str, str]) -> dict[str, str]:
    """The engines' CPU time and the proxy's."""
    return {name: f"{float(fields.get(name, 0)) + float(seconds):.6f}" for name, seconds in facts.cpu().items()}


def own_commandstats(server: Any, theirs: dict[str, str]) -> dict[str, str]:
    """Engines count what reached them; only here it is known how often a command was asked for that has several parts
    or is answered here, and what was refused before it was sent."""
    for name, (calls, rejected, is_parted) in server.router.statistics().items():
        total = _pairs(theirs.get(f"cmdstat_{name}", ""))
        if is_parted:
            total["calls"] = calls
        calls, usec = int(total.get("calls", 0)), int(total.get("usec", 0))
        theirs[f"cmdstat_{name}"] = _joined(facts.command_line(
            calls, usec, int(total.get("rejected_calls", 0)) + rejected, int(total.get("failed_calls", 0))))
    return theirs


def own_errorstats(server: Any, theirs: dict[str, str]) -> dict[str, str]:
    """The engines' errors and those that were made here."""
    for code, count in server.shared.error_codes.items():
        name = f"errorstat_{code.decode('latin-1')}"
        theirs[name] = f"count={_pairs(theirs.get(name, '')).get('count', 0) + count}"
    return dict(sorted(theirs.items()))


def engine_lines(server: Any, parts: dict[Any, Sections]) -> dict[str, str]:
    """The section Engines: a line for each."""
    lines = {}
    for engine in server.engines:
        info, sections = engine.info, parts.get(engine)
        line = {"id": info.id, "port": info.port, "state": "up" if sections is not None else "down",
                 "slots": server.topology.slot_count(info.id)}
        if sections is not None:
            line["keys"] = int(_added(list(sections.get("Keyspace", {}).values())).get("keys", 0))
            line["used_memory"] = sections.get("Memory", {}).get("used_memory", "0")
            line["pid"] = sections.get("Server", {}).get("process_id", "0")
        lines[f"engine{engine.index}"] = _joined(line)
    return lines


async def info(server: Any, client: Any, args: list[bytes]) -> Any:
    """INFO [section ...]"""
    sections = facts.chosen(args[1:], TITLES)
    asked = [engine for engine in server.engines if engine.up]
    questions = [(engine, [b"INFO", b"everything"]) for engine in asked]
    replies = await Ask(questions, limits.PROXY_INFO_MS) if asked else []
    parts: dict[Any, Sections] = {}
    for engine, reply in zip(asked, replies):
        if not isinstance(reply, CommandError):
            parts[engine] = parse(reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply))
    combined = combine(list(parts.values()))
    combined["Server"] = own_server(server)
    combined["Clients"] = own_clients(server) | {
        name: value for name, value in combined.get("Clients", {}).items()
        if name not in ("connected_clients", "maxclients", "cluster_connections")}
    combined["Stats"] = own_stats(server) | {
        name: value for name, value in combined.get("Stats", {}).items() if name not in own_stats(server)}
    if "Memory" in combined:
        maxmemory = server.config["maxmemory"]      # the engines' shares need not add up to it
        combined["Memory"] |= {"maxmemory": str(maxmemory), "maxmemory_human": human(maxmemory)}
    combined["CPU"] = own_cpu(combined.get("CPU", {}))
    combined["Commandstats"] = own_commandstats(server, combined.get("Commandstats", {}))
    combined["Errorstats"] = own_errorstats(server, combined.get("Errorstats", {}))
    combined["Stats"]["total_error_replies"] = str(sum(
        int(_pairs(text).get("count", 0)) for text in combined["Errorstats"].values()))
    combined["Cluster"] = {"cluster_enabled": "1"}
    combined.setdefault("Keyspace", {})
    combined["Engines"] = engine_lines(server, parts)
    return facts.render({name: combined[TITLES[name]] for name in sections if TITLES[name] in combined}, TITLES)
