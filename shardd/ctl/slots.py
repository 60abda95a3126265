"""shardctl slots: which engine owns which slots, how many keys they have, and where a key is.

Owns: these tables. Does not own the topology (cluster/topology.py) or the hash (structures/slots.py).
"""

import argparse
import os
from typing import Any, Final

from shardd.base.errors import CommandError
from shardd.cluster.topology import SLOTS, EngineInfo, Topology
from shardd.ctl.command import App, Command
from shardd.ctl.facts import Info
from shardd.ctl.human import percent
from shardd.ctl.link import EXIT_BAD, EXIT_OK, Node, Unreachable
from shardd.ctl.show import state
from shardd.structures.slots import slot_of

FIELDS: Final = {
    "ok": "whether every slot (or every key that was asked for) has an engine that is up",
    "epoch": "the topology's version",
    "cluster_id": "40 hex digits",
    "ranges": "a list in order of slot; absent where keys are asked for",
    "ranges[].first": "first slot", "ranges[].last": "last slot, included", "ranges[].count": "how many slots",
    "ranges[].engine": "the engine's index; null: nobody owns them",
    "ranges[].id": "the engine's id, 40 hex digits; null for nobody",
    "ranges[].host": "where clients find it; empty: where they found the server", "ranges[].port": "its TCP port",
    "ranges[].state": "up or down; null for nobody",
    "ranges[].keys": "keys of all databases in these slots; null where the engine does not say",
    "engines": "a list: the same by engine; absent where keys are asked for",
    "engines[].engine": "index", "engines[].slots": "how many slots", "engines[].slots_percent": "of all",
    "engines[].keys": "keys in all its slots", "engines[].keys_percent": "of all keys that were counted",
    "migrations": "a list of slots on their way; absent where keys are asked for",
    "migrations[].first": "first slot", "migrations[].last": "last slot", "migrations[].source": "id of their engine",
    "migrations[].target": "id of the engine that they go to",
    "keys": "a list; only where keys are asked for",
    "keys[].key": "as given", "keys[].slot": "its slot", "keys[].tag": "the part that is hashed; null for all of it",
    "keys[].engine": "index of the slot's engine; null for none", "keys[].port": "its TCP port",
    "keys[].state": "up or down; null for none",
}

_COUNTS_AT_ONCE: Final = 512
"""COUNTKEYSINSLOT in one go: neither side has to hold much."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `slots`."""
    parser.add_argument("keys", nargs="*", metavar="KEY", help="say which slot and engine each key belongs to")
    parser.add_argument("--no-keys", action="store_true", help="do not count keys")


def slots(app: App) -> int:
    """Both forms."""
    return _of_keys(app) if app.options.keys else _table(app)


# --- the map ------------------------------------------------------------------------------------------------------

def ranges_of(topology: Topology) -> list[dict[str, Any]]:
    """Owned and unowned ranges, in order of slot."""
    rows: list[dict[str, Any]] = []
    at = 0
    for r in topology.ranges:
        if r.first > at:
            rows.append(_range(at, r.first - 1, None))
        rows.append(_range(r.first, r.last, topology.engine(r.engine_id)))
        at = r.last + 1
    if at < SLOTS:
        rows.append(_range(at, SLOTS - 1, None))
    return rows


def _range(first: int, last: int, engine: EngineInfo | None) -> dict[str, Any]:
    row = {"first": first, "last": last, "count": last - first + 1}
    if engine is None:
        return row | dict.fromkeys(("engine", "id", "host", "port", "state", "keys"))
    return row | {"engine": engine.index, "id": engine.id, "host": engine.host, "port": engine.port,
                  "state": engine.state, "keys": None}


def count_keys(node: Node, ranges: list[dict[str, Any]]) -> None:
    """Fills in `keys` of the ranges of one engine.

    An engine with one range has all its keys there, and INFO knows them; else each slot is asked for, in each database.
    """
    try:
        info = Info(node.call("INFO", "keyspace"))
        if len(ranges) == 1:
            ranges[0]["keys"] = info.keys
            return
        for row in ranges:
            row["keys"] = 0
        for db in info.databases:
            node.call("SELECT", db)
            for row in ranges:
                row["keys"] += _count(node, row["first"], row["last"])
        node.call("SELECT", 0)
    except (Unreachable, CommandError):
        for row in ranges:
            row["keys"] = None


