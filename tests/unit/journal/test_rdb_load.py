"""Loading RDB files: what redis-server wrote, and what we wrote, is there again."""
import os
import random

import pytest

from harness import rdb
from harness.servers import Server
from shardd.base.clock import mono_us
from shardd.journal.rdb_in import RdbSource
from shardd.journal.rdb_load import RdbLoader
from shardd.journal.rdb_load_build import Thresholds
from shardd.journal.rdb_save import save_keyspace
from unit.inproc import Engine

FAR = 4_000_000_000_000


def load(engine, source, step_us=1_000_000, **options):
    """Load a file's descriptor or bytes; the loader."""
    keyspace = engine.server.keyspace
    loader = RdbLoader(keyspace, RdbSource(source), Thresholds(engine.server.config), **options)
    while not loader.step(mono_us() + step_us):
        pass
    engine.check()
    return loader


def fill(call, seed):
    """Keys of all types and forms."""
    rng = random.Random(seed)

    def word(most=40):
        return bytes(rng.randrange(256) for _ in range(rng.randrange(1, most)))

    for n in range(300):
        call("SET", b"s%d" % n, rng.choice([word(), b"%d" % rng.randrange(-10**18, 10**18), b"x" * rng.randrange(5000),
                                            word(300), b"%d" % rng.randrange(300)]))
        if rng.random() < .3:
            call("PEXPIREAT", b"s%d" % n, FAR + n)
    call("SET", b"k" * 300, "v")
    call("SET", "long", b"ab" * 40000)
    for size in (1, 3, 100, 129, 600, 3000):
        call("RPUSH", b"l%d" % size, *[rng.choice([word(90), b"%d" % rng.randrange(10**6)]) for _ in range(size)])
        call("SADD", b"i%d" % size, *[rng.randrange(-10**rng.randrange(1, 15), 10**9) for _ in range(size)])
        call("SADD", b"m%d" % size, *[rng.choice([word(20), b"%d" % rng.randrange(10**6)]) for _ in range(size)])
        for n in range(size):
            call("HSET", b"h%d" % size, b"f%d" % n, rng.choice([word(30), b"%d" % rng.randrange(10**6)]))
            call("ZADD", b"z%d" % size, rng.choice([rng.random(), rng.randrange(100), "inf", "-inf", -0.0]),
                 rng.choice([word(20), b"%d" % rng.randrange(10**6)]))
    call("RPUSH", "plain", b"p" * 20000, "a", b"q" * 70000)
    call("HSET", "wide", "f", b"w" * 100)
    call("SADD", "widemember", b"w" * 100)
    call("ZADD", "widemember2", 1, b"w" * 100)
    call("SELECT", 5)
    call("SET", "other", "database")
    call("SELECT", 0)


@pytest.fixture(scope="module")
def redis_file(tmp_path_factory):
    """A file of redis-server with all types, its digest and the encodings of its keys."""
    with Server("oracle") as server:
        conn = server.conn()
        fill(conn, 1)
        conn("SAVE")
        path = os.path.join(conn("CONFIG", "GET", "dir")[1].decode(), "dump.rdb")
        keys = {key: conn("OBJECT", "ENCODING", key) for key in conn("KEYS", "*")}
        with open(path, "rb") as file:
            return file.read(), conn("DEBUG", "DIGEST"), keys


def test_what_redis_wrote_is_there(redis_file, tmp_path):
    data, digest, keys = redis_file
    engine = Engine("--enable-debug-command", "yes")
    path = tmp_path / "dump.rdb"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    loader = load(engine, fd, step_us=0)
    os.close(fd)
    assert loader.keys == len(keys) + 1 and loader.position == loader.total == len(data)
    assert loader.version == 10 and loader.aux[b"redis-bits"] == b"64"
    assert engine("DEBUG", "DIGEST") == digest
    differs = {key: (name, engine("OBJECT", "ENCODING", key)) for key, name in keys.items()
               if engine("OBJECT", "ENCODING", key) != name}
    # sets and lists that 7.2 packs, and 7.0 does not
    assert all(pair in [(b"hashtable", b"listpack"), (b"quicklist", b"listpack")] for pair in differs.values()), differs


def test_what_we_wrote_is_there(tmp_path):
    engine = Engine("--enable-debug-command", "yes")
    fill(engine, 2)
    engine("HSETEX", "timed", "PXAT", FAR, "FIELDS", 2, "a", "1", "b", "2")
    path = tmp_path / "dump.rdb"
    with open(path, "wb") as file:
        save_keyspace(engine.server.keyspace, file.fileno())
    other = Engine("--enable-debug-command", "yes")
    loader = load(other, path.read_bytes())
    assert loader.version == 12
    assert other("DEBUG", "DIGEST") == engine("DEBUG", "DIGEST")
    names = {key: engine("OBJECT", "ENCODING", key) for key in engine("KEYS", "*")}
    differs = {key: other("OBJECT", "ENCODING", key) for key, name in names.items()
               if other("OBJECT", "ENCODING", key) != name}
    assert set(differs) <= {b"s0"}, differs


@pytest.mark.parametrize("said, tag", [(120_000, ""), (2**60, ""), (120_000, "{t}"), (0, "")])
def test_how_many_keys_are_announced(said, tag):
    """The tables are made as large as that lets expect, whether it is true or not."""
    engine = Engine()
    count = 120_000 if said == 120_000 and not tag else 20_000
    body = b"\xfb" + rdb.length(said) + rdb.length(0) + b"".join(
        rdb.key(rdb.STRING, f"{tag}{n}", rdb.number(n), FAR if n % 7 == 0 else None) for n in range(count))
    loader = load(engine, rdb.file(body))
    assert loader.keys == engine("DBSIZE") == count
    assert engine("GET", f"{tag}777") == b"777"
    held = engine.check() / count
    assert held < 200, f"{held} bytes a key"
    for n in range(0, count, 3):
        engine("DEL", f"{tag}{n}")
    engine.check()
