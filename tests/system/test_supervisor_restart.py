"""Rolling restarts of the real tree while clients work: nobody is refused, and every command that ran was answered."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness import OK, Closed, Conn, Error, build, encode
from harness.servers import Server

WAIT_S = 30


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def supervisor(tree: Server, *words: object) -> Any:
    with Conn(str(tree.dir / "run" / "supervisor.sock")) as conn:
        return conn(*words)


def stream(tree: Server, *words: object) -> tuple[list[str], Any]:
    with Conn(str(tree.dir / "run" / "supervisor.sock"), timeout_s=WAIT_S) as conn:
        conn.send(encode(*words))
        items = []
        while isinstance(value := conn.read(), bytes):
            items.append(value.decode())
        return items, value


def facts(tree: Server) -> dict[str, Any]:
    return json.loads(supervisor(tree, "SHARDD", "STATUS"))


class Client(threading.Thread):
    """Counts up keys of its own, in pipelines of `depth`, and connects again when it is disconnected.

    Every INCR that was executed has been answered: the last reply says how often it was.
    """

    def __init__(self, address: int | str, name: str, depth: int, stop: threading.Event, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.address, self.name_, self.depth, self.stop, self.pause_s = address, name, depth, stop, pause_s
        self.answered = self.reconnects = 0
        self.failure: object = None
        self.start()

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                with Conn(self.address, timeout_s=WAIT_S) as conn:
                    self.serve(conn)
        except Exception as error:
            self.failure = error

    def serve(self, conn: Conn) -> None:
        try:
            while not self.stop.is_set():
                conn.send(encode("INCR", f"count:{self.name_}") * self.depth)
                for _ in range(self.depth):
                    value = conn.read()
                    assert value == self.answered + 1, (value, self.answered)
                    self.answered += 1
                time.sleep(self.pause_s)
        except (Closed, ConnectionResetError, BrokenPipeError):
            self.reconnects += 1


@pytest.mark.parametrize("proxies", [1, 2])
def test_proxies_hand_over_while_clients_work(start, tmp_path, proxies):
    tree = start("tree", engines=2, proxies=proxies, proxy_drain_seconds=1, unixsocket=tmp_path / "s")
    before = {f"{c['kind']} {c['index']}": c["pid"] for c in facts(tree)["children"]}
    stop = threading.Event()
    clients = [Client(address, f"{depth}:{pause_s}:{number}", depth, stop, pause_s)
               for number, address in enumerate((tree.port, tree.port, str(tmp_path / "s")))
               for depth, pause_s in ((1, 0.001), (50, 0.001), (1, 0.7))]
    idle = Conn(tree.port)
    assert idle("PING")
    try:
        time.sleep(0.2)
        said, end = stream(tree, "SHARDD", "RESTART", "PROXIES")
        assert end == OK, said
        assert all(client.is_alive() for client in clients), [client.failure for client in clients]
        eventually(lambda: not facts(tree)["draining"])
        eventually(lambda: all(client.reconnects or not client.is_alive() for client in clients))
    finally:
        stop.set()
        for client in clients:
            client.join(WAIT_S)
    after = {f"{c['kind']} {c['index']}": c["pid"] for c in facts(tree)["children"]}
    assert all((after[name] != pid) is name.startswith("proxy") for name, pid in before.items())
    assert [client.failure for client in clients] == [None] * len(clients)
    assert idle.closed()
    with tree.conn() as conn:
        for client in clients:
            assert int(conn.must("GET", f"count:{client.name_}")) == client.answered, client.name_
    assert "it is killed" not in tree.log() and "Traceback" not in tree.log()


def test_a_long_command_is_answered_by_the_old_proxy(start):
    tree = start("tree", engines=1, proxy_drain_seconds=0)
    with tree.conn() as conn:
        conn.must("SET", "k", "v")
        conn.send(encode("DEBUG", "SLEEP", "1.5") + encode("GET", "k"))
        time.sleep(0.1)
        old = facts(tree)["children"][1]["pid"]
        assert stream(tree, "SHARDD", "RESTART", "PROXY", 0)[1] == OK
        assert facts(tree)["children"][1]["pid"] != old
        assert conn.read() == OK
        assert conn.read() == b"v"
        assert conn.closed()


def test_a_slow_reader_that_goes_on_sending_gets_all_replies(start):
    tree = start("tree", engines=1, proxy_drain_seconds=0)
    with tree.conn() as conn:
        conn.must("SET", "k", "v" * 100_000)
        conn.send(encode("GET", "k") * 100 + encode("INCR", "n"))
        time.sleep(0.1)
        assert stream(tree, "SHARDD", "RESTART", "PROXY", 0)[1] == OK
        for _ in range(100):
            assert len(conn.read()) == 100_000
            with contextlib.suppress(OSError):
                conn.send(encode("INCR", "m"))
            time.sleep(0.005)
        assert conn.read() == 1
    with tree.conn() as conn:
        assert conn("GET", "n") == b"1"


def test_engines_come_back_one_by_one_and_waiting_commands_are_served(start):
    tree = start("tree", engines=2)
    with tree.conn() as conn:
        conn.must("SET", "a", "1")
        said, end = stream(tree, "SHARDD", "RESTART", "ENGINES")
        assert said == [] and "1 keys, which a restart would lose" in str(end)
        assert conn("GET", "a") == b"1"
        ports = [c["port"] for c in facts(tree)["children"] if c["kind"] == "engine"]
        stop, refused, served = threading.Event(), [], [0]

        def knock() -> None:
            while not stop.is_set():
                for port in ports:
                    try:
                        with Conn(port) as direct:
                            served[0] += not isinstance(direct("PING"), Error)
                    except ConnectionRefusedError as error:
                        refused.append(error)
                    except (Closed, ConnectionResetError):
                        pass    # it was the engine that stopped

        thread = threading.Thread(target=knock)
        thread.start()
        try:
            said, end = stream(tree, "SHARDD", "RESTART", "ENGINES", "LOSE-DATA")
        finally:
            stop.set()
            thread.join()
        assert end == OK and len(said) == 4 and not refused and served[0] > 10
        assert conn("DBSIZE") == 0 and conn("SET", "a", "2") == OK


def test_shardctl_restarts_and_reloads(start, tmp_path):
    conf = tmp_path / "shardd.conf"
    conf.write_text("slowlog-max-len 50\n")

    def ctl(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "shardd.ctl.main", *words, "--dir", str(tree.dir)],
                              capture_output=True, text=True, env=build.environment(), timeout=60, check=False)

    tree = start("tree", engines=1)
    done = ctl("restart", "proxies")
    assert done.returncode == 0 and "Proxy 0 is pid" in done.stdout, done.stdout + done.stderr
    assert ctl("reload").returncode == 0
    done = ctl("logs", "supervisor")
    assert done.returncode == 0 and "Ready to accept connections" in done.stdout


def test_a_file_that_is_read_again_changes_engines_and_proxies(start, tmp_path):
    from harness.servers import COMMANDS
    conf = tmp_path / "shardd.conf"
    conf.write_text("slowlog-max-len 50\nmaxmemory 100mb\nlfu-log-factor 10\n")
    COMMANDS["tree-with-file"] = lambda: [*COMMANDS["tree"](), str(conf)]
    from harness import servers
    servers.DEFAULTS["tree-with-file"] = servers.DEFAULTS["tree"]
    tree = start("tree-with-file", engines=2)
    engine = facts(tree)["children"][0]["port"]
    conf.write_text("slowlog-max-len 60\nmaxmemory 200mb\nlfu-log-factor 11\ndatabases 20\n")
    os.kill(tree.process.pid, 1)
    with tree.conn() as conn, Conn(engine) as direct:
        eventually(lambda: conn("CONFIG", "GET", "slowlog-max-len") == [b"slowlog-max-len", b"60"])
        eventually(lambda: direct("CONFIG", "GET", "maxmemory")[1] == b"%d" % (100 * 2**20))
        assert conn("CONFIG", "GET", "maxmemory", "lfu-log-factor", "databases") == [
            b"maxmemory", b"%d" % (200 * 2**20), b"lfu-log-factor", b"11", b"databases", b"16"]
        assert conn("SELECT", 18).code == "ERR"
        assert stream(tree, "SHARDD", "RESTART", "ALL")[1] == OK
    with tree.conn() as conn:
        assert conn("SELECT", 18) == OK and conn("SET", "a", "1") == OK
