"""The connection commands, against clients that are plain objects."""

import re
from types import SimpleNamespace

import pytest

from shardd.base import errors
from shardd.base.clock import mono_ms, now_ms
from shardd.base.errors import CommandError
from shardd.base.options import Config
from shardd.commands import connection
from shardd.commands.connection import HANDLERS, describe
from shardd.commands.table import find
from shardd.net.client import ClientFlag
from shardd.wire.values import NO_REPLY, OK, Simple, Verbatim


class FakeTransport:
    def __init__(self, number):
        self.fd = number + 7
        self.peer, self.local = f"127.0.0.1:{5000 + number}", "127.0.0.1:6379"
        self.is_unix = self.closing = self.reading_paused = False
        self.in_len, self.in_cap, self.out_len, self.out_cap = 10, 64, 0, 0
        self.closed_because = None

    def close(self, reason=None):
        self.closed_because = reason


class FakeServer:
    def __init__(self, clients=1, **options):
        self.config = Config({name.replace("_", "-"): value for name, value in options.items()})
        self.mode = "standalone"
        self.databases = self.config["databases"]
        self.clients = SimpleNamespace(by_id={})
        for number in range(1, clients + 1):
            self.clients.by_id[number] = SimpleNamespace(
                id=number, name=b"", lib_name=b"", lib_ver=b"", user=b"default", db=0, resp=2, subscriptions=None,
                authenticated=not self.config["requirepass"], flags=0, created_ms=now_ms(), active_ms=mono_ms(),
                last_command=None, commands=0, multi_count=-1, watch_count=0, multi_bytes=0, kept_bytes=0,
                reset_session=lambda: None, unblock=lambda failing: False, transport=FakeTransport(number),
                registry=self.clients)

    def __call__(self, line, number=1):
        args = line if isinstance(line, list) else [word.encode() for word in line.split()]
        name = args[0].decode().lower()
        if f"{name}|" in {key[:len(name) + 1] for key in HANDLERS}:
            name += "|" + args[1].decode().lower()
        row = find(name)
        assert row.arity_fits(len(args)), "dispatch refuses it before the handler"
        return HANDLERS[name](self, self.clients.by_id[number], args)

    def refuses(self, line, number=1):
        with pytest.raises(CommandError) as error:
            self(line, number)
        return error.value.text

    def __getitem__(self, number):
        return self.clients.by_id[number]


@pytest.fixture
def server():
    return FakeServer()


def test_every_handler_has_a_row():
    assert [name for name in HANDLERS if find(name) is None] == []


# --- the plain ones -----------------------------------------------------------------------------------------------

def test_ping_and_echo(server):
    assert server("PING") == "PONG" and isinstance(server("PING"), Simple)
    assert server("PING hi") == b"hi"
    assert server.refuses("PING a b") == b"ERR wrong number of arguments for 'ping' command"
    assert server([b"ECHO", b"\0\xff"]) == b"\0\xff"


def test_quit_closes_after_the_reply(server):
    assert server("QUIT") is OK
    assert server[1].flags & ClientFlag.CLOSE_AFTER_REPLY


@pytest.mark.parametrize("index, text", [
    ("16", errors.DB_INDEX_OUT_OF_RANGE), ("-1", errors.DB_INDEX_OUT_OF_RANGE), ("x", errors.NOT_INTEGER),
    ("01", errors.NOT_INTEGER), ("99999999999", errors.out_of_range_between(-2**31, 2**31 - 1)),
    ("99999999999999999999", errors.NOT_INTEGER),
])
def test_select_refuses(server, index, text):
    assert server.refuses(f"SELECT {index}") == text
    assert server[1].db == 0


def test_select(server):
    assert server("SELECT 15") is OK
    assert server[1].db == 15
    cluster = FakeServer()
    cluster.mode = "cluster"
    assert cluster("SELECT 3") is OK


def test_reset_goes_back_to_the_beginning_but_keeps_the_library():
    server = FakeServer(requirepass="secret")
    client = server[1]
    server("AUTH secret")
    server("CLIENT SETINFO LIB-NAME lib")
    client.db, client.resp, client.name = 5, 3, b"me"
    client.flags = int(ClientFlag.READONLY | ClientFlag.ASKING | ClientFlag.REPLY_OFF | ClientFlag.NO_EVICT
                       | ClientFlag.NO_TOUCH | ClientFlag.REPLY_SKIP_NEXT | ClientFlag.INTERNAL)
    assert server("RESET") == "RESET" and isinstance(server("RESET"), Simple)
    assert (client.db, client.resp, client.name, client.authenticated) == (0, 2, b"", False)
    assert client.flags == ClientFlag.INTERNAL
    assert client.lib_name == b"lib"
    open_server = FakeServer()
    open_server("RESET")
    assert open_server[1].authenticated


