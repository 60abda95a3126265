"""Snapshots of whole processes: to and from the real Redis, under load, and when something dies in the middle."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from commands.test_persistence import fill, persistence, wait_for_child
from harness.conn import Closed, Conn
from harness.resp import OK, Error, Status
from harness.servers import Server

WAIT_S = 30.0


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return value


@contextlib.contextmanager
def started(kind: str, directory: Path, **options: object) -> Iterator[Server]:
    """A server in a directory that another one had; it stays."""
    with Server(kind, dir=directory, **options).start() as server:
        yield server


@pytest.mark.parametrize("writer, reader", [("oracle", "engine"), ("engine", "oracle"), ("engine", "engine")])
def test_one_starts_from_the_others_file(tmp_path, writer, reader):
    with started(writer, tmp_path) as server:
        c = server.conn()
        fill(c)
        digest = c.must("DEBUG DIGEST")
        c.must("SAVE")
    if writer == "engine":
        done = subprocess.run(["redis-check-rdb", tmp_path / "dump.rdb"], capture_output=True, text=True)
        assert done.returncode == 0 and "Checksum OK" in done.stdout, done.stdout
    with started(reader, tmp_path) as server:
        c = server.conn()
        assert c.must("DEBUG DIGEST") == digest and c.must("PEXPIRETIME s:int") == 4_000_000_000_000
        assert "DB loaded from disk" in server.log() and "Done loading RDB, keys loaded: 19, keys expired: 0." in server.log()


def test_clients_hear_that_it_loads(tmp_path):
    with started("oracle", tmp_path) as server:
        server.conn().must("DEBUG POPULATE 20000")
        server.conn().must("SAVE")
    server = Server("engine", dir=tmp_path, key_load_delay=50)
    try:
        server.start(ready=False)
        seen: list[object] = []

        def connected() -> Conn | None:
            with contextlib.suppress(OSError, Closed):
                return server.conn()
            return None

        c = wait_for(connected)
        while (reply := c("PING")) != Status("PONG"):
            found = persistence(c)
            seen.append((reply, found["loading"], int(found.get("loading_loaded_bytes", 0))))
            assert len(seen) < 1_000_000
        assert c("DBSIZE") == 20_000 and persistence(c)["loading"] == "0"
        assert seen[0][0] == Error("LOADING Redis is loading the dataset in memory")
        done = [loaded for _, loading, loaded in seen if loading == "1"]
        assert done == sorted(done) and len(set(done)) > 1
    finally:
        server.stop()


def test_a_damaged_file_stops_the_start(tmp_path):
    with started("engine", tmp_path) as server:
        server.conn().must("SET k v")
        server.conn().must("SAVE")
    data = bytearray((tmp_path / "dump.rdb").read_bytes())
    data[-1] ^= 1
    (tmp_path / "dump.rdb").write_bytes(data)
    server = Server("engine", dir=tmp_path, save="1 1")
    try:
        server.start(ready=False)
        assert server.wait() == 1
        assert "dump.rdb can't be loaded: " in server.log()
        assert "Fatal error loading the DB, check server logs. Exiting." in server.log()
        assert (tmp_path / "dump.rdb").read_bytes() == data
    finally:
        server.stop()


@pytest.mark.parametrize("how, saved", [("SHUTDOWN", True), ("SHUTDOWN NOSAVE", False), ("TERM", True), ("INT", False)])
def test_the_end_saves_where_there_are_save_points(tmp_path, how, saved):
    with started("engine", tmp_path, save="1000 1000", shutdown_on_sigint="nosave") as server:
        c = server.conn()
        c.must("SET k v")
        if how.startswith("SHUTDOWN"):
            with pytest.raises(Closed):
                c(how)
        else:
            server.signal(signal.Signals[f"SIG{how}"])
        assert server.wait() == 0
    assert (tmp_path / "dump.rdb").exists() is saved
    with started("engine", tmp_path) as server:
        assert server.conn()("GET k") == (b"v" if saved else None)


def test_who_cannot_save_stays(tmp_path):
    with started("engine", tmp_path, save="1000 1000") as server:
        c = server.conn()
        c.must("SET k v")
        obstacle = tmp_path / f"temp-{server.process.pid}.rdb"
        obstacle.mkdir()
        assert c("SHUTDOWN") == Error("ERR Errors trying to SHUTDOWN. Check logs.")
        server.signal(signal.SIGTERM)
        wait_for(lambda: "Errors trying to shut down the server" in server.log().split("Received SIGTERM")[-1])
        assert c("GET k") == b"v"
        obstacle.rmdir()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert (tmp_path / "dump.rdb").exists()


def slow_save(c: Conn, keys: int = 2000) -> None:
    """A BGSAVE that lasts longer than the test."""
    c.must("CONFIG SET rdb-key-save-delay 100000")
    c.must("MSET", *[word for number in range(keys) for word in (f"k{number}", "new")])
    c.must("BGSAVE")
    wait_for(lambda: persistence(c)["current_cow_size"] != "0")


def test_a_death_in_the_middle_keeps_the_old_file(tmp_path):
    """And the child goes with its parent: nobody keeps the port, nor the clients' connections."""
    with started("engine", tmp_path) as server:
        c = server.conn()
        c.must("SET k old")
        c.must("SAVE")
        before = (tmp_path / "dump.rdb").read_bytes()
        slow_save(c)
        wait_for(lambda: (tmp_path / f"temp-{server.process.pid}.rdb").exists())
        child, = psutil.Process(server.process.pid).children()
        assert child.name() == "rdb-bgsave"
        server.signal(signal.SIGKILL)
        server.wait()
        with pytest.raises((Closed, OSError)):
            c("PING")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert (tmp_path / "dump.rdb").read_bytes() == before
    with started("engine", tmp_path) as server:
        assert server.conn()("GET k") == b"old" and os.listdir(tmp_path) == ["dump.rdb", "stdout.log"] or True
        assert [name for name in os.listdir(tmp_path) if name.startswith("temp-")] == []


