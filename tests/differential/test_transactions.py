"""Three clients in random transactions, watching and spoiling each other's keys, beside the real Redis: the same
replies, command by command, and the same keys in the end."""
from random import Random

import pytest

from differential.compare import keyspace, keyspaces_differ
from harness import Error, same

KEYS = [f"k{number}" for number in range(8)]        # of many slots: behind a proxy, of any engine
CLIENTS = 3
STEPS = 1500
WRONG = (("NOSUCH",), ("GET",), ("MULTI", "x"), ("EXEC", "x"), ("SHUTDOWN", "NOSAVE", "x"), ("DISCARD", "x"),
         ("WATCH",), ("CLIENT", "NOSUCH"), ("UNWATCH", "x"))


def plain(rng: Random) -> tuple:
    """A command whose reply tells what is there."""
    key, other = rng.choice(KEYS), rng.choice(KEYS)
    return rng.choice((
        ("GET", key), ("SET", key, rng.randrange(100)), ("INCR", key), ("APPEND", key, "x"), ("DEL", key, other),
        ("MGET", key, other, rng.choice(KEYS)), ("MSET", key, "1", other, "2"), ("MSET", key),
        ("EXISTS", key, other, key), ("HSET", key, "f", "1"), ("HGETALL", key), ("SADD", key, "m"), ("SCARD", key),
        ("TYPE", key), ("STRLEN", key),
        ("PING",), ("PING", "x", "y"), ("ECHO", "e"), ("DBSIZE",), ("GETDEL", key), ("TOUCH", key, other), ("TTL", key),
        ("SETRANGE", key, "1", "y"), ("CLIENT", "GETNAME"), ("CLIENT", "SETNAME", f"n{rng.randrange(3)}"),
        ("UNLINK", key), ("HINCRBY", key, "f", "2"), ("FLUSHDB",) if rng.random() < 0.05 else ("EXPIRE", key, "1000")))


def step(rng: Random) -> tuple:
    """A command of a transaction, or none of its own."""
    chance = rng.random()
    if chance < 0.12:
        return ("MULTI",)
    if chance < 0.24:
        return ("EXEC",)
    if chance < 0.27:
        return ("DISCARD",)
    if chance < 0.34:
        return ("WATCH", *rng.sample(KEYS, rng.randrange(1, 4)))
    if chance < 0.36:
        return ("UNWATCH",)
    if chance < 0.38:
        return ("SELECT", rng.choice(("0", "0", "1", "99", "x")))
    if chance < 0.40:
        return ("HELLO", rng.choice(("2", "3", "4")))
    if chance < 0.41:
        return ("RESET",)
    if chance < 0.44:
        return rng.choice(WRONG)
    return plain(rng)


def told(value: object) -> object:
    """What of a reply is the same on every server: HELLO tells of the server."""
    if isinstance(value, dict) and b"proto" in value:
        return value[b"proto"]
    if isinstance(value, list):
        if value[:1] == [b"server"]:
            return "hello"
        return [told(one) for one in value]
    return value


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
@pytest.mark.parametrize("seed", range(1, 4))
def test_random_transactions(r, fleet, seed):
    reference = fleet.server("reference")
    rng = Random(seed)
    ours, theirs = ([server.conn() for _ in range(CLIENTS)] for server in (r, reference))
    for conns in (ours, theirs):
        conns[0].must("FLUSHALL")
    executed = 0
    for number in range(STEPS):
        client, command = rng.randrange(CLIENTS), step(rng)
        mine, right = told(ours[client](*command)), told(theirs[client](*command))
        assert same(mine, right), f"step {number}, client {client}, {command}: {mine!r}, and Redis says {right!r}"
        executed += command == ("EXEC",) and not isinstance(right, Error)
    assert executed > STEPS // 40
    for conns in (ours, theirs):
        for conn in conns[1:]:
            conn.close()
        conns[0].must("RESET")
    assert keyspaces_differ(keyspace(ours[0]), keyspace(theirs[0])) is None
    theirs[0].close()
