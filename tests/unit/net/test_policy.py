"""What the options about connections do while the server runs: who may come in, who is cut off."""
import contextlib
import resource
from types import SimpleNamespace
from typing import Any

import pytest

from harness.resp import OK, Error, Status
from shardd.base.errors import ConfigError
from shardd.base.options import Config
from shardd.net import policy
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine


@pytest.fixture
def engine() -> Engine:
    return Engine()


class Room:
    """room_for_clients of a system that has room for `clients`."""

    def __init__(self, clients: int) -> None:
        self.clients = clients

    def __call__(self, wanted: int) -> int:
        return min(wanted, self.clients)


# --- maxclients ---------------------------------------------------------------------------------------------------

def test_the_limit_of_files_follows_maxclients(engine):
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert soft == resource.RLIM_INFINITY or soft >= engine.server.config["maxclients"]


def test_fewer_clients_where_the_system_has_no_room(monkeypatch):
    monkeypatch.setattr(policy, "room_for_clients", Room(90))
    engine = Engine()
    assert engine("CONFIG GET maxclients") == [b"maxclients", b"90"]
    failed = Error("ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not "
                   "able to handle the specified number of clients, try with 90")
    assert engine("CONFIG SET timeout 9 maxclients 91") == failed
    assert engine("CONFIG GET maxclients timeout") == [b"maxclients", b"90", b"timeout", b"0"]
    assert engine("CONFIG SET maxclients 89") == OK


def test_what_the_log_says_is_redis_s(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(policy, "room_for_clients", Room(90))
    log = SimpleNamespace(warning=said.append, notice=said.append)
    policy.ConnectionLimits(Config({"maxclients": "200"}), Engine().server.clients, log, None)
    assert said == [
        "You requested maxclients of 200 requiring at least 264 max file descriptors.",
        "Server can't set maximum open files to 264 because of OS error: Operation not permitted.",
        "Current maximum open files is 154. maxclients has been reduced to 90 to compensate for low ulimit. If you "
        "need higher maxclients increase 'ulimit -n'."]
    said.clear()
    clients, files = Engine().server.clients, iter((1024, 10_064))
    monkeypatch.setattr(policy, "room_for_clients", Room(10_000))
    monkeypatch.setattr(policy, "open_files", lambda wanted: next(files))
    policy.ConnectionLimits(Config(), clients, log, None)
    assert said == ["Increased maximum number of open files to 10064 (it was originally set to 1024)."]


def test_a_system_without_room_for_anybody(monkeypatch):
    monkeypatch.setattr(policy, "room_for_clients", Room(-3))
    with pytest.raises(ConfigError, match=r"maxclients '10000': Your current 'ulimit -n' of \d+ is not enough"):
        Engine()


# --- who may come in ----------------------------------------------------------------------------------------------

def stranger(wire: Any) -> Any:
    return SimpleNamespace(fd=wire, peer="203.0.113.9:5", is_unix=False)


def test_protected_mode_at_run_time(engine, tmp_path):
    with open(tmp_path / "wire", "wb") as wire:
        limits = engine.server.limits
        assert limits.refuses(stranger(wire.fileno()))
        assert engine("CONFIG SET protected-mode no") == OK
        assert not limits.refuses(stranger(wire.fileno()))
        assert engine("CONFIG SET protected-mode yes requirepass x") == OK
        assert not limits.refuses(stranger(wire.fileno()))
    assert (tmp_path / "wire").read_bytes().startswith(b"-DENIED ")


def test_a_new_password_leaves_those_in_that_are_in(engine):
    assert engine("CONFIG SET requirepass secret") == OK
    assert engine("PING") == Status("PONG")
    newcomer = Caller(engine)
    newcomer.session.authenticated = False
    assert newcomer("PING") == Error("NOAUTH Authentication required.")
    assert engine("CONFIG", "SET", "requirepass", "") == OK
    assert newcomer("PING") == Status("PONG"), "without a password nobody is kept out"


# --- who is cut off -----------------------------------------------------------------------------------------------

def test_timeout_at_run_time(engine):
    idle, internal = Caller(engine), Caller(engine)
    internal.session.flags |= ClientFlag.INTERNAL
    for caller in (idle, internal):
        caller.session.active_ms -= 10_000
    engine.server.limits.sweep()
    assert not idle.session.transport.closing
    engine("CONFIG SET timeout 5")
    engine.server.limits.sweep()
    assert idle.session.transport.closing and not internal.session.transport.closing


def test_who_takes_in_a_long_reply_is_not_idle(engine, monkeypatch):
    now_ms = 10**12
    monkeypatch.setattr(policy, "mono_ms", lambda: now_ms)
    engine("CONFIG SET timeout 5")
    slow, stuck = held_up(engine), held_up(engine)
    for _ in range(3):
        engine.server.limits.sweep()
        now_ms += 4_000
        slow.sock.recv(1_000_000)
        engine.server.reactor.poll()
    assert slow.session.transport.out_len and not slow.session.transport.closing
    engine.server.limits.sweep()
    assert stuck.session.transport.closing and not slow.session.transport.closing


def held_up(engine: Engine) -> Caller:
    """A client that asked for more than the kernel takes, and does not read."""
    engine("SETRANGE k 999999 x")
    slow = Caller(engine)
    for _ in range(8):
        slow.sock.sendall(b"GET k\r\n")
        engine.server.reactor.poll()
        if slow.session.transport.closing:
            break
    return slow


def test_the_hard_limit_at_run_time(engine):
    slow = held_up(engine)
    assert slow.session.transport.out_len > 2_000_000 and not slow.session.transport.closing
    assert engine("CONFIG", "SET", "client-output-buffer-limit", "normal 2mb 0 0") == OK
    assert held_up(engine).session.transport.closing
    assert engine.server.stats.output_limit_closes == 1


def test_the_soft_limit_holds_for_its_seconds(engine, monkeypatch):
    now_ms = 1_000_000
    monkeypatch.setattr(policy, "mono_ms", lambda: now_ms)
    assert engine("CONFIG", "SET", "client-output-buffer-limit", "normal 0 1mb 10") == OK
    slow = held_up(engine)
    now_ms += 9_000
    engine.server.limits.sweep()
    assert not slow.session.transport.closing
    now_ms += 2_000
    engine.server.limits.sweep()
    assert slow.session.transport.closing


def test_the_query_buffer_s_limit_at_run_time(engine):
    slow = Caller(engine)
    assert engine("CONFIG SET client-query-buffer-limit 1mb") == OK
    slow.sock.setblocking(False)
    part = b"*2\r\n$3\r\nGET\r\n$4000000\r\n"
    with contextlib.suppress(BrokenPipeError):
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                slow.sock.send(part + b"x" * 65536)
            part = b""
            engine.server.reactor.poll()
    assert slow.session.transport.closing and engine.server.stats.query_limit_closes == 1
