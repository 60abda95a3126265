"""A value of any size is loaded, passed over and cut in steps, is nowhere before it is whole, and leaves nothing after
an error."""
import gc
import os
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from harness import rdb
from shardd.base.clock import mono_us
from shardd.base.options import Config
from shardd.journal.rdb_cut import RdbCutter
from shardd.journal.rdb_in import RdbError, RdbSource
from shardd.journal.rdb_load import RdbLoader
from shardd.journal.rdb_load_build import Thresholds
from shardd.structures import alloc
from unit.inproc import Engine

COUNT = 300_000
FAR = 4_000_000_000_000
NOWHERE = bytes(16_384)     # no slot


@pytest.fixture
def engine() -> Iterator[Engine]:
    gc.collect()        # engines of other tests are in cycles, and must not give their memory back under way
    gc.disable()
    yield Engine("--enable-debug-command", "yes")
    gc.enable()


def shuffled(count: int) -> list[int]:
    order = list(range(count))
    random.Random(1).shuffle(order)
    return order


def scored(order: Iterable[int]) -> list[bytes]:
    return [rdb.string(b"member:%d" % n) + struct.pack("<d", n / 3) for n in order]


# Types, their elements, versions.
VALUES: dict[str, tuple[int, Callable[[int], list[bytes]], int]] = {
    "list": (rdb.LIST, lambda count: [rdb.string(b"element:%d" % n) for n in range(count)], 10),
    "set": (rdb.SET, lambda count: [rdb.string(b"member:%d" % n) for n in range(count)], 10),
    "hash": (rdb.HASH, lambda count: [rdb.string(b"field:%d" % n) + rdb.string(b"%d" % n) for n in range(count)], 10),
    "zset": (rdb.ZSET_2, lambda count: scored(range(count, 0, -1)), 10),
    "zset in any order": (rdb.ZSET_2, lambda count: scored(shuffled(count)), 10),
    "zset in decimal": (rdb.ZSET, lambda count: [rdb.string(b"member:%d" % n) + rdb.string(b"%d" % n)
                                                 for n in range(count)], 10),
    "timed hash": (rdb.HASH_METADATA_PRE_GA, lambda count: [
        rdb.length(FAR + n) + rdb.string(b"field:%d" % n) + rdb.string(b"v") for n in range(count)], 12),
    "timed hash of Valkey": (rdb.HASH_2, lambda count: [
        rdb.string(b"field:%d" % n) + rdb.string(b"v") + struct.pack("<q", FAR + n if n % 2 else -1)
        for n in range(count)], 80),
}


def made(name: str, count: int) -> tuple[int, list[bytes], int]:
    kind, elements, version = VALUES[name]
    return kind, elements(count), version


