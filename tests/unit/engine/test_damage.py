"""Damaged files: every byte of a small append-only directory and of a small dump.rdb, flipped, and every cut (all of
them with SHARDD_TEST_EVERY_BYTE=1, else some).

A start must refuse with one sentence and leave all files as they are, or load whole units from the beginning. What is
checked by nothing can be damaged unseen: an increment has no checksum, so a word of a command may be another one, and
the manifest has none. But a damaged file never brings a half of something, and never a crash.
"""
import os
from pathlib import Path

import pytest

from harness.resp import encode
from shardd.base.errors import LoadError
from shardd.engine.loading import Loading
from unit.inproc import Engine
from unit.journal.aof_rig import Log

DIRECTORY = Path("appendonlydir")
BASE, FIRST, LAST = (DIRECTORY / f"appendonly.aof.{name}" for name in ("2.base.rdb", "2.incr.aof", "3.incr.aof"))
MANIFEST = DIRECTORY / "appendonly.aof.manifest"
FLIPS = (0x01, 0x80)
EVERY = int(os.environ.get("SHARDD_TEST_EVERY_BYTE", 7))    # 1: all of them, which takes a minute


def unit(*lines: str) -> bytes:
    return b"".join(encode(*line.split()) for line in lines)


UNITS = [unit("SELECT 0"), unit("SET b 2"), unit("MULTI", "RPUSH l x", "SADD s 1", "EXEC"), unit("HSET h f v"),
         unit("DEL a")]


@pytest.fixture(scope="module")
def rdb(tmp_path_factory) -> bytes:
    """A small snapshot with a value of each type."""
    place = tmp_path_factory.mktemp("rdb")
    engine = Engine("--dir", str(place))
    before = os.getcwd()
    os.chdir(place)
    try:
        for line in ("SET a 1", "SET text hello PXAT 4000000000000", "RPUSH list 1 two", "SADD ints 1 2",
                     "SADD set x y", "ZADD z 1.5 m 2 n", "HSET hash f v", "SET long " + "ab" * 40):
            engine(line)
        engine("SAVE")
        return Path("dump.rdb").read_bytes()
    finally:
        os.chdir(before)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    DIRECTORY.mkdir()
    return tmp_path


def put(base: bytes, first: bytes = UNITS[0] + UNITS[1], last: bytes = b"".join(UNITS)) -> None:
    BASE.write_bytes(base)
    FIRST.write_bytes(first)
    LAST.write_bytes(last)
    MANIFEST.write_text("".join(f"file {path.name} seq {path.name.split('.')[2]} type {kind}\n"
                                for path, kind in ((BASE, "b"), (FIRST, "i"), (LAST, "i"))))


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in DIRECTORY.iterdir()}


class Start:
    """One engine, which starts again and again from what is there."""

    def __init__(self, *options: str) -> None:
        self.log = Log(*options)

    def __call__(self) -> dict[bytes, bytes] | str:
        """The digest of each key, or the sentence with which the engine ends."""
        engine = self.log.engine
        for db in self.log.server.keyspace.databases:
            db.clear()
        try:
            loading = Loading(self.log.server)
            while not loading.step(2**60):
                pass
        except LoadError as error:
            assert str(error) and "\n" not in str(error)
            return str(error)
        engine("DEBUG CHECK")
        return {key: engine("DEBUG", "DIGEST-VALUE", key)[0] for key in engine("KEYS *")}


@pytest.fixture
def start() -> Start:
    return Start()


def test_every_byte_of_a_base_counts(place, rdb, start):
    put(rdb)
    whole = start()
    assert len(whole) == 11
    for at in range(0, len(rdb), EVERY):
        for flip in FLIPS:
            put(rdb[:at] + bytes([rdb[at] ^ flip]) + rdb[at + 1:])
            before = files()
            assert isinstance(start(), str), (at, flip)
            assert files() == before
    for at in range(0, len(rdb), EVERY):
        put(rdb[:at])
        assert isinstance(start(), str), at
        assert BASE.read_bytes() == rdb[:at]


def test_every_byte_of_dump_rdb_counts(place, rdb):
    start, dump = Start("--appendonly", "no"), Path("dump.rdb")
    for at in range(0, len(rdb), EVERY):
        for data in (rdb[:at], *(rdb[:at] + bytes([rdb[at] ^ flip]) + rdb[at + 1:] for flip in FLIPS)):
            dump.write_bytes(data)
            assert isinstance(start(), str), (at, data)
            assert dump.read_bytes() == data


@pytest.mark.parametrize("path", [FIRST, LAST], ids=["first", "last"])
def test_a_flipped_byte_of_an_increment_brings_whole_units_or_is_refused(place, rdb, start, path):
    """Where the file is loaded its effects are as many as whole units stand in it; only words differ."""
    put(rdb)
    data = path.read_bytes()
    refused = cut = 0
    places = range(0, len(data), min(EVERY, 2))
    for at in places:
        for flip in FLIPS:
            put(rdb)
            damaged = data[:at] + bytes([data[at] ^ flip]) + data[at + 1:]
            path.write_bytes(damaged)
            before = files()
            found = start()
            after = files()
            if isinstance(found, str):
                refused += 1
                assert after == before, (at, flip)
                continue
            if after != before:         # a length that goes beyond the end: the file ends within a command
                cut += 1
                assert path == LAST, "what is behind it would be applied to a state that never was"
                assert damaged.startswith(after[path.name]) and self_contained(after[path.name])
            assert (b"l" in found) == (b"s" in found) or at in inside(data, b"RPUSH", b"SADD"), (at, flip)
    assert refused > len(places) // 2 and (cut > 0) == (path == LAST)


