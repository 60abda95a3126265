"""When a snapshot is written and what a failing one means, in an engine of this process."""
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.resp import OK, Error, Status
from shardd.base import errors
from shardd.cluster.topology import UP, EngineInfo, Topology, new_id
from shardd.engine import persistence as module
from shardd.engine.snapshot import AOF
from unit.inproc import Engine

WAIT_S = 20.0
MISCONF = Error(errors.MISCONF_RDB.decode())


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.chdir(tmp_path)
    engine = Engine("--appendonly", "no", "--enable-protected-configs", "yes", "--enable-debug-command", "yes")
    yield engine
    engine.server.snapshots.stop()


def finish(engine: Engine) -> None:
    deadline = time.monotonic() + WAIT_S
    while engine.server.snapshots.active:
        assert time.monotonic() < deadline
        engine.server.snapshots.check()
        time.sleep(0.002)


def info(engine: Engine, section: str = "persistence") -> dict[str, str]:
    lines = bytes(engine("INFO", section)).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


class Clock:
    """Time for intervals, in seconds, as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = int(time.time())
        monkeypatch.setattr(module, "_mono_s", lambda: self.now)


def spoil(tmp_path: Path) -> Path:
    """Nothing can be saved as long as this is there."""
    obstacle = tmp_path / f"temp-{os.getpid()}.rdb"
    obstacle.mkdir()
    return obstacle


def test_what_changes_during_a_snapshot_is_not_saved(engine: Engine, tmp_path: Path) -> None:
    engine("SET", "a", "1")
    engine("BGSAVE")
    engine("SET", "b", "2")
    engine("SET", "c", "3")
    finish(engine)
    assert info(engine)["rdb_changes_since_last_save"] == "2" and os.listdir(tmp_path) == ["dump.rdb"]
    assert engine("SAVE") == OK and info(engine)["rdb_changes_since_last_save"] == "0"


@pytest.mark.parametrize("changes, seconds, saves", [(2, 11, 1), (2, 10, 0), (1, 11, 0), (0, 1000, 0)])
def test_save_points(engine: Engine, monkeypatch: pytest.MonkeyPatch, changes: int, seconds: int, saves: int) -> None:
    clock = Clock(monkeypatch)
    engine.server.persistence._saved_s = clock.now
    engine("CONFIG", "SET", "save", "3600 100 10 2")
    for number in range(changes):
        engine("SET", f"k{number}", "v")
    clock.now += seconds
    engine.server.persistence.cron()
    finish(engine)
    assert int(info(engine)["rdb_saves"]) == saves


@pytest.mark.parametrize("changes, saves", [(3, 0), (4, 1)])
def test_of_a_tree_an_engine_looks_for_its_part_of_the_changes(engine: Engine, monkeypatch: pytest.MonkeyPatch,
                                                               changes: int, saves: int) -> None:
    clock = Clock(monkeypatch)
    engine.server.persistence._saved_s = clock.now
    engine.server.topology = Topology.even([EngineInfo(new_id(), new_id(), index, "", 1, "", UP) for index in range(3)])
    engine("CONFIG", "SET", "save", "10 10")
    for number in range(changes):
        engine("SET", f"k{number}", "v")
    clock.now += 11
    engine.server.persistence.cron()
    finish(engine)
    assert int(info(engine)["rdb_saves"]) == saves


def test_a_wall_clock_that_is_put_back_puts_off_no_save_point(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert engine("SAVE") == OK
    engine("CONFIG", "SET", "save", "10 1")
    engine("SET", "k", "v")
    year_ms = 365 * 86_400_000
    wall_ms = module.now_ms()
    monkeypatch.setattr(module, "now_ms", lambda: wall_ms - year_ms)
    clock.now += 11
    engine.server.persistence.cron()
    finish(engine)
    found = info(engine)
    assert found["rdb_changes_since_last_save"] == found["rdb_last_bgsave_time_sec"] == "0"
    assert engine("LASTSAVE") == (wall_ms - year_ms) // 1000


def test_a_failed_save_point_waits_and_denies_writes(engine: Engine, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine("SET", "k", "v")
    engine("CONFIG", "SET", "save", "1 1")
    obstacle = spoil(tmp_path)
    clock.now += 10
    engine.server.persistence.cron()
    finish(engine)
    assert info(engine)["rdb_last_bgsave_status"] == "err"
    assert engine("SET", "k", "w") == MISCONF and engine("PING") == MISCONF and engine("GET", "k") == b"v"
    engine("MULTI")
    assert engine("SET", "k", "w") == MISCONF
    assert engine("EXEC") == Error("EXECABORT Transaction discarded because of previous errors.")
    clock.now += 5
    engine.server.persistence.cron()
    assert not engine.server.snapshots.active, "not again so soon"
    obstacle.rmdir()
    clock.now += 1
    engine.server.persistence.cron()
    finish(engine)
    assert engine("SET", "k", "w") == OK and engine("PING") == Status("PONG")


@pytest.mark.parametrize("option, value", [("save", ""), ("stop-writes-on-bgsave-error", "no")])
def test_writes_go_on_where_the_options_say_so(engine: Engine, tmp_path: Path, option: str, value: str) -> None:
    engine("CONFIG", "SET", "save", "1000 1000")
    obstacle = spoil(tmp_path)
    engine("BGSAVE")
    finish(engine)
    assert engine("SET", "k", "v") == MISCONF
    assert engine("CONFIG", "SET", option, value) == OK
    assert engine("SET", "k", "v") == OK and info(engine)["rdb_last_bgsave_status"] == "err"
    obstacle.rmdir()


def test_a_queue_of_writes_is_denied_when_it_is_to_run(engine: Engine, tmp_path: Path) -> None:
    engine("CONFIG", "SET", "save", "1000 1000")
    engine("MULTI")
    engine("SET", "k", "v")
    spoil(tmp_path)
    engine.server.persistence.start()
    finish(engine)
    assert engine("EXEC") == Error("EXECABORT Transaction discarded because of: " + errors.MISCONF_RDB.decode())
    assert engine("EXISTS", "k") == 0


def test_a_save_that_fails_tells_who_asked(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_text("old")
    obstacle = spoil(tmp_path)
    assert engine("SAVE") == Error("ERR")
    assert info(engine)["rdb_last_bgsave_status"] == "ok", "as in Redis: only BGSAVE counts"
    obstacle.rmdir()
    assert (tmp_path / "dump.rdb").read_text() == "old"


def test_a_snapshot_that_is_killed_counts_as_failed_unless_we_did_it(engine: Engine) -> None:
    engine("CONFIG", "SET", "rdb-key-save-delay", "1000000")
    engine("MSET", "a", "1", "b", "2")
    engine("BGSAVE")
    os.kill(engine.server.snapshots.pid, 9)
    finish(engine)
    assert info(engine)["rdb_last_bgsave_status"] == "err"
    engine("CONFIG", "SET", "rdb-key-save-delay", "0")
    engine("BGSAVE")
    finish(engine)
    engine("CONFIG", "SET", "rdb-key-save-delay", "1000000")
    engine("BGSAVE")
    engine("FLUSHALL")
    finish(engine)
    assert info(engine)["rdb_last_bgsave_status"] == "ok"


def test_with_another_child_a_snapshot_waits(engine: Engine, tmp_path: Path) -> None:
    def slowly(keyspace: Any, fd: int, **options: Any) -> None:
        while not (tmp_path / "go").exists():
            time.sleep(0.001)

    engine("SET", "k", "v")
    engine.server.snapshots.start(AOF, "other", lambda error: None, write=slowly)
    assert engine("BGSAVE") == Error(errors.SAVE_OTHER_CHILD.decode())
    assert engine("BGSAVE", "SCHEDULE") == Status("Background saving scheduled")
    engine.server.persistence.cron()
    assert engine.server.snapshots.active == AOF
    (tmp_path / "go").touch()
    finish(engine)
    assert info(engine)["rdb_saves"] == "0"
    engine.server.persistence.cron()
    finish(engine)
    assert info(engine)["rdb_saves"] == "1" and (tmp_path / "dump.rdb").exists()
    engine.server.persistence.cron()
    assert not engine.server.snapshots.active, "once"


def test_flushall_with_save_points_writes_the_empty_state(engine: Engine, tmp_path: Path) -> None:
    engine("CONFIG", "SET", "save", "1000 1000")
    engine("SET", "k", "v")
    engine("CONFIG", "SET", "rdb-key-save-delay", "1000000")
    engine("BGSAVE")
    assert engine("FLUSHALL") == OK
    assert not engine.server.snapshots.active and info(engine)["rdb_changes_since_last_save"] == "0"
    engine("SET", "k", "v")
    assert engine("DEBUG", "RELOAD", "NOSAVE") == OK and engine("DBSIZE") == 0
    assert os.listdir(tmp_path) == ["dump.rdb"]
    assert engine("FLUSHALL", "LATER") == Error("ERR syntax error")


def test_leaving(engine: Engine, tmp_path: Path) -> None:
    persistence = engine.server.persistence
    dump = tmp_path / "dump.rdb"
    engine("SET", "k", "v")
    assert persistence.leave(None) and not dump.exists(), "no save points"
    assert persistence.leave(True) and dump.exists()
    dump.unlink()
    engine("CONFIG", "SET", "save", "1000 1000")
    assert persistence.leave(False) and not dump.exists()
    obstacle = spoil(tmp_path)
    assert not persistence.leave(None) and persistence.leave(None, force=True) and persistence.leave(False)
    obstacle.rmdir()
    engine("CONFIG", "SET", "rdb-key-save-delay", "1000000")
    engine("BGSAVE")
    engine("CONFIG", "SET", "rdb-key-save-delay", "0")
    assert persistence.leave(None) and dump.exists() and not engine.server.snapshots.active
    assert os.listdir(tmp_path) == ["dump.rdb"]


def test_half_of_the_data_is_never_saved(engine: Engine, tmp_path: Path) -> None:
    engine("CONFIG", "SET", "save", "1000 1000")
    engine.server.persistence.loading = object()    # type: ignore[assignment]
    assert engine.server.persistence.leave(True) and os.listdir(tmp_path) == []
    engine.server.persistence.loading = None


def test_a_reload_ends_an_older_snapshot(engine: Engine, tmp_path: Path) -> None:
    engine("CONFIG", "SET", "save", "1000 1000")
    engine("MSET", "a", "1", "b", "2")
    engine("CONFIG", "SET", "rdb-key-save-delay", "200000")
    engine("BGSAVE")
    engine("CONFIG", "SET", "rdb-key-save-delay", "0")
    engine("SET", "c", "3")
    assert engine("DEBUG", "RELOAD") == OK and not engine.server.snapshots.active
    assert engine("DEBUG", "RELOAD", "NOSAVE") == OK and engine("DBSIZE") == 3
    assert info(engine)["rdb_last_bgsave_status"] == "ok" and os.listdir(tmp_path) == ["dump.rdb"]


def test_a_reload_does_not_come_between(engine: Engine) -> None:
    engine("SET", "k", "v")
    engine.server.persistence.loading = object()    # type: ignore[assignment]
    for command in ("RELOAD", "LOADAOF"):
        assert engine("DEBUG", command) == Error("LOADING Redis is loading the dataset in memory")
    engine.server.persistence.loading = None
    assert engine("DBSIZE") == 1


def test_reload_of_a_damaged_file(engine: Engine, tmp_path: Path) -> None:
    engine("SET", "k", "v")
    engine("SAVE")
    data = (tmp_path / "dump.rdb").read_bytes()
    (tmp_path / "dump.rdb").write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert engine("DEBUG", "RELOAD", "NOSAVE") == Error("ERR Error trying to load the RDB dump, check server logs.")
    (tmp_path / "dump.rdb").unlink()
    assert engine("DEBUG", "RELOAD", "NOSAVE") == Error("ERR Error trying to load the RDB dump, check server logs.")


def test_large_data_is_reloaded(engine: Engine) -> None:
    """What is freed in steps otherwise must be gone before the same data comes again."""
    for start in range(0, 30_000, 1000):
        engine("MSET", *[word for number in range(start, start + 1000) for word in (f"k{number}", "v" * 50)])
    engine.settle()
    before = engine.server.used_memory()
    assert engine("DEBUG", "RELOAD") == OK and engine("DBSIZE") == 30_000
    assert engine.server.keyspace.pending_free() == 0
    assert abs(engine.server.used_memory() - before) < 0.1 * before
    engine.check()


def test_the_directory_changes_at_run_time(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    engine("SET", "k", "v")
    assert engine("CONFIG", "SET", "dir", str(tmp_path / "other"), "dbfilename", "there.rdb") == OK
    assert engine("SAVE") == OK and os.listdir(tmp_path / "other") == ["there.rdb"]
    (tmp_path / "gone").mkdir()
    engine("BGSAVE")
    finish(engine)
    assert sorted(os.listdir(tmp_path)) == ["gone", "other"]


def test_what_others_left_half_done_is_removed(engine: Engine, tmp_path: Path) -> None:
    for name in ("temp-99999999.rdb", f"temp-{os.getpid()}.rdb", f"temp-{os.getppid()}.rdb", "temp-x.rdb",
                 "temp-1.rdb.bak"):
        (tmp_path / name).touch()
    engine.server.persistence.remove_leftovers()
    assert sorted(os.listdir(tmp_path)) == sorted([f"temp-{os.getppid()}.rdb", "temp-x.rdb", "temp-1.rdb.bak"])


def test_statistics_start_anew(engine: Engine) -> None:
    engine("SET", "k", "v")
    engine("BGSAVE")
    finish(engine)
    assert info(engine)["rdb_saves"] == "1" and info(engine, "stats")["total_forks"] == "1"
    engine("CONFIG", "RESETSTAT")
    assert info(engine)["rdb_saves"] == "0"
    assert (info(engine, "stats")["total_forks"], info(engine, "stats")["latest_fork_usec"]) == ("0", "0")


def test_where_the_directory_is_gone_a_save_fails_and_says_so(engine: Engine, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    engine("SET", "k", "v")
    gone.rmdir()
    assert engine("SAVE") == Error("ERR")
    assert engine("BGSAVE") == Status("Background saving started")
    finish(engine)
    assert info(engine)["rdb_last_bgsave_status"] == "err" and engine("GET", "k") == b"v"
