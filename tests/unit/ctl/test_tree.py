"""restart, reload and logs over a scripted supervisor."""

import pytest

from ctl_fakes import FakeSource, ctl
from shardd.base.errors import CommandError
from shardd.ctl.tree import parse_log
from shardd.wire.values import OK

LINE = "22813:V 20 Nov 2026 08:09:08.324 # Engine 0 died"


@pytest.fixture
def source():
    return FakeSource()


@pytest.mark.parametrize("words, verb", [
    (["all"], "ALL"), (["engines"], "ENGINES"), (["Proxies"], "PROXIES"), (["engine", "0"], "ENGINE 0"),
    (["proxy-1"], "PROXY 1"), (["engine", "0", "--lose-data"], "ENGINE 0 LOSE-DATA")])
def test_restart_says_each_step(source, words, verb):
    source.connection.scripts[f"SHARDD RESTART {verb}"] = [b"Engine 0 stops", b"Engine 0 is up after 310 ms", OK]
    done = ctl(source, "restart", *words)
    assert (done.code, done.out) == (0, "Engine 0 stops\nEngine 0 is up after 310 ms\n")


@pytest.mark.parametrize("words", [["engine"], ["engine", "x"], ["everything"], ["engine", "0", "1"], ["all", "1"]])
def test_restart_of_what(source, words):
    done = ctl(source, "restart", *words)
    assert done.code == 2 and "'engine N'" in done.error and source.connection.asked == []


def test_a_restart_that_would_lose_data_says_how_to_have_it(source):
    source.connection.scripts["SHARDD RESTART ENGINE 0"] = [
        CommandError(b"ERR engine 0 holds 5 keys, which a restart would lose")]
    done = ctl(source, "restart", "engine", "0")
    assert done.code == 1 and done.error.endswith("would lose. If they may be lost, add --lose-data")


def test_a_restart_that_stops_half_way(source):
    source.connection.scripts["SHARDD RESTART ALL"] = [b"Proxy 0 is up", CommandError(b"ERR engine 1 did not come up")]
    done = ctl(source, "restart", "all")
    assert (done.code, done.out, done.error) == (1, "Proxy 0 is up\n", "engine 1 did not come up")
    source.connection.scripts["SHARDD RESTART ALL"] = [b"Proxy 0 is up", CommandError(b"ERR engine 1 did not come up")]
    done = ctl(source, "restart", "all", "--json")
    assert done.code == 1
    assert done.json == {"ok": False, "steps": ["Proxy 0 is up"], "error": "ERR engine 1 did not come up"}


def test_reload(source):
    source.connection.scripts["SHARDD RELOAD"] = [b"maxclients is 500 now, was 10000", OK]
    assert ctl(source, "reload", "--json").json == {"ok": True, "steps": ["maxclients is 500 now, was 10000"],
                                                    "error": None}


def test_a_mistake_in_the_file_is_not_the_supervisors(source):
    source.connection.scripts["SHARDD RELOAD"] = [CommandError(b"ERR a.conf:5: bogus: unknown option; nothing changed")]
    assert ctl(source, "reload").error.strip().endswith("a.conf:5: bogus: unknown option; nothing changed")


def test_an_older_supervisor_is_named_as_the_reason(source):
    assert "older than shardctl" in ctl(source, "reload").error


@pytest.mark.parametrize("words, verb", [
    ([], "ALL COUNT 100"), (["engine", "1", "-n", "5"], "ENGINE 1 COUNT 5"), (["supervisor", "-f"],
                                                                             "SUPERVISOR COUNT 100 FOLLOW"),
    (["proxy-0", "-n", "0", "--follow"], "PROXY 0 COUNT 0 FOLLOW")])
def test_logs(source, words, verb):
    source.connection.scripts[f"SHARDD LOGS {verb}"] = [LINE.encode(), b"  something else", OK]
    done = ctl(source, "logs", *words)
    assert (done.code, done.out) == (0, f"{LINE}\n  something else\n")


def test_logs_as_json_lines(source):
    source.connection.scripts["SHARDD LOGS ALL COUNT 100"] = [LINE.encode(), b"odd", OK]
    assert len(ctl(source, "logs", "--json").out.splitlines()) == 2
    assert parse_log(LINE) == {"line": LINE, "pid": 22813, "role": "supervisor", "time": "20 Nov 2026 08:09:08.324",
                               "level": "warning", "message": "Engine 0 died"}
    assert parse_log("odd") == {"line": "odd", "pid": None, "role": None, "time": None, "level": None, "message": None}


@pytest.mark.parametrize("words", [["engine"], ["everybody"], ["-n", "-1"]])
def test_logs_of_whom(source, words):
    assert ctl(source, "logs", *words).code == 2
