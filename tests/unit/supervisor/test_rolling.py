"""Restarts on request, over fake children: the order, what waits meanwhile, what is refused."""

import os
import signal
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

sys.path.append(os.path.dirname(__file__))

from trees import Tree, wait_for  # noqa: E402

from harness import OK, Conn, Error, Status, encode  # noqa: E402
from shardd.base.errors import CommandError  # noqa: E402
from shardd.supervisor.rolling import Wish  # noqa: E402


@pytest.fixture
def tree(tmp_path) -> Iterator[Callable[..., Tree]]:
    trees = []

    def start(**options) -> Tree:
        trees.append(Tree(tmp_path, **options))
        return trees[-1]

    yield start
    for one in trees:
        one.stop()


@pytest.mark.parametrize("words, wish", [
    ("ENGINES", (("engine",), None, False)), ("PROXIES LOSE-DATA", (("proxy",), None, True)),
    ("ALL", (("engine", "proxy"), None, False)), ("ENGINE 3", (("engine",), 3, False)),
    ("PROXY 0 LOSE-DATA", (("proxy",), 0, True)),
])
def test_what_can_be_wished_for(words, wish):
    assert Wish.parse(words.split()) == wish


@pytest.mark.parametrize("words", ["", "LOSE-DATA", "ENGINE", "ENGINES 1", "PROXY -1", "PROXY x", "ALL ALL"])
def test_what_cannot(words):
    with pytest.raises(CommandError):
        Wish.parse(words.split())


def test_engines_are_restarted_one_after_the_other(tree):
    one = tree().ready()
    before, ports = one.pids(), [one.child(f"engine {n}")["port"] for n in (0, 1)]
    said, end = one.stream("SHARDD", "RESTART", "ENGINES", "LOSE-DATA")
    assert end == OK
    assert [line.split(" after")[0] for line in said] == ["Engine 0 stops", "Engine 0 is up again", "Engine 1 stops",
                                                         "Engine 1 is up again"]
    after = one.pids()
    assert after["proxy 0"] == before["proxy 0"]
    for index, port in enumerate(ports):
        name = f"engine {index}"
        assert after[name] != before[name] and one.child(name)["port"] == port
        assert one.child(name)["restarts"] == 0 and one.child(name)["trouble"] is None
        assert one.ask(name, "GENERATION") == 1
    log = one.log()
    assert log.index("Engine 0 is up again") < log.index("Engine 1 stops")


def test_an_engine_that_holds_keys_is_left_alone(tree):
    one = tree().ready()
    one.ask("engine 0", "KEYS", 0)
    before = one.pids()
    for what in (("ENGINES",), ("ALL",), ("ENGINE", 1)):
        said, end = one.stream("SHARDD", "RESTART", *what)
        assert said == [] and "engine 1 holds 5 keys, which a restart would lose" in str(end)
    assert one.pids() == before
    assert one.stream("SHARDD", "RESTART", "ENGINE", 0)[1] == OK
    assert one.pids()["engine 1"] == before["engine 1"]


def test_an_engine_of_which_nobody_knows_is_left_alone(tree):
    one = tree(limits={"CONTROL_REPLY_MS": 200}).ready()
    pid = one.pids()["engine 1"]
    os.kill(pid, signal.SIGSTOP)
    try:
        said = str(one.stream("SHARDD", "RESTART", "ENGINE", 1)[1])
        assert "engine 1 does not say how many keys it holds" in said
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_engine_that_does_not_come_up_ends_it(tree, tmp_path):
    one = tree().ready()
    before = one.pids()
    (tmp_path / "fail").write_text("engine 0")
    said, end = one.stream("SHARDD", "RESTART", "ENGINES", "LOSE-DATA")
    assert said == ["Engine 0 stops"]
    assert "engine 0 did not come up: it ended with exit code 3" in str(end) and "left alone" in str(end)
    assert one.pids()["engine 1"] == before["engine 1"]
    (tmp_path / "fail").unlink()
    wait_for(lambda: one.child("engine 0")["state"] == "up")


def test_what_waits_in_backoff_is_started_at_once(tree):
    one = tree(limits={"RESTART_BACKOFF_MIN_MS": 600_000, "RESTART_BACKOFF_MAX_MS": 600_000}).ready()
    for name in ("engine 0", "proxy 0"):
        one.tell(name, "CRASH")
        wait_for(lambda: one.child(name)["state"] == "backoff")
        kind, index = name.split()
        said, end = one.stream("SHARDD", "RESTART", kind, index)
        assert end == OK and said[0] == f"{name.capitalize()} is started"
        assert one.child(name)["state"] == "up"


@pytest.mark.parametrize("words, message", [
    (("ENGINE", 9), "there is no engine 9"), (("PROXY", 1), "there is no proxy 1"), (("X",), "syntax error"),
    ((), "syntax error"),
])
def test_what_is_not_there(tree, words, message):
    one = tree().ready()
    said, end = one.stream("SHARDD", "RESTART", *words)
    assert said == [] and isinstance(end, Error) and message in str(end)


