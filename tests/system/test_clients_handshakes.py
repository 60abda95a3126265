"""What client libraries send when they connect, replayed: written at once and one byte at a time, to the real Redis, an
engine and the proxies of a tree.

A handshake is a list of writes, a write a list of commands in the library's own spelling and order, as recorded from
the library or read from its source (version in the name). Replies are compared with the real Redis's where it has the
command; what Redis 7.0 does not have is given here.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import OK, Error, Status, encode
from harness.conn import Conn
from harness.servers import Server, redis_version

PASSWORD = "pw"
PONG = Status("PONG")
HELLO = ("HELLO", "3", "AUTH", "default", PASSWORD)


def setinfo(name: str, version: str, client: str = "CLIENT") -> list[tuple]:
    return [(client, "SETINFO", "LIB-NAME", name), (client, "SETINFO", "LIB-VER", version)]


def maint(endpoint: str, *words: str) -> tuple:
    return (*(words or ("CLIENT", "MAINT_NOTIFICATIONS", "ON")), "moving-endpoint-type", endpoint)


def each(commands: list[tuple]) -> list[list[tuple]]:
    """Every command is a write."""
    return [[command] for command in commands]


SE_REDIS = [
    ("CLIENT", "SETNAME", "host"), ("CLIENT", "SETINFO", "lib-name", "SE.Redis"),
    ("CLIENT", "SETINFO", "lib-ver", "2.8.24"), ("CLIENT", "ID"), ("CONFIG", "GET", "timeout"),
    ("CONFIG", "GET", "replica-read-only"), ("CONFIG", "GET", "databases"), ("SENTINEL", "MASTERS"),
    ("INFO", "replication"), ("INFO", "server"), ("CLUSTER", "NODES"), ("GET", "__Booksleeve_TieBreak"),
    ("ECHO", bytes(range(0x80, 0x90)))]

HANDSHAKES: dict[str, list[list[tuple]]] = {
    "redis-py 8.1": each([HELLO, maint("internal-fqdn"), *setinfo("redis-py", "8.1.0"), ("PING",), ("GET", "x")]),
    "redis-py 8.1, RESP2": each([
        ("AUTH", PASSWORD), ("CLIENT", "SETNAME", "me"), *setinfo("redis-py", "8.1.0"), ("SELECT", "3"), ("PING",)]),
    "redis-py 8.1, asyncio": [[HELLO], [maint("internal-fqdn")], setinfo("redis-py", "8.1.0"), [("PING",)]],
    "redis-py 8.1, RedisCluster": each([
        HELLO, maint("internal-ip"), *setinfo("redis-py", "8.1.0"), ("CLUSTER", "SLOTS")]),
    "redis-py 5.0": each([("AUTH", PASSWORD), *setinfo("redis-py", "5.0.8"), ("PING",)]),
    "redis-py 4, with a user": each([("AUTH", "default", PASSWORD), ("SELECT", "1"), ("PING",)]),
    "valkey-py 6.2": each([("AUTH", PASSWORD), *setinfo("valkey-py", "6.2.0"), ("PING",)]),
    "valkey-glide 2.5": [[("AUTH", PASSWORD)], [("SELECT", "2")], [("CLIENT", "SETNAME", "g")],
                         setinfo("GlidePy", "0.1.0"), [("INFO", "REPLICATION")], [("PING",)]],
    "valkey-glide 2.5, RESP3": [[HELLO], [("SELECT", "2")], [("CLIENT", "SETNAME", "g")], setinfo("GlidePy", "0.1.0"),
                                [("INFO", "REPLICATION")], [("PING",)]],
    "valkey-glide 2.5, cluster": [[HELLO], setinfo("GlidePy", "0.1.0"),
                                  [("CLIENT", "SETNAME", "glide_management_connection")], [("CLUSTER", "SLOTS")]],
    "ioredis 6": each([
        ("hello", "3", "AUTH", "default", PASSWORD), ("select", "1"), ("client", "setname", "io"),
        ("client", "SETINFO", "LIB-VER", "6.0.0"), ("client", "SETINFO", "LIB-NAME", "ioredis"), ("info",), ("ping",)]),
    "ioredis 5": each([
        ("auth", PASSWORD), ("select", "1"), ("client", "setname", "io"), ("client", "SETINFO", "LIB-VER", "5.4.1"),
        ("client", "SETINFO", "LIB-NAME", "ioredis"), ("info",), ("ping",)]),
    "ioredis 6, cluster": [
        [("auth", PASSWORD)], [("client", "setname", "ioredis-cluster(refresher)"),
                               ("client", "SETINFO", "LIB-VER", "6.0.0"), ("client", "SETINFO", "LIB-NAME", "ioredis")],
        [("cluster", "SLOTS")]],
    "node-redis 6": [[("AUTH", PASSWORD), ("CLIENT", "SETNAME", "nr"), ("CLIENT", "SETINFO", "LIB-VER", "6.3.1"),
                      ("CLIENT", "SETINFO", "LIB-NAME", "node-redis")], [("PING",)], [("QUIT",)]],
    "node-redis 6, RESP3": [[(*HELLO, "SETNAME", "nr"), ("CLIENT", "SETINFO", "LIB-VER", "6.3.1"),
                             ("CLIENT", "SETINFO", "LIB-NAME", "node-redis")], [("PING",)], [("QUIT",)]],
    "node-redis 5, maintenance": [[HELLO, ("SELECT", "1"), maint("none"), *setinfo("node-redis", "5.8.2")],
                                  [("PING",)]],
    "jedis 5": [[("AUTH", PASSWORD)], [("SELECT", "1"), ("CLIENT", "SETNAME", "j"), *setinfo("jedis", "5.2.0")],
                [("PING",)]],
    "jedis 5, RESP3": [[("AUTH", PASSWORD)], [("HELLO", "3")],
                       [("SELECT", "1"), ("CLIENT", "SETNAME", "j"), *setinfo("jedis", "5.2.0")], [("PING",)]],
    "jedis 5, RESP3, with a user": [[(*HELLO, "SETNAME", "j")], setinfo("jedis", "5.2.0"), [("PING",)]],
    "lettuce 6.8": [
        [(*HELLO, "SETNAME", "l")], [("SELECT", "1")],
        [("CLIENT", "SETINFO", "lib-name", "Lettuce"), ("CLIENT", "SETINFO", "lib-ver", "6.8.0.RELEASE/1a2b3c")],
        [maint("external-ip", "CLIENT", "MAINT_NOTIFICATIONS", "on")], [("PING",)]],
    "lettuce 6.8, RESP2": [
        [("AUTH", PASSWORD)], [("SELECT", "1")],
        [("CLIENT", "SETNAME", "l"), ("CLIENT", "SETINFO", "lib-name", "Lettuce"),
         ("CLIENT", "SETINFO", "lib-ver", "6.8.0.RELEASE/1a2b3c")], [("CLIENT", "MAINT_NOTIFICATIONS", "on")],
        [("PING",)]],
    "go-redis 9.16": [
        [("hello", "3", "auth", "default", PASSWORD, "setname", "go")],
        [("select", "1"), ("client", "setname", "go")],
        [maint("internal-ip", "client", "maint_notifications", "on")],
        [("client", "setinfo", "LIB-NAME", "go-redis(,go1.22.1)"), ("client", "setinfo", "LIB-VER", "9.16.0")],
        [("ping",)]],
    "go-redis 9, RESP2": [
        [("hello", "2", "auth", "default", PASSWORD)], [("select", "1")],
        [("client", "setinfo", "LIB-NAME", "go-redis(,go1.22.1)"), ("client", "setinfo", "LIB-VER", "9.5.0")],
        [("ping",)]],
    "go-redis 6": [[("auth", PASSWORD), ("select", "1")], [("ping",)]],
    "StackExchange.Redis 2.8": [[("AUTH", PASSWORD), *SE_REDIS], [("PING",)]],
    "StackExchange.Redis 2.8, RESP3": [[(*HELLO, "SETNAME", "host"), *SE_REDIS], [("PING",)]],
    "redis-rs 0.27": [[("AUTH", PASSWORD), ("SELECT", "1"), *setinfo("redis-rs", "0.27.2")], [("PING",)]],
    "redis-rs 0.27, RESP3": [[HELLO, ("SELECT", "1"), *setinfo("redis-rs", "0.27.2")], [("PING",)]],
    "hiredis, redis-cli -3": [[("AUTH", PASSWORD)], [("HELLO", "3")], [("COMMAND", "DOCS", "get")], [("PING",)]],
}
"""Library -> what it writes."""

REFUSED: dict[str, list[list[tuple]]] = {
    "lettuce without a password": [[("HELLO", "3")], [("PING",)]],
    "lettuce with a name, without a password": [[("HELLO", "3", "SETNAME", "l")], [("CLIENT", "SETNAME", "l")]],
    "a wrong password": [[("AUTH", "no")], [("AUTH", "default", "no")], [("AUTH", "nobody", PASSWORD)], [("PING",)]],
    "HELLO with a wrong password": [[("HELLO", "3", "AUTH", "default", "no")], [("PING",)], [("AUTH", PASSWORD)],
                                    [("PING",)]],
    "HELLO of no version there is": [[("HELLO", "4", "AUTH", "default", PASSWORD)], [("HELLO", "1")], [("HELLO", "x")],
                                     [("AUTH", PASSWORD), ("HELLO", "4"), ("HELLO", "2")]],
    "HELLO with options that make no sense": [
        [("AUTH", PASSWORD), ("HELLO", "3", "FOO"), ("HELLO", "3", "AUTH", "x"), ("HELLO", "3", "SETNAME"),
         ("HELLO", "2", "SETNAME", "a b"), ("HELLO", "2", "setname", "ok", "AUTH", "default", "no"), ("HELLO",)]],
    "RESP3 and back": [[HELLO, ("GET", "x"), ("HELLO", "2"), ("GET", "x"), ("HELLO", "3"), ("GET", "x"), ("RESET",),
                        ("PING",), ("AUTH", PASSWORD), ("GET", "x")]],
    "go-redis falls back": [[("hello", "3", "auth", "default", "no")], [("auth", PASSWORD)], [("ping",)]],
    "a library before AUTH": [[("CLIENT", "SETNAME", "x")], [("SELECT", "1")], [("CLIENT", "ID")], [("QUIT",)]],
}
"""What libraries get wrong, or try first: they choose by the error's text."""

