"""What belongs to one connection: HELLO AUTH SELECT RESET QUIT ECHO PING and CLIENT with its subcommands."""

import time

import pytest

from harness import OK, Closed, Error, SetReply, Status, Verbatim, encode
from harness.texts import NOAUTH, SYNTAX, arity, unknown_subcommand

PONG = Status("PONG")
BAD_NAME = Error("ERR Client names cannot contain spaces, newlines or special characters.")
FIELDS = ("id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp "
          "obl oll omem tot-mem events cmd user redir resp lib-name lib-ver").split()
ONE_CONFIG = "the engines' configuration is set through the proxy"
ONE_DB = "redis-py's RedisCluster knows no SELECT"


@pytest.fixture
def c(r):
    return r.conn()


def parse(line: str) -> dict[str, str]:
    """A line of CLIENT LIST."""
    return dict(field.split("=", 1) for field in line.split(" "))


def clients(reply: bytes | Verbatim) -> list[dict[str, str]]:
    text = reply if isinstance(reply, str) else reply.decode()
    assert text == "" or text.endswith("\n")
    return [parse(line) for line in text.splitlines()]


def pairs(reply: list) -> dict:
    return dict(zip(reply[::2], reply[1::2], strict=True))


# --- PING ECHO QUIT RESET ---------------------------------------------------------------------------------------------

def test_ping_and_echo(c):
    assert c("PING") == PONG
    assert c("PING", "a b") == b"a b"
    assert c("PING", "") == b""
    assert c("ECHO", b"\0\r\n") == b"\0\r\n"


@pytest.mark.parametrize("line", ["QUIT", "quit x y"])
def test_quit(c, line):
    c.send(encode(*line.split()) + encode("PING"))
    assert c.read() == OK
    assert c.closed(), "nothing after QUIT is executed"


def test_reset(c):
    reset = Status("RESET")
    assert c("RESET") == reset
    c.must("CLIENT SETNAME somebody")
    c.must("CLIENT NO-EVICT on")
    c.must("HELLO 3")
    assert c("RESET") == reset
    assert c.raw(encode("CLIENT", "GETNAME")) is None
    c.send(encode("GET"))
    assert isinstance(c.read(), Error)
    assert isinstance(c("CLIENT INFO"), bytes), "back to RESP2"
    assert parse(c("CLIENT INFO").decode().strip())["name"] == ""


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_reset_selects_database_0(r):
    conn = r.conn(db=3)
    conn.must("SET k v")
    assert conn("RESET") == Status("RESET")
    assert conn("GET k") is None


def test_reset_ends_reply_off(c):
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("PING") + encode("RESET") + encode("PING"))
    assert c.read() == Status("RESET")
    assert c.read() == PONG


# --- HELLO ------------------------------------------------------------------------------------------------------------

def test_hello(c):
    reply = c("HELLO")
    assert [name for name in reply[::2]] == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    fields = pairs(reply)
    assert fields[b"server"] == b"redis"
    assert fields[b"proto"] == 2
    assert fields[b"mode"] in (b"standalone", b"cluster")
    assert fields[b"role"] == b"master"
    assert fields[b"modules"] == []
    assert fields[b"id"] == c("CLIENT ID")
    assert all(part.isdigit() for part in fields[b"version"].split(b"."))


def test_hello_3_and_back(c):
    reply = c("HELLO 3")
    assert isinstance(reply, dict)
    assert list(reply) == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    assert reply[b"proto"] == 3
    assert isinstance(c("HELLO"), dict)
    assert isinstance(c("HELLO 2"), list)
    assert isinstance(c("HELLO"), list)


def test_hello_setname(c):
    c.must("HELLO 3 SETNAME me")
    assert c("CLIENT GETNAME") == b"me"
    c.must("hello 2 setname you")
    assert c("CLIENT GETNAME") == b"you"
    assert c("HELLO", "2", "SETNAME", "a b") == BAD_NAME
    assert c("CLIENT GETNAME") == b"you"


