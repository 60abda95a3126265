"""Random commands across restarts: what an engine had before its end, it has after its start.

    python -m tests.differential.restarts --seconds 600 [--seed 7] [--lives 1000]

A life is a directory in which engine after engine runs, each with other options: how the log is synced and what its
base looks like, the thresholds of packed values. Commands of every type come in pipelines, from several clients, while
the log is rewritten, switched off and on, dump.rdb is saved, all is loaded anew; and then the engine ends, by a signal
or SHUTDOWN. There are two kinds of life:

- *Any* commands, chance and short times to live among them. The engine is asked for everything before its end, when all
  replies have come, and its successor must give the same. In some lives nothing is used that Redis 7.0 does not know:
  then its tools check a copy of the files, and a redis-server 7.0 that starts from it must give the same, too.
- *Cut* lives end by kill -9 with a pipeline under way. An engine without files, the twin, runs the same commands, and
  the successor must have what the twin has after some number of them, no less than were answered.

A seed gives the same commands; where in them an engine ends is the machine's choice. The exit code is the number of
lives that went wrong. Of each a directory is kept: `left` are the files as the last engine's end left them, `now` what
its successor made of them, `story.txt` says everything in which they differ, and the commands under way.

A sorted set may hold a score of -0 that nobody asked for (ZUNIONSTORE with WEIGHTS). Packed it is 0, in a tree it is -0
until it is packed: in Redis too, so with other thresholds a restart changes the sign, and the digest with it.
"""
import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from differential import commands, compare  # noqa: E402
from differential.commands import Generator, Key  # noqa: E402
from harness import Closed, Conn, Error, encode  # noqa: E402
from harness.servers import Server  # noqa: E402

DATABASES = commands.DATABASES
LEASE_DB = 9
SHORT_MS = 25
NEAR_MS = 90_000   # the twin runs a command so much later; other times to live are 100 s away at least
WAIT_S = 20
WAIT = b"0.05"
Words = tuple[bytes, ...]
State = dict[tuple[int, bytes], tuple]


# --- more commands than those that a real Redis answers alike ------------------------------------------------------

def _short(g: Generator) -> bytes:
    return b"%d" % g.rng.choice([1, 1, 3, 10, SHORT_MS])


def _named(g: Generator) -> list:
    fields = [b"f%d" % g.rng.randint(0, 9) for _ in range(g.rng.choice([1, 1, 2, 5]))]
    return [b"FIELDS", b"%d" % len(fields), *fields]


def _field_time(unit_ms: int, absolute: bool) -> Any:
    def make(g: Generator) -> list:
        when = g.time(unit_ms, absolute)
        if unit_ms == 1 and not absolute and g.rng.random() < 0.5:
            when = _short(g)
        return [g.key(), when, *g.rng.choice([[], [], [b"NX"], [b"XX"], [b"GT"], [b"LT"]]), *_named(g)]
    return make


def _hsetex(g: Generator) -> list:
    names = _named(g)
    pairs = [word for field in names[2:] for word in (field, g.value())]
    times = [[], g.time_option(), g.time_option(), [b"KEEPTTL"], [b"PX", _short(g)]]
    return [g.key(), *g.rng.choice([[], [b"FNX"], [b"FXX"]]), *g.rng.choice(times), *names[:2], *pairs]


def _hgetex(g: Generator) -> list:
    times = [[], [b"PERSIST"], g.time_option(), [b"PX", _short(g)]]
    return [g.key(), *g.rng.choice(times), *_named(g)]


CHANCE = [
    ("SPOP", lambda g: [g.key(), Key(g.rng.choice([b"1", b"2", b"7", b"60"]))], 6), ("SPOP", lambda g: [g.key()], 6),
    ("SET", lambda g: [g.key(), g.value(), b"PX", _short(g)], 4), ("PEXPIRE", lambda g: [g.key(), _short(g)], 4),
    ("GETEX", lambda g: [g.key(), b"PX", _short(g)], 2), ("FLUSHALL", lambda g: [], 1),
]
NEWER = [
    ("HEXPIRE", _field_time(1000, False), 4), ("HPEXPIRE", _field_time(1, False), 8),
    ("HEXPIREAT", _field_time(1000, True), 4), ("HPEXPIREAT", _field_time(1, True), 4),
    ("HPERSIST", lambda g: [g.key(), *_named(g)], 4), ("HSETEX", _hsetex, 6), ("HGETEX", _hgetex, 4),
    ("HGETDEL", lambda g: [g.key(), *_named(g)], 3),
]


