"""A large collection that goes: sound and counted at every step, and its pages come back on the way."""
import gc
import os

import psutil

from shardd.structures import alloc
from unit.inproc import Engine


def resident() -> int:
    return psutil.Process(os.getpid()).memory_info().rss


def test_a_large_set_goes_in_steps_and_its_buckets_with_it():
    """200,000 members have a bucket array of 4 MiB, mapped by itself."""
    engine = Engine()
    gc.collect()
    while engine.server.keyspace.free_step(100_000):
        pass
    engine("SET k v")
    before = alloc.used_memory()
    for at in range(0, 200_000, 5000):
        engine("SADD", "s", *[f"member:{n}" for n in range(at, at + 5000)])
    full, resident_full = alloc.used_memory(), resident()
    assert full - before > 6_000_000
    assert engine("UNLINK s") == 1
    steps = 0
    while engine.server.keyspace.free_step(100):
        steps += 1
        assert alloc.used_memory() <= full
    assert steps > 1 and alloc.used_memory() == before
    assert resident() < resident_full
    assert engine.check() <= alloc.used_memory()


def test_while_its_table_grows():
    """Both arrays of a table that is being resized are swept."""
    engine = Engine()
    gc.collect()
    while engine.server.keyspace.free_step(100_000):
        pass
    engine("SET k v")
    before = alloc.used_memory()
    for members in (98_400, 99_000, 196_700, 393_300):     # just above where the array doubles: six for each bucket
        for at in range(0, members, 4000):
            engine("SADD", "s", *[f"member:{n}" for n in range(at, min(members, at + 4000))])
        engine.check()
        assert engine("UNLINK s") == 1
        while engine.server.keyspace.free_step(100):
            pass
        assert alloc.used_memory() == before, members
