"""The supervisor with real processes: fake children that keep the control protocol and misbehave on request."""

import asyncio
import errno
import json
import os
import pwd
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(os.path.dirname(__file__))

from trees import Tree, wait_for  # noqa: E402

from harness import OK, Conn, Error, Status, encode  # noqa: E402
from harness.servers import free_port  # noqa: E402
from shardd.base.log import Log  # noqa: E402
from shardd.base.options import Config  # noqa: E402
from shardd.cluster.store import FileStore  # noqa: E402
from shardd.supervisor import main  # noqa: E402
from shardd.supervisor.layout import Layout  # noqa: E402
from shardd.supervisor.notify import Notifier  # noqa: E402
from shardd.supervisor.plan import Plan  # noqa: E402
from shardd.supervisor.watch import State  # noqa: E402


@pytest.fixture
def tree(tmp_path) -> Iterator[Callable[..., Tree]]:
    trees = []

    def start(**options) -> Tree:
        trees.append(Tree(tmp_path, **options))
        return trees[-1]

    yield start
    for one in trees:
        one.stop()


def test_a_tree_comes_up_and_everyone_knows_the_topology(tree, tmp_path):
    one = tree().ready()
    with Conn(one.port) as conn:
        assert conn("PING") == Status("PONG")
    status = one.status()
    engines = [c for c in status["children"] if c["kind"] == "engine"]
    proxy = one.child("proxy 0")
    assert [c["state"] for c in status["children"]] == ["up"] * 3
    assert [c["slots"] for c in engines] == [8192, 8192]
    assert (proxy["port"], proxy["keys"], proxy["answers"]) == (one.port, 5, True)
    wait_for(lambda: all(c["known_epoch"] == one.status()["epoch"] for c in one.status()["children"]))
    stored = one.stored()
    for name in one.pids():
        assert one.known(name) == stored
    assert [(e["port"], e["state"], e["id"], e["unixsocket"]) for e in stored["engines"]] == [
        (c["port"], "up", c["id"], c["socket"]) for c in engines]
    assert json.loads(one.supervisor("SHARDD", "TOPOLOGY")) == stored
    assert f"Engine 1 listens on port {engines[1]['port']} and serves slots 8192-16383" in one.log()
    assert f"The proxy listens on 127.0.0.1, port {one.port}" in one.log()


def test_each_engine_has_its_core_and_its_identity(tree):
    one = tree(engines=1).ready()
    role, pid, cores, node_id, conf_path = one.ask("engine 0", "WHO")
    assert (role, pid) == (b"engine", one.pids()["engine 0"])
    assert cores.decode() == str(min(os.sched_getaffinity(0)))
    assert node_id.decode() == one.stored()["engines"][0]["id"]
    assert conf_path == b""
    proxy_cores = one.ask("proxy 0", "WHO")[2].decode()
    assert proxy_cores == ",".join(map(str, sorted(os.sched_getaffinity(0))))


def test_more_engines_than_cores_are_not_pinned(tree):
    one = tree(engines=len(os.sched_getaffinity(0)) + 1).ready()
    assert one.ask("engine 0", "WHO")[2] == one.ask("proxy 0", "WHO")[2]


def test_the_tree_stays_on_its_cores(tree):
    last = max(os.sched_getaffinity(0))
    one = tree(engines="auto", server_cpulist=str(last)).ready()
    assert len(one.stored()["engines"]) == 1
    assert {one.ask(name, "WHO")[2].decode() for name in ("engine 0", "proxy 0")} == {str(last)}


def test_passwords_are_in_private_files_and_in_no_process_list(tree, tmp_path):
    one = tree(conf="requirepass s3cret\n").ready()
    for name, pid in one.pids().items():
        assert "s3cret" not in Path(f"/proc/{pid}/cmdline").read_text()
        assert b"requirepass s3cret" in one.ask(name, "CONF")
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "run" / "engine-0.conf").stat().st_mode) == 0o600
    assert one.ask("proxy 0", "WHO")[4].decode() == str(tmp_path / "shardd.conf")
    one.process.terminate()
    assert one.wait() == 0
    assert os.listdir(tmp_path / "run") == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_whole_tree_cleanly(tree, signum):
    one = tree(proxies=2).ready()
    assert len(one.pids()) == 4
    one.process.send_signal(signum)
    assert one.wait() == 0
    assert one.nobody_left()
    log = one.log()
    assert f"Received {signum.name} scheduling shutdown" in log and "bye bye" in log
    assert log.index("Proxy 1 stopped") < log.index("Engine 0 stopped")
    assert "killed" not in log


