"""Snapshots: a real redis-server loads what we write and has the same data in it, whatever it is made of."""
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.servers import Server
from unit.inproc import Engine
from shardd.journal.rdb_save import save_keyspace
from shardd.structures.crc64 import crc64_of

CHECK = shutil.which("redis-check-rdb")


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with Server("oracle") as server:
        yield server


@pytest.fixture
def engine() -> Engine:
    return Engine("--databases", "16", "--enable-debug-command", "yes")


def save(engine: Engine, path: Path, **options) -> tuple[int, int]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        return save_keyspace(engine.server.keyspace, fd, **options)
    finally:
        os.close(fd)


def loaded(redis: Server, path: Path) -> bytes:
    """The digest of the real server, which has loaded the file."""
    shutil.copy(path, redis.dir / "dump.rdb")
    with redis.conn() as r:
        r.must("DEBUG", "RELOAD", "NOSAVE")
        return r("DEBUG", "DIGEST")


def same(engine: Engine, redis: Server, path: Path, **options) -> None:
    """Save, have the file checked and loaded, and compare."""
    keys, size = save(engine, path, **options)
    data = path.read_bytes()
    assert size == len(data)
    assert data[-9] == 255
    if options.get("checksum", True):
        assert struct.unpack("<Q", data[-8:])[0] == crc64_of(data[:-8])
    report = subprocess.run([CHECK, path], capture_output=True, text=True, check=True).stdout
    assert "looks OK" in report and f"[info] {keys} keys read" in report
    assert loaded(redis, path) == engine("DEBUG", "DIGEST")


LONG = "long " * 30


def fill(call, rng: random.Random) -> None:
    """Keys of every type, in every encoding."""
    for i, value in enumerate([0, 1, -1, 127, -128, 128, -129, 32767, -32768, 32768, 2**31 - 1, -2**31, 2**31,
                               -2**31 - 1, 2**63 - 1, -2**63]):
        call("SET", f"int:{i}", value)
    for i, value in enumerate(["", "x", "007", "-0", "+5", "12345678901", "99999999999", "a" * 20, "a" * 21, "b" * 44,
                               LONG, "c" * 63, "d" * 64, "e" * 16383, "f" * 16384, rng.randbytes(20),
                               rng.randbytes(300), rng.randbytes(70_000), "g" * 300_000]):
        call("SET", f"string:{i}", value)
    call("SET", "heap", "some")
    call("APPEND", "heap", "thing that is " + LONG)
    call("SET", LONG, "a key that is compressed")
    call("SET", "123", "a key that is a number")
    call("SET", rng.randbytes(400), "a wide key")
    for name, members in (("intset16", range(5)), ("intset32", (1, 70_000)), ("intset64", (1, -2**40)),
                          ("listpack", ("a", "b", 17, LONG[:60], -5)), ("ints", range(1000)),
                          ("table", [f"m{i}" for i in range(700)] + list(range(50)))):
        call("SADD", f"set:{name}", *members)
    for name, count, text in (("small", 10, "x"), ("long", 3, LONG), ("large", 600, "value")):
        for i in range(count):
            call("HSET", f"hash:{name}", f"field{i}", text + str(i))
        for i, score in zip(range(count), (0, -1.5, 1e300, float("inf"), float("-inf"), 0.1, 3, *range(1000))):
            call("ZADD", f"zset:{name}", score, text + str(i))
    call("RPUSH", "list:one", "only", 17, LONG)
    for i in range(1000):
        call("RPUSH", "list:many", f"element {i}", i, "abc" * (i % 40))
    call("RPUSH", "list:large", "first", "x" * 10_000, rng.randbytes(100_000), "last")


def test_every_type_and_encoding(engine, redis, tmp_path):
    fill(engine, random.Random(1))
    assert save(engine, tmp_path / "a.rdb")[0] == engine("DBSIZE")
    same(engine, redis, tmp_path / "a.rdb")
    with redis.conn() as r:
        for key in r("KEYS", "*"):
            theirs, ours = r("OBJECT", "ENCODING", key), engine("OBJECT", "ENCODING", key)
            # 7.0 has no small sets of words, and calls every list a quicklist
            assert theirs == ours or (theirs, ours) in [(b"hashtable", b"listpack"), (b"quicklist", b"listpack"),
                                                        (b"embstr", b"raw")], key


