"""An engine inside the test process: the real server, dispatch and journal, driven step by step over socket pairs.

For what no client sees from outside: the journal's effects, the keyspace's invariants, times that the test sets.
"""
import socket
from typing import Any

from harness.resp import encode, read_reply, words
from shardd.base.log import ENGINE, Log
from shardd.base.options import Config
from shardd.engine.build import build_registry
from shardd.engine.server import Server
from shardd.engine.session import Session
from shardd.wire.plain import Decoder


class Caller:
    """A client of the engine in this process. Calls return the reply; each runs one turn of the reactor, no timers."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(5)
        server = engine.server
        self.session = Session(server.dispatcher, server.clients, server.limits, True)
        server.reactor.attach(theirs, self.session)
        self.file = self.sock.makefile("rb")

    def __call__(self, *args: Any) -> Any:
        self.sock.sendall(encode(*words(args)))
        self.engine.server.reactor.poll()
        return read_reply(self.file.readline, self.file.read)


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
        """The same as commands, without the SELECTs."""
        return [words for words in Decoder().feed(self.journal()) if words[0] != b"SELECT"]

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

    def check(self) -> int:
        """Walk all databases; the bytes of memory that they take."""
        return sum(db.check() for db in self.server.keyspace.databases)
