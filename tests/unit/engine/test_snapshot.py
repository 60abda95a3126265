"""The forked child: what it writes, says and leaves, and what the engine knows of it."""
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shardd.engine import snapshot
from shardd.engine.snapshot import AOF, KEYS, RDB, RECORD, Snapshots
from unit.inproc import Engine

WAIT_S = 20.0


class Done(list[Any]):
    """What on_done was called with."""

    def __call__(self, error: str | None) -> None:
        self.append(error)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.server.snapshots.stop()


@pytest.fixture
def snapshots(engine: Engine) -> Snapshots:
    return engine.server.snapshots


def write_keys(keyspace: Any, fd: int, **options: Any) -> None:
    """Instead of the format: how many keys there are, and what was asked for."""
    os.write(fd, f"{keyspace.total_keys()} {sorted(options)}".encode())


def finish(snapshots: Snapshots) -> None:
    until(snapshots, lambda: not snapshots.active)


def until(snapshots: Snapshots, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        snapshots.check()
        time.sleep(0.002)


def test_the_child_writes_the_keys_of_the_moment_it_was_forked(engine: Engine, snapshots: Snapshots,
                                                              tmp_path: Path) -> None:
    engine("MSET", "a", "1", "b", "2")
    snapshots.write, done = write_keys, Done()
    snapshots.start(RDB, str(tmp_path / "new"), done)
    engine("SET", "c", "3")
    assert snapshots.active == RDB and done == []
    finish(snapshots)
    assert done == [None] and (tmp_path / "new").read_text().startswith("2 [")
    assert snapshots.forks == 1 and snapshots.fork_us > 0 and snapshots.cow_bytes[RDB] > 0
    assert snapshots.keys_total == snapshots.keys_done == snapshots.cow_now == 0


def test_a_file_takes_its_name_when_it_is_whole(snapshots: Snapshots, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_text("old")

    def slowly(keyspace: Any, fd: int, **options: Any) -> None:
        os.write(fd, b"half")
        while not (tmp_path / "go").exists():
            time.sleep(0.001)
        os.write(fd, b"whole")

    snapshots.write, done = slowly, Done()
    snapshots.start(RDB, str(tmp_path / "temp"), done, rename_to=str(tmp_path / "dump.rdb"))
    until(snapshots, lambda: (tmp_path / "temp").exists() and (tmp_path / "temp").stat().st_size == 4)
    assert (tmp_path / "dump.rdb").read_text() == "old"
    (tmp_path / "go").touch()
    finish(snapshots)
    assert done == [None] and (tmp_path / "dump.rdb").read_text() == "halfwhole" and not (tmp_path / "temp").exists()


def test_progress_is_known_while_it_runs(engine: Engine, snapshots: Snapshots, tmp_path: Path) -> None:
    def tells(keyspace: Any, fd: int, *, progress_fd: int, **options: Any) -> None:
        os.write(progress_fd, RECORD.pack(KEYS, 1))
        time.sleep(WAIT_S)

    engine("MSET", "a", "1", "b", "2")
    snapshots.write = tells
    snapshots.start(AOF, str(tmp_path / "new"), Done())
    until(snapshots, lambda: snapshots.keys_done == 1 and snapshots.cow_now > 0)
    assert snapshots.keys_total == 2 and snapshots.cow_peak >= snapshots.cow_now and snapshots.cow_age_s < WAIT_S
    assert Path(f"/proc/{snapshots.pid}/comm").read_text() == "aof-rewrite\n"


@pytest.mark.parametrize("code, step, says", [
    (errno.ENOSPC, "write", "Write error saving DB on disk(write): No space left on device"),
    (errno.ENOENT, "open", "Failed opening the temp RDB file new (in server root dir "),
    (errno.EISDIR, "rename", "Error moving temp DB file new on the final destination there (in server root dir ")])
def test_a_child_that_fails_says_what(snapshots: Snapshots, tmp_path: Path, code: int, step: str, says: str) -> None:
    path, rename_to = tmp_path / "new", tmp_path / "there"

    def fails(keyspace: Any, fd: int, **options: Any) -> None:
        if step == "write":
            raise OSError(code, "")

    if step == "open":
        path = tmp_path / "absent" / "new"
    rename_to.mkdir()
    snapshots.write, done = fails, Done()
    snapshots.start(RDB, str(path), done, rename_to=str(rename_to))
    finish(snapshots)
    assert done[0].startswith(says) and done[0].endswith(os.strerror(code)) and not path.exists()
    assert not snapshots.cancelled


def test_a_defect_in_the_child_is_its_own(snapshots: Snapshots, tmp_path: Path, capfd: Any) -> None:
    def broken(keyspace: Any, fd: int, **options: Any) -> None:
        raise AssertionError("a bucket is lost")

    snapshots.write, done = broken, Done()
    snapshots.start(RDB, str(tmp_path / "new"), done)
    finish(snapshots)
    assert done[0].endswith("failed with exit code 1") and "a bucket is lost" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


def sleeps(keyspace: Any, fd: int, **options: Any) -> None:
    time.sleep(WAIT_S)


@pytest.mark.parametrize("number, cancelled", [(signal.SIGKILL, False), (signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_child_that_is_killed_leaves_nothing(snapshots: Snapshots, tmp_path: Path, number: int,
                                               cancelled: bool) -> None:
    snapshots.write, done = sleeps, Done()
    snapshots.start(RDB, str(tmp_path / "new"), done)
    until(snapshots, (tmp_path / "new").exists)
    os.kill(snapshots.pid, number)
    finish(snapshots)
    assert done[0].endswith(f"ended by signal {int(number)}") and snapshots.cancelled is cancelled
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_cancelled_and_stopped(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.write, done = sleeps, Done()
    snapshots.start(RDB, str(tmp_path / "new"), done)
    snapshots.cancel()
    finish(snapshots)
    assert snapshots.cancelled and len(done) == 1
    snapshots.start(RDB, str(tmp_path / "new"), done)
    pid = snapshots.pid
    snapshots.stop()
    assert not snapshots.active and snapshots.cancelled and len(done) == 2
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    snapshots.stop()
    snapshots.cancel()
    assert len(done) == 2


def test_one_that_is_stopped_when_it_is_done_counts_if_its_file_is_in_place(snapshots: Snapshots,
                                                                            tmp_path: Path) -> None:
    done = Done()
    for rename_to in ("", str(tmp_path / "there")):
        snapshots.start(RDB, str(tmp_path / "new"), done, rename_to=rename_to)
        os.waitid(os.P_PID, snapshots.pid, os.WEXITED | os.WNOWAIT)
        snapshots.stop()
    assert done[0].endswith("was stopped") and done[1] is None
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_child_has_no_descriptor_but_the_few_it_needs(engine: Engine, snapshots: Snapshots,
                                                         tmp_path: Path) -> None:
    def lists(keyspace: Any, fd: int, **options: Any) -> None:
        names = {name: os.readlink(f"/proc/self/fd/{name}") for name in map(str, range(64))
                 if os.path.lexists(f"/proc/self/fd/{name}")}
        os.write(fd, repr(names).encode())

    listener = socket.create_server(("127.0.0.1", 0))
    snapshots.write = lists
    snapshots.start(RDB, str(tmp_path / "new"), Done())
    finish(snapshots)
    found = eval((tmp_path / "new").read_text())
    more = {path for name, path in found.items() if name > "2" and not path.endswith("/smaps_rollup")}
    assert len(more) == 2 and found["3"].startswith("pipe:") and str(tmp_path / "new") in more
    listener.close()


def test_a_connection_that_we_close_is_closed_while_a_child_runs(engine: Engine, snapshots: Snapshots,
                                                                tmp_path: Path) -> None:
    snapshots.write = sleeps
    snapshots.start(RDB, str(tmp_path / "new"), Done())
    until(snapshots, (tmp_path / "new").exists)
    engine("QUIT")
    engine.run.sock.setblocking(True)
    engine.run.sock.settimeout(WAIT_S)
    assert engine.run.sock.recv(1) == b""


def test_reads_stamp_no_access_while_a_child_shares_the_pages(engine: Engine, snapshots: Snapshots,
                                                              tmp_path: Path) -> None:
    engine("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0", "lfu-decay-time", "0")
    engine("SET", "k", "v")

    def used_more() -> bool:
        before = engine("OBJECT", "FREQ", "k")
        engine("GET", "k")
        return bool(engine("OBJECT", "FREQ", "k") > before)

    snapshots.write = sleeps
    assert used_more()
    snapshots.start(RDB, str(tmp_path / "new"), Done())
    assert engine.server.keyspace.calm and not used_more()
    snapshots.stop()
    assert not engine.server.keyspace.calm and used_more()


def test_the_journal_is_whole_before_the_fork(engine: Engine, snapshots: Snapshots, tmp_path: Path) -> None:
    engine.follow()
    engine("SET", "k", "v")
    seen = []
    snapshots.write = write_keys
    snapshots.start(AOF, str(tmp_path / "new"), Done(), before_fork=lambda: seen.append(engine._journal))
    assert b"SET" in seen[0]
    finish(snapshots)


def test_a_fork_that_cannot_be(snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory() -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(snapshot.os, "fork", no_memory)
    snapshots.write, done = write_keys, Done()
    fds = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="allocate"):
        snapshots.start(RDB, str(tmp_path / "new"), done)
    assert done == [] and not snapshots.active and set(os.listdir("/proc/self/fd")) == fds
    snapshots.gate = lambda go: go()
    snapshots.start(RDB, str(tmp_path / "new"), done)
    assert done == ["fork: Cannot allocate memory"] and not snapshots.active


def test_forks_can_be_put_off(engine: Engine, snapshots: Snapshots, tmp_path: Path) -> None:
    turns: list[Callable[[], None]] = []
    freed: list[int] = []
    snapshots.gate, snapshots.on_free = turns.append, lambda: freed.append(1)
    snapshots.write, done = write_keys, Done()
    snapshots.start(RDB, str(tmp_path / "new"), done)
    assert snapshots.active == RDB and snapshots.pid == 0 and snapshots.forks == 0
    snapshots.cancel()
    assert done == ["cancelled"] and snapshots.cancelled and snapshots.ended_by == signal.SIGUSR1 and freed == [1]
    turns.pop()()
    assert snapshots.forks == 0
    snapshots.start(RDB, str(tmp_path / "new"), done)
    engine("SET", "k", "v")
    turns.pop()()
    finish(snapshots)
    assert done[1:] == [None] and (tmp_path / "new").read_text().startswith("1 ") and freed == [1, 1]


def test_a_slow_fork_is_a_latency_event(engine: Engine, snapshots: Snapshots, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    engine("CONFIG", "SET", "latency-monitor-threshold", "1")
    engine.server.latency.reset([])     # where that has taken a millisecond itself
    fork = os.fork

    def slow_fork() -> int:
        pid = fork()
        if pid:
            time.sleep(0.005)
        return pid

    monkeypatch.setattr(snapshot.os, "fork", slow_fork)
    snapshots.write = write_keys
    snapshots.start(RDB, str(tmp_path / "new"), Done())
    assert [event[0] for event in engine("LATENCY", "LATEST")] == [b"fork"]
    finish(snapshots)


@pytest.mark.parametrize("purpose, option", [(RDB, "bgsave_cpulist"), (AOF, "aof_rewrite_cpulist")])
def test_the_child_stays_on_the_cores_of_its_option(tmp_path: Path, purpose: str, option: str) -> None:
    last = max(os.sched_getaffinity(0))
    engine = Engine(f"--{option}", str(last))

    def cores(keyspace: Any, fd: int, **options: Any) -> None:
        os.write(fd, repr(os.sched_getaffinity(0)).encode())

    snapshots = engine.server.snapshots
    snapshots.write = cores
    snapshots.start(purpose, str(tmp_path / "new"), Done())
    finish(snapshots)
    assert (tmp_path / "new").read_text() == repr({last})
    assert os.sched_getaffinity(0) != {last} or last == 0
