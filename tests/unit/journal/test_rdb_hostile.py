"""Files that are well-formed, or nearly, and made to cost more than they should."""
import os
from pathlib import Path

import pytest

from harness import rdb
from shardd.base.clock import mono_us
from shardd.base.options import Config
from shardd.journal.rdb_cut import RdbCutter
from shardd.journal.rdb_in import RdbError
from shardd.journal.rdb_load_build import Thresholds
from shardd.structures import alloc
from unit.inproc import Engine
from unit.journal.test_rdb_load import load

MIB = 1 << 20


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_what_a_file_says_of_itself_is_kept_where_it_is_short(engine: Engine) -> None:
    said = [("redis-ver", "7.0.0"), ("x" * 129, "v"), ("long", "v" * 129), ("used-mem", "9" * 128)]
    body = b"".join(b"\xfa" + rdb.string(name) + rdb.string(text) for name, text in said)
    body += b"\xfa" + rdb.lzf(b"x", 40 * MIB) + rdb.lzf(b"x", 40 * MIB)
    loader = load(engine, rdb.file(body))
    assert loader.aux == {b"redis-ver": b"7.0.0", b"used-mem": b"9" * 128}


def test_an_error_shows_the_beginning_of_a_name(engine: Engine) -> None:
    name = b"n" * 100_000
    with pytest.raises(RdbError, match="twice in database 0") as caught:
        load(engine, rdb.file(rdb.key(rdb.STRING, name, b"\1v") * 2))
    assert len(str(caught.value)) < 300


def test_what_is_announced_of_all_databases_is_believed_once() -> None:
    """Each of them was given room for all keys that the file could hold: half a GB for a file of 8 MB."""
    engine = Engine("--databases", "16")
    before = alloc.used_memory()
    names = [b"%d" % n for n in range(4000)]
    body = b"".join(b"\xfe" + rdb.length(db) + b"\xfb" + rdb.length(2**40) + b"\0" + b"".join(
        rdb.key(rdb.STRING, name, b"\1v") for name in names) for db in range(16))
    data = rdb.file(body + b"\xfa" + rdb.string("filler") + rdb.string(bytes(8 * MIB)))
    loader = load(engine, data)
    assert loader.keys == 64_000
    assert alloc.used_memory() - before < 5 * len(data)


def test_lzf_that_is_longer_than_what_it_stands_for(engine: Engine) -> None:
    literals = b"".join(b"\0%c" % c for c in b"text")         # as long as it can be: two bytes for one
    load(engine, rdb.file(rdb.key(rdb.STRING, "k", b"\xc3" + rdb.length(8) + rdb.length(4) + literals)))
    assert engine("GET", "k") == b"text"
    engine("FLUSHALL")
    for packed, n in ((9, 4), (20_000_000, 4), (1, 0), (0, 0)):
        with pytest.raises(RdbError, match="of LZF are said to be"):
            load(engine, rdb.file(rdb.key(rdb.STRING, "k", b"\xc3" + rdb.length(packed) + rdb.length(n)
                                          + bytes(packed))))


@pytest.mark.parametrize("number", [2**31, 2**63, 2**64 - 1])
def test_a_database_that_nobody_has_is_not_cut(engine: Engine, tmp_path: Path, number: int) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(rdb.file(b"\xfe" + rdb.length(number) + rdb.key(rdb.STRING, "k", b"\1v")))
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(RdbError, match="a key of database"):
        RdbCutter(fd, Thresholds(Config()), deep=True).next(10, 1000, mono_us() + 10**7)
    os.close(fd)


@pytest.mark.parametrize("expiry", [-2, -2**62, 0, 1, 2**47, 2**62, 2**63 - 1])
def test_expiries_from_beyond_all_time(engine: Engine, expiry: int) -> None:
    loader = load(engine, rdb.file(rdb.key(rdb.STRING, "k", b"\1v", expiry)), keep_expired=True)
    assert loader.keys == 1
    engine.check()
    assert engine("GET", "k") == (b"v" if expiry > 2**40 else None)
