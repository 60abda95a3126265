"""The whole tree from outside: one command starts it, every way of ending it leaves nothing behind."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness import Closed, Conn, Error, OK
from harness.servers import Server

WAIT_S = 30


def eventually(condition: Callable[[], Any]) -> Any:
    """The first true value; a connection that is refused or closed counts as false."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            value = condition()
        except (OSError, Closed):
            value = None
        if value:
            return value
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(tree: Server) -> dict[str, dict[str, Any]]:
    """What the supervisor knows of each child, by "engine 0"."""
    with Conn(str(tree.dir / "run" / "supervisor.sock")) as conn:
        children = json.loads(conn.must("SHARDD", "STATUS"))["children"]
    return {f"{child['kind']} {child['index']}": child for child in children}


def whole(tree: Server) -> bool:
    """Whether every process is up and has the newest topology, and each engine is reached through the proxy."""
    children = status(tree).values()
    with tree.conn() as conn:
        return (all(child["state"] == "up" for child in children)
                and len({child["known_epoch"] for child in children}) == 1
                and not any(isinstance(conn("GET", key), Error) for key in KEYS))


KEYS = [f"key:{n}" for n in range(64)]


def gone(processes: list) -> bool:
    return not any(p.is_running() and p.status() != "zombie" for p in processes)


def test_one_command_starts_engines_and_a_proxy(start):
    tree = start("tree", engines=2)
    with tree.conn() as conn:
        for key in KEYS:
            assert conn("SET", key, key) == OK
        assert conn("DBSIZE") == len(KEYS)
        assert [conn("GET", key) for key in KEYS] == [key.encode() for key in KEYS]
    children = status(tree)
    assert sorted(children) == ["engine 0", "engine 1", "proxy 0"]
    assert all(children[f"engine {i}"]["keys"] > 0 for i in (0, 1))
    assert "Ready to accept connections tcp" in tree.log()
    assert re.search(r"^\d+:V \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} \* ", tree.log(), re.MULTILINE)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_whole_tree(start, signum):
    tree = start("tree", engines=2, proxies=2)
    family = tree.children()
    assert len(family) == 4
    tree.signal(signum)
    assert tree.wait() == 0
    assert gone(family)
    assert "it is killed" not in tree.log() and "Traceback" not in tree.log()


def test_a_tree_stops_with_clients_connected_and_busy(start):
    tree = start("tree", engines=2)
    family = tree.children()
    conns = [tree.conn() for _ in range(20)]
    for conn in conns:
        conn.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n" * 500)
    tree.signal(signal.SIGTERM)
    assert tree.wait() == 0
    assert gone(family)
    for conn in conns:
        conn.close()


def test_shutdown_ends_the_whole_tree(start):
    tree = start("tree", engines=2)
    family = tree.children()
    with tree.conn() as conn, pytest.raises(Closed):
        reply = conn("SHUTDOWN", "NOSAVE")
        pytest.fail(f"SHUTDOWN was answered: {reply!r}")
    assert tree.wait() == 0
    assert gone(family)


def test_nothing_outlives_a_killed_supervisor(start):
    tree = start("tree", engines=2, proxies=2)
    family = tree.children()
    tree.signal(signal.SIGKILL)
    tree.wait()
    eventually(lambda: gone(family))


def test_a_killed_engine_comes_back_and_the_others_never_stop(start):
    tree = start("tree", engines=2)
    with tree.conn() as conn:
        for key in KEYS:
            conn.must("SET", key, "v")
        before = status(tree)
        survivors = before["engine 1"]["keys"]
        victim = next(p for p in tree.children() if p.pid == before["engine 0"]["pid"])
        victim.kill()
        eventually(lambda: status(tree)["engine 0"]["restarts"] == 1 and whole(tree))
        after = status(tree)
        assert after["engine 0"]["port"] == before["engine 0"]["port"]
        assert after["engine 1"]["pid"] == before["engine 1"]["pid"]
        assert after["proxy 0"]["pid"] == before["proxy 0"]["pid"]
        # the same connection goes on, and finds what the other engine holds
        assert conn("DBSIZE") == survivors
        assert conn("MSET", *[word for key in KEYS for word in (key, "w")]) == OK


