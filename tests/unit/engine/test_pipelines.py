"""Pipelines: errors and failures in the middle, replies that are dropped, input that is cut anywhere."""
import gc

import pytest

from harness.resp import encode
from shardd.structures import alloc
from unit.engine.raw import Raw
from unit.inproc import Engine

OOM = b"-OOM not enough memory for this value\r\n"


@pytest.fixture
def engine():
    gc.collect()        # engines of other tests are in cycles, and must not give their memory back under a limit
    gc.disable()
    yield Engine("--databases", "4")
    gc.enable()
    alloc.set_limit(0)


@pytest.fixture
def raw(engine):
    return Raw(engine)


def pipeline(*lines: str | tuple) -> bytes:
    return b"".join(encode(*(line.split() if isinstance(line, str) else line)) for line in lines)


def test_an_error_does_not_disturb_those_behind_it(raw):
    """Plain and hot handlers, unknown commands, wrong arity, wrong subcommands: each reply stands in its place."""
    assert raw(pipeline("SET a 1", "CLIENT NO-EVICT maybe", "GET a", "NOSUCH x", "INCR a", "GET", "SELECT 99", "GET a",
                        "CLIENT NOSUCH", "SET b 2", "HELLO 9", "MGET a b", "INCRBY a x",
                        "STRLEN b")).split(b"\r\n") == [
        b"+OK", b"-ERR syntax error", b"$1", b"1", b"-ERR unknown command 'NOSUCH', with args beginning with: 'x' ",
        b":2",
        b"-ERR wrong number of arguments for 'get' command", b"-ERR DB index is out of range", b"$1", b"2",
        b"-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.", b"+OK", b"-NOPROTO unsupported protocol version",
        b"*2", b"$1", b"2", b"$1", b"2", b"-ERR value is not an integer or out of range", b":1", b""]


@pytest.mark.parametrize("at", [0, 1, 62, 63, 64, 65, 127, 128, 199])
def test_a_failure_at_any_place_of_a_long_pipeline(engine, raw, at):
    """Requests are planned 64 at a time: one that raises must not shift what the others mean."""
    lines = [f"SET k{n} v{n}" for n in range(200)]
    lines[at] = "SELECT nosuch"
    replies = raw(pipeline(*lines)).split(b"\r\n")[:-1]
    assert len(replies) == 200
    assert [n for n, reply in enumerate(replies) if reply != b"+OK"] == [at]
    assert raw(pipeline(*[f"GET k{n}" for n in range(200)])) == b"".join(
        b"$-1\r\n" if n == at else b"$%d\r\nv%d\r\n" % (len(f"v{n}"), n) for n in range(200))
    engine.check()


@pytest.mark.parametrize("at", [0, 3, 63, 64, 99])
def test_no_memory_in_the_middle(engine, raw, at):
    """The command that finds no memory answers -OOM; what came before and what comes after it is not touched."""
    raw(pipeline("SET kept " + "k" * 100))
    lines = [f"SET k{n} {n}" for n in range(100)]
    lines[at] = "SET big " + "x" * 5000
    for n in range(100):
        raw(pipeline(f"SET k{n} 0"))
    engine("APPEND", "kept", "more")
    alloc.set_limit(alloc.used_memory() + 4000)
    replies = raw(pipeline(*lines)).split(b"\r\n")[:-1]
    alloc.set_limit(0)
    assert [n for n, reply in enumerate(replies) if reply != b"+OK"] == [at]
    assert replies[at] + b"\r\n" == OOM
    assert engine("GET big") is None
    assert [engine(f"GET k{n}") for n in range(100)] == [b"0" if n == at else b"%d" % n for n in range(100)]
    engine.check()


def test_an_aggregate_that_fails_half_way_is_taken_back(engine, raw):
    """The reply so far is dropped: nobody sees the head of an array without its elements."""
    raw(pipeline("MSET a 1 b 2"))
    alloc.set_limit(1)
    assert raw(pipeline("LCS a b IDX", "GET a")) == (
        b"-ERR Insufficient memory, failed allocating transient memory for LCS\r\n$1\r\n1\r\n")
    alloc.set_limit(0)


def test_a_part_of_mset_is_journalled(engine, raw):
    """Where memory ends in the middle, what was set is told to the journal, and nothing more."""
    engine.follow()
    alloc.set_limit(alloc.used_memory() + (1 << 20) + 6000)
    words = [w for n in range(20) for w in (f"{{t}}{n}", "v" * 1000)]
    assert raw(pipeline(("MSET", *words))) == OOM
    alloc.set_limit(0)
    [effect] = engine.effects()
    there = [n for n in range(20) if engine(f"GET {{t}}{n}") is not None]
    assert 0 < len(there) < 20
    assert effect == [b"MSET", *(w.encode() for w in words[:2 * len(there)])]
    engine.check()


# --- CLIENT REPLY -----------------------------------------------------------------------------------------------------

def test_reply_off_and_on(raw):
    assert raw(pipeline("CLIENT REPLY OFF", "SET a 1", "GET a", "NOSUCH", "SELECT x", "CLIENT REPLY ON", "GET a")) == (
        b"+OK\r\n$1\r\n1\r\n")


