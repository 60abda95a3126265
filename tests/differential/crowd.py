"""Many clients at once against us, each with a twin that tells the real Redis the same.

What one client hears must not hang on what the others do at the same time. So each has keys of its own, and leaves
out what shows or changes everybody's (SHARED); then the real Redis may be told one client's commands after the
other's, while ours gets all of them mixed: pipelines cut at any byte, inline commands among the others, both versions
of the protocol, numbered databases, replies that are switched off, readers that fall behind.

    unit    commands that belong together, such as CLIENT REPLY SKIP and the one whose reply is skipped
    script  one client's units, in order

A difference is looked for with that client alone, and shrunk; where it needs the others, the seed and the client's last
commands are told.
"""

import io
import select
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from differential.commands import Generator, Profile
from differential.compare import Judge
from differential.episode import Command, Difference, Pair, show, shrink
from harness import Closed, Conn, encode
from harness.resp import ProtocolError, read_reply

KEYS = 9            # of one client
TAGS = 4            # hash tags of one client: with three engines, keys on at least two of them almost always
LAST_SHOWN = 12
MARK = b"end of script 5d01fe"
SILENCE_S = 20.0    # without a byte from a server for so long, it hangs
SHARED = frozenset({"KEYS", "SCAN", "DBSIZE", "RANDOMKEY", "FLUSHDB", "SWAPDB"})
PIECES = (1, 2, 7, 30, 200, 1500, 20_000, 200_000)


class Step(NamedTuple):
    """A command, how it is written, and whether a reply is expected."""

    command: Command
    wire: bytes
    replies: bool = True


Unit = list[Step]
Script = list[Unit]


def profile_of(client: int) -> Profile:
    """The keys of one client: a command may take keys of several slots, whatever it is."""
    return Profile(f"client {client}", (tuple(b"{%d%c}%d" % (client, b"abcdefgh"[n % TAGS], n) for n in range(KEYS)),),
                   SHARED)


def inline(command: Command) -> bytes:
    """A command as a line, each word in quotes and hexadecimal, so that any byte can stand in it."""
    return b" ".join(b'"%b"' % b"".join(b"\\x%02x" % byte for byte in word) for word in command) + b"\r\n"


def fits_a_line(command: Command) -> bool:
    """Whether its line is far from the 64 KiB at which a server closes the connection."""
    return sum(map(len, command)) < 4000


class Writer:
    """Makes the units of one client."""

    def __init__(self, rng: Random, profile: Profile, large: float) -> None:
        """large: how many of the units ask for values that do not fit into any buffer."""
        self.rng = rng
        self.large = large
        self.generator = Generator(rng, profile)

    def script(self, count: int) -> Script:
        """At least `count` units."""
        return [self.unit() for _ in range(count)]

    def unit(self) -> Unit:
        chance = self.rng.random()
        if chance < 0.90:
            return [self.step(command) for command in self.generator.next()]
        if chance < self.large + 0.90:
            return self.large_values()
        if chance < 0.93:
            first, *rest = self.generator.next()
            return [self.step((b"CLIENT", b"REPLY", b"SKIP"), False), self.step(first, False), *map(self.step, rest)]
        if chance < 0.95:
            silent = [self.step(command, False) for _ in range(self.rng.randrange(6))
                      for command in self.generator.next()]
            return [self.step((b"CLIENT", b"REPLY", b"OFF"), False), *silent, self.step((b"CLIENT", b"REPLY", b"ON"))]
        return [self.step(self.rng.choice((
            (b"RESET",), (b"HELLO", b"3"), (b"HELLO", b"2"), (b"CLIENT", b"GETNAME"), (b"PING", b"x" * 50),
            (b"CLIENT", b"SETNAME", b"n%d" % self.rng.randrange(9)), (b"SELECT", b"%d" % self.rng.randrange(3)))))]

    def large_values(self) -> Unit:
        """What makes replies overtake each other, if anything does: long ones among short ones of several engines."""
        key, other = self.generator.any_key(), self.generator.any_key()
        number = b"%d" % self.rng.randrange(10**6)
        return [self.step(command) for command in (
            (b"SETRANGE", key, b"%d" % self.rng.choice([40_000, 200_000, 2_000_000]), number), (b"SET", other, number),
            (b"GET", key), (b"GET", other), (b"APPEND", other, b"1"), (b"MGET", key, other, key), (b"GET", other),
            (b"SET", key, number), (b"MGET", other, key))]

    def step(self, command: Command, replies: bool = True) -> Step:
        short = sum(map(len, command)) < 300
        return Step(command, inline(command) if short and self.rng.random() < 0.1 else encode(*command), replies)


