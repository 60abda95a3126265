"""SORT and SORT_RO: every option, on the collections that can be sorted. A plain client's BY and GET patterns reach
keys of any slot, whichever engine has them."""

from random import Random

import pytest

from harness import OK, Error, Status
from harness.texts import NOT_INT, SYNTAX, WRONGTYPE, arity

NOT_DOUBLE = Error("ERR One or more scores can't be converted into double")
SEVERAL_SLOTS = "a cluster client's patterns stay in one slot"
MAKERS = {"set": "SADD", "list": "RPUSH", "zset": "ZADD"}
plain = pytest.mark.not_on("cluster", reason=SEVERAL_SLOTS)


@pytest.fixture(params=MAKERS)
def put(request, r):
    """Makes a key a collection of these elements."""
    def make(key, *elements):
        r("DEL", key)
        words = elements if request.param != "zset" else [
            word for place, element in enumerate(elements) for word in (place, element)]
        assert r(MAKERS[request.param], key, *words) == len(elements)
    make.kind = request.param
    return make


def texts(*what):
    return [str(one).encode() for one in what]


def test_numbers(r, put):
    put("k", 10, 9, -1, 2.5, "1e2", "-inf", "0x10", " 7")
    ordered = texts("-inf", -1, 2.5, " 7", 9, 10, "0x10", "1e2")
    assert r("SORT k") == ordered == r("SORT_RO k") == r("sort k asc") == r("SORT k DESC ASC")
    assert r("SORT k DESC") == ordered[::-1] == r("SORT_RO k desc")
    put("k", 1, "1.0", "01", "+1", "1e0", 0)
    assert r("SORT k") == texts(0, "+1", "01", 1, "1.0", "1e0"), "equal numbers by their bytes"
    assert r("SORT k DESC") == texts("1e0", "1.0", 1, "01", "+1", 0)
    put("k", 12345678901234567890, 9007199254740993, 9007199254740992, -9223372036854775808)
    assert r("SORT k") == texts(-9223372036854775808, 9007199254740992, 9007199254740993, 12345678901234567890)
    put("k", "", 1, "-1")
    assert r("SORT k") == texts(-1, "", 1), "nothing is 0"


def test_zeros_and_ends_of_the_range(r, put):
    put("k", 0, "-0", "0.0", "-0.0", "1e-300", "-inf", "inf", 1)
    if put.kind == "list":
        r("RPUSH k 1 1 0 -0")
    ordered = r("SORT k")
    assert ordered == sorted(ordered, key=lambda text: (float(text), text))
    assert ordered[0] == b"-inf" and ordered[-1] == b"inf" and ordered[1].startswith(b"-0"), "the two zeros are one"
    assert r("SORT k DESC") == ordered[::-1]


@pytest.mark.parametrize("count", [47, 48, 49, 3000])
def test_numbers_of_all_widths(r, put, count):
    random = Random(count)
    texts = {random.choice([
        str(random.randint(-9, 9)), str(random.getrandbits(63)), str(-random.getrandbits(40)),
        repr(random.uniform(-1, 1)), f"{random.uniform(0, 1e9):.3f}",
        f"{random.randint(1, 9)}e{random.randint(-300, 300)}", f"{random.randint(0, 99):05d}", hex(random.getrandbits(20))]) for _ in range(count)}
    put("k", *texts)
    ordered = sorted((text.encode() for text in texts), key=lambda text: (
        float(int(text, 16)) if b"x" in text else float(text), text))
    assert r("SORT k") == ordered and r("SORT k DESC") == ordered[::-1]
    assert r("SORT k LIMIT 7 11") == ordered[7:18] and r("SORT k DESC LIMIT 0 5") == ordered[:-6:-1]
    assert r("SORT", "k", "LIMIT", len(ordered) - 2, 2**62) == ordered[-2:]
    assert r("SORT k STORE {k}d") == len(ordered) and r("LRANGE {k}d 0 -1") == ordered


def test_many_equal_numbers(r):
    elements = [str(n % 7) + "." + "0" * (n % 90) for n in range(2000)]
    r("RPUSH", "k", *elements)
    ordered = sorted((text.encode() for text in elements), key=lambda text: (float(text), text))
    assert r("SORT k") == ordered and r("SORT k DESC LIMIT 90 400") == ordered[::-1][90:490]


