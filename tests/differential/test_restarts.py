"""Random commands across restarts, in short; and that something lost, or there twice, is found."""
import pytest

from differential import restarts

RESTARTS = 1


@pytest.mark.parametrize("seed", [3, 4, 8])
def test_a_life(seed):
    """One that is cut, one with all commands, one with those of Redis 7.0."""
    _, wrong = restarts.live(seed, RESTARTS)
    assert not wrong, wrong


@pytest.mark.parametrize("seed", [7])
def test_a_loss_is_found(seed, monkeypatch):
    start = restarts.Life.start

    def lossy(life, **changes):
        for path in sorted((life.server.dir / "appendonlydir").glob("*.incr.aof"))[-1:]:
            path.write_bytes(path.read_bytes()[:-40])
        start(life, **changes)

    monkeypatch.setattr(restarts.Life, "start", lossy)
    monkeypatch.setattr(restarts.Life, "real", lambda *args: None)
    monkeypatch.setattr(restarts.Life, "lapse", lambda *args: None)
    monkeypatch.setattr(restarts.Life, "keep", lambda life, story: None)
    _, wrong = restarts.live(seed, 4)
    assert "Wrong" in wrong