# --- AUTH and HELLO -----------------------------------------------------------------------------------------------

def test_auth_without_a_password_set(server):
    assert server.refuses("AUTH x") == errors.AUTH_NO_PASSWORD
    assert server("AUTH default anything") is OK
    assert server.refuses("AUTH other x") == errors.WRONGPASS
    assert server.refuses("AUTH a b c") == errors.SYNTAX


@pytest.mark.parametrize("line, good", [
    ("AUTH secret", True), ("AUTH default secret", True), ("AUTH wrong", False), ("AUTH default wrong", False),
    ("AUTH other secret", False), ("AUTH SECRET", False),
])
def test_auth_with_a_password(line, good):
    server = FakeServer(requirepass="secret")
    if good:
        assert server(line) is OK
    else:
        assert server.refuses(line) == errors.WRONGPASS
    assert server[1].authenticated is good


def test_a_password_may_be_any_bytes():
    server = FakeServer()
    server.config.set_many([(b"requirepass", b"\xff\x00 x"[:1] + b" x")])
    assert server([b"AUTH", b"\xff x"]) is OK
    assert server.refuses([b"AUTH", b"\xc3\xbf x"]) == errors.WRONGPASS


def test_a_failed_auth_leaves_an_authenticated_client_so():
    server = FakeServer(requirepass="secret")
    server("AUTH secret")
    server.refuses("AUTH wrong")
    assert server[1].authenticated


def test_hello_describes_the_server(server):
    reply = server("HELLO 3")
    assert list(reply.items()) == [(b"server", b"redis"), (b"version", b"7.2.6"), (b"proto", 3), (b"id", 1),
                                   (b"mode", b"standalone"), (b"role", b"master"), (b"modules", [])]
    assert server[1].resp == 3
    assert server("HELLO")[b"proto"] == 3
    assert server("HELLO 2")[b"proto"] == 2 and server[1].resp == 2


@pytest.mark.parametrize("line, text", [
    ("HELLO x", errors.PROTOCOL_VERSION_NOT_INTEGER), ("HELLO 1", errors.NOPROTO), ("HELLO 4", errors.NOPROTO),
    ("HELLO 3 foo", b"ERR Syntax error in HELLO option 'foo'"),
    ("HELLO 3 AUTH default", b"ERR Syntax error in HELLO option 'AUTH'"),
    ("HELLO 3 SETNAME", b"ERR Syntax error in HELLO option 'SETNAME'"),
    ("HELLO 3 AUTH other x", errors.WRONGPASS),
])
def test_hello_refuses_and_changes_nothing(server, line, text):
    assert server.refuses(line) == text
    assert server[1].resp == 2


def test_hello_authenticates_and_names():
    server = FakeServer(requirepass="secret")
    assert server.refuses("HELLO 3") == errors.NOAUTH_HELLO
    assert server.refuses("HELLO 3 AUTH default wrong SETNAME me") == errors.WRONGPASS
    assert server[1].name == b""
    assert server("HELLO 3 SETNAME me AUTH default secret")[b"proto"] == 3
    assert server[1].authenticated and server[1].name == b"me"
    assert server.refuses([b"HELLO", b"3", b"SETNAME", b"a b"]) == errors.INVALID_CLIENT_NAME


# --- CLIENT -------------------------------------------------------------------------------------------------------

def test_names(server):
    assert server("CLIENT GETNAME") is None
    assert server("CLIENT SETNAME me") is OK
    assert server("CLIENT GETNAME") == b"me"
    for bad in (b"a b", b"a\n", b"\xff", b"a\0"):
        assert server.refuses([b"CLIENT", b"SETNAME", bad]) == errors.INVALID_CLIENT_NAME
    assert server([b"CLIENT", b"SETNAME", b""]) is OK
    assert server("CLIENT GETNAME") is None


