"""The manifest: what was written is read, and nothing else passes for a backup."""
import json
from dataclasses import replace
from pathlib import Path

import pytest

from shardd.base.backup import MANIFEST, BackupError, Manifest, Part, checksum, coverage


@pytest.fixture
def backup(tmp_path: Path) -> Manifest:
    parts = []
    for index, slots in enumerate([((0, 99), (200, 16383)), ((100, 199),)]):
        path = tmp_path / f"engine-{index}.rdb"
        path.write_bytes(bytes(range(256)) * 10 * (index + 1))
        parts.append(Part(index, f"{index:040x}", path.name, slots, 7 + index, path.stat().st_size, checksum(path), 90))
    manifest = Manifest("0.1.0", "7.2.6", 1_795_188_545_366, 2_500, "c" * 40, 3, tuple(parts))
    manifest.write(tmp_path)
    return manifest


def test_what_was_written_is_read(backup: Manifest, tmp_path: Path) -> None:
    found = Manifest.read(tmp_path)
    assert found == backup
    assert (found.keys, found.file_bytes, found.time) == (15, 7680, "2026-11-20T15:29:05.366+00:00")
    assert list(found.verify(tmp_path))[-1] == (7680, 7680)
    flags = found.engines[1].flags()
    assert [slot for slot in range(16384) if flags[slot]] == list(range(100, 200))
    assert (tmp_path / MANIFEST).stat().st_mode & 0o777 == 0o600


def test_a_directory_without_manifest_is_no_backup(backup: Manifest, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(BackupError, match="there is no backup.json in it$"):
        Manifest.read(tmp_path)
    with pytest.raises(BackupError, match="nor such a directory"):
        Manifest.read(tmp_path / "x")


@pytest.mark.parametrize("at", range(0, 1000, 37))
def test_a_manifest_with_a_changed_byte_is_refused(backup: Manifest, tmp_path: Path, at: int) -> None:
    path = tmp_path / MANIFEST
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(data)
    try:
        assert Manifest.read(tmp_path) == backup     # a blank between two fields became another one
    except BackupError as error:
        assert "damaged" in str(error) or "format" in str(error)
    path.write_bytes(data[:at])
    with pytest.raises(BackupError, match="damaged"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("fields, reason", [
    ({"format": 2}, "has the format 2, and this version reads 1"),
    ({"keys": 5}, "its checksum is another one")])
def test_a_manifest_of_others(backup: Manifest, tmp_path: Path, fields: dict[str, int], reason: str) -> None:
    path = tmp_path / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(BackupError, match=reason):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("name", ["../engine-0.rdb", "/etc/passwd", "", ".."])
def test_a_file_elsewhere_is_refused(backup: Manifest, tmp_path: Path, name: str) -> None:
    replace(backup, engines=(replace(backup.engines[0], file=name), backup.engines[1])).write(tmp_path)
    with pytest.raises(BackupError, match="is no file's name"):
        Manifest.read(tmp_path)


def test_slots_that_are_missing_or_there_twice_are_refused(backup: Manifest, tmp_path: Path) -> None:
    replace(backup, engines=backup.engines[:1]).write(tmp_path)
    with pytest.raises(BackupError, match="slot 100 is in 0 of the files"):
        Manifest.read(tmp_path)
    assert coverage([((0, 16383),)]) is None
    assert coverage([((0, 16383),), ((5, 5),)]) == "slot 5 is in 2 of the files"
    assert coverage([((0, 16384),)]) == "0-16384 is no range of slots"


def test_damaged_files_are_found(backup: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "engine-1.rdb"
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" + data[101:])
    with pytest.raises(BackupError, match="engine-1.rdb is damaged: its checksum is another one"):
        list(backup.verify(tmp_path))
    path.write_bytes(data[:-1])
    with pytest.raises(BackupError, match="it has 5119 bytes instead of 5120"):
        list(backup.verify(tmp_path))
    path.unlink()
    with pytest.raises(BackupError, match="engine-1.rdb is missing"):
        list(backup.verify(tmp_path))
    path.mkdir()
    with pytest.raises(BackupError, match="is no file"):
        list(backup.verify(tmp_path))
