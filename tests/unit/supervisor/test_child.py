"""How a child is started: its command line and its private files."""

import os
import stat
import sys

import pytest

import shardd
from shardd.supervisor.child import python_command, write_private

PACKAGES = os.path.dirname(os.path.dirname(shardd.__file__))


@pytest.mark.parametrize("first", ["", PACKAGES])
def test_what_runs_from_its_source_tree_starts_children_from_there(monkeypatch, first):
    monkeypatch.chdir(PACKAGES)
    monkeypatch.setattr(sys, "path", [first, *sys.path])
    assert python_command("a.b") == [sys.executable, "-m", "a.b"]


def test_otherwise_the_working_directory_is_no_place_for_modules(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert python_command("a.b") == [sys.executable, "-P", "-m", "a.b"]
    monkeypatch.setattr(sys, "path", ["/usr/bin", *sys.path])
    assert python_command("a.b") == [sys.executable, "-P", "-m", "a.b"]


def test_a_private_file_is_made_anew(tmp_path):
    path = tmp_path / "x.conf"
    path.write_text("open to all")
    path.chmod(0o644)
    with open(path) as held:
        write_private(path, "päss\udcff")
        assert held.read() == "open to all"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == "päss".encode() + b"\xff"