def test_what_somebody_removes_from_the_directory_comes_back(start):
    """A cleaner of old files went over it: nothing that lives is lost by that, and what dies is started again."""
    tree = start("tree", engines=2)
    with tree.conn() as conn:
        for key in KEYS:
            conn.must("SET", key, "v")
        before = status(tree)
        shutil.rmtree(tree.dir / "run")
        (tree.dir / "topology.json").unlink()
        for process in tree.children():
            if process.pid == before["engine 0"]["pid"]:
                process.kill()
        eventually(lambda: status(tree)["engine 0"]["restarts"] == 1 and whole(tree))
        assert conn("DBSIZE") == before["engine 1"]["keys"]
    for process in tree.children():
        if process.pid == before["proxy 0"]["pid"]:
            process.kill()
    eventually(lambda: status(tree)["proxy 0"]["restarts"] == 1 and whole(tree))
    with tree.conn() as conn:
        assert conn("DBSIZE") == before["engine 1"]["keys"]
    assert status(tree)["engine 1"]["pid"] == before["engine 1"]["pid"]
    assert eventually((tree.dir / "topology.json").exists)


def test_an_older_topology_in_the_place_of_the_newest_ends_nothing(start):
    tree = start("tree", engines=2)
    path = tree.dir / "topology.json"
    old = path.read_bytes()
    before = status(tree)
    for restarts, kept in ((1, old), (2, None), (3, old)):
        path.write_bytes(kept) if kept else path.unlink()
        for process in tree.children():
            if process.pid == status(tree)["engine 0"]["pid"]:
                process.kill()
        eventually(lambda: status(tree)["engine 0"]["restarts"] == restarts and whole(tree))
    assert status(tree)["engine 1"]["pid"] == before["engine 1"]["pid"]
    assert eventually(lambda: path.exists() and path.read_bytes() != old)


def test_a_killed_proxy_comes_back_with_everything_still_there(start):
    tree = start("tree", engines=2)
    with tree.conn() as conn:
        conn.must("SET", "a", "1")
    next(p for p in tree.children() if p.pid == status(tree)["proxy 0"]["pid"]).kill()
    eventually(lambda: status(tree)["proxy 0"]["restarts"] == 1 and whole(tree))
    with tree.conn() as conn:
        assert conn("GET", "a") == b"1"


def test_redis_cli_finds_the_cluster_sound_from_the_proxy_and_from_an_engine(start):
    tree = start("tree", engines=3)
    with tree.conn() as conn:
        for key in KEYS:
            conn.must("SET", key, "v")
    for port in (tree.port, status(tree)["engine 1"]["port"]):
        done = subprocess.run(["redis-cli", "--cluster", "check", f"127.0.0.1:{port}"], capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[OK] All nodes agree about slots configuration." in done.stdout
        assert "[OK] All 16384 slots covered." in done.stdout
        assert f"[OK] {len(KEYS)} keys in 3 masters." in done.stdout


def test_redis_cli_follows_redirects_between_engines(start):
    tree = start("tree", engines=2)
    port = status(tree)["engine 0"]["port"]
    script = "".join(f"SET {key} {key}\n" for key in KEYS)
    done = subprocess.run(["redis-cli", "-c", "-p", str(port)], input=script, capture_output=True, text=True,
                          timeout=60, check=True)
    assert done.stdout.count("OK") == len(KEYS)
    with tree.conn() as conn:
        assert conn("DBSIZE") == len(KEYS)


def test_a_password_guards_every_door_and_the_tree_still_works(start):
    tree = start("tree", engines=2, requirepass="s3cret")
    for port in (tree.port, status(tree)["engine 0"]["port"]):
        with Conn(port) as conn:
            assert conn("GET", "a").code == "NOAUTH"
            assert conn("AUTH", "s3cret") == OK
    assert not any("s3cret" in " ".join(p.cmdline()) for p in tree.children())


def test_a_unix_socket_serves_the_same_data(start, tmp_path):
    tree = start("tree", engines=2, unixsocket=tmp_path / "s")
    with tree.conn() as conn:
        conn.must("SET", "a", "1")
    with Conn(str(tmp_path / "s")) as conn:
        assert conn("GET", "a") == b"1"


def test_a_second_tree_on_a_taken_port_fails_before_it_starts(start):
    tree = start("tree", engines=1)
    other = start("tree", ready=False, port=tree.port)
    assert other.wait() == 1
    assert "--port" in other.log() and "in use" in other.log()
    assert not (other.dir / "run").exists()
