"""What one client sees: order, pipelines, protocols, databases, back-pressure, its end."""
import random
from collections.abc import Iterator

import pytest

from harness.resp import OK, Error, Status, encode
from shardd.base import limits
from unit.proxy.rig import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def test_a_command_goes_to_the_owner_of_its_key(rig):
    c = rig.client()
    for index, engine in enumerate(rig.engines):
        key = rig.key(index)
        c.send("GET", key)
        assert engine.take() == [[b"GET", key]]
        engine.reply(bulk(b"v%d" % index))
        assert c.read() == b"v%d" % index


def test_replies_keep_the_clients_order_whoever_answers_first(rig):
    c = rig.client()
    a, b = rig.engines
    c.raw(b"".join(encode("GET", rig.key(n % 2, n)) for n in range(6)) + encode("PING"))
    assert (len(a.take()), len(b.take())) == (3, 3)
    b.reply(bulk(b"1") + bulk(b"3"))
    assert c.nothing()
    a.reply(bulk(b"0"))
    assert [c.read(), c.read()] == [b"0", b"1"]
    assert c.nothing()
    a.reply(bulk(b"2") + bulk(b"4"))
    assert [c.read() for _ in range(3)] == [b"2", b"3", b"4"]
    b.reply(bulk(b"5"))
    assert [c.read(), c.read()] == [b"5", Status("PONG")]
    assert c.session.in_flight == 0 and c.session.held_bytes == 0


def test_random_interleaving_of_replies_of_all_sizes(rig):
    chance = random.Random(7)
    sizes = [0, 1, 30, 1000, 17_000, 40_000, 90_000]
    clients = [rig.client() for _ in range(3)]
    expected = {c: [] for c in clients}
    due = {engine: [] for engine in rig.engines}
    for n in range(300):
        c, index = chance.choice(clients), chance.randrange(2)
        value = b"%d:" % n + b"x" * chance.choice(sizes)
        expected[c].append(value)
        due[rig.engines[index]].append(bulk(value))
        c.send("GET", rig.key(index))
    while any(due.values()):
        engine = chance.choice([e for e in rig.engines if due[e]])
        some = b"".join(due[engine][:chance.randrange(1, 5)])
        if chance.random() < 0.5:       # cut anywhere
            cut = chance.randrange(len(some) + 1)
            engine.reply(some[:cut])
            rig.turn()
            for c in clients:
                c.pull()
            engine.reply(some[cut:])
        else:
            engine.reply(some)
        left = len(some)
        while left > 0:
            left -= len(due[engine].pop(0))
        for c in clients:
            c.pull()
    for c in clients:
        assert [c.read() for _ in expected[c]] == expected[c]
        assert c.nothing() and c.session.in_flight == 0


def test_requests_cut_at_every_byte(rig):
    rig.engines[0].auto = rig.engines[1].auto = lambda request: bulk(request[1])
    c = rig.client()
    k0, k1 = rig.key(0), rig.key(1)
    raw = encode("GET", k0) + encode("MGET", k0) + b"GET %b\r\n" % k1 + encode("PING", b"\r\n$5\r\n")
    for cut in range(1, len(raw)):
        c.raw(raw[:cut])
        c.raw(raw[cut:])
        assert [c.read() for _ in range(4)] == [k0, k0, k1, b"\r\n$5\r\n"], cut


def test_inline_commands_reach_engines_as_resp(rig):
    c = rig.client()
    c.raw(b'SET "%b" "a b\\x00"\r\n' % rig.key(0))
    assert rig.engines[0].take() == [[b"SET", rig.key(0), b"a b\0"]]


def test_unknown_commands_and_arity_are_answered_here(rig):
    c = rig.client()
    assert c("NOSUCH", "a", "b") == Error("ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ")
    assert c("GET") == Error("ERR wrong number of arguments for 'get' command")
    assert c("CLIENT") == Error("ERR wrong number of arguments for 'client' command")
    assert c("CLIENT", "NOSUCH") == Error("ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.")
    assert c("OBJECT", "ENCODING") == Error("ERR wrong number of arguments for 'object|encoding' command")
    assert c("SHARDD", "STATUS").startswith("ERR unknown command")
    assert c("client|list") == Error("ERR unknown command 'client|list', with args beginning with: ")
    assert not rig.engines[0].requests and not rig.engines[1].requests


