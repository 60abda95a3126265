"""Connections: what goes wrong on the way, and many processes at once."""

import socket
import threading

import pytest

from shardd.base.errors import CommandError
from shardd.ctl.link import Connection, Login, Node, Unreachable, ask, shown
from shardd.wire.plain import Decoder, encode_reply
from shardd.wire.values import OK


class Peer:
    """Answers each request with what `answer` gives, bytes as they are; None closes."""

    def __init__(self, answer):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = self.sock.getsockname()
        self.answer = answer
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        decoder = Decoder()
        with client:
            while data := client.recv(65536):
                for words in decoder.feed(data):
                    reply = self.answer(words)
                    if reply is None:
                        return
                    client.sendall(reply if isinstance(reply, bytes) else encode_reply(reply))


@pytest.fixture
def peer():
    made = []

    def make(answer):
        made.append(Peer(answer))
        return made[-1]

    yield make
    for one in made:
        one.sock.close()


@pytest.mark.parametrize("answer, said", [
    (lambda words: None, "closed the connection"), (lambda words: b"!what\r\n", "does not speak RESP"),
    (lambda words: b"", "does not answer: nothing came for")])
def test_what_goes_wrong_is_unreachable(peer, answer, said):
    connection = Connection(peer(answer).address, timeout_ms=200)
    with pytest.raises(Unreachable, match=said):
        connection.call("PING")
    connection.close()


def test_an_error_reply_is_an_error(peer):
    connection = Connection(peer(lambda words: CommandError(b"ERR no")).address)
    with pytest.raises(CommandError, match="ERR no"):
        connection.call("PING")
    connection.close()


@pytest.mark.parametrize("login, words", [
    (Login(), ()), (Login(password="p"), ("AUTH", "p")), (Login("u", "p"), ("AUTH", "u", "p"))])
def test_logging_in(peer, login, words):
    seen = []
    Connection(peer(lambda words: seen.append(words) or OK).address, login).close()
    assert seen == ([[word.encode() for word in words]] if words else [])


@pytest.mark.parametrize("text, said", [
    (b"WRONGPASS invalid", "check --user and --pass"),
    (b"ERR AUTH <password> called without any password configured for the default user.", "give none")])
def test_being_refused(peer, text, said):
    with pytest.raises(Unreachable, match=said):
        Connection(peer(lambda words: CommandError(text)).address, Login(password="p"))


def test_replies_that_come_in_pieces_and_in_a_row(peer):
    connection = Connection(peer(lambda words: b"+one\r\n*2\r\n:1\r\n$3\r\nabc\r\n").address)
    connection.send("A")
    assert connection.receive() == "one" and connection.receive() == [1, b"abc"]
    connection.close()


def test_a_node_connects_again_after_it_was_lost(peer):
    turns = iter([None, OK])
    one = peer(lambda words: next(turns))
    node = Node("engine", 3, one.address)
    with pytest.raises(Unreachable):
        node.call("PING")
    assert node.call("PING") == "OK" and one.connections == 2 and node.name == "engine 3"
    node.close()


def test_all_are_asked_before_the_first_answer_is_waited_for(peer):
    both_asked = threading.Barrier(2, timeout=20)

    def answer(words):
        both_asked.wait()
        return OK

    nodes = [Node("engine", index, peer(answer).address) for index in range(2)]
    nodes.append(Node("engine", 2, "/nonexistent", down="is not running"))
    refusing = Node("server", 0, peer(lambda words: CommandError(b"ERR x")).address)
    answers = ask([*nodes, refusing], "PING")
    assert [str(answer) for answer in answers.values()] == ["OK", "OK", "engine 2 is not running", "ERR x"]
    for node in (*nodes, refusing):
        node.close()


def test_addresses():
    assert [shown("/a/b"), shown(("h", 1)), shown(("::1", 1))] == ["/a/b", "h:1", "[::1]:1"]
