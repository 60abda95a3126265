"""A single Redis's dump.rdb sent into the engines of a running tree: a process of its own, which is their client.

    python -m shardd.engine.importer JOB

JOB is JSON:

    file              path of the RDB file
    existing          what becomes of a key that is there already: "fail" (nothing is imported where there is one),
                      "skip" (it stays), "replace"
    skip_unsupported  true: leave out what no engine can hold yet; false: then nothing is imported
    share             of the engines' time that may be taken, per cent
    engines           [{"name": "engine 0", "socket": path, "slots": [[first, last], ...]}, ...]
    parent            pid: it ends when this process does

Standard output has JSON objects, a line each: {"progress": [bytes, of bytes, "looked through" | "imported"]} now and
then, at the end {"error": null or a sentence, "keys": imported, "kept": not replaced, "expired": n, "empty": n,
"unsupported": {kind: n}}. Exit code 1 with an error.

    look     the whole file: its checksum, every value as deep as a loader would, and, with `fail`, EXISTS of every key
    send     RESTORE key expiry payload ABSTTL [REPLACE] [IDLETIME | FREQ], in batches to all engines at once, and
             between two of them a rest of three times what the batch took, so that the engines are their clients' for
             three quarters of the time

RESTORE is what puts a key in, and nothing else: so memory limits, events, WATCH, the journal and with it the append
only file are as with any command, and an engine never waits for the disk on which the file is.

Owns: these two passes. Does not own what a file is (journal.rdb_cut) or who is told of the progress (ctl/importing.py).

Invariants: nothing is sent before the whole file was looked through. What was sent stays, whatever happens: there is no
undo, and the error says how far it came.
"""

import json
import os
import socket
import sys
import time
from typing import Any, Final, NamedTuple

from shardd.base import limits
from shardd.base.child import die_with_parent
from shardd.base.clock import mono_ms, mono_us, now_ms
from shardd.base.errors import CommandError
from shardd.base.log import ENGINE, Log
from shardd.base.options import Config
from shardd.engine.build import build_registry
from shardd.engine.server import Server
from shardd.journal.rdb_cut import RdbCutter
from shardd.journal.rdb_in import RdbError
from shardd.journal.rdb_load_build import Thresholds
from shardd.structures.slots import slot_of
from shardd.wire.plain import Decoder
from shardd.wire.reply import encode_command

FAIL, SKIP, REPLACE = "fail", "skip", "replace"

_TELL_MS: Final = 500
_CUT_US: Final = 200_000         # so long one cut may take, before the progress is told
_SHOWN_BYTES: Final = 80


class ImportFailed(Exception):
    """It cannot be done, or not any further; the message is a sentence for people."""


class Key(NamedTuple):
    """What the cutter gives."""

    db: int
    name: bytes
    expiry_ms: int
    idle_s: int
    freq: int
    payload: bytes | None


