"""What the service manager is told: sd_notify's protocol, and upstart's.

Owns: the option `supervised`, the notification socket and the watchdog's clock. Does not own what is told when.

systemd names a datagram socket in NOTIFY_SOCKET (a path, or an abstract name after an @); a message is lines of
NAME=value (sd_notify(3)):

    READY=1                         the server serves, or has done so again after RELOADING
    STATUS=...                      one line for `systemctl status`
    RELOADING=1, MONOTONIC_USEC=n   the configuration is read again; n is CLOCK_MONOTONIC in us
    STOPPING=1
    EXTEND_TIMEOUT_USEC=n           the start, or the stop, goes on; for n us longer nothing need be heard
    WATCHDOG=1                      alive: at least every WATCHDOG_USEC, so twice as often is sent

`supervised` as in Redis: no, systemd, upstart (SIGSTOP to oneself when ready, where UPSTART_JOB is set), or auto, which
takes what the environment shows. Messages are sent without waiting; a service manager that does not read loses them.

Invariant: none of these variables reaches a child.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, MutableMapping

from shardd.base import limits
from shardd.base.clock import mono_us

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "UPSTART_JOB")


class Notifier:
    """Tells the service manager; where there is none, every method does nothing."""

    def __init__(self, supervised: str, warn: Callable[[str], object],
                 environment: MutableMapping[str, str] = os.environ) -> None:
        """supervised: the option's value. warn: told where it asks for a manager that is not there."""
        found = {name: environment.pop(name, "") for name in _VARIABLES}
        self._address = ""
        self._upstart = False
        self._status = ""
        self._watchdog_us = 0
        self._patted_us = 0
        if supervised in ("auto", "systemd") and found["NOTIFY_SOCKET"]:
            self._address = found["NOTIFY_SOCKET"]
            if self._address[0] == "@":
                self._address = "\0" + self._address[1:]
            if found["WATCHDOG_USEC"].isdigit() and found["WATCHDOG_PID"] in ("", str(os.getpid())):
                self._watchdog_us = int(found["WATCHDOG_USEC"])
        elif supervised in ("auto", "upstart") and found["UPSTART_JOB"]:
            self._upstart = True
        elif supervised == "systemd":
            warn("supervised systemd: there is no NOTIFY_SOCKET in the environment, so nobody is told when the server "
                 "is ready; the unit needs Type=notify")
        elif supervised == "upstart":
            warn("supervised upstart: there is no UPSTART_JOB in the environment; the job needs 'expect stop'")

    @property
    def pause_ms(self) -> int | None:
        """Longest pause between two calls of alive(); None where nobody waits for them."""
        return max(1, self._watchdog_us // 2000) if self._watchdog_us else None

    def ready(self, status: str) -> None:
        """Clients are served."""
        self._status = status
        self._send(f"READY=1\nSTATUS={status}")
        if self._upstart:
            self._upstart = False
            os.kill(os.getpid(), signal.SIGSTOP)

    def status(self, text: str) -> None:
        """One line for people, sent where it is another one than before."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def starting(self, text: str) -> None:
        """One line for people, while a start, or a stop, takes long and goes on: the manager waits for the next one."""
        self._status = text
        self._send(f"EXTEND_TIMEOUT_USEC={1000 * limits.NOTIFY_EXTEND_MS}\nSTATUS={text}")

    def reloading(self) -> None:
        """The configuration is read again; ready() follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={mono_us()}\nSTATUS=Reads its configuration again")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1\nSTATUS=Stops")

    def alive(self) -> None:
        """Called at least every pause_ms."""
        now_us = mono_us()
        if self._watchdog_us and now_us - self._patted_us >= self._watchdog_us // 2:
            self._patted_us = now_us
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
            sock.sendto(message.encode("utf-8", "replace"), self._address)
