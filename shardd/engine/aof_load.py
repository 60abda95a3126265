"""Loading the append-only file: its base and its increments, in order, a step at a time.

    manifest -> base.rdb  -> journal.rdb_load     an RDB file, or an RDB part with commands behind it
             -> base.aof  -> engine.replay        commands
             -> incr.aof  -> engine.replay        the last may be cut: its end is then repaired (aof-load-truncated)

Owns: the order of the files, what is logged about them (Redis's lines), and the repair of a cut end. Does not own the
manifest (engine.appendonly reads it), nor what is done when it is over.

A file that is missing, damaged, or cut where it is not the last one is fatal: what comes behind it would be applied to
a state that never was. Whoever drives it gets a LoadError then, and the server must not go on.
"""
import os
from typing import Any

from shardd.base.clock import mono_us
from shardd.base.errors import LoadError
from shardd.base.files import open_regular
from shardd.engine.loading import RdbFile
from shardd.engine.replay import Replay
from shardd.journal.aof_reader import AofReader, Found
from shardd.journal.manifest import BASE, Entry, Manifest

_CHECK = "make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>"


class AofLoad:
    """The loading of all files of a manifest that names some.

    total: bytes of all files; file_name: the one that is being read.
    """

    def __init__(self, server: Any, directory: str, manifest: Manifest) -> None:
        """server: engine.server.Server. Raises LoadError where a file is not there."""
        self._server, self._log, self._directory = server, server.log, directory
        self._files = list(manifest.files)
        self._last = self._files[-1]
        self._replay: Replay | None = None
        self._reader: AofReader | None = None
        self._rdb: RdbFile | None = None
        self._entry: Entry | None = None
        self._prefix = server.config["appendfilename"]
        self._done_bytes = self._effects = self._errors = 0
        self._keys_before = server.keyspace.total_keys()
        self._file_began_us = mono_us()
        self.expired = 0
        self.file_name = ""
        self.total = sum(self._size(entry.name) for entry in self._files)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _size(self, name: str) -> int:
        try:
            return os.stat(self._path(name)).st_size
        except OSError as error:
            self._log.warning(f"Unable to obtain the AOF file {name} length. stat: {error.strerror}")
            raise LoadError(f"the append-only file {name}, which the manifest in {self._directory} names, cannot be "
                            f"loaded: {error.strerror}") from None

    # --- progress ---------------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Bytes loaded so far."""
        if self._rdb is not None:
            return self._done_bytes + self._rdb.position
        return self._done_bytes + (self._reader.valid if self._reader is not None else 0)

    @property
    def keys(self) -> int:
        """Keys that came so far."""
        return self._server.keyspace.total_keys() - self._keys_before

    # --- steps ------------------------------------------------------------------------------------------------------

    def step(self, deadline_us: int) -> bool:
        """Go on until the deadline (monotonic); whether all is loaded. LoadError: the server must not go on."""
        while True:
            if self._entry is None:
                if not self._files:
                    self._over()
                    return True
                self._open(self._files.pop(0))
            if not self._part(deadline_us):
                return False
            if mono_us() >= deadline_us and (self._entry is not None or self._files):
                return False

    def _open(self, entry: Entry) -> None:
        self._entry, self.file_name = entry, entry.name
        self._file_began_us = mono_us()
        try:
            with open(open_regular(self._path(entry.name)), "rb") as file:
                is_rdb = file.read(5) == b"REDIS"
            if not is_rdb and entry.kind == BASE and entry.name.endswith(".rdb"):
                self._fail(f"Error reading the RDB base file {entry.name}, AOF loading aborted",
                           "it is empty" if self._size(entry.name) == 0 else "it does not begin as an RDB file")
            if is_rdb:
                self._log.notice("Reading RDB preamble from AOF file..." if entry.name == self._prefix else
                                 "Reading RDB base file on AOF loading...")
                self._rdb = RdbFile(self._server, self._path(entry.name), keep_expired=True)
            else:
                self._reader = AofReader(self._path(entry.name))
        except OSError as error:
            self._fail(f"Fatal error: can't open the append log file {entry.name} for reading: {error.strerror}")
        self._replay = Replay(self._server)

    def _part(self, deadline_us: int) -> bool:
        """Go on with the open file; whether it is done."""
        if self._rdb is not None and not self._rdb_part(deadline_us):
            return False
        assert self._reader is not None and self._replay is not None and self._entry is not None
        name = self._entry.name
        try:
            found = self._replay.run(self._reader, deadline_us)
        except LoadError as error:
            self._fail(f"{error} reading the append only file {name}")
        except OSError as error:
            self._fail(f"Unrecoverable error reading the append only file {name}: {error.strerror}")
        if found == Found.COMMANDS:
            return False
        if found == Found.DAMAGED:
            self._fail(f"Bad file format reading the append only file {name}: {_CHECK}", self._reader.reason)
        if found == Found.TRUNCATED:
            self._cut(name)
        self._close(name)
        return True

    def _rdb_part(self, deadline_us: int) -> bool:
        """Go on with the RDB part of the open file; whether it is done, and what is behind it open."""
        assert self._rdb is not None and self._entry is not None
        name = self._entry.name
        try:
            if not self._rdb.step(deadline_us):
                return False
        except LoadError as error:
            which = "preamble of the AOF" if name == self._prefix else "base"
            self._fail(f"Error reading the RDB {which} file {name}, AOF loading aborted", str(error))
        position = self._rdb.position
        self.expired += self._rdb.expired
        self._rdb = None
        if name == self._prefix:
            self._log.notice("Reading the remaining AOF tail...")
        self._reader = AofReader(self._path(name), position)
        return True

    def _cut(self, name: str) -> None:
        """The file ends within a unit."""
        assert self._reader is not None
        log, valid = self._log, self._reader.valid
        if self._reader.in_multi:
            log.warning(f"Revert incomplete MULTI/EXEC transaction in AOF file {name}")
        if self._server.config["aof-load-truncated"]:
            log.warning(f"!!! Warning: short read while loading the AOF file {name}!!!")
            log.warning(f"!!! Truncating the AOF {name} at offset {valid} !!!")
            if self._entry is not self._last:
                self._fail("Fatal error: the truncated file is not the last file",
                           f"{name} ends within a command at offset {valid}")
            try:
                os.truncate(self._path(name), valid)
            except OSError as error:
                log.warning(f"Error truncating the AOF file {name}: {error.strerror}")
            else:
                log.warning(f"AOF {name} loaded anyway because aof-load-truncated is enabled")
                self.total -= self._reader.total - valid
                return
        self._fail(f"Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF "
                   "file, then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the "
                   "'aof-load-truncated' configuration option to yes and restart the server.")

    def _close(self, name: str) -> None:
        assert self._reader is not None and self._replay is not None and self._entry is not None
        kind = "base" if self._entry.kind == BASE else "incr"
        seconds = (mono_us() - self._file_began_us) / 1e6
        self._log.notice(f"DB loaded from {kind} file {name}: {seconds:.3f} seconds")
        self._done_bytes += self._reader.valid
        self._effects += self._replay.effects
        self._errors += self._replay.errors
        self._reader.close()
        self._reader = self._replay = self._entry = None

    def _over(self) -> None:
        if self._errors:
            self._log.warning(f"{self._errors} of {self._effects} effects in the append-only file ended with an error")

    def _fail(self, line: str, reason: str | None = None) -> None:
        """Log a line as Redis does, and end the loading."""
        self._log.warning(line)
        raise LoadError(f"{line} ({reason})" if reason else line)


