"""Whether a cluster as a whole is down, as cluster-require-full-coverage has it.

Owns: since when each engine with slots is down, as one process has seen it. Does not own who finds that out (the
supervisor), or what follows from it (engine.server). Redis: a node that is down for cluster-node-timeout is failed, and
with full coverage a cluster with a failed node, or with a slot that nobody owns, refuses all keys. So an engine that
is started again within that time costs its own slots alone.
"""

from shardd.cluster.topology import Topology


class Outage:
    """What is known of engines that are down."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}
        self._covered = True

    def follow(self, topology: Topology, now_ms: int) -> None:
        """Take in a newer topology. now_ms: of any clock that does not jump."""
        owners = {r.engine_id for r in topology.ranges}
        down = [engine.id for engine in topology.engines if not engine.answers and engine.id in owners]
        self._since_ms = {engine_id: self._since_ms.get(engine_id, now_ms) for engine_id in down}
        self._covered = topology.covered

    def is_failure(self, now_ms: int, timeout_ms: int) -> bool:
        """Whether a slot has no owner, or one that is down for timeout_ms (cluster-node-timeout) or longer."""
        return not self._covered or any(now_ms - since >= timeout_ms for since in self._since_ms.values())
