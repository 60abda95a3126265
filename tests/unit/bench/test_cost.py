"""What cost measures, by its command line, and what its tables say."""
import argparse
import os

import pytest

from bench import cost, goals
from bench.cost import Plan
from bench.servers import BenchError, Spec

CORE = str(min(os.sched_getaffinity(0)))


def plan_of(*argv: str, pin: bool = False) -> Plan:
    parser = argparse.ArgumentParser()
    cost.options(parser)
    return cost.plan(parser.parse_args([*argv, "--loader", "load", *([] if pin else ["--no-pin"])]))


def test_the_command_line():
    plan = plan_of("--peer", "a=x {port}", "--peer", "b=y {port}", "--tree", "--no-memory",
                   *"--tests GET,incr --pipeline 2,32 --keys 1_000 --value 8 --clients 3 --rounds 7".split(),
                   "--requests", "9,000")
    assert [spec.name for spec in plan.specs] == ["a", "b", "shardd-engine", "shardd"]
    assert (plan.tests, plan.pipelines, plan.keys, plan.value_bytes, plan.clients, plan.rounds, plan.memory) == (
        ["get", "incr"], [2, 32], 1000, 8, 3, 7, False)
    load = plan.load("get", 32)
    assert (load.requests, load.pipeline, load.clients, load.keys, load.value_bytes) == (9000, 32, 3, 1000, 8)


def test_the_defaults_are_what_the_goals_are_about():
    plan = plan_of()
    assert [spec.name for spec in plan.specs] == ["redis", "shardd-engine"]
    assert plan.has_size_of_goals and not plan_of("--keys", "5").has_size_of_goals
    assert {(test, pipeline) for test in plan.tests for pipeline in plan.pipelines} == set(goals.ENGINE_RATIO)
    assert (plan.load("get", 1).requests, plan.load("get", 2).requests) == (200_000, 2_000_000)


def test_who_is_left_out():
    assert [spec.name for spec in plan_of("--no-peer").specs] == ["shardd-engine"]
    assert [spec.name for spec in plan_of("--no-peer", "--tree", "--no-engine").specs] == ["shardd"]
    assert plan_of("--engine-options", "--hz 1").ours[0].command.endswith(" --dir {dir} --hz 1")


@pytest.mark.parametrize("argv, error", [
    (["--no-peer", "--no-engine"], "nothing to measure"), (["--peer", "x"], "not NAME=COMMAND"),
    (["--peer", "shardd-engine=x {port}"], "two servers of one name")])
def test_what_cannot_be_measured(argv, error):
    with pytest.raises(BenchError, match=error):
        plan_of(*argv)


def test_cores():
    plan = plan_of("--server-cores", CORE, "--loader-cores", CORE, pin=True)
    assert (plan.server_cores, plan.loader_cores) == ({int(CORE)}, {int(CORE)})
    assert cost.cores("0,2-4") == {0, 2, 3, 4}
    with pytest.raises(BenchError, match="may not use core 9999"):
        plan_of("--server-cores", "9999", "--loader-cores", CORE, pin=True)


@pytest.mark.parametrize("argv", [["--keys", "0"], ["--rounds", "-1"], ["--pipeline", "1,x"], ["--server-cores", "a"]])
def test_numbers_that_are_none(argv, capsys):
    with pytest.raises(SystemExit):
        plan_of(*argv)
    assert "error: argument" in capsys.readouterr().err


def row(server: str, test: str, pipeline: int, total_us: float) -> dict:
    return {"server": server, "test": test, "pipeline": pipeline, "total_us": total_us, "user_us": total_us / 4,
            "system_us": total_us * 3 / 4, "rps": 123456.7, "p50_ms": None, "p99_ms": 1.5,
            "rounds": [{"total_us": total_us}, {"total_us": total_us * 1.1}]}


ROWS = [row("v", "get", 16, 1.0), row("shardd-engine", "get", 16, 0.7), row("shardd", "get", 16, 1.75),
        row("v", "set", 16, 1.0), row("shardd-engine", "set", 16, 0.7)]


def lines(plan: Plan, version: str) -> list[list[str]]:
    text = cost.cpu_table(plan, ROWS, {"v": version})
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_the_table():
    plan = plan_of("--peer", "v=x {port}", "--tree")
    table = lines(plan, "valkey 9.1.2")
    assert table[0] == ["GET, pipeline 16", "v", "1.000", "0.25 + 0.75", "-", "", "123,457", "-", "1.50", "10%"]
    assert [(cells[1], cells[4], cells[5]) for cells in table[1:]] == [
        ("shardd-engine", "0.70 x v", "<= 0.80, met"), ("shardd", "2.50 x shardd-engine", "<= 2.20, missed"),
        ("v", "-", ""), ("shardd-engine", "0.70 x v", "<= 0.65, missed")]


@pytest.mark.parametrize("argv, version", [([], "redis 7.0.15"), (["--keys", "1000"], "valkey 9.1.2")])
def test_nothing_is_met_beside_another_peer_or_in_another_size(argv, version):
    plan = plan_of("--peer", "v=x {port}", *argv)
    assert [cells[5] for cells in lines(plan, version) if cells[1] == "shardd-engine"] == ["<= 0.80", "<= 0.65"]


def test_ratios():
    assert cost.ratio(ROWS, ROWS[1], "v") == pytest.approx(0.7)
    assert cost.ratio(ROWS, ROWS[1], None) is None and cost.ratio(ROWS, ROWS[1], "w") is None


def test_memory():
    plan = plan_of("--peer", "v=x {port}")
    rows = [{"server": "v", "bytes_per_key": 90.0, "bytes_per_key_ttl": 120.0},
            {"server": "shardd-engine", "bytes_per_key": 84.04, "bytes_per_key_ttl": 92.0}]
    table = [line.split("|") for line in cost.memory_table(plan, rows).splitlines()[2:]]
    assert [[cell.strip() for cell in cells[1:-1]] for cells in table] == [
        ["v", "90.0", "", "+30.0", ""], ["shardd-engine", "84.0", "<= 84, missed", "+8.0", "<= 12, met"]]


def test_the_sentence_above():
    plan = plan_of("--peer", "v=x {port}")
    facts = {"cpu": "Z80", "cores": 2, "kernel": "6.1", "python": "3.11.2", "load": 0.5}
    text = cost.where(plan, facts, {"v": "valkey 9.1.2"})
    for part in ("Z80, 2 cores", "Linux 6.1", "load average 0.50", "not pinned", "1,000,000 keys of 16 bytes",
                 "v is valkey 9.1.2"):
        assert part in text
    plan.server_cores, plan.loader_cores = {0, 1}, {2}
    assert "servers on core 0,1, load on core 2" in cost.where(plan, facts, {})


def test_more_options_go_to_the_end():
    assert cost.with_options(Spec("a", "b"), "") == Spec("a", "b")