@pytest.mark.parametrize("line, text", [
    ("HELLO 1", "NOPROTO unsupported protocol version"), ("HELLO 4", "NOPROTO unsupported protocol version"),
    ("HELLO 0", "NOPROTO unsupported protocol version"), ("HELLO -2", "NOPROTO unsupported protocol version"),
    ("HELLO abc", "ERR Protocol version is not an integer or out of range"),
    ("HELLO 2.0", "ERR Protocol version is not an integer or out of range"),
    ("HELLO SETNAME x", "ERR Protocol version is not an integer or out of range"),
    ("HELLO 3 AUTH", "ERR Syntax error in HELLO option 'AUTH'"),
    ("HELLO 3 AUTH default", "ERR Syntax error in HELLO option 'AUTH'"),
    ("HELLO 3 SETNAME", "ERR Syntax error in HELLO option 'SETNAME'"),
    ("HELLO 3 SETNAME a b", "ERR Syntax error in HELLO option 'b'"),
    ("HELLO 3 BOGUS", "ERR Syntax error in HELLO option 'BOGUS'"),
    ("HELLO 3 AUTH nobody x", "WRONGPASS invalid username-password pair or user is disabled.")])
def test_hello_errors(c, line, text):
    assert c(line) == Error(text)
    assert isinstance(c("HELLO"), list), "a failed HELLO does not change the protocol"


def test_hello_with_the_default_user_that_has_no_password(c):
    assert isinstance(c("HELLO 3 AUTH default anything"), dict)


# --- AUTH -------------------------------------------------------------------------------------------------------------

def test_auth_without_a_password_configured(c):
    assert c("AUTH x") == Error("ERR AUTH <password> called without any password configured for the default user. "
                                "Are you sure your configuration is correct?")
    assert c("AUTH default x") == OK
    assert c("AUTH nobody x") == Error("WRONGPASS invalid username-password pair or user is disabled.")
    assert c("AUTH a b c") == SYNTAX
    assert c("PING") == PONG


@pytest.fixture
def secured(r):
    """The target with a password; the yielded connection was there before and stays in."""
    admin = r.conn()
    admin.must("CONFIG SET requirepass secret")
    yield admin
    admin.must("CONFIG", "SET", "requirepass", "")


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_a_password_shuts_newcomers_out(r, secured):
    assert secured("SET k v") == OK, "who was in stays in"
    c = r.conn()
    for line in ("PING", "GET k", "SELECT 1", "CLIENT LIST", "INFO", "COMMAND", "CONFIG GET *", "DBSIZE",
                 "CLIENT SETNAME x"):
        assert c(line) == NOAUTH, line
    assert c("NOSUCH") == Error("ERR unknown command 'NOSUCH', with args beginning with: ")
    assert c("GET") == arity("get")
    wrong = Error("WRONGPASS invalid username-password pair or user is disabled.")
    assert c("AUTH wrong") == wrong
    assert c("AUTH default wrong") == wrong
    assert c("AUTH nobody secret") == wrong
    assert c("AUTH", "") == wrong
    assert c("AUTH", "secret\0") == wrong
    assert c("GET k") == NOAUTH
    assert c("AUTH secret") == OK
    assert c("GET k") == b"v"
    assert c("AUTH wrong") == wrong
    assert c("GET k") == b"v", "a failed AUTH does not log out"
    assert c("RESET") == Status("RESET")
    assert c("GET k") == NOAUTH, "RESET logs out"
    assert c("AUTH default secret") == OK
    assert c("GET k") == b"v"


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_hello_with_a_password(r, secured):
    c = r.conn()
    for line in ("HELLO 3", "HELLO", "HELLO 3 SETNAME x"):
        assert c(line).startswith("NOAUTH HELLO must be called with the client already authenticated, otherwise ")
    assert c("HELLO 3 AUTH default wrong") == Error("WRONGPASS invalid username-password pair or user is disabled.")
    assert c("PING") == NOAUTH
    assert isinstance(c("HELLO 3 AUTH default secret SETNAME me"), dict)
    assert c("CLIENT GETNAME") == b"me"
    c = r.conn()
    assert c("QUIT") == OK


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
@pytest.mark.parametrize("data, text", [(b"*11\r\n", "unauthenticated multibulk length"),
                                        (b"*2\r\n$4\r\nECHO\r\n$16385\r\n", "unauthenticated bulk length")])
