"""shardctl against a real tree: one for the whole module, but for tests that end or hang a process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness import build
from harness.servers import Server

PASSWORD = "s3cret"


def ctl(*words: object, tree: Server | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """One shardctl; with `tree`, its --dir is added."""
    where = ["--dir", str(tree.dir)] if tree is not None else []
    return subprocess.run([sys.executable, "-m", "shardd.ctl.main", *map(str, words), *where], capture_output=True,
                          text=True, env=build.environment() | env, timeout=60, check=False)


def answer(tree: Server, *words: object, code: int = 0) -> Any:
    """What --json prints."""
    done = ctl(*words, "--json", tree=tree)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tree(fresh) -> Iterator[Server]:
    with Server("tree", engines=2, requirepass=PASSWORD) as server:
        with server.conn() as conn:
            conn.must("AUTH", PASSWORD)
            for number in range(100):
                conn.must("SET", f"key:{number}", "x" * 100)
        yield server


# --- status, slots, ping ------------------------------------------------------------------------------------------

def test_status(tree):
    found = answer(tree, "status")
    assert found["ok"] and found["slots_served"] == 16384
    engines = [process for process in found["processes"] if process["kind"] == "engine"]
    assert sum(engine["keys"] for engine in engines) == 100
    assert {process["pid"] for process in found["processes"]} <= {child.pid for child in tree.children()}
    assert "all up: 2 engines, 1 proxy" in ctl("status", tree=tree).stdout


@pytest.mark.parametrize("process", ["proxy 0", "engine 1"])
def test_every_address_leads_to_the_supervisor(tree, process):
    port = next(one["port"] for one in answer(tree, "status")["processes"] if one["name"] == process)
    done = ctl("status", "-p", port, "--json", SHARDD_AUTH=PASSWORD)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["supervisor"]["pid"] == tree.process.pid


def test_the_password_is_asked_for(tree):
    done = ctl("status", "-p", tree.port)
    assert done.returncode == 3 and "NOAUTH" in done.stderr and "--pass" in done.stderr
    done = ctl("status", "-p", tree.port, "--pass", "wrong")
    assert done.returncode == 3 and "WRONGPASS" in done.stderr
    assert ctl("ping", "-p", tree.port, "--user", "default", "--pass", PASSWORD).returncode == 0


def test_slots_know_their_keys(tree):
    found = answer(tree, "slots")
    assert [(row["first"], row["last"], row["engine"]) for row in found["ranges"]] == [(0, 8191, 0), (8192, 16383, 1)]
    assert sum(row["keys"] for row in found["ranges"]) == 100
    where = {row["key"]: row for row in answer(tree, "slots", "foo", "{user}:1", "user")["keys"]}
    assert where["foo"] == where["foo"] | {"slot": 12182, "engine": 1, "tag": None}
    assert where["{user}:1"]["slot"] == where["user"]["slot"] and where["{user}:1"]["tag"] == "user"


def test_ping_over_tcp_asks_the_engines_too(tree):
    done = ctl("ping", "-p", tree.port, "--json", SHARDD_AUTH=PASSWORD)
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in json.loads(done.stdout)["answers"]] == ["engine 0", "engine 1",
                                                                         f"127.0.0.1:{tree.port}"]


def test_an_engine_that_hangs_is_told(start):
    tree = start("tree", engines=2)
    pid = next(one["pid"] for one in answer(tree, "status")["processes"] if one["name"] == "engine 1")
    process = next(child for child in tree.children() if child.pid == pid)
    process.send_signal(signal.SIGSTOP)
    try:
        answers = {one["name"]: one for one in answer(tree, "ping", code=1)["answers"]}
        assert answers["engine 0"]["ok"] and "does not answer" in answers["engine 1"]["error"]
        assert "engine 1" in answer(tree, "status", code=1)["verdict"].lower()
    finally:
        process.send_signal(signal.SIGCONT)
