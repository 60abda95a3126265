"""shardctl against a real tree: one for the whole module, but for tests that end or hang a process."""

import contextlib
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Closed, Conn, build
from harness.servers import Server, free_port

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


# --- clients ------------------------------------------------------------------------------------------------------

def test_clients_are_found_and_ended_on_proxies_and_engines(tree):
    port = next(one["port"] for one in answer(tree, "status")["processes"] if one["name"] == "engine 1")
    with tree.conn() as through, Conn(port) as direct:
        for conn, name in ((through, "through"), (direct, "direct")):
            conn.must("AUTH", PASSWORD)
            conn.must("CLIENT", "SETNAME", name)
        found = {row["name"]: row for row in answer(tree, "clients")["clients"]}
        assert found["through"]["process"] == "proxy 0" and found["direct"]["process"] == "engine 1"
        assert found["through"]["id"] == through("CLIENT ID") and found["through"]["cmd"] == "client|setname"
        assert "/run/" not in str(found), "the links within the tree are not clients"
        done = answer(tree, "clients", "kill", "-f", "name=direct")
        assert done["killed"] == [found["direct"]["id"]]
        with pytest.raises(Closed):
            direct("PING")
        assert through("PING")
    assert ctl("clients", "kill", found["direct"]["id"], "--on", "engines", tree=tree).returncode == 1


def test_clients_of_several_proxies(start):
    tree = start("tree", engines=1, proxies=2)
    wait_until(lambda: ctl("status", tree=tree).returncode == 0)
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(tree.conn()) for _ in range(32)]
        ids = {conn("CLIENT ID") for conn in conns}
        found = {row["id"]: row["process"] for row in answer(tree, "clients", "--on", "proxies")["clients"]}
        assert set(found) == ids and set(found.values()) == {"proxy 0", "proxy 1"}
        done = answer(tree, "clients", "kill", *sorted(ids)[:5])
        assert sorted(done["killed"]) == sorted(ids)[:5] and done["gone"] == []


# --- top, latency, doctor -----------------------------------------------------------------------------------------

def test_top_sees_what_happens(tree):
    process = subprocess.Popen([sys.executable, "-m", "shardd.ctl.main", "top", "--json", "-c", "2", "-i", "1", "--dir",
                                str(tree.dir)], stdout=subprocess.PIPE, text=True, env=build.environment())
    with tree.conn() as conn:
        conn.must("AUTH", PASSWORD)
        while process.poll() is None:
            for number in range(100):
                conn.must("GET", f"key:{number}")
    frames = [json.loads(line) for line in process.stdout.read().splitlines()]
    process.stdout.close()
    assert process.returncode == 0 and len(frames) == 2
    assert frames[1]["total"]["proxy_ops"] > 10 and frames[1]["total"]["hit_percent"] == 100
    assert "get" in [row["name"] for row in frames[1]["commands"]]
    assert all(one["state"] == "up" for one in frames[1]["processes"])
    assert frames[1]["total"]["p99_us"] >= frames[1]["total"]["p50_us"] > 0


def test_latency(tree):
    with tree.conn() as conn:
        conn.must("AUTH", PASSWORD)
        conn.must("SET", "key:0", "x" * 100)
        for number in range(100):       # enough that a sample is among them
            conn.must("GET", f"key:{number}")
    found = answer(tree, "latency")
    assert {"get", "set"} <= {row["name"] for row in found["commands"]}
    assert {row["part"] for row in found["proxies"]} == {"queue", "engine", "network", "total"}
    probes = answer(tree, "latency", "probe", "-c", 50)["probes"]
    assert [(row["process"], row["count"]) for row in probes] == [("engine 0", 50), ("engine 1", 50), ("proxy 0", 50)]
    with tree.conn() as conn:
        conn.must("AUTH", PASSWORD)
        conn.must("DEBUG SLEEP 0.05")
    assert "debug sleep 0.05" in [row["command"].lower() for row in answer(tree, "latency", "slow")["slow"]]
    assert [row["process"] for row in answer(tree, "latency", "doctor")["reports"]] == ["engine 0", "engine 1"]


def test_doctor_finds_an_engine_that_was_set_alone(tree):
    with Conn(str(tree.dir / "run" / "engine-1.sock")) as conn:
        conn.must("CONFIG SET maxmemory 123456789")
        found = answer(tree, "doctor", "configuration", code=1)
        assert [(one["where"], one["fix"].split(" --dir")[0]) for one in found["findings"]] == [
            ("engine 1", "shardctl config set maxmemory 0")]
        assert ctl(*found["findings"][0]["fix"].split()[1:]).returncode == 0
    assert answer(tree, "doctor", "configuration")["ok"]


