"""The list family, but for what blocks: LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LLEN LINDEX LSET LRANGE LTRIM LREM LINSERT
LPOS LMOVE RPOPLPUSH LMPOP, on packed lists and on those of several nodes."""
import pytest

from harness import OK, Error, Status
from harness.resp import NULL_ARRAY, encode
from harness.servers import redis_version
from harness.texts import INT64_MAX, INT64_MIN, NO_SUCH_KEY, NOT_INT, SYNTAX, WRONGTYPE, arity

MUST_BE_POSITIVE = Error("ERR value is out of range, must be positive")
INDEX = Error("ERR index out of range")
RANK_RANGE = Error(f"ERR value is out of range, value must between {-INT64_MAX} and {INT64_MAX}")
RANK_ZERO = Error("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative "
                  "to start from the end of the list")

# What is in l, by form; no element is there twice.
FORMS = {"listpack": [b"%d" % n for n in range(20)] + [b"a", b"", b"x" * 100],
         "quicklist": [b"%d" % n if n % 3 else b"element:%06d" % n for n in range(3000)],
         "plain": [b"a", b"p" * 70_000, b"b", b"q" * 70_000, b"r" * 9000, b"12345", b"s" * 8200]}


@pytest.fixture(params=FORMS)
def content(request, r):
    """What l holds, in one of the forms."""
    items = FORMS[request.param]
    assert r("RPUSH", "l", *items) == len(items)
    if r.name != "oracle" or redis_version() >= (7, 2):
        assert r("OBJECT ENCODING l") == (b"listpack" if request.param == "listpack" else b"quicklist")
    return list(items)


def everything(r, key="l"):
    return r("LRANGE", key, 0, -1)


# ---- pushing

def test_push(r):
    assert r("LPUSH l a b c") == 3 and r("RPUSH l d e") == 5
    assert everything(r) == [b"c", b"b", b"a", b"d", b"e"]
    assert r("TYPE l") == Status("list") and r("LLEN l") == 5 and r("LLEN none") == 0
    assert r("LPUSHX l z") == 6 and r("RPUSHX l y x") == 8
    assert everything(r) == [b"z", b"c", b"b", b"a", b"d", b"e", b"y", b"x"]
    assert r("LPUSHX none a") == 0 and r("RPUSHX none a b") == 0 and r("EXISTS none") == 0


def test_texts_and_numbers(r):
    """What looks like a number comes back as it was."""
    texts = [b"", b"\x00", b"a\r\nb", b"0", b"-0", b"+1", b"01", b" 1", b"-1", b"127", b"128", b"-4096", b"4095",
             b"4096", b"-32768", b"32767", b"8388607", b"-8388609", b"2147483647", b"2147483648",
             b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809",
             b"\xff" * 60, b"1.0"]
    texts += [b"w" * n for n in (62, 63, 64, 65, 126, 127, 4095, 4096, 8190, 8192, 8193, 65_530, 65_536)]
    for text in texts:
        r("RPUSH", "tail", text), r("LPUSH", "head", text)
    assert everything(r, "tail") == texts and everything(r, "head") == texts[::-1]
    for n, text in enumerate(texts):
        assert r("LINDEX", "tail", n) == text and r("LPOS", "tail", text) == n
        assert r("RPUSH", "one", text) == 1 and everything(r, "one") == [text] and r("LPOP one") == text


def test_from_small_to_large_and_back(r):
    """An element more each time, at one end or both, and then fewer."""
    model = []
    for n in range(1200):
        text = b"%d" % n if n % 5 else b"e%d" % n * 7
        if n % 7 < 3:
            assert r("LPUSH", "l", text) == n + 1
            model.insert(0, text)
        else:
            r("RPUSH", "l", text)
            model.append(text)
        if n % 100 == 0:
            assert everything(r) == model
    assert everything(r) == model
    while model:
        assert r("LPOP l") == model.pop(0)
        if model:
            assert r("RPOP l") == model.pop()
        if len(model) % 100 < 2:
            assert everything(r) == model
    assert r("EXISTS l") == 0