def test_what_engines_do_not_have_does_not_exist(rig):
    c = rig.client()
    rig.server.router.set_built(frozenset(("get", "object|encoding")))
    assert c("SET", "a", "b").startswith("ERR unknown command 'SET'")
    assert c("OBJECT", "FREQ", "k") == Error("ERR unknown subcommand 'FREQ'. Try OBJECT HELP.")
    assert c("XINFO", "STREAM", "k").startswith("ERR unknown command 'XINFO'")
    c.send("OBJECT", "ENCODING", rig.key(1))
    assert rig.engines[1].take() == [[b"OBJECT", b"ENCODING", rig.key(1)]]


def test_select_goes_before_a_command_of_another_database(rig):
    a, key = rig.engines[0], rig.key(0)
    one, two = rig.client(), rig.client()
    assert one("SELECT", 3) == OK
    one.send("GET", key)
    two.send("GET", key)
    two.send("GET", key)
    one.send("GET", key)
    assert a.take() == [[b"SELECT", b"3"], [b"GET", key], [b"SELECT", b"0"], [b"GET", key], [b"GET", key],
                        [b"SELECT", b"3"], [b"GET", key]]
    a.reply(b"+OK\r\n$1\r\na\r\n+OK\r\n$1\r\nb\r\n$1\r\nc\r\n+OK\r\n$1\r\nd\r\n")
    assert [one.read(), two.read(), two.read(), one.read()] == [b"a", b"b", b"c", b"d"]


