"""COMMAND and its subcommands: what is built exists, what is not does not, and the shapes are the real Redis's."""

from types import SimpleNamespace

import pytest

from shardd.base.errors import (INVALID_ARGUMENT_COUNT, INVALID_ARGUMENTS, INVALID_COMMAND, NO_KEY_ARGUMENTS, SYNTAX,
                                CommandError)
from shardd.commands import connection, introspect
from shardd.commands.introspect import HANDLERS, InOrder, load_docs, parse_arguments
from shardd.commands.table import COMMANDS, find
from shardd.wire.reply import encode
from shardd.wire.values import Simple

EVERY = frozenset(row.name for top in COMMANDS.values() for row in (top, *top.subcommands.values())
                  if top.group != "sentinel")
SMALL = SimpleNamespace(built=frozenset(("get", "set", "mset", "eval", "ping", "client|id", "client|list",
                                         "memory|usage", "quit", "zunion")))


def call(line, server=SMALL):
    args = [word.encode() for word in line.split()]
    name = args[0].decode().lower()
    if len(args) > 1:
        name += "|" + args[1].decode().lower()
    return HANDLERS[name](server, None, args)


def refusal(line):
    with pytest.raises(CommandError) as error:
        call(line)
    return error.value.text


def test_a_set_in_order_goes_over_the_wire_as_a_set():
    mixed = InOrder([{b"a": 1}, b"b", b"b"])
    assert encode(mixed, 3) == b"~3\r\n%1\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n$1\r\nb\r\n"
    assert encode(mixed, 2).startswith(b"*3\r\n*2\r\n")
    assert mixed == InOrder([{b"a": 1}, b"b", b"b"]) and mixed != InOrder([])


def test_count_has_containers_once_and_no_subcommands():
    assert call("COMMAND COUNT") == 9


def test_command_and_info_list_what_is_built():
    names = [row[0] for row in call("COMMAND")]
    assert sorted(names) == [b"client", b"eval", b"get", b"memory", b"mset", b"ping", b"quit", b"set", b"zunion"]
    assert call("COMMAND INFO") == call("COMMAND")
    client = next(row for row in call("COMMAND") if row[0] == b"client")
    assert [sub[0] for sub in client[9]] == [b"client|id", b"client|list"]


def test_info_of_names():
    get, nothing, sub, unbuilt, unbuilt_sub = call("COMMAND INFO GET nosuch CLIENT|ID dump client|kill")
    assert get == [b"get", 2, InOrder([Simple("readonly"), Simple("fast")]), 1, 1, 1,
                   InOrder([Simple("@read"), Simple("@string"), Simple("@fast")]), InOrder([]),
                   InOrder([{b"flags": InOrder([Simple("RO"), Simple("access")]),
                             b"begin_search": {b"type": b"index", b"spec": {b"index": 1}},
                             b"find_keys": {b"type": b"range",
                                            b"spec": {b"lastkey": 0, b"keystep": 1, b"limit": 0}}}]),
                   InOrder([])]
    assert sub[0] == b"client|id"
    assert (nothing, unbuilt, unbuilt_sub) == (None, None, None)


@pytest.mark.parametrize("line, names", [
    ("COMMAND LIST", [b"client", b"client|id", b"client|list", b"eval", b"get", b"memory", b"memory|usage", b"mset",
                      b"ping", b"quit", b"set", b"zunion"]),
    ("COMMAND LIST FILTERBY PATTERN *SET*", [b"mset", b"set"]),
    ("COMMAND LIST FILTERBY PATTERN client|[il]*", [b"client|id", b"client|list"]),
    ("COMMAND LIST FILTERBY ACLCAT scripting", [b"eval"]),
    ("COMMAND LIST FILTERBY ACLCAT nosuch", []),
    ("COMMAND LIST FILTERBY MODULE x", []),
    ("command list filterby aclcat Connection", [b"client|id", b"client|list", b"ping", b"quit"]),
])
def test_list(line, names):
    assert sorted(call(line)) == names


@pytest.mark.parametrize("line", ["COMMAND LIST x", "COMMAND LIST FILTERBY", "COMMAND LIST FILTERBY MODULE",
                                  "COMMAND LIST FILTERBY FOO x", "COMMAND LIST FILTERBY MODULE a b"])
def test_list_syntax(line):
    assert refusal(line) == SYNTAX


def test_getkeys():
    assert call("COMMAND GETKEYS MSET a 1 b 2") == [b"a", b"b"]
    assert call("COMMAND GETKEYS EVAL s 0") == []
    assert call("COMMAND GETKEYS MEMORY USAGE k") == [b"k"]
    assert call("COMMAND GETKEYSANDFLAGS SET a b") == [[b"a", InOrder([Simple("OW"), Simple("update")])]]
    assert call("COMMAND GETKEYSANDFLAGS SET a b GET") == [
        [b"a", InOrder([Simple("RW"), Simple("access"), Simple("update")])]]


