"""What pauses says of what an engine tells."""
import pytest

from bench import large, pauses
from bench.pauses import Pause
from bench.servers import BenchError
from shardd.wire.plain import Decoder

INFO = {"eventloop_longest_batch_usec": "4000", "eventloop_longest_batch_cpu_usec": "3000",
        "eventloop_longest_step_usec": "1100", "eventloop_longest_step_cpu_usec": "900", "eventloop_cycles": "5"}


def pause(keys: int = 10_000_000, name: str = "fill", **changes: int) -> Pause:
    return Pause(name, keys, 12.34, pauses.figures(INFO) | changes, None)


def test_the_engine_s_own_figures():
    assert pauses.figures(INFO) == {"batch_us": 4000, "batch_cpu_us": 3000, "step_us": 1100, "step_cpu_us": 900}
    with pytest.raises(BenchError, match="does not tell eventloop_longest_batch_usec"):
        pauses.figures({"eventloop_cycles": "5"})


def test_the_worst_is_whoever_s():
    assert pause().worst() == (4000, 3000)
    assert pause(step_us=9000, step_cpu_us=1).worst() == (9000, 3000)


@pytest.mark.parametrize("one, pipeline, text", [
    (pause(), 64, "<= 5, met"), (pause(batch_us=5001), 64, "<= 5, missed (CPU time: met)"),
    (pause(batch_us=5001, batch_cpu_us=5001), 64, "<= 5, missed"),
    (pause(step_us=7000), 64, "<= 5, missed (CPU time: met)"),
    (pause(keys=1_000_000), 64, "<= 5"), (pause(keys=1_000_000, name="expire"), 64, "<= 5, met"), (pause(), 16, "<= 5"),
    (pause(keys=10, batch_us=5001), 64, "<= 5")])
def test_met_or_missed(one, pipeline, text):
    assert pauses.judge(one, pipeline) == text


def test_the_table():
    text = pauses.table([pause(), Pause("expire", 1_000_000, 1.0, pauses.figures(INFO), 1234)], 64)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert rows == [["10,000,000 keys are written", "4.00", "3.00", "1.10", "0.90", "<= 5, met", "-", "12.3"],
                    ["1,000,000 keys fall due at once", "4.00", "3.00", "1.10", "0.90", "<= 5, met", "1.23", "1.0"]]


@pytest.mark.parametrize("name", large.SITUATIONS)
def test_large_collections_have_their_goal(name):
    assert pauses.judge(pause(keys=5_000_000, name=name), 1) == "<= 5, met"
    assert "5,000,000" in pauses.table([pause(keys=5_000_000, name=name)], 64)


@pytest.mark.parametrize("kind", large.TYPES)
def test_what_is_sent_for_a_large_collection(kind):
    parts = list(large.requests(kind, 600))
    commands = Decoder().feed(b"".join(data for data, _ in parts))
    assert len(commands) == sum(count for _, count in parts) == 33
    each = {"hash": 2, "zset": 2}.get(kind, 1)
    assert sum(len(words) - 2 for words in commands) == 600 * each
    named = [word for words in commands for word in words[2 + each // 2 * (kind == "zset")::each]]
    assert len(set(named)) == 600 and {words[1] for words in commands} == {b"large"}


class FakeConnection:
    """INFO counts up to three."""

    def __init__(self) -> None:
        self.looks = 0

    def call(self, *words: str) -> str:
        return "PONG"

    def info(self, section: str) -> dict[str, str]:
        self.looks += 1
        return {"count": str(self.looks)}


def test_waiting(monkeypatch):
    connection = FakeConnection()
    assert pauses.wait(connection, lambda info: info["count"] == "3", "stats") >= 0
    assert connection.looks == 3
    monkeypatch.setattr(pauses, "WAIT_S", 0.0)
    with pytest.raises(BenchError, match="not done"):
        pauses.wait(connection, lambda info: False, "stats")
