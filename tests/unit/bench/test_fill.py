"""Keys over plain sockets."""
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from bench import fill
from bench.servers import BenchError
from harness.resp import encode, words
from shardd.wire.plain import Decoder


def test_a_command():
    assert fill.template(3) % 5 == encode(*words(("SET", "key:000000000005", "xxx")))
    assert fill.template(1, 99) % 12 == encode(*words(("SET", "key:000000000012", "x", "PXAT", "99")))


@pytest.mark.parametrize("keys, pipeline, counts", [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 64, [3]), (0, 4, [])])
def test_pipelines_have_each_key_once(keys, pipeline, counts):
    made = list(fill.pipelines(keys, pipeline, fill.template(1)))
    assert [count for _, count in made] == counts
    commands = Decoder().feed(b"".join(request for request, _ in made))
    assert [command[1] for command in commands] == [b"key:%012d" % i for i in range(keys)]


class FakeServer:
    """Answers each command with what `reply` says of its number."""

    def __init__(self, reply) -> None:
        self.reply = reply
        self.keys: list[bytes] = []
        self.lock = threading.Lock()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=[self.sock.accept()[0]], daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        decoder = Decoder()
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(1 << 16):
                with self.lock:
                    for command in decoder.feed(data):
                        self.keys.append(command[1])
                        answer = self.reply(len(self.keys))
                        if answer is None:
                            return
                        sock.sendall(answer)


@pytest.fixture
def serve() -> Iterator:
    started = []

    def start(reply) -> FakeServer:
        started.append(FakeServer(reply))
        return started[-1]

    yield start
    for server in started:
        server.sock.close()


def test_every_key_arrives_once(serve):
    server = serve(lambda number: b"+OK\r\n")
    assert fill.fill(server.port, 1003, 8, pipeline=16, clients=7) > 0
    assert sorted(server.keys) == [b"key:%012d" % i for i in range(1003)]


def test_an_error_ends_it(serve):
    server = serve(lambda number: b"+OK\r\n" if number < 10 else b"-OOM no more\r\n")
    with pytest.raises(BenchError, match="refused a key: -OOM no more"):
        fill.fill(server.port, 100, 8, pipeline=16, clients=1)


def test_a_server_that_goes_away_ends_it(serve):
    server = serve(lambda number: b"+OK\r\n" if number < 10 else None)
    with pytest.raises((BenchError, OSError)):
        fill.fill(server.port, 100, 8, pipeline=16, clients=1)
