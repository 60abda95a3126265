"""shardctl against a supervisor of fake children, and against servers that speak CLUSTER over TCP."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "supervisor"))

from trees import Tree, wait_for  # noqa: E402

from harness.servers import free_port  # noqa: E402
from shardd.base.errors import CommandError  # noqa: E402
from shardd.cluster import view  # noqa: E402
from shardd.cluster.topology import UP, EngineInfo, SlotRange, Topology  # noqa: E402
from shardd.ctl import source  # noqa: E402
from shardd.ctl.link import Unreachable  # noqa: E402
from shardd.ctl.main import run  # noqa: E402
from shardd.wire.plain import Decoder, encode_reply  # noqa: E402
from shardd.wire.values import OK, Simple  # noqa: E402


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    one = Tree(tmp_path_factory.mktemp("tree"), conf="# a comment\n")
    yield one.ready()
    one.stop()


def ctl(capsys, *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = run([str(word) for word in words])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    return code, out, err


def test_status_has_a_line_per_process(tree, capsys):
    code, out, err = ctl(capsys, "status", "--dir", tree.dir)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["process", "state", "pid", "port", "core", "uptime", "restarts", "slots", "keys",
                                "memory", "ops/s", "clients"]
    assert lines[1].split()[:3] == ["supervisor", "up", str(tree.process.pid)]
    assert [" ".join(line.split()[:3]) for line in lines[2:5]] == ["engine 0 up", "engine 1 up", "proxy 0 up"]
    assert " 8192 " in lines[2] and "2.0K" in lines[2] and "1m 1s" in lines[2]
    assert lines[6].endswith("all up: 2 engines, 1 proxy, all 16384 slots served, "
                             f"epoch {tree.status()['epoch']}")


def test_status_as_json_has_everything(tree, capsys):
    code, out, _ = ctl(capsys, "status", "--json", "--dir", tree.dir)
    facts = json.loads(out)
    assert code == 0 and facts["ok"] and facts["supervisor"]["pid"] == tree.process.pid
    assert [process["name"] for process in facts["processes"]] == ["engine 0", "engine 1", "proxy 0"]
    assert facts["processes"][0]["used_memory_bytes"] == 2048
    assert facts["slots_served"] == 16384


def test_slots_has_a_line_per_range(tree, capsys):
    code, out, _ = ctl(capsys, "slots", "-s", tree.dir / "run" / "supervisor.sock")
    assert code == 0
    ids = [engine["id"] for engine in tree.stored()["engines"]]
    ports = [engine["port"] for engine in tree.stored()["engines"]]
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["slots", "count", "engine", "port", "state", "keys", "id"]
    assert [row[:5] + row[6:] for row in rows[1:]] == [       # whether the keys are told hangs on what listens there
        ["0-8191", "8192", "0", str(ports[0]), "up", ids[0]], ["8192-16383", "8192", "1", str(ports[1]), "up", ids[1]]]
    code, out, _ = ctl(capsys, "slots", "--json", "--dir", tree.dir)
    assert [(row["first"], row["last"], row["engine"]) for row in json.loads(out)["ranges"]] == [(0, 8191, 0),
                                                                                               (8192, 16383, 1)]


def test_ping_asks_everyone(tree, capsys):
    code, out, _ = ctl(capsys, "ping", "--json", "--dir", tree.dir)
    answers = json.loads(out)["answers"]
    assert (code, [answer["name"] for answer in answers]) == (0, ["supervisor", "engine 0", "engine 1", "proxy 0"])
    assert all(answer["ok"] and answer["us"] > 0 for answer in answers)
    assert ctl(capsys, "ping", "--dir", tree.dir)[1].splitlines()[1].split()[:2] == ["supervisor", "ok"]


def test_the_directory_can_come_from_the_configuration_or_be_the_working_directory(tree, capsys, monkeypatch):
    (tree.dir / "other.conf").write_text(f"dir {tree.dir}\n")
    assert ctl(capsys, "ping", "--conf", tree.dir / "other.conf")[0] == 0
    monkeypatch.chdir(tree.dir)
    assert ctl(capsys, "ping")[0] == 0


def test_a_child_that_is_down_gives_exit_code_1(tmp_path, capsys):
    one = Tree(tmp_path, fail="engine 1", limits={"ENGINES_WAIT_MS": 300, "RESTART_BACKOFF_MIN_MS": 600_000,
                                                  "RESTART_BACKOFF_MAX_MS": 600_000})
    try:
        one.ready()     # which it counts as when engine 0 has had its time, be it up or not
        wait_for(lambda: {one.child("engine 0")["state"], one.child("engine 1")["state"]} == {"up", "backoff"})
        code, out, _ = ctl(capsys, "status", "--dir", tmp_path)
        assert code == 1 and "NOT WELL: " in out and "8192 of 16384 slots are not served" in out and "backoff" in out
        code, out, _ = ctl(capsys, "slots", "--dir", tmp_path)
        assert code == 1 and "down" in out
        code, out, _ = ctl(capsys, "ping", "--dir", tmp_path)
        assert code == 1 and "engine 1 is not running (state backoff)" in out
    finally:
        one.stop()


@pytest.mark.parametrize("words, code, said", [
    (["status", "--dir", "/nonexistent"], 3, "no shardd runs on /nonexistent"),
    (["status", "-s", "/nonexistent/x.sock"], 3, "cannot connect to /nonexistent/x.sock"),
    (["status", "--conf", "/nonexistent.conf"], 2, "can't open config file"),
    (["status", "--dir", ".", "-p", "1"], 2, "exclude each other"),
    (["status", "-p", "0"], 2, "invalid port value"),
    (["status", "-u", "http://x"], 2, "it has the form redis://"),
    (["status", "-u", "redis://x:99999999"], 2, "Port out of range"),
    (["status", "-u", "redis://x", "-p", "1"], 2, "leave -h and -p away"),
    (["status", "--user", "x", "-p", "1"], 2, "--user wants a password"),
    (["frobnicate"], 2, "invalid choice"),
    ([], 2, "COMMAND"),
])
def test_mistakes_have_an_exit_code_and_a_hint(tmp_path, capsys, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHARDD_AUTH", raising=False)
    found, out, err = ctl(capsys, *words)
    assert (found, out) == (code, "")
    assert said in err


def test_nobody_on_the_port(capsys):
    port = free_port()
    code, _, err = ctl(capsys, "status", "-p", port)
    assert code == 3 and f"cannot connect to 127.0.0.1:{port}: Connection refused" in err


def test_where_nothing_is_named_and_nothing_is_found_the_ways_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source, "_open_server", lambda *_: (_ for _ in ()).throw(Unreachable("nobody there")))
    code, _, err = ctl(capsys, "status")
    assert code == 3 and "nobody there" in err and "Say where with --dir" in err


class FakeNode:
    """Answers CLUSTER SHARDS and INFO for a topology, PING, INFO and AUTH with the password `pw`."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.topology = Topology.single(self.port)
        self.auth_needed = False
        self.info = ("redis_mode:cluster\r\nprocess_id:77\r\nused_memory:1024\r\ndb0:keys=3,expires=0\r\n"
                     "db2:keys=4,expires=0\r\n")
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        decoder, known = Decoder(), not self.auth_needed
        while data := client.recv(65536):
            for words in decoder.feed(data):
                known = known or words == [b"AUTH", b"pw"]
                client.sendall(encode_reply(self._answer(words) if known or words[0] == b"AUTH"
                                            else CommandError(b"NOAUTH Authentication required.")))
        client.close()

    def _answer(self, words: list[bytes]):
        match words:
            case [b"PING"]:
                return Simple("PONG")
            case [b"AUTH", b"pw"]:
                return OK
            case [b"AUTH", *_]:
                return CommandError(b"WRONGPASS invalid username-password pair or user is disabled.")
            case [b"CLUSTER", b"SHARDS"]:
                return _flat(view.shards(self.topology))
            case [b"CLUSTER", b"INFO"]:
                return view.info(self.topology)
            case [b"INFO", *_]:
                return self.info
        return CommandError(b"ERR unknown command")


