"""From what the processes say to Prometheus's metrics.

Owns: which metrics there are, their labels and their values. Does not own the names of INFO's fields (names), asking
(gather) or HTTP (service).

    redis_*             the tree as one whole server, under redis_exporter's names     gauges: of who has answered
                                                                                       counters: Tally, never back
    shardd_*            the tree: epoch, slots, whether the parts serve
    shardd_engine_*     each engine, label `engine`: its index
    shardd_proxy_*      each proxy, label `proxy`: its index

Of the whole: clients and connections are those of proxies and, for cluster clients, of engines; traffic is the
proxies'; calls of a command that engines see in parts or not at all (MGET over several engines, PING) are the proxies'
too, those of any other are the engines', who also count what cluster clients send them directly.
redis_commands_processed_total is the sum of all calls.

What a process counts since its start may start anew with it in shardd_engine_* and shardd_proxy_*, as Prometheus
expects of one process. A process that has not answered has no figures there, and shardd_engine_up or shardd_proxy_up 0.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from shardd.base import limits
from shardd.base.clock import now_us
from shardd.commands.info_join import Sections, combine, number_of, pairs
from shardd.supervisor.child import ENGINE, PROXY
from shardd.supervisor.exporter.gather import Process, Snapshot, Tally
from shardd.supervisor.exporter.names import AT_THE_DOOR, COUNTERS, EVERYWHERE, GAUGES, IN_SECONDS
from shardd.supervisor.watch import State

_WORDS: Final = {"ok": 1, "true": 1, "err": 0, "fail": 0, "false": 0}
"""Values of INFO that redis_exporter takes for numbers."""

_OWN_COMMANDS: Final = "shardd"
"""Commands that processes of the tree say to each other are left out of the whole server's."""

Labels = Mapping[str, str]


class Families:
    """Metrics by name, in the order in which they were first added to."""

    def __init__(self) -> None:
        self._known: dict[str, Metric] = {}

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._known.values())

    def gauge(self, name: str, text: str, value: Any, labels: Labels = {}) -> None:
        """value: a number; any other is left out."""
        if isinstance(value, (int, float)):
            family = self._known.setdefault(name, GaugeMetricFamily(name, text))
            family.add_sample(name, labels, value)

    def counter(self, name: str, text: str, value: Any, labels: Labels = {}) -> None:
        """name: with its _total; without, the metric is untyped."""
        if not isinstance(value, (int, float)):
            return
        if name not in self._known:
            self._known[name] = CounterMetricFamily(name, text) if name.endswith("_total") else Metric(
                name, text, "unknown")
        self._known[name].add_sample(name, labels, value)

    def family(self, metric: Metric) -> Metric:
        """One of another type, made where it is new."""
        return self._known.setdefault(metric.name, metric)


def number(field: str | int | float | None) -> int | float | None:
    """A field as a number, None where it is none. field: INFO's text, or a number already."""
    if not isinstance(field, str):
        return field
    return _WORDS[field] if field in _WORDS else number_of(field)


# --- the whole server ---------------------------------------------------------------------------------------------

def note_counters(tally: Tally, processes: Iterable[Process]) -> None:
    """Enter what the processes have counted."""
    for process in processes:
        if process.answer is None:
            continue
        fields, sections, own = process.answer.fields, process.answer.sections, process.answer.own
        names = [name for name in COUNTERS if name in fields and _counts(process.kind, name)]
        tally.note(process.key, "info", {name: number(fields[name]) or 0 for name in names})
        if process.kind == ENGINE:
            lines = {name.removeprefix("cmdstat_"): pairs(line)
                     for name, line in sections.get("Commandstats", {}).items()}
            for what in ("calls", "usec", "rejected_calls", "failed_calls"):
                tally.note(process.key, f"engine {what}", {name: line.get(what, 0) for name, line in lines.items()})
            errors = {name.removeprefix("errorstat_"): pairs(line).get("count", 0)
                      for name, line in sections.get("Errorstats", {}).items()}
        else:
            for place, what in enumerate(("calls", "rejected_calls")):
                tally.note(process.key, f"proxy {what}",
                           {name: line[place] for name, line in own.get("calls", {}).items()})
            errors = own.get("errors", {})
        tally.note(process.key, "errors", errors)