def test_setinfo(server):
    assert server("CLIENT SETINFO LIB-NAME redis-py") is OK
    assert server("CLIENT SETINFO lib-ver 5.0") is OK
    assert (server[1].lib_name, server[1].lib_ver) == (b"redis-py", b"5.0")
    assert server.refuses("CLIENT SETINFO foo x") == b"ERR Unrecognized option 'foo'"
    assert server.refuses([b"CLIENT", b"SETINFO", b"lib-name", b"a b"]) == (
        b"ERR lib-name cannot contain spaces, newlines or special characters.")


@pytest.mark.parametrize("word, flag", [("NO-EVICT", ClientFlag.NO_EVICT), ("NO-TOUCH", ClientFlag.NO_TOUCH)])
def test_switches(server, word, flag):
    assert server(f"CLIENT {word} ON") is OK
    assert server[1].flags == flag
    assert server(f"CLIENT {word} off") is OK
    assert server[1].flags == 0
    assert server.refuses(f"CLIENT {word} maybe") == errors.SYNTAX


def test_reply(server):
    assert server("CLIENT REPLY OFF") is NO_REPLY
    assert server[1].flags == ClientFlag.REPLY_OFF
    # while all replies are off, SKIP does not outlive REPLY ON
    assert server("CLIENT REPLY SKIP") is NO_REPLY
    assert server[1].flags == ClientFlag.REPLY_OFF
    assert server("CLIENT REPLY ON") is OK
    assert server[1].flags == 0
    assert server("CLIENT REPLY SKIP") is NO_REPLY
    assert server[1].flags == ClientFlag.REPLY_SKIP_NEXT
    assert server.refuses("CLIENT REPLY x") == errors.SYNTAX


LINE = re.compile(
    r"id=1 addr=127\.0\.0\.1:5001 laddr=127\.0\.0\.1:6379 fd=8 name=me age=0 idle=0 flags=N db=2 sub=0 psub=0 ssub=0 "
    r"multi=-1 watch=0 qbuf=10 qbuf-free=54 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=\d+ events=r "
    r"cmd=client\|info user=default redir=-1 resp=3 lib-name=lib lib-ver=1\.0")


def test_a_line_has_the_fields_of_redis_7_2(server):
    client = server[1]
    client.name, client.lib_name, client.lib_ver, client.db, client.resp = b"me", b"lib", b"1.0", 2, 3
    client.last_command = "client|info"
    info = server("CLIENT INFO")
    assert isinstance(info, Verbatim) and LINE.fullmatch(info.rstrip("\n")) and info.endswith("\n")
    assert server("CLIENT LIST") == info


def test_age_and_idle_are_whole_seconds_of_two_clocks(server, monkeypatch):
    monkeypatch.setattr(connection, "now_ms", lambda: server[1].created_ms + 65_999)
    monkeypatch.setattr(connection, "mono_ms", lambda: server[1].active_ms + 3_500)
    assert " age=65 idle=3 " in describe(server[1])


@pytest.mark.parametrize("change, shown", [
    (dict(flags=int(ClientFlag.READONLY | ClientFlag.NO_EVICT | ClientFlag.NO_TOUCH)), "flags=reT "),
    (dict(flags=int(ClientFlag.CLOSE_AFTER_REPLY)), "flags=c "),
    (dict(last_command=None), "cmd=NULL "),
])
def test_what_a_line_shows_of_a_client(server, change, shown):
    for name, value in change.items():
        setattr(server[1], name, value)
    assert shown in describe(server[1])


@pytest.mark.parametrize("change, shown", [
    (dict(is_unix=True, peer="/tmp/s:0", local="/tmp/s:0"), "addr=/tmp/s:0 laddr=/tmp/s:0 "),
    (dict(is_unix=True), "flags=U "), (dict(closing=True), "flags=A "),
    (dict(out_len=5), "oll=1 omem=5 "), (dict(out_len=5), "events=rw "), (dict(reading_paused=True), "events= "),
])
def test_what_a_line_shows_of_a_connection(server, change, shown):
    for name, value in change.items():
        setattr(server[1].transport, name, value)
    assert shown in describe(server[1])


def ids(listing):
    return [int(number) for number in re.findall(r"^id=(\d+) ", listing, re.MULTILINE)]


def test_list_filters():
    server = FakeServer(clients=3)
    assert ids(server("CLIENT LIST")) == [1, 2, 3]
    assert ids(server("CLIENT LIST TYPE normal")) == [1, 2, 3]
    assert ids(server("CLIENT LIST TYPE pubsub")) == []
    assert ids(server("CLIENT LIST ID 3 1 99 -5")) == [3, 1]
    assert server.refuses("CLIENT LIST ID x") == errors.INVALID_CLIENT_ID
    assert server.refuses("CLIENT LIST TYPE foo") == b"ERR Unknown client type 'foo'"
    for line in ("CLIENT LIST foo", "CLIENT LIST ID", "CLIENT LIST TYPE", "CLIENT LIST TYPE normal ID 1"):
        assert server.refuses(line) == errors.SYNTAX


