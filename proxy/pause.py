"""CLIENT PAUSE: for a time, commands of clients wait; all of them, or those that may change data.

Owns: what is paused until when, in this process. Does not own the commands (proxy.clients, which tell the other
proxies) or what waits (session: commands that it has not taken wait in its input, and its client is not read).

As in Redis: commands that would be refused are refused at once; what is in flight is finished; while all commands wait,
UNPAUSE waits as well, so only time ends such a pause; a pause that comes while another lasts does not shorten it.
Control connections are never paused. Clients that talk to engines directly are not paused, nor is the expiry of keys.
"""
from typing import Any, Final

from shardd.base.clock import mono_ms

PAUSE_WRITE: Final = 1
PAUSE_ALL: Final = 2


class Pause:
    """The pause of one process. shared: session.Shared, which has its kind in `paused`."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared
        self._until_ms = 0

    def start(self, time_ms: int, kind: int) -> None:
        """Pause for so long. kind: PAUSE_WRITE or PAUSE_ALL."""
        self._until_ms = max(self._until_ms, mono_ms() + time_ms)
        self._shared.paused = kind
        self._shared.resume_postponed()     # where the pause is less strict now, some need not wait

    def stop(self) -> None:
        """The pause is over."""
        self._until_ms = 0
        if self._shared.paused:
            self._shared.paused = 0
            self._shared.resume_postponed()

    def check(self) -> None:
        """Cron: end a pause whose time is over."""
        if self._shared.paused and mono_ms() >= self._until_ms:
            self.stop()