def test_a_refused_select_ends_the_link_and_never_runs_in_a_wrong_database(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    c("SELECT", 3)
    c.send("GET", key)
    a.reply(b"-ERR no\r\n$5\r\nwrong\r\n")
    assert c.read() == Error("ERR engine 0 is down, the command may or may not have been executed")


def test_protocols_have_links_of_their_own_and_wait_for_each_other(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    c.raw(encode("GET", key) + encode("HELLO", 3) + encode("GET", key))
    assert a.take() == [[b"GET", key]], "the second one goes by another link: it may not overtake"
    assert [b"HELLO", b"3"] not in a.handshakes
    a.reply(b"$-1\r\n")
    assert c.read() is None
    assert c.read()[b"proto"] == 3
    assert a.take() == [[b"GET", key]]
    assert [b"HELLO", b"3"] in a.handshakes
    a.reply(b"_\r\n")
    assert c.read() is None


def test_pushes_of_an_engine_are_nobodys(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    c("HELLO", 3)
    c.send("GET", key)
    a.reply(b">2\r\n+invalidate\r\n*0\r\n$1\r\nv\r\n")
    assert c.read() == b"v"


def test_reply_off_skip_and_on(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    c.raw(encode("GET", key) + encode("CLIENT", "REPLY", "OFF") + encode("GET", key) + encode("PING")
          + encode("CLIENT", "REPLY", "ON") + encode("CLIENT", "REPLY", "SKIP") + encode("GET", key)
          + encode("GET", key))
    assert len(a.take()) == 4
    a.reply(b"".join(bulk(b"%d" % n) for n in range(4)))
    assert [c.read(), c.read(), c.read()] == [b"0", OK, b"3"]
    assert c.nothing()


def test_quit_answers_what_is_due_first(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    c.raw(encode("GET", key) + encode("QUIT") + encode("GET", key))
    assert len(a.take()) == 1
    assert not c.closed
    a.reply(bulk(b"v"))
    assert [c.read(), c.read()] == [b"v", OK]
    assert c.closed


def test_a_protocol_error_comes_behind_what_is_due(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    c.raw(encode("GET", key) + b"*1\r\n!x\r\n")
    a.reply(bulk(b"v"))
    assert c.read() == b"v"
    assert c.read() == Error("ERR Protocol error: expected '$', got '!'")
    assert c.closed


def test_half_closed_clients_get_their_replies(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    c.raw(encode("GET", key))
    c.sock.shutdown(1)
    rig.turn()
    assert not c.session.transport.closing
    a.reply(bulk(b"v"))
    assert c.read() == b"v"
    assert c.closed


def test_a_client_that_goes_away_leaves_its_commands_to_run_and_others_alone(rig):
    a, key = rig.engines[0], rig.key(0)
    gone, stays = rig.client(), rig.client()
    gone.raw(encode("SET", key, "1") * 3)
    stays.send("GET", key)
    gone.close()
    rig.turn()
    assert len(rig.server.clients) == 1
    assert len(a.take()) == 4
    a.reply(b"+OK\r\n" * 3 + bulk(b"1"))
    assert stays.read() == b"1"


def test_a_client_is_not_read_beyond_its_pipeline(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    total = 3 * limits.PROXY_PIPELINE_MAX
    c.raw(encode("GET", key) * total)
    assert len(a.requests) == limits.PROXY_PIPELINE_MAX
    done = 0
    while done < total:
        got = len(a.take())
        assert got, "the client is read again when half is answered"
        a.reply(bulk(b"v") * got)
        for _ in range(got):
            assert c.read() == b"v"
        done += got
    assert c.session.in_flight == 0


def test_a_client_that_does_not_read_is_not_read_from(rig):
    a, key, c = rig.engines[0], rig.key(0), rig.client()
    value = bulk(b"x" * 300_000)
    a.auto = lambda request: value
    for _ in range(100):
        c.send("GET", key)
    assert len(a.requests) < 20
    assert c.session.transport.out_len < limits.PROXY_UNSENT_BYTES_MAX + 2 * len(value)
    for _ in range(100):
        assert len(c.read()) == 300_000
    assert c.nothing()
    assert len(a.requests) == 100


def test_authentication_comes_before_everything(rig):
    rig.close()
    rig = Rig(1, "--requirepass", "secret")
    try:
        c, key = rig.client(), rig.key(0)
        assert c("GET", key) == Error("NOAUTH Authentication required.")
        assert c("DBSIZE") == Error("NOAUTH Authentication required.")
        assert c("NOSUCH").startswith("ERR unknown command")
        c.raw(encode("GET", key) + encode("AUTH", "secret") + encode("GET", key))
        assert c.read() == Error("NOAUTH Authentication required.")
        assert c.read() == OK
        assert [b"AUTH", b"secret"] in rig.engines[0].handshakes
        rig.engines[0].reply(bulk(b"v"))
        assert c.read() == b"v"
    finally:
        rig.close()


def test_an_idle_client_owns_no_buffers(rig):
    key, c = rig.key(0), rig.client()
    rig.engines[0].auto = lambda request: bulk(b"v")
    c.raw(encode("GET", key) * 200)
    for _ in range(200):
        c.read()
    assert c.session.transport.in_cap == 0 and c.session.transport.out_cap == 0 and c.session.held_bytes == 0


def test_http_is_cut_off(rig):
    c = rig.client()
    c.raw(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n")
    assert c.closed and c.received == b""
    assert not rig.engines[0].requests


# --- CLIENT NO-TOUCH and CLIENT PAUSE ---------------------------------------------------------------------------------

def test_no_touch_goes_before_the_commands_of_its_client_alone():
    rig = Rig(1)
    quiet, other = rig.client(), rig.client()
    rig.engines[0].auto = lambda request: b"+OK\r\n"
    assert quiet("CLIENT NO-TOUCH ON") == OK and quiet("SELECT 2") == OK
    for c in (other, quiet, quiet, other):
        assert c("GET", "k") == OK
    assert rig.engines[0].take() == [
        [b"GET", b"k"],
        [b"CLIENT", b"NO-TOUCH", b"ON"], [b"SELECT", b"2"], [b"GET", b"k"],
        [b"GET", b"k"],
        [b"CLIENT", b"NO-TOUCH", b"OFF"], [b"SELECT", b"0"], [b"GET", b"k"]]
    assert quiet("CLIENT NO-TOUCH OFF") == OK and quiet("SELECT 0") == OK
    assert quiet("MGET", "a", "b") == OK
    assert rig.engines[0].take() == [[b"MGET", b"a", b"b"]]
    rig.close()


def test_a_pause_holds_back_writes_and_keeps_their_order():
    rig = Rig(1)
    rig.engines[0].auto = lambda request: b"+OK\r\n" if request[0] == b"CLIENT" else b"$1\r\nv\r\n"
    c = rig.client()
    assert c("CLIENT PAUSE 100000 WRITE") == OK
    assert rig.engines[0].take() == [[b"CLIENT", b"PAUSE", b"100000", b"WRITE"]]
    c.send("GET", "k")
    c.raw(encode("SET", "k", "v") + encode("GET", "k"))
    assert rig.engines[0].take() == [[b"GET", b"k"]]
    assert c.read() == b"v" and c.nothing()
    admin = rig.client()
    assert admin("CLIENT UNPAUSE") == OK
    rig.turn()
    assert rig.engines[0].take() == [[b"CLIENT", b"UNPAUSE"], [b"SET", b"k", b"v"], [b"GET", b"k"]]
    assert c.read() == b"v" and c.read() == b"v"
    rig.close()


def test_a_command_that_waits_is_counted_once_and_skipped_once():
    rig = Rig(1)
    rig.engines[0].auto = lambda request: b"+OK\r\n"
    c = rig.client()
    assert c("CLIENT PAUSE 100000 WRITE") == OK
    before = c.session.commands
    c.raw(encode("CLIENT", "REPLY", "SKIP") + encode("SET", "k", "v") + encode("GET", "k"))
    assert c.nothing()
    assert rig.client()("CLIENT UNPAUSE") == OK
    assert c.read() == OK and c.nothing(), "the reply of SET alone was skipped"
    assert c.session.commands - before == 3
    rig.close()


def test_who_leaves_while_it_waits_is_forgotten():
    rig = Rig(1)
    rig.engines[0].auto = lambda request: b"+OK\r\n"
    c = rig.client()
    assert c("CLIENT PAUSE 100000 ALL") == OK
    c.send("PING")
    rig.clients.remove(c)
    c.session.transport.close("gone")
    rig.turn()
    assert rig.server.shared.paused
    rig.server.pause.stop()
    assert not rig.server.shared.paused
    assert rig.client()("PING") == Status("PONG")
    rig.close()


def test_who_waits_for_the_end_of_a_pause_is_not_idle():
    rig = Rig(1, "--timeout", "5")
    rig.engines[0].auto = lambda request: b"+OK\r\n"
    waiting, idle = rig.client(), rig.client()
    assert waiting("CLIENT PAUSE 100000 WRITE") == OK and idle("CLIENT ID") > 0
    waiting.send("SET", "k", "v")
    for c in (waiting, idle):
        c.session.active_ms -= 6000
    rig.server.limits.sweep()
    assert idle.closed and not waiting.closed
    assert rig.client()("CLIENT UNPAUSE") == OK
    assert waiting.read() == OK
    waiting.session.active_ms -= 6000
    rig.server.limits.sweep()
    assert waiting.closed, "with its reply it is as idle as any"
    rig.close()


def test_an_engine_that_does_not_answer_to_a_pause_is_an_error():
    rig = Rig(2)
    rig.engines[0].auto = lambda request: b"+OK\r\n"
    c = rig.client()
    c.send("CLIENT PAUSE 100000 WRITE")
    assert c.nothing()
    rig.ring()
    assert c.read() == Error("ERR engine 1 does not answer")
    assert rig.server.shared.paused, "what could be done was done"
    rig.close()
