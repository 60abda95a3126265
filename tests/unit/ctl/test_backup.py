"""backup and export over a scripted supervisor: what is shown, what is left, and when it is refused."""
import subprocess
from pathlib import Path

import pytest

from ctl_fakes import FakeSource, ctl, make_backup
from shardd.base.errors import CommandError
from shardd.wire.values import OK


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


def script(source: FakeSource, path: Path, *values: object, keys: tuple[int, ...] = (2, 3), version: int = 10) -> None:
    """The supervisor says so, and, where it ends well, makes a backup at `path`."""
    source.connection.scripts[f"SHARDD BACKUP {path}".upper()] = list(values)
    if values[-1] is OK:
        source.connection.does["SHARDD BACKUP"] = lambda *words: make_backup(Path(words[2]), keys, version)


def test_backup_says_each_step_and_has_the_facts_as_json(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script(source, tmp_path / "b", b"All are held", b"40% of 5 keys are written", b"It is there", OK)
    done = ctl(source, "backup", "b", "--json")
    assert done.code == 0 and done.json["ok"] and done.json["steps"] == ["All are held", "It is there"]
    assert (done.json["keys"], done.json["barrier_us"], done.json["path"]) == (5, 2500, str(tmp_path / "b"))
    assert [engine["keys"] for engine in done.json["engines"]] == [2, 3]
    script(source, tmp_path / "c", b"All are held", b"40% of 5 keys are written", OK)
    assert ctl(source, "backup", "./c").out == "All are held\n40% of 5 keys are written\n"


@pytest.mark.parametrize("command, path", [("backup", "x"), ("export", "x.parts")])
def test_a_refusal(source, tmp_path, monkeypatch, command, path):
    monkeypatch.chdir(tmp_path)
    script(source, tmp_path / path, b"step", CommandError(b"ERR engine 1 is down"))
    done = ctl(source, command, "x")
    assert (done.code, done.error) == (1, "engine 1 is down")
    script(source, tmp_path / path, b"step", CommandError(b"ERR engine 1 is down"))
    done = ctl(source, command, "x", "--json")
    assert done.code == 1 and done.json["error"] == "engine 1 is down" and done.json["keys"] is None
    assert list(tmp_path.iterdir()) == []


def test_a_supervisor_elsewhere(source, tmp_path):
    script(source, tmp_path / "b", OK)
    del source.connection.does["SHARDD BACKUP"]
    done = ctl(source, "backup", str(tmp_path / "b"))
    assert done.code == 1 and "on another host" in done.error


def test_an_older_supervisor(source, tmp_path):
    assert "older than shardctl" in ctl(source, "backup", str(tmp_path / "b")).error


def test_export_makes_one_file_of_the_parts(source, tmp_path):
    target = tmp_path / "dump.rdb"
    script(source, tmp_path / "dump.rdb.parts", b"step", OK)
    done = ctl(source, "export", str(target))
    assert done.code == 0 and done.out.splitlines()[-1].endswith("To load it takes at least Redis 7.0")
    text = subprocess.run(["redis-check-rdb", target], capture_output=True, text=True, check=True).stdout
    assert "5 keys read" in text
    assert list(tmp_path.iterdir()) == [target]


def test_export_says_what_hashes_with_fields_that_expire_need(source, tmp_path):
    script(source, tmp_path / "x.parts", OK, version=12)
    assert "at least Redis 7.4, since" in ctl(source, "export", str(tmp_path / "x")).out


def test_export_takes_the_place_of_a_file_only_where_that_is_said(source, tmp_path):
    target = tmp_path / "dump.rdb"
    target.write_text("old")
    script(source, tmp_path / "dump.rdb.parts", OK)
    done = ctl(source, "export", str(target))
    assert done.code == 1 and "say --force" in done.error and target.read_text() == "old"
    assert source.connection.asked == []
    assert ctl(source, "export", str(target), "--force").code == 0
    assert target.read_bytes().startswith(b"REDIS0010")
    assert "is a directory" in ctl(source, "export", str(tmp_path), "--force").error


def test_what_an_interrupted_export_has_left(source, tmp_path):
    (tmp_path / "x.parts").mkdir()
    done = ctl(source, "export", str(tmp_path / "x"))
    assert done.code == 1 and "x.parts is there already" in done.error and source.connection.asked == []


def test_a_damaged_part_leaves_nothing(source, tmp_path):
    def damage(*words):
        make_backup(Path(words[2]), (2, 3))
        path = Path(words[2]) / "engine-1.rdb"
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    script(source, tmp_path / "x.parts", OK)
    source.connection.does["SHARDD BACKUP"] = damage
    done = ctl(source, "export", str(tmp_path / "x"))
    assert done.code == 1 and "its checksum is another one" in done.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["backup", "export", "restore"])
def test_a_path_that_cannot_be_told(source, command):
    done = ctl(source, command, "b\udcff")
    assert done.code == 2 and "in UTF-8 alone" in done.error and source.connection.asked == []
