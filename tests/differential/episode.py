"""Many commands at once against both servers: bulk comparison, the first difference, the shortest run that shows it.

An episode starts from empty servers. Its commands go out in chunks; a chunk whose replies are equal byte by byte is
done, any other is parsed and compared reply by reply. A difference is shrunk by leaving out commands while it stays.
"""

import io
import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, TypeVar

from differential.commands import Generator, Profile
from differential.compare import Judge, keyspace, keyspaces_differ
from harness import OK, Closed, Conn, encode
from harness.resp import ProtocolError, read_reply

CHUNK = 500
SHRINK_RUNS_MAX = 3000
Command = tuple[bytes, ...]
Item = TypeVar("Item")
START: list[Command] = [(b"RESET",), (b"FLUSHALL",)]


class Difference(NamedTuple):
    """Where two servers part. `at` is an index into the commands, or their number where only the keyspace differs."""

    at: int
    text: str


def make(seed: int, count: int, profile: Profile) -> list[Command]:
    """The commands of an episode: the same for the same arguments."""
    generator = Generator(Random(seed), profile)
    commands: list[Command] = []
    while len(commands) < count:
        commands += generator.next()
    return commands


class Pair:
    """A server of ours and the real Redis, one connection each."""

    def __init__(self, ours: Callable[[], Conn], theirs: Callable[[], Conn], split: bool = False,
                 check: bool = True) -> None:
        """split: ours may refuse keys of several slots. check: ours has DEBUG CHECK, which walks its structures."""
        self._open = (ours, theirs)
        self._conns: list[Conn] = []
        self.split = split
        self.check = check

    def conns(self) -> list[Conn]:
        if not self._conns:
            self._conns = [make_conn() for make_conn in self._open]
        return self._conns

    def close(self) -> None:
        for conn in self._conns:
            conn.close()
        self._conns = []

    def run(self, commands: Sequence[Command], check_keyspace: bool = True) -> Difference | None:
        """Runs the commands from empty servers; the first difference or None."""
        for conn in self.conns():
            for command in START:
                conn.must(*command)
        for start in range(0, len(commands), CHUNK):
            found = self._chunk(commands[start:start + CHUNK])
            if found:
                return Difference(start + found.at, found.text)
        text = self.end() if check_keyspace else None
        return Difference(len(commands), text) if text else None

    def end(self) -> str | None:
        """What is wrong when all is done: a difference of the keyspaces, or a structure of ours that is broken."""
        ours, theirs = self.conns()
        text = keyspaces_differ(keyspace(ours), keyspace(theirs), self.split)
        if text is None and self.check:
            broken = ours("DEBUG CHECK")
            text = None if broken == OK else f"DEBUG CHECK: {broken!r}"
        if text is None and ours("DEBUG DIGEST") != theirs("DEBUG DIGEST"):
            text = "DEBUG DIGEST differs"
        return text

    def _chunk(self, commands: Sequence[Command]) -> Difference | None:
        mark = b"end of chunk 77a1c2"
        # a chunk may end within a transaction, where the mark would only be queued
        data = b"".join(encode(*command) for command in commands) + encode("DISCARD") + encode("ECHO", mark)
        replies: list[bytes] = []
        senders = [threading.Thread(target=conn.send, args=(data,), daemon=True) for conn in self.conns()]
        for sender in senders:
            sender.start()
        failure = ""
        for conn in self.conns():
            try:
                replies.append(conn.until(mark + b"\r\n"))
            except (Closed, TimeoutError) as error:
                failure = str(error)
                replies.append(bytes(conn.partial))
        if failure:
            self.close()
        for sender in senders:
            sender.join()
        return None if replies[0] == replies[1] else self._first(commands, *replies, failure)

    def _first(self, commands: Sequence[Command], ours: bytes, theirs: bytes, failure: str) -> Difference | None:
        streams = io.BytesIO(ours), io.BytesIO(theirs)
        judge = Judge(self.split)
        for at, command in enumerate(commands):
            try:
                mine, real = (read_reply(stream.readline, stream.read) for stream in streams)
            except ProtocolError as error:
                return Difference(at, f"{show(command)}: {failure or error}")
            if not judge.agree(command, mine, real):
                return Difference(at, f"{show(command)}: ours {mine!r}, Redis {real!r}")
        return Difference(len(commands) - 1, failure) if failure else None

    def shrink(self, commands: Sequence[Command], found: Difference) -> tuple[list[Command], Difference]:
        """The fewest commands found that still show a difference."""
        return shrink(commands[:found.at + 1], found, self.run)


def shrink(items: Sequence[Item], found: Difference,
           run: Callable[[list[Item]], Difference | None]) -> tuple[list[Item], Difference]:
    """Leave out what can be left out while `run` still finds a difference. `at` is an index into the items."""
    best = list(items)
    runs, size = 0, max(len(best) // 2, 1)
    while runs < SHRINK_RUNS_MAX:
        at, smaller = 0, False
        while at < len(best) and runs < SHRINK_RUNS_MAX:
            attempt = best[:at] + best[at + size:]
            runs += 1
            again = run(attempt) if attempt else None
            if again:
                best, found, smaller = attempt[:again.at + 1], again, True
            else:
                at += size
        if size == 1 and not smaller:
            break
        size = max(size // 2, 1)
    return best, found


def show(command: Command) -> str:
    return " ".join(word.decode() if word.isalnum() else repr(word)[1:] for word in command)


def explain(commands: Sequence[Command], found: Difference) -> str:
    """A difference as a reader wants it."""
    return "\n".join([found.text, "after", *(f"    {show(command)}" for command in commands)])
