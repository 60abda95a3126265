"""MULTI, EXEC, WATCH on one engine: what it is sent, and when; what becomes of a transaction when something breaks."""
import time
from collections.abc import Iterator

import pytest

from harness.resp import NULL_ARRAY, OK, Error, Status, encode
from shardd.base import errors, limits
from unit.proxy.rig import Rig

QUEUED = Status("QUEUED")
DOWN = Error("ERR engine 0 is down, the command may or may not have been executed")
NOT_EXECUTED = Error("CLUSTERDOWN engine 0 is down, the command was not executed")
ABORTED = Error(errors.EXEC_ABORTED.decode())


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    held = rig.server.shared.held_bytes - rig.server.reactor.buffer_bytes
    rig.close()
    assert held >= 0


def aborted(text: bytes) -> Error:
    return Error(errors.exec_aborted(text).decode())


def wait_for(rig, condition) -> None:
    """Until links have connected anew, which takes some milliseconds."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.001)
        rig.ring()
    raise AssertionError


def names(engine) -> list[bytes]:
    return [request[0] for request in engine.take()]


def test_nothing_is_sent_before_exec_and_then_all_at_once(rig):
    c, engine = rig.client(), rig.engines[0]
    key = rig.key(0)
    assert c("MULTI") == OK
    assert c("SET", key, "1") == QUEUED
    assert c("inCR", key) == QUEUED
    assert engine.take() == []
    c.send("EXEC")
    assert engine.take() == [[b"MULTI"], [b"SET", key, b"1"], [b"inCR", key], [b"EXEC"]]
    engine.reply(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n")
    assert c.nothing()
    engine.reply(b"*2\r\n+OK\r\n:2\r\n")
    assert c.read() == [OK, 2]
    assert len(engine.links) == 1, "over the link that all clients share"
    assert c("EXEC") == Error("ERR EXEC without MULTI")
    assert rig.server.shared.held_bytes == rig.server.backends.held_bytes + rig.server.reactor.buffer_bytes


def test_others_commands_stay_outside(rig):
    a, b, engine = rig.client(), rig.client(), rig.engines[0]
    key = rig.key(0)
    a.send("GET", key)
    b.raw(encode("MULTI") + encode("GET", key) + encode("EXEC") + encode("GET", key))
    a.send("GET", key)
    assert names(engine) == [b"GET", b"MULTI", b"GET", b"EXEC", b"GET", b"GET"]
    engine.reply(b"$1\r\na\r\n+OK\r\n+QUEUED\r\n*1\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n")
    assert [a.read(), a.read()] == [b"a", b"d"]
    assert [b.read() for _ in range(4)] == [OK, QUEUED, [b"b"], b"c"]


def test_a_reply_may_come_in_any_pieces(rig):
    c, engine = rig.client(), rig.engines[0]
    c.raw(encode("MULTI") + encode("GET", rig.key(0)) + encode("EXEC"))
    value = b"x" * 300_000
    data = b"+OK\r\n+QUEUED\r\n*1\r\n$%d\r\n%b\r\n" % (len(value), value)
    for at in range(0, len(data), 50_001):
        engine.reply(data[at:at + 50_001])
        rig.turn()
    assert [c.read() for _ in range(3)] == [OK, QUEUED, [value]]


def test_what_is_refused_here(rig):
    c = rig.client()
    key = rig.key(0)
    assert c("EXEC", "x") == aborted(errors.wrong_arity("exec"))
    for command, text in (
            (("NOSUCH", "x"), errors.unknown_command(b"NOSUCH", [b"x"])), (("GET",), errors.wrong_arity("get")),
            (("CLIENT", "NOSUCH"), errors.unknown_subcommand(b"CLIENT", b"NOSUCH")),
            (("SAVE",), errors.NOT_IN_MULTI), (("MULTI", "x"), errors.wrong_arity("multi")),
            (("SUBSCRIBE", "x"), errors.not_through_proxy("subscribe")),
            (("RENAME", key, rig.key(1)), errors.CROSSSLOT)):
        assert c("MULTI") == OK
        assert c("SET", key, "v") == QUEUED
        assert c(*command) == Error(text.decode())
        assert c("EXEC") == ABORTED
        assert c("EXEC") == Error("ERR EXEC without MULTI")
    assert c("MULTI") == OK
    assert c("EXEC", "x") == aborted(errors.wrong_arity("exec"))
    assert c("DISCARD") == Error("ERR DISCARD without MULTI")
    assert c("MULTI") == OK
    assert c("MULTI") == Error("ERR MULTI calls can not be nested")
    assert c("WATCH", key) == Error("ERR WATCH inside MULTI is not allowed")
    assert c("EXEC") == []
    assert rig.engines[0].take() == rig.engines[1].take() == []


def test_what_an_engine_refuses_when_it_queues_is_execs_error(rig):
    c, engine = rig.client(), rig.engines[0]
    oom = b"OOM command not allowed when used memory > 'maxmemory'."
    for refusal, told in ((oom, oom), (b"MOVED 1 127.0.0.1:7001", errors.CLUSTERDOWN_SLOT)):
        c.raw(encode("MULTI") + encode("SET", rig.key(0), "v") + encode("GET", rig.key(0)) + encode("EXEC"))
        engine.reply(b"+OK\r\n-%b\r\n+QUEUED\r\n-%b\r\n" % (refusal, errors.EXEC_ABORTED))
        assert [c.read() for _ in range(4)] == [OK, QUEUED, QUEUED, aborted(told)]


def test_pings_and_the_like_are_answered_in_their_place(rig):
    c, engine = rig.client(), rig.engines[0]
    for command in (("PING",), ("SET", rig.key(0), "v"), ("ECHO", "x"), ("UNWATCH",), ("SELECT", "99")):
        c.send("MULTI") if command == ("PING",) else None
        c.send(*command)
    c.send("EXEC")
    assert names(engine) == [b"MULTI", b"SET", b"SELECT", b"EXEC"]
    engine.reply(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-ERR DB index is out of range\r\n")
    assert [c.read() for _ in range(6)] == [OK] + [QUEUED] * 5
    assert c.read() == [Status("PONG"), OK, b"x", OK, Error("ERR DB index is out of range")]
    assert c("MULTI") == OK and c("PING") == QUEUED and c("EXEC") == [Status("PONG")]


def test_select_within_is_for_what_stands_behind_it_and_leaves_no_trace_on_shared_links(rig):
    c, other, engine = rig.client(), rig.client(), rig.engines[0]
    key = rig.key(0)
    c.raw(b"".join(encode(*words) for words in (("MULTI",), ("SELECT", "3"), ("GET", key), ("EXEC",))))
    assert engine.take() == [[b"MULTI"], [b"SELECT", b"3"], [b"GET", key], [b"EXEC"]]
    lent = engine.heard
    other.send("GET", key)
    assert engine.take() == [[b"GET", key]] and engine.heard is not lent
    engine.reply(b"$-1\r\n")
    engine.reply(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$-1\r\n", lent)
    assert [c.read() for _ in range(4)] == [OK, QUEUED, QUEUED, [OK, None]]
    assert lent not in engine.links, "nobody gets a link in a state that he does not know"
    c.send("GET", key)
    assert engine.take() == [[b"SELECT", b"3"], [b"GET", key]]


# --- WATCH --------------------------------------------------------------------------------------------------------

def watch(rig, c, *keys: bytes) -> None:
    c.send("WATCH", *keys)
    assert rig.engines[0].take() == [[b"WATCH", *keys]]
    rig.engines[0].reply(b"+OK\r\n")
    assert c.read() == OK


def test_watch_has_a_link_of_its_own_which_exec_takes_and_gives_back(rig):
    c, engine = rig.client(), rig.engines[0]
    key, upstream = rig.key(0), rig.server.engines[0]
    watch(rig, c, key)
    mine = engine.heard
    c.send("GET", key)
    assert engine.take() == [[b"GET", key]] and engine.heard is not mine
    engine.reply(b"$1\r\n1\r\n")
    assert c.read() == b"1"
    assert len(upstream.lent) == 1
    for reply, value in ((b"*1\r\n+OK\r\n", [OK]), (b"*-1\r\n", NULL_ARRAY)):
        assert c("MULTI") == OK and c("SET", key, "2") == QUEUED
        c.send("EXEC")
        assert names(engine) == [b"MULTI", b"SET", b"EXEC"] and engine.heard is mine
        c.send("GET", key)
        assert engine.take() == [], "it must not overtake EXEC on another link"
        engine.reply(b"+OK\r\n+QUEUED\r\n" + reply)
        assert c.read() == value
        assert engine.take() == [[b"GET", key]]
        engine.reply(b"$1\r\n2\r\n")
        assert c.read() == b"2"
        assert not upstream.lent and len(upstream.idle) == 1
        watch(rig, c, key)
        assert engine.heard is mine, "the same connection, again"


def test_an_empty_transaction_still_asks_whether_keys_have_changed(rig):
    c, engine = rig.client(), rig.engines[0]
    watch(rig, c, rig.key(0))
    assert c("MULTI") == OK
    c.send("EXEC")
    assert names(engine) == [b"MULTI", b"EXEC"]
    engine.reply(b"+OK\r\n*-1\r\n")
    assert c.read() == NULL_ARRAY


def test_the_link_goes_back_with_unwatch_and_ends_with_discard_reset_and_the_client(rig):
    engine, upstream = rig.engines[0], rig.server.engines[0]
    c = rig.client()
    watch(rig, c, rig.key(0))
    assert c("UNWATCH") == OK
    assert engine.take() == [[b"UNWATCH"]]
    assert len(upstream.lent) == 1, "not before it is clean"
    engine.reply(b"+OK\r\n")
    rig.turn()
    assert not upstream.lent and len(upstream.idle) == 1
    for end in (lambda: (c("MULTI"), c("DISCARD")), lambda: c("RESET"), lambda: (c("MULTI"), c("NOSUCH"), c("EXEC")),
                c.close):
        watch(rig, c, rig.key(0))
        mine = engine.heard
        end()
        rig.turn()
        assert mine not in engine.links and not upstream.lent
        assert engine.take() == []


def test_who_watches_and_loses_the_engine_executes_nothing(rig):
    c, engine = rig.client(), rig.engines[0]
    watch(rig, c, rig.key(0))
    engine.die()
    engine.listen()
    rig.turn()
    assert c("MULTI") == OK and c("SET", rig.key(0), "v") == QUEUED
    assert c("EXEC") == NOT_EXECUTED
    assert c("EXEC") == Error("ERR EXEC without MULTI")
    rig.ring()
    assert engine.take() == []
    c.send("GET", rig.key(0))
    wait_for(rig, lambda: engine.requests)
    assert engine.take() == [[b"GET", rig.key(0)]]


# --- engines that die ---------------------------------------------------------------------------------------------

def test_what_may_have_run_is_never_sent_again(rig):
    c, engine = rig.client(), rig.engines[0]
    c.raw(encode("MULTI") + encode("INCR", rig.key(0)) + encode("EXEC"))
    assert names(engine) == [b"MULTI", b"INCR", b"EXEC"]
    engine.reply(b"+OK\r\n+QUEUED\r\n")
    engine.die()
    engine.listen()
    assert [c.read() for _ in range(3)] == [OK, QUEUED, DOWN]
    rig.ring()
    assert engine.take() == []


def test_what_waits_for_its_engine_is_sent_when_that_is_back(rig):
    c, engine = rig.client(), rig.engines[0]
    engine.die()
    rig.turn()
    c.raw(encode("MULTI") + encode("INCR", rig.key(0)) + encode("EXEC"))
    engine.listen()
    wait_for(rig, lambda: engine.requests)
    assert names(engine) == [b"MULTI", b"INCR", b"EXEC"]
    engine.reply(b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
    assert [c.read() for _ in range(3)] == [OK, QUEUED, [1]]


def test_what_was_taken_in_part_is_sent_again_as_a_whole(rig):
    c, engine = rig.client(), rig.engines[0]
    c("MULTI")
    for number in range(100):       # more than the socket's buffers hold
        assert c("SET", rig.key(0), b"%02d" % number + b"x" * 50_000) == QUEUED
    turn, engine.turn = engine.turn, lambda: False
    c.send("EXEC")
    engine.links[0].recv(10_000)
    engine.turn = turn
    engine.die()
    engine.listen()
    wait_for(rig, lambda: engine.requests and engine.requests[-1] == [b"EXEC"])
    got = engine.take()
    assert [request[0] for request in got] == [b"MULTI"] + [b"SET"] * 100 + [b"EXEC"]
    assert [int(request[2][:2]) for request in got[1:101]] == list(range(100))
    engine.reply(b"+OK\r\n" + b"+QUEUED\r\n" * 100 + b"*100\r\n" + b"+OK\r\n" * 100)
    assert c.read() == [OK] * 100


def test_a_transaction_goes_where_its_keys_are_when_it_is_executed(rig):
    c, (a, b) = rig.client(), rig.engines
    key = rig.key(0)
    assert c("MULTI") == OK and c("GET", key) == QUEUED
    rig.move(0, 16383, b)
    c.send("EXEC")
    assert a.take() == [] and names(b) == [b"MULTI", b"GET", b"EXEC"]
    b.reply(b"+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n")
    assert c.read() == [None]


# --- bounds -------------------------------------------------------------------------------------------------------

def test_queued_commands_count_as_held_memory(rig):
    server = rig.server
    before = server.shared.held_bytes
    c = rig.client()
    c("MULTI")
    for _ in range(10):
        assert c("SET", rig.key(0), b"x" * 100_000) == QUEUED
    assert server.shared.held_bytes - before > 1_000_000
    server.shared.memory_max = before + 500_000
    rig.turn()
    server.shared.flush()
    assert c("SET", rig.key(0), "v") == Error(errors.PROXY_MEMORY.decode())
    server.shared.memory_max = 0
    server.shared.flush()
    assert c("EXEC") == ABORTED
    assert server.shared.held_bytes - before < 100_000
    c("MULTI")
    c("SET", rig.key(0), b"x" * 100_000)
    c.close()
    rig.turn()
    assert server.shared.held_bytes - before < 100_000


def test_one_client_cannot_queue_more_than_its_query_buffer_may_hold(rig):
    c = rig.client()
    rig.server.limits.query_buffer_bytes_max = 1_000_000
    c("MULTI")
    for _ in range(9):
        assert c("SET", rig.key(0), b"x" * 100_000) == QUEUED
    c.send("SET", rig.key(0), b"x" * 100_000)
    assert c.closed


def test_links_that_watch_are_bounded(rig, monkeypatch):
    c, engine = rig.client(), rig.server.engines[0]
    links = [engine.borrow() for _ in range(limits.PROXY_LENT_LINKS_MAX)]
    assert c("WATCH", rig.key(0)) == Error(errors.engine_overloaded(0).decode())
    for link in links:
        engine.discard(link)
    watch(rig, c, rig.key(0))


def test_a_pause_of_writes_holds_back_an_exec_that_writes(rig):
    a, b, admin = rig.client(), rig.client(), rig.client()
    engine = rig.engines[0]
    for c, command in ((a, ("SET", rig.key(0), "v")), (b, ("GET", rig.key(0)))):
        assert c("MULTI") == OK and c(*command) == QUEUED
    admin.send("CLIENT", "PAUSE", "100000", "WRITE")
    for one in rig.engines:
        one.reply(b"+OK\r\n")
    assert admin.read() == OK
    engine.take()
    a.send("EXEC")
    assert engine.take() == []
    b.send("EXEC")
    assert names(engine) == [b"MULTI", b"GET", b"EXEC"]
    engine.reply(b"+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n", engine.links[0])
    assert b.read() == [None]
    rig.server.pause.stop()
    rig.turn()
    assert names(engine) == [b"MULTI", b"SET", b"EXEC"]
