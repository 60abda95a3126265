"""Several RDB files of different keys made into one.

    part 0   "REDIS0010"  AUX ...  [ SELECTDB RESIZEDB keys ... ]  EOF  CRC
    part 1   "REDIS0012"  AUX ...  [ SELECTDB RESIZEDB keys ... ]  EOF  CRC
                                          |  bodies as they are
    joined   "REDIS0012"  AUX ...  [ ... ][ ... ]  EOF  CRC anew

A body begins with its first SELECTDB, so that bodies stand one behind the other as they are, and a database is selected
several times; what RESIZEDB says is a hint, for the part that follows. The version is the highest of the parts': a
later one reads what an earlier wrote. Names and lengths of AUX fields are all that is looked into.

Owns: this. Does not own what a body is made of (journal/FORMAT.md). Each part's own checksum is compared on the way, so
that nothing that was damaged goes on with a checksum that is right.
"""

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from shardd.base import limits
from shardd.structures.crc64 import crc64_of

VERSION_COMMON: Final = 10
"""Redis 7.0 reads it, and all that came later."""

_MAGIC: Final = b"REDIS"
_AUX: Final = 0xFA
_EOF: Final = b"\xff"
_TAIL_BYTES: Final = 9
_HEAD_BYTES_MAX: Final = 64 * limits.KIB
_READ_BYTES: Final = limits.MIB
_AUX_KEPT: Final = (b"redis-ver", b"redis-bits")


class JoinError(Exception):
    """A part is not what it should be; the message is a sentence for people."""


class Joined(NamedTuple):
    """What came out. version: of the format."""

    version: int
    file_bytes: int


class Head(NamedTuple):
    """The beginning of a part. body: where its first SELECTDB, or EOF, is. aux: what the file says of itself, names and
    values as they are encoded."""

    version: int
    body: int
    aux: tuple[tuple[bytes, bytes], ...]


def read_head(data: bytes) -> Head:
    """data: the first bytes of a file. Raises JoinError."""
    digits = data[5:9]
    if not data.startswith(_MAGIC) or not digits.isdigit():
        raise JoinError("it is no RDB file")
    at, aux = 9, []
    try:
        while data[at] == _AUX:
            middle = _behind_string(data, at + 1)
            end = _behind_string(data, middle)
            aux.append((data[at + 1:middle], data[middle:end]))
            at = end
    except (IndexError, struct.error):
        raise JoinError("its head is longer than it can be") from None
    return Head(int(digits), at, tuple(aux))


def _behind_string(data: bytes, at: int) -> int:
    """Where a string that is encoded at `at` ends. Raises IndexError, struct.error."""
    first = data[at]
    if first >> 6 == 3:
        if first & 63 > 2:
            raise JoinError("it has a compressed AUX field")
        return at + 1 + (1 << (first & 63))
    if first >> 6 == 0:
        return at + 1 + first
    if first >> 6 == 1:
        return at + 2 + ((first & 63) << 8 | data[at + 1])
    width, form = (4, ">I") if first == 0x80 else (8, ">Q")
    return at + 1 + width + int(struct.unpack_from(form, data, at + 1)[0])


def _text(text: bytes) -> bytes:
    """A short string, encoded."""
    assert len(text) < 64
    return bytes((len(text),)) + text


def _head_of(heads: Sequence[Head], time_s: int) -> bytes:
    """The joined file's beginning; version and bits are those of the parts."""
    first = {name[1:]: value for name, value in heads[0].aux}
    fields = [(name, first[name]) for name in _AUX_KEPT if name in first]
    fields += [(b"ctime", _text(b"%d" % time_s)), (b"aof-base", _text(b"0"))]
    version = max(head.version for head in heads)
    return b"%b%04d" % (_MAGIC, version) + b"".join(
        bytes((_AUX,)) + _text(name) + value for name, value in fields)


class _Out:
    """The joined file, with its checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc = 0
        self.written = 0

    def write(self, data: bytes) -> None:
        self.crc = crc64_of(data, self.crc)
        self._file.write(data)
        self.written += len(data)


def join(parts: Sequence[Path], target: Path, time_s: int,
         on_progress: Callable[[int], object] = lambda done: None) -> Joined:
    """Write `target`, synced; each part is removed when it has been read. time_s: what it says of its time, unix s.

    on_progress: gets how many bytes were read, now and then. Raises OSError, JoinError; `target` is no whole file then.
    """
    heads = []
    for path in parts:
        with open(path, "rb") as file:
            try:
                heads.append(read_head(file.read(_HEAD_BYTES_MAX)))
            except JoinError as error:
                raise JoinError(f"{path}: {error}") from None
    with open(target, "wb") as file:
        out = _Out(file)
        out.write(_head_of(heads, time_s))
        done = 0
        for path, head in zip(parts, heads, strict=True):
            _copy(path, head, out, lambda here: on_progress(done + here))
            done += path.stat().st_size
            path.unlink()
        out.write(_EOF)
        file.write(struct.pack("<Q", out.crc))
        file.flush()
        os.fsync(file.fileno())
        return Joined(max(head.version for head in heads), out.written + 8)


def _copy(path: Path, head: Head, out: _Out, on_progress: Callable[[int], object]) -> None:
    """A part's body. Raises OSError, JoinError."""
    with open(path, "rb") as file:
        crc = crc64_of(file.read(head.body))
        left = os.fstat(file.fileno()).st_size - head.body - _TAIL_BYTES
        while left > 0 and (data := file.read(min(left, _READ_BYTES))):
            crc = crc64_of(data, crc)
            out.write(data)
            left -= len(data)
            on_progress(file.tell())
        tail = file.read(_TAIL_BYTES)
        if left or len(tail) != _TAIL_BYTES or tail[:1] != _EOF:
            raise JoinError(f"{path} has no end")
        if crc64_of(_EOF, crc) != int.from_bytes(tail[1:], "little"):
            raise JoinError(f"{path} is damaged: its checksum is another one")
