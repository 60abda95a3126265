"""SUBSCRIBE PSUBSCRIBE SSUBSCRIBE and their ends, PUBLISH SPUBLISH, PUBSUB; what a subscriber may do, keyspace events.

Each test has connections of its own to one server; channels have names of their own where a count is looked at.
"""

import time

import pytest

from harness import OK, Closed, Error, Push, Status, encode
from harness.texts import arity, unknown_subcommand

pytestmark = pytest.mark.not_on("proxy", reason="pub/sub works on one engine yet")
ONE_CONFIG = "the cluster's configuration is set per engine"
ONE_DB = "redis-py's RedisCluster knows no SELECT"
RESET = Status("RESET")


@pytest.fixture
def c(r):
    return r.conn()


@pytest.fixture
def s(r):
    """A name whose slot is served by the engine that connections lead to."""
    conn = r.conn()
    return next(name for name in "abcdefgh" if not isinstance(conn("SPUBLISH", name, "x"), Error))


def refused(name: str) -> Error:
    return Error(f"ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
                 "allowed in this context")


def confirmed(conn, count: int) -> list:
    """The next `count` replies; what is a push is a list here too."""
    return [raw(conn) for _ in range(count)]


def raw(conn):
    """The next thing that comes, a push or not."""
    return conn.next()


# --- coming and going -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("resp, kind", [(2, list), (3, Push)])
def test_confirmations(r, s, resp, kind):
    c = r.conn(resp=resp)
    c.send(encode("SUBSCRIBE", "a", "b", "a"))
    assert confirmed(c, 3) == [kind([b"subscribe", name, n]) for name, n in ((b"a", 1), (b"b", 2), (b"a", 2))]
    c.send(encode("PSUBSCRIBE", "p*", "") + encode("SSUBSCRIBE", s))
    assert confirmed(c, 3) == [kind([b"psubscribe", b"p*", 3]), kind([b"psubscribe", b"", 4]),
                               kind([b"ssubscribe", s.encode(), 1])]
    c.send(encode("UNSUBSCRIBE", "c", "a", "a"))
    assert confirmed(c, 3) == [kind([b"unsubscribe", b"c", 4]), kind([b"unsubscribe", b"a", 3]),
                               kind([b"unsubscribe", b"a", 3])]
    c.send(encode("PUNSUBSCRIBE"))
    left = confirmed(c, 2)
    assert sorted(one[1] for one in left) == [b"", b"p*"] and [one[2] for one in left] == [2, 1]
    c.send(encode("PUNSUBSCRIBE") + encode("UNSUBSCRIBE") + encode("UNSUBSCRIBE"))
    assert confirmed(c, 3) == [kind([b"punsubscribe", None, 1]), kind([b"unsubscribe", b"b", 0]),
                               kind([b"unsubscribe", None, 0])]
    c.send(encode("SUNSUBSCRIBE") + encode("SUNSUBSCRIBE"))
    assert confirmed(c, 2) == [kind([b"sunsubscribe", s.encode(), 0]), kind([b"sunsubscribe", None, 0])]
    assert c("PING") == Status("PONG")


def test_binary_and_empty_names(c, r):
    name = bytes(range(256))
    c.send(encode("SUBSCRIBE", name, ""))
    assert [one[1] for one in confirmed(c, 2)] == [name, b""]
    assert r.conn()("PUBLISH", name, "\r\n") == 1
    assert raw(c) == [b"message", name, b"\r\n"]
    assert r.conn()("PUBLISH", "", "") == 1
    assert raw(c) == [b"message", b"", b""]


@pytest.mark.parametrize("line, name", [
    ("SUBSCRIBE", "subscribe"), ("PSUBSCRIBE", "psubscribe"), ("SSUBSCRIBE", "ssubscribe"), ("PUBLISH a", "publish"),
    ("PUBLISH a b c", "publish"), ("SPUBLISH a", "spublish"), ("PUBSUB", "pubsub"),
    ("PUBSUB NUMPAT x", "pubsub|numpat")])
