"""INFO: the engines' answers and the proxy's own figures as one server's.

Owns: which fields are the proxies' (clients, traffic, rates: what clients see), their sums over all proxies, and the
section `# Engines`. Does not own how the engines' fields are joined (commands.info_join).

An engine that does not answer within limits.PROXY_INFO_MS is left out of all sums; its line in `# Engines` says so.
That section tells, for each engine: its id, address, state, slots, keys and memory. Another proxy that does not answer
is left out as well: shardd_proxies says how many are in the sums.

    figures     what one proxy has counted, a JSON object
        fields    field of INFO -> a number; added up
        highest   field of INFO -> a number; the highest counts
        calls     command -> [calls, rejected before they were sent, 1 where engines do not see each of them as a whole,
              failed in the proxy]
        errors    code -> errors that were made in the proxy
"""
import json
from collections.abc import Iterable
from typing import Any, Final

from proxy.latency import counts_upto, merged
from proxy.merge import Ask
from proxy.observe import ask_latencies, joined_histograms
from shardd.base import limits
from shardd.base.errors import CommandError
from shardd.commands import info as facts
from shardd.commands import latency
from shardd.commands.info import human
from shardd.commands.info_join import Sections, added, combine, joined, pairs, parse

TITLES: Final = facts.TITLES | {"proxy": "Proxy", "engines": "Engines"}
"""Section -> its heading, in INFO's order."""

# --- the proxy's own ----------------------------------------------------------------------------------------------

def figures(server: Any) -> dict[str, Any]:
    """This proxy's figures; see the head of the module."""
    ops, rate_in, rate_out = server.stats.rates()
    bytes_in, bytes_out = server.traffic_bytes()
    client_bytes, most_in, most_out = facts.client_buffers(server)
    fields = {
        "connected_clients": len(server.clients),
        "blocked_clients": sum(client.wait is not None for client in server.clients.by_id.values()),
        "total_connections_received": server.stats.connections,
        "total_commands_processed": server.shared.commands,
        "instantaneous_ops_per_sec": ops,
        "total_net_input_bytes": bytes_in, "total_net_output_bytes": bytes_out,
        "instantaneous_input_kbps": rate_in / 1024, "instantaneous_output_kbps": rate_out / 1024,
        "rejected_connections": server.stats.rejected_connections,
        "proxy_redirected_commands": server.backends.redirected,
        "proxy_lost_replies": server.backends.lost_replies,
        "proxy_link_rotations": server.backends.rotations, "proxy_shed_commands": server.shared.shed,
        "proxy_held_bytes": server.shared.held_bytes,
        "client_query_buffer_limit_disconnections": server.stats.query_limit_closes,
        "client_output_buffer_limit_disconnections": server.stats.output_limit_closes,
        "evicted_clients": server.client_eviction.evicted,
        "total_reads_processed": server.reactor.reads, "total_writes_processed": server.reactor.writes,
        "reply_buffer_shrinks": server.reactor.queues_freed, "reply_buffer_expands": server.reactor.queues_grown,
        "mem_clients_normal": client_bytes,
    } | {name: float(seconds) for name, seconds in facts.cpu().items()}
    return {"fields": fields,
            "highest": {"client_recent_max_input_buffer": most_in, "client_recent_max_output_buffer": most_out},
            "calls": {name: list(counts) for name, counts in server.router.statistics().items()},
            "errors": {code.decode("latin-1"): count for code, count in server.shared.error_codes.items()},
            "latency": server.backends.latency.dump()}