def test_a_deaf_child_is_killed(tree):
    one = tree().ready()
    one.ask("engine 1", "DEAF")
    one.process.terminate()
    assert one.wait() == 0
    assert one.nobody_left()
    assert "Engine 1 did not stop in time; it is killed" in one.log()


def test_a_second_signal_kills_at_once(tree):
    one = tree(limits={"STOP_GRACE_MS": 600_000}).ready()
    for name in one.pids():
        one.ask(name, "DEAF")
    one.process.terminate()
    one.said("scheduling shutdown")
    one.process.send_signal(signal.SIGINT)
    assert one.wait() == 0
    assert one.nobody_left()
    assert "Received SIGINT again" in one.log()


def test_no_child_outlives_a_killed_supervisor(tree):
    one = tree(proxies=2).ready()
    one.process.kill()
    one.wait()
    wait_for(one.nobody_left)


def test_a_tree_starts_again_where_a_supervisor_was_killed(tree):
    one = tree().ready()
    before = one.stored()
    one.process.kill()
    one.wait()
    wait_for(one.nobody_left)
    again = tree(port=one.port).ready()
    after = again.stored()
    assert after["epoch"] > before["epoch"]
    assert [(e["id"], e["port"]) for e in after["engines"]] == [(e["id"], e["port"]) for e in before["engines"]]


def test_a_dead_engine_comes_back_on_its_port_and_disturbs_nobody(tree):
    one = tree().ready()
    before, port, epoch = one.pids(), one.child("engine 0")["port"], one.status()["epoch"]
    one.tell("engine 0", "CRASH")
    wait_for(lambda: one.child("engine 0")["restarts"] == 1 and one.child("engine 0")["state"] == "up")
    after = one.pids()
    assert after["engine 0"] != before.pop("engine 0") and before.items() <= after.items()
    assert one.child("engine 0")["port"] == port
    assert "Engine 0 ended by signal SIGKILL; it is started again in 100 ms" in one.log()
    wait_for(lambda: all(one.known(name).get("epoch") == one.status()["epoch"] for name in after))
    assert one.status()["epoch"] >= epoch + 2  # down, up
    assert one.known("proxy 0") == one.stored()


def test_the_others_hear_that_an_engine_is_down(tree):
    one = tree(limits={"RESTART_BACKOFF_MIN_MS": 600_000, "RESTART_BACKOFF_MAX_MS": 600_000}).ready()
    one.tell("engine 0", "EXIT", 0)
    wait_for(lambda: one.known("proxy 0")["engines"][0]["state"] == "down")
    assert one.known("engine 1")["engines"][0]["state"] == "down"
    assert one.known("proxy 0")["ranges"] == one.stored()["ranges"]
    assert one.child("engine 0")["state"] == "backoff"
    assert "Engine 0 ended with exit code 0" in one.log()


def test_a_dead_proxy_comes_back(tree):
    one = tree().ready()
    one.tell("proxy 0", "CRASH")
    wait_for(lambda: one.child("proxy 0")["restarts"] == 1 and one.child("proxy 0")["state"] == "up")
    assert one.known("proxy 0") == one.stored()


def test_a_silent_engine_is_suspect_and_keeps_its_slots(tree):
    one = tree(limits={"CHILD_PING_MS": 50, "CHILD_SUSPECT_MS": 300}).ready()
    epoch = one.status()["epoch"]
    one.tell("engine 1", "HANG")
    one.said("Engine 1 has not answered for")
    one.wake()
    one.said("Engine 1 answers again after")
    assert one.child("engine 1")["restarts"] == 0
    assert one.status()["epoch"] == epoch


