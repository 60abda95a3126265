"""The measurement of snapshots under writes: it runs, and its table says what was found."""
import json
from pathlib import Path

import pytest

from bench import __main__ as main
from bench import goals, snapshots
from bench.servers import BenchError


def args(*words: str):
    return main.parser().parse_args(["snapshots", *words])


def test_whom_it_measures():
    assert [spec.name for spec in snapshots.specs(args("--peer", "other=x {port}"))] == ["other", "shardd-engine"]
    assert [spec.name for spec in snapshots.specs(args("--no-peer"))] == ["shardd-engine"]
    with pytest.raises(BenchError, match="--peer"):
        snapshots.specs(args("--peer", "other"))


def test_a_small_run(tmp_path: Path):
    path = tmp_path / "found.json"
    text = snapshots.run(args("--no-peer", "--keys", "3000", "--rate", "2000", "--clients", "4", "--json", str(path)))
    found, = json.loads(path.read_text())["servers"]
    assert found["fork_us"] > 0 and found["ping_us"] > 0 and found["pause_us"] > 0 and found["copied_bytes"] > 0
    assert "| shardd-engine |" in text and "2,000 SETs a second" in text


def test_the_table_judges_the_last_by_the_first():
    def one(name: str, extra: int, pause: int | None) -> snapshots.Snapshot:
        return snapshots.Snapshot(name, 1.0, 5000, 6000, pause, pause, 10**8, extra, extra, 100)

    lines = snapshots.table([one("peer", 50_000_000, None), one("ours", 40_000_000, goals.SNAPSHOT_PAUSE_US + 1)])
    peer, ours = lines.splitlines()[2:4]
    assert "met" not in peer and "<= 20, missed |" in ours and "<= 50, met" in ours
    waited = snapshots.Snapshot("ours", 1.0, 5000, 6000, goals.SNAPSHOT_PAUSE_US + 1, 3000, 10**8, 1, 1, 100)
    assert snapshots.judge(waited) == "<= 20, missed (CPU time: met)"
