"""The load generator's command line, what it prints, and whether the server did it."""
import os
import stat
from pathlib import Path

import pytest

from bench import loader
from bench.loader import Load, Row
from bench.servers import BenchError

NEW = '''"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",\
"max_latency_ms"
"SET","76923.08","0.162","0.032","0.071","0.199","2.567","4.079"
"MSET (10 keys)","50000.00","0.301","0.024","0.081","1.327","6.807","6.823"
'''
LOAD = Load("get", 16, 50, 1000, 100, 32)


@pytest.mark.parametrize("text, test, row", [
    (NEW, "set", Row(76923.08, 0.071, 2.567)),
    (NEW, "mset", Row(50000.0, 0.081, 6.807)),
    ('"GET","123.40"\n', "get", Row(123.4, None, None)),
    ("WARNING: could not fetch CONFIG\n" + NEW, "set", Row(76923.08, 0.071, 2.567))])
def test_rows(text, test, row):
    assert loader.parse(text, test) == row


@pytest.mark.parametrize("text", [
    "", NEW, '"GET","fast"\n', '"test","speed"\n"GET","5"\n', "Error from server: LOADING"])
def test_what_is_no_row(text):
    with pytest.raises(BenchError, match="printed no row for get"):
        loader.parse(text, "get")


def test_the_command_line():
    assert Load("set", 16, 50, 1000, 100, 32).argv(["x", "--threads", "2"], 7000) == (
        "x --threads 2 -h 127.0.0.1 -p 7000 -c 50 -n 1000 -P 16 -r 100 -d 32 -t set --csv".split())


def program(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_which_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="--loader"):
        loader.find()
    redis = program(tmp_path / "redis-benchmark", "")
    assert loader.find() == [str(redis)]
    valkey = program(tmp_path / "valkey-benchmark", "")
    assert loader.find() == [str(valkey)]
    assert loader.find("mine 'a b' -x") == ["mine", "a b", "-x"]


def test_a_run_gives_its_row_on_the_cores_that_are_asked_for(tmp_path):
    core = min(os.sched_getaffinity(0))
    look = f'grep -q "^Cpus_allowed_list:.{core}$" /proc/self/status'
    path = program(tmp_path / "good", f"""echo '"GET","5.5"'; {look}""")
    assert loader.run([str(path)], 7000, LOAD, {core}) == Row(5.5, None, None)


@pytest.mark.parametrize("text, error", [
    ("echo no connection >&2; exit 3", r"failed \(3\): no connection"), ("echo hello", "no row for get: hello")])
def test_a_run_that_fails(tmp_path, text, error):
    with pytest.raises(BenchError, match=error):
        loader.run([str(program(tmp_path / "bad", text))], 7000, LOAD, None)


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(BenchError, match="cannot be run"):
        loader.run([str(tmp_path / "none")], 7000, LOAD, None)


def counters(**changes: int) -> dict[str, str]:
    grown = {"total_commands_processed": 1000, "total_error_replies": 0, "keyspace_hits": 1000} | changes
    return {name: str(7 + value) for name, value in grown.items()}


ZERO = {name: "7" for name in counters()}


def test_a_run_that_did_what_it_says():
    loader.check(LOAD, ZERO, counters())
    loader.check(LOAD, {}, {})
    loader.check(Load("set", 1, 1, 1000, 1, 1), ZERO, counters(keyspace_hits=0))


@pytest.mark.parametrize("changes, error", [
    ({"total_commands_processed": 999}, "the server counted 999"), 
    ({"total_error_replies": 2}, "2 of 1000 commands failed"), ({"keyspace_hits": 600}, "600 of 1000 found a key")])
def test_a_run_that_did_not(changes, error):
    with pytest.raises(BenchError, match=error):
        loader.check(LOAD, ZERO, counters(**changes))