def _counts(kind: str, name: str) -> bool:
    """Whether a process of this kind is the one to count a field of the whole server."""
    if name in ("total_commands_processed", "total_error_replies"):
        return False        # from commands and errors
    return name in EVERYWHERE or (kind == PROXY) == (name in AT_THE_DOOR)


def calls_of(snapshot: Snapshot) -> dict[str, float]:
    """How often each command was asked for."""
    tally = snapshot.counters
    by_engines, by_proxies = tally.totals("engine calls"), tally.totals("proxy calls")
    parted = {name for process in snapshot.of_kind(PROXY) if process.answer is not None
              for name, line in process.answer.own.get("calls", {}).items() if line[2]}
    calls = by_engines | {name: by_proxies[name] for name in parted if name in by_proxies}
    return {name: count for name, count in calls.items() if not _is_own(name)}


def _is_own(command: str) -> bool:
    return command.partition("|")[0] == _OWN_COMMANDS


def whole_server(families: Families, snapshot: Snapshot, facts: Mapping[str, str]) -> None:
    """redis_*. facts: fields of INFO that the supervisor knows for the whole."""
    sections = combine([process.answer.sections for process in snapshot.of_kind(ENGINE)
                        if process.answer is not None])
    proxies = [process.answer for process in snapshot.of_kind(PROXY) if process.answer is not None]
    fields: dict[str, Any] = {name: text for section in sections.values() for name, text in section.items()}
    fields |= facts
    for answer in proxies:
        for name in ("connected_clients", "mem_clients_normal"):
            fields[name] = (number(fields.get(name)) or 0) + answer.fields.get(name, 0)
        for name, value in answer.own.get("highest", {}).items():
            fields[name] = max(number(fields.get(name)) or 0, value)
    families.gauge("redis_up", "Whether a proxy and an engine answer.",
                   int(bool(proxies) and bool(sections)))
    for name, metric in GAUGES.items():
        value = number(fields.get(name))
        if value is not None:
            families.gauge(f"redis_{metric}", f"{name} of INFO.", value * IN_SECONDS.get(name, 1))
    _whole_counters(families, snapshot)
    _databases(families, sections.get("Keyspace", {}))
    _percentiles(families, sections, calls_of(snapshot), snapshot.counters.totals("engine usec"))
    labels = ("role", "redis_version", "redis_build_id", "redis_mode", "os", "maxmemory_policy", "tcp_port", "run_id",
              "process_id", "master_replid")
    families.gauge("redis_instance_info", "What kind of server it is.", 1,
                   {label: fields.get(label, "") for label in labels})
    uptime_s = number(fields.get("uptime_in_seconds")) or 0
    families.gauge("redis_start_time_seconds", "When it was started, unix time.", int(now_us() / 1e6) - uptime_s)
    for name in ("maxclients", "maxmemory"):
        families.gauge(f"redis_config_{name}", f"The option {name}.", number(fields.get(name)))


def _whole_counters(families: Families, snapshot: Snapshot) -> None:
    tally, calls = snapshot.counters, calls_of(snapshot)
    errors = tally.totals("errors")
    values = tally.totals("info") | {"total_commands_processed": sum(calls.values()),
                                     "total_error_replies": sum(errors.values())}
    for name, metric in COUNTERS.items():
        families.counter(f"redis_{metric}", f"{name} of INFO.", values.get(name))
    rejected = tally.totals("engine rejected_calls")
    for name, count in tally.totals("proxy rejected_calls").items():
        rejected[name] = rejected.get(name, 0) + count
    usec, failed = tally.totals("engine usec"), tally.totals("engine failed_calls")
    for name in sorted(calls.keys() | {name for name, count in rejected.items() if count and not _is_own(name)}):
        labels = {"cmd": name}
        families.counter("redis_commands_total", "Calls of a command.", calls.get(name, 0), labels)
        families.counter("redis_commands_duration_seconds_total", "Time that engines spent in a command.",
                         usec.get(name, 0) / 1e6, labels)
        families.counter("redis_commands_rejected_calls_total", "Calls that were refused before they ran.",
                         rejected.get(name, 0), labels)
        families.counter("redis_commands_failed_calls_total", "Calls that ended in an error.", failed.get(name, 0),
                         labels)
    for code, count in sorted(errors.items()):
        families.counter("redis_errors_total", "Error replies by their first word.", count, {"err": code})