def test_arity(c, line, name):
    assert c(line) == arity(name)


# --- messages ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("resp, kind", [(2, list), (3, Push)])
def test_messages(r, s, resp, kind):
    c, other = r.conn(resp=resp), r.conn()
    c.send(encode("SUBSCRIBE", "news.it") + encode("PSUBSCRIBE", "news.*", "*.it", "nothing?"))
    confirmed(c, 4)
    assert other("PUBLISH news.it hello") == 3
    got = confirmed(c, 3)
    assert got[0] == kind([b"message", b"news.it", b"hello"]), "the channel's own subscribers come first"
    assert sorted(got[1:], key=lambda one: one[1]) == [kind([b"pmessage", pattern, b"news.it", b"hello"])
                                                      for pattern in (b"*.it", b"news.*")]
    assert other("PUBLISH news.fr x") == 1
    assert raw(c) == kind([b"pmessage", b"news.*", b"news.fr", b"x"])
    assert other("PUBLISH NEWS.it x") == 1, "*.it alone: names know upper and lower case"
    assert raw(c) == kind([b"pmessage", b"*.it", b"NEWS.it", b"x"])
    assert other("PUBLISH silence x") == 0
    assert other("SPUBLISH", s, "x") == 0


def test_shard_channels_are_others(r, s):
    c, other = r.conn(), r.conn()
    one, two = f"{{{s}}}1", f"{{{s}}}2"
    c.send(encode("SSUBSCRIBE", one, two) + encode("PSUBSCRIBE", "*"))
    assert confirmed(c, 3) == [[b"ssubscribe", one.encode(), 1], [b"ssubscribe", two.encode(), 2],
                               [b"psubscribe", b"*", 1]]
    assert other("SPUBLISH", one, "hello") == 1
    assert raw(c) == [b"smessage", one.encode(), b"hello"]
    assert other("PUBLISH", one, "hello") == 1
    assert raw(c) == [b"pmessage", b"*", one.encode(), b"hello"]


def test_everybody_gets_each_message_in_order(r):
    listeners = [r.conn(resp=2 + n % 2) for n in range(6)]
    for conn in listeners:
        conn.send(encode("SUBSCRIBE", "order"))
        raw(conn)
    speakers = [r.conn() for _ in range(3)]
    for number in range(50):
        for who, conn in enumerate(speakers):
            conn.send(encode("PUBLISH", "order", f"{who}:{number}"))
    assert [conn.read() for conn in speakers for _ in range(50)] == [6] * 150
    heard = [[bytes(raw(conn)[2]) for _ in range(150)] for conn in listeners]
    assert all(one == heard[0] for one in heard), "all see one order"
    for who in range(3):
        assert [text for text in heard[0] if text.startswith(b"%d:" % who)] == [b"%d:%d" % (who, n) for n in range(50)]


def test_a_long_message_to_many(r):
    listeners = [r.conn() for _ in range(5)]
    text = bytes(range(256)) * 8192         # 2 MB
    for conn in listeners:
        conn.send(encode("SUBSCRIBE", "long"))
        raw(conn)
    assert r.conn()("PUBLISH", "long", text) == 5
    assert all(raw(conn) == [b"message", b"long", text] for conn in listeners)


def test_messages_stand_in_the_order_of_ones_own_commands(r):
    """Nothing comes behind the confirmation that one has left."""
    c, other = r.conn(resp=3), r.conn()
    for _ in range(30):
        c.send(encode("SUBSCRIBE", "x"))
        assert raw(c) == Push([b"subscribe", b"x", 1])
        other.send(encode("PUBLISH", "x", "1") * 5)
        c.send(encode("PING") + encode("UNSUBSCRIBE", "x") + encode("PING"))
        seen = []
        while seen[-2:] != [Push([b"unsubscribe", b"x", 0]), Status("PONG")]:
            seen.append(raw(c))
        assert seen.count(Status("PONG")) == 2
        [other.read() for _ in range(5)]
    assert c.silent()


