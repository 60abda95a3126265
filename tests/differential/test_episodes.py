"""Seeded episodes, and that the comparison works: Redis agrees with Redis, and a lie is found and shrunk."""

import pytest

from differential import commands, episode
from differential.compare import agree
from harness import OK, Error


def splits(r) -> bool:
    """Whether keys may lie on different engines."""
    return r.name == "proxy" and r.engines > 1


def compare(r, fleet, sequence) -> None:
    """Fails with the shortest run that shows a difference."""
    pair = episode.Pair(r.conn, fleet.server("reference").conn, split=splits(r), check=r.name != "oracle")
    found = pair.run(sequence)
    if found:
        pytest.fail(episode.explain(*pair.shrink(sequence, found)))


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
@pytest.mark.parametrize("seed", range(1, 7))
def test_every_reply_and_the_keyspace(r, fleet, seed):
    compare(r, fleet, episode.make(seed, 2500, commands.TAGGED if splits(r) and seed > 3 else commands.ENGINE))


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
@pytest.mark.parametrize("seed", range(1, 3))
def test_tables_that_grow_and_shrink(r, fleet, seed):
    compare(r, fleet, episode.make(seed, 12_000, commands.WIDE))


def test_the_commands_hit(oracle):
    """A generator whose commands mostly fail would prove little."""
    sequence = episode.make(3, 4000, commands.ENGINE)
    conn = oracle.conn()
    replies = conn.many(*sequence)
    errors = [reply for reply in replies if isinstance(reply, Error)]
    assert 0.05 < len(errors) / len(replies) < 0.45
    assert len({str(error) for error in errors}) > 15
    names = {command[0].upper() for command in sequence}
    assert {name.encode() for name, _, _ in commands.MAKERS if name != "DUE"} <= names


class Liar:
    """A connection that answers for one command as nobody else."""

    def __init__(self, conn, command, reply):
        self.conn, self.command, self.reply = conn, command, reply
        self.must = conn.must
        self.many = conn.many
        self.sent = b""

    def __call__(self, *args):
        return self.conn(*args)

    def send(self, data):
        self.sent = data
        self.conn.send(data)

    def until(self, end):
        data = self.conn.until(end)
        return data.replace(b"+string\r\n", self.reply) if self.command in self.sent else data


def test_a_difference_is_found_and_shrunk(oracle, fleet):
    sequence = episode.make(5, 1500, commands.ENGINE)
    pair = episode.Pair(lambda: Liar(oracle.conn(), b"TYPE", b"+strinG\r\n"), fleet.server("reference").conn,
                        check=False)
    found = pair.run(sequence)
    assert found and "strinG" in found.text
    shortest, found = pair.shrink(sequence, found)
    assert len(shortest) <= 3
    assert shortest[-1][0].upper() == b"TYPE"


@pytest.mark.parametrize("command, ours, theirs, expected", [
    ("GET k", b"v", b"v", True), ("GET k", b"v", b"w", False), ("GET k", None, b"w", False),
    ("SET k v", OK, b"OK", False),
    ("TTL k", 100, 95, True), ("TTL k", 100, 10, False), ("TTL k", -1, -2, False), ("PTTL k", 100_000, 95_000, True),
    ("KEYS *", [b"a", b"b"], [b"b", b"a"], True), ("KEYS *", [b"a"], [b"a", b"a"], False),
    ("RANDOMKEY", b"a", b"b", True),
    ("RANDOMKEY", None, b"b", False), ("TTL k", Error("ERR x"), Error("ERR y"), False), ("EXISTS k", True, 1, False)])
def test_agreement(command, ours, theirs, expected):
    words = tuple(word.encode() for word in command.split())
    assert agree(words, ours, theirs) is expected


def test_a_refusal_to_split_may_stand_for_another_error():
    crossslot = Error("CROSSSLOT Keys in request don't hash to the same slot")
    assert agree((b"MSETNX", b"a"), crossslot, Error("ERR x"), split=True)
    assert not agree((b"MSETNX", b"a"), crossslot, Error("ERR x"), split=False)
    assert not agree((b"MSETNX", b"a"), crossslot, 1, split=True)
