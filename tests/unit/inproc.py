"""An engine inside the test process: the real server, dispatch and journal, driven step by step over socket pairs.

For what no client sees from outside: the journal's effects, the keyspace's invariants, times that the test sets.
"""
import gc
import socket
from typing import Any

from harness.resp import encode, read_reply, words
from shardd.base.log import ENGINE, Log
from shardd.base.options import Config
from shardd.engine.build import build_registry
from shardd.engine.server import Server
from shardd.engine.session import Session
from shardd.keyspace.audit import check_database
from shardd.wire.plain import Decoder

TURNS_MAX = 10_000      # without an answer: it will not come


class Caller:
    """A client of the engine in this process. Calls return the reply; they run turns of the reactor, no timers."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        server = engine.server
        self.session = Session(server.dispatcher, server.clients, server.limits, True)
        server.reactor.attach(theirs, self.session)
        self._buffer = bytearray()

    def __call__(self, *args: Any) -> Any:
        self.send(encode(*words(args)))
        return self.read()

    def send(self, data: bytes) -> None:
        """Send all of it, with as many turns as that takes."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view):]
            except BlockingIOError:
                self._turn()
        self._turn()

    def read(self) -> Any:
        """The next reply."""
        return read_reply(self._readline, self._read)

    def _turn(self) -> bool:
        """One turn of the reactor; whether it brought anything."""
        self.engine.server.reactor.poll()
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        if not data:
            raise EOFError("the engine closed the connection")
        self._buffer += data
        return True

    def _wait(self) -> None:
        for _ in range(TURNS_MAX):
            if self._turn():
                return
        raise TimeoutError("the engine does not answer")

    def _readline(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            self._wait()
        return self._take(end + 1)

    def _read(self, n: int) -> bytes:
        while len(self._buffer) < n:
            self._wait()
        return self._take(n)

    def _take(self, n: int) -> bytes:
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data


class Engine:
    """A server without listeners and timers."""

    def __init__(self, *options: str) -> None:
        """options: as on the command line, "--databases", "4"."""
        self.server = Server(Config.load(options, "shardd-engine"), Log(ENGINE, "warning", ""))
        build_registry(self.server)
        self.run = Caller(self)
        self._journal = b""

    def __call__(self, *args: Any) -> Any:
        return self.run(*args)

    def feed(self, data: bytes) -> None:
        """The journal's reader."""
        self._journal += data

    def follow(self) -> None:
        """Read the journal from here on."""
        self.server.journal.add_reader(self)

    def journal(self) -> bytes:
        """What came in since the last call, as it stands in the stream."""
        self.server.journal.flush()
        data, self._journal = self._journal, b""
        return data

    def effects(self) -> list[list[bytes]]:
        """The same as commands, without the SELECTs and the marks of units."""
        return [words for words in Decoder().feed(self.journal()) if words[0] not in (b"SELECT", b"MULTI", b"EXEC")]

    def replay(self, data: bytes) -> None:
        """Run a piece of another engine's journal; every effect must succeed."""
        for command in Decoder().feed(data):
            reply = self(*command)
            assert type(reply).__name__ != "Error", (command, reply)

    def content(self) -> dict[int, dict[bytes, tuple[bytes, int]]]:
        """Per database: key -> (value, expiry in unix ms or -1), strings only; due keys are left out."""
        reader = Caller(self)
        found: dict[int, dict[bytes, tuple[bytes, int]]] = {}
        for db in range(self.server.databases):
            reader("SELECT", db)
            keys = {key: (reader("GET", key), reader("PEXPIRETIME", key)) for key in reader("KEYS", "*")}
            if keys:
                found[db] = keys
        return found

    def settle(self) -> None:
        """Free at once what is to be freed in steps, of this engine and of earlier ones: memory stands still then."""
        gc.collect()
        while self.server.keyspace.free_step(100_000):
            pass

    def check(self) -> int:
        """Walk all databases; the bytes of memory that they take."""
        return sum(check_database(db) for db in self.server.keyspace.databases)
