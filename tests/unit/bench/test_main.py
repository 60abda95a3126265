"""The command line, and both commands once, in small: that they measure what they say, whatever they find."""
import json
import os
import shlex
import subprocess
import sys

import pytest

from bench import __main__ as main
from bench import machine
from harness import build


def bench(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bench", *argv], cwd=build.ROOT, env=build.environment(), text=True,
                          capture_output=True, timeout=110)


def test_a_command_that_repeats_it():
    argv = ["cost", "--peer", "v=run --save '' {port} $x"]
    assert shlex.split(main.repeat(argv)) == [".venv/bin/python", "-m", "bench", *argv]


@pytest.mark.parametrize("argv, code, error", [
    (["cost", "--server-cores", "9999"], 1, "bench: this process may not use core 9999"),
    (["pauses", "--situations", "fill,none"], 1, "'none'; known: fill, flush, expire"),
    (["cost", "--keys", "none"], 2, "argument --keys"), (["what"], 2, "invalid choice")])
def test_mistakes(argv, code, error, capsys):
    try:
        assert main.main(argv) == code
    except SystemExit as end:
        assert end.code == code
    assert error in capsys.readouterr().err


def test_cost_in_small(fresh, tmp_path):
    path = tmp_path / "cost.json"
    done = bench("cost", "--no-pin", "--keys", "1000", "--rounds", "1", "--requests", "1000", "--pipeline", "1,8",
                 "--tree", "--tree-options=--engines 1", "--loader", "redis-benchmark", "--json", str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert [one["server"] for one in found["memory"]] == ["redis", "shardd-engine", "shardd"]
    assert len(found["cpu"]) == 3 * 2 * 2 and all(one["total_us"] > 0 and one["rps"] > 0 for one in found["cpu"])
    assert {one["ratio"] for one in found["cpu"] if one["server"] == "redis"} == {1.0}
    assert done.stdout.count("| GET, pipeline 8 ") == 3 and "bytes per key" in done.stdout
    assert "`.venv/bin/python -m bench cost --no-pin --keys 1000" in done.stdout


def test_pauses_in_small(fresh, tmp_path):
    path = tmp_path / "pauses.json"
    done = bench("pauses", *"--no-pin --keys 3000 --due 1000 --clients 3 --elements 2000 --situations fill,flush,expire,"
                 "hash:fill,list:unlink,set:expire,zset:evict --json".split(), str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())["pauses"]
    assert [(one["situation"], one["keys"]) for one in found] == [
        ("fill", 3000), ("flush", 3000), ("expire", 1000), ("hash:fill", 2000), ("list:unlink", 2000),
        ("set:expire", 2000), ("zset:evict", 2000)]
    assert all(one["batch_us"] >= one["batch_cpu_us"] > 0 for one in found)
    assert "FLUSHALL of 3,000 keys" in done.stdout


def test_save_in_small(fresh, tmp_path):
    path = tmp_path / "save.json"
    done = bench(*"save --no-pin --keys 3000 --rounds 1 --values random --json".split(), str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    redis, ours = found["servers"]
    assert (redis["name"], ours["name"], found["keys"]) == ("redis", "shardd-engine", 3000)
    assert 3000 * 51 < redis["file_bytes"] <= ours["file_bytes"] + 500 < 3000 * 52 + 1000
    assert all(len(one["load_s"]) == 1 and one["save_s"][0] > 0 for one in (redis, ours))
    assert "| redis " in done.stdout and "(<= 0.67)" in done.stdout


def test_the_machine():
    assert machine.cpu_model("processor : 0\nmodel name\t: Z80   at 4 MHz\nmodel name : other\n") == "Z80 at 4 MHz"
    assert machine.cpu_model("") == os.uname().machine
    facts = machine.facts()
    assert facts["cores"] == len(os.sched_getaffinity(0)) and facts["cpu"] and facts["kernel"]


def test_compare_in_small(fresh, tmp_path):
    done = bench("compare", *"--parts proxy,latency,idle,burst,loader --no-pin --no-peer --keys 500 --rounds 1 --tests "
                 "get --requests 2000 --rate 500 --seconds 1 --clients 5 --pipeline 4 --idle 50 --burst 50 --loader "
                 "redis-benchmark --engines 1".split(), "--out", str(tmp_path), "--json", str(tmp_path / "x"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "RESULTS.md").read_text()
    assert page.strip() in done.stdout and page.count("\n## ") == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "RESULTS-cpu.svg", "RESULTS-latency.svg", "RESULTS-throughput.svg", "RESULTS.md", "x"]
    found = json.loads((tmp_path / "x").read_text())
    assert found["idle"][0] < 100_000 and len(found["burst"]) == len(found["added"]) == 1
    assert {row["loader"] for row in found["loader"]} == {"shardd-bench", "redis-benchmark"}
