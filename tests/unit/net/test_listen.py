"""Listening sockets as the options say, and who is found listening already."""
import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from shardd.base.errors import ConfigError
from shardd.base.options import Config
from shardd.net.listen import ControlSocket, accept_on, answers, tcp_port, tcp_sockets, unix_socket, where


class Recorder:
    """Takes the place of a reactor and of the listener it gives."""

    keepalive_s = 0

    def listen(self, sock: socket.socket, factory: object, backlog: int) -> "Recorder":
        self.heard = sock, factory, backlog
        return self


def closed(socks: list[socket.socket]) -> list[tuple]:
    names = [sock.getsockname()[:2] for sock in socks]
    for sock in socks:
        sock.close()
    return names


def test_one_port_for_all_addresses_and_optional_ones_left_out():
    (one, first), (other, second) = closed(tcp_sockets(["127.0.0.1", "-203.0.113.7", "-127.0.0.2"], 0, 5))
    assert (one, other) == ("127.0.0.1", "127.0.0.2") and first == second > 0


@pytest.mark.parametrize("bind, words", [
    (["203.0.113.7"], "203.0.113.7"), (["-203.0.113.7"], "none of these addresses")])
def test_addresses_that_this_machine_does_not_have(bind, words):
    with pytest.raises(ConfigError, match=words):
        tcp_sockets(bind, 0, 5)


def test_a_port_is_shared_only_by_those_who_say_so():
    with tcp_sockets(["127.0.0.1"], 0, 5, share_port=True)[0] as sock:
        port = sock.getsockname()[1]
        assert closed(tcp_sockets(["127.0.0.1"], port, 5, share_port=True)) == [("127.0.0.1", port)]
        with pytest.raises(ConfigError, match=os.strerror(errno.EADDRINUSE)):
            tcp_sockets(["127.0.0.1"], port, 5)


def test_a_unix_socket_takes_the_place_of_a_stale_one_alone(tmp_path: Path):
    path = str(tmp_path / "s")
    assert not answers(path)
    first = unix_socket(path, 0o600, 5)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and answers(path)
    with pytest.raises(ConfigError, match=os.strerror(errno.EADDRINUSE)):
        unix_socket(path, 0o600, 5)
    assert answers(path)
    first.close()
    assert os.path.exists(path) and not answers(path)
    unix_socket(path, 0, 5).close()


@pytest.mark.parametrize("host, shown", [("127.0.0.1", "127.0.0.1:{}"), ("::1", "[::1]:{}")])
def test_accepting_follows_the_options(host, shown):
    config, reactor = Config({"tcp-backlog": "77", "tcp-keepalive": "30"}), Recorder()
    try:
        [sock] = tcp_sockets([host], 0, 5)
    except ConfigError:
        pytest.skip(f"{host} does not exist here")
    with sock:
        assert accept_on(sock, reactor, len, config) is reactor
        assert where(sock) == shown.format(sock.getsockname()[1]) and tcp_port([sock]) == sock.getsockname()[1]
        assert reactor.heard == (sock, len, 77) and reactor.keepalive_s == 30
        config.set_many([(b"tcp-keepalive", b"60")])
        assert reactor.keepalive_s == 60


def test_bound_sockets_hold_their_place_and_refuse_until_somebody_listens(tmp_path: Path):
    path = str(tmp_path / "s")
    with tcp_sockets(["127.0.0.1"], 0, None)[0] as sock, unix_socket(path, 0o600, None) as unix:
        port = sock.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        assert not answers(path) and where(unix) == path and tcp_port([unix, sock]) == port
        sock.listen()
        unix.listen()
        socket.create_connection(("127.0.0.1", port)).close()
        assert answers(path)


def test_accepting_where_somebody_else_listens_by_now_names_the_place():
    def listen(sock: socket.socket, factory: object, backlog: int) -> None:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    reactor = Recorder()
    reactor.listen = listen
    with tcp_sockets(["127.0.0.1"], 0, None)[0] as sock:
        with pytest.raises(ConfigError, match=f"can't listen on 127.0.0.1:{sock.getsockname()[1]}"):
            accept_on(sock, reactor, len, Config())


def test_a_control_socket_takes_the_place_of_a_living_predecessor_s(tmp_path: Path):
    path = str(tmp_path / "proxy-0.sock")

    class Real(Recorder):
        def listen(self, sock: socket.socket, factory: object, backlog: int) -> socket.socket:
            return sock

    old = ControlSocket(Real(), path, 5, len)
    first = os.stat(path).st_ino
    new = ControlSocket(Real(), path, 5, len)
    assert os.stat(path).st_ino != first and os.listdir(tmp_path) == ["proxy-0.sock"]
    assert answers(path) and not old.check() and not new.check()
    old.close()
    assert answers(path)
    new.close()
    assert not answers(path) and os.path.exists(path)
