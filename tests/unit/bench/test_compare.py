"""What compare measures, by its command line, and what its page says."""
import argparse
import json

import pytest

from bench import compare, goals, page, shots
from bench.plan import Found, Plan
from bench.servers import BenchError
from bench.shots import Shot

FACTS = {"cpu": "Z80", "cores": 2, "kernel": "6.1", "python": "3.11.2", "load": 0.5}


def plan_of(*argv: str, parts: list[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser()
    compare.options_of_all(parser)
    args = parser.parse_args(["--no-pin", "--loader", "load", "--nutcracker", "/x/nut", *argv])
    return compare.plan(args, parts or args.parts)


def test_the_command_line():
    plan = plan_of("--peers", "/x/peers run", "--names", "redis8,valkey9", "--peer", "a=b {port}", "--engines", "3",
                   "--tree-options=--hz 1", "--parts", "idle,proxy")
    assert [spec.name for spec in plan.specs] == ["a", "redis8", "valkey9", "shardd-engine", "shardd", "nutcracker"]
    assert plan.peers[1].argv(7, "/d") == ["/x/peers", "run", "redis8", "--port", "7", "--save", "", "--appendonly",
                                           "no", "--dir", "/d"]
    assert plan.tree.argv(7, "/d")[-4:] == ["--engines", "3", "--hz", "1"]
    assert plan.nutcracker.argv(7, "/d")[-4:] == ["--engines", "3", "--program", "/x/nut"]
    assert plan.parts == ["idle", "proxy"] and plan.loader is None


def test_the_defaults_are_what_the_goals_are_about():
    plan = plan_of("--no-peer")
    assert plan.has_size_of_goals and not plan_of("--keys", "5").has_size_of_goals
    assert set(plan.pipelines) == set(goals.TREE_RATIO) == set(goals.NUTCRACKER_RATIO)
    assert (plan.rate, plan.idle, plan.burst) == (goals.RATE, goals.IDLE_CLIENTS, goals.BURST_CLIENTS)
    assert [spec.name for spec in plan.specs] == ["shardd-engine", "shardd", "nutcracker"]
    assert set(plan.parts) == set(compare.PARTS) == set(compare.MEASURE)


def test_parts_that_are_none():
    with pytest.raises(BenchError, match="'speed'; known: proxy,"):
        plan_of("--parts", "proxy,speed")


def test_a_shot():
    assert Shot("get", 16, 50, 100, 32, requests=9).argv(7000, {3, 1})[2:] == (
        "bench.load.main -t get -P 16 -c 50 -r 100 -d 32 --json - --no-progress -p 7000 -n 9 --cores 1,3".split())
    assert Shot("get", 1, 5, 1, 3, rate=20_000, seconds=2.5, path="/s").argv(0, None)[-8:] == (
        "-s /s --rate 20000 --duration 2.5 --warmup 0.5".split())


GOOD = {"errors": 0, "moved": 0, "commands": 9, "nulls": 0, "unsent": 0, "unanswered": 0, "error_texts": {}}


@pytest.mark.parametrize("shot, changes, error", [
    (Shot("get", 1, 1, 1, 1, requests=9), {"errors": 1, "error_texts": {"ERR x": 1}}, "get: 1 errors: ERR x"),
    (Shot("get", 1, 1, 1, 1, requests=9), {"commands": 8}, "8 of 9 commands were answered"),
    (Shot("get", 1, 1, 1, 1, requests=9), {"nulls": 2}, "2 of 9 found no key"),
    (Shot("set", 1, 1, 1, 1, rate=5, seconds=1), {"unsent": 1}, "were not reached")])
def test_a_run_that_did_not_do_it(shot, changes, error):
    assert shots.check(shot, GOOD) == GOOD
    with pytest.raises(BenchError, match=error):
        shots.check(shot, GOOD | changes)


def cpu(server: str, total_us: float, pipeline: int = 1) -> dict:
    return {"server": server, "test": "get", "pipeline": pipeline, "total_us": total_us, "user_us": None,
            "system_us": None, "rps": 1000.0, "p50_ms": 0.5, "p99_ms": 1.5,
            "rounds": [{"total_us": total_us}, {"total_us": total_us * 1.1}]}


def latency(server: str, p50: float) -> dict:
    return {"server": server, "p50": p50, "p90": 2, "p99": 3, "p99.9": 4, "max": 5, "late_p99": 6,
            "spectrum": [(50.0, p50), (100.0, 5.0)], "rounds": [{"p50": p50}]}


def everything() -> Found:
    return Found(
        versions={"redis": "redis 7.0.15", "shardd": "redis 7.2.4"},
        cpu=[cpu("redis", 9.0), cpu("shardd-engine", 8.0), cpu("shardd", 12.0), cpu("nutcracker", 14.0)],
        latency=[latency("shardd-engine", 50.0), latency("shardd", 100.0)],
        added=[{"p50": 61.0, "p99": 250.0}, {"p50": 63.0, "p99": 350.0}, {"p50": 59.0, "p99": 100.0}],
        memory=[{"server": "shardd-engine", "bytes_per_key": 80.0, "bytes_per_key_ttl": 99.0}],
        idle=[1000.0, 5000.0],
        burst=[{"p50_s": 0.1, "p99_s": 0.2, "last_s": last_s} for last_s in (0.3, 1.1)],
        loader=[{"loader": "shardd-bench", "over": "TCP", "us": 0.25, "rps": 1e6, "rounds": [{"us": 0.25}]},
                {"loader": "valkey-benchmark", "over": "TCP", "us": 1.0, "rps": 5e5, "rounds": [{"us": 1.0}]}])


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines() if line.startswith("| ")]


def test_the_tree_s_ratios_are_judged():
    table = cells(page.cpu_table(plan_of(), everything()))
    assert table[3][1] == "shardd"
    assert table[3][4:8] == ["1.50", "<= 1.6, met", "0.86", "<= 0.8, missed"]
    assert table[2][4:8] == ["-", "", "-", ""]
    assert cells(page.cpu_table(plan_of("--keys", "5"), everything()))[3][5] == "<= 1.6", "another size: shown alone"


def test_the_other_tables():
    plan, found = plan_of(), everything()
    assert cells(page.latency_table(plan, found))[-2:] == [
        ["p50", "61", "<= 60, missed", "59 to 63"], ["p99", "250", "<= 300, met", "100 to 350"]]
    assert cells(page.memory_table(plan, found))[1] == ["shardd-engine", "80.0", "<= 84, met", "+19.0", "<= 12, missed"]
    assert cells(page.idle_table(plan, found))[1] == ["10,000", "5,000", "<= 4096, missed", "1,000, 5,000"]
    assert cells(page.burst_table(plan, found))[1] == ["2,000", "0.100", "0.200", "1.100", "<= 2, met"]
    assert cells(page.loader_table(found))[1][4:6] == ["4.00", ">= 3.0, met"]
    assert cells(page.loader_table(found))[2][4:6] == ["-", ""]


def test_the_page(tmp_path):
    text = page.whole(plan_of(), FACTS, everything(), tmp_path)
    assert (tmp_path / "RESULTS.md").read_text() == text + "\n"
    for part in ("Z80, 2 cores, Linux 6.1, Python 3.11.2, load average 0.50", "1,000,000 keys of 16 bytes",
                 "medians of 5 rounds", "redis is redis 7.0.15", "not pinned"):
        assert part in text
    for name in (page.CPU_PLOT, page.RATE_PLOT, page.LATENCY_PLOT):
        assert f"]({name})" in text and (tmp_path / name).read_text().startswith("<?xml")


def test_parts_that_were_not_asked_for_are_not_there(tmp_path):
    text = page.whole(plan_of(), FACTS, Found(idle=[5.0]), tmp_path)
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Idle clients"]
    assert [path.name for path in tmp_path.iterdir()] == ["RESULTS.md"]


def test_everything_is_saved(tmp_path):
    path = tmp_path / "x.json"
    compare.save_json(str(path), FACTS, plan_of(), everything())
    saved = json.loads(path.read_text())
    assert saved["machine"] == FACTS and saved["idle"] == [1000.0, 5000.0] and saved["rate"] == goals.RATE
    compare.save_json(None, FACTS, plan_of(), everything())
