"""The figures to reach, and whether they are. Everything here is a ratio in one run, or absolute memory or time.

The peer of the ratios is Valkey 9.1, and every goal is about a load of one size. Beside another server, or in a run of
another size, goals are shown, but nothing is met or missed.
"""
from typing import Final

KEYS: Final = 1_000_000
VALUE_BYTES: Final = 32
CLIENTS: Final = 50
"""What the goals of cost are about; keys have 16 bytes."""

FILLED_KEYS: Final = 10_000_000
DUE_KEYS: Final = 1_000_000
ELEMENTS: Final = 5_000_000
PIPELINE: Final = 64
"""What the goal of pauses is about, at the least."""

PEER: Final = "valkey 9.1"
"""What the version of the peer begins with."""

ENGINE_RATIO: Final = {
    ("get", 1): 0.95, ("set", 1): 0.95, ("get", 16): 0.80, ("set", 16): 0.65, ("get", 64): 0.60, ("set", 64): 0.50}
"""(test, pipeline) -> CPU per command of one engine, at most this much of the peer's."""

TREE_RATIO: Final = {1: 1.6, 16: 2.2}
"""Pipeline -> CPU per command of the whole tree through a proxy, at most this much of an engine's used directly."""

NUTCRACKER_RATIO: Final = {1: 0.8, 16: 0.7}
"""Pipeline -> CPU per command of the whole tree, at most this much of nutcracker's in front of the same engines."""

RATE: Final = 20_000
ADDED_US: Final = {"p50": 60.0, "p99": 300.0}
"""At RATE commands a second: what the way through a proxy may add to an engine's latencies used directly."""

IDLE_CLIENTS: Final = 10_000
IDLE_BYTES: Final = 4096.0
"""What an idle connection may cost in the proxy."""

BURST_CLIENTS: Final = 2_000
BURST_S: Final = 2.0
"""So many connections that are opened at once are all served within this."""

LOADER_RATIO: Final = 3.0
"""Commands per second of CPU time of shardd-bench, over valkey-benchmark's, at pipeline 16, at least."""

BYTES_PER_KEY: Final = 84.0
"""Growth of the process, everything included."""

TTL_BYTES: Final = 12.0
"""What a TTL may add to that."""

COLLECTION_RATIO: Final = 0.75
COLLECTION_RATIO_MAX: Final = 1.0
"""CPU per command on collections at pipeline 16: the median of all, and each, at most this much of the peer's."""

COLLECTION_BYTES_RATIO: Final = 0.85
"""Bytes per element: no more than the peer's anywhere, and half of the data sets at most this much of it."""

SAVED_KEYS: Final = 5_000_000
SAVE_SPEED: Final = 1.5
"""Keys per second of SAVE, and of a start with its file, over redis-server 7.0's, at least; with so many keys."""

SNAPSHOT_PAUSE_US: Final = 20_000
"""The longest that an event loop may stand still while a snapshot of SAVED_KEYS is written under writes, but for the
fork; and the extra memory is at most the peer's."""

PAUSE_US: Final = 5_000
"""The longest that an event loop may stand still."""


def is_peer(peer_version: str) -> bool:
    """Whether ratios to a server of this version ("valkey 9.1.2") are what the goals are about."""
    return peer_version == PEER or peer_version.startswith(PEER + ".")


def verdict(value: float | None, goal: float | None, digits: int = 2, judged: bool = True) -> str:
    """A table's cell: "<= 0.80, met". value: None where it was not measured; goal: None where there is none: "".

    A value is judged as it is, not as it is rounded. judged: False shows the goal alone.
    """
    if goal is None:
        return ""
    text = f"<= {goal:.{digits}f}"
    if value is None or not judged:
        return text
    return f"{text}, {'met' if value <= goal else 'missed'}"
