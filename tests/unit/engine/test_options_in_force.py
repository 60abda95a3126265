"""Options of an engine that are about time, memory and the cluster do what conf/shardd.conf says."""
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness.resp import OK, Error, Status
from shardd.base import limits
from shardd.cluster.topology import DOWN, UP, EngineInfo, Topology, new_id
from shardd.engine import server as server_module
from shardd.engine.cron import Cron
from unit.engine.test_cron import Loop
from unit.inproc import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine()


# --- cron ---------------------------------------------------------------------------------------------------------

def turns(engine: Engine, seconds: float = 1.0) -> int:
    """Turns of cron in a second."""
    loop, counted = Loop(), []
    cron = Cron(engine.server, loop)    # type: ignore[arg-type]
    cron._do_turn = lambda: counted.append(loop.now_s)     # type: ignore[method-assign]
    cron.start()
    loop.run(seconds + 0.001)
    cron.stop()
    return len(counted)


def crowd(engine: Engine, clients: int) -> None:
    """As many clients, for those who count them."""
    engine.server.clients = type("Crowd", (), {"__len__": lambda self: clients, "by_id": {}})()


def test_hz_at_run_time(engine):
    assert turns(engine) == 10
    engine("CONFIG SET hz 50")
    assert turns(engine) == 50


def test_dynamic_hz_follows_the_clients(engine):
    crowd(engine, 10 * limits.CLIENTS_PER_CRON + 1)
    assert turns(engine) == 20 and engine.server.hz == 20
    engine.server.config.set_many([(b"dynamic-hz", b"no")])
    assert turns(engine) == 10 and engine.server.hz == 10
    engine.server.config.set_many([(b"dynamic-hz", b"yes")])
    crowd(engine, 1_000_000)
    assert turns(engine, 0.1) > 40 and engine.server.hz == limits.HZ_MAX


def test_info_tells_both_hz(engine):
    engine.server.hz = 40
    text = bytes(engine("INFO server")).decode()
    assert "\r\nhz:40\r\n" in text and "\r\nconfigured_hz:10\r\n" in text


def test_idle_clients_are_looked_for_once_a_second_whatever_hz(engine, monkeypatch):
    for hz in (1, 7, 10, 500):
        swept: list[int] = []
        monkeypatch.setattr(engine.server.limits, "sweep", lambda: swept.append(1))
        engine.server.config.set_many([(b"hz", b"%d" % hz)])
        loop = Loop()
        cron = Cron(engine.server, loop)    # type: ignore[arg-type]
        cron.start()
        loop.run(5.01)
        cron.stop()
        assert 4 <= len(swept) <= 5, hz


def rest_us(engine: Engine) -> float:
    """The rest after a step of work."""
    loop = Loop()
    cron = Cron(engine.server, loop)    # type: ignore[arg-type]
    cron._do_work()
    [timer] = loop.timers
    return timer.when_s * 1e6


def test_active_expire_effort_shortens_the_rests_of_expiry(engine, monkeypatch):
    engine.server.expirer = SimpleNamespace(cycle=lambda budget_us: True)
    assert rest_us(engine) == pytest.approx(3 * limits.STEP_US), "a quarter of the time is work"
    engine("CONFIG SET active-expire-effort 10")
    assert rest_us(engine) == pytest.approx(limits.STEP_US * 57 / 43)
    engine.server.expirer = SimpleNamespace(cycle=lambda budget_us: False)
    engine.server.rehasher = SimpleNamespace(step=lambda budget_us: True)
    assert rest_us(engine) == pytest.approx(3 * limits.STEP_US), "other work has its share"


def test_activerehashing(engine, monkeypatch):
    asked: list[int] = []
    engine.server.rehasher = SimpleNamespace(step=asked.append)
    cron = Cron(engine.server, Loop())      # type: ignore[arg-type]
    cron._do_work()
    assert asked == [limits.STEP_US]
    engine("CONFIG SET activerehashing no")
    cron._do_work()
    assert len(asked) == 1


# --- memory -------------------------------------------------------------------------------------------------------

OOM = Error("OOM command not allowed when used memory > 'maxmemory'.")


