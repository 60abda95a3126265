"""A restore looks for keys that would be lost, up to the moment at which the data changes over."""
import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from shardd.base.backup import BackupError, Manifest, Part, checksum
from shardd.base.errors import CommandError
from shardd.supervisor import restore as module
from shardd.supervisor.restore import RestoreError, restore, restore_stopped, sources_of


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    directory = tmp_path / "b"
    directory.mkdir()
    parts = []
    for index, slots in enumerate([((0, 8191),), ((8192, 16383),)]):
        path = directory / f"engine-{index}.rdb"
        path.write_bytes(b"x" * 1000)
        parts.append(Part(index, f"{index:040x}", path.name, slots, 5, 1000, checksum(path), 1))
    Manifest("0.1.0", "7.2.6", 1_795_188_545_366, 2_500, "c" * 40, 3, tuple(parts)).write(directory)
    return directory


class Tree:
    """A supervisor with two engines. keys: what each says it has, None: nothing."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[int | None] = [0, 0]
        self.topology = SimpleNamespace(generation=1)
        self.layout = SimpleNamespace(draft=lambda generation: SimpleNamespace(path=directory / f"data-{generation}.new"))
        self.engines = [SimpleNamespace(name=f"engine {index}", facts=lambda index=index: self.facts(index))
                        for index in range(2)]
        self.sources: list = []
        self.written: int | None = 0
        monkeypatch.setattr(module, "replace_data", self.replace)

    async def facts(self, index: int) -> dict:
        return {} if self.keys[index] is None else {"keys": self.keys[index]}

    async def replace(self, supervisor, sources):
        self.sources = sources
        self.layout.draft(2).path.mkdir()
        yield "filled"
        if self.written:
            self.keys[1] = self.written
            yield "filled all"
        shutil.rmtree(self.layout.draft(2).path)
        self.topology.generation, self.keys = 2, [5, 5]
        yield "changed over"

    def run(self, directory: Path, replaces: bool = False) -> list[str]:
        async def all_of_it() -> list[str]:
            return [sentence async for sentence in restore(self, directory, replaces)]
        return asyncio.run(all_of_it())


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


def test_an_empty_tree_gets_it(tree: Tree, backup: Path) -> None:
    said = tree.run(backup)
    assert said[0].startswith("The backup is of 2026-11-20T15:29:05.366+00:00: 10 keys")
    assert said[1:] == ["All files are as they were written", "filled", "changed over"]
    assert tree.sources == sources_of(Manifest.read(backup), backup)
    assert sum(tree.sources[0].slots) == 8192 and not tree.sources[0].slots[8192]


@pytest.mark.parametrize("keys, reason", [(7, "engine 1 holds 7 keys"), (None, "does not say how many keys")])
def test_keys_go_only_where_that_is_said(tree: Tree, backup: Path, keys: int | None, reason: str) -> None:
    tree.keys[1] = keys
    with pytest.raises(CommandError, match=reason):
        tree.run(backup)
    assert tree.sources == []
    assert tree.run(backup, True)[-1] == "changed over"


def test_keys_that_come_meanwhile(tree: Tree, backup: Path, tmp_path: Path) -> None:
    tree.written = 3
    with pytest.raises(CommandError, match="engine 1 holds 3 keys"):
        tree.run(backup)
    assert tree.topology.generation == 1 and not (tmp_path / "data-2.new").exists()
    tree.keys[1] = 0
    assert tree.run(backup, True)[-1] == "changed over"


def test_a_damaged_backup_is_refused(tree: Tree, backup: Path) -> None:
    (backup / "engine-1.rdb").write_bytes(b"y" * 1000)
    with pytest.raises(CommandError, match="engine-1.rdb is damaged"):
        tree.run(backup, True)
    assert tree.sources == []


def stopped(words: list[str], backup: Path, replaces: bool) -> list[str]:
    async def all_of_it() -> list[str]:
        return [sentence async for sentence in restore_stopped(words, backup, replaces)]
    return asyncio.run(all_of_it())


def test_a_stopped_tree_with_data(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def replace(plan, log, store, sources):
        calls.append((plan.engines, sources))
        yield "laid out"

    monkeypatch.setattr(module, "replace_data_stopped", replace)
    home = tmp_path / "t"
    (home / "data-1" / "engine-0").mkdir(parents=True)
    words = ["--dir", str(home), "--engines", "3", "--logfile", str(tmp_path / "log")]
    assert stopped(words, backup, False)[-2:] == ["laid out", "shardd will start with it: 3 engines, appendonly yes"]
    (home / "data-1" / "engine-0" / "dump.rdb").write_bytes(b"data")
    with pytest.raises(RestoreError, match="there is data of 1 engines"):
        stopped(words, backup, False)
    (backup / "engine-0.rdb").unlink()
    with pytest.raises(BackupError, match="is missing"):
        stopped(words, backup, True)
    assert len(calls) == 1 and calls[0][0] == 3
