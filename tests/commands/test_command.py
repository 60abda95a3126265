"""COMMAND and its subcommands: what the server says about itself, compared with what the real Redis says."""

import pytest

from harness import Error, SetReply, Status
from harness.servers import redis_version
from harness.texts import SYNTAX, arity

STRINGS = """append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset msetnx psetex set
    setex setnx setrange strlen substr""".split()
KEYS = """copy del dbsize exists expire expireat expiretime flushall flushdb keys move object persist pexpire pexpireat
    pexpiretime pttl randomkey rename renamenx scan swapdb touch ttl type unlink""".split()
OTHERS = """auth client cluster command config debug echo hello info memory ping quit readonly readwrite reset select
    slowlog asking time""".split()
SUBCOMMANDS = """client|caching client|getname client|getredir client|id client|info client|kill client|list
    client|no-evict client|pause client|reply client|setname client|trackinginfo client|unblock client|unpause
    cluster|countkeysinslot cluster|getkeysinslot cluster|info cluster|keyslot cluster|myid cluster|nodes
    cluster|shards cluster|slots
    command|count command|docs command|getkeys command|getkeysandflags command|info
    command|list config|get config|resetstat config|rewrite config|set memory|usage object|encoding object|freq
    object|idletime object|refcount slowlog|get slowlog|len slowlog|reset""".split()
# what Redis changed in these rows between 7.0 and 7.2, by the place in the row: arity, flags, tips
CHANGED = {"command|getkeys": 1, "command|getkeysandflags": 1, "cluster|shards": 2, "cluster|slots": 2, "msetnx": 7,
           "randomkey": 7,
           "scan": 7, "config|resetstat": 7, "config|rewrite": 7, "config|set": 7, "client|setname": 7}


@pytest.fixture
def c(r):
    return r.conn()


def plain(row: list) -> list:
    """A row of COMMAND INFO without the order of its sets, the remarks on keys and the subcommands."""
    name, arity_, flags, first, last, step, categories, tips, specs, subcommands = row
    specs = [spec[2:] if spec[0] == b"notes" else spec for spec in specs]
    return [name, arity_, sorted(flags), first, last, step, sorted(categories), sorted(tips), specs]


@pytest.mark.parametrize("name", STRINGS + KEYS + OTHERS + SUBCOMMANDS)
def test_rows_are_the_oracles(r, oracle, name):
    mine, theirs = (target.conn()("COMMAND", "INFO", name) for target in (r, oracle))
    assert len(mine) == 1 and mine[0] is not None
    mine, theirs = plain(mine[0]), plain(theirs[0])
    if name in CHANGED and redis_version() < (7, 2):
        del mine[CHANGED[name]], theirs[CHANGED[name]]
    assert mine == theirs


def test_rows_in_resp3(r):
    c = r.conn(resp=3)
    (row,) = c("COMMAND INFO get")
    assert row[0] == b"get" and row[1] == 2
    assert isinstance(row[2], SetReply) and Status("readonly") in row[2]
    assert isinstance(row[6], SetReply) and Status("@read") in row[6]
    assert isinstance(row[8], SetReply) and isinstance(row[8][0], dict)
    assert row[8][0][b"begin_search"] == {b"type": b"index", b"spec": {b"index": 1}}


def test_info_of_several_and_unknown(c):
    rows = c("COMMAND INFO GET nosuch set get")
    assert [row and row[0] for row in rows] == [b"get", None, b"set", b"get"]
    assert c("COMMAND INFO nosuch") == [None]
    assert c("COMMAND INFO config|nosuch") == [None]


def test_all_rows(c):
    rows = c("COMMAND")
    names = [row[0].decode() for row in rows]
    assert len(set(names)) == len(names) == c("COMMAND COUNT")
    assert set(STRINGS + KEYS + OTHERS) <= set(names)
    assert all(len(row) == 10 for row in rows)
    assert {row[0] for row in c("COMMAND INFO")} == {row[0] for row in rows}
    assert set(c("COMMAND LIST")) >= {row[0] for row in rows}
    config = next(row for row in rows if row[0] == b"config")
    assert {b"config|get", b"config|set"} <= {row[0] for row in config[9]}


def test_list_filters(c):
    assert set(c("COMMAND LIST FILTERBY PATTERN s*range")) == {b"setrange"}
    assert set(STRINGS) <= {name.decode() for name in c("COMMAND LIST FILTERBY ACLCAT string")}
    assert c("COMMAND LIST FILTERBY ACLCAT nosuch") == []
    assert c("COMMAND LIST FILTERBY MODULE nosuch") == []
    for tail in ("x", "FILTERBY", "FILTERBY PATTERN", "FILTERBY BOGUS x", "FILTERBY PATTERN a b"):
        assert c(f"COMMAND LIST {tail}") == SYNTAX


def test_docs(c):
    reply = c("COMMAND DOCS get")
    assert reply[0] == b"get" and len(reply) == 2
    docs = dict(zip(reply[1][::2], reply[1][1::2], strict=True))
    assert docs[b"since"] == b"1.0.0" and docs[b"group"] == b"string"
    assert c("COMMAND DOCS nosuch") == []
    assert len(c("COMMAND DOCS")) == 2 * c("COMMAND COUNT")


@pytest.mark.parametrize("line, keys", [
    ("get k", "k"), ("SET k v", "k"), ("set k v ex 10", "k"), ("mget a b c", "a b c"), ("mset a 1 b 2", "a b"),
    ("del a b", "a b"), ("rename a b", "a b"), ("lcs a b len", "a b"), ("copy a b db 1", "a b"),
    ("object encoding k", "k"),
    ("memory usage k", "k"), ("msetnx a 1 b 2", "a b"), ("exists a a", "a a"), ("expire k 10 nx", "k"),
    ("debug object k", None),
    ("move k 1", "k"), ("getex k ex 10", "k")])
def test_getkeys(c, line, keys):
    expected = Error("ERR The command has no key arguments") if keys is None else [k.encode() for k in keys.split()]
    assert c(f"COMMAND GETKEYS {line}") == expected


def test_getkeys_errors(c):
    assert c("COMMAND GETKEYS nosuch a") == Error("ERR Invalid command specified")
    assert c("COMMAND GETKEYS") == arity("command|getkeys")
    assert c("COMMAND GETKEYS get") in (
        arity("command|getkeys"), Error("ERR Invalid number of arguments specified for command")), "Redis 7.0 and 7.2"
    assert c("COMMAND GETKEYS echo a") == Error("ERR The command has no key arguments")
    assert c("COMMAND GETKEYS get a b") == Error("ERR Invalid number of arguments specified for command")
    assert c("COMMAND GETKEYS set a") == Error("ERR Invalid number of arguments specified for command")


def test_getkeysandflags(c):
    assert c("COMMAND GETKEYSANDFLAGS get k") == [[b"k", [Status("RO"), Status("access")]]]
    assert c("COMMAND GETKEYSANDFLAGS set k v") == [[b"k", [Status("OW"), Status("update")]]]
    assert c("COMMAND GETKEYSANDFLAGS set k v get") == [[b"k", [Status("RW"), Status("access"), Status("update")]]]
    assert c("COMMAND GETKEYSANDFLAGS del a b") == [[b"a", [Status("RM"), Status("delete")]],
                                                    [b"b", [Status("RM"), Status("delete")]]]
    assert c("COMMAND GETKEYSANDFLAGS mset a 1 b 2") == [[b"a", [Status("OW"), Status("update")]],
                                                         [b"b", [Status("OW"), Status("update")]]]