class Engine:
    """A connection. Raises ImportFailed."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._db = 0
        self._waits: list[bool] = []        # of each reply to come, whether somebody wants it: SELECT's nobody
        self._decoder = Decoder()
        self._sock = socket.socket(socket.AF_UNIX)
        try:
            self._sock.connect(path)
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> ImportFailed:
        return ImportFailed(f"{self.name} does not answer: {error.strerror or error}")

    def send(self, commands: list[tuple[int, list[bytes]]]) -> None:
        """Commands, each with the number of its database."""
        parts = []
        for db, words in commands:
            if db != self._db:
                parts.append(encode_command([b"SELECT", b"%d" % db]))
                self._db = db
                self._waits.append(False)
            parts.append(encode_command(words))
            self._waits.append(True)
        try:
            self._sock.sendall(b"".join(parts))
        except OSError as error:
            raise self._lost(error) from None

    def replies(self) -> list[Any]:
        """Of all that was sent, errors as values."""
        found: list[Any] = []
        try:
            while len(found) < len(self._waits):
                data = self._sock.recv(limits.MIB)
                if not data:
                    raise ImportFailed(f"{self.name} closed the connection")
                found += self._decoder.feed(data)
        except OSError as error:
            raise self._lost(error) from None
        wanted, self._waits = self._waits, []
        return [reply for reply, is_wanted in zip(found, wanted, strict=True) if is_wanted]

    def option(self, name: str) -> int:
        """A number that the engine is configured with."""
        self.send([(self._db, [b"CONFIG", b"GET", name.encode()])])
        reply = self.replies()[-1]
        if isinstance(reply, CommandError):
            raise ImportFailed(f"{self.name} answers: {reply}")
        return int(reply[1])


class Importer:
    """One import. counts: what came of it so far."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._path, self._existing = str(job["file"]), str(job["existing"])
        self._skip_unsupported, self._share = bool(job["skip_unsupported"]), int(job["share"])
        self.counts: dict[str, Any] = {"keys": 0, "kept": 0, "expired": 0, "empty": 0, "unsupported": {}}
        config = Config()
        self._server = Server(config, Log(ENGINE, "warning", ""))
        build_registry(self._server)        # values can be made, and freed, from here on
        self._thresholds = Thresholds(config)
        self._engines: list[Engine] = []
        self._owner = [0] * limits.SLOTS
        for number, engine in enumerate(job["engines"]):
            self._engines.append(Engine(engine["name"], engine["socket"]))
            for first, last in engine["slots"]:
                self._owner[first:last + 1] = [number] * (last + 1 - first)
        self._told_ms = 0
        self._replied_s = 0.0
        self._took_s = 0.0

    def run(self) -> None:
        """Raises ImportFailed."""
        try:
            with open(self._path, "rb", buffering=0) as file:
                before = os.fstat(file.fileno())
                looked = self._look(file.fileno())
                file.seek(0)
                self._send(RdbCutter(file.fileno(), self._thresholds, empty_at=looked.empty_at))
                after = os.fstat(file.fileno())
                if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                    raise ImportFailed(f"{self._path} was changed meanwhile{self._so_far()}")
        except OSError as error:
            raise ImportFailed(f"{self._path}: {error.strerror or error}{self._so_far()}") from None
        except RdbError as error:
            raise ImportFailed(f"{self._path} is damaged, or no RDB file: {error}{self._so_far()}") from None
        except MemoryError:
            raise ImportFailed(f"there is not enough memory{self._so_far()}") from None

    def _so_far(self) -> str:
        return f". {self.counts['keys']} keys had been imported by then, and stay" if self.counts["keys"] else \
            ". Nothing was imported"

    # --- the first pass -------------------------------------------------------------------------------------------

    def _look(self, fd: int) -> RdbCutter:
        """All of it. Raises ImportFailed, RdbError, OSError, MemoryError."""
        cutter = RdbCutter(fd, self._thresholds, deep=True)
        while not cutter.done:
            found = _cut(cutter)
            while self._server.keyspace.free_step(100_000):
                pass
            self._tell(cutter, "looked through")
            if cutter.skipped and not self._skip_unsupported:
                kinds = ", ".join(cutter.skipped)
                raise ImportFailed(f"there are values in {self._path} that no engine can hold yet ({kinds}); all "
                                   "others are imported with --skip-unsupported. Nothing was imported")
            if self._existing == FAIL:
                self._refuse_existing(found)
        databases = min(engine.option("databases") for engine in self._engines)
        if cutter.database_last >= databases:
            raise ImportFailed(f"there are keys of database {cutter.database_last}, and `databases` is {databases}. "
                               "Nothing was imported")
        longest = min(engine.option("proto-max-bulk-len") for engine in self._engines)
        if cutter.longest > longest:
            raise ImportFailed(f"there is a value of {cutter.longest} bytes, and proto-max-bulk-len is {longest}: set "
                               "it higher for the import. Nothing was imported")
        self.counts["unsupported"], self.counts["empty"] = dict(cutter.skipped), len(cutter.empty_at)
        return cutter

    def _refuse_existing(self, keys: list[Key]) -> None:
        for engine, key, reply in self._exchange([(key, [b"EXISTS", key.name]) for key in keys if not _is_due(key)]):
            if isinstance(reply, CommandError):
                raise ImportFailed(f"{engine.name} answers: {reply}. Nothing was imported")
            if reply:
                raise ImportFailed(f"the key {_shown(key)} is there already; say what becomes of such keys: "
                                   "--existing skip or --existing replace. Nothing was imported")

    # --- the second pass ------------------------------------------------------------------------------------------

    def _send(self, cutter: RdbCutter) -> None:
        while not cutter.done:
            keys = _cut(cutter)
            wanted = [key for key in keys if not _is_due(key)]
            self.counts["expired"] += len(keys) - len(wanted)
            refused = None
            for engine, key, reply in self._exchange([(key, self._command(key)) for key in wanted]):
                if not isinstance(reply, CommandError):
                    self.counts["keys"] += 1
                elif self._existing == SKIP and reply.text.startswith(b"BUSYKEY"):
                    self.counts["kept"] += 1
                else:
                    refused = refused or f"{engine.name} does not take the key {_shown(key)}: {str(reply).rstrip('.')}"
            if refused is not None:
                raise ImportFailed(refused + self._so_far())
            self._tell(cutter, "imported")

    def _command(self, key: Key) -> list[bytes]:
        assert key.payload is not None
        words = [b"RESTORE", key.name, b"%d" % max(0, key.expiry_ms), key.payload]
        if key.expiry_ms >= 0:
            words.append(b"ABSTTL")
        if self._existing == REPLACE:
            words.append(b"REPLACE")
        if key.idle_s >= 0:
            words += [b"IDLETIME", b"%d" % key.idle_s]
        elif key.freq >= 0:
            words += [b"FREQ", b"%d" % key.freq]
        return words

    # --- engines --------------------------------------------------------------------------------------------------

    def _exchange(self, commands: list[tuple[Key, list[bytes]]]) -> list[tuple[Engine, Key, Any]]:
        """Has the engines run commands, each the one that has the key, and gives their replies, errors as values."""
        parts: dict[int, list[tuple[Key, list[bytes]]]] = {}
        for key, words in commands:
            parts.setdefault(self._owner[slot_of(key.name)], []).append((key, words))
        # so long that the last exchange was its share of the time since it began
        rest_s = self._took_s * (100 - self._share) / self._share
        time.sleep(max(0.0, self._replied_s + rest_s - time.monotonic()))
        began_s = time.monotonic()
        found = []
        try:
            for owner, part in parts.items():
                self._engines[owner].send([(key.db, words) for key, words in part])
            for owner, part in parts.items():
                engine = self._engines[owner]
                found += [(engine, key, reply) for (key, _), reply in zip(part, engine.replies(), strict=True)]
        except ImportFailed as failure:
            raise ImportFailed(f"{failure}{self._so_far()}") from None
        self._replied_s = time.monotonic()
        self._took_s = self._replied_s - began_s
        return found

    def _tell(self, cutter: RdbCutter, what: str) -> None:
        if mono_ms() - self._told_ms >= _TELL_MS:
            self._told_ms = mono_ms()
            say({"progress": [cutter.position, cutter.total, what]})


def _cut(cutter: RdbCutter) -> list[Key]:
    """As many keys as are sent at once, fewer where that takes long."""
    return [Key(*key) for key in cutter.next(limits.IMPORT_KEYS, limits.IMPORT_BYTES, mono_us() + _CUT_US)]


def _is_due(key: Key) -> bool:
    return key.expiry_ms != -1 and key.expiry_ms <= now_ms()


def _shown(key: Key) -> str:
    """A key for people."""
    name = key.name[:_SHOWN_BYTES].decode("utf-8", "backslashreplace") + ("..." if len(key.name) > _SHOWN_BYTES else "")
    return f"'{name}'" + (f" of database {key.db}" if key.db else "")


def say(message: dict[str, Any]) -> None:
    """A line of JSON on standard output, in one piece."""
    os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    """See the head of the module."""
    job = json.loads(sys.argv[1])
    die_with_parent()
    if os.getppid() != job["parent"]:
        sys.exit(1)
    importer = None
    try:
        importer = Importer(job)
        importer.run()
        say({"error": None, **importer.counts})
    except ImportFailed as failure:
        say({"error": str(failure), **(importer.counts if importer else {})})
        sys.exit(1)


if __name__ == "__main__":
    main()