def packed(count: int) -> dict[str, tuple[int, bytes]]:
    """Types, and values that are one block, or nodes of one."""
    words = [b"word:%d" % n for n in range(count)]
    pairs = [word for n in range(count // 2) for word in (b"word:%d" % n, n)]
    return {
        "list of listpacks": (rdb.LIST_QUICKLIST_2, rdb.length(1) + b"\2" + rdb.string(rdb.listpack(words))),
        "list of ziplists": (rdb.LIST_ZIPLIST, rdb.string(rdb.ziplist(words))),
        "intset": (rdb.SET_INTSET, rdb.string(rdb.intset(range(count)))),
        "set": (rdb.SET_LISTPACK, rdb.string(rdb.listpack(words))),
        "hash": (rdb.HASH_LISTPACK, rdb.string(rdb.listpack(pairs))),
        "zset": (rdb.ZSET_LISTPACK, rdb.string(rdb.listpack(pairs))),
    }


def file(kind: int, value: bytes, version: int = 10) -> bytes:
    return rdb.file(rdb.key(kind, "k", value), version, "VALKEY" if version >= 80 else "REDIS")


def loader_of(engine: Engine, data: bytes, **options) -> RdbLoader:
    return RdbLoader(engine.server.keyspace, RdbSource(data), Thresholds(engine.server.config), **options)


def load(engine: Engine, loader: RdbLoader, step_us: int) -> int:
    """How many steps it took; between two of them no key is there."""
    steps = 1
    while not loader.step(mono_us() + step_us):
        steps += 1
        if steps % 256 == 0:
            assert engine("DBSIZE") == 0
    return steps


def settle(engine: Engine) -> int:
    """What is in use when nothing is still to be freed."""
    while engine.server.keyspace.free_step(100_000):
        pass
    return alloc.used_memory()


def both(engine: Engine, data: bytes, count: int, *look: str) -> None:
    """Loaded in many steps it is what it is when loaded in one."""
    assert load(engine, loader_of(engine, data), 0) > count // 40
    engine.check()
    seen = engine(*look)
    engine("FLUSHALL")
    settle(engine)
    load(engine, loader_of(engine, data), 10**9)
    assert engine(*look) == seen and engine("DBSIZE") == 1


@pytest.mark.parametrize("name", ["list", "set", "hash", "zset"])
def test_a_large_value_is_loaded_in_steps(engine: Engine, name: str) -> None:
    kind, elements, version = made(name, COUNT)
    both(engine, file(kind, rdb.length(COUNT) + b"".join(elements), version), COUNT, "DUMP", "k")


@pytest.mark.parametrize("name", VALUES)
def test_so_is_any_kind(engine: Engine, name: str) -> None:
    kind, elements, version = made(name, 20_000)
    both(engine, file(kind, rdb.length(20_000) + b"".join(elements), version), 20_000, "DEBUG", "DIGEST")


@pytest.mark.parametrize("name", packed(2))
def test_so_are_the_elements_of_a_block(engine: Engine, name: str) -> None:
    kind, value = packed(20_000)[name]
    both(engine, file(kind, value), 10_000, "DEBUG", "DIGEST")


@pytest.mark.parametrize("name", VALUES)
def test_an_error_in_it_frees_what_was_made_in_steps(engine: Engine, name: str) -> None:
    count = COUNT if name == "zset" else 30_000
    kind, elements, version = made(name, count)
    elements[count * 2 // 3] = b"\xc5"      # no string, no length
    before = settle(engine)
    loader = loader_of(engine, file(kind, rdb.length(count) + b"".join(elements), version))
    with pytest.raises(RdbError):
        load(engine, loader, 0)
    assert engine.server.keyspace.pending_free() == 1 and alloc.used_memory() > before + count
    assert settle(engine) == before and engine("DBSIZE") == 0


def test_a_member_that_is_there_twice_is_found_late(engine: Engine) -> None:
    for name in ("set", "hash", "zset"):
        kind, elements, version = made(name, 30_000)
        elements[20_000] = elements[5]
        before = settle(engine)
        with pytest.raises(RdbError, match="twice"):
            load(engine, loader_of(engine, file(kind, rdb.length(30_000) + b"".join(elements), version)), 0)
        assert settle(engine) == before


def test_a_loading_that_is_given_up_leaves_nothing(engine: Engine) -> None:
    kind, elements, version = made("zset", 30_000)
    before = settle(engine)
    loader = loader_of(engine, file(kind, rdb.length(30_000) + b"".join(elements), version))
    for _ in range(100):
        loader.step(0)
    assert settle(engine) > before
    del loader
    assert settle(engine) == before


@pytest.mark.parametrize("name", VALUES)
def test_a_large_value_is_passed_over_in_steps(engine: Engine, name: str) -> None:
    kind, elements, version = made(name, 30_000)
    data = file(kind, rdb.length(30_000) + b"".join(elements), version)
    loader = loader_of(engine, data, slots=NOWHERE)
    assert load(engine, loader, 0) > 800
    assert loader.foreign == 1 and loader.keys == 0 and loader.position == len(data)


def test_so_is_what_cannot_be_held(engine: Engine) -> None:
    pending = b"".join(bytes(24) + rdb.length(1) for _ in range(10_000))
    consumer = rdb.string("consumer") + bytes(16) + rdb.length(10_000) + bytes(160_000)
    stream = (rdb.length(10_000) + (rdb.string(bytes(16)) + rdb.string("listpack")) * 10_000 + bytes(8) + rdb.length(2)
              + (rdb.string("group") + bytes(3) + rdb.length(10_000) + pending + rdb.length(2) + 2 * consumer) * 2)
    module = rdb.length(5) + b"\x02\x07" * 10_000 + b"\0"
    names = b"\xf3" + rdb.string("move") + rdb.length(10_000) + bytes(20_000)       # an opcode: between two keys
    for data in (file(rdb.STREAM_3, stream, 11), file(rdb.MODULE_2, module, 11),
                 rdb.file(b"\xf7" + module + rdb.key(rdb.STRING, "k", rdb.string("v")), 11),
                 rdb.file(names + rdb.key(rdb.STRING, "k", rdb.string("v")), 80, "VALKEY")):
        loader = loader_of(engine, data, skip_unsupported=True)
        assert load(engine, loader, 0) > 300
        assert sum(loader.skipped.values()) == 1 and loader.position == len(data)
        engine("FLUSHALL")


def test_what_is_said_of_a_key_holds_behind_what_is_passed_over(engine: Engine) -> None:
    data = rdb.file(b"\xfc" + struct.pack("<Q", FAR) + b"\xf7" + rdb.length(5) + b"\x02\x07" * 100 + b"\0"
                    + rdb.key(rdb.STRING, "k", rdb.string("v")) + rdb.key(rdb.STRING, "l", rdb.string("v")), 11)
    load(engine, loader_of(engine, data, skip_unsupported=True), 10**9)
    assert engine("PEXPIRETIME", "k") == FAR and engine("PEXPIRETIME", "l") == -1


def test_opcodes_alone_end_a_step_too(engine: Engine) -> None:
    data = rdb.file(b"\xfe\0" * 10_000)
    assert load(engine, loader_of(engine, data), 0) > 300


@pytest.mark.parametrize("deep", [True, False])
def test_a_large_value_is_cut_in_steps(engine: Engine, tmp_path: Path, deep: bool) -> None:
    kind, elements, version = made("zset", 30_000)
    value = rdb.length(30_000) + b"".join(elements)
    path = tmp_path / "dump.rdb"
    path.write_bytes(rdb.file(rdb.key(kind, "k", value) + rdb.key(rdb.STRING, "l", rdb.string("v")), version))
    before = settle(engine)
    fd = os.open(path, os.O_RDONLY)
    cutter = RdbCutter(fd, Thresholds(Config()), deep=deep)
    steps, found = 0, []
    while not cutter.done:
        found += cutter.next(1000, 1 << 40, 0)
        steps += 1
    os.close(fd)
    assert steps > 800 and settle(engine) == before
    assert [(key, payload) for _, key, _, _, _, payload in found] == [
        (b"k", None if deep else rdb.payload(kind, value, version)),
        (b"l", None if deep else rdb.payload(rdb.STRING, rdb.string("v"), version))]