def test_before_authentication_requests_are_small(r, secured, data, text):
    c = r.conn()
    assert c.raw(data) == Error(f"ERR Protocol error: {text}")
    assert c.closed()
    c = r.conn()
    assert c("ECHO", "x" * 16_384) == NOAUTH
    assert c("ECHO", *"123456789") == arity("echo")


# --- CLIENT -----------------------------------------------------------------------------------------------------------

def test_names(c):
    assert c("CLIENT GETNAME") is None
    assert c("CLIENT SETNAME me") == OK
    assert c("CLIENT GETNAME") == b"me"
    for name in ("a b", "a\n", "a\r", "a\tb", "\x7f", "\xff", " "):
        assert c("CLIENT", "SETNAME", name) == BAD_NAME, name
    assert c("CLIENT GETNAME") == b"me"
    assert c("CLIENT", "SETNAME", "!\"#~") == OK
    assert c("CLIENT GETNAME") == b"!\"#~"
    assert c("CLIENT", "SETNAME", "") == OK
    assert c("CLIENT GETNAME") is None
    assert c("client setname you") == OK


@pytest.mark.since("7.2")
def test_setinfo(c):
    assert c("CLIENT SETINFO LIB-NAME redis-py") == OK
    assert c("client setinfo lib-ver 5.0.1") == OK
    info = parse(c("CLIENT INFO").decode().strip())
    assert info["lib-name"] == "redis-py" and info["lib-ver"] == "5.0.1"
    assert c("CLIENT SETINFO BOGUS x") == Error("ERR Unrecognized option 'BOGUS'")
    assert c("CLIENT", "SETINFO", "LIB-NAME", "a b") == Error(
        "ERR LIB-NAME cannot contain spaces, newlines or special characters.")
    assert c("CLIENT", "SETINFO", "lib-ver", "a\nb") == Error(
        "ERR lib-ver cannot contain spaces, newlines or special characters.")
    assert c("CLIENT SETINFO LIB-NAME") == arity("client|setinfo")
    assert c("CLIENT", "SETINFO", "LIB-NAME", "") == OK
    assert parse(c("CLIENT INFO").decode().strip())["lib-name"] == ""
    assert c("RESET") == Status("RESET")
    assert parse(c("CLIENT INFO").decode().strip())["lib-ver"] == "5.0.1", "RESET keeps what the library said of itself"


@pytest.mark.since("7.2")
def test_no_touch(c):
    assert c("CLIENT NO-TOUCH on") == OK
    assert c("CLIENT NO-TOUCH OFF") == OK
    assert c("CLIENT NO-TOUCH x") == SYNTAX
    assert c("CLIENT NO-TOUCH") == arity("client|no-touch")


def test_no_evict(c):
    assert c("CLIENT NO-EVICT on") == OK
    assert "e" in parse(c("CLIENT INFO").decode().strip())["flags"]
    assert c("CLIENT NO-EVICT OFF") == OK
    assert parse(c("CLIENT INFO").decode().strip())["flags"] == "N"
    assert c("CLIENT NO-EVICT maybe") == SYNTAX


def test_ids_rise(r):
    first, second = r.conn(), r.conn()
    a, b = first("CLIENT ID"), second("CLIENT ID")
    assert isinstance(a, int) and 0 < a < b
    assert first("CLIENT ID") == a


