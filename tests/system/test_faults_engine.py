"""An engine is killed, hangs, is told to end, has no descriptors: what each client is told, and that clients of the
other engines notice nothing.

Every test has clients of all engines under load (harness.load): whatever they are told must be true, also about what
was not told, and in their order.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from harness import OK, Conn, encode
from harness.faults import Bystander, children, eventually, keys_by_engine, pid_of, stopped, way_to, whole
from harness.load import LOST, REFUSED, Worker
from harness.servers import Server

ENGINES = 3
CLIENTS = 4
ERROR_S = 1.0       # the issue: a command in flight to a dead engine gets its error within a second


@pytest.fixture
def tree(start: Callable[..., Server]) -> Server:
    return start("tree", engines=ENGINES)


@pytest.fixture(scope="module")
def lasting(fresh: None) -> Iterator[Server]:
    """A tree for tests after which every process is as it was."""
    with Server("tree", engines=ENGINES) as server:
        yield server


@pytest.fixture
def unharmed(lasting: Server, request: pytest.FixtureRequest) -> Server:
    """It, with its log beside a failure."""
    request.node.servers = [*getattr(request.node, "servers", []), lasting]
    lasting.conn().must("FLUSHALL")
    return lasting


class Scene:
    """A tree under load, a bystander on another engine than the victim, number 0."""

    def __init__(self, tree: Server, reference: Server) -> None:
        self.tree = tree
        self.keys = keys_by_engine(tree)
        self.killed = 0
        self.workers = [Worker(lambda resp=2 + number % 2: tree.conn(resp=resp),
                               [key for keys in keys_by_engine(tree, 2, f"w{number}:") for key in keys],
                               number, losses=lambda: self.killed) for number in range(CLIENTS)]
        self.bystander = Bystander(tree.conn(), keys_by_engine(tree, 1, "by")[1][0], reference.conn(), way_to(tree, 1))

    def kill(self, name: str = "engine 0") -> None:
        self.killed += 1
        os.kill(pid_of(self.tree, name), signal.SIGKILL)

    def errors(self) -> dict[str, int]:
        return {text: count for worker in self.workers for text, count in worker.errors.items()}

    def goes_on(self) -> None:
        """Every client is answered again, on every engine."""
        eventually(lambda: whole(self.tree))
        before = [worker.replies for worker in self.workers]
        eventually(lambda: all(worker.replies > n + 50 or worker.lies for worker, n in zip(self.workers, before)))


@contextmanager
def under_load(tree: Server, reference: Server) -> Iterator[Scene]:
    """At the end, all that was told is judged."""
    scene = Scene(tree, reference)
    for worker in scene.workers:
        worker.start()
    with scene.bystander:
        eventually(lambda: all(worker.replies > 50 or worker.lies for worker in scene.workers))
        yield scene
        for worker in scene.workers:
            worker.finish()
    with tree.conn() as conn:
        for worker in scene.workers:
            worker.settle(conn)
    assert all(worker.ended == 0 and worker.refusals == 0 for worker in scene.workers), "the proxy ended connections"


@pytest.fixture
def reference(fleet) -> Server:
    """A real Redis, as a measure of the machine."""
    return fleet.server("reference")


def test_killed(tree, reference):
    with under_load(tree, reference) as scene:
        for restarts in (1, 2):
            scene.kill()
            eventually(lambda: children(tree)["engine 0"]["restarts"] == restarts)
            scene.goes_on()
    assert "Traceback" not in tree.log()


def test_every_engine_is_killed_at_once(tree, fleet):
    reference = fleet.server("reference")
    scene = Scene(tree, reference)
    for worker in scene.workers:
        worker.start()
    for name in [name for name in children(tree) if name.startswith("engine")]:
        scene.kill(name)
    scene.goes_on()
    for worker in scene.workers:
        worker.finish()
    with tree.conn() as conn:
        for worker in scene.workers:
            worker.settle(conn)


def test_what_was_in_flight_to_a_killed_engine_is_told_within_a_second(tree):
    """Behind a stopped process, so that it is in flight for certain."""
    (key, *_), (other, third, *_), *_ = keys_by_engine(tree)
    victim = pid_of(tree, "engine 0")
    one, many, split = tree.conn(), tree.conn(resp=3), tree.conn()
    with stopped(victim):
        one.send(encode("INCR", key))
        many.send(b"".join(encode("INCR", key) + encode("INCR", other) for _ in range(20)))
        split.send(encode("MSET", key, "v", third, "v"))
        time.sleep(0.2)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        replies = [one.read(), *[many.read() for _ in range(40)], split.read()]
        assert time.monotonic() - killed < ERROR_S
    numbers, errors = replies[2:-1:2], [replies[0], *replies[1:-1:2], replies[-1]]
    assert numbers == list(range(1, 21))
    assert all(LOST.match(error) for error in errors), set(errors)
    eventually(lambda: whole(tree))
    assert tree.conn()("GET", key) is None


def test_what_could_not_be_sent_is_refused_when_nobody_comes_back(tree):
    """The supervisor hangs, too, so the engine is not started again."""
    (key, *_), (other, *_), *_ = keys_by_engine(tree)
    victim = psutil.Process(pid_of(tree, "engine 0"))
    conn = tree.conn()
    with stopped(tree.process.pid):
        victim.kill()
        eventually(lambda: victim.status() == psutil.STATUS_ZOMBIE)
        time.sleep(0.1)
        replies = conn.many(("SET", key, "v"), ("SET", other, "v"), ("GET", key), ("GET", other))
        assert [bool(REFUSED.match(str(reply))) for reply in replies] == [True, False, True, False]
        assert replies[1::2] == [OK, b"v"]
        assert not conn.must("MGET", other, other) == [None]
    eventually(lambda: whole(tree))
    assert conn("GET", key) is None, "what was refused is not done later either"
    assert conn("SET", key, "v") == OK


def test_hung_for_a_while(unharmed, reference):
    """Nobody hears of it who can wait."""
    tree = unharmed
    with under_load(tree, reference) as scene:
        with stopped(pid_of(tree, "engine 0")):
            time.sleep(1.5)
        scene.goes_on()
    assert not scene.errors()
    assert all(tally.unknown == 0 for worker in scene.workers for tally in worker.tallies.values())


def test_hung_for_too_long(start, reference):
    """It counts as down: commands in flight get an error, later ones are refused, and what the engine does of them when
    it goes on is done before what comes later."""
    tree = start("tree", engines=ENGINES, cluster_node_timeout=1000, cluster_require_full_coverage="no")
    with under_load(tree, reference) as scene:
        with stopped(pid_of(tree, "engine 0")):
            time.sleep(3)
        scene.goes_on()
    assert scene.errors(), "it was not noticed"


def test_told_to_end(tree, reference):
    """Somebody ends the engine alone: it comes back."""
    with under_load(tree, reference) as scene:
        scene.killed += 1
        os.kill(pid_of(tree, "engine 0"), signal.SIGTERM)
        time.sleep(0.2)
        scene.goes_on()


def test_a_crash_loop_of_one_engine_is_no_concern_of_the_others(tree, reference):
    with under_load(tree, reference) as scene:
        for restarts in range(4):
            eventually(lambda: children(tree)["engine 0"]["restarts"] == restarts
                       and children(tree)["engine 0"]["state"] == "up")
            scene.kill()
        scene.goes_on()
    assert children(tree)["engine 0"]["restarts"] == 4


def test_out_of_descriptors(unharmed, reference):
    """Smart clients cannot connect to the engine; those of the proxy do not notice, and it recovers by itself."""
    tree = unharmed
    victim = psutil.Process(pid_of(tree, "engine 0"))
    port = children(tree)["engine 0"]["port"]
    before = victim.rlimit(psutil.RLIMIT_NOFILE)
    with under_load(tree, reference) as scene:
        victim.rlimit(psutil.RLIMIT_NOFILE, (victim.num_fds(), before[1]))
        conns = [Conn(port) for _ in range(5)]
        for conn in conns:
            conn.send(encode("ECHO", "x"))
        time.sleep(1)
        assert all(conn.silent() for conn in conns)
        cpu, began = sum(victim.cpu_times()[:2]), time.monotonic()
        time.sleep(0.5)
        assert sum(victim.cpu_times()[:2]) - cpu < 0.9 * (time.monotonic() - began), "it spins"
        victim.rlimit(psutil.RLIMIT_NOFILE, before)
        assert all(conn.read() == b"x" for conn in conns)
        scene.goes_on()
    assert not scene.errors()
