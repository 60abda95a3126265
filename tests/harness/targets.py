"""The ways to reach a server under which every command body runs.

    oracle    Debian's redis-server: keeps the bodies honest
    engine    one engine by itself
    cluster   the engines behind a proxy, found and chosen by redis-py's RedisCluster, asked directly
    proxy     the same engines, two of them, through the proxy's port, as a plain client sees them
    proxy1    the proxy in front of one engine: nothing is split or joined
    proxy3    and of three: keys of two slots may lie on neighbours or not, and an odd number divides nothing evenly

A target is called with a command and returns the exact reply. `conn()` opens a connection of its own; on the cluster
it leads to one engine, so bodies about connections (and not about keys) run there too. Cluster and proxy share one
tree of processes. The three proxies are one target to the bodies: each has the name "proxy", and `engines`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

from harness.conn import Conn
from harness.resp import OK, Error, to_bytes, words
from harness.servers import Server, cluster_oracle

PROXIES = {"proxy": 2, "proxy1": 1, "proxy3": 3}
NAMES = ("oracle", "engine", "cluster", *PROXIES)
# redis-py routes these by methods of its own; their key stands behind the subcommand
CONTAINERS = {"OBJECT", "MEMORY", "DEBUG"}
# what RedisCluster's callers expect from every primary, and how the answers join
EVERYWHERE = {
    "FLUSHALL": lambda replies: replies[0],
    "FLUSHDB": lambda replies: replies[0],
    "DBSIZE": sum,
    "KEYS": lambda replies: [key for reply in replies for key in reply],
}


class Target:
    """A server that is reached through one port."""

    #: whether keys of several slots may stand in one command
    any_slots = True

    def __init__(self, name: str, server: Server, engines: int = 1) -> None:
        self.name = name
        self.server = server
        self.engines = engines
        self._own: Conn | None = None
        self._opened: list[Conn] = []

    def __repr__(self) -> str:
        return f"<{self.name}, engines: {self.engines}, port {self.server.port}>"

    def __call__(self, *args: Any) -> Any:
        """One command, on this target's own connection: r("SET k v EX 10") or r("SET", "k", value)."""
        if self._own is None:
            self._own = self.conn()
        return self._own(*args)

    def must(self, *args: Any) -> Any:
        reply = self(*args)
        assert not isinstance(reply, Error), f"{args}: {reply!r}"
        return reply

    def conn(self, resp: int = 2, db: int = 0, **options: object) -> Conn:
        """A connection of its own, closed after the test."""
        conn = Conn(self.server.port, resp, db, **options)
        self._opened.append(conn)
        return conn

    def conn_to(self, key: str, resp: int = 2, **options: object) -> Conn:
        """A connection of its own to where the key is served, closed after the test."""
        return self.conn(resp, **options)

    def client(self, **options: object) -> Any:
        """A redis-py client, as users have it."""
        return redis.Redis(port=self.server.port, **options)

    @contextlib.contextmanager
    def config(self, **options: object) -> Iterator[None]:
        """CONFIG SET for the time of a with block; underscores stand for dashes."""
        conn = self.conn()
        names = [name.replace("_", "-") for name in options]
        before = []
        for name in names:
            pair = conn.must("CONFIG", "GET", name)
            assert len(pair) == 2, f"CONFIG GET {name}: {pair!r}"
            before += [name, pair[1]]
        assert conn("CONFIG", "SET", *[w for n, v in zip(names, options.values(), strict=True) for w in (n, v)]) == OK
        try:
            yield
        finally:
            assert self.conn()("CONFIG", "SET", *before) == OK

    def clean(self) -> None:
        """Between tests: no keys, no connections."""
        self.close()
        self("FLUSHALL")

    def close(self) -> None:
        for conn in self._opened:
            conn.close()
        self._opened.clear()
        self._own = None


