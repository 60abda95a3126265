"""The durable home of the topology: read it, and replace it by compare-and-set.

Owns: the `Store` interface, its file implementation and the file format. Does not own the value (topology.py) or when
it changes (the supervisor).

    <dir>/topology.json        the topology; replaced as a whole
    <dir>/topology.json.new    the next one while it is written; a leftover of a crash, overwritten by the next write
    <dir>/shardd.lock          locked (flock) for as long as a supervisor runs on <dir>; holds its pid

topology.json is one JSON object, UTF-8, closed by a line feed:

    {"format": "shardd topology", "version": 1, "xxh3_128": "<32 hex>", "topology": {...}}

`topology` is what Topology.to_json() gives. `xxh3_128` is the XXH3 hash, 128 bits, of the bytes of `topology` as
json.dumps(..., sort_keys=True, separators=(",", ":")) writes them: damage that is still valid JSON is found too. It is
no seal: who may write the file may write the checksum.

A replacement is written to topology.json.new, synced, renamed over the old file, and the directory is synced: after
a crash at any point a reader finds the old value or the new one, whole. A file that cannot be read, has an unknown
version or a wrong checksum raises `StoreError` with its path and is never overwritten, since it may be all that is
left of an assignment of slots to data.

Invariants: one writer at a time (the lock); epochs in the file only grow; a reader needs no lock.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Protocol

import xxhash

from shardd.base.files import replace_file
from shardd.cluster.topology import Topology, TopologyError

FORMAT = "shardd topology"
VERSION = 1

TOPOLOGY_FILE = "topology.json"
LOCK_FILE = "shardd.lock"


class StoreError(Exception):
    """The store cannot be used; the message names the file and says what to do."""


class Store(Protocol):
    """Where the topology lives: a file on one host; a consensus service can stand behind the same two functions."""

    def read(self) -> Topology | None:
        """The stored topology, None where there never was one. Raises StoreError."""

    def compare_and_set(self, expected_epoch: int, new: Topology) -> bool:
        """Replaces the stored topology by `new` if its epoch is `expected_epoch` (0: nothing is stored yet).

        False, and nothing changed, where another epoch is stored. After True the new value survives a crash. `new` must
        have a higher epoch than the one it replaces (ValueError). Raises StoreError.
        """


class FileStore:
    """The store in one directory. `acquire()` before the first write, `release()` at the end."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.path = self.directory / TOPOLOGY_FILE
        self.lock_path = self.directory / LOCK_FILE
        self._lock_fd: int | None = None

    # --- the lock -------------------------------------------------------------------------------------------------

    def acquire(self) -> None:
        """Takes the directory for this process. StoreError where another one has it, or it cannot be written."""
        if self._lock_fd is not None:
            return
        try:
            fd = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"cannot write {self.lock_path}: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise StoreError(f"the directory {self.directory} is in use by another shardd (pid {pid}, "
                             f"lock file {self.lock_path}); stop it or choose another dir") from None
        except OSError as error:
            os.close(fd)
            raise StoreError(f"cannot lock {self.lock_path}: {error.strerror}") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        self._lock_fd = fd

    def release(self) -> None:
        """Gives the directory up. The lock file stays: removing it would let two processes lock two files."""
        if self._lock_fd is not None:
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> "FileStore":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    # --- the value ------------------------------------------------------------------------------------------------

    def read(self) -> Topology | None:
        """See Store.read."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}") from None
        try:
            return self._parse(raw)
        except (TopologyError, ValueError) as error:
            raise StoreError(f"{self.path} is damaged: {error}. It is left as it is; restore it from a copy, or move "
                             "it away to start with slots split evenly") from None

    def compare_and_set(self, expected_epoch: int, new: Topology) -> bool:
        """See Store.compare_and_set."""
        if self._lock_fd is None:
            raise StoreError(f"{self.path} is written without the lock {self.lock_path}")
        current = self.read()
        if (current.epoch if current else 0) != expected_epoch:
            return False
        if new.epoch <= expected_epoch:
            raise ValueError(f"epoch {new.epoch} does not come after {expected_epoch}")
        try:
            replace_file(self.path, _text(new))
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from None
        return True

    @staticmethod
    def _parse(raw: bytes) -> Topology:
        value = json.loads(raw)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise TopologyError(f"it is no {FORMAT} file")
        if value.get("version") != VERSION:
            raise TopologyError(f"its version is {value.get('version')!r}, this shardd reads {VERSION}")
        if value.get("xxh3_128") != _checksum(value.get("topology")):
            raise TopologyError("its checksum does not fit its content")
        return Topology.from_json(value["topology"])


def _checksum(topology: Any) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(topology, sort_keys=True, separators=(",", ":")).encode())


def _text(topology: Topology) -> bytes:
    value = topology.to_json()
    return json.dumps({"format": FORMAT, "version": VERSION, "xxh3_128": _checksum(value), "topology": value},
                      indent=1).encode() + b"\n"