@pytest.mark.parametrize("make", [
    lambda n: f"user:{n * 7919 % 5000:08d}:x",                      # what differs is behind what all begin with
    lambda n: "x" * (n * 7919 % 900),                               # each is the beginning of the next
    lambda n: "p" * (n % 3) * 40 + str(n * 31 % 1000),
    lambda n: "same" + "\0" * (n % 60) if n % 2 else f"{n}",
    lambda n: chr(n * 7919 % 0x500) + "tail"])
def test_texts_of_all_kinds(r, put, make):
    texts = {make(n).encode() for n in range(1500)}
    put("{k}s", *texts)
    ordered = sorted(texts)
    assert r("SORT {k}s ALPHA STORE {k}d") == len(ordered) and r("LRANGE {k}d 0 -1") == ordered
    assert r("SORT {k}s ALPHA DESC LIMIT 3 9 STORE {k}d") == 9 and r("LRANGE {k}d 0 -1") == ordered[::-1][3:12]
    if not any(b"\0" in text for text in texts):
        assert r("SORT {k}s ALPHA") == ordered and r("SORT {k}s ALPHA LIMIT 700 9") == ordered[700:709]


def test_a_nul_ends_a_text_unless_it_is_stored(r):
    r("RPUSH", "{k}l", "b\0a", "b\0b", "a\0z", "b", "a")
    assert r("SORT {k}l ALPHA") == [b"a\0z", b"a", b"b\0a", b"b\0b", b"b"]
    assert r("SORT {k}l ALPHA STORE {k}d") == 5
    assert r("LRANGE {k}d 0 -1") == [b"a", b"a\0z", b"b", b"b\0a", b"b\0b"]


@plain
def test_equal_weights_stay_in_their_order(r):
    count = 300
    r("RPUSH", "k", *range(count))
    r("MSET", *[word for n in range(count) if n % 5 for word in (f"w{n}", f"{n % 5}")])
    by_rest = [texts(*range(rest, count, 5)) for rest in range(5)]
    ordered = sum(by_rest, [])
    assert r("SORT k BY w* ALPHA") == ordered, "those without a weight first"
    assert r("SORT k BY w* ALPHA DESC") == sum(by_rest[::-1], [])
    assert r("SORT k BY w* ALPHA GET # GET w* STORE d") == 2 * count
    assert r("LRANGE d 0 -1")[::2] == ordered
    assert r("SORT k BY none* ALPHA") == texts(*range(count)) == r("SORT k BY none* ALPHA DESC")


def test_what_is_no_number(r, put):
    for wrong in ("a", "nan", "1x", "1 ", "--1"):
        put("k", 1, 2, wrong)
        assert r("SORT k") == NOT_DOUBLE and r("SORT_RO k LIMIT 0 1") == NOT_DOUBLE and r("SORT k DESC") == NOT_DOUBLE
        assert len(r("SORT k ALPHA")) == 3 and len(r("SORT k BY nosort")) == 3
    put("k", 1, "2\0tail")
    assert r("SORT k") == [b"1", b"2\0tail"], "C's numbers end at a NUL"


@pytest.mark.not_on("oracle", reason="7.0 leaves errno set, and then finds no number good any more")
def test_what_no_double_holds(r, put):
    for wrong in ("1e999", "-1e999", "1e-999"):
        put("k", 1, 2, wrong)
        assert r("SORT k") == NOT_DOUBLE
        put("k", 2, "1.5", "1e308")
        assert r("SORT k") == texts("1.5", 2, "1e308")


def test_texts(r, put):
    put("k", "banana", "Apple", "apple", "10", "9", "", "\xe9")
    ordered = [b"", b"10", b"9", b"Apple", b"apple", b"banana", "\xe9".encode()]
    assert r("SORT k ALPHA") == ordered == r("SORT_RO k alpha ASC")
    assert r("SORT k ALPHA DESC") == ordered[::-1]
    assert r("SORT k ALPHA LIMIT 1 2") == ordered[1:3]