def test_reply_skip_drops_one(raw):
    assert raw(pipeline("CLIENT REPLY SKIP", "SET a 1", "GET a")) == b"$1\r\n1\r\n"
    for failing in ("NOSUCH", "GET", "SELECT x", "CLIENT NO-EVICT x", "INCR"):
        assert raw(pipeline("CLIENT REPLY SKIP", failing, "GET a")) == b"$1\r\n1\r\n", failing
    assert raw(pipeline("CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "GET a", "GET a")) == b"$1\r\n1\r\n"
    assert raw(pipeline("CLIENT REPLY SKIP")) == b""
    assert raw(pipeline("GET a")) == b""
    assert raw(pipeline("GET a")) == b"$1\r\n1\r\n"


def test_reply_off_lasts_over_large_replies(raw):
    """A reply beyond the size at which the buffer is sent early is still dropped."""
    raw(pipeline(("SET", "big", b"x" * 100_000)))
    assert raw(pipeline("CLIENT REPLY OFF", "GET big", "GET big", "CLIENT REPLY ON",
                        "STRLEN big")) == b"+OK\r\n:100000\r\n"
    assert len(raw(pipeline("GET big", "CLIENT REPLY SKIP", "GET big", "GET big"))) == 2 * 100_011


def test_quit_ends_a_pipeline(raw):
    assert raw(pipeline("SET a 1", "QUIT", "SET a 2")) == b"+OK\r\n+OK\r\n"
    assert raw.closed


# --- input that is cut ------------------------------------------------------------------------------------------------

SCRIPT = pipeline("SET a 1", "GET a", "NOSUCH \x01", ("SET", "b", b"\r\n$5\r\n*1\r\n"), "GET b", "SELECT 1", "DBSIZE",
                  "SELECT 0",
                  "DBSIZE", ("ECHO", b""), "INCR a", "APPEND a x",
                  "GETRANGE b 1 3") + b"PING\r\n\r\nGET 'a'\r\nSET \"c\" \"\\x00\"\r\n"


@pytest.fixture(scope="module")
def shared():
    return Engine()


@pytest.fixture(scope="module")
def whole(shared):
    out = Raw(shared)(SCRIPT)
    assert out.count(b"\r\n") > 15 and out.endswith(b"+PONG\r\n$2\r\n2x\r\n+OK\r\n")
    return out


@pytest.mark.parametrize("at", range(1, len(SCRIPT)))
def test_a_cut_at_every_byte(shared, at, whole):
    shared("FLUSHALL")
    raw = Raw(shared)
    assert raw(SCRIPT[:at]) + raw(SCRIPT[at:]) == whole


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64])
def test_pieces_of_every_size(shared, size, whole):
    shared("FLUSHALL")
    raw = Raw(shared)
    assert b"".join(raw(SCRIPT[at:at + size]) for at in range(0, len(SCRIPT), size)) == whole


def test_more_requests_than_are_parsed_at_a_time(engine, raw):
    assert raw(pipeline("INCR a") * 5000) == b"".join(b":%d\r\n" % n for n in range(1, 5001))
    assert engine.server.stats.commands >= 5000


def test_large_values_through_small_pieces(raw):
    value = bytes(range(256)) * 2000
    data = pipeline(("SET", "k", value), "GET k")
    assert raw(data) == b"+OK\r\n$%d\r\n%b\r\n" % (len(value), value)


# --- before authentication --------------------------------------------------------------------------------------------

@pytest.fixture
def locked():
    return Engine("--requirepass", "secret")


def test_nothing_is_parsed_ahead_of_auth(locked):
    raw = Raw(locked, authenticated=False)
    wide = pipeline(("MSET", *[b"k"] * 20))
    assert raw(pipeline("GET a", "AUTH secret") + wide) == b"-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n"
    raw = Raw(locked, authenticated=False)
    assert raw(wide) == b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    assert raw.closed


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_auth_in_pieces(locked, size):
    raw = Raw(locked, authenticated=False)
    data = pipeline("PING", "AUTH wrong", "AUTH secret", "PING", ("SET", "k", b"v" * 20_000), "STRLEN k")
    out = b"".join(raw(data[at:at + size]) for at in range(0, len(data), size))
    assert out == (b"-NOAUTH Authentication required.\r\n"
                   b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                   b"+OK\r\n+PONG\r\n+OK\r\n:20000\r\n")


def test_reset_locks_again(locked):
    raw = Raw(locked, authenticated=False)
    assert raw(pipeline("AUTH secret", "RESET", "GET a", "PING")) == (
        b"+OK\r\n+RESET\r\n-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n")


# --- one client's troubles are its own --------------------------------------------------------------------------------

def test_replies_of_a_client_that_failed_do_not_reach_another(engine):
    """A handler that raises what no handler should ends its connection; the next client sees its own replies only."""
    engine.server.reactor.on_error = lambda where, error: errors.append(error)
    errors: list[Exception] = []

    class Broken:
        def __call__(self, server, client, args):
            raise ZeroDivisionError

    handlers = engine.server.registry.handlers
    at = [row.name for row in engine.server.registry.rows].index("ping")
    handlers[at] = Broken()
    one, other = Raw(engine), Raw(engine)
    assert b"secret" not in one(pipeline("SET a secret", "GET a", "PING", "GET a"))
    assert one.closed and isinstance(errors[0], ZeroDivisionError)
    assert other(pipeline("STRLEN a")) == b":6\r\n"


def test_a_key_of_an_earlier_batch_is_not_taken_for_this_one(engine, raw):
    """Plans are reused: a command without a key at a fixed place must not see the last one's."""
    raw(pipeline("SET aaaa 1", "SET bbbb 2"))
    for _ in range(3):
        assert raw(pipeline("OBJECT ENCODING aaaa")) == b"$3\r\nint\r\n"
        assert raw(pipeline("OBJECT HELP")).startswith(b"*")
        assert raw(pipeline("GET bbbb")) == b"$1\r\n2\r\n"


def test_protocol_errors_come_after_the_replies_before_them(raw):
    assert raw(pipeline("SET a 1", "GET a") + b"*1\r\n!") == b"+OK\r\n$1\r\n1\r\n"
    assert raw(b"\r\n") == b"-ERR Protocol error: expected '$', got '!'\r\n"
    assert raw.closed
