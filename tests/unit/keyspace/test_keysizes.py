"""keyspace.keysizes: how many keys have which size, at once or by walks in steps."""

import pytest

from shardd.base import limits
from shardd.commands.info_join import combine_field
from shardd.keyspace.keysizes import bin_name
from unit.inproc import Engine


@pytest.mark.parametrize("bits, name", [(0, "1"), (9, "512"), (10, "1K"), (19, "512K"), (20, "1M"), (31, "2G"),
                                        (40, "1T"),
                                        (50, "1P")])
def test_bins_have_redis_names(bits, name):
    assert bin_name(bits) == name


def test_every_type_and_database():
    engine = Engine()
    engine("SET", "empty", "")
    engine("SET", "number", "7")
    for n in (15, 16, 31, 32):
        engine("SET", f"s{n}", "x" * n)
    engine("SADD", "set", 1, 2, 3)
    engine("HSET", "hash", *[word for n in range(1000) for word in (n, n)])
    engine("SELECT", 3)
    engine("HSET", "hash", "f", "v")
    assert engine.server.keysizes.fields() == {
        "db0_distrib_strings_sizes": {"1": 1, "8": 1, "16": 2, "32": 1}, "db0_distrib_sets_items": {"2": 1},
        "db0_distrib_hashes_items": {"512": 1}, "db3_distrib_hashes_items": {"1": 1}}
    engine("FLUSHALL")
    assert engine.server.keysizes.fields() == {}


def test_many_keys_are_walked_in_steps():
    engine = Engine()
    count = limits.KEYSIZES_AT_ONCE_KEYS + 1000
    engine("MSET", *[word for n in range(count) for word in (f"{{tag}}{n}" if n % 2 else n, "abc")])
    sizes = engine.server.keysizes
    assert sizes.fields() == {}, "the first walk is yet to be made"
    steps = 1
    while sizes.step(1):
        steps += 1
    assert steps > 10
    assert sizes.fields() == {"db0_distrib_strings_sizes": {"2": count}}
    engine("FLUSHALL")
    assert sizes.fields() == {}


def test_a_walk_over_a_database_that_was_swapped_begins_anew():
    engine = Engine()
    count = limits.KEYSIZES_AT_ONCE_KEYS + 1000
    engine("MSET", *[word for n in range(count) for word in (n, "abc")])
    sizes = engine.server.keysizes
    sizes.fields()
    sizes.step(1)
    engine("SWAPDB", 0, 1)
    while sizes.step(1):
        pass
    assert sizes.fields() == {"db1_distrib_strings_sizes": {"2": count}}


def test_several_engines_are_added_up_in_the_order_of_sizes():
    assert combine_field("Keysizes", "db0_distrib_strings_sizes", ["8=1,2K=5", "1=2,8=3,512=1,1M=1"]) \
        == "1=2,8=4,512=1,2K=5,1M=1"
