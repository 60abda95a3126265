"""The manifest of the append-only file: which files it consists of, and in which order they are read.

    file appendonly.aof.2.base.rdb seq 2 type b         what the data was when the log was last rewritten
    file appendonly.aof.4.incr.aof seq 4 type h         history: rewritten, to be deleted
    file appendonly.aof.5.incr.aof seq 5 type i         the effects since, in increments; the last one is written to
    file appendonly.aof.6.incr.aof seq 6 type i

One line per file, the base first, then history, then increments, each list by rising sequence number: Redis 7's format
(aof.c), byte for byte. Words may be quoted as in redis.conf, which names with blanks or control characters are; pairs
of words that are not known are skipped, so that a later Redis may add some; lines that begin with # are comments.

Owns: the text, its checks, the names of new files, and replacing the manifest on disk. Does not own the files that it
names (journal.aof, engine.appendonly).

Invariants: a Manifest is a value: what changes it returns another one, so that a step that fails on disk leaves the old
one in force. There is at most one base. Sequence numbers only rise, in the increments strictly.
"""
import dataclasses
import os
import re
from typing import Final

from shardd.base.files import open_regular, replace_file
from shardd.base.limits import MANIFEST_LINE_BYTES_MAX
from shardd.base.options import split_words

BASE: Final = "b"
HISTORY: Final = "h"
INCREMENT: Final = "i"

_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}
_LEADING_INTEGER: Final = re.compile(r"\s*([+-]?[0-9]+)")


class ManifestError(Exception):
    """The manifest does not hold. reason: Redis's words; line_number: from 1, 0 where no line is to blame; line: it."""

    def __init__(self, reason: str, line_number: int = 0, line: str = "") -> None:
        super().__init__(reason)
        self.reason, self.line_number, self.line = reason, line_number, line


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One file. name: in the log's directory; seq: its sequence number; kind: BASE, HISTORY or INCREMENT."""

    name: str
    seq: int
    kind: str

    def line(self) -> str:
        """The entry as the manifest has it, with its newline."""
        return f"file {_repr(self.name)} seq {self.seq} type {self.kind}\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a log. last_base, last_increment: the highest numbers given so far, 0 for none."""

    base: Entry | None = None
    history: tuple[Entry, ...] = ()
    increments: tuple[Entry, ...] = ()
    last_base: int = 0
    last_increment: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything to load."""
        return self.base is not None or bool(self.increments)

    @property
    def files(self) -> tuple[Entry, ...]:
        """What is loaded, in order."""
        return (self.base, *self.increments) if self.base is not None else self.increments

    def text(self) -> str:
        """The whole manifest."""
        entries = ((self.base,) if self.base is not None else ()) + self.history + self.increments
        return "".join(entry.line() for entry in entries)

    def with_base(self, name: str) -> "Manifest":
        """The same with a base that is there already, as number 1: an old log of one file."""
        return dataclasses.replace(self, base=Entry(name, 1, BASE), last_base=1)

    def with_new_base(self, prefix: str, rdb: bool) -> "Manifest":
        """The same with a new base; the old one is history. prefix: appendfilename; rdb: its format."""
        seq = self.last_base + 1
        history = self.history
        if self.base is not None:
            history = (dataclasses.replace(self.base, kind=HISTORY), *history)
        name = f"{prefix}.{seq}.base.{'rdb' if rdb else 'aof'}"
        return dataclasses.replace(self, base=Entry(name, seq, BASE), history=history, last_base=seq)

    def with_new_increment(self, prefix: str) -> "Manifest":
        """The same with one more increment behind the others."""
        seq = self.last_increment + 1
        return dataclasses.replace(self, increments=(*self.increments, Entry(f"{prefix}.{seq}.incr.aof", seq,
                                                                             INCREMENT)), last_increment=seq)

    def with_rewritten(self, keep: int) -> "Manifest":
        """The same after a rewrite: all increments but the last `keep` (0 or 1) are history."""
        done = self.increments[:len(self.increments) - keep]
        history = tuple(dataclasses.replace(entry, kind=HISTORY) for entry in done)
        return dataclasses.replace(self, history=history + self.history, increments=self.increments[len(done):])

    def without_history(self) -> "Manifest":
        """The same once the files of history are deleted."""
        return dataclasses.replace(self, history=())


def manifest_name(prefix: str) -> str:
    """The manifest's file name. prefix: appendfilename."""
    return prefix + ".manifest"


