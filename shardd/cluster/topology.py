"""The topology: which engine owns which of the 16,384 hash slots, as an immutable, versioned value.

Owns: the value, its validation, its JSON form, and the functions that make the next version from this one.
Does not own: where it is stored (store.py), how clients see it (view.py), who changes it (the supervisor alone; engines
and proxies are told and never guess).

    Topology  epoch 7                            every change is a new value with epoch + 1
      |-- cluster_id  40 hex digits              made once, never changes
      |-- engines     EngineInfo, EngineInfo     in order of index; position = place in this tuple
      |-- ranges      0-8191 -> id of engine 0   in order of slot, never overlapping, neighbours of one owner joined
      |               8192-16383 -> engine 1     a slot in no range is served by nobody
      |-- migrations  8000-8191: 0 -> 1          slots on their way; the source still owns them
      '-- generation  1                          which files hold the data (supervisor/layout.py)

The JSON form, which goes to the store and over the control links:

    {"version": 1, "epoch": 7, "cluster_id": "<40 hex>",
     "engines": [{"id": "<40 hex>", "shard_id": "<40 hex>", "index": 0, "host": "", "port": 40001,
                  "unixsocket": "/var/lib/shardd/run/engine-0.sock", "state": "up",
                  "hostname": "", "announce_port": 0, "loading": false}, ...],
     "ranges": [[0, 8191, "<engine id>"], ...],
     "migrations": [[8000, 8191, "<source id>", "<target id>"], ...],
     "generation": 1}

A reader refuses a version that it does not know. Fields may be added within a version; a reader ignores those it does
not know, so that a newer supervisor can drive an older child.

Invariants, checked whenever a value is made: ids are 40 lower-case hex digits and unique, indexes and Unix sockets are
unique, each slot has at most one owner and each owner exists, a migration's slots belong to its source.
"""

import json
import re
import secrets
from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from shardd.base import limits

SLOTS = limits.SLOTS
FORMAT_VERSION = 1

UP = "up"
DOWN = "down"
STATES = (UP, DOWN)

NOBODY = -1
"""In `Topology.owners`: no engine owns the slot."""

_ID = re.compile(r"[0-9a-f]{40}\Z")


class TopologyError(ValueError):
    """A topology that breaks an invariant, or a JSON text that is none. The message is for people."""


def new_id() -> str:
    """A random id in the form of Redis's node ids: 40 lower-case hex digits."""
    return secrets.token_hex(20)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """One engine.

    id, shard_id: 40 hex digits, as CLUSTER NODES and CLUSTER MYSHARDID show them; stable over restarts.
    index: 0, 1, 2 ...: names its files and sockets.
    host: the address that clients are told; empty means "the address by which the client reached us" (view.py).
    port: TCP, 0 until the engine has listened for the first time.
    unixsocket: path of its internal socket, on which proxies and the supervisor are trusted; empty where there is none.
    hostname: what `cluster-announce-hostname` says, empty for none.
    announce_port: the port that clients are told instead of `port`, 0 for none.
    state: UP or DOWN.
    loading: it is DOWN, since it reads its data, and answers: who asks for a key gets -LOADING.
    """

    id: str
    shard_id: str
    index: int
    host: str = ""
    port: int = 0
    unixsocket: str = ""
    state: str = DOWN
    hostname: str = ""
    announce_port: int = 0
    loading: bool = False

    def __post_init__(self) -> None:
        for name in ("id", "shard_id"):
            _check_id(f"engine {self.index}: {name}", getattr(self, name))
        if not _is_int(self.index, 0, limits.ENGINES_MAX - 1):
            raise TopologyError(f"engine index {self.index!r} is not in 0..{limits.ENGINES_MAX - 1}")
        for name in ("port", "announce_port"):
            port = getattr(self, name)
            if not _is_int(port, 0, limits.PORT_MAX):
                raise TopologyError(f"engine {self.index}: {name} {port!r} is not in 0..{limits.PORT_MAX}")
        if not all(isinstance(text, str) for text in (self.host, self.unixsocket, self.hostname)):
            raise TopologyError(f"engine {self.index}: host, unixsocket and hostname must be strings")
        if self.state not in STATES:
            raise TopologyError(f"engine {self.index}: state {self.state!r} is not one of {', '.join(STATES)}")

    @property
    def answers(self) -> bool:
        """Whether there is somebody to talk to."""
        return self.state == UP or self.loading

    @property
    def client_port(self) -> int:
        """The TCP port that clients are told: in SLOTS, SHARDS, NODES, MOVED and ASK alike."""
        return self.announce_port or self.port


