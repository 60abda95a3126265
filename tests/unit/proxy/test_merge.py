"""Commands over several engines: split, asked, joined."""
import gc
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.resp import OK, Error, encode
from proxy.merge import decoded
from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError
from shardd.structures.slots import slot_of
from shardd.wire.reply import encode as encode_value
from shardd.wire.values import Push, Simple, Verbatim
from unit.proxy.rig import Rig

CROSSSLOT = Error("CROSSSLOT Keys in request don't hash to the same slot")


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(3)
    yield rig
    rig.close()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def keyed(request: list[bytes]) -> bytes:
    """An engine whose values are its keys, in brackets."""
    name = request[0].upper()
    if name == b"MGET":
        return b"*%d\r\n" % (len(request) - 1) + b"".join(
            b"$-1\r\n" if key.startswith(b"none") else bulk(b"[%b]" % key) for key in request[1:])
    return b":%d\r\n" % (len(request) - 1) if name != b"MSET" else b"+OK\r\n"


def test_mget_comes_back_in_the_order_of_the_keys(rig):
    for engine in rig.engines:
        engine.auto = keyed
    c = rig.client()
    chance = random.Random(3)
    for _ in range(50):
        keys = [chance.choice([b"k%d", b"none%d"]) % chance.randrange(30) for _ in range(chance.randrange(1, 40))]
        assert c("MGET", *keys) == [None if key.startswith(b"none") else b"[%b]" % key for key in keys]
    for engine in rig.engines:
        for request in engine.take():
            for key in request[1:]:
                assert rig.engines[rig.server.topology.owners[slot_of(key)]] is engine


def test_keys_of_one_engine_go_as_they_came(rig):
    c = rig.client()
    keys = [rig.key(1, n) for n in range(3)]
    c.raw(encode("mGeT", *keys))
    assert rig.engines[1].take() == [[b"mGeT", *keys]]


@pytest.mark.parametrize("name", ["DEL", "UNLINK", "EXISTS", "TOUCH"])
def test_numbers_are_added(rig, name):
    for engine in rig.engines:
        engine.auto = keyed
    c = rig.client()
    assert c(name, *[rig.key(n % 3, n) for n in range(10)]) == 10
    assert sum(len(engine.take()) for engine in rig.engines) == 3
    assert c(name, rig.key(0), rig.key(0), rig.key(1)) == 3, "a key may be named twice"


def test_mset_pairs_stay_together(rig):
    for engine in rig.engines:
        engine.auto = keyed
    c = rig.client()
    a, b = rig.key(0), rig.key(1)
    assert c("MSET", a, "1", b, "2", a, "3") == OK
    assert rig.engines[0].take() == [[b"MSET", a, b"1", a, b"3"]]
    assert rig.engines[1].take() == [[b"MSET", b, b"2"]]
    assert c("MSET", a, "1", b) == Error("ERR wrong number of arguments for 'mset' command")


