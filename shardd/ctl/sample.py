"""What a tree did between two looks at it: counters of every process, and rates from their differences.

Owns: one look (`Sample`), and the frame that two of them give. Does not own how a frame is shown (top.py).

    engines     INFO: commands, CPU, hits, traffic, commandstats; their histograms over the control socket (SHARDD
                LATENCIES), else LATENCY HISTOGRAM, whose buckets are twice as wide each; CLUSTER SLOT-STATS, where that
                is on, at longer intervals
    proxies     SHARDD METRICS and SHARDD LATENCY over the control socket, each its own figures; else INFO, which has
                those of all

A rate is None where a counter is not known in both looks, or the process is not the same one; a counter that was set
back (CONFIG RESETSTAT) gives no rate for that once either.
"""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

import psutil

from shardd.ctl.facts import COMMAND, Info, mapping
from shardd.ctl.human import percent
from shardd.ctl.link import Node, ask, is_answer
from shardd.ctl.source import ENGINE, PROXY, Source
from shardd.structures.histogram import Histogram

SLOTS_ASKED: Final = 256
"""Slots with most CPU time that are asked for: a second's hottest are among them, unless they only now grow hot."""

SLOTS_INTERVAL_S: Final = 2.0
"""Least time between two questions for slots: an engine goes over all of its own for an answer."""

_OWN_COMMANDS: Final = ("shardd|",)
"""What the tree says to itself."""

Buckets = dict[int, int]
"""Upper bound of a bucket in nanoseconds -> how many commands it has."""


@dataclass
class Look:
    """One process at one time. identity: what differs between two processes of one name.

    info, histogram, cpu_s: None where they are not known.
    """

    node: Node
    identity: Any = None
    info: Info | None = None
    cpu_s: float | None = None
    histogram: Buckets | None = None


@dataclass
class Sample:
    """All processes at one time. at_s: monotonic; unix_s: for people."""

    at_s: float
    unix_s: float
    looks: dict[str, Look]


def take(source: Source) -> Sample:
    """Looks at everything. Raises CtlError where the source itself is gone."""
    status = {(child["kind"], child["index"]): child for child in source.status()["children"]}
    for node in source.nodes:
        node.facts = status.get((node.kind, node.index), node.facts)
    at_s, unix_s = time.monotonic(), time.time()
    looks = {node.name: Look(node) for node in source.nodes}
    for node, answer in ask(source.engines, "INFO", "everything").items():
        if is_answer(answer):
            looks[node.name].info = Info(answer)
    for node, info in _of_proxies(source).items():
        looks[node.name].info = info
    for node, buckets in _histograms(source).items():
        looks[node.name].histogram = buckets
    for look in looks.values():
        look.cpu_s = _cpu_s(look, source.is_local)
        look.identity = look.node.facts.get("pid") or (look.info.text("run_id") if look.info else None)
    return Sample(at_s, unix_s, looks)


def _of_proxies(source: Source) -> dict[Node, Info]:
    """What proxies counted."""
    found: dict[Node, Info] = {}
    for node, answer in (ask(source.proxies, "SHARDD", "METRICS") if source.is_local else {}).items():
        if is_answer(answer):
            found[node] = Info("".join(f"{name}:{value}\n" for name, value in json.loads(answer)["fields"].items()))
    others = [node for node in source.proxies if node not in found]
    found |= {node: Info(answer) for node, answer in ask(others, "INFO").items() if is_answer(answer)}
    return found


def _histograms(source: Source) -> dict[Node, Buckets]:
    """The calls of all commands of each engine; of proxies, what clients waited for those that were sampled."""
    found: dict[Node, Buckets] = {}
    for node, answer in (ask(source.engines, "SHARDD", "LATENCIES") if source.is_local else {}).items():
        if is_answer(answer):
            found[node] = added({name: dict(Histogram.load(dumped).buckets())
                                 for name, dumped in json.loads(answer).items()})
    for node, answer in (ask(source.proxies, "SHARDD", "LATENCY") if source.is_local else {}).items():
        if is_answer(answer):
            total = Histogram.load(json.loads(answer)["parts"]["total"])
            found[node] = {1000 * bound_us: count for bound_us, count in total.buckets()}
    others = [node for node in source.engines if node not in found]
    for node, answer in ask(others, "LATENCY", "HISTOGRAM").items():
        if is_answer(answer) and isinstance(answer, list):
            found[node] = added({name: levels_of(mapping(facts).get("histogram_usec") or [])
                                 for name, facts in mapping(answer).items()})
    return found