def test_an_engine_that_is_silent_for_cluster_node_timeout_counts_as_down_until_it_answers(tree):
    one = tree(limits={"CHILD_PING_MS": 50, "CHILD_SUSPECT_MS": 100}, cluster_node_timeout=400).ready()
    one.port_of("proxy 0")
    one.tell("engine 1", "HANG")
    wait_for(lambda: one.known("proxy 0")["engines"][1]["state"] == "down")
    one.wake()
    wait_for(lambda: one.known("proxy 0")["engines"][1]["state"] == "up")
    assert one.child("engine 1")["restarts"] == 0
    assert "Engine 1 counts as down until it answers again" in one.log()


def test_a_short_cluster_node_timeout_leaves_healthy_engines_up(tree):
    one = tree(cluster_node_timeout=900).ready()        # a PING each second would be too few
    wait_for(lambda: one.child("proxy 0")["state"] == "up")
    epoch = one.status()["epoch"]
    time.sleep(2)
    assert one.status()["epoch"] == epoch and "counts as down" not in one.log()


def test_a_supervisor_that_was_stopped_itself_takes_nobody_for_silent(tree):
    one = tree(limits={"CHILD_PING_MS": 50, "CONTROL_REPLY_MS": 100}, cluster_node_timeout=2000).ready()
    epoch, pid = one.status()["epoch"], one.child("engine 1")["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: one.child("engine 1")["silent_ms"])
    one.process.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)
    time.sleep(2.1)
    one.process.send_signal(signal.SIGCONT)
    wait_for(lambda: one.child("engine 1")["silent_ms"] == 0)
    assert one.status()["epoch"] == epoch and "counts as down" not in one.log()


def test_a_hung_engine_is_killed_and_started_again(tree):
    one = tree(limits={"CHILD_PING_MS": 50, "CHILD_SUSPECT_MS": 200, "CHILD_HUNG_MS": 700}).ready()
    one.tell("engine 1", "HANG")
    wait_for(lambda: re.search("Engine 1 has not answered for .*; it is killed and started again", one.log()))
    # on a machine that is slower than these limits, more than once
    wait_for(lambda: one.child("engine 1")["restarts"] >= 1 and one.child("engine 1")["state"] == "up")


def test_connections_wait_while_a_child_is_started_again(tree):
    one = tree(limits={"RESTART_BACKOFF_MIN_MS": 700}).ready()
    for name in ("engine 0", "proxy 0"):
        port = one.child(name)["port"]
        one.tell(name, "CRASH")
        wait_for(lambda: one.child(name)["state"] == "backoff")
        with Conn(port) as conn:
            assert conn("PING") == Status("PONG")
        assert one.child(name)["restarts"] == 1 and one.child(name)["port"] == port


def test_a_crash_loop_is_reported_refuses_clients_and_leaves_the_others_alone(tree):
    one = tree(limits={"RESTART_BACKOFF_MIN_MS": 100, "RESTART_BACKOFF_MAX_MS": 400, "BACKLOG_HOLD_MS": 300,
                       "CHILD_START_MS": 60_000}).ready()
    before, port = one.pids(), one.child("engine 0")["port"]
    for death in range(1, 4):
        one.tell("engine 0", "EXIT", 7)
        wait_for(lambda: one.child("engine 0")["restarts"] == death)
        facts = one.child("engine 0")
        if death < 3:
            wait_for(lambda: one.child("engine 0")["state"] == "up")
    assert facts["crash_loop"] and facts["last_exit"] == "with exit code 7" and facts["state"] == "backoff"
    assert facts["trouble"].startswith("Engine 0 is in a crash loop: it ended 3 times in a row, the last time with")
    assert facts["next_start_ms"] <= 400
    one.said("Engine 0 ended with exit code 7, 3 times in a row: a crash loop; it is started again in 400 ms")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    wait_for(lambda: one.child("engine 0")["state"] == "up")
    assert one.ask("engine 0", "PING") == Status("PONG") and one.child("engine 0")["port"] == port
    assert {name: pid for name, pid in one.pids().items() if name != "engine 0"}.items() <= before.items()


