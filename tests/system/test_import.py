"""A single Redis's dump into the engines of a running tree: its content, and what the tree's clients notice of it."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Conn, ctl, rdb
from harness.ctl import answer
from harness.faults import eventually
from harness.servers import Server
from shardd.structures.crc64 import crc64_of


def fill(conn: Conn) -> None:
    """Every type and encoding, in several databases."""
    pick = random.Random(7)
    for db in (0, 1, 15):
        conn.must("SELECT", db)
        for number in range(60):
            conn.must("SET", f"string:{number}", pick.choice([number, "x" * number * 5, str(number) * 3]))
            conn.must("RPUSH", f"list:{number}", *range(1 + number * pick.choice([1, 20])))
            conn.must("HSET", f"hash:{number}", *(part for field in range(1 + number * pick.choice([1, 15]))
                                                  for part in (f"f{field}", "y" * (field % 70))))
            conn.must("SADD", f"set:{number}", *(pick.choice([str, "m{}".format])(one)
                                                 for one in range(1 + number * 12)))
            conn.must("ZADD", f"zset:{number}", *(part for one in range(1 + number * 3)
                                                  for part in (one / 3, f"z{one}")))
        conn.must("SET", "timed", "v", "PX", 10_000_000)
        conn.must("SET", "past", "v", "PX", 1)
        conn.must("SET", "large", "L" * 3_000_000)
    conn.must("SELECT", 0)


@pytest.fixture(scope="module")
def dump(tmp_path_factory) -> tuple[Path, bytes, int]:
    """A file of a real Redis, its digest, and how many keys are in it that have not expired."""
    path = tmp_path_factory.mktemp("dump") / "dump.rdb"
    with Server("oracle") as server, server.conn() as conn:
        fill(conn)
        conn.must("SAVE")
        for db in (0, 1, 15):       # DEBUG DIGEST counts what is due and still there
            conn.must("SELECT", db)
            eventually(lambda: conn.must("EXISTS", "past") == 0)
        digest = conn.must("DEBUG", "DIGEST")
        keys = 3 * (5 * 60 + 2)
        path.write_bytes((server.dir / "dump.rdb").read_bytes())
    return path, digest, keys


@pytest.fixture(scope="module")
def running(fresh) -> Iterator[Server]:
    with Server("tree", engines=2, appendonly="yes") as server:
        yield server


@pytest.fixture
def tree(running: Server) -> Server:
    with running.conn() as conn:
        conn.must("FLUSHALL")
    return running


def test_the_content_is_that_of_the_file(tree, dump):
    path, digest, keys = dump
    found = answer("import", path, tree=tree)
    assert found["ok"] and found["keys"] == keys and found["kept"] == 0 and found["unsupported"] == {}
    with tree.conn() as conn:
        assert conn.must("DEBUG", "DIGEST") == digest
        conn.must("SELECT", 15)
        assert 0 < conn.must("PTTL", "timed") <= 10_000_000
        conn.must("DEBUG", "LOADAOF")       # it is in the log of each engine
        assert conn.must("DEBUG", "DIGEST") == digest


def test_keys_that_are_there_already(tree, dump):
    path, digest, keys = dump
    with tree.conn() as conn:
        conn.must("SET", "string:7", "mine")
        found = answer("import", path, tree=tree, code=1)
        assert "'string:7' is there already" in found["error"] and "--existing skip" in found["error"]
        assert conn.must("DBSIZE") == 1 and found["keys"] == 0
        found = answer("import", path, "--existing", "skip", tree=tree)
        assert (found["keys"], found["kept"]) == (keys - 1, 1) and conn.must("GET", "string:7") == b"mine"
        found = answer("import", path, "--existing", "replace", tree=tree)
        assert (found["keys"], found["kept"]) == (keys, 0) and conn.must("DEBUG", "DIGEST") == digest


def test_a_damaged_file_changes_nothing(tree, dump, tmp_path):
    path, _, _ = dump
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "bad.rdb").write_bytes(data)
    error = answer("import", tmp_path / "bad.rdb", tree=tree, code=1)["error"]
    assert "is damaged" in error and error.endswith("Nothing was imported")
    (tmp_path / "short.rdb").write_bytes(path.read_bytes()[:-100])
    assert "is damaged" in answer("import", tmp_path / "short.rdb", tree=tree, code=1)["error"]
    assert "No such file" in answer("import", tmp_path / "none", tree=tree, code=1)["error"]
    with tree.conn() as conn:
        assert conn.must("DBSIZE") == 0


def handmade(tmp_path: Path, body: bytes) -> Path:
    data = b"REDIS0011" + body + rdb.EOF
    path = tmp_path / "made.rdb"
    path.write_bytes(data + crc64_of(data).to_bytes(8, "little"))
    return path


def test_what_no_engine_can_hold_is_left_out_only_where_that_is_said(tree, tmp_path):
    path = handmade(tmp_path, b"\xf5" + rdb.string("#!lua name=x\n") + b"\x00" + rdb.string("a") + rdb.string("v"))
    assert "function library" in answer("import", path, tree=tree, code=1)["error"]
    found = answer("import", path, "--skip-unsupported", tree=tree)
    assert found["keys"] == 1 and found["unsupported"] == {"function library": 1}


def test_a_database_that_is_not_there(tree, tmp_path):
    path = handmade(tmp_path, b"\xfe\x10" + b"\x00" + rdb.string("a") + rdb.string("v"))
    assert "keys of database 16, and `databases` is 16" in answer("import", path, tree=tree, code=1)["error"]


def test_what_the_engines_refuse_ends_it(tree, dump):
    path, _, _ = dump
    with tree.conn() as conn:
        used = int(conn.must("INFO", "memory").split(b"used_memory:")[1].split()[0])
        conn.must("CONFIG", "SET", "maxmemory", used + 4_000_000)
        try:
            found = answer("import", path, tree=tree, code=1)
            assert "OOM" in found["error"] and f"{found['keys'] or 'Nothing'} " in found["error"]
        finally:
            conn.must("CONFIG", "SET", "maxmemory", "0")


class Counting(threading.Thread):
    """A client that counts; longest_s: how long it waited for a reply at most."""

    def __init__(self, tree: Server) -> None:
        super().__init__()
        self._conn = tree.conn()
        self.count, self.longest_s = 0, 0.0
        self.ends = False

    def run(self) -> None:
        while not self.ends:
            began_s = time.monotonic()
            self.count = self._conn.must("INCR", "count")
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)


def test_clients_go_on_and_who_was_interrupted_can_go_on(tree, tmp_path):
    keys = b"".join(b"\x00" + rdb.string(f"key:{number}") + rdb.string("v" * 50) for number in range(40_000))
    path = handmade(tmp_path, keys)
    client = Counting(tree)
    client.start()
    with tree.conn() as conn:
        size = 0
        while not 2_000 <= size < 40_001:       # a machine that looks too late is given another file to interrupt
            conn.must("FLUSHALL")
            process = ctl.start("import", path, tree=tree)
            while conn.must("DBSIZE") < 2_000:
                assert not process.poll()       # 0: it was quick
                time.sleep(0.01)
            before = client.count
            process.kill()
            process.communicate()
            while size != (size := conn.must("DBSIZE")):    # the keys alone: INCR makes none
                time.sleep(0.3)
        found = answer("import", path, "--existing", "skip", tree=tree)
        client.ends = True
        client.join()
        assert conn.must("DBSIZE") == 40_001
        assert found["keys"] + found["kept"] == 40_000 and found["kept"] == size - 1
        assert client.count > before + 100 and client.longest_s < 2