class Cluster(Target):
    """Engines chosen per command by RedisCluster's slot map. A redirect is a reply here, and therefore a failure."""

    any_slots = False

    def __init__(self, name: str, server: Server) -> None:
        super().__init__(name, server, PROXIES["proxy"])
        self.router = RedisCluster(host="127.0.0.1", port=server.port, protocol=2)
        self._nodes: dict[tuple[str, int], Conn] = {}

    def nodes(self) -> list[tuple[str, int]]:
        """The engines' addresses, as CLUSTER SLOTS gave them."""
        return sorted((node.host, node.port) for node in self.router.get_primaries())

    def node_of(self, *args: Any) -> tuple[str, int]:
        """The engine that redis-py chooses for a command; some engine where it has no key or is malformed."""
        slot, name = None, to_bytes(args[0]).decode("latin-1").upper()
        if name in CONTAINERS:
            slot = self.router.keyslot(args[2]) if len(args) > 2 else None
        else:
            with contextlib.suppress(redis.RedisError, RedisClusterException, IndexError):
                slot = self.router.determine_slot(name, *map(to_bytes, args[1:]))
        node = self.router.nodes_manager.get_node_from_slot(slot or 0)
        return node.host, node.port

    def at(self, node: tuple[str, int]) -> Conn:
        """This test's connection to one engine."""
        conn = self._nodes.get(node)
        if conn is None:
            conn = self._nodes[node] = Conn(node)
            self._opened.append(conn)
        return conn

    def __call__(self, *args: Any) -> Any:
        args = words(args)
        join = EVERYWHERE.get(str(args[0]).upper()) if args else None
        if join:
            replies = [self.at(node)(*args) for node in self.nodes()]
            errors = [reply for reply in replies if isinstance(reply, Error)]
            return errors[0] if errors else join(replies)
        return self.at(self.node_of(*args))(*args)

    def conn(self, resp: int = 2, db: int = 0, **options: object) -> Conn:
        conn = Conn(self.nodes()[0], resp, db, **options)
        self._opened.append(conn)
        return conn

    def conn_to(self, key: str, resp: int = 2, **options: object) -> Conn:
        conn = Conn(self.node_of("GET", key), resp, **options)
        self._opened.append(conn)
        return conn

    def client(self, **options: object) -> RedisCluster:
        return RedisCluster(host="127.0.0.1", port=self.server.port, **options)

    def config(self, **options: object) -> Any:
        raise NotImplementedError("on the cluster, change the configuration per engine")

    def close(self) -> None:
        self._nodes.clear()
        super().close()


def name_of(target: str) -> str:
    """The name by which bodies and marks know a target."""
    return "proxy" if target in PROXIES else target


def kind_of(target: str) -> str:
    """The server that a target is reached at."""
    return "tree" if target == "cluster" else target.replace("proxy", "tree")


STARTS = {
    "reference": lambda: Server("oracle").start(),  # a second real Redis, beside the one that is a target
    "cluster_oracle": cluster_oracle,
    "cluster_engine": lambda: Server("engine", cluster_enabled="yes").start(),
    **{kind_of(name): lambda engines=engines: Server("tree", engines=engines).start()
       for name, engines in PROXIES.items()},
}


class Fleet:
    """The servers of a run, started when first asked for and shared by all tests of a worker."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._targets: dict[str, Target] = {}
        self._broken: dict[str, str] = {}

    def server(self, kind: str) -> Server:
        """The run's server of that kind. One that did not start is not tried again."""
        if kind in self._broken:
            raise RuntimeError(f"{kind} did not start before: {self._broken[kind]}")
        server = self._servers.get(kind)
        if server is None or not server.alive():
            if server is not None:
                self.forget(kind)
            try:
                server = self._servers[kind] = STARTS[kind]() if kind in STARTS else Server(kind).start()
            except Exception as error:
                self._broken[kind] = str(error).partition("\n")[0]
                raise
        return server

    def target(self, name: str) -> Target:
        """The target of that name, clean. A server that a test has killed or wedged is started anew."""
        server = self.server(kind_of(name))
        target = self._targets.get(name)
        if target is None or target.server is not server:
            target = self._targets[name] = Cluster(name, server) if name == "cluster" else Target(
                name_of(name), server, PROXIES.get(name, 1))
        target.clean()
        return target

    def forget(self, kind: str) -> None:
        """Ends a server; the next test that asks gets a new one."""
        server = self._servers.pop(kind, None)
        if server is not None:
            server.stop()

    def stop(self) -> None:
        for target in self._targets.values():
            target.close()
        for kind in list(self._servers):
            self.forget(kind)