def test_an_engine_that_loads_is_waited_for_and_the_others_serve(tree, tmp_path):
    one = tree(load="engine 1", limits={"CHILD_PING_MS": 50, "CHILD_START_MS": 700})
    one.said("Engine 1 loads its data")
    one.said("Proxy 0 is up")
    wait_for(lambda: one.child("engine 1")["since_s"] >= 1)
    assert one.child("engine 1")["state"] == "loading" and one.child("engine 1")["restarts"] == 0
    assert [(e["state"], e["loading"]) for e in one.known("proxy 0")["engines"]] == [("up", False), ("down", True)]
    assert "Ready to accept connections" not in one.log()
    (tmp_path / "loaded").write_text("")
    one.ready()
    wait_for(lambda: [(e["state"], e["loading"]) for e in one.known("proxy 0")["engines"]] == [("up", False)] * 2)


def test_the_cycle_s_sentence_tells_what_was_done(tree):
    one = tree().ready()
    wait_for(lambda: "Proxy 0 is up after" in one.status()["cycle"])
    one.tell("engine 0", "CRASH")
    wait_for(lambda: "Engine 0" in one.status()["cycle"])
    assert one.status()["trouble"] == []


def test_the_latest_lines_of_everybody_can_be_read_and_followed(tree):
    one = tree().ready()
    one.ask("engine 1", "SAY", "one", "line")
    one.ask("proxy 0", "SAY", "another")
    wait_for(lambda: one.stream("SHARDD", "LOGS", "PROXY", 0)[0] == ["another"])
    assert one.stream("shardd", "logs", "engine", 1, "count", 5) == (["one line"], OK)
    assert one.stream("SHARDD", "LOGS", "COUNT", 2)[0] == ["one line", "another"]
    assert "Ready to accept connections" in one.stream("SHARDD", "LOGS", "SUPERVISOR")[0][-1]
    assert isinstance(one.stream("SHARDD", "LOGS", "ENGINE", 9)[1], Error)
    assert isinstance(one.stream("SHARDD", "LOGS", "COUNT")[1], Error)
    assert "one line\n" in one.log(), "what children say goes on to the log"
    with Conn(str(one.dir / "run" / "supervisor.sock")) as conn:
        conn.send(encode("SHARDD", "LOGS", "COUNT", 1, "FOLLOW"))
        assert conn.read() == b"another"
        one.ask("engine 0", "SAY", "and then")
        assert conn.read() == b"and then"
    one.ask("engine 0", "SAY", "nobody follows any more")
    assert one.supervisor("PING") == Status("PONG")


def test_the_log_file_is_opened_anew_on_sigusr1_and_when_it_was_rotated(tree, tmp_path):
    one = tree(logfile="shardd.log")
    path, rotated = tmp_path / "shardd.log", tmp_path / "shardd.log.1"
    wait_for(lambda: path.exists() and "Ready to accept connections" in path.read_text())
    path.rename(rotated)
    one.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: path.exists() and "Received SIGUSR1" in path.read_text())
    one.ask("engine 0", "SAY", "into the new file")
    wait_for(lambda: "into the new file\n" in path.read_text())
    path.rename(tmp_path / "shardd.log.2")
    wait_for(lambda: path.exists() and "was rotated" in path.read_text())
    assert "into" not in rotated.read_text()


def test_shutdown_at_the_proxy_stops_the_tree(tree):
    one = tree().ready()
    assert one.ask("proxy 0", "SHUTDOWN") == OK
    assert one.wait() == 0
    assert one.nobody_left()
    assert "Proxy 0 was told to SHUTDOWN" in one.log()


@pytest.mark.parametrize("word, told", [("SAVE", "SAVE"), ("NOSAVE", "NOSAVE"), ("", "None")])
def test_engines_hear_whether_to_save_before_they_stop(tree, word, told):
    one = tree().ready()
    assert one.supervisor(*f"SHUTDOWN {word}".split()) == OK
    assert one.wait() == 0
    assert one.log().count(f"was told to stop: {told}") == 2


def test_an_engine_that_saves_while_it_stops_has_time(tree, tmp_path):
    one = tree(limits={"STOP_GRACE_MS": 100, "STOP_STALL_MS": 1000, "STOP_LOOK_MS": 20}).ready()
    one.ask("engine 1", "SLOW", "2.5")
    one.process.terminate()
    assert one.wait() == 0
    assert "killed" not in one.log() and (tmp_path / "data-1" / "engine-1" / "slow").stat().st_size > 10


