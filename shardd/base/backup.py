"""What makes files a backup: the manifest of a directory that `shardctl backup` has written.

    <directory>/                mode 0700
      engine-0.rdb              the keys of some slots, as an RDB file (journal/FORMAT.md); one for each engine
      engine-1.rdb ...
      backup.json               the manifest: written last, synced, put there in one step

A directory without backup.json is no backup, whatever else is in it: what was interrupted at any point is nobody's
backup by accident. The manifest is a JSON object:

    format          1; a reader refuses what is newer
    made_by         the version of shardd
    redis_version   the version of Redis that its INFO shows
    time, unix_ms   the instant of which the data is
    barrier_us      how long the engines were held for it: from when the first was until all were released
    cluster_id, epoch       of the topology
    engines         a list: {index, id, file, slots: [[first, last], ...], keys, file_bytes, xxh3_128, fork_us}
    xxh3_128        of everything above: of the object without this field, with sorted keys and no blanks

Owns: this form, its checks, the checksums. Does not own how the files come about (supervisor/backup.py), or what is in
them. The checksum is XXH3 of 128 bits: it finds damage, not forgery.

Invariants of a manifest that was read: every slot is in exactly one file's ranges; a file's name is a plain one in the
same directory.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import xxhash

from shardd.base import limits
from shardd.base.files import replace_file

FORMAT: Final = 1
MANIFEST: Final = "backup.json"

_MANIFEST_BYTES_MAX: Final = 16 * limits.MIB
_READ_BYTES: Final = limits.MIB
_CHECKSUM: Final = "xxh3_128"


class BackupError(Exception):
    """There is no such backup, or it is damaged; the message is a sentence for people."""


@dataclass(frozen=True)
class Part:
    """One engine's file. index, id: the engine's. slots: ranges, both ends included. keys, file_bytes: how many.
    xxh3_128: hex digits. fork_us: how long the fork took."""

    index: int
    id: str
    file: str
    slots: tuple[tuple[int, int], ...]
    keys: int
    file_bytes: int
    xxh3_128: str
    fork_us: int

    def flags(self) -> bytes:
        """The slots as 16,384 flags."""
        flags = bytearray(limits.SLOTS)
        for first, last in self.slots:
            flags[first:last + 1] = b"\x01" * (last + 1 - first)
        return bytes(flags)


@dataclass(frozen=True)
class Manifest:
    """See the head of the module."""

    made_by: str
    redis_version: str
    unix_ms: int
    barrier_us: int
    cluster_id: str
    epoch: int
    engines: tuple[Part, ...]

    @property
    def keys(self) -> int:
        return sum(part.keys for part in self.engines)

    @property
    def file_bytes(self) -> int:
        return sum(part.file_bytes for part in self.engines)

    @property
    def time(self) -> str:
        """ISO 8601, UTC."""
        return datetime.fromtimestamp(self.unix_ms / 1000, UTC).isoformat(timespec="milliseconds")

    def dumps(self) -> bytes:
        """The file's content."""
        fields: dict[str, Any] = {"format": FORMAT, **asdict(self), "time": self.time}
        fields[_CHECKSUM] = _sum_of(fields)
        return json.dumps(fields, indent=2).encode() + b"\n"

    def write(self, directory: Path) -> None:
        """Make the directory a backup. Raises OSError, and it is none."""
        replace_file(directory / MANIFEST, self.dumps(), mode=0o600)

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """The manifest in `directory`. Raises BackupError."""
        path = directory / MANIFEST
        try:
            with open(path, "rb") as file:
                data = file.read(_MANIFEST_BYTES_MAX)
        except FileNotFoundError:
            raise BackupError(f"{directory} is no backup: there is no {MANIFEST} in it"
                              + ("" if directory.is_dir() else ", nor such a directory")) from None
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from None
        try:
            return cls._loads(data)
        except BackupError as error:
            raise BackupError(f"{path} {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BackupError(f"{path} is damaged: it is not what a backup writes") from None

    @classmethod
    def _loads(cls, data: bytes) -> "Manifest":
        fields = json.loads(data)
        number = fields["format"]
        if number != FORMAT:
            raise BackupError(f"has the format {number}, and this version reads {FORMAT}")
        if fields.pop(_CHECKSUM) != _sum_of(fields):
            raise BackupError("is damaged: its checksum is another one")
        engines = tuple(Part(**{**part, "slots": tuple((first, last) for first, last in part["slots"])})
                        for part in fields["engines"])
        for part in engines:
            if part.file != os.path.basename(part.file) or part.file in ("", ".", ".."):
                raise BackupError(f"is damaged: {part.file!r} is no file's name")
        if (trouble := coverage([part.slots for part in engines])) is not None:
            raise BackupError(f"is damaged: {trouble}")
        return cls(fields["made_by"], fields["redis_version"], fields["unix_ms"], fields["barrier_us"],
                   fields["cluster_id"], fields["epoch"], engines)

    def verify(self, directory: Path) -> Iterator[tuple[int, int]]:
        """Compare the files with what was written; yields (bytes so far, of bytes) on the way. Raises BackupError."""
        done = 0
        for part in self.engines:
            path = directory / part.file
            try:
                facts = path.stat()
                if not stat.S_ISREG(facts.st_mode):
                    raise BackupError(f"{path} is no file")
                if facts.st_size != part.file_bytes:
                    raise BackupError(f"{path} is damaged: it has {facts.st_size} bytes instead of {part.file_bytes}")
                for summed in checksum_of(path):
                    if isinstance(summed, str):
                        if summed != part.xxh3_128:
                            raise BackupError(f"{path} is damaged: its checksum is another one")
                    else:
                        yield done + summed, self.file_bytes
            except FileNotFoundError:
                raise BackupError(f"{path} is missing") from None
            except OSError as error:
                raise BackupError(f"{path} cannot be read: {error.strerror}") from None
            done += part.file_bytes


def _sum_of(fields: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def checksum_of(path: Path) -> Iterator[int | str]:
    """How many bytes were read so far, now and then; at the end the checksum, hex digits. Raises OSError."""
    digest, done = xxhash.xxh3_128(), 0
    with open(path, "rb", buffering=0) as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
            done += len(data)
            yield done
    yield digest.hexdigest()


def checksum(path: Path, on_progress: Callable[[int], object] = lambda done: None) -> str:
    """The checksum of a file, hex digits. Raises OSError."""
    for summed in checksum_of(path):
        if isinstance(summed, str):
            return summed
        on_progress(summed)
    raise AssertionError


def coverage(parts: list[tuple[tuple[int, int], ...]]) -> str | None:
    """What is wrong where not every slot is in exactly one of these sets of ranges; None where all is well."""
    counts = [0] * limits.SLOTS
    for ranges in parts:
        for first, last in ranges:
            if not 0 <= first <= last < limits.SLOTS:
                return f"{first}-{last} is no range of slots"
            for slot in range(first, last + 1):
                counts[slot] += 1
    for slot, count in enumerate(counts):
        if count != 1:
            return f"slot {slot} is in {count} of the files"
    return None
