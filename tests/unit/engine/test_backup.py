"""SHARDD BACKUP: an engine's file is of the moment of START, has its own slots only, and no other child is at work."""
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.resp import OK, Error
from shardd.base import errors
from shardd.cluster.topology import UP, EngineInfo, Topology
from shardd.engine.snapshot import BACKUP, RDB
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine

WAIT_S = 20.0


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.server.snapshots.stop()


@pytest.fixture
def link(engine: Engine) -> Caller:
    caller = Caller(engine)
    caller.session.flags |= ClientFlag.INTERNAL
    return caller


def ended(engine: Engine, link: Caller) -> dict[str, Any]:
    """The state when the child has gone."""
    deadline = time.monotonic() + WAIT_S
    while (status := json.loads(link("SHARDD", "BACKUP", "STATUS")))["state"] == "writing":
        assert time.monotonic() < deadline
        engine.server.snapshots.check()
        time.sleep(0.002)
    return status


def test_the_file_is_of_the_moment_of_start(engine: Engine, link: Caller, tmp_path: Path) -> None:
    path = tmp_path / "engine-0.rdb"
    client = Caller(engine)
    for number in range(100):
        client("SET", f"key:{number}", "v")
    assert link("SHARDD", "BACKUP", "RESERVE", "1000") == OK
    assert link("SHARDD", "HOLD", "1000") == OK
    said = json.loads(link("SHARDD", "BACKUP", "START", str(path)))
    assert (said["keys"], said["slots"]) == (100, [[0, 16383]]) and said["fork_us"] > 0
    assert link("SHARDD", "RELEASE") == OK
    client("FLUSHALL")
    status = ended(engine, link)
    assert (status["state"], status["keys"], status["error"]) == ("done", 100, "")
    assert engine.server.snapshots.active == ""
    checked = subprocess.run(["redis-check-rdb", path], capture_output=True, text=True, check=True).stdout
    assert "100 keys read" in checked and "Checksum OK" in checked


def test_it_begins_in_a_hold_only(engine: Engine, link: Caller, tmp_path: Path) -> None:
    refused = link("SHARDD", "BACKUP", "START", str(tmp_path / "x"))
    assert isinstance(refused, Error) and refused.encode() == errors.BACKUP_NOT_HELD
    assert not (tmp_path / "x").exists()
    assert isinstance(Caller(engine)("SHARDD", "BACKUP", "STATUS"), Error)


def test_another_child_is_waited_for_and_none_begins(engine: Engine, link: Caller, tmp_path: Path) -> None:
    snapshots = engine.server.snapshots
    done: list[str | None] = []
    snapshots.gate = lambda go: None
    snapshots.start(RDB, str(tmp_path / "dump"), done.append)
    assert str(link("SHARDD", "BACKUP", "RESERVE", "1000")) == errors.BACKUP_BUSY.decode()
    snapshots.cancel()
    assert link("SHARDD", "BACKUP", "RESERVE", "60000") == OK
    assert snapshots.active == BACKUP
    assert link("SHARDD", "BACKUP", "RESERVE", "1000") == OK
    assert link("SHARDD", "BACKUP", "CANCEL") == OK
    assert snapshots.active == ""


def test_a_reservation_ends_by_itself(engine: Engine, link: Caller) -> None:
    assert link("SHARDD", "BACKUP", "RESERVE", "1") == OK
    time.sleep(0.005)
    assert engine.server.snapshots.active == ""


def test_nobody_is_asked_for_a_turn(engine: Engine, link: Caller, tmp_path: Path) -> None:
    snapshots = engine.server.snapshots
    turns: list[Any] = []
    snapshots.gate, snapshots.on_free = turns.append, lambda: turns.append("free")
    assert link("SHARDD", "HOLD", "1000") == OK
    json.loads(link("SHARDD", "BACKUP", "START", str(tmp_path / "x")))
    assert link("SHARDD", "RELEASE") == OK
    assert ended(engine, link)["state"] == "done" and turns == []


def test_a_file_that_cannot_be_written(engine: Engine, link: Caller, tmp_path: Path) -> None:
    assert link("SHARDD", "HOLD", "1000") == OK
    json.loads(link("SHARDD", "BACKUP", "START", str(tmp_path / "no" / "x")))
    status = ended(engine, link)
    assert status["state"] == "failed" and "No such file" in status["error"]
    assert engine.server.snapshots.active == ""


def test_a_cancelled_one_leaves_no_file(engine: Engine, link: Caller, tmp_path: Path) -> None:
    client = Caller(engine)
    for number in range(100):
        client("SET", f"key:{number}", "v")
    engine.server.config.set_many([(b"rdb-key-save-delay", b"100000")], local=True)
    assert link("SHARDD", "HOLD", "1000") == OK
    json.loads(link("SHARDD", "BACKUP", "START", str(tmp_path / "x")))
    assert json.loads(link("SHARDD", "BACKUP", "STATUS"))["state"] == "writing"
    assert link("SHARDD", "BACKUP", "CANCEL") == OK
    assert json.loads(link("SHARDD", "BACKUP", "STATUS"))["state"] == "failed"
    assert list(tmp_path.iterdir()) == [] and engine.server.snapshots.active == ""


def test_slots_of_others_are_left_out(tmp_path: Path) -> None:
    engine = Engine()
    server = engine.server
    ids = [f"{number:040x}" for number in (1, 2)]
    server.node_id = ids[0]
    server.install_topology(Topology.even([EngineInfo(one, one, place, state=UP) for place, one in enumerate(ids)]))
    link = Caller(engine)
    link.session.flags |= ClientFlag.INTERNAL
    assert link("SET", "bar", "mine") == OK                 # slot 5061
    assert link("SET", "foo", "another engine's") == OK     # slot 12182
    assert link("SHARDD", "HOLD", "1000") == OK
    said = json.loads(link("SHARDD", "BACKUP", "START", str(tmp_path / "x")))
    assert said["slots"] == [[0, 8191]] and said["keys"] == 2
    assert ended(engine, link)["keys"] == 1


@pytest.mark.parametrize("words", [["RESERVE"], ["RESERVE", "x"], ["START"], ["STATUS", "1"], ["NO"]])
def test_wrong_words(link: Caller, words: list[str]) -> None:
    assert str(link("SHARDD", "BACKUP", *words)) == errors.SYNTAX.decode()