def _flat(value):
    if isinstance(value, dict):
        return [_flat(item) for pair in value.items() for item in pair]
    return [_flat(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def node():
    one = FakeNode()
    yield one
    one.sock.close()


def test_over_tcp_the_cluster_replies_are_read(node, capsys):
    code, out, _ = ctl(capsys, "status", "--json", "-p", node.port)
    facts = json.loads(out)
    assert code == 0 and facts["supervisor"] is None
    [engine] = facts["processes"]
    assert engine == engine | {
        "name": "engine 0", "kind": "engine", "index": 0, "id": node.topology.engines[0].id, "port": node.port,
        "slots": 16384, "state": "up", "pid": 77, "used_memory_bytes": 1024, "keys": 7, "uptime_s": None}
    code, out, _ = ctl(capsys, "slots", "-h", "127.0.0.1", "-p", node.port)
    assert code == 0 and out.splitlines()[1].split()[:6] == ["0-16383", "16384", "0", str(node.port), "up", "7"]
    assert ctl(capsys, "ping", "-p", node.port)[0] == 0
    assert ctl(capsys, "ping", "-u", f"redis://127.0.0.1:{node.port}")[0] == 0


def test_where_to_ask_may_stand_before_the_command_or_behind_it(node, capsys):
    assert json.loads(ctl(capsys, "-p", node.port, "--json", "ping")[1])["ok"]
    assert json.loads(ctl(capsys, "--json", "-h", "127.0.0.1", "ping", "-p", node.port)[1])["ok"]
    code, _, err = ctl(capsys, "-p", node.port, "ping", "--dir", "/x")
    assert code == 2 and "exclude each other" in err


def test_over_tcp_an_engine_that_does_not_answer_is_down(node, capsys):
    nobody = free_port()
    here = node.topology.engines[0]
    there = EngineInfo("e" * 40, "f" * 40, 1, port=nobody, state=UP)
    node.topology = Topology(3, "c" * 40, (here, there), (SlotRange(0, 99, here.id), SlotRange(200, 16383, there.id)))
    code, out, _ = ctl(capsys, "status", "-p", node.port)
    assert code == 1 and "engine 1 is down" in out and "16284 of 16384 slots are not served" in out
    code, out, _ = ctl(capsys, "ping", "--json", "-p", node.port)
    assert (code, [answer["ok"] for answer in json.loads(out)["answers"]]) == (1, [True, False])
    code, out, _ = ctl(capsys, "slots", "-p", node.port)
    assert code == 1 and "not served" in out.splitlines()[2] and out.splitlines()[2].startswith("100-199")


def test_over_tcp_a_password_is_asked_for_and_used(node, capsys, monkeypatch):
    monkeypatch.delenv("SHARDD_AUTH", raising=False)
    node.auth_needed = True
    code, _, err = ctl(capsys, "ping", "-p", node.port)
    assert code == 3 and "NOAUTH" in err and "--pass" in err
    assert ctl(capsys, "ping", "-p", node.port, "-a", "pw")[0] == 0
    assert ctl(capsys, "ping", "-p", node.port, "--pass", "pw")[0] == 0
    assert ctl(capsys, "ping", "-u", f"redis://:pw@127.0.0.1:{node.port}")[0] == 0
    code, _, err = ctl(capsys, "ping", "-p", node.port, "--user", "ada", "--pass", "pw")
    assert code == 3 and "check --user and --pass" in err
    monkeypatch.setenv("SHARDD_AUTH", "pw")
    assert ctl(capsys, "ping", "-p", node.port)[0] == 0


def test_a_server_without_a_cluster_is_told_apart(node, capsys):
    node.info = "redis_mode:standalone\r\nprocess_id:78\r\n"
    code, out, _ = ctl(capsys, "status", "--json", "-p", node.port)
    facts = json.loads(out)
    assert code == 0 and facts["slots_served"] is None
    assert facts["processes"][0]["name"] == f"127.0.0.1:{node.port}" and facts["processes"][0]["kind"] == "server"
    code, _, err = ctl(capsys, "slots", "-p", node.port)
    assert code == 1 and "cluster support disabled" in err


def test_help_and_a_reader_that_leaves(tree, capsys):
    code, out, _ = ctl(capsys, "--help")
    assert code == 0 and "status" in out
    assert ctl(capsys, "status", "--help")[0] == 0
    done = subprocess.run(f"{sys.executable} -m shardd.ctl.main status --dir {tree.dir} | true", shell=True,
                          check=False, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.stderr == ""
    wait_for(lambda: os.path.exists(tree.dir))


def test_the_help_of_a_command_shows_how_to_call_it(capsys):
    code, out, _ = ctl(capsys, "config", "--help")
    assert code == 0 and out.startswith("usage: shardctl config [--help]")