def test_what_one_proxy_was_configured_reaches_the_others_and_who_starts_later(tree):
    one = tree(proxies=2, requirepass="old").ready()
    sockets = [one.child(f"proxy {n}")["socket"] for n in (0, 1)]

    def ask(path, *words):
        with Conn(path) as conn:
            return conn(*words)

    assert ask(sockets[0], "CONFIGURED", "requirepass", "new", "maxclients", "77") == 1
    wait_for(lambda: json.loads(ask(sockets[1], "TOLD")) == {"requirepass": "new", "maxclients": "77"})
    assert json.loads(ask(sockets[0], "TOLD")) == {}
    one.tell("engine 0", "CRASH")
    wait_for(lambda: one.child("engine 0")["restarts"] == 1 and one.child("engine 0")["state"] == "up")
    conf = one.ask("engine 0", "CONF")
    assert b"requirepass new" in conf and b"maxclients 77" in conf
    ask(sockets[0], "CONFIGURED", "maxclients", "none")
    one.said("was reconfigured with what nobody else accepts")


def test_one_engine_that_never_starts_leaves_the_others_serving(tree):
    one = tree(engines=3, fail="engine 1", limits={"ENGINES_WAIT_MS": 500}).ready()
    wait_for(lambda: [e["state"] for e in one.known("proxy 0")["engines"]] == ["up", "down", "up"])
    one.said("Engine 1 ended with exit code 3 before it was ready")


@pytest.mark.parametrize("fail", ["engine 0,engine 1", "proxy 0"])
def test_a_start_that_cannot_succeed_ends_with_1(tree, fail):
    one = tree(fail=fail)
    assert one.wait() == 1
    assert "Giving up" in one.log()


def test_a_second_supervisor_on_the_same_dir_is_refused(tree):
    one = tree().ready()
    other = tree()
    assert other.wait() == 1
    assert f"in use by another shardd (pid {one.process.pid}" in other.log()
    assert one.supervisor("PING") == Status("PONG")


