"""A proxy inside the test process, in front of engines that the test plays: each step happens when the test says so.

Engines listen on Unix sockets and answer nothing by themselves; `Engine.requests` is what they have got, `reply` sends
bytes. The handshake (SHARDD PROXY, HELLO, AUTH) is answered as it comes and kept out of `requests`.
"""
import itertools
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.resp import encode, read_reply, words
from proxy.server import ProxyServer
from shardd.base.log import PROXY, Log
from shardd.base.options import Config
from shardd.cluster.topology import EngineInfo, SlotRange, Topology
from shardd.structures.slots import slot_of
from shardd.wire.plain import Decoder

SLOTS = 16384
_numbers = itertools.count(1)


class Engine:
    """One engine, played by the test. `heard` is the connection that the last request came over."""

    def __init__(self, path: Path, index: int) -> None:
        self.path, self.index = path, index
        self.id = f"{next(_numbers):040x}"
        self.requests: list[list[bytes]] = []
        self.handshakes: list[list[bytes]] = []
        self.links: list[socket.socket] = []
        self.heard: socket.socket | None = None
        self._decoders: dict[socket.socket, Decoder] = {}
        self._due: dict[socket.socket, bytearray] = {}
        self.listener: socket.socket | None = None
        self.auto: Callable[[list[bytes]], bytes | None] | None = None
        """Where set: what it answers at once."""
        self.listen()

    def listen(self) -> None:
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(16)
        self.listener.setblocking(False)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self.id, self.id, self.index, port=40_000 + self.index, unixsocket=str(self.path), state="up")

    def turn(self) -> bool:
        """Accept and read what is there; whether there was anything."""
        busy = self._push()
        if self.listener is not None:
            try:
                link, _ = self.listener.accept()
                link.setblocking(False)
                self.links.append(link)
                self._decoders[link] = Decoder()
                busy = True
            except BlockingIOError:
                pass
        for link in list(self.links):
            try:
                data = link.recv(1 << 20)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            busy = True
            if not data:
                self.links.remove(link)
                link.close()
                continue
            for request in self._decoders[link].feed(data):
                self._got(link, request)
        return busy

    def _got(self, link: socket.socket, request: list[bytes]) -> None:
        name = request[0].upper()
        if name in (b"HELLO", b"AUTH") or (name == b"SHARDD" and request[1] in (b"PROXY", b"COMMANDS", b"PEERS")):
            self.handshakes.append(request)
            answer = b"%1\r\n+proto\r\n:3\r\n" if name == b"HELLO" else b"+OK\r\n"
            if request[1:] == [b"COMMANDS"]:
                answer = b"-ERR unknown command 'SHARDD'\r\n"
            self.reply(answer, link)
            return
        self.heard = link
        self.requests.append(request)
        answer = self.auto(request) if self.auto is not None else None
        if answer is not None:
            self.reply(answer, link)

    def reply(self, data: bytes, link: socket.socket | None = None) -> None:
        """Send bytes to the proxy, as fast as it takes them; default: over the connection of the last request."""
        if link is None:
            link = self.heard if self.heard in self.links else self.links[-1]
        self._due.setdefault(link, bytearray()).extend(data)
        self._push()

    def _push(self) -> bool:
        busy = False
        for link, due in list(self._due.items()):
            try:
                sent = link.send(due)
            except BlockingIOError:
                continue
            except OSError:
                sent = len(due)
            busy = busy or sent > 0
            del due[:sent]
            if not due:
                del self._due[link]
        return busy

    def take(self) -> list[list[bytes]]:
        """What it got since the last call."""
        taken, self.requests = self.requests, []
        return taken

    def die(self) -> None:
        """Listener and connections are gone."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            self.path.unlink(missing_ok=True)
        for link in self.links:
            link.close()
        self.links.clear()
        self._due.clear()


class Client:
    """A client of the proxy. Calling sends and waits for the reply; `send` and `read` do the halves."""

    def __init__(self, rig: "Rig") -> None:
        self.rig = rig
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.session = rig.session()
        rig.server.reactor.attach(theirs, self.session)
        self.received = b""

    def send(self, *args: Any) -> None:
        """One request."""
        self.raw(encode(*words(args)))

    def raw(self, data: bytes) -> None:
        self.sock.setblocking(True)
        self.sock.sendall(data)
        self.sock.setblocking(False)
        self.rig.turn()

    def read(self) -> Any:
        """The next whole reply. Raises EOFError where it is not here."""
        self.pull()
        place = 0

        def readline() -> bytes:
            nonlocal place
            end = self.received.find(b"\r\n", place)
            if end < 0:
                raise EOFError(self.received)
            line, place = self.received[place:end + 2], end + 2
            return line

        def read(n: int) -> bytes:
            nonlocal place
            if len(self.received) < place + n:
                raise EOFError(self.received)
            data, place = self.received[place:place + n], place + n
            return data

        value = read_reply(readline, read)
        self.received = self.received[place:]
        return value

    def pull(self) -> None:
        """Read what the proxy has sent; `closed` tells whether it ended."""
        self.rig.turn()
        chunks = [self.received]
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except (BlockingIOError, ConnectionResetError):
                break
            if not data:
                break
            chunks.append(data)
            self.rig.turn()
        self.received = b"".join(chunks)

    @property
    def closed(self) -> bool:
        self.pull()
        return self.session.transport.closing or self.session.transport.fd < 0

    def nothing(self) -> bool:
        """Whether no reply, not even a part, is here."""
        self.pull()
        return self.received == b""

    def __call__(self, *args: Any) -> Any:
        self.send(*args)
        return self.read()

    def close(self) -> None:
        self.sock.close()
        self.rig.turn()


class Rig:
    """A proxy without listeners and timers, in front of `engines` of which each owns an even part of the slots."""

    def __init__(self, engines: int = 2, *options: str) -> None:
        """options: as on the command line, "--requirepass", "x"."""
        self._dir = tempfile.TemporaryDirectory(prefix="shardd-rig-")
        self.server = ProxyServer(Config.load(options, "shardd-proxy"), Log(PROXY, "nothing", ""))
        self.server.reactor.on_error = self._on_error
        self.errors: list[Any] = []
        self.warnings: list[str] = []
        self.server.backends.on_warning = self.warnings.append
        self.later: list[tuple[int, Callable[[], None]]] = []
        self.server.backends.schedule = lambda delay_ms, callback: self.later.append((delay_ms, callback))
        self.engines = [Engine(Path(self._dir.name) / f"e{index}", index) for index in range(engines)]
        self.clients: list[Client] = []
        if engines:
            self.install(Topology.even([engine.info for engine in self.engines]))

    def _on_error(self, where: Any, error: BaseException) -> None:
        self.errors.append(error)

    def install(self, topology: Topology) -> None:
        self.server.install_topology(topology)
        self.turn()

    def add_engine(self) -> Engine:
        """One more, without slots until a topology gives it some."""
        engine = Engine(Path(self._dir.name) / f"e{len(self.engines)}", len(self.engines))
        self.engines.append(engine)
        return engine

    def move(self, first: int, last: int, engine: Engine) -> None:
        """The next topology: these slots are that engine's."""
        topology = self.server.topology
        if topology.engine(engine.id) is None:
            topology = topology.with_engine(engine.info)
        self.install(topology.with_slots(first, last, engine.id))

    def session(self) -> Any:
        from proxy.session import ProxySession
        return ProxySession(self.server.shared, self.server.clients, not self.server.config["requirepass"])

    def client(self) -> Client:
        client = Client(self)
        self.clients.append(client)
        self.turn()
        return client

    def turn(self) -> None:
        """Let everything happen that can happen without time passing."""
        quiet = 0
        while quiet < 3:
            self.server.reactor.poll()
            self.server.shared.flush()
            quiet = 0 if any([engine.turn() for engine in self.engines]) else quiet + 1
        assert not self.errors, self.errors

    def ring(self) -> None:
        """The timers that are due fire."""
        due, self.later = self.later, []
        for _, callback in due:
            callback()
        self.turn()

    def key(self, index: int, number: int = 0) -> bytes:
        """A key whose slot engine `index` owns."""
        owners = self.server.topology.owners
        for word in itertools.count(number * 1000):
            if owners[slot_of(b"k%d" % word)] == index:
                return b"k%d" % word
        raise AssertionError

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        for engine in self.engines:
            engine.die()
        self.server.backends.close()
        self.server.reactor.close()
        self._dir.cleanup()


def ranges(*parts: tuple[int, int, Engine]) -> tuple[SlotRange, ...]:
    return tuple(SlotRange(first, last, engine.id) for first, last, engine in parts)
