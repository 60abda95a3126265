"""Seeded episodes whose keyspace events are compared, and that a difference would be found."""

import pytest

from differential import commands, episode
from differential.events import EventPair

COUNT = 2000
PROFILE = commands.ENGINE._replace(without=frozenset({"MULTI"}))     # what is queued has no number of its own


@pytest.fixture
def pair(r, fleet):
    found = EventPair(r.conn, fleet.server("reference").conn)
    yield found
    found.close()


@pytest.mark.not_on("cluster", "proxy", reason="the events are one engine's, for those who are connected to it")
@pytest.mark.parametrize("seed", range(1, 7))
def test_the_same_events_in_the_same_order(pair, seed):
    sequence = episode.make(seed, COUNT, PROFILE)
    found = pair.run(sequence)
    if found:
        pytest.fail(episode.explain(*episode.shrink(sequence[:found.at + 1], found, pair.run)))


def test_every_event_is_met(oracle):
    """A generator whose commands change nothing would prove little."""
    watched = EventPair(oracle.conn, oracle.conn).ours
    names = {text for seed in range(1, 13) for events in watched.run(episode.make(seed, COUNT, PROFILE))
             for channel, text in events if channel.startswith(b"__keyspace@")}
    watched.close()
    assert {b"set", b"del", b"expire", b"expired", b"persist", b"new", b"keymiss", b"rename_from", b"rename_to",
            b"copy_to", b"restore", b"move_from", b"move_to",
            b"incrby", b"incrbyfloat", b"append", b"setrange", b"sadd", b"srem",
            b"spop", b"sinterstore", b"sunionstore", b"sdiffstore",
            b"hset", b"hdel", b"hincrby", b"hincrbyfloat", b"lpush", b"rpush", b"lpop", b"rpop", b"lset", b"linsert",
            b"lrem", b"ltrim"} <= names


def test_a_difference_is_found_and_shrunk(oracle, fleet, monkeypatch):
    pair = EventPair(oracle.conn, fleet.server("reference").conn)
    run = pair.ours.run
    monkeypatch.setattr(pair.ours, "run", lambda commands: [
        [event for event in events if event[1] != b"incrby"] for events in run(commands)])
    sequence = episode.make(2, 500, PROFILE)
    found = pair.run(sequence)
    assert found
    shortest, found = episode.shrink(sequence[:found.at + 1], found, pair.run)
    assert len(shortest) < 3 and "incrby" in found.text
    pair.close()
