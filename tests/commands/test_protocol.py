"""What stands between bytes and commands: requests cut anywhere, inline commands, protocol errors, unknown commands."""

import pytest

from harness import OK, Error, Status, encode
from harness.texts import arity, unknown, unknown_subcommand

PONG = Status("PONG")


def protocol_error(text: str) -> Error:
    return Error(f"ERR Protocol error: {text}")


@pytest.fixture
def c(r):
    """One raw connection; on the cluster it leads to one engine."""
    return r.conn()


# --- framing ----------------------------------------------------------------------------------------------------------

def test_a_request_byte_by_byte(c):
    for byte in encode("ECHO", b"a\r\nb\0") + b"PING\r\n" + encode("PING", ""):
        c.send(bytes([byte]))
    assert [c.read(), c.read(), c.read()] == [b"a\r\nb\0", PONG, b""]


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_two_requests_cut_once(c, cut):
    data = encode("ECHO", b"x" * 20) + encode("ECHO", b"y" * 5) + b"PING\r\n"
    c.send(data[:cut])
    c.send(data[cut:])
    assert [c.read(), c.read(), c.read()] == [b"x" * 20, b"y" * 5, PONG]


def test_a_long_pipeline_is_answered_in_order(c):
    assert c.many(*[("ECHO", n) for n in range(20_000)]) == [str(n).encode() for n in range(20_000)]


def test_many_kinds_in_one_write(c):
    c.send(b"PING\r\n*0\r\n*-1\r\n\r\n" + encode("ECHO", "a") + b"\r\n  \r\nECHO b\n" + encode("NOSUCH") + b"ping\r\n")
    assert [c.read() for _ in range(5)] == [PONG, b"a", b"b", unknown("NOSUCH"), PONG]
    assert c.silent()


def test_empty_requests_get_no_reply(c):
    c.send(b"*0\r\n*-1\r\n*-2147483648\r\n\r\n\n\r\n")
    assert c.silent()
    assert c("PING") == PONG


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 32_768, 65_535, 65_536, 65_537, 1_000_000])
def test_arguments_of_many_sizes(c, size):
    assert c("ECHO", b"e" * size) == b"e" * size
    assert c.many(("ECHO", b"e" * size), ("PING",), ("ECHO", b"f" * size)) == [b"e" * size, PONG, b"f" * size]


def test_a_thousand_arguments(c):
    assert c("ECHO", *["x"] * 999) == arity("echo")
    assert c("COMMAND", "GETKEYS", "EXISTS", *range(1000)) == [str(n).encode() for n in range(1000)]


def test_lengths_may_have_leading_zeros_or_not(c):
    assert c.raw(b"*1\r\n$4\r\nPING\r\n") == PONG
    assert c.raw(b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n") == b""


# --- inline commands --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, reply", [
    (b"PING", PONG), (b"ping", PONG), (b"  PING  ", PONG), (b"\tPING\t", PONG), (b"PING hello", b"hello"),
    (b'ECHO "a b"', b"a b"), (b"ECHO 'a b'", b"a b"), (b'ECHO "\\x41\\n\\r\\t\\a\\b\\\\\\"q"', b'A\n\r\t\a\b\\"q'),
    (b"ECHO 'it\\'s \\n'", b"it's \\n"), (b'ECHO ""', b""), (b"ECHO ''", b""), (b'ECHO "\\xZZ"', b"xZZ"),
    (b'"ECHO" a', b"a"), (b"ECHO a\\nb", b"a\\nb"), (b"ECHO \xff\xfe", b"\xff\xfe"), (b"PING a b", arity("ping")),
    (b"NOSUCH 'x y' z", unknown("NOSUCH", "x y", "z")), (b"+PING", unknown("+PING")), (b"$4", unknown("$4")),
    (b":1", unknown(":1"))])
def test_inline(c, line, reply):
    for end in (b"\r\n", b"\n"):
        assert c.raw(line + end) == reply


@pytest.mark.parametrize("line", [b'ECHO "a', b"ECHO 'a", b'ECHO "a"b', b"ECHO 'a'b", b'"', b"'", b'ECHO "a\\"',
                                  b'ECHO a"b'])
def test_unbalanced_quotes(c, line):
    assert c.raw(line + b"\r\n") == protocol_error("unbalanced quotes in request")
    assert c.closed()


def test_inline_set_and_get(r):
    if r.name == "cluster":
        key_conn = r.at(r.node_of("GET", "inline"))
    else:
        key_conn = r.conn()
    assert key_conn.raw(b'SET inline "v w"\r\n') == OK
    assert key_conn.raw(b"GET inline\r\n") == b"v w"