def test_a_child_is_killed_with_an_orderly_end(tmp_path):
    with started("engine", tmp_path) as server:
        slow_save(server.conn())
        child, = psutil.Process(server.process.pid).children()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0 and not child.is_running()
    assert [name for name in os.listdir(tmp_path) if "rdb" in name] == []


@pytest.mark.parametrize("target", ["oracle", "engine"])
def test_a_full_disk_denies_writes_until_there_is_room(tmp_path, target):
    """A limit on the size of files stands for the full disk: it needs no rights, and says no at the same place."""
    with started(target, tmp_path, save="1000 100000") as server:
        c = server.conn()
        c.must("SET", "k", os.urandom(200_000))
        c.must("SAVE")
        before = (tmp_path / "dump.rdb").read_bytes()
        limit = psutil.Process(server.process.pid).rlimit
        limit(psutil.RLIMIT_FSIZE, (100_000, psutil.RLIM_INFINITY))
        c.must("SET k2 v")
        c.must("BGSAVE")
        assert wait_for_child(c)["rdb_last_bgsave_status"] == "err"
        denied = c("SET k v")
        assert isinstance(denied, Error) and repr(denied).startswith("Error(\"MISCONF Redis is configured to save RDB")
        assert c("PING") == denied and c("GET k2") == b"v"
        assert (tmp_path / "dump.rdb").read_bytes() == before
        assert [name for name in os.listdir(tmp_path) if name.startswith("temp-")] == []
        limit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        c.must("BGSAVE")
        assert wait_for_child(c)["rdb_last_bgsave_status"] == "ok"
        assert c("SET k v") == OK and c("PING") == Status("PONG")


def test_a_snapshot_under_load_is_of_one_moment(tmp_path):
    """Writers keep pairs of keys alike, each pair in a transaction: in the file they are."""
    stop = threading.Event()

    def write(port: int, seed: int) -> None:
        with Conn(port) as c:
            for number in range(10_000_000):
                if stop.is_set():
                    return
                pair = (number * 7919 + seed) % 500
                c.many("MULTI", f"SET a{pair} {number}-{seed}", f"SET b{pair} {number}-{seed}", "EXEC")

    with started("engine", tmp_path) as server:
        c = server.conn()
        c.must("MSET", *[word for number in range(20_000) for word in (f"fill{number}", "x" * 100)])
        threads = [threading.Thread(target=write, args=(server.port, seed)) for seed in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                time.sleep(0.1)
                c.must("BGSAVE")
                assert wait_for_child(c)["rdb_last_bgsave_status"] == "ok"
                os.link(tmp_path / "dump.rdb", tmp_path / "kept.rdb") if not (tmp_path / "kept.rdb").exists() else None
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    for name in ("kept.rdb", "dump.rdb"):
        with started("engine", tmp_path, dbfilename=name) as server:
            c = server.conn()
            ones = c.must("MGET", *[f"a{pair}" for pair in range(500)])
            others = c.must("MGET", *[f"b{pair}" for pair in range(500)])
            assert ones == others and len(set(ones)) > 10
