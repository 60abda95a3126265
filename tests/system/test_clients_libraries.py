"""The clients that people have: redis-py plain and cluster, redis-cli, redis-benchmark. They run on every target."""

import json
import re
import shutil
import subprocess

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

TOOL_S = 60


# --- redis-py ---------------------------------------------------------------------------------------------------------

@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(r, request):
    client = r.client(protocol=request.param, decode_responses=True)
    yield client
    client.close()


def test_strings(client):
    assert client.set("k", "v", ex=100) is True
    assert client.get("k") == "v"
    assert 0 < client.ttl("k") <= 100
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", get=True) == "v"
    assert client.incr("n", 5) == 5
    assert client.incrbyfloat("f", 1.5) == 1.5
    assert client.append("k", "!") == 2
    assert client.getrange("k", 0, 0) == "w"
    assert client.mset({"{t}1": "a", "{t}2": "b"}) is True
    assert client.mget("{t}1", "{t}2", "{t}3") == ["a", "b", None]
    assert client.getex("k", persist=True) == "w!"
    assert client.getdel("k") == "w!"
    assert client.lcs("{t}1", "{t}2") == ""


def test_keys(client):
    client.set("{t}1", "v")
    assert client.exists("{t}1", "{t}1") == 2
    assert client.rename("{t}1", "{t}2")
    assert client.copy("{t}2", "{t}3") is True
    assert client.type("{t}3") == "string"
    assert client.expire("{t}3", 100, nx=True)
    assert client.persist("{t}3")
    assert client.touch("{t}2", "{t}3") == 2
    assert client.delete("{t}2", "{t}3") == 2
    assert client.dbsize() == 0


def test_a_whole_scan(client):
    names = {f"key:{n}" for n in range(500)}
    for name in names:
        client.set(name, "v")
    assert set(client.scan_iter(count=50)) == names
    assert set(client.scan_iter(match="key:1*", count=100)) == {name for name in names if name.startswith("key:1")}
    options = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(client, RedisCluster) else {}
    assert set(client.keys("*", **options)) == names


def test_pipelines(client):
    pipe = client.pipeline(transaction=False)
    for n in range(300):
        pipe.set(f"key:{n}", n)
    for n in range(300):
        pipe.get(f"key:{n}")
    replies = pipe.execute()
    assert replies[:300] == [True] * 300
    assert replies[300:] == [str(n) for n in range(300)]


def test_errors_are_exceptions(client):
    client.set("k", "abc")
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("k")
    with pytest.raises(redis.RedisError, match="unknown command|doesn't exist"):
        client.execute_command("NOSUCH", "x")


@pytest.mark.not_on("cluster", reason="these are methods of the plain client")
def test_what_libraries_ask_of_a_server(client):
    assert client.ping() is True
    assert client.info()["redis_mode"] in ("standalone", "cluster")
    assert client.info("keyspace") == {}
    assert client.client_id() > 0
    assert client.client_setname("me")
    assert client.client_getname() == "me"
    assert client.client_info()["name"] == "me"
    assert any(one["name"] == "me" for one in client.client_list())
    assert client.config_get("maxmemory") == {"maxmemory": "0"}
    assert client.command_count() > 50
    assert client.time()[0] > 1_600_000_000
    assert client.slowlog_len() >= 0
    assert client.memory_usage("nokey") is None
    assert client.echo("x") == "x"


@pytest.mark.not_on("cluster", reason="redis-py's RedisCluster knows no SELECT")
def test_databases(r):
    with r.client(db=0) as zero, r.client(db=5) as five:
        zero.set("k", "zero")
        five.set("k", "five")
        assert zero.get("k") == b"zero"
        assert five.get("k") == b"five"
        five.flushdb()
        assert zero.dbsize() == 1


@pytest.mark.only_on("cluster", reason="RedisCluster's own")
def test_the_cluster_client_spreads_over_the_engines(r):
    with RedisCluster(host="127.0.0.1", port=r.server.port, decode_responses=True) as client:
        assert len(client.get_primaries()) == 2
        assert r.server.port not in {node.port for node in client.get_primaries()}
        client.mset_nonatomic({f"key:{n}": n for n in range(200)})
        assert client.mget_nonatomic(*[f"key:{n}" for n in range(200)]) == [str(n) for n in range(200)]
        sizes = client.dbsize(target_nodes=RedisCluster.PRIMARIES)
        assert (sum(sizes.values()) if isinstance(sizes, dict) else sizes) == 200
        assert client.cluster_keyslot("foo") == 12182
        assert len(client.cluster_slots()) >= 2
        for node in client.get_primaries():
            assert client.ping(target_nodes=node)