@pytest.mark.since("7.2")
def test_ones_own_message_comes_behind_the_reply(r):
    c = r.conn(resp=3)
    c.send(encode("SUBSCRIBE", "me"))
    raw(c)
    c.send(encode("PUBLISH", "me", "a") + encode("PING") + encode("PUBLISH", "me", "b"))
    assert confirmed(c, 5) == [1, Push([b"message", b"me", b"a"]), Status("PONG"), 1, Push([b"message", b"me", b"b"])]


def test_reply_off_does_not_silence_messages(r):
    c, other = r.conn(resp=3), r.conn()
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("SUBSCRIBE", "a") + encode("PING"))
    assert raw(c) == Push([b"subscribe", b"a", 1])
    assert other("PUBLISH a x") == 1
    assert raw(c) == Push([b"message", b"a", b"x"])
    c.send(encode("UNSUBSCRIBE") + encode("CLIENT", "REPLY", "ON"))
    assert confirmed(c, 2) == [Push([b"unsubscribe", b"a", 0]), OK]
    c.send(encode("CLIENT", "REPLY", "SKIP") + encode("SUBSCRIBE", "b", "c") + encode("PING"))
    assert confirmed(c, 3) == [Push([b"subscribe", b"b", 1]), Push([b"subscribe", b"c", 2]), Status("PONG")]


# --- what a subscriber may do -----------------------------------------------------------------------------------------

def test_resp2_subscribers_may_do_little(c, s):
    c.send(encode("SUBSCRIBE", "a"))
    raw(c)
    for line, name in ((f"GET {s}", "get"), ("HELLO 3", "hello"), ("PUBLISH a b", "publish"),
                       ("PUBSUB NUMPAT", "pubsub|numpat"), ("CLIENT INFO", "client|info"), ("SELECT 0", "select")):
        assert c(line) == refused(name)
    assert c("GET") == arity("get"), "who is wrong in another way is told so"
    assert isinstance(c("NOSUCH"), Error)
    assert c("PING") == [b"pong", b""]
    assert c("PING", "hey") == [b"pong", b"hey"]
    assert c("PING a b") == arity("ping")
    c.send(encode("SSUBSCRIBE", s) + encode("UNSUBSCRIBE"))
    confirmed(c, 2)
    assert c("GET", s) == refused("get"), "a shard channel is one too"
    c.send(encode("SUNSUBSCRIBE"))
    raw(c)
    assert c("PING") == Status("PONG")


def test_resp3_subscribers_may_do_anything(r):
    c = r.conn(resp=3)
    c.send(encode("SUBSCRIBE", "a"))
    raw(c)
    assert c("PING") == Status("PONG")
    assert c("ECHO x") == b"x"


def test_quit(c):
    c.send(encode("SUBSCRIBE", "a"))
    raw(c)
    assert c("QUIT") == OK
    assert c.closed()


@pytest.mark.parametrize("resp", [2, 3])
def test_reset_ends_subscriptions(r, s, resp):
    c, other = r.conn(resp=resp), r.conn()
    c.send(encode("SUBSCRIBE", "r1") + encode("PSUBSCRIBE", "r*") + encode("SSUBSCRIBE", s))
    confirmed(c, 3)
    assert c("RESET") == RESET
    assert other("PUBLISH r1 x") == 0
    assert other("SPUBLISH", s, "x") == 0
    assert c("PING") == Status("PONG"), "no confirmations, no messages"
    assert other("PUBSUB CHANNELS r*") == []


