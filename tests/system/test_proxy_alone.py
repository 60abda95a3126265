"""A proxy by itself, in front of engines that somebody else runs: here real Redis servers, which know nothing of us."""
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.alone import run, topology
from harness.conn import Conn
from harness.resp import OK, Error, Status, encode
from harness.servers import Server, free_port


@pytest.fixture
def proxied(start: Callable[..., Server], tmp_path: Path, fresh: None) -> Iterator[tuple[int, subprocess.Popen]]:
    servers = [start("oracle") for _ in range(3)]
    port = free_port()
    process = run("--topology", topology(tmp_path / "t.json", servers), "--port", port, "--bind", "127.0.0.1")
    deadline = time.monotonic() + 30
    while True:
        try:
            Conn(port).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    yield port, process
    process.kill()
    process.communicate()


def test_three_redis_servers_behave_like_one(proxied):
    c = Conn(proxied[0])
    pairs = {f"key:{n}".encode(): b"%d" % n for n in range(300)}
    assert c("MSET", *[word for pair in pairs.items() for word in pair]) == OK
    assert c("MGET", *pairs) == list(pairs.values())
    assert c("DBSIZE") == 300
    assert set(c("KEYS", "*")) == set(pairs)
    assert c("EXISTS", *pairs, "nosuch") == 300
    assert c("INCR", "key:7") == 8
    assert c("DEL", *list(pairs)[:100]) == 100
    assert c("RANDOMKEY") in pairs
    assert c("OBJECT", "ENCODING", "key:200") == b"int"
    assert b"db0:keys=200," in c("INFO", "keyspace")
    assert c("SET", "key:7") == Error("ERR wrong number of arguments for 'set' command")
    assert c("LPUSH", "{l}", "a", "b") == 2
    assert c("GET", "{l}") == Error("WRONGTYPE Operation against a key holding the wrong kind of value")
    three = Conn(proxied[0], resp=3)
    assert three("HSET", "h", "f", "v") == 1
    assert three("HGETALL", "h") == {b"f": b"v"}
    assert c("HGETALL", "h") == [b"f", b"v"]
    assert c("FLUSHALL") == OK and c("DBSIZE") == 0


def test_what_one_connection_owns_is_refused(proxied):
    c = Conn(proxied[0])
    for command in (["SUBSCRIBE", "c"], ["MONITOR"], ["SYNC"], ["WAIT", "1", "0"]):
        assert c(*command) == Error(f"ERR '{command[0].lower()}' is not supported through the proxy")
    assert c("PING") == Status("PONG")


def test_databases_of_many_clients(proxied):
    conns = [Conn(proxied[0], db=n) for n in range(8)]
    for n, c in enumerate(conns):
        for key in range(20):
            c.send(encode("SET", f"k{key}", n))
    for c in conns:
        assert [c.read() for _ in range(20)] == [OK] * 20
    for n, c in enumerate(conns):
        assert c("MGET", *[f"k{key}" for key in range(20)]) == [b"%d" % n] * 20
        assert c("DBSIZE") == 20


def test_it_stops_on_a_signal_and_says_so(proxied):
    _, process = proxied
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Received SIGTERM" in output and "Bye" in output


def test_shutdown_ends_the_proxy_alone(proxied):
    port, process = proxied
    c = Conn(port)
    c.send(encode("SHUTDOWN", "NOSAVE"))
    assert c.closed()
    assert process.wait(10) == 0


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "a proxy needs engines"),
    (["--topology"], "--topology: a file is missing"),
    (["--topology", "/nosuch"], "No such file"),
    (["--topology", __file__], "not JSON"),
    (["--nosuch", "1"], "unknown option"),
    (["--port", "x"], "port"),
])
def test_mistakes_end_it_before_it_listens(arguments, message, fresh):
    process = run(*arguments)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert message in output and len(output.splitlines()) == 1


def test_a_port_in_use_is_named(start, tmp_path):
    server = start("oracle")
    process = run("--topology", topology(tmp_path / "t.json", [server]), "--port", server.port, "--bind", "127.0.0.1")
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"127.0.0.1:{server.port}" in output and "Address already in use" in output
