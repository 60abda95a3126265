"""Values cut out of a file are what DUMP gives, and what is no value for RESTORE is not among them."""
import os
import random
import struct
from pathlib import Path

import pytest

from harness import rdb
from harness.resp import OK
from shardd.base import limits
from shardd.base.clock import mono_us
from shardd.base.options import Config
from shardd.journal.rdb_cut import RdbCutter
from shardd.journal.rdb_in import RdbError
from shardd.journal.rdb_load_build import Thresholds
from shardd.journal.rdb_save import save_keyspace
from shardd.structures.crc64 import crc64_of
from unit.inproc import Engine


@pytest.fixture(autouse=True, scope="module")
def families() -> None:
    """Values can be made and freed once the families are built."""
    Engine()


@pytest.fixture
def engine() -> Engine:
    return Engine()


def cut(path: Path, piece: int = 7, step_us: int = 10**9, **options) -> tuple[RdbCutter, list]:
    """All of the file, in pieces of so many keys."""
    fd = os.open(path, os.O_RDONLY)
    try:
        cutter, found = RdbCutter(fd, Thresholds(Config()), **options), []
        while not cutter.done:
            keys = cutter.next(piece, 1 << 40, mono_us() + step_us)
            assert len(keys) <= piece
            found += keys
        return cutter, found
    finally:
        os.close(fd)


def file(tmp_path: Path, body: bytes, version: int = 11) -> Path:
    data = b"REDIS%04d" % version + body + b"\xff"
    path = tmp_path / "dump.rdb"
    path.write_bytes(data + crc64_of(data).to_bytes(8, "little"))
    return path


def saved(engine: Engine, tmp_path: Path) -> Path:
    with open(tmp_path / "saved.rdb", "wb") as out:
        save_keyspace(engine.server.keyspace, out.fileno())
    return tmp_path / "saved.rdb"


