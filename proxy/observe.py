"""LATENCY and CLUSTER SLOT-STATS through the proxy: what all engines have seen, as one server's.

Owns: whom to ask for it. Does not own how events and histograms are joined and shown (commands.latency), how slots are
chosen and ordered (commands.cluster), or what is kept (engine.latency, engine.slot_stats). LATENCY RESET needs no
handler: the router adds the engines' counts up.

The engines' replies for programs have lost what is needed to join them (HISTOGRAM's levels), so proxies ask for the
histograms themselves: SHARDD LATENCIES. Where an engine is down or refuses, the client is told so; figures of some
engines would pass for those of all.
"""
import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from proxy.handlers import checked, every
from proxy.merge import Ask
from shardd.base.clock import now_ms
from shardd.base.errors import CommandError
from shardd.commands import cluster, latency
from shardd.commands.latency import Event
from shardd.structures.histogram import Histogram
from shardd.wire.values import Verbatim


# --- spikes -------------------------------------------------------------------------------------------------------

def _events_by_name(latest: Iterable[list[list[Any]]]) -> dict[str, Event]:
    """The engines' replies to LATENCY LATEST as one; of each event the last spike is known."""
    found: dict[str, list[Event]] = {}
    for reply in latest:
        for name, second, ms, worst_ms in reply:
            found.setdefault(name.decode("utf-8", "surrogateescape"), []).append(Event([(second, ms)], worst_ms))
    joined = {name: latency.joined(events) for name, events in found.items()}
    return {name: Event(event.samples[-1:], event.worst_ms) for name, event in joined.items()}


async def _latest(server: Any) -> dict[str, Event]:
    return _events_by_name(checked(await every(server, b"LATENCY", b"LATEST")))


async def _history(server: Any, name: bytes) -> list[tuple[int, int]]:
    replies = checked(await every(server, b"LATENCY", b"HISTORY", name))
    return latency.joined(Event([(second, ms) for second, ms in reply], 0) for reply in replies).samples


async def latest_command(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY LATEST"""
    return latency.latest_reply(await _latest(server))


async def history_command(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY HISTORY event"""
    return [list(sample) for sample in await _history(server, args[2])]


async def graph(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY GRAPH event"""
    known = (await _latest(server)).get(args[2].decode("utf-8", "surrogateescape"))
    samples = await _history(server, args[2])
    # between the two questions somebody may have reset it
    return latency.graph_reply(args[2], Event(samples, known.worst_ms) if known and samples else None)


async def doctor(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY DOCTOR"""
    events = {}
    for name, event in (await _latest(server)).items():
        samples = await _history(server, name.encode("utf-8", "surrogateescape"))
        if samples:
            events[name] = Event(samples, event.worst_ms)
    return Verbatim(latency.report(events, server.config, now_ms() // 1000))


# --- all calls ----------------------------------------------------------------------------------------------------

def joined_histograms(replies: Iterable[Any]) -> dict[str, Histogram]:
    """The engines' replies to SHARDD LATENCIES as one: command -> distribution of its calls; errors are left out."""
    total: dict[str, Histogram] = {}
    for reply in replies:
        if isinstance(reply, CommandError):
            continue
        for name, dumped in json.loads(reply).items():
            histogram = Histogram.load(dumped)
            if name in total:
                histogram.merge(total[name])
            total[name] = histogram
    return total


def ask_latencies(engines: Iterable[Any], timeout_ms: int = 0) -> Ask:
    """The question that `joined_histograms` reads the answers of. timeout_ms: as merge.Ask has it."""
    return Ask([(engine, [b"SHARDD", b"LATENCIES"]) for engine in engines], timeout_ms)


async def histogram_command(server: Any, client: Any, args: list[bytes]) -> Any:
    """LATENCY HISTOGRAM [command ...]"""
    replies = checked(await every(server, b"SHARDD", b"LATENCIES"))
    return latency.histogram_reply(latency.wanted(joined_histograms(replies), args[2:]))


# --- slots --------------------------------------------------------------------------------------------------------

async def slot_stats(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLUSTER SLOT-STATS: each engine gives its slots, or the first of them in the order that is asked for."""
    order = cluster.slot_order(server.config, args)
    figures: dict[int, dict[bytes, int]] = {}
    for engine, reply in zip(server.engines, checked(await every(server, *args))):
        for slot, fields in reply:
            # while a slot is on its way two engines may tell of it
            if slot not in figures or server.owner(slot) is engine:
                figures[slot] = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2]))
    return order.apply(figures)


HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = {
    "latency|latest": latest_command,
    "latency|history": history_command,
    "latency|graph": graph,
    "latency|doctor": doctor,
    "latency|histogram": histogram_command,
    "cluster|slot-stats": slot_stats,
}
"""Full lower-case command name -> handler."""
