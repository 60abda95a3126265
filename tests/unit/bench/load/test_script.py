"""Requests as bytes: parsed again they are the words with their holes filled."""
import collections
import math

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load import workload
from bench.load.keys import Keys
from bench.load.script import DIGITS, SHARED, TEXT, Script
from bench.load.workload import Template, words_of
from shardd.structures.slots import slot_of
from shardd.wire.request import RequestFeed


def script(*texts: str, sizes: tuple[int, int] = (3, 3), weights: tuple[float, ...] = (), **options) -> Script:
    commands = [workload.compiled(Template(str(i), words_of(text), weights[i] if weights else 1.0))
                for i, text in enumerate(texts)]
    return Script(commands, Keys(**{"keys": 1000, "kind": "sequential"} | options),
                  workload.values(sizes[1], 1), sizes)


def parsed(made: Script, count: int) -> list[list[bytes]]:
    feed = RequestFeed()
    found = []
    for _, _, data in made.requests(count):
        requests = feed.feed(data)[0]
        assert len(requests) == 1
        found.append(requests[0])
    return found


def test_one_command_is_fixed_and_only_its_digits_change():
    made = script("SET __key__ __data__")
    assert made.fixed and made.longest == len(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$3\r\nxxx\r\n")
    value = workload.values(3, 1)
    assert parsed(made, 3) == [[b"SET", b"key:%012d" % i, value] for i in range(3)]


@given(st.integers(0, 10 ** 12 - 1))
def test_digits(number):
    made = script("GET __key__", keys=10 ** 12, start=number)
    assert parsed(made, 1) == [[b"GET", b"key:%012d" % number]]


def test_sources():
    made = script("X __key__ a__rand_int__b __rand_1st__ __rand_2nd__ __rand_1st__ __serial__ __key__")
    first, second = parsed(made, 2)
    number = [int(word.strip(b"key:ab")) for word in first[1:]]
    assert number == [0, 1, 2, 3, 2, 0, 4]
    assert [int(word.strip(b"key:ab")) for word in second[1:]] == [5, 6, 7, 8, 7, 1, 9]
    assert first[2] == b"a000000000001b"


def test_a_key_that_is_shared_stands_wherever_it_is_named():
    made = script("MGET {__rand_1st__}:a {__rand_1st__}:b __rand_2nd__")
    assert parsed(made, 2) == [
        [b"MGET", b"{%012d}:a" % n, b"{%012d}:b" % n, b"%012d" % (n + 1)] for n in (0, 2)]


def test_making_a_script_draws_nothing():
    made = script("MSET __key__ __data__ __key__ __data__ __serial__ x")
    assert parsed(made, 1)[0][1::2] == [b"key:%012d" % 0, b"key:%012d" % 1, b"%012d" % 0]


@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (1, 1000), (998, 1002), (70_000, 70_001)])
def test_values_of_a_range(sizes):
    made = script("SET __key__ pre__data__post", "APPEND __data____data__ __key__", sizes=sizes, kind="uniform")
    all_of_it = workload.values(sizes[1], 1)
    lengths = collections.Counter()
    for request in parsed(made, 2000 if sizes[1] < 2000 else 50):
        value = request[2][3:-4] if request[0] == b"SET" else request[1][:len(request[1]) // 2]
        assert value == all_of_it[:len(value)]
        assert request[0] == b"SET" or request[1] == value * 2
        lengths[len(value)] += 1
    assert min(lengths) >= sizes[0] and max(lengths) <= sizes[1]
    if sizes[1] - sizes[0] <= 5:
        assert set(lengths) == set(range(sizes[0], sizes[1] + 1))


def test_sizes_are_even():
    made = script("SET __key__ __data__", sizes=(10, 13), kind="uniform", seed=2)
    found = collections.Counter(len(request[2]) for request in parsed(made, 20_000))
    assert all(abs(found[n] - 5000) < 5 * math.sqrt(20_000 * 0.25 * 0.75) for n in range(10, 14))


def test_the_mix_has_its_weights():
    made = script("GET __key__", "SET __key__ x", "PING", weights=(6.0, 3.0, 1.0), kind="uniform", seed=7)
    found = collections.Counter(which for which, _, _ in made.requests(50_000))
    for which, share in enumerate((0.6, 0.3, 0.1)):
        assert abs(found[which] / 50_000 - share) < 5 * math.sqrt(share * (1 - share) / 50_000)


def test_slots_are_those_of_the_key():
    made = script("SET __key__ __data__", "GET {tag}x", "GET user:__rand_int__:name", "PING", "MGET {__rand_1st__}a b",
                  kind="uniform")
    for which, slot, data in made.requests(500):
        words = RequestFeed().feed(data)[0][0]
        assert slot == (-1 if which == 3 else slot_of(words[1]))


def test_hiredis_would_write_the_same():
    made = script("SET __key__ '' 'a b'")
    assert made.requests(1)[0][2] == hiredis.pack_command((b"SET", b"key:000000000000", b"", b"a b"))


@pytest.mark.parametrize("commands, data, sizes, error", [
    ([], b"", (0, 0), "0 commands"), ([{"weight": 1, "pieces": [], "key": None}] * 256, b"", (0, 0), "256 commands"),
    ([{"weight": 0, "pieces": [], "key": None}], b"", (0, 0), "above 0"),
    ([{"weight": 1, "pieces": [(TEXT, b"x")], "key": None}], b"x", (0, 2), "values of 0 to 2"),
    ([{"weight": 1, "pieces": [(DIGITS, SHARED + 9)], "key": None}], b"", (0, 0), "no source")])
def test_what_is_no_script(commands, data, sizes, error):
    with pytest.raises(ValueError, match=error):
        Script(commands, Keys(5), data, sizes)
