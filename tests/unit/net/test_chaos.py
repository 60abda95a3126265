"""The reactor under random use: whatever is paused, closed or reset meanwhile, a stream stays a stream."""
import contextlib
import random
import socket
import struct

import pytest

from shardd.net.reactor import Reactor
from shardd.net.transport import PlainProtocol, Transport


class Echo:
    """Echoes what it consumes, which is not always all, and pauses, resumes and closes as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.calls: list[str] = []
        self.transport: Transport | None = None
        self.busy = False

    def enter(self, call: str) -> None:
        assert not self.busy, "a protocol is never called inside one of its own calls"
        assert "lost" not in self.calls, "nothing comes after lost()"
        self.calls.append(call)

    def on_made(self, transport: Transport) -> None:
        self.enter("made")
        self.transport = transport

    def on_data(self, data: bytes) -> int:
        self.enter("data")
        self.busy = True
        assert not self.transport.reading_paused
        done = len(data) if self.chance.random() < 0.6 else self.chance.randrange(len(data) + 1)
        self.transport.write_bytes(data[:done])
        act = self.chance.random()
        if act < 0.15 or done < len(data):
            # what is left over must come again even if the peer sends no more
            self.transport.pause_reading()
        elif act < 0.16:
            self.transport.close("chance")
        elif act < 0.17:
            self.transport.close_after_flush()
        self.busy = False
        return done

    def on_eof(self) -> bool:
        self.enter("eof")
        return self.chance.random() < 0.5

    def on_drained(self) -> None:
        self.enter("drained")

    def on_lost(self, reason: object) -> None:
        self.enter("lost")


class End:
    """The other end, a plain socket: sends random bytes, reads slowly, may leave in any manner."""

    def __init__(self, sock: socket.socket, chance: random.Random) -> None:
        sock.setblocking(False)
        self.sock, self.chance = sock, chance
        self.sent = bytearray()
        self.got = bytearray()
        self.open = self.sending = True

    def step(self) -> None:
        act = self.chance.random()
        with contextlib.suppress(BlockingIOError):
            if act < 0.4 and self.sending:
                data = self.chance.randbytes(self.chance.choice([1, 100, 5000, 70_000, 300_000]))
                self.sent += data[:self.sock.send(data)]
            elif act < 0.96:
                part = self.sock.recv(self.chance.choice([10, 1000, 100_000]))
                self.got += part
                if not part:
                    self.leave()
            elif act < 0.97 and self.sending:
                self.sending = False
                self.sock.shutdown(socket.SHUT_WR)
            elif act < 0.975:
                self.leave()
            elif act < 0.98:
                with contextlib.suppress(OSError):
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.leave()

    def leave(self) -> None:
        self.open = False
        self.sock.close()


@pytest.mark.parametrize("seed", range(4))
def test_streams_survive_chance(seed: int) -> None:
    chance = random.Random(seed)
    errors: list[BaseException] = []
    reactor = Reactor()
    reactor.on_error = lambda where, error: errors.append(error)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    peers: list[Echo] = []

    def accept(transport: Transport) -> PlainProtocol:
        peers.append(Echo(chance))
        return PlainProtocol(peers[-1])

    reactor.listen(listening, accept)
    ends: list[End] = []
    for turn in range(1500):
        if len(ends) < 40 and turn % 20 == 0:
            if chance.random() < 0.5:
                ends.append(End(socket.create_connection(listening.getsockname()), chance))
            else:
                ours, theirs = socket.socketpair()
                peers.append(Echo(chance))
                reactor.attach(ours, PlainProtocol(peers[-1]))
                ends.append(End(theirs, chance))
        for end in ends:
            if end.open:
                try:
                    end.step()
                except OSError:
                    end.leave()
            assert end.sent.startswith(end.got), "the echo is what was sent, in order"
        for peer in peers:
            if peer.transport.reading_paused and chance.random() < 0.3:
                peer.transport.resume_reading()
            elif chance.random() < 0.0005:
                peer.transport.close("outside")
        if turn % 3 == 0:
            reactor.poll()
    assert sum(len(end.got) for end in ends) > 200_000, "it was not all idle"
    for end in ends:
        end.leave()
    for peer in peers:
        peer.transport.resume_reading()
    reactor.close()
    assert not errors
    assert all(peer.calls.count("lost") == 1 and peer.calls[-1] == "lost" for peer in peers)