@pytest.mark.parametrize("line, text", [
    ("COMMAND GETKEYS nosuch a", INVALID_COMMAND),
    ("COMMAND GETKEYS dump a", INVALID_COMMAND),
    ("COMMAND GETKEYS client kill a", INVALID_COMMAND),
    ("COMMAND GETKEYS client nosuch", INVALID_COMMAND),
    ("COMMAND GETKEYS client list", NO_KEY_ARGUMENTS),
    ("COMMAND GETKEYS ping", NO_KEY_ARGUMENTS),
    ("COMMAND GETKEYS get", INVALID_ARGUMENT_COUNT),
    ("COMMAND GETKEYS get a b", INVALID_ARGUMENT_COUNT),
    ("COMMAND GETKEYSANDFLAGS zunion 5 a", INVALID_ARGUMENTS),
])
def test_getkeys_refuses(line, text):
    assert refusal(line) == text


def test_docs():
    docs = call("COMMAND DOCS get nosuch client|id dump QUIT")
    assert list(docs) == [b"get", b"client|id", b"quit"]
    assert docs[b"get"][b"since"] == b"1.0.0" and docs[b"get"][b"group"] == b"string"
    assert docs[b"get"][b"complexity"] == b"O(1)"
    assert docs[b"get"][b"arguments"] == [
        {b"name": b"key", b"type": b"key", b"display_text": b"key", b"key_spec_index": 0}]
    assert docs[b"quit"][b"doc_flags"] == InOrder([Simple("deprecated")])
    assert docs[b"quit"][b"deprecated_since"] == b"7.2.0"
    assert call("COMMAND DOCS nosuch") == {}


def test_docs_of_a_container_have_its_built_subcommands():
    docs = call("COMMAND DOCS client")
    assert list(docs[b"client"][b"subcommands"]) == [b"client|id", b"client|list"]
    assert set(call("COMMAND DOCS")) == {row[0] for row in call("COMMAND")}


def test_groups_are_spelled_as_redis_does():
    assert call("COMMAND DOCS zunion")[b"zunion"][b"group"] == b"sorted-set"


def test_the_grammar_of_arguments():
    assert parse_arguments('a:key=KEY@1?*^1.2.3~4.5.6\'the key\' b{x=X y(z:integer w)}=Q?+ e=""') == [
        {b"name": b"a", b"type": b"key", b"display_text": b"the key", b"key_spec_index": 1, b"token": b"KEY",
         b"since": b"1.2.3", b"deprecated_since": b"4.5.6",
         b"flags": InOrder([Simple("optional"), Simple("multiple")])},
        {b"name": b"b", b"type": b"oneof", b"token": b"Q",
         b"flags": InOrder([Simple("optional"), Simple("multiple_token")]), b"arguments": [
             {b"name": b"x", b"type": b"pure-token", b"display_text": b"x", b"token": b"X"},
             {b"name": b"y", b"type": b"block", b"arguments": [
                 {b"name": b"z", b"type": b"integer", b"display_text": b"z"},
                 {b"name": b"w", b"type": b"pure-token", b"display_text": b"w"}]}]},
        {b"name": b"e", b"type": b"pure-token", b"display_text": b"e", b"token": b""},
    ]
    for broken in ("=x", "a}", "a{b", "a{b)", ":key"):
        with pytest.raises(ValueError):
            parse_arguments(broken)


@pytest.mark.parametrize("name", sorted(load_docs()))
def test_every_line_of_the_docs_is_a_command_with_a_summary(name):
    assert find(name) is not None
    complexity, deprecated, replaced_by, summary, arguments = load_docs()[name]
    assert summary.endswith(".") and complexity
    assert bool(deprecated) == bool(replaced_by) == ("deprecated" in find(name).doc_flags)
    if arguments:
        assert parse_arguments(arguments)


@pytest.mark.parametrize("name", sorted({*HANDLERS, *connection.HANDLERS}))
def test_what_is_registered_here_is_described(name):
    assert name in load_docs()
    assert HANDLERS.get(name, connection.HANDLERS.get(name)).__doc__


def test_help_is_lines_of_text():
    lines = call("COMMAND HELP")
    assert lines[0] == "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert lines[-2:] == ["HELP", "    Print this help."]
    assert all(isinstance(line, Simple) for line in lines)


@pytest.fixture(scope="module")
def oracle_raw(fleet):
    """Asks the real Redis and gives the answer, parsed."""
    target = fleet.target("oracle")
    connection_ = target.conn()
    yield connection_
    target.close()


UNCHANGED = sorted(name for name in ("get mset append lcs exists rename ttl hset zunion xread sort migrate georadius "
                                     "object|encoding client|id cluster config|get eval_ro").split())


@pytest.mark.parametrize("name", UNCHANGED)
def test_shapes_are_the_real_redis_s(name, oracle_raw):
    """COMMAND INFO, subcommands and notes aside, value by value in RESP2."""
    def flat(value):
        if isinstance(value, dict):
            return [flat(one) for pair in value.items() for one in pair]
        if isinstance(value, (list, InOrder)):
            return [flat(one) for one in value]
        return value.encode() if isinstance(value, str) else value

    def bare(row):
        return [*row[:8], [spec[2:] if spec[0] == b"notes" else spec for spec in row[8]]]

    mine = bare(flat(introspect.row_info(EVERY, find(name))))
    assert mine == bare(flat(oracle_raw("COMMAND", "INFO", name)[0]))
