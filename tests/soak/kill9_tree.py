"""kill -9 of a whole tree under load, again and again: what was acknowledged by a proxy is there after the next start.

    python -m tests.soak.kill9_tree [--cycles 50] [--seed 1] [--clients 6]

The ledger is kill9's, kept by clients of the proxies: a step is a transaction on keys of one slot, and an MSET over all
engines. The log is rewritten now and then. Then all processes are killed, or the supervisor alone, whose children have
to find out by themselves; and at once a tree is started from the same files, often with another number of engines. That
one may be killed, too, while it makes the engines' files anew; and the one after it, which may have yet another number.
When one is left to come up, each transaction is there whole, nothing is there that was not sent, and with
appendfsync always nothing is missing that was acknowledged.
"""
import argparse
import contextlib
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil  # noqa: E402

from harness import OK, Closed, Error, encode  # noqa: E402
from harness.servers import Server  # noqa: E402
from soak import kill9  # noqa: E402
from soak.kill9 import PAD, RUN_S  # noqa: E402

ENGINES = (1, 2, 3)
SPREAD = 6
"""Keys of an MSET: over all engines, mostly."""
STEPS_MIN = 2
"""What each client does before anything happens, however slow the machine is."""
SECOND_KILL_S = 2.5
"""How long a tree that starts may have before it is killed again."""
READY_S = 60


class Client(kill9.Client):
    """One connection's life, through a proxy."""

    def __init__(self, port: int, number: int, start: int, ending: threading.Event) -> None:
        super().__init__(port, number, start)
        self.ending = ending

    def keys(self) -> tuple[list[str], list[str]]:
        """Those of the transaction, and those of the MSET."""
        me = self.number
        return ([f"{{{me}}}:{name}" for name in ("first", "count", "last")], [f"{me}:{n}" for n in range(SPREAD)])

    def step(self, n: int) -> bytes:
        (first, count, last), spread = self.keys()
        return b"".join(encode(*words) for words in (
            ("MULTI",), ("SET", first, n), ("INCR", count), ("SET", last, f"{n} {PAD}"), ("EXEC",),
            ("MSET", *[word for key in spread for word in (key, n)])))

    def right(self, replies: list[Any]) -> bool:
        return (not any(isinstance(reply, Error) for reply in replies) and replies[4] == [OK, self.done + 1, OK]
                and replies[5] == OK)

    def excused(self, replies: list[Any]) -> bool:
        """Of a tree that ends, engines are gone before the proxy is."""
        return self.ending.is_set() and any(isinstance(reply, Error) for reply in replies)


class Kill9Tree:
    """The cycles. steps: acknowledged in all; met: what has happened, and how often."""

    def __init__(self, clients: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.steps = 0
        self.met: Counter[str] = Counter()
        self.tree = Server("tree", engines=3, proxies=2, appendonly="yes", appendfsync="always",
                           auto_aof_rewrite_min_size="200kb", auto_aof_rewrite_percentage="50",
                           aof_use_rdb_preamble=self.rng.choice(["yes", "no"]))
        self.state = dict.fromkeys(range(clients), 0)

    def run(self, cycles: int) -> None:
        """All of them; AssertionError at the first lie."""
        try:
            self.tree.start()
            for cycle in range(cycles):
                self.cycle(cycle)
        finally:
            self.tree.stop()

    def cycle(self, cycle: int) -> None:
        rng, ending = self.rng, threading.Event()
        clients = [Client(self.tree.port, number, start, ending) for number, start in self.state.items()]
        for client in clients:
            client.start()
        time.sleep(rng.uniform(*RUN_S))
        while any(client.is_alive() and client.done < self.state[client.number] + STEPS_MIN for client in clients):
            time.sleep(0.01)
        if rng.random() < 0.5:
            with self.tree.conn() as c:
                c("BGREWRITEAOF")
            time.sleep(rng.uniform(0, 0.2))
        ending.set()
        self.kill(rng.choice(["all", "supervisor", "supervisor last"]))
        while True:
            self.tree.options["engines"] = count = rng.choice(ENGINES)
            self.met[f"start with {count}"] += 1
            self.tree.start(ready=False)
            if rng.random() < 0.5:
                break
            time.sleep(rng.uniform(0, SECOND_KILL_S))
            self.kill("while it starts")
        self.wait_ready()
        for client in clients:
            client.join(30)
            assert not client.is_alive() and client.wrong is None, client.wrong
            self.judge(cycle, client)
        with self.tree.conn() as c:
            assert c.must("DEBUG CHECK") == OK

    def wait_ready(self) -> None:
        """Until all keys can be asked for. A tree whose predecessor is still dying waits for it."""
        deadline = time.monotonic() + READY_S
        while True:
            with contextlib.suppress(OSError, Closed), self.tree.conn() as c:
                if not isinstance(c("DBSIZE"), Error):
                    return
            assert self.tree.alive(), f"it ended with {self.tree.wait()}\n{self.tree.log_tail()}"
            assert time.monotonic() < deadline, self.tree.log_tail()
            time.sleep(0.05)

    def kill(self, how: str) -> None:
        """All that runs, in some order, or the supervisor alone."""
        self.met[how] += 1
        supervisor, family = self.tree.process, self.tree.children()
        random.Random(self.rng.random()).shuffle(family)       # which may be more or fewer: the rest stays the same
        if how != "supervisor last":
            supervisor.send_signal(signal.SIGKILL)
        if how != "supervisor":
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        supervisor.kill()
        self.tree.wait()

    def judge(self, cycle: int, client: Client) -> None:
        """Compare what is there with the ledger."""
        transaction, spread = client.keys()
        with self.tree.conn() as c:
            first, count, last = found = [int((c.must("GET", key) or b"0").split()[0]) for key in transaction]
            others = [int(c.must("GET", key) or 0) for key in spread]
            what = (f"cycle {cycle}, client {client.number}: {found} {others}, sent {client.sent}, done {client.done}; "
                    f"{dict(self.met)}")
            assert first == count == last, f"not whole: {what}"
            assert max(first, *others) <= client.sent, f"never sent: {what}"
            assert min(first, *others) >= client.done, f"lost: {what}"
            self.steps += client.done - self.state[client.number]
            self.state[client.number] = start = max(first, *others)
            c.must("MSET", *[word for key in transaction + spread for word in (key, start)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=6)
    options = parser.parse_args()
    kills = Kill9Tree(options.clients, options.seed)
    kills.run(options.cycles)
    print(f"{options.cycles} times killed as a tree: {kills.steps} steps acknowledged, none lost; {dict(kills.met)}")


if __name__ == "__main__":
    main()
