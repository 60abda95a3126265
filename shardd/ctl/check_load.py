"""doctor's checks of what the tree holds and does: memory, clients, slow commands, latency, balance, persistence.

Owns: these checks and where their bounds are. Does not own what they look at (checkup.py).
"""

from collections.abc import Iterator
from typing import Final

from shardd.base import limits
from shardd.ctl.checkup import ADVICE, PROBLEM, Finding, Patient, check
from shardd.ctl.facts import text
from shardd.ctl.human import human_bytes, human_count, human_us, percent, plural

_MEMORY_HIGH_PERCENT: Final = 90
_MEMORY_FULL_PERCENT: Final = 98
_RAM_HIGH_PERCENT: Final = 80

_FRAGMENTED_RATIO: Final = 1.5
_FRAGMENTED_BYTES: Final = 100 * limits.MIB
"""Below it the ratio says nothing: the interpreter and the code alone take some 30 MiB."""

_CLIENTS_HIGH_PERCENT: Final = 80
_CLIENTS_FULL_PERCENT: Final = 95

_RECENTLY_S: Final = 3600
_SPIKE_MS: Final = 100
_BATCH_LONG_US: Final = 100_000

_UNEVEN_RATIO: Final = 1.5
_UNEVEN_KEYS: Final = 10_000
_UNEVEN_OPS: Final = 1_000
"""With fewer, chance makes any ratio."""

_SLOT_PART_PERCENT: Final = 20
"""A slot that has so much of its engine's keys is a hash tag that too many keys share: 1 of 8,192 would be even."""


@check("memory", "maxmemory is not reached, and the machine has memory left")
def memory(patient: Patient) -> Iterator[Finding]:
    used_all = rss_all = 0
    for name, info in patient.holders():
        used, most = info.integer("used_memory"), info.integer("maxmemory")
        used_all += used or 0
        rss_all += info.integer("used_memory_rss") or 0
        part = percent(used, most) if used is not None and most else None
        if part is not None and part >= _MEMORY_HIGH_PERCENT:
            yield Finding(
                PROBLEM if part >= _MEMORY_FULL_PERCENT else ADVICE, name,
                what=f"{name} uses {part}% of its share of maxmemory ({human_bytes(used)} of {human_bytes(most)})",
                why="at 100% writes are refused with OOM",
                fix=patient.ctl(f"config set maxmemory {2 * (patient.option('maxmemory') or most)}"))
    total = patient.host.field("proc/meminfo", "MemTotal") if patient.host is not None else None
    part = percent(rss_all, total or 0)
    if part is not None and part >= _RAM_HIGH_PERCENT:
        yield Finding(
            PROBLEM, "engines",
            what=f"the engines take {human_bytes(rss_all)}, {part}% of the machine's memory",
            why="the kernel ends the process that asks for the last page, and its keys are lost",
            fix=patient.ctl(f"config set maxmemory {int(0.75 * (total or 0))}"))
    available = patient.host.field("proc/meminfo", "MemAvailable") if patient.host is not None else None
    left = percent(available, total or 0) if available is not None else None
    if left is not None and left < 5:
        yield Finding(
            PROBLEM, "host",
            what=f"{human_bytes(available)} of memory are left ({left}%)",
            why="the kernel ends processes when there is none",
            fix="ps -eo pid,rss,args --sort=-rss | head")


@check("fragmentation", "engines take not much more memory than their data")
def fragmentation(patient: Patient) -> Iterator[Finding]:
    for name, info in patient.holders():
        used, rss = info.integer("used_memory"), info.integer("used_memory_rss")
        if not used or rss is None or rss - used < _FRAGMENTED_BYTES or rss / used < _FRAGMENTED_RATIO:
            continue
        yield Finding(
            ADVICE, name,
            what=f"{name} takes {human_bytes(rss)} for {human_bytes(used)} of data (ratio {rss / used:.2f})",
            why="the difference is lost to holes between values, or not yet given back after a deletion",
            fix=f"redis-cli -p {info.integer('tcp_port') or 6379} MEMORY PURGE")


@check("clients", "there is room for more clients")
def clients(patient: Patient) -> Iterator[Finding]:
    most = patient.option("maxclients")
    through = [info for name, info in patient.infos.items() if patient.kinds.get(name) == "proxy"]
    # a proxy's INFO counts the clients of all proxies
    counts = {"proxies": max(info.integer("connected_clients") or 0 for info in through)} if through else {}
    counts |= {name: info.integer("connected_clients") or 0 for name, info in patient.holders()}
    for name, count in counts.items():
        part = percent(count, most or 0)
        if part is not None and part >= _CLIENTS_HIGH_PERCENT:
            yield Finding(
                PROBLEM if part >= _CLIENTS_FULL_PERCENT else ADVICE, name,
                what=f"{count} of {most} clients are connected",
                why="further ones are refused",
                fix=patient.ctl(f"config set maxclients {2 * (most or 0)}"))
    refused = max((info.integer("rejected_connections") or 0 for info in through), default=0) + sum(
        info.integer("rejected_connections") or 0 for _, info in patient.holders())
    if refused:
        yield Finding(
            ADVICE, "clients",
            what=f"{plural(refused, 'connection')} were refused since the start or CONFIG RESETSTAT",
            why="there were maxclients already, or protected-mode kept them out",
            fix=patient.ctl("clients --sort idle -n 20"))