def generator(rng: Random, *, chance: bool, newer: bool) -> Generator:
    """What a life sends. chance: effects need not be the same twice; newer: than Redis 7.0."""
    made = Generator(rng, rng.choice([commands.ENGINE] * 6 + [commands.TAGGED, commands.WIDE]))
    more = (CHANCE if chance else []) + (NEWER if newer else [])
    made.more(more)
    return made


# --- one life ---------------------------------------------------------------------------------------------------------

class Wrong(Exception):
    """The successor has something else. story: all that may tell why, a line each."""

    def __init__(self, what: str, story: Iterable[str] = ()) -> None:
        super().__init__(what)
        self.story = list(story)


def options(rng: Random, cut: bool) -> dict[str, Any]:
    """The options of one engine."""
    yes = ["yes", "no"]
    made = {
        "appendfsync": rng.choice(["always", "no"] if cut else ["always", "everysec", "no"]),
        "aof-use-rdb-preamble": rng.choice(yes), "aof-timestamp-enabled": rng.choice(yes),
        "hash-max-listpack-entries": rng.choice("0 4 128 512".split()),
        "hash-max-listpack-value": rng.choice(["8", "64"]),
        "list-max-listpack-size": rng.choice("-2 -1 -5 1 7 128".split()), "list-compress-depth": rng.choice(["0", "1"]),
        "set-max-intset-entries": rng.choice(["0", "4", "512"]), "set-max-listpack-entries": rng.choice(["0", "128"]),
        "zset-max-listpack-entries": rng.choice(["0", "4", "128"]), "zset-max-listpack-value": rng.choice(["8", "64"]),
        "auto-aof-rewrite-min-size": rng.choice(["1kb", "64kb", "64mb"]), "auto-aof-rewrite-percentage": "50",
        "rdbcompression": rng.choice(yes), "rdb-key-save-delay": rng.choice(["0", "0", "500"]),
        "save": rng.choice([[""], ["1", "1"]]), "active-expire-effort": rng.choice(["1", "10"]),
        "lazyfree-lazy-expire": rng.choice(yes), "lazyfree-lazy-server-del": rng.choice(yes),
        "lazyfree-lazy-user-flush": rng.choice(yes),
    }
    return made


def settled(conn: Conn) -> dict[str, str]:
    """INFO persistence, when nothing is under way any more."""
    deadline = time.monotonic() + WAIT_S
    while True:
        facts = info(conn)
        if facts["rdb_bgsave_in_progress"] == facts["aof_rewrite_in_progress"] == facts["aof_rewrite_scheduled"] == "0":
            return facts
        assert time.monotonic() < deadline, f"a child does not end: {facts}"
        time.sleep(0.01)


def info(conn: Conn) -> dict[str, str]:
    """INFO persistence."""
    lines = conn.must("INFO persistence").decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def quiet(conn: Conn) -> None:
    """What lives for a short time is over: a hash whose last field fell due stays until the clock comes by."""
    time.sleep((SHORT_MS + 5) / 1000)
    deadline = time.monotonic() + WAIT_S
    for db in range(DATABASES + 1):
        conn.must("SELECT", db)
        while any(conn.must("TYPE", key) == compare.HASH and not conn.must("HGETALL", key)
                  for key in conn.must("KEYS *")):
            assert time.monotonic() < deadline, "a hash without fields stays"
            time.sleep(0.005)


def state(conn: Conn) -> State:
    """Everything but how it is packed, and in which node of a list; with the times of fields."""
    found: State = {}
    signed = False
    for (db, key), (kind, value, expires, _) in compare.keyspace(conn, DATABASES + 1).items():
        times: object = None
        if kind == compare.ZSET and b"-0" in value[1::2]:
            value, signed = [b"0" if word == b"-0" else word for word in value], True
        if kind == compare.HASH:
            conn.must("SELECT", db)
            names = [name for name, _ in value]
            times = conn("HPEXPIRETIME", key, "FIELDS", len(names), *names)
            times = None if isinstance(times, Error) or set(times) == {-1} else times
        found[db, key] = (kind, value, expires, times)
    conn.must("SELECT 0")
    if not signed:
        found[-1, b"digest"] = (conn.must("DEBUG DIGEST"),)
    return found


def differences(before: State, after: State) -> list[str]:
    """All of them, whatever the times."""
    return [f"{place}: before {before.get(place)!r}, after {after.get(place)!r}"
            for place in sorted(before.keys() | after.keys()) if before.get(place) != after.get(place)]


