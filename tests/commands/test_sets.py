"""The set family: SADD SREM SISMEMBER SMISMEMBER SCARD SMEMBERS SPOP SRANDMEMBER SMOVE SSCAN, and the algebra of sets,
on integers (intsets), small sets (listpacks) and large ones (tables)."""

import pytest

from harness import OK, Error, SetReply, Status
from harness.servers import redis_version
from harness.texts import INT64_MAX, INT64_MIN, NOT_INT, SYNTAX, WRONGTYPE, arity

MUST_BE_POSITIVE = Error("ERR value is out of range, must be positive")
ONE_NODE = "RedisCluster asks each engine; the body is about one answer"

# Makes the key s a set of the wanted form; it has 1, 2, 3 and some more.
FORMS = {"intset": [], "listpack": ["a"], "entries": range(100, 700), "mixed": [f"filler:{n}" for n in range(200)],
         "value": ["x" * 65]}
ENCODINGS = {"intset": b"intset", "listpack": b"listpack"}


@pytest.fixture(params=FORMS)
def form(request, r):
    """How many members s has, in one of the forms; in a table for each of three reasons."""
    r("SADD s 1 2 3")
    if FORMS[request.param]:
        r("SADD", "s", *FORMS[request.param])
    encoding = ENCODINGS.get(request.param, b"hashtable")
    if encoding != b"listpack" or r.name != "oracle" or redis_version() >= (7, 2):
        assert r("OBJECT ENCODING s") == encoding
    return 3 + len(FORMS[request.param])


def members(*what):
    return {str(one).encode() for one in what}


def scan(r, *words):
    """All that SSCAN gives, and in how many steps."""
    seen, cursor, steps = [], b"0", 0
    while True:
        cursor, found = r("SSCAN", "s", cursor, *words)
        seen += found
        steps += 1
        if cursor == b"0":
            return seen, steps


def test_add_and_look(r, form):
    assert r("TYPE s") == Status("set") and r("SCARD s") == form
    assert r("SADD s 1 2 3") == 0 and r("SADD s 4 1 5 4") == 2 and r("SCARD s") == form + 2
    assert [r("SISMEMBER", "s", one) for one in (1, 4, 5, 6, "no", "")] == [1, 1, 1, 0, 0, 0]
    assert r("SMISMEMBER s 1 9 2 1 x") == [1, 0, 1, 1, 0]
    everything = r("SMEMBERS s")
    assert len(everything) == len(set(everything)) == form + 2 and members(1, 2, 3, 4, 5) <= set(everything)
    assert all(r("SISMEMBER", "s", one) for one in everything)


def test_remove(r, form):
    assert r("SREM s 9 nothing") == 0 and r("SREM none 1") == 0
    assert r("SREM s 1 9 2 1") == 2 and r("SCARD s") == form - 2
    assert r("SMISMEMBER s 1 2 3") == [0, 0, 1]
    rest = r("SMEMBERS s")
    assert r("SREM", "s", *rest, *rest) == form - 2
    assert r("EXISTS s") == 0 and r("SCARD s") == 0 and r("TYPE s") == Status("none")


