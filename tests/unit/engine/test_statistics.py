"""What an engine counts: commands, errors, the slow log, rates; and which command a name means."""
import pytest

from harness.resp import OK, Error, encode
from shardd.net.client import ClientFlag
from unit.engine.raw import Raw
from unit.inproc import Caller, Engine


@pytest.fixture
def engine():
    return Engine()


def counts(engine: Engine) -> dict[str, tuple[int, int, int]]:
    """name -> calls, rejected, failed."""
    return {name: (calls, rejected, failed)
            for name, calls, _, rejected, failed in engine.server.registry.statistics()}


def test_calls_rejections_and_failures(engine):
    engine("SET a 1")
    engine("SET a x")
    engine("GET a")
    engine("GET")
    engine("GET a b")
    engine("INCR a")
    engine("SELECT x")
    engine("CLIENT NOSUCH")
    engine("NOSUCH")
    engine("OBJECT ENCODING a")
    engine("CLIENT NO-EVICT on")
    assert counts(engine) == {
        "set": (2, 0, 0), "get": (1, 2, 0), "incr": (1, 0, 1), "select": (1, 0, 1), "client": (0, 1, 0),
        "object|encoding": (1, 0, 0), "client|no-evict": (1, 0, 0)}
    assert engine.server.stats.errors == {b"ERR": 6}
    assert engine.server.stats.error_replies == 6
    engine.server.registry.reset_statistics()
    engine.server.stats.reset()
    assert counts(engine) == {} and engine.server.stats.errors == {}


def test_errors_are_counted_by_their_first_word(engine):
    engine("NOSUCH")
    engine("HELLO 9")
    engine.server.context.cluster = False
    engine.run.session.authenticated = False
    engine("GET a")
    assert engine.server.stats.errors == {b"ERR": 1, b"NOPROTO": 1, b"NOAUTH": 1}


def test_codes_that_are_made_up_do_not_fill_memory(engine):
    for n in range(1000):
        engine.server.stats.count_error(b"CODE%d text" % n)
    assert len(engine.server.stats.errors) == 128
    assert engine.server.stats.error_replies == 1000


def test_bytes_in_and_out(engine):
    raw = Raw(engine)
    data = encode("SET", "a", b"x" * 100_000) + encode("GET", "a")
    out = raw(data[:7]) + raw(data[7:60_000]) + raw(data[60_000:])
    assert engine.server.stats.bytes_in == len(data)
    assert engine.server.stats.bytes_out == len(out) == 5 + 9 + 100_002
    assert engine.server.stats.commands == raw.session.commands == 2


@pytest.mark.parametrize("line, name",
                         [("GET a", "get"), ("PING", "ping"), ("ping", "ping"), ("CLIENT ID", "client|id"),
                                        ("OBJECT ENCODING a", "object|encoding"), ("INCRBYFLOAT a 1", "incrbyfloat")])
def test_the_last_command_is_the_client_s_own(engine, line, name):
    other = Raw(engine)
    other(encode("MGET", "x", "y"))
    engine(line)
    assert engine.run.session.last_command == name
    assert other.session.last_command == "mget"


# --- slow log --------------------------------------------------------------------------------------------------------

def test_the_slow_log_keeps_the_newest(engine):
    engine.server.stats.set_slower_than(0)
    engine.server.stats.slowlog.entries_max = 3
    for n in range(5):
        engine(f"SET k {n}")
    entries = list(engine.server.stats.slowlog.entries)
    assert [(entry[0], entry[3]) for entry in entries] == [(n, [b"SET", b"k", b"%d" % n]) for n in (4, 3, 2)]
    assert all(entry[2] >= 0 and entry[5] == b"" for entry in entries)
    engine.server.stats.set_slower_than(-1)
    engine("SET k 9")
    assert len(engine.server.stats.slowlog.entries) == 3
    engine.server.stats.set_slower_than(10**9)
    engine("SET k 9")
    assert len(engine.server.stats.slowlog.entries) == 3


def test_the_slow_log_cuts_arguments(engine):
    engine.server.stats.set_slower_than(0)

    def logged(*args) -> list[bytes]:
        engine(*args)
        return engine.server.stats.slowlog.entries[0][3]

    assert logged("SET", "k", b"x" * 128) == [b"SET", b"k", b"x" * 128]
    assert logged("SET", "k", b"x" * 130) == [b"SET", b"k", b"x" * 128 + b"... (2 more bytes)"]
    assert logged("MGET", *["a"] * 31) == [b"MGET"] + [b"a"] * 31
    assert logged("MGET", *["a"] * 32) == [b"MGET"] + [b"a"] * 30 + [b"... (2 more arguments)"]
    assert logged("MGET", *["a"] * 1000) == [b"MGET"] + [b"a"] * 30 + [b"... (970 more arguments)"]


def test_rates(engine):
    stats = engine.server.stats
    assert stats.rates() == (0,) * 5
    for number in range(30):
        engine("PING")
        stats.sample(number, number * 10)
    assert all(rate > 0 for rate in stats.rates())


# --- names -----------------------------------------------------------------------------------------------------------

