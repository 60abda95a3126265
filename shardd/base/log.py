"""The log: one line per message, in Redis's format.

    4711:M 20 Nov 2026 05:15:07.123 * Ready to accept connections
    pid  role  local time           level

Owns: the format, the levels and the open file. Does not own what is worth a message. Roles are one letter: `V` the
supervisor, `M` an engine, `P` a proxy (Redis: M master, S replica, C child). Levels, from the least important:
`.` debug, `-` verbose, `*` notice, `#` warning; `loglevel` names the first that is written, `nothing` silences all.

The log goes to `logfile`, or to standard output where that is empty. A line is one write to a descriptor opened for
appending, so that processes may share a file. Writing never raises: a full disk must not stop the server. A file that
was renamed, by logrotate say, is left for a new one of the old name: at once with reopen() (SIGUSR1), within a second
with check(). Of a tree only the supervisor has the file; it writes the lines of its children as well.
"""

import os
import time
from collections.abc import Callable
from typing import Final

from shardd.base.clock import now_ms
from shardd.base.errors import ConfigError

DEBUG: Final = 0
VERBOSE: Final = 1
NOTICE: Final = 2
WARNING: Final = 3

LEVELS: Final = {"debug": DEBUG, "verbose": VERBOSE, "notice": NOTICE, "warning": WARNING, "nothing": WARNING + 1}
"""`loglevel` -> the least important level that is written."""

SUPERVISOR: Final = "V"
ENGINE: Final = "M"
PROXY: Final = "P"

_STDOUT: Final = 1
_MARKS: Final = ".-*#"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

MESSAGE_BYTES_MAX: Final = 1024
"""Longest message, as in Redis: a client must not be able to fill the log with one line."""


class Log:
    """Where messages go. role: one of SUPERVISOR, ENGINE, PROXY."""

    def __init__(self, role: str, level: str = "notice", path: str = "") -> None:
        """level: a value of `loglevel`; path: `logfile`. Raises ConfigError where the file cannot be opened."""
        self.role = role
        self.level = LEVELS[level]
        self.path = path
        self.tee: Callable[[bytes], object] | None = None
        """Called with each line that is written, without its newline."""
        self._fd = self._open(path)

    @staticmethod
    def _open(path: str) -> int:
        if not path:
            return _STDOUT
        try:
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(f"logfile '{path}': can't open the log file: {error.strerror}") from None

    def set_level(self, level: object) -> None:
        """For Config.subscribe("loglevel", log.set_level)."""
        self.level = LEVELS[str(level)]

    def close(self) -> None:
        if self._fd != _STDOUT:
            os.close(self._fd)
            self._fd = _STDOUT

    def reopen(self) -> bool:
        """Open `logfile` anew, made where it is missing; whether that went well. The old one stays in use where not."""
        if not self.path:
            return True
        try:
            fd = self._open(self.path)
        except ConfigError as error:
            self.warning(str(error))
            return False
        self.close()
        self._fd = fd
        return True

    def check(self) -> bool:
        """Reopen `logfile` where its name is another file's by now, or nobody's; whether it was. Once a second."""
        if not self.path:
            return False
        try:
            ours, named = os.fstat(self._fd), os.stat(self.path)
            if (ours.st_ino, ours.st_dev) == (named.st_ino, named.st_dev):
                return False
        except FileNotFoundError:
            if not os.path.isdir(os.path.dirname(self.path) or "."):
                return False        # with its directory gone it cannot be made, and need not be said every second
        except OSError:
            return False
        return self.reopen()

    def write(self, level: int, message: str) -> None:
        """Write `message` if its level is wanted; level: DEBUG, VERBOSE, NOTICE or WARNING."""
        if level < self.level:
            return
        line = format_line(os.getpid(), self.role, level, message, now_ms())
        self.raw(line)
        if self.tee is not None:
            self.tee(line[:-1])

    def raw(self, data: bytes) -> None:
        """Write bytes as they are: whole lines that another process has formatted."""
        try:
            os.write(self._fd, data)
        except OSError:
            pass

    def debug(self, message: str) -> None:
        self.write(DEBUG, message)

    def verbose(self, message: str) -> None:
        self.write(VERBOSE, message)

    def notice(self, message: str) -> None:
        self.write(NOTICE, message)

    def warning(self, message: str) -> None:
        self.write(WARNING, message)


def format_line(pid: int, role: str, level: int, message: str, unix_ms: int) -> bytes:
    """One line of the log with its newline, in local time.

    Control characters in the message become blanks, so that what a client sent cannot forge a line.
    """
    text = "".join(char if char >= " " and char != "\x7f" else " " for char in message)
    local = time.localtime(unix_ms // 1000)
    stamp = (f"{local.tm_mday:02d} {_MONTHS[local.tm_mon - 1]} {local.tm_year} "
             f"{local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d}.{unix_ms % 1000:03d}")
    raw = text.encode("utf-8", "backslashreplace")[:MESSAGE_BYTES_MAX]
    return f"{pid}:{role} {stamp} {_MARKS[level]} ".encode() + raw + b"\n"
