"""A tree under load whose processes are killed, stopped and told to end at random.

    python -m tests.soak.run [--seconds 600] [--seed 1] [--engines 3] [--proxies 2] [--clients 8] [--pause 2.0]

Half of the clients do what harness.load does: counters and registers over all engines in deep pipelines, each reply
judged. The others are what a server meets: they ask for all keys, ask for large values and read slowly, go away in the
middle. After each fault, and before the next, the tree must be whole again within `WHOLE_S`, every client must be
answered again, and DEBUG CHECK finds every structure sound. At the end: no client was told a lie, nothing is left
behind in the proxies, every process was up again and ends when it is told to.

What is lost with an engine that is killed is known to be lost (harness.load, `losses`); all else must be there.
A seed gives the same faults in the same order; when they hit, the machine decides.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import OK, Closed, build, encode  # noqa: E402
from harness.faults import children, eventually, stopped, whole  # noqa: E402
from harness.load import Worker  # noqa: E402
from harness.servers import Server  # noqa: E402

WHOLE_S = 60.0          # a restart pauses for 10 s at most, and a busy machine starts Python slowly
HANG_S = (0.05, 1.5)
LARGE = 3_000_000
RSS_GROWTH_MAX = 150 * 2**20 if build.variant() != "asan" else 2**40    # there, freed memory is kept for a while


class Nuisance(threading.Thread):
    """A client that takes no notice of manners. What it is told is not judged but for being answered at all."""

    def __init__(self, tree: Server, seed: int) -> None:
        super().__init__(daemon=True)
        self.tree, self.rng = tree, random.Random(seed)
        self.turns = 0
        self.stopping = threading.Event()
        self.wrong: list[str] = []

    def run(self) -> None:
        acts = (self.ask_everybody, self.read_slowly, self.vanish, self.come_and_go)
        while not self.stopping.is_set():
            try:
                self.rng.choice(acts)()
                self.turns += 1
            except TimeoutError as error:
                self.wrong.append(f"no reply: {error!r}")
                return
            except (Closed, OSError):
                time.sleep(0.02)
            except Exception as error:      # noqa: BLE001, whatever it is, the run must hear of it
                self.wrong.append(repr(error))
                return

    def ask_everybody(self) -> None:
        with self.tree.conn(resp=self.rng.choice((2, 3))) as conn:
            conn.many("DBSIZE", "KEYS *", "RANDOMKEY", "INFO", "SCAN 0 COUNT 1000", "CLIENT LIST", "SLOWLOG GET",
                      "RENAME nuisance:a nuisance:b", "MSETNX nuisance:a 1 nuisance:b 2 nuisance:c 3",
                      "COPY nuisance:b nuisance:c REPLACE", "DEL nuisance:a nuisance:b nuisance:c")

    def read_slowly(self) -> None:
        key = f"nuisance:large:{self.rng.randrange(4)}"
        with self.tree.conn(rcvbuf_bytes=16384) as conn:
            conn("SETRANGE", key, LARGE, "x")
            conn.send(encode("GET", key) * 3)
            time.sleep(0.1)
            for _ in range(3):
                conn.read()

    def vanish(self) -> None:
        stream = (encode("MGET", *[f"nuisance:large:{n}" for n in range(4)])
                  + encode("MSET", *[word for n in range(50) for word in (f"nuisance:{n}", "v" * 1000)])
                  + b"PING\r\n") * 2
        with self.tree.conn() as conn:
            conn.send(stream[:self.rng.randrange(len(stream))])
            with contextlib.suppress(TimeoutError):
                conn.sock.settimeout(0.05)
                conn.sock.recv(self.rng.randrange(1, 100_000))

    def come_and_go(self) -> None:
        conns = []
        try:
            for _ in range(30):
                conns.append(self.tree.conn())
                conns[-1].send(encode("PING"))
            for conn in conns:
                conn.read()
        finally:
            for conn in conns:
                conn.close()


class Soak:
    """See the head of the module."""

    def __init__(self, tree: Server, seed: int, clients: int) -> None:
        self.tree = tree
        self.rng = random.Random(seed)
        self.losses = 0
        self.faults = 0
        self.workers = [Worker(lambda resp=2 + n % 2, db=n % 3: tree.conn(resp=resp, db=db),
                               [f"w{n}:{key}" for key in range(6)], seed + n, depth=20, losses=lambda: self.losses)
                        for n in range(max(clients // 2, 1))]
        self.nuisances = [Nuisance(tree, seed + n) for n in range(max(clients - clients // 2, 1))]
        self.databases = [n % 3 for n in range(len(self.workers))]
        self.resident = 0

    def run(self, seconds: float, pause_s: float, faults_min: int = 0) -> None:
        """For so long, and until there were so many faults. Raises AssertionError where anything is wrong."""
        for thread in [*self.workers, *self.nuisances]:
            thread.start()
        self.answered()
        self.resident = self.resident_bytes()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or self.faults < faults_min:
            time.sleep(self.rng.uniform(0.2, 1.0) * pause_s)
            self.fault()
            eventually(lambda: whole(self.tree), WHOLE_S)
            self.answered()
            self.sound()
        self.finish()

    # --- faults ---------------------------------------------------------------------------------------------------

    def fault(self) -> None:
        """One, two or all children, in one of the ways."""
        names = sorted(children(self.tree))
        act = self.rng.choice((self.kill, self.kill, self.kill, self.hang, self.end))
        victims = self.rng.sample(names, self.rng.choice((1, 1, 1, 2, len(names))))
        print(f"{time.strftime('%H:%M:%S')} {act.__name__} {', '.join(victims)}", flush=True)
        self.faults += 1
        act(victims)

    def pids(self, victims: list[str]) -> list[int]:
        known = children(self.tree)
        return [known[name]["pid"] for name in victims if known[name]["pid"]]

    def kill(self, victims: list[str]) -> None:
        self.send(victims, signal.SIGKILL)

    def end(self, victims: list[str]) -> None:
        self.send(victims, signal.SIGTERM)

    def send(self, victims: list[str], number: int) -> None:
        before = {name: child["restarts"] for name, child in children(self.tree).items()}
        self.losses += sum(name.startswith("engine") for name in victims)
        for pid in self.pids(victims):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        eventually(lambda: all(children(self.tree)[name]["restarts"] > before[name] for name in victims), WHOLE_S)

    def hang(self, victims: list[str]) -> None:
        with contextlib.ExitStack() as all_of_them:
            for pid in self.pids(victims):
                all_of_them.enter_context(stopped(pid))
            time.sleep(self.rng.uniform(*HANG_S))

    # --- what must be true ----------------------------------------------------------------------------------------

    def answered(self) -> None:
        """Every client is answered now."""
        before = [worker.replies for worker in self.workers]
        turns = [nuisance.turns for nuisance in self.nuisances]
        eventually(lambda: self.wrong() or all(
            [worker.replies > n + 20 for worker, n in zip(self.workers, before)]
            + [nuisance.turns > n for nuisance, n in zip(self.nuisances, turns)]), WHOLE_S)
        assert not self.wrong(), self.wrong()

    def wrong(self) -> list[str]:
        return sum([worker.lies for worker in self.workers] + [nuisance.wrong for nuisance in self.nuisances], [])

    def sound(self) -> None:
        with self.tree.conn() as conn:
            assert conn.must("DEBUG CHECK") == OK

    def resident_bytes(self) -> int:
        return max(p.memory_info().rss for p in self.tree.children() if "proxy.main" in " ".join(p.cmdline()))

    def finish(self) -> None:
        for nuisance in self.nuisances:
            nuisance.stopping.set()
        for worker in self.workers:
            worker.finish()
        for nuisance in self.nuisances:
            nuisance.join(60)
            assert not nuisance.is_alive(), "a client still waits for a reply"
        assert not self.wrong(), self.wrong()
        for worker, db in zip(self.workers, self.databases):
            with self.tree.conn(db=db) as conn:
                worker.settle(conn)
        with self.tree.conn() as conn:
            conn.must("FLUSHALL")
            eventually(lambda: len(conn.must("CLIENT LIST").splitlines()) == 1)
        self.sound()
        assert "Traceback" not in self.tree.log(), "a process has raised an exception"
        grown = self.resident_bytes() - self.resident
        assert grown < RSS_GROWTH_MAX, f"a proxy has grown by {grown >> 20} MB"

    def summary(self) -> str:
        return (f"{self.faults} faults, {sum(worker.replies for worker in self.workers)} replies judged, "
                f"{sum(sum(worker.errors.values()) for worker in self.workers)} errors told, "
                f"{sum(worker.ended for worker in self.workers)} connections lost with their proxy, "
                f"{sum(nuisance.turns for nuisance in self.nuisances)} turns of clients without manners")


def main() -> int:
    parser = argparse.ArgumentParser(description="a tree under load and under faults")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--engines", type=int, default=3)
    parser.add_argument("--proxies", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=2.0, help="longest time between two faults, in seconds")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that the servers end too
    print(f"seed {options.seed}", flush=True)
    with Server("tree", engines=options.engines, proxies=options.proxies,
                cluster_require_full_coverage="no") as tree:
        soak = Soak(tree, options.seed, options.clients)
        try:
            soak.run(options.seconds, options.pause)
        except AssertionError:
            print(tree.log_tail(), flush=True)
            raise
        finally:
            print(soak.summary(), flush=True)
        tree.signal(signal.SIGTERM)
        assert tree.wait() == 0, "it does not end as it should"
    return 0


if __name__ == "__main__":
    sys.exit(main())
