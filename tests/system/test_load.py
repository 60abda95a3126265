"""shardd-bench as users run it: against an engine, a tree, a cluster and a real Redis."""
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import build
from harness.conn import Conn
from harness.servers import Server


def launch(*argv: object) -> subprocess.Popen:
    env = build.environment()
    return subprocess.Popen([sys.executable, "-m", "bench.load.main", *map(str, argv)], env=env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def bench(*argv: object, code: int = 0) -> str:
    """Its output. The JSON of a run, where that is asked for."""
    process = launch(*argv)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out if code == 0 else err


def runs(*argv: object) -> list[dict]:
    return json.loads(bench(*argv, "--json", "-"))["runs"]


def info(conn: Conn, section: str) -> dict[str, str]:
    """The fields of a section of INFO."""
    lines = conn.must("INFO", section).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


@pytest.fixture(scope="module")
def tree(fresh: None):
    with Server("tree", engines=3).start() as server:
        yield server


@pytest.fixture(scope="module")
def engine(fresh: None):
    with Server("engine", unixsocket="engine.sock").start() as server:
        yield server


@pytest.mark.parametrize("options", [
    (), ("-P", 16, "--processes", 2), ("--resp3", "--db", 2), ("-P", 3, "-d", "0-3000")])
def test_every_key_once_then_all_are_found(engine, options):
    with engine.conn() as conn:
        conn.must("FLUSHALL")
        fill, = runs("-p", engine.port, "-t", "set", "--distribution", "sequential", "-r", 5003, "-d", 8, *options)
        assert (fill["commands"], fill["errors"]) == (5003, 0)
        conn.must("SELECT", 2 if "--db" in options else 0)
        assert conn("DBSIZE") == 5003
        before = int(info(conn, "stats")["total_commands_processed"])
        get, = runs("-p", engine.port, "-t", "get", "-n", 20_000, "-r", 5003, "--distribution", "zipfian", *options)
        after = int(info(conn, "stats")["total_commands_processed"])
    assert (get["commands"], get["errors"], get["nulls"], get["latency_us"]["count"]) == (20_000, 0, 0, 20_000)
    assert 20_000 <= after - before <= 20_000 + 300, "what was counted was sent, besides the handshakes"


def test_over_a_unix_socket(engine):
    run, = runs("-s", Path(engine.options["dir"]) / "engine.sock", "-t", "ping", "-n", 1000)
    assert run["commands"] == 1000 and run["errors"] == 0


def test_through_a_tree(tree):
    found = runs("-p", tree.port, "--fill", "-r", 2000, "--reads", 0.8, "-n", 20_000, "-P", 8, "--seed", 1)
    assert found[0]["commands"] == 20_000 and found[0]["errors"] == found[0]["nulls"] == 0
    share = found[0]["by_command_us"]["get"]["count"] / 20_000
    assert 0.78 < share < 0.82


def test_a_cluster_s_engines_are_asked_directly(tree):
    """Through the slots that the proxy tells: every key once, every command at the engine that owns it."""
    with tree.conn() as conn:
        conn.must("FLUSHALL")
        fill, = runs("-p", tree.port, "--cluster", "-t", "set", "--distribution", "sequential", "-r", 3001, "-P", 4,
                     "--processes", 2)
        assert (fill["commands"], fill["errors"], fill["moved"], fill["connections"]) == (3001, 0, 0, 150)
        assert conn("DBSIZE") == 3001
    mix, = runs("-p", tree.port, "--cluster", "--command", "MGET {__rand_1st__}a {__rand_1st__}b", "--command", "PING",
                "--ratio", 3, "--ratio", 1, "-n", 5000, "--resp3")
    assert (mix["commands"], mix["errors"], mix["moved"]) == (5000, 0, 0)


@pytest.mark.parametrize("options", [(), ("--cluster",)])
def test_a_rate(tree, options):
    run, = runs("-p", tree.port, "-t", "get", "--rate", 2000, "--duration", 1, "--warmup", 0.2, "-c", 10, *options)
    # what was due in the warm-up and answered behind it counts as well: all 400 at the very most
    assert 2000 <= run["commands"] <= 2400 and run["unsent"] == run["unanswered"] == 0
    assert run["commands"] - 400 <= run["late_us"]["count"] <= run["commands"] and run["late_us"]["min"] >= 0


def test_a_real_redis(start):
    server = start("oracle")
    run, = runs("-p", server.port, "-t", "lpush", "-n", 1000, "-P", 10)
    assert run["commands"] == 1000 and run["errors"] == 0
    with server.conn() as conn:
        assert conn("LLEN", "mylist") == 1000


def test_a_password(start):
    server = start("oracle", requirepass="secret")
    assert runs("-p", server.port, "-a", "secret", "-t", "ping", "-n", 10)[0]["errors"] == 0
    assert runs("-p", server.port, "-a", "secret", "--user", "default", "-3", "-t", "ping", "-n", 10)[0]["errors"] == 0
    assert "refuses the connection: WRONGPASS" in bench("-p", server.port, "-a", "wrong", "-t", "ping", code=1)
    run, = runs("-p", server.port, "-t", "ping", "-n", 10)
    assert run["error_texts"] == {"NOAUTH Authentication required.": 10}


def test_what_is_printed(engine, tmp_path):
    text = bench("-p", engine.port, "-t", "ping", "-n", 500, "--histogram", "--plot", tmp_path / "x.svg",
                 "--json", tmp_path / "x.json")
    assert text.startswith("ping: 500 commands in") and "| p99.99 |" in text and "ms" in text.splitlines()[-2]
    assert json.loads((tmp_path / "x.json").read_text())["runs"][0]["commands"] == 500
    assert (tmp_path / "x.svg").stat().st_size > 1000
    assert bench("-p", engine.port, "-t", "ping", "-n", 10, "--csv").splitlines()[1].startswith('"PING","')


def test_errors_are_counted_and_a_wrong_form_stops(engine):
    run, = runs("-p", engine.port, "--command", "NOSUCH", "-n", 100)
    assert run["error_texts"] == {"ERR unknown command 'NOSUCH', with args beginning with: ": 100}
    assert "no connection to" in bench("-p", 1, "-n", 5, code=1)
    assert "cluster support disabled" in bench("-p", engine.port, "--cluster", code=1)
    assert "no test is named" in bench("-t", "fly", code=2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=rude, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        assert "ping was answered by 'HTTP/1.1 400" in bench("-p", port, "-t", "ping", "-c", 1, code=1)


def rude(listener: socket.socket) -> None:
    """A server that speaks another language."""
    sock, _ = listener.accept()
    with sock:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.recv(1000)


def busy(server: Server) -> None:
    """Returns when commands have come."""
    with server.conn() as conn:
        while int(info(conn, "stats")["total_commands_processed"]) < 200:
            time.sleep(0.01)


def test_a_server_that_goes_ends_the_run(start):
    server = start("oracle")
    process = launch("-p", server.port, "-t", "ping", "--duration", 30)
    busy(server)
    server.signal(signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1 and ("closed a connection" in err or "broke" in err), err


def test_an_interrupt_ends_with_what_there_is(engine):
    with engine.conn() as conn:
        conn.must("CONFIG RESETSTAT")
    process = launch("-p", engine.port, "-t", "ping", "--duration", 30, "--processes", 2)
    busy(engine)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "interrupted: these are the figures up to then" in out


def test_a_server_that_stands_still_is_felt_by_all_who_were_due(start):
    """SIGSTOP for half a second, at 1,000 commands a second: who was due in its first 400 ms waited 100 at least."""
    server = start("oracle")
    process = launch("-p", server.port, "-t", "ping", "--rate", 1000, "--duration", 2, "-c", 5, "--json", "-")
    busy(server)
    server.signal(signal.SIGSTOP)
    time.sleep(0.5)
    server.signal(signal.SIGCONT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    run, = json.loads(out)["runs"]
    assert run["commands"] == run["latency_us"]["count"] == 2000 and run["unsent"] == run["unanswered"] == 0
    below = max((q for q, us in run["spectrum_us"] if us <= 100_000), default=0.0)
    assert 2000 * (1 - below / 100) >= 399