def test_a_proxy_gets_a_successor_and_finishes_its_clients(tree):
    one = tree(proxies=2, proxy_drain_seconds=33).ready()
    before = one.pids()
    old = before["proxy 0"]
    # one connection for each socket: which of the two proxies a client gets is the kernel's choice
    conns = [Conn(one.port) for _ in range(20)]
    mine = next(conn for conn in conns if conn("WHO")[1] == old)
    for conn in conns:
        if conn is not mine:
            conn.close()
    said, end = one.stream("SHARDD", "RESTART", "PROXY", 0)
    assert end == OK
    after = one.pids()
    assert after["proxy 0"] != old and after["proxy 1"] == before["proxy 1"]
    assert said == ["Proxy 0 gets a successor",
                    f"Proxy 0 is pid {after['proxy 0']} now; pid {old} lets 2 clients finish"]
    [draining] = one.status()["draining"]
    assert (draining["pid"], draining["state"]) == (old, "draining")
    assert mine("WHO")[1] == old and mine("TOLD") == b'{"drain": "33000"}'
    with Conn(str(one.dir / "run" / "proxy-0.sock")) as conn:
        assert conn("WHO")[1] == after["proxy 0"], "the name is the successor's"
        assert conn("GENERATION") == 1
    mine.close()
    wait_for(lambda: not one.status()["draining"])
    one.said(f"Proxy 0 (pid {old}) stopped")
    assert sorted(os.listdir(one.dir / "run")) == ["engine-0.conf", "engine-0.sock", "engine-1.conf", "engine-1.sock",
                                                   "proxy-0.conf", "proxy-0.sock", "proxy-1.conf", "proxy-1.sock",
                                                   "supervisor.sock"]


def test_no_connection_is_refused_while_all_is_restarted(tree):
    import threading
    one = tree(proxies=2, proxy_drain_seconds=0).ready()
    ports = [one.port, one.child("engine 0")["port"], one.child("engine 1")["port"]]
    stop, failures, done = threading.Event(), [], [0]

    def knock() -> None:
        while not stop.is_set():
            for port in ports:
                try:
                    with Conn(port) as conn:
                        conn("PING")
                        done[0] += 1
                except ConnectionRefusedError as error:
                    failures.append((port, error))
                except Exception:
                    pass    # accepted by a process that stopped: the fake ones do not wait

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        assert one.stream("SHARDD", "RESTART", "ALL", "LOSE-DATA")[1] == OK
    finally:
        stop.set()
        thread.join()
    assert not failures and done[0] > 10


def test_a_successor_that_does_not_come_up_changes_nothing(tree, tmp_path):
    one = tree().ready()
    before = one.pids()
    (tmp_path / "fail").write_text("proxy 0")
    said, end = one.stream("SHARDD", "RESTART", "PROXIES")
    assert said == ["Proxy 0 gets a successor"] and "proxy 0 did not come up: it ended with exit code 3" in str(end)
    assert one.pids() == before and one.status()["draining"] == []
    with Conn(one.port) as conn:
        assert conn("PING") == Status("PONG")


@pytest.mark.parametrize("comes_up", [True, False])
def test_a_proxy_that_dies_while_its_successor_starts_is_not_started_again(tree, tmp_path, comes_up):
    (tmp_path / "loaded").write_text("")
    one = tree(load="proxy 0").ready()
    (tmp_path / "loaded").unlink()
    known = one.pids()
    old = known["proxy 0"]
    with Conn(str(one.dir / "run" / "supervisor.sock"), timeout_s=30) as conn:
        conn.send(encode("SHARDD", "RESTART", "PROXIES"))
        assert conn.read() == b"Proxy 0 gets a successor"
        one.said("Proxy 0 loads its data")
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: one.child("proxy 0")["state"] == "stopped")
        if comes_up:
            (tmp_path / "loaded").write_text("")
            assert b"ends" in conn.read() and conn.read() == OK
        else:
            successor, = {p.pid for p in psutil.Process(one.process.pid).children()} - set(known.values())
            os.kill(successor, signal.SIGKILL)
            assert "did not come up" in str(conn.read())
            (tmp_path / "loaded").write_text("")
    wait_for(lambda: one.child("proxy 0")["state"] == "up")
    with Conn(str(one.dir / "run" / "proxy-0.sock")) as conn:
        assert conn("WHO")[1] == one.pids()["proxy 0"] != old


def test_a_tree_stops_while_a_proxy_drains(tree):
    one = tree().ready()
    with Conn(one.port) as conn:
        old = conn("WHO")[1]
        assert one.stream("SHARDD", "RESTART", "PROXIES")[1] == OK
        one.seen.add(old)
        one.pids()
        one.process.terminate()
        assert one.wait() == 0
    assert one.nobody_left()


@pytest.mark.parametrize("options", [{"appendonly": "yes"}, {"conf": "save 3600 1\nappendonly no\n"}])
def test_an_engine_that_keeps_its_data_on_disk_is_restarted_without_a_question(tree, options):
    one = tree(**options).ready()
    before = one.pids()
    assert one.stream("SHARDD", "RESTART", "ENGINES")[1] == OK
    assert not set(before.values()) & {one.pids()[f"engine {index}"] for index in range(2)}


def test_an_engine_that_cannot_save_is_left_alone(tree):
    one = tree(conf="save 3600 1\nappendonly no\n").ready()
    one.ask("engine 0", "FULL")
    before = one.pids()
    said, end = one.stream("SHARDD", "RESTART", "ENGINES")
    assert said == [] and "engine 0 cannot save its data" in str(end) and one.pids() == before
    assert one.stream("SHARDD", "RESTART", "ENGINES", "LOSE-DATA")[1] == OK
