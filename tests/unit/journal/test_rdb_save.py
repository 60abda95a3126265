"""Snapshots: a real redis-server loads what we write and has the same data in it, whatever it is made of."""
import errno
import os
import random
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.servers import Server
from shardd.base.clock import mono_us
from shardd.base.limits import REDIS_VERSION
from shardd.journal.rdb_in import RdbSource
from shardd.journal.rdb_load import RdbLoader
from shardd.journal.rdb_load_build import Thresholds
from shardd.journal.rdb_save import save_keyspace
from shardd.structures.crc64 import crc64_of
from shardd.structures.slots import slot_of
from unit.inproc import Engine

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
    reports = list(struct.iter_unpack("=QQ", os.read(reader, 4096)))
    assert len(reports) > 1 and reports[-1] == (0, 8192) and reports == sorted(reports)
    assert all(kind == 0 and keys % 1024 == 0 for kind, keys in reports)
    while True:
        try:
            os.write(writer, bytes(1024))
        except BlockingIOError:
            break
    assert save(engine, tmp_path / "a.rdb", progress_fd=writer)[0] == 8192
    os.close(reader)
    assert save(engine, tmp_path / "a.rdb", progress_fd=writer)[0] == 8192
    os.close(writer)


def test_what_cannot_be_written(engine, tmp_path):
    engine("SET", "k", "v" * 200_000)
    for path, flags, error in (("/dev/full", os.O_WRONLY, errno.ENOSPC), (tmp_path / "a", os.O_RDONLY, errno.EBADF)):
        (tmp_path / "a").touch()
        fd = os.open(path, flags)
        with pytest.raises(OSError) as caught:
            save_keyspace(engine.server.keyspace, fd, compress=False)
        assert caught.value.errno == error
        os.close(fd)
    with pytest.raises(ValueError):
        save_keyspace(engine.server.keyspace, 1, slots=bytes(5))


def test_a_pipe_takes_it(engine):
    """There is nothing to sync, so who writes to one says so."""
    engine("SET", "k", "v")
    reader, writer = os.pipe()
    _, size = save_keyspace(engine.server.keyspace, writer, incremental_fsync=False)
    assert len(os.read(reader, 65536)) == size
    os.close(reader)
    os.close(writer)


def test_what_the_file_says_of_itself(engine, tmp_path):
    engine("SET", "k", "v")
    for base in (False, True):
        save(engine, tmp_path / "a.rdb", aof_base=base)
        report = subprocess.run([CHECK, tmp_path / "a.rdb"], capture_output=True, text=True, check=True).stdout
        said = dict(re.findall(r"AUX FIELD ([\w-]+) = '([^']*)'", report))
        assert said.keys() == {"redis-ver", "redis-bits", "ctime", "used-mem", "aof-base"}
        assert said["redis-ver"] == REDIS_VERSION and said["redis-bits"] == "64" and said["aof-base"] == str(int(base))
        assert abs(int(said["ctime"]) - time.time()) < 60 and int(said["used-mem"]) > 0


def test_some_slots(engine, redis, tmp_path):
    wanted = bytearray(16384)
    for i in range(2000):
        engine("SET", f"key:{i}", i)
        if i % 3 == 0:
            wanted[slot_of(b"key:%d" % i)] = 1
        engine("PEXPIREAT", f"key:{i}", 4_000_000_000_000)
    engine("SELECT", 4)
    engine("SET", "{key:0}", "one")
    engine("SET", "{key:1}", "not one")
    ours = [i for i in range(2000) if wanted[slot_of(b"key:%d" % i)]]
    keys, _ = save(engine, tmp_path / "a.rdb", slots=bytes(wanted))
    assert keys == len(ours) + 1 and 600 < keys < 800
    data = (tmp_path / "a.rdb").read_bytes()
    assert b"\xfe\x00\xfb" + (0x4000 | len(ours)).to_bytes(2) * 2 in data, "SELECTDB, RESIZEDB"
    loaded(redis, tmp_path / "a.rdb")
    with redis.conn() as r:
        assert sorted(r("KEYS", "*")) == sorted(b"key:%d" % i for i in ours)
        r("SELECT", 4)
        assert r("KEYS", "*") == [b"{key:0}"]
    assert save(engine, tmp_path / "a.rdb", slots=bytes(16384))[0] == 0