def fill(engine: Engine) -> None:
    for number in range(40):
        engine("SET", f"s{number}", "x" * number)
        engine("RPUSH", f"l{number}", *range(1 + number))
        engine("HSET", f"h{number}", "f", number, "g", "y" * number)
        engine("SADD", f"S{number}", *range(number, number + 1 + 20 * number))
        engine("ZADD", f"z{number}", 1.5, "a", -number, "b")
    engine("SET", "timed", "v", "PXAT", "4000000000000")
    engine("HSET", "fields", "a", "1", "b", "2")
    engine("HPEXPIREAT", "fields", "4000000000000", "FIELDS", "1", "a")
    engine("SET", "large", os.urandom(3 * limits.RDB_READ_BYTES))
    engine("RPUSH", "long", *("element" * 100 for _ in range(3 * limits.RDB_READ_BYTES // 700)))
    engine("SELECT", "9")
    engine("SET", "other", "1")
    engine("SELECT", "0")


def test_a_payload_is_what_restores_the_value(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    cutter, found = cut(saved(engine, tmp_path))
    assert len(found) == cutter.keys == engine.server.keyspace.total_keys() and cutter.database_last == 9
    assert cutter.longest == max(len(key[5]) for key in found) > 3 * limits.RDB_READ_BYTES
    other = Engine()
    for db, name, expiry, idle, freq, payload in found:
        other("SELECT", db)
        assert other("RESTORE", name, max(0, expiry), payload, *(["ABSTTL"] if expiry >= 0 else [])) == OK
        assert (idle, freq) == (-1, -1)
    assert other("DEBUG", "DIGEST") == engine("DEBUG", "DIGEST")


def test_who_looks_deep_gives_the_same_keys_and_no_payloads(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    path = saved(engine, tmp_path)
    deep, found = cut(path, deep=True)
    shallow, again = cut(path)
    assert [key[:5] for key in found] == [key[:5] for key in again] and {key[5] for key in found} == {None}
    assert (deep.keys, deep.longest, deep.skipped) == (shallow.keys, shallow.longest, {})


def test_what_the_file_says_of_a_key(tmp_path: Path) -> None:
    body = (b"\xfe\x03\xf8\x05" + b"\x00" + rdb.string("idle") + rdb.string("v")
            + b"\xf9\x07" + b"\x00" + rdb.string("often") + rdb.string("v")
            + b"\xfc" + struct.pack("<q", 1234567890123) + b"\x00" + rdb.string("timed") + rdb.string("v"))
    _, found = cut(file(tmp_path, body))
    assert [key[:5] for key in found] == [(3, b"idle", -1, 5, -1), (3, b"often", -1, -1, 7),
                                          (3, b"timed", 1234567890123, -1, -1)]
    payload = b"\x00\x01v\x0b\x00"
    assert found[0][5] == payload + crc64_of(payload).to_bytes(8, "little")


def test_collections_without_elements_are_left_out(tmp_path: Path) -> None:
    body = (b"\x00" + rdb.string("a") + rdb.string("v") + bytes([rdb.SET]) + rdb.string("empty") + b"\x00"
            + b"\x00" + rdb.string("b") + rdb.string("v"))
    deep, _ = cut(file(tmp_path, body), deep=True)
    assert (deep.keys, deep.empty, len(deep.empty_at)) == (2, 1, 1)
    cutter, found = cut(file(tmp_path, body), empty_at=deep.empty_at)
    assert [key[1] for key in found] == [b"a", b"b"] and cutter.empty == 1


def test_what_no_engine_can_hold_is_counted(tmp_path: Path) -> None:
    body = b"\xf5" + rdb.string("#!lua name=x\n") + b"\x00" + rdb.string("a") + rdb.string("v")
    for deep in (True, False):
        cutter, found = cut(file(tmp_path, body), deep=deep)
        assert cutter.skipped == {"function library": 1} and [key[1] for key in found] == [b"a"]


@pytest.mark.parametrize("deep", [True, False])
def test_damage_is_found(tmp_path: Path, deep: bool) -> None:
    path = file(tmp_path, b"\x00" + rdb.string("a") + rdb.string("value"))
    data = path.read_bytes()
    for damaged, reason in ((data[:-1] + b"\x00", "checksum"), (data[:-12], "end|are left"),
                            (b"RADIS" + data[5:], "signature"), (data[:9] + b"\x63" + data[10:], "unknown type")):
        path.write_bytes(damaged)
        with pytest.raises(RdbError, match=reason):
            cut(path, deep=deep)


def test_who_looks_deep_finds_what_is_wrong_inside(tmp_path: Path) -> None:
    path = file(tmp_path, bytes([rdb.SET_INTSET]) + rdb.string("a") + rdb.string(b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0"))
    cut(path)
    with pytest.raises(RdbError):
        cut(path, deep=True)


def test_pieces_end_by_their_bytes_too(engine: Engine, tmp_path: Path) -> None:
    for number in range(100):
        engine("SET", f"key:{number}", os.urandom(100))
    fd = os.open(saved(engine, tmp_path), os.O_RDONLY)
    cutter = RdbCutter(fd, Thresholds(Config()))
    assert len(cutter.next(1000, 1000, mono_us() + 10**9)) == 9
    os.close(fd)


def test_changed_bytes_are_refused_or_give_values_that_restore_checks(engine: Engine, tmp_path: Path) -> None:
    for number in range(8):
        engine("RPUSH", f"l{number}", *range(1 + 5 * number))
        engine("HSET", f"h{number}", "f", number, "g", "y" * 9 * number)
        engine("SADD", f"S{number}", *range(number, number + 1 + 20 * number))
        engine("ZADD", f"z{number}", 1.5, "a", -number, "b")
    good = saved(engine, tmp_path).read_bytes()
    pick, other, refused = random.Random(5), Engine(), 0
    for _ in range(400):
        data = bytearray(good[:-8] + bytes(8))      # no checksum
        for _ in range(pick.choice((1, 1, 4))):
            data[pick.randrange(9, len(data) - 8)] = pick.randrange(256)
        (tmp_path / "bad").write_bytes(data)
        for deep in (True, False):
            try:
                _, found = cut(tmp_path / "bad", deep=deep)
            except (RdbError, MemoryError):
                refused += 1
                continue
            for _, name, _, _, _, payload in found:
                if payload is not None:
                    other("RESTORE", name, 0, payload, "REPLACE")
    other.check()
    assert refused > 50
