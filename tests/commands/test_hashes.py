"""The hash family: HSET HMSET HSETNX HGET HMGET HDEL HEXISTS HLEN HSTRLEN HGETALL HKEYS HVALS HINCRBY HINCRBYFLOAT
HRANDFIELD HSCAN, on small hashes (listpacks) and on large ones (tables)."""

import pytest

from harness import OK, Error, Status
from harness.texts import INT64_MAX, INT64_MIN, NOT_INT, SYNTAX, WRONGTYPE, arity

NOT_FLOAT = Error("ERR value is not a valid float")
ONE_NODE = "RedisCluster asks each engine; the body is about one answer"

# Makes the key h a hash of the wanted form; the fields then are a, b, c and some more.
FORMS = {"small": [], "entries": [f"filler:{n}" for n in range(600)], "value": ["long"]}


@pytest.fixture(params=FORMS)
def form(request, r):
    """Three fields, in a listpack, or in a table for either reason."""
    r("HSET h a 1 b 2 c 3")
    for field in FORMS[request.param]:
        r("HSET", "h", field, "x" * 100 if field == "long" else "1")
    assert r("OBJECT ENCODING h") == (b"listpack" if request.param == "small" else b"hashtable")
    return 3 + len(FORMS[request.param])


def pairs(flat):
    """A reply of fields and values, in RESP2's form or RESP3's, as a dict."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2]))


def test_set_and_get(r, form):
    assert r("TYPE h") == Status("hash")
    assert r("HGET h a") == b"1" and r("HGET h nothing") is None
    assert r("HSET h a 9 d 4") == 1
    assert r("HMGET h a d nothing a") == [b"9", b"4", None, b"9"]
    assert r("HLEN h") == form + 1
    assert r("HSET", "h", "a", "") == 0
    assert r("HGET h a") == b"" and r("HSTRLEN h a") == 0 and r("HEXISTS h a") == 1
    assert r("HMSET h a 1 e 5") == OK
    assert r("HSETNX h e 6") == 0 and r("HGET h e") == b"5"
    assert r("HSETNX h f 6") == 1 and r("HGET h f") == b"6"
    assert r("HSET h g 1 g 2 g 3") == 1 and r("HGET h g") == b"3"
    assert r("HSTRLEN h g") == 1 and r("HSTRLEN h nothing") == 0 and r("HEXISTS h nothing") == 0


def test_binary_and_numbers(r):
    fields = [b"", b"\x00", b"a\r\nb", b"0", b"-1", b"01", b"9223372036854775807", b"9223372036854775808", b"\xff" * 60]
    for field in fields:
        assert r("HSET", "h", field, field) == 1
    for _ in range(2):
        assert pairs(r("HGETALL h")) == {field: field for field in fields}
        for field in fields:
            assert r("HGET", "h", field) == field and r("HSTRLEN", "h", field) == len(field)
        r("HSET", "h", "long", "x" * 65)
        fields = fields + [b"long"] if b"long" not in fields else fields
        r("HSET", "h", "long", "long")
    assert r("OBJECT ENCODING h") == b"hashtable", "a hash stays large"


def test_wide_fields_and_values(r):
    for n in (255, 256, 65535, 65536, 70000):
        assert r("HSET", "h", b"f" * n, b"v" * n) == 1
        assert r("HGET", "h", b"f" * n) == b"v" * n
        assert r("HSET", "h", b"f" * n, b"w") == 0 and r("HGET", "h", b"f" * n) == b"w"
        assert r("HSTRLEN", "h", b"f" * n) == 1
    assert r("HLEN h") == 5


def test_thresholds(r):
    for n in range(512):
        r("HSET", "h", f"f{n}", "v")
    assert r("OBJECT ENCODING h") == b"listpack"
    r("HSET h f0 other")
    assert r("OBJECT ENCODING h") == b"listpack"
    r("HSET h f512 v")
    assert r("OBJECT ENCODING h") == b"hashtable"
    r("HSET", "v", "f", "x" * 64)
    assert r("OBJECT ENCODING v") == b"listpack"
    r("HSET", "v", "f", "x" * 65)
    assert r("OBJECT ENCODING v") == b"hashtable"
    r("HSET", "w", "x" * 65, "v")
    assert r("OBJECT ENCODING w") == b"hashtable"


def test_delete(r, form):
    assert r("HDEL h nothing") == 0 and r("HDEL none a") == 0
    assert r("HDEL h a nothing b a") == 2
    assert r("HLEN h") == form - 2 and r("HGET h a") is None and r("HGET h c") == b"3"
    rest = r("HKEYS h")
    assert r("HDEL", "h", *rest, *rest) == form - 2
    assert r("EXISTS h") == 0 and r("HLEN h") == 0 and r("TYPE h") == Status("none")


def test_walks(r, form):
    everything = pairs(r("HGETALL h"))
    assert len(everything) == form and {b"a": b"1", b"b": b"2", b"c": b"3"}.items() <= everything.items()
    assert sorted(r("HKEYS h")) == sorted(everything) and sorted(r("HVALS h")) == sorted(everything.values())
    assert dict(zip(r("HKEYS h"), r("HVALS h"))) == everything, "in the same order"


def test_an_absent_hash(r):
    assert pairs(r("HGETALL h")) == {} and r("HKEYS h") == [] and r("HVALS h") == []
    assert r("HGET h a") is None and r("HMGET h a b") == [None, None]
    assert r("HLEN h") == 0 and r("HSTRLEN h a") == 0 and r("HEXISTS h a") == 0
    assert r("HRANDFIELD h") is None and r("HRANDFIELD h 3") == [] and r("HRANDFIELD h -3 WITHVALUES") == []
    assert r("HSCAN h 0") == [b"0", []] and r("HSCAN h 17 NONSENSE") == [b"0", []]


@pytest.mark.parametrize("line", [
    "HSET s f v", "HMSET s f v", "HSETNX s f v", "HGET s f", "HMGET s f g", "HDEL s f", "HEXISTS s f", "HLEN s",
    "HSTRLEN s f", "HGETALL s", "HKEYS s", "HVALS s", "HINCRBY s f 1", "HINCRBYFLOAT s f 1", "HRANDFIELD s",
    "HRANDFIELD s 2", "HSCAN s 0"])
def test_another_type(r, line):
    r("SET s v")
    assert r(line) == WRONGTYPE
    assert r("GET s") == b"v"


@pytest.mark.parametrize("line", ["GET h", "INCR h", "APPEND h x", "STRLEN h", "GETRANGE h 0 1", "SETRANGE h 1 x",
                                  "GETSET h x", "GETDEL h", "GETEX h", "INCRBYFLOAT h 1", "SET h x GET"])
def test_a_hash_is_no_string(r, line):
    r("HSET h a 1")
    assert r(line) == WRONGTYPE
    assert r("HGET h a") == b"1"


@pytest.mark.parametrize("name, line", [
    ("hset", "HSET h"), ("hset", "HSET h a"), ("hset", "HSET h a 1 b"), ("hmset", "HMSET h a"),
    ("hmset", "HMSET h a 1 b"), ("hsetnx", "HSETNX h a"), ("hget", "HGET h"), ("hget", "HGET h a b"),
    ("hmget", "HMGET h"), ("hdel", "HDEL h"), ("hexists", "HEXISTS h"), ("hlen", "HLEN"), ("hstrlen", "HSTRLEN h"),
    ("hgetall", "HGETALL h a"), ("hkeys", "HKEYS"), ("hvals", "HVALS h a"), ("hincrby", "HINCRBY h a"),
    ("hincrbyfloat", "HINCRBYFLOAT h a"), ("hrandfield", "HRANDFIELD"), ("hscan", "HSCAN h")])
def test_arity(r, name, line):
    assert r(line) == arity(name)
    assert r("EXISTS h") == 0


def test_hincrby(r, form):
    assert r("HINCRBY h a 5") == 6 and r("HGET h a") == b"6"
    assert r("HINCRBY h new -3") == -3 and r("HLEN h") == form + 1
    r("HSET", "h", "max", INT64_MAX, "min", INT64_MIN, "text", "x", "spaces", " 1", "float", "1.5")
    overflow = Error("ERR increment or decrement would overflow")
    assert r("HINCRBY h max 1") == overflow and r("HINCRBY h min -1") == overflow
    assert r("HINCRBY h max -1") == INT64_MAX - 1
    for field in ("text", "spaces", "float"):
        assert r(f"HINCRBY h {field} 1") == Error("ERR hash value is not an integer")
    assert r("HINCRBY h a x") == NOT_INT and r("HINCRBY h a 1.5") == NOT_INT
    assert r("HINCRBY absent a x") == NOT_INT and r("EXISTS absent") == 0
    assert r("HINCRBY absent a 2") == 2 and r("TYPE absent") == Status("hash")


def test_hincrbyfloat(r, form):
    assert r("HINCRBYFLOAT h a 0.5") == b"1.5" and r("HGET h a") == b"1.5"
    assert r("HINCRBYFLOAT h new 1e3") == b"1000"
    assert r("HINCRBYFLOAT h a -1.5") == b"0"
    assert r("HINCRBYFLOAT h a x") == NOT_FLOAT
    r("HSET h text x")
    assert r("HINCRBYFLOAT h text 1") == Error("ERR hash value is not a float")
    for bad in ("inf", "-inf"):
        assert r(f"HINCRBYFLOAT h a {bad}") == Error("ERR value is NaN or Infinity")
    assert r("HINCRBYFLOAT absent f 2.25") == b"2.25"


def test_hrandfield(r, form):
    everything = pairs(r("HGETALL h"))
    for _ in range(20):
        assert r("HRANDFIELD h") in everything
    for count in (0, 1, 2, form, form + 5):
        chosen = r(f"HRANDFIELD h {count}")
        assert len(chosen) == len(set(chosen)) == min(count, form) and set(chosen) <= set(everything)
    chosen = r(f"HRANDFIELD h {-3 * form}")
    assert len(chosen) == 3 * form and set(chosen) <= set(everything)
    assert len({r("HRANDFIELD h") for _ in range(60)}) > 1


def test_hrandfield_with_values(r):
    r("HSET h a 1 b 2")
    assert pairs(r("HRANDFIELD h 5 WITHVALUES")) == {b"a": b"1", b"b": b"2"}
    assert len(r("HRANDFIELD h -5 withvalues")) == 10


@pytest.mark.not_on("cluster", reason="the connection may be to the other engine")
def test_the_forms_of_resp3(r):
    r3 = r.conn(3)
    r3("HSET h a 1 b 2")
    assert sorted(r3("HRANDFIELD h 5 WITHVALUES")) == [[b"a", b"1"], [b"b", b"2"]]
    assert r3("HGETALL h") == {b"a": b"1", b"b": b"2"} and r3("HGETALL none") == {}
    assert r3("HMGET h a x") == [b"1", None] and r3("HRANDFIELD none") is None


@pytest.mark.parametrize("line, answer", [
    ("HRANDFIELD h x", NOT_INT), ("HRANDFIELD h 1 x", SYNTAX), ("HRANDFIELD h 1 WITHVALUES x", SYNTAX),
    ("HRANDFIELD h 9223372036854775807 WITHVALUES", Error("ERR value is out of range")),
    ("HSCAN h x", Error("ERR invalid cursor")), ("HSCAN h 0 COUNT 0", SYNTAX), ("HSCAN h 0 COUNT x", NOT_INT),
    ("HSCAN h 0 MATCH", SYNTAX), ("HSCAN h 0 TYPE string", SYNTAX)])
def test_bad_words(r, line, answer):
    r("HSET h a 1")
    assert r(line) == answer


def test_hscan(r, form):
    everything = pairs(r("HGETALL h"))
    seen, cursor, steps = {}, b"0", 0
    while True:
        cursor, flat = r("HSCAN", "h", cursor, "COUNT", "20")
        seen.update(pairs(flat))
        steps += 1
        if cursor == b"0":
            break
    assert seen == everything and (steps > 10) == (form > 500)
    seen, cursor = {}, b"0"
    while True:
        cursor, flat = r("HSCAN", "h", cursor, "MATCH", "[ab]")
        seen.update(pairs(flat))
        if cursor == b"0":
            break
    assert seen == {b"a": b"1", b"b": b"2"}


@pytest.mark.not_on("cluster", reason=ONE_NODE)
def test_a_hash_under_the_commands_of_keys(r, form):
    everything = pairs(r("HGETALL h"))
    r("PEXPIRE h 100000")
    assert r("HSET h a 1") == 0 and r("PTTL h") > 0, "a change keeps the time to live"
    assert r("COPY h {h}copy") == 1 and pairs(r("HGETALL {h}copy")) == everything and r("PTTL {h}copy") > 0
    r("HSET {h}copy a other")
    assert r("HGET h a") == b"1", "the copy is its own"
    assert r("RENAME h {h}new") == OK and pairs(r("HGETALL {h}new")) == everything
    assert r("SCAN 0 COUNT 1000 TYPE hash")[1] and r("SCAN 0 COUNT 1000 TYPE string")[1] == []
    assert r("SET {h}new x") == OK and r("GET {h}new") == b"x"
    assert r("DEL {h}copy") == 1 and r("EXISTS {h}copy") == 0
    assert r("MEMORY USAGE h") is None


def test_large_hashes_go_in_steps(r):
    for start in range(0, 20_000, 1000):
        r("HSET", "h", *(word for n in range(start, start + 1000) for word in (f"field:{n}", n)))
    assert r("HLEN h") == 20_000
    for n in range(0, 20_000, 7):
        assert r("HDEL", "h", f"field:{n}") == 1
    assert r("HLEN h") == 20_000 - 2858
    assert r("UNLINK h") == 1 and r("HLEN h") == 0
    assert r("HSET h a 1") == 1 and pairs(r("HGETALL h")) == {b"a": b"1"}