def _cpu_s(look: Look, is_local: bool) -> float | None:
    pid = look.node.facts.get("pid")
    if look.node.kind != PROXY and look.info is not None:
        return look.info.cpu_s
    try:
        times = psutil.Process(pid).cpu_times() if pid and is_local else None
    except psutil.Error:
        return None
    return times.user + times.system if times else None


def levels_of(flat: list[int]) -> Buckets:
    """A command's levels of LATENCY HISTOGRAM, which add up, as buckets, which do not."""
    found, below = {}, 0
    for bound_us, count in zip(flat[::2], flat[1::2]):
        found[1000 * bound_us] = count - below
        below = count
    return found


def added(by_command: dict[str, Buckets]) -> Buckets:
    """All commands as one, but for what the tree says to itself."""
    total: Buckets = {}
    for name, buckets in by_command.items():
        if not name.startswith(_OWN_COMMANDS):
            for bound, count in buckets.items():
                total[bound] = total.get(bound, 0) + count
    return total


def quantile(buckets: Buckets, part: float) -> float | None:
    """Microseconds that the given part (0..1) of all commands took at most; None where there are none."""
    whole = sum(buckets.values())
    if whole <= 0:
        return None
    left = part * whole
    for bound in sorted(buckets):
        left -= buckets[bound]
        if left <= 0:
            break
    return round(bound / 1000, 1)


# --- two looks ----------------------------------------------------------------------------------------------------

def growth(before: float | None, after: float | None) -> float | None:
    """How much a counter grew; None where that is not known or it was set back."""
    if before is None or after is None or after < before:
        return None
    return after - before


def frame(before: Sample, after: Sample, top: int) -> dict[str, Any]:
    """What --json prints. top: how many commands and slots at most."""
    seconds = max(1e-6, after.at_s - before.at_s)
    pairs = []
    for name, look in after.looks.items():
        old = before.looks.get(name)
        pairs.append((old if old is not None and old.identity == look.identity else None, look))
    processes = [_process(old, look, seconds) for old, look in pairs]
    engines = [(old, look) for old, look in pairs if look.node.kind != PROXY]
    return {"unix_s": round(after.unix_s, 3), "interval_s": round(seconds, 3), "total": _total(processes, engines),
            "processes": processes, "commands": _commands(engines, seconds)[:top]}


def _process(old: Look | None, look: Look, seconds: float) -> dict[str, Any]:
    facts, info = look.node.facts, look.info

    def rate(name: str) -> float | None:
        return per_second(growth(old.info.real(name) if old and old.info else None, info.real(name) if info else None),
                          seconds)

    cpu = growth(old.cpu_s if old else None, look.cpu_s)
    ops = rate("total_commands_processed")
    hits, misses = rate("keyspace_hits"), rate("keyspace_misses")
    is_proxy = look.node.kind == PROXY
    usec_per_call = _usec_per_call(old, look)
    delta = _histogram_delta(old, look)
    return {
        "name": look.node.name, "kind": look.node.kind, "state": facts.get("state"),
        "ops": ops if ops is not None else facts.get("ops"),
        "cpu_percent": round(100 * cpu / seconds, 1) if cpu is not None else None,
        "usec_per_call": None if is_proxy else usec_per_call,
        "p50_us": quantile(delta, 0.5), "p99_us": quantile(delta, 0.99),
        "hit_percent": None if is_proxy or hits is None or misses is None else percent(hits, hits + misses),
        "keys": None if is_proxy else info.keys if info else facts.get("keys"),
        "used_memory_bytes": (facts.get("used_memory_bytes") if is_proxy or info is None
                              else info.integer("used_memory")),
        "clients": info.integer("connected_clients") if info else facts.get("clients"),
        "in_bytes": rate("total_net_input_bytes"), "out_bytes": rate("total_net_output_bytes"),
        "expired": None if is_proxy else rate("expired_keys"), "evicted": None if is_proxy else rate("evicted_keys"),
    }


def per_second(grown: float | None, seconds: float) -> float | None:
    """A rate, with as many digits as it deserves."""
    return None if grown is None else round(grown / seconds, 1)


def _command_growth(old: Look | None, look: Look) -> dict[str, dict[str, float]]:
    """Command -> growth of calls, usec, rejected_calls, failed_calls."""
    if old is None or old.info is None or look.info is None:
        return {}
    earlier = dict(old.info.prefixed(COMMAND))
    grown = {}
    for name, numbers in look.info.prefixed(COMMAND):
        if not name.startswith(_OWN_COMMANDS):
            grown[name] = {key: growth(earlier.get(name, {}).get(key, 0), value) or 0 for key, value in numbers.items()}
    return grown


def _usec_per_call(old: Look | None, look: Look) -> float | None:
    grown = _command_growth(old, look).values()
    calls = sum(numbers.get("calls", 0) for numbers in grown)
    return round(sum(numbers.get("usec", 0) for numbers in grown) / calls, 2) if calls else None


