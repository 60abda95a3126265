"""Servers that are measured: how they are named, started, and ended with all they spawned."""
import os
import shlex
import sys
import tempfile

import psutil
import pytest

from bench import accounting, servers
from bench.servers import BenchError, Server, Spec

# answers PING with PONG and all else with 0; leaves a child behind when it is asked to go
FAKE = """
import socket, subprocess, sys
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    sock, _ = listener.accept()
    while data := sock.recv(1000):
        sock.sendall(b"+PONG\\r\\n" if b"PING" in data else b":0\\r\\n")
"""


def python(text: str, *argv: str) -> str:
    return shlex.join([sys.executable, "-c", text, *argv])


@pytest.mark.parametrize("text, name, command", [
    ("a=b {port}", "a", "b {port}"), ("a b = c --x=y --port {port} ", "a b", "c --x=y --port {port}")])
def test_a_spec(text, name, command):
    assert Spec.parse(text) == Spec(name, command)


@pytest.mark.parametrize("text", ["redis-server", "=x {port}", "x=", "x=redis-server --port 7000"])
def test_what_is_no_spec(text):
    with pytest.raises(ValueError):
        Spec.parse(text)


def test_placeholders_stay_in_their_words():
    assert Spec("x", "run 'a {dir}' --p={port} ''").argv(7000, "/d e") == ["run", "a /d e", "--p=7000", ""]


def test_ours_and_redis(monkeypatch, tmp_path):
    assert servers.engine().argv(7, "/d") == [sys.executable, "-m", "shardd.engine.main", "--port", "7", "--save", "",
                                             "--appendonly", "no", "--dir", "/d"]
    assert servers.whole_tree().argv(7, "/d")[2] == "shardd.supervisor.main"
    redis = servers.redis()
    assert redis is not None and redis.argv(7, "/d")[1:] == [
        "--port", "7", "--save", "", "--appendonly", "no", "--dir", "/d"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.redis() is None


def test_a_server_ends_with_everything_it_spawned():
    core = min(os.sched_getaffinity(0))
    with Server(Spec("fake", python(FAKE, "{port}")), {core}) as server:
        connection = server.connect()
        assert connection.call("PING") == "PONG" and connection.call("DBSIZE") == 0
        connection.close()
        family = [psutil.Process(pid) for pid in accounting.tree(server.pid)]
        assert len(family) == 2
        assert [one.cpu_affinity() for one in family] == [[core], [core]]
    psutil.wait_procs(family, timeout=20)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)
    assert not os.path.exists(server.dir)


@pytest.mark.parametrize("command, error", [
    (python("raise SystemExit('no luck today')"), "broken did not come up: no luck today"),
    ("/nonexistent/server", "broken cannot be run")])
def test_a_server_that_does_not_come_up(command, error, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(BenchError, match=error):
        with Server(Spec("broken", command)):
            pass
    assert list(tmp_path.glob("shardd-bench-*/server.log")), "it stays, for whoever wants to know why"


def test_info():
    text = "# Server\r\nredis_version:7.0.15\r\nexecutable:/a:b\r\n\r\n# Keyspace\r\n"
    assert servers.parse_info(text) == {"redis_version": "7.0.15", "executable": "/a:b"}


@pytest.mark.parametrize("info, text", [
    ({"redis_version": "7.0.15"}, "redis 7.0.15"),
    ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}, "valkey 9.1.2"), ({}, "redis ?")])
def test_versions(info, text):
    assert servers.version(info) == text
