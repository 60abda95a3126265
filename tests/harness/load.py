"""Clients that write down what they were told, and notice every lie: a counter that counts twice, a write that is read
back older than it was, a reply to another command.

A Ledger is one client's knowledge of one key; only that client writes the key. What may be true is narrowed by every
reply, and widened only by commands whose outcome the client was not told:

    reply                                   the command was                  the ledger then
    a value                                 executed once                    must agree, and knows
    REFUSED ("... was not executed")        not executed                     is as it was
    LOST ("... may or may not ..."),        executed once or never,          allows both
    or no reply before the end              now or later

An engine without persistence that was killed comes back empty. Each such loss (`losses`, a count) may set a ledger back
to nothing once, and no other does.

A Worker is a thread with one connection, which it opens again when it ends. It sends batches, so that the order within
a pipeline is checked too.
"""

import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from harness.conn import Closed, Conn
from harness.resp import OK, Error, encode

REFUSED = re.compile(r"((CLUSTERDOWN|ERR) engine \d+ is (down|overloaded), the command was not executed"
                     r"|CLUSTERDOWN The cluster is down)$")     # an engine that has just heard that it counts as down
LOST = re.compile(r"ERR (engine \d+ is down, the command may or may not have been executed"
                  r"|an engine is down, the command may have been executed in part)$")
REOPEN_S = 0.01


class Lie(AssertionError):
    """A reply that cannot be true."""


class Tally:
    """A counter that one client increments."""

    def __init__(self, losses: Callable[[], int] = lambda: 0) -> None:
        self._losses = losses
        self.resets = 0
        self.acked = 0          # since the last reset
        self.unknown = 0        # of those whose outcome was not told, since the last reset
        self._late = 0          # and since the last reply

    def counted(self, value: int) -> None:
        """INCR or GET said so; an INCR was acknowledged before by `acknowledge`."""
        if self.acked <= value <= self.acked + self.unknown:
            self._late = 0
            return
        raise Lie(f"the counter is {value}; {self.acked} were acknowledged, {self.unknown} more may have been done")

    def incremented(self, value: int) -> None:
        """The reply to an INCR."""
        if self.acked < value <= self.acked + 1 + self.unknown:
            self.acked += 1
        elif 1 <= value <= 1 + self._late and self.resets < self._losses():
            self.resets += 1
            self.acked, self.unknown = 1, self._late
        else:
            raise Lie(f"INCR gave {value}; {self.acked} were acknowledged, {self.unknown} more may have been done, "
                      f"{self.resets} resets of {self._losses()} losses")
        self._late = 0

    def missed(self) -> None:
        """An INCR whose outcome was not told."""
        self.unknown += 1
        self._late += 1


class Register:
    """A key that one client sets to ever larger numbers."""

    def __init__(self, losses: Callable[[], int] = lambda: 0) -> None:
        self._losses = losses
        self.resets = 0
        self.next = 0
        self.value: int | None = None
        self.unknown: set[int] = set()

    def number(self) -> int:
        """What to write next."""
        self.next += 1
        return self.next

    def written(self, number: int) -> None:
        """SET said OK. What was sent earlier, on whatever connection, cannot come after it."""
        self.value = number
        self.unknown.clear()

    def missed(self, number: int) -> None:
        """A SET whose outcome was not told."""
        self.unknown.add(number)

    def read(self, reply: bytes | None) -> None:
        """GET, or a place of MGET, said so."""
        number = None if reply is None else int(reply)
        if number == self.value:
            return
        if number in self.unknown:
            self.value = number
            self.unknown = {other for other in self.unknown if other > number}
        elif number is None and self.resets < self._losses():
            self.resets += 1
            self.value = None
        else:
            raise Lie(f"GET gave {number}, not {self.value}, nor one of {sorted(self.unknown)} whose outcome was not "
                      f"told; {self.resets} resets of {self._losses()} losses")


class Command:
    """A command of a batch: `words`, what its reply means to the ledgers, what it means that there is none."""

    def __init__(self, words: Sequence[Any], told: Callable[[Any], None], missed: Callable[[], None]) -> None:
        self.words = words
        self.told = told
        self.missed = missed