def test_a_connection_that_ends_leaves(r, s):
    c, other = r.conn(), r.conn()
    c.send(encode("SUBSCRIBE", "gone") + encode("PSUBSCRIBE", "gone*") + encode("SSUBSCRIBE", s))
    confirmed(c, 3)
    assert other("PUBSUB NUMSUB gone") == [b"gone", 1]
    c.close()
    deadline = time.monotonic() + 10
    while other("PUBSUB NUMSUB gone") != [b"gone", 0] or other("PUBSUB", "SHARDCHANNELS", s):
        assert time.monotonic() < deadline
    assert other("PUBLISH gone x") == 0


# --- looking at it ----------------------------------------------------------------------------------------------------

def test_pubsub(r, s):
    a, b, me = r.conn(), r.conn(), r.conn()
    before = me("PUBSUB NUMPAT")
    a.send(encode("SUBSCRIBE", "look1", "look2") + encode("PSUBSCRIBE", "look*", "l*")
           + encode("SSUBSCRIBE", f"look{{{s}}}"))
    confirmed(a, 5)
    b.send(encode("SUBSCRIBE", "look1") + encode("PSUBSCRIBE", "look*"))
    confirmed(b, 2)
    assert sorted(me("PUBSUB CHANNELS look*")) == [b"look1", b"look2"]
    assert me("PUBSUB CHANNELS look?2") == []
    assert {b"look1", b"look2"} <= set(me("pubsub channels"))
    assert me("PUBSUB NUMSUB look2 nobody look1") == [b"look2", 1, b"nobody", 0, b"look1", 2]
    assert me("PUBSUB NUMSUB") == []
    assert me("PUBSUB NUMPAT") == before + 2, "patterns, not their subscribers"
    assert me("PUBSUB SHARDCHANNELS look*") == [b"look{%b}" % s.encode()]
    assert me("PUBSUB", "SHARDNUMSUB", f"look{{{s}}}", "x") == [b"look{%b}" % s.encode(), 1, b"x", 0]
    assert me("PUBSUB SHARDCHANNELS x y") == Error(
        "ERR unknown subcommand or wrong number of arguments for 'SHARDCHANNELS'. Try PUBSUB HELP.")
    assert me("PUBSUB FOO") == unknown_subcommand("FOO", "PUBSUB")
    assert me("PUBSUB HELP")[0] == Status("PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")


def fields(line: bytes) -> dict[str, str]:
    return dict(field.split("=", 1) for field in line.decode().strip().split(" "))


def test_client_list_and_info(r, s):
    c, me = r.conn(resp=3), r.conn()
    number = c("CLIENT ID")
    c.send(encode("SUBSCRIBE", "a", "b") + encode("PSUBSCRIBE", "p") + encode("SSUBSCRIBE", s))
    confirmed(c, 4)
    line = fields(me("CLIENT", "LIST", "ID", number))
    assert [line[name] for name in ("flags", "sub", "psub", "ssub")] == ["P", "2", "1", "1"]
    assert f"id={number} ".encode() in me("CLIENT LIST TYPE pubsub")
    assert f"id={number} ".encode() not in me("CLIENT LIST TYPE normal")
    counts = dict(line.split(":") for line in me("INFO stats").decode().splitlines() if line.startswith("pubsub"))
    assert counts == {"pubsub_channels": "2", "pubsub_patterns": "1", "pubsubshard_channels": "1"}
    c("RESET")
    assert fields(me("CLIENT", "LIST", "ID", number))["flags"] == "N"
    c.send(encode("SUBSCRIBE", "a"))
    raw(c)
    assert me("CLIENT", "KILL", "ID", number, "TYPE", "normal") == 0
    assert me("CLIENT", "KILL", "ID", number, "TYPE", "pubsub") == 1
    assert c.closed()


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_a_subscriber_that_does_not_read_is_cut_off(r):
    c, other = r.conn(rcvbuf_bytes=4096), r.conn()
    c.send(encode("SUBSCRIBE", "flood"))
    raw(c)
    with r.config(client_output_buffer_limit="pubsub 1mb 0 0"):
        text = b"x" * 100_000
        deadline = time.monotonic() + 10
        while other("PUBLISH", "flood", text):
            assert time.monotonic() < deadline, "nobody cut it off"
    with pytest.raises(Closed):
        while True:
            c.read()


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_subscribers_are_not_idle(r):
    c, idle = r.conn(), r.conn()
    c.send(encode("SUBSCRIBE", "quiet"))
    raw(c)
    with r.config(timeout=1):
        assert idle.closed(), "who listens to nothing is"
    assert r.conn()("PUBLISH quiet x") == 1
    assert raw(c) == [b"message", b"quiet", b"x"]