def _databases(families: Families, keyspace: Mapping[str, str]) -> None:
    """Database 0 has a line although it is empty: dashboards add up from it."""
    for name, line in ({"db0": "keys=0,expires=0"} | dict(keyspace)).items():
        values, labels = pairs(line), {"db": name}
        families.gauge("redis_db_keys", "Keys of a database.", values.get("keys"), labels)
        families.gauge("redis_db_keys_expiring", "Keys with an expiry.", values.get("expires"), labels)
        if "avg_ttl" in values:
            families.gauge("redis_db_avg_ttl_seconds", "Average time to live.", values["avg_ttl"] / 1000, labels)


def _percentiles(families: Families, sections: Sections, calls: Mapping[str, float],
                 usec: Mapping[str, float]) -> None:
    """The engines' latencies by command, a summary as redis_exporter has it: quantile is the percentile."""
    for name, line in sections.get("Latencystats", {}).items():
        command = name.removeprefix("latency_percentiles_usec_")
        if _is_own(command):
            continue
        family = families.family(Metric("redis_latency_percentiles_usec", "Time that engines spent in one call.",
                                        "summary"))
        for percentile, value in pairs(line).items():
            family.add_sample("redis_latency_percentiles_usec",
                              {"cmd": command, "quantile": percentile.removeprefix("p")}, value)
        family.add_sample("redis_latency_percentiles_usec_count", {"cmd": command}, calls.get(command, 0))
        family.add_sample("redis_latency_percentiles_usec_sum", {"cmd": command}, usec.get(command, 0))


def slow_log(families: Families, snapshot: Snapshot) -> None:
    """The engines' slow logs as one; an entry's id is what SLOWLOG shows through a proxy."""
    engines = snapshot.of_kind(ENGINE)
    length, newest, last_id = 0, (0, 0), 0
    for place, process in enumerate(engines):
        if process.answer is None or len(process.answer.replies) < 2:
            continue
        count, entries = process.answer.replies[:2]
        length += count if isinstance(count, int) else 0
        if isinstance(entries, list) and entries:
            entry_id, at_s, duration_us = entries[0][:3]
            last_id = max(last_id, entry_id * len(engines) + place)
            newest = max(newest, (at_s, duration_us))
    families.gauge("redis_slowlog_length", "Entries of the slow log.", length)
    families.gauge("redis_slowlog_last_id", "Id of its newest entry.", last_id)
    families.gauge("redis_last_slow_execution_duration_seconds", "How long the newest entry's command took.",
                   newest[1] / 1e6)


def latency_events(families: Families, snapshot: Snapshot) -> None:
    """LATENCY LATEST and LATENCY HISTOGRAM of the engines, where they have these commands."""
    histograms: dict[str, tuple[float, dict[int, int]]] = {}
    events: dict[str, tuple[int, int]] = {}
    for process in snapshot.of_kind(ENGINE):
        if process.answer is None or len(process.answer.replies) < 4:
            continue
        by_command, latest = process.answer.replies[2:4]
        if isinstance(latest, list):
            for name, at_s, last_ms, *_ in latest:
                event = name.decode("utf-8", "replace")
                events[event] = max(events.get(event, (0, 0)), (at_s, last_ms))
        if isinstance(by_command, list):
            for name, details in zip(by_command[::2], by_command[1::2]):
                _add_histogram(histograms, name.decode("utf-8", "replace"), details)
    for event, (at_s, last_ms) in sorted(events.items()):
        labels = {"event_name": event}
        families.gauge("redis_latency_spike_last", "When the latest event was, unix time.", at_s, labels)
        families.gauge("redis_latency_spike_duration_seconds", "How long it took.", last_ms / 1000, labels)
    usec = snapshot.counters.totals("engine usec")
    for command, (calls, buckets) in sorted(histograms.items()):
        if not _is_own(command):
            family = families.family(HistogramMetricFamily(
                "redis_commands_latencies_usec", "Calls by the time they took in the engine.", labels=["cmd"]))
            family.add_metric([command], [*((str(float(upto)), count) for upto, count in sorted(buckets.items())),
                                          ("+Inf", calls)], usec.get(command, 0))


