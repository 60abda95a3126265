"""The process around an engine: what its options do to sockets, and to what a node by itself announces."""
import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from harness.servers import free_port
from shardd.base.errors import ConfigError
from shardd.base.options import Config
from shardd.engine.main import Engine


@contextlib.contextmanager
def listening(*options: str) -> Iterator[Engine]:
    """An engine that listens, in an event loop that does not run."""
    loop = asyncio.new_event_loop()
    config = Config.load(["--loglevel", "nothing", "--bind", "127.0.0.1", *options], "shardd-engine")
    asyncio.set_event_loop(loop)
    try:
        engine = loop.run_until_complete(_make(config, loop))
        engine.listen()
        yield engine
        engine.server.reactor.close()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _make(config: Config, loop: asyncio.AbstractEventLoop) -> Engine:
    return Engine(config, loop)


def accepted(engine: Engine) -> socket.socket:
    """Connects; the engine's end of it."""
    before = set(engine.server.clients.by_id)
    with socket.create_connection(("127.0.0.1", engine.server.port)):
        engine.server.reactor.poll()
        [number] = set(engine.server.clients.by_id) - before
        return socket.socket(fileno=socket.dup(engine.server.clients.by_id[number].transport.fd))


def keepalive_s(sock: socket.socket) -> int:
    with sock:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
            return 0
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)


def test_keepalive_at_run_time():
    with listening("--port", str(free_port()), "--tcp-keepalive", "77") as engine:
        assert keepalive_s(accepted(engine)) == 77
        engine.server.config.set_many([(b"tcp-keepalive", b"55")])
        assert keepalive_s(accepted(engine)) == 55
        engine.server.config.set_many([(b"tcp-keepalive", b"0")])
        assert keepalive_s(accepted(engine)) == 0


def test_the_backlog_is_the_kernel_s(monkeypatch):
    asked = []
    listen = socket.socket.listen
    monkeypatch.setattr(socket.socket, "listen", lambda sock, backlog: (asked.append(backlog), listen(sock, backlog)))
    with listening("--port", str(free_port()), "--tcp-backlog", "13"):
        assert set(asked) == {13}


def test_the_unix_socket_s_permissions(tmp_path):
    path = tmp_path / "e.sock"
    with listening("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_nobody_could_come_in():
    with pytest.raises(ConfigError, match="no way to reach the server"), listening("--port", "0"):
        pass


def test_what_a_node_by_itself_announces():
    port = free_port()
    with listening("--port", str(port), "--cluster-enabled", "yes", "--cluster-announce-ip", "10.1.2.3") as engine:
        def shown() -> tuple[str, int, str]:
            [one] = engine.server.topology.engines
            return one.host, one.port, one.hostname

        node, epoch = engine.server.node_id, engine.server.topology.epoch
        assert shown() == ("10.1.2.3", port, "")
        engine.server.config.set_many([(b"cluster-announce-port", b"7777"),
                                       (b"cluster-announce-hostname", b"one.example")])
        assert shown() == ("10.1.2.3", 7777, "one.example")
        assert engine.server.node_id == node and engine.server.topology.epoch > epoch
        engine.server.config.set_many([(b"cluster-announce-port", b"0"), (b"cluster-announce-ip", b"")])
        assert shown() == ("", port, "one.example")
