"""Backups of a whole tree under load: one instant, whole or not there at all, and loaded by others."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import Conn, ctl
from harness.ctl import answer
from harness.servers import Server
from shardd.base.backup import Manifest
from shardd.ctl.rdb_join import join
from shardd.structures.slots import slot_of

LOAD_S = 0.6
WAIT_S = 20.0


def on_engine(index: int, name: str) -> str:
    """A key with this name in its hash tag's place that engine `index` of two has."""
    return next(tag for number in range(1000) if slot_of((tag := f"{{{name}:{number}}}").encode()) // 8192 == index)


class Writer(threading.Thread):
    """A client that does the same few things again and again, one after the other, so that at any instant:

        x - y is 0 or 1          counters on two engines: y follows when x was acknowledged
        a = b                    two keys of one slot, set in one MULTI
        one of here, there       a key that RENAME moves from engine to engine and back
    """

    def __init__(self, tree: Server, number: int) -> None:
        super().__init__()
        self._conn = tree.conn()
        self.x, self.y = (on_engine(index, f"count{number}") for index in range(2))
        self.a, self.b = (on_engine(number % 2, f"pair{number}") + part for part in "ab")
        self.here, self.there = (on_engine(index, f"moving{number}") for index in range(2))
        self.acknowledged = 0
        self.failed: BaseException | None = None
        self.ends = False
        for name in (self.a, self.b, self.here):
            self._conn.must("SET", name, 0)

    def run(self) -> None:
        try:
            while not self.ends:
                self._round()
        except BaseException as error:
            self.failed = error

    def _round(self) -> None:
        conn = self._conn
        count = conn.must("INCR", self.x)
        conn.must("INCR", self.y)
        conn.many("MULTI", ["SET", self.a, str(count)], ["SET", self.b, str(count)], "EXEC")
        conn.must("RENAME", *((self.here, self.there) if count % 2 else (self.there, self.here)))
        self.acknowledged = count

    def check(self, conn: Conn, at_least: int, at_most: int) -> None:
        """Whether what `conn` has may have been there at one instant. at_least, at_most: rounds."""
        x, y, a, b = (int(value) for value in conn.must("MGET", self.x, self.y, self.a, self.b))
        assert x - y in (0, 1) and a == b and a in (x, x - 1)
        assert conn.must("EXISTS", self.here, self.there) == 1
        assert at_least <= x <= at_most + 1


@contextlib.contextmanager
def load(tree: Server, clients: int = 3) -> Iterator[list[Writer]]:
    writers = [Writer(tree, number) for number in range(clients)]
    for writer in writers:
        writer.start()
    try:
        time.sleep(LOAD_S / 2)
        yield writers
        time.sleep(LOAD_S / 4)
    finally:
        for writer in writers:
            writer.ends = True
        for writer in writers:
            writer.join()
    assert [writer.failed for writer in writers] == [None] * clients


def fill(conn: Conn) -> None:
    """Some of everything, in two databases."""
    for db in (0, 5):
        conn.must("SELECT", db)
        for number in range(60):
            conn.must("SET", f"string:{number}", "x" * number)
            conn.must("RPUSH", f"list:{number}", *range(1 + number % 150))
            conn.must("HSET", f"hash:{number}", "field", number, "other", "y" * (number % 90))
            conn.must("SADD", f"set:{number}", *range(number, number + 1 + number % 600))
            conn.must("ZADD", f"zset:{number}", 1.5, "a", -number, "b")
        conn.must("SET", "timed", "v", "PX", 10_000_000)
    conn.must("SELECT", 0)


@contextlib.contextmanager
def redis_with(path: Path) -> Iterator[Conn]:
    """A real Redis that has loaded this file."""
    server = Server("oracle")
    try:
        shutil.copy(path, server.dir / "dump.rdb")
        with server.start().conn() as conn:
            yield conn
    finally:
        server.stop()


def joined(directory: Path, to: Path) -> Path:
    """The parts of a backup as one file; the backup stays."""
    parts = to.with_suffix(".d")
    shutil.copytree(directory, parts)
    join([parts / part.file for part in Manifest.read(directory).engines], to, 0)
    return to


@pytest.fixture(scope="module")
def tree(fresh) -> Iterator[Server]:
    with Server("tree", engines=2) as server:
        with server.conn() as conn:
            fill(conn)
        yield server


def test_a_backup_under_load_is_of_one_instant(tree, tmp_path):
    with load(tree) as writers:
        before = [writer.acknowledged for writer in writers]
        found = answer("backup", tmp_path / "b", tree=tree)
        after = [writer.acknowledged for writer in writers]
    manifest = Manifest.read(tmp_path / "b")
    list(manifest.verify(tmp_path / "b"))
    assert found["ok"] and found["keys"] == manifest.keys and 0 < found["barrier_us"] < 5_000_000
    assert any(step.startswith("All 2 engines were held for") for step in found["steps"])
    for part in manifest.engines:
        with redis_with(tmp_path / "b" / part.file) as conn:
            flags = part.flags()
            assert all(flags[slot_of(key)] for key in conn.must("KEYS", "*"))
    with redis_with(joined(tmp_path / "b", tmp_path / "all.rdb")) as conn:
        for writer, at_least, at_most in zip(writers, before, after, strict=True):
            writer.check(conn, at_least, at_most)


def test_a_single_redis_loads_an_export(tree, tmp_path):
    with tree.conn() as conn:
        digest, keys = conn.must("DEBUG", "DIGEST"), conn.must("DBSIZE")
    found = answer("export", tmp_path / "dump.rdb", tree=tree)
    assert [path.name for path in tmp_path.iterdir()] == ["dump.rdb"]
    with redis_with(tmp_path / "dump.rdb") as conn:
        assert conn.must("DEBUG", "DIGEST") == digest and conn.must("DBSIZE") == keys
        conn.must("SELECT", 5)
        assert conn.must("DBSIZE") + keys == found["keys"] and 0 < conn.must("PTTL", "timed") <= 10_000_000


# --- restore ------------------------------------------------------------------------------------------------------

def slot_digests(server: Server) -> dict[tuple[int, int], bytes]:
    """Database and slot -> digest of all its keys and values: those of the keys, xored."""
    found: dict[tuple[int, int], bytes] = {}
    with server.conn() as conn:
        for db in (0, 5):
            conn.must("SELECT", db)
            keys = sorted(conn.must("KEYS", "*"))
            values = conn.many(*(["DEBUG", "DIGEST-VALUE", key] for key in keys))
            for key, [value] in zip(keys, values, strict=True):
                name = hashlib.sha1(key + str(value).encode()).digest()
                place = (db, slot_of(key))
                found[place] = bytes(one ^ other for one, other in zip(found.get(place, bytes(20)), name, strict=True))
    return found


@pytest.fixture(scope="module")
def backup(tree, tmp_path_factory) -> tuple[Path, dict[tuple[int, int], bytes]]:
    """A backup of a tree that nobody changes, and its digests."""
    directory = tmp_path_factory.mktemp("backup") / "b"
    digests = slot_digests(tree)
    answer("backup", directory, tree=tree)
    return directory, digests


def test_a_backup_is_restored_to_a_running_tree(tree, backup):
    directory, digests = backup
    with tree.conn() as conn:
        conn.must("SET", "more", "1")
        found = answer("restore", directory, tree=tree, code=1)
        assert "holds" in found["error"] and "--replace" in found["error"] and conn.must("EXISTS", "more") == 1
        conn.must("FLUSHALL")
    assert answer("restore", directory, tree=tree)["ok"]
    assert slot_digests(tree) == digests
    with tree.conn() as conn:
        conn.must("SET", "more", "1")
    assert answer("restore", directory, "--replace", tree=tree)["ok"]
    assert slot_digests(tree) == digests


@pytest.mark.parametrize("engines, appendonly", [(1, "yes"), (2, "no"), (3, "yes")])
def test_a_backup_is_restored_to_any_number_of_engines(backup, engines, appendonly):
    directory, digests = backup
    tree = Server("tree", engines=engines, appendonly=appendonly)
    words = ["--shardd", "--dir", tree.dir, "--engines", engines, "--appendonly", appendonly]
    try:
        found = answer("restore", directory, *words)
        assert found["ok"] and found["steps"][-1] == \
            f"shardd will start with it: {engines} engines, appendonly {appendonly}"
        refused = answer("restore", directory, *words, code=1)
        assert "there is data of" in refused["error"] and "say --replace" in refused["error"]
        tree.start()
        assert slot_digests(tree) == digests
        with tree.conn() as conn:
            conn.must("DEBUG", "LOADAOF" if appendonly == "yes" else "RELOAD")
        assert slot_digests(tree) == digests
    finally:
        tree.stop()


@pytest.mark.parametrize("name", ["engine-1.rdb", "backup.json"])
def test_a_damaged_backup_is_refused(tree, backup, tmp_path, name):
    directory, digests = backup
    damaged = tmp_path / "b"
    shutil.copytree(directory, damaged)
    data = bytearray((damaged / name).read_bytes())
    data[len(data) // 2] ^= 1
    (damaged / name).write_bytes(data)
    assert f"{name} is damaged" in answer("restore", damaged, "--replace", tree=tree, code=1)["error"]
    other = tmp_path / "other"
    other.mkdir()
    assert f"{name} is damaged" in answer("restore", damaged, "--dir", other, code=1)["error"]
    assert not list(other.glob("data-*/engine-*/*"))
    with tree.conn() as conn:
        assert conn.must("GET", "string:7") == b"x" * 7


# --- what goes wrong ----------------------------------------------------------------------------------------------

@pytest.fixture
def slow(fresh) -> Iterator[Server]:
    """A tree in which writing a snapshot takes seconds."""
    with Server("tree", engines=2, rdb_key_save_delay=10_000) as server:
        with server.conn() as conn:
            for number in range(400):
                conn.must("SET", f"key:{number}", number)
        yield server


def engines(tree: Server) -> list[int]:
    found = answer("status", tree=tree)["processes"]
    return [process["pid"] for process in found if process["kind"] == "engine"]


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def begun(tree: Server, directory: Path) -> "subprocess.Popen[str]":
    """A backup whose children write."""
    process = ctl.start("backup", directory, tree=tree)
    wait_for(lambda: len(list(directory.glob("engine-*.rdb"))) == 2)
    return process


def names(tree: Server) -> list[str]:
    """Of all its processes."""
    found = []
    for child in tree.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(child.name())
    return found


def test_an_engine_that_is_killed_leaves_no_backup(slow, tmp_path):
    pids = engines(slow)
    process = begun(slow, tmp_path / "b")
    assert names(slow).count("shardd-backup") == 2
    slow_engine = next(child for child in slow.children() if child.pid == pids[1])
    slow_engine.kill()
    _, error = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1 and "engine 1" in error
    wait_for(lambda: not (tmp_path / "b").exists())
    wait_for(lambda: "shardd-backup" not in names(slow))


def test_a_supervisor_that_is_killed_leaves_no_manifest(slow, tmp_path):
    process = begun(slow, tmp_path / "b")
    slow.children()
    slow.signal(signal.SIGKILL)
    _, error = process.communicate(timeout=WAIT_S)
    assert process.returncode == 3 and error
    wait_for(lambda: not slow.children())
    assert not (tmp_path / "b" / "backup.json").exists()


def test_a_shardctl_that_is_killed_changes_nothing(slow, tmp_path):
    process = begun(slow, tmp_path / "b")
    process.kill()
    process.communicate()
    assert not (tmp_path / "b" / "backup.json").exists()
    second = answer("backup", tmp_path / "c", tree=slow, code=1)
    assert "BUSY a backup is under way" in second["error"]
    wait_for(lambda: (tmp_path / "b" / "backup.json").exists())
    assert Manifest.read(tmp_path / "b").keys == 400


def test_a_tree_that_stops_leaves_no_manifest(slow, tmp_path):
    process = begun(slow, tmp_path / "b")
    slow.signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)
    assert process.returncode != 0
    slow.wait()
    assert not (tmp_path / "b" / "backup.json").exists()


def test_a_disk_that_is_full(tree, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True,
                      check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        with tree.conn() as conn:
            for name in ("{0}", "{1}", "{2}", "{3}"):       # on both engines, and nothing that can be compressed
                conn.must("SET", name, os.urandom(100_000))
        error = answer("backup", small / "b", tree=tree, code=1)["error"]
        assert "No space left on device" in error and list(small.iterdir()) == []
        error = answer("export", small / "dump.rdb", tree=tree, code=1)["error"]
        assert "No space left on device" in error and list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
    with tree.conn() as conn:
        assert conn.must("DEL", "{0}", "{1}", "{2}", "{3}") == 4
