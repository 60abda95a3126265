"""Files of different keys as one: what comes out is what Redis's own tool takes."""
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardd.ctl.rdb_join import JoinError, join, read_head
from shardd.structures.crc64 import crc64_of
from unit.inproc import Engine

AUX = b"\xfa\x09redis-ver\x057.2.6\xfa\x0aredis-bits\xc0\x40\xfa\x05ctime\xc2\x01\x02\x03\x04"


def rdb(body: bytes, version: int = 10, aux: bytes = AUX) -> bytes:
    data = b"REDIS%04d" % version + aux + body + b"\xff"
    return data + crc64_of(data).to_bytes(8, "little")


def key(name: bytes, db: int = 0) -> bytes:
    return b"\xfe" + bytes((db,)) + b"\xfb\x01\x00" + b"\x00" + bytes((len(name),)) + name + b"\x01v"


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in ("a", "b", "c")]


def checked(path: Path) -> str:
    return subprocess.run(["redis-check-rdb", path], capture_output=True, text=True, check=False).stdout


def test_bodies_stand_one_behind_the_other(parts: list[Path], tmp_path: Path) -> None:
    for path, body in zip(parts, [key(b"one"), b"", key(b"two") + key(b"three", 3)], strict=True):
        path.write_bytes(rdb(body))
    told: list[int] = []
    joined = join(parts, tmp_path / "out", 1_795_188_545, told.append)
    data = (tmp_path / "out").read_bytes()
    assert (joined.version, joined.file_bytes) == (10, len(data))
    assert key(b"one") + key(b"two") + key(b"three", 3) + b"\xff" in data
    assert data.endswith(crc64_of(data[:-8]).to_bytes(8, "little"))
    text = checked(tmp_path / "out")
    assert "RDB looks OK" in text and "3 keys read" in text and "Checksum OK" in text
    assert "AUX FIELD redis-bits = '64'" in text and "AUX FIELD ctime = '1795188545'" in text
    assert not any(path.exists() for path in parts) and told == sorted(told) and told


def test_the_version_is_the_highest(parts: list[Path], tmp_path: Path) -> None:
    for path, version in zip(parts, (10, 12, 10), strict=True):
        path.write_bytes(rdb(key(b"%d" % version), version))
    assert join(parts, tmp_path / "out", 1).version == 12
    assert (tmp_path / "out").read_bytes().startswith(b"REDIS0012")


@pytest.mark.parametrize("damage, reason", [
    (lambda data: b"RADIS" + data[5:], "it is no RDB file"), (lambda data: data[:60], "has no end"),
    (lambda data: data[:-20] + b"\x00" + data[-19:], "its checksum is another one"),
    (lambda data: data[:-1] + b"\x00", "its checksum is another one"), (lambda data: b"", "it is no RDB file"),
    (lambda data: data[:-9] + b"\x00" + data[-8:], "has no end")])
def test_a_damaged_part_goes_nowhere(parts: list[Path], tmp_path: Path, damage, reason: str) -> None:
    for path in parts:
        path.write_bytes(rdb(key(path.name.encode()) * 3))
    parts[1].write_bytes(damage(parts[1].read_bytes()))
    with pytest.raises(JoinError, match=reason):
        join(parts, tmp_path / "out", 1)


@pytest.mark.parametrize("length", [b"\x05", b"\x40\x05", b"\x80\0\0\0\x05", b"\x81\0\0\0\0\0\0\0\x05"])
def test_lengths_of_every_form(length: bytes) -> None:
    data = rdb(b"", aux=b"\xfa" + length + b"hello" + b"\xc1\x01\x02")
    head = read_head(data)
    assert head.body == len(data) - 9 and head.aux == ((length + b"hello", b"\xc1\x01\x02"),)


@pytest.mark.parametrize("aux", [b"\xfa\x05he", b"\xfa\x81\xff\xff\xff\xff\xff\xff\xff\xff", b"\xfa\x80\x00",
                                 b"\xfa\xc3\x01\x01a\x00"])
def test_heads_that_do_not_end(aux: bytes) -> None:
    with pytest.raises(JoinError):
        read_head(b"REDIS0010" + aux)


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    yield [Engine(), Engine()]


def test_what_engines_write(engines: list[Engine], parts: list[Path], tmp_path: Path) -> None:
    from shardd.journal.rdb_save import save_keyspace

    for number, engine in enumerate(engines):
        for place in range(1000):
            engine("RPUSH", f"{number}:{place}", "a", str(place))
        with open(parts[number], "wb") as file:
            save_keyspace(engine.server.keyspace, file.fileno())
    join(parts[:2], tmp_path / "out", 1)
    text = checked(tmp_path / "out")
    assert "2000 keys read" in text and "RDB looks OK" in text