@pytest.mark.parametrize("compress", [True, False])
def test_compressed_lists(engine, redis, tmp_path, compress):
    """What a list keeps as LZF is LZF in the file, in either case."""
    engine("CONFIG", "SET", "list-compress-depth", 1)
    for i in range(1000):
        engine("RPUSH", "list", f"element {i}", "abc" * (i % 60))
    engine("RPUSH", "list", "x" * 10_000, "y" * 30_000, "end")
    same(engine, redis, tmp_path / "a.rdb", compress=compress)
    assert (tmp_path / "a.rdb").stat().st_size < 50_000


def test_without_compression_and_checksum(engine, redis, tmp_path):
    fill(engine, random.Random(2))
    same(engine, redis, tmp_path / "packed.rdb")
    same(engine, redis, tmp_path / "plain.rdb", compress=False)
    same(engine, redis, tmp_path / "unsure.rdb", compress=False, checksum=False, incremental_fsync=False)
    sizes = [(tmp_path / f"{name}.rdb").stat().st_size for name in ("packed", "plain", "unsure")]
    assert sizes[0] < sizes[1] - 300_000 and sizes[1] == sizes[2]
    assert (tmp_path / "unsure.rdb").read_bytes()[-8:] == bytes(8)


def test_many_keys(engine, redis, tmp_path):
    """Whatever is being written when the buffer is full, and the file synced."""
    rng = random.Random(3)
    for i in range(80):
        engine("MSET", *(word for j in range(100) for word in (f"key:{100 * i + j}", rng.randbytes(rng.choice(
            [1, 5, 40, 63, 64, 65, 100, 300])))))
        engine("SADD", f"set:{i}", *range(-i, i), *(rng.randbytes(9) for _ in range(i)))
        engine("ZADD", f"zset:{i}", *(word for j in range(200) for word in (j / 3, rng.randbytes(8))))
        engine("PEXPIREAT", f"key:{i}", 4_000_000_000_000 + i)
    engine("SET", "large", rng.randbytes(9_000_000))
    same(engine, redis, tmp_path / "a.rdb")
    same(engine, redis, tmp_path / "a.rdb", compress=False, incremental_fsync=False)


def test_databases_and_expiries(engine, redis, tmp_path):
    engine("SET", "k", "v", "PXAT", 4_000_000_000_123)
    engine("SELECT", 3)
    engine("SET", "k", "w")
    engine("SELECT", 15)
    engine("RPUSH", "l", "a")
    engine("PEXPIREAT", "l", 5_000_000_000_001)
    same(engine, redis, tmp_path / "a.rdb")
    with redis.conn() as r:
        assert r("PEXPIRETIME", "k") == 4_000_000_000_123
        r("SELECT", 3)
        assert r("GET", "k") == b"w" and r("PTTL", "k") == -1
        r("SELECT", 15)
        assert r("PEXPIRETIME", "l") == 5_000_000_000_001


def test_nothing(engine, redis, tmp_path):
    same(engine, redis, tmp_path / "a.rdb")
    assert save(engine, tmp_path / "a.rdb")[0] == 0


def test_progress_and_pauses(engine, tmp_path):
    """A report names 0 and the keys so far; a full pipe, or nobody at its end, is no error."""
    for i in range(0, 8192, 64):
        engine("MSET", *(f"key:{j // 2}" for j in range(2 * i, 2 * i + 128)))
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    save(engine, tmp_path / "a.rdb", progress_fd=writer, key_delay_us=-2)
    assert struct.unpack("=QQ", os.read(reader, 16)) in [(0, 4096), (0, 8192)]
    while True:
        try:
            os.write(writer, bytes(1024))
        except BlockingIOError:
            break
    assert save(engine, tmp_path / "a.rdb", progress_fd=writer, key_delay_us=-2)[0] == 8192
    os.close(reader)
    assert save(engine, tmp_path / "a.rdb", progress_fd=writer, key_delay_us=-2)[0] == 8192
    os.close(writer)
