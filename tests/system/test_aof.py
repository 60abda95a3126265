"""The append-only file of an engine: what a restart finds, both ways with the real Redis, and its tools."""
import os
import random
import resource
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from harness import Closed, Error
from harness.servers import Server

FAR = 4_000_000_000_000


def manifest(server: Server, directory: Path | None = None) -> Path:
    return (directory or server.dir) / "appendonlydir" / "appendonly.aof.manifest"


def info(c) -> dict[str, str]:
    lines = c.must("INFO persistence").decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def check_aof(path: Path) -> str:
    """redis-check-aof must have nothing to say against it."""
    done = subprocess.run(["redis-check-aof", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fill(c, seed: int = 1, keys: int = 15) -> None:
    """Values of every type and form, some with expiries, in two databases."""
    rng = random.Random(seed)
    for db in (0, 3):
        c.must("SELECT", db)
        for n in range(keys):
            many = rng.choice([3, 70, 700])
            words = [f"{rng.choice(['', 'x' * 70])}{rng.randrange(10 ** 6)}" for _ in range(many)]
            c.must("SET", f"s{n}", rng.choice([*words, "", b"\r\n\0*3", 12345]))
            c.must("RPUSH", f"l{n}", *words)
            c.must("SADD", f"set{n}", *words)
            c.must("SADD", f"ints{n}", *range(many))
            scores = [rng.choice([1, -2.5, "inf", 1e300, 1 / 3]) for _ in words]
            c.must("ZADD", f"z{n}", *[part for pair in zip(scores, words) for part in pair])
            c.must("HSET", f"h{n}", *[part for word in words for part in (word, rng.random())])
            c.must("PEXPIREAT", f"{rng.choice('slzh')}{n}", FAR + n)


def digest(server: Server) -> list[bytes]:
    with server.conn() as c:
        found = [c.must("DEBUG DIGEST")]
        for db in (0, 3):
            c.must("SELECT", db)
            found.append(c.must("DBSIZE"))
            found.append(c.many(*[("PEXPIRETIME", key) for key in sorted(c.must("KEYS", "*"))]))
        return found


def restart(server: Server) -> None:
    server.process.terminate()
    server.wait()
    server.start()


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_a_rewritten_log_is_the_same_here_and_in_redis_and_its_tools_find_nothing(preamble):
    with Server("engine", appendonly="yes", aof_use_rdb_preamble=preamble) as server:
        with server.conn() as c:
            fill(c)
            c.must("BGREWRITEAOF")
            c.must("SELECT 0")
            c.must("INCR behind")
            deadline = time.monotonic() + 20
            while info(c)["aof_rewrite_in_progress"] == "1" or info(c)["aof_rewrites"] == "0":
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert info(c)["aof_last_bgrewrite_status"] == "ok"
            c.must("MULTI"), c.must("SELECT 3"), c.must("SET in_exec 1"), c.must("LPUSH l1 first"), c.must("EXEC")
            c.must("SPOP set1")
        before = digest(server)
        names = sorted(os.listdir(server.dir / "appendonlydir"))
        assert names == [f"appendonly.aof.2.base.{'rdb' if preamble == 'yes' else 'aof'}", "appendonly.aof.2.incr.aof",
                         "appendonly.aof.manifest"]
        restart(server)
        assert digest(server) == before
        server.process.terminate()
        server.wait()
        assert "All AOF files and manifest are valid" in check_aof(manifest(server))
        with Server("oracle", dir=server.dir, appendonly="yes") as oracle:
            assert digest(oracle) == before


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_a_log_of_redis_is_loaded(preamble):
    with Server("oracle", appendonly="yes", aof_use_rdb_preamble=preamble, aof_timestamp_enabled="yes") as oracle:
        with oracle.conn() as c:
            fill(c, 2)
            c.must("BGREWRITEAOF")
            while info(c)["aof_rewrite_in_progress"] == "1":
                time.sleep(0.02)
            fill(c, 3, 5)
            c.must("MULTI"), c.must("SET", "in_exec", 1), c.must("INCRBYFLOAT", "f", 1.5), c.must("EXEC")
        before = digest(oracle)
        oracle.process.terminate()
        oracle.wait()
        with Server("engine", dir=oracle.dir, appendonly="yes") as server:
            assert digest(server) == before


def limit(server: Server, size: int) -> None:
    """From now on no file of the server may be larger: a write ends there, and the next one fails."""
    psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def last_file(server: Server) -> Path:
    return server.dir / "appendonlydir" / manifest(server).read_text().split("\n")[-2].split()[1]


def until(condition, what: str = "") -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_disk_that_is_full_refuses_writes_until_it_is_not():
    with Server("engine", appendonly="yes") as server, server.conn() as c:
        c.must("SET", "a", "x" * 1000)
        until(lambda: last_file(server).stat().st_size > 1000)
        whole = last_file(server).stat().st_size
        limit(server, whole + 500)
        c.must("SET", "b", "x" * 1000)
        until(lambda: info(c)["aof_last_write_status"] == "err")
        refused = Error("MISCONF Errors writing to the AOF file: File too large")
        assert c("SET d 1") == refused and c("GET a") == b"x" * 1000
        assert last_file(server).stat().st_size == whole        # the part that was written is gone again
        assert int(info(c)["aof_buffer_length"]) > 1000
        limit(server, resource.RLIM_INFINITY)
        until(lambda: info(c)["aof_last_write_status"] == "ok")
        c.must("SET c 1")
        before = digest(server)
        restart(server)
        assert digest(server) == before and "AOF write error looks solved" in server.log()


def test_always_ends_before_it_acknowledges_what_it_cannot_store():
    with Server("engine", appendonly="yes", appendfsync="always") as server:
        with server.conn() as c:
            c.must("SET", "longer than the server's log", "x" * 10_000), c.must("SET a 1")
            limit(server, last_file(server).stat().st_size + 5)
            with pytest.raises((Closed, OSError)):
                c("SET a 2")
        assert server.wait() == 1
        assert "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting..." in server.log()
        server.start()
        with server.conn() as c:
            assert c.must("GET a") == b"1" and "short read" not in server.log()


def test_a_full_tmpfs(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here; the limit on a file's size shows the same")
    try:
        with Server("engine", dir=place, appendonly="yes", appendfsync="everysec") as server, server.conn() as c:
            ballast = place / "ballast"
            ballast.write_bytes(b"x" * 150_000)
            while not isinstance(c("SET", f"k{random.random()}", "x" * 10_000), Error):
                time.sleep(0.01)
            assert c("SET a 1") == Error("MISCONF Errors writing to the AOF file: No space left on device")
            ballast.unlink()
            until(lambda: c("SET a 1") == b"OK" or info(c)["aof_last_write_status"] == "ok")
            before = digest(server)
            restart(server)
            assert digest(server) == before
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_loading_again_and_a_log_that_does_not_hold():
    with Server("engine", appendonly="yes") as server:
        with server.conn() as c:
            fill(c, 4, 5)
            before = digest(server)
            c.must("DEBUG LOADAOF")
            assert digest(server) == before
            c.must("SELECT 0"), c.must("SET behind 1")
            before = digest(server)
            restart(server)
        assert digest(server) == before
        server.process.terminate()
        server.wait()
        path = last_file(server)
        path.write_bytes(path.read_bytes().replace(b"behind", b"beh\r\n*", 1)[:-3] + b"garbage")
        server.start(ready=False)
        assert server.wait() == 1
        assert f"Bad file format reading the append only file {path.name}: make a backup" in server.log()


def test_on_and_off_at_run_time():
    with Server("engine") as server:
        with server.conn() as c:
            fill(c, 5, 10)
            c.must("CONFIG SET appendonly yes")
            c.must("SELECT 0"), c.must("INCR n")
            until(lambda: info(c)["aof_rewrite_in_progress"] == "0")
            c.must("INCR n"), c.must("WAITAOF", 1, 0, 0)
        before = digest(server)
        server.process.kill()
        server.wait()
        server.options["appendonly"] = "yes"
        server.start()
        assert digest(server) == before
        with server.conn() as c:
            c.must("CONFIG SET appendonly no")
            assert info(c)["aof_enabled"] == "0"
            c.must("INCR n")
        restart(server)
        assert digest(server) == before
