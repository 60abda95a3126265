"""kill -9 of an engine under load, again and again: what its append-only file brings back.

    python -m tests.soak.kill9 [--cycles 200] [--appendfsync always|everysec|no] [--seed 1] [--clients 8] [--hostile]

Each client has a ledger: what it has sent, and what was acknowledged, and when. A step of a client is a transaction
that sets two keys and counts in a third, and a plain command; several steps are on their way at once. In the middle of
that, often while the log is being rewritten, the engine is killed. What the next one has loaded must be

- whole:    the two keys and the count of a transaction are of the same step (no part of a unit, nothing twice),
- honest:   no step that was never sent,
- complete: with `always` every step that was acknowledged; with `everysec` all but those of the last two seconds.

--hostile: meanwhile the log is also switched off and on, rewritten twice at once and while a snapshot is saved, the
children that save die by signals, and the end may come within a SHUTDOWN. While the log is off, or on but its first
rewrite is not done, what it had when it was switched off is what must be there at least.
"""
import argparse
import contextlib
import itertools
import random
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Closed, Error, encode  # noqa: E402
from harness.conn import Conn  # noqa: E402
from harness.servers import Server  # noqa: E402

DEPTH = 4
"""Steps of a client that are on their way at once."""
AT_RISK_S = {"always": 0.0, "everysec": 2.0, "no": 60.0}
"""How old an acknowledged step may be that is lost."""
RUN_S = (0.1, 0.7)
"""How long an engine lives under load."""
PAD = "x" * 400
"""Makes the log grow, so that it is rewritten all the while."""
HOSTILE = ("rewrite", "twice", "save", "child", "off", "on", "on")
CHILD_DIES_BY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT)
ENDS = ("KILL", "KILL", "SHUTDOWN NOSAVE", "SHUTDOWN SAVE", "SHUTDOWN NOW FORCE")
SHUTDOWN_S = 0.06
"""How long a SHUTDOWN has at most, before the engine is killed: some get to their end, some do not."""


class Client(threading.Thread):
    """One connection's life. done: the last step that was acknowledged; sent: the last one that was sent."""

    def __init__(self, port: int, number: int, start: int) -> None:
        super().__init__(daemon=True)
        self.port, self.number = port, number
        self.done = self.sent = start
        self.acknowledged: deque[tuple[float, int]] = deque([(0.0, start)])
        self.wrong: str | None = None

    def step(self, n: int) -> bytes:
        me = self.number
        return b"".join(encode(*words) for words in (
            ("MULTI",), ("SET", f"a{me}", n), ("INCR", f"count{me}"), ("SET", f"b{me}", f"{n} {PAD}"), ("EXEC",),
            ("SET", f"plain{me}", n)))

    def run(self) -> None:
        with contextlib.suppress(OSError, Closed, EOFError):
            conn = Conn(self.port)
            while True:
                while self.sent < self.done + DEPTH:
                    conn.send(self.step(self.sent + 1))
                    self.sent += 1
                replies = [conn.read() for _ in range(6)]
                if not self.right(replies):
                    if not self.excused(replies):
                        self.wrong = f"client {self.number}, step {self.done + 1}: {replies}"
                    return
                self.done += 1
                self.acknowledged.append((time.monotonic(), self.done))

    def right(self, replies: list[Any]) -> bool:
        """Whether these are a step's replies, and of the next one."""
        return not any(isinstance(reply, Error) for reply in replies) and replies[4][1] == self.done + 1

    def excused(self, replies: list[Any]) -> bool:
        """Whether replies that are not right are no lie: they end this client, and that is all."""
        return False

    def safe(self, killed_at: float, at_risk_s: float) -> int:
        """The last step that must be there."""
        return max(n for when, n in self.acknowledged if when <= killed_at - at_risk_s or n == self.acknowledged[0][1])