def test_every_command_is_found_in_any_case(engine):
    """Each that is built answers for itself, whatever the case: with its own arity error, or not as unknown."""
    containers = {name.partition("|")[0] for name in engine.server.built if "|" in name}
    for name in sorted(engine.server.built - containers):
        words = name.split("|")
        for spelled in (words, [w.upper() for w in words], [w.title() for w in words]):
            reply = str(engine(*spelled, *["x"] * 60)) if name not in ("shutdown", "debug", "quit") else ""
            assert "unknown command '" not in reply and "unknown subcommand '" not in reply, spelled


@pytest.mark.parametrize("name",
                         ["g", "ge", "gett", "getge", "get\0", "GE\tT", "x" * 39, "x" * 40, "x" * 10_000, "incrbyfloa",
                                  "incrbyfloaT ", "client|id", "object|encoding", "\xff\xfe", "-1", ""])
def test_what_is_no_command(engine, name):
    raw = Raw(engine)
    assert raw(encode(name)).startswith(b"-ERR unknown command '")
    assert raw(encode(name, "a", "b")).startswith(b"-ERR unknown command '")


@pytest.mark.parametrize("name", ["nosuch", "x" * 40, "encodin", "encodingg", "", "encoding\0", "|"])
def test_what_is_no_subcommand(engine, name):
    assert str(engine("OBJECT", name)).startswith("ERR unknown subcommand '")
    assert str(engine("OBJECT", name, "key")).startswith("ERR unknown subcommand '")


def test_keys_at_fixed_places_have_steps(engine):
    """Slot checks go from key to key by the step: none may be 0."""
    for row in engine.server.registry.rows:
        assert not row.first_key or row.key_step > 0 or row.movablekeys, row.name


def test_a_name_cannot_be_registered_twice(engine):
    with pytest.raises(AssertionError):
        engine.server.registry.add_row(engine.server.registry.rows[0], None)
    with pytest.raises(KeyError):
        engine.server.registry.plain("nosuch", lambda *_: None)


def test_a_command_that_raises_counts_with_its_time():
    engine = Engine("--slowlog-log-slower-than", "0")
    engine("CONFIG RESETSTAT")
    engine("SLOWLOG RESET")
    assert engine("CLIENT KILL ID x").code == "ERR"
    [(calls, usec, rejected, failed)] = [row[1:] for row in engine.server.registry.statistics()
                                         if row[0] == "client|kill"]
    assert (calls, rejected, failed) == (1, 0, 1)
    assert engine.server.registry.latencies()["client|kill"].count == 1
    assert any(entry[3] == [b"CLIENT", b"KILL", b"ID", b"x"] for entry in engine("SLOWLOG GET -1"))


def test_slots_cost_nothing_where_there_is_no_cluster():
    engine = Engine("--cluster-slot-stats-enabled", "yes")
    assert not engine.server.dispatcher.slot_stats.enabled
    engine = Engine("--cluster-slot-stats-enabled", "yes", "--cluster-enabled", "yes")
    assert engine.server.dispatcher.slot_stats.enabled


def test_a_proxy_is_told_which_of_its_commands_were_slow():
    engine = Engine("--slowlog-log-slower-than", "0")
    link = Caller(engine)
    link.session.flags |= ClientFlag.INTERNAL
    link("SET k v")
    assert link("SHARDD PROXY") == OK
    link.send(encode("GET", "k") + encode("GETRANGE", "k", "x", "1") + encode("GET", "k"))
    entries = {}
    for reply in (b"v", Error("ERR value is not an integer or out of range"), b"v"):
        kind, token = link.read()
        assert kind == b"slow"
        entries[token] = reply
        assert link.read() == reply
    engine("CONFIG SET slowlog-log-slower-than -1")
    assert link("GET k") == b"v"
    told = {entry[6]: entry for entry in link("SHARDD SLOWLOG 100")}
    assert [told[token][3][0] for token in entries] == [b"GET", b"GETRANGE", b"GET"]
    assert [entry[:6] for entry in told.values()] == engine("SLOWLOG GET -1")
    assert len(link("SHARDD SLOWLOG 2")) == 2 and len(link("SHARDD SLOWLOG -1")) == len(told)


def test_a_proxy_is_told_which_commands_of_an_exec_were_slow():
    """In front of EXEC's reply, in their order; what moved the reply for that is no part of the next one's time."""
    engine = Engine("--slowlog-log-slower-than", "0")
    link = Caller(engine)
    link.session.flags |= ClientFlag.INTERNAL
    assert link("SHARDD PROXY") == OK
    link.send(b"".join(encode(*words) for words in (
        ("MULTI",), ("SET", "k", "x" * 100_000), ("GET", "k"), ("GETRANGE", "k", "x", "1"), ("GET", "k"), ("EXEC",))))
    replies = [link.read()]
    while len(replies[-1]) != 4 or replies[-1][0] != OK:
        replies.append(link.read())
    assert replies[-1][1:] == [b"x" * 100_000, Error("ERR value is not an integer or out of range"), b"x" * 100_000]
    engine("CONFIG SET slowlog-log-slower-than -1")
    told = {entry[6]: entry[3][0] for entry in link("SHARDD SLOWLOG 100")}
    assert [told[reply[1]] for reply in replies[-5:-1]] == [b"SET", b"GET", b"GETRANGE", b"GET"]