def self_contained(data: bytes) -> bool:
    """Whether a file ends behind a unit."""
    return any(data == b"".join(UNITS[:count]) for count in range(len(UNITS) + 1)) or data.endswith(b"\r\n")


def inside(data: bytes, *names: bytes) -> set[int]:
    """Where the words of these commands are, which may be others then."""
    found: set[int] = set()
    for name in names:
        at = data.find(name)
        found |= set(range(at, at + len(name) + 16)) if at >= 0 else set()
    return found


def test_what_a_flipped_byte_of_the_manifest_brings(place, rdb, start):
    """It has no checksum. Nothing crashes; other data than all of it comes only where a file's type became history,
    one bit away, and then nothing is deleted before the increments are opened."""
    put(rdb)
    data = MANIFEST.read_bytes()
    whole = start()
    history = {data.index(b"type i") + 5, data.rindex(b"type i") + 5}
    for at in range(len(data)):
        for bit in range(8):
            damaged = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]
            MANIFEST.write_bytes(damaged)
            before = files()
            found = start()
            assert isinstance(found, str) or found == whole or (at in history and damaged[at:at + 1] == b"h"), (at, bit)
            assert files() == before


def test_a_manifest_that_is_cut_within_a_line_or_gone_is_refused(place, rdb, start):
    put(rdb)
    data = MANIFEST.read_bytes()
    for at in range(len(data)):
        if at and data[at - 1:at] == b"\n":
            continue        # whole lines: nothing says that there were more
        MANIFEST.write_bytes(data[:at])
        assert isinstance(start(), str), at
    MANIFEST.unlink()
    before = files()
    assert "the manifest" in start() and files() == before


def test_switched_on_over_a_log_without_its_manifest(place, rdb):
    """What was not looked at when the engine started, since the option was no, must not be written over either."""
    put(rdb)
    MANIFEST.unlink()
    before = files()
    log = Log("--appendonly", "no")
    assert "Unable to turn on AOF" in log.engine("CONFIG SET appendonly yes") and files() == before
    assert log.said("appendonly.aof.2.base.rdb is: without the manifest nobody can say which files count")


def test_increments_that_a_manifest_lost_are_not_appended_to_nor_written_over(place, rdb, start):
    put(rdb)
    MANIFEST.write_bytes(MANIFEST.read_bytes().partition(b"\n")[0] + b"\n")
    FIRST.rename(DIRECTORY / "appendonly.aof.1.incr.aof")
    before = files()
    start()
    log = start.log
    log.aof.open()
    assert log.said("The AOF manifest does not name appendonlydir/appendonly.aof.1.incr.aof")
    log.engine("SET new 1")
    log.aof.close()
    after = files()
    assert all(after[name] == data for name, data in before.items() if name != MANIFEST.name)
    assert MANIFEST.read_text().splitlines()[-1] == "file appendonly.aof.2.incr.aof seq 2 type i"
    assert start()[b"new"]


def test_an_increment_that_is_history_by_name_is_not_the_new_one(place, rdb, start):
    """Rewritten while the log was off, and a crash before history was deleted: Redis appends to that file, then deletes
    it."""
    put(rdb)
    FIRST.rename(DIRECTORY / "appendonly.aof.1.incr.aof")
    LAST.unlink()
    MANIFEST.write_text(f"file {BASE.name} seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n")
    start()
    log = start.log
    log.aof.open()
    log.engine("SET new 1")
    log.aof.close()
    assert sorted(files()) == ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"]
    assert b"new" in start()


# --- something else in a file's place ---------------------------------------------------------------------------------

ELSE = {
    "a FIFO": os.mkfifo, "a directory": os.mkdir, "a link to nothing": lambda path: os.symlink("nowhere", path),
    "a link to itself": lambda path: os.symlink(path.name, path),
    "a device": lambda path: os.symlink("/dev/zero", path),
}


@pytest.mark.parametrize("kind", ELSE)
@pytest.mark.parametrize("path", [BASE, FIRST, LAST, MANIFEST], ids=lambda path: path.name)
def test_what_is_no_file_is_refused(place, rdb, start, path, kind):
    put(rdb)
    path.unlink()
    ELSE[kind](path)
    assert isinstance(start(), str)


@pytest.mark.parametrize("kind", [kind for kind in ELSE if kind != "a link to nothing"])
def test_what_is_no_dump_is_refused(place, kind):
    ELSE[kind](Path("dump.rdb"))
    if kind == "a link to itself":
        pytest.skip("as none at all: it is replaced by the next save")
    assert isinstance(Start("--appendonly", "no")(), str)


def test_links_to_files_are_followed(place, rdb, start):
    put(rdb)
    whole = start()
    for path in (BASE, FIRST, LAST, MANIFEST):
        path.rename(place / path.name)
        path.symlink_to(place / path.name)
    assert start() == whole
    start.log.aof.open()
    start.log.engine("SET new 1")
    start.log.aof.close()
    assert len(start()) == len(whole) + 1
