"""A file is replaced whole, or not at all."""

import os
import stat

import pytest

from shardd.base.files import replace_file


def test_the_new_text_with_its_mode_and_nothing_left_beside_it(tmp_path):
    path = tmp_path / "f"
    (tmp_path / "f.new").write_text("a leftover that is longer than the text")
    replace_file(path, b"one")
    assert path.read_bytes() == b"one" and stat.S_IMODE(path.stat().st_mode) == 0o644
    replace_file(path, b"two", ".4711.tmp", 0o600)
    assert path.read_bytes() == b"two" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failure_leaves_the_old_text_alone(tmp_path, monkeypatch, call):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["f"]


def test_a_name_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace_file("f", b"here")
    assert (tmp_path / "f").read_bytes() == b"here"
