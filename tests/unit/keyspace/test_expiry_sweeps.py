"""Active expiry while databases are exchanged under a sweep that has not come to its slot's end."""
import time

import pytest

from unit.inproc import Engine

KEYS = 4000     # in one slot: some thousand chains, and a sweep looks at the clock every 64


def fill(engine: Engine, db: int, soon_ms: int, later_ms: int) -> None:
    engine("SELECT", db)
    for n in range(KEYS):
        engine("SET", f"{{t}}{n}", "v", "PXAT", soon_ms if n % 2 else later_ms)


def sweep_all(engine: Engine) -> None:
    for _ in range(10_000):
        if not engine.server.expirer.cycle(1000):
            return
    raise AssertionError("expiry does not come to an end")


@pytest.mark.parametrize("disturb", ["SWAPDB 0 1", "FLUSHDB"])
def test_a_sweep_that_is_cut_by_an_exchange(disturb):
    engine = Engine("--databases", "2")
    keyspace, expirer = engine.server.keyspace, engine.server.expirer
    now = int(time.time() * 1000)
    soon, later = now + 1_000_000, now + 2_000_000
    fill(engine, 0, soon, later)
    fill(engine, 1, soon, later)
    keyspace.set_time(soon + 1)
    assert expirer.cycle(0), "the sweep stops within the slot"
    assert 0 < expirer.removed < KEYS // 2
    keyspace.set_time(now)
    engine("SELECT 0")
    engine(disturb)
    if disturb == "FLUSHDB":
        fill(engine, 0, soon, later)
    for when, left in ((soon + 1, KEYS), (later + 1, 0)):
        keyspace.set_time(when)
        sweep_all(engine)
        assert keyspace.total_keys() == left
        engine.check()