def _add_histogram(known: dict[str, tuple[float, dict[int, int]]], command: str, details: Any) -> None:
    """Add one engine's histogram: ["calls", n, "histogram_usec", [upto, cumulative count, ...]].

    Each names the bounds only as far as its counts still grow; further on, its count is all its calls.
    """
    named = dict(zip(details[::2], details[1::2]))
    calls, flat = named[b"calls"], named[b"histogram_usec"]
    mine = dict(zip(flat[::2], flat[1::2]))
    before, buckets = known.get(command, (0, {}))
    joined = {}
    for upto in mine.keys() | buckets.keys():
        joined[upto] = _upto(mine, upto) + _upto(buckets, upto)
    known[command] = (before + calls, joined)


def _upto(buckets: Mapping[int, int], bound: int) -> int:
    return max((count for upto, count in buckets.items() if upto <= bound), default=0)


# --- slots --------------------------------------------------------------------------------------------------------

SLOT_METRICS: Final = {"key-count": "redis_cluster_slot_key_count", "cpu-usec": "redis_cluster_slot_cpu_usec_total",
                       "network-bytes-in": "redis_cluster_slot_network_bytes_in_total",
                       "network-bytes-out": "redis_cluster_slot_network_bytes_out_total"}
"""Metric of CLUSTER SLOT-STATS -> redis_exporter's name (exporter/cluster_slot_stats.go)."""


def slots(families: Families, by_engine: Mapping[str, Any], metric: str, top: int) -> None:
    """The `top` slots of all engines by a metric. by_engine: engine's index -> its SLOT-STATS in that order."""
    found = []
    for engine, reply in by_engine.items():
        for slot, flat in reply if isinstance(reply, list) else ():
            figures = {name.decode(): value for name, value in zip(flat[::2], flat[1::2])}
            found.append((-figures.get(metric, 0), slot, engine, figures))
    found.sort(key=lambda entry: entry[:2])
    for _, slot, engine, figures in found[:top]:
        labels = {"slot": str(slot), "engine": engine}
        families.gauge(SLOT_METRICS["key-count"], "Keys of a slot.", figures.get("key-count"), labels)
        for name in ("cpu-usec", "network-bytes-in", "network-bytes-out"):
            families.counter(SLOT_METRICS[name], f"{name} of CLUSTER SLOT-STATS.", figures.get(name), labels)


# --- each process -------------------------------------------------------------------------------------------------

def engines(families: Families, snapshot: Snapshot) -> None:
    """shardd_engine_*"""
    for process in snapshot.of_kind(ENGINE):
        labels = {"engine": str(process.index)}
        _any_process(families, "shardd_engine", process, labels)
        families.gauge("shardd_engine_slots", "Hash slots that it serves.", process.slots, labels)
        if process.answer is None:
            continue
        fields = process.answer.fields
        keyspace = [pairs(line) for line in process.answer.sections.get("Keyspace", {}).values()]
        families.gauge("shardd_engine_keys", "Its keys.", sum(line.get("keys", 0) for line in keyspace), labels)
        families.gauge("shardd_engine_keys_expiring", "Its keys with an expiry.",
                       sum(line.get("expires", 0) for line in keyspace), labels)
        families.gauge("shardd_engine_connected_clients", "Cluster clients: those that came past the proxies.",
                       number(fields.get("connected_clients")), labels)
        families.gauge("shardd_engine_memory_used_bytes", "Memory of its data.", number(fields.get("used_memory")),
                       labels)
        families.gauge("shardd_engine_memory_max_bytes", "Its share of maxmemory.", number(fields.get("maxmemory")),
                       labels)
        for name, metric in (("total_commands_processed", "commands"), ("total_net_input_bytes", "net_input_bytes"),
                             ("total_net_output_bytes", "net_output_bytes"), ("keyspace_hits", "keyspace_hits"),
                             ("keyspace_misses", "keyspace_misses"), ("expired_keys", "expired_keys"),
                             ("evicted_keys", "evicted_keys"), ("total_error_replies", "error_replies"),
                             ("eventloop_cycles", "eventloop_cycles")):
            families.counter(f"shardd_engine_{metric}_total", f"Its {name} of INFO.", number(fields.get(name)), labels)
        for name in ("eventloop_longest_batch_usec", "eventloop_longest_step_usec"):
            longest_us = number(fields.get(name))
            families.gauge(f"shardd_engine_{name.removesuffix('_usec')}_seconds", f"Its {name} of INFO.",
                           None if longest_us is None else longest_us / 1e6, labels)


