"""The latency monitor: what it keeps; and the engine's hooks into it."""
import asyncio
import json

from shardd.base.limits import LATENCY_SAMPLES_MAX
from shardd.engine.cron import Cron
from shardd.engine.latency import LatencyMonitor
from shardd.structures.histogram import Histogram
from unit.inproc import Engine


def test_the_longest_of_each_second():
    monitor = LatencyMonitor()
    for ms, second in ((5, 100), (9, 100), (7, 100), (3, 101)):
        monitor.add("command", ms, second)
    event = monitor.events()["command"]
    assert event.samples == [(100, 9), (101, 3)] and event.worst_ms == 9


def test_as_many_seconds_as_there_is_room_for():
    monitor = LatencyMonitor()
    for second in range(LATENCY_SAMPLES_MAX + 5):
        monitor.add("command", 1000 - second, second)
    event = monitor.events()["command"]
    assert len(event.samples) == LATENCY_SAMPLES_MAX and event.samples[0][0] == 5
    assert event.worst_ms == 1000, "of all time, not of what is kept"


def test_below_the_threshold_nothing_is_kept():
    monitor = LatencyMonitor()
    monitor.note("command", 10**9)
    assert not monitor.events(), "0 is off"
    monitor.threshold_ms = 5
    monitor.note("command", 4999)
    assert not monitor.events()
    monitor.note("command", 5000)
    assert monitor.events()["command"].worst_ms == 5


def test_reset():
    monitor = LatencyMonitor()
    for name in ("a", "b", "c"):
        monitor.add(name, 1, 1)
    assert monitor.reset(["A", "nosuch"]) == 1 and set(monitor.events()) == {"b", "c"}
    assert monitor.reset([]) == 2 and not monitor.events()


def test_a_step_of_expiry_is_an_event():
    engine = Engine("--latency-monitor-threshold", "1")
    loop = asyncio.new_event_loop()
    cron = Cron(engine.server, loop)

    class Slow:
        def cycle(self, _step_us: int) -> bool:
            for _ in range(200_000):
                pass
            return False

    engine.server.expirer = Slow()
    for _ in range(50):
        cron.work()
        if "expire-cycle" in engine.server.latency.events():
            break
    cron.stop()
    loop.close()
    assert engine.server.latency.events()["expire-cycle"].worst_ms >= 1
    assert engine.server.stats.expire_us >= 1000


def test_fast_commands_have_an_event_of_their_own():
    engine = Engine()
    engine("SET", "k", "v" * 5_000_000)
    engine("CONFIG SET latency-monitor-threshold 1")
    engine.server.latency.reset([])     # where that has taken a millisecond itself
    engine("MGET", *["k"] * 10)         # fast by its flag, slow by the copying
    assert set(engine.server.latency.events()) == {"fast-command"}


def test_histograms_for_proxies():
    engine = Engine()
    engine("SET k v"), engine("SET k v"), engine("GET k")
    engine.run.session.flags |= 256     # INTERNAL
    histograms = {name: Histogram.load(dumped) for name, dumped in json.loads(engine("SHARDD LATENCIES")).items()}
    assert {name: one.count for name, one in histograms.items()} == {"set": 2, "get": 1}
    assert 0 < histograms["set"].min <= histograms["set"].max < 10**9
    for one in histograms.values():
        one.check()


def test_nanoseconds_agree_with_the_counted_time():
    engine = Engine("--enable-debug-command", "yes")
    engine("DEBUG SLEEP 0.02")
    [usec] = [usec for name, _, usec, *_ in engine.server.registry.statistics() if name == "debug"]
    assert abs(engine.server.registry.latencies()["debug"].total / 1000 - usec) <= usec / 1000 + 1
