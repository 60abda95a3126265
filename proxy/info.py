"""INFO: the engines' answers and the proxy's own figures as one server's.

Owns: which fields are the proxy's (clients, traffic, rates: what clients see), and the section `# Engines`. Does not
own how the engines' fields are joined (commands.info_join).

An engine that does not answer within limits.PROXY_INFO_MS is left out of all sums; its line in `# Engines` says so.
That section tells, for each engine: its id, address, state, slots, keys and memory.
"""
from typing import Any, Final

from proxy.merge import Ask
from shardd.base import limits
from shardd.base.errors import CommandError
from shardd.commands import info as facts
from shardd.commands.info import human
from shardd.commands.info_join import Sections, added, combine, joined, pairs, parse

TITLES: Final = facts.TITLES | {"engines": "Engines"}
"""Section -> its heading, in INFO's order."""

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
        total = pairs(theirs.get(f"cmdstat_{name}", ""))
        if is_parted:
            total["calls"] = calls
        calls, usec = int(total.get("calls", 0)), int(total.get("usec", 0))
        theirs[f"cmdstat_{name}"] = joined(facts.command_line(
            calls, usec, int(total.get("rejected_calls", 0)) + rejected, int(total.get("failed_calls", 0))))
    return theirs


def own_errorstats(server: Any, theirs: dict[str, str]) -> dict[str, str]:
    """The engines' errors and those that were made here."""
    for code, count in server.shared.error_codes.items():
        name = f"errorstat_{code.decode('latin-1')}"
        theirs[name] = f"count={pairs(theirs.get(name, '')).get('count', 0) + count}"
    return dict(sorted(theirs.items()))


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
        int(pairs(text).get("count", 0)) for text in combined["Errorstats"].values()))
    combined["Cluster"] = {"cluster_enabled": "1"}
    combined.setdefault("Keyspace", {})
    combined["Engines"] = engine_lines(server, parts)
    return facts.render({name: combined[TITLES[name]] for name in sections if TITLES[name] in combined}, TITLES)
