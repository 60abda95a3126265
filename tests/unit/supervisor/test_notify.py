"""What the service manager hears: the environment's socket, Redis's option, the watchdog."""

import os
import re
import signal
import socket

import pytest

from shardd.base import limits
from shardd.supervisor.notify import Notifier


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def heard(sock: socket.socket) -> list[str]:
    got = []
    while True:
        try:
            got.append(sock.recv(4096).decode())
        except BlockingIOError:
            return got


def made(supervised: str, environment: dict[str, str]) -> tuple[Notifier, list[str]]:
    warnings: list[str] = []
    return Notifier(supervised, warnings.append, environment), warnings


@pytest.mark.parametrize("supervised", ["systemd", "auto"])
def test_systemd_hears_the_whole_life(manager, supervised):
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000", "HOME": "/"}
    notifier, warnings = made(supervised, environment)
    assert environment == {"HOME": "/"}, "no child shall speak in our name"
    notifier.ready("2 engines are up")
    notifier.status("2 engines are up")
    notifier.status("1 of 2 is up")
    notifier.reloading()
    notifier.ready("2 engines are up")
    notifier.alive()
    notifier.alive()
    notifier.stopping()
    ready, status, reloading, again, alive, stopping = heard(manager)
    assert ready == again == "READY=1\nSTATUS=2 engines are up" and status == "STATUS=1 of 2 is up"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=.*", reloading)
    assert alive == "WATCHDOG=1" and stopping.startswith("STOPPING=1\n")
    assert notifier.pause_ms == 1000 and warnings == []


def test_a_manager_is_asked_for_time(manager):
    notifier, _ = made("systemd", {"NOTIFY_SOCKET": manager.getsockname()})
    notifier.starting("Engine 0 is loading")
    assert heard(manager) == [f"EXTEND_TIMEOUT_USEC={limits.NOTIFY_EXTEND_MS}000\nSTATUS=Engine 0 is loading"]


def test_an_abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0shardd-test-{os.getpid()}")
        notifier, _ = made("auto", {"NOTIFY_SOCKET": f"@shardd-test-{os.getpid()}"})
        notifier.ready("up")
        assert sock.recv(100) == b"READY=1\nSTATUS=up"


def test_another_process_s_watchdog_is_not_ours(manager):
    notifier, _ = made("auto", {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000",
                                "WATCHDOG_PID": str(os.getpid() + 1)})
    notifier.alive()
    assert notifier.pause_ms is None and heard(manager) == []


@pytest.mark.parametrize("supervised, environment, warning", [
    ("no", {"NOTIFY_SOCKET": "/nowhere"}, None), ("auto", {}, None), ("auto", {"NOTIFY_SOCKET": "/nowhere"}, None),
    ("systemd", {}, "NOTIFY_SOCKET"), ("systemd", {"NOTIFY_SOCKET": "/nowhere"}, None), ("upstart", {}, "UPSTART_JOB"),
])
def test_without_a_manager_nothing_happens(supervised, environment, warning):
    notifier, warnings = made(supervised, environment)
    notifier.ready("up")
    notifier.status("x")
    notifier.alive()
    notifier.stopping()
    assert len(warnings) == (warning is not None) and (warning or "") in "".join(warnings)


def test_upstart_is_told_by_a_stop(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: sent.append((pid, signum)))
    notifier, _ = made("upstart", {"UPSTART_JOB": "shardd"})
    notifier.ready("up")
    notifier.ready("up again")
    assert sent == [(os.getpid(), signal.SIGSTOP)]
