"""Clients that block, push, move, watch and queue at random, beside the real Redis: who is served with what, and when.

After each command both servers come to rest, and what each client has heard by then is compared: the same bytes, so
that also who is still waiting is the same. Clients wait for one key each: where several of a client's keys come at
once, Redis 7.0 serves the one that came first and 7.2, which runs the command again, as we do, the first of its
arguments.
"""
import select
import time
from random import Random

import pytest

from differential.compare import keyspace, keyspaces_differ
from harness import encode

CLIENTS = 6
STEPS = 1500
LATE_S = 5.0
KEYS = [f"{{t}}{number}" for number in range(4)]
MAKERS = ("RPUSH", "LPUSH", "ZADD", "LMOVE", "RENAME", "COPY", "DEL", "SET", "LPOP", "ZPOPMIN", "LRANGE", "EXISTS")
FOREVER = "0"


def plain(rng: Random) -> tuple:
    """A command that makes, moves or takes keys."""
    name, key, other = rng.choice(MAKERS), rng.choice(KEYS), rng.choice(KEYS)
    return {
        "RPUSH": (name, key, *(str(rng.randrange(100)) for _ in range(rng.randrange(1, 4)))), "LPUSH": (name, key, "l"),
        "ZADD": (name, key, str(rng.randrange(9)), f"m{rng.randrange(5)}", "5", "five"),
        "LMOVE": (name, key, other, "LEFT", "RIGHT"), "RENAME": (name, key, other),
        "COPY": (name, key, other, "REPLACE"),
        "DEL": (name, key), "SET": (name, key, "x"), "LPOP": (name, key), "ZPOPMIN": (name, key),
        "LRANGE": (name, key, "0", "-1"), "EXISTS": (name, key)}[name]


def blocking(rng: Random, keys: int) -> tuple:
    """A command that may block."""
    names, key, other = [rng.choice(KEYS) for _ in range(rng.randint(1, keys))], rng.choice(KEYS), rng.choice(KEYS)
    return rng.choice((
        ("BLPOP", *names, FOREVER), ("BRPOP", *names, FOREVER), ("BLMOVE", key, other, "LEFT", "LEFT", FOREVER),
        ("BRPOPLPUSH", key, other, FOREVER), ("BLMPOP", FOREVER, str(len(names)), *names, "LEFT", "COUNT", "2"),
        ("BZPOPMIN", *names, FOREVER), ("BZPOPMAX", *names, FOREVER),
        ("BZMPOP", FOREVER, str(len(names)), *names, "MAX", "COUNT", "2"), ("BLPOP", *names, "x")))


def step(rng: Random, keys: int) -> list[tuple]:
    """What one client sends in one piece."""
    chance = rng.random()
    if chance < 0.35:
        return [blocking(rng, keys)]
    if chance < 0.40:
        return [blocking(rng, keys), plain(rng), blocking(rng, keys), ("PING",)]
    if chance < 0.50:
        return [("MULTI",), *(plain(rng) if rng.random() < 0.8 else blocking(rng, keys)
                              for _ in range(rng.randrange(1, 5))), ("EXEC",)]
    if chance < 0.54:
        return [("WATCH", rng.choice(KEYS))]
    if chance < 0.56:
        return [rng.choice((("RESET",), ("UNWATCH",), ("HELLO", "3"), ("CLIENT", "REPLY", "SKIP"), ("FLUSHALL",)))]
    return [plain(rng)]


class Side:
    """One server: its clients, what each has been sent and has not answered, as bytes heard."""

    def __init__(self, server) -> None:
        self.conns = [server.conn() for _ in range(CLIENTS)]
        self.ids = [str(conn.must("CLIENT ID")) for conn in self.conns]
        self.watcher = server.conn()
        self.watcher.must("FLUSHALL")

        self.heard = [b""] * CLIENTS

    def listen(self) -> None:
        """Take what has come for the clients. A second round trip is behind all that was sent before."""
        for _ in range(2):
            self.watcher.must("PING")
        for number, conn in enumerate(self.conns):
            while select.select([conn.sock], [], [], 0)[0] and (more := conn.sock.recv(1 << 18)):
                self.heard[number] += more

    def close(self) -> None:
        for conn in (*self.conns, self.watcher):
            conn.close()


def play(sides: tuple[Side, Side], rng: Random, keys: int, steps: int = STEPS) -> tuple[str | None, int]:
    """The first difference, None: there was none; and how often somebody who was blocked was served."""
    waiting: set[int] = set()
    served = 0
    log: list[str] = []
    for number in range(steps):
        ready = [client for client in range(CLIENTS) if client not in waiting]
        if not ready or rng.random() < 0.02 and waiting:
            client = rng.choice(sorted(waiting))
            reason = rng.choice(("TIMEOUT", "ERROR"))
            for side in sides:
                side.watcher.must("CLIENT", "UNBLOCK", side.ids[client], reason)
            commands: list[tuple] = []
            log.append(f"unblock {client}")
        else:
            client = rng.choice(ready)
            commands = step(rng, keys)
            log.append(f"{client}: " + "; ".join(" ".join(words) for words in commands))
            for side in sides:
                side.conns[client].send(b"".join(encode(*words) for words in commands))
        found = compared(sides, client if ("HELLO", "3") in commands else -1)
        if found:
            return f"step {number}, {found}\n" + "\n".join(log[-25:]), served
        blocked = {who for who, side in enumerate(sides[1].conns) if is_blocked(sides[1], who)}
        served += len(waiting - blocked)
        waiting = blocked
    return None, served


def compared(sides: tuple[Side, Side], but: int) -> str:
    """What clients have heard since the last call, but for one (HELLO tells of the server): a difference, or nothing.
    The kernel may deliver a reply later than one that was sent behind it to somebody else."""
    deadline = time.monotonic() + LATE_S
    while True:
        for side in sides:
            side.listen()
        ours, theirs = sides[0].heard, sides[1].heard
        wrong = [who for who in range(CLIENTS) if who != but and ours[who] != theirs[who]]
        if not wrong or time.monotonic() > deadline:
            break
    text = f"client {wrong[0]}: {ours[wrong[0]]!r}, and Redis says {theirs[wrong[0]]!r}" if wrong else ""
    for side in sides:
        side.heard = [b""] * CLIENTS
    return text


def is_blocked(side: Side, client: int) -> bool:
    line = side.watcher.must("CLIENT", "LIST", "ID", side.ids[client])
    flags = dict(field.split(b"=", 1) for field in line.strip().split(b" "))[b"flags"]
    return b"b" in flags


@pytest.mark.not_on("cluster", "proxy", reason="who waits is one server's to tell")
@pytest.mark.parametrize("seed", range(1, 4))
def test_random_waits(r, fleet, seed):
    sides = Side(r), Side(fleet.server("reference"))
    difference, served = play(sides, Random(seed), 1)
    assert difference is None, difference
    assert served > STEPS // 20
    assert keyspaces_differ(keyspace(sides[0].watcher), keyspace(sides[1].watcher)) is None
    for side in sides:
        side.close()
