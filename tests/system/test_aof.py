"""The append-only file of an engine: what a restart finds, both ways with the real Redis, and its tools."""
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from harness import Error
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


def fill(c, seed: int = 1, keys: int = 40) -> None:
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
            c.must("ZADD", f"z{n}", *[part for word in words for part in (rng.choice([1, -2.5, "inf", 1e300, 1 / 3]), word)])
            c.must("HSET", f"h{n}", *[part for word in words for part in (word, rng.random())])
            c.must("PEXPIREAT", f"{rng.choice('slzh')}{n}", FAR + n)


def digest(server: Server) -> list[bytes]:
    with server.conn() as c:
        found = [c.must("DEBUG DIGEST")]
        for db in (0, 3):
            c.must("SELECT", db)
            found.append(c.must("DBSIZE"))
            found.append([c.must("PEXPIRETIME", key) for key in sorted(c.must("KEYS", "*"))])
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
