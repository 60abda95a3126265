"""CLIENT PAUSE: for a time, commands of clients wait; all of them, or those that may change data.

Owns: what is paused until when, in this process. Does not own the command (commands.connection; through a proxy,
proxy.clients, which tells everybody else) or what waits: sessions leave it in their input and stop reading.

As in Redis: commands that would be refused are refused at once; what is in flight is finished; while all commands wait,
UNPAUSE waits as well, so only time ends such a pause; a pause that comes while another lasts does not shorten it.
Connections within the tree are never paused, so that proxies finish what they have begun. The expiry of keys goes on.
Unlike in Redis, an engine still runs the commands that its client has sent in one piece with PAUSE.
"""
from typing import Any, Final

from shardd.base.clock import mono_ms

PAUSE_WRITE: Final = 1
PAUSE_ALL: Final = 2


class Pause:
    """The pause of one process. sessions: what they share; it has `paused`, 0 or the kind, and resume_postponed()."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions
        self._until_ms = 0

    def start(self, time_ms: int, kind: int) -> None:
        """Pause for so long. kind: PAUSE_WRITE or PAUSE_ALL."""
        self._until_ms = max(self._until_ms, mono_ms() + time_ms)
        self._sessions.paused = kind
        self._sessions.resume_postponed()       # where the pause is less strict now, some need not wait
        self.check()                            # no time at all is no pause

    def stop(self) -> None:
        """The pause is over."""
        self._until_ms = 0
        if self._sessions.paused:
            self._sessions.paused = 0
            self._sessions.resume_postponed()

    def check(self) -> None:
        """Cron: end a pause whose time is over."""
        if self._sessions.paused and mono_ms() >= self._until_ms:
            self.stop()
