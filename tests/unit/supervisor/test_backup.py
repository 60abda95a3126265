"""The barrier of a backup, and what is left where it fails, with engines of a few lines."""
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shardd.base import limits
from shardd.base.backup import Manifest
from shardd.base.errors import CommandError
from shardd.supervisor import backup as module
from shardd.supervisor.backup import Backup
from shardd.supervisor.control import Server
from shardd.supervisor.watch import State
from shardd.wire.values import OK

SLOTS = {0: [[0, 8191]], 1: [[8192, 16383]]}


class FakeEngine:
    """Answers what engine/backup.py answers. log: all engines' words, in order. before: verb -> what is done first."""

    def __init__(self, index: int, directory: Path, log: list[str]) -> None:
        self.index, self.log = index, log
        self.path = directory / f"engine-{index}.sock"
        self.server = Server(self.path, self.answer)
        self.before: dict[str, Callable[[], Any]] = {}
        self.state = "none"
        self.error = ""
        self.looks = 0
        self.slots = SLOTS[index]
        self.child = SimpleNamespace(name=f"engine {index}", index=index, node_id=f"{index:040x}",
                                     control_path=self.path, watch=SimpleNamespace(state=State.UP))

    async def answer(self, request: list[bytes]) -> Any:
        words = [word.decode() for word in request]
        verb = words[2] if words[1] == "BACKUP" else words[1]
        if verb != "STATUS":
            self.log.append(f"{verb} {self.index}")
        if (before := self.before.get(verb)) is not None and (found := await before()) is not None:
            return found
        if verb == "START":
            Path(words[3]).write_bytes(b"REDIS" * (self.index + 1))
            self.state = "writing"
            return json.dumps({"epoch": 3, "slots": self.slots, "keys": 10, "fork_us": 5})
        if verb == "STATUS":
            self.looks += 1
            if self.state == "writing" and self.looks > 2:
                self.state = "failed" if self.error else "done"
            return json.dumps({"state": self.state, "keys": 5, "keys_total": 10, "error": self.error})
        return OK


