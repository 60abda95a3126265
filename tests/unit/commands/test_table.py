"""The command table: Redis 7.2's facts, held against the real Redis, and where keys are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardd.base.errors import INVALID_ARGUMENTS, CommandError
from shardd.commands.table import (CATEGORIES, COMMANDS, FLAG_ORDER, find, keys_of, lookup, parse_integer, route_keys)

EVERY = {row.name: row for top in COMMANDS.values() for row in (top, *top.subcommands.values())}

NEW_IN_7_2 = {"client|no-touch", "client|setinfo", "cluster|myshardid", "waitaof", "cluster|slot-stats"}
"""What the oracle's 7.0 does not have; the last one is Valkey's."""

NEWER = {"client|maint_notifications", "hexpire", "hexpireat", "hexpiretime", "hgetdel", "hgetex", "hpersist",
         "hpexpire", "hpexpireat", "hpexpiretime", "hpttl", "hsetex", "httl", "msetex", "delifeq"}
"""Rows that Redis 7.2 does not have."""

CHANGED_IN_7_2 = {
    # blocking commands may be called from scripts, where they do not block
    "blmove": "flags", "blpop": "flags", "brpop": "flags", "brpoplpush": "flags", "bzpopmax": "flags",
    "bzpopmin": "flags", "wait": "flags",
    # asked before the data is loaded
    "cluster|shards": "flags", "cluster|slots": "flags",
    # WITHSCORE; commands without arguments
    "zrank": "arity", "zrevrank": "arity", "command|getkeys": "arity", "command|getkeysandflags": "arity",
    # tips corrected
    "acl|deluser": "tips", "acl|save": "tips", "acl|setuser": "tips", "client|setname": "tips",
    "config|resetstat": "tips", "config|rewrite": "tips", "latency|reset": "tips", "msetnx": "tips",
    "randomkey": "tips", "scan": "tips",
}
"""What Redis 7.2 says differently from the oracle's 7.0, by field."""


def words(*args):
    return [arg.encode() for arg in args]


def spec_view(spec):
    """A key spec in COMMAND INFO's form, without the notes."""
    begin = {"index": ["index", spec.position], "unknown": [],
             "keyword": ["keyword", spec.keyword.decode(), "startfrom", spec.position]}[spec.begin]
    finds = {"range": ["lastkey", spec.last, "keystep", spec.step, "limit", spec.limit], "unknown": [],
             "keynum": ["keynumidx", spec.number_at, "firstkey", spec.first, "keystep", spec.step]}[spec.find]
    return (spec.flags, spec.begin, begin, spec.find, finds)


def text(value):
    if isinstance(value, bytes):
        return value.decode()
    return [text(one) for one in value] if isinstance(value, list) else value


def oracle_spec(fields):
    said = dict(zip(fields[::2], fields[1::2]))
    begin, finds = (dict(zip(said[part][::2], said[part][1::2])) for part in ("begin_search", "find_keys"))
    return (frozenset(map(str, said["flags"])), begin["type"], begin["spec"], finds["type"], finds["spec"])


@pytest.fixture(scope="module")
def real(fleet):
    """COMMAND of the real Redis: name -> the fields, subcommands included."""
    target = fleet.target("oracle")
    connection = target.conn()
    rows = {}
    stack = text(connection("COMMAND"))
    while stack:
        row = stack.pop()
        rows[row[0]] = row
        stack += row[9]
    target.close()
    return rows


def test_every_command_is_here(real):
    ours = {name for name in EVERY if not name.startswith("sentinel")}
    assert ours - set(real) - NEW_IN_7_2 - NEWER == set()
    assert set(real) - ours == set()


@pytest.mark.parametrize("name", sorted(
    name for name in set(EVERY) - NEW_IN_7_2 - NEWER if not name.startswith("sentinel")))
