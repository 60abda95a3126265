"""The data of a whole tree on disk: where it is, that it is there again, and what happens meanwhile."""

import itertools
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from harness import OK, Closed, Conn, Error, Status, encode
from harness.servers import Server
from shardd.structures.slots import slot_of

LOADING = Error("LOADING Redis is loading the dataset in memory")
WAIT_S = 30


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def tree() -> Iterator[Server]:
    server = Server("tree", enable_protected_configs="yes").start()
    yield server
    server.stop()


def test_the_directory_of_a_tree_is_one_and_stays(tree):
    with tree.conn() as proxy:
        assert proxy("CONFIG", "GET", "dir") == [b"dir", str(tree.dir).encode()]
        refused = proxy("CONFIG", "SET", "dir", "/")
        assert isinstance(refused, Error) and "stop shardd" in str(refused)
        assert proxy("CONFIG", "GET", "dir") == [b"dir", str(tree.dir).encode()]
    for index in range(2):
        assert (tree.dir / "data-1" / f"engine-{index}" / "engine.lock").exists()


@pytest.fixture
def started() -> Iterator[Callable[..., Server]]:
    """Trees with data on disk, all of them ended with the test."""
    servers: list[Server] = []

    def start(**options: object) -> Server:
        servers.append(Server("tree", **({"appendonly": "yes"} | options)).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def stop(tree: Server) -> None:
    """As a service manager does it; the files stay."""
    tree.process.terminate()
    assert tree.wait(30) == 0


def digest(tree: Server) -> tuple[object, object]:
    with tree.conn() as proxy:
        return proxy.must("DEBUG DIGEST"), proxy.must("DBSIZE")


def fill(tree: Server) -> tuple[object, object]:
    """Some of every type, in two databases, with and without expiry; the digest."""
    with tree.conn() as proxy:
        for number in range(40):
            proxy.must("SET", f"s:{number}", "v" * number)
            proxy.must("RPUSH", f"l:{number}", *range(number * 10 + 1))
            proxy.must("HSET", f"h:{number}", *range(number * 10 + 2))
            proxy.must("ZADD", f"z:{number}", *range(number * 10 + 2))
            proxy.must("SADD", f"set:{number}", *range(number * 10 + 1))
        proxy.must("SET with-expiry v EX 100000")
        proxy.must("SELECT 3")
        proxy.must("SET other database")
    return digest(tree)


def engines(tree: Server) -> list[psutil.Process]:
    """By index."""
    return [psutil.Process(child["pid"]) for child in status(tree) if child["kind"] == "engine"]


def status(tree: Server) -> list[dict]:
    with Conn(str(tree.dir / "run" / "supervisor.sock")) as conn:
        return json.loads(conn.must("SHARDD STATUS"))["children"]


def key_of(index: int, number: int = 0) -> str:
    """A key of one of two engines."""
    return next(key for key in (f"k{number}:{n}" for n in itertools.count()) if slot_of(key.encode()) // 8192 == index)


@pytest.mark.parametrize("options", [{}, {"appendonly": "no", "save": ["3600", "1"]}], ids=["aof", "rdb"])
def test_other_numbers_of_engines_find_the_same_data(started, options):
    tree = started(**options)
    before = fill(tree)
    for count in (3, 1, 2) if not options else (1,):
        stop(tree)
        tree.options["engines"] = count
        tree.start()
        assert digest(tree) == before
        home, = (path for path in tree.dir.iterdir() if path.name.startswith("data-"))
        assert sorted(path.name for path in home.iterdir()) == [f"engine-{index}" for index in range(count)]


@pytest.mark.parametrize("engines", [2, 3])
def test_an_engine_whose_directory_is_gone_stops_the_start(started, engines):
    tree = started()
    before = fill(tree)
    stop(tree)
    home, away = tree.dir / "data-1" / "engine-1", tree.dir / "away"
    home.rename(away)
    tree.options["engines"] = engines
    tree.start(ready=False)
    assert tree.wait(30) == 1
    assert f"there is an engine 1, and {home} is not there: put it back" in tree.log_tail()
    away.rename(home)
    tree.start()
    assert digest(tree) == before


def test_an_engine_by_itself_does_not_write_where_a_tree_does(started):
    tree = started()
    home = tree.dir / "data-1" / "engine-0"
    intruder = Server("engine", dir=home, appendonly="yes").start(ready=False)
    try:
        assert intruder.wait(30) == 1
        assert f"dir '{home}': an engine of a shardd that runs writes there" in intruder.log_tail()
        stop(tree)
        with Server("engine", dir=home, appendonly="yes") as alone, alone.conn() as conn:
            assert conn("SET", "k", "v") == OK
    finally:
        intruder.stop()


def test_an_engine_whose_files_are_gone_is_told_of(started):
    tree = started()
    fill(tree)
    stop(tree)
    home = tree.dir / "data-1" / "engine-1"
    shutil.rmtree(home / "appendonlydir")
    tree.start()
    assert tree.log().count(f"{home} is empty, while other engines have files: engine 1 starts without keys") == 1


def test_a_first_start_finds_what_a_redis_has_left(started, start):
    redis = start("oracle")
    with redis.conn() as conn:
        for number in range(100):
            conn.must("SET", f"key:{number}", number)
        conn.must("SAVE")
        before = conn.must("DEBUG DIGEST")
    dump = (redis.dir / "dump.rdb").read_bytes()
    tree = Server("tree", appendonly="yes")
    (tree.dir / "dump.rdb").write_bytes(dump)
    with tree:
        assert digest(tree) == (before, 100)
        with tree.conn() as proxy:
            proxy.must("DEL key:1")
        stop(tree)
        tree.start()
        assert digest(tree)[1] == 99, "once"
        assert (tree.dir / "dump.rdb").read_bytes() == dump
        told = f"{tree.dir / 'dump.rdb'} is not read: the data is in {tree.dir / 'data-2'}. shardctl import adds a dump's keys"
        assert tree.log().count(told) == 1, "not at the first start"


def test_an_engine_that_is_killed_under_load_loses_nothing_and_the_others_serve(started):
    tree = started(appendfsync="always")
    acknowledged: dict[int, int] = {0: 0, 1: 0}
    served_meanwhile = 0
    over = threading.Event()

    def write(index: int) -> None:
        """One after the other, each the next number, until the test is over; errors are what they are."""
        nonlocal served_meanwhile
        key, number = key_of(index), 0
        with tree.conn(timeout_s=30) as conn:
            while not over.is_set():
                number += 1
                if conn("SET", key, number) == OK:
                    acknowledged[index] = number
                    served_meanwhile += index == 0 and down.is_set()

    down = threading.Event()
    writers = [threading.Thread(target=write, args=(index,)) for index in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            before, victim = acknowledged[1], engines(tree)[1]
            wait_for(lambda: acknowledged[1] > before + 20)
            down.set()
            victim.kill()
            wait_for(lambda: status(tree)[1]["pid"] not in (None, victim.pid) and status(tree)[1]["state"] == "up")
            down.clear()
            with tree.conn() as conn:
                at_least = acknowledged[1]
                assert int(conn.must("GET", key_of(1))) >= at_least
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert served_meanwhile > 5
    with tree.conn() as conn:
        for index in range(2):
            assert int(conn.must("GET", key_of(index))) == acknowledged[index]


def test_restarts_on_request_keep_the_data(started):
    tree = started()
    before = fill(tree)
    pids = [engine.pid for engine in engines(tree)]
    with Conn(str(tree.dir / "run" / "supervisor.sock"), timeout_s=30) as conn:
        conn.send(encode("SHARDD", "RESTART", "ENGINES"))
        while isinstance(said := conn.read(), bytes):
            pass
        assert said == OK
    assert not set(pids) & {engine.pid for engine in engines(tree)}
    assert digest(tree) == before


def test_while_one_engine_loads_its_keys_alone_get_loading(started):
    tree = started(key_load_delay=10_000)
    with tree.conn() as proxy:
        for number in range(200):
            proxy.must("SET", key_of(1, number), "v")
        proxy.must("BGREWRITEAOF")
        wait_for(lambda: b"aof_rewrite_in_progress:0" in proxy.must("INFO persistence"))
        engines(tree)[1].kill()
        wait_for(lambda: status(tree)[1]["state"] == "loading")
        assert proxy("GET", key_of(1)) == LOADING
        assert proxy("DBSIZE") == LOADING and proxy("FLUSHALL") == LOADING
        assert proxy("MSET", key_of(0), "v", key_of(1), "v") == LOADING
        assert proxy("SET", key_of(0), "v") == OK and proxy("PING") == Status("PONG")
        assert b"\r\nloading:1\r\n" in proxy.must("INFO persistence")
        wait_for(lambda: status(tree)[1]["state"] == "up")
        wait_for(lambda: proxy("DBSIZE") == 201)


def test_shutdown_save_saves_all_engines_and_nosave_none(started):
    tree = started(appendonly="no")
    before = fill(tree)
    with tree.conn() as proxy, pytest.raises((Closed, ConnectionError)):
        proxy("SHUTDOWN SAVE")
    assert tree.wait(30) == 0
    tree.start()
    assert digest(tree) == before
    with tree.conn() as proxy:
        proxy.must("SET lost v")
        with pytest.raises((Closed, ConnectionError)):
            proxy("SHUTDOWN NOSAVE")
    assert tree.wait(30) == 0
    tree.start()
    assert digest(tree) == before


def test_snapshots_of_several_engines_are_written_one_after_the_other(started):
    tree = started(appendonly="no", rdb_key_save_delay=50_000)
    with tree.conn() as proxy:
        for number in range(30):
            proxy.must("SET", key_of(number % 2, number), "v")
        earlier = proxy.must("LASTSAVE")
        assert proxy("BGSAVE") == Status("Background saving started")
        most = 0
        while b"rdb_bgsave_in_progress:1" in proxy.must("INFO persistence"):
            children = [child for engine in engines(tree) for child in engine.children()]
            most = max(most, len(children))
        assert most == 1
        assert proxy.must("LASTSAVE") >= earlier
    assert all((tree.dir / "data-1" / f"engine-{index}" / "dump.rdb").exists() for index in range(2))
