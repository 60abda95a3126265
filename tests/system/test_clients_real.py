"""Client libraries as people use them, connected to a tree: redis-py (plain, asyncio, cluster), valkey-glide, ioredis
and node-redis.

The libraries of JavaScript are those of tests/libraries/package-lock.json, put into build/libraries by `npm ci` once.
What the machine does not have (node, a registry that answers) is a skip that says so.
"""

import asyncio
import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from harness.servers import Server

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ROOT / "tests" / "libraries"
INSTALLED = ROOT / "build" / "libraries"
NODE_MIN = 20
NPM_S = 60
SCRIPT_S = 30
ENGINES = 3


@pytest.fixture(scope="module")
def tree() -> Iterator[Server]:
    with Server("tree", engines=ENGINES, proxies=2) as server:
        yield server


@pytest.fixture(autouse=True)
def clean(tree: Server) -> None:
    with tree.conn() as c:
        c.must("FLUSHALL")


def ports(tree: Server) -> list[int]:
    """Where the engines listen."""
    with tree.conn() as c:
        return sorted({node[1] for _, _, node in c.must("CLUSTER SLOTS")})


def kill_engine(tree: Server, index: int) -> None:
    next(p for p in tree.children() if f"engine-{index}.conf" in " ".join(p.cmdline())).kill()


# --- redis-py ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(tree, protocol):
    with redis.Redis(port=tree.port, protocol=protocol, client_name="py", db=1, decode_responses=True) as client:
        assert client.mset({f"k{n}": n for n in range(100)})
        assert client.mget([f"k{n}" for n in range(100)]) == [str(n) for n in range(100)]
        assert set(client.scan_iter(count=7)) == {f"k{n}" for n in range(100)}
        assert client.client_getname() == "py"
        me = client.client_id()
        assert [one["name"] for one in client.client_list(client_id=[me])] == ["py"]
        assert client.client_info()["lib-name"] == "redis-py"
        assert client.client_trackinginfo() is not None
        assert client.client_pause(1, all=False) and client.client_unpause()
        assert client.client_no_touch("ON") and client.client_no_touch("OFF")
        assert client.client_kill_filter(_id=str(me + 1_000_000)) == 0
        assert client.info("clients")["connected_clients"] >= 1


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_asyncio(tree, protocol):
    async def use() -> None:
        async with redis.asyncio.Redis(port=tree.port, protocol=protocol, decode_responses=True) as client:
            assert await client.ping()
            assert all(await asyncio.gather(*(client.set(f"k{n}", n) for n in range(90))))
            assert await asyncio.gather(*(client.get(f"k{n}") for n in range(90))) == [str(n) for n in range(90)]
            async with client.pipeline(transaction=False) as pipe:
                for n in range(90):
                    pipe.incr(f"k{n}")
                assert await pipe.execute() == [n + 1 for n in range(90)]
            assert {key async for key in client.scan_iter(count=11)} == {f"k{n}" for n in range(90)}
            assert await client.flushall() and await client.dbsize() == 0

    asyncio.run(asyncio.wait_for(use(), SCRIPT_S))


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_cluster(tree, protocol):
    with RedisCluster(host="127.0.0.1", port=tree.port, protocol=protocol, decode_responses=True) as client:
        assert sorted(node.port for node in client.get_primaries()) == ports(tree)
        assert client.mset_nonatomic({f"k{n}": n for n in range(100)})
        assert client.mget_nonatomic([f"k{n}" for n in range(100)]) == [str(n) for n in range(100)]
        assert sum(client.dbsize(target_nodes=[node]) for node in client.get_primaries()) == 100


def test_redis_cluster_follows_an_engine_that_is_started_again(tree):
    with RedisCluster(host="127.0.0.1", port=tree.port, retry=Retry(NoBackoff(), 3), decode_responses=True) as client:
        keys = [f"k{n}" for n in range(30)]
        assert all(client.set(key, "old") for key in keys)
        kill_engine(tree, 1)
        deadline = time.monotonic() + 15
        for key in keys:
            while True:
                try:
                    assert client.set(key, "new")
                    break
                except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
        assert [client.get(key) for key in keys] == ["new"] * 30