def total_figures(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Several proxies' figures as one's."""
    fields: dict[str, Any] = {}
    highest: dict[str, int] = {}
    calls: dict[str, list[int]] = {}
    codes: dict[str, int] = {}
    parts = list(parts)
    for part in parts:
        for name, value in part["fields"].items():
            fields[name] = fields.get(name, 0) + value
        for name, value in part["highest"].items():
            highest[name] = max(value, highest.get(name, 0))
        for name, (count, rejected, is_parted, failed) in part["calls"].items():
            before = calls.get(name, [0, 0, 0, 0])
            calls[name] = [before[0] + count, before[1] + rejected, is_parted, before[3] + failed]
        for code, count in part["errors"].items():
            codes[code] = codes.get(code, 0) + count
    return {"fields": fields, "highest": highest, "calls": calls, "errors": codes,
            "latency": merged([part["latency"] for part in parts])}


def own_server(server: Any, proxies: int) -> dict[str, str]:
    """The section Server. proxies: how many have answered."""
    config = server.config
    own = facts.server(mode=server.mode, run_id=server.run_id, port=server.port, started=server.started,
                       hz=config["hz"], config_file=server.rewrite_path, bind=config["bind"],
                       unixsocket=config["unixsocket"])
    own |= {"shardd_role": "proxy", "shardd_proxy": server.index, "shardd_proxies": proxies,
            "shardd_engines": len(server.engines), "shardd_epoch": server.topology.epoch if server.topology else 0}
    return {name: str(value) for name, value in own.items()}


def own_clients(server: Any, total: dict[str, Any]) -> dict[str, str]:
    """What clients see of Clients. total: all proxies' figures."""
    return {"connected_clients": str(total["fields"]["connected_clients"]), "cluster_connections": "0",
            "maxclients": str(server.config["maxclients"])} | {
                name: str(most) for name, most in total["highest"].items()}


_STATS: Final = (
    "total_connections_received", "total_commands_processed", "instantaneous_ops_per_sec", "total_net_input_bytes",
    "total_net_output_bytes", "instantaneous_input_kbps", "instantaneous_output_kbps", "rejected_connections",
    "proxy_redirected_commands", "proxy_lost_replies", "proxy_link_rotations", "proxy_shed_commands",
    "proxy_held_bytes", "client_query_buffer_limit_disconnections", "client_output_buffer_limit_disconnections")


_STATS_OF_ALL: Final = ("total_reads_processed", "total_writes_processed", "reply_buffer_shrinks",
                        "reply_buffer_expands", "evicted_clients")
"""What every process counts for itself."""


def own_stats(fields: dict[str, Any]) -> dict[str, str]:
    """What clients see of Stats."""
    return {name: f"{fields[name]:.2f}" if name.endswith("_kbps") else str(round(fields[name])) for name in _STATS}


def add_own(theirs: dict[str, str], fields: dict[str, Any], names: Iterable[str]) -> None:
    """Fields that the engines and the proxies have a part in."""
    for name in names:
        theirs[name] = str(int(theirs.get(name, 0)) + fields[name])


def own_cpu(theirs: dict[str, str], fields: dict[str, Any]) -> dict[str, str]:
    """The engines' CPU time and the proxies'."""
    return {name: f"{float(theirs.get(name, 0)) + fields[name]:.6f}" for name in facts.cpu()}


def own_commandstats(calls: dict[str, list[int]], theirs: dict[str, str]) -> dict[str, str]:
    """Engines count what reached them; only proxies know how often a command was asked for that has several parts or is
    answered by them, and what was refused before it was sent."""
    for name, (count, rejected, is_parted, failed) in calls.items():
        total = pairs(theirs.get(f"cmdstat_{name}", ""))
        if not is_parted:
            count = int(total.get("calls", 0))
        theirs[f"cmdstat_{name}"] = joined(facts.command_line(
            count, int(total.get("usec", 0)), int(total.get("rejected_calls", 0)) + rejected,
            int(total.get("failed_calls", 0)) + failed))
    return theirs


def own_errorstats(codes: dict[str, int], theirs: dict[str, str]) -> dict[str, str]:
    """The engines' errors and those that proxies made."""
    for code, count in codes.items():
        name = f"errorstat_{code}"
        theirs[name] = f"count={pairs(theirs.get(name, '')).get('count', 0) + count}"
    return dict(sorted(theirs.items()))


def own_proxy(server: Any, histograms: dict[str, Any], proxies: int) -> dict[str, str]:
    """The section Proxy: how long sampled commands took, in us, and in which part; see proxy.latency."""
    lines = {"proxies": str(proxies), "proxy_latency_sample": str(server.backends.latency.every)}
    for part, histogram in histograms.items():
        shown = {f"p{percentile:g}": histogram.percentile(percentile) for percentile in (50, 99, 99.9)}
        lines[f"proxy_latency_usec_{part}"] = joined(shown | {"max": histogram.max, "samples": histogram.count})
    return lines


def metrics(server: Any) -> dict[str, Any]:
    """What SHARDD METRICS tells the supervisor's exporter: figures of this process alone, nobody else is asked.

    What `figures` has, but of latencies the counts up to each of limits.LATENCY_BOUNDS_US instead of all buckets; and
    links: engine's index -> whether it is connected, and its commands in flight.
    """
    own = figures(server)
    own["latency"] = {part: {"count": histogram.count, "total_us": histogram.total,
                             "upto": counts_upto(histogram)}
                      for part, histogram in server.backends.latency.histograms().items()}
    own["fields"] |= {"used_memory_rss": facts.resident_bytes(), "uptime_in_seconds": server.uptime_s}
    own["links"] = {str(engine.index): {"up": engine.up, "in_flight": sum(link.in_flight for link in engine.links())}
                    for engine in server.engines}
    return own


def engine_lines(server: Any, parts: dict[Any, Sections]) -> dict[str, str]:
    """The section Engines: a line for each."""
    lines = {}
    for engine in server.engines:
        info, sections = engine.info, parts.get(engine)
        line = {"id": info.id, "port": info.port, "state": "up" if sections is not None else "down",
                 "slots": server.topology.slot_count(info.id)}
        if sections is not None:
            line["keys"] = int(added(list(sections.get("Keyspace", {}).values())).get("keys", 0))
            line["used_memory"] = sections.get("Memory", {}).get("used_memory", "0")
            line["pid"] = sections.get("Server", {}).get("process_id", "0")
        lines[f"engine{engine.index}"] = joined(line)
    return lines


async def latencystats(server: Any, asked: list[Any]) -> dict[str, str]:
    """The section Latencystats: percentiles of all calls on the engines `asked`."""
    histograms = joined_histograms(await ask_latencies(asked, limits.PROXY_INFO_MS)) if asked else {}
    return {name: joined(line) for name, line in latency.latencystats(server.config, histograms).items()}


async def info(server: Any, client: Any, args: list[bytes]) -> Any:
    """INFO [section ...]"""
    sections = facts.chosen(args[1:], TITLES)
    asked = [engine for engine in server.engines if engine.up]
    words = [b"INFO", b"default", b"commandstats", *([b"keysizes"] if "keysizes" in sections else [])]
    questions = [(engine, words) for engine in asked]
    replies = await Ask(questions, limits.PROXY_INFO_MS) if asked else []
    parts: dict[Any, Sections] = {}
    for engine, reply in zip(asked, replies):
        if not isinstance(reply, CommandError):
            parts[engine] = parse(reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply))
    combined = combine(list(parts.values()))
    others = [json.loads(reply) for reply in await server.peers.ask([b"FIGURES"], complete=False)]
    total = total_figures([figures(server), *others])
    fields = total["fields"]
    combined["Server"] = own_server(server, 1 + len(others))
    combined["Clients"] = combined.get("Clients", {}) | own_clients(server, total)
    add_own(combined["Clients"], fields, ("blocked_clients",))
    combined["Stats"] = combined.get("Stats", {}) | own_stats(fields)
    if "Memory" in combined:
        maxmemory = server.config["maxmemory"]      # the engines' shares need not add up to it
        combined["Memory"] |= {"maxmemory": str(maxmemory), "maxmemory_human": human(maxmemory)}
        add_own(combined["Memory"], fields, ("mem_clients_normal",))
    add_own(combined["Stats"], fields, _STATS_OF_ALL)
    combined["CPU"] = own_cpu(combined.get("CPU", {}), fields)
    combined["Commandstats"] = own_commandstats(total["calls"], combined.get("Commandstats", {}))
    combined["Errorstats"] = own_errorstats(total["errors"], combined.get("Errorstats", {}))
    combined["Stats"]["total_error_replies"] = str(sum(
        int(pairs(text).get("count", 0)) for text in combined["Errorstats"].values()))
    combined["Stats"]["acl_access_denied_auth"] = str(
        pairs(combined["Errorstats"].get("errorstat_WRONGPASS", "")).get("count", 0))
    if "latencystats" in sections:
        combined["Latencystats"] = await latencystats(server, asked)
    combined["Cluster"] = {"cluster_enabled": "1"}
    combined.setdefault("Keyspace", {})
    combined["Proxy"] = own_proxy(server, total["latency"], 1 + len(others))
    combined["Engines"] = engine_lines(server, parts)
    return facts.render({name: combined[TITLES[name]] for name in sections if TITLES[name] in combined}, TITLES)
