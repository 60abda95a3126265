"""Mutated append-only files and manifests.

Whatever comes in, nothing crashes. What is loaded is sound (keyspace.audit walks it), and the repaired file gives the
same once more, with nothing left to repair; what is refused is refused with a sentence.
"""
import contextlib
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.resp import encode
from rdb_fuzz import mutated
from shardd.base.errors import LoadError
from shardd.journal.manifest import ManifestError, parse
from shardd.structures.alloc import used_memory
from unit.journal.aof_rig import INCREMENT, Log, put

FAR = 4_000_000_000_000
MEMORY = "/dev/shm"
"""Where files cost no disk, which takes a third of the time elsewhere."""
MANIFEST = (b"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n#comment\n"
            b'file "quoted \\x41\\n" seq 2 type i\nfile appendonly.aof.3.incr.aof seq 3 type i startoffset 7\n')


def effect(chance: random.Random) -> bytes:
    """A command as it can stand in a log."""
    key, other = (chance.choice([b"a", b"b", b"{t}c", b""]) for _ in range(2))
    word = chance.choice([b"1", b"-7", b"text", b"x" * 70, b"\r\n$3\r\n", chance.randbytes(5)])
    number = chance.randrange(-5, 100)
    makers: list[Callable[[], tuple[object, ...]]] = [
        lambda: ("SET", key, word), lambda: ("SET", key, word, "PXAT", FAR), lambda: ("APPEND", key, word),
        lambda: ("INCRBY", key, number), lambda: ("DEL", key, other), lambda: ("PEXPIREAT", key, FAR + number),
        lambda: ("RPUSH", key, *[word] * abs(number)), lambda: ("LPOP", key), lambda: ("LSET", key, number, word),
        lambda: ("SADD", key, word, number), lambda: ("SREM", key, word), lambda: ("ZADD", key, number, word),
        lambda: ("ZINCRBY", key, number, word), lambda: ("HSET", key, word, number, number, word),
        lambda: ("HPEXPIREAT", key, FAR, "FIELDS", 1, word), lambda: ("HDEL", key, word),
        lambda: ("SELECT", chance.randrange(3)), lambda: ("FLUSHDB",), lambda: ("MOVE", key, 1),
        lambda: ("RENAME", key, other), lambda: ("COPY", key, other),
        lambda: ("SINTERSTORE", key, other, key), lambda: ("ZUNIONSTORE", key, 2, key, other), lambda: ("SWAPDB", 0, 1),
        lambda: ("SETRANGE", key, abs(number), word), lambda: ("LTRIM", key, number, 5), lambda: ("PERSIST", key)]
    words = [part if isinstance(part, bytes) else str(part).encode() for part in chance.choice(makers)()]
    if chance.random() < .03:
        words[chance.randrange(len(words))] = chance.choice([b"", b"nan", b"9223372036854775807", b"x" * 70_000, word])
    return encode(*words)


def make(chance: random.Random) -> bytes:
    """A sound file."""
    units = []
    for _ in range(chance.randrange(1, 12)):
        inner = b"".join(effect(chance) for _ in range(chance.choice([1, 1, 1, 2, 5])))
        units.append(chance.choice([b"", b"", b"#TS:1790000000\r\n"]) + (
            inner if chance.random() < .7 else encode("MULTI") + inner + encode("EXEC")))
    return b"".join(units)


class Fuzzer:
    """One engine, which loads one file after the other from the present directory."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log = Log()
        self.log.server.log.set_level("nothing")
        self.place = Path("appendonlydir")
        self.place.mkdir(exist_ok=True)
        self.accepted = self.refused = 0

    def files(self, count: int) -> None:
        """Load that many."""
        engine = self.log.engine
        for _ in range(count):
            data = make(self.chance)
            if self.chance.random() < .6:
                data = mutated(self.chance, data, make(self.chance))
            put(self.place, (INCREMENT, "i", data))
            try:
                self.log.load()
            except LoadError as error:
                assert str(error), data
                self.refused += 1
                engine.check()
                continue
            self.accepted += 1
            engine.check()
            found, left = engine("DEBUG DIGEST"), (self.place / INCREMENT).read_bytes()
            assert data.startswith(left)
            self.log.load()
            assert (engine("DEBUG DIGEST"), (self.place / INCREMENT).read_bytes()) == (found, left), data
        engine("FLUSHALL")
        engine.settle()
        assert engine.check() == used_memory(), "memory was lost"

    def manifests(self, count: int) -> None:
        """Read that many; what holds is the same again."""
        for _ in range(count):
            data = mutated(self.chance, MANIFEST, MANIFEST)
            with contextlib.suppress(ManifestError):
                found = parse(data)
                again = os.fsencode(found.text())
                assert not again or parse(again).files == found.files, data


def run(seed: int, files: int, manifests: int) -> tuple[int, int]:
    """How many files were loaded, and how many refused."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as place:
        os.chdir(place)
        try:
            fuzzer = Fuzzer(seed)
            fuzzer.files(files)
            fuzzer.manifests(manifests)
        finally:
            os.chdir(before)
    return fuzzer.accepted, fuzzer.refused
