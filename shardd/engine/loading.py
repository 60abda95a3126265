"""What an engine reads from disk before it serves: its append only file where there is one, else dump.rdb.

    listen -> Loading(server) -> step, step, ... (limits.LOAD_STEP_US each, the reactor between them) -> serve

Owns: which files are read, the progress that INFO, SHARDD STATUS and the log show, and that half-loaded data is never
taken for the whole: whatever is wrong with a file is a LoadError, with which the process ends, and no file is written.
Does not own the formats (journal.rdb_load, server.aof) or what runs meanwhile (engine.gates: commands with the flag
`loading`, all others get -LOADING).

With `appendonly yes` and no append only file, dump.rdb is read, and becomes the first base: Redis starts empty there,
and a new file takes the old one's place at the next save. Here the log is on by default, and who brings the dump.rdb of
a Redis expects its data.
"""
import contextlib
import os
import time
from typing import Any

from shardd.base import limits
from shardd.base.clock import mono_ms, mono_us, now_ms
from shardd.base.errors import LoadError, shown_text
from shardd.base.files import open_regular
from shardd.commands.info import Facts
from shardd.journal.rdb_in import RdbError, RdbSource
from shardd.journal.rdb_load import RdbLoader
from shardd.journal.rdb_load_build import Thresholds


class RdbFile:
    """One RDB file on its way into the keyspace.

    position, total: bytes; keys, expired: how many were loaded, and left out since they were past their expiry.
    """

    def __init__(self, server: Any, path: str, *, slots: bytes | None = None, keep_expired: bool = False,
                 replace: bool = False) -> None:
        """server: engine.server.Server. slots: 16,384 flags, which slots to load, None: all. replace: of a key that is
        there twice the later one stays. Raises LoadError."""
        self._server, self.path = server, path
        self._start_us = mono_us()
        self._told = False
        try:
            self._fd = open_regular(path)
        except OSError as error:
            raise LoadError(f"Fatal error: can't open the RDB file {path} for reading: {error.strerror}") from None
        config = server.config
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._loader = RdbLoader(server.keyspace, RdbSource(self._fd, config["rdbchecksum"]), Thresholds(config),
                                 slots=slots, keep_expired=keep_expired, replace=replace,
                                 skip_unsupported=config["rdb-skip-unsupported"])
        server.keyspace.set_time(now_ms())

    @property
    def position(self) -> int:
        return self._loader.position

    @property
    def total(self) -> int:
        return self._loader.total

    @property
    def keys(self) -> int:
        return self._loader.keys

    @property
    def expired(self) -> int:
        return self._loader.expired

    @property
    def skipped(self) -> dict[str, int]:
        """What was left out, by its kind (rdb-skip-unsupported)."""
        return dict(self._loader.skipped)

    @property
    def used_memory(self) -> int:
        """What the file says its writer used, bytes; 0 where it does not."""
        text = self._loader.aux.get(b"used-mem", b"0")
        return int(text) if text.isdigit() else 0

    def step(self, deadline_us: int) -> bool:
        """Load until the monotonic clock says so; whether all is done. Raises LoadError."""
        try:
            done = self._loader.step(deadline_us)
        except (RdbError, OSError, MemoryError) as error:
            self.close()
            why = "not enough memory" if isinstance(error, MemoryError) else str(error)
            raise LoadError(f"{self.path} can't be loaded: {why}") from None
        if self._loader.aux and not self._told:
            self._tell()
        if done:
            self.close()
            self._finish()
        return bool(done)

    def _tell(self) -> None:
        """What the file says of itself, in Redis's words."""
        aux, log = self._loader.aux, self._server.log
        self._told = True
        if b"redis-ver" in aux:
            log.notice(f"Loading RDB produced by version {shown_text(aux[b'redis-ver'])}")
        if aux.get(b"ctime", b"").isdigit():
            log.notice(f"RDB age {max(0, now_ms() // 1000 - int(aux[b'ctime']))} seconds")
        if self.used_memory:
            log.notice(f"RDB memory usage when created {self.used_memory / 2**20:.2f} Mb")

    def _finish(self) -> None:
        log, persistence = self._server.log, self._server.persistence
        persistence.loaded_keys, persistence.expired_keys = self.keys, self.expired
        for kind, count in self._loader.skipped.items():
            log.warning(f"{self.path}: left out {count} x {kind}, which this server cannot hold yet "
                        "(rdb-skip-unsupported)")
        log.notice(f"Done loading RDB, keys loaded: {self.keys}, keys expired: {self.expired}.")

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Loading:
    """The loading at a start: `step` until it says that all is done."""

    def __init__(self, server: Any) -> None:
        """Decide what is to be loaded. server: engine.server.Server. Raises LoadError."""
        self._server = server
        self.started_s = now_ms() // 1000
        self._start_us = mono_us()
        self._told_ms = mono_ms()
        delay = server.config["key-load-delay"]
        self._delay_us: float = delay if delay >= 0 else -1 / delay
        self.part: Any = server.aof.load()
        self.from_aof = self.part is not None
        if self.part is None and os.path.exists(server.config["dbfilename"]):
            self.part = RdbFile(server, server.config["dbfilename"])

    @property
    def nothing(self) -> bool:
        """Whether there is no file to load."""
        return self.part is None

    def step(self, deadline_us: int) -> bool:
        """Load until the monotonic clock says so; whether all is done. Raises LoadError."""
        if self.part is None:
            return True
        if not (self._slow_step() if self._delay_us else self.part.step(deadline_us)):
            if mono_ms() - self._told_ms >= limits.LOAD_LOG_MS:
                self._told_ms = mono_ms()
                self._server.log.notice(f"Loading: {self._percent():.1f}% of {self.part.total >> 20} MB, "
                                        f"{self.part.keys} keys so far, {self.eta_s} seconds to go")
            return False
        seconds = (mono_us() - self._start_us) / 1e6
        source = "append only file" if self.from_aof else "disk"
        self._server.log.notice(f"DB loaded from {source}: {seconds:.3f} seconds")
        return True

    def _slow_step(self) -> bool:
        """A few keys, and the rest that key-load-delay wants behind them."""
        before = self.part.keys
        done = bool(self.part.step(0))
        time.sleep(min(self._delay_us * (self.part.keys - before), limits.LOAD_STEP_US) / 1e6)
        return done

    def _percent(self) -> float:
        return 100 * self.part.position / (self.part.total + 1)

    @property
    def eta_s(self) -> int:
        """Seconds that are left, as Redis estimates them."""
        elapsed_s = now_ms() // 1000 - self.started_s
        if elapsed_s == 0:
            return 1
        return elapsed_s * max(0, self.part.total - self.part.position) // (self.part.position + 1)

    def facts(self) -> Facts:
        """INFO's further fields while something is loaded."""
        return {
            "loading_start_time": self.started_s, "loading_total_bytes": self.part.total,
            "loading_rdb_used_mem": getattr(self.part, "used_memory", 0), "loading_loaded_bytes": self.part.position,
            "loading_loaded_perc": f"{self._percent():.2f}", "loading_eta_seconds": self.eta_s}

    def status(self) -> dict[str, int]:
        """The same for the supervisor."""
        return {"bytes": self.part.position, "total_bytes": self.part.total, "keys": self.part.keys,
                "eta_s": self.eta_s}
