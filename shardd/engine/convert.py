"""Files of one engine, or of several, made into those of another: an engine without sockets that loads, writes and ends.

    python -m shardd.engine.convert CONF JOB

CONF: the configuration of an engine, as the supervisor makes it; its `dir` becomes the working directory. JOB is JSON:

    {"do": "fold", "to": path, "slots": "0-8191,9000"}      loads what is in `dir`, as a start would, and writes the
                                                            keys of these slots (null: all) to one RDB file
    {"do": "fill", "sources": [[path, "0-100"], ...]}       loads RDB files, of each the keys of some slots, and writes
                                                            into `dir` what a start loads from there: the base of an
                                                            append only file with its manifest, or dump.rdb

    "parent": pid           it ends when this process does
    "skip_unsupported"      true: as rdb-skip-unsupported yes

On standard output come the lines of the log, and JSON objects, a line each: {"progress": [bytes, of bytes]} now and then,
and at the end {"keys": in the file that was written, "loaded": n, "expired": n, "skipped": {kind: n}}. What goes wrong
is one sentence on standard error, and exit code 1.

Owns: the order of these steps. Does not own loading (engine.loading), writing (journal.rdb_save, journal.manifest), or
what the files are for (supervisor/relayout.py). A file is written under another name, synced, and renamed: whoever meets
one meets a whole one. Where a key is in two sources, the later one's counts.
"""
import json
import os
import sys
import time
from typing import Any, Final

from shardd.base import limits
from shardd.base.child import die_with_parent
from shardd.base.clock import mono_ms, mono_us
from shardd.base.errors import ConfigError, LoadError
from shardd.base.files import sync_directory
from shardd.base.log import ENGINE, Log
from shardd.base.options import Config
from shardd.base.process import enter_directory, lock_directory
from shardd.engine.build import build_registry
from shardd.engine.loading import Loading, RdbFile
from shardd.engine.server import Server
from shardd.engine.snapshot import RDB, save_options
from shardd.journal import manifest
from shardd.journal.rdb_save import save_keyspace

_STEP_US: Final = 200_000
_TELL_MS: Final = 250
_LOCK_LOOK_S: Final = 0.05


class ConvertError(Exception):
    """It cannot be done; the message is a sentence for people."""


class Converter:
    """One run. config: the engine's."""

    def __init__(self, config: Config) -> None:
        self._log = Log(ENGINE, config["loglevel"], "")
        self._config = config
        self._server = Server(config, self._log)
        build_registry(self._server)
        self._loaded = self._expired = 0
        self._skipped: dict[str, int] = {}
        self._told_ms = 0

    def fold(self, to: str, slots: bytes | None) -> dict[str, Any]:
        """What is in `dir`, as one file. Raises ConvertError, LoadError, OSError."""
        lock = self._lock()
        self._refuse_leftovers()
        loading = Loading(self._server)
        if not loading.nothing:
            self._load(loading, loading.part, 0, loading.part.total)
        keys = self._write(to, slots, False)
        os.close(lock)
        return self._told(keys)

    def fill(self, sources: list[tuple[str, bytes | None]]) -> dict[str, Any]:
        """What is in `sources`, in the files of `dir`. Raises LoadError, OSError."""
        sizes = [os.stat(path).st_size for path, _ in sources]
        for place, (path, slots) in enumerate(sources):
            part = RdbFile(self._server, path, slots=slots, replace=True)
            self._load(part, part, sum(sizes[:place]), sum(sizes))
            self._loaded += part.keys
            self._expired += part.expired
            for kind, count in part.skipped.items():
                self._skipped[kind] = self._skipped.get(kind, 0) + count
        if not self._config["appendonly"]:
            return self._told(self._write(self._config["dbfilename"], None, False))
        directory, prefix = self._config["appenddirname"], self._config["appendfilename"]
        base = manifest.Manifest().with_new_base(prefix, rdb=True).base
        assert base is not None
        os.makedirs(directory, 0o755, exist_ok=True)
        keys = self._write(os.path.join(directory, base.name), None, True)
        manifest.write_single_base(directory, prefix, base.name)
        sync_directory("")
        return self._told(keys)

    def _lock(self) -> int:
        """Nobody else writes here: an engine may outlive the supervisor that was killed, for as long as it saves."""
        while (fd := lock_directory(self._config["dir"])) is None:
            time.sleep(_LOCK_LOOK_S)
        return fd

    def _refuse_leftovers(self) -> None:
        """A log that would not be loaded, and removed in the end, may be all of the data."""
        config = self._config
        path = os.path.join(config["appenddirname"], manifest.manifest_name(config["appendfilename"]))
        if not config["appendonly"] and os.path.exists(path):
            raise ConvertError(
                f"appendonly is no, and there is an append only file, {os.path.abspath(path)}, which would be lost: start "
                "with appendonly yes, or, where its data is not wanted, remove it")

    def _load(self, steps: Any, part: Any, before: int, total: int) -> None:
        """All steps. before, total: bytes."""
        while not steps.step(mono_us() + _STEP_US):
            if mono_ms() - self._told_ms >= _TELL_MS:
                self._told_ms = mono_ms()
                _say({"progress": [before + part.position, total]})

    def _write(self, path: str, slots: bytes | None, aof_base: bool) -> int:
        """The keyspace as an RDB file; how many keys."""
        temporary = f"{path}.{os.getpid()}.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            keys, _ = save_keyspace(self._server.keyspace, fd, **save_options(self._config, RDB), aof_base=aof_base,
                                    slots=slots)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
        sync_directory(os.path.dirname(path))
        return int(keys)

    def _told(self, keys: int) -> dict[str, Any]:
        return {"keys": keys, "loaded": self._loaded, "expired": self._expired, "skipped": self._skipped}


def slots_of(text: str | None) -> bytes | None:
    """"0-100,200" as 16,384 flags; None stays None. Raises ValueError."""
    if text is None:
        return None
    flags = bytearray(limits.SLOTS)
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        for slot in range(int(first), int(last or first) + 1):
            flags[slot] = 1
    return bytes(flags)


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    """Exits with 1, and one sentence on stderr, where it fails."""
    try:
        conf, job = sys.argv[1], json.loads(sys.argv[2])
        if "parent" in job:
            die_with_parent()
            if os.getppid() != job["parent"]:
                sys.exit(1)
        config = Config.load([conf], "shardd-engine")
        enter_directory(config["dir"])
        if job.get("skip_unsupported"):
            config.lower("rdb-skip-unsupported", True)
        converter = Converter(config)
        if job["do"] == "fold":
            _say(converter.fold(job["to"], slots_of(job["slots"])))
        else:
            _say(converter.fill([(path, slots_of(slots)) for path, slots in job["sources"]]))
    except (ConfigError, LoadError, ConvertError, OSError, MemoryError) as error:
        sys.exit(f"{' '.join(str(error).split()) or type(error).__name__}")


if __name__ == "__main__":
    main()