def test_texts_and_numbers(r):
    """What looks like a number is one where it is canonical only."""
    texts = [b"", b"\x00", b"a\r\nb", b"0", b"-0", b"+1", b"01", b" 1", b"-1", b"9223372036854775807",
             b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809", b"\xff" * 60, b"1.0"]
    for text in texts:
        assert r("SADD", "s", text) == 1 and r("SADD", "s", text) == 0
    for _ in range(2):
        assert set(r("SMEMBERS s")) >= set(texts)
        assert r("SMISMEMBER", "s", *texts, b"1", b"00") == [1] * len(texts) + [0, 0]
        r("SADD", "s", "x" * 65)    # a table from now on
    for text in texts:
        assert r("SREM", "s", text) == 1
    assert r("SMEMBERS s") == [b"x" * 65]


def test_integers_of_all_widths(r):
    numbers = [n for base in (0, 2**15, 2**31, -2**15, -2**31) for n in (base - 1, base, base + 1)]
    numbers += [INT64_MAX, INT64_MIN]
    for count, number in enumerate(numbers, 1):
        assert r("SADD", "s", number) == 1 and r("SADD", "s", number) == 0
        assert [int(one) for one in r("SMEMBERS s")] == sorted(numbers[:count])
    assert r("OBJECT ENCODING s") == b"intset"
    for number in numbers:
        assert r("SISMEMBER", "s", number) == 1 and r("SREM", "s", number) == 1 and r("SISMEMBER", "s", number) == 0


def test_wide_members(r):
    for n in (255, 256, 65535, 65536, 70000):
        assert r("SADD", "s", b"m" * n) == 1 and r("SADD", "s", b"m" * n) == 0
        assert r("SISMEMBER", "s", b"m" * n) == 1 and r("SISMEMBER", "s", b"m" * (n - 1) + b"n") == 0
    assert r("SREM", "s", b"m" * 65536, b"m" * 256) == 2 and r("SCARD s") == 3


def test_thresholds_of_an_intset(r):
    r("SADD", "s", *range(512))
    assert r("OBJECT ENCODING s") == b"intset"
    r("SADD s 0 511")
    assert r("OBJECT ENCODING s") == b"intset"
    r("SADD s 512")
    assert r("OBJECT ENCODING s") == b"hashtable"
    r("SREM", "s", *range(500))
    assert r("OBJECT ENCODING s") == b"hashtable", "a set never goes back by itself"
    r("SADD", "t", *range(513))
    assert r("OBJECT ENCODING t") == b"hashtable" and r("SCARD t") == 513


@pytest.mark.since("7.2")
def test_thresholds_of_a_listpack(r):
    r("SADD", "s", *(f"m{n}" for n in range(128)))
    assert r("OBJECT ENCODING s") == b"listpack"
    r("SADD s m0 m127")
    assert r("OBJECT ENCODING s") == b"listpack"
    r("SADD s m128")
    assert r("OBJECT ENCODING s") == b"hashtable"
    r("SADD", "v", "x" * 64, 1)
    assert r("OBJECT ENCODING v") == b"listpack"
    r("SADD", "v", "x" * 65)
    assert r("OBJECT ENCODING v") == b"hashtable" and r("SCARD v") == 3
    r("SADD", "i", *range(127))
    r("SADD i a")
    assert r("OBJECT ENCODING i") == b"listpack" and r("SCARD i") == 128
    r("SADD", "j", *range(128))
    r("SADD j a")
    assert r("OBJECT ENCODING j") == b"hashtable" and r("SCARD j") == 129
    r("SADD", "k", 1)
    r("SADD", "k", "x" * 65)
    assert r("OBJECT ENCODING k") == b"hashtable" and set(r("SMEMBERS k")) == {b"1", b"x" * 65}
    r("SADD", "same", *["a"] * 129)
    assert r("OBJECT ENCODING same") == b"hashtable", "the number of arguments decides"
    r("SADD", "n", 1)
    r("SADD", "n", *[1] * 513)
    assert r("OBJECT ENCODING n") == b"hashtable" and r("SCARD n") == 1


def test_an_absent_set(r):
    assert r("SMEMBERS s") == [] and r("SCARD s") == 0 and r("SISMEMBER s a") == 0 and r("SMISMEMBER s a b") == [0, 0]
    assert r("SPOP s") is None and r("SPOP s 3") == [] and r("SPOP s 0") == []
    assert r("SRANDMEMBER s") is None and r("SRANDMEMBER s 3") == [] and r("SRANDMEMBER s -3") == []
    assert r("SSCAN s 0") == [b"0", []] and r("SSCAN s 17 NONSENSE") == [b"0", []]
    assert r("SMOVE s {s}2 a") == 0 and r("EXISTS s {s}2") == 0


@pytest.mark.parametrize("line", [
    "SADD k v", "SREM k v", "SISMEMBER k v", "SMISMEMBER k v w", "SCARD k", "SMEMBERS k", "SPOP k", "SPOP k 2",
    "SRANDMEMBER k", "SRANDMEMBER k 2", "SSCAN k 0", "SMOVE k {k}2 v", "SMOVE {k}s k 1", "SINTER {k}s k",
    "SINTER {k}none k", "SINTERCARD 2 {k}s k", "SUNION {k}s k", "SDIFF {k}s k", "SDIFF {k}none k",
    "SINTERSTORE {k}d {k}s k", "SUNIONSTORE {k}d {k}s k", "SDIFFSTORE {k}d {k}s k", "SINTERSTORE {k}d {k}none k"])
def test_another_type(r, line):
    r("SET k v")
    r("SADD {k}s 1 2")
    r("SADD {k}d old")
    assert r(line) == WRONGTYPE
    assert r("GET k") == b"v" and r("SCARD {k}s") == 2 and r("SMEMBERS {k}d") == [b"old"]


@pytest.mark.parametrize("line", ["GET s", "INCR s", "APPEND s x", "HSET s a 1", "HGET s a", "SET s x GET"])
def test_a_set_is_nothing_else(r, line):
    r("SADD s 1")
    assert r(line) == WRONGTYPE
    assert r("SMEMBERS s") == [b"1"]


@pytest.mark.parametrize("name, line", [
    ("sadd", "SADD s"), ("srem", "SREM s"), ("sismember", "SISMEMBER s"), ("sismember", "SISMEMBER s a b"),
    ("smismember", "SMISMEMBER s"), ("scard", "SCARD"), ("scard", "SCARD s a"), ("smembers", "SMEMBERS s a"),
    ("spop", "SPOP"), ("srandmember", "SRANDMEMBER"), ("smove", "SMOVE s {s}"), ("smove", "SMOVE s {s} a b"),
    ("sscan", "SSCAN s"), ("sinter", "SINTER"), ("sintercard", "SINTERCARD 1"), ("sinterstore", "SINTERSTORE d"),
    ("sunion", "SUNION"), ("sunionstore", "SUNIONSTORE d"), ("sdiff", "SDIFF"), ("sdiffstore", "SDIFFSTORE d")])
def test_arity(r, name, line):
    assert r(line) == arity(name)
    assert r("EXISTS s") == 0


@pytest.mark.parametrize("line, answer", [
    ("SPOP s x", MUST_BE_POSITIVE), ("SPOP s -1", MUST_BE_POSITIVE), ("SPOP s 1 2", SYNTAX),
    ("SPOP s 1.5", MUST_BE_POSITIVE),
    ("SPOP s 9223372036854775808", MUST_BE_POSITIVE), ("SRANDMEMBER s x", NOT_INT), ("SRANDMEMBER s 1 2", SYNTAX),
    ("SRANDMEMBER s -9223372036854775808",
     Error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")),
    ("SSCAN s x", Error("ERR invalid cursor")), ("SSCAN s 0 COUNT 0", SYNTAX), ("SSCAN s 0 COUNT x", NOT_INT),
    ("SSCAN s 0 MATCH", SYNTAX), ("SSCAN s 0 TYPE string", SYNTAX)])
def test_bad_words(r, line, answer):
    r("SADD s 1 2")
    assert r(line) == answer
    assert r("SCARD s") == 2


def test_pop(r, form):
    everything = set(r("SMEMBERS s"))
    gone = {r("SPOP s") for _ in range(2)}
    assert len(gone) == 2 and gone < everything and r("SCARD s") == form - 2
    assert set(r("SMEMBERS s")) == everything - gone
    last = r("SPOP", "s", form - 2)
    assert sorted(last) == sorted(everything - gone) and r("EXISTS s") == 0


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_pop_some(r, form, share):
    everything = set(r("SMEMBERS s"))
    count = max(1, int(form * share))
    gone = r("SPOP", "s", count)
    assert len(gone) == len(set(gone)) == count and set(gone) < everything
    assert set(r("SMEMBERS s")) == everything - set(gone)
    assert r("SPOP s 0") == []
    while r("SCARD s"):
        assert r("SPOP s") in everything
    assert r("EXISTS s") == 0


def test_random(r, form):
    everything = set(r("SMEMBERS s"))
    for _ in range(20):
        assert r("SRANDMEMBER s") in everything
    for count in (0, 1, 2, form - 1, form, form + 5):
        chosen = r("SRANDMEMBER", "s", count)
        assert len(chosen) == len(set(chosen)) == min(count, form) and set(chosen) <= everything
    chosen = r("SRANDMEMBER", "s", -3 * form)
    assert len(chosen) == 3 * form and set(chosen) <= everything
    assert len({r("SRANDMEMBER s") for _ in range(80)}) > 1
    assert r("SCARD s") == form


@pytest.mark.not_on("oracle", reason="of Redis's tables, members in short chains come more often")
@pytest.mark.parametrize("names", [range(64), [f"m{n}" for n in range(64)], ["x" * 70, *range(63)]])
def test_every_member_is_as_likely(r, names):
    r("SADD", "s", *names)
    counts = dict.fromkeys(r("SMEMBERS s"), 0)
    for _ in range(10):
        for one in r("SRANDMEMBER s -1000"):
            counts[one] += 1
    expected = 10_000 / 64
    # chi-square with 63 degrees of freedom: above 137 once in ten million times
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 137


@pytest.mark.not_on("oracle", reason="Redis makes the reply, whatever memory it takes")
def test_more_at_random_than_a_reply_holds(r):
    r("SADD s 1 2")
    for count in (-INT64_MAX, -10**9):
        assert r("SRANDMEMBER", "s", count) == Error("ERR value is out of range")
    assert len(r("SRANDMEMBER s 9223372036854775807")) == 2


def test_move(r, form):
    r("SADD {s}2 3 4")
    assert r("SMOVE s {s}2 1") == 1 and r("SMOVE s {s}2 1") == 0 and r("SMOVE s {s}2 nothing") == 0
    assert r("SMOVE s {s}2 3") == 1, "it was there"
    assert set(r("SMEMBERS {s}2")) == members(1, 3, 4) and r("SCARD s") == form - 2
    assert r("SMOVE s {s}3 2") == 1 and r("SMEMBERS {s}3") == [b"2"]
    assert r("OBJECT ENCODING {s}3") == b"intset"
    assert r("SMOVE {s}3 {s}2 2") == 1 and r("EXISTS {s}3") == 0
    assert r("SMOVE {s}2 {s}2 4") == 1 and r("SMOVE {s}2 {s}2 x") == 0 and r("SCARD {s}2") == 4
    assert r("SMOVE {s}2 s other") == 0


def test_scan(r, form):
    everything = r("SMEMBERS s")
    seen, steps = scan(r, "COUNT", "20")
    assert set(seen) == set(everything) and (steps > 5) == (form > 200)
    assert set(scan(r, "MATCH", "[12]")[0]) == members(1, 2)
    assert scan(r, "MATCH", "nothing*", "COUNT", "1000")[0] == []


# ---- several sets

def three(r, kind):
    """{k}1, {k}2 and {k}3, in one form or in several; as sets of what is in them."""
    contents = [set(range(0, 60)), set(range(20, 90)), set(range(40, 50)) | {100, -1}]
    extra = {"int": ["", "", ""], "packed": ["a", "a", "b"], "table": ["x" * 70, "x" * 70, "y" * 70],
             "mixed": ["", "a", "x" * 70], "many": [0, 0, 0]}[kind]
    for number, one in enumerate(extra):
        if kind == "many":
            contents[number] |= set(range(1000, 1700))
        elif one:
            contents[number].add(one)
        r("SADD", "{k}" + str(number + 1), *contents[number])
    return [members(*one) for one in contents]


KINDS = ["int", "packed", "table", "mixed", "many"]


@pytest.mark.parametrize("kind", KINDS)
def test_algebra(r, kind):
    one, two, three_ = three(r, kind)
    for name, expected in (
            ("SINTER {k}1 {k}2", one & two), ("SINTER {k}1 {k}2 {k}3", one & two & three_), ("SINTER {k}1", one),
            ("SINTER {k}1 {k}1", one), ("SINTER {k}1 {k}none {k}2", set()), ("SINTER {k}none", set()),
            ("SUNION {k}1 {k}2", one | two), ("SUNION {k}1 {k}2 {k}3", one | two | three_), ("SUNION {k}3", three_),
            ("SUNION {k}none {k}1 {k}1", one), ("SUNION {k}none", set()),
            ("SDIFF {k}1 {k}2", one - two), ("SDIFF {k}2 {k}1 {k}3", two - one - three_), ("SDIFF {k}1", one),
            ("SDIFF {k}3 {k}1 {k}2", three_ - one - two), ("SDIFF {k}1 {k}3", one - three_),
            ("SDIFF {k}1 {k}1", set()), ("SDIFF {k}1 {k}2 {k}1", set()), ("SDIFF {k}none {k}1", set()),
            ("SDIFF {k}1 {k}none", one)):
        reply = r(name)
        assert len(reply) == len(expected) and set(reply) == expected, name
        store, *keys = name.split()
        r("SET {k}d text EX 1000")
        assert r(store + "STORE", "{k}d", *keys) == len(expected), name
        assert set(r("SMEMBERS {k}d")) == expected and r("EXISTS {k}d") == (1 if expected else 0)
        assert r("TTL {k}d") == (-1 if expected else -2)
    assert [set(r("SMEMBERS", "{k}" + number)) for number in "123"] == [one, two, three_]


def test_both_ways_to_a_difference(r):
    """Many small sets to subtract from a large one: each is looked up, or all are taken out."""
    r("SADD", "{k}1", *range(300))
    for number in range(2, 8):
        r("SADD", "{k}" + str(number), *range(number * 10, number * 10 + 5), "x")
    keys = ["{k}" + str(number) for number in range(2, 8)]
    expected = members(*range(300)) - {b"%d" % n for k in range(2, 8) for n in range(k * 10, k * 10 + 5)}
    assert set(r("SDIFF", "{k}1", *keys)) == expected
    assert r("SDIFFSTORE", "{k}1", "{k}1", *keys) == len(expected) and set(r("SMEMBERS {k}1")) == expected
    assert set(r("SDIFF", "{k}2", *keys[1:])) == members(*range(20, 25))


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_may_be_a_source(r, kind):
    one, two, three_ = three(r, kind)
    assert r("SINTERSTORE {k}1 {k}1 {k}2") == len(one & two) and set(r("SMEMBERS {k}1")) == one & two
    assert r("SUNIONSTORE {k}1 {k}3 {k}1") == len(three_ | one & two)
    assert r("SDIFFSTORE {k}2 {k}2 {k}2") == 0 and r("EXISTS {k}2") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_cardinality(r, kind):
    one, two, three_ = three(r, kind)
    count = len(one & two)
    assert r("SINTERCARD 2 {k}1 {k}2") == count and r("SINTERCARD 1 {k}3") == len(three_)
    assert r("SINTERCARD 3 {k}1 {k}2 {k}3") == len(one & two & three_)
    assert r("SINTERCARD 2 {k}1 {k}2 LIMIT 0") == count and r("SINTERCARD 2 {k}1 {k}2 limit 7") == 7
    assert r("SINTERCARD 2 {k}1 {k}2 LIMIT 1") == 1 and r("SINTERCARD 2 {k}1 {k}2 LIMIT 100000") == count
    assert r("SINTERCARD 2 {k}1 {k}2 LIMIT 3 LIMIT 4") == 4
    assert r("SINTERCARD 2 {k}1 {k}none") == 0


NUMKEYS = Error("ERR numkeys should be greater than 0")
TOO_MANY_KEYS = Error("ERR Number of keys can't be greater than number of args")
LIMIT = Error("ERR LIMIT can't be negative")


@pytest.mark.parametrize("line, answer", [
    ("SINTERCARD 1 k LIMIT", SYNTAX), ("SINTERCARD 1 k LIMIT -1", LIMIT), ("SINTERCARD 1 k LIMIT x", LIMIT),
    ("SINTERCARD 1 k NONSENSE 1", SYNTAX), ("SINTERCARD 1 k k", SYNTAX)])
def test_bad_words_of_sintercard(r, line, answer):
    assert r(line) == answer


@pytest.mark.not_on("cluster", "proxy", reason="the keys cannot be told")
@pytest.mark.parametrize("line, answer", [
    ("SINTERCARD 0 k", NUMKEYS), ("SINTERCARD -1 k", NUMKEYS), ("SINTERCARD x k", NUMKEYS),
    ("SINTERCARD 2 k", TOO_MANY_KEYS), ("SINTERCARD 9223372036854775807 k", TOO_MANY_KEYS)])
def test_bad_numbers_of_keys(r, line, answer):
    assert r(line) == answer


def test_the_form_of_what_is_stored(r):
    r("SADD", "{k}t", *range(600))
    r("SADD {k}i 1 2 3")
    r("SADD {k}a 1 2 a")
    for line, encoding in (("SINTERSTORE {k}d {k}t {k}i", b"intset"), ("SINTERSTORE {k}d {k}a {k}i", b"intset"),
                           ("SUNIONSTORE {k}d {k}i {k}i", b"intset"), ("SUNIONSTORE {k}d {k}t {k}i", b"hashtable"),
                           ("SDIFFSTORE {k}d {k}i {k}a", b"intset"), ("SINTERSTORE {k}d {k}t {k}t", b"hashtable")):
        assert r(line) > 0 and r("OBJECT ENCODING {k}d") == encoding, line


@pytest.mark.since("7.2")
def test_the_form_of_texts_that_are_stored(r):
    r("SADD", "{k}t", *(f"m{n}" for n in range(300)))
    r("SADD {k}i 1 2 3")
    r("SADD {k}a 1 2 m1 m2")
    for line, encoding in (("SINTERSTORE {k}d {k}t {k}a", b"listpack"), ("SUNIONSTORE {k}d {k}a {k}i", b"listpack"),
                           ("SUNIONSTORE {k}d {k}t", b"hashtable"), ("SDIFFSTORE {k}d {k}a {k}i", b"listpack")):
        assert r(line) > 0 and r("OBJECT ENCODING {k}d") == encoding, line


@pytest.mark.not_on("cluster", reason="the connection may be to the other engine")
def test_the_forms_of_resp3(r):
    r3 = r.conn(3)
    r3("SADD s 1 2")
    r3("SADD {s}2 2 3")
    for line, expected in (
            ("SMEMBERS s", [b"1", b"2"]), ("SMEMBERS none", []), ("SINTER s {s}2", [b"2"]), ("SDIFF s {s}2", [b"1"]),
            ("SUNION s {s}2", [b"1", b"2", b"3"]), ("SINTER s none{s}", []), ("SUNION none", []), ("SDIFF none", []),
            ("SPOP none 3", []), ("SPOP s 0", []), ("SPOP {s}2 9", [b"2", b"3"])):
        reply = r3(line)
        assert isinstance(reply, SetReply) and sorted(reply) == expected, line
    assert type(r3("SPOP s 1")) is SetReply
    assert type(r3("SRANDMEMBER s 2")) is list and type(r3("SRANDMEMBER none 2")) is list
    assert r3("SMISMEMBER s x") == [0] and r3("SPOP none") is None and r3("SRANDMEMBER none") is None


@pytest.mark.not_on("cluster", reason=ONE_NODE)
def test_a_set_under_the_commands_of_keys(r, form):
    everything = set(r("SMEMBERS s"))
    r("PEXPIRE s 100000")
    assert r("SADD s 1") == 0 and r("SADD s 77") == 1 and r("SREM s 77") == 1
    assert r("PTTL s") > 0, "a change keeps the time to live"
    assert r("COPY s {s}copy") == 1 and set(r("SMEMBERS {s}copy")) == everything and r("PTTL {s}copy") > 0
    r("SADD {s}copy other")
    assert r("SISMEMBER s other") == 0, "the copy is its own"
    assert r("RENAME s {s}new") == OK and set(r("SMEMBERS {s}new")) == everything
    assert r("SCAN 0 COUNT 1000 TYPE set")[1] and r("SCAN 0 COUNT 1000 TYPE hash")[1] == []
    assert r("SET {s}new x") == OK and r("GET {s}new") == b"x"
    assert r("MEMORY USAGE {s}copy") > 0
    assert r("DEL {s}copy") == 1 and r("EXISTS {s}copy") == 0


def test_large_sets_go_in_steps(r):
    for start in range(0, 20_000, 1000):
        r("SADD", "s", *(f"member:{n}" for n in range(start, start + 1000)))
    assert r("SCARD s") == 20_000
    for n in range(0, 20_000, 7):
        assert r("SREM", "s", f"member:{n}") == 1
    assert len(r("SPOP s 10000")) == 10_000 and r("SCARD s") == 20_000 - 2858 - 10_000
    assert r("UNLINK s") == 1 and r("SCARD s") == 0
    assert r("SADD s 1") == 1 and r("SMEMBERS s") == [b"1"]