@pytest.mark.only_on("cluster", reason="RedisCluster's own")
def test_the_cluster_client_learns_from_a_redirect(r):
    """A client whose map is wrong is told the owner by MOVED and gets its reply."""
    with RedisCluster(host="127.0.0.1", port=r.server.port, retry=Retry(NoBackoff(), 3)) as client:
        client.set("foo", "v")
        slots = client.nodes_manager.slots_cache
        right = slots[12182]
        slots[12182] = [node for node in client.get_primaries() if node.name != right[0].name]
        assert client.get("foo") == b"v"


# --- redis-cli, redis-benchmark ---------------------------------------------------------------------------------------

def tool(name: str, *args: object, stdin: str | None = None) -> str:
    """Runs one of redis-tools; what is missing fails, as the oracle does."""
    path = shutil.which(name)
    assert path, f"{name} is not on PATH (apt: redis-tools)"
    done = subprocess.run([path, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=TOOL_S)
    assert done.returncode == 0, f"{name} {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def cli(r, *args: object, stdin: str | None = None) -> str:
    return tool("redis-cli", "-p", r.server.port, *args, stdin=stdin)


@pytest.mark.not_on("cluster", reason="redis-cli -c has bodies of its own")
def test_redis_cli(r):
    assert cli(r, "SET", "k", "a b") == "OK\n"
    assert cli(r, "GET", "k") == "a b\n"
    assert cli(r, "--no-raw", "GET", "nokey") == "(nil)\n"
    assert cli(r, "-3", "--no-raw", "MGET", "k", "nokey") == '1) "a b"\n2) (nil)\n'
    assert cli(r, "--json", "MGET", "k", "nokey") == '["a b",null]\n'
    assert json.loads(cli(r, "-3", "--json", "CONFIG", "GET", "maxmemory")) == {"maxmemory": "0"}
    assert cli(r, "-n", 3, "DBSIZE") == "0\n"
    assert cli(r, stdin="SET a 1\nINCR a\nGET a\n") == "OK\n2\n2\n"
    assert "# Server" in cli(r, "INFO")
    assert "unknown command" in cli(r, "NOSUCH")


@pytest.mark.not_on("cluster", reason="redis-cli -c has bodies of its own")
def test_redis_cli_modes(r):
    for n in range(100):
        r.must("SET", f"key:{n}", "v" * n)
    assert sorted(cli(r, "--scan").split()) == sorted(f"key:{n}" for n in range(100))
    assert sorted(cli(r, "--scan", "--pattern", "key:1?").split()) == [f"key:{n}" for n in range(10, 20)]
    assert "Sampled 100 keys" in cli(r, "--bigkeys")
    assert "Sampled 100 keys" in cli(r, "--memkeys")
    lines = "".join(f"*3\r\n$3\r\nSET\r\n$7\r\np:{n:05}\r\n$1\r\nv\r\n" for n in range(2000))
    assert re.search(r"errors: 0, replies: 2000", cli(r, "--pipe", stdin=lines))
    assert r("DBSIZE") == 2100


@pytest.mark.only_on("cluster", reason="the engines behind the port")
def test_redis_cli_follows_redirects(r):
    for n in range(20):
        assert tool("redis-cli", "-c", "-p", r.server.port, "SET", f"key:{n}", n).endswith("OK\n")
    for address in r.nodes():
        for n in range(20):
            reply = tool("redis-cli", "-c", "-h", address[0], "-p", address[1], "GET", f"key:{n}")
            assert reply.split("\n")[-2] == str(n)


@pytest.mark.only_on("cluster", reason="the engines behind the port")
def test_redis_cli_cluster_check(r):
    for n in range(50):
        r.must("SET", f"key:{n}", n)
    for port in (r.server.port, *[port for _, port in r.nodes()]):
        report = tool("redis-cli", "--cluster", "check", f"127.0.0.1:{port}")
        assert "[OK] All nodes agree about slots configuration." in report
        assert "[OK] All 16384 slots covered." in report
        assert "50 keys in 2 masters" in report
        assert "[ERR]" not in report and "[WARNING]" not in report
    assert "50 keys in 2 masters" in tool("redis-cli", "--cluster", "info", f"127.0.0.1:{r.server.port}")


@pytest.mark.not_on("cluster", reason="redis-benchmark --cluster has a body of its own")
def test_redis_benchmark(r):
    report = tool("redis-benchmark", "-p", r.server.port, "-n", 2000, "-c", 20, "-P", 8, "-r", 1000, "-q", "-t",
                  "ping,set,get,incr,mset")
    for name in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"):
        assert re.search(rf"{re.escape(name)}: [\d.]+ requests per second", report), report


@pytest.mark.only_on("cluster", reason="the engines behind the port")
def test_redis_benchmark_in_cluster_mode(r):
    report = tool("redis-benchmark", "-p", r.server.port, "--cluster", "-n", 2000, "-c", 20, "-r", 1000, "-q", "-t",
                  "set,get")
    assert re.search(r"GET: [\d.]+ requests per second", report), report
    assert r("DBSIZE") > 0