def test_rows_agree_with_the_real_redis(name, real):
    row, theirs = EVERY[name], real[name]
    differs = CHANGED_IN_7_2.get(name, "")
    facts = {
        "arity": (row.arity, theirs[1]),
        "flags": ([flag for flag in FLAG_ORDER if flag in row.flags], list(map(str, theirs[2]))),
        "range": ([row.first_key, row.last_key, row.key_step], theirs[3:6]),
        "acl": (["@" + one for one in CATEGORIES if one in row.acl_categories], list(map(str, theirs[6]))),
        "tips": (row.tips, theirs[7]),
        "specs": ([spec_view(spec) for spec in row.key_specs], [oracle_spec(spec) for spec in theirs[8]]),
    }
    for fact, (mine, other) in facts.items():
        assert (mine == other) is (fact != differs), (fact, mine, other)


def test_lookup():
    assert lookup(words("GET", "a")) is COMMANDS["get"]
    assert lookup(words("CLIENT", "List")).name == "client|list"
    assert lookup(words("client")) is COMMANDS["client"]
    assert lookup(words("client", "nope")) is None
    assert lookup(words("nope")) is None
    assert lookup([b"\xff\xfe"]) is None
    assert find("Client|LIST").container is COMMANDS["client"]
    assert find("get|x") is None and find("nope") is None


def test_rows_are_sound():
    for name, row in EVERY.items():
        assert row.name == name == name.lower()
        assert row.arity != 0
        assert row.acl_categories <= set(CATEGORIES)
        assert (row.first_key == 0) == (row.last_key == 0) == (row.key_step == 0)
        assert row.movablekeys == ("movablekeys" in row.flags)


def test_arity():
    assert COMMANDS["get"].arity_fits(2) and not COMMANDS["get"].arity_fits(3)
    assert COMMANDS["set"].arity_fits(3) and COMMANDS["set"].arity_fits(9) and not COMMANDS["set"].arity_fits(2)


def test_policies():
    assert (COMMANDS["dbsize"].request_policy, COMMANDS["dbsize"].response_policy) == ("all_shards", "agg_sum")
    assert COMMANDS["get"].request_policy == "" and COMMANDS["mget"].request_policy == "multi_shard"


@pytest.mark.parametrize("raw, value", [
    (b"0", 0), (b"-1", -1), (b"9223372036854775807", 2**63 - 1), (b"-9223372036854775808", -2**63),
    (b"9223372036854775808", None), (b"", None), (b"-", None), (b"-0", None), (b"01", None), (b"+1", None),
    (b" 1", None), (b"1 ", None), (b"\xb2", None), (b"1" * 5000, None),
])
def test_integers_are_redis_s(raw, value):
    assert parse_integer(raw) == value


REQUESTS = """
    get k | set k v | set k v get | set k v ex 5 get | mget a b c | mset a 1 b 2 | del a b | copy a b | copy a b db 1
    rename a b | lcs a b | object encoding k | memory usage k | xgroup create k g $ | xinfo stream k
    bitop and d a b c | bitfield k get u8 0 | bitfield k set u8 0 1 | bitfield k overflow sat get u8 0 | bitfield k
    blpop a b c 0 | blmpop 0 2 a b left | lmpop 2 a b left | blmove a b left left 0 | bzmpop 0 1 a min
    zunion 2 a b | zunion 2 a b weights 1 2 | zunionstore d 2 a b | zinterstore d 1 a | zdiff 1 a | zinter 3 a b c
    zintercard 2 a b limit 1 | sintercard 1 a | zmpop 1 a min | zrangestore d s 0 1
    eval s 2 a b c | eval s 0 | eval s 0 x | evalsha s 1 a | fcall f 1 a | fcall_ro f 0 | eval_ro s 1 a
    sort k | sort k by w get x store d | sort k store a store b | sort k limit 0 1 | sort_ro k by w
    georadius k 1 2 3 m | georadius k 1 2 3 m store d | georadius k 1 2 3 m storedist d
    georadiusbymember k m 1 km store d | geosearchstore d s frommember m byradius 1 km
    migrate h 1 k 0 100 | xread streams a b 0 0 | xread count 2 block 0 streams a 0
    xreadgroup group g c streams a b > >| xreadgroup group g c count 1 noack streams a > | pfcount a b
    pfmerge d a b | sinterstore d a b | sdiffstore d a | smove a b m | spublish c m | ssubscribe c d
    watch a b | dump k | restore k 0 x | setrange k 0 v | client list | ping x | expire k 1 nx
"""