def test_info_line(c):
    c.must("CLIENT SETNAME me")
    line = c("CLIENT INFO").decode()
    info = parse(line.removesuffix("\n"))
    known = [name for name in FIELDS if name in info or not name.startswith(("lib-", "watch"))]
    assert list(info) == known
    host, port = c.sock.getsockname()
    assert info["addr"] == f"{host}:{port}"
    assert info["laddr"] == "{}:{}".format(*c.sock.getpeername())
    assert info["id"] == str(c("CLIENT ID"))
    expected = {"name": "me", "flags": "N", "db": "0", "sub": "0", "psub": "0", "multi": "-1", "cmd": "client|info",
                "user": "default", "redir": "-1", "resp": "2"}
    assert {name: info[name] for name in expected} == expected
    numbers = [name for name in FIELDS[5:] if name in info and name not in {
        "name", "flags", "events", "cmd", "user", "lib-name", "lib-ver"}]
    assert all(info[name].lstrip("-").isdigit() for name in numbers)


@pytest.mark.since("7.4")
def test_every_field(c):
    assert list(parse(c("CLIENT INFO").decode().strip())) == FIELDS


@pytest.mark.not_on("cluster", reason=ONE_DB)
def test_info_shows_database_protocol_and_last_command(r):
    other = r.conn(resp=3, db=5)
    other.must("SET k v")
    me = r.conn()
    line = next(one for one in clients(me("CLIENT LIST")) if one["id"] == str(other("CLIENT ID")))
    assert (line["db"], line["resp"]) == ("5", "3")
    assert line["cmd"] == "set"
    assert isinstance(other("CLIENT INFO"), Verbatim)


def test_list(r):
    conns = [r.conn() for _ in range(5)]
    ids = [str(conn("CLIENT ID")) for conn in conns]
    listed = [one["id"] for one in clients(conns[0]("CLIENT LIST"))]
    assert set(ids) <= set(listed)
    assert len(set(listed)) == len(listed)
    assert [one["id"] for one in clients(conns[0]("CLIENT", "LIST", "ID", *ids[1:3]))] == ids[1:3]
    assert conns[0]("CLIENT LIST ID 999999999") == b""
    assert set(ids) <= {one["id"] for one in clients(conns[0]("CLIENT LIST TYPE normal"))}
    assert conns[0]("CLIENT LIST TYPE pubsub") == b""
    assert conns[0]("client list type REPLICA") == b""
    conns[4].close()
    deadline = time.monotonic() + 10
    while ids[4] in [one["id"] for one in clients(conns[0]("CLIENT LIST"))]:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("line, text", [
    ("CLIENT LIST BOGUS", SYNTAX), ("CLIENT LIST TYPE", SYNTAX), ("CLIENT LIST ID", SYNTAX),
    ("CLIENT LIST TYPE normal x", SYNTAX),
    ("CLIENT LIST TYPE foo", Error("ERR Unknown client type 'foo'")),
    ("CLIENT LIST ID abc", Error("ERR Invalid client ID")),
    ("CLIENT LIST ID 1 x", Error("ERR Invalid client ID")), ("CLIENT BOGUS", unknown_subcommand("BOGUS", "CLIENT"))])
def test_list_errors(c, line, text):
    assert c(line) == text


# --- what clients ask that have tracking, and what waits --------------------------------------------------------------

NO_TRACKING = Error("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
                    "mode enabled")