@pytest.mark.parametrize("policy", ["noeviction", "volatile-ttl", "volatile-lru"])
def test_at_maxmemory_what_may_grow_is_refused_where_no_key_may_go(engine, policy):
    engine("MSET", *[word for n in range(1000) for word in (f"k{n}", "v")])
    assert engine("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", policy) == OK
    assert engine("SET new v") == OOM
    assert engine("DBSIZE") == 1000, "nothing is evicted"
    assert engine("DEL k1") == 1 and engine("GET k2") == b"v"
    assert engine("CONFIG SET maxmemory 0") == OK
    assert engine("SET new v") == OK


def test_whoever_lowers_maxmemory_below_what_is_in_use_is_warned(engine, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(engine.server.log, "warning", told.append)
    engine("SET k v")
    engine("CONFIG SET maxmemory 1gb")
    assert told == []
    engine("CONFIG SET maxmemory 1000")
    [line] = told
    assert line.startswith("maxmemory is 1000 now, but ")


def test_the_policy_chooses_the_access_clock(engine):
    engine("SET k v")
    assert engine("OBJECT FREQ k").code == "ERR" and engine("OBJECT IDLETIME k") == 0
    engine("CONFIG SET maxmemory-policy allkeys-lfu")
    assert engine("OBJECT IDLETIME k").code == "ERR" and isinstance(engine("OBJECT FREQ k"), int)


# --- the cluster --------------------------------------------------------------------------------------------------

class Node:
    """An engine that owns the first half of the slots, beside another one; the test has the clock."""

    def __init__(self, monkeypatch: Any) -> None:
        self.now_ms = 1_000_000
        monkeypatch.setattr(server_module, "mono_ms", lambda: self.now_ms)
        self.engine = Engine("--cluster-enabled", "yes", "--cluster-node-timeout", "15000")
        self.topology = Topology.even([EngineInfo(new_id(), new_id(), n, port=7000 + n, state=UP) for n in range(2)])
        self.engine.server.node_id = self.topology.engines[0].id
        self.engine.server.install_topology(self.topology)

    def other(self, state: str) -> None:
        self.topology = self.topology.with_engine(replace(self.topology.engines[1], state=state))
        self.engine.server.install_topology(self.topology)

    def later(self, ms: int) -> None:
        self.now_ms += ms
        self.engine.server.check_cluster()

    def __call__(self, *args: Any) -> Any:
        return self.engine(*args)


@pytest.fixture
def node(monkeypatch) -> Node:
    return Node(monkeypatch)


IS_DOWN = Error("CLUSTERDOWN The cluster is down")


def test_full_coverage_refuses_all_keys_after_the_timeout(node):
    assert node("SET bar v") == OK
    node.other(DOWN)
    node.later(14_999)
    assert node("GET bar") == b"v", "it may come back"
    node.later(1)
    assert node("GET bar") == IS_DOWN and node("SET bar w") == IS_DOWN and node("MGET bar bar") == IS_DOWN
    assert node("GET foo") == IS_DOWN, "no redirect either"
    assert node("PING") == Status("PONG"), "it has no key"
    assert node("DBSIZE") == 1
    node.other(UP)
    assert node("GET bar") == b"v"


def test_reads_while_it_is_down(node):
    node("SET bar v")
    node("CONFIG SET cluster-allow-reads-when-down yes")
    node.other(DOWN)
    node.later(15_000)
    assert node("GET bar") == b"v"
    assert node("SET bar w") == Error("CLUSTERDOWN The cluster is down and only accepts read commands")
    node("CONFIG SET cluster-allow-reads-when-down no")
    node.later(1)
    assert node("GET bar") == IS_DOWN


def test_without_full_coverage_only_the_slots_of_the_lost_engine_suffer(node):
    node("CONFIG SET cluster-require-full-coverage no")
    node.other(DOWN)
    node.later(10**6)
    assert node("SET bar v") == OK
    assert node("GET foo").code == "MOVED"
    node.topology = node.topology.with_slots(12182, 12182, None)
    node.engine.server.install_topology(node.topology)
    assert node("GET foo") == Error("CLUSTERDOWN Hash slot not served")
    node("CONFIG SET cluster-require-full-coverage yes")
    node.later(1)
    assert node("SET bar v") == IS_DOWN