def differ(before: State, after: State, near: bool = False) -> str:
    """The first difference, in words; empty where there is none. near: relative times are not the very same."""
    for place in sorted(before.keys() | after.keys(), reverse=True):
        mine, other = before.get(place), after.get(place)
        if near and mine and other and len(mine) > 2 and min(mine[2], other[2]) > 0 \
                and abs(mine[2] - other[2]) < NEAR_MS:
            mine, other = mine[:2], other[:2]
        if mine != other and not (place[0] < 0 and None in (mine, other)):
            return f"{place}: before {before.get(place)!r:.600}, after {after.get(place)!r:.600}"
    return ""


class Life:
    """A directory and the engines that run in it, one after the other."""

    def __init__(self, seed: int, cut: bool) -> None:
        self.rng = Random(seed)
        self.cut = cut
        self.newer = self.rng.random() < 0.6
        self.generator = generator(self.rng, chance=not cut, newer=self.newer and not cut)
        self.server = Server("engine", appendonly="yes", enable_debug_command="yes")
        self.twin = Server("engine", enable_debug_command="yes") if cut else None
        self.left = Path(tempfile.mkdtemp(prefix="restarts-left-"))
        self.told: list[str] = []
        self.restarts = 0

    def __enter__(self) -> "Life":
        self.start()
        if self.twin is not None:
            self.twin.start()
        return self

    def __exit__(self, kind: object, error: object, _: object) -> None:
        if kind is not None and kind is not KeyboardInterrupt:
            self.keep(error.story if isinstance(error, Wrong) else [])
        self.server.stop()
        if self.twin is not None:
            self.twin.stop()
        shutil.rmtree(self.left, ignore_errors=True)

    def keep(self, story: list[str]) -> None:
        """The files, and what is known."""
        kept = Path(tempfile.mkdtemp(prefix="restarts-kept-"))
        with contextlib.suppress(shutil.Error):     # an engine that is at work renames and deletes
            shutil.copytree(self.server.dir, kept / "now")
        shutil.copytree(self.left, kept / "left")
        (kept / "story.txt").write_text("\n".join([*self.told, *story]) + "\n")
        self.tell(f"kept in {kept}")

    def ended(self) -> None:
        """The files as the engine's end left them are put by."""
        self.server.wait(WAIT_S)
        shutil.rmtree(self.left)
        shutil.copytree(self.server.dir, self.left)

    def tell(self, what: str) -> None:
        self.told.append(what)

    def start(self, **changes: str) -> None:
        chosen = options(self.rng, self.cut) | changes
        self.server.options |= chosen
        self.tell("start " + " ".join(f"--{name} {value}" for name, value in chosen.items()))
        self.server.start(ready=False)
        self.server.wait_ready()

    # --- what happens in it -------------------------------------------------------------------------------------------

    def run(self, restarts: int) -> None:
        """The whole life. Raises Wrong."""
        while self.restarts < restarts:
            if self.cut:
                self.cut_one()
            else:
                self.any_one()
            self.restarts += 1

    def batch(self, count: int) -> list[Words]:
        made: list[Words] = []
        while len(made) < count:
            made += self.generator.next()
        return made

    def any_one(self) -> None:
        """Commands and events until an engine's end, and the start of the next."""
        rng = self.rng
        with self.server.conn() as conn, self.server.conn() as other, self.server.conn() as waiter:
            for _ in range(rng.choice([1, 3, 8])):
                self.wait_for_something(waiter)
                before = rng.random()
                if before < 0.5:
                    self.event(other)
                conn.many(*self.batch(rng.choice([20, 100, 400])))
                if before < 0.2:
                    self.event(other)
                waiter.read()
            self.end(conn, other)

    def wait_for_something(self, waiter: Conn) -> None:
        """One who is served by what others do."""
        key, other = self.rng.sample(commands.ENGINE.groups[0], 2)
        waiter.must("SELECT", self.rng.randrange(DATABASES))
        waiter.send(encode(*self.rng.choice([
            (b"BLPOP", key, other, WAIT), (b"BLMOVE", key, other, b"LEFT", b"RIGHT", WAIT),
            (b"BZPOPMIN", key, WAIT), (b"BLMPOP", WAIT, b"2", key, other, b"LEFT", b"COUNT", b"5"),
            (b"BZMPOP", WAIT, b"1", key, b"MAX")])))

    def event(self, conn: Conn) -> None:
        """Something about the files."""
        what = self.rng.choice(["BGREWRITEAOF"] * 6 + ["BGSAVE"] * 2 + ["SAVE", "DEBUG RELOAD", "DEBUG LOADAOF", "off"])
        self.tell(what)
        if what == "off":
            conn.must("CONFIG SET appendonly no")
            conn.many(*self.batch(20))
            conn.must("RESET")
            conn.must("CONFIG SET appendonly yes")
            settled(conn)
        elif what.startswith("DEBUG"):
            settled(conn)
            quiet(conn)
            before = state(conn)
            conn.must(what)
            self.compare(before, conn, what)
        else:
            conn(what)      # one may be under way

    def compare(self, before: State, conn: Conn, where: str) -> None:
        after = state(conn)
        found = differ(before, after, self.cut)
        if found:
            raise Wrong(f"{where}: {found}", differences(before, after))
        conn.must("DEBUG CHECK")

    def end(self, conn: Conn, other: Conn) -> None:
        """The end of one engine by some way, and whether the next has it all."""
        rng = self.rng
        conn.must("RESET")
        other.must("RESET")
        quiet(other)
        before = state(other)
        lease = self.lease(other)
        how = rng.choice(["kill"] * 5 + ["term"] * 2 + ["nosave", "save", "dump"])
        if how == "kill" and rng.random() < 0.3:
            conn("BGREWRITEAOF")
            time.sleep(rng.random() * 0.05)
        self.tell(how)
        self.end_by(how, other)
        if not self.newer and rng.random() < 0.4:
            self.real(before, how == "dump", lease)
        self.start(**({"appendonly": "no"} if how == "dump" else {}))
        with self.server.conn() as conn:
            self.lapse(conn, lease)
            self.compare(before, conn, f"after {how}")
            if how == "dump":
                conn.must("CONFIG SET appendonly yes")
                settled(conn)
                self.server.options["appendonly"] = "yes"

    def end_by(self, how: str, conn: Conn) -> None:
        server = self.server
        if how == "kill":
            deadline = time.monotonic() + WAIT_S
            while info(conn)["aof_buffer_length"] != "0":       # everysec: what waits for a sync is at risk
                assert time.monotonic() < deadline
                time.sleep(0.01)
            server.process.kill()
        elif how == "term":
            settled(conn)
            server.process.terminate()
        else:
            settled(conn)
            conn.send(encode(b"SHUTDOWN", b"NOSAVE" if how == "nosave" else b"SAVE"))
        self.ended()

    def lease(self, conn: Conn) -> float:
        """Keys and a field that fall due while nobody runs; when they have."""
        due_ms = int(time.time() * 1000) + self.rng.choice([5, 60, 400])
        conn.must("SELECT", LEASE_DB)
        conn.must("SET", "short", "1", "PXAT", due_ms)
        conn.must("SADD", "set", *range(200))
        conn.must("PEXPIREAT", "set", due_ms)
        if self.newer:
            conn.must("HSET", "hash", "short", 1, "long", 2)
            conn.must("HPEXPIREAT", "hash", due_ms, "FIELDS", 1, "short")
        conn.must("SELECT 0")
        return due_ms / 1000 + 0.005

    def lapse(self, conn: Conn, until: float) -> None:
        time.sleep(max(0.0, until - time.time()))
        conn.must("SELECT", LEASE_DB)
        left = [key for key in (b"short", b"set") if conn.must("EXISTS", key)]
        if left or (self.newer and conn.must("HGETALL hash") != [b"long", b"2"]):
            raise Wrong(f"what fell due is there: {left}, {conn('HGETALL hash')}")
        conn.must("FLUSHDB")
        conn.must("SELECT 0")

    def real(self, before: State, dump: bool, until: float) -> None:
        """Redis's own tools, and a redis-server, on a copy of the files."""
        self.tell("real Redis")
        with tempfile.TemporaryDirectory(prefix="restarts-real-") as copy:
            shutil.copytree(self.server.dir, copy, dirs_exist_ok=True)
            path = Path(copy, "dump.rdb") if dump else Path(copy, "appendonlydir", "appendonly.aof.manifest")
            done = subprocess.run(["redis-check-rdb" if dump else "redis-check-aof", str(path)], capture_output=True,
                                  text=True, timeout=WAIT_S)
            if done.returncode:
                raise Wrong(f"Redis's tool: {done.stdout}{done.stderr}")
            with Server("oracle", dir=copy, appendonly="no" if dump else "yes") as oracle, oracle.conn() as conn:
                self.lapse(conn, until)
                after = state(conn)
                found = differ(before, after)
                if found:
                    raise Wrong(f"redis-server, started from these files: {found}", differences(before, after))

    # --- lives that are cut -------------------------------------------------------------------------------------------

    def cut_one(self) -> None:
        """kill -9 with commands under way."""
        rng, twin = self.rng, self.twin
        assert twin is not None
        with self.server.conn() as conn, twin.conn() as real:
            for _ in range(rng.choice([0, 2, 5])):
                batch = self.batch(rng.choice([50, 300]))
                conn.many(*batch)
                real.many(*batch)
                if rng.random() < 0.4:
                    with self.server.conn() as other:
                        other(rng.choice(["BGREWRITEAOF", "BGREWRITEAOF", "BGSAVE"]))
            conn.must("RESET")
            real.must("RESET")
            batch = self.batch(rng.choice([100, 600]))
            answered = self.killed(conn, batch, rng.randrange(len(batch)))
            self.tell(f"kill -9 after {answered} of {len(batch)}")
            self.start()
            with self.server.conn() as successor, twin.conn() as watching:
                successor.must("DEBUG CHECK")
                self.catch_up(state(successor), batch, answered, real, watching)

    def killed(self, conn: Conn, batch: list[Words], after: int) -> int:
        """Send all, kill the engine after so many replies; how many came."""
        def send() -> None:
            with contextlib.suppress(Closed, OSError):
                conn.send(b"".join(encode(*words) for words in batch))
        sender = threading.Thread(target=send)
        sender.start()
        got = 0
        with contextlib.suppress(Closed, ConnectionResetError):
            while got < len(batch):
                conn.read()
                got += 1
                if got == after:
                    self.server.process.send_signal(signal.SIGKILL)
        self.server.process.kill()
        sender.join()
        self.ended()
        return got

    @staticmethod
    def catch_up(wanted: State, batch: list[Words], answered: int, real: Conn, watching: Conn) -> None:
        """Run the batch in the twin, as far as the successor has it."""
        if answered:
            real.many(*batch[:answered])
        digest, least, closest, story = None, sys.maxsize, "", []
        for words in [*batch[answered:], (b"PING",)]:
            last, digest = digest, watching.must("DEBUG DIGEST")
            if digest != last:
                there = state(watching)
                found = differ(there, wanted, near=True)
                if not found:
                    return
                apart = sum(there.get(place) != wanted.get(place) for place in there.keys() | wanted.keys())
                if apart < least:
                    least, closest, story = apart, f"{words}: {found}", differences(there, wanted)
            real(*words)
        raise Wrong(f"what {answered} answered commands of {len(batch)} left is not there, nor what some more would "
                    f"have left; closest is, in front of {closest}",
                    [*story, *(f"{number}: {words}" for number, words in enumerate(batch, 1))])


