"""INFO of several servers as one server's: what the text says, and how fields of several are joined.

Owns: reading INFO's text, and which fields are added up. Does not own the writing of that text (commands.info), whom to
ask (proxy.info, supervisor.exporter), or figures that only a proxy has. Pure functions.

    field                     becomes
    counters, sizes           the sum                       used_memory, keyspace_hits, expired_keys ...
    flags, lengths of time    the highest                   loading, rdb_last_bgsave_time_sec, latest_fork_usec ...
    rdb_last_save_time        the lowest: since then all have saved
    aof_enabled               the lowest: of the whole server only what all have is true
    *_status                  ok where all say so           rdb_last_bgsave_status ...
    text, and what is alike   the first server's            maxmemory_policy, role ...
    *_human, *_perc, *_ratio  computed anew from the sums
    cmdstat_*, errorstat_*    sums by name; usec_per_call computed
    latency_percentiles_*     the highest: an upper bound (proxy.observe has the histograms themselves)
    db0 ...                   keys and expires added, avg_ttl weighted
    db0_distrib_*             sums by size
"""
from typing import Any, Final

from shardd.commands import info as facts
from shardd.commands.info import human, percent

Sections = dict[str, dict[str, str]]
"""INFO by heading, then by field."""

_SUMMED_SECTIONS: Final = frozenset(("Memory", "Persistence", "Stats", "CPU", "Clients"))
SUMMED_ELSEWHERE: Final = frozenset(("connected_slaves", "repl_backlog_size", "repl_backlog_histlen"))
"""In other sections: the replicas of all engines are replicas of the whole."""

FIRST: Final = frozenset(("total_system_memory",))
"""A number that is alike everywhere."""

HIGHEST: Final = frozenset((
    # flags: one is enough
    "loading", "async_loading", "rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled",
    "aof_pending_rewrite", "module_fork_in_progress", "active_defrag_running", "repl_backlog_active",
    # lengths of time, and parts of a whole
    "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec", "aof_last_rewrite_time_sec",
    "aof_current_rewrite_time_sec", "current_cow_size_age", "latest_fork_usec", "loading_eta_seconds",
    "expired_stale_perc", "current_eviction_exceeded_time", "instantaneous_eventloop_duration_usec",
    "eventloop_longest_batch_usec", "eventloop_longest_batch_cpu_usec", "eventloop_longest_step_usec",
    "eventloop_longest_step_cpu_usec",
    # the largest of anybody
    "client_recent_max_input_buffer", "client_recent_max_output_buffer",
    # every engine has all of them
    "number_of_cached_scripts", "number_of_functions", "number_of_libraries"))

LOWEST: Final = frozenset(("rdb_last_save_time", "aof_enabled", "loading_start_time"))

STATUS: Final = frozenset(("rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"))
"""ok, or what is wrong."""

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
        line = f"keys={total.get('keys', 0)},expires={total.get('expires', 0)}," \
               f"avg_ttl={int(weighted // total['expires']) if total.get('expires') else 0}"
        return line + (f",subexpiry={total['subexpiry']}" if total.get("subexpiry") else "")
    if section == "Commandstats":
        total = added(texts)
        if "usec_per_call" in total:
            total["usec_per_call"] = float(total.get("usec", 0) / total["calls"]) if total.get("calls") else 0.0
        return joined(total)
    if section == "Keysizes":
        return joined(dict(sorted(added(texts).items(), key=lambda bin: _size_of(bin[0]))))
    if section == "Errorstats":
        return joined(added(texts))
    if section == "Latencystats":
        highest = {key: max(pairs(text).get(key, 0) for text in texts) for key in pairs(texts[0])}
        return ",".join(f"{key}={value:.3f}" for key, value in highest.items())
    if name in STATUS:
        return next((text for text in texts if text != "ok"), "ok")
    numbers = [number_of(text) for text in texts]
    if None in numbers or name in FIRST:
        return texts[0]
    if name in HIGHEST:
        return max(texts, key=float)
    if name in LOWEST:
        return min(texts, key=float)
    if section not in _SUMMED_SECTIONS and name not in SUMMED_ELSEWHERE:
        return texts[0]
    total_number = sum(numbers)     # type: ignore[arg-type]
    return f"{total_number:.{len(texts[0].partition('.')[2])}f}" if isinstance(total_number, float) \
        else str(total_number)


def _size_of(bin_name: str) -> int:
    """The number that keysizes names as 512, 1K, 2M ..."""
    digits = bin_name.rstrip("KMGTP")
    return int(digits) << 10 * " KMGTP".index(bin_name[len(digits):] or " ")


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
    persistence = combined.get("Persistence", {})
    for name, above, below in (("current_fork_perc", "current_save_keys_processed", "current_save_keys_total"),
                               ("loading_loaded_perc", "loading_loaded_bytes", "loading_total_bytes")):
        _percent(persistence, name, above, below)
        if name in persistence:
            persistence[name] = persistence[name].removesuffix("%")
    if {"used_memory", "used_memory_startup", "used_memory_dataset", "used_memory_dataset_perc"} <= set(memory):
        net = int(memory["used_memory"]) - int(memory["used_memory_startup"])
        memory["used_memory_dataset_perc"] = percent(int(memory["used_memory_dataset"]), net)
    return combined


def _ratio(fields: dict[str, str], name: str, above: str, below: str) -> None:
    if name in fields and fields.get(above, "").isdigit() and fields.get(below, "").isdigit() and int(fields[below]):
        fields[name] = f"{int(fields[above]) / int(fields[below]):.2f}"


def _percent(fields: dict[str, str], name: str, above: str, below: str) -> None:
    if name in fields and fields.get(above, "").isdigit() and fields.get(below, "").isdigit() and int(fields[below]):
        fields[name] = f"{100 * int(fields[above]) / int(fields[below]):.2f}%"