def parse(data: bytes) -> Manifest:
    """The manifest of a file's bytes. ManifestError, in Redis's words, for one that does not hold."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    if not lines:
        raise ManifestError("Found an empty AOF manifest")
    manifest = Manifest()
    for number, raw in enumerate(lines, 1):
        if raw.startswith(b"#"):
            continue
        if not raw.endswith(b"\n") or len(raw) > MANIFEST_LINE_BYTES_MAX:
            raise ManifestError("The AOF manifest file contains too long line", number)
        line = os.fsdecode(raw.strip(b" \t\r\n"))
        try:
            manifest = _add(manifest, _entry(line))
        except ManifestError as error:
            raise ManifestError(error.reason, number, line) from None
    return manifest


def _entry(line: str) -> Entry:
    words = split_words(line)
    if not words or len(words) < 6 or len(words) % 2:
        raise ManifestError("Invalid AOF manifest file format")
    if len({key.lower() for key in words[::2]}) < len(words) // 2:
        raise ManifestError("Invalid AOF manifest file format")     # two lines whose newline is damaged
    name, seq, kind = "", 0, ""
    for key, value in zip(words[::2], words[1::2], strict=True):
        match key.lower():
            case "file":
                name = os.fsdecode(os.fsencode(value))      # bytes that were escaped one by one
                if "/" in name or "\\" in name:
                    raise ManifestError("File can't be a path, just a filename")
            case "seq":
                number = _LEADING_INTEGER.match(value)
                seq = int(number.group(1)) if number else 0
            case "type":
                kind = value[:1]
    if not name or not seq or not kind:
        raise ManifestError("Invalid AOF manifest file format")
    return Entry(name, seq, kind)


def _add(manifest: Manifest, entry: Entry) -> Manifest:
    if any(entry.name == other.name for other in (*manifest.files, *manifest.history)):
        raise ManifestError("Found a file that is named twice")     # Redis loads it twice, and the right one never
    match entry.kind:
        case "b":
            if manifest.base is not None:
                raise ManifestError("Found duplicate base file information")
            return dataclasses.replace(manifest, base=entry, last_base=entry.seq)
        case "h":
            return dataclasses.replace(manifest, history=(*manifest.history, entry))
        case "i":
            if entry.seq <= manifest.last_increment:
                raise ManifestError("Found a non-monotonic sequence number")
            return dataclasses.replace(manifest, increments=(*manifest.increments, entry), last_increment=entry.seq)
    raise ManifestError("Unknown AOF file type")


def _repr(name: str) -> str:
    """A file name as one word, quoted where it has to be."""
    raw = os.fsencode(name)
    if all(0x21 <= byte <= 0x7e and byte not in b'\\"' for byte in raw):
        return name
    return '"' + "".join(_ESCAPES.get(char := chr(byte)) or (char if 0x20 <= byte <= 0x7e else f"\\x{byte:02x}")
                         for byte in raw) + '"'


def read(directory: str, prefix: str) -> Manifest:
    """The manifest on disk, an empty one where there is none. ManifestError, OSError."""
    try:
        with open(open_regular(os.path.join(directory, manifest_name(prefix))), "rb") as file:
            return parse(file.read())
    except FileNotFoundError:
        return Manifest()


def write(manifest: Manifest, directory: str, prefix: str) -> None:
    """Replace the manifest on disk in one step that survives a crash; new names in the directory do, too. OSError."""
    replace_file(os.path.join(directory, manifest_name(prefix)), os.fsencode(manifest.text()))


def write_single_base(directory: str, prefix: str, name: str) -> None:
    """A manifest with one base, number 1, and no increments, for a directory that is made offline. OSError."""
    write(Manifest().with_base(name), directory, prefix)