def _histogram_delta(old: Look | None, look: Look) -> Buckets:
    if old is None or old.histogram is None or look.histogram is None:
        return {}
    return {bound: max(0, count - old.histogram.get(bound, 0)) for bound, count in look.histogram.items()}


def _total(processes: list[dict[str, Any]], engines: list[tuple[Look | None, Look]]) -> dict[str, Any]:
    def summed(name: str, kinds: tuple[str, ...]) -> float | None:
        known = [process[name] for process in processes if process["kind"] in kinds and process[name] is not None]
        return round(sum(known), 1) if known else None

    holders = (ENGINE, "server")
    together = added({look.node.name: _histogram_delta(old, look) for old, look in engines})
    hits = misses = 0.0
    for old, look in engines:
        if old is not None and old.info is not None and look.info is not None:
            hits += growth(old.info.real("keyspace_hits"), look.info.real("keyspace_hits")) or 0
            misses += growth(old.info.real("keyspace_misses"), look.info.real("keyspace_misses")) or 0
    keys, memory = summed("keys", holders), summed("used_memory_bytes", holders)
    return {"proxy_ops": summed("ops", (PROXY,)), "engine_ops": summed("ops", holders),
            "cpu_percent": summed("cpu_percent", (PROXY, *holders)), "hit_percent": percent(hits, hits + misses),
            "p50_us": quantile(together, 0.5), "p99_us": quantile(together, 0.99),
            "keys": int(keys) if keys is not None else None,
            "used_memory_bytes": int(memory) if memory is not None else None}


def _commands(engines: list[tuple[Look | None, Look]], seconds: float) -> list[dict[str, Any]]:
    """Those that took most time first."""
    total: dict[str, dict[str, float]] = {}
    for old, look in engines:
        for name, numbers in _command_growth(old, look).items():
            one = total.setdefault(name, {})
            for key, value in numbers.items():
                one[key] = one.get(key, 0) + value
    usec = sum(one.get("usec", 0) for one in total.values())
    rows = [{"name": name, "calls": round(one["calls"] / seconds, 1),
             "usec_per_call": round(one.get("usec", 0) / one["calls"], 2),
             "time_percent": percent(one.get("usec", 0), usec),
             "failed": round(one.get("failed_calls", 0) / seconds, 1),
             "rejected": round(one.get("rejected_calls", 0) / seconds, 1)}
            for name, one in total.items() if one.get("calls")]
    return sorted(rows, key=lambda row: (-(row["time_percent"] or 0), -row["calls"], row["name"]))


# --- slots --------------------------------------------------------------------------------------------------------

Slots = dict[str, dict[int, dict[str, int]]]
"""Engine's name -> slot -> metric of CLUSTER SLOT-STATS -> value."""


class SlotWatch:
    """The hottest slots between the last two times that engines were asked for them."""

    def __init__(self, interval_s: float = SLOTS_INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._before: tuple[float, Slots] | None = None
        self._after: tuple[float, Slots] | None = None

    def look(self, source: Source, at_s: float) -> None:
        """Asks where it is time. at_s: monotonic."""
        if self._after is not None and at_s - self._after[0] < self._interval_s:
            return
        found: Slots = {}
        for node, answer in ask(source.engines, "CLUSTER", "SLOT-STATS", "ORDERBY", "CPU-USEC", "LIMIT", SLOTS_ASKED,
                                "DESC").items():
            if is_answer(answer) and isinstance(answer, list):
                found[node.name] = {int(slot): {name: int(value) for name, value in mapping(facts).items()}
                                    for slot, facts in answer}
        self._before, self._after = self._after, (at_s, found)

    def rows(self) -> list[dict[str, Any]]:
        """Those that took most CPU first."""
        if self._before is None or self._after is None:
            return []
        (before_s, before), (after_s, after) = self._before, self._after
        seconds = max(1e-6, after_s - before_s)
        rows = []
        for name, slots in after.items():
            for slot, now in slots.items():
                then = before.get(name, {}).get(slot, {})
                usec = growth(then.get("cpu-usec"), now.get("cpu-usec"))
                if usec:
                    rows.append({"slot": slot, "process": name, "cpu_percent": round(usec / seconds / 1e4, 3),
                                 "keys": now.get("key-count"),
                                 **{field: per_second(growth(then.get(metric), now.get(metric)), seconds)
                                    for field, metric in (("in_bytes", "network-bytes-in"),
                                                          ("out_bytes", "network-bytes-out"))}})
        return sorted(rows, key=lambda row: (-row["cpu_percent"], row["slot"]))
