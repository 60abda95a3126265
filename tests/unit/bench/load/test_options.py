"""The command line, as values."""
import pytest

from bench.load import options
from bench.load.control import Address, Login
from bench.load.options import Settings


def settings(line: str = "") -> Settings:
    return options.settings(options.parser().parse_args(line.split()))


def size(found: Settings) -> tuple:
    return found.clients, found.requests, found.pipeline, found.keys, found.value_bytes


def test_defaults():
    found = settings()
    assert [load.label for load in found.workloads] == ["set", "get"]
    assert (found.address, found.login) == (Address(), Login())
    assert size(found) == (50, 100_000, 1, 100_000, (3, 3))


def test_redis_benchmark_s_options_mean_the_same():
    found = settings("-h ::1 -p 7000 -a pw --user u --dbnum 3 -3 -c 7 -n 1,000 -P 16 -r 5_000 -d 32 -t GET,incr")
    assert found.address == Address("::1", 7000) and found.login == Login("u", "pw", 3, 3)
    assert size(found) == (7, 1000, 16, 5000, (32, 32))
    assert [load.label for load in found.workloads] == ["get", "incr"]
    assert settings("-s /a/b").address.path == "/a/b"


def test_more():
    found = settings("--command PING --ratio 3 --duration 1.5 --warmup .5 --rate 2e4 --poisson -d 10-100 --processes 2 "
                     "--cores 1,3-4 --distribution hot --hot-keys .2 --hot-access .7 --theta 1.2")
    assert (found.requests, found.duration_s, found.warmup_s) == (None, 1.5, 0.5)
    assert (found.rate, found.poisson) == (20_000, True)
    assert (found.value_bytes, found.cores, found.hot_keys, found.hot_access, found.theta) == (
        (10, 100), [1, 3, 4], 0.2, 0.7, 1.2)
    assert found.workloads[0].templates[0].weight == 3
    assert settings("--distribution sequential -r 77").requests == 77


@pytest.mark.parametrize("line, error", [
    ("-n 5 --duration 5", "exclude"), ("--cluster -s /x", "--cluster needs"), ("--spin", "go with --rate"),
    ("--processes 3 -c 2", "3 processes"), ("--user x", "needs a password"),
    ("-t get --reads .5", "exclude one another"),
    ("--ratio 2", "--ratio goes with"), ("-t ,", "names no test"), ("-t x", "no test is named")])
def test_what_does_not_go_together(line, error):
    with pytest.raises(ValueError, match=error):
        settings(line)


@pytest.mark.parametrize("line", [
    "-n 0", "-d 5-1", "-d x", "--reads 1.5", "--rate 0", "--rate nan", "-P -1", "--cores a"])
def test_values_that_are_none(line, capsys):
    with pytest.raises(SystemExit):
        settings(line)
    assert "error: argument" in capsys.readouterr().err