@pytest.mark.parametrize("start, count, expected", [
    (0, -1, slice(0, None)), (0, 3, slice(0, 3)), (2, 3, slice(2, 5)), (8, 10, slice(8, 10)), (10, 5, slice(0, 0)),
    (11, 1, slice(0, 0)), (-5, 2, slice(0, 2)), (-1, -1, slice(0, None)), (3, 0, slice(0, 0)), (4, -7, slice(4, None)),
    (0, 2**63 - 1, slice(0, None)), (2**63 - 1, 2**63 - 1, slice(0, 0)), (-2**63, -2**63, slice(0, None)),
    (2**63 - 1, -1, slice(0, 0)), (1, 2**63 - 1, slice(1, None))])
def test_limit(r, put, start, count, expected):
    put("k", *range(10))
    ordered = texts(*range(10))
    assert r("SORT", "k", "LIMIT", start, count) == ordered[expected]
    assert r("SORT_RO", "k", "DESC", "LIMIT", start, count) == ordered[::-1][expected]
    assert r("SORT", "k", "LIMIT", 1, 1, "LIMIT", start, count) == ordered[expected], "the last one holds"
    assert len(r("SORT", "k", "BY", "nosort", "LIMIT", start, count)) == len(ordered[expected])
    assert r("SORT", "none", "LIMIT", start, count) == []


@plain
def test_by_another_keys_number(r, put):
    put("k", 1, 2, 3, 4)
    r("MSET weight_1 10 weight_2 5 weight_4 -1")
    assert r("SORT k BY weight_*") == texts(4, 3, 2, 1), "what has no weight weighs 0"
    assert r("SORT_RO k BY weight_* DESC LIMIT 0 2") == texts(1, 2)
    r("SET weight_3 many")
    assert r("SORT k BY weight_*") == NOT_DOUBLE and r("SORT k BY weight_* LIMIT 0 0") == NOT_DOUBLE
    r("DEL weight_3")
    r("SADD weight_3 x")
    assert r("SORT k BY weight_*") == texts(4, 3, 2, 1), "another type is no weight"
    assert r("SORT k BY *") == texts(1, 2, 3, 4) and r("SORT k BY weight_*x") == texts(1, 2, 3, 4)
    r("MSET w1w 4 w2w 3 w3w 2 w4w 1 w1* 1 w2* 2 w3* 3 w4* 4")
    assert r("SORT k BY w*w") == texts(4, 3, 2, 1) and r("SORT k BY w**") == texts(1, 2, 3, 4)


@plain
def test_by_another_keys_text(r, put):
    put("k", 1, 2, 3, 4)
    r("MSET name_1 pear name_2 apple name_4 10")
    assert r("SORT k BY name_* ALPHA") == texts(3, 4, 2, 1), "nothing is before all texts"
    assert r("SORT k BY name_* ALPHA DESC") == texts(1, 2, 4, 3)
    r("SET", "name_3", "")
    assert r("SORT k BY name_* ALPHA") == texts(3, 4, 2, 1)


@plain
def test_fields(r, put):
    put("k", 1, 2, 3)
    r("HSET obj_1 w 3 name one")
    r("HSET obj_2 w 2 name two")
    r("HSET obj_3 w 1")
    r("SET plain_1 x")
    assert r("SORT k BY obj_*->w") == texts(3, 2, 1)
    assert r("SORT k BY obj_*->w GET obj_*->name GET # GET plain_*->w") == [
        None, b"3", None, b"two", b"2", None, b"one", b"1", None]
    assert r("SORT k GET obj_*->none") == [None] * 3 and r("SORT k GET obj_*") == [None] * 3
    r("MSET obj_1-> arrow obj_2-> 2 obj_1->x no")
    assert r("SORT k GET obj_*->") == [b"arrow", b"2", None], "an arrow to nothing is part of the key"
    assert r("SORT k GET obj_*->x") == [None] * 3
    r("HSET", "->1", "f", "v")
    assert r("SORT k GET ->*->f") == [b"v", None, None], "an arrow before the asterisk is part of the key"
    r("HSET", "h1", "a->b", "deep", "*", "star")
    assert r("SORT", "k", "GET", "h*->a->b", "GET", "h*->*") == [b"deep", b"star", None, None, None, None]