@dataclass(frozen=True, slots=True, order=True)
class SlotRange:
    """Slots first..last, both included, owned by the engine with this id."""

    first: int
    last: int
    engine_id: str


@dataclass(frozen=True, slots=True, order=True)
class Migration:
    """Slots first..last are on their way from one engine to another; `source` still owns them."""

    first: int
    last: int
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs between two topologies of one cluster.

    added, removed: engine ids. changed: ids of engines whose host, port, socket or state differ.
    moved: (first, last, old owner's id or None, new owner's id or None) in order of slot.
    migrations: True where the set of migrations differs.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    moved: tuple[tuple[int, int, str | None, str | None], ...]
    migrations: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved or self.migrations)


@dataclass(frozen=True)
class Topology:
    """A whole cluster at one epoch. Two values are equal when all fields are; `ranges` is kept in one normal form."""

    epoch: int
    cluster_id: str
    engines: tuple[EngineInfo, ...] = ()
    ranges: tuple[SlotRange, ...] = ()
    migrations: tuple[Migration, ...] = ()
    generation: int = 1
    owners: array = field(init=False, repr=False, compare=False)
    """Per slot the owner's position in `engines`, or NOBODY: 16,384 C ints (type "i"). Not to be changed."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "engines", tuple(sorted(self.engines, key=lambda engine: engine.index)))
        self._check_engines()
        set_(self, "owners", self._assign())
        set_(self, "ranges", _ranges(self.owners, self.engines))
        set_(self, "migrations", tuple(sorted(self.migrations)))
        self._check_migrations()

    # --- making one -----------------------------------------------------------------------------------------------

    @classmethod
    def even(cls, engines: Iterable[EngineInfo], cluster_id: str | None = None, epoch: int = 1) -> "Topology":
        """All slots split evenly over `engines` in order of index, at the borders `redis-cli --cluster create` uses."""
        ordered = sorted(engines, key=lambda engine: engine.index)
        return cls(epoch, cluster_id or new_id(), tuple(ordered), _even_ranges([engine.id for engine in ordered]))

    @classmethod
    def single(cls, port: int, unixsocket: str = "", host: str = "") -> "Topology":
        """One engine by itself that owns every slot (`--cluster-enabled yes` without a supervisor)."""
        return cls.even([EngineInfo(new_id(), new_id(), 0, host, port, unixsocket, UP)])

    # --- asking ---------------------------------------------------------------------------------------------------

    def owner_of(self, slot: int) -> EngineInfo | None:
        """The engine that serves `slot` (0..16383), None where none does."""
        position = self.owners[slot]
        return None if position == NOBODY else self.engines[position]

    def ranges_of(self, engine_id: str) -> tuple[tuple[int, int], ...]:
        """The (first, last) pairs of one engine, in order."""
        return tuple((r.first, r.last) for r in self.ranges if r.engine_id == engine_id)

    def slot_count(self, engine_id: str) -> int:
        return sum(last - first + 1 for first, last in self.ranges_of(engine_id))

    def engine(self, engine_id: str) -> EngineInfo | None:
        """The engine with this id, or None."""
        return next((engine for engine in self.engines if engine.id == engine_id), None)

    @property
    def covered(self) -> bool:
        """Whether every slot has an owner."""
        return NOBODY not in self.owners

    # --- the next version -----------------------------------------------------------------------------------------

    def next(self, **changes: Any) -> "Topology":
        """The same cluster with `changes` to the fields and epoch + 1."""
        return replace(self, epoch=self.epoch + 1, **changes)

    def with_engine(self, engine: EngineInfo) -> "Topology":
        """`engine` replaces the one with its id, or joins (without slots)."""
        others = tuple(other for other in self.engines if other.id != engine.id)
        return self.next(engines=others + (engine,))

    def with_engine_facts(self, engine_id: str, **facts: Any) -> "Topology":
        """Engine `engine_id` with other host, port, unixsocket or state. KeyError where there is no such engine."""
        engine = self.engine(engine_id)
        if engine is None:
            raise KeyError(engine_id)
        return self.with_engine(replace(engine, **facts))

    def with_slots(self, first: int, last: int, engine_id: str | None) -> "Topology":
        """Slots first..last owned by `engine_id`, by nobody where None. A migration of these slots ends with it."""
        _check_range(first, last)
        kept = []
        for r in self.ranges:
            if r.first < first:
                kept.append(SlotRange(r.first, min(r.last, first - 1), r.engine_id))
            if r.last > last:
                kept.append(SlotRange(max(r.first, last + 1), r.last, r.engine_id))
        if engine_id is not None:
            kept.append(SlotRange(first, last, engine_id))
        migrations = tuple(m for m in self.migrations if m.last < first or m.first > last)
        return self.next(ranges=tuple(kept), migrations=migrations)

    def with_migration(self, migration: Migration) -> "Topology":
        return self.next(migrations=self.migrations + (migration,))

    def without_migration(self, migration: Migration) -> "Topology":
        """KeyError where there is no such migration."""
        if migration not in self.migrations:
            raise KeyError(migration)
        return self.next(migrations=tuple(m for m in self.migrations if m != migration))

    def resized(self, engines: Iterable[EngineInfo]) -> "Topology":
        """The same cluster with these engines and an even split; what data there is, the caller lays out anew."""
        ordered = sorted(engines, key=lambda engine: engine.index)
        return self.next(engines=tuple(ordered), ranges=_even_ranges([e.id for e in ordered]), migrations=())

    def diff(self, new: "Topology") -> Diff:
        """What `new` changes."""
        old_engines = {engine.id: engine for engine in self.engines}
        new_engines = {engine.id: engine for engine in new.engines}
        moved: list[tuple[int, int, str | None, str | None]] = []
        for slot in range(SLOTS):
            before, after = self.owner_of(slot), new.owner_of(slot)
            pair = (before and before.id, after and after.id)
            if pair[0] == pair[1]:
                continue
            if moved and moved[-1][1] == slot - 1 and moved[-1][2:] == pair:
                moved[-1] = (moved[-1][0], slot, *pair)
            else:
                moved.append((slot, slot, *pair))
        return Diff(
            added=tuple(i for i in new_engines if i not in old_engines),
            removed=tuple(i for i in old_engines if i not in new_engines),
            changed=tuple(i for i in new_engines if i in old_engines and new_engines[i] != old_engines[i]),
            moved=tuple(moved),
            migrations=set(self.migrations) != set(new.migrations))

    # --- JSON -----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A value for json.dumps, in the form the head of this module describes."""
        return {
            "version": FORMAT_VERSION,
            "epoch": self.epoch,
            "cluster_id": self.cluster_id,
            "engines": [asdict(engine) for engine in self.engines],
            "ranges": [[r.first, r.last, r.engine_id] for r in self.ranges],
            "migrations": [[m.first, m.last, m.source, m.target] for m in self.migrations],
            "generation": self.generation,
        }

    def dumps(self) -> str:
        """The JSON text on one line."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    @classmethod
    def from_json(cls, value: Any) -> "Topology":
        """The topology that `to_json` made. Raises TopologyError, which says what is wrong."""
        if not isinstance(value, dict):
            raise TopologyError("not a JSON object")
        if value.get("version") != FORMAT_VERSION:
            raise TopologyError(f"format version {value.get('version')!r}; this shardd reads version {FORMAT_VERSION}")
        try:
            engines = tuple(EngineInfo(**_known_fields(e)) for e in value["engines"])
            ranges = tuple(SlotRange(first, last, owner) for first, last, owner in value["ranges"])
            migrations = tuple(Migration(*m) for m in value["migrations"])
            return cls(value["epoch"], value["cluster_id"], engines, ranges, migrations, value.get("generation", 1))
        except TopologyError:
            raise
        except KeyError as error:
            raise TopologyError(f"the field {error.args[0]!r} is missing") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise TopologyError(f"a field has the wrong form: {error}") from None

    @classmethod
    def loads(cls, text: str | bytes) -> "Topology":
        """The inverse of `dumps`. Raises TopologyError."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise TopologyError(f"not JSON: {error}") from None
        return cls.from_json(value)

    # --- the invariants -------------------------------------------------------------------------------------------

    def _check_engines(self) -> None:
        if not _is_int(self.epoch, 0, limits.EPOCH_MAX):
            raise TopologyError(f"epoch {self.epoch!r} is not in 0..{limits.EPOCH_MAX}")
        if not _is_int(self.generation, 1, limits.EPOCH_MAX):
            raise TopologyError(f"generation {self.generation!r} is not in 1..{limits.EPOCH_MAX}")
        _check_id("cluster_id", self.cluster_id)
        for what in ("id", "index", "unixsocket"):
            seen: set[Any] = set()
            for engine in self.engines:
                value = getattr(engine, what)
                if value != "" and value in seen:
                    raise TopologyError(f"two engines have the {what} {value!r}")
                seen.add(value)

    def _assign(self) -> array:
        """`ranges` -> the owner of each slot."""
        owners = array("i", [NOBODY]) * SLOTS
        position = {engine.id: place for place, engine in enumerate(self.engines)}
        for r in self.ranges:
            _check_range(r.first, r.last)
            if r.engine_id not in position:
                raise TopologyError(f"slots {r.first}-{r.last} belong to the unknown engine {r.engine_id!r}")
            for slot in range(r.first, r.last + 1):
                if owners[slot] != NOBODY:
                    raise TopologyError(f"slot {slot} has two owners")
                owners[slot] = position[r.engine_id]
        return owners

    def _check_migrations(self) -> None:
        previous_last = -1
        for m in self.migrations:
            _check_range(m.first, m.last)
            if m.first <= previous_last:
                raise TopologyError(f"slot {m.first} is in two migrations")
            previous_last = m.last
            if m.source == m.target or self.engine(m.target) is None:
                raise TopologyError(f"the migration of slots {m.first}-{m.last} has no valid target")
            for slot in range(m.first, m.last + 1):
                owner = self.owner_of(slot)
                if owner is None or owner.id != m.source:
                    raise TopologyError(f"slot {slot} migrates from an engine that does not own it")


