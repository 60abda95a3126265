"""Lists below their commands: what the journal is told, what they take, what is left where there is no memory."""
import gc

import pytest

from harness import OK, Error, Status
from shardd.structures import alloc
from unit.inproc import Engine

FORMS = {b"listpack": [f"e{n}" for n in range(40)], b"quicklist": [f"element number {n}" for n in range(4000)]}


@pytest.fixture
def engine():
    gc.collect()        # what other engines of this process have left is freed first: the list is the process's
    engine = Engine("--enable-debug-command", "yes")
    drain(engine)
    yield engine
    alloc.set_limit(0)
    engine("DEBUG", "QUICKLIST-PACKED-THRESHOLD", 0)


@pytest.fixture(params=FORMS)
def content(request, engine):
    """What is in l, which has that form."""
    engine("RPUSH", "l", *FORMS[request.param])
    assert engine("OBJECT", "ENCODING", "l") == request.param
    return [one.encode() for one in FORMS[request.param]]


def drain(engine):
    while engine.server.keyspace.free_step(1000):
        pass


def told(engine, *command):
    engine.effects()
    reply = engine(*command)
    return reply, engine.effects()


def test_effects(engine, content):
    """The command itself; of LMPOP, from which list how many; and nothing where nothing changed."""
    engine.follow()
    for command in (["LPOP", "l"], ["RPOP", "l", "3"], ["LPUSH", "l", "a", "b"], ["LSET", "l", "0", "c"],
                    ["LINSERT", "l", "AFTER", "c", "d"], ["LREM", "l", "0", "d"], ["LMOVE", "l", "l2", "LEFT", "RIGHT"],
                    ["RPOPLPUSH", "l", "l2"], ["LTRIM", "l", "1", "-2"]):
        assert told(engine, *command)[1] == [[word.encode() for word in command]]
    left = engine("LLEN", "l")
    assert told(engine, "LMPOP", 2, "none", "l", "RIGHT")[1] == [[b"RPOP", b"l", b"1"]]
    for command in (["LTRIM", "l", "0", "-1"], ["LPUSHX", "none", "a"], ["LREM", "l", "0", "none"], ["LPOP", "l", "0"],
                    ["LINSERT", "l", "AFTER", "none", "a"], ["LPOP", "none"], ["RPOPLPUSH", "none", "l"]):
        assert told(engine, *command)[1] == []
    assert told(engine, "LMPOP", 1, "l", "LEFT", "COUNT", 10**6)[1] == [[b"LPOP", b"l", b"%d" % (left - 1)]]


def test_memory_is_exact(engine, content):
    before = engine.check()
    assert before == alloc.used_memory() and engine("MEMORY", "USAGE", "l") > sum(map(len, content))
    engine("COPY", "l", "l2")
    assert engine.check() == alloc.used_memory() > before
    engine("DEL", "l", "l2")
    drain(engine)
    assert engine.check() == alloc.used_memory()


def test_a_long_list_takes_little(engine):
    """34 bytes of listpack for an element of 32, and next to nothing beside."""
    engine("RPUSH", "warm", "x")
    before = alloc.used_memory()
    for _ in range(100):
        engine("RPUSH", "l", *["x" * 32] * 1000)
    assert (alloc.used_memory() - before) / 100_000 < 34.3
    for left in (50_000, 1000):
        engine("LTRIM", "l", 0, left - 1)
        drain(engine)
        assert (alloc.used_memory() - before) / left < 34.3 + 20_000 / left
    engine("DEL", "l")
    drain(engine)


def test_many_are_freed_in_steps(engine):
    engine("RPUSH", "l", *["x" * 32] * 100_000)
    engine("LTRIM", "l", 10, 19)
    assert engine.server.keyspace.pending_free() == 1 and engine("LLEN", "l") == 10
    drain(engine)
    assert engine.check() == alloc.used_memory()


def test_without_memory(engine, content):
    """Either all of a command's doing is there, or nothing; what was pushed before memory ended stays."""
    for command in (["RPUSH", "l", "x" * 100_000], ["LPUSH", "new", "x" * 100_000], ["LSET", "l", 3, "x" * 100_000],
                    ["LINSERT", "l", "BEFORE", content[20], "x" * 100_000], ["COPY", "l", "l2"]):
        alloc.set_limit(alloc.used_memory() + 100)
        assert isinstance(engine(*command), Error), command
        alloc.set_limit(0)
        assert engine("LRANGE", "l", 0, -1) == content and engine("DBSIZE") == 1
        engine.check()
    for room in range(0, 3000, 60):
        alloc.set_limit(alloc.used_memory() + room)
        for n in range(20):
            engine("LINSERT", "l", "AFTER", content[len(content) // 2], "y" * 300)
            engine("LMOVE", "l", "l2", "LEFT", "RIGHT"), engine("LMOVE", "l2", "l", "RIGHT", "LEFT")
        alloc.set_limit(0)
        engine("LREM", "l", 0, "y" * 300)
        assert engine("LRANGE", "l", 0, -1) == content and engine("EXISTS", "l2") == 0
        assert engine.check() == alloc.used_memory()


def test_compressed_without_memory(engine):
    """A node that cannot be unpacked is not touched."""
    engine("CONFIG", "SET", "list-compress-depth", 1)
    content = [b"some text that compresses %d" % (n // 10) for n in range(3000)]
    engine("RPUSH", "l", *content)
    assert engine("MEMORY", "USAGE", "l") < sum(map(len, content)) // 2
    alloc.set_limit(alloc.used_memory() + 10)
    for command in (["LRANGE", "l", 1000, 2000], ["LINDEX", "l", 1500], ["LSET", "l", 1500, "x"],
                    ["LREM", "l", 1, "none"], ["LTRIM", "l", 1000, 2000], ["LPOS", "l", "none"],
                    ["LINSERT", "l", "BEFORE", "none", "x"]):
        assert isinstance(engine(*command), Error), command
    alloc.set_limit(0)
    assert engine("LRANGE", "l", 0, -1) == content
    assert engine.check() == alloc.used_memory()
    engine("CONFIG", "SET", "list-compress-depth", 0)


def test_debug(engine, content):
    """DEBUG OBJECT, LISTPACK and QUICKLIST-PACKED-THRESHOLD tell of lists what Redis's do."""
    small = engine("OBJECT", "ENCODING", "l") == b"listpack"
    assert ("ql_nodes:" in engine("DEBUG", "OBJECT", "l")) != small
    assert engine("DEBUG", "LISTPACK", "l") == (
        Status("Listpack structure printed on stdout") if small else Error("ERR Not a listpack encoded object."))
    assert engine("DEBUG", "LISTPACK", "none") == Error("ERR no such key")
    engine("RPUSH", "three", *["x" * 7000] * 3)
    assert engine("DEBUG", "OBJECT", "three").endswith(
        " ql_nodes:3 ql_avg_node:1.00 ql_listpack_max:-2 ql_compressed:0 ql_uncompressed_size:21042")
    assert engine("DEBUG", "QUICKLIST-PACKED-THRESHOLD", 100) == OK
    engine("RPUSH", "plain", *["x" * 7000] * 3, "y" * 99, "z")
    assert engine("DEBUG", "OBJECT", "plain").endswith(
        " ql_nodes:4 ql_avg_node:1.25 ql_listpack_max:-2 ql_compressed:0 ql_uncompressed_size:21112")
    engine("DEL", "l", "three", "plain")