def killed(server):
    return [one.id for one in server.clients.by_id.values()
            if one.transport.closed_because or one.flags & ClientFlag.CLOSE_AFTER_REPLY]


@pytest.mark.parametrize("line, reply, dead", [
    ("CLIENT KILL 127.0.0.1:5002", OK, [2]),
    ("CLIENT KILL 127.0.0.1:5001", OK, [1]),
    ("CLIENT KILL ADDR 127.0.0.1:5002", 1, [2]),
    ("CLIENT KILL ADDR 127.0.0.1:5001", 0, []),
    ("CLIENT KILL ADDR 127.0.0.1:5001 SKIPME no", 1, [1]),
    ("CLIENT KILL ID 3", 1, [3]),
    ("CLIENT KILL ID 99", 0, []),
    ("CLIENT KILL TYPE normal", 2, [2, 3]),
    ("CLIENT KILL TYPE normal SKIPME NO", 3, [1, 2, 3]),
    ("CLIENT KILL TYPE pubsub", 0, []),
    ("CLIENT KILL LADDR 127.0.0.1:6379 ID 2", 1, [2]),
    ("CLIENT KILL LADDR 127.0.0.1:1", 0, []),
    ("CLIENT KILL USER default", 2, [2, 3]),
    ("CLIENT KILL SKIPME yes", 2, [2, 3]),
    ("CLIENT KILL ID 1 ID 2", 1, [2]),
])
def test_kill(line, reply, dead):
    server = FakeServer(clients=3)
    assert server(line) == reply
    assert killed(server) == dead


def test_the_links_within_the_tree_are_not_killed():
    server = FakeServer(clients=3)
    server[2].flags |= ClientFlag.INTERNAL
    assert server("CLIENT KILL TYPE normal") == 1
    assert server("CLIENT KILL ID 2") == 0
    assert server.refuses("CLIENT KILL 127.0.0.1:5002") == errors.NO_SUCH_CLIENT
    assert killed(server) == [3]


def test_a_connection_that_is_closing_is_not_killed_again():
    server = FakeServer(clients=2)
    server[2].transport.closing = True
    assert server("CLIENT KILL ID 2") == 0


def test_one_s_own_connection_closes_after_the_reply():
    server = FakeServer()
    server("CLIENT KILL 127.0.0.1:5001")
    assert server[1].transport.closed_because is None
    assert server[1].flags & ClientFlag.CLOSE_AFTER_REPLY


def test_kill_by_age():
    server = FakeServer(clients=3)
    server[2].created_ms -= 10_500
    assert server("CLIENT KILL MAXAGE 11") == 0
    assert server("CLIENT KILL MAXAGE 10 TYPE normal") == 1
    assert server[2].transport.closed_because


@pytest.mark.parametrize("line, text", [
    ("CLIENT KILL 1.2.3.4:5", errors.NO_SUCH_CLIENT),
    ("CLIENT KILL ID 0", errors.CLIENT_ID_NOT_POSITIVE),
    ("CLIENT KILL ID x", errors.CLIENT_ID_NOT_POSITIVE),
    ("CLIENT KILL TYPE foo", b"ERR Unknown client type 'foo'"),
    ("CLIENT KILL USER bob", b"ERR No such user 'bob'"),
    ("CLIENT KILL SKIPME maybe", errors.SYNTAX),
    ("CLIENT KILL FOO bar", errors.SYNTAX),
    ("CLIENT KILL ID 1 ADDR", errors.SYNTAX),
    ("CLIENT KILL MAXAGE x", errors.MAX_AGE_NOT_INTEGER),
    ("CLIENT KILL MAXAGE 0", errors.MAX_AGE_NOT_POSITIVE),
])
def test_kill_refuses(line, text):
    server = FakeServer(clients=2)
    assert server.refuses(line) == text
    assert killed(server) == []


def test_help(server):
    lines = server("CLIENT HELP")
    assert lines[0].startswith("CLIENT <subcommand>") and lines[-2] == "HELP"
    # what is not built is not offered
    assert not any(line.startswith("TRACKING ") for line in lines)
