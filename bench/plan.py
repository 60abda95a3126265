"""What compare measures, and what it has found: values that it and its page (page.py) share."""
from dataclasses import dataclass, field
from typing import Any

from bench import goals
from bench.servers import Spec
from bench.shots import Shot


@dataclass
class Plan:
    """What is measured, with what, and where."""

    parts: list[str]
    peers: list[Spec]
    engine: Spec
    tree: Spec
    nutcracker: Spec | None
    tests: list[str]
    pipelines: list[int]
    keys: int
    value_bytes: int
    clients: int
    rounds: int
    requests: int | None
    rate: float
    seconds: float
    idle: int
    burst: int
    loader: list[str] | None
    server_cores: set[int] | None
    loader_cores: set[int] | None

    @property
    def specs(self) -> list[Spec]:
        """Whoever is measured, in the order of the turns."""
        return [*self.peers, self.engine, self.tree, *filter(None, [self.nutcracker])]

    @property
    def has_size_of_goals(self) -> bool:
        return (self.keys, self.value_bytes, self.clients) == (goals.KEYS, goals.VALUE_BYTES, goals.CLIENTS)

    def shot(self, test: str, pipeline: int, **changes: Any) -> Shot:
        """One load."""
        return Shot(test, pipeline, self.clients, self.keys, self.value_bytes, **changes)


@dataclass
class Found:
    """What came out, part by part; empty where a part was not asked for."""

    versions: dict[str, str] = field(default_factory=dict)
    cpu: list[dict[str, Any]] = field(default_factory=list)
    latency: list[dict[str, Any]] = field(default_factory=list)
    added: list[dict[str, float]] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    burst: list[dict[str, float]] = field(default_factory=list)
    loader: list[dict[str, Any]] = field(default_factory=list)