_ENGINE_FIELDS = frozenset(f.name for f in fields(EngineInfo))


def _known_fields(value: Any) -> dict[str, Any]:
    return {name: v for name, v in value.items() if name in _ENGINE_FIELDS}


def _is_int(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_id(what: str, value: Any) -> None:
    if not isinstance(value, str) or not _ID.match(value):
        raise TopologyError(f"{what} {value!r} is not 40 lower-case hex digits")


def _check_range(first: Any, last: Any) -> None:
    if not _is_int(first, 0, SLOTS - 1) or not _is_int(last, 0, SLOTS - 1) or first > last:
        raise TopologyError(f"{first!r}-{last!r} is not a range of slots in 0..{SLOTS - 1}")


def _even_ranges(ids: list[str]) -> tuple[SlotRange, ...]:
    borders = [(place * SLOTS + len(ids) // 2) // len(ids) for place in range(len(ids) + 1)] if ids else []
    return tuple(SlotRange(borders[place], borders[place + 1] - 1, engine_id)
                 for place, engine_id in enumerate(ids) if borders[place] < borders[place + 1])


def _ranges(owners: array, engines: tuple[EngineInfo, ...]) -> tuple[SlotRange, ...]:
    """The owner of each slot -> the fewest ranges that say the same."""
    ranges = []
    first = 0
    for slot in range(1, SLOTS + 1):
        if slot == SLOTS or owners[slot] != owners[first]:
            if owners[first] != NOBODY:
                ranges.append(SlotRange(first, slot - 1, engines[owners[first]].id))
            first = slot
    return tuple(ranges)