def test_an_engines_error_is_the_reply_and_the_other_parts_are_waited_for(rig):
    a, b, _ = rig.engines
    c = rig.client()
    c.raw(encode("MSET", rig.key(0), "1", rig.key(1), "2") + encode("GET", rig.key(1)))
    a.reply(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")
    assert c.nothing()
    b.reply(b"+OK\r\n" + bulk(b"2"))
    assert c.read() == Error("OOM command not allowed when used memory > 'maxmemory'.")
    assert c.read() == b"2"


def test_a_task_that_fails_leaves_nothing_behind(rig):
    """A proxy never runs the cyclic collector, so an error must not hold the frames that hold it."""
    c = rig.client()

    def fail() -> None:
        c.send("SWAPDB", "0", "1")
        for engine in rig.engines:
            engine.reply(b"-ERR no\r\n")
        assert c.read() == Error("ERR no")

    def errors_alive() -> int:
        return sum(isinstance(one, CommandError) for one in gc.get_objects())

    fail()
    gc.collect()
    gc.disable()
    try:
        before = errors_alive()
        for _ in range(5):
            fail()
        assert errors_alive() == before
    finally:
        gc.enable()


def test_a_dead_engine_fails_the_whole_and_only_once(rig):
    a, b, _ = rig.engines
    c = rig.client()
    c.raw(encode("MGET", rig.key(0), rig.key(1)) + encode("GET", rig.key(1)))
    a.die()
    b.reply(b"*1\r\n$1\r\nb\r\n" + bulk(b"b"))
    assert c.read() == Error("ERR engine 0 is down, the command may or may not have been executed")
    assert c.read() == b"b"


def test_a_write_whose_one_part_was_not_sent_is_not_called_unexecuted(rig):
    """The other part is done, so a client that sends the whole again must know what it does."""
    a, b, _ = rig.engines
    c = rig.client()
    a.die()
    rig.turn()
    c.send("MSET", rig.key(0), "x", rig.key(1), "y")
    c.send("MGET", rig.key(0), rig.key(1))
    rig.turn()
    b.reply(b"+OK\r\n*1\r\n$1\r\ny\r\n")
    rig.server.backends.check(mono_ms() + limits.PROXY_RETRY_MS + 1)
    rig.turn()
    assert c.read() == Error("ERR an engine is down, the command may have been executed in part")
    assert c.read() == Error("CLUSTERDOWN engine 0 is down, the command was not executed")
    b.die()
    rig.turn()
    c.send("DEL", rig.key(0), rig.key(1))
    rig.turn()
    rig.server.backends.check(mono_ms() + limits.PROXY_RETRY_MS + 1)
    assert c.read() == Error("CLUSTERDOWN engine 0 is down, the command was not executed")


def test_parts_are_redirected_like_any_command(rig):
    a, b, _ = rig.engines
    c = rig.client()
    keys = [rig.key(0), rig.key(1)]
    c.send("MGET", *keys)
    a.reply(b"-MOVED 1 127.0.0.1:%d\r\n" % b.info.port)
    rig.turn()
    assert b.take() == [[b"MGET", keys[1]], [b"MGET", keys[0]]]
    b.reply(b"*1\r\n$1\r\nb\r\n*1\r\n$1\r\na\r\n")
    assert c.read() == [b"a", b"b"]


def test_parts_that_do_not_fit_are_an_error(rig):
    c = rig.client()
    for wrong in (b"+OK\r\n", b"*0\r\n", b"$1\r\nx\r\n"):
        c.send("MGET", rig.key(0), rig.key(1))
        rig.engines[0].reply(b"*1\r\n$1\r\na\r\n")
        rig.engines[1].reply(wrong)
        assert c.read() == Error("ERR the engines' replies do not fit together")


def test_what_cannot_be_split_is_refused_over_engines_and_passed_on_within_one(rig):
    c = rig.client()
    a, a2, b = rig.key(0), rig.key(0, 5), rig.key(1)
    assert slot_of(a) != slot_of(a2)
    for command in (["BITOP", "AND", a, a2, b], ["PFCOUNT", a, b], ["EVAL", "return 1", "2", a, b]):
        assert c(*command) == CROSSSLOT, command
    for command in (["MSETNX", a, "1", a2, "2"], ["RENAME", a, a2], ["ZUNION", "2", a, a2], ["EVAL", "return 1", "0"]):
        c.send(*command)
        [request] = rig.engines[0].take()
        assert request[0] == command[0].encode()
        rig.engines[0].reply(b":1\r\n")
        assert c.read() == 1
    assert not rig.engines[1].requests and not rig.engines[2].requests


def test_every_engine_is_asked(rig):
    c = rig.client()
    c.raw(encode("DBSIZE") + encode("FLUSHALL", "ASYNC") + encode("KEYS", "*") + b"dbsize\r\n")
    for index, engine in enumerate(rig.engines):
        assert engine.take() == [[b"DBSIZE"]]
        engine.reply(b":%d\r\n" % (index + 1))
    assert c.read() == 6
    for index, engine in enumerate(rig.engines):
        assert engine.take() == [[b"FLUSHALL", b"ASYNC"], [b"KEYS", b"*"]], "they have a lane of their own"
        engine.reply(b"+OK\r\n*%d\r\n" % index + bulk(b"k%d" % index) * index)
    assert [c.read(), c.read()] == [OK, [b"k1", b"k2", b"k2"]]
    for engine in rig.engines:
        assert engine.take() == [[b"dbsize"]]
        engine.reply(b":1\r\n")
    assert c.read() == 3


def test_a_silent_split_command_sends_nothing(rig):
    for engine in rig.engines:
        engine.auto = keyed
    c = rig.client()
    c.raw(encode("CLIENT", "REPLY", "OFF") + encode("MGET", rig.key(0), rig.key(1)) + encode("DEL", rig.key(2))
          + encode("CLIENT", "REPLY", "ON"))
    assert c.read() == OK
    assert c.nothing()


def test_a_client_that_goes_away_from_a_split_command(rig):
    c = rig.client()
    c.send("MGET", rig.key(0), rig.key(1))
    c.close()
    for engine in rig.engines[:2]:
        engine.reply(b"*1\r\n$1\r\nv\r\n")
    rig.turn()
    assert len(rig.server.clients) == 0


def test_random_splits_against_one_table(rig):
    """Three engines behind the proxy and one dict say the same, whatever is pipelined."""
    tables = [{} for _ in rig.engines]

    def answer(table: dict[bytes, bytes], request: list[bytes]) -> bytes:
        name, args = request[0], request[1:]
        if name == b"MSET":
            table.update(zip(args[::2], args[1::2]))
            return b"+OK\r\n"
        if name == b"MGET":
            return b"*%d\r\n" % len(args) + b"".join(bulk(table[k]) if k in table else b"$-1\r\n" for k in args)
        return b":%d\r\n" % sum(table.pop(k, None) is not None for k in args)

    for engine, table in zip(rig.engines, tables):
        engine.auto = lambda request, table=table: answer(table, request)
    c, chance, whole = rig.client(), random.Random(11), {}
    for _ in range(60):
        batch, expected = b"", []
        for _ in range(chance.randrange(1, 12)):
            keys = [b"k%d" % chance.randrange(25) for _ in range(chance.randrange(1, 8))]
            kind = chance.choice(["MSET", "MGET", "DEL"])
            if kind == "MSET":
                pairs = [word for key in keys for word in (key, b"%d" % chance.randrange(1000))]
                whole.update(zip(pairs[::2], pairs[1::2]))
                batch += encode("MSET", *pairs)
                expected.append(OK)
            elif kind == "MGET":
                batch += encode("MGET", *keys)
                expected.append([whole.get(key) for key in keys])
            else:
                batch += encode("DEL", *keys)
                expected.append(sum(whole.pop(key, None) is not None for key in keys))
        c.raw(batch)
        assert [c.read() for _ in expected] == expected


# --- decoding -----------------------------------------------------------------------------------------------------

def test_values_of_every_type():
    raw = b"*12\r\n+OK\r\n-ERR x\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n_\r\n#t\r\n,1.5\r\n" \
          b"(99999999999999999999\r\n=7\r\ntxt:a\nb\r\n%1\r\n$1\r\nk\r\n*-1\r\n~2\r\n:1\r\n:2\r\n"
    value = decoded(raw)
    assert value[0] == "OK" and isinstance(value[0], Simple)
    assert isinstance(value[1], CommandError) and value[1].text == b"ERR x"
    assert value[2:9] == [-7, b"a\r\n", None, None, True, 1.5, 99999999999999999999]
    assert value[9:] == [Verbatim("a\nb"), {b"k": None}, [1, 2]]
    assert isinstance(value[9], Verbatim)
    assert decoded(b"|1\r\n+a\r\n+b\r\n:1\r\n") == 1
    assert decoded(b"!5\r\nERR x\r\n").text == b"ERR x"
    assert isinstance(decoded(b">1\r\n:1\r\n"), Push)


SCALARS = st.none() | st.integers(-2**63, 2**63 - 1) | st.binary(max_size=20)


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=30), st.sampled_from([2, 3]))
def test_what_the_writer_writes_comes_back(value, resp):
    assert decoded(encode_value(value, resp)) == value


def test_nesting_has_a_bound():
    with pytest.raises(ValueError):
        decoded(b"*1\r\n" * 100 + b":1\r\n")


@pytest.mark.parametrize("key", [b"*0\r\n", b">1\r\n:1\r\n", b"%0\r\n", b"~1\r\n:1\r\n"])
def test_a_key_is_a_single_value(key):
    with pytest.raises(ValueError, match="a map has a key that is an array or a map"):
        decoded(b"%1\r\n" + key + b":1\r\n")