class Tree:
    def __init__(self, directory: Path) -> None:
        self.log: list[str] = []
        self.engines = [FakeEngine(index, directory, self.log) for index in range(2)]
        self.supervisor = SimpleNamespace(engines=[engine.child for engine in self.engines],
                                          topology=SimpleNamespace(cluster_id="c" * 40, epoch=3))

    def run(self, directory: Path) -> list[str]:
        """What it says. Raises CommandError."""
        async def all_of_it() -> list[str]:
            for engine in self.engines:
                await engine.server.start()
            try:
                return [sentence async for sentence in Backup(self.supervisor).run(directory)]
            finally:
                for engine in self.engines:
                    await engine.server.stop()
        return asyncio.run(all_of_it())


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(module, "_TELL_MS", 0)
    return Tree(tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "b"


def once(action: Callable[[], Any]) -> Callable[[], Any]:
    """The first time; later nothing is done."""
    calls: list[int] = []

    async def act() -> Any:
        calls.append(1)
        return await action() if len(calls) == 1 else None
    return act


def test_all_are_held_before_one_forks_and_until_all_have(tree: Tree, target: Path) -> None:
    said = tree.run(target)
    assert tree.log[2:4] == ["HOLD 0", "HOLD 1"]
    assert sorted(tree.log[4:6]) == ["START 0", "START 1"] and sorted(tree.log[6:]) == ["RELEASE 0", "RELEASE 1"]
    assert said[0].startswith("All 2 engines were held for ") and "99% of 20 keys are written" not in said
    assert "50% of 20 keys are written" in said and said[-1].startswith(f"The backup is in {target}: 10 keys")
    manifest = Manifest.read(target)
    assert list(manifest.verify(target))[-1] == (15, 15)
    assert [part.slots for part in manifest.engines] == [((0, 8191),), ((8192, 16383),)]
    assert target.stat().st_mode & 0o777 == 0o700


def test_saves_under_way_are_waited_for(tree: Tree, target: Path) -> None:
    async def busy() -> Any:
        return CommandError(b"BUSY another child process is at work")
    tree.engines[1].before["RESERVE"] = once(busy)
    assert tree.run(target)[0] == "The backup waits: engine 1 is saving, or rewriting its log"
    assert tree.log[:4] == ["RESERVE 0", "RESERVE 1", "RESERVE 1", "HOLD 0"]


def test_who_waits_too_long_gives_up(tree: Tree, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy() -> Any:
        return CommandError(b"BUSY another child process is at work")
    monkeypatch.setattr(limits, "BACKUP_WAIT_S", 0)
    tree.engines[1].before["RESERVE"] = busy
    with pytest.raises(CommandError, match="engine 1 has been saving"):
        tree.run(target)
    assert not target.exists() and "CANCEL 0" in tree.log


def test_an_engine_that_is_not_held_in_time(tree: Tree, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKUP_HOLD_MS", 500)      # enough for the other engine, and for the second time
    tree.engines[1].before["HOLD"] = once(lambda: asyncio.sleep(0.6))
    said = tree.run(target)
    assert said[0] == "engine 1 could not be held within 500 ms; the backup tries again"
    assert tree.log.count("HOLD 0") == 2 and tree.log.count("START 0") == 1
    assert Manifest.read(target).keys == 10


def test_a_hold_that_ended_early_is_no_instant(tree: Tree, target: Path) -> None:
    async def over() -> Any:
        return CommandError(b"ERR the hold is over, the command was not executed")
    tree.engines[0].before["RELEASE"] = once(over)
    assert tree.run(target)[0] == "engine 0 was not held until all had forked; the backup tries again"
    assert tree.log.count("CANCEL 1") == 1 and tree.log.count("START 1") == 2


def test_an_engine_that_is_never_held(tree: Tree, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKUP_HOLD_MS", 20)
    monkeypatch.setattr(limits, "BACKUP_HOLD_TRIES", 3)
    tree.engines[1].before["HOLD"] = lambda: asyncio.sleep(1)
    with pytest.raises(CommandError, match="could not be held within 20 ms, 3 times"):
        tree.run(target)
    assert not target.exists()


@pytest.mark.parametrize("verb", ["START", "HOLD", "RESERVE"])
def test_a_refusal_of_one_engine_ends_all(tree: Tree, target: Path, verb: str) -> None:
    async def refuse() -> Any:
        return CommandError(b"ERR cannot fork: Cannot allocate memory")
    tree.engines[1].before[verb] = refuse
    with pytest.raises(CommandError, match="engine 1 answers: ERR cannot fork: Cannot allocate memory"):
        tree.run(target)
    assert not target.exists() and {"CANCEL 0", "CANCEL 1"} <= set(tree.log)


def test_a_child_that_fails(tree: Tree, target: Path) -> None:
    tree.engines[1].error = "Write error saving DB on disk(write): No space left on device"
    target.mkdir()
    with pytest.raises(CommandError, match="engine 1: Write error saving DB .*No space left on device"):
        tree.run(target)
    assert list(target.iterdir()) == []     # it was there before


def test_an_engine_that_dies_meanwhile(tree: Tree, target: Path) -> None:
    tree.engines[1].before["STATUS"] = lambda: tree.engines[1].server.stop()
    with pytest.raises(CommandError, match="engine 1: "):
        tree.run(target)
    assert not target.exists() and "CANCEL 0" in tree.log


def test_slots_that_do_not_add_up(tree: Tree, target: Path) -> None:
    tree.engines[1].slots = [[8193, 16383]]
    with pytest.raises(CommandError, match="slot 8192 is in 0 of the files"):
        tree.run(target)
    assert not target.exists()


def test_a_manifest_that_cannot_be_written(tree: Tree, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(manifest: Manifest, directory: Path) -> None:
        raise OSError(28, "No space left on device", str(directory / "backup.json"))
    monkeypatch.setattr(module, "_sign", full)
    with pytest.raises(CommandError, match="backup.json: No space left on device"):
        tree.run(target)
    assert not target.exists()


def test_directories_that_are_refused(tree: Tree, target: Path, tmp_path: Path) -> None:
    tree.run(target)
    before = sorted(path.name for path in target.iterdir())
    with pytest.raises(CommandError, match="has a backup already"):
        tree.run(target)
    assert sorted(path.name for path in target.iterdir()) == before
    (target / "backup.json").unlink()
    with pytest.raises(CommandError, match="is not empty, and has no backup.json"):
        tree.run(target)
    with pytest.raises(CommandError, match="is no directory"):
        tree.run(target / "engine-0.rdb")
    with pytest.raises(CommandError, match="No such file or directory"):
        tree.run(tmp_path / "no" / "b")
    with pytest.raises(CommandError, match="has to be absolute"):
        tree.run(Path("b"))


def test_a_backup_is_of_all_engines(tree: Tree, target: Path) -> None:
    tree.engines[1].child.watch.state = State.DOWN
    with pytest.raises(CommandError, match="engine 1 is down"):
        tree.run(target)
    assert not target.exists() and tree.log == []