# --- valkey-glide -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", ["RESP2", "RESP3"])
def test_glide(tree, protocol):
    glide = pytest.importorskip("glide", reason="valkey-glide is not installed: pip install '.[test]'")

    async def use() -> None:
        client = await glide.GlideClient.create(glide.GlideClientConfiguration(
            [glide.NodeAddress("127.0.0.1", tree.port)], protocol=glide.ProtocolVersion[protocol], client_name="glide",
            database_id=4))
        try:
            assert await client.ping() == b"PONG"
            assert await client.mset({f"k{n}": str(n) for n in range(100)}) == "OK"
            assert await client.mget([f"k{n}" for n in range(100)]) == [b"%d" % n for n in range(100)]
            assert await client.incr("k7") == 8
            with pytest.raises(glide.RequestError, match="not an integer"):
                await client.set("text", "abc")
                await client.incr("text")
            cursor, found = b"0", set()
            while True:
                cursor, keys = await client.scan(cursor, count=20)
                found.update(keys)
                if cursor == b"0":
                    break
            assert found == {b"k%d" % n for n in range(100)} | {b"text"}
            assert await client.client_getname() == b"glide"
            assert await client.dbsize() == 101
        finally:
            await client.close()

    asyncio.run(asyncio.wait_for(use(), SCRIPT_S))


def test_glide_cluster(tree):
    glide = pytest.importorskip("glide", reason="valkey-glide is not installed: pip install '.[test]'")

    async def use() -> None:
        client = await glide.GlideClusterClient.create(glide.GlideClusterClientConfiguration(
            [glide.NodeAddress("127.0.0.1", tree.port)]))
        try:
            await asyncio.gather(*(client.set(f"k{n}", str(n)) for n in range(100)))
            assert await asyncio.gather(*(client.get(f"k{n}") for n in range(100))) == [b"%d" % n for n in range(100)]
            assert await client.mget([f"k{n}" for n in range(100)]) == [b"%d" % n for n in range(100)]
            assert await client.dbsize() == 100
        finally:
            await client.close()

    asyncio.run(asyncio.wait_for(use(), SCRIPT_S))


# --- JavaScript -------------------------------------------------------------------------------------------------------

def install() -> str | None:
    """Puts the libraries into place, once for all runs and workers; why that is not possible, or None."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not on this machine (apt: nodejs npm)"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=SCRIPT_S).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0] or 0) < NODE_MIN:
        return f"node is {version}, and the libraries need {NODE_MIN}"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    lock = (LIBRARIES / "package-lock.json").read_bytes()
    stamp = INSTALLED / "installed.json"
    with open(INSTALLED / "lock", "w") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_bytes() == lock:
            return None
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LIBRARIES / name, INSTALLED)
        words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1",
                 "--fetch-timeout=10000"]
        try:
            done = subprocess.run(words, cwd=INSTALLED, capture_output=True, text=True, timeout=NPM_S)
        except subprocess.TimeoutExpired:
            return f"npm ci took more than {NPM_S} s"
        if done.returncode:
            return f"npm ci failed: {done.stderr.strip()[-200:]}"
        stamp.write_bytes(lock)
    return None


@pytest.fixture(scope="module")
def script(tree: Server) -> Any:
    """Runs one of tests/libraries/*.js with arguments and returns what it printed."""
    trouble = install()
    if trouble:
        pytest.skip(trouble)

    def run(name: str, *args: object) -> dict[str, Any]:
        source = shutil.copy(LIBRARIES / name, INSTALLED)       # beside node_modules, where require() looks
        done = subprocess.run(["node", source, str(tree.port), *map(str, args)], cwd=INSTALLED, capture_output=True,
                              text=True, timeout=SCRIPT_S)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_ioredis(script):
    assert script("ioredis.js", "plain") == {
        "errors": [], "set": "OK", "get": "v", "missing": None, "mget": True, "pipeline": True, "scanned": 100,
        "wrong": "ERR value is not an integer or out of range",
        "unknown": "ERR unknown command 'NOSUCH', with args beginning with: 'x' ", "buffer": True, "name": "io",
        "info": True, "automatic": True, "dbsize": 101}


def test_ioredis_cluster(script, tree):
    seen = script("ioredis.js", "cluster")
    sizes = seen.pop("sizes")
    assert sum(sizes) == 100 and all(sizes)
    assert seen == {"errors": [], "values": True, "ports": ports(tree), "pipeline": True, "slot": 12182}


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis(script, protocol):
    assert script("node_redis.js", "plain", protocol) == {
        "errors": [], "set": "OK", "get": "v", "missing": None, "mget": True, "pipeline": True, "scanned": 100,
        "wrong": "ERR value is not an integer or out of range", "name": "nr", "tracking": -1,
        "config": {"maxclients": "10000"}, "dbsize": 101}


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis_cluster(script, tree, protocol):
    assert script("node_redis.js", "cluster", protocol) == {"errors": [], "values": True, "ports": ports(tree)}
