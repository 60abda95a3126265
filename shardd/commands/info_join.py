"""INFO of several servers as one server's: what the text says, and how fields of several are joined.

Owns: reading INFO's text, and which fields are added up. Does not own the writing of that text (commands.info), whom to
ask (proxy.info, supervisor.exporter), or figures that only a proxy has. Pure functions.

    field                     becomes
    counters, sizes           the sum                       used_memory, keyspace_hits, expired_keys ...
    text, and what is alike   the first server's            maxmemory_policy, role ...
    *_human, *_perc, *_ratio  computed anew from the sums
    cmdstat_*, errorstat_*    sums by name; usec_per_call computed
    latency_percentiles_*     the highest: an upper bound (proxy.observe has the histograms themselves)
    db0 ...                   keys and expires added, avg_ttl weighted
"""
from typing import Any, Final

from shardd.commands import info as facts
from shardd.commands.info import human

Sections = dict[str, dict[str, str]]
"""INFO by heading, then by field."""

_SUMMED_SECTIONS: Final = frozenset(("Memory", "Persistence", "Stats", "CPU", "Clients"))
_FIRST: Final = frozenset((
    "total_system_memory", "rdb_last_save_time", "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec",
    "aof_last_rewrite_time_sec", "aof_current_rewrite_time_sec", "aof_enabled", "maxmemory_policy",
    "expired_stale_perc", "latest_fork_usec", "current_fork_perc", "active_defrag_running", "server_time_usec"))
"""Numbers that are alike on all engines, or make no sum."""

_HIGHEST: Final = frozenset((
    "loading", "async_loading", "rdb_bgsave_in_progress", "aof_rewrite_in_progress", "eventloop_longest_batch_usec",
    "eventloop_longest_batch_cpu_usec", "eventloop_longest_step_usec", "eventloop_longest_step_cpu_usec"))


_RATIOS: Final = (("mem_fragmentation_ratio", "used_memory_rss", "used_memory"),
                  ("allocator_frag_ratio", "allocator_active", "allocator_allocated"),
                  ("allocator_rss_ratio", "allocator_resident", "allocator_active"),
                  ("rss_overhead_ratio", "used_memory_rss", "allocator_resident"))
"""Field, and what it is the quotient of."""


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


def number_of(text: str) -> int | float | None:
    """The number that a field's text is, None where it is none."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def pairs(text: str) -> dict[str, int | float]:
    """"a=1,b=2.5" as numbers; what is none is left out."""
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        number = number_of(value)
        if number is not None:
            found[name] = number
    return found


def joined(named: dict[str, Any]) -> str:
    """The inverse of `pairs`; fractions with two decimals."""
    return ",".join(f"{name}={value:.2f}" if isinstance(value, float) else f"{name}={value}"
                    for name, value in named.items())


def added(texts: list[str]) -> dict[str, int | float]:
    """The sums by name of several such lines."""
    total: dict[str, int | float] = {}
    for text in texts:
        for name, number in pairs(text).items():
            total[name] = total.get(name, 0) + number
    return total


def combine_field(section: str, name: str, texts: list[str]) -> str:
    """One field of several engines (those that have it)."""
    if section == "Keyspace":
        total = added(texts)
        weighted = sum(pairs(text).get("avg_ttl", 0) * pairs(text).get("expires", 0) for text in texts)
        return f"keys={total.get('keys', 0)},expires={total.get('expires', 0)}," \
               f"avg_ttl={int(weighted // total['expires']) if total.get('expires') else 0}"
    if section == "Commandstats":
        total = added(texts)
        if "usec_per_call" in total:
            total["usec_per_call"] = float(total.get("usec", 0) / total["calls"]) if total.get("calls") else 0.0
        return joined(total)
    if section == "Errorstats":
        return joined(added(texts))
    if section == "Latencystats":
        highest = {key: max(pairs(text).get(key, 0) for text in texts) for key in pairs(texts[0])}
        return ",".join(f"{key}={value:.3f}" for key, value in highest.items())
    numbers = [number_of(text) for text in texts]
    if section not in _SUMMED_SECTIONS or name in _FIRST or None in numbers:
        return texts[0]
    if name in _HIGHEST:
        return str(max(numbers))
    total_number = sum(numbers)     # type: ignore[arg-type]
    return f"{total_number:.6f}" if isinstance(total_number, float) else str(total_number)


def combine(parts: list[Sections]) -> Sections:
    """Several engines' sections as one."""
    combined: Sections = {}
    for section in dict.fromkeys((*facts.TITLES.values(), *(section for part in parts for section in part))):
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
    for name, above, below in _RATIOS:
        _ratio(memory, name, above, below)
    _percent(memory, "used_memory_peak_perc", "used_memory", "used_memory_peak")
    return combined


def _ratio(fields: dict[str, str], name: str, above: str, below: str) -> None:
    if name in fields and fields.get(above, "").isdigit() and fields.get(below, "").isdigit() and int(fields[below]):
        fields[name] = f"{int(fields[above]) / int(fields[below]):.2f}"


def _percent(fields: dict[str, str], name: str, above: str, below: str) -> None:
    if name in fields and fields.get(above, "").isdigit() and fields.get(below, "").isdigit() and int(fields[below]):
        fields[name] = f"{100 * int(fields[above]) / int(fields[below]):.2f}%"