def test_a_port_in_use_is_named_with_its_line_before_anything_starts(tree, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = tree(conf=f"# first\nport {port}\n", port=None)
        assert one.wait() == 1
        assert f"shardd.conf:2: port '{port}': can't listen on 127.0.0.1:{port} " in one.log()
        assert "Address already in use" in one.log()
    assert not (tmp_path / "run").exists()


def test_an_unknown_option_is_named_with_its_line(tree):
    one = tree(conf="port 7000\nporst 7000\n")
    assert one.wait() == 1
    assert "shardd.conf:2: porst" in one.log()


def test_a_damaged_topology_is_named_and_kept(tree, tmp_path):
    (tmp_path / "topology.json").write_text("{broken")
    one = tree()
    assert one.wait() == 1
    assert str(tmp_path / "topology.json") in one.log() and "Traceback" not in one.log()
    assert (tmp_path / "topology.json").read_text() == "{broken"


def test_slots_and_ports_survive_a_restart_of_the_tree(tree):
    one = tree().ready()
    before = one.stored()
    one.process.terminate()
    one.wait()
    after = tree().ready().stored()
    assert after["ranges"] == before["ranges"] and after["cluster_id"] == before["cluster_id"]
    assert [e["port"] for e in after["engines"]] == [e["port"] for e in before["engines"]]
    assert after["epoch"] > before["epoch"]


def test_another_number_of_engines_splits_the_slots_again(tree):
    one = tree().ready()
    before = one.stored()
    one.process.terminate()
    one.wait()
    other = tree(engines=4).ready()
    assert [c["slots"] for c in other.status()["children"][:4]] == [4096] * 4
    assert [e["id"] for e in other.stored()["engines"]][:2] == [e["id"] for e in before["engines"]]
    assert "There were 2 engines and there are 4 now" in other.log()


def test_fixed_engine_ports(tree):
    base = free_port(2)
    one = tree(engine_base_port=base).ready()
    assert [c["port"] for c in one.status()["children"][:2]] == [base, base + 1]


def test_the_control_socket(tree):
    one = tree().ready()
    assert one.supervisor("ping") == Status("PONG")
    assert isinstance(one.supervisor("GET", "x"), Error)
    assert one.status()["pid"] == one.process.pid
    assert one.supervisor("SHUTDOWN") == OK
    assert one.wait() == 0
    assert one.nobody_left()


def test_an_unwritable_store_does_not_stop_the_tree(tree, tmp_path):
    (tmp_path / "topology.json.new").mkdir()  # root ignores permissions; a directory in the way stops everybody
    one = tree().ready()
    one.said("is not stored: cannot write")
    assert one.known("proxy 0")["engines"][0]["state"] == "up"
    assert not (tmp_path / "topology.json").exists()
    assert one.status()["stored_epoch"] == 0


def test_each_engine_has_a_directory_of_its_own(tree, tmp_path):
    one = tree().ready()
    for index in range(2):
        path = tmp_path / "data-1" / f"engine-{index}"
        assert f"dir {path}\n" in one.ask(f"engine {index}", "CONF").decode()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert f"dir {tmp_path}\n" in one.ask("proxy 0", "CONF").decode()
    assert one.stored()["generation"] == 1


def test_data_that_nobody_can_place_stops_the_start(tree, tmp_path):
    for generation in (1, 2):
        (tmp_path / f"data-{generation}" / "engine-0").mkdir(parents=True)
    one = tree()
    assert one.wait() == 1
    assert "data of the generations 1, 2" in one.log() and "Traceback" not in one.log()


def test_engines_fork_one_after_the_other_and_a_dead_one_gives_its_turn_back(tree):
    one = tree(engines=3).ready()

    def turns() -> list[int]:
        return [one.ask(f"engine {index}", "TURNS") for index in range(3)]

    for index in range(3):
        one.ask(f"engine {index}", "FORK")
        wait_for(lambda: turns()[0] == 1)       # lifelines are read in no order
    assert turns() == [1, 0, 0]
    one.tell("engine 0", "CRASH")
    wait_for(lambda: one.ask("engine 1", "TURNS") == 1)
    assert one.ask("engine 2", "TURNS") == 0
    one.ask("engine 1", "OVER")
    wait_for(lambda: one.ask("engine 2", "TURNS") == 1)


def test_what_the_system_refuses_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    owner = pwd.getpwuid(os.stat(tmp_path).st_uid).pw_name
    refused = PermissionError(errno.EPERM, "Operation not permitted", str(tmp_path))
    assert main._sentence(refused) == (f"{tmp_path}: Operation not permitted; it belongs to {owner}, and this is nobody")
    assert main._sentence(OSError(errno.ENOSPC, "No space left on device", "/x")) == "/x: No space left on device"
    assert main._sentence(OSError("as it is")) == "as it is"


def a_supervisor(directory: Path) -> main.Supervisor:
    """One that runs nothing: its parts are called by the test."""
    plan = Plan.of(Config({"dir": str(directory), "engines": "1", "bind": "127.0.0.1", "port": str(free_port())}))
    log, store = Log("V", "nothing", ""), FileStore(directory)
    return main.Supervisor(plan, log, store, None, Layout(directory, log.notice), 1, Notifier("no", log.warning),
                           lambda: plan.config)


def test_a_signal_while_the_topology_is_stored_makes_no_proxy(tmp_path, monkeypatch):
    async def scenario() -> None:
        supervisor = a_supervisor(tmp_path)
        supervisor._make_engines()

        async def keep() -> None:
            supervisor.stop()

        monkeypatch.setattr(supervisor, "_keep", keep)
        await supervisor._agree()
        assert supervisor.proxies == []

    asyncio.run(scenario())


def test_a_proxy_that_was_made_after_the_signal_is_stopped(tmp_path):
    async def scenario() -> None:
        supervisor = a_supervisor(tmp_path)
        supervisor.stop()
        supervisor._make_proxies()
        await supervisor.run_cycle()
        assert [proxy.watch.state for proxy in supervisor.proxies] == [State.STOPPED]

    asyncio.run(scenario())
