"""Several clients at once, their pipelines cut anywhere; and that a lie is found, alone or not."""

import pytest

from differential import crowd

CLIENTS = 8
UNITS = 600
LARGE = 0.01


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
@pytest.mark.parametrize("seed", range(1, 4))
def test_each_hears_what_it_would_hear_alone(r, fleet, seed):
    split = r.name == "proxy" and r.engines > 1
    found = crowd.Crowd(r.conn, fleet.server("reference").conn, split, check=r.name != "oracle").run(
        seed, CLIENTS, UNITS, LARGE)
    assert not found, found


@pytest.mark.parametrize("clients", [1, 3])
def test_a_lie_is_found_and_shrunk(oracle, fleet, monkeypatch, clients):
    hear = crowd.Talker.hear

    def lie(talker):
        hear(talker)
        if talker.conn.address[1] == oracle.server.port:
            talker.heard = talker.heard.replace(b"+OK\r\n", b"+Ok\r\n")

    monkeypatch.setattr(crowd.Talker, "hear", lie)
    found = crowd.Crowd(oracle.conn, fleet.server("reference").conn, split=False, check=False).run(7, clients, 3000)
    assert found and "Ok" in found and "with one client alone" in found
    assert len(found.splitlines()) < 7


def test_a_lie_that_needs_others_tells_what_the_client_did_last(oracle, fleet, monkeypatch):
    talk = crowd.talk

    def lie(talkers, rng):
        talk(talkers, rng)
        if len(talkers) > 1 and talkers[1].conn.address[1] == oracle.server.port:
            talkers[1].heard[5] ^= 1

    monkeypatch.setattr(crowd, "talk", lie)
    found = crowd.Crowd(oracle.conn, fleet.server("reference").conn, split=False, check=False).run(7, 3, 300)
    assert found and "with 3 clients at once, seed 7, client 1" in found


def test_what_is_written_inline_is_what_was_meant(oracle):
    words = (b"ECHO", bytes(range(256)))
    assert oracle.conn().raw(crowd.inline(words)) == words[1]
    assert oracle.conn().raw(crowd.inline((b"ECHO", b""))) == b""