def proxies(families: Families, snapshot: Snapshot) -> None:
    """shardd_proxy_*"""
    families.gauge("shardd_proxies_draining", "Proxies that have a successor and still finish their clients.",
                   sum(process.leaving for process in snapshot.of_kind(PROXY)))
    for process in snapshot.of_kind(PROXY):
        if process.leaving:
            continue
        labels = {"proxy": str(process.index)}
        _any_process(families, "shardd_proxy", process, labels)
        if process.answer is None:
            continue
        fields = process.answer.fields
        families.gauge("shardd_proxy_connected_clients", "Its clients.", fields.get("connected_clients"), labels)
        for name, metric in (("total_commands_processed", "commands"),
                             ("total_connections_received", "connections_received"),
                             ("total_net_input_bytes", "net_input_bytes"),
                             ("total_net_output_bytes", "net_output_bytes"),
                             ("proxy_redirected_commands", "redirected_commands"),
                             ("proxy_lost_replies", "lost_replies"), ("proxy_shed_commands", "shed_commands"),
                             ("proxy_link_rotations", "link_rotations")):
            families.counter(f"shardd_proxy_{metric}_total", f"Its {name} of INFO.", number(fields.get(name)), labels)
        families.gauge("shardd_proxy_held_bytes", "Requests and replies that it holds.",
                       fields.get("proxy_held_bytes"), labels)
        for part, counted in process.answer.own.get("latency", {}).items():
            _latency(families, labels | {"part": part}, counted)
        for engine, link in process.answer.own.get("links", {}).items():
            both = labels | {"engine": engine}
            families.gauge("shardd_proxy_link_up", "Whether it is connected to the engine.", int(link["up"]), both)
            families.gauge("shardd_proxy_commands_in_flight", "Commands that the engine has not answered.",
                           link["in_flight"], both)


def _latency(families: Families, labels: Labels, counted: dict[str, Any]) -> None:
    """One part of what clients wait for; see proxy/latency.py."""
    family = families.family(HistogramMetricFamily(
        "shardd_proxy_latency_seconds", "Time that sampled commands spent: queue in the proxy, engine, network until "
        "the client has the reply, total.", labels=sorted(labels)))
    buckets = [(floatToGoString(bound / 1e6), count)
               for bound, count in zip(limits.LATENCY_BOUNDS_US, counted["upto"], strict=True)]
    family.add_metric([labels[name] for name in sorted(labels)], [*buckets, ("+Inf", counted["count"])],
                      counted["total_us"] / 1e6)


def _any_process(families: Families, prefix: str, process: Process, labels: Labels) -> None:
    """What every process of the tree has."""
    answer = process.answer
    families.gauge(f"{prefix}_up", "Whether it answers.", int(answer is not None), labels)
    for state in State:
        families.gauge(f"{prefix}_state", "The supervisor's view of it: 1 for the state it is in.",
                       int(state.value == process.state), dict(labels) | {"state": state.value})
    families.counter(f"{prefix}_restarts_total", "How often it ended without being told to.", process.restarts, labels)
    families.gauge(f"{prefix}_silent_seconds", "How long ago it last answered the supervisor's PING.",
                   process.silent_s, labels)
    if answer is None:
        return
    families.gauge(f"{prefix}_answer_seconds", "How long it took to answer this scrape's questions.", answer.took_s,
                   labels)
    for mode, name in (("user", "used_cpu_user"), ("system", "used_cpu_sys")):
        families.counter(f"{prefix}_cpu_seconds_total", "CPU time it has used.", number(answer.fields.get(name)),
                         dict(labels) | {"mode": mode})
    families.gauge(f"{prefix}_memory_rss_bytes", "Memory of the process that is in RAM.",
                   number(answer.fields.get("used_memory_rss")), labels)
    families.gauge(f"{prefix}_uptime_seconds", "How long it has been running.",
                   number(answer.fields.get("uptime_in_seconds")), labels)