@check("slow-log", "few commands took long in the last hour")
def slow_log(patient: Patient) -> Iterator[Finding]:
    if not patient.slow:
        return
    now_s = max([int(entry[1]) for entry in patient.slow] + [int(at_s) for at_s in patient.asked_s.values()])
    recent = [entry for entry in patient.slow if now_s - int(entry[1]) <= _RECENTLY_S]
    if not recent:
        return
    worst = max(recent, key=lambda entry: int(entry[2]))
    yield Finding(
        ADVICE, "engines",
        what=f"{plural(len(recent), 'command')} in the slow log within an hour, the slowest "
             f"{text(worst[3][0]).upper()} with {human_us(int(worst[2]))}",
        why="an engine runs one command at a time: all others wait for it",
        fix=patient.ctl("latency slow"))


@check("latency", "nothing held up an engine for long")
def latency(patient: Patient) -> Iterator[Finding]:
    for name, events in patient.events.items():
        for event, at_s, last_ms, worst_ms in events:
            if worst_ms >= _SPIKE_MS and patient.asked_s.get(name, at_s) - at_s <= _RECENTLY_S:
                yield Finding(
                    ADVICE, name,
                    what=f"{text(event)} took {last_ms} ms lately, {worst_ms} ms at worst",
                    why="all clients of this engine waited",
                    fix=patient.ctl("latency doctor"))
    for name, info in patient.holders():
        wall, cpu = info.integer("eventloop_longest_batch_usec"), info.integer("eventloop_longest_batch_cpu_usec")
        if wall is None or wall < _BATCH_LONG_US:
            continue
        starved = cpu is not None and cpu < wall // 4
        yield Finding(
            ADVICE, name,
            what=f"the event loop of {name} was busy for {human_us(wall)} at a stretch"
                 + (f", with {human_us(cpu)} of CPU time" if starved else ""),
            why="it waited for a core or for memory: something else runs on this machine" if starved
                else "its clients waited as long",
            fix="top -b -n 1 | head -20" if starved else patient.ctl("latency slow"))


@check("balance", "keys and commands are spread evenly over the engines")
def balance(patient: Patient) -> Iterator[Finding]:
    holders = dict(patient.holders())
    if len(holders) > 1:
        keys = {name: info.keys for name, info in holders.items()}
        ops = {name: info.integer("instantaneous_ops_per_sec") or 0 for name, info in holders.items()}
        for counts, least, what, look in ((keys, _UNEVEN_KEYS, "keys", "slots"),
                                          (ops, _UNEVEN_OPS, "commands per second", "top --once")):
            most = max(counts, key=lambda name: counts[name])
            mean = sum(counts.values()) / len(counts)
            if sum(counts.values()) >= least and counts[most] >= _UNEVEN_RATIO * mean:
                yield Finding(
                    ADVICE, most,
                    what=f"{most} has {human_count(counts[most])} {what}, {counts[most] / mean:.1f} times the mean",
                    why="its core is the bound of the whole tree; many keys with one hash tag, or a few keys that "
                        "everybody wants, do this",
                    fix=patient.ctl(look))
    for name, found in patient.slots.items():
        total = holders[name].keys if name in holders else 0
        for slot, count in found:
            part = percent(count, total)
            if total >= _UNEVEN_KEYS and part is not None and part >= _SLOT_PART_PERCENT:
                port = holders[name].integer("tcp_port") or 6379
                yield Finding(
                    ADVICE, name,
                    what=f"slot {slot} has {human_count(count)} keys, {part}% of those of {name}",
                    why="they share a hash tag, so they can never be spread",
                    fix=f"redis-cli -p {port} CLUSTER GETKEYSINSLOT {slot} 10")


@check("replies", "no reply was lost between proxies and engines")
def replies(patient: Patient) -> Iterator[Finding]:
    lost = max((info.integer("proxy_lost_replies") or 0 for name, info in patient.infos.items()
                if patient.kinds.get(name) == "proxy"), default=0)
    if lost:
        yield Finding(
            ADVICE, "proxies",
            what=f"{plural(lost, 'command')} got an error because an engine went away before it answered",
            why="whether they were executed is unknown",
            fix=patient.ctl("logs -n 200"))