# ---- looking

def test_index_and_range(r, content):
    n = len(content)
    for index in (0, 1, n // 2, n - 1, -1, -2, -n):
        assert r("LINDEX", "l", index) == content[index]
    for index in (n, -n - 1, INT64_MAX, INT64_MIN):
        assert r("LINDEX", "l", index) is None
    for start, end in ((0, -1), (0, 0), (1, 2), (-2, -1), (n // 2, n // 2 + 2), (-n, 1), (n - 1, n), (0, n + 5)):
        last = end + n if end < 0 else end
        first = start + n if start < 0 else start
        assert r("LRANGE", "l", start, end) == content[first:last + 1]
    for start, end in ((1, 0), (n, n + 1), (-1, -2), (0, -n - 1), (INT64_MAX, INT64_MAX), (INT64_MIN, INT64_MIN)):
        assert r("LRANGE", "l", start, end) == []
    assert r("LRANGE", "l", INT64_MIN, INT64_MAX) == content
    assert r("LRANGE none 0 -1") == [] and r("LINDEX none 0") is None


def test_position(r):
    r("RPUSH l a b c 1 2 3 c c 1")
    assert r("LPOS l c") == 2 and r("LPOS l x") is None and r("LPOS none x") is None and r("LPOS l 1") == 3
    assert r("LPOS l c RANK 2") == 6 and r("LPOS l c RANK -1") == 7 and r("LPOS l c RANK 4") is None
    assert r("LPOS l c COUNT 0") == [2, 6, 7] and r("LPOS l c COUNT 2") == [2, 6] and r("LPOS l x COUNT 1") == []
    assert r("LPOS l c RANK -1 COUNT 2") == [7, 6] and r("LPOS l c RANK 2 COUNT 9") == [6, 7]
    assert r("LPOS none c COUNT 1") == [] and r("LPOS l c count 1 rank -2") == [6]
    assert r("LPOS l c MAXLEN 2") is None and r("LPOS l c MAXLEN 3") == 2 and r("LPOS l c MAXLEN 0") == 2
    assert r("LPOS l c COUNT 0 MAXLEN 7") == [2, 6] and r("LPOS l c RANK -1 MAXLEN 1") is None
    assert r("LPOS l c RANK 9223372036854775807") is None and r("LPOS", "l", "c", "RANK", -INT64_MAX) is None
    assert r("LPOS", "l", "c", "COUNT", INT64_MAX, "MAXLEN", INT64_MAX) == [2, 6, 7]


def test_position_options(r):
    r("RPUSH l a")
    assert r("LPOS l a RANK 0") == RANK_ZERO and r("LPOS l a RANK x") == NOT_INT
    assert r("LPOS l a COUNT -1") == Error("ERR COUNT can't be negative") == r("LPOS l a COUNT x")
    assert r("LPOS l a MAXLEN -1") == Error("ERR MAXLEN can't be negative") == r("LPOS l a MAXLEN x")
    assert r("LPOS l a RANK") == r("LPOS l a FOO 1") == r("LPOS l a COUNT 1 MAXLEN") == SYNTAX
    assert r("LPOS none a RANK 0") == RANK_ZERO, "options come before the key"
    r("SET s x")
    assert r("LPOS s a RANK 0") == RANK_ZERO and r("LPOS s a") == WRONGTYPE


@pytest.mark.since("7.2")
def test_the_smallest_number(r):
    """It has no counterpart above zero."""
    assert r("LPOS", "l", "a", "RANK", INT64_MIN) == RANK_RANGE == r("LREM", "none", INT64_MIN, "a")


def test_position_in_any_form(r, content):
    for index in (0, len(content) // 2, len(content) - 1):
        assert r("LPOS", "l", content[index]) == index == r("LPOS", "l", content[index], "RANK", -1)
        assert r("LPOS", "l", content[index], "COUNT", 0) == [index]


# ---- changing

def test_set(r, content):
    n = len(content)
    for index, text in ((0, b"first"), (-1, b"last"), (n // 2, b"7"), (1, b"z" * 66_000), (1, b""), (-2, b"y" * 5000)):
        assert r("LSET", "l", index, text) == OK
        content[index] = text
        assert everything(r) == content
    assert r("LSET", "l", n, "x") == INDEX == r("LSET", "l", -n - 1, "x") == r("LSET", "l", INT64_MIN, "x")
    assert r("LSET none 0 x") == NO_SUCH_KEY == r("LSET none nan x") and r("LSET l nan x") == NOT_INT


def test_insert(r, content):
    for where, pivot, text in (("BEFORE", 0, b"head"), ("AFTER", -1, b"tail"), ("before", -1, b"1"),
                               ("aFTER", 0, b"z" * 70_000), ("AFTER", len(content) // 2, b"middle"),
                               ("BEFORE", len(content) // 2, b"middle" * 1000)):
        at = pivot % len(content)
        assert r("LINSERT", "l", where, content[at], text) == len(content) + 1
        content.insert(at + (where.lower() == "after"), text)
        assert everything(r) == content
    assert r("LINSERT l AFTER nothing x") == -1 and r("LINSERT none AFTER a x") == 0
    assert r("LINSERT l BESIDE a x") == SYNTAX == r("LINSERT none BESIDE a x")
    assert everything(r) == content


def test_insert_much_in_one_place(r):
    """Nodes are cut, and joined again where there is room."""
    model = [b"a", b"pivot", b"b"]
    r("RPUSH", "l", *model)
    for n in range(600):
        text = b"%05d" % n * (n % 40)
        after = n % 3 == 0
        r("LINSERT", "l", "AFTER" if after else "BEFORE", "pivot", text)
        model.insert(model.index(b"pivot") + after, text)
    assert everything(r) == model and r("LLEN l") == 603
    assert r("LREM", "l", 1, "pivot") == 1 and r("LLEN l") == 602


def test_remove(r):
    r("RPUSH l a b a 1 a 1 b a")
    assert r("LREM l 1 a") == 1 and everything(r) == [b"b", b"a", b"1", b"a", b"1", b"b", b"a"]
    assert r("LREM l -2 a") == 2 and everything(r) == [b"b", b"a", b"1", b"1", b"b"]
    assert r("LREM l 0 1") == 2 and r("LREM l 5 x") == 0 and r("LREM none 0 a") == 0
    assert r("LREM l 9 b") == 2 and r("LREM", "l", -INT64_MAX, "a") == 1 and r("EXISTS l") == 0
    r("RPUSH l 01 1 +1")
    assert r("LREM l 0 1") == 1 and everything(r) == [b"01", b"+1"]


def test_remove_in_any_form(r, content):
    for count, index in ((1, 1), (-1, -2), (0, 0), (0, -1)):
        assert r("LREM", "l", count, content[index]) == 1
        del content[index]
        assert everything(r) == content
    r("RPUSH", "l", *[b"twice"] * 500, *content, *[b"twice"] * 500)
    assert r("LREM l 600 twice") == 600 and r("LREM l -300 twice") == 300
    assert everything(r) == content + content + [b"twice"] * 100
    for text in content:
        assert r("LREM", "l", 0, text) == 2
    assert r("LREM l 0 twice") == 100 and r("EXISTS l") == 0


def test_trim(r, content):
    n = len(content)
    assert r("LTRIM l 0 -1") == OK and everything(r) == content
    assert r("LTRIM l 1 -2") == OK and everything(r) == content[1:-1]
    assert r("LTRIM", "l", -n, n) == OK and everything(r) == content[1:-1]
    assert r("LTRIM", "l", n // 2 - 1, n // 2) == OK and everything(r) == content[n // 2:n // 2 + 2]
    assert r("LTRIM l 1 0") == OK and r("EXISTS l") == 0
    assert r("LTRIM l 0 0") == OK and r("LTRIM none 5 6") == OK
    r("RPUSH l a b")
    assert r("LTRIM", "l", INT64_MAX, INT64_MAX) == OK and r("EXISTS l") == 0


# ---- taking out

def test_pop(r, content):
    assert r("LPOP l") == content[0] and r("RPOP l") == content[-1]
    assert r("LPOP l 2") == content[1:3] and r("RPOP l 2") == [content[-2], content[-3]]
    assert r("LLEN l") == len(content) - 6 and r("LPOP l 0") == []
    assert r("RPOP", "l", INT64_MAX) == content[-4:2:-1] and r("EXISTS l") == 0
    assert r("LPOP l") is None and r("RPOP l") is None


def test_pop_of_nothing(r):
    r("SET s x")
    for name in ("LPOP", "RPOP"):
        assert r(name, "none") is None and r(name, "none", 0) is NULL_ARRAY and r(name, "none", 5) is NULL_ARRAY
        assert r(name, "none", -1) == MUST_BE_POSITIVE == r(name, "none", "x") == r(name, "s", "-1")
        assert r(name, "s") == WRONGTYPE == r(name, "s", 1)
        assert r(name, "l", 1, 2) == arity(name.lower())


@pytest.mark.not_on("cluster", reason="RedisCluster chooses the connection")
def test_nulls_on_the_wire(r):
    """LPOP of an absent key is a null array only with a count; RESP3 has one null."""
    for resp in (2, 3):
        c = r.conn(resp)
        for command, null in (("LPOP none", b"$-1"), ("LPOP none 1", b"*-1"), ("LMPOP 1 none LEFT", b"*-1"),
                              ("LPOS none a", b"$-1"), ("LINDEX none 0", b"$-1"), ("RPOPLPUSH none none", b"$-1")):
            c.send(encode(*command.split()))
            assert c.until(b"\r\n") == (null if resp == 2 else b"_") + b"\r\n", command


def test_move(r, content):
    expected = list(content)
    assert r("LMOVE l {l}2 LEFT RIGHT") == expected[0] and r("LMOVE l {l}2 RIGHT LEFT") == expected[-1]
    assert everything(r, "{l}2") == [expected[-1], expected[0]] and everything(r) == expected[1:-1]
    assert r("RPOPLPUSH l {l}2") == expected[-2] and r("LMOVE {l}2 l left left") == expected[-2]
    rest = [expected[-2]] + expected[1:-2]
    assert everything(r) == rest
    assert r("LMOVE l l LEFT RIGHT") == rest[0] and everything(r) == rest[1:] + rest[:1]
    assert r("LMOVE l l RIGHT LEFT") == rest[0] and everything(r) == rest
    assert r("LMOVE l l RIGHT RIGHT") == rest[-1] and r("LMOVE l l LEFT LEFT") == rest[0] and everything(r) == rest
    assert r("RPOPLPUSH l l") == rest[-1] and everything(r) == rest[-1:] + rest[:-1]
    for _ in rest:
        r("RPOPLPUSH l {l}3")
    assert r("EXISTS l") == 0 and everything(r, "{l}3") == rest[-1:] + rest[:-1]


def test_move_one(r):
    r("RPUSH l only")
    assert r("LMOVE l l LEFT RIGHT") == b"only" and everything(r) == [b"only"]
    assert r("RPOPLPUSH l {l}2") == b"only" and r("EXISTS l") == 0 and everything(r, "{l}2") == [b"only"]
    assert r("RPOPLPUSH l {l}2") is None and r("LMOVE l {l}2 LEFT LEFT") is None
    assert r("LMOVE l {l}2 UP LEFT") == SYNTAX == r("LMOVE l {l}2 LEFT DOWN")
    r("SET {l}s x")
    assert r("RPOPLPUSH {l}2 {l}s") == WRONGTYPE == r("RPOPLPUSH {l}s {l}2") == r("LMOVE {l}s {l}s LEFT LEFT")
    assert r("RPOPLPUSH l {l}s") is None, "without a source, the destination's type does not matter"
    assert everything(r, "{l}2") == [b"only"]


def test_pop_from_several(r):
    r("RPUSH {l}1 a b c"), r("RPUSH {l}2 d e"), r("SET {l}s x")
    assert r("LMPOP 2 {l}0 {l}1 LEFT") == [b"{l}1", [b"a"]]
    assert r("LMPOP 2 {l}1 {l}2 RIGHT COUNT 5") == [b"{l}1", [b"c", b"b"]] and r("EXISTS {l}1") == 0
    assert r("LMPOP 3 {l}0 {l}1 {l}2 left count 1") == [b"{l}2", [b"d"]]
    assert r("LMPOP 1 {l}0 LEFT") is NULL_ARRAY and r("LMPOP 2 {l}0 {l}s LEFT") == WRONGTYPE
    assert r("LMPOP 2 {l}2 {l}s LEFT") == [b"{l}2", [b"e"]] and r("LMPOP 2 {l}2 {l}s LEFT") == WRONGTYPE
    assert r("LMPOP", 1, "{l}0", "LEFT", "COUNT", INT64_MAX) is NULL_ARRAY


def test_pop_from_several_options(r):
    positive = Error("ERR numkeys should be greater than 0")
    count = Error("ERR count should be greater than 0")
    assert r("LMPOP 0 l LEFT") == positive == r("LMPOP -1 l LEFT") == r("LMPOP x l LEFT")
    assert r("LMPOP 1 l UP") == SYNTAX == r("LMPOP 2 {LEFT}l LEFT") == r("LMPOP 1 l LEFT COUNT")
    assert r("LMPOP 1 l LEFT FOO 1") == SYNTAX == r("LMPOP 1 l LEFT COUNT 1 COUNT 2") == r("LMPOP 1 l LEFT COUNT 1 x")
    assert r("LMPOP 1 l LEFT COUNT 0") == count == r("LMPOP 1 l LEFT COUNT -1") == r("LMPOP 1 l LEFT COUNT x")
    assert r("LMPOP 1 l LEFT COUNT 0 COUNT 1") == count


# ---- what all have in common

def test_wrong_type_and_arity(r):
    r("SET s x")
    for command in ("LPUSH s a", "RPUSH s a", "LPUSHX s a", "RPUSHX s a", "LLEN s", "LINDEX s 0", "LSET s 0 a",
                    "LRANGE s 0 -1", "LTRIM s 0 -1", "LREM s 0 a", "LINSERT s BEFORE a b", "LINDEX s nan",
                    "LSET s nan a"):
        assert r(command) == WRONGTYPE, command
    for command in ("LRANGE s a 1", "LRANGE s 0 1.5", "LTRIM s 0 x", "LREM s x a", "LRANGE none x 1",
                    "LTRIM none 0 ''"):
        assert r(command) == NOT_INT, command
    assert r("LINDEX none nan") is None, "the key comes before the index"
    for command in ("LPUSH l", "RPUSH l", "LPUSHX l", "RPUSHX l", "LLEN", "LLEN l l", "LINDEX l", "LINDEX l 0 0",
                    "LSET l 0", "LRANGE l 0", "LTRIM l 0", "LREM l 0", "LINSERT l BEFORE a", "LPOS l", "LPOP", "RPOP",
                    "LMOVE l l LEFT", "RPOPLPUSH l", "LMPOP 1 l"):
        assert r(command) == arity(command.split()[0].lower()), command
    assert r("EXISTS l") == 0


def test_keys_that_expire(r):
    r("RPUSH l a b"), r("PEXPIRE l 100000")
    r("LPUSH l c"), r("LSET l 0 d"), r("RPOP l")
    assert 0 < r("PTTL l") <= 100000
    r("RPOPLPUSH l {l}2")
    assert r("PTTL {l}2") == -1
    r("PEXPIRE l -1")
    assert r("LLEN l") == 0 and r("RPUSH l new") == 1 and r("PTTL l") == -1


def test_copies_and_names(r, content):
    assert r("COPY l {l}2") == 1 and everything(r, "{l}2") == content
    r("LPOP l")
    assert everything(r, "{l}2") == content and r("RENAME {l}2 {l}3") == OK and everything(r, "{l}3") == content
    assert r("MEMORY USAGE {l}3") > sum(map(len, content)) and r("UNLINK {l}3") == 1 and r("EXISTS {l}3") == 0


@pytest.mark.only_on("engine", "oracle", reason="options of one engine")
@pytest.mark.since("7.2")
def test_thresholds(r):
    """By number of elements, and by bytes."""
    def form():
        return r("OBJECT ENCODING l")

    with r.config(list_max_listpack_size=8):
        elements(r, form)
    r("DEL l")
    with r.config(list_max_listpack_size=-1):
        sizes(r, form)


def elements(r, form):
    r("RPUSH l 1 2 3 4 5 6 7 8")
    assert form() == b"listpack" and r("RPUSH l 9") == 9 and form() == b"quicklist"
    for left in (8, 7, 6, 5):
        r("RPOP l")
        assert r("LLEN l") == left and form() == b"quicklist"
    r("RPOP l")
    assert form() == b"listpack", "at half the limit"
    r("RPUSH l 5 6 7 8 9"), r("LTRIM l -4 -1")
    assert form() == b"quicklist", "it has two nodes"


def sizes(r, form):
    r("RPUSH", "l", "x" * 4089)
    assert form() == b"listpack" and r("RPUSH l 1") == 2 and form() == b"quicklist"
    r("RPOP l")
    assert form() == b"quicklist" and r("LSET l 0 small") == OK and form() == b"listpack"
    assert r("LSET", "l", 0, "x" * 5000) == OK and form() == b"quicklist"
    assert r("LTRIM l 0 0") == OK and form() == b"quicklist" and r("RPUSH l a b") == 3
    r("LPOP l")
    assert form() == b"listpack"
    assert r("LINSERT", "l", "BEFORE", "none", "x" * 5000) == -1 and form() == b"quicklist", "as Redis does"


@pytest.mark.only_on("engine", "oracle", reason="options of one engine")
@pytest.mark.parametrize("size, depth", [(-2, 1), (-1, 2), (5, 1), (1, 0), (0, 1), (40, 3), (-5, 1)])
def test_forms_of_nodes(r, size, depth):
    """Whatever the nodes are, the list is the same."""
    with r.config(list_max_listpack_size=size, list_compress_depth=depth):
        forms_of_nodes(r)


def forms_of_nodes(r):
    model = [b"some text that compresses, %d" % (n // 10) for n in range(1500)]
    r("RPUSH", "l", *model[:700]), r("RPUSH", "l", *model[700:])
    assert everything(r) == model and r("LINDEX l 700") == model[700]
    assert r("LSET l 600 new") == OK and r("LINSERT l AFTER new newer") == 1501
    model[600] = b"new"
    model.insert(601, b"newer")
    assert r("LREM", "l", 5, model[0]) == 5 and r("LREM", "l", -5, model[-1]) == 5
    model = model[5:-5]
    assert r("LTRIM l 100 -100") == OK
    model = model[100:-99]
    assert everything(r) == model and r("LPOS l new") == model.index(b"new")
    assert r("LRANGE l 600 620") == model[600:621] and r("LRANGE l -620 -600") == model[-620:-599]
    assert r("COPY l k") == 1 and everything(r, "k") == model
    assert [r("RPOPLPUSH l l") for _ in range(100)] == model[:-101:-1]
    model = model[-100:] + model[:-100]
    assert r("LPOP l 300") == model[:300] and r("RPOP l 300") == model[:-301:-1] and everything(r) == model[300:-300]