def test_how_keys_were_used(engine, redis, tmp_path):
    keyspace = engine.server.keyspace
    engine("SET", "old", "v")
    with redis.conn() as r:
        r.must("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        keyspace.set_time(int(time.time() * 1000) + 5_000_000)
        save(engine, tmp_path / "a.rdb", policy="volatile-lru")
        loaded(redis, tmp_path / "a.rdb")
        assert 5_000 <= r("OBJECT", "IDLETIME", "old") <= 5_100
        engine("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        engine("SET", "often", "v")
        for _ in range(3000):
            engine("GET", "often")
        save(engine, tmp_path / "b.rdb", policy="allkeys-lfu")
        r.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        loaded(redis, tmp_path / "b.rdb")
        assert r("OBJECT", "FREQ", "often") == engine("OBJECT", "FREQ", "often") > 10
        r.must("CONFIG", "SET", "maxmemory-policy", "noeviction")
        save(engine, tmp_path / "c.rdb")
        loaded(redis, tmp_path / "c.rdb")
    assert (tmp_path / "b.rdb").stat().st_size == (tmp_path / "c.rdb").stat().st_size + 2 * 2


def reloaded(path: Path, **options) -> Engine:
    """An engine of ours that has loaded the file."""
    engine = Engine("--enable-debug-command", "yes")
    fd = os.open(path, os.O_RDONLY)
    loader = RdbLoader(engine.server.keyspace, RdbSource(fd), Thresholds(engine.server.config), **options)
    while not loader.step(mono_us() + 1_000_000):
        pass
    os.close(fd)
    return engine


def test_fields_that_expire(engine, redis, tmp_path):
    """Version 12, but only while there are some; what is due is left out, and a hash of nothing else."""
    for name, width in (("small", 5), ("large", 300)):
        engine("HSET", name, *(word for i in range(width) for word in (f"f{i}", i)), "n", "x" * 60)
        for i in range(3):
            engine("HPEXPIREAT", name, 4_000_000_000_000 - 7 * i, "FIELDS", 1, f"f{i}")
    engine("HSET", "gone", "f", "v")
    engine("HPEXPIREAT", "gone", 4_000_000_000_000 - 5, "FIELDS", 1, "f")
    path = tmp_path / "a.rdb"
    assert save(engine, path)[0] == 3
    assert path.read_bytes()[:9] == b"REDIS0012"
    copy = reloaded(path)
    assert copy("DEBUG", "DIGEST") == engine("DEBUG", "DIGEST")
    for name in ("small", "large"):
        for target in (engine, copy):
            assert target("HPEXPIRETIME", name, "FIELDS", 5, "f0", "f1", "f2", "f3", "n") == [
                4_000_000_000_000, 4_000_000_000_000 - 7, 4_000_000_000_000 - 14, -1, -1]
        assert copy("OBJECT", "ENCODING", name) == engine("OBJECT", "ENCODING", name)
    engine.server.keyspace.set_time(4_000_000_000_000 - 4)
    assert save(engine, path)[0] == 2
    assert path.read_bytes()[:9] == b"REDIS0012"
    copy = reloaded(path)
    assert copy("HLEN", "small") == 4 and copy("HLEN", "large") == 299 and copy("EXISTS", "gone") == 0
    assert save(engine, path, slots=bytes(slot_of(b"gone")) + b"\1" + bytes(16383 - slot_of(b"gone")))[0] == 0
    assert path.read_bytes()[:9] == b"REDIS0010"
    engine.server.keyspace.set_time(4_000_000_000_001)
    assert save(engine, path)[0] == 2
    assert path.read_bytes()[:9] == b"REDIS0010"
    loaded(redis, path)
    with redis.conn() as r:
        assert sorted(r("HKEYS", "small")) == [b"f3", b"f4", b"n"] and r("HLEN", "large") == 298


def test_persisted_fields(engine, redis, tmp_path):
    """A hash of which no field expires any more is written as if none ever had."""
    engine("HSET", "k", "f", "v", "g", 5)
    engine("HEXPIRE", "k", 1000, "FIELDS", 2, "f", "g")
    engine("HPERSIST", "k", "FIELDS", 2, "f", "g")
    same(engine, redis, tmp_path / "a.rdb")
    assert (tmp_path / "a.rdb").read_bytes()[:9] == b"REDIS0010"


def private_kib() -> int:
    """What this process has to itself since it was forked."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"Private_Dirty:\s+(\d+)", text)[1])


def test_a_forked_child_copies_no_data(engine, tmp_path):
    """A megabyte at most, of some twenty: buffers, and what Python needs to make the call."""
    for i in range(0, 150_000, 500):
        engine("MSET", *(word for j in range(i, i + 500) for word in (f"key:{j}", f"value-of-20-bytes-{j}" * 3)))
    for i in range(300):
        engine("HSET", f"hash:{i}", *(word for j in range(200) for word in (f"field:{j}", j)))
        engine("ZADD", f"zset:{i}", *(word for j in range(200) for word in (j, f"member:{j}")))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before = private_kib()
            keys, _ = save(engine, tmp_path / "a.rdb")
            os.write(writer, struct.pack("=QQ", keys, private_kib() - before))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    keys, copied_kib = struct.unpack("=QQ", os.read(reader, 16))
    assert keys == 150_600 and copied_kib < 2048
    os.close(reader)
    os.close(writer)