def live(seed: int, restarts: int) -> tuple[int, str]:
    """One life: its restarts, and what went wrong, or nothing."""
    life = Life(seed, cut=seed % 3 == 0)
    try:
        with life:
            life.run(restarts)
    except (Wrong, AssertionError, RuntimeError, Closed, OSError, subprocess.TimeoutExpired) as error:
        lines = "\n  ".join(life.told[-12:])
        return life.restarts, f"seed {seed}, restart {life.restarts}: {type(error).__name__} {error}\n  {lines}"
    return life.restarts, ""


def main() -> int:
    parser = argparse.ArgumentParser(description="random commands across restarts")
    parser.add_argument("--seed", type=int, default=1, help="of the first life")
    parser.add_argument("--lives", type=int, default=10**9)
    parser.add_argument("--restarts", type=int, default=8, help="in each life")
    parser.add_argument("--seconds", type=float, default=600)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that the servers end too
    start = time.monotonic()
    lives = restarts = wrong = 0
    while lives < chosen.lives and time.monotonic() - start < chosen.seconds:
        done, text = live(chosen.seed + lives, chosen.restarts)
        lives += 1
        restarts += done
        if text:
            wrong += 1
            print(f"--- {text}", flush=True)
        elif lives % 10 == 0:
            print(f"{lives} lives, {restarts} restarts, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{lives} lives, {restarts} restarts, {wrong} went wrong, first seed {chosen.seed}")
    return min(wrong, 100)


if __name__ == "__main__":
    sys.exit(main())