# --- keyspace events --------------------------------------------------------------------------------------------------

@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_the_option(r):
    me = r.conn()
    for given, shown in (("KEA", "AKE"), ("mEK$g", "g$KEm"), ("EKg$lshzxetd", "AKE"), ("KEAmn", "AKEm"), ("", "")):
        with r.config(notify_keyspace_events=given):
            assert me("CONFIG GET notify-keyspace-events") == [b"notify-keyspace-events", shown.encode()]
    reply = me("CONFIG SET notify-keyspace-events KEq")
    assert reply == Error("ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid "
                          "event class character. Use 'Ag$lshzxeKEtmdn'.")


def events(r, letters: str, commands: list, db: int = 0) -> list[str]:
    """What is published while commands run: "set k" for an event of a key, "k: set" for one of the keyspace."""
    listener, me = r.conn(), r.conn(db=db)
    listener.send(encode("PSUBSCRIBE", "__key*__:*"))
    raw(listener)
    with r.config(notify_keyspace_events=letters):
        for command in commands:
            me(command)
        assert r.conn()("PUBLISH __key_end__:x x") == 1
    heard = []
    while (message := raw(listener))[2] != b"__key_end__:x":
        kind, _, name = message[2].decode().partition("__:")
        text = message[3].decode()
        heard.append(f"{name}: {text}" if kind.startswith("__keyspace@") else f"{name} {text}")
    return heard


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
@pytest.mark.parametrize("letters, heard", [
    ("KEA", ["k: set", "set k", "k: del", "del k"]), ("KA", ["k: set", "k: del"]), ("EA", ["set k", "del k"]),
    ("E$", ["set k"]), ("Kg", ["k: del"]), ("A", []), ("KE", []), ("Em", ["keymiss nobody"]),
    ("KEmn", ["k: new", "new k", "nobody: keymiss", "keymiss nobody"])])
def test_the_classes(r, letters, heard):
    assert events(r, letters, ["SET k v", "GET k", "GET nobody", "DEL k", "DEL nobody"]) == heard


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_the_database_is_part_of_the_channel(r):
    listener = r.conn()
    listener.send(encode("SUBSCRIBE", "__keyspace@3__:k", "__keyevent@3__:set"))
    confirmed(listener, 2)
    with r.config(notify_keyspace_events="KEA"):
        r.conn(db=3).must("SET k v")
        r.conn(db=2).must("SET k v")
    assert confirmed(listener, 2) == [[b"message", b"__keyspace@3__:k", b"set"],
                                      [b"message", b"__keyevent@3__:set", b"k"]]
    assert listener.silent()


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_expiry_is_an_event_whether_somebody_asks_or_not(r):
    listener, me = r.conn(), r.conn()
    listener.send(encode("SUBSCRIBE", "__keyevent@0__:expired"))
    raw(listener)
    with r.config(notify_keyspace_events="Ex"):
        me.must("SET k v PX 1")
        assert raw(listener) == [b"message", b"__keyevent@0__:expired", b"k"]
        assert me("DEBUG SET-ACTIVE-EXPIRE 0") == OK
        me.must("SET k2 v PX 1")
        time.sleep(0.01)
        assert listener.silent()
        assert me("EXISTS k2") == 0
        assert raw(listener) == [b"message", b"__keyevent@0__:expired", b"k2"]
        assert me("DEBUG SET-ACTIVE-EXPIRE 1") == OK