def requests():
    found = []
    for part in REQUESTS.replace("\n", "|").split("|"):
        if part.strip():
            found.append(part.split())
    return [*found, ["migrate", "h", "1", "", "0", "1", "keys", "a", "b"],
            ["migrate", "h", "1", "", "0", "1", "auth", "keys", "copy", "keys", "a"],
            ["migrate", "h", "1", "", "0", "1", "auth2", "u", "keys", "replace", "keys", "a"],
            ["migrate", "h", "1", "x", "0", "1", "keys", "a"],
            # what does not fit
            ["zunion", "2", "a"], ["zunion", "0", "a"], ["zunion", "x", "a"], ["eval", "s", "5", "a"],
            ["eval", "s", "x", "a"], ["eval", "s", "-1", "a"], ["xread", "streams", "a", "b", "c"],
            ["xread", "count", "streams", "a", "b", "c"], ["xread", "block", "1", "nothing"],
            ["blmpop", "0", "0", "a", "left"], ["mset", "a", "1", "b"], ["pfmerge", "d"],
            ["zunionstore", "d", "3", "a", "b"], ["lmpop", "9", "a", "left"],
            ["sort", "k", "store"], ["georadius", "k", "1", "2", "3", "m", "store"], ["zinter", "1", "a", "1"]]


@pytest.mark.parametrize("request_words", requests(), ids=" ".join)
def test_keys_are_the_real_redis_s(request_words, fleet):
    """COMMAND GETKEYSANDFLAGS, word for word."""
    target = fleet.target("oracle")
    theirs = target.conn()("COMMAND", "GETKEYSANDFLAGS", *request_words)
    target.close()
    args = words(*request_words)
    row = lookup(args)
    if not row.has_keys:
        assert str(theirs) == "ERR The command has no key arguments"
        return
    try:
        mine = [[args[place], sorted(flags)] for place, flags in keys_of(row, args)]
    except CommandError as error:
        assert error.text == INVALID_ARGUMENTS
        mine = None
    if isinstance(theirs, list):
        assert mine == [[key, sorted(map(str, text(flags)))] for key, flags in theirs]
    else:
        assert mine is None and str(theirs) == INVALID_ARGUMENTS.decode()


@pytest.mark.parametrize("request_words, places", [
    ("get k", [1]), ("mset a 1 b 2", [1, 3]), ("del a b c", [1, 2, 3]), ("zunion 2 a b", [2, 3]), ("zunion 9 a", []),
    ("zunion 2x a b", [2, 3]), ("zunionstore d 2 a b", [1, 3, 4]), ("eval s 0", []), ("eval s 1 a", [3]),
    ("xread streams a b 0 0", [2, 3]), ("xread streams a b 0", []), ("sort k get # store d", [1, 5]),
    ("pfmerge d", [1]), ("pfmerge d a", [1, 2]), ("ping", []), ("georadius k 1 2 3 m store d", [1, 7]),
    ("migrate h 1 k 0 1", [3]), ("blpop a b 0", [1, 2]), ("copy a b", [1, 2]), ("client list", []),
    ("object encoding k", [2]), ("memory usage k", [2]), ("bitop not d a", [2, 3]), ("ssubscribe a b", [1, 2]),
])
def test_routing_finds_keys_and_never_fails(request_words, places):
    args = words(*request_words.split())
    assert route_keys(lookup(args), args) == places


ARGUMENTS = st.lists(st.one_of(
    st.sampled_from(words("keys", "STREAMS", "store", "get", "set", "by", "limit", "auth", "auth2", "", "0", "1", "2",
                          "-1", "overflow", "block", "count", "group", "noack")), st.binary(max_size=4)), max_size=12)


@given(st.sampled_from(sorted(EVERY)), ARGUMENTS)
def test_no_arguments_confuse_the_finders(name, arguments):
    row = EVERY[name]
    args = [*name.encode().split(b"|"), *arguments]
    if not row.arity_fits(len(args)):
        return
    assert all(0 < place < len(args) for place in route_keys(row, args))
    try:
        assert all(0 < place < len(args) for place, _ in keys_of(row, args))
    except CommandError:
        pass