class Kill9:
    """The cycles. steps: acknowledged in all; lost: of them, within what the policy allows; met: what has happened, and
    how often."""

    def __init__(self, policy: str, clients: int, seed: int, hostile: bool = False) -> None:
        self.policy, self.rng, self.clients = policy, random.Random(seed), clients
        self.hostile = hostile
        self.steps = self.lost = 0
        self.met: Counter[str] = Counter()
        self.off_at: float | None = None    # since when not all goes to the log
        self.server = Server("engine", appendonly="yes", appendfsync=policy, auto_aof_rewrite_min_size="200kb",
                             auto_aof_rewrite_percentage="30", aof_use_rdb_preamble=self.rng.choice(["yes", "no"]),
                             hz="50")
        self.state = dict.fromkeys(range(clients), 0)

    def run(self, cycles: int, enough: Callable[[], object] = lambda: True) -> None:
        """All of them, and more until there was enough of what hangs on the machine; AssertionError at the first
        lie."""
        try:
            self.server.start()
            for cycle in itertools.count():
                if cycle >= cycles and enough():
                    break
                self.cycle(cycle)
        finally:
            self.server.stop()

    def cycle(self, cycle: int) -> None:
        clients = [Client(self.server.port, number, self.state[number]) for number in range(self.clients)]
        for client in clients:
            client.start()
        self.off_at = None
        end = time.monotonic() + self.rng.uniform(*RUN_S)
        with self.server.conn() as c:
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, self.rng.uniform(0, 0.1 if self.hostile else 0.3)))
                self.disturb(c, self.rng.choice(HOSTILE) if self.hostile else "rewrite")
            self.end(c, self.rng.choice(ENDS) if self.hostile else "KILL")
        killed_at = time.monotonic() if self.off_at is None else self.off_at
        self.server.wait()
        for client in clients:
            client.join(30)
        self.server.start()
        for client in clients:
            assert client.wrong is None, client.wrong
            assert not client.is_alive()
            self.judge(cycle, client, killed_at)
        with self.server.conn() as c:
            assert c.must("DEBUG CHECK") is not None

    def disturb(self, c: Conn, what: str) -> None:
        """Something happens to the files."""
        self.met[what] += 1
        if what == "rewrite":
            c("BGREWRITEAOF")
        elif what == "twice":
            c.many("BGREWRITEAOF", "BGREWRITEAOF", "BGSAVE SCHEDULE")
        elif what == "save":
            c("BGSAVE")
        elif what == "child":
            for child in self.server.children():
                number = self.rng.choice(CHILD_DIES_BY)
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.send_signal(number)
        elif what == "off":
            self.off_at = self.off_at or time.monotonic()
            c.must("CONFIG SET appendonly no")
        else:
            c.must("CONFIG SET appendonly yes")
        if self.off_at is not None and self.logs(c):
            self.off_at = None
            self.met["on again"] += 1

    @staticmethod
    def logs(c: Conn) -> bool:
        """Whether the log is on, and its first rewrite done."""
        text = c.must("INFO persistence")
        return all(f"\r\naof_{fact}\r\n".encode() in text for fact in (
            "enabled:1", "rewrite_in_progress:0", "rewrite_scheduled:0"))

    def end(self, c: Conn, how: str) -> None:
        """The engine's, at the latest when it is killed."""
        self.met[how] += 1
        if how != "KILL":
            c.send(encode(*how.split()))
            time.sleep(self.rng.uniform(0, SHUTDOWN_S))
            self.met["ended by itself"] += not self.server.alive()
        self.server.process.kill()

    def judge(self, cycle: int, client: Client, killed_at: float) -> None:
        """Compare what is there with the ledger."""
        me = client.number
        with self.server.conn() as c:
            a, count, b, plain = (int((value or b"0").split()[0]) for value in c.must(
                "MGET", f"a{me}", f"count{me}", f"b{me}", f"plain{me}"))
        what = (f"cycle {cycle}, client {me}: a={a} count={count} b={b} plain={plain}, sent {client.sent}, done "
                f"{client.done}, off at {self.off_at}, killed at {killed_at}, {list(client.acknowledged)[-5:]}")
        assert a == b == count and plain in (a, a - 1), f"not whole: {what}"
        assert a <= client.sent, f"never sent: {what}"
        assert plain >= client.safe(killed_at, AT_RISK_S[self.policy]), f"lost: {what}"
        self.steps += client.done - self.state[me]
        self.lost += max(0, client.done - plain)
        if plain < a:       # its plain command was cut off: the next step goes on from here
            with self.server.conn() as c:
                c.must("SET", f"plain{me}", a)
        self.state[me] = a


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--appendfsync", choices=AT_RISK_S, default="always")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--hostile", action="store_true", help="the log goes off and on, children die, and more")
    options = parser.parse_args()
    kills = Kill9(options.appendfsync, options.clients, options.seed, options.hostile)
    kills.run(options.cycles)
    print(f"{options.cycles} times killed with appendfsync {options.appendfsync}: {kills.steps} steps acknowledged, "
          f"{kills.lost} of them lost{', while the log was off' if options.hostile else ''}; {dict(kills.met)}")


if __name__ == "__main__":
    main()