@plain
def test_get(r, put):
    put("k", 3, 1, 2)
    r("MSET v_1 one v_2 2 other x")
    assert r("SORT k GET v_*") == [b"one", b"2", None]
    assert r("SORT k GET # GET v_* GET #") == [b"1", b"one", b"1", b"2", b"2", b"2", b"3", None, b"3"]
    assert r("SORT k GET other") == [None] * 3, "a pattern without an asterisk names nothing"
    assert r("SORT k LIMIT 1 1 GET v_* GET #") == [b"2", b"2"]
    assert r("SORT_RO k DESC GET v_*") == [None, b"2", b"one"]
    assert r("SORT", "k", "GET", "") == [None] * 3 and r("SORT", "k", "GET", "##") == [None] * 3
    r("PEXPIREAT v_1 1")
    assert r("SORT k GET v_*") == [None, b"2", None]
    three = r.conn(resp=3)
    assert three("SORT k GET v_*") == [None, b"2", None]


def test_nosort(r, put):
    put("k", 5, 3, 4)
    assert sorted(r("SORT k BY nosort")) == texts(3, 4, 5) == sorted(r("SORT k BY nosort DESC ALPHA"))
    assert r("SORT k BY nosort GET # LIMIT 0 2") == r("SORT k BY nosort LIMIT 0 2")
    assert r("SORT k BY nosort BY") == SYNTAX
    if put.kind != "set":
        assert r("SORT k BY nosort") == texts(5, 3, 4) and r("SORT k BY nosort DESC") == texts(4, 3, 5)
        assert r("SORT k BY nosort LIMIT 1 1") == texts(3) and r("SORT k BY nosort DESC LIMIT 0 2") == texts(4, 3)


@plain
def test_a_pattern_after_nosort_sorts_no_more(r):
    r("SADD k 1 2 3")
    r("MSET w1 3 w2 2 w3 1")
    assert r("SORT k BY nosort BY w*") == r("SMEMBERS k")
    assert r("SORT k BY w* BY x*") == texts(1, 2, 3)


@plain
def test_store(r, put):
    put("k", 3, 10, 2)
    assert r("SORT k STORE d") == 3 and r("TYPE d") == Status("list") and r("LRANGE d 0 -1") == texts(2, 3, 10)
    assert r("SORT k DESC LIMIT 0 2 STORE d") == 2 and r("LRANGE d 0 -1") == texts(10, 3)
    r("SET d v EX 100")
    assert r("SORT k ALPHA STORE d") == 3 and r("LRANGE d 0 -1") == texts(10, 2, 3) and r("TTL d") == -1
    r("MSET v2 two v10 ten")
    assert r("SORT k GET v* GET # STORE d") == 6
    assert r("LRANGE d 0 -1") == [b"two", b"2", b"", b"3", b"ten", b"10"], "what is not there is nothing in a list"
    assert r("SORT k STORE x STORE k") == 3 and r("LRANGE k 0 -1") == texts(2, 3, 10) and r("EXISTS x") == 0
    assert r("SORT k LIMIT 5 1 STORE d") == 0 and r("EXISTS d") == 0
    assert r("SORT none STORE k") == 0 and r("EXISTS k") == 0 and r("SORT none STORE k") == 0
    put("k", 3, "x")
    r("SET d v")
    assert r("SORT k STORE d") == NOT_DOUBLE and r("GET d") == b"v"
    put("k", *range(300))
    for to in "abcde":
        assert r("SORT", "k", "STORE", to) == 300 and r("LRANGE", to, 0, -1) == texts(*range(300))
        assert r("OBJECT", "ENCODING", to) == r("OBJECT ENCODING a")


@plain
def test_by_and_store(r, put):
    put("k", 1, 2, 3, "4")
    r("MSET w1 3 w2 2 w3 1 w4 0 t1 b t2 a t3 a")
    for to in "abcde":
        assert r("SORT", "k", "BY", "w*", "STORE", to) == 4 and r("LRANGE", to, 0, -1) == texts(4, 3, 2, 1)
    assert r("SORT k BY t* ALPHA GET t* STORE d") == 4 and r("LRANGE d 0 -1") == [b"", b"a", b"a", b"b"]
    assert r("DEL w1 w2 w3 w4 t1 t2 t3") == 7
    assert r("SORT k BY w* DESC STORE d") == 4 and r("LRANGE d 0 -1") == texts(4, 3, 2, 1)