class Talker:
    """One connection that is given a stream and hears what comes back."""

    def __init__(self, conn: Conn, data: bytes) -> None:
        self.conn = conn
        self.data = memoryview(data)
        self.heard = bytearray()
        self.failure = ""
        conn.sock.setblocking(False)

    @property
    def over(self) -> bool:
        return bool(self.failure) or self.heard.endswith(MARK + b"\r\n")

    def say(self, size: int) -> bool:
        """Send up to so many bytes; whether any were taken."""
        try:
            sent = self.conn.sock.send(self.data[:size])
        except BlockingIOError:
            return False
        except OSError as error:
            self.failure = str(error)
            return False
        self.data = self.data[sent:]
        return True

    def hear(self) -> None:
        try:
            while True:
                data = self.conn.sock.recv(1 << 18)
                if not data:
                    self.failure = self.failure or "closed"
                    return
                self.heard += data
        except BlockingIOError:
            pass
        except OSError as error:
            self.failure = str(error)


def talk(talkers: Sequence[Talker], rng: Random) -> None:
    """All at once, until each has heard the end or lost its connection. Raises TimeoutError."""
    waiting = {talker.conn.sock.fileno(): talker for talker in talkers}
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLIN)
    last = time.monotonic()
    while waiting:
        progress = False
        for talker in rng.sample(list(waiting.values()), rng.randint(1, len(waiting))):
            if talker.data:
                progress |= talker.say(rng.choice(PIECES))
        for number, _ in poll.poll(0 if progress else 50):
            talker = waiting[number]
            if talker.data and rng.random() < 0.3:      # falls behind with its replies
                continue
            talker.hear()
            progress = True
            if talker.over:
                poll.unregister(number)
                del waiting[number]
        if progress:
            last = time.monotonic()
        elif time.monotonic() - last > SILENCE_S:
            raise TimeoutError(f"{len(waiting)} clients hear nothing more")


def stream(script: Script) -> bytes:
    return b"".join(step.wire for unit in script for step in unit) + encode("CLIENT", "REPLY", "ON") + encode(
        "ECHO", MARK)


def first_difference(script: Script, ours: Talker, theirs: Talker, split: bool) -> Difference | None:
    """Of one client. `at` counts units."""
    if theirs.failure:
        return Difference(len(script) - 1, f"Redis ended the connection: {theirs.failure}")
    if ours.heard == theirs.heard:
        return None
    streams = io.BytesIO(ours.heard), io.BytesIO(theirs.heard)
    judge = Judge(split)
    for at, unit in enumerate(script):
        for step in unit:
            if not step.replies:
                continue
            try:
                mine, real = (read_reply(one.readline, one.read) for one in streams)
            except ProtocolError as error:
                return Difference(at, f"{show(step.command)}: {ours.failure or theirs.failure or error}")
            if not judge.agree(step.command, mine, real):
                return Difference(at, f"{show(step.command)}: ours {mine!r}, Redis {real!r}")
    return Difference(len(script) - 1, f"the connection ended: {ours.failure}") if ours.failure else None


class Crowd:
    """Runs scripts against a server of ours and the real Redis."""

    def __init__(self, ours: Callable[[], Conn], theirs: Callable[[], Conn], split: bool,
                 check: bool = True) -> None:
        """split, check: see episode.Pair."""
        self._open = ours, theirs
        self.split = split
        self.check = check

    def run(self, seed: int, clients: int, count: int, large: float = 0.0) -> str | None:
        """`clients` at once with `count` units each, of which a share of `large` are about large values; the first
        difference in words, or None."""
        rng = Random(seed)
        scripts = [Writer(Random(rng.random()), profile_of(client), large).script(count)
                   for client in range(clients)]
        found = self.differs(scripts, rng)
        if found is None:
            return None
        client, difference = found
        script = scripts[client] if client >= 0 else []
        alone = self.differs([script], Random(seed)) if script else None
        if alone:
            best, difference = shrink(script[:alone[1].at + 1], alone[1], self._alone)
            lines = ["with one client alone, after", *(self._line(unit) for unit in best)]
        else:
            lines = [f"with {clients} clients at once, seed {seed}, client {client}; its last commands:",
                     *(self._line(unit) for unit in script[max(0, difference.at - LAST_SHOWN):difference.at + 1])]
        return "\n".join([difference.text, *lines])

    def _alone(self, script: Script) -> Difference | None:
        found = self.differs([script], Random(1))
        return found[1] if found else None

    @staticmethod
    def _line(unit: Unit) -> str:
        return "    " + " ; ".join(show(step.command) for step in unit)

    def differs(self, scripts: Sequence[Script], rng: Random) -> tuple[int, Difference] | None:
        """The first client with a difference, -1 where only the keyspace has one."""
        streams = [stream(script) for script in scripts]
        pair = Pair(*self._open, split=self.split, check=self.check)
        heard: list[list[Talker]] = []
        try:
            for conn in pair.conns():
                conn.must("FLUSHALL")
            for make_conn in self._open:
                heard.append([Talker(make_conn(), data) for data in streams])
                talk(heard[-1], rng)
            for client, (script, ours, theirs) in enumerate(zip(scripts, *heard, strict=True)):
                found = first_difference(script, ours, theirs, self.split)
                if found:
                    return client, found
            text = pair.end()
            return (-1 if len(scripts) > 1 else 0, Difference(max(map(len, scripts)), text)) if text else None
        except (Closed, TimeoutError) as error:
            return -1, Difference(0, repr(error))
        finally:
            pair.close()
            for talker in sum(heard, []):
                talker.conn.close()