# what an oracle older than 7.2 answers otherwise, by the first words
NEWER: dict[tuple[str, ...], Callable[[tuple], Any]] = {
    ("client", "setinfo"): lambda command: OK,
    ("client", "maint_notifications"): lambda command: OK,
}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    started: dict[str, Server] = {}
    try:
        for name, kind, options in (("oracle", "oracle", {}), ("engine", "engine", {}),
                                    ("tree", "tree", {"proxies": 2, "engines": 2})):
            started[name] = Server(kind, requirepass=PASSWORD, **options).start()
        yield started
    finally:
        for server in started.values():
            server.stop()


def replay(server: Server, writes: list[list[tuple]], by_byte: bool) -> list[Any]:
    """The replies, in order; pushes are none."""
    replies = []
    with server.conn() as conn:
        for commands in writes:
            data = b"".join(encode(*command) for command in commands)
            for piece in ([data[at:at + 1] for at in range(len(data))] if by_byte else [data]):
                conn.send(piece)
            replies += [conn.read() for _ in commands]
        assert conn.pushes == []
    return replies


def alike(command: tuple, reply: Any) -> Any:
    """What must be the same everywhere of a reply."""
    words = tuple(word.lower() for word in command if isinstance(word, str))
    if isinstance(reply, Error):
        return reply.replace("HELLO <proto> AUTH", "HELLO AUTH")        # as 7.2 says it, and 7.0
    if words[0] == "hello":
        pairs = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
        assert pairs[b"id"] > 0 and pairs[b"mode"] in (b"standalone", b"cluster")
        assert pairs[b"version"].split(b".")[0] >= b"7"
        return type(reply), {key: value for key, value in pairs.items() if key not in (b"id", b"mode", b"version")}, \
            list(pairs)
    if words[0] == "info":
        fields = dict(line.split(":", 1) for line in _text(reply).splitlines() if ":" in line)
        return type(reply), {name: fields.get(name) for name in ("role", "connected_slaves", "loading")}
    if words[:2] == ("client", "id"):
        return reply > 0
    if words[:2] == ("command", "docs"):
        return type(reply)
    return type(reply), reply


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def check_cluster(command: tuple, reply: Any, server: str) -> None:
    """CLUSTER: the oracle is not one, nor is the engine by itself."""
    if server != "tree":
        assert reply == Error("ERR This instance has cluster support disabled")
    elif command[1].upper() == "SLOTS":
        assert [row[0] for row in reply] == [0, 8192] and reply[-1][1] == 16383
        for _, _, node in reply:
            assert node[0] == b"127.0.0.1" and isinstance(node[1], int) and len(node[2]) == 40
            assert node[3] in ({}, [])
    else:
        lines = _text(reply).splitlines()
        assert len(lines) == 3 and sum("myself" in line for line in lines) == 1
        assert all(len(line.split()) >= 8 for line in lines)