class Worker(threading.Thread):
    """One client under load.

    replies: how many values; errors: text, without the engine's number -> how often; lies: what was wrong, in words
    (one ends the worker); slowest_s: the longest time from a batch to its last reply; ended: connections that ended
    under it.
    """

    def __init__(self, connect: Callable[[], Conn], keys: Sequence[str], seed: int = 0, depth: int = 8,
                 losses: Callable[[], int] = lambda: 0, pause_s: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.connect = connect
        self.rng = random.Random(seed)
        self.depth = depth
        self.pause_s = pause_s
        self.tallies = {f"{key}:n": Tally(losses) for key in keys}
        self.registers = {f"{key}:v": Register(losses) for key in keys}
        self.replies = 0
        self.errors: Counter[str] = Counter()
        self.lies: list[str] = []
        self.slowest_s = 0.0
        self.ended = 0
        self.refusals = 0
        self.refused: deque[Sequence[Any]] = deque(maxlen=20)
        self._stopping = threading.Event()
        self._conn: Conn | None = None

    # --- what is asked --------------------------------------------------------------------------------------------

    def batch(self) -> list[Command]:
        makers = (self.increment, self.increment, self.set, self.get, self.get, self.set_many, self.get_many,
                  self.count)
        return [self.rng.choice(makers)() for _ in range(self.rng.randint(1, self.depth))]

    def increment(self) -> Command:
        key, tally = self.rng.choice(list(self.tallies.items()))
        return Command(("INCR", key), tally.incremented, tally.missed)

    def count(self) -> Command:
        key, tally = self.rng.choice(list(self.tallies.items()))

        def told(reply: bytes | None) -> None:
            # a counter that was lost is seen with the next INCR
            if reply is not None and tally.acked <= int(reply):
                tally.counted(int(reply))

        return Command(("GET", key), told, lambda: None)

    def set(self) -> Command:
        key, register = self.rng.choice(list(self.registers.items()))
        number = register.number()

        def told(reply: Any) -> None:
            if reply != OK:
                raise Lie(f"SET was answered with {reply!r}")
            register.written(number)

        return Command(("SET", key, number), told, lambda: register.missed(number))

    def get(self) -> Command:
        key, register = self.rng.choice(list(self.registers.items()))
        return Command(("GET", key), register.read, lambda: None)

    def set_many(self) -> Command:
        chosen = [(key, register, register.number()) for key, register in self.registers.items()]

        def told(reply: Any) -> None:
            if reply != OK:
                raise Lie(f"MSET was answered with {reply!r}")
            for _, register, number in chosen:
                register.written(number)

        def missed() -> None:
            for _, register, number in chosen:
                register.missed(number)

        return Command(("MSET", *(word for key, _, number in chosen for word in (key, number))), told, missed)

    def get_many(self) -> Command:
        chosen = list(self.registers.items())

        def told(reply: list) -> None:
            if len(reply) != len(chosen):
                raise Lie(f"MGET of {len(chosen)} keys gave {len(reply)} values")
            for (_, register), value in zip(chosen, reply):
                register.read(value)

        return Command(("MGET", *(key for key, _ in chosen)), told, lambda: None)

    # --- asking ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.turn(self.batch())
                if self.pause_s:
                    time.sleep(self.pause_s)
        except Exception as error:      # noqa: BLE001, whatever it is, the test must hear of it
            self.lies.append(f"{type(error).__name__}: {error}")
        finally:
            if self._conn is not None:
                self._conn.close()

    def turn(self, batch: list[Command]) -> None:
        """Send a batch and judge every reply."""
        conn = self._conn or self._open()
        if conn is None:
            return
        at = 0
        started = time.monotonic()
        try:
            conn.send(b"".join(encode(*command.words) for command in batch))
            for at, command in enumerate(batch):
                self._judge(command, conn.read())
            at = len(batch)
        except (Closed, OSError) as error:
            if isinstance(error, TimeoutError):
                raise Lie(f"no reply to {batch[at].words} in {conn.sock.gettimeout()} s") from None
            self.ended += 1
            self._conn = None
            conn.close()
            for command in batch[at:]:
                command.missed()
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)

    def _judge(self, command: Command, reply: Any) -> None:
        if not isinstance(reply, Error):
            self.replies += 1
            try:
                command.told(reply)
            except (Lie, ValueError, TypeError) as error:
                raise Lie(f"{command.words[:4]}: {error}; refused before: {list(self.refused)}") from None
            return
        self.errors[re.sub(r"\d+", "N", reply)] += 1
        if LOST.match(reply) or reply.code == "LOADING":     # of a write that was split, only a part was refused
            command.missed()
        elif REFUSED.match(reply):
            self.refused.append(command.words)
        else:
            raise Lie(f"{command.words[:4]} was answered with {reply!r}")

    def _open(self) -> Conn | None:
        try:
            self._conn = self.connect()
        except (Closed, OSError):
            self.refusals += 1
            time.sleep(REOPEN_S)
        return self._conn

    # --- the end --------------------------------------------------------------------------------------------------

    def finish(self, timeout_s: float = 30.0) -> None:
        """Stop, and raise AssertionError where anything was wrong."""
        self._stopping.set()
        self.join(timeout_s)
        assert not self.is_alive(), f"{self.name} still waits for a reply"
        assert not self.lies, self.lies

    def settle(self, conn: Conn) -> None:
        """After `finish`, with nothing broken any more: every key is what the ledgers allow. Asked on `conn`."""
        for key, tally in self.tallies.items():
            value = int(conn.must("GET", key) or 0)
            if tally.resets < tally._losses() and value <= tally._late:
                continue
            tally.counted(value)
        for key, register in self.registers.items():
            register.read(conn.must("GET", key))