def test_a_set_that_is_stored_unsorted_is_sorted_by_text(r):
    r("SADD {k}s 10 9 100 a")
    assert r("SORT {k}s BY nosort STORE {k}d") == 4 and r("LRANGE {k}d 0 -1") == texts(10, 100, 9, "a")
    assert r("SORT {k}s BY nosort DESC LIMIT 1 2 STORE {k}d") == 2 and r("LRANGE {k}d 0 -1") == texts(9, 100)
    r("RPUSH {k}l 3 1 2")
    assert r("SORT {k}l BY nosort STORE {k}d") == 3 and r("LRANGE {k}d 0 -1") == texts(3, 1, 2)


@plain
def test_many_elements_and_what_they_name(r, put):
    """Several pieces of elements, and of the keys that the patterns name."""
    count = 5000
    for start in range(0, count, 500):
        r("MSET", *[word for n in range(start, start + 500) for word in (f"w{n}", count - n)])
    put("k", *range(count))
    assert r("SORT k BY w* LIMIT 0 5") == texts(*range(count - 1, count - 6, -1))
    assert r("SORT k BY w* LIMIT 0 2 GET w* GET # GET h*->f") == [b"1", b"4999", None, b"2", b"4998", None]
    assert r("SORT k BY w* DESC GET # STORE d") == count and r("LRANGE d 0 3") == texts(0, 1, 2, 3)


@plain
def test_another_database(r):
    c = r.conn(db=5)
    c("SADD k 1 2 3")
    c("MSET w1 3 w2 2 w3 1")
    assert c("SORT k BY w* GET # GET w*") == texts(3, 1, 2, 2, 1, 3) and r("SORT k BY w* GET #") == []
    assert c.many("SORT k BY w*", "SET w1 0", "SORT k BY w*", "SORT k BY w* STORE d", "LRANGE d 0 -1") == [
        texts(3, 2, 1), OK, texts(1, 3, 2), 3, texts(1, 3, 2)]


@pytest.mark.parametrize("line, error", [
    ("SORT", arity("sort")), ("SORT_RO", arity("sort_ro")), ("SORT k x", SYNTAX), ("SORT k LIMIT", SYNTAX),
    ("SORT k LIMIT 1", SYNTAX), ("SORT k LIMIT a 1", NOT_INT), ("SORT k LIMIT 1 1.0", NOT_INT),
    ("SORT k LIMIT 0 9223372036854775808", NOT_INT), ("SORT k BY", SYNTAX), ("SORT k GET", SYNTAX),
    ("SORT k STORE", SYNTAX), ("SORT_RO k STORE d", SYNTAX), ("SORT k ASC DESC ALPHA x", SYNTAX),
    ("SORT k GET # BY", SYNTAX)])
def test_errors(r, line, error):
    assert r(line) == error
    r("SADD k 1")
    assert r(line) == error


def test_other_types_and_nothing(r):
    r("SET s v")
    r("HSET h f v")
    for key in ("s", "h"):
        assert r("SORT", key) == WRONGTYPE and r("SORT_RO", key, "BY", "nosort") == WRONGTYPE
        assert r("SORT", key, "LIMIT", "a", "b") == NOT_INT, "options are read first"
    assert r("SORT none") == [] and r("SORT_RO none ALPHA LIMIT 0 1") == []


@pytest.mark.only_on("cluster", reason="patterns and slots")
def test_a_cluster_clients_patterns(r):
    r("SADD {k}s 2 1")
    r("MSET {k}w1 2 {k}w2 1")
    assert r("SORT {k}s BY {k}w* GET # GET {k}w*") == [b"2", b"1", b"1", b"2"]
    assert r("SORT {k}s BY nosort GET #") == r("SMEMBERS {k}s")
    text = "ERR {} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
    for pattern in ("w*", "*", "{q}w*", "{*}", "{k*}"):
        assert r("SORT", "{k}s", "BY", pattern) == Error(text.format("BY"))
        assert r("SORT_RO", "{k}s", "GET", pattern) == Error(text.format("GET"))
