"""What an engine does by the clock, with a clock that the test turns; and how long it takes, as INFO tells."""
import time
from collections.abc import Callable
from typing import Any

import pytest

from shardd.engine.cron import Cron
from unit.inproc import Engine


class Loop:
    """An event loop of timers alone: `run` calls those that are due."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> "Timer":
        self.timers.append(Timer(self.now_s + seconds, call))
        return self.timers[-1]

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while due := [timer for timer in self.timers if timer.when_s <= end_s and not timer.cancelled]:
            timer = min(due, key=lambda timer: timer.when_s)
            self.timers.remove(timer)
            self.now_s = timer.when_s
            timer.call()
        self.now_s = end_s


class Timer:
    def __init__(self, when_s: float, call: Callable[[], None]) -> None:
        self.when_s, self.call, self.cancelled = when_s, call, False

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def cron(engine: Engine, loop: Loop) -> Cron:
    cron = Cron(engine.server, loop)    # type: ignore[arg-type]
    cron.start()
    return cron


def longest(engine: Engine) -> dict[str, int]:
    """INFO's fields about pauses, without their common prefix."""
    prefix = "eventloop_longest_"
    lines = bytes(engine("INFO", "stats")).decode().splitlines()
    return {name.removeprefix(prefix): int(value) for name, _, value in (line.partition(":") for line in lines)
            if name.startswith(prefix)}


def test_keys_that_are_due_go_by_the_clock_alone(engine: Engine, loop: Loop, cron: Cron) -> None:
    for i in range(100):
        engine("SET", f"k{i}", "v", "PX", "1")
    engine("SET", "stays", "v")
    time.sleep(0.01)
    loop.run(1)
    assert engine("DBSIZE") == 1 and engine.server.keyspace.expired == 100
    engine.check()


def test_a_flushed_database_is_freed_by_and_by(engine: Engine, loop: Loop, cron: Cron) -> None:
    for start in range(0, 30000, 1000):
        engine("MSET", *[word for n in range(start, start + 1000) for word in (f"k{n}", "v")])
    engine("FLUSHALL")
    assert engine.server.keyspace.pending_free() > 0
    loop.run(5)
    assert engine.server.keyspace.pending_free() == 0
    engine.check()


def test_turns_come_hz_times_a_second_and_end_with_stop(engine: Engine, loop: Loop, cron: Cron, monkeypatch) -> None:
    turns = []
    monkeypatch.setattr(cron, "_do_turn", lambda: turns.append(loop.now_s))
    loop.run(1.05)
    assert len(turns) == 10
    cron.stop()
    loop.run(1)
    assert len(turns) == 10


def test_the_longest_step_is_told_until_it_is_reset(engine: Engine, loop: Loop, cron: Cron, monkeypatch) -> None:
    """A step that sleeps is long by the wall alone. RESETSTAT forgets it, and the longest batch too."""
    assert longest(engine).keys() == {"batch_usec", "batch_cpu_usec", "step_usec", "step_cpu_usec"}
    monkeypatch.setattr(engine.server.limits, "sweep", lambda: time.sleep(0.02))
    loop.run(1)
    told = longest(engine)
    assert told["step_usec"] - told["step_cpu_usec"] >= 10000
    assert told["batch_usec"] > 0
    engine("CONFIG", "RESETSTAT")
    monkeypatch.undo()
    assert longest(engine)["step_usec"] == 0 and engine.server.longest_step_cpu_us == 0


def test_resetstat_forgets_the_longest_batch(engine: Engine) -> None:
    engine("PING")
    assert engine.server.reactor.longest_us > 0
    engine.server.reset_statistics()
    assert (engine.server.reactor.longest_us, engine.server.reactor.longest_cpu_us) == (0, 0)
