"""Reading a file piece by piece: whatever lies across the end of a piece, and however large it is."""
import os
import random

import pytest

from harness import rdb
from shardd.base import limits
from shardd.base.clock import mono_us
from shardd.journal.rdb_in import RdbError, RdbSource
from shardd.journal.rdb_load import RdbLoader
from shardd.journal.rdb_load_build import Thresholds
from unit.inproc import Engine

SIZES = [0, 1, 100, 5000, limits.RDB_READ_BYTES - 1, limits.RDB_READ_BYTES, limits.RDB_READ_BYTES + 1, 700_000,
         3_000_000]


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def opened(tmp_path):
    """A file with these bytes: its descriptor, which is closed at the end."""
    fds = []

    def make(data: bytes) -> int:
        path = tmp_path / "file"
        path.write_bytes(data)
        fds.append(os.open(path, os.O_RDWR))
        return fds[-1]

    yield make
    for fd in fds:
        os.close(fd)


def loader_of(engine, fd: int, **options) -> RdbLoader:
    return RdbLoader(engine.server.keyspace, RdbSource(fd, **options), Thresholds(engine.server.config))


def test_strings_of_all_sizes(engine, opened):
    rng = random.Random(3)
    values = {b"k%d" % n: rng.randbytes(rng.choice(SIZES[:4] + SIZES * (n % 10 == 0))) for n in range(300)}
    body = b"".join(rdb.key(rdb.STRING, key, rdb.string(value)) for key, value in values.items())
    fields = {b"f%d" % n: rng.randbytes(rng.choice(SIZES[2:8])) for n in range(12)}
    data = rdb.file(body + rdb.key(rdb.HASH, "h", rdb.pairs(fields)))
    loader = loader_of(engine, opened(data))
    while not loader.step(mono_us()):
        assert 0 < loader.position < loader.total == len(data)
    assert loader.position == len(data) and loader.keys == 301
    assert {key: engine("GET", key) for key in values} == values
    found = engine("HGETALL", "h")
    assert dict(zip(found[::2], found[1::2])) == fields
    engine.check()


def test_what_is_passed_over(engine, opened):
    data = rdb.file(b"".join(rdb.key(rdb.STRING, f"{n}", rdb.string(bytes(size)), 1) for n, size in enumerate(SIZES)))
    loader = loader_of(engine, opened(data))
    assert loader.step(mono_us() + 10**7) and loader.expired == len(SIZES)


def test_it_begins_where_the_file_stands_and_leaves_the_rest(engine, opened):
    data = rdb.file(rdb.key(rdb.STRING, "k", rdb.string("v")))
    fd = opened(b"before" + data + b"behind" * 100_000)
    os.lseek(fd, 6, os.SEEK_SET)
    loader = loader_of(engine, fd)
    assert loader.step(mono_us()) and loader.position == 6 + len(data)


@pytest.mark.parametrize("left", [0, 8, 9, 20, 300_000, 699_990])
def test_the_end_is_missing(engine, opened, left):
    data = rdb.file(rdb.key(rdb.STRING, "k", rdb.string(bytes(700_000))))
    loader = loader_of(engine, opened(data[:left]))
    with pytest.raises(RdbError, match="too short|too early|said to have") as caught:
        loader.step(mono_us() + 10**7)
    assert caught.value.offset <= left


def test_it_is_cut_while_it_is_read(engine, opened):
    fd = opened(rdb.file(b"".join(rdb.key(rdb.STRING, f"{n}", rdb.string(bytes(5000))) for n in range(1000))))
    loader = loader_of(engine, fd)
    assert not loader.step(0)
    os.ftruncate(fd, 1_000_000)
    with pytest.raises(RdbError, match="shorter than it was"):
        loader.step(mono_us() + 10**7)


def test_a_wrong_checksum_that_nobody_asks_for(engine, opened):
    data = rdb.file(rdb.key(rdb.STRING, "k", rdb.string("v")), checksum=7)
    with pytest.raises(RdbError, match="wrong checksum"):
        loader_of(engine, opened(data)).step(mono_us())
    engine("FLUSHALL")
    assert loader_of(engine, opened(data), sums=False).step(mono_us())


def test_it_cannot_be_read(engine, opened, tmp_path):
    fd = opened(rdb.file(b""))
    other = os.open(tmp_path / "file", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            loader_of(engine, other).step(mono_us())
    finally:
        os.close(other)
    assert loader_of(engine, fd).step(mono_us())
