"""Who is disconnected when by a proxy whose successor serves."""
import socket

import pytest

import proxy.drain as module
from proxy.drain import Drain
from shardd.base import limits


class Transport:
    def __init__(self, fd: int) -> None:
        self.fd, self.active_ms, self.out_len, self.in_len, self.closing = fd, 0, 0, 0, False


class Client:
    """A session of which only the facts count."""

    ids = iter(range(1, 1000))

    def __init__(self) -> None:
        self.id = next(self.ids)
        self.far, near = socket.socketpair()
        self.near = near
        self.transport = Transport(near.fileno())
        self.in_flight = self.held_bytes = self.finished = 0

    def finish(self) -> None:
        self.finished += 1

    def close(self) -> None:
        """What a transport does in the end."""
        self.near.close()
        self.transport.fd, self.transport.closing = -1, True


class Registry:
    def __init__(self, *clients: Client) -> None:
        self.by_id = dict(enumerate(clients))


class Server:
    def __init__(self, *clients: Client) -> None:
        self.clients = Registry(*clients)


@pytest.fixture
def clock(monkeypatch):
    now = [1_000_000]
    monkeypatch.setattr(module, "mono_ms", lambda: now[0])
    return now


def test_the_silent_go_first_and_between_two_commands(clock):
    silent, active, waiting, unsent, half, sending = clients = [Client() for _ in range(6)]
    active.transport.active_ms = clock[0] - limits.DRAIN_IDLE_MS + 1
    waiting.in_flight, unsent.transport.out_len, half.transport.in_len = 1, 5, 3
    sending.far.send(b"PING\r\n")
    drain = Drain(Server(*clients), 10_000)
    assert not drain.step()
    assert [client.finished for client in clients] == [1, 0, 0, 0, 0, 0]
    clock[0] += 1
    drain.step()
    assert active.finished == 1 and sending.finished == 0


def test_when_the_time_is_over_nobody_is_read_from(clock):
    busy, sending = Client(), Client()
    busy.in_flight = 1
    sending.far.send(b"PING\r\n")
    sending.transport.active_ms = clock[0]
    drain = Drain(Server(busy, sending), 5_000)
    clock[0] += 4_999
    drain.step()
    assert (busy.finished, sending.finished) == (0, 0)
    clock[0] += 1
    sending.transport.active_ms = clock[0]
    drain.step()
    assert (busy.finished, sending.finished) == (1, 1)


def test_it_is_over_when_all_are_gone(clock):
    client = Client()
    server = Server(client)
    drain = Drain(server, 0)
    assert not drain.step()
    client.close()
    server.clients.by_id.clear()
    assert not drain.step(), "its end is not seen yet"
    assert client.far.recv(10) == b""
    client.far.close()
    assert drain.step() and Drain(Server(), 10_000).step()


def test_who_goes_on_sending_gets_its_replies(clock):
    client = Client()
    server = Server(client)
    drain = Drain(server, 0)
    client.near.send(b"the last reply")
    drain.step()
    assert client.finished == 1
    client.close()
    server.clients.by_id.clear()
    client.far.send(b"PING\r\n")
    assert not drain.step()
    client.far.send(b"PING\r\n" * 1000)
    clock[0] += limits.DRAIN_LINGER_MS - 1
    assert not drain.step()
    assert client.far.recv(100) == b"the last reply" and client.far.recv(100) == b""
    clock[0] += 1
    assert drain.step(), "it had its time"