def expected(servers: dict[str, Server], writes: list[list[tuple]]) -> list[Any]:
    """The oracle's replies, and what it would say if it were newer."""
    commands = [command for write in writes for command in write]
    replies = replay(servers["oracle"], writes, False)
    for place, command in enumerate(commands):
        newer = NEWER.get(tuple(word.lower() for word in command[:2] if isinstance(word, str)))
        if newer is not None and isinstance(replies[place], Error) and "unknown subcommand" in replies[place]:
            assert redis_version() < (7, 2) or "MAINT" in command[1].upper()
            replies[place] = newer(command)
    return replies


@pytest.mark.parametrize("by_byte", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("name", [*HANDSHAKES, *REFUSED])
def test_handshake(servers, name, by_byte):
    writes = HANDSHAKES.get(name) or REFUSED[name]
    commands = [command for write in writes for command in write]
    theirs = expected(servers, writes)
    for kind in ("engine", "tree"):
        ours = replay(servers[kind], writes, by_byte)
        for command, mine, reply in zip(commands, ours, theirs, strict=True):
            if command[0].upper() == "CLUSTER":
                check_cluster(command, mine, kind)
            else:
                assert alike(command, mine) == alike(command, reply), (kind, command)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_what_a_library_says_of_itself_is_listed(servers, name):
    """CLIENT LIST shows the name, the library and the protocol that the handshake set."""
    writes = HANDSHAKES[name]
    commands = [tuple(str(word) for word in command) for write in writes for command in write]
    said = {"resp": "2", "name": "", "lib-name": "", "lib-ver": "", "db": "0"}
    for command in commands:
        words = [word.lower() for word in command]
        if words[0] == "hello":
            said["resp"] = words[1]
            if "setname" in words:
                said["name"] = command[words.index("setname") + 1]
        elif words[:2] == ["client", "setname"]:
            said["name"] = command[2]
        elif words[:2] == ["client", "setinfo"]:
            said[words[2]] = command[3]
        elif words[0] == "select":
            said["db"] = command[1]
    writes = [[command for command in write if command[0] != "QUIT"] for write in writes]
    with servers["tree"].conn() as conn:
        for command in [command for write in writes for command in write]:
            conn(*command)
        line = _text(conn("CLIENT", "INFO"))
        with servers["tree"].conn() as other:       # perhaps at another proxy
            other.must("AUTH", PASSWORD)
            seen = _text(other.must("CLIENT", "LIST", "ID", conn.must("CLIENT", "ID")))
    for text in (line, seen):
        fields = dict(field.split("=", 1) for field in text.rstrip("\n").split(" "))
        assert {key: fields[key] for key in said} == said


@pytest.mark.parametrize("kind", ["engine", "tree"])
def test_what_redis_says_since_7_2(servers, kind):
    with servers[kind].conn() as conn:
        assert conn("HELLO 3") == Error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
            "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at the "
            "same time")
        assert conn("CLIENT SETINFO LIB-NAME x") == Error("NOAUTH Authentication required.")
        assert conn("CLIENT MAINT_NOTIFICATIONS ON") == Error("NOAUTH Authentication required.")
        assert conn("HELLO 2 SETNAME name AUTH default no").code == "WRONGPASS"
        assert conn("AUTH", PASSWORD) == OK
        assert conn("CLIENT GETNAME") is None, "the name of a HELLO that failed"
        assert conn("CLIENT SETINFO foo bar") == Error("ERR Unrecognized option 'foo'")
        assert conn("CLIENT", "SETINFO", "LIB-NAME", "a b") == Error(
            "ERR LIB-NAME cannot contain spaces, newlines or special characters.")
        assert conn("CLIENT SETINFO LIB-NAME") == Error("ERR wrong number of arguments for 'client|setinfo' command")


def test_a_handshake_of_many_at_once(servers):
    """Two hundred connections that all write before any reads."""
    data = b"".join(encode(*command) for write in HANDSHAKES["redis-py 8.1"] for command in write)
    count = sum(map(len, HANDSHAKES["redis-py 8.1"]))
    conns = [servers["tree"].conn() for _ in range(200)]
    try:
        for conn in conns:
            conn.send(data)
        numbers = set()
        for conn in conns:
            first, *others = [conn.read() for _ in range(count)]
            numbers.add(first[b"id"])
            assert others == [OK, OK, OK, PONG, None]
        assert len(numbers) == 200
    finally:
        for conn in conns:
            conn.close()


def test_every_handshake_ends_with_a_connection_of_use(servers):
    for writes in HANDSHAKES.values():
        with Conn(servers["tree"].port) as conn:
            for command in [command for write in writes for command in write if command[0] != "QUIT"]:
                conn(*command)
            assert conn("SET", "k", "v") == OK and conn("GET", "k") == b"v"
