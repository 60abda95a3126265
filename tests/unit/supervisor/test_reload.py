"""The configuration read again, over fake children: what is applied, what waits for a restart, what changes nothing."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

sys.path.append(os.path.dirname(__file__))

from trees import Tree, wait_for  # noqa: E402

from harness import OK, Conn, Error  # noqa: E402
from shardd.base.option_table import OPTIONS  # noqa: E402
from shardd.supervisor.reload import applies_live, restart_command  # noqa: E402


@pytest.fixture
def tree(tmp_path) -> Iterator[Callable[..., Tree]]:
    trees = []

    def start(**options) -> Tree:
        trees.append(Tree(tmp_path, **options))
        return trees[-1]

    yield start
    for one in trees:
        one.stop()


def told(one: Tree, name: str) -> dict[str, str]:
    return json.loads(one.ask(name, "TOLD"))


def write(one: Tree, text: str) -> None:
    (one.dir / "shardd.conf").write_text(text)


def test_what_can_be_applied_is_and_what_cannot_is_said(tree):
    one = tree(conf="maxclients 100\nmaxmemory 10mb\nlfu-decay-time 1\n").ready()
    write(one, "maxclients 200\nmaxmemory 20mb\nlfu-decay-time 2\nrequirepass s3cret\ndatabases 32\nengines 4\n"
               "disable-thp no\nloglevel verbose\n")
    said, end = one.stream("SHARDD", "RELOAD")
    assert end == OK
    assert sorted(said) == sorted([
        "maxclients is 200 now, was 100", "requirepass was changed", "loglevel is verbose now, was notice",
        "maxmemory is 20971520 now, was 10485760", "lfu-decay-time is 2 now, was 1",
        "databases is 32 in shardd.conf:5 and 16 in force: it needs a restart: shardctl restart all",
        "disable-thp is no in shardd.conf:7 and yes in force: it needs a restart: shardctl restart engines"])
    engine, proxy = told(one, "engine 1"), told(one, "proxy 0")
    assert engine == {"maxclients": "200", "requirepass": "s3cret", "maxmemory": "10485760", "lfu-decay-time": "2",
                      "loglevel": "verbose"}
    assert proxy["maxmemory"] == "20971520" and proxy["lfu-decay-time"] == "2"
    assert [wait["option"] for wait in one.status()["pending"]] == ["databases", "disable-thp"], \
        "engines is on the command line as well, which wins"
    assert "s3cret" not in one.log()
    assert one.stream("SHARDD", "RELOAD") == (["Nothing has changed"], OK)
    one.tell("engine 0", "CRASH")
    wait_for(lambda: one.child("engine 0")["restarts"] == 1 and one.child("engine 0")["state"] == "up")
    conf = one.ask("engine 0", "CONF").decode()
    assert "maxclients 200" in conf and "databases" not in conf, "a child that died starts like its siblings"


def test_a_rolling_restart_takes_over_what_waited_for_it(tree):
    one = tree(conf="databases 4\n").ready()
    write(one, "databases 5\ndisable-thp no\n")
    assert len(one.stream("SHARDD", "RELOAD")[0]) == 2
    said, end = one.stream("SHARDD", "RESTART", "ENGINES", "LOSE-DATA")
    assert end == OK and said[0] == "disable-thp will be no"
    assert [wait["option"] for wait in one.status()["pending"]] == ["databases"]
    assert b"databases 4" in one.ask("engine 1", "CONF") and b"disable-thp no" in one.ask("engine 1", "CONF")
    assert one.stream("SHARDD", "RESTART", "ALL", "LOSE-DATA")[1] == OK
    assert all(b"databases 5" in one.ask(name, "CONF") for name in ("engine 0", "engine 1", "proxy 0"))
    assert one.status()["pending"] == []


def test_taking_a_change_back_needs_no_restart(tree):
    one = tree(conf="databases 4\n").ready()
    write(one, "databases 5\n")
    one.stream("SHARDD", "RELOAD")
    write(one, "databases 4\n")
    assert one.stream("SHARDD", "RELOAD")[0] == ["databases is 4 again: no restart is needed for it"]
    assert one.status()["pending"] == []


def test_what_config_set_has_changed_stays_unless_the_file_changes_it(tree):
    one = tree(conf="maxclients 100\n").ready()
    assert one.ask("proxy 0", "CONFIGURED", "maxclients", "150", "timeout", "7") == 1
    write(one, "maxclients 100\ntimeout 9\n")
    wait_for(lambda: one.stream("SHARDD", "RELOAD")[0] == ["timeout is 9 now, was 7"])
    one.tell("engine 0", "CRASH")
    wait_for(lambda: one.child("engine 0")["restarts"] == 1 and one.child("engine 0")["state"] == "up")
    assert b"maxclients 150" in one.ask("engine 0", "CONF")


@pytest.mark.parametrize("text, message", [
    ("maxclients 200\nmaxmemory lots\n", "shardd.conf:2: maxmemory 'lots': "),
    ("maxclients 200\nporst 1\n", "shardd.conf:2: porst: unknown option"),
    ("maxclients 200\nrequirepass \"x\n", "shardd.conf:2: unbalanced quotes"),
])
def test_a_bad_file_changes_nothing_and_its_line_is_named(tree, text, message):
    one = tree(conf="maxclients 100\n").ready()
    write(one, text)
    said, end = one.stream("SHARDD", "RELOAD")
    assert said == [] and isinstance(end, Error) and message in str(end) and "nothing was changed" in str(end)
    assert message in one.said("A reload failed")
    assert told(one, "engine 0") == told(one, "proxy 0") == {}
    write(one, "maxclients 200\n")
    assert one.stream("SHARDD", "RELOAD") == (["maxclients is 200 now, was 100"], OK)


def test_a_missing_file_changes_nothing(tree, tmp_path):
    one = tree(conf="maxclients 100\n").ready()
    (tmp_path / "shardd.conf").unlink()
    assert "can't open config file" in str(one.stream("SHARDD", "RELOAD")[1])


def test_what_one_child_refuses_is_set_back_everywhere(tree):
    one = tree(conf="maxclients 100\n", refuse="engine 1").ready()
    write(one, "maxclients 200\n")
    said, end = one.stream("SHARDD", "RELOAD")
    assert said == [] and "shardd.conf:1: maxclients: engine 1 answers: ERR CONFIG SET failed - not me" in str(end)
    assert told(one, "engine 0") == told(one, "proxy 0") == {"maxclients": "100"}
    one.tell("engine 0", "CRASH")
    wait_for(lambda: one.child("engine 0")["restarts"] == 1 and one.child("engine 0")["state"] == "up")
    assert b"maxclients 100" in one.ask("engine 0", "CONF")


def test_sighup_reads_the_file_again(tree):
    one = tree(conf="maxclients 100\n").ready()
    write(one, "maxclients 300\n")
    one.process.send_signal(signal.SIGHUP)
    one.said("maxclients is 300 now, was 100")
    wait_for(lambda: told(one, "engine 0") == {"maxclients": "300"})
    assert one.process.poll() is None and one.child("engine 0")["restarts"] == 0


def test_without_a_file_there_is_nothing_to_read(tree):
    one = tree().ready()
    assert one.stream("SHARDD", "RELOAD") == (["There is no configuration file, so nothing has changed"], OK)


def test_a_child_that_hangs_hears_of_it_later(tree):
    one = tree(conf="maxclients 100\n", limits={"CONTROL_REPLY_MS": 200}).ready()
    write(one, "maxclients 300\n")
    one.tell("engine 1", "HANG")
    assert one.stream("SHARDD", "RELOAD")[1] == OK
    one.wake()
    wait_for(lambda: told(one, "engine 1") == {"maxclients": "300"})


def test_the_service_manager_hears_of_it(tree, tmp_path, monkeypatch):
    import socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        one = tree(conf="supervised systemd\n")
        states = []
        while not states or not states[-1].startswith("READY=1"):
            states.append(manager.recv(4096).decode())
        one.process.send_signal(signal.SIGHUP)
        while not states[-1].startswith("RELOADING=1\nMONOTONIC_USEC="):
            states.append(manager.recv(4096).decode())
        assert manager.recv(4096).decode().startswith("READY=1\nSTATUS=2 engines and 1 proxy are up")
        one.process.terminate()
        while not states[-1].startswith("STOPPING=1"):
            states.append(manager.recv(4096).decode())
        assert one.wait() == 0


def test_every_option_says_what_it_takes():
    for option in OPTIONS.values():
        command = restart_command(option)
        assert applies_live(option) or "shardctl restart" in command or "systemctl" in command
    assert not applies_live(OPTIONS["dir"]) and "systemctl" in restart_command(OPTIONS["port"])


def test_supervisors_are_asked_one_thing_at_a_time(tree):
    one = tree(limits={"STOP_GRACE_MS": 1500}).ready()
    one.ask("engine 0", "DEAF")
    with Conn(str(one.dir / "run" / "supervisor.sock")) as conn:
        conn.send(b"*4\r\n$6\r\nSHARDD\r\n$7\r\nRESTART\r\n$7\r\nENGINES\r\n$9\r\nLOSE-DATA\r\n")
        assert conn.read() == b"Engine 0 stops"
        assert str(one.stream("SHARDD", "RELOAD")[1]) == "BUSY a restart of engines lose-data is under way"
        assert one.status()["working"] == "a restart of engines lose-data"
    wait_for(lambda: one.status()["working"] == "")
    assert one.child("engine 1")["state"] == "up", "it goes on when nobody listens"