@pytest.mark.parametrize("line, expected", [
    ("CLIENT GETREDIR", -1), ("CLIENT GETREDIR x", arity("client|getredir")),
    ("CLIENT TRACKINGINFO", [b"flags", [b"off"], b"redirect", -1, b"prefixes", []]),
    ("CLIENT CACHING YES", NO_TRACKING), ("CLIENT CACHING x", NO_TRACKING),
    ("CLIENT UNBLOCK 1", 0), ("CLIENT UNBLOCK -1 error", 0), ("CLIENT UNBLOCK 999999 TIMEOUT", 0),
    ("CLIENT UNBLOCK x", Error("ERR value is not an integer or out of range")),
    ("CLIENT UNBLOCK x FOO", Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    ("CLIENT UNBLOCK 1 ERROR x", Error("ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. "
                                       "Try CLIENT HELP.")),
    ("CLIENT UNBLOCK", arity("client|unblock"))])
def test_tracking_and_blocking(r, line, expected):
    assert r.conn()(line) == expected


def test_trackinginfo_in_resp3(r):
    reply = r.conn(resp=3)("CLIENT TRACKINGINFO")
    assert reply == {b"flags": [b"off"], b"redirect": -1, b"prefixes": []}
    assert isinstance(reply[b"flags"], SetReply)


@pytest.mark.not_on("oracle", reason="the commercial forms of Redis have it")
@pytest.mark.parametrize("line, expected", [
    ("CLIENT MAINT_NOTIFICATIONS ON", OK), ("client maint_notifications off", OK),
    *((f"CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type {kind}", OK)
      for kind in ("internal-ip", "internal-fqdn", "external-ip", "external-fqdn", "none")),
    ("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type other", SYNTAX),
    ("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type", SYNTAX), ("CLIENT MAINT_NOTIFICATIONS ON x none", SYNTAX),
    ("CLIENT MAINT_NOTIFICATIONS maybe", SYNTAX),
    ("CLIENT MAINT_NOTIFICATIONS", arity("client|maint_notifications"))])
def test_maint_notifications(r, line, expected):
    assert r.conn()(line) == expected


ONE_ENGINE = pytest.mark.not_on("cluster", reason="its connections lead to one engine, the keys to any")


@pytest.mark.parametrize("line, expected", [
    ("CLIENT PAUSE", arity("client|pause")), ("CLIENT UNPAUSE x", arity("client|unpause")),
    ("CLIENT PAUSE x", Error("ERR timeout is not an integer or out of range")),
    ("CLIENT PAUSE 99999999999999999999", Error("ERR timeout is not an integer or out of range")),
    ("CLIENT PAUSE -1", Error("ERR timeout is negative")), ("CLIENT PAUSE 0", OK),
    ("CLIENT PAUSE 100 FOO", Error("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    ("CLIENT PAUSE x FOO", Error("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    ("CLIENT PAUSE 100 WRITE x", Error("ERR unknown subcommand or wrong number of arguments for 'PAUSE'. "
                                       "Try CLIENT HELP.")),
    ("CLIENT UNPAUSE", OK)])
def test_pause_arguments(r, line, expected):
    assert r.conn()(line) == expected
    assert r.conn()("CLIENT UNPAUSE") == OK


@ONE_ENGINE
def test_a_pause_of_writes(r):
    c, d = r.conn(), r.conn()
    assert c("CLIENT PAUSE 60000 WRITE") == OK
    try:
        assert d("GET k") is None and d("PING") == PONG
        assert isinstance(d("SET k"), Error) and isinstance(d("NOSUCH"), Error), "what is refused need not wait"
        d.send(encode("GET", "k") + encode("SET", "k", "v") + encode("GET", "k"))
        assert d.read() is None
        assert d.silent(0.2)
        assert c("GET k") is None
    finally:
        assert c("CLIENT UNPAUSE") == OK
    assert d.read() == OK and d.read() == b"v", "in the client's order"


def test_a_pause_of_everything_ends_by_time(r):
    c, d = r.conn(), r.conn()
    assert d("PING") == PONG
    for pause_s in (0.6, 5):        # the second where the machine was slower than the first
        began = time.monotonic()
        assert c("CLIENT", "PAUSE", int(1000 * pause_s)) == OK
        assert isinstance(d("NOSUCH"), Error)
        in_time = time.monotonic() - began < pause_s
        assert d("PING") == PONG
        assert time.monotonic() - began >= pause_s - 0.05
        if in_time:
            break
    assert in_time, "what is refused need not wait"
    assert c("CLIENT UNPAUSE") == OK


@ONE_ENGINE
def test_a_second_pause_does_not_shorten_the_first(r):
    c, d = r.conn(), r.conn()
    began = time.monotonic()
    assert c("CLIENT PAUSE 800 WRITE") == OK and c("CLIENT PAUSE 1 WRITE") == OK
    assert d("SET k v") == OK
    assert time.monotonic() - began >= 0.75


@ONE_ENGINE
def test_clients_that_leave_while_they_wait(r):
    c, d, e = r.conn(), r.conn(), r.conn()
    number = e("CLIENT ID")
    assert c("CLIENT PAUSE 60000 WRITE") == OK
    try:
        d.send(encode("SET", "k", "v"))
        e.send(encode("SET", "e", "v"))
        assert d.silent(0.1)
        d.close()
        assert c("CLIENT", "KILL", "ID", number) == 1
        assert e.closed()
    finally:
        assert c("CLIENT UNPAUSE") == OK
    assert c("GET e") is None


# --- CLIENT NO-TOUCH --------------------------------------------------------------------------------------------------

@pytest.mark.since("7.2")
def test_no_touch_leaves_the_access_time(r):
    """On the cluster the connection leads to one engine, which need not own the key."""
    c = r.conn()
    key = next(f"k{n}" for n in range(1000) if not isinstance(c("GET", f"k{n}"), Error))
    other = next(f"o{n}" for n in range(1000) if not isinstance(c("GET", f"o{n}"), Error))
    third = next(f"t{n}" for n in range(1000) if not isinstance(c("GET", f"t{n}"), Error))
    for name in (key, other, third):
        assert c("SET", name, "v") == OK
    time.sleep(2.1)         # the clock has whole seconds: who was just used can be idle for one

    def used(name: str, since: float) -> bool:
        return c("OBJECT", "IDLETIME", name) <= time.monotonic() - since + 1

    assert c("CLIENT NO-TOUCH ON") == OK
    assert c("GET", key) == b"v" and c("STRLEN", key) == 1 and c("EXISTS", key) == 1
    assert c("OBJECT", "IDLETIME", key) >= 2
    touching, since = r.conn(), time.monotonic()
    assert touching("GET", other) == b"v"
    assert c("GET", key) == b"v"
    assert c("OBJECT", "IDLETIME", key) >= 2, "clients in between do not change it"
    assert used(other, since), "nor are they changed by it"
    assert c("TOUCH", key) == 1
    assert used(key, since), "TOUCH is meant"
    assert c("CLIENT NO-TOUCH OFF") == OK
    assert c("OBJECT", "IDLETIME", third) >= 2
    assert c("GET", third) == b"v"
    assert used(third, since)


# --- CLIENT KILL ------------------------------------------------------------------------------------------------------

@pytest.mark.since("7.4")
def test_kill_by_age(r):
    assert r("CLIENT KILL MAXAGE 100000") == 0
    assert r("CLIENT KILL MAXAGE 0") == Error("ERR maxage should be greater than 0")
    assert r("CLIENT KILL MAXAGE x") == Error("ERR maxage is not an integer or out of range")
    assert r("CLIENT KILL MAXAGE") == Error("ERR No such client"), "the old form, for a client of that address"


def test_kill_by_id(r):
    me, victim = r.conn(), r.conn()
    number = victim("CLIENT ID")
    assert me("CLIENT", "KILL", "ID", number) == 1
    assert victim.closed()
    assert me("CLIENT", "KILL", "ID", number) == 0


def test_kill_by_address(r):
    me, victim = r.conn(), r.conn()
    victim("PING")
    address = "{}:{}".format(*victim.sock.getsockname())
    assert me("CLIENT", "KILL", address) == OK
    assert victim.closed()
    assert me("CLIENT", "KILL", address) == Error("ERR No such client")
    victim = r.conn()
    victim("PING")
    assert me("CLIENT", "KILL", "ADDR", "{}:{}".format(*victim.sock.getsockname()), "TYPE", "normal") == 1
    assert victim.closed()


def test_kill_with_filters_that_must_all_hold(r):
    me, victim = r.conn(), r.conn()
    number = victim("CLIENT ID")
    assert me("CLIENT", "KILL", "ID", number, "ADDR", "1.2.3.4:5") == 0
    assert me("CLIENT", "KILL", "ID", number, "TYPE", "pubsub") == 0
    assert me("CLIENT", "KILL", "ID", number, "LADDR", "1.2.3.4:5") == 0
    assert victim("PING") == PONG
    assert me("CLIENT", "KILL", "ID", number, "USER", "default", "LADDR",
              "{}:{}".format(*victim.sock.getpeername())) == 1
    assert victim.closed()


def test_killing_oneself(r):
    me = r.conn()
    number = me("CLIENT ID")
    assert me("CLIENT", "KILL", "ID", number) == 0, "SKIPME is the default of the long form"
    me.send(encode("CLIENT", "KILL", "ID", number, "SKIPME", "no") + encode("PING"))
    assert me.read() == 1
    assert me.closed()
    me = r.conn()
    me("PING")
    assert me("CLIENT", "KILL", "{}:{}".format(*me.sock.getsockname())) == OK
    assert me.closed()


def test_kill_when_the_victim_has_much_to_send(r):
    me, victim = r.conn(), r.conn(rcvbuf_bytes=4096)
    number = victim("CLIENT ID")
    victim.send(encode("ECHO", "x" * 200_000) * 20)
    assert me("CLIENT", "KILL", "ID", number) == 1
    with pytest.raises(Closed):
        for _ in range(21):
            victim.read()


@pytest.mark.parametrize("line, text", [
    ("CLIENT KILL 1.2.3.4:5", Error("ERR No such client")),
    ("CLIENT KILL ID abc", Error("ERR client-id should be greater than 0")),
    ("CLIENT KILL ID 0", Error("ERR client-id should be greater than 0")),
    ("CLIENT KILL ID -5", Error("ERR client-id should be greater than 0")), ("CLIENT KILL ID 1 2", SYNTAX),
    ("CLIENT KILL BOGUS x", SYNTAX), ("CLIENT KILL TYPE foo", Error("ERR Unknown client type 'foo'")),
    ("CLIENT KILL USER nobody", Error("ERR No such user 'nobody'")), ("CLIENT KILL SKIPME maybe", SYNTAX),
    ("CLIENT KILL ADDR 1.2.3.4:5", 0), ("CLIENT KILL LADDR 1.2.3.4:5", 0), ("CLIENT KILL TYPE pubsub", 0),
    ("CLIENT KILL ID 999999999 SKIPME yes", 0)])
def test_kill_errors(c, line, text):
    assert c(line) == text
    assert c("PING") == PONG


# --- CLIENT REPLY -----------------------------------------------------------------------------------------------------

def test_reply_off_and_on(c):
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("PING") + encode("NOSUCH") + encode("ECHO", "a"))
    assert c.silent()
    assert c("CLIENT REPLY ON") == OK
    assert c("PING") == PONG


def test_reply_skip(c):
    c.send(encode("CLIENT", "REPLY", "SKIP") + encode("ECHO", "a") + encode("ECHO", "b"))
    assert c.read() == b"b"
    c.send(encode("CLIENT", "REPLY", "SKIP") + encode("CLIENT", "REPLY", "SKIP") + encode("ECHO", "a") + encode("ECHO",
                                                                                                                "b"))
    assert c.read() == b"b"
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("CLIENT", "REPLY", "SKIP") + encode("CLIENT", "REPLY", "ON"))
    assert c.read() == OK
    assert c("CLIENT REPLY maybe") == SYNTAX
    assert c.silent()


@pytest.mark.not_on("cluster", reason="one raw connection for keys of any slot")
def test_reply_off_still_executes(r):
    c = r.conn()
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("SET", "k", "v") + encode("MSET", "a", "1", "b",
                                                                               "2") + encode("GET", "k")
           + encode("CLIENT", "REPLY", "ON"))
    assert c.read() == OK
    assert c("GET k") == b"v"
    assert c("MGET a b") == [b"1", b"2"]