def test_doctor_looks_at_everything(tree):
    done = ctl("doctor", "--json", tree=tree)
    found = json.loads(done.stdout)
    tree_checks = {"processes", "supervisor", "epoch", "slots", "configuration", "versions", "replies"}
    assert not [one for one in found["findings"] if one["check"] in tree_checks], found
    assert [one["where"] for one in found["findings"] if one["check"] == "persistence"] == ["appendonly"]
    assert done.returncode == (0 if found["ok"] else 1)


# --- config -------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def tree_of_file(directory: Path) -> Iterator[Path]:
    """A tree that has a configuration file; gives its path."""
    conf = directory / "shardd.conf"
    conf.write_text(f"# mine\nport {free_port()}\nbind 127.0.0.1\nengines 2\ndir {directory}\nmaxclients 500\n")
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "shardd.supervisor.main", str(conf)], cwd=directory,
                                   stdout=log, stderr=log, env=build.environment(), start_new_session=True)
    try:
        wait_until(lambda: ctl("status", "--conf", conf).returncode == 0)
        yield conf
    finally:
        process.terminate()
        process.wait(20)


def test_options_are_set_compared_written_and_read_again(tmp_path, fresh):
    with tree_of_file(tmp_path) as conf:
        where = ("--conf", conf)
        assert ctl("config", "diff", *where).returncode == 0, ctl("config", "diff", *where).stdout
        done = ctl("config", "set", "maxclients", 400, "slowlog-max-len", 5, *where)
        assert done.returncode == 0 and "maxclients is 400 now" in done.stdout
        assert ctl("config", "get", *where).returncode == 0, "every process agrees"
        found = json.loads(ctl("config", "diff", "--json", *where).stdout)
        assert [(row["name"], row["running"], row["in_file"]) for row in found["differences"]] == [
            ("maxclients", "400", "500"), ("slowlog-max-len", "5", "128")]
        assert ctl("config", "rewrite", *where).returncode == 0
        assert ctl("config", "diff", *where).returncode == 0
        assert conf.read_text().startswith("# mine\n") and "maxclients 400" in conf.read_text()
        conf.write_text(conf.read_text().replace("maxclients 400", "maxclients 300\ndatabases 32"))
        done = ctl("reload", *where)
        assert done.returncode == 0 and "maxclients is 300 now, was 400" in done.stdout
        assert "databases is 32" in done.stdout and "restart" in done.stdout
        found = json.loads(ctl("config", "diff", "--json", *where).stdout)
        assert [(row["name"], row["takes"]) for row in found["differences"]] == [("databases", "restart")]
        advice = json.loads(ctl("doctor", "configuration", "--json", *where).stdout)["findings"]
        assert [one["where"].split("/")[-1] for one in advice] == ["shardd.conf:7"]
        conf.write_text("maxclients many\n")
        assert ctl("reload", *where).returncode == 2, "the file does not tell where the tree is"
        done = ctl("reload", "--dir", tmp_path)
        assert done.returncode == 1 and "maxclients" in done.stderr and "shardd.conf:1" in done.stderr


# --- restart, logs ------------------------------------------------------------------------------------------------

def test_restarts(start):
    tree = start("tree", engines=2)
    pids = {one["name"]: one["pid"] for one in answer(tree, "status")["processes"]}
    with tree.conn() as conn:
        conn.must("SET", "foo", "bar")      # slot 12182: engine 1
    assert answer(tree, "restart", "proxies")["steps"]
    done = ctl("restart", "engines", tree=tree)
    assert done.returncode == 1 and "1 key" in done.stderr and "--lose-data" in done.stderr
    assert ctl("restart", "engine", "0", tree=tree).returncode == 0, "it holds no key"
    now = {one["name"]: one["pid"] for one in answer(tree, "status")["processes"]}
    assert now["proxy 0"] != pids["proxy 0"] and now["engine 0"] != pids["engine 0"]
    assert now["engine 1"] == pids["engine 1"]
    assert ctl("restart", "engine-1", "--lose-data", tree=tree).returncode == 0
    done = ctl("restart", "engine", "7", tree=tree)
    assert done.returncode == 1 and done.stderr == "shardctl: there is no engine 7\n"


def test_logs_are_shown_and_followed(tree):
    lines = ctl("logs", "-n", 1000, tree=tree).stdout.splitlines()
    assert any("Ready to accept connections" in line for line in lines)
    roles = {json.loads(line)["role"] for line in ctl("logs", "engine", "0", "--json", tree=tree).stdout.splitlines()}
    assert roles == {"engine"}
    process = subprocess.Popen([sys.executable, "-m", "shardd.ctl.main", "logs", "-f", "-n", "0", "--dir",
                                str(tree.dir)], stdout=subprocess.PIPE, text=True, env=build.environment())
    try:
        wait_until(lambda: ctl("reload", tree=tree).returncode is not None and select.select(
            [process.stdout], [], [], 0.2)[0])
        assert process.stdout.readline()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
