"""Few descriptors: said at the start, and survived while it runs. And the log file of an engine by itself."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from harness import Closed, Conn, Status, build
from harness.servers import Server, free_port

WAIT_S = 30


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def child(tree: Server, name: str) -> dict[str, Any]:
    with Conn(str(tree.dir / "run" / "supervisor.sock")) as conn:
        children = json.loads(conn.must("SHARDD", "STATUS"))["children"]
    return next(c for c in children if f"{c['kind']} {c['index']}" == name)


def leave(pid: int, free: int) -> tuple[int, int]:
    """Lets a process open `free` files more; returns its limits before."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir(f"/proc/{pid}/fd")))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + free, before[1]))
    return before


def test_a_supervisor_says_at_the_start_what_it_needs(tmp_path):
    code = ("import resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (70, 70))\n"
            "resource.setrlimit = lambda *args: (_ for _ in ()).throw(ValueError('not allowed'))\n"
            "from shardd.supervisor.main import run\n"
            f"sys.exit(run(['--bind', '127.0.0.1', '--port', '{free_port()}', '--engines', '3']))")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=build.environment(), capture_output=True,
                          text=True, timeout=30, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "engines '3': Your current 'ulimit -n' of 70 is not enough" in done.stderr


@pytest.mark.parametrize("name", ["proxy 0", "engine 0"])
def test_clients_that_find_no_descriptor_wait_and_nothing_spins(start, name):
    tree = start("tree", engines=1)
    facts = child(tree, name)
    with Conn(facts["port"]) as known:
        before = leave(facts["pid"], 2)
        conns = []
        try:
            conns = [Conn(facts["port"]) for _ in range(6)]
            assert known("PING") == Status("PONG")
            eventually(lambda: "Too many open files" in tree.log())
            process = psutil.Process(facts["pid"])
            began, used = time.monotonic(), sum(process.cpu_times()[:2])
            time.sleep(1)
            assert sum(process.cpu_times()[:2]) - used < 0.5 * (time.monotonic() - began), "it spins"
            assert known("PING") == Status("PONG")
        finally:
            resource.prlimit(facts["pid"], resource.RLIMIT_NOFILE, before)
        for conn in conns:
            assert conn("PING") == Status("PONG"), "who waited is served"
            conn.close()
    assert tree.log().count("Too many open files") < 100


def test_a_supervisor_without_descriptors_starts_its_child_when_it_has_some(start):
    tree = start("tree", engines=2)
    victim = child(tree, "engine 0")["pid"]
    before = leave(tree.process.pid, 1)
    try:
        psutil.Process(victim).kill()
        eventually(lambda: "Engine 0 cannot be started (Too many open files)" in tree.log())
        with tree.conn() as conn:
            assert conn("PING") == Status("PONG")
        assert tree.alive()
    finally:
        resource.prlimit(tree.process.pid, resource.RLIMIT_NOFILE, before)

    def back() -> bool:
        try:
            return child(tree, "engine 0")["state"] == "up"
        except (OSError, Closed):
            return False

    eventually(back)


def test_an_engine_by_itself_follows_the_rotation_of_its_log(start, tmp_path):
    path = tmp_path / "engine.log"
    engine = start("engine", logfile=path)
    for signal_it in (True, False):
        path.rename(tmp_path / "old.log")
        if signal_it:
            engine.signal(signal.SIGUSR1)
        eventually(path.exists)
    engine.signal(signal.SIGHUP)
    with engine.conn() as conn:
        assert conn("PING") == Status("PONG"), "the end of a terminal does not end it"
    engine.signal(signal.SIGTERM)
    assert engine.wait() == 0 and "Bye" in path.read_text()
