"""RESTORE and loading where memory is refused at one allocation after the other: an error, and nothing is left over."""
import gc
import math
import struct

import pytest

from harness import OK, Error, rdb
from shardd.base.clock import mono_us
from shardd.journal.rdb_in import RdbSource
from shardd.journal.rdb_load import RdbLoader
from shardd.journal.rdb_load_build import Thresholds
from shardd.structures import alloc
from unit.inproc import Engine

OOM = Error("OOM not enough memory for this value")
FAR = 4_000_000_000_000
MANY = [b"member:%d" % n for n in range(300)]
FLAT = [word for n in range(20) for word in (b"field:%d" % n, n)]
VALUES = {
    "string": (rdb.STRING, rdb.string("x" * 3000)),
    "list": (rdb.LIST, rdb.strings(MANY)),
    "list of nodes": (rdb.LIST_QUICKLIST_2, rdb.length(3) + b"\2" + rdb.string(rdb.listpack(FLAT)) + b"\1"
                      + rdb.string("x" * 9000) + b"\2" + rdb.string(rdb.listpack(FLAT))),
    "small list": (rdb.LIST_ZIPLIST, rdb.string(rdb.ziplist(FLAT))),
    "intset": (rdb.SET_INTSET, rdb.string(rdb.intset(range(100)))),
    "large intset": (rdb.SET_INTSET, rdb.string(rdb.intset(range(600)))),
    "integers": (rdb.SET, rdb.strings([b"1", b"2", b"70000", b"text", b"x" * 65])),
    "set": (rdb.SET, rdb.strings(MANY)),
    "small set": (rdb.SET_LISTPACK, rdb.string(rdb.listpack(MANY[:50]))),
    "zset": (rdb.ZSET_2, rdb.length(300) + b"".join(rdb.string(m) + struct.pack("<d", math.sqrt(n))
                                                    for n, m in enumerate(MANY))),
    "zset out of order": (rdb.ZSET_2, rdb.length(30) + b"".join(rdb.string(m) + struct.pack("<d", -n)
                                                                for n, m in enumerate(MANY[:30]))),
    "small zset": (rdb.ZSET_LISTPACK, rdb.string(rdb.listpack(FLAT))),
    "hash": (rdb.HASH, rdb.length(600) + b"".join(rdb.string(b"f%d" % n) + rdb.string("v") for n in range(600))),
    "small hash": (rdb.HASH_LISTPACK, rdb.string(rdb.listpack(FLAT))),
    "a hash that becomes large": (rdb.HASH_ZIPLIST, rdb.string(rdb.ziplist([*FLAT, b"x" * 65, b"v"]))),
    "timed hash": (rdb.HASH_LISTPACK_EX, struct.pack("<Q", FAR) + rdb.string(rdb.listpack(
        [word for n in range(20) for word in (n, b"v", FAR + n)]))),
}


@pytest.fixture
def engine():
    gc.collect()        # engines of other tests are in cycles, and must not give their memory back under a limit
    gc.disable()
    yield Engine("--databases", "1")
    alloc.set_limit(0)
    gc.enable()


def settled(engine) -> int:
    """What is in use when nothing is still to be freed."""
    while engine.server.keyspace.free_step(100_000):
        pass
    return alloc.used_memory()


def in_turn(engine, load) -> int:
    """Call `load` with ever more memory until it succeeds; how often it did not. It says whether it was refused."""
    room = refused = 0
    before = settled(engine)
    while True:
        alloc.set_limit(before + room)
        done = load()
        alloc.set_limit(0)
        after = settled(engine)
        if done:
            engine.check()
            return refused
        assert engine("DBSIZE") == 1 and after == before
        refused += 1
        room = max(room + 8, room * 6 // 5)


@pytest.mark.parametrize("name", VALUES)
def test_restore(engine, name):
    kind, value = VALUES[name]
    payload = rdb.payload(kind, value, 12)
    engine("SET", "another", "v")

    def load() -> bool:
        reply = engine("RESTORE", "k", 0, payload)
        assert reply in (OK, OOM)
        return reply == OK

    assert in_turn(engine, load) > 3


@pytest.mark.parametrize("name", VALUES)
def test_a_file(engine, name):
    kind, value = VALUES[name]
    data = rdb.file(rdb.key(kind, "k", value, FAR), 12)
    engine("SET", "another", "v")

    def load() -> bool:
        loader = RdbLoader(engine.server.keyspace, RdbSource(data), Thresholds(engine.server.config))
        try:
            while not loader.step(mono_us() + 1_000_000):
                pass
        except MemoryError:
            return False
        return True

    assert in_turn(engine, load) > 3