# --- protocol errors --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("data, text", [
    (b"*abc\r\n", "invalid multibulk length"), (b"*\r\n", "invalid multibulk length"),
    (b"*1x\r\n", "invalid multibulk length"),
    (b"* 1\r\n", "invalid multibulk length"), (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*99999999999999999999\r\n", "invalid multibulk length"), (b"*+1\r\n", "invalid multibulk length"),
    (b"*1\r\n:1\r\n", "expected '$', got ':'"), (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    (b"*2\r\n$4\r\nECHO\r\n+a\r\n", "expected '$', got '+'"),
    (b"*1\r\n$abc\r\n", "invalid bulk length"), (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"), (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    (b"*1\r\n$4x\r\n", "invalid bulk length"), (b"*1\r\n$ 4\r\n", "invalid bulk length"),
    (b"*1\r\n$+4\r\n", "invalid bulk length"),
    (b"*" + b"1" * 70_000, "too big mbulk count string"), (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
    (b"x" * 70_000, "too big inline request")], ids=lambda v: repr(v[:24]))
def test_protocol_errors_close(c, data, text):
    assert c.raw(data) == protocol_error(text)
    assert c.closed()


def test_commands_before_the_error_are_answered(c):
    c.send(b"PING\r\n" + encode("ECHO", "a") + b"*x\r\n" + encode("ECHO", "never"))
    assert [c.read(), c.read(), c.read()] == [PONG, b"a", protocol_error("invalid multibulk length")]
    assert c.closed()


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"Host: localhost\r\n", b"post / x\r\n", b"host: a\r\n"])
def test_http_is_shut_out_without_a_word(c, line):
    c.send(line + b"PING\r\n")
    assert c.closed()


def used_memory(r) -> int:
    return int(r("INFO memory").partition(b"used_memory:")[2].split()[0])


@pytest.mark.not_on("oracle", reason="Redis reserves a buffer for a big argument as soon as it is announced")
def test_announcing_is_not_paid_for(c, r):
    before = used_memory(r)
    others = [r.conn() for _ in range(20)]
    for other in others:
        other.send(b"*2147483647\r\n$536870912\r\nabc")
    assert c("PING") == PONG
    assert used_memory(r) - before < 200 * 1024 * 1024


# --- names ------------------------------------------------------------------------------------------------------------

def test_unknown_commands(c):
    assert c("foo") == unknown("foo")
    assert c("FOO a b c") == unknown("FOO", "a", "b", "c")
    assert c("foo", "a\r\nb", "\0z", "x\n") == unknown("foo", "a  b", "", "x ")
    assert c("foo", "a" * 200, "b") == unknown("foo", "a" * 128)
    assert c("f" * 200, "a") == unknown("f" * 128, "a")
    assert c("", "a") == unknown("", "a")
    assert c("a\0b") == unknown("a")
    assert c("foo", *["x"] * 60) == unknown("foo", *["x"] * 32)
    assert c("foo", "x" * 122, "yyyy", "z") == unknown("foo", "x" * 122, "yyy")
    assert c("foo", b"\xc3\xbc\xff") == unknown("foo", "\xc3\xbc\xff")
    assert c("get|x") == unknown("get|x")
    assert c("config|get", "x") == unknown("config|get", "x")
    assert c("PING") == PONG


@pytest.mark.parametrize("container", ["CONFIG", "CLIENT", "COMMAND", "OBJECT", "MEMORY", "SLOWLOG", "CLUSTER"])
def test_containers(c, container):
    name = container.lower()
    if container != "COMMAND":
        assert c(container) == arity(name)
        assert c(name) == arity(name)
    assert c(f"{container} BOGUS") == unknown_subcommand("BOGUS", container)
    assert c(f"{name} bogus a b") == unknown_subcommand("bogus", container)
    assert c(container, "x" * 200) == unknown_subcommand("x" * 128, container)
    if container == "CLUSTER":
        return  # its HELP needs cluster mode, see test_cluster
    lines = c(f"{container} HELP")
    assert isinstance(lines[0], Status) and lines[0].startswith(f"{container} <subcommand> [<arg> [value] [opt] ...].")
    assert lines[-2] == Status("HELP") and lines[-1].startswith("    Print")
    assert c(f"{container} HELP x") == arity(f"{name}|help")


@pytest.mark.parametrize("name, lines", [
    ("ping", ["PING a b"]), ("echo", ["ECHO", "ECHO a b"]), ("auth", ["AUTH"]), ("select", ["SELECT", "SELECT 0 1"]),
    ("reset", ["RESET x"]), ("time", ["TIME x"]), ("readonly", ["READONLY x"]), ("asking", ["ASKING x"]),
    ("client|id", ["CLIENT ID x"]), ("client|setname", ["CLIENT SETNAME", "CLIENT SETNAME a b"]),
    ("client|kill", ["CLIENT KILL"]),
    ("client|getname", ["CLIENT GETNAME x"]), ("client|info", ["CLIENT INFO x"]), ("client|reply", ["CLIENT REPLY"]),
    ("client|no-evict", ["CLIENT NO-EVICT", "CLIENT NO-EVICT on off"]), ("config|get", ["CONFIG GET"]),
    ("config|set", ["CONFIG SET", "CONFIG SET maxmemory"]), ("config|resetstat", ["CONFIG RESETSTAT x"]),
    ("config|rewrite", ["CONFIG REWRITE x"]), ("slowlog|len", ["SLOWLOG LEN x"]),
    ("slowlog|reset", ["SLOWLOG RESET x"]), ("memory|usage", ["MEMORY USAGE"]), ("command|count", ["COMMAND COUNT x"]),
    ("command|getkeys", ["COMMAND GETKEYS"]), ("debug", ["DEBUG"]),
    ("cluster|keyslot", ["CLUSTER KEYSLOT", "CLUSTER KEYSLOT a b"]),
    ("cluster|slots", ["CLUSTER SLOTS x"]), ("cluster|countkeysinslot", ["CLUSTER COUNTKEYSINSLOT"]),
    ("cluster|getkeysinslot", ["CLUSTER GETKEYSINSLOT 1"])])
def test_arity(c, name, lines):
    for line in lines:
        assert c(line) == arity(name)