def _count(node: Node, first: int, last: int) -> int:
    total = 0
    for start in range(first, last + 1, _COUNTS_AT_ONCE):
        wanted = range(start, min(start + _COUNTS_AT_ONCE, last + 1))
        for slot in wanted:
            node.send("CLUSTER", "COUNTKEYSINSLOT", slot)
        replies = [node.receive() for _ in wanted]
        for reply in replies:
            if isinstance(reply, CommandError):
                raise reply
            total += reply
    return total


def by_engine(topology: Topology, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Slots and keys of each engine."""
    counted = sum(row["keys"] or 0 for row in rows)
    found = []
    for engine in topology.engines:
        own = [row for row in rows if row["id"] == engine.id]
        known = [row["keys"] for row in own if row["keys"] is not None]
        keys = sum(known) if len(known) == len(own) else None
        count = sum(row["count"] for row in own)
        found.append({"engine": engine.index, "slots": count, "slots_percent": percent(count, SLOTS), "keys": keys,
                      "keys_percent": percent(keys, counted) if keys is not None else None})
    return found


def _table(app: App) -> int:
    topology = app.source.topology()
    rows = ranges_of(topology)
    if not app.options.no_keys:
        for node in app.source.engines:
            own = [row for row in rows if row["engine"] == node.index]
            if own:
                count_keys(node, own)
    ok = all(row["state"] == "up" for row in rows)
    engines = by_engine(topology, rows)
    if app.as_json:
        app.screen.json({"ok": ok, "epoch": topology.epoch, "cluster_id": topology.cluster_id, "ranges": rows,
                         "engines": engines, "migrations": [
                             {"first": m.first, "last": m.last, "source": m.source, "target": m.target}
                             for m in topology.migrations]})
        return EXIT_OK if ok else EXIT_BAD
    app.screen.table(["slots", ">count", ">engine", ">port", "state", ">keys", "id"],
                     [[f"{row['first']}-{row['last']}", row["count"], row["engine"], row["port"],
                       state(row["state"] or "not served"), row["keys"], row["id"]] for row in rows])
    if len(rows) > len(topology.engines):
        app.screen.line()
        app.screen.table([">engine", ">slots", ">% of slots", ">keys", ">% of keys"],
                         [list(engine.values()) for engine in engines])
    for m in topology.migrations:
        app.screen.line(f"moving {m.first}-{m.last}: {m.source} -> {m.target}")
    return EXIT_OK if ok else EXIT_BAD


# --- keys ---------------------------------------------------------------------------------------------------------

def hash_tag(key: bytes) -> bytes | None:
    """What is hashed of a key, None for all of it: the first non-empty {...}."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    return key[start + 1:end] if end > start + 1 else None


def _of_keys(app: App) -> int:
    topology = app.source.topology()
    rows = []
    for word in app.options.keys:
        key = os.fsencode(word)
        slot, tag = slot_of(key), hash_tag(key)
        engine = topology.owner_of(slot)
        rows.append({"key": word, "slot": slot, "tag": None if tag is None else os.fsdecode(tag),
                     "engine": engine.index if engine else None, "port": engine.port if engine else None,
                     "state": engine.state if engine else None})
    ok = all(row["state"] == "up" for row in rows)
    if app.as_json:
        app.screen.json({"ok": ok, "epoch": topology.epoch, "cluster_id": topology.cluster_id, "keys": rows})
    else:
        app.screen.table(["key", ">slot", "tag", ">engine", ">port", "state"],
                         [[row["key"], row["slot"], row["tag"], row["engine"], row["port"],
                           state(row["state"] or "not served")] for row in rows])
    return EXIT_OK if ok else EXIT_BAD


COMMANDS: Final = (
    Command("slots", "which engine owns which slots, and where a key is", "Shows the ranges of slots, their engines "
            "and how many keys they have; with keys, which slot and engine each of them belongs to. Exit code 1 where "
            "a slot has no engine that is up.", slots, FIELDS, arguments,
            examples=("slots", "slots user:1 {user:1}:cart", "slots --json")),
)
