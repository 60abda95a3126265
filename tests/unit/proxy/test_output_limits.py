"""client-output-buffer-limit on the proxy: what a client leaves unread."""
from collections.abc import Iterator

import pytest

from shardd.net import policy
from unit.proxy.rig import Client, Rig

VALUE = b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n"


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(1)
    yield rig
    rig.close()


def ask(rig: Rig, c: Client, times: int) -> None:
    """The client asks, the engine answers, and the client does not read."""
    for _ in range(times):
        c.send("GET", "k")
        rig.engines[0].take()
        rig.engines[0].reply(VALUE)
        for _ in range(50):
            rig.turn()


def limit(rig: Rig, text: str) -> None:
    rig.server.config.set_many([(b"client-output-buffer-limit", text.encode())])


def test_the_hard_limit_at_run_time(rig):
    c = rig.client()
    ask(rig, c, 2)
    assert c.session.transport.out_len > 1_000_000 and not c.session.transport.closing
    limit(rig, "normal 1mb 0 0")
    ask(rig, rig.client(), 2)
    assert rig.server.stats.output_limit_closes == 1


def test_the_soft_limit_is_about_one_stretch_of_time(rig, monkeypatch):
    """Who has read everything in between starts anew."""
    now_ms = 1_000_000
    monkeypatch.setattr(policy, "mono_ms", lambda: now_ms)
    limit(rig, "normal 0 100kb 10")
    c = rig.client()
    ask(rig, c, 1)
    assert c.session.transport.out_len > 100_000
    c.read()
    assert c.session.transport.out_len == 0
    now_ms += 60_000
    ask(rig, c, 1)
    rig.server.limits.sweep()
    assert not c.session.transport.closing
    now_ms += 11_000
    rig.server.limits.sweep()
    assert c.session.transport.closing
